"""Class weights: of rows where a row has one label, of labels where it has several."""

import numpy as np
import pytest
import scipy.sparse as sp
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from sklsh._targets import LabelCounts, TargetFormat, class_weights

NAMES = np.array(["oak", "ash", "elm", "fir"])[CLUSTER]
RARE = np.flatnonzero((CLUSTER > 0) | (np.arange(200) % 5 == 0))  # few rows of cluster 0


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("class_weight", [{"ash": 3, "fir": 0.25}, {"oak": 0}, "balanced"], ids=str)
def test_one_label_a_row_weighs_its_row(class_weight, loss):
    settings = {"loss": loss, "max_iter": 3}
    weight = compute_sample_weight(class_weight, NAMES[RARE])
    expected = make(**settings).fit(X[RARE], NAMES[RARE], sample_weight=weight.astype(np.float32))
    model = make(class_weight=class_weight, **settings).fit(X[RARE], NAMES[RARE])
    assert_same_weights(model, expected)
    assert model.loss_curve_ == expected.loss_curve_


def test_class_and_sample_weights_multiply():
    weight = np.linspace(0.5, 2, 200, dtype=np.float32)
    both = make(class_weight={1: 4}, max_iter=3).fit(X, CLUSTER, sample_weight=weight)
    product = weight * np.where(CLUSTER == 1, 4, 1)
    assert_same_weights(both, make(max_iter=3).fit(X, CLUSTER, sample_weight=product))


@pytest.mark.parametrize("settings", [{}, {"n_active": 60, "active_set": "sample"}], ids=str)
def test_weights_of_one_are_no_weights(settings):
    features, Y = wide_problem()
    model = wide_model(class_weight=dict.fromkeys(range(0, 3000, 7), 1), **settings)
    assert_same_weights(model.fit(features, Y), wide_model(**settings).fit(features, Y))


def test_partial_fit_takes_a_dict():
    settings = {"max_iter": 1, "learning_rate": "constant"}
    weights = np.where(CLUSTER == 1, np.float32(4), np.float32(1))
    model = make(class_weight={1: 4}).partial_fit(X, CLUSTER, classes=range(4))
    again = make().partial_fit(X, CLUSTER, classes=range(4), sample_weight=weights)
    assert_same_weights(model, again)
    assert_same_weights(model, make(class_weight={1: 4}, **settings).fit(X, CLUSTER))


def noisy_corners():
    """Corners whose label 0 is there in a third of its rows: too few to be predicted."""
    Y = CORNERS.copy()
    Y[:, 0] &= np.random.RandomState(0).rand(200) < 0.33
    return Y


@pytest.mark.parametrize("loss", ["logistic", "softmax_logistic"])
@pytest.mark.parametrize("class_weight", [{0: 10}, "balanced"], ids=str)
def test_weight_of_a_label_raises_its_recall(loss, class_weight):
    Y = noisy_corners()
    plain, weighted = (
        make(loss=loss, class_weight=w).fit(X, Y).predict(X) for w in (None, class_weight)
    )
    recall_before, recall = (p[Y[:, 0] == 1, 0].mean() for p in (plain, weighted))
    assert recall_before + 0.2 < recall > 0.5


def test_label_of_weight_zero_is_not_learned_from():
    """Its column then only says where it is not: the rows that have it do not count."""
    plain = make(loss="logistic").fit(X, CORNERS)
    weighted = make(loss="logistic", class_weight={2: 0}).fit(X, CORNERS)
    assert plain.predict(X)[:, 2].sum() > 0.9 * CORNERS[:, 2].sum() > 0
    assert weighted.predict(X)[:, 2].sum() == 0
    assert np.mean(weighted.predict(X)[:, [0, 1, 3]] == CORNERS[:, [0, 1, 3]]) > 0.95


def test_balanced_is_that_of_scikit_learn():
    target = TargetFormat.of(NAMES[RARE])
    Y, ones = target.encode(NAMES[RARE]), np.ones(len(RARE), np.float32)
    got = class_weights("balanced", target.classes, LabelCounts.of(Y, ones))
    expected = compute_class_weight("balanced", classes=target.classes, y=NAMES[RARE])
    assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("weighted_rows", [False, True])
def test_balanced_is_one_on_average_and_equal_for_all_classes(weighted_rows):
    Y = TargetFormat.of(sp.csr_array(wide_problem()[1])).encode(wide_problem()[1])
    n_rows, n_classes = Y.shape
    weight = np.linspace(0, 2, n_rows) if weighted_rows else np.ones(n_rows)
    weights = class_weights("balanced", np.arange(n_classes), LabelCounts.of(Y, weight))
    of_label = np.repeat(weight, np.diff(Y.indptr))
    assert np.average(weights[Y.indices], weights=of_label) == pytest.approx(1)
    sums = np.bincount(Y.indices, of_label * weights[Y.indices], minlength=n_classes)
    seen = np.bincount(Y.indices, of_label, minlength=n_classes) > 0
    assert_allclose(sums[seen], of_label.sum() / seen.sum(), rtol=1e-6)
    assert_array_equal(weights[~seen], 1)  # nothing to balance
    assert seen.sum() < n_classes


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.int64, bool, np.float32, np.float64]
)
@pytest.mark.parametrize("settings", [{}, {"class_weight": "balanced"}], ids=["", "balanced"])
def test_indicators_of_any_dtype_give_the_same_model(dtype, form, settings):
    """Rows of up to 200 labels, more than a byte with a sign can count."""
    Y = np.random.RandomState(0).rand(60, 200) < np.linspace(0.1, 1, 60)[:, None]
    Y[-1] = True
    settings = {"max_iter": 2, "hidden_layer_sizes": (8,), "loss": "softmax_logistic"} | settings
    expected = make(**settings).fit(X[:60], sp.csr_array(Y.astype(np.float64)))
    model = make(**settings).fit(X[:60], form(Y.astype(dtype)))
    assert_same_weights(model, expected)
    assert model.loss_curve_ == expected.loss_curve_
    assert model.predict(X[:60]).dtype == dtype
