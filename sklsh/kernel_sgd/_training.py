"""The loop around the training step of networks that draw their rows."""

import math
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from sklsh._batches import Rows
from sklsh.row_sampling import Observed


class TrainingRows(NamedTuple):
    """Rows to train on.

    Attributes
    ----------
    X : ndarray or csr_array of shape (n, n_features), float32
        Features.

    targets : ndarray of shape (n,), float32
        What the loss compares scores with.

    weight : ndarray of shape (n,), float32
        Weights in the loss.
    """

    X: object
    targets: np.ndarray
    weight: np.ndarray


def of_weight(rows, groups, weight):
    """Those rows, with what groups them and their weights, that have a weight."""
    if weight.all():
        return rows, groups, weight
    kept = np.flatnonzero(weight)
    return TrainingRows(*(part[kept] for part in rows)), groups[kept], weight[kept]


class HeldOutScore:
    """How good a network is on rows that are held out.

    Parameters
    ----------
    metric : callable
        Of targets, scores and `sample_weight`; larger is better.

    X, targets, sample_weight
        The rows, what their scores should be, and their weights.
    """

    def __init__(self, metric, X, targets, sample_weight):
        self.metric, self.X = metric, X
        self.targets, self.sample_weight = targets, sample_weight

    def __call__(self, network):
        """Score of the network as it is."""
        scores = network.scores(self.X, network.n_threads)
        return float(self.metric(self.targets, scores, sample_weight=self.sample_weight))


def train_on_draws(network, draws, data, plan, progress, on_epoch, *, row_score, alpha, loss_unit):
    """Run the plan.

    Parameters
    ----------
    network : ScoreNetwork
        What is trained.

    draws : RowDraws
        Which rows the steps take, turned to `data`.

    data : TrainingRows
        All rows.

    plan : Plan
        Epochs, batch size, learning rate and early stopping.

    progress : Progress
        Takes down what happens.

    on_epoch : callable
        Context manager around each epoch, given its number, whose value tells by its
        attribute `stop` whether training ends there.

    row_score : {"grad_norm", "loss"}
        What of a row draws go by.

    alpha : float
        Weights shrink by this times the learning rate in each step, after each set of draws.
        The rate is 0 where the network's own rule sets it, and takes the penalty as well.

    loss_unit : float
        What losses are multiplied by where they are told.
    """
    inputs = Rows(data.X, network.n_threads)
    n, weight = len(data.weight), data.weight.sum(dtype=np.float64)
    stop = False
    for epoch, begin, end in plan.part.epochs(plan.n_epochs):
        with on_epoch(epoch) as task:
            loss = 0.0
            order = plan.part.generator(progress.random_generator, epoch).permutation(n)
            for drawn in draws.epoch(order, begin, end):
                first, last = drawn.span
                losses, norms, rates = np.empty((3, len(drawn.rows)))
                batches = list(gen_batches(len(drawn.rows), plan.batch_size))
                for i, batch in enumerate(inputs.batches(drawn.rows, plan.batch_size)):
                    rows = batches[i]
                    done = (epoch + first + i / len(batches) * (last - first)) / plan.n_epochs
                    rates[rows] = plan.learning_rate * plan.schedule(done, progress.n_steps + 1)
                    losses[rows], norms[rows] = network.train_step(
                        batch, data.targets[drawn.rows[rows]],
                        drawn.weight[rows] / np.float32(batch.shape[0]), rates[rows][0],
                    )  # fmt: skip
                    progress.n_steps += 1
                loss += (last - first) * np.mean(drawn.unbiased * losses)
                if not math.isfinite(loss):
                    raise diverged(f"the loss is {loss}", plan)
                network.shrink(math.exp(-alpha * rates.sum() / plan.batch_size))
                scores = norms if row_score == "grad_norm" else losses
                draws.note(drawn, Observed(scores, losses))
            share = float(end - begin)
            progress.note_epoch(loss_unit * loss * n, share * weight, share * n)
            if plan.early_stopping:
                value, stop = plan.early_stopping.note_epoch(network)
                progress.validation_scores.append(value)
        if stop or task.stop:
            break
    if not network.is_finite:  # by the last step, whose loss nothing shows
        raise diverged("weights are infinite", plan)
    if plan.early_stopping:
        network.restore(plan.early_stopping.best_network)
        progress.best_validation_score = plan.early_stopping.best_score


def diverged(what, plan):
    """The error that says so."""
    rate = plan.learning_rate
    advice = f"Lower learning_rate_init={rate}, or scale" if rate else "Scale"
    return ValueError(
        f"Training diverged: {what}. {advice} the features, the targets or the weights of rows."
    )
