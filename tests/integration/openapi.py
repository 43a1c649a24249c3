"""OpenAI's own OpenAPI document as a judge of OpenAI-shaped replies and requests.

The document is not part of this tree. SLUICE_OPENAPI names a copy of the
published openapi.json (plain or .xz); without it, or without the package
jsonschema, a judge says nothing and its own tests are skipped by name.
"""
import functools
import json
import lzma
import os
import pathlib

from tests.integration.grammar.common import Wrong, frames_of, parse

try:
    import jsonschema
except ImportError:
    jsonschema = None

WHOLE = {"chat": "CreateChatCompletionResponse", "responses": "Response",
         "embeddings": "CreateEmbeddingResponse", "input_tokens": "TokenCountsResource", "error": "ErrorResponse",
         "completions": "CreateCompletionResponse"}
REQUESTS = {"chat": "CreateChatCompletionRequest", "responses": "CreateResponse",
            "embeddings": "CreateEmbeddingRequest"}


def absent():
    """Why there is no judge, or None."""
    path = os.environ.get("SLUICE_OPENAPI")
    if not path:
        return "SLUICE_OPENAPI does not name OpenAI's OpenAPI document"
    if not pathlib.Path(path).exists():
        return "SLUICE_OPENAPI: %s does not exist" % path
    return None if jsonschema else "Python package jsonschema is not installed"


def nullable(value):
    """3.0's `nullable`, which the document still uses, as JSON Schema says it."""
    if isinstance(value, list):
        return [nullable(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    fresh = {name: nullable(inner) for name, inner in value.items()}
    if fresh.get("nullable") is True:
        del fresh["nullable"]
        return {"anyOf": [fresh, {"type": "null"}]}
    return fresh


@functools.lru_cache(maxsize=None)
def document():
    path = os.environ["SLUICE_OPENAPI"]
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as file:
        schemas = json.load(file)["components"]["schemas"]
    return {name: nullable(schema) for name, schema in schemas.items()}


@functools.lru_cache(maxsize=None)
def validator(name):
    return jsonschema.Draft202012Validator({
        "$ref": "#/components/schemas/" + name, "components": {"schemas": document()}})


@functools.lru_cache(maxsize=None)
def events():
    """{type: schema} of a Responses stream, so that an error names its event."""
    found = {}
    for option in document()["ResponseStreamEvent"]["anyOf"]:
        name = option["$ref"].rpartition("/")[2]
        kind = document()[name].get("properties", {}).get("type", {})
        for value in kind.get("enum") or [kind.get("const")]:
            found[value] = name
    return found


def deepest(error):
    """The cause, through unions: the branch that got farthest."""
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    return error


def check(name, value):
    error = next(validator(name).iter_errors(value), None)
    if error is not None:
        cause = deepest(error)
        raise Wrong("%s: /%s: %s" % (name, "/".join(map(str, cause.absolute_path)),
                                     cause.message[:300]))


def judge_reply(shape, value):
    if not absent() and shape in WHOLE:
        check(WHOLE[shape], value)


def judge_request(shape, value):
    if not absent() and shape in REQUESTS:
        check(REQUESTS[shape], value)


def judge_stream(shape, body):
    if absent() or shape not in ("chat", "responses"):
        return
    for event, data in frames_of(body):
        if data == "[DONE]":
            continue
        value = parse(data)
        if shape == "responses":
            if event not in events():
                raise Wrong("the document knows no event %s" % event)
            check(events()[event], value)
        else:
            check("ErrorResponse" if "error" in value else "CreateChatCompletionStreamResponse",
                  value)
