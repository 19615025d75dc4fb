"""Files in the text format of the Extreme Classification Repository."""

import contextlib
import gzip
import os
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from sklsh._sklearn import checked_csr
from sklsh.datasets._lines import check_count, file_name, opened, path_error
from sklsh.datasets._xmc_reader import MOST_COLUMNS, XMCReader

_ROWS_AT_ONCE = 10_000  # that save_xmc_file turns into text


def load_xmc_file(path, *, n_features=None, n_classes=None, header="auto"):
    r"""Load a file in the text format of the Extreme Classification Repository.

    Its first line, the header, gives the numbers of rows, features and labels. Each further
    line is a row: its labels, parted by commas, and its non-zero features with their values::

        3 5 4
        0,2 1:0.5 4:1.25
         0:2
        3 2:1e-3

    A row without labels begins with a blank. Labels and features count from 0.

    Parameters
    ----------
    path : str, path-like or file object
        File; or an object whose `read` gives bytes, which is read from where it stands and
        left open. Plain or compressed by gzip, which its first bytes tell.

    n_features : int, default=None
        Columns of X. By default those of the header, or without header one more than the
        largest feature.

    n_classes : int, default=None
        Columns of Y, likewise.

    header : {"auto", True, False}, default="auto"
        Whether the file begins with a header; "auto": if its first line is three integers,
        which no row can be.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), float32
        Features, indices sorted. The nearest float32 to each number as it is written. Zeros
        that are written are kept as entries; values of a feature that is repeated in a row
        are added up.

    Y : csr_array of shape (n_samples, n_classes), uint8
        Indicator of the labels, indices sorted. A label that is repeated counts once.

    Raises
    ------
    ValueError
        If the file is malformed, with its name, the number of the line, what was expected
        and what was found: features or labels that are negative or beyond the columns,
        values that are no numbers or not finite in float32, more or fewer rows than the
        header says, damaged gzip data.

    TypeError
        If `path` is no path and gives no bytes.

    MemoryError
        If the rows will not fit, with the number of bytes.

    See Also
    --------
    iter_xmc_file : Reads such a file in chunks, for `partial_fit`.
    load_svmlight_multilabel : Loads files of the svmlight format.

    Notes
    -----
    Blanks are spaces and tabs; lines end with "\n" or "\r\n", the last one may lack it. An
    empty line is skipped; a line of blanks is a row without labels and features.

    References
    ----------
    K. Bhatia, K. Dahiya, H. Jain, P. Kar, A. Mittal, Y. Prabhu and M. Varma, "The extreme
    classification repository: multi-label datasets and code", 2016.
    http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> from io import BytesIO
    >>> from sklsh.datasets import load_xmc_file
    >>> X, Y = load_xmc_file(BytesIO(b"2 5 4\n0,2 1:0.5 4:1.25\n 0:2\n"))
    >>> X.toarray()
    array([[0.  , 0.5 , 0.  , 0.  , 1.25],
           [2.  , 0.  , 0.  , 0.  , 0.  ]], dtype=float32)
    >>> Y.toarray()
    array([[1, 0, 1, 0],
           [0, 0, 0, 0]], dtype=uint8)
    """
    _check_reading(n_features, n_classes, header)
    name, columns = file_name(path), {"n_features": n_features, "n_classes": n_classes}
    with opened(path) as file:
        return XMCReader(file, name, header=header, needs_columns=False, **columns).read(None)


def iter_xmc_file(path, *, chunk_size=10_000, n_features=None, n_classes=None, header="auto"):
    r"""Read a file of :func:`load_xmc_file` in chunks of rows, for `partial_fit`.

    Memory holds a chunk, twice while it is joined, and a few megabytes of text, or a few
    times a line that is longer.

    Parameters
    ----------
    path, header
        As for :func:`load_xmc_file`.

    chunk_size : int, default=10_000
        Rows of a chunk; the last one may have fewer.

    n_features, n_classes : int, default=None
        Columns of all X and Y. Needed if the file has no header.

    Yields
    ------
    X : csr_array of shape (chunk_size, n_features), float32
        Features, as :func:`load_xmc_file` returns them.

    Y : csr_array of shape (chunk_size, n_classes), uint8
        Indicator of the labels.

    Raises
    ------
    ValueError
        If a parameter has a value that it cannot have; at once. Or as by
        :func:`load_xmc_file`, when the rows in question are due: chunks before them
        have been given out by then. If the file has no header, and `n_features` or
        `n_classes` is not given; when the first chunk is due.

    TypeError, MemoryError
        As by :func:`load_xmc_file`.

    Examples
    --------
    >>> from io import BytesIO
    >>> from sklsh import SLIDEClassifier
    >>> from sklsh.datasets import iter_xmc_file
    >>> file = BytesIO(b"3 2 3\n0 0:1\n1,2 1:1\n2 0:.5 1:.5\n")
    >>> model = SLIDEClassifier(8, random_state=0)
    >>> for X, Y in iter_xmc_file(file, chunk_size=2):
    ...     _ = model.partial_fit(X, Y)
    >>> model.t_
    2
    """
    _check_reading(n_features, n_classes, header)
    check_count("chunk_size", chunk_size)
    columns = {"n_features": n_features, "n_classes": n_classes}
    if not header and None in columns.values():
        raise ValueError(
            "n_features and n_classes must be given with header=False; got "
            f"n_features={n_features!r}, n_classes={n_classes!r}."
        )
    return _chunks(path, file_name(path), chunk_size, header, columns)


def _chunks(path, name, chunk_size, header, columns):
    with opened(path) as file:
        reader = XMCReader(file, name, header=header, needs_columns=True, **columns)
        while True:
            X, Y = reader.read(chunk_size)
            if X.shape[0] == 0:
                return
            yield X, Y


