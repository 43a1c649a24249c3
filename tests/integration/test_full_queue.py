"""Back-pressure of the record queue: no row of a request that was taken is lost."""
import resource
import sqlite3
import time

import pytest

from tests.integration.books import metric
from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES


@pytest.fixture(scope="module")
def gateway_options():
    # The disk of this test takes nothing for a while; the queue holds about 500 rows.
    return {"extra": "workers: 1\nlimits: {record_queue_bytes: 1048576}\n"}


def rows(gateway):
    """In the store, once nothing waits for it."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        metrics = gateway.request("GET", "/metrics").body.decode()
        if "\nsluice_records_pending 0\n" in metrics:
            break
        time.sleep(0.1)
    with sqlite3.connect("file:%s?mode=ro" % (gateway.directory / "sluice.db"), uri=True) as db:
        return db.execute("SELECT count(*) FROM records").fetchone()[0]


@pytest.mark.parametrize("shape", [SHAPES["chat"], SHAPES["messages"]], ids=["chat", "messages"])
def test_full_queue_refuses_and_loses_nothing(gateway, shape):
    pid, limit = gateway.process.pid, resource.RLIMIT_FSIZE
    key = gateway.new_key()["key"]
    before, taken, refused = rows(gateway), 0, []
    resource.prlimit(pid, limit, (1, resource.RLIM_INFINITY))
    try:
        with Connection(gateway.connect()) as connection:
            while len(refused) < 20:
                # An unknown model leaves a row too.
                connection.send(shape.ask(key, model="nowhere"))
                answer = connection.read()
                if answer.status == 503:
                    refused.append(answer)
                else:
                    assert answer.status == 404
                    taken += 1
                assert taken < 20000
    finally:
        resource.prlimit(pid, limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert taken > 100
    for answer in refused:
        assert answer.header("retry-after") == "1"
        shape.check_error(503, answer.body)
        assert b"record_queue_bytes" in answer.body
    assert rows(gateway) == before + taken
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, model="nowhere"))
        assert connection.read().status == 404
    metrics = gateway.request("GET", "/metrics").body.decode()
    assert "sluice_records_dropped_total 0" in metrics


@pytest.mark.parametrize("flood,status", [("key", 401), ("models", 200)])
def test_what_is_answered_at_the_head_takes_no_room_of_others(gateway, flood, status):
    """A flood of it, while the disk takes nothing: it is counted, and others are served."""
    shape, key = SHAPES["chat"], gateway.new_key()["key"]
    pid, limit = gateway.process.pid, resource.RLIMIT_FSIZE
    before, paced = rows(gateway), metric(gateway, "sluice_records_paced_total")
    skipped = metric(gateway, "sluice_records_skipped_total")
    asked = (shape.ask("gw_virt_" + "0" * 64) if flood == "key" else
             request_bytes("/v1/models/openai/gpt-4o-mini", method="GET",
                           headers=[("Authorization", "Bearer " + key)]))
    resource.prlimit(pid, limit, (1, resource.RLIM_INFINITY))
    try:
        with Connection(gateway.connect()) as connection:
            for _ in range(2000):
                connection.send(asked)
                assert connection.read().status == status
            assert metric(gateway, "sluice_records_skipped_total") > skipped
            connection.send(shape.ask(key, model="nowhere"))
            assert connection.read().status == 404
    finally:
        resource.prlimit(pid, limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    skipped = metric(gateway, "sluice_records_skipped_total") - skipped
    assert rows(gateway) == before + 2000 + 1 - skipped
    assert metric(gateway, "sluice_records_paced_total") == paced
