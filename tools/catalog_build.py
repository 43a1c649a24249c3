#!/usr/bin/env python3
"""Writes catalog/models.csv from public data about models and prices.

    tools/catalog_build.py MODELS.jsonl[.xz] PRICES.json[.xz] > catalog/models.csv

MODELS is the catalogue of models.dev (one JSON object per provider and model),
PRICES the one of genai-prices. The first has the facts and most prices; the
second adds price classes that the first lacks, where both agree on the price of
plain input, and models that are newer than the first. Each row says the date of
the data its prices are from.

What is not known is left out, never written as zero: a price of zero for cached
tokens of a model that costs money, or for everything at a provider that is not
known for free models, means unknown there.
"""

import argparse
import csv
import datetime
import json
import lzma
import re
import sys
from decimal import Decimal

# What neither source lists: OpenAI's models of speech and moderation, with the
# prices it published and the day they were read.
BY_HAND = [
    ("omni-moderation-latest", "text image", "text", {"input": 0}),
    ("tts-1", "text", "audio", {"characters": 15}),
    ("tts-1-hd", "text", "audio", {"characters": 30}),
    ("whisper-1", "audio", "text", {"audio_minute": Decimal("0.006")}),
]
BY_HAND_DATE = "2025-06-01"

# The simulated provider answers to every name and costs nothing; some names stand
# here so that a list of models shows a newcomer what to ask for.
SIMULATED = [
    ("*", "any model, simulated", "text", "text"),
    ("claude-haiku-4-5", "Claude Haiku 4.5, simulated", "text", "text"),
    ("gemini-2.5-flash", "Gemini 2.5 Flash, simulated", "text", "text"),
    ("gpt-4o-mini", "GPT-4o mini, simulated", "text", "text"),
    ("text-embedding-3-small", "text-embedding-3-small, simulated", "text", "embedding"),
]

# Our name of a provider, its name in MODELS, its name in PRICES.
PROVIDERS = [
    ("anthropic", "anthropic", "anthropic"),
    ("azure", "azure", "azure"),
    ("baseten", "baseten", None),
    ("bedrock", "amazon-bedrock", "aws"),
    ("cerebras", "cerebras", "cerebras"),
    ("cohere", "cohere", "cohere"),
    ("dashscope", "alibaba", None),
    ("deepinfra", "deepinfra", None),
    ("deepseek", "deepseek", "deepseek"),
    ("digitalocean", "digitalocean", None),
    ("fireworks", "fireworks-ai", "fireworks"),
    ("friendli", "friendli", None),
    ("gemini", "google", "google"),
    ("glm", "zhipuai", None),
    ("groq", "groq", "groq"),
    ("huggingface", "huggingface", None),
    ("minimax", "minimax", "minimax"),
    ("mistral", "mistral", "mistral"),
    ("moonshot", "moonshotai", "moonshotai"),
    ("nebius", "nebius", None),
    ("novita", "novita-ai", "novita"),
    ("openai", "openai", "openai"),
    ("openrouter", "openrouter", None),
    ("perplexity", "perplexity", "perplexity"),
    ("qwen", "alibaba", None),
    ("scaleway", "scaleway", None),
    ("siliconflow", "siliconflow", None),
    ("stepfun", "stepfun", None),
    ("together", "togetherai", "together"),
    ("upstage", "upstage", None),
    ("vertex", "google-vertex", None),
    ("vertex_anthropic", "google-vertex", None),
    ("xai", "xai", "x-ai"),
    ("zai", "zai", None),
    ("zhipu", "zhipuai", None),
]
# Of a source with models of many makers, those that our provider serves.
ONLY = {"vertex": "gemini-", "vertex_anthropic": "claude-"}
# Providers where zero means free of charge.
FREE = {"zhipu", "glm", "zai"}
# Models only PRICES has are taken when their id begins so: those are current.
CURRENT = {
    "anthropic": ("claude-opus-", "claude-sonnet-", "claude-haiku-", "claude-fable-"),
    "deepseek": ("deepseek-v4",),
    "gemini": ("gemini-2.5", "gemini-3", "gemini-embedding", "text-embedding-"),
    "mistral": ("codestral-embed", "voxtral"),
    "openai": ("gpt-4", "gpt-5", "gpt-audio", "gpt-image", "gpt-3.5-turbo", "o1", "o3", "o4",
               "text-embedding", "whisper", "tts"),
    "xai": ("grok-3", "grok-4", "grok-code"),
}
# Not served by the endpoints of this gateway.
SKIP = ("realtime", "live", "omni", "imagine-video")

