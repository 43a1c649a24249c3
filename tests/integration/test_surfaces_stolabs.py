"""The 638Labs contract: one test for each acceptance check, by its number."""
import json

import pytest

from tests.integration.rawhttp import sse_frames

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
ROUTES = """\
routes:
  myorg/openai-gpt4o:
    base_url: {openai}/chat/completions
    auth: passthrough
  myorg/azure-agent:
    base_url: {azure}/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21
    auth: header:api-key
  stolabs/bullet-bot:
    model: gpt-4o-mini
    system: Summarise the text in 3 to 7 bullet points.
    auction: {{category: summarization, price_min: 0.10, price_max: 0.60, quality: 0.8}}
  stolabs/deep-read:
    model: claude-haiku-4-5
    system: Write one detailed paragraph.
    auction: {{category: summarization, price_min: 0.30, price_max: 2.00, quality: 0.95}}
  stolabs/tldr-bot:
    model: gpt-4o-mini
    system: One sentence.
    auction: {{category: summarization, price_min: 0.20, price_max: 2.00, quality: 0.9}}
"""


@pytest.fixture(scope="module")
def gateway_options(fleet):
    return {"extra": ROUTES.format(openai=fleet.url("openai"), azure=fleet.url("azure", False))}


@pytest.fixture(scope="module")
def key(gateway):
    made = gateway.new_key(name="stolabs", surface="stolabs")
    assert made["key"].startswith("key-")
    return made["key"]


@pytest.fixture
def ask(gateway, key, fleet):
    def ask(route="myorg/openai-gpt4o", body=CHAT, path="/api/v1", **headers):
        fields = {"X-Stolabs-Api-Key": key, "X-Stolabs-Route-Name": route,
                  "Authorization": "Bearer " + fleet.key("openai")}
        fields.update({name.replace("_", "-"): value for name, value in headers.items()})
        fields = {name: value for name, value in fields.items() if value is not None}
        return gateway.request("POST", path, body, key=None, headers=fields)
    return ask


def refused(answer, status, code):
    assert answer.status == status, answer.body
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    assert error["code"] == code and error["message"]


def test_1_direct_route(ask, fleet):
    answer = ask()
    assert answer.status == 200
    seen = fleet.journal.last()
    assert seen.header("authorization") == "Bearer " + fleet.key("openai")
    assert seen.json() == CHAT and seen.target == "/v1/chat/completions"
    assert answer.body == seen.reply


def test_2_provider_authorization(ask, fleet):
    answer = ask("myorg/azure-agent", Authorization=None,
                 X_Provider_Authorization=fleet.key("azure"))
    assert answer.status == 200, answer.body
    seen = fleet.journal.last()
    assert seen.header("api-key") == fleet.key("azure")
    assert seen.header("authorization") is None
    assert seen.target == \
        "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21"


def test_3_openai_headers_pass(ask, fleet):
    assert ask(OpenAI_Organization="org-1", OpenAI_Project="proj-2", OpenAI_Foo="x").status == 200
    seen = fleet.journal.last()
    assert seen.header("openai-organization") == "org-1"
    assert seen.header("openai-project") == "proj-2" and seen.header("openai-foo") == "x"


def test_4_nothing_leaks(ask, fleet):
    assert ask(X_Stolabs_Other="x", X_Provider_Authorization="secret-of-the-provider").status == 200
    for name, value in fleet.journal.last().headers:
        assert not name.lower().startswith(("x-stolabs", "x-provider"))
        assert "secret-of-the-provider" not in value


def test_5_slash_and_lower_case(gateway, key, fleet):
    answer = gateway.request("POST", "/api/v1/", CHAT, key=None, headers={
        "x-stolabs-api-key": key, "x-stolabs-route-name": "myorg/openai-gpt4o",
        "authorization": "Bearer " + fleet.key("openai")})
    assert answer.status == 200 and answer.body == fleet.journal.last().reply


def test_6_authorization_without_scheme(ask, fleet):
    answer = ask(Authorization=fleet.key("openai"))
    assert fleet.journal.last().header("authorization") == fleet.key("openai")
    assert answer.body == fleet.journal.last().reply


def test_7_refusals(ask, gateway, fleet):
    refused(ask("myorg/none"), 404, "route_not_found")
    refused(ask(None), 400, "missing_route_name")
    refused(ask(X_Stolabs_Api_Key="key-" + "0" * 64), 401, "invalid_api_key")
    refused(ask(X_Stolabs_Api_Key=None), 401, "invalid_api_key")
    assert not fleet.journal.entries()


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}],
                         ids=["plain", "usage"])
def test_8_streams_pass_as_they_are(ask, fleet, options):
    body = dict(CHAT, stream=True, **options)
    answer = ask(body=body)
    assert answer.status == 200
    assert fleet.journal.last().json() == body
    assert answer.body == fleet.journal.last().reply
    assert sse_frames(answer.body)[-1][1] == "[DONE]"


def auction(ask, body=None, **core):
    core = dict({"category": "summarization", "price_unit": "1million_token"}, **core)
    payload = {"stoAuction": {"core": core, "constraints": {}, "preferences": {}}}
    return ask("stolabs/stoAuction", dict(body or {"messages": CHAT["messages"]},
                                          stoPayload=payload), Authorization=None)


