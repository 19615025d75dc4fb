"""Rows of counters that codes address."""

import copy

import numpy as np

from sklsh._kernels import _race
from sklsh._memory import aligned_copy, aligned_zeros, writable

SCALE_RANGE = 2.0**64  # either way from 1, beyond which the scale is folded into the cells


class Counters:
    """Counters in rows, all times one scale: to multiply them takes no time.

    Parameters
    ----------
    n_rows, width, n_columns : int
        Shape of the counters.

    hashed : bool
        Whether a code's place in a row is a hash of it, else the code itself.

    seed : int
        Of that hash.
    """

    def __init__(self, n_rows, width, n_columns, hashed, seed):
        self.cells = aligned_zeros((n_rows * width, n_columns), np.float64)
        self.totals = np.zeros(n_columns)
        self.scale = 1.0  # of cells and totals
        self.width, self.hashed, self.seed = width, hashed, seed

    def __setstate__(self, state):
        vars(self).update(state)
        self.cells, self.totals = writable(self.cells), writable(self.totals)

    def add(self, codes, values, n_threads):
        """Add values (n, n_columns) where codes (n, n_rows) say; negative codes are left out."""
        values = values / self.scale
        _race.add(codes, values, self.cells, self.hashed, self.seed, n_threads)
        self.totals += values[codes[:, 0] >= 0].sum(axis=0)

    def averages(self, codes, n_groups, correct, n_threads):
        """Medians (n, n_columns) of the means over groups of rows."""
        means = np.empty((len(codes), n_groups, self.cells.shape[1]))
        _race.look_up(codes, self.cells, self.hashed, self.seed, means, n_threads)
        averages = means[:, 0] if n_groups == 1 else np.median(means, axis=1)
        if self.hashed and correct:
            averages = (averages - self.totals / self.width) / (1 - 1 / self.width)
            averages[codes[:, 0] < 0] = 0
        return averages * self.scale

    def multiply(self, factor):
        """Multiply all counters."""
        if factor == 0:
            self.clear()
        self.scale *= factor or 1
        if not 1 / SCALE_RANGE <= abs(self.scale) <= SCALE_RANGE:
            self.fold()

    def fold(self):
        """Multiply the scale into cells and totals."""
        if self.scale != 1:
            self.cells *= self.scale
            self.totals *= self.scale
            self.scale = 1.0

    def combine(self, other, operation):
        """Cells <- operation(cells, the other's), and totals alike."""
        self.fold()
        for mine, others in [(self.cells, other.cells), (self.totals, other.totals)]:
            operation(mine, others if other.scale == 1 else other.scale * others, out=mine)

    def clear(self):
        """Set all counters to zero."""
        self.cells.fill(0)
        self.totals.fill(0)
        self.scale = 1.0

    def copy(self):
        """Counters of their own, with the same numbers."""
        twin = copy.copy(self)
        twin.cells, twin.totals = aligned_copy(self.cells), self.totals.copy()
        return twin
