"""Labels and probabilities from scores, one for two classes or one for each of more."""

import numpy as np
from scipy.special import expit, softmax
from sklearn.utils.metaestimators import available_if


def _has_probabilities(model):
    if model.loss != "log_loss":
        raise AttributeError(
            f"predict_proba needs loss='log_loss'; got loss={model.loss!r}, whose scores are no "
            "probabilities."
        )
    return True


class ScorePredictions:
    """Mixin of the predicting methods of a classifier that has `_scores(X)` and `classes_`."""

    def decision_function(self, X):
        """Scores of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes), float32
            Of two classes, that of the second.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """Label of the best class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]

    @available_if(_has_probabilities)
    def predict_proba(self, X):
        """Probability of each class; for ``loss="log_loss"``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes), float64
        """
        scores = self._scores(X).astype(np.float64)
        if scores.shape[1] > 1:
            return softmax(scores, axis=1)
        second = expit(scores)
        return np.hstack([1 - second, second])
