"""OpenAI Chat Completions.

    choice: (role) (content | refusal | reasoning | tool calls)* finish_reason
    stream: chunks of choices, one usage chunk if it was asked for, [DONE]
"""
from .common import (Answer, Call, count_in, end_of_calls, frames_of, members, parse, text_in,
                     want)

CHAT_FINISH = ("stop", "length", "tool_calls", "content_filter", "function_call")
CUT_SHORT = ("length", "content_filter")


def chat_usage(usage, where="usage"):
    spent = [count_in(usage, n, where) for n in ("prompt_tokens", "completion_tokens")]
    want(count_in(usage, "total_tokens", where) == sum(spent), "%s does not add up: %s", where,
         usage)
    details = usage.get("prompt_tokens_details") or {}
    want(details.get("cached_tokens", 0) <= spent[0], "more cached than sent: %s", usage)
    details = usage.get("completion_tokens_details") or {}
    want(details.get("reasoning_tokens", 0) <= spent[1], "more reasoning than output: %s", usage)
    return usage


def openai_error(error):
    members(error, "message type param code", "error")
    text_in(error, "message", "error", empty=False)
    text_in(error, "type", "error", empty=False)
    want(isinstance(error["code"], (str, type(None))), "error.code %r", error["code"])
    return error


class ChatChoice:
    def __init__(self):
        self.role = self.finish = None
        self.calls = []
        self.answer = Answer()

    def delta(self, delta, index):
        want(self.finish is None, "choice %d goes on after its finish", index)
        if self.role is None:
            want(delta.get("role") == "assistant", "the first delta of choice %d names no role: "
                 "%.120r", index, delta)
            self.role = "assistant"
        else:
            want("role" not in delta, "the role of choice %d comes twice", index)
        for name, field in (("content", "text"), ("refusal", "refusal"),
                            ("reasoning_content", "reasoning")):
            piece = delta.get(name)
            want(isinstance(piece, (str, type(None))), "delta.%s is no string: %r", name, piece)
            if piece:
                self.answer.began(field)
                setattr(self.answer, field, getattr(self.answer, field) + piece)
        want("tool_calls" not in delta or delta["tool_calls"], "delta.tool_calls is empty")
        for call in delta.get("tool_calls") or []:
            self.call(call)

    def call(self, call):
        members(call, "index function", "tool call")
        position, function = call["index"], call["function"]
        want(type(position) is int and 0 <= position <= len(self.calls),
             "tool call index %r after %d calls", position, len(self.calls))
        if position == len(self.calls):
            text_in(call, "id", "tool call", empty=False)
            want(call.get("type") in ("function", "custom"), "tool call without a type: %r", call)
            text_in(function, "name", "tool call", empty=False)
            self.calls.append(Call(call["id"], function["name"]))
            self.answer.began("tool")
        else:
            want(not call.get("id") and not function.get("name"), "call %d begins twice", position)
        self.calls[position].arguments += text_in(function, "arguments", "tool call")

    def finished(self, reason, index):
        want(reason in CHAT_FINISH, "finish_reason %r", reason)
        want(self.finish is None, "choice %d finishes twice", index)
        self.finish = reason
        end_of_calls(self.calls, reason == "tool_calls", reason in CUT_SHORT, reason)


def chat_stream(body, usage=None):
    """`usage`: True: there must be a usage chunk, False: there must be none."""
    frames = frames_of(body)
    want(frames, "no chunk at all")
    identity, choices, spent, done, error = None, {}, None, False, None
    for event, data in frames:
        want(event is None, "a chat chunk with an event name: %s", event)
        want(not done and error is None, "something after the end: %.80r", data)
        if data == "[DONE]":
            done = True
            continue
        chunk = parse(data)
        if "error" in chunk:
            error = openai_error(chunk["error"])
            continue
        want(spent is None, "a chunk after the usage chunk: %.120r", data)
        members(chunk, "id object created model choices", "chunk")
        want(chunk["object"] == "chat.completion.chunk", "object %r", chunk["object"])
        text_in(chunk, "id", "chunk", empty=False)
        text_in(chunk, "model", "chunk", empty=False)
        count_in(chunk, "created", "chunk")
        now = (chunk["id"], chunk["created"], chunk["model"])
        want(identity in (None, now), "id, created or model change: %s, %s", identity, now)
        identity = now
        if not chunk["choices"]:
            spent = chat_usage(chunk.get("usage"))
            continue
        want(chunk.get("usage") is None, "usage on a chunk with choices")
        for choice in chunk["choices"]:
            members(choice, "index delta finish_reason", "choice")
            index = choice["index"]
            want(type(index) is int and 0 <= index <= len(choices), "choice index %r", index)
            one = choices.setdefault(index, ChatChoice())
            one.delta(choice["delta"], index)
            if choice["finish_reason"] is not None:
                one.finished(choice["finish_reason"], index)
    if error is None:
        want(done, "the stream ends without [DONE]")
        want(choices, "no choice at all")
        want(all(c.finish for c in choices.values()), "a choice never finishes")
        want(usage is not True or spent is not None, "the usage that was asked for is missing")
    want(usage is not False or spent is None, "usage that nobody asked for")
    first = choices.get(0) or ChatChoice()
    answer = first.answer
    answer.calls, answer.finish, answer.choices = first.calls, first.finish, len(choices)
    answer.id, answer.model = identity[::2] if identity else (None, None)
    answer.usage, answer.error = spent, error
    return answer


def chat_reply(value):
    members(value, "id object created model choices usage", "reply")
    want(value["object"] == "chat.completion", "object %r", value["object"])
    want(value["choices"], "no choice")
    chat_usage(value["usage"])
    for index, choice in enumerate(value["choices"]):
        members(choice, "index message finish_reason logprobs", "choice")
        members(choice["message"], "role content refusal", "message")
        want(choice["index"] == index, "choice index %r", choice["index"])
        want(choice["finish_reason"] in CHAT_FINISH, "finish %r", choice["finish_reason"])
        want(choice["message"]["role"] == "assistant", "role")
    message, finish = value["choices"][0]["message"], value["choices"][0]["finish_reason"]
    answer = Answer()
    answer.id, answer.model, answer.usage = value["id"], value["model"], value["usage"]
    answer.text, answer.refusal = message["content"] or "", message["refusal"] or ""
    answer.reasoning = message.get("reasoning_content") or ""
    want(message.get("tool_calls") != [], "tool_calls is empty")
    for call in message.get("tool_calls") or []:
        members(call, "id type function", "tool call")
        members(call["function"], "name arguments", "function")
        answer.calls.append(Call(call["id"], call["function"]["name"],
                                 text_in(call["function"], "arguments", "function")))
    end_of_calls(answer.calls, finish == "tool_calls", finish in CUT_SHORT, finish)
    answer.finish, answer.choices = finish, len(value["choices"])
    answer.citations = message.get("annotations") or []
    return answer
