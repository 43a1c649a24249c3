"""Waiting for room: who is served, in which order, and who is refused when.

Replies take long against what the gateway does in between, so that a busy machine
changes no order.
"""
import collections
import concurrent.futures
import threading
import time

import pytest

from tests.integration.books import metric, settled, verify, wait_for
from tests.integration.gateway import Gateway, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.scripted import Reply, Scripted, completion, error
from tests.integration.shapes import SHAPES

NAMES = ("one", "two", "shared", "fair", "leaves", "patience", "quiet", "quiet-long", "two-sets",
         "money", "limit")


def deployment(model, extra):
    return "      - {provider: script, model: %s%s}\n" % (model, extra)


def alias(name, *models, extra=", concurrency: 1"):
    return "  - name: %s\n    strategy: priority\n    deployments:\n%s" % (
        name, "".join(deployment(model, extra + ", priority: %d" % at)
                      for at, model in enumerate(models)))


MODELS = (alias("one", "one-a") + alias("two", "two-a", "two-b") + alias("fair", "fair-a") +
          alias("leaves", "leaves-a") + alias("patience", "patience-a") + alias("money", "money-a") +
          alias("quiet", "quiet-a", extra="") + alias("quiet-long", "quiet-long-a", extra="") +
          alias("full", "full-a") + alias("limit", "limit-a", extra="") +
          alias("end", "end-a", extra=""))
EXTRA = "\n".join("  script/%s: {input: 1, output: 2}" % model for model in
                  ("one-a", "two-a", "two-b", "fair-a", "leaves-a", "patience-a", "money-a",
                   "quiet-a", "quiet-long-a", "limit-a", "full-a", "end-a"))


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


def options(script, router, extra=""):
    block = provider_block("script", "openai", script.url, "script-key").replace("3000", "60000")
    return {"providers": block, "models": MODELS, "extra": EXTRA + "\n" + extra, "retries": 2,
            "router": router}


def test_the_limit_is_listed(gateway):
    listed = {row["id"]: row["concurrency"]
              for row in gateway.request("GET", "/admin/deployments").json()["data"]}
    assert listed["one/script/one-a"] == 1 and listed["quiet/script/quiet-a"] is None


@pytest.fixture(scope="module")
def gateway_options(script):
    # Two loops: who waits on one is called by the other.
    return options(script, "queue: {requests: 100, wait_ms: 40000}", "workers: 2")


@pytest.fixture(autouse=True)
def books_balance(gateway):
    yield
    wait_for(lambda: metric(gateway, "sluice_waiting") == 0, what="end of all waits")
    settled(gateway)
    verify(gateway)


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(monthly_budget_usd=50)["key"]


def ask(gateway, key, model, stream=False, headers=(), **extra):
    shape = SHAPES["chat"]
    data = shape.ask(key, model=model, stream=stream, extra=dict({"max_tokens": 50}, **extra))
    head, _, body = data.partition(b"\r\n\r\n")
    lines = b"".join(b"\r\n%s: %s" % (n.encode(), v.encode()) for n, v in headers)
    with Connection(gateway.connect(timeout=40)) as connection:
        connection.send(head + lines + b"\r\n\r\n" + body)
        return connection.read()


class Busy:
    """A script's reply that counts how many are being made at once."""

    def __init__(self, delay=0.3, text="Fine.", gate=None):
        self.delay, self.text = delay, text
        self.gate = gate            # an Event before which none is answered
        self.inside = self.most = 0
        self.order = []
        self.lock = threading.Lock()

    def __call__(self, body, credential):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(body["messages"][0]["content"])
        if self.gate:
            assert self.gate.wait(60)
        time.sleep(self.delay)
        with self.lock:
            self.inside -= 1
        return Reply(completion(self.text))


