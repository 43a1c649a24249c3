"""The emulators behind HTTP/2: over TLS with ALPN, or with prior knowledge on cleartext.

hyper-h2 judges what arrives: a field or frame that RFC 9113 forbids ends the connection.
Each stream is one exchange with the provider, side by side. `Trouble` spoils streams in
ways that only this protocol has:

    hang     nothing at all, until the peer resets the stream
    refuse   RST_STREAM(REFUSED_STREAM) before anything was read by the provider
    reset    RST_STREAM(INTERNAL_ERROR) after some events
    goaway   GOAWAY that names this stream as the last one, which is then served
    drop     the connection is reset in the middle of the answer
"""
import asyncio
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from . import wire

EVENTS_BEFORE = 6   # what `reset` and `drop` send first: some content is among them


class Trouble:
    """shared: tests add, connections take; also counts connections, and tells on which one
    each stream came."""

    def __init__(self):
        self._lock = threading.Lock()
        self._planned = []
        self.connections = 0
        self.arrivals = []
        self.streams_reset_by_peer = 0
        self.broken_rules = []

    def add(self, name, times=1):
        with self._lock:
            self._planned += [name] * times

    def take(self):
        with self._lock:
            return self._planned.pop(0) if self._planned else None


class StreamChannel:
    """The writing side of one stream, as wire.Channel is of a connection."""

    def __init__(self, connection, stream, trouble):
        self.connection = connection
        self.stream = stream
        self.trouble = trouble
        self.gone = False
        self.room = asyncio.Event()
        self.reader = self

    def at_eof(self):
        return self.gone or self.connection.closed

    async def send(self, data):
        """DATA within what both windows allow."""
        h2_side = self.connection.h2
        while data:
            if self.at_eof():
                raise ConnectionError("peer left")
            room = min(h2_side.local_flow_control_window(self.stream),
                       h2_side.max_outbound_frame_size)
            if room <= 0:
                self.room.clear()
                await asyncio.wait_for(self.room.wait(), 30)
                continue
            h2_side.send_data(self.stream, data[:room])
            data = data[room:]
            await self.connection.flush()

    async def spoil(self):
        if self.trouble == "drop":
            self.connection.abort()
        else:
            self.connection.h2.reset_stream(self.stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            await self.connection.flush()
        raise ConnectionError("spoiled")

    async def reply(self, reply, head_only=False):
        if self.at_eof():
            raise ConnectionError("peer left")
        fields = [(":status", str(reply.status))]
        fields += [(name.lower(), str(value)) for name, value in reply.headers]
        pieces = [reply.body or b""] if reply.events is None else reply.events
        if reply.events is None:
            fields.append(("content-length", str(len(pieces[0]))))
        self.connection.h2.send_headers(self.stream, fields)
        await self.connection.flush()
        if reply.first_s:
            await asyncio.sleep(reply.first_s)
        for index, piece in enumerate([] if head_only else pieces):
            if self.trouble in ("reset", "drop") and index >= min(EVENTS_BEFORE, len(pieces) - 1):
                await self.spoil()
            await self.send(piece)
            if reply.pause_s:
                await asyncio.sleep(reply.pause_s)
        if self.at_eof():
            raise ConnectionError("peer left")
        self.connection.h2.end_stream(self.stream)
        await self.connection.flush()


class Connection:
    def __init__(self, reader, writer, exchange, trouble):
        self.reader = reader
        self.writer = writer
        self.exchange = exchange
        self.trouble = trouble
        self.closed = False
        self.bodies = {}
        self.channels = {}
        self.tasks = set()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1"))

    async def flush(self):
        data = self.h2.data_to_send()
        if data and not self.closed:
            self.writer.write(data)
            await self.writer.drain()

    def abort(self):
        self.closed = True
        wire.Channel(self.reader, self.writer).reset()

    async def serve(self):
        self.h2.initiate_connection()
        try:
            await self.flush()
            while not self.closed:
                data = await self.reader.read(65536)
                if not data:
                    break
                for event in self.h2.receive_data(data):
                    await self.on_event(event)
                await self.flush()
        except h2.exceptions.ProtocolError as err:
            self.trouble.broken_rules.append(repr(err))
            await self.flush()
        except OSError:
            pass
        finally:
            self.closed = True
            for channel in self.channels.values():
                channel.room.set()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.writer.close()

    async def on_event(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.bodies[stream] = (event.headers, bytearray())
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[stream][1].extend(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            await self.begin(stream)
        elif isinstance(event, h2.events.StreamReset):
            self.trouble.streams_reset_by_peer += 1
            if stream in self.channels:
                self.channels[stream].gone = True
                self.channels[stream].room.set()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for channel in self.channels.values():
                channel.room.set()

    async def begin(self, stream):
        fields, body = self.bodies.pop(stream)
        what = self.trouble.take()
        self.trouble.arrivals.append(id(self))
        if what == "refuse":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self.channels[stream] = channel = StreamChannel(self, stream, what)
        if what == "hang":
            return
        task = asyncio.ensure_future(self.answer(stream, channel, request_of(fields, bytes(body))))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if what == "goaway":
            # RFC 9113 6.8: what was begun is served, new streams belong elsewhere.
            self.writer.write(goaway_frame(stream))

    async def answer(self, stream, channel, request):
        try:
            await self.exchange(request, channel)
        except OSError:
            pass
        finally:
            self.channels.pop(stream, None)


def goaway_frame(last_stream):
    """Written by hand: hyper-h2 refuses to serve what it was told to end."""
    payload = last_stream.to_bytes(4, "big") + (0).to_bytes(4, "big")
    return len(payload).to_bytes(3, "big") + b"\x07\x00" + (0).to_bytes(4, "big") + payload


def request_of(fields, body):
    pseudo = {name: value for name, value in fields if name.startswith(":")}
    if set(pseudo) != {":method", ":scheme", ":authority", ":path"}:
        raise h2.exceptions.ProtocolError("pseudo fields %s" % sorted(pseudo))
    headers = [(name, value) for name, value in fields if not name.startswith(":")]
    headers.append(("host", pseudo[":authority"]))
    raw = "\r\n".join("%s: %s" % pair for pair in headers).encode("latin-1")
    request = wire.Request(pseudo[":method"], pseudo[":path"], headers, raw)
    request.body = body
    length = request.header("content-length")
    if length is not None and int(length) != len(body):
        raise h2.exceptions.ProtocolError("content-length %s of %d" % (length, len(body)))
    return request


async def serve_connection(reader, writer, exchange, trouble):
    trouble.connections += 1
    await Connection(reader, writer, exchange, trouble).serve()
