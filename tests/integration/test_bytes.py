"""Bytes in equal bytes out, but for what the contract names: the model's name
and stream_options.include_usage. Relayed as they arrive."""
import json
import re
import socket
import time

import pytest

from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES

ODD_CHAT = (b'{ "zeta" : [1.0, 1e0,1E+2, -0.0, 12345678901234567890, 1e400],\t"model":"%s",\n'
            b'  "messages":[{"role":"user","content":"caf\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00",'
            b'"x-unknown":{"b":1,"a":[{}, [] ,null,true]}}] , "stream"  :%s,"alpha":"last" }  \r\n')
ODD_MESSAGES = (b'{"messages" : [ {"content":"caf\\u00e9 \xc3\xa9","role":"user"} ],'
                b' "zeta":1.50e+1,"max_tokens": 100.0e0 ,"model":"%s","stream" :%s ,\n"a":[ ]}')
ODD_GEMINI = (b'{ "generationConfig":{"temperature":1.00,"topK" : 4e1},\r\n "contents":'
              b'[{"role":"user","parts":[{"text":"caf\\u00e9 \xc3\xa9 \\/"}]} ] }')


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "limits: {header_count: 1000}\n"}


def exchange(gateway, path, body, headers):
    with Connection(gateway.connect()) as connection:
        connection.send(request_bytes(path, body, headers))
        return connection.read()


@pytest.mark.parametrize("stream", [b"false", b"true"], ids=["whole", "stream"])
def test_chat_request_bytes(gateway, key, fleet, stream):
    body = ODD_CHAT % (b"openai/lax-model", stream)
    response = exchange(gateway, "/v1/chat/completions", body, SHAPES["chat"].headers(key))
    assert response.status == 200, response
    sent = fleet.journal.last().body
    expected = body.replace(b"openai/lax-model", b"lax-model")
    if stream == b"true":
        # One member more, and nothing else: the usage the gateway needs.
        added = re.search(rb',?\s*"stream_options"\s*:\s*\{\s*"include_usage"\s*:\s*true\s*\}\s*,?',
                          sent)
        assert added, sent
        without = sent[:added.start()] + sent[added.end():]
        joined = sent[:added.start()] + b"," + sent[added.end():]
        assert expected in (without, joined), sent
    else:
        assert sent == expected


def test_include_usage_false_is_turned_on(gateway, key, fleet):
    body = (b'{"stream":true, "stream_options" : {"include_obfuscation":false,"include_usage":'
            b'false},"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}')
    response = exchange(gateway, "/v1/chat/completions", body, SHAPES["chat"].headers(key))
    assert response.status == 200 and b"[DONE]" in response.body
    sent = fleet.journal.last()
    assert sent.json()["stream_options"]["include_usage"] is True
    assert sent.json()["stream_options"]["include_obfuscation"] is False
    assert b'"usage": {' not in response.body, "the caller did not ask for usage"


@pytest.mark.parametrize("stream", [b"false", b"true"], ids=["whole", "stream"])
def test_messages_request_bytes(gateway, key, fleet, stream):
    body = ODD_MESSAGES % (b"anthropic/lax-model", stream)
    headers = SHAPES["messages"].headers(key)
    exchange(gateway, "/v1/messages", body, headers)
    assert fleet.journal.last().body == body.replace(b"anthropic/lax-model", b"lax-model")


def test_version_and_betas_pass(gateway, key, fleet):
    headers = [(name, "2026-10-21" if name == "anthropic-version" else value)
               for name, value in SHAPES["messages"].headers(key)]
    body = SHAPES["messages"].ask(key, model="anthropic/lax-model").partition(b"\r\n\r\n")[2]
    exchange(gateway, "/v1/messages", body, headers + [("anthropic-beta", "later-2030,sooner")])
    entry = fleet.journal.last()
    assert entry.header("anthropic-version") == "2026-10-21"
    assert entry.header("anthropic-beta") == "later-2030,sooner"


