"""The official boto3 package: its signatures and event streams, against the emulator."""
import pytest

boto3 = pytest.importorskip("boto3", reason="Python package boto3 is not installed")

from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from tests.upstream import bedrock_api

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x"
HELLO = [{"role": "user", "content": [{"text": "hello there"}]}]
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "weather",
                                 "inputSchema": {"json": {"type": "object"}}}}]}


def client_for(url, secret):
    return boto3.client("bedrock-runtime", endpoint_url=url, region_name=bedrock_api.REGION,
                        aws_access_key_id=bedrock_api.ACCESS_KEY_ID, aws_secret_access_key=secret,
                        config=Config(retries={"max_attempts": 0}, proxies={}))


@pytest.fixture
def client(fleet):
    return client_for(fleet.url("bedrock"), fleet.key("bedrock"))


@pytest.mark.parametrize("model", [MODEL, PROFILE])
def test_converse(client, fleet, model):
    answer = client.converse(modelId=model, messages=HELLO)
    assert answer["output"]["message"]["content"] == [{"text": "You said: hello there \u2713"}]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == fleet.journal.last().usage


def test_stream_of_parallel_calls(client, fleet):
    events = list(client.converse_stream(modelId=MODEL, messages=HELLO,
                                         toolConfig=TOOLS)["stream"])
    starts = [e["contentBlockStart"]["start"] for e in events if "contentBlockStart" in e]
    assert [s["toolUse"]["name"] for s in starts] == ["get_weather", "get_weather"]
    assert list(events[-1]) == ["metadata"] and list(events[-2]) == ["messageStop"]
    assert events[-1]["metadata"]["usage"] == fleet.journal.last().usage


def test_a_wrong_signature_is_refused(fleet):
    with pytest.raises(ClientError) as told:
        client_for(fleet.url("bedrock"), "wrong").converse(modelId=MODEL, messages=HELLO)
    assert told.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize("messages", [
    [{"role": "user", "content": [{"text": " "}]}],
    HELLO + HELLO,
    [{"role": "assistant", "content": [{"text": "hi"}]}],
    HELLO + [{"role": "assistant", "content": [
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}]}] + HELLO,
])
def test_rules(client, messages):
    with pytest.raises(ClientError) as told:
        client.converse(modelId=MODEL, messages=messages)
    assert told.value.response["Error"]["Code"] == "ValidationException"


def test_an_exception_in_the_stream(client):
    with pytest.raises(EventStreamError, match="throttlingException"):
        for _ in client.converse_stream(modelId="fault-errorevent-4", messages=HELLO)["stream"]:
            pass
