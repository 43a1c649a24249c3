"""The Nexus contract: one test for each acceptance check, by its number."""
import re
import subprocess
import time
import uuid

import pytest

from tests.integration.books import wait_for
from tests.integration.gateway import BINARY
from tests.integration.shapes import SHAPES

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
MESSAGES = {"model": "claude-haiku-4-5", "max_tokens": 50,
            "messages": [{"role": "user", "content": "hello there"}]}
MODELS = """\
  - name: smart
    strategy: tier
    deployments:
      - {provider: openai, model: gpt-4o-mini, tier: simple}
      - {provider: openai-b, model: gpt-4o-mini, tier: medium}
      - {provider: anthropic, model: claude-haiku-4-5, tier: complex}
  - name: second-try
    strategy: priority
    deployments:
      - {provider: openai, model: lax-first, priority: 1}
      - {provider: openai-b, model: gpt-4o-mini, priority: 2}
"""


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": MODELS, "retries": 2, "router": "auto: smart"}


@pytest.fixture(scope="module")
def key(gateway):
    made = gateway.new_key(name="nexus", surface="nexus")
    assert made["key"].startswith("nvk_") and len(made["key"]) == 4 + 64
    return made["key"]


def carried(answer, provider, model, attempts=1):
    """Every header that an answer of a provider has."""
    headers = answer.headers
    assert uuid.UUID(headers["X-Nexus-Request-Id"])
    assert headers["X-Nexus-Via"] == "ai-gateway"
    assert headers["X-Nexus-Routed-Provider"] == provider
    assert headers["X-Nexus-Routed-Model"] == model
    assert headers["X-Nexus-Attempts"] == str(attempts)
    assert headers["X-Nexus-Cache"] == "MISS" and headers["X-Nexus-Hook"] == "none"
    assert headers["X-Nexus-Mode"] == ""
    assert "X-Gateway-Decision" not in headers


@pytest.mark.parametrize("carrier", ["Authorization", "x-nexus-virtual-key"])
def test_57_carriers(gateway, key, fleet, carrier):
    value = "Bearer " + key if carrier == "Authorization" else key
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key=None,
                             headers={carrier: value})
    assert answer.status == 200 and answer.json()["object"] == "chat.completion"
    carried(answer, "openai", "gpt-4o-mini")
    seen = fleet.journal.last()
    assert seen.header("authorization") == "Bearer " + fleet.key("openai")
    assert key.encode() not in b"".join(value.encode() for _, value in seen.headers)


def test_57_header_wins_and_the_query_is_no_carrier(gateway, key):
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key="nvk_" + "0" * 64,
                             headers={"x-nexus-virtual-key": key})
    assert answer.status == 200
    answer = gateway.request("POST", "/v1/chat/completions?key=" + key, CHAT, key=None)
    assert answer.status == 401 and answer.json()["error"]["code"] == "AUTH_KEY_MISSING"


@pytest.mark.parametrize("model, provider", [("claude-haiku-4-5", "anthropic"),
                                             ("gemini-2.5-flash", "gemini")])
def test_58_chat_for_other_providers(gateway, key, fleet, model, provider):
    answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, model=model), key=key)
    assert answer.status == 200, answer.body
    assert answer.json()["object"] == "chat.completion"
    assert fleet.journal.last().provider == provider
    carried(answer, provider, model)
    assert "X-Nexus-Coerced" not in answer.headers
    answer = gateway.request("POST", "/v1/chat/completions", dict(
        CHAT, model=model, seed=7, logit_bias={"1": 2}), key=key)
    assert answer.status == 200
    # Gemini knows a seed.
    assert set(answer.headers["X-Nexus-Coerced"].split(",")) == \
        ({"seed", "logit_bias"} if provider == "anthropic" else {"logit_bias"})


