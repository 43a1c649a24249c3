"""Providers of another API that misbehave, failover between APIs, and reasoning
that comes back, also after a restart.

The caller sees its own API's errors and nothing else.
"""
import json

import pytest

from tests.integration import grammar
from tests.integration.books import attempts, settled, wait_for
from tests.integration.gateway import Gateway, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES
from tests.integration.test_faults import BEFORE, BROKEN_BODY, WHOLE_STATUS, check_told

CROSSINGS = [("chat", "anthropic"), ("messages", "openai"), ("chat", "bedrock"),
             ("responses", "gemini"), ("gemini", "cohere")]
LONG_ANSWERS = {"anthropic": "claude-haiku-4-5", "openai": "gpt-4o-mini",
                "bedrock": "anthropic.claude-haiku-4-5-20251001-v1:0",
                "gemini": "gemini-2.5-flash", "cohere": "command-r7b-12-2024"}
# An alias and a failing model for each test, so that none meets another's breaker.
EITHER = """\
  - name: either-{name}-{stream}
    strategy: priority
    deployments:
      - {{provider: anthropic, model: fault-500-{name}{stream}, priority: 1}}
      - {{provider: openai, model: gpt-4o-mini, priority: 2}}
"""
MODELS = "".join(EITHER.format(name=name, stream=stream) for name in ("chat", "messages")
                 for stream in (False, True))


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "limits:\n  sse_event_bytes: 1048576\n  reply_bytes: 4194304\n",
            "models": MODELS, "retries": 1}


def send(gateway, shape, key, model, stream, **extra):
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, model=model, stream=stream, extra=extra))
        return connection.read()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name, provider", CROSSINGS)
class TestFaults:
    @pytest.mark.parametrize("fault", [f for f in BEFORE if f not in ("hang", "hanghead")])
    def test_before_content(self, gateway, key, name, provider, stream, fault):
        response = send(gateway, SHAPES[name], key, "%s/fault-%s" % (provider, fault), stream)
        # 529 is Anthropic's 503; a provider's 408 is not the caller's, but ours to it.
        other = {503: {529}, 408: {504}}
        statuses = BEFORE[fault].union(*[other.get(status, ()) for status in BEFORE[fault]])
        check_told(SHAPES[name], response, statuses, stream)
        assert response.status != 200
        if fault == "429ra":
            assert response.header("retry-after") == "7"
        assert gateway.healthy()

    @pytest.mark.parametrize("fault", BROKEN_BODY)
    def test_broken_body(self, gateway, key, name, provider, stream, fault):
        response = send(gateway, SHAPES[name], key, "%s/fault-%s" % (provider, fault), stream)
        statuses = WHOLE_STATUS.get(fault, {502}) | {503, 529}
        check_told(SHAPES[name], response, statuses, stream)
        if response.status == 200:
            answer = grammar.check_stream(name, response.body)
            assert answer.error
        assert gateway.healthy()

    def test_harmless(self, gateway, key, name, provider, stream):
        for fault in ("drip", "nousage", "dupusage", "zerousage"):
            response = send(gateway, SHAPES[name], key, "%s/fault-%s" % (provider, fault),
                            stream)
            assert response.status == 200 and response.complete
            if fault == "nousage" and name in ("responses", "gemini"):
                # None is shown where none was told; the checkers know whole answers only.
                assert b"said" in response.body
                continue
            check = grammar.check_stream if stream else grammar.check_reply
            body = response.body if stream else json.loads(response.body)
            assert "said" in check(name, body).text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ["chat", "messages"])
def test_failover_to_another_api(gateway, key, fleet, name, stream):
    response = send(gateway, SHAPES[name], key, "either-%s-%s" % (name, stream), stream)
    assert response.status == 200
    assert b"said" in response.body
    asked = [entry.target for entry in fleet.journal.entries()][-2:]
    assert asked == ["/v1/messages", "/v1/chat/completions"]


def test_nothing_waits_for_what_follows(binary, fleet, tmp_path):
    """What came from a provider is told at once: here nothing follows, for a minute."""
    crossings = [pair for pair in CROSSINGS if pair[1] != "bedrock"]
    blocks = [provider_block("slow-" + kind, kind, fleet.url(kind), fleet.key(kind))
              for _, kind in crossings]
    gateway = Gateway(tmp_path, fleet, providers="\n".join(blocks).replace(
        "idle_ms: 3000", "idle_ms: 60000"))
    gateway.start()
    try:
        key = gateway.new_key(on_disconnect="cancel")["key"]
        for name, provider in crossings:
            with Connection(gateway.connect()) as connection:
                connection.send(SHAPES[name].ask(key, model="slow-%s/fault-hangmid" % provider,
                                                 stream=True))
                connection.read_until(b"You")
    finally:
        gateway.stop()


