"""SimHash: codes are those of dense Hadamard matrices."""

import numpy as np
import pytest
import reference

from sklsh._kernels import _simhash


def integers(*shape, seed=0):
    """Whole numbers small enough for both transforms to be exact in float32, signs and all."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def make_signs(n_rotations, padded, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice(np.float32([-1, 1]), (n_rotations, 2, padded))


def simhash(vectors, width, signs, n_bits, n_tables, rows=None, n_threads=1):
    rows = np.arange(len(vectors), dtype=np.int32) if rows is None else rows
    codes = np.full((len(rows), n_tables), 99, dtype=np.int32)
    buffer = np.full((n_threads, 48 * signs.shape[2] + 16), np.nan, dtype=np.float32)
    _simhash.simhash(vectors, width, rows, signs, n_bits, buffer, codes)
    return codes


@pytest.mark.parametrize("width", [1, 3, 16, 17, 48, 64, 100, 128, 130])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 40])
def test_codes_equal_dense_hadamard(n, width, simd_level, n_threads):
    padded = 1 << (width - 1).bit_length()
    signs, vectors = make_signs(1, padded), integers(n, width)
    n_bits = min(padded, 7)
    n_tables = padded // n_bits
    codes = simhash(vectors, width, signs, n_bits, n_tables, n_threads=n_threads)
    assert np.array_equal(codes, reference.simhash(vectors, width, signs, n_bits, n_tables))


@pytest.mark.parametrize("n_bits, n_tables", [(1, 200), (7, 50), (24, 11), (16, 4), (30, 6)])
def test_codes_span_rotations(n_bits, n_tables, simd_level, n_threads):
    vectors, signs = integers(21, 48), make_signs(-(-n_bits * n_tables // 64), 64)
    codes = simhash(vectors, 48, signs, n_bits, n_tables, n_threads=n_threads)
    assert np.array_equal(codes, reference.simhash(vectors, 48, signs, n_bits, n_tables))


def test_zero_vectors_have_no_code(simd_level, n_threads):
    vectors = integers(40, 48)
    zeros = [0, 15, 16, 39]
    vectors[zeros] = np.float32([[0.0], [-0.0], [0.0], [-0.0]])
    codes = simhash(vectors, 48, make_signs(2, 64), 8, 16, n_threads=n_threads)
    assert np.flatnonzero((codes == -1).all(axis=1)).tolist() == zeros
    assert np.flatnonzero((codes == -1).any(axis=1)).tolist() == zeros


def test_padding_past_the_width_is_not_read(simd_level):
    vectors, signs = integers(5, 64), make_signs(1, 64)
    vectors[2, :40] = 0
    vectors[:, 40:] = np.nan
    codes = simhash(vectors, 40, signs, 8, 8)
    assert np.array_equal(codes, reference.simhash(vectors, 40, signs, 8, 8))
    assert (codes[2] == -1).all()


def test_rows_may_come_in_any_order_and_twice(simd_level, n_threads):
    vectors, signs = integers(30, 48), make_signs(1, 64)
    rows = np.random.default_rng(1).integers(0, 30, 70, dtype=np.int32)
    some = simhash(vectors, 48, signs, 8, 8, rows, n_threads)
    assert np.array_equal(some, simhash(vectors, 48, signs, 8, 8)[rows])


def test_same_codes_at_any_thread_count_and_length(simd_level):
    vectors = np.random.default_rng(2).standard_normal((300, 100), dtype=np.float32)
    signs = make_signs(3, 128)
    codes = [simhash(vectors, 100, signs, 10, 37, n_threads=n) for n in (1, 2, 3)]
    assert np.array_equal(codes[0], codes[1])
    assert np.array_equal(codes[0], codes[2])
    doubled = simhash(2 * vectors, 100, signs, 10, 37)
    assert np.array_equal(codes[0], doubled)
