"""Dense products: equal to NumPy's, and the same bits however a row is computed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklsh._kernels import _products

rng = np.random.default_rng(0)


def integers(*shape):
    """Small whole numbers: their products are exact in float32, in any order."""
    return rng.integers(-4, 5, shape).astype(np.float32)


def normals(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def blank(*shape):
    return np.full(shape, np.nan, dtype=np.float32)


def rounded(n):
    return -(-n // 16) * 16


def product_nt(left, right, n, n_threads=1):
    out = blank(len(left), rounded(n) + 16)
    _products.product_nt(left, right, n, out, n_threads)
    return out


def product_nn(left, right, k, n_threads=1):
    out = blank(len(left), right.shape[1])
    _products.product_nn(left, right, k, out, n_threads)
    return out


def product_tn(left, right, m, n_threads=1):
    out = blank(left.shape[1], right.shape[1])
    _products.product_tn(left, right, m, out, n_threads)
    return out


def check_all_products(m, n, width, n_threads):
    """The three products as a training step uses them: n candidates, padded to 16."""
    hidden, rows, delta = integers(m, width), integers(n + 2, width), integers(m, rounded(n))

    logits = product_nt(hidden, rows, n, n_threads)
    np.testing.assert_array_equal(logits[:, :n], hidden @ rows[:n].T)
    if n:
        np.testing.assert_array_equal(logits[:, n : rounded(n)], 0)
    assert np.isnan(logits[:, rounded(n) :]).all()

    d_hidden = product_nn(delta, rows, n, n_threads)
    np.testing.assert_array_equal(d_hidden, delta[:, :n] @ rows[:n])

    d_rows = product_tn(delta, hidden, n, n_threads)
    np.testing.assert_array_equal(d_rows[:n], delta[:, :n].T @ hidden)
    assert np.isnan(d_rows[n:]).all()


@pytest.mark.parametrize("width", [16, 48, 112, 128, 304])
@pytest.mark.parametrize("m, n", [(1, 1), (1, 130), (5, 16), (7, 17), (49, 63), (97, 65)])
def test_products_equal_numpy(m, n, width, simd_level, n_threads):
    check_all_products(m, n, width, n_threads)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 60), st.integers(0, 150), st.integers(1, 4))
def test_products_equal_numpy_at_any_size(simd_level, n_threads, m, n, n_lines):
    check_all_products(m, n, 16 * n_lines, n_threads)


@pytest.mark.parametrize("depth", [255, 256, 257, 600])
def test_sums_longer_than_a_block(depth, simd_level, n_threads):
    left, right, across = integers(9, 608), integers(20, 608), integers(608, 32)
    for_nt = np.ascontiguousarray(left[:, :depth]), np.ascontiguousarray(right[:, :depth])
    logits = product_nt(*for_nt, 20, n_threads)
    np.testing.assert_array_equal(logits[:, :20], left[:, :depth] @ right[:, :depth].T)
    np.testing.assert_array_equal(
        product_nn(left, across, depth, n_threads), left[:, :depth] @ across[:depth]
    )
    tall = np.ascontiguousarray(left[:, :depth].T)
    np.testing.assert_array_equal(
        product_tn(tall, across[:depth], 9, n_threads), left[:, :depth] @ across[:depth]
    )


def test_empty_sums_are_zero(simd_level, n_threads):
    np.testing.assert_array_equal(product_nn(integers(3, 16), integers(4, 32), 0, n_threads), 0)
    out = product_tn(integers(0, 16), integers(0, 32), 5, n_threads)
    np.testing.assert_array_equal(out[:5], 0)
    assert np.isnan(out[5:]).all()


def test_row_alone_equals_row_in_batch(simd_level):
    hidden, rows, delta = normals(50, 320), normals(70, 320), normals(50, 80)
    logits = product_nt(hidden, rows, 70)
    d_hidden = product_nn(delta, rows, 70)
    for i in range(50):
        alone = slice(i, i + 1)
        assert np.array_equal(product_nt(hidden[alone], rows, 70)[0, :70], logits[i, :70])
        assert np.array_equal(product_nn(delta[alone], rows, 70)[0], d_hidden[i])


def test_column_alone_equals_column_among_others(simd_level):
    hidden, rows, delta = normals(300, 48), normals(70, 48), normals(300, 80)
    logits, d_rows = product_nt(hidden, rows, 70), product_tn(delta, hidden, 70)
    for j in [0, 17, 63, 64, 69]:
        alone = slice(j, j + 1)
        assert np.array_equal(product_nt(hidden, rows[alone], 1)[:, 0], logits[:, j])
        only = np.ascontiguousarray(delta[:, alone])
        assert np.array_equal(product_tn(only, hidden, 1)[0], d_rows[j])


def test_same_bits_at_any_thread_count(simd_level):
    hidden, rows, delta = normals(200, 272), normals(150, 272), normals(200, 160)
    for multiply, operands in [
        (product_nt, (hidden, rows, 150)),
        (product_nn, (delta, rows, 150)),
        (product_tn, (delta, hidden, 150)),
    ]:
        one, two, three = (multiply(*operands, n_threads) for n_threads in (1, 2, 3))
        assert np.array_equal(one, two, equal_nan=True)
        assert np.array_equal(one, three, equal_nan=True)


def test_operands_may_begin_anywhere_in_memory(simd_level):
    """As in a read-only memory map, whose arrays are aligned to floats and no more."""
    left, right = normals(7, 48), normals(33, 48)
    shifted = np.empty(right.size + 1, dtype=np.float32)[1:].reshape(right.shape)
    shifted[...] = right
    assert np.array_equal(
        product_nt(left, shifted, 33), product_nt(left, right, 33), equal_nan=True
    )
