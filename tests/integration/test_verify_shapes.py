"""Verification where the answer comes from another API than the caller's: what is looked at is
what the caller will read, the second opinion is asked in the judge's own API, and the request
that is asked again is the caller's."""
import json

import pytest

from tests.integration import books
from tests.integration.gateway import provider_block
from tests.integration.scripted import Reply, Scripted, completion

KINDS = ("openai", "anthropic", "gemini")
CALLERS = ("chat", "responses", "messages", "gemini")
PAIRS = [(weak, strong) for weak in KINDS for strong in KINDS]
EXTRA = "".join("  %s/%s: {input: %d, output: %d}\n" % (kind, name, price, price)
                for kind in ("s-openai", "s-anthropic", "s-gemini")
                for name, price in (("weak", 1), ("strong", 10)))
EXTRA += "stacks:\n" + "".join(
    "  - {slug: %s-%s-%s, models: [s-%s/weak, s-%s/strong], objective: fixed, verification: %s}\n"
    % (mode, weak, strong, weak, strong, mode)
    for mode in ("strict", "strong") for weak, strong in PAIRS)


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


@pytest.fixture(scope="module")
def gateway_options(script):
    blocks = [provider_block("s-" + kind, kind, script.url, "k") for kind in KINDS]
    return {"providers": "\n".join(blocks), "extra": EXTRA, "retries": 1}


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(name="verify", monthly_budget_usd=50)["key"]


def reply(kind, text, end="stop"):
    """10 and 20 tokens; end: stop or refused. OpenAI's is of the API that it is asked in."""
    if kind == "openai":
        whole = Reply(completion(text, finish="stop" if end == "stop" else "content_filter"))
        return lambda body, _: response(text, end) if "input" in body else whole
    if kind == "anthropic":
        return Reply({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                      "content": [{"type": "text", "text": text}] if text else [],
                      "stop_reason": "end_turn" if end == "stop" else "refusal",
                      "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 20}})
    return Reply({"candidates": [{"index": 0, "finishReason": "STOP" if end == "stop" else "SAFETY",
                                  "content": {"role": "model", "parts": [{"text": text}]}}],
                  "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 20,
                                    "totalTokenCount": 30}, "modelVersion": "m"})


def response(text, end):
    part = ({"type": "output_text", "text": text, "annotations": []} if end == "stop"
            else {"type": "refusal", "refusal": text})
    return Reply({
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [part]}] if text else [],
        "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}})


def ask(gateway, key, caller, stack, json_wanted=False):
    text, schema = "Who is it?", {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}}, "additionalProperties": False}
    path, body = {
        "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
        "responses": ("/v1/responses", {"input": text, "store": False}),
        "messages": ("/v1/messages", {"max_tokens": 50,
                                      "messages": [{"role": "user", "content": text}]}),
        "gemini": ("/v1beta/models/auto:generateContent", {
            "contents": [{"role": "user", "parts": [{"text": text}]}]})}[caller]
    if caller != "gemini":
        body["model"] = "auto"
    if json_wanted and caller == "chat":
        body["response_format"] = {"type": "json_schema", "json_schema": {
            "name": "person", "strict": True, "schema": schema}}
    elif json_wanted and caller == "responses":
        body["text"] = {"format": {"type": "json_schema", "name": "person", "strict": True,
                                   "schema": schema}}
    elif json_wanted and caller == "gemini":
        body["generationConfig"] = {"responseMimeType": "application/json",
                                    "responseJsonSchema": schema}
    elif json_wanted:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return gateway.request("POST", path, body, key=key, headers={"X-Gateway-Stack": stack})


def said(caller, answer):
    assert answer.status == 200, answer.body
    found = answer.json()
    if caller == "chat":
        return found["choices"][0]["message"]["content"]
    if caller == "responses":
        return "".join(part["text"] for item in found["output"] if item["type"] == "message"
                       for part in item["content"])
    if caller == "messages":
        return "".join(part["text"] for part in found["content"])
    return "".join(part["text"] for part in found["candidates"][0]["content"]["parts"])


