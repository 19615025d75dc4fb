"""Input of the estimators as the rows that kernels take."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sklsh._memory import aligned_zeros, padded, require_bytes
from sklsh._sklearn import checked_csr


def dense_rows(X):
    """Copy of X as aligned float32 rows padded to whole cache lines."""
    n, width = X.shape
    require_bytes(4 * n * padded(width), f"{n:,} dense rows of {width:,} features")
    rows = aligned_zeros((n, padded(width)))
    if sp.issparse(X):
        X = checked_csr(X)
    for block in gen_batches(n, 1024) if n else ():
        part = X[block]
        rows[block, :width] = part.toarray() if sp.issparse(part) else part
    return rows


def scale_to_unit(rows):
    """Divide dense rows by their length, in place; zero rows stay zero."""
    for size in (largest_values, norms):  # the first, or squares would over- or underflow
        sizes = size(rows)[:, None]
        np.divide(rows, sizes, out=rows, where=sizes > 0)
    return rows


def largest_values(rows):
    """Largest absolute value of each row."""
    return np.maximum(rows.max(axis=1), -rows.min(axis=1))


def norms(rows):
    """Euclidean length of each row."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def canonical_csr(X):
    """Sparse X as a csr_array that has no entry twice; X itself is left alone."""
    X = checked_csr(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X
