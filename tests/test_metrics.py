"""Tests of the metrics of ranked labels."""

from functools import partial

import numpy as np
import pytest
import reference_metrics
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.metrics import ndcg_score

from sklsh.metrics import jain_propensities, ndcg_at_k, precision_at_k, psp_at_k, recall_at_k

RNG = np.random.RandomState(0)
Y = (RNG.rand(50, 20) < 0.2).astype(int)
Y[3] = 0
RANKED = np.argsort(RNG.rand(50, 20), axis=1)
WEIGHT = RNG.uniform(size=50)
PROPENSITY = RNG.uniform(0.1, 1, size=20)
FORMS = [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array]
PLAIN = [precision_at_k, recall_at_k, ndcg_at_k]
ALL = [*PLAIN, partial(psp_at_k, propensities=PROPENSITY)]
all_metrics = pytest.mark.parametrize("metric", ALL, ids=["precision", "recall", "ndcg", "psp"])
few_cases = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def rankings(draw):
    """Y, full rankings of the classes, k, weights, propensities."""
    n, n_classes = draw(st.integers(1, 10)), draw(st.integers(2, 12))
    rng = np.random.RandomState(draw(st.integers(0, 2**31)))
    y = (rng.rand(n, n_classes) < draw(st.sampled_from([0, 0.1, 0.5, 1]))).astype(int)
    labels = np.argsort(rng.rand(n, n_classes), axis=1)
    weight = rng.randint(1, 5, size=n) / 4
    return y, labels, draw(st.integers(1, n_classes)), weight, rng.uniform(0.01, 1, n_classes)


# ---- against twins, closed forms, scikit-learn ----


@few_cases
@given(rankings(), st.sampled_from(FORMS), st.sampled_from([bool, np.int8, float]))
def test_metrics_equal_their_twins(ranking, form, dtype):
    y, labels, k, weight, propensities = ranking
    given_y = form(y.astype(dtype))
    for metric in PLAIN:
        twin = getattr(reference_metrics, metric.__name__)
        expected = pytest.approx(twin(y, labels, k, weight), abs=1e-12)
        assert metric(given_y, labels, k=k, sample_weight=weight) == expected
        expected = pytest.approx(twin(y, labels, k, np.ones(len(y))), abs=1e-12)
        assert metric(given_y, labels[:, :k], k=k) == expected
    expected = reference_metrics.psp_at_k(y, labels, k, weight, propensities)
    weighted = {"k": k, "propensities": propensities, "sample_weight": weight}
    assert psp_at_k(given_y, labels, **weighted) == pytest.approx(expected, abs=1e-12)


