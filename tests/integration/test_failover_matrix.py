"""Every failure, under every strategy, whole and streamed: the caller gets an answer, and the
providers were asked exactly as often as the answer says."""
import pytest

from tests.integration.gateway import Gateway, free_port, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.scripted import Reply, Scripted, error
from tests.integration.shapes import SHAPES

STRATEGIES = ("weighted", "priority", "round_robin", "least_latency", "least_busy", "cheapest",
              "tier")
# These try the failing target of a fresh alias first. The others leave it to chance, or to
# how many requests were before; and later its breaker has a say.
ORDERED = ("priority", "cheapest", "tier")
FAILURES = {
    "408": Reply(error(), status=408), "429": Reply(error(), status=429),
    "500": Reply(error(), status=500), "502": Reply(error(), status=502),
    "503": Reply(error(), status=503), "529": Reply(error(), status=529),
    "gone": Reply(status=0), "empty": Reply(raw=b""), "broken": Reply(raw=b"{\"id\": "),
    "html": Reply(raw=b"<html>Bad gateway</html>"),
    "error-in-200": Reply(raw=b"data: {\"error\": {\"message\": \"overloaded\"}}\n\n"),
    "refused": None,
}


def cases():
    for failure in FAILURES:
        for stream in (False, True):
            yield failure, stream


def name_of(strategy, failure, stream):
    return "%s-%s-%s" % (strategy, failure, "stream" if stream else "whole")


def alias(strategy, failure, stream):
    name = name_of(strategy, failure, stream)
    tiers = (", tier: simple", ", tier: medium") if strategy == "tier" else ("", "")
    where = "closed" if failure == "refused" else "script"
    return """\
  - name: {name}
    strategy: {strategy}
    deployments:
      - {{provider: {where}, model: bad-{name}, weight: 1000, priority: 1{first}}}
      - {{provider: script, model: good-{name}, weight: 1, priority: 2{second}}}
""".format(name=name, strategy=strategy, where=where, first=tiers[0], second=tiers[1])


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


@pytest.fixture(scope="module", params=STRATEGIES)
def strategy(request):
    return request.param


@pytest.fixture(scope="module")
def gateway(binary, fleet, script, strategy, tmp_path_factory):
    """A process for each strategy: the budget of retries is the process's."""
    providers = "\n".join([
        provider_block("script", "openai", script.url, "k"),
        provider_block("closed", "openai", "http://127.0.0.1:%d/v1" % free_port(), "k")])
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), fleet, providers=providers, retries=1,
                      models="".join(alias(strategy, *case) for case in cases()))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(name="matrix")["key"]


@pytest.mark.parametrize("failure, stream", list(cases()),
                         ids=["%s-%s" % (f, "stream" if s else "whole") for f, s in cases()])
def test_answered(gateway, key, script, strategy, failure, stream):
    name = name_of(strategy, failure, stream)
    script.reset(**{"bad-" + name: FAILURES[failure]})
    for turn in range(2):
        script.asked.clear()
        exact = turn == 0 and strategy in ORDERED
        with Connection(gateway.connect()) as connection:
            connection.send(SHAPES["chat"].ask(key, model=name, stream=stream))
            response = connection.read()
        assert response.status == 200 and response.complete, response
        if stream:
            assert SHAPES["chat"].ended_clean(response.body)
        assert response.header("x-gateway-decision") == "script/good-" + name
        # A refused connection is an attempt that the provider never saw.
        retries = int(response.header("x-gateway-retries"))
        asked = script.models()
        if failure == "refused":
            assert asked == ["good-" + name] and retries in ((1,) if exact else (0, 1))
        else:
            assert asked == ["bad-" + name, "good-" + name] or \
                (not exact and asked == ["good-" + name])
            assert len(asked) == retries + 1


def test_the_failing_targets_were_asked(gateway):
    """So that the cases above cannot pass by avoiding them."""
    failed = sum(entry["failures"] + entry["rate_limited"] > 0
                 for entry in gateway.request("GET", "/admin/deployments").json()["data"]
                 if entry["provider_model"].startswith("bad-"))
    assert failed >= len(FAILURES) / 2
