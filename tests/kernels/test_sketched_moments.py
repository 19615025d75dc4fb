"""Updates with moments in count-sketches, against their twin in NumPy."""

import numpy as np
import pytest
import reference
import reference_optimizers

from sklsh._kernels import _sketched_moments
from sklsh._storage import to_bfloat16

RULES = ["momentum", "adam", "rmsprop", "adagrad"]
N_ROWS, WIDTH, SEED = 90, 11, 5  # so that most rows share their cells
KERNELS = pytest.mark.parametrize("kernel", ["step_rows", "step_embedding"])


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_state(rule, depth, n_columns):
    """Weights and cells; those of second moments are not negative."""
    widths = [shape[1] for shape in reference.slot_shapes(rule, 1, n_columns)]
    first, second = (normals(depth * WIDTH, n, seed=n + s) for s, n in enumerate(widths))
    return normals(N_ROWS, n_columns, seed=7), first, np.abs(second)


def take_step(rule, state, depth, rows, gradient, kernel="step_rows", n_threads=1, seed=0):
    """Update in place; the embedding gets each gradient from two rows of a batch."""
    _, number, hyper, _ = reference.UPDATE_RULES[rule]
    arguments = number, np.array(hyper, np.float32), seed, *state, depth, SEED
    n_columns = gradient.shape[1]
    size = _sketched_moments.VECTORS_A_THREAD * n_columns
    buffers = np.full((n_threads, size), np.nan, np.float32)
    if kernel == "step_rows":
        _sketched_moments.step_rows(*arguments, rows, gradient, buffers, n_threads)
        return
    n = len(rows)
    columns = (
        np.arange(0, 2 * n + 1, 2, dtype=np.int32), np.repeat(np.arange(n, dtype=np.int32), 2),
        np.tile(np.float32([0.25, 0.75]), n),
    )  # fmt: skip
    shape = _sketched_moments.GRADIENTS_AT_A_TIME, n_columns
    scratch = np.full(shape, np.nan, np.float32)
    _sketched_moments.step_embedding(
        *arguments, rows, *columns, gradient, scratch, buffers, n_threads
    )


@KERNELS
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("rule", RULES)
def test_equals_the_twin_row_by_row(rule, depth, kernel, simd_level, n_threads):
    for n, n_columns in [(0, 16), (1, 3), (37, 33), (N_ROWS, 48)]:
        rows = np.random.default_rng(n).permutation(N_ROWS)[:n].astype(np.int32)
        gradient, state = normals(n, n_columns, seed=3), make_state(rule, depth, n_columns)
        wanted = [array.astype(float) for array in state]
        hyper = reference.UPDATE_RULES[rule][2]
        reference_optimizers.step(rule, hyper, *wanted, depth, SEED, rows, gradient)
        take_step(rule, state, depth, rows, gradient, kernel, n_threads)
        for new, expected in zip(state, wanted, strict=True):
            np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-4)


@KERNELS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_same_bits_at_any_thread_count(dtype, rule, kernel, simd_level):
    rows, gradient = np.arange(N_ROWS, dtype=np.int32)[::-1].copy(), normals(N_ROWS, 131, seed=3)

    def after(n_threads):
        weights, *sketches = make_state(rule, 3, 131)
        weights = to_bfloat16(weights) if dtype == np.uint16 else weights
        for seed in range(3):
            state = weights, *sketches
            take_step(rule, state, 3, rows, gradient, kernel, n_threads, seed)
        return state

    one = after(1)
    for n_threads in (2, 3, 20):  # more than there are cache lines in a row
        for first, other in zip(one, after(n_threads), strict=True):
            assert np.array_equal(first, other)


@KERNELS
@pytest.mark.parametrize("rule", RULES)
def test_bfloat16_is_rounded_up_or_down_at_random(rule, kernel, simd_level, n_threads):
    rows, gradient = np.arange(N_ROWS - 3, dtype=np.int32), normals(N_ROWS - 3, 70, seed=3)
    weights, *sketches = make_state(rule, 3, 70)
    bits = to_bfloat16(weights)
    half = bits.copy(), *(s.copy() for s in sketches)
    full = (bits.astype(np.uint32) << 16).view(np.float32), *sketches
    for state in (half, full):
        take_step(rule, state, 3, rows, gradient, kernel, n_threads)
    for one, other in zip(half[1:], full[1:], strict=True):
        assert np.array_equal(one, other)
    down = (full[0].view(np.uint32) >> 16).astype(np.uint16)  # towards zero
    exact = full[0].view(np.uint32) & 0xFFFF == 0
    assert ((half[0] == down) | (half[0] == down + ~exact)).all()
    assert np.array_equal(half[0][-3:], bits[-3:])
    up = (half[0] != down)[:-3].mean(axis=0)
    assert (up > 0.2).all() and (up < 0.8).all()  # in every column


@KERNELS
def test_more_features_than_gradients_at_a_time(kernel, monkeypatch):
    n = 2 * _sketched_moments.GRADIENTS_AT_A_TIME + 7
    rows, gradient = np.arange(n, dtype=np.int32), normals(n, 16)
    state = np.zeros((n, 16), np.float32), normals(33, 16), np.abs(normals(33, 16, seed=1))
    wanted = [array.astype(float) for array in state]
    hyper = reference.UPDATE_RULES["adam"][2]
    reference_optimizers.step("adam", hyper, *wanted, 3, SEED, rows, gradient)
    take_step("adam", state, 3, rows, gradient, kernel, 2)
    for new, expected in zip(state, wanted, strict=True):
        np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-3)


def test_cells_and_signs_are_spread_evenly():
    n, depth, width = 6000, 3, 10
    found = [reference_optimizers.cells_of(row, depth, width, SEED) for row in range(n)]
    cells, signs = (np.array(each).reshape(n, depth) for each in zip(*found, strict=True))
    counts = np.bincount(cells.ravel(), minlength=depth * width)
    assert abs(counts - n / width).max() < 5 * np.sqrt(n / width)
    assert abs(signs.mean(axis=0)).max() < 5 / np.sqrt(n)
    both = np.mean((cells[::2] == cells[1::2]).sum(axis=1) >= 2)
    assert both < 5 * depth / width**2  # who shares one cell shares another no more often


@pytest.mark.parametrize(
    ["rows", "depth", "message"],
    [([0, N_ROWS], 3, "rows must lie in"), ([-1], 3, "rows must lie in"), ([0], 0, "depth")],
)
def test_rows_and_depths_that_are_none_are_refused(rows, depth, message):
    state = make_state("adam", 3, 16)
    before = [array.copy() for array in state]
    rows = np.array(rows, dtype=np.int32)
    with pytest.raises(ValueError, match=message):
        take_step("adam", state, depth, rows, normals(len(rows), 16))
    for new, old in zip(state, before, strict=True):
        assert np.array_equal(new, old)
