"""Scorers for model selection: they ask the estimator for its top k and measure it."""

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline

from sklsh._sklearn import BaseScorer, check_k
from sklsh.metrics._checks import checked_propensities
from sklsh.metrics._ranking import ndcg_at_k, precision_at_k, psp_at_k, recall_at_k


class TopKScorer(BaseScorer):
    """Scorer that measures ``predict_top_k(X, k)`` with one of the metrics.

    Of its base it has what scikit-learn's own scorers have: sample weights, metadata
    routing, a place in ScoringMonitor.
    """

    def __init__(self, metric, k, **settings):
        check_k(k)
        # where scorers come in a dict, scikit-learn asks whether the estimator, pipelines
        # among them, has the method named here; predict_top_k itself is looked for below
        super().__init__(metric, 1, {"k": k} | settings, response_method="predict")

    def _score(self, method_caller, estimator, X, y_true, **metadata):
        model, X = _innermost(estimator, X)
        labels, _ = model.predict_top_k(X, self._kwargs["k"])
        if not sp.issparse(y_true):
            y_true = np.asarray(y_true)
            if y_true.ndim == 1 or y_true.shape[1:] == (1,):
                y_true, labels = _encode(y_true.ravel(), labels, model.classes_)
        return self._score_func(y_true, labels, **self._kwargs, **metadata)

    def __repr__(self):
        settings = [
            f"{name}=<array of shape {value.shape}>" if np.ndim(value) else f"{name}={value!r}"
            for name, value in self._kwargs.items()
        ]
        return f"{self._score_func.__name__}_scorer({', '.join(settings)})"


def precision_at_k_scorer(k=1):
    """Scorer of `precision_at_k`, for `GridSearchCV`, `cross_validate` and the like.

    Parameters
    ----------
    k : int, default=1
        How many predicted labels count.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y, sample_weight=None)``. The estimator has
        `predict_top_k`, or is a pipeline or a search whose last part has it. y is an
        indicator matrix, or one label a row: a label the estimator has not seen in `fit`
        is then a miss. `GridSearchCV` takes a sparse indicator; `cross_validate` and
        `cross_val_score` refuse one and need ``Y.toarray()``. Sample weights are routed as
        to scikit-learn's own scorers, by `set_score_request` where metadata routing is
        enabled.
        `sklearn.callback.ScoringMonitor` takes it alone or in a dict, ``{"P@1": scorer}``.

    Raises
    ------
    ValueError
        If k is no positive integer.

    Examples
    --------
    >>> from sklsh.metrics import precision_at_k_scorer
    >>> precision_at_k_scorer(k=5)
    precision_at_k_scorer(k=5)
    """
    return TopKScorer(precision_at_k, k)


def recall_at_k_scorer(k=1):
    """Scorer of `recall_at_k`, for `GridSearchCV`, `cross_validate` and the like.

    Parameters
    ----------
    k : int, default=1
        How many predicted labels count.

    Returns
    -------
    scorer : callable
        As of `precision_at_k_scorer`. With one label a row, recall is the share of rows
        whose label is among the first k.

    Raises
    ------
    ValueError
        If k is no positive integer.

    Examples
    --------
    >>> from sklsh.metrics import recall_at_k_scorer
    >>> recall_at_k_scorer(k=5)
    recall_at_k_scorer(k=5)
    """
    return TopKScorer(recall_at_k, k)


def ndcg_at_k_scorer(k=1):
    """Scorer of `ndcg_at_k`, for `GridSearchCV`, `cross_validate` and the like.

    Parameters
    ----------
    k : int, default=1
        How many predicted labels count.

    Returns
    -------
    scorer : callable
        As of `precision_at_k_scorer`.

    Raises
    ------
    ValueError
        If k is no positive integer.

    Examples
    --------
    >>> from sklsh.metrics import ndcg_at_k_scorer
    >>> ndcg_at_k_scorer(k=5)
    ndcg_at_k_scorer(k=5)
    """
    return TopKScorer(ndcg_at_k, k)


def psp_at_k_scorer(k=1, *, propensities):
    """Scorer of `psp_at_k`, for `GridSearchCV`, `cross_validate` and the like.

    Parameters
    ----------
    k : int, default=1
        How many predicted labels count.

    propensities : array-like of shape (n_classes,)
        Probability that a label is recorded where it is true; see `jain_propensities`. With
        one label a row, one for each label of the estimator's `classes_` and of y, sorted.

    Returns
    -------
    scorer : callable
        As of `precision_at_k_scorer`.

    Raises
    ------
    ValueError
        If k is no positive integer or `propensities` are no probabilities.

    Examples
    --------
    >>> from sklsh.metrics import jain_propensities, psp_at_k_scorer
    >>> y_train = [[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]]
    >>> psp_at_k_scorer(k=2, propensities=jain_propensities(y_train))
    psp_at_k_scorer(k=2, propensities=<array of shape (3,)>)
    """
    return TopKScorer(psp_at_k, k, propensities=checked_propensities(propensities))


def _innermost(estimator, X):
    """The estimator with predict_top_k inside pipelines and searches, and its input."""
    if hasattr(estimator, "predict_top_k"):
        return estimator, X
    if isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return _innermost(estimator[-1], X)
    if hasattr(estimator, "best_estimator_"):
        return _innermost(estimator.best_estimator_, X)
    raise TypeError(f"{type(estimator).__name__} has no method predict_top_k.")


def _encode(y, labels, classes):
    """Indicator of one label a row, and the labels as its columns.

    Labels of y outside `classes` get columns of their own, which no prediction names.
    """
    columns = _all_labels(classes, y)
    truth = np.searchsorted(columns, y)
    ones = np.ones(len(y), dtype=bool)
    y_true = sp.csr_array((ones, truth, np.arange(len(y) + 1)), shape=(len(y), len(columns)))
    return y_true, np.searchsorted(columns, labels)


def _all_labels(classes, y):
    """Sorted labels of both; ValueError where one holds text and the other numbers."""
    try:
        labels = np.union1d(classes, y)
        if labels.dtype.kind == "U" and {classes.dtype.kind, y.dtype.kind} != {"U"}:
            raise TypeError  # NumPy has read numbers as text
    except TypeError:
        raise ValueError(
            f"y must hold labels like those seen in fit, of dtype {classes.dtype}; got {y[:3]!r}."
        ) from None
    return labels
