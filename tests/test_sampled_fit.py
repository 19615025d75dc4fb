"""SampledFit: draws that stay unbiased around any estimator, and what they are good for."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklsh import (
    LSHSoftmaxClassifier,
    MISSIONClassifier,
    SampledFit,
    SLIDEClassifier,
)
from sklsh._targets import TargetFormat
from sklsh.row_sampling._draws import PROBE_BATCHES, PROBE_PERIOD
from sklsh.sampled_fit import _row_scores
from sklsh.sampled_fit._row_scores import RowScore

N = 60
IDS = np.random.default_rng(0).permutation(N).reshape(-1, 1)  # row i has the feature IDS[i]
X, y = make_classification(600, 8, weights=[0.9], random_state=0)
X = X.astype(np.float32)
ALWAYS = {"warmup": 0, "min_gain": 0, "random_state": 0}  # draws by scores as soon as there are any


def hard_region(n, share=0.05, seed=0):
    """Rows of which most are told apart by one feature, and a share by the signs of two sines."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 8)).astype(np.float32)
    hard = rng.random(n) < share
    X[:, 0] = np.where(hard, 2, -2) + 0.3 * X[:, 0]
    X[~hard, 1] += 4 * np.sign(X[~hard, 1])
    board = np.sin(2 * X[:, 2]) * np.sin(2 * X[:, 3]) > 0
    return X, np.where(hard, 2 + board, X[:, 1] > 0), hard


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers which rows it was passed, by their one feature."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is not None:
            self.classes_, self.calls_ = classes, []
        assert hasattr(self, "classes_"), "classes come with the first rows"
        self.calls_.append((X[:, 0].astype(int), y, sample_weight))
        return self

    def predict(self, X):
        return self.classes_[np.zeros(len(X), dtype=int)]

    def decision_function(self, X):
        return 2.0 * (X[:, 0] >= 10) - 1  # the ten smallest are on the wrong side

    @property
    def totals(self):
        """How often each row came, and the sum of its weights."""
        ids, _, weights = (np.concatenate(part) for part in zip(*self.calls_, strict=True))
        return np.bincount(ids, minlength=N), np.bincount(ids, weights, minlength=N)


def recorded(sample_weight=None, **params):
    model = SampledFit(Recorder(), **{"batch_size": 6, "pool_factor": 2} | params)
    return model.fit(IDS, np.ones(N, dtype=int), sample_weight, classes=[0, 1])


