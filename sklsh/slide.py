"""SLIDEClassifier: a wide-output neural network that looks at few classes in each step."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp

from sklsh._classifier import NetworkClassifier
from sklsh._hashing import MAX_BITS, auto_n_bits
from sklsh._sklearn import Interval, StrOptions, at_least, check_is_fitted, fraction
from sklsh._tables import HashTables
from sklsh.negatives import LSH, Full, InBatch, Uniform
from sklsh.optimizers import OPTIMIZERS, Optimizer

__all__ = ["SLIDEClassifier"]

EXACT_BELOW = 2048  # with fewer classes sampling saves nothing: all are looked at
MANY_ROWS = 100_000  # from here on words are plentiful, and less dropout is needed


class SLIDEClassifier(NetworkClassifier):
    """Neural network for very many classes, trained on a few of them in each step.

    A sparse row is embedded, passes its hidden layers, and meets one row of output weights
    for each class. A training step does not score all classes but a candidate set that the
    batch shares: its labels, classes that hash tables over the output weights retrieve for
    it, and a uniform draw. Its cost hardly grows with the number of classes.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(256,)
        Widths of the hidden layers, rectified linear units. The first is the embedding of
        the features.

    loss : {"auto", "softmax", "logistic", "softmax_logistic"}, default="auto"
        "softmax": cross-entropy, summed over the labels of a row. "logistic": one-vs-rest
        log loss. "softmax_logistic": the softmax for the first 40 % of the steps, then
        the logistic loss. "auto": "softmax" for one label a row; for indicator matrices
        "logistic" with up to 2,048 classes, else "softmax_logistic".

    active_set : {"batch", "full"}, default="batch"
        Classes of a step: the batch's shared candidates, or all (the exact network). Up to
        2,048 classes are always exact.

    negatives : {"lsh", "uniform", "in_batch", "full"}, default="lsh"
        What stands in the candidate set beside the batch's labels: classes retrieved by
        hashing and re-ranked by their logit, with a uniform quarter; uniform draws only;
        nothing; all classes.

    n_active : int, default=1000
        Classes of a step beside the batch's labels.

    correction : {"logq", "head_tail", "none"}, default="logq"
        What makes up for the classes not looked at. "logq" takes from each logit the log
        of the share of steps that look at its class, so that sampling does not favour
        rare classes. "head_tail" weighs uniform draws by how many classes each stands
        for, which makes the softmax's sum unbiased. "none" ranks rare classes higher
        and may be ahead in the first epochs.

    hash_family : {"simhash"}, default="simhash"
        Hash functions; so far there is one family.

    n_bits : int or "auto", default="auto"
        Bits of a code; "auto" takes as many as leave about `bucket_size` classes in a
        bucket.

    n_tables : int, default=8
        Hash tables.

    bucket_size : int, default=6
        Wanted classes in a bucket, when `n_bits` is "auto"; a look-up reads at most a
        third more.

    rehash_every : int, default=50
        Batches until output rows that have changed are hashed again.

    rehash_growth : float, default=1.1
        Factor by which that period grows each time; at least 1.

    input_dropout : float or "auto", default="auto"
        Share of a row's non-zero values dropped at random in each step. "auto": 0.3 for
        sparse X, 0.1 from 100,000 rows on; 0 for dense X, whose features have no
        stand-ins.

    optimizer : {"adam", "momentum", "sgd"} or Optimizer, default="adam"
        How weights move. All of them touch only rows that have a gradient. "momentum" and
        "sgd" want a larger `learning_rate_init` than the default, 0.1 or 1.

    learning_rate_init : float, default=0.01
        Rate of the first step. It falls linearly to zero over `fit`.

    batch_size : int or "auto", default="auto"
        Rows of a step. "auto" is the power of two nearest to a hundredth of the rows,
        between 16 and 512.

    max_iter : int, default=10
        Epochs.

    warm_start : bool, default=False
        Whether `fit` goes on from the weights it finds, with the network, optimizer,
        sampler and loss of the first call; only the schedule starts again.

    verbose : bool, default=False
        Whether to print each epoch's loss. See `set_callbacks` for progress bars.

    random_state : int, RandomState instance or None, default=None
        Draws weights, batches, dropout, hash functions and negatives. An int fixes the
        model bit for bit on one machine, whatever `n_jobs` is.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels; column numbers if multilabel.

    coefs_ : list of ndarray
        Weights, (fan_in, fan_out) float32; views.

    intercepts_ : list of ndarray
        Biases, views.

    n_iter_ : int
        Epochs, over all calls.

    t_ : int
        Steps, over all calls.

    loss_curve_ : list of float
        Mean loss of a row in each epoch, over the classes looked at. Losses before and
        after a switch are not comparable.

    n_active_ : float
        Mean number of classes a step looked at.

    bucket_load_ : float
        Mean number of classes in a bucket that holds any; 0 without hash tables.

    memory_usage_ : dict of str to int
        Bytes of "weights", "optimizer", "tables", and their "total".

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had any.

    See Also
    --------
    sklsh.metrics.precision_at_k : What extreme classifiers are judged by.
    sklsh.lsh.LSHIndex : The hash tables on their own.

    Notes
    -----
    Dense features should be scaled, as for any network; text wants unit-length rows, as
    TfidfVectorizer makes them.

    `fork` after a call with more than one thread can hang in the child: a limit of the
    OpenMP library of gcc. Use joblib's default, loky, or `n_jobs=None`.

    References
    ----------
    B. Chen, T. Medini, J. Farwell, S. Gobriel, C. Tai and A. Shrivastava, "SLIDE: in
    defense of smart algorithms over hardware acceleration for large-scale deep learning
    systems", 2020. arXiv:1903.03129

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklsh import SLIDEClassifier
    >>> X, Y = make_multilabel_classification(n_samples=500, n_classes=20, random_state=0)
    >>> model = SLIDEClassifier(hidden_layer_sizes=(64,), random_state=0).fit(X[:400], Y[:400])
    >>> labels, scores = model.predict_top_k(X[400:], k=3)
    >>> labels.shape
    (100, 3)
    >>> from sklsh.metrics import precision_at_k
    >>> precision_at_k(Y[400:], labels) > 0.5
    True
    """

    _parameter_constraints = {
        "hidden_layer_sizes": [at_least(1), "array-like"],
        "loss": [StrOptions({"auto", "softmax", "logistic", "softmax_logistic"})],
        "active_set": [StrOptions({"batch", "full"})],
        "negatives": [StrOptions({"lsh", "uniform", "in_batch", "full"})],
        "n_active": [at_least(1)],
        "correction": [StrOptions({"logq", "head_tail", "none"})],
        "hash_family": [StrOptions({"simhash"})],
        "n_bits": [StrOptions({"auto"}), Interval(Integral, 1, MAX_BITS, closed="both")],
        "n_tables": [at_least(1)],
        "bucket_size": [at_least(1)],
        "rehash_every": [at_least(1)],
        "rehash_growth": [at_least(1, Real)],
        "input_dropout": [StrOptions({"auto"}), fraction()],
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), at_least(1)],
        "max_iter": [at_least(1)],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256,),
        *,
        loss="auto",
        active_set="batch",
        negatives="lsh",
        n_active=1000,
        correction="logq",
        hash_family="simhash",
        n_bits="auto",
        n_tables=8,
        bucket_size=6,
        rehash_every=50,
        rehash_growth=1.1,
        input_dropout="auto",
        optimizer="adam",
        learning_rate_init=0.01,
        batch_size="auto",
        max_iter=10,
        warm_start=False,
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.active_set = active_set
        self.negatives = negatives
        self.n_active = n_active
        self.correction = correction
        self.hash_family = hash_family
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.bucket_size = bucket_size
        self.rehash_every = rehash_every
        self.rehash_growth = rehash_growth
        self.input_dropout = input_dropout
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _first_loss(self):
        """The loss that training starts with."""
        return "logistic" if self._resolved_loss() == "logistic" else "softmax"

    def _switches_loss(self):
        return self._resolved_loss() == "softmax_logistic"

    def _resolved_loss(self):
        if self.loss != "auto":
            return self.loss
        if not self._format.multilabel:
            return "softmax"
        return "logistic" if len(self.classes_) <= EXACT_BELOW else "softmax_logistic"

    def _sampler_name(self, n_classes):
        if self.active_set == "full" or n_classes <= EXACT_BELOW:
            return "full"
        return self.negatives

    def _make_negatives(self, n_classes, width, seed):
        name = self._sampler_name(n_classes)
        if name == "full":
            return Full(n_classes)
        if name == "in_batch":
            return InBatch(n_classes, self.correction)
        drawn = {"n_active": self.n_active, "seed": seed}
        if name == "uniform":
            return Uniform(n_classes, self.correction, **drawn)
        return LSH(
            n_classes,
            self.correction,
            **drawn,
            width=width,
            n_bits=self.n_bits,
            n_tables=self.n_tables,
            bucket_size=self.bucket_size,
            rehash_every=self.rehash_every,
            rehash_growth=self.rehash_growth,
        )

    def _table_bytes(self, n_classes):
        if self._sampler_name(n_classes) != "lsh":
            return 0
        n_bits = self.n_bits
        if n_bits == "auto":
            n_bits = auto_n_bits(n_classes, self.bucket_size)
        return HashTables.bytes_needed(n_classes, n_bits, self.n_tables)

    def _rows_per_step(self, n_rows):
        if self.batch_size != "auto":
            return self.batch_size
        return int(2 ** np.clip(np.round(np.log2(n_rows / 100)), 4, 9))

    def _dropout(self, X):
        if self.input_dropout != "auto":
            return self.input_dropout
        if not sp.issparse(X):
            return 0.0
        return 0.3 if X.shape[0] < MANY_ROWS else 0.1

    @property
    def bucket_load_(self):
        """Mean number of classes in a bucket that holds any; 0 without hash tables."""
        check_is_fitted(self)
        return self._negatives.mean_load

    @property
    def memory_usage_(self):
        """Bytes of weights, optimizer state, hash tables, and their total."""
        check_is_fitted(self)
        parameters = self._network.parameters
        usage = {
            "weights": sum(p.weights.nbytes for p in parameters),
            "optimizer": sum(p.state_bytes for p in parameters),
            "tables": self._negatives.table_bytes,
        }
        return usage | {"total": sum(usage.values())}
