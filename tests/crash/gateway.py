#!/usr/bin/env python3
"""The real gateway under paid traffic, killed at random moments and started again.

usage: gateway.py [--kills N] [--seed S] [--slowest-ms N]    (SLUICE_BIN names another binary)

What callers were told and what the providers served is noted here, outside; after each
start the store must say the same: every answer that a caller got whole is settled with
the cost it named, every request that a provider saw has exactly one row in an end state,
no budget and no balance is overspent, and all invariants hold. Of a key that nothing limits
many requests share a row without a name: in number and cost just those that a provider
billed and that have no row of their own. And every request has one record: spend, however it
is grouped, is what the ledger charged. Prints one line of JSON; exit status 1 when
anything was wrong, of which a recovery that took longer than --slowest-ms is a part: how
fast a machine and its disk are is asked of the measurement, not of every test.
"""
import argparse
import json
import pathlib
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from decimal import Decimal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.integration.books import NANO, bill_of, nano, settled, told_cost, verify  # noqa: E402
from tests.integration.gateway import PRICES, Gateway  # noqa: E402
from tests.integration.rawhttp import Broken, Connection  # noqa: E402
from tests.integration.shapes import SHAPES  # noqa: E402
from tests.upstream.fleet import Fleet  # noqa: E402

CALLERS = 4
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def bytes_of(request_id):
    """The 128 bits of "req_" + ULID, as the ledger keeps them."""
    value = 0
    for digit in request_id[4:]:
        value = value << 5 | ALPHABET.index(digit)
    return value.to_bytes(16, "big")


class Traffic:
    """Callers of all kinds until the gateway is gone. `told`: request id -> cost."""

    def __init__(self, gateway, keys, seed):
        self.gateway = gateway
        self.keys = keys
        self.told = {}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(seed + i,), daemon=True)
                        for i in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def call(self, seed):
        chance = random.Random(seed)
        while not self.over.is_set():
            try:
                self.one(chance)
            except (OSError, Broken, ValueError):
                pass    # cut off by the kill, or refused to connect

    def one(self, chance):
        shape = chance.choice(list(SHAPES.values()))
        stream = chance.random() < 0.5
        prompt = "x @in=%d @out=%d @words=%d @pause=%.3f" % (
            chance.randrange(1, 900), chance.randrange(1, 40), chance.randrange(1, 12),
            chance.choice((0, 0, 0.002, 0.01)))
        with Connection(self.gateway.connect(2)) as connection:
            key = chance.choice(self.keys)
            if key == self.keys[0]:
                prompt += " " + UNLIMITED.decode()
            connection.send(shape.ask(key, prompt=prompt, stream=stream,
                                      extra=LIMITS.get(shape.name)))
            if chance.random() < 0.1:
                time.sleep(chance.random() * 0.02)
                return
            response = connection.read()
        cost = told_cost(response)
        if response.status == 200 and cost is not None:
            self.told[response.header("x-gateway-request-id")] = cost

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(10)


UNLIMITED = b"nothing limits this"     # in the prompt
PRICE_OF = {name.partition("/")[0]: price for name, price in PRICES.items()}
LIMITS = {"chat": {"max_tokens": 64}, "responses": {"max_output_tokens": 64},
          "messages": {"max_tokens": 64}, "gemini": {"generationConfig": {"maxOutputTokens": 64}}}


