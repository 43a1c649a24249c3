"""HTTP/2 towards providers: by ALPN over TLS, and with prior knowledge on cleartext."""
import concurrent.futures
import ssl
import threading

import pytest

from tests.integration.books import settled, verify, wait_for
from tests.integration.gateway import Gateway, provider_block
from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES
from tests.integration.test_http2 import certificate  # noqa: F401 - a fixture
from tests.upstream.fleet import Fleet

pytest.importorskip("h2", reason="Python package h2 is not installed")
from tests.upstream.http2 import Trouble  # noqa: E402

# Both targets are streams of one provider, so of one connection.
MODELS = """\
  - name: raced
    strategy: priority
    hedge: {delay_ms: 200}
    deployments:
      - {provider: openai-h2, model: gpt-4o-mini, priority: 0}
      - {provider: openai-h2, model: gpt-4o, priority: 1}
"""
HEDGE = "hedge: {budget_percent: 100}"
LABELS = ("openai", "anthropic", "gemini")
FAMILIES = [SHAPES[name] for name in ("chat", "responses", "messages", "gemini")]


class Upstream:
    """Emulators that speak HTTP/2 only, and a gateway whose providers they are."""

    def __init__(self, directory, plain, tls, extra):
        self.trouble = Trouble()
        self.fleet = Fleet(labels=LABELS, tls=tls, http2=self.trouble).start()
        blocks = [provider_block(name + "-h2", name, self.fleet.url(name), self.fleet.key(name),
                                 extra) for name in LABELS]
        self.gateway = Gateway(directory, plain, providers="\n".join(blocks), models=MODELS, router=HEDGE,
                               retries=2).start()
        self.key = self.gateway.new_key()["key"]

    def ask(self, shape, prompt="hello there", stream=False, key=None):
        model = "%s-h2/%s" % (shape.provider, shape.model)
        with Connection(self.gateway.connect()) as connection:
            connection.send(shape.ask(key or self.key, model, prompt, stream))
            return connection.read()

    def stop(self):
        self.gateway.stop()
        self.fleet.stop()


@pytest.fixture(scope="module", params=["alpn", "prior knowledge"])
def upstream(request, binary, fleet, tmp_path_factory):
    tls, extra = None, "http2: only"
    if request.param == "alpn":
        directory = request.getfixturevalue("certificate")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        tls.set_alpn_protocols(["h2", "http/1.1"])
        extra = "ca_file: %s" % (directory / "cert.pem")
    upstream = Upstream(tmp_path_factory.mktemp("http2"), fleet, tls, extra)
    yield upstream
    upstream.stop()


@pytest.fixture(autouse=True)
def judged(upstream):
    """No rule of HTTP/2 broken, nothing leaked, the books good; after every test."""
    upstream.fleet.journal.reset()
    yield
    settled(upstream.gateway)
    verify(upstream.gateway)
    assert upstream.trouble.broken_rules == []
    assert upstream.fleet.journal.leaks() == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", FAMILIES, ids=lambda shape: shape.name)
def test_every_shape(upstream, shape, stream):
    """Byte for byte what the provider sent, as over HTTP/1.1."""
    answer = upstream.ask(shape, stream=stream)
    (entry,) = upstream.fleet.journal.entries()
    assert answer.status == 200
    if stream and shape.name == "chat":   # usage that was not asked for is kept back
        assert shape.ended_clean(answer.body) and answer.body[:400] == entry.reply[:400]
    else:
        assert answer.body == entry.reply


def test_many_streams_share_few_connections(upstream):
    before = upstream.trouble.connections
    ready = threading.Barrier(40)

    def one(number):
        ready.wait(30)
        return upstream.ask(SHAPES["messages"], "number %d @words=12 @pause=0.02" % number, True)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(one, range(40)))
    sent = {entry.json()["messages"][0]["content"].split()[1]: entry.reply
            for entry in upstream.fleet.journal.entries()}
    assert all(answer.body == sent[str(number)] for number, answer in enumerate(answers))
    assert len(upstream.fleet.journal.entries()) == 40
    # One connection for each loop of the gateway, and what raced to be first.
    assert upstream.trouble.connections - before < 20


