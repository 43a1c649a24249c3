"""A second attempt beside a slow first: who answers, who was asked, and what it cost.

Delays are far apart, so that a busy machine changes no order of events.
"""
import concurrent.futures
import re
import time

import pytest

from tests.integration.books import attempts, metric, settled, verify, wait_for
from tests.integration.gateway import Gateway, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.scripted import Reply, Scripted, completion, error
from tests.integration.shapes import SHAPES

SLOW_S = 6.0
NAMES = ("first", "second", "third")


def alias(name, hedge="", targets=None):
    lines = ["  - name: %s" % name, "    strategy: priority"]
    lines += ["    hedge: {%s}" % hedge] if hedge else []
    lines.append("    deployments:")
    lines += ["      - {provider: %s, model: %s, priority: %d}" % (provider, model, at)
              for at, (provider, model) in enumerate(
                  targets or [("script", "%s-%s" % (name, part)) for part in NAMES])]
    return "\n".join(lines) + "\n"


# One alias for each test: none meets another's latencies, breakers or cool-downs.
ALIASES = ["race", "quick", "late", "fails", "all-fail", "twice", "poor", "leaves", "plain", "keep"]
MODELS = "".join(alias(name) for name in ALIASES)
MODELS += alias("off", "enabled: false") + alias("usual", "percentile: 90")
MODELS += alias("head", targets=[("openai", "fault-hanghead"), ("script", "head-second")])
MODELS += alias("other-api", targets=[("anthropic", "fault-hanghead"),
                                      ("script", "other-api-second")])
EXTRA = "\n".join(["  script/%s-%s: {input: 1, output: 2}" % (name, part)
                   for name in ALIASES + ["off", "usual", "head", "other-api"] for part in NAMES] +
                  ["  openai/fault-hanghead: {input: 1, output: 2}",
                   "  anthropic/fault-hanghead: {input: 1, output: 2}"])
ROUTER = "hedge: {delay_ms: 200, budget_percent: 100}"
WON = (10 * 1 + 20 * 2) * 1000  # of a completion of the script, in nano-dollars


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


def options(script, router=ROUTER, extra="", **more):
    # Beyond the slow replies, so that only hedging ends the wait.
    block = provider_block("script", "openai", script.url, "script-key").replace("3000", "20000")
    return dict({"providers": block, "models": MODELS, "extra": EXTRA + "\n" + extra,
                 "retries": 2, "router": router}, **more)


@pytest.fixture(scope="module")
def gateway_options(script):
    return options(script)


@pytest.fixture(autouse=True)
def books_balance(gateway):
    yield
    settled(gateway)
    verify(gateway)


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(monthly_budget_usd=50)["key"]


def ask(gateway, key, model, stream=False, shape="chat", **extra):
    with Connection(gateway.connect(timeout=40)) as connection:
        connection.send(SHAPES[shape].ask(key, model=model, stream=stream,
                                          extra=dict({"max_tokens": 50}, **extra)))
        return connection.read()


def slow(text="Slow."):
    return Reply(completion(text), delay=SLOW_S)


def fresh(gateway, call):
    """What `call` returns, and the attempts that it made in the ledger."""
    before = {row["id"] for row in settled(gateway)}
    result = call()
    return result, [row for row in settled(gateway) if row["id"] not in before]


