"""The network of few outputs: its scores and steps are those of a NumPy twin."""

import numpy as np
import pytest
import reference_rows as reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh import _score_network
from sklsh._score_network import ScoreNetwork, bytes_needed
from sklsh.optimizers import SGD, Adam, Momentum

N_FEATURES, N_ROWS, EPSILON = 30, 23, 0.3
SIZES = [(), (16,), (21,), (19, 33), (5, 40, 7)]
OUTPUTS = [
    ("log_loss", 1), ("hinge", 1), ("hinge", 4), ("modified_huber", 4), ("squared_error", 1),
    ("huber", 1), ("multinomial", 5), ("multinomial", 20),
]  # fmt: skip
every_size = pytest.mark.parametrize("sizes", SIZES, ids=str)
every_loss = pytest.mark.parametrize("loss, n_outputs", OUTPUTS)


def make(sizes=(21,), loss="multinomial", n_outputs=5, optimizer=None, n_threads=1):
    """Network whose output layer and biases are random too."""
    network = ScoreNetwork(
        N_FEATURES, n_outputs, sizes, loss=loss, epsilon=EPSILON, optimizer=optimizer or SGD(),
        random_state=np.random.RandomState(0), n_threads=n_threads,
    )  # fmt: skip
    rng = np.random.RandomState(1)
    for coef, bias in zip(network.coefs, network.intercepts, strict=True):
        coef[:] = rng.normal(size=coef.shape) / np.sqrt(coef.shape[0])
        bias[:] = 0.3 * rng.normal(size=bias.shape)
    return network


def batch(loss="multinomial", n_outputs=5, seed=2):
    """Rows, of which one has no features and one no weight; targets; weights."""
    rng = np.random.RandomState(seed)
    X = (rng.rand(N_ROWS, N_FEATURES) < 0.3) * rng.normal(size=(N_ROWS, N_FEATURES))
    X[2] = 0
    if n_outputs > 1:
        targets = rng.randint(n_outputs, size=N_ROWS)
    elif loss in ("squared_error", "huber"):
        targets = rng.normal(size=N_ROWS)
    else:
        targets = 2 * rng.randint(2, size=N_ROWS) - 1
    weight = rng.uniform(0.2, 1, size=N_ROWS) * (np.arange(N_ROWS) != 5) / N_ROWS
    return X.astype(np.float32), targets.astype(np.float32), weight.astype(np.float32)


def float64(arrays):
    return [np.array(a, dtype=np.float64) for a in arrays]


def twin_steps(network, batches, rate, share):
    """(coefs, intercepts) after steps of heavy-ball momentum."""
    parameters = [*float64(network.coefs), *float64(network.intercepts)]
    velocity = [np.zeros_like(p) for p in parameters]
    n = len(network.coefs)
    for X, targets, weight in batches:
        _, _, *by = reference.gradients(
            X.astype(float), parameters[:n], parameters[n:], network.loss, targets, EPSILON, weight
        )
        for p, u, g in zip(parameters, velocity, by[0] + by[1], strict=True):
            u *= share
            u -= rate * g
            p += u
    return parameters[:n], parameters[n:]


@every_size
@every_loss
def test_scores_are_the_twins(sizes, loss, n_outputs, monkeypatch):
    network, (X, _, _) = make(sizes, loss, n_outputs), batch()
    wanted = reference.forward(X, float64(network.coefs), float64(network.intercepts))[-1]
    scores = network.scores(X)
    assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(_score_network, "ROWS_AT_ONCE", 4)
    assert_array_equal(network.scores(sp.csr_array(X), 2), scores)
    assert_array_equal(network.scores(X[7:8]), scores[7:8])


@every_size
@every_loss
def test_steps_are_the_twins(sizes, loss, n_outputs, n_threads):
    batches = [batch(loss, n_outputs, seed) for seed in range(2, 5)]
    for optimizer, share in [(SGD(), 0), (Momentum(0.8), 0.8)]:
        network = make(sizes, loss, n_outputs, optimizer, n_threads)
        touched = [X.any(axis=0) for X, _, _ in batches]
        features = np.all(touched, axis=0) if share else np.any(touched, axis=0)
        coefs, intercepts = twin_steps(network, batches, 0.1, share)
        for X, targets, weight in batches:
            network.train_step(sp.csr_array(X), targets, weight, 0.1)
        assert features.sum() > 20  # others get their momentum when they come again
        assert_allclose(network.coefs[0][features], coefs[0][features], rtol=1e-3, atol=1e-5)
        for got, wanted in zip(
            [*network.coefs[1:], *network.intercepts], [*coefs[1:], *intercepts], strict=True
        ):
            assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


