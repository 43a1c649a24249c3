"""GET /openapi.json: an OpenAPI 3.1 document of what is served, with examples that fit."""
import copy
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.integration.gateway import MASTER_KEY, ROOT

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(gateway):
    answer = gateway.request("GET", "/openapi.json", key=None)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("application/json")
    return answer.json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "x-aliases":
                assert method in METHODS
                yield path, method, operation


def good(operation):
    """Status and reply of a success."""
    return next((int(code), reply) for code, reply in operation["responses"].items()
                if code.startswith("2"))


def schema_of(document, media, closed=False):
    """A media type's schema, to be checked by itself; closed: what it does not name is wrong."""
    def close(value):
        if isinstance(value, dict):
            if "properties" in value:
                value.setdefault("additionalProperties", False)
            for one in value.values():
                close(one)
        elif isinstance(value, list):
            for one in value:
                close(one)

    components = copy.deepcopy(document["components"])
    if closed:
        close(components["schemas"])
    return dict(media["schema"], components=components)


def test_it_is_openapi(document):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document)


def test_the_rules_of_linters(document):
    assert document["openapi"].startswith("3.1") and document["info"]["license"]["identifier"]
    tags = {tag["name"] for tag in document["tags"]}
    schemes = set(document["components"]["securitySchemes"])
    ids = []
    for path, method, operation in operations(document):
        where = "%s %s" % (method, path)
        ids.append(operation["operationId"])
        assert operation["summary"] and set(operation["tags"]) <= tags, where
        assert {name for one in operation["security"] for name in one} <= schemes, where
        assert "4XX" in operation["responses"] and good(operation), where
        assert (operation["security"] != []) == ("401" in operation["responses"]), where
        assert all(reply["description"] for reply in operation["responses"].values()), where
        declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert all(one["description"] for one in operation["parameters"]), where
        assert declared == re.findall(r"{(\w+)}", path), where
        assert (method in ("get", "delete")) <= ("requestBody" not in operation), where
        admin = path.startswith("/admin")
        assert ("masterKey" in str(operation["security"])) == admin, where
    assert all(one["description"] for one in document["tags"])
    assert all(one["description"] for one in document["components"]["schemas"].values())
    assert len(ids) == len(set(ids)) and len(ids) > 50


