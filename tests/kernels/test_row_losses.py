"""Losses of rows by few scores: the twin's, the slope's and scikit-learn's."""

import numpy as np
import pytest
import reference_rows as reference
from numpy.testing import assert_allclose, assert_array_equal
from reference_sketch import margin_loss
from scipy.special import expit, softmax
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import hinge_loss, log_loss

from sklsh._kernels import _row_losses

EPSILON = 0.3
OUTPUTS = {  # scores of a row
    "log_loss": [1, 3],
    "hinge": [1, 3],
    "modified_huber": [1, 17],
    "squared_error": [1],
    "huber": [1],
    "multinomial": [2, 3, 100],
}
CASES = [(loss, n) for loss, numbers in OUTPUTS.items() for n in numbers]
EVERY = pytest.mark.parametrize("loss, n_outputs", CASES)
PADDING = 7


def make_problem(loss, n_outputs, n, scale=2.0):
    """Scores with columns behind them, targets and weights, some of them zero."""
    rng = np.random.default_rng(n + n_outputs)
    scores = (scale * rng.standard_normal((n, n_outputs + PADDING))).astype(np.float32)
    if n_outputs > 1:
        targets = rng.integers(0, n_outputs, n)
    elif loss in ("squared_error", "huber"):
        targets = rng.standard_normal(n)
    else:
        targets = 2 * rng.integers(0, 2, n) - 1
    weight = rng.uniform(0.5, 2, n) * (np.arange(n) % 5 != 3)
    return scores, targets.astype(np.float32), weight.astype(np.float32)


def kernel(loss, n_outputs, scores, targets, weight, n_threads=1):
    """(losses, norms, scores with gradients in their place)."""
    scores, (losses, norms) = scores.copy(), np.full((2, len(targets)), np.nan)
    _row_losses.row_losses(
        _row_losses.LOSSES[loss],
        scores,
        n_outputs,
        targets,
        EPSILON,
        weight,
        losses,
        norms,
        n_threads,
    )
    return losses, norms, scores


def test_every_loss_is_tested():
    assert OUTPUTS.keys() == _row_losses.LOSSES.keys()


@EVERY
@pytest.mark.parametrize("n", [0, 1, 200])
@pytest.mark.parametrize("scale", [0, 2, 30])
def test_losses_norms_and_gradients_are_the_twins(loss, n_outputs, n, scale, n_threads):
    scores, targets, weight = make_problem(loss, n_outputs, n, scale)
    got = kernel(loss, n_outputs, scores, targets, weight, n_threads)
    wanted = reference.row_losses(loss, scores, n_outputs, targets, EPSILON, weight)
    for one, other in zip(got, wanted, strict=True):
        assert_allclose(one, other, rtol=2e-5, atol=2e-6 * max(1, scale))


@EVERY
def test_columns_behind_the_outputs_stay(loss, n_outputs, n_threads):
    scores, targets, weight = make_problem(loss, n_outputs, 40)
    scores[:, n_outputs:] = np.nan
    scores[::2, n_outputs:] = 1e30
    losses, norms, gradient = kernel(loss, n_outputs, scores, targets, weight, n_threads)
    assert_array_equal(gradient[:, n_outputs:], scores[:, n_outputs:])
    assert np.isfinite([losses, norms]).all()


@EVERY
def test_a_row_does_not_depend_on_others_or_on_threads(loss, n_outputs):
    problem = make_problem(loss, n_outputs, 101)
    together, apart = (kernel(loss, n_outputs, *problem, n_threads) for n_threads in (1, 2))
    for one, other in zip(together, apart, strict=True):
        assert_array_equal(one, other)
    for i in (0, 50, 100):
        alone = kernel(loss, n_outputs, *(part[i : i + 1] for part in problem))
        for one, other in zip(together, alone, strict=True):
            assert_array_equal(one[i], other[0])


