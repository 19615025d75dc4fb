"""The loop around the training step: epochs, batches, schedules, early stopping, callbacks."""

import math
from dataclasses import dataclass, field

import numpy as np
from sklearn.utils import gen_batches

from sklsh._batches import Rows

SOFTMAX_SHARE = 0.1  # of the steps, before "softmax_logistic" goes on as logistic


@dataclass
class Progress:
    """What a model remembers of its training, over all calls."""

    random_generator: np.random.Generator
    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    best_validation_score: float | None = None
    n_steps: int = 0
    n_epochs: int = 0
    n_active_sum: float = 0.0
    weight_sum: float = 0.0
    n_labels_sum: float = 0.0

    @property
    def labels_per_row(self):
        """Weighted mean number of labels of a row, over all rows seen."""
        return self.n_labels_sum / self.weight_sum

    def last_epoch(self, scored):
        """The last epoch in a line, with its validation score if it was `scored`."""
        line = f"Epoch {self.n_epochs}, loss = {self.loss_curve[-1]:.6f}"
        if scored:
            line += f", validation score = {self.validation_scores[-1]:.6f}"
        return line


def constant_rate(done, step):
    """Keep the first rate."""
    return 1.0


def linear_rate(done, step):
    """Fall to zero in a straight line."""
    return 1 - done


def cosine_rate(done, step):
    """Fall to zero along half a cosine: slowly, then fast, then slowly."""
    return (1 + math.cos(math.pi * done)) / 2


@dataclass
class InvScalingRate:
    """Divide by a power of the number of the step, over all calls."""

    power_t: float

    def __call__(self, done, step):
        """Factor of the rate in the step'th step, `done` being what is over of the call."""
        return step**-self.power_t


def rate_schedule(name, power_t):
    """Factor of the learning rate as a function of (share of the call done, step from 1)."""
    if name == "invscaling":
        return InvScalingRate(power_t)
    return {"constant": constant_rate, "linear": linear_rate, "cosine": cosine_rate}[name]


@dataclass
class Plan:
    """What one call to fit or partial_fit does.

    Attributes
    ----------
    n_epochs, batch_size : int
        Passes over the data, and rows of a step.

    learning_rate : float
        Rate of the first step; 0 where the optimizer has rates of its own.

    schedule : callable
        Its factor later on, see `rate_schedule`.

    shuffle : bool
        Whether each epoch takes the rows in a new order.

    input_dropout : float
        Share of a row's non-zero values dropped at random in each step.

    hidden_dropout : float
        Share of a row's hidden units dropped likewise.

    switch_loss : bool
        Whether to go on from the softmax to the logistic loss on the way.

    early_stopping : EarlyStopping or None
        Watches rows that are held out.

    has_end : bool
        Whether training ends with this call, so that negatives can go by what is done.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    schedule: object = linear_rate
    shuffle: bool = True
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    switch_loss: bool = False
    early_stopping: object = None
    has_end: bool = True


class EarlyStopping:
    """Scores held-out rows after each epoch, remembers the best weights, says when to stop.

    Parameters
    ----------
    score : callable
        Score of a network on the rows held out, larger is better; see `sklsh._scores`.

    tol : float
        What counts as better: a score above the best by more than this.

    patience : int
        Epochs without a better one after which to stop.
    """

    def __init__(self, score, *, tol, patience):
        self.score = score
        self.tol = tol
        self.patience = patience
        self.best_score = -np.inf
        self.best_network = None
        self._n_worse = 0

    def note_epoch(self, network):
        """Score the network as it is; returns (score, whether to stop)."""
        score = self.score(network)
        self._n_worse += 1
        if score > self.best_score + self.tol:
            self._n_worse = 0
        if score > self.best_score:
            self.best_score = score
            self.best_network = None  # never two copies: fit asked for the memory of one
            self.best_network = network.frozen()
        return score, self._n_worse >= self.patience


def split_off(rows, fraction, generator):
    """Numbers of rows, ascending: those to train on, and a share held out at random."""
    n_held_out = math.ceil(fraction * len(rows))
    if n_held_out == len(rows):
        raise ValueError(
            f"validation_fraction={fraction} leaves no row to train on, with "
            f"n_samples={len(rows)} of positive weight."
        )
    order = generator.permutation(rows)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


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
    negatives.note_labels(np.bincount(Y.indices, minlength=Y.shape[1]))
    inputs, targets = Rows(X, network.n_threads), Rows(Y, network.n_threads)
    step = 0
    stop = False
    for epoch in range(plan.n_epochs):
        with on_epoch(epoch) as task:
            order = generator.permutation(n) if plan.shuffle else np.arange(n)
            seed = int(generator.integers(2**63)) if plan.input_dropout else 0
            batches = zip(
                inputs.batches(order, plan.batch_size, plan.input_dropout, seed),
                targets.batches(order, plan.batch_size),
                gen_batches(n, plan.batch_size),
                strict=True,
            )
            weights = sample_weight[order]
            loss = 0.0
            for X_batch, Y_batch, rows in batches:
                if step == switch_at:
                    network.output.switch_to_logistic(n_labels_sum / weight_sum)
                    negatives.refresh(network.output, np.arange(Y.shape[1]))  # all biases moved
                if plan.has_end:
                    negatives.advance(step / n_steps)
                n_batch = rows.stop - rows.start
                rate = plan.learning_rate * plan.schedule(step / n_steps, progress.n_steps + 1)
                batch_loss, n_active = network.train_step(
                    X_batch, Y_batch, weights[rows] / np.float32(n_batch), negatives, rate,
                    plan.hidden_dropout,
                )  # fmt: skip
                if not math.isfinite(batch_loss):
                    raise ValueError(
                        f"Training diverged: the loss of step {step + 1} is {batch_loss}. "
                        f"Lower learning_rate_init={plan.learning_rate}, or scale the features or "
                        "the weights of rows and classes."
                    )
                loss += batch_loss * n_batch
                progress.n_active_sum += n_active
                progress.n_steps += 1
                step += 1
            progress.loss_curve.append(float(loss / weight_sum))
            progress.n_epochs += 1
            progress.weight_sum += weight_sum
            progress.n_labels_sum += n_labels_sum
            if plan.early_stopping:
                score, stop = plan.early_stopping.note_epoch(network)
                progress.validation_scores.append(score)
        if stop or task.stop:
            break
    if plan.early_stopping:
        network.restore(plan.early_stopping.best_network)
        progress.best_validation_score = plan.early_stopping.best_score
        negatives.refresh(network.output, np.arange(Y.shape[1]))
