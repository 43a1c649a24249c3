"""Money: what the provider bills, what the ledger says and what callers were told are
one number, whatever goes wrong on the way; and no budget is overspent by a nano-dollar."""
import asyncio
import json
import os
import subprocess
import sys
import time

import pytest

from tests.integration.books import (NANO, attempts, bill_of, metric, nano, settled, told_cost,
                                     verify, wait_for)
from tests.integration.gateway import BINARY, PRICES, ROOT, Gateway
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES

pytestmark = pytest.mark.exact

REPEAT = int(os.environ.get("MONEY_REPEAT", "2"))
PARALLEL = 200 if "san" in str(BINARY) else 1000
PATIENCE_MS = 60000
TEMPLATE_TOKENS = 1024  # what the bound adds for a provider's own text


UNLISTED = {"openai": "openai/gpt-unlisted", "gemini": "gemini/gemini-unlisted"}


@pytest.fixture(scope="module")
def gateway_options():
    # Further lines of `prices`.
    return {"extra": "\n".join("  %s: {input: 1, output: 2}" % name
                               for name in UNLISTED.values())}


@pytest.fixture(scope="module")
def patient(binary, fleet, tmp_path_factory):
    """For many at once: the emulator may take as long as a busy machine needs."""
    gateway = Gateway(tmp_path_factory.mktemp("patient"), fleet, answer_ms=PATIENCE_MS).start()
    yield gateway
    gateway.stop()


@pytest.fixture(autouse=True)
def nothing_stays_held(request):
    """After every test: no hold within 5 s of idle, and every invariant."""
    yield
    for name in {"gateway", "patient"} & set(request.fixturenames):
        settled(request.getfixturevalue(name))
        verify(request.getfixturevalue(name))


def price_of(shape):
    return PRICES["%s/%s" % (shape.provider, shape.model)]


def ask(gateway, key, shape, **options):
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, **options))
        return connection.read()


def new_rows(gateway, before):
    known = {row["id"] for row in before}
    return [row for row in settled(gateway) if row["id"] not in known]


# --- budgets -----------------------------------------------------------------------

def exact_body(max_tokens=10):
    """A request whose reported usage is exactly its bound: (bytes, cost in nano-dollars)."""
    def body(tokens):
        return json.dumps({"model": "gpt-4o-mini", "max_tokens": max_tokens, "messages": [
            {"role": "user", "content": "@in=%05d @out=%d" % (tokens, max_tokens)}]}).encode()
    tokens = len(body(0)) + TEMPLATE_TOKENS
    per_in, per_out = PRICES["openai/gpt-4o-mini"]
    return body(tokens), int((tokens * per_in + max_tokens * per_out) * 1000)


