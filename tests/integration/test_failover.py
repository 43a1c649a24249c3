"""Failover, breakers and switches: what callers see, and what providers were asked.

Exact counts come from the emulators' journal, so a retry that nobody should have
made shows.
"""
import json
import signal
import subprocess
import threading
import time

import pytest

from tests.integration.books import wait_for
from tests.integration.gateway import BINARY, Gateway, free_port, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES

PAIR = """\
  - name: {name}
    strategy: priority
    deployments:
      - {{provider: {first}, model: {model}, priority: 1}}
      - {{provider: openai-b, model: {second}, priority: 2}}
"""

# First the target that fails, then one that works; one alias and model for each
# fault and kind of reply, so that no test meets another's breaker or cool-down.
RETRIED = ("429", "429ra", "429date", "500", "503", "529", "empty", "badstatus", "fin-40",
           "rst-40", "html", "302", "401", "402", "gzip", "errorevent-1")
# May have been bought: one attempt, whatever else could be tried.
ONCE = ("hang",)


def alias(fault, second="gpt-4o-mini", first="openai", model=None, name=None):
    return PAIR.format(name=name or "to-" + fault, first=first, second=second,
                       model=model or "fault-" + fault)


def failing(fault, stream):
    """What follows a fault's own number is ignored by those that have none."""
    return "fault-" + fault + ("" if "-" in fault else "-%s" % stream)


def aliases():
    blocks = [alias(fault, model=failing(fault, stream), name="to-%s-%s" % (fault, stream))
              for fault in RETRIED + ONCE for stream in (False, True)]
    blocks += [alias("", model="fault-500-%s" % stream, second="fault-429ra-%s" % stream,
                     name="all-fail-%s" % stream) for stream in (False, True)]
    blocks += [alias("", model="fault-429ra-x%s" % stream, second="fault-500-x%s" % stream,
                     name="all-fail-other-way-%s" % stream) for stream in (False, True)]
    blocks += [alias("", first="refused", model="any", name="to-refused"),
               alias("", first="refused", model="any-b", second="fault-529", name="mixed"),
               alias("", model="gpt-4o-mini", second="gpt-4o-mini", name="switched"),
               alias("", model="fault-500", name="breaking")]
    blocks.append("""\
  - name: same-provider
    strategy: priority
    deployments:
      - {provider: openai, model: fault-500-same, priority: 1}
      - {provider: openai, model: gpt-4o, priority: 2}
  - name: three-fail
    strategy: priority
    deployments:
      - {provider: openai, model: fault-503, priority: 1}
      - {provider: openai-b, model: fault-503, priority: 2}
      - {provider: azure, model: fault-503, priority: 3}
      - {provider: openai, model: gpt-4o, priority: 4}
""")
    return "".join(blocks)


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": aliases(), "retries": 2}


def ask(gateway, key, model, stream, shape=SHAPES["chat"]):
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, model=model, stream=stream))
        return connection.read()


def asked(fleet):
    return [entry.provider for entry in fleet.journal.entries()]