def waits(gateway, end):
    return metric(gateway, 'sluice_waits_total{end="%s"}' % end)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestTargets:
    def test_one_at_a_time(self, gateway, key, script, stream):
        busy = Busy()
        script.reset(**{"one-a": busy})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(gateway, key, "one", stream), range(8)))
        assert [answer.status for answer in answers] == [200] * 8
        assert busy.most == 1 and len(script.asked) == 8
        assert {answer.header("x-gateway-retries") for answer in answers} == {"0"}

    def test_either_of_two(self, gateway, key, script, stream):
        first, second = Busy(), Busy()
        script.reset(**{"two-a": first, "two-b": second})
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            answers = list(pool.map(lambda _: ask(gateway, key, "two", stream), range(9)))
        assert [answer.status for answer in answers] == [200] * 9
        assert first.most == second.most == 1
        assert len(first.order) + len(second.order) == 9
        assert min(len(first.order), len(second.order)) >= 2

    def test_the_quiet_that_a_provider_asks_for(self, gateway, key, script, stream):
        """One 429: it is asked again when it said, not before, and the caller waits."""
        limited = Reply(error("slow down"), status=429, headers={"retry-after": "2"})
        times = []

        def answer(body, credential):
            times.append(time.monotonic())
            return limited if len(times) == 1 else Reply(completion("Fine."))

        script.reset(**{"quiet-a": answer})
        assert ask(gateway, key, "quiet", stream).status == 200
        assert len(times) == 2 and 1.9 < times[1] - times[0] < 30
        # Those that come meanwhile wait as well: none of them is sent into the quiet.
        times.clear()
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            def later(at):
                time.sleep(0.3 * (at > 0))
                return ask(gateway, key, "quiet", stream)
            assert {a.status for a in pool.map(later, range(5))} == {200}
        assert len(times) == 6 and min(times[1:]) - times[0] > 1.9

    def test_longer_than_one_may_wait(self, gateway, key, script, stream):
        limited = Reply(error("slow down"), status=429, headers={"retry-after": "60"})
        script.reset(**{"quiet-long-a": limited})
        started = time.monotonic()
        answer = ask(gateway, key, "quiet-long", stream)
        assert answer.status == 429 and answer.header("retry-after") == "60"
        assert time.monotonic() - started < 30


def test_tenants_take_turns(gateway, script):
    """One sends twenty at once, the other four a little later: they are not behind them."""
    keys = {}
    for slug in ("loud", "soft"):
        made = gateway.request("POST", "/admin/workspaces", {"slug": "w-" + slug})
        assert made.status == 201, made.body
        keys[slug] = gateway.new_key(workspace="w-" + slug)["key"]
    busy = Busy(delay=0.1, gate=threading.Event())
    script.reset(**{"fair-a": busy})

    def one(slug):
        return slug, ask(gateway, keys[slug], "fair",
                         messages=[{"role": "user", "content": slug}])

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(one, "loud") for _ in range(20)]
        wait_for(lambda: metric(gateway, "sluice_waiting") == 19, what="line")
        asked += [pool.submit(one, "soft") for _ in range(4)]
        wait_for(lambda: metric(gateway, "sluice_waiting") == 23, what="both in line")
        busy.gate.set()
        answers = [one.result() for one in asked]
    assert collections.Counter(slug for slug, a in answers if a.status == 200) == \
        {"loud": 20, "soft": 4}
    assert busy.most == 1
    # Alternating from the first of the four on; a turn that was under way may slip in.
    first = busy.order.index("soft")
    assert busy.order[first:first + 10].count("soft") == 4, busy.order


class TestLimits:
    """Of requests at a time, of a key or of what it belongs to."""

    @pytest.mark.parametrize("level", ["key", "team", "workspace"])
    def test_one_at_a_time(self, gateway, script, level):
        members = {"concurrency": 1}
        if level != "key":
            slug = "only-one-" + level
            made = gateway.request("POST", "/admin/%ss" % level, dict(members, slug=slug))
            assert made.status == 201, made.body
            members = {level: slug}
        own = gateway.new_key(**members)["key"]
        busy = Busy()
        script.reset(**{"limit-a": busy})
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: ask(gateway, own, "limit"), range(6)))
        assert [answer.status for answer in answers] == [200] * 6
        assert busy.most == 1

    def test_of_an_end_user(self, gateway, script):
        own = gateway.new_key(end_user_concurrency=1, rpm=1000)["key"]
        busy = {name: Busy() for name in ("ann", "bob")}
        script.reset(**{"end-a": lambda body, _: busy[body["user"]](body, _)})
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: ask(gateway, own, "end", user=("ann", "bob")[n % 2]),
                                    range(6)))
        assert [answer.status for answer in answers] == [200] * 6
        assert [busy[name].most for name in busy] == [1, 1]
        # Each was counted once, however often it looked.
        assert ask(gateway, own, "end", user="ann").header("x-ratelimit-remaining-requests") == "993"

    def test_too_long(self, gateway, script):
        """What the caller's SDK would not wait for is refused in its time."""
        own = gateway.new_key(concurrency=1)["key"]
        script.reset(**{"limit-a": Reply(completion("Slow."), delay=5)})
        before = waits(gateway, "expired")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(ask, gateway, own, "limit")
            wait_for(lambda: script.asked, what="first request")
            refused = ask(gateway, own, "limit", headers=[("x-stainless-timeout", "1")])
            assert refused.status == 429 and int(refused.header("retry-after")) >= 1
            assert not slow.done()
            assert slow.result().status == 200
        assert waits(gateway, "expired") == before + 1


