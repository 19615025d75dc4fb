"""Hash tables over the rows of the output layer, kept fresh on a growing schedule."""

import math
import sys

import numpy as np

from sklsh._hashing import auto_n_bits, make_hasher
from sklsh._memory import writable
from sklsh._tables import HashTables


class OutputTables:
    """Hash tables over the classes, and the schedule on which changed rows are hashed again.

    Parameters
    ----------
    n_classes, width : int
        Rows of the output layer, and their width without padding.

    hash_family : {"simhash", "dense_simhash", "dwta"}
        Hash functions.

    n_bits : int or "auto"
        Bits of a code; "auto" leaves about `bucket_size` classes in a bucket.

    n_tables : int
        Hash tables.

    bucket_size : int
        Wanted classes in a bucket; a look-up reads at most a third more.

    rehash_every : int
        Batches until changed rows are hashed again for the first time.

    rehash_growth : float
        Factor by which that period grows each time; 1 keeps it.

    seed : int
        Draws the hash functions.

    Notes
    -----
    The growing period is that of SLIDE's paper (arXiv:1903.03129): weights move less and
    less, so their codes stay right for longer and longer.
    """

    def __init__(
        self, n_classes, width, *, hash_family, n_bits, n_tables, bucket_size,
        rehash_every, rehash_growth, seed,
    ):  # fmt: skip
        if n_bits == "auto":
            n_bits = auto_n_bits(n_classes, bucket_size, hash_family)
        self.n_classes = n_classes
        self.bucket_cap = math.ceil(bucket_size * 4 / 3)
        self.period = rehash_every
        self.rehash_growth = rehash_growth
        self.hasher = make_hasher(hash_family, width, n_bits, n_tables, np.random.RandomState(seed))
        self.forget()

    def forget(self):
        """Drop the tables; the next batch hashes all rows."""
        self.tables = None
        self._changed = np.ones(self.n_classes, dtype=bool)
        self._batches_left = 0

    def make_writable(self):
        """Copy what came from a read-only memory map."""
        self._changed = writable(self._changed)

    def codes(self, hidden, n_threads):
        """Codes of activations, (n, n_tables) int32."""
        return self.hasher.codes(hidden, n_threads=n_threads)

    def best(self, hidden, output, k, *, salt, n_threads):
        """Classes in the buckets of each row of `hidden`, largest logit first.

        Returns (ids, logits, found): of the k places of row i, found[i] are filled.
        """
        return self.tables.best(
            self.codes(hidden, n_threads), hidden, output.weights, output.bias, k,
            bucket_cap=self.bucket_cap, salt=salt, n_threads=n_threads,
        )  # fmt: skip

    def note_step(self, ids):
        """Take note that a step has changed the rows `ids`."""
        self._changed[ids] = True
        self._batches_left -= 1

    def rehash_when_due(self, output, n_threads):
        """Hash the changed rows again if the period is over."""
        if self._batches_left > 0:
            return
        self.rehash(output, n_threads)
        self._batches_left = round(self.period)
        self.period = min(self.period * self.rehash_growth, sys.maxsize)

    def rehash(self, output, n_threads):
        """Hash the changed rows again."""
        if self.tables is None:
            self.tables = HashTables(self.n_classes, self.hasher.n_bits, self.hasher.n_tables)
        rows = np.flatnonzero(self._changed).astype(np.int32)
        codes = self.hasher.codes(output.weights, rows, n_threads)
        self.tables.rebuild(codes, rows, n_threads)
        self._changed[:] = False

    @property
    def mean_load(self):
        """Mean number of classes in a bucket that holds any; 0 without tables."""
        return 0.0 if self.tables is None else self.tables.mean_load

    @property
    def nbytes(self):
        """Bytes of the hash tables."""
        return 0 if self.tables is None else self.tables.nbytes


class PredictionTables:
    """Hash tables over the classes as they are after training, made when first asked for.

    Parameters
    ----------
    seed : int
        Draws the hash functions.
    """

    def __init__(self, seed):
        self.seed = seed
        self.forget()

    def forget(self):
        """Drop the tables, as the weights have changed."""
        self._tables = None
        self._settings = None

    def top_k(self, hidden, output, k, settings, n_threads):
        """The k classes of largest logit among those in a row's buckets, best first.

        Rows that find fewer than k classes are scored against all. `settings` are the
        parameters of :class:`OutputTables`.
        """
        if self._settings != settings:
            self._tables = OutputTables(len(output.bias), seed=self.seed, **settings)
            self._tables.rehash(output, n_threads)
            self._settings = settings
        ids, scores, found = self._tables.tables.best(
            self._tables.codes(hidden, n_threads), hidden, output.weights, output.bias, k,
            n_threads=n_threads,
        )  # fmt: skip
        short = np.flatnonzero(found < k)
        if len(short):
            ids[short], scores[short] = output.top_k(hidden[short], k, n_threads)
        return ids, scores

    def __getstate__(self):
        return {"seed": self.seed}

    def __setstate__(self, state):
        self.__init__(**state)
