"""The official SDKs in front of providers that speak another API.

The emulators upstream refuse what their services would refuse, the grammar checker
judges what comes back, and a conversation in which the emulator orders tools tells
whether anything was lost on the way: its last answer lists every result it got.
"""
import json
import urllib.request

import pytest

from tests.integration import grammar
from tests.integration.talks import (SCHEMA, anthropic, chat, claude, nothing_lost,  # noqa: F401
                                     openai, talk_chat, talk_claude)

GPT, CLAUDE = "gpt-4o-mini", "claude-haiku-4-5"
HELLO = [{"role": "user", "content": "hello there"}]
NAMES = ["fs_read_file", "fs/read.file"]


def post(gateway, key, path, body, **headers):
    request = urllib.request.Request(
        gateway.url + path, json.dumps(body).encode(),
        dict({"content-type": "application/json", "authorization": "Bearer " + key}, **headers))
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# -- one question ------------------------------------------------------------------
def test_chat_to_claude(chat, fleet):
    answer = chat.chat.completions.create(model=CLAUDE, messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello there \u2713"
    assert answer.choices[0].finish_reason == "stop"
    sent = json.loads(fleet.journal.last().body)
    assert sent["messages"] == [{"role": "user",
                                 "content": [{"type": "text", "text": "hello there"}]}]
    assert sent["max_tokens"] == 64000


def test_claude_to_chat(claude, fleet):
    answer = claude.messages.create(model=GPT, max_tokens=100, system="be kind",
                                    messages=HELLO)
    assert answer.content[0].text == "You said: hello there \u2713"
    assert answer.stop_reason == "end_turn"
    sent = json.loads(fleet.journal.last().body)
    assert sent == {"model": GPT, "max_completion_tokens": 100, "messages": [
        {"role": "system", "content": "be kind"}, {"role": "user", "content": "hello there"}]}


def test_chat_stream_from_claude(chat, gateway, key):
    with chat.chat.completions.stream(model=CLAUDE, messages=HELLO) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "You said: hello there \u2713"
    for options, usage in (({"stream_options": {"include_usage": True}}, True), ({}, False)):
        _, headers, body = post(gateway, key, "/v1/chat/completions", dict(
            {"model": CLAUDE, "messages": HELLO, "stream": True}, **options))
        assert headers["content-type"].startswith("text/event-stream")
        answer = grammar.check_stream("chat", body, usage=usage)
        assert answer.text == "You said: hello there \u2713"


def test_claude_stream_from_chat(claude, gateway, key):
    with claude.messages.stream(model=GPT, max_tokens=100, messages=HELLO) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == "You said: hello there \u2713"
    assert final.usage.output_tokens > 0 and final.usage.input_tokens > 0
    _, _, body = post(gateway, key, "/v1/messages", {
        "model": GPT, "max_tokens": 100, "messages": HELLO, "stream": True})
    assert grammar.check_stream("messages", body).text == "You said: hello there \u2713"


def test_usage_is_counted_alike(chat, claude):
    turns = [{"role": "user", "content": "hi @in=1000 @cached=800 @out=9"}]
    usage = claude.messages.create(model=GPT, max_tokens=100, messages=turns).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) \
        == (200, 800, 9)
    turns = [{"role": "user", "content": "hi @in=7 @cached=500 @write=100 @out=9"}]
    usage = chat.chat.completions.create(model=CLAUDE, messages=turns).usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens,
            usage.completion_tokens) == (607, 500, 9)


# -- conversations with tools ----------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("extra", [{}, {"reasoning_effort": "medium"}])
def test_chat_loop_on_claude(chat, fleet, stream, extra):
    assert nothing_lost(talk_chat(chat, CLAUDE, stream, **extra))
    sent = json.loads(fleet.journal.last().body)
    kinds = [block["type"] for message in sent["messages"] for block in message["content"]
             if message["role"] == "assistant"]
    assert kinds.count("tool_use") == 6
    # The official client returns members that it does not know: so comes the thought.
    assert kinds.count("thinking") == (3 if extra else 0)


@pytest.mark.parametrize("stream", [False, True])
def test_claude_loop_on_chat(claude, stream):
    assert nothing_lost(talk_claude(claude, GPT, stream))


