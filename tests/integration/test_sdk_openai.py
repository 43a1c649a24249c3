"""The official openai package, against the emulator and through the gateway."""
import asyncio
import base64
import json

import pytest

openai = pytest.importorskip("openai", reason="Python package openai is not installed")

HELLO = [{"role": "user", "content": "hello there"}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "weather",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}}}}


@pytest.fixture
def client(target):
    with openai.OpenAI(base_url=target.url("openai"), api_key=target.key("openai"),
                       max_retries=0, timeout=20) as client:
        yield client


def test_chat(client, fleet):
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello there \u2713"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == "gpt-4o-mini"
    assert fleet.journal.last().usage["prompt_tokens"] == answer.usage.prompt_tokens


def test_chat_stream(client):
    text, finish, usage = "", [], []
    with client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True) as parts:
        for part in parts:
            usage.append(part.usage)
            for choice in part.choices:
                text += choice.delta.content or ""
                finish += [choice.finish_reason] if choice.finish_reason else []
    assert text == "You said: hello there \u2713"
    assert finish == ["stop"]
    assert not any(usage), "usage came although nobody asked for it"


def test_chat_stream_with_usage(client, fleet):
    last = None
    for part in client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=True,
            stream_options={"include_usage": True}):
        last = part
    assert last.choices == []
    assert last.usage.completion_tokens == fleet.journal.last().usage["completion_tokens"]


def test_chat_stream_helper(client):
    with client.chat.completions.stream(model="gpt-4o-mini", messages=HELLO) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "You said: hello there \u2713"


def test_chat_n(client):
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, n=3)
    assert [c.index for c in answer.choices] == [0, 1, 2]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tool_loop(client, stream):
    messages = [{"role": "user", "content": "weather in Paris?"}]
    if stream:
        with client.chat.completions.stream(model="gpt-4o-mini", messages=messages,
                                            tools=[WEATHER]) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model="gpt-4o-mini", messages=messages,
                                                 tools=[WEATHER]).choices[0].message
    call = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["count"] == 9007199254740993
    messages += [{"role": "assistant", "tool_calls": [{
        "id": call.id, "type": "function",
        "function": {"name": call.function.name, "arguments": call.function.arguments}}]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_completions(client, stream):
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="once upon",
                                       stream=stream)
    parts = list(answer) if stream else [answer]
    assert "".join(p.choices[0].text for p in parts if p.choices) == "You said: once upon \u2713"


def test_responses(client):
    answer = client.responses.create(model="gpt-4o-mini", input="hello there")
    assert answer.output_text == "You said: hello there \u2713"
    assert answer.status == "completed"
    assert answer.usage.total_tokens > 0


def test_responses_stream(client):
    events = list(client.responses.create(model="gpt-4o-mini", input="hello there", stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert events[-1].response.output_text == "You said: hello there \u2713"


def test_responses_stream_helper_and_tools(client):
    tool = dict(WEATHER["function"], type="function")
    with client.responses.stream(model="gpt-4o-mini", input="weather?", tools=[tool]) as stream:
        final = stream.get_final_response()
    call = final.output[0]
    assert call.type == "function_call" and json.loads(call.arguments)["location"] == "Paris"
    answer = client.responses.create(model="gpt-4o-mini", tools=[tool], input=[
        {"role": "user", "content": "weather?"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name,
         "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])
    assert answer.output_text


def test_embeddings(client, fleet):
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a b", "c"],
                                      dimensions=8)
    sent = fleet.journal.last().json()
    assert sent["encoding_format"] == "base64", "the SDK asks for base64 and decodes it"
    assert len(answer.data) == 2 and len(answer.data[0].embedding) == 8
    plain = client.embeddings.create(model="text-embedding-3-small", input=["a b", "c"],
                                     dimensions=8, encoding_format="float")
    assert [d.embedding for d in answer.data] == [d.embedding for d in plain.data]
    raw = client.embeddings.create(model="text-embedding-3-small", input="a b", dimensions=8,
                                   encoding_format="base64")
    assert len(base64.b64decode(raw.data[0].embedding)) == 32
    assert answer.usage.prompt_tokens == 3


def test_moderations(client):
    answer = client.moderations.create(model="omni-moderation-latest", input=["peace", "violence"])
    assert [r.flagged for r in answer.results] == [False, True]
    assert client.moderations.create(input="violence").results[0].flagged


def test_images(client):
    answer = client.images.generate(model="gpt-image-1", prompt="a pixel")
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")


def test_speech(client):
    answer = client.audio.speech.create(model="tts-1", voice="alloy", input="say this")
    assert answer.content == bytes(range(256)) * 64


@pytest.mark.parametrize("form", ["json", "text"])
def test_transcription(client, form, fleet):
    sound = bytes(range(256)) * 40 + b"\r\n--not-the-boundary\r\n"
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", sound, "audio/wav"), response_format=form)
    text = answer if form == "text" else answer.text
    assert text.strip() == "heard %d bytes" % len(sound)
    assert sound in fleet.journal.last().body


def test_models(client, target):
    ids = [model.id for model in client.models.list()]
    assert "gpt-4o-mini" in ids
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


def test_raw_response_headers(client, target):
    answer = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.headers.get("x-request-id")
    assert answer.parse().choices


def test_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert caught.value.request_id


def test_wrong_key(target):
    client = openai.OpenAI(base_url=target.url("openai"), api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert "sk-wrong" not in str(caught.value)


@pytest.mark.parametrize("change", [
    {"messages": []}, {"temperature": 5}, {"messages": [{"role": "robot", "content": "x"}]},
    {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]},
    {"stream_options": {"include_usage": True}}, {"extra_body": {"no_such_member": 1}},
    {"tool_choice": "auto"}, {"n": 0}, {"stop": ["a", "b", "c", "d", "e"]},
], ids=lambda change: next(iter(change)))
def test_bad_request(client, change):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**dict({"model": "gpt-4o-mini", "messages": HELLO},
                                              **change))
    assert caught.value.body["type"] == "invalid_request_error"


def test_rate_limit_of_the_provider(client, fleet):
    fleet.providers["openai"].plan.add("429ra")
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "7"


def test_error_inside_a_stream(client, fleet):
    fleet.providers["openai"].plan.add("errorevent")
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))


def test_async(target):
    async def ask():
        async with openai.AsyncOpenAI(base_url=target.url("openai"), max_retries=0,
                                      api_key=target.key("openai")) as client:
            async def one(number):
                text = ""
                async for part in await client.chat.completions.create(
                        model="gpt-4o-mini", stream=True,
                        messages=[{"role": "user", "content": "number %d" % number}]):
                    text += part.choices[0].delta.content or "" if part.choices else ""
                return text
            return await asyncio.gather(*(one(n) for n in range(12)))
    assert asyncio.run(ask()) == ["You said: number %d \u2713" % n for n in range(12)]


def test_azure_client(target):
    client = openai.AzureOpenAI(azure_endpoint=target.url("azure"), api_key=target.key("azure"),
                                api_version="2024-10-21", max_retries=0)
    if target.name == "gateway":
        pytest.skip("deployment paths as an ingress are not part of the core")
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content.startswith("You said")


def test_azure_provider(target, client, fleet):
    if target.name != "gateway":
        pytest.skip("only the gateway chooses providers")
    answer = client.chat.completions.create(model="azure-mini", messages=HELLO)
    assert answer.choices[0].message.content.startswith("You said")
    entry = fleet.journal.last()
    assert entry.target == "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21"
    assert entry.header("api-key") == fleet.key("azure")
