"""How far the steps go of estimators that draw their rows: optimizers, rates, schedules."""

import numpy as np
import scipy.sparse as sp

from sklsh._training import rate_schedule
from sklsh.optimizers import VSGD, Adagrad, Adam, RMSprop, make_optimizer

RATE, ADAM_RATE = 0.05, 0.001


def finds_rates(params):
    """Whether each weight has a rate of its own that no parameter sets."""
    return params.learning_rate == "vsgd"


def make_rule(params):
    """What moves the weights, fresh."""
    return VSGD() if finds_rates(params) else make_optimizer(params.optimizer)


def described_rule(params):
    """The parameter that chooses it, for messages."""
    return "learning_rate='vsgd'" if finds_rates(params) else f"optimizer={params.optimizer!r}"


def check_rule(params, sizes):
    """Refuse hidden layers of `sizes` to a rule for linear models."""
    if sizes and finds_rates(params):
        raise ValueError(
            "learning_rate='vsgd' is for linear models, hidden_layer_sizes=(); got "
            f"hidden_layer_sizes={params.hidden_layer_sizes!r}."
        )


def resume_rule(params, network):
    """Refuse to go on by another kind of rule than the network's."""
    if finds_rates(params) != isinstance(network.optimizer, VSGD):
        before = "with another" if finds_rates(params) else "with learning_rate='vsgd'"
        raise ValueError(
            f"learning_rate={params.learning_rate!r} cannot go on from a model trained {before}. "
            "Call fit without warm_start to start anew."
        )


def automatic_rate(params, X):
    """Rate of the first step, less for features of large values; 0 where no parameter sets it."""
    if finds_rates(params):
        return 0.0
    if isinstance(make_optimizer(params.optimizer), (Adam, RMSprop, Adagrad)):
        return ADAM_RATE
    values = X.data if sp.issparse(X) else X.ravel(order="K")
    squares = np.einsum("i,i->", values, values, dtype=np.float64)
    return RATE / max(1, squares / (X.shape[0] * X.shape[1]))


def schedule_of(params, endless):
    """Factor of the rate in later steps; a call that is endless has no end to fall towards."""
    falls = params.learning_rate in ("linear", "cosine")
    constant = finds_rates(params) or (endless and falls)
    return rate_schedule("constant" if constant else params.learning_rate, params.power_t)
