"""Bad input from a caller: the right status, in the envelope of the shape it
called, and a message that says what to change. The gateway stays well."""
import json
import socket

import pytest

from tests.integration.rawhttp import Broken, Connection, request_bytes
from tests.integration.shapes import SHAPES

BODY_LIMIT = 1024 * 1024


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "limits:\n  body_bytes: %d\n  body_timeout_ms: 1500\n" % BODY_LIMIT}


def ask(gateway, request):
    with Connection(gateway.connect()) as connection:
        connection.send(request)
        return connection.read()


def post(gateway, shape, key, body, model=None):
    return ask(gateway, request_bytes(shape.path(model or shape.model, False), body,
                                      shape.headers(key)))


MALFORMED = [
    b"", b"{", b"[]", b"null", b'"text"', b'{"model":}', b'{"model":"gpt-4o-mini",}',
    b"{'model':'x'}", b'{"model":"gpt-4o-mini"} trailing', b'{"model":"\xff\xfe"}',
    b'{"a":01,"model":"x"}', b'{"a":NaN}', b'{"a":"\x01"}', b'{"a":"\\ud800x"',
    b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"\xef\xbb\xbf" + b"{", b"\x00",
]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_malformed_json(gateway, key, shape, number, fleet):
    response = post(gateway, shape, key, MALFORMED[number])
    assert response.status == 400, response
    shape.check_error(400, response.body)
    assert fleet.journal.entries() == [], "it was sent upstream all the same"
    assert gateway.healthy()


@pytest.mark.parametrize("change", [{"model": 5}, {"model": None}, {"model": ["x"]}, {"model": ""},
                                    {"stream": "yes"}, {"stream": 1}], ids=str)
@pytest.mark.parametrize("shape", [SHAPES[n] for n in ("chat", "responses", "messages")],
                         ids=("chat", "responses", "messages"))
def test_wrong_types_of_what_steers(gateway, key, shape, change):
    body = dict(shape.body(shape.model, "x", False), **change)
    response = post(gateway, shape, key, json.dumps(body).encode())
    assert response.status == 400, response
    message = shape.check_error(400, response.body)
    assert next(iter(change)) in message


@pytest.mark.parametrize("shape", [SHAPES[n] for n in ("chat", "responses", "messages")],
                         ids=("chat", "responses", "messages"))
@pytest.mark.parametrize("member", ["model", "stream"])
def test_duplicate_steering_member(gateway, key, shape, member, fleet):
    body = json.dumps(shape.body(shape.model, "x", True)).encode()
    extra = b'{"model": "other-model", ' if member == "model" else b'{"stream": false, '
    response = post(gateway, shape, key, extra + body[1:])
    assert response.status == 400, response
    assert member in shape.check_error(400, response.body)
    assert fleet.journal.entries() == []


@pytest.mark.parametrize("spelling", [b'"\\u006dodel"', b'"mod\\u0065l"'])
def test_duplicate_in_another_spelling(gateway, key, spelling, fleet):
    """An escaped member name is the same name to every other parser."""
    body = json.dumps(SHAPES["chat"].body("gpt-4o-mini", "x", False)).encode()
    response = post(gateway, SHAPES["chat"], key, b"{" + spelling + b':"gpt-4o",' + body[1:])
    assert response.status == 400, response
    assert fleet.journal.entries() == []


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("model", ["never-heard-of-it", "nobody/gpt-4o-mini", "openai/"])
def test_unknown_model(gateway, key, shape, model, fleet):
    response = ask(gateway, shape.ask(key, model=model))
    assert response.status in (400, 404), response
    shape.check_error(response.status, response.body)
    if model != "openai/":
        assert response.status == 404
        assert model in shape.check_error(404, response.body)
    assert fleet.journal.entries() == []


def test_missing_model(gateway, key):
    body = {"messages": [{"role": "user", "content": "x"}]}
    response = post(gateway, SHAPES["chat"], key, json.dumps(body).encode())
    assert response.status == 400
    assert "model" in SHAPES["chat"].check_error(400, response.body)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_oversize(gateway, key, shape):
    body = dict(shape.body(shape.model, "x" * BODY_LIMIT, False))
    with Connection(gateway.connect()) as connection:
        try:
            connection.send(request_bytes(shape.path(shape.model, False), body,
                                          shape.headers(key)))
        except OSError:
            pass        # it may close while we still send
        response = connection.read()
    assert response.status == 413, response
    shape.check_error(413, response.body)
    assert gateway.healthy()


def test_oversize_is_told_from_the_declared_length(gateway, key):
    head = ("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n" % key).encode()
    assert ask(gateway, head).status == 413


