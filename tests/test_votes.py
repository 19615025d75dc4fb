"""Tests of neighbours and their votes, against NumPy twins and cases worked by hand."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh import _memory
from sklsh._neighbors import DenseRows, HashedRows, Postings, finder_for, require_neighbors
from sklsh._votes import (
    WEIGHTS,
    Electorate,
    Poll,
    choose_weight,
    precision_of_weights,
    voting_labels,
)


@pytest.mark.parametrize("finder", [Postings, DenseRows])
def test_equally_near_rows_come_in_their_order(finder):
    rows = np.tile(np.float32([[1, 2, 0]]), (300, 1))
    rows[7] = [1, 0, 0]
    ids, cosines = finder(sp.csr_array(rows)).nearest(rows[:1], 9, 1)
    assert_array_equal(ids, [[0, 1, 2, 3, 4, 5, 6, 8, 9]])
    assert_allclose(cosines, 1, rtol=1e-6)


def test_dense_rows_find_what_the_twin_finds(n_threads):
    rows, queries = (np.random.RandomState(s).normal(size=(200, 20)).astype("f4") for s in (0, 1))
    found = DenseRows(rows).nearest(queries, 12, n_threads)
    reference.assert_nearest(found, queries, rows, 12)


def test_hashed_rows_find_most_of_the_nearest():
    rows = np.random.RandomState(0).normal(size=(500, 16)).astype("f4")
    ids, cosines = HashedRows(rows, 0, None).nearest(rows + 0.01, 3, 1)
    assert_array_equal(ids[:, 0], np.arange(500))
    exact, _ = reference.nearest_rows(rows + 0.01, rows, 3)
    assert np.isin(ids, exact).mean() > 0.8
    assert ((cosines > 0) == (ids >= 0)).all()


@pytest.mark.parametrize("make", [sp.csr_array, np.asarray])
def test_rows_of_any_size_have_a_direction(make):
    rows = np.float32([[1e-30, 0], [0, 3e38], [0, 0], [2e38, 2e38]])
    finder = finder_for(make(rows), "auto")(make(rows))
    ids, cosines = finder.nearest(rows, 4, 1)
    assert_array_equal(ids, [[0, 3, -1, -1], [1, 3, -1, -1], [-1] * 4, [3, 0, 1, -1]])
    assert_allclose(cosines[:2, 1], np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ["X", "algorithm", "finder"],
    [
        (sp.csr_array((5, 5)), "auto", Postings),
        (sp.csr_array((5, 5)), "exact", Postings),
        (np.zeros((5, 5)), "auto", DenseRows),
        (np.zeros((5, 5)), "lsh", HashedRows),
        (sp.csr_array((5, 5)), "lsh", HashedRows),
        (np.broadcast_to(np.float32(0), (2**21, 32)), "auto", HashedRows),
        (np.broadcast_to(np.float32(0), (2**21 - 1, 32)), "auto", DenseRows),
        (np.broadcast_to(np.float32(0), (2**21, 32)), "exact", DenseRows),
        (sp.csr_array((2**25, 32)), "auto", Postings),
    ],
)
def test_algorithm(X, algorithm, finder):
    assert finder_for(X, algorithm) is finder


@pytest.mark.parametrize("algorithm", ["exact", "lsh"])
@pytest.mark.parametrize("X", [sp.eye_array(30, format="csr"), np.eye(30)], ids=["csr", "dense"])
def test_what_is_made_needs_no_more_than_what_is_asked_for(X, algorithm, monkeypatch):
    X = X.astype("f4")
    needed = finder_for(X, algorithm)(X, 0, None).nbytes
    monkeypatch.setattr(_memory, "available_bytes", lambda: needed - 1)
    with pytest.raises(MemoryError, match="30 rows of 30 features would take .* bytes"):
        require_neighbors(X, algorithm)


# ---- votes ----


def test_shares_go_by_the_cosine_and_the_weight_of_the_row():
    rows = np.float32([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]])
    labels = voting_labels(sp.csr_array(np.eye(4)))
    poll = Electorate(DenseRows(rows), labels, None, 4).poll(rows[:1], 1)
    assert_array_equal(poll.rows, [[0, 1, -1, -1]])
    same, other = 1 / 0.02, 0.6**2 / 0.42
    assert_allclose(poll.shares, [np.divide([same, other, 0, 0], same + other)], rtol=1e-5)
    weight = np.float32([1, 5, 1, 1])
    poll = Electorate(DenseRows(rows), labels, weight, 4).poll(rows[:1], 1)
    expected = np.divide([same, 5 * other, 0, 0], same + 5 * other)
    assert_allclose(poll.shares, [expected], rtol=1e-5)


def test_who_has_no_neighbours_gets_no_votes():
    labels = voting_labels(sp.csr_array(np.eye(2)))
    poll = Electorate(DenseRows(np.eye(2, dtype="f4")), labels, None, 2).poll(np.zeros((1, 2)), 1)
    assert_array_equal(poll.shares, [[0, 0]])
    ids, scores = poll.blend(np.int32([[1, 0]]), np.float32([[2, 1]]), 100, 2)
    assert_array_equal(ids, [[1, 0]])
    assert_array_equal(scores, [[2, 1]])


def test_precision_of_weights():
    truth = sp.csr_array([[0, 0, 0, 1, 1], [1, 0, 0, 0, 0]])
    poll = Poll(np.int32([[0], [0]]), np.float32([[1], [1]]), voting_labels(truth[:1]))
    ids, scores = np.int32([[0, 1, 2, 3, 4]] * 2), np.float32([[4, 3, 2, 1, 0]] * 2)
    precision = precision_of_weights(poll, ids, scores, truth)
    at = dict(zip(WEIGHTS, precision.T, strict=True))
    assert_allclose(at[0], [(0 + 0 + 2 / 5) / 3, (1 + 1 / 3 + 1 / 5) / 3])
    assert_allclose(at[32], [(1 + 2 / 3 + 2 / 5) / 3, (0 + 1 / 3 + 1 / 5) / 3])


def test_with_one_label_a_row_precision_is_accuracy():
    truth = sp.csr_array(np.eye(6)[[2, 1]])
    poll = Poll(np.int32([[0], [0]]), np.float32([[1], [1]]), voting_labels(truth[:1]))
    ids, scores = np.int32([[1, 0]] * 2), np.float32([[3, 0]] * 2)
    at = dict(zip(WEIGHTS, precision_of_weights(poll, ids, scores, truth).T, strict=True))
    assert_array_equal(at[0], [0, 1])
    assert_array_equal(at[4], [1, 0])


def curve_of(gains, n=100):
    """Precision of n rows, half of which gain twice as much as the curve has it."""
    precision = np.full((n, len(WEIGHTS)), 0.5)
    precision[: n // 2, 1 : 1 + len(gains)] += 2 * np.asarray(gains)
    return precision


@pytest.mark.parametrize(
    ["gains", "best"],
    [
        pytest.param([0.1, 0.2, 0.1], WEIGHTS[2], id="the largest"),
        pytest.param([0.1, 0.2, 0.2], WEIGHTS[2], id="the smaller of two"),
        pytest.param([-0.1] * 12, 0, id="votes hurt"),
        pytest.param([0] * 12, 0, id="no difference"),
    ],
)
def test_chosen_weight(gains, best):
    weight, curve = choose_weight(curve_of(gains), np.ones(100))
    assert weight == best
    assert_allclose(curve[1 : 1 + len(gains)], 0.5 + np.asarray(gains))


def test_gain_of_a_few_rows_is_no_reason():
    precision = np.full((100, len(WEIGHTS)), 0.5)
    precision[:2, 3] = 1  # a gain of 0.01, with a standard error of 0.007
    assert choose_weight(precision, np.ones(100))[0] == 0
    precision[:6, 3] = 1  # 0.03, 0.012
    assert choose_weight(precision, np.ones(100))[0] == WEIGHTS[3]


def test_one_row_is_no_reason():
    precision = np.zeros((9, len(WEIGHTS)))
    precision[:, 3] = 1
    assert choose_weight(precision[:1], np.ones(1))[0] == 0
    assert choose_weight(precision, np.eye(9)[4])[0] == 0  # one row with a weight
    assert choose_weight(precision, np.ones(9))[0] == WEIGHTS[3]


def test_rows_of_no_weight_choose_nothing():
    precision = curve_of([0.1])
    precision[50:, 2:] += 0.4
    weight, curve = choose_weight(precision, np.repeat([1.0, 0.0], 50))
    assert weight == WEIGHTS[1]
    assert_allclose(curve[:3], [0.5, 0.7, 0.5])
