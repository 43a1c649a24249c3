"""What an auction costs: the caller is charged the price that was told, for the tokens that
were used; record, receipt, header and ledger agree. Who cannot answer is followed by the
next in the ranking."""
import json
import math
import pathlib
import sqlite3

import pytest

from tests.integration import books
from tests.integration.books import NANO

ROUTES = """\
routes:
  first/cheap:
    model: gpt-4o-mini
    auction: {category: talk, price_min: 0.5, price_max: 4.0}
  first/dear:
    model: claude-haiku-4-5
    auction: {category: talk, price_min: 2.0, price_max: 4.0}
  rank/broken:
    model: refused/gpt-4o-mini
    system: I am the broken one.
    auction: {category: rank, price_min: 0.1, price_max: 0.1}
  rank/failing:
    model: openai/fault-500
    system: I am the failing one.
    auction: {category: rank, price_min: 0.2, price_max: 0.2}
  rank/sound:
    model: claude-haiku-4-5
    system: I am the sound one.
    auction: {category: rank, price_min: 0.3, price_max: 0.3}
  hopeless/a:
    model: refused/gpt-4o-mini
    auction: {category: hopeless, price_min: 0.1, price_max: 0.1}
  hopeless/b:
    model: openai/fault-500
    auction: {category: hopeless, price_min: 0.2, price_max: 0.2}
  picky/small:
    model: openai/gpt-4
    auction: {category: picky, price_min: 0.1, price_max: 0.1}
  picky/large:
    model: gpt-4o-mini
    auction: {category: picky, price_min: 0.2, price_max: 0.2}
auctions:
  payment: first_price
"""
ASK = {"messages": [{"role": "user", "content": "Say something short."}]}


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": ROUTES, "retries": 2}


def bid(gateway, category, key, body=ASK, **core):
    payload = {"stoAuction": {"core": dict({"category": category}, **core)}}
    return gateway.request("POST", "/v1/chat/completions", dict(body, stoPayload=payload, model="any"),
                           key=key, headers={"X-Gateway-Route": "stolabs/stoAuction"})


def explain(gateway, category, body=ASK, **core):
    payload = {"stoAuction": {"core": dict({"category": category}, **core)}}
    answer = gateway.request("POST", "/admin/explain", {
        "path": "/v1/chat/completions", "headers": {"X-Gateway-Route": "stolabs/stoAuction"},
        "body": dict(body, stoPayload=payload, model="any")})
    assert answer.status == 200, answer.body
    return answer.json()


def receipt(gateway, answer, key):
    name = answer.headers["X-Gateway-Request-Id"]
    found = []

    def is_there():
        got = gateway.request("GET", "/v1/receipts/" + name, key=key["key"])
        if got.status == 200:
            found.append(got.json())
        return got.status == 200

    books.wait_for(is_there, what="receipt")
    return found[0]


def price_of(usage, mtok_usd):
    return (usage["prompt_tokens"] + usage["completion_tokens"]) * mtok_usd * 1000


@pytest.mark.parametrize("limits", [{}, {"monthly_budget_usd": 5}], ids=["free", "with a budget"])
def test_the_price_is_charged_everywhere(gateway, limits):
    key = gateway.new_key(name="payer", **limits)
    answer = bid(gateway, "talk", key["key"])
    assert answer.status == 200, answer.body
    expected = price_of(answer.json()["usage"], 0.5)
    assert expected > 0
    # The header is in dollars, the receipt too, the ledger in nano-dollars.
    assert float(answer.headers["X-Gateway-Cost-Usd"]) * NANO == pytest.approx(expected, abs=500)
    told = receipt(gateway, answer, key)
    assert told["cost_usd"] * NANO == pytest.approx(expected, abs=1)
    assert told["prices_usd_per_million"] == {"input_tokens": 0.5, "output_tokens": 0.5}
    rows = books.settled(gateway)
    assert rows[-1]["charged"] == expected
    books.verify(gateway)


