"""What a fitted estimator inside another one predicts, for the outer one."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils.metaestimators import available_if

from sklsh._sklearn import check_is_fitted, checked_csr, validate_data


def estimator_has(method):
    """Whether the estimator, the fitted one if there is one, has the method."""

    def check(self):
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class DelegatedPredictions:
    """Mixin of the predicting methods of `estimator_`, as far as it has them."""

    def _checked(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return checked_csr(X) if sp.issparse(X) else X

    @available_if(estimator_has("predict"))
    def predict(self, X):
        """Predictions of the estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or {ndarray, sparse matrix} of shape \
(n_samples, n_classes)
            Labels or numbers.
        """
        X = self._checked(X)
        return self.estimator_.predict(X)

    @available_if(estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Probabilities of the classes; of a classifier that has them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        X = self._checked(X)
        return self.estimator_.predict_proba(X)

    @available_if(estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes; of a classifier that has them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        X = self._checked(X)
        return self.estimator_.predict_log_proba(X)

    @available_if(estimator_has("decision_function"))
    def decision_function(self, X):
        """Scores of the classes; of a classifier that has them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        X = self._checked(X)
        return self.estimator_.decision_function(X)

    @available_if(estimator_has("predict_top_k"))
    def predict_top_k(self, X, k=None):
        """The k best classes of each row; of a classifier that lists them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        k : int, default=None
            Classes wanted for each row; by default what the estimator takes.

        Returns
        -------
        labels : ndarray of shape (n_samples, k)
            Labels, best first.

        scores : ndarray of shape (n_samples, k)
            Their scores.
        """
        X = self._checked(X)
        return self.estimator_.predict_top_k(X, k)

    @available_if(estimator_has("score"))
    def score(self, X, y, sample_weight=None):
        """Score of the estimator: accuracy of a classifier, R^2 of a regressor.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            True labels or numbers.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
        """
        X = self._checked(X)
        return self.estimator_.score(X, y, sample_weight=sample_weight)
