"""The native contract: one test for each acceptance check, by its number."""
import json
import re
from decimal import Decimal

import pytest

from tests.integration.books import wait_for
from tests.integration.gateway import MASTER_KEY, PRICES
from tests.integration.rawhttp import Connection, request_bytes

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
FIVE = ("Decision", "Route-Bucket", "Route-Score", "Cost-Usd", "Retries")
MODELS = """\
  - name: two
    strategy: priority
    deployments:
      - {provider: openai, model: gpt-4o-mini, priority: 1}
      - {provider: openai-b, model: gpt-4o-mini, priority: 2}
  - name: smart
    strategy: tier
    deployments:
      - {provider: openai, model: gpt-4o-mini, tier: simple}
      - {provider: anthropic, model: claude-haiku-4-5, tier: medium}
      - {provider: openai-b, model: gpt-4o-mini, tier: complex}
  - name: dead
    deployments: [{provider: refused, model: x}, {provider: refused, model: y}]
"""
WAV = b"RIFF$\0\0\0WAVEfmt " + bytes(28)


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": MODELS, "retries": 2, "router": "auto: smart"}


@pytest.fixture
def ask(gateway, key):
    def ask(path="/v1/chat/completions", body=CHAT, key=key, **headers):
        return gateway.request("POST", path, body, key=key, headers=headers)
    return ask


def form(model):
    lines = [b"--b", b'Content-Disposition: form-data; name="model"', b"", model.encode(), b"--b",
             b'Content-Disposition: form-data; name="file"; filename="a.wav"',
             b"Content-Type: audio/wav", b"", WAV, b"--b--", b""]
    return b"\r\n".join(lines)


ENDPOINTS = {
    "chat": ("/v1/chat/completions", CHAT),
    "responses": ("/v1/responses", {"model": "gpt-4o-mini", "input": "hello there"}),
    "completions": ("/v1/completions", {"model": "openai/gpt-3.5-turbo-instruct",
                                        "prompt": "hello there"}),
    "embeddings": ("/v1/embeddings", {"model": "openai/text-embedding-3-small", "input": "x"}),
    "moderations": ("/v1/moderations", {"model": "omni-moderation-latest", "input": "x"}),
    "images": ("/v1/images/generations", {"model": "openai/gpt-image-1", "prompt": "a cat"}),
    "transcriptions": ("/v1/audio/transcriptions", form("openai/gpt-4o-mini-transcribe")),
}


def post(gateway, key, path, body):
    kind = "multipart/form-data; boundary=b" if isinstance(body, bytes) else "application/json"
    with Connection(gateway.connect()) as connection:
        connection.send(request_bytes(path, body, [("Authorization", "Bearer " + key),
                                                   ("Content-Type", kind)]))
        return connection.read()


def test_45_chat_with_five_headers(ask):
    answer = ask()
    assert answer.status == 200
    headers = {name: answer.headers["X-Gateway-" + name] for name in FIVE}
    assert re.match(r"^[^/]+/.+$", headers["Decision"])
    assert headers["Decision"] == "openai/gpt-4o-mini"
    assert headers["Route-Bucket"] == "direct" and headers["Route-Score"] == "0.00"
    assert headers["Retries"] == "0"
    usage, prices = answer.json()["usage"], PRICES["openai/gpt-4o-mini"]
    cost = usage["prompt_tokens"] * prices[0] + usage["completion_tokens"] * prices[1]
    assert headers["Cost-Usd"] == "%.6f" % (cost / 1e6)


def exact_cost(headers):
    return Decimal(headers.get("X-Gateway-Cost-Exact-Usd") or headers["X-Gateway-Cost-Usd"])