async def one(port, key, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                 + key.encode() + b"\r\nContent-Type: application/json\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    data = await reader.read(-1)
    writer.close()
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    cost = [line.partition(":")[2].strip() for line in head.split("\r\n")
            if line.startswith("x-gateway-cost-usd:")]
    return int(head.split(" ", 2)[1]), nano(cost[0]) if cost else 0, data


def at_once(port, keys, body, count):
    async def run():
        return await asyncio.gather(*(one(port, keys[i % len(keys)], body) for i in range(count)))
    return asyncio.run(run())


@pytest.mark.parametrize("turn", range(REPEAT))
@pytest.mark.parametrize("budget", ["total_budget_usd", "daily_budget_usd", "monthly_budget_usd"])
def test_a_budget_for_half_serves_half(patient, fleet, turn, budget):
    """1,000 parallel requests on a budget for 500: exactly 500 pass."""
    gateway = patient
    body, cost = exact_body()
    key = gateway.new_key(**{budget: cost * (PARALLEL // 2) / NANO})
    before = settled(gateway)
    fleet.journal.reset()
    answers = at_once(gateway.port, [key["key"]], body, PARALLEL)
    statuses = [status for status, _, _ in answers]
    assert statuses.count(200) == PARALLEL // 2, {s: statuses.count(s) for s in set(statuses)}
    assert statuses.count(429) == PARALLEL // 2
    entries = fleet.journal.entries()
    billed = sum(bill_of(entry, PRICES["openai/gpt-4o-mini"]) for entry in entries)
    rows = new_rows(gateway, before)
    assert len(entries) == len(rows) == PARALLEL // 2
    assert billed == sum(row["charged"] for row in rows) == sum(c for _, c, _ in answers) \
        == cost * (PARALLEL // 2)
    assert {row["state"] for row in rows} == {"settled"}
    refusal = next(data for status, _, data in answers if status == 429)
    assert b"x-gateway-limit-kind: budget" in refusal
    assert key["id"].encode() in refusal and b"may cost up to" in refusal
    late = at_once(gateway.port, [key["key"]], body, 1)[0]
    assert late[0] == 429 and b"x-should-retry: false" in late[2], "nothing will come back soon"


@pytest.mark.parametrize("turn", range(REPEAT))
@pytest.mark.parametrize("tightest", ["key", "team", "workspace", "prepaid"])
def test_all_levels_at_once(patient, fleet, turn, tightest):
    """Several keys share a team and a workspace: the tightest of them all decides, to the
    nano-dollar, and what it refuses is not counted anywhere else."""
    gateway = patient
    body, cost = exact_body()
    slug = "%s-%d" % (tightest, turn)
    half, roomy = cost * (PARALLEL // 2) / NANO, cost * PARALLEL * 2 / NANO
    budget = {level: half if level == tightest else roomy for level in ("team", "workspace")}
    extra = {"prepaid": True} if tightest == "prepaid" else {}
    for level in ("workspace", "team"):
        made = gateway.request("POST", "/admin/%ss" % level,
                               dict({"slug": slug, "monthly_budget_usd": budget[level]},
                                    **(extra if level == "workspace" else {})))
        assert made.status == 201, made.body
    if tightest == "prepaid":
        paid = gateway.request("POST", "/admin/workspaces/%s/credits" % slug, {
            "amount_usd": half, "external_id": "pay-" + slug, "note": "test"})
        assert paid.status == 201, paid.body
    keys = [gateway.new_key(team=slug, workspace=slug,
                            total_budget_usd=half / 4 if tightest == "key" else roomy)["key"]
            for _ in range(4)]
    before = settled(gateway)
    fleet.journal.reset()
    answers = at_once(gateway.port, keys, body, PARALLEL)
    statuses = [status for status, _, _ in answers]
    refused = 402 if tightest == "prepaid" else 429
    assert statuses.count(200) == statuses.count(refused) == PARALLEL // 2, \
        {s: statuses.count(s) for s in set(statuses)}
    rows = new_rows(gateway, before)
    assert sum(row["charged"] for row in rows) == sum(c for _, c, _ in answers) \
        == sum(bill_of(entry, PRICES["openai/gpt-4o-mini"]) for entry in fleet.journal.entries()) \
        == cost * (PARALLEL // 2)
    if tightest == "prepaid":
        shown = gateway.request("GET", "/admin/workspaces/" + slug).json()
        assert shown["balance_usd"] == 0, shown


def test_one_nano_dollar_short_is_refused(gateway):
    body, cost = exact_body()
    enough = gateway.new_key(total_budget_usd=cost / NANO)
    short = gateway.new_key(total_budget_usd=(cost - 1) / NANO)
    assert at_once(gateway.port, [enough["key"]], body, 1)[0][0] == 200
    assert at_once(gateway.port, [enough["key"]], body, 1)[0][0] == 429
    assert at_once(gateway.port, [short["key"]], body, 1)[0][0] == 429


def test_a_raised_budget_holds_from_the_next_request(gateway):
    body, cost = exact_body()
    key = gateway.new_key(monthly_budget_usd=cost / NANO)
    assert at_once(gateway.port, [key["key"]], body, 2)[0][0] in (200, 429)
    assert at_once(gateway.port, [key["key"]], body, 1)[0][0] == 429
    changed = gateway.request("PATCH", "/admin/keys/" + key["id"],
                              {"monthly_budget_usd": cost * 2 / NANO})
    assert changed.status == 200
    assert at_once(gateway.port, [key["key"]], body, 1)[0][0] == 200


def test_a_cost_without_a_bound_is_refused_and_says_why(gateway, fleet):
    key = gateway.new_key(total_budget_usd=5)["key"]
    fleet.journal.reset()
    cases = {
        "no known price": {"model": "openai/house-model"},
        "maximum of calls": {"tools": [{"type": "web_search_preview"}]},
    }
    for says, change in cases.items():
        body = dict({"model": "gpt-4o-mini", "max_tokens": 5,
                     "messages": [{"role": "user", "content": "hello"}]}, **change)
        answer = gateway.request("POST", "/v1/chat/completions", body, key=key)
        assert answer.status == 400, answer.body
        assert says in answer.json()["error"]["message"]
        assert answer.json()["error"]["code"] == "cost_not_bounded"
    assert not fleet.journal.entries(), "nothing went upstream"


@pytest.mark.parametrize("shape", [SHAPES[n] for n in ("chat", "responses", "gemini")],
                         ids=["chat", "responses", "gemini"])
def test_a_limit_is_put_in_where_none_is_known(gateway, fleet, shape):
    """A model with a price and no maximum: the operator's default goes into the body."""
    key = gateway.new_key(total_budget_usd=50)["key"]
    fleet.journal.reset()
    response = ask(gateway, key, shape, model=UNLISTED[shape.provider])
    assert response.status in (200, 404), response.body
    sent = fleet.journal.last().json()
    limits = (sent.get("max_completion_tokens"), sent.get("max_output_tokens"),
              sent.get("generationConfig", {}).get("maxOutputTokens"))
    assert 4096 in limits, sent


# --- the three numbers ---------------------------------------------------------------

def test_bill_ledger_and_headers_agree(gateway, fleet):
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    fleet.journal.reset()
    heard = billed = asked = 0
    for number in range(5):
        for shape in SHAPES.values():
            for stream in (False, True):
                response = ask(gateway, key, shape, stream=stream,
                               prompt="hello @in=%d @out=%d" % (100 + number, 10 + 7 * number))
                assert response.status == 200
                heard += told_cost(response)
                billed += bill_of(fleet.journal.last(), price_of(shape))
                asked += 1
    rows = new_rows(gateway, before)
    assert billed == heard == sum(row["charged"] for row in rows) > 0
    assert len(rows) == asked and {row["usage_source"] for row in rows} == {"reported"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("fault", ["nousage", "zerousage", "dupusage", "badusage"])
def test_odd_usage(gateway, fleet, shape, stream, fault):
    """Absent is counted, zero is zero, twice is once, a contradiction is settled as far as
    the totals go."""
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    fleet.journal.reset()
    fleet.providers[shape.provider].plan.add(fault)
    response = ask(gateway, key, shape, stream=stream, prompt="hello @in=100 @out=10")
    assert response.status == 200
    (row,) = new_rows(gateway, before)
    assert row["state"] == "settled" and row["charged"] <= row["held"]
    assert told_cost(response) == row["charged"] + row["overrun"]
    # Where cached tokens are no part of the input (Messages) the figures add up, absurdly.
    assert row["overrun"] == 0 or (fault, shape.name) == ("badusage", "messages")
    if fault == "nousage":
        assert row["usage_source"] == "counted" and row["charged"] > 0
    elif fault == "zerousage":
        assert row["usage_source"] == "reported" and row["charged"] == 0
    elif fault == "dupusage":
        assert row["charged"] == bill_of(fleet.journal.last(), price_of(shape))
    else:
        assert row["usage_source"] == "reported"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_usage_above_the_hold_is_the_operators(gateway, fleet, shape):
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    overrun = metric(gateway, "sluice_money_overrun_usd_total")
    response = ask(gateway, key, shape, prompt="hello @in=9000000 @out=10")
    assert response.status == 200
    (row,) = new_rows(gateway, before)
    assert row["charged"] == row["held"] and row["overrun"] > 0
    assert row["charged"] + row["overrun"] == told_cost(response)
    assert metric(gateway, "sluice_money_overrun_usd_total") > overrun
    assert "cost more than the bound" in gateway.logs()


def test_failures_are_released(gateway, fleet):
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    for fault in ("500", "429", "503", "401", "empty", "badstatus", "302", "html"):
        fleet.providers["openai"].plan.add(fault)
        assert ask(gateway, key, SHAPES["chat"]).status >= 400, fault
    assert ask(gateway, key, SHAPES["chat"], model="refused/x").status == 400, "no price"
    rows = new_rows(gateway, before)
    assert len(rows) == 8
    assert {(row["state"], row["charged"]) for row in rows} == {("released", 0)}


def receipt_of(gateway, answer, key):
    found = []

    def is_there():
        told = gateway.request("GET", "/v1/receipts/" + answer.header("x-gateway-request-id"),
                               key=key)
        found[:] = [told.json()] if told.status == 200 else []
        return found

    wait_for(is_there, what="receipt")
    return found[0]


def test_each_attempt_has_a_row(binary, fleet, tmp_path, gateway):
    models = """\
  - name: robust
    strategy: priority
    deployments:
      - {provider: openai, model: gpt-4o-mini, priority: 1}
      - {provider: openai-b, model: gpt-4o-mini, priority: 2}
"""
    other = Gateway(tmp_path, fleet, models=models, retries=2).start()
    try:
        key = other.new_key(total_budget_usd=5)["key"]
        fleet.providers["openai"].plan.add("500")
        assert ask(other, key, SHAPES["chat"], model="robust").status == 200
        rows = settled(other)
        assert [row["attempt_no"] for row in rows] == [1, 2]
        assert [row["state"] for row in rows] == ["released", "settled"]
        assert rows[0]["request"] == rows[1]["request"]
        key = other.new_key()["key"]
        fleet.providers["openai"].plan.add("500")
        answer = ask(other, key, SHAPES["chat"], model="robust")
        first, row = new_rows(other, rows)
        assert (first["attempt_no"], first["state"]) == (1, "released"), "nothing limits it"
        assert row["attempt_no"] == 2 and row["state"] == "settled"
        assert first["request"] == row["request"] and row["charged"] == told_cost(answer)
        receipt = receipt_of(other, answer, key)
        assert [(one["attempt"], one["provider"], one["model"], nano(one["cost_usd"]))
                for one in receipt["attempts"]] == [
            (1, "openai", "gpt-4o-mini", 0), (2, "openai-b", "gpt-4o-mini", told_cost(answer))]
        answer = ask(other, key, SHAPES["chat"])
        (only,) = receipt_of(other, answer, key)["attempts"]
        assert only["attempt"] == 1 and only["provider"] == "openai", "the record is its row"
        assert nano(only["cost_usd"]) == told_cost(answer) and only["state"] == "settled"
        verify(other)
    finally:
        other.stop()


# --- callers that leave -----------------------------------------------------------------

def events_of(gateway, fleet, key, shape, prompt):
    """How many network events a stream of this prompt has."""
    return len(shape.frames(ask(gateway, key, shape, prompt=prompt, stream=True).body))


def asked(fleet, count):
    """The providers have been asked more often than `count` times."""
    wait_for(lambda: len(fleet.journal.entries()) > count, what="request to a provider")


def leave_after(gateway, fleet, key, shape, prompt, events):
    count = len(fleet.journal.entries())
    sock = gateway.connect()
    sock.settimeout(60)
    sock.sendall(shape.ask(key, prompt=prompt, stream=True))
    data = b""
    while data.count(b"data:") < events:
        got = sock.recv(65536)
        if not got:
            break
        data += got
    asked(fleet, count)
    sock.close()


@pytest.mark.parametrize("mode", ["drain", "cancel"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_caller_leaves_at_every_event(gateway, fleet, shape, mode):
    key = gateway.new_key(total_budget_usd=100, on_disconnect=mode)["key"]
    prompt = "hi @in=100 @out=20 @words=8 @pause=0.01"
    count = events_of(gateway, fleet, key, shape, prompt)
    assert count > 4
    full = int(100 * price_of(shape)[0] * 1000 + 20 * price_of(shape)[1] * 1000)
    for events in range(count + 1):
        before = settled(gateway)
        leave_after(gateway, fleet, key, shape, prompt, events)
        wait_for(lambda: len(attempts(gateway)) > len(before), what="row")
        (row,) = new_rows(gateway, before)
        assert row["state"] == "settled", events
        if mode == "drain":
            assert (row["charged"], row["usage_source"]) == (full, "reported"), events
        else:
            assert 0 < row["charged"] <= row["held"], events
            assert row["usage_source"] in ("counted", "partial", "reported"), events
    # The row is written before the drained connection is let go.
    wait_for(lambda: metric(gateway, "sluice_drains") == 0, what="no drain")


def test_whole_answers_are_drained_too(gateway, fleet):
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    count = len(fleet.journal.entries())
    sock = gateway.connect()
    sock.sendall(SHAPES["chat"].ask(key, prompt="x @in=100 @out=20 @first=0.5"))
    asked(fleet, count)
    sock.close()
    (row,) = new_rows(gateway, before)
    assert row["usage_source"] == "reported" and row["charged"] == 140000


def test_a_drain_ends(binary, fleet, tmp_path, gateway):
    """An answer that has no end is read for limits.drain_ms only."""
    other = Gateway(tmp_path, fleet, extra="limits: {drain_ms: 300}").start()
    try:
        key = other.new_key(total_budget_usd=100)["key"]
        leave_after(other, fleet, key, SHAPES["chat"], "x @words=200 @pause=0.1", 3)
        wait_for(lambda: len(attempts(other)) == 1, what="row")
        begin = time.monotonic()
        (row,) = settled(other)
        assert time.monotonic() - begin < 15
        assert row["state"] == "settled" and row["usage_source"] == "counted"
        wait_for(lambda: fleet.journal.last().outcome == "client gone", what="cancel upstream")
    finally:
        other.stop()


def test_drains_are_finished_before_the_process_ends(binary, fleet, tmp_path, gateway):
    other = Gateway(tmp_path, fleet).start()
    key = other.new_key(total_budget_usd=100)["key"]
    leave_after(other, fleet, key, SHAPES["chat"], "x @in=100 @out=20 @words=30 @pause=0.05", 3)
    other.stop()
    (row,) = attempts(other)
    assert (row["state"], row["usage_source"], row["charged"]) == ("settled", "reported", 140000)


# --- providers that break off --------------------------------------------------------------

@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_provider_cuts_anywhere(gateway, fleet, shape):
    key = gateway.new_key(total_budget_usd=100)["key"]
    ask(gateway, key, shape, prompt="hi @in=100 @out=20 @words=6", stream=True)
    length = len(fleet.journal.last().reply) + 300
    before = settled(gateway)
    cuts = 0
    for cut in list(range(0, length, max(40, length // 24))):
        for fault in ("fin", "rst"):
            fleet.providers[shape.provider].plan.add(fault, str(cut))
            ask(gateway, key, shape, prompt="hi @in=100 @out=20 @words=6", stream=True)
            cuts += 1
    for events in range(8):
        fleet.providers[shape.provider].plan.add("errorevent", str(events))
        ask(gateway, key, shape, prompt="hi @in=100 @out=20 @words=6", stream=True)
        cuts += 1
    rows = new_rows(gateway, before)
    assert len(rows) == cuts
    for row in rows:
        assert row["state"] in ("settled", "released") and row["charged"] <= row["held"]
        assert row["overrun"] == 0


def test_a_timeout_after_dispatch_is_charged_for_its_input(gateway, fleet):
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    fleet.providers["openai"].plan.add("hang")
    assert ask(gateway, key, SHAPES["chat"]).status == 504
    (row,) = new_rows(gateway, before)
    assert row["state"] == "settled" and row["usage_source"] == "counted"
    assert 0 < row["charged"] < row["held"]


@pytest.mark.parametrize("fault", ["nousage", "nousage stream", "hang"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_is_counted_is_the_same_without_limits(gateway, fleet, shape, fault):
    charged = []
    for limits in ({"total_budget_usd": 100}, {}):
        key = gateway.new_key(**limits)["key"]
        before = settled(gateway)
        fleet.providers[shape.provider].plan.add(fault.partition(" ")[0])
        ask(gateway, key, shape, stream="stream" in fault, prompt="hello @in=100 @out=10")
        (row,) = new_rows(gateway, before)
        assert row["state"] == "settled" and row["usage_source"] == "counted"
        charged.append((row["charged"], row["input_tokens"], row["output_tokens"]))
    assert charged[0] == charged[1] and charged[0][0] > 0 and charged[0][1] > 0


# --- a full disk ---------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that can be filled; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(place)],
                          capture_output=True)
    if made.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_refuses_what_is_paid_and_resumes(binary, fleet, small_disk, gateway):
    other = Gateway(small_disk, fleet).start()
    try:
        key = other.new_key(total_budget_usd=100)["key"]
        assert ask(other, key, SHAPES["chat"], prompt="x @in=100 @out=20").status == 200
        settled(other)
        # Unbuffered: what did not fit is not to be tried again when the file is closed.
        with open(small_disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 65536)
            except OSError:
                pass
            # Asked until the store has noticed.
            seen = []

            def refused():
                seen.append(ask(other, key, SHAPES["chat"], prompt="x @in=100 @out=20"))
                return seen[-1].status == 503
            wait_for(refused, what="refusal")
            assert all(answer.status in (200, 503) for answer in seen)
            assert int(seen[-1].header("retry-after")) > 0
            assert "ledger" in SHAPES["chat"].check_error(503, seen[-1].body)
            assert other.healthy()
            assert other.request("GET", "/v1/models", key=key).status == 200
        (small_disk / "ballast").unlink()
        wait_for(lambda: ask(other, key, SHAPES["chat"]).status == 200, what="resumption")
        bought = sum(answer.status == 200 for answer in seen) + 2
        assert len([row for row in settled(other) if row["state"] == "settled"]) == bought
        verify(other)
    finally:
        other.stop()


# --- crashes -------------------------------------------------------------------------------

@pytest.mark.parametrize("durability", ["lease", "strict", "relaxed"])
def test_durability_modes_serve(binary, fleet, tmp_path, gateway, durability):
    other = Gateway(tmp_path, fleet, extra="durability: %s" % durability,
                    answer_ms=PATIENCE_MS).start()
    try:
        body, cost = exact_body()
        key = other.new_key(total_budget_usd=cost * 50 / NANO)
        statuses = [s for s, _, _ in at_once(other.port, [key["key"]], body, 100)]
        assert statuses.count(200) == 50 and statuses.count(429) == 50
        wait_for(lambda: len(attempts(other)) == 50, what="fold")
        assert sum(row["charged"] for row in settled(other)) == cost * 50
        verify(other)
    finally:
        other.stop()


# --- Idempotency-Key -----------------------------------------------------------------------

def repeat(gateway, key, name, shape=SHAPES["chat"], prompt="hello @in=100 @out=10",
           stream=False):
    body = shape.body(shape.model, prompt, stream)
    return gateway.request("POST", shape.path(shape.model, stream), body, key=key,
                           headers={"Idempotency-Key": name})


def told_again(first, again):
    """Who answered, as it was told with the first; that it costs nothing now."""
    for name in ("decision", "route-bucket", "route-score", "retries"):
        assert again.headers["x-gateway-" + name] == first.headers["x-gateway-" + name]
    assert again.headers["x-gateway-cost-usd"] == "0.000000"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_same_again_is_bought_once(gateway, fleet, shape, stream):
    key = gateway.new_key(total_budget_usd=100)["key"]
    before = settled(gateway)
    fleet.journal.reset()
    first = repeat(gateway, key, "order-1", shape, stream=stream)
    assert first.status == 200 and "idempotent-replayed" not in first.headers
    for _ in range(3):
        again = repeat(gateway, key, "order-1", shape, stream=stream)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["idempotent-replayed"] == "true"
        told_again(first, again)
    assert len(fleet.journal.entries()) == len(new_rows(gateway, before)) == 1
    assert repeat(gateway, key, "order-1", shape, "another", stream).status == 422
    other = gateway.new_key(total_budget_usd=100)["key"]
    assert repeat(gateway, other, "order-1", shape, stream=stream).status == 200
    assert len(fleet.journal.entries()) == 2, "names belong to their key"


def test_in_flight_is_a_conflict_with_a_moment_to_wait(gateway, fleet):
    key = gateway.new_key(total_budget_usd=100)["key"]
    body = SHAPES["chat"].body("gpt-4o-mini", "x @first=1 @in=100 @out=10 @words=15 @pause=0.25", True)
    sock, count = gateway.connect(), len(fleet.journal.entries())
    data = json.dumps(body).encode()
    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                 + key.encode() + b"\r\nIdempotency-Key: slow\r\nContent-Type: application/json"
                 b"\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    asked(fleet, count)
    again = gateway.request("POST", "/v1/chat/completions", data, key=key,
                            headers={"Idempotency-Key": "slow"})
    assert again.status == 409 and again.headers["retry-after"] == "1"
    sock.close()

    def done():
        return gateway.request("POST", "/v1/chat/completions", data, key=key,
                               headers={"Idempotency-Key": "slow"}).status == 200
    wait_for(done, what="answer of the caller who left")
    assert len([e for e in fleet.journal.entries() if b"@first=1" in e.body]) == 1


def test_what_failed_may_be_tried_again(gateway, fleet):
    key = gateway.new_key(total_budget_usd=100)["key"]
    for fault in ("500", "empty", "errorevent"):
        fleet.providers["openai"].plan.add(fault)
        assert repeat(gateway, key, "retry-" + fault).status >= 500
        assert repeat(gateway, key, "retry-" + fault).status == 200
    assert repeat(gateway, key, "n" * 256).status == 400


def test_answers_survive_a_restart(binary, fleet, tmp_path, gateway):
    other = Gateway(tmp_path, fleet).start()
    try:
        key = other.new_key(total_budget_usd=100)["key"]
        first = repeat(other, key, "kept")
        other.stop()
        other.start()
        again = repeat(other, key, "kept")
        assert again.body == first.body and again.headers["idempotent-replayed"] == "true"
        told_again(first, again)
        assert len(attempts(other)) == 1
    finally:
        other.stop()


def test_killed_under_paid_traffic(binary, tmp_path, gateway):
    """kill -9 at random moments; `make crash` does more of them."""
    kills = os.environ.get("MONEY_KILLS", "8")
    done = subprocess.run([sys.executable, str(ROOT / "tests/crash/gateway.py"), "--kills", kills],
                          env=dict(os.environ, SLUICE_BIN=str(BINARY)), capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == int(kills) and found["attempts"] > 0
