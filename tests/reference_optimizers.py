"""NumPy twins of updates whose moments are in count-sketches, and of vSGD-fd."""

import numpy as np
from reference import UPDATE_RULES, WORD, mix


def cells_of(row, depth, width, seed):
    """Cells and signs of a row of weights, one in each row of the sketch."""
    bits = [mix((mix(seed) + row * depth + r) & WORD) for r in range(depth)]
    cells = [r * width + ((b >> 32) * width >> 32) for r, b in enumerate(bits)]
    return cells, np.array([[1 - 2 * (b & 1)] for b in bits])


def step(rule, hyper, weights, first, second, depth, seed, rows, gradient):
    """Update rows one after another, in place; sketches have the cells of all rows in turn."""
    twin = UPDATE_RULES[rule][0]
    width = max(len(first), len(second)) // depth
    for row, g in zip(rows, gradient, strict=True):
        cells, signs = cells_of(int(row), depth, width, seed)
        m = np.median(signs * first[cells], axis=0)
        v = np.maximum(second[cells].min(axis=0), 0)
        weights[row], new_m, new_v = twin(hyper, weights[row], m, v, g)
        first[cells] += signs * (new_m - m)
        second[cells] += new_v - v


# ---- vSGD-fd ----


class VSGDTwin:
    """The rule for a linear model, weight by weight and sample by sample, as published.

    `gradient_of(scores)` is the gradient of the batch's mean loss by the scores. The bias is
    the last row of the weights, and has no penalty.
    """

    def __init__(self, weights, l2):
        self.weights, self.l2 = weights.astype(float), l2
        self.g, self.v, self.h, self.vh, self.tau, self.seen = np.zeros((6, *weights.shape))

    def step(self, X, gradient_of):
        X = np.column_stack([X, np.ones(len(X))])
        delta = gradient_of(X @ self.weights)
        samples = self.samples(X, delta)
        for where, (gradients, _) in samples.items():
            if self.seen[where] == 0:
                self.g[where] = gradients.mean()
        further = gradient_of(X @ (self.weights + self.g))
        caution = max(2, np.count_nonzero(X) / len(X) * delta.shape[1] / 10)
        for (f, c), (gradients, penalty) in samples.items():
            here = X[:, f] * delta[:, c] != 0
            change = len(X) * (X[:, f] * (further - delta)[:, c])[here]
            step = max(abs(self.g[f, c]), 1e-9)
            self.weights[f, c] -= self.move(
                (f, c), gradients, abs(change) / step + penalty, caution
            )

    def samples(self, X, delta):
        """Gradients of the rows that have one, and the penalty's part of their curvature."""
        found = {}
        for f, c in np.ndindex(self.weights.shape):
            gradients = len(X) * X[:, f] * delta[:, c]
            n = np.count_nonzero(gradients)
            if n:
                penalty = (f < X.shape[1] - 1) * self.l2 * len(X) / n
                found[f, c] = gradients[gradients != 0] + penalty * self.weights[f, c], penalty
        return found

    def move(self, at, gradients, curvatures, caution):
        """What the weight goes down by."""
        n, G, H = len(gradients), gradients.mean(), curvatures.mean()
        if self.seen[at] < 10:
            share = n / (self.seen[at] + n)
        else:
            far = (G - self.g[at]) ** 2 > 4 * (self.v[at] - self.g[at] ** 2) / n
            far |= (H - self.h[at]) ** 2 > 4 * (self.vh[at] - self.h[at] ** 2) / n
            self.tau[at] += far
            share = 1 / self.tau[at]
        means = G, (gradients**2).mean(), H, (curvatures**2).mean()
        for running, now in zip((self.g, self.v, self.h, self.vh), means, strict=True):
            running[at] = (1 - share) * running[at] + share * now
        if self.seen[at] < 10:
            self.seen[at] += n
            if self.seen[at] < 10:
                return 0
            self.tau[at] = 2
            self.v[at] *= caution
            self.vh[at] *= caution
        signal = self.g[at] ** 2
        share = signal / (self.v[at] / n + (n - 1) / n * signal)
        self.tau[at] = (1 - share) * self.tau[at] + 1
        return (self.h[at] + 1e-9) / (self.vh[at] + 1e-9) * share * G
