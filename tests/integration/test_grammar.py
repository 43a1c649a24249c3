"""The grammar checker: it takes what the emulators send and refuses what is wrong.

Each wrong stream is a right one with one thing broken.
"""
import copy
import json
import urllib.request

import pytest

from tests.integration.grammar import Wrong, check_reply, check_stream
from tests.integration.shapes import SHAPES

CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chat_chunk(delta, finish=None, **more):
    return dict(CHUNK, choices=[{"index": 0, "delta": delta, "finish_reason": finish}], **more)


def chat_call(index, **members):
    return chat_chunk({"tool_calls": [dict({"index": index}, **members)]})


CHAT = [
    chat_chunk({"role": "assistant", "content": ""}),
    chat_chunk({"reasoning_content": "hm"}),
    chat_chunk({"content": "Hé"}),
    chat_call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
    chat_call(0, function={"arguments": '{"x":'}),
    chat_call(0, function={"arguments": "1}"}),
    chat_call(1, id="b", type="function", function={"name": "f", "arguments": "{}"}),
    chat_chunk({}, "tool_calls"),
    dict(CHUNK, choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
    "[DONE]",
]
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "error": None,
    "incomplete_details": None, "instructions": None, "model": "m", "output": [],
    "parallel_tool_calls": True, "metadata": {}, "tool_choice": "auto", "tools": [],
    "temperature": None, "top_p": None}
SAID = {"type": "output_text", "text": "Hé", "annotations": [], "logprobs": []}
OUTPUT = [
    {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
     "content": [SAID]},
    {"id": "fc_1", "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}",
     "status": "completed"}]
SPENT = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7,
         "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
         "output_tokens_details": {"reasoning_tokens": 1}}


def responses_events():
    def of(index, kind, **members):
        return dict({"type": "response." + kind, "item_id": OUTPUT[index]["id"],
                     "output_index": index}, **members)
    events = [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.in_progress", "response": RESPONSE},
        of(0, "output_item.added", item=dict(OUTPUT[0], summary=[])),
        of(0, "reasoning_summary_part.added", summary_index=0,
           part={"type": "summary_text", "text": ""}),
        of(0, "reasoning_summary_text.delta", summary_index=0, delta="hm"),
        of(0, "reasoning_summary_text.done", summary_index=0, text="hm"),
        of(0, "reasoning_summary_part.done", summary_index=0, part=OUTPUT[0]["summary"][0]),
        of(0, "output_item.done", item=OUTPUT[0]),
        of(1, "output_item.added", item=dict(OUTPUT[1], status="in_progress", content=[])),
        of(1, "content_part.added", content_index=0, part=dict(SAID, text="")),
        of(1, "output_text.delta", content_index=0, delta="H", logprobs=[]),
        of(1, "output_text.delta", content_index=0, delta="é", logprobs=[]),
        of(1, "output_text.done", content_index=0, text="Hé", logprobs=[]),
        of(1, "content_part.done", content_index=0, part=SAID),
        of(1, "output_item.done", item=OUTPUT[1]),
        of(2, "output_item.added", item=dict(OUTPUT[2], status="in_progress", arguments="")),
        of(2, "function_call_arguments.delta", delta="{}"),
        of(2, "function_call_arguments.done", name="f", arguments="{}"),
        of(2, "output_item.done", item=OUTPUT[2]),
        {"type": "response.completed",
         "response": dict(RESPONSE, status="completed", output=OUTPUT, usage=SPENT)}]
    return [dict(event, sequence_number=n) for n, event in enumerate(events)]


RESPONSES = responses_events()
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
           "stop_reason": None, "stop_sequence": None,
           "usage": {"input_tokens": 3, "output_tokens": 0}}


def block(index, start, *deltas):
    return ([{"type": "content_block_start", "index": index, "content_block": start}]
            + [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
            + [{"type": "content_block_stop", "index": index}])


MESSAGES = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "ping"},
    *block(0, {"type": "thinking", "thinking": "", "signature": ""},
           {"type": "thinking_delta", "thinking": "hm"},
           {"type": "signature_delta", "signature": "c2ln"}),
    *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hé"}),
    *block(2, {"type": "tool_use", "id": "a", "name": "f", "input": {}},
           {"type": "input_json_delta", "partial_json": '{"x":'},
           {"type": "input_json_delta", "partial_json": "1}"}),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
]


def gemini_chunk(parts, **more):
    return dict({"candidates": [dict({"content": {"role": "model", "parts": parts}, "index": 0},
                                     **more)], "responseId": "r", "modelVersion": "m"})


GEMINI = [
    gemini_chunk([{"text": "hm", "thought": True}]),
    gemini_chunk([{"text": "Hé"}]),
    gemini_chunk([{"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"}]),
    dict(gemini_chunk([], finishReason="STOP"), usageMetadata={
        "promptTokenCount": 3, "candidatesTokenCount": 3, "thoughtsTokenCount": 1,
        "totalTokenCount": 7}),
]
RIGHT = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI}


