"""Tests of the network and its training step."""

import pickle

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp

from sklsh._batches import as_batch
from sklsh._network import Network
from sklsh.negatives import (
    Candidates,
    Drawn,
    Full,
    InBatch,
    RowCandidates,
    RowLSH,
    RowUniform,
)
from sklsh.optimizers import SGD, Adam

N_FEATURES, N_CLASSES, N_ROWS = 30, 70, 9
SIZES = [(16,), (21,), (19, 33), (5, 40, 7)]


class Fixed:
    """Sampler that always draws the same candidates, weighted and shifted at random."""

    def draw(self, hidden, Y, output):
        first, positions = np.unique(Y.indices, return_inverse=True)
        others = np.setdiff1d(np.arange(N_CLASSES), first)[::3]
        ids = np.concatenate([first, others]).astype(np.int32)
        weights, shift = at_random(len(ids))
        weights[: len(first)] = 1
        return Candidates(ids, positions.astype(np.int32), len(first), weights, shift)

    def refresh(self, output, ids):
        pass


class FixedRows(Fixed):
    """The same with candidates of each row's own: its labels, then a few to many others."""

    def draw(self, hidden, Y, output):
        rng = np.random.RandomState(0)
        labels = np.split(Y.indices, Y.indptr[1:-1])
        others = [np.setdiff1d(rng.permutation(N_CLASSES)[: 8 * i + 2], y)
                  for i, y in enumerate(labels)]  # fmt: skip
        rows = [np.concatenate(pair) for pair in zip(labels, others, strict=True)]
        positions = np.concatenate([np.arange(len(y)) for y in labels]).astype(np.int32)
        starts = np.cumsum([0, *map(len, rows)], dtype=np.int32)
        ids = np.concatenate(rows).astype(np.int32)
        weights, shift = at_random(len(ids))
        weights[np.repeat(starts[:-1], np.diff(Y.indptr)) + positions] = 1
        return RowCandidates(starts, ids, positions, weights, shift)


def at_random(n):
    """Weights and shifts of n candidates."""
    rng = np.random.RandomState(0)
    weights = rng.uniform(1, 5, size=n).astype(np.float32)
    return weights, rng.normal(size=n).astype(np.float32)


def row_sampler(kind, correction="none", n_active=10):
    """Sampler that draws for each row its own classes."""
    tables = {
        "width": 7, "hash_family": "simhash", "n_bits": 2, "n_tables": 3, "bucket_size": 6,
        "rehash_every": 1, "rehash_growth": 1,
    }  # fmt: skip
    settings = tables if kind is RowLSH else {}
    return kind(N_CLASSES, correction, n_active=n_active, seed=0, **settings)


def make_network(sizes=(19, 33), optimizer=None, loss="softmax"):
    """Network whose output layer and biases are random too."""
    optimizer = optimizer or SGD()
    network = Network(
        N_FEATURES, N_CLASSES, sizes, optimizer=optimizer, random_state=np.random.RandomState(0)
    )
    network.output.loss = loss
    rng = np.random.RandomState(1)
    for coef, bias in zip(network.coefs, network.intercepts, strict=True):
        coef[:] = rng.normal(size=coef.shape) / np.sqrt(coef.shape[0])
        bias[:] = 0.3 * rng.normal(size=bias.shape)
    return network


def batch():
    """Rows, labels and row weights; row 2 has no features, row 4 no labels."""
    rng = np.random.RandomState(2)
    X = (rng.rand(N_ROWS, N_FEATURES) < 0.3) * rng.normal(size=(N_ROWS, N_FEATURES))
    Y = rng.rand(N_ROWS, N_CLASSES) < 0.05
    X[2], Y[4] = 0, False
    weight = rng.uniform(0.2, 1, size=N_ROWS).astype(np.float32)
    return sp.csr_array(X.astype(np.float32)), sp.csr_array(Y.astype(np.uint8)), weight


def float64(arrays):
    return [np.array(a, dtype=np.float64) for a in arrays]


