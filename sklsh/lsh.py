"""Locality-sensitive hashing: codes that near vectors share, and an index made of them."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state, gen_batches

from sklsh._hashing import MAX_BITS, HashTables, SimHasher, auto_n_bits
from sklsh._memory import aligned_zeros, padded, require_bytes, writable
from sklsh._sklearn import (
    Interval,
    StrOptions,
    at_least,
    check_is_fitted,
    check_k,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)

__all__ = ["LSHIndex", "SimHash"]


def dense_rows(X):
    """Copy of X as aligned float32 rows padded to whole cache lines."""
    n, width = X.shape
    require_bytes(4 * n * padded(width), f"{n:,} dense rows of {width:,} features")
    rows = aligned_zeros((n, padded(width)))
    for block in gen_batches(n, 1024) if n else ():
        part = X[block]
        rows[block, :width] = part.toarray() if sp.issparse(part) else part
    return rows


class SimHash(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Codes of random-projection signs, which vectors at a small angle share.

    Each bit is the sign of a random projection; two vectors at angle t agree on a bit with
    probability 1 - t / pi, and on a code of K bits with about its K-th power. Projections
    come from randomised Walsh-Hadamard rotations, which cost O(d log d) where dense ones
    cost O(d^2).

    Parameters
    ----------
    n_bits : int, default=8
        Bits of a code, 1 to 24.

    n_tables : int, default=8
        Codes of each vector.

    random_state : int, RandomState instance or None, default=None
        Draws the rotations.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. The codes do not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had any.

    See Also
    --------
    LSHIndex : Finds near vectors by their codes.

    References
    ----------
    M. S. Charikar, "Similarity estimation techniques from rounding algorithms", 2002.
    doi:10.1145/509907.509965

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.lsh import SimHash
    >>> X = np.random.RandomState(0).normal(size=(100, 64))
    >>> codes = SimHash(n_bits=10, n_tables=4, random_state=0).fit_transform(X)
    >>> codes.shape
    (100, 4)
    >>> bool(0 <= codes.min() and codes.max() < 2**10)
    True
    """

    _parameter_constraints = {
        "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
        "n_tables": [at_least(1)],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(self, n_bits=8, *, n_tables=8, random_state=None, n_jobs=None):
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Draw hash functions for vectors as wide as those of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Only its width matters.

        y : None
            Ignored.

        Returns
        -------
        self : SimHash
            Fitted transformer.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32)
        self._hasher = SimHasher(
            X.shape[1], self.n_bits, self.n_tables, check_random_state(self.random_state)
        )
        self._n_features_out = self.n_tables
        return self

    def transform(self, X):
        """Codes of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Vectors; sparse ones are made dense.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_tables), int32
            In [0, 2**n_bits); -1 for zero vectors, which have no direction.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return self._hasher.codes(dense_rows(X), n_threads=effective_n_threads(self.n_jobs))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_hasher")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class LSHIndex(BaseEstimator):
    """Approximate nearest neighbours by hash tables, re-ranked exactly.

    The items that share a bucket with the query in any table are its candidates; `query`
    orders them by their exact similarity. An item at similarity that makes one code agree
    with probability p is a candidate with probability about 1 - (1 - p)^n_tables.

    Parameters
    ----------
    metric : {"cosine", "dot"}, default="cosine"
        What candidates are ranked by. Retrieval itself goes by angle.

    n_bits : int or "auto", default="auto"
        Bits of a code; "auto" takes as many as leave about `bucket_size` items in a bucket.

    n_tables : int, default=16
        Tables; more find more and cost more.

    bucket_size : float, default=8
        Wanted items in a bucket, when `n_bits` is "auto".

    hash_family : {"simhash"}, default="simhash"
        Hash functions; so far there is one family.

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

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had any.

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
        "hash_family": [StrOptions({"simhash"})],
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
        n_bits = auto_n_bits(n, self.bucket_size) if self.n_bits == "auto" else self.n_bits
        require_bytes(
            4 * n * padded(width) + HashTables.bytes_needed(n, n_bits, self.n_tables),
            f"The index of {n:,} rows of {width:,} features",
        )
        self.n_bits_ = n_bits
        self._hasher = SimHasher(
            width, n_bits, self.n_tables, check_random_state(self.random_state)
        )
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
        self._vectors = writable(self._vectors)
        self._vectors[rows] = self._prepared(X)
        codes = self._hasher.codes(self._vectors, rows.astype(np.int32), self._n_threads)
        self._tables.rebuild(codes, rows, n_threads=self._n_threads)
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

    def _hashed_queries(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        queries = self._prepared(X)
        return queries, self._codes(queries)

    def _prepared(self, X):
        rows = dense_rows(X)
        if self.metric == "cosine":
            norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
            np.divide(rows, norms, out=rows, where=norms > 0)
        return rows

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
