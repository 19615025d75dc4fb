"""Sums of exp(query . item + offset) over items: over all, and over a head and a uniform tail."""

import functools

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from sklsh._kernels import _active_sets, _products, _rows
from sklsh._memory import padded, require_bytes
from sklsh._top_k import top_k

BLOCK_ENTRIES = 1 << 23  # queries times items worked on at a time, where those are all items
SET_ENTRIES = 1 << 21  # the same where each query has items of its own
BLOCK_QUERIES = 256
NO_TABLES = np.zeros((0, 1), dtype=np.int32)


class Items:
    """Vectors and offsets, whose products with queries are the logits.

    Queries are rows of the same width, (n_queries, padded width) float32.

    Parameters
    ----------
    weights : ndarray of shape (n, padded width), float32 or bits of bfloat16
        The vectors; not copied.

    offset : ndarray of shape (n,), float32 or float64
        Added to each product.
    """

    def __init__(self, weights, offset):
        self.weights = weights
        self.offset = offset

    @staticmethod
    def bytes_needed(n, width):
        """Bytes that so many items of float32 take, with their lengths."""
        return (4 * padded(width) + 16) * n

    @property
    def nbytes(self):
        """Bytes of all."""
        return self.weights.nbytes + self.offset.nbytes + self.lengths.nbytes

    @functools.cached_property
    def lengths(self):
        """Lengths of float32 vectors, (n,) float64; what has to do with angles asks for them."""
        return row_lengths(self.weights)

    def __len__(self):
        return len(self.weights)

    def products(self, rows, indptr, ids, n_threads):
        """Product of each query with the items of its own, float32 in CSR order."""
        products = np.empty(len(ids), dtype=np.float32)
        _rows.score(rows, self.weights, indptr.astype(np.int32), ids, products, n_threads)
        return products

    def logits(self, rows, indptr, ids, n_threads):
        """The same with the offsets added, float64."""
        return self.products(rows, indptr, ids, n_threads) + self.offset[ids].astype(np.float64)

    def best(self, rows, k, n_threads):
        """The k items of largest logit of each query, as (indptr, ids)."""
        n = len(rows)
        require_bytes(
            8 * n * k + 48 * len(self),
            f"Finding the {k:,} best of {len(self):,} items for {n:,} queries",
        )
        ids, _ = top_k(rows, self.weights, self.offset.astype(np.float32), k, n_threads)
        return k * np.arange(n + 1), ids.ravel()

    def blocks(self, n_queries):
        """Slices of queries to work on at a time."""
        size = int(np.clip(BLOCK_ENTRIES // len(self), 1, BLOCK_QUERIES))
        return list(gen_batches(n_queries, size))

    def log_partition(self, rows, n_threads):
        """Log of the sum over all items for each query, from float32 products."""
        n, blocks = len(self), self.blocks(len(rows))
        most = max(block.stop - block.start for block in blocks)
        require_bytes(8 * most * padded(n), f"The products of {most:,} queries with {n:,} items")
        products = np.empty((most, padded(n)), dtype=np.float32)
        offset = self.offset.astype(np.float32)
        result = np.empty(len(rows))
        for block in blocks:
            logits = products[: block.stop - block.start]
            _products.product_nt(rows[block], self.weights, n, logits, n_threads)
            logits = logits[:, :n]
            logits += offset
            peak = logits.max(axis=1)
            np.exp(np.subtract(logits, peak[:, None], out=logits), out=logits)
            result[block] = peak + np.log(logits.sum(axis=1, dtype=np.float64))
        return result

    def best_and_tail(self, rows, n_head, n_uniform, seed, n_threads):
        """Log of the sum over the best items, plus an estimate of that over the others.

        No head leaves the uniform draws. Seeds grow by one from query to query, so that the
        next queries begin at ``seed + len(rows)``.
        """
        result = np.empty(len(rows))
        for block in gen_batches(len(rows), max(1, SET_ENTRIES // (n_head + n_uniform))):
            part = rows[block]
            head = self.best(part, n_head, n_threads) if n_head else nothing_found(len(part))
            tail = n_uniform, seed + block.start, n_threads
            result[block] = self.head_and_tail(part, head, *tail)
        return result

    def head_and_tail(self, rows, head, n_uniform, seed, n_threads):
        """The same for a block of queries and their heads, any (indptr, ids)."""
        n_head = np.diff(head[0])
        n_rest = len(self) - n_head
        n_tail = np.minimum(n_rest, n_uniform)
        indptr, ids = with_tail(head, n_tail, len(self), seed, n_threads)
        log_weights = np.zeros((len(n_head), 2))  # of head and tail
        log_weights[:, 1] = np.log(np.maximum(n_rest, 1) / np.maximum(n_tail, 1))
        sizes = np.column_stack([n_head, n_tail])
        logits = self.logits(rows, indptr, ids, n_threads)
        return log_sum_exp(logits + np.repeat(log_weights, sizes.ravel()), indptr)

    def log_sum_of_zeros(self):
        """Log of the sum over zero vectors, which is the same for all queries."""
        return logsumexp(np.append(self.offset[self.lengths == 0], -np.inf))


def with_tail(head, n_tail, n_items, seed, n_threads):
    """Each query's head and after it uniform draws from the other items, as (indptr, ids)."""
    indptr, head_ids = head
    n = len(n_tail)
    starts = np.concatenate([[0], np.cumsum(np.diff(indptr) + n_tail)])
    require_bytes(48 * int(starts[-1]), f"The {starts[-1]:,} items looked at by {n:,} queries")
    starts = starts.astype(np.int32)
    ids = np.empty(starts[-1], dtype=np.int32)
    n_head, no_codes = np.empty(n, dtype=np.int32), np.empty((n, 0), dtype=np.int32)
    _active_sets.draw_sets(
        indptr.astype(np.int32), head_ids, no_codes, NO_TABLES, NO_TABLES, n_items, 0, 0, seed,
        starts, ids, n_head, n_threads,
    )  # fmt: skip
    return starts, ids


def nothing_found(n):
    """(indptr, ids) of so many queries that have no items."""
    return np.zeros(n + 1, dtype=np.intp), np.zeros(0, dtype=np.int32)


def row_lengths(rows):
    """Euclidean length of each float32 row, in float64."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))


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
