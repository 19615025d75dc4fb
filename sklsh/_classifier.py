"""What all classifiers on the shared network do alike: training and fitted attributes.

A subclass holds the parameters. Its predictions, its fitted attributes and how it explains
itself are mixed in from files of their own.
"""

import math
import warnings
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sklsh._auto import dropout_for, epochs_for, hidden_dropout_for, loss_for, rows_per_step
from sklsh._callbacks import EpochCallbacks, without_callbacks
from sklsh._collections import fit_collection, is_collection
from sklsh._constraints import CONSTRAINTS
from sklsh._explanation import NetworkExplanations
from sklsh._fitted import FittedNetwork
from sklsh._head import Head
from sklsh._hidden_sampling import (
    check_hidden_sampling,
    make_network,
    sampled_layer_bytes,
    sampling_of,
)
from sklsh._layer_tables import PredictionTables
from sklsh._local_training import ClassifierInRounds
from sklsh._memory import require_bytes
from sklsh._network import bytes_needed
from sklsh._prediction import NetworkPredictions
from sklsh._samplers import (
    check_negatives,
    make_sampler,
    product_dtype_for,
    sampler_bytes,
    step_bytes,
)
from sklsh._scores import PrecisionAtOne
from sklsh._sklearn import (
    VersionStamp,
    check_sample_weight,
    checked_csr,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh._targets import LabelCounts, TargetFormat, class_weights, label_share
from sklsh._training import EarlyStopping, Plan, Progress, rate_schedule, split_off, train
from sklsh.optimizers import make_optimizer

SAMPLE = 1000  # rows that tell which hidden units are of use
SILENT_SHARE = 0.75  # of them that are worth a warning if they are of none


class NetworkClassifier(
    ClassifierInRounds, NetworkPredictions, NetworkExplanations, FittedNetwork, VersionStamp,
    EpochCallbacks, ClassifierMixin, BaseEstimator,
):  # fmt: skip
    """Base of the classifiers that train :class:`sklsh._network.Network`.

    What only some of them let users set has its usual value here.
    """

    _parameter_constraints = CONSTRAINTS
    query = "embedding"
    frequency_power = 0.75
    redraw_every = None
    temperature = 1.0
    normalize = False
    hidden_sampling = None
    max_active = 0.05
    _least_layers = 1
    _validation_score = PrecisionAtOne

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. CSR is read as it is; dense rows are made sparse batch by batch.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            One label a row, of any type; or an indicator matrix of 0 and 1, where rows
            without labels and columns without rows are allowed.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        MemoryError
            If weights, optimizer state and what a step works on would not fit; says how many
            bytes they take.

        ValueError
            If the data do not fit, or if training diverges. The model stays as it was,
            except where `warm_start` trains it on in place and that diverges or is
            interrupted.

        Warns
        -----
        ConvergenceWarning
            If three quarters of the hidden units end up at zero for all rows.
        """
        if is_collection(X):
            return fit_collection(self, X, y, sample_weight)
        with unchanged_on_error(self):
            resume = self.warm_start and hasattr(self, "_network")
            X, y, weight = self._validated(X, y, sample_weight, reset=not resume)
            Y, row_weight = self._start(X, y, weight, resume=resume)
            metadata = None if sample_weight is None else {"sample_weight": weight}
            rows, early_stopping = self._held_out(X, Y, row_weight, weight)
            n_epochs = epochs_for(self.max_iter, X.shape[0])
            plan = self._plan(X.shape[0], sp.issparse(X), n_epochs, early_stopping=early_stopping)
            with self._fit_task(X, y, metadata, n_epochs) as on_epoch:
                self._train(*rows, plan, on_epoch)
            self._warn_of_silent_units(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Make one pass over X and y, at a constant learning rate.

        A model that starts here keeps to one loss: a switch has its place in a schedule,
        and there is none. After `fit`, training goes on with the loss that ended it.
        "auto" settings and ``class_weight="balanced"`` go by the rows of this call. With small
        batches a `learning_rate_init` of about 0.001 suits a constant rate better than the
        default. `early_stopping`, which has no epochs here, does nothing, and callbacks are
        not called. For files larger than memory see :func:`sklsh.datasets.iter_xmc_file`.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come. Needed in the first call, unless y is an
            indicator matrix.

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
        self._validate_params()  # scikit-learn does so in the first call only
        with unchanged_on_error(self):
            resume = hasattr(self, "_network")
            X, y, weight = self._validated(X, y, sample_weight, reset=not resume)
            Y, weight = self._start(X, y, weight, classes, resume=resume, partial=True)
            plan = self._plan(X.shape[0], sp.issparse(X), 1, partial=True)
            self._train(X, Y, weight, plan, without_callbacks)
        return self

    def _validated(self, X, y, sample_weight, reset):
        if sp.issparse(y) and y.shape[1] == 0:
            raise ValueError(f"y must have at least one column; got shape {y.shape}.")
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True, reset=reset
        )
        if sp.issparse(X):
            X = checked_csr(X)
        return X, y, check_sample_weight(sample_weight, X, np.float32)

    def _start(self, X, y, weight, classes=None, *, resume, partial=False):
        """Targets as CSR and weights of rows; a fresh network unless the old one goes on."""
        sizes = self._checked_settings()
        if resume:
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(
                    f"classes must be as in the first call, {self.classes_!r}; got {classes!r}."
                )
        else:
            if y.ndim == 2 and y.shape[1] > 1:  # before an array as long as that is made
                self._require_memory(X.shape[1], sizes, *y.shape, partial)
            target_format = TargetFormat.of(y, classes)
            if partial and classes is None and not target_format.multilabel:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._format, self.classes_ = target_format, target_format.classes
        Y = self._format.encode(y)
        counts = LabelCounts.of(Y, weight)
        of_classes = self._weights_of_classes(counts)
        Y, weight = self._weighted(Y, weight, of_classes)
        if not weight.any():
            raise ValueError("class_weight and sample_weight leave no row with a weight.")
        if not resume:
            self._create(X.shape[1], sizes, self._weighted_counts(counts, of_classes), partial)
        self._network.make_trainable(self._n_threads)
        return Y, weight

    def _checked_settings(self):
        """Sizes of hidden layers; settings that do not go together are refused."""
        sizes = self._checked_sizes()
        check_negatives(self)
        if self.normalize and self.dtype == "bfloat16":
            raise ValueError(
                'normalize=True keeps rows at unit length, which dtype="bfloat16" is too coarse '
                'for; choose "float32".'
            )
        self._n_threads = effective_n_threads(self.n_jobs)
        return sizes

    def _weights_of_classes(self, counts):
        """Weight of each class, given how often they occur; None if all count alike."""
        if self.class_weight is None:
            return None
        return class_weights(self.class_weight, self.classes_, counts)

    def _weighted_counts(self, counts, of_classes):
        """How often classes occur in rows that count as their class does."""
        if of_classes is None or self._format.multilabel:
            return counts
        return counts.times(of_classes)

    def _weighted(self, Y, weight, of_classes):
        """Class weights as weights of rows or, if multilabel, of labels."""
        if of_classes is not None:
            weights = of_classes[Y.indices]
            if self._format.multilabel:
                Y = sp.csr_array((weights, Y.indices, Y.indptr), shape=Y.shape)
            else:
                weight = weight * weights
        return self._label_weights(Y), weight

    def _label_weights(self, Y):
        """Weights of the labels in a row's loss: a sum over them."""
        return Y

    def _held_out(self, X, Y, weight, sample_weight):
        """(X, Y, weight) to train on, and the early stopping that watches the other rows.

        Rows of no `sample_weight`, by which the others are scored, are left out; `weight` has
        class weights in it.
        """
        if not self.early_stopping:
            return (X, Y, weight), None
        rows, held_out = split_off(
            np.flatnonzero(sample_weight),
            self.validation_fraction,
            self._progress.random_generator,
        )
        if not weight[rows].any():
            raise ValueError("class_weight leaves no row with a weight to train on.")
        score = self._validation_score(X[held_out], Y[held_out], sample_weight[held_out])
        stopping = EarlyStopping(score, tol=self.tol, patience=self.n_iter_no_change)
        return (X[rows], Y[rows], weight[rows]), stopping

    def _plan(self, n_rows, sparse, n_epochs, *, early_stopping=None, partial=False):
        schedule = self.learning_rate
        if partial and schedule in ("linear", "cosine"):  # there is no end to fall towards
            schedule = "constant"
        return Plan(
            n_epochs=n_epochs,
            batch_size=rows_per_step(self.batch_size, n_rows),
            learning_rate=self.learning_rate_init,
            schedule=rate_schedule(schedule, self.power_t),
            shuffle=self.shuffle,
            input_dropout=dropout_for(self.input_dropout, sparse, n_rows),
            hidden_dropout=hidden_dropout_for(self.hidden_dropout, sparse),
            switch_loss=(
                not partial
                and self._network.loss == "softmax"
                and self._loss_in_full() == "softmax_logistic"
            ),
            early_stopping=early_stopping,
            has_end=not partial,
        )

    def _create(self, n_features, sizes, counts, partial):
        n_classes = len(counts.plain)
        self._require_memory(n_features, sizes, counts.n_rows, n_classes, partial)
        optimizer, width = self._make_optimizer(), (n_features, *sizes)[-1]
        random_state = check_random_state(self.random_state)
        self._network = make_network(
            self, n_features, n_classes, sizes,
            optimizer=optimizer, random_state=random_state,
            dtype=self.dtype, product_dtype=product_dtype_for(self, n_classes, width),
            head=Head(self.temperature, self.normalize),
            random_output=self.correction == "importance",
        )  # fmt: skip
        seeds = random_state.randint(2**31 - 1, size=3).tolist()
        self._negatives = make_sampler(self, n_classes, width, seeds[0])
        self._progress = Progress(np.random.default_rng(seeds[1]))
        self._tables_for_prediction = PredictionTables(seeds[2])
        self._network.output.loss = self._loss_in_full().split("_")[0]
        if self._network.loss == "logistic":
            self._network.output.start_bias_at_prior(label_share(counts))

    def _loss_in_full(self):
        n_classes = len(self.classes_)
        return loss_for(self.loss, multilabel=self._format.multilabel, n_classes=n_classes)

    def _checked_sizes(self):
        sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
        whole = [isinstance(n, Integral) and not isinstance(n, bool) for n in sizes]
        if len(sizes) < self._least_layers or not all(whole) or min(sizes, default=1) < 1:
            number = "one or more" if self._least_layers else "any number of"
            raise ValueError(
                f"hidden_layer_sizes must be {number} integers of at least 1; "
                f"got {self.hidden_layer_sizes!r}."
            )
        check_hidden_sampling(self, sizes)
        return tuple(sizes)

    def _make_optimizer(self):
        return make_optimizer(
            self.optimizer, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon
        )

    def _require_memory(self, n_features, sizes, n_rows, n_classes, partial):
        optimizer = self._make_optimizer()
        shapes = n_features, sizes, n_classes
        by_unit = [kind is not None for kind in sampling_of(self, sizes)]
        n_bytes = bytes_needed(*shapes, optimizer, self.dtype, by_unit)
        width = (n_features, *sizes)[-1]
        n_bytes += sampler_bytes(self, n_classes, width)
        n_batch = rows_per_step(self.batch_size, n_rows)
        n_bytes += step_bytes(self, n_classes, width, n_batch, self._n_threads)
        if not sizes:  # the rows themselves are dense, and so is their gradient
            n_bytes += 2 * 4 * n_batch * n_features
        n_bytes += sampled_layer_bytes(self, sizes, n_batch)
        if self.early_stopping and not partial:  # also the best weights so far
            n_bytes += bytes_needed(*shapes, None, self.dtype, by_unit)
        require_bytes(
            n_bytes,
            f"A network of {n_features:,} features, hidden layers {sizes} and {n_classes:,} "
            f"classes with the state of optimizer={self.optimizer!r}, its hash tables and what a "
            "step works on",
            "Smaller hidden_layer_sizes, batch_size, n_tables or n_active, hashed features or "
            "optimizer='sgd' take less.",
        )

    def _train(self, X, Y, weight, plan, on_epoch):
        counts = LabelCounts.of(Y, weight)
        plan.labels_per_row = counts.labels_per_row
        self._negatives.note_labels(counts.plain)
        self._run(X, Y, weight, plan, on_epoch)

    def _run(self, X, Y, weight, plan, on_epoch):
        """Carry out a plan."""
        self._negatives.prepare(self._n_threads)
        try:
            train(self._network, self._negatives, X, Y, weight, plan, self._progress, on_epoch)
        finally:  # weights have changed, whatever has ended the training
            self._network.release_buffers()
            self._tables_for_prediction.forget()

    def _warn_of_silent_units(self, X):
        """Say so if training has left the hidden units without use."""
        n_units = sum(self._network.sizes[1:-1])
        if n_units == 0:
            return
        sample = X[:: math.ceil(X.shape[0] / SAMPLE)]
        n_silent = self._network.silent_units(sample, self._n_threads)
        if n_silent > SILENT_SHARE * n_units:
            warnings.warn(
                f"{n_silent} of {n_units} hidden units are zero for all of {sample.shape[0]} "
                "training rows, and learn nothing more. Lower learning_rate_init, or scale the "
                "features.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _epoch_line(self):
        return self._progress.last_epoch(scored=self.early_stopping)

    def _reconstruction_attributes(self):
        """What an estimator needs to predict as if training had ended now."""
        names = ["classes_", "n_features_in_", "feature_names_in_", "_format"]
        kept = {name: vars(self)[name] for name in names if name in vars(self)}
        return kept | self._lean_state()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_network")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags
