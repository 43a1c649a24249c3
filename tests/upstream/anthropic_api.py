"""Anthropic: messages (JSON and event stream), count_tokens.

Rules after the published API: max_tokens is required, roles are user and
assistant, tool results stand first in the user turn right after their calls,
empty text blocks and unknown members are refused, the version header must be
there.
"""
import re

from . import rules
from .app import Provider, dump, parse_object
from .openai_api import spoil_members
from .rules import Broken, Directives, expect, number, one_of, typed
from .script import Script, mint, minted
from .wire import Reply

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
CALL_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
TEXT, ANY = typed(str), None
SSE_HEADERS = [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache")]

COUNT_RULES = {
    "model": TEXT, "messages": typed(list), "system": typed(str, list), "tools": typed(list),
    "tool_choice": typed(dict), "thinking": typed(dict), "cache_control": ANY,
    "mcp_servers": ANY, "output_config": typed(dict), "context_management": ANY, "betas": ANY,
}
MESSAGE_RULES = dict(COUNT_RULES, **{
    "max_tokens": number(0, 1 << 31, True), "metadata": typed(dict),
    "stop_sequences": typed(list), "stream": typed(bool),
    "temperature": number(0, 1), "top_p": number(0, 1), "top_k": number(0, 1 << 31, True),
    "service_tier": one_of("auto", "standard_only"), "container": ANY, "inference_geo": ANY,
    "speed": ANY, "diagnostics": ANY,
})
BLOCKS = {
    "user": ("text", "image", "document", "tool_result", "search_result", "container_upload"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use",
                  "web_search_tool_result", "compaction"),
    "system": ("text",),
}
BLOCK_MEMBERS = {
    "text": ("text",), "thinking": ("thinking", "signature"), "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",), "image": ("source",), "document": ("source",),
    "redacted_thinking": ("data",),
}


def text_of(content):
    if isinstance(content, str):
        return content
    return " ".join(b.get("text", "") for b in content if b.get("type") == "text")


def check_block(block, role, where):
    typed(dict)(block, where)
    expect(block.get("type") in BLOCKS[role], "%s: Input tag '%s' found using 'type' does not "
           "match any of the expected tags: %s" % (where, block.get("type"), BLOCKS[role]), where)
    for member in BLOCK_MEMBERS.get(block["type"], ()):
        expect(member in block, "%s.%s.%s: Field required" % (where, block["type"], member), where)
    if block["type"] == "text":
        expect(isinstance(block["text"], str), "%s.text.text: Input should be a valid string"
               % where, where)
        expect(block["text"].strip(), "messages: text content blocks must be non-empty", where)
    if block["type"] == "tool_use":
        expect(isinstance(block["input"], dict), "%s.tool_use.input: Input should be a valid "
               "dictionary" % where, where)
        expect(CALL_ID.match(block["id"]), "%s.tool_use.id: String should match pattern" % where,
               where)
        expect(TOOL_NAME.match(block["name"]), "%s.tool_use.name: String should match pattern"
               % where, where)
    if block["type"] == "image":
        check_image(block["source"], where)
    if block["type"] == "thinking":
        expect(minted("anthropic", block["thinking"], block["signature"]), "%s: Invalid "
               "`signature` in `thinking` block" % where, where)
    if block["type"] == "redacted_thinking":
        expect(minted("anthropic", "redacted", block["data"]), "%s: Invalid `data` in "
               "`redacted_thinking` block" % where, where)
    if block["type"] == "tool_result":
        check_result(block, where)


def check_image(source, where):
    expect(source.get("type") in ("base64", "url", "file"), "%s.image.source: Input tag '%s'"
           % (where, source.get("type")), where)
    if source["type"] != "base64":
        return
    expect(source.get("media_type") in ("image/jpeg", "image/png", "image/gif", "image/webp"),
           "%s.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', "
           "'image/gif' or 'image/webp'" % where, where)
    expect(re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", source.get("data", "")),
           "%s.image.source.base64.data: invalid base64 data" % where, where)


def check_result(block, where):
    content = block.get("content", "")
    if isinstance(content, str):
        return
    typed(list)(content, where + ".content")
    for spot, inner in enumerate(content):
        expect(inner.get("type") in ("text", "image", "document", "search_result"),
               "%s.tool_result.content.%d: Input tag '%s' found using 'type' does not match"
               % (where, spot, inner.get("type")), where)
        check_block(inner, "user", "%s.content.%d" % (where, spot))


