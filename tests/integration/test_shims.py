"""The paths that other services give the same APIs, served by providers of another API.

A client that was made for GLM, Azure, Groq, Google or Bedrock keeps its SDK and its paths;
what answers is a model of somebody else, asked for three turns with two calls each.
"""
import json

import pytest

from tests.integration import grammar
from tests.integration.talks import (GO, SCHEMA, nothing_lost, openai,
                                     talk_chat)

BEDROCK = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ELSEWHERE = ["claude-haiku-4-5", "gemini-2.5-flash", BEDROCK, "cohere/command-a-03-2025"]
PREFIXES = {"glm": "/api/paas/v4", "v1": "/openai/v1", "azure": None}


@pytest.fixture
def shim(gateway, key, request):
    prefix = PREFIXES[request.param]
    if prefix:
        client = openai.OpenAI(base_url=gateway.url + prefix, api_key=key, max_retries=0,
                               timeout=20)
    else:
        client = openai.AzureOpenAI(azure_endpoint=gateway.url, api_key=key, max_retries=0,
                                    timeout=20, api_version="2024-10-21")
    with client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ELSEWHERE)
@pytest.mark.parametrize("shim", PREFIXES, indirect=True)
def test_chat(shim, model, stream):
    assert nothing_lost(talk_chat(shim, model, stream))


@pytest.mark.parametrize("model", ELSEWHERE)
@pytest.mark.parametrize("shim", ["v1"], indirect=True)
def test_responses(shim, model):
    made = shim.responses.create(model=model, input="hello there", store=False)
    assert made.output_text == "You said: hello there \u2713"
    with shim.responses.stream(model=model, input="hello there", store=False) as events:
        assert events.until_done().get_final_response().output_text == made.output_text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("model", ["claude-haiku-4-5", "gpt-4o-mini", BEDROCK])
def test_google(gateway, key, model, version, stream):
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key=key, http_options={"base_url": gateway.url,
                                                     "api_version": version})
    tools = [{"function_declarations": [{"name": "read_file", "description": "reads",
                                         "parameters_json_schema": SCHEMA}]}]
    contents, config = [{"role": "user", "parts": [{"text": GO}]}], {"tools": tools}
    for _ in range(6):
        if stream:
            parts = [part for chunk in client.models.generate_content_stream(
                model=model, contents=contents, config=config)
                for part in chunk.candidates[0].content.parts or []]
        else:
            parts = client.models.generate_content(
                model=model, contents=contents, config=config).candidates[0].content.parts
        calls = [part.function_call for part in parts if part.function_call]
        if not calls:
            break
        contents.append({"role": "model", "parts": [
            part.model_dump(exclude_none=True) for part in parts]})
        contents.append({"role": "user", "parts": [{"function_response": {
            "id": call.id, "name": call.name,
            "response": {"output": "%s-%d" % (call.args["location"], number)}}}
            for number, call in enumerate(calls)]})
    assert nothing_lost("".join(part.text or "" for part in parts))


@pytest.mark.parametrize("prefix", ["/api/paas/v4", "/openai/v1",
                                    "/openai/deployments/claude-haiku-4-5"])
def test_errors_are_those_of_the_api(gateway, key, prefix):
    """The envelope is that of the path that was called, also where nobody knows the path."""
    body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hi"}], "n": 3}
    answer = gateway.request("POST", prefix + "/chat/completions", body, key=key)
    assert answer.status == 400 and answer.json()["error"]["param"] == "n"
    answer = gateway.request("POST", prefix + "/chat/completions", body, key="wrong")
    assert answer.status == 401 and set(answer.json()["error"]) >= {"message", "type", "code"}
