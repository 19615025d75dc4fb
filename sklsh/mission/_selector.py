"""MISSIONSelector: the columns of a matrix that matter most, out of billions."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.feature_selection import SelectorMixin

from sklsh._memory import require_bytes
from sklsh._sklearn import check_is_fitted, checked_csr, validate_data
from sklsh.mission._documents import with_parameters
from sklsh.mission._estimator import SketchedLinearEstimator
from sklsh.mission._support import Support, columns_of, support_mask


@with_parameters
class MISSIONSelector(Support, SelectorMixin, SketchedLinearEstimator):
    """Select features by the weights of a linear model that is kept in kilobytes.

    Billions of features do not fit in memory, nor do their weights. Here a sparse linear
    model is learnt by stochastic gradient descent in memory that depends on how many features
    are wanted, not on how many there are: those that matter most have weights of their own,
    the others share the cells of a count-sketch, whose random signs make what they add to
    each other cancel on average.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    feature_ids_ : ndarray of shape (n_selected,), int64
        Columns selected, ascending: those of the largest weights, up to
        `n_features_to_select` of them; columns that never had a weight are not selected.

    feature_weights_ : ndarray of shape (n_selected,) or (n_selected, n_classes)
        Their weights; a column for each class if there are more than two.

    ranking_ : ndarray of shape (n_selected,)
        Their ranks, 1 for the largest weight; of several classes the largest magnitude
        counts.

    supports_per_class_ : list of ndarray
        For each class the ids that matter most for it, best first.

    classes_ : ndarray of shape (n_classes,)
        Labels; for losses of classification.

    {attributes}

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    MISSIONHashSelector : The same for tokens, with their texts as names.
    MISSIONClassifier, MISSIONRegressor : The model as a predictor.
    sklsh.sketch.CountSketch : The sketch by itself.

    Notes
    -----
    `get_support()` makes an array of all features, and is refused above 2**31 of them;
    `get_support(indices=True)`, `transform` and `get_feature_names_out` do not.

    Weights compare as the features do: columns of different units should be scaled.

    {references}

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from sklsh import MISSIONSelector
    >>> X = sp.random_array((2000, 10**6), density=3e-5, rng=0, format="csr").astype(bool)
    >>> y = np.arange(2000) % 2
    >>> X = sp.hstack([X, sp.csr_array(y[:, None] == 1)], format="csr").astype(float)
    >>> selector = MISSIONSelector(1, random_state=0).fit(X, y)
    >>> selector.get_feature_names_out()
    array(['x1000000'], dtype=object)
    >>> selector.transform(X).shape
    (2000, 1)
    """

    def get_support(self, indices=False):
        """Mask or indices of the selected features.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return indices, not a mask.

        Returns
        -------
        support : ndarray
            Indices, ascending; or a boolean mask of shape (`n_features_in_`,).

        Raises
        ------
        ValueError, MemoryError
            If the mask would be too large; says how many bytes it takes.
        """
        return self.feature_ids_ if indices else self._get_support_mask()

    def _get_support_mask(self):
        check_is_fitted(self)
        return support_mask(self.feature_ids_, self.n_features_in_)

    def transform(self, X):
        """Selected columns of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_r : {ndarray, sparse matrix} of shape (n_samples, n_selected)
            Columns `feature_ids_`, as they are; CSR if X is sparse.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=None, accept_sparse="csr", reset=False)
        if sp.issparse(X):
            checked_csr(X)
        ids = self.feature_ids_
        if len(ids) == 0:
            warnings.warn(
                "No features were selected: no weight is other than zero.",
                UserWarning,
                stacklevel=2,
            )
        return columns_of(X, ids) if sp.issparse(X) else X[:, ids]

    def inverse_transform(self, X):
        """Put selected columns back where they were, among columns of zeros.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_selected)
            Selected columns.

        Returns
        -------
        X_original : {ndarray, sparse matrix} of shape (n_samples, `n_features_in_`)
            CSR if X is sparse.

        Raises
        ------
        MemoryError
            If a dense array would not fit; says how many bytes it takes.
        """
        ids = self.feature_ids_
        X = X if sp.issparse(X) else np.asarray(X)
        if X.ndim != 2 or X.shape[1] != len(ids):
            raise ValueError(
                f"X must have {len(ids)} columns, those selected; got shape {X.shape}."
            )
        shape = (X.shape[0], self.n_features_in_)
        if sp.issparse(X):
            X = X.tocsr()
            indices = ids[X.indices]
            return type(X)((X.data.copy(), indices, X.indptr.astype(indices.dtype)), shape=shape)
        require_bytes(
            shape[0] * shape[1] * X.dtype.itemsize,
            f"A dense array of {shape[0]:,} x {shape[1]:,}",
            "A sparse X gives a sparse result.",
        )
        original = np.zeros(shape, dtype=X.dtype)
        original[:, ids] = X
        return original

    def get_feature_names_out(self, input_features=None):
        """Names of the selected features.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of all features; must be those seen during fit, if X had any. By default
            these or, where X had none, "x" and the number of the column.

        Returns
        -------
        names : ndarray of str objects
        """
        ids = self.feature_ids_
        known = getattr(self, "feature_names_in_", None)
        if input_features is None:
            if known is not None:
                return known[ids]
            return np.array([f"x{id}" for id in ids.tolist()], dtype=object)
        names = np.asarray(input_features, dtype=object)
        if known is not None and not np.array_equal(known, names):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(names) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(names)}"
            )
        return names[ids]

    @property
    def _n_features_out(self):
        return len(self.feature_ids_)
