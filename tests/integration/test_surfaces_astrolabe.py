"""The Astrolabe contract: one test for each acceptance check, by its number."""
import concurrent.futures
import json
import re
import time

import pytest

from tests.integration.gateway import PRICES, Gateway
from tests.integration.rawhttp import Connection, request_bytes, sse_frames

PROMPT = "Write a Python function that reverses a linked list."
RESPONSES = {"model": "astrolabe/auto", "input": PROMPT}
CHAT = {"model": "astrolabe/auto", "messages": [{"role": "user", "content": PROMPT}]}
MODELS = """\
  - name: smart
    strategy: tier
    deployments:
      - {provider: openai, model: gpt-4o-mini, tier: simple}
      - {provider: openai, model: gpt-4o-mini, tier: medium}
      - {provider: openai-b, model: gpt-4o-mini, tier: complex}
  - name: astrolabe/coding
    deployments: [{provider: openai-b, model: gpt-4o-mini}]
    fallbacks: [gpt-4o-mini]
"""


STACKS = """\
stacks:
  - slug: customer-data
    version: 3
    models: [smart]
    allowed_providers: [openai, openai-b]
  - slug: nobody
    models: [smart]
    allowed_providers: [gemini]
workspaces:
  - {slug: acme, stack: customer-data}
"""
TEN = ("cloud-request-id", "cloud-workspace", "cloud-key", "model", "stack-name",
       "stack-version", "policy-status")


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": MODELS, "router": "auto: smart", "extra": STACKS}


@pytest.fixture(scope="module")
def made(gateway):
    made = gateway.new_key(name="astrolabe", surface="astrolabe", rpm=1000)
    assert made["key"].startswith("astrolabe_live_")
    return made


@pytest.fixture(scope="module")
def key(made):
    return made["key"]


def refused(answer, status, code):
    assert answer.status == status, answer.body
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "requestId"} and error["message"]
    assert error["code"] == code
    assert error["requestId"] == answer.headers["x-astrolabe-cloud-request-id"]
    assert re.match(r"^req_[0-9A-Z]{26}$", error["requestId"])


def test_14_responses(gateway, key):
    answer = gateway.request("POST", "/v1/responses", RESPONSES, key=key)
    assert answer.status == 200
    body = answer.json()
    assert body["object"] == "response" and body["output"]
    assert body["created"] == body["created_at"]
    told = body["metadata"]["astrolabe"]
    assert told["model"] == "astrolabe/auto" and told["lane"] == "auto"
    assert told["request_id"] == answer.headers["x-astrolabe-cloud-request-id"]
    assert told["selected_provider"] == answer.headers["x-astrolabe-selected-provider"]


def test_15_x_api_key(gateway, key):
    answer = gateway.request("POST", "/v1/responses", RESPONSES, key=None,
                             headers={"x-api-key": key})
    assert answer.status == 200 and answer.json()["object"] == "response"


def test_16_ten_headers(gateway, key):
    answer = gateway.request("POST", "/v1/responses", RESPONSES, key=key)
    assert answer.status == 200
    for name in TEN:
        assert answer.headers["x-astrolabe-" + name], name
    assert answer.headers["x-astrolabe-stack-name"] == "default-optimizer"
    assert re.match(r"^\d+$", answer.headers["x-astrolabe-stack-version"])
    assert answer.headers["x-astrolabe-policy-status"] == "passed"
    limit, left, reset = (int(answer.headers["x-ratelimit-" + name])
                          for name in ("limit", "remaining", "reset"))
    assert limit == 1000 and 0 <= left < 1000 and abs(reset - time.time()) < 120


def test_16_ten_headers_of_an_answer_given_again(gateway, key):
    first, again = (gateway.request("POST", "/v1/responses", RESPONSES, key=key,
                                    headers={"Idempotency-Key": "ten-again"}) for _ in range(2))
    assert again.status == 200 and again.headers["idempotent-replayed"] == "true"
    assert again.body == first.body
    for name in TEN:
        assert again.headers["x-astrolabe-" + name], name
    for name in ("stack-name", "stack-version", "selected-provider", "selected-model", "decision",
                 "category", "complexity", "confidence-score"):
        assert again.headers["x-astrolabe-" + name] == first.headers["x-astrolabe-" + name], name


def test_17_wishes_in_metadata(gateway, key, fleet):
    wishes = {"stack": "customer-data", "quality": "high", "verification": "strong"}
    answer = gateway.request("POST", "/v1/responses", dict(
        RESPONSES, metadata={"ticket": "7", "astrolabe": wishes}), key=key)
    assert answer.status == 200, answer.body
    assert answer.headers["x-astrolabe-stack-name"] == "customer-data"
    assert answer.headers["x-astrolabe-stack-version"] == "3"
    # The request itself; a second model may have been asked what it thinks of the answer.
    assert fleet.journal.entries()[0].json()["metadata"] == {"ticket": "7"}
    answer = gateway.request("POST", "/v1/responses", dict(
        RESPONSES, metadata={"astrolabe": wishes}), key=key)
    assert answer.status == 200
    for entry in fleet.journal.entries():
        assert "astrolabe" not in entry.json().get("metadata", {})
    assert "metadata" not in fleet.journal.last().json()


