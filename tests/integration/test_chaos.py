"""Everything at once, from a seed; then the books must agree.

SLUICE_CHAOS_SECONDS (8) makes it longer, SLUICE_CHAOS_SEED (1) different.
"""
import collections
import os
import re
import sqlite3
import time

import pytest

from tests.integration.books import wait_for
from tests.integration.chaos import Crowd
from tests.integration.gateway import Gateway, provider_block

pytestmark = pytest.mark.exact

SECONDS = float(os.environ.get("SLUICE_CHAOS_SECONDS", "8"))
SEED = os.environ.get("SLUICE_CHAOS_SEED", "1")

# Little room everywhere, so that every limit is met.
LIMITS = """\
limits: {write_buffer_bytes: 16384, write_stall_ms: 1500, reply_bytes: 65536, h2_streams: 8,
         requests_per_connection: 50}
"""
MODELS = """\
  - name: several
    deployments:
      - {provider: openai, model: fault-503}
      - {provider: refused, model: gpt-4o-mini}
      - {provider: openai-b, model: gpt-4o-mini}
  - name: relayed
    deployments: [{provider: second, model: gpt-4o-mini}]
  - name: gpt-3.5-turbo-instruct
    deployments: [{provider: openai, model: gpt-3.5-turbo-instruct}]
  - name: text-embedding-3-small
    deployments: [{provider: openai, model: text-embedding-3-small}]
"""


def metrics(gateway):
    """{name: sum over all labels}"""
    sums = collections.Counter()
    for line in gateway.request("GET", "/metrics").body.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            sums[name.partition("{")[0]] += float(value)
    return sums


def settled(gateway, kept=0, limit_s=90):
    """The metrics once nothing is under way; `kept` connections may rest."""
    end = time.monotonic() + limit_s
    while True:
        now = metrics(gateway)
        if now["sluice_requests_in_flight"] == 0 and now["sluice_records_pending"] == 0 and \
           now["sluice_connections"] <= 1 + kept:
            return now
        assert time.monotonic() < end, "still busy: %s" % {
            name: value for name, value in now.items() if "flight" in name or
            "pending" in name or "connections" in name}
        time.sleep(0.2)


def records(gateway):
    with sqlite3.connect("file:%s?mode=ro" % (gateway.directory / "sluice.db"), uri=True) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM records")]


def open_files(now):
    return now["process_open_fds"] - now["sluice_upstream_connections_open"]


def check_books(asked, rows, entries):
    by_label = collections.defaultdict(list)
    for row in rows:
        by_label[row["client_request_id"]].append(row)
    arrived = collections.Counter(entry.header("x-request-id") for entry in entries)
    for one in asked:
        count = len(by_label[one.label])
        assert count <= 1, "%s has %d records" % (one.label, count)
        if one.status is not None or (one.sent and not one.pipelined):
            assert count == 1, "%s (status %s) has no record" % (one.label, one.status)
        if count and one.status is not None:
            assert by_label[one.label][0]["status"] == one.status, one.label
    for label, count in arrived.items():
        assert by_label[label], "%s was bought %d times and has no record" % (label, count)
        assert count <= by_label[label][0]["attempts"], label


def test_chaos(binary, fleet, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    second = Gateway(tmp_path / "b", fleet, extra=LIMITS).start()
    relay = provider_block("second", "openai", second.url + "/v1", second.new_key()["key"],
                           "http2: only")
    gateway = Gateway(tmp_path / "a", fleet, models=MODELS, extra=LIMITS, providers=relay,
                      retries=2).start()
    try:
        files_before = open_files(metrics(gateway))
        crowd = Crowd(gateway, SEED)
        asked = crowd.run(SECONDS)
        assert not crowd.problems, crowd.problems
        settled(second, settled(gateway)["sluice_upstream_connections_idle"])
        # Anew: what ended while a page was made stands in only a part of it.
        now, rows = metrics(gateway), records(gateway)
        assert now["sluice_records_dropped_total"] == 0
        assert now["sluice_requests_total"] == len(rows)
        # A reload that a signal asked for may still have its files open.
        wait_for(lambda: open_files(metrics(gateway)) <= files_before, what="end of open files")
        check_books(asked, rows, [entry for entry in fleet.journal.entries()
                                  if (entry.header("x-request-id") or "").startswith("chaos-")])
        outcomes = collections.Counter(row["outcome"] for row in rows)
        print("seed %s: %d asked, %d records, %s" % (SEED, len(asked), len(rows), dict(outcomes)))
        assert {"ok", "refused", "client_gone", "failed"} <= set(outcomes)
        assert gateway.healthy() and second.healthy()
        secrets = [fleet.key(name) for name in fleet.providers] + crowd.keys
        logs = gateway.logs() + second.logs()
        assert not [secret for secret in secrets if secret in logs]
        assert not re.search(r"zq\d+x\d+z", logs), "a prompt stands in the log"
    finally:
        try:
            gateway.stop()
        finally:
            second.stop()
