"""Clients that generators write from /openapi.json: made here, then used.

Python by openapi-python-client; TypeScript by openapi-typescript, checked by tsc, with
openapi-fetch. Each makes a key, lists keys, sends a chat completion with the new one and
reads what was spent.
"""
import importlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.integration.gateway import MASTER_KEY, ROOT

NODE = shutil.which("node")
MODULES = ROOT / "build" / "node" / "node_modules"
SOURCE = pathlib.Path(__file__).parent / "node" / "client.ts"
TOOLS = ("openapi-typescript", "openapi-fetch", "typescript")


@pytest.fixture(scope="module")
def document(gateway, tmp_path_factory):
    """The document in a file."""
    answer = gateway.request("GET", "/openapi.json", key=None)
    assert answer.status == 200
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(answer.body)
    return path


def run(command, cwd, limit_s=120):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True,
                          text=True, timeout=limit_s)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def client(document, tmp_path_factory):
    """The generated package, as a module."""
    pytest.importorskip("openapi_python_client")
    place = tmp_path_factory.mktemp("python")
    (place / "config.yaml").write_text(
        "post_hooks: []\ncontent_type_overrides:\n  audio/mpeg: application/octet-stream\n"
        "  application/vnd.amazon.eventstream: application/octet-stream\n")
    said = run([sys.executable, "-m", "openapi_python_client", "generate", "--path", document,
                "--config", place / "config.yaml", "--meta", "none", "--fail-on-warning",
                "--output-path", place / "sluice_client"], place)
    assert "WARNING" not in said and "ERROR" not in said, said
    sys.path.insert(0, str(place))
    yield importlib.import_module("sluice_client")
    sys.path.remove(str(place))


def part(client, name):
    return importlib.import_module(client.__name__ + "." + name)


def test_python(client, gateway):
    models = part(client, "models")
    admin = client.AuthenticatedClient(base_url=gateway.url, token=MASTER_KEY)
    made = part(client, "api.keys.create_key").sync(
        client=admin, body=models.KeyFields(name="generated", rpm=60, monthly_budget_usd=5))
    assert isinstance(made, models.NewKey) and made.key.startswith("gw_virt_") and made.rpm == 60
    listed = part(client, "api.keys.list_keys").sync(client=admin)
    assert isinstance(listed, models.KeyList)
    assert ["generated"] == [one.name for one in listed.data if one.id == made.id]

    own = client.AuthenticatedClient(base_url=gateway.url, token=made.key)
    request = models.ChatRequest.from_dict({
        "model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]})
    chat = part(client, "api.open_ai.create_chat_completion").sync(client=own, body=request)
    assert isinstance(chat, models.ChatCompletion) and len(chat.choices) == 1

    spend = part(client, "api.money.get_spend").sync(client=admin, by="key")
    assert isinstance(spend, models.Spend)
    row, = [row for row in spend.data.by_key if row.key == made.id]
    assert row.requests == 1 and row.cost_usd > 0

    refused = part(client, "api.own.get_own_credit").sync_detailed(
        client=client.AuthenticatedClient(base_url=gateway.url, token="gw_virt_unknown"))
    assert refused.status_code == 401 and isinstance(refused.parsed, models.Error)
    assert refused.parsed.error.message


@pytest.mark.skipif(NODE is None or not all((MODULES / name).is_dir() for name in TOOLS),
                    reason="node or the packages %s are not installed" % ", ".join(TOOLS))
def test_typescript(document, gateway, tmp_path):
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "package.json").write_text('{"type":"module"}')
    shutil.copy(SOURCE, tmp_path / "client.ts")
    run([NODE, MODULES / "openapi-typescript" / "bin" / "cli.js", document, "-o", "api.ts"],
        tmp_path)
    run([NODE, MODULES / "typescript" / "bin" / "tsc", "--strict", "--target", "es2022",
         "--module", "nodenext", "--moduleResolution", "nodenext", "--skipLibCheck",
         "--lib", "es2022,dom", "client.ts"], tmp_path)
    told = json.loads(run([NODE, "client.js", gateway.url, MASTER_KEY], tmp_path))
    assert "typed" in told["names"] and told["choices"] == 1
    assert told["requests"] == 1 and told["cost"] > 0
    assert told["refused"] == 401 and told["why"]
