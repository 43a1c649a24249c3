"""Budgets of a stack: what all requests under it may cost in a day and a month, whoever makes
them. Exact under parallel requests, warned of, and told by the admin API and by explain."""
import concurrent.futures
import json

import pytest

from tests.integration import books
from tests.integration.books import NANO
from tests.integration.gateway import Gateway
from tests.integration.test_tenants import Receiver

pytestmark = pytest.mark.exact

# 100 tokens of output at 2 dollars a million are what a request may cost beside its input.
BODY = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello."}]}
STACKS = """\
stacks:
  - {slug: daily, models: [gpt-4o-mini], daily_budget_usd: 0.0025}
  - {slug: monthly, models: [gpt-4o-mini], monthly_budget_usd: 0.01, budget_stop_percent: 25}
  - {slug: warned, models: [gpt-4o-mini], daily_budget_usd: 0.00001, budget_stop_percent: 0}
  - {slug: free, models: [gpt-4o-mini]}
  - {slug: told, models: [gpt-4o-mini], daily_budget_usd: 0.0001, budget_warn_percent: 10,
     budget_stop_percent: 0}
"""


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.shutdown()
    receiver.server_close()


@pytest.fixture(scope="module")
def gateway_options(receiver):
    return {"extra": STACKS + "alerts: {url: 'http://127.0.0.1:%d/hook'}\n"
            % receiver.server_address[1], "answer_ms": 30000}


def ask(gateway, stack, key, **body):
    return gateway.request("POST", "/v1/chat/completions", dict(BODY, **body), key=key,
                           headers={"X-Gateway-Stack": stack})


def spent(gateway, slug, window="daily"):
    books.settled(gateway)
    found = [one for one in gateway.request("GET", "/admin/stacks").json()["data"]
             if one["slug"] == slug and one["active"]]
    return found[0][window + "_spend_usd"] * NANO, found[0]["budget_state"]


@pytest.mark.parametrize("stack, limit, window", [("daily", 0.0025, "daily"),
                                                  ("monthly", 0.0025, "monthly")])
def test_exact_under_parallel_requests(gateway, fleet, stack, limit, window):
    """Twenty-four at once, of keys that share nothing else; a share of the budget can stop."""
    keys = [gateway.new_key()["key"] for _ in range(6)]
    before, _ = spent(gateway, stack, window)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: ask(gateway, stack, keys[i % 6]), range(24)))
    good = [one for one in answers if one.status == 200]
    refused = [one for one in answers if one.status != 200]
    assert good and all(one.status == 429 for one in refused), [one.body for one in refused]
    # What was held beyond the cost came back: some more fit, one after the other.
    while good[-1].status == 200:
        good.append(ask(gateway, stack, keys[0]))
    bill = sum(one.json()["usage"]["prompt_tokens"] * 1000 + one.json()["usage"][
        "completion_tokens"] * 2000 for one in good[:-1])
    used, _ = spent(gateway, stack, window)
    assert used - before == pytest.approx(bill, abs=1) and used <= limit * NANO
    error = ask(gateway, stack, keys[0]).json()["error"]
    assert "stack '%s'" % stack in error["message"] and window in error["message"]
    # Other stacks, and requests without one, go on.
    assert ask(gateway, "free", keys[0]).status == 200
    assert gateway.request("POST", "/v1/chat/completions", dict(BODY, model="gpt-4o-mini"),
                           key=keys[0]).status == 200
    books.verify(gateway)


