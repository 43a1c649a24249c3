"""Bedrock Converse.

    messageStart (blockStart? blockDelta* blockStop)* messageStop metadata

in binary messages. Only calls have a blockStart; indices count up from 0, one block is open
at a time, and the deltas of one are of one kind. An exception may come at any place and
ends the stream.
"""
import binascii
import json
import struct

from .common import Answer, Call, count_in, end_of_calls, members, parse, text_in, want

STOP_REASONS = ("end_turn", "tool_use", "max_tokens", "stop_sequence", "guardrail_intervened",
                "content_filtered", "malformed_model_output", "malformed_tool_use",
                "model_context_window_exceeded")
CUT = ("max_tokens", "guardrail_intervened", "content_filtered", "model_context_window_exceeded",
       "malformed_model_output", "malformed_tool_use")
EXCEPTIONS = ("internalServerException", "modelStreamErrorException", "throttlingException",
              "validationException", "serviceUnavailableException")


def message(kind, name, payload):
    """One binary message, as the service writes it."""
    headers = b""
    for header, value in ((":message-type", kind), (":%s-type" % kind, name),
                          (":content-type", "application/json")):
        headers += struct.pack("!B", len(header)) + header.encode()
        headers += struct.pack("!BH", 7, len(value)) + value.encode()
    head = struct.pack("!II", len(headers) + len(payload) + 16, len(headers))
    whole = head + struct.pack("!I", binascii.crc32(head)) + headers + payload
    return whole + struct.pack("!I", binascii.crc32(whole))


def messages_of(body):
    """[(kind, type, payload)], each checksum held."""
    found = []
    while body:
        want(len(body) >= 16, "a cut message")
        size, head, check = struct.unpack("!III", body[:12])
        want(binascii.crc32(body[:8]) == check, "the prelude's checksum")
        want(16 + head <= size <= len(body), "a cut message")
        want(binascii.crc32(body[:size - 4]) == struct.unpack("!I", body[size - 4:size])[0],
             "the message's checksum")
        headers, at = {}, 12
        while at < 12 + head:
            length = body[at]
            name, at = body[at + 1:at + 1 + length].decode(), at + 1 + length
            kind, length = struct.unpack("!BH", body[at:at + 3])
            want(kind == 7, "header %s is no string", name)
            headers[name], at = body[at + 3:at + 3 + length].decode(), at + 3 + length
        kind = headers[":message-type"]
        want(headers.get(":content-type") == "application/json", "%r", headers)
        found.append((kind, headers[":%s-type" % kind], body[12 + head:size - 4].decode()))
        body = body[size:]
    return found


def converse_usage(usage):
    members(usage, "inputTokens outputTokens totalTokens", "usage")
    parts = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    want(sum(usage.get(name, 0) for name in parts) == count_in(usage, "totalTokens", "usage"),
         "usage does not add up: %s", usage)
    return usage


class ConverseStream:
    def __init__(self):
        self.answer, self.state = Answer(), "start"
        self.open, self.blocks = None, 0

    def take(self, kind, name, value):
        want(self.state not in ("end", "error"), "%s after the end", name)
        if kind == "exception":
            want(name in EXCEPTIONS, "exception %s", name)
            text_in(value, "message", name, empty=False)
            self.answer.error, self.state = dict(value, type=name), "error"
            return
        handler = getattr(self, "on_" + name, None)
        want(kind == "event" and handler, "unknown message %s %s", kind, name)
        handler(value)

    def on_messageStart(self, value):
        want(self.state == "start" and value.get("role") == "assistant", "%r", value)
        self.state = "blocks"

    def begin(self, value, kind):
        want(self.state == "blocks" and self.open is None, "a block begins in state %s, one is "
             "open: %s", self.state, self.open)
        want(value.get("contentBlockIndex") == self.blocks, "block %r, not %d",
             value.get("contentBlockIndex"), self.blocks)
        self.open, self.blocks = {"kind": kind, "text": "", "signature": ""}, self.blocks + 1
        self.answer.began({"toolUse": "tool", "reasoningContent": "reasoning"}.get(kind, "text"))

    def on_contentBlockStart(self, value):
        call = value["start"].get("toolUse")
        want(call, "a start that no call has: %r", value)
        members(call, "toolUseId name", "toolUse")
        self.begin(value, "toolUse")
        self.open.update(id=call["toolUseId"], name=call["name"])

    def on_contentBlockDelta(self, value):
        members(value, "contentBlockIndex delta", "contentBlockDelta")
        want(len(value["delta"]) == 1, "a delta of several kinds: %r", value)
        (kind, delta), = value["delta"].items()
        if self.open is None:
            want(kind in ("text", "reasoningContent"), "a delta without a block: %r", value)
            self.begin(value, kind)
        block = self.open
        want(value["contentBlockIndex"] == self.blocks - 1, "the wrong block: %r", value)
        want(kind == block["kind"] or (kind == "citation" and block["kind"] == "text"),
             "%s in a block of %s", kind, block["kind"])
        if kind == "text":
            block["text"] += delta
        elif kind == "toolUse":
            block["text"] += text_in(delta, "input", "toolUse")
        elif kind == "citation":
            self.answer.citations.append(delta)
        else:
            want(set(delta) <= {"text", "signature", "redactedContent"}, "%r", delta)
            block["text"] += delta.get("text", "")
            block["signature"] += delta.get("signature", "") + delta.get("redactedContent", "")

    def on_contentBlockStop(self, value):
        block, answer = self.open, self.answer
        want(block and value.get("contentBlockIndex") == self.blocks - 1, "%r stops", value)
        self.open = None
        if block["kind"] == "text":
            answer.text += block["text"]
        elif block["kind"] == "reasoningContent":
            answer.reasoning += block["text"]
            answer.signatures += [block["signature"]] if block["signature"] else []
        else:
            answer.calls.append(Call(block["id"], block["name"], block["text"] or "{}"))

    def on_messageStop(self, value):
        want(self.state == "blocks" and self.open is None, "messageStop in state %s, open: %s",
             self.state, self.open)
        self.answer.finish = reason = value.get("stopReason")
        want(reason in STOP_REASONS, "stopReason %r", reason)
        end_of_calls(self.answer.calls, reason == "tool_use", reason in CUT, reason)
        self.state = "metadata"

    def on_metadata(self, value):
        want(self.state == "metadata", "metadata in state %s", self.state)
        members(value, "usage metrics", "metadata")
        count_in(value["metrics"], "latencyMs", "metrics")
        self.answer.usage = converse_usage(value["usage"])
        self.state = "end"


def converse_stream(body):
    stream = ConverseStream()
    for kind, name, payload in messages_of(body):
        stream.take(kind, name, parse(payload))
    want(stream.state in ("end", "error"), "the stream ends in state %s", stream.state)
    return stream.answer


def converse_reply(value):
    members(value, "output stopReason usage metrics", "reply")
    answer = Answer()
    said = value["output"]["message"]
    want(said["role"] == "assistant", "role %r", said["role"])
    for block in said["content"]:
        want(len(block) == 1, "a block of several kinds: %r", block)
        (kind, inner), = block.items()
        answer.began({"toolUse": "tool", "reasoningContent": "reasoning"}.get(kind, "text"))
        if kind == "text":
            answer.text += text_in(block, "text", "block", empty=False)
        elif kind == "toolUse":
            members(inner, "toolUseId name input", "toolUse")
            answer.calls.append(Call(inner["toolUseId"], inner["name"],
                                     json.dumps(inner["input"])))
        elif kind == "citationsContent":
            answer.text += "".join(piece["text"] for piece in inner["content"])
            answer.citations += inner["citations"]
        else:
            want(kind == "reasoningContent", "block %s", kind)
            text = inner.get("reasoningText", {})
            answer.reasoning += text.get("text", "")
            if "signature" in text:
                answer.signatures.append(text["signature"])
    answer.finish, answer.usage = value["stopReason"], converse_usage(value["usage"])
    want(answer.finish in STOP_REASONS, "stopReason %r", answer.finish)
    end_of_calls(answer.calls, answer.finish == "tool_use", answer.finish in CUT, answer.finish)
    return answer
