"""The head of the network: lengths, temperatures, and gradients through them."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from test_network import N_CLASSES, N_FEATURES, Fixed, FixedRows, batch, candidate_matrix, float64

from sklsh._head import SHORTEST, Head
from sklsh._network import Network
from sklsh.negatives import Full
from sklsh.optimizers import SGD

HEADS = [Head(), Head(0.5), Head(1.0, True), Head(0.25, True)]
STEP = 1e-6


def differences(function, array, places=None):
    """Gradient of a number by an array at some of its places, by central differences."""
    gradient = np.full_like(array, np.nan)
    for place in np.ndindex(array.shape) if places is None else places:
        before = array[place]
        array[place] = before + STEP
        above = function()
        array[place] = before - STEP
        gradient[place] = (above - function()) / (2 * STEP)
        array[place] = before
    return gradient


def passed(head, hidden):
    """What a head makes of activations, in float64."""
    if head.normalize:
        lengths = np.linalg.norm(hidden, axis=1, keepdims=True)
        hidden = hidden / np.maximum(lengths, SHORTEST)
    return hidden / head.temperature


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_head_divides_by_temperature_and_length(head):
    hidden = np.random.RandomState(0).normal(size=(6, 16)).astype(np.float32)
    hidden[2] = 0
    hidden[3] *= 1e-9  # too short to have a direction
    assert_allclose(head.apply(hidden), passed(head, hidden), rtol=1e-6)
    if head.normalize:
        lengths = np.linalg.norm(head.apply(hidden), axis=1) * head.temperature
        assert_allclose(np.delete(lengths, [2, 3]), 1, rtol=1e-6)
        assert max(lengths[[2, 3]]) < 0.01


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("length", [1, 30, 1e3, SHORTEST / 10])
def test_gradient_of_the_head_is_that_of_differences(head, length):
    rng = np.random.RandomState(0)
    hidden, d_out = rng.normal(size=(2, 4, 16))
    hidden *= length / np.linalg.norm(hidden, axis=1, keepdims=True)
    scaled = hidden / length  # so that a step is small beside it
    expected = differences(lambda: (head.apply(scaled * length) * d_out).sum(), scaled) / length
    assert_allclose(head.gradient(hidden, d_out), expected, rtol=1e-5, atol=1e-6 / length)


def test_gradient_at_zero_is_finite():
    d_out = np.ones((1, 16), dtype=np.float32)
    assert np.isfinite(Head(0.1, True).gradient(np.zeros_like(d_out), d_out)).all()


def make_network(sizes, head):
    network = Network(
        N_FEATURES, N_CLASSES, sizes, optimizer=SGD(), random_state=np.random.RandomState(0),
        head=head, random_output=True,
    )  # fmt: skip
    rng = np.random.RandomState(1)
    for coef, bias in zip(network.coefs[:-1], network.intercepts[:-1], strict=True):
        coef[:] = rng.normal(size=coef.shape) / np.sqrt(coef.shape[0])
        bias[:] = 0.3 * rng.normal(size=bias.shape)
    network.output.bias[:] = 0.3 * rng.normal(size=N_CLASSES)
    return network


def loss_of(coefs, biases, head, drawn):
    """Loss of the batch over the candidates, by the textbook."""
    X, Y, row_weight = batch()
    hidden, labels = X.toarray().astype(float), Y.toarray().astype(float)
    for coef, bias in zip(coefs[:-1], biases[:-1], strict=True):
        hidden = np.maximum(hidden @ coef + bias, 0)
    looked_at, weight, shift = candidate_matrix(drawn)
    if hasattr(drawn, "starts"):  # a row's labels are in its set for certain
        shift = shift * (labels == 0)
    z = passed(head, hidden) @ coefs[-1] + biases[-1] + shift
    log_partition = logsumexp(np.where(looked_at, z, -np.inf), axis=1, b=np.maximum(weight, 1e-9))
    return row_weight @ (labels * (log_partition[:, None] - z)).sum(axis=1)


@pytest.mark.parametrize(
    "sampler", [Full(N_CLASSES), Fixed(), FixedRows()], ids=["full", "shared", "own"]
)
@pytest.mark.parametrize("head", HEADS[1:], ids=str)
@pytest.mark.parametrize("sizes", [(), (5,), (4, 6)], ids=str)
def test_gradient_of_the_network_is_that_of_differences(sizes, head, sampler):
    network, (X, Y, row_weight) = make_network(sizes, head), batch()
    coefs, biases = float64(network.coefs), float64(network.intercepts)
    drawn = sampler.draw(None, Y, None)
    loss, _ = network.train_step(X, Y, row_weight, sampler, learning_rate=1.0)
    textbook = partial(loss_of, coefs, biases, head, drawn)
    assert_allclose(loss, textbook(), rtol=1e-5)
    for i, now in enumerate(network.coefs + network.intercepts):
        before = [*coefs, *biases][i]
        # of a row of classes all places, as its length is kept
        columns = [3, 40, 69] if i == len(coefs) - 1 else range(0, before.shape[-1], 4)
        places = [(*row, c) for row in np.ndindex(before.shape[:-1]) for c in columns]
        gradient = differences(textbook, before, places)
        stepped = before - gradient
        if head.normalize and i == len(coefs) - 1:
            stepped /= np.linalg.norm(stepped, axis=0)
        at = tuple(np.transpose(places))
        assert_allclose(now[at], stepped[at], rtol=1e-4, atol=1e-5)


def test_rows_without_candidates_of_their_own_make_no_step():
    network, (X, Y, row_weight) = make_network((5,), Head()), batch()

    class Nothing(FixedRows):
        def draw(self, hidden, Y, output):
            drawn = super().draw(hidden, Y, output)
            drawn.starts = np.zeros(X.shape[0] + 1, np.int32)
            for part in ("ids", "positions", "weights", "shift"):
                setattr(drawn, part, getattr(drawn, part)[:0])
            return drawn

    before = float64(network.coefs + network.intercepts)
    no_labels = sp.csr_array(Y.shape, dtype=np.uint8)
    loss, _ = network.train_step(X, no_labels, row_weight, Nothing(), learning_rate=1.0)
    assert loss == 0
    assert np.isfinite(network.output.mean_log_partition)
    for now, then in zip(network.coefs + network.intercepts, before, strict=True):
        assert_array_equal(now, then)
