"""Tests of LSHSoftmaxClassifier: what it learns, its log loss, its linear form, its schedules."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from models import CLUSTER, CORNERS, X, assert_same_weights
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from sklsh import LSHSoftmaxClassifier

N_CLASSES, N_FEATURES = 400, 24
GAUSSIAN = {"hash_family": "dense_simhash", "n_bits": 4}
LSH = {"negatives": "lsh"}
OWN = {"share_negatives": False}
SAMPLERS = {
    "auto": {},
    "lsh": LSH,
    "lsh by label": LSH | {"query": "label"},
    "lsh by redrawn functions": LSH | {"redraw_every": 7},
    "uniform": {"negatives": "uniform"},
    "frequency": {"negatives": "frequency"},
    "log_uniform": {"negatives": "log_uniform"},
    "in_batch": {"negatives": "in_batch"},
    "full": {"negatives": "full"},
    "mixture": {"negatives": {"lsh": 1, "frequency": 1, "uniform": 0.5}},
    "stages": {"negatives": [(0, "lsh"), (0.3, {"frequency": 1}), (0.6, "lsh")]},
    "own lsh": OWN,
    "own lsh by label": OWN | {"query": "label"},
    "own uniform": OWN | {"negatives": "uniform"},
    "own importance": OWN | GAUSSIAN | {"correction": "importance"},
}
each_sampler = pytest.mark.parametrize("name", SAMPLERS)


@pytest.fixture(autouse=True)
def few_classes_are_sampled(monkeypatch):
    monkeypatch.setattr("sklsh._samplers.EXACT_BELOW", 0)


def problem(n_rows=2000, seed=0):
    """Rows around the centres of their classes, which are as frequent as Zipf has it."""
    rng = np.random.RandomState(seed)
    share = 1 / np.arange(1, N_CLASSES + 1) ** 0.7
    y = rng.choice(N_CLASSES, p=share / share.sum(), size=n_rows)
    y[:N_CLASSES] = np.arange(N_CLASSES)
    centers = np.random.RandomState(9).normal(size=(N_CLASSES, N_FEATURES))
    return (centers[y] + 0.4 * rng.normal(size=(n_rows, N_FEATURES))).astype(np.float32), y


def several_labels(n_rows=300, seed=0):
    """Indicator of up to three labels a row; some rows have none."""
    rng = np.random.RandomState(seed)
    rows = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    counts = rng.randint(0, 4, size=n_rows)
    ids = rng.randint(N_CLASSES, size=counts.sum())
    at = np.repeat(np.arange(n_rows), counts)
    Y = sp.csr_array((np.ones(len(ids), np.int8), (at, ids)), shape=(n_rows, N_CLASSES))
    return rows, (Y > 0).astype(np.int8)


def make(hidden_layer_sizes=(32,), **settings):
    small = {"n_active": 40, "max_iter": 4, "batch_size": 64, "bucket_size": 8, "rehash_every": 5}
    small |= {"random_state": 0, "learning_rate_init": 0.02}
    return LSHSoftmaxClassifier(hidden_layer_sizes, **(small | settings))


def made_by(name, **settings):
    return make(**(SAMPLERS[name] | settings))


CORRECTED = [
    (name, correction)
    for name in SAMPLERS
    for correction in ("head_tail", "logq", "half_logq", "none")
    if name != "own importance" or correction == "none"
]


@pytest.mark.parametrize(["name", "correction"], CORRECTED)
def test_every_sampler_learns_under_every_correction(name, correction):
    model = make(**({"correction": correction, "max_iter": 6} | SAMPLERS[name])).fit(*problem())
    test = problem(500, seed=1)
    assert model.score(*test) > 0.55
    assert model.log_loss(*test) < 2.5  # that of a guess is 5.8
    assert (model.n_active_ == N_CLASSES) == (name == "full")


def test_more_than_2048_classes_are_sampled(monkeypatch):
    monkeypatch.undo()
    rng = np.random.RandomState(0)
    y = np.arange(6300) % 2100
    rows = rng.normal(size=(2100, 24))[y] + 0.3 * rng.normal(size=(6300, 24))
    model = make(n_active=100, max_iter=5).fit(rows, y)
    assert model.n_active_ < 200
    assert model.log_loss(rows, y) < np.log(2100) / 4
    assert make(max_iter=1).fit(rows[:2048], y[:2048]).n_active_ == 2048


# ---- log loss ----


def one_label_each():
    rows, y = problem(500)
    return make(max_iter=1, negatives="full").fit(rows, y), rows[:200], y[:200]


@pytest.mark.parametrize("weight", [None, np.arange(200) % 7], ids=["", "weighted"])
@pytest.mark.parametrize("block_bytes", [1 << 26, 1, 40_000])
def test_log_loss_is_that_of_the_probabilities(weight, block_bytes, monkeypatch):
    model, rows, y = one_label_each()
    monkeypatch.setattr("sklsh._scores.BLOCK_BYTES", block_bytes)
    probabilities = model.predict_proba(rows).astype(float)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # which sklearn looks at closely
    expected = log_loss(y, probabilities, sample_weight=weight, labels=model.classes_)
    assert model.log_loss(rows, y, sample_weight=weight) == pytest.approx(expected, rel=1e-5)
    assert model.log_loss(sp.csr_array(rows), y, weight) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [None, np.arange(300) % 7], ids=["", "weighted"])
@pytest.mark.parametrize("form", [sp.csr_array, lambda Y: Y.toarray()], ids=["sparse", "dense"])
@pytest.mark.parametrize("block_bytes", [1 << 26, 40_000])
def test_log_loss_of_several_labels_is_their_mean(weight, form, block_bytes, monkeypatch):
    rows, Y = several_labels()
    model = make(max_iter=1).fit(rows, Y)
    monkeypatch.setattr("sklsh._scores.BLOCK_BYTES", block_bytes)
    probabilities = model.predict_proba(rows)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    labels = Y.toarray() > 0
    of_rows = [
        -np.log(p[y]).mean() if y.any() else 0 for p, y in zip(probabilities, labels, strict=True)
    ]
    expected = np.average(of_rows, weights=weight)
    assert model.log_loss(rows, form(Y), weight) == pytest.approx(expected, rel=1e-5)


def test_log_loss_of_improbable_labels_is_finite():
    model = make((4,), max_iter=1, negatives="full").fit(X, CLUSTER)
    model.intercepts_[-1][:] = [0, 1000, 0, 0]
    assert model.log_loss(X, np.zeros(200, int)) == pytest.approx(1000, rel=0.1)


def test_loss_curve_of_all_classes_is_the_log_loss():
    rows, Y = several_labels()
    settings = {"negatives": "full", "max_iter": 1, "learning_rate_init": 1e-12}
    model = make(**settings, input_dropout=0, hidden_dropout=0).fit(rows, Y)
    assert_allclose(model.loss_curve_, [model.log_loss(rows, Y)], rtol=1e-5)


# ---- without hidden layers ----


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("y", [CLUSTER, CORNERS], ids=["one label", "several"])
def test_linear_step_is_that_of_softmax_regression(y, form):
    settings = {"negatives": "full", "optimizer": "sgd", "batch_size": 200, "input_dropout": 0}
    weight = np.linspace(0.5, 2, 200)
    targets = np.eye(4)[CLUSTER] if y.ndim == 1 else y / y.sum(axis=1, keepdims=True)
    model = make((), **settings, learning_rate_init=0.01)
    coef, bias = np.zeros((5, 4)), np.zeros(4)
    for _ in range(3):
        model.partial_fit(form(X), y, classes=range(4), sample_weight=weight)
        delta = (softmax(X @ coef + bias, axis=1) - targets) * weight[:, None] / 200
        coef, bias = coef - 0.01 * X.T @ delta, bias - 0.01 * delta.sum(axis=0)
        assert_allclose(model.coefs_[0], coef, rtol=1e-4, atol=1e-6)
        assert_allclose(model.intercepts_[0], bias, rtol=1e-4, atol=1e-6)
    assert [c.shape for c in model.coefs_] == [(5, 4)]
    assert_allclose(model.decision_function(form(X)), X @ coef + bias, rtol=1e-4, atol=1e-4)


def test_linear_softmax_reaches_logistic_regression():
    rng = np.random.RandomState(0)
    rows = rng.normal(size=(400, 5))
    y = (rows @ rng.normal(size=(5, 4)) + 2 * rng.gumbel(size=(400, 4))).argmax(axis=1)
    expected = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(rows, y)
    best = log_loss(y, expected.predict_proba(rows))
    settings = {"negatives": "full", "max_iter": 150, "batch_size": 100, "input_dropout": 0}
    model = make((), **settings).fit(rows, y)
    assert best - 1e-6 <= model.log_loss(rows, y) < best + 1e-4


@pytest.mark.parametrize("normalize", [False, True])
def test_linear_model_samples_and_keeps_its_products_in_floats(normalize):
    head = {"normalize": True, "temperature": 0.1} if normalize else {}
    rows, y = problem()
    model = make((), **head, input_dropout=0, max_iter=10).fit(rows, y)
    assert model.score(*problem(500, seed=1)) > 0.8
    assert model._network.output.product_dtype == "float32"
    assert_same_weights(model.partial_fit(rows, y), clone(model).fit(rows, y).partial_fit(rows, y))


# ---- unit lengths and temperatures ----


@pytest.mark.parametrize("share_negatives", [True, False])
@pytest.mark.parametrize("product_dtype", ["float32", "int8"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_normalized_rows_stay_at_unit_length(share_negatives, product_dtype, optimizer):
    rows, y = problem()
    model = make(
        normalize=True, temperature=0.2, share_negatives=share_negatives, optimizer=optimizer,
        product_dtype=product_dtype, max_iter=2,
    ).fit(rows, y)  # fmt: skip
    classes = model.coefs_[-1]
    assert_allclose(np.linalg.norm(classes, axis=0), 1, rtol=1e-5)
    hidden = np.maximum(rows @ model.coefs_[0] + model.intercepts_[0], 0)
    cosines = hidden / np.linalg.norm(hidden, axis=1, keepdims=True) @ classes
    logits = model.decision_function(rows)
    assert_allclose(logits, cosines / 0.2 + model.intercepts_[-1], rtol=1e-4, atol=1e-4)
    assert (np.diff(model.loss_curve_) < 0).all()


def test_temperature_divides_logits():
    rows, y = problem(500)
    model = make(temperature=4, max_iter=1).fit(rows, y)
    hidden = np.maximum(rows @ model.coefs_[0] + model.intercepts_[0], 0)
    expected = hidden @ model.coefs_[-1] / 4 + model.intercepts_[-1]
    assert_allclose(model.decision_function(rows), expected, rtol=1e-4, atol=1e-5)


# ---- the loss ----


def test_labels_of_a_row_share_its_weight():
    """A step on the bias from zero weights, where all probabilities are alike."""
    rows, Y = several_labels()
    settings = {"negatives": "full", "optimizer": "sgd", "batch_size": 300, "max_iter": 1}
    model = make(**settings, learning_rate="constant", learning_rate_init=1.0).fit(rows, Y)
    n_labels = np.maximum(Y.sum(axis=1), 1)
    delta = (np.asarray(Y.sum(axis=1)) > 0)[:, None] / N_CLASSES - Y / n_labels[:, None]
    assert_allclose(model.intercepts_[-1], -np.asarray(delta).mean(axis=0), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("y", [CLUSTER, CORNERS], ids=["one label", "several"])
def test_class_weight_weighs_the_parts_of_the_loss(y):
    weights = {0: 3.0, 2: 0.5}
    settings = {"negatives": "full", "max_iter": 1, "learning_rate_init": 1e-12}
    model = make((4,), **settings, class_weight=weights).fit(X, y)
    log_p = log_softmax(model.decision_function(X), axis=1)
    share = np.array([3, 1, 0.5, 1])
    if y.ndim == 1:
        losses = -log_p[np.arange(200), y] * share[y]
        expected = losses.sum() / share[y].sum()
    else:
        expected = -(log_p * y * share / y.sum(axis=1, keepdims=True)).sum() / 200
    assert_allclose(model.loss_curve_, [expected], rtol=1e-4)


# ---- schedules ----


def test_stages_take_over_at_their_share_of_the_fit():
    rows, y = problem(640)  # ten steps an epoch
    model = make(negatives=[(0, "full"), (0.25, "uniform")], max_iter=2, warm_start=True)
    model.fit(rows, y)
    exact, sampled = 5 * N_CLASSES, model.n_active_ * 20 - 5 * N_CLASSES
    assert exact + 15 * 40 < model.n_active_ * 20 < exact + 15 * (40 + 64)
    before = model._progress.n_active_sum
    model.partial_fit(rows, y)  # stays with the last
    assert model._progress.n_active_sum - before < 10 * (40 + 64)
    before = model._progress.n_active_sum
    model.fit(rows, y)  # starts again
    assert model._progress.n_active_sum - before == pytest.approx(exact + sampled, rel=0.05)


def test_partial_fit_from_the_start_stays_with_the_first():
    rows, y = problem(640)
    model = make(negatives=[(0, "lsh"), (0.1, "full")])
    model.partial_fit(rows, y, classes=range(N_CLASSES)).partial_fit(rows, y)
    assert model.n_active_ < 40 + 64
    assert model.bucket_load_ > 0


@pytest.mark.parametrize(["last", "has_tables"], [("lsh", True), ("uniform", False)])
def test_tables_are_those_of_the_stage_of_now(last, has_tables):
    other = {"lsh": "uniform", "uniform": "lsh"}[last]
    model = make(negatives=[(0, other), (0.5, last)], max_iter=1).fit(*problem(640))
    assert (model.bucket_load_ > 0) == (model.memory_usage_["tables"] > 0) == has_tables


# ---- going on ----


@each_sampler
def test_random_state_fixes_every_bit_for_any_n_jobs(name):
    rows, y = problem(640)
    models = [made_by(name, n_jobs=n_jobs, max_iter=2).fit(rows, y) for n_jobs in (1, 1, 2)]
    assert_same_weights(models[0], models[1])
    assert_same_weights(models[0], models[2])
    assert models[0].log_loss(rows, y) == models[2].log_loss(rows, y)
    other = made_by(name, random_state=1, max_iter=2).fit(rows, y)
    assert not np.array_equal(other.coefs_[-1], models[0].coefs_[-1])


@each_sampler
def test_pickles_and_memory_maps_predict_the_same_and_train_on(name, tmp_path):
    rows, y = problem(640)
    model = made_by(name, max_iter=1).fit(rows, y)
    joblib.dump(model, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model", mmap_mode="r"),
    ]
    logits = model.decision_function(rows)
    lean = model.lean_copy()
    assert_array_equal(lean.decision_function(rows), logits)
    assert lean.memory_usage_["tables"] == 0
    assert np.isfinite(lean.partial_fit(rows, y).log_loss(rows, y))
    model.partial_fit(rows, y)
    for stored in copies:
        assert_array_equal(stored.decision_function(rows), logits)
        assert_same_weights(stored.partial_fit(rows, y), model)


def test_partial_fit_and_warm_start_learn_on():
    rows, y = problem()
    model = make(learning_rate_init=0.005).partial_fit(rows, y, classes=range(N_CLASSES))
    losses = [model.log_loss(rows, y)]
    losses += [model.partial_fit(rows, y).log_loss(rows, y) for _ in range(3)]
    model.set_params(warm_start=True, max_iter=2).fit(rows, y)
    losses.append(model.log_loss(rows, y))
    assert (np.diff(losses) < 0).all()
    assert (model.n_iter_, len(model.loss_curve_)) == (6, 6)


def test_rows_without_labels_and_classes_without_rows_are_legal():
    rows, Y = several_labels()
    Y = Y.tolil()
    Y[40:], Y[:, 1] = 0, 0  # most batches have no label at all
    for settings in SAMPLERS.values():
        model = make(**(settings | {"batch_size": 8, "max_iter": 1})).fit(rows, Y.tocsr())
        assert np.isfinite(model.loss_curve_).all()
        assert np.isfinite(model.log_loss(rows, Y.tocsr()))
