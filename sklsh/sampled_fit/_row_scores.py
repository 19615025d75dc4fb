"""How much rows still teach an estimator, as far as it tells."""

import numpy as np
from sklearn.utils import gen_batches

MANY_CLASSES = 2048  # above, probabilities of all would cost more than a step
ROWS_AT_ONCE = 2048


class RowScore:
    """Scores of rows by an estimator as it is.

    Parameters
    ----------
    score : "auto" or callable
        What is asked of the estimator; see :func:`gradient_sizes` and :func:`errors`.

    target_format : TargetFormat or None
        How labels look; None for a regressor.
    """

    def __init__(self, score, target_format):
        self.score, self.target_format = score, target_format

    def __call__(self, estimator, X, y):
        """Finite non-negative scores, (n,) float64."""
        scores = np.empty(X.shape[0])
        for block in gen_batches(X.shape[0], ROWS_AT_ONCE):
            scores[block] = self._checked(self._of(estimator, X[block], y[block]), X[block])
        return scores

    def _of(self, estimator, X, y):
        if callable(self.score):
            return self.score(estimator, X, y)
        if self.target_format is None:
            return errors(estimator, X, y)
        return gradient_sizes(estimator, X, self.target_format.encode(y))

    def _checked(self, scores, X):
        scores = np.asarray(scores)
        if scores.shape != (X.shape[0],) or scores.dtype.kind not in "biuf":
            raise ValueError(
                f"row_score must return one number for each of {X.shape[0]} rows; got shape "
                f"{scores.shape} and dtype {scores.dtype}."
            )
        if not (np.isfinite(scores).all() and (scores >= 0).all()):
            what = "must return" if callable(self.score) else "must find"
            raise ValueError(
                f"row_score {what} finite non-negative numbers; got others. Training may have "
                "diverged: lower the learning rate of the estimator, or scale the data."
            )
        return scores


def errors(estimator, X, y):
    """By how much predictions are off: the size of a squared error's gradient, halved."""
    return np.abs(estimator.predict(X) - y)


def gradient_sizes(estimator, X, Y):
    """Sizes of the gradients of losses by a classifier's scores.

    With probabilities the norm of their difference from the labels, as under the log loss; with
    scores alone the root of how many are within a margin of 1, as under the hinge loss. Where
    all these numbers are too many, or there are none, whether the best class is wrong.

    Parameters
    ----------
    estimator : estimator object
        Fitted classifier.

    X : {ndarray, csr_array} of shape (n, n_features)
        Rows.

    Y : csr_array of shape (n, n_classes)
        Their labels, as ones.
    """
    if Y.shape[1] <= MANY_CLASSES:
        if hasattr(estimator, "predict_proba"):
            return np.linalg.norm(estimator.predict_proba(X) - Y.toarray(), axis=1)
        if hasattr(estimator, "decision_function"):
            scores = estimator.decision_function(X)
            signs = 2 * Y.toarray().astype(np.int8) - 1
            if scores.ndim == 1:
                scores, signs = scores[:, None], signs[:, 1:]
            return np.sqrt(np.count_nonzero(signs * scores < 1, axis=1))
    return best_is_wrong(estimator, X, Y)


def best_is_wrong(estimator, X, Y):
    """Whether the best class is none of the labels, (n,) bool."""
    if hasattr(estimator, "predict_top_k"):
        best = estimator.predict_top_k(X, 1)[0][:, 0]
    else:
        best = estimator.predict(X)
    column = np.searchsorted(estimator.classes_, best)
    return Y[np.arange(X.shape[0]), column] == 0
