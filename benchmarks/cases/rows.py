"""Kernels on scattered rows: read, updated, sorted into columns, hashed."""

import numpy as np
import scipy.sparse as sp
from roofline import Work
from scipy.linalg import hadamard

from cases.base import FLOAT, KERNELS, Case, in_turn, kernel, normal
from sklsh._batches import Columns
from sklsh._hashing import make_hasher
from sklsh._kernels import _rows
from sklsh._memory import aligned_zeros
from sklsh.optimizers import Adam, Parameter


def mean_counts(batches):
    """Mean number of distinct features of a batch, and of its entries."""
    n_features = np.mean([len(np.unique(X.indices)) for X in batches])
    return n_features, np.mean([X.nnz for X in batches])


# ---- scattered rows ----


@kernel("gather rows")
def gather_rows(sizes, random):
    """Copy of candidate rows."""
    table = normal(random, sizes.n_classes, sizes.width)
    ids = in_turn(sizes.candidate_sets(random))
    out, taken = (aligned_zeros((sizes.candidates, sizes.width)) for _ in range(2))

    def ours(i):
        _rows.gather_rows(table, ids(i), out, 1)
        return out

    def rival(i):
        return np.take(table, ids(i), axis=0, out=taken, mode="clip")

    shape = f"{sizes.candidates:,} of {sizes.n_classes:,} rows"
    return Case(shape, ours, rival, Work(read=out.nbytes))


@kernel("embed")
def embed(sizes, random):
    """Sums of embedding rows."""
    batches, bias = sizes.batches(), normal(random, 1, sizes.width)[0]
    table, batch = normal(random, sizes.n_features, sizes.width), in_turn(batches)
    out = aligned_zeros((sizes.batch, sizes.width))

    def ours(i):
        X = batch(i)
        _rows.embed(X.indptr, X.indices, X.data, table, bias, out, 1)
        return out

    n, entries = mean_counts(batches)
    work = Work(2 * entries * sizes.width, read=n * sizes.width * FLOAT)
    return Case(f"{entries:,.0f} entries", ours, lambda i: batch(i) @ table + bias, work)


@kernel("score")
def score(sizes, random):
    """Logits of each row's own classes."""
    hidden = normal(random, sizes.batch, sizes.width)
    table = normal(random, sizes.n_classes, sizes.width)
    n = sizes.batch * sizes.hits
    starts = np.arange(0, n + 1, sizes.hits, dtype=np.int32)
    drawn = random.integers(0, sizes.n_classes, (sizes.n_turns, n), dtype=np.int32)
    ids, rows = in_turn(drawn), np.repeat(np.arange(sizes.batch), sizes.hits)
    out = np.empty(n, dtype=np.float32)

    def ours(i):
        _rows.score(hidden, table, starts, ids(i), out, 1)
        return out

    def rival(i):
        return np.einsum("ij,ij->i", hidden[rows], table[ids(i)])

    distinct = np.mean([len(np.unique(each)) for each in drawn])
    work = Work(2 * n * sizes.width, read=distinct * sizes.width * FLOAT)
    return Case(f"{sizes.batch} rows, {sizes.hits} classes each", ours, rival, work)


# ---- updates ----


class NumpyAdam:
    """Adam on rows of a parameter's copy, as NumPy does it."""

    def __init__(self, adam, parameter):
        self.adam = adam
        arrays = (parameter.weights, *parameter.slots)
        self.weights, self.mean, self.square = (array.copy() for array in arrays)
        self.t = 0

    def step(self, rows, gradient, rate):
        """Update rows."""
        self.t += 1
        beta_1, beta_2 = self.adam.beta_1, self.adam.beta_2
        rate *= np.sqrt(1 - beta_2**self.t) / (1 - beta_1**self.t)
        mean, square, now = gradient, self.square[rows], gradient * gradient
        if beta_1:
            mean = self.mean[rows]
            mean += np.float32(1 - beta_1) * (gradient - mean)
            self.mean[rows] = mean
        if self.adam.second_moment == "row":
            now = now.mean(axis=1, keepdims=True)
        square += np.float32(1 - beta_2) * (now - square)
        self.square[rows] = square
        epsilon = np.float32(self.adam.epsilon)
        self.weights[rows] -= np.float32(rate) * mean / (np.sqrt(square) + epsilon)


RATE = 1e-3
SEEN = 8  # updated rows that are compared


def bytes_updated(parameter, n):
    """Read and written of n rows, weights and state."""
    arrays = (parameter.weights, *parameter.slots)
    return 2 * n * sum(array.shape[1] * FLOAT for array in arrays)


