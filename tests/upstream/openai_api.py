"""OpenAI: chat completions, completions, responses, embeddings, moderations,
images, audio, models. Rules and reply members after the published OpenAPI
document; `OpenAI` is also the base of Azure.
"""
import base64
import json
import re
import struct

from . import rules
from .app import Provider, dump, parse_object
from .rules import Broken, Directives, expect, nullable, number, one_of, typed
from .script import Script, mint, minted
from .wire import Reply

NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
CREATED = 1760000000
TEXT, ANY = typed(str), None
SSE_HEADERS = [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache")]

CHAT_RULES = {
    "model": TEXT, "messages": typed(list), "stream": nullable(typed(bool)),
    "stream_options": nullable(typed(dict)), "temperature": nullable(number(0, 2)),
    "top_p": nullable(number(0, 1)), "n": nullable(number(1, 128, True)),
    "max_tokens": nullable(number(1, 1 << 31, True)),
    "max_completion_tokens": nullable(number(1, 1 << 31, True)),
    "stop": nullable(typed(str, list)), "presence_penalty": nullable(number(-2, 2)),
    "frequency_penalty": nullable(number(-2, 2)), "logit_bias": nullable(typed(dict)),
    "logprobs": nullable(typed(bool)), "top_logprobs": nullable(number(0, 20, True)),
    "user": TEXT, "seed": nullable(typed(int)), "tools": typed(list),
    "tool_choice": typed(str, dict), "parallel_tool_calls": typed(bool),
    "response_format": typed(dict), "reasoning_effort": nullable(
        one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    "verbosity": nullable(one_of("low", "medium", "high")), "metadata": nullable(typed(dict)),
    "store": nullable(typed(bool)), "service_tier": nullable(TEXT), "modalities": ANY,
    "audio": ANY, "prediction": ANY, "web_search_options": ANY, "safety_identifier": TEXT,
    "prompt_cache_key": TEXT, "prompt_cache_retention": ANY, "functions": typed(list),
    "function_call": ANY, "moderation": ANY, "prompt_cache_options": ANY,
}
COMPLETION_RULES = {
    "model": TEXT, "prompt": typed(str, list), "stream": nullable(typed(bool)),
    "stream_options": nullable(typed(dict)), "temperature": nullable(number(0, 2)),
    "top_p": nullable(number(0, 1)), "n": nullable(number(1, 128, True)),
    "max_tokens": nullable(number(0, 1 << 31, True)), "stop": nullable(typed(str, list)),
    "best_of": ANY, "echo": ANY, "suffix": ANY, "logprobs": ANY, "logit_bias": ANY, "user": TEXT,
    "seed": ANY, "presence_penalty": ANY, "frequency_penalty": ANY,
}
COUNT_RULES = {
    "model": TEXT, "input": typed(str, list), "instructions": nullable(TEXT),
    "tools": typed(list), "tool_choice": typed(str, dict),
    "parallel_tool_calls": nullable(typed(bool)), "previous_response_id": nullable(TEXT),
    "reasoning": nullable(typed(dict)), "text": typed(dict), "conversation": ANY,
    "truncation": nullable(one_of("auto", "disabled")), "personality": ANY,
}
RESPONSES_RULES = {
    "model": TEXT, "input": typed(str, list), "instructions": nullable(TEXT),
    "stream": nullable(typed(bool)), "max_output_tokens": nullable(number(16, 1 << 31, True)),
    "temperature": nullable(number(0, 2)), "top_p": nullable(number(0, 1)), "tools": typed(list),
    "tool_choice": typed(str, dict), "parallel_tool_calls": nullable(typed(bool)),
    "metadata": nullable(typed(dict)), "previous_response_id": nullable(TEXT),
    "reasoning": nullable(typed(dict)), "text": typed(dict), "store": nullable(typed(bool)),
    "include": nullable(typed(list)), "truncation": nullable(one_of("auto", "disabled")),
    "user": TEXT, "service_tier": nullable(TEXT), "background": nullable(typed(bool)),
    "prompt_cache_key": TEXT, "safety_identifier": TEXT, "max_tool_calls": ANY, "prompt": ANY,
    "stream_options": ANY, "conversation": ANY, "context_management": ANY, "top_logprobs": ANY,
    "client_metadata": ANY, "prompt_cache_retention": ANY, "moderation": ANY,
}
EMBEDDING_RULES = {
    "model": TEXT, "input": typed(str, list), "encoding_format": one_of("float", "base64"),
    "dimensions": number(1, 3072, True), "user": TEXT,
}
CONTENT_TYPES = {
    "system": ("text",), "developer": ("text",), "tool": ("text",),
    "user": ("text", "image_url", "input_audio", "file"), "assistant": ("text", "refusal"),
}


# What answers have may come back, and what the Node SDK adds to them.
MESSAGE_MEMBERS = set("role content name tool_calls tool_call_id refusal audio function_call "
                      "annotations parsed".split())
# Models of other houses that speak this API; they think aloud and want it back.
ECHOING = ("deepseek-", "kimi-")


def text_of(content):
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def check_content(content, role, where):
    if isinstance(content, str):
        return
    expect(isinstance(content, list) and content, "Invalid type for '%s': expected one of a string"
           " or array of objects, but got %s instead." % (where, rules.kind(content)), where,
           "invalid_type")
    for index, part in enumerate(content):
        spot = "%s[%d]" % (where, index)
        typed(dict)(part, spot)
        expect(part.get("type") in CONTENT_TYPES[role], "Invalid value: '%s'. Supported values "
               "are: %s." % (part.get("type"), CONTENT_TYPES[role]), spot + ".type",
               "invalid_value")
        if part["type"] == "text":
            TEXT(part.get("text"), spot + ".text")


def check_calls(calls, where):
    typed(list)(calls, where)
    for index, call in enumerate(calls):
        spot = "%s[%d]" % (where, index)
        for member in ("id", "type"):
            expect(isinstance(call.get(member), str), "Missing required parameter: '%s.%s'."
                   % (spot, member), spot, "missing_required_parameter")
        function = call.get("function") or {}
        expect(NAME.match(str(function.get("name"))), "Invalid '%s.function.name': string does "
               "not match pattern." % spot, spot + ".function.name", "invalid_value")
        TEXT(function.get("arguments"), spot + ".function.arguments")
        expect(len(call["id"]) <= 40, "Invalid '%s.id': string too long. Expected a string with "
               "maximum length 40, but got a string with length %d instead."
               % (spot, len(call["id"])), spot + ".id", "string_above_max_length")
    ids = [call["id"] for call in calls]
    expect(len(set(ids)) == len(ids), "Duplicate tool call ids in '%s'." % where, where)


def check_messages(messages, model):
    echoes = model.startswith(ECHOING)
    known = MESSAGE_MEMBERS | ({"reasoning_content"} if echoes else set())
    expect(messages, "Invalid 'messages': empty array. Expected an array with minimum length 1.",
           "messages", "empty_array")
    waiting = []     # ids of calls whose results must come next
    for index, message in enumerate(messages):
        where = "messages[%d]" % index
        typed(dict)(message, where)
        extra = sorted(set(message) - known)
        expect(not extra, "Unknown parameter: '%s.%s'." % (where, "".join(extra[:1])), where,
               "unknown_parameter")
        role = message.get("role")
        one_of("system", "developer", "user", "assistant", "tool", "function")(
            role, where + ".role")
        if role == "tool":
            expect(message.get("tool_call_id") in waiting, "Invalid parameter: messages with role "
                   "'tool' must be a response to a preceeding message with 'tool_calls'.",
                   where + ".role")
            waiting.remove(message["tool_call_id"])
        else:
            expect(not waiting, "An assistant message with 'tool_calls' must be followed by tool "
                   "messages responding to each 'tool_call_id'. Missing: %s" % ", ".join(waiting),
                   where + ".role")
        if role == "assistant" and message.get("tool_calls"):
            check_calls(message["tool_calls"], where + ".tool_calls")
            waiting = [call["id"] for call in message["tool_calls"]]
            expect(not echoes or "reasoning_content" in message, "The `reasoning_content` in the "
                   "thinking mode must be passed back to the API.", where)
            if message.get("content") is None:
                continue
        if role == "function" or (role == "assistant" and message.get("refusal")):
            continue
        check_content(message.get("content"), role, where + ".content")
    expect(not waiting, "An assistant message with 'tool_calls' must be followed by tool messages "
           "responding to each 'tool_call_id'.", "messages")


def check_tools(body):
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            expect(name not in body, "'%s' is only allowed when 'tools' are specified." % name,
                   name)
        return
    expect(tools, "Invalid 'tools': empty array.", "tools", "empty_array")
    for index, tool in enumerate(tools):
        where = "tools[%d]" % index
        one_of("function", "custom")(tool.get("type"), where + ".type")
        inner = tool.get(tool["type"]) or {}
        expect(NAME.match(str(inner.get("name"))), "Invalid '%s.function.name'." % where,
               where + ".function.name", "invalid_value")


def script_of(directives, body, loop):
    """What the model does next: calls of the functions that may be called, or words."""
    tools = [tool.get("function", tool).get("name") for tool in body.get("tools") or []
             if tool.get("type") == "function"]
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools", choice)
        inner = choice.get("function", choice)
        choice = ([t.get("function", t).get("name") for t in allowed.get("tools", [])]
                  if choice.get("type") == "allowed_tools" else [inner.get("name")])
    return Script(directives, tools, choice, *loop)


def loop_of_messages(messages):
    """(turns with calls, texts of results) since the last words of the user."""
    calls, results = 0, []
    for message in messages:
        if message.get("role") == "user":
            calls, results = 0, []
        elif message.get("role") == "tool":
            results.append(text_of(message.get("content")))
        calls += bool(message.get("tool_calls"))
    return calls, results


def loop_of_items(items):
    calls, results, before = 0, [], None
    for item in items if isinstance(items, list) else []:
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") == "user":
            calls, results = 0, []
        elif kind == "function_call":
            calls += before != kind
        elif kind == "function_call_output":
            results.append(text_of(item.get("output")))
        before = kind
    return calls, results


def vector(text, size):
    seed = sum(text.encode()) % 97
    return [((seed + 3 * i) % 31 - 15) / 16.0 for i in range(size)]


class OpenAI(Provider):
    name = "openai"
    models = ("gpt-", "o1", "o3", "o4", "text-embedding-", "omni-moderation", "dall-e",
              "whisper-", "tts-", "chatgpt-") + ECHOING

    def missing_key(self):
        return ("You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth.")

    def wrong_key(self):
        return "Incorrect API key provided: ****. You can find your API key in your account."

    def unknown_model(self, model):
        return "The model `%s` does not exist or you do not have access to it." % model

    too_long = ("This model's maximum context length is 128000 tokens. However, your messages "
                "resulted in 130000 tokens.", "messages", "context_length_exceeded")

    def error(self, status, message, broken):
        types = {429: "requests", 402: "insufficient_quota"}
        kind = types.get(status, "server_error" if status >= 500 else "invalid_request_error")
        codes = {429: "rate_limit_exceeded", 401: "invalid_api_key"}
        return {"error": {"message": message, "type": kind, "param": broken.param,
                          "code": broken.code or codes.get(status)}}

    def id_headers(self, entry):
        return [("x-request-id", entry.request_id), ("openai-processing-ms", "12"),
                ("openai-organization", "org-emulated")]

    # -- routing -----------------------------------------------------------
    def handle(self, request, entry):
        path = self.local_path(request)
        if request.method == "GET" and path in ("/models", "/models/gpt-4o-mini"):
            return self.models_reply(path, entry)
        routes = {
            "/chat/completions": (self.chat, CHAT_RULES, ("model", "messages")),
            "/completions": (self.completions, COMPLETION_RULES, ("model", "prompt")),
            "/responses": (self.responses, RESPONSES_RULES, ("model", "input")),
            "/responses/input_tokens": (self.input_tokens, COUNT_RULES, ("model", "input")),
            "/embeddings": (self.embeddings, EMBEDDING_RULES, ("model", "input")),
            "/moderations": (self.moderations, {"model": TEXT, "input": typed(str, list)},
                             ("input",)),
            "/images/generations": (self.images, None, ("prompt",)),
            "/audio/speech": (self.speech, None, ("model", "input", "voice")),
        }
        if path == "/audio/transcriptions":
            return self.transcriptions(request, entry)
        if path not in routes:
            raise Broken("Invalid URL (%s %s)" % (request.method, request.path), None, None, 404)
        if request.method != "POST":
            raise Broken("Not allowed to %s on %s." % (request.method, path), None,
                         "method_not_supported", 405)
        media = (request.header("content-type") or "").split(";")[0].strip().lower()
        expect(media == "application/json", "Unsupported Content-Type: '%s'." % media, None,
               "unsupported_content_type")
        handler, table, required = routes[path]
        body = parse_object(request.body)
        self.fill_model(request, body)
        entry.model = body.get("model")
        entry.stream = body.get("stream") is True
        lenient = self.lenient(entry.model)
        rules.check_members(body, table or {name: ANY for name in body}, required,
                            unknown=None if lenient else self.unknown_member)
        if entry.model is not None:
            TEXT(entry.model, "model")
            self.check_model(entry.model)
        return handler(body, entry)

    def local_path(self, request):
        if not request.path.startswith("/v1/"):
            raise Broken("Invalid URL (%s %s)" % (request.method, request.path), None, None, 404)
        return request.path[len("/v1"):]

    def fill_model(self, request, body):
        """Azure takes the model from the path; here the body has it."""

    @staticmethod
    def unknown_member(path):
        return Broken("Unrecognized request argument supplied: %s" % path, path,
                      "unknown_parameter")

    # -- replies -----------------------------------------------------------
    def models_reply(self, path, entry):
        one = {"id": "gpt-4o-mini", "object": "model", "created": CREATED, "owned_by": "system"}
        value = one if path != "/models" else {"object": "list", "data": [one]}
        return self.json_reply(entry, value)

    def usage(self, directives, prompt, words):
        used_in = directives.number("in", rules.word_count(prompt) + 3)
        used_out = directives.number("out", len(words))
        return {"prompt_tokens": used_in, "completion_tokens": used_out,
                "total_tokens": used_in + used_out,
                "prompt_tokens_details": {"cached_tokens": directives.number("cached", 0),
                                          "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": directives.number("reasoning", 0), "audio_tokens": 0,
                    "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}

    def chat(self, body, entry):
        messages = body["messages"]
        if not self.lenient(body["model"]):
            check_messages(messages, body["model"])
            check_tools(body)
        expect(not ("max_tokens" in body and "max_completion_tokens" in body),
               "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not "
               "supported.", "max_tokens")
        if body["model"].startswith(("o1", "o3", "o4", "gpt-5")):
            expect("max_tokens" not in body, "Unsupported parameter: 'max_tokens' is not supported "
                   "with this model. Use 'max_completion_tokens' instead.", "max_tokens",
                   "unsupported_parameter")
        expect(not (isinstance(body.get("stop"), list) and len(body["stop"]) > 4),
               "Invalid 'stop': array too long.", "stop", "array_above_max_length")
        options = body.get("stream_options")
        expect(options is None or entry.stream, "The 'stream_options' parameter is only allowed "
               "when 'stream' is enabled.", "stream_options", "invalid_value")
        prompt = " ".join(text_of(m.get("content")) for m in messages if isinstance(m, dict))
        asked = [text_of(m.get("content")) for m in messages if m.get("role") == "user"]
        directives = Directives(asked[-1] if asked else prompt)
        words = rules.answer_words(directives)
        script = script_of(directives, body, loop_of_messages(messages))
        words = script.words(words)
        thought = script.thought if directives.number("think", 0) else None
        usage = self.usage(directives, prompt, words)
        base = {"id": self.new_id("chatcmpl-"), "created": CREATED, "model": body["model"],
                "service_tier": "default", "system_fingerprint": "fp_emulated"}
        count = body.get("n") or 1
        if not entry.stream:
            choices = [self.chat_choice(i, words, script, thought) for i in range(count)]
            return self.json_reply(entry, dict(base, object="chat.completion", choices=choices,
                                               usage=usage), usage)
        wants_usage = bool(options and options.get("include_usage"))
        events = self.chat_events(dict(base, object="chat.completion.chunk"), count, words,
                                  (script, thought), usage if wants_usage else None)
        if body["model"].startswith("odd-"):
            events = self.odd_events(events)
        entry.usage = usage if wants_usage else None
        return self.stream_reply(entry, events, directives)

    def stream_reply(self, entry, events, directives):
        return Reply(200, SSE_HEADERS + self.id_headers(entry), events=events,
                     pause_s=directives.seconds("pause"), first_s=directives.seconds("first"))

    def chat_choice(self, index, words, script, thought):
        message = {"role": "assistant", "content": "".join(words), "refusal": None,
                   "annotations": []}
        if thought:
            message["reasoning_content"] = thought
        if script.calls:
            message.update(content=script.remark if script.ordered else None, tool_calls=[
                {"id": self.new_id("call_"), "type": "function",
                 "function": {"name": name, "arguments": dump(arguments).decode()}}
                for name, arguments in script.calls])
        return {"index": index, "message": message, "logprobs": None,
                "finish_reason": "tool_calls" if script.calls else "stop"}

    def chat_events(self, base, count, words, answer, usage):
        script, thought = answer

        def chunk(index, delta, finish=None):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            value = dict(base, choices=[choice])
            if usage is not None:
                value["usage"] = None
            return b"data: " + dump(value) + b"\n\n"
        events = []
        for index in range(count):
            silent = script.calls and not script.ordered
            events.append(chunk(index, {"role": "assistant", "content": None if silent else "",
                                        "refusal": None}))
            events += [chunk(index, {"reasoning_content": word + " "})
                       for word in (thought or "").split()]
            said = [script.remark[:9], script.remark[9:]] if script.calls else words
            said = [] if silent else said
            events += [chunk(index, {"content": word}) for word in said]
            events += [chunk(index, {"tool_calls": [delta]})
                       for delta in self.call_deltas(script.calls)]
            events.append(chunk(index, {}, "tool_calls" if script.calls else "stop"))
        if usage is not None:
            events.append(b"data: " + dump(dict(base, choices=[], usage=usage)) + b"\n\n")
        return events + [b"data: [DONE]\n\n"]

    def call_deltas(self, calls):
        deltas = []
        for index, (name, arguments) in enumerate(calls):
            text = dump(arguments).decode()
            deltas.append({"index": index, "id": self.new_id("call_"), "type": "function",
                           "function": {"name": name, "arguments": ""}})
            deltas += [{"index": index, "function": {"arguments": text[i:i + 7]}}
                       for i in range(0, len(text), 7)]
        return deltas

    @staticmethod
    def odd_events(events):
        """Legal SSE that a relay must not tidy up."""
        odd = [b": keep-alive\n\n", b"retry: 3000\r\nid: 7\r\n" + events[0]]
        odd += [event.replace(b"data: ", b"data:", 1) for event in events[1:3]]
        odd += [b": " + b"x" * 300 + b"\n"] + events[3:]
        return odd

    def completions(self, body, entry):
        directives = Directives(body["prompt"] if isinstance(body["prompt"], str) else "list")
        words = rules.answer_words(directives)
        usage = self.usage(directives, directives.text, words)
        base = {"id": self.new_id("cmpl-"), "object": "text_completion", "created": CREATED,
                "model": body["model"]}

        def choice(text, finish):
            return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        if not entry.stream:
            return self.json_reply(entry, dict(base, choices=[choice("".join(words), "stop")],
                                               usage=usage), usage)
        chunks = [dict(base, choices=[choice(word, None)]) for word in words]
        chunks.append(dict(base, choices=[choice("", "stop")]))
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append(dict(base, choices=[], usage=usage))
            entry.usage = usage
        events = [b"data: " + dump(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]
        return self.stream_reply(entry, events, directives)

    # -- responses ----------------------------------------------------------
    def responses(self, body, entry):
        items = body["input"]
        if isinstance(items, list):
            self.check_items(items)
        self.check_flat_tools(body)
        if body.get("previous_response_id"):
            raise Broken("Previous response with id '%s' not found."
                         % body["previous_response_id"], "previous_response_id",
                         "previous_response_not_found")
        asked = [items] if isinstance(items, str) else [
            text_of(i.get("content")) for i in items if i.get("role") == "user"]
        directives = Directives((asked or [""])[-1])
        script = script_of(directives, body, loop_of_items(items))
        words = script.words(rules.answer_words(directives))
        usage = self.responses_usage(directives, " ".join(asked), words)
        output = self.output(body, words, script)
        skeleton = self.skeleton(body)
        if entry.stream:
            entry.usage = usage
            return self.stream_reply(entry, self.responses_events(skeleton, output, words, usage),
                                     directives)
        skeleton.update(status="completed", usage=usage, output=output)
        return self.json_reply(entry, skeleton, usage)

    def input_tokens(self, body, entry):
        if self.lenient(body["model"]):
            raise Broken("Not Found", None, None, 404)
        items = body["input"]
        if isinstance(items, list):
            self.check_items(items)
        self.check_flat_tools(body)
        texts = [items] if isinstance(items, str) else [text_of(i.get("content")) for i in items]
        return self.json_reply(entry, {"object": "response.input_tokens", "input_tokens":
                                       rules.word_count(" ".join(texts)) + 3})

    CONTENT = {"user": ("input_text", "input_image", "input_file"),
               "assistant": ("output_text", "refusal"), "system": ("input_text",),
               "developer": ("input_text",)}
    ITEM_PREFIX = {"function_call": "fc", "reasoning": "rs", "message": "msg"}

    def check_items(self, items):
        expect(items, "Invalid 'input': empty array.", "input", "empty_array")
        open_calls, done = {}, set()
        for index, item in enumerate(items):
            where = "input[%d]" % index
            typed(dict)(item, where)
            kind = item.get("type", "message")
            prefix = self.ITEM_PREFIX.get(kind)
            if prefix and item.get("id") is not None:
                expect(str(item["id"]).startswith(prefix), "Invalid '%s.id': '%s'. Expected an ID "
                       "that begins with '%s'." % (where, item["id"], prefix), where + ".id",
                       "invalid_value")
            if kind == "message":
                self.check_message(item, where)
            elif kind == "function_call":
                for name in ("call_id", "name", "arguments"):
                    TEXT(item.get(name), "%s.%s" % (where, name))
                expect(NAME.match(item["name"]), "Invalid '%s.name': string does not match "
                       "pattern." % where, where + ".name", "invalid_value")
                expect(0 < len(item["call_id"]) <= 64, "Invalid '%s.call_id': string too long."
                       % where, where + ".call_id", "string_above_max_length")
                expect(item["call_id"] not in open_calls, "Duplicate call_id in '%s'" % where, where)
                open_calls[item["call_id"]] = where
            elif kind == "function_call_output":
                expect(item.get("call_id") in open_calls, "No tool call found for function call "
                       "output with call_id %s." % item.get("call_id"), "input")
                self.check_output(item, where)
                done.add(item["call_id"])
            elif kind == "reasoning":
                self.check_reasoning(items, index, where)
        missing = [call for call in open_calls if call not in done]
        expect(not missing, "No tool output found for function call %s." % "".join(missing[:1]),
               "input")

    def check_message(self, item, where):
        one_of(*self.CONTENT)(item.get("role"), where + ".role")
        content = item.get("content")
        typed(str, list)(content, where + ".content")
        for spot, part in enumerate(content if isinstance(content, list) else []):
            self.check_part(part, self.CONTENT[item["role"]], "%s.content[%d]" % (where, spot))

    @staticmethod
    def check_part(part, kinds, where):
        typed(dict)(part, where)
        one_of(*kinds)(part.get("type"), where + ".type")
        if part["type"] in ("input_text", "output_text"):
            TEXT(part.get("text"), where + ".text")
        if part["type"] == "input_image" and "file_id" not in part:
            TEXT(part.get("image_url"), where + ".image_url")

    def check_output(self, item, where):
        output = item.get("output")
        typed(str, list)(output, where + ".output")
        for spot, part in enumerate(output if isinstance(output, list) else []):
            self.check_part(part, self.CONTENT["user"], "%s.output[%d]" % (where, spot))

    @staticmethod
    def check_reasoning(items, index, where):
        item = items[index]
        typed(list)(item.get("summary"), where + ".summary")
        TEXT(item.get("id"), where + ".id")
        token = item.get("encrypted_content")
        said = "".join(part.get("text", "") for part in item["summary"])
        expect(token is None or minted("openai", said, token), "The encrypted content %s could not "
               "be verified." % str(token)[:8], where + ".encrypted_content",
               "invalid_encrypted_content")
        after = items[index + 1] if index + 1 < len(items) else {}
        expect(after.get("type", "message") in ("message", "function_call", "reasoning")
               and after.get("role", "assistant") == "assistant" and after,
               "Item '%s' of type 'reasoning' was provided without its required following item."
               % item.get("id"), "input")

    @staticmethod
    def check_flat_tools(body):
        for index, tool in enumerate(body.get("tools") or []):
            where = "tools[%d]" % index
            typed(dict)(tool, where)
            if tool.get("type") in ("function", "custom"):
                expect("function" not in tool, "Unknown parameter: '%s.function'." % where,
                       where + ".function", "unknown_parameter")
                expect(NAME.match(str(tool.get("name"))), "Missing required parameter: '%s.name'."
                       % where, where + ".name", "missing_required_parameter")
        layout = (body.get("text") or {}).get("format") or {}
        expect("json_schema" not in layout, "Unknown parameter: 'text.format.json_schema'.",
               "text.format", "unknown_parameter")
        if layout.get("type") == "json_schema":
            TEXT(layout.get("name"), "text.format.name")
            typed(dict)(layout.get("schema"), "text.format.schema")

    @staticmethod
    def responses_usage(directives, asked, words):
        used_in = directives.number("in", rules.word_count(asked) + 3)
        used_out = directives.number("out", len(words))
        return {"input_tokens": used_in, "output_tokens": used_out,
                "total_tokens": used_in + used_out,
                "input_tokens_details": {"cached_tokens": directives.number("cached", 0),
                                         "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": directives.number("reasoning", 0)}}

    def skeleton(self, body):
        return {"id": self.new_id("resp_"), "object": "response", "created_at": CREATED,
                "status": "in_progress", "background": False, "error": None,
                "incomplete_details": None, "instructions": body.get("instructions"),
                "max_output_tokens": body.get("max_output_tokens"), "model": body["model"],
                "output": [], "parallel_tool_calls": body.get("parallel_tool_calls", True),
                "previous_response_id": None, "reasoning": {"effort": None, "summary": None},
                "store": body.get("store", True), "temperature": body.get("temperature", 1.0),
                "text": {"format": {"type": "text"}}, "tool_choice": body.get("tool_choice", "auto"),
                "tools": body.get("tools", []), "top_p": body.get("top_p", 1.0),
                "truncation": "disabled",
                "metadata": body.get("metadata") or {}}

    def output(self, body, words, script):
        items = []
        reasoning = body.get("reasoning") or {}
        if reasoning.get("effort") not in (None, "none"):
            shown = script.thought if reasoning.get("summary") else ""
            item = {"id": self.new_id("rs_"), "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": shown}] if shown else []}
            if "reasoning.encrypted_content" in (body.get("include") or []):
                item["encrypted_content"] = mint("openai", shown)
            items.append(item)
        if not script.calls or script.ordered:
            said = script.remark if script.calls else "".join(words)
            items.append({"id": self.new_id("msg_"), "type": "message", "status": "completed",
                          "role": "assistant", "content": [self.part(said)]})
        return items + [{"id": self.new_id("fc_"), "type": "function_call", "status": "completed",
                         "call_id": self.new_id("call_"), "name": name,
                         "arguments": dump(arguments).decode()}
                        for name, arguments in script.calls]

    @staticmethod
    def part(text):
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def responses_events(self, skeleton, output, words, usage):
        events = []

        def emit(kind, **members):
            value = dict({"type": kind, "sequence_number": len(events)}, **members)
            events.append(b"event: " + kind.encode() + b"\ndata: " + dump(value) + b"\n\n")
        emit("response.created", response=dict(skeleton))
        emit("response.in_progress", response=dict(skeleton))
        for index, item in enumerate(output):
            spot = {"item_id": item["id"], "output_index": index}
            play = {"message": self.play_message, "reasoning": self.play_reasoning,
                    "function_call": self.play_call}[item["type"]]
            play(emit, item, spot, words)
            emit("response.output_item.done", output_index=index, item=item)
        emit("response.completed", response=dict(skeleton, status="completed", output=output,
                                                 usage=usage))
        return events

    @staticmethod
    def play_call(emit, item, spot, words):
        emit("response.output_item.added", output_index=spot["output_index"],
             item=dict(item, status="in_progress", arguments=""))
        for start in range(0, len(item["arguments"]), 7):
            emit("response.function_call_arguments.delta", **spot,
                 delta=item["arguments"][start:start + 7])
        emit("response.function_call_arguments.done", **spot, name=item["name"],
             arguments=item["arguments"])

    @staticmethod
    def play_reasoning(emit, item, spot, words):
        emit("response.output_item.added", output_index=spot["output_index"],
             item=dict(item, summary=[]))
        for index, part in enumerate(item["summary"]):
            here = dict(spot, summary_index=index)
            emit("response.reasoning_summary_part.added", **here, part=dict(part, text=""))
            emit("response.reasoning_summary_text.delta", **here, delta=part["text"][:9])
            emit("response.reasoning_summary_text.delta", **here, delta=part["text"][9:])
            emit("response.reasoning_summary_text.done", **here, text=part["text"])
            emit("response.reasoning_summary_part.done", **here, part=part)

    def play_message(self, emit, item, spot, words):
        emit("response.output_item.added", output_index=spot["output_index"],
             item=dict(item, status="in_progress", content=[]))
        text = item["content"][0]["text"]
        spot = dict(spot, content_index=0)
        emit("response.content_part.added", **spot, part=self.part(""))
        for word in words if text == "".join(words) else [text]:
            emit("response.output_text.delta", **spot, delta=word, logprobs=[])
        emit("response.output_text.done", **spot, text=text, logprobs=[])
        emit("response.content_part.done", **spot, part=item["content"][0])

    # -- the rest ------------------------------------------------------------
    def embeddings(self, body, entry):
        inputs = body["input"]
        if isinstance(inputs, str) or (inputs and isinstance(inputs[0], int)):
            inputs = [inputs]
        expect(inputs and all(i != "" for i in inputs), "Invalid 'input': it cannot be empty.",
               "input")
        size = body.get("dimensions", 16)
        data = []
        for index, item in enumerate(inputs):
            values = vector(item if isinstance(item, str) else str(item), size)
            if body.get("encoding_format") == "base64":
                values = base64.b64encode(struct.pack("<%df" % size, *values)).decode()
            data.append({"object": "embedding", "index": index, "embedding": values})
        used = sum(rules.word_count(i) if isinstance(i, str) else len(i) for i in inputs)
        usage = {"prompt_tokens": used, "total_tokens": used}
        return self.json_reply(entry, {"object": "list", "data": data, "model": body["model"],
                                       "usage": usage}, usage)

    def moderations(self, body, entry):
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        names = ("harassment", "hate", "self-harm", "sexual", "violence")
        results = [{"flagged": "violence" in str(text),
                    "categories": {n: n == "violence" and n in str(text) for n in names},
                    "category_scores": {n: 0.5 for n in names},
                    "category_applied_input_types": {n: ["text"] for n in names}}
                   for text in inputs]
        return self.json_reply(entry, {"id": self.new_id("modr-"), "results": results,
                                       "model": body.get("model", "omni-moderation-latest")})

    def images(self, body, entry):
        pixel = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
                 "awAAAABJRU5ErkJggg==")
        usage = {"input_tokens": 5, "output_tokens": 100, "total_tokens": 105,
                 "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}
        return self.json_reply(entry, {"created": CREATED, "data": [{"b64_json": pixel}],
                                       "usage": usage}, usage)

    def speech(self, body, entry):
        one_of("alloy", "ash", "coral", "echo", "nova", "onyx", "sage", "shimmer")(
            body["voice"], "voice")
        audio = bytes(range(256)) * 64
        return Reply(200, [("Content-Type", "audio/mpeg")] + self.id_headers(entry), audio)

    def transcriptions(self, request, entry):
        match = re.match(r'^multipart/form-data; *boundary="?([^";]+)"?$',
                         request.header("content-type") or "")
        expect(match, "Expected multipart/form-data.", None, "unsupported_content_type")
        fields = parse_multipart(request.body, match.group(1).encode())
        self.fill_model(request, fields)
        for name in ("file", "model"):
            expect(name in fields, "Missing required parameter: '%s'." % name, name,
                   "missing_required_parameter")
        entry.model = as_text(fields["model"])
        self.check_model(entry.model)
        form = as_text(fields.get("response_format", b"json"))
        one_of("json", "text", "srt", "verbose_json", "vtt")(form, "response_format")
        text = "heard %d bytes" % len(fields["file"])
        if form in ("text", "srt", "vtt"):
            return Reply(200, [("Content-Type", "text/plain; charset=utf-8")]
                         + self.id_headers(entry), (text + "\n").encode())
        usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
        return self.json_reply(entry, {"text": text, "usage": usage}, usage)

    # -- for faults ------------------------------------------------------------
    def error_event(self, before):
        error = {"message": "The server had an error.", "param": None, "code": "server_error"}
        if before[0].startswith(b"event: response."):
            return b"event: error\ndata: " + dump(dict(
                error, type="error", sequence_number=len(before))) + b"\n\n"
        return b"data: " + dump({"error": dict(error, type="server_error")}) + b"\n\n"

    @staticmethod
    def without_terminal(events):
        return [e for e in events if b"[DONE]" not in e and b"response.completed" not in e
                and b'"finish_reason": "' not in e]

    def spoil_usage(self, how, reply):
        return spoil_members(how, reply, "usage")


def as_text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def spoil_members(how, reply, member):
    """Rewrite the usage object in every JSON text of the reply; returns what it says now."""
    said = None

    def spoil(value):
        nonlocal said
        if isinstance(value, list):
            for inner in value:
                spoil(inner)
        if not isinstance(value, dict):
            return
        for name in list(value):
            if name != member or not isinstance(value[name], dict):
                spoil(value[name])
            elif how == "nousage":
                del value[name]
            else:
                value[name] = spoil_numbers(how, value[name])
                said = value[name]

    def rewrite(text):
        value = json.loads(text)
        spoil(value)
        return dump(value)
    if reply.events is None:
        reply.body = rewrite(reply.body)
        return said
    events = []
    for event in reply.events:
        head, mark, data = event.partition(b"data: {")
        if not mark:
            events.append(event)
            continue
        fresh = head + b"data: " + rewrite(b"{" + data) + b"\n\n"
        events += [fresh, fresh] if how == "dupusage" and member.encode() in data and (
            b'"choices": []' in data) else [fresh]
    reply.events = events
    return said


def spoil_numbers(how, usage):
    if how == "zerousage":
        return {k: 0 if isinstance(v, int) else v for k, v in usage.items()}
    if how == "badusage":
        return {k: 999999 if "cache" in k else v for k, v in
                dict(usage, total_tokens=1).items()}
    return usage


def parse_multipart(body, boundary):
    """{name: bytes}; strict about CRLF and the closing delimiter."""
    delimiter = b"--" + boundary
    expect(body.startswith(delimiter + b"\r\n") and body.rstrip(b"\r\n").endswith(
        delimiter + b"--"), "Could not parse multipart form.", None)
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n" + delimiter)[1:-1]:
        head, gap, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'(?i)content-disposition: *form-data;.*\bname="([^"]+)"', head)
        expect(gap and name, "Could not parse multipart form.", None)
        fields[name.group(1).decode()] = value
    return fields
