"""Memory that is refused: each allocation of a request fails once, in turn.

The request is answered, by whatever status, or its connection ends; the process
lives, nothing stays behind and the next request is served.
"""
import json
import mmap
import pathlib
import shutil
import struct
import subprocess
import time

import pytest

from tests.integration import chaos
from tests.integration.books import wait_for
from tests.integration.gateway import BINARY, MASTER_KEY, Gateway
from tests.integration.rawhttp import Broken, Connection, request_bytes
from tests.integration.shapes import SHAPES
from tests.integration.test_chaos import settled

SOURCE = pathlib.Path(__file__).with_name("failing_malloc.c")
ALLOCATIONS_MAX = 600   # more than any request here makes, but a reload
SILENCE_S = 30
MODELS = """\
  - name: several
    deployments:
      - {provider: openai, model: fault-503}
      - {provider: openai-b, model: gpt-4o-mini}
"""


class Failing:
    """The counter that failing_malloc.c looks at."""

    def __init__(self, path):
        path.write_bytes(struct.pack("qq", -1, 0))
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 16)

    def arm(self, successes):
        self.map[0:16] = struct.pack("qq", successes, 0)

    def disarm(self):
        """Whether an allocation failed since arm()."""
        _, failed = struct.unpack("qq", self.map[0:16])
        self.map[0:16] = struct.pack("qq", -1, 0)
        return failed > 0


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    if any(name in str(BINARY) for name in ("asan", "tsan")):
        pytest.skip("sanitizers have an allocator of their own")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("failing")
    library = directory / "failing_malloc.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE)],
                   check=True, timeout=60)
    counter = Failing(directory / "counter")
    counter.environment = {"LD_PRELOAD": str(library),
                           "FAILING_MALLOC": str(directory / "counter")}
    return counter


@pytest.fixture(scope="module")
def gateway(binary, fleet, failing, tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("memory"), fleet, models=MODELS, retries=1,
                      environment=failing.environment).start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(name="memory")["key"]


def over_http1(gateway, request):
    with Connection(gateway.connect(SILENCE_S), SILENCE_S) as connection:
        connection.send(request)
        return connection.read()


def over_http2(gateway, path, body, headers):
    with gateway.connect(SILENCE_S) as sock:
        session = chaos.h2.connection.H2Connection()
        session.initiate_connection()
        session.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", path),
                                 (":authority", "memory.test")]
                             + [(name.lower(), value) for name, value in headers])
        session.send_data(1, body, end_stream=True)
        sock.sendall(session.data_to_send())
        while True:
            data = sock.recv(65536)
            if not data:
                raise Broken("closed")
            for event in session.receive_data(data):
                if isinstance(event, (chaos.h2.events.StreamEnded, chaos.h2.events.StreamReset,
                                      chaos.h2.events.ConnectionTerminated)):
                    return


def each_allocation(gateway, failing, act, step=1):
    """Runs act() until one run needed fewer allocations than were let through."""
    act()
    for successes in range(0, ALLOCATIONS_MAX * step, step):
        failing.arm(successes)
        try:
            act()
        except TimeoutError:
            raise AssertionError("silence when allocation %d failed" % successes)
        except (OSError, Broken):
            pass
        time.sleep(0.005)   # what follows an answer allocates as well
        failed = failing.disarm()
        assert gateway.process.poll() is None, "ended when allocation %d failed:\n%s" % (
            successes, gateway.logs()[-2000:])
        if not failed:
            break
    else:
        raise AssertionError("allocations without end")
    assert successes > 0, "no allocation was ever refused"
    wait_for(lambda: settled(gateway)["sluice_exchanges"] <= 1, what="end of all exchanges")
    act()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_http1(gateway, failing, key, shape, stream):
    request = shape.ask(key, stream=stream)
    each_allocation(gateway, failing, lambda: over_http1(gateway, request))


def test_over_several_targets(gateway, failing, key):
    request = SHAPES["chat"].ask(key, model="several", stream=True)
    each_allocation(gateway, failing, lambda: over_http1(gateway, request))


@pytest.mark.skipif(chaos.h2 is None, reason="Python package h2 is not installed")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_http2(gateway, failing, key, stream):
    shape = SHAPES["chat"]
    body = json.dumps(shape.body(shape.model, "hello", stream)).encode()
    each_allocation(gateway, failing, lambda: over_http2(
        gateway, shape.path(shape.model, stream), body, shape.headers(key)))


@pytest.mark.parametrize("path,body,step", [("/admin/keys", b'{"name":"m"}', 1),
                                            ("/admin/reload", b"{}", 37)], ids=["keys", "reload"])
def test_admin(gateway, failing, path, body, step):
    headers = [("Authorization", "Bearer " + MASTER_KEY), ("Content-Type", "application/json")]
    request = request_bytes(path, body, headers)
    each_allocation(gateway, failing, lambda: over_http1(gateway, request), step)


def test_metrics(gateway, failing):
    request = request_bytes("/metrics", headers=[("Authorization", "Bearer " + MASTER_KEY)],
                            method="GET", framing=False)

    def own(response):
        return sum(line.startswith(b"sluice_") for line in response.body.splitlines())
    whole = own(over_http1(gateway, request))

    def act():
        response = over_http1(gateway, request)
        assert response.status != 200 or own(response) >= whole
    each_allocation(gateway, failing, act)
