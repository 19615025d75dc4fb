"""What can be read off a fitted sketched linear model."""

import numpy as np

from sklsh._fitted import FittedRounds
from sklsh._sklearn import check_is_fitted


class FittedSketchedLinear(FittedRounds):
    """Mixin of the fitted attributes."""

    @property
    def n_iter_(self):
        """Passes over the data, over all calls."""
        check_is_fitted(self)
        return self._progress.n_epochs

    @property
    def loss_curve_(self):
        """Mean loss of a row in each pass."""
        check_is_fitted(self)
        return self._progress.loss_curve

    @property
    def learning_rate_init_(self):
        """Rate of the first step."""
        check_is_fitted(self)
        return self._progress.rate

    @property
    def batch_size_(self):
        """Rows of a step."""
        check_is_fitted(self)
        return self._progress.batch_size

    @property
    def intercept_(self):
        """Constant part of the scores, (n_outputs,) float32."""
        check_is_fitted(self)
        return self._model.intercept

    @property
    def sketch_(self):
        """Cells of the count-sketch, (depth, width, n_outputs) float32; a copy."""
        check_is_fitted(self)
        return self._model.cells * np.float32(self._model.status[0])

    @property
    def memory_usage_(self):
        """Bytes of the active set with its index, of the sketch, and their total."""
        check_is_fitted(self)
        return self._model.memory_usage
