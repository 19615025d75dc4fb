"""Rows in 4 bits: their codes, and rankings by them, as NumPy finds them."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_array_equal

from sklsh._kernels import _coded_rows
from sklsh._storage import as_float32, to_bfloat16

WIDTHS = [16, 32, 48, 112, 128, 144, 256]
SIZES = [0, 3, 60, 0, 1, 33, 191, 256, 257, 449, 700]


def make_codes(n, width):
    n_bytes = 64 * -(-width // 128)
    return np.full((n, n_bytes), 99, np.uint8), np.full((n, 2), 99, np.float32)


def buffer(n_threads, codes, dtype):
    return np.zeros((n_threads, 2 * codes.shape[1]), dtype)


def code_all(weights, bias, n_threads=1):
    codes, line = make_codes(*weights.shape)
    ids = np.arange(len(weights), dtype=np.int32)
    _coded_rows.code_rows(weights, bias, ids, codes, line, buffer(n_threads, codes, np.float32))
    return codes, line


def unpacked(codes, width):
    """Whole numbers from -7 to 7, and what stands behind the width."""
    halves = np.concatenate([codes & 15, codes >> 4], axis=1).astype(int) - 8
    return halves[:, :width], halves[:, width:]


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_codes_are_the_nearest_and_scales_lead_back(width, dtype, simd_level, n_threads):
    weights, bias = normals(50, width), normals(50, seed=1)
    weights[7], weights[8] = 0, 1e-35
    if dtype == "bfloat16":
        weights = to_bfloat16(weights)
    codes, line = code_all(weights, bias, n_threads)
    held, behind = unpacked(codes, width)
    weights = as_float32(weights)
    assert not behind.any()
    assert not held[7:9].any()
    assert (abs(np.delete(held, [7, 8], 0)).max(axis=1) == 7).all()
    assert (abs(held * line[:, :1] - weights) <= 0.5001 * line[:, :1] + 1e-30).all()
    assert_array_equal(line[:, 1], bias)


def test_only_rows_asked_for_are_coded(n_threads):
    weights, bias = normals(40, 32), normals(40, seed=1)
    codes, line = make_codes(40, 32)
    ids = np.array([31, 4], dtype=np.int32)
    _coded_rows.code_rows(weights, bias, ids, codes, line, buffer(n_threads, codes, np.float32))
    every, every_line = code_all(weights, bias)
    assert_array_equal(codes[ids], every[ids])
    assert_array_equal(line[ids], every_line[ids])
    assert (np.delete(codes, ids, axis=0) == 99).all()
    assert (np.delete(line, ids, axis=0) == 99).all()


def rank(starts, pool, queries, codes, line, k, n_threads=1):
    best, found = np.empty((len(queries), k), np.int32), np.empty(len(queries), np.intp)
    scratch = buffer(n_threads, codes, np.int8)
    _coded_rows.rank_pools(starts, pool, queries, codes, line, scratch, best, found)
    return [row[:n].tolist() for row, n in zip(best, found, strict=True)]


def sevenths(*shape, seed=0):
    """Rows that 4 bits hold exactly, so that scores are full of ties."""
    rows = np.random.default_rng(seed).integers(-7, 8, shape).astype(np.float32)
    rows[:, 0] = 7
    return rows


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("k", [0, 1, 12, 64])
def test_pools_are_ranked_as_a_sorted_scan_does(width, k, simd_level, n_threads):
    starts = np.cumsum([5, *SIZES])  # what stands before the first pool is not looked at
    pool = np.random.default_rng(0).permutation(starts[-1]).astype(np.int32)
    weights, bias = sevenths(len(pool), width), normals(len(pool), seed=1)
    bias[::2] = 0
    queries = np.zeros((len(SIZES), width), np.float32)
    queries[:, :3] = 126.99 * sevenths(len(SIZES), 3, seed=2) / 7
    codes, line = code_all(weights, bias)
    found = rank(starts, pool, queries, codes, line, k, n_threads)
    for i, query in enumerate(queries):
        wanted = reference.rank_pool(pool[starts[i] : starts[i + 1]], query, weights, bias, k)
        assert found[i] == wanted.tolist()


def test_ranking_is_nearly_that_of_exact_logits(simd_level):
    weights, bias, queries = normals(600, 128), np.zeros(600, np.float32), normals(30, 128, seed=1)
    pool, starts = np.tile(np.arange(600, dtype=np.int32), 30), 600 * np.arange(31)
    found = rank(starts, pool, queries, *code_all(weights, bias), 10)
    exact = np.argsort(-queries @ weights.T, axis=1)[:, :10]
    shared = [len(set(f) & set(e)) for f, e in zip(found, exact.tolist(), strict=True)]
    assert np.mean(shared) > 8


def test_numbers_that_are_none_stand_last(simd_level):
    weights, bias = np.zeros((40, 16), np.float32), np.arange(40, dtype=np.float32)
    bias[39] = np.nan
    pool, starts = np.arange(40, dtype=np.int32), np.array([0, 40])
    (found,) = rank(starts, pool, normals(1, 16), *code_all(weights, bias), 40)
    assert found == [*range(38, -1, -1), 39]


def test_pools_behind_their_array_and_too_many_places_are_refused():
    ids, queries = np.zeros(1, np.int32), np.zeros((1, 16), np.float32)
    codes, line = make_codes(1, 16)
    with pytest.raises(ValueError, match="behind"):
        rank(np.array([0, 2]), ids, queries, codes, line, 1)
    with pytest.raises(ValueError, match="at most 64 places"):
        rank(np.array([0, 1]), ids, queries, codes, line, 65)
