"""vSGD-fd: its steps are the twin's, it needs no rate, and estimators offer it."""

import pickle

import numpy as np
import pytest
import reference_rows as reference
import scipy.sparse as sp
from models import assert_same_weights
from numpy.testing import assert_allclose, assert_array_equal
from reference_optimizers import VSGDTwin
from row_problems import BY_SCORES, make, make_regressor
from sklearn.datasets import load_breast_cancer

from sklsh import _memory
from sklsh._score_network import ScoreNetwork
from sklsh.optimizers import SGD, VSGD, Parameter

N_FEATURES, EPSILON = 12, 0.3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 5)).astype(np.float32)
NUMBERS = X @ [1.0, -2.0, 0.5, 0, 3] + 0.3 * RNG.standard_normal(300) + 4
Y = (NUMBERS > 4).astype(int)
WIDE = np.column_stack([X, RNG.standard_normal((300, 60))])  # more than a thread takes at a time


def vsgd(**settings):
    return make((), learning_rate="vsgd", **settings)


# ---- the rule ----


def network_of(loss, n_outputs, l2=0.0, n_threads=1):
    return ScoreNetwork(
        N_FEATURES, n_outputs, (), loss=loss, epsilon=EPSILON, optimizer=VSGD(l2),
        random_state=np.random.RandomState(0), n_threads=n_threads,
    )  # fmt: skip


