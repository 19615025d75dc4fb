"""NumPy twins of the kernels of sketches, and of the linear model that is kept in one."""

import numpy as np
from reference import WORD, mix
from scipy.special import expit, logsumexp, softmax

# ---- _cells, _count_sketch ----


def places(key, depth, width, signed, seed):
    """[(cell, sign)] of a key in each row: bits of its hash, which is drawn anew as they end."""
    bits = int(width).bit_length() - 1
    key_hash, taken, found = mix((mix(seed) + key) & WORD), 0, []
    for _ in range(depth):
        if taken + bits + 1 > 64:
            key_hash, taken = mix(key_hash), 0
        own = (key_hash >> taken) & ((1 << (bits + 1)) - 1)
        found.append((own & (width - 1), -1 if signed and own >> bits else 1))
        taken += bits + 1
    return found


class Sketch:
    """Cells in float64, (depth, width, n_columns)."""

    def __init__(self, depth, width, n_columns, signed=True, seed=0):
        self.cells = np.zeros((depth, width, n_columns))
        self.signed, self.seed = signed, seed
        self._places = {}

    def places(self, key):
        if key not in self._places:
            depth, width, _ = self.cells.shape
            self._places[key] = places(int(key), depth, width, self.signed, self.seed)
        return self._places[key]

    def add(self, key, values):
        for row, (cell, sign) in zip(self.cells, self.places(key), strict=True):
            row[cell] += sign * np.asarray(values)

    def rows(self, key):
        """What each row says of a key: (depth, n_columns)."""
        found = zip(self.cells, self.places(key), strict=True)
        return np.array([sign * row[cell] for row, (cell, sign) in found])

    def estimate(self, key):
        return np.median(self.rows(key), axis=0)

    def least(self, key):
        return self.rows(key).min(axis=0)


# ---- _race ----


def counter_of(code, row, width, hashed, seed):
    """Place of a code in a row of counters; None if it has none."""
    if code < 0:
        return None
    return mix((mix((mix(seed) + row) & WORD) + int(code)) & WORD) & (width - 1) if hashed else code


def counted(codes, values, width, hashed, seed):
    """Counters (n_rows, width, n_columns) after the values of all codes."""
    cells = np.zeros((codes.shape[1], width, values.shape[1]))
    for own, value in zip(codes, values, strict=True):
        for r, code in enumerate(own):
            place = counter_of(code, r, width, hashed, seed)
            if place is not None:
                cells[r, place] += value
    return cells


def counters(codes, cells, hashed, seed):
    """What each row of counters holds for each vector: (n, n_rows, n_columns)."""
    found = np.zeros((*codes.shape, cells.shape[2]))
    for i, own in enumerate(codes):
        for r, code in enumerate(own):
            place = counter_of(code, r, cells.shape[1], hashed, seed)
            if place is not None:
                found[i, r] = cells[r, place]
    return found


def code_of_steps(projections, offsets, width):
    """31 bits of hash of the steps of one code."""
    chained = 0
    for step in np.floor(projections.astype(float) / width + offsets):
        step = int(np.clip(step, -(2.0**53), 2.0**53))
        chained = (chained * 0x9E3779B97F4A7C15 + step) & WORD
    return mix(chained) >> 33


# ---- _active_table, _top_k_table ----


class Table:
    """Vectors by key, in the order in which the keys came."""

    def __init__(self, keep, capacity, put_out=lambda key, value: None):
        self.keep, self.capacity, self.threshold = keep, capacity, 0
        self.values, self.put_out = {}, put_out

    def raise_threshold(self):
        if len(self.values) >= self.keep:
            self.threshold = sorted(map(norm, self.values.values()))[-self.keep]

    def passes(self, value):
        """Whether a new key of this value gets a row; if it does, there is one free."""
        if norm(value) > self.threshold and len(self.values) == self.capacity:
            self.compact()
        return norm(value) > self.threshold

    def compact(self):
        self.raise_threshold()
        ranked = sorted(self.values, key=lambda key: -norm(self.values[key]))  # stable
        for key in ranked[self.keep :]:
            self.put_out(key, self.values.pop(key))


def norm(value):
    return abs(value).max()


class TopK(Table):
    def __init__(self, k):
        super().__init__(k, 2 * k)
        self.n_pushes = 0

    def push(self, key, value):
        if key in self.values or self.passes(value):
            self.values[key] = value
        self.n_pushes += 1
        if self.n_pushes % self.capacity == 0:
            self.raise_threshold()

    def items(self):
        return sorted(self.values.items(), key=lambda item: -norm(item[1]))[: self.keep]


# ---- _margin_losses, _sketched_sgd ----


def margin_loss(loss, scores, target, epsilon):
    """(loss, gradient) of the scores of a row; with several, the target is its class."""
    if loss == "multinomial":
        is_target = np.arange(len(scores)) == target
        return logsumexp(scores) - scores[int(target)], softmax(scores) - is_target
    wanted = np.where(np.arange(len(scores)) == target, 1, -1) if len(scores) > 1 else target
    losses, gradient = LOSSES[loss](scores, wanted, epsilon)
    return losses.sum(), gradient


