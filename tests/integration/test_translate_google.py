"""The official google-genai and openai (Responses) packages in front of providers
that speak another API: conversations, formats, pictures, typed errors."""
import json

import pytest

openai = pytest.importorskip("openai", reason="Python package openai is not installed")
pytest.importorskip("google.genai", reason="Python package google-genai is not installed")
from google import genai  # noqa: E402
from google.genai import errors, types  # noqa: E402

from tests.integration.dialog import SCHEMA  # noqa: E402
from tests.integration.test_translate_pairs import TOOLS, gateway_options, wanted  # noqa: E402,F401

MODELS = ["gpt-4o-mini", "gpt-5-mini", "claude-haiku-4-5", "gemini-2.5-flash",
          "gemini-3-pro-preview"]
PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
         "awAAAABJRU5ErkJggg==")


@pytest.fixture
def google(gateway, key):
    with genai.Client(api_key=key, http_options=types.HttpOptions(
            base_url=gateway.url, timeout=20000,
            retry_options=types.HttpRetryOptions(attempts=1))) as client:
        yield client


@pytest.fixture
def responses(gateway, key):
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0,
                       timeout=20) as client:
        yield client.responses


def result(name, given):
    assert int(given["count"]) >= 9007199254740992
    return "%s of %s" % (name, given["location"])


def config(**more):
    tools = types.Tool(function_declarations=[
        types.FunctionDeclaration(name=name, description="d", parameters_json_schema=SCHEMA)
        for name in TOOLS])
    return types.GenerateContentConfig(
        tools=[tools], automatic_function_calling=types.AutomaticFunctionCallingConfig(
            disable=True), **more)


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_google_talks(google, model, stream, thinking):
    asks = config(thinking_config=types.ThinkingConfig(
        include_thoughts=True, thinking_budget=2048)) if thinking else config()
    turns = [types.Content(role="user", parts=[types.Part(text="go @turns=3 @calls=2")])]
    for _ in range(5):
        if stream:
            chunks = list(google.models.generate_content_stream(model=model, contents=turns,
                                                                config=asks))
        else:
            chunks = [google.models.generate_content(model=model, contents=turns, config=asks)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
        calls = [part.function_call for part in parts if part.function_call]
        if not calls:
            break
        turns.append(types.Content(role="model", parts=parts))
        turns.append(types.Content(role="user", parts=[types.Part.from_function_response(
            name=call.name, response={"output": result(call.name, call.args)})
            for call in calls]))
    said = "".join(part.text for part in parts if part.text and not part.thought)
    assert not [text for text in wanted() if text not in said], said
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_responses_talk(responses, model, stream):
    tools = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False}
             for name in TOOLS]
    items = [{"role": "user", "content": "go @turns=3 @calls=2"}]
    for _ in range(5):
        ask = dict(model=model, input=items, tools=tools, store=False,
                   reasoning={"effort": "medium", "summary": "auto"} if model != "gpt-4o-mini"
                   else None, include=["reasoning.encrypted_content"])
        ask = {name: value for name, value in ask.items() if value is not None}
        if stream:
            with responses.stream(**ask) as events:
                for _ in events:
                    pass
                final = events.get_final_response()
        else:
            final = responses.create(**ask)
        assert final.status == "completed"
        calls = [item for item in final.output if item.type == "function_call"]
        if not calls:
            break
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"})
                  for item in final.output]
        items += [{"type": "function_call_output", "call_id": call.call_id,
                   "output": result(call.name, json.loads(call.arguments))} for call in calls]
    assert not [text for text in wanted() if text not in final.output_text]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
def test_google_structured_output(google, fleet, model):
    import pydantic

    class Answer(pydantic.BaseModel):
        city: str
        degrees: int | None

    google.models.generate_content(model=model, contents="hello", config=types.
                                   GenerateContentConfig(response_mime_type="application/json",
                                                         response_schema=Answer))
    sent = json.loads(fleet.journal.last().body)
    schema = (sent["response_format"]["json_schema"]["schema"] if "response_format" in sent
              else sent["output_config"]["format"]["schema"])
    assert schema["type"] == "object" and schema["properties"]["city"]["type"] == "string"


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5-mini", "claude-haiku-4-5"])
def test_google_picture(google, fleet, model):
    google.models.generate_content(model=model, contents=[
        types.Part(text="what is it?"),
        types.Part(inline_data=types.Blob(mime_type="image/png", data=__import__(
            "base64").b64decode(PIXEL)))])
    assert PIXEL in fleet.journal.last().body.decode()


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "gemini-2.5-flash"])
def test_responses_structured_output_and_picture(responses, fleet, model):
    responses.create(model=model, input=[{"role": "user", "content": [
        {"type": "input_text", "text": "what is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64," + PIXEL,
         "detail": "auto"}]}], text={"format": {
             "type": "json_schema", "name": "a", "schema": {
                 "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"],
                 "additionalProperties": False}}})
    sent = fleet.journal.last().body.decode()
    assert PIXEL in sent and '"required":["x"]' in sent


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
def test_google_typed_errors(google, fleet, model):
    with pytest.raises(errors.ClientError) as caught:
        google.models.generate_content(model=model, contents="x", config=types.
                                       GenerateContentConfig(tools=[types.Tool(
                                           google_search=types.GoogleSearch())]))
    assert caught.value.code == 400 and caught.value.status == "INVALID_ARGUMENT"
    assert "googleSearch" in str(caught.value)
    provider = "openai" if model.startswith("gpt") else "anthropic"
    fleet.providers[provider].plan.add("429ra")
    with pytest.raises(errors.ClientError) as caught:
        google.models.generate_content(model=model, contents="x")
    assert caught.value.code == 429 and caught.value.status == "RESOURCE_EXHAUSTED"
    fleet.providers[provider].plan.add("errorevent")
    with pytest.raises(errors.APIError):
        list(google.models.generate_content_stream(model=model, contents="hello there"))


@pytest.mark.parametrize("member,value", [
    ("previous_response_id", "resp_1"), ("background", True), ("conversation", "conv_1"),
    ("tools", [{"type": "web_search"}]), ("input", [{"type": "item_reference", "id": "msg_1"}])])
def test_responses_state_is_refused(responses, member, value):
    ask = dict({"model": "gemini-2.5-flash", "input": "x"}, **{member: value})
    with pytest.raises(openai.BadRequestError) as caught:
        responses.create(**ask)
    assert caught.value.param.startswith(member)


def test_gemini_array_framing(gateway, key):
    """Without alt=sse the stream is one JSON array, whoever serves it."""
    from tests.integration import grammar
    answer = gateway.request("POST", "/v1beta/models/claude-haiku-4-5:streamGenerateContent",
                             {"contents": [{"parts": [{"text": "hello there"}]}]}, key=None,
                             headers={"x-goog-api-key": key})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert grammar.check_stream("gemini", answer.body, array=True).text == (
        "You said: hello there \u2713")