@EVERY
def test_gradient_is_the_slope_of_the_loss(loss, n_outputs):
    scores, targets, weight = make_problem(loss, n_outputs, 60 if n_outputs < 20 else 12)
    ones = np.ones_like(weight)
    _, norms, gradient = kernel(loss, n_outputs, scores, targets, ones)
    margins = abs(abs(scores[:, :n_outputs]) - 1).min(axis=1)
    smooth = margins > 1e-3  # a step may not cross the corners at margins of 1 and -1
    slopes = np.zeros((len(targets), n_outputs))
    for j in range(n_outputs):
        step = 1e-5 * (np.arange(scores.shape[1]) == j)
        above, below = (
            [margin_loss(loss, (row + sign * step)[:n_outputs], y, EPSILON)[0]
             for row, y in zip(scores.astype(float), targets, strict=True)]
            for sign in (1, -1)
        )  # fmt: skip
        slopes[:, j] = np.subtract(above, below) / 2e-5
    assert smooth.mean() > 0.5
    assert_allclose(gradient[smooth, :n_outputs], slopes[smooth], rtol=1e-3, atol=2e-5)
    assert_allclose(norms[smooth], np.linalg.norm(slopes[smooth], axis=1), rtol=1e-3, atol=1e-4)


@EVERY
def test_weights_multiply_gradients_but_not_what_is_told_of_the_row(loss, n_outputs):
    scores, targets, weight = make_problem(loss, n_outputs, 50)
    losses, norms, gradient = kernel(loss, n_outputs, scores, targets, weight)
    plain = kernel(loss, n_outputs, scores, targets, np.ones_like(weight))
    assert_array_equal(losses, plain[0])
    assert_array_equal(norms, plain[1])
    weighted = weight[:, None] * plain[2][:, :n_outputs]
    assert_array_equal(gradient[:, :n_outputs], weighted)
    assert not gradient[weight == 0, :n_outputs].any()


@EVERY
@pytest.mark.parametrize("score", [-1e15, -200, -87.4, 87.4, 89, 200, 1e15])
def test_extreme_scores_stay_finite(loss, n_outputs, score):
    scores, targets, weight = make_problem(loss, n_outputs, 20)
    scores[:10, 0] = score
    got = kernel(loss, n_outputs, scores, targets, weight)
    wanted = reference.row_losses(loss, scores, n_outputs, targets, EPSILON, weight)
    assert all(np.isfinite(array).all() for array in got)
    for one, other in zip(got, wanted, strict=True):
        assert_allclose(one, other, rtol=3e-5, atol=1e-6 * abs(score))


def test_losses_are_those_of_sklearn_metrics():
    for loss, n_outputs, probabilities in [
        ("log_loss", 1, lambda s: np.hstack([1 - expit(s), expit(s)])),
        ("multinomial", 4, lambda s: softmax(s, axis=1)),
    ]:
        scores, targets, weight = make_problem(loss, n_outputs, 80)
        losses, _, _ = kernel(loss, n_outputs, scores, targets, weight)
        shares = probabilities(scores[:, :n_outputs].astype(float))
        wanted = log_loss(targets, shares, sample_weight=weight)
        assert_allclose(np.average(losses, weights=weight), wanted, rtol=1e-5)
    scores, targets, weight = make_problem("hinge", 1, 80)
    losses, _, _ = kernel("hinge", 1, scores, targets, weight)
    wanted = hinge_loss(targets, scores[:, 0], sample_weight=weight)
    assert_allclose(np.average(losses, weights=weight), wanted, rtol=1e-5)


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "modified_huber", "squared_error", "huber"])
def test_gradients_are_those_of_scikit_learns_sgd(loss):
    """One step of it from any weight moves its bias by the rate times the gradient."""
    regression = loss in ("squared_error", "huber")
    model = (SGDRegressor if regression else SGDClassifier)(
        loss=loss, alpha=0, learning_rate="constant", eta0=1.0, epsilon=EPSILON, max_iter=1,
    )  # fmt: skip
    for wanted in (-1.0, 1.0):
        for score in (-3.0, -1.2, -0.9, 0.0, 0.2, 0.9, 1.1, 4.0):
            model.partial_fit([[0.0]], [1], **({} if regression else {"classes": [-1, 1]}))
            model.intercept_[:] = score
            model.partial_fit([[0.0]], [wanted])
            scores = np.full((1, 1), score, np.float32)
            target, one = np.array([wanted], np.float32), np.ones(1, np.float32)
            _, _, gradient = kernel(loss, 1, scores, target, one)
            assert_allclose(score - model.intercept_[0], gradient[0, 0], rtol=1e-5, atol=1e-6)
