"""How MISSION models learn: against scikit-learn and closed forms, and bit for bit again."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.preprocessing import normalize
from test_callbacks import Recorder

from sklsh import MISSIONClassifier, MISSIONRegressor, MISSIONSelector

X, Y = make_classification(300, 12, n_informative=8, n_classes=2, random_state=0)
_, Y3 = make_classification(300, 12, n_informative=8, n_classes=3, random_state=0)
NUMBERS = X @ np.linspace(-1, 1, 12) + np.random.default_rng(0).normal(size=300)
WEIGHT = np.random.default_rng(1).integers(0, 4, 300).astype(float)
STEADY = {"learning_rate": "constant", "shuffle": False, "alpha": 0.0, "random_state": 0}
MODES = pytest.mark.parametrize("mode", ["active", "mission"])


def tail_of(seed, n=300, p=10**6, nnz=20):
    """Sparse rows whose columns crowd a small sketch."""
    rng = np.random.default_rng(seed)
    columns = (p * rng.random((n, nnz)) ** 3).astype(np.int64)
    parts = (np.ones(n * nnz, dtype=np.float32), columns.ravel(), np.arange(n + 1) * nnz)
    X = sp.csr_array(parts, shape=(n, p))
    X.sum_duplicates()
    X.data[:] = 1
    return X


TAIL = tail_of(0)


def assert_same_model(a, b):
    """Equal bit for bit."""
    assert_array_equal(a._model.weights, b._model.weights)
    assert_array_equal(a._model.active_ids, b._model.active_ids)
    assert_array_equal(a.intercept_, b.intercept_)
    assert_array_equal(a._model.status, b._model.status)
    assert a.loss_curve_ == b.loss_curve_


def crowded(**settings):
    """Selector whose active set and sketch are both too small for TAIL."""
    sizes = {"n_features_to_select": 20, "width": 2**8, "max_iter": 4, "batch_size": 16}
    return MISSIONSelector(**(sizes | {"random_state": 0} | settings))


@MODES
@pytest.mark.parametrize(
    ["loss", "y"],
    [("log_loss", Y), ("hinge", Y), ("hinge", Y3)],  # ours of three classes is multinomial
    ids=["log_loss", "hinge", "hinge of three"],
)
def test_single_rows_are_the_steps_of_sgd_classifier(loss, y, mode):
    settings = STEADY | {"loss": loss, "max_iter": 3, "mode": mode}
    ours = MISSIONClassifier(batch_size=1, learning_rate_init=0.02, **settings).fit(X, y)
    theirs = SGDClassifier(
        loss=loss, penalty=None, learning_rate="constant", eta0=0.02, shuffle=False, max_iter=3,
        tol=None,
    ).fit(X, y)  # fmt: skip
    assert_allclose(ours.coef_.toarray(), theirs.coef_, atol=2e-5)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=2e-5)
    assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=2e-4)


@MODES
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_single_rows_are_the_steps_of_sgd_regressor(loss, mode):
    settings = STEADY | {"loss": loss, "max_iter": 3, "mode": mode, "epsilon": 0.3}
    ours = MISSIONRegressor(batch_size=1, learning_rate_init=0.005, **settings).fit(X, NUMBERS)
    theirs = SGDRegressor(
        loss=loss, penalty=None, learning_rate="constant", eta0=0.005, shuffle=False, max_iter=3,
        tol=None, epsilon=0.3,
    ).fit(X, NUMBERS, intercept_init=NUMBERS.mean())  # fmt: skip
    assert_allclose(ours.coef_.toarray()[0], theirs.coef_, atol=2e-5)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=2e-5)
    assert_allclose(ours.predict(X), theirs.predict(X), atol=2e-4)


def descend(X, gradient, n_outputs, *, rate, epochs, batch_size, weight, alpha=0.0, intercept=0.0):
    """Gradient descent as MISSION does it, with all features in the active set."""
    W, b = np.zeros((X.shape[1], n_outputs)), np.full(n_outputs, intercept)
    for _ in range(epochs):
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            n = len(X[rows])
            G = weight[rows, None] * gradient(X[rows] @ W + b, rows)
            W -= rate * X[rows].T @ G
            b -= min(rate, 0.5 / weight[rows].sum()) * G.sum(axis=0)
            W *= (1 - rate * alpha) ** n
    return W.T, b


@pytest.mark.parametrize("rate", [1e-3, 0.02])  # of the constant part: as of others, and less
@pytest.mark.parametrize("alpha", [0.0, 0.05])
@pytest.mark.parametrize("loss", ["log_loss", "multinomial", "hinge", "squared_error"])
def test_batches_are_steps_of_gradient_descent(loss, alpha, rate):
    sign, one_hot = 2.0 * Y[:, None] - 1, np.eye(3)[Y3]
    gradient = {
        "log_loss": lambda S, rows: -sign[rows] * expit(-sign[rows] * S),
        "hinge": lambda S, rows: -sign[rows] * (sign[rows] * S < 1),
        "multinomial": lambda S, rows: softmax(S, axis=1) - one_hot[rows],
        "squared_error": lambda S, rows: S - NUMBERS[rows, None],
    }[loss]
    intercept = np.average(NUMBERS, weights=WEIGHT + 0.5) if loss == "squared_error" else 0.0
    plan = {"rate": rate / 100 if loss == "squared_error" else rate, "batch_size": 64}
    W, b = descend(X, gradient, 3 if loss == "multinomial" else 1, epochs=2, weight=WEIGHT + 0.5,
                   alpha=alpha, intercept=intercept, **plan)  # fmt: skip
    settings = STEADY | {"batch_size": 64, "learning_rate_init": plan["rate"], "alpha": alpha}
    settings |= {"loss": "log_loss" if loss == "multinomial" else loss, "max_iter": 2}
    kind = MISSIONRegressor if loss == "squared_error" else MISSIONClassifier
    y = {"multinomial": Y3, "squared_error": NUMBERS}.get(loss, Y)
    model = kind(**settings).fit(X, y, sample_weight=WEIGHT + 0.5)
    assert_allclose(model.coef_.toarray(), W, atol=1e-4)
    assert_allclose(model.intercept_, b, atol=1e-4)


@pytest.mark.parametrize("y", [Y, Y3], ids=["binary", "multiclass"])
def test_sample_weight_is_how_often_a_row_counts(y):
    settings = STEADY | {"batch_size": 1000, "learning_rate_init": 5e-4, "max_iter": 5}
    weighted = MISSIONClassifier(**settings).fit(X, y, sample_weight=WEIGHT)
    rows = np.repeat(np.arange(300), WEIGHT.astype(int))
    repeated = MISSIONClassifier(**settings).fit(X[rows], y[rows])
    assert_allclose(weighted.coef_.toarray(), repeated.coef_.toarray(), atol=1e-5)
    assert_allclose(weighted.intercept_, repeated.intercept_, atol=1e-5)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-5)


@MODES
def test_class_weight_is_a_weight_of_its_rows(mode):
    def model(**settings):
        return crowded(mode=mode, **settings)

    named = model(class_weight={0: 2, 2: 0.5}).fit(TAIL, Y3, sample_weight=WEIGHT)
    by_hand = WEIGHT * np.array([2, 1, 0.5])[Y3]
    assert_same_model(named, model().fit(TAIL, Y3, sample_weight=by_hand))
    balanced = model(class_weight="balanced").fit(TAIL, Y3)
    shares = (300 / (3 * np.bincount(Y3))).astype(np.float32)[Y3]
    assert_same_model(balanced, model().fit(TAIL, Y3, sample_weight=shares))


@MODES
def test_normalize_scales_rows_to_unit_length(mode):
    settings = {"random_state": 0, "max_iter": 3, "mode": mode}
    ours = MISSIONClassifier(normalize=True, **settings).fit(X, Y)
    by_hand = MISSIONClassifier(**settings).fit(normalize(X), Y)
    assert_allclose(ours.coef_.toarray(), by_hand.coef_.toarray(), atol=1e-4)
    assert_allclose(ours.decision_function(7 * X), by_hand.decision_function(normalize(X)), 1e-3)
    assert_allclose(ours.decision_function(np.zeros((1, 12))), ours.intercept_)


@MODES
def test_normalize_takes_rows_that_are_unsorted_or_have_a_feature_twice(mode):
    """In any number of columns, as hashed tokens are."""
    far = 2**60
    parts = [2.0, 1.0, 1.0, 3.0, 4.0], np.array([far, 5, far, 7, 5]), np.array([0, 3, 5])
    rows = sp.csr_array(parts, shape=(2, 2**62))
    ids = np.array([5, 7, far])
    by_hand = sp.csr_array(
        ([1 / 10**0.5, 3 / 10**0.5, 0.8, 0.6], [5, far, 5, 7], [0, 2, 4]), shape=rows.shape
    )
    settings = {"random_state": 0, "max_iter": 3, "mode": mode}
    ours = MISSIONClassifier(normalize=True, **settings).fit(rows, [0, 1])
    expected = MISSIONClassifier(**settings).fit(by_hand, [0, 1])
    assert_allclose(ours._model.weights_of(ids), expected._model.weights_of(ids), rtol=1e-5)
    assert rows.indices.tolist() == [far, 5, far, 7, 5]


@MODES
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_partial_fit_is_one_pass_at_a_constant_rate(mode, schedule):
    once = crowded(mode=mode, learning_rate=schedule).partial_fit(TAIL, Y)
    assert_same_model(once, crowded(mode=mode, learning_rate="constant", max_iter=1).fit(TAIL, Y))


def test_partial_fit_goes_on_with_invscaling():
    settings = {"learning_rate": "invscaling", "power_t": 0.3}
    passes = crowded(**settings)
    for _ in range(4):
        passes.partial_fit(TAIL, Y)
    assert_same_model(passes, crowded(**settings).fit(TAIL, Y))


@MODES
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("y", [Y, Y3], ids=["binary", "multiclass"])
def test_threads_do_not_change_the_model(mode, depth, y):
    one, two = (crowded(mode=mode, depth=depth, n_jobs=n).fit(TAIL, y) for n in (1, 2))
    assert_same_model(two, one)
    assert_array_equal(two.sketch_, one.sketch_)
    assert len(one._model.active_ids) >= 20
    assert np.count_nonzero(one.sketch_) > 100


def test_random_state_fixes_the_model():
    model = crowded().fit(TAIL, Y)
    assert_same_model(crowded(random_state=0).fit(TAIL, Y), model)
    assert_same_model(crowded(random_state=np.random.RandomState(0)).fit(TAIL, Y), model)
    assert not np.array_equal(crowded(random_state=1).fit(TAIL, Y).sketch_, model.sketch_)


@pytest.mark.parametrize("form", [np.float64, np.float32, np.int64, bool])
def test_values_of_any_type_are_read_as_float32(form):
    cast = TAIL.astype(form)
    assert_same_model(crowded().fit(cast, Y), crowded().fit(TAIL, Y))


def test_equal_weights_of_rows_are_no_weights():
    plain = MISSIONRegressor(alpha=0, random_state=0).fit(X, NUMBERS)
    heavy = MISSIONRegressor(alpha=0, random_state=0).fit(X, NUMBERS, np.full(len(X), 100.0))
    assert_allclose(heavy.predict(X), plain.predict(X), atol=1e-3)
    assert plain.score(X, NUMBERS) > 0.8


def test_batches_of_rows_that_sum_to_zero_are_stable():
    rng = np.random.default_rng(0)
    pairs = np.array([rng.choice(8, 2, replace=False) for _ in range(600)])
    games = np.zeros((600, 8))
    np.put_along_axis(games, pairs, [[1, -1]], axis=1)
    assert (
        MISSIONRegressor(random_state=0)
        .fit(games, games @ np.arange(8.0))
        .score(games, games @ np.arange(8.0))
        > 0.95
    )


def test_targets_far_from_zero():
    for loss in ("squared_error", "huber"):
        model = MISSIONRegressor(loss=loss, random_state=0).fit(X, NUMBERS + 1000)
        assert model.score(X, NUMBERS + 1000) > 0.6


def test_alpha_and_l1_ratio_shrink():
    model = crowded().fit(TAIL, Y)
    ridge, lasso = (crowded(alpha=0.05, l1_ratio=r).fit(TAIL, Y) for r in (0, 1))
    for penalised in (ridge, lasso):
        assert np.abs(penalised.feature_weights_).sum() < np.abs(model.feature_weights_).sum()
    assert len(crowded(alpha=50, l1_ratio=1).fit(TAIL, Y).feature_ids_) == 0


def test_rate_and_batches_are_told():
    model = crowded(learning_rate_init=0.25, batch_size=7).fit(TAIL, Y)
    assert (model.learning_rate_init_, model.batch_size_, model.n_iter_) == (0.25, 7, 4)
    auto = crowded(learning_rate_init="auto", batch_size="auto", max_iter="auto").fit(TAIL, Y)
    assert auto.learning_rate_init_ == pytest.approx(0.5 / TAIL.multiply(TAIL).sum(axis=1).mean())
    assert 1 <= auto.batch_size_ <= 512
    assert auto.n_iter_ == len(auto.loss_curve_) == 30
    assert auto.loss_curve_[-1] < auto.loss_curve_[0]


@MODES
def test_probabilities_and_single_rows(mode):
    for y in (Y, Y3):
        model = MISSIONClassifier(20, mode=mode, width=2**8, max_iter=2, random_state=0)
        model.fit(TAIL, y)
        probability = model.predict_proba(TAIL)
        assert_allclose(probability.sum(axis=1), 1)
        assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(TAIL))
        alone = [model.decision_function(TAIL[[i]])[0] for i in range(20)]
        assert_array_equal(alone, model.decision_function(TAIL)[:20])
        assert_array_equal(copy.copy(model).set_params(n_jobs=2).predict_proba(TAIL), probability)


def test_probabilities_need_the_logistic_loss():
    assert not hasattr(MISSIONClassifier(loss="hinge"), "predict_proba")


@MODES
@pytest.mark.parametrize("y", [Y, Y3], ids=["binary", "multiclass"])
def test_coefficients_and_intercept_are_the_decision_function(mode, y):
    model = MISSIONClassifier(12, mode=mode, random_state=0, max_iter=3).fit(X, y)
    assert model.coef_.nnz == model.coef_.shape[0] * 12
    expected = X @ model.coef_.T + model.intercept_
    assert_allclose(np.squeeze(expected), model.decision_function(X), rtol=1e-3, atol=1e-4)


@MODES
@pytest.mark.parametrize("store", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_a_stored_model_goes_on_bit_for_bit(mode, store):
    model = crowded(mode=mode).fit(TAIL, Y3)
    again = store(model)
    assert_same_model(again, model)
    for _ in range(2):
        assert_same_model(again.partial_fit(TAIL, Y3), model.partial_fit(TAIL, Y3))


@MODES
def test_a_read_only_memory_map_predicts_learns_on_and_merges(mode, tmp_path):
    model = MISSIONClassifier(20, mode=mode, width=2**8, random_state=0, max_iter=2).fit(TAIL, Y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped._model.weights.flags.writeable
    assert_array_equal(mapped.predict_proba(TAIL), model.predict_proba(TAIL))
    assert_array_equal(mapped.feature_weights_, model.feature_weights_)
    merged = joblib.load(tmp_path / "model", mmap_mode="r").merge(mapped)
    assert_allclose(merged.sketch_, model.sketch_, rtol=1e-5, atol=1e-7)
    assert_same_model(mapped.partial_fit(TAIL, Y), model.partial_fit(TAIL, Y))
    assert type(mapped._model.weights) is np.ndarray


def test_callbacks_see_each_epoch_as_if_fit_had_ended_there():
    recorder = Recorder()
    watched = crowded().set_callbacks(recorder).fit(TAIL, Y)
    epochs = ["epoch begins", "epoch ends"] * 4
    assert recorder.hooks == ["setup", "fit begins", *epochs, "fit ends", "teardown"]
    assert_same_model(watched, crowded().fit(TAIL, Y))
    assert [fitted.n_iter_ for fitted in recorder.fitted] == [1, 2, 3, 4]
    stopped = crowded().set_callbacks(Recorder(stop_at=2)).fit(TAIL, Y)
    assert stopped.n_iter_ == 2
    assert_same_model(recorder.fitted[1], stopped)
    assert_same_model(recorder.fitted[1].partial_fit(TAIL, Y), stopped.partial_fit(TAIL, Y))


def test_failing_callback_leaves_the_model_as_it_was():
    model = crowded().fit(TAIL, Y)
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match="as told"):
        model.set_callbacks(Recorder(fail_at=2)).fit(TAIL, Y3)
    assert vars(model.set_callbacks()) == before


def test_verbose_prints_a_line_an_epoch(capsys):
    model = crowded(verbose=True).fit(TAIL, Y)
    lines = capsys.readouterr().out.splitlines()
    expected = [f"Epoch {i + 1}, loss = {loss:.6f}" for i, loss in enumerate(model.loss_curve_)]
    assert lines == expected
    clone(model).set_params(verbose=False).fit(TAIL, Y)
    assert capsys.readouterr().out == ""
