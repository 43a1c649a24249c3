"""Each failure of each kind of provider, as the exception that each official SDK has for it."""
import json
import pathlib
import subprocess

import pytest

openai = pytest.importorskip("openai", reason="Python package openai is not installed")
anthropic = pytest.importorskip("anthropic", reason="Python package anthropic is not installed")
genai = pytest.importorskip("google.genai", reason="Python package google-genai is not installed")
pytest.importorskip("boto3", reason="Python package boto3 is not installed")

from tests.integration.talks import chat, claude  # noqa: E402, F401
from tests.integration.test_sdk_bedrock import client_through  # noqa: E402
from tests.integration.test_sdk_node import MODULES, NODE, pytestmark as needs_node  # noqa: E402

PROVIDERS = ["openai", "anthropic", "gemini", "bedrock", "cohere"]
CALLERS = ["chat", "responses", "messages", "gemini", "converse"]
# What the emulator does, and the statuses that may stand for it: a provider of the caller's
# own API is quoted, any other told in the words of the caller's API. The gateway's own
# credential is no matter of the caller.
FAULTS = {"fault-401": {502}, "fault-402": {502}, "fault-403": {502}, "fault-429ra": {429},
          "fault-408": {408, 504}, "fault-context": {400}, "fault-500": {500, 502}, "fault-503": {503, 529}, "fault-529": {503, 529},
          "no-such-model": {404}}
OPENAI = {400: "BadRequestError", 404: "NotFoundError", 408: "APIStatusError",
          429: "RateLimitError", None: "InternalServerError"}
NAMES = {
    "chat": OPENAI, "responses": OPENAI,
    "messages": {**OPENAI, 408: "RequestTimeoutError", 503: "ServiceUnavailableError",
                 504: "GatewayTimeoutError", 529: "OverloadedError"},
    "gemini": {400: "ClientError", 404: "ClientError", 408: "ClientError", 429: "ClientError",
               None: "ServerError"},
    "converse": {400: "ValidationException", 404: "ResourceNotFoundException",
                 408: "ModelTimeoutException", 429: "ThrottlingException", 503: "ServiceUnavailableException",
                 504: "ModelTimeoutException", None: "InternalServerException"},
}
NODE_OPENAI = {**OPENAI, 408: "APIError"}
NODE_NAMES = {"chat": NODE_OPENAI, "responses": NODE_OPENAI, "messages": NAMES["messages"],
              "gemini": {None: "ApiError"}}
SCRIPT = pathlib.Path(__file__).parent / "node" / "errors.mjs"


@pytest.fixture
def callers(gateway, key, chat, claude):  # noqa: F811
    hello = [{"role": "user", "content": "hi"}]
    google = genai.Client(api_key=key, http_options=genai.types.HttpOptions(
        base_url=gateway.url, timeout=20000,
        retry_options=genai.types.HttpRetryOptions(attempts=1)))
    aws = client_through(gateway, key)
    yield {
        "chat": lambda model: chat.chat.completions.create(model=model, messages=hello),
        "responses": lambda model: chat.responses.create(model=model, input="hi"),
        "messages": lambda model: claude.messages.create(model=model, max_tokens=9,
                                                         messages=hello),
        "gemini": lambda model: google.models.generate_content(model=model, contents="hi"),
        "converse": lambda model: aws.converse(modelId=model, messages=[
            {"role": "user", "content": [{"text": "hi"}]}]),
    }
    google.close()


def raised(caller, ask, model):
    """(status, name of the exception) as the SDK tells them."""
    with pytest.raises(Exception) as caught:
        ask(model)
    error = caught.value
    if caller == "converse":
        return error.response["ResponseMetadata"]["HTTPStatusCode"], type(error).__name__
    return getattr(error, "status_code", getattr(error, "code", None)), type(error).__name__


def may_be(provider, fault):
    """The statuses that the caller may be told."""
    # Its identifier is said to be invalid.
    return {400} if (provider, fault) == ("bedrock", "no-such-model") else FAULTS[fault]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_typed(callers, caller, provider):
    for fault in FAULTS:
        statuses = may_be(provider, fault)
        status, name = raised(caller, callers[caller], "%s/%s" % (provider, fault))
        names = NAMES[caller]
        assert (status in statuses, name) == (True, names.get(status, names[None])), (
            fault, status, name)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_too_long_has_the_code_that_clients_look_for(callers, provider):
    for caller in ("chat", "responses"):
        with pytest.raises(openai.BadRequestError) as caught:
            callers[caller](provider + "/fault-context")
        assert caught.value.code == "context_length_exceeded", (caller, caught.value.body)


@needs_node
@pytest.mark.parametrize("provider", PROVIDERS)
def test_typed_in_node(gateway, key, provider):
    models = ["%s/%s" % (provider, fault) for fault in FAULTS]
    done = subprocess.run([NODE, str(SCRIPT), json.dumps({"url": gateway.url, "key": key,
                                                          "models": models})],
                          cwd=MODULES, capture_output=True, text=True, timeout=400)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(told) == len(models) * len(NODE_NAMES), done.stderr[-3000:]
    for one in told:
        caller, fault = one["name"].split(" ")[0], one["name"].partition("/")[2]
        names = NODE_NAMES[caller]
        assert (one.get("status") in may_be(provider, fault), one["error"]) == (
            True, names.get(one.get("status"), names[None])), one
        if fault == "fault-context" and caller in ("chat", "responses"):
            assert one["code"] == "context_length_exceeded", one
