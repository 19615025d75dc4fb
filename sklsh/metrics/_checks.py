"""Input of the metrics: checked, and brought into the one form they compute with."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sklsh._sklearn import check_k, check_sample_weight, checked_csr


@dataclass
class Ranking:
    """The first k predicted labels of each row beside the true ones.

    Attributes
    ----------
    truth : csr_array of shape (n_samples, n_classes), bool
        True labels; sorted, nothing else stored.

    labels : ndarray of shape (n_samples, k), int
        Predicted labels, best first, distinct in each row.

    hits : ndarray of shape (n_samples, k), bool
        Which of them are true.

    weight : ndarray of shape (n_samples,)
        Of the rows.
    """

    truth: sp.csr_array
    labels: np.ndarray
    hits: np.ndarray
    weight: np.ndarray

    @property
    def n_true(self):
        """True labels of each row."""
        return np.diff(self.truth.indptr)

    def average(self, scores):
        """Weighted mean over rows."""
        return float(np.average(scores, weights=self.weight))


def checked_ranking(y_true, labels, k, sample_weight):
    """Return the Ranking, or raise an error that names the argument at fault."""
    truth = checked_indicator(y_true, "y_true")
    n, n_classes = truth.shape
    labels = _checked_labels(labels, n, n_classes, k)
    weight = check_sample_weight(sample_weight, truth)
    # on sorted rows this is one binary search for each label
    hits = truth[np.repeat(np.arange(n), k), labels.ravel()].reshape(n, k)
    return Ranking(truth, labels, hits, weight)


def checked_indicator(y, name):
    """CSR matrix of bool: where the indicator `y` is positive, and nothing else stored."""
    y = y if sp.issparse(y) else np.asarray(y)
    if y.ndim != 2:
        raise ValueError(
            f"{name} must be an indicator matrix; got shape {y.shape}. "
            "sklearn.preprocessing.label_binarize makes one of labels."
        )
    if y.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an indicator matrix of numbers; got dtype {y.dtype}.")
    if 0 in y.shape:
        raise ValueError(f"{name} must have at least one row and one column; got {y.shape}.")
    if np.isnan(y.data if sp.issparse(y) else y).any():
        raise ValueError(f"{name} must be an indicator matrix; it contains NaN.")
    if not sp.issparse(y):
        return sp.csr_array(y > 0)
    y = checked_csr(y, name)
    if not y.has_canonical_format:
        y = y.copy()  # the caller's arrays are not ours to sort
    return y > 0


def _checked_labels(labels, n, n_classes, k):
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(
            "labels must be a two-dimensional array of integers; got shape "
            f"{labels.shape} and dtype {labels.dtype}."
        )
    if len(labels) != n:
        raise ValueError(f"labels must have {n} rows, as y_true; got {len(labels)}.")
    check_k(k, labels.shape[1], "columns of labels")
    labels = labels[:, :k]
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must lie in [0, {n_classes}), the columns of y_true.")
    if k > 1 and (np.diff(np.sort(labels, axis=1), axis=1) == 0).any():
        raise ValueError("labels must not name a label twice in a row.")
    return labels


def checked_propensities(propensities, n_classes=None):
    """Propensities as float64, one for each of `n_classes`, if that is known."""
    propensities = np.asarray(propensities)
    if propensities.ndim != 1 or propensities.dtype.kind not in "iuf":
        raise ValueError(
            "propensities must be a one-dimensional array of numbers; got shape "
            f"{propensities.shape} and dtype {propensities.dtype}."
        )
    if n_classes is not None and len(propensities) != n_classes:
        raise ValueError(
            f"propensities must be {n_classes} numbers, one for each class; "
            f"got {len(propensities)}."
        )
    if not ((propensities > 0) & (propensities <= 1)).all():  # NaN is neither
        raise ValueError("propensities must be probabilities, above 0 and at most 1.")
    return propensities.astype(np.float64)
