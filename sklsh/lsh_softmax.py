"""LSHSoftmaxClassifier: a probability model over very many classes, by sampled softmax."""

from numbers import Real

from sklsh._classifier import NetworkClassifier
from sklsh._likelihood import Likelihood
from sklsh._scores import LogLikelihood, mean_over_labels
from sklsh._sklearn import Interval, StrOptions, at_least

__all__ = ["LSHSoftmaxClassifier"]


class LSHSoftmaxClassifier(Likelihood, NetworkClassifier):
    """Softmax over very many classes, trained on a sample of them in each step.

    A sparse row is embedded, passes its hidden layers, and meets one row of output weights
    for each class; the softmax of all these logits is the probability of each class. A
    training step looks at a few of the classes only, and estimates the softmax's sum from
    them; its cost hardly grows with their number. Which it looks at, and what makes up for
    the others, is up to `negatives`, `query` and `correction`.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(256,)
        Widths of the hidden layers, rectified linear units. The first is the embedding of
        the features. () is a linear softmax: rows meet the output layer as they are, whose
        weights then take n_classes x n_features numbers.

    negatives : str, dict or list, default="auto"
        Where negatives come from, beside the labels of the batch's other rows, which always
        are negatives:

        - "auto": "in_batch" for up to 65,536 classes if the batch shares its set and the
          correction is of the kind "logq"; else "lsh";
        - "lsh": three quarters are retrieved from hash tables over the output weights, and
          ranked by an estimate of their logit; a quarter is drawn uniformly;
        - "uniform", "frequency", "log_uniform": drawn from the classes uniformly; by their
          frequency to the power `frequency_power`; or by rank of frequency, close to Zipf's
          law;
        - "in_batch": nowhere;
        - "full": all classes, the exact softmax. Up to 2,048 classes are always exact.

        A dict mixes sources, such as ``{"lsh": 1, "frequency": 1}`` for half of each. A list
        of pairs (start, negatives) goes from one to the next when that share of the fit is
        done: ``[(0, "lsh"), (0.5, "uniform")]``. `partial_fit`, which has no end, stays
        with the one that it finds.

    n_active : int, default=500
        Negatives of a step, or of a row with its own set, beside the labels; without meaning
        for "in_batch" and for the whole buckets of "importance".

    share_negatives : bool, default=True
        Whether the rows of a batch share one set of classes, which is much faster. If not, each
        has its own, from "lsh", "uniform" or a dict of them, or all if `n_active` is over half.

    query : {"embedding", "label"}, default="embedding"
        What looks up the hash tables: the activations of the row, which finds the classes
        that it mistakes for its own; or the output weights of its label (one at random if
        it has several), which finds classes like that.

    correction : {"logq", "head_tail", "half_logq", "importance", "none"}, default="logq"
        What makes up for the classes that were not looked at. With s the logits:

        - "logq": s_j - log r_j for each class, label or negative, r_j the share of steps
          that look at it. The minimum of this loss is the right one where the choice does
          not depend on the row, and near it otherwise. A class is in the set once, and a
          row's own label is never a negative of it.
        - "head_tail": labels and retrieved classes count once; a class drawn c times in m
          draws of probability q counts c / (m q) times. If any are drawn, the softmax's sum
          is unbiased, from tables of any age; if not, as for "in_batch", this is "none".
        - "half_logq": half of what "logq" takes, and half of its mean over the labels: rare
          classes rank higher than they are likely.
        - "importance": each retrieved class counts 1 / p times, p the probability that
          hashing finds it: unbiased over the draw of the hash functions, as far as the
          tables are fresh. It wants ``hash_family="dense_simhash"`` and
          ``share_negatives=False``, and takes whole buckets and nothing else, however many
          classes those hold. Without "lsh" it is "head_tail".
        - "none": the softmax over the classes looked at. Rare classes come out too
          probable.

    frequency_power : float, default=0.75
        Exponent of "frequency", from 0, which is uniform, to 1, the frequency itself.

    temperature : float, default=1.0
        Divides logits, but for biases; 1e-30 to 1e30. A small one, like 0.05, suits `normalize`.

    normalize : bool, default=False
        Whether logits are cosines over the temperature: activations are scaled to unit
        length, and rows of output weights kept at it.

    hash_family : {"simhash", "dense_simhash", "dwta"}, default="simhash"
        Signs of projections, by fast rotations or by independent Gaussian vectors; or
        densified winner-take-all.

    n_bits : int or "auto", default="auto"
        Bits of a code, 1 to 24, a multiple of 3 for "dwta"; "auto" takes as many as leave about
        `bucket_size` classes in a bucket.

    n_tables : int, default=8
        Hash tables.

    bucket_size : int, default=24
        Wanted classes in a bucket, by which "auto" chooses `n_bits`.

    rehash_every : int, default=20
        Batches until output rows that have changed are hashed again.

    rehash_growth : float, default=1.3
        Factor by which that period grows each time; at least 1.

    redraw_every : int or None, default=None
        Batches until hash functions are drawn anew and all rows hashed by them at once;
        None keeps them.

    prediction : {"exact", "lsh"}, default="exact"
        Whether `predict` and `predict_top_k` look among all classes, or among those in a row's
        hash buckets, see :class:`sklsh.SLIDEClassifier`. Probabilities are always exact.

    input_dropout, hidden_dropout : float or "auto", default="auto"
        Share of a row's non-zero values, and of its hidden units, dropped at random in each
        step, see :class:`sklsh.SLIDEClassifier`; "auto" drops none of dense X.

    optimizer : str or Optimizer, default="adam"
        How weights move, by the names that :class:`sklsh.SLIDEClassifier` explains; those that
        begin with ``"cs_"`` keep their state in count-sketches.

    learning_rate_init : float, default=0.005
        Rate of the first step.

    learning_rate, power_t, beta_1, beta_2, epsilon
        How the rate goes on, and numbers of the optimizer, see :class:`sklsh.SLIDEClassifier`.

    batch_size : int or "auto", default="auto"
        Rows of a step. "auto" is the power of two nearest to a hundredth of the rows,
        between 16 and 512.

    max_iter : int or "auto", default="auto"
        Epochs. "auto" makes 10 of up to 40,000 rows, fewer of more, down to 4, and 7 from
        100,000 rows on.

    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.

    class_weight : dict, "balanced" or None, default=None
        Weights of classes, 1 where the dict names none; "balanced" makes them inversely
        proportional to how often a class occurs.

    early_stopping : bool, default=False
        Whether to hold out rows, anew in each call, and stop when their exact mean log-likelihood
        no longer rises; the weights of the best epoch are kept, in memory of their own.

    validation_fraction : float, default=0.1
        Share of the rows held out by `early_stopping`, at random.

    n_iter_no_change : int, default=3
        Epochs without a better score after which `early_stopping` ends the fit.

    tol : float, default=1e-4
        By how much a score has to be better to count.

    dtype : {"float32", "bfloat16"}, default="float32"
        How embedding and output weights are stored; "bfloat16", half as large, does not go
        with `normalize`.

    product_dtype : {"auto", "float32", "int8"}, default="auto"
        What the dense products of a step are made in, where the batch shares its
        candidates, see :class:`sklsh.SLIDEClassifier`.

    warm_start : bool, default=False
        Whether `fit` goes on from the weights it finds, with the network, optimizer and
        sampler of the first call; only the schedule starts again.

    verbose : bool or int, default=False
        Whether to print each epoch's loss. See `set_callbacks` for progress bars.

    random_state : int, RandomState instance or None, default=None
        Draws weights, batches, dropout, hash functions and negatives. An int fixes the
        model bit for bit on one kind of CPU, whatever `n_jobs` is.

    n_jobs : int or None, default=None
        OpenMP threads; None means 1, -1 all.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels; column numbers if multilabel.

    coefs_ : list of ndarray
        Weights, (fan_in, fan_out) float32; views, or copies of bfloat16.

    intercepts_ : list of ndarray
        Biases, views.

    n_iter_ : int
        Epochs, over all calls.

    t_ : int
        Steps, over all calls.

    loss_curve_ : list of float
        Mean loss of a row in each epoch, as the sampled softmax estimates it.

    validation_scores_ : list of float or None
        Mean log-likelihood of the held-out rows after each epoch, with early stopping.

    best_validation_score_ : float or None
        The best of them in the last call: that of the weights kept.

    n_active_ : float
        Mean number of classes that a row was scored against in a step.

    bucket_load_ : float
        Mean number of classes in a bucket that holds any; 0 without hash tables.

    memory_usage_ : dict of str to int
        Bytes of "weights", "optimizer", "sketches" (of its state), "tables", and their "total".

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    SLIDEClassifier : The same network with other losses, for extreme multilabel data.
    sklsh.negatives.LSHSampler : Hash tables with known probabilities, on their own.

    Notes
    -----
    The loss is the cross-entropy; for a row of several labels its mean over them, so that
    the model tells the probability that a label picked from the row's labels is the class.

    References
    ----------
    S. Daghaghi, T. Medini, N. Meisburger, B. Chen, M. Zhao and A. Shrivastava, "A tale of
    two efficient and informative negative sampling distributions", 2021. arXiv:2012.15843

    R. Spring and A. Shrivastava, "A new unbiased and efficient class of LSH-based samplers
    and estimators for partition function computation in log-linear models", 2017.
    arXiv:1703.05160

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh import LSHSoftmaxClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3000, size=20_000)
    >>> X = rng.normal(size=(3000, 32))[y] + 0.5 * rng.normal(size=(20_000, 32))
    >>> model = LSHSoftmaxClassifier(max_iter=5, random_state=0)
    >>> model = model.fit(X, y)
    >>> perplexity = np.exp(model.log_loss(X[:1000], y[:1000]))
    >>> bool(perplexity < 100)  # that of a guess is 3000
    True
    """

    loss = "softmax"
    OWN_SETS = "share_negatives=False"
    _least_layers = 0
    _validation_score = LogLikelihood

    _parameter_constraints = NetworkClassifier._parameter_constraints | {
        "negatives": [str, dict, list, tuple],
        "share_negatives": ["boolean"],
        "query": [StrOptions({"embedding", "label"})],
        "correction": [StrOptions({"head_tail", "logq", "half_logq", "importance", "none"})],
        "frequency_power": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 1e-30, 1e30, closed="both")],
        "normalize": ["boolean"],
        "redraw_every": [None, at_least(1)],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256,),
        *,
        negatives="auto",
        n_active=500,
        share_negatives=True,
        query="embedding",
        correction="logq",
        frequency_power=0.75,
        temperature=1.0,
        normalize=False,
        hash_family="simhash",
        n_bits="auto",
        n_tables=8,
        bucket_size=24,
        rehash_every=20,
        rehash_growth=1.3,
        redraw_every=None,
        prediction="exact",
        input_dropout="auto",
        hidden_dropout="auto",
        optimizer="adam",
        learning_rate_init=0.005,
        learning_rate="linear",
        power_t=0.5,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        batch_size="auto",
        max_iter="auto",
        shuffle=True,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        dtype="float32",
        product_dtype="auto",
        warm_start=False,
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.negatives = negatives
        self.n_active = n_active
        self.share_negatives = share_negatives
        self.query = query
        self.correction = correction
        self.frequency_power = frequency_power
        self.temperature = temperature
        self.normalize = normalize
        self.hash_family = hash_family
        self.n_bits = n_bits
        self.n_tables = n_tables
        self.bucket_size = bucket_size
        self.rehash_every = rehash_every
        self.rehash_growth = rehash_growth
        self.redraw_every = redraw_every
        self.prediction = prediction
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.product_dtype = product_dtype
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def active_set(self):
        """Whose the candidates of a step are, as SLIDEClassifier names it."""
        return "batch" if self.share_negatives else "sample"

    def _label_weights(self, Y):
        """Weights of the labels in a row's loss: a mean over them."""
        return mean_over_labels(Y) if self._format.multilabel else Y
