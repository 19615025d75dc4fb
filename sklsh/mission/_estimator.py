"""What all MISSION estimators do alike: parameters, checks of their data, training."""

import copy
import math
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_random_state

from sklsh._callbacks import EpochCallbacks, without_callbacks
from sklsh._collections import fit_collection, is_collection
from sklsh._memory import require_bytes
from sklsh._sketched_linear import MOST_PLACES, SketchedLinear
from sklsh._sklearn import (
    Interval,
    StrOptions,
    VersionStamp,
    at_least,
    check_sample_weight,
    checked_csr,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh._targets import LabelCounts, TargetFormat, class_weights
from sklsh._training import WHOLE, rate_schedule
from sklsh.lsh._rows import canonical_csr
from sklsh.mission import _auto
from sklsh.mission._fitted import FittedSketchedLinear
from sklsh.mission._merging import Merging
from sklsh.mission._rounds import SketchedInRounds
from sklsh.mission._training_rows import SketchedProgress, TrainingRows, numbers

CLASSIFICATION = ("log_loss", "hinge")


class SketchedLinearEstimator(
    FittedSketchedLinear, SketchedInRounds, Merging, VersionStamp, EpochCallbacks, BaseEstimator
):
    """Base of the estimators that train :class:`sklsh._sketched_linear.SketchedLinear`."""

    _parameter_constraints = {
        "n_features_to_select": [at_least(1)],
        "mode": [StrOptions({"active", "mission"})],
        "width": [StrOptions({"auto"}), at_least(1)],
        "depth": [StrOptions({"auto"}), Interval(Integral, 1, 16, closed="both")],
        "loss": [StrOptions({"log_loss", "hinge", "squared_error", "huber"})],
        "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "learning_rate": [StrOptions({"linear", "cosine", "invscaling", "constant"})],
        "power_t": [at_least(0, Real)],
        "alpha": [at_least(0, Real)],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), at_least(1)],
        "max_iter": [StrOptions({"auto"}), at_least(1)],
        "shuffle": ["boolean"],
        "normalize": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_features_to_select=100,
        *,
        mode="active",
        width="auto",
        depth="auto",
        loss="log_loss",
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
        class_weight=None,
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        self.n_features_to_select = n_features_to_select
        self.mode = mode
        self.width = width
        self.depth = depth
        self.loss = loss
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.epsilon = epsilon
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.normalize = normalize
        self.class_weight = class_weight
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; CSR, with int32 or int64 indices, is read as it is.

        y : array-like of shape (n_samples,)
            Labels or, for regression losses, numbers.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If the data do not fit, or if training diverges.

        MemoryError
            If the model would not fit; says how many bytes it takes.
        """
        if is_collection(X):
            return fit_collection(self, X, y, sample_weight)
        with unchanged_on_error(self):
            self._draw_seeds()
            rows = self._rows_of(X, y, sample_weight, reset=True)
            self._start(rows)
            n_epochs = _auto.epochs_for(self.max_iter, len(rows.weights))
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            with self._fit_task(X, y, metadata, n_epochs) as on_epoch:
                self._train(rows, n_epochs, self.learning_rate, on_epoch)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Make one pass over X and y.

        The rate is kept where `learning_rate` is "linear" or "cosine", which have no end to
        fall towards. What is "auto" goes by the rows of the first call. Callbacks are not
        called.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come, for losses of classification. Classifiers need
            it in the first call; for others it is by default the labels of that call.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError, MemoryError
            As for `fit`; the model is then as before the call.
        """
        self._validate_params()  # scikit-learn does so in the first call only
        with unchanged_on_error(self):
            resume = hasattr(self, "_model")
            if resume:
                self._check_same_loss()
            else:
                self._draw_seeds()
            rows = self._rows_of(
                X, y, sample_weight, reset=not resume, classes=classes, partial=True
            )
            if resume:
                self._model, self._progress = self._model.copy(), copy.deepcopy(self._progress)
            else:
                self._start(rows)
            falling = self.learning_rate in ("linear", "cosine")
            self._train(rows, 1, "constant" if falling else self.learning_rate, without_callbacks)
        return self

    def _check_same_loss(self):
        """Targets are made for the loss now set, but the model goes on with that of `fit`."""
        before = "log_loss" if self._kernel_loss == "multinomial" else self._kernel_loss
        if self.loss != before:
            raise ValueError(
                f"loss must stay {before!r}, as in the first call; got {self.loss!r}. Call fit to "
                "start anew."
            )

    def _draw_seeds(self):
        """Of the sketch, the order of rows, and tokens."""
        random_state = check_random_state(self.random_state)
        self._seeds = random_state.randint(2**31 - 1, size=3).tolist()

    def _rows_of(self, X, y, sample_weight, *, reset, classes=None, partial=False):
        """Checked rows with targets as the kernels take them."""
        X, y, weights = self._checked(X, y, sample_weight, classes, reset=reset)
        if not self._is_classification:
            return self._with_numbers(X, y, weights)
        if reset:
            if partial and classes is None and is_classifier(self):
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._take_format(TargetFormat.of(y, classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be as in the first call, {self.classes_!r}; got {classes!r}."
            )
        Y = self._format.encode(y)
        rows = self._with_classes(X, Y, weights, LabelCounts.of(Y, weights))
        if not rows.weights.any():
            raise ValueError("class_weight and sample_weight leave no row with a weight.")
        return rows

    @property
    def _is_classification(self):
        return self.loss in CLASSIFICATION

    def _checked(self, X, y, sample_weight, classes, *, reset):
        X, y = self._validated(X, y, reset=reset, y_numeric=not self._is_classification)
        if classes is not None and not self._is_classification:
            raise ValueError(f"classes must be None for loss={self.loss!r}; got {classes!r}.")
        return X, y, check_sample_weight(sample_weight, X, np.float32)

    def _take_format(self, target_format):
        """Begin with classes that look like this."""
        self._format, self.classes_ = target_format, target_format.classes
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must have at least 2 classes; got one class, {self.classes_[0]!r}."
            )

    def _with_numbers(self, X, y, weights):
        return TrainingRows(X, numbers(y), weights)

    def _with_classes(self, X, Y, weights, counts):
        """Rows of these classes, which occur as often as `counts` says."""
        if self.class_weight is not None:
            weights = weights * class_weights(self.class_weight, self.classes_, counts)[Y.indices]
        targets = Y.indices.astype(np.float32)
        return TrainingRows(X, 2 * targets - 1 if len(self.classes_) == 2 else targets, weights)

    def _validated(self, X, y, *, reset, y_numeric):
        X, y = validate_data(
            self, X, y, accept_sparse="csr", accept_large_sparse=True, dtype=np.float32,
            y_numeric=y_numeric, reset=reset,
        )  # fmt: skip
        return self._as_rows(X), y

    def _as_rows(self, X):
        """CSR of float32, of rows of unit length if they are to be."""
        X = checked_csr(X)
        if self.normalize:
            X = canonical_csr(X)  # values of a feature that is there twice add up
            row_of = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
            squares = np.bincount(row_of, np.square(X.data, dtype=np.float64), X.shape[0])
            factors = (1 / np.sqrt(np.where(squares > 0, squares, 1)))[row_of]
            X = sp.csr_array((X.data * factors.astype(np.float32), X.indices, X.indptr), X.shape)
        return X

    def _start(self, rows):
        """A fresh model for such rows."""
        self._kernel_loss = self._loss_of_kernel()
        n_outputs = len(self.classes_) if self._n_columns() > 2 else 1
        sizes = _auto.sizes_for(self.n_features_to_select, self.mode, self.width, self.depth)
        self._check_sizes(n_outputs, sizes)
        mean, largest, curvature = _auto.scale_of(rows.X, rows.weights)
        l2 = self.alpha * (1 - self.l1_ratio)
        rate = _auto.rate_for(self.learning_rate_init, self._kernel_loss, l2, mean, largest)
        if rate * l2 >= 1 and self.learning_rate_init != "auto":
            raise ValueError(
                f"learning_rate_init={self.learning_rate_init} times the l2 penalty, alpha * "
                f"(1 - l1_ratio) = {l2}, must be below 1, or all weights stay zero."
            )
        self._progress = SketchedProgress(
            np.random.default_rng(self._seeds[1]),
            rate=rate,
            batch_size=_auto.rows_per_step(self.batch_size, self._kernel_loss, l2, rate, curvature),
        )
        self._model = SketchedLinear(n_outputs, mode=self.mode, seed=self._seeds[0], **sizes)
        if not self._is_classification:  # far from zero it would be learnt at weights' cost
            self._model.intercept[:] = np.average(rows.targets, weights=rows.weights)

    def _n_columns(self):
        return len(self.classes_) if self._is_classification else 1

    def _loss_of_kernel(self):
        return "multinomial" if self.loss == "log_loss" and self._n_columns() > 2 else self.loss

    def _check_sizes(self, n_outputs, sizes):
        width, depth, capacity = sizes["width"], sizes["depth"], sizes["capacity"]
        if width & (width - 1):
            raise ValueError(
                f"width must be a power of two, such as {1 << width.bit_length()}; got {width}."
            )
        if depth * width + capacity >= MOST_PLACES:
            raise ValueError(
                f"depth * width and n_features_to_select must come to less than {MOST_PLACES:,} "
                f"cells and features; got depth={depth}, width={width:,}, "
                f"n_features_to_select={self.n_features_to_select:,}."
            )
        require_bytes(
            SketchedLinear.bytes_needed(n_outputs, capacity, width, depth),
            f"A model of {self.n_features_to_select:,} features and {depth} x {width:,} cells with "
            f"{n_outputs:,} outputs",
            "A smaller width, depth or n_features_to_select takes less.",
        )

    def _train(self, rows, n_epochs, schedule, on_epoch, part=WHOLE):
        progress, schedule = self._progress, rate_schedule(schedule, self.power_t)
        of_weight, batch_size = np.flatnonzero(rows.weights), progress.batch_size
        n_batches = math.ceil(len(of_weight) / batch_size)
        objective = {
            "loss": self._kernel_loss,
            "epsilon": self.epsilon,
            "l2": self.alpha * (1 - self.l1_ratio),
            "l1": self.alpha * self.l1_ratio if self.mode == "active" else 0.0,
        }
        n_threads = effective_n_threads(self.n_jobs)
        for epoch, first, last in part.batches(n_epochs, n_batches):
            with on_epoch(epoch) as task:
                order = of_weight
                if self.shuffle:
                    generator = part.generator(progress.random_generator, epoch)
                    order = generator.permutation(of_weight)
                order = order[batch_size * first : batch_size * last]
                before = epoch * n_batches
                factors = [
                    schedule(step / (n_epochs * n_batches), progress.n_steps + i)
                    for i, step in enumerate(range(before + first, before + last), start=1)
                ]
                with np.errstate(over="ignore"):  # training then diverges
                    rates = (progress.rate * np.array(factors)).astype(np.float32)
                loss = self._model.train(
                    rows.X, rows.targets, rows.weights, order, rates,
                    batch_size=batch_size, objective=objective, n_threads=n_threads,
                )  # fmt: skip
                weight = float(rows.weights[order].sum(dtype=np.float64))
                progress.note_epoch(loss, weight, n_labels=0)
                progress.n_steps += last - first
            if task.stop:
                break
        self._note_names(rows.X)

    def _note_names(self, X):
        """Remember what is known only while the rows are there."""

    def _epoch_line(self):
        return f"Epoch {self._progress.n_epochs}, loss = {self._progress.loss_curve[-1]:.6f}"

    def _reconstruction_attributes(self):
        names = [
            "classes_",
            "n_features_in_",
            "feature_names_in_",
            "_format",
            "_kernel_loss",
            "_seeds",
        ]
        kept = {name: vars(self)[name] for name in names if name in vars(self)}
        return kept | {"_model": self._model.copy(), "_progress": copy.deepcopy(self._progress)}

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_model")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags
