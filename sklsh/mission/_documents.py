"""What the docstrings of the MISSION estimators share."""

from sklsh._documents import fill_in

_PARAMETERS = """
n_features_to_select : int, default=100
    Features to select.

mode : {"active", "mission"}, default="active"
    "active": the features that matter most have weights of their own, free of the noise of
    others, and only the rest is in the sketch. "mission": as published, all gradients go to
    the sketch and predictions are made by its `n_features_to_select` heavy hitters.

width, depth : int or "auto", default="auto"
    Cells of a row of the sketch, a power of two, and rows, 1 to 16. "auto": for "active" one
    row of 32 cells for each feature to select, at least 2**13 and, where that is more than
    2**15, 2.5 for each; for "mission" three rows of 2**18. A cell takes four bytes, and with
    more than two classes four for each of them.

@loss@

learning_rate_init : float or "auto", default="auto"
    Rate of the first step. "auto": the inverse of the mean squared length of rows, of up
    to 2,000 of them, weighted, under "log_loss" with more than two classes, else half of that; and
    no more than is stable for the longest of them, or than half the inverse of the l2 penalty.

learning_rate : {"linear", "cosine", "invscaling", "constant"}, default="linear"
    How the rate goes on: to zero over `fit`, in a straight line or along a cosine; divided by
    the number of the step to the power `power_t`; or not at all. `partial_fit`, which has no
    end to fall towards, keeps the rate for the first two.

power_t : float, default=0.5
    Exponent of "invscaling".

alpha : float, default=1e-5
    Strength of the penalty on weights.

l1_ratio : float, default=0.0
    Share of the l1 norm in the penalty, the rest being half of the squared l2 norm. The l1
    norm counts for the active set alone, and has no effect in "mission" mode. Where
    rows are fewer than features, "active" finds few of the true ones without it.

epsilon : float, default=0.1
    Error from which on "huber" is straight.

batch_size : int or "auto", default="auto"
    Rows of a step, whose gradients are added up. "auto": as many, up to 512, as the sum is
    stable for, by the largest eigenvalue of the second moment of up to 2,000 rows.

max_iter : int or "auto", default="auto"
    Passes over the data. "auto": what comes to about 300,000 rows, 3 to 30.

shuffle : bool, default=True
    Whether each pass takes the rows in a new order.

normalize : bool, default=False
    Whether to train on rows scaled to unit length.

class_weight : dict, "balanced" or None, default=None
    Weights of classes, by which those of their rows are multiplied; 1 where the dict names
    none; "balanced" makes them inversely proportional to how often a class occurs.

verbose : bool or int, default=False
    Whether to print the loss of each pass. See `set_callbacks` for progress bars.

random_state : int, RandomState instance or None, default=None
    Draws hash functions and the order of rows. An int fixes the model bit for bit on one kind
    of CPU, whatever `n_jobs` is, and makes models that can be merged.

n_jobs : int or None, default=None
    OpenMP threads; None means 1, -1 all.
"""

_LOSSES = """
loss : {"log_loss", "hinge", "squared_error", "huber"}, default="log_loss"
    "log_loss": logistic, or multinomial with more than two classes. "hinge": of a linear
    support vector machine, one against the rest. "squared_error" and "huber": of a regression.
"""

_ATTRIBUTES = """
n_iter_ : int
    Passes over the data, over all calls.

loss_curve_ : list of float
    Mean loss of a row in each of them, as it was met.

sketch_ : ndarray of shape (depth, width, n_outputs), float32
    Cells of the count-sketch.

intercept_ : ndarray of shape (n_outputs,), float32
    Constant part of the scores, which is not penalised.

learning_rate_init_ : float
    Rate of the first step.

batch_size_ : int
    Rows of a step.

memory_usage_ : dict of str to int
    Bytes of the "active_set", with its index, of the "sketch", and their "total".
"""

_REFERENCES = """
References
----------
A. Aghazadeh, R. Spring, D. LeJeune, G. Dasarathy, A. Shrivastava and R. G. Baraniuk,
"MISSION: ultra large-scale feature selection using count-sketches", 2018. arXiv:1806.04310

K. S. Tai, V. Sharan, P. Bailis and G. Valiant, "Sketching linear classifiers over data
streams", 2018. doi:10.1145/3183713.3196930
"""


def with_parameters(cls=None, *, loss=_LOSSES):
    """Class decorator: fill in what the docstring shares with others."""
    if cls is None:
        return lambda cls: with_parameters(cls, loss=loss)
    parameters = _PARAMETERS.replace("@loss@", loss.strip())
    return fill_in(cls, parameters=parameters, attributes=_ATTRIBUTES, references=_REFERENCES)
