"""What a translation may never do: answer something else, or cost more than was held."""
import json

import pytest

from tests.integration.books import attempts, bill_of, settled
from tests.integration.gateway import PRICES

BEDROCK = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
# What serves, by the API that is spoken to it.
MODELS = {"chat": "gpt-4o-mini", "responses": "gpt-5-mini", "messages": "claude-haiku-4-5",
          "gemini": "gemini-2.5-flash", "bedrock": "bedrock/" + BEDROCK,
          "cohere": "cohere/command-a-03-2025"}
NAMES = {"gpt-4o-mini": "openai/gpt-4o-mini", "gpt-5-mini": "openai/gpt-5-mini",
         "claude-haiku-4-5": "anthropic/claude-haiku-4-5",
         "gemini-2.5-flash": "gemini/gemini-2.5-flash"}


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": "  - name: gpt-5-mini\n    deployments: "
                      "[{provider: openai, model: gpt-5-mini}]"}


def ask(gateway, key, caller, model, words, **more):
    """One question in the caller's API."""
    if caller == "gemini":
        config = more.pop("generationConfig", {})
        config.setdefault("maxOutputTokens", 40)
        return gateway.request("POST", "/v1beta/models/%s:generateContent" % model, dict(
            {"contents": [{"role": "user", "parts": [{"text": words}]}],
             "generationConfig": config}, **more), key=key)
    if caller == "bedrock":
        config = more.pop("inferenceConfig", {"maxTokens": 40})
        return gateway.request("POST", "/model/%s/converse" % model.replace("/", "%2F"), dict(
            {"messages": [{"role": "user", "content": [{"text": words}]}],
             "inferenceConfig": config}, **more), key=key)
    path, body = {
        "chat": ("/v1/chat/completions", {"max_completion_tokens": 40}),
        "completions": ("/v1/completions", {"max_tokens": 40, "prompt": words}),
        "responses": ("/v1/responses", {"max_output_tokens": 40, "input": words}),
        "messages": ("/v1/messages", {"max_tokens": 40}),
    }[caller]
    if caller in ("chat", "messages"):
        body["messages"] = [{"role": "user", "content": words}]
    return gateway.request("POST", path, dict(body, model=model, **more), key=key)


# --- several answers ------------------------------------------------------------------

SEVERAL = {"chat": {"n": 3}, "completions": {"n": 3},
           "gemini": {"generationConfig": {"candidateCount": 3}}}


@pytest.mark.parametrize("via", MODELS)
@pytest.mark.parametrize("caller", SEVERAL)
def test_several_answers_or_a_refusal(gateway, key, fleet, caller, via):
    """As many as were asked for, from who can give them; never one in their place."""
    answer = ask(gateway, key, caller, MODELS[via], "hello", **json.loads(json.dumps(
        SEVERAL[caller])))
    # One provider speaks chat and Responses: chat and completions are asked for as such.
    if via in ("chat", "gemini") or (via == "responses" and caller != "gemini"):
        assert answer.status == 200, answer.body
        sent = fleet.journal.last().json()
        assert sent.get("n", sent.get("generationConfig", {}).get("candidateCount")) == 3
        if caller == "chat" and via == "chat":
            assert sorted(one["index"] for one in answer.json()["choices"]) == [0, 1, 2]
        return
    assert answer.status == 400, answer.body
    error = answer.json()["error"]
    where = "candidateCount" if caller == "gemini" else "n"
    assert where in error["message"], error
    if caller != "gemini":
        assert error["param"] == "n" and error["code"] == "unsupported_for_target"
    assert not fleet.journal.entries()


# --- money ------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
          "additionalProperties": False}
# Little text, and much that another API has to be told in words.
WORDY = {
    "chat": [{"response_format": {"type": "json_object"}},
             {"response_format": {"type": "json_schema", "json_schema": {
                 "name": "x", "schema": SCHEMA}}},
             {"messages": [{"role": "user", "content": "a"}] + [
                 part for k in range(12) for part in (
                     {"role": "assistant", "content": None, "tool_calls": [
                         {"id": "c%d" % k, "type": "function",
                          "function": {"name": "f%d" % k, "arguments": ""}}]},
                     {"role": "user", "content": "b"})]}],
    "responses": [{"text": {"format": {"type": "json_object"}}},
                  {"input": [{"role": "user", "content": "a"}] + [
                      {"type": "function_call", "call_id": "c%d" % k, "name": "f%d" % k,
                       "arguments": ""} for k in range(12)]}],
    "messages": [{"messages": [{"role": "user", "content": "a"}] + [
        part for k in range(12) for part in (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t%d" % k,
                                               "name": "f%d" % k, "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t%d" % k,
                                          "is_error": True}]})]}],
    "gemini": [{"generationConfig": {"responseMimeType": "application/json",
                                     "maxOutputTokens": 40}}],
    "bedrock": [{}],
    "completions": [{}],
}


