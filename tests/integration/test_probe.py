"""Probes: a provider that is back is used again at once, and one that is not is left alone;
neither costs a token or shows a key."""
import time

import pytest

from tests.integration.gateway import free_port, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.scripted import Scripted
from tests.integration.shapes import SHAPES

PORT = free_port()
MODELS = """\
  - name: probed
    strategy: priority
    deployments:
      - {provider: flaky, model: a, priority: 1}
      - {provider: script, model: b, priority: 2}
"""


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


@pytest.fixture(scope="module")
def gateway(binary, fleet, script, tmp_path_factory):
    from tests.integration.gateway import Gateway
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"), fleet, models=MODELS,
        retries="1\n  probe_interval_ms: 200", providers="\n".join([
            provider_block("script", "openai", script.url, "k"),
            provider_block("flaky", "openai", "http://127.0.0.1:%d/v1" % PORT, "secret-key")]))
    gateway.start()
    yield gateway
    gateway.stop()


def ask(gateway, key):
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, model="probed"))
        response = connection.read()
    assert response.status == 200
    return response


def breaker(gateway):
    data = gateway.request("GET", "/admin/deployments").json()["data"]
    return next(entry for entry in data if entry["provider"] == "flaky")


def left_alone(gateway, key):
    """Whether for 1.8 s no caller is sent to the broken provider."""
    attempts = breaker(gateway)["attempts"]
    retries = []
    for _ in range(12):
        time.sleep(0.15)
        retries.append(ask(gateway, key).header("x-gateway-retries"))
    return breaker(gateway)["attempts"] == attempts and set(retries) == {"0"}


def test_away_and_back(gateway, script):
    key = gateway.new_key(name="probe")["key"]
    while breaker(gateway)["breaker"] == "closed":
        assert ask(gateway, key).header("x-gateway-decision") == "script/b"
    # The base cool-down passes, and still no caller is sent there. A second chance is for a
    # machine that stood still: without probes a caller would be sent in both rounds.
    assert left_alone(gateway, key) or left_alone(gateway, key)
    flaky = Scripted(PORT).start()
    try:
        deadline = time.monotonic() + 60
        while not flaky.paths and time.monotonic() < deadline:
            time.sleep(0.02)
        started = time.monotonic()
        while ask(gateway, key).header("x-gateway-decision") != "flaky/a":
            assert time.monotonic() - started < 20
            time.sleep(0.05)
        assert breaker(gateway)["breaker"] == "closed"
        assert flaky.paths[0] == ("GET", "/v1/models", None)
        # What works is not probed.
        seen = len(flaky.paths)
        time.sleep(0.7)
        assert len(flaky.paths) <= seen + 1
    finally:
        flaky.stop()