CLASSES = {  # MODELS, PRICES -> ours
    "in": "input", "out": "output", "cache_read": "cache_read", "cache_write": "cache_write",
    "reasoning": "reasoning", "in_audio": "input_audio", "out_audio": "output_audio",
}
PRICE_KEYS = {
    "input_mtok": "input", "output_mtok": "output", "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write", "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio", "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image", "output_image_mtok": "output_image",
    "output_reasoning_mtok": "reasoning", "web_searches_kcount": "web_search_1k",
}
ORDER = ["input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image",
         "output", "reasoning", "output_audio", "output_image", "web_search_1k",
         "characters", "audio_minute"]
MODALITIES = ["text", "image", "audio", "video", "pdf", "embedding"]

HEAD = """\
# The models Sluice knows: what they can do and what they cost. One row each,
# sorted by provider and model; correct it by hand where it is wrong.
#
#   provider, model   kind of provider, and its id of the model
#   name              for people
#   context           tokens of input and output together; empty: unknown
#   max_output        tokens of one answer; empty: unknown
#   input, output     modalities: text image audio video pdf embedding
#   capabilities      tools reasoning json_schema temperature (takes sampling
#                     parameters) open_weights
#   released          date, may be empty
#   priced            date of the prices; every record of a request keeps it
#   prices            USD per million: input output cache_read cache_write
#                     cache_write_1h input_audio input_image reasoning
#                     output_audio output_image characters; and web_search_1k per
#                     thousand calls, image per picture, audio_minute. A part
#                     without a price of its own costs what its total costs.
#                     Empty: unknown, and so are the costs.
#   long_context      ">N prices": what holds instead when the input has more
#                     than N tokens; several are separated by ";"
#
# Facts from models.dev (MIT) and genai-prices (MIT) by tools/catalog_build.py.
"""


