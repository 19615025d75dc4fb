"""The loop around the training step: epochs, batches, schedules, early stopping, callbacks."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from sklsh._batches import Rows

SOFTMAX_SHARE = Fraction(1, 10)  # of the steps, before "softmax_logistic" goes on as logistic


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
    loss_sum: float = 0.0
    rounds: object = None

    @property
    def labels_per_row(self):
        """Weighted mean number of labels of a row, over all rows seen."""
        return self.n_labels_sum / self.weight_sum

    def note_epoch(self, loss, weight, n_labels):
        """Take down the losses of an epoch's rows, their weights and labels, each summed up."""
        self.loss_curve.append(float(loss / weight) if weight > 0 else 0.0)
        self.n_epochs += 1
        self.loss_sum += float(loss)
        self.weight_sum += float(weight)
        self.n_labels_sum += float(n_labels)

    def since(self, earlier):
        """What was noted since an earlier state."""
        names = "n_steps", "n_active_sum", "weight_sum", "n_labels_sum", "loss_sum"
        noted = {name: getattr(self, name) - getattr(earlier, name) for name in names}
        return Progress(None, **noted)

    def note_round(self, parts, n_epochs):
        """Take down what several models noted in a round, after which so many epochs are over."""
        loss, weight = (
            sum(getattr(part, name) for part in parts) for name in ("loss_sum", "weight_sum")
        )
        self.note_epoch(loss, weight, sum(part.n_labels_sum for part in parts))
        self.n_epochs = n_epochs
        self.n_steps += max(part.n_steps for part in parts)
        self.n_active_sum += max(part.n_active_sum for part in parts)

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


class Part(NamedTuple):
    """A part of a plan, which rows that lie on several machines are trained on by in turns.

    Attributes
    ----------
    begin, end : Fraction or int
        From which to which share of the steps over all epochs it goes.

    seed : int or None
        Of the order of rows in each epoch; None goes on with the model's own generator.

    place : int
        Number of the place where its rows are.
    """

    begin: object = 0
    end: object = 1
    seed: int | None = None
    place: int = 0

    def epochs(self, n_epochs):
        """Epochs that it has a share in: (epoch, from which to which share of it)."""
        begin, end = self.begin * n_epochs, self.end * n_epochs
        for epoch in range(math.floor(begin), math.ceil(end)):
            yield epoch, max(begin - epoch, 0), min(end - epoch, 1)

    def batches(self, n_epochs, n_batches):
        """Batches of epochs that it takes any of: (epoch, first, behind the last)."""
        for epoch, begin, end in self.epochs(n_epochs):
            first, last = math.floor(begin * n_batches), math.floor(end * n_batches)
            if first < last:
                yield epoch, first, last

    def generator(self, own, epoch):
        """What draws the order of rows in an epoch, where `own` is the model's generator."""
        return own if self.seed is None else np.random.default_rng([self.seed, self.place, epoch])


WHOLE = Part()


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

    labels_per_row : float
        Weighted mean number of labels of all rows.

    part : Part
        What of all that this call does.
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
    labels_per_row: float = 1.0
    part: Part = WHOLE


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
    n, batch_size = X.shape[0], plan.batch_size
    n_batches = math.ceil(n / batch_size)
    n_steps = plan.n_epochs * n_batches
    switch_at = max(1, math.floor(SOFTMAX_SHARE * n_steps)) if plan.switch_loss else None
    n_labels = np.diff(Y.indptr)
    inputs, targets = Rows(X, network.n_threads), Rows(Y, network.n_threads)
    stop = False
    for epoch, first, last in plan.part.batches(plan.n_epochs, n_batches):
        with on_epoch(epoch) as task:
            generator = plan.part.generator(progress.random_generator, epoch)
            order = generator.permutation(n) if plan.shuffle else np.arange(n)
            seed = int(generator.integers(2**63)) if plan.input_dropout else 0
            order = order[batch_size * first : batch_size * last]
            weights = sample_weight[order]
            batches = zip(
                range(epoch * n_batches + first, epoch * n_batches + last),
                inputs.batches(order, batch_size, plan.input_dropout, seed),
                targets.batches(order, batch_size),
                gen_batches(len(order), batch_size),
                strict=True,
            )
            loss = 0.0
            for step, X_batch, Y_batch, rows in batches:
                if step == switch_at:
                    network.output.switch_to_logistic(plan.labels_per_row)
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
            weights = weights.astype(np.float64)
            progress.note_epoch(loss, weights.sum(), np.dot(n_labels[order], weights))
            if plan.early_stopping:
                score, stop = plan.early_stopping.note_epoch(network)
                progress.validation_scores.append(score)
        if stop or task.stop:
            break
    if plan.early_stopping:
        network.restore(plan.early_stopping.best_network)
        progress.best_validation_score = plan.early_stopping.best_score
        negatives.refresh(network.output, np.arange(Y.shape[1]))
