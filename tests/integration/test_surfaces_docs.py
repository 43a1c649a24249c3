"""Every command of the contracts' pages is run, and prints what the page says."""
import itertools
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


TITLES = {"gateway": "Gateway-LLM", "nexus": "Nexus", "astrolabe": "Astrolabe",
          "ingate": "Ingate", "stolabs": "638Labs"}


def table():
    """The rows of docs/surfaces.md on header fields, as {contract: its cells}."""
    text = (ROOT / "docs" / "surfaces.md").read_text().partition("## Which header means what")[2]
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    titles, cells = [[cell.strip() for cell in row.strip("|").split("|")]
                     for row in rows[:1]][0], [row.strip("|").split("|") for row in rows[2:]]
    out = [i for i, row in enumerate(cells) if row[0].strip().startswith("**Out:**")][0]
    return rows, {surface: [row[titles.index(title)] for row in cells[out:]]
                  for surface, title in TITLES.items()}


def names_in(cell):
    """The fields of a cell: `A-B`, `-C` (behind the one before), `x-{a,b}-{c,d}`."""
    found = []
    for name in re.findall(r"`([A-Za-z-]*(?:\{[a-z,]+\}-?)*[A-Za-z-]*)(?:: [^`]*)?`", cell):
        if name.startswith("-"):
            name = found[-1].rpartition("-")[0] + name
        parts = [part.strip("{}").split(",") for part in re.findall(r"\{[^}]*\}|[^{}]+", name)]
        found += ["".join(choice).lower() for choice in itertools.product(*parts)]
    return {name for name in found if "-" in name}


def test_the_readme_has_the_whole_table():
    rows, _ = table()
    part = (ROOT / "README.md").read_text().partition("## Coming from another gateway")[2]
    assert [line for line in part.partition("\n## ")[0].splitlines()
            if line.startswith("|")] == rows and len(rows) > 25


@pytest.mark.parametrize("surface", TITLES)
def test_the_table_is_what_the_source_sends(surface):
    """Each field that a contract's source writes is in its column, and each field of the
    column is written: there, or for all contracts by the pipeline."""
    source = (ROOT / "src" / "surfaces" / (surface + ".c")).read_text()
    everywhere = {"retry-after", "idempotent-replayed", "x-gateway-translation-warnings"}
    written = set(re.findall(
        r'(?:sl_surface_put(?:_own)?\(\w+, SL_SLICE|(?<!own_header = )(?<!own_headers = )'
        r'SL_SLICE_INIT)\("([a-z][a-z0-9-]+)"\)', source))
    if surface == "gateway":
        assert len(written) > 20
    told = set().union(*[names_in(cell) for cell in table()[1][surface]])
    assert written - told == set(), "not in the table"
    assert told - written - everywhere == set(), "in the table, and never sent"
