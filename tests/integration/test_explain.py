"""POST /admin/explain for every way of choosing and every contract: which targets were
considered, which were dropped and why, what each would cost - and that the request then goes
where the explanation said."""
import json

import pytest


MODELS = """\
  - name: pool
    strategy: tier
    deployments:
      - {provider: openai, model: gpt-4.1-nano, tier: simple}
      - {provider: openai, model: gpt-4.1-mini, tier: medium}
      - {provider: openai, model: gpt-4.1, tier: complex}
    fallbacks: [claude-haiku-4-5]
"""
EXTRA = """\
stacks:
  - {slug: thrifty, models: [pool], objective: lowest_passable, quality: draft,
     blocked_models: [gpt-4.1-mini]}
routes:
  org/brief: {model: pool, system: 'Be brief, and mind the length of this long instruction.'}
  org/agent: {model: gpt-4o-mini, auction: {category: chat, price_min: 0.5, price_max: 1}}
  org/other: {model: claude-haiku-4-5, auction: {category: chat, price_min: 0.7, price_max: 1}}
  org/place: {base_url: '%s/chat/completions', auth: none}
"""
ASK = {"messages": [{"role": "user", "content": "Hello, how are you?"}]}
AUCTION = {"stoPayload": {"stoAuction": {"core": {"category": "chat"}}}}

# name: path, surface of the key, headers, more of the body, what the plan begins with
WAYS = {
    "provider/model": ("/v1/chat/completions", "gateway", {}, {"model": "openai/gpt-4o-mini"},
                       "openai/gpt-4o-mini"),
    "alias": ("/v1/chat/completions", "gateway", {}, {"model": "gpt-4o-mini"}, "openai/gpt-4o-mini"),
    "catalogue": ("/v1/chat/completions", "gateway", {}, {"model": "gpt-4.1"}, "openai/gpt-4.1"),
    "tier": ("/v1/chat/completions", "gateway", {}, {"model": "pool"}, "openai/gpt-4.1-nano"),
    "auto": ("/v1/chat/completions", "gateway", {}, {"model": "auto"}, "openai/gpt-4.1-nano"),
    "stack": ("/v1/chat/completions", "gateway", {"X-Gateway-Stack": "thrifty"}, {"model": "auto"},
              "openai/gpt-4.1-nano"),
    "route": ("/v1/chat/completions", "gateway", {"X-Gateway-Route": "org/brief"}, {"model": "x"},
              "openai/gpt-4.1-nano"),
    "cost mode": ("/v1/chat/completions", "gateway", {"X-Gateway-Cost-Mode": "premium"},
                  {"model": "pool"}, "openai/gpt-4.1"),
    "auction": ("/v1/chat/completions", "gateway", {"X-Gateway-Route": "stolabs/stoAuction"},
                dict(AUCTION, model="x"), "openai/gpt-4o-mini"),
    "astrolabe/auto": ("/v1/chat/completions", "astrolabe", {}, {"model": "astrolabe/auto"},
                       "openai/gpt-4.1-nano"),
    "astrolabe/cheap": ("/v1/chat/completions", "astrolabe", {}, {"model": "astrolabe/cheap"}, None),
    "astrolabe/safe": ("/v1/chat/completions", "astrolabe", {}, {"model": "astrolabe/safe"}, None),
    "astrolabe/coding": ("/v1/chat/completions", "astrolabe", {}, {"model": "astrolabe/coding"}, None),
    "astrolabe/strict-json": ("/v1/chat/completions", "astrolabe", {},
                              {"model": "astrolabe/strict-json"}, None),
    "astrolabe stack": ("/v1/chat/completions", "astrolabe", {},
                        {"model": "astrolabe/auto", "metadata": {"astrolabe": {"stack": "thrifty"}}},
                        "openai/gpt-4.1-nano"),
    "ingate": ("/v1/chat/completions", "ingate", {"X-Ingate-Provider": "openai"},
               {"model": "gpt-4o-mini"}, "openai/gpt-4o-mini"),
    "nexus auto": ("/v1/chat/completions", "nexus", {}, {"model": "auto"}, "openai/gpt-4.1-nano"),
    "nexus model": ("/v1/chat/completions", "nexus", {}, {"model": "gpt-4o-mini"},
                    "openai/gpt-4o-mini"),
    "638 route": ("/api/v1", "stolabs", {"X-Stolabs-Route-Name": "org/brief"}, {},
                  "openai/gpt-4.1-nano"),
    "638 place": ("/api/v1", "stolabs", {"X-Stolabs-Route-Name": "org/place"},
                  {"model": "gpt-4o-mini"}, "org/place/gpt-4o-mini"),
    "638 auction": ("/api/v1", "stolabs", {"X-Stolabs-Route-Name": "stolabs/stoAuction"}, AUCTION,
                    "openai/gpt-4o-mini"),
    "messages": ("/v1/messages", "gateway", {}, {"model": "pool", "max_tokens": 50},
                 "openai/gpt-4.1-nano"),
}
CARRIERS = {"gateway": "Authorization", "astrolabe": "Authorization", "ingate": "X-Ingate-Key",
            "nexus": "x-nexus-virtual-key", "stolabs": "X-Stolabs-Api-Key"}


