"""Verification: a bad answer is asked for once more, at a stronger target, and only once;
every attempt is paid."""
import json

import pytest

from tests.integration.gateway import provider_block
from tests.integration.scripted import Reply, Scripted, completion, error

SCHEMA = {"type": "object", "required": ["name", "age"], "additionalProperties": False,
          "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "strict": True,
                                                 "schema": SCHEMA}}
EXTRA = """\
  script/weak: {input: 1, output: 1}
  script/strong: {input: 10, output: 10}
stacks:
  - slug: checked
    models: [script/weak, script/strong]
    objective: fixed
    verification: strict
  - slug: judged
    models: [script/weak, script/strong]
    objective: fixed
    verification: strong
  - slug: sick
    models: [script/weak, script/sick]
    objective: fixed
    verification: strict
  - slug: ill-judged
    models: [script/weak, script/ill]
    objective: fixed
    verification: strong
  - slug: single
    models: [script/weak]
    objective: fixed
    verification: strict
"""


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


@pytest.fixture(scope="module")
def gateway_options(script):
    return {"providers": provider_block("script", "openai", script.url, "k"), "extra": EXTRA,
            "retries": 1}


def ask(gateway, key, stack="checked", verification=None, **body):
    headers = {"X-Gateway-Stack": stack}
    if verification:
        headers["X-Gateway-Verification"] = verification
    return gateway.request("POST", "/v1/chat/completions", dict(
        {"model": "auto", "messages": [{"role": "user", "content": "Who is it?"}]}, **body),
        key=key, headers=headers)


def said(answer):
    assert answer.status == 200, answer.body
    return answer.json()["choices"][0]["message"]["content"]


def cost(answer):
    return float(answer.headers["x-gateway-cost-usd"])


GOOD = '{"name": "Ann", "age": 3}'
BAD = {
    "empty": Reply(completion("")),
    "blank": Reply(completion(" \n")),
    "refusal": Reply(completion(None, refusal="I will not.")),
    "filter": Reply(completion("", finish="content_filter")),
    "cut": Reply(completion("Once upon a", finish="length")),
    "worded": Reply(completion("I'm sorry, but I can't help with that.")),
}
BAD_JSON = {
    "no-json": "Here you are: Ann",
    "half": '{"name": "Ann", "age": ',
    "missing": '{"name": "Ann"}',
    "type": '{"name": "Ann", "age": "three"}',
    "bound": '{"name": "Ann", "age": -1}',
    "member": '{"name": "Ann", "age": 3, "x": 1}',
}


