"""Optimizers whose step touches only the rows that had a gradient.

An optimizer works on :class:`Parameter` objects, a matrix of weights with the state that
the optimizer keeps for each of them. A training step calls :meth:`Optimizer.begin_step`
once, then :meth:`Optimizer.step` or :meth:`Optimizer.step_embedding` for each parameter.
Rows without a gradient are neither read nor written: their moments stay as they are.
"""

import copy
import math
from abc import ABC, abstractmethod
from functools import partial

import numpy as np

from sklsh._kernels import _rows
from sklsh._memory import aligned_copy, aligned_zeros, padded, writable
from sklsh._storage import STORAGE, as_float32, to_bfloat16

__all__ = ["Adam", "Momentum", "Optimizer", "Parameter", "SGD", "make_optimizer"]


class Parameter:
    """Weights, and the optimizer's state for each row of them.

    Parameters
    ----------
    weights : ndarray of shape (n_rows, n_columns), float32 or uint16
        Used without a copy. uint16 holds the bits of bfloat16, the upper half of a float32.

    optimizer : Optimizer or None, default=None
        What keeps state for the weights; None keeps none.

    seed : int, default=0
        Of the rounding of updates to bfloat16.

    width : int or None, default=None
        Weights of a row, the padding behind them not counted; None means all columns.

    Attributes
    ----------
    slots : tuple of two ndarray of shape (n_rows, n_columns), (n_rows, 1) or (n_rows, 0), float32
        First and second moment, a number for each weight or for each row, or none.
    """

    def __init__(self, weights, optimizer=None, seed=0, *, width=None):
        self.weights = weights
        self.seed = seed
        n_rows, n_columns = weights.shape
        self.width = width or n_columns
        self.slots = tuple(aligned_zeros((n_rows, n)) for n in slot_widths(optimizer, n_columns))

    @classmethod
    def zeros(cls, shape, optimizer=None, dtype="float32", seed=0, *, width=None):
        """Parameter of zeros, stored as `dtype`, "float32" or "bfloat16"."""
        return cls(aligned_zeros(shape, STORAGE[dtype]), optimizer, seed, width=width)

    @classmethod
    def random(
        cls, n_random, width, scale, random_state, optimizer=None, dtype="float32", *, n_rows=None
    ):
        """Normal entries of standard deviation `scale` in a matrix padded with zeros.

        `n_rows`, the number of rows with padding, is `n_random` if not given.
        """
        seed = random_state.randint(2**31 - 1)
        shape = n_rows or n_random, padded(width)
        parameter = cls.zeros(shape, optimizer, dtype, seed, width=width)
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

    def make_trainable(self, optimizer):
        """Copy what cannot be written in place, such as a read-only memory map.

        State that is not there, as in a frozen copy, starts at zero.
        """
        n_columns = self.weights.shape[1]
        if tuple(slot.shape[1] for slot in self.slots) != slot_widths(optimizer, n_columns):
            self.slots = Parameter(self.weights, optimizer).slots
        self.weights = writable(self.weights)
        self.slots = tuple(writable(slot) for slot in self.slots)

    def frozen(self):
        """Copy of the weights, without state."""
        return Parameter(aligned_copy(self.weights), seed=self.seed, width=self.width)

    @property
    def state_bytes(self):
        """Bytes of optimizer state."""
        return sum(slot.nbytes for slot in self.slots)


