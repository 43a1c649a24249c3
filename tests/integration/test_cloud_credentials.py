"""Providers that want more than a key: tokens got, shared, renewed, refused."""
import concurrent.futures
import time

import pytest

from tests.integration.books import wait_for
from tests.integration.gateway import Gateway, provider_block
from tests.upstream.azure_api import CLIENT_ID, TOKEN_PATH

ASK = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
VERTEX = "/v1beta/models/vertex%2Fgemini-2.5-flash:generateContent"
CHAT = {"model": "entra/gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture
def gateway(binary, fleet, tmp_path):
    account = tmp_path / "account.json"
    account.write_text(fleet.providers["vertex"].account(fleet.url("vertex")).file())
    block = provider_block("vertex", "vertex", fleet.url("vertex"), auth=None,
                           extra="region: us-central1\ncredentials_file: %s" % account)
    claude = block.replace("vertex:", "vertex_anthropic:", 1).replace(
        "kind: vertex", "kind: vertex_anthropic")
    entra = provider_block("entra", "azure", fleet.url("azure"), auth=None,
                           extra="client_id: %s\nclient_secret: %s\ntoken_url: %s"
                           % (CLIENT_ID, fleet.key("azure"), fleet.url("azure") + TOKEN_PATH))
    for label in ("vertex", "azure"):
        tokens = fleet.providers[label].tokens
        tokens.issued, tokens.lifetime_s, tokens.failing = [], 3600, False
    gateway = Gateway(tmp_path, fleet, providers="\n".join([block, claude, entra]), extra="workers: 1").start()
    yield gateway
    gateway.stop()


@pytest.fixture
def key(gateway):
    return gateway.new_key()["key"]


def test_one_token_serves_all(gateway, fleet, key):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: gateway.request("POST", VERTEX, ASK, key), range(32)))
    assert [a.status for a in answers] == [200] * 32, answers[0].body
    assert len(fleet.providers["vertex"].tokens.issued) == 1
    assert not any(e.header("x-goog-api-key") for e in fleet.journal.entries())


def test_entra(gateway, fleet, key):
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key)
    assert answer.status == 200, answer.body
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello there \u2713"
    sent = fleet.journal.last()
    assert sent.header("api-key") is None
    assert sent.header("authorization") == "Bearer " + fleet.providers["azure"].tokens.issued[0][0]


@pytest.mark.parametrize("stream", [False, True])
def test_claude_on_vertex(gateway, fleet, key, stream):
    answer = gateway.request("POST", "/v1/messages", {
        "model": "vertex_anthropic/claude-sonnet-4-5@20250929", "max_tokens": 50, "stream": stream,
        "messages": [{"role": "user", "content": "hello there"}]}, key)
    assert answer.status == 200, answer.body
    assert b"message_stop" in answer.body if stream else answer.json()["content"]
    assert fleet.journal.last().target.endswith(
        "claude-sonnet-4-5%4020250929:" + ("streamRawPredict" if stream else "rawPredict"))


def test_a_token_is_renewed_before_it_expires(gateway, fleet, key):
    tokens = fleet.providers["vertex"].tokens
    tokens.lifetime_s = 8
    started = time.monotonic()
    while len(tokens.issued) < 2:
        assert gateway.request("POST", VERTEX, ASK, key).status == 200
        assert time.monotonic() - started < 60, "no second token"
        time.sleep(0.05)
    # Not for every request, however many there were.
    assert len(tokens.issued) == 2 and time.monotonic() - started > 2


def test_a_refused_token_is_replaced(gateway, fleet, key):
    tokens = fleet.providers["vertex"].tokens
    assert gateway.request("POST", VERTEX, ASK, key).status == 200
    tokens.issued = [(token, 0) for token, _ in tokens.issued]      # revoked
    assert gateway.request("POST", VERTEX, ASK, key).status == 502
    assert gateway.request("POST", VERTEX, ASK, key).status == 200
    assert len(tokens.issued) == 2


def test_a_token_endpoint_that_fails_is_told_and_tried_again(gateway, fleet, key):
    tokens = fleet.providers["vertex"].tokens
    tokens.failing = True
    answer = gateway.request("POST", VERTEX, ASK, key)
    assert answer.status in (502, 503) and "access token" in answer.json()["error"]["message"]
    assert "no access token for a provider" in gateway.logs()
    tokens.failing = False
    wait_for(lambda: gateway.request("POST", VERTEX, ASK, key).status == 200, what="token")


def test_no_secret_is_logged(gateway, fleet, key):
    fleet.providers["vertex"].tokens.failing = True
    gateway.request("POST", VERTEX, ASK, key)
    gateway.request("POST", "/v1/chat/completions", CHAT, key)
    logs = gateway.logs()
    assert "PRIVATE KEY" not in logs and fleet.key("azure") not in logs
    assert "ya29." not in logs and "assertion" not in logs