def batch(n_outputs, seed, n=15):
    """Rows of a few features, the last of which are rare; targets; weights, some of them zero."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, N_FEATURES)) * (
        rng.random((n, N_FEATURES)) < np.linspace(0.9, 0.05, N_FEATURES)
    )
    targets = rng.integers(n_outputs, size=n) if n_outputs > 1 else rng.choice([-1, 1], n)
    weight = rng.uniform(0.2, 2, n) * (np.arange(n) != 3) / n
    return rows.astype(np.float32), targets.astype(np.float32), weight.astype(np.float32)


@pytest.mark.parametrize(
    "loss, n_outputs, l2",
    [("log_loss", 1, 0), ("hinge", 3, 0.1), ("huber", 1, 0.1), ("multinomial", 17, 0)],
)
def test_steps_are_the_twins(loss, n_outputs, l2, n_threads):
    network = network_of(loss, n_outputs, l2, n_threads)
    twin = VSGDTwin(np.zeros((N_FEATURES + 1, n_outputs)), l2)
    for seed in range(12):
        rows, targets, weight = batch(n_outputs, seed)

        def gradient_of(scores, targets=targets, weight=weight):
            return reference.row_losses(loss, scores, n_outputs, targets, EPSILON, weight)[2]

        twin.step(rows.astype(float), gradient_of)
        network.train_step(sp.csr_array(rows), targets, weight, 0)
    assert_allclose(network.coefs[0], twin.weights[:-1], rtol=1e-2, atol=1e-4)
    assert_allclose(network.intercepts[0], twin.weights[-1], rtol=1e-2, atol=1e-4)
    assert (twin.weights == 0).any() and np.count_nonzero(twin.weights) > 0.6 * twin.weights.size


def test_features_that_a_batch_does_not_contain_are_not_touched():
    network = network_of("multinomial", 3)
    for seed in range(3):
        rows, targets, weight = batch(3, seed)
        network.train_step(sp.csr_array(rows), targets, weight, 0)
    table = network.embedding
    before = [a.copy() for a in (table.weights, *table.slots)]
    for array in (table.weights, *table.slots):  # what is read shows
        array[:4] = np.nan
    rows[:, :4] = 0
    network.train_step(sp.csr_array(rows), targets, weight, 0)
    for array, then in zip((table.weights, *table.slots), before, strict=True):
        assert np.isnan(array[:4]).all() and np.isfinite(array[4:]).all()
        assert (array[4:] != then[4:]).any()


@pytest.mark.parametrize("d, n", [(1, 1), (20, 1)])
def test_on_noisy_parabolas_it_is_as_good_as_the_best_of_a_grid_of_rates(d, n, module):
    found = module("vsgd").noisy_function("parabola", d, n, 7)
    assert found["vsgd"] <= 1.5 * found["sgd"]
    assert 1e-5 < found["sgd_rate"] < 10  # the grid is wide enough


def test_state_of_another_rule_and_gradients_of_another_size_are_refused():
    columns = (*np.zeros((3, 1), dtype=np.int32), np.ones(1, dtype=np.float32))
    delta = np.ones((1, 2), dtype=np.float32)
    with pytest.raises(ValueError, match=r"^parameter must have state of 2 and 8 .* VSGD\(l2=0"):
        VSGD().prepare(Parameter(np.zeros((3, 2), dtype=np.float32), SGD()), columns, delta)
    weights = Parameter(np.zeros((3, 2), dtype=np.float32), VSGD())
    with pytest.raises(ValueError, match="^delta must have at least 0 rows of 2"):
        VSGD().step(weights, columns, delta[:, :1].copy(), delta)
    with pytest.raises(ValueError, match="^further must have at least 1 rows of 2"):
        VSGD().step(weights, columns, delta, delta[:0])


# ---- the estimators ----


def test_it_comes_to_the_accuracy_of_a_tuned_rate_without_any():
    rows, y = load_breast_cancer(return_X_y=True)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    settings = {"sampler": "uniform", "batch_size": 32, "max_iter": 10}
    rates = [1e-3, 1e-2, 0.1, 1]
    tuned = [
        make((), optimizer="sgd", learning_rate_init=rate, **settings).fit(rows[::2], y[::2])
        for rate in rates
    ]
    scores = [model.score(rows[1::2], y[1::2]) for model in tuned]
    assert vsgd(**settings).fit(rows[::2], y[::2]).score(rows[1::2], y[1::2]) > max(scores) - 0.02


@pytest.mark.parametrize("sampler", ["uniform", "kernel"])
def test_a_penalised_regression_comes_to_the_closed_form(sampler):
    alpha, weight = 0.5, np.arange(300) % 4 + 0.5
    A = np.column_stack([X, np.ones(300)])
    penalty = np.diag([alpha] * 5 + [0])
    wanted = np.linalg.solve((A.T * weight) @ A / 300 + penalty, (A.T * weight) @ NUMBERS / 300)
    model = make_regressor(
        (), learning_rate="vsgd", alpha=alpha, sampler=sampler, max_iter=20, **BY_SCORES
    ).fit(X, NUMBERS, sample_weight=weight)
    assert_allclose([*model.coef_[0], *model.intercept_], wanted, atol=0.1)


@pytest.mark.parametrize("sampler", ["uniform", "kernel"])
def test_threads_and_pickles_change_nothing(sampler):
    settings = {"sampler": sampler, "max_iter": 2, "warm_start": True, **BY_SCORES}
    one, two = (vsgd(n_jobs=n, **settings).fit(WIDE, Y) for n in (1, 2))
    one.fit(WIDE, Y).partial_fit(WIDE, Y)
    two = pickle.loads(pickle.dumps(two)).fit(WIDE, Y)
    assert_same_weights(one, pickle.loads(pickle.dumps(two)).partial_fit(WIDE, Y))
    assert one.learning_rate_init_ == 0


def test_sparse_rows_are_dense_ones():
    holes = X * (abs(X) > 0.5)
    dense = vsgd(sampler="uniform").fit(holes, Y)
    assert_same_weights(dense, vsgd(sampler="uniform").fit(sp.csr_array(holes), Y))


def test_rates_and_optimizers_that_are_set_are_not_used():
    plain = vsgd().fit(X, Y)
    assert_same_weights(plain, vsgd(learning_rate_init=1e9, optimizer="adam").fit(X, Y))


def test_state_is_counted_and_refused_where_it_does_not_fit(monkeypatch):
    model = vsgd().fit(X, Y)
    usage = model.memory_usage_
    assert usage["weights"] == 4 * (5 + 1) * 16
    assert usage["optimizer"] == 5 * usage["weights"]
    total = usage["total"]
    monkeypatch.setattr(_memory, "available_bytes", lambda: total // 2)
    message = "with the state of learning_rate='vsgd', .* would take .* bytes"
    with pytest.raises(MemoryError, match=message):
        vsgd().fit(X, Y)


def test_it_is_for_linear_models_and_from_the_first_call_on():
    message = r"^learning_rate='vsgd' is for linear models, .*; got hidden_layer_sizes=\(8,\).$"
    with pytest.raises(ValueError, match=message):
        make((8,), learning_rate="vsgd").fit(X, Y)
    for first, then in (("vsgd", "constant"), ("linear", "vsgd")):
        model = make((), learning_rate=first).fit(X, Y).set_params(learning_rate=then)
        before = model.coef_.copy()
        with pytest.raises(ValueError, match=f"^learning_rate='{then}' cannot go on from"):
            model.partial_fit(X, Y)
        assert_array_equal(model.coef_, before)


def test_divergence_says_what_to_do():
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="diverged: .* Scale the feat"):
        make_regressor((), learning_rate="vsgd").fit(1e30 * X, NUMBERS)
