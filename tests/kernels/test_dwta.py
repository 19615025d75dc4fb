"""Densified winner-take-all: codes are those found bin by bin, dense or sparse."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from sklsh._hashing import make_hasher

WIDTHS = [1, 3, 7, 8, 9, 16, 20, 100, 128, 130]


def integers(*shape, seed=0):
    """Small whole numbers of both signs: full of ties and zeros."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def mostly_zero(*shape, seed=0):
    """Rows with ever fewer values, down to none, so that most bins are empty."""
    rng = np.random.default_rng(seed)
    keep = rng.random(shape) < np.linspace(0.2, 0, shape[0])[:, None]
    return np.where(keep, integers(*shape, seed=seed), np.float32(0))


def draw(width, n_bits=9, n_tables=5):
    return make_hasher("dwta", width, n_bits, n_tables, np.random.RandomState(0))


def twin(hasher, vectors):
    return reference.dwta(vectors, hasher.order, hasher.n_bits // 3, hasher.n_tables)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", [integers, mostly_zero])
def test_codes_equal_the_twin(make, width, simd_level, n_threads):
    hasher, vectors = draw(width), make(37, width)
    expected = twin(hasher, vectors)
    assert_array_equal(hasher.codes(vectors, n_threads=n_threads), expected)
    sparse = sp.csr_array(vectors)
    assert_array_equal(hasher.sparse_codes(sparse, n_threads=n_threads), expected)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17])
def test_any_number_of_rows(n, simd_level, n_threads):
    hasher, vectors = draw(20), integers(n, 20)
    assert_array_equal(hasher.codes(vectors, n_threads=n_threads), twin(hasher, vectors))
    sparse = sp.csr_array(vectors)
    assert_array_equal(hasher.sparse_codes(sparse, n_threads), twin(hasher, vectors))


@pytest.mark.parametrize("n_bits, n_tables", [(3, 1), (3, 40), (12, 7), (24, 3)])
@pytest.mark.parametrize("width", [20, 900])
def test_any_size_of_code(width, n_bits, n_tables, n_threads):
    hasher, vectors = draw(width, n_bits, n_tables), mostly_zero(20, width)
    codes = hasher.codes(vectors, n_threads=n_threads)
    assert_array_equal(codes, twin(hasher, vectors))
    assert_array_equal(hasher.sparse_codes(sp.csr_array(vectors), n_threads), codes)
    assert codes.max() < 2**n_bits


def test_wide_sparse_rows_borrow_from_bins_past_the_coded_ones(n_threads):
    X = sp.random_array((25, 5000), density=0.002, format="csr", dtype=np.float32, rng=0)
    hasher = draw(5000)
    codes = hasher.sparse_codes(X, n_threads)
    assert_array_equal(codes, twin(hasher, X.toarray()))
    assert (codes >= 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40).flatmap(
        lambda width: arrays(
            np.float32, (5, width), elements=st.sampled_from([0, 0, 0, -2, -1, 0.5, 1, 1e-30, 3e38])
        )
    )
)
def test_dense_and_sparse_agree(vectors):
    hasher = draw(vectors.shape[1], 6, 4)
    codes = hasher.codes(vectors)
    assert_array_equal(hasher.sparse_codes(sp.csr_array(vectors)), codes)
    assert_array_equal(codes, twin(hasher, vectors))


def test_permutations_hold_every_coordinate_and_give_enough_bins():
    hasher = draw(20, 9, 5)  # 3 bins in a permutation, 15 wanted
    assert hasher.order.shape == (5, 20)
    assert_array_equal(np.sort(hasher.order, axis=1), np.tile(np.arange(20), (5, 1)))
    assert_array_equal(np.take_along_axis(hasher.order, hasher.place, axis=1), [np.arange(20)] * 5)


def test_zero_vectors_have_no_code(n_threads):
    vectors = integers(40, 30)
    zeros = [0, 15, 16, 39]
    vectors[zeros] = np.float32([[0.0], [-0.0], [0.0], [-0.0]])
    explicit = sp.csr_array(np.ones_like(vectors))  # stores the zeros
    explicit.data[:] = vectors.ravel()
    for codes in (
        draw(30).codes(vectors, n_threads=n_threads),
        draw(30).sparse_codes(explicit, n_threads),
    ):
        assert np.flatnonzero((codes == -1).all(axis=1)).tolist() == zeros
        assert np.flatnonzero((codes == -1).any(axis=1)).tolist() == zeros


def test_ties_go_to_the_smaller_slot(simd_level):
    equal = np.full((3, 50), [[2.0], [-1.0], [3e-39]], dtype=np.float32)
    assert not draw(50).codes(equal).any()
    reversed_columns = sp.csr_array(
        (equal.ravel(), np.tile(np.arange(49, -1, -1), 3), [0, 50, 100, 150])
    )
    assert not draw(50).sparse_codes(reversed_columns).any()


def test_a_single_value_lends_its_slot_to_all_bins():
    hasher = draw(800)  # one permutation of 100 bins, 15 of them coded
    slots = hasher.place[0] % 8
    codes = hasher.codes(np.eye(800, dtype=np.float32))
    assert_array_equal(codes, np.tile(slots[:, None] * (1 + 8 + 64), 5))


def test_padding_past_the_width_is_not_read(simd_level):
    vectors = integers(5, 64)
    vectors[2, :40] = 0
    expected = draw(40).codes(np.ascontiguousarray(vectors[:, :40]))
    vectors[:, 40:] = np.nan
    assert_array_equal(draw(40).codes(vectors), expected)


def test_rows_may_come_in_any_order_and_twice(n_threads):
    vectors = mostly_zero(30, 48)
    rows = np.random.default_rng(1).integers(0, 30, 70, dtype=np.int32)
    some = draw(48).codes(vectors, rows, n_threads)
    assert_array_equal(some, draw(48).codes(vectors)[rows])


def test_same_codes_at_any_thread_count():
    vectors, hasher = mostly_zero(300, 100), draw(100, 15, 30)
    for n_threads in (2, 3):
        assert_array_equal(hasher.codes(vectors, n_threads=n_threads), hasher.codes(vectors))
        sparse = sp.csr_array(vectors)
        assert_array_equal(hasher.sparse_codes(sparse, n_threads), hasher.codes(vectors))
