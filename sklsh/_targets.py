"""Targets in, a CSR matrix of class ids out; and predictions back in the form they came."""

import warnings
from dataclasses import dataclass
from numbers import Real

import numpy as np
import scipy.sparse as sp
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sklsh._sklearn import checked_csr


@dataclass
class TargetFormat:
    """How the targets of `fit` looked, so that predictions can look the same.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels; column numbers if multilabel.

    multilabel : bool
        Whether targets are indicator matrices.

    container : type or None
        csr_array or csr_matrix where those were sparse.

    dtype : numpy.dtype
        Of the indicator matrix.
    """

    classes: np.ndarray
    multilabel: bool
    container: type | None
    dtype: np.dtype

    @classmethod
    def of(cls, y, classes=None):
        """Format of the targets `y`, all labels of which are in `classes` if given."""
        if is_indicator(y):
            n_columns = y.shape[1]
            if classes is not None and not np.array_equal(classes, np.arange(n_columns)):
                raise ValueError(
                    f"classes must be None or arange({n_columns}) for an indicator matrix y "
                    f"with {n_columns} columns; got {np.asarray(classes)!r}."
                )
            container = None
            if sp.issparse(y):
                container = sp.csr_array if isinstance(y, sp.sparray) else sp.csr_matrix
            return cls(np.arange(n_columns), True, container, y.dtype)
        labels = as_labels(y)
        if classes is None:
            classes = labels
        elif np.ndim(classes) != 1 or len(classes) == 0:
            raise ValueError(f"classes must be one-dimensional and not empty; got {classes!r}.")
        try:
            classes = np.unique(classes)
        except TypeError:  # None, or text among numbers
            classes = np.array([np.nan])
        if classes.dtype.kind == "f" and np.isnan(classes).any():
            raise ValueError("classes must be labels of one type, none of them missing.")
        return cls(classes, False, None, labels.dtype)

    @classmethod
    def united(cls, formats):
        """Format of targets that lie in several places, of these formats."""
        first = formats[0]
        if first.multilabel:
            return first
        classes = np.unique(np.concatenate([one.classes for one in formats]))
        return cls(classes, False, None, first.dtype)

    def encode(self, y):
        """Class ids of each row as a CSR matrix of ones, (n_rows, n_classes) uint8."""
        if is_indicator(y) != self.multilabel:
            expected = "an indicator matrix" if self.multilabel else "one label a row"
            raise ValueError(f"y must be {expected}, as in the first call to fit or partial_fit.")
        n_classes = len(self.classes)
        if self.multilabel:
            if y.shape[1] != n_classes:
                raise ValueError(f"y must have {n_classes} columns; got {y.shape[1]}.")
            return indicator_rows(y)
        labels = as_labels(y)
        try:
            ids = np.clip(np.searchsorted(self.classes, labels), 0, n_classes - 1)
        except TypeError:  # strings among numbers or the other way round: all are unknown
            ids = np.zeros(len(labels), dtype=np.intp)
        unknown = self.classes[ids] != labels
        if unknown.any():
            raise ValueError(
                f"y holds labels that are not in classes: {np.unique(labels[unknown])[:5]!r}."
            )
        n = len(labels)
        ones = np.ones(n, dtype=np.uint8)
        return sp.csr_array((ones, ids.astype(np.int32), np.arange(n + 1)), shape=(n, n_classes))

    def decode_indicator(self, rows):
        """Indicator in the form of the fitted y, from a boolean CSR matrix."""
        if self.container is not None:
            return self.container(rows.astype(self.dtype))
        return rows.toarray().astype(self.dtype)


def is_indicator(y):
    """Whether y is a multilabel indicator; raises if it is no classification target."""
    if sp.issparse(y):
        return True
    if y.ndim == 2 and y.shape[1] > 1:
        if y.dtype.kind not in "biuf" or not ((y == 0) | (y == 1)).all():
            raise ValueError(
                "y with several columns must be an indicator matrix of 0 and 1; it holds "
                f"other values, of dtype {y.dtype} (multioutput targets are not supported)."
            )
        return True
    return False


def as_labels(y):
    """One label a row, as a one-dimensional array."""
    labels = column_or_1d(y, warn=True)
    with warnings.catch_warnings():  # very many classes are what we are for
        warnings.filterwarnings("ignore", "The number of unique classes")
        check_classification_targets(labels)
    return labels


