"""Estimates of the sum over all items from those retrieved, by their probability to be."""

from typing import NamedTuple

import numpy as np

from sklsh.lsh._rows import scale_to_unit
from sklsh.negatives._partition import log_sum_exp, row_lengths, with_tail


class UnitRows(NamedTuple):
    """Rows as directions, (n, padded width) float32, and lengths, (n,) float64."""

    directions: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, rows):
        """Dense float32 rows, which are copied."""
        return cls(scale_to_unit(rows.copy()), row_lengths(rows))


class RetrievedSums:
    """Estimates of the sum over all items, as logarithms.

    Parameters
    ----------
    items : Items
        All items.

    queries : UnitRows
        The queries; their lengths are apart because cosines must not over- or underflow.

    found : tuple of ndarray
        (indptr, ids): the distinct items that each query has retrieved.

    probability : callable
        Probability to be retrieved, a function of cosines.

    n_threads : int
        OpenMP threads.
    """

    def __init__(self, items, queries, found, probability, n_threads):
        self.items = items
        self.queries = queries
        self.found = found
        self.probability = probability
        self.n_threads = n_threads

    def importance(self):
        """Retrieved items, each over its probability to be."""
        indptr, _ = self.found
        logits, probability = self._scored(*self.found)
        # zero vectors are never retrieved
        zeros = self.items.log_sum_of_zeros()
        return np.logaddexp(log_sum_exp(logits - np.log(probability), indptr), zeros)

    def mixed(self, n_uniform, seed):
        """Retrieved items and draws from all, each over its probability to be either."""
        n, n_found = len(self.items), np.diff(self.found[0])
        # how many of n_uniform draws from all are not retrieved: where those fall is uniform
        n_tail = np.random.default_rng(seed).hypergeometric(n - n_found, n_found, n_uniform)
        indptr, ids = with_tail(self.found, n_tail, n, seed, self.n_threads)
        logits, probability = self._scored(indptr, ids)
        has_angle = np.repeat(self.queries.lengths > 0, np.diff(indptr))
        has_angle &= self.items.lengths[ids] > 0
        missed = (1 - probability * has_angle) * (1 - n_uniform / n)
        return log_sum_exp(logits - np.log1p(-missed), indptr)

    def probabilities(self):
        """Of the retrieved items, in CSR order."""
        return self._scored(*self.found)[1]

    def _scored(self, indptr, ids):
        """Logits of each query with items of its own, and their probabilities."""
        logits = self.items.products(self.queries.directions, indptr, ids, self.n_threads)
        logits, lengths = logits.astype(np.float64), self.items.lengths[ids]
        cosines = np.divide(logits, lengths, out=np.zeros(len(ids)), where=lengths > 0)
        logits *= np.repeat(self.queries.lengths, np.diff(indptr))
        logits += self.items.offset[ids]
        return logits, self.probability(cosines)