def test_58_of_an_answer_given_again(gateway, key):
    first, again = (gateway.request("POST", "/v1/chat/completions", dict(
        CHAT, model="claude-haiku-4-5", seed=7), key=key,
        headers={"Idempotency-Key": "routed-again"}) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true" and again.body == first.body
    for name in ("routed-provider", "routed-model", "attempts", "coerced"):
        assert again.headers["x-nexus-" + name] == first.headers["x-nexus-" + name], name
    warnings = "x-gateway-translation-warnings"
    assert again.headers[warnings] == first.headers[warnings]


@pytest.mark.parametrize("provider, model", [("openai", "gpt-4o-mini"),
                                             ("anthropic", "claude-haiku-4-5"),
                                             ("gemini", "gemini-2.5-flash")])
@pytest.mark.parametrize("shape", [SHAPES[name] for name in ("chat", "messages", "gemini")],
                         ids=["chat", "messages", "gemini"])
def test_59_streams_whatever_the_provider(gateway, key, shape, provider, model):
    answer = gateway.request("POST", shape.path(model, True), shape.body(model, "hello", True),
                             key=None, headers=dict(shape.headers(key)))
    assert answer.status == 200, answer.body
    assert answer.headers["X-Nexus-Routed-Provider"] == provider
    assert shape.ended_clean(answer.body)
    assert (b"event:" in answer.body) == (shape.name == "messages")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_59_each_shape_keeps_its_grammar(gateway, key, shape, stream):
    headers = dict(shape.headers(key))
    answer = gateway.request("POST", shape.path(shape.model, stream),
                             shape.body(shape.model, "hello there", stream), key=None,
                             headers=headers)
    assert answer.status == 200, answer.body
    carried(answer, shape.provider, shape.model)
    if stream:
        assert shape.ended_clean(answer.body)
        assert "gw;" not in answer.headers.get("Server-Timing", "")
        assert (b"event:" in answer.body) == (shape.name in ("messages", "responses"))
    else:
        timing = answer.headers["Server-Timing"]
        assert [part.split(";dur=")[0] for part in timing.split(", ")] == \
            ["gw", "upstream-ttfb", "upstream-total"]
        assert all(float(part.split("=")[1]) >= 0 for part in timing.split(", "))


CODES = [(None, 401, "AUTH_KEY_MISSING"), ("nvk_" + "0" * 64, 401, "AUTH_INVALID_KEY")]


@pytest.mark.parametrize("wrong, status, code", CODES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_60_refusals_in_the_envelope_of_the_shape(gateway, shape, wrong, status, code):
    headers = {name: value for name, value in shape.headers("") if "ey" not in name.lower()
               and name.lower() != "authorization"}
    headers["x-nexus-virtual-key"] = wrong or ""
    answer = gateway.request("POST", shape.path(shape.model, False),
                             shape.body(shape.model, "x", False), key=None, headers=headers)
    assert answer.status == status
    shape.check_error(status, answer.body)
    if shape.provider == "openai":
        assert answer.json()["error"]["code"] == code
        assert answer.json()["error"]["type"] == "proxy_error"
    assert uuid.UUID(answer.headers["X-Nexus-Request-Id"])


def test_60_codes(gateway, key, fleet):
    def code(**members):
        used = members.pop("key", key)
        answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, **members), key=used)
        return answer.status, answer.json()["error"]["code"]

    few = gateway.new_key(surface="nexus", models=["claude-haiku-4-5"])["key"]
    once = gateway.new_key(surface="nexus", rpm=1)["key"]
    late = gateway.new_key(surface="nexus", expires_at="2099-01-01T00:00:00Z")
    assert code(model="no-such-model") == (404, "ROUTING_NO_MATCH")
    assert code(key=few) == (403, "MODEL_NOT_ALLOWED")
    gateway.request("POST", "/v1/chat/completions", CHAT, key=once)
    assert code(key=once) == (429, "RATE_LIMITED")
    assert code(model="refused/x") == (502, "PROVIDER_UNAVAILABLE")
    gateway.request("DELETE", "/admin/keys/" + late["id"])
    assert code(key=late["key"]) == (401, "AUTH_INVALID_KEY")