def test_metrics_of_a_small_case_by_hand():
    y = [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    labels = [[2, 1, 0], [3, 0, 1], [0, 1, 2]]
    assert precision_at_k(y, labels, k=2) == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert recall_at_k(y, labels, k=2) == pytest.approx((1 / 2 + 1 + 0) / 3)
    second = 1 / np.log2(3)
    assert ndcg_at_k(y, labels, k=2) == pytest.approx((second / (1 + second) + 1 + 0) / 3)
    # gains 1, 2, 4, 5: hits on labels 1 and 3; the best are 2 + 1 and 5
    psp = psp_at_k(y, labels, k=2, propensities=[1, 0.5, 0.25, 0.2])
    assert psp == pytest.approx((2 + 5) / (3 + 5))


@few_cases
@given(rankings())
def test_ndcg_equals_scikit_learns(ranking):
    y, labels, k, weight, _ = ranking
    scores = -np.argsort(labels, axis=1)  # the first label has the largest, no ties
    expected = ndcg_score(y, scores, k=k, sample_weight=weight)
    assert ndcg_at_k(y, labels, k=k, sample_weight=weight) == pytest.approx(expected)


@few_cases
@given(rankings())
def test_the_best_ranking_scores_1(ranking):
    y, _, k, _, propensities = ranking
    y[:, 0] = 1
    best = np.argsort(-y / propensities, axis=1)
    assert ndcg_at_k(y, best, k=k) == pytest.approx(1)
    assert psp_at_k(y, best, k=k, propensities=propensities) == pytest.approx(1)
    assert recall_at_k(y, best, k=y.sum(axis=1).max()) == 1
    assert precision_at_k(y, best, k=y.sum(axis=1).min()) == 1


@all_metrics
def test_wrong_labels_score_0(metric):
    worst = np.argsort(Y, axis=1, kind="stable")
    assert metric(Y, worst, k=3) == 0


@few_cases
@given(rankings())
def test_psp_without_propensities_is_precision_over_the_best_precision(ranking):
    y, labels, k, weight, _ = ranking
    y[0, 0] = 1
    weighted = {"k": k, "sample_weight": weight}
    best = precision_at_k(y, np.argsort(-y, axis=1), **weighted)
    psp = psp_at_k(y, labels, propensities=np.ones(y.shape[1]), **weighted)
    assert psp == pytest.approx(precision_at_k(y, labels, **weighted) / best)


@all_metrics
def test_the_order_of_rows_does_not_matter(metric):
    order = RNG.permutation(50)
    score = metric(Y, RANKED, k=4, sample_weight=WEIGHT)
    shuffled = metric(Y[order], RANKED[order], k=4, sample_weight=WEIGHT[order])
    assert shuffled == pytest.approx(score)


@all_metrics
def test_an_integer_weight_repeats_the_row(metric):
    times = RNG.randint(3, size=50)
    repeated = metric(np.repeat(Y, times, axis=0), np.repeat(RANKED, times, axis=0), k=3)
    assert metric(Y, RANKED, k=3, sample_weight=times) == pytest.approx(repeated)


def test_rows_without_labels_count_0_but_leave_psp_alone():
    y, labels = np.vstack([Y[:9], np.zeros_like(Y[:9])]), np.vstack([RANKED[:9]] * 2)
    for metric in PLAIN:
        half = metric(y[:9], labels[:9], k=5) / 2
        assert metric(y, labels, k=5) == pytest.approx(half)
        assert half > 0
    psp = ALL[-1]
    assert psp(y, labels, k=5) == pytest.approx(psp(y[:9], labels[:9], k=5))


@all_metrics
def test_without_any_label_the_score_is_0(metric):
    assert metric(np.zeros_like(Y), RANKED, k=2) == 0


# ---- forms of input ----


@all_metrics
def test_only_positive_entries_are_labels(metric):
    signs = sp.csr_array(np.where(Y, 1, -1))
    signs.data[::7] = 0
    labels = signs.toarray() > 0
    assert metric(signs, RANKED, k=4) == metric(labels, RANKED, k=4) > 0


@all_metrics
def test_unsorted_rows_with_duplicates_are_read_and_left_as_they_are(metric):
    y = sp.csr_array(Y)
    indices = np.concatenate([np.r_[row[::-1], row] for row in np.split(y.indices, y.indptr[1:-1])])
    messy = sp.csr_array((np.ones(len(indices)), indices.copy(), 2 * y.indptr), shape=y.shape)
    assert metric(messy, RANKED, k=4) == metric(Y, RANKED, k=4)
    assert_array_equal(messy.indices, indices)


@all_metrics
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int32])
def test_labels_may_be_integers_of_any_type(metric, dtype):
    assert metric(Y, RANKED.astype(dtype), k=3) == metric(Y, RANKED, k=3)
    assert metric(Y, RANKED.tolist(), k=3) == metric(Y, RANKED, k=3)


TWICE = RANKED.copy()
TWICE[7, 4] = TWICE[7, 0]
DAMAGED = sp.csr_array(Y)
DAMAGED.indices[5] = 99


