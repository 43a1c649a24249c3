"""The gateway's books, read as an auditor would: from the store, beside the process."""
import json
import pathlib
import re
import sqlite3
import subprocess
import time
from decimal import Decimal

from tests.integration import gateway as gateway_module

SOURCES = ("none", "reported", "partial", "counted", "bound")
STATES = ("held", "dispatched", "settled", "released", "settled_by_policy")
NANO = 10 ** 9


def metric(gateway, name):
    text = gateway.request("GET", "/metrics", key=None).body.decode()
    found = re.search(r"^%s (\S+)$" % name, text, re.M)
    assert found, "no metric %s" % name
    return float(found.group(1))


def wait_for(condition, limit_s=60, what="condition"):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "no %s within %d s" % (what, limit_s)
        time.sleep(0.05)


def settled(gateway):
    """No attempt is open, in memory and in the store; returns the attempts' rows."""
    wait_for(lambda: metric(gateway, "sluice_money_open_holds") == 0, what="end of all holds")
    wait_for(lambda: metric(gateway, "sluice_money_journal_records") == 0, what="fold")
    rows = attempts(gateway)
    assert not [row for row in rows if row["state"] in STATES[:2]], rows
    return rows


def attempts(gateway):
    path = pathlib.Path(gateway.directory) / "sluice.db"
    store = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    store.row_factory = sqlite3.Row
    try:
        rows = [dict(row) for row in store.execute(
            "SELECT * FROM money_attempts ORDER BY begin_wall_ms, request, attempt_no")]
    finally:
        store.close()
    for row in rows:
        row["state"] = STATES[row["state"]]
        row["usage_source"] = SOURCES[row["usage_source"]]
    return rows


def verify(gateway):
    """`sluice ledger verify`; every invariant must hold."""
    done = subprocess.run([str(gateway_module.BINARY), "ledger", "verify", "--json", "--config",
                           str(gateway.config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout, parse_float=Decimal)
    assert found["good"] is True, found
    return found


def nano(usd):
    """An amount of US dollars, as text or number, in nano-dollars; exact."""
    value = Decimal(str(usd)) * NANO
    assert value == int(value), usd
    return int(value)


def told_cost(response):
    """What the native contract says that the answer cost, in nano-dollars; None: nothing."""
    for name in ("x-gateway-cost-exact-usd", "x-gateway-cost-usd"):
        text = response.header(name) or response.trailer(name)
        if text:
            return nano(text)
    return None


def bill_of(entry, price):
    """What the provider charges for what it reported, in nano-dollars."""
    usage = entry.usage or {}
    used_in = usage.get("prompt_tokens", usage.get("input_tokens",
                                                   usage.get("promptTokenCount", 0)))
    used_out = usage.get("completion_tokens", usage.get("output_tokens",
                                                        usage.get("candidatesTokenCount", 0)))
    return int(used_in * Decimal(str(price[0])) * 1000 + used_out * Decimal(str(price[1])) * 1000)