def stream(grammar, events):
    out = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        name = event["type"] if grammar in ("responses", "messages") else None
        out.append(("event: %s\n" % name if name else "") + "data: %s\n\n" % data)
    return "".join(out).encode()


@pytest.mark.parametrize("grammar", RIGHT)
def test_right(grammar):
    answer = check_stream(grammar, b": comment\n\n" + stream(grammar, RIGHT[grammar]))
    assert (answer.text, answer.reasoning, answer.model) == ("Hé", "hm", "m")
    assert answer.calls[0].name == "f" and answer.order[:2] == ["reasoning", "text"]
    assert answer.usage and answer.error is None


def test_right_array():
    body = json.dumps(GEMINI).encode()
    assert check_stream("gemini", body, array=True).text == "Hé"
    with pytest.raises(Wrong):
        check_stream("gemini", body[:-1], array=True)


ERRORS = {
    "chat": {"error": {"message": "m", "type": "server_error", "param": None, "code": None}},
    "messages": {"type": "error", "error": {"type": "api_error", "message": "m"}},
    "gemini": {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}},
    "responses": {"type": "response.failed", "response": dict(
        RESPONSE, status="failed", error={"code": "server_error", "message": "m"})},
}


@pytest.mark.parametrize("grammar", RIGHT)
def test_an_error_may_end_it_anywhere_and_only_once(grammar):
    events = RIGHT[grammar]
    for cut in range(1, len(events) - 2):
        error = dict(ERRORS[grammar])
        if grammar == "responses":
            error["sequence_number"] = cut
        assert check_stream(grammar, stream(grammar, events[:cut] + [error])).error
        with pytest.raises(Wrong):
            check_stream(grammar, stream(grammar, events[:cut] + [error, events[cut]]))


@pytest.mark.parametrize("grammar", RIGHT)
def test_every_cut_is_seen(grammar):
    whole = stream(grammar, RIGHT[grammar])
    for size in range(len(whole)):
        with pytest.raises(Wrong):
            check_stream(grammar, whole[:size])


# Events that a stream can do without.
SPARE = {"chat": (1, 2, 6, 8), "responses": (), "messages": (1, 3), "gemini": (0, 1, 2)}


def renumber(events):
    return [dict(e, sequence_number=n) for n, e in enumerate(events)]


@pytest.mark.parametrize("grammar", RIGHT)
def test_no_event_may_be_missing_doubled_or_swapped(grammar):
    events = RIGHT[grammar]
    fix = renumber if grammar == "responses" else list
    loose = {"chat": (1, 2), "responses": (10, 11), "messages": (1, 3, 7), "gemini": (0, 1, 2)}
    for n in range(len(events)):
        if n not in SPARE[grammar]:
            # Without its one argument delta a call still has its done event.
            if grammar == "responses" and n in (1, 16):
                continue
            with pytest.raises(Wrong):
                check_stream(grammar, stream(grammar, fix(events[:n] + events[n + 1:])))
        if n not in loose[grammar] and not (grammar == "responses" and n == 1):
            with pytest.raises(Wrong):
                check_stream(grammar, stream(grammar, fix(events[:n + 1] + events[n:])))


def broken(grammar, index, path, value):
    events = copy.deepcopy(RIGHT[grammar])
    spot = events[index]
    for step in path[:-1]:
        spot = spot[step]
    if value is KeyError:
        del spot[path[-1]]
    else:
        spot[path[-1]] = value
    return stream(grammar, events)