@pytest.mark.parametrize("path, body, provider", [
    ("/v1/responses", RESPONSES, "openai"), ("/v1/chat/completions", CHAT, "openai"),
    ("/v1/chat/completions", CHAT, "anthropic")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_error_has_the_id_of_the_request(gateway, key, fleet, path, body, provider,
                                                     stream):
    answer = gateway.request("POST", path, dict(
        body, model=provider + "/nobody-knows-this", stream=stream), key=key)
    assert answer.status == 404 and len(fleet.journal.entries()) == 1, answer.body
    error = answer.json()["error"]
    assert error["message"] and error["code"] and error["type"]
    assert error["requestId"] == answer.headers["x-astrolabe-cloud-request-id"]
    if provider == "openai":
        told = json.loads(fleet.journal.last().reply)["error"]
        assert error["message"] == told["message"] and error["type"] == told["type"]


@pytest.mark.parametrize("wishes", ["customer-data", 7, ["high"], True])
def test_wishes_that_are_no_object(gateway, key, fleet, wishes):
    refused(gateway.request("POST", "/v1/responses", dict(
        RESPONSES, metadata={"astrolabe": wishes}), key=key), 400, "invalid_type")
    assert not fleet.journal.entries()


@pytest.mark.parametrize("path, body", [("/v1/responses", RESPONSES),
                                        ("/v1/chat/completions", dict(CHAT, model="auto"))])
def test_explain_tells_more(gateway, key, path, body):
    told = []
    for explain in (True, False):
        answer = gateway.request("POST", path, dict(
            body, metadata={"astrolabe": {"explain": explain}}), key=key)
        assert answer.status == 200, answer.body
        told.append(answer.json().get("astrolabe") or answer.json()["metadata"]["astrolabe"])
    assert told[0]["reason"] and told[0]["attempts"] == 1 and told[0]["expected_cost_usd"] > 0
    assert "reason" not in told[1] and "expected_cost_usd" not in told[1]


def test_18_no_balance(gateway, fleet):
    gateway.request("POST", "/admin/workspaces", {"slug": "broke", "prepaid": True})
    broke = gateway.new_key(surface="astrolabe", workspace="broke")["key"]
    refused(gateway.request("POST", "/v1/responses", dict(RESPONSES, max_output_tokens=100),
                            key=broke), 402, "payment_required")
    assert not fleet.journal.entries()


def test_20_the_sdk(gateway, key):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0) as client:
        made = client.responses.create(model="astrolabe/auto", input=PROMPT)
        assert made.output_text
        chat = client.chat.completions.create(**CHAT)
        assert chat.choices[0].message.content and chat.model_extra["astrolabe"]


def test_21_the_key_is_never_shown_whole(gateway, key):
    answer = gateway.request("POST", "/v1/responses", RESPONSES, key=key)
    shown = answer.headers["x-astrolabe-cloud-key"]
    assert key.startswith(shown) and len("astrolabe_live_") < len(shown) < 24
    assert key not in str(answer.headers) and key.encode() not in answer.body


def test_23_unknown_stack(gateway, key, fleet):
    for stack, expected in (("no-such", (404, "routing_stack_not_found")),
                            ("x" * 200, (404, "routing_stack_not_found")),
                            ("", (400, "invalid_request"))):
        refused(gateway.request("POST", "/v1/responses", dict(
            RESPONSES, metadata={"astrolabe": {"stack": stack}}), key=key), *expected)
    assert not fleet.journal.entries()


def test_24_stack_without_candidates(gateway, key, fleet):
    refused(gateway.request("POST", "/v1/responses", dict(
        RESPONSES, metadata={"astrolabe": {"stack": "nobody"}}), key=key),
        409, "routing_policy_blocked")
    assert not fleet.journal.entries()


def test_26_whose_stack_holds(gateway):
    def stack(key, **wishes):
        body = dict(RESPONSES, metadata={"astrolabe": wishes}) if wishes else RESPONSES
        answer = gateway.request("POST", "/v1/responses", body, key=key)
        assert answer.status == 200, answer.body
        return answer.headers["x-astrolabe-stack-name"]

    plain = gateway.new_key(surface="astrolabe")["key"]
    acme = gateway.new_key(surface="astrolabe", workspace="acme")["key"]
    bound = gateway.new_key(surface="astrolabe", workspace="acme", stack="low-cost")["key"]
    assert stack(plain) == "default-optimizer"
    assert stack(acme) == "customer-data"
    assert stack(bound) == "low-cost"
    assert stack(bound, stack="high-quality") == "high-quality"


def test_25_over_the_limit(gateway):
    slow = gateway.new_key(surface="astrolabe", rpm=1)["key"]
    first = gateway.request("POST", "/v1/responses", RESPONSES, key=slow)
    assert first.headers["x-ratelimit-limit"] == "1"
    answer = gateway.request("POST", "/v1/responses", RESPONSES, key=slow)
    refused(answer, 429, "rate_limited")
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 62
    assert int(answer.headers["Retry-After"]) >= 1


def test_27_auto_is_astrolabe_auto(gateway, key):
    for model in ("auto", "astrolabe/auto", None):
        body = {name: value for name, value in dict(CHAT, model=model).items()
                if value is not None}
        answer = gateway.request("POST", "/v1/chat/completions", body, key=key)
        assert answer.status == 200
        assert answer.headers["x-astrolabe-model"] == "astrolabe/auto"
        assert answer.json()["object"] == "chat.completion"
        assert answer.json()["astrolabe"]["model"] == "astrolabe/auto"


def test_28_no_or_revoked_key(gateway):
    gone = gateway.new_key(surface="astrolabe")
    gateway.request("DELETE", "/admin/keys/" + gone["id"])
    for wrong in (gone["key"], "astrolabe_live_" + "0" * 64):
        refused(gateway.request("POST", "/v1/responses", RESPONSES, key=wrong), 401,
                "unauthorized")


@pytest.mark.parametrize("path, body", [("/v1/responses", RESPONSES),
                                        ("/v1/chat/completions", CHAT)])
def test_29_streams(gateway, key, path, body):
    """All ten stand in the head, which is there well before the last event."""
    with Connection(gateway.connect()) as connection:
        connection.send(request_bytes(path, dict(body, stream=True), [
            ("Authorization", "Bearer " + key), ("Content-Type", "application/json")]))
        answer = connection.read()
    assert answer.status == 200 and answer.complete
    for name in TEN + ("selected-provider", "selected-model"):
        assert answer.header("x-astrolabe-" + name), name
    for name in ("limit", "remaining", "reset"):
        assert int(answer.header("x-ratelimit-" + name)) > 0
    assert answer.header("content-type").startswith("text/event-stream")
    frames = sse_frames(answer.body)
    assert (frames[-1][0] or frames[-1][1]) in ("response.completed", "[DONE]")


def test_what_the_classifier_saw(gateway, key):
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key=key)
    assert answer.headers["x-astrolabe-category"] == "coding"
    assert answer.headers["x-astrolabe-action-class"] == "code_edit"
    assert answer.headers["x-astrolabe-lane"] == "auto"
    assert answer.headers["x-astrolabe-complexity"] in ("simple", "standard", "complex",
                                                        "critical")
    assert answer.headers["x-astrolabe-confidence-score"] in "12345"
    assert answer.headers["x-astrolabe-decision"] == "routed"


