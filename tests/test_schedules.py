"""How the learning rate and the order of rows go on, and what reaches the optimizer."""

import math

import numpy as np
import pytest
from models import CLUSTER, X, assert_same_weights, make
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._auto import epochs_for
from sklsh._network import Network
from sklsh._training import rate_schedule
from sklsh.optimizers import Adam

SCHEDULES = ["linear", "cosine", "invscaling", "constant"]


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("done", [0.0, 0.25, 0.5, 0.99])
def test_factors(done, step):
    factors = {name: rate_schedule(name, 0.75)(done, step) for name in SCHEDULES}
    assert factors == {
        "linear": 1 - done,
        "cosine": pytest.approx(math.cos(math.pi / 2 * done) ** 2),
        "invscaling": pytest.approx(1 / step**0.75),
        "constant": 1,
    }


@pytest.mark.parametrize(
    ["n_rows", "n_epochs"],
    [(1, 10), (40_000, 10), (50_000, 8), (93_000, 4), (100_000, 7), (10**7, 7)],
)
def test_auto_makes_fewer_epochs_of_more_rows_up_to_many(n_rows, n_epochs):
    assert epochs_for("auto", n_rows) == n_epochs
    assert epochs_for(7, n_rows) == 7


def test_auto_is_what_fit_makes():
    assert make(max_iter="auto").fit(X, CLUSTER).n_iter_ == 10


@pytest.fixture
def rates(monkeypatch):
    """The rate of each step of the fits of a test."""
    seen, train_step = [], Network.train_step

    def spy(network, X, Y, row_weight, negatives, learning_rate, *dropout):
        seen.append(learning_rate)
        return train_step(network, X, Y, row_weight, negatives, learning_rate, *dropout)

    monkeypatch.setattr(Network, "train_step", spy)
    return seen


SETTINGS = {"learning_rate_init": 0.02, "batch_size": 100, "max_iter": 3}
LINEAR = [6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]


@pytest.mark.parametrize(
    ["settings", "factors"],
    [
        ({}, LINEAR),
        ({"learning_rate": "cosine"}, [(1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)]),
        ({"learning_rate": "invscaling"}, [1 / math.sqrt(i) for i in range(1, 7)]),
        ({"learning_rate": "invscaling", "power_t": 2}, [1 / i**2 for i in range(1, 7)]),
        ({"learning_rate": "constant"}, [1] * 6),
    ],
    ids=str,
)
def test_fit_follows_the_schedule(settings, factors, rates):
    make(**SETTINGS, **settings).fit(X, CLUSTER)
    assert_allclose(rates, 0.02 * np.array(factors), rtol=1e-12)


@pytest.mark.parametrize("learning_rate", SCHEDULES)
def test_partial_fit_has_no_end_to_fall_towards(learning_rate, rates):
    model = make(**SETTINGS, learning_rate=learning_rate)
    for _ in range(2):
        model.partial_fit(X, CLUSTER, classes=range(4))
    steps = np.arange(1, 5)
    factors = steps**-0.5 if learning_rate == "invscaling" else np.ones(4)
    assert_allclose(rates, 0.02 * factors, rtol=1e-12)


@pytest.mark.parametrize("learning_rate", ["linear", "invscaling"])
def test_warm_start_begins_a_schedule_again_unless_steps_are_counted(learning_rate, rates):
    model = make(**SETTINGS, learning_rate=learning_rate, warm_start=True)
    model.fit(X, CLUSTER).fit(X, CLUSTER)
    factors = LINEAR * 2 if learning_rate == "linear" else np.arange(1, 13) ** -0.5
    assert_allclose(rates, 0.02 * np.array(factors), rtol=1e-12)


@pytest.mark.parametrize("learning_rate", SCHEDULES)
def test_every_schedule_trains(learning_rate):
    model = make(learning_rate=learning_rate, learning_rate_init=0.05).fit(X, CLUSTER)
    assert model.score(X, CLUSTER) > 0.95


@pytest.mark.parametrize(["name", "what"], [("adam", "weight"), ("rowwise_adam", "row")])
def test_settings_reach_adam(name, what):
    settings = {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3}
    model = make(optimizer=name, **settings, max_iter=1).fit(X, CLUSTER)
    assert repr(model._network.optimizer) == repr(Adam(**settings, second_moment=what))


@pytest.mark.parametrize("beta_1", [0, 0.9])
def test_rowwise_adam_learns(beta_1):
    model = make(optimizer="rowwise_adam", beta_1=beta_1).fit(X, CLUSTER)
    assert model.score(X, CLUSTER) > 0.95


@pytest.mark.parametrize("setting", [{"beta_1": 0}, {"beta_2": 0.5}, {"epsilon": 1.0}], ids=str)
def test_each_setting_of_adam_changes_the_model_and_no_other_optimizer(setting):
    names = [("adam", True), ("rowwise_adam", True), ("sgd", False), ("momentum", False)]
    for optimizer, changes in names:
        default, other = (
            make(optimizer=optimizer, max_iter=2, **s).fit(X, CLUSTER) for s in ({}, setting)
        )
        assert np.array_equal(default.coefs_[0], other.coefs_[0]) != changes


def test_first_step_of_adam_follows_its_formula():
    """With beta_1 = beta_2 = 0 a step is rate * g / (|g| + epsilon), whatever came before."""
    settings = {
        "beta_1": 0, "beta_2": 0, "epsilon": 0.5, "batch_size": 200, "loss": "softmax",
        "learning_rate_init": 0.1,
    }  # fmt: skip
    model = make(**settings).partial_fit(X, CLUSTER, classes=range(4))
    before, probabilities = model.intercepts_[-1].copy(), model.predict_proba(X)
    model.partial_fit(X, CLUSTER)
    gradient = (probabilities - np.eye(4)[CLUSTER]).mean(axis=0)
    step = -0.1 * gradient / (np.abs(gradient) + 0.5)
    assert_allclose(model.intercepts_[-1] - before, step, rtol=1e-3, atol=1e-6)


def test_rows_keep_their_order_without_shuffle():
    """So an epoch is the same as a call for each of its batches."""
    settings = {"shuffle": False, "learning_rate": "constant", "batch_size": 40}
    whole = make(**settings, max_iter=1).fit(X, CLUSTER)
    parts = make(**settings)
    for first in range(0, 200, 40):
        rows = slice(first, first + 40)
        parts.partial_fit(X[rows], CLUSTER[rows], classes=range(4))
    assert_same_weights(whole, parts)


def test_shuffle_takes_each_row_once_an_epoch_in_a_new_order(monkeypatch):
    seen, train_step = [], Network.train_step
    numbered = np.column_stack([np.arange(1, 201), np.ones(200)]).astype(np.float32)

    def spy(network, rows, *args):
        seen.append(rows.data[rows.indptr[:-1]])
        return train_step(network, rows, *args)

    monkeypatch.setattr(Network, "train_step", spy)
    make(max_iter=2, learning_rate_init=1e-6).fit(numbered, CLUSTER)
    first, second = np.concatenate(seen).reshape(2, 200)
    assert_array_equal(np.sort(first), np.arange(1, 201))
    assert_array_equal(np.sort(second), np.arange(1, 201))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.sort(first))
