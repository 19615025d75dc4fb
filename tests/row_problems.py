"""Problems for the estimators that draw their rows, and quick settings for those."""

import numpy as np

from sklsh import KernelSampledSGD, KernelSampledSGDRegressor

SAMPLERS = ["kernel", "stale", "exact", "uniform"]
BY_SCORES = {"warmup": 0, "min_gain": 0}  # from the first on, whether it pays or not


def hard_region(n=4000, share=0.03, seed=0):
    """Rows that a line parts, but for a share of them, far off, that are harder to tell.

    Returns (X, y, whether a row is of the hard ones).
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 8)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    X[:, 0] += np.where(y, 3, -3)
    hard = rng.random(n) < share
    X[hard, 1] += 4
    X[hard, 0] = 0
    y[hard] = X[hard, 2] * X[hard, 3] > 0
    return X, y, hard


def make(hidden_layer_sizes=(16,), **settings):
    small = {"max_iter": 5, "batch_size": 16, "warmup": 5, "random_state": 0, "n_bits": 6}
    return KernelSampledSGD(hidden_layer_sizes, **small | settings)


def make_regressor(hidden_layer_sizes=(16,), **settings):
    small = {"max_iter": 5, "batch_size": 16, "warmup": 5, "random_state": 0, "n_bits": 6}
    return KernelSampledSGDRegressor(hidden_layer_sizes, **small | settings)