class Optimizer(ABC):
    """Base of the optimizers: keeps the step count and calls the kernels.

    A subclass names the kernels' update `rule`, says how much state it keeps, and computes
    the rule's `hyper` numbers.
    """

    rule = None

    def __init__(self):
        self.t = 0

    @abstractmethod
    def slot_widths(self, n_columns):
        """How many numbers each of the two slots holds for a row of `n_columns` weights."""

    def begin_step(self, learning_rate):
        """Count a step; `learning_rate` is its rate."""
        self.t += 1
        self._rate = learning_rate

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
        _check_gradient(gradient, len(rows), parameter.weights.shape[1], "gradient")
        _rows.step_rows(
            *self.step_of(parameter), rows, gradient, _buffers(parameter, n_threads), n_threads
        )

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
        _check_gradient(delta, 0, parameter.weights.shape[1], "delta")
        _rows.step_embedding(
            *self.step_of(parameter), *columns, delta, _buffers(parameter, n_threads), n_threads
        )

    def step_of(self, parameter):
        """What kernels that update take first: rule, its numbers, seed, weights, both slots."""
        _check_state(parameter, self)
        hyper = np.array(self._numbers(self._rate, parameter.width), dtype=np.float32)
        return self.rule, hyper, self.seed_of(parameter), parameter.weights, *parameter.slots

    def seed_of(self, parameter):
        """Of what is drawn for the parameter in this step."""
        return (int(parameter.seed) << 32) + self.t

    @abstractmethod
    def _numbers(self, learning_rate, width):
        """The rule's hyper numbers in this step, for rows of `width` weights."""

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
    >>> sgd = SGD()
    >>> table = Parameter(np.ones((3, 2), dtype=np.float32), sgd)
    >>> sgd.begin_step(learning_rate=0.5)
    >>> rows = np.array([1], dtype=np.int32)
    >>> sgd.step(table, rows, np.ones((1, 2), dtype=np.float32))
    >>> table.weights[:, 0].tolist()
    [1.0, 0.5, 1.0]
    """

    rule = 0

    def slot_widths(self, n_columns):
        """No state."""
        return 0, 0

    def _numbers(self, learning_rate, width):
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

    def __init__(self, momentum=0.9):
        super().__init__()
        _check_fraction(momentum=momentum)
        self.momentum = momentum

    def slot_widths(self, n_columns):
        """A velocity for each weight."""
        return n_columns, 0

    def _numbers(self, learning_rate, width):
        return [learning_rate, self.momentum]


class Adam(Optimizer):
    """Adam, with the bias correction of the global step. Two slots a weight, or fewer.

    A row's moments move only in steps that touch it, as in PyTorch's ``SparseAdam``.

    Touched rows are scattered in memory, and most of a step goes by in reading and writing
    them: a float32 weight and its moments, 12 bytes. Either one second moment a row or
    `beta_1=0`, which keeps no first moment, leaves 8 of them, and both together 4.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the first moment, in [0, 1). At 0 the gradient takes the place of the
        first moment, and no memory is taken for it.

    beta_2 : float, default=0.999
        Decay of the second moment, in [0, 1).

    epsilon : float, default=1e-8
        Added to the root of the second moment, before its bias is corrected.

    second_moment : {"weight", "row"}, default="weight"
        What has a second moment of its own. "weight": each weight, as published. "row":
        each row of weights, the mean square of its gradient, padding not counted; all
        weights of a row then move at one rate.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015.
    arXiv:1412.6980

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.optimizers import Adam, Parameter
    >>> weights = np.zeros((1000, 64), dtype=np.float32)
    >>> for adam in [Adam(), Adam(second_moment="row"), Adam(0, second_moment="row")]:
    ...     print(Parameter(weights, adam).state_bytes)
    512000
    260000
    4000
    """

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8, *, second_moment="weight"):
        super().__init__()
        _check_fraction(beta_1=beta_1, beta_2=beta_2)
        if not epsilon > 0:
            raise ValueError(f"epsilon must be positive; got {epsilon!r}.")
        if second_moment not in ("weight", "row"):
            raise ValueError(f'second_moment must be "weight" or "row"; got {second_moment!r}.')
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.second_moment = second_moment

    @property
    def rule(self):
        """Number of the update rule, by which moments there are."""
        has_first = self.beta_1 > 0
        if self.second_moment == "row":
            return 4 if has_first else 5
        return 2 if has_first else 3

    def slot_widths(self, n_columns):
        """First moments, none if they are the gradient, and second ones."""
        return (
            n_columns if self.beta_1 > 0 else 0,
            1 if self.second_moment == "row" else n_columns,
        )

    def _numbers(self, learning_rate, width):
        rate = learning_rate * math.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        return [rate, 1 - self.beta_1, 1 - self.beta_2, self.epsilon, 1 / width]


def slot_widths(optimizer, n_columns):
    """As `optimizer.slot_widths`; none without an optimizer."""
    return (0, 0) if optimizer is None else optimizer.slot_widths(n_columns)


def _buffers(parameter, n_threads):
    """Room for a row's gradient and, as floats, for the row itself, for each thread."""
    return np.empty((n_threads, 2 * parameter.weights.shape[1]), dtype=np.float32)


def _check_state(parameter, optimizer):
    first, second = parameter.slots
    widths = first.shape[1], second.shape[1]
    wanted = optimizer.slot_widths(parameter.weights.shape[1])
    if widths != wanted:
        raise ValueError(
            f"parameter must have state of {wanted[0]} and {wanted[1]} numbers a row for "
            f"{optimizer!r}; got {widths[0]} and {widths[1]}. Make it for this optimizer."
        )


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


OPTIMIZERS = {
    "adam": Adam,
    "momentum": Momentum,
    "rowwise_adam": partial(Adam, second_moment="row"),
    "sgd": SGD,
}


def make_optimizer(optimizer, **adam):
    """Fresh optimizer from a name ("adam", "rowwise_adam", "momentum", "sgd") or an instance.

    `adam` are the settings of the first two, where they are asked for by name. An instance
    is copied and its step count starts again, so that one instance can serve as a parameter
    of many estimators.
    """
    if isinstance(optimizer, str):
        settings = adam if optimizer in ("adam", "rowwise_adam") else {}
        return OPTIMIZERS[optimizer](**settings)
    fresh = copy.copy(optimizer)
    fresh.t = 0
    return fresh