def test_60_the_providers_error_passes(gateway, key, fleet):
    answer = gateway.request("POST", "/v1/messages", {"model": "claude-haiku-4-5", "messages": []},
                             key=key, headers={"anthropic-version": "2023-06-01"})
    assert answer.status == 400 and answer.json()["type"] == "error"
    assert answer.body == fleet.journal.last().reply
    carried(answer, "anthropic", "claude-haiku-4-5")


def test_61_responses_needs_a_provider_that_speaks_it(gateway, key, fleet):
    answer = gateway.request("POST", "/v1/responses", {"model": "claude-haiku-4-5", "input": "x"},
                             key=key)
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["code"] == "feature_requires_native_responses_target"
    assert error["type"] == "unsupported_feature" and error["param"] and error["message"]
    assert not fleet.journal.entries()


def test_63_extensions_reach_their_provider_only(gateway, key, fleet):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    ext = {"nexus": {"ext": {"anthropic": {"thinking": thinking}}}}
    answer = gateway.request("POST", "/v1/messages", dict(
        MESSAGES, max_tokens=2000, **ext), key=key, headers={"anthropic-version": "2023-06-01"})
    assert answer.status == 200, answer.body
    assert fleet.journal.last().json()["thinking"] == thinking
    answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, **ext), key=key)
    assert answer.status == 200 and "thinking" not in fleet.journal.last().json()
    answer = gateway.request("POST", "/v1/chat/completions", dict(
        CHAT, model="claude-haiku-4-5", max_tokens=2000, **ext), key=key)
    assert answer.status == 200, answer.body
    assert fleet.journal.last().json()["thinking"] == thinking
    assert answer.json()["object"] == "chat.completion"
    # The message itself wins, and what costs is not for here.
    answer = gateway.request("POST", "/v1/chat/completions", dict(
        CHAT, seed=1, nexus={"ext": {"openai": {"seed": 2, "logit_bias": {}}}}), key=key)
    assert answer.status == 200
    assert fleet.journal.last().json()["seed"] == 1
    assert fleet.journal.last().json()["logit_bias"] == {}
    answer = gateway.request("POST", "/v1/chat/completions", dict(
        CHAT, nexus={"ext": {"openai": {"n": 50}}}), key=key)
    assert answer.status == 400 and answer.json()["error"]["param"] == "nexus.ext"
    fleet.journal.reset()
    for nexus, param in (("x", "nexus"), ({"ext": [1]}, "nexus.ext"),
                         ({"ext": {"openai": "seed"}}, "nexus.ext")):
        answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, nexus=nexus), key=key)
        assert answer.status == 400 and answer.json()["error"]["param"] == param, answer.body
    assert not fleet.journal.entries()


def test_61_is_a_switch(gateway, key, fleet):
    body = {"model": "claude-haiku-4-5", "input": "hello there"}
    gateway.write_config(extra="surfaces: {nexus: {responses: bridge}}")
    try:
        assert gateway.request("POST", "/admin/reload").status == 200
        answer = gateway.request("POST", "/v1/responses", body, key=key)
        assert answer.status == 200 and answer.json()["object"] == "response"
        assert fleet.journal.last().target == "/v1/messages"
    finally:
        gateway.write_config()
        assert gateway.request("POST", "/admin/reload").status == 200
    assert gateway.request("POST", "/v1/responses", body, key=key).status == 400


@pytest.mark.parametrize("carrier, path, model", [
    ("x-api-key", "/v1/messages", "claude-haiku-4-5"),
    ("x-goog-api-key", "/v1beta/models/gemini-2.5-flash:generateContent", None)])
def test_65_carriers_of_the_sdks(gateway, key, carrier, path, model):
    shape = SHAPES["messages" if model else "gemini"]
    answer = gateway.request("POST", path, shape.body(model, "hello there", False), key=None,
                             headers={carrier: key, "anthropic-version": "2023-06-01"})
    assert answer.status == 200, answer.body


