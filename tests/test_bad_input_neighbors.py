"""Bad input to NeighborBlendClassifier: refused by name, and a fitted model stays as it was."""

import numpy as np
import pytest
from models import CLUSTER, CORNERS, Popular, X, blend
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklsh import _memory

# fmt: off
BAD_PARAMETERS = {
    "estimator": [None, "slide", LogisticRegression()],
    "n_neighbors": [0, 2.5, "all"],
    "weight": [-1, float("nan"), float("inf"), "best", None],
    "n_candidates": [0, 2.5, "auto"],
    "algorithm": ["brute", None],
    "validation_fraction": [0, 1, -0.1, float("nan"), "half"],
    "refit": ["yes", None],
    "random_state": ["x", -1],
    "n_jobs": [0, 1.5, "2"],
}
# fmt: on


@pytest.mark.parametrize(
    ["name", "value"],
    [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, bad in BAD_PARAMETERS.items()
        for value in bad
    ],
)
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_parameters_out_of_range_are_refused_by_name(name, value, fitted):
    model = blend(Popular())
    if fitted:
        model.fit(X, CLUSTER)
    model.set_params(**{name: value})
    before = dict(vars(model))
    with pytest.raises((TypeError, ValueError), match=name):
        model.fit(X, CLUSTER)
    assert vars(model) == before


def test_every_parameter_is_in_the_table():
    assert BAD_PARAMETERS.keys() == blend().get_params(deep=False).keys()


def test_estimators_without_lists_are_refused_by_name():
    message = "'estimator' .* 'predict_top_k'. Got LogisticRegression"
    with pytest.raises(ValueError, match=f"(?s){message}"):
        blend(LogisticRegression()).fit(X, CLUSTER)


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda m: m.fit(X * np.nan, CLUSTER), "X contains NaN"),
        (lambda m: m.fit(X[:30], CLUSTER), "inconsistent numbers of samples"),
        (lambda m: m.fit(X, CLUSTER + 0.5), "continuous"),
        (lambda m: m.fit(X, 2 * CORNERS), "0 and 1"),
        (lambda m: m.fit(X, CLUSTER, sample_weight=-np.ones(200)), "`sample_weight`"),
        (lambda m: m.fit(X[:4], np.arange(4)), 'weight="auto" found no row .* n_samples=4'),
        (lambda m: m.fit(X[:1], CORNERS[:1]), "no row to hold out among n_samples=1"),
        (lambda m: m.predict(X[:, :3]), "3 features"),
        (lambda m: m.predict_top_k(X, 0), "k must be .* 4; got 0"),
        (lambda m: m.predict_top_k(X, 5), "k must be .* 4; got 5"),
    ],
)
def test_bad_input_leaves_the_model_as_it_was(call, message):
    model = blend(Popular()).fit(X, CLUSTER)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        call(model)
    assert vars(model) == before


def test_classes_other_than_those_of_y_are_refused():
    class Reversed(Popular):
        def fit(self, X, y):
            super().fit(X, y)
            self.classes_ = self.classes_[::-1]
            return self

    with pytest.raises(ValueError, match="estimator must have classes_ .* Reversed has"):
        blend(Reversed()).fit(X, CLUSTER)


@pytest.mark.parametrize(
    "settings", [{}, {"weight": 1}, {"weight": 1, "algorithm": "lsh"}], ids=str
)
def test_neighbours_that_do_not_fit_are_refused_before_the_fit(settings, monkeypatch):
    class Never(Popular):
        def fit(self, X, y):
            raise AssertionError

    monkeypatch.setattr(_memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match="neighbours among 200 rows .* would take .* bytes"):
        blend(Never(), **settings).fit(X, CLUSTER)


def test_lists_that_do_not_fit_are_refused(monkeypatch):
    model = blend(weight=1).fit(X, CLUSTER)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100)
    with pytest.raises(MemoryError, match="The 4 best labels of 200 rows would take 12,800 bytes"):
        model.predict_top_k(X, 4)


@pytest.mark.parametrize("method", ["predict", "predict_top_k"])
def test_unfitted_model_says_so(method):
    with pytest.raises(NotFittedError):
        getattr(blend(), method)(X)
    with pytest.raises(NotFittedError):
        blend().lean_copy()


@pytest.mark.parametrize("attribute", ["weight_", "estimator_", "classes_", "memory_usage_"])
def test_unfitted_model_has_no_fitted_attributes(attribute):
    assert not hasattr(blend(), attribute)