@pytest.mark.parametrize("via", MODELS)
@pytest.mark.parametrize("caller", WORDY)
def test_the_hold_covers_what_is_sent(gateway, fleet, caller, via):
    """However little the caller wrote: no more is charged than was held, and what was held
    would pay for every byte that was sent as a token of its own."""
    key = gateway.new_key(total_budget_usd=50)["key"]
    for more in WORDY[caller]:
        settled(gateway)
        before = {row["id"] for row in attempts(gateway)}
        fleet.journal.reset()
        answer = ask(gateway, key, caller, MODELS[via], "a", **json.loads(json.dumps(more)))
        if answer.status == 400:
            continue    # refused, here or in the caller's own API there; others take it
        assert answer.status == 200, answer.body
        entry = fleet.journal.last()
        # Others' attempts, without a budget or refused before, may come late into the books.
        row, = [row for row in settled(gateway) if row["id"] not in before and row["charged"]
                and any(row["request"])]
        assert row["overrun"] == 0 and 0 < row["charged"] <= row["held"], row
        price = PRICES.get(NAMES.get(MODELS[via], ""))
        if price:
            assert bill_of(entry, price) == row["charged"]
            assert row["held"] >= int(len(entry.body) * price[0] * 1000), (len(entry.body), row)


# --- names -------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["chat", "messages", "responses", "bedrock"])
def test_an_arn_needs_no_prefix(gateway, fleet, caller):
    """AWS's own names have slashes; they are Bedrock's, and priced as what they name."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/" + BEDROCK
    key = gateway.new_key(total_budget_usd=5)["key"]
    answer = ask(gateway, key, caller, arn, "hello")
    assert answer.status == 200, answer.body
    entry = fleet.journal.last()
    assert entry.provider == "bedrock"
    assert entry.target.startswith("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3A"
                                   "inference-profile%2F")


# --- a schema at models that know none -----------------------------------------------------

OLD = {"anthropic": "anthropic/claude-3-5-haiku-20241022",
       "bedrock": "bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0"}
PLACE = {"type": "object", "properties": {"location": {"type": "string"},
                                          "count": {"type": "integer"}},
         "required": ["location", "count"], "additionalProperties": False}
FORMATS = {
    "chat": {"response_format": {"type": "json_schema", "json_schema": {
        "name": "place", "schema": PLACE}}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "place", "schema": PLACE}}},
    "gemini": {"generationConfig": {"responseMimeType": "application/json",
                                    "responseJsonSchema": PLACE}},
}


def said(caller, answer):
    """The answer's text, why it ended, and how many calls are in it."""
    body = answer.json()
    if caller == "chat":
        message = body["choices"][0]["message"]
        return (message["content"], body["choices"][0]["finish_reason"],
                len(message.get("tool_calls") or []))
    if caller == "responses":
        text = "".join(part["text"] for item in body["output"] if item["type"] == "message"
                       for part in item["content"])
        return text, body["status"], sum(i["type"] == "function_call" for i in body["output"])
    candidate = body["candidates"][0]
    parts = candidate["content"]["parts"]
    return ("".join(p.get("text", "") for p in parts), candidate["finishReason"],
            sum("functionCall" in p for p in parts))


@pytest.mark.parametrize("via", OLD)
@pytest.mark.parametrize("caller", FORMATS)
def test_a_schema_by_a_tool(gateway, key, fleet, caller, via):
    answer = ask(gateway, key, caller, OLD[via], "hello", **json.loads(json.dumps(FORMATS[caller])))
    assert answer.status == 200, answer.body
    text, finish, calls = said(caller, answer)
    assert json.loads(text) == {"location": "Paris", "count": 9007199254740993}
    assert "9007199254740993" in text
    assert (finish, calls) == ({"chat": "stop", "responses": "completed", "gemini": "STOP"}[caller],
                               0)
    assert "format_emulated" in answer.headers["x-gateway-translation-warnings"]
    sent = fleet.journal.last().json()
    if via == "anthropic":
        assert sent["tool_choice"] == {"type": "tool", "name": "json_output"}
        assert sent["tools"][0]["input_schema"] == PLACE
    else:
        assert sent["toolConfig"]["toolChoice"] == {"tool": {"name": "json_output"}}
        assert sent["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == PLACE


@pytest.mark.parametrize("via", OLD)
def test_a_schema_by_a_tool_as_a_stream(gateway, key, via):
    answer = ask(gateway, key, "chat", OLD[via], "hello", stream=True,
                 **json.loads(json.dumps(FORMATS["chat"])))
    assert answer.status == 200, answer.body
    chunks = [json.loads(line[6:]) for line in answer.body.decode().splitlines()
              if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert json.loads("".join(delta.get("content") or "" for delta in deltas)) == {
        "location": "Paris", "count": 9007199254740993}
    assert not [delta for delta in deltas if "tool_calls" in delta]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks
            if chunk["choices"] and chunk["choices"][0]["finish_reason"]] == ["stop"]


@pytest.mark.parametrize("via", OLD)
def test_tools_of_the_caller_come_first(gateway, key, fleet, via):
    """A schema beside tools is an instruction: a forced tool would silence the others."""
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    answer = ask(gateway, key, "chat", OLD[via], "hello", tools=tools, tool_choice="none",
                 **json.loads(json.dumps(FORMATS["chat"])))
    assert answer.status == 200, answer.body
    assert b"json_output" not in fleet.journal.last().body
    assert b"JSON Schema" in fleet.journal.last().body
