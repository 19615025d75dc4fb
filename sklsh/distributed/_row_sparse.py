"""Matrices few of whose rows are not zero: their support in few bits, sums, largest rows."""

from typing import NamedTuple

import numpy as np

from sklsh._sklearn import check_k

MOST_ROWS = 2**31 - 1


class RowSparse(NamedTuple):
    """A matrix of which `rows`, distinct and ascending, have `values`; all others are zero."""

    rows: np.ndarray
    values: np.ndarray
    n_rows: int

    @property
    def width(self):
        """Columns."""
        return self.values.shape[1]

    def dense(self):
        """The matrix with its zeros."""
        matrix = np.zeros((self.n_rows, self.width), dtype=np.float32)
        matrix[self.rows] = self.values
        return matrix

    def among(self, rows):
        """Values of these rows, which are ascending and contain all that are not zero."""
        values = np.zeros((len(rows), self.width), dtype=np.float32)
        values[np.searchsorted(rows, self.rows)] = self.values
        return values

    @classmethod
    def of_dense(cls, matrix):
        """Rows of a matrix that are not zero."""
        rows = np.flatnonzero(matrix.any(axis=1)).astype(np.int32)
        return cls(rows, matrix[rows], len(matrix))


def checked_gradient(rows, values, n_rows):
    """A RowSparse of arrays from outside, or TypeError or ValueError."""
    check_k(n_rows, MOST_ROWS, "rows that int32 can tell apart", name="n_rows")
    rows, values = np.asarray(rows), np.asarray(values)
    if rows.dtype != np.int32 or values.dtype != np.float32:
        raise TypeError(
            f"rows must be int32 and values float32; got {rows.dtype} and {values.dtype}."
        )
    if rows.ndim != 1:
        raise ValueError(f"rows must be one-dimensional; got shape {rows.shape}.")
    if values.ndim != 2 or len(values) != len(rows) or values.shape[1] == 0:
        raise ValueError(
            f"values must have shape (n, width) with width at least 1 and n = {len(rows)}, the "
            f"number of rows; got {values.shape}."
        )
    if len(rows) and not (np.diff(rows) > 0).all():
        raise ValueError("rows must be distinct and ascending.")
    if len(rows) and not 0 <= rows[0] <= rows[-1] < n_rows:
        raise ValueError(
            f"rows must be at least 0 and below n_rows, {n_rows}; got {rows[0]} to {rows[-1]}."
        )
    if not np.isfinite(values).all():
        raise ValueError("values must be finite.")
    return RowSparse(rows, values, int(n_rows))


def union_of(supports, n_rows):
    """All rows of some supports, ascending."""
    present = np.zeros(n_rows, dtype=bool)
    for rows in supports:
        present[rows] = True
    return np.flatnonzero(present).astype(np.int32)


def sum_of(matrices):
    """Sum of row-sparse matrices, added up in their order."""
    n_rows = matrices[0].n_rows
    rows = union_of([matrix.rows for matrix in matrices], n_rows)
    places = np.empty(n_rows, dtype=np.int32)  # only those of the union are read
    places[rows] = np.arange(len(rows))
    total = np.zeros((len(rows), matrices[0].width), dtype=np.float32)
    for matrix in matrices:
        total[places[matrix.rows]] += matrix.values
    return RowSparse(rows, total, n_rows)


def largest(scores, k):
    """Places of the k largest scores above 0, ascending."""
    places = np.flatnonzero(scores > 0)
    if k < len(places):
        places = np.sort(places[np.argpartition(scores[places], -k)[-k:]])
    return places.astype(np.int32)


def squared_norms(values):
    """Of each row."""
    return np.einsum("ij,ij->i", values, values)


def as_bitmap(rows, n_rows):
    """A bit for each row, packed in uint8."""
    present = np.zeros(n_rows, dtype=bool)
    present[rows] = True
    return np.packbits(present)


def from_bitmap(bitmap, n_rows):
    """Rows whose bits are set."""
    return np.flatnonzero(np.unpackbits(bitmap, count=n_rows)).astype(np.int32)


def n_low_bits(n, n_rows):
    """Bits of a row that its code has as they are: those below the mean gap."""
    return max(int(n_rows) // max(int(n), 1), 1).bit_length() - 1


def code_bytes(n, n_rows):
    """Bytes of the code of n rows of n_rows."""
    low = n_low_bits(n, n_rows)
    return -(-int(n) * low // 8) - (-(int(n) + (int(n_rows) >> low) + 1) // 8)


def as_code(rows, n_rows):
    """Elias-Fano code of ascending rows, uint8, at most about log2(n_rows / n) + 2 bits a row.

    The low bits of each row stand as they are. The rest, which ascends, stands in unary: that of
    row i is the number of zeros before the i-th one.
    """
    low = n_low_bits(len(rows), n_rows)
    low_bits = (rows[:, None] >> np.arange(low)) & 1
    high_bits = np.zeros(len(rows) + (n_rows >> low) + 1, dtype=np.uint8)
    high_bits[(rows >> low) + np.arange(len(rows))] = 1
    return np.concatenate([np.packbits(low_bits.astype(np.uint8)), np.packbits(high_bits)])


def from_code(code, n, n_rows):
    """The n ascending rows of n_rows that a code stands for."""
    low = n_low_bits(n, n_rows)
    n_low_bytes = -(-n * low // 8)
    low_bits = np.unpackbits(code[:n_low_bytes], count=n * low).reshape(n, low)
    high = np.flatnonzero(np.unpackbits(code[n_low_bytes:]))[:n] - np.arange(n)
    return ((high << low) + low_bits @ (1 << np.arange(low))).astype(np.int32)


class Residual:
    """What has not been sent of a matrix's gradients: a dense matrix, its rows' norms beside it.

    Parameters
    ----------
    n_rows, width : int
        Shape of the matrix.
    """

    def __init__(self, n_rows, width):
        self.values = np.zeros((n_rows, width), dtype=np.float32)
        self._norms = np.zeros(n_rows, dtype=np.float32)

    def add(self, gradient):
        """Residual += gradient; returns the residual."""
        values = self.values[gradient.rows] + gradient.values
        self.values[gradient.rows] = values
        self._norms[gradient.rows] = squared_norms(values)
        return self

    def take_largest(self, k):
        """Remove the k rows of largest norm; return them."""
        rows = largest(self._norms, k)
        taken = RowSparse(rows, self.values[rows], len(self.values))
        self.values[rows] = 0
        self._norms[rows] = 0
        return taken
