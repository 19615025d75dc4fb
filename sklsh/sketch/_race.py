"""RACE: sums of a kernel over a stream, in memory that does not depend on the stream."""

import copy
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from sklsh._hashing import MAX_BITS
from sklsh._memory import require_bytes
from sklsh._sklearn import (
    Interval,
    StrOptions,
    at_least,
    effective_n_threads,
    validate_parameter_constraints,
)
from sklsh.sketch._checks import (
    LARGEST,
    check_alike,
    check_width,
    checked_factor,
    checked_vectors,
    checked_weights,
    like_values,
)
from sklsh.sketch._counters import Counters
from sklsh.sketch._families import (
    codes_in_blocks,
    make_race_hasher,
    sign_probability,
    step_probability,
)
from sklsh.sketch._linear import LinearSketch

FAMILIES = ("dense_simhash", "simhash", "l2")
DRAWN_ALIKE = (
    "n_features", "n_rows", "width", "n_bits", "hash_family", "bandwidth", "n_columns", "seed",
)  # fmt: skip


class RACE(LinearSketch):
    """Sums of a kernel over weighted vectors, estimated from rows of counters.

    Each of `n_rows` rows has `width` counters and a locality-sensitive code of its own, by
    which a vector has one counter. `add` adds the vector's weight there; `query` averages a
    vector's counters over the rows. The mean over the draw of the codes is the sum of
    weight times k over all vectors added, where the kernel k is the probability that two
    vectors share a code. The counters are linear in the stream: sketches drawn alike add up
    to the sketch of both streams, and what was added can be taken out.

    Parameters
    ----------
    n_features : int
        Length of the vectors.

    n_rows : int, default=50
        Rows of counters; the error falls with the square root of their number.

    width : int, default=2**12
        Counters in a row, a power of two, 2 or more.

    n_bits : int, default=8
        Hash functions in a code, 1 to 24: signs, or steps for "l2". More make the kernel
        narrower.

    hash_family : {"dense_simhash", "simhash", "l2"}, default="dense_simhash"
        "dense_simhash": signs of independent Gaussian projections; the kernel is
        (1 - angle / pi)**n_bits. "simhash": the same by fast rotations, which follow this
        law nearly; see :class:`sklsh.lsh.SimHash`. "l2": in which step of width
        `bandwidth` Gaussian projections are; the kernel falls with the Euclidean distance.

    bandwidth : float, default=1.0
        Width of a step, in the unit of the features; only for "l2".

    n_columns : int, default=1
        Numbers in a weight, one sum for each.

    random_state : int, RandomState instance or None, default=None
        Draws the hash functions. Sketches to be combined need the same integer.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. Results do not depend on it.

    Attributes
    ----------
    cells : ndarray of shape (n_rows, width, n_columns), float64
        The counters, no copy of them.

    totals : ndarray of shape (n_columns,), float64
        Sums of all weights that are in the counters.

    hashed : bool
        Whether codes share counters by chance: always for "l2", else if 2**n_bits > width.

    seed : int
        What the hash functions were drawn from.

    nbytes : int
        Bytes of the counters; hash functions come on top.

    Raises
    ------
    MemoryError
        If counters or hash functions would not fit; says how many bytes they take.

    See Also
    --------
    NadarayaWatsonSketch : Regression by two such sums.
    CountSketch : Totals by key.

    Notes
    -----
    For "l2", two vectors at distance c are in the same step of width w with probability
    1 - 2 Phi(-w / c) - 2 c / (sqrt(2 pi) w) (1 - exp(-w**2 / (2 c**2))), Phi being the normal
    distribution function [2]_. The kernel is its n_bits-th power. `kernel` has the formulas.

    Where codes share counters, as `hashed` says, each counter also has its share of what
    has other codes, total / width on average. `query` takes it out:
    (v - total / width) / (1 - 1 / width), which is unbiased and can be negative.

    Without that correction the standard deviation of one row is at most s = sum_i abs(w_i)
    sqrt(k_i) [1]_, where k_i is the kernel, or k_i + (1 - k_i) / width if `hashed`. Rows are
    independent, but those of "simhash": the mean has at most s / sqrt(n_rows), and the median of
    means is off by more than 2 s sqrt(groups / n_rows) with probability exp(-groups / 8) at most,
    if groups divides n_rows. The bound is large where many vectors are far: a narrow kernel, of
    few near ones, is what a sketch estimates well.

    Weights may be negative: sums of both signs cancel, errors do not.
    Counters are float64: in float32 one that has reached 2**24 does not count any further,
    which a stream reaches. Sums of whole weights are exact up to 2**53.

    Under signs a zero vector has no direction and no code. It is not counted, and its
    estimate is zero. For "l2" it is a vector like others. Codes of "l2" come from float32
    projections: features far from zero, compared with the bandwidth, lose precision.

    References
    ----------
    .. [1] B. Coleman and A. Shrivastava, "Sub-linear RACE sketches for approximate kernel
       density estimation on streaming data", WWW 2020. arXiv:1912.02283
    .. [2] M. Datar, N. Immorlica, P. Indyk and V. S. Mirrokni, "Locality-sensitive hashing
       scheme based on p-stable distributions", 2004. doi:10.1145/997817.997857

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.sketch import RACE
    >>> X = np.random.RandomState(0).normal(size=(1000, 3))
    >>> sketch = RACE(3, hash_family="l2", bandwidth=2.0, n_bits=2, n_rows=500, random_state=0)
    >>> near, far = sketch.add(X).query([[0, 0, 0], [3, 0, 0]])
    >>> exact = sketch.kernel(np.linalg.norm(X, axis=1)).sum()
    >>> bool(abs(near - exact) < 0.05 * exact), bool(far < near / 2)
    (True, True)
    """

    _parameter_constraints = {
        "n_features": [at_least(1)],
        "n_rows": [at_least(1)],
        "width": [Interval(Integral, 2, 2**48, closed="both")],
        "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
        "hash_family": [StrOptions(set(FAMILIES))],
        "bandwidth": [Interval(Real, 0, LARGEST, closed="neither")],
        "n_columns": [at_least(1)],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_features,
        *,
        n_rows=50,
        width=2**12,
        n_bits=8,
        hash_family="dense_simhash",
        bandwidth=1.0,
        n_columns=1,
        random_state=None,
        n_jobs=None,
    ):
        parameters = {name: value for name, value in locals().items() if name != "self"}
        validate_parameter_constraints(self._parameter_constraints, parameters, type(self).__name__)
        check_width(width)
        effective_n_threads(n_jobs)  # or it raises
        require_bytes(
            8 * int(n_rows) * int(width) * int(n_columns),
            f"A sketch of {n_rows:,} x {width:,} counters with {n_columns:,} columns",
            "Less width or n_rows takes less.",
        )
        self.n_features, self.n_rows, self.width = int(n_features), int(n_rows), int(width)
        self.n_bits, self.hash_family, self.bandwidth = int(n_bits), hash_family, float(bandwidth)
        self.n_columns, self.n_jobs = int(n_columns), n_jobs
        self.hashed = hash_family == "l2" or 2**self.n_bits > self.width
        self.seed = int(check_random_state(random_state).randint(2**63 - 1, dtype=np.int64))
        self._hasher = make_race_hasher(
            hash_family, self.n_features, self.n_bits, self.n_rows, self.bandwidth,
            np.random.RandomState([self.seed % 2**32, self.seed >> 32]),
        )  # fmt: skip
        self._counters = Counters(self.n_rows, self.width, self.n_columns, self.hashed, self.seed)

    def add(self, X, weights=None):
        """Add vectors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, n_features)
            Vectors.

        weights : array-like of shape (n,) or (n, n_columns), default=None
            Numbers within the range of float32, of either sign; None means 1.

        Returns
        -------
        self : RACE
            The sketch, changed.
        """
        X = checked_vectors(X, self.n_features)
        return self._add(X, checked_weights(weights, X.shape[0], self.n_columns))

    def subtract(self, X, weights=None):
        """Take vectors out again, which is to add them with the opposite weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, n_features)
            Vectors.

        weights : array-like of shape (n,) or (n, n_columns), default=None
            As they were added.

        Returns
        -------
        self : RACE
            The sketch, changed.
        """
        X = checked_vectors(X, self.n_features)
        return self._add(X, -checked_weights(weights, X.shape[0], self.n_columns))

    def query(self, X, *, estimate="mean", groups=8, correct=True):
        """Estimate the sums of weight times kernel at vectors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, n_features)
            Where.

        estimate : {"mean", "median_of_means"}, default="mean"
            Of a vector's counters. "median_of_means": the median of means over groups of
            rows, whose large errors are rarer.

        groups : int, default=8
            Groups of "median_of_means"; n_rows if there are fewer rows.

        correct : bool, default=True
            Whether to take out what codes share by chance, if `hashed`.

        Returns
        -------
        sums : ndarray of shape (n,) or (n, n_columns), float64
            One-dimensional if n_columns is 1.
        """
        validate_parameter_constraints(
            {
                "estimate": [StrOptions({"mean", "median_of_means"})],
                "groups": [at_least(1)],
                "correct": ["boolean"],
            },
            {"estimate": estimate, "groups": groups, "correct": correct},
            "RACE.query",
        )
        X = checked_vectors(X, self.n_features)
        n_groups = min(int(groups), self.n_rows) if estimate == "median_of_means" else 1
        require_bytes(
            8 * X.shape[0] * self.n_columns,
            f"Estimates at {X.shape[0]:,} vectors with {self.n_columns:,} columns",
            "Fewer vectors at a time take less.",
        )
        sums = np.empty((X.shape[0], self.n_columns))
        for block, codes in codes_in_blocks(self._hasher, X, self._n_threads):
            sums[block] = self._counters.averages(codes, n_groups, correct, self._n_threads)
        return like_values(sums)

    def kernel(self, values):
        """The kernel whose sums are estimated.

        Parameters
        ----------
        values : array-like
            Distances if `hash_family` is "l2", else cosines.

        Returns
        -------
        kernel : ndarray, float64
            Probabilities to share a code, of the shape of values.
        """
        values = np.asarray(values, dtype=np.float64)
        if self.hash_family == "l2":
            if not (values >= 0).all():
                raise ValueError("values must be distances, which are not negative, for l2.")
            return step_probability(values, self.bandwidth) ** self.n_bits
        if not (abs(values) <= 1 + 1e-6).all():
            raise ValueError(f"values must be cosines, in [-1, 1], for {self.hash_family}.")
        return sign_probability(np.clip(values, -1, 1)) ** self.n_bits

    def decay(self, factor):
        """Let what was added so far count less, as in a stream that drifts. O(1).

        Parameters
        ----------
        factor : float
            In (0, 1]; all weights are multiplied by it.

        Returns
        -------
        self : RACE
            The sketch, changed.
        """
        if not 0 < checked_factor(factor) <= 1:
            raise ValueError(f"factor must be in (0, 1]; got {factor}.")
        return self.scale(factor)

    def scale(self, factor):
        """Multiply all weights, as `*=` does. O(1).

        A scale is kept beside the counters, and folded into them when it is out of range.

        Parameters
        ----------
        factor : float
            By this.

        Returns
        -------
        self : RACE
            The sketch, changed.
        """
        self._counters.multiply(checked_factor(factor))
        return self

    def clear(self):
        """Forget the stream; the hash functions stay.

        Returns
        -------
        self : RACE
            The sketch, empty.
        """
        self._counters.clear()
        return self

    def copy(self):
        """Sketch of the same stream and hash functions.

        Returns
        -------
        copy : RACE
            Shares nothing with this one that changes.
        """
        twin = copy.copy(self)
        twin._counters = self._counters.copy()
        return twin

    def __repr__(self):
        return (
            f"RACE({self.n_features}, n_rows={self.n_rows}, width={self.width}, "
            f"n_bits={self.n_bits}, hash_family={self.hash_family!r}, "
            f"bandwidth={self.bandwidth}, n_columns={self.n_columns})"
        )

    @property
    def cells(self):
        """The counters, no copy of them."""
        self._counters.fold()
        return self._counters.cells.reshape(self.n_rows, self.width, self.n_columns)

    @property
    def totals(self):
        """Sums of all weights that are in the counters."""
        return self._counters.scale * self._counters.totals

    @property
    def nbytes(self):
        """Bytes of the counters."""
        return self._counters.cells.nbytes

    @property
    def _n_threads(self):
        return effective_n_threads(self.n_jobs)

    def _add(self, X, weights):
        for block, codes in codes_in_blocks(self._hasher, X, self._n_threads):
            self._counters.add(codes, weights[block], self._n_threads)
        return self

    def _combine(self, other, operation):
        """Counters <- operation(counters, the other's)."""
        check_alike(self, other, DRAWN_ALIKE)
        self._counters.combine(other._counters, operation)
        return self
