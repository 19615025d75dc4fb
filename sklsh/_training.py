"""The loop around the training step: epochs, batches, schedules, callbacks."""

import math
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from sklsh._network import as_batch

SOFTMAX_SHARE = 0.4  # of the steps, before "softmax_logistic" goes on as logistic


@dataclass
class Progress:
    """What a model remembers of its training, over all calls."""

    random_generator: np.random.Generator
    loss_curve: list = field(default_factory=list)
    n_steps: int = 0
    n_epochs: int = 0
    n_active_sum: int = 0
    weight_sum: float = 0.0
    n_labels_sum: float = 0.0

    @property
    def labels_per_row(self):
        """Weighted mean number of labels of a row, over all rows seen."""
        return self.n_labels_sum / self.weight_sum


@dataclass
class Plan:
    """What one call to fit or partial_fit does.

    Attributes
    ----------
    n_epochs, batch_size : int
        Passes over the data, and rows of a step.

    learning_rate : float
        Rate of the first step.

    decay : bool
        Whether the rate falls linearly to zero over the call.

    input_dropout : float
        Share of a row's non-zero values dropped at random in each step.

    switch_loss : bool
        Whether to go on from the softmax to the logistic loss on the way.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    decay: bool = True
    input_dropout: float = 0.0
    switch_loss: bool = False


def train(network, negatives, X, Y, sample_weight, plan, progress, on_epoch):
    """Run the plan.

    `on_epoch(epoch)` is a context manager around each epoch whose value tells, by its
    attribute `stop`, whether training ends there.
    """
    n = X.shape[0]
    n_batches = math.ceil(n / plan.batch_size)
    n_steps = plan.n_epochs * n_batches
    switch_at = max(1, round(SOFTMAX_SHARE * n_steps)) if plan.switch_loss else None
    weight_sum = sample_weight.sum(dtype=np.float64)
    n_labels_sum = np.dot(np.diff(Y.indptr), sample_weight.astype(np.float64))
    generator = progress.random_generator
    step = 0
    for epoch in range(plan.n_epochs):
        with on_epoch(epoch) as task:
            order = generator.permutation(n)
            loss = 0.0
            for first in range(0, n, plan.batch_size):
                if step == switch_at:
                    network.switch_to_logistic(n_labels_sum / weight_sum)
                rows = order[first : first + plan.batch_size]
                rate = plan.learning_rate * (1 - step / n_steps if plan.decay else 1)
                batch_loss, n_active = network.train_step(
                    with_dropout(as_batch(X[rows]), plan.input_dropout, generator),
                    Y[rows],
                    sample_weight[rows] / np.float32(len(rows)),
                    negatives,
                    rate,
                )
                if not np.isfinite(batch_loss):
                    raise ValueError(
                        f"Training diverged: the loss of step {step + 1} is {batch_loss}. "
                        f"Lower learning_rate_init={plan.learning_rate} or scale the features."
                    )
                loss += batch_loss * len(rows)
                progress.n_active_sum += n_active
                progress.n_steps += 1
                step += 1
            progress.loss_curve.append(float(loss / weight_sum))
            progress.n_epochs += 1
            progress.weight_sum += weight_sum
            progress.n_labels_sum += n_labels_sum
        if task.stop:
            break


def with_dropout(X, rate, generator):
    """Drop a share of the non-zero values at random and scale up the rest."""
    if rate == 0:
        return X
    keep = generator.random(X.nnz, dtype=np.float32) >= rate
    kept = np.concatenate([[0], np.cumsum(keep, dtype=np.int32)]).astype(np.int32)
    values = X.data[keep] * np.float32(1 / (1 - rate))
    return sp.csr_array((values, X.indices[keep], kept[X.indptr]), shape=X.shape)
