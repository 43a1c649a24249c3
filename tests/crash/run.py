#!/usr/bin/env python3
"""Crashes of the ledger, all kinds, and the bugs that the harness itself must catch.

usage: run.py DRIVER [--kills N] [--seed S] [--thorough]

Exit status 1 when a row was lost or doubled, money overspent, or a planted bug missed.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

PLANTED = {  # bug: the stage that must see it
    "early-acknowledgement": ["random", "40"],
    "split-recovery": ["every", "7"],
    "missing-fsync": ["power", "20"],
    "double-settle": ["random", "8"],
    "release-after-settle": ["random", "8"],
}
GATEWAY_SEES = ("early-acknowledgement", "double-settle", "release-after-settle")
STAGE_LIMIT_S = 1800


def run(driver, stage, count, seed, plant=None):
    command = [driver, stage, str(count), str(seed)]
    if plant:
        command += ["--plant", plant]
    done = subprocess.run(command, capture_output=True, text=True, timeout=STAGE_LIMIT_S)
    lines = done.stdout.strip().splitlines()
    if not lines:
        sys.exit("%s printed nothing (status %d): %s" % (" ".join(command), done.returncode,
                                                          done.stderr[-2000:]))
    return done.returncode, json.loads(lines[-1])


def run_gateway(binary, kills, seed, plant=None):
    """The same on the real gateway: 0 and what it found; a gateway that does not come up
    again or ends by an assertion is found, too."""
    environment = dict(os.environ, SLUICE_BIN=binary, SLUICE_PLANT=plant or "")
    command = [sys.executable, str(pathlib.Path(__file__).with_name("gateway.py")), "--kills",
               str(kills), "--seed", str(seed), "--slowest-ms", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment,
                          timeout=STAGE_LIMIT_S)
    lines = done.stdout.strip().splitlines()
    if lines:
        return done.returncode, json.loads(lines[-1])
    return done.returncode or 1, dict.fromkeys(
        ("kills", "attempts", "lost", "doubled", "overspend", "in_window", "slowest_recovery_us"),
        0, ) | {"wrong": 1, "text": done.stderr.strip().splitlines()[-1][:200]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("driver")
    parser.add_argument("--kills", type=int, default=120, help="random kills")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--thorough", action="store_true", help="every single write")
    parser.add_argument("--gateway", help="the gateway, built with the planted bugs")
    parser.add_argument("--gateway-kills", type=int, default=20)
    args = parser.parse_args()
    stages = [
        ("random", args.kills, "killed at random moments"),
        ("every", 1 if args.thorough else 5, "killed at every %swrite or sync, and in recovery"
         % ("" if args.thorough else "fifth ")),
        ("step", 160 if args.thorough else 1600, "killed at every %d instructions of attempts"
         % (160 if args.thorough else 1600)),
        ("power", max(20, args.kills // 3), "power lost, strict: unsynced writes dropped"),
        ("lease", max(20, args.kills // 3), "power lost, leases: loss within the window"),
    ]
    total = {"kills": 0, "lost": 0, "doubled": 0, "overspend": 0, "wrong": 0}
    slowest = 0
    failed = False
    print("seed %d" % args.seed)
    if args.gateway:
        stages.append(("gateway", args.gateway_kills, "the gateway killed under paid traffic"))
    for stage, count, what in stages:
        status, found = (run_gateway(args.gateway, count, args.seed) if stage == "gateway"
                         else run(args.driver, stage, count, args.seed))
        for name in total:
            total[name] += found[name]
        slowest = max(slowest, found["slowest_recovery_us"])
        failed |= status != 0
        print("%-50s %6d kills %8d attempts%s %s" % (
            what, found["kills"], found["attempts"],
            ", %d in the window" % found["in_window"] if found["in_window"] else "",
            found["text"]))
    caught = 0
    for bug, (stage, count) in PLANTED.items():
        status, found = run(args.driver, stage, count, args.seed, bug)
        caught += status != 0
        print("planted %-42s %s after %d kills %s" % (
            bug, "caught" if status else "MISSED", found["kills"], found["text"]))
    for bug in GATEWAY_SEES if args.gateway else ():
        status, found = run_gateway(args.gateway, 10, args.seed, bug)
        failed |= status == 0
        print("planted %-29s in the gateway %s %s" % (bug, "caught" if status else "MISSED",
                                                      found["text"]))
    print("kills survived: %d" % total["kills"])
    print("rows lost: %d" % total["lost"])
    print("rows doubled: %d" % total["doubled"])
    print("overspend: %d nano-USD" % total["overspend"])
    print("other violations: %d" % total["wrong"])
    print("slowest recovery: %.1f ms" % (slowest / 1000))
    print("planted bugs caught: %d of %d" % (caught, len(PLANTED)))
    return 1 if failed or caught < len(PLANTED) else 0


if __name__ == "__main__":
    sys.exit(main())
