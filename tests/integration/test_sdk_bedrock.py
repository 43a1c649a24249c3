"""The official boto3 package, against the emulator and through the gateway.

The emulator checks signatures: boto3's own, and the gateway's. Callers of the gateway
use its key as a Bedrock API key.
"""
import time

import pytest

boto3 = pytest.importorskip("boto3", reason="Python package boto3 is not installed")

from botocore import UNSIGNED
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


def client_through(gateway, key):
    """boto3 itself sends an API key over TLS only."""
    client = boto3.client("bedrock-runtime", endpoint_url=gateway.url,
                          region_name=bedrock_api.REGION,
                          config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0},
                                        proxies={}))
    client.meta.events.register("before-sign.bedrock-runtime", lambda request, **_: (
        request.headers.add_header("Authorization", "Bearer " + key)))
    return client


@pytest.fixture
def client(target, fleet):
    if target.gateway is None:
        return client_for(fleet.url("bedrock"), fleet.key("bedrock"))
    return client_through(target.gateway, target.key("bedrock"))


@pytest.mark.parametrize("model", [MODEL, PROFILE])
def test_converse(client, target, fleet, model):
    if target.gateway is not None and model == PROFILE:
        model = "bedrock/" + model
    answer = client.converse(modelId=model, messages=HELLO)
    assert answer["output"]["message"]["content"] == [{"text": "You said: hello there \u2713"}]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == fleet.journal.last().usage


def test_stream_of_parallel_calls(client, fleet):
    asked = [{"role": "user", "content": [{"text": "go @turns=1 @calls=2"}]}]
    events = list(client.converse_stream(modelId=MODEL, messages=asked,
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


def test_an_exception_in_the_stream(client, target):
    model = "fault-errorevent-4" if target.gateway is None else "bedrock/fault-errorevent-4"
    with pytest.raises(EventStreamError, match="throttlingException"):
        for _ in client.converse_stream(modelId=model, messages=HELLO)["stream"]:
            pass


def test_a_cut_stream_is_never_made_whole(gateway, key):
    """The bytes end cleanly, so boto3 alone would not notice."""
    client = client_through(gateway, key)
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        for _ in client.converse_stream(modelId="bedrock/fault-noterminal",
                                        messages=HELLO)["stream"]:
            pass


def test_what_is_paid_is_recorded(gateway, key):
    def cost():
        rows = gateway.request("GET", "/admin/spend").json()["data"]["by_model"]
        return sum(row["cost_usd"] for row in rows if row["model"] == MODEL)
    before = cost()
    client_through(gateway, key).converse(modelId=MODEL, messages=[
        {"role": "user", "content": [{"text": "hello @in=1000 @out=100 @cached=500"}]}])
    for _ in range(600):
        if cost() > before:
            break
        time.sleep(0.05)
    # 1 USD a million in, 0.1 cached, 5 out.
    assert cost() - before == pytest.approx(0.001 + 0.00005 + 0.0005)
