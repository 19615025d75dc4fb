"""Rows whose label depends on a few known features among very many.

A row has 50 features of value 1. Some of them are true: those have a weight, of size .5 to 2 and
random sign, and the label is drawn from the logistic model. All others are noise. The ids of the
true features are drawn like those of all others, so nothing but the labels tells them apart.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

ROWS_AT_ONCE = 10_000
FREQUENT = 1 << 24  # ids up to here are permuted; among more, distinct ones are drawn


@dataclass(frozen=True)
class Family:
    """How the features of a row are drawn.

    Attributes
    ----------
    n_features : int
        Ids are below it.

    zipf : int or None
        How many ids occur, the frequency of each falling with its rank; None: all, uniformly.

    share : float
        Share of the true features among those of a row.
    """

    n_features: int
    zipf: int | None
    share: float


FAMILIES = {
    "zipf": Family(10**6, 10**6, 0.20),
    "uniform": Family(10**7, None, 0.11),
    "hard": Family(10**6, 10**6, 0.04),
    "zipf-2^40": Family(1 << 40, 10**6, 0.20),
    "uniform-2^40": Family(1 << 40, None, 0.11),
}


@dataclass(frozen=True)
class Data:
    """Training and test rows, and the truth.

    Attributes
    ----------
    X, X_test : CSR array of float32 ones
        With 64-bit indices if the ids need them.

    y, y_test : array of 0 and 1

    true_ids : (n_true,) int64
        Ascending.

    weights : (n_true,) float64
        Their weights in the model.

    ceiling : float
        Accuracy on the test rows of the model that drew the labels.
    """

    X: sp.csr_array
    y: np.ndarray
    X_test: sp.csr_array
    y_test: np.ndarray
    true_ids: np.ndarray
    weights: np.ndarray
    ceiling: float

    def recall(self, ids):
        """Share of the true features among the given ids."""
        return float(np.isin(self.true_ids, ids).mean())


def make_sparse_support(family, *, n_rows=100_000, n_test=20_000, n_true=100, length=50, seed=0):
    """Draw the Data of a Family; cost O(n_rows length) and, for Zipf ids, O(n_features)."""
    rng = np.random.default_rng(seed)
    vocabulary = names(family, n_true, rng)
    true, noise = vocabulary[:n_true], vocabulary[n_true:]
    weights = rng.uniform(0.5, 2, n_true) * rng.choice([-1, 1], n_true)
    n_all = n_rows + n_test
    ids, logits = np.empty((n_all, length), np.int64), np.empty(n_all)
    for first in range(0, n_all, ROWS_AT_ONCE):
        part = slice(first, min(first + ROWS_AT_ONCE, n_all))
        n = part.stop - first
        is_true = true_of_each_row(n, n_true, length * family.share, length, rng)
        logits[part] = is_true @ weights
        ids[part] = filled(is_true, true, noise_draws(family, noise, n, length, rng))
    logits -= logits.mean()
    y = (rng.random(n_all) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    X = rows_of_ones(ids, family.n_features)
    order = np.argsort(true)
    ceiling = float(((logits[n_rows:] > 0) == y[n_rows:]).mean())
    return Data(
        X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:], true[order], weights[order], ceiling
    )


def names(family, n_true, rng):
    """Distinct ids in random order: the true ones, then those of noise that Zipf ranks."""
    n = n_true + (family.zipf or 0)
    if family.n_features <= FREQUENT:
        return rng.permutation(family.n_features)[:n]
    drawn = rng.integers(0, family.n_features, 2 * n)
    return rng.permutation(np.unique(drawn))[:n]


def true_of_each_row(n, n_true, mean, length, rng):
    """(n, n_true) bool: which true features a row has; one at least, about `mean` of them."""
    is_true = rng.random((n, n_true)) < mean / n_true
    is_true[np.arange(n), rng.integers(0, n_true, n)] |= ~is_true.any(axis=1)
    if is_true.sum(axis=1).max() > length:
        raise ValueError(f"A row of {length} features cannot hold so many true ones.")
    return is_true


def noise_draws(family, noise, n, length, rng):
    """(n, 3 length) ids of noise, with repetitions."""
    shape = n, 3 * length
    if family.zipf is None:
        return rng.integers(0, family.n_features, shape)
    # rank r with probability log((r + 1) / r) / log(n_ranks + 1), nearly that of 1 / r
    ranks = np.exp(rng.random(shape) * np.log(len(noise) + 1)).astype(np.int64)
    return noise[np.minimum(ranks, len(noise)) - 1]


def filled(is_true, true, noise):
    """(n, length) distinct ids of each row: its true ones, then the first of its noise."""
    n, length = len(is_true), noise.shape[1] // 3
    drawn = np.hstack([np.where(is_true, true, -1), noise])
    order = np.argsort(drawn, axis=1, kind="stable")
    ids = np.take_along_axis(drawn, order, axis=1)
    repeated = np.zeros(drawn.shape, bool)
    repeats = np.hstack([np.zeros((n, 1), bool), ids[:, 1:] == ids[:, :-1]])
    np.put_along_axis(repeated, order, repeats | (ids < 0), axis=1)
    place = np.cumsum(~repeated, axis=1)
    if place[:, -1].min() < length:
        raise ValueError(f"Too few distinct ids were drawn for rows of {length}.")
    return drawn[~repeated & (place <= length)].reshape(n, length)


def rows_of_ones(ids, n_features):
    """CSR rows that hold a 1 at each id."""
    n, length = ids.shape
    index = np.int32 if max(n_features, ids.size) < 2**31 else np.int64
    indices = np.sort(ids, axis=1).astype(index).ravel()
    indptr = np.arange(0, ids.size + 1, length, dtype=index)
    return sp.csr_array((np.ones(ids.size, np.float32), indices, indptr), shape=(n, n_features))
