#!/usr/bin/env python3
"""Trains the prompt classifier of `auto` and of strategy tier, and judges it.

    tools/train_router.py --routellm F --llmrouter F --llmrouter-test F --prices F \\
        --seeds tools/router_seeds.jsonl --report REPORT.json --write src/routing
    tools/train_router.py --log my-outcomes.jsonl --write src/routing

Needs Python 3.9 and numpy. Every file is an argument; several of a kind may be
given. Formats, one JSON object per line:

  --routellm   {"bench", "domain", "prompt", "weak", "strong"}: 0/1 (MT-bench 1-10)
  --llmrouter  {"question", "scores": {MODEL: 0..1}}; MODEL's price in --prices
  --log        {"prompt", "category"?, "simple"?, "medium"?, "complex"?}: how good the
               answer of that tier's model was, 0..1, whatever was observed; a judgement
               of one tier is enough. Lines without a prompt or a label are an error.
               "models"? {MODEL: 0..1} says the same of models by name, "task"? what kind
               of prompt it is, in a name of your own (router_kinds.py).
  --seeds      the same format; never part of a figure

What is learnt: one linear model over hashed words and pairs of words with sixteen
heads - twelve task categories, how much a stronger model would gain, and the expected
quality of the three tiers; and beside it, where enough prompts tell what several models
by name did, how good each of them is at each kind of prompt (router_kinds.py). src/routing/classify.c and model_heads.c compute
exactly the same; the vectors that --write leaves in tests/vectors/classify hold the two together.
"""
import argparse
import json
import math
import pathlib
import re
import sys

import numpy as np

from router_data import CATEGORIES, TIERS, Row, read_llmrouter, read_log, read_routellm
from router_kinds import (KIND_DECAY, KIND_EPOCHS, KIND_RATE, KIND_SHIFT, KINDS_MAX,
                          LIKENESS_PARTS, MODELS_MAX, Kinds, kinds_of, write_kinds)

HEADS = CATEGORIES + ["gain"] + TIERS
GAIN, TIER0 = 12, 13
# Must equal src/routing/classify.c.
TABLE_BITS = 14
KNOWN_BITS = 17
TABLE = 1 << TABLE_BITS
KNOTS = 17
M32 = 0xFFFFFFFF
SHAPES = ["length", "words", "digits", "lines", "punctuation", "questions", "options",
          "code"]


# Small words of other languages in Latin letters that no English text is full of: where they
# stand, what was learnt of English words says little. Written here, not learnt.
FOREIGN = {
    "de": "der das und ist nicht ein eine einen einer wie mir bitte mit dass für auf von zu den "
          "dem sich auch wird oder kann ich sie wenn erkläre schreibe unendlich es gibt",
    "fr": "le la les des une est et que qui dans pour par avec sur cette ces vous nous peux moi du "
          "au aux où quelle quel mon ma mes écris entre sans pourquoi comment sont pas",
    "es": "el los las una y en por para con cómo cuál qué del se su sus es son entre explica "
          "escribe esta este lo le muy sobre más",
    "it": "il lo gli una che di per con sono della delle nel nella scrivi spiega tra come perché "
          "questo questa uno dei sulla anche più",
    "pt": "o os um uma que não com para por como da dos das do na nos em ao é são explique "
          "escreva entre este esta sobre mais você",
    "nl": "het een van voor en niet met dat dit zijn hoe wat kun je deze naar tussen uitleggen "
          "schrijf maar ook wordt geen waarom",
    "sv": "och att det som en ett är inte på med för av till kan du mellan förklara skriv hur vad "
          "den jag enkelt sätt varför",
    "da": "og at det som en et er ikke på med for af til kan du mellem forklar skriv hvordan hvad "
          "jeg ikke hvorfor",
    "fi": "ja on ei se että miten mitä kirjoita selitä lyhyesti miksi ovat tai kuinka",
    "pl": "jest nie się na że jak co dla czy przez oraz tego jego który napisz wyjaśnij dlaczego "
          "między są lub",
    "cs": "je není se na že jak co pro proč mezi napiš vysvětli mi který nebo jsou jako",
    "hu": "az egy és nem hogy mi van írj magyarázd el röviden miért közötti ről ről",
    "ro": "și este nu în la de un o cu pentru care dintre scrie explică diferența ce cum sau mai",
    "tr": "bir ve bu için ile nasıl ne metni özetle yaz olan daha çok mi mı arasındaki açıkla en "
          "üç neden",
    "id": "dan yang di dengan untuk dari ini itu adalah antara perbedaan jelaskan bagaimana tidak "
          "pada tulis buatlah mengapa",
    "vi": "và là của các một cho không được trong hãy giải thích sự giữa khác nhau viết như thế",
}
# Written alike in English, where they are common.
ALSO_ENGLISH = set("a an at as do du en in is it me men mi no o on or son son to van den det "
                   "am be for so die was war hat mai la more se es di con come".split())


# --- features: the same in classify.c --------------------------------------

# A word, a number, a run of one punctuation mark, a line break; bytes from 0x80
# on are letters. Latin-1 stands for bytes.
TOKEN = re.compile("([A-Za-z\x80-\xff]+)|([0-9]+)|(\n)|(([!-/:-@\\[-`{-~])\\5*)")
LOOKED_AT_MAX = 4096  # bytes


