"""An answer that is given again: to whom, for what, at what cost, and when it is not."""
import concurrent.futures

import pytest

from tests.integration.books import told_cost, verify, wait_for
from tests.integration.gateway import provider_block
from tests.integration.rawhttp import Connection, request_bytes
from tests.integration.shapes import SHAPES

ASK = {"model": "gpt-4o-mini", "temperature": 0, "max_tokens": 50,
       "messages": [{"role": "user", "content": "hello there"}]}
ALIAS = "  - name: own\n    deployments: [{provider: %s, model: gpt-4o-mini}]\n"
ON = "surfaces: {gateway: {cache_s: 600}}"


@pytest.fixture(scope="module")
def gateway_options(fleet):
    return {"models": ALIAS % "openai", "extra": ON, "providers": provider_block(
        "passed", "openai", fleet.url("openai"), None).replace("auth: none", "auth: passthrough")}


@pytest.fixture
def fresh(gateway):
    """A key that nobody asked with before."""
    return gateway.new_key(surface="nexus")["key"]


def ask(gateway, key, body=None, path="/v1/chat/completions", **headers):
    return gateway.request("POST", path, body or ASK, key=key, headers={
        name.replace("_", "-"): value for name, value in headers.items()})


def outcome(answer):
    assert answer.status == 200, answer.body
    return answer.headers["X-Nexus-Cache"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", [SHAPES[name] for name in ("chat", "messages", "gemini")],
                         ids=["chat", "messages", "gemini"])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"])
def test_each_shape_in_its_own_grammar(gateway, fresh, fleet, shape, model, stream):
    body = shape.body(model, "hello there", stream)
    if shape.name == "gemini":
        body.setdefault("generationConfig", {})["temperature"] = 0
    else:
        body["temperature"] = 0
    answers = [gateway.request("POST", shape.path(model, stream), body, key=None,
                               headers=dict(shape.headers(fresh))) for _ in range(3)]
    assert [outcome(answer) for answer in answers] == ["MISS", "HIT", "HIT"]
    assert len(fleet.journal.entries()) == 1
    first = answers[0]
    for answer in answers[1:]:
        assert answer.body == first.body
        assert not stream or shape.ended_clean(answer.body)
        for name in ("Content-Type", "X-Nexus-Routed-Provider", "X-Nexus-Routed-Model",
                     "X-Gateway-Translation-Warnings", "X-Nexus-Coerced"):
            assert answer.headers.get(name) == first.headers.get(name), name
        assert answer.headers["X-Nexus-Attempts"] == "1"
    assert len({answer.headers["X-Nexus-Request-Id"] for answer in answers}) == 3


def test_a_difference_that_matters_is_asked_anew(gateway, fresh, fleet):
    assert outcome(ask(gateway, fresh)) == "MISS"
    for changed in (dict(ASK, temperature=0.0), dict(ASK, max_tokens=51), dict(ASK, seed=1),
                    dict(ASK, messages=[{"role": "user", "content": "hello there "}]),
                    dict(ASK, stream=True), dict(ASK, model="openai/gpt-4o-mini")):
        assert outcome(ask(gateway, fresh, changed)) == "MISS", changed
    assert outcome(ask(gateway, fresh, OpenAI_Organization="org-2")) == "MISS"
    assert outcome(ask(gateway, fresh, path="/v1/chat/completions?x=1")) == "MISS"
    assert len(fleet.journal.entries()) == 9
    # What differs with every request does not matter.
    assert outcome(ask(gateway, fresh, User_Agent="x", X_Request_Id="7",
                       X_Stainless_Retry_Count="1", X_Nexus_Request_Id="own-id")) == "HIT"


@pytest.mark.parametrize("changed", [
    {"temperature": None}, {"temperature": 0.1}, {"temperature": 0, "top_p": 0.9}], ids=str)
def test_what_is_left_to_chance_is_not_kept(gateway, fresh, changed):
    body = {name: value for name, value in dict(ASK, **changed).items() if value is not None}
    assert [outcome(ask(gateway, fresh, body)) for _ in range(2)] == ["MISS", "MISS"]


@pytest.mark.parametrize("field", [{"x_nexus_aigw_no_cache": "1"}, {"X_Nexus_No_Cache": "1"},
                                   {"Cache_Control": "no-cache"},
                                   {"Cache_Control": "no-store"}], ids=str)
def test_a_caller_may_want_an_answer_of_its_own(gateway, fresh, fleet, field):
    assert outcome(ask(gateway, fresh)) == "MISS"
    assert outcome(ask(gateway, fresh, **field)) == "MISS"
    assert outcome(ask(gateway, fresh)) == "HIT" and len(fleet.journal.entries()) == 2


def test_nobody_gets_another_ones_answer(gateway, fleet):
    keys = [gateway.new_key(surface="nexus", team="same")["key"] for _ in range(3)]
    assert [outcome(ask(gateway, key)) for key in keys] == ["MISS"] * 3
    assert [outcome(ask(gateway, key)) for key in keys] == ["HIT"] * 3
    assert len(fleet.journal.entries()) == 3


def test_only_who_may_is_answered(gateway, fresh):
    made = gateway.new_key(surface="nexus")
    for _ in range(2):
        ask(gateway, made["key"])
    gateway.request("PATCH", "/admin/keys/" + made["id"], {"models": ["claude-haiku-4-5"]})
    assert ask(gateway, made["key"]).status == 403
    gateway.request("PATCH", "/admin/keys/" + made["id"], {"models": ["gpt-4o-mini"]})
    assert outcome(ask(gateway, made["key"])) == "HIT"
    gateway.request("DELETE", "/admin/keys/" + made["id"])
    assert ask(gateway, made["key"]).status == 401