def is_whole(response, stream):
    chat = SHAPES["chat"]
    if response.status != 200 or not response.complete:
        return False
    if stream:
        return chat.ended_clean(response.body) and chat.stream_error(response.body) is None
    return bool(response.json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestAttempts:
    @pytest.mark.parametrize("fault", RETRIED)
    def test_next_target(self, gateway, key, fleet, fault, stream):
        model = "to-%s-%s" % (fault, stream)
        response = ask(gateway, key, model, stream)
        assert is_whole(response, stream), response
        assert asked(fleet) == ["openai", "openai-b"]
        assert response.header("x-gateway-retries") == "1"
        assert response.header("x-gateway-decision") == "openai-b/gpt-4o-mini"
        # The provider asked for quiet: it is not asked again for that long.
        if fault in ("429ra", "429date"):
            assert is_whole(ask(gateway, key, model, stream), stream)
            assert asked(fleet)[2:] == ["openai-b"]

    @pytest.mark.parametrize("fault", ONCE)
    def test_once(self, gateway, key, fleet, fault, stream):
        response = ask(gateway, key, "to-%s-%s" % (fault, stream), stream)
        assert response.status == 504
        assert response.header("x-should-retry") == "false"
        assert asked(fleet) == ["openai"]

    def test_refused(self, gateway, key, fleet, stream):
        took = []
        for _ in range(4):
            started = time.monotonic()
            response = ask(gateway, key, "to-refused", stream)
            took.append(time.monotonic() - started)
            assert is_whole(response, stream)
        assert asked(fleet) == ["openai-b"] * 4
        assert min(took) < 0.3, took    # the others may have met a busy machine

    def test_same_provider_after_a_wait(self, gateway, key, fleet, stream):
        assert is_whole(ask(gateway, key, "same-provider", stream), stream)
        assert asked(fleet) == ["openai", "openai"]

    def test_three_at_most(self, gateway, key, fleet, stream):
        response = ask(gateway, key, "three-fail", stream)
        assert response.status == 503
        assert asked(fleet) == ["openai", "openai-b", "azure"]
        assert response.header("x-gateway-retries") == "2"

    @pytest.mark.parametrize("model", ["all-fail", "all-fail-other-way"])
    def test_most_useful_error(self, gateway, key, fleet, model, stream):
        """Of a 500 and a 429 the caller gets the one that says when to come back."""
        response = ask(gateway, key, "%s-%s" % (model, stream), stream)
        assert response.status == 429, response
        assert response.header("retry-after") == "7"
        assert "slow down" in json.loads(response.body)["error"]["message"]
        assert len(asked(fleet)) == 2
        rate_limited = "openai-b" if model == "all-fail" else "openai"
        assert response.header("x-gateway-decision").startswith(rate_limited + "/fault-429ra")

    def test_reply_beats_silence(self, gateway, key, fleet, stream):
        response = ask(gateway, key, "mixed", stream)
        assert response.status == 529
        assert asked(fleet) == ["openai-b"]

    def test_all_out_of_reach(self, gateway, key, stream):
        response = ask(gateway, key, "refused/x", stream)
        assert response.status == 502
        assert 1 <= int(response.header("retry-after")) <= 30


def test_caller_leaves_during_the_wait(gateway, key, fleet):
    """A second attempt is not made for nobody."""
    for _ in range(8):
        with Connection(gateway.connect()) as connection:
            connection.send(SHAPES["chat"].ask(key, model="same-provider"))
            time.sleep(0.01)
    assert gateway.healthy()
    wait_for(lambda: [row["in_flight"] for row in rows(gateway, id="same-provider/openai/gpt-4o")]
             == [0], what="end of what nobody waits for")


def rows(gateway, **wanted):
    data = gateway.request("GET", "/admin/deployments").json()["data"]
    return [row for row in data if all(row[name] == value for name, value in wanted.items())]


def test_breaker_opens_and_is_shown(gateway, key, fleet):
    for _ in range(5):
        assert is_whole(ask(gateway, key, "breaking", False), False)
    assert asked(fleet) == ["openai", "openai-b"] * 5
    # Left alone for its cool-down. A machine that stands still for so long sends the next
    # request there to see, which fails and begins one that is twice as long.
    for last in (False, False, False, True):
        fleet.journal.reset()
        (row,) = rows(gateway, model="breaking", provider="openai")
        assert row["id"] == "breaking/openai/fault-500"
        assert row["breaker"] != "closed" and row["enabled"] is True
        for _ in range(3):
            assert is_whole(ask(gateway, key, "breaking", True), True)
        if row["breaker"] == "open" and asked(fleet) == ["openai-b"] * 3:
            break
        assert not last, (row, asked(fleet))
    assert row["health"] == "unhealthy" and row["cooldown_ms"] > 0 and row["concurrency"] is None
    # Named alone it is the last target, which is never ejected.
    fleet.journal.reset()
    assert ask(gateway, key, "openai/fault-500", False).status == 500
    assert asked(fleet) == ["openai"]
    metrics = gateway.request("GET", "/metrics", key=None).body.decode()
    assert 'sluice_breaker_opened_total{provider="openai"}' in metrics


def test_disable_and_enable(gateway, key, fleet):
    def switch(verb, body, status=200):
        answer = gateway.request("POST", "/admin/deployments/" + verb, body)
        assert answer.status == status, answer.body
        return answer.json()

    def served_by():
        response = ask(gateway, key, "switched", False)
        return response.header("x-gateway-decision").partition("/")[0]

    assert served_by() == "openai"
    changed = switch("disable", {"model": "switched", "provider": "openai"})["data"]
    assert [(row["id"], row["enabled"]) for row in changed] == [
        ("switched/openai/gpt-4o-mini", False)]
    assert {served_by() for _ in range(8)} == {"openai-b"}
    # Another alias with the same target is another deployment.
    assert ask(gateway, key, "gpt-4o-mini", False).status == 200
    gateway.stop()
    gateway.start()
    assert {served_by() for _ in range(8)} == {"openai-b"}
    (row,) = rows(gateway, id="switched/openai/gpt-4o-mini")
    assert row["enabled"] is False
    switch("disable", {"id": "switched/openai-b/gpt-4o-mini"})
    assert ask(gateway, key, "switched", True).status == 503
    switch("enable", {"id": "switched/openai/gpt-4o-mini"})
    assert {served_by() for _ in range(8)} == {"openai"}
    switch("enable", {"id": "switched/openai-b/gpt-4o-mini"})
    switch("disable", {"id": "switched/nobody/x"}, 404)
    switch("disable", {"id": "openai/gpt-4.1"})
    assert ask(gateway, key, "openai/gpt-4.1", False).status == 503
    switch("enable", {"id": "openai/gpt-4.1"})
    assert ask(gateway, key, "openai/gpt-4.1", False).status == 200
    assert rows(gateway, id="openai/gpt-4.1")[0]["model"] == "openai/gpt-4.1"
    assert gateway.request("GET", "/admin/deployments", key=key).status == 403
    assert gateway.request("POST", "/admin/deployments/disable", {}, key=None).status == 401


class Upstream:
    """`sluice mock` as a process of its own, so that it can be killed."""

    def __init__(self):
        self.port = free_port()
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [str(BINARY), "mock", "--listen", "127.0.0.1:%d" % self.port],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def test_killed_under_load(binary, fleet, tmp_path):
    """A provider dies and comes back while requests run: no caller notices."""
    pair = [Upstream(), Upstream()]
    blocks = "\n".join(provider_block("up-%d" % i, "openai", "http://127.0.0.1:%d/v1" % up.port, "k")
                       for i, up in enumerate(pair))
    models = """\
  - name: both
    strategy: {strategy}
    deployments:
      - {{provider: up-0, model: gpt-4o-mini}}
      - {{provider: up-1, model: gpt-4o-mini}}
"""
    own = Gateway(tmp_path, fleet, providers=blocks, retries=2,
                  models=models.format(strategy="least_busy"))
    own.start()
    key = own.new_key()["key"]
    failures, served, stop = [], [], threading.Event()

    def work(stream):
        while not stop.is_set():
            begin = time.monotonic()
            response = ask(own, key, "both", stream)
            served.append((begin, time.monotonic(),
                           response.header("x-gateway-decision", "")[:4]))
            # What had begun when the provider died is told as cut, and only that.
            if not is_whole(response, stream) and not (stream and response.status == 200):
                failures.append(response)

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(6)]
    def names(since, until=float("inf")):
        """Who served what began and ended in that time."""
        return {name for begin, end, name in list(served) if since <= begin and end <= until}

    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: names(0) == {"up-0", "up-1"}, what="answer of each")
        pair[0].kill()
        died = time.monotonic()
        time.sleep(2)
        wait_for(lambda: names(died), what="answer of the other")
        back = time.monotonic()
        pair[0].start()
        wait_for(lambda: "up-0" in names(back), what="use of it after it came back")
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for up in pair:
            up.kill()
        own.stop()
    assert not failures, failures[:3]
    assert names(died, back) == {"up-1"}
    assert names(back) == {"up-0", "up-1"}
