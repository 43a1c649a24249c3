"""`auto` out of the box: no aliases, no router.auto, only providers."""
import json

import pytest

from tests.integration.gateway import MASTER_KEY, Gateway, provider_block

BARE = """\
listen: 127.0.0.1:{port}
admin: {{master_key: {master_key}}}
store: sqlite:{directory}/sluice.db
providers:
{providers}
{extra}
"""


class BareGateway(Gateway):
    """Providers, and nothing that says what to choose from."""

    def __init__(self, directory, fleet, names, extra=""):
        self.names, self.more = names, extra
        super().__init__(directory, fleet)

    def write_config(self, **changes):
        blocks = [provider_block(name, kind, self.fleet.url(kind), self.fleet.key(kind))
                  if kind != "mock" else "  %s: {kind: mock}" % name
                  for name, kind in self.names]
        self.config.write_text(BARE.format(
            port=self.port, master_key=MASTER_KEY, directory=self.directory,
            providers="\n".join(blocks), extra=self.more))


@pytest.fixture(scope="module")
def bare(tmp_path_factory, fleet):
    gateway = BareGateway(tmp_path_factory.mktemp("bare"), fleet, [
        ("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "gemini")])
    gateway.start()
    yield gateway
    gateway.stop()


def explain(gateway, model="auto", key=None, text="Hello there!", path="/v1/chat/completions", **body):
    message = {"path": path, "body": dict({"model": model, "messages": [
        {"role": "user", "content": text}]}, **body)}
    if key:
        message["key"] = key
    answer = gateway.request("POST", "/admin/explain", message)
    assert answer.status == 200, answer.body
    return answer.json()


def test_auto_chooses_among_current_chat_models(bare):
    plan = explain(bare)
    assert "error" not in plan and plan["stack"]["slug"] == "default-optimizer"
    everything = plan["plan"] + plan["dropped"]
    assert {one["provider"] for one in everything} == {"openai", "anthropic", "gemini"}
    assert {one["tier"] for one in everything} == {"simple", "medium", "complex"}
    for one in everything:
        assert one["expected_cost_usd"] > 0 and one["expected_quality"] > 0
        for sign in ("codex", "embed", "preview", "search", "audio", "image", "tts"):
            assert sign not in one["model"], one


def test_an_easy_prompt_goes_to_a_cheaper_model_than_the_best_one(bare):
    cheap, best = explain(bare, "astrolabe/cheap")["plan"][0], explain(bare, "astrolabe/safe")["plan"][0]
    assert cheap["tier"] == "simple" and best["tier"] == "complex"
    assert cheap["expected_cost_usd"] < best["expected_cost_usd"]


@pytest.mark.parametrize("model", ["auto", "astrolabe/auto", "astrolabe/coding", "astrolabe/research",
                                   "astrolabe/vision", "astrolabe/strict-json", "astrolabe/cheap",
                                   "astrolabe/safe"])
def test_every_virtual_model_is_answered(bare, fleet, model):
    first = explain(bare, model)["plan"][0]
    key = bare.new_key()["key"]
    answer = bare.request("POST", "/v1/chat/completions", {"model": model, "messages": [
        {"role": "user", "content": "Hello there!"}]}, key=key)
    assert answer.status == 200, answer.body
    assert answer.json()["choices"][0]["message"]["content"]
    seen = fleet.journal.entries()[0]
    # Gemini has it in its path.
    assert first["model"] in seen.target or json.loads(seen.body)["model"] == first["model"]


def test_what_the_key_may_use_is_the_choice(bare):
    narrow = bare.new_key(models=["claude-haiku-4-5"])
    plan = explain(bare, key=narrow["id"])
    assert [one["target"] for one in plan["plan"]] == ["anthropic/claude-haiku-4-5"]
    assert {one["why"] for one in plan["dropped"]} == {"not allowed for this key"}
    answer = bare.request("POST", "/v1/chat/completions", {"model": "auto", "messages": [
        {"role": "user", "content": "Hello there!"}]}, key=narrow["key"])
    assert answer.status == 200, answer.body


def test_a_key_may_be_kept_from_the_choice(bare):
    narrow = bare.new_key(models=["claude-haiku-4-5"], blocked_models=["auto"])
    assert explain(bare, key=narrow["id"])["error"]["code"] == "model_not_allowed"
    broad = bare.new_key(blocked_models=["claude-haiku-4-5"], blocked_providers=["openai"])
    found = explain(bare, key=broad["id"])["plan"]
    assert found and not {"openai/", "claude-haiku-4-5"} & {one["provider"] + "/" for one in found}


def test_a_tool_or_a_picture_leaves_those_that_take_it(bare):
    picture = [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]
    plan = explain(bare, messages=picture)
    assert plan["plan"] and all(one["expected_cost_usd"] > 0 for one in plan["plan"])


def test_the_simulated_provider_alone_will_do(tmp_path, fleet):
    gateway = BareGateway(tmp_path, fleet, [("mock", "mock")])
    gateway.start()
    try:
        answer = gateway.request("POST", "/v1/chat/completions", {"model": "auto", "messages": [
            {"role": "user", "content": "Hello there!"}]}, key=gateway.new_key()["key"])
        assert answer.status == 200, answer.body
    finally:
        gateway.stop()


def test_a_provider_whose_models_nobody_knows_is_told_apart(tmp_path, fleet):
    """Only the operator knows how models of his own server are called: with a price they
    are candidates, without one the refusal says so."""
    local = provider_block("local", "ollama", fleet.url("openai"), fleet.key("openai"))
    for prices, status in (("", 404), ("prices:\n  local/gpt-4o-mini: {input: 0.1, output: 0.2}\n", 200)):
        directory = tmp_path / str(status)
        directory.mkdir()
        gateway = BareGateway(directory, fleet, [], extra=prices)
        gateway.config.write_text(gateway.config.read_text().replace(
            "providers:\n", "providers:\n%s\n" % local))
        gateway.start()
        try:
            answer = gateway.request("POST", "/v1/chat/completions", {"model": "auto", "messages": [
                {"role": "user", "content": "Hello there!"}]}, key=gateway.new_key()["key"])
            assert answer.status == status, answer.body
            if status == 404:
                assert "`prices`" in answer.json()["error"]["message"]
        finally:
            gateway.stop()


def test_lanes_tell_what_they_choose_from(bare):
    """Astrolabe's lists, where only the providers say what there is."""
    key = bare.new_key(surface="astrolabe")["key"]
    models = bare.request("GET", "/v1/models", key=key).json()["data"]
    lanes = bare.request("GET", "/v1/lanes", key=key).json()["data"]
    plan = explain(bare)
    chosen_from = {one["provider"] + "/" + one["model"] for one in plan["plan"] + plan["dropped"]}
    for told in [one["candidates"] for one in models] + [one["default_candidates"] for one in lanes]:
        assert set(told) == chosen_from
    only = bare.new_key(surface="astrolabe", providers=["gemini"])["key"]
    for one in bare.request("GET", "/v1/models", key=only).json()["data"]:
        assert one["candidates"] and all(c.startswith("gemini/") for c in one["candidates"])


def test_lanes_tell_every_alias_once(tmp_path, fleet, binary):
    aliases = "models:\n" + "".join(
        "  - {name: %s, deployments: [{provider: openai, model: gpt-4o-mini},"
        " {provider: openai, model: %s}]}\n" % (name, other)
        for name, other in (("one", "gpt-4o"), ("two", "gpt-4.1")))
    gateway = BareGateway(tmp_path, fleet, [("openai", "openai")], extra=aliases).start()
    try:
        key = gateway.new_key(surface="astrolabe")["key"]
        for lane in gateway.request("GET", "/v1/models", key=key).json()["data"]:
            assert lane["candidates"] == ["openai/gpt-4o-mini", "openai/gpt-4o", "openai/gpt-4.1"]
    finally:
        gateway.stop()
