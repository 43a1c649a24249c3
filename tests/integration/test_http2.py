"""HTTP/2: prior knowledge on cleartext, ALPN over TLS."""
import json
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from tests.integration.gateway import Gateway, provider_block
from tests.integration.shapes import SHAPES
from tests.upstream.fleet import Fleet

CHAT = SHAPES["chat"]
try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError:
    h2 = None

needs_h2 = pytest.mark.skipif(h2 is None, reason="Python package h2 is not installed")


class Http2:
    """One connection; requests run side by side."""

    def __init__(self, sock):
        self.sock = sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.replies = {}
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, path, body=None, headers=(), method="POST"):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", "gateway.test"),
                  (":path", path)] + [(n.lower(), v) for n, v in headers]
        self.h2.send_headers(stream, fields, end_stream=body is None)
        self.replies[stream] = {"headers": {}, "body": b"", "trailers": {}, "end": None}
        for start in range(0, len(body or b""), 16000):
            piece = body[start:start + 16000]
            while self.h2.local_flow_control_window(stream) < len(piece):
                self.pump()
            self.h2.send_data(stream, piece)
            self.flush()
        if body is not None:
            self.h2.end_stream(stream)
        self.flush()
        return stream

    def pump(self):
        data = self.sock.recv(65536)
        assert data, "closed"
        for event in self.h2.receive_data(data):
            reply = self.replies.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                reply["headers"] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                reply["body"] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.TrailersReceived):
                reply["trailers"] = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                reply["end"] = "ended"
            elif isinstance(event, h2.events.StreamReset):
                reply["end"] = "reset"
        self.flush()

    def read(self, stream):
        while self.replies[stream]["end"] is None:
            self.pump()
        return self.replies[stream]


@pytest.fixture
def http2(gateway):
    with gateway.connect() as sock:
        yield Http2(sock)


def chat_body(prompt="hello there", stream=False):
    return json.dumps(CHAT.body("gpt-4o-mini", prompt, stream)).encode()


@needs_h2
def test_prior_knowledge(http2, key):
    reply = http2.read(http2.ask("/v1/chat/completions", chat_body(), CHAT.headers(key)))
    assert reply["headers"][":status"] == "200"
    assert b"You said: hello there" in reply["body"] and reply["end"] == "ended"
    assert reply["headers"]["x-gateway-decision"] == "openai/gpt-4o-mini"
    assert "connection" not in reply["headers"] and "transfer-encoding" not in reply["headers"]


@needs_h2
def test_streams_side_by_side(http2, key):
    streams = [http2.ask("/v1/chat/completions",
                         chat_body("number %d @words=6 @pause=0.05" % n, True), CHAT.headers(key))
               for n in range(20)]
    for stream in streams:
        reply = http2.read(stream)
        assert reply["body"].endswith(b"data: [DONE]\n\n")
        assert reply["trailers"].get("x-gateway-cost-usd")


@needs_h2
def test_large_body_both_ways(http2, key, fleet):
    body = chat_body("word " * 60000 + "@words=20000")
    reply = http2.read(http2.ask("/v1/chat/completions", body, CHAT.headers(key)))
    assert reply["headers"][":status"] == "200" and len(reply["body"]) > 100000
    assert fleet.journal.last().body == body


@needs_h2
def test_errors_in_the_envelope(http2):
    reply = http2.read(http2.ask("/v1/messages", b"{}", [("x-api-key", "wrong"),
                                                         ("content-type", "application/json")]))
    assert reply["headers"][":status"] == "401"
    SHAPES["messages"].check_error(401, reply["body"])


@needs_h2
def test_broken_stream_is_told(http2, key):
    body = json.dumps(CHAT.body("openai/fault-fin-600", "x", True)).encode()
    reply = http2.read(http2.ask("/v1/chat/completions", body, CHAT.headers(key)))
    assert b"[DONE]" not in reply["body"]
    assert reply["headers"][":status"] != "200" or CHAT.stream_error(reply["body"])


@needs_h2
def test_cancelled_stream_leaves_the_others(http2, key):
    slow = http2.ask("/v1/chat/completions", chat_body("@words=100 @pause=0.1", True),
                     CHAT.headers(key))
    while not http2.replies[slow]["body"]:
        http2.pump()
    http2.h2.reset_stream(slow, error_code=8)
    reply = http2.read(http2.ask("/v1/chat/completions", chat_body(), CHAT.headers(key)))
    assert b"You said" in reply["body"]


@needs_h2
@pytest.mark.parametrize("fields", [
    [("transfer-encoding", "chunked")], [("connection", "close")], [("te", "gzip")],
    [("content-length", "5")], [("X-Upper", "1")], [("x-a", "b\r\nc: d")], [("x-a", "b\x00")],
], ids=lambda f: f[0][0])
def test_illegal_fields(gateway, key, fields, fleet):
    with gateway.connect() as sock:
        client = Http2(sock)
        client.h2.config.validate_outbound_headers = False
        client.h2.config.normalize_outbound_headers = False
        stream = client.ask("/v1/chat/completions", chat_body(), CHAT.headers(key) + fields) \
            if fields[0][0] != "X-Upper" else raw_upper(client, key)
        try:
            reply = client.read(stream)
            assert reply["end"] == "reset" or reply["headers"].get(":status") in ("400", "413")
        except (AssertionError, OSError, h2.exceptions.ProtocolError) as err:
            assert "closed" in str(err) or isinstance(err, OSError) or "h2" in repr(type(err))
    assert fleet.journal.entries() == []
    assert gateway.healthy()


