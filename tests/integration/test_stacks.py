"""Stacks and explain: which targets a request may go to, in which order and why, what each
would cost; and that the request then goes where the explanation said."""
import json

import pytest

from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES

# Output prices put the models into the three tiers.
EXTRA = """\
  openai/gpt-4.1-nano: {input: 0.10, output: 0.40}
  openai/gpt-4.1-mini: {input: 1.00, output: 4.00}
  openai/gpt-4.1: {input: 5.00, output: 20.00}
  openai-b/gpt-4.1-nano: {input: 0.05, output: 0.20}
stacks:
  - slug: careful
    version: 3
    models: [pool]
    allowed_providers: [openai]
    objective: premium
    quality: high
  - slug: thrifty
    models: [pool]
    objective: lowest_passable
    quality: draft
  - slug: nowhere
    models: [pool]
    allowed_providers: [gemini]
  - slug: poor
    models: [openai/gpt-4.1, openai/gpt-4.1-nano]
    objective: premium
    max_cost_usd: 0.001
  - slug: eu-only
    models: [pool, claude-haiku-4-5]
    regions: [eu]
  - slug: alone
    models: [openai/fault-500, openai-b/gpt-4.1-nano]
    objective: fixed
    fallback: false
routes:
  myorg/brief: {model: pool, system: Be brief.}
workspaces:
  - slug: acme
    stack: thrifty
"""
MODELS = """\
  - name: pool
    strategy: priority
    deployments:
      - {provider: openai, model: gpt-4.1-nano, priority: 1}
      - {provider: openai, model: gpt-4.1-mini, priority: 2}
      - {provider: openai, model: gpt-4.1, priority: 3}
      - {provider: openai-b, model: gpt-4.1-nano, priority: 4}
"""
EASY = "Hello, how are you?"


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": MODELS, "extra": EXTRA, "retries": 2}


def explain(gateway, model, headers=None, key=None, prompt=EASY, **body):
    message = {"path": "/v1/chat/completions", "headers": headers or {},
               "body": dict({"model": model, "messages": [{"role": "user", "content": prompt}]},
                            **body)}
    if key:
        message["key"] = key
    answer = gateway.request("POST", "/admin/explain", message)
    assert answer.status == 200, answer.body
    return answer.json()


def targets(plan):
    return [entry["target"] for entry in plan["plan"]]


def why(plan):
    return {entry["target"]: entry["why"] for entry in plan["dropped"]}


def ask(gateway, key, model, headers=(), stream=False):
    extra = "".join("%s: %s\r\n" % pair for pair in headers).encode()
    with Connection(gateway.connect()) as connection:
        raw = SHAPES["chat"].ask(key, model=model, stream=stream)
        head, _, rest = raw.partition(b"\r\n")
        connection.send(head + b"\r\n" + extra + rest)
        return connection.read()


