"""The four chat shapes as a caller writes and judges them."""
import json

from tests.integration.rawhttp import request_bytes, sse_frames


class Shape:
    name = provider = model = ""
    ok_text = "You said:"

    def headers(self, key):
        return [("Authorization", "Bearer " + key), ("Content-Type", "application/json")]

    def ask(self, key, model=None, prompt="hello there", stream=False, extra=None):
        """The bytes of a request."""
        model = model or self.model
        body = dict(self.body(model, prompt, stream), **(extra or {}))
        return request_bytes(self.path(model, stream), body, self.headers(key))

    def path(self, model, stream):
        raise NotImplementedError

    def body(self, model, prompt, stream):
        raise NotImplementedError

    def check_error(self, status, body):
        """The body is this shape's error; returns its message."""
        raise NotImplementedError

    def frames(self, body):
        return sse_frames(body)

    def ended_clean(self, body):
        raise NotImplementedError

    def stream_error(self, body):
        """The error event of a stream that broke, or None."""
        raise NotImplementedError


class Chat(Shape):
    name, provider, model = "chat", "openai", "gpt-4o-mini"

    def path(self, model, stream):
        return "/v1/chat/completions"

    def body(self, model, prompt, stream):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        return dict(body, stream=True) if stream else body

    def check_error(self, status, body):
        error = json.loads(body)["error"]
        assert isinstance(error["message"], str) and error["message"]
        assert isinstance(error["type"], str)
        return error["message"]

    def ended_clean(self, body):
        return b"[DONE]" in body

    def stream_error(self, body):
        for _, data in self.frames(body):
            if data != "[DONE]" and valid(data) and "error" in json.loads(data):
                return json.loads(data)["error"]
        return None


class Responses(Chat):
    name = "responses"

    def path(self, model, stream):
        return "/v1/responses"

    def body(self, model, prompt, stream):
        body = {"model": model, "input": prompt}
        return dict(body, stream=True) if stream else body

    def ended_clean(self, body):
        return any(event == "response.completed" for event, _ in self.frames(body))

    def stream_error(self, body):
        for event, data in self.frames(body):
            if event == "response.failed":
                response = json.loads(data)["response"]
                assert response["status"] == "failed"
                return response["error"]
            if event == "error":
                return json.loads(data)
        return None


class Messages(Shape):
    name, provider, model = "messages", "anthropic", "claude-haiku-4-5"

    def headers(self, key):
        return [("x-api-key", key), ("anthropic-version", "2023-06-01"),
                ("Content-Type", "application/json")]

    def path(self, model, stream):
        return "/v1/messages"

    def body(self, model, prompt, stream):
        body = {"model": model, "max_tokens": 100,
                "messages": [{"role": "user", "content": prompt}]}
        return dict(body, stream=True) if stream else body

    def check_error(self, status, body):
        value = json.loads(body)
        assert value["type"] == "error", value
        assert isinstance(value["error"]["type"], str)
        assert value["error"]["message"]
        return value["error"]["message"]

    def ended_clean(self, body):
        return any(event == "message_stop" for event, _ in self.frames(body))

    def stream_error(self, body):
        for event, data in self.frames(body):
            if event == "error":
                value = json.loads(data)
                assert value["type"] == "error"
                return value["error"]
        return None


class Gemini(Shape):
    name, provider, model = "gemini", "gemini", "gemini-2.5-flash"

    def headers(self, key):
        return [("x-goog-api-key", key), ("Content-Type", "application/json")]

    def path(self, model, stream):
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return "/v1beta/models/%s:%s" % (model.replace("/", "%2F"), verb)

    def body(self, model, prompt, stream):
        return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}

    def check_error(self, status, body):
        error = json.loads(body)["error"]
        assert error["code"] == status, error
        assert error["message"] and error["status"].isupper()
        return error["message"]

    def ended_clean(self, body):
        return b"finishReason" in body

    def stream_error(self, body):
        for _, data in self.frames(body):
            if valid(data) and "error" in json.loads(data):
                error = json.loads(data)["error"]
                assert isinstance(error["code"], int) and error["status"]
                return error
        return None


def valid(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


SHAPES = {shape.name: shape for shape in (Chat(), Responses(), Messages(), Gemini())}