def fnv(data, start=0x811C9DC5):
    for byte in data:
        start = ((start ^ byte) * 0x01000193) & M32
    return start


word_hashes = {}


def token_hash(match):
    """Of a word: of its lower case. Of a number: of its first digit when it stands
    alone, else of its length. Of a run: of its mark."""
    kind = match.lastindex
    text = match.group()
    if kind == 2:
        text = text if len(text) == 1 else "0#%d" % min(len(text), 9)
    elif match.group(4):
        text = text[0]
    else:
        text = text.lower() if text.isascii() else "".join(
            chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    value = word_hashes.get(text)
    if value is None:
        value = word_hashes[text] = fnv(text.encode("latin-1"))
    return value


def pair_hash(before, now):
    return (((before * 0x9E3779B1) & M32) ^ now) * 0x85EBCA6B & M32


def bucket(value, bits):
    return ((value * 0x9E3779B1) & M32) >> (32 - bits)


def features(prompt):
    """(indices of the table, hashes of words, shape features)"""
    text = prompt.encode("utf-8", "replace")[:LOOKED_AT_MAX].decode("latin-1")
    rows, words = set(), []
    before = 0
    count = dict.fromkeys("wdlpq", 0)
    options = 0
    code = 0
    for match in TOKEN.finditer(text):
        now = token_hash(match)
        rows.add(bucket(now, TABLE_BITS))
        rows.add(bucket(pair_hash(before, now), TABLE_BITS))
        if match.group(1):
            count["w"] += 1
            words.append(now)
        elif match.group(2):
            count["d"] += 1
        elif match.group(3):
            count["l"] += 1
        else:
            count["p"] += 1
            mark = match.group()[0]
            count["q"] += mark == "?"
            code += mark in "{};=`_<>[]"
        before = now
        options += bool(re.match(r"\n[A-D]\.", text[match.start():match.start() + 3]))
    tokens = sum(count[k] for k in "wdlp") or 1
    shape = [min(math.log2(1 + len(text)) / 12, 1), min(math.log2(1 + tokens) / 10, 1),
             count["d"] / tokens, min(count["l"] / 16, 1), count["p"] / tokens,
             min(count["q"] / 4, 1), min(options / 4, 1), min(code / 32, 1)]
    return np.fromiter(sorted(rows), dtype=np.int32, count=len(rows)), words, shape


class Matrix:
    """Rows of a sparse matrix with equal values in a row, and the shape features."""

    def __init__(self, rows):
        found = [features(row.prompt) for row in rows]
        self.items = [f[0] for f in found]
        self.words = [f[1] for f in found]
        self.scale = np.array([1 / math.sqrt(max(len(f[0]), 1)) for f in found], np.float32)
        self.shape = np.array([f[2] for f in found], np.float32)

    def batch(self, picked):
        """(rows of the table one after the other, where each prompt's begin, its scale)"""
        lengths = np.array([len(self.items[i]) for i in picked])
        index = np.concatenate([self.items[i] for i in picked])
        return index, np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths, picked


# --- the model -------------------------------------------------------------

def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def softmax(z):
    odds = np.exp(z - z.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


class Linear:
    """shift: so many rows of the table, as a power of two, share one of this model's."""

    def __init__(self, heads, shift=0):
        self.shift = shift
        self.table = np.zeros((TABLE >> shift, heads), np.float32)
        self.shape = np.zeros((len(SHAPES), heads), np.float32)
        self.bias = np.zeros(heads, np.float32)

    def forward(self, matrix, batch):
        index, starts, lengths, picked = batch
        sums = np.zeros((len(picked), len(self.bias)), np.float32)
        filled = lengths > 0  # reduceat has no empty segments
        if filled.any():
            sums[filled] = np.add.reduceat(self.table[index >> self.shift], starts[filled], axis=0)
        return (sums * matrix.scale[picked][:, None] + matrix.shape[picked] @ self.shape
                + self.bias)

    def logits(self, matrix, picked):
        parts = [self.forward(matrix, matrix.batch(picked[at:at + 2048]))
                 for at in range(0, len(picked), 2048)]
        return np.concatenate(parts)


def train(matrix, targets, weights, picked, epochs, decay, rate=0.02, seed=1, shift=0, link=sigmoid):
    """Logistic regression of every head at once: Adam, soft targets, weight 0 where a
    row has no label for a head; the categories are heads like the others. With softmax for
    a link the heads are the classes of one choice."""
    rng = np.random.default_rng(seed)
    heads = targets.shape[1]
    model = Linear(heads, shift)
    parts = [model.table, model.shape, model.bias]
    first = [np.zeros_like(p) for p in parts]
    second = [np.zeros_like(p) for p in parts]
    total = weights[picked].sum(0)
    base = (weights[picked] * targets[picked]).sum(0) / np.maximum(total, 1)
    base = np.clip(base, 0.002, 0.998)
    model.bias[:] = np.log(base / (1 - base))
    # A head with few labels must not drown: each head's rows weigh one on average.
    norm = len(picked) / np.maximum(total, 1)
    step = 0
    steps = epochs * math.ceil(len(picked) / 512)
    for _ in range(epochs):
        order = rng.permutation(picked)
        for at in range(0, len(order), 512):
            part = order[at:at + 512]
            batch = matrix.batch(part)
            index, _, lengths, _ = batch
            z = model.forward(matrix, batch)
            error = ((link(z) - targets[part]) * weights[part]
                     * np.minimum(norm, 8)).astype(np.float32) / len(part)
            spread = np.repeat(error * matrix.scale[part][:, None], lengths, axis=0)
            grad = np.stack([np.bincount(index >> shift, spread[:, h], TABLE >> shift)
                             for h in range(heads)], 1)
            grads = [grad.astype(np.float32) + decay * model.table,
                     matrix.shape[part].T @ error + decay * model.shape, error.sum(0)]
            step += 1
            now = rate * (1 - step / steps) + 1e-4
            for part_, grad, m, v in zip(parts, grads, first, second):
                m += 0.1 * (grad - m)
                v += 0.001 * (grad * grad - v)
                part_ -= now * (m / (1 - 0.9 ** step)) / (np.sqrt(v / (1 - 0.999 ** step)) + 1e-6)
    return model


def labels(rows):
    targets = np.zeros((len(rows), len(HEADS)), np.float32)
    weights = np.zeros_like(targets)
    for i, row in enumerate(rows):
        if row.category:
            targets[i, CATEGORIES.index(row.category)] = 1
            weights[i, :len(CATEGORIES)] = 1
        if row.gain is not None:
            targets[i, GAIN] = row.gain
            weights[i, GAIN] = 1
        for k, value in enumerate(row.tiers):
            if value is not None:
                targets[i, TIER0 + k] = value
                weights[i, TIER0 + k] = 1
    return targets, weights


# --- figures ---------------------------------------------------------------

def auc(score, positive):
    positive = np.asarray(positive, bool)
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    p, n = positive.sum(), (~positive).sum()
    return (ranks[positive].sum() - p * (p + 1) / 2) / max(p * n, 1)


def recovery(score, weak, strong):
    """Recovered share of the gap between weak and strong for each share of calls sent
    to the strong model, highest scores first."""
    order = np.argsort(-np.asarray(score), kind="stable")
    gain = (np.asarray(strong, float) - np.asarray(weak, float))[order]
    return np.concatenate([[0], np.cumsum(gain)]) / gain.sum()


def apgr(score, weak, strong):
    curve = recovery(score, weak, strong)
    return float(np.mean((curve[1:] + curve[:-1]) / 2))


def cpt(score, weak, strong, share):
    curve = recovery(score, weak, strong)
    return float(100 * np.argmax(curve >= share) / (len(curve) - 1))


def pair_figures(score, weak, strong):
    return {"apgr": round(apgr(score, weak, strong), 3),
            "cpt50": round(cpt(score, weak, strong, .5), 1),
            "cpt80": round(cpt(score, weak, strong, .8), 1),
            "auc_weak_wrong": round(auc(score, np.asarray(weak) < 0.5), 3)}


def calibration_error(predicted, happened, bins=10):
    at = np.clip((np.asarray(predicted) * bins).astype(int), 0, bins - 1)
    error = 0
    for k in range(bins):
        if (at == k).any():
            error += (at == k).mean() * abs(np.mean(predicted[at == k]) - np.mean(happened[at == k]))
    return float(error)


KEYWORDS = re.compile(r"\b(prove|derive|explain|why|step|calculate|analy[sz]e|design|compare|"
                      r"algorithm|theorem|integral|equation|function|debug|optimi[sz]e)\b", re.I)


def baselines(rows, weak, strong):
    length = [len(row.prompt) for row in rows]
    keyword = [min(len(row.prompt) / 4000, 1) + 0.2 * len(KEYWORDS.findall(row.prompt))
               + 0.3 * ("```" in row.prompt) for row in rows]
    rng = np.random.default_rng(7)
    chance = [apgr(rng.random(len(rows)), weak, strong) for _ in range(200)]
    return {"length_only": pair_figures(length, weak, strong),
            "keywords": pair_figures(keyword, weak, strong),
            "random_95": [round(float(np.percentile(chance, p)), 3) for p in (2.5, 97.5)]}


# --- judging ---------------------------------------------------------------

EPOCHS, DECAY, RATE = 12, 3e-4, 0.05
SEED_WEIGHT = 15


def expected_gain(logits):
    """What a stronger tier is expected to give: by the tiers' own expected quality, and
    by the head that learnt the difference itself."""
    q = sigmoid(logits[:, TIER0:TIER0 + 3])
    return q[:, 2] - (q[:, 0] + q[:, 1]) / 2 + sigmoid(logits[:, GAIN])


def folds_of(rows, whole_subjects, count=5, seed=3):
    """Fold of each row; -1 for seeds, which are always trained on."""
    rng = np.random.default_rng(seed)
    subjects = sorted({row.group for row in rows if row.group.startswith("mmlu/")})
    of_subject = {subjects[p]: k % count for k, p in enumerate(rng.permutation(len(subjects)))}
    out = rng.integers(0, count, len(rows))
    for i, row in enumerate(rows):
        if row.seed:
            out[i] = -1
        elif whole_subjects and row.group in of_subject:
            out[i] = of_subject[row.group]
    return out


def out_of_fold(matrix, targets, weights, fold):
    logits = np.zeros(targets.shape, np.float32)
    for k in range(fold.max() + 1):
        held = np.flatnonzero(fold == k)
        model = train(matrix, targets, weights, np.flatnonzero(fold != k), EPOCHS, DECAY, RATE)
        logits[held] = model.logits(matrix, held)
    return logits


FOREIGN_BITS = 13


def write_foreign(folder):
    """Two bits for each word of FOREIGN, as known_words does it."""
    bits = np.zeros(1 << FOREIGN_BITS, bool)
    words = {word for line in FOREIGN.values() for word in line.split()} - ALSO_ENGLISH
    for word in sorted(words):
        h = fnv(word.encode("utf-8"))
        bits[bucket(h, FOREIGN_BITS)] = True
        bits[bucket(h * 0x85EBCA6B & M32, FOREIGN_BITS)] = True
    packed = np.packbits(bits, bitorder="little")
    lines = ["/* Written by tools/train_router.py: %d small words of other languages. */" % len(words),
             "enum { FOREIGN_BITS = %d };" % FOREIGN_BITS,
             "static const uint8_t foreign_bits[(1 << FOREIGN_BITS) / 8] = {"]
    for at in range(0, len(packed), 24):
        lines.append("\t" + " ".join("%d," % value for value in packed[at:at + 24]))
    (folder / "foreign_words.inc").write_text("\n".join(lines + ["};"]) + "\n")


def known_words(words):
    """Two bits for each word that occurs in at least three prompts."""
    seen = {}
    for one in words:
        for h in set(one):
            seen[h] = seen.get(h, 0) + 1
    bits = np.zeros(1 << KNOWN_BITS, bool)
    for h, times in seen.items():
        if times >= 3:
            bits[bucket(h, KNOWN_BITS)] = True
            bits[bucket(h * 0x85EBCA6B & M32, KNOWN_BITS)] = True
    print("%.1f %% of the bits of known words are set" % (100 * bits.mean()), file=sys.stderr)
    return bits


def weak_strong(row):
    """The two best separated judgements of a row, or None."""
    known = [value for value in row.tiers if value is not None]
    return (known[0], known[-1]) if len(known) > 1 else None


def fit_scale(gain, rows):
    """Knots that spread the score evenly over the rows, and how often a decision at a
    score was right: below 0.66 no stronger model would have done better, above it no
    weaker one."""
    knots = np.quantile(gain, np.linspace(0, 1, KNOTS))
    knots = np.maximum.accumulate(knots + np.arange(KNOTS) * 1e-6)
    score = np.interp(gain, knots, np.linspace(0, 1, KNOTS))
    pairs = [weak_strong(row) for row in rows]
    have = np.array([pair is not None for pair in pairs])
    right = np.array([float((pair[1] <= pair[0] + 0.25) if s < 0.66 else
                            (pair[1] >= pair[0] - 0.25)) if pair else 0.0
                      for pair, s in zip(pairs, score)])
    at = np.minimum((score * (KNOTS - 1)).astype(int), KNOTS - 2)
    trust = np.array([right[have & (at == k)].mean() if (have & (at == k)).any() else 0.5
                      for k in range(KNOTS - 1)])
    return knots, score, trust, trust[at], right, have


def judge(rows, matrix, targets, weights):
    """Figures with whole subjects held out, and the score's scale from the same run."""
    report = {}
    fold = folds_of(rows, True)
    logits = out_of_fold(matrix, targets, weights, fold)
    gain = expected_gain(logits)
    real = np.flatnonzero(fold >= 0)
    sets = {"mmlu_subjects_held_out": "mmlu/", "gsm8k_5_fold": "gsm8k/",
            "mt_bench_5_fold": "mt_bench/", "llmrouter_5_fold_small_to_large": "llmrouter",
            "log_5_fold": "log"}
    for name, prefix in sets.items():
        part = [i for i in real if rows[i].group.startswith(prefix) and weak_strong(rows[i])]
        if len(part) < 50:
            continue
        weak, strong = np.array([weak_strong(rows[i]) for i in part]).T
        if strong.mean() <= weak.mean():
            continue
        report[name] = {"prompts": len(part), "trained": pair_figures(gain[part], weak, strong),
                        **baselines([rows[i] for i in part], weak, strong)}
    labelled = np.array([i for i in real if rows[i].category])
    if len(labelled):
        truth = np.array([CATEGORIES.index(rows[i].category) for i in labelled])
        right = logits[labelled][:, :12].argmax(1) == truth
        mixed = out_of_fold(matrix, targets, weights, folds_of(rows, False))
        report["category"] = {
            "prompts": len(labelled), "subjects_held_out": round(float(right.mean()), 3),
            "random_folds": round(float((mixed[labelled][:, :12].argmax(1) == truth).mean()), 3),
            "most_frequent": round(float(np.bincount(truth).max() / len(truth)), 3)}
    for k, tier in enumerate(TIERS):
        part = real[weights[real, TIER0 + k] > 0]
        if len(part):
            report["quality_error_" + tier] = round(calibration_error(
                sigmoid(logits[part, TIER0 + k]), targets[part, TIER0 + k]), 3)
    # The scale is fitted on the even prompts and judged on the odd ones.
    for half in (0, 1):
        knots, _, trust, _, _, _ = fit_scale(gain[real[half::2]], [rows[i] for i in real[half::2]])
        if half == 0:
            odd = real[1::2]
            score = np.interp(gain[odd], knots, np.linspace(0, 1, KNOTS))
            at = np.minimum((score * (KNOTS - 1)).astype(int), KNOTS - 2)
            _, _, _, _, right, have = fit_scale(gain[odd], [rows[i] for i in odd])
            report["confidence_error"] = round(
                calibration_error(trust[at][have], right[have]), 3)
    knots, _, trust, _, _, _ = fit_scale(gain[real], [rows[i] for i in real])
    judge_named(rows, logits, report)
    return report, knots, trust, fit_models(rows, logits, real)


# --- heads of models by name -------------------------------------------------

MODEL_HEAD_PROMPTS_MIN, MODELS_OF_A_PROMPT_MIN = 500, 3


def head_names(rows):
    """Models that enough prompts tell of which more than two models answered: what two did
    is what their tiers say."""
    seen = {}
    for row in rows:
        for name in row.models if len(row.models) >= MODELS_OF_A_PROMPT_MIN else ():
            seen[name] = seen.get(name, 0) + 1
    often = sorted((name for name in seen if seen[name] >= MODEL_HEAD_PROMPTS_MIN),
                   key=lambda name: (-seen[name], name))
    return sorted(often[:MODELS_MAX])


def train_kinds(matrix, kinds, picked):
    """Whose heads say how like each kind a prompt is, as it is shipped: (model, its table)."""
    targets = np.zeros((len(matrix.items), KINDS_MAX), np.float32)
    targets[picked, kinds] = 1
    linear = train(matrix, targets, np.ones_like(targets), picked, KIND_EPOCHS, KIND_DECAY,
                   KIND_RATE, shift=KIND_SHIFT, link=softmax)
    return linear, quantise(linear)


def train_heads(rows, matrix, names, picked):
    """What the picked rows tell of the named models, as it is shipped: (kinds, their table)."""
    scores = np.array([[rows[i].models.get(name, 0) for name in names] for i in picked], np.float32)
    known = np.array([[name in rows[i].models for name in names] for i in picked], np.float32)
    kinds = kinds_of(rows, matrix, picked, TABLE)
    part = np.random.default_rng(11).integers(0, LIKENESS_PARTS, len(picked))
    likenesses = np.zeros((len(picked), KINDS_MAX), np.float32)
    for k in range(LIKENESS_PARTS):
        others, _ = train_kinds(matrix, kinds[part != k], picked[part != k])
        likenesses[part == k] = others.logits(matrix, picked[part == k])
    linear, table = train_kinds(matrix, kinds, picked)
    return Kinds(linear, kinds, matrix.shape[picked], likenesses, scores, known), table


def told_of(rows, names):
    return np.array([i for i, row in enumerate(rows)
                     if len(row.models) >= MODELS_OF_A_PROMPT_MIN and not row.seed
                     and any(name in row.models for name in names)])


# The goal is the best single model's quality at this share of its cost, judged by so many prompts.
GOAL_COST, GOAL_PROMPTS = 0.35, 500
# The weight of `balanced` in src/routing/judge.c, and its bar at quality `standard`.
SHIPPED_WEIGHT, SHIPPED_BAR = 0.16, 0.85


def chosen_models(quality, price, weight, bar=0.0):
    """Of the objective `balanced` of routing/judge.c, for each prompt."""
    share = quality / np.maximum(quality.max(1, keepdims=True), 1e-6)
    return np.where(share >= bar, share - weight * price / price.max(), -np.inf).argmax(1)


def choices(quality, scores, size, price, weight, counts=None, bar=0.0):
    """(quality, cost per call, cost by length) of `balanced` with another weight of money:
    costs as shares of the best single model's. counts: what each prompt counts."""
    counts = np.ones(len(scores)) if counts is None else counts
    best = (counts @ scores).argmax()
    pick = chosen_models(quality, price, weight, bar)
    size = size * counts
    return (float(counts @ scores[np.arange(len(scores)), pick] / counts.sum()),
            float(counts @ price[pick] / counts.sum() / price[best]),
            float((size * price[pick]).sum() / (size * price[best]).sum()))


def alike(rows):
    """What each row counts where every task counts the same; no task, no difference."""
    often = {}
    for row in rows:
        often[row.task] = often.get(row.task, 0) + 1
    return np.array([len(rows) / len(often) / often[row.task] for row in rows])


def tasks_left_out(rows, matrix, names, have, scores, size, price, best):
    """Each task's prompts judged by what was trained on the others: of all tasks alike
    [quality, cost per call, by length, quality of the best single model]."""
    found = []
    for task in sorted({rows[i].task for i in have if rows[i].task}):
        out = np.array([rows[i].task == task for i in have])
        model, _ = train_heads(rows, matrix, names, have[~out])
        pick = chosen_models(model.quality(matrix, have[out]), price, SHIPPED_WEIGHT)
        found.append((scores[out, pick].mean(), price[pick].mean() / price[best],
                      (size[out] * price[pick]).sum() / (size[out] * price[best]).sum(),
                      scores[out, best].mean()))
    return rounded(np.mean(found, axis=0)) if found else None


def resampled(scores, price, pick, best):
    """What 4000 samples of the same prompts say: 95 % of the difference in quality to the best
    single model and of the cost per call lie in these; and how many reach the goal."""
    rng = np.random.default_rng(17)
    at = rng.integers(0, len(scores), (4000, len(scores)))
    gain = (scores[np.arange(len(scores)), pick] - scores[:, best])[at].mean(1)
    cost = (price[pick] / price[best])[at].mean(1)
    return {"quality_less_best_single": rounded(np.percentile(gain, (2.5, 97.5))),
            "cost_per_call": rounded(np.percentile(cost, (2.5, 97.5))),
            "reaching_the_goal": rounded([((gain >= 0) & (cost <= GOAL_COST)).mean()])[0]}


def routed(order, scores, size, price, best):
    """Of a baseline that sends the prompts that come first in its order to the best single
    model, as many as the goal for costs allows, and the others to the best of the models
    below that price: (quality, cost per call, cost by length)."""
    cheap = int(np.where(price < GOAL_COST * price[best], scores.mean(0), -1).argmax())
    share = (GOAL_COST - price[cheap] / price[best]) / (1 - price[cheap] / price[best])
    pick = np.full(len(scores), cheap)
    pick[order[:int(share * len(scores))]] = best
    return (float(scores[np.arange(len(scores)), pick].mean()),
            float(price[pick].mean() / price[best]),
            float((size * price[pick]).sum() / (size * price[best]).sum()))


def reaching_goal(quality, scores, price, counts, weights):
    """How many of 2000 samples reach the goal with each weight of money, prompts being drawn as
    often as they count; the best single model is each sample's own."""
    rng = np.random.default_rng(19)
    at = rng.choice(len(scores), (2000, GOAL_PROMPTS), p=counts / counts.sum())
    best = np.array([scores[one].mean(0).max() for one in at])
    usual = price[(counts @ scores).argmax()]
    picks = [chosen_models(quality, price, weight) for weight in weights]
    return np.array([((scores[np.arange(len(scores)), pick][at].mean(1) >= best)
                      & (price[pick][at].mean(1) <= GOAL_COST * usual)).mean() for pick in picks])


def rounded(values):
    return [round(float(value), 3) for value in values]


def scores_of(rows, names):
    return (np.array([[row.models[name] for name in names] for row in rows]),
            np.array([len(row.prompt.encode()) for row in rows], float))


def judge_folds(rows, matrix, names, price):
    """Figures of five folds, and the least weight of money with which as many samples of them
    reach the goal as with any, but for three in a hundred, in the worse of two mixes: as it is, and
    each task counted alike."""
    have = told_of(rows, names)
    have = have[[all(name in rows[i].models for name in names) for i in have]]
    scores, size = scores_of([rows[i] for i in have], names)
    fold = np.random.default_rng(5).integers(0, 5, len(have))
    inner = np.zeros(scores.shape)
    for k in range(5):
        part, _ = train_heads(rows, matrix, names, have[fold != k])
        inner[fold == k] = part.quality(matrix, have[fold == k])
    counts = alike([rows[i] for i in have])
    grid = np.linspace(0.02, 0.4, 20)
    found = {"as_it_is": [choices(inner, scores, size, price, w) for w in grid],
             "tasks_alike": [choices(inner, scores, size, price, w, counts) for w in grid]}
    reached = [reaching_goal(inner, scores, price, mix, grid) for mix in (np.ones(len(have)), counts)]
    worse = np.min(reached, axis=0)
    chosen = int(np.flatnonzero(worse >= worse.max() - 0.03)[0])
    weight = float(grid[chosen])
    report = {"prompts": len(have), "weight": round(weight, 2),
              "samples_reaching_the_goal": {"%.2f" % w: rounded(one) for w, *one in
                                            list(zip(grid, *reached))[5:13]}}
    for mix, of_prompt in (("as_it_is", np.ones(len(have))), ("tasks_alike", counts)):
        def at(weight, bar=0.0):
            return rounded(choices(inner, scores, size, price, weight, of_prompt, bar))
        report[mix] = {
            "best_single": rounded([(of_prompt @ scores).max() / of_prompt.sum()])[0],
            "oracle": rounded([of_prompt @ scores.max(1) / of_prompt.sum()])[0],
            "at_the_chosen_weight": at(weight), "as_shipped": at(SHIPPED_WEIGHT, SHIPPED_BAR),
            "curve": {"%.2f" % w: rounded(one) for w, one in zip(grid[:16], found[mix])}}
    report["tasks_left_out"] = tasks_left_out(rows, matrix, names, have, scores, size, price,
                                              int(scores.mean(0).argmax()))
    return weight, report


def judge_heads(rows, matrix, names, model, test_rows, prices):
    """Routing among the models of the test split: everything is chosen on the training folds,
    then the test split is looked at once, with what is shipped."""
    price = np.array([prices[name] for name in names])
    weight, of_folds = judge_folds(rows, matrix, names, price)
    scores, size = scores_of(test_rows, names)
    quality = model.quality(Matrix(test_rows), np.arange(len(test_rows)))
    best = int(scores.mean(0).argmax())
    keywords = np.array([len(KEYWORDS.findall(row.prompt)) for row in test_rows])
    chance = [routed(np.random.default_rng(seed).permutation(len(scores)), scores, size, price,
                     best) for seed in range(200)]
    return {
        "training_folds": of_folds,
        "test": {
            "prompts": len(test_rows), "best_single": rounded([scores[:, best].mean()])[0],
            "random_model": rounded([scores.mean()])[0],
            "oracle": rounded([scores.max(1).mean()])[0],
            "at_the_chosen_weight": rounded(choices(quality, scores, size, price, weight)),
            "as_shipped": rounded(choices(quality, scores, size, price, SHIPPED_WEIGHT,
                                          bar=SHIPPED_BAR)),
            "resampled": resampled(scores, price, chosen_models(quality, price, weight), best),
            "curve": {"%.2f" % w: rounded(choices(quality, scores, size, price, w))
                      for w in np.linspace(0.02, 0.32, 16)},
            "baselines_at_the_goal_cost": {
                "length": rounded(routed(np.argsort(-size, kind="stable"), scores, size, price,
                                         best)),
                "keywords": rounded(routed(np.argsort(-keywords, kind="stable"), scores, size,
                                           price, best)),
                "random_mean": rounded(np.mean(chance, axis=0)),
                "random_95": rounded(np.percentile([one[0] for one in chance], (2.5, 97.5)))}}}


# --- models by name ----------------------------------------------------------

MODEL_PROMPTS_MIN, MODEL_PROMPTS_DOUBT = 50, 25


def shifted(logit, shift):
    return sigmoid(logit + shift)


def fit_shift(logit, observed):
    """What makes the mean expectation the mean that was observed, on the scale of logits; by
    bisection. A few prompts of a mean model are added, so that few observations shift
    little."""
    wanted = ((observed.sum() + MODEL_PROMPTS_DOUBT * sigmoid(logit).mean())
              / (len(observed) + MODEL_PROMPTS_DOUBT))
    low, high = -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if shifted(logit, middle).mean() < wanted else (low, middle)
    return (low + high) / 2


def fit_models(rows, logits, picked):
    """(name, tier, shift) of each model that enough of the picked rows tell of: the tier
    whose expectation, shifted, explains its answers best."""
    seen = {}
    for i in picked:
        for name, value in rows[i].models.items():
            seen.setdefault(name, []).append((i, value))
    out = []
    for name, pairs in sorted(seen.items()):
        if len(pairs) < MODEL_PROMPTS_MIN:
            continue
        index = np.array([i for i, _ in pairs])
        observed = np.array([value for _, value in pairs], float)
        best = None
        for tier in range(3):
            shift = fit_shift(logits[index, TIER0 + tier], observed)
            q = np.clip(shifted(logits[index, TIER0 + tier], shift), 1e-4, 1 - 1e-4)
            loss = -np.mean(observed * np.log(q) + (1 - observed) * np.log(1 - q))
            if best is None or loss < best[0]:
                best = (loss, tier, shift)
        out.append((name, best[1], best[2]))
    return out


def judge_named(rows, logits, report):
    """How far the expected mean of a model is from what was observed, by its tier alone and
    by its own shift; fitted on the even prompts, judged on the odd ones."""
    real = np.array([i for i, row in enumerate(rows) if row.models and not row.seed])
    found = {}
    for name, tier, shift in fit_models(rows, logits, real[0::2]):
        index = np.array([i for i in real[1::2] if name in rows[i].models])
        if len(index) < MODEL_PROMPTS_MIN:
            continue
        observed = np.mean([rows[i].models[name] for i in index])
        of_tier = sigmoid(logits[index, TIER0 + tier]).mean()
        own = shifted(logits[index, TIER0 + tier], shift).mean()
        found[name] = [round(float(v), 3) for v in (observed, of_tier, own)]
    if found:
        report["models"] = {
            "prompts": len(real[1::2]), "observed_by_tier_by_model": found,
            "error_by_tier": round(float(np.mean([abs(o - t) for o, t, _ in found.values()])), 3),
            "error_by_model": round(float(np.mean([abs(o - m) for o, _, m in found.values()])), 3)}


def plain(name):
    """A model's name as model_quality.c compares it: what vendors write differently is gone."""
    return re.sub("[^a-z0-9]", "", name.lower().rsplit("/", 1)[-1])


def write_models(folder, models, heads):
    lines = ["/* Written by tools/train_router.py: how much better or worse than its tier each",
             " * model answered, and its head (-1: none). Names as they begin, without marks; longer",
             " * ones first. */"]
    lines += ['{ SL_SLICE_INIT("%s"), SL_BUCKET_%s, %.3ff, %d },'
              % (plain(name), TIERS[tier].upper(), shift,
                 heads.index(name) if name in heads else -1)
              for name, tier, shift in sorted(models, key=lambda m: (-len(plain(m[0])), m[0]))]
    (folder / "model_quality.inc").write_text("\n".join(lines) + "\n")


# --- what is shipped -------------------------------------------------------

def quantise(model):
    """Weights as signed bytes: one scale per head, the rare outliers are clipped."""
    top = np.maximum(np.quantile(np.abs(model.table), 0.9999, axis=0), 1e-6)
    scale = top / 127
    table = np.clip(np.round(model.table / scale), -127, 127).astype(np.int8)
    model.table = table.astype(np.float32) * scale.astype(np.float32)
    return table, scale


def numbers(values):
    return ", ".join("%.6gf" % v if "." in "%.6g" % v or "e" in "%.6g" % v else "%.6g.0f" % v
                     for v in values)


def write_table(folder, model, table, scale, known, knots, trust):
    (folder / "classifier_weights.bin").write_bytes(
        table.tobytes() + np.packbits(known, bitorder="little").tobytes())
    lines = ["/* Written by tools/train_router.py; docs/model-card.md says from what. */",
             "enum { TABLE_BITS = %d, KNOWN_BITS = %d, KNOTS = %d };" %
             (TABLE_BITS, KNOWN_BITS, KNOTS)]
    rows = [("head_scale[HEADS]", scale), ("head_bias[HEADS]", model.bias),
            ("score_knots[KNOTS]", knots), ("score_trust[KNOTS - 1]", trust)]
    for name, values in rows:
        lines.append("static const float %s = {\n\t%s,\n};" % (name, wrap(numbers(values))))
    lines.append("static const float shape_weights[SHAPES][HEADS] = {")
    for one in model.shape:
        lines.append("\t{ %s }," % wrap(numbers(one)))
    lines.append("};")
    (folder / "classifier_table.inc").write_text("\n".join(lines) + "\n")


def wrap(text, width=88):
    out, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) + 1 > width:
            out.append(line)
            line = ""
        line += (" " if line else "") + word
    return "\n\t".join(out + [line])


def write_vectors(path, model, knots, names, heads, prompts):
    rows = [Row(prompt, "vector") for prompt in prompts]
    matrix = Matrix(rows)
    logits = model.logits(matrix, np.arange(len(rows)))
    score = np.interp(expected_gain(logits), knots, np.linspace(0, 1, KNOTS))
    q = sigmoid(logits[:, TIER0:])
    cases = [{"prompt": row.prompt, "category": CATEGORIES[int(logits[i, :12].argmax())],
              "score": round(float(score[i]), 4),
              "quality": [round(float(v), 4) for v in q[i]]} for i, row in enumerate(rows)]
    write_cases(path / "cases.jsonl", cases)
    write_model_vectors(path, matrix, names, heads, prompts)


def write_cases(path, cases):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for case in cases:
            file.write(json.dumps(case, ensure_ascii=False) + "\n")


def write_model_vectors(path, matrix, names, heads, prompts):
    quality = heads.quality(matrix, np.arange(len(prompts))) if names else []
    write_cases(path / "models.jsonl",
                [{"prompt": prompt, "quality": dict(zip(names, (round(float(v), 4) for v in one)))}
                 for prompt, one in zip(prompts, quality)])


ODD_PROMPTS = ["", " ", "?", "Zażółć gęślą jaźń", "什么是光合作用？", "aaaa" * 40, "!!!???...---",
               "1 22 333 4444 1234567890123", "A.\nB.\n\nA. x\nB. y\nC. z\nD. w", "MiXeD CaSe ÀÉ",
               "tab\tand\rreturn\x0b\x7f", "\n" * 40, "x = [1, 2];\n" * 60, "word " * 700]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("routellm", "llmrouter", "llmrouter-test", "log", "seeds"):
        parser.add_argument("--" + name, action="append", default=[], metavar="FILE")
    parser.add_argument("--prices", metavar="FILE", help="{MODEL: {input_price}} in USD per Mtok")
    parser.add_argument("--report", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--write", metavar="FOLDER", help="write the table there")
    parser.add_argument("--vectors", metavar="FOLDER", help="write test vectors there")
    args = parser.parse_args()
    prices = {}
    if args.prices:
        with open(args.prices, encoding="utf-8") as file:
            prices = {name: one["input_price"] for name, one in json.load(file).items()}
    elif args.llmrouter or args.llmrouter_test:
        parser.error("--llmrouter needs --prices")
    test = [row for path in args.llmrouter_test for row in read_llmrouter(path, prices)]
    hidden = {row.prompt.strip() for row in test}
    rows = [row for path in args.routellm for row in read_routellm(path)]
    rows += [row for path in args.llmrouter for row in read_llmrouter(path, prices)]
    rows += [row for path in args.log for row in read_log(path)]
    before = len(rows)
    rows = [row for row in rows if row.prompt.strip() not in hidden]
    rows += [row for path in args.seeds for row in read_log(path, seed=True)]
    if not rows:
        parser.error("nothing to train on")
    print("%d prompts; %d dropped because they are test prompts" % (len(rows), before + sum(
        row.seed for row in rows) - len(rows)), file=sys.stderr)
    matrix = Matrix(rows)
    targets, weights = labels(rows)
    weights[[row.seed for row in rows]] *= SEED_WEIGHT
    report, knots, trust, models = judge(rows, matrix, targets, weights)
    names = head_names(rows)
    heads, of_heads = train_heads(rows, matrix, names, told_of(rows, names)) if names else (None, None)
    if test and names:
        report["models_by_name"] = judge_heads(rows, matrix, names, heads, test, prices)
    model = train(matrix, targets, weights, np.arange(len(rows)), EPOCHS, DECAY, RATE)
    table, scale = quantise(model)
    text = json.dumps(report, indent=1)
    print(text)
    if args.report:
        pathlib.Path(args.report).write_text(text + "\n", encoding="utf-8")
    if args.write:
        write_foreign(pathlib.Path(args.write))
        write_models(pathlib.Path(args.write), models, names)
        if names:
            write_kinds(pathlib.Path(args.write), names, heads, of_heads, numbers, wrap)
        write_table(pathlib.Path(args.write), model, table, scale, known_words(matrix.words),
                    knots, trust)
    if args.vectors:
        seeds = [row.prompt for row in rows if row.seed][::4]
        write_vectors(pathlib.Path(args.vectors), model, knots, names, heads, seeds + ODD_PROMPTS)


if __name__ == "__main__":
    main()