def test_62_auto(gateway, key):
    hard = ("Prove step by step that this consensus algorithm is linearizable, derive its message "
            "complexity, and write a Rust implementation with tests and a proof of each lemma. ")
    for text, target in (("hi", ("openai", "gpt-4o-mini")),
                         (hard * 12, ("anthropic", "claude-haiku-4-5"))):
        answer = gateway.request("POST", "/v1/chat/completions", dict(
            CHAT, model="auto", messages=[{"role": "user", "content": text}]), key=key)
        assert answer.status == 200
        carried(answer, *target)
    answer = gateway.request("POST", "/v1/embeddings", {"model": "auto", "input": "x"}, key=key)
    assert answer.status == 400 and answer.json()["error"]["param"] == "model"


def test_64_estimate(gateway, key, fleet):
    answer = gateway.request("POST", "/v1/estimate", {
        "request": dict(CHAT, max_tokens=100),
        "compareTargets": [{"providerId": "openai", "modelId": "gpt-4o-mini"},
                           {"providerId": "anthropic", "modelId": "claude-haiku-4-5"}]}, key=key)
    assert answer.status == 200, answer.body
    targets = answer.json()["targets"]
    assert len(targets) == 2
    for target in targets:
        cost = target["cost"]
        assert cost["currency"] == "USD"
        assert 0 < cost["low"]["total"] <= cost["expected"]["total"] <= cost["high"]["total"]
    assert answer.json()["summary"]["successCount"] == 2
    assert not fleet.journal.entries()


def test_65_glm(gateway, key, fleet):
    answer = gateway.request("POST", "/api/paas/v4/chat/completions", CHAT, key=key)
    assert answer.status == 200 and answer.json()["object"] == "chat.completion"
    answer = gateway.request("POST", "/api/paas/v4/embeddings", {
        "model": "openai/text-embedding-3-small", "input": "x"}, key=key)
    assert answer.status == 200 and answer.json()["object"] == "list"
    assert fleet.journal.last().target == "/v1/embeddings"


def test_65_azure(gateway, key, fleet):
    client = pytest.importorskip("openai").AzureOpenAI(
        azure_endpoint=gateway.url, api_key=key, max_retries=0, api_version="2024-10-21")
    made = client.chat.completions.create(model="gpt-4o-mini", messages=CHAT["messages"])
    assert made.choices[0].message.content
    assert fleet.journal.last().target == "/v1/chat/completions"
    # The deployment in the path decides, whatever the body repeats.
    answer = gateway.request("POST", "/openai/deployments/azure-mini/chat/completions",
                             dict(CHAT, model="no-such"), key=None, headers={"api-key": key})
    assert answer.status == 200
    carried(answer, "azure", "gpt-4o-mini")
    made = client.embeddings.create(model="openai/text-embedding-3-small", input="x")
    assert made.data[0].embedding


def test_65_gemini(gateway, key):
    client = pytest.importorskip("google.genai").Client(api_key=key, http_options={"base_url": gateway.url})
    made = client.models.generate_content(model="gemini-2.5-flash", contents="hello there")
    assert made.text
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash",
                                                        contents="hello there"))
    assert "".join(chunk.text or "" for chunk in chunks)


def test_66_embeddings_keep_their_order(gateway, key):
    texts = ["one", "two words", "three whole words"]
    answer = gateway.request("POST", "/v1/embeddings", {
        "model": "openai/text-embedding-3-small", "input": texts}, key=key)
    assert answer.status == 200 and answer.json()["object"] == "list"
    assert [row["index"] for row in answer.json()["data"]] == [0, 1, 2]
    alone = [gateway.request("POST", "/v1/embeddings", {
        "model": "openai/text-embedding-3-small", "input": text}, key=key).json() for text in texts]
    assert [row["embedding"] for row in answer.json()["data"]] == \
        [one["data"][0]["embedding"] for one in alone]


