"""POST /v1/estimate: tokens and costs of a request at several targets, nothing sent."""
import pytest

from tests.integration.gateway import PRICES
from tests.integration.test_tokens import is_exact

BODY = {"model": "any", "max_tokens": 1000,
        "messages": [{"role": "user", "content": "Write a function that sorts a list. " * 20}]}
TARGETS = [{"providerId": "openai", "modelId": "gpt-4o-mini"},
           {"providerId": "anthropic", "modelId": "claude-haiku-4-5"},
           {"providerId": "gemini", "modelId": "gemini-2.5-flash"}]


@pytest.fixture
def estimate(gateway, fleet):
    """Asks with a fresh key; whatever comes back, no provider was asked."""
    key = gateway.new_key(name="estimates")["key"]

    def ask(body, key=key, **options):
        return gateway.request("POST", "/v1/estimate", body, key=key, **options)

    yield ask
    assert not fleet.journal.entries(), "an estimate was sent to a provider"


def codes(answer):
    error = answer.json()["error"]
    return answer.status, error["code"]


def test_targets_are_counted_and_priced(estimate):
    answer = estimate({"request": BODY, "compareTargets": TARGETS})
    assert answer.status == 200, answer.body
    found = answer.json()
    assert [t["modelCode"] for t in found["targets"]] == [t["modelId"] for t in TARGETS]
    totals = {}
    for target in found["targets"]:
        name = "%s/%s" % (target["providerName"], target["modelCode"])
        tokens, cost = target["tokens"], target["cost"]
        for range_ in (tokens["input"], tokens["output"]):
            assert 0 < range_["low"] <= range_["expected"] <= range_["high"]
        assert tokens["output"]["high"] <= 1000
        assert tokens["input"]["expected"] == tokens["uncachedInput"]
        assert cost["currency"] == "USD"
        for level in ("low", "expected", "high"):
            price_in, price_out = PRICES[name]
            assert cost[level]["uncachedInput"] == pytest.approx(
                tokens["input"][level] * price_in / 1e6, abs=1e-9)
            assert cost[level]["output"] == pytest.approx(
                tokens["output"][level] * price_out / 1e6, abs=1e-9)
            assert cost[level]["total"] == pytest.approx(
                cost[level]["uncachedInput"] + cost[level]["output"], abs=1e-9)
        totals[name] = cost["expected"]["total"]
    summary = found["summary"]
    assert summary["successCount"] == 3 and summary["errorsCount"] == 0
    assert summary["cheapestExpectedTarget"] == min(totals, key=totals.get)
    assert summary["cheapestExpectedTotalUsd"] == min(totals.values())
    assert summary["mostExpensiveExpectedTotalUsd"] == max(totals.values())


def test_methods(estimate):
    found = estimate({"request": BODY, "compareTargets": TARGETS}).json()["targets"]
    openai, claude = found[0]["tokens"], found[1]["tokens"]
    assert claude["method"] == "calibrated"
    assert claude["input"]["low"] < claude["input"]["high"]
    if is_exact():
        assert openai["method"] == "exact"
        # 20 sentences of 8 tokens, a space, and 7 around the message.
        assert openai["input"] == {"low": 168, "expected": 168, "high": 168}
    else:
        assert openai["method"] == "calibrated"


@pytest.mark.parametrize("body", [
    {"system": "Be brief.", "max_tokens": 100, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello there"}]}]},
    {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
        {"role": "user", "parts": [{"text": "Hello there"}]}]},
    {"instructions": "Be brief.", "input": "Hello there"},
], ids=["anthropic", "gemini", "responses"])
def test_any_api_is_read(estimate, body):
    target = estimate({"request": body, "compareTargets": TARGETS[:1]}).json()["targets"][0]
    assert 5 <= target["tokens"]["input"]["expected"] <= 30


