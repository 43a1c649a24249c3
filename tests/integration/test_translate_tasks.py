"""Embeddings by OpenAI, Gemini, Cohere and Mistral for callers of the first two; token counts
for callers of Anthropic, Gemini and OpenAI, by these three or, for others, by the gateway."""
import base64
import json
import struct
import subprocess

import pytest

openai = pytest.importorskip("openai", reason="Python package openai is not installed")
anthropic = pytest.importorskip("anthropic", reason="Python package anthropic is not installed")
pytest.importorskip("google.genai", reason="Python package google-genai is not installed")
from google import genai  # noqa: E402
from google.genai import types  # noqa: E402

from tests.integration import openapi  # noqa: E402
from tests.upstream.openai_api import vector  # noqa: E402


EMBEDDERS = {"gemini-embedding-001": "gemini", "text-embedding-3-small": "openai",
             "embed-v4.0": "cohere", "mistral-embed": "mistral"}
MADE_ELSEWHERE = [name for name in EMBEDDERS if not name.startswith("text-")]


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": "\n".join(
        "  - name: %s\n    deployments: [{provider: %s, model: %s}]" % (name, provider, name)
        for name, provider in EMBEDDERS.items())}


@pytest.fixture
def client(gateway, key):
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0,
                       timeout=20) as client:
        yield client


@pytest.fixture
def google(gateway, key):
    with genai.Client(api_key=key, http_options=types.HttpOptions(
            base_url=gateway.url, timeout=20000,
            retry_options=types.HttpRetryOptions(attempts=1))) as client:
        yield client


@pytest.mark.parametrize("model", MADE_ELSEWHERE)
@pytest.mark.parametrize("form", ["float", "base64", None])
def test_openai_embeds_elsewhere(client, gateway, key, form, model):
    more = {} if form is None else {"encoding_format": form}
    answer = client.embeddings.create(model=model, input=["b", "a c"], dimensions=256, **more)
    for index, text in enumerate(("b", "a c")):
        got = answer.data[index].embedding
        if isinstance(got, str):
            got = list(struct.unpack("<256f", base64.b64decode(got)))
        assert answer.data[index].index == index and got == vector(text, 256)
    body = gateway.request("POST", "/v1/embeddings", {"model": model, "input": "x"}, key=key).json()
    openapi.judge_reply("embeddings", body)


@pytest.mark.parametrize("model, sent, warning", [
    ("embed-v4.0", {"input_type": "search_query", "embedding_types": ["float"]}, None),
    ("mistral-embed", {"encoding_format": "float"}, "parameter_dropped;/input_type"),
])
def test_what_they_are_for(gateway, key, fleet, model, sent, warning):
    answer = gateway.request("POST", "/v1/embeddings", {
        "model": model, "input": "x", "input_type": "search_query"}, key=key)
    assert answer.status == 200, answer.body
    assert answer.headers.get("x-gateway-translation-warnings") == warning
    body = json.loads(fleet.journal.last().body)
    assert {name: body[name] for name in body if name not in ("model", "input", "texts")} == sent


def test_members_of_mistral_pass(gateway, key, fleet):
    ask = {"model": "mistral-embed", "input": "x", "output_dimension": 8, "output_dtype": "int8"}
    assert gateway.request("POST", "/v1/embeddings", ask, key=key).status == 200
    assert json.loads(fleet.journal.last().body) == dict(ask, input=["x"], encoding_format="float")
    answer = gateway.request("POST", "/v1/embeddings", dict(ask, truncation=True), key=key)
    assert answer.status == 400 and "truncation" in answer.json()["error"]["message"]


def test_more_texts_than_cohere_takes(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="embed-v4.0", input=["x"] * 97)
    assert caught.value.param == "input[96]"


@pytest.mark.parametrize("given", [[1, 2], [[1, 2], [3]]])
def test_token_numbers_are_refused(client, given):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="gemini-embedding-001", input=given)
    assert caught.value.param == "input" and "Send text" in str(caught.value)


@pytest.mark.parametrize("model", [name for name in EMBEDDERS if EMBEDDERS[name] != "gemini"])
def test_google_embeds_elsewhere(google, model):
    answer = google.models.embed_content(
        model=model, contents=["b", "a c"],
        config=types.EmbedContentConfig(output_dimensionality=256, task_type="CLUSTERING"))
    assert [e.values for e in answer.embeddings] == [vector("b", 256), vector("a c", 256)]


def test_google_embeds_one(gateway, key):
    one = gateway.request("POST", "/v1beta/models/text-embedding-3-small:embedContent", {
        "content": {"parts": [{"text": "b"}]}, "taskType": "RETRIEVAL_QUERY"}, key=None,
        headers={"x-goog-api-key": key})
    assert one.json() == {"embedding": {"values": vector("b", 16)}}
    assert one.headers["x-gateway-translation-warnings"] == "parameter_dropped;/taskType"


COUNTERS = {"claude-haiku-4-5": 6, "gemini-2.5-flash": 6, "gpt-4o-mini": 6}
THREE = [{"role": "user", "content": "one two three"}]


def count_tokens(gateway, key, model, **more):
    return gateway.request("POST", "/v1/messages/count_tokens",
                           dict({"model": model, "messages": THREE}, **more), key=None,
                           headers={"x-api-key": key, "anthropic-version": "2023-06-01"})


