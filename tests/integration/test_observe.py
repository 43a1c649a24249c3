"""Seen from outside: health, readiness, metrics, the access log, request ids."""
import json
import re
import time

import pytest

from tests.integration.gateway import MASTER_KEY
from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES

CHAT = SHAPES["chat"]
CANARY = "canary-prompt-7f3a9b"


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "log: {level: debug}\n"}


def ask(gateway, key, shape=CHAT, headers=(), **options):
    request = shape.ask(key, **options)
    for pair in headers:
        request = request.replace(b"\r\nHost", ("\r\n%s: %s\r\nHost" % pair).encode(), 1)
    with Connection(gateway.connect()) as connection:
        connection.send(request)
        return connection.read()


def test_health_and_ready_call_no_model(gateway, fleet):
    for path in ("/health", "/ready"):
        answer = gateway.request("GET", path, key=None)
        assert answer.status == 200
        json.loads(answer.body)
    assert fleet.journal.entries() == []


def test_front_page(gateway):
    answer = gateway.request("GET", "/", key=None)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    page = answer.body.decode()
    assert "Sluice" in page and "curl" in page and "/v1/chat/completions" in page
    assert MASTER_KEY not in page and "gw_virt_0" not in page


# --- metrics ---------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(r"^(%s)(?:\{(%s(?:,%s)*)?,?\})? (NaN|[+-]Inf|[-+0-9.eE]+)$"
                    % (NAME, LABEL, LABEL))


def parse_metrics(text):
    """Prometheus text format 0.0.4, strictly: {family: (type, {labels: value})}."""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        help_or_type = re.match(r"^# (HELP|TYPE) (%s) (.*)$" % NAME, line)
        if help_or_type:
            what, name, rest = help_or_type.groups()
            if what == "TYPE":
                assert rest in ("counter", "gauge", "histogram", "summary", "untyped")
                assert name not in families, "%s is declared twice" % name
                families[name] = (rest, {})
                current = name
            continue
        sample = SAMPLE.match(line)
        assert sample, "not a sample: %r" % line
        name, labels, value = sample.groups()
        assert current and (name == current or (
            families[current][0] in ("histogram", "summary")
            and name in (current + "_bucket", current + "_sum", current + "_count"))), line
        spot = (name, labels or "")
        assert spot not in families[current][1], "%s twice" % (spot,)
        families[current][1][spot] = float(value)
    for name, (kind, samples) in families.items():
        if kind == "histogram":
            check_histogram(name, samples)
        if kind == "counter":
            assert name.endswith("_total") or "gen_ai" in name, name
            assert all(value >= 0 for value in samples.values())
    return families


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        if sample == name + "_bucket":
            bound = re.search(r'(?:^|,)le="([^"]+)"', labels)
            assert bound, labels
            rest = re.sub(r',?le="[^"]+"', "", labels).lstrip(",")
            series.setdefault(rest, []).append((float(bound.group(1)), value))
    for rest, buckets in series.items():
        assert buckets == sorted(buckets), "buckets out of order"
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), "buckets are not cumulative"
        assert buckets[-1][0] == float("inf")
        assert samples[(name + "_count", rest)] == counts[-1]
        assert (name + "_sum", rest) in samples


def metrics(gateway):
    answer = gateway.request("GET", "/metrics", key=MASTER_KEY)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parse_metrics(answer.body.decode())


def total(families, pattern, labels=""):
    return sum(value for kind, samples in families.values()
               for (name, have), value in samples.items()
               if re.search(pattern, name) and labels in have)


def test_metrics_count(gateway, key):
    before = metrics(gateway)
    for number in range(5):
        ask(gateway, key, stream=number % 2 == 1, prompt="@in=100 @out=10")
    ask(gateway, "gw_virt_wrong")
    deadline = time.monotonic() + 60
    while True:
        after = metrics(gateway)
        grown = total(after, r"requests_total$") - total(before, r"requests_total$")
        if grown >= 6 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert grown == 6
    words = " ".join(after)
    for needed in ("request", "token", "cost", "duration", "first"):
        assert needed in words, "no metric about %r in %s" % (needed, words)
    assert any(kind == "histogram" for kind, _ in after.values())


def test_metrics_cardinality_is_bounded(gateway, key):
    """What a caller writes does not become a label."""
    for number in range(30):
        ask(gateway, key, model="made-up-%d" % number)
    text = gateway.request("GET", "/metrics", key=MASTER_KEY).body.decode()
    assert "made-up-" not in text
    assert key not in text


# --- log ------------------------------------------------------------------

def log_lines(gateway):
    lines = []
    # The last may be under way.
    for line in gateway.logs().split("\n")[:-1]:
        if line.startswith("{"):
            lines.append(json.loads(line))
    return lines


def log_of(gateway, request_id):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [line for line in log_lines(gateway) if request_id in json.dumps(line)]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("no log line with %s:\n%s" % (request_id, gateway.logs()[-2000:]))


