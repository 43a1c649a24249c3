"""Workspaces, teams, keys and end users: limits at each level, changed while running."""
import concurrent.futures
import csv
import hmac
import http.server
import io
import json
import re
import sqlite3
import subprocess
import threading
import time
import uuid

import pytest

from tests.integration import books
from tests.integration.gateway import BINARY, Gateway
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES

CHAT = SHAPES["chat"]


def ask(gateway, key, **options):
    with Connection(gateway.connect()) as connection:
        connection.send(CHAT.ask(key, **options))
        return connection.read()


def chat(gateway, key, model="gpt-4o-mini", **members):
    body = dict({"model": model, "messages": [{"role": "user", "content": "hello"}]}, **members)
    return gateway.request("POST", "/v1/chat/completions", body, key=key)


def create(gateway, what, **members):
    members.setdefault("slug", what + "-" + uuid.uuid4().hex[:8])
    answer = gateway.request("POST", "/admin/%ss" % what, members)
    assert answer.status == 201, answer.body
    return answer.json()


def patch(gateway, what, slug, **members):
    answer = gateway.request("PATCH", "/admin/%ss/%s" % (what, slug), members)
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.mark.parametrize("what", ["team", "workspace"])
def test_life_of_a_tenant(gateway, what):
    path = "/admin/%ss" % what
    made = create(gateway, what, name="Search", rpm=60, monthly_budget_usd=12.5,
                  time_zone="Europe/Berlin", metadata={"cost_centre": 7})
    assert made["rpm"] == 60 and made["monthly_budget_usd"] == 12.5 and made["created_at"]
    assert made["spend_usd"] == 0 and made["held_usd"] == 0
    assert gateway.request("POST", path, {"slug": made["slug"]}).status == 409
    shown = gateway.request("GET", "%s/%s" % (path, made["slug"])).json()
    assert shown == made
    assert made in gateway.request("GET", path).json()["data"]
    changed = patch(gateway, what, made["slug"], rpm=None, tpm=1000)
    assert changed["rpm"] is None and changed["tpm"] == 1000
    assert changed["monthly_budget_usd"] == 12.5
    key = gateway.new_key(**{what: made["slug"]})
    assert gateway.request("DELETE", "%s/%s" % (path, made["slug"])).status == 409
    assert gateway.request("DELETE", "/admin/keys/" + key["id"]).status == 204
    assert gateway.request("DELETE", "%s/%s" % (path, made["slug"])).status == 204
    assert gateway.request("GET", "%s/%s" % (path, made["slug"])).status == 404
    assert gateway.request("PATCH", "%s/%s" % (path, made["slug"]), {"rpm": 1}).status == 404


@pytest.mark.parametrize("what,body,param", [
    ("team", {"slug": "x", "rmp": 1}, "rpm"), ("team", {}, "slug"),
    ("team", {"slug": "x", "prepaid": True}, "prepaid"),
    ("workspace", {"slug": "a/b"}, "slug"), ("workspace", {"slug": "x", "rpm": "1"}, "rpm"),
    ("workspace", {"slug": "x", "time_zone": "Moon/Base"}, "time_zone"),
])
def test_bad_bodies_are_named(gateway, what, body, param):
    answer = gateway.request("POST", "/admin/%ss" % what, body)
    assert answer.status == 400
    assert param in json.dumps(answer.json()["error"])


def test_nothing_belongs_to_a_workspace_that_is_not_there(gateway):
    """A slip of the pen must not be a key that no budget holds."""
    team = create(gateway, "team")["slug"]
    mine = gateway.new_key()["id"]
    for method, path, body in (
            ("POST", "/admin/keys", {"workspace": "acmee"}),
            ("PATCH", "/admin/keys/" + mine, {"workspace": "acmee"}),
            ("POST", "/admin/teams", {"slug": "lost", "workspace": "acmee"}),
            ("PATCH", "/admin/teams/" + team, {"workspace": "acmee"})):
        answer = gateway.request(method, path, body)
        assert answer.status == 400, (method, path, answer.body)
        error = answer.json()["error"]
        assert "acmee" in error["message"] and "POST /admin/workspaces" in error["message"]
    assert gateway.request("GET", "/admin/teams/lost").status == 404