@pytest.mark.parametrize("lane, action", [("strict-json", "strict_json"),
                                          ("vision", "vision_analysis")])
def test_the_action_of_a_lane(gateway, key, lane, action):
    answer = gateway.request("POST", "/v1/chat/completions",
                             dict(CHAT, model="astrolabe/" + lane), key=key)
    assert answer.headers["x-astrolabe-lane"] == lane, answer.body
    assert answer.headers["x-astrolabe-action-class"] == action


def test_a_lane_may_be_an_alias(gateway, key):
    answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, model="astrolabe/coding"),
                             key=key)
    assert answer.headers["x-astrolabe-selected-provider"] == "openai-b"
    assert answer.headers["x-astrolabe-model"] == "astrolabe/coding"
    direct = gateway.request("POST", "/v1/chat/completions",
                             dict(CHAT, model="openai/gpt-4o-mini"), key=key)
    assert direct.headers["x-astrolabe-model"] == "openai/gpt-4o-mini"
    assert direct.headers["x-astrolabe-decision"] == "direct"


def test_lists(gateway, key):
    models = gateway.request("GET", "/v1/models", key=key).json()
    assert models["object"] == "list"
    assert [one["id"] for one in models["data"]] == [
        "astrolabe/" + lane for lane in ("auto", "coding", "research", "vision", "strict-json",
                                         "cheap", "safe")]
    assert models["data"][1]["candidates"] == ["openai-b/gpt-4o-mini"]
    lanes = gateway.request("GET", "/v1/lanes", key=key).json()["data"]
    assert lanes[1]["default_candidates"] == ["openai-b/gpt-4o-mini"]
    assert lanes[1]["fallback_candidates"] == ["openai/gpt-4o-mini"]
    assert gateway.request("GET", "/v1/lanes", key="astrolabe_live_x").status == 401
    assert gateway.request("POST", "/v1/lanes", {}, key=key).status == 405


