"""CountSketch: totals of a stream by key, in memory that does not depend on the keys."""

import copy
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from sklsh._kernels import _count_sketch
from sklsh._memory import aligned_zeros, require_bytes, writable
from sklsh._sklearn import (
    Interval,
    StrOptions,
    at_least,
    check_k,
    effective_n_threads,
    validate_parameter_constraints,
)
from sklsh.sketch._checks import (
    check_alike,
    check_width,
    checked_factor,
    checked_keys,
    checked_values,
    like_values,
)
from sklsh.sketch._linear import LinearSketch
from sklsh.sketch._top_k import TopK, magnitudes


class CountSketch(LinearSketch):
    """Totals by key of a stream of (key, value) pairs, estimated from a fixed table of cells.

    Each of `depth` rows has `width` cells. A key has one cell and one sign in each row, drawn
    by a hash; `update` adds sign times value there, and `query` gives the median over the
    rows of sign times cell. Keys that share a cell disturb each other, with signs that
    cancel on average. The table is linear in the stream: sketches drawn alike add up to the
    sketch of both streams.

    Parameters
    ----------
    width : int, default=2**16
        Cells in a row, a power of two.

    depth : int, default=3
        Rows, 1 to 16.

    n_columns : int, default=1
        Numbers in a value; all share the key's cells and signs, one vector to a cell.

    estimate : {"median", "min"}, default="median"
        "median": the count-sketch as above. "min": the count-min sketch, without signs,
        whose estimate is the minimum over the rows; for streams whose totals are not
        negative.

    top_k : int, default=0
        Keys of largest estimate to keep track of for `heavy_hitters`; 0 for none. Where
        sketches combine, what either follows is compared anew.

    random_state : int, RandomState instance or None, default=None
        Draws the hash. Sketches to be combined need the same integer.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. Results do not depend on it.

    Attributes
    ----------
    cells : ndarray of shape (depth, width, n_columns), float32
        The table, no copy of it.

    seed : int
        What the hash was drawn from.

    nbytes : int
        Bytes of the cells and of the table of heavy hitters.

    Raises
    ------
    MemoryError
        If the sketch would not fit; says how many bytes it takes.

    See Also
    --------
    TopK : The table that follows the heavy hitters.

    Notes
    -----
    Bounds over the draw of the hash, of a key's estimate in one column, where x are the totals
    of all other keys:

    "median" is unbiased. A row alone has the variance ||x||_2^2 / width. Let the tail be x
    without its width / 8 largest magnitudes. A row is off by more than
    sqrt(8 / width) ||tail||_2 with probability 1/4 at most: one of the largest shares the cell
    with probability 1/8, and Chebyshev's inequality leaves 1/8 to the tail. The median is off
    by more only if half of the rows are: with probability 0.25, 0.16, 0.11 and 0.071 at most at
    depth 1, 3, 5 and 7, and exp(-depth / 8) at any depth.

    "min" is never below the total, as long as no total is negative. It is more than
    (e / width) ||x||_1 above it with probability exp(-depth) at most.

    Cells are float32: whole totals are exact up to 2**24 where no other key shares the cell,
    and larger ones are rounded as they grow.

    References
    ----------
    M. Charikar, K. Chen and M. Farach-Colton, "Finding frequent items in data streams", 2004.
    doi:10.1016/S0304-3975(03)00400-6

    G. Cormode and S. Muthukrishnan, "An improved data stream summary: the count-min sketch
    and its applications", 2005. doi:10.1016/j.jalgor.2003.12.001

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.sketch import CountSketch
    >>> words = np.random.RandomState(0).zipf(1.5, size=100_000)
    >>> sketch = CountSketch(2**12, top_k=3, random_state=0).update(words)
    >>> keys, counts = sketch.heavy_hitters()
    >>> keys.tolist()
    [1, 2, 3]
    >>> error = counts - [np.sum(words == key) for key in keys]
    >>> bool(abs(error).max() < 100)
    True

    Sketches drawn alike add up:

    >>> first = CountSketch(2**12, random_state=0).update(words[:30_000])
    >>> second = CountSketch(2**12, random_state=0).update(words[30_000:])
    >>> np.array_equal((first + second).cells, sketch.cells)
    True
    """

    _parameter_constraints = {
        "width": [Interval(Integral, 1, 2**48, closed="both")],
        "depth": [Interval(Integral, 1, _count_sketch.DEEPEST, closed="both")],
        "n_columns": [at_least(1)],
        "estimate": [StrOptions({"median", "min"})],
        "top_k": [at_least(0)],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        width=2**16,
        *,
        depth=3,
        n_columns=1,
        estimate="median",
        top_k=0,
        random_state=None,
        n_jobs=None,
    ):
        parameters = {name: value for name, value in locals().items() if name != "self"}
        validate_parameter_constraints(self._parameter_constraints, parameters, type(self).__name__)
        check_width(width)
        require_bytes(
            4 * int(depth) * int(width) * int(n_columns)
            + (TopK.bytes_needed(top_k, n_columns) if top_k else 0),
            f"A sketch of {depth} x {width:,} cells with {n_columns:,} columns",
            "Less width or depth takes less.",
        )
        self.width, self.depth, self.n_columns = int(width), int(depth), int(n_columns)
        self.estimate, self.top_k, self.n_jobs = estimate, int(top_k), n_jobs
        effective_n_threads(n_jobs)  # or it raises
        self.seed = int(check_random_state(random_state).randint(2**63 - 1, dtype=np.int64))
        self._cells = aligned_zeros((self.depth * self.width, self.n_columns))
        self._top = TopK(self.top_k, n_columns=self.n_columns) if self.top_k else None

    def __setstate__(self, state):
        super().__setstate__(state)
        self._cells = writable(self._cells)

    def update(self, keys, values=None):
        """Add values to the totals of keys.

        Parameters
        ----------
        keys : array-like of shape (n,), int
            In [0, 2**63); a key may come several times.

        values : array-like of shape (n,) or (n, n_columns), default=None
            Finite numbers; None counts the keys, one for each time they come.

        Returns
        -------
        self : CountSketch
            The sketch, changed.
        """
        keys = checked_keys(keys)
        if values is None:
            values = np.ones((len(keys), self.n_columns), dtype=np.float32)
        else:
            values = checked_values(values, len(keys), self.n_columns)
        _count_sketch.update(
            keys, values, self._cells, self.depth, self._signed, self.seed, self._n_threads
        )
        if self._top is not None:
            self._top._push(keys, self._query(keys))
        return self

    def query(self, keys):
        """Estimate the totals of keys.

        Parameters
        ----------
        keys : array-like of shape (n,), int
            In [0, 2**63).

        Returns
        -------
        estimates : ndarray of shape (n,) or (n, n_columns), float32
            One-dimensional if n_columns is 1.
        """
        keys = checked_keys(keys)
        require_bytes(
            4 * len(keys) * self.n_columns,
            f"Estimates of {len(keys):,} keys with {self.n_columns:,} columns",
            "Fewer keys at a time take less.",
        )
        return like_values(self._query(keys))

    def heavy_hitters(self, k=None, candidates=None):
        """Keys of largest estimate, best first.

        Without candidates these are the keys that `top_k` follows: one is held if its estimate
        was among the largest when the key was updated last. Their estimates are asked anew.

        Parameters
        ----------
        k : int, default=None
            Keys wanted; None means `top_k`, or all candidates.

        candidates : array-like of shape (n,), int, default=None
            Keys to choose from.

        Returns
        -------
        keys : ndarray of shape (n_found,), int64
            At most k, by the magnitude of the estimate or of its largest column.

        estimates : ndarray of shape (n_found,) or (n_found, n_columns), float32
            What `query` says of them.
        """
        if candidates is not None:
            keys = np.unique(checked_keys(candidates))
        elif self._top is not None:
            keys = self._top.held()[0]
            k = self.top_k if k is None else k
        else:
            raise ValueError(
                "heavy_hitters needs candidates, or a sketch that follows them from the start: "
                "CountSketch(top_k=...)."
            )
        if k is not None:
            check_k(k, *([] if candidates is not None else [self.top_k, "keys followed, top_k"]))
        estimates = self._query(keys)
        best = np.argsort(-magnitudes(estimates), kind="stable")[:k]
        return keys[best], like_values(estimates[best])

    def scale(self, factor):
        """Multiply all totals, as `*=` does.

        Parameters
        ----------
        factor : float
            By this; not negative if `estimate` is "min".

        Returns
        -------
        self : CountSketch
            The sketch, changed.
        """
        factor = checked_factor(factor)
        if factor < 0 and self.estimate == "min":
            raise ValueError(
                f'factor must not be negative if estimate is "min", which is for totals that '
                f"are not negative; got {factor}."
            )
        self._cells *= np.float32(factor)
        if self._top is not None:
            self._top.scale(factor)
        return self

    def clear(self):
        """Forget the stream; the hash stays.

        Returns
        -------
        self : CountSketch
            The sketch, empty.
        """
        self._cells.fill(0)
        if self._top is not None:
            self._top.clear()
        return self

    def copy(self):
        """Sketch of the same stream and hash.

        Returns
        -------
        copy : CountSketch
            Shares nothing with this one.
        """
        return copy.deepcopy(self)

    def __repr__(self):
        return (
            f"CountSketch({self.width}, depth={self.depth}, n_columns={self.n_columns}, "
            f"estimate={self.estimate!r}, top_k={self.top_k})"
        )

    @property
    def cells(self):
        """The table, no copy of it."""
        return self._cells.reshape(self.depth, self.width, self.n_columns)

    @property
    def nbytes(self):
        """Bytes of the cells and of the table of heavy hitters."""
        return self._cells.nbytes + (0 if self._top is None else self._top.nbytes)

    @property
    def _signed(self):
        return self.estimate == "median"

    @property
    def _n_threads(self):
        return effective_n_threads(self.n_jobs)

    def _query(self, keys):
        estimates = np.empty((len(keys), self.n_columns), dtype=np.float32)
        _count_sketch.query(
            keys, self._cells, self.depth, self._signed, self.seed, not self._signed,
            estimates, self._n_threads,
        )  # fmt: skip
        return estimates

    def _combine(self, other, operation):
        """Cells <- operation(cells, the other's); heavy hitters are found among both's."""
        check_alike(self, other)
        operation(self._cells, other._cells, out=self._cells)
        if self._top is not None:
            tops = [sketch._top for sketch in (self, other) if sketch._top is not None]
            keys = np.unique(np.concatenate([top.held()[0] for top in tops]))
            self._top.clear()._push(keys, self._query(keys))
        return self