def skipped(gateway, reason):
    return metric(gateway, 'sluice_hedges_skipped_total{reason="%s"}' % reason)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestRace:
    def test_the_second_wins(self, gateway, key, script, stream):
        script.reset(**{"race-first": slow(), "race-second": "Quick."})
        started = time.monotonic()
        response, rows = fresh(gateway, lambda: ask(gateway, key, "race", stream))
        assert response.status == 200 and b"Quick." in response.body
        assert time.monotonic() - started < SLOW_S - 1
        assert script.models() == ["race-first", "race-second"]
        assert response.header("x-gateway-hedge") == "won"
        assert response.header("x-gateway-decision") == "script/race-second"
        # Each attempt its row and its hold; the caller is told the sum of both.
        assert len(rows) == 2 and all(row["state"] == "settled" for row in rows)
        assert sorted(row["attempt_no"] for row in rows) == [1, 2]
        assert {row["usage_source"] for row in rows} == {"counted", "reported"}
        won, lost = sorted(rows, key=lambda row: -row["attempt_no"])
        assert won["charged"] == WON and won["usage_source"] == "reported"
        assert 0 < lost["charged"] < WON  # the input, counted
        told = response.header("x-gateway-cost-usd") or response.trailer("x-gateway-cost-usd")
        assert round(float(told) * 10 ** 9) == won["charged"] + lost["charged"]

    def test_the_first_wins(self, gateway, key, script, stream):
        script.reset(**{"late-first": Reply(completion("Late."), delay=1.5),
                        "late-second": slow()})
        response, rows = fresh(gateway, lambda: ask(gateway, key, "late", stream))
        assert response.status == 200 and b"Late." in response.body
        assert script.models() == ["late-first", "late-second"]
        assert response.header("x-gateway-hedge") == "lost"
        assert response.header("x-gateway-decision") == "script/late-first"
        assert [row["attempt_no"] for row in rows if row["charged"] == WON] == [1]
        assert len(rows) == 2

    def test_a_quick_first_is_alone(self, gateway, key, script, stream):
        for _ in range(5):    # on a busy machine not every first is quick
            script.reset()
            response = ask(gateway, key, "quick", stream)
            assert response.status == 200 and script.models()[0] == "quick-first"
            if len(script.models()) == 1:
                break
        assert script.models() == ["quick-first"]
        assert response.header("x-gateway-hedge") is None

    def test_one_fails_the_other_goes_on(self, gateway, key, script, stream):
        script.reset(**{"fails-first": Reply(error(), status=500, delay=1.0),
                        "fails-second": Reply(completion("Second."), delay=2.5)})
        response = ask(gateway, key, "fails", stream)
        assert response.status == 200 and b"Second." in response.body
        assert script.models() == ["fails-first", "fails-second"]
        assert response.header("x-gateway-retries") == "1"

    def test_both_fail_then_the_third(self, gateway, key, script, stream):
        script.reset(**{"all-fail-first": Reply(error(), status=503, delay=1.5),
                        "all-fail-second": Reply(error(), status=500, delay=0.2),
                        "all-fail-third": "Third."})
        response = ask(gateway, key, "all-fail", stream)
        assert response.status == 200 and b"Third." in response.body
        assert script.models() == ["all-fail-first", "all-fail-second", "all-fail-third"]
        assert response.header("x-gateway-retries") == "2"

    def test_a_head_is_no_content(self, gateway, key, fleet, script, stream):
        script.reset()
        response = ask(gateway, key, "head", stream)
        assert response.status == 200 and b"Fine." in response.body
        assert [e.provider for e in fleet.journal.entries()] == ["openai"]
        assert script.models() == ["head-second"]

    def test_another_api(self, gateway, key, fleet, script, stream):
        """The first speaks the caller's API, the second is translated."""
        script.reset()
        response = ask(gateway, key, "other-api", stream, shape="messages")
        assert response.status == 200 and b"Fine." in response.body
        if stream:
            assert SHAPES["messages"].ended_clean(response.body)
        assert [e.provider for e in fleet.journal.entries()] == ["anthropic"]
        assert script.models() == ["other-api-second"]

    def test_switched_off_for_an_alias(self, gateway, key, script, stream):
        script.reset(**{"off-first": Reply(completion("Alone."), delay=1.0)})
        response = ask(gateway, key, "off", stream)
        assert b"Alone." in response.body and script.models() == ["off-first"]


class TestNever:
    SEARCH = {"web_search_options": {}}
    STORED = {"store": True}

    @pytest.mark.parametrize("extra", [SEARCH, STORED], ids=["hosted tool", "stored"])
    def test_what_does_more_than_answer(self, gateway, key, script, extra):
        before = skipped(gateway, "request")
        unlimited = gateway.new_key()["key"]
        script.reset(**{"twice-first": Reply(completion("Once."), delay=1.0)})
        assert b"Once." in ask(gateway, unlimited, "twice", **extra).body
        assert script.models() == ["twice-first"]
        assert skipped(gateway, "request") == before + 1

    def test_what_is_to_happen_once(self, gateway, key, script):
        script.reset(**{"twice-first": Reply(completion("Once."), delay=1.0)})
        answer = gateway.request("POST", "/v1/chat/completions", {
            "model": "twice", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9},
            key=key, headers={"Idempotency-Key": "only-once"})
        assert answer.status == 200 and script.models() == ["twice-first"]

    def test_responses_are_stored_unless_told(self, gateway, key, script):
        unlimited = gateway.new_key()["key"]
        slow_first = {"keep-first": Reply(completion("Kept."), delay=1.0)}
        script.reset(**slow_first)
        for store, count in ((None, 1), (False, 2)):
            script.reset(**slow_first)
            body = {"model": "keep", "input": "x"}
            answer = gateway.request("POST", "/v1/responses",
                                     dict(body, store=store) if store is not None else body,
                                     key=unlimited)
            assert len(script.models()) == count, answer.body

    @pytest.mark.exact
    def test_without_money_for_both(self, gateway, script):
        """One hold fits into the budget, a second does not: the first goes on alone."""
        extent = {"max_tokens": 1000}
        own = gateway.new_key(total_budget_usd=0.005)["key"]
        before = skipped(gateway, "money")
        script.reset(**{"poor-first": Reply(completion("Alone."), delay=3.0)})
        response, rows = fresh(gateway, lambda: ask(gateway, own, "poor", **extent))
        assert response.status == 200 and b"Alone." in response.body
        assert script.models() == ["poor-first"] and len(rows) == 1
        assert response.header("x-gateway-hedge") is None
        assert skipped(gateway, "money") == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("then", ["cancel", "drain"])
