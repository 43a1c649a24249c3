"""Cohere v2: chat (JSON and event stream), embed.

Rules after the published API: messages of four roles with text or typed parts,
tool results right behind the calls they answer, unknown members refused,
embeddings need an input type.
"""
import re

from . import rules
from .app import Provider, dump, parse_object
from .openai_api import spoil_members, vector
from .rules import Broken, Directives, expect, number, one_of, typed
from .script import Script
from .wire import Reply

TEXT, ANY = typed(str), None
TOOL_NAME = re.compile(r"^[A-Za-z0-9_]{1,256}$")
SSE_HEADERS = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")]

CHAT_RULES = {
    "model": TEXT, "messages": typed(list), "tools": typed(list), "strict_tools": typed(bool),
    "documents": typed(list), "citation_options": typed(dict), "response_format": typed(dict),
    "safety_mode": one_of("CONTEXTUAL", "STRICT", "OFF"), "max_tokens": number(1, 1 << 31, True),
    "stop_sequences": typed(list), "temperature": number(0, 2), "seed": number(0, 1 << 63, True),
    "frequency_penalty": number(0, 1), "presence_penalty": number(0, 1), "k": number(0, 500, True),
    "p": number(0.01, 0.99), "logprobs": typed(bool), "tool_choice": one_of("REQUIRED", "NONE"),
    "thinking": typed(dict), "priority": number(0, 999, True), "stream": typed(bool),
}
EMBED_RULES = {
    "model": TEXT, "texts": typed(list), "images": typed(list), "inputs": typed(list),
    "input_type": one_of("search_document", "search_query", "classification", "clustering",
                         "image"),
    "max_tokens": ANY, "output_dimension": one_of(256, 512, 1024, 1536),
    "embedding_types": typed(list), "truncate": one_of("NONE", "START", "END"),
}
PARTS = {"system": ("text",), "user": ("text", "image_url"), "assistant": ("text", "thinking"),
         "tool": ("text", "document")}
MEMBERS = {"system": {"role", "content"}, "user": {"role", "content"},
           "assistant": {"role", "content", "tool_calls", "tool_plan", "citations"},
           "tool": {"role", "content", "tool_call_id"}}


def unknown(path):
    return Broken("unknown field: parameter '%s' is not a valid field" % path, path, None, 422)


def text_of(content):
    if isinstance(content, str):
        return content
    found = []
    for part in content or []:
        found.append(part.get("text") or (part.get("document") or {}).get("data", ""))
    return " ".join(f if isinstance(f, str) else dump(f).decode() for f in found)


def check_content(message, where):
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return
    expect(isinstance(content, list) and content, "%s.content: invalid" % where, where)
    for part in content:
        expect(isinstance(part, dict) and part.get("type") in PARTS[message["role"]],
               "%s: invalid content type for role %s" % (where, message["role"]), where)


def check_calls(message, where):
    calls = message.get("tool_calls") or []
    for call in calls:
        function = call.get("function") or {}
        expect(set(call) == {"id", "type", "function"} and call["type"] == "function"
               and isinstance(function.get("arguments"), str) and function.get("name"),
               "%s: invalid tool_calls" % where, where)
    return [call["id"] for call in calls]


def check_messages(messages):
    expect(messages, "invalid request: at least one message is required", "messages")
    waiting = []
    for index, message in enumerate(messages):
        where = "messages[%d]" % index
        typed(dict)(message, where)
        role = message.get("role")
        expect(role in PARTS, "%s: role must be one of system, user, assistant, tool" % where,
               where)
        expect(set(message) <= MEMBERS[role], "%s: unknown field" % where, where)
        check_content(message, where)
        if role == "tool":
            expect(message.get("tool_call_id") in waiting, "invalid request: tool call id not "
                   "found in previous tool calls (%s)" % where, where)
            waiting.remove(message["tool_call_id"])
            continue
        expect(not waiting, "invalid request: all tool calls must be answered by tool messages "
               "before %s" % where, where)
        if role == "assistant":
            waiting = check_calls(message, where)
            expect(waiting or message.get("content"), "%s: must have content or tool calls"
                   % where, where)
        else:
            expect(text_of(message.get("content")) or isinstance(message.get("content"), list),
                   "%s: content must not be empty" % where, where)
    expect(not waiting, "invalid request: tool calls without results", "messages")


def check_tools(body):
    for index, tool in enumerate(body.get("tools") or []):
        function = tool.get("function") or {}
        where = "tools[%d]" % index
        expect(tool.get("type") == "function" and set(tool) == {"type", "function"}, where, where)
        expect(TOOL_NAME.match(function.get("name", "")), "%s: invalid function name" % where,
               where)
        expect(isinstance(function.get("parameters"), dict), "%s: parameters required" % where,
               where)
    if "tool_choice" in body:
        expect(body.get("tools"), "tool_choice needs tools", "tool_choice")


