"""Misbehaviour on demand.

A fault is ordered by model name ("fault-fin-200": the connection ends after
200 bytes), which needs no shared state and works through any gateway, or put
in the emulator's plan for the next requests on a path. Only replies that
would have been a 200 are spoiled: a request the provider refuses stays
refused.

`NAMES` lists every fault with what it does; the tests walk over it.
"""
import asyncio
import threading
import time
from email.utils import formatdate

from .rules import Broken
from .wire import Reply, write_reply

HANG_S = 30.0   # longer than any timeout a test configures

NAMES = {
    "hang": "reads the request, answers nothing",
    "hanghead": "sends the head, then nothing",
    "hangmid": "sends half of the payload, then nothing",
    "rst": "resets the connection after N bytes of the answer",
    "fin": "closes the connection after N bytes of the answer",
    "clshort": "promises a longer Content-Length than it sends",
    "chunkshort": "promises a longer chunk than it sends",
    "noterminal": "ends cleanly without the terminal event, or with an empty body",
    "errorevent": "an error in a 200, after N events or in the middle",
    "429": "rate limit, without Retry-After", "429ra": "rate limit, Retry-After: 7",
    "429date": "rate limit, Retry-After: a date",
    "500": "server error", "503": "unavailable", "529": "overloaded",
    "408": "took too long", "context": "the conversation is longer than the model's window",
    "401": "rejects the gateway's key", "402": "wants money", "403": "allows the key nothing",
    "302": "redirects", "html": "a page with status 200",
    "badjson": "JSON that breaks off", "badutf8": "bytes that are not UTF-8",
    "huge": "one event, or body, of N MiB", "drip": "one byte a write",
    "nousage": "no usage", "zerousage": "usage all zero", "dupusage": "usage twice",
    "badusage": "usage that contradicts itself",
    "gzip": "says gzip, is not", "headerflood": "N header lines",
    "informational": "1xx responses without end", "clte": "Content-Length and chunked",
    "halfevent": "half an event, then a clean end",
    "badstatus": "a status line that is none", "empty": "closes without a byte",
}


# The framing of these ends as it should, so the connection goes on: a close behind a
# whole answer would race with the next request.
WHOLE = ("drip", "noterminal", "errorevent", "302", "html", "badjson", "badutf8", "gzip")


class Fault:
    def __init__(self, name, arg=None):
        if name not in NAMES:
            raise ValueError("no fault %r; there are: %s" % (name, ", ".join(NAMES)))
        self.name = name
        self.arg = arg

    def number(self, default):
        return default if self.arg is None else int(self.arg)


def from_model(model):
    if not str(model or "").startswith("fault-"):
        return None
    name, _, arg = model[len("fault-"):].partition("-")
    return Fault(name, arg or None) if name in NAMES else None


class Plan:
    """shared: tests and the control endpoint add, the emulator takes."""

    def __init__(self):
        self._lock = threading.Lock()
        self._steps = []

    def add(self, name, arg=None, times=1, path=""):
        fault = Fault(name, arg)
        with self._lock:
            self._steps += [(fault, path)] * int(times)
            return {"planned": len(self._steps)}

    def take(self, request):
        with self._lock:
            for index, (fault, path) in enumerate(self._steps):
                if request.path.startswith(path):
                    del self._steps[index]
                    return fault
        return None

    def clear(self):
        with self._lock:
            self._steps = []


STATUS_FAULTS = {
    "429": (429, "Rate limit reached. Please slow down.", []),
    "429ra": (429, "Rate limit reached. Please slow down.", [("Retry-After", "7")]),
    "429date": (429, "Rate limit reached. Please slow down.",
                [("Retry-After", formatdate(time.time() + 3600, usegmt=True))]),
    "500": (500, "The server had an error.", []),
    "503": (503, "The engine is currently unavailable.", []),
    "529": (529, "Overloaded", []),
    "408": (408, "The request took too long.", []),
    "context": (400, None, []),     # in the provider's own words
    "401": (401, "Incorrect API key provided.", []),
    "402": (402, "Your credit balance is too low.", []),
    "403": (403, "The key has no permission for this model.", []),
}


async def play(fault, provider, entry, channel, reply):
    """Write the spoiled reply; true when the connection may be used again."""
    name = fault.name
    if name in STATUS_FAULTS:
        status, message, headers = STATUS_FAULTS[name]
        broken = None if message else Broken(*provider.too_long)
        spoiled = provider.error_reply(status, message or broken.message, broken,
                                       headers + provider.id_headers(entry))
        return await finish(channel, entry, spoiled)
    if name in ("nousage", "zerousage", "dupusage", "badusage"):
        entry.usage = provider.spoil_usage(name, reply)
        return await finish(channel, entry, reply)
    await PLAYERS[name](fault, provider, channel, reply)
    return name in WHOLE or (name == "halfevent" and reply.events is not None)


async def finish(channel, entry, reply):
    entry.status = reply.status
    entry.reply = reply.payload
    if entry.status != 200:
        entry.usage = None
    await write_reply(channel, reply)
    return True


def framing_of(reply):
    if reply.events is None:
        return [("Content-Length", len(reply.payload))]
    return [("Transfer-Encoding", "chunked")]


def wire_bytes(reply):
    """The whole answer as it would stand on the wire."""
    if reply.events is None:
        return reply.head(framing_of(reply)) + reply.payload
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in reply.events if e)
    return reply.head(framing_of(reply)) + chunks + b"0\r\n\r\n"


async def settle(channel):
    """Let what was written leave before the connection ends."""
    await asyncio.sleep(0.05)


async def play_hang(fault, provider, channel, reply):
    await channel.wait_closed_by_peer(HANG_S)