@pytest.mark.parametrize("mode", [{"auction_mode": "aix"}, {}], ids=["9_named", "10_by_default"])
def test_9_10_the_lowest_bid_executes(ask, fleet, mode):
    answer = auction(ask, reserve_price=0.5, **mode)
    assert answer.status == 200, answer.body
    body = answer.json()
    assert body["choices"][0]["message"]["content"]
    endpoint = body["message"]["endpoint"]
    assert endpoint["route_name"] == "stolabs/bullet-bot" and endpoint["bid_price"] == 0.1
    assert body["message"]["result"]["choices"] == body["choices"]
    assert len(fleet.journal.entries()) == 1
    assert "stoPayload" not in fleet.journal.last().json()


def test_11_a_ranking_executes_nothing(ask, fleet):
    answer = auction(ask, auction_mode="air", top_k=2)
    assert answer.status == 200, answer.body
    found = answer.json()["message"]["candidates"]
    assert [one["rank"] for one in found] == [1, 2]
    prices = [one["price"] for one in found]
    assert prices == sorted(prices)
    assert [one["route_name"] for one in found] == ["stolabs/bullet-bot", "stolabs/tldr-bot"]
    assert {"bid_price", "reputation_score", "category"} <= set(found[0])
    assert len(answer.json()["candidates"]) == 2 and not fleet.journal.entries()


def test_12_nobody_under_the_reserve_price(ask, fleet):
    refused(auction(ask, reserve_price=0.01), 404, "no_eligible_agents")
    refused(auction(ask, category="nothing-like-it"), 404, "no_eligible_agents")
    assert not fleet.journal.entries()


def test_13_the_registry(gateway):
    def read(path):
        answer = gateway.request("GET", "/api/aiendpoint/" + path, key=None)
        assert answer.status == 200
        return {one["route_name"]: one for one in answer.json()["data"]}

    everything = read("public")
    assert set(everything) == {"myorg/openai-gpt4o", "myorg/azure-agent", "stolabs/bullet-bot",
                               "stolabs/deep-read", "stolabs/tldr-bot"}
    bot = everything["stolabs/bullet-bot"]
    assert bot["name"] == "bullet-bot" and bot["route_type"] == "agent"
    assert bot["agent"]["category"] == "summarization" and bot["agent"]["quality_score"] == 0.8
    assert bot["auction"] == {"enabled": True, "bid_strategy": "minimum", "price_min": 0.1,
                              "price_max": 0.6, "currency": "USD", "unit": "1million_token"}
    assert everything["myorg/openai-gpt4o"]["auction"] == {"enabled": False}
    assert set(read("discover?category=summarization")) == {
        "stolabs/bullet-bot", "stolabs/deep-read", "stolabs/tldr-bot"}
    assert set(read("discover?category=summarization&query=deep")) == {"stolabs/deep-read"}
    assert set(read("discover?query=stolabs%2Fdeep%2Dread")) == {"stolabs/deep-read"}
    assert set(read("discover?model_family=%61ny&query=stolabs%2Ftldr")) == {"stolabs/tldr-bot"}
    assert set(read("discover?route_type=model&category=")) == {"myorg/openai-gpt4o",
                                                                "myorg/azure-agent"}
    assert read("discover?category=chat") == {}
    assert gateway.request("POST", "/api/aiendpoint/public", {}, key=None).status == 401


def test_native_agent_with_its_instructions(ask, fleet):
    for body in ({"messages": CHAT["messages"]}, dict(CHAT, model="default"),
                 {"messages": []}):
        answer = ask("stolabs/bullet-bot", body=body, Authorization=None)
        seen = fleet.journal.last().json()
        assert answer.status == 200, answer.body
        assert seen["model"] == "gpt-4o-mini"
        assert seen["messages"] == [{"role": "system", "content": "Summarise the text in 3 to 7 "
                                     "bullet points."}] + body["messages"]
        assert answer.json()["object"] == "chat.completion"


def test_a_direct_route_needs_no_budget(gateway, ask, fleet):
    """The caller pays the endpoint; only what this gateway pays for is held and spent."""
    poor = gateway.new_key(surface="stolabs", monthly_budget_usd=0.000001)["key"]
    assert ask(X_Stolabs_Api_Key=poor).status == 200
    assert ask("myorg/azure-agent", X_Stolabs_Api_Key=poor, Authorization=None,
               X_Provider_Authorization=fleet.key("azure")).status == 200
    answer = ask("stolabs/bullet-bot", X_Stolabs_Api_Key=poor, Authorization=None)
    assert answer.status == 429 and answer.json()["error"]["message"]


def test_the_endpoints_refusal_passes(ask, fleet):
    for fields in ({"Authorization": None}, {"Authorization": "Bearer wrong"}):
        answer = ask(**fields)
        assert answer.status == 401 and answer.body == fleet.journal.last().reply


def test_the_route_by_the_native_surface(gateway, fleet):
    key = gateway.new_key()["key"]
    answer = gateway.request("POST", "/v1/chat/completions", dict(CHAT, model="x"), key=key,
                             headers={"X-Gateway-Route": "stolabs/bullet-bot"})
    assert answer.status == 200 and answer.headers["X-Gateway-Decision"] == "openai/gpt-4o-mini"
    assert json.loads(fleet.journal.last().body)["messages"][0]["role"] == "system"
    answer = gateway.request("POST", "/v1/responses", {"model": "x", "input": "y"}, key=key,
                             headers={"X-Gateway-Route": "stolabs/bullet-bot"})
    assert answer.status == 400