def test_a_stream_is_charged_alike(gateway):
    key = gateway.new_key(name="streamer", monthly_budget_usd=5)
    answer = bid(gateway, "talk", key["key"], dict(ASK, stream=True,
                                               stream_options={"include_usage": True}))
    assert answer.status == 200
    usage = [json.loads(line[6:])["usage"] for line in answer.body.decode().splitlines()
             if line.startswith("data: {") and json.loads(line[6:]).get("usage")][-1]
    assert books.settled(gateway)[-1]["charged"] == price_of(usage, 0.5)


def test_the_price_bounds_what_is_held(gateway):
    """A budget that the place behind the agent would break, but its price does not."""
    body = dict(ASK, max_tokens=1000)
    key = gateway.new_key(name="tight", total_budget_usd=0.0015)
    assert bid(gateway, "talk", key["key"], body).status == 200
    poor = gateway.new_key(name="poor", total_budget_usd=0.0001)
    refused = bid(gateway, "talk", poor["key"], body)
    assert refused.status == 429 or refused.status == 402, refused.body
    books.settled(gateway)
    books.verify(gateway)


def test_the_next_in_the_ranking_answers(gateway, fleet):
    key = gateway.new_key(name="ranked", monthly_budget_usd=5)
    before = len(books.settled(gateway))
    answer = bid(gateway, "rank", key["key"])
    assert answer.status == 200, answer.body
    seen = fleet.journal.entries()
    # One place refuses the connection, one fails, one answers; each is told what it is.
    assert [entry.provider for entry in seen] == ["openai", "anthropic"]
    assert seen[0].json()["messages"][0] == {"role": "system", "content": "I am the failing one."}
    assert "I am the sound one." in json.dumps(seen[1].json()["system"])
    assert "broken" not in seen[1].body.decode() and "failing" not in seen[1].body.decode()
    assert answer.headers["X-Gateway-Retries"] == "2"
    # It is the price of the one that answered.
    expected = price_of(answer.json()["usage"], 0.3)
    # Ids of one millisecond are in no order.
    rows = sorted(books.settled(gateway)[before:], key=lambda row: row["attempt_no"])
    assert [row["state"] for row in rows] == ["released", "released", "settled"]
    assert rows[-1]["charged"] == expected
    assert len(receipt(gateway, answer, key)["attempts"]) == 3
    books.verify(gateway)


def test_nobody_can_answer(gateway, fleet):
    key = gateway.new_key(name="hopeless", monthly_budget_usd=5)
    answer = bid(gateway, "hopeless", key["key"])
    assert answer.status in (500, 502, 503), answer.body
    assert books.settled(gateway)[-1]["state"] == "released"
    books.verify(gateway)


def test_the_window_of_an_agent_counts(gateway):
    """8192 tokens are too few for the cheaper one."""
    assert explain(gateway, "picky")["auction"]["ranking"][0]["route_name"] == "picky/small"
    long = {"messages": [{"role": "user", "content": "word " * 9000}]}
    found = explain(gateway, "picky", long)["auction"]
    assert [one["route_name"] for one in found["ranking"]] == ["picky/large"]
    assert {"route_name": "picky/small", "why": "context window too small"}.items() <= \
        [one for one in found["dropped"] if one["route_name"] == "picky/small"][0].items()


def test_explain_tells_every_bid(gateway, fleet):
    found = explain(gateway, "talk", reserve_price=1.0)
    auction = found["auction"]
    assert [one["route_name"] for one in auction["ranking"]] == ["first/cheap"]
    assert auction["ranking"][0]["price"] == 0.5
    why = {one["route_name"]: one["why"] for one in auction["dropped"]}
    assert why["first/dear"] == "bids more than the reserve price"
    assert why["rank/sound"] == "of another category"
    assert all(one["expected_cost_usd"] > 0 for one in auction["dropped"] + auction["ranking"])
    # The plan is the winner's, at its price.
    assert found["route"] == "first/cheap"
    assert found["plan"][0]["target"] == "openai/gpt-4o-mini"
    tokens = found["plan"][0]["input_tokens"] + found["tokens"]["output"]
    assert found["plan"][0]["expected_cost_usd"] == pytest.approx(tokens * 0.5e-6, rel=0.01)
    nobody = explain(gateway, "talk", reserve_price=0.1)
    assert nobody["error"]["code"] == "no_eligible_agents" and not nobody["plan"]
    assert not nobody["auction"]["ranking"] and len(nobody["auction"]["dropped"]) == 9
    assert not fleet.journal.entries()


