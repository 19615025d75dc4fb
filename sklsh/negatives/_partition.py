"""Sums of exp(query . item + offset) over items: over all of them, and over a query's own."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from sklsh._kernels import _active_sets, _products, _rows
from sklsh._memory import padded, require_bytes
from sklsh.lsh._rows import dense_rows, scale_to_unit

BLOCK_ENTRIES = 1 << 23  # queries times items worked on at a time
BLOCK_QUERIES = 256
NO_TABLES = np.zeros((0, 1), dtype=np.int32)


class UnitRows(NamedTuple):
    """Rows as directions, (n, padded width) float32, and lengths, (n,) float64."""

    directions: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, X):
        """Rows of a dense or sparse matrix."""
        rows = dense_rows(X)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        return cls(scale_to_unit(rows), lengths)

    def part(self, rows):
        """The rows in a slice."""
        return UnitRows(self.directions[rows], self.lengths[rows])


class Items:
    """Vectors and offsets, whose products with queries are the logits.

    Parameters
    ----------
    vectors : {ndarray, sparse matrix} of shape (n, width), float32
        The items.

    offset : ndarray of shape (n,), float64
        Added to each product.
    """

    def __init__(self, vectors, offset):
        self.directions, self.lengths = UnitRows.of(vectors)
        self.offset = offset

    @staticmethod
    def bytes_needed(n, width):
        """Bytes that so many items take."""
        return (4 * padded(width) + 16) * n

    @property
    def nbytes(self):
        """Bytes of all."""
        return self.directions.nbytes + self.lengths.nbytes + self.offset.nbytes

    def __len__(self):
        return len(self.lengths)

    def log_sum_of_zeros(self):
        """Log of the sum over zero vectors, which is the same for all queries."""
        return logsumexp(np.append(self.offset[self.lengths == 0], -np.inf))

    def cosines(self, queries, indptr, ids, n_threads):
        """Cosine of each query with the items of its own, in CSR order."""
        cosines = np.empty(len(ids), dtype=np.float32)
        indptr = indptr.astype(np.int32)
        _rows.score(queries.directions, self.directions, indptr, ids, cosines, n_threads)
        return cosines

    def logits(self, cosines, queries, indptr, ids):
        """Logits at these cosines, in float64."""
        logits = cosines * self.lengths[ids]
        logits *= np.repeat(queries.lengths, np.diff(indptr))
        logits += self.offset[ids]
        return logits

    def blocks(self, n_queries):
        """Slices of queries to work on at a time."""
        size = int(np.clip(BLOCK_ENTRIES // len(self), 1, BLOCK_QUERIES))
        return list(gen_batches(n_queries, size))

    def log_partition(self, queries, n_threads):
        """Log of the sum over all items for each query, from float32 products."""
        n, blocks = len(self), self.blocks(len(queries.lengths))
        most = max(rows.stop - rows.start for rows in blocks)
        require_bytes(8 * most * padded(n), f"The products of {most:,} queries with {n:,} items")
        products = np.empty((most, padded(n)), dtype=np.float32)
        lengths, offset = self.lengths.astype(np.float32), self.offset.astype(np.float32)
        result = np.empty(len(queries.lengths))
        for rows in blocks:
            logits = products[: rows.stop - rows.start]
            _products.product_nt(queries.directions[rows], self.directions, n, logits, n_threads)
            logits = logits[:, :n]
            logits *= lengths
            logits *= queries.lengths[rows, None].astype(np.float32)
            logits += offset
            peak = logits.max(axis=1)
            np.exp(np.subtract(logits, peak[:, None], out=logits), out=logits)
            result[rows] = peak + np.log(logits.sum(axis=1, dtype=np.float64))
        return result


class Sums:
    """Estimates of the sum over all items from a few of each query's own, as logarithms.

    Parameters
    ----------
    items : Items
        All items.

    queries : UnitRows
        The queries.

    found : tuple of ndarray
        (indptr, ids): the distinct items that each query has retrieved.

    n_threads : int
        OpenMP threads.
    """

    def __init__(self, items, queries, found, n_threads):
        self.items = items
        self.queries = queries
        self.indptr, self.ids = found
        self.n_threads = n_threads

    def importance(self, probability):
        """Retrieved items, each over its probability to be, a function of cosines."""
        cosines, logits = self._scored(self.indptr, self.ids)
        logits -= np.log(probability(cosines))
        # zero vectors are never retrieved
        return np.logaddexp(log_sum_exp(logits, self.indptr), self.items.log_sum_of_zeros())

    def mixed(self, probability, n_uniform, seed):
        """Retrieved items and draws from all, each over its probability to be either."""
        n, n_head = len(self.items), np.diff(self.indptr)
        # how many of n_uniform draws from all are not retrieved: where those fall is uniform
        n_tail = np.random.default_rng(seed).hypergeometric(n - n_head, n_head, n_uniform)
        indptr, ids = self._with_tail(n_tail, seed)
        cosines, logits = self._scored(indptr, ids)
        has_angle = np.repeat(self.queries.lengths > 0, np.diff(indptr))
        has_angle &= self.items.lengths[ids] > 0
        missed = (1 - probability(cosines) * has_angle) * (1 - n_uniform / n)
        return log_sum_exp(logits - np.log1p(-missed), indptr)

    def head_tail(self, n_uniform, seed):
        """Retrieved items as they are, draws from the others by how many each stands for."""
        n_head = np.diff(self.indptr)
        n_rest = len(self.items) - n_head
        n_tail = np.minimum(n_rest, n_uniform)
        indptr, ids = self._with_tail(n_tail, seed)
        log_weights = np.zeros((len(n_head), 2))  # of head and tail
        log_weights[:, 1] = np.log(np.maximum(n_rest, 1) / np.maximum(n_tail, 1))
        sizes = np.column_stack([n_head, n_tail])
        _, logits = self._scored(indptr, ids)
        return log_sum_exp(logits + np.repeat(log_weights, sizes.ravel()), indptr)

    def _with_tail(self, n_tail, seed):
        """Retrieved items and after them uniform draws from the others, as (indptr, ids)."""
        n = len(n_tail)
        starts = np.concatenate([[0], np.cumsum(np.diff(self.indptr) + n_tail)])
        require_bytes(48 * int(starts[-1]), f"The {starts[-1]:,} items looked at by {n:,} queries")
        starts = starts.astype(np.int32)
        ids = np.empty(starts[-1], dtype=np.int32)
        n_head, no_codes = np.empty(n, dtype=np.int32), np.empty((n, 0), dtype=np.int32)
        _active_sets.draw_sets(
            self.indptr.astype(np.int32), self.ids, no_codes, NO_TABLES, NO_TABLES,
            len(self.items), 0, 0, seed, starts, ids, n_head, self.n_threads,
        )  # fmt: skip
        return starts, ids

    def _scored(self, indptr, ids):
        cosines = self.items.cosines(self.queries, indptr, ids, self.n_threads)
        return cosines, self.items.logits(cosines, self.queries, indptr, ids)


def nothing_found(queries):
    """(indptr, ids) of queries that have retrieved nothing."""
    return np.zeros(len(queries.lengths) + 1, dtype=np.intp), np.zeros(0, dtype=np.int32)


def log_sum_exp(values, indptr):
    """Log of the sum of exp of each ragged row values[indptr[i]:indptr[i + 1]]."""
    result = np.full(len(indptr) - 1, -np.inf)
    sizes = np.diff(indptr)
    filled = sizes > 0
    if filled.any():
        starts = indptr[:-1][filled]
        peak = np.maximum.reduceat(values, starts)
        terms = np.exp(values - np.repeat(peak, sizes[filled]))
        result[filled] = peak + np.log(np.add.reduceat(terms, starts))
    return result
