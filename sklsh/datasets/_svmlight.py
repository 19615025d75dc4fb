"""Multi-label files of the svmlight format, by scikit-learn's reader."""

from itertools import chain

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_svmlight_file

from sklsh.datasets._xmc_reader import MOST_COLUMNS, check_count


def load_svmlight_multilabel(path, *, n_features=None, n_classes=None, zero_based="auto"):
    r"""Load a multi-label file of the svmlight format with a sparse indicator of its labels.

    The rows look as in :func:`load_xmc_file`, without a header line.
    :func:`sklearn.datasets.load_svmlight_file` reads the file; here its lists of labels become
    a sparse matrix, no dense one between.

    Parameters
    ----------
    path : str, path-like, file object or int
        As for :func:`sklearn.datasets.load_svmlight_file`: plain, .gz or .bz2.

    n_features : int, default=None
        Columns of X; by default as many as the largest feature asks for.

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
        If the file is malformed, or a label is no integer from 0 to below `n_classes`.

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
    if n_classes is not None:
        check_count("n_classes", n_classes, most=MOST_COLUMNS)
    X, rows = load_svmlight_file(
        path, n_features=n_features, dtype=np.float32, multilabel=True, zero_based=zero_based
    )
    counts = np.fromiter(map(len, rows), dtype=np.intp, count=len(rows))
    labels = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=counts.sum())
    limit = MOST_COLUMNS if n_classes is None else n_classes
    fits = (labels == np.floor(labels)) & (labels >= 0) & (labels < limit)
    if not fits.all():
        first = np.flatnonzero(~fits)[0]
        row = np.searchsorted(np.cumsum(counts), first, side="right")
        raise ValueError(
            f"The labels must be integers from 0 to below {limit:,} (n_classes={n_classes}); row "
            f"{row} (counted from 0) has {labels[first]:g}."
        )
    if n_classes is None:
        n_classes = int(labels.max(initial=-1)) + 1
    indptr = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(len(labels), dtype=np.uint8)
    Y = sp.csr_array((ones, labels.astype(np.int32), indptr), shape=(len(rows), n_classes))
    Y.sum_duplicates()
    Y.data[:] = 1
    return sp.csr_array(X), Y
