"""What several models learnt of one network, each on rows of its own, put together.

Models begin alike, and each tells in which rows of its parameters it has changed what. Weights
move by the sum of the models' moves, divided by how much these say the same: moves at right
angles, which stem from different rows, add up, and equal ones count once. Optimizer state is
averaged.
"""

from typing import NamedTuple

import numpy as np

from sklsh._kernels import _averaging as _kernel
from sklsh._storage import as_float32, to_bfloat16

ROWS_AT_ONCE = 1 << 10  # to compare


class RowChanges(NamedTuple):
    """Rows of an array that training has changed.

    Attributes
    ----------
    rows : ndarray of shape (n,), int32
        Which.

    values : ndarray of shape (n, n_columns), float32 or the bits of bfloat16
        By how much, of weights; of optimizer state to what.
    """

    rows: np.ndarray
    values: np.ndarray

    @property
    def nbytes(self):
        """Bytes of both."""
        return self.rows.nbytes + self.values.nbytes


class Changes(NamedTuple):
    """What training has changed in a network.

    Attributes
    ----------
    weights, slots : list of RowChanges
        Of each parameter's weights, and of both slots of each.

    n_steps : int
        Steps it took.

    notes : object
        What the network has noted besides.
    """

    weights: list
    slots: list
    n_steps: int
    notes: object

    @property
    def nbytes(self):
        """Bytes of the arrays."""
        return sum(changed.nbytes for changed in (*self.weights, *self.slots))


def changes_between(before, after, dtype="float32"):
    """`Changes` from one network to another, in arrays of `dtype`, "float32" or "bfloat16"."""
    weights, slots = [], []
    for old, new in zip(before.parameters, after.parameters, strict=True):
        moved = _moved(old.weights, new.weights)
        moves = _taken(new.weights, moved) - _taken(old.weights, moved)
        weights.append(RowChanges(moved, _stored(moves, dtype)))
        for old_slot, new_slot in zip(old.slots, new.slots, strict=True):
            rows = _moved(old_slot, new_slot) if new.sketched else moved
            slots.append(RowChanges(rows, _stored(_taken(new_slot, rows), dtype)))
    n_steps, notes = after.optimizer.t - before.optimizer.t, after.notes_since(before)
    return Changes(weights, slots, n_steps, notes)


def _moved(before, after):
    """Rows that differ."""
    moved = np.empty(len(before), dtype=bool)
    for first in range(0, len(before), ROWS_AT_ONCE):
        block = slice(first, first + ROWS_AT_ONCE)
        moved[block] = (before[block] != after[block]).any(axis=1)
    return np.flatnonzero(moved).astype(np.int32)


def _taken(array, rows):
    """Copy of these rows, as float32."""
    return as_float32(array if len(rows) == len(array) else array.take(rows, axis=0))


def _stored(values, dtype):
    """Copy of float32 values as `dtype`."""
    return to_bfloat16(np.ascontiguousarray(values)) if dtype == "bfloat16" else values


def put_together(network, changes, shares):
    """Change a network as several models have learnt.

    Parameters
    ----------
    network : FeedForward
        What they began with; changed in place.

    changes : list of Changes
        What each has changed.

    shares : ndarray of shape (n_models,)
        What each counts for in averages, adding up to 1.
    """
    for i, parameter in enumerate(network.parameters):
        _move(parameter.weights, [model.weights[i] for model in changes], shares)
        for j, slot in enumerate(parameter.slots):
            _average(slot, [model.slots[2 * i + j] for model in changes], shares)
    network.optimizer.t += max(model.n_steps for model in changes)
    network.take_notes([model.notes for model in changes], shares)


def _move(weights, changes, shares):
    """Add the models' moves to weights, stored as float32 or bfloat16."""
    arrays, width = _arrays(changes), weights.shape[1]
    moved = as_float32(weights)  # the weights themselves, if they are that
    _kernel.add_moves(moved, *arrays, shares, np.empty((2, width), dtype=np.float32))
    if moved is not weights:
        weights[...] = to_bfloat16(moved)


def _average(slot, changes, shares):
    """Weighted mean of a slot's rows, of which each model has changed some."""
    if slot.size:
        _kernel.average_states(slot, *_arrays(changes), shares)


def _arrays(changes):
    """Rows and float32 values of each model."""
    return [c.rows for c in changes], [as_float32(c.values) for c in changes]