@pytest.fixture(scope="module")
def gateway_options(fleet):
    return {"models": MODELS, "extra": EXTRA % fleet.url("openai"), "retries": 1,
            "router": "auto: pool"}


@pytest.fixture(scope="module")
def secrets(gateway):
    return {surface: gateway.new_key(surface=surface)["key"] for surface in CARRIERS}


def headers_of(surface, headers, secret):
    carrier = CARRIERS[surface]
    return dict(headers, **{carrier: ("Bearer " if carrier == "Authorization" else "") + secret})


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_explained(gateway, fleet, secrets, way):
    path, surface, headers, more, first = WAYS[way]
    headers = headers_of(surface, headers, secrets[surface])
    body = dict(ASK, **more)
    answer = gateway.request("POST", "/admin/explain",
                             {"path": path, "headers": headers, "body": body})
    assert answer.status == 200, answer.body
    found = answer.json()
    assert found["surface"] == surface and found["key"] and "error" not in found, found
    assert not fleet.journal.entries()
    assert found["plan"], found
    if first:
        assert found["plan"][0]["target"] == first, found["plan"]
    for one in found["plan"] + found["dropped"]:
        assert one["reason"] if one in found["plan"] else one["why"]
        assert one["tier"] in ("simple", "medium", "complex") and one["input_tokens"] > 0
        # The place of a route is in no catalogue: its cost is unknown, and that is said.
        assert (one["expected_cost_usd"] is None) == one["target"].startswith("org/place"), one
        if one["expected_cost_usd"] is not None:
            assert 0 < one["low_cost_usd"] <= one["expected_cost_usd"] <= one["high_cost_usd"]
        assert 0 < one["expected_quality"] < 1 and one["quality_of"] in ("model", "tier")
    assert found["tokens"]["input"] > 0 and isinstance(found["budgets"], list)
    if way == "638 place":
        return  # it wants a credential of the caller's own
    answer = gateway.request("POST", path, body, key=None, headers=headers)
    assert answer.status == 200, answer.body
    seen = fleet.journal.entries()[0]
    target = found["plan"][0]
    assert target["model"] in seen.target or json.loads(seen.body)["model"] == target["model"]


def test_what_was_dropped_and_why(gateway, secrets):
    def why(body, headers=None, key=None):
        message = {"body": dict(ASK, **body), "headers": headers or {}}
        if key:
            message["key"] = key["id"]
        found = gateway.request("POST", "/admin/explain", message).json()
        return {one["target"]: one["why"] for one in found["dropped"]}, found

    found, _ = why({"model": "auto"}, {"X-Gateway-Stack": "thrifty"})
    assert found == {"openai/gpt-4.1-mini": "model blocked by the stack"}
    narrow = gateway.new_key(models=["pool"], blocked_providers=["anthropic"])
    found, _ = why({"model": "pool"}, key=narrow)
    assert found == {"anthropic/claude-haiku-4-5": "not allowed for this key"}
    found, _ = why({"model": "pool"}, {"X-Gateway-Fallback": "false"})
    assert set(found.values()) == {"fallback is off"} and len(found) == 3
    gateway.request("POST", "/admin/deployments/disable", {"model": "pool", "provider": "openai"})
    found, plan = why({"model": "pool"})
    gateway.request("POST", "/admin/deployments/enable", {"model": "pool", "provider": "openai"})
    assert "disabled by an operator" in found.values() and plan["plan"]


def test_instructions_of_a_route_are_counted(gateway):
    def tokens(headers):
        answer = gateway.request("POST", "/admin/explain", {
            "body": dict(ASK, model="pool"), "headers": headers}).json()
        return answer["plan"][0]["input_tokens"]

    assert tokens({"X-Gateway-Route": "org/brief"}) > tokens({}) + 8


@pytest.mark.parametrize("wrong, code", [
    ({"model": "nothing/here"}, "model_not_found"), ({"model": "auto", "n": 0}, None)])
def test_a_refusal_is_explained(gateway, wrong, code):
    answer = gateway.request("POST", "/admin/explain", {"body": dict(ASK, **wrong)})
    if code:
        assert answer.status == 200 and answer.json()["error"]["code"] == code
    else:
        assert answer.status == 400


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_replay_tells_the_reason_again(gateway, stream):
    key = gateway.new_key()["key"]
    headers = {"X-Gateway-Stack": "thrifty", "X-Gateway-Explain": "true",
               "Idempotency-Key": "why-%s" % stream}
    first, again = [gateway.request("POST", "/v1/chat/completions",
                                    dict(ASK, model="auto", stream=stream), key=key,
                                    headers=headers) for _ in range(2)]
    assert again.headers["Idempotent-Replayed"] == "true" and again.body == first.body
    for name in ("Reason", "Expected-Cost-Usd", "Baseline-Cost-Usd", "Stack", "Category"):
        assert again.headers["X-Gateway-" + name] == first.headers["X-Gateway-" + name]
