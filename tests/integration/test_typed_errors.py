"""Each failure of each kind of provider, as the exception that each official SDK has for it."""
import pytest

openai = pytest.importorskip("openai", reason="Python package openai is not installed")
anthropic = pytest.importorskip("anthropic", reason="Python package anthropic is not installed")
genai = pytest.importorskip("google.genai", reason="Python package google-genai is not installed")
pytest.importorskip("boto3", reason="Python package boto3 is not installed")

from tests.integration.talks import chat, claude  # noqa: E402, F401
from tests.integration.test_sdk_bedrock import client_through  # noqa: E402

PROVIDERS = ["openai", "anthropic", "gemini", "bedrock", "cohere"]
CALLERS = ["chat", "responses", "messages", "gemini", "converse"]
# What the emulator does, and the statuses that may stand for it: a provider of the caller's
# own API is quoted, any other told in the words of the caller's API. The gateway's own
# credential is no matter of the caller.
FAULTS = {"fault-401": {502}, "fault-402": {502}, "fault-403": {502}, "fault-429ra": {429},
          "fault-500": {500, 502}, "fault-503": {503, 529}, "fault-529": {503, 529},
          "no-such-model": {404}}
OPENAI = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError",
          None: "InternalServerError"}
NAMES = {
    "chat": OPENAI, "responses": OPENAI,
    "messages": {**OPENAI, 503: "ServiceUnavailableError", 529: "OverloadedError"},
    "gemini": {400: "ClientError", 404: "ClientError", 429: "ClientError", None: "ServerError"},
    "converse": {400: "ValidationException", 404: "ResourceNotFoundException",
                 429: "ThrottlingException", 503: "ServiceUnavailableException",
                 None: "InternalServerException"},
}


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


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_typed(callers, caller, provider):
    for fault, statuses in FAULTS.items():
        if provider == "bedrock" and fault == "no-such-model":
            statuses = {400}    # its identifier is said to be invalid
        status, name = raised(caller, callers[caller], "%s/%s" % (provider, fault))
        names = NAMES[caller]
        assert (status in statuses, name) == (True, names.get(status, names[None])), (
            fault, status, name)
