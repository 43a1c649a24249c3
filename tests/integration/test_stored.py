"""previous_response_id in front of providers that keep nothing: the gateway does.

Official SDK, all kinds of providers; what is kept belongs to its key, survives a restart,
and ends with its time, its bytes or its owner's wish.
"""
import json
import sqlite3
import time

import pytest

from tests.integration.books import wait_for
from tests.integration.gateway import Gateway

openai = pytest.importorskip("openai", reason="Python package openai is not installed")

BEDROCK = "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"
MODELS = ["claude-haiku-4-5", "gemini-2.5-flash", "cohere/command-a-03-2025", BEDROCK]
SCHEMA = {"type": "object", "properties": {"location": {"type": "string"},
                                           "count": {"type": "integer"}}}
TOOLS = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False}
         for name in ("get_weather", "get_time")]


def client_of(gateway, key):
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0, timeout=30)


@pytest.fixture
def client(gateway, key):
    with client_of(gateway, key) as client:
        yield client


def ask(client, stream=False, **request):
    if not stream:
        return client.responses.create(**request)
    with client.responses.stream(**request) as events:
        return events.get_final_response()


def kept(gateway):
    store = sqlite3.connect("file:%s/sluice.db?mode=ro" % gateway.directory, uri=True)
    try:
        return [row[0] for row in store.execute("SELECT id FROM responses ORDER BY id")]
    finally:
        store.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
def test_a_tool_loop_that_sends_only_what_is_new(client, model, stream):
    """Three turns, two calls at once; each request has nothing but the results."""
    request, previous = {"input": "go @turns=3 @calls=2"}, None
    for turn in range(4):
        answer = ask(client, stream, model=model, tools=TOOLS, previous_response_id=previous
                     if previous else openai.NOT_GIVEN, **request)
        assert answer.store is True and answer.previous_response_id == previous
        previous = answer.id
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            break
        request = {"input": [{"type": "function_call_output", "call_id": call.call_id,
                              "output": "%s of %s" % (call.name,
                                                      json.loads(call.arguments)["location"])}
                             for call in calls]}
    for turn in range(3):
        assert "get_weather of place %d.0" % turn in answer.output_text
        assert "get_time of place %d.1" % turn in answer.output_text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_reasoning_goes_on_too(client, fleet, stream):
    first = ask(client, stream, model="claude-haiku-4-5", tools=TOOLS,
                input="go @turns=1 @calls=1", reasoning={"effort": "medium"})
    call = [item for item in first.output if item.type == "function_call"][0]
    ask(client, stream, model="claude-haiku-4-5", tools=TOOLS, previous_response_id=first.id,
        reasoning={"effort": "medium"},
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}])
    sent = json.loads(fleet.journal.last().body)["messages"]
    assert [block["type"] for block in sent[1]["content"]][0] == "thinking"
    assert sent[1]["content"][0]["signature"]


def test_the_next_turn_may_go_elsewhere(client, fleet):
    """From a kept answer to any provider, also to one that would keep its own."""
    first = client.responses.create(model="claude-haiku-4-5", input="My name is Ada.",
                                    instructions="Be brief.")
    for model in ("gemini-2.5-flash", "gpt-4o-mini", BEDROCK):
        client.responses.create(model=model, input="Who am I?", previous_response_id=first.id)
        sent = fleet.journal.last().body
        assert b"Ada" in sent and b"Who am I?" in sent, sent
        # Of the request that went on: instructions are not carried over.
        assert b"Be brief" not in sent and b"previous_response_id" not in sent