def update_of_rows(adam, sizes, random):
    """Update of candidate rows."""
    parameter = Parameter(normal(random, sizes.n_classes, sizes.width), adam)
    ids, numpy = in_turn(sizes.candidate_sets(random)), NumpyAdam(adam, parameter)
    gradient = normal(random, sizes.candidates, sizes.width)

    def ours(i):
        adam.begin_step(RATE)
        adam.step(parameter, ids(i), gradient)
        return parameter.weights[ids(i)[:SEEN]]

    def rival(i):
        numpy.step(ids(i), gradient, RATE)
        return numpy.weights[ids(i)[:SEEN]]

    shape = f"{sizes.candidates:,} of {sizes.n_classes:,} rows"
    return Case(shape, ours, rival, Work(rewritten=bytes_updated(parameter, sizes.candidates)))


def update_of_embedding(adam, sizes, random):
    """Gradient and update of the embedding of a batch's features."""
    parameter = Parameter(normal(random, sizes.n_features, sizes.width), adam)
    numpy = NumpyAdam(adam, parameter)
    batches, delta = sizes.batches(), normal(random, sizes.batch, sizes.width)
    columns = [Columns(sizes.n_features).of(X.indptr, X.indices, X.data) for X in batches]
    transposed = [
        sp.csr_array((values, rows, starts[: len(ids) + 1]), shape=(len(ids), sizes.batch))
        for ids, starts, rows, values in columns
    ]
    batch, by_feature = in_turn(columns), in_turn(transposed)

    def ours(i):
        adam.begin_step(RATE)
        adam.step_embedding(parameter, batch(i), delta)
        return parameter.weights[batch(i)[0][:SEEN]]

    def rival(i):
        features = batch(i)[0]
        numpy.step(features, by_feature(i) @ delta, RATE)
        return numpy.weights[features[:SEEN]]

    n, entries = mean_counts(batches)
    work = Work(2 * entries * sizes.width, rewritten=bytes_updated(parameter, n))
    return Case(f"{n:,.0f} of {sizes.n_features:,} rows", ours, rival, work)


def row_adam():
    """No first moment, one second moment a row."""
    return Adam(beta_1=0, second_moment="row")


KERNELS |= {
    "Adam, rows": lambda *data: update_of_rows(Adam(), *data),
    "Adam, embedding": lambda *data: update_of_embedding(Adam(), *data),
    "Adam by row, rows": lambda *data: update_of_rows(row_adam(), *data),
    "Adam by row, embedding": lambda *data: update_of_embedding(row_adam(), *data),
}


# ---- batches and codes ----


@kernel("transpose batch")
def transpose_batch(sizes, random):
    """Columns of a batch; returns how many values each has."""
    batches, columns = sizes.batches(), Columns(sizes.n_features)
    batch = in_turn(batches)

    def ours(i):
        X = batch(i)
        features, starts, _, _ = columns.of(X.indptr, X.indices, X.data)
        return np.diff(starts[: len(features) + 1])

    def rival(i):
        X = batch(i)
        features, places = np.unique(X.indices, return_inverse=True)
        shape = X.shape[0], len(features)
        return np.diff(sp.csr_array((X.data, places, X.indptr), shape=shape).tocsc().indptr)

    _, entries = mean_counts(batches)
    work = Work(read=2 * FLOAT * entries)
    return Case(f"{entries:,.0f} entries", ours, rival, work, compared=np.sort)


@kernel("simhash")
def simhash(sizes, random):
    """Codes of rows."""
    n, n_bits, n_tables = 16 * sizes.batch, 14, 8
    hasher = make_hasher("simhash", sizes.width, n_bits, n_tables, np.random.RandomState(0))
    vectors = in_turn([normal(random, n, sizes.width) for _ in range(8)])
    transform = hadamard(hasher.signs.shape[2], dtype=np.float32)
    planes = np.vstack([transform * second @ (transform * first) for first, second in hasher.signs])
    planes = planes[: n_bits * n_tables, : sizes.width].T.copy()
    powers = 2 ** np.arange(n_bits, dtype=np.float32)

    def rival(i):
        negative = (vectors(i) @ planes < 0).astype(np.float32)
        return negative.reshape(n, n_tables, n_bits) @ powers

    padded = hasher.signs.shape[2]
    operations = n * len(hasher.signs) * 2 * padded * np.log2(padded)
    work = Work(operations, read=n * sizes.width * FLOAT)
    shape = f"{n:,} rows, {n_bits * n_tables} bits"
    return Case(shape, lambda i: hasher.codes(vectors(i)), rival, work)
