"""How a softmax over very many classes is judged as a probability model."""

import numpy as np

from sklsh._scores import exact_losses, mean_over_labels
from sklsh._sklearn import check_is_fitted, effective_n_threads


class Likelihood:
    """Mixin of the exact log loss, and of estimates of the partition function."""

    def log_loss(self, X, y, sample_weight=None):
        """Mean negative log-probability of the labels, exactly, over all classes.

        Computed in blocks of rows, without an array of all probabilities. The exponential
        of it is the perplexity.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            Labels, in the form of those of `fit`. Where a row has several, its loss is the
            mean over them; one of a row without is 0.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        loss : float
            In nats.

        Raises
        ------
        ValueError
            If y holds labels that are not in `classes_`.
        """
        check_is_fitted(self)
        X, y, weight = self._validated(X, y, sample_weight, reset=False)
        Y = mean_over_labels(self._format.encode(y))
        losses, _ = exact_losses(self._network, X, Y, effective_n_threads(self.n_jobs))
        return float(np.average(losses, weights=weight))
