"""Precision, recall, nDCG and propensity-scored precision of the first k labels."""

import numpy as np

from sklsh.metrics._checks import checked_propensities, checked_ranking


def precision_at_k(y_true, labels, *, k=1, sample_weight=None):
    """Share of the first k predicted labels that are true, averaged over rows.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the true labels: positive where a label is true.

    labels : array-like of shape (n_samples, >= k), int
        Predicted labels, columns of `y_true`, best first, as `predict_top_k` returns them.

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
        If shapes do not fit, or a label is no column of `y_true` or stands twice in a row.

    Examples
    --------
    >>> from sklsh.metrics import precision_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> precision_at_k(y_true, [[2, 0], [0, 1]], k=1)
    0.5
    >>> precision_at_k(y_true, [[2, 0], [0, 1]], k=2)
    0.75
    """
    ranking = checked_ranking(y_true, labels, k, sample_weight)
    return ranking.average(ranking.hits.mean(axis=1))


def recall_at_k(y_true, labels, *, k=1, sample_weight=None):
    """Share of a row's true labels that are among the first k, averaged over rows.

    A row without true labels counts, with recall 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the true labels: positive where a label is true.

    labels : array-like of shape (n_samples, >= k), int
        Predicted labels, columns of `y_true`, best first, as `predict_top_k` returns them.

    k : int, default=1
        How many of them count.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    recall : float
        Between 0 and 1. Out of reach of 1 where a row has more than k true labels.

    Raises
    ------
    ValueError
        As for `precision_at_k`.

    Examples
    --------
    >>> from sklsh.metrics import recall_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> recall_at_k(y_true, [[2, 0], [1, 0]], k=1)
    0.75
    """
    ranking = checked_ranking(y_true, labels, k, sample_weight)
    return ranking.average(ranking.hits.sum(axis=1) / np.maximum(ranking.n_true, 1))


def ndcg_at_k(y_true, labels, *, k=1, sample_weight=None):
    """Normalised discounted cumulative gain of the first k labels, averaged over rows.

    A true label at rank r, counted from 1, gains 1 / log2(r + 1). A row's gain is divided by
    the best it could have, that of min(k, number of its true labels) hits at the top, as in
    the Extreme Classification Repository. A row without true labels counts, with 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the true labels: positive where a label is true.

    labels : array-like of shape (n_samples, >= k), int
        Predicted labels, columns of `y_true`, best first, as `predict_top_k` returns them.

    k : int, default=1
        How many of them count.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    ndcg : float
        Between 0 and 1; 1 if every row has true labels and they come first.

    Raises
    ------
    ValueError
        As for `precision_at_k`.

    See Also
    --------
    sklearn.metrics.ndcg_score : The same on scores of all classes, and for graded relevance;
        it shares a gain among ties.

    References
    ----------
    K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
    Transactions on Information Systems 20(4), 2002. doi:10.1145/582415.582418

    Examples
    --------
    >>> from sklsh.metrics import ndcg_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> round(ndcg_at_k(y_true, [[2, 0], [0, 1]], k=2), 4)
    0.8155
    """
    ranking = checked_ranking(y_true, labels, k, sample_weight)
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate([[1], np.cumsum(discount)])  # by number of hits; 0 / 1 without labels
    return ranking.average(ranking.hits @ discount / best[np.minimum(ranking.n_true, k)])


def psp_at_k(y_true, labels, *, propensities, k=1, sample_weight=None):
    """Propensity-scored precision of the first k labels, as a share of the best attainable.

    Precision where a true label l counts 1 / p_l, p_l the probability that it is recorded
    where it is true: hits on rare labels count more, as more of those are missing from
    `y_true`. With y_il = 1 where row i has label l and s_i the row's weight,

        PSP@k = sum_i s_i sum_{l in top k of i} y_il / p_l  /  sum_i s_i best_i,

    best_i the sum of the min(k, number of labels) largest 1 / p_l among the row's true
    labels. Sums are divided, not rows, as in the Extreme Classification Repository: a row
    without true labels changes nothing. If no row has any, the result is 0. With all
    propensities 1 it is `precision_at_k` divided by the best `precision_at_k` attainable.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the true labels: positive where a label is true.

    labels : array-like of shape (n_samples, >= k), int
        Predicted labels, columns of `y_true`, best first, as `predict_top_k` returns them.

    propensities : array-like of shape (n_classes,)
        Probability p_l of each label, above 0 and at most 1; see `jain_propensities`.

    k : int, default=1
        How many labels count.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    psp : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As for `precision_at_k`, or if `propensities` are no probabilities or not one for
        each class.

    References
    ----------
    H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
    tagging, ranking & other missing label applications", KDD 2016.
    doi:10.1145/2939672.2939756

    Examples
    --------
    >>> from sklsh.metrics import psp_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> psp_at_k(y_true, [[0, 1], [1, 0]], k=1, propensities=[1, 0.5, 0.25])
    0.5
    """
    ranking = checked_ranking(y_true, labels, k, sample_weight)
    gain = 1 / checked_propensities(propensities, ranking.truth.shape[1])
    gained = (ranking.hits * gain[ranking.labels]).sum(axis=1)
    best = _best_gains(ranking, gain, k)
    attainable = ranking.weight @ best
    return float(ranking.weight @ gained / attainable) if attainable > 0 else 0.0


def _best_gains(ranking, gain, k):
    """Sum of the k largest gains among the true labels of each row."""
    starts, n_true = ranking.truth.indptr, ranking.n_true
    rows = np.repeat(np.arange(len(n_true)), n_true)
    gains = gain[ranking.truth.indices]
    gains = gains[np.lexsort((-gains, rows))]  # row by row, largest first
    first_k = np.arange(len(gains)) - starts[rows] < k
    return np.bincount(rows[first_k], gains[first_k], minlength=len(n_true))
