"""NadarayaWatsonSketch: kernel regression on a stream, in fixed memory."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state

from sklsh._hashing import MAX_BITS
from sklsh._sklearn import (
    Interval,
    StrOptions,
    VersionStamp,
    at_least,
    check_is_fitted,
    check_sample_weight,
    checked_csr,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh.sketch._checks import LARGEST
from sklsh.sketch._race import FAMILIES, RACE


class NadarayaWatsonSketch(VersionStamp, RegressorMixin, BaseEstimator):
    """Kernel regression from two sums, estimated by one array of counters each.

    The prediction at x is the mean of the targets, weighted by the kernel:

        (S(x) + prior * mean) / (W(x) + prior)

    where S(x) estimates sum_i w_i k(x_i, x) y_i, W(x) estimates sum_i w_i k(x_i, x), and
    `mean` is the weighted mean of all targets. S and W are :class:`RACE` sketches [3]_ with
    their counters side by side, so that a look-up finds both.

    Parameters
    ----------
    n_rows : int, default=100
        Rows of counters; more make predictions smoother, and cost more.

    n_bits : int, default=8
        Hash functions in a code, 1 to 24. More make the kernel narrower.

    width : int, default=2**12
        Counters in a row, a power of two.

    hash_family : {"l2", "dense_simhash", "simhash"}, default="l2"
        "l2": the kernel falls with the Euclidean distance. The others: with the angle.

    bandwidth : float or "scale", default="scale"
        Width of the steps of "l2"; wider ones make a wider kernel. "scale" is
        2 * sqrt(n_features * X.var()), of the rows that come first.

    prior : float, default=0.1
        Rows that the mean of all targets counts for, where the kernel sums to few.

    decay : float, default=1.0
        In (0, 1]. What the weight of all rows so far is multiplied by at each further call of
        `partial_fit`.

    random_state : int, RandomState instance or None, default=None
        Draws the hash functions.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all. Results do not depend on it.

    Attributes
    ----------
    sketch_ : RACE
        The counters: a column for each target, and one for the weights.

    mean_ : float or ndarray of shape (n_outputs,)
        Weighted mean of the targets, of which older ones have decayed.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    nbytes : int
        Bytes of the counters.

    See Also
    --------
    RACE : The sketch, and its kernels.

    Notes
    -----
    Memory and the time of a prediction do not grow with the rows. It is the regression of
    Nadaraya and Watson with the expected kernel only as n_rows grows: S / W is a ratio of
    estimates, and biased. W is not corrected for codes that share a counter by chance, as
    the difference could be zero or negative: such rows pull predictions towards the mean, as
    sum_i w_i / width more rows of prior would.

    Like any local mean it does not extrapolate, flattens peaks and edges, and needs many
    rows where features are many. Features have to be of like scale; those that say nothing
    blur the kernel. It is made for streams, and for cheap rough scores of rows [2]_, not for
    the best prediction of data that fit in memory.

    Zero vectors have no code under signs: they leave no trace, and get the mean.

    References
    ----------
    .. [1] E. A. Nadaraya, "On estimating regression", Theory of Probability and Its
       Applications 9(1), 1964. doi:10.1137/1109020
    .. [2] S. Daghaghi, B. Coleman, B. Geordie and A. Shrivastava, "Adaptive sampling for deep
       learning via efficient nonparametric proxies", 2023. arXiv:2311.13583
    .. [3] B. Coleman and A. Shrivastava, "Sub-linear RACE sketches for approximate kernel
       density estimation on streaming data", WWW 2020. arXiv:1912.02283

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.sketch import NadarayaWatsonSketch
    >>> X = np.random.RandomState(0).uniform(-3, 3, size=(5000, 2))
    >>> y = np.sin(X[:, 0])
    >>> model = NadarayaWatsonSketch(random_state=0)
    >>> for rows in np.array_split(np.arange(4000), 10):  # a stream
    ...     model = model.partial_fit(X[rows], y[rows])
    >>> bool(model.score(X[4000:], y[4000:]) > 0.9)
    True
    """

    _parameter_constraints = {
        "n_rows": [at_least(1)],
        "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
        "width": [Interval(Integral, 2, 2**48, closed="both")],
        "hash_family": [StrOptions(set(FAMILIES))],
        "bandwidth": [StrOptions({"scale"}), Interval(Real, 0, LARGEST, closed="neither")],
        "prior": [Interval(Real, 0, LARGEST, closed="both")],
        "decay": [Interval(Real, 0, 1, closed="right")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_rows=100,
        *,
        n_bits=8,
        width=2**12,
        hash_family="l2",
        bandwidth="scale",
        prior=0.1,
        decay=1.0,
        random_state=None,
        n_jobs=None,
    ):
        self.n_rows = n_rows
        self.n_bits = n_bits
        self.width = width
        self.hash_family = hash_family
        self.bandwidth = bandwidth
        self.prior = prior
        self.decay = decay
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Add up rows, from nothing.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        self : NadarayaWatsonSketch
            Fitted estimator.

        Raises
        ------
        MemoryError
            If counters or hash functions would not fit; says how many bytes they take.
        """
        with unchanged_on_error(self):
            return self._fit(X, y, sample_weight, first=True)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Add further rows. What the first call has drawn and scaled stays.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        self : NadarayaWatsonSketch
            Fitted estimator.

        Raises
        ------
        MemoryError
            If counters or hash functions would not fit; says how many bytes they take.
        """
        with unchanged_on_error(self):
            return self._fit(X, y, sample_weight, first=not self.__sklearn_is_fitted__())

    def predict(self, X):
        """Estimate the targets of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
            Weighted means of the targets that were added.
        """
        check_is_fitted(self)
        with np.errstate(over="ignore"):  # it is refused as infinite
            X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        sums = self.sketch_.query(X, correct=False)
        targets, weights = sums[:, :-1], sums[:, -1:] + self.prior
        mean = np.atleast_1d(self.mean_)
        y = np.tile(mean, (len(sums), 1))
        np.divide(targets + self.prior * mean, weights, out=y, where=weights > 0)
        return y if self._many_outputs else y[:, 0]

    @property
    def mean_(self):
        """Weighted mean of the targets."""
        check_is_fitted(self)
        mean = self._sums[:-1] / self._sums[-1]
        return mean if self._many_outputs else float(mean[0])

    @property
    def nbytes(self):
        """Bytes of the counters."""
        check_is_fitted(self)
        return self.sketch_.nbytes

    def _fit(self, X, y, sample_weight, first):
        with np.errstate(over="ignore"):  # it is refused as infinite
            X, y = validate_data(
                self, X, y, accept_sparse="csr", dtype=np.float32, y_numeric=True,
                multi_output=True, reset=first,
            )  # fmt: skip
        X = checked_csr(X) if sp.issparse(X) else X
        sample_weight = check_sample_weight(sample_weight, X, np.float64)[:, None]
        targets = y.reshape(len(y), -1).astype(np.float64)
        with np.errstate(over="ignore"):  # it is refused next
            sums = np.hstack([sample_weight * targets, sample_weight])
        if not (abs(sums) <= LARGEST).all():
            raise ValueError("y and sample_weight must give products that float32 can hold.")
        if first:
            self._many_outputs = y.ndim > 1
            self.sketch_ = self._empty_sketch(X, sample_weight, targets.shape[1])
            self._sums = np.zeros(sums.shape[1])
        elif sums.shape[1] != len(self._sums):
            raise ValueError(
                f"y must have {len(self._sums) - 1} outputs, as before; got {targets.shape[1]}."
            )
        else:
            self.sketch_.decay(self.decay)
        self._sums = self.decay * self._sums + sums.sum(axis=0)
        self.sketch_.add(X, sums)
        return self

    def _empty_sketch(self, X, sample_weight, n_outputs):
        bandwidth = 1.0
        if self.hash_family == "l2":
            scale = self.bandwidth == "scale"
            bandwidth = scaled_bandwidth(X, sample_weight) if scale else self.bandwidth
        return RACE(
            X.shape[1], n_rows=self.n_rows, width=self.width, n_bits=self.n_bits,
            hash_family=self.hash_family, bandwidth=bandwidth, n_columns=n_outputs + 1,
            random_state=check_random_state(self.random_state), n_jobs=self.n_jobs,
        )  # fmt: skip

    def __sklearn_is_fitted__(self):
        return hasattr(self, "sketch_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags


def scaled_bandwidth(X, sample_weight):
    """2 sqrt(n_features * variance of all values), rows weighted; 1 if all are the same."""
    share = sample_weight / (sample_weight.sum() * X.shape[1])
    values = X.astype(np.float64)
    mean = (values.T @ share).sum()
    squares = ((values * values).T @ share).sum()
    variance = squares - mean**2
    return float(2 * np.sqrt(X.shape[1] * variance)) if variance > 1e-12 * squares else 1.0