class TestExplain:
    def test_alias(self, gateway, fleet):
        plan = explain(gateway, "pool")
        assert targets(plan) == ["openai/gpt-4.1-nano", "openai/gpt-4.1-mini", "openai/gpt-4.1", "openai-b/gpt-4.1-nano"]
        assert [entry["reason"] for entry in plan["plan"]] == ["priority"] * 4
        assert plan["stack"] is None and plan["objective"] is None
        assert plan["dropped"] == []
        assert plan["classification"]["bucket"] in ("simple", "medium", "complex")
        for entry in plan["plan"]:
            assert 0 < entry["low_cost_usd"] < entry["expected_cost_usd"] < entry["high_cost_usd"]
        # What is dearest is what is compared with.
        top = plan["plan"][2]
        assert plan["baseline_cost_usd"] == top["expected_cost_usd"]
        assert plan["savings_usd"] == pytest.approx(
            top["expected_cost_usd"] - plan["plan"][0]["expected_cost_usd"])
        assert fleet.journal.entries() == []

    def test_costs_are_those_of_the_prices(self, gateway):
        plan = explain(gateway, "pool", max_tokens=10)
        tokens = plan["tokens"]
        for entry, (inward, outward) in zip(plan["plan"], ((0.1, 0.4), (1, 4), (5, 20))):
            assert entry["expected_cost_usd"] == pytest.approx(
                (entry["input_tokens"] * inward + tokens["output"] * outward) / 1e6)
        assert tokens["output_high"] == 10 and tokens["output"] <= 10

    def test_key_and_switch(self, gateway):
        limited = gateway.new_key(name="limited", models=["openai/gpt-4.1-mini", "openai/gpt-4.1"])
        gateway.request("POST", "/admin/deployments/disable", {"id": "pool/openai/gpt-4.1"})
        try:
            plan = explain(gateway, "pool", key=limited["id"])
        finally:
            gateway.request("POST", "/admin/deployments/enable", {"id": "pool/openai/gpt-4.1"})
        assert targets(plan) == ["openai/gpt-4.1-mini"]
        assert why(plan) == {"openai/gpt-4.1-nano": "not allowed for this key",
                             "openai/gpt-4.1": "disabled by an operator",
                             "openai-b/gpt-4.1-nano": "not allowed for this key"}
        # What would it have cost where it may not go?
        assert all(entry["expected_cost_usd"] > 0 for entry in plan["dropped"])
        # The secret, where a caller sends it, does as well.
        plan = explain(gateway, "pool", headers={"Authorization": "Bearer " + limited["key"]})
        assert plan["key"] == limited["id"]
        assert targets(plan) == ["openai/gpt-4.1-mini", "openai/gpt-4.1"]

    def test_nothing_left(self, gateway):
        plan = explain(gateway, "no-such-model")
        assert plan["plan"] == [] and plan["error"]["status"] == 404

    @pytest.mark.parametrize("body, param", [
        ({"path": "/nowhere", "body": {}}, "path"),
        ({"shape": "openai_smalltalk", "body": {}}, "shape"),
        ({"path": "/v1/chat/completions"}, "body"),
        ({"headers": {"x": 1}, "body": {}}, "headers"),
        ({"key": "vk_none", "body": {"model": "pool"}}, "key"),
        ({"headers": {"x-gateway-quality": "best"}, "body": {"model": "pool"}},
         "x-gateway-quality"),
    ])
    def test_bad(self, gateway, body, param):
        answer = gateway.request("POST", "/admin/explain", body)
        assert answer.status in (400, 404), answer.body
        assert answer.json()["error"]["param"] == param

    @pytest.mark.parametrize("shape, path", [
        ("anthropic_messages", "/v1/messages"),
        ("gemini_generate", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("openai_responses", "/v1/responses")])
    def test_shapes(self, gateway, shape, path):
        bodies = {"anthropic_messages": {"model": "claude-haiku-4-5", "max_tokens": 5,
                                         "messages": [{"role": "user", "content": EASY}]},
                  "gemini_generate": {"contents": [{"parts": [{"text": EASY}]}]},
                  "openai_responses": {"model": "pool", "input": EASY}}
        answer = gateway.request("POST", "/admin/explain", {"path": path, "body": bodies[shape]})
        plan = answer.json()
        assert plan["shape"] == shape and plan["plan"], plan


class TestFitness:
    """What the catalogue says of a model keeps it out while another can do it."""

    def test_context(self, gateway):
        long = "word " * 40000
        plan = explain(gateway, "gpt-4o-mini", prompt=long)
        assert targets(plan) == ["openai/gpt-4o-mini"]
        answer = gateway.request("POST", "/admin/stacks", {
            "slug": "windows", "models": ["openai/gpt-4", "openai/gpt-4.1"],
            "objective": "fixed"})
        assert answer.status == 201, answer.body
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "windows"}, prompt=long)
        assert targets(plan) == ["openai/gpt-4.1"]
        assert why(plan) == {"openai/gpt-4": "context window too small"}
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "windows"})
        assert targets(plan) == ["openai/gpt-4", "openai/gpt-4.1"]

    def test_kinds_of_input(self, gateway):
        gateway.request("POST", "/admin/stacks", {
            "slug": "eyes", "models": ["openai/gpt-4", "openai/gpt-4o"], "objective": "fixed"})
        picture = [{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "eyes"}, messages=picture)
        assert targets(plan) == ["openai/gpt-4o"]
        assert why(plan) == {"openai/gpt-4": "does not take this kind of input"}


