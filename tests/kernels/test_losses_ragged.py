"""Losses over each row's own candidates: those of the row by itself."""

import numpy as np
import pytest
from loss_problems import (
    Ragged,
    logistic_loss,
    logistic_loss_ragged,
    logistic_twin,
    make_problem,
    make_ragged,
    softmax_loss,
    softmax_loss_ragged,
    softmax_twin,
)

SIZES = [1, 130, 3, 16, 17, 4, 48, 100, 128, 1, 5]
BOTH = pytest.mark.parametrize(
    "kernel, shared, twin",
    [
        (softmax_loss_ragged, softmax_loss, softmax_twin),
        (logistic_loss_ragged, logistic_loss, logistic_twin),
    ],
    ids=["softmax", "logistic"],
)


def row_results(kernel, problem):
    """What a shared kernel or twin finds for each row by itself, put together."""
    results = zip(*map(kernel, problem.rows()), strict=True)
    return [np.concatenate([np.ravel(array) for array in arrays]) for arrays in results]


@BOTH
def test_loss_and_gradient_equal_scipy(kernel, shared, twin, simd_level, n_threads):
    problem = make_ragged(SIZES)
    results = zip(kernel(problem, n_threads), row_results(twin, problem), strict=True)
    for got, wanted in results:
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@BOTH
def test_rows_are_as_the_shared_kernel_leaves_them(kernel, shared, twin, simd_level):
    problem = make_ragged(SIZES, scale=20)
    for got, wanted in zip(kernel(problem), row_results(shared, problem), strict=True):
        assert np.array_equal(got, wanted)


@BOTH
@pytest.mark.parametrize("n", [1, 17, 130])
def test_same_candidates_for_all_rows_are_shared_candidates(kernel, shared, twin, n, simd_level):
    problem = make_problem(9, n)
    same = Ragged(
        problem.logits[:, :n].ravel(),
        np.tile(problem.offset, 9),
        np.tile(problem.weight, 9),
        np.arange(0, 9 * n + 1, n, dtype=np.int32),
        *problem.labels,
    )
    *numbers, gradient = kernel(same)
    *wanted, shared_gradient = shared(problem)
    for got, expected in zip(numbers, wanted, strict=True):
        assert np.array_equal(got, expected)
    assert np.array_equal(gradient.reshape(9, n), shared_gradient[:, :n])


@BOTH
def test_gradient_is_the_slope_of_the_loss(kernel, shared, twin, simd_level):
    problem = make_ragged([4, 1, 9, 17], scale=3)
    gradient = kernel(problem)[-1]
    for j in range(len(gradient)):
        step = np.zeros(len(gradient))
        step[j] = 1e-5
        above, below = (
            row_results(twin, problem._replace(logits=problem.logits + sign * step))[0].sum()
            for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[j], (above - below) / 2e-5, rtol=1e-4, atol=1e-5)


@BOTH
def test_same_bits_at_any_thread_count(kernel, shared, twin, simd_level):
    problem = make_ragged(5 * SIZES, scale=10)
    for one, two, three in zip(*(kernel(problem, n) for n in (1, 2, 3)), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


@BOTH
def test_no_rows_are_no_work(kernel, shared, twin, simd_level):
    empty = make_problem(0, 5)
    none = Ragged(*(np.zeros(0, np.float32),) * 3, np.zeros(1, np.int32), *empty.labels)
    assert all(array.size == 0 for array in kernel(none))


@pytest.mark.parametrize("first", [0, 3])
def test_a_row_without_candidates_has_no_loss(first, simd_level, n_threads):
    sizes = np.array([first, 0, 2, 0])
    n, starts = sizes.sum(), np.cumsum([0, *sizes], dtype=np.int32)
    labels = np.array([0, 0, 0, 1, 1], np.int32), np.zeros(1, np.int32), np.ones(1, np.float32)
    weight = np.ones(n, np.float32)
    problem = Ragged(
        np.arange(n, dtype=np.float32), 0 * weight, weight, starts, *labels,
        np.ones(4, dtype=np.float32),
    )  # fmt: skip
    loss, log_partition, gradient = softmax_loss_ragged(problem, n_threads)
    np.testing.assert_allclose(loss, [0, 0, np.log1p(np.e), 0], rtol=1e-6)
    np.testing.assert_array_equal(log_partition[[1, 3]], 0)
    np.testing.assert_array_equal(gradient[:first], 0)
    np.testing.assert_allclose(gradient[first:], np.array([-1, 1]) / (1 + 1 / np.e), rtol=1e-6)