def candidate_matrix(drawn):
    """(whether looked at, weight, shift) of each class in each row."""
    looked_at, weight, shift = np.zeros((3, N_ROWS, N_CLASSES))
    if isinstance(drawn, RowCandidates):
        where = np.repeat(np.arange(N_ROWS), np.diff(drawn.starts)), drawn.ids
    else:
        where = slice(None), drawn.ids
    looked_at[where], weight[where], shift[where] = 1, drawn.weights, drawn.shift
    return looked_at > 0, weight, shift


def expected_step(network, drawn, Y, factors=None):
    """Loss and gradients of all weights and biases, by the textbook in float64.

    `factors` is what dropout multiplies the activations of each hidden layer by.
    """
    X, _, row_weight = batch()
    coefs, biases = float64(network.coefs), float64(network.intercepts)
    factors = factors or [1] * (len(coefs) - 1)
    activations = [X.toarray().astype(np.float64)]
    for coef, bias, factor in zip(coefs[:-1], biases[:-1], factors, strict=True):
        activations.append(np.maximum(activations[-1] @ coef + bias, 0) * factor)
    looked_at, weight, shift = candidate_matrix(drawn)
    z = activations[-1] @ coefs[-1] + biases[-1] + shift
    label_weight = Y.toarray().astype(np.float64)
    if network.loss == "softmax":
        if isinstance(drawn, RowCandidates):  # a row's labels are in its set for certain
            z -= shift * (label_weight > 0)
        z += np.log(weight, out=np.full(z.shape, -np.inf), where=looked_at)
        log_partition = logsumexp(z, axis=1, keepdims=True)
        loss = label_weight * (log_partition - np.where(looked_at, z, 0))
        delta = label_weight.sum(axis=1, keepdims=True) * np.exp(z - log_partition) - label_weight
    else:
        is_label = label_weight > 0
        scale = weight * np.where(is_label, label_weight, 1)
        loss = scale * (np.logaddexp(0, z) - is_label * z)
        delta = scale * (expit(z) - is_label)
    delta *= row_weight[:, None]

    d_coefs, d_biases = float64(coefs), float64(biases)
    d_coefs[-1], d_biases[-1] = activations[-1].T @ delta, delta.sum(axis=0)
    delta = delta @ coefs[-1].T
    for i in range(len(coefs) - 2, -1, -1):
        delta = delta * (activations[i + 1] > 0) * factors[i]
        d_coefs[i], d_biases[i] = activations[i].T @ delta, delta.sum(axis=0)
        delta = delta @ coefs[i].T
    return (loss.sum(axis=1) * row_weight).sum(), d_coefs, d_biases


