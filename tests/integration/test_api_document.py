"""GET /openapi.json: an OpenAPI 3.1 document of what is served, with examples that fit."""
import re

import pytest

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(gateway):
    answer = gateway.request("GET", "/openapi.json", key=None)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("application/json")
    return answer.json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield path, method, operation


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
        assert "4XX" in operation["responses"] and len(operation["responses"]) == 2, where
        assert all(reply["description"] for reply in operation["responses"].values()), where
        declared = [one["name"] for one in operation.get("parameters", ())]
        assert declared == re.findall(r"{(\w+)}", path), where
        assert (method in ("get", "delete")) <= ("requestBody" not in operation), where
        admin = path.startswith("/admin")
        assert ("masterKey" in str(operation["security"])) == admin, where
    assert len(ids) == len(set(ids)) and len(ids) > 50


def test_references_are_there_and_used(document):
    text = str(document)
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(document["components"]["schemas"])


def test_examples_fit_their_schemas(document):
    jsonschema = pytest.importorskip("jsonschema")
    count = 0
    for path, method, operation in operations(document):
        bodies = [reply.get("content", {}) for reply in operation["responses"].values()]
        bodies.append(operation.get("requestBody", {}).get("content", {}))
        for content in bodies:
            for media in content.values():
                if "$ref" not in media["schema"]:
                    continue
                schema = dict(media["schema"], components=document["components"])
                jsonschema.Draft202012Validator(schema).validate(media["example"])
                count += 1
    assert count > 80


def test_what_it_says_is_served(gateway, document, key):
    """No path is unknown here, and none is open that is said to need a key."""
    for path, method, operation in operations(document):
        if path in ("/admin/reload",) or "{" in path:
            continue
        answer = gateway.request(method.upper(), path, None if method == "get" else {}, key=None)
        assert (answer.status == 401) == bool(operation["security"]), (method, path, answer.status)
        master = "masterKey" in str(operation["security"])
        if method == "get" and not master and path not in ("/v1/lanes", "/v1/usage/daily") and \
                not path.startswith("/api/v1/"):
            answer = gateway.request("GET", path, key=key)
            assert answer.status == 200, (path, answer.status, answer.body)


def test_created_by_its_examples(gateway, document):
    """Bodies as the document shows them do what it says."""
    def example(path, method="post"):
        operation = document["paths"][path][method]
        body = operation["requestBody"]["content"]["application/json"]["example"]
        good = next(code for code in operation["responses"] if code != "4XX")
        return body, int(good)

    for path in ("/admin/keys", "/admin/teams", "/admin/workspaces"):
        body, good = example(path)
        answer = gateway.request("POST", path, body)
        assert answer.status == good, (path, answer.body)
    key = gateway.new_key()["key"]
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations",
                 "/v1/audio/speech"):
        body, good = example(path)
        answer = gateway.request("POST", path, body, key=key)
        assert answer.status == good, (path, answer.body)