@pytest.mark.parametrize("sampler", ["kernel", "stale", "exact"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
def test_weights_make_up_for_the_draws(sampler, weighted):
    sample_weight = np.linspace(0.8, 1.2, N) if weighted else np.ones(N)
    n_epochs = 600
    settings = {"batch_size": N // 2, "pool_factor": 1, "floor": 0.5, "max_iter": n_epochs}
    model = recorded(sample_weight, sampler=sampler, **settings, **ALWAYS)
    counts, sums = model.estimator_.totals
    assert model.sampled_share_ > 0.99
    assert counts[:10].mean() > 1.5 * counts[10:].mean()
    expected = np.empty(N)
    expected[IDS[:, 0]] = sample_weight
    least = 0.4  # draws of a row in an epoch, by the floor and its weight
    deviation = np.sqrt((1 - least) / least / n_epochs)
    np.testing.assert_allclose(sums / n_epochs, expected, rtol=5 * deviation)


def test_uniform_draws_take_every_row_once_an_epoch():
    model = recorded(sampler="uniform", max_iter=3, random_state=0)
    counts, sums = model.estimator_.totals
    assert (counts == 3).all() and (sums == 3).all()
    assert model.n_iter_ == 3 and model.sampled_share_ == 0 and np.isnan(model.sampling_gain_)


def test_rows_come_with_their_labels():
    labels = IDS[:, 0] % 3
    model = SampledFit(Recorder(), row_score=lambda e, X, y: X[:, 0], batch_size=6, **ALWAYS)
    model.fit(IDS, labels)
    for ids, passed, _ in model.estimator_.calls_:
        np.testing.assert_array_equal(passed, ids % 3)


def test_rows_of_no_weight_are_left_out():
    weight = np.where(IDS[:, 0] % 2, 0.0, 2.0)
    counts, sums = recorded(weight, sampler="uniform", max_iter=1).estimator_.totals
    assert not counts[1::2].any() and (sums[::2] == 2).all()


def test_the_given_estimator_stays_as_it_was():
    inner = Recorder()
    SampledFit(inner).fit(IDS, IDS[:, 0] % 2)
    assert not vars(inner)


# ---- what rows teach ----


def fitted(estimator, X=X, y=y, **params):
    return SampledFit(estimator, **{"max_iter": 5, "batch_size": 32} | params).fit(X, y)


def scores_of(model, X, y):
    target_format = TargetFormat.of(y) if is_classifier(model) else None
    return RowScore("auto", target_format)(model.estimator_, X, y)


def test_scores_by_probabilities():
    labels = np.arange(600) % 3
    model = fitted(SGDClassifier(loss="log_loss", random_state=0), y=labels)
    residuals = model.predict_proba(X) - np.eye(3)[labels]
    np.testing.assert_allclose(
        scores_of(model, X, labels), np.linalg.norm(residuals, axis=1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_by_margins(n_classes):
    labels = np.arange(600) % n_classes
    model = fitted(SGDClassifier(random_state=0), y=labels)
    signs = 2 * np.eye(n_classes)[labels] - 1
    decision = model.decision_function(X)
    if n_classes == 2:
        decision, signs = decision[:, None], signs[:, 1:]
    within = (signs * decision < 1).sum(axis=1)
    np.testing.assert_allclose(scores_of(model, X, labels), np.sqrt(within))
    assert 0 < within.mean() < n_classes


def test_scores_of_regressors():
    model = fitted(SGDRegressor(random_state=0), y=X[:, 0])
    np.testing.assert_allclose(
        scores_of(model, X, X[:, 0]), abs(model.predict(X) - X[:, 0]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("multilabel", [False, True])
def test_of_very_many_classes_only_the_best_counts(multilabel, monkeypatch):
    labels = y
    if multilabel:
        labels = np.column_stack([y, y, 1 - y])
    model = fitted(SLIDEClassifier((8,), random_state=0), y=labels, max_iter=1)
    monkeypatch.setattr(_row_scores, "MANY_CLASSES", 1)
    best = model.predict_top_k(X, 1)[0][:, 0]
    wrong = labels[np.arange(600), best] == 0 if multilabel else best != labels
    np.testing.assert_array_equal(scores_of(model, X, labels), wrong)
    assert 0 < wrong.mean() < 1


def test_without_scores_of_its_own_predictions_count(monkeypatch):
    monkeypatch.delattr(Recorder, "decision_function")
    model = recorded(max_iter=1)
    labels = np.arange(N) % 2
    np.testing.assert_array_equal(scores_of(model, IDS, labels), labels != 0)


@pytest.mark.parametrize(["observe_every", "scored"], [(1, 9), (3, 3), (10, 0)])
def test_one_of_so_many_batches_is_scored(observe_every, scored):
    """Of ten in the first call, the first of which no estimator is there to score."""
    n_rows = []

    def row_score(estimator, X, y):
        n_rows.append(len(X))
        return np.ones(len(X))

    recorded(row_score=row_score, observe_every=observe_every, max_iter=1)
    assert n_rows == [6] * scored


def test_where_scores_do_not_pay_few_rows_are_scored():
    n_scored = []

    def row_score(estimator, X, y):
        n_scored.append(len(X))
        return np.ones(len(X))

    n_epochs = 4 * PROBE_PERIOD
    assert N < PROBE_BATCHES * 6  # an epoch is one draw
    model = recorded(row_score=row_score, warmup=0, max_iter=n_epochs)
    assert model.sampled_share_ == 0
    assert model.sampling_gain_ == pytest.approx(1)
    assert sum(n_scored) < N * (n_epochs / PROBE_PERIOD + 3)


def test_expected_scores_tell_the_hard_rows():
    X, y, hard = hard_region(6000)
    model = fitted(SLIDEClassifier((16,), random_state=0), X=X, y=y, max_iter=2, **ALWAYS)
    scores = model.estimate_loss(X, y)
    assert scores[hard].mean() > 5 * scores[~hard].mean()


# ---- what it helps ----


def test_a_hard_region_is_learnt_in_fewer_steps():
    """Where few rows teach, batches of those that do lower the loss further in as many steps."""
    X, y, _ = hard_region(48_000)
    train, test = slice(24_000), slice(24_000, None)
    losses = {}
    for sampler in ("kernel", "uniform"):
        network = SLIDEClassifier((64,), learning_rate_init=0.01, batch_size=64, random_state=0)
        model = SampledFit(network, sampler=sampler, max_iter=5, batch_size=256, random_state=0)
        model.fit(X[train], y[train])
        losses[sampler] = log_loss(y[test], model.predict_proba(X[test]))
    assert losses["kernel"] < 0.8 * losses["uniform"]


# ---- scikit-learn's ways ----


def test_threads_make_no_difference():
    one, two = (fitted(SGDClassifier(random_state=0), n_jobs=n_jobs, **ALWAYS) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.estimator_.coef_, two.estimator_.coef_)
    np.testing.assert_array_equal(one.estimate_loss(X, y), two.estimate_loss(X, y))
    assert one.sampled_share_ > 0.5


def test_what_is_stored_goes_on_the_same():
    model = fitted(SGDClassifier(random_state=0), **ALWAYS)
    stored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict(X), stored.predict(X))
    for part in (model, stored):
        part.partial_fit(X, y)
    np.testing.assert_array_equal(model.estimator_.coef_, stored.estimator_.coef_)


def test_clones_are_unfitted_and_fit_the_same():
    model = fitted(SGDClassifier(random_state=0), **ALWAYS)
    copy = clone(model)
    assert not hasattr(copy, "estimator_")
    np.testing.assert_array_equal(copy.fit(X, y).estimator_.coef_, model.estimator_.coef_)


def test_grid_search_in_a_pipeline():
    steps = make_pipeline(
        StandardScaler(), SampledFit(SGDClassifier(random_state=0), max_iter=2, **ALWAYS)
    )
    grid = {
        "sampledfit__sampler": ["kernel", "uniform"],
        "sampledfit__estimator__alpha": [1e-4, 1e-2],
    }
    search = GridSearchCV(steps, grid, cv=2).fit(X, y)
    assert (search.cv_results_["mean_test_score"] > 0.8).all()


def test_the_sketch_goes_on_from_chunk_to_chunk():
    model = SampledFit(SGDClassifier(random_state=0), batch_size=32, **ALWAYS)
    shares = []
    for chunk in range(6):
        rows = slice(100 * chunk, 100 * chunk + 100)
        model.partial_fit(X[rows], y[rows], classes=[0, 1] if chunk == 0 else None)
        shares.append(model.sampled_share_)
    assert model.n_iter_ == 6
    assert shares[0] == 0 and shares[1:] == [pytest.approx(k / (k + 1)) for k in range(1, 6)]


@pytest.mark.parametrize("n_features", [8, 1000])
def test_sparse_rows(n_features):
    X, y = make_classification(600, n_features, n_informative=6, random_state=0)
    sparse = sp.csr_matrix(X)
    model = fitted(SGDClassifier(random_state=0), X=sparse, y=y, **ALWAYS)
    assert model.score(sparse, y) > 0.75
    assert model.sampled_share_ > 0.5
    np.testing.assert_array_equal(model.predict(sparse), model.predict(X))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_indicator_matrices(container):
    X, Y = make_multilabel_classification(400, n_classes=6, random_state=0)
    model = fitted(SLIDEClassifier((16,), random_state=0), X=X, y=container(Y), **ALWAYS)
    assert model.sampled_share_ > 0.5
    np.testing.assert_array_equal(
        model.predict_top_k(X, 2)[0], model.estimator_.predict_top_k(X, 2)[0]
    )
    # labels are in no code
    np.testing.assert_array_equal(
        model.estimate_loss(X, container(Y)), model.estimate_loss(X, container(1 - Y))
    )
    model.partial_fit(X, container(Y))
    assert type(model.predict(X)) is type(container(Y))


@pytest.mark.parametrize(
    "estimator",
    [
        LSHSoftmaxClassifier((16,), random_state=0),
        MISSIONClassifier(random_state=0),
        MISSIONClassifier(loss="hinge", random_state=0),
    ],
)
def test_other_estimators_of_this_package(estimator):
    model = fitted(estimator, **ALWAYS)
    assert model.score(X, y) > 0.8
    assert model.sampled_share_ > 0.5


def test_it_has_the_methods_of_the_estimator():
    hinge, regressor = SampledFit(SGDClassifier()), SampledFit(SGDRegressor())
    assert is_classifier(hinge) and is_regressor(regressor)
    assert hasattr(hinge, "decision_function") and not hasattr(hinge, "predict_proba")
    assert not hasattr(regressor, "decision_function")
    assert hasattr(SampledFit(SLIDEClassifier()), "predict_top_k")
    assert not hasattr(hinge, "predict_top_k")
    model = fitted(SGDClassifier("log_loss", learning_rate="constant", eta0=0.01, random_state=0))
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        expected = getattr(model.estimator_, name)(X)
        np.testing.assert_array_equal(getattr(model, name)(X), expected)
    weight = np.arange(600)
    assert model.score(X, y, weight) == model.estimator_.score(X, y, weight)


def test_weights_are_routed_through_a_pipeline():
    weight = np.where(y == 1, 5.0, 1.0)
    inner = SampledFit(SGDClassifier(random_state=0), max_iter=2, **ALWAYS)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        steps = make_pipeline(scaler, inner.set_fit_request(sample_weight=True))
        routed = steps.fit(X, y, sample_weight=weight)[-1]
    alone = clone(inner).fit(StandardScaler().fit_transform(X), y, weight)
    np.testing.assert_array_equal(routed.estimator_.coef_, alone.estimator_.coef_)
    unweighted = clone(inner).fit(StandardScaler().fit_transform(X), y)
    assert (alone.estimator_.coef_ != unweighted.estimator_.coef_).any()


def test_feature_names():
    names = [f"x{j}" for j in range(8)]
    frame = pd.DataFrame(X, columns=names)
    model = fitted(SGDClassifier(random_state=0), X=frame)
    np.testing.assert_array_equal(model.feature_names_in_, names)
    np.testing.assert_array_equal(model.predict(frame), model.estimator_.predict(frame.to_numpy()))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[names[::-1]])


def test_labels_of_any_type():
    labels = np.array(["common", "rare"])[y]
    model = fitted(SGDClassifier(random_state=0), y=labels, **ALWAYS)
    np.testing.assert_array_equal(model.classes_, ["common", "rare"])
    assert set(model.predict(X)) == {"common", "rare"}


def test_epochs_by_the_number_of_rows():
    assert SampledFit(SGDClassifier()).fit(X, y).n_iter_ == 50
    many = np.random.default_rng(0).standard_normal((20_000, 2))
    assert SampledFit(SGDClassifier()).fit(many, many[:, 0] > 0).n_iter_ == 10


def test_epochs_are_printed_on_demand(capsys):
    fitted(SGDClassifier(random_state=0), max_iter=2)
    assert capsys.readouterr().out == ""
    fitted(SGDClassifier(random_state=0), max_iter=2, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1: 0% of all rows drawn by scores, sampling gain nan"
    assert len(lines) == 2