def test_67_the_same_again_is_a_hit(gateway, key, fleet):
    body = dict(CHAT, temperature=0, messages=[{"role": "user", "content": "of check 67"}])

    def ask(**headers):
        answer = gateway.request("POST", "/v1/chat/completions", body, key=key, headers=headers)
        assert answer.status == 200
        return answer.headers["X-Nexus-Cache"], answer.body

    first = ask()
    assert first[0] == "MISS" and ask() == ("HIT", first[1])
    assert len(fleet.journal.entries()) == 1
    fresh = ask(**{"x-nexus-aigw-no-cache": "1"})
    assert fresh[0] == "MISS" and fresh[1] == fleet.journal.last().reply
    assert len(fleet.journal.entries()) == 2
    assert ask()[0] == "HIT"


def test_68_quota(gateway, fleet):
    rich = gateway.new_key(surface="nexus", monthly_budget_usd=10)["key"]
    body = dict(CHAT, max_tokens=100, messages=[
        {"role": "user", "content": "hello " * 200 + "@in=100000 @out=50"}])
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key=rich)
    assert answer.headers["X-Nexus-Quota-Limit"] == "10.00"
    assert answer.headers["X-Nexus-Quota-Used"] == "0.00"
    small = gateway.new_key(surface="nexus", monthly_budget_usd=0.02)["key"]
    statuses = []
    for _ in range(40):
        answer = gateway.request("POST", "/v1/chat/completions", body, key=small)
        statuses.append(answer.status)
        if answer.status != 200:
            break
    assert statuses[-1] == 429 and answer.json()["error"]["code"] == "QUOTA_EXCEEDED"
    assert answer.headers["X-Nexus-Quota-Limit"] == "0.02"
    assert 0 < float(answer.headers["X-Nexus-Quota-Used"]) <= 0.02
    fleet.journal.reset()
    answer = gateway.request("POST", "/v1/chat/completions", body, key=small)
    assert answer.status == 429 and not fleet.journal.entries()
    for name in ("X-Nexus-Attempts", "X-Nexus-Routed-Provider", "X-Nexus-Routed-Model"):
        assert name not in answer.headers, name


def test_68_a_quota_that_is_nearly_used(gateway):
    """From 80 % on each answer warns."""
    key = gateway.new_key(surface="nexus", monthly_budget_usd=0.06)["key"]
    body = dict(CHAT, max_tokens=50, messages=[
        {"role": "user", "content": "a " * 3000 + "@in=3000 @out=0"}])
    warnings = []
    while "8" not in (warnings or [""])[-1] and len(warnings) < 40:
        answer = gateway.request("POST", "/v1/chat/completions", body, key=key)
        assert answer.status == 200
        warnings.append(answer.headers.get("X-Nexus-Quota-Warning", ""))
        assert not warnings[-1] or float(answer.headers["X-Nexus-Quota-Used"]) >= 0.05
    assert warnings[0] == ""
    assert re.fullmatch(r"8\d% of the monthly quota is used", warnings[-1])


def test_69_there_are_no_hooks_and_nobody_says_there_were(gateway, key, fleet, tmp_path):
    """X-Nexus-Hook tells that none looked at the request: on answers, streams, the provider's
    errors and refusals, whatever the provider says of hooks; and a configuration that counts on
    hooks is refused at its place."""
    bodies = (CHAT, dict(CHAT, stream=True), dict(CHAT, temperature=9),
              dict(CHAT, model="no-such-model"))
    answers = [gateway.request("POST", "/v1/chat/completions", body, key=key) for body in bodies]
    answers.append(gateway.request("POST", "/v1/chat/completions", CHAT, key="nvk_wrong"))
    assert [answer.status for answer in answers] == [200, 200, 400, 404, 401]
    assert [answer.headers.get_all("X-Nexus-Hook") for answer in answers] == [["none"]] * 5
    config = tmp_path / "hooks.yaml"
    config.write_text("providers:\n  openai: {kind: openai, api_key: k}\nhooks:\n  - name: pii\n")
    done = subprocess.run([str(BINARY), "check", str(config)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1 and re.search(r"hooks\.yaml:3:1: .*hooks", done.stdout + done.stderr)


def test_70_attempts_are_counted(gateway, key, fleet):
    fleet.providers["openai"].plan.add("500")
    answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, model="second-try"),
                             key=key)
    assert answer.status == 200
    carried(answer, "openai-b", "gpt-4o-mini", attempts=2)


