"""Top-k by bounds: the ids and the bits of the plain kernel, whatever the numbers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklsh._kernels import _simd, _topk, _topk_bounded
from sklsh._storage import to_bfloat16
from sklsh._top_k import by_bounds, by_falling

LEVEL = "avx512_vnni"
pytestmark = pytest.mark.skipif(
    LEVEL not in _simd.available_levels(),
    reason="bounds are used on CPUs with AVX-512 VNNI alone, and this is none",
)


@pytest.fixture(autouse=True)
def bounds():
    """The one instruction set that has products of 8-bit codes."""
    before = _simd.level()
    _simd.use_level(LEVEL)
    yield
    _simd.use_level(before)


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def plain(hidden, weights, bias, k):
    ids = np.full((len(hidden), k), -7, np.int32)
    scores = np.full((len(hidden), k), np.nan, np.float32)
    _topk.top_k(hidden, weights, bias, ids, scores, 1)
    return ids, scores


def check(hidden, weights, bias, k, n_threads=1):
    got, wanted = by_bounds(hidden, weights, bias, k, n_threads), plain(hidden, weights, bias, k)
    np.testing.assert_array_equal(got[0], wanted[0])
    np.testing.assert_array_equal(got[1], wanted[1])


@pytest.mark.parametrize("n_classes", [1, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("n", [0, 1, 5, 6, 7, 50])
def test_any_size(n, n_classes, n_threads):
    hidden, weights = np.maximum(normals(n, 48), 0), normals(n_classes, 48, seed=1)
    for k in {0, 1, min(5, n_classes), min(70, n_classes), n_classes}:
        check(hidden, weights, normals(n_classes, seed=2), k, n_threads)


@pytest.mark.parametrize("width", [16, 112, 128, 320, 4096])
@pytest.mark.parametrize("stored", [np.copy, to_bfloat16], ids=["float32", "bfloat16"])
def test_widths_and_storages(width, stored):
    hidden, weights = np.maximum(normals(13, width), 0), normals(700, width, seed=1)
    check(hidden, stored(weights), normals(700, seed=2), 5)


def test_more_rows_than_a_thread_takes_at_once(n_threads):
    hidden, weights = np.maximum(normals(3100, 16), 0), normals(300, 16, seed=1)
    check(hidden, weights, normals(300, seed=2), 3, n_threads)


def test_row_alone_equals_row_in_batch():
    hidden, weights, bias = normals(40, 48), normals(900, 48, seed=1), normals(900, seed=2)
    together = by_bounds(hidden, weights, bias, 9, 1)
    for i in range(40):
        alone = by_bounds(hidden[i : i + 1], weights, bias, 9, 1)
        assert np.array_equal(alone[0][0], together[0][i])
        assert np.array_equal(alone[1][0], together[1][i])


def ascending(random, hidden, weights, bias):
    """Every class beats all before it."""
    weights[:] = np.abs(hidden.mean(axis=0)) * np.linspace(0.1, 3, len(weights))[:, None]


def falling_norms(random, hidden, weights, bias):
    """Most classes are too short for their products to matter; some have large biases."""
    weights *= np.float32(10.0) ** -random.uniform(0, 4, (len(weights), 1)).astype(np.float32)
    bias[:] = np.where(random.random(len(bias)) < 0.01, bias, -3)


def zeros(random, hidden, weights, bias):
    """Weights before training, and rows without a feature."""
    weights[random.random(len(weights)) < 0.9] = 0
    hidden[::2] = 0
    bias[:] = np.round(bias)


def near_ties(random, hidden, weights, bias):
    """Classes that differ by less than their codes can tell, some not at all."""
    weights[:] = weights[0] * (1 + 1e-7 * random.integers(0, 3, (len(weights), 1)))
    bias[:] = bias[0]


def outliers(random, hidden, weights, bias):
    """One coordinate so large that all others have code 0."""
    weights[np.arange(len(weights)), random.integers(0, 16, len(weights))] *= 1e4
    hidden[:, 3] *= 1e5


def negative(random, hidden, weights, bias):
    hidden[:] = random.standard_normal(hidden.shape)


def extremes(random, hidden, weights, bias):
    """Zeros, denormal numbers and the verge of overflow, row by row."""
    scales = np.array([0, 1e-44, 1e-38, 1e-31, 1e-29, 1e-15, 1, 1e14, 1e16, 1e18], np.float32)
    weights *= random.choice(scales, (len(weights), 1))
    hidden *= random.choice(scales, (len(hidden), 1))
    bias *= random.choice(scales, len(bias))


def infinite_bias(random, hidden, weights, bias):
    some = random.permutation(len(bias))
    bias[some[:5]] = np.inf
    bias[some[5:9]] = np.nan
    bias[some[9:]] = np.where(random.random(len(some) - 9) < 0.99, -np.inf, bias[some[9:]])


def not_numbers(random, hidden, weights, bias):
    weights[random.integers(0, len(weights), 9), 5] = np.nan
    weights[random.integers(0, len(weights), 9), 6] = np.inf
    hidden[1, 2], hidden[2, 2] = np.nan, np.inf


TRICKS = [
    ascending,
    falling_norms,
    zeros,
    near_ties,
    outliers,
    negative,
    extremes,
    infinite_bias,
    not_numbers,
]


@pytest.mark.parametrize("trick", TRICKS, ids=[f.__name__ for f in TRICKS])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 20])
def test_numbers_that_are_hard_to_bound(trick, seed, k):
    random = np.random.default_rng(seed)
    hidden = np.maximum(random.standard_normal((20, 32), dtype=np.float32), 0)
    weights = random.standard_normal((1500, 32), dtype=np.float32)
    bias = random.standard_normal(1500, dtype=np.float32)
    trick(random, hidden, weights, bias)
    check(hidden, weights, bias, k)


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(st.sampled_from(TRICKS), max_size=3), st.integers(0, 999), st.integers(1, 90),
       st.integers(-20, 20), st.integers(-20, 20))  # fmt: skip
def test_tricks_together(tricks, seed, k, hidden_scale, weight_scale):
    random = np.random.default_rng(seed)
    hidden = np.maximum(random.standard_normal((9, 16), dtype=np.float32), 0)
    weights = random.standard_normal((400, 16), dtype=np.float32)
    bias = random.standard_normal(400, dtype=np.float32)
    hidden *= np.float32(2.0**hidden_scale)
    weights *= np.float32(2.0**weight_scale)
    with np.errstate(over="ignore", invalid="ignore"):
        for trick in tricks:
            trick(random, hidden, weights, bias)
    check(hidden, weights, bias, k)


def test_other_instruction_sets_are_refused():
    _simd.use_level("baseline")
    assert not _topk_bounded.available(16)
    with pytest.raises(ValueError, match="bounds want AVX-512 VNNI"):
        by_bounds(normals(2, 16), normals(3, 16), normals(3), 1, 1)


def test_rows_too_wide_are_refused():
    assert not _topk_bounded.available(4112)
    with pytest.raises(ValueError, match="at most 4096 floats; got 4112"):
        by_bounds(normals(2, 4112), normals(3, 4112), normals(3), 1, 1)


def test_order_is_falling_and_keeps_ties_as_they_stand():
    norms = np.array([1, 0.5, np.nan, 2, 1, 1e-17, np.inf, -np.nan, 0.5], dtype=np.float32)
    order = by_falling(norms)
    assert order.dtype == np.int32
    assert set(order[:2]) == {2, 7}
    assert order[2:].tolist() == [6, 3, 0, 4, 1, 8, 5]
