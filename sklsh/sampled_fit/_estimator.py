"""SampledFit: any estimator that learns in batches, trained on the rows that still teach."""

import math
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import check_random_state, get_tags

from sklsh._row_samplers import (
    DRAW_CONSTRAINTS,
    check_row_sampler,
    draw_settings,
    make_row_sampler,
    require_sampler_bytes,
)
from sklsh._sklearn import (
    HasMethods,
    StrOptions,
    VersionStamp,
    at_least,
    check_sample_weight,
    effective_n_threads,
    fit_context,
    unchanged_on_error,
)
from sklsh.row_sampling import Pass, RowDraws
from sklsh.sampled_fit._checked_rows import CheckedRows
from sklsh.sampled_fit._delegated import DelegatedPredictions
from sklsh.sampled_fit._reports import DrawReports
from sklsh.sampled_fit._row_scores import RowScore
from sklsh.sampled_fit._training import Trainee, train_epoch

__all__ = ["SampledFit"]

DRAWS = 200_000  # that "auto" makes at least, within these epochs
EPOCHS = 5, 50
STEP = 1e9  # multiply-adds on a row: what a step costs is not known, so look-ups cost nothing


class SampledFit(
    CheckedRows, DelegatedPredictions, DrawReports, VersionStamp, MetaEstimatorMixin, BaseEstimator
):
    """Any estimator with `partial_fit`, trained on the rows that still teach.

    Late in training most rows of a large data set are learnt, and a batch of them changes
    nothing. This draws rows by how much they teach, as a sketch remembers it of earlier rows
    with like features and target, and passes them to the `partial_fit` of the estimator, each
    with a weight that makes up for how likely it was drawn: the mean gradient stays that of all
    rows. It is :class:`sklsh.KernelSampledSGD` around any model.

    Parameters
    ----------
    estimator : estimator object
        Classifier or regressor whose `partial_fit` accepts `sample_weight`. What it has by
        itself of settings that go by the rows of a call goes by those of a batch here.

    sampler : {"kernel", "stale", "exact", "uniform"} or RowSampler, default="kernel"
        What tells how much a row still teaches. "kernel": a regression on rows of like features
        and target that steps have come by, from sums in a sketch; it takes a few look-ups, and
        tells of rows never seen. "stale": what the row itself taught when a step last came by.
        "exact": the estimator, asked anew. "uniform": nothing; batches in random order. Or one
        of your own.

    n_rows : int, default=10
        Rows of counters in the sketch, each with a code of its own for every row of X.

    n_bits : int, default=10
        Bits of a code, 1 to 24, signs of random projections.

    n_buckets : int, default=2**12
        Counters in a row of the sketch, a power of two. Each takes 24 bytes.

    include_target : bool, default=True
        Whether only rows of the same class, or with targets in the same eighth of those of the
        first call, tell of each other. Indicator matrices never count.

    row_score : "auto" or callable, default="auto"
        What a row teaches: a callable of the fitted estimator, X and y that returns a
        non-negative number for each row. "auto" is for regressors the error; for classifiers
        the norm of the difference of probabilities and labels or, where there are no
        probabilities, the root of how many scores are within a margin of 1, as in the hinge
        loss. From 2,049 classes on it is whether the best class is wrong.

    observe_every : int, default=1
        Of how many batches one is scored. To score it takes a prediction of its rows; more
        save time, and teach the sketch more slowly.

    pool_factor : float, default=5
        Rows that are scored for each that is drawn. More keep scores fresher, and cost more.

    subsample : float, default=1.0
        Draws of an epoch, or of a call of `partial_fit`, to rows, in (0, 1], as far as it draws by
        scores: on a stream, which brings each row once, this is what saves time.

    floor : float, default=0.1
        Share of the draws that does not go by scores, in (0, 1]. No row is weighted by more
        than 1 / floor times the mean weight.

    importance_power : float, default=1.0
        Power, in [0, 1], of the weights that make up for how likely a row was drawn. At 1 the
        gradient is unbiased. Below, rows that teach much count for more than they are.

    decay : float, default=0.99
        In (0, 1]; what the sketch multiplies earlier rows by with each batch.

    warmup : int, default=25
        Batches, over all calls, that are drawn uniformly first, at least.

    min_gain : float, default=2.0
        Least `sampling_gain_` at which rows are drawn by scores; it has to pay for predictions of
        them. Below it draws are uniform, and are asked now and then whether scores would pay.
        "exact", which also scores rows that it does not draw, takes more. 0: scores in any case.

    batch_size : int, default=512
        Rows passed to `partial_fit` at a time. An estimator with batches of its own divides
        these further.

    max_iter : int or "auto", default="auto"
        Epochs, each of as many draws as there are rows. "auto" makes about 200,000 draws, in 5 to
        50 epochs.

    verbose : bool or int, default=False
        Whether to print how each epoch was drawn.

    random_state : int, RandomState instance or None, default=None
        Draws rows and hash functions. The estimator has its own.

    n_jobs : int or None, default=None
        OpenMP threads that hash rows; None means 1, -1 all. Results do not depend on it. The
        estimator has its own.

    Attributes
    ----------
    estimator_ : estimator object
        The trained estimator.

    classes_ : ndarray of shape (n_classes,)
        Labels of a classifier; column numbers if multilabel.

    sampling_gain_ : float
        Estimate of how many times smaller the second moment of a row's weighted score is under
        draws by scores than under uniform ones; NaN while nothing is known. If scores are sizes
        of gradients, it is how many times more rows a uniform batch would need for one of as
        little noise.

    sampled_share_ : float
        Share of all draws that went by scores; less than 1 by the warm-up and `min_gain`.

    n_iter_ : int
        Epochs, over all calls.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    KernelSampledSGD : The same draws for a network of its own, which scores rows for nothing.

    Notes
    -----
    Each scored row costs a prediction, each batch a call of `partial_fit`, and each draw some
    look-ups. That pays where few rows still teach, a hard region or a rare class among many
    rows learnt long ago, and where training on a row costs much more than to predict it: around
    networks. Around linear models it lowers the noise of batches, but more uniform batches
    do so for less.

    Rows of no weight are left out. X is read as float32, and passed on without names. Scale
    features and targets as the estimator wants them. One that counts, such as naive Bayes,
    counts each row as often as it is drawn: ``max_iter=1`` is for those.

    References
    ----------
    S. Daghaghi, B. Coleman, B. Geordie and A. Shrivastava, "Adaptive sampling for deep learning
    via efficient nonparametric proxies", 2023. arXiv:2311.13583

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> from sklsh import SampledFit
    >>> X, y = make_classification(n_samples=20000, weights=[0.95], random_state=0)
    >>> model = SampledFit(SGDClassifier(loss="log_loss", random_state=0), random_state=0)
    >>> model.fit(X[:15000], y[:15000]).score(X[15000:], y[15000:]) > 0.95
    True
    >>> model.sampling_gain_ > 1.5
    True
    """

    _parameter_constraints = DRAW_CONSTRAINTS | {
        "estimator": [HasMethods(["partial_fit", "predict"])],
        "row_score": [StrOptions({"auto"}), callable],
        "observe_every": [at_least(1)],
        "max_iter": [StrOptions({"auto"}), at_least(1)],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        estimator,
        *,
        sampler="kernel",
        n_rows=10,
        n_bits=10,
        n_buckets=2**12,
        include_target=True,
        row_score="auto",
        observe_every=1,
        pool_factor=5,
        subsample=1.0,
        floor=0.1,
        importance_power=1.0,
        decay=0.99,
        warmup=25,
        min_gain=2.0,
        batch_size=512,
        max_iter="auto",
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.sampler = sampler
        self.n_rows = n_rows
        self.n_bits = n_bits
        self.n_buckets = n_buckets
        self.include_target = include_target
        self.row_score = row_score
        self.observe_every = observe_every
        self.pool_factor = pool_factor
        self.subsample = subsample
        self.floor = floor
        self.importance_power = importance_power
        self.decay = decay
        self.warmup = warmup
        self.min_gain = min_gain
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, classes=None):
        """Train a clone of the estimator on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            Labels or numbers; or an indicator matrix, if the estimator is for such.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss. Draws by scores go by it as well.

        classes : array-like of shape (n_classes,), default=None
            For classifiers, all labels that will ever come; by default those of y.

        Returns
        -------
        self : SampledFit
            Fitted estimator.

        Raises
        ------
        MemoryError
            If sketch and codes of rows would not fit; says how many bytes they take.

        TypeError
            If the `partial_fit` of the estimator does not accept `sample_weight`.

        ValueError
            If the data do not fit. The model stays as it was.
        """
        with unchanged_on_error(self):
            rows = self._start(X, y, sample_weight, classes, resume=False)
            n_epochs = self.max_iter
            if n_epochs == "auto":
                n_epochs = int(np.clip(math.ceil(DRAWS / rows[0].shape[0]), *EPOCHS))
            self._train(*rows, n_epochs, resume=False)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Make as many draws from X and y as they have rows.

        The sketch goes on from call to call, so that rows never seen before are drawn by what
        was learnt of others like them.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        classes : array-like of shape (n_classes,), default=None
            For classifiers, all labels that will ever come; needed in the first call, unless y
            is an indicator matrix.

        Returns
        -------
        self : SampledFit
            Fitted estimator.

        Raises
        ------
        MemoryError, TypeError
            As for `fit`.

        ValueError
            If the data do not fit, which leaves the model as it was. Where training itself
            fails, the estimator keeps what it has learnt until then.
        """
        self._validate_params()  # scikit-learn does so in the first call only
        with unchanged_on_error(self):
            resume = hasattr(self, "estimator_")
            rows = self._start(X, y, sample_weight, classes, resume=resume, partial=True)
            self._train(*rows, 1, resume=resume)
        return self

    def _start(self, X, y, sample_weight, classes, *, resume, partial=False):
        """Checked X, y, weights and groups of the rows to train on; sampler and model anew."""
        self._check_estimator()
        check_row_sampler(self)
        self._n_threads = effective_n_threads(self.n_jobs)
        X, y = self._validated(X, y, reset=not resume)
        weight = check_sample_weight(sample_weight, X, np.float32)
        if is_classifier(self):
            y, groups = self._labels(y, classes, resume=resume, partial=partial)
        elif classes is not None:
            raise ValueError(f"classes must be None for a regressor; got {classes!r}.")
        else:
            y = groups = y.astype(np.float64)  # integers would be numbers of classes
        require_sampler_bytes(self, X.shape[0])
        if not resume:
            self._create()
        kept = weight > 0
        if not kept.all():
            X, y, weight, groups = X[kept], y[kept], weight[kept], groups[kept]
        return X, y, weight, groups

    def _create(self):
        multilabel = is_classifier(self) and self._format.multilabel
        random_state = check_random_state(self.random_state)
        self._generator = np.random.default_rng(random_state.randint(2**31 - 1))
        include_target = self.include_target and not multilabel
        self._draws = RowDraws(
            make_row_sampler(self, random_state.randint(2**31 - 1), include_target)
        )
        self.estimator_ = clone(self.estimator)
        self.n_iter_ = 0

    def _train(self, X, y, weight, groups, n_epochs, *, resume):
        first_arguments = None
        if not resume:
            first_arguments = {"classes": self.classes_} if is_classifier(self) else {}
        row_score = RowScore(self.row_score, self._format if is_classifier(self) else None)
        trainee = Trainee(self.estimator_, row_score, first_arguments)
        data = Pass(X, groups, lambda rows: trainee.scores(X[rows], y[rows]), self._n_threads)
        observe_every = None if self.sampler == "uniform" else self.observe_every
        try:
            self._draws.begin(data, weight, STEP, self._generator, **draw_settings(self))
            for _ in range(n_epochs):
                train_epoch(trainee, self._draws, X, y, observe_every=observe_every)
                self.n_iter_ += 1
                if self.verbose:
                    print(
                        f"Epoch {self.n_iter_}: {self.sampled_share_:.0%} of all rows drawn by "
                        f"scores, sampling gain {self.sampling_gain_:.2f}"
                    )
        finally:
            self._draws.end()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_draws")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_estimator = get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags"):
            setattr(tags, name, getattr(of_estimator, name))
        tags.input_tags.sparse = of_estimator.input_tags.sparse
        tags.input_tags.positive_only = of_estimator.input_tags.positive_only
        return tags
