"""TopK: the keys of largest value."""

import copy
from numbers import Integral

import numpy as np

from sklsh._kernels import _top_k_table
from sklsh._memory import aligned_zeros, require_bytes, writable
from sklsh._sklearn import Interval, VersionStamp, at_least, validate_parameter_constraints
from sklsh.sketch._checks import checked_factor, checked_keys, checked_values, like_values

SEED = 0  # of the hash that finds keys: no result depends on it


class TopK(VersionStamp):
    """The k keys of largest magnitude among those pushed, each with its last value.

    A table of 2 k rows. A key held has its value overwritten; a new one gets a row if its
    magnitude passes the threshold. When all rows are in use, the k of largest magnitude
    stay, and the smallest of theirs is the threshold from then on. So a push costs O(1),
    spread over many.

    As long as the magnitude of no key falls, the result is exact: the k largest of all keys
    ever pushed, ties to the key that came first. Where magnitudes fall, a key that was
    turned away while others were larger is only found when it is pushed again.

    Parameters
    ----------
    k : int
        Keys wanted, up to 2**29.

    n_columns : int, default=1
        Numbers in a value. The magnitude of a value is that of its largest number.

    Attributes
    ----------
    threshold : float
        Magnitude that a new key has to pass.

    nbytes : int
        Bytes of the table.

    Raises
    ------
    MemoryError
        If the table would not fit; says how many bytes it takes.

    See Also
    --------
    CountSketch : Totals of all keys, of which it can follow the largest.

    Examples
    --------
    >>> from sklsh.sketch import TopK
    >>> top = TopK(2).push([11, 12, 13, 14], [1.0, -4.0, 0.5, 2.0])
    >>> keys, values = top.push([13], [3.0]).items()
    >>> keys.tolist(), values.tolist()
    ([12, 13], [-4.0, 3.0])
    >>> 12 in top, len(top)
    (True, 2)
    """

    _parameter_constraints = {
        "k": [Interval(Integral, 1, 2**29, closed="both")],
        "n_columns": [at_least(1)],
    }

    def __init__(self, k, *, n_columns=1):
        validate_parameter_constraints(
            self._parameter_constraints, {"k": k, "n_columns": n_columns}, type(self).__name__
        )
        require_bytes(
            self.bytes_needed(k, n_columns),
            f"A table of {2 * k:,} keys with {n_columns:,} columns",
        )
        self.k, self.n_columns = int(k), int(n_columns)
        capacity = 2 * self.k
        self._ids = np.full(capacity + 1, -1, dtype=np.int64)
        self._slots = np.full(n_slots(capacity), capacity, dtype=np.int32)
        self._values = aligned_zeros((capacity, self.n_columns))
        self._counts = np.zeros(2, dtype=np.intp)  # rows in use, pushes since the threshold
        self._threshold = np.zeros(1, dtype=np.float32)

    def __setstate__(self, state):
        super().__setstate__(state)
        for name in ("_ids", "_slots", "_values", "_counts", "_threshold"):
            setattr(self, name, writable(getattr(self, name)))

    @staticmethod
    def bytes_needed(k, n_columns=1):
        """Bytes that a table takes.

        Parameters
        ----------
        k, n_columns : int
            Its size.

        Returns
        -------
        n_bytes : int
            About 32 to 48 for each of k, and 8 for each of its columns.
        """
        return (8 + 4 * int(n_columns)) * 2 * int(k) + 8 + 4 * n_slots(2 * int(k))

    def push(self, keys, values):
        """Take in values of keys.

        Parameters
        ----------
        keys : array-like of shape (n,), int
            In [0, 2**63). If one comes several times, its last value stands.

        values : array-like of shape (n,) or (n, n_columns)
            Finite numbers. Zeros give a new key no row.

        Returns
        -------
        self : TopK
            The table, changed.
        """
        keys = checked_keys(keys)
        return self._push(keys, checked_values(values, len(keys), self.n_columns))

    def items(self):
        """The keys of largest magnitude, best first.

        Returns
        -------
        keys : ndarray of shape (n,), int64
            At most k, fewer as long as fewer have come.

        values : ndarray of shape (n,) or (n, n_columns), float32
            Their values.
        """
        keys, values = self.held()
        best = np.argsort(-magnitudes(values), kind="stable")[: self.k]
        return keys[best], like_values(values[best])

    def held(self):
        """All keys in the table, among them those that further pushes may bring up.

        Returns
        -------
        keys : ndarray of shape (n,), int64
            At most 2 k, as they came.

        values : ndarray of shape (n, n_columns), float32
            Their values.
        """
        return self._ids[: self._n_rows].copy(), self._values[: self._n_rows].copy()

    def merge(self, other):
        """Push what another table holds.

        Parameters
        ----------
        other : TopK
            With as many columns; its k may differ. Where both hold a key, its value stands.

        Returns
        -------
        self : TopK
            The table, changed.
        """
        if not isinstance(other, TopK):
            raise TypeError(f"other must be a TopK; got {type(other).__name__}.")
        if other.n_columns != self.n_columns:
            raise ValueError(
                f"Tables can be merged only with as many columns; this one has "
                f"{self.n_columns}, the other {other.n_columns}."
            )
        return self._push(*other.held())

    def scale(self, factor):
        """Multiply all values.

        Parameters
        ----------
        factor : float
            By this.

        Returns
        -------
        self : TopK
            The table, changed.
        """
        factor = checked_factor(factor)
        self._values *= np.float32(factor)
        self._threshold *= np.float32(abs(factor))
        return self

    def clear(self):
        """Forget all keys.

        Returns
        -------
        self : TopK
            The table, empty.
        """
        self._slots.fill(len(self._ids) - 1)
        self._counts.fill(0)
        self._threshold.fill(0)
        return self

    def copy(self):
        """Table of the same content.

        Returns
        -------
        copy : TopK
            Shares nothing with this one.
        """
        return copy.deepcopy(self)

    def __len__(self):
        """Keys that `items` gives."""
        return min(self._n_rows, self.k)

    def __contains__(self, key):
        """Whether the table holds a key, which `items` need not give: see `held`."""
        rows = np.empty(1, dtype=np.int32)
        _top_k_table.find_rows(
            checked_keys([key]), self._ids, self._slots, self._n_rows, SEED, rows
        )
        return bool(rows[0] >= 0)

    def __repr__(self):
        columns = f", n_columns={self.n_columns}" if self.n_columns > 1 else ""
        return f"TopK({self.k}{columns})"

    @property
    def threshold(self):
        """Magnitude that a new key has to pass."""
        return float(self._threshold[0])

    @property
    def nbytes(self):
        """Bytes of the table."""
        return self._ids.nbytes + self._slots.nbytes + self._values.nbytes

    @property
    def _n_rows(self):
        return int(self._counts[0])

    def _push(self, keys, values):
        _top_k_table.push(
            keys, values, self._ids, self._slots, self._values, self.k, self._counts,
            self._threshold, SEED, np.empty((2, 2 * self.k), dtype=np.float32),
        )  # fmt: skip
        return self


def n_slots(capacity):
    """Slots in which keys are looked for: a power of two, at most half of them in use."""
    return 1 << (2 * capacity - 1).bit_length()


def magnitudes(values):
    """What keys are ranked by."""
    return abs(values).max(axis=1, initial=0)
