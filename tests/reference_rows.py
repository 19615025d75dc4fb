"""NumPy twins of what draws rows, and of the network that trains on them."""

import numpy as np
from reference_sketch import counted, counters, margin_loss

# ---- _row_losses ----


def row_losses(loss, scores, n_outputs, targets, epsilon, row_weight):
    """(losses, norms, scores with the weighted gradients in their place)."""
    out = scores.astype(float)
    losses, norms = np.zeros((2, len(scores)))
    for i, target in enumerate(targets):
        losses[i], gradient = margin_loss(loss, out[i, :n_outputs], target, epsilon)
        norms[i] = np.linalg.norm(gradient)
        out[i, :n_outputs] = row_weight[i] * gradient
    return losses, norms, out


# ---- ScoreNetwork ----


def forward(X, coefs, intercepts):
    """What meets each layer, and the scores."""
    below = [X]
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True), 1):
        above = below[-1] @ coef + intercept
        below.append(np.maximum(above, 0) if layer < len(coefs) else above)
    return below


def gradients(X, coefs, intercepts, loss, targets, epsilon, row_weight):
    """(losses, norms, gradients by the weights, by the biases) of the sum over rows."""
    below = forward(X, coefs, intercepts)
    losses, norms, delta = row_losses(
        loss, below[-1], below[-1].shape[1], targets, epsilon, row_weight
    )
    by_coefs, by_intercepts = [], []
    for layer in range(len(coefs) - 1, -1, -1):
        by_coefs.insert(0, below[layer].T @ delta)
        by_intercepts.insert(0, delta.sum(axis=0))
        delta = (delta @ coefs[layer].T) * (below[layer] > 0)
    return losses, norms, by_coefs, by_intercepts


# ---- row_sampling ----


def nadaraya_watson(codes, queries, values, weight, prior, width, seed):
    """Mean of the values where codes agree, and of all for `prior` more rows."""
    has_code = codes[:, 0] >= 0
    sums = np.column_stack([weight * values, weight])
    totals = sums[has_code].sum(axis=0)
    cells = counted(codes, sums, width, True, seed)
    found = counters(queries, cells, True, seed).mean(axis=1)
    return (found[:, 0] + prior * totals[0] / totals[1]) / (found[:, 1] + prior)