@pytest.mark.parametrize("tokens", [1, 2, 3, 1000001])
def test_45_six_decimals_and_all_where_they_round(gateway, ask, key, tokens):
    """Half a millionth of a dollar for each token of the request."""
    body = dict(CHAT, model="gemini-2.5-flash",
                messages=[{"role": "user", "content": "@in=%d @out=0 hello" % tokens}])
    headers = ask(body=body).headers
    cost = tokens * Decimal(str(PRICES["gemini/gemini-2.5-flash"][0])) / 1000000
    assert re.match(r"^\d+\.\d{6}$", headers["X-Gateway-Cost-Usd"])
    assert abs(Decimal(headers["X-Gateway-Cost-Usd"]) - cost) <= Decimal("0.0000005")
    assert exact_cost(headers) == cost
    assert ("X-Gateway-Cost-Exact-Usd" in headers) == (tokens % 2 == 1)
    stream = post(gateway, key, "/v1/chat/completions", dict(body, stream=True))
    assert stream.trailer("x-gateway-cost-usd") == headers["X-Gateway-Cost-Usd"]
    assert stream.trailer("x-gateway-cost-exact-usd") == headers.get("X-Gateway-Cost-Exact-Usd")


def test_45_an_unknown_price_is_told_as_no_number(gateway, ask, key):
    body = dict(CHAT, model="openai/house-model")
    headers = ask(body=body).headers
    assert [name for name in FIVE if "X-Gateway-" + name not in headers] == []
    assert headers["X-Gateway-Cost-Usd"] == "" and "X-Gateway-Cost-Exact-Usd" not in headers
    stream = post(gateway, key, "/v1/chat/completions", dict(body, stream=True))
    assert stream.status == 200 and stream.trailer("x-gateway-cost-usd") == ""
    # What was not served has no price to be unknown.
    assert "X-Gateway-Cost-Usd" not in ask(body=dict(CHAT, model="openai/none")).headers


@pytest.mark.parametrize("name", ENDPOINTS)
def test_46_each_endpoint_with_five_headers(gateway, key, name):
    path, body = ENDPOINTS[name]
    response = post(gateway, key, path, body)
    assert response.status == 200, response.body
    for header in FIVE:
        assert response.header("x-gateway-" + header.lower()), header
    assert re.match(r"^\d+\.\d{6}$", response.header("x-gateway-cost-usd"))


def test_47_responses_for_another_provider(ask, fleet):
    answer = ask("/v1/responses", {"model": "claude-haiku-4-5", "input": "hello there"})
    assert answer.status == 200, answer.body
    assert fleet.journal.last().target == "/v1/messages"
    assert answer.json()["object"] == "response" and answer.json()["status"] == "completed"
    assert answer.headers["X-Gateway-Decision"] == "anthropic/claude-haiku-4-5"


def test_48_keys(gateway):
    made = gateway.request("POST", "/admin/keys", {
        "name": "billing bot", "team": "finance", "models": ["gpt-4o-mini"], "rpm": 600,
        "tpm": 200000, "monthly_budget_usd": 500})
    assert made.status == 201
    value = made.json()
    assert re.match(r"^vk_", value["id"]) and re.match(r"^gw_virt_", value["key"])
    assert value["monthly_budget_usd"] == 500 and value["created_at"]
    listed = gateway.request("GET", "/admin/keys")
    one = gateway.request("GET", "/admin/keys/" + value["id"])
    assert one.status == 200 and listed.status == 200
    for answer in (listed, one):
        assert value["key"].encode() not in answer.body
    assert "key" not in one.json() and isinstance(listed.json()["data"], list)


def test_49_changes_hold_from_the_next_request(gateway, ask):
    made = gateway.new_key(rpm=100)
    assert ask(key=made["key"]).status == 200
    changed = gateway.request("PATCH", "/admin/keys/" + made["id"], {"rpm": 1})
    assert changed.status == 200 and changed.json()["rpm"] == 1
    assert ask(key=made["key"]).status == 429
    assert gateway.request("DELETE", "/admin/keys/" + made["id"]).status == 204
    assert ask(key=made["key"]).status == 401


