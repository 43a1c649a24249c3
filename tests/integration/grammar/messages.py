"""Anthropic Messages.

    message_start (block_start delta* block_stop)* message_delta message_stop

with pings anywhere behind the first event. Indices count up from 0, one block
is open at a time, and a delta is of its block's kind.
"""
import json

from .common import Answer, Call, count_in, end_of_calls, frames_of, members, parse, text_in, want

STOP_REASONS = ("end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal",
                "model_context_window_exceeded")
MESSAGE_CUT = ("max_tokens", "refusal", "pause_turn", "model_context_window_exceeded")
DELTAS = {"text_delta": ("text", "text"), "citations_delta": ("text", "citation"),
          "input_json_delta": ("tool_use", "partial_json"),
          "thinking_delta": ("thinking", "thinking"),
          "signature_delta": ("thinking", "signature")}


def messages_usage(usage, where="usage"):
    members(usage, "output_tokens", where)
    count_in(usage, "output_tokens", where)
    for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        if usage.get(name) is not None:
            count_in(usage, name, where)
    return usage


def anthropic_error(value):
    want(value.get("type") == "error", "no error envelope: %r", value)
    members(value["error"], "type message", "error")
    text_in(value["error"], "message", "error", empty=False)
    return value["error"]


class MessagesStream:
    """START -> (BLOCK)* -> DELTA -> STOP, or ERROR from anywhere."""

    def __init__(self):
        self.answer = Answer()
        self.state = "start"
        self.open = None          # the block that is open
        self.blocks = 0
        self.before = {}

    def take(self, event, value):
        want(event == value.get("type"), "event %s with data of type %s", event,
             value.get("type"))
        want(self.state not in ("stop", "error"), "%s after the end", event)
        if event == "error":
            self.answer.error = anthropic_error(value)
            self.state = "error"
            return
        handler = getattr(self, "on_" + event, None)
        want(handler, "unknown event %s", event)
        handler(value)

    def on_ping(self, value):
        want(self.state != "start", "ping before message_start")

    def on_message_start(self, value):
        want(self.state == "start", "message_start comes twice")
        message = value["message"]
        members(message, "id type role model content stop_reason stop_sequence usage", "message")
        want(message["type"] == "message" and message["role"] == "assistant", "%r", message)
        want(message["content"] == [] and message["stop_reason"] is None
             and message["stop_sequence"] is None, "message_start is not empty: %r", message)
        members(message["usage"], "input_tokens output_tokens", "usage")
        self.before = messages_usage(message["usage"])
        self.answer.id = text_in(message, "id", "message", empty=False)
        self.answer.model = text_in(message, "model", "message", empty=False)
        self.state = "blocks"

    def on_content_block_start(self, value):
        want(self.state == "blocks" and self.open is None, "a block begins in state %s with %s "
             "open", self.state, self.open and self.open["type"])
        want(value.get("index") == self.blocks, "block index %r, not %d", value.get("index"),
             self.blocks)
        block = dict(value["content_block"])
        needed = {"text": "text", "thinking": "thinking signature", "tool_use": "id name input",
                  "redacted_thinking": "data"}
        want(block.get("type") in needed, "block type %r", block.get("type"))
        members(block, needed[block["type"]], "content_block")
        if block["type"] == "text":
            want(block["text"] == "", "a text block does not begin empty")
        elif block["type"] == "thinking":
            want(block["thinking"] == "" and block["signature"] == "", "thinking begins empty")
        elif block["type"] == "tool_use":
            want(block["input"] == {}, "tool_use.input begins empty")
            text_in(block, "id", "tool_use", empty=False)
            text_in(block, "name", "tool_use", empty=False)
        self.answer.began({"tool_use": "tool", "thinking": "reasoning",
                           "redacted_thinking": "reasoning"}.get(block["type"], "text"))
        block.update(pieces=0, partial_json="", citation=[])
        self.open, self.blocks = block, self.blocks + 1

    def on_content_block_delta(self, value):
        want(self.open is not None, "a delta without a block")
        want(value.get("index") == self.blocks - 1, "delta for block %r, open is %d",
             value.get("index"), self.blocks - 1)
        delta, block = value["delta"], self.open
        want(delta.get("type") in DELTAS, "delta type %r", delta.get("type"))
        kind, name = DELTAS[delta["type"]]
        want(block["type"] == kind, "%s in a %s block", delta["type"], block["type"])
        if name == "citation":
            members(delta["citation"], "type", "citation")
            block["citation"].append(delta["citation"])
            return
        piece = text_in(delta, name, "delta")
        if name == "signature":
            want(not block["signature"] and piece, "a second or empty signature")
        else:
            want(not block.get("signature"), "thinking goes on behind its signature")
            block["pieces"] += bool(piece)
        block[name] += piece

    def on_content_block_stop(self, value):
        want(self.open is not None, "no block to stop")
        want(value.get("index") == self.blocks - 1, "the wrong block stops")
        block, answer = self.open, self.answer
        self.open = None
        if block["type"] == "text":
            want(block["pieces"], "an empty text block")
            answer.text += block["text"]
            answer.citations += block["citation"]
        elif block["type"] == "thinking":
            want(block["signature"], "thinking without a signature")
            answer.reasoning += block["thinking"]
            answer.signatures.append(block["signature"])
        elif block["type"] == "tool_use":
            answer.calls.append(Call(block["id"], block["name"], block["partial_json"] or "{}"))

    def on_message_delta(self, value):
        want(self.state == "blocks" and self.open is None, "message_delta in state %s, a block "
             "open: %s", self.state, self.open is not None)
        members(value, "delta usage", "message_delta")
        members(value["delta"], "stop_reason stop_sequence", "delta")
        reason = value["delta"]["stop_reason"]
        want(reason in STOP_REASONS, "stop_reason %r", reason)
        want((reason == "stop_sequence") == (value["delta"]["stop_sequence"] is not None)
             or reason == "stop_sequence", "stop_sequence without being the reason")
        usage = messages_usage(value["usage"])
        said = {n: v for n, v in usage.items() if v is not None}
        self.answer.usage = dict(self.before, **said)
        self.answer.finish = reason
        end_of_calls(self.answer.calls, reason == "tool_use", reason in MESSAGE_CUT, reason)
        self.state = "delta"

    def on_message_stop(self, value):
        want(self.state == "delta", "message_stop in state %s", self.state)
        self.state = "stop"


