"""What tools/train_router.py learns from: its files as rows."""
import json
import re
import sys

import numpy as np

CATEGORIES = ["code", "math", "science", "medicine", "law", "business", "humanities",
              "reasoning", "knowledge", "writing", "extraction", "chat"]
TIERS = ["simple", "medium", "complex"]

DOMAINS = {
    "math": "abstract_algebra college_mathematics elementary_mathematics "
            "high_school_mathematics high_school_statistics gsm8k math",
    "code": "coding college_computer_science computer_security "
            "high_school_computer_science machine_learning",
    "science": "astronomy college_biology college_chemistry college_physics "
               "conceptual_physics electrical_engineering high_school_biology "
               "high_school_chemistry high_school_physics stem",
    "medicine": "anatomy clinical_knowledge college_medicine human_aging human_sexuality "
                "medical_genetics nutrition professional_medicine virology",
    "law": "international_law jurisprudence professional_law",
    "business": "business_ethics econometrics high_school_macroeconomics "
                "high_school_microeconomics management marketing professional_accounting "
                "public_relations",
    "humanities": "high_school_european_history high_school_geography "
                  "high_school_government_and_politics high_school_psychology "
                  "high_school_us_history high_school_world_history humanities "
                  "moral_disputes philosophy prehistory professional_psychology "
                  "security_studies sociology us_foreign_policy world_religions",
    "reasoning": "formal_logic logical_fallacies moral_scenarios reasoning",
    "knowledge": "global_facts miscellaneous",
    "writing": "roleplay writing",
    "extraction": "extraction",
}
CATEGORY_OF = {domain: category for category, names in DOMAINS.items()
               for domain in names.split()}
# LLMRouter's training split holds its tasks one after the other: where each begins, of so many
# prompts in all. A file of another length names none.
LLMROUTER_TASKS = {"logic_grid": 0, "grade_school_boxed": 150, "commongen": 350,
                   "natural_questions": 500, "trivia_qa": 1000, "race": 1500, "gpqa": 2000,
                   "mbpp": 2448, "humaneval": 2946, "gsm8k": 3110, "commonsense_qa": 3610,
                   "math": 4110, "openbook_qa": 4614, "arc": 5110}
LLMROUTER_PROMPTS = 5608
CODE_TASK = re.compile(r"^\s*(def |from typing|import |Write a (python )?function)", re.I)


class Row:
    def __init__(self, prompt, group, category=None, tiers=(None, None, None), gain=None,
                 seed=False, models=None, task=None):
        self.prompt, self.group, self.category = prompt, group, category
        self.tiers, self.gain, self.seed = tiers, gain, seed
        self.models, self.task = models or {}, task


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError as error:
                    sys.exit("%s:%d: %s" % (path, number, error))


def read_routellm(path):
    rows = []
    for _, one in read_lines(path):
        weak, strong = one["weak"], one["strong"]
        if one["bench"] == "mt_bench":  # a mean judge score
            weak, strong = weak / 10, strong / 10
        rows.append(Row(one["prompt"], one["bench"] + "/" + one["domain"],
                        CATEGORY_OF.get(one["domain"]), (None, weak, strong),
                        min(max(strong - weak, 0), 1),
                        models={"mixtral-8x7b-instruct": weak, "gpt-4-1106-preview": strong}))
    return rows


def read_llmrouter(path, prices):
    """A tier's quality is the mean of the models of its price that are within 0.1 of the
    best of them: specialised ones would say little about a tier."""
    lines = [one for _, one in read_lines(path)]
    mean = {name: np.mean([one["scores"][name] for one in lines]) for name in lines[0]["scores"]}
    small = [name for name in mean if prices[name] < 0.5]
    large = [name for name in mean if prices[name] >= 0.5]
    small, large = ([name for name in names if mean[name] >= max(mean[n] for n in names) - 0.1]
                    for names in (small, large))
    begins = list(LLMROUTER_TASKS.values()) if len(lines) == LLMROUTER_PROMPTS else []
    names = [None] + list(LLMROUTER_TASKS)
    rows = []
    for at, one in enumerate(lines):
        scores = one["scores"]
        low = np.mean([scores[name] for name in small])
        high = np.mean([scores[name] for name in large])
        category = "code" if CODE_TASK.match(one["question"]) else None
        rows.append(Row(one["question"], "llmrouter", category, (low, high, None),
                        min(max(high - low, 0), 1), models=scores,
                        task=names[int(np.searchsorted(begins, at, side="right"))]))
    return rows


def read_log(path, seed=False):
    rows = []
    for number, one in read_lines(path):
        tiers = tuple(one.get(tier) for tier in TIERS)
        known = [value for value in tiers if value is not None]
        models = one.get("models") or {}
        if not isinstance(one.get("prompt"), str) or not (known or models or one.get("category")):
            sys.exit("%s:%d: needs 'prompt' and a category or the quality of a tier or model"
                     % (path, number))
        if one.get("category") not in CATEGORIES + [None]:
            sys.exit("%s:%d: category must be one of %s" % (path, number, ", ".join(CATEGORIES)))
        if any(not 0 <= value <= 1 for value in known + list(models.values())):
            sys.exit("%s:%d: a tier's quality is a number from 0 to 1" % (path, number))
        task = one.get("task")
        if not isinstance(task, (str, type(None))):
            sys.exit("%s:%d: task is a name" % (path, number))
        gain = max(known[-1] - known[0], 0) if len(known) > 1 else None
        rows.append(Row(one["prompt"], "log", one.get("category"), tiers, gain, seed=seed,
                        models=models, task=task))
    return rows