@every_size
@every_loss
def test_steps_tell_of_the_rows_what_losses_does(sizes, loss, n_outputs):
    network, (X, targets, weight) = make(sizes, loss, n_outputs), batch(loss, n_outputs)
    scores = network.scores(X)
    before = scores.copy()
    told = network.losses(scores, targets)
    assert_array_equal(scores, before)
    wanted = reference.gradients(
        X.astype(float), float64(network.coefs), float64(network.intercepts), loss, targets,
        EPSILON, weight,
    )  # fmt: skip
    stepped = network.train_step(sp.csr_array(X), targets, weight, 0.1)
    for one, other, third in zip(told, stepped, wanted, strict=False):
        assert_array_equal(one, other)
        assert_allclose(one, third, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(), (7, 5)], ids=str)
def test_the_twins_gradients_are_slopes(sizes):
    network, (X, targets, weight) = make(sizes, n_outputs=3), (a[:6] for a in batch(n_outputs=3))
    parameters = float64(network.coefs), float64(network.intercepts)

    def loss():
        losses, *_ = reference.gradients(X, *parameters, "multinomial", targets, EPSILON, weight)
        return weight @ losses

    _, _, *by = reference.gradients(X, *parameters, "multinomial", targets, EPSILON, weight)
    for parameter, gradient in zip(parameters[0] + parameters[1], by[0] + by[1], strict=True):
        slopes = np.zeros_like(parameter)
        for where in np.ndindex(parameter.shape):
            kept = parameter[where]
            parameter[where] = kept + 1e-6
            above = loss()
            parameter[where] = kept - 1e-6
            slopes[where] = (above - loss()) / 2e-6
            parameter[where] = kept
        assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-7)


@every_size
@pytest.mark.parametrize("optimizer", [Momentum, Adam])
def test_padding_stays_zero_and_threads_do_not_matter(sizes, optimizer):
    networks = [make(sizes, optimizer=optimizer(), n_threads=n) for n in (1, 2)]
    for network in networks:
        for seed in range(5):
            X, targets, weight = batch(seed=seed)
            network.train_step(sp.csr_array(X), targets, weight, 0.1)
            network.shrink(0.99)
        widths = [N_FEATURES, *sizes, 5]
        for parameter, n, m in zip(network.layer_weights, widths, widths[1:], strict=False):
            assert not parameter.weights[n:].any() and not parameter.weights[:, m:].any()
        for bias, m in zip(network.biases, widths[1:], strict=True):
            assert not bias.weights[:, m:].any()
    for one, other in zip(*(n.parameters for n in networks), strict=True):
        assert_array_equal(one.weights, other.weights)


@every_size
def test_all_scores_begin_alike(sizes):
    network = ScoreNetwork(
        N_FEATURES, 4, sizes, loss="multinomial", epsilon=0, optimizer=SGD(),
        random_state=np.random.RandomState(0),
    )  # fmt: skip
    assert not network.scores(batch()[0]).any()
    assert all(coef.any() for coef in network.coefs[:-1])


def test_shrinking_leaves_biases():
    network = make((19, 33))
    coefs, intercepts = float64(network.coefs), float64(network.intercepts)
    network.shrink(0.5)
    network.shrink(1)
    for before, now in zip(coefs, network.coefs, strict=True):
        assert_array_equal(now, before / 2)
    for before, now in zip(intercepts, network.intercepts, strict=True):
        assert_array_equal(now, before)


@every_size
@pytest.mark.parametrize("optimizer", [SGD(), Momentum(), Adam()], ids=["sgd", "momentum", "adam"])
def test_bytes_are_those_taken(sizes, optimizer):
    parameters = make(sizes, optimizer=optimizer).parameters
    weights = sum(p.weights.nbytes for p in parameters)
    assert bytes_needed(N_FEATURES, sizes, 5, None) == weights
    wanted = weights + sum(p.state_bytes for p in parameters)
    assert bytes_needed(N_FEATURES, sizes, 5, optimizer) == wanted


def test_what_steps_take_is_of_the_rows_and_of_the_batch():
    """Of layers of 30, 32 and 16 units, padded; by larger batches less."""
    network = make((21,))
    per_row = [network.multiply_adds(7.5, n) for n in (1, 64, 10**12)]
    of_rows = 3 * (7.5 * 32 + 32 * 16)
    assert_allclose(per_row, of_rows + 2 * _score_network.OVERHEAD / np.array([1, 64, 10**12]))


def test_it_knows_whether_it_is_finite():
    network = make()
    assert network.is_finite
    for parameter in network.parameters:
        for bad in (np.inf, -np.inf, np.nan):
            before, parameter.weights[0, 0] = parameter.weights[0, 0], bad
            assert not network.is_finite
            parameter.weights[0, 0] = before
    assert network.is_finite
