"""Name servers that misbehave: silent, denying, failing, dead, or mute about one kind of address.

A small server of names on the loopback answers as its names say. No fault may hold up
another request.
"""
import json
import socket
import struct
import threading
import time

import pytest

from tests.integration.gateway import Gateway, provider_block

A, AAAA = 1, 28
SERVFAIL, NXDOMAIN = 2, 3


class Names(threading.Thread):
    """By the first label: up, nx, fail, silent, muted (nothing about AAAA). `deaf`: nothing is
    ever answered."""

    def __init__(self, deaf=False):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.deaf = deaf
        self.asked = []
        self.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.sock.getsockname()[1]

    def count(self, name):
        return sum(1 for one, _ in self.asked if one == name)

    def run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(2048)
            except OSError:
                return
            if not query:
                return
            reply = self.reply(query)
            if reply:
                self.sock.sendto(reply, peer)

    def reply(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from(">H", query, at + 1)[0]
        question = query[12:at + 5]
        name = labels[0].lower()
        self.asked.append((name, kind))
        if self.deaf or name == "silent" or (name == "muted" and kind == AAAA):
            return None
        code = {"nx": NXDOMAIN, "fail": SERVFAIL}.get(name, 0)
        answer = b""
        if code == 0 and kind == A:
            answer = struct.pack(">HHHIH4B", 0xc00c, A, 1, 60, 4, 127, 0, 0, 1)
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, 1 if answer else 0, 0, 0)
        return head + question + answer

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.sock.getsockname())
        self.join(5)
        self.sock.close()


@pytest.fixture(scope="module")
def names():
    names = Names()
    yield names
    names.close()


@pytest.fixture(scope="module")
def deaf():
    deaf = Names(deaf=True)
    yield deaf
    deaf.close()


def start(directory, fleet, servers):
    """One loop, so that whoever blocks it blocks all."""
    port = fleet.url("openai").rsplit(":", 1)[1]
    blocks = []
    for name in ("up", "nx", "fail", "silent", "muted"):
        block = provider_block("dns-" + name, "openai", "http://%s.names.test:%s" % (name, port),
                               fleet.key("openai"), "allow_cidr: [127.0.0.0/8]")
        blocks.append(block.replace("connect_ms: 3000", "connect_ms: 9000"))
    blocks.append(provider_block("dns-private", "openai", "http://private.names.test:" + port,
                                 fleet.key("openai")))
    return Gateway(directory, fleet, providers="\n".join(blocks), extra="workers: 1\ndns: "
                   "{servers: %s}" % json.dumps(servers)).start()


@pytest.fixture(scope="module")
def gateway(fleet, names, tmp_path_factory):
    gateway = start(tmp_path_factory.mktemp("dns"), fleet, [names.address])
    yield gateway
    gateway.stop()


def ask(gateway, provider):
    return gateway.request("POST", "/v1/chat/completions", {
        "model": provider + "/gpt-4o-mini", "max_tokens": 20,
        "messages": [{"role": "user", "content": "Hello."}]}, key=gateway.new_key()["key"])


def in_background(gateway, provider):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(gateway, provider)))
    thread.start()
    return thread, answers


def until(condition, what, limit_s=30):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "no %s within %d s" % (what, limit_s)
        time.sleep(0.02)


def test_a_name_that_is_known(gateway):
    assert ask(gateway, "dns-up").status == 200


@pytest.mark.parametrize("name", ["nx", "fail"])
def test_a_name_that_is_refused(gateway, names, name):
    answer = ask(gateway, "dns-" + name)
    assert answer.status in (502, 503), answer.body
    assert "did not resolve" in answer.json()["error"]["message"]
    assert names.count(name) > 0
    assert ask(gateway, "openai").status == 200


def test_a_name_with_a_private_address(gateway, names):
    answer = ask(gateway, "dns-private")
    assert answer.status in (502, 503), answer.body
    assert "its address is not allowed" in answer.json()["error"]["message"]
    assert names.count("private") > 0


def test_silence_holds_up_nobody_else(gateway, names):
    thread, answers = in_background(gateway, "dns-silent")
    until(lambda: names.count("silent") > 0, "question")
    for provider in ("openai", "dns-up", "openai"):
        assert ask(gateway, provider).status == 200
    assert not answers, "the others had to wait for the silent name"
    thread.join(60)
    assert answers and answers[0].status in (502, 503, 504), answers and answers[0].body


def test_silence_about_one_kind_of_address(gateway, names):
    """An answer of the other kind is enough."""
    answer = ask(gateway, "dns-muted")
    assert ("muted", AAAA) in names.asked
    assert answer.status == 200, answer.body


def test_the_second_server_is_asked(fleet, names, deaf, tmp_path):
    gateway = start(tmp_path, fleet, [deaf.address, names.address])
    try:
        thread, answers = in_background(gateway, "dns-up")
        until(lambda: deaf.count("up") > 0, "question")
        assert ask(gateway, "openai").status == 200
        thread.join(60)
        assert answers and answers[0].status == 200, answers and answers[0].body
    finally:
        gateway.stop()


@pytest.mark.parametrize("server", ["names.test", "127.0.0.1:0", "127.0.0.1:70000", "[::1"])
def test_a_server_that_is_none(fleet, tmp_path, server):
    gateway = Gateway(tmp_path, fleet, extra="dns: {servers: [%s]}" % json.dumps(server))
    gateway.start(wait=False)
    try:
        assert gateway.process.wait(60) != 0
    finally:
        gateway.process.kill()
    assert "dns.servers" in gateway.logs()
