"""Amazon Bedrock: Converse and ConverseStream, with signatures that are checked.

Rules after the published API: the request is signed (SigV4, the path's escapes
encoded once more) or carries a bearer key; turns alternate and begin with the
user; results of all calls of a turn stand in the very next user message; text
is never blank; a message with tool blocks needs toolConfig.
"""
import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
import urllib.parse

from . import rules
from .app import Provider, dump, parse_object
from .openai_api import spoil_numbers
from .rules import Broken, Directives, expect, number, typed
from .script import Script, mint, minted
from .wire import Reply

ACCESS_KEY_ID = "AKIDEMULATED00000000"
REGION = "us-east-1"
TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
CALL_ID = re.compile(r"^[a-zA-Z0-9_.:-]{1,256}$")
DOCUMENT_NAME = re.compile(r"^[a-zA-Z0-9 ()\[\]-]{1,200}$")
AUTHORIZATION = re.compile(
    r"^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$")
ANY = None

BODY_RULES = {
    "messages": typed(list), "system": typed(list), "inferenceConfig": typed(dict),
    "toolConfig": typed(dict), "guardrailConfig": typed(dict), "promptVariables": typed(dict),
    "additionalModelRequestFields": ANY, "additionalModelResponseFieldPaths": typed(list),
    "requestMetadata": typed(dict), "performanceConfig": typed(dict), "serviceTier": typed(dict),
    "outputConfig": typed(dict),
}
INFERENCE_RULES = {
    "maxTokens": number(1, 1 << 31, True), "temperature": number(0, 1), "topP": number(0, 1),
    "stopSequences": typed(list),
}
BLOCKS = {
    "user": ("text", "image", "document", "video", "audio", "toolResult", "cachePoint",
             "guardContent"),
    "assistant": ("text", "toolUse", "reasoningContent", "cachePoint", "citationsContent"),
}
FORMATS = {"image": ("png", "jpeg", "gif", "webp"),
           "document": ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")}
ERRORS = {400: "ValidationException", 403: "AccessDeniedException",
          404: "ResourceNotFoundException", 408: "ModelTimeoutException",
          429: "ThrottlingException", 503: "ServiceUnavailableException"}


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def canonical_request(request, names):
    path = urllib.parse.quote(request.raw_path, safe="/-_.~")
    query = "&".join(sorted(p if "=" in p else p + "=" for p in
                            request.target.partition("?")[2].split("&") if p))
    fields = "".join("%s:%s\n" % (name, request.header(name, "").strip()) for name in names)
    return "\n".join([request.method, path, query, fields, ";".join(names),
                      hashlib.sha256(request.body).hexdigest()])


def signature_of(request, secret, day, region, names):
    scope = "%s/%s/bedrock/aws4_request" % (day, region)
    text = "\n".join(["AWS4-HMAC-SHA256", request.header("x-amz-date", ""), scope,
                      hashlib.sha256(canonical_request(request, names).encode()).hexdigest()])
    key = digest(("AWS4" + secret).encode(), day)
    for part in (region, "bedrock", "aws4_request"):
        key = digest(key, part)
    return digest(key, text).hex()


def frame(kind, type_name, value):
    """One message of the binary event stream."""
    named = {":message-type": kind, ":content-type": "application/json",
             {"event": ":event-type", "exception": ":exception-type"}[kind]: type_name}
    headers = b"".join(struct.pack("!B", len(n)) + n.encode() + b"\x07"
                       + struct.pack("!H", len(v)) + v.encode() for n, v in named.items())
    payload = dump(value)
    head = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    head += struct.pack("!I", binascii.crc32(head))
    whole = head + headers + payload
    return whole + struct.pack("!I", binascii.crc32(whole))


def unframe(data):
    """(type, value) of one message."""
    total, header_size = struct.unpack("!II", data[:8])
    kind = re.search(rb":event-type\x07(..)", data[12:12 + header_size], re.S)
    start = 12 + kind.end()
    name = data[start:start + struct.unpack("!H", kind.group(1))[0]].decode()
    return name, json.loads(data[12 + header_size:total - 4])


def check_base64(text, where):
    expect(isinstance(text, str), "%s: not base64" % where, where)
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise Broken("%s: not base64" % where, where)


def check_media(kind, value, where):
    expect(value.get("format") in FORMATS[kind], "%s.format: unsupported" % where, where)
    source = value.get("source") or {}
    expect(len(source) == 1, "%s.source: exactly one member must be set" % where, where)
    if "bytes" in source:
        check_base64(source["bytes"], where + ".source.bytes")
    if kind == "document":
        expect(DOCUMENT_NAME.match(value.get("name", "")), "%s.name: can only contain "
               "alphanumeric characters, whitespace characters, hyphens, parentheses, and square "
               "brackets" % where, where)


def check_block(block, role, where):
    typed(dict)(block, where)
    expect(len(block) == 1, "%s: exactly one member of the union must be set" % where, where)
    kind, value = next(iter(block.items()))
    expect(kind in BLOCKS[role], "%s: %s is not allowed for the role %s" % (where, kind, role),
           where)
    if kind == "text":
        expect(isinstance(value, str) and value.strip(), "The text field in the ContentBlock "
               "object at %s is blank. Add text to the text field, and try again." % where, where)
    elif kind in FORMATS:
        check_media(kind, value, where)
    elif kind == "toolUse":
        expect(set(value) == {"toolUseId", "name", "input"}, "%s: toolUse members" % where, where)
        expect(CALL_ID.match(value["toolUseId"]), "%s: toolUseId" % where, where)
        expect(TOOL_NAME.match(value["name"]), "%s: toolUse name" % where, where)
        expect(isinstance(value["input"], dict), "The format of the value at %s.toolUse.input is "
               "invalid. Provide a json object for the field and try again." % where, where)
    elif kind == "toolResult":
        expect(set(value) <= {"toolUseId", "content", "status"}, "%s: members" % where, where)
        expect(value.get("status", "success") in ("success", "error"), where + ": status", where)
        expect(isinstance(value.get("content"), list), where + ": content", where)
        for index, inner in enumerate(value["content"]):
            expect(len(inner) == 1 and set(inner) <= {"text", "json", "image", "document", "video"},
                   "%s.toolResult.content.%d: union" % (where, index), where)
            if "json" in inner:
                expect(isinstance(inner["json"], dict), where + ": json must be an object", where)
    elif kind == "reasoningContent":
        text = value.get("reasoningText")
        expect(text is None or "signature" not in text
               or minted("bedrock", text["text"], text["signature"]),
               "%s: The signature is invalid" % where, where)


def check_messages(body):
    messages = body["messages"]
    expect(messages, "messages: at least one message is required", "messages")
    waiting, tool_blocks = [], False
    for index, message in enumerate(messages):
        where = "messages.%d" % index
        expect(set(message) == {"role", "content"}, "%s: unexpected members" % where, where)
        role = "user" if index % 2 == 0 else "assistant"
        expect(message["role"] == role, "A conversation must alternate between user and assistant "
               "roles and begin with a user message. (%s)" % where, where)
        expect(message["content"], "The content field in the Message object at %s is empty. Add a "
               "ContentBlock object to the content field and try again." % where, where)
        for spot, block in enumerate(message["content"]):
            check_block(block, role, "%s.content.%d" % (where, spot))
        results = [b["toolResult"]["toolUseId"] for b in message["content"] if "toolResult" in b]
        if role == "user":
            expect(sorted(waiting) == sorted(results), "Expected toolResult blocks at %s.content "
                   "for the following Ids: %s" % (where, ", ".join(waiting)), where)
        waiting = [b["toolUse"]["toolUseId"] for b in message["content"] if "toolUse" in b]
        tool_blocks = tool_blocks or bool(waiting or results)
        kinds = [list(b)[0] for b in message["content"]]
        if "reasoningContent" in kinds and role == "assistant":
            expect(kinds[0] == "reasoningContent", "%s: reasoningContent must come first" % where,
                   where)
    expect(messages[-1]["role"] == "user", "The model does not support assistant message prefill. "
           "The conversation must end with a user message.", "messages")
    expect(not tool_blocks or "toolConfig" in body, "The toolConfig field must be defined when "
           "using toolUse and toolResult content blocks.", "toolConfig")


def check_tools(config):
    expect(set(config) <= {"tools", "toolChoice"}, "toolConfig: unexpected members", "toolConfig")
    names = []
    expect(config.get("tools"), "toolConfig.tools: at least one", "toolConfig")
    for index, tool in enumerate(config["tools"]):
        where = "toolConfig.tools.%d" % index
        if "cachePoint" in tool:
            continue
        spec = tool.get("toolSpec") or {}
        expect(set(spec) <= {"name", "description", "inputSchema", "strict"}, where, where)
        expect(TOOL_NAME.match(spec.get("name", "")), "%s.toolSpec.name" % where, where)
        expect(spec.get("description", "x"), "%s.toolSpec.description: too short" % where, where)
        schema = (spec.get("inputSchema") or {}).get("json")
        expect(isinstance(schema, dict) and schema.get("type") == "object", "The value at %s."
               "toolSpec.inputSchema.json.type must be one of the following: object." % where,
               where)
        names.append(spec["name"])
    choice = config.get("toolChoice", {"auto": {}})
    expect(len(choice) == 1 and set(choice) <= {"auto", "any", "tool"}, "toolConfig.toolChoice",
           "toolConfig")
    if "tool" in choice:
        expect(choice["tool"].get("name") in names, "toolChoice names no tool", "toolConfig")


def text_of(content):
    found = [b["text"] for b in content if "text" in b]
    for block in content:
        for inner in block.get("toolResult", {}).get("content", []):
            found += [inner["text"]] if "text" in inner else []
    return " ".join(found)


def result_text(block):
    return " ".join(inner.get("text", "") for inner in block["toolResult"]["content"])


def loop_of(messages):
    """(turns with calls, texts of their results) since the last words of the user."""
    done, results = 0, []
    for message in messages:
        kinds = [next(iter(block)) for block in message["content"]]
        if message["role"] == "user" and set(kinds) - {"toolResult", "cachePoint"}:
            done, results = 0, []
        done += message["role"] == "assistant" and "toolUse" in kinds
        results += [result_text(b) for b in message["content"] if "toolResult" in b]
    return done, results


class Bedrock(Provider):
    name = "bedrock"
    models = ("anthropic.claude-", "us.anthropic.", "amazon.nova-", "meta.", "arn:aws:bedrock:")

    def check_credential(self, request):
        sent = request.header("authorization")
        if sent is None:
            raise Broken("Missing Authentication Token", None, None, 403)
        if any(request.header(name) for name in ("x-api-key", "api-key", "x-goog-api-key")):
            raise Broken("two credentials", None, None, 403)
        if sent == "Bearer " + self.key:
            return
        match = AUTHORIZATION.match(sent)
        if match is None or match.group(1) != ACCESS_KEY_ID:
            raise Broken("The security token included in the request is invalid.", None, None, 403)
        _, day, region, service, names, signature = match.groups()
        names = names.split(";")
        good = (service == "bedrock" and region == REGION and {"host", "x-amz-date"} <= set(names)
                and request.header("x-amz-date", "").startswith(day) and hmac.compare_digest(
                    signature, signature_of(request, self.key, day, region, names)))
        if not good:
            raise Broken("The request signature we calculated does not match the signature you "
                         "provided.", None, None, 403)

    def unknown_model(self, model):
        return "The provided model identifier is invalid."

    too_long = ("Input is too long for requested model.",)

    def error(self, status, message, broken):
        return {"message": message}

    def error_reply(self, status, message, broken=None, headers=()):
        kind = ERRORS.get(status, "InternalServerException")
        if broken is not None and broken.code == "model_not_found":
            status, kind = 400, "ValidationException"
        reply = Provider.error_reply(self, status, message, broken, headers)
        reply.headers.append(("x-amzn-ErrorType", kind + ":http://internal.amazon.com/"))
        return reply

    def id_headers(self, entry):
        return [("x-amzn-RequestId", entry.request_id)]

    def handle(self, request, entry):
        match = re.match(r"^/model/([^/]+)/(converse|converse-stream)$", request.raw_path)
        if match is None:
            raise Broken("Unknown operation", None, None, 404)
        if request.method != "POST":
            raise Broken("Method Not Allowed", None, None, 405)
        entry.model = urllib.parse.unquote(match.group(1))
        entry.stream = match.group(2) == "converse-stream"
        self.check_model(entry.model)
        body = parse_object(request.body)
        rules.check_members(body, BODY_RULES, ("messages",), "",
                            lambda path: Broken("extraneous key [%s] is not permitted" % path,
                                                path))
        rules.check_members(body.get("inferenceConfig", {}), INFERENCE_RULES, (),
                            "inferenceConfig", lambda path: Broken("extraneous key [%s]" % path))
        for index, block in enumerate(body.get("system", [])):
            expect(len(block) == 1 and set(block) <= {"text", "cachePoint", "guardContent"}
                   and block.get("text", "x").strip(), "system.%d" % index, "system")
        check_messages(body)
        if "toolConfig" in body:
            check_tools(body["toolConfig"])
        return self.converse(body, entry)

    def converse(self, body, entry):
        asked = [" ".join(b["text"] for b in m["content"] if "text" in b)
                 for m in body["messages"] if m["role"] == "user"]
        directives = Directives(([a for a in asked if a.strip()] or [""])[-1])
        script = self.script(body, directives)
        words = script.words(rules.answer_words(directives))
        prompt = " ".join(text_of(m["content"]) for m in body["messages"])
        entry.usage = usage = self.usage(directives, prompt, words)
        blocks = self.blocks(body, script, words)
        reason = "tool_use" if "toolUse" in blocks[-1] else "end_turn"
        if not entry.stream:
            return self.json_reply(entry, {
                "output": {"message": {"role": "assistant", "content": blocks}},
                "stopReason": reason, "usage": usage, "metrics": {"latencyMs": 7}}, usage)
        return Reply(200, [("Content-Type", "application/vnd.amazon.eventstream")]
                     + self.id_headers(entry), events=self.events(blocks, words, reason, usage),
                     pause_s=directives.seconds("pause"), first_s=directives.seconds("first"))

    @staticmethod
    def usage(directives, prompt, words):
        cached, written = directives.number("cached", 0), directives.number("write", 0)
        told = directives.number("in", rules.word_count(prompt) + 3)
        out = directives.number("out", len(words))
        return {"inputTokens": told, "outputTokens": out, "cacheReadInputTokens": cached,
                "cacheWriteInputTokens": written,
                "totalTokens": told + out + cached + written}

    @staticmethod
    def script(body, directives):
        config = body.get("toolConfig") or {}
        tools = [t["toolSpec"]["name"] for t in config.get("tools", []) if "toolSpec" in t]
        named = config.get("toolChoice", {}).get("tool")
        done, results = loop_of(body["messages"])
        return Script(directives, tools, [named["name"]] if named else "auto", done, results)

    def blocks(self, body, script, words):
        blocks = []
        thinking = (body.get("additionalModelRequestFields") or {}).get("thinking") or {}
        if thinking.get("type") in ("enabled", "adaptive"):
            blocks.append({"reasoningContent": {"reasoningText": {
                "text": script.thought, "signature": mint("bedrock", script.thought)}}})
        # A model that must call a tool says nothing before it.
        if script.calls and not {"any", "tool"} & set((body.get("toolConfig") or {}).get(
                "toolChoice", {})):
            blocks.append({"text": script.remark})
        for name, arguments in script.calls:
            blocks.append({"toolUse": {"toolUseId": self.new_id("tooluse_"), "name": name,
                                       "input": arguments}})
        if not script.calls:
            blocks.append({"text": "".join(words)})
        return blocks

    def events(self, blocks, words, reason, usage):
        events = []

        def emit(kind, value):
            events.append(frame("event", kind, dict(value, p="abcdefgh"[:len(events) % 8])))

        def delta(index, value):
            emit("contentBlockDelta", {"contentBlockIndex": index, "delta": value})
        emit("messageStart", {"role": "assistant"})
        for index, block in enumerate(blocks):
            if "toolUse" in block:
                use = block["toolUse"]
                emit("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {
                    "toolUseId": use["toolUseId"], "name": use["name"]}}})
                text = dump(use["input"]).decode()
                for start in range(0, len(text), 7):
                    delta(index, {"toolUse": {"input": text[start:start + 7]}})
            elif "reasoningContent" in block:
                told = block["reasoningContent"]["reasoningText"]
                for start in range(0, len(told["text"]), 9):
                    delta(index, {"reasoningContent": {"text": told["text"][start:start + 9]}})
                delta(index, {"reasoningContent": {"signature": told["signature"]}})
            else:
                pieces = words if block["text"] == "".join(words) else [block["text"]]
                for piece in pieces:
                    delta(index, {"text": piece})
            emit("contentBlockStop", {"contentBlockIndex": index})
        emit("messageStop", {"stopReason": reason})
        emit("metadata", {"usage": usage, "metrics": {"latencyMs": 7}})
        return events

    # -- for faults ----------------------------------------------------------
    def error_event(self, before):
        return frame("exception", "throttlingException", {"message": "Too many requests"})

    @staticmethod
    def without_terminal(events):
        return [e for e in events if b"messageStop" not in e and b"metadata" not in e]

    def spoil_usage(self, how, reply):
        def spoiled(value):
            if how == "nousage":
                value.pop("usage", None)
                return None
            value["usage"] = spoil_numbers(how, value["usage"])
            return value["usage"]
        if reply.events is None:
            value = json.loads(reply.body)
            said = spoiled(value)
            reply.body = dump(value)
            return said
        name, value = unframe(reply.events[-1])
        said = spoiled(value)
        reply.events[-1] = frame("event", name, value)
        return said
