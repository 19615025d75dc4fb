"""Tests of SLIDEClassifier: targets and inputs of every form, losses, fitted attributes."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.base import clone

from sklsh.metrics import precision_at_k


@pytest.mark.parametrize(
    "names",
    [
        np.array(["oak", "ash", "elm", "fir"]), np.array(["oak", "ash", "elm", "fir"], object),
        np.array([7, -3, 10**12, 0]), np.array([2.0, -1.0, 0.0, 5.0], np.float32),
        np.array([3, 1, 200, 0], np.uint8),
    ],
    ids=lambda names: str(names.dtype),
)  # fmt: skip
def test_labels_of_any_type_are_learned_and_come_back(names):
    model = make().fit(X, names[CLUSTER])
    assert_array_equal(model.classes_, np.unique(names))
    assert model.predict(X).dtype == names.dtype
    assert model.score(X, names[CLUSTER]) > 0.95
    assert np.mean(model.predict_top_k(X, 2)[0][:, 0] == names[CLUSTER]) > 0.95


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("dtype", [bool, int])
def test_two_classes_have_one_decision(loss, dtype):
    y = (CLUSTER > 1).astype(dtype)
    model = make(loss=loss).fit(X, y)
    decision, probability = model.decision_function(X), model.predict_proba(X)
    assert decision.shape == (200,)
    assert model.score(X, y) > 0.95
    assert_array_equal(decision > 0, model.predict(X).astype(bool))
    assert_allclose(expit(decision), probability[:, 1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32])
def test_indicator_comes_back_in_its_form_and_dtype(form, dtype):
    Y = form(CORNERS.astype(dtype))
    predicted = make().fit(X, Y).predict(X)
    assert predicted.dtype == dtype
    container = {sp.csc_matrix: sp.csr_matrix, np.asarray: np.ndarray}.get(form, form)
    assert type(predicted) is container
    dense = predicted.toarray() if sp.issparse(predicted) else predicted
    assert (dense == CORNERS).mean() > 0.95


@pytest.mark.parametrize("negatives", ["lsh", "uniform", "in_batch", "full"])
def test_rows_without_labels_or_features_and_classes_without_rows_are_legal(negatives):
    features, Y = wide_problem(300)
    features, Y = features.tolil(), Y.tolil()
    features[:40], Y[60:], Y[:, 1] = 0, 0, 0  # most batches have no label at all
    model = wide_model(negatives=negatives, batch_size=8, max_iter=4).fit(features, Y)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.decision_function(features)).all()


@pytest.mark.parametrize(
    "form",
    [
        sp.csr_matrix, sp.csc_array, sp.coo_array, np.asfortranarray,
        lambda dense: sp.csr_array(dense).astype(np.float64),
        lambda dense: with_index_dtype(sp.csr_array(dense), np.int64),
    ],
    ids=["csr_matrix", "csc", "coo", "fortran", "float64", "int64 indices"],
)  # fmt: skip
def test_every_form_of_X_gives_the_same_model(form):
    settings = {"input_dropout": 0, "hidden_dropout": 0, "max_iter": 3}
    expected = make(**settings).fit(sp.csr_array(X), CLUSTER)
    model = make(**settings).fit(form(X), CLUSTER)
    assert_same_weights(model, expected)
    assert_array_equal(model.decision_function(form(X)), expected.decision_function(X))


def with_index_dtype(rows, dtype):
    parts = rows.data, rows.indices.astype(dtype), rows.indptr.astype(dtype)
    return sp.csr_array(parts, shape=rows.shape)


def test_many_classes_in_few_rows_give_no_warning():
    make(max_iter=1).fit(X, np.arange(200)).partial_fit(X[:100], np.arange(100))


@pytest.mark.parametrize("hidden_layer_sizes", [(16,), (300, 20)], ids=str)
def test_top_k_is_the_sorted_decision(hidden_layer_sizes):
    features, Y = wide_problem()
    model = wide_model(hidden_layer_sizes=hidden_layer_sizes).fit(features, Y)
    logits = model.decision_function(features)
    labels, scores = model.predict_top_k(features, 50)
    assert_array_equal(labels, np.argsort(-logits, axis=1, kind="stable")[:, :50])
    assert_array_equal(scores, np.take_along_axis(logits, labels, axis=1))


def test_ties_go_to_the_smaller_class():
    model = make().fit(X, CORNERS)
    model.coefs_[-1][:], model.intercepts_[-1][:] = 0, [1, 2, 1, 2]
    assert_array_equal(model.predict_top_k(X[:2], 4)[0], [[1, 3, 0, 2]] * 2)


@pytest.mark.parametrize("y", [CLUSTER, CORNERS], ids=["one label", "indicator"])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_probabilities_follow_the_loss(y, loss):
    model = make(loss=loss).fit(X, y)
    logits, probabilities = model.decision_function(X), model.predict_proba(X)
    expected = softmax(logits, axis=1) if loss == "softmax" else expit(logits)
    if y.ndim == 1:
        expected = expected / expected.sum(axis=1, keepdims=True)
    assert_allclose(probabilities, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_multilabel_predict_under_logistic_is_logit_above_zero(form):
    model = make(loss="logistic", max_iter=3).fit(X, form(CORNERS))
    predicted = sp.csr_array(model.predict(X)).toarray()
    assert_array_equal(predicted, model.decision_function(X) > 0)


def test_multilabel_predict_under_softmax_is_the_best_n():
    model = make(loss="softmax", max_iter=3).fit(X, CORNERS)
    best, _ = model.predict_top_k(X, 2)
    assert_array_equal(np.sort(best), np.nonzero(model.predict(X))[1].reshape(-1, 2))


@pytest.mark.parametrize("row", [0, 150])
def test_prediction_of_a_row_does_not_depend_on_its_batch(row, simd_level):
    features, Y = wide_problem()
    model = wide_model().fit(features, Y)
    scores = [model.decision_function, model.predict_proba, lambda X: model.predict_top_k(X)[1]]
    for method in scores:
        assert_array_equal(method(features[[row]])[0], method(features)[row])


@pytest.mark.parametrize("negatives", ["lsh", "uniform", "in_batch", "full"])
def test_random_state_fixes_every_bit_for_any_n_jobs(negatives, simd_level):
    features, Y = wide_problem()
    models = [
        wide_model(negatives=negatives, n_jobs=n_jobs).fit(features, Y) for n_jobs in (1, 1, 2)
    ]
    assert_same_weights(models[0], models[1])
    assert_same_weights(models[0], models[2])
    other = wide_model(negatives=negatives, random_state=1).fit(features, Y)
    assert not np.array_equal(other.coefs_[-1], models[0].coefs_[-1])


@pytest.mark.parametrize("correction", ["none", "logq", "half_logq", "head_tail"])
@pytest.mark.parametrize("negatives", ["lsh", "uniform"])
@pytest.mark.parametrize("loss", ["auto", "softmax", "logistic"])
def test_sampled_training_learns(loss, negatives, correction):
    train, test = wide_problem(3000), wide_problem(500, seed=1)
    model = wide_model(
        hidden_layer_sizes=(64,), max_iter=6, loss=loss, negatives=negatives, correction=correction
    ).fit(*train)
    popular = np.argmax(train[1].sum(axis=0))
    labels, _ = model.predict_top_k(test[0], 1)
    assert model.n_active_ < 200
    chance = precision_at_k(test[1], np.full((500, 1), popular))
    assert precision_at_k(test[1], labels) > chance + 0.35


@pytest.mark.parametrize("negatives", ["lsh", "uniform"])
@pytest.mark.parametrize(
    ["correction", "calibrated"], [("logq", True), ("half_logq", True), ("none", False)]
)
def test_probabilities_add_up_to_the_labels_under_logq(negatives, correction, calibrated):
    train, test = wide_problem(6000), wide_problem(500, seed=1)
    model = wide_model(
        (64,), max_iter=3, loss="logistic", negatives=negatives, correction=correction
    ).fit(*train)
    per_label = model.predict_proba(test[0]).sum() / test[1].sum()
    assert (0.7 < per_label < 1.3) == calibrated  # all classes, exactly: 0.73; "none": over 2


def test_weight_zero_takes_a_row_out():
    y = np.concatenate([CLUSTER, (CLUSTER + 1) % 4])  # every row again, wrongly labelled
    twice, weight = np.concatenate([X, X]), np.repeat([1.0, 0.0], 200)
    assert make().fit(twice, y, sample_weight=weight).score(X, CLUSTER) > 0.95
    assert make().fit(twice, y, sample_weight=weight[::-1]).score(X, CLUSTER) < 0.05


def test_loss_curve_weighs_rows():
    settings = {"max_iter": 1, "learning_rate_init": 1e-12, "loss": "softmax"}
    weight = np.linspace(0, 3, 200)
    model = make(**settings).fit(X, CLUSTER, sample_weight=weight)
    log_p = np.log(model.predict_proba(X)[np.arange(200), CLUSTER])
    assert_allclose(model.loss_curve_, [-np.average(log_p, weights=weight)], rtol=1e-4)


def test_partial_fit_learns_in_passes_at_a_constant_rate():
    model = make(learning_rate_init=0.1)
    for first in range(0, 200, 50):
        model.partial_fit(X[first : first + 50], CLUSTER[first : first + 50], classes=range(4))
    for _ in range(10):
        model.partial_fit(X, CLUSTER)
    assert (model.n_iter_, model.t_) == (14, 4 * 4 + 10 * 13)  # in batches of 16 rows
    assert model.score(X, CLUSTER) > 0.95


@pytest.mark.parametrize("n_calls", [1, 3])
def test_partial_fit_moves_by_the_rate_in_every_step(n_calls):
    settings = {"optimizer": "sgd", "batch_size": 200, "hidden_layer_sizes": (4,)}
    model = make(**settings, learning_rate_init=0.1, loss="softmax")
    model.partial_fit(X, CLUSTER, classes=range(4))
    for _ in range(n_calls - 1):
        model.partial_fit(X, CLUSTER)
    before, probabilities = model.intercepts_[-1].copy(), model.predict_proba(X)
    model.partial_fit(X, CLUSTER)
    gradient = (probabilities - np.eye(4)[CLUSTER]).mean(axis=0)
    assert_allclose(model.intercepts_[-1] - before, -0.1 * gradient, rtol=1e-3, atol=1e-6)


def test_partial_fit_goes_on_after_fit():
    model = make(max_iter=3).fit(X, CLUSTER)
    before = model.coefs_[0].copy()
    model.set_params(learning_rate_init=1e-6).partial_fit(X, CLUSTER)
    assert (model.n_iter_, len(model.loss_curve_)) == (4, 4)
    assert_allclose(model.coefs_[0], before, atol=1e-3)


def test_warm_start_goes_on_and_cold_start_begins_again():
    warm = make(max_iter=3, warm_start=True).fit(X, CLUSTER)
    first = warm.loss_curve_[0]
    warm.fit(X, CLUSTER)
    cold = make(max_iter=3).fit(X, CLUSTER).fit(X, CLUSTER)
    assert (warm.n_iter_, cold.n_iter_) == (6, 3)
    assert warm.loss_curve_[3] < first / 2
    assert_same_weights(cold, make(max_iter=3).fit(X, CLUSTER))


def test_softmax_logistic_switches_after_a_tenth_and_does_not_switch_back():
    model = make(loss="softmax_logistic", max_iter=20, warm_start=True).fit(X, CORNERS)
    softmax_loss, logistic_loss = model.loss_curve_[:2], model.loss_curve_[3:]
    assert min(softmax_loss) > 2 * np.log(2) - 0.1 > max(logistic_loss)
    assert_array_equal(model.predict(X), model.decision_function(X) > 0)
    model.fit(X, CORNERS)
    assert_array_equal(model.predict(X), model.decision_function(X) > 0)


@pytest.mark.parametrize("negatives", ["lsh", "uniform", "in_batch", "full"])
def test_pickle_predicts_the_same_and_trains_on(negatives):
    features, Y = wide_problem()
    model = wide_model(negatives=negatives).fit(features, Y)
    stored = pickle.loads(pickle.dumps(model))
    assert_array_equal(stored.decision_function(features), model.decision_function(features))
    assert_same_weights(stored.partial_fit(features, Y), model.partial_fit(features, Y))


@pytest.mark.parametrize("negatives", ["lsh", "uniform", "in_batch", "full"])
def test_read_only_memory_map_predicts_the_same_and_trains_on(negatives, tmp_path):
    features, Y = wide_problem()
    model = wide_model(negatives=negatives).fit(features, Y)
    joblib.dump(model, tmp_path / "model")
    stored = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not stored.coefs_[0].flags.writeable
    assert_array_equal(stored.decision_function(features), model.decision_function(features))
    assert_same_weights(stored.partial_fit(features, Y), model.partial_fit(features, Y))


def test_coefs_are_views_shaped_as_in_mlp():
    features, Y = wide_problem()
    model = wide_model(hidden_layer_sizes=(16, 7)).fit(features, Y)
    assert [c.shape for c in model.coefs_] == [(400, 16), (16, 7), (7, 3000)]
    assert [b.shape for b in model.intercepts_] == [(16,), (7,), (3000,)]
    hidden = features.toarray()
    for coef, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ coef + bias, 0)
    logits = hidden @ model.coefs_[-1] + model.intercepts_[-1]
    assert_allclose(model.decision_function(features), logits, rtol=1e-4, atol=1e-4)
    model.coefs_[-1][:, 5], model.intercepts_[-1][5] = 0, 123
    assert (model.decision_function(features)[:, 5] == 123).all()


@pytest.mark.parametrize(
    ["settings", "expected"],
    [
        ({"negatives": "full"}, 3000), ({"active_set": "full"}, 3000),
        ({"negatives": "uniform", "n_active": 10**6}, 3000),
    ],
    ids=str,
)  # fmt: skip
def test_full_active_sets_look_at_all_classes(settings, expected):
    model = wide_model(**settings).fit(*wide_problem())
    assert (model.n_active_, model.bucket_load_) == (expected, 0)


def test_training_is_counted():
    model = wide_model(max_iter=3, batch_size=50).fit(*wide_problem())
    assert (model.n_iter_, model.t_, len(model.loss_curve_)) == (3, 3 * 12, 3)
    assert 100 < model.n_active_ < 200  # n_active, and at most two labels a row
    assert 1 <= model.bucket_load_ < 3000
    assert model.n_features_in_ == 400


def test_clone_and_set_params():
    model = make(n_bits=7).fit(X, CLUSTER)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "coefs_")
    assert model.set_params(max_iter=3).fit(X, CLUSTER).n_iter_ == 3


def test_verbose_prints_each_loss(capsys):
    model = make(max_iter=2, verbose=True).fit(X, CLUSTER)
    lines = [f"Epoch {i}, loss = {loss:.6f}" for i, loss in enumerate(model.loss_curve_, 1)]
    assert capsys.readouterr().out.splitlines() == lines
