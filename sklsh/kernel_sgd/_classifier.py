"""KernelSampledSGD: labels, probabilities, and what classes need of the training."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from sklsh._score_predictions import ScorePredictions
from sklsh._sklearn import StrOptions, check_is_fitted, fit_context
from sklsh._targets import LabelCounts, TargetFormat, class_weights
from sklsh.kernel_sgd._documents import with_parameters
from sklsh.kernel_sgd._estimator import RowSampledEstimator
from sklsh.kernel_sgd._rounds import ClassifierInRounds
from sklsh.kernel_sgd._training import HeldOutScore, TrainingRows

_LOSSES = """
loss : {"log_loss", "hinge", "modified_huber"}, default="log_loss"
    "log_loss": cross-entropy, logistic or, with more than two classes, of their softmax.
    "hinge": of a linear support vector machine. "modified_huber": its square, with a straight
    line in place of the parabola where a row is on the wrong side; less moved by wrong labels.
    The last two are one class against the rest.
"""


@with_parameters(loss=_LOSSES, class_weight=True)
class KernelSampledSGD(ClassifierInRounds, ScorePredictions, ClassifierMixin, RowSampledEstimator):
    """Classifier trained on the rows that still teach.

    Late in training most rows of a large data set are learnt, and a batch of them changes
    nothing. This network, or linear model, draws rows by how large their gradients are,
    and weights each so that the mean gradient stays that of all rows. How large they are, a
    sketch remembers of earlier rows with like features and label, so that to ask it costs a few
    look-ups, not a forward pass.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.

    {attributes}

    See Also
    --------
    KernelSampledSGDRegressor : The same for numbers.
    sklsh.SampledFit : The same draws around any estimator with `partial_fit`.
    sklsh.sketch.NadarayaWatsonSketch : The regression by itself.

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklsh import KernelSampledSGD
    >>> X, y = make_classification(n_samples=2000, weights=[0.9], random_state=0)
    >>> model = KernelSampledSGD(random_state=0).fit(X[:1500], y[:1500])
    >>> model.score(X[1500:], y[1500:]) > 0.9
    True
    >>> model.sampling_gain_ > 1
    True
    """

    _parameter_constraints = RowSampledEstimator._parameter_constraints | {
        "loss": [StrOptions({"log_loss", "hinge", "modified_huber"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        loss="log_loss",
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
        class_weight=None,
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
        self.class_weight = class_weight

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Make as many draws from X and y as they have rows, at a constant learning rate.

        The sketch goes on from call to call, so that rows never seen before are drawn by what
        was learnt of others like them. `early_stopping`, which has no epochs here, does
        nothing, and callbacks are not called.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call.

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
        return self._partial_fit(X, y, sample_weight, classes)

    def estimate_loss(self, X, y):
        """Loss that the sketch expects of rows, by those like them that steps have come by.

        A difficulty score of each row, for a few look-ups: of rows to label, to check or to
        look at first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Labels. They count only with `include_target`.

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
        return self._estimate_loss(X, self._format.encode(y).indices)

    def _training_rows(self, X, y, weight, classes, *, resume, partial):
        if not resume:
            if partial and classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._take_format(TargetFormat.of(y, classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be as in the first call, {self.classes_!r}; got {classes!r}."
            )
        Y = self._format.encode(y)
        of_classes = self._weights_of_classes(LabelCounts.of(Y, weight))
        rows, groups = self._weighted_rows(X, Y, weight, of_classes)
        if not rows.weight.any():
            raise ValueError("class_weight and sample_weight leave no row with a weight.")
        return rows, groups

    def _take_format(self, target_format):
        """Begin with classes that look like this."""
        if len(target_format.classes) < 2:
            raise ValueError(
                f"y must have at least 2 classes; got one class, {target_format.classes[0]!r}."
            )
        self._format, self.classes_ = target_format, target_format.classes

    def _weights_of_classes(self, counts):
        """Weight of each class, given how often they occur; None if all count alike."""
        if self.class_weight is None:
            return None
        return class_weights(self.class_weight, self.classes_, counts)

    def _weighted_rows(self, X, Y, weight, of_classes):
        """Rows to train on, and the numbers of their classes, which group them."""
        if of_classes is not None:
            weight = weight * of_classes[Y.indices]
        targets = Y.indices.astype(np.float32)
        binary = len(self.classes_) == 2
        return TrainingRows(X, 2 * targets - 1 if binary else targets, weight), Y.indices

    def _n_outputs(self):
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _loss_of_kernel(self):
        many = len(self.classes_) > 2
        return "multinomial" if self.loss == "log_loss" and many else self.loss

    def _validation_score(self, X, targets, sample_weight):
        return HeldOutScore(self._accuracy, X, targets, sample_weight)

    @staticmethod
    def _accuracy(targets, scores, sample_weight):
        binary = scores.shape[1] == 1
        best = np.where(scores[:, 0] > 0, 1, -1) if binary else scores.argmax(axis=1)
        return accuracy_score(targets, best, sample_weight=sample_weight)