class TestStacks:
    @pytest.mark.parametrize("stack, first", [
        ("careful", "openai/gpt-4.1"), ("thrifty", "openai-b/gpt-4.1-nano")])
    def test_objective(self, gateway, key, fleet, stack, first):
        plan = explain(gateway, "auto", {"X-Gateway-Stack": stack})
        assert targets(plan)[0] == first
        answer = ask(gateway, key, "auto", [("X-Gateway-Stack", stack)])
        assert answer.header("x-gateway-decision") == first
        assert len(fleet.journal.entries()) == 1

    def test_boundaries(self, gateway):
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "careful"})
        assert plan["stack"] == {"slug": "careful", "version": 3}
        assert plan["objective"] == "premium" and plan["quality"] == "high"
        assert why(plan) == {
            "openai-b/gpt-4.1-nano": "provider not among the stack's allowed_providers"}
        # A concrete model keeps its strategy, within the same boundaries.
        plan = explain(gateway, "pool", {"X-Gateway-Stack": "careful"})
        assert targets(plan) == ["openai/gpt-4.1-nano", "openai/gpt-4.1-mini", "openai/gpt-4.1"]

    def test_wishes_win(self, gateway):
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "careful",
                                         "X-Gateway-Cost-Mode": "lowest_passable",
                                         "X-Gateway-Quality": "draft"})
        assert targets(plan)[0] == "openai/gpt-4.1-nano"
        assert plan["objective"] == "lowest_passable" and plan["quality"] == "draft"
        plan = explain(gateway, "pool", {"X-Gateway-Cost-Mode": "premium"})
        assert targets(plan)[0] == "openai/gpt-4.1"

    def test_blocked(self, gateway, key, fleet):
        answer = ask(gateway, key, "auto", [("X-Gateway-Stack", "nowhere")])
        assert answer.status == 403
        error = answer.json()["error"]
        assert error["code"] == "routing_policy_blocked" and "allowed_providers" in error["message"]
        answer = ask(gateway, key, "auto", [("X-Gateway-Stack", "eu-only")])
        assert answer.status == 403 and "regions" in answer.json()["error"]["message"]
        answer = ask(gateway, key, "auto", [("X-Gateway-Stack", "no-such")])
        assert answer.status == 404
        assert answer.json()["error"]["code"] == "routing_stack_not_found"
        assert fleet.journal.entries() == []

    def test_cost_limit(self, gateway):
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "poor"}, prompt="word " * 500)
        assert targets(plan) == ["openai/gpt-4.1-nano"]
        assert why(plan) == {"openai/gpt-4.1": "expected to cost more than the stack allows"}

    def test_fallback_off(self, gateway, key, fleet):
        answer = ask(gateway, key, "auto", [("X-Gateway-Stack", "alone")])
        assert answer.status == 500
        assert len(fleet.journal.entries()) == 1
        fleet.journal.reset()
        answer = ask(gateway, key, "auto", [("X-Gateway-Stack", "alone"),
                                            ("X-Gateway-Fallback", "true")])
        assert answer.status == 200
        assert len(fleet.journal.entries()) == 2

    def test_precedence(self, gateway):
        member = gateway.new_key(name="member", workspace="acme")
        bound = gateway.new_key(name="bound", workspace="acme", stack="careful")
        lost = gateway.new_key(name="lost", stack="gone")
        assert explain(gateway, "auto", key=member["id"])["stack"]["slug"] == "thrifty"
        assert explain(gateway, "auto", key=bound["id"])["stack"]["slug"] == "careful"
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "fast"}, key=bound["id"])
        assert plan["stack"] == {"slug": "fast", "version": 1}
        # Nobody says: the managed default, over every alias.
        plan = explain(gateway, "auto")
        assert plan["stack"]["slug"] == "default-optimizer"
        assert plan["objective"] == "balanced" and len(plan["plan"]) > 4
        assert explain(gateway, "astrolabe/cheap")["stack"]["slug"] == "low-cost"
        plan = explain(gateway, "auto", key=lost["id"])
        assert plan["error"]["code"] == "routing_stack_resolution_failed"


