"""Batches: rows taken as SciPy takes them, dropout by its twin, columns as NumPy sorts them."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sklsh._batches import Columns, Rows
from sklsh._kernels import _batches

N_COLUMNS = 60


def make_matrix(n=50, seed=0, *, index=np.int32, dtype=np.float32):
    """CSR matrix: empty rows, long rows, columns that repeat within a row."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 40, n) * (rng.random(n) < 0.8)
    indptr = np.append(0, np.cumsum(lengths)).astype(index)
    indices = rng.integers(0, N_COLUMNS, indptr[-1], dtype=index)
    values = rng.integers(1, 9, indptr[-1]).astype(dtype)
    return sp.csr_array((values, indices, indptr), shape=(n, N_COLUMNS))


def take(X, rows, rate=0.0, seed=0, n_threads=1):
    """What the kernels make of it, (starts, indices, values)."""
    starts = np.full(len(rows) + 1, -1, dtype=np.int32)
    n = _batches.count_values(X.indptr, rows, rate, seed, starts, n_threads)
    indices, values = np.full(n, -1, dtype=np.int32), np.full(n, np.nan, dtype=np.float32)
    _batches.take_rows(
        X.indptr, X.indices, X.data, rows, rate, seed, starts, indices, values, n_threads
    )
    return starts, indices, values


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("rows", [[], [3], [7, 7, 0, 49], range(50)])
def test_take_rows_are_those_that_scipy_takes(rows, index, dtype, n_threads):
    X, rows = make_matrix(index=index, dtype=dtype), np.array(rows, dtype=np.intp)
    wanted = X[rows]
    got = take(X, rows, n_threads=n_threads)
    assert_same(got, (wanted.indptr, wanted.indices, wanted.data))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**64 - 1), st.floats(0, 0.999), st.integers(0, 20))
@example(2**64 - 1, 1e-12, 5)  # too small a share to ever drop anything
def test_dropout_is_its_twin(seed, rate, n):
    X, rows = make_matrix(), np.random.default_rng(n).integers(0, 50, n)
    wanted = reference.take_rows(X.indptr, X.indices, X.data, rows, rate, seed)
    for n_threads in 1, 2, 3:
        assert_same(take(X, rows, rate, seed, n_threads), wanted)


def test_dropout_takes_its_share_and_keeps_the_mean():
    X = sp.csr_array(np.ones((400, 500), dtype=np.float32))
    _, kept, values = take(X, np.arange(400), rate=0.3, seed=5)
    standard_error = np.sqrt(0.3 * 0.7 / X.nnz)
    assert abs(len(kept) / X.nnz - 0.7) < 4 * standard_error
    assert abs(values.sum() / X.nnz - 1) < 4 * standard_error / 0.7
    column_means = np.bincount(kept, minlength=500) / 400
    assert column_means.std() == pytest.approx(np.sqrt(0.3 * 0.7 / 400), rel=0.15)


def test_seeds_drop_other_values():
    X, rows = make_matrix(), np.arange(50)
    one, two = (take(X, rows, 0.5, seed)[1] for seed in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_rows_of_a_dense_matrix_are_those_of_its_csr_form(rate):
    dense = make_matrix().toarray()
    rows = np.array([4, 9, 9, 1])
    got = Rows(dense).take(rows, rate, seed=3)
    wanted = take(sp.csr_array(dense[rows]), np.arange(4), rate, seed=3)
    assert_same(got[:3], wanted)
    assert got.shape == (4, N_COLUMNS)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("batch_size", [1, 7, 50, 99])
def test_batches_are_the_rows_in_order(batch_size, form, monkeypatch):
    monkeypatch.setattr("sklsh._batches.ROWS_AT_ONCE", 21)
    dense = make_matrix().toarray()
    order = np.random.default_rng(0).permutation(50)
    batches = list(Rows(form(dense)).batches(order, batch_size))
    assert [batch.shape[0] for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for batch in batches:
        assert batch.indptr[0] == 0
    stacked = sp.vstack([sp.csr_array((b.data, b.indices, b.indptr), b.shape) for b in batches])
    np.testing.assert_array_equal(stacked.toarray(), dense[order])


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_batches_drop_other_values_each(form, monkeypatch):
    monkeypatch.setattr("sklsh._batches.ROWS_AT_ONCE", 10)
    X = form(np.ones((40, 64), dtype=np.float32))
    kept = [
        tuple(batch.indices.tolist())
        for batch in Rows(X).batches(np.arange(40), 10, dropout=0.5, seed=3)
    ]
    assert len(set(kept)) == 4


def test_rows_of_any_dtype_are_floats():
    X = make_matrix(dtype=bool)
    X.indptr = X.indptr.astype(np.int64)  # one may be wider than the other
    batch = Rows(X).take(np.arange(50))
    assert_same(batch[:3], (X.indptr, X.indices, X.data))
    assert [array.dtype for array in batch[:3]] == [np.int32, np.int32, np.float32]


def test_rows_of_strided_arrays_are_taken():
    X = make_matrix()
    strided = X.copy()
    strided.indptr, strided.indices, strided.data = (
        np.repeat(array, 2)[::2] for array in (X.indptr, X.indices, X.data)
    )
    assert_same(Rows(strided).take(np.arange(50))[:3], (X.indptr, X.indices, X.data))


@pytest.mark.parametrize(["most", "n_taken"], [(40 * 64, 40), (700, 10), (1, 5)])
def test_rows_of_many_values_are_taken_a_few_at_once(most, n_taken, monkeypatch):
    monkeypatch.setattr("sklsh._batches.VALUES_AT_ONCE", most)
    rows = Rows(sp.csr_array(np.ones((40, 64), dtype=np.float32)))
    taken = []
    take = rows.take
    monkeypatch.setattr(rows, "take", lambda of, *args: taken.append(len(of)) or take(of, *args))
    assert len(list(rows.batches(np.arange(40), 5))) == 8
    assert taken == [n_taken] * (40 // n_taken)


def test_batch_that_int32_cannot_index_is_refused(monkeypatch):
    monkeypatch.setattr("sklsh._batches.INT32_MAX", 10)
    with pytest.raises(ValueError, match="at most 10 non-zero values; this one holds "):
        Rows(make_matrix()).take(np.arange(3))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=8),
    st.sampled_from([1, 2, 300_000, 200_000_000]),  # sorted in one pass, two, and three
)
def test_columns_are_the_sorted_batch(rows, stride):
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    indices = np.array(sum(rows, []), dtype=np.int32) * stride
    values = np.arange(len(indices), dtype=np.float32)
    wanted = reference.transpose_batch(indptr, indices, values)
    columns = Columns(9 * stride + 1)
    assert_same(columns.of(indptr, indices, values), wanted)


@pytest.mark.parametrize("n", [1, 300])
def test_columns_while_embedding(n, n_threads):
    X, table = make_matrix(n, seed=1), np.ones((N_COLUMNS, 17), dtype=np.float32)
    bias, out = np.full(17, -99, dtype=np.float32), np.empty((n, 17), dtype=np.float32)
    columns = Columns(N_COLUMNS)
    wanted = reference.transpose_batch(X.indptr, X.indices, X.data)
    assert_same(columns.while_embedding(X, table, bias, out, n_threads), wanted)
    np.testing.assert_array_equal(out, np.maximum(X @ table + bias, 0))
    assert_same(columns.of(X.indptr, X.indices, X.data), wanted)
