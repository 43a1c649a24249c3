"""The official Node SDKs in conversations with providers of another API, each
pair of node/cross.mjs as a test."""
import json
import pathlib
import subprocess

import pytest

from tests.integration.test_sdk_node import MODULES, NODE, pytestmark  # noqa: F401
from tests.integration.test_translate_pairs import gateway_options  # noqa: F401

SCRIPT = pathlib.Path(__file__).parent / "node" / "cross.mjs"
MODELS = ["gpt-4o-mini", "gpt-5-mini", "claude-haiku-4-5", "gemini-2.5-flash",
          "gemini-3-pro-preview"]


@pytest.fixture(scope="module")
def results(gateway, key):
    at = {"url": gateway.url, "key": key, "models": MODELS}
    done = subprocess.run([NODE, str(SCRIPT), json.dumps(at)], cwd=MODULES, capture_output=True,
                          text=True, timeout=400)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr[-3000:]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", ["chat", "responses", "messages", "gemini"])
def test_node_talks(results, shape, model):
    line = results["%s-%s" % (shape, model)]
    assert line["ok"], line.get("error")