def test_anthropic_counts_with_gemini(gateway, key, fleet):
    with anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0,
                             timeout=20) as client:
        answer = client.messages.count_tokens(
            model="gemini-2.5-flash", messages=THREE,
            system="be kind", tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert answer.input_tokens == 6
    sent = json.loads(fleet.journal.last().body)["generateContentRequest"]
    assert sent["model"] == "models/gemini-2.5-flash" and sent["tools"]


def test_anthropic_counts_with_openai(gateway, key, fleet):
    """OpenAI's own counting endpoint is asked; the emulator refuses what it does not take."""
    with anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0,
                             timeout=20) as client:
        answer = client.messages.count_tokens(
            model="gpt-4o-mini", messages=THREE, system="be kind",
            tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert answer.input_tokens == 8   # with the instructions, which are an item there
    last = fleet.journal.last()
    sent = json.loads(last.body)
    assert last.target == "/v1/responses/input_tokens" and "be kind" in str(sent["input"])
    assert sent["tools"][0]["name"] == "f" and not {"store", "max_output_tokens"} & set(sent)


@pytest.mark.parametrize("model", COUNTERS)
def test_a_count_is_free(gateway, key, model):
    """It is an answer, and not a usage of the model."""
    answer = count_tokens(gateway, key, model)
    assert answer.status == 200 and float(answer.headers["x-gateway-cost-usd"]) == 0


def test_google_counts_with_anthropic(google, fleet):
    answer = google.models.count_tokens(model="claude-haiku-4-5", contents="one two three")
    assert answer.total_tokens == 6
    assert "max_tokens" not in json.loads(fleet.journal.last().body)


@pytest.mark.parametrize("model", COUNTERS)
def test_openai_counts_everywhere(client, gateway, key, model):
    answer = client.responses.input_tokens.count(model=model, input="one two three")
    assert answer.object == "response.input_tokens" and answer.input_tokens == COUNTERS[model]
    openapi.judge_reply("input_tokens", gateway.request(
        "POST", "/v1/responses/input_tokens", {"model": model, "input": THREE}, key=key).json())


def own_method(binary):
    """Exact where the build has vocabularies."""
    told = subprocess.run([binary, "tokens", "--model", "gpt-4o"], input=b"hello", timeout=60,
                          capture_output=True, check=True).stdout.decode()
    return "exact" if "exact" in told else "calibrated"


COUNTED_HERE = {"mistral/mistral-large": "count_calibrated",
                "bedrock/amazon.nova-lite-v1:0": "count_calibrated",
                "cohere/command-a": "count_calibrated", "azure/gpt-4o": None}


@pytest.mark.parametrize("model, method", COUNTED_HERE.items())
def test_counted_by_the_gateway(gateway, key, fleet, binary, model, method):
    """Nobody is asked, and the answer says how it was counted; strictly only exact ones."""
    if method is None:
        method = "count_%s" % own_method(binary)
    answers = [
        count_tokens(gateway, key, model),
        gateway.request("POST", "/v1/responses/input_tokens",
                        {"model": model, "input": THREE}, key=key),
        gateway.request("POST", "/v1beta/models/%s:countTokens" % model.replace("/", "%2F"),
                        {"contents": [{"parts": [{"text": "one two three"}]}]}, key=None,
                        headers={"x-goog-api-key": key}),
    ]
    for answer, member in zip(answers, ("input_tokens", "input_tokens", "totalTokens")):
        assert answer.status == 200, answer.body
        assert answer.headers["x-gateway-translation-warnings"] == method
        assert 3 <= answer.json()[member] <= 30
        assert float(answer.headers["x-gateway-cost-usd"]) == 0
    assert not fleet.journal.entries()
    strict = gateway.request("POST", "/v1/messages/count_tokens",
                             {"model": model, "messages": THREE}, key=key,
                             headers={"x-gateway-strict": "1"})
    assert strict.status == (200 if method == "count_exact" else 400)
    if strict.status == 400:
        assert strict.json()["type"] == "error" and method in strict.json()["error"]["message"]


def test_a_developer_at_a_vendor_without_developers(gateway, key, fleet):
    """One role is written otherwise, and every other byte as it was."""
    for provider, renamed in (("mistral/mistral-large", True), ("openai/gpt-4o-mini", False)):
        asked = (b'{"messages":[ {"role" : "developer","content":"be kind"},{"role":"user",'
                 b'"content":"\\"developer\\" \\u00e9"}], "model":"%s"}' % provider.encode())
        answer = gateway.request("POST", "/v1/chat/completions", asked, key=key)
        assert answer.status == 200, answer.body
        name = provider.partition("/")[2].encode()
        expected = asked.replace(provider.encode(), name)
        if renamed:
            expected = expected.replace(b' : "developer"', b' : "system"   ')
        assert fleet.journal.last().body == expected
        assert answer.headers.get("x-gateway-translation-warnings") == (
            "role_changed;/messages/0/role" if renamed else None)


def test_longer_requests_count_more(gateway, key):
    short = count_tokens(gateway, key, "mistral/mistral-large").json()["input_tokens"]
    long = count_tokens(gateway, key, "mistral/mistral-large", system="w " * 400,
                        tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert long.json()["input_tokens"] > short + 200


def test_a_provider_that_has_no_such_path(gateway, key, fleet):
    """Servers that copy OpenAI's API mostly leave it out: their 404 is no answer. That of a
    model that is not there is one."""
    answer = count_tokens(gateway, key, "openai/lax-model")
    assert answer.status == 200 and answer.json()["input_tokens"] >= 3
    assert answer.headers["x-gateway-translation-warnings"] == "count_calibrated"
    assert [entry.status for entry in fleet.journal.entries()] == [404]
    missing = count_tokens(gateway, key, "openai/nobody")
    assert missing.status == 404, missing.body
    assert missing.json()["error"]["type"] == "not_found_error"
