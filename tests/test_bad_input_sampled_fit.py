"""Bad input to SampledFit: refused by name, and a fitted model stays as it was."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import MultinomialNB

from sklsh import SampledFit, _memory

X, y = make_classification(200, 6, n_classes=3, n_informative=4, random_state=0)


class WithoutWeights(ClassifierMixin, BaseEstimator):
    def partial_fit(self, X, y, classes=None):
        raise AssertionError("refused before it is called")

    def predict(self, X):
        raise AssertionError("refused before it is called")


# fmt: off
BAD_PARAMETERS = {
    "estimator": [None, "sgd", LogisticRegression(), MiniBatchKMeans(), WithoutWeights()],
    "sampler": ["lsh", None],
    "n_rows": [0, 2.5],
    "n_bits": [0, 25, 2.5],
    "n_buckets": [0, 1000, 2.5],
    "include_target": ["yes", None],
    "row_score": ["loss", None],
    "observe_every": [0, 2.5, None],
    "pool_factor": [0.5, float("nan"), "auto"],
    "subsample": [0, 1.1, float("nan")],
    "floor": [0, 1.1, float("nan")],
    "importance_power": [-0.1, 1.1, float("nan")],
    "decay": [0, 1.1, float("nan")],
    "warmup": [-1, 2.5],
    "min_gain": [-1, float("nan")],
    "batch_size": [0, 2.5, "auto"],
    "max_iter": [0, 2.5, None],
    "verbose": [-1, "yes"],
    "random_state": ["x", -1],
    "n_jobs": [0, 1.5, "2"],
}
# fmt: on


def fitted(**params):
    return SampledFit(
        SGDClassifier(random_state=0),
        **{"batch_size": 32, "max_iter": 2, "random_state": 0} | params,
    ).fit(X, y)


def state(model):
    """What training moves, of the model and inside of it."""
    inner = model.estimator_
    return dict(vars(model)), inner.t_, inner.coef_.copy(), model._draws.n_drawn


def assert_unchanged(model, before):
    attributes, t, coef, n_drawn = before
    assert vars(model) == attributes
    assert (model.estimator_.t_, model._draws.n_drawn) == (t, n_drawn)
    np.testing.assert_array_equal(model.estimator_.coef_, coef)


@pytest.mark.parametrize(
    ["name", "value"],
    [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, bad in BAD_PARAMETERS.items()
        for value in bad
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_out_of_range_are_refused_by_name(name, value, method):
    model = fitted()
    model.set_params(**{name: value})
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=name):
        getattr(model, method)(X, y)
    assert_unchanged(model, before)
    with pytest.raises((TypeError, ValueError), match=name):
        SampledFit(SGDClassifier()).set_params(**{name: value}).fit(X, y)


def test_every_parameter_is_in_the_table():
    model = SampledFit(SGDClassifier())
    assert BAD_PARAMETERS.keys() == model.get_params(deep=False).keys()


@pytest.mark.parametrize(
    ["estimator", "message"],
    [
        (LogisticRegression(), "'partial_fit'"),
        (MiniBatchKMeans(), "estimator must be a classifier or a regressor; got MiniBatchKMeans"),
        (WithoutWeights(), "partial_fit that accepts sample_weight.* WithoutWeights does not"),
    ],
)
def test_what_an_estimator_lacks_is_named(estimator, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SampledFit(estimator).fit(X, y)


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda m: m.fit(X * np.nan, y), "X contains NaN"),
        (lambda m: m.fit(X * 1e300, y), "X contains infinity"),
        (lambda m: m.fit(X[:30], y), "inconsistent numbers of samples"),
        (lambda m: m.fit(X, y + 0.5), "continuous"),
        (lambda m: m.fit(X, np.eye(3)[y]), "one label a row: SGDClassifier takes no indicator"),
        (lambda m: m.fit(X, sp.csr_array(np.eye(3)[y])), "takes no indicator"),
        (lambda m: m.fit(X, 0 * y), "class"),
        (lambda m: m.fit(X, y, classes=[0, 1]), "not in classes"),
        (lambda m: m.fit(X, y, classes=[]), "classes must be"),
        (lambda m: m.fit(X, y, sample_weight=-np.ones(200)), "`sample_weight`"),
        (lambda m: m.fit(X, y, sample_weight=np.zeros(200)), "`sample_weight`|[Ss]ample weight"),
        (lambda m: m.partial_fit(X * np.nan, y), "X contains NaN"),
        (lambda m: m.partial_fit(X[:, :3], y), "3 features"),
        (lambda m: m.partial_fit(X, np.r_[y[:-1], 3]), "not in classes"),
        (lambda m: m.partial_fit(X, y.astype(str)), "not in classes"),
        (lambda m: m.partial_fit(X, np.eye(3)[y]), "one label a row"),
        (lambda m: m.partial_fit(X, y, classes=[0, 1]), "classes must be as in the first call"),
        (lambda m: m.partial_fit(X, y, sample_weight=np.ones(3)), "sample_weight"),
        (lambda m: m.predict(X[:, :3]), "3 features"),
        (lambda m: m.estimate_loss(X[:, :3], y), "3 features"),
        (lambda m: m.estimate_loss(X, y + 5), "not in classes"),
    ],
)
def test_bad_input_leaves_the_model_as_it_was(call, message):
    model = fitted()
    before = state(model)
    with pytest.raises(ValueError, match=message):
        call(model)
    assert_unchanged(model, before)


def test_negative_features_are_refused_before_some_are_learnt():
    """Only the last batch holds one."""
    counts = np.abs(X)
    model = SampledFit(MultinomialNB(), batch_size=32, max_iter=1).fit(counts, y)
    before = model.estimator_.feature_count_.copy()
    counts[:, 0] *= np.where(np.arange(200) == 199, -1, 1)
    with pytest.raises(ValueError, match="Negative values .* MultinomialNB"):
        model.partial_fit(counts, y)
    np.testing.assert_array_equal(model.estimator_.feature_count_, before)


def test_first_call_of_partial_fit_needs_classes():
    with pytest.raises(ValueError, match="classes must be passed"):
        SampledFit(SGDClassifier()).partial_fit(X, y)


def test_regressors_have_no_classes():
    with pytest.raises(ValueError, match="classes must be None for a regressor"):
        SampledFit(SGDRegressor()).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="1d array"):
        SampledFit(SGDRegressor()).fit(X, X)


@pytest.mark.parametrize(
    ["row_score", "message"],
    [
        (lambda estimator, X, y: np.ones(3), "one number for each of 32 rows; got shape .3,."),
        (lambda estimator, X, y: np.array(["1"] * 32), "one number for each .* dtype <U1"),
        (lambda estimator, X, y: -np.ones(32), "finite non-negative numbers"),
        (lambda estimator, X, y: np.full(32, np.nan), "finite non-negative numbers"),
    ],
)
def test_scores_that_are_none(row_score, message):
    model = fitted(warmup=100)
    model.row_score = row_score
    before = state(model)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)
    assert_unchanged(model, before)


@pytest.mark.parametrize("params", [{"sampler": "stale"}, {"batch_size": 200, "max_iter": 1}])
def test_expected_scores_need_a_sketch_that_has_seen_some(params):
    model = fitted(**params)
    with pytest.raises(ValueError, match='estimate_loss needs .* sampler="kernel"'):
        model.estimate_loss(X, y)


@pytest.mark.parametrize("method", ["predict", "decision_function", "score", "estimate_loss"])
def test_unfitted_models_say_so(method):
    arguments = (X, y) if method in ("score", "estimate_loss") else (X,)
    with pytest.raises(NotFittedError):
        getattr(SampledFit(SGDClassifier()), method)(*arguments)


@pytest.mark.parametrize("attribute", ["sampling_gain_", "sampled_share_"])
def test_unfitted_models_have_no_reports(attribute):
    with pytest.raises(NotFittedError):
        getattr(SampledFit(SGDClassifier()), attribute)


def test_memory_that_will_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"sketch, .* 200 rows .* bytes"):
        SampledFit(SGDClassifier()).fit(X, y)