def test_the_charge_is_no_more_than_the_reserve_price(gateway):
    key = gateway.new_key(name="reserved")
    answer = bid(gateway, "talk", key["key"], reserve_price=0.7)
    tokens = answer.json()["usage"]["total_tokens"]
    books.settled(gateway)
    assert float(answer.headers["X-Gateway-Cost-Usd"]) <= math.ceil(tokens * 0.7) * 1e-6


def recorded_bids(gateway, request_id):
    store = sqlite3.connect("file:%s?mode=ro" % (pathlib.Path(gateway.directory) / "sluice.db"),
                            uri=True)
    try:
        row = store.execute("SELECT bids FROM records WHERE request_id = ?",
                            (request_id,)).fetchone()
    finally:
        store.close()
    return row and row[0]


def test_every_bid_is_recorded_for_the_operator(gateway):
    key = gateway.new_key(name="audited")
    answer = bid(gateway, "talk", key["key"], reserve_price=1.0)
    name = answer.headers["X-Gateway-Request-Id"]
    books.wait_for(lambda: recorded_bids(gateway, name), limit_s=15, what="record")
    qualified, others = recorded_bids(gateway, name).split(" | ")
    assert qualified == "first/cheap=0.5"
    found = dict(one.split("=") for one in others.split())
    assert found["first/dear"] == "2" and found["rank/broken"] == "0.1" and len(found) == 8
    # Sealed: what others bid is told to no caller.
    assert "first/dear" not in json.dumps(receipt(gateway, answer, key))
    plain = gateway.request("POST", "/v1/chat/completions", dict(ASK, model="gpt-4o-mini"),
                            key=key["key"])
    receipt(gateway, plain, key)
    assert recorded_bids(gateway, plain.headers["X-Gateway-Request-Id"]) is None


def test_who_bids_more_than_is_left_is_out(gateway, fleet):
    """The key has money for the one agent but not for the other."""
    expected = {one["route_name"]: one["expected_cost_usd"]
                for one in explain(gateway, "talk")["auction"]["ranking"]}
    between = (expected["first/cheap"] + expected["first/dear"]) / 2
    ranking = {"category": "talk", "auction_mode": "air"}
    rich, key = gateway.new_key(name="rich"), gateway.new_key(name="some", total_budget_usd=between)
    assert [one["route_name"] for one in bid(gateway, key=rich["key"], **ranking).json()["candidates"]] \
        == ["first/cheap", "first/dear"]
    assert [one["route_name"] for one in bid(gateway, key=key["key"], **ranking).json()["candidates"]] \
        == ["first/cheap"]
    payload = {"stoAuction": {"core": {"category": "talk"}}}
    found = gateway.request("POST", "/admin/explain", {
        "path": "/v1/chat/completions", "headers": {"X-Gateway-Route": "stolabs/stoAuction"},
        "key": key["id"], "body": dict(ASK, stoPayload=payload, model="any")}).json()["auction"]
    why = {one["route_name"]: one["why"] for one in found["dropped"]}
    assert why["first/dear"] == "bids more than is left of the caller's budget or balance"
    # Who can pay nobody: a ranking says so, a purchase is refused as by any empty budget.
    poor = gateway.new_key(name="poorer", total_budget_usd=expected["first/cheap"] / 2)
    nobody = bid(gateway, key=poor["key"], **ranking)
    assert nobody.status == 404 and "budget" in nobody.json()["error"]["message"]
    assert bid(gateway, "talk", poor["key"]).status in (402, 429)
    assert not fleet.journal.entries()
