"""Draws from rows whose scores are told, for the tests of draws and of what they gain."""

import numpy as np
import pytest

from sklsh.row_sampling import Observed, Pass, RowDraws, RowSampler

N = 300
STEP = 100  # multiply-adds of one
RNG = np.random.default_rng(0)
SIZES = RNG.gamma(0.3, 1, N) + 1e-3  # what each row teaches: much or next to nothing
VALUES = SIZES[:, None] * RNG.standard_normal((N, 3)) + 0.1  # as gradients are
X = np.zeros((N, 1), dtype=np.float32)
WEIGHTS = {
    "alike": np.ones(N),
    "weighted": RNG.uniform(0.1, 3, N),
    "some zero": RNG.uniform(0.1, 3, N) * (np.arange(N) % 3 > 0),
}
WEIGHTS = {name: weight.astype(np.float32) for name, weight in WEIGHTS.items()}
every_weight = pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)


class Told(RowSampler):
    """Scores that it is told, at costs of scoring and learning that it is told, in steps."""

    def __init__(self, scores, cost=0, learning=0):
        self.told, self.cost, self.noted = np.asarray(scores, dtype=float), cost, []
        self.learning = learning

    def scores(self, rows):
        return self.told[rows]

    def note(self, rows, observed, batch_size):
        self.noted.append((rows, observed, batch_size))

    def multiply_adds(self, step):
        return self.cost * step

    def learning_multiply_adds(self):
        return self.learning * STEP


def begun(sampler, weight=WEIGHTS["alike"], seed=0, **others):
    """Draws from the rows, by scores from the first on unless told otherwise."""
    defaults = {
        "batch_size": 16, "pool_factor": 5, "floor": 0.1, "warmup": 0, "min_gain": 0,
        "importance_power": 1, "subsample": 1,
    }  # fmt: skip
    draws = RowDraws(sampler)
    n = len(weight)
    data = Pass(np.zeros((n, 1), np.float32), np.zeros(n), None, 1)
    draws.begin(data, weight, STEP, np.random.default_rng(seed), **defaults | others)
    return draws


def run(draws, sizes, n_epochs):
    """Steps that find out the `sizes`; returns all draws."""
    taken = []
    for _ in range(n_epochs):
        for drawn in draws.epoch():
            taken.append(drawn)
            draws.note(drawn, Observed(sizes[drawn.rows], sizes[drawn.rows]))
    return taken


def assert_unbiased(draws, weight, values, n_sets=500, field="unbiased"):
    """The weighted mean over draws is on average that over rows, within 3 standard errors."""
    means = []
    while len(means) < n_sets:
        for drawn in draws.epoch():
            terms = getattr(drawn, field)[:, None] * values[drawn.rows]
            means.append(terms.mean(axis=0))
    means = np.array(means)
    wanted = (weight[:, None] * values).mean(axis=0, dtype=np.float64)
    error = means.std(axis=0) / np.sqrt(len(means))
    assert (abs(means.mean(axis=0) - wanted) <= 3 * error + 1e-6).all()
