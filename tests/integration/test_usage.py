"""Headers of the contract, cost, and the books against the emulators' bill."""
import time
from decimal import Decimal

import pytest

from tests.integration.gateway import PRICES, Gateway
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES


def ask(gateway, key, shape, **options):
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, **options))
        return connection.read()


def price(target, used_in, used_out):
    per_in, per_out = PRICES[target]
    return "%.6f" % ((used_in * per_in + used_out * per_out) / 1e6)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_contract_headers(gateway, key, shape, stream):
    response = ask(gateway, key, shape, prompt="@in=1000 @out=500", stream=stream)
    target = "%s/%s" % (shape.provider, shape.model)
    assert response.header("x-gateway-decision") == target
    assert response.header("x-gateway-route-bucket") == "direct"
    assert response.header("x-gateway-route-score") == "0.00"
    assert response.header("x-gateway-retries") == "0"
    assert response.header("x-gateway-request-id")
    expected = price(target, 1000, 500)
    if stream:
        assert "x-gateway-cost-usd" in response.header("trailer", "").lower()
        assert response.trailer("x-gateway-cost-usd") == expected
    else:
        assert response.header("x-gateway-cost-usd") == expected


def test_embeddings_have_the_headers(gateway, key):
    answer = gateway.request("POST", "/v1/embeddings",
                             {"model": "openai/text-embedding-3-small", "input": "a b"}, key=key)
    assert answer.status == 200
    assert answer.headers["x-gateway-decision"] == "openai/text-embedding-3-small"
    assert answer.headers["x-gateway-cost-usd"]


def spend(gateway, wanted_requests):
    """The spend report, once the writer thread has caught up."""
    deadline = time.monotonic() + 60
    while True:
        data = gateway.request("GET", "/admin/spend").json()["data"]
        if sum(row["requests"] for row in data["by_model"]) >= wanted_requests:
            return data
        assert time.monotonic() < deadline, data
        time.sleep(0.1)


@pytest.fixture
def fresh(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet).start()
    yield gateway
    gateway.stop()


def test_spend_equals_the_bill(fresh, fleet):
    one, two = fresh.new_key(name="one", team="red"), fresh.new_key(name="two", team="blue")
    for number, made in enumerate((one, two, one)):
        for shape in SHAPES.values():
            for stream in (False, True):
                response = ask(fresh, made["key"], shape, stream=stream,
                               prompt="hello @in=%d @out=%d" % (100 + number, 10 + number))
                assert response.status == 200
    bill = {}
    for entry in fleet.journal.entries():
        usage = entry.usage
        used_in = usage.get("prompt_tokens", usage.get("input_tokens",
                                                       usage.get("promptTokenCount")))
        used_out = usage.get("completion_tokens", usage.get("output_tokens",
                                                            usage.get("candidatesTokenCount")))
        row = bill.setdefault(entry.model, [0, 0, 0])
        row[0] += 1
        row[1] += used_in
        row[2] += used_out
    data = spend(fresh, 24)
    assert len(data["by_model"]) == len(bill)
    total = Decimal(0)
    prices = {name.partition("/")[2]: pair for name, pair in PRICES.items()}
    for row in data["by_model"]:
        name = row["model"].rpartition("/")[2]
        assert [row["requests"], row["input_tokens"], row["output_tokens"]] == bill[name], name
        cost = (bill[name][1] * Decimal(str(prices[name][0]))
                + bill[name][2] * Decimal(str(prices[name][1]))) / 1000000
        assert Decimal(str(row["cost_usd"])) == cost
        total += cost
    by_key = {row["key"]: row for row in data["by_key"]}
    assert by_key[one["id"]]["requests"] == 16 and by_key[two["id"]]["requests"] == 8
    assert sum(Decimal(str(row["cost_usd"])) for row in data["by_key"]) == total
    assert {row["team"]: row["requests"] for row in data["by_team"]} == {"red": 16, "blue": 8}


def test_records_survive_a_restart(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet).start()
    key = gateway.new_key()["key"]
    for _ in range(20):
        assert ask(gateway, key, SHAPES["chat"]).status == 200
    gateway.stop()
    gateway.start()
    assert ask(gateway, key, SHAPES["chat"]).status == 200, "the key survived"
    data = spend(gateway, 21)
    assert sum(row["requests"] for row in data["by_model"]) == 21
    gateway.stop()


def test_cached_tokens_are_priced_apart(gateway, key):
    """Cached input never costs more than fresh input, and is not counted twice."""
    plain = ask(gateway, key, SHAPES["chat"], prompt="@in=1000 @out=0")
    cached = ask(gateway, key, SHAPES["chat"], prompt="@in=1000 @out=0 @cached=800")
    cost = [Decimal(r.header("x-gateway-cost-usd")) for r in (plain, cached)]
    assert Decimal(0) < cost[1] <= cost[0]


def test_unpriced_is_not_zero(gateway, key):
    response = ask(gateway, key, SHAPES["chat"], model="openai/house-model")
    assert response.status == 200
    assert response.header("x-gateway-cost-usd", "unpriced") != "0.000000"
    stream = ask(gateway, key, SHAPES["chat"], model="openai/house-model", stream=True)
    assert stream.trailer("x-gateway-cost-usd") != "0.000000"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows = [row for row in gateway.request("GET", "/admin/spend").json()["data"]["by_model"]
                if "house-model" in row["model"]]
        if rows and rows[0]["requests"] == 2:
            break
        time.sleep(0.1)
    assert rows[0]["unpriced_requests"] == 2, rows


def test_failures_cost_nothing(gateway, key):
    for fault in ("500", "429", "hang"):
        response = ask(gateway, key, SHAPES["chat"], model="openai/fault-" + fault)
        assert response.header("x-gateway-cost-usd", "0.000000") == "0.000000"


def test_retries_and_fallback(binary, fleet, tmp_path):
    """Another deployment serves when the first cannot, and the header counts it."""
    models = """\
  - name: robust
    strategy: priority
    deployments:
      - {provider: refused, model: gpt-4o-mini, priority: 1}
      - {provider: openai-b, model: gpt-4o-mini, priority: 2}
  - name: flaky
    strategy: priority
    deployments:
      - {provider: openai, model: fault-503, priority: 1}
      - {provider: openai-b, model: gpt-4o-mini, priority: 2}
"""
    gateway = Gateway(tmp_path, fleet, models=models, retries=2).start()
    key = gateway.new_key()["key"]
    for alias in ("robust", "flaky"):
        for stream in (False, True):
            response = ask(gateway, key, SHAPES["chat"], model=alias, stream=stream)
            assert response.status == 200, (alias, response)
            assert response.header("x-gateway-decision") == "openai-b/gpt-4o-mini"
            assert response.header("x-gateway-retries") == "1"
    gateway.stop()