def test_beside_every_other_budget(gateway):
    """Key, team, workspace, end user and stack: five accounts of one attempt."""
    for kind in ("team", "workspace"):
        assert gateway.request("POST", "/admin/%ss" % kind, {
            "slug": "five-" + kind, "monthly_budget_usd": 1}).status == 201
    key = gateway.new_key(team="five-team", workspace="five-workspace", daily_budget_usd=1,
                          end_user_daily_budget_usd=1)
    assert gateway.request("POST", "/admin/stacks", {
        "slug": "five", "models": ["gpt-4o-mini"], "daily_budget_usd": 1}).status == 201
    answer = ask(gateway, "five", key["key"], user="bob")
    assert answer.status == 200, answer.body
    used, state = spent(gateway, "five")
    assert (used, state) == (pytest.approx(float(answer.headers["X-Gateway-Cost-Usd"]) * NANO), "ok")
    gateway.stop()
    gateway.start()
    assert spent(gateway, "five")[0] == pytest.approx(used)
    books.verify(gateway)


def test_explain_tells_what_is_left(gateway):
    key = gateway.new_key(monthly_budget_usd=2)
    answer = gateway.request("POST", "/admin/explain", {
        "body": BODY, "key": key["id"], "headers": {"X-Gateway-Stack": "monthly"}})
    found = {(one["level"], one["window"]): one for one in answer.json()["budgets"]}
    assert found["key", "monthly"]["left_usd"] == 2
    stack = found["stack", "monthly"]
    assert stack["name"] == "monthly" and stack["limit_usd"] == 0.0025
    assert stack["left_usd"] == pytest.approx(0.0025 - stack["spent_usd"] - stack["held_usd"])


def test_one_that_only_warns(gateway):
    key = gateway.new_key()["key"]
    for _ in range(3):
        assert ask(gateway, "warned", key).status == 200
    used, state = spent(gateway, "warned")
    assert used > 10000 and state == "warning"
    books.verify(gateway)


def test_the_webhook_is_told(gateway, receiver):
    key = gateway.new_key()["key"]
    assert ask(gateway, "told", key).status == 200

    def told():
        return [json.loads(body) for _, _, body in list(receiver.posts)
                if json.loads(body)["name"] == "told"]

    books.wait_for(told, what="alert")
    alert = told()[0]
    assert (alert["level"], alert["window"], alert["threshold_percent"]) == ("stack", "daily", 10)
    assert alert["limit_usd"] == 0.0001


def test_a_stack_of_the_admin_api(gateway):
    key = gateway.new_key()["key"]
    made = {"slug": "made", "models": ["gpt-4o-mini"], "daily_budget_usd": 0.0003}
    assert gateway.request("POST", "/admin/stacks", made).status == 201
    while True:
        answer = ask(gateway, "made", key)
        if answer.status != 200:
            break
    assert answer.status == 429
    raised = gateway.request("POST", "/admin/stacks", dict(made, daily_budget_usd=1))
    assert raised.status == 201 and raised.json()["budget_warn_percent"] == 80
    assert ask(gateway, "made", key).status == 200
    for wrong in ({"daily_budget_usd": -1}, {"budget_warn_percent": 101},
                  {"budget_stop_percent": "all"}, {"monthly_budget_usd": "much"}):
        answer = gateway.request("POST", "/admin/stacks", dict(made, **wrong))
        assert answer.status == 400, answer.body


def test_budgets_outlive_a_restart(gateway):
    # Alone, too: of what the tests above have left, if anything.
    ask(gateway, "daily", gateway.new_key()["key"])
    used, _ = spent(gateway, "daily")
    gateway.stop()
    gateway.start()
    assert spent(gateway, "daily")[0] == used > 0
    assert ask(gateway, "daily", gateway.new_key()["key"], max_tokens=2000).status == 429
    books.verify(gateway)


def test_without_keys(fleet, tmp_path):
    """Where nobody has a key the stack's budget holds all the same."""
    gateway = Gateway(tmp_path, fleet, extra=STACKS + "keys: off\n").start()
    try:
        for _ in range(200):
            answer = ask(gateway, "daily", None)
            if answer.status != 200:
                break
        assert answer.status == 429 and "stack 'daily'" in answer.json()["error"]["message"]
        assert 0 < spent(gateway, "daily")[0] <= 0.0025 * NANO
        books.verify(gateway)
    finally:
        gateway.stop()
