"""NumPy twins of the kernels of sketches, and of the linear model that is kept in one."""

import numpy as np
from reference import WORD, mix

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
