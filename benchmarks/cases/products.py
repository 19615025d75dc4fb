"""Kernels on dense logits: the products of a step, the softmax, the largest."""

import numpy as np
from roofline import SOFTMAX_OPERATIONS, Work

from cases.base import Case, kernel, normal
from sklsh._kernels import _int8, _losses, _products
from sklsh._memory import aligned_zeros
from sklsh._output import OutputLayer
from sklsh.optimizers import Adam


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


@kernel("int8 step")
def int8_step(sizes, random):
    """The three products, the softmax and the update in one, of 8-bit integers; returns d_rows.

    That is the first moment of an Adam that forgets at once. Its rate is 0.
    """
    m, n = sizes.batch, sizes.candidates
    hidden = np.maximum(normal(random, m, sizes.width), 0)
    rows = normal(random, n, sizes.width)
    rows *= 0.05
    ids = np.arange(n, dtype=np.int32)
    shift, no_weight = np.zeros(n, dtype=np.float32), np.zeros(0, dtype=np.float32)
    starts, labels = np.arange(m + 1, dtype=np.int32), np.arange(m, dtype=np.int32) % n
    ones = np.ones(m, dtype=np.float32)
    scratch = aligned_zeros(_int8.scratch_bytes(m, n, sizes.width, 1), np.int8)
    adam = Adam(second_moment="row").rule, np.array([0, 1, 0, 1, 1], dtype=np.float32)
    d_hidden, d_rows = aligned_zeros(hidden.shape), aligned_zeros(rows.shape)
    bias, d_bias, moment, bias_moment = np.zeros((4, n, 1), dtype=np.float32)
    loss, log_partition = np.empty((2, m))

    def ours(i):
        _int8.step(
            *adam, i, rows, d_rows, moment, *adam, i, bias, d_bias, bias_moment,
            hidden, ids, shift, no_weight, starts, labels, ones, ones, scratch,
            d_hidden, loss, log_partition, 1,
        )  # fmt: skip
        return d_rows

    def rival(i):
        delta = hidden @ rows.T
        delta -= delta.max(axis=1, keepdims=True)
        np.exp(delta, out=delta)
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(m), labels] -= 1
        np.matmul(delta, rows, out=d_hidden)
        return delta.T @ hidden

    work = Work(6 * m * n * sizes.width)
    shape = f"{m} x {sizes.width} x {n:,}, three products"
    return Case(shape, ours, rival, work, tolerance=0.02, precision="int8")


@kernel("top 5")
def top_k(sizes, random):
    """Largest logits of each row among all classes."""
    k, hidden = 5, normal(random, sizes.batch, sizes.width)
    layer = OutputLayer(sizes.n_classes, sizes.width)
    layer.weights[...] = normal(random, sizes.n_classes, sizes.width)

    def ours(i):
        return layer.top_k(hidden, k, 1)[1]

    def rival(i):
        logits = hidden @ layer.weights.T
        logits += layer.bias
        best = np.argpartition(logits, -k, axis=1)[:, -k:]
        return np.sort(np.take_along_axis(logits, best, axis=1), axis=1)[:, ::-1]

    work = Work(2 * len(hidden) * layer.weights.size, read=layer.weights.nbytes)
    shape = f"{len(hidden)} rows, {sizes.n_classes:,} classes"
    return Case(shape, ours, rival, work, precision="int8")  # codes rule most classes out