def check_messages(messages):
    expect(messages, "messages: at least one message is required", "messages")
    waiting = []
    for index, message in enumerate(messages):
        where = "messages.%d" % index
        typed(dict)(message, where)
        rules.check_members(message, {"role": ANY, "content": ANY}, (), where,
                            lambda path: Broken("%s: Extra inputs are not permitted" % path, path))
        role, content = message.get("role"), message.get("content")
        expect(role in BLOCKS, "messages: Unexpected role \"%s\". The Messages API accepts a "
               "top-level `system` parameter, not \"system\" as an input message role." % role,
               where)
        expect(isinstance(content, (str, list)), "%s.content: Input should be a valid list"
               % where, where)
        expect(content, "messages.%d: all messages must have non-empty content except for the "
               "optional final assistant message" % index, where)
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for spot, block in enumerate(blocks):
            check_block(block, role, "%s.content.%d" % (where, spot))
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        expect(set(waiting) <= set(results), "messages.%d: `tool_use` ids were found without "
               "`tool_result` blocks immediately after: %s. Each `tool_use` block must have a "
               "corresponding `tool_result` block in the next message."
               % (index, ", ".join(sorted(set(waiting) - set(results)))), where)
        expect(len(set(results)) == len(results), "messages.%d: each tool_use must have a single "
               "result" % index, where)
        expect(set(results) <= set(waiting), "messages.%d: unexpected `tool_use_id` found in "
               "`tool_result` blocks. Each `tool_result` block must have a corresponding "
               "`tool_use` block in the previous message." % index, where)
        kinds = [b["type"] == "tool_result" for b in blocks]
        expect(kinds == sorted(kinds, reverse=True), "%s: `tool_result` blocks must come first"
               % where, where)
        waiting = [b["id"] for b in blocks if b["type"] == "tool_use"]
        expect(len(set(waiting)) == len(waiting), "messages.%d: `tool_use` ids must be unique"
               % index, where)
    expect(not waiting, "messages: `tool_use` ids were found without `tool_result` blocks",
           "messages")


def check_tools(body):
    tools = body.get("tools")
    if not tools:
        expect("tool_choice" not in body, "tool_choice: may only be specified while providing "
               "tools", "tool_choice")
        return
    for index, tool in enumerate(tools):
        where = "tools.%d" % index
        if tool.get("type", "custom") != "custom":
            continue
        expect(TOOL_NAME.match(str(tool.get("name"))), "%s.custom.name: String should match "
               "pattern '^[a-zA-Z0-9_-]{1,128}$'" % where, where)
        schema = tool.get("input_schema")
        expect(isinstance(schema, dict) and schema.get("type") == "object",
               "%s.custom.input_schema.type: Field required" % where, where)
        expect(not {"anyOf", "oneOf", "allOf"} & set(schema), "%s.custom.input_schema: "
               "input_schema does not support oneOf, allOf, or anyOf at the top level" % where,
               where)


def check_thinking(body):
    thinking = body.get("thinking") or {}
    if thinking.get("type") != "enabled":
        return False
    budget = thinking.get("budget_tokens")
    expect(isinstance(budget, int) and budget >= 1024, "thinking.enabled.budget_tokens: Input "
           "should be greater than or equal to 1024", "thinking")
    expect(budget < body["max_tokens"], "`max_tokens` must be greater than "
           "`thinking.budget_tokens`", "thinking")
    expect(body.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is "
           "enabled", "temperature")
    expect((body.get("tool_choice") or {}).get("type") not in ("any", "tool"),
           "Thinking may not be enabled when tool_choice forces tool use.", "tool_choice")
    for name in ("top_k",):
        expect(name not in body, "`%s` must be unset when thinking is enabled" % name, name)
    for index in loop_of(body["messages"])[0]:
        first = body["messages"][index]["content"][0]["type"]
        expect(first in ("thinking", "redacted_thinking"), "messages.%d.content.0.type: Expected "
               "`thinking` or `redacted_thinking`, but found `%s`. When `thinking` is enabled, a "
               "final `assistant` message must start with a thinking block." % (index, first),
               "messages")
    return True


