"""Losses over shared candidates: values and gradients as SciPy and differences give them."""

import numpy as np
import pytest
from loss_problems import (
    Problem,
    logistic_loss,
    logistic_twin,
    make_problem,
    softmax_loss,
    softmax_twin,
)

SIZES = [1, 3, 16, 17, 48, 100, 128, 130]
BOTH = pytest.mark.parametrize(
    "kernel, twin",
    [(softmax_loss, softmax_twin), (logistic_loss, logistic_twin)],
    ids=["softmax", "logistic"],
)


def check(got, wanted, largest=1.0):
    """Equal up to what float32 rounds away of logits as large as `largest`."""
    n = wanted[-1].shape[1]
    for one, other in zip(got[:-1], wanted[:-1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * max(largest, 1))
    spread = min(largest, 1e4)  # a logit's rounding is its exponential's relative error
    np.testing.assert_allclose(got[-1][:, :n], wanted[-1], rtol=1e-5 + 2e-7 * spread, atol=1e-6)


@BOTH
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_batch", [0, 1, 20])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted labels"])
def test_loss_and_gradient_equal_scipy(kernel, twin, n_batch, n, weighted, simd_level, n_threads):
    problem = make_problem(n_batch, n, weighted=weighted)
    check(kernel(problem, n_threads), twin(problem))


@BOTH
@pytest.mark.parametrize("scale", [1e-3, 80, 1e4])
def test_loss_and_gradient_at_large_and_small_logits(kernel, twin, scale, simd_level):
    problem = make_problem(30, 130, scale)
    check(kernel(problem), twin(problem), scale)


@BOTH
@pytest.mark.parametrize("logit", [-1e30, -200, -87.4, -80, 0, 80, 87.4, 200, 1e30])
def test_one_extreme_logit_stays_finite(kernel, twin, logit, simd_level):
    logits = np.zeros((2, 33), np.float32)
    logits[:, 20] = logit
    labels = np.array([20, 3], np.int32)
    ones = np.ones(33, np.float32)
    bounds = np.arange(3, dtype=np.int32)
    problem = Problem(logits, 0 * ones, ones, bounds, labels, ones[:2], ones[:2])
    got, wanted = kernel(problem), twin(problem)
    check(got, wanted, abs(logit))
    assert all(np.isfinite(array).all() for array in got)


@BOTH
def test_gradient_is_the_slope_of_the_loss(kernel, twin, simd_level):
    problem = make_problem(6, 19, scale=3)
    gradient = kernel(problem)[-1]
    for j in range(19):
        step = np.zeros(problem.logits.shape[1])
        step[j] = 1e-5
        above, below = (
            twin(problem._replace(logits=problem.logits + sign * step))[0] for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[:, j], (above - below) / 2e-5, rtol=1e-4, atol=1e-5)


@BOTH
def test_row_of_weight_zero_has_no_loss_and_no_gradient(kernel, twin, simd_level):
    problem = make_problem(12, 40, scale=80)
    loss, *_, gradient = kernel(problem._replace(row_weight=0 * problem.row_weight))
    assert not loss.any()
    assert not gradient[:, :40].any()


def test_softmax_row_without_labels_has_only_a_partition(simd_level):
    problem = make_problem(4, 50)._replace(
        indptr=np.zeros(5, np.int32), positions=np.zeros(0, np.int32)
    )
    loss, log_partition, gradient = softmax_loss(problem)
    assert not loss.any()
    assert not gradient[:, :50].any()
    wanted = np.logaddexp.reduce(problem.logits[:, :50] + problem.offset, axis=1)
    np.testing.assert_allclose(log_partition, wanted, rtol=1e-6)


@BOTH
def test_label_of_weight_two_counts_as_two_rows_of_one_label(kernel, twin, simd_level):
    """But for the other classes, which the second row meets once more."""
    problem = make_problem(2, 40)._replace(
        logits=np.repeat(make_problem(1, 40).logits, 2, axis=0),
        indptr=np.array([0, 1, 2], np.int32),
        positions=np.array([7, 7], np.int32),
        label_weight=np.array([1, 2], np.float32),
        row_weight=np.ones(2, np.float32),
    )
    gradient = kernel(problem)[-1]
    assert gradient[1, 7] == 2 * gradient[0, 7] < 0


