"""LSHSampler: items drawn by hash tables with known probabilities, and sums over all items."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state

from sklsh._batches import INT32_MAX
from sklsh._hashing import MAX_BITS, make_hasher, resolved_n_bits
from sklsh._memory import require_bytes
from sklsh._sklearn import (
    Interval,
    StrOptions,
    VersionStamp,
    at_least,
    check_is_fitted,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
)
from sklsh._tables import HashTables
from sklsh.negatives._partition import Items, Sums, UnitRows, nothing_found

FAMILY = "dense_simhash"  # the one whose collision probability is known exactly
ESTIMATORS = "mixed", "importance", "head_tail", "uniform"


class LSHSampler(VersionStamp, BaseEstimator):
    """Items that share a hash bucket with a query, and how likely each was to be found.

    A softmax over very many classes needs the sum of exp(q . v + b) over all of them, its
    partition function Z. Hash tables over the vectors v retrieve those at a small angle to
    the query q, among them the largest terms, each with a probability that is known:
    that is enough to estimate Z without bias from the few items retrieved.

    Parameters
    ----------
    n_bits : int or "auto", default="auto"
        Bits K of a code, 1 to 24. "auto" takes as many as leave about `bucket_size` items
        in a bucket.

    n_tables : int, default=16
        Tables L; more find more and cost more.

    bucket_size : float, default=8
        Wanted items in a bucket, when `n_bits` is "auto".

    n_uniform : int, default=256
        Items drawn uniformly for each query, in all estimates but "importance". If that is
        half of the items or more, all are looked at and these estimates are exact.

    random_state : int, RandomState instance or None, default=None
        Draws the hash functions, and seeds the uniform draws.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. Results do not depend on it.

    Attributes
    ----------
    n_bits_ : int
        Bits of a code in use.

    n_items_ : int
        Number of items.

    n_features_in_ : int
        Length of the vectors.

    bucket_load_ : float
        Mean number of items in a bucket that holds any.

    nbytes : int
        Bytes of the items and of the tables.

    See Also
    --------
    sklsh.lsh.LSHIndex : The nearest items, ranked.

    Notes
    -----
    Hash functions are signs of independent Gaussian projections. Two vectors at angle t
    agree on one with probability c = 1 - t / pi, so that a query finds an item with
    probability ::

        p = 1 - (1 - c**K)**L

    over the draw of the hash functions, which `fit` makes. Buckets are kept whole; a cap on
    what is read of them would lower p. One draw serves all queries until the next `fit`:
    errors at near queries go together, and do not average out over repeated calls.

    What is retrieved depends on angles alone, while the terms of Z also depend on the
    lengths of the vectors and on the offset.

    References
    ----------
    R. Spring and A. Shrivastava, "A new unbiased and efficient class of LSH-based samplers
    and estimators for partition function computation in log-linear models", 2017.
    arXiv:1703.05160

    S. Daghaghi, T. Medini, N. Meisburger, B. Chen, M. Zhao and A. Shrivastava, "A tale of
    two efficient and informative negative sampling distributions", 2021. arXiv:2012.15843

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.negatives import LSHSampler
    >>> V = np.random.RandomState(0).normal(size=(5000, 32))
    >>> sampler = LSHSampler(n_uniform=500, random_state=0).fit(V)
    >>> ids, probability = sampler.sample(V[7])
    >>> bool(probability[ids == 7] == 1)
    True
    >>> Q = V[:4] / 4
    >>> exact = sampler.log_partition(Q)
    >>> bool(np.abs(sampler.estimate_partition(Q) - exact).max() < 0.3)
    True
    """

    _parameter_constraints = {
        "n_bits": [StrOptions({"auto"}), Interval(Integral, 1, MAX_BITS, closed="both")],
        "n_tables": [at_least(1)],
        "bucket_size": [Interval(Real, 0, None, closed="neither")],
        "n_uniform": [at_least(1)],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_bits="auto",
        *,
        n_tables=16,
        bucket_size=8,
        n_uniform=256,
        random_state=None,
        n_jobs=None,
    ):
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.bucket_size = bucket_size
        self.n_uniform = n_uniform
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, vectors, offset=None):
        """Draw hash functions and hash the items into tables.

        Parameters
        ----------
        vectors : {array-like, sparse matrix} of shape (n_items, n_features)
            Items, such as the output weights of a classifier; kept as dense float32 rows.

        offset : array-like of shape (n_items,), default=None
            Added to the product of an item with any query, as biases are; None means 0.

        Returns
        -------
        self : LSHSampler
            Fitted sampler.

        Raises
        ------
        MemoryError
            If dense rows and tables would not fit; says how many bytes they take.
        """
        with unchanged_on_error(self):
            return self._fit(vectors, offset)

    def _fit(self, vectors, offset):
        vectors = checked_rows(vectors, "vectors")
        n, width = vectors.shape
        offset = checked_offset(offset, n)
        n_bits = resolved_n_bits(self.n_bits, n, self.bucket_size, FAMILY)
        require_bytes(
            Items.bytes_needed(n, width) + HashTables.bytes_needed(n, n_bits, self.n_tables),
            f"A sampler of {n:,} vectors of {width:,} features",
        )
        random_state, n_threads = check_random_state(self.random_state), self._n_threads
        self.n_bits_, self.n_items_, self.n_features_in_ = n_bits, n, width
        self._hasher = make_hasher(FAMILY, width, n_bits, self.n_tables, random_state)
        self._seed = int(random_state.randint(1 << 31))
        self._items = Items(vectors, offset)
        self._tables = HashTables(n, n_bits, self.n_tables)
        self._tables.rebuild(
            self._hasher.codes(self._items.directions, n_threads=n_threads), n_threads=n_threads
        )
        return self

    def sample(self, q):
        """Items that share a bucket with one query, and how likely each was to.

        Parameters
        ----------
        q : array-like of shape (n_features,)
            The query. One of zeros finds nothing.

        Returns
        -------
        ids : ndarray of shape (n_found,), int32
            Distinct items, in increasing order. Zero vectors are never among them.

        probability : ndarray of shape (n_found,), float64
            Probability of each to be found, over the draw of the hash functions.
        """
        check_is_fitted(self)
        if np.ndim(q) != 1:
            raise ValueError(
                f"q must be one query of shape ({self.n_features_in_},); got {np.ndim(q)} "
                "dimensions. `candidates` takes many queries."
            )
        found = self.candidates(np.asarray(q)[None])
        return found.indices, found.data

    def candidates(self, Q):
        """Items that share a bucket with each query, and how likely each was to.

        Parameters
        ----------
        Q : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        candidates : csr_array of shape (n_queries, n_items), float64
            At each item that a query has found, the probability that it is found.

        Raises
        ------
        MemoryError
            If that would not fit; says how many bytes it takes.

        ValueError
            If the queries have found more than 2,147,483,647 items.
        """
        queries, n_threads = self._queries(Q), self._n_threads
        indptr, ids = self._retrieved(queries)
        found = f"The {len(ids):,} items found by {len(indptr) - 1:,} queries"
        require_bytes(48 * len(ids), found, "Fewer queries at a time take less.")
        if len(ids) > INT32_MAX:
            raise ValueError(f"{found} are more than {INT32_MAX:,}; ask fewer queries at a time.")
        probability = self._hasher.meeting_probability(
            self._items.cosines(queries, indptr, ids, n_threads)
        )
        shape = len(indptr) - 1, self.n_items_
        candidates = sp.csr_array((probability, ids, indptr.astype(np.int32)), shape=shape)
        candidates.sort_indices()
        return candidates

    def estimate_partition(self, Q, estimator="mixed"):
        """Estimate log Z, Z being the sum of exp(q . v + offset) over all items v.

        Parameters
        ----------
        Q : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries, such as activations of the last hidden layer.

        estimator : {"mixed", "importance", "head_tail", "uniform"}, default="mixed"
            With f the terms of Z, n items, S those retrieved, p the probability of each to be
            retrieved, and m = `n_uniform`:

            "mixed": sum of f / r over S and m items drawn uniformly from all, each counted
            once, where r = 1 - (1 - p) (1 - m / n) is the probability to be in either.

            "importance": sum of f / p over S. Zero vectors are added exactly.

            "head_tail": sum of f over S, plus n' / m times the sum of f over m items drawn
            uniformly from the n' others.

            "uniform": n / m times the sum of f over m items drawn uniformly; the
            "head_tail" of an empty S.

            Uniform draws are without replacement. The notes tell them apart.

        Returns
        -------
        log_partition : ndarray of shape (n_queries,), float64
            Logarithms of the estimates. The estimates of Z are unbiased, their logarithms
            are too low in the mean, by about half of the relative variance where that is
            small. -inf where "importance" has found nothing.

        Raises
        ------
        MemoryError
            If what a block of queries retrieves would not fit; says how many bytes it takes.

        Notes
        -----
        "mixed" and "importance" are unbiased over the draw of the hash functions, if the
        query is not zero; "mixed" is so even then. Their variance is the sum over pairs i, j
        of f_i f_j (p_ij / (p_i p_j) - 1), p_ij being the probability to have both, p_ii = p_i,
        and r in place of p for "mixed". It is large where a large term is rarely found: by
        "importance" with no limit, while "mixed" gives no term a weight above n / m.

        "head_tail" and "uniform" are unbiased whatever the tables hold, be they out of date.
        Their variance, given S, is n' (n' - m) R / m, where R is the variance of f over the
        n' items, of divisor n' - 1. That is large where S has missed a large term, which
        then counts n' / m times if it is drawn.

        None is the best everywhere. On a trained model of 20,000 classes and on random vectors
        "importance" and "mixed" have two to several times less variance than the others at the
        same cost. On a model of 131,072 classes and fewer training rows "importance" is of no use,
        and uniform draws are mostly nearer to log Z than "mixed", with more variance (README).

        Hashing a query takes O(K L n_features), and each item looked at O(n_features), at
        an address of its own. `log_partition` reads all items in order, for many queries
        at once: per item it is many times cheaper.
        """
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator must be one of {ESTIMATORS}; got {estimator!r}.")
        check_is_fitted(self)
        self._validate_params()  # n_uniform may be set after fit
        if estimator != "importance" and 2 * self.n_uniform >= self.n_items_:
            return self.log_partition(Q)
        queries = self._queries(Q)
        result = np.empty(len(queries.lengths))
        for rows in self._items.blocks(len(result)):
            block = queries.part(rows)
            found = nothing_found(block) if estimator == "uniform" else self._retrieved(block)
            sums = Sums(self._items, block, found, self._n_threads)
            draws = self.n_uniform, (self._seed << 32) + rows.start
            if estimator == "importance":
                result[rows] = sums.importance(self._hasher.meeting_probability)
            elif estimator == "mixed":
                result[rows] = sums.mixed(self._hasher.meeting_probability, *draws)
            else:
                result[rows] = sums.head_tail(*draws)
        return result

    def log_partition(self, Q):
        """Log of the sum of exp(q . v + offset) over all items v, exactly.

        Parameters
        ----------
        Q : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        log_partition : ndarray of shape (n_queries,), float64
            Of products in float32, summed in float64.

        Raises
        ------
        MemoryError
            If the products of a block of queries would not fit; says how many bytes.
        """
        queries = self._queries(Q)
        return self._items.log_partition(queries, self._n_threads)

    def _queries(self, Q):
        check_is_fitted(self)
        Q = checked_rows(Q, "Q")
        if Q.shape[1] != self.n_features_in_:
            raise ValueError(
                f"Q has {Q.shape[1]} features, but the items have {self.n_features_in_}."
            )
        return UnitRows.of(Q)

    def _retrieved(self, queries):
        """Distinct items in the buckets of each query, as (indptr, ids)."""
        codes = self._hasher.codes(queries.directions, n_threads=self._n_threads)
        return self._tables.union(codes, n_threads=self._n_threads)

    @property
    def bucket_load_(self):
        """Mean number of items in a bucket that holds any."""
        check_is_fitted(self)
        return self._tables.mean_load

    @property
    def nbytes(self):
        """Bytes of the items and of the tables."""
        check_is_fitted(self)
        return self._items.nbytes + self._tables.nbytes

    @property
    def _n_threads(self):
        return effective_n_threads(self.n_jobs)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_tables")


def checked_rows(X, name):
    """Matrix of finite float32; `name` is what errors call it."""
    return check_array(X, accept_sparse="csr", dtype=np.float32, input_name=name)


def checked_offset(offset, n_items):
    """One finite number for each item, in float64."""
    if offset is None:
        return np.zeros(n_items)
    if (shape := np.shape(offset)) != (n_items,):
        raise ValueError(
            f"offset must have shape ({n_items},), one number for each vector; got {shape}."
        )
    return check_array(offset, ensure_2d=False, dtype=np.float64, input_name="offset")