# -- loud --------------------------------------------------------------------------------
def test_what_is_lost_is_named(gateway, key):
    ask = {"model": CLAUDE, "messages": HELLO, "seed": 7, "max_tokens": 50,
           "metadata": {"a": "b"}, "unheard_of": 1}
    status, headers, _ = post(gateway, key, "/v1/chat/completions", ask)
    assert status == 200
    assert headers["x-gateway-translation-warnings"] == (
        "parameter_dropped;/seed, parameter_dropped;/metadata, unknown_member;/unheard_of")
    status, _, body = post(gateway, key, "/v1/chat/completions", ask,
                           **{"x-gateway-strict": "1"})
    error = json.loads(body)["error"]
    assert (status, error["param"], error["code"]) == (400, "seed", "unsupported_for_target")
    record = gateway.records()[0] if hasattr(gateway, "records") else None
    assert record is None or "translation" in record


def test_another_value_is_a_loss(gateway, key):
    """A temperature that the model does not know is sent as its highest, unless strict."""
    ask = {"model": CLAUDE, "messages": HELLO, "temperature": 1.7, "max_tokens": 50}
    status, headers, _ = post(gateway, key, "/v1/chat/completions", ask)
    assert status == 200
    assert headers["x-gateway-translation-warnings"] == "sampling_clamped;/temperature"
    status, _, body = post(gateway, key, "/v1/chat/completions", ask,
                           **{"x-gateway-strict": "1"})
    assert (status, json.loads(body)["error"]["param"]) == (400, "temperature")


def test_a_stop_that_the_target_refuses(gateway, key, fleet):
    ask = {"model": CLAUDE, "messages": HELLO, "stop": ["\n", "END"], "max_tokens": 50}
    status, headers, _ = post(gateway, key, "/v1/chat/completions", ask)
    assert status == 200
    assert headers["x-gateway-translation-warnings"] == "parameter_dropped;/stop"
    assert json.loads(fleet.journal.last().body)["stop_sequences"] == ["END"]


@pytest.mark.parametrize("stream", [False, True])
def test_ids_of_another_provider_for_mistral(chat, fleet, stream):
    """A conversation that began elsewhere goes on where ids are nine letters and digits."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    messages = HELLO + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_of_another_provider", "type": "function",
             "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_of_another_provider", "content": "ok"}]
    answer = chat.chat.completions.create(model="mistral/mistral-large-latest", stream=stream,
                                          messages=messages, tools=tools)
    assert list(answer) if stream else answer.choices[0].message.content
    sent = json.loads(fleet.journal.last().body)["messages"]
    name = sent[1]["tool_calls"][0]["id"]
    assert name.isalnum() and len(name) == 9 and sent[2]["tool_call_id"] == name


@pytest.mark.parametrize("member, value", [
    ("n", 3), ("logprobs", True), ("modalities", ["text", "audio"]),
    ("web_search_options", {})])
def test_another_contract_is_refused(chat, member, value):
    with pytest.raises(openai.BadRequestError) as caught:
        chat.chat.completions.create(model=CLAUDE, messages=HELLO,
                                     extra_body={member: value})
    assert caught.value.param == member
    assert caught.value.code == "unsupported_for_target"


def test_hosted_tools_are_refused(claude):
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model=GPT, max_tokens=10, messages=HELLO,
                               tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert "tools[0]" in str(caught.value)


# -- names -----------------------------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
def test_illegal_names_come_back(chat, stream, fleet):
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}}
             for name in reversed(NAMES)]
    ask = dict(model=CLAUDE, messages=HELLO, tools=tools)
    if stream:
        with chat.chat.completions.stream(**ask) as events:
            final = events.get_final_completion()
    else:
        final = chat.chat.completions.create(**ask)
    assert final.choices[0].message.tool_calls[0].function.name == "fs/read.file"
    sent = [tool["name"] for tool in json.loads(fleet.journal.last().body)["tools"]]
    assert sent[1] == "fs_read_file" and sent[0].startswith("fs_read_file_")


# -- errors --------------------------------------------------------------------------------------
def test_errors_in_the_callers_envelope(chat, claude, fleet):
    with pytest.raises(openai.BadRequestError):
        chat.chat.completions.create(model=CLAUDE, messages=HELLO, stop=["a"], top_p=3)
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model=GPT, max_tokens=10, messages=HELLO,
                               stop_sequences=["a", "b", "c", "d", "e"])
    assert caught.value.body["error"]["type"] == "invalid_request_error"