def test_50_who_may(gateway, key, ask):
    assert gateway.request("GET", "/admin/keys", key=key).status == 403
    assert gateway.request("GET", "/admin/keys", key=None).status == 401
    assert ask(key=None).status == 401
    for bare, status in ((MASTER_KEY, 200), (key, 403), ("no-such-key", 401)):
        assert gateway.request("GET", "/admin/keys", key=None,
                               headers={"Authorization": bare}).status == status


def test_51_the_429_byte_for_byte(gateway, ask):
    made = gateway.new_key(rpm=120)
    for _ in range(120):
        assert ask("/v1/embeddings", ENDPOINTS["embeddings"][1], key=made["key"]).status == 200
    answer = ask(key=made["key"])
    assert answer.status == 429
    wait = answer.headers["Retry-After"]
    assert answer.headers["X-Gateway-Limit-Kind"] == "rpm" and 1 <= int(wait) <= 60
    assert answer.body.decode() == (
        '{"error":{"type":"rate_limit_exceeded","message":"Key %s exceeded its 120 req/min limit."'
        ',"kind":"rpm","retry_after_seconds":%s}}' % (made["id"], wait))


def test_52_deployments(gateway, ask):
    rows = gateway.request("GET", "/admin/deployments").json()["data"]
    first = next(row for row in rows if row["model"] == "two" and row["provider"] == "openai")
    assert first["enabled"] is True and first["priority"] == 1
    two = dict(CHAT, model="two")
    assert ask(body=two).headers["X-Gateway-Decision"] == "openai/gpt-4o-mini"
    assert gateway.request("POST", "/admin/deployments/disable", {"id": first["id"]}).status == 200
    assert ask(body=two).headers["X-Gateway-Decision"] == "openai-b/gpt-4o-mini"
    assert gateway.request("POST", "/admin/deployments/enable",
                           {"model": "two", "provider": "openai"}).status == 200
    assert ask(body=two).headers["X-Gateway-Decision"] == "openai/gpt-4o-mini"


def test_53_spend_is_the_sum_of_the_headers(gateway, ask):
    team = "team-of-53"
    keys = [gateway.new_key(team=team) for _ in range(2)]
    models = ("gpt-4o-mini", "gemini-2.5-flash", "claude-haiku-4-5")
    costs = {name: Decimal(0) for name in [made["id"] for made in keys] + list(models)}

    def spend():
        answer = gateway.request("GET", "/admin/spend?by=key,team,model")
        return json.loads(answer.body, parse_float=Decimal)["data"]

    def by_model():
        return {name: sum((row["cost_usd"] for row in spend()["by_model"]
                           if row["model"].endswith(name)), Decimal(0)) for name in models}

    before = by_model()
    for index in range(12):
        made, model = keys[index % 2], models[index % 3]
        answer = ask(body=dict(CHAT, model=model, messages=[
            {"role": "user", "content": "@in=%d @out=%d hello" % (101 + index, 7 + index)}]),
            key=made["key"])
        assert answer.status == 200
        cost = exact_cost(answer.headers)
        assert cost > 0
        costs[made["id"]] += cost
        costs[model] += cost
    # A refusal is no spending, and not a request that was served.
    assert ask(body=dict(CHAT, model="no-such-model"), key=keys[0]["key"]).status == 404
    wait_for(lambda: [row["requests"] for row in spend()["by_team"] if row["team"] == team] == [12],
             what="the records of the requests")
    data, after = spend(), by_model()
    assert {row["key"]: row["cost_usd"] for row in data["by_key"] if row["key"] in costs} == \
        {made["id"]: costs[made["id"]] for made in keys}
    assert [row["cost_usd"] for row in data["by_team"] if row["team"] == team] == \
        [sum(costs[made["id"]] for made in keys)]
    assert {name: after[name] - before[name] for name in models} == \
        {name: costs[name] for name in models}


