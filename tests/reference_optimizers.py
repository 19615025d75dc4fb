"""NumPy twin of updates whose moments are in count-sketches."""

import numpy as np
from reference import UPDATE_RULES, WORD, mix


def cells_of(row, depth, width, seed):
    """Cells and signs of a row of weights, one in each row of the sketch."""
    bits = [mix((mix(seed) + row * depth + r) & WORD) for r in range(depth)]
    cells = [r * width + ((b >> 32) * width >> 32) for r, b in enumerate(bits)]
    return cells, np.array([[1 - 2 * (b & 1)] for b in bits])


def step(rule, hyper, weights, first, second, depth, seed, rows, gradient):
    """Update rows one after another, in place; sketches have the cells of all rows in turn."""
    twin = UPDATE_RULES[rule][0]
    width = max(len(first), len(second)) // depth
    for row, g in zip(rows, gradient, strict=True):
        cells, signs = cells_of(int(row), depth, width, seed)
        m = np.median(signs * first[cells], axis=0)
        v = np.maximum(second[cells].min(axis=0), 0)
        weights[row], new_m, new_v = twin(hyper, weights[row], m, v, g)
        first[cells] += signs * (new_m - m)
        second[cells] += new_v - v
