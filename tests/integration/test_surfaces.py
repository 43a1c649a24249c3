"""All five contracts at once: on one port, and without a trace of one in another."""
import concurrent.futures
import re

import pytest

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
# What each contract's answers have, and what its refusals look like.
OWN = {
    "gateway": ("x-gateway-decision", lambda body: body["error"]["type"]),
    "nexus": ("x-nexus-routed-provider", lambda body: body["error"]["type"] == "proxy_error"),
    "astrolabe": ("x-astrolabe-selected-provider", lambda body: body["error"]["requestId"]),
    "ingate": ("x-ingate-request-id", lambda body: body["error_code"]),
    "stolabs": ("x-gateway-request-id", lambda body: "param" in body["error"]),
}
FAMILIES = re.compile(r"^x-(gateway|nexus|astrolabe|ingate|stolabs)-")


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "routes:\n  org/agent: {model: gpt-4o-mini, system: Be brief.}\n"}


def headers_of(surface, key):
    return {"gateway": {"Authorization": "Bearer " + key},
            "nexus": {"x-nexus-virtual-key": key},
            "astrolabe": {"x-api-key": key},
            "ingate": {"X-Ingate-Key": key, "X-Ingate-Provider": "openai"},
            "stolabs": {"X-Stolabs-Api-Key": key,
                        "X-Stolabs-Route-Name": "org/agent"}}[surface]


def ask(gateway, surface, key, body=CHAT):
    path = "/api/v1" if surface == "stolabs" else "/v1/chat/completions"
    return gateway.request("POST", path, body, key=None, headers=headers_of(surface, key))


def families(answer):
    return {match.group(1) for match in map(FAMILIES.match, map(str.lower, answer.headers))
            if match}


def test_keys_of_all_contracts_at_once(gateway):
    """Each fifth key has a limit that it runs into; nobody else notices."""
    keys = {surface: gateway.new_key(surface=surface, name=surface)["key"] for surface in OWN}
    slow = {surface: gateway.new_key(surface=surface, rpm=5)["key"] for surface in OWN}

    def one(index):
        surface = list(OWN)[index % 5]
        limited = index % 3 == 0
        answer = ask(gateway, surface, (slow if limited else keys)[surface])
        return surface, limited, answer

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        done = list(pool.map(one, range(150)))
    for surface, limited, answer in done:
        header, refused = OWN[surface]
        other = "gateway" if surface == "stolabs" else surface
        assert families(answer) <= {other}, (surface, answer.headers)
        if answer.status == 200:
            assert answer.headers[header] and answer.json()["object"] == "chat.completion"
        else:
            assert limited and answer.status == 429 and refused(answer.json())
    for surface in OWN:
        assert sum(limited and answer.status == 200
                   for one, limited, answer in done if one == surface) == 5


@pytest.mark.parametrize("surface", OWN)
def test_a_provider_cannot_speak_for_a_contract(gateway, fleet, surface):
    """The emulator sends fields of every contract with each answer."""
    key = gateway.new_key(surface=surface)["key"]
    for body in (CHAT, dict(CHAT, stream=True), dict(CHAT, model="gpt-4o-mini", n=0)):
        answer = ask(gateway, surface, key, body)
        assert answer.status in (200, 400) and fleet.journal.entries()
        assert not [value for value in answer.headers.values() if "forged" in value]
        assert not [name for name in answer.headers if "forged" in name.lower()]


@pytest.mark.parametrize("model", ["a\r\nX-Forged: 1", "a\nb", "\u2028x", "a\x00b", "\x7f"])
@pytest.mark.parametrize("surface", ["gateway", "nexus", "astrolabe", "ingate"])
def test_a_model_name_forges_nothing(gateway, surface, model):
    key = gateway.new_key(surface=surface)["key"]
    answer = ask(gateway, surface, key, dict(CHAT, model="openai/" + model))
    assert answer.headers.get("X-Forged") is None
    assert not [value for value in answer.headers.values() if "\n" in value or "\r" in value]
    assert answer.headers["Content-Type"].startswith("application/json")


def test_other_contracts_have_no_catch_all(gateway):
    for surface in ("gateway", "nexus", "astrolabe"):
        key = gateway.new_key(surface=surface)["key"]
        answer = gateway.request("POST", "/any/thing", {}, key=None,
                                 headers=headers_of(surface, key))
        assert answer.status == 404 and OWN[surface][1](answer.json())
