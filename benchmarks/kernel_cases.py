"""What benchmarks/kernels.py times: each kernel on data, and NumPy or SciPy doing the same.

Sizes are those of a training step of a network with one hidden layer. Every turn sees rows
of its own, so that what is large comes from memory.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from roofline import SOFTMAX_OPERATIONS, Work
from scipy.linalg import hadamard

from sklsh._batches import Columns
from sklsh._hashing import make_hasher
from sklsh._kernels import _losses, _products, _rows
from sklsh._memory import aligned_zeros
from sklsh._output import OutputLayer
from sklsh.datasets import make_xmc_classification
from sklsh.optimizers import Adam, Parameter, make_optimizer

FLOAT = 4  # bytes
KERNELS = {}  # name: function of (sizes, random) that makes a Case


@dataclass
class Sizes:
    """Rows of the tables, of a batch, of its candidates; and how many turns differ."""

    n_features: int = 135_909
    n_classes: int = 131_072
    batch: int = 256
    width: int = 128
    candidates: int = 3072
    hits: int = 64
    n_turns: int = 16

    def batches(self):
        """CSR batches of synthetic rows."""
        X, _ = make_xmc_classification(
            self.n_turns * self.batch, self.n_features, 100, noise=0.65, random_state=0
        )
        return [X[i : i + self.batch] for i in range(0, X.shape[0], self.batch)]

    def candidate_sets(self, random):
        """Distinct classes."""
        order = [random.permutation(self.n_classes) for _ in range(2 * self.n_turns)]
        return [ids[: self.candidates].astype(np.int32) for ids in order]


@dataclass
class Case:
    """A kernel on data.

    Attributes
    ----------
    shape : str
        What it works on.

    ours, rival : callable
        Both take a turn's number, which chooses the rows, and return the same.

    work : roofline.Work
        What has to be done.

    compared : callable
        What of the results is the same.
    """

    shape: str
    ours: object
    rival: object
    work: Work
    compared: object = np.asarray


def kernel(name):
    """Enter the decorated function under a name."""
    return lambda make: KERNELS.setdefault(name, make)


def normal(random, *shape):
    """Aligned float32 matrix."""
    matrix = aligned_zeros(shape)
    random.standard_normal(out=matrix, dtype=np.float32)
    return matrix


def in_turn(items):
    """Function that returns items[i], over and over."""
    return lambda i: items[i % len(items)]


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


ADAMS = {
    "Adam": Adam(),
    "row-wise Adam": Adam(second_moment="row"),
    "row-wise Adam, beta_1 0": Adam(beta_1=0, second_moment="row"),
}
RATE = 1e-3


class NumpyAdam:
    """Adam on rows of a parameter's copy, as NumPy does it."""

    def __init__(self, parameter, adam):
        arrays = (parameter.weights, *parameter.slots)
        self.weights, self.mean, self.square = (array.copy() for array in arrays)
        self.adam, self.t = adam, 0

    def step(self, rows, gradient, rate):
        """Update rows."""
        self.t += 1
        beta_1, beta_2 = self.adam.beta_1, self.adam.beta_2
        rate *= np.sqrt(1 - beta_2**self.t) / (1 - beta_1**self.t)
        mean, square, new = gradient, self.square[rows], gradient * gradient
        if self.adam.second_moment == "row":
            new = new.mean(axis=1, keepdims=True)
        square += np.float32(1 - beta_2) * (new - square)
        self.square[rows] = square
        if beta_1:
            mean = self.mean[rows]
            mean += np.float32(1 - beta_1) * (gradient - mean)
            self.mean[rows] = mean
        self.weights[rows] -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


def bytes_a_row(adam, width):
    """Bytes of a row's weights and state, read and written."""
    return 2 * FLOAT * (width + sum(adam.slot_widths(width)))


def adam_on_rows(adam, sizes, random):
    """Update of candidate rows; returns a few of them."""
    parameter = Parameter(normal(random, sizes.n_classes, sizes.width), adam)
    ids, numpy = in_turn(sizes.candidate_sets(random)), NumpyAdam(parameter, adam)
    gradient = normal(random, sizes.candidates, sizes.width)
    adam = make_optimizer(adam)

    def ours(i):
        adam.begin_step(RATE)
        adam.step(parameter, ids(i), gradient)
        return parameter.weights[ids(i)[:8]]

    def rival(i):
        numpy.step(ids(i), gradient, RATE)
        return numpy.weights[ids(i)[:8]]

    work = Work(rewritten=sizes.candidates * bytes_a_row(adam, sizes.width))
    return Case(f"{sizes.candidates:,} of {sizes.n_classes:,} rows", ours, rival, work)