def test_candidates_are_those_of_the_key(binary, fleet, tmp_path):
    """Where neither an alias of the lane nor router.auto says, the aliases that it may use."""
    gateway = Gateway(tmp_path, fleet)
    gateway.start()
    try:
        every = gateway.new_key(surface="astrolabe")["key"]
        few = gateway.new_key(surface="astrolabe", models=["claude-haiku-4-5"])["key"]
        listed = [gateway.request("GET", path, key=one).json()["data"][0][member]
                  for one in (every, few) for path, member in (
                      ("/v1/models", "candidates"), ("/v1/lanes", "default_candidates"))]
        assert listed[0] == listed[1] and "openai/gpt-4o-mini" in listed[0]
        assert listed[2] == listed[3] == ["anthropic/claude-haiku-4-5"]
        answer = gateway.request("POST", "/v1/chat/completions", CHAT, key=few)
        assert answer.headers["x-astrolabe-selected-provider"] == "anthropic"
    finally:
        gateway.stop()


@pytest.mark.parametrize("path, body", [("/v1/responses", RESPONSES),
                                        ("/v1/chat/completions", CHAT)])
def test_a_stream_tells_what_is_expected_to_be_saved(gateway, key, path, body):
    """Its cost is not known when the head goes out; both fields are estimates by name."""
    whole, stream = [gateway.request("POST", path, dict(body, stream=stream), key=key)
                     for stream in (False, True)]
    for answer in (whole, stream):
        assert answer.status == 200
        for name in ("baseline-cost", "savings"):
            assert re.fullmatch(r"\d+\.\d{6}",
                                answer.headers["x-astrolabe-estimated-%s-usd" % name])


def test_other_refusals(gateway, key):
    def ask(path="/v1/chat/completions", **members):
        return gateway.request("POST", path, dict(CHAT, **members), key=key)

    refused(ask(model="vendor/none"), 404, "unknown_model")
    refused(gateway.request("POST", "/v1/chat/completions", b"{", key=key), 400, "invalid_json")
    refused(ask("/v1/nothing"), 404, "not_found")
    refused(ask(metadata={"astrolabe": {"quality": "best"}}), 400, "invalid_request")


def workspace(gateway, slug, amount):
    gateway.request("POST", "/admin/workspaces", {"slug": slug, "prepaid": True})
    answer = gateway.request("POST", "/admin/workspaces/%s/credits" % slug,
                             {"amount_usd": amount, "external_id": "start-" + slug})
    assert answer.status == 201, answer.body
    return gateway.new_key(surface="astrolabe", workspace=slug)["key"]


def credit(gateway, key):
    answer = gateway.request("GET", "/v1/credits", key=key)
    assert answer.status == 200, answer.body
    return answer.json()


def test_19_debited_exactly_or_not_at_all(gateway, fleet):
    key = workspace(gateway, "exact", 1)
    body = dict(RESPONSES, max_output_tokens=500, input="@in=1000 @out=50 " + PROMPT,
                model="openai/gpt-4o-mini")
    assert gateway.request("POST", "/v1/responses", body, key=key).status == 200
    after = credit(gateway, key)
    price = PRICES["openai/gpt-4o-mini"]
    assert after["balance_usd"] == pytest.approx(
        1 - (1000 * price[0] + 50 * price[1]) / 1e6, abs=1e-12)
    assert after["held_usd"] == 0
    fleet.providers["openai"].plan.add("500")
    assert gateway.request("POST", "/v1/responses", body, key=key).status == 500
    assert credit(gateway, key) == after


def test_22_never_below_zero(gateway):
    """Each request may cost 0.1 cent and does: ten can be paid."""
    key = workspace(gateway, "ten", 0.01)
    body = dict(CHAT, max_tokens=400, model="openai/gpt-4o-mini", messages=[
        {"role": "user", "content": "@in=200 @out=400 @pause=0.01 " + "x" * 20}])
    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: gateway.request(
            "POST", "/v1/chat/completions", body, key=key), range(50)))
    good = [answer for answer in answers if answer.status == 200]
    assert 1 <= len(good) <= 10
    for answer in answers:
        if answer.status != 200:
            refused(answer, 402, "payment_required")
    price = PRICES["openai/gpt-4o-mini"]
    left = credit(gateway, key)
    assert left["balance_usd"] >= 0 and left["held_usd"] == 0
    assert left["balance_usd"] == pytest.approx(
        0.01 - len(good) * (200 * price[0] + 400 * price[1]) / 1e6, abs=1e-12)
