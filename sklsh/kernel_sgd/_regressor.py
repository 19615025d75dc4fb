"""KernelSampledSGDRegressor: numbers, and the unit that training takes them in."""

from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from sklsh._sklearn import Interval, StrOptions, check_is_fitted, fit_context
from sklsh._summary import Moments
from sklsh.kernel_sgd._documents import with_parameters
from sklsh.kernel_sgd._estimator import RowSampledEstimator
from sklsh.kernel_sgd._rounds import RegressorInRounds
from sklsh.kernel_sgd._training import HeldOutScore, TrainingRows

_LOSSES = """
loss : {"squared_error", "huber"}, default="squared_error"
    "huber" is less moved by outliers: beyond an error of `epsilon` it is a straight line.

epsilon : float, default=0.1
    Where "huber" turns linear, in the unit of the target.
"""

RESOLUTION = 1e-14  # of a mean of float64


@with_parameters(loss=_LOSSES)
class KernelSampledSGDRegressor(RegressorInRounds, RegressorMixin, RowSampledEstimator):
    """Regressor trained on the rows that still teach.

    As :class:`KernelSampledSGD`, for numbers: a network or linear model that draws rows by how
    large their errors are, as a sketch remembers them of like rows, and weights each so that
    the mean gradient stays that of all rows. Inside, targets are centred and scaled by the mean
    and standard deviation of those of the first call.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    KernelSampledSGD : The same for classes.
    sklsh.SampledFit : The same draws around any estimator with `partial_fit`.
    sklsh.sketch.NadarayaWatsonSketch : The regression by itself.

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklsh import KernelSampledSGDRegressor
    >>> X, y = make_friedman1(n_samples=2000, random_state=0)
    >>> y = (y - y.mean()) / y.std()
    >>> model = KernelSampledSGDRegressor(random_state=0).fit(X[:1500], y[:1500])
    >>> model.score(X[1500:], y[1500:]) > 0.9
    True
    """

    _parameter_constraints = RowSampledEstimator._parameter_constraints | {
        "loss": [StrOptions({"squared_error", "huber"})],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        loss="squared_error",
        epsilon=0.1,
        sampler="kernel",
        n_rows=10,
        n_bits=10,
        n_buckets=2**12,
        include_target=True,
        row_score="grad_norm",
        pool_factor=5,
        subsample=1.0,
        floor=0.1,
        importance_power=1.0,
        decay=0.999,
        warmup=200,
        min_gain=1.7,
        alpha=1e-4,
        optimizer="momentum",
        learning_rate_init="auto",
        learning_rate="linear",
        power_t=0.5,
        batch_size=64,
        max_iter="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        warm_start=False,
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        super().__init__(
            hidden_layer_sizes, loss=loss, sampler=sampler, n_rows=n_rows, n_bits=n_bits,
            n_buckets=n_buckets, include_target=include_target, row_score=row_score,
            pool_factor=pool_factor, subsample=subsample, floor=floor,
            importance_power=importance_power, decay=decay, warmup=warmup, min_gain=min_gain,
            alpha=alpha, optimizer=optimizer, learning_rate_init=learning_rate_init,
            learning_rate=learning_rate, power_t=power_t, batch_size=batch_size, max_iter=max_iter,
            early_stopping=early_stopping, validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change, tol=tol, warm_start=warm_start, verbose=verbose,
            random_state=random_state, n_jobs=n_jobs,
        )  # fmt: skip
        self.epsilon = epsilon

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Make as many draws from X and y as they have rows, at a constant learning rate.

        The sketch goes on from call to call, so that rows never seen before are drawn by what
        was learnt of others like them. `early_stopping`, which has no epochs here, does
        nothing, and callbacks are not called.

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
        ValueError
            If the data do not fit, which leaves the model as it was, or if training
            diverges, which does not: a fitted model is trained in place.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X):
        """Predicted numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        predictions : ndarray of shape (n_samples,), float64
        """
        return self._scores(X)[:, 0].astype(np.float64) * self._scale + self._center

    def estimate_loss(self, X, y):
        """Loss that the sketch expects of rows, by those like them that steps have come by.

        A difficulty score of each row, for a few look-ups: of rows to label, to check or to
        look at first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Numbers. They count only with `include_target`.

        Returns
        -------
        losses : ndarray of shape (n_samples,), float64
            Means of the losses of like rows, each as often as it was drawn, of which older ones
            count less; NaN while there are none.

        Raises
        ------
        ValueError
            If the model was not fitted with ``sampler="kernel"``.
        """
        check_is_fitted(self)
        X, y, _ = self._validated(X, y, None, reset=False)
        return self._estimate_loss(X, numbers(y))

    def _training_rows(self, X, y, weight, classes, *, resume, partial):
        y = numbers(y)
        if not resume:
            self._take_moments(Moments.of(y, weight))
        return self._standard_rows(X, y, weight)

    def _take_moments(self, moments):
        """Begin with numbers of this mean and spread."""
        self._center, self._scale = center_and_scale(moments)
        self._loss_unit = self._scale**2

    def _standard_rows(self, X, y, weight):
        """Rows to train on, and their numbers, which group them."""
        targets = (y - self._center) / self._scale
        return TrainingRows(X, targets.astype(np.float32), weight), y

    @property
    def coefs_(self):
        """Weight matrices of shape (fan_in, fan_out)."""
        *below, last = super().coefs_
        return [*below, last * np.float32(self._scale)]

    @property
    def intercepts_(self):
        """Bias vectors."""
        *below, last = super().intercepts_
        return [*below, last.astype(np.float64) * self._scale + self._center]

    def _n_outputs(self):
        return 1

    def _loss_of_kernel(self):
        return self.loss

    def _epsilon_of_kernel(self):
        return self.epsilon / self._scale

    def _validation_score(self, X, targets, sample_weight):
        if len(targets) < 2:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} holds out one row; R^2, by which "
                "early_stopping goes, takes two or more."
            )
        return HeldOutScore(self._r2, X, targets, sample_weight)

    @staticmethod
    def _r2(targets, scores, sample_weight):
        return r2_score(targets, scores[:, 0], sample_weight=sample_weight)


def center_and_scale(moments):
    """Weighted mean and standard deviation of numbers; 1 for the latter if it is 0."""
    scale = np.sqrt(moments.squares / moments.weight)
    known = scale > RESOLUTION * abs(moments.mean)  # else it is rounding of equal numbers
    return moments.mean, float(scale) if known else 1.0


def numbers(y):
    """Targets in float64, which those far from zero need; ValueError if one is beyond float32."""
    if y.dtype.kind not in "biuf":
        raise ValueError(f"y must be numbers; got dtype {y.dtype}.")
    if not (abs(y) <= np.finfo(np.float32).max).all():
        raise ValueError("y must be within the range of float32.")
    return y.astype(np.float64)