CHOICE = ("choices", 0)
CALL = CHOICE + ("delta", "tool_calls", 0)
WRONG = [
    ("chat", 2, ("id",), "other"), ("chat", 2, ("created",), 9), ("chat", 2, ("model",), "other"),
    ("chat", 0, ("object",), "chat.completion"), ("chat", 0, CHOICE + ("finish_reason",), KeyError),
    ("chat", 0, CHOICE + ("delta", "role"), KeyError), ("chat", 1, ("usage",), {"a": 1}),
    ("chat", 3, CALL + ("type",), KeyError), ("chat", 3, CALL + ("index",), 1),
    ("chat", 3, CALL + ("id",), ""), ("chat", 6, CALL + ("index",), 2),
    ("chat", 6, CALL + ("index",), 0), ("chat", 6, CALL + ("id",), "a"),
    ("chat", 5, CALL + ("function", "arguments"), "1"), ("chat", 7, CHOICE + ("finish_reason",),
                                                         "stop"),
    ("chat", 7, CHOICE + ("finish_reason",), "end_turn"), ("chat", 8, ("usage", "total_tokens"), 8),
    ("chat", 2, CHOICE + ("delta", "content"), ["Hé"]),
    ("responses", 3, ("sequence_number",), 4), ("responses", 4, ("item_id",), "rs_2"),
    ("responses", 8, ("output_index",), 2), ("responses", 9, ("part", "annotations"), KeyError),
    ("responses", 10, ("logprobs",), KeyError), ("responses", 12, ("text",), "H"),
    ("responses", 13, ("part", "text"), "H"), ("responses", 14, ("item", "content"), []),
    ("responses", 14, ("item", "id"), "msg_2"), ("responses", 17, ("arguments",), "{} "),
    ("responses", 17, ("name",), "g"), ("responses", 18, ("item", "call_id"), "b"),
    ("responses", 18, ("item", "status"), "in_progress"), ("responses", 19,
                                                           ("response", "output"), []),
    ("responses", 19, ("response", "usage"), None), ("responses", 19, ("response", "id"), "resp_2"),
    ("responses", 19, ("response", "status"), "incomplete"), ("responses", 0,
                                                              ("response", "tools"), KeyError),
    ("responses", 19, ("response", "usage", "total_tokens"), 8),
    ("responses", 16, ("delta",), "{"), ("responses", 8, ("item", "id"), "rs_1"),
    ("messages", 0, ("message", "usage"), KeyError), ("messages", 0, ("message", "stop_reason"),
                                                      "end_turn"),
    ("messages", 2, ("index",), 1), ("messages", 6, ("index",), 2), ("messages", 7, ("index",), 0),
    ("messages", 3, ("delta",), {"type": "text_delta", "text": "hm"}),
    ("messages", 7, ("delta",), {"type": "thinking_delta", "thinking": "hm"}),
    ("messages", 4, ("delta", "signature"), ""), ("messages", 7, ("delta", "text"), ""),
    ("messages", 11, ("delta", "partial_json"), "1"), ("messages", 9, ("content_block", "input"),
                                                       {"x": 1}),
    ("messages", 13, ("delta", "stop_reason"), "end_turn"),
    ("messages", 13, ("delta", "stop_reason"), "stop"), ("messages", 13, ("usage",), {}),
    ("messages", 6, ("content_block", "type"), "image"),
    ("gemini", 0, ("responseId",), "other"), ("gemini", 1, ("modelVersion",), KeyError),
    ("gemini", 0, ("candidates", 0, "finishReason"), "STOP"),
    ("gemini", 3, ("candidates", 0, "finishReason"), "stop"),
    ("gemini", 3, ("usageMetadata", "totalTokenCount"), 6), ("gemini", 3, ("usageMetadata",),
                                                             KeyError),
    ("gemini", 2, ("candidates", 0, "content", "parts", 0, "functionCall", "args"), "{}"),
    ("gemini", 2, ("candidates", 0, "content", "parts", 0, "functionCall", "arguments"), {}),
    ("gemini", 1, ("candidates", 0, "content", "parts", 0, "thinking"), "x"),
    ("gemini", 1, ("candidates", 0, "content", "role"), "assistant"),
    ("gemini", 1, ("candidates", 0, "finish_reason"), "STOP"), ("gemini", 1, ("candidates",), []),
]


@pytest.mark.parametrize("grammar,index,path,value", WRONG)
def test_wrong(grammar, index, path, value):
    with pytest.raises(Wrong):
        check_stream(grammar, broken(grammar, index, path, value))


@pytest.mark.parametrize("body", [
    b"data: {}\n", b"event: ping\n\n", b"data: {\"a\":1,\"a\":2}\n\n", b"data: NaN\n\n", b"{}\n\n",
    b"data: \xff\n\n", b"data: {\ndata: }\n\n", b"data:{}\n\n", b"",
])
@pytest.mark.parametrize("grammar", RIGHT)
def test_wrong_frames(grammar, body):
    with pytest.raises(Wrong):
        check_stream(grammar, body + stream(grammar, RIGHT[grammar]) if body else b"")


def test_usage_as_asked():
    with pytest.raises(Wrong):
        check_stream("chat", stream("chat", CHAT), usage=False)
    with pytest.raises(Wrong):
        check_stream("chat", stream("chat", CHAT[:8] + CHAT[9:]), usage=True)
    with pytest.raises(Wrong):
        check_stream("gemini", stream("gemini", GEMINI) + b"data: [DONE]\n\n")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_emulators_are_legal(fleet, name, streamed):
    shape = SHAPES[name]
    headers = dict(shape.headers(fleet.key(shape.provider)))
    request = urllib.request.Request(
        fleet.url(shape.provider, False) + shape.path(shape.model, streamed),
        json.dumps(shape.body(shape.model, "hello there", streamed)).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as got:
        body = got.read()
    if streamed:
        answer = check_stream(name, body)
    else:
        answer = check_reply(name, json.loads(body))
    assert answer.text == "You said: hello there \u2713"
    assert answer.usage or (name == "chat" and streamed)