@pytest.mark.parametrize("path,model", [
    ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
    ("/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "gemini-2.5-flash"),
    ("/v1beta/models/gemini%2Flax-tuned%3A7:generateContent", "lax-tuned:7"),
    ("/v1beta/models/gemini%2Flax-model:generateContent", "lax-model"),
    ("/v1/models/gemini-2.5-flash%3AgenerateContent", "gemini-2.5-flash"),
    ("/v1beta/models/gemini%2Flax-tuned%3a7%3agenerateContent", "lax-tuned:7"),
])
def test_gemini_request_bytes(gateway, key, fleet, path, model):
    response = exchange(gateway, path, ODD_GEMINI, SHAPES["gemini"].headers(key))
    entry = fleet.journal.last()
    assert response.status == 200, response
    assert entry.body == ODD_GEMINI
    assert entry.model == model


def test_responses_request_bytes(gateway, key, fleet):
    body = (b'{"input":[ {"role":"user","content":[{"type":"input_text","text":"a"}]}],"include":[],'
            b'"client_metadata" : {"x":1e1}, "model" : "gpt-4o-mini","stream":true}')
    exchange(gateway, "/v1/responses", body, SHAPES["responses"].headers(key))
    assert fleet.journal.last().body == body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_response_bytes(gateway, key, fleet, shape, stream):
    extra = {"stream_options": {"include_usage": True}} if stream and shape.name == "chat" else {}
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, stream=stream, extra=extra))
        response = connection.read()
    assert response.status == 200 and response.complete
    assert response.body == fleet.journal.last().reply


def test_gemini_json_array_bytes(gateway, key, fleet):
    response = exchange(gateway, "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
                        ODD_GEMINI, SHAPES["gemini"].headers(key))
    assert response.header("content-type").startswith("application/json")
    assert response.body == fleet.journal.last().reply
    assert isinstance(json.loads(response.body), list)


@pytest.mark.parametrize("shape", [SHAPES["chat"], SHAPES["messages"]], ids=["chat", "messages"])
def test_odd_stream_is_relayed_as_it_is(gateway, key, fleet, shape):
    """Comments, CRLF, unknown events, ids: a relay does not tidy up."""
    extra = {"stream_options": {"include_usage": True}} if shape.name == "chat" else {}
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, model=shape.provider + "/odd-model", stream=True,
                                  extra=extra))
        response = connection.read()
    assert response.status == 200
    assert response.body == fleet.journal.last().reply


def test_errors_of_the_provider_pass(gateway, key, fleet):
    for shape in SHAPES.values():
        with Connection(gateway.connect()) as connection:
            connection.send(shape.ask(key, model=shape.provider + "/no-such-model"))
            response = connection.read()
        assert response.status == 404
        assert response.body == fleet.journal.last().reply


def test_usage_chunk_is_hidden_when_not_asked_for(gateway, key, fleet):
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, stream=True))
        response = connection.read()
    entry = fleet.journal.last()
    assert entry.usage, "the gateway asks for usage on its own"
    assert b'"choices": []' in entry.reply and b'"choices": []' not in response.body
    assert response.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_frames_arrive_when_they_are_sent(gateway, key, shape):
    """What is kept back by the gateway is kept back every time; a busy machine has better
    moments."""
    for _ in range(4):
        with Connection(gateway.connect()) as connection:
            started = time.monotonic()
            connection.send(shape.ask(key, prompt="@words=10 @pause=0.2", stream=True))
            response = connection.read()
        assert response.complete
        times = [moment - started for moment, _ in response.pieces]
        assert times[-1] > 1.8
        gaps = [b - a for a, b in zip(times, times[1:])]
        if times[0] < 1.2 and len(times) >= 8 and max(gaps) < 1.2:
            return
    pytest.fail("never as they were sent, last: %s" % times)


def test_large_bodies(gateway, key, fleet):
    prompt = "word " * 400000                       # 2 MB
    shape = SHAPES["chat"]
    with Connection(gateway.connect(30)) as connection:
        connection.send(shape.ask(key, prompt=prompt + "@words=1"))
        response = connection.read()
    assert response.status == 200, response
    assert len(fleet.journal.last().body) > 2000000
    with Connection(gateway.connect(30)) as connection:
        connection.send(shape.ask(key, prompt="@words=8000", stream=True,
                                  extra={"stream_options": {"include_usage": True}}))
        response = connection.read()
    assert response.complete and response.body == fleet.journal.last().reply


