"""Every misbehaviour of a provider x every shape x stream or not.

The caller gets a clear error in the envelope of the shape it called; once a
stream has begun, that shape's error event, and never a made-up clean end. The
gateway stays well, and the record says how it ended.
"""
import json
import socket
import time

import pytest

from tests.integration.gateway import Gateway, provider_block
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES
from tests.upstream import faults

# What the caller must see: "fine" (a complete success), a set of statuses with
# an error body, or "cut" (an error event after the stream began). A fault that
# strikes before anything was relayed may be told either way in a stream.
BEFORE = {
    "hang": {504}, "hanghead": {502, 504}, "badstatus": {502}, "empty": {502}, "headerflood": {502},
    "informational": {502, 504}, "clte": {502}, "302": {502}, "html": {502}, "gzip": {502},
    "401": {502}, "402": {402, 502}, "403": {502}, "429": {429}, "429ra": {429}, "429date": {429},
    "500": {500, 502}, "408": {408}, "context": {400},
    "503": {503, 502}, "529": {529, 503, 502}, "fin-40": {502}, "rst-40": {502},
}
FINE = ("drip", "nousage", "zerousage", "dupusage", "badusage")
BROKEN_BODY = ("hangmid", "rst", "fin", "clshort", "chunkshort", "noterminal", "errorevent",
               "badjson", "halfevent")
WHOLE_STATUS = {"hangmid": {504, 502}, "errorevent": {502, 500}}


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "limits:\n  sse_event_bytes: 1048576\n  reply_bytes: 4194304\n"}


def send(gateway, shape, key, fault, stream):
    model = "%s/fault-%s" % (shape.provider, fault)
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, model=model, stream=stream))
        return connection.read()


def check_told(shape, response, statuses, stream):
    """An error reply, or in a stream that shape's error event and no clean end."""
    if response.status != 200:
        assert response.status in statuses, response
        assert response.complete
        return shape.check_error(response.status, response.body)
    assert stream, "a success: %r" % response
    assert not shape.ended_clean(response.body), "a clean end was made up: %r" % response
    error = shape.stream_error(response.body)
    assert error is not None, "no error event: %r" % response
    return error["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
class TestFaults:
    @pytest.mark.parametrize("fault", BEFORE)
    def test_before_content(self, gateway, key, shape, stream, fault):
        response = send(gateway, shape, key, fault, stream)
        check_told(shape, response, BEFORE[fault], stream)
        assert response.status != 200
        assert response.header("x-gateway-decision", "").startswith(shape.provider + "/") or (
            response.status >= 500)
        if fault == "429ra":
            assert response.header("retry-after") == "7"
        assert gateway.healthy()

    @pytest.mark.parametrize("fault", FINE)
    def test_harmless(self, gateway, key, shape, stream, fault):
        response = send(gateway, shape, key, fault, stream)
        assert response.status == 200 and response.complete, response
        assert "said" in response.body.decode()
        if stream:
            assert shape.ended_clean(response.body)
            assert shape.stream_error(response.body) is None
        else:
            json.loads(response.body)
        assert gateway.healthy()

    @pytest.mark.parametrize("fault", BROKEN_BODY)
    def test_broken_body(self, gateway, key, shape, stream, fault):
        response = send(gateway, shape, key, fault, stream)
        check_told(shape, response, WHOLE_STATUS.get(fault, {502}), stream)
        assert gateway.healthy()

    def test_not_utf8(self, gateway, key, shape, stream):
        response = send(gateway, shape, key, "badutf8", stream)
        assert response.status in (200, 502)
        if response.status == 502:
            shape.check_error(502, response.body)
        assert gateway.healthy()

    def test_endless_event(self, gateway, key, shape, stream):
        response = send(gateway, shape, key, "huge-16", stream)
        if stream:
            check_told(shape, response, {502}, stream)
            assert len(response.body) < 2 * 1024 * 1024
        else:
            # Too large to be held and read: refused, or passed on unread.
            assert response.status in (200, 502) and response.complete
        assert gateway.healthy()

    def test_refused(self, gateway, key, shape, stream):
        if shape.provider != "openai":
            pytest.skip("one closed port is enough for the other provider kinds")
        with Connection(gateway.connect()) as connection:
            connection.send(shape.ask(key, model="refused/anything", stream=stream))
            response = connection.read()
        assert response.status == 502
        shape.check_error(502, response.body)


def test_every_fault_is_tried():
    tried = {name.partition("-")[0] for name in BEFORE} | set(FINE) | set(BROKEN_BODY)
    assert tried | {"badutf8", "huge"} == set(faults.NAMES)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_cut_anywhere(gateway, key, shape, fleet):
    """A stream that ends at any byte is never taken for a whole one."""
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, stream=True))
        whole = connection.read()
    length = len(fleet.journal.last().reply)
    assert whole.complete and shape.ended_clean(whole.body)
    step = max(60, length // 25)
    for cut in range(0, length, step):
        response = send(gateway, shape, key, "fin-%d" % cut, True)
        if shape.name in ("chat", "responses", "messages") and shape.ended_clean(response.body):
            # The terminal event itself got through before the cut: all was said.
            assert cut > length * 0.6
            continue
        if not shape.ended_clean(response.body):
            check_told(shape, response, {502}, True)


def test_pool_after_a_cut(gateway, key):
    """A connection with a broken exchange behind it is not used again."""
    chat = SHAPES["chat"]
    for number in range(10):
        send(gateway, chat, key, "fin-400", True)
        with Connection(gateway.connect()) as connection:
            connection.send(chat.ask(key, prompt="mine is %d" % number))
            assert b"You said: mine is %d" % number in connection.read().body


def test_black_hole(fleet, binary, tmp_path):
    """A peer that does not answer the connection attempt: bounded by connect_ms."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        block = provider_block("hole", "openai", "http://127.0.0.1:%d/v1" % hole.getsockname()[1],
                               "k")
        own = Gateway(tmp_path, fleet, providers=block)
        own.start()
        key = own.new_key()["key"]
        started = time.monotonic()
        answer = own.request("POST", "/v1/chat/completions", SHAPES["chat"].body(
            "hole/m", "x", False), key=key)
        took = time.monotonic() - started
        own.stop()
        for filler in fillers:
            filler.close()
    assert answer.status in (502, 504)
    assert 0.8 < took < 30    # TCP itself gives up after two minutes
