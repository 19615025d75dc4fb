"""Batches as the kernels read them: CSR with int32 indices, by rows and by columns."""

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _rows

INT32_MAX = np.iinfo(np.int32).max


def as_batch(X):
    """X as float32 CSR with int32 indices, which is what the kernels read."""
    X = X if sp.issparse(X) else sp.csr_array(X)
    if X.nnz > INT32_MAX:
        raise ValueError(
            f"A batch may hold at most {INT32_MAX:,} non-zero values; "
            f"this one holds {X.nnz:,}. Pass fewer rows at a time."
        )
    narrow = X.indices.dtype == np.int32 and X.indptr.dtype == np.int32
    if narrow and X.data.dtype == np.float32:
        return X
    return sp.csr_array(
        (X.data.astype(np.float32), X.indices.astype(np.int32), X.indptr.astype(np.int32)),
        shape=X.shape,
    )


class Columns:
    """Turns batches into columns, as `Optimizer.step_embedding` takes them.

    Parameters
    ----------
    n_columns : int
        Columns that a batch may have.
    """

    def __init__(self, n_columns):
        self._slot = np.zeros(n_columns, dtype=np.int32)

    def of(self, indptr, indices, values):
        """(columns, starts, rows, values): which columns there are, and what stands there."""
        nnz = len(indices)
        columns, rows = np.empty(nnz, dtype=np.int32), np.empty(nnz, dtype=np.int32)
        starts, row_values = np.empty(nnz + 1, dtype=np.int32), np.empty(nnz, dtype=np.float32)
        n = _rows.transpose_batch(
            indptr, indices, values, self._slot, columns, starts, rows, row_values
        )
        return columns[:n], starts, rows, row_values


def with_dropout(X, rate, generator):
    """Drop a share of the non-zero values at random and scale up the rest."""
    if rate == 0:
        return X
    keep = generator.random(X.nnz, dtype=np.float32) >= rate
    kept = np.concatenate([[0], np.cumsum(keep, dtype=np.int32)]).astype(np.int32)
    values = X.data[keep] * np.float32(1 / (1 - rate))
    return sp.csr_array((values, X.indices[keep], kept[X.indptr]), shape=X.shape)
