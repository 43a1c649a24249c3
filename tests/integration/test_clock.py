"""The wall clock steps by a day, and months end, under the real gateway: a budget begins
anew when its period does, once, and never because the clock was set."""
import calendar
import mmap
import pathlib
import shutil
import struct
import subprocess
import time

import pytest

from tests.integration.books import NANO, metric, nano, settled, verify, wait_for
from tests.integration.gateway import BINARY, Gateway
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES
from tests.integration.test_money import exact_body

pytestmark = pytest.mark.exact

SOURCE = pathlib.Path(__file__).with_name("clock_step.c")
DAY_S = 86400


class Clock:
    """The wall clock that clock_step.c shows."""

    def __init__(self, path):
        path.write_bytes(struct.pack("q", 0))
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 8)

    def set(self, text):
        """Sets it to a time (UTC) of the form 2027-01-31T23:59:58."""
        wanted = calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
        self.map[0:8] = struct.pack("q", int((wanted - time.time()) * 1e9))

    def step(self, seconds):
        self.map[0:8] = struct.pack("q", struct.unpack("q", self.map[0:8])[0]
                                    + int(seconds * 1e9))


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    if "san" in str(BINARY):
        pytest.skip("sanitizers intercept the clock themselves")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("clock")
    library = directory / "clock_step.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library),
                    str(SOURCE), "-ldl"], check=True, timeout=60)
    clock = Clock(directory / "clock")
    clock.environment = {"LD_PRELOAD": str(library), "CLOCK_STEP": str(directory / "clock")}
    return clock


@pytest.fixture(scope="module")
def gateway(binary, fleet, clock, tmp_path_factory):
    clock.set("2027-01-15T12:00:00")
    gateway = Gateway(tmp_path_factory.mktemp("clock"), fleet, environment=clock.environment).start()
    yield gateway
    gateway.stop()


@pytest.fixture(autouse=True)
def good_books(gateway):
    yield
    settled(gateway)
    verify(gateway)


class Payer:
    """A key whose budgets allow so many requests, each of which costs exactly its bound."""

    def __init__(self, gateway, zone="UTC", **requests):
        self.gateway = gateway
        self.body, self.cost = exact_body()
        budgets = {"%s_budget_usd" % window: count * self.cost / NANO
                   for window, count in requests.items()}
        self.key = gateway.new_key(time_zone=zone, **budgets)["key"]
        self.served = 0

    def ask(self):
        """The status; a refusal's headers are kept."""
        answer = self.gateway.request("POST", "/v1/chat/completions", self.body, key=self.key)
        self.refusal = answer.headers
        self.served += answer.status == 200
        assert answer.status in (200, 429), answer.body
        return answer.status

    def spent(self, window):
        settled(self.gateway)
        own = self.gateway.request("GET", "/v1/credits", key=self.key).json()
        return nano(own["budget"][window]["spend_usd"]) // self.cost


def test_a_month_ends(gateway, clock):
    clock.set("2027-01-31T23:59:00")
    payer = Payer(gateway, daily=1, monthly=2)
    assert [payer.ask(), payer.ask()] == [200, 429]
    assert 1 <= int(payer.refusal["retry-after"]) <= 60
    clock.step(int(payer.refusal["retry-after"]))
    assert [payer.ask(), payer.ask()] == [200, 429], "served when it was said to be"
    assert (payer.spent("daily"), payer.spent("monthly")) == (1, 1), "February"
    clock.set("2027-02-02T00:00:10")
    assert [payer.ask(), payer.ask()] == [200, 429]
    clock.set("2027-02-03T00:00:10")
    assert payer.ask() == 429, "the month's is spent"
    assert int(payer.refusal["retry-after"]) > 24 * DAY_S
    clock.set("2027-03-01T00:00:01")
    assert payer.ask() == 200


@pytest.mark.parametrize("zone,midnight", [("UTC", "2027-01-31T23:59:00"),
                                           ("Europe/Berlin", "2027-01-31T22:59:00"),
                                           ("America/New_York", "2027-02-01T04:59:00")])
def test_a_month_ends_where_the_payer_lives(gateway, clock, zone, midnight):
    clock.set(midnight)
    payer = Payer(gateway, zone, monthly=1)
    assert [payer.ask(), payer.ask()] == [200, 429], "not early"
    clock.step(60.1)
    assert [payer.ask(), payer.ask()] == [200, 429], "not late, and once"


def test_a_clock_that_is_set_gives_nothing_twice(gateway, clock):
    clock.set("2027-02-28T12:00:00")
    payer = Payer(gateway, daily=2, total=5)
    assert [payer.ask() for _ in range(3)] == [200, 200, 429]
    for step, may in ((DAY_S, 2), (-DAY_S, 0), (DAY_S, 0), (-DAY_S, 0), (DAY_S, 0)):
        clock.step(step)
        assert [payer.ask() for _ in range(3)] == [200] * may + [429] * (3 - may), step
    gateway.stop()
    gateway.start()
    for step in (0, -DAY_S, DAY_S):
        clock.step(step)
        assert payer.ask() == 429, "nor after a restart"
    assert payer.served == 4 == payer.spent("total")


def test_a_month_ends_in_the_middle_of_an_answer(gateway, clock):
    """What was held in April is April's, whatever the clock says when it is settled."""
    key = gateway.new_key(daily_budget_usd=1, monthly_budget_usd=1)["key"]

    def seen():
        settled(gateway)
        budget = gateway.request("GET", "/v1/credits", key=key).json()["budget"]
        assert budget["daily"] == budget["monthly"] and budget["daily"]["held_usd"] == 0
        return nano(budget["monthly"]["spend_usd"])
    clock.set("2027-04-30T23:59:00")
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, prompt="x @pause=1.5 @words=4", stream=True,
                                           extra={"max_tokens": 50}))
        wait_for(lambda: metric(gateway, "sluice_money_open_holds") == 1)
        clock.step(DAY_S)
        answer = connection.read()
    cost = nano(answer.trailer("x-gateway-cost-usd"))
    assert answer.status == 200 and cost > 0 and seen() == 0, "May"
    clock.step(-DAY_S)
    assert seen() == cost, "April"


def test_rates_do_not_follow_the_wall(gateway, clock):
    key = gateway.new_key(rpm=2)["key"]
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    statuses = []
    for step in (0, DAY_S, -DAY_S, -DAY_S):
        clock.step(step)
        statuses.append(gateway.request("POST", "/v1/chat/completions", body, key=key).status)
    assert statuses == [200, 200, 429, 429]