def test_usage(gateway):
    made = gateway.new_key(surface="nexus", monthly_budget_usd=3, rpm=50)
    body = dict(CHAT, messages=[{"role": "user", "content": "@in=100 @out=10 hello"}])
    for _ in range(3):
        assert gateway.request("POST", "/v1/chat/completions", body, key=made["key"]).status == 200
    # Refusals and what is only read are no requests to a model.
    assert gateway.request("POST", "/v1/chat/completions", dict(CHAT, model="no-such-model"),
                           key=made["key"]).status == 404

    def read():
        answer = gateway.request("GET", "/v1/usage", key=made["key"])
        assert answer.status == 200, answer.body
        return answer.json()

    wait_for(lambda: read()["usage"]["totalTokens"] == 330, what="the records of the requests")
    usage = read()
    cost = 3 * (100 * 1.0 + 10 * 2.0) / 1e6
    today = time.strftime("%Y-%m-%d", time.gmtime())
    sums = {"promptTokens": 300, "completionTokens": 30, "totalTokens": 330,
            "estimatedCostUsd": pytest.approx(cost), "totalRequests": 3}
    assert usage["virtualKeyId"] == made["id"]
    assert usage["usage"] == sums
    assert usage["period"] == today[:7] and usage["periodType"] == "monthly"
    assert usage["quota"] == {"limitUsd": 3, "usedUsd": pytest.approx(cost),
                              "remainingUsd": pytest.approx(3 - cost),
                              "enforcementMode": "reject", "rateLimitRpm": 50}
    days = gateway.request("GET", "/v1/usage/daily?startDate=%s&endDate=%s" % (today, today),
                           key=made["key"]).json()
    assert days["data"] == [dict(sums, date=today)]
    assert days["startDate"] == today and days["endDate"] == today
    assert gateway.request("GET", "/v1/usage/daily?startDate=2020-01-01&endDate=2020-12-31",
                           key=made["key"]).status == 400
    assert gateway.request("GET", "/v1/usage/daily?startDate=x", key=made["key"]).status == 400
    assert gateway.request("GET", "/v1/usage", key="nvk_x").status == 401


def test_health_in_its_own_words(gateway):
    answer = gateway.request("GET", "/healthz", key=None)
    assert answer.status == 200 and answer.json() == {"status": "ok", "service": "ai-gateway"}


def test_request_id_is_honoured(gateway, key):
    given = "11111111-2222-4333-8444-555555555555"
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key=key,
                             headers={"X-Nexus-Request-Id": given, "X-Request-Id": "mine"})
    assert answer.headers["X-Nexus-Request-Id"] == given
    assert answer.headers["X-Request-Id"] == "mine"


def test_models_in_two_dialects(gateway, key):
    few = gateway.new_key(surface="nexus", models=["gpt-4o-mini"])["key"]
    assert gateway.request("GET", "/v1/models", key=None,
                           headers={"x-nexus-virtual-key": "x"}).status == 401
    assert [one["id"] for one in gateway.request("GET", "/v1/models", key=few).json()["data"]] == \
        ["gpt-4o-mini"]
    listed = gateway.request("GET", "/v1/models", key=key,
                             headers={"anthropic-version": "2023-06-01"}).json()
    assert listed["data"][0]["type"] == "model" and "has_more" in listed
    assert gateway.request("GET", "/v1/models/claude-haiku-4-5", key=few).status == 404