def raw_upper(client, key):
    """A field name in upper case, which the library would have lowered."""
    stream = client.h2.get_next_available_stream_id()
    client.replies[stream] = {"headers": {}, "body": b"", "trailers": {}, "end": None}
    client.h2.send_headers(stream, [(":method", "POST"), (":scheme", "http"),
                                    (":authority", "a"), (":path", "/v1/chat/completions"),
                                    ("authorization", "Bearer " + key), ("X-Upper", "1")])
    client.h2.send_data(stream, chat_body(), end_stream=True)
    client.flush()
    return stream


@pytest.mark.skipif(shutil.which("h2load") is None,
                    reason="h2load (Debian: nghttp2-client) is not installed")
def test_h2load(gateway, key, tmp_path):
    body = tmp_path / "body.json"
    body.write_bytes(chat_body(stream=True))
    done = subprocess.run(
        ["h2load", "-n", "300", "-c", "5", "-m", "10", "-d", str(body), "-H",
         "content-type: application/json", "-H", "authorization: Bearer " + key,
         gateway.url + "/v1/chat/completions"], capture_output=True, text=True, timeout=60)
    assert "300 succeeded, 0 failed" in done.stdout, done.stdout
    assert "status codes: 300 2xx" in done.stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(directory / "key.pem"),
                    "-out", str(directory / "cert.pem"), "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def tls_gateway(binary, fleet, certificate, tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), fleet)
    text = gateway.config.read_text().replace("\nadmin:", "\ntls: {cert: %s, key: %s}\nadmin:" % (
        certificate / "cert.pem", certificate / "key.pem"), 1)
    gateway.config.write_text(text)
    gateway.start(wait=False)
    context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    wait_tls(gateway, context)
    yield gateway
    gateway.stop()


def wait_tls(gateway, context):
    deadline = time.monotonic() + 120
    while True:
        try:
            with gateway.connect(20) as sock, context.wrap_socket(sock, server_hostname="localhost"):
                return
        except OSError as err:
            assert gateway.process.poll() is None, gateway.logs()
            assert time.monotonic() < deadline, err
            time.sleep(0.05)


def tls_ask(gateway, certificate, alpn, request, version=None):
    context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.minimum_version = context.maximum_version = version
    sock = context.wrap_socket(gateway.connect(), server_hostname="localhost")
    try:
        chosen = sock.selected_alpn_protocol()
        if chosen == "h2":
            client = Http2(sock)
            return chosen, client.read(client.ask(*request))["headers"][":status"]
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return chosen, sock.recv(1000).split(b" ")[1].decode()
    finally:
        sock.close()


@needs_h2
@pytest.mark.parametrize("alpn,chosen", [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"),
                                         ([], None), (["h2"], "h2")], ids=str)
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_alpn(tls_gateway, certificate, alpn, chosen, version):
    got, status = tls_ask(tls_gateway, certificate, alpn, ("/health", None, (), "GET"),
                          ssl.TLSVersion[version])
    assert got == chosen and status == "200"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reads_what_was_refused_at_the_head(gateway, key):
    """Version 7.88 drops an answer that a reset follows while it is still sending."""
    def curl(*arguments):
        return subprocess.run(["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge",
                               "-H", "Content-Type: application/json", *arguments],
                              capture_output=True, timeout=60)
    if b"HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True).stdout:
        pytest.skip("this curl does not speak HTTP/2")
    wrong = curl(gateway.url + "/v1/messages", "-d", "{}", "-H", "Authorization: Bearer wrong")
    assert wrong.returncode == 0, wrong
    assert json.loads(wrong.stdout)["error"]["type"] == "authentication_error"
    many = [word for i in range(200) for word in ("-H", "x-%d: 1" % i)]
    large = curl(gateway.url + "/v1/messages", "-d", "{}", *many)
    assert large.returncode == 0, large
    # Anthropic's envelope.
    assert json.loads(large.stdout)["type"] == "error" and b"limits.header_count" in large.stdout


def test_old_tls_is_refused(tls_gateway, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    except ValueError:
        pytest.skip("this Python cannot offer TLS 1.1")
    with tls_gateway.connect() as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sock)


def test_cleartext_on_the_tls_port(tls_gateway):
    with tls_gateway.connect() as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            assert b"200 OK" not in sock.recv(1000)
        except ConnectionResetError:
            pass


def test_tls_upstream_is_verified(binary, certificate, tmp_path):
    """Unknown certificate: refused, nothing sent. With its CA file: served."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    plain = Fleet().start()
    secure = Fleet(labels=("openai",), tls=context).start()
    blocks = [provider_block("doubtful", "openai", secure.url("openai"), secure.key("openai")),
              provider_block("trusted", "openai", secure.url("openai"), secure.key("openai"),
                             "ca_file: %s" % (certificate / "cert.pem"))]
    gateway = Gateway(tmp_path, plain, providers="\n".join(blocks)).start()
    key = gateway.new_key()["key"]
    statuses = [gateway.request("POST", "/v1/chat/completions",
                                CHAT.body(name + "/gpt-4o-mini", "x", False), key=key).status
                for name in ("doubtful", "trusted")]
    served = len(secure.journal.entries())
    gateway.stop()
    plain.stop()
    secure.stop()
    assert statuses == [502, 200] and served == 1


def test_http2_garbage(gateway):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for rubbish in (b"", b"\x00" * 100, b"\xff" * 100, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
                    + b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\xff" * 20):
        with gateway.connect(5) as sock:
            try:
                sock.sendall(preface + rubbish)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    assert gateway.healthy()
