"""A caller of each of the four APIs who keeps a conversation with tools going.

A Caller holds the conversation as its API writes it, asks, lets the grammar
checker and OpenAI's document judge what comes back, and appends the answer and
the results of its calls as a plain client would: what was received is sent
back. `answer` is the last Answer (grammar.py).
"""
import json
import urllib.error
import urllib.request

from tests.integration import grammar, openapi

SCHEMA = {"type": "object", "properties": {"location": {"type": "string"},
                                           "count": {"type": "integer"}},
          "required": ["location"]}
DESCRIPTION = "what the weather is"


class Refused(Exception):
    def __init__(self, status, body, headers):
        super().__init__("%d %s" % (status, body[:600]))
        self.status, self.body, self.headers = status, json.loads(body), headers


class Caller:
    shape = ""

    def __init__(self, url, key, model, tools=(), stream=False, reasoning=None, strict=False):
        self.url, self.key, self.model = url, key, model
        self.tools, self.stream, self.reasoning = list(tools), stream, reasoning
        self.headers = {"x-gateway-strict": "1"} if strict else {}
        self.turns, self.answer, self.warnings = [], None, ""

    # -- per API --------------------------------------------------------------
    path = ""

    def body(self):
        raise NotImplementedError

    def say(self, text):
        self.turns.append({"role": "user", "content": text})

    def keep(self, received):
        """The answer goes into the conversation as it came."""
        raise NotImplementedError

    def results(self, texts):
        raise NotImplementedError

    # -- all --------------------------------------------------------------------
    def ask(self, **more):
        request = urllib.request.Request(
            self.url + self.path, json.dumps(dict(self.body(), **more)).encode(),
            dict({"content-type": "application/json", "authorization": "Bearer " + self.key},
                 **self.headers))
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                received, self.warnings = reply.read(), reply.headers.get(
                    "x-gateway-translation-warnings", "")
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read(), error.headers)
        if self.stream:
            self.answer = grammar.check_stream(self.shape, received)
            openapi.judge_stream(self.shape, received)
        else:
            self.answer = grammar.check_reply(self.shape, json.loads(received))
            openapi.judge_reply(self.shape, json.loads(received))
        self.received = received
        return self.answer

    def loop(self, prompt, result, most=8):
        """Asks until no tool is called; returns the number of turns with calls."""
        self.say(prompt)
        for turn in range(most):
            answer = self.ask()
            if not answer.calls:
                return turn
            self.keep(self.received)
            self.results([result(call) for call in answer.calls])
        raise AssertionError("the conversation does not end")


class Chat(Caller):
    shape, path = "chat", "/v1/chat/completions"

    def body(self):
        body = {"model": self.model, "messages": self.turns, "stream": self.stream}
        if self.tools:
            body["tools"] = [{"type": "function", "function": {
                "name": name, "description": DESCRIPTION, "parameters": SCHEMA}}
                for name in self.tools]
        if self.reasoning:
            body["reasoning_effort"] = self.reasoning
        return body

    def keep(self, received):
        message = {"role": "assistant", "content": self.answer.text or None, "tool_calls": [
            {"id": call.id, "type": "function",
             "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.answer.calls]}
        if self.model.startswith("deepseek-"):
            message["reasoning_content"] = self.answer.reasoning
        self.turns.append(message)

    def results(self, texts):
        for call, text in zip(self.answer.calls, texts):
            self.turns.append({"role": "tool", "tool_call_id": call.id, "content": text})


class Responses(Caller):
    shape, path = "responses", "/v1/responses"

    def body(self):
        body = {"model": self.model, "input": self.turns, "stream": self.stream, "store": False,
                "include": ["reasoning.encrypted_content"]}
        if self.tools:
            body["tools"] = [{"type": "function", "name": name, "description": DESCRIPTION,
                              "parameters": SCHEMA, "strict": False} for name in self.tools]
        if self.reasoning:
            body["reasoning"] = {"effort": self.reasoning, "summary": "auto"}
        return body

    def keep(self, received):
        if self.stream:
            last = received.decode().strip().split("\n")[-1]
            self.turns += json.loads(last[len("data: "):])["response"]["output"]
        else:
            self.turns += json.loads(received)["output"]

    def results(self, texts):
        for call, text in zip(self.answer.calls, texts):
            self.turns.append({"type": "function_call_output", "call_id": call.id,
                               "output": text})


class Messages(Caller):
    shape, path = "messages", "/v1/messages"

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.headers["anthropic-version"] = "2023-06-01"

    def body(self):
        body = {"model": self.model, "max_tokens": 8000, "messages": self.turns,
                "stream": self.stream}
        if self.tools:
            body["tools"] = [{"name": name, "description": DESCRIPTION, "input_schema": SCHEMA}
                             for name in self.tools]
        if self.reasoning:
            body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        return body

    def keep(self, received):
        if not self.stream:
            content = json.loads(received)["content"]
        else:
            content = self.blocks(received)
        self.turns.append({"role": "assistant", "content": content})

    @staticmethod
    def blocks(received):
        """The message as an accumulating client has it."""
        blocks = []
        for _, data in grammar.common.frames_of(received):
            value = json.loads(data)
            if value["type"] == "content_block_start":
                blocks.append(dict(value["content_block"], partial=""))
            elif value["type"] == "content_block_delta":
                for name, piece in value["delta"].items():
                    if name in ("text", "thinking", "signature"):
                        blocks[-1][name] += piece
                    elif name == "partial_json":
                        blocks[-1]["partial"] += piece
        for block in blocks:
            partial = block.pop("partial")
            if block["type"] == "tool_use":
                block["input"] = json.loads(partial or "{}")
        return blocks

    def results(self, texts):
        self.turns.append({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id, "content": text}
            for call, text in zip(self.answer.calls, texts)]})


class Gemini(Caller):
    shape = "gemini"

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.headers["x-goog-api-key"] = self.key

    @property
    def path(self):
        verb = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
        return "/v1beta/models/%s:%s" % (self.model, verb)

    def body(self):
        body = {"contents": self.turns}
        if self.tools:
            body["tools"] = [{"functionDeclarations": [
                {"name": name, "description": DESCRIPTION, "parametersJsonSchema": SCHEMA}
                for name in self.tools]}]
        if self.reasoning:
            body["generationConfig"] = {"thinkingConfig": {"includeThoughts": True,
                                                           "thinkingBudget": 2048}}
        return body

    def say(self, text):
        self.turns.append({"role": "user", "parts": [{"text": text}]})

    def keep(self, received):
        chunks = ([json.loads(data) for _, data in grammar.common.frames_of(received)]
                  if self.stream else [json.loads(received)])
        parts = [part for chunk in chunks for candidate in chunk.get("candidates", [])
                 for part in candidate["content"].get("parts", [])]
        self.turns.append({"role": "model", "parts": parts})

    def results(self, texts):
        parts = []
        for call, text in zip(self.answer.calls, texts):
            response = {"name": call.name, "response": {"output": text}}
            if call.id:
                response["id"] = call.id
            parts.append({"functionResponse": response})
        self.turns.append({"role": "user", "parts": parts})

    def ask(self, **more):
        self.headers.pop("authorization", None)
        return super().ask(**more)


CALLERS = {caller.shape: caller for caller in (Chat, Responses, Messages, Gemini)}