def test_an_alias_and_reasoning(estimate):
    found = estimate({"request": BODY, "compareTargets": [
        {"modelId": "claude-haiku-4-5", "reasoningEffort": "low"},
        {"modelId": "claude-haiku-4-5"}]}).json()["targets"]
    assert found[0]["providerName"] == "anthropic"
    assert found[0]["reasoning"]["effortRequested"] == "low"
    assert found[0]["reasoning"]["supportedByModel"] is True
    assert found[0]["reasoning"]["estimatedTokens"] > 0
    assert found[1]["reasoning"]["estimatedTokens"] == 0
    assert found[0]["cost"]["expected"]["total"] > found[1]["cost"]["expected"]["total"]


def test_a_target_that_fails_leaves_the_others(gateway, estimate):
    key = gateway.new_key(name="narrow", models=["gpt-4o-mini"])["key"]
    answer = estimate({"request": BODY, "compareTargets": [
        {"modelId": "gpt-4o-mini"},
        {"providerId": "anthropic", "modelId": "claude-haiku-4-5"},
        {"providerId": "nobody", "modelId": "gpt-4o-mini"}, {"providerId": "openai"}]}, key=key)
    assert answer.status == 200
    found = answer.json()
    assert [t.get("error", {}).get("code") for t in found["targets"]] == [
        None, "vk_model_not_allowed", "estimate_target_not_found", "estimate_target_not_found"]
    assert found["summary"]["successCount"] == 1 and found["summary"]["errorsCount"] == 3


@pytest.mark.parametrize("body,code", [
    (b"{", "estimate_invalid_json"), (b"[]", "estimate_invalid_json"),
    ({"compareTargets": TARGETS}, "estimate_no_request"),
    ({"request": BODY}, "estimate_no_targets"),
    ({"request": BODY, "compareTargets": []}, "estimate_no_targets"),
    ({"request": BODY, "compareTargets": TARGETS * 4}, "estimate_too_many_targets"),
    ({"request": BODY, "compareTargets": [dict(TARGETS[0], reasoningEffort="very")]},
     "estimate_invalid_reasoning_effort"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_wrong_is_said(estimate, body, code):
    assert codes(estimate(body)) == (400, code)


def test_a_key_is_needed(estimate):
    for key in (None, "gw_virt_" + "0" * 32):
        assert estimate({"request": BODY, "compareTargets": TARGETS}, key=key).status == 401


def test_the_path_takes_post_only(gateway, key):
    assert gateway.request("GET", "/v1/estimate", key=key).status == 405


def test_estimates_have_a_rate_of_their_own(gateway, estimate):
    key = gateway.new_key(name="rate", rpm=1000)["key"]
    body = {"request": {"messages": []}, "compareTargets": TARGETS[:1]}
    statuses = [estimate(body, key=key).status for _ in range(31)]
    assert statuses == [200] * 30 + [429]
    answer = estimate(body, key=key)
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_nexus_codes(gateway, estimate):
    key = gateway.new_key(name="nexus", surface="nexus")["key"]
    assert estimate({"request": BODY, "compareTargets": TARGETS}, key=key).status == 200
    assert codes(estimate({}, key="nvk_" + "0" * 64)) == (401, "estimate_unauthorized")
    assert codes(estimate({"request": BODY}, key=key)) == (400, "estimate_no_targets")


def test_reports_correct_estimates(gateway, key, fleet):
    """Its own model, so that other tests' estimates stay as they are."""
    text = "@in=300 " + "a few words of an ordinary question " * 20
    request = {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 50,
               "messages": [{"role": "user", "content": text}]}
    target = {"providerId": "anthropic", "modelId": "claude-sonnet-4-5"}

    def expected():
        answer = gateway.request("POST", "/v1/estimate",
                                 {"request": request, "compareTargets": [target]}, key=key)
        return answer.json()["targets"][0]["tokens"]["input"]["expected"]

    before = expected()
    assert before < 240
    for _ in range(64):
        answer = gateway.request("POST", "/v1/messages", request, key=key,
                                 headers={"anthropic-version": "2023-06-01"})
        assert answer.status == 200, answer.body
    assert expected() == pytest.approx(300, abs=3)
