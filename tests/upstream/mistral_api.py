"""Mistral: embeddings, in OpenAI's grammar but for the name of the dimensions.

Members that the API does not know are refused with 422, and errors look like its own.
"""
import re

from . import rules
from .app import parse_object
from .openai_api import OpenAI
from .rules import Broken, nullable, number, one_of, typed

EMBEDDING_RULES = {
    "model": typed(str), "input": typed(str, list), "metadata": nullable(typed(dict)),
    "encoding_format": one_of("float", "base64"),
    "output_dimension": nullable(number(1, 3072, True)),
    "output_dtype": one_of("float", "int8", "uint8", "binary", "ubinary"),
}


def unknown(path):
    return Broken("Extra inputs are not permitted: %s" % path, path, "extra_forbidden", 422)


class Mistral(OpenAI):
    models = ("mistral-", "codestral-")

    def error(self, status, message, broken):
        if status != 422:
            return {"object": "error", "message": message, "type": "invalid_request_error",
                    "param": broken.param, "code": None}
        return {"object": "error", "message": {"detail": [
            {"type": broken.code, "loc": ["body", broken.param], "msg": message}]},
            "type": "invalid_request_error", "param": None, "code": None}

    def chat(self, body, entry):
        """Ids of calls are nine letters and digits, in the calls and their results."""
        for index, message in enumerate(body["messages"]):
            rules.expect(message.get("role") != "developer", "Input tag 'developer' found using "
                         "'role' does not match any of the expected tags: 'assistant', 'system', "
                         "'tool', 'user'", "messages[%d].role" % index, "union_tag_invalid")
            ids = [call.get("id") for call in message.get("tool_calls") or []]
            for name in ids + [message.get("tool_call_id")]:
                rules.expect(name is None or re.fullmatch("[A-Za-z0-9]{9}", name),
                             "Tool call id was %s but must be a-z, A-Z, 0-9, with a length of 9."
                             % name, "messages[%d]" % index, "invalid_function_call")
        return super().chat(body, entry)

    def handle(self, request, entry):
        if not request.path.endswith("/embeddings"):
            return super().handle(request, entry)
        body = parse_object(request.body)
        entry.model = body.get("model")
        rules.check_members(body, EMBEDDING_RULES, ("model", "input"), "", unknown)
        self.check_model(body["model"])
        body["dimensions"] = body.pop("output_dimension", None) or 16
        return self.embeddings(body, entry)