class TestEscalation:
    @pytest.mark.parametrize("how", BAD)
    def test_bad_then_good(self, gateway, key, script, how):
        script.reset(weak=BAD[how], strong="Ann.")
        answer = ask(gateway, key)
        assert said(answer) == "Ann."
        assert script.models() == ["weak", "strong"]
        assert answer.headers["x-gateway-decision"] == "script/strong"
        assert answer.headers["x-gateway-retries"] == "1"
        assert answer.headers["x-gateway-verification"] == "escalated"
        # 30 tokens at 1, then 30 at 10 dollars a million.
        assert cost(answer) == pytest.approx(330e-6)

    @pytest.mark.parametrize("how", BAD_JSON)
    def test_schema(self, gateway, key, script, how):
        script.reset(weak=BAD_JSON[how], strong=GOOD)
        answer = ask(gateway, key, response_format=FORMAT)
        assert said(answer) == GOOD and script.models() == ["weak", "strong"]

    def test_good(self, gateway, key, script):
        script.reset(weak=GOOD)
        answer = ask(gateway, key, response_format=FORMAT)
        assert said(answer) == GOOD and script.models() == ["weak"]
        assert answer.headers["x-gateway-verification"] == "passed"
        assert cost(answer) == pytest.approx(30e-6)

    def test_only_once(self, gateway, key, script):
        script.reset(weak="", strong="I'm sorry, but I can't.")
        answer = ask(gateway, key)
        assert script.models() == ["weak", "strong"]
        assert said(answer) == "I'm sorry, but I can't."
        assert answer.headers["x-gateway-verification"] == "failed"

    @pytest.mark.parametrize("failure", [
        Reply(error(), status=500), Reply(error(), status=400), Reply(status=0),
        Reply(error("slow down"), status=429)], ids=["500", "400", "gone", "429"])
    def test_first_answer_stands(self, gateway, key, script, failure):
        """What was bought is not lost because the second attempt brought nothing."""
        script.reset(weak=BAD["cut"], sick=failure)
        answer = ask(gateway, key, stack="sick")
        assert said(answer) == "Once upon a"
        assert answer.headers["x-gateway-decision"] == "script/weak"
        assert answer.headers["x-gateway-verification"] == "failed"
        assert cost(answer) == pytest.approx(30e-6)

    def test_nowhere_to_go(self, gateway, key, script):
        script.reset(weak=BAD["cut"])
        answer = ask(gateway, key, stack="single")
        assert said(answer) == "Once upon a" and script.models() == ["weak"]
        assert answer.headers["x-gateway-verification"] == "failed"

    def test_callers_own_limit(self, gateway, key, script):
        script.reset(weak=BAD["cut"])
        answer = ask(gateway, key, max_tokens=3)
        assert said(answer) == "Once upon a" and script.models() == ["weak"]

    def test_tool_calls_are_answers(self, gateway, key, script):
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        script.reset(weak=Reply(completion(None, finish="tool_calls", tool_calls=[call])))
        answer = ask(gateway, key)
        assert answer.status == 200 and script.models() == ["weak"]
        assert answer.headers["x-gateway-verification"] == "passed"

    def test_modes(self, gateway, key, script):
        worded = "I cannot assist with that."
        for mode, models in (("off", ["weak"]), ("light", ["weak"]), ("auto", ["weak"]),
                             ("strict", ["weak", "strong"])):
            script.reset(weak=worded)
            ask(gateway, key, verification=mode)
            assert script.models() == models, mode
        wrong = '{"name": "Ann"}'
        for mode, models in (("off", ["weak"]), ("light", ["weak"]),
                             ("auto", ["weak", "strong"])):
            script.reset(weak=wrong, strong=GOOD)
            ask(gateway, key, verification=mode, response_format=FORMAT)
            assert script.models() == models, mode

    def test_streams_are_not_verified(self, gateway, key, script):
        script.reset(weak="")
        answer = ask(gateway, key, stream=True)
        assert answer.status == 200 and script.models() == ["weak"]
        assert "x-gateway-verification" not in answer.headers


class TestSecondOpinion:
    def test_pass(self, gateway, key, script):
        script.reset(weak="Ann.", strong="PASS")
        answer = ask(gateway, key, stack="judged")
        assert said(answer) == "Ann." and script.models() == ["weak", "strong"]
        question = json.dumps(script.asked[1][2])
        assert "Who is it?" in question and "Ann." in question
        assert answer.headers["x-gateway-verification"] == "passed"
        assert answer.headers["x-gateway-decision"] == "script/weak"
        assert cost(answer) == pytest.approx(330e-6)

    def test_fail(self, gateway, key, script):
        script.reset(weak="Bob.", strong=["FAIL", "Ann."])
        answer = ask(gateway, key, stack="judged")
        assert said(answer) == "Ann." and script.models() == ["weak", "strong", "strong"]
        # The request is the caller's again.
        assert script.asked[2][2]["messages"] == [{"role": "user", "content": "Who is it?"}]
        assert answer.headers["x-gateway-verification"] == "escalated"
        assert cost(answer) == pytest.approx(630e-6)

    @pytest.mark.parametrize("judge", [
        "Hard to say.", Reply(error(), status=500), Reply(status=0)], ids=["vague", "500", "gone"])
    def test_no_opinion(self, gateway, key, script, judge):
        script.reset(weak="Ann.", ill=judge)
        answer = ask(gateway, key, stack="ill-judged")
        assert said(answer) == "Ann."
        assert answer.headers["x-gateway-verification"] == "unverified"
        assert len(script.models()) == 2
