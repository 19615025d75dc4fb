"""Top-k: the exact best classes in order, ties to the smaller id, the same bits in a batch."""

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklsh._kernels import _products, _topk


def integers(*shape, seed=0):
    """Small whole numbers: exact in float32, and full of ties."""
    return np.random.default_rng(seed).integers(-1, 2, shape).astype(np.float32)


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def top_k(hidden, weights, bias, k, n_threads=1):
    ids = np.full((len(hidden), k), -7, np.int32)
    scores = np.full((len(hidden), k), np.nan, np.float32)
    _topk.top_k(hidden, weights, bias, ids, scores, n_threads)
    return ids, scores


def check(n, n_classes, k, width, n_threads, seed=0):
    hidden, weights = integers(n, width, seed=seed), integers(n_classes, width, seed=seed + 1)
    bias = integers(n_classes, seed=seed + 2)
    got, wanted = (
        top_k(hidden, weights, bias, k, n_threads),
        reference.top_k(hidden, weights, bias, k),
    )
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_classes", [1, 5, 16, 63, 64, 65, 130, 200])
@pytest.mark.parametrize("n", [0, 1, 7, 130])
def test_top_k_equals_a_stable_sort(n, n_classes, simd_level, n_threads):
    for k in {0, 1, min(5, n_classes), n_classes}:
        check(n, n_classes, k, 48, n_threads)


@pytest.mark.parametrize("width", [16, 112, 128, 320])
def test_top_k_at_widths(width, simd_level, n_threads):
    check(20, 100, 7, width, n_threads)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(1, 40), st.integers(1, 150), st.data())
def test_top_k_equals_a_stable_sort_at_any_size(simd_level, n_threads, n, n_classes, data):
    k = data.draw(st.integers(1, n_classes))
    check(n, n_classes, k, 16, n_threads, seed=data.draw(st.integers(0, 99)))


def test_equal_scores_come_in_order_of_id(simd_level):
    hidden, weights = integers(3, 16), np.zeros((150, 16), np.float32)
    bias = np.zeros(150, np.float32)
    bias[[70, 20, 149]] = 1
    ids, scores = top_k(hidden, weights, bias, 6)
    assert ids.tolist() == [[20, 70, 149, 0, 1, 2]] * 3
    assert scores.tolist() == [[1, 1, 1, 0, 0, 0]] * 3


@pytest.mark.parametrize("k", [1, 3, 9, 70])
def test_minus_infinity_ranks_behind_numbers_and_nan_behind_all(k, simd_level):
    bias = np.full(70, np.nan, np.float32)
    bias[[3, 66, 5, 69]] = [1, 2, -np.inf, -np.inf]
    ids, scores = top_k(integers(2, 16), np.zeros((70, 16), np.float32), bias, k)
    first = [66, 3, 5, 69]
    expected = (first + [c for c in range(70) if c not in first])[:k]
    assert ids.tolist() == [expected] * 2
    np.testing.assert_array_equal(scores, [bias[expected]] * 2)


def test_scores_are_the_logits_of_product_nt(simd_level):
    hidden, weights, bias = normals(30, 320), normals(130, 320, seed=1), normals(130, seed=2)
    logits = np.empty((30, 144), np.float32)
    _products.product_nt(hidden, weights, 130, logits, 1)
    logits = logits[:, :130] + bias
    ids, scores = top_k(hidden, weights, bias, 130)
    assert np.array_equal(np.take_along_axis(logits, ids, axis=1), scores)


def test_row_alone_equals_row_in_batch(simd_level):
    hidden, weights, bias = normals(140, 48), normals(200, 48, seed=1), normals(200, seed=2)
    ids, scores = top_k(hidden, weights, bias, 9)
    for i in range(140):
        id_alone, score_alone = top_k(hidden[i : i + 1], weights, bias, 9)
        assert np.array_equal(id_alone[0], ids[i])
        assert np.array_equal(score_alone[0], scores[i])


def test_same_bits_at_any_thread_count(simd_level):
    problem = normals(400, 48), normals(300, 48, seed=1), normals(300, seed=2), 11
    for one, two, three in zip(*(top_k(*problem, n) for n in (1, 2, 3)), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)