@pytest.mark.parametrize("mode, extra", [
    ("cancel", ""), ("drain", "limits: {drain_ms: 500}")], ids=["cancel", "drain"])
def test_the_caller_leaves(binary, fleet, tmp_path, mode, extra):
    """With `cancel` the provider is cut off then, although it would be read on for two
    minutes otherwise; with `drain` when its time is over. What was used is charged."""
    gateway = Gateway(tmp_path, fleet, extra=extra).start()
    try:
        key = gateway.new_key(total_budget_usd=100, on_disconnect=mode)["key"]
        for name, provider in CROSSINGS + [("chat", "openai"), ("messages", "anthropic")]:
            before = settled(gateway)
            with Connection(gateway.connect()) as connection:
                connection.send(SHAPES[name].ask(
                    key, model="%s/%s" % (provider, LONG_ANSWERS[provider]), stream=True,
                    prompt="x @in=100 @words=900 @pause=0.1"))
                connection.read_until(b"w1 ")
            wait_for(lambda: fleet.journal.last().outcome == "client gone", 20, "end upstream")
            wait_for(lambda: len(attempts(gateway)) > len(before), 20, "row")
            (row,) = [row for row in settled(gateway) if row not in before]
            assert row["usage_source"] in ("counted", "partial"), (name, provider)
            assert 0 < row["charged"] <= row["held"], (name, provider)
    finally:
        gateway.stop()


def test_strict_key_policy(gateway):
    key = gateway.new_key(name="strict", strict=True)["key"]
    response = send(gateway, SHAPES["chat"], key, "claude-haiku-4-5", False, seed=1)
    assert response.status == 400
    assert json.loads(response.body)["error"]["param"] == "seed"


# -- reasoning --------------------------------------------------------------------------
def talk(gateway, key, messages):
    body = {"model": "claude-haiku-4-5", "max_tokens": 4000, "reasoning_effort": "low",
            "messages": messages, "tools": [{"type": "function", "function": {
                "name": "look", "parameters": {"type": "object"}}}]}
    answer = gateway.request("POST", "/v1/chat/completions", body, key=key)
    assert answer.status == 200, answer.body
    return answer, answer.json()["choices"][0]["message"]


def answers(message):
    return [{"role": "tool", "tool_call_id": call["id"], "content": "ok"}
            for call in message["tool_calls"]]


def thoughts(fleet):
    return [block for message in json.loads(fleet.journal.last().body)["messages"]
            for block in message["content"] if block["type"] == "thinking"]


def test_reasoning_outlives_a_restart(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet)
    gateway.start()
    key = gateway.new_key()["key"]
    messages = [{"role": "user", "content": "go @turns=2 @calls=1"}]
    _, message = talk(gateway, key, messages)
    token = message["reasoning_details"][0]["signature"]
    assert token.startswith("sluicev1")
    gateway.stop()
    gateway.start()
    _, second = talk(gateway, key, messages + [message] + answers(message))
    # The emulator refuses a thought that it did not mint: this one came through.
    assert len(thoughts(fleet)) == 1
    # One that somebody changed proves nothing, and is not shown to the provider.
    message["reasoning_details"][0]["signature"] = token[:-8] + "AAAAAAAA"
    answer, _ = talk(gateway, key, messages + [message] + answers(message))
    assert thoughts(fleet) == []
    assert "reasoning_stripped" in answer.headers["x-gateway-translation-warnings"]
    gateway.stop()


def test_sealed_reasoning_stays_at_home(gateway, key, fleet):
    """What one provider thought is never shown to another, whatever the lane."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "sluicev1" + "A" * 64}
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "yes"}]},
        {"role": "user", "content": "more"}]}
    answer = gateway.request("POST", "/v1/messages", body, key=key)
    assert answer.status == 200, answer.body
    assert b"sluicev1" not in fleet.journal.last().body


@pytest.mark.parametrize("name, model", [("chat", "claude-haiku-4-5"),
                                         ("messages", "gpt-4o-mini")])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_callers_who_leave(gateway, key, name, model, stream):
    """The answer is read to its end for the bill, while others are served."""
    shape = SHAPES[name]
    for _ in range(10):
        with Connection(gateway.connect()) as connection:
            connection.send(shape.ask(key, model=model, stream=stream,
                                      prompt="hi @words=30 @pause=0.01 @first=0.05"))
            if stream:
                connection.sock.recv(100)
        response = send(gateway, shape, key, model, False)
        assert response.status == 200 and b"said" in response.body
    assert gateway.healthy()