@dataclass
class LabelCounts:
    """How often each class is a label in rows, which may lie on several machines.

    Attributes
    ----------
    n_rows : int
        Rows.

    weight : float
        Sum of their weights.

    plain : ndarray of shape (n_classes,), int64
        Rows that have each class.

    weighted : ndarray of shape (n_classes,), float64
        Sums of their weights.
    """

    n_rows: int
    weight: float
    plain: np.ndarray
    weighted: np.ndarray

    @classmethod
    def of(cls, Y, weight):
        """Counts of the labels in `Y`, a csr_array of shape (n_rows, n_classes)."""
        n_rows, n_classes = Y.shape
        weights = np.repeat(weight, np.diff(Y.indptr))
        return cls(
            n_rows,
            weight.sum(dtype=np.float64),
            np.bincount(Y.indices, minlength=n_classes),
            np.bincount(Y.indices, weights, minlength=n_classes),
        )

    @property
    def labels_per_row(self):
        """Weighted mean number of labels of a row."""
        return self.weighted.sum() / self.weight

    def times(self, of_classes):
        """Counts where rows, of one label each, count times the weight of their class."""
        weighted = self.weighted * of_classes
        return LabelCounts(self.n_rows, weighted.sum(), self.plain, weighted)

    def among(self, places, n_classes):
        """The same counts where class i is class places[i] of `n_classes`."""
        plain, weighted = np.zeros(n_classes, dtype=self.plain.dtype), np.zeros(n_classes)
        plain[places], weighted[places] = self.plain, self.weighted
        return LabelCounts(self.n_rows, self.weight, plain, weighted)

    def __add__(self, other):
        """Counts of both sets of rows, of the same classes."""
        return LabelCounts(
            self.n_rows + other.n_rows,
            self.weight + other.weight,
            self.plain + other.plain,
            self.weighted + other.weighted,
        )


def class_weights(class_weight, classes, counts):
    """Weight of each class, (n_classes,) float32.

    Parameters
    ----------
    class_weight : dict or "balanced"
        Weights of classes, 1 where a class is not named (which, as in scikit-learn, may
        name others only if it names all); or inversely proportional to how often a class
        occurs, 1 on average over all labels.

    classes : ndarray of shape (n_classes,)
        Labels.

    counts : LabelCounts
        How often they occur, by the weights of the rows.
    """
    if isinstance(class_weight, str):
        weighted = counts.weighted
        seen = weighted > 0
        balanced = np.ones(len(classes), dtype=np.float32)
        balanced[seen] = weighted.sum() / (np.count_nonzero(seen) * weighted[seen])
        return balanced
    labels = classes.tolist()
    unknown = [label for label in class_weight if label not in set(labels)]
    if unknown and not class_weight.keys() >= set(labels):  # a fold may lack a rare class
        raise ValueError(f"class_weight names {unknown[0]!r}, which is not in classes.")
    for label, value in class_weight.items():
        if not (isinstance(value, Real) and 0 <= value <= float(np.finfo(np.float32).max)):
            raise ValueError(
                f"class_weight[{label!r}] must be a non-negative number; got {value!r}."
            )
    return np.array([class_weight.get(label, 1) for label in labels], dtype=np.float32)


def label_share(counts):
    """Weighted share of the rows that have each label.

    One imagined row shares its labels among all classes, so that no share is zero.
    """
    n = counts.n_rows
    in_rows = counts.weighted * (n / counts.weight)
    return (in_rows + counts.plain.sum() / n / len(in_rows)) / (n + 1)


def indicator_rows(y):
    """CSR matrix of the ones of an indicator matrix, sorted, without explicit zeros."""
    rows = checked_csr(y, "y")
    if not rows.has_canonical_format:
        rows = rows.copy()  # y itself is not ours to sort
        rows.sum_duplicates()
    if not ((rows.data == 0) | (rows.data == 1)).all():
        raise ValueError("y must be an indicator matrix of 0 and 1; it holds other values.")
    keep = rows.data != 0
    kept = np.concatenate([[0], np.cumsum(keep)])
    index_type = np.int32 if kept[-1] <= np.iinfo(np.int32).max else np.int64
    indices = rows.indices[keep].astype(index_type)
    ones = np.ones(len(indices), dtype=np.uint8)
    return sp.csr_array((ones, indices, kept[rows.indptr].astype(index_type)), shape=rows.shape)