def test_another_configuration_forgets(gateway, fresh, fleet):
    body = dict(ASK, model="own")
    assert [outcome(ask(gateway, fresh, body)) for _ in range(2)] == ["MISS", "HIT"]
    gateway.write_config(models=ALIAS % "openai-b")
    try:
        assert gateway.request("POST", "/admin/reload").status == 200
        answer = ask(gateway, fresh, body)
        assert outcome(answer) == "MISS" and answer.headers["X-Nexus-Routed-Provider"] == "openai-b"
    finally:
        gateway.write_config()
        assert gateway.request("POST", "/admin/reload").status == 200


def test_a_target_that_was_switched_off_says_nothing(gateway, fresh):
    body = dict(ASK, model="own")
    assert [outcome(ask(gateway, fresh, body)) for _ in range(2)] == ["MISS", "HIT"]
    switch = {"model": "own", "provider": "openai"}
    assert gateway.request("POST", "/admin/deployments/disable", switch).status == 200
    try:
        assert ask(gateway, fresh, body).status != 200
    finally:
        assert gateway.request("POST", "/admin/deployments/enable", switch).status == 200
    assert outcome(ask(gateway, fresh, body)) == "HIT"


def test_what_failed_is_not_kept(gateway, fresh, fleet):
    fleet.providers["openai"].plan.add("500")
    assert ask(gateway, fresh).status == 500
    assert [outcome(ask(gateway, fresh)) for _ in range(2)] == ["MISS", "HIT"]
    body = dict(ASK, stream=True)
    for fault in ("noterminal", "errorevent", "halfevent"):
        fleet.providers["openai"].plan.add(fault)
        with Connection(gateway.connect()) as connection:
            connection.send(request_bytes("/v1/chat/completions", body, [
                ("Authorization", "Bearer " + fresh), ("Content-Type", "application/json")]))
            assert connection.read().header("x-nexus-cache", "MISS") == "MISS", fault
    assert [outcome(ask(gateway, fresh, body)) for _ in range(2)] == ["MISS", "HIT"]


def test_it_costs_nothing_and_says_so(gateway, fleet):
    made = gateway.new_key(monthly_budget_usd=1)
    headers = [("Authorization", "Bearer " + made["key"]), ("Content-Type", "application/json")]
    told = []
    for stream in (False, False, True, True):
        with Connection(gateway.connect()) as connection:
            connection.send(request_bytes("/v1/chat/completions", dict(ASK, stream=stream), headers))
            response = connection.read()
        assert response.status == 200
        told.append((response.header("x-gateway-cache"), told_cost(response)))
        for name in ("decision", "route-bucket", "route-score", "retries"):
            assert response.header("x-gateway-" + name), name
    assert [cache for cache, _ in told] == ["MISS", "HIT", "MISS", "HIT"]
    assert told[0][1] > 0 and told[2][1] > 0 and told[1][1] == told[3][1] == 0
    assert len(fleet.journal.entries()) == 2

    def usage():
        return gateway.request("GET", "/v1/usage", key=made["key"]).json()
    # It was a request all the same.
    wait_for(lambda: usage()["requests"] == 4, what="the records")
    assert round(usage()["cost_usd"] * 1e9) == told[0][1] + told[2][1]
    credits = gateway.request("GET", "/v1/credits", key=made["key"]).json()
    assert round(credits["spend_usd"] * 1e9) == told[0][1] + told[2][1]
    assert credits["held_usd"] == 0
    verify(gateway)


def test_it_counts_as_a_request_to_the_limit(gateway):
    key = gateway.new_key(surface="nexus", rpm=2)["key"]
    assert [ask(gateway, key).status for _ in range(3)] == [200, 200, 429]


def test_ingate_keeps_by_credential_too(gateway, fleet):
    key = gateway.new_key(surface="ingate")["key"]
    own = {"X_Ingate_Key": key, "X_Ingate_Provider": "passed"}
    good = dict(own, Authorization="Bearer " + fleet.key("openai"))
    assert [ask(gateway, None, **good).headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]
    # Whoever cannot pay the provider does not get what was bought there.
    assert ask(gateway, None, Authorization="Bearer wrong", **own).status == 401
    stored = {"X_Ingate_Key": key, "X_Ingate_Provider": "openai"}
    assert [ask(gateway, None, **stored).headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]
    other = dict(stored, X_Ingate_Provider="openai-b")
    assert ask(gateway, None, **other).headers["X-Cache"] == "MISS"
    assert ask(gateway, None, **stored).headers["X-Cache"] == "HIT"


def test_a_switch_of_each_contract(gateway, fresh):
    gateway.write_config(extra="surfaces: {nexus: {cache_s: 0}}")
    try:
        assert gateway.request("POST", "/admin/reload").status == 200
        native = gateway.new_key()["key"]
        assert [outcome(ask(gateway, fresh)) for _ in range(2)] == ["MISS", "MISS"]
        assert "X-Gateway-Cache" not in ask(gateway, native).headers
        assert float(ask(gateway, native).headers["X-Gateway-Cost-Usd"]) > 0
    finally:
        gateway.write_config()
        assert gateway.request("POST", "/admin/reload").status == 200


def test_many_at_once(gateway, fresh):
    """Equal and different requests in parallel: each gets the answer to its own question."""
    def one(index):
        text = "number %d" % (index % 7)
        answer = ask(gateway, fresh, dict(ASK, messages=[{"role": "user", "content": text}]))
        return text, answer

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for text, answer in pool.map(one, range(120)):
            assert answer.status == 200 and text.encode() in answer.body
