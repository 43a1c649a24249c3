"""Bedrock and Cohere behind callers of other APIs, and boto3 in front of others.

One conversation for each pair: three turns, two calls each, streamed or not. The
emulator's last answer lists every result it got, so nothing can be lost unseen.
"""
import json

import pytest

from tests.integration import grammar
from tests.integration.talks import (GO, SCHEMA, WANTED, anthropic, chat, claude,  # noqa: F401
                                     nothing_lost, openai, talk_chat, talk_claude)

BEDROCK = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
COHERE = "cohere/command-a-03-2025"
THINKER = "cohere/command-a-reasoning-08-2025"
MODELS = [BEDROCK, COHERE]


@pytest.mark.parametrize("model", [*MODELS, THINKER])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("talk", ["chat", "claude"])
def test_loop(request, model, stream, talk):
    client = request.getfixturevalue(talk)
    said = (talk_chat if talk == "chat" else talk_claude)(client, model, stream)
    assert nothing_lost(said)


def thoughts_sent(fleet):
    """What the model thought earlier, as the last request repeats it to its maker."""
    body = json.loads(fleet.journal.last().body)
    blocks = [b for m in body.get("messages") or body.get("contents") or body["input"]
              if isinstance(m.get("content", m.get("parts", [m])), list)
              for b in m.get("content", m.get("parts", [m]))]
    signed = [b["reasoningContent"]["reasoningText"] for b in blocks if "reasoningContent" in b]
    assert all(told["signature"] for told in signed)
    return [told["text"] for told in signed] + \
        [b["thinking"] for b in blocks if b.get("type") == "thinking"]


def thoughts(turns=3):
    return ["Let me think about turn %d." % turn for turn in range(turns)]


@pytest.mark.parametrize("model", [BEDROCK, THINKER])
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_comes_back(claude, fleet, model, stream):
    said = talk_claude(claude, model, stream, thinking={"type": "enabled", "budget_tokens": 1024})
    assert nothing_lost(said)
    assert [t for t in thoughts_sent(fleet) if t in thoughts()] == thoughts()


@pytest.mark.parametrize("stream", [False, True])
def test_plans_come_back_to_cohere(claude, fleet, stream):
    """A model that does not reason gets its plan where it wrote it, and no thoughts."""
    assert nothing_lost(talk_claude(claude, COHERE, stream))
    sent = json.loads(fleet.journal.last().body)["messages"]
    assert [bool(m.get("tool_plan")) for m in sent if m["role"] == "assistant"] == [True] * 3
    assert thoughts_sent(fleet) == []


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_through_chat_to_bedrock(chat, fleet, stream):
    said = talk_chat(chat, BEDROCK, stream, reasoning_effort="low", max_tokens=4000)
    assert nothing_lost(said)
    assert b"reasoningContent" in fleet.journal.last().body


@pytest.mark.parametrize("model", MODELS)
def test_streams_are_legal(gateway, key, model):
    hello = [{"role": "user", "content": "hello @in=30 @out=9 @cached=5"}]
    answer = gateway.request("POST", "/v1/chat/completions", {
        "model": model, "messages": hello, "stream": True,
        "stream_options": {"include_usage": True}}, key)
    assert answer.status == 200, answer.body
    assert grammar.check_stream("chat", answer.body, usage=True).text == "You said: hello \u2713"
    answer = gateway.request("POST", "/v1/messages", {
        "model": model, "messages": hello, "stream": True, "max_tokens": 50}, key)
    assert grammar.check_stream("messages", answer.body).text == "You said: hello \u2713"


def test_what_is_sent_to_bedrock(chat, fleet):
    image = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    answer = chat.chat.completions.with_raw_response.create(
        model=BEDROCK, max_tokens=50, temperature=1.5, stop=["END"], seed=7, messages=[
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [
                {"type": "text", "text": "hello"},
                {"type": "image_url", "image_url": {"url": image}}]}])
    sent = json.loads(fleet.journal.last().body)
    assert sent["system"] == [{"text": "be kind"}]
    assert sent["messages"] == [{"role": "user", "content": [{"text": "hello"}, {"image": {
        "format": "png", "source": {"bytes": image.partition(",")[2]}}}]}]
    assert sent["inferenceConfig"] == {"maxTokens": 50, "temperature": 1,
                                       "stopSequences": ["END"]}
    told = answer.headers["x-gateway-translation-warnings"]
    assert "parameter_dropped;/seed" in told and "sampling_clamped;/temperature" in told


