"""Every API in front of every kind of provider: conversations with tools.

Each pair keeps a conversation of three turns with two calls at once, with and
without reasoning, streamed and not. Three judges: the strict emulators refuse
what the provider would refuse, the grammar checker (and OpenAI's own document,
where it is at hand) what the caller's SDK would stumble over, and the last
answer lists every result that reached the model.
"""
import json

import pytest

from tests.integration.dialog import CALLERS, Refused
from tests.upstream import gemini_api

# What serves, by the API that is spoken to it: (model, may think).
MODELS = {"chat": ("gpt-4o-mini", False), "echoing": ("deepseek-v4", True),
          "responses": ("gpt-5-mini", True), "messages": ("claude-haiku-4-5", True),
          "gemini": ("gemini-2.5-flash", True), "gemini3": ("gemini-3-pro-preview", True)}
# Nobody calls with Cohere's API, and Bedrock's callers are boto3 in test_translate_clouds.py.
CLOUDS = {"bedrock": ("us.anthropic.claude-haiku-4-5-20251001-v1:0", True),
          "cohere": ("cohere/command-a-reasoning-08-2025", True)}
SERVING = {**MODELS, **CLOUDS}
TOOLS = ["get_weather", "get_time"]


@pytest.fixture(scope="module")
def gateway_options():
    lines = ["  - name: gpt-5-mini", "    deployments: [{provider: openai, model: gpt-5-mini}]",
             "  - name: deepseek-v4", "    deployments: [{provider: openai, model: deepseek-v4}]",
             "  - name: gemini-3-pro-preview",
             "    deployments: [{provider: gemini, model: gemini-3-pro-preview}]"]
    return {"models": "\n".join(lines)}


def result(call):
    given = call.value
    assert given["count"] >= 9007199254740993, "a number was rounded: %s" % given
    return "%s of %s" % (call.name, given["location"])


def wanted(turns=3):
    return ["%s of place %d.%d \u2713" % (name, turn, k)
            for turn in range(turns) for k, name in enumerate(TOOLS)]


def loop(gateway, key, caller, via, stream, reasoning):
    model, thinks = SERVING[via]
    if reasoning and not thinks:
        pytest.skip("the model does not reason")
    talk = CALLERS[caller](gateway.url, key, model, TOOLS, stream, "medium" if reasoning else None)
    order = "go @turns=3 @calls=2" + (" @think=1" if via == "echoing" and reasoning else "")
    assert talk.loop(order, result) == 3
    missing = [text for text in wanted() if text not in talk.answer.text]
    assert not missing, talk.answer.text
    return talk


