"""Conversations of three turns with two calls each, held by the official SDKs.

The emulator that orders the calls lists every result it got in its last answer: what was
lost on the way is not in it.
"""
import json

import pytest

openai = pytest.importorskip("openai", reason="Python package openai is not installed")
anthropic = pytest.importorskip("anthropic", reason="Python package anthropic is not installed")

GO = "go @turns=3 @calls=2"
WANTED = ["place %d.%d \u2713-%d" % (turn, k, k) for turn in range(3) for k in range(2)]
SCHEMA = {"type": "object", "properties": {"location": {"type": "string"},
                                           "count": {"type": "integer"}}}
MOST_TURNS = 6


@pytest.fixture
def chat(gateway, key):
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0,
                       timeout=20) as client:
        yield client


@pytest.fixture
def claude(gateway, key):
    with anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0,
                             timeout=20) as client:
        yield client


def talk_chat(chat, model, stream, **extra):
    """What the model says at the end."""
    tools = [{"type": "function", "function": {"name": "read_file", "description": "reads",
                                               "parameters": SCHEMA}}]
    messages = [{"role": "user", "content": GO}]
    for _ in range(MOST_TURNS):
        ask = dict(model=model, messages=messages, tools=tools, **extra)
        if stream:
            with chat.chat.completions.stream(**ask) as events:
                final = events.get_final_completion()
        else:
            final = chat.chat.completions.create(**ask)
        message = final.choices[0].message
        if not message.tool_calls:
            return message.content
        assert final.choices[0].finish_reason == "tool_calls"
        messages.append(message.model_dump(exclude_none=True))
        for number, call in enumerate(message.tool_calls):
            given = json.loads(call.function.arguments)
            assert given["count"] >= 9007199254740993
            messages.append({"role": "tool", "tool_call_id": call.id,
                             "content": "%s-%d" % (given["location"], number)})
    pytest.fail("the conversation does not end")


def talk_claude(claude, model, stream, **extra):
    tools = [{"name": "read_file", "description": "reads", "input_schema": SCHEMA}]
    messages = [{"role": "user", "content": GO}]
    for _ in range(MOST_TURNS):
        ask = dict(model=model, max_tokens=4000, messages=messages, tools=tools, **extra)
        if stream:
            with claude.messages.stream(**ask) as events:
                final = events.get_final_message()
        else:
            final = claude.messages.create(**ask)
        calls = [block for block in final.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in final.content if block.type == "text")
        assert final.stop_reason == "tool_use"
        messages.append({"role": "assistant", "content": [
            block.model_dump(exclude_none=True) for block in final.content]})
        messages.append({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id,
             "content": "%s-%d" % (call.input["location"], number)}
            for number, call in enumerate(calls)]})
    pytest.fail("the conversation does not end")


def nothing_lost(said):
    return [text for text in WANTED if text not in said] == []