def test_who_leaves_frees_the_place(gateway, key, script):
    """Three wait and the second hangs up: it is never asked for, the third is next."""
    busy = Busy(gate=threading.Event())
    script.reset(**{"leaves-a": busy})
    before = waits(gateway, "left")

    def begin(name):
        connection = Connection(gateway.connect(timeout=40))
        connection.send(SHAPES["chat"].ask(key, model="leaves", prompt=name))
        return connection

    with begin("first") as first:
        wait_for(lambda: busy.order == ["first"], what="first request")
        second = begin("second")
        wait_for(lambda: metric(gateway, "sluice_waiting") == 1, what="second in line")
        with begin("third") as third:
            wait_for(lambda: metric(gateway, "sluice_waiting") == 2, what="third in line")
            second.sock.close()
            wait_for(lambda: metric(gateway, "sluice_waiting") == 1, what="place")
            wait_for(lambda: waits(gateway, "left") == before + 1, what="count")
            assert busy.inside == 1
            busy.gate.set()
            assert first.read().status == third.read().status == 200
    assert busy.order == ["first", "third"]


def test_nothing_is_held_meanwhile(gateway, script):
    """The budget has room for one request at a time: the one that waits does not hold it."""
    waiting = gateway.new_key(total_budget_usd=0.0025)["key"]
    other = gateway.new_key()["key"]
    slow_one = Busy(gate=threading.Event())
    script.reset(**{"money-a": slow_one})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        slow = pool.submit(ask, gateway, other, "money")
        wait_for(lambda: script.asked, what="first request")
        held = pool.submit(ask, gateway, waiting, "money")
        wait_for(lambda: metric(gateway, "sluice_waiting") == 1, what="line")
        # Room for one hold, and it is free.
        assert ask(gateway, waiting, "quiet").status == 200
        slow_one.gate.set()
        assert slow.result().status == held.result().status == 200


@pytest.fixture
def small(binary, fleet, script, tmp_path):
    made = []

    def start(router, extra=""):
        made.append(Gateway(tmp_path, fleet, **options(script, router, extra)).start())
        return made[0]

    yield start
    for one in made:
        settled(one)
        verify(one)
        one.stop()


def test_deadline_and_full_queue(small, script):
    own = small("queue: {requests: 2, wait_ms: 5000}")
    key = own.new_key()["key"]
    busy = Busy(gate=threading.Event())
    script.reset(**{"full-a": busy})
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        slow = pool.submit(ask, own, key, "full")
        wait_for(lambda: script.asked, what="first request")
        queued = [pool.submit(ask, own, key, "full") for _ in range(2)]
        wait_for(lambda: metric(own, "sluice_waiting") == 2, what="full queue")
        started = time.monotonic()
        refused = ask(own, key, "full")
        assert refused.status == 503 and int(refused.header("retry-after")) >= 1
        assert time.monotonic() - started < 4
        for one in queued:
            answer = one.result()
            assert answer.status == 503 and int(answer.header("retry-after")) >= 1
            assert b"may wait" in answer.body
        busy.gate.set()
        assert slow.result().status == 200
    assert len(script.asked) == 1
    assert waits(own, "expired") == 2 and waits(own, "full") == 1


def test_refused_at_once_by_default(small, script):
    own = small("auto: one")
    key = own.new_key()["key"]
    only = own.new_key(concurrency=1)["key"]
    busy = Busy(gate=threading.Event())
    script.reset(**{"full-a": busy, "limit-a": busy})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(ask, own, key, "full"), pool.submit(ask, own, only, "limit")]
        wait_for(lambda: len(script.asked) == 2, what="first requests")
        assert ask(own, key, "full").status == 503
        assert ask(own, only, "limit").status == 429
        assert busy.inside == 2, "before those that are served had ended"
        busy.gate.set()
        assert [one.result().status for one in slow] == [200, 200]


def test_stops_while_some_wait(small, script):
    """SIGTERM with requests in line: they are served in the grace, and it ends clean."""
    own = small("queue: {requests: 10, wait_ms: 40000}")
    key = own.new_key()["key"]
    busy = Busy(delay=0.5, gate=threading.Event())
    script.reset(**{"full-a": busy})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, own, key, "full") for _ in range(4)]
        wait_for(lambda: metric(own, "sluice_waiting") == 3, what="line")
        own.process.terminate()
        busy.gate.set()
        assert [one.result().status for one in answers] == [200] * 4
    own.stop()
    own.start()
