"""The gradient through a ReLU: masked as NumPy does it, and summed by column."""

import numpy as np
import pytest
import reference

from sklsh._kernels import _layers


@pytest.mark.parametrize("width", [1, 16, 32, 100, 130])
@pytest.mark.parametrize("n", [0, 1, 70])
def test_relu_gradient_is_its_twin(n, width, n_threads):
    rng = np.random.default_rng(n)
    activations = np.maximum(rng.standard_normal((n, width), dtype=np.float32), 0)
    delta = rng.integers(-9, 10, (n, width)).astype(np.float32)  # sums are exact
    wanted = reference.relu_gradient(activations, delta)
    d_bias = np.full(width, np.nan, dtype=np.float32)
    _layers.relu_gradient(activations, delta, d_bias, n_threads)
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
