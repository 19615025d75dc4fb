"""Locality-sensitive hashing: codes that near vectors share, and an index made of them."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from sklsh._kernels import _simhash, _tables
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

MAX_BITS = 24
# Below this width a rotation has too few coordinates to mix into Gaussian directions.
MIN_ROTATION = 64
NO_CAP = np.iinfo(np.int32).max


def auto_n_bits(n_items, bucket_size):
    """Bits of code that leave about `bucket_size` of `n_items` in a bucket."""
    return int(np.clip(np.round(np.log2(max(n_items, 1) / bucket_size)), 1, MAX_BITS))


class SimHasher:
    """Hash functions of SimHash for vectors of one width, drawn once.

    Parameters
    ----------
    width : int
        Length of the vectors.

    n_bits, n_tables : int
        Bits of a code, and codes of a vector.

    random_state : numpy.random.RandomState
        Source of the rotations' signs.
    """

    def __init__(self, width, n_bits, n_tables, random_state):
        rotation = max(MIN_ROTATION, 1 << int(np.ceil(np.log2(max(width, 1)))))
        n_rotations = -(-n_bits * n_tables // rotation)
        flips = random_state.randint(0, 2, size=(n_rotations, 2, rotation))
        self.signs = (2 * flips - 1).astype(np.float32)
        # Uneven magnitudes: the projections of a sparse vector would else often be zero.
        self.signs[:, 1] *= random_state.uniform(0.75, 1.25, size=(n_rotations, rotation))
        self.width = width
        self.n_bits = n_bits
        self.n_tables = n_tables

    def codes(self, vectors, rows=None, n_threads=1):
        """Codes of (some rows of) `vectors`: (n, n_tables) int32, -1 for zero vectors."""
        if rows is None:
            rows = np.arange(len(vectors), dtype=np.int32)
        codes = np.empty((len(rows), self.n_tables), dtype=np.int32)
        _simhash.simhash(vectors, self.width, rows, self.signs, self.n_bits, codes, n_threads)
        return codes


class HashTables:
    """Flat hash tables over items 0 .. n_items - 1, rebuilt in bulk by counting sort.

    Parameters
    ----------
    n_items, n_bits, n_tables : int
        Each of the tables has 2**n_bits buckets and holds each item once.
    """

    def __init__(self, n_items, n_bits, n_tables):
        self.n_bits = n_bits
        self.codes = np.full((n_items, n_tables), -1, dtype=np.int32)
        self._allocate()

    def _allocate(self):
        n_items, n_tables = self.codes.shape
        self.starts = np.zeros((n_tables, (1 << self.n_bits) + 1), dtype=np.int32)
        self.ids = np.zeros((n_tables, n_items), dtype=np.int32)

    def __getstate__(self):
        return {"n_bits": self.n_bits, "codes": self.codes}  # the tables follow from them

    def __setstate__(self, state):
        self.n_bits = state["n_bits"]
        self.codes = writable(state["codes"])
        self._allocate()
        _tables.build_tables(self.codes, self.starts, self.ids, 1)

    @staticmethod
    def bytes_needed(n_items, n_bits, n_tables):
        """Bytes that tables of this size take."""
        return 4 * n_tables * (2 * n_items + (1 << n_bits) + 1)

    def rebuild(self, codes, rows=None, n_threads=1):
        """Take over new codes, of all items or of some, and fill the tables again."""
        if rows is None:
            self.codes[...] = codes
        else:
            self.codes[rows] = codes
        _tables.build_tables(self.codes, self.starts, self.ids, n_threads)

    def union(self, codes, n_threads=1):
        """Distinct items that share a bucket with each query, as (indptr, ids)."""
        hits = self._count(codes, NO_CAP)
        place = np.concatenate([[0], np.cumsum(hits)])
        out = np.empty(place[-1], dtype=np.int32)
        found = np.empty(len(codes), dtype=np.intp)
        _tables.union_of_buckets(
            codes, self.starts, self.ids, hits, place[:-1], out, found, n_threads
        )
        keep = np.arange(len(out)) - np.repeat(place[:-1], hits) < np.repeat(found, hits)
        return np.concatenate([[0], np.cumsum(found)]), out[keep]

    def best(self, codes, queries, vectors, offset, k, bucket_cap=NO_CAP, salt=0, n_threads=1):
        """Items in each query's buckets, best `query . vector + offset` first.

        Returns (ids, scores, found): of the k places of row i, found[i] are filled.
        """
        hits = self._count(codes, bucket_cap)
        ids = np.empty((len(codes), k), dtype=np.int32)
        scores = np.empty((len(codes), k), dtype=np.float32)
        found = np.empty(len(codes), dtype=np.intp)
        _tables.rank_hits(
            codes, self.starts, self.ids, bucket_cap, salt, hits, queries, vectors, offset,
            ids, scores, found, n_threads,
        )  # fmt: skip
        return ids, scores, found

    def _count(self, codes, bucket_cap):
        hits = np.empty(len(codes), dtype=np.intp)
        _tables.count_hits(codes, self.starts, bucket_cap, hits)
        return hits

    @property
    def mean_load(self):
        """Items in a bucket, averaged over the buckets that hold any; 0 without items."""
        loads = np.diff(self.starts, axis=1)
        occupied = np.count_nonzero(loads)
        return float(loads.sum() / occupied) if occupied else 0.0

    @property
    def nbytes(self):
        """Bytes of the tables and of the stored codes."""
        return self.codes.nbytes + self.starts.nbytes + self.ids.nbytes


def dense_rows(X):
    """Copy of X as aligned float32 rows padded to whole cache lines."""
    n, width = X.shape
    rows = aligned_zeros((n, padded(width)))
    if sp.issparse(X):
        rows[:, :width] = X.toarray()
    else:
        rows[:, :width] = X
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
    >>> 0 <= codes.min() and codes.max() < 2**10
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
        Hash functions.

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
        "bucket_size": [Interval(Real, 0, None, closed="neither"), at_least(1)],
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
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
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