def test_what_is_kept_can_be_read_and_removed(client):
    answer = client.responses.create(model="claude-haiku-4-5", input=[
        {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "input_text", "text": "three"}]}])
    again = client.responses.retrieve(answer.id)
    assert again.model_dump() == answer.model_dump()
    listed = client.responses.input_items.list(answer.id, order="asc")
    assert [item.content[0].text for item in listed.data] == ["one", "two", "three"]
    assert len({item.id for item in listed.data}) == 3 and not listed.has_more
    newest = client.responses.input_items.list(answer.id, limit=2)
    assert [item.content[0].text for item in newest.data] == ["three", "two"]
    assert newest.has_more
    assert [item.content[0].text for item in client.responses.input_items.list(
        answer.id, after=newest.last_id).data] == ["one"]
    client.responses.delete(answer.id)
    for call in (client.responses.retrieve, client.responses.delete,
                 client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(answer.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="claude-haiku-4-5", input="x",
                                previous_response_id=answer.id)
    assert caught.value.code == "previous_response_not_found"
    assert caught.value.param == "previous_response_id"


def test_a_string_is_listed_as_a_message(client):
    answer = client.responses.create(model="claude-haiku-4-5", input="hello \u2713 \"there\"")
    item, = client.responses.input_items.list(answer.id).data
    assert (item.type, item.role, item.content[0].text) == ("message", "user",
                                                            "hello \u2713 \"there\"")


def test_it_belongs_to_its_key(gateway, client):
    answer = client.responses.create(model="claude-haiku-4-5", input="mine")
    with client_of(gateway, gateway.new_key(name="other")["key"]) as other:
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(answer.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.delete(answer.id)
        with pytest.raises(openai.BadRequestError):
            other.responses.create(model="claude-haiku-4-5", input="x",
                                   previous_response_id=answer.id)
    assert client.responses.retrieve(answer.id).id == answer.id
    assert gateway.request("GET", "/v1/responses/" + answer.id, key="wrong").status == 401


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_store_false_leaves_nothing(gateway, client, stream):
    answer = ask(client, stream, model="claude-haiku-4-5", input="x", store=False)
    assert answer.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    assert answer.id not in kept(gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_failed_is_not_kept(gateway, client, key, fleet, stream):
    before = kept(gateway)
    fleet.providers["anthropic"].plan.add("noterminal" if stream else "503")
    gateway.request("POST", "/v1/responses", {
        "model": "claude-haiku-4-5", "input": "hello", "stream": stream}, key=key)
    client.responses.create(model="claude-haiku-4-5", input="a later one", store=False)
    assert kept(gateway) == before


def test_a_providers_own_id_goes_to_it_only(gateway, key, fleet):
    """What OpenAI keeps is asked for there; nobody else can know it."""
    request = {"input": "x", "previous_response_id": "resp_0123456789abcdef"}
    gateway.request("POST", "/v1/responses", dict(request, model="gpt-4o-mini"), key=key)
    assert json.loads(fleet.journal.last().body)["previous_response_id"] == \
        request["previous_response_id"]
    for model in MODELS:
        refused = gateway.request("POST", "/v1/responses", dict(request, model=model), key=key)
        assert refused.status == 400, refused.body
        assert refused.json()["error"]["param"] == "previous_response_id"
    answer = gateway.request("GET", "/v1/responses/resp_0123456789abcdef", key=key)
    assert answer.status == 404 and "not found" in answer.json()["error"]["message"]
    refused = gateway.request("POST", "/v1/responses", {
        "model": MODELS[0], "input": "x", "conversation": "conv_1"}, key=key)
    assert refused.status == 400 and refused.json()["error"]["param"] == "conversation"


def test_paths_and_methods(gateway, key):
    for method, path, allow in (("PUT", "/v1/responses/resp_req_x", "GET, DELETE"),
                                ("DELETE", "/v1/responses/resp_req_x/input_items", "GET")):
        answer = gateway.request(method, path, key=key)
        assert (answer.status, answer.headers["allow"]) == (405, allow)
    for path in ("/v1/responses/resp_req_x", "/v1/responses/%2e%2e", "/v1/responses/" + "x" * 300,
                 "/v1/responses/resp_req_" + "x" * 300, "/openai/v1/responses/resp_req_x"):
        assert gateway.request("GET", path, key=key).status == 404, path
    assert gateway.request("GET", "/v1/responses/resp_req_x?stream=true", key=key).status == 400


@pytest.mark.exact
def test_a_budget_holds_for_the_whole_conversation(gateway, fleet):
    """The bound of a request counts what was kept, not only what was sent now."""
    key = gateway.new_key(total_budget_usd=5)["key"]
    time.sleep(0.002)   # what others asked for before began in another millisecond
    begin_ms = int(time.time() * 1000)
    with client_of(gateway, key) as client:
        first = client.responses.create(model="claude-haiku-4-5", input="word " * 3000,
                                        max_output_tokens=10)
        client.responses.create(model="claude-haiku-4-5", input="x", max_output_tokens=10,
                                previous_response_id=first.id)
    wait_for(lambda: len(held(gateway, begin_ms)) >= 2, what="two attempts")
    first_held, second_held = held(gateway, begin_ms)
    assert second_held > first_held > 15000 * 3000, (first_held, second_held)


def held(gateway, begin_ms):
    store = sqlite3.connect("file:%s/sluice.db?mode=ro" % gateway.directory, uri=True)
    try:
        return [row[0] for row in store.execute("SELECT held FROM money_attempts WHERE request !="
                                                " zeroblob(16) AND begin_wall_ms >= ?"
                                                " ORDER BY begin_wall_ms, id", [begin_ms])]
    finally:
        store.close()


def test_a_restart_a_short_time_and_little_room(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet, extra="responses: {bytes: 65536}")
    gateway.start()
    try:
        key = gateway.new_key(name="k")["key"]
        with client_of(gateway, key) as client:
            first = client.responses.create(model="claude-haiku-4-5", input="My name is Ada.")
        gateway.stop()
        gateway.start()
        with client_of(gateway, key) as client:
            client.responses.create(model="claude-haiku-4-5", input="Who am I?",
                                    previous_response_id=first.id)
            assert b"Ada" in fleet.journal.last().body
            # Each is a tenth of what all may take; removing comes with every 32nd.
            for _ in range(40):
                last = client.responses.create(model="claude-haiku-4-5", input="x" * 6000)
            assert client.responses.retrieve(last.id).id == last.id
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(first.id)
        assert len(kept(gateway)) < 30
    finally:
        gateway.stop()


def test_switched_off(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet, extra="responses: {keep_days: 0}")
    gateway.start()
    try:
        key = gateway.new_key(name="k")["key"]
        with client_of(gateway, key) as client:
            answer = client.responses.create(model="claude-haiku-4-5", input="x")
            assert answer.store is False
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(answer.id)
            with pytest.raises(openai.BadRequestError) as caught:
                client.responses.create(model="claude-haiku-4-5", input="x", store=True)
            assert caught.value.param == "store"
            with pytest.raises(openai.BadRequestError):
                client.responses.create(model="claude-haiku-4-5", input="x",
                                        previous_response_id=answer.id)
        assert kept(gateway) == []
    finally:
        gateway.stop()


def test_chat_says_that_nothing_is_kept(client):
    """Chat's store means the provider's log; lost elsewhere, and named."""
    answer = client.chat.completions.with_raw_response.create(
        model="claude-haiku-4-5", messages=[{"role": "user", "content": "x"}], store=True)
    assert "parameter_dropped;/store" in answer.headers["x-gateway-translation-warnings"]
