"""A translated event leaves in the turn of the loop in which its source arrived: between the
system call that brings it and the one that sends its translation the worker waits for nothing.
"""
import re
import shutil
import subprocess
import time

import pytest

from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
CROSSINGS = [("messages", "openai/gpt-4o-mini"), ("chat", "anthropic/claude-haiku-4-5"),
             ("responses", "gemini/gemini-2.5-flash"), ("gemini", "openai/gpt-4o-mini")]
CALL = re.compile(r"^(?:\[pid +)?(\d+)\]? +(?:\d+\.\d+ )?(<\.\.\. )?(\w+)")
READS, WRITES, WAITS = {"recvfrom", "recvmsg", "read", "readv"}, \
    {"sendto", "sendmsg", "write", "writev"}, {"epoll_wait", "epoll_pwait", "epoll_pwait2"}


class Trace:
    """The system calls of a process, from now on."""

    def __init__(self, pid, path):
        self.path = path
        self.process = subprocess.Popen(
            ["strace", "-f", "-q", "-s", "16384", "-o", str(path), "-e",
             "trace=" + ",".join(sorted(READS | WRITES | {"epoll_wait", "epoll_pwait"})),
             "-p", str(pid)], stderr=subprocess.PIPE)

    def stop(self):
        self.process.terminate()
        return self.process.communicate(timeout=30)[1].decode()

    def calls(self):
        """(thread, name, line)"""
        for line in self.path.read_text(errors="replace").splitlines():
            found = CALL.match(line)
            if found:
                yield found[1], found[3], line


def attached(trace):
    """Whether it may look at the process and sees it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and trace.process.poll() is None:
        if trace.path.exists() and trace.path.stat().st_size:
            return True
        time.sleep(0.05)
    return False


def turns_between(calls, mark):
    """How often a worker waits between reading the mark and writing it."""
    calls = list(calls)
    read = next(i for i, (_, name, line) in enumerate(calls) if name in READS and mark in line)
    thread, waits = calls[read][0], 0
    for other, name, line in calls[read + 1:]:
        if other != thread:
            continue
        if name in WRITES and mark in line:
            return waits
        waits += name in WAITS
    raise AssertionError("%s was read and never written" % mark)


@pytest.mark.parametrize("name, model", CROSSINGS)
def test_no_wait_between_an_event_and_its_translation(gateway, key, tmp_path, name, model):
    trace = Trace(gateway.process.pid, tmp_path / "calls")
    try:
        with Connection(gateway.connect()) as connection:
            # The trace is seen to work by what this request makes the gateway do.
            connection.send(SHAPES[name].ask(key, model=model, stream=True,
                                             prompt="x @words=9 @pause=0.3 @first=2"))
            if not attached(trace):
                pytest.skip("strace may not look at the gateway: " + trace.stop())
            answer = connection.read()
    finally:
        if trace.process.poll() is None:
            trace.stop()
    assert answer.status == 200
    # Behind the first events, with which the head of the answer goes.
    for mark in ("w3 ", "w5 ", "w7 "):
        assert turns_between(trace.calls(), mark) == 0, mark