def test_54_failover(ask, fleet):
    fleet.providers["openai"].plan.add("500")
    answer = ask(body=dict(CHAT, model="two"))
    assert answer.status == 200 and answer.headers["X-Gateway-Retries"] == "1"
    assert answer.headers["X-Gateway-Decision"] == "openai-b/gpt-4o-mini"


COMPLEX = ("Prove step by step that the following distributed consensus algorithm is linearizable "
           "under partial synchrony, derive its message complexity, and then write a Rust "
           "implementation with tests.\n```rust\nfn commit(log: &mut Log, term: u64) { ... }\n```\n"
           "Consider Byzantine faults, reason about each lemma carefully, and compare with "
           "Paxos, Raft and PBFT. ") * 6


def test_55_tiers(ask):
    short = ask(body=dict(CHAT, model="smart",
                          messages=[{"role": "user", "content": "hi"}]))
    assert short.headers["X-Gateway-Route-Bucket"] == "simple"
    assert short.headers["X-Gateway-Decision"] == "openai/gpt-4o-mini"
    tools = [{"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}]
    long = ask(body=dict(CHAT, model="smart", tools=tools,
                         messages=[{"role": "user", "content": COMPLEX}]))
    assert long.headers["X-Gateway-Route-Bucket"] == "complex", dict(long.headers)
    assert long.headers["X-Gateway-Decision"] == "openai-b/gpt-4o-mini"
    assert 0 <= float(short.headers["X-Gateway-Route-Score"]) < 0.33
    assert 0.66 <= float(long.headers["X-Gateway-Route-Score"]) <= 1


def test_56_other_limits(gateway, ask):
    def kind(answer):
        assert answer.json()["error"]["type"] == "rate_limit_exceeded"
        assert answer.json()["error"]["kind"] == answer.headers["X-Gateway-Limit-Kind"]
        return answer.headers["X-Gateway-Limit-Kind"]

    tokens = gateway.new_key(tpm=5)["key"]
    answer = [ask(key=tokens) for _ in range(3)][-1]
    assert answer.status == 429 and kind(answer) == "tpm"
    poor = gateway.new_key(monthly_budget_usd=0.000001)["key"]
    answer = ask(key=poor)
    assert answer.status == 429 and kind(answer) == "budget"
    few = gateway.new_key(models=["claude-haiku-4-5"])["key"]
    assert ask(key=few).status == 403
    assert ask(body=dict(CHAT, model="dead")).status == 502


def test_own_usage(gateway, ask):
    made = gateway.new_key()
    assert ask(key=made["key"]).status == 200

    def usage():
        answer = gateway.request("GET", "/v1/usage", key=made["key"])
        assert answer.status == 200, answer.body
        return answer.json()

    # Neither a refusal nor reading this page is a request to a model.
    assert ask(body=dict(CHAT, model="no-such-model"), key=made["key"]).status == 404
    assert ask(body=b"{", key=made["key"]).status == 400
    assert gateway.request("GET", "/v1/models", key=made["key"]).status == 200
    wait_for(lambda: usage()["requests"] > 0, what="the record of the request")
    assert ask(key=made["key"]).status == 200
    wait_for(lambda: usage()["requests"] == 2, what="the record of the second request")
    told = usage()
    assert told["key"] == made["id"] and told["cost_usd"] > 0
    assert sum(day["requests"] for day in told["by_day"]) == 2
    assert gateway.request("GET", "/v1/usage?since=2030-01-01&until=2020-01-01",
                           key=made["key"]).status == 400


def test_streams_tell_their_cost_in_a_trailer(gateway, key):
    response = post(gateway, key, "/v1/chat/completions", dict(CHAT, stream=True))
    assert response.header("trailer") == "X-Gateway-Cost-Usd, X-Gateway-Cost-Exact-Usd"
    assert re.match(r"^\d+\.\d{6}$", response.trailer("x-gateway-cost-usd"))
    for header in ("decision", "route-bucket", "route-score", "retries"):
        assert response.header("x-gateway-" + header)
