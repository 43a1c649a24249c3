"""kill -9: what was under way is resolved once, and an Idempotency-Key is not bought twice."""
import json
import re
import sqlite3
import subprocess
import time

import pytest

from tests.integration import gateway as gateway_module
from tests.integration.books import NANO, attempts, nano, settled, told_cost, verify, wait_for
from tests.integration.gateway import PRICES, Gateway
from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES

pytestmark = pytest.mark.exact

PROMPT = "x @in=100 @out=10"


@pytest.fixture
def own(binary, fleet, tmp_path):
    """A gateway that may be killed."""
    fleet.journal.reset()
    # A request that hangs does so until the process is killed.
    gateway = Gateway(tmp_path, fleet, answer_ms=60000).start()
    yield gateway
    gateway.stop()


def kill(gateway):
    gateway.process.kill()
    gateway.process.wait()


def restart(gateway):
    kill(gateway)
    gateway.start()


def send_and_hang(gateway, fleet, key, shape, stream=False, name=None):
    """Sent, seen by the provider and not answered. The connection."""
    seen = len(fleet.journal.entries())
    connection = Connection(gateway.connect())
    fleet.providers[shape.provider].plan.add("hang")
    headers = shape.headers(key) + ([("Idempotency-Key", name)] if name else [])
    connection.send(request_bytes(shape.path(shape.model, stream),
                                  shape.body(shape.model, PROMPT, stream), headers))
    wait_for(lambda: len(fleet.journal.entries()) > seen, what="request at the provider")
    return connection


def again(gateway, key, shape, stream, name, prompt=PROMPT):
    return gateway.request("POST", shape.path(shape.model, stream),
                           shape.body(shape.model, prompt, stream), key=key,
                           headers={"Idempotency-Key": name})


LIMITS = {"limited": {"total_budget_usd": 100}, "unlimited": {}}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("name", SHAPES)
def test_what_was_cut_off_is_not_bought_again(own, fleet, name, limits):
    shape, stream = SHAPES[name], name in ("chat", "gemini")
    key = own.new_key(**limits)["key"]
    with send_and_hang(own, fleet, key, shape, stream, "order-7"):
        restart(own)
    rows = settled(own)
    assert [row["state"] for row in rows] == ["settled_by_policy"]
    assert rows[0]["charged"] > 0
    bought = len(fleet.journal.entries())
    for _ in range(2):
        told = again(own, key, shape, stream, "order-7")
        assert told.status == 409 and told.headers["x-should-retry"] == "false"
        assert "retry-after" not in told.headers
        error = told.json()["error"]
        assert ("%.9f" % (rows[0]["charged"] / 1e9)).rstrip("0") in error["message"]
        assert "Use a new key" in error["message"]
        assert again(own, key, shape, stream, "order-7", "another").status == 422
        restart(own)
    assert len(fleet.journal.entries()) == bought and len(attempts(own)) == 1
    assert again(own, key, shape, stream, "order-8", "x @in=10 @out=1").status == 200
    verify(own)


def test_what_was_answered_is_given_again_after_a_kill(own, fleet):
    """Kept, or said to be charged for; never bought again."""
    shape, key = SHAPES["chat"], own.new_key()["key"]
    for number in range(5):
        name, prompt = "order-%d" % number, "x @in=100 @out=10 number %d" % number
        first = again(own, key, shape, False, name, prompt)
        assert first.status == 200
        bought = len(fleet.journal.entries())
        restart(own)
        second = again(own, key, shape, False, name, prompt)
        assert second.status in (200, 409)
        if second.status == 200:
            assert second.body == first.body
            assert second.headers["idempotent-replayed"] == "true"
        else:
            assert second.json()["error"]["code"] == "idempotency_outcome_unknown"
        assert len(fleet.journal.entries()) == bought
    assert len(settled(own)) == 5
    verify(own)