@pytest.mark.parametrize("weighted_labels", [False, True], ids=["", "weighted labels"])
@pytest.mark.parametrize(
    "sampler", [Full(N_CLASSES), Fixed(), FixedRows()], ids=["full", "shared", "own"]
)
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradient_equals_the_textbook(sizes, loss, sampler, weighted_labels, simd_level, n_threads):
    network = make_network(sizes, loss=loss)
    network.n_threads = n_threads
    X, Y, row_weight = batch()
    if weighted_labels:
        Y = Y.astype(np.float32)
        Y.data = np.random.RandomState(3).uniform(0.5, 3, size=Y.nnz).astype(np.float32)
    before = float64(network.coefs + network.intercepts)
    drawn = sampler.draw(None, Y, None)
    loss, d_coefs, d_biases = expected_step(network, drawn, Y)

    measured, n_active = network.train_step(X, Y, row_weight, sampler, learning_rate=1.0)
    after = float64(network.coefs + network.intercepts)
    assert n_active == candidate_matrix(drawn)[0].sum() / N_ROWS
    assert_allclose(measured, loss, rtol=1e-5)
    for old, new, gradient in zip(before, after, d_coefs + d_biases, strict=True):
        assert_allclose(old - new, gradient, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradient_of_dropout_equals_the_textbook(sizes, n_threads):
    network, (X, Y, row_weight) = make_network(sizes), batch()
    network.n_threads = n_threads
    before = float64(network.coefs + network.intercepts)
    factors = [  # those of the first step
        reference.unit_factors(N_ROWS, bias.weights.shape[1], 0.4, (bias.seed << 32) + 1)[:, :n]
        for bias, n in zip(network.biases, sizes, strict=True)
    ]
    loss, d_coefs, d_biases = expected_step(network, Fixed().draw(None, Y, None), Y, factors)
    measured, _ = network.train_step(X, Y, row_weight, Fixed(), 1.0, hidden_dropout=0.4)
    after = float64(network.coefs + network.intercepts)
    assert_allclose(measured, loss, rtol=1e-5)
    for old, new, gradient in zip(before, after, d_coefs + d_biases, strict=True):
        assert_allclose(old - new, gradient, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("correction", ["none", "logq", "half_logq", "head_tail"])
@pytest.mark.parametrize("kind", [RowUniform, RowLSH])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_gradient_of_drawn_rows_equals_the_textbook(loss, kind, correction, n_threads):
    network, (X, Y, row_weight) = make_network((19, 7), loss=loss), batch()
    network.n_threads = n_threads
    sampler, twin = (row_sampler(kind, correction) for _ in range(2))
    before = float64(network.coefs + network.intercepts)
    drawn = twin.draw(network.hidden(X), as_batch(Y), network.output)
    loss, d_coefs, d_biases = expected_step(network, drawn, Y)
    assert network.train_step(X, Y, row_weight, sampler, learning_rate=1.0)[0] == pytest.approx(
        loss
    )
    after = float64(network.coefs + network.intercepts)
    for old, new, gradient in zip(before, after, d_coefs + d_biases, strict=True):
        assert_allclose(old - new, gradient, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("correction", ["none", "logq", "half_logq", "head_tail"])
@pytest.mark.parametrize("kind", [RowUniform, RowLSH])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_own_candidates_that_are_all_classes_make_the_full_step(loss, kind, correction):
    X, Y, row_weight = batch()
    own, full = make_network((19, 7), loss=loss), make_network((19, 7), loss=loss)
    losses = [
        own.train_step(X, Y, row_weight, row_sampler(kind, correction, N_CLASSES), 1.0),
        full.train_step(X, Y, row_weight, Full(N_CLASSES), 1.0),
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for a, b in zip(own.coefs + own.intercepts, full.coefs + full.intercepts, strict=True):
        assert_allclose(a, b, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_logits_and_top_k_equal_the_textbook(sizes, simd_level, n_threads):
    network = make_network(sizes)
    network.n_threads = n_threads
    X = batch()[0]
    z = X.toarray().astype(np.float64)
    for coef, bias in zip(network.coefs[:-1], network.intercepts[:-1], strict=True):
        z = np.maximum(z @ coef + bias, 0)
    z = z @ network.coefs[-1] + network.intercepts[-1]
    assert_allclose(network.logits(X), z, rtol=1e-4, atol=1e-5)
    ids, scores = network.top_k(X, 12)
    assert_array_equal(ids, np.argsort(-z, axis=1)[:, :12])
    assert_array_equal(scores, np.take_along_axis(network.logits(X), ids.astype(int), axis=1))


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_padding_stays_zero(loss):
    network = make_network((5, 40, 7), Adam(), loss)
    X, Y, row_weight = batch()
    for _ in range(20):
        network.train_step(X, Y, row_weight, Full(N_CLASSES), learning_rate=0.1)
    padded = [network.embedding, *network.dense, *network.biases, network.output.parameter]
    widths = [5, 40, 7, 5, 40, 7, 7]
    assert all((p.weights[:, n:] == 0).all() for p, n in zip(padded, widths, strict=True))
    assert all((p.weights[n:] == 0).all() for p, n in zip(network.dense, [5, 40], strict=True))


@pytest.mark.parametrize("optimizer", [SGD(), Adam(), Adam(0, second_moment="row")], ids=repr)
def test_step_changes_only_candidates_and_the_features_of_the_batch(optimizer):
    network = make_network((32,), optimizer, loss="logistic")
    X, Y, row_weight = batch()
    embedding, _ = (c.copy() for c in network.coefs)
    output, bias = network.output.weights.copy(), network.output.bias.copy()
    sampler, twin = (Drawn(N_CLASSES, "none", n_active=10, seed=0) for _ in range(2))
    ids = twin.draw(None, Y, None).ids
    network.train_step(X, Y, row_weight, sampler, learning_rate=0.1)

    changed = np.flatnonzero((network.coefs[0] != embedding).any(axis=1))
    assert_array_equal(changed, np.unique(X.indices))
    assert_array_equal(np.flatnonzero(network.output.bias != bias), np.sort(ids))
    moved = np.flatnonzero((network.output.weights != output).any(axis=1))
    assert_array_equal(moved, np.sort(ids))
    assert len(ids) < N_CLASSES and len(changed) < N_FEATURES


def test_batch_without_labels_leaves_a_finite_network():
    network = make_network()
    X, Y, row_weight = batch()
    no_labels = sp.csr_array(Y.shape, dtype=np.uint8)
    loss, _ = network.train_step(X, no_labels, row_weight, InBatch(N_CLASSES, "none"), 0.1)
    assert loss == 0
    assert np.isfinite(network.output.mean_log_partition)
    assert all(np.isfinite(p.weights).all() for p in network.parameters)


def test_switched_bias_sets_the_level_of_the_logits():
    network, (X, Y, row_weight) = make_network(), batch()
    for _ in range(40):
        network.train_step(X, Y, row_weight, Full(N_CLASSES), learning_rate=1e-6)
    network.output.switch_to_logistic(labels_per_row=3.0)
    assert network.loss == "logistic"
    log_partition = np.average(logsumexp(network.logits(X), axis=1), weights=row_weight)
    assert_allclose(log_partition, np.log(3), atol=1e-3)


def test_bias_starts_at_what_gives_the_share():
    network, share = make_network(loss="logistic"), np.linspace(0, 1, N_CLASSES)
    network.output.start_bias_at_prior(share)
    assert_allclose(expit(network.output.bias), share, atol=1e-6)


def test_frozen_network_predicts_as_then_and_does_not_follow():
    network, (X, Y, row_weight) = make_network(optimizer=Adam()), batch()
    frozen, before = network.frozen(), network.logits(X)
    network.train_step(X, Y, row_weight, Full(N_CLASSES), learning_rate=0.1)
    assert_array_equal(frozen.logits(X), before)
    assert not np.array_equal(network.logits(X), before)


def trained_on(network):
    X, Y, row_weight = batch()
    network.make_trainable(n_threads=1)
    for _ in range(3):
        network.train_step(X, Y, row_weight, Full(N_CLASSES), learning_rate=0.1)
    return network.logits(X)


def test_buffers_are_no_part_of_the_pickle():
    network = make_network()
    before = len(pickle.dumps(network))
    trained_on(network)
    assert abs(len(pickle.dumps(network)) - before) < 200


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_batches_get_32_bit_indices(index_dtype):
    X = batch()[0]
    wide = sp.csr_array(
        (X.data, X.indices.astype(index_dtype), X.indptr.astype(index_dtype)), shape=X.shape
    )
    narrow = as_batch(wide)
    assert narrow.indices.dtype == narrow.indptr.dtype == np.int32
    assert_array_equal(narrow.toarray(), X.toarray())
    assert_array_equal(as_batch(X.toarray()).toarray(), X.toarray())


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_order_of_candidates_does_not_matter_where_they_are_all_classes(loss):
    X, Y, row_weight = batch()
    order = np.random.RandomState(0).permutation(N_CLASSES).astype(np.int32)

    class Permuted(Full):
        def draw(self, hidden, Y, output):
            drawn = super().draw(hidden, Y, output)
            drawn.ids, drawn.positions = order, np.argsort(order).astype(np.int32)[Y.indices]
            return drawn

    networks = make_network((19, 7), loss=loss), make_network((19, 7), loss=loss)
    losses = [
        network.train_step(X, Y, row_weight, sampler(N_CLASSES), 1.0)[0]
        for network, sampler in zip(networks, (Full, Permuted), strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(*(n.coefs + n.intercepts for n in networks), strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-6)
