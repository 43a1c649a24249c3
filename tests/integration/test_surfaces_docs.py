"""Every command of the contracts' pages is run, and prints what the page says."""
import os
import re
import subprocess

import pytest

from tests.integration.gateway import MASTER_KEY, ROOT

PAGES = sorted((ROOT / "docs" / "surfaces").glob("*.md"))
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.S | re.M)
ROUTES = """\
routes:
  myorg/openai-gpt4o: {{base_url: "{openai}/chat/completions", auth: passthrough}}
  stolabs/bullet-bot:
    model: gpt-4o-mini
    system: Summarise the text in 3 to 7 bullet points.
    auction: {{category: summarization, price_min: 0.10, price_max: 0.60, quality: 0.8}}
"""


@pytest.fixture(scope="module")
def gateway_options(fleet):
    return {"extra": ROUTES.format(openai=fleet.url("openai")), "router": "auto: gpt-4o-mini"}


def steps(page):
    """[(commands, lines that their output has)]"""
    found = []
    for kind, text in BLOCK.findall(page.read_text()):
        if kind == "sh":
            found.append((text, []))
        else:
            found[-1][1].extend(text.splitlines())
    return found


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page(gateway, fleet, page):
    surface = page.stem
    environment = dict(os.environ, SLUICE=gateway.url, MASTER_KEY=MASTER_KEY,
                       KEY=gateway.new_key(surface=surface, rpm=60)["key"],
                       KEY2=gateway.new_key(surface=surface)["key"],
                       OPENAI_API_KEY=fleet.key("openai"), NO_PROXY="*")
    assert len(steps(page)) >= 3
    for commands, lines in steps(page):
        done = subprocess.run(["bash", "-e", "-c", commands], env=environment, timeout=60,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        assert lines, "nothing is said of what this prints: %s" % commands
        for line in lines:
            assert line in done.stdout, (commands, line, done.stdout)


def test_every_header_of_a_contract_is_in_the_table():
    """What a surface's source can send stands in docs/surfaces.md."""
    table = (ROOT / "docs" / "surfaces.md").read_text().lower()
    for source in (ROOT / "src" / "surfaces").glob("*.c"):
        for name in re.findall(r'SL_SLICE\("(x-(?:gateway|nexus|astrolabe|ingate)-[a-z-]+)"\)',
                               source.read_text()):
            assert name in table, name