def adam_on_embedding(adam, sizes, random):
    """Gradient and update of the embedding of a batch's features; returns a few."""
    parameter = Parameter(normal(random, sizes.n_features, sizes.width), adam)
    adam, numpy = make_optimizer(adam), NumpyAdam(parameter, adam)
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
        return parameter.weights[batch(i)[0][:8]]

    def rival(i):
        features = batch(i)[0]
        numpy.step(features, by_feature(i) @ delta, RATE)
        return numpy.weights[features[:8]]

    n, entries = mean_counts(batches)
    work = Work(2 * entries * sizes.width, rewritten=n * bytes_a_row(adam, sizes.width))
    return Case(f"{n:,.0f} of {sizes.n_features:,} rows", ours, rival, work)


for _name, _adam in ADAMS.items():
    kernel(f"{_name}, rows")(partial(adam_on_rows, _adam))
    kernel(f"{_name}, embedding")(partial(adam_on_embedding, _adam))


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


# ---- products, and what is made of them ----


def product_case(sizes, ours, rival):
    """Case of one of a step's three products."""
    shape = f"{sizes.batch} x {sizes.width} x {sizes.candidates:,}"
    return Case(shape, ours, rival, Work(2 * sizes.batch * sizes.width * sizes.candidates))


@kernel("product, logits")
def product_nt(sizes, random):
    """Logits of the candidates."""
    hidden = normal(random, sizes.batch, sizes.width)
    rows = normal(random, sizes.candidates, sizes.width)
    out = aligned_zeros((sizes.batch, sizes.candidates))

    def ours(i):
        _products.product_nt(hidden, rows, sizes.candidates, out, 1)
        return out

    return product_case(sizes, ours, lambda i: hidden @ rows.T)


@kernel("product, hidden gradient")
def product_nn(sizes, random):
    """Gradient by the activations."""
    delta = normal(random, sizes.batch, sizes.candidates)
    rows = normal(random, sizes.candidates, sizes.width)
    out = aligned_zeros((sizes.batch, sizes.width))

    def ours(i):
        _products.product_nn(delta, rows, sizes.candidates, out, 1)
        return out

    return product_case(sizes, ours, lambda i: delta @ rows)


@kernel("product, output gradient")
def product_tn(sizes, random):
    """Gradient by the candidates' rows."""
    delta = normal(random, sizes.batch, sizes.candidates)
    hidden = normal(random, sizes.batch, sizes.width)
    out = aligned_zeros((sizes.candidates, sizes.width))

    def ours(i):
        _products.product_tn(delta, hidden, sizes.candidates, out, 1)
        return out

    return product_case(sizes, ours, lambda i: delta.T @ hidden)


@kernel("softmax")
def softmax(sizes, random):
    """Gradient of the loss by the logits, in place of them; one label a row."""
    n, n_classes = sizes.batch, sizes.candidates
    logits, offset = normal(random, n, n_classes), normal(random, 1, n_classes)[0]
    mine, its = logits.copy(), logits.copy()
    starts, labels = np.arange(n + 1, dtype=np.int32), np.arange(n, dtype=np.int32) % n_classes
    ones, (loss, log_partition) = np.ones(n, dtype=np.float32), np.empty((2, n))

    def ours(i):
        _losses.softmax_loss(mine, offset, starts, labels, ones, ones, loss, log_partition, 1)
        return mine

    def rival(i):
        np.add(its, offset, out=its)
        np.subtract(its, its.max(axis=1, keepdims=True), out=its)
        np.exp(its, out=its)
        np.divide(its, its.sum(axis=1, keepdims=True), out=its)
        its[np.arange(n), labels] -= 1
        return its

    work = Work(SOFTMAX_OPERATIONS * logits.size)
    return Case(f"{n} x {n_classes:,}", ours, rival, work)


@kernel("top 5")
def top_k(sizes, random):
    """Largest logits of each row among all classes."""
    k, hidden = 5, normal(random, sizes.batch, sizes.width)
    layer = OutputLayer(sizes.n_classes, sizes.width)
    layer.weights[...] = normal(random, sizes.n_classes, sizes.width)

    def rival(i):
        logits = hidden @ layer.weights.T
        logits += layer.bias
        best = np.argpartition(logits, -k, axis=1)[:, -k:]
        return np.sort(np.take_along_axis(logits, best, axis=1), axis=1)[:, ::-1]

    work = Work(2 * len(hidden) * layer.weights.size, read=layer.weights.nbytes)
    shape = f"{len(hidden)} rows, {sizes.n_classes:,} classes"
    return Case(shape, lambda i: layer.top_k(hidden, k, 1)[1], rival, work)
