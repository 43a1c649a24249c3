"""A small HTTP/1.1 server that can also misbehave.

It reads requests strictly (anything unusual is a 400 and a closed
connection, because a gateway has no reason to send it) and hands complete
requests to an app. A reply is either a body or a list of events; the
connection writes it, or a fault (faults.py) writes it instead.

One connection serves one request after the other:

    READ_HEAD -> READ_BODY -> app -> WRITE -> READ_HEAD | CLOSED
"""
import asyncio
import re
import socket
import struct
import urllib.parse

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
TOKEN = re.compile(rb"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 302: "Found", 400: "Bad Request",
    401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 413: "Payload Too Large", 415: "Unsupported Media Type",
    429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
    529: "Overloaded",
}


class BadRequest(Exception):
    """The bytes are not a request that a careful client sends."""


class Request:
    def __init__(self, method, target, headers, raw_head):
        self.method = method
        self.target = target
        self.headers = headers          # [(name, value)] as sent
        self.raw_head = raw_head
        self.body = b""
        path, _, query = target.partition("?")
        self.raw_path = path
        self.path = urllib.parse.unquote(path)
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return default

    def count(self, name):
        return sum(1 for key, _ in self.headers if key.lower() == name)


class Reply:
    """What goes back: `body`, or `events` sent one write each."""

    def __init__(self, status=200, headers=(), body=None, events=None, pause_s=0.0, first_s=0.0):
        self.status = status
        self.headers = list(headers)
        self.body = body
        self.events = events
        self.pause_s = pause_s
        self.first_s = first_s

    @property
    def payload(self):
        return self.body if self.events is None else b"".join(self.events)

    def head(self, framing):
        lines = ["HTTP/1.1 %d %s" % (self.status, REASONS.get(self.status, "Status"))]
        lines += ["%s: %s" % pair for pair in self.headers]
        lines += ["%s: %s" % pair for pair in framing]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Channel:
    """The writing side of a connection, for replies and for faults."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def send_chunk(self, data):
        if data:
            await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def reply(self, reply, head_only=False):
        await write_reply(self, reply, head_only)

    async def wait_closed_by_peer(self, limit_s):
        """Hang until the peer goes away, at most limit_s."""
        try:
            await asyncio.wait_for(self.reader.read(1), limit_s)
        except (asyncio.TimeoutError, OSError):
            pass

    def reset(self):
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def parse_head(raw):
    lines = raw[:-4].split(b"\r\n")
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise BadRequest("bare CR or LF")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or not TOKEN.match(parts[0]):
        raise BadRequest("request line %r" % lines[0][:80])
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise BadRequest("header %r" % line[:80])
        headers.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return Request(parts[0].decode(), parts[1].decode("latin-1"), headers, raw)


async def read_chunked(reader):
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        if not re.match(rb"^[0-9a-fA-F]{1,8}\r\n$", line):
            raise BadRequest("chunk size %r" % line[:40])
        size = int(line, 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(body)
        if len(body) + size > MAX_BODY:
            raise BadRequest("body too large")
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise BadRequest("chunk end")


async def read_request(reader, channel):
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as err:
        if err.partial:
            raise BadRequest("cut head")
        return None
    request = parse_head(raw)
    if request.count("host") != 1:
        raise BadRequest("Host must be sent once")
    coding, length = request.header("transfer-encoding"), request.header("content-length")
    if coding is not None and (coding != "chunked" or length is not None):
        raise BadRequest("framing")
    if request.count("content-length") > 1 or (length is not None and not length.isdigit()):
        raise BadRequest("Content-Length")
    if (request.header("expect") or "").lower() == "100-continue":
        await channel.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if coding is not None:
        request.body = await read_chunked(reader)
    elif length:
        if int(length) > MAX_BODY:
            raise BadRequest("body too large")
        request.body = await reader.readexactly(int(length))
    return request


async def write_reply(channel, reply, head_only=False):
    if reply.events is None:
        body = reply.body or b""
        await channel.send(reply.head([("Content-Length", len(body))])
                           + (b"" if head_only else body))
        return
    await channel.send(reply.head([("Transfer-Encoding", "chunked")]))
    if reply.first_s:
        await asyncio.sleep(reply.first_s)
    for event in reply.events:
        await channel.send_chunk(event)
        if reply.pause_s:
            await asyncio.sleep(reply.pause_s)
    await channel.send(b"0\r\n\r\n")


async def serve_connection(reader, writer, exchange):
    """`exchange(request, channel)` answers one request; False closes."""
    channel = Channel(reader, writer)
    try:
        while True:
            request = await read_request(reader, channel)
            if request is None or not await exchange(request, channel):
                break
    except BadRequest as err:
        body = ("upstream emulator: bad request: %s\n" % err).encode()
        reply = Reply(400, [("Content-Type", "text/plain"), ("Connection", "close")], body)
        try:
            await write_reply(channel, reply)
        except OSError:
            pass
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()
