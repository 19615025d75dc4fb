"""Losses over shared candidates: values and gradients as SciPy and differences give them."""

import numpy as np
import pytest
import reference

from sklsh._kernels import _losses

SIZES = [1, 3, 16, 17, 48, 100, 128, 130]


def make_problem(n_batch, n, scale=1.0, seed=0):
    """Random arguments (logits, offset, indptr, positions, weight, row_weight).

    Every third row has no label, others have up to four; every fifth weighs nothing.
    """
    rng = np.random.default_rng(seed)
    logits = scale * rng.uniform(-1, 1, (n_batch, n + 5))
    offset = scale / 4 * rng.uniform(-1, 1, n)
    labels = [rng.permutation(n)[: rng.integers(1, 5) * (i % 3 > 0)] for i in range(n_batch)]
    row_weight = rng.uniform(0.5, 2, n_batch) * (np.arange(n_batch) % 5 > 0)
    return (
        logits.astype(np.float32),
        offset.astype(np.float32),
        np.cumsum([0, *map(len, labels)], dtype=np.int32),
        np.concatenate([*labels, []]).astype(np.int32),
        rng.uniform(1, 30, n).astype(np.float32),
        row_weight.astype(np.float32),
    )


def softmax_loss(problem, n_threads=1):
    """(loss, log_partition, gradient), the gradient as wide as the logits."""
    logits, offset, indptr, positions, _, row_weight = problem
    gradient, loss, log_partition = logits.copy(), *np.full((2, len(logits)), np.nan)
    _losses.softmax_loss(
        gradient, offset, indptr, positions, row_weight, loss, log_partition, n_threads
    )
    return loss, log_partition, gradient


def logistic_loss(problem, n_threads=1):
    """(loss, gradient), the gradient as wide as the logits."""
    logits, offset, indptr, positions, weight, row_weight = problem
    gradient, loss = logits.copy(), np.full(len(logits), np.nan)
    _losses.logistic_loss(gradient, offset, weight, indptr, positions, row_weight, loss, n_threads)
    return loss, gradient


def softmax_twin(problem):
    logits, offset, indptr, positions, _, row_weight = problem
    return reference.softmax_loss(logits, offset, indptr, positions, row_weight)


def logistic_twin(problem):
    logits, offset, indptr, positions, weight, row_weight = problem
    return reference.logistic_loss(logits, offset, weight, indptr, positions, row_weight)


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
def test_loss_and_gradient_equal_scipy(kernel, twin, n_batch, n, simd_level, n_threads):
    problem = make_problem(n_batch, n)
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
    problem = logits, 0 * ones, np.arange(3, dtype=np.int32), labels, ones, ones[:2]
    got, wanted = kernel(problem), twin(problem)
    check(got, wanted, abs(logit))
    assert all(np.isfinite(array).all() for array in got)


@BOTH
def test_gradient_is_the_slope_of_the_loss(kernel, twin, simd_level):
    logits, *rest = make_problem(6, 19, scale=3)
    gradient = kernel((logits, *rest))[-1]
    for j in range(19):
        step = np.zeros(logits.shape[1])
        step[j] = 1e-5
        above, below = (twin((logits + sign * step, *rest))[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, j], (above - below) / 2e-5, rtol=1e-4, atol=1e-5)


@BOTH
def test_row_of_weight_zero_has_no_loss_and_no_gradient(kernel, twin, simd_level):
    *rest, row_weight = make_problem(12, 40, scale=80)
    loss, *_, gradient = kernel((*rest, 0 * row_weight))
    assert not loss.any()
    assert not gradient[:, :40].any()


def test_softmax_row_without_labels_has_only_a_partition(simd_level):
    logits, offset, _, _, weight, _ = make_problem(4, 50)
    indptr, none, ones = np.zeros(5, np.int32), np.zeros(0, np.int32), np.ones(4, np.float32)
    loss, log_partition, gradient = softmax_loss((logits, offset, indptr, none, weight, ones))
    assert not loss.any()
    assert not gradient[:, :50].any()
    wanted = np.logaddexp.reduce(logits[:, :50] + offset, axis=1)
    np.testing.assert_allclose(log_partition, wanted, rtol=1e-6)


def test_candidate_weight_counts_as_that_many_candidates(simd_level):
    """A weight of 3 in the logistic loss, or log 3 in a softmax's offset."""
    logits, offset, indptr, positions, _, row_weight = make_problem(9, 20)
    weight = np.ones(20, np.float32)
    copies = np.arange(20)
    drawn = np.setdiff1d(copies, positions)[:3]  # of no row a label: nothing else changes
    thrice = np.concatenate([copies, drawn, drawn])
    repeated = (
        logits[:, thrice], offset[thrice], indptr, positions, weight[[0] * len(thrice)], row_weight
    )  # fmt: skip
    weight[drawn] = 3
    weighted = logits, offset, indptr, positions, weight, row_weight
    corrected = logits, offset + np.log(weight), *weighted[2:]
    for kernel, problem in [(logistic_loss, weighted), (softmax_loss, corrected)]:
        np.testing.assert_allclose(kernel(problem)[0], kernel(repeated)[0], rtol=1e-5, atol=1e-5)


@BOTH
def test_columns_past_the_candidates_are_left_alone(kernel, twin, simd_level):
    problem = make_problem(7, 21)
    assert np.array_equal(kernel(problem)[-1][:, 21:], problem[0][:, 21:])


@BOTH
def test_row_alone_equals_row_in_batch(kernel, twin, simd_level):
    logits, offset, indptr, positions, weight, row_weight = problem = make_problem(12, 100)
    together = kernel(problem)
    for i in range(12):
        bounds = np.array([0, indptr[i + 1] - indptr[i]], np.int32)
        inside = positions[indptr[i] : indptr[i + 1]]
        row = slice(i, i + 1)
        alone = kernel((logits[row], offset, bounds, inside, weight, row_weight[row]))
        for one, many in zip(alone, together, strict=True):
            assert np.array_equal(one[0], many[i])


@BOTH
def test_same_bits_at_any_thread_count(kernel, twin, simd_level):
    problem = make_problem(60, 130, scale=10)
    for one, two, three in zip(*(kernel(problem, n) for n in (1, 2, 3)), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_nan_logit_is_not_hidden(simd_level):
    problem = make_problem(5, 40)
    problem[0][4, 7] = np.nan
    assert np.isnan(softmax_loss(problem)[0][4])
    assert np.isnan(logistic_loss(problem)[0][4])