class Judge:
    def __init__(self, gateway, fleet, topped_up):
        self.gateway = gateway
        self.fleet = fleet
        self.topped_up = topped_up
        self.found = dict(kills=0, attempts=0, unlimited=0, resolved=0, written_anew=0, lost=0, doubled=0,
                          overspend=0, wrong=0, in_window=0, slowest_recovery_us=0, text="")

    def note(self, what, text, amount=1):
        self.found[what] += amount
        self.found["text"] = self.found["text"] or text

    def judge(self, told):
        """The store against what was noted, after a recovery."""
        try:
            rows = settled(self.gateway)
        except AssertionError as err:
            self.note("wrong", str(err)[:200])
            return
        by_request, shared = {}, []
        for row in rows:
            if row["request"] == bytes(16):
                shared.append(row)
            elif row["request"] in by_request:
                self.note("doubled", "two rows of one request")
            else:
                by_request[row["request"]] = row
        billed = self.billed_unlimited()
        for request_id in set(told) & set(billed):
            row = by_request.get(bytes_of(request_id))
            if billed[request_id] != told[request_id]:
                self.note("wrong", "%s: billed %d, told %d" % (request_id, billed[request_id],
                                                               told[request_id]))
            elif row and (row["state"] != "settled" or row["charged"] != told[request_id]):
                self.note("lost", "%s was answered and is %s" % (request_id, row["state"]))
        self.judge_shared(billed, by_request, shared)
        self.found["attempts"] = len(by_request) + sum(row["attempt_no"] for row in shared)
        self.found["resolved"] = sum(row["state"] == "settled_by_policy" for row in rows)
        for request_id, cost in told.items():
            if request_id in billed:
                continue
            row = by_request.get(bytes_of(request_id))
            if row is None or row["state"] != "settled":
                self.note("lost", "%s was answered and is %s" % (request_id, row and row["state"]))
            elif row["charged"] + row["overrun"] != cost:
                self.note("wrong", "%s: told %d, charged %d" % (request_id, cost, row["charged"]))
        for entry in self.fleet.journal.entries():
            if entry.header("x-request-id") in billed:
                continue
            row = by_request.get(bytes_of(entry.header("x-request-id")))
            if row is None or row["state"] == "released":
                self.note("lost", "a provider served %s" % entry.header("x-request-id"))
        self.judge_records(sum(row["charged"] + row["overrun"] for row in rows))
        charged = sum(row["charged"] for row in rows if row["prepaid"])
        if charged > self.topped_up:
            self.note("overspend", "the balance", charged - self.topped_up)
        try:
            verify(self.gateway)
        except AssertionError as err:
            self.note("wrong", str(err)[:200])

    def judge_records(self, charged):
        """Every grouping of spend adds up to the ledger; no request has two records."""
        told = self.gateway.request("GET", "/admin/spend?by=key,team,workspace,model,provider,tag")
        spend = json.loads(told.body, parse_float=Decimal)
        for by, rows in spend["data"].items():
            total = sum(nano(row["cost_usd"]) for row in rows)
            if total != charged:
                self.note("lost" if total < charged else "doubled", "spend %s: %d, the ledger %d" % (
                    by, total, charged))
        if [row for row in spend["data"]["by_key"] if row["key"] is None] or \
                [row for row in spend["data"]["by_model"] if row["model"] is None]:
            self.note("wrong", "spend of nobody, or nowhere")
        store = sqlite3.connect("file:%s/sluice.db?mode=ro" % self.gateway.directory, uri=True)
        try:
            twice = store.execute("SELECT request_id FROM records GROUP BY request_id"
                                  " HAVING count(*) > 1").fetchall()
            self.found["written_anew"] = store.execute(
                "SELECT count(*) FROM records WHERE outcome = 'killed'").fetchone()[0]
        finally:
            store.close()
        if twice:
            self.note("doubled", "two records of %s" % twice[0], len(twice))

    def billed_unlimited(self):
        """Request id -> cost, of what providers served to keys without limits."""
        return {entry.header("x-request-id"): bill_of(entry, PRICE_OF[entry.provider])
                for entry in self.fleet.journal.entries() if UNLIMITED in entry.body}

    def judge_shared(self, billed, by_request, shared):
        without = [cost for request_id, cost in billed.items()
                   if bytes_of(request_id) not in by_request]
        missing = len(without) - sum(row["attempt_no"] for row in shared)
        self.found["unlimited"] = len(billed)
        if missing:
            self.note("lost" if missing > 0 else "doubled", "%d of those without limits are in no "
                      "row" % missing, abs(missing))
        elif sum(without) != sum(row["charged"] for row in shared):
            self.note("wrong", "rows without a name: %d billed, %d charged" % (
                sum(without), sum(row["charged"] for row in shared)))
        for request_id in billed:
            row = by_request.get(bytes_of(request_id))
            if row and row["state"] == "released":
                self.note("lost", "a provider served %s" % request_id)

    def recovered(self):
        for line in reversed(self.gateway.logs().splitlines()):
            if '"the ledger was recovered"' in line:
                took = json.loads(line)["took_us"]
                self.found["slowest_recovery_us"] = max(self.found["slowest_recovery_us"], took)
                return


def run(kills, seed, slowest_ms, judge_every=10):
    chance = random.Random(seed)
    directory = tempfile.mkdtemp(prefix="sluice-crash-")
    fleet = Fleet().start()
    gateway = Gateway(directory, fleet)
    gateway.start()
    assert gateway.request("POST", "/admin/workspaces", {"slug": "paid", "prepaid": True}).status \
        == 201
    topped_up = kills * NANO // 4 + 5 * NANO
    assert gateway.request("POST", "/admin/workspaces/paid/credits", {
        "amount_usd": topped_up / NANO, "external_id": "first", "note": ""}).status == 201
    keys = [gateway.new_key()["key"]]     # the first one is without limits
    keys += [gateway.new_key(workspace="paid", total_budget_usd=50 + kills)["key"]
             for _ in range(2)]
    judge = Judge(gateway, fleet, topped_up)
    told = {}
    try:
        for number in range(kills):
            traffic = Traffic(gateway, keys, seed * 1000003 + number * CALLERS)
            time.sleep(0.02 + chance.random() * 0.2)
            gateway.process.kill()
            gateway.process.wait()
            traffic.stop()
            told.update(traffic.told)
            gateway.start()
            judge.found["kills"] += 1
            judge.recovered()
            if number % judge_every == judge_every - 1 or number == kills - 1:
                time.sleep(0.1)     # what the dead process sent may still arrive
                judge.judge(told)
        gateway.stop()
    finally:
        if gateway.process and gateway.process.poll() is None:
            gateway.process.kill()
        fleet.stop()
    found = judge.found
    if slowest_ms and found["slowest_recovery_us"] > slowest_ms * 1000:
        judge.note("wrong", "a recovery took %d us" % found["slowest_recovery_us"])
    if not any(found[what] for what in ("lost", "doubled", "overspend", "wrong")):
        shutil.rmtree(directory)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--slowest-ms", type=int, default=0, help="0: however long it takes")
    args = parser.parse_args()
    found = run(args.kills, args.seed, args.slowest_ms)
    print(json.dumps(found))
    return 1 if found["lost"] or found["doubled"] or found["overspend"] or found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