def test_oversize_chunked(gateway, key):
    head = ("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" % key).encode()
    with Connection(gateway.connect()) as connection:
        connection.send(head)
        try:
            for _ in range(40):
                connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass
        assert connection.read().status == 413


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_truncated_upload(gateway, key, shape, fleet):
    request = shape.ask(key)
    with Connection(gateway.connect()) as connection:
        connection.send(request[:-10])
        connection.sock.shutdown(socket.SHUT_WR)
        try:
            response = connection.read()
            assert response.status in (400, 408)
            shape.check_error(response.status, response.body)
        except Broken:
            pass        # closed without an answer: nobody may be there to read it
    assert fleet.journal.entries() == []
    assert gateway.healthy()


def test_stalled_upload(gateway, key, fleet):
    request = SHAPES["chat"].ask(key)
    with Connection(gateway.connect()) as connection:
        connection.send(request[:-10])
        response = connection.read()
        assert response.status == 408
        SHAPES["chat"].check_error(408, response.body)
        assert connection.closed()
    assert fleet.journal.entries() == []


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_encoded_requests_are_refused(gateway, key, coding):
    body = json.dumps(SHAPES["chat"].body("gpt-4o-mini", "x", False)).encode()
    headers = SHAPES["chat"].headers(key) + [("Content-Encoding", coding)]
    assert ask(gateway, request_bytes("/v1/chat/completions", body, headers)).status == 415


@pytest.mark.parametrize("method,path,statuses", [
    ("GET", "/v1/chat/completions", (405,)), ("DELETE", "/v1/messages", (405,)),
    ("PUT", "/v1/embeddings", (405,)), ("GET", "/v1/nothing", (404,)),
    ("POST", "/nothing/at/all", (404,)), ("POST", "/v1/messages/nothing", (404,)),
    ("POST", "/v1beta/models/gemini-2.5-flash:dance", (404, 405)),
    ("POST", "/v1beta/models/gemini-2.5-flash", (404, 405)),
    ("POST", "/v1/models", (404, 405)), ("PATCH", "/v1/models/gpt-4o-mini", (404, 405)),
])
def test_wrong_method_or_path(gateway, key, method, path, statuses):
    headers = [("Authorization", "Bearer " + key)]
    with Connection(gateway.connect()) as connection:
        connection.send(request_bytes(path, b"{}" if method == "POST" else b"", headers, method))
        response = connection.read(method)
    assert response.status in statuses, response
    assert json.loads(response.body)["error"]["message"]
    if response.status == 405:
        assert response.header("allow")


@pytest.mark.parametrize("path", [
    "/v1/../admin/keys", "/v1/%2e%2e/admin/keys", "//admin/keys", "/v1/models/%00",
    "/v1/models/%", "/v1/models/%zz", "/v1beta/models/a%2f..%2fb:generateContent",
    "/v1beta/models/%0d%0aX:generateContent", "/v1beta/models/:generateContent",
])
def test_odd_paths(gateway, key, path, fleet):
    with Connection(gateway.connect()) as connection:
        connection.send(request_bytes(path, b"{}", [("Authorization", "Bearer " + key)]))
        assert connection.read().status in (400, 404, 405)
    assert fleet.journal.entries() == []
    assert gateway.healthy()


@pytest.mark.parametrize("model", ["openai/../../admin", "openai/x?y=z", "openai/x#y",
                                   "openai/a\r\nX-Evil: 1", "openai/\u0000", "azure/../x",
                                   "azure/..", "azure/.", "azure/a/b", "azure/a?b"])
def test_model_names_cannot_steer_the_target(gateway, key, model, fleet):
    """A model name may be refused, here or upstream, but never moves the path."""
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, model=model))
        connection.read()
    for entry in fleet.journal.entries():
        assert entry.target.partition("?")[0].startswith(
            ("/v1/chat/completions", "/openai/deployments/"))
        assert entry.target.count("/") <= 5 and "X-Evil" not in dict(entry.headers)
        assert not {".", "..", ""} & set(entry.target.partition("?")[0].split("/")[1:])
        assert entry.target.count("?") <= 1


def test_multipart_rubbish(gateway, key):
    for media, body in [("multipart/form-data", b"x"),
                        ("multipart/form-data; boundary=", b"x"),
                        ("multipart/form-data; boundary=b", b"--b\r\nno end"),
                        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: "
                         b"form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"),
                        ("application/json", b'{"model":"whisper-1"}')]:
        headers = [("Authorization", "Bearer " + key), ("Content-Type", media)]
        response = ask(gateway, request_bytes("/v1/audio/transcriptions", body, headers))
        assert response.status in (400, 415), (media, response)
        SHAPES["chat"].check_error(response.status, response.body)


def test_no_provider_key_in_errors(gateway, key, fleet):
    """A provider that refuses our key: the caller learns that, not the key."""
    response = ask(gateway, SHAPES["chat"].ask(key, model="openai/fault-401"))
    assert response.status == 502
    assert fleet.key("openai").encode() not in response.body
    assert b"401" not in response.body.split(b'"message"')[0]