def test_what_was_kept_or_failed_leaves_no_claim(own, fleet):
    shape, key = SHAPES["chat"], own.new_key()["key"]
    assert again(own, key, shape, False, "kept", "x @in=1 @out=1").status == 200
    fleet.providers["openai"].plan.add("500")
    assert again(own, key, shape, False, "failed", "x @in=2 @out=1").status >= 500

    def no_claims():
        store = sqlite3.connect("file:%s/sluice.db?mode=ro" % own.directory, uri=True)
        try:
            return store.execute("SELECT count(*) FROM claims").fetchone() == (0,)
        finally:
            store.close()
    settled(own)
    wait_for(no_claims, what="end of the claims")
    restart(own)
    assert again(own, key, shape, False, "failed", "x @in=2 @out=1").status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", SHAPES)
def test_in_flight_without_limits_is_charged_for_its_input(own, fleet, name, stream):
    shape, key = SHAPES[name], own.new_key()["key"]
    with send_and_hang(own, fleet, key, shape, stream):
        restart(own)
    row, = settled(own)
    body = len(json.dumps(shape.body(shape.model, PROMPT, stream)))
    price = PRICES["%s/%s" % (shape.provider, shape.model)][0]
    assert row["state"] == "settled_by_policy" and row["usage_source"] == "partial"
    assert row["charged"] == body // 4 * price * 1000
    restart(own)
    assert attempts(own) == [row]
    verify(own)


def test_what_ended_without_limits_is_charged_whole(own, fleet):
    """The cost of each answer that reached its caller, whenever the process was killed."""
    key, told = own.new_key()["key"], 0
    for count in (1, 7, 30):
        for number in range(count):
            with Connection(own.connect()) as connection:
                connection.send(SHAPES["chat"].ask(key, prompt="x @in=%d @out=3" % (number + 1)))
                answer = connection.read()
            told += told_cost(answer)
        restart(own)
        assert sum(row["charged"] for row in settled(own)) == told
        assert not [row for row in attempts(own) if row["state"] != "settled"]
    verify(own)


def read_until_id(connection):
    """The id that the head of an answer tells, which goes on."""
    data = b""
    connection.sock.settimeout(60)
    while b"\r\n\r\n" not in data:
        got = connection.sock.recv(65536)
        assert got, data
        data += got
    return re.search(rb"x-gateway-request-id: (\S+)", data, re.I).group(1).decode()


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_what_was_cut_off_has_a_receipt(own, limits):
    made, other = own.new_key(**limits), own.new_key()
    ask = SHAPES["chat"].ask(made["key"], prompt="x @in=100 @out=50 @words=50 @pause=0.5",
                             stream=True)
    with Connection(own.connect()) as connection:
        connection.send(ask)
        path = "/v1/receipts/" + read_until_id(connection)
        assert own.request("GET", path, key=made["key"]).status == 404, "it goes on"
        restart(own)
    row, = settled(own)
    told = own.request("GET", path, key=made["key"])
    assert told.status == 200, told.body
    receipt = told.json()
    assert nano(receipt["cost_usd"]) == row["charged"] > 0
    assert receipt["key"] == made["id"] and receipt["usage_source"] == row["usage_source"]
    assert receipt["status"] is receipt["stream"] is None and receipt["outcome"] == "killed"
    assert [one["state"] for one in receipt["attempts"]] == ["settled_by_policy"]
    assert own.request("GET", path, key=other["key"]).status == 404
    assert own.request("POST", SHAPES["chat"].path(SHAPES["chat"].model, False),
                       SHAPES["chat"].body(SHAPES["chat"].model, PROMPT, False),
                       key=other["key"]).status == 200
    settled(own)
    assert own.request("GET", path, key=other["key"]).status == 404, "though it spent too"
    verify(own)


# --- records ------------------------------------------------------------------------------

def records(gateway):
    store = sqlite3.connect("file:%s/sluice.db?mode=ro" % gateway.directory, uri=True)
    store.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in store.execute("SELECT * FROM records ORDER BY request_id")]
    finally:
        store.close()