@pytest.mark.parametrize("reasoning", [False, True], ids=["plain", "reasoning"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("via", SERVING)
@pytest.mark.parametrize("caller", CALLERS)
def test_tool_loop(gateway, key, fleet, caller, via, stream, reasoning):
    talk = loop(gateway, key, caller, via, stream, reasoning)
    entries = [e for e in fleet.journal.entries() if e.status == 200]
    assert len(entries) == 4, [(e.status, e.reply[:200]) for e in fleet.journal.entries()]
    if reasoning and caller != "chat":
        assert talk.answer.reasoning == "Let me think about turn 3." or via == "echoing"


def replayed(entry):
    """Tokens of reasoning that went upstream with the last request."""
    body = json.loads(entry.body)
    text = json.dumps(body)
    return text.count('"signature"') + text.count('"thoughtSignature"') + \
        text.count('"encrypted_content"') + text.count('{"type": "thinking", "thinking": ')


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("via", ["responses", "messages", "gemini", "gemini3", *CLOUDS])
@pytest.mark.parametrize("caller", CALLERS)
def test_reasoning_comes_back(gateway, key, fleet, caller, via, stream):
    """What only the provider can read is in the next turn's request again."""
    loop(gateway, key, caller, via, stream, True)
    sent = replayed(fleet.journal.entries()[-1])
    # A plain chat client repeats nothing but ids: signatures of calls ride on them.
    if caller == "chat" and via in ("responses", "messages", *CLOUDS):
        return
    assert sent >= 3, sent
    assert gemini_api.SKIP.encode() not in fleet.journal.entries()[-1].body


@pytest.mark.parametrize("caller", CALLERS)
def test_a_conversation_may_change_its_provider(gateway, key, caller):
    """Signatures of one are never sent to another, and no turn is refused."""
    talk = CALLERS[caller](gateway.url, key, "claude-haiku-4-5", TOOLS, True, "medium")
    talk.say("go @turns=4 @calls=2")
    for model in ("claude-haiku-4-5", "gemini-3-pro-preview", "gpt-5-mini", "gemini-2.5-flash"):
        talk.model = model
        assert len(talk.ask().calls) == 2, model
        talk.keep(talk.received)
        talk.results([result(call) for call in talk.answer.calls])
    talk.model = "gpt-4o-mini"
    assert not talk.ask().calls
    assert not [text for text in wanted(4) if text not in talk.answer.text]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("via", MODELS)
@pytest.mark.parametrize("caller", CALLERS)
def test_usage_adds_up(gateway, key, fleet, caller, via, stream):
    talk = CALLERS[caller](gateway.url, key, MODELS[via][0], stream=stream)
    talk.say("hello @in=1000 @out=50 @cached=800")
    usage = talk.ask(**({"stream_options": {"include_usage": True}}
                        if caller == "chat" and stream else {})).usage
    inside = 200 if caller == "messages" else 1000
    if via == "messages":
        # There input_tokens are what no cache took part in.
        inside = 1000 if caller == "messages" else 1800
    names = {"chat": ("prompt_tokens", "completion_tokens"),
             "responses": ("input_tokens", "output_tokens"),
             "messages": ("input_tokens", "output_tokens"),
             "gemini": ("promptTokenCount", "candidatesTokenCount")}[caller]
    assert (usage[names[0]], usage[names[1]]) == (inside, 50)


@pytest.mark.parametrize("via", MODELS)
@pytest.mark.parametrize("caller", CALLERS)
def test_stream_and_whole_say_the_same(gateway, key, caller, via):
    said = []
    for stream in (False, True):
        talk = CALLERS[caller](gateway.url, key, MODELS[via][0], TOOLS, stream)
        talk.say("go @turns=2 @calls=2")
        answer = talk.ask()
        said.append((answer.text, [(c.name, c.value) for c in answer.calls], answer.finish))
    assert said[0] == said[1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("via", ["chat", "responses", "messages", "gemini"])
@pytest.mark.parametrize("caller", CALLERS)
def test_provider_errors_in_the_callers_envelope(gateway, key, fleet, caller, via, stream):
    talk = CALLERS[caller](gateway.url, key, MODELS[via][0], stream=stream)
    talk.say("hello")
    provider = {"messages": "anthropic", "gemini": "gemini"}.get(via, "openai")
    for fault, status in (("429", 429), ("503", 503), ("401", 502)):
        fleet.providers[provider].plan.add(fault)
        with pytest.raises(Refused) as caught:
            talk.ask()
        if caller == "messages" and via != "messages" and status == 503:
            status = 529    # as this API says that it is overloaded
        assert caught.value.status == status, (fault, caught.value)
        error = caught.value.body["error"]
        assert error["message"]
        if caller == "gemini":
            assert error["code"] == status and error["status"].isupper()
        elif caller == "messages":
            assert caught.value.body["type"] == "error" and error["type"].endswith("_error")
        else:
            assert set(error) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("fault", ["errorevent", "noterminal", "halfevent"])
@pytest.mark.parametrize("via", ["chat", "responses", "messages", "gemini"])
@pytest.mark.parametrize("caller", CALLERS)
def test_streams_that_die_are_errors(gateway, key, fleet, caller, via, fault):
    talk = CALLERS[caller](gateway.url, key, MODELS[via][0], stream=True)
    talk.say("hello there my friend")
    provider = {"messages": "anthropic", "gemini": "gemini"}.get(via, "openai")
    fleet.providers[provider].plan.add(fault)
    assert talk.ask().error, talk.received


def test_same_shape_stays_untouched(gateway, key, fleet):
    """No dialog where none is needed: members that nobody knows pass."""
    talk = CALLERS["gemini"](gateway.url, key, "gemini-2.5-flash")
    talk.say("hi")
    talk.ask(safetySettings=[])
    assert json.loads(fleet.journal.last().body)["safetySettings"] == []
