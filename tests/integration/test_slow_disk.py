"""The disk is slower than the callers: they are slowed, not refused, while the store works;
refused with 503 while it stands still; and every request that was taken leaves its row."""
import mmap
import os
import pathlib
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import threading
import time

import pytest

from tests.integration.books import metric, wait_for
from tests.integration.gateway import MASTER_KEY, Gateway
from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES

SOURCE = pathlib.Path(__file__).with_name("slow_disk.c")
CALLERS, AT_ONCE, LIMIT_S = 6, 20, 90
SHAPE = SHAPES["chat"]


class Disk:
    """How long the gateway's fsync takes, as slow_disk.c lets it."""

    def __init__(self, path):
        path.write_bytes(struct.pack("q", 0))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)

    def take(self, extra_ms):
        self.map[0:8] = struct.pack("q", extra_ms)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("disk")
    library = directory / "slow_disk.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library),
                    str(SOURCE), "-ldl"], check=True, timeout=60)
    disk = Disk(directory / "disk")
    disk.environment = {
        "LD_PRELOAD": str(library), "SLOW_DISK": str(directory / "disk"),
        # A sanitizer wants to be loaded first; this library takes nothing of its own.
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1") +
                        ":verify_asan_link_order=0"}
    return disk


@pytest.fixture
def gateway(binary, fleet, disk, tmp_path):
    disk.take(0)
    gateway = Gateway(tmp_path, fleet, environment=disk.environment,
                      extra="workers: 1\nlimits: {record_queue_bytes: 1048576}\n").start()
    yield gateway
    disk.take(0)
    gateway.stop()


def test_nobody_waits_while_a_configuration_is_read(binary, fleet, disk, tmp_path):
    environment = dict(disk.environment, SLOW_FILE=str(tmp_path / "sluice.yaml"))
    gateway = Gateway(tmp_path, fleet, environment=environment, extra="workers: 1\n").start()
    answers = []
    reloads = [threading.Thread(target=lambda: answers.append(
        gateway.request("POST", "/admin/reload", {}))) for _ in range(2)]
    try:
        key = gateway.new_key()["key"]
        disk.take(-1)
        for reload in reloads:
            reload.start()
        # While one of them reads, the other is told so: the one loop answers.
        wait_for(lambda: answers, what="answer to the second")
        assert answers[0].status == 503 and answers[0].headers["Retry-After"] == "1"
        assert "Another reload is running" in answers[0].json()["error"]["message"]
        assert gateway.request("GET", "/v1/models", key=key).status == 200
        assert len(answers) == 1
        disk.take(0)
        for reload in reloads:
            reload.join(60)
        assert answers[1].status == 200 and "changed" in answers[1].json()
        assert gateway.request("POST", "/admin/reload", {}).status == 200
    finally:
        disk.take(0)
        gateway.stop()


def test_the_process_ends_within_a_reload(binary, fleet, disk, tmp_path):
    """No loop is left to be told of it: what it holds goes nevertheless, as stop() sees."""
    environment = dict(disk.environment, SLOW_FILE=str(tmp_path / "sluice.yaml"))
    gateway = Gateway(tmp_path, fleet, environment=environment, extra="workers: 1\n").start()
    ask = request_bytes("/admin/reload", b"{}", headers=[
        ("Authorization", "Bearer " + MASTER_KEY), ("Content-Type", "application/json")])
    try:
        disk.take(-1)
        with Connection(gateway.connect()) as one, Connection(gateway.connect()) as two:
            one.send(ask)
            two.send(ask)
            # One of them is told that the other is under way.
            told = select.select([one.sock, two.sock], [], [], 60)[0]
            assert [sock.recv(12) for sock in told] == [b"HTTP/1.1 503"]
            for text in ("stopping: nothing new", "told twice"):
                gateway.process.send_signal(signal.SIGTERM)
                wait_for(lambda: text in gateway.logs(), what=text)
            time.sleep(0.5)
    finally:
        disk.take(0)
        gateway.stop()


