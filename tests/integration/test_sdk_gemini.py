"""The official google-genai package, against the emulator and through the gateway."""
import asyncio

import pytest

pytest.importorskip("google.genai", reason="Python package google-genai is not installed")
from google import genai  # noqa: E402
from google.genai import errors, types  # noqa: E402

MODEL = "gemini-2.5-flash"


def make(target, version, key=None):
    return genai.Client(api_key=key or target.key("gemini"), http_options=types.HttpOptions(
        base_url=target.url("gemini"), api_version=version, timeout=20000,
        retry_options=types.HttpRetryOptions(attempts=1)))


@pytest.fixture(params=["v1beta", "v1"])
def client(request, target):
    with make(target, request.param) as client:
        yield client


def test_generate(client, fleet):
    answer = client.models.generate_content(model=MODEL, contents="hello there")
    assert answer.text == "You said: hello there \u2713"
    assert answer.usage_metadata.total_token_count == fleet.journal.last().usage["totalTokenCount"]


def test_generate_stream(client):
    parts = list(client.models.generate_content_stream(model=MODEL, contents="hello there"))
    assert "".join(p.text for p in parts) == "You said: hello there \u2713"
    assert parts[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_provider_and_model(client, target):
    if target.name == "emulator":
        pytest.skip("only the gateway chooses providers")
    answer = client.models.generate_content(model="gemini/" + MODEL, contents="hello there")
    assert answer.text == "You said: hello there \u2713"


def test_tools(client):
    declaration = types.FunctionDeclaration(
        name="get_weather", description="weather",
        parameters_json_schema={"type": "object", "properties": {"location": {"type": "string"}}})
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True))
    answer = client.models.generate_content(model=MODEL, contents="weather?", config=config)
    call = answer.function_calls[0]
    assert call.name == "get_weather" and call.args == {"location": "Paris"}
    turns = [types.Content(role="user", parts=[types.Part(text="weather?")]),
             answer.candidates[0].content,
             types.Content(role="user", parts=[types.Part.from_function_response(
                 name=call.name, response={"output": "sunny"})])]
    assert client.models.generate_content(model=MODEL, contents=turns, config=config).text


def test_count_tokens(client):
    assert client.models.count_tokens(model=MODEL, contents="one two three").total_tokens == 6


def test_embed(client, fleet):
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b c"],
                                         config=types.EmbedContentConfig(output_dimensionality=8))
    assert [len(e.values) for e in answer.embeddings] == [8, 8]
    assert fleet.journal.last().target.endswith(":batchEmbedContents")


def test_not_found(client):
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="no-such-model", contents="x")
    assert caught.value.code == 404 and caught.value.status == "NOT_FOUND"


def test_wrong_key(target):
    with make(target, "v1beta", "wrong-key") as client:
        with pytest.raises(errors.ClientError) as caught:
            client.models.generate_content(model=MODEL, contents="x")
    expected = {"emulator": (400, "INVALID_ARGUMENT"), "gateway": (401, "UNAUTHENTICATED")}
    assert (caught.value.code, caught.value.status) == expected[target.name]


def test_bad_request(client):
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=MODEL, contents="x",
                                       config=types.GenerateContentConfig(temperature=9))
    assert caught.value.code == 400 and caught.value.status == "INVALID_ARGUMENT"


def test_error_inside_a_stream(client, fleet):
    fleet.providers["gemini"].plan.add("errorevent")
    with pytest.raises(errors.APIError):
        list(client.models.generate_content_stream(model=MODEL, contents="hello there"))


def test_async(target):
    async def ask():
        text = ""
        client = make(target, "v1beta")
        async for part in await client.aio.models.generate_content_stream(
                model=MODEL, contents="hello there"):
            text += part.text
        await client.aio.aclose()
        return text
    assert asyncio.run(ask()) == "You said: hello there \u2713"
