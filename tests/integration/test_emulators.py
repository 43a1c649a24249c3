"""The emulators themselves: a test bench is trusted only after it was tested."""
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.integration.gateway import ROOT
from tests.upstream import faults
from tests.upstream.fleet import Fleet

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def ask(fleet, label, path, body, headers=None, method="POST"):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(fleet.url(label, False) + path, data, method=method,
                                     headers=dict({"Content-Type": "application/json"},
                                                  **(headers or {})))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as err:
        return err.code, json.loads(err.read())


def bearer(fleet, label="openai"):
    return {"Authorization": "Bearer " + fleet.key(label)}


def test_journal_is_the_bill(fleet):
    ask(fleet, "openai", "/v1/chat/completions", CHAT, bearer(fleet))
    status, journal = ask(fleet, "openai", "/__control/journal", None, method="GET")
    entry = journal["data"][-1]
    assert status == 200 and entry["usage"]["prompt_tokens"] == 4
    assert entry["model"] == "gpt-4o-mini" and entry["outcome"] == "sent"
    assert ask(fleet, "openai", "/__control/reset", {})[1] == {"ok": True}
    assert fleet.journal.entries() == []


@pytest.mark.parametrize("headers,body", [
    ({"X-Gateway-Strict": "1"}, {}), ({"x-nexus-virtual-key": "a"}, {}),
    ({"X-Ingate-Provider": "a"}, {}), ({"Cookie": "session=1"}, {}), ({"x-astrolabe-a": "b"}, {}),
    ({"X-Stolabs-Route-Name": "a/b"}, {}), ({}, {"nexus": {}}), ({}, {"stoPayload": {}}),
    ({}, {"metadata": {"astrolabe": {}}}), ({}, {"user": "gw_virt_0123"}),
    ({"X-Gateway-Empty": ""}, {}), ({"X-Provider-Authorization": "a"}, {}),
    ({"X-Other": "key-" + "0a" * 32}, {}), ({}, {"user": "nvk_" + "0a" * 32}),
    ({"X-Other": "test-master-key-0123456789abcdef"}, {}),
])
def test_leaks_are_seen(headers, body):
    own = Fleet(labels=("openai",)).start()     # its leaks are not those of the session
    ask(own, "openai", "/v1/chat/completions", dict(CHAT, **body), dict(bearer(own), **headers))
    own.journal.reset()                         # which a test may do before the search
    assert len(own.journal.leaks()) == 1 and own.journal.leaks() == []
    own.stop()


@pytest.mark.parametrize("label,path,headers,status,kind", [
    ("openai", "/v1/chat/completions", {}, 401, "invalid_api_key"),
    ("openai", "/v1/nothing", {"Authorization": "Bearer {key}"}, 404, None),
    ("openai", "/v1/chat/completions", {"Authorization": "Bearer {key}", "x-api-key": "{key}"},
     401, "invalid_api_key"),
    ("anthropic", "/v1/messages", {"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
    ("anthropic", "/v1/messages", {"x-api-key": "{key}"}, 400, "invalid_request_error"),
    ("gemini", "/v1beta/models/gemini-2.5-flash:generateContent", {}, 403, "PERMISSION_DENIED"),
    ("gemini", "/v1beta/models/gemini-2.5-flash:generateContent",
     {"Authorization": "Bearer {key}"}, 400, "INVALID_ARGUMENT"),
    ("azure", "/openai/deployments/gpt-4o-mini/chat/completions", {"api-key": "{key}"}, 404,
     "404"),
    ("azure", "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21",
     {"Authorization": "Bearer {key}"}, 401, "401"),
    ("cohere", "/v2/chat", {}, 401, "no api key supplied"),
    ("cohere", "/v2/chat", {"Authorization": "Bearer {key}"}, 404, "not found"),
])
def test_native_refusals(fleet, label, path, headers, status, kind):
    headers = {name: value.format(key=fleet.key(label)) for name, value in headers.items()}
    got, body = ask(fleet, label, path, CHAT, headers)
    assert got == status
    if "error" not in body:
        assert kind in body["message"]
        return
    error = body["error"]
    assert kind in (error.get("code"), error.get("type"), error.get("status")) or (
        status == 404 and label == "azure")


def call(name="f", **more):
    return dict({"functionCall": {"name": name, "args": {}}}, **more)


USER = {"role": "user", "parts": [{"text": "x"}]}
ANSWER = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}
THINKING = {"role": "assistant", "content": [{"type": "thinking", "thinking": "t",
                                              "signature": "c2ln"}, {"type": "text", "text": "x"}]}
ITEM = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}