class Callers:
    """Ask for what is not there, again as soon as they are answered."""

    def __init__(self, gateway):
        self.gateway = gateway
        # What a request costs here is little beside its row.
        self.question = SHAPE.ask(gateway.new_key(name="callers")["key"], model="no-such-model",
                                  extra={"user": "u" * 128})
        self.answers, self.failures, self.stopping = [], [], False
        self.threads = [threading.Thread(target=self.run) for _ in range(CALLERS)]

    def run(self):
        try:
            with Connection(self.gateway.connect(LIMIT_S), LIMIT_S) as connection:
                while not self.stopping:
                    connection.send(self.question * AT_ONCE)
                    self.answers.extend([connection.read() for _ in range(AT_ONCE)])
        except Exception as failure:
            self.failures.append(failure)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()

    def of(self, status):
        return [answer for answer in list(self.answers) if answer.status == status]


def rows(gateway):
    with sqlite3.connect("file:%s?mode=ro" % (gateway.directory / "sluice.db"), uri=True) as db:
        return db.execute("SELECT count(*) FROM records WHERE status = 404").fetchone()[0]


def all_rows_are_there(gateway, callers):
    assert not callers.failures
    wait_for(lambda: metric(gateway, "sluice_records_pending") == 0, LIMIT_S, "the rows")
    assert rows(gateway) == len(callers.of(404))
    assert metric(gateway, "sluice_records_dropped_total") == 0


def test_a_slow_disk_slows_callers_and_refuses_nobody(gateway, disk):
    with Callers(gateway) as callers:
        disk.take(600)   # a commit with a checkpoint waits for three
        wait_for(lambda: metric(gateway, "sluice_records_paced_total") > CALLERS, LIMIT_S,
                 "requests that wait")
        before = len(callers.answers)
        wait_for(lambda: len(callers.answers) > before + 100, LIMIT_S, "answers to them")
        disk.take(0)
    assert len(callers.of(404)) == len(callers.answers)
    all_rows_are_there(gateway, callers)


def test_a_disk_that_hangs_refuses_until_it_works_again(gateway, disk):
    with Callers(gateway) as callers:
        disk.take(-1)
        wait_for(lambda: callers.of(503), LIMIT_S, "refusals")
        disk.take(0)
        wait_for(lambda: metric(gateway, "sluice_records_pending") == 0 or
                 callers.answers[-1].status == 404, LIMIT_S, "answers")
    for refused in callers.of(503):
        assert refused.header("retry-after") == "1"
        assert "record_queue_bytes" in SHAPE.check_error(503, refused.body)
    assert len(callers.of(503)) + len(callers.of(404)) == len(callers.answers)
    all_rows_are_there(gateway, callers)
    with Connection(gateway.connect()) as connection:
        connection.send(callers.question)
        assert connection.read().status == 404


def wait_for_pressure(gateway, disk):
    disk.take(600)
    wait_for(lambda: metric(gateway, "sluice_records_paced_total") > CALLERS, LIMIT_S,
             "requests that wait")


def test_who_hangs_up_while_waiting_leaves_a_row_and_nothing_else(gateway, disk):
    gone = gateway.new_key(name="gone", total_budget_usd=1)
    question = SHAPE.ask(gone["key"], prompt="x @in=10 @out=3")
    with Callers(gateway) as callers:
        wait_for_pressure(gateway, disk)
        for _ in range(AT_ONCE):
            with Connection(gateway.connect(LIMIT_S), LIMIT_S) as connection:
                connection.send(question)
        disk.take(0)
    all_rows_are_there(gateway, callers)
    wait_for(lambda: metric(gateway, "sluice_exchanges") <= 1, LIMIT_S, "an idle gateway")
    wait_for(lambda: metric(gateway, "sluice_money_open_holds") == 0, LIMIT_S, "no hold")

    def left():
        with sqlite3.connect("file:%s?mode=ro" % (gateway.directory / "sluice.db"),
                             uri=True) as db:
            return db.execute("SELECT count(*) FROM records WHERE key_id = ?",
                              (gone["id"],)).fetchone()[0]
    wait_for(lambda: left() == AT_ONCE, LIMIT_S, "rows of those who hung up")


def test_what_waits_at_the_end_is_answered(gateway, disk):
    with Callers(gateway) as callers:
        wait_for_pressure(gateway, disk)
        gateway.process.terminate()
        callers.stopping = True
        wait_for(lambda: not gateway_listens(gateway), LIMIT_S, "the end of listening")
        disk.take(0)
        gateway.stop()
    assert len(callers.of(404)) == len(callers.answers)
    assert rows(gateway) >= len(callers.answers)


def gateway_listens(gateway):
    try:
        gateway.connect(LIMIT_S).close()
    except OSError:
        return False
    return True
