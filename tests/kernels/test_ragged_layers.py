"""Layers of which each row has a few units: as dense products that leave the others out."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._kernels import _active_units, _ragged_layers

N_UNITS = 40


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_rows(n, width, share, seed=0):
    """CSR rows (indptr, indices, values) with a share of all values, the first row empty."""
    filled = np.random.default_rng(seed).random((n, width)) < share
    filled[0] = False
    indptr = np.append(0, np.cumsum(filled.sum(axis=1))).astype(np.int32)
    return indptr, np.nonzero(filled)[1].astype(np.int32), normals(indptr[-1], seed=seed)


def make_candidates(n, m, seed=1):
    """Up to m units for each row, ascending, and how many there are."""
    rng = np.random.default_rng(seed)
    units = np.array([np.sort(rng.permutation(N_UNITS)[:m]) for _ in range(n)], dtype=np.int32)
    return units, rng.integers(0, m + 1, n, dtype=np.int32)


@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_largest_positive_candidates_are_kept(share, k, simd_level, n_threads):
    rows, weights, bias = make_rows(30, 33, share), normals(N_UNITS, 33), normals(N_UNITS, seed=2)
    candidates, n_candidates = make_candidates(30, 12)
    units, kept = np.empty((30, k), np.int32), np.empty((30, k), np.float32)
    n_active = np.empty(30, np.int32)
    _ragged_layers.activate(
        *rows, weights, bias, candidates, n_candidates, units, kept, n_active, n_threads
    )
    scores = reference.dense(*rows, 33) @ weights.T + bias
    for i in range(30):
        mine = candidates[i, : n_candidates[i]]
        best = mine[np.argsort(-scores[i, mine], kind="stable")[:k]]
        best = np.sort(best[scores[i, best] > 0])
        assert_array_equal(units[i, : n_active[i]], best)
        assert_allclose(kept[i, : n_active[i]], scores[i, best], rtol=1e-4, atol=1e-4)


def test_of_equal_activations_the_first_are_kept():
    rows = np.array([0, 1], np.int32), np.zeros(1, np.int32), np.ones(1, np.float32)
    weights = np.array([[1], [2], [1], [1], [2]], dtype=np.float32)
    units, kept, n_active = np.empty((1, 3), np.int32), np.empty((1, 3), np.float32), [0]
    n_active = np.array(n_active, np.int32)
    candidates = np.arange(5, dtype=np.int32)[None]
    _ragged_layers.activate(
        *rows, weights, np.zeros(5, np.float32), candidates, np.array([5], np.int32),
        units, kept, n_active, 1,
    )  # fmt: skip
    assert units.tolist() == [[0, 1, 4]] and kept.tolist() == [[1, 2, 2]]


def test_what_is_not_a_number_is_passed_on():
    rows = np.array([0, 1], np.int32), np.zeros(1, np.int32), np.full(1, np.nan, np.float32)
    units, kept = np.empty((1, 2), np.int32), np.zeros((1, 2), np.float32)
    n_active = np.zeros(1, np.int32)
    _ragged_layers.activate(
        *rows, np.ones((4, 1), np.float32), np.zeros(4, np.float32),
        np.arange(4, dtype=np.int32)[None], np.array([4], np.int32), units, kept, n_active, 1,
    )  # fmt: skip
    assert n_active[0] == 1 and np.isnan(kept[0, 0])


def test_gradient_below_is_that_of_the_active_units(simd_level, n_threads):
    below, above = make_rows(30, 33, 0.3), make_rows(30, N_UNITS, 0.2, seed=3)
    weights, out = normals(N_UNITS, 33), np.full(len(below[1]), np.nan, np.float32)
    _ragged_layers.gradient_below(*above, weights, *below[:2], out, n_threads)
    expected = reference.dense(*above, N_UNITS) @ weights
    rows = np.repeat(np.arange(30), np.diff(below[0]))
    assert_allclose(out, expected[rows, below[1]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1, 33])
@pytest.mark.parametrize("rule", list(reference.UPDATE_RULES))
def test_only_weights_with_a_gradient_are_updated(rule, width, simd_level, n_threads):
    below, above = make_rows(20, width, 0.2, seed=5), make_rows(20, N_UNITS, 0.1, seed=6)
    twin, number, hyper, _ = reference.UPDATE_RULES[rule]
    shapes = [(N_UNITS, width), *reference.slot_shapes(rule, N_UNITS, width)]
    before = [normals(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    before[2] = np.abs(before[2])
    after = [array.copy() for array in before]
    *places, values = reference.transpose_batch(*above)
    columns = (*(place.astype(np.int32) for place in places), values)
    _ragged_layers.step_units(
        number, np.array(hyper, np.float32), *after, *columns, *below, n_threads
    )
    active = reference.dense(*above, N_UNITS)
    gradient = active.T @ reference.dense(*below, width)
    has_gradient = (active != 0).T.astype(int) @ (reference.dense(*below, width) != 0) > 0
    expected = twin(hyper, *before, gradient)
    for old, new, wanted in zip(before, after, expected, strict=True):
        touched = has_gradient if new.shape[1] == width else has_gradient.any(axis=1)[:, None]
        wanted = np.where(touched, wanted, old) if new.size else new
        assert_allclose(new, wanted, rtol=1e-4, atol=1e-5)
        if new.shape[1] == width:
            assert_array_equal(new[~has_gradient], old[~has_gradient])


def test_places_beyond_the_weights_are_refused():
    below, above = make_rows(4, 5, 1.0), make_rows(4, N_UNITS, 0.5)
    with pytest.raises(ValueError, match=r"rows must lie in \[0, 4\)"):
        _ragged_layers.gradient_below(
            *above, normals(N_UNITS, 4), *below[:2], np.empty(len(below[1]), np.float32), 1
        )
    with pytest.raises(ValueError, match=r"rows must lie in \[0, 7\)"):
        _ragged_layers.gradient_below(
            *above, normals(7, 5), *below[:2], np.empty(len(below[1]), np.float32), 1
        )


# ---- which units a row looks at ----


def tables_of(codes, n_buckets):
    starts = np.empty((codes.shape[1], n_buckets + 1), np.int32)
    ids = np.empty(codes.shape[::-1], np.int32)
    for t, column in enumerate(codes.T):
        ids[t] = np.argsort(column, kind="stable")
        starts[t] = np.searchsorted(np.sort(column), np.arange(n_buckets + 1))
    return starts, ids


@pytest.mark.parametrize("m", [1, 7, 20, N_UNITS])
def test_units_that_share_most_buckets_are_found(m, n_threads):
    rng = np.random.default_rng(m)
    items = rng.integers(0, 4, (N_UNITS, 9), dtype=np.int32)
    queries = rng.integers(0, 4, (25, 9), dtype=np.int32)
    queries[3] = -1
    units, n_found = np.full((25, m), -7, np.int32), np.empty(25, np.int32)
    n_read = np.empty(25, np.intp)
    _active_units.most_frequent(queries, *tables_of(items, 4), units, n_found, n_read, n_threads)
    counts = (queries[:, None] == items).sum(axis=2)
    assert_array_equal(n_read, counts.sum(axis=1))
    assert_array_equal(n_found, np.minimum((counts > 0).sum(axis=1), m))
    for i, found in enumerate(n_found):
        mine = units[i, :found]
        assert (np.diff(mine) > 0).all()
        assert_array_equal(np.sort(counts[i, mine]), np.sort(counts[i])[N_UNITS - found :])


def test_of_equal_counts_all_units_have_their_turn():
    items = np.zeros((N_UNITS, 1), np.int32)
    taken = np.zeros(N_UNITS)
    for salt in range(200):  # further tables, in which nothing is found, choose the run
        codes = np.array([[0, salt]], np.int32)
        tables = tables_of(np.column_stack([items, np.full(N_UNITS, 200)]), 201)
        units, n_found, n_read = (
            np.empty((1, 10), np.int32),
            np.empty(1, np.int32),
            np.empty(1, int),
        )
        _active_units.most_frequent(codes, *tables, units, n_found, n_read, 1)
        taken[units[0]] += 1
    assert taken.min() > 0 and taken.max() < 120


def test_random_units_are_equally_likely_and_go_by_the_row(n_threads):
    rows = make_rows(3000, 6, 0.9)
    units = np.empty((3000, 10), np.int32)
    _active_units.draw_units(*rows, N_UNITS, 5, units, n_threads)
    assert (np.diff(units, axis=1) > 0).all()
    counts = np.bincount(units[rows[0][1:] > rows[0][:-1]].ravel(), minlength=N_UNITS)
    assert abs(counts / counts.mean() - 1).max() < 0.15
    alone, first = np.empty((1, 10), np.int32), slice(*rows[0][7:9])
    row = np.array([0, first.stop - first.start], np.int32), rows[1][first], rows[2][first]
    _active_units.draw_units(*row, N_UNITS, 5, alone, 1)
    assert_array_equal(alone[0], units[7])
    turned = [np.append(0, np.flip(part)).astype(part.dtype) for part in row[1:]]
    _active_units.draw_units(
        row[0] + np.array([0, 1], np.int32), *turned, N_UNITS, 5, alone, 1
    )  # and a zero more
    assert_array_equal(alone[0], units[7])
    _active_units.draw_units(*row, N_UNITS, 6, alone, 1)
    assert (alone[0] != units[7]).any()