def test_the_caller_leaves(gateway, script, stream, then):
    """Both attempts end or one is read on for its bill; each is settled, and nothing stays
    in flight."""
    key = gateway.new_key(monthly_budget_usd=50, on_disconnect=then)["key"]
    late = Reply(completion("Late."), delay=2.5)
    script.reset(**{"leaves-first": late, "leaves-second": late})
    before = {row["id"] for row in settled(gateway)}
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, model="leaves", stream=stream,
                                           extra={"max_tokens": 50}))
        wait_for(lambda: len(script.asked) == 2, what="second attempt")
    rows = [row for row in settled(gateway) if row["id"] not in before]
    assert sorted(row["usage_source"] for row in rows) == \
        (["counted", "counted"] if then == "cancel" else ["counted", "reported"])

    def in_flight():
        data = gateway.request("GET", "/admin/deployments").json()["data"]
        return [row["in_flight"] for row in data if row["model"] == "leaves"]
    wait_for(lambda: in_flight() == [0, 0, 0], what="end of both attempts")


def test_after_what_is_usual(gateway, key, script):
    """By percentile: nothing is known at first, later what is slow for this target counts."""
    script.reset(**{"usual-first": Reply(completion("Slow."), delay=0.6)})
    assert b"Slow." in ask(gateway, key, "usual").body
    assert script.models() == ["usual-first"]
    script.reset()
    for _ in range(25):
        assert ask(gateway, key, "usual").status == 200
    script.reset(**{"usual-first": slow(), "usual-second": "Quick."})
    assert b"Quick." in ask(gateway, key, "usual").body
    assert script.models() == ["usual-first", "usual-second"]


def test_told_beforehand(gateway, key):
    """explain says when and where a second attempt would be made, or that none would."""
    def hedge(model):
        answer = gateway.request("POST", "/admin/explain", {"body": {
            "model": model, "messages": [{"role": "user", "content": "x"}]}})
        return answer.json()["hedge"]

    assert hedge("plain") == {"after_ms": 200, "target": "script/plain-second"}
    assert hedge("off") is None
    assert hedge("script/plain-first") is None


@pytest.fixture
def small(binary, fleet, script, tmp_path):
    made = []

    def start(**more):
        made.append(Gateway(tmp_path, fleet, **options(script, **more)).start())
        return made[0]

    yield start
    for one in made:
        settled(one)
        verify(one)
        one.stop()


@pytest.mark.exact
def test_the_budget(small, script):
    """A tenth of the requests, to the request, however many are slow."""
    own = small(router="hedge: {delay_ms: 50, budget_percent: 10}")
    key = own.new_key(monthly_budget_usd=50)["key"]
    script.reset(**{"race-first": Reply(completion("Slow."), delay=2.0)})
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: ask(own, key, "race"), range(40)))
    assert all(answer.status == 200 for answer in answers)
    assert script.models().count("race-second") == metric(own, "sluice_hedges_total") == 4
    assert metric(own, "sluice_hedges_won_total") <= 4
    assert skipped(own, "budget") == 36
    rows = settled(own)
    assert len(rows) == 44


def test_off_by_default(small, script):
    own = small(router="auto: race")
    key = own.new_key()["key"]
    script.reset(**{"race-first": Reply(completion("Slow."), delay=1.0)})
    assert b"Slow." in ask(own, key, "race").body
    assert script.models() == ["race-first"]
    text = own.request("GET", "/metrics", key=None).body.decode()
    assert re.search(r"^sluice_hedges_total 0$", text, re.M)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_holds_that_wait_for_the_disk(small, script, stream):
    """durability strict: the second hold is on the disk before its attempt is sent."""
    own = small(extra="durability: strict")
    key = own.new_key(monthly_budget_usd=50)["key"]
    script.reset(**{"race-first": slow(), "race-second": "Quick."})
    response = ask(own, key, "race", stream)
    assert response.status == 200 and b"Quick." in response.body
    rows = settled(own)
    assert len(rows) == 2 == len(attempts(own))
    assert response.header("x-gateway-hedge") == "won"
