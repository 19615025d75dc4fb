"""Scores of rows by a sketched kernel regression on those that steps have come by."""

import numpy as np
import scipy.sparse as sp

from sklsh._hashing import make_hasher
from sklsh._memory import aligned_zeros, padded
from sklsh.row_sampling._protocol import LOOK_UP, RowSampler
from sklsh.sketch._counters import Counters

NARROW = 128  # features up to which independent projections cost no more than fast rotations
WIDE = 256  # rows with more features are folded to so many before they are hashed
ROWS_AT_ONCE = 8192  # hashed together
SAMPLE = 1024  # rows that tell how features are scaled, about so many at most
TARGET_BINS = 8  # of numbers
LEAST_SPREAD = 1e-38  # the inverse of a smaller one is no float32
PRIOR = 0.1  # rows that the mean of all scores counts for, where a row has few neighbours
CODES = 2**31
BIT = 80  # multiply-adds that take as long as to put a bit of a code in its place
SCORE, LOSS, WEIGHT = 0, 1, 2  # columns of the sketch
N_SUMS = 3


class RowCodes:
    """Codes of rows that rows of like features and target share.

    Dense features are centred and scaled first, by the rows of the first call. Wide sparse
    rows are folded: each feature is added, or taken away, at one of `WIDE` places.

    Parameters
    ----------
    data : Pass
        The first rows.

    n_rows, n_bits : int
        Codes of a row, and bits of each.

    include_target : bool
        Whether rows of other targets have other codes.

    random_state : numpy.random.RandomState
        Draws the hash functions.
    """

    def __init__(self, data, *, n_rows, n_bits, include_target, random_state):
        n_features = data.X.shape[1]
        self.fold = random_fold(n_features, random_state) if n_features > WIDE else None
        self.mean = None
        if not sp.issparse(data.X):
            sample = data.X[:: -(-len(data.X) // SAMPLE)].T.astype(np.float64, order="C")
            self.mean = sample.mean(axis=1).astype(np.float32)
            spread = sample.std(axis=1)
            scale = 1 / np.where(spread > LEAST_SPREAD, spread, 1)
            self.scale = scale.astype(np.float32)
        self.width = min(n_features, WIDE)
        family = "dense_simhash" if self.width <= NARROW else "simhash"
        self.hasher = make_hasher(family, self.width, n_bits, n_rows, random_state)
        self.include_target = include_target
        self.bins = None
        if include_target:
            if data.targets.dtype.kind == "f":
                shares = np.arange(1, TARGET_BINS) / TARGET_BINS
                self.bins = np.unique(np.quantile(data.targets, shares))
            self.salt_seed = int(random_state.randint(CODES - 1))
            self.salts = np.empty(0, dtype=np.int32)

    def of(self, data, rows):
        """Codes of the rows with these numbers, (n, n_rows) int32; -1 for those of zeros."""
        codes = np.empty((len(rows), self.hasher.n_tables), dtype=np.int32)
        vectors = aligned_zeros((min(len(rows), ROWS_AT_ONCE), padded(self.width)))
        for first in range(0, len(rows), ROWS_AT_ONCE):
            block = slice(first, first + ROWS_AT_ONCE)
            part = rows[block]
            dense = vectors[: len(part)]
            self._vectors(data.X[part], dense[:, : self.width])
            codes[block] = self.hasher.codes(dense, n_threads=data.n_threads)
        if self.include_target:
            self._salt(codes, data.targets[rows])
        return codes

    def multiply_adds(self, data):
        """Of hashing a row, on average; to fold it takes a look-up for each value."""
        folding = 0 if self.fold is None else LOOK_UP * data.values_per_row
        return folding + self.hasher.n_tables * self.hasher.n_bits * (self.width + BIT)

    def _vectors(self, X, out):
        if self.mean is not None:
            X = ((X.toarray() if sp.issparse(X) else X) - self.mean) * self.scale
        if self.fold is not None:
            X = X @ self.fold
        out[...] = X.toarray() if sp.issparse(X) else X

    def _salt(self, codes, targets):
        groups = targets if self.bins is None else np.searchsorted(self.bins, targets)
        n_groups = groups.max() + 1
        if len(self.salts) < n_groups:
            drawn = np.random.default_rng(self.salt_seed).integers(CODES, size=n_groups)
            self.salts = drawn.astype(np.int32)
        has_none = codes[:, 0] < 0
        codes ^= self.salts[groups][:, None]
        codes[has_none] = -1


def random_fold(n_features, random_state):
    """One place and one sign for each feature, (n_features, WIDE) CSR."""
    places = random_state.randint(WIDE, size=n_features).astype(np.int32)
    signs = 2 * random_state.randint(0, 2, size=n_features).astype(np.float32) - 1
    indptr = np.arange(n_features + 1)
    return sp.csr_array((signs, places, indptr), shape=(n_features, WIDE))


class Kernel(RowSampler):
    """A kernel regression of scores on rows, from sums in a sketch.

    The score of a row is the mean of those of rows with the same code, in `n_rows` sets of
    codes, of which older ones count less. It takes a few look-ups, whatever the model, and
    there is one for rows that no step has come by.

    Parameters
    ----------
    n_rows : int
        Codes of a row.

    n_bits : int
        Bits of a code.

    n_buckets : int
        Counters for each code.

    include_target : bool
        Whether rows of other targets have other codes.

    decay : float
        What all counts are multiplied by with each batch.

    random_state : numpy.random.RandomState
        Draws the hash functions.

    References
    ----------
    S. Daghaghi, B. Coleman, B. Geordie and A. Shrivastava, "Adaptive sampling for deep learning
    via efficient nonparametric proxies", 2023. arXiv:2311.13583
    """

    def __init__(self, *, n_rows, n_bits, n_buckets, include_target, decay, random_state):
        self.hashing = {"n_rows": n_rows, "n_bits": n_bits, "include_target": include_target}
        self.decay = decay
        self.random_state = random_state
        self.counters = Counters(
            n_rows, n_buckets, N_SUMS, True, int(random_state.randint(CODES - 1))
        )
        self.codes = None

    def begin(self, data):
        """Turn to other rows; what was learnt of earlier ones tells of these as well."""
        super().begin(data)
        if self.codes is None:
            self.codes = RowCodes(data, random_state=self.random_state, **self.hashing)
        self._kept, self._last = None, (None, None)

    def end(self):
        """Let go of the rows and of their codes."""
        super().end()
        self._kept, self._last = None, (None, None)

    def __getstate__(self):
        return super().__getstate__() | {"_kept": None, "_last": (None, None)}

    def put_together(self, others, shares):
        """Average the sums of sketches with the same hash functions."""
        self.counters.clear()
        for other, share in zip(others, shares, strict=True):
            theirs = other.counters.copy()
            theirs.multiply(share)
            self.counters.combine(theirs, np.add)

    def scores(self, rows):
        """Regression of scores at the rows."""
        return self._regression(SCORE, self._codes_of(rows), self._data.n_threads)

    def losses(self, data, rows):
        """Regression of losses at rows of any `Pass`; NaN while nothing is known."""
        losses = self._regression(LOSS, self.codes.of(data, rows), data.n_threads)
        return np.full(len(rows), np.nan) if losses is None else losses

    def _regression(self, column, codes, n_threads):
        totals = self.counters.scale * self.counters.totals
        if totals[WEIGHT] == 0:
            return None
        sums = self.counters.averages(codes, 1, False, n_threads)
        mean = totals[column] / totals[WEIGHT]
        return (sums[:, column] + PRIOR * mean) / (sums[:, WEIGHT] + PRIOR)

    def note(self, rows, observed, batch_size):
        """Add the rows to the sums."""
        batch = np.arange(len(rows)) // batch_size
        weight = self.decay ** (batch[-1] - batch)
        sums = [weight * observed.scores, weight * observed.losses, weight]
        self.counters.multiply(self.decay ** (batch[-1] + 1.0))
        self.counters.add(self._codes_of(rows), np.column_stack(sums), self._data.n_threads)

    def _codes_of(self, rows):
        """Codes; those of all rows are kept once as many as there are have been asked for."""
        n = self._data.X.shape[0]
        if self._kept is None and len(rows) == n:
            self._kept = self.codes.of(self._data, np.arange(n))
        if self._kept is not None:
            return self._kept[rows]
        if rows is not self._last[0]:  # once they have been asked for, they are noted
            self._last = rows, self.codes.of(self._data, rows)
        return self._last[1]

    @property
    def nbytes(self):
        """Bytes of the sketch."""
        return self.counters.cells.nbytes

    @staticmethod
    def bytes_needed(n, n_rows, n_buckets):
        """Bytes of the sketch, and of the codes of n rows."""
        return 8 * N_SUMS * n_rows * n_buckets + 4 * n_rows * n

    def multiply_adds(self, step):
        """A look-up for each code."""
        return LOOK_UP * self.hashing["n_rows"]

    def learning_multiply_adds(self):
        """Two look-ups for each code, of what was expected and to add to it, and to hash."""
        look_ups = 2 * LOOK_UP * self.hashing["n_rows"]
        return look_ups + self.codes.multiply_adds(self._data)
