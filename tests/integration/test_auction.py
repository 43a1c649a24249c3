"""Auctions of the 638Labs contract: AIX executes, AIR ranks, quality is measured."""
import json

import pytest

from tests.integration.rawhttp import sse_frames

CHAT = {"messages": [{"role": "user", "content": "Shorten this text, please."}]}
AUCTION = "stolabs/stoAuction"
ROUTES = """\
routes:
  stolabs/deep-read:
    model: claude-haiku-4-5
    auction: {category: summarization, price_min: 0.30, price_max: 2.00, quality: 0.95}
  stolabs/bullet-bot:
    model: gpt-4o-mini
    system: Summarise.
    auction: {category: summarization, price_min: 0.10, price_max: 0.60, quality: 0.8}
  other/undercutter:
    model: gpt-4o-mini
    auction: {category: summarization, price_min: 0.20, price_max: 0.90, bid: undercut}
  other/adaptive:
    model: gpt-4o-mini
    auction: {category: chat, price_min: 1, price_max: 3, bid: adaptive}
  other/broken:
    model: refused/gpt-4o-mini
    auction: {category: translation, price_min: 0.1, price_max: 0.1}
  other/sound:
    model: gpt-4o-mini
    auction: {category: translation, price_min: 0.2, price_max: 0.2}
  other/none:
    model: gpt-4o-mini
auctions:
  payment: second_score
  quality_value: 1
"""


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": ROUTES}


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(name="auction", surface="stolabs")["key"]


@pytest.fixture
def ask(gateway, key):
    def ask(core, body=CHAT, key=key, payload=None, **constraints):
        if payload is None:
            payload = {"stoAuction": {"core": core, "constraints": constraints, "preferences": {}}}
        return gateway.request("POST", "/api/v1", dict(body, stoPayload=payload), key=None, headers={
            "X-Stolabs-Api-Key": key, "X-Stolabs-Route-Name": AUCTION})
    return ask


@pytest.mark.parametrize("mode", [{}, {"auction_mode": "aix"}], ids=["by default", "named"])
def test_the_best_bid_executes(ask, fleet, mode):
    answer = ask(dict({"category": "summarization", "reserve_price": 1.0,
                       "price_unit": "1million_token"}, **mode))
    assert answer.status == 200, answer.body
    found = answer.json()
    endpoint = found["message"]["endpoint"]
    assert endpoint["route_name"] == "stolabs/bullet-bot" and endpoint["bid_price"] == 0.1
    # Of newcomers, all of one quality, the next bid is the price: deep-read's 0.3. Who has
    # answered well is worth more, up to the reserve price.
    if mode:
        assert 0.3 < endpoint["price"] <= 1.0
    else:
        assert endpoint["price"] == pytest.approx(0.3, rel=1e-3)
    assert found["choices"][0]["message"]["content"]
    seen = fleet.journal.last()
    assert found["message"]["result"] == json.loads(seen.reply)
    assert found["id"] == json.loads(seen.reply)["id"]
    assert seen.json()["messages"][0] == {"role": "system", "content": "Summarise."}
    assert "stoPayload" not in seen.json() and len(fleet.journal.entries()) == 1


def test_a_stream_is_the_winners(ask, fleet):
    answer = ask({"category": "summarization"}, body=dict(CHAT, stream=True,
                                                     stream_options={"include_usage": True}))
    assert answer.status == 200
    assert answer.body == fleet.journal.last().reply
    assert sse_frames(answer.body)[-1][1] == "[DONE]"


def test_a_ranking_executes_nothing(ask, fleet):
    answer = ask({"category": "summarization", "auction_mode": "air", "top_k": 2,
                  "reserve_price": 0.5})
    assert answer.status == 200, answer.body
    found = answer.json()
    assert found["candidates"] == found["message"]["candidates"]
    # The undercutter asks a twentieth less than the reserve price, the third of three.
    assert [(one["rank"], one["route_name"], one["bid_price"]) for one in found["candidates"]] == [
        (1, "stolabs/bullet-bot", 0.1), (2, "stolabs/deep-read", 0.3)]
    for one in found["candidates"]:
        assert one["price"] == one["bid_price"] and one["category"] == "summarization"
        assert 0 < one["reputation_score"] < 1
    three = ask({"category": "summarization", "auction_mode": "air", "reserve_price": 0.5}).json()
    assert three["candidates"][2]["route_name"] == "other/undercutter"
    assert three["candidates"][2]["price"] == pytest.approx(0.475, rel=1e-3)
    assert not fleet.journal.entries()


def test_no_category_is_every_category(ask):
    found = ask({"auction_mode": "air", "top_k": 64}).json()["candidates"]
    assert len(found) == 6
    assert found == sorted(found, key=lambda one: one["rank"])


def test_constraints(ask):
    found = ask({"category": "summarization", "auction_mode": "air"},
                model_family="claude-haiku-4-5", model_flavour="any").json()["candidates"]
    assert [one["route_name"] for one in found] == ["stolabs/deep-read"]


def test_a_key_bids_only_for_its_models(gateway, ask):
    key = gateway.new_key(name="narrow", surface="stolabs", models=["claude-haiku-4-5"])["key"]
    found = ask({"category": "summarization", "auction_mode": "air"}, key=key).json()["candidates"]
    assert [one["route_name"] for one in found] == ["stolabs/deep-read"]


@pytest.mark.parametrize("core", [{"category": "summarization", "reserve_price": 0.05},
                                  {"category": "scraping"}], ids=["too dear", "no category"])
def test_nobody_is_eligible(ask, fleet, core):
    answer = ask(core)
    assert (answer.status, answer.json()["error"]["code"]) == (404, "no_eligible_agents")
    assert not fleet.journal.entries()


@pytest.mark.parametrize("payload", [
    {}, {"stoAuction": {}}, {"stoAuction": {"core": 3}},
    {"stoAuction": {"core": {"auction_mode": "english"}}},
    {"stoAuction": {"core": {"reserve_price": "cheap"}}},
    {"stoAuction": {"core": {"reserve_price": -1}}},
    {"stoAuction": {"core": {"price_unit": "token"}}},
    {"stoAuction": {"core": {"top_k": 0}}},
    {"stoAuction": {"core": {"category": 7}}},
    {"stoAuction": {"core": {"category": ["summarization"]}}},
    {"stoAuction": {"core": {"auction_mode": True}}},
    {"stoAuction": {"core": {"auction_type": "dutch"}}},
    {"stoAuction": {"core": {}, "constraints": {"model_family": {}}}},
], ids=str)
def test_what_is_wrong_is_said(ask, fleet, payload):
    answer = ask(None, payload=payload)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_sto_payload")
    assert not fleet.journal.entries()


def test_quality_is_measured(ask):
    """The cheaper agent's place refuses connections: what it is seen to do weighs more in
    the end than a lower bid."""
    core = {"category": "translation"}
    winners = []
    for _ in range(12):
        answer = ask(core)
        if answer.status == 200:
            winners.append(answer.json()["message"]["endpoint"]["route_name"])
        else:
            winners.append("other/broken")
            assert answer.status in (502, 503)
    assert winners[0] == "other/broken"
    assert winners[-1] == "other/sound"


def test_who_wins_asks_more(ask):
    """An adaptive agent alone in its category."""
    def price():
        return ask({"category": "chat", "auction_mode": "air"}).json()["candidates"][0]["price"]

    before = price()
    assert before == pytest.approx(2.0, rel=1e-3)
    for _ in range(4):
        assert ask({"category": "chat"}).status == 200
    assert before < price() <= 3.0
