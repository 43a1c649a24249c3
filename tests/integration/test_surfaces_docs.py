"""Every command of the contracts' pages is run, and prints what the page says."""
import os
import re

import pytest

from tests.integration.gateway import MASTER_KEY, ROOT
from tests.integration.pages import run, steps

PAGES = sorted((ROOT / "docs" / "surfaces").glob("*.md"))
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


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page(gateway, fleet, page, tmp_path):
    surface = page.stem
    environment = dict(os.environ, SLUICE=gateway.url, MASTER_KEY=MASTER_KEY,
                       KEY=gateway.new_key(surface=surface, rpm=60)["key"],
                       KEY2=gateway.new_key(surface=surface)["key"],
                       OPENAI_API_KEY=fleet.key("openai"), NO_PROXY="*")
    for kind, commands, lines in steps(page):
        run(kind, commands, lines, environment, tmp_path)


def test_the_readme_says_the_same():
    """Its table is a part of the whole one."""
    whole = (ROOT / "docs" / "surfaces.md").read_text().splitlines()
    part = (ROOT / "README.md").read_text().partition("## Coming from another gateway")[2]
    rows = [line for line in part.partition("## ")[0].splitlines() if line.startswith("|")]
    assert len(rows) > 10 and [row for row in rows if row not in whole] == []


def test_every_header_of_a_contract_is_in_the_table():
    """What a surface's source can send stands in docs/surfaces.md."""
    table = (ROOT / "docs" / "surfaces.md").read_text().lower()
    for source in (ROOT / "src" / "surfaces").glob("*.c"):
        for name in re.findall(r'SL_SLICE\("(x-(?:gateway|nexus|astrolabe|ingate)-[a-z-]+)"\)',
                               source.read_text()):
            assert name in table, name
