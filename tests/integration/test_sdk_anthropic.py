"""The official anthropic package, against the emulator and through the gateway."""
import asyncio

import pytest

anthropic = pytest.importorskip("anthropic", reason="Python package anthropic is not installed")

HELLO = [{"role": "user", "content": "hello there"}]
ASK = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": HELLO}
WEATHER = {"name": "get_weather", "description": "weather",
           "input_schema": {"type": "object", "properties": {"location": {"type": "string"}}}}


@pytest.fixture
def client(target):
    with anthropic.Anthropic(base_url=target.url("anthropic"), api_key=target.key("anthropic"),
                             max_retries=0, timeout=20) as client:
        yield client


def test_messages(client, fleet):
    answer = client.messages.create(**ASK)
    assert answer.content[0].text == "You said: hello there \u2713"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == fleet.journal.last().usage["output_tokens"]


def test_messages_stream(client):
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "You said: hello there \u2713" == final.content[0].text
    assert final.stop_reason == "end_turn"


def test_stream_events(client):
    kinds = [event.type for event in client.messages.create(stream=True, **ASK)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"


def test_thinking_and_tools(client):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    ask = dict(ASK, max_tokens=4000, tools=[WEATHER])
    with client.messages.stream(thinking=thinking, **ask) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use"]
    assert final.content[0].signature
    call = final.content[2]
    assert call.input == {"location": "Paris", "count": 9007199254740993}
    turns = HELLO + [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True)
                                          for block in final.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                      "content": "sunny"}]}]
    answer = client.messages.create(**dict(ask, messages=turns))
    assert answer.stop_reason == "end_turn"


def test_cache_usage(client):
    turns = [{"role": "user", "content": "hi @in=7 @cached=500 @write=100 @out=9"}]
    usage = client.messages.create(**dict(ASK, messages=turns)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens,
            usage.cache_creation_input_tokens, usage.output_tokens) == (7, 500, 100, 9)


def test_count_tokens(client):
    assert client.messages.count_tokens(model="claude-haiku-4-5",
                                        messages=HELLO).input_tokens == 5


def test_models(client, target):
    if target.name == "emulator":
        pytest.skip("the gateway answers this itself")
    page = client.models.list()
    assert "claude-haiku-4-5" in [model.id for model in page.data]
    assert page.data[0].type == "model"


def test_not_found(client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(**dict(ASK, model="no-such-model"))
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_wrong_key(target):
    client = anthropic.Anthropic(base_url=target.url("anthropic"), api_key="sk-wrong",
                                 max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(**ASK)
    assert caught.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("change", [
    {"messages": []}, {"extra_body": {"no_such_member": 1}}, {"tool_choice": {"type": "auto"}},
    {"messages": [{"role": "robot", "content": "x"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
    {"messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "orphan"}]}]},
    {"messages": HELLO + [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
        {"role": "user", "content": "no result"}]},
    {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    {"extra_body": {"max_tokens": "many"}}, {"extra_headers": {"anthropic-version": "1999-01-01"}},
], ids=range(10))
def test_bad_request(client, change):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**dict(ASK, **change))
    assert caught.value.body["error"]["type"] == "invalid_request_error"


def test_overloaded(client, fleet):
    fleet.providers["anthropic"].plan.add("529")
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**ASK)
    assert caught.value.status_code in (529, 503)
    assert caught.value.body["error"]["type"] == "overloaded_error"


def test_error_inside_a_stream(client, fleet):
    fleet.providers["anthropic"].plan.add("errorevent")
    with pytest.raises(anthropic.APIStatusError):
        with client.messages.stream(**ASK) as stream:
            stream.get_final_message()


def test_async(target):
    async def ask():
        async with anthropic.AsyncAnthropic(base_url=target.url("anthropic"), max_retries=0,
                                            api_key=target.key("anthropic")) as client:
            async with client.messages.stream(**ASK) as stream:
                return await stream.get_final_text()
    assert asyncio.run(ask()) == "You said: hello there \u2713"


def test_versions_and_betas_pass(client, fleet):
    client.messages.create(extra_headers={"anthropic-beta": "context-1m-2025-08-07,future-2030"},
                           extra_query={"beta": "true"}, **ASK)
    entry = fleet.journal.last()
    assert entry.header("anthropic-beta") == "context-1m-2025-08-07,future-2030"
    assert entry.header("anthropic-version")
    assert entry.target == "/v1/messages?beta=true"
