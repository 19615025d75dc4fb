"""Rows that several models have changed, put together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._kernels import _averaging

RNG = np.random.default_rng(0)
N_ROWS = 50


def changed(n_models, width):
    """Rows, and values for them, of each model; the first has changed all rows, another none."""
    sizes = [N_ROWS, 0, 20, 1, 33][:n_models]
    rows = [np.sort(RNG.permutation(N_ROWS)[:n]).astype(np.int32) for n in sizes]
    values = [RNG.standard_normal((n, width)).astype(np.float32) for n in sizes]
    return rows, values


def spread(rows, values, width):
    """Values of all rows, zero where a model has none."""
    whole = np.zeros((len(rows), N_ROWS, width))
    for model, at, value in zip(whole, rows, values, strict=True):
        model[at] = value
    return whole


@pytest.mark.parametrize("width", [1, 16, 37])
@pytest.mark.parametrize("shares", [(1.0,), (0.7, 0.3), (0.1, 0.2, 0.3, 0.25, 0.15)])
def test_moves_and_states_are_those_of_their_formulas(shares, width):
    shares, before = np.array(shares), RNG.standard_normal((N_ROWS, width)).astype(np.float32)
    rows, values = changed(len(shares), width)
    moves = spread(rows, values, width)
    mean, total = np.einsum("m,mrw->rw", shares, moves), moves.sum(axis=0)
    n = 1 / (shares**2).sum()
    apart = np.einsum("m,mrw->r", shares**2, moves**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.clip(n * apart / (mean**2).sum(axis=1), 1, n)
        t = np.where(n > 1, (ratio - 1) / (n - 1), 1)[:, None]
    weights = before.copy()
    _averaging.add_moves(weights, rows, values, shares, np.empty((2, width), dtype=np.float32))
    wanted = before + np.where(np.isnan(t), 0, (1 - t) * mean + t * total)
    assert_allclose(weights, wanted, rtol=1e-4, atol=1e-5)

    state = np.abs(before)
    kept = np.repeat(state[None], len(shares), axis=0)
    for model, at, value in zip(kept, rows, values, strict=True):
        model[at] = np.abs(value)
    _averaging.average_states(state, rows, [np.abs(value) for value in values], shares)
    assert_allclose(state, np.einsum("m,mrw->rw", shares, kept), rtol=1e-5, atol=1e-6)
    assert (state >= 0).all()


def test_rows_that_no_model_has_changed_stay_as_they_are():
    before = RNG.standard_normal((N_ROWS, 16)).astype(np.float32)
    rows, values = [np.array([3], dtype=np.int32)] * 2, [np.ones((1, 16), dtype=np.float32)] * 2
    for kernel, more in [
        (_averaging.add_moves, [np.empty((2, 16), dtype=np.float32)]),
        (_averaging.average_states, []),
    ]:
        array = before.copy()
        kernel(array, rows, values, np.array([0.5, 0.5]), *more)
        others = np.arange(N_ROWS) != 3
        assert_array_equal(array[others], before[others])
        assert_allclose(array[3], before[3] + 1 if more else 1, rtol=1e-6)
