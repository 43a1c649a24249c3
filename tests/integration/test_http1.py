"""HTTP/1.1 by hand: what a strict front end must take, and what it must refuse."""
import socket
import time

import pytest

from tests.integration.books import wait_for
from tests.integration.rawhttp import Broken, Connection, request_bytes
from tests.integration.shapes import SHAPES

CHAT = SHAPES["chat"]


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "limits:\n  header_timeout_ms: 4000\n  header_bytes: 16384\n"}


@pytest.fixture
def connection(gateway):
    with Connection(gateway.connect()) as connection:
        yield connection


def test_keep_alive(connection, key):
    for number in range(20):
        connection.send(CHAT.ask(key, prompt="n %d" % number, stream=number % 2 == 1))
        response = connection.read()
        assert response.status == 200 and response.complete
        assert response.header("connection", "keep-alive").lower() != "close"


def test_pipelining(connection, key):
    connection.send(b"".join(CHAT.ask(key, prompt="number %d" % n, stream=n == 2)
                             for n in range(6)))
    for number in range(6):
        response = connection.read()
        assert response.status == 200
        if number != 2:
            assert b"You said: number %d" % number in response.body


def test_connection_close(connection, key):
    request = CHAT.ask(key).replace(b"\r\nHost", b"\r\nConnection: close\r\nHost", 1)
    connection.send(request)
    assert connection.read().status == 200
    assert connection.closed()


def test_byte_by_byte(connection, key):
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = CHAT.ask(key)
    for index in range(len(request)):
        connection.send(request[index:index + 1])
    assert connection.read().status == 200


def chunked(body, size=10, extensions=b"", trailers=b""):
    parts = [b"%x%s\r\n%s\r\n" % (len(body[i:i + size]), extensions, body[i:i + size])
             for i in range(0, len(body), size)]
    return b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def chunked_request(key, coded):
    head, _, _ = CHAT.ask(key).partition(b"\r\nContent-Length")
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + coded


def test_chunked_and_trailers(connection, key, fleet):
    body = CHAT.ask(key).partition(b"\r\n\r\n")[2]
    for options in ({}, {"size": 1}, {"extensions": b";a=b"},
                    {"trailers": b"X-Check: 1\r\nX-More: 2\r\n"}):
        connection.send(chunked_request(key, chunked(body, **options)))
        assert connection.read().status == 200, options
        assert fleet.journal.last().body == body
        assert fleet.journal.last().header("x-check") is None


def test_expect_continue(connection, key):
    head, _, body = CHAT.ask(key).partition(b"\r\n\r\n")
    connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert connection.read_head().status == 100
    connection.send(body)
    assert connection.read().status == 200


def test_expect_continue_with_a_wrong_key(connection):
    head, _, _ = CHAT.ask("gw_virt_wrong").partition(b"\r\n\r\n")
    connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert connection.read_head().status == 401, "no 100 for a body nobody will read"


def test_unknown_expectation(connection, key):
    head, _, body = CHAT.ask(key).partition(b"\r\n\r\n")
    connection.send(head + b"\r\nExpect: magic\r\n\r\n" + body)
    assert connection.read().status in (400, 417)


def test_head(connection, key):
    connection.send(request_bytes("/v1/models", b"", [("Authorization", "Bearer " + key)], "HEAD"))
    response = connection.read("HEAD")
    assert response.status == 200 and int(response.header("content-length")) > 0
    connection.send(request_bytes("/v1/models", b"", [("Authorization", "Bearer " + key)], "GET"))
    assert connection.read().json()["object"] == "list"


def test_websocket_upgrade(connection, key):
    connection.send(request_bytes("/v1/responses", b"", [
        ("Authorization", "Bearer " + key), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("OpenAI-Beta", "responses_websockets=2026-02-06")], "GET"))
    response = connection.read("GET")
    assert response.status == 426
    CHAT.check_error(426, response.body)