def test_errors_are_the_callers_own(chat, claude):
    with pytest.raises(openai.RateLimitError):
        chat.chat.completions.create(model="bedrock/fault-429", messages=[
            {"role": "user", "content": "hi"}])
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.create(model="cohere/fault-429", max_tokens=9, messages=[
            {"role": "user", "content": "hi"}])
    with pytest.raises(openai.APIError):
        for _ in chat.chat.completions.create(model="bedrock/fault-errorevent-4", stream=True,
                                              messages=[{"role": "user", "content": "a b c d"}]):
            pass


# (model, what marks its thoughts where they are repeated to it; None: it is not asked to think)
BEHIND_BOTO3 = [("gpt-4o-mini", None), ("claude-haiku-4-5", None), ("gemini-2.5-flash", None),
                ("openai/gpt-5-mini", None), (COHERE, None), (BEDROCK, None),
                ("claude-haiku-4-5", b'"signature"'), ("gemini-2.5-flash", b'"thoughtSignature"'),
                ("openai/gpt-5-mini", b'"encrypted_content"'), (THINKER, b'"thinking"'),
                (BEDROCK, b'"signature"')]


@pytest.mark.parametrize("model, carried", BEHIND_BOTO3)
@pytest.mark.parametrize("stream", [False, True])
def test_boto3_in_front_of_others(gateway, key, fleet, model, carried, stream):
    pytest.importorskip("boto3", reason="Python package boto3 is not installed")
    from tests.integration.test_sdk_bedrock import client_through
    client = client_through(gateway, key)
    messages = [{"role": "user", "content": [{"text": GO}]}]
    tools = {"tools": [{"toolSpec": {"name": "read_file", "inputSchema": {"json": SCHEMA}}}]}
    for _ in range(6):
        ask = {"modelId": model, "messages": messages, "toolConfig": tools,
               "inferenceConfig": {"maxTokens": 2000}}
        if carried:
            ask["additionalModelRequestFields"] = {
                "thinking": {"type": "enabled", "budget_tokens": 1024}}
        if stream:
            message, reason = gather(client.converse_stream(**ask)["stream"])
        else:
            answer = client.converse(**ask)
            message, reason = answer["output"]["message"], answer["stopReason"]
            assert answer["usage"]["outputTokens"] > 0
        messages.append(message)
        calls = [b["toolUse"] for b in message["content"] if "toolUse" in b]
        if not calls:
            break
        assert reason == "tool_use"
        messages.append({"role": "user", "content": [
            {"toolResult": {"toolUseId": call["toolUseId"], "content": [
                {"text": "%s-%d" % (call["input"]["location"], number)}]}}
            for number, call in enumerate(calls)]})
    said = "".join(b.get("text", "") for b in messages[-1]["content"])
    assert nothing_lost(said)
    if carried:
        told = [b["reasoningContent"] for b in messages[-1]["content"] if "reasoningContent" in b]
        assert told and told[0]["reasoningText"]["text"] == "Let me think about turn 3."
        assert fleet.journal.last().body.count(carried) >= 3


def gather(stream):
    """(message, stop reason) of a stream, held to the grammar of ConverseStream."""
    blocks, texts, reason, kinds = {}, {}, None, []
    for event in stream:
        kind, value = next(iter(event.items()))
        kinds.append(kind)
        index = value.get("contentBlockIndex")
        if kind == "contentBlockStart":
            blocks[index] = {"toolUse": dict(value["start"]["toolUse"])}
            texts[index] = ""
        elif kind == "contentBlockDelta":
            delta = value["delta"]
            if "toolUse" in delta:
                texts[index] += delta["toolUse"]["input"]
            elif "reasoningContent" in delta:
                thought = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {
                    "text": ""}}})["reasoningContent"]["reasoningText"]
                for name, piece in delta["reasoningContent"].items():
                    thought[name] = thought.get(name, "") + piece
            elif "text" in delta:
                blocks.setdefault(index, {"text": ""})["text"] += delta["text"]
        elif kind == "contentBlockStop":
            if index in texts:
                blocks[index]["toolUse"]["input"] = json.loads(texts[index])
        elif kind == "messageStop":
            reason = value["stopReason"]
    assert kinds[0] == "messageStart" and kinds[-2:] == ["messageStop", "metadata"]
    assert sorted(blocks) == list(range(len(blocks)))
    return {"role": "assistant", "content": [blocks[i] for i in sorted(blocks)]}, reason
