"""LSHSampler: items drawn by hash tables with known probabilities, and sums over all items."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state, gen_batches

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
from sklsh.lsh._rows import dense_rows, scale_to_unit
from sklsh.negatives._partition import Items
from sklsh.negatives._partition_estimates import PartitionEstimates
from sklsh.negatives._retrieved_sums import RetrievedSums, UnitRows

FAMILY = "dense_simhash"  # the one whose collision probability is known exactly
ROWS_AT_ONCE = 1 << 13  # copied to be hashed


class LSHSampler(PartitionEstimates, VersionStamp, BaseEstimator):
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

    `estimate_partition` takes the largest terms exactly unless asked for what goes by the
    tables; its notes say what that is worth.

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
        self._items = Items(dense_rows(vectors), offset)
        self._tables = HashTables(n, n_bits, self.n_tables)
        for rows in gen_batches(n, ROWS_AT_ONCE):
            directions = scale_to_unit(self._items.weights[rows].copy())
            self._tables.codes[rows] = self._hasher.codes(directions, n_threads=n_threads)
        self._tables.build(n_threads)
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
        sums = self._retrieved(UnitRows.of(self._queries(Q)))
        indptr, ids = sums.found
        found = f"The {len(ids):,} items found by {len(indptr) - 1:,} queries"
        require_bytes(48 * len(ids), found, "Fewer queries at a time take less.")
        if len(ids) > INT32_MAX:
            raise ValueError(f"{found} are more than {INT32_MAX:,}; ask fewer queries at a time.")
        shape = len(indptr) - 1, self.n_items_
        data = sums.probabilities(), ids, indptr.astype(np.int32)
        candidates = sp.csr_array(data, shape=shape)
        candidates.sort_indices()
        return candidates

    def _queries(self, Q):
        """Queries as dense rows, padded."""
        check_is_fitted(self)
        Q = checked_rows(Q, "Q")
        if Q.shape[1] != self.n_features_in_:
            raise ValueError(
                f"Q has {Q.shape[1]} features, but the items have {self.n_features_in_}."
            )
        return dense_rows(Q)

    def _retrieved(self, queries):
        """Distinct items in the buckets of each query, and sums over them."""
        n_threads = self._n_threads
        found = self._tables.union(
            self._hasher.codes(queries.directions, n_threads=n_threads), n_threads=n_threads
        )
        probability = self._hasher.meeting_probability
        return RetrievedSums(self._items, queries, found, probability, n_threads)

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
