"""What the docstrings of KernelSampledSGD and its regressor share."""

from sklsh._documents import fill_in

_PARAMETERS = """
hidden_layer_sizes : array-like of int, default=(100,)
    Widths of the hidden layers, rectified linear units; () for a linear model.

@loss@

sampler : {"kernel", "stale", "exact", "uniform"} or RowSampler, default="kernel"
    What tells how much a row still teaches. "kernel": a regression on rows of like features and
    target that steps have come by, from sums in a sketch; it takes a few look-ups, and tells of
    rows never seen. "stale": what the row itself taught when a step last came by. "exact": a
    forward pass. "uniform": nothing; plain stochastic gradient descent. Or one of your own.

n_rows : int, default=10
    Rows of counters in the sketch, each with a code of its own for every row of X.

n_bits : int, default=10
    Bits of a code, 1 to 24, signs of random projections. More of them tell rows apart more
    finely, and take more rows to learn from.

n_buckets : int, default=2**12
    Counters in a row of the sketch, a power of two. Each takes 24 bytes.

include_target : bool, default=True
    Whether only rows of the same class, or with targets in the same eighth of those of the
    first call, tell of each other.

row_score : {"grad_norm", "loss"}, default="grad_norm"
    What a row teaches: the norm of its loss's gradient by the scores of the model, or its loss.

pool_factor : float, default=5
    Rows that are scored for each that is drawn. More keep scores fresher, and cost more.

subsample : float, default=1.0
    Draws of an epoch, or of a call of `partial_fit`, to rows, in (0, 1], as far as it draws by
    scores. Where few rows teach, half as many draws of them teach as much; a larger
    `learning_rate_init` may go with it, as batches of them vary less. On a stream, which
    brings each row once, this is what saves time.

floor : float, default=0.1
    Share of the draws that does not go by scores, in (0, 1]. No row's gradient is weighted
    by more than 1 / floor times the mean weight.

importance_power : float, default=1.0
    Power, in [0, 1], of the weights that make up for how likely a row was drawn. At 1 the
    gradient is unbiased. Below, rows that teach much count for more than they are: where no
    labels are wrong that learns faster, else it learns the wrong ones.

decay : float, default=0.999
    In (0, 1]; what the sketch multiplies earlier rows by with each batch.

warmup : int, default=200
    Batches, over all calls, that are drawn uniformly first. In narrow networks and linear
    models, whose steps cost little more than to learn from their rows, the sketch learns from
    some of them: from the fewer if even true scores would not pay.

min_gain : float, default=1.7
    Least `sampling_gain_` at which rows are drawn by scores, if that cost nothing; it rises
    with the square of what a step with them costs, over one without. Below it draws are uniform,
    and it is asked now and then whether scores would pay. 0: scores in any case.

alpha : float, default=1e-4
    Weight decay: weights shrink by alpha times the learning rate in a step. With
    ``learning_rate="vsgd"`` a penalty of alpha / 2 times their squares is part of the loss.

optimizer : str or Optimizer, default="momentum"
    How weights move: "momentum", "sgd", "adam", "rowwise_adam", "rmsprop" or "adagrad", and
    "cs_momentum", "cs_adam", "cs_rmsprop" or "cs_adagrad", which keep the state of matrices of
    1,024 rows or more in count-sketches, see :class:`sklsh.optimizers.CSAdam`. Not used with
    ``learning_rate="vsgd"``.

learning_rate_init : float or "auto", default="auto"
    Rate of the first step. "auto": 0.05, divided by the mean square of the values in X,
    zeros included, of the first call where that is over 1, for "momentum", "sgd" and
    "cs_momentum"; else 0.001. Not used with ``learning_rate="vsgd"``.

learning_rate : {"linear", "cosine", "invscaling", "constant", "vsgd"}, default="linear"
    How the rate goes on: to zero over `fit`, in a straight line or along a cosine; divided
    by the number of the step to the power `power_t`; or not at all. `partial_fit`, which has
    no end to fall towards, keeps the rate for the first two. "vsgd", for linear models,
    `hidden_layer_sizes=()`: each weight has a rate of its own, found from running means of its
    gradient and curvature, with nothing to tune, see :class:`sklsh.optimizers.VSGD`. It wants
    scaled features. A step takes two gradients, and state five times the memory of weights.

power_t : float, default=0.5
    Exponent of "invscaling".

batch_size : int, default=64
    Rows of a step.

max_iter : int or "auto", default="auto"
    Epochs, each of as many draws as there are rows. "auto" makes about 3,000 steps, in 10 to 200
    epochs.
@class_weight@
early_stopping : bool, default=False
    Whether to hold out rows, anew in each call, and stop when their score no longer rises;
    the weights of the best epoch are kept. The score is that of the method `score`.

validation_fraction : float, default=0.1
    Share of the rows held out by `early_stopping`, at random.

n_iter_no_change : int, default=3
    Epochs without a better score after which `early_stopping` ends the fit.

tol : float, default=1e-4
    By how much a score has to be better to count.

warm_start : bool, default=False
    Whether `fit` goes on from the model it finds, with the network, optimizer and sampler of
    the first call; only the schedule starts again.

verbose : bool or int, default=False
    Whether to print each epoch's loss. See `set_callbacks` for progress bars.

random_state : int, RandomState instance or None, default=None
    Draws weights, rows and hash functions. An int fixes the model bit for bit on one kind of
    CPU, whatever `n_jobs` is.

n_jobs : int or None, default=None
    OpenMP threads; None means 1, -1 all.
"""

