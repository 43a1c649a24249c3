"""Coding agents in front of other providers than their own.

What Codex sends is sent here by OpenAI's SDK: tools in a namespace, which the agent runs
itself, beside one that only OpenAI runs. The agents themselves are run where SLUICE_AGENTS
names a directory with `claude` and `codex`; they need nothing but the gateway.
"""
import json
import os
import pathlib
import subprocess

import pytest

from tests.integration.gateway import Gateway

openai = pytest.importorskip("openai", reason="Python package openai is not installed")

SCHEMA = {"type": "object", "properties": {"location": {"type": "string"},
                                           "count": {"type": "integer"}}}
TOOLS = [{"type": "namespace", "name": "crm", "description": "Customers.", "tools": [
              {"type": "function", "name": "find", "description": "Finds one.",
               "parameters": SCHEMA, "strict": False}]},
         {"type": "function", "name": "find", "parameters": SCHEMA, "strict": False},
         {"type": "web_search", "external_web_access": False}]
MODELS = ["claude-haiku-4-5", "gemini-2.5-flash", "cohere/command-a-03-2025",
          "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"]
AGENTS = os.environ.get("SLUICE_AGENTS", "")


@pytest.fixture(scope="module")
def gateway_options():
    return {"extra": "translation: {hosted_tools: drop}", "models":
            "  - name: gpt-5-mini\n    deployments: [{provider: openai, model: gpt-5-mini}]"}


@pytest.fixture
def client(gateway, key):
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0,
                       timeout=60) as client:
        yield client


def ask(client, stream, **request):
    if not stream:
        return client.responses.create(**request)
    with client.responses.stream(**request) as events:
        return events.get_final_response()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
def test_tools_in_a_namespace(client, fleet, model, stream):
    """Two tools of one name are told apart, there and back, over three turns."""
    items = [{"role": "user", "content": "go @turns=3 @calls=2"}]
    for turn in range(4):
        answer = ask(client, stream, model=model, input=items, tools=TOOLS, store=False)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            break
        assert [(c.name, getattr(c, "namespace", None)) for c in calls] == [
            ("find", "crm"), ("find", None)]
        items += [item.model_dump(exclude_none=True) for item in answer.output]
        items += [{"type": "function_call_output", "call_id": call.call_id,
                   "output": "%s of %s" % (call.namespace or "plain",
                                           json.loads(call.arguments)["location"])}
                  for call in calls]
    for turn in range(3):
        assert "crm of place %d.0" % turn in answer.output_text
        assert "plain of place %d.1" % turn in answer.output_text
    assert b"web_search" not in fleet.journal.last().body


def test_what_is_left_out_is_named(client, gateway, key):
    request = {"model": "claude-haiku-4-5", "input": "hello", "tools": TOOLS}
    answer = client.responses.with_raw_response.create(**request)
    assert "hosted_tool_dropped;/tools/2" in answer.headers["x-gateway-translation-warnings"]
    for change, headers in (({}, {"X-Gateway-Strict": "1"}),
                            ({"tool_choice": "required"}, {})):
        refused = gateway.request("POST", "/v1/responses", dict(request, **change), key=key,
                                  headers=headers)
        assert refused.status == 400, refused.body
        assert refused.json()["error"]["param"] == "tools[2]"


def test_a_budget_has_a_bound_without_the_tool(gateway):
    """The tool's fee belongs to a provider that the request does not reach."""
    key = gateway.new_key(total_budget_usd=5)["key"]
    answer = gateway.request("POST", "/v1/responses", {
        "model": "claude-haiku-4-5", "input": "hello", "tools": TOOLS,
        "max_output_tokens": 50}, key=key)
    assert answer.status == 200, answer.body


def test_refused_unless_the_operator_says_so(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet)
    gateway.start()
    try:
        key = gateway.new_key(name="strict")["key"]
        for model in MODELS:
            refused = gateway.request("POST", "/v1/responses", {
                "model": model, "input": "hello", "tools": TOOLS}, key=key)
            assert refused.status == 400, (model, refused.body)
            error = refused.json()["error"]
            assert error["param"] == "tools[2]" and "leave the tool out" in error["message"]
    finally:
        gateway.stop()


# --- the agents themselves -------------------------------------------------------------


def run(name, gateway, key, model, tmp_path):
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    order = "go @turns=2 @calls=2"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "*"}
    if name == "claude":
        environment.update(
            ANTHROPIC_BASE_URL=gateway.url, ANTHROPIC_API_KEY=key, DISABLE_TELEMETRY="1",
            ANTHROPIC_SMALL_FAST_MODEL=model, DISABLE_ERROR_REPORTING="1", DISABLE_AUTOUPDATER="1",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")
        command = ["claude", "-p", order, "--model", model, "--max-turns", "8"]
    else:
        (home / "config.toml").write_text(
            'model = "%s"\nmodel_provider = "gw"\n[model_providers.gw]\nname = "gw"\n'
            'base_url = "%s/v1"\nenv_key = "GW_KEY"\nwire_api = "responses"\n'
            'request_max_retries = 0\nstream_max_retries = 0\n' % (model, gateway.url))
        environment.update(GW_KEY=key, CODEX_HOME=str(home))
        command = ["codex", "exec", "--skip-git-repo-check", "--sandbox", "read-only", order]
    command[0] = str(pathlib.Path(AGENTS) / command[0])
    return subprocess.run(command, cwd=work, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=180)


@pytest.mark.skipif(not AGENTS, reason="SLUICE_AGENTS names no directory of agents")
@pytest.mark.parametrize("model", MODELS + ["gpt-5-mini", "gpt-4o-mini"])
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_agent(gateway, key, fleet, tmp_path, name, model):
    done = run(name, gateway, key, model, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    entries = [entry for entry in fleet.journal.entries() if b"@turns=2" in entry.body]
    assert [entry.status for entry in entries] == [200] * 3
    assert "Results:" in done.stdout