def spent(gateway):
    """What every grouping of spend says, and the ledger with it."""
    told = gateway.request("GET", "/admin/spend?by=key,team,workspace,model,provider,tag").json()
    sums = {by: sum(nano(row["cost_usd"]) for row in rows) for by, rows in told["data"].items()}
    ledger = sum(row["charged"] + row["overrun"] for row in settled(gateway))
    assert set(sums.values()) == {ledger}, (sums, ledger)
    return ledger, told["data"]


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("name", SHAPES)
def test_what_was_cut_off_has_a_record(own, fleet, name, limits):
    """In flight at the kill: who, where, and what it was charged; once, whatever follows."""
    shape = SHAPES[name]
    assert own.request("POST", "/admin/workspaces", {"slug": "house"}).status == 201
    made = own.new_key(workspace="house", **limits)
    with send_and_hang(own, fleet, made["key"], shape):
        restart(own)
    for _ in range(3):
        charged, data = spent(own)
        record, = [one for one in records(own) if one["outcome"] == "killed"]
        assert record["cost_nanousd"] == charged > 0
        assert record["key_id"] == made["id"] and record["workspace"] == "house"
        assert record["provider"] == shape.provider and record["attempts"] == 1
        assert data["by_provider"][0]["provider"] == shape.provider
        restart(own)
    verify(own)
    done = subprocess.run([str(gateway_module.BINARY), "ledger", "statement", "house", "--json",
                           "--config", str(own.config)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert "%.9f" % (charged / NANO) in done.stdout.replace('"', "") or \
        str(charged) in done.stdout, done.stdout


def test_records_that_waited_survive(own):
    """Answered a moment before the kill: in memory only, and stored at the next start."""
    key, told = own.new_key()["key"], {}
    for number in range(20):
        with Connection(own.connect()) as connection:
            connection.send(SHAPES["chat"].ask(key, prompt="x @in=%d @out=3" % (number + 1)))
            answer = connection.read()
        told[answer.header("x-gateway-request-id")] = told_cost(answer)
    restart(own)
    costs = {one["request_id"]: one["cost_nanousd"] for one in records(own)}
    assert {one: costs.get(one) for one in told} == told
    assert spent(own)[0] == sum(told.values())
    verify(own)


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_a_slow_reader_has_a_record(own, limits):
    """Its answer was read and paid, but not passed on, when the process was killed."""
    key = own.new_key(**limits)["key"]
    prompt = "x @in=100 @out=5000 @words=30000"
    with Connection(own.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, prompt=prompt, stream=True))
        path = "/v1/receipts/" + read_until_id(connection)
        time.sleep(1)       # enough to settle, or not: the sums agree either way
        restart(own)
    charged, _ = spent(own)
    receipt = own.request("GET", path, key=key).json()
    assert nano(receipt["cost_usd"]) == charged > 0
    assert [nano(one["cost_usd"]) for one in receipt["attempts"]] == [charged]
    verify(own)


TWO = """\
  - name: robust
    strategy: priority
    deployments:
      - {provider: openai, model: gpt-4o-mini, priority: 1}
      - {provider: openai-b, model: gpt-4o-mini, priority: 2}
"""


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_attempts_before_the_kill_count(binary, fleet, tmp_path, limits):
    """The first try failed, the second was cut off: one record of two attempts."""
    fleet.journal.reset()
    own, shape = Gateway(tmp_path, fleet, models=TWO, retries=2).start(), SHAPES["chat"]
    try:
        key = own.new_key(**limits)["key"]
        fleet.providers["openai"].plan.add("500")
        fleet.providers["openai-b"].plan.add("hang")
        with Connection(own.connect()) as connection:
            connection.send(request_bytes(shape.path("robust", False),
                                          shape.body("robust", PROMPT, False),
                                          shape.headers(key)))
            wait_for(lambda: [e for e in fleet.journal.entries() if e.provider == "openai-b"],
                     limit_s=30, what="second attempt")
            restart(own)
        assert [row["attempt_no"] for row in settled(own)] == [1, 2]
        record, = [one for one in records(own) if one["outcome"] == "killed"]
        assert record["attempts"] == 2 and record["cost_nanousd"] == spent(own)[0] > 0
        receipt = own.request("GET", "/v1/receipts/" + record["request_id"], key=key).json()
        assert [one["state"] for one in receipt["attempts"]] == ["released", "settled_by_policy"]
        assert [one["provider"] for one in receipt["attempts"]] == ["openai", "openai-b"]
        verify(own)
    finally:
        own.stop()