class TestRoutes:
    def test_named_by_header(self, gateway, key, fleet):
        answer = ask(gateway, key, "whatever", [("X-Gateway-Route", "myorg/brief")])
        assert answer.status == 200
        assert answer.header("x-gateway-decision") == "openai/gpt-4.1-nano"
        sent = fleet.journal.last().json()["messages"]
        assert sent[0] == {"role": "system", "content": "Be brief."}
        plan = explain(gateway, "whatever", {"X-Gateway-Route": "myorg/brief"})
        assert plan["route"] == "myorg/brief" and targets(plan)[0] == "openai/gpt-4.1-nano"

    def test_unknown(self, gateway, key, fleet):
        answer = ask(gateway, key, "pool", [("X-Gateway-Route", "myorg/none")])
        assert answer.status == 404 and answer.json()["error"]["code"] == "route_not_found"
        assert fleet.journal.entries() == []


class TestVersions:
    def stacks(self, gateway, slug):
        answer = gateway.request("GET", "/admin/stacks/" + slug)
        return {(entry["version"], entry["active"]) for entry in answer.json()["data"]}

    def test_life(self, gateway):
        first = gateway.request("POST", "/admin/stacks", {
            "slug": "mine", "models": ["pool"], "objective": "premium"})
        assert first.status == 201
        assert (first.json()["version"], first.json()["active"]) == (1, True)
        draft = gateway.request("POST", "/admin/stacks", {
            "slug": "mine", "models": ["pool"], "objective": "lowest_passable",
            "quality": "draft", "activate": False})
        assert (draft.json()["version"], draft.json()["active"]) == (2, False)
        assert targets(explain(gateway, "auto", {"X-Gateway-Stack": "mine"}))[0] == "openai/gpt-4.1"
        assert gateway.request("POST", "/admin/stacks/mine/activate", {"version": 2}).status == 200
        plan = explain(gateway, "auto", {"X-Gateway-Stack": "mine"})
        assert targets(plan)[0] == "openai-b/gpt-4.1-nano" and plan["stack"]["version"] == 2
        assert self.stacks(gateway, "mine") == {(1, False), (2, True)}
        # It survives the process.
        gateway.stop()
        gateway.start()
        assert self.stacks(gateway, "mine") == {(1, False), (2, True)}
        assert gateway.request("POST", "/admin/stacks/mine/activate", {"version": 3}).status == 404
        assert gateway.request("POST", "/admin/stacks/none/activate", {}).status == 404

    def test_over_the_file(self, gateway):
        """A version of the admin API takes the place of the file's, until that is activated."""
        made = gateway.request("POST", "/admin/stacks", {"slug": "careful", "models": ["pool"],
                                                         "objective": "fixed"}).json()
        assert (made["version"], made["active"]) == (4, True)
        assert explain(gateway, "auto", {"X-Gateway-Stack": "careful"})["stack"]["version"] == 4
        gateway.request("POST", "/admin/stacks/careful/activate", {"version": 3})
        assert explain(gateway, "auto", {"X-Gateway-Stack": "careful"})["stack"]["version"] == 3

    @pytest.mark.parametrize("body, param", [
        ({}, "slug"), ({"slug": "A B"}, "slug"), ({"slug": "x", "objective": "best"}, "objective"),
        ({"slug": "x", "quality": 1}, "quality"), ({"slug": "x", "models": "pool"}, "models"),
        ({"slug": "x", "models": ["nothing"]}, "models"),
        ({"slug": "x", "blocked_providers": ["nobody"]}, "blocked_providers"),
        ({"slug": "x", "requires": ["wings"]}, "requires"),
        ({"slug": "x", "max_cost_usd": -1}, "max_cost_usd"),
        ({"slug": "x", "memory": True}, "memory")])
    def test_refused(self, gateway, body, param):
        answer = gateway.request("POST", "/admin/stacks", body)
        assert answer.status == 400
        assert answer.json()["error"]["param"] == param

    def test_managed_are_listed(self, gateway):
        data = gateway.request("GET", "/admin/stacks").json()["data"]
        managed = {entry["slug"] for entry in data if entry["source"] == "managed"}
        assert managed >= {"default-optimizer", "low-cost", "high-quality", "fast", "strict-json",
                           "customer-data", "high-stakes", "code-agent", "research"}
        assert json.dumps(data)
