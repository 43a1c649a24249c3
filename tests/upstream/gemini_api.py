"""Gemini: generateContent, streamGenerateContent (SSE and JSON array),
countTokens, embedContent, batchEmbedContents, under v1beta and v1.

The real service refuses every member it does not know, at any level, so the
emulator knows the members of the request types and refuses the rest.
"""
import re
import urllib.parse

from . import rules
from .app import Provider, dump, parse_object
from .openai_api import spoil_members, vector
from .rules import Broken, Directives, expect
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


def check_content(content, where, roles=("user", "model", "function")):
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
        if "functionResponse" in part:
            inner = part["functionResponse"]
            expect(isinstance(inner.get("response"), dict) and inner.get("name"),
                   "* GenerateContentRequest.%s.function_response.name: Name cannot be empty."
                   % spot, where)
        fresh.append(part)
    return content.get("role", "user"), fresh


def check_contents(contents):
    expect(isinstance(contents, list) and contents,
           "* GenerateContentRequest.contents: contents is not specified", None)
    turns = [check_content(c, "contents[%d]" % i) for i, c in enumerate(contents)]
    for index, (role, parts) in enumerate(turns):
        calls = sum("functionCall" in p for p in parts)
        if role == "model" and calls and index + 1 < len(turns):
            answers = sum("functionResponse" in p for p in turns[index + 1][1])
            expect(answers == calls, "Please ensure that the number of function response parts is "
                   "equal to the number of function call parts of the function call turn.", None)
    return turns


def check_tools(tools):
    names = []
    for index, tool in enumerate(tools or []):
        tool = known(tool, TOOL, "tools[%d]" % index)
        for spot, declaration in enumerate(tool.get("functionDeclarations") or []):
            where = "tools[%d].function_declarations[%d]" % (index, spot)
            declaration = known(declaration, DECLARATION, where)
            expect(FUNCTION.match(str(declaration.get("name"))), "* GenerateContentRequest.%s.name:"
                   " [FIELD_INVALID] Invalid function name." % where, None)
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

    def error(self, status, message, broken):
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
                 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        error = {"code": status, "message": message, "status": names.get(status, "INTERNAL")}
        if broken.code == "invalid_api_key" and status == 400:
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                                 "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        return {"error": error}

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
        turns = check_contents(body.get("contents"))
        if "systemInstruction" in body:
            check_content(body["systemInstruction"], "system_instruction",
                          ("user", "system", "model"))
        config = known(body.get("generationConfig") or {}, GENERATION, "generation_config")
        expect(0 <= config.get("temperature", 1) <= 2, "* GenerateContentRequest.generation_config"
               ".temperature: temperature must be in the range [0.0, 2.0].", None)
        for name in ("maxOutputTokens", "candidateCount", "topK", "seed"):
            expect(isinstance(config.get(name, 1), (int, float)), "Invalid value at "
                   "'generation_config.%s' (TYPE_INT32)" % name, None)
        return turns, check_tools(body.get("tools")), config

    def generate(self, request, body, entry):
        turns, tools, config = self.read(body, entry.model)
        asked = [text_of(parts) for role, parts in turns if role == "user"]
        directives = Directives(asked[-1] if asked else "")
        words = rules.answer_words(directives)
        prompt = " ".join(text_of(parts) for _, parts in turns)
        thinking = (config.get("thinkingConfig") or {}).get("includeThoughts")
        usage = self.usage(directives, prompt, words)
        answering = any("functionResponse" in p for p in turns[-1][1])
        parts = self.parts(words, tools if not answering else [], thinking)
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

    @staticmethod
    def parts(words, tools, thinking):
        parts = [{"text": "Let me think.", "thought": True}] if thinking else []
        if tools:
            return parts + [{"functionCall": {"name": tools[0], "args": {"location": "Paris"}},
                             "thoughtSignature": "ZW11bGF0ZWQ="}]
        return parts + [{"text": word} for word in words]

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
        turns = check_contents(inner.get("contents"))
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