def check_stop(body):
    for stop in body.get("stop_sequences") or []:
        expect(str(stop).strip(), "stop_sequences: each stop sequence must contain non-whitespace",
               "stop_sequences")


def check_sampling(body):
    """Models behind Opus 4.6 take no sampling, those of version 4 one parameter only."""
    model = body["model"]
    if re.match(r"claude-(opus-4-[78]|\w+-5(-2|$))", model):
        for name in ("temperature", "top_p", "top_k"):
            expect(name not in body, "`%s` is deprecated for this model." % name, name)
    elif re.match(r"claude-(haiku|sonnet|opus)-4", model):
        expect(not ("temperature" in body and "top_p" in body), "`temperature` and `top_p` cannot "
               "both be specified for this model. Please use only one.", "top_p")


def loop_of(messages):
    """(indices of the assistant messages with calls, texts of results) since the last words
    of the user."""
    calls, results = [], []
    for index, message in enumerate(messages):
        blocks = message["content"]
        blocks = [{"type": "text"}] if isinstance(blocks, str) else blocks
        kinds = {b["type"] for b in blocks}
        if message["role"] == "user" and kinds - {"tool_result"}:
            calls, results = [], []
        if message["role"] == "assistant" and "tool_use" in kinds:
            calls.append(index)
        results += [text_of(b.get("content", "")) for b in blocks if b["type"] == "tool_result"]
    return calls, results


