"""HTTP/1.1 by hand: what goes out is exactly what a test wrote, and what comes
back is read strictly, with trailers and the time of each piece."""
import json
import socket
import time


class Broken(Exception):
    """The peer did not speak HTTP/1.1 properly, or closed too early."""


class Response:
    def __init__(self, status, headers):
        self.status = status
        self.headers = headers       # [(lower-case name, value)]
        self.trailers = []
        self.body = b""
        self.pieces = []             # [(monotonic seconds, bytes)]
        self.complete = False        # the framing ended properly
        self.informational = []

    def header(self, name, default=None):
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, "%s came %d times" % (name, len(values))
        return values[0] if values else default

    def trailer(self, name):
        return dict(self.trailers).get(name)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %r complete=%s>" % (self.status, self.body[:300], self.complete)


class Connection:
    def __init__(self, sock, limit_s=60):
        self.sock = sock
        self.data = b""
        self.limit_s = limit_s
        self.deadline = time.monotonic() + limit_s

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.deadline = time.monotonic() + self.limit_s
        self.sock.sendall(data)

    def _more(self):
        assert time.monotonic() < self.deadline, "no end after %d s" % self.limit_s
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Broken("closed, %d bytes unread" % len(self.data))
        self.data += data

    def _until(self, mark):
        while mark not in self.data:
            self._more()
        part, _, self.data = self.data.partition(mark)
        return part

    def read_until(self, mark):
        """Waits for bytes that may stand in the middle of a response."""
        return self._until(mark)

    def _exactly(self, count):
        while len(self.data) < count:
            self._more()
        part, self.data = self.data[:count], self.data[count:]
        return part

    @staticmethod
    def _fields(lines):
        fields = []
        for line in lines:
            name, colon, value = line.partition(b":")
            assert colon and name == name.strip() and b"\n" not in line, "header line %r" % line
            fields.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        return fields

    def read_head(self):
        lines = self._until(b"\r\n\r\n").split(b"\r\n")
        version, status, _ = (lines[0] + b" ").split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), lines[0]
        return Response(int(status), self._fields(lines[1:]))

    def read(self, method="POST"):
        """One response; a cut body leaves complete False instead of raising."""
        informational = []
        response = self.read_head()
        while response.status < 200 and response.status != 101:
            informational.append(response.status)
            response = self.read_head()
        response.informational = informational
        length = response.header("content-length")
        coding = response.header("transfer-encoding")
        assert not (length and coding), "both framings"
        try:
            if method == "HEAD" or response.status in (204, 304):
                response.complete = True
            elif coding is not None:
                assert coding == "chunked"
                self._read_chunks(response)
            elif length is not None:
                response.body = self._exactly(int(length))
                response.pieces.append((time.monotonic(), response.body))
                response.complete = True
            else:
                self._read_to_end(response)
        except Broken:
            pass
        return response

    def _read_chunks(self, response):
        try:
            while True:
                size = int(self._until(b"\r\n"), 16)
                if size == 0:
                    break
                piece = self._exactly(size)
                assert self._exactly(2) == b"\r\n"
                response.pieces.append((time.monotonic(), piece))
        finally:
            response.body = b"".join(piece for _, piece in response.pieces)
        lines = []
        while True:
            line = self._until(b"\r\n")
            if not line:
                break
            lines.append(line)
        response.trailers = self._fields(lines)
        response.complete = True

    def _read_to_end(self, response):
        try:
            while True:
                self._more()
        except Broken:
            response.body, self.data = self.data, b""
            response.complete = True

    def closed(self, limit_s=30):
        """Whether the peer closes within limit_s without another byte."""
        self.sock.settimeout(limit_s)
        try:
            return not self.data and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def request_bytes(path, body=b"", headers=(), method="POST", framing=True):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: gateway.test"]
    lines += ["%s: %s" % pair for pair in headers]
    if framing and (body or method == "POST"):
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def sse_frames(body):
    """[(event name, data)] of a stream, by the book."""
    frames, event, data = [], "", []
    for line in body.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if data:
                frames.append((event, "\n".join(data)))
            event, data = "", []
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "event":
                event = value
            elif field == "data":
                data.append(value)
    return frames