@all_metrics
@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        pytest.param({"y_true": Y[0]}, r"y_true must be an ind.* \(20,\)", id="1-D y"),
        pytest.param({"y_true": Y[None]}, "y_true must be an indicator", id="3-D y"),
        pytest.param({"y_true": Y.astype(str)}, "y_true must .* dtype <U21", id="string y"),
        pytest.param({"y_true": Y * 1j}, "y_true must .* dtype complex128", id="complex y"),
        pytest.param({"y_true": Y * np.nan}, "y_true must .* NaN", id="NaN y"),
        pytest.param({"y_true": sp.csr_array(Y * np.nan)}, "y_true .* NaN", id="sparse NaN y"),
        pytest.param({"y_true": DAMAGED}, "y_true is no valid CSR", id="damaged y"),
        pytest.param({"y_true": Y[:, :0]}, "y_true must .* one column", id="no columns"),
        pytest.param({"y_true": Y[:0], "labels": RANKED[:0]}, "y_true .* one row", id="no rows"),
        pytest.param({"labels": RANKED[:, 0]}, "labels must be a two-dim", id="1-D labels"),
        pytest.param({"labels": RANKED / 2}, "labels must .* float64", id="float labels"),
        pytest.param({"labels": RANKED[:9]}, "labels must have 50 rows.* 9", id="too few rows"),
        pytest.param({"labels": RANKED + 15}, r"labels must lie in \[0, 20\)", id="above"),
        pytest.param({"labels": RANKED - 1}, r"labels must lie in \[0, 20\)", id="below"),
        pytest.param({"labels": TWICE, "k": 5}, "labels must not name a .* twice", id="twice"),
        pytest.param({"k": 0}, "k must be .*; got 0", id="k=0"),
        pytest.param({"k": 21}, "k must be .* columns of labels, 20; got 21", id="k=21"),
        pytest.param({"k": 1.5}, "k must be .*; got 1.5", id="k=1.5"),
        pytest.param({"k": True}, "k must be .*; got True", id="k=True"),
        pytest.param({"sample_weight": WEIGHT[:9]}, r"sample_weight.shape == \(9,\)", id="short"),
        pytest.param({"sample_weight": -WEIGHT}, "Negative .* `sample_weight`", id="negative"),
        pytest.param({"sample_weight": 0 * WEIGHT}, "Sample weights .* non-zero", id="zero"),
        pytest.param({"sample_weight": WEIGHT * np.nan}, "sample_weight contains NaN", id="NaN"),
    ],
)
def test_bad_arguments_are_refused_by_name(metric, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric(**({"y_true": Y, "labels": RANKED} | arguments))


BAD_PROPENSITIES = [
    pytest.param(PROPENSITY[None], r"propensities must be a one-dim.* \(1, 20\)", id="2-D"),
    pytest.param(PROPENSITY.astype(str), "propensities must .* dtype <U32", id="strings"),
    pytest.param(PROPENSITY * 0, "propensities must be probabilities", id="zero"),
    pytest.param(PROPENSITY + 1, "propensities must be probabilities", id="above 1"),
    pytest.param(PROPENSITY * np.nan, "propensities must be probabilities", id="NaN"),
]


@pytest.mark.parametrize(
    ["propensities", "message"],
    [
        *BAD_PROPENSITIES,
        pytest.param(PROPENSITY[:9], "propensities must be 20 numbers, .* got 9", id="short"),
        pytest.param(np.ones(21), "propensities must be 20 numbers, .* got 21", id="long"),
    ],
)
def test_bad_propensities_are_refused(propensities, message):
    with pytest.raises(ValueError, match=message):
        psp_at_k(Y, RANKED, propensities=propensities)


# ---- the propensity model ----


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("constants", [{}, {"a": 0.5, "b": 0.4}, {"a": 0.6, "b": 2.6}], ids=str)
def test_propensities_equal_the_formula(form, constants):
    a, b = constants.get("a", 0.55), constants.get("b", 1.5)
    C = (np.log(50) - 1) * (b + 1) ** a
    expected = [1 / (1 + C * (sum(column) + b) ** -a) for column in Y.T]
    np.testing.assert_allclose(jain_propensities(form(Y), **constants), expected, rtol=1e-12)


@few_cases
@given(st.integers(3, 1000), st.floats(0.01, 5), st.floats(0.01, 5))
def test_propensity_of_a_label_seen_once_is_known(n, a, b):
    y = sp.coo_array(([1], ([n // 2], [0])), shape=(n, 2))
    once, never = jain_propensities(y, a=a, b=b)
    assert once == pytest.approx(1 / np.log(n))
    assert 0 < never < once


@pytest.mark.parametrize(
    "a, b", [(1000, 1.5), (1e-300, 1.5), (0.5, 5e-324), (0.8, 1e-300), (1e300, 1e300), (5, 1e300)]
)
def test_propensities_of_extreme_constants_are_probabilities(a, b):
    propensities = jain_propensities(np.eye(5, 6), a=a, b=b)
    assert ((propensities > 0) & (propensities <= 1)).all()
    np.testing.assert_allclose(propensities[:5], 1 / np.log(5))


def test_propensities_grow_with_the_number_of_rows():
    y = np.tril(np.ones((30, 30)))  # 30 rows with label 0, 29 with label 1, ...
    assert (np.diff(jain_propensities(y)) < 0).all()


@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        pytest.param({"y_train": Y[0]}, "y_train must be an indicator", id="1-D y"),
        pytest.param({"y_train": Y[:2]}, "y_train must have at least 3 rows; got 2", id="2 rows"),
        pytest.param({"y_train": Y * np.nan}, "y_train must .* NaN", id="NaN y"),
        pytest.param({"a": 0}, "a must be a positive number; got 0", id="a=0"),
        pytest.param({"a": np.inf}, "a must be a positive number; got inf", id="a=inf"),
        pytest.param({"a": "x"}, "a must be a positive number; got 'x'", id="a=x"),
        pytest.param({"a": 1e300}, r"a must be above 0 and at most 1\.17e\+03", id="a=1e300"),
        pytest.param({"a": 10**400}, "a must be a positive number; got 1000", id="a=10**400"),
        pytest.param({"b": -1.5}, "b must be a positive number; got -1.5", id="b=-1.5"),
        pytest.param({"b": np.nan}, "b must be a positive number; got nan", id="b=NaN"),
    ],
)
def test_bad_arguments_of_propensities_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        jain_propensities(**({"y_train": Y} | arguments))
