"""Optimizers whose step touches only the rows that had a gradient.

An optimizer works on :class:`Parameter` objects, a matrix of weights with the state that
the optimizer keeps for each of them. A training step calls :meth:`Optimizer.begin_step`
once, then :meth:`Optimizer.step` or :meth:`Optimizer.step_embedding` for each parameter.
Rows without a gradient are neither read nor written: their moments stay as they are.
"""

import copy
import math
from abc import ABC, abstractmethod

import numpy as np

from sklsh._kernels import _rows
from sklsh._memory import aligned_copy, aligned_zeros, padded, writable
from sklsh._storage import STORAGE, as_float32, to_bfloat16

__all__ = ["Adam", "Momentum", "Optimizer", "Parameter", "SGD", "make_optimizer"]


class Parameter:
    """Weights, and the optimizer's state for each of them.

    Parameters
    ----------
    weights : ndarray of shape (n_rows, width), float32 or uint16
        Used without a copy. uint16 holds the bits of bfloat16, the upper half of a float32.

    seed : int, default=0
        Of the rounding of updates to bfloat16.

    n_slots : int
        How many numbers of state the optimizer keeps for a weight, 0 to 2.
    """

    def __init__(self, weights, n_slots, seed=0):
        self.weights = weights
        self.seed = seed
        width = weights.shape[1]
        no_slot = np.zeros((0, width), dtype=np.float32)
        self.slots = tuple(
            aligned_zeros(weights.shape) if i < n_slots else no_slot for i in range(2)
        )

    @classmethod
    def zeros(cls, shape, n_slots, dtype="float32", seed=0):
        """Parameter of zeros, stored as `dtype`, "float32" or "bfloat16"."""
        return cls(aligned_zeros(shape, STORAGE[dtype]), n_slots, seed)

    @classmethod
    def random(cls, n_random, width, scale, random_state, n_slots, dtype="float32", *, n_rows=None):
        """Normal entries of standard deviation `scale` in a matrix padded with zeros.

        `n_rows`, the number of rows with padding, is `n_random` if not given.
        """
        seed = random_state.randint(2**31 - 1)
        parameter = cls.zeros((n_rows or n_random, padded(width)), n_slots, dtype, seed)
        generator = np.random.default_rng(seed)
        block = max(1, (1 << 20) // width)  # no second copy of a table that may be huge
        for first in range(0, n_random, block):
            last = min(first + block, n_random)
            draws = generator.standard_normal((last - first, width), dtype=np.float32)
            draws *= np.float32(scale)
            if dtype == "bfloat16":
                draws = to_bfloat16(draws)
            parameter.weights[first:last, :width] = draws
        return parameter

    def as_float32(self, rows=slice(None)):
        """Rows of the weights, or a copy as float32 of those stored as bfloat16."""
        return as_float32(self.weights[rows])

    def make_trainable(self, n_slots):
        """Copy what cannot be written in place, such as a read-only memory map.

        State that is not there, as in a frozen copy, starts at zero.
        """
        if any(len(slot) == 0 for slot in self.slots[:n_slots]):
            self.slots = Parameter(self.weights, n_slots).slots
        self.weights = writable(self.weights)
        self.slots = tuple(writable(slot) for slot in self.slots)

    def frozen(self):
        """Copy of the weights, without state."""
        return Parameter(aligned_copy(self.weights), n_slots=0, seed=self.seed)

    @property
    def state_bytes(self):
        """Bytes of optimizer state."""
        return sum(slot.nbytes for slot in self.slots)


class Optimizer(ABC):
    """Base of the optimizers: keeps the step count and calls the kernels.

    A subclass names the kernels' update `rule`, how many `n_slots` of state it keeps for
    a weight, and computes the rule's `hyper` numbers once a step.
    """

    rule = None
    n_slots = None

    def __init__(self):
        self.t = 0

    def begin_step(self, learning_rate):
        """Count a step and fix its numbers; `learning_rate` is this step's rate."""
        self.t += 1
        self._hyper = np.array(self._numbers(learning_rate), dtype=np.float32)

    def step(self, parameter, rows, gradient, n_threads=1):
        """Update the rows `rows`.

        Parameters
        ----------
        parameter : Parameter
            What is updated, in place.

        rows : ndarray of shape (n,), int32
            Distinct rows.

        gradient : ndarray of shape (>= n, width), float32
            The gradient of each, in the same order.

        n_threads : int, default=1
            OpenMP threads; the result does not depend on it.
        """
        _check_rows(rows, parameter.weights, "the weights")
        _check_gradient(gradient, len(rows), parameter.weights.shape[1], "gradient")
        _rows.step_rows(
            self.rule, self._hyper, self.seed_of(parameter), parameter.weights, *parameter.slots,
            rows, gradient, n_threads,
        )  # fmt: skip

    def step_embedding(self, parameter, columns, delta, n_threads=1):
        """Update the embedding of each feature of a batch.

        Parameters
        ----------
        parameter : Parameter
            Embedding, one row a feature; updated in place.

        columns : tuple of ndarray (features, starts, rows, values)
            The batch by columns: feature features[i] stands in the batch's rows
            rows[starts[i]:starts[i + 1]], with these values.

        delta : ndarray of shape (n_batch, width), float32
            Gradient of the embedded rows.

        n_threads : int, default=1
            OpenMP threads; the result does not depend on it.
        """
        _check_rows(columns[0], parameter.weights, "the weights")
        _check_rows(columns[2], delta, "delta")
        _check_gradient(delta, 0, parameter.weights.shape[1], "delta")
        _rows.step_embedding(
            self.rule, self._hyper, self.seed_of(parameter), parameter.weights, *parameter.slots,
            *columns, delta, n_threads,
        )  # fmt: skip

    def seed_of(self, parameter):
        """Seed of this step's random rounding of a parameter."""
        return (int(parameter.seed) << 32) + self.t

    @abstractmethod
    def _numbers(self, learning_rate):
        """The rule's hyper numbers for this step."""

    def __repr__(self):
        settings = {k: v for k, v in vars(self).items() if k != "t" and k[0] != "_"}
        inside = ", ".join(f"{k}={v!r}" for k, v in settings.items())
        return f"{type(self).__name__}({inside})"


class SGD(Optimizer):
    """Plain stochastic gradient descent: w -= rate * g. No state.

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.optimizers import SGD, Parameter
    >>> table = Parameter(np.ones((3, 2), dtype=np.float32), SGD.n_slots)
    >>> sgd = SGD()
    >>> sgd.begin_step(learning_rate=0.5)
    >>> rows = np.array([1], dtype=np.int32)
    >>> sgd.step(table, rows, np.ones((1, 2), dtype=np.float32))
    >>> table.weights[:, 0].tolist()
    [1.0, 0.5, 1.0]
    """

    rule = 0
    n_slots = 0

    def _numbers(self, learning_rate):
        return [learning_rate]


class Momentum(Optimizer):
    """Heavy-ball momentum: u = momentum * u - rate * g; w += u. One slot a weight.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the velocity kept from step to step, in [0, 1).

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964. doi:10.1016/0041-5553(64)90137-5
    """

    rule = 1
    n_slots = 1

    def __init__(self, momentum=0.9):
        super().__init__()
        _check_fraction(momentum=momentum)
        self.momentum = momentum

    def _numbers(self, learning_rate):
        return [learning_rate, self.momentum]


class Adam(Optimizer):
    """Adam, with the bias correction of the global step. Two slots a weight.

    A row's moments move only in steps that touch it, as in PyTorch's ``SparseAdam``.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the first moment, in [0, 1).

    beta_2 : float, default=0.999
        Decay of the second moment, in [0, 1).

    epsilon : float, default=1e-8
        Added to the root of the second moment, before its bias is corrected.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015.
    arXiv:1412.6980
    """

    rule = 2
    n_slots = 2

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        super().__init__()
        _check_fraction(beta_1=beta_1, beta_2=beta_2)
        if not epsilon > 0:
            raise ValueError(f"epsilon must be positive; got {epsilon!r}.")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def _numbers(self, learning_rate):
        rate = learning_rate * math.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        return [rate, 1 - self.beta_1, 1 - self.beta_2, self.epsilon]


def _check_rows(rows, matrix, name):
    if len(rows) and not (0 <= rows.min() and rows.max() < len(matrix)):
        raise ValueError(f"rows must lie in [0, {len(matrix)}), the rows of {name}.")


def _check_gradient(gradient, n_rows, width, name):
    if gradient.ndim != 2 or len(gradient) < n_rows or gradient.shape[1] != width:
        raise ValueError(
            f"{name} must have at least {n_rows} rows of {width}, the width of the weights; "
            f"got shape {gradient.shape}."
        )


def _check_fraction(**settings):
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1); got {value!r}.")


OPTIMIZERS = {"adam": Adam, "momentum": Momentum, "sgd": SGD}


def make_optimizer(optimizer, **adam):
    """Fresh optimizer from a name ("adam", "momentum", "sgd") or an instance.

    `adam` are the settings of "adam", where it is asked for by name. An instance is copied
    and its step count starts again, so that one instance can serve as a parameter of many
    estimators.
    """
    if isinstance(optimizer, str):
        return Adam(**adam) if optimizer == "adam" else OPTIMIZERS[optimizer]()
    fresh = copy.copy(optimizer)
    fresh.t = 0
    return fresh
