"""Arguments of the loss kernels, and calls of the kernels and of their twins."""

from typing import NamedTuple

import numpy as np
import reference

from sklsh._kernels import _losses


class Problem(NamedTuple):
    """Rows scored against shared candidates."""

    logits: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    indptr: np.ndarray
    positions: np.ndarray
    label_weight: np.ndarray
    row_weight: np.ndarray

    @property
    def labels(self):
        return self.indptr, self.positions, self.label_weight, self.row_weight

    def row(self, i):
        """The problem of one row."""
        inside = slice(self.indptr[i], self.indptr[i + 1])
        return self._replace(
            logits=self.logits[i : i + 1],
            indptr=np.array([0, inside.stop - inside.start], np.int32),
            positions=self.positions[inside],
            label_weight=self.label_weight[inside],
            row_weight=self.row_weight[i : i + 1],
        )


def make_problem(n_batch, n, scale=1.0, seed=0, weighted=True):
    """Random arguments, as float32.

    Every third row has no label, others have up to four; every fifth weighs nothing. Labels
    weigh up to 3 and some nothing, or 1 if not `weighted`.
    """
    rng = np.random.default_rng(seed)
    labels = [rng.permutation(n)[: rng.integers(1, 5) * (i % 3 > 0)] for i in range(n_batch)]
    n_labels = sum(map(len, labels))
    label_weight = rng.uniform(0, 3, n_labels) * (rng.random(n_labels) < 0.8)
    return Problem(
        logits=(scale * rng.uniform(-1, 1, (n_batch, n + 5))).astype(np.float32),
        offset=(scale / 4 * rng.uniform(-1, 1, n)).astype(np.float32),
        weight=rng.uniform(1, 30, n).astype(np.float32),
        indptr=np.cumsum([0, *map(len, labels)], dtype=np.int32),
        positions=np.concatenate([*labels, []]).astype(np.int32),
        label_weight=(label_weight if weighted else np.ones(n_labels)).astype(np.float32),
        row_weight=(rng.uniform(0.5, 2, n_batch) * (np.arange(n_batch) % 5 > 0)).astype(np.float32),
    )


def softmax_loss(problem, n_threads=1):
    """(loss, log_partition, gradient), the gradient as wide as the logits."""
    gradient = problem.logits.copy()
    loss, log_partition = np.full((2, len(gradient)), np.nan)
    _losses.softmax_loss(gradient, problem.offset, *problem.labels, loss, log_partition, n_threads)
    return loss, log_partition, gradient


def logistic_loss(problem, n_threads=1):
    """(loss, gradient), the gradient as wide as the logits."""
    gradient, loss = problem.logits.copy(), np.full(len(problem.logits), np.nan)
    _losses.logistic_loss(
        gradient, problem.offset, problem.weight, *problem.labels, loss, n_threads
    )
    return loss, gradient


def softmax_twin(problem):
    return reference.softmax_loss(problem.logits, problem.offset, *problem.labels)


def logistic_twin(problem):
    return reference.logistic_loss(problem.logits, problem.offset, problem.weight, *problem.labels)


class Ragged(NamedTuple):
    """Rows scored against candidates of their own, which lie in flat arrays."""

    logits: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    starts: np.ndarray
    indptr: np.ndarray
    positions: np.ndarray
    label_weight: np.ndarray
    row_weight: np.ndarray

    labels = Problem.labels

    def rows(self):
        """Each row as a shared problem, without columns past the candidates."""
        for i in range(len(self.row_weight)):
            own = slice(self.starts[i], self.starts[i + 1])
            inside = slice(self.indptr[i], self.indptr[i + 1])
            yield Problem(
                logits=self.logits[None, own],
                offset=self.offset[own],
                weight=self.weight[own],
                indptr=np.array([0, inside.stop - inside.start], np.int32),
                positions=self.positions[inside],
                label_weight=self.label_weight[inside],
                row_weight=self.row_weight[i : i + 1],
            )


def make_ragged(sizes, scale=1.0, seed=0):
    """Rows of `sizes` candidates, weighted as those of `make_problem`."""
    problems = [make_problem(6, n, scale, seed + i).row(i % 6) for i, n in enumerate(sizes)]
    bounds = np.cumsum([0, *sizes], dtype=np.int32)
    return Ragged(
        logits=np.concatenate([p.logits[0, :-5] for p in problems]),
        offset=np.concatenate([p.offset for p in problems]),
        weight=np.concatenate([p.weight for p in problems]),
        starts=bounds,
        indptr=np.cumsum([0, *(len(p.positions) for p in problems)], dtype=np.int32),
        positions=np.concatenate([p.positions for p in problems]),
        label_weight=np.concatenate([p.label_weight for p in problems]),
        row_weight=np.concatenate([p.row_weight for p in problems]),
    )


def softmax_loss_ragged(problem, n_threads=1):
    """(loss, log_partition, gradient), the gradient flat as the logits."""
    gradient = problem.logits.copy()
    loss, log_partition = np.full((2, len(problem.row_weight)), np.nan)
    _losses.softmax_loss_ragged(
        gradient, problem.offset, problem.starts, *problem.labels, loss, log_partition, n_threads
    )
    return loss, log_partition, gradient


def logistic_loss_ragged(problem, n_threads=1):
    """(loss, gradient), the gradient flat as the logits."""
    gradient, loss = problem.logits.copy(), np.full(len(problem.row_weight), np.nan)
    _losses.logistic_loss_ragged(
        gradient, problem.offset, problem.weight, problem.starts, *problem.labels, loss, n_threads
    )
    return loss, gradient