def test_weight_of_the_only_label_is_a_weight_of_the_row_in_the_softmax(simd_level):
    problem = make_problem(8, 40)._replace(
        indptr=np.arange(9, dtype=np.int32),
        positions=np.arange(8, dtype=np.int32),
        label_weight=np.linspace(0, 3, 8, dtype=np.float32),
        row_weight=np.ones(8, np.float32),
    )
    rows = problem._replace(label_weight=problem.row_weight, row_weight=problem.label_weight)
    for by_label, by_row in zip(softmax_loss(problem), softmax_loss(rows), strict=True):
        np.testing.assert_allclose(by_label, by_row, rtol=1e-6, atol=1e-7)
    assert np.array_equal(softmax_loss(problem)[-1], softmax_loss(rows)[-1])


def test_logistic_label_of_weight_zero_is_neither_wrong_nor_right(simd_level):
    problem = make_problem(12, 40)
    nothing = problem._replace(label_weight=0 * problem.label_weight)
    _, gradient = logistic_loss(nothing)
    assert not gradient[np.repeat(np.arange(12), np.diff(problem.indptr)), problem.positions].any()
    moved = nothing.logits.copy()
    moved[np.repeat(np.arange(12), np.diff(problem.indptr)), problem.positions] += 1
    loss, _ = logistic_loss(nothing._replace(logits=moved))
    np.testing.assert_allclose(loss, logistic_loss(nothing)[0], rtol=1e-6)


def test_candidate_weight_counts_as_that_many_candidates(simd_level):
    """A weight of 3 in the logistic loss, or log 3 in a softmax's offset."""
    problem = make_problem(9, 20)
    weight = np.ones(20, np.float32)
    copies = np.arange(20)
    drawn = np.setdiff1d(copies, problem.positions)[:3]  # of no row a label: nothing else changes
    thrice = np.concatenate([copies, drawn, drawn])
    repeated = problem._replace(
        logits=problem.logits[:, thrice],
        offset=problem.offset[thrice],
        weight=np.ones(len(thrice), np.float32),
    )
    weight[drawn] = 3
    weighted = problem._replace(weight=weight)
    corrected = problem._replace(offset=problem.offset + np.log(weight))
    for kernel, few in [(logistic_loss, weighted), (softmax_loss, corrected)]:
        np.testing.assert_allclose(kernel(few)[0], kernel(repeated)[0], rtol=1e-5, atol=1e-5)


@BOTH
def test_columns_past_the_candidates_are_left_alone(kernel, twin, simd_level):
    problem = make_problem(7, 21)
    assert np.array_equal(kernel(problem)[-1][:, 21:], problem.logits[:, 21:])


@BOTH
@pytest.mark.parametrize("left_out", [1, 15, 40])
def test_offset_of_minus_infinity_leaves_a_class_out(kernel, twin, left_out, simd_level):
    problem = make_problem(12, 30)
    wider = problem._replace(
        logits=np.ones((12, 30 + left_out), dtype=np.float32),
        offset=np.append(problem.offset, np.full(left_out, -np.inf, dtype=np.float32)),
        weight=np.append(problem.weight, np.zeros(left_out, dtype=np.float32)),
    )
    wider.logits[:, :30] = problem.logits[:, :30]
    got = kernel(wider)
    check((*got[:-1], got[-1][:, :30]), twin(problem))
    np.testing.assert_array_equal(got[-1][:, 30:], 0)


@BOTH
def test_row_alone_equals_row_in_batch(kernel, twin, simd_level):
    problem = make_problem(12, 100)
    together = kernel(problem)
    for i in range(12):
        for one, many in zip(kernel(problem.row(i)), together, strict=True):
            assert np.array_equal(one[0], many[i])


@BOTH
def test_same_bits_at_any_thread_count(kernel, twin, simd_level):
    problem = make_problem(60, 130, scale=10)
    for one, two, three in zip(*(kernel(problem, n) for n in (1, 2, 3)), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_nan_logit_is_not_hidden(simd_level):
    problem = make_problem(5, 40)
    problem.logits[4, 7] = np.nan
    assert np.isnan(softmax_loss(problem)[0][4])
    assert np.isnan(logistic_loss(problem)[0][4])
