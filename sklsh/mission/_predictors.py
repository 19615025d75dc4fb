"""The sketched linear model as a predictor."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, RegressorMixin

from sklsh._score_predictions import ScorePredictions
from sklsh._sklearn import StrOptions, check_is_fitted, effective_n_threads, validate_data
from sklsh.mission._documents import with_parameters
from sklsh.mission._estimator import CLASSIFICATION, SketchedLinearEstimator
from sklsh.mission._support import Support

_CLASSIFICATION_LOSSES = """
loss : {"log_loss", "hinge"}, default="log_loss"
    "log_loss": logistic, or multinomial with more than two classes. "hinge": of a linear
    support vector machine, one against the rest.
"""
_REGRESSION_LOSSES = """
loss : {"squared_error", "huber"}, default="squared_error"
    "huber" is less moved by outliers.
"""


class SketchedLinearPredictor(Support, SketchedLinearEstimator):
    """What classifier and regressor share."""

    @property
    def coef_(self):
        """Weights of the selected features, csr_array of shape (n_outputs, `n_features_in_`)."""
        ids, _, weights = self._ascending()
        n_outputs = weights.shape[1]
        indptr = np.arange(n_outputs + 1, dtype=np.int64) * len(ids)
        parts = (weights.T.ravel(), np.tile(ids, n_outputs), indptr)
        return sp.csr_array(parts, shape=(n_outputs, self.n_features_in_))

    def _scores(self, X):
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse="csr", accept_large_sparse=True, dtype=np.float32, reset=False
        )
        return self._model.scores(self._as_rows(X), effective_n_threads(self.n_jobs))


@with_parameters(loss=_CLASSIFICATION_LOSSES)
class MISSIONClassifier(ScorePredictions, ClassifierMixin, SketchedLinearPredictor):
    """Linear classifier over billions of features, in kilobytes.

    The model that :class:`MISSIONSelector` selects features by, as a classifier. In "active"
    mode it predicts by all it knows: weights of the active set and, of other features, what
    the sketch says; in "mission" mode by the heavy hitters alone.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.

    coef_ : csr_array of shape (1, `n_features_in_`) or (n_classes, `n_features_in_`)
        Weights of the `n_features_to_select` features that matter most.

    feature_ids_, feature_weights_, ranking_, supports_per_class_
        As of :class:`MISSIONSelector`.

    {attributes}

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    MISSIONSelector : Selects features by this model.

    {references}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklsh import MISSIONClassifier
    >>> X, y = make_classification(n_samples=1000, random_state=0)
    >>> model = MISSIONClassifier(random_state=0).fit(X[:800], y[:800])
    >>> model.score(X[800:], y[800:]) > 0.85
    True
    """

    _parameter_constraints = SketchedLinearEstimator._parameter_constraints | {
        "loss": [StrOptions(set(CLASSIFICATION))]
    }


@with_parameters(loss=_REGRESSION_LOSSES)
class MISSIONRegressor(RegressorMixin, SketchedLinearPredictor):
    """Linear regression over billions of features, in kilobytes.

    The model that :class:`MISSIONSelector` selects features by, as a regressor. In "active"
    mode it predicts by all it knows: weights of the active set and, of other features, what
    the sketch says; in "mission" mode by the heavy hitters alone.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    coef_ : csr_array of shape (1, `n_features_in_`)
        Weights of the `n_features_to_select` features that matter most.

    feature_ids_, feature_weights_, ranking_
        As of :class:`MISSIONSelector`.

    {attributes}

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    MISSIONSelector : Selects features by this model.

    {references}

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklsh import MISSIONRegressor
    >>> X, y = make_regression(n_samples=1000, random_state=0)
    >>> MISSIONRegressor(random_state=0).fit(X[:800], y[:800]).score(X[800:], y[800:]) > 0.9
    True
    """

    _parameter_constraints = SketchedLinearEstimator._parameter_constraints | {
        "loss": [StrOptions({"squared_error", "huber"})]
    }
    del _parameter_constraints["class_weight"]

    def __init__(
        self,
        n_features_to_select=100,
        *,
        mode="active",
        width="auto",
        depth="auto",
        loss="squared_error",
        learning_rate_init="auto",
        learning_rate="linear",
        power_t=0.5,
        alpha=1e-5,
        l1_ratio=0.0,
        epsilon=0.1,
        batch_size="auto",
        max_iter="auto",
        shuffle=True,
        normalize=False,
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        super().__init__(
            n_features_to_select, mode=mode, width=width, depth=depth, loss=loss,
            learning_rate_init=learning_rate_init, learning_rate=learning_rate, power_t=power_t,
            alpha=alpha, l1_ratio=l1_ratio, epsilon=epsilon, batch_size=batch_size,
            max_iter=max_iter, shuffle=shuffle, normalize=normalize, verbose=verbose,
            random_state=random_state, n_jobs=n_jobs,
        )  # fmt: skip

    def partial_fit(self, X, y, sample_weight=None):
        """Make one pass over X and y.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError, MemoryError
            As for `fit`; the model is then as before the call.
        """
        return super().partial_fit(X, y, sample_weight=sample_weight)

    def predict(self, X):
        """Predicted numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        predictions : ndarray of shape (n_samples,), float32
        """
        return self._scores(X)[:, 0]
