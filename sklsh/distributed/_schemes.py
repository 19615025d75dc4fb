"""How gradients travel: each scheme is a generator, one process's side of the exchange.

It is given this process's gradient and, where it asks, `counts`, the number of rows that each
process brings; yields what it wants reduced (see `_collectives`), and returns the sum as a
RowSparse.
"""

import math

import numpy as np

from sklsh.distributed._collectives import Gather, Or, Sum, ring_gather, ring_reduction
from sklsh.distributed._row_sparse import (
    RowSparse,
    as_bitmap,
    as_code,
    code_bytes,
    from_bitmap,
    from_code,
    largest,
    squared_norms,
    sum_of,
    union_of,
)

FLOAT = np.dtype(np.float32).itemsize


def dense(gradient):
    """The whole matrix, summed."""
    [total] = yield [Sum(gradient.dense())]
    return RowSparse.of_dense(total)


def coo(gradient, counts):
    """Rows and their values, gathered and summed by each process in the order of processes."""
    codes, values = yield [gathered_rows(gradient, counts), gathered_values(gradient, counts)]
    return sum_of(matrices_of(supports_of(codes, gradient, counts), values, gradient))


def fewest_bytes(gradient, counts):
    """The exact sum, in the form that takes the fewest bytes, which is returned beside it.

    First the processes learn the union of their supports, from codes or from bitmaps. Codes tell
    each process's support too; then its values can be gathered, if that takes fewer bytes than
    the sum of all rows of the union. Where bitmaps would be smaller than codes the union is
    still unknown: it is taken to be what supports without relation make. The whole matrix needs
    no supports, and is sent if no union could beat that.
    """
    n_processes, n_rows = len(counts), gradient.n_rows

    def summed(n):
        return ring_reduction(FLOAT * gradient.width * n, n_processes)

    codes = ring_gather(np.mean([code_bytes(n, n_rows) for n in counts]), n_processes)
    bitmaps = ring_reduction(-(-n_rows // 8), n_processes)
    gathered = ring_gather(FLOAT * gradient.width * np.mean(counts), n_processes)
    if summed(n_rows) < min(codes, bitmaps) + min(gathered, summed(np.max(counts))):
        return (yield from dense(gradient)), "dense"

    # in plain floats, which round alike on all machines
    likely = summed(n_rows * (1 - math.prod(1 - n / n_rows for n in counts.tolist())))
    if codes + min(gathered, likely) <= bitmaps + likely:
        [sent] = yield [gathered_rows(gradient, counts)]
        supports = supports_of(sent, gradient, counts)
        union = union_of(supports, n_rows)
        if gathered <= summed(len(union)):
            [values] = yield [gathered_values(gradient, counts)]
            return sum_of(matrices_of(supports, values, gradient)), "coo"
    else:
        [bitmap] = yield [Or(as_bitmap(gradient.rows, n_rows))]
        union = from_bitmap(bitmap, n_rows)
    [total] = yield [Sum(gradient.among(union))]
    return RowSparse(union, total, n_rows), "union"


def s2(gradient, new_sketch):
    """Sketches of the gradients, summed, and bitmaps of their supports, united (S2 Reducer).

    Rows of the union are read from the sum of the sketches; all others are zero.
    """
    sketch = new_sketch(gradient.width).update(gradient.rows, gradient.values)
    cells, bitmap = yield [Sum(sketch.cells), Or(as_bitmap(gradient.rows, gradient.n_rows))]
    sketch.cells[...] = cells
    rows = from_bitmap(bitmap, gradient.n_rows)
    return RowSparse(rows, queried(sketch, rows), gradient.n_rows)


class FetchState:
    """Momentum and error of FetchSGD, both in sketches.

    Parameters
    ----------
    new_sketch : callable
        Makes an empty sketch for values of a width, always with the same hash.

    n_rows, width : int
        Shape of the matrix.

    momentum : float
        In [0, 1).
    """

    def __init__(self, new_sketch, n_rows, width, momentum):
        self.momentum = momentum
        self.velocity, self.error = new_sketch(width), new_sketch(width)
        self._hits = new_sketch(1, estimate="min")
        self._all_rows = np.arange(n_rows)

    def update(self, cells, k):
        """Take in the sum of the gradients' sketches; the k largest rows of what is due.

        The cells that these rows have are zeroed in both sketches. To subtract the sketch of
        the rows instead would leave the noise of their estimates, which grows without bound.
        """
        self.velocity.scale(self.momentum)
        self.velocity.cells[...] += cells
        self.error += self.velocity
        estimates = queried(self.error, self._all_rows)
        rows = largest(squared_norms(estimates), k)
        hit = self._hits.clear().update(rows).cells[..., 0] > 0
        self.velocity.cells[hit] = 0
        self.error.cells[hit] = 0
        return RowSparse(rows, estimates[rows], len(self._all_rows))


def fetch(gradient, state, k):
    """Sketches of the gradients, summed; the k rows of largest estimate after momentum and error.

    The state is the same on all processes, as it goes by the sum alone (FetchSGD).
    """
    sketch = state.error.copy().clear().update(gradient.rows, gradient.values)
    [cells] = yield [Sum(sketch.cells)]
    return state.update(cells, k)


def queried(sketch, rows):
    """Estimates of rows, (n, width)."""
    return sketch.query(rows).reshape(len(rows), sketch.n_columns)


def gathered_rows(gradient, counts):
    """Part of a message: which rows each process brings."""
    sizes = np.array([code_bytes(n, gradient.n_rows) for n in counts])
    return Gather(as_code(gradient.rows, gradient.n_rows), sizes)


def gathered_values(gradient, counts):
    """Part of a message: the values that each process brings."""
    return Gather(gradient.values, gradient.width * np.asarray(counts))


def supports_of(codes, gradient, counts):
    """Rows of each process."""
    pairs = zip(codes, counts, strict=True)
    return [from_code(code, int(n), gradient.n_rows) for code, n in pairs]


def matrices_of(supports, values, gradient):
    """The gradients of all processes."""
    pairs = zip(supports, values, strict=True)
    return [
        RowSparse(rows, flat.reshape(-1, gradient.width), gradient.n_rows) for rows, flat in pairs
    ]
