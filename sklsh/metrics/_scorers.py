"""Scorers of ranked label predictions."""

import sys

from sklearn.pipeline import Pipeline

from sklsh._sklearn import check_k
from sklsh.metrics._ranking import precision_at_k


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