def load(path):
    opener = lzma.open if path.endswith(".xz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        return file.read()


def number(text):
    """A JSON number as a Decimal, so that 0.1 stays 0.1."""
    return Decimal(str(text))


def plain(value):
    """At most nine places: a nano-dollar is the smallest amount."""
    return format(round(value, 9).normalize(), "f")


def write_prices(prices):
    return " ".join(f"{key}={plain(prices[key])}" for key in ORDER if key in prices)


def known(prices, free):
    """Without the zeros that mean unknown."""
    priced = {key: value for key, value in prices.items() if value is not None}
    if not any(value > 0 for value in priced.values()):
        if free and "input" in priced:
            return {key: priced[key] for key in ("input", "output") if key in priced}
        return {}
    kept = {key: value for key, value in priced.items() if value > 0}
    if priced.get("input") == 0:
        kept["input"] = Decimal(0)
    return kept


def base_facts(row, provider):
    ident = row["model"]
    embeds = "embed" in ident.lower() or "embed" in (row.get("family") or "").lower()
    free = provider in FREE or ident.endswith(":free")
    prices = {ours: number(row[f"cost_{key}"]) for key, ours in CLASSES.items()
              if row.get(f"cost_{key}") is not None}
    prices = known(prices, free)
    if embeds:
        prices.pop("output", None)
    tiers = []
    for tier in row.get("cost_tiers") or []:
        if not prices:
            break
        listed = {key: number(tier[key]) for key in ("input", "output", "cache_read", "cache_write")
                  if tier.get(key) is not None}
        tiers.append((int(tier["tier"]["size"]), known(listed, False)))
    names = [("tools", "tools"), ("reasoning", "reasoning"), ("structured", "json_schema"),
             ("temperature", "temperature"), ("open_weights", "open_weights")]
    return {
        "name": row.get("name") or ident,
        "context": row.get("ctx") or 0,
        "max_output": 0 if embeds else row.get("max_out") or 0,
        "input": [m for m in MODALITIES if m in row.get("mod_in", [])],
        "output": ["embedding"] if embeds else
                  [m for m in MODALITIES if m in row.get("mod_out", [])],
        "capabilities": [ours for key, ours in names if row.get(key)],
        "released": row["release"] if len(row.get("release") or "") == 10 else "",
        "prices": prices,
        "tiers": [tier for tier in tiers if tier[1]],
    }


def price_list(entry, date):
    """The flat prices and the tiers that hold on a date."""
    prices = entry["prices"]
    if isinstance(prices, list):
        chosen = None
        for option in prices:
            limits = option.get("constraint") or {}
            if "start_time" in limits:
                return {}, []
            if limits.get("start_date", "") <= date:
                chosen = option
        if chosen is None:
            return {}, []
        prices = chosen["prices"]
    flat, tiers = {}, {}
    for key, ours in PRICE_KEYS.items():
        value = prices.get(key)
        if isinstance(value, dict):
            for tier in value["tiers"]:
                tiers.setdefault(int(tier["start"]), {})[ours] = number(tier["price"])
            value = value["base"]
        if value is not None:
            flat[ours] = number(value)
    return known(flat, False), sorted(tiers.items())


def matches(rule, ident):
    """The match rules of PRICES; those on parts of a name are too loose here."""
    if "or" in rule:
        return any(matches(part, ident) for part in rule["or"])
    return rule.get("equals", "").lower() == ident.lower() or \
        bool(rule.get("starts_with")) and ident.lower().startswith(rule["starts_with"].lower())


def add_prices(facts, entries, ident, date):
    """Price classes that the first source lacks. True when any was taken."""
    exact = [e for e in entries if e["id"].lower() == ident.lower()]
    for entry in exact or [e for e in entries if matches(e["match"], ident)]:
        flat, tiers = price_list(entry, date)
        if not facts["prices"]:
            facts["prices"], facts["tiers"] = flat, tiers
            return bool(flat)
        if flat.get("input") != facts["prices"].get("input"):
            continue
        # Where the first source gives the price of pictures as that of all output.
        if "output_image" in flat and flat["output_image"] == facts["prices"].get("output"):
            facts["prices"]["output"] = flat.get("output", flat["output_image"])
        for key, value in flat.items():
            if "embedding" not in facts["output"] or key != "output":
                facts["prices"].setdefault(key, value)
        return False
    return False


def finish_anthropic(facts):
    """One-hour cache writes cost twice the input wherever a source lists them."""
    prices = facts["prices"]
    if "cache_write" in prices and "cache_write_1h" not in prices:
        prices["cache_write_1h"] = prices["input"] * 2
    for _, tier in facts["tiers"]:
        if "cache_write" in tier and "cache_write_1h" not in tier and "input" in tier:
            tier["cache_write_1h"] = tier["input"] * 2


def newer(entry, provider):
    """The ids of an entry that callers may use today."""
    idents = {entry["id"]} | {part["equals"] for part in entry["match"].get("or", [])
                              if "equals" in part}
    if entry.get("deprecated"):
        return []
    return sorted(ident for ident in idents
                  if ident.startswith(CURRENT.get(provider, ("\0",))) and
                  not any(word in ident for word in SKIP) and
                  not re.search(r"[/:@]|\.ft|\d{4}|^gpt-\d-\d", ident))


def new_facts(entry, ident, date):
    flat, tiers = price_list(entry, date)
    embeds = "embed" in entry["id"]
    into = ["text"] + (["image"] if "input_image" in flat else []) + \
        (["audio"] if "input_audio" in flat else [])
    out = [] if "image" in entry["id"] and "output_image" not in flat else ["text"]
    if "output_image" in flat or "image" in entry["id"]:
        out.append("image")
    if "output_audio" in flat or "tts" in entry["id"]:
        out = (["text"] if "tts" not in entry["id"] else []) + ["audio"]
    return {"name": ident, "context": entry.get("context_window") or 0,
            "max_output": 0, "input": into, "output": ["embedding"] if embeds else out,
            "capabilities": [], "released": "", "prices": flat, "tiers": tiers}


def build(models, prices, models_date, prices_date):
    rows = {}
    price_entries = {source["id"]: source["models"] for source in prices}
    for ours, theirs, priced in PROVIDERS:
        entries = price_entries.get(priced, [])
        for row in models:
            if row["provider"] != theirs or row.get("status") == "alpha" or \
                    not row["model"].startswith(ONLY.get(ours, "")) or \
                    any(word in row["model"] for word in SKIP):
                continue
            facts = base_facts(row, ours)
            facts["priced"] = models_date if facts["prices"] else ""
            if add_prices(facts, entries, row["model"], prices_date):
                facts["priced"] = prices_date
            rows[ours, row["model"]] = facts
        for entry in entries:
            for ident in newer(entry, ours):
                facts = new_facts(entry, ident, prices_date)
                if facts["prices"] and (ours, ident) not in rows:
                    rows[ours, ident] = facts | {"priced": prices_date}
    for (provider, ident), facts in list(rows.items()):
        if provider == "openai":
            rows.setdefault(("azure", ident), facts)
        if provider in ("anthropic", "vertex_anthropic", "bedrock") and "claude-" in ident:
            finish_anthropic(facts)
    for ident, reads, writes, costs in BY_HAND:
        rows.setdefault(("openai", ident), {
            "name": ident, "context": None, "max_output": None, "input": reads.split(),
            "output": [writes], "capabilities": [], "released": "", "priced": BY_HAND_DATE,
            "prices": {name: Decimal(cost) for name, cost in costs.items()}, "tiers": []})
    for ident, name, reads, writes in SIMULATED:
        rows["mock", ident] = {
            "name": name, "context": None, "max_output": None, "input": [reads],
            "output": [writes], "capabilities": [], "released": "", "priced": models_date,
            "prices": {"input": Decimal(0), "output": Decimal(0)}, "tiers": []}
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", help="catalogue of models.dev, JSON lines, may be .xz")
    parser.add_argument("prices", help="data of genai-prices, JSON, may be .xz")
    parser.add_argument("--models-date", default="2026-07-02", type=datetime.date.fromisoformat)
    parser.add_argument("--prices-date", default="2026-08-21", type=datetime.date.fromisoformat)
    args = parser.parse_args()

    models = [json.loads(line) for line in load(args.models).splitlines() if line.strip()]
    rows = build(models, json.loads(load(args.prices)), str(args.models_date),
                 str(args.prices_date))
    sys.stdout.write(HEAD)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["provider", "model", "name", "context", "max_output", "input", "output",
                  "capabilities", "released", "priced", "prices", "long_context"])
    for (provider, ident), facts in sorted(rows.items()):
        tiers = "; ".join(f">{size} {write_prices(prices)}" for size, prices in facts["tiers"])
        out.writerow([provider, ident, facts["name"], facts["context"] or "",
                      facts["max_output"] or "", " ".join(facts["input"]),
                      " ".join(facts["output"]), " ".join(facts["capabilities"]),
                      facts["released"], facts["priced"], write_prices(facts["prices"]), tiers])


if __name__ == "__main__":
    main()