def messages_stream(body):
    stream = MessagesStream()
    for event, data in frames_of(body):
        want(event, "an event without a name: %.80r", data)
        stream.take(event, parse(data))
    want(stream.state in ("stop", "error"), "the stream ends in state %s", stream.state)
    return stream.answer


def messages_reply(value):
    members(value, "id type role model content stop_reason stop_sequence usage", "reply")
    want(value["type"] == "message" and value["role"] == "assistant", "type or role: %r", value)
    members(value["usage"], "input_tokens output_tokens", "usage")
    want(value["stop_reason"] in STOP_REASONS, "stop_reason %r", value["stop_reason"])
    answer = Answer()
    answer.usage = messages_usage(value["usage"])
    for block in value["content"]:
        kind = block.get("type")
        answer.began({"tool_use": "tool", "text": "text"}.get(kind, "reasoning"))
        if kind == "text":
            answer.text += text_in(block, "text", "text", empty=False)
            answer.citations += block.get("citations") or []
        elif kind == "thinking":
            answer.reasoning += text_in(block, "thinking", "thinking")
            answer.signatures.append(text_in(block, "signature", "thinking", empty=False))
        elif kind == "tool_use":
            members(block, "id name input", "tool_use")
            want(isinstance(block["input"], dict), "tool_use.input is no object")
            answer.calls.append(Call(block["id"], block["name"], json.dumps(block["input"])))
        else:
            want(kind == "redacted_thinking", "block type %r", kind)
    answer.finish, answer.id, answer.model = value["stop_reason"], value["id"], value["model"]
    end_of_calls(answer.calls, answer.finish == "tool_use", answer.finish in MESSAGE_CUT,
                 answer.finish)
    return answer
