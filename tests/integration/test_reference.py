"""Each contract's examples as its clients write them: only base URL and key are others."""
import importlib.util
import os
import pathlib

import pytest

from tests.integration.gateway import MASTER_KEY
from tests.integration.pages import run, steps

PAGES = sorted((pathlib.Path(__file__).parent / "reference").glob("*.md"))
# Where the examples of a contract go, and what its key is called there.
HOSTS = ("https://sto0.638labs.com", "https://api.638labs.com", "https://api.astrolabe.run",
         "https://api.ingateai.com", "http://localhost:8080", "http://localhost:3050")
KEYS = {"stolabs": "STOLABS_API_KEY", "astrolabe": "ASTROLABE_API_KEY", "ingate": "INGATE_KEY",
        "gateway": "GATEWAY_KEY", "nexus": "NEXUS_VK"}
EXTRA = """\
routes:
  myorg/openai-gpt4o: {{base_url: "{openai}/chat/completions", auth: passthrough}}
  myorg/cohere-agent:
    base_url: {azure}/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21
    auth: header:api-key
  stolabs/bullet-bot:
    model: gpt-4o-mini
    system: Summarise the text.
    auction: {{category: summarization, price_min: 0.10, price_max: 0.60, quality: 0.8}}
  stolabs/BulletBot: {{model: gpt-4o-mini, system: Summarise the text in bullets.}}
stacks:
  - {{slug: customer-data, version: 3, models: [gpt-4o-mini, claude-haiku-4-5]}}
  - {{slug: code-agent, models: [gpt-4o-mini]}}
"""


@pytest.fixture(scope="module")
def gateway_options(fleet):
    return {"extra": EXTRA.format(openai=fleet.url("openai"), azure=fleet.url("azure", False)),
            "router": "auto: gpt-4o-mini"}


def cases():
    return [pytest.param(page.stem, step, id="%s-%d-%s" % (page.stem, number, step[0]))
            for page in PAGES for number, step in enumerate(steps(page))]


@pytest.mark.parametrize("surface, step", cases())
def test_example(gateway, fleet, tmp_path, surface, step):
    kind, commands, lines = step
    for package in ("openai", "anthropic"):
        if kind == "python" and package in commands and not importlib.util.find_spec(package):
            pytest.skip("the package %s is not installed" % package)
    environment = dict(os.environ, NO_PROXY="*", MASTER_KEY=MASTER_KEY,
                       OPENAI_API_KEY=fleet.key("openai"), COHERE_API_KEY=fleet.key("azure"))
    environment[KEYS[surface]] = gateway.new_key(surface=surface)["key"]

    def here(text):
        for host in HOSTS:
            text = text.replace(host, gateway.url)
        return text
    assert here(commands) != commands
    run(kind, commands, lines, environment, tmp_path, here)


def test_every_contract_has_examples():
    assert {page.stem for page in PAGES} == set(KEYS)