def test_bodies_beyond_every_window(upstream):
    prompt = "hello " * 200_000   # 1.2 MB out, and as many words back
    answer = upstream.ask(SHAPES["chat"], prompt)
    (entry,) = upstream.fleet.journal.entries()
    assert entry.json()["messages"][0]["content"] == prompt
    assert answer.status == 200 and answer.body == entry.reply


def test_a_refused_stream_is_sent_again(upstream):
    """RFC 9113 8.7: it was not processed, so nobody pays twice and nobody notices."""
    upstream.trouble.add("refuse")
    answer = upstream.ask(SHAPES["messages"])
    assert answer.status == 200
    assert len(upstream.fleet.journal.entries()) == 1


@pytest.mark.parametrize("what", ["reset", "drop"])
def test_a_stream_that_breaks_is_told(upstream, what):
    upstream.trouble.add(what)
    broken = upstream.ask(SHAPES["messages"], "tell me @words=20 @pause=0.01", True)
    assert broken.status == 200
    assert SHAPES["messages"].stream_error(broken.body)
    assert not SHAPES["messages"].ended_clean(broken.body)
    assert upstream.ask(SHAPES["messages"]).status == 200


def test_a_reset_stream_leaves_the_others(upstream):
    upstream.trouble.add("reset")
    answers = {}

    def one(name):
        answers[name] = upstream.ask(SHAPES["chat"], name + " @words=20 @pause=0.02", True)
    threads = [threading.Thread(target=one, args=("t%d" % n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clean = [SHAPES["chat"].ended_clean(answer.body) for answer in answers.values()]
    assert sorted(clean) == [False] + [True] * 7


def test_a_provider_that_says_goodbye(upstream):
    """GOAWAY under way: what runs is finished, what comes next finds a new connection."""
    upstream.ask(SHAPES["chat"])
    before = upstream.trouble.connections
    upstream.trouble.add("goaway")
    last = upstream.ask(SHAPES["chat"], "the last one @words=20 @pause=0.01", True)
    assert last.status == 200 and SHAPES["chat"].ended_clean(last.body)
    for _ in range(4):
        assert upstream.ask(SHAPES["chat"]).status == 200
    assert upstream.trouble.connections > before


def test_a_caller_who_leaves_resets_only_his_stream(upstream):
    key = upstream.gateway.new_key(on_disconnect="cancel", total_budget_usd=100)["key"]
    before = upstream.trouble.streams_reset_by_peer
    sock = upstream.gateway.connect()
    sock.sendall(SHAPES["chat"].ask(key, "openai-h2/gpt-4o-mini",
                                    "a long one @words=400 @pause=0.05", True))
    while b"data:" not in sock.recv(65536):
        pass
    other = concurrent.futures.ThreadPoolExecutor(1).submit(
        upstream.ask, SHAPES["chat"], "short @words=20 @pause=0.02", True)
    sock.close()
    wait_for(lambda: upstream.trouble.streams_reset_by_peer > before, what="RST_STREAM")
    assert SHAPES["chat"].ended_clean(other.result(30).body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_both_attempts_of_a_hedge_on_one_connection(upstream, stream):
    """The one that lost is reset, alone: the other answers on the same connection."""
    resets, arrivals = upstream.trouble.streams_reset_by_peer, len(upstream.trouble.arrivals)
    upstream.trouble.add("hang")
    with Connection(upstream.gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(upstream.key, "raced", "hello there", stream))
        answer = connection.read()
    assert answer.status == 200 and answer.header("x-gateway-hedge") == "won"
    (entry,) = upstream.fleet.journal.entries()
    assert entry.json()["model"] == "gpt-4o"
    first, second = upstream.trouble.arrivals[arrivals:]
    assert first == second
    wait_for(lambda: upstream.trouble.streams_reset_by_peer == resets + 1, what="RST_STREAM")
    if stream:
        assert SHAPES["chat"].ended_clean(answer.body)
    else:
        assert answer.body == entry.reply
    assert upstream.ask(SHAPES["chat"]).status == 200


def test_an_error_keeps_its_status_and_body(upstream):
    with Connection(upstream.gateway.connect()) as connection:
        connection.send(request_bytes("/v1/chat/completions", {
            "model": "openai-h2/gpt-4o-mini", "messages": []},
            SHAPES["chat"].headers(upstream.key)))
        answer = connection.read()
    (entry,) = upstream.fleet.journal.entries()
    assert answer.status == entry.status == 400 and answer.body == entry.reply
