"""How good models by name are at a prompt: by what kind of prompt it is.

    rows of the table --linear, softmax--> how likely each of sixteen kinds
    counts of the text --linear in each kind, within bounds--> quality of each model there
                                                    sum over kinds --> quality

Models differ by task far more than from one prompt of a task to the next, where one answer,
right or wrong, tells little: words only say which kind it is. A row's kind is its `task`, else its
category; rows without either are put where like prompts are. src/routing/model_heads.c computes the same.
"""
import numpy as np

# Must equal src/routing/model_heads.c: two rows of the classifier's table share one here.
KIND_SHIFT, KINDS_MAX, MODELS_MAX, SHAPE_BOUND = 1, 16, 16, 3.0
KIND_PROMPTS_MIN = 50
KIND_EPOCHS, KIND_DECAY, KIND_RATE = 12, 3e-5, 0.05
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


class Kinds:
    """linear: a model of train_router.py with KINDS_MAX heads, of which `count` are in use."""

    def __init__(self, linear, softmax, kinds, shapes, scores, known):
        self.linear, self.softmax = linear, softmax
        self.count = int(kinds.max()) + 1
        self.middle = np.zeros((self.count, shapes.shape[1]), np.float32)
        self.spread = np.ones_like(self.middle)
        self.weights = np.zeros((self.count, 1 + shapes.shape[1], scores.shape[1]), np.float32)
        usual = (scores * known).sum(0) / np.maximum(known.sum(0), 1)
        for k in range(self.count):
            at = kinds == k
            if at.any():
                self.middle[k] = shapes[at].mean(0)
                self.spread[k] = shapes[at].std(0) + 0.02
            counts = self.scaled(shapes[at])[:, k]
            for m in range(scores.shape[1]):
                self.weights[k, :, m] = fit(counts[known[at, m] > 0],
                                            scores[at, m][known[at, m] > 0], usual[m])

    def scaled(self, shapes):
        """Each count of the text as it stands in each kind."""
        return np.clip((shapes[:, None] - self.middle) / self.spread, -SHAPE_BOUND, SHAPE_BOUND)

    def quality(self, matrix, picked):
        likely = self.softmax(self.linear.logits(matrix, picked)[:, :self.count])
        counts = self.scaled(matrix.shape[picked])
        sums = likely @ self.weights[:, 0]
        for k in range(self.count):
            sums += likely[:, k:k + 1] * (counts[:, k] @ self.weights[k, 1:])
        return np.clip(sums, 0, 1)


def fit(counts, scores, usual):
    """A mean, and the slopes of a ridge regression around it."""
    mean = (scores.sum() + KIND_DOUBT * usual) / (len(scores) + KIND_DOUBT)
    slopes = np.linalg.solve(counts.T @ counts + SLOPE_DOUBT * np.eye(counts.shape[1]),
                             counts.T @ (scores - mean))
    return np.concatenate([[mean], slopes])


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
    for name, values in (("middle", model.middle), ("spread", model.spread)):
        lines += ["static const float %s[KINDS][SHAPES] = {" % name] + rows(values) + ["};"]
    lines.append("static const float quality_weights[KINDS][1 + SHAPES][SL_MODEL_HEADS_MAX] = {")
    for one in model.weights:
        lines += ["\t{"] + rows(one) + ["\t},"]
    lines.append("};")
    (folder / "model_heads.inc").write_text("\n".join(lines) + "\n")
