"""What the estimators do alike that draw the rows they train on: checks, training, attributes."""

import copy
import math
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_random_state

from sklsh._callbacks import EpochCallbacks, without_callbacks
from sklsh._collections import fit_collection, is_collection
from sklsh._constraints import CONSTRAINTS
from sklsh._memory import require_bytes
from sklsh._row_samplers import (
    DRAW_CONSTRAINTS,
    check_row_sampler,
    draw_settings,
    make_row_sampler,
    require_sampler_bytes,
    sampler_bytes,
)
from sklsh._score_network import ScoreNetwork, bytes_needed
from sklsh._sklearn import (
    StrOptions,
    VersionStamp,
    at_least,
    check_is_fitted,
    check_sample_weight,
    checked_csr,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
    validate_data,
)
from sklsh._training import EarlyStopping, Plan, Progress, split_off
from sklsh.kernel_sgd._fitted import FittedDraws
from sklsh.kernel_sgd._rates import (
    automatic_rate,
    check_rule,
    described_rule,
    finds_rates,
    make_rule,
    resume_rule,
    schedule_of,
)
from sklsh.kernel_sgd._training import TrainingRows, diverged, of_weight, train_on_draws
from sklsh.row_sampling import Kernel, Pass, RowDraws

STEPS = 3000  # that "auto" makes at least, within these epochs
EPOCHS = 10, 200
SHARED = (
    "optimizer", "learning_rate", "power_t", "early_stopping",
    "validation_fraction", "n_iter_no_change", "tol", "warm_start", "verbose", "random_state",
    "n_jobs", "max_iter",
)  # fmt: skip


