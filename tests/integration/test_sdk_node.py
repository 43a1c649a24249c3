"""The official Node SDKs (openai, @anthropic-ai/sdk, @google/genai), each check
of node/sdk.mjs as a test, against the emulators and through the gateway."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.integration.gateway import ROOT

SCRIPT = pathlib.Path(__file__).parent / "node" / "sdk.mjs"
MODULES = ROOT / "build" / "node"
NODE = shutil.which("node")
NAMES = re.findall(r"^  async (\w+)\(\)", SCRIPT.read_text(), re.M)

pytestmark = pytest.mark.skipif(
    NODE is None or not (MODULES / "node_modules" / "openai").is_dir(),
    reason="node or the packages openai, @anthropic-ai/sdk, @google/genai are not installed")


@pytest.fixture(scope="module")
def results(target):
    """One run of the script for each target."""
    where = {name: {"url": target.url(name), "key": target.key(name)}
             for name in ("openai", "anthropic", "gemini")}
    done = subprocess.run([NODE, str(SCRIPT), json.dumps(where)], cwd=MODULES,
                          capture_output=True, text=True, timeout=400)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr[-3000:]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_node(results, name):
    assert results[name]["ok"], results[name].get("error")
