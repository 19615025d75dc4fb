"""Weights, and the state that an optimizer keeps for them."""

import copy
import math

import numpy as np

from sklsh._memory import aligned_copy, aligned_zeros, padded, writable
from sklsh._storage import STORAGE, as_float32, to_bfloat16


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
        First and second moment, a number for each weight or for each row, or none; if
        `sketched`, count-sketches of them, (n_cells, n_columns).

    sketched : bool
        Whether the slots are count-sketches, whose cells rows share.
    """

    sketched = False

    def __init__(self, weights, optimizer=None, seed=0, *, width=None):
        self.weights = weights
        self.seed = seed
        self.width = width or weights.shape[1]
        self.sketched = is_sketched(optimizer, weights.shape)
        self.slots = tuple(map(aligned_zeros, state_shapes(optimizer, weights.shape)))

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
        if not self.has_state_of(optimizer):
            fresh = Parameter(self.weights, optimizer)
            self.slots, self.sketched = fresh.slots, fresh.sketched
        self.weights = writable(self.weights)
        self.slots = tuple(writable(slot) for slot in self.slots)

    def frozen(self):
        """Copy of the weights, without state."""
        return Parameter(aligned_copy(self.weights), seed=self.seed, width=self.width)

    def __deepcopy__(self, memo):
        """Copy of weights and state, in memory that is aligned as theirs."""
        twin = copy.copy(self)
        twin.weights, twin.slots = aligned_copy(self.weights), tuple(map(aligned_copy, self.slots))
        return twin

    def has_state_of(self, optimizer):
        """Whether the state is what the optimizer keeps for these weights."""
        shape = self.weights.shape
        shapes = tuple(slot.shape for slot in self.slots)
        kept = is_sketched(optimizer, shape), state_shapes(optimizer, shape)
        return (self.sketched, shapes) == kept

    @property
    def state_bytes(self):
        """Bytes of optimizer state, in sketches or not."""
        return sum(slot.nbytes for slot in self.slots)

    @property
    def sketch_bytes(self):
        """Bytes of the state that is in sketches."""
        return self.state_bytes if self.sketched else 0


def is_sketched(optimizer, shape):
    """Whether `optimizer` keeps the state of weights of `shape` in count-sketches."""
    return optimizer is not None and optimizer.sketches(shape)


def state_shapes(optimizer, shape):
    """Shapes of both slots for weights of `shape`; of no columns without an optimizer."""
    return ((shape[0], 0),) * 2 if optimizer is None else tuple(optimizer.state_shapes(shape))


def state_bytes(optimizer, shape):
    """Bytes of the state that `optimizer` keeps for weights of `shape`."""
    return 4 * sum(map(math.prod, state_shapes(optimizer, shape)))
