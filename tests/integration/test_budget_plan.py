"""What is left of budgets and balances takes part in the plan: a target that may cost more than
that is left out while another can be paid, and explain says so. Where none can be paid the hold
refuses as it always did."""
import pytest

from tests.integration import books
from tests.integration.books import NANO

DEAR, CHEAP = "openai/gpt-4.1", "openai/gpt-4.1-nano"
MODELS = """\
  - name: pair
    strategy: priority
    deployments:
      - {provider: openai, model: gpt-4.1, priority: 1}
      - {provider: openai, model: gpt-4.1-nano, priority: 2}
  - {name: dear, deployments: [{provider: openai, model: gpt-4.1}]}
  - name: grows
    strategy: priority
    deployments:
      - {provider: anthropic, model: claude-opus-4-1, priority: 1}
      - {provider: openai, model: gpt-4.1-nano, priority: 2}
"""
EXTRA = """\
stacks:
  - {slug: roomy, models: [pair], objective: premium}
"""
BODY = {"model": "pair", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello."}]}


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": MODELS, "extra": EXTRA}


def ask(gateway, key, headers=None, **body):
    return gateway.request("POST", "/v1/chat/completions", dict(BODY, **body), key=key["key"],
                           headers=headers)


def explain(gateway, key, headers=None, **body):
    found = gateway.request("POST", "/admin/explain", {
        "body": dict(BODY, **body), "key": key["id"], "headers": headers or {}}).json()
    return [one["target"] for one in found["plan"]], found


@pytest.fixture(scope="module")
def bounds(gateway):
    """What the hold of each target asks for, as explain tells a key that can pay both."""
    order, found = explain(gateway, gateway.new_key(total_budget_usd=100))
    bounds = {one["target"]: one["hold_usd"] for one in found["plan"]}
    assert order == [DEAR, CHEAP] and not found["dropped"]
    assert 0 < bounds[CHEAP] < bounds[DEAR]
    return bounds


@pytest.fixture
def between(bounds):
    """Enough for several of the cheap ones, and for none of the dear."""
    return (bounds[CHEAP] + bounds[DEAR]) / 2


def refusal(answer):
    """All that a refusal says, but for what is another in every one."""
    error = answer.json()["error"]
    headers = {name: answer.headers.get(name)
               for name in ("retry-after", "x-should-retry", "x-gateway-limit-kind")}
    return answer.status, error["type"], error.get("code"), headers


def serves_the_cheap(gateway, fleet, key, headers=None, **body):
    order, found = explain(gateway, key, headers, **body)
    assert order == [CHEAP], found
    assert [one["target"] for one in found["dropped"]] == [DEAR]
    dropped = found["dropped"][0]
    assert dropped["why"] == "budget: it may cost more than is left"
    assert dropped["hold_usd"] > found["plan"][0]["hold_usd"] > 0
    assert dropped["expected_cost_usd"] > 0
    fleet.journal.reset()
    answer = ask(gateway, key, headers, **body)
    assert answer.status == 200, answer.body
    assert answer.headers["X-Gateway-Decision"] == CHEAP
    assert [entry.json()["model"] for entry in fleet.journal.entries()] == ["gpt-4.1-nano"]


@pytest.mark.parametrize("limit", ["total_budget_usd", "daily_budget_usd", "monthly_budget_usd",
                                   "request_budget_usd"])
def test_the_dear_one_is_left_out(gateway, fleet, between, limit):
    serves_the_cheap(gateway, fleet, gateway.new_key(**{limit: between}))


def test_without_fallback(gateway, fleet, between):
    serves_the_cheap(gateway, fleet, gateway.new_key(total_budget_usd=between),
                     {"X-Gateway-Fallback": "false"})


def test_a_prepaid_balance(gateway, fleet, bounds, between):
    assert gateway.request("POST", "/admin/workspaces",
                           {"slug": "paid", "prepaid": True}).status == 201
    key = gateway.new_key(workspace="paid")
    empty = ask(gateway, key)
    assert empty.status == 402 and not fleet.journal.entries()
    assert gateway.request("POST", "/admin/workspaces/paid/credits", {
        "amount_usd": between, "external_id": "pay-1", "note": "test"}).status == 201
    serves_the_cheap(gateway, fleet, key)


def test_what_must_be_there_need_not_stay(gateway, bounds):
    """Hold, plan and explain read minimum_balance_usd alike."""
    for left, minimum, decision in ((DEAR, CHEAP, DEAR), (CHEAP, CHEAP, CHEAP), (CHEAP, DEAR, None)):
        slug = "least-%d-%d" % (left == DEAR, minimum == DEAR)
        assert gateway.request("POST", "/admin/workspaces", {
            "slug": slug, "prepaid": True, "minimum_balance_usd": bounds[minimum]}).status == 201
        assert gateway.request("POST", "/admin/workspaces/%s/credits" % slug, {
            "amount_usd": bounds[left], "external_id": slug, "note": "test"}).status == 201
        key = gateway.new_key(workspace=slug)
        order, found = explain(gateway, key)
        told, = found["budgets"]
        assert (told["level"], told["window"]) == ("workspace", "balance")
        assert told["left_usd"] == (bounds[left] if decision else 0)
        assert not decision or order[0] == decision
        answer = ask(gateway, key)
        assert answer.status == (200 if decision else 402), answer.body
        assert not decision or answer.headers["X-Gateway-Decision"] == decision


def test_a_stack_of_its_own_budget(gateway, fleet, between):
    assert gateway.request("POST", "/admin/stacks", {
        "slug": "poor", "models": ["pair"], "objective": "premium",
        "daily_budget_usd": between}).status == 201
    key = gateway.new_key()
    serves_the_cheap(gateway, fleet, key, {"X-Gateway-Stack": "poor"}, model="auto")
    answer = ask(gateway, key, {"X-Gateway-Stack": "roomy"}, model="auto")
    assert answer.headers["X-Gateway-Decision"] == DEAR


def test_to_the_nano_dollar(gateway, bounds):
    """The plan leaves out what the hold would refuse, and nothing else."""
    exact = round(bounds[DEAR] * NANO)
    for short, decision in ((0, DEAR), (1, CHEAP)):
        key = gateway.new_key(total_budget_usd=(exact - short) / NANO)
        answer = ask(gateway, key)
        assert (answer.status, answer.headers["X-Gateway-Decision"]) == (200, decision)


def test_one_that_grows_beyond_the_budget_is_passed_over(gateway, fleet):
    """The plan knows what came in; what a translation adds the hold finds, and the next is tried."""
    tools = [{"type": "function", "function": {"name": "f%d" % i}} for i in range(20)]
    _, found = explain(gateway, gateway.new_key(total_budget_usd=100), model="grows", tools=tools)
    grown, cheap = [one["hold_usd"] for one in found["plan"]]
    key = gateway.new_key(total_budget_usd=grown)
    order, _ = explain(gateway, key, model="grows", tools=tools)
    assert order == ["anthropic/claude-opus-4-1", CHEAP]
    fleet.journal.reset()
    answer = ask(gateway, key, model="grows", tools=tools)
    assert answer.status == 200, answer.body
    assert answer.headers["X-Gateway-Decision"] == CHEAP
    assert [entry.provider for entry in fleet.journal.entries()] == ["openai"]
    little = ask(gateway, gateway.new_key(total_budget_usd=cheap / 2), model="grows", tools=tools)
    assert little.status == 429


def test_too_little_for_any_is_refused_by_the_hold(gateway, fleet, bounds):
    """As a request for the first target alone."""
    little = bounds[CHEAP] / 2
    for path in ("/v1/chat/completions", "/v1/messages"):
        key = gateway.new_key(total_budget_usd=little)
        both, alone = [gateway.request("POST", path, dict(BODY, model=model), key=key["key"])
                       for model in ("pair", "dear")]
        assert both.status == 429 and refusal(both) == refusal(alone)
        assert both.headers["X-Gateway-Limit-Kind"] == "budget"
        assert "budget of key '%s'" % key["id"] in both.json()["error"]["message"]
    order, found = explain(gateway, key)
    assert order == [DEAR, CHEAP] and not found["dropped"], "nothing is left out for another"
    assert all(one["hold_usd"] > found["budgets"][0]["left_usd"] for one in found["plan"])
    assert not fleet.journal.entries()


def test_without_a_budget_nothing_is_asked(gateway):
    order, found = explain(gateway, gateway.new_key())
    assert order == [DEAR, CHEAP]
    assert all(one["hold_usd"] is None for one in found["plan"])


def test_the_books(gateway):
    books.verify(gateway)