def save_xmc_file(path, X, Y, *, header=True, n_samples=None):
    """Write rows in the text format of :func:`load_xmc_file`, which reads them back exactly.

    Parameters
    ----------
    path : str, path-like or file object
        File, compressed by gzip if its name ends in ".gz"; or an object whose `write` takes
        bytes, which is left open: so rows can be written in several calls.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features, finite in float32. They are written with as many digits as it takes to
        tell float32 numbers apart, at most 9.

    Y : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the labels, of 0 and 1.

    header : bool, default=True
        Whether to begin with a line of the numbers of rows, features and labels.

    n_samples : int, default=None
        Rows in the header: as many as all calls will write. By default those of X.

    Raises
    ------
    ValueError
        If X or Y is no matrix of real numbers, they do not fit each other, X is not finite in
        float32, or Y holds anything but 0 and 1.

    TypeError
        If `path` is no path and takes no bytes.

    Examples
    --------
    >>> from io import BytesIO
    >>> import numpy as np
    >>> from sklsh.datasets import save_xmc_file
    >>> file = BytesIO()
    >>> save_xmc_file(file, [[0, 0.5], [1.25, 0]], [[1, 0, 1], [0, 0, 0]], n_samples=3)
    >>> save_xmc_file(file, [[0, 0.1]], [[0, 1, 0]], header=False)
    >>> print(file.getvalue().decode(), end="")
    3 2 3
    0,2 1:0.5
     0:1.25
    1 1:0.1
    """
    X, Y = _checked_rows(X, Y)
    if not isinstance(header, (bool, np.bool_)):
        raise ValueError(f"header must be True or False; got {header!r}.")
    if n_samples is None:
        n_samples = X.shape[0]
    elif not header:
        raise ValueError(f"n_samples must be None without a header; got {n_samples!r}.")
    check_count("n_samples", n_samples, X.shape[0])
    with _opened_for_writing(path) as file:
        if header:
            file.write(b"%d %d %d\n" % (n_samples, X.shape[1], Y.shape[1]))
        for start in range(0, X.shape[0], _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            file.write(_as_text(X[rows], Y[rows]).encode("ascii"))


def _check_reading(n_features, n_classes, header):
    for name, value in {"n_features": n_features, "n_classes": n_classes}.items():
        if value is not None:
            check_count(name, value, most=MOST_COLUMNS)
    if not isinstance(header, (bool, np.bool_)) and not (
        isinstance(header, str) and header == "auto"
    ):
        raise ValueError(f'header must be "auto", True or False; got {header!r}.')


def _checked_rows(X, Y):
    """Canonical copies: X in float32, Y in uint8 without explicit zeros."""
    X, Y = _checked_matrix(X, "X"), _checked_matrix(Y, "Y")
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"X and Y must have equally many rows; got {X.shape[0]} and {Y.shape[0]}.")
    with np.errstate(over="ignore"):
        X = X.astype(np.float32)
    X.sum_duplicates()
    if not np.isfinite(X.data).all():
        raise ValueError("X must be finite in float32; it holds NaN, infinity or too large values.")
    Y = Y.copy()
    Y.sum_duplicates()
    if not np.isin(Y.data, (0, 1)).all():
        raise ValueError("Y must be an indicator matrix of 0 and 1; it holds other values.")
    Y = Y.astype(np.uint8)
    Y.eliminate_zeros()
    return X, Y


def _checked_matrix(part, name):
    """CSR of X or Y, which `name` says; nothing of it is changed."""
    if not sp.issparse(part):
        try:
            part = np.asarray(part)
        except ValueError as error:  # lists of different lengths
            raise ValueError(f"{name} must be a matrix: {error}") from error
        if part.dtype == np.float16:  # which no sparse matrix holds
            part = part.astype(np.float32)
    if part.ndim != 2 or part.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be a matrix of real numbers, of two dimensions; got shape {part.shape} "
            f"and dtype {part.dtype}."
        )
    return checked_csr(part, name)


@contextlib.contextmanager
def _opened_for_writing(path):
    if hasattr(path, "write"):
        try:
            path.write(b"")
        except TypeError as error:
            raise path_error(f"{file_name(path)} takes no bytes") from error
        yield path
    elif isinstance(path, int):
        raise path_error(f"got {path!r}")
    else:
        file_name(path)
        is_gzip = os.fsdecode(path).endswith(".gz")
        with gzip.open(path, "wb") if is_gzip else open(path, "wb") as file:
            yield file


def _as_text(X, Y):
    """The lines of some rows."""
    entries = zip(X.indices.tolist(), _shortened(X.data).tolist(), strict=True)
    pairs = list(map("%d:%.9g".__mod__, entries))
    labels = list(map(str, Y.indices.tolist()))
    return "".join(
        f"{','.join(labels[a:b])} {' '.join(pairs[c:d])}\n"
        for (a, b), (c, d) in zip(pairwise(Y.indptr), pairwise(X.indptr), strict=True)
    )


def _shortened(values):
    """Doubles that round to the float32 `values` and have 6 decimal digits, 7, 8 or more."""
    exact = values.astype(np.float64)
    shortened = exact.copy()
    exponent = np.floor(np.log10(np.abs(exact), out=np.zeros_like(exact), where=exact != 0))
    for digits in (8, 7, 6):
        scale = 10.0 ** (digits - 1 - exponent)
        candidate = np.rint(exact * scale) / scale
        # Both sides of it must round alike: a double is but next to the digits written.
        with np.errstate(over="ignore"):
            low, high = ((candidate * side).astype(np.float32) for side in (1 - 1e-15, 1 + 1e-15))
        shortened = np.where((low == values) & (high == values), candidate, shortened)
    return shortened
