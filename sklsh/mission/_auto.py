"""What the "auto" settings of the MISSION estimators stand for."""

import math

import numpy as np
import scipy.sparse as sp

SAMPLE = 2_000  # rows that tell the scale of the data
# Rate, over the inverse of the mean squared length of a row. The softmax of several classes
# starts flatter than the other losses.
STEP = {"multinomial": 1.0}
USUAL_STEP = 0.5
CURVATURE = {
    "log_loss": 0.25,
    "multinomial": 0.25,
    "hinge": 1.0,
    "squared_error": 1.0,
    "huber": 1.0,
}
MOST_ROWS = 512  # of a batch
POWER_STEPS = 10
TINY = np.finfo(np.float64).tiny
ROWS_TO_SEE = 300_000  # over all epochs


def scale_of(X, weights):
    """Mean and largest squared length of rows, and the top eigenvalue of their second moment.

    Of rows that have a weight, evenly spread, where it counts as it does in their gradients.
    """
    rows = np.flatnonzero(weights)
    rows = rows[:: math.ceil(len(rows) / SAMPLE)]
    X = X[rows].astype(np.float64)
    X.data *= np.repeat(np.sqrt(weights[rows]), np.diff(X.indptr))
    seen, columns = np.unique(X.indices, return_inverse=True)
    X = sp.csr_array((X.data, columns, X.indptr), shape=(X.shape[0], len(seen)))
    squares = X.multiply(X).sum(axis=1)
    direction, curvature = np.random.default_rng(0).standard_normal(len(seen)), 0.0
    for _ in range(POWER_STEPS):
        image = X.T @ (X @ direction) / X.shape[0]
        curvature = np.linalg.norm(image)
        direction = image / max(curvature, TINY)
    return squares.mean(), squares.max(), curvature


def rate_for(learning_rate_init, loss, l2, mean, largest):
    """Rate of the first step.

    "auto": what suits a mean row, and no more than is stable for the longest.
    """
    if learning_rate_init != "auto":
        return float(learning_rate_init)
    rate = STEP.get(loss, USUAL_STEP)
    if largest > 0:
        rate = min(rate / mean, 1 / (CURVATURE.get(loss, 1.0) * largest))
    return min(rate, USUAL_STEP / l2) if l2 > 0 else rate


def rows_per_step(batch_size, loss, l2, rate, curvature):
    """Rows of a batch; "auto": as many as their summed step is stable for."""
    if batch_size != "auto":
        return int(batch_size)
    steepest = rate * (CURVATURE.get(loss, 1.0) * curvature + l2)
    return int(np.clip(1 / steepest, 1, MOST_ROWS)) if steepest > 0 else MOST_ROWS


def epochs_for(max_iter, n_rows):
    """Passes over the data: fewer over more rows."""
    if max_iter != "auto":
        return int(max_iter)
    return int(np.clip(math.ceil(ROWS_TO_SEE / n_rows), 3, 30))


def sizes_for(k, mode, width, depth):
    """Sizes of the model that selects k features, as :class:`SketchedLinear` takes them."""
    if mode == "mission":
        keep, slack, auto_width, auto_depth = k, k, 2**18, 3
    else:
        keep = max(512, k + min(2 * k, 2000))
        slack, auto_depth = max(512, keep // 8), 1
        cells = max(2**13, min(32 * k, 2**15), math.ceil(2.5 * k))
        auto_width = 1 << (cells - 1).bit_length()
    return {
        "keep": keep,
        "capacity": keep + slack,
        "width": auto_width if width == "auto" else int(width),
        "depth": auto_depth if depth == "auto" else int(depth),
    }
