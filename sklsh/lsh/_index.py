"""LSHIndex: approximate nearest neighbours by hash tables."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sklsh._hashing import HASH_FAMILIES, MAX_BITS, check_n_bits, make_hasher, resolved_n_bits
from sklsh._memory import padded, require_bytes, writable
from sklsh._sklearn import (
    Interval,
    StrOptions,
    VersionStamp,
    at_least,
    check_is_fitted,
    check_k,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh._tables import HashTables
from sklsh.lsh._rows import dense_rows, scale_to_unit


class LSHIndex(VersionStamp, BaseEstimator):
    """Approximate nearest neighbours by hash tables, re-ranked exactly.

    The items that share a bucket with the query in any table are its candidates; `query`
    orders them by their exact similarity. An item whose code agrees with the query's with
    probability p is a candidate with probability 1 - (1 - p)**n_tables, as far as tables
    are independent.

    Parameters
    ----------
    metric : {"cosine", "dot"}, default="cosine"
        What candidates are ranked by. Which items are candidates is up to `hash_family`.

    n_bits : int or "auto", default="auto"
        Bits of a code, 1 to 24; a multiple of 3 for "dwta". "auto" takes as many as leave
        about `bucket_size` items in a bucket.

    n_tables : int, default=16
        Tables; more find more and cost more.

    bucket_size : float, default=8
        Wanted items in a bucket, when `n_bits` is "auto".

    hash_family : {"simhash", "dense_simhash", "dwta"}, default="simhash"
        Hash functions. "simhash": signs of projections by fast rotations, which find what
        lies at a small angle. "dense_simhash": the same with independent Gaussian
        projections, which cost more and follow the law above exactly. "dwta": which
        values are largest; vectors with the same large values are found.

    random_state : int, RandomState instance or None, default=None
        Draws the hash functions.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. Results do not depend on it.

    Attributes
    ----------
    n_bits_ : int
        Bits of a code in use.

    bucket_load_ : float
        Mean number of items in a bucket that holds any.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    nbytes : int
        Bytes of the items and of the tables.

    See Also
    --------
    SimHash : The codes of "simhash" and "dense_simhash".
    DWTA : The codes of "dwta".

    Notes
    -----
    Two vectors at angle t share a code with probability p = (1 - t / pi)**n_bits under
    "dense_simhash". Under "simhash" projections and so tables are not independent. For
    random pairs of vectors at 15 to 90 degrees, n_bits 4, 8 and 12 and 1 to 64 tables,
    retrieval departs from the law by less than 0.06 with 64 features, 0.03 with 128 and
    0.015 with 512, and by more with fewer features or almost empty vectors; the notes of
    :class:`SimHash` have the table.

    References
    ----------
    P. Indyk and R. Motwani, "Approximate nearest neighbors: towards removing the curse of
    dimensionality", 1998. doi:10.1145/276698.276876

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.lsh import LSHIndex
    >>> X = np.random.RandomState(0).normal(size=(1000, 32))
    >>> index = LSHIndex(random_state=0).fit(X)
    >>> ids, cosines = index.query(X[:3], k=1)
    >>> ids.ravel().tolist()
    [0, 1, 2]
    """

    _parameter_constraints = {
        "metric": [StrOptions({"cosine", "dot"})],
        "n_bits": [StrOptions({"auto"}), Interval(Integral, 1, MAX_BITS, closed="both")],
        "n_tables": [at_least(1)],
        "bucket_size": [Interval(Real, 0, None, closed="neither")],
        "hash_family": [StrOptions(set(HASH_FAMILIES))],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        metric="cosine",
        *,
        n_bits="auto",
        n_tables=16,
        bucket_size=8,
        hash_family="simhash",
        random_state=None,
        n_jobs=None,
    ):
        self.metric = metric
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.bucket_size = bucket_size
        self.hash_family = hash_family
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Hash the rows of X into tables.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Items; kept as dense float32 rows for re-ranking.

        y : None
            Ignored.

        Returns
        -------
        self : LSHIndex
            Fitted index.

        Raises
        ------
        MemoryError
            If dense rows and tables would not fit; says how many bytes they take.
        """
        with unchanged_on_error(self):
            return self._fit(X)

    def _fit(self, X):
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32)
        n, width = X.shape
        check_n_bits(self.n_bits, self.hash_family)
        n_bits = resolved_n_bits(self.n_bits, n, self.bucket_size, self.hash_family)
        require_bytes(
            4 * n * padded(width) + HashTables.bytes_needed(n, n_bits, self.n_tables),
            f"The index of {n:,} rows of {width:,} features",
        )
        self.n_bits_ = n_bits
        self._hasher = make_hasher(
            self.hash_family, width, n_bits, self.n_tables, check_random_state(self.random_state)
        )
        self._metric = self.metric
        self._vectors = self._prepared(X)
        self._tables = HashTables(n, n_bits, self.n_tables)
        self._tables.rebuild(self._codes(self._vectors), n_threads=self._n_threads)
        return self

    def update(self, rows, X):
        """Replace items and hash them again.

        Parameters
        ----------
        rows : array-like of shape (n_rows,), int
            Which items.

        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            What they become.

        Returns
        -------
        self : LSHIndex
            The index, changed.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        rows = np.asarray(rows)
        n = len(self._vectors)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) != X.shape[0]:
            raise ValueError(
                f"rows must be a one-dimensional array of {X.shape[0]} integers, one for "
                f"each row of X; got shape {rows.shape} and dtype {rows.dtype}."
            )
        if len(rows) and not (0 <= rows.min() and rows.max() < n):
            raise ValueError(f"rows must lie in [0, {n}); got {rows.min()} to {rows.max()}.")
        replacement, n_threads = self._prepared(X), self._n_threads
        self._vectors = writable(self._vectors)
        self._vectors[rows] = replacement
        codes = self._hasher.codes(self._vectors, rows.astype(np.int32), n_threads)
        self._tables.rebuild(codes, rows, n_threads=n_threads)
        return self

    def query(self, X, k=10):
        """Nearest items found for each row of X, best first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries.

        k : int, default=10
            Items wanted for each.

        Returns
        -------
        ids : ndarray of shape (n_queries, k), int32
            Items; -1 where a query has fewer than k candidates.

        scores : ndarray of shape (n_queries, k), float32
            Their similarity; -inf where the id is -1.
        """
        queries, codes = self._hashed_queries(X)
        check_k(k, len(self._vectors), "items")
        require_bytes(
            8 * len(queries) * k,
            f"The {k:,} nearest items of {len(queries):,} queries",
            "Fewer queries at a time, or a smaller k, take less.",
        )
        no_offset = np.zeros(len(self._vectors), dtype=np.float32)
        ids, scores, found = self._tables.best(
            codes, queries, self._vectors, no_offset, k, n_threads=self._n_threads
        )
        missing = np.arange(k) >= found[:, None]
        ids[missing] = -1
        scores[missing] = -np.inf
        return ids, scores

    def candidates(self, X):
        """All items that share a bucket with each row of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        candidates : csr_array of shape (n_queries, n_items), bool
            True at each candidate of a query.
        """
        queries, codes = self._hashed_queries(X)
        indptr, ids = self._tables.union(codes, n_threads=self._n_threads)
        shape = (len(queries), len(self._vectors))
        found = sp.csr_array((np.ones(len(ids), dtype=bool), ids, indptr), shape=shape)
        found.sort_indices()
        return found

    @property
    def bucket_load_(self):
        """Mean number of items in a bucket that holds any."""
        check_is_fitted(self)
        return self._tables.mean_load

    @property
    def nbytes(self):
        """Bytes of the items and of the tables."""
        check_is_fitted(self)
        return self._vectors.nbytes + self._tables.nbytes

    def _hashed_queries(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        queries = self._prepared(X)
        return queries, self._codes(queries)

    def _prepared(self, X):
        rows = dense_rows(X)
        return scale_to_unit(rows) if self._metric == "cosine" else rows

    def _codes(self, rows):
        return self._hasher.codes(rows, n_threads=self._n_threads)

    @property
    def _n_threads(self):
        return effective_n_threads(self.n_jobs)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_tables")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
