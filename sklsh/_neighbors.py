"""Nearest rows by cosine: through postings, by products with all rows, or by hash tables."""

import numpy as np
import scipy.sparse as sp

from sklsh._hashing import resolved_n_bits
from sklsh._kernels import _postings
from sklsh._memory import padded, require_bytes
from sklsh._tables import HashTables
from sklsh._top_k import top_k
from sklsh.lsh import LSHIndex
from sklsh.lsh._rows import canonical_csr, dense_rows, scale_to_unit

HASHED_FROM = 1 << 26  # numbers in dense X from which "auto" no longer reads them all
N_TABLES = 32  # of "lsh"
BUCKET_SIZE = 16


def finder_for(X, algorithm):
    """Class that finds neighbours among the rows of X.

    Parameters
    ----------
    X : csr_array or ndarray of shape (n_rows, n_features), float32
        Rows.

    algorithm : {"auto", "exact", "lsh"}
        "auto" is exact, but for dense X of HASHED_FROM numbers and more.
    """
    sparse = sp.issparse(X)
    if algorithm == "lsh" or (algorithm == "auto" and not sparse and X.size >= HASHED_FROM):
        return HashedRows
    return Postings if sparse else DenseRows


def require_neighbors(X, algorithm):
    """Raise MemoryError if there is no room for what finds neighbours among the rows of X."""
    n_rows, n_features = X.shape
    finder = finder_for(X, algorithm)
    if finder is Postings:
        n_bytes = 40 * X.nnz + 8 * (n_rows + n_features)  # 8 a value stay, the rest makes them
    else:
        n_bytes = 4 * n_rows * padded(n_features)
    if finder is HashedRows:
        n_bits = resolved_n_bits("auto", n_rows, BUCKET_SIZE, "simhash")
        n_bytes += HashTables.bytes_needed(n_rows, n_bits, N_TABLES)
    require_bytes(
        n_bytes,
        f"What finds neighbours among {n_rows:,} rows of {n_features:,} features",
        "Sparse X takes 40 bytes a value, dense X 4; weight=0 takes none.",
    )


class Postings:
    """Exact, for sparse rows: postings of each feature, an inverted index.

    Parameters
    ----------
    X : csr_array of shape (n_rows, n_features), float32
        Rows.

    random_state, n_jobs
        Not used.
    """

    def __init__(self, X, random_state=None, n_jobs=None):
        columns = unit_csr(X).tocsc()
        self.n_rows = X.shape[0]
        self.starts = columns.indptr.astype(np.intp)
        self.rows = columns.indices.astype(np.int32, copy=False)
        self.values = columns.data

    def nearest(self, X, k, n_threads):
        """The k rows of largest positive cosine: (ids, cosines), -1 and 0 where fewer are."""
        X = self._rare_first(unit_csr(sp.csr_array(X)))
        ids = np.empty((X.shape[0], k), dtype=np.int32)
        cosines = np.empty((X.shape[0], k), dtype=np.float32)
        _postings.nearest(
            X.indptr.astype(np.intp), X.indices.astype(np.int32), X.data,
            self.starts, self.rows, self.values, self.n_rows, ids, cosines,
            np.empty((n_threads, self.n_rows), dtype=np.float32),
            np.empty((n_threads, self.n_rows + 1), dtype=np.int32), n_threads,
        )  # fmt: skip
        return ids, cosines

    def _rare_first(self, X):
        """X with the features of fewest postings first in each row."""
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        order = np.lexsort((np.diff(self.starts)[X.indices], rows))
        return sp.csr_array((X.data[order], X.indices[order], X.indptr), shape=X.shape)

    @property
    def nbytes(self):
        """Bytes kept."""
        return self.starts.nbytes + self.rows.nbytes + self.values.nbytes


class DenseRows:
    """Exact, for dense rows: the cosine with every row.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Rows.

    random_state, n_jobs
        Not used.
    """

    def __init__(self, X, random_state=None, n_jobs=None):
        self.rows = unit_dense(X)

    def nearest(self, X, k, n_threads):
        """The k rows of largest positive cosine: (ids, cosines), -1 and 0 where fewer are."""
        no_offset = np.zeros(len(self.rows), dtype=np.float32)
        return only_positive(*top_k(unit_dense(X), self.rows, no_offset, k, n_threads))

    @property
    def nbytes(self):
        """Bytes kept."""
        return self.rows.nbytes


class HashedRows:
    """Approximate: rows that share a hash bucket, ranked by their cosine.

    Parameters
    ----------
    X : csr_array or ndarray of shape (n_rows, n_features), float32
        Rows; kept as dense ones.

    random_state, n_jobs, n_tables, bucket_size
        As for `LSHIndex`.
    """

    def __init__(
        self, X, random_state=None, n_jobs=None, n_tables=N_TABLES, bucket_size=BUCKET_SIZE
    ):
        self.index = LSHIndex(
            n_tables=n_tables, bucket_size=bucket_size, random_state=random_state, n_jobs=n_jobs
        ).fit(X)

    def nearest(self, X, k, n_threads):
        """The k rows found of largest positive cosine: (ids, cosines), -1 and 0 if fewer are."""
        return only_positive(*self.index.set_params(n_jobs=n_threads).query(X, k))

    @property
    def nbytes(self):
        """Bytes kept."""
        return self.index.nbytes


def only_positive(ids, cosines):
    """Put -1 and 0 in place of neighbours whose cosine is not positive."""
    far = ~(cosines > 0)
    ids[far], cosines[far] = -1, 0
    return ids, cosines


def unit_dense(X):
    """Copy of X, dense or sparse, as padded float32 rows of length 1; zero rows stay zero."""
    return scale_to_unit(dense_rows(X))


def unit_csr(X):
    """Copy of X with rows of length 1; zero rows stay zero."""
    X = canonical_csr(X)
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    squares = np.square(X.data, dtype=np.float64)  # of a float32, never out of range
    norms = np.sqrt(np.bincount(rows, squares, minlength=X.shape[0]))[rows]
    data = np.divide(X.data, norms, out=np.zeros_like(squares), where=norms > 0)
    return sp.csr_array((data.astype(np.float32), X.indices, X.indptr), shape=X.shape)
