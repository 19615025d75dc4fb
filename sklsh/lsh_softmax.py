"""LSHSoftmaxClassifier: a probability model over very many classes, by sampled softmax."""

from numbers import Integral, Real

from sklsh._classifier import NetworkClassifier
from sklsh._hashing import HASH_FAMILIES, MAX_BITS
from sklsh._likelihood import Likelihood
from sklsh._scores import LogLikelihood, mean_over_labels
from sklsh._sklearn import Interval, StrOptions, at_least, fraction
from sklsh._storage import STORAGE
from sklsh.optimizers import OPTIMIZERS, Optimizer

__all__ = ["LSHSoftmaxClassifier"]


class LSHSoftmaxClassifier(Likelihood, NetworkClassifier):
    """Softmax over very many classes, trained on a sample of them in each step.

    PLACEHOLDER
    """

    loss = "softmax"
    OWN_SETS = "share_negatives=False"
    _least_layers = 0
    _validation_score = LogLikelihood

    _parameter_constraints = {
        "hidden_layer_sizes": [at_least(1), "array-like"],
        "negatives": [str, dict, list, tuple],
        "n_active": [at_least(1)],
        "share_negatives": ["boolean"],
        "query": [StrOptions({"embedding", "label"})],
        "correction": [StrOptions({"head_tail", "logq", "half_logq", "importance", "none"})],
        "frequency_power": [at_least(0, Real)],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "normalize": ["boolean"],
        "hash_family": [StrOptions(set(HASH_FAMILIES))],
        "n_bits": [StrOptions({"auto"}), Interval(Integral, 1, MAX_BITS, closed="both")],
        "n_tables": [at_least(1)],
        "bucket_size": [at_least(1)],
        "rehash_every": [at_least(1)],
        "rehash_growth": [at_least(1, Real)],
        "prediction": [StrOptions({"exact", "lsh"})],
        "input_dropout": [StrOptions({"auto"}), fraction()],
        "hidden_dropout": [StrOptions({"auto"}), fraction()],
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [StrOptions({"linear", "cosine", "invscaling", "constant"})],
        "power_t": [at_least(0, Real)],
        "beta_1": [fraction()],
        "beta_2": [fraction()],
        "epsilon": [Interval(Real, 1e-30, 1e30, closed="both")],
        "batch_size": [StrOptions({"auto"}), at_least(1)],
        "max_iter": [StrOptions({"auto"}), at_least(1)],
        "shuffle": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [at_least(1)],
        "tol": [at_least(0, Real)],
        "dtype": [StrOptions(set(STORAGE))],
        "product_dtype": [StrOptions({"auto", "float32", "int8"})],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256,),
        *,
        negatives="lsh",
        n_active=2000,
        share_negatives=True,
        query="embedding",
        correction="head_tail",
        frequency_power=0.75,
        temperature=1.0,
        normalize=False,
        hash_family="simhash",
        n_bits="auto",
        n_tables=8,
        bucket_size=24,
        rehash_every=20,
        rehash_growth=1.3,
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