class Anthropic(Provider):
    name = "anthropic"
    models = ("claude-",)

    def missing_key(self):
        return "x-api-key header is required"

    def wrong_key(self):
        return "invalid x-api-key"

    def unknown_model(self, model):
        return "model: %s" % model

    too_long = ("prompt is too long: 200136 tokens > 200000 maximum",)

    def error(self, status, message, broken):
        kinds = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
                 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
                 429: "rate_limit_error", 529: "overloaded_error"}
        return {"type": "error", "request_id": "req_emulated",
                "error": {"type": kinds.get(status, "api_error"), "message": message}}

    def id_headers(self, entry):
        return [("request-id", entry.request_id), ("anthropic-organization-id", "emulated"),
                ("anthropic-ratelimit-requests-remaining", "99")]

    def handle(self, request, entry):
        if request.path not in ("/v1/messages", "/v1/messages/count_tokens"):
            raise Broken("Not Found", None, None, 404)
        if request.method != "POST":
            raise Broken("Method Not Allowed", None, None, 405)
        version = request.header("anthropic-version")
        expect(version is not None, "anthropic-version: header is required", None)
        expect(version in VERSIONS, "anthropic-version: \"%s\" is not a valid version" % version,
               None)
        media = (request.header("content-type") or "").split(";")[0].strip().lower()
        expect(media == "application/json", "content-type must be application/json", None)
        body = parse_object(request.body)
        entry.model = body.get("model")
        entry.stream = body.get("stream") is True
        counting = request.path.endswith("count_tokens")
        self.check_body(body, counting)
        if counting:
            total = rules.word_count(" ".join(text_of(m["content"]) for m in body["messages"]))
            return self.json_reply(entry, {"input_tokens": total + 3})
        return self.messages(body, entry)

    def check_body(self, body, counting):
        unknown = None if self.lenient(body.get("model")) else (
            lambda path: Broken("%s: Extra inputs are not permitted" % path, path))
        required = ("model", "messages") if counting else ("model", "max_tokens", "messages")
        for name in required:
            expect(name in body, "%s: Field required" % name, name)
        rules.check_members(body, COUNT_RULES if counting else MESSAGE_RULES, (), "", unknown)
        self.check_model(body["model"])
        if self.lenient(body["model"]):
            return
        check_messages(body["messages"])
        check_tools(body)
        if not counting:
            check_thinking(body)
            check_sampling(body)
            check_stop(body)

    # -- replies -------------------------------------------------------------
    def messages(self, body, entry):
        asked = [text_of(m["content"]) for m in body["messages"] if m.get("role") == "user"]
        directives = Directives(([a for a in asked if a.strip()] or [""])[-1])
        words = rules.answer_words(directives)
        prompt = " ".join(text_of(m["content"]) for m in body["messages"])
        usage = self.usage(directives, prompt, words)
        script = self.script(body, directives)
        words = script.words(words)
        blocks = self.blocks(body, script, words)
        reason = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
        message = {"id": self.new_id("msg_"), "type": "message", "role": "assistant",
                   "model": body["model"], "content": blocks, "stop_reason": reason,
                   "stop_sequence": None, "usage": usage}
        if not entry.stream:
            return self.json_reply(entry, message, usage)
        entry.usage = usage
        events = self.events(message, words)
        if body["model"].startswith("odd-"):
            events.insert(2, b": comment\r\n\r\nevent: content_sparkle\r\ndata: {\"type\":"
                          b"\"content_sparkle\",\"n\":1.0e0}\r\n\r\n")
        return Reply(200, SSE_HEADERS + self.id_headers(entry), events=events,
                     pause_s=directives.seconds("pause"), first_s=directives.seconds("first"))

    @staticmethod
    def usage(directives, prompt, words):
        written = directives.number("write", 0)
        return {"input_tokens": directives.number("in", rules.word_count(prompt) + 3),
                "cache_creation_input_tokens": written,
                "cache_read_input_tokens": directives.number("cached", 0),
                "cache_creation": {"ephemeral_5m_input_tokens": written,
                                   "ephemeral_1h_input_tokens": 0},
                "output_tokens": directives.number("out", len(words)),
                "service_tier": "standard"}

    @staticmethod
    def script(body, directives):
        choice = body.get("tool_choice") or {"type": "auto"}
        tools = [t["name"] for t in body.get("tools") or [] if t.get("type", "custom") == "custom"]
        names = [choice["name"]] if "name" in choice else choice["type"]
        calls, results = loop_of(body["messages"])
        return Script(directives, tools, names, len(calls), results)

    def blocks(self, body, script, words):
        blocks = []
        if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
            blocks.append({"type": "thinking", "thinking": script.thought,
                           "signature": mint("anthropic", script.thought)})
        # A model that must call a tool says nothing before it.
        if script.calls and (body.get("tool_choice") or {}).get("type") not in ("any", "tool"):
            blocks.append({"type": "text", "text": script.remark})
        for name, arguments in script.calls:
            blocks.append({"type": "tool_use", "id": self.new_id("toolu_"), "name": name,
                           "input": arguments})
        if not script.calls:
            blocks.append({"type": "text", "text": "".join(words)})
        return blocks

    def events(self, message, words):
        events = []

        def emit(kind, **members):
            value = dict({"type": kind}, **members)
            events.append(b"event: " + kind.encode() + b"\ndata: " + dump(value) + b"\n\n")

        def delta(index, kind, **members):
            emit("content_block_delta", index=index, delta=dict({"type": kind}, **members))
        usage = message["usage"]
        emit("message_start", message=dict(message, content=[], stop_reason=None,
                                           usage=dict(usage, output_tokens=1)))
        for index, block in enumerate(message["content"]):
            if block["type"] == "thinking":
                emit("content_block_start", index=index,
                     content_block={"type": "thinking", "thinking": "", "signature": ""})
                for start in range(0, len(block["thinking"]), 9):
                    delta(index, "thinking_delta", thinking=block["thinking"][start:start + 9])
                delta(index, "signature_delta", signature=block["signature"])
            elif block["type"] == "tool_use":
                emit("content_block_start", index=index, content_block=dict(block, input={}))
                text = dump(block["input"]).decode()
                delta(index, "input_json_delta", partial_json="")
                for start in range(0, len(text), 7):
                    delta(index, "input_json_delta", partial_json=text[start:start + 7])
            else:
                emit("content_block_start", index=index, content_block={"type": "text", "text": ""})
                if index == 0:
                    emit("ping")
                pieces = words if block["text"] == "".join(words) else [block["text"]]
                for piece in pieces:
                    delta(index, "text_delta", text=piece)
            emit("content_block_stop", index=index)
        emit("message_delta", delta={"stop_reason": message["stop_reason"],
                                     "stop_sequence": None}, usage=usage)
        emit("message_stop")
        return events

    # -- for faults ------------------------------------------------------------
    def error_event(self, before):
        return b"event: error\ndata: " + dump({"type": "error", "error": {
            "type": "overloaded_error", "message": "Overloaded"}}) + b"\n\n"

    @staticmethod
    def without_terminal(events):
        return [e for e in events if b"message_stop" not in e and b"message_delta" not in e]

    def spoil_usage(self, how, reply):
        return spoil_members(how, reply, "usage")
