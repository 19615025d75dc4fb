"""Optimizers whose step touches only the rows that had a gradient.

An optimizer works on :class:`Parameter` objects, a matrix of weights with the state that
the optimizer keeps for each of them. A training step calls :meth:`Optimizer.begin_step`
once, then :meth:`Optimizer.step` or :meth:`Optimizer.step_embedding` for each parameter.
Rows without a gradient are neither read nor written: their moments stay as they are.

Those named CS keep the moments of tall matrices in count-sketches, in a part of the memory,
where rows share them.

:class:`VSGD` is a rule of its own: it finds the rates of a linear model's weights by itself.
"""

import copy
from functools import partial

from sklsh.optimizers._base import Optimizer
from sklsh.optimizers._dense import SGD, Adagrad, Adam, Momentum, RMSprop
from sklsh.optimizers._parameter import Parameter, state_bytes
from sklsh.optimizers._sketched import CSAdagrad, CSAdam, CSMomentum, CSRMSprop, Sketched
from sklsh.optimizers._vsgd import VSGD

__all__ = [
    "Adagrad", "Adam", "CSAdagrad", "CSAdam", "CSMomentum", "CSRMSprop", "Momentum", "Optimizer",
    "Parameter", "RMSprop", "SGD", "Sketched", "VSGD", "make_optimizer", "state_bytes",
]  # fmt: skip

OPTIMIZERS = {
    "adagrad": Adagrad,
    "adam": Adam,
    "cs_adagrad": CSAdagrad,
    "cs_adam": CSAdam,
    "cs_momentum": CSMomentum,
    "cs_rmsprop": CSRMSprop,
    "momentum": Momentum,
    "rmsprop": RMSprop,
    "rowwise_adam": partial(Adam, second_moment="row"),
    "sgd": SGD,
}
TAKEN = {  # settings of estimators that optimizers take
    "adam": ("beta_1", "beta_2", "epsilon"), "rowwise_adam": ("beta_1", "beta_2", "epsilon"),
    "cs_adam": ("beta_2", "epsilon"),
}  # fmt: skip


def make_optimizer(optimizer, **adam):
    """Fresh optimizer from a name, a key of `OPTIMIZERS`, or an instance.

    `adam` are the settings of "adam", "rowwise_adam" and "cs_adam", where they are asked for
    by name; the last has no use for `beta_1`. An instance is copied and its step count starts
    again, so that one instance can serve as a parameter of many estimators.
    """
    if isinstance(optimizer, str):
        taken = TAKEN.get(optimizer, ())
        return OPTIMIZERS[optimizer](**{k: v for k, v in adam.items() if k in taken})
    fresh = copy.copy(optimizer)
    fresh.t = 0
    return fresh
