"""The Ingate contract: one test for each acceptance check, by its number."""
import datetime
import json
import time
import urllib.parse
import uuid

import pytest

from tests.integration.books import wait_for
from tests.integration.gateway import provider_block
from tests.integration.rawhttp import Connection, request_bytes, sse_frames

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
MESSAGES = {"model": "claude-haiku-4-5", "max_tokens": 50,
            "messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture(scope="module")
def gateway_options(fleet):
    """`first` is down and has a fallback; `own` takes the caller's credential."""
    return {"retries": 2,
            "providers": "\n".join([
                provider_block("first", "openai", "http://127.0.0.1:9/v1", "k",
                               "fallback: [openai]"),
                provider_block("off", "openai", fleet.url("openai"), "k", "enabled: false"),
                provider_block("own", "openai", fleet.url("openai"), None)
                .replace("auth: none", "auth: passthrough")]),
            "extra": "limits: {body_bytes: 200000}"}


@pytest.fixture(scope="module")
def key(gateway):
    made = gateway.new_key(name="ingate", surface="ingate")
    assert made["key"].startswith("sk-ingate-")
    return made["key"]


@pytest.fixture
def ask(gateway, key):
    def ask(path="/v1/chat/completions", body=CHAT, provider="openai", method="POST", **headers):
        fields = {"X-Ingate-Key": key, "X-Ingate-Provider": provider}
        fields.update({name.replace("_", "-"): value for name, value in headers.items()})
        fields = {name: value for name, value in fields.items() if value is not None}
        return gateway.request(method, path, body, key=None, headers=fields)
    return ask


def refused(answer, status, code=None):
    assert answer.status == status, answer.body
    body = answer.json()
    assert isinstance(body["error"], str) and body["error"]
    assert isinstance(body["error_code"], str) and code in (None, body["error_code"])
    assert uuid.UUID(answer.headers["X-Ingate-Request-Id"])
    assert answer.headers["X-Frame-Options"] == "DENY"
    return body


def test_30_chat_completions(ask, fleet):
    answer = ask()
    assert answer.status == 200
    assert uuid.UUID(answer.headers["X-Ingate-Request-Id"]).version == 7
    assert answer.body == fleet.journal.last().reply
    assert answer.headers["X-Cache"] == "MISS" and "X-Ingate-Served-By" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_31_messages_with_the_stored_key(ask, fleet):
    answer = ask("/v1/messages", MESSAGES, provider="anthropic", anthropic_version="2023-06-01")
    assert answer.status == 200 and answer.json()["type"] == "message"
    seen = fleet.journal.last()
    assert seen.target == "/v1/messages" and seen.header("x-api-key") == fleet.key("anthropic")


def test_33_streaming_without_delay(gateway, key):
    body = dict(CHAT, stream=True,
                messages=[{"role": "user", "content": "@words=4 @pause=0.3 count"}])
    for _ in range(4):    # on a busy machine not every time
        with Connection(gateway.connect()) as connection:
            begin = time.monotonic()
            connection.send(request_bytes("/v1/chat/completions", body, [
                ("X-Ingate-Key", key), ("X-Ingate-Provider", "openai"),
                ("Content-Type", "application/json")]))
            response = connection.read()
        assert response.status == 200 and response.complete
        assert response.header("content-type").startswith("text/event-stream")
        assert b"data: [DONE]" in response.body
        first, last = response.pieces[0][0] - begin, response.pieces[-1][0] - begin
        assert last > 0.9
        if first < last / 2:
            return
    raise AssertionError("kept back: %.2f of %.2f s" % (first, last))


def test_a_model_left_out_is_the_providers_to_choose(ask, fleet):
    assert ask("/v1/images/generations", {"prompt": "a pixel"}).status == 200
    assert json.loads(fleet.journal.last().body) == {"prompt": "a pixel"}


def test_34_no_provider(ask, fleet):
    refused(ask(provider=None), 400, "missing_provider")
    assert not fleet.journal.entries()


def test_35_no_or_wrong_key(ask, fleet, key):
    refused(ask(X_Ingate_Key=None), 401)
    refused(ask(X_Ingate_Key="sk-ingate-" + "0" * 64), 401)
    refused(ask(X_Ingate_Key=""), 401)
    # A key in a URL ends up in logs: it is none there, whatever else is in the request.
    refused(ask("/v1/chat/completions?key=" + key, X_Ingate_Key=None), 401)
    refused(ask("/v1/chat/completions?key=" + key, X_Ingate_Key=None, provider=None), 401)
    assert not fleet.journal.entries()


def test_36_unknown_or_disabled_provider(ask, fleet):
    refused(ask(provider="nobody"), 404)
    refused(ask(provider="off"), 404)
    assert not fleet.journal.entries()


def test_37_oversized_body(ask, fleet):
    big = dict(CHAT, messages=[{"role": "user", "content": "x" * 300000}])
    refused(ask(body=big), 413)
    assert not fleet.journal.entries()


def test_38_over_the_limit(gateway, ask):
    limited = gateway.new_key(name="slow", surface="ingate", rpm=1)["key"]
    assert ask(X_Ingate_Key=limited).status == 200
    answer = ask(X_Ingate_Key=limited)
    refused(answer, 429, "rate_limit_exceeded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_39_connection_refused(ask):
    refused(ask(provider="refused"), 502)


def test_40_fallback(ask, fleet):
    answer = ask(provider="first")
    assert answer.status == 200 and answer.headers["X-Ingate-Served-By"] == "openai"
    assert answer.body == fleet.journal.last().reply


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
def test_41_any_path(ask, fleet, method):
    body = None if method == "GET" else b"any bytes \x00 at all"
    answer = ask("/anything/you/want?a=1&b=%20x", body=body, method=method)
    seen = fleet.journal.last()
    assert seen.method == method and seen.target == "/anything/you/want?a=1&b=%20x"
    assert seen.body == (body or b"")
    assert answer.status == 404 and answer.body == seen.reply
    assert uuid.UUID(answer.headers["X-Ingate-Request-Id"])


def test_41_version_of_the_base_is_not_repeated(ask, fleet):
    answer = ask("/v1/models", body=None, method="GET")
    assert answer.status == 200 and answer.body == fleet.journal.last().reply
    assert fleet.journal.last().target == "/v1/models"


def test_42_nothing_leaks_and_ids_differ(ask, fleet):
    answers = [ask(X_Ingate_User_Id="u1", X_Ingate_Session_Id="s1", X_Ingate_Anything="x")
               for _ in range(2)]
    assert len({answer.headers["X-Ingate-Request-Id"] for answer in answers}) == 2
    for entry in fleet.journal.entries():
        assert not [name for name, _ in entry.headers if name.lower().startswith("x-ingate")]


def test_detection_is_a_switch(gateway, ask, fleet):
    detect = {"surfaces": "{ingate: {detect_provider: true, default_provider: openai-b}}"}
    gateway.write_config(extra=gateway.settings["extra"] + "\nsurfaces: " + detect["surfaces"])
    try:
        assert gateway.request("POST", "/admin/reload").status == 200
        assert ask(provider=None).status == 200
        assert fleet.journal.last().provider == "openai"
        assert ask("/v1/messages", MESSAGES, provider=None,
                   anthropic_version="2023-06-01").status == 200
        assert fleet.journal.last().provider == "anthropic"
        ask("/some/thing", provider=None)
        assert fleet.journal.last().provider == "openai-b"
    finally:
        gateway.write_config()
        assert gateway.request("POST", "/admin/reload").status == 200
    refused(ask(provider=None), 400, "missing_provider")


@pytest.mark.exact
def test_44_hard_budget(gateway, ask, fleet):
    poor = gateway.new_key(name="poor", surface="ingate", monthly_budget_usd=0.000001)
    body = refused(ask(X_Ingate_Key=poor["key"]), 429, "budget_exceeded")
    assert body["error"] == "budget exceeded" and body["budget_id"] == "key:" + poor["id"]
    assert body["hard_limit_usd"] == 0.000001 and body["current_spend"] == 0
    assert body["message"]
    assert not fleet.journal.entries()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("limits", [{"monthly_budget_usd": 5}, {"request_budget_usd": 0.000001}])
def test_what_only_reads_needs_no_bound(gateway, ask, fleet, method, limits):
    made = gateway.new_key(name="reads", surface="ingate", **limits)
    for path in ("/v1/models", "/v1/files?limit=2"):
        fleet.journal.reset()
        answer = ask(path, None, method=method, X_Ingate_Key=made["key"])
        assert answer.status != 400, answer.body
        seen = fleet.journal.last()
        assert (seen.method, seen.target, answer.status) == (method, path, seen.status)
    assert gateway.request("GET", "/admin/keys/" + made["id"]).json()["spend_usd"] == 0
    fleet.journal.reset()
    refused(ask("/v1/files", b"{}", X_Ingate_Key=made["key"]), 400, "cost_not_bounded")
    assert not fleet.journal.entries()


def test_usage_and_budgets(gateway, ask):
    made = gateway.new_key(name="reader", surface="ingate", monthly_budget_usd=2)
    body = dict(CHAT, messages=[{"role": "user", "content": "@in=100 @out=10 hello"}])
    for _ in range(2):
        assert ask(body=body, X_Ingate_Key=made["key"]).status == 200

    def read(path):
        answer = ask("/api/v1/" + path, None, None, "GET", X_Ingate_Key=made["key"])
        assert answer.status == 200, answer.body
        return answer.json()

    for _ in range(600):
        summary = read("usage/summary")
        if summary["total_input_tokens"] == 200:
            break
        time.sleep(0.1)
    cost = 2 * 120 / 1e6
    assert summary["total_input_tokens"] == 200 and summary["total_output_tokens"] == 20
    assert summary["total_cost_usd"] == pytest.approx(cost)
    assert 0 < summary["avg_latency_ms"] <= summary["p99_latency_ms"]
    assert summary["error_rate"] == 0 and summary["cache_hit_rate"] == 0
    assert summary["since"].endswith("Z")
    for step in ("?granularity=hour", "?granularity=day", ""):
        series = read("usage/timeseries" + step)["data"]
        assert sum(row["total_input_tokens"] for row in series) == 200 and len(series) <= 2
    assert ask("/api/v1/usage/timeseries?granularity=week", None, None, "GET",
               X_Ingate_Key=made["key"]).status == 400
    budget = {"id": "key:" + made["id"], "scope": "key", "scope_id": made["id"],
              "soft_limit_usd": None, "hard_limit_usd": 2, "period_type": "monthly"}
    assert read("budgets") == {"data": [budget]}
    assert read("budgets/key:" + made["id"]) == budget
    assert read("budgets/key%3A" + made["id"]) == budget
    status = read("budgets/key:%s/status" % made["id"])
    assert status["budget"] == budget and status["current_spend"] == pytest.approx(cost)
    assert status["remaining"] == pytest.approx(2 - cost)
    assert status["utilization"] == pytest.approx(cost / 2)
    refused(ask("/api/v1/budgets/key:other", None, None, "GET", X_Ingate_Key=made["key"]), 404)


@pytest.fixture(scope="module")
def history(gateway):
    """A key with six requests: one is refused by the provider, one comes from the cache."""
    made = gateway.new_key(name="history", surface="ingate")["key"]
    asked = []

    def read(path, **parameters):
        path = "/api/%s?%s" % (path, urllib.parse.urlencode(parameters,
                                                            quote_via=urllib.parse.quote))
        return gateway.request("GET", path, key=None, headers={"X-Ingate-Key": made})

    def ask(provider, text, status=200, **members):
        body = dict(CHAT, messages=[{"role": "user", "content": text}], **members)
        headers = {"X-Ingate-Key": made, "X-Ingate-Provider": provider,
                   "X-Ingate-User-Id": "alice" if provider == "openai" else "bob",
                   "X-Ingate-Session-Id": "s one"}
        answer = gateway.request("POST", "/v1/chat/completions", body, key=None,
                                 headers=headers)
        assert answer.status == status, answer.body
        asked.append(answer.headers)
        # What ends within one millisecond has no order: each is recorded before the next.
        wait_for(lambda: read("v1/usage/summary").json()["total_requests"] == len(asked),
                 what="the record of the request")

    ask("openai", "@in=10 @out=5 first")
    ask("openai", "@in=10 @out=5 second")
    ask("openai-b", "@in=10 @out=5 third")
    ask("openai-b", "hello", 404, model="nobody-knows-this")
    for _ in range(2):
        ask("openai", "@in=10 @out=5 same", temperature=0)
    assert [headers["X-Cache"] for headers in asked[4:]] == ["MISS", "HIT"]
    return read, [headers["X-Ingate-Request-Id"] for headers in asked]


def test_usage_says_how_it_went(history):
    whole = history[0]("v1/usage/summary").json()
    assert whole["error_rate"] == pytest.approx(1 / 6)
    assert whole["cache_hit_rate"] == pytest.approx(1 / 6)
    assert 0 < whole["avg_latency_ms"] <= whole["p99_latency_ms"]
    since = datetime.datetime.fromisoformat(whole["since"])
    assert datetime.datetime.fromisoformat(whole["until"]) - since == datetime.timedelta(days=30)
    # As libraries write it: %3A for each colon, and a zone's %2B.
    later = history[0]("v1/usage/summary", since=whole["since"].replace("Z", "+00:00"))
    assert later.status == 200 and later.json()["since"] == whole["since"]
    assert later.json()["total_requests"] == whole["total_requests"]


@pytest.mark.parametrize("narrow, requests, errors", [
    ({"provider": "openai"}, 4, 0), ({"provider": "openai-b"}, 2, 1),
    ({"provider": "nobody"}, 0, 0), ({"model": "gpt-4o-mini"}, 5, 0),
    ({"model": "nobody-knows-this"}, 1, 1), ({"user_id": "bob"}, 2, 1),
    ({"session_id": "s one"}, 6, 1), ({"session_id": "s one", "user_id": "alice"}, 4, 0),
    ({"team_id": "none"}, 0, 0)])
def test_usage_is_narrowed(history, narrow, requests, errors):
    read, _ = history
    summary = read("v1/usage/summary", **narrow).json()
    assert summary["total_requests"] == requests
    assert summary["error_rate"] == pytest.approx(errors / (requests or 1))
    for step in ("hour", "day"):
        rows = read("v1/usage/timeseries", granularity=step, **narrow).json()["data"]
        assert sum(row["total_requests"] for row in rows) == requests
        assert sum(row["total_input_tokens"] for row in rows) == summary["total_input_tokens"]
    rows = read("logs", **narrow).json()["data"]
    assert len(rows) == requests and sum(row["status"] >= 400 for row in rows) == errors


def test_logs(history):
    read, asked = history
    rows = read("v1/logs").json()["data"]
    assert [row["request_id"] for row in rows] == asked[::-1], "the newest first"
    assert rows[0]["cached"] and rows[0]["cost_usd"] in (0, None)
    assert rows[1]["cost_usd"] > 0 and rows[1]["latency_ms"] > 0
    assert [rows[1][name] for name in ("provider", "model", "operation", "status", "stream",
                                       "input_tokens", "output_tokens", "user_id",
                                       "session_id")] == [
        "openai", "gpt-4o-mini", "chat", 200, False, 10, 5, "alice", "s one"]
    assert read("logs").json()["data"] == rows
    assert read("logs", limit=2).json()["data"] == rows[:2]
    for wrong in ({"limit": 0}, {"limit": 501}, {"limit": "x"}, {"app_id": "a"},
                  {"since": "yesterday"}, {"since": "2020-01-01"}):
        refused(read("logs", **wrong), 400)
    other = read("logs", until="2026-01-31").json()
    assert other["data"] == [] and other["since"] == "2026-01-02T00:00:00Z"


def test_key_as_bearer_without_v1(gateway, key, fleet):
    """As OpenAI's SDK sends it when its base URL has no /v1."""
    answer = gateway.request("POST", "/chat/completions", CHAT, key=key,
                             headers={"X-Ingate-Provider": "openai"})
    assert answer.status == 200 and fleet.journal.last().target == "/v1/chat/completions"


def test_callers_own_credential(ask, fleet):
    answer = ask(provider="own", Authorization="Bearer " + fleet.key("openai"))
    assert answer.status == 200
    assert fleet.journal.last().header("authorization") == "Bearer " + fleet.key("openai")


def test_callers_own_credential_is_the_callers_bill(gateway, ask, fleet):
    """No budget of the key is held or spent, so none needs a bound of the cost."""
    made = gateway.new_key(name="own money", surface="ingate", monthly_budget_usd=0.000001)
    own = {"X_Ingate_Key": made["key"], "Authorization": "Bearer " + fleet.key("openai")}
    assert ask(provider="own", **own).status == 200
    assert ask("/v1/files", body=b"{}", provider="own", **own).status == 404
    assert fleet.journal.last().target == "/v1/files"
    assert ask(provider="own", body=dict(CHAT, model="house-model"), **own).status == 200
    status = ask("/api/v1/budgets/key:%s/status" % made["id"], None, None, "GET",
                 X_Ingate_Key=made["key"]).json()
    assert status["current_spend"] == 0
    # What was used is told all the same, and where we pay the budget holds.
    wait_for(lambda: ask("/api/v1/usage/summary", None, None, "GET", X_Ingate_Key=made["key"])
             .json()["total_requests"] == 3, what="the records of the requests")
    refused(ask(X_Ingate_Key=made["key"]), 429, "budget_exceeded")
    assert ask("/v1/files", body=b"{}", X_Ingate_Key=made["key"]).status == 400


def test_a_credential_that_the_caller_forgot(ask, fleet):
    answer = ask(provider="own")
    assert answer.status == 401 and answer.body == fleet.journal.last().reply


@pytest.mark.parametrize("wants_usage", [False, True])
@pytest.mark.parametrize("provider", ["openai", "own"])
def test_streams_as_the_provider_sends_them(ask, fleet, provider, wants_usage):
    """Where we pay the provider is asked for usage, which its caller does not see; where the
    caller pays nothing is added."""
    body = dict(CHAT, stream=True)
    if wants_usage:
        body["stream_options"] = {"include_usage": True}
    answer = ask(body=body, provider=provider, Authorization="Bearer " + fleet.key("openai"))
    seen = fleet.journal.last()
    ours = provider == "openai" and not wants_usage
    assert answer.status == 200
    assert seen.json() == dict(body, **({"stream_options": {"include_usage": True}} if ours else {}))
    assert (seen.usage is not None) == (ours or wants_usage)
    sent = sse_frames(seen.reply)
    shown = [frame for frame in sent if not (ours and '"choices": []' in frame[1])]
    assert sse_frames(answer.body) == shown and len(sent) - len(shown) == ours
    if not ours:
        assert answer.body == seen.reply


def test_a_key_for_few_models_has_no_other_paths(gateway, ask, fleet):
    few = gateway.new_key(name="few", surface="ingate", models=["openai/gpt-4o-mini"])["key"]
    assert ask(X_Ingate_Key=few).status == 200
    fleet.journal.reset()
    refused(ask(X_Ingate_Key=few, body=dict(CHAT, model="gpt-4o")), 403)
    refused(ask("/anything", body=b"{}", X_Ingate_Key=few), 403)
    assert not fleet.journal.entries()


def test_a_path_of_its_own_that_is_not_there(ask, fleet):
    refused(ask("/api/v1/nothing", None, None, "GET"), 404, "not_found")
    assert not fleet.journal.entries()
    # With a provider's name it may be the provider's.
    assert ask("/api/v1/nothing", None, method="GET").body == fleet.journal.last().reply


def test_spending_by_session(gateway, ask):
    for _ in range(2):
        assert ask(X_Ingate_Session_Id="session-of-two").status == 200
    assert ask(X_Ingate_Session_Id="session-of-two", X_Gateway_Tag="own").status == 200

    def requests():
        rows = gateway.request("GET", "/admin/spend?by=tag").json()["data"]["by_tag"]
        return {row["tag"]: row["requests"] for row in rows}
    wait_for(lambda: requests().get("session-of-two") == 2 and requests().get("own") == 1,
             what="the records of the session")


def test_the_record_has_the_label(gateway, ask):
    answer = ask(X_Ingate_User_Id="alice-7")
    for _ in range(600):
        if answer.headers["X-Ingate-Request-Id"] in gateway.logs():
            break
        time.sleep(0.1)
    line = next(line for line in gateway.logs().splitlines()
                if answer.headers["X-Ingate-Request-Id"] in line)
    assert json.loads(line)["surface"] == "ingate" and "alice-7" in line


def test_32_translate(ask, fleet):
    answer = ask(body=dict(CHAT, model="claude-haiku-4-5"), provider="anthropic",
                 X_Ingate_Translate="true")
    assert answer.status == 200, answer.body
    seen = fleet.journal.last()
    assert seen.target == "/v1/messages" and seen.json()["max_tokens"] > 0
    assert seen.header("x-api-key") == fleet.key("anthropic")
    assert answer.json()["object"] == "chat.completion"
    assert answer.json()["choices"][0]["message"]["content"].startswith("You said:")
    # Without the wish it passes to the provider's own path as it is.
    plain = ask(body=dict(CHAT, model="claude-haiku-4-5"), provider="anthropic")
    assert fleet.journal.last().target == "/v1/chat/completions"
    assert plain.status == 404 and plain.body == fleet.journal.last().reply


def test_32_the_other_direction(ask, fleet):
    answer = ask("/v1/messages", dict(MESSAGES, model="gpt-4o-mini"), X_Ingate_Translate="true",
                 anthropic_version="2023-06-01")
    assert answer.status == 200, answer.body
    assert fleet.journal.last().target == "/v1/chat/completions"
    assert answer.json()["type"] == "message"


def test_43_translate_streams(ask, fleet):
    answer = ask(body=dict(CHAT, model="claude-haiku-4-5", stream=True), provider="anthropic",
                 X_Ingate_Translate="true")
    assert answer.status == 200 and fleet.journal.last().target == "/v1/messages"
    frames = [data for _, data in sse_frames(answer.body)]
    assert frames[-1] == "[DONE]"
    assert all(json.loads(data)["object"] == "chat.completion.chunk" for data in frames[:-1])