class RowSampledEstimator(FittedDraws, VersionStamp, EpochCallbacks, BaseEstimator):
    """Base of the estimators that train :class:`sklsh._score_network.ScoreNetwork`."""

    _parameter_constraints = (
        {name: CONSTRAINTS[name] for name in SHARED}
        | DRAW_CONSTRAINTS
        | {
            "hidden_layer_sizes": ["array-like"],
            "row_score": [StrOptions({"grad_norm", "loss"})],
            "alpha": [at_least(0, Real)],
            "learning_rate_init": [StrOptions({"auto"}), *CONSTRAINTS["learning_rate_init"]],
            "learning_rate": [StrOptions({"vsgd"}), *CONSTRAINTS["learning_rate"]],
        }
    )
    _loss_unit = 1.0  # what losses of the network are multiplied by to be those of the targets

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        loss=None,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.sampler = sampler
        self.n_rows = n_rows
        self.n_bits = n_bits
        self.n_buckets = n_buckets
        self.include_target = include_target
        self.row_score = row_score
        self.pool_factor = pool_factor
        self.subsample = subsample
        self.floor = floor
        self.importance_power = importance_power
        self.decay = decay
        self.warmup = warmup
        self.min_gain = min_gain
        self.alpha = alpha
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. CSR is read as it is; dense rows are made sparse batch by batch.

        y : array-like of shape (n_samples,)
            Labels of a classifier, numbers of a regressor.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss. Draws by scores go by it as well.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        MemoryError
            If weights, optimizer state, sketch and codes of rows would not fit; says how many
            bytes they take.

        ValueError
            If the data do not fit, or if training diverges. The model stays as it was,
            except where `warm_start` trains it on in place.
        """
        if is_collection(X):
            return fit_collection(self, X, y, sample_weight)
        with unchanged_on_error(self):
            resume = self.warm_start and hasattr(self, "_network")
            X, y, weight = self._validated(X, y, sample_weight, reset=not resume)
            metadata = None if sample_weight is None else {"sample_weight": weight}
            rows, groups, weight = self._start(X, y, weight, resume=resume)
            n_epochs = self._n_epochs(len(weight))
            with self._fit_task(X, y, metadata, n_epochs) as on_epoch:
                self._train(rows, groups, weight, n_epochs, on_epoch)
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None):
        self._validate_params()  # scikit-learn does so in the first call only
        with unchanged_on_error(self):
            resume = hasattr(self, "_network")
            X, y, weight = self._validated(X, y, sample_weight, reset=not resume)
            rows, groups, weight = self._start(X, y, weight, classes, resume=resume, partial=True)
            self._train(rows, groups, weight, 1, without_callbacks, partial=True)
        return self

    def _validated(self, X, y, sample_weight, reset):
        with np.errstate(over="ignore"):  # it is refused as infinite
            X, y = validate_data(
                self, X, y, accept_sparse="csr", dtype=np.float32, reset=reset,
                y_numeric=not is_classifier(self),
            )  # fmt: skip
        if sp.issparse(X):
            X = checked_csr(X)
        return X, y, check_sample_weight(sample_weight, X, np.float32)

    def _start(self, X, y, weight, classes=None, *, resume, partial=False):
        """Rows of weight to train on, what groups them, and their weights in `sample_weight`.

        The network is a fresh one unless the old one goes on.
        """
        sizes = self._checked_sizes()
        check_row_sampler(self)
        self._n_threads = effective_n_threads(self.n_jobs)
        rows, groups = self._training_rows(X, y, weight, classes, resume=resume, partial=partial)
        rows, groups, weight = of_weight(rows, groups, weight)
        if resume:
            self._require_same_loss()
            resume_rule(self, self._network)
            require_sampler_bytes(self, len(weight))
        else:
            self._create(rows, sizes, len(weight), partial)
        self._network.make_trainable(self._n_threads)
        return rows, groups, weight

    def _require_same_loss(self):
        before = {"multinomial": "log_loss"}.get(self._network.loss, self._network.loss)
        if self.loss != before:
            raise ValueError(
                f"loss must stay {before!r}, as in the first call; got {self.loss!r}. Call fit "
                "without warm_start to start anew."
            )

    def _create(self, rows, sizes, n, partial):
        """A fresh network for n rows like these."""
        n_features, n_outputs = rows.X.shape[1], self._n_outputs()
        self._require_memory(n, n_features, sizes, n_outputs, partial)
        random_state = check_random_state(self.random_state)
        self._network = ScoreNetwork(
            n_features, n_outputs, sizes, loss=self._loss_of_kernel(),
            epsilon=self._epsilon_of_kernel(), optimizer=make_rule(self), random_state=random_state,
        )  # fmt: skip
        self.learning_rate_init_ = automatic_rate(self, rows.X)
        seeds = random_state.randint(2**31 - 1, size=2).tolist()
        self._progress = Progress(np.random.default_rng(seeds[0]))
        self._draws = RowDraws(make_row_sampler(self, seeds[1]))

    def _epsilon_of_kernel(self):
        """Parameter of the loss, if it has one."""
        return 0.0

    def _train(self, rows, groups, sample_weight, n_epochs, on_epoch, partial=False):
        stopping = None
        if self.early_stopping and not partial:
            kept, held_out = split_off(
                np.flatnonzero(sample_weight),
                self.validation_fraction,
                self._progress.random_generator,
            )
            score = self._validation_score(
                rows.X[held_out], rows.targets[held_out], sample_weight[held_out]
            )
            stopping = EarlyStopping(score, tol=self.tol, patience=self.n_iter_no_change)
            rows, groups = TrainingRows(*(part[kept] for part in rows)), groups[kept]
            if not rows.weight.any():
                raise ValueError("class_weight leaves no row with a weight to train on.")
        plan = self._plan(n_epochs, endless=partial)
        plan.early_stopping = stopping
        self._run(rows, groups, plan, on_epoch)

    def _plan(self, n_epochs, *, endless=False):
        return Plan(
            n_epochs=n_epochs, batch_size=self.batch_size, learning_rate=self._rate(),
            schedule=schedule_of(self, endless),
        )  # fmt: skip

    def _run(self, rows, groups, plan, on_epoch):
        """Carry out a plan."""
        if finds_rates(self):
            self._network.optimizer.l2 = self.alpha
        data = Pass(rows.X, groups, self._exact_scores(rows, plan), self._n_threads)
        step = self._network.multiply_adds(data.values_per_row, self.batch_size)
        try:
            self._draws.begin(
                data, rows.weight, step, self._progress.random_generator, **draw_settings(self)
            )
            train_on_draws(
                self._network, self._draws, rows, plan, self._progress, on_epoch,
                row_score=self.row_score, alpha=self.alpha, loss_unit=self._loss_unit,
            )  # fmt: skip
        finally:
            self._draws.end()
            self._network.release_buffers()

    def _rate(self):
        """Rate of the first step; "auto" is that of the first call."""
        if self.learning_rate_init != "auto" and not finds_rates(self):
            self.learning_rate_init_ = self.learning_rate_init
        return self.learning_rate_init_

    def _exact_scores(self, rows, plan):
        """Scores of rows by the network as it is, given their numbers."""

        def score(numbers):
            scores = self._network.scores(rows.X[numbers], self._n_threads)
            losses, norms = self._network.losses(scores, rows.targets[numbers])
            exact = norms if self.row_score == "grad_norm" else losses
            if not np.isfinite(exact).all():
                raise diverged("scores of rows are infinite", plan)
            return exact

        return score

    def _n_epochs(self, n):
        if self.max_iter != "auto":
            return self.max_iter
        return int(np.clip(math.ceil(STEPS / math.ceil(n / self.batch_size)), *EPOCHS))

    def _checked_sizes(self):
        sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
        whole = [isinstance(n, Integral) and not isinstance(n, bool) for n in sizes]
        if not all(whole) or min(sizes, default=1) < 1:
            raise ValueError(
                "hidden_layer_sizes must be any number of integers of at least 1; "
                f"got {self.hidden_layer_sizes!r}."
            )
        check_rule(self, sizes)
        return tuple(sizes)

    def _require_memory(self, n, n_features, sizes, n_outputs, partial):
        n_bytes = bytes_needed(n_features, sizes, n_outputs, make_rule(self))
        n_bytes += sampler_bytes(self, n)
        if self.early_stopping and not partial:  # also the best weights so far
            n_bytes += bytes_needed(n_features, sizes, n_outputs, None)
        require_bytes(
            n_bytes,
            f"A network of {n_features:,} features, hidden layers {sizes} and {n_outputs:,} "
            f"outputs with the state of {described_rule(self)}, the sketch and the codes of "
            f"{n:,} rows",
            "Smaller hidden_layer_sizes, n_rows or n_buckets take less.",
        )

    # ---- after training ----

    def _scores(self, X):
        check_is_fitted(self)
        with np.errstate(over="ignore"):  # it is refused as infinite
            X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        X = checked_csr(X) if sp.issparse(X) else X
        return self._network.scores(X, effective_n_threads(self.n_jobs))

    def _estimate_loss(self, X, groups):
        sampler = self._draws.sampler
        if not isinstance(sampler, Kernel):
            raise ValueError(
                f'estimate_loss needs a model fitted with sampler="kernel"; got {self.sampler!r}.'
            )
        X = checked_csr(X) if sp.issparse(X) else X
        data = Pass(X, groups, None, effective_n_threads(self.n_jobs))
        return self._loss_unit * sampler.losses(data, np.arange(X.shape[0]))

    def _epoch_line(self):
        return self._progress.last_epoch(scored=self.early_stopping)

    def _reconstruction_attributes(self):
        names = [
            "classes_", "n_features_in_", "feature_names_in_", "learning_rate_init_", "_format",
            "_center", "_scale", "_loss_unit",
        ]  # fmt: skip
        kept = {name: vars(self)[name] for name in names if name in vars(self)}
        trained = {name: copy.deepcopy(vars(self)[name]) for name in ("_draws", "_progress")}
        return kept | trained | {"_network": self._network.frozen()}

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_network")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
