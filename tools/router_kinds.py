"""How good models by name are at a prompt: by what kind of prompt it is.

    rows of the table --linear--> likeness to each of sixteen kinds --softmax--> how likely each
    counts of the text --linear in each kind, within bounds--> quality of each model there
                                                    sum over kinds --> by kind
    likenesses, counts --linear, within bounds--> overall
    the greatest likeness --> how much of each --> quality

Models differ by task far more than from one prompt of a task to the next, where one answer,
right or wrong, tells little: words only say which kind it is. What is like no kind well is
judged by what a likeness to each is worth, which does not take the least unlike kind for its own.
A row's kind is its `task`, else its category; rows without either are put where like prompts are.
src/routing/model_heads.c computes the same.
"""
import numpy as np

# Must equal src/routing/model_heads.c: two rows of the classifier's table share one here.
KIND_SHIFT, KINDS_MAX, MODELS_MAX, SPREADS_BOUND, LIKENESS_SLOPE = 1, 16, 16, 3.0, 2.0
KIND_PROMPTS_MIN = 50
KIND_EPOCHS, KIND_DECAY, KIND_RATE = 12, 1e-5, 0.2
# Likenesses to learn from are those that a table trained on the other parts sees.
LIKENESS_PARTS = 4
# A prompt that is as little like any kind as this share of what was learnt from is half judged
# overall.
UNLIKE_SHARE = 0.05
# So many prompts of a mean kind are added to a kind's; and what a slope costs, in prompts.
KIND_DOUBT, SLOPE_DOUBT = 10, 300
DIRECTIONS, ROUNDS = 128, 20


def unit(points):
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)


def points_of(matrix, picked, table_rows):
    """Where the picked prompts stand in the directions in which they differ most: the first
    singular vectors of their rows, weighted by how rare each is."""
    often = np.zeros(table_rows)
    for i in picked:
        often[matrix.items[i]] += 1
    rare = np.log((1 + len(picked)) / (1 + often)).astype(np.float32)
    table = np.zeros((len(picked), table_rows), np.float32)
    for at, i in enumerate(picked):
        table[at, matrix.items[i]] = rare[matrix.items[i]]
    table = unit(table)
    start = np.random.default_rng(0).standard_normal((len(picked), DIRECTIONS + 52))
    basis = np.linalg.qr(table @ (table.T @ start.astype(np.float32)))[0]
    vectors = np.linalg.svd(basis.T @ table, full_matrices=False)[2][:DIRECTIONS].T
    return unit(table @ vectors)


def clusters(points, count):
    """The nearest of so many centres for each point; each centre begins far from the others."""
    centres = [points[0]]
    for _ in range(count - 1):
        near = np.max(points @ np.array(centres).T, axis=1)
        centres.append(points[int(near.argmin())])
    centres = np.array(centres)
    for _ in range(ROUNDS):
        nearest = (points @ centres.T).argmax(1)
        for k in range(count):
            if (nearest == k).any():
                centres[k] = points[nearest == k].mean(0)
        centres = unit(centres)
    return nearest