class Cohere(Provider):
    name = "cohere"
    models = ("command-", "embed-")

    def missing_key(self):
        return "no api key supplied"

    def wrong_key(self):
        return "invalid api token"

    def unknown_model(self, model):
        return "model '%s' not found" % model

    too_long = ("too many tokens: total number of tokens in the prompt cannot exceed 128000",)

    def error(self, status, message, broken):
        return {"id": "emulated", "message": message}

    def id_headers(self, entry):
        return [("x-debug-trace-id", entry.request_id)]

    def handle(self, request, entry):
        if request.path not in ("/v2/chat", "/v2/embed"):
            raise Broken("404 page not found", None, None, 404)
        if request.method != "POST":
            raise Broken("method not allowed", None, None, 405)
        body = parse_object(request.body)
        entry.model = body.get("model")
        entry.stream = body.get("stream") is True
        if request.path == "/v2/embed":
            return self.embed(body, entry)
        rules.check_members(body, CHAT_RULES, ("model", "messages"), "", unknown)
        self.check_model(body["model"])
        check_messages(body["messages"])
        check_tools(body)
        return self.chat(body, entry)

    def embed(self, body, entry):
        rules.check_members(body, EMBED_RULES, ("model", "input_type"), "", unknown)
        self.check_model(body["model"])
        texts = body.get("texts") or []
        expect(0 < len(texts) <= 96, "invalid request: texts must hold 1 to 96 texts", "texts")
        expect(body.get("embedding_types", ["float"]) == ["float"], "emulated are floats",
               "embedding_types")
        floats = [vector(text, body.get("output_dimension") or 16) for text in texts]
        words = sum(rules.word_count(text) for text in texts)
        usage = {"billed_units": {"input_tokens": words}}
        return self.json_reply(entry, {
            "id": self.new_id("emb-"), "texts": texts, "embeddings": {"float": floats},
            "response_type": "embeddings_by_type",
            "meta": dict({"api_version": {"version": "2"}}, **usage)}, usage)

    def chat(self, body, entry):
        asked = [text_of(m.get("content")) for m in body["messages"] if m["role"] == "user"]
        directives = Directives(asked[-1] if asked else "")
        script = self.script(body, directives)
        words = script.words(rules.answer_words(directives))
        prompt = " ".join(text_of(m.get("content")) for m in body["messages"])
        usage = self.usage(directives, prompt, words)
        message, reason = self.message(body, script, words)
        if not entry.stream:
            return self.json_reply(entry, {"id": self.new_id("coh-"), "message": message,
                                           "finish_reason": reason, "usage": usage}, usage)
        entry.usage = usage
        return Reply(200, SSE_HEADERS + self.id_headers(entry),
                     events=self.events(message, words, reason, usage),
                     pause_s=directives.seconds("pause"), first_s=directives.seconds("first"))

    @staticmethod
    def usage(directives, prompt, words):
        told = directives.number("in", rules.word_count(prompt) + 3)
        out = directives.number("out", len(words))
        return {"billed_units": {"input_tokens": max(0, told - 2), "output_tokens": out},
                "tokens": {"input_tokens": told, "output_tokens": out},
                "cached_tokens": directives.number("cached", 0)}

    @staticmethod
    def script(body, directives):
        tools = [t["function"]["name"] for t in body.get("tools") or []]
        done, results = 0, []
        for message in body["messages"]:
            if message["role"] == "user":
                done, results = 0, []
            done += bool(message.get("tool_calls"))
            results += [text_of(message["content"])] if message["role"] == "tool" else []
        return Script(directives, tools, "none" if body.get("tool_choice") == "NONE" else "auto",
                      done, results)

    def message(self, body, script, words):
        message = {"role": "assistant"}
        content = []
        if (body.get("thinking") or {}).get("type") == "enabled":
            content.append({"type": "thinking", "thinking": script.thought})
        if script.calls:
            message["tool_plan"] = script.remark
            message["tool_calls"] = [
                {"id": self.new_id(name + "_"), "type": "function", "function": {
                    "name": name, "arguments": dump(arguments).decode()}}
                for name, arguments in script.calls]
            if content:
                message["content"] = content
            return message, "TOOL_CALL"
        content.append({"type": "text", "text": "".join(words)})
        message["content"] = content
        return message, "COMPLETE"

    def events(self, message, words, reason, usage):
        events = []

        def emit(kind, **members):
            value = dict({"type": kind}, **members)
            events.append(b"event: " + kind.encode() + b"\ndata: " + dump(value) + b"\n\n")

        def delta(kind, index, message):
            emit(kind, index=index, delta={"message": message})
        emit("message-start", id=self.new_id("coh-"), delta={"message": {
            "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [],
            "citations": []}})
        if "tool_plan" in message:
            for word in re.findall(r"\S+\s*", message["tool_plan"]):
                emit("tool-plan-delta", delta={"message": {"tool_plan": word}})
        for index, part in enumerate(message.get("content", [])):
            kind = part["type"]
            pieces = words if kind == "text" else re.findall(r"\S+\s*", part[kind])
            delta("content-start", index, {"content": {"type": kind, kind: ""}})
            for piece in pieces:
                delta("content-delta", index, {"content": {kind: piece}})
            emit("content-end", index=index)
        for index, call in enumerate(message.get("tool_calls", [])):
            text = call["function"]["arguments"]
            delta("tool-call-start", index, {"tool_calls": dict(
                call, function=dict(call["function"], arguments=""))})
            for start in range(0, len(text), 7):
                delta("tool-call-delta", index, {"tool_calls": {"function": {
                    "arguments": text[start:start + 7]}}})
            emit("tool-call-end", index=index)
        emit("message-end", delta={"finish_reason": reason, "usage": usage})
        return events

    # -- for faults ------------------------------------------------------------
    def error_event(self, before):
        return b"event: message-end\ndata: " + dump({"type": "message-end", "delta": {
            "error": "internal server error", "finish_reason": "ERROR"}}) + b"\n\n"

    @staticmethod
    def without_terminal(events):
        return [e for e in events if b"message-end" not in e]

    def spoil_usage(self, how, reply):
        return spoil_members(how, reply, "usage")
