"""The answers of the golden crossings are legal in the grammar of who asked."""
import json
import pathlib

import pytest

from tests.integration import grammar

ROOT = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "translate"
GRAMMARS = {"openai_chat": "chat", "anthropic_messages": "messages",
            "openai_responses": "responses", "gemini_generate": "gemini"}
# The published schema of chunks knows no calls of free-form tools; whoever declares
# such tools reads them as the whole reply has them.
UNPUBLISHED = ("custom_tool",)
CASES = [case for case in sorted(ROOT.iterdir()) if (case / "answer").exists()
         and case.name not in UNPUBLISHED
         and json.loads((case / "case.json").read_text())["from"] in GRAMMARS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_legal(case):
    name = GRAMMARS[json.loads((case / "case.json").read_text())["from"]]
    body = (case / "answer").read_bytes()
    if (case / "stream").exists():
        answer = grammar.check_stream(name, body)
    else:
        answer = grammar.check_reply(name, json.loads(body))
    broken = "78_" in case.name or "79_" in case.name
    assert bool(answer.error) == broken