def test_a_team_that_a_key_names_is_a_team(gateway):
    """Callers name teams freely: such a team is listed, can be limited, and is in the log."""
    slug = "label " + uuid.uuid4().hex[:8]
    path = "/admin/teams/" + slug.replace(" ", "%20")
    assert gateway.request("PATCH", "/admin/keys/vk_nobody", {"team": slug}).status == 404
    assert gateway.request("GET", path).status == 404
    made = in_parallel(8, lambda: gateway.new_key(team=slug))
    assert {key["team"] for key in made} == {slug}
    assert [row["id"] for row in gateway.request("GET", "/admin/teams").json()["data"]
            ].count(slug) == 1
    assert gateway.request("PATCH", path, {"rpm": 1}).status == 200
    assert chat(gateway, made[0]["key"]).status == 200
    refused = chat(gateway, made[1]["key"])
    assert refused.status == 429 and refused.headers["x-gateway-limit-kind"] == "team_rpm"
    rows = [row["action"] for row in audit(gateway, "?limit=1000") if row["target"] == slug]
    assert sorted(rows) == ["team.create", "team.update"]
    bad = gateway.request("POST", "/admin/keys", {"team": "a/b"})
    assert bad.status == 400 and "team" in json.dumps(bad.json())


def test_a_key_and_its_team_belong_to_one_workspace(gateway):
    """Else the requests would pass the limits of one of them by."""
    mine, other = (create(gateway, "workspace")["slug"] for _ in range(2))
    gateway.new_key(workspace=other)    # of no team: hinders none of another workspace
    early = "early-" + uuid.uuid4().hex[:8]
    gateway.new_key(team=early, workspace=other)
    assert gateway.request("POST", "/admin/teams", {"slug": early, "workspace": mine}).status == 409
    team, loose = create(gateway, "team", workspace=mine)["slug"], create(gateway, "team")["slug"]
    answer = gateway.request("POST", "/admin/keys", {"team": team, "workspace": other})
    assert answer.status == 400 and mine in answer.json()["error"]["message"]
    key = gateway.new_key(team=team, workspace=mine)["id"]
    for change in ({"workspace": other}, {"team_id": team, "workspace": other}):
        assert gateway.request("PATCH", "/admin/keys/" + key, change).status == 400
    assert gateway.request("PATCH", "/admin/keys/" + key, {"team": None, "workspace": other}
                           ).status == 200
    assert gateway.request("PATCH", "/admin/keys/" + key, {"team": team}).status == 400
    assert gateway.request("PATCH", "/admin/keys/" + key, {"team": loose}).status == 200
    moved = gateway.request("PATCH", "/admin/teams/" + loose, {"workspace": mine})
    assert moved.status == 409 and "Keys of this team" in moved.json()["error"]["message"]
    assert patch(gateway, "team", loose, workspace=other)["workspace"] == other


def test_a_workspace_with_credit_is_not_deleted(gateway):
    slug = create(gateway, "workspace", prepaid=True)["slug"]
    assert top_up(gateway, slug, 5, "paid-" + slug).status == 201
    refused = gateway.request("DELETE", "/admin/workspaces/" + slug)
    assert refused.status == 409 and "credit" in refused.json()["error"]["message"]
    assert top_up(gateway, slug, -5, "back-" + slug).status == 201
    assert gateway.request("DELETE", "/admin/workspaces/" + slug).status == 204


def test_a_workspace_of_teams_is_not_deleted(gateway):
    workspace = create(gateway, "workspace")["slug"]
    team = create(gateway, "team", workspace=workspace)["slug"]
    path = "/admin/workspaces/" + workspace
    refused = gateway.request("DELETE", path)
    assert refused.status == 409 and "Teams still belong" in refused.json()["error"]["message"]
    assert gateway.request("DELETE", "/admin/teams/" + team).status == 204
    assert gateway.request("DELETE", path).status == 204


