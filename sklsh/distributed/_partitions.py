"""Dask collections of rows as partitions: delayed (X, y, sample_weight)."""

from sklsh._collections import is_collection
from sklsh.distributed._dask import dask

WHAT = "a dask array, dataframe or bag, or a list of delayed (X, y)"


def partitions_of(X, y=None, sample_weight=None):
    """Partitions of a collection of rows.

    Parameters
    ----------
    X : dask array, dataframe or bag, or list of delayed
        Rows; without y a list of delayed pairs (X, y), or (X, y, sample_weight).

    y, sample_weight : dask array, dataframe, series or bag, list of delayed, or None
        Targets and weights, in as many partitions of the same rows.

    Returns
    -------
    partitions : list of delayed
        Each of a tuple (X, y, sample_weight), the last of which may be missing.

    Raises
    ------
    TypeError, ValueError
        If there are none, or they do not go together.
    """
    if y is None:
        if sample_weight is not None or not isinstance(X, (list, tuple)):
            raise TypeError(
                "y is missing: X must then be a list of delayed pairs (X, y), or triples with "
                f"weights of rows; got {type(X).__name__}."
            )
        return delayed_list(X, "X")
    X = joined_columns(X)
    parts = [_parts(X, "X"), _parts(_aligned(y, X), "y")]
    if sample_weight is not None:
        parts.append(_parts(_aligned(sample_weight, X), "sample_weight"))
    for others, name in zip(parts[1:], ("y", "sample_weight"), strict=False):
        if len(others) != len(parts[0]):
            raise ValueError(
                f"{name} must have as many partitions as X, {len(parts[0])}; got {len(others)}."
            )
    tuple_of = dask().delayed(_tuple, pure=True)
    return [tuple_of(*part) for part in zip(*parts, strict=True)]


def _tuple(*parts):
    return parts


def _parts(collection, name):
    """Delayed partitions of a collection, or of a list that holds them."""
    if isinstance(collection, (list, tuple)):
        return delayed_list(collection, name)
    if not is_collection(collection):
        raise TypeError(f"{name} must be {WHAT}; got {type(collection).__name__}.")
    delayed = collection.to_delayed()
    return list(getattr(delayed, "flat", delayed))


def delayed_list(parts, name, what=WHAT):
    """Parts of a list that holds delayed ones, and at least one."""
    for part in parts:
        if not is_collection(part):
            raise TypeError(f"{name} must be {what}; its list holds a {type(part).__name__}.")
    if len(parts) == 0:
        raise ValueError(f"{name} must have at least one partition; got an empty list.")
    return list(parts)


def joined_columns(X):
    """Array with all columns of a row in one block."""
    if getattr(X, "ndim", 0) == 2 and hasattr(X, "rechunk") and X.numblocks[1] > 1:
        return X.rechunk({1: -1})
    return X


def _aligned(y, X):
    """Array in blocks of as many rows as those of X, where these are known."""
    if not (hasattr(y, "rechunk") and hasattr(X, "chunks")):
        return y
    known = all(n == n for n in (*y.chunks[0], *X.chunks[0]))  # else they are nan
    if known and sum(y.chunks[0]) != sum(X.chunks[0]):
        raise ValueError(
            f"y and sample_weight must have as many rows as X, {sum(X.chunks[0])}; got "
            f"{sum(y.chunks[0])}."
        )
    joined = y.rechunk({1: -1}) if y.ndim == 2 and y.numblocks[1] > 1 else y
    return joined.rechunk({0: X.chunks[0]}) if known and y.chunks[0] != X.chunks[0] else joined