def log_loss(scores, wanted, epsilon):
    return np.logaddexp(0, -wanted * scores), -wanted * expit(-wanted * scores)


def hinge(scores, wanted, epsilon):
    return np.maximum(1 - wanted * scores, 0), -wanted * (wanted * scores < 1)


def squared_error(scores, wanted, epsilon):
    return (scores - wanted) ** 2 / 2, scores - wanted


def huber(scores, wanted, epsilon):
    error = abs(scores - wanted)
    losses = np.where(error > epsilon, epsilon * (error - epsilon / 2), error**2 / 2)
    return losses, np.clip(scores - wanted, -epsilon, epsilon)


def modified_huber(scores, wanted, epsilon):
    margin = wanted * scores
    losses = np.where(margin < -1, -4 * margin, np.maximum(1 - margin, 0) ** 2)
    return losses, wanted * np.where(margin < -1, -4, -2 * np.maximum(1 - margin, 0))


LOSSES = {
    "log_loss": log_loss, "hinge": hinge, "modified_huber": modified_huber,
    "squared_error": squared_error, "huber": huber,
}  # fmt: skip


class SketchedLinear:
    """The model that `sketched_sgd` trains: a row is a list of (feature, value)."""

    def __init__(self, n_outputs, *, mode, keep, capacity, width, depth, seed):
        self.sketch = Sketch(depth, width, n_outputs, seed=seed)
        self.mission, self.in_one_row = mode == "mission", mode == "active" and depth == 1
        self.table = Table(keep, capacity, *([] if self.mission else [self.sketch.add]))
        self.bias, self.scale = np.zeros(n_outputs), 1
        self.shrinkage = self.n_entries = self.loss = 0

    def scores(self, row):
        weights = [value * self.weight(feature) for feature, value in row]
        return self.scale * sum(weights, np.zeros(len(self.bias))) + self.bias

    def weight(self, feature):
        held = self.table.values.get(feature)
        if self.mission:
            return 0 if held is None or norm(held) < self.table.threshold else held
        return self.sketch.estimate(feature) if held is None else held

    def train(self, rows, targets, row_weights, order, rates, batch_size, objective):
        for rate, first in zip(rates, range(0, len(order), batch_size), strict=True):
            batch = order[first : first + batch_size]
            gradients = []
            for i in batch:
                loss, gradient = margin_loss(
                    objective["loss"], self.scores(rows[i]), targets[i], objective["epsilon"]
                )
                self.loss += row_weights[i] * loss
                gradients.append(row_weights[i] * gradient)
            entries = [
                (feature, -rate / self.scale * value * gradient)
                for i, gradient in zip(batch, gradients, strict=True)
                for feature, value in rows[i]
            ]
            self.bias -= min(rate, 0.5 / max(row_weights[batch].sum(), 1e-30)) * sum(gradients)
            self.promote(self.step(entries))
            self.penalise(rate, len(batch), objective["l2"], objective["l1"])
            self.keep_up(len(entries))
        self.shrink()

    def step(self, entries):
        """Add to the weights; returns the features that may deserve a row of the table."""
        promising = []
        for feature, delta in entries:
            if feature in self.table.values and not self.mission:
                self.table.values[feature] = self.table.values[feature] + delta
            else:
                self.sketch.add(feature, delta)
                if self.in_one_row and self.is_heavy(feature):  # others are asked at the end
                    promising.append(feature)
        if self.mission:
            for feature, _ in entries:
                if feature in self.table.values:
                    self.table.values[feature] = self.sketch.estimate(feature)
        if not self.in_one_row:
            promising = [feature for feature, _ in entries if self.is_heavy(feature)]
        return promising

    def is_heavy(self, feature):
        return norm(self.sketch.estimate(feature)) > self.table.threshold

    def promote(self, promising):
        for feature in promising:
            if feature in self.table.values or not self.table.passes(self.sketch.estimate(feature)):
                continue
            estimate = self.sketch.estimate(feature)
            self.table.values[feature] = estimate
            if not self.mission:
                self.sketch.add(feature, -estimate)

    def penalise(self, rate, n, l2, l1):
        self.scale *= max(1 - rate * l2, 0) ** n
        self.shrinkage += rate * l1 * n
        if self.scale < 1e-6:
            self.sketch.cells *= self.scale
            self.change_table(lambda value: value * self.scale)
            self.table.threshold *= self.scale
            self.scale = 1

    def keep_up(self, n_entries):
        """Shrink the table and renew the threshold, each four entries for a row of the table."""
        self.n_entries += n_entries
        if self.n_entries >= 4 * self.table.capacity:
            self.shrink()
            self.table.raise_threshold()
            self.n_entries = 0

    def shrink(self):
        by = self.shrinkage / self.scale
        self.change_table(lambda value: np.sign(value) * np.maximum(abs(value) - by, 0))
        self.shrinkage = 0

    def change_table(self, change):
        self.table.values = {key: change(value) for key, value in self.table.values.items()}
