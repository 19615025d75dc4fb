"""Metrics of ranked label predictions."""

import sys

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline

from sklsh._sklearn import check_k, check_sample_weight

__all__ = ["precision_at_k", "precision_at_k_scorer"]


def precision_at_k(y_true, labels, *, k=1, sample_weight=None):
    """Share of the first k predicted labels that are true, averaged over rows.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the true labels: positive where a label is true.

    labels : array-like of shape (n_samples, >= k), int
        Predicted labels, best first, as `predict_top_k` returns them.

    k : int, default=1
        How many of them count. It divides also where a row has fewer true labels.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    precision : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is no column of `y_true`.

    Examples
    --------
    >>> from sklsh.metrics import precision_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> precision_at_k(y_true, [[2, 0], [0, 1]], k=1)
    0.5
    >>> precision_at_k(y_true, [[2, 0], [0, 1]], k=2)
    0.75
    """
    y_true = sp.csr_array(y_true) if sp.issparse(y_true) else np.asarray(y_true)
    labels = np.asarray(labels)
    if y_true.ndim != 2:
        raise ValueError(f"y_true must be an indicator matrix; got shape {y_true.shape}.")
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(
            "labels must be a two-dimensional array of integers; got shape "
            f"{labels.shape} and dtype {labels.dtype}."
        )
    n, n_classes = y_true.shape
    if len(labels) != n:
        raise ValueError(f"labels must have {n} rows, as y_true; got {len(labels)}.")
    if n == 0:
        raise ValueError("y_true must have at least one row.")
    check_k(k, labels.shape[1], "columns of labels")
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, y_true)
    labels = labels[:, :k]
    if k > 1 and (np.diff(np.sort(labels, axis=1), axis=1) == 0).any():
        raise ValueError("labels must not name a label twice in a row.")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must lie in [0, {n_classes}), the columns of y_true.")
    rows = np.repeat(np.arange(n), k)
    hits = np.asarray(y_true[rows, labels.ravel()] > 0).reshape(n, k)
    return float(np.average(hits.mean(axis=1), weights=sample_weight))


class _PrecisionAtK:
    """Scorer that asks the estimator for its top k and measures their precision."""

    def __init__(self, k):
        self.k = k

    def __call__(self, estimator, X, y, sample_weight=None):
        labels, _ = _predict_top_k(estimator, X, self.k)
        return precision_at_k(y, labels, k=self.k, sample_weight=sample_weight)

    def _accept_sample_weight(self):  # asked by scikit-learn where scorers come in a dict
        return True

    def __repr__(self):
        return f"precision_at_k_scorer(k={self.k})"


def precision_at_k_scorer(k=1):
    """Scorer for `GridSearchCV` and the like.

    Parameters
    ----------
    k : int, default=1
        How many predicted labels count.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y)``, y an indicator matrix. The estimator has
        `predict_top_k`, or is a pipeline or a search whose last part has it.
        `sklearn.callback.ScoringMonitor` takes it in a dict: ``{"P@1": scorer}``.

    Examples
    --------
    >>> from sklsh.metrics import precision_at_k_scorer
    >>> precision_at_k_scorer(k=5)
    precision_at_k_scorer(k=5)
    """
    check_k(k, sys.maxsize, "labels ranked")
    return _PrecisionAtK(k)


def _predict_top_k(estimator, X, k):
    if hasattr(estimator, "predict_top_k"):
        return estimator.predict_top_k(X, k)
    if isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return _predict_top_k(estimator[-1], X, k)
    if hasattr(estimator, "best_estimator_"):
        return _predict_top_k(estimator.best_estimator_, X, k)
    raise TypeError(f"{type(estimator).__name__} has no method predict_top_k.")