_CLASS_WEIGHT = """
class_weight : dict, "balanced" or None, default=None
    Weights of classes, 1 where the dict names none; "balanced" makes them inversely
    proportional to how often a class occurs. They multiply the weights of rows.
"""

_ATTRIBUTES = """
coefs_ : list of ndarray
    Weights, (fan_in, fan_out): views, but for a regressor's last, in the unit of the targets.

intercepts_ : list of ndarray
    Biases, likewise.

coef_ : ndarray of shape (n_outputs, `n_features_in_`)
    Weights of a model without hidden layers.

intercept_ : ndarray of shape (n_outputs,)
    Bias of a model without hidden layers.

sampling_gain_ : float
    Estimate of how many times smaller the second moment of a row's weighted score is under
    draws by scores than under uniform ones; NaN while nothing is known. As far as scores are
    sizes of gradients, it is how many times more rows a uniform batch would need for one of
    as little noise.

sampled_share_ : float
    Share of all draws that went by scores; less than 1 by the warm-up and `min_gain`.

learning_rate_init_ : float
    Rate of the first step; 0 with ``learning_rate="vsgd"``.

n_iter_ : int
    Epochs, over all calls.

t_ : int
    Steps, over all calls.

loss_curve_ : list of float
    Estimate of the mean loss in each epoch, as the model was when it met the rows.

validation_scores_ : list of float or None
    Score on the held-out rows after each epoch, with early stopping.

best_validation_score_ : float or None
    The best of them in the last call: that of the weights kept.

memory_usage_ : dict of str to int
    Bytes of "weights", "optimizer", "sketches" (of its state), "sampler" (of the rows), and their
    "total".

n_features_in_ : int
    Number of features seen during fit.

feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the features, where X had any.
"""

_NOTES = """
Notes
-----
A row of weight s is drawn with probability p, and its gradient multiplied by s / (n p), n
rows being drawn from. With ``importance_power=1`` the mean gradient of a batch is then on
average that of all rows, whatever the scores: they only decide how much it varies. It varies
least if p goes by s times the norm of the row's gradient.

Draws are systematic: for as many batches as one set of scores serves, row i comes as often as
expected, rounded up or down, and the batches are dealt from those.

It pays where few rows still teach, a hard region or a rare class among many rows learnt
long ago, and where a step costs much more than a few look-ups: in wide hidden layers. It
does not where most rows teach alike, as under noisy labels, or in linear models.

Dense features are centred and scaled for hashing, by the rows of the first call, but not for
the network: scale them, as for any network.

`fork` after a call with more than one thread can hang in the child: a limit of the OpenMP
library of gcc. Use joblib's default, loky, or `n_jobs=None`.

References
----------
S. Daghaghi, B. Coleman, B. Geordie and A. Shrivastava, "Adaptive sampling for deep learning via
efficient nonparametric proxies", 2023. arXiv:2311.13583

T. Schaul and Y. LeCun, "Adaptive learning rates and parallelization for stochastic, sparse,
non-smooth gradients", ICLR 2013. arXiv:1301.3764

A. Katharopoulos and F. Fleuret, "Not all samples are created equal: deep learning with
importance sampling", ICML 2018. arXiv:1803.00942
"""


def with_parameters(*, loss, class_weight=False):
    """Class decorator: fill in what the docstring shares with the other."""
    weights = f"\n{_CLASS_WEIGHT.strip()}\n" if class_weight else ""
    parameters = _PARAMETERS.replace("@loss@", loss.strip()).replace("@class_weight@", weights)

    def fill(cls):
        return fill_in(cls, parameters=parameters, attributes=_ATTRIBUTES, notes=_NOTES)

    return fill
