"""Multi-label files of the svmlight format, by scikit-learn's reader."""

import gzip
import os
import zlib
from itertools import chain

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_svmlight_file

from sklsh.datasets._lines import check_count, file_name, path_error
from sklsh.datasets._xmc_reader import MOST_COLUMNS


def load_svmlight_multilabel(path, *, n_features=None, n_classes=None, zero_based="auto"):
    r"""Load a multi-label file of the svmlight format with a sparse indicator of its labels.

    The rows look as in :func:`load_xmc_file`, without a header line.
    :func:`sklearn.datasets.load_svmlight_file` reads the file; here its lists of labels become
    a sparse matrix, no dense one between.

    Parameters
    ----------
    path : str, path-like, file object or int
        As for :func:`sklearn.datasets.load_svmlight_file`: plain, .gz or .bz2, which the
        name tells. A file object gives plain text, in bytes; `gzip.open` and `bz2.open`
        make one of a compressed file.

    n_features : int, default=None
        Columns of X; by default as many as the largest feature asks for. Given, it makes
        files for training and for testing agree.

    n_classes : int, default=None
        Columns of Y; by default one more than the largest label.

    zero_based : bool or "auto", default="auto"
        Whether features count from 0; "auto": from 1 if no feature 0 occurs, or from 0 if
        `n_features` is given. Labels count from 0.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), float32
        Features.

    Y : csr_array of shape (n_samples, n_classes), uint8
        Indicator of the labels.

    Raises
    ------
    ValueError
        If the file is malformed, with its name; if a value is not finite in float32, or a
        label is no integer from 0 to below `n_classes`, with the row, too.

    TypeError
        If `path` is no path and gives no bytes.

    Examples
    --------
    >>> from io import BytesIO
    >>> from sklsh.datasets import load_svmlight_multilabel
    >>> X, Y = load_svmlight_multilabel(BytesIO(b"0,2 1:0.5 4:1.25\n1 2:1\n"), zero_based=True)
    >>> X.shape
    (2, 5)
    >>> Y.toarray()
    array([[1, 0, 1],
           [0, 1, 0]], dtype=uint8)
    """
    for parameter, value in {"n_features": n_features, "n_classes": n_classes}.items():
        if value is not None:
            check_count(parameter, value, most=MOST_COLUMNS)
    if not isinstance(zero_based, (bool, np.bool_)) and not (
        isinstance(zero_based, str) and zero_based == "auto"
    ):
        raise ValueError(f'zero_based must be "auto", True or False; got {zero_based!r}.')
    if zero_based == "auto" and n_features is not None:
        zero_based = True
    name = file_name(path)
    X, rows = _read(path, name, n_features, zero_based)
    return X, _indicator(rows, name, n_classes)


def _read(path, name, n_features, zero_based):
    """X, and a tuple of the labels of each row as they are written."""
    if not hasattr(path, "read"):
        path = path if isinstance(path, int) else os.fsdecode(path)
    elif isinstance(path.read(0), str):
        raise path_error(f"{name} gives str")
    try:
        X, rows = load_svmlight_file(path, dtype=np.float32, multilabel=True, zero_based=zero_based)
    except (ValueError, OverflowError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{name}: expected rows such as '0,2 1:0.5 4:1.25', plain or in a file named .gz or "
            f".bz2; found otherwise: {error}"
        ) from error
    X = sp.csr_array(X)
    wrong = np.flatnonzero(~np.isfinite(X.data))
    if len(wrong):
        row = np.searchsorted(X.indptr, wrong[0], side="right") - 1
        raise ValueError(
            f"{name}: the values must be finite in float32; in row {row} (counted from 0), column "
            f"{X.indices[wrong[0]]} of X would be {X.data[wrong[0]]}."
        )
    if n_features is not None:
        if X.shape[1] > n_features:
            raise ValueError(
                f"n_features must be at least {X.shape[1]:,} for {name}; got {n_features:,}. "
                "Features that count from 1 need zero_based=False."
            )
        X.resize(X.shape[0], n_features)
    return X, rows


def _indicator(rows, name, n_classes):
    """CSR indicator of the labels."""
    counts = np.fromiter(map(len, rows), dtype=np.intp, count=len(rows))
    labels = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=counts.sum())
    limit = MOST_COLUMNS if n_classes is None else n_classes
    fits = (labels == np.floor(labels)) & (labels >= 0) & (labels < limit)
    if not fits.all():
        first = np.flatnonzero(~fits)[0]
        row = np.searchsorted(np.cumsum(counts), first, side="right")
        raise ValueError(
            f"{name}: the labels must be integers from 0 to below {limit:,} "
            f"(n_classes={n_classes}); row {row} (counted from 0) has {labels[first]:g}."
        )
    if n_classes is None:
        n_classes = int(labels.max(initial=-1)) + 1
    indptr = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(len(labels), dtype=np.uint8)
    Y = sp.csr_array((ones, labels.astype(np.int32), indptr), shape=(len(rows), n_classes))
    Y.sum_duplicates()
    Y.data[:] = 1
    return Y
