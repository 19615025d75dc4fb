"""What several models learnt of one network, each on rows of its own, put together.

Models begin alike, and each tells in which rows of its parameters it has changed what. Weights
move by the sum of the models' moves, divided by how much these say the same: moves at right
angles, which stem from different rows, add up, and equal ones count once. Optimizer state is
averaged.
"""

from typing import NamedTuple

import numpy as np

from sklsh._storage import STORAGE, as_float32, to_bfloat16

ROWS_AT_ONCE = 1 << 10  # of a parameter, which stay in the cache


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

    def within(self, first, last):
        """Rows of a block, counted from its first, and their values as float32.

        All of them are a slice, which is faster to go by.
        """
        start, stop = np.searchsorted(self.rows, (first, last))
        rows = self.rows[start:stop] - first if stop - start < last - first else slice(None)
        return rows, as_float32(self.values[start:stop])


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
    """Add the models' moves, where they agree divided by how many say the same.

    With moves d_i and shares p_i, which are 1/n for n models of equal data: the mean move
    sum p_i d_i where all are equal, the sum of d_i where they are at right angles, and in
    between as far as the squared length of the mean is between those of these two cases.
    """
    most = 1 / (shares**2).sum()
    for first in range(0, len(weights), ROWS_AT_ONCE):
        block = weights[first : first + ROWS_AT_ONCE]
        mean, total = np.zeros((2, *block.shape), dtype=np.float32)
        apart = np.zeros(len(block))
        for changed, share in zip(changes, shares, strict=True):
            rows, moves = changed.within(first, first + len(block))
            total[rows] += moves
            moves = np.float32(share) * moves
            mean[rows] += moves
            apart[rows] += np.einsum("ij,ij->i", moves, moves)
        together = np.einsum("ij,ij->i", mean, mean)
        with np.errstate(divide="ignore", invalid="ignore"):  # rows that nothing has moved
            factor = np.where(together > 0, np.clip(most * apart / together, 1, most), 1)
        alike = ((most - factor) / max(most - 1, 1e-9)).astype(np.float32)[:, None]
        total += alike * (mean - total)
        _add(block, total)


def _add(block, moves):
    """Add to weights as they are stored."""
    if block.dtype == STORAGE["bfloat16"]:
        block[...] = to_bfloat16(as_float32(block) + moves)
    else:
        block += moves


def _average(slot, changes, shares):
    """Weighted mean of a slot's rows, of which each model has changed some.

    Of products and sums alone: second moments stay at zero or above.
    """
    for first in range(0, len(slot), ROWS_AT_ONCE):
        block = slot[first : first + ROWS_AT_ONCE]
        parts = [changed.within(first, first + len(block)) for changed in changes]
        unchanged = np.ones((len(block), 1), dtype=np.float32)
        for (rows, _), share in zip(parts, shares, strict=True):
            unchanged[rows] -= np.float32(share)
        block *= np.maximum(unchanged, 0)
        for (rows, values), share in zip(parts, shares, strict=True):
            block[rows] += np.float32(share) * values
