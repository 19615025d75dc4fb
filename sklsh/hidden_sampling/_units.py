"""Which units of a layer a row looks at: those its hash buckets name most, or any."""

import numpy as np
from sklearn.utils import gen_batches

from sklsh._batches import dense_rows
from sklsh._hashing import DIGIT_BITS, MAX_BITS, DWTAHasher
from sklsh._kernels import _active_units
from sklsh._layer_tables import LayerTables
from sklsh._memory import padded
from sklsh._tables import HashTables

N_TABLES = 100
LOOKED_AT = 4  # units that a row looks at, for each that it may keep
READ = 3  # ids read from buckets, for each unit looked at
HASHED = "lsh"
BLOCK_BYTES = 1 << 24  # of rows that are dense while they are hashed


class RandomUnits:
    """Units at random, which the row's values choose: the control of :class:`LSHUnits`.

    In training each step draws others; in prediction a row always has the same.

    Parameters
    ----------
    n_units, n_active : int
        Units of the layer, and those of a row.

    seed : int
        Of the draws.
    """

    nbytes = 0

    def __init__(self, n_units, n_active, seed):
        self.n_units = n_units
        self.n_active = n_active
        self.seed = seed
        self._n_steps = 0

    def of(self, below, parameter, work, n_threads, *, training):
        """Units that each row looks at, (n, m), and how many there are of each row."""
        self._n_steps += training
        seed = (self.seed << 32) + (self._n_steps if training else 0)
        units = np.empty((below.shape[0], self.n_active), dtype=np.int32)
        _active_units.draw_units(
            below.indptr, below.indices, below.data, self.n_units, seed, units, n_threads
        )
        return units, np.full(len(units), self.n_active, dtype=np.int32)

    def note_step(self, units):
        """Nothing: draws do not go by weights."""

    def settle(self, parameter, n_threads):
        """Nothing, likewise."""

    def forget(self):
        """Nothing, likewise."""

    def make_writable(self):
        """Nothing: there are no arrays."""


class LSHUnits:
    """Units that share most hash buckets with a row.

    A table holds each unit by the code of its weights; a row is looked up by its own code in
    all of them, and how often it finds a unit is counted.

    Parameters
    ----------
    n_in, n_units, n_active : int
        Width of a row, units of the layer, and those that a row may keep: `LOOKED_AT` times as
        many are computed, if so many are found.

    hash_family : {"simhash", "dense_simhash", "dwta"}
        Hash functions.

    rehash_every, rehash_growth, seed
        As for :class:`sklsh._layer_tables.LayerTables`.
    """

    def __init__(self, n_in, n_units, n_active, *, hash_family, rehash_every, rehash_growth, seed):
        self.n_looked_at = units_looked_at(n_units, n_active)
        self.tables = LayerTables(
            n_units, n_in, hash_family=hash_family, n_tables=N_TABLES, bucket_size=1,
            n_bits=bits_for(n_units, n_active, hash_family),
            rehash_every=rehash_every, rehash_growth=rehash_growth, seed=seed,
        )  # fmt: skip

    @staticmethod
    def bytes_needed(n_units, n_active, hash_family):
        """Bytes of the tables."""
        return HashTables.bytes_needed(n_units, bits_for(n_units, n_active, hash_family), N_TABLES)

    def of(self, below, parameter, work, n_threads, *, training):
        """Units that each row looks at, (n, m), and how many there are of each row."""
        n_hashed = self.tables.rehash_when_due(parameter, n_threads) if training else 0
        codes = self._codes(below, n_threads)
        n = len(codes)
        units, n_found = np.empty((n, self.n_looked_at), dtype=np.int32), np.empty(n, np.int32)
        n_read = np.empty(n, dtype=np.intp)
        tables = self.tables.tables
        _active_units.most_frequent(
            codes, tables.starts, tables.ids, units, n_found, n_read, n_threads
        )
        work.hashing += (n + n_hashed) * self.tables.hasher.operations + int(n_read.sum())
        return units, n_found

    def _codes(self, below, n_threads):
        n, width = below.shape
        if isinstance(self.tables.hasher, DWTAHasher):
            return self.tables.hasher.sparse_codes(below, n_threads)
        codes = np.empty((n, N_TABLES), dtype=np.int32)
        rows_at_once = max(1, BLOCK_BYTES // (4 * padded(width)))
        for rows in gen_batches(n, rows_at_once):
            codes[rows] = self.tables.codes(dense_rows(below.rows(rows)), n_threads)
        return codes

    def note_step(self, units):
        """Take note that a step has moved these units."""
        self.tables.note_step(units)

    def settle(self, parameter, n_threads):
        """Hash what has changed, so that rows are looked up by the weights as they are."""
        if self.tables.is_stale:
            self.tables.rehash(parameter, n_threads)

    def forget(self):
        """Drop the tables, as weights were set to others."""
        self.tables.forget()

    def make_writable(self):
        """Copy what came from a read-only memory map."""
        self.tables.make_writable()

    @property
    def nbytes(self):
        """Bytes of the tables."""
        return self.tables.nbytes


def units_looked_at(n_units, n_active):
    """Units of a layer that a row computes, at most."""
    return min(LOOKED_AT * n_active, n_units)


def bits_for(n_units, n_active, hash_family):
    """Bits of a code by which a row reads about `READ` ids for each unit it looks at."""
    unit = DIGIT_BITS if hash_family == "dwta" else 1
    wanted = READ * units_looked_at(n_units, n_active)
    digits = np.round(np.log2(N_TABLES * n_units / wanted) / unit)
    return unit * int(np.clip(digits, 1, MAX_BITS // unit))