def test_http_1_0(gateway, key):
    request = CHAT.ask(key, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with Connection(gateway.connect()) as connection:
        connection.send(request)
        response = connection.read()
    assert response.status == 200
    assert response.header("transfer-encoding") is None, "1.0 knows no chunks"
    assert b"[DONE]" in response.body


GOOD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
SMUGGLING = {
    "cl and te": GOOD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
    "te and cl": GOOD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two cl": GOOD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two equal cl": GOOD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "cl list": GOOD + b"Content-Length: 2, 2\r\n\r\n{}",
    "cl plus": GOOD + b"Content-Length: +2\r\n\r\n{}",
    "cl minus": GOOD + b"Content-Length: -2\r\n\r\n{}",
    "cl hex": GOOD + b"Content-Length: 0x2\r\n\r\n{}",
    "cl empty": GOOD + b"Content-Length: \r\n\r\n{}",
    "cl huge": GOOD + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "cl inner space": GOOD + b"Content-Length: 1 2\r\n\r\n{}",
    "te twice": GOOD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te list": GOOD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "te gzip": GOOD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te identity": GOOD + b"Transfer-Encoding: identity\r\n\r\n",
    "te chunked last": GOOD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "te quoted": GOOD + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    "te xchunked": GOOD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te vtab": GOOD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "te in 1.0": GOOD.replace(b"HTTP/1.1", b"HTTP/1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare lf": GOOD.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    "one bare lf": GOOD + b"X-A: b\nContent-Length: 2\r\n\r\n{}",
    "bare cr": GOOD + b"X-A: b\rX-C: d\r\nContent-Length: 2\r\n\r\n{}",
    "nul in value": GOOD + b"X-A: b\x00c\r\nContent-Length: 2\r\n\r\n{}",
    "obs-fold": GOOD + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "space before colon": GOOD + b"Content-Length : 2\r\n\r\n{}",
    "space first": GOOD.replace(b"\r\nHost", b"\r\n Host") + b"Content-Length: 2\r\n\r\n{}",
    "empty name": GOOD + b": x\r\nContent-Length: 2\r\n\r\n{}",
    "no colon": GOOD + b"nothing\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts": GOOD + b"Host: b\r\nContent-Length: 2\r\n\r\n{}",
    "no host": GOOD.replace(b"Host: a\r\n", b"") + b"Content-Length: 2\r\n\r\n{}",
    "chunk size sign": GOOD + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "chunk size 0x": GOOD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size empty": GOOD + b"Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
    "chunk size huge": GOOD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    "chunk bare lf": GOOD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "chunk too long": GOOD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "chunk runs on": GOOD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "wrong version": b"GET /health HTTP/1.2\r\nHost: a\r\n\r\n",
    "version text": b"GET /health HTTP/x.1\r\nHost: a\r\n\r\n",
    "tab in request line": b"GET\t/health\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "space in target": b"GET /he alth HTTP/1.1\r\nHost: a\r\n\r\n",
    "control in target": b"GET /he\x01alth HTTP/1.1\r\nHost: a\r\n\r\n",
    "method": b"G@T /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "tls on cleartext": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
}


@pytest.mark.parametrize("form", SMUGGLING)
def test_smuggling_forms(connection, key, form, fleet, gateway):
    """Refused, and the connection closed: what follows is never a request."""
    attack = SMUGGLING[form].replace(b"{key}", key.encode())
    follow = b"GET /health HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    connection.send(attack + b"\r\n" + follow)
    answers = []
    connection.sock.settimeout(30)
    try:
        while True:
            answers.append(connection.read("GET"))
    except Broken:
        pass
    except socket.timeout:
        pytest.fail("the connection was left open: %r" % answers)
    assert len(answers) <= 1, "the bytes behind it were answered: %r" % answers
    if answers:
        assert answers[0].status in (400, 413, 501, 505), answers
    assert fleet.journal.entries() == [], "it reached the provider"
    assert gateway.healthy()


def test_connect_and_absolute_targets(gateway):
    for target in (b"CONNECT a:443", b"GET http://evil.test/v1/models", b"OPTIONS *"):
        with Connection(gateway.connect()) as connection:
            connection.send(target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            response = connection.read("GET")
            assert response.status in (400, 401, 404, 405, 501), (target, response)


def test_many_headers(connection):
    fields = b"".join(b"X-%d: y\r\n" % i for i in range(2000))
    connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert connection.read("GET").status == 431
    assert connection.closed()


def test_large_header(connection):
    try:
        connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Big: " + b"y" * 40000 + b"\r\n\r\n")
    except OSError:
        pass
    assert connection.read("GET").status == 431


def test_long_target(connection):
    try:
        connection.send(b"GET /" + b"y" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    except OSError:
        pass
    assert connection.read("GET").status in (414, 431)


def test_agent_sized_headers_pass(connection, key):
    """Codex sends some 700 bytes of JSON in one header."""
    request = CHAT.ask(key).replace(b"\r\nHost", b"\r\nx-codex-turn-metadata: " + b"{}" * 2000
                                    + b"\r\ncookie:\r\nHost", 1)
    connection.send(request)
    assert connection.read().status == 200


def test_header_timeout(connection):
    started = time.monotonic()
    connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    response = connection.read("GET")
    assert response.status == 408
    assert 3 < time.monotonic() - started < 30
    assert connection.closed()


def test_slow_header_bytes_do_not_reset_the_clock(connection):
    started = time.monotonic()
    connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    connection.sock.settimeout(0.2)
    data = b""
    while not data and time.monotonic() - started < 30:
        try:
            connection.send(b"y")
            data = connection.sock.recv(1000)
        except socket.timeout:
            continue
        except OSError:
            break
    assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("path", ["/v1beta/models/gemini%2Flax-a%3Ab:generateContent",
                                  "/v1/models/gemini/lax-a%3ab:generateContent"])
def test_percent_encoding_in_the_path(connection, key, fleet, path):
    body = SHAPES["gemini"].body("", "x", False)
    connection.send(request_bytes(path, body, SHAPES["gemini"].headers(key)))
    assert connection.read().status == 200
    assert fleet.journal.last().model == "lax-a:b"


def test_client_departure_cancels_upstream(gateway, fleet):
    """Where the key says so; otherwise the answer is read on for its cost (test_money)."""
    key = gateway.new_key(on_disconnect="cancel", total_budget_usd=1)["key"]
    with Connection(gateway.connect()) as connection:
        connection.send(CHAT.ask(key, prompt="@words=250 @pause=0.2", stream=True))
        connection.read_head()
    wait_for(lambda: fleet.journal.last().outcome == "client gone", limit_s=40, what="cancel")
    assert gateway.healthy()


def test_many_connections(gateway, key):
    connections = [Connection(gateway.connect()) for _ in range(200)]
    for connection in connections:
        connection.send(CHAT.ask(key, prompt="@words=5 @pause=0.02", stream=True))
    for connection in connections:
        assert b"[DONE]" in connection.read().body
        connection.sock.close()
