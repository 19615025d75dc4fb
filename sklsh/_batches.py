"""Batches as the kernels read them: CSR with int32 indices, by rows and by columns."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sklsh._kernels import _batches, _rows
from sklsh._memory import aligned_zeros, padded

INT32_MAX = np.iinfo(np.int32).max
ROWS_AT_ONCE = 2048  # taken together: enough that a call costs nothing
VALUES_AT_ONCE = 1 << 19  # about so many at most: few enough for the caches


class Batch(NamedTuple):
    """CSR matrix, int32 and float32: as little of a `csr_array` as a step needs."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    shape: tuple

    def rows(self, rows):
        """Batch of the rows in a slice."""
        indptr = self.indptr[rows.start : rows.stop + 1]
        inside = slice(indptr[0], indptr[-1])
        shape = len(indptr) - 1, self.shape[1]
        return Batch(indptr - indptr[0], self.indices[inside], self.data[inside], shape)


def as_batch(X):
    """X as float32 CSR with int32 indices, which is what the kernels read."""
    if isinstance(X, Batch):
        return X
    X = X if sp.issparse(X) else sp.csr_array(X)
    _require_int32(X.nnz)
    narrow = X.indices.dtype == np.int32 and X.indptr.dtype == np.int32
    if narrow and X.data.dtype == np.float32:
        return X
    return sp.csr_array(
        (X.data.astype(np.float32), X.indices.astype(np.int32), X.indptr.astype(np.int32)),
        shape=X.shape,
    )


def nonzero_values(X):
    """Batch of the values of a dense matrix that are not zero."""
    filled = X != 0
    indptr = np.zeros(len(X) + 1, dtype=np.int32)
    nnz = np.count_nonzero(filled)
    _require_int32(nnz)
    np.cumsum(np.count_nonzero(filled, axis=1), out=indptr[1:])
    if nnz == X.size:
        indices = np.tile(np.arange(X.shape[1], dtype=np.int32), len(X))
        return Batch(indptr, indices, X.astype(np.float32).ravel(), X.shape)
    indices = np.nonzero(filled)[1].astype(np.int32)
    return Batch(indptr, indices, X[filled].astype(np.float32), X.shape)


def row_of(batch):
    """The row of each of a batch's values."""
    return np.repeat(np.arange(batch.shape[0]), np.diff(batch.indptr))


def dense_rows(batch):
    """Rows of a batch as products take them: dense and padded."""
    n, width = batch.shape
    dense = aligned_zeros((n, padded(width)))
    rows = sp.csr_array((batch.data, batch.indices, batch.indptr), shape=batch.shape)
    dense[:, :width] = rows.toarray()
    return dense


def _require_int32(nnz):
    if nnz > INT32_MAX:
        raise ValueError(
            f"A batch may hold at most {INT32_MAX:,} non-zero values; "
            f"this one holds {nnz:,}. Pass fewer rows at a time."
        )


class Rows:
    """Takes batches from a matrix, at a cost that does not depend on its size.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_rows, n_columns)
        The matrix.

    n_threads : int, default=1
        OpenMP threads; the batches do not depend on it.
    """

    def __init__(self, X, n_threads=1):
        self.X = X
        self.n_threads = n_threads
        if sp.issparse(X):
            index = np.result_type(X.indptr, X.indices)
            known = X.data.dtype in (np.uint8, np.float32, np.float64)
            self._arrays = (  # copied only where the kernels could not read them
                np.ascontiguousarray(X.indptr, dtype=index),
                np.ascontiguousarray(X.indices, dtype=index),
                np.ascontiguousarray(X.data, dtype=None if known else np.float32),
            )

    def take(self, rows, dropout=0.0, seed=0):
        """Batch of the rows `rows`, without a share `dropout` of its values.

        What is dropped depends on the seed alone; the rest is scaled up to make up for it.
        """
        if not sp.issparse(self.X):
            taken = nonzero_values(self.X[rows])
            if not dropout:
                return taken
            taken = sp.csr_array((taken.data, taken.indices, taken.indptr), shape=taken.shape)
            return Rows(taken, self.n_threads).take(np.arange(len(rows)), dropout, seed)
        indptr, indices, values = self._arrays
        starts = np.empty(len(rows) + 1, dtype=np.int32)
        nnz = _batches.count_values(indptr, rows, dropout, seed, starts, self.n_threads)
        _require_int32(nnz)
        taken, taken_values = np.empty(nnz, dtype=np.int32), np.empty(nnz, dtype=np.float32)
        _batches.take_rows(
            indptr, indices, values, rows, dropout, seed, starts, taken, taken_values,
            self.n_threads,
        )  # fmt: skip
        return Batch(starts, taken, taken_values, (len(rows), self.X.shape[1]))

    def batches(self, order, batch_size, dropout=0.0, seed=0):
        """Yield the rows in this order, batch by batch, of which a few are taken at once."""
        for rows in gen_batches(len(order), self._rows_at_once(batch_size)):
            taken = self.take(order[rows], dropout, seed + rows.start)
            for batch in gen_batches(taken.shape[0], batch_size):
                yield taken.rows(batch)

    def _rows_at_once(self, batch_size):
        """Rows of a few whole batches, or of one where that is much already."""
        n_values = self.X.nnz if sp.issparse(self.X) else self.X.size
        most = min(ROWS_AT_ONCE, VALUES_AT_ONCE * self.X.shape[0] // max(n_values, 1))
        return batch_size * max(1, most // batch_size)


class Columns:
    """Turns batches into columns, as `Optimizer.step_embedding` takes them.

    Columns are (columns, starts, rows, values): which columns there are, ascending, and
    what stands there. They are valid until the next call.

    Parameters
    ----------
    n_columns : int
        Columns that a batch may have.
    """

    def __init__(self, n_columns):
        self._n_bits = int(n_columns).bit_length()
        self._grow(0)

    def of(self, indptr, indices, values):
        """Columns of a batch."""
        into = self._into(len(indices))
        n = _rows.transpose_batch(indptr, indices, values, *into)
        return self._cut(n, len(indices))

    def while_embedding(self, X, table, bias, out, n_threads, relu=True):
        """Columns of a batch whose product with `table` goes to `out`, see `_rows.embed`."""
        into = self._into(len(X.indices))
        n = _rows.embed_and_transpose(
            X.indptr, X.indices, X.data, table, bias, out, n_threads, *into, relu=relu
        )
        return self._cut(n, len(X.indices))

    def _grow(self, nnz):
        self._scratch = np.empty((2, nnz), dtype=np.uint64), np.empty(nnz, dtype=np.int32)
        self._columns, self._rows = np.empty((2, nnz), dtype=np.int32)
        self._starts = np.empty(nnz + 1, dtype=np.int32)
        self._values = np.empty(nnz, dtype=np.float32)

    def _into(self, nnz):
        if nnz > len(self._values):
            self._grow(nnz + nnz // 4)
        columns = self._columns, self._starts, self._rows, self._values
        return self._n_bits, *self._scratch, *columns

    def _cut(self, n, nnz):
        return self._columns[:n], self._starts[: n + 1], self._rows[:nnz], self._values[:nnz]
