"""Gemini: generateContent, streamGenerateContent (SSE and JSON array),
countTokens, embedContent, batchEmbedContents, under v1beta and v1.

The real service refuses every member it does not know, at any level, so the
emulator knows the members of the request types and refuses the rest.
"""
import base64
import json
import re
import urllib.parse

from . import rules
from .app import Provider, dump, parse_object
from .openai_api import spoil_members, vector
from .rules import Broken, Directives, expect
from .script import Script, mint, minted
from .wire import Reply

CALL = re.compile(r"^/(v1beta|v1)/(?:models|tunedModels)/([^/:]+):([A-Za-z]+)$")
FUNCTION = re.compile(r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")
SSE_HEADERS = [("Content-Type", "text/event-stream")]

GENERATION = set("""stopSequences responseMimeType responseSchema responseJsonSchema
    responseModalities candidateCount maxOutputTokens temperature topP topK seed presencePenalty
    frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig
    thinkingConfig imageConfig mediaResolution audioTimestamp""".split())
PART = set("""text inlineData fileData functionCall functionResponse executableCode
    codeExecutionResult thought thoughtSignature videoMetadata mediaResolution
    partMetadata""".split())
REQUEST = set("""contents systemInstruction generationConfig tools toolConfig safetySettings
    cachedContent labels store serviceTier""".split())
TOOL = set("""functionDeclarations googleSearch googleSearchRetrieval codeExecution urlContext
    computerUse fileSearch googleMaps""".split())
DECLARATION = set("""name description parameters parametersJsonSchema response responseJsonSchema
    behavior""".split())
CALL_MEMBERS = set("name args".split())
RESPONSE_MEMBERS = set("name response parts willContinue scheduling".split())
SCHEMA = set("""anyOf default description enum example format items maxItems maxLength
    maxProperties maximum minItems minLength minProperties minimum nullable pattern properties
    propertyOrdering required title type""".split())
FORMATS = ("enum", "date-time", "int32", "int64", "float", "double")
# An answer to a call whose signature is lost may say so, documented by the service.
SKIP = base64.b64encode(b"skip_thought_signature_validator").decode()
EMBED = set("content taskType title outputDimensionality model autoTruncate".split())


def camel(name):
    """proto3 JSON takes snake_case as well."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def known(value, members, where):
    """The object with camelCase names; an unknown one is the service's own 400."""
    if not isinstance(value, dict):
        raise Broken("Invalid value at '%s' (type object), %s" % (where, rules.kind(value)))
    fresh = {}
    for name, inner in value.items():
        if camel(name) not in members:
            raise Broken("Invalid JSON payload received. Unknown name \"%s\"%s: Cannot find "
                         "field." % (name, " at '%s'" % where if where else ""))
        fresh[camel(name)] = inner
    return fresh


def call_text(call):
    """What a signature is minted for; JavaScript callers round large numbers."""
    args = {k: v for k, v in (call.get("args") or {}).items() if isinstance(v, str)}
    return json.dumps([call.get("name"), args], sort_keys=True)


def is_gen3(model):
    return model.startswith("gemini-3")


def check_call(part, where, model):
    """A call or a response in a conversation; ids are known from the third generation on."""
    more = {"id"} if is_gen3(model) else set()
    if "functionCall" in part:
        call = known(part["functionCall"], CALL_MEMBERS | more, where + ".function_call")
        expect(call.get("name"), "* %s.function_call.name: Name cannot be empty." % where, where)
        if not isinstance(call.get("args", {}), dict):
            raise Broken("Invalid value at '%s.function_call.args' (type.googleapis.com/google."
                         "protobuf.Struct)" % where)
    if "functionResponse" in part:
        inner = known(part["functionResponse"], RESPONSE_MEMBERS | more,
                      where + ".function_response")
        expect(isinstance(inner.get("response"), dict) and inner.get("name"),
               "* GenerateContentRequest.%s.function_response.name: Name cannot be empty."
               % where, where)


def check_signature(part, where):
    token = part.get("thoughtSignature")
    if token in (None, SKIP):
        return
    said = call_text(part["functionCall"]) if "functionCall" in part else part.get("text", "")
    expect(minted("gemini", said, token), "Thought signature is not valid.", where)


def check_schema(schema, where):
    """The older schema dialect: names in upper or lower case, a small set of keywords."""
    if not isinstance(schema, dict):
        raise Broken("Invalid value at '%s' (type.googleapis.com/google.ai.generativelanguage."
                     "v1beta.Schema)" % where)
    for name in schema:
        if name not in SCHEMA:
            raise Broken("Invalid JSON payload received. Unknown name \"%s\" at '%s': Cannot find "
                         "field." % (name, where))
    expect(isinstance(schema.get("type", ""), str), "Proto field is not repeating, cannot start "
           "list at '%s.type'" % where, None)
    expect("type" in schema or "anyOf" in schema, "* %s.type: must be specified" % where, None)
    expect(all(isinstance(e, str) for e in schema.get("enum", [])), "Invalid value at '%s.enum'"
           " (TYPE_STRING)" % where, None)
    if str(schema.get("type")).upper() == "STRING":
        expect(schema.get("format", "enum") in FORMATS, "* %s.format: only 'enum' and 'date-time' "
               "are supported for STRING type" % where, None)
    if str(schema.get("type")).upper() == "ARRAY":
        expect("items" in schema, "* %s.items: missing field." % where, None)
    names = schema.get("properties", {})
    if str(schema.get("type")).upper() == "OBJECT":
        expect(names, "* %s.properties: should be non-empty for OBJECT type" % where, None)
    for name in schema.get("required", []):
        expect(name in names, "* %s.required: property is not defined: %s" % (where, name), None)
    for name, inner in names.items():
        check_schema(inner, "%s.properties[%s]" % (where, name))
    if "items" in schema:
        check_schema(schema["items"], where + ".items")
    for spot, inner in enumerate(schema.get("anyOf", [])):
        check_schema(inner, "%s.any_of[%d]" % (where, spot))


def check_json_schema(schema, where, root=True):
    """The newer member takes JSON Schema; references must have been resolved."""
    if isinstance(schema, list):
        for inner in schema:
            check_json_schema(inner, where, False)
    if not isinstance(schema, dict):
        return
    for name in ("$schema", "$id", "$ref"):
        expect(not isinstance(schema.get(name), str), "* %s: keyword \"%s\" is not supported"
               % (where, name), None)
    if root and where.endswith("parameters_json_schema"):
        expect(schema.get("type") == "object", "* %s: must be of type object" % where, None)
    for name, inner in schema.items():
        if name in ("properties", "$defs", "definitions"):
            for one in inner.values():
                check_json_schema(one, where, False)
        elif name not in ("enum", "const", "default", "examples", "required"):
            check_json_schema(inner, where, False)


def check_content(content, where, roles=("user", "model", "function"), model=""):
    content = known(content, {"role", "parts"}, where)
    expect(content.get("role", "user") in roles, "Please use a valid role: user, model.", where)
    parts = content.get("parts") or []
    expect(parts, "* GenerateContentRequest.%s.parts: contents.parts must not be empty." % where,
           where)
    fresh = []
    for index, part in enumerate(parts):
        spot = "%s.parts[%d]" % (where, index)
        part = known(part, PART, spot)
        data = [n for n in part if n in ("text", "inlineData", "fileData", "functionCall",
                                         "functionResponse", "executableCode",
                                         "codeExecutionResult")]
        expect(len(data) <= 1, "Invalid value at '%s' (oneof), oneof field 'data' is already set."
               % spot, where)
        expect(data or "thoughtSignature" in part, "* GenerateContentRequest.%s.data: required "
               "oneof field 'data' must have one initialized field" % spot, where)
        check_call(part, spot, model)
        check_signature(part, spot)
        fresh.append(part)
    return content.get("role", "user"), fresh


def check_contents(contents, model=""):
    expect(isinstance(contents, list) and contents,
           "* GenerateContentRequest.contents: contents is not specified", None)
    turns = [check_content(c, "contents[%d]" % i, model=model) for i, c in enumerate(contents)]
    for index, (role, parts) in enumerate(turns):
        calls = [p["functionCall"] for p in parts if "functionCall" in p]
        if role != "model" or not calls:
            continue
        expect(index and turns[index - 1][0] != "model", "Please ensure that function call turn "
               "comes immediately after a user turn or after a function response turn.", None)
        if is_gen3(model):
            first = next(p for p in parts if "functionCall" in p)
            expect("thoughtSignature" in first, "Function call is missing a thought_signature in "
                   "functionCall parts. This is required for tools to work correctly. Additional "
                   "data, function call `%s`, position %d." % (calls[0]["name"], index), None)
        if index + 1 < len(turns):
            answers = [p["functionResponse"] for p in turns[index + 1][1]
                       if "functionResponse" in p]
            expect(len(answers) == len(calls), "Please ensure that the number of function response "
                   "parts is equal to the number of function call parts of the function call "
                   "turn.", None)
            expect(sorted(a["name"] for a in answers) == sorted(c["name"] for c in calls),
                   "Please ensure that function response names match their calls.", None)
    return turns


def loop_of(turns):
    """(turns with calls, texts of results) since the last words of the user."""
    calls, results = 0, []
    for role, parts in turns:
        if role == "user" and any("functionResponse" not in p for p in parts):
            calls, results = 0, []
        calls += any("functionCall" in p for p in parts)
        for part in parts:
            if "functionResponse" in part:
                response = part["functionResponse"]["response"]
                results.append(str(response.get("output", json.dumps(response))))
    return calls, results


def check_tools(tools):
    names = []
    for index, tool in enumerate(tools or []):
        tool = known(tool, TOOL, "tools[%d]" % index)
        for spot, declaration in enumerate(tool.get("functionDeclarations") or []):
            where = "tools[%d].function_declarations[%d]" % (index, spot)
            declaration = known(declaration, DECLARATION, where)
            expect(FUNCTION.match(str(declaration.get("name"))), "* GenerateContentRequest.%s.name:"
                   " [FIELD_INVALID] Invalid function name." % where, None)
            expect(not {"parameters", "parametersJsonSchema"} <= set(declaration), "* %s: only one "
                   "of parameters and parameters_json_schema may be set" % where, None)
            if "parameters" in declaration:
                check_schema(declaration["parameters"], where + ".parameters")
            if "parametersJsonSchema" in declaration:
                check_json_schema(declaration["parametersJsonSchema"],
                                  where + ".parameters_json_schema")
            names.append(declaration["name"])
    return names


def text_of(parts):
    return " ".join(p["text"] for p in parts if isinstance(p.get("text"), str))


class Gemini(Provider):
    name = "gemini"
    models = ("gemini-", "gemma-", "text-embedding-", "embedding-")

    def missing_key(self):
        return ("Method doesn't allow unregistered callers (callers without established identity)."
                " Please use API Key or other form of API consumer identity to call this API.")

    def wrong_key(self):
        return "API key not valid. Please pass a valid API key."

    def unknown_model(self, model):
        return ("models/%s is not found for API version v1beta, or is not supported for "
                "generateContent." % model)

    too_long = ("The input token count (1050000) exceeds the maximum number of tokens allowed "
                "(1048576).",)

    def error(self, status, message, broken):
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
                 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        error = {"code": status, "message": message, "status": names.get(status, "INTERNAL")}
        if broken.code == "invalid_api_key" and status == 400:
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                                 "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        return {"error": error}

    def error_reply(self, status, message, broken=None, headers=()):
        """This API says how long to wait in the body, not in a field."""
        wait = [value for name, value in headers if name == "Retry-After" and value.isdigit()]
        if not wait:
            return super().error_reply(status, message, broken, headers)
        reply = super().error_reply(status, message, broken,
                                    [h for h in headers if h[0] != "Retry-After"])
        body = json.loads(reply.body)
        body["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo",
                                     "retryDelay": wait[0] + "s"}]
        reply.body = dump(body)
        return reply

    def check_credential(self, request):
        if "key" in request.query:
            raise Broken("The key belongs into the x-goog-api-key header.", None, None, 403)
        sent = self.credentials(request)
        if not sent:
            raise Broken(self.missing_key(), None, "unregistered", 403)
        if sent != [("x-goog-api-key", self.key)]:
            raise Broken(self.wrong_key(), None, "invalid_api_key", 400)

    def id_headers(self, entry):
        return [("x-goog-request-id", entry.request_id), ("server-timing", "gfet4t7; dur=12")]

    def handle(self, request, entry):
        match = CALL.match(request.raw_path)
        verbs = {"generateContent": self.generate, "streamGenerateContent": self.generate,
                 "countTokens": self.count, "embedContent": self.embed,
                 "batchEmbedContents": self.batch_embed}
        if match is None or match.group(3) not in verbs:
            raise Broken("Requested entity was not found.", None, None, 404)
        if request.method != "POST":
            raise Broken("Requested entity was not found.", None, None, 404)
        entry.model = urllib.parse.unquote(match.group(2))
        entry.stream = match.group(3) == "streamGenerateContent"
        self.check_model(entry.model)
        return verbs[match.group(3)](request, parse_object(request.body), entry)

    def read(self, body, model):
        """(turns, tools, config) of a request that keeps the rules."""
        if self.lenient(model):
            turns = [(c.get("role", "user"), c.get("parts", [])) for c in body["contents"]]
            return turns, [], {}
        body = known(body, REQUEST, "")
        turns = check_contents(body.get("contents"), model)
        if "systemInstruction" in body:
            check_content(body["systemInstruction"], "system_instruction",
                          ("user", "system", "model"))
        config = known(body.get("generationConfig") or {}, GENERATION, "generation_config")
        expect(0 <= config.get("temperature", 1) <= 2, "* GenerateContentRequest.generation_config"
               ".temperature: temperature must be in the range [0.0, 2.0].", None)
        for name in ("maxOutputTokens", "candidateCount", "topK", "seed"):
            expect(isinstance(config.get(name, 1), (int, float)), "Invalid value at "
                   "'generation_config.%s' (TYPE_INT32)" % name, None)
        self.check_config(config, model)
        tools = check_tools(body.get("tools"))
        called = known(body.get("toolConfig") or {}, {"functionCallingConfig", "retrievalConfig"},
                       "tool_config").get("functionCallingConfig")
        if called is not None:
            called = known(called, {"mode", "allowedFunctionNames"},
                           "tool_config.function_calling_config")
            names = called.get("allowedFunctionNames")
            expect(set(names or []) <= set(tools), "allowed_function_names: not declared", None)
            expect(not names or called.get("mode") in ("ANY", "VALIDATED"), "Allowed function names"
                   " can only be set when the mode is ANY or VALIDATED.", None)
            tools = [] if called.get("mode") == "NONE" else names or tools
        return turns, tools, config

    @staticmethod
    def check_config(config, model):
        thinking = known(config.get("thinkingConfig") or {}, {
            "includeThoughts", "thinkingBudget", "thinkingLevel"},
            "generation_config.thinking_config")
        expect(not {"thinkingBudget", "thinkingLevel"} <= set(thinking), "You can only set one of "
               "thinking_budget and thinking_level.", None)
        expect("thinkingLevel" not in thinking or is_gen3(model), "Thinking level is not supported"
               " for this model.", None)
        expect(thinking.get("thinkingLevel", "LOW").upper() in ("MINIMAL", "LOW", "MEDIUM", "HIGH"),
               "Invalid value at 'generation_config.thinking_config.thinking_level'", None)
        if "2.5-pro" in model:
            expect(thinking.get("thinkingBudget") != 0, "Budget 0 is invalid. This model only works"
                   " in thinking mode.", None)
        for name, check in (("responseSchema", check_schema),
                            ("responseJsonSchema", check_json_schema)):
            if name in config:
                expect(config.get("responseMimeType") == "application/json", "* GenerateContentRequ"
                       "est.generation_config.response_mime_type: %s needs application/json"
                       % name, None)
                check(config[name], "generation_config." + name)
        expect(len(config.get("stopSequences") or []) <= 5, "* GenerateContentRequest.generation_"
               "config.stop_sequences: at most 5", None)

    def generate(self, request, body, entry):
        turns, tools, config = self.read(body, entry.model)
        asked = [text_of(parts) for role, parts in turns if role == "user"]
        directives = Directives(([a for a in asked if a.strip()] or [""])[-1])
        script = Script(directives, tools, "auto", *loop_of(turns))
        words = script.words(rules.answer_words(directives))
        prompt = " ".join(text_of(parts) for _, parts in turns)
        thinking = (config.get("thinkingConfig") or {}).get("includeThoughts")
        usage = self.usage(directives, prompt, words)
        parts = self.parts(words, script, thinking, is_gen3(entry.model))
        base = {"modelVersion": entry.model, "responseId": self.new_id("resp-")}
        entry.usage = usage
        if not entry.stream:
            whole = self.chunk(base, parts, usage, "STOP")
            return self.json_reply(entry, whole, usage)
        chunks = [self.chunk(base, [part], None, None) for part in parts[:-1]]
        chunks.append(self.chunk(base, parts[-1:], usage, "STOP"))
        return self.stream_reply(request, entry, chunks, directives)

    def stream_reply(self, request, entry, chunks, directives):
        pause_s, first_s = directives.seconds("pause"), directives.seconds("first")
        if request.query.get("alt") == "sse":
            events = [b"data: " + dump(c) + b"\r\n\r\n" for c in chunks]
            headers = SSE_HEADERS + self.id_headers(entry)
        else:
            events = [(b"[" if i == 0 else b",\r\n") + dump(c) for i, c in enumerate(chunks)]
            events.append(b"]\r\n")
            headers = [("Content-Type", "application/json; charset=UTF-8")] + self.id_headers(entry)
        return Reply(200, headers, events=events, pause_s=pause_s, first_s=first_s)

    @staticmethod
    def usage(directives, prompt, words):
        used_in = directives.number("in", rules.word_count(prompt) + 3)
        used_out = directives.number("out", len(words))
        thoughts = directives.number("reasoning", 0)
        usage = {"promptTokenCount": used_in, "candidatesTokenCount": used_out,
                 "totalTokenCount": used_in + used_out + thoughts}
        if thoughts:
            usage["thoughtsTokenCount"] = thoughts
        if directives.number("cached", 0):
            usage["cachedContentTokenCount"] = directives.number("cached", 0)
        return usage

    def parts(self, words, script, thinking, ids):
        parts = [{"text": script.thought, "thought": True}] if thinking else []
        if not script.calls:
            return parts + [{"text": word} for word in words]
        if script.ordered:
            parts.append({"text": script.remark})
        for index, (name, arguments) in enumerate(script.calls):
            call = {"name": name, "args": arguments}
            if not script.ordered:
                call["args"] = {"location": "Paris"}
            # Of parallel calls only the first carries a signature.
            part = {"functionCall": call}
            if index == 0:
                part["thoughtSignature"] = mint("gemini", call_text(call))
            if ids:
                call["id"] = self.new_id("fc-")
            parts.append(part)
        return parts

    @staticmethod
    def chunk(base, parts, usage, finish):
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        value = {"candidates": [candidate]}
        if usage is not None:
            value["usageMetadata"] = usage
        return dict(value, **base)

    def count(self, request, body, entry):
        body = known(body, {"contents", "generateContentRequest"}, "")
        inner = body.get("generateContentRequest") or {"contents": body.get("contents")}
        turns = check_contents(inner.get("contents"), entry.model)
        total = rules.word_count(" ".join(text_of(parts) for _, parts in turns)) + 3
        return self.json_reply(entry, {"totalTokens": total, "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": total}]})

    def embed_one(self, body, where):
        body = known(body, EMBED, where)
        _, parts = check_content(body.get("content"), "content")
        return {"values": vector(text_of(parts), body.get("outputDimensionality") or 16)}

    def embed(self, request, body, entry):
        return self.json_reply(entry, {"embedding": self.embed_one(body, "")})

    def batch_embed(self, request, body, entry):
        requests = known(body, {"requests"}, "").get("requests")
        expect(isinstance(requests, list) and requests, "* BatchEmbedContentsRequest.requests: "
               "must not be empty", None)
        for index, one in enumerate(requests):
            expect(one.get("model") == "models/" + entry.model, "* BatchEmbedContentsRequest."
                   "requests[%d].model: model must match the parent" % index, None)
        return self.json_reply(entry, {"embeddings": [self.embed_one(r, "requests")
                                                      for r in requests]})

    # -- for faults ------------------------------------------------------------
    def error_event(self, before):
        return b"data: " + dump({"error": {"code": 503, "message": "The model is overloaded.",
                                           "status": "UNAVAILABLE"}}) + b"\r\n\r\n"

    @staticmethod
    def without_terminal(events):
        return [e for e in events if b"finishReason" not in e and e != b"]\r\n"]

    def spoil_usage(self, how, reply):
        return spoil_members(how, reply, "usageMetadata")