def charged(gateway, attempts):
    """Of the last attempts, in nano-dollars."""
    return sorted(row["charged"] for row in books.settled(gateway)[-attempts:])


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("weak, strong", PAIRS)
class TestEveryCrossing:
    @pytest.mark.parametrize("how", ["empty", "refused"])
    def test_bad_then_good(self, gateway, key, script, caller, weak, strong, how):
        bad = reply(weak, "") if how == "empty" else reply(weak, "No.", "refused")
        script.reset(weak=bad, strong=reply(strong, "Ann."))
        answer = ask(gateway, key, caller, "strict-%s-%s" % (weak, strong))
        assert said(caller, answer) == "Ann." and script.models() == ["weak", "strong"]
        assert answer.headers["x-gateway-decision"] == "s-%s/strong" % strong
        assert answer.headers["x-gateway-verification"] == "escalated"
        assert answer.headers["x-gateway-retries"] == "1"
        assert float(answer.headers["x-gateway-cost-usd"]) == pytest.approx(330e-6)
        assert charged(gateway, 2) == [30000, 300000]

    def test_approved(self, gateway, key, script, caller, weak, strong):
        script.reset(weak=reply(weak, "Ann."), strong=reply(strong, "PASS"))
        answer = ask(gateway, key, caller, "strong-%s-%s" % (weak, strong))
        assert said(caller, answer) == "Ann." and script.models() == ["weak", "strong"]
        question = json.dumps(script.asked[1][2])
        assert "Who is it?" in question and "Ann." in question and "PASS or FAIL" in question
        assert answer.headers["x-gateway-verification"] == "passed"
        assert answer.headers["x-gateway-decision"] == "s-%s/weak" % weak
        assert float(answer.headers["x-gateway-cost-usd"]) == pytest.approx(330e-6)
        assert charged(gateway, 2) == [30000, 300000]

    def test_disapproved(self, gateway, key, script, caller, weak, strong):
        script.reset(weak=reply(weak, "Bob."), strong=[reply(strong, "FAIL"), reply(strong, "Ann.")])
        answer = ask(gateway, key, caller, "strong-%s-%s" % (weak, strong))
        assert said(caller, answer) == "Ann."
        assert script.models() == ["weak", "strong", "strong"]
        # The request is the caller's again.
        again = json.dumps(script.asked[2][2])
        assert "Who is it?" in again and "PASS" not in again and "Bob." not in again
        assert answer.headers["x-gateway-verification"] == "escalated"
        assert float(answer.headers["x-gateway-cost-usd"]) == pytest.approx(630e-6)
        assert charged(gateway, 3) == [30000, 300000, 300000]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("weak, strong", PAIRS)
def test_by_the_schema(gateway, key, script, caller, weak, strong):
    good = '{"name": "Ann"}'
    for bad in ("Here: Ann", '{"age": 3}'):
        script.reset(weak=reply(weak, bad), strong=reply(strong, good))
        answer = ask(gateway, key, caller, "strict-%s-%s" % (weak, strong), json_wanted=True)
        assert json.loads(said(caller, answer)) == {"name": "Ann"}, bad
        assert script.models() == ["weak", "strong"]
        assert answer.headers["x-gateway-verification"] == "escalated"


@pytest.mark.parametrize("weak, strong", [pair for pair in PAIRS if pair[0] != "openai"])
def test_the_first_answer_is_kept_when_it_is_given_after_all(gateway, key, script, weak, strong):
    """It says store: true, so it must be there, and be gone on from; and it still says what
    was changed on the way to who gave it."""
    script.reset(weak=[reply(weak, "Here: Ann"), reply(weak, "And on.")],
                 strong=Reply({"error": {"message": "broken"}}, status=500))
    schema = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    answer = gateway.request("POST", "/v1/responses", {
        "model": "auto", "input": "Who is it?", "metadata": {"a": "b"},
        "text": {"format": {"type": "json_schema", "name": "person", "schema": schema}}},
        key=key, headers={"X-Gateway-Stack": "strict-%s-%s" % (weak, strong)})
    assert said("responses", answer) == "Here: Ann" and answer.json()["store"] is True
    assert answer.headers["x-gateway-verification"] == "failed"
    assert "parameter_dropped;/metadata" in answer.headers["x-gateway-translation-warnings"]
    kept = gateway.request("GET", "/v1/responses/" + answer.json()["id"], key=key)
    assert kept.status == 200 and kept.json()["output"] == answer.json()["output"]
    more = gateway.request("POST", "/v1/responses", {
        "model": "s-%s/weak" % weak, "input": "Go on.", "previous_response_id": answer.json()["id"]},
        key=key)
    assert said("responses", more) == "And on."
    assert "Here: Ann" in json.dumps(script.asked[-1][2])


def test_the_books_are_right(gateway):
    books.settled(gateway)
    books.verify(gateway)