@pytest.mark.parametrize("pause_s", [0.0, 0.3], ids=["fast", "slow"])
def test_a_slow_reader_gets_everything(gateway, key, fleet, pause_s):
    """Back-pressure stops the provider, and lets it go on again."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.connect(("127.0.0.1", gateway.port))
        sock.settimeout(60)
        connection = Connection(sock)
        connection.send(SHAPES["chat"].ask(key, prompt="@words=8000", stream=True,
                                           extra={"stream_options": {"include_usage": True}}))
        for _ in range(5):
            time.sleep(pause_s)
            connection.data += sock.recv(4096)
        response = connection.read()
    assert response.complete and response.body == fleet.journal.last().reply


def test_transcription_multipart(gateway, key, fleet):
    sound = bytes(range(256)) * 500
    body = (b"--b-9\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
            b"Content-Type: audio/wav\r\n\r\n" + sound + b"\r\n--b-9\r\nContent-Disposition: "
            b"form-data; name=\"model\"\r\n\r\nopenai/whisper-1\r\n--b-9--\r\n")
    headers = [("Authorization", "Bearer " + key),
               ("Content-Type", "multipart/form-data; boundary=b-9")]
    response = exchange(gateway, "/v1/audio/transcriptions", body, headers)
    assert response.status == 200, response
    assert fleet.journal.last().body == body.replace(b"openai/whisper-1", b"whisper-1")


def test_headers_upstream(gateway, key, fleet):
    """Own credential, no caller's; what belongs to the provider passes."""
    headers = SHAPES["chat"].headers(key) + [
        ("OpenAI-Organization", "org-1"), ("OpenAI-Beta", "x=1"), ("Cookie", "session=secret"),
        ("X-Gateway-Strict", "0"), ("X-Nexus-Request-Id", "a"), ("X-Ingate-User-Id", "u"),
        ("x-astrolabe-confirmed", "1"), ("X-Forwarded-For", "10.0.0.1"),
        ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Accept-Encoding", "gzip, br")]
    response = exchange(gateway, "/v1/chat/completions",
                        SHAPES["chat"].body("gpt-4o-mini", "x", False), headers)
    assert response.status == 200, response
    entry = fleet.journal.last()
    assert entry.header("authorization") == "Bearer " + fleet.key("openai")
    assert entry.header("openai-organization") == "org-1"
    assert entry.header("openai-beta") == "x=1"
    assert entry.header("x-hop") is None and entry.header("cookie") is None
    assert key.encode() not in repr(entry.headers).encode()
    assert entry.header("accept-encoding") in (None, "identity")


@pytest.mark.parametrize("first", ["keep-alive", "X-First", "keep-alive, X-First"])
def test_connection_fields_are_one_list(gateway, key, fleet, first):
    """What any of several Connection fields names goes no further, whatever the first says."""
    headers = SHAPES["chat"].headers(key) + [
        ("Connection", first), ("OpenAI-Beta", "x=1"), ("CONNECTION", "keep-alive"),
        ("connection", "x-hop ,X-Last"), ("X-Hop", "1"), ("x-last", "2")]
    response = exchange(gateway, "/v1/chat/completions",
                        SHAPES["chat"].body("gpt-4o-mini", "x", False), headers)
    assert response.status == 200, response
    entry = fleet.journal.last()
    assert entry.header("openai-beta") == "x=1"
    assert entry.header("x-hop") is None and entry.header("x-last") is None


def test_many_fields_keep_no_credential_out(gateway, key, fleet):
    """As many as the limit allows go on, and what the gateway puts to them does, too."""
    many = [("X-Field-%d" % i, str(i)) for i in range(500)]
    response = exchange(gateway, "/v1/chat/completions",
                        SHAPES["chat"].body("gpt-4o-mini", "x", False),
                        SHAPES["chat"].headers(key) + many)
    assert response.status == 200, response
    entry = fleet.journal.last()
    assert all(entry.header(name.lower()) == value for name, value in many)
    assert entry.header("authorization") == "Bearer " + fleet.key("openai")
    assert entry.header("traceparent")


def test_surface_members_do_not_leak(gateway, key, fleet):
    """metadata.astrolabe, nexus and stoPayload belong to contracts, not to providers."""
    body = SHAPES["chat"].body("openai/lax-model", "x", False)
    body.update(metadata={"astrolabe": {"stack": "x"}, "keep": "y"},
                nexus={"ext": {}}, stoPayload={})
    exchange(gateway, "/v1/chat/completions", json.dumps(body).encode(),
             SHAPES["chat"].headers(key))
    for entry in fleet.journal.entries():
        if entry.leaks:
            fleet.journal.reset()
            pytest.fail("leaked: %s" % entry.leaks)
