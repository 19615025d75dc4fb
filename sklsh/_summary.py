"""What a fit has to know of all its rows before the first step, where they lie in many places."""

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklsh._targets import LabelCounts, TargetFormat


class Summary(NamedTuple):
    """Training data in brief.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the data.

    n_values : int
        Values that are stored, of sparse rows those that are not zero.

    sparse : bool
        Whether rows come as sparse matrices.

    feature_names : ndarray of shape (n_features,) or None
        Names of the columns.

    target_format : TargetFormat or None
        How labels look; None of numbers.

    counts : LabelCounts or None
        How often each class occurs.

    moments : Moments or None
        Of targets that are numbers.

    n_places : float
        In how many places of equal numbers of rows they would be as much apart.

    sample : tuple (X, y, sample_weight) or None
        A few rows of some weight, evenly spread, for settings that go by how features are scaled.
    """

    n_rows: int
    n_features: int
    n_values: int
    sparse: bool
    feature_names: np.ndarray | None
    target_format: TargetFormat | None = None
    counts: LabelCounts | None = None
    moments: object = None
    n_places: float = 1.0
    sample: tuple | None = None

    @classmethod
    def of(cls, X, feature_names, **about_targets):
        """Of checked rows X, and what is told about their targets."""
        sparse = sp.issparse(X)
        return cls(*X.shape, X.nnz if sparse else X.size, sparse, feature_names, **about_targets)


class Moments(NamedTuple):
    """Sum of weights, weighted mean, and weighted sum of squared distances from it."""

    weight: float
    mean: float
    squares: float

    @classmethod
    def of(cls, y, weight):
        """Of numbers."""
        weight, y = weight.astype(np.float64), y.astype(np.float64)
        mean = np.average(y, weights=weight)
        return cls(float(weight.sum()), float(mean), float(np.dot(weight, (y - mean) ** 2)))

    def __add__(self, other):
        """Of both sets of numbers."""
        weight, apart = self.weight + other.weight, other.mean - self.mean
        share = other.weight / weight
        squares = self.squares + other.squares + self.weight * share * apart**2
        return Moments(weight, self.mean + share * apart, squares)


def sample_of(X, y, weight, n):
    """Up to n rows of some weight, evenly spread: (X, y, weight)."""
    rows = np.flatnonzero(weight)
    rows = rows[:: math.ceil(len(rows) / n)]
    return X[rows], y[rows], weight[rows]


def united(summaries, names):
    """The `Summary` of all rows.

    Parameters
    ----------
    summaries : list of Summary
        Of rows in several places.

    names : list of str
        What messages call the places.

    Raises
    ------
    ValueError
        If they do not go together; says which, and in what they differ.
    """
    first = summaries[0]
    for other, name in zip(summaries[1:], names[1:], strict=True):
        _check_alike(first, other, names[0], name)
    about_targets = {"target_format": None, "counts": None, "moments": None}
    if first.target_format is not None:
        target_format = TargetFormat.united([one.target_format for one in summaries])
        classes = target_format.classes
        counts = [
            one.counts.among(np.searchsorted(classes, one.target_format.classes), len(classes))
            for one in summaries
        ]
        about_targets |= {"target_format": target_format, "counts": _sum(counts)}
    else:
        about_targets["moments"] = _sum([one.moments for one in summaries])
    sample = None
    if first.sample is not None:
        X, *others = zip(*(one.sample for one in summaries), strict=True)
        X = sp.vstack(X, format="csr") if first.sparse else np.concatenate(X)
        sample = X, *map(np.concatenate, others)
    n_rows = np.array([one.n_rows for one in summaries])
    return first._replace(
        n_rows=int(n_rows.sum()),
        n_places=float(1 / ((n_rows / n_rows.sum()) ** 2).sum()),
        n_values=sum(one.n_values for one in summaries),
        sample=sample,
        **about_targets,
    )


def _sum(parts):
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _check_alike(first, other, name, other_name):
    """Raise ValueError where two summaries are not of the same kind of data."""
    if other.n_features != first.n_features:
        raise ValueError(
            f"All partitions of X must have as many features; {name} has {first.n_features}, "
            f"{other_name} {other.n_features}."
        )
    if other.sparse != first.sparse:
        kinds = ["sparse" if one.sparse else "dense" for one in (first, other)]
        raise ValueError(
            f"All partitions of X must be sparse, or none; {name} is {kinds[0]}, {other_name} "
            f"{kinds[1]}."
        )
    if not np.array_equal(first.feature_names, other.feature_names):
        raise ValueError(
            f"All partitions of X must have the same columns in the same order; those of {name} "
            f"and {other_name} differ."
        )
    if first.target_format is None:
        return
    ours, theirs = first.target_format, other.target_format
    if ours.multilabel != theirs.multilabel:
        raise ValueError(
            "All partitions of y must be indicator matrices, or none; "
            f"{(name, other_name)[theirs.multilabel]} is one, "
            f"{(name, other_name)[ours.multilabel]} is not."
        )
    if ours.multilabel and len(ours.classes) != len(theirs.classes):
        raise ValueError(
            f"All partitions of y must have as many columns; {name} has {len(ours.classes)}, "
            f"{other_name} {len(theirs.classes)}."
        )
    if is_text(ours.classes) != is_text(theirs.classes):
        raise ValueError(
            f"All partitions of y must have labels of one type; {name} has "
            f"{ours.classes.dtype}, {other_name} {theirs.classes.dtype}."
        )


def is_text(labels):
    """Whether labels are text."""
    return labels.dtype.kind in "USO"