def test_access_log(gateway, key):
    response = ask(gateway, key, prompt="@in=123 @out=45")
    line = log_of(gateway, response.header("x-gateway-request-id"))[-1]
    text = json.dumps(line)
    assert "gpt-4o-mini" in text and "openai" in text and "200" in text
    assert "123" in text and "45" in text


def test_every_line_of_the_log_is_json(gateway, key):
    nasty = '"}\u2028\x7f\x1b[31m\\u0000'
    ask(gateway, key, prompt="x", headers=[("User-Agent", "a\"b\\c\t<>"),
                                           ("x-request-id", 'quote"back\\slash')])
    ask(gateway, key, model=nasty)
    ask(gateway, key, SHAPES["gemini"], model="no%0asuch")
    log_of(gateway, ask(gateway, key).header("x-gateway-request-id"))
    text = gateway.log.read_text()
    lines = [line for line in text.split("\n")[:-1] if line]
    assert lines
    for line in lines:
        assert "\x1b" not in line and "\x00" not in line
        value = json.loads(line)
        assert isinstance(value, dict)


def test_no_secret_and_no_prompt_in_the_log(gateway, key, fleet):
    for shape in SHAPES.values():
        for stream in (False, True):
            ask(gateway, key, shape, prompt=CANARY, stream=stream)
            for fault in ("500", "fin-300", "badjson", "html", "errorevent", "401"):
                ask(gateway, key, shape, prompt=CANARY, stream=stream,
                    model="%s/fault-%s" % (shape.provider, fault))
        ask(gateway, "gw_virt_" + "ab" * 32, shape, prompt=CANARY)
    gateway.request("POST", "/v1beta/models/gemini-2.5-flash:generateContent?key=" + key,
                    SHAPES["gemini"].body("", CANARY, False), key=None)
    gateway.request("POST", "/v1/chat/completions", ('{"model": "%s' % CANARY).encode(), key=key)
    log_of(gateway, ask(gateway, key).header("x-gateway-request-id"))
    logs = gateway.logs() + gateway.request("GET", "/metrics").body.decode()
    secrets = [key, MASTER_KEY, "ab" * 32, CANARY] + [p.key for p in fleet.providers.values()]
    for secret in secrets:
        assert secret not in logs, "%s... in the log" % secret[:12]
        assert secret[:24] not in logs or secret == CANARY


# --- ids --------------------------------------------------------------------

def test_request_id(gateway, key):
    made = ask(gateway, key)
    assert made.header("x-request-id")
    assert made.header("x-gateway-request-id")
    given = ask(gateway, key, headers=[("x-request-id", "mine-42")])
    assert given.header("x-request-id") == "mine-42"
    assert given.header("x-gateway-request-id") != "mine-42"
    assert "mine-42" in json.dumps(log_of(gateway, given.header("x-gateway-request-id")))
    error = ask(gateway, "gw_virt_wrong")
    assert error.header("x-request-id")


def test_anthropic_request_id(gateway, key):
    assert ask(gateway, key, SHAPES["messages"]).header("request-id")
    refused = ask(gateway, "gw_virt_wrong", SHAPES["messages"])
    assert refused.header("request-id")
    assert refused.json()["request_id"] == refused.header("request-id")


@pytest.mark.parametrize("value", ["x" * 2000, "with space", "new\tline", "\u00e9"])
def test_odd_request_ids_are_not_echoed_raw(gateway, key, value):
    body = CHAT.ask(key).replace(b"\r\nHost", b"\r\nx-request-id: " + value.encode("latin-1")
                                 + b"\r\nHost", 1)
    with Connection(gateway.connect()) as connection:
        connection.send(body)
        response = connection.read()
    assert response.status in (200, 400)
    assert len(response.header("x-request-id", "")) <= 256


def test_traceparent(gateway, key, fleet):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    response = ask(gateway, key, headers=[("traceparent", "00-%s-00f067aa0ba902b7-01" % trace)])
    sent = fleet.journal.last().header("traceparent")
    assert sent and sent.split("-")[1] == trace and sent.split("-")[2] != "00f067aa0ba902b7"
    assert trace in json.dumps(log_of(gateway, response.header("x-gateway-request-id")))
    ask(gateway, key)
    fresh = fleet.journal.last().header("traceparent")
    assert re.match(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$", fresh) and trace not in fresh
    ask(gateway, key, headers=[("traceparent", "00-" + "0" * 32 + "-00f067aa0ba902b7-01")])
    assert "0" * 32 not in fleet.journal.last().header("traceparent")


# --- CORS -------------------------------------------------------------------

def test_cors_is_off(gateway, key):
    response = ask(gateway, key, headers=[("Origin", "https://page.test")])
    assert response.header("access-control-allow-origin") is None
    with Connection(gateway.connect()) as connection:
        connection.send(request_bytes("/v1/chat/completions", b"", [
            ("Origin", "https://page.test"), ("Access-Control-Request-Method", "POST")],
            "OPTIONS"))
        assert connection.read("OPTIONS").header("access-control-allow-origin") is None
