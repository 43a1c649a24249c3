"""All five contracts at once: on one port, and without a trace of one in another."""
import concurrent.futures
import json
import pathlib
import re

import pytest

from tests.integration.books import nano, settled
from tests.integration.rawhttp import sse_frames

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
# What each contract's answers have, and what its refusals look like.
OWN = {
    "gateway": ("x-gateway-decision", lambda body: body["error"]["type"]),
    "nexus": ("x-nexus-routed-provider", lambda body: body["error"]["type"] == "proxy_error"),
    "astrolabe": ("x-astrolabe-selected-provider", lambda body: body["error"]["requestId"]),
    "ingate": ("x-ingate-request-id", lambda body: body["error_code"]),
    "stolabs": ("x-gateway-request-id", lambda body: "param" in body["error"]),
}
IDS = {"gateway": "x-gateway-request-id", "nexus": "x-nexus-request-id",
       "astrolabe": "x-astrolabe-cloud-request-id", "ingate": "x-ingate-request-id",
       "stolabs": "x-gateway-request-id"}
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


def said(answer, stream):
    """What the answer says, whole or put together from its events."""
    if not stream:
        return answer.json()["choices"][0]["message"]["content"]
    chunks = [json.loads(data) for _, data in sse_frames(answer.body) if data != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks
                   for choice in chunk["choices"])


def test_keys_of_all_contracts_at_once(gateway):
    """Each request has words of its own and gets them back, in its own contract's words; each
    third key has a limit that it runs into; nobody else notices, in answers or in the books."""
    keys = {surface: gateway.new_key(surface=surface, name=surface, monthly_budget_usd=5)
            for surface in OWN}
    slow = {surface: gateway.new_key(surface=surface, rpm=5) for surface in OWN}

    def one(index):
        surface = list(OWN)[index % 5]
        limited, stream = index % 3 == 0, index % 2 == 0
        made = (slow if limited else keys)[surface]
        text = "words-of-%d" % index
        answer = ask(gateway, surface, made["key"], dict(
            CHAT, stream=stream, max_tokens=20,
            messages=[{"role": "user", "content": text + " @in=100 @out=10"}]))
        return surface, limited, stream, text, answer

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        done = list(pool.map(one, range(300)))
    ids = set()
    for surface, limited, stream, text, answer in done:
        header, refused = OWN[surface]
        other = "gateway" if surface == "stolabs" else surface
        assert families(answer) == {other}, (surface, answer.headers)
        ids.add(answer.headers[IDS[surface]])
        if surface == "astrolabe":
            made = (slow if limited else keys)[surface]
            assert made["key"].startswith(answer.headers["x-astrolabe-cloud-key"])
        if answer.status == 200:
            assert answer.headers[header] and text in said(answer, stream)
        else:
            assert limited and answer.status == 429 and refused(answer.json())
    assert len(ids) == len(done)
    for surface in OWN:
        assert sum(limited and answer.status == 200
                   for one, limited, _, _, answer in done if one == surface) == 5
    settled(gateway)
    for which, count in ((keys, 40), (slow, 5)):
        for made in which.values():
            one = gateway.request("GET", "/admin/keys/" + made["id"]).json()
            assert nano(one["spend_usd"]) == count * (100 * 1000 + 10 * 2000)
            assert one["held_usd"] == 0


@pytest.mark.parametrize("surface", OWN)
def test_a_provider_cannot_speak_for_a_contract(gateway, fleet, surface):
    """The emulator sends fields of every contract with each answer."""
    key = gateway.new_key(surface=surface)["key"]
    for body in (CHAT, dict(CHAT, stream=True), dict(CHAT, temperature=9)):
        fleet.journal.reset()
        answer = ask(gateway, surface, key, body)
        assert answer.status in (200, 400) and fleet.journal.entries()
        assert families(answer) == {"gateway" if surface == "stolabs" else surface}
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


def test_every_acceptance_check_has_its_test():
    """Tests are named by the number of their check: test_45_..., test_9_10_..."""
    numbers = set()
    for path in pathlib.Path(__file__).parent.glob("test_surfaces_*.py"):
        for name in re.findall(r"^def test_((?:\d+_)+)", path.read_text(), re.M):
            numbers.update(map(int, name.strip("_").split("_")))
    assert numbers == set(range(1, 71))


def test_other_contracts_have_no_catch_all(gateway):
    for surface in ("gateway", "nexus", "astrolabe"):
        key = gateway.new_key(surface=surface)["key"]
        answer = gateway.request("POST", "/any/thing", {}, key=None,
                                 headers=headers_of(surface, key))
        assert answer.status == 404 and OWN[surface][1](answer.json())
