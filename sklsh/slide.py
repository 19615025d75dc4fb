"""SLIDEClassifier: a wide-output neural network that looks at few classes in each step."""

from numbers import Real

from sklsh._classifier import NetworkClassifier
from sklsh._sklearn import Interval, StrOptions, at_least, check_is_fitted

__all__ = ["SLIDEClassifier"]


class SLIDEClassifier(NetworkClassifier):
    """Neural network for very many classes, trained on a few of them in each step.

    A sparse row is embedded, passes its hidden layers, and meets one row of output weights
    for each class. A training step does not score all classes but a candidate set that the
    batch shares: its labels, classes that hash tables over the output weights retrieve for
    it, and a uniform draw. Its cost hardly grows with the number of classes.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(512,)
        Widths of the hidden layers, rectified linear units. The first is the embedding of
        the features.

    loss : {"auto", "softmax", "logistic", "softmax_logistic"}, default="auto"
        "softmax": cross-entropy, summed over the labels of a row. "logistic": one-vs-rest
        log loss. "softmax_logistic": the softmax for the first tenth of the steps, then
        the logistic loss. "auto": "softmax" for one label a row; for indicator matrices
        "logistic" with up to 2,048 classes, else "softmax_logistic".

    active_set : {"batch", "sample", "full"}, default="batch"
        Classes of a step: candidates that the batch shares; for each row its own, which is
        SLIDE as published and slower; or all (the exact network). Up to 2,048 classes are
        always exact, and so is "sample" where `n_active` is over half of the classes.

    negatives : {"lsh", "uniform", "in_batch", "full"}, default="lsh"
        What stands in the candidate set beside labels: classes retrieved by hashing, with
        a uniform quarter; uniform draws only; nothing; all classes. Retrieved classes are
        ranked by an estimate of their logit if the batch shares them, and taken as they
        come if not. With active_set="sample" there is no "in_batch".

    n_active : int, default=1000
        Classes of a set beside the labels.

    correction : {"half_logq", "logq", "head_tail", "none"}, default="half_logq"
        What makes up for the classes not looked at. "logq" takes from each logit the log
        of the share of steps that look at its class, so that sampling does not favour
        rare classes and probabilities are those of the exact network. "half_logq" takes
        half of that, and of its mean over the labels: rare classes rank higher, and the
        level of probabilities stays. "head_tail" weighs uniform draws by how many classes
        each stands for, which makes the softmax's sum unbiased; where nothing is drawn, as for
        ``negatives="in_batch"``, it is "none". "none" ranks rare classes
        higher still, and makes them too probable.

    hash_family : {"simhash", "dense_simhash", "dwta"}, default="simhash"
        Hash functions: signs of projections, by fast rotations or by independent Gaussian
        vectors; or densified winner-take-all, see :class:`sklsh.lsh.DWTA`.

    n_bits : int or "auto", default="auto"
        Bits of a code, 1 to 24, a multiple of 3 for "dwta"; "auto" takes as many as leave about
        `bucket_size` classes in a bucket.

    n_tables : int, default=8
        Hash tables.

    bucket_size : int, default=24
        Wanted classes in a bucket, by which "auto" chooses `n_bits`. While training, a
        look-up reads at most a third more of a bucket; prediction reads all of it.

    rehash_every : int, default=20
        Batches until output rows, and units of sampled hidden layers, that have changed are
        hashed again.

    rehash_growth : float, default=1.3
        Factor by which that period grows each time; at least 1. That of hidden units stays.

    prediction : {"exact", "lsh"}, default="exact"
        Whether `predict_top_k`, and `predict` where it takes the best classes, look for
        them among all, or among those in a row's hash buckets. "lsh" finds a part of the
        best: `n_tables` and `bucket_size` decide how many, and it wants more than the
        defaults. It saves time for rows that come one or a few at a time, where "exact"
        has to read all weights. For a hundred rows a thread or more on a CPU with
        AVX-512 VNNI "exact" rules most classes out by bounds, and is the faster as well.

    input_dropout : float or "auto", default="auto"
        Share of a row's non-zero values dropped at random in each step. "auto": 0.3 for
        sparse X, 0.1 from 100,000 rows on; 0 for dense X, whose features have no
        stand-ins.

    hidden_dropout : float or "auto", default="auto"
        Share of a row's hidden units dropped at random in each step. "auto": 0.2 for sparse
        X, 0 for dense X.

    hidden_sampling : {None, "lsh", "uniform"} or list of those, default=None
        How many units of a hidden layer a row computes; a list has one entry for each layer.
        None: all. "lsh": at most `max_active`, those of largest activation among eight times
        as many whose weights share most hash buckets with what the row brings to the layer,
        in training and in prediction; gradients and updates go by the same. "uniform": as
        many at random, to compare with. It saves operations on dense inputs and wide layers,
        and time where a row keeps 1 % of some thousand units or less: the README has both,
        ``benchmarks/hidden.py`` measures them. On sparse rows a first layer is an embedding
        that costs little already, and layers of few units may cost more to hash than to
        compute. Sampled layers have float32 weights and no `hidden_dropout`.

    max_active : float, int or list of those, default=0.05
        Units of a sampled layer that a row keeps at most: a share of its width, or a number.
        "lsh" computes eight times as many to find them, so that from an eighth of the width on
        only the way back is shorter. `multiplications_` tells what is saved.

    optimizer : str or Optimizer, default="adam"
        How weights move: "adam", "rowwise_adam", "rmsprop", "adagrad", "momentum" or "sgd".
        All of them touch only rows that have a gradient. "rowwise_adam" keeps one second
        moment for each row of weights, not for each weight: less memory for a step to go
        through, and with `beta_1=0`, which keeps no first moment, less still. Its steps are
        of another size, so that another rate may be the best. "momentum" and "sgd" want a
        larger `learning_rate_init` than the default, 0.1 or 1. "cs_adam", "cs_rmsprop",
        "cs_adagrad" and "cs_momentum" keep the state of matrices of 1,024 rows or more in
        count-sketches of a fifth of its rows, see :class:`sklsh.optimizers.CSAdam`.

    learning_rate_init : float, default=0.005
        Rate of the first step.

    learning_rate : {"linear", "cosine", "invscaling", "constant"}, default="linear"
        How the rate goes on: to zero over `fit`, in a straight line or along a cosine;
        divided by the number of the step to the power `power_t`; or not at all.
        `partial_fit`, which has no end to fall towards, keeps the rate for the first two.

    power_t : float, default=0.5
        Exponent of "invscaling".

    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of the first and second moment of "adam" and "rowwise_adam", in [0, 1). At
        `beta_1=0` no first moment is kept, and "cs_adam" never keeps one.

    epsilon : float, default=1e-8
        What all three add to the root of the second moment; 1e-30 to 1e30.

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
        proportional to how often a class occurs. With one label a row they multiply the
        weight of its rows; multilabel, they multiply its part of the loss in rows that
        have the label.

    early_stopping : bool, default=False
        Whether to hold out rows, anew in each call, and stop when their score no longer
        rises; the weights of the best epoch are kept, in memory of their own. The score is
        the accuracy or, if multilabel, the precision at 1, both by `sample_weight` alone.

    validation_fraction : float, default=0.1
        Share of the rows held out by `early_stopping`, at random.

    n_iter_no_change : int, default=3
        Epochs without a better score after which `early_stopping` ends the fit.

    tol : float, default=1e-4
        By how much a score has to be better to count.

    dtype : {"float32", "bfloat16"}, default="float32"
        How embedding and output weights are stored. "bfloat16" takes half the memory;
        arithmetic and optimizer state stay float32, and updates are rounded at random, so
        that small ones are not lost. A step that looks at all classes works on a float32
        copy of their weights.

    product_dtype : {"auto", "float32", "int8"}, default="auto"
        What the dense products of a step are made in, where the batch shares its
        candidates. "int8" rounds their operands to 8-bit integers, those of gradients at
        random, so that they stay right on average, and updates the rows by itself, not by
        the optimizer's `step`. It is much faster on CPUs with AVX-512 VNNI, and slower
        than floats on others. "auto" is "int8" on such CPUs where classes are sampled,
        unless an optimizer overrides `step`, as those on
        sketches do; else "float32". Prediction is always in
        float32.

    warm_start : bool, default=False
        Whether `fit` goes on from the weights it finds, with the network, optimizer,
        sampler and loss of the first call; only the schedule starts again.

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

    loss_ : {"softmax", "logistic"}
        The loss that training ended with.

    n_iter_ : int
        Epochs, over all calls.

    t_ : int
        Steps, over all calls.

    loss_curve_ : list of float
        Mean loss of a row in each epoch, over the classes looked at. Losses before and
        after a switch are not comparable.

    validation_scores_ : list of float or None
        Score on the held-out rows after each epoch, with early stopping.

    best_validation_score_ : float or None
        The best of them in the last call: that of the weights kept.

    n_active_ : float
        Mean number of classes that a row was scored against in a step.

    bucket_load_ : float
        Mean number of classes in a bucket that holds any; 0 without hash tables.

    multiplications_ : dict of str to float or None
        With `hidden_sampling`, what all steps so far took: multiply-adds of "products", and
        additions and look-ups of "hashing"; "dense", the multiply-adds of the same network
        without sampling; and the "share" of the first two in that. Zeros of X count for none.

    memory_usage_ : dict of str to int
        Bytes of "weights", "optimizer", "sketches" (of its state), "tables", and their "total".

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    sklsh.metrics.precision_at_k : What extreme classifiers are judged by.
    sklsh.lsh.LSHIndex : The hash tables on their own.

    Notes
    -----
    What most defaults are worth on held-out rows of real data, ``benchmarks/recipe.py`` measures
    and the README shows.

    Dense features should be scaled, as for any network; text wants unit-length rows, as
    TfidfVectorizer makes them.

    `fork` after a call with more than one thread can hang in the child: a limit of the
    OpenMP library of gcc. Use joblib's default, loky, or `n_jobs=None`.

    References
    ----------
    B. Chen, T. Medini, J. Farwell, S. Gobriel, C. Tai and A. Shrivastava, "SLIDE: in
    defense of smart algorithms over hardware acceleration for large-scale deep learning
    systems", 2020. arXiv:1903.03129

    R. Spring and A. Shrivastava, "Scalable and sustainable deep learning via randomized
    hashing", 2017. arXiv:1602.08194 (`hidden_sampling`)

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

    OWN_SETS = 'active_set="sample"'

    _parameter_constraints = NetworkClassifier._parameter_constraints | {
        "loss": [StrOptions({"auto", "softmax", "logistic", "softmax_logistic"})],
        "active_set": [StrOptions({"batch", "sample", "full"})],
        "negatives": [StrOptions({"lsh", "uniform", "in_batch", "full"})],
        "correction": [StrOptions({"half_logq", "logq", "head_tail", "none"})],
        "hidden_sampling": [StrOptions({"lsh", "uniform"}), list, tuple, None],
        "max_active": [at_least(1), Interval(Real, 0, 1, closed="right"), list, tuple],
    }

    def __init__(
        self,
        hidden_layer_sizes=(512,),
        *,
        loss="auto",
        active_set="batch",
        negatives="lsh",
        n_active=1000,
        correction="half_logq",
        hash_family="simhash",
        n_bits="auto",
        n_tables=8,
        bucket_size=24,
        rehash_every=20,
        rehash_growth=1.3,
        prediction="exact",
        input_dropout="auto",
        hidden_dropout="auto",
        hidden_sampling=None,
        max_active=0.05,
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
        self.prediction = prediction
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.hidden_sampling = hidden_sampling
        self.max_active = max_active
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
    def multiplications_(self):
        """Operations of all steps, with sampled hidden layers; else None."""
        check_is_fitted(self)
        return self._network.multiplications