async def play_hanghead(fault, provider, channel, reply):
    await channel.send(reply.head(framing_of(reply)))
    await channel.wait_closed_by_peer(HANG_S)


async def play_hangmid(fault, provider, channel, reply):
    await channel.send(reply.head(framing_of(reply)))
    if reply.events is None:
        await channel.send(reply.payload[:len(reply.payload) // 2])
    else:
        middle = max(2, len(reply.events) // 2)
        for event in reply.events[:middle]:
            await channel.send_chunk(event)
        if middle < len(reply.events):
            await channel.send_chunk(reply.events[middle][:len(reply.events[middle]) // 2])
    await channel.wait_closed_by_peer(HANG_S)


async def play_rst(fault, provider, channel, reply):
    data = wire_bytes(reply)
    await channel.send(data[:fault.number(len(data) // 2)])
    await settle(channel)
    channel.reset()


async def play_fin(fault, provider, channel, reply):
    data = wire_bytes(reply)
    await channel.send(data[:fault.number(len(data) // 2)])
    await settle(channel)


async def play_clshort(fault, provider, channel, reply):
    await channel.send(reply.head([("Content-Length", len(reply.payload))]))
    await channel.send(reply.payload[:len(reply.payload) * 2 // 3])
    await settle(channel)


async def play_chunkshort(fault, provider, channel, reply):
    await channel.send(reply.head([("Transfer-Encoding", "chunked")]))
    await channel.send(b"%x\r\n" % len(reply.payload))
    await channel.send(reply.payload[:len(reply.payload) * 2 // 3])
    await settle(channel)


async def play_noterminal(fault, provider, channel, reply):
    if reply.events is None:
        reply.body = b""
    else:
        reply.events = provider.without_terminal(reply.events)
    await write_reply(channel, reply)


async def play_errorevent(fault, provider, channel, reply):
    if reply.events is None:
        spoiled = provider.error_reply(500, "Something broke inside.")
        reply.body = spoiled.body
    else:
        keep = fault.number(max(2, len(reply.events) // 2))
        before = reply.events[:keep]
        reply.events = before + [provider.error_event(before)]
    await write_reply(channel, reply)


async def play_302(fault, provider, channel, reply):
    body = b"<html><body>moved</body></html>"
    await write_reply(channel, Reply(302, [
        ("Location", "http://127.0.0.1:9/elsewhere"), ("Content-Type", "text/html")], body))


async def play_html(fault, provider, channel, reply):
    body = b"<!doctype html><html><body><h1>Welcome to the captive portal</h1></body></html>"
    await write_reply(channel, Reply(200, [("Content-Type", "text/html")], body))


async def play_badjson(fault, provider, channel, reply):
    if reply.events is None:
        reply.body = reply.body[:len(reply.body) // 2]
    else:
        reply.events[2:] = [b"data: {\"broken\": \n\n"]
    await write_reply(channel, reply)


async def play_badutf8(fault, provider, channel, reply):
    if reply.events is None:
        reply.body = reply.body.replace(b"said", b"s\xff\xfe\xc0", 1)
    else:
        reply.events = [e.replace(b"said", b"s\xff\xfe\xc0", 1) for e in reply.events]
    await write_reply(channel, reply)


async def play_huge(fault, provider, channel, reply):
    size = fault.number(64) * 1024 * 1024
    await channel.send(reply.head([("Transfer-Encoding", "chunked")]))
    if reply.events is not None:
        for event in reply.events[:2]:
            await channel.send_chunk(event)
        await channel.send_chunk(b"data: {\"filler\": \"")
    else:
        await channel.send_chunk(b"{\"filler\": \"")
    block = b"a" * 65536
    for _ in range(size // len(block)):
        await channel.send_chunk(block)
    await channel.send_chunk(b"\"}\n\n")
    await channel.send(b"0\r\n\r\n")


async def play_drip(fault, provider, channel, reply):
    data = wire_bytes(reply)
    for index in range(len(data)):
        await channel.send(data[index:index + 1])
        await asyncio.sleep(0)


async def play_gzip(fault, provider, channel, reply):
    reply.headers.append(("Content-Encoding", "gzip"))
    await write_reply(channel, reply)


async def play_headerflood(fault, provider, channel, reply):
    lines = ["HTTP/1.1 200 OK"]
    lines += ["x-filler-%d: %s" % (i, "f" * 60) for i in range(fault.number(20000))]
    await channel.send(("\r\n".join(lines) + "\r\n").encode())
    await channel.wait_closed_by_peer(HANG_S)


async def play_informational(fault, provider, channel, reply):
    for _ in range(100000):
        await channel.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
        await asyncio.sleep(0.001)


async def play_clte(fault, provider, channel, reply):
    body = wire_bytes(Reply(200, reply.headers, events=[reply.payload]))
    head, _, rest = body.partition(b"\r\n\r\n")
    await channel.send(head + b"\r\nContent-Length: 5\r\n\r\n" + rest)
    await settle(channel)


async def play_halfevent(fault, provider, channel, reply):
    if reply.events is None:
        await play_clshort(fault, provider, channel, reply)
        return
    middle = max(2, len(reply.events) // 2)
    half = reply.events[middle][:len(reply.events[middle]) // 2]
    reply.events = reply.events[:middle] + [half]
    await write_reply(channel, reply)


async def play_badstatus(fault, provider, channel, reply):
    await channel.send(b"HTTP/1.1 2OO Fine\r\nContent-Length: 2\r\n\r\n{}")
    await settle(channel)


async def play_empty(fault, provider, channel, reply):
    await settle(channel)


PLAYERS = {name: globals()["play_" + name] for name in (
    "hang hanghead hangmid rst fin clshort chunkshort noterminal errorevent 302 html badjson "
    "badutf8 huge drip gzip headerflood informational clte halfevent badstatus empty").split()}
