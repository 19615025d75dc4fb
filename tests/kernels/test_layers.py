"""Dropout of units, the gradient through a ReLU, and unit lengths: as NumPy does them."""

import numpy as np
import pytest
import reference

from sklsh._kernels import _layers


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n, width", [(0, 16), (1, 16), (9, 48)])
def test_dropped_units_are_its_twins(n, width, rate, n_threads):
    rng = np.random.default_rng(n)
    activations = rng.standard_normal((n, width), dtype=np.float32)
    wanted = activations * reference.unit_factors(n, width, rate, seed=n)
    _layers.drop_units(activations, rate, n, n_threads)
    np.testing.assert_array_equal(activations, wanted)


def test_units_are_dropped_independently_and_as_often_as_asked():
    shape, rate = (4000, 64), 0.3
    first, second = np.ones((2, *shape), dtype=np.float32)
    _layers.drop_units(first, rate, 0, 1)
    _layers.drop_units(second, rate, 1, 1)
    kept = (first > 0).astype(float)
    deviation = np.sqrt(rate * (1 - rate) / shape[0])
    assert np.abs(kept.mean(axis=0) - 0.7).max() < 5 * deviation  # of each unit
    within = np.corrcoef(kept, rowvar=False) - np.eye(shape[1])
    between = np.mean((kept - 0.7) * ((second > 0) - 0.7))
    assert np.abs(within).max() < 6 / np.sqrt(shape[0])
    assert abs(between) < 5 * rate * (1 - rate) / np.sqrt(kept.size)


@pytest.mark.parametrize("rate", [0.3, 0.999, 0.99999])
def test_mean_outlives_dropout_at_any_rate(rate):
    n_kept = 4e6 * (1 - rate)
    units = np.ones((4000, 1008), dtype=np.float32)
    _layers.drop_units(units, rate, 0, 1)
    assert units.mean(dtype=float) == pytest.approx(1, abs=5 / np.sqrt(n_kept))


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("width", [1, 16, 32, 100, 130])
@pytest.mark.parametrize("n", [0, 1, 70])
def test_relu_gradient_is_its_twin(n, width, scale, n_threads):
    rng = np.random.default_rng(n)
    activations = np.maximum(rng.standard_normal((n, width), dtype=np.float32), 0)
    delta = rng.integers(-9, 10, (n, width)).astype(np.float32)  # sums are exact
    wanted = reference.relu_gradient(activations, delta, scale)
    d_bias = np.full(width, np.nan, dtype=np.float32)
    _layers.relu_gradient(activations, delta, d_bias, n_threads, scale)
    np.testing.assert_array_equal(delta, wanted[0])
    np.testing.assert_array_equal(d_bias, wanted[1])


def test_relu_gradient_has_the_same_bits_at_any_thread_count():
    rng = np.random.default_rng(0)
    activations, gradient = rng.standard_normal((2, 90, 130), dtype=np.float32)
    sums = np.empty((3, 130), dtype=np.float32)
    for n_threads in 1, 2, 3:
        _layers.relu_gradient(activations, gradient.copy(), sums[n_threads - 1], n_threads)
    assert (sums == sums[0]).all()


@pytest.mark.parametrize("n_batch, n", [(0, 5), (1, 1), (9, 1023), (9, 1024), (30, 2100)])
def test_column_sums_are_numpys(n_batch, n, simd_level, n_threads):
    delta = np.random.default_rng(n).integers(-9, 10, (n_batch, n + 3)).astype(np.float32)
    out = np.full(n, np.nan, dtype=np.float32)
    _layers.column_sums(delta, out, n_threads)
    np.testing.assert_array_equal(out, delta[:, :n].sum(axis=0))


@pytest.mark.parametrize("ids", [[], [3], [8, 0, 5], range(9)], ids=str)
@pytest.mark.parametrize("width", [1, 16, 48, 130])
def test_rows_are_scaled_to_unit_length(width, ids, simd_level, n_threads):
    rng = np.random.default_rng(width)
    weights = rng.standard_normal((9, width)) * 10.0 ** rng.integers(-9, 9, (9, 1))
    weights = weights.astype(np.float32)
    weights[5] = 0  # has no direction
    expected = weights.astype(float)
    chosen = [i for i in ids if i != 5]
    expected[chosen] /= np.linalg.norm(expected[chosen], axis=1, keepdims=True)
    _layers.scale_to_unit(weights, np.array(ids, np.int32), n_threads)
    np.testing.assert_allclose(weights, expected, rtol=2e-6)


def test_unit_lengths_have_the_same_bits_at_any_thread_count():
    rows = np.random.default_rng(0).standard_normal((3, 90, 130), dtype=np.float32)
    rows[:] = rows[0]
    for n_threads in 1, 2, 3:
        _layers.scale_to_unit(rows[n_threads - 1], np.arange(90, dtype=np.int32), n_threads)
    assert (rows == rows[0]).all()
