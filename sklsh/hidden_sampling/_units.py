"""Which units of a layer a row looks at: those its hash buckets name most, or any."""

import numpy as np

from sklsh._batches import row_of
from sklsh._hashing import DIGIT_BITS, MAX_BITS
from sklsh._kernels import _active_units
from sklsh._layer_tables import LayerTables
from sklsh._memory import aligned_zeros, padded
from sklsh._tables import HashTables

HASHED = "lsh"
POOLS = 16  # sums of a vector that are hashed
N_TABLES = 100
LOOKED_AT = 8  # units that a row computes, for each that it may keep
READ = 3  # ids read from buckets, for each unit computed


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

    def settle(self, parameter, work, n_threads):
        """Nothing, likewise."""

    def forget(self):
        """Nothing, likewise."""

    def make_writable(self):
        """Nothing: there are no arrays."""


class Pooled:
    """Weights of units as they are hashed: sums over runs of neighbouring inputs.

    Parameters
    ----------
    n_in : int
        Width of the rows below, of which there are `POOLS` runs at most.
    """

    def __init__(self, n_in):
        self.n_in = n_in
        self.width = min(POOLS, n_in)
        self.starts = np.arange(self.width) * n_in // self.width
        self._pool_of = np.repeat(np.arange(self.width), np.diff(self.starts, append=n_in))

    def of_rows(self, batch):
        """Sums of a batch's rows, dense and padded."""
        n = batch.shape[0]
        places = row_of(batch) * self.width + self._pool_of[batch.indices]
        sums = np.bincount(places, batch.data, minlength=n * self.width)
        pooled = aligned_zeros((n, padded(self.width)))
        with np.errstate(over="ignore"):  # the loss tells of divergence
            pooled[:, : self.width] = sums.reshape(n, self.width)
        return pooled

    def of_units(self, parameter):
        """Sums of the units' weights, likewise."""
        pooled = aligned_zeros((len(parameter.weights), padded(self.width)))
        with np.errstate(invalid="ignore", over="ignore"):  # likewise
            pooled[:, : self.width] = np.add.reduceat(
                parameter.weights[:, : self.n_in], self.starts, axis=1
            )
        return pooled


class LSHUnits:
    """Units that share most hash buckets with a row.

    A table holds each unit by the code of its weights; a row is looked up by its own code in
    all of them, and how often it finds a unit is counted. Both are pooled before they are
    hashed: angles between vectors of few numbers differ widely, so that codes tell units
    apart, and rows that are alike find the same.

    Parameters
    ----------
    n_in, n_units, n_active : int
        Width of a row, units of the layer, and those that a row may keep: `LOOKED_AT` times as
        many are computed, if so many are found.

    hash_family : {"simhash", "dense_simhash", "dwta"}
        Hash functions.

    rehash_every : int
        Batches until units that have changed are hashed again.

    seed : int
        Draws the hash functions.

    References
    ----------
    R. Spring and A. Shrivastava, "Scalable and sustainable deep learning via randomized
    hashing", 2017. arXiv:1602.08194
    """

    def __init__(self, n_in, n_units, n_active, *, hash_family, rehash_every, seed):
        self.n_looked_at = units_looked_at(n_units, n_active)
        self.pooled = Pooled(n_in)
        self.tables = LayerTables(
            n_units, self.pooled.width, hash_family=hash_family, n_tables=N_TABLES, bucket_size=1,
            n_bits=bits_for(n_units, n_active, hash_family),
            rehash_every=rehash_every, rehash_growth=1, seed=seed,
        )  # fmt: skip

    @staticmethod
    def bytes_needed(n_units, n_active, hash_family):
        """Bytes of the tables."""
        return HashTables.bytes_needed(n_units, bits_for(n_units, n_active, hash_family), N_TABLES)

    def of(self, below, parameter, work, n_threads, *, training):
        """Units that each row looks at, (n, m), and how many there are of each row."""
        if training and self.tables.is_due:
            pooled = self.pooled.of_units(parameter)
            self._count(work, self.tables.rehash_when_due(pooled, n_threads))
        codes = self.tables.codes(self.pooled.of_rows(below), n_threads)
        n = len(codes)
        units, n_found = np.empty((n, self.n_looked_at), dtype=np.int32), np.empty(n, np.int32)
        n_read = np.empty(n, dtype=np.intp)
        tables = self.tables.tables
        _active_units.most_frequent(
            codes, tables.starts, tables.ids, units, n_found, n_read, n_threads
        )
        work.hashing += len(below.indices) + n * self.tables.hasher.operations + int(n_read.sum())
        return units, n_found

    def note_step(self, units):
        """Take note that a step has moved these units."""
        self.tables.note_step(units)

    def settle(self, parameter, work, n_threads):
        """Hash what has changed, so that rows are looked up by the weights as they are."""
        if self.tables.is_stale:
            pooled = self.pooled.of_units(parameter)
            self._count(work, self.tables.rehash(pooled, n_threads))

    def _count(self, work, n_hashed):
        """Add the sums of all units, and the codes of those that were hashed."""
        n_units = self.tables.n_rows
        work.hashing += n_units * self.pooled.n_in + n_hashed * self.tables.hasher.operations

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
