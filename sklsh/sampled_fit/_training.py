"""The loop that trains any estimator on rows that are drawn for it."""

import numpy as np
from sklearn.utils import gen_batches

from sklsh.row_sampling import Observed


class Trainee:
    """An estimator in training, and its opinion of rows.

    Parameters
    ----------
    estimator : estimator object
        What is trained, by `partial_fit`.

    row_score : RowScore
        Says how much rows still teach it.

    first_arguments : dict or None
        What `partial_fit` is given with the first rows; None if it has had them.
    """

    def __init__(self, estimator, row_score, first_arguments):
        self.estimator, self.row_score = estimator, row_score
        self.first_arguments = first_arguments

    def step(self, X, y, weight):
        """Train on the rows of a batch, of these weights."""
        self.estimator.partial_fit(X, y, sample_weight=weight, **(self.first_arguments or {}))
        self.first_arguments = None

    def scores(self, X, y):
        """How much rows teach the estimator as it is; None before its first step."""
        if self.first_arguments is not None:
            return None
        return self.row_score(self.estimator, X, y)


def train_epoch(trainee, draws, X, y, *, observe_every):
    """Take as many rows as there are, as they are drawn, and learn from what they teach.

    Parameters
    ----------
    trainee : Trainee
        What is trained.

    draws : RowDraws
        Which rows the steps take, turned to those of X.

    X : {ndarray, csr_array} of shape (n, n_features)
        Rows.

    y : {ndarray, csr_array} of shape (n,) or (n, n_classes)
        Targets.

    observe_every : int or None
        Of so many batches one is scored, right before its step; None: no batch is.
    """
    for drawn in draws.epoch():
        seen, scores = np.zeros(len(drawn.rows), dtype=bool), []
        asks = observe_every is not None and draws.asks(drawn)
        for number, batch in enumerate(gen_batches(len(drawn.rows), draws.batch_size)):
            rows = drawn.rows[batch]
            X_batch, y_batch = X[rows], y[rows]
            if asks and number % observe_every == 0:
                found = trainee.scores(X_batch, y_batch)
                if found is not None:
                    seen[batch] = True
                    scores.append(found)
            trainee.step(X_batch, y_batch, drawn.weight[batch])
        observed = None
        if scores:
            scores = np.concatenate(scores)
            observed = Observed(scores, scores)  # an estimator tells no losses
        draws.note(drawn, observed, seen)
