"""What all classifiers on the shared network do alike: training and fitted attributes.

A subclass holds the parameters and answers four questions: which loss, which negatives,
how big a batch, how much dropout.
"""

import copy
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state

from sklsh._memory import require_bytes
from sklsh._network import Network, bytes_needed
from sklsh._prediction import NetworkPredictions
from sklsh._sklearn import (
    CallbackSupportMixin,
    check_is_fitted,
    check_sample_weight,
    checked_csr,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh._targets import TargetFormat, label_share
from sklsh._training import Plan, Progress, train
from sklsh.optimizers import make_optimizer


class NetworkClassifier(NetworkPredictions, CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Base of the classifiers that train :class:`sklsh._network.Network`."""

    # ---- training ----

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
            If weights and optimizer state would not fit; says how many bytes they take.

        ValueError
            If the data do not fit, or if training diverges. The model stays as it was,
            except where `warm_start` trains it on in place and that diverges or is
            interrupted.
        """
        with unchanged_on_error(self):
            resume = self.warm_start and hasattr(self, "_network")
            X, y, weight = self._validated(X, y, sample_weight, reset=not resume)
            Y = self._start(X, y, weight, resume=resume)
            plan = Plan(
                n_epochs=self.max_iter,
                batch_size=min(self._rows_per_step(X.shape[0]), X.shape[0]),
                learning_rate=self.learning_rate_init,
                input_dropout=self._dropout(X),
                switch_loss=self._network.loss == "softmax" and self._switches_loss(),
            )
            metadata = None if sample_weight is None else {"sample_weight": weight}
            with self._fit_task(X, y, metadata) as on_epoch:
                self._train(X, Y, weight, plan, on_epoch)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Make one pass over X and y, at a constant learning rate.

        A model that starts here keeps to one loss: a switch has its place in a schedule,
        and there is none. After `fit`, training goes on with the loss that ended it.
        "auto" settings go by the rows of this call. With small batches a
        `learning_rate_init` of about 0.001 suits a constant rate better than the default.
        Callbacks are not called.

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
            Y = self._start(X, y, weight, classes, resume=resume, partial=True)
            plan = Plan(
                n_epochs=1,
                batch_size=min(self._rows_per_step(X.shape[0]), X.shape[0]),
                learning_rate=self.learning_rate_init,
                decay=False,
                input_dropout=self._dropout(X),
            )
            self._train(X, Y, weight, plan, without_callbacks)
        return self

    def _validated(self, X, y, sample_weight, reset):
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True, reset=reset
        )
        if sp.issparse(X):
            X = checked_csr(X)
        return X, y, check_sample_weight(sample_weight, X, np.float32)

    def _start(self, X, y, weight, classes=None, *, resume, partial=False):
        """Targets as CSR; a fresh network unless the old one goes on."""
        sizes = self._checked_sizes()
        if resume:
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(
                    f"classes must be as in the first call, {self.classes_!r}; got {classes!r}."
                )
            Y = self._format.encode(y)
        else:
            target_format = TargetFormat.of(y, classes)
            if partial and classes is None and not target_format.multilabel:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            Y = target_format.encode(y)
            self._format, self.classes_ = target_format, target_format.classes
            self._create(X.shape[1], sizes, Y, weight)
        self._n_threads = effective_n_threads(self.n_jobs)
        self._network.make_trainable(self._n_threads)
        return Y

    def _create(self, n_features, sizes, Y, weight):
        n_classes = Y.shape[1]
        optimizer = make_optimizer(self.optimizer)
        self._require_memory(n_features, sizes, n_classes, optimizer.n_slots)
        random_state = check_random_state(self.random_state)
        self._network = Network(
            n_features, n_classes, sizes, optimizer=optimizer, random_state=random_state
        )
        self._negatives = self._make_negatives(
            n_classes, sizes[-1], random_state.randint(2**31 - 1)
        )
        seed = random_state.randint(2**31 - 1)
        self._progress = Progress(np.random.default_rng(seed))
        self._network.loss = self._first_loss()
        if self._network.loss == "logistic":
            self._network.start_bias_at_prior(label_share(Y, weight))

    def _checked_sizes(self):
        sizes = np.atleast_1d(self.hidden_layer_sizes)
        if sizes.ndim != 1 or len(sizes) == 0 or sizes.dtype.kind not in "iu" or sizes.min() < 1:
            raise ValueError(
                "hidden_layer_sizes must be one or more integers of at least 1; "
                f"got {self.hidden_layer_sizes!r}."
            )
        return tuple(sizes.tolist())

    def _require_memory(self, n_features, sizes, n_classes, n_slots):
        require_bytes(
            bytes_needed(n_features, sizes, n_classes, n_slots) + self._table_bytes(n_classes),
            f"A network of {n_features:,} features, hidden layers {sizes} and {n_classes:,} "
            f"classes with the state of optimizer={self.optimizer!r} and its hash tables",
            "Smaller hidden_layer_sizes, hashed features or optimizer='sgd' take less.",
        )

    def _train(self, X, Y, weight, plan, on_epoch):
        self._negatives.prepare(self._n_threads)
        train(self._network, self._negatives, X, Y, weight, plan, self._progress, on_epoch)
        self._network.release_buffers()

    @contextmanager
    def _fit_task(self, X, y, metadata):
        """scikit-learn's callbacks around fit; yields the context manager of an epoch."""
        data = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        attributes = self._reconstruction_attributes
        fit_task = self._init_callback_context(max_subtasks=self.max_iter)
        fit_task.call_on_fit_task_begin(**data)

        @contextmanager
        def on_epoch(epoch):
            task = fit_task.subcontext(task_name="epoch")
            task.call_on_fit_task_begin(**data)
            outcome = SimpleNamespace(stop=False)
            yield outcome
            if self.verbose:
                print(f"Epoch {epoch + 1}, loss = {self.loss_curve_[-1]:.6f}")
            outcome.stop = task.call_on_fit_task_end(**data, reconstruction_attributes=attributes)

        yield on_epoch
        fit_task.call_on_fit_task_end(**data, reconstruction_attributes=attributes)

    def _reconstruction_attributes(self):
        """What an estimator needs to predict as if training had ended now."""
        names = ["classes_", "n_features_in_", "feature_names_in_", "_format"]
        kept = {name: vars(self)[name] for name in names if name in vars(self)}
        return kept | {
            "_network": self._network.frozen(),
            "_negatives": copy.deepcopy(self._negatives),
            "_progress": copy.deepcopy(self._progress),
        }

    # ---- fitted attributes ----

    @property
    def coefs_(self):
        """Weight matrices, views of shape (fan_in, fan_out)."""
        check_is_fitted(self)
        return self._network.coefs

    @property
    def intercepts_(self):
        """Bias vectors, views."""
        check_is_fitted(self)
        return self._network.intercepts

    @property
    def n_iter_(self):
        """Epochs, over all calls."""
        check_is_fitted(self)
        return self._progress.n_epochs

    @property
    def t_(self):
        """Training steps, over all calls."""
        check_is_fitted(self)
        return self._progress.n_steps

    @property
    def loss_curve_(self):
        """Mean loss of a row in each epoch."""
        check_is_fitted(self)
        return self._progress.loss_curve

    @property
    def n_active_(self):
        """Mean number of classes a step looked at."""
        check_is_fitted(self)
        return self._progress.n_active_sum / self._progress.n_steps

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_network")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags


@contextmanager
def without_callbacks(epoch):
    """Stand-in for an epoch's callbacks where there are none."""
    yield SimpleNamespace(stop=False)