def test_a_linter_is_content(document, tmp_path):
    """redocly's recommended rules: no error, no warning."""
    linter = ROOT / "build" / "node" / "node_modules" / ".bin" / "redocly"
    if not shutil.which("node") or not linter.exists():
        pytest.skip("node or @redocly/cli is not installed")
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    done = subprocess.run([str(linter), "lint", "--format=json", "openapi.json"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=400,
                          env={"PATH": str(pathlib.Path(shutil.which("node")).parent) +
                               ":/usr/bin:/bin", "HOME": str(tmp_path),
                               "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"})
    report = json.loads(done.stdout[done.stdout.index("{"):])
    assert done.returncode == 0 and report["totals"] == \
        {"errors": 0, "warnings": 0, "ignored": 0}, report["problems"][:5]


def test_references_are_there_and_used(document):
    text = str(document)
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(document["components"]["schemas"])


def test_examples_fit_their_schemas(document):
    jsonschema = pytest.importorskip("jsonschema")
    count = 0
    for path, method, operation in operations(document):
        bodies = [good(operation)[1].get("content", {})]
        bodies.append(operation.get("requestBody", {}).get("content", {}))
        for content in bodies:
            for media in content.values():
                if "$ref" not in media["schema"]:
                    continue
                schema = schema_of(document, media)
                jsonschema.Draft202012Validator(schema).validate(media["example"])
                count += 1
    assert count > 80
    for name, schema in document["components"]["schemas"].items():
        assert (name.endswith("Error")) == ("examples" in schema), name
        whole = dict(schema, components=document["components"])
        for one in schema.get("examples", ()):
            jsonschema.Draft202012Validator(whole).validate(one)


@pytest.fixture(scope="module")
def keys(gateway):
    """A key for each contract with reads of its own."""
    return {surface: gateway.new_key(surface=surface, monthly_budget_usd=3)["key"]
            for surface in ("nexus", "astrolabe", "ingate")}


def contract_of(operation, keys):
    """Headers that make a request one of the operation's contract."""
    tag, = operation["tags"]
    if tag == "Ingate":
        return {"X-Ingate-Key": keys["ingate"]}
    if tag in ("Nexus", "Astrolabe"):
        return {"Authorization": "Bearer " + keys[tag.lower()]}
    return {}


def test_what_it_says_is_served(gateway, document, key, keys):
    """No path is unknown here, and none is open that is said to need a key."""
    for path, method, operation in operations(document):
        if path == "/admin/reload":
            continue
        path = path.replace("{model}", "gpt-4o-mini").replace("{id}", "absent")
        body = None if method in ("get", "delete") else {}
        answer = gateway.request(method.upper(), path, body, key=None)
        assert (answer.status == 401) == bool(operation["security"]), (method, path, answer.status)
        master = "masterKey" in str(operation["security"])
        answer = gateway.request(method.upper(), path, body, headers=contract_of(operation, keys),
                                 key=MASTER_KEY if master else key)
        # What an absent id names is not found, but the path is known.
        assert answer.status != 405 and (answer.status != 404 or "absent" in path) and \
            b"nothing at this path" not in answer.body and \
            b"what this gateway answers" not in answer.body, (method, path, answer.status)
        if method == "get" and "absent" not in path:
            assert answer.status == 200, (path, answer.status, answer.body)


def test_other_names_are_served(gateway, document, key):
    count = 0
    for path, item in document["paths"].items():
        method = "GET" if "get" in item else "POST"
        for name in item.get("x-aliases", ()):
            name = re.sub(r"{\w+}", "gpt-4o-mini", name)
            answer = gateway.request(method, name, None if method == "GET" else {}, key=key)
            assert answer.status in (200, 400, 415), (path, name, answer.status, answer.body)
            count += 1
    assert count > 30


def test_what_is_served_is_in_it(document):
    """Every path that the source names is a path of the document, or the root of some."""
    told = [re.sub(r"{\w+}", "{}", path) for path in document["paths"]]
    for item in document["paths"].values():
        told += [re.sub(r"{\w+}", "{}", name) for name in item.get("x-aliases", ())]
    files = [file for room in ("admin", "pipeline", "surfaces", "shapes")
             for file in (ROOT / "src" / room).iterdir() if not file.name.startswith("openapi")]
    found = 0
    for file in files:
        for text in re.findall(r'"(/(?:v1|v1beta|api|admin|model)\b[^"\s?]*)"', file.read_text()):
            # An alias leads to others; what providers are asked is not what is served.
            if file.name == "aliases.def" or "{rest}" in text or "{verb}" in text:
                continue
            if text in ("/api/generate", "/api/chat", "/admin"):
                continue
            want = re.sub(r"{\w+}|:id", "{}", text).rstrip("/")
            assert any(path == want or path.startswith(want + ("" if want.endswith(":") else "/"))
                       for path in told), \
                (file.name, text)
            found += 1
    assert found > 60


def test_replies_are_as_described(gateway, document):
    """What the gateway itself writes has the members that its schema names, and no others."""
    jsonschema = pytest.importorskip("jsonschema")

    def call(method, path, body=None, key=None, pattern=None, closed=True):
        answer = gateway.request(method, path, body, **({"key": key} if key else {}))
        operation = document["paths"][pattern or path.split("?")[0]][method.lower()]
        status = str(answer.status)
        reply = operation["responses"].get(status) or operation["responses"]["4XX"]
        if "content" not in reply:
            assert not answer.body
            return None
        schema = schema_of(document, reply["content"]["application/json"], closed)
        jsonschema.Draft202012Validator(schema).validate(answer.json())
        if answer.status < 300:
            assert answer.status == good(operation)[0]
        return answer.json()

    call("POST", "/admin/teams", {"slug": "told", "rpm": 5, "alert_percents": [50]})
    call("GET", "/admin/teams")
    call("PATCH", "/admin/teams/told", {"rpm": None}, pattern="/admin/teams/{id}")
    call("POST", "/admin/workspaces", {"slug": "house", "prepaid": True})
    call("GET", "/admin/workspaces/house", pattern="/admin/workspaces/{id}")
    call("POST", "/admin/workspaces/house/credits", {"amount_usd": 5, "external_id": "told-1"},
         pattern="/admin/workspaces/{id}/credits")
    made = call("POST", "/admin/keys", {"name": "told", "team": "told", "workspace": "house",
                                        "monthly_budget_usd": 7})
    call("GET", "/admin/keys")
    call("PATCH", "/admin/keys/" + made["id"], {"rpm": 900, "expires_at": "2099-01-01T00:00:00Z"},
         pattern="/admin/keys/{id}")
    voucher = call("POST", "/admin/vouchers", {"amount_usd": 1})
    call("POST", "/v1/vouchers/redeem", {"code": voucher["code"]}, key=made["key"])
    answer = gateway.request("POST", "/v1/chat/completions", {
        "model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
        key=made["key"])
    assert answer.status == 200
    call("GET", "/v1/receipts/" + answer.headers["X-Gateway-Request-Id"], key=made["key"],
         pattern="/v1/receipts/{id}")
    answer = gateway.request("POST", "/v1/responses", {
        "model": "claude-haiku-4-5", "input": "Hello"}, key=made["key"])
    kept = answer.json()["id"]
    call("GET", "/v1/responses/" + kept, key=made["key"], pattern="/v1/responses/{id}",
         closed=False)
    call("GET", "/v1/responses/%s/input_items?limit=1" % kept, key=made["key"],
         pattern="/v1/responses/{id}/input_items")
    call("DELETE", "/v1/responses/" + kept, key=made["key"], pattern="/v1/responses/{id}")
    call("GET", "/v1/credits", key=made["key"])
    call("GET", "/v1/usage", key=made["key"], closed=False)
    call("GET", "/admin/spend?by=key,team,workspace,model,provider,tag&interval=day")
    call("GET", "/admin/spend")
    call("GET", "/admin/audit")
    call("GET", "/admin/deployments")
    call("POST", "/admin/deployments/disable", {"model": "gpt-4o-mini", "provider": "openai"})
    call("POST", "/admin/deployments/enable", {"model": "gpt-4o-mini", "provider": "openai"})
    call("POST", "/admin/stacks", {"slug": "told", "models": ["gpt-4o-mini"]})
    call("GET", "/admin/stacks")
    call("GET", "/admin/stacks/told", pattern="/admin/stacks/{id}")
    call("POST", "/admin/stacks/told/activate", {"version": 1},
         pattern="/admin/stacks/{id}/activate")
    explained = document["paths"]["/admin/explain"]["post"]["requestBody"]["content"]
    call("POST", "/admin/explain", explained["application/json"]["example"])
    call("POST", "/admin/reload")
    call("GET", "/health")
    call("GET", "/ready")
    # Refusals too.
    call("POST", "/admin/keys", {"rpmm": 5})
    call("GET", "/admin/keys/absent", pattern="/admin/keys/{id}")
    call("GET", "/v1/credits", key="gw_virt_" + "0" * 64)
    call("GET", "/admin/keys", key=made["key"])
    call("POST", "/v1/chat/completions", {"model": "absent", "messages": []}, key=made["key"])
    call("POST", "/v1/messages", {"model": "absent", "max_tokens": 1, "messages": []},
         key=made["key"])
    call("POST", "/v1beta/models/absent:generateContent", {"contents": []}, key=made["key"],
         pattern="/v1beta/models/{model}:generateContent")
    call("POST", "/model/absent/converse", {"messages": []}, key=made["key"],
         pattern="/model/{model}/converse")
    call("DELETE", "/admin/keys/" + made["id"], pattern="/admin/keys/{id}")


def test_reads_of_contracts_are_as_described(gateway, document, keys):
    jsonschema = pytest.importorskip("jsonschema")
    budget = None
    for path in ("/v1/usage/daily", "/v1/lanes", "/api/v1/usage/summary",
                 "/api/v1/usage/timeseries", "/api/v1/budgets", "/api/v1/budgets/{id}",
                 "/api/v1/budgets/{id}/status", "/api/aiendpoint/public"):
        operation = document["paths"][path]["get"]
        answer = gateway.request("GET", path.replace("{id}", budget or ""), key=None,
                                 headers=contract_of(operation, keys))
        media = operation["responses"]["200"]["content"]["application/json"]
        assert answer.status == 200, (path, answer.body)
        jsonschema.Draft202012Validator(schema_of(document, media, True)).validate(answer.json())
        if path == "/api/v1/budgets":
            budget = answer.json()["data"][0]["id"]
        if operation["security"]:
            refused = gateway.request("GET", path, key=None, headers={
                name: "Bearer ask_x" if name == "Authorization" else "x"
                for name in contract_of(operation, keys)})
            media = operation["responses"]["401"]["content"]["application/json"]
            assert refused.status == 401
            jsonschema.Draft202012Validator(schema_of(document, media)).validate(refused.json())


def test_bodies_of_keys_are_told_whole(gateway, document):
    """A member that the schema names is taken; one it does not name is refused."""
    named = document["components"]["schemas"]["KeyFields"]["properties"]
    for name in named:
        answer = gateway.request("POST", "/admin/keys", {name: None})
        assert answer.status == 201, (name, answer.body)
    for name in ("slug", "prepaid", "minimum_balance_usd", "rps"):
        assert name not in named
        assert gateway.request("POST", "/admin/keys", {name: None}).status == 400


def test_created_by_its_examples(gateway, document):
    """Bodies as the document shows them do what it says."""
    def example(path, method="post"):
        operation = document["paths"][path][method]
        body = operation["requestBody"]["content"]["application/json"]["example"]
        return body, good(operation)[0]

    for path in ("/admin/keys", "/admin/teams", "/admin/workspaces"):
        body, status = example(path)
        answer = gateway.request("POST", path, body)
        assert answer.status == status, (path, answer.body)
    key = gateway.new_key()["key"]
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations",
                 "/v1/audio/speech"):
        body, status = example(path)
        answer = gateway.request("POST", path, body, key=key)
        assert answer.status == status, (path, answer.body)
