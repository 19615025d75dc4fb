"""What draws of rows tell of the rows and of themselves."""

import numpy as np
from sklearn.base import is_classifier

from sklsh._row_samplers import DrawFacts
from sklsh._sklearn import check_is_fitted, effective_n_threads
from sklsh.row_sampling import Kernel, Pass


class DrawReports(DrawFacts):
    """Mixin of the reports of an estimator on its `RowDraws`."""

    def estimate_loss(self, X, y):
        """Score that the sketch expects of rows, by those like them that it has come by.

        It is in the unit of `row_score`: by default the size of a gradient, for regressors the
        error. A difficulty score for a few look-ups, without a prediction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            Labels or numbers. They count only with `include_target`.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            Means of the scores of like rows, of which older ones count less.

        Raises
        ------
        ValueError
            If the model was not fitted with ``sampler="kernel"``, or no row was scored yet.
        """
        check_is_fitted(self)
        X, y = self._validated(X, y, reset=False)
        if is_classifier(self):
            groups = self._labels(y, None, resume=True, partial=False)[1]
        else:
            groups = y.astype(np.float64)
        sampler, scores = self._draws.sampler, None
        if isinstance(sampler, Kernel):
            data = Pass(X, groups, None, effective_n_threads(self.n_jobs))
            scores = sampler.losses(data, np.arange(X.shape[0]))
        if scores is None or np.isnan(scores).all():  # of rows, or at all
            raise ValueError(
                'estimate_loss needs a model fitted with sampler="kernel" on more than one batch; '
                f"got {type(sampler).__name__} and {self._draws.n_drawn} rows."
            )
        return scores
