"""Virtual keys: the admin API, and what a key may do."""
import datetime
import json
import re
import threading
import time

import pytest

from tests.integration.gateway import MASTER_KEY
from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES

CHAT = SHAPES["chat"]


def ask(gateway, key, shape=CHAT, **options):
    with Connection(gateway.connect()) as connection:
        connection.send(shape.ask(key, **options))
        return connection.read()


def test_create_and_show(gateway):
    made = gateway.new_key(name="billing bot", team="finance", models=["gpt-4o-mini"], rpm=600,
                           metadata={"cost_centre": "42"})
    assert re.match(r"^vk_[0-9A-Za-z]+$", made["id"])
    assert re.match(r"^gw_virt_[0-9a-f]{32,}$", made["key"])
    assert made["name"] == "billing bot" and made["team"] == "finance" and made["rpm"] == 600
    assert made["models"] == ["gpt-4o-mini"] and made["created_at"]
    shown = gateway.request("GET", "/admin/keys/" + made["id"])
    assert shown.status == 200 and shown.json()["name"] == "billing bot"
    assert shown.json()["metadata"] == {"cost_centre": "42"}
    listed = gateway.request("GET", "/admin/keys")
    assert made["id"] in [one["id"] for one in listed.json()["data"]]
    for answer in (shown, listed):
        assert made["key"].encode() not in answer.body
        assert "key" not in (answer.json() if answer is shown else answer.json()["data"][0])


@pytest.mark.parametrize("carrier", ["Authorization", "x-api-key", "api-key", "x-goog-api-key"])
def test_carriers(gateway, key, carrier):
    value = "Bearer " + key if carrier == "Authorization" else key
    body = CHAT.body("gpt-4o-mini", "x", False)
    assert gateway.request("POST", "/v1/chat/completions", body, key=None,
                           headers={carrier: value}).status == 200


def test_key_in_the_query(gateway, key, fleet):
    path = "/v1beta/models/gemini-2.5-flash:generateContent?key=" + key
    answer = gateway.request("POST", path, SHAPES["gemini"].body("", "x", False), key=None)
    assert answer.status == 200
    assert "key=" not in fleet.journal.last().target
    assert key not in gateway.logs()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("wrong", [None, "", "gw_virt_" + "0" * 64, "gw_virt_x", "sk-other",
                                   "' OR 1=1 --", "x" * 4000], ids=range(7))
def test_wrong_key(gateway, shape, wrong):
    request = shape.ask(wrong or "")
    if wrong is None:
        name = shape.headers("")[0][0]
        request = re.sub(rb"(?i)%s:[^\r]*\r\n" % name.encode(), b"", request)
    with Connection(gateway.connect()) as connection:
        connection.send(request)
        response = connection.read()
    assert response.status == 401, response
    message = shape.check_error(401, response.body)
    assert not wrong or len(wrong) < 8 or wrong not in message


def test_key_is_checked_before_the_body_is_read(gateway):
    with Connection(gateway.connect()) as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                        b"gw_virt_0\r\nContent-Type: application/json\r\n"
                        b"Content-Length: 1000000\r\n\r\n{")
        assert connection.read().status == 401


def test_revocation_at_once(gateway):
    made = gateway.new_key()
    assert ask(gateway, made["key"]).status == 200
    gone = gateway.request("DELETE", "/admin/keys/" + made["id"])
    assert gone.status == 204 and gone.body == b""
    assert ask(gateway, made["key"]).status == 401
    assert gateway.request("DELETE", "/admin/keys/" + made["id"]).status == 404


def test_revocation_on_every_loop(gateway):
    """Open connections are spread over the event loops; none may lag behind."""
    made = gateway.new_key()
    connections = [Connection(gateway.connect()) for _ in range(8)]
    for connection in connections:
        connection.send(CHAT.ask(made["key"]))
        assert connection.read().status == 200
    gateway.request("DELETE", "/admin/keys/" + made["id"])
    for connection in connections:
        connection.send(CHAT.ask(made["key"]))
        assert connection.read().status == 401
        connection.sock.close()


def test_patch_at_once(gateway):
    made = gateway.new_key(models=["claude-haiku-4-5"])
    denied = ask(gateway, made["key"])
    assert denied.status == 403
    assert "gpt-4o-mini" in CHAT.check_error(403, denied.body)
    changed = gateway.request("PATCH", "/admin/keys/" + made["id"],
                              {"models": ["claude-haiku-4-5", "gpt-4o-*"]})
    assert changed.status == 200 and "key" not in changed.json()
    assert changed.json()["models"] == ["claude-haiku-4-5", "gpt-4o-*"]
    assert ask(gateway, made["key"]).status == 200
    assert gateway.request("PATCH", "/admin/keys/vk_unknown", {"rpm": 1}).status == 404


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_denied_model_in_each_envelope(gateway, shape):
    made = gateway.new_key(models=["nothing-else"])
    response = ask(gateway, made["key"], shape)
    assert response.status == 403, response
    shape.check_error(403, response.body)


def test_models_of_the_key(gateway):
    made = gateway.new_key(models=["gpt-4o-mini"])
    listed = gateway.request("GET", "/v1/models", key=made["key"]).json()
    ids = [one["id"] for one in listed["data"]]
    assert ids[0] == "gpt-4o-mini"
    assert {one.rpartition("/")[2] for one in ids} == {"gpt-4o-mini"}
    assert gateway.request("GET", "/v1/models/claude-haiku-4-5", key=made["key"]).status == 404
    assert gateway.request("GET", "/v1/models", key=None).status == 401


def test_rpm_by_the_contract(gateway):
    made = gateway.new_key(rpm=2)
    assert [ask(gateway, made["key"]).status for _ in range(2)] == [200, 200]
    refused = ask(gateway, made["key"])
    assert refused.status == 429
    assert refused.header("x-gateway-limit-kind") == "rpm"
    wait = refused.header("retry-after")
    assert 1 <= int(wait) <= 60
    expected = ('{"error":{"type":"rate_limit_exceeded","message":"Key %s exceeded its 2 req/min '
                'limit.","kind":"rpm","retry_after_seconds":%s}}' % (made["id"], wait))
    assert refused.body.decode() == expected
    assert gateway.request("PATCH", "/admin/keys/" + made["id"], {"rpm": 0}).status == 200
    assert ask(gateway, made["key"]).status == 200


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rpm_in_each_envelope(gateway, shape):
    made = gateway.new_key(rpm=1)
    assert ask(gateway, made["key"], shape).status == 200
    refused = ask(gateway, made["key"], shape)
    assert refused.status == 429 and refused.header("retry-after")
    shape.check_error(429, refused.body)


def test_rpm_is_exact_under_concurrency(gateway):
    made = gateway.new_key(rpm=20)
    statuses = []

    def work():
        for _ in range(5):
            statuses.append(ask(gateway, made["key"]).status)
    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(200) == 20 and statuses.count(429) == 40


def test_expiry(gateway):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=6)
    made = gateway.new_key(expires_at=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert ask(gateway, made["key"]).status == 200
    time.sleep(max(0, (soon - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) + 0.2)
    expired = ask(gateway, made["key"])
    assert expired.status == 401
    assert "expired" in CHAT.check_error(401, expired.body)


@pytest.mark.parametrize("body,param", [
    ({"name": 5}, "name"), ({"name": "a", "rpm": -1}, "rpm"), ({"name": "a", "rpm": "x"}, "rpm"),
    ({"name": "a", "models": "gpt"}, "models"), ({"name": "a", "expires_at": "soon"}, "expires_at"),
    ({"name": "a", "surface": "moon"}, "surface"), ({"name": "a", "rmp": 5}, "rmp"),
])
def test_bad_key_requests(gateway, body, param):
    answer = gateway.request("POST", "/admin/keys", body)
    assert answer.status == 400
    assert param in json.dumps(answer.json()["error"])


@pytest.mark.parametrize("method,path", [
    ("GET", "/admin/keys"), ("POST", "/admin/keys"), ("GET", "/admin/keys/vk_1"),
    ("PATCH", "/admin/keys/vk_1"), ("DELETE", "/admin/keys/vk_1"), ("GET", "/admin/spend"),
    ("POST", "/admin/reload"), ("GET", "/admin/audit"), ("POST", "/admin/teams"),
    ("PATCH", "/admin/workspaces/acme"), ("POST", "/admin/workspaces/acme/credits"),
    ("POST", "/admin/vouchers"),
])
def test_admin_is_for_the_master_key(gateway, key, method, path):
    body = {} if method in ("POST", "PATCH") else None
    for wrong in (key, None, MASTER_KEY[:-1], MASTER_KEY + "x"):
        answer = gateway.request(method, path, body, key=wrong)
        assert answer.status in (401, 403), (wrong, answer.status)
        assert answer.json()["error"]["message"]


def test_secrets_are_not_stored(gateway):
    made = gateway.new_key()
    ask(gateway, made["key"])
    secret = made["key"].encode()
    gateway.stop()    # what was to be written is
    gateway.start()
    for path in gateway.directory.glob("sluice.db*"):
        data = path.read_bytes()
        assert secret not in data and secret[len("gw_virt_"):] not in data
        assert MASTER_KEY.encode() not in data
