"""Hash tables over a layer's rows of weights, kept fresh on a growing schedule."""

import sys

import numpy as np
from sklearn.utils import gen_batches

from sklsh._hashing import make_hasher, resolved_n_bits
from sklsh._kernels import _candidates
from sklsh._memory import require_bytes, writable
from sklsh._tables import HashTables

ROWS_AT_ONCE = 1 << 16  # whose codes are held beside the tables


class LayerTables:
    """Hash tables over a layer's rows, and the schedule on which changed ones are hashed again.

    The rows belong to classes in the output layer, and to units in a hidden one.

    Parameters
    ----------
    n_rows, width : int
        Rows of the layer, and their width without padding.

    hash_family : {"simhash", "dense_simhash", "dwta"}
        Hash functions.

    n_bits : int or "auto"
        Bits of a code; "auto" leaves about `bucket_size` rows in a bucket.

    n_tables : int
        Hash tables.

    bucket_size : int
        Wanted rows in a bucket; while training, a look-up reads at most a third more
        of a bucket, whatever `n_bits` is.

    rehash_every : int
        Batches until changed rows are hashed again for the first time.

    rehash_growth : float
        Factor by which that period grows each time; 1 keeps it.

    redraw_every : int or None
        Batches until hash functions are drawn anew, and all rows hashed by them; None keeps
        them.

    seed : int
        Draws the hash functions.

    Notes
    -----
    The growing period is that of SLIDE's paper (arXiv:1903.03129): weights move less and
    less, so their codes stay right for longer and longer.
    """

    def __init__(
        self, n_rows, width, *, hash_family, n_bits, n_tables, bucket_size,
        rehash_every, rehash_growth, seed, redraw_every=None,
    ):  # fmt: skip
        n_bits = resolved_n_bits(n_bits, n_rows, bucket_size, hash_family)
        self.n_rows = n_rows
        self.bucket_cap = bucket_size * 4 // 3
        self.period = rehash_every
        self.rehash_growth = rehash_growth
        self.redraw_every = redraw_every
        self._family = hash_family, width, n_bits, n_tables
        self._random_state = np.random.RandomState(seed)
        self._draw_functions()
        self.forget()

    def _draw_functions(self):
        self.hasher = make_hasher(*self._family, self._random_state)
        self._batches_drawn = 0

    def forget(self):
        """Drop the tables; the next batch hashes all rows."""
        self.tables = None
        self._seen = None
        self._changed = np.ones(self.n_rows, dtype=bool)
        self._batches_left = 0

    def make_writable(self):
        """Copy what came from a read-only memory map."""
        self._changed = writable(self._changed)

    def codes(self, hidden, n_threads):
        """Codes of activations, (n, n_tables) int32."""
        return self.hasher.codes(hidden, n_threads=n_threads)

    def codes_of(self, ids):
        """Codes of classes as they are in the tables; -1, which finds nothing, for ids of -1."""
        codes = self.tables.codes[ids].astype(np.int32)
        codes[ids < 0] = -1
        return codes

    def pool_hits(self, codes, left_out, *, salt):
        """Classes in the buckets of these codes, without those in `left_out`.

        Each is there once, for the row that finds it first. Returns (starts, pool): row i has
        the ids pool[starts[i]:starts[i + 1]].
        """
        if self._seen is None:
            self._seen = np.zeros(-(-self.n_rows // 8), dtype=np.uint8)
        most = min(self.n_rows, len(codes) * self.hasher.n_tables * self.bucket_cap)
        pool, starts = np.empty(most + 1, dtype=np.int32), np.empty(len(codes) + 1, dtype=np.intp)
        _candidates.pool_hits(
            codes, self.tables.starts, self.tables.ids, self.bucket_cap,
            salt, left_out, self._seen, pool, starts,
        )  # fmt: skip
        return starts, pool

    def go_on(self, n_steps):
        """Take the period that there is after so many steps."""
        while n_steps >= round(self.period):
            n_steps -= round(self.period)
            self.period = min(self.period * self.rehash_growth, sys.maxsize)

    def note_step(self, ids):
        """Take note that a step has changed the rows `ids`."""
        _candidates.mark_ids(np.asarray(ids, dtype=np.int32), self._changed.view(np.uint8))
        self._batches_left -= 1
        self._batches_drawn += 1

    @property
    def _must_redraw(self):
        return self.redraw_every is not None and self._batches_drawn >= self.redraw_every

    @property
    def is_due(self):
        """Whether the period after which rows are hashed again is over."""
        return self._batches_left <= 0 or self._must_redraw

    def rehash_when_due(self, weights, n_threads):
        """Hash the changed rows again if the period is over, all with new functions.

        Returns how many have been hashed.
        """
        if not self.is_due:
            return 0
        if self._must_redraw:
            self._draw_functions()
            self._changed[:] = True
        n_hashed = self.rehash(weights, n_threads)
        self._batches_left = round(self.period)
        self.period = min(self.period * self.rehash_growth, sys.maxsize)
        return n_hashed

    @property
    def is_stale(self):
        """Whether rows have changed since they were hashed."""
        return self.tables is None or bool(self._changed.any())

    def rehash(self, weights, n_threads):
        """Hash the changed rows of weights again; returns how many there are."""
        if self.tables is None:
            size = (self.n_rows, self.hasher.n_bits, self.hasher.n_tables)
            require_bytes(
                HashTables.bytes_needed(*size),
                f"Hash tables of {self.n_rows:,} rows with n_bits={self.hasher.n_bits} and "
                f"n_tables={self.hasher.n_tables}",
            )
            self.tables = HashTables(*size)
        rows = np.flatnonzero(self._changed).astype(np.int32)
        for block in gen_batches(len(rows), ROWS_AT_ONCE) if len(rows) else ():
            codes = self.hasher.codes(weights, rows[block], n_threads)
            self.tables.codes[rows[block]] = codes
        self.tables.build(n_threads)
        self._changed[:] = False
        return len(rows)

    def __getstate__(self):
        return vars(self) | {"_seen": None}

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
        self._made = None  # (settings, tables), set at once: threads may predict side by side

    def top_k(self, hidden, output, k, settings, n_threads):
        """The k classes of largest logit among those in a row's buckets, best first.

        Rows that find fewer than k classes are scored against all. `settings` are the
        parameters of :class:`LayerTables`.
        """
        made = self._made
        if made is None or made[0] != settings:
            tables = LayerTables(len(output.bias), seed=self.seed, **settings)
            tables.rehash(output.weights, n_threads)
            self._made = made = settings, tables
        _, tables = made
        ids, scores, found = tables.tables.best(
            tables.codes(hidden, n_threads), hidden, output.weights, output.bias, k,
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