def test_tokens_are_estimated_by_what_is_text(gateway):
    """A picture is not its bytes, and text is what a tokenizer makes of it."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40000}}
    seen = {}
    for name, content in (("picture", [{"type": "text", "text": "what is it?"}, picture]),
                          ("words", "the quick brown fox " * 200), ("dots", ". " * 2000)):
        key = gateway.new_key(tpm=1)["key"]
        answer = gateway.request("POST", "/v1/chat/completions", {
            "model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}, key=key)
        assert answer.status == 429 and answer.headers["x-gateway-limit-kind"] == "tpm"
        seen[name] = int(re.search(r"about (\d+) tokens", answer.json()["error"]["message"])[1])
    assert 100 < seen["picture"] < 9000, seen     # 10,000 by its bytes
    assert 750 <= seen["words"] <= 1000, seen
    assert 1600 <= seen["dots"] <= 2600, seen     # 1,000 by its bytes


@pytest.mark.parametrize("level", ["workspace", "team", "key"])
def test_rpm_of_each_level(gateway, level):
    names = {what: create(gateway, what)["slug"] for what in ("workspace", "team")}
    keys = [gateway.new_key(**names) for _ in range(2)]
    if level == "key":
        gateway.request("PATCH", "/admin/keys/" + keys[0]["id"], {"rpm": 2})
    else:
        patch(gateway, level, names[level], rpm=2)
    assert [ask(gateway, keys[0]["key"]).status for _ in range(2)] == [200, 200]
    refused = ask(gateway, keys[0]["key"])
    assert refused.status == 429
    kind = "rpm" if level == "key" else level + "_rpm"
    assert refused.header("x-gateway-limit-kind") == kind
    assert 1 <= int(refused.header("retry-after")) <= 60
    assert json.loads(refused.body)["error"]["kind"] == kind
    assert refused.header("x-ratelimit-limit-requests") == "2"
    assert refused.header("x-ratelimit-remaining-requests") == "0"
    # Another key shares what is its team's and its workspace's, nothing else.
    assert ask(gateway, keys[1]["key"]).status == (200 if level == "key" else 429)
    if level != "key":
        patch(gateway, level, names[level], rpm=100)
        passed = ask(gateway, keys[1]["key"])
        assert passed.status == 200
        # The refused ones did not count.
        assert passed.header("x-ratelimit-remaining-requests") == "97"


def test_tokens_per_minute(gateway):
    key = gateway.new_key(tpm=200)
    first = chat(gateway, key["key"])
    assert first.status == 200
    assert first.headers["x-ratelimit-limit-tokens"] == "200"
    estimated = int(first.headers["x-ratelimit-remaining-tokens"])
    assert 150 < estimated < 200
    used = first.json()["usage"]["total_tokens"]
    second = chat(gateway, key["key"])
    # The first now counts with what it really used.
    assert int(second.headers["x-ratelimit-remaining-tokens"]) == estimated - used
    long = [{"role": "user", "content": "word " * 200}]
    refused = chat(gateway, key["key"], messages=long)
    assert refused.status == 429
    assert refused.headers["x-gateway-limit-kind"] == "tpm"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["kind"] == "tpm"
    assert gateway.request("PATCH", "/admin/keys/" + key["id"], {"tpm": 0}).status == 200
    assert chat(gateway, key["key"], messages=long).status == 200


def test_end_users_have_limits_of_their_own(gateway):
    team = create(gateway, "team", end_user_rpm=1)["slug"]
    key = gateway.new_key(team=team)["key"]
    assert chat(gateway, key, user="bob").status == 200
    refused = chat(gateway, key, user="bob")
    assert refused.status == 429 and refused.headers["x-gateway-limit-kind"] == "end_user_rpm"
    assert chat(gateway, key, user="eve").status == 200
    assert chat(gateway, key).status == 200
    assert chat(gateway, key).status == 429


def test_lists_of_each_level(gateway):
    workspace = create(gateway, "workspace", blocked_providers=["anthropic"])["slug"]
    team = create(gateway, "team", workspace=workspace)["slug"]
    key = gateway.new_key(team=team)
    assert chat(gateway, key["key"]).status == 200
    assert chat(gateway, key["key"], model="anthropic/claude-haiku-4-5").status == 403
    patch(gateway, "team", team, blocked_models=["gpt-4o*"])
    assert chat(gateway, key["key"]).status == 403
    assert chat(gateway, key["key"], model="openai/gpt-4o-mini").status == 403
    listed = {one["id"] for one in gateway.request("GET", "/v1/models",
                                                   key=key["key"]).json()["data"]}
    assert not any("gpt-4o" in name or name.startswith("anthropic/") for name in listed)
    patch(gateway, "team", team, blocked_models=[], providers=["gemini"])
    assert chat(gateway, key["key"]).status == 403


def test_a_disabled_workspace_refuses_its_keys(gateway):
    workspace = create(gateway, "workspace")["slug"]
    key = gateway.new_key(workspace=workspace)["key"]
    patch(gateway, "workspace", workspace, enabled=False)
    refused = ask(gateway, key)
    assert refused.status == 401 and b"disabled" in refused.body
    patch(gateway, "workspace", workspace, enabled=True)
    assert ask(gateway, key).status == 200


@pytest.mark.parametrize("level", ["workspace", "team", "key"])
@pytest.mark.exact
def test_budget_of_each_level(gateway, level):
    names = {what: create(gateway, what)["slug"] for what in ("workspace", "team")}
    key = gateway.new_key(**names)
    if level == "key":
        gateway.request("PATCH", "/admin/keys/" + key["id"], {"daily_budget_usd": 0.000001})
    else:
        patch(gateway, level, names[level], weekly_budget_usd=0.000001)
    refused = chat(gateway, key["key"], max_tokens=50)
    assert refused.status == 429, refused.body
    kind = "budget" if level == "key" else level + "_budget"
    assert refused.headers["x-gateway-limit-kind"] == kind
    if level != "key":
        patch(gateway, level, names[level], weekly_budget_usd=1)
        assert chat(gateway, key["key"], max_tokens=50).status == 200
        path = "/admin/%ss/%s" % (level, names[level])
        assert gateway.request("GET", path).json()["spend_usd"] > 0


# --- the audit log ------------------------------------------------------------------


def audit(gateway, query=""):
    answer = gateway.request("GET", "/admin/audit" + query)
    assert answer.status == 200
    return answer.json()["data"]


def test_every_change_is_in_the_audit_log(gateway):
    before = audit(gateway, "?limit=1")
    team = create(gateway, "team", rpm=5)["slug"]
    patch(gateway, "team", team, rpm=6)
    key = gateway.new_key(team=team, name="audited")
    gateway.request("PATCH", "/admin/keys/" + key["id"], {"rpm": 9})
    gateway.request("DELETE", "/admin/keys/" + key["id"])
    gateway.request("DELETE", "/admin/teams/" + team)
    gateway.request("POST", "/admin/deployments/disable", {"id": "azure-mini/azure/gpt-4o-mini"})
    gateway.request("POST", "/admin/deployments/enable", {"id": "azure-mini/azure/gpt-4o-mini"})
    rows = audit(gateway, "?after=%d" % (before[0]["id"] if before else 0))
    assert [row["action"] for row in rows] == [
        "team.create", "team.update", "key.create", "key.update", "key.revoke", "team.delete",
        "deployment.disable", "deployment.enable"]
    assert rows[0]["before"] is None and rows[0]["after"]["rpm"] == 5
    assert rows[1]["before"]["rpm"] == 5 and rows[1]["after"]["rpm"] == 6
    assert rows[2]["target"] == key["id"] and rows[2]["after"]["name"] == "audited"
    assert rows[4]["after"] is None and rows[5]["after"] is None
    assert all(row["actor"] == "master key from 127.0.0.1" for row in rows)
    assert all(re.match(r"^[0-9a-f]{64}$", row["chain"]) and row["at"] for row in rows)
    assert key["key"] not in json.dumps(rows)
    newest = audit(gateway, "?limit=2")
    assert [row["id"] for row in newest] == [rows[-1]["id"], rows[-2]["id"]]
    older = audit(gateway, "?limit=1&before=%d" % newest[-1]["id"])
    assert older[0]["id"] == rows[-3]["id"]
    assert gateway.request("GET", "/admin/audit?limit=x").status == 400


def test_an_altered_audit_log_is_noticed(fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet).start()
    for number in range(4):
        create(gateway, "team", rpm=number + 1)
    gateway.stop()
    books.verify(gateway)
    store = sqlite3.connect(tmp_path / "sluice.db")
    with pytest.raises(sqlite3.DatabaseError):
        store.execute("UPDATE audit SET actor = 'nobody' WHERE id = 3")
    store.execute("DROP TRIGGER audit_frozen")
    store.execute("UPDATE audit SET after_json = replace(after_json, '\"rpm\":2', '\"rpm\":9')")
    bad = store.execute("SELECT id FROM audit WHERE after_json LIKE '%\"rpm\":9%'").fetchone()[0]
    store.commit()
    store.close()
    done = subprocess.run([str(BINARY), "ledger", "verify", "--config", str(gateway.config)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "row %d of the audit log" % bad in done.stdout


# --- prepaid ------------------------------------------------------------------------


def top_up(gateway, slug, amount, external_id):
    return gateway.request("POST", "/admin/workspaces/%s/credits" % slug,
                           {"amount_usd": amount, "external_id": external_id, "note": "test"})


def in_parallel(count, work):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: work(), range(count)))


def test_a_prepaid_workspace_needs_balance(gateway):
    slug = create(gateway, "workspace", prepaid=True, minimum_balance_usd=1)["slug"]
    key = gateway.new_key(workspace=slug)["key"]
    refused = chat(gateway, key, max_tokens=10)
    assert refused.status == 402, refused.body
    made = top_up(gateway, slug, 0.5, "a-" + slug)
    assert made.status == 201 and made.json()["balance_usd"] == 0.5
    assert chat(gateway, key, max_tokens=10).status == 402
    assert top_up(gateway, slug, 2, "b-" + slug).json()["balance_usd"] == 2.5
    assert chat(gateway, key, max_tokens=10).status == 200
    books.settled(gateway)
    own = gateway.request("GET", "/v1/credits", key=key).json()
    assert own["workspace"] == slug and own["held_usd"] == 0
    assert 2 < own["balance_usd"] < 2.5 and own["available_usd"] == own["balance_usd"]
    assert own["spend_usd"] == pytest.approx(2.5 - own["balance_usd"], abs=1e-12)
    shown = gateway.request("GET", "/admin/workspaces/" + slug).json()
    assert shown["balance_usd"] == own["balance_usd"]
    books.verify(gateway)


def test_a_top_up_is_applied_once(gateway):
    slug = create(gateway, "workspace", prepaid=True)["slug"]
    answers = in_parallel(40, lambda: top_up(gateway, slug, 1.25, "invoice-" + slug))
    assert sorted(answer.status for answer in answers) == [200] * 39 + [201]
    assert gateway.request("GET", "/admin/workspaces/" + slug).json()["balance_usd"] == 1.25
    other = create(gateway, "workspace", prepaid=True)["slug"]
    for where, amount in ((slug, 12.5), (slug, -1), (other, 1.25)):
        answer = top_up(gateway, where, amount, "invoice-" + slug)
        assert answer.status == 409, answer.body
        assert "another amount or to another workspace" in answer.json()["error"]["message"]
    assert gateway.request("GET", "/admin/workspaces/" + slug).json()["balance_usd"] == 1.25
    assert gateway.request("GET", "/admin/workspaces/" + other).json()["balance_usd"] == 0
    assert top_up(gateway, slug, -2, "refund-" + slug).status == 409
    assert top_up(gateway, slug, -0.25, "correction-" + slug).json()["balance_usd"] == 1
    for body in ({}, {"amount_usd": 1}, {"amount_usd": 0, "external_id": "x"},
                 {"amount_usd": "1", "external_id": "x"}, {"amount_usd": 1, "external_id": ""}):
        path = "/admin/workspaces/%s/credits" % slug
        assert gateway.request("POST", path, body).status == 400
    assert top_up(gateway, "nobody", 1, "z").status == 404
    books.verify(gateway)


def test_a_voucher_is_redeemed_once(gateway):
    slugs = [create(gateway, "workspace", prepaid=True)["slug"] for _ in range(2)]
    keys = [gateway.new_key(workspace=slug)["key"] for slug in slugs]
    made = gateway.request("POST", "/admin/vouchers", {"amount_usd": 3})
    assert made.status == 201 and made.json()["amount_usd"] == 3
    code = made.json()["code"]
    taken = iter(range(40))
    answers = in_parallel(40, lambda: gateway.request("POST", "/v1/vouchers/redeem",
                                                      {"code": code}, key=keys[next(taken) % 2]))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 39
    balances = [gateway.request("GET", "/admin/workspaces/" + slug).json()["balance_usd"]
                for slug in slugs]
    assert sorted(balances) == [0, 3]
    assert gateway.request("POST", "/v1/vouchers/redeem", {"code": "voucher_" + "0" * 40},
                           key=keys[0]).status == 404
    loose = gateway.new_key()["key"]
    assert gateway.request("POST", "/v1/vouchers/redeem", {"code": code}, key=loose).status == 400
    assert gateway.request("POST", "/v1/vouchers/redeem", {"code": code}, key=None).status == 401
    assert gateway.request("POST", "/admin/vouchers", {"amount_usd": 3}, key=keys[0]).status == 403
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    late = gateway.request("POST", "/admin/vouchers", {"amount_usd": 1, "expires_at": soon})
    assert late.status == 201, late.body
    time.sleep(6.1)
    assert gateway.request("POST", "/v1/vouchers/redeem", {"code": late.json()["code"]},
                           key=keys[0]).status == 409
    # The log names the voucher by its beginning; the code is money.
    assert code not in json.dumps(audit(gateway, "?limit=1000"))
    assert code not in gateway.logs()
    books.verify(gateway)


def test_credits_show_the_budgets_of_the_key(gateway):
    key = gateway.new_key(daily_budget_usd=2, total_budget_usd=10)["key"]
    assert chat(gateway, key, max_tokens=10).status == 200
    books.settled(gateway)
    own = gateway.request("GET", "/v1/credits", key=key).json()
    assert own["workspace"] is None and own["balance_usd"] == 0
    assert set(own["budget"]) == {"daily", "total"}
    daily = own["budget"]["daily"]
    assert daily["limit_usd"] == 2 and daily["spend_usd"] == own["spend_usd"] > 0
    assert daily["remaining_usd"] == pytest.approx(2 - own["spend_usd"], abs=1e-12)
    assert gateway.request("GET", "/v1/credits", key=None).status == 401
    assert gateway.request("GET", "/v1/credits").status == 401


# --- receipts and spend ---------------------------------------------------------------


def test_a_receipt_is_for_the_callers_own_key(gateway):
    slug = create(gateway, "team")["slug"]
    key, other = gateway.new_key(team=slug, daily_budget_usd=1), gateway.new_key(team=slug)
    answer = gateway.request(
        "POST", "/v1/chat/completions",
        {"model": "gpt-4o-mini", "max_tokens": 20, "user": "bob",
         "messages": [{"role": "user", "content": "hello"}]},
        key=key["key"], headers={"X-Gateway-Tag": "nightly"})
    request_id = answer.headers["x-gateway-request-id"]
    used = answer.json()["usage"]
    books.settled(gateway)
    receipt = gateway.request("GET", "/v1/receipts/" + request_id, key=key["key"]).json()
    assert receipt["request_id"] == request_id and receipt["key"] == key["id"]
    assert receipt["team"] == slug and receipt["end_user"] == "bob" and receipt["tag"] == "nightly"
    assert receipt["usage"]["input_tokens"] == used["prompt_tokens"]
    assert receipt["usage"]["output_tokens"] == used["completion_tokens"]
    assert receipt["usage_source"] == "reported" and receipt["outcome"] == "ok"
    prices = receipt["prices_usd_per_million"]
    assert prices == {"input_tokens": 1, "output_tokens": 2}
    cost = (used["prompt_tokens"] * 1 + used["completion_tokens"] * 2) / 1e6
    assert receipt["cost_usd"] == pytest.approx(cost, abs=1e-12)
    assert [one["state"] for one in receipt["attempts"]] == ["settled"]
    assert receipt["attempts"][0]["charged_usd"] == receipt["cost_usd"]
    assert receipt["attempts"][0]["held_usd"] >= receipt["cost_usd"]
    path = "/v1/receipts/" + request_id
    assert gateway.request("GET", path, key=other["key"]).status == 404
    assert gateway.request("GET", path, key=None).status == 401
    assert gateway.request("GET", path).status == 401
    for unknown in ("req_" + "0" * 26, "x", "%27%20OR%201=1"):
        assert gateway.request("GET", "/v1/receipts/" + unknown, key=key["key"]).status == 404
    # The tag is ours and goes nowhere.
    assert "nightly" not in str(gateway.fleet.journal.last().headers)


def test_prices_that_change_are_another_version(binary, fleet, tmp_path):
    """A receipt never explains a cost with prices that it was not made of."""
    with_prices = Gateway(tmp_path, fleet)
    with_prices.start()
    try:
        key = with_prices.new_key(total_budget_usd=1)["key"]
        ids = [chat(with_prices, key).headers["x-gateway-request-id"]]
        was = with_prices.config.read_text()
        changed = was.replace("openai/gpt-4o-mini: {input: 1.0", "openai/gpt-4o-mini: {input: 7.0")
        assert changed != was
        with_prices.config.write_text(changed)
        assert with_prices.request("POST", "/admin/reload").status == 200
        ids.append(chat(with_prices, key).headers["x-gateway-request-id"])
        rows = books.settled(with_prices)
        assert rows[0]["price_version"] != rows[1]["price_version"] > 0
        receipts = [with_prices.request("GET", "/v1/receipts/" + one, key=key).json()
                    for one in ids]
        assert receipts[0]["prices_usd_per_million"] is None
        assert receipts[1]["prices_usd_per_million"]["input_tokens"] == 7
        assert receipts[0]["price_date"] != receipts[1]["price_date"]
        assert receipts[0]["cost_usd"] < receipts[1]["cost_usd"]
    finally:
        with_prices.stop()


def test_spend_by_tag_and_time(gateway):
    key = gateway.new_key(name='=cmd|"x"!A1')
    tag = "t-" + uuid.uuid4().hex
    for _ in range(3):
        assert gateway.request("POST", "/v1/chat/completions",
                               {"model": "gpt-4o-mini",
                                "messages": [{"role": "user", "content": "hello"}]},
                               key=key["key"], headers={"X-Gateway-Tag": tag}).status == 200

    def spent():
        told = gateway.request("GET", "/admin/spend?by=tag,key").json()
        return told, [one for one in told["data"]["by_tag"] if one["tag"] == tag]
    books.wait_for(lambda: [one["requests"] for one in spent()[1]] == [3], what="the records")
    spend, (row,) = spent()
    assert row["cost_usd"] > 0
    for interval, form in (("hour", r"T\d\d:00:00Z$"), ("day", "T00:00:00Z$"),
                           ("month", "-01T00:00:00Z$")):
        timed = gateway.request("GET", "/admin/spend?by=key,tag&interval=" + interval).json()
        assert timed["total"] == spend["total"]
        mine, = [one for one in timed["data"]["by_tag"] if one["tag"] == tag]
        assert {name: mine[name] for name in row} == row
        assert all(re.search(form, part["time"]) for part in mine["series"])
        assert sum(part["requests"] for part in mine["series"]) == 3
    assert gateway.request("GET", "/admin/spend?interval=week").status == 400
    table = gateway.request("GET", "/admin/spend?by=tag,key&interval=day&format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.body.decode(), newline="")))
    mine, = [one for one in rows if one["by"] == "tag" and one["id"] == tag]
    assert int(mine["requests"]) == 3 and float(mine["cost_usd"]) == row["cost_usd"]
    by_key, = [one for one in rows if one["by"] == "key" and one["id"] == key["id"]]
    # No spreadsheet takes a name for a formula.
    assert by_key["name"] == "'=cmd|\"x\"!A1"
    assert sum(int(one["requests"]) for one in rows if one["by"] == "key") == \
        spend["total"]["requests"]
    asked = gateway.request("GET", "/admin/spend?by=team", headers={"Accept": "text/csv"})
    assert asked.body.startswith(b"by,id,name,time,requests")


# --- alerts ---------------------------------------------------------------------------

SECRET = "whsec-0123456789abcdef"


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook that refuses its first post."""

    def __init__(self):
        self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.server.posts.append((self.path, dict(self.headers), body))
                self.send_response(500 if len(self.server.posts) == 1 else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def alerts(self):
        """The bodies of the posts, each signed with the secret at about now."""
        found = []
        for path, headers, body in list(self.posts):
            assert path == "/hook?x=1"
            fields = {name.lower(): value for name, value in headers.items()}
            at, signature = re.match(r"^t=(\d+),v1=([0-9a-f]{64})$",
                                     fields["x-sluice-signature"]).groups()
            assert abs(time.time() - int(at)) < 120
            wanted = hmac.new(SECRET.encode(), at.encode() + b"." + body, "sha256").hexdigest()
            assert hmac.compare_digest(wanted, signature)
            found.append(json.loads(body))
        return found


def test_budget_alerts_are_signed_and_sent_once(fleet, tmp_path):
    receiver = Receiver()
    extra = "alerts: {url: 'http://127.0.0.1:%d/hook?x=1', secret: %s}" % (
        receiver.server_address[1], SECRET)
    gateway = Gateway(tmp_path, fleet, extra=extra).start()
    probe = gateway.new_key()["key"]
    cost = float(chat(gateway, probe, max_tokens=5).headers["x-gateway-cost-usd"])
    team = create(gateway, "team", daily_budget_usd=round(200 * cost, 9), alert_percents=[])
    key = gateway.new_key(team=team["slug"], monthly_budget_usd=round(200 * cost, 9),
                          alert_percents=[1, 2, 90])
    for _ in range(2):
        assert chat(gateway, key["key"], max_tokens=5).status == 200
    books.wait_for(lambda: len(receiver.posts) >= 2, what="alert and its repetition")
    first, again = receiver.alerts()[:2]
    assert first == again
    assert first["type"] == "budget.threshold" and first["level"] == "key"
    assert first["name"] == key["id"] and first["window"] == "monthly"
    assert first["threshold_percent"] == 1
    assert first["spend_usd"] == pytest.approx(2 * cost)
    for _ in range(3):
        assert chat(gateway, key["key"], max_tokens=5).status == 200
    books.wait_for(lambda: len(receiver.posts) >= 3, what="the second threshold")
    assert receiver.alerts()[2]["threshold_percent"] == 2
    # A restart forgets nothing: another request tells nobody twice.
    gateway.stop()
    gateway.start()
    assert chat(gateway, key["key"], max_tokens=5).status == 200
    time.sleep(2)
    assert len(receiver.posts) == 3
    gateway.stop()
    receiver.shutdown()


def test_a_record_that_says_another_cost_is_noticed(fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet).start()
    key = gateway.new_key(daily_budget_usd=1)["key"]
    ids = [chat(gateway, key, max_tokens=5).headers["x-gateway-request-id"] for _ in range(3)]
    books.settled(gateway)
    gateway.stop()
    books.verify(gateway)
    store = sqlite3.connect(tmp_path / "sluice.db")
    cost, = store.execute("SELECT cost_nanousd FROM records WHERE request_id = ?",
                          (ids[1],)).fetchone()
    changed = store.execute("UPDATE record_lines SET facts = replace(facts, ?, ?) WHERE id ="
                            " (SELECT id FROM records WHERE request_id = ?)",
                            (f",{cost},", f",{cost + 1},", ids[1]))
    assert changed.rowcount == 1
    store.commit()
    store.close()
    done = subprocess.run([str(BINARY), "ledger", "verify", "--config", str(gateway.config)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "I7" in done.stdout and ids[1] in done.stdout and "gpt-4o-mini" in done.stdout
