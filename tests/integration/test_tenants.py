"""Workspaces, teams, keys and end users: limits at each level, changed while running."""
import json
import uuid

import pytest

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
    refused = chat(gateway, key["key"], metadata={"filler": "x" * 650})
    assert refused.status == 429
    assert refused.headers["x-gateway-limit-kind"] == "tpm"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["kind"] == "tpm"
    assert gateway.request("PATCH", "/admin/keys/" + key["id"], {"tpm": 0}).status == 200
    assert chat(gateway, key["key"], metadata={"filler": "x" * 500}).status == 200


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
