"""Transformers from vectors to codes."""

from abc import abstractmethod
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from sklsh._hashing import MAX_BITS, make_hasher
from sklsh._sklearn import (
    Interval,
    StrOptions,
    VersionStamp,
    at_least,
    check_is_fitted,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh.lsh._rows import canonical_csr, dense_rows


class HashTransformer(
    VersionStamp, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """What transformers to codes share: drawing the functions, and hashing rows."""

    _parameter_constraints = {
        "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
        "n_tables": [at_least(1)],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    @abstractmethod
    def _hash_family(self):
        """Name of the family of hash functions."""

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
        self : object
            Fitted transformer.

        Raises
        ------
        MemoryError
            If the hash functions would not fit; says how many bytes they take.
        """
        with unchanged_on_error(self):
            X = validate_data(self, X, accept_sparse="csr", dtype=np.float32)
            self._hasher = make_hasher(
                self._hash_family(), X.shape[1], self.n_bits, self.n_tables,
                check_random_state(self.random_state),
            )  # fmt: skip
            self._n_features_out = self.n_tables
        return self

    def transform(self, X):
        """Codes of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Vectors.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_tables), int32
            In [0, 2**n_bits); -1 for zero vectors, in which nothing stands out.

        Raises
        ------
        MemoryError
            If rows that have to be dense would not fit; says how many bytes they take.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return self._codes(X, effective_n_threads(self.n_jobs))

    def _codes(self, X, n_threads):
        return self._hasher.codes(dense_rows(X), n_threads=n_threads)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_hasher")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class SimHash(HashTransformer):
    """Codes of random-projection signs, which vectors at a small angle share.

    Each bit is the sign of a random projection; two vectors at angle t agree on a bit with
    probability p = 1 - t / pi. Under independent Gaussian projections, which cost
    O(n_features) a bit, they agree on a code with probability p**n_bits. By default
    projections come from randomised Walsh-Hadamard rotations: O(n_features log n_features)
    for as many bits as features, and nearly the same law (see Notes). Sparse input is made
    dense.

    Parameters
    ----------
    n_bits : int, default=8
        Bits of a code, 1 to 24.

    n_tables : int, default=8
        Codes of each vector.

    projections : {"rotation", "gaussian"}, default="rotation"
        "rotation": fast, with directions that depend on each other. "gaussian": directions
        drawn one by one, for which the law is exact.

    random_state : int, RandomState instance or None, default=None
        Draws the projections.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. The codes do not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    DWTA : Codes of which values are largest.
    LSHIndex : Finds near vectors by their codes.

    Notes
    -----
    Under rotations a single bit keeps the law: for random pairs it is within 0.01 with 64
    to 1,024 features. The bits of a rotation depend on each other, so codes and tables
    depart from it. The probability to share a code in some table lies within these bounds
    of 1 - (1 - p**n_bits)**n_tables, measured at 15 to 90 degrees with n_bits 4, 8 and 12
    and 1 to 64 tables, as a mean over draws of the rotations:

    ============================  ====  ====  ====  =====
    n_features                    16    64    128   512
    ============================  ====  ====  ====  =====
    random pairs                  0.20  0.06  0.03  0.015
    one or two non-zero features  0.30  0.25  0.15  0.15
    ============================  ====  ====  ====  =====

    For a single table they are 0.01 for random pairs and 0.03 for the others from 64
    features on. Gaussian projections show no departure beyond sampling error.

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
        **HashTransformer._parameter_constraints,
        "projections": [StrOptions({"rotation", "gaussian"})],
    }

    def __init__(
        self, n_bits=8, *, n_tables=8, projections="rotation", random_state=None, n_jobs=None
    ):
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.projections = projections
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _hash_family(self):
        return {"rotation": "simhash", "gaussian": "dense_simhash"}[self.projections]


class DWTA(HashTransformer):
    """Codes of densified winner-take-all, which vectors with the same large values share.

    The features are put in random order, and each run of eight is a bin; there are as many
    orders as give enough bins. The digit of a bin, 3 bits, is the slot of its largest
    value, and n_bits / 3 bins make a code. Only the order of the values matters, not their
    size: codes stay the same when positive values are transformed monotonically.

    Zeros count as missing, so that sparse and dense input give the same codes. A bin
    without values borrows the digit of a bin that has some, chosen by hash so that vectors
    with many bins in common choose the same one often. Sparse input is hashed as it is; a
    row costs O(n_values) for each of the orders, and O(empty * non_empty) for its bins.

    Parameters
    ----------
    n_bits : int, default=9
        Bits of a code: a multiple of 3, 3 to 24.

    n_tables : int, default=8
        Codes of each vector.

    random_state : int, RandomState instance or None, default=None
        Draws the orders.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. The codes do not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    SimHash : Codes that go by the angle.
    LSHIndex : Finds near vectors by their codes.

    Notes
    -----
    Two vectors of d values without zeros or ties agree on the digit of a full bin with
    probability sum_i C(r_i, 7) / C(d, 8), where r_i counts the features that are smaller
    than feature i in both vectors [1]_: 1 for vectors ranked alike, and 1/8 on average for
    unrelated ones. Where the number of features is no multiple of eight, the last bin of
    each order is smaller, and its digits agree by chance more often.

    The law of vectors with many zeros is not known in closed form, but for one limit: equal
    values in a space so wide that hardly two of them meet in a bin. If J is the Jaccard
    similarity of the sets of features, digits agree with probability J + (1 - J) / 8.

    References
    ----------
    .. [1] J. Yagnik, D. Strelow, D. A. Ross and R. Lin, "The power of comparative
       reasoning", 2011. doi:10.1109/ICCV.2011.6126527
    .. [2] B. Chen and A. Shrivastava, "Densified winner take all (WTA) hashing for sparse
       datasets", Uncertainty in Artificial Intelligence, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.lsh import DWTA
    >>> X = np.random.RandomState(0).normal(size=(100, 64))
    >>> codes = DWTA(n_bits=9, n_tables=4, random_state=0).fit_transform(X)
    >>> codes.shape
    (100, 4)
    >>> bool(0 <= codes.min() and codes.max() < 2**9)
    True
    """

    def __init__(self, n_bits=9, *, n_tables=8, random_state=None, n_jobs=None):
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _hash_family(self):
        return "dwta"

    def _codes(self, X, n_threads):
        if sp.issparse(X):
            return self._hasher.sparse_codes(canonical_csr(X), n_threads)
        return super()._codes(X, n_threads)