def kinds_of(rows, matrix, picked, table_rows):
    """The number of each picked row's kind: the tasks that enough rows name, most frequent
    first, and clusters of the others in what room is left."""
    named = [rows[i].task or rows[i].category for i in picked]
    seen = {}
    for name in filter(None, named):
        seen[name] = seen.get(name, 0) + 1
    tasks = sorted((name for name in seen if seen[name] >= KIND_PROMPTS_MIN),
                   key=lambda name: (-seen[name], name))
    number = {name: k for k, name in enumerate(tasks[:KINDS_MAX])}
    kinds = np.array([number.get(name, -1) for name in named])
    rest = np.flatnonzero(kinds < 0)
    if not len(rest):
        return kinds
    first = min(len(number), KINDS_MAX - 1)
    count = max(1, min(KINDS_MAX - first, len(rest) // KIND_PROMPTS_MIN))
    kinds[rest] = first + clusters(points_of(matrix, picked[rest], table_rows), count)
    return kinds


class Scale:
    """Numbers as they stand among those of like prompts, within bounds."""

    def __init__(self, points, counts):
        self.middle = np.average(points, 0, counts).astype(np.float32)
        self.spread = (points.std(0) + 0.02).astype(np.float32)

    def __call__(self, points):
        return np.clip((points - self.middle) / self.spread, -SPREADS_BOUND, SPREADS_BOUND)


class Kinds:
    """linear: a model of train_router.py with KINDS_MAX heads, of which `count` are in use.
    likenesses: what such a model says of prompts that it was not trained on."""

    def __init__(self, linear, kinds, shapes, likenesses, scores, known):
        self.linear = linear
        self.count = int(kinds.max()) + 1
        likenesses = likenesses[:, :self.count]
        often = np.bincount(kinds, minlength=self.count)
        usual = (scores * known).sum(0) / np.maximum(known.sum(0), 1)
        empty = Scale(np.zeros((1, shapes.shape[1])), np.ones(1))
        self.scales = [Scale(shapes[kinds == k], np.ones(often[k])) if often[k] else empty
                       for k in range(self.count)]
        self.weights = np.array([fits(scale(shapes[kinds == k]), scores[kinds == k],
                                      known[kinds == k], usual, np.ones(often[k]))
                                 for k, scale in enumerate(self.scales)], np.float32)
        # Every kind counts the same: what comes of no kind is not of the most frequent one.
        alike = (len(kinds) / self.count / np.maximum(often, 1))[kinds]
        points = np.hstack([likenesses, shapes])
        self.overall = Scale(points, alike)
        self.overall_weights = fits(self.overall(points), scores, known, usual, alike)
        self.unlike = float(np.quantile(likenesses.max(1), UNLIKE_SHARE))

    def quality(self, matrix, picked):
        likenesses, shapes = self.linear.logits(matrix, picked)[:, :self.count], matrix.shape[picked]
        greatest = likenesses.max(1, keepdims=True)
        likely = np.exp(likenesses - greatest)
        likely /= likely.sum(1, keepdims=True)
        of_kind = 1 / (1 + np.exp(-LIKENESS_SLOPE * (greatest - self.unlike)))
        points = self.overall(np.hstack([likenesses, shapes]))
        sums = (1 - of_kind) * (self.overall_weights[0] + points @ self.overall_weights[1:])
        for k, (scale, weights) in enumerate(zip(self.scales, self.weights)):
            sums += of_kind * likely[:, k:k + 1] * (weights[0] + scale(shapes) @ weights[1:])
        return np.clip(sums, 0, 1)


def fits(points, scores, known, usual, counts):
    """Of each model: a mean, and the slopes of a ridge regression around it, of the rows that
    know it. counts: what each row counts."""
    out = np.zeros((1 + points.shape[1], scores.shape[1]), np.float32)
    for m in range(scores.shape[1]):
        at = known[:, m] > 0
        told, count = scores[at, m], counts[at]
        mean = (count @ told + KIND_DOUBT * usual[m]) / (count.sum() + KIND_DOUBT)
        weighted = points[at].T * count
        slopes = np.linalg.solve(weighted @ points[at] + SLOPE_DOUBT * np.eye(points.shape[1]),
                                 weighted @ (told - mean))
        out[:, m] = np.concatenate([[mean], slopes])
    return out


def write_kinds(folder, names, model, quantised, numbers, wrap):
    """The table, a row of sixteen bytes for each of its rows; kinds and models that are not
    there are 0."""
    table, scale = quantised
    (folder / "model_weights.bin").write_bytes(table.tobytes())

    def array(name, values):
        return ["static const float %s = {" % name, "\t%s," % wrap(numbers(values)), "};"]

    def rows(values):
        return ["\t{ %s }," % wrap(numbers(one)) for one in values]

    lines = ["/* Written by tools/train_router.py; docs/model-card.md says from what. Models: %s. */"
             % (", ".join(names) or "none")]
    lines = [wrap(lines[0]).replace("\n\t", "\n * ")]
    lines.append("enum { KINDS = %d, MODELS = %d };" % (model.count, len(names)))
    lines += array("kind_scale[KINDS_MAX]", scale) + array("kind_bias[KINDS_MAX]", model.linear.bias)
    lines += ["static const float kind_shapes[SHAPES][KINDS_MAX] = {"]
    lines += rows(model.linear.shape) + ["};"]
    for name in ("middle", "spread"):
        lines += ["static const float %s[KINDS][SHAPES] = {" % name]
        lines += rows([getattr(scale, name) for scale in model.scales]) + ["};"]
    lines.append("static const float quality_weights[KINDS][1 + SHAPES][SL_MODEL_HEADS_MAX] = {")
    for one in model.weights:
        lines += ["\t{"] + rows(one) + ["\t},"]
    lines.append("};")
    lines += array("overall_middle[KINDS + SHAPES]", model.overall.middle)
    lines += array("overall_spread[KINDS + SHAPES]", model.overall.spread)
    lines += ["static const float overall_weights[1 + KINDS + SHAPES][SL_MODEL_HEADS_MAX] = {"]
    lines += rows(model.overall_weights) + ["};"]
    lines.append("static const float unlike_likeness = %s;" % numbers([model.unlike]))
    (folder / "model_heads.inc").write_text("\n".join(lines) + "\n")