@pytest.mark.parametrize("label,model,body,word", [
    ("anthropic", "claude-haiku-4-5", {"messages": [THINKING]}, "signature"),
    ("anthropic", "claude-opus-4-8", {"temperature": 0.5}, "deprecated"),
    ("anthropic", "claude-haiku-4-5", {"temperature": 0.5, "top_p": 0.5}, "both"),
    ("gemini", "gemini-3-pro", [USER, {"role": "model", "parts": [call()]}, ANSWER],
     "missing a thought_signature"),
    ("gemini", "gemini-2.5-flash", [USER, {"role": "model", "parts": [
        call(thoughtSignature="AAAA")]}, ANSWER], "not valid"),
    ("gemini", "gemini-2.5-flash", [USER, {"role": "model", "parts": [
        {"functionCall": {"name": "f", "id": "1"}}]}, ANSWER], "Unknown name"),
    ("gemini", "gemini-2.5-flash", [USER, {"role": "model", "parts": [call("g")]}, ANSWER],
     "match"),
    ("gemini", "gemini-2.5-flash", [{"role": "model", "parts": [call()]}, ANSWER], "immediately"),
    ("openai", "gpt-4o-mini", [ITEM], "No tool output"),
    ("openai", "gpt-4o-mini", [OUTPUT], "No tool call"),
    ("openai", "gpt-4o-mini", [dict(ITEM, id="call_1"), OUTPUT], "begins with 'fc'"),
    ("openai", "gpt-4o-mini", [{"type": "reasoning", "id": "rs_1", "summary": [],
                                "encrypted_content": "x"}, ITEM, OUTPUT], "not be verified"),
    ("openai", "gpt-4o-mini", [{"type": "reasoning", "id": "rs_1", "summary": []}], "following"),
    ("openai", "gpt-4o-mini", [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
     "input_text"),
])
def test_rules_of_conversations(fleet, label, model, body, word):
    headers = bearer(fleet, label)
    if label == "anthropic":
        path = "/v1/messages"
        headers = {"x-api-key": fleet.key(label), "anthropic-version": "2023-06-01"}
        body = dict({"model": model, "max_tokens": 9,
                     "messages": [{"role": "user", "content": "x"}]}, **body)
    elif label == "gemini":
        path = "/v1beta/models/%s:generateContent" % model
        headers = {"x-goog-api-key": fleet.key(label)}
        body = {"contents": body}
    else:
        path, body = "/v1/responses", {"model": model, "input": body}
    status, value = ask(fleet, label, path, body, headers)
    assert status == 400 and word in value["error"]["message"], value


def raw_stream(fleet, fault, limit_s=2.0):
    body = json.dumps(dict(CHAT, model="fault-" + fault, stream=True,
                           stream_options={"include_usage": True})).encode()
    head = ("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (fleet.key("openai"), len(body))).encode()
    data = b""
    with socket.create_connection(("127.0.0.1", fleet.ports["openai"]), 60) as sock:
        sock.settimeout(limit_s)
        sock.sendall(head + body)
        try:
            while len(data) < 100000:
                more = sock.recv(65536)
                if not more:
                    return data, "eof"
                data += more
                if data.endswith(b"\r\n0\r\n\r\n"):
                    return data, "complete"
        except socket.timeout:
            return data, "hang"
        except ConnectionResetError:
            return data, "reset"
    return data, "flood"


@pytest.mark.parametrize("fault,expected", [
    ("hang", "hang"), ("hanghead", "hang"), ("hangmid", "hang"), ("rst-300", "reset"),
    ("fin-300", "eof"), ("clshort", "eof"), ("chunkshort", "eof"), ("noterminal", "complete"),
    ("errorevent", "complete"), ("huge-1", "flood"), ("drip", "complete"), ("nousage", "complete"),
    ("badusage", "complete"), ("gzip", "complete"), ("headerflood", "flood"), ("clte", "complete"),
    ("informational", "flood"), ("halfevent", "complete"), ("empty", "eof"), ("badstatus", "eof"),
])
def test_faults_happen(fleet, fault, expected):
    data, end = raw_stream(fleet, fault, 0.5 if "hang" in expected else 5)
    assert end == expected, data[-200:]
    if fault == "rst-300" or fault == "fin-300":
        assert len(data) == 300
    if fault in ("noterminal", "errorevent", "halfevent"):
        assert b"[DONE]" not in data
    if fault == "nousage":
        assert b'"usage": {' not in data and b"[DONE]" in data


def test_every_fault_has_a_way_to_play():
    assert set(faults.NAMES) == set(faults.PLAYERS) | set(faults.STATUS_FAULTS) | {
        "nousage", "zerousage", "dupusage", "badusage"}


def test_by_hand():
    process = subprocess.Popen([sys.executable, "-m", "tests.upstream"], cwd=ROOT,
                               stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline().split()
        assert line[0] == "openai" and line[1].startswith("http://127.0.0.1:")
        with urllib.request.urlopen(line[1][:-len("/v1")] + "/__control/journal", timeout=60) as got:
            assert json.loads(got.read()) == {"data": []}
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()


def test_client_departure_is_noticed(fleet):
    body = json.dumps(dict(CHAT, stream=True, messages=[
        {"role": "user", "content": "@words=100 @pause=0.1"}])).encode()
    head = ("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (fleet.key("openai"), len(body))).encode()
    with socket.create_connection(("127.0.0.1", fleet.ports["openai"]), 60) as sock:
        sock.sendall(head + body)
        sock.recv(1000)
    deadline = time.monotonic() + 60
    while fleet.journal.last().outcome == "open" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert fleet.journal.last().outcome == "client gone"
