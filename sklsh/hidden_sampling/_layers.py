"""Hidden layers of which each row computes a few units, and full layers beside them.

Activations pass from layer to layer as batches of few values: of each row those units that it has
computed and that are positive. Both kinds of layer take them, and return them, alike.
"""

import numpy as np

from sklsh._batches import Batch, Columns, nonzero_values, row_of
from sklsh._feed_forward import ONLY_ROW
from sklsh._kernels import _layers, _ragged_layers, _rows
from sklsh._memory import padded
from sklsh.optimizers import Parameter


class HiddenLayer:
    """Rectified linear units above rows of few values: what both kinds share.

    Parameters
    ----------
    n_in, n_units : int
        Width of the rows below, and units.

    parameter, bias_parameter : Parameter
        What is learnt.
    """

    def __init__(self, n_in, n_units, parameter, bias_parameter):
        self.n_in, self.n_units = n_in, n_units
        self.parameter, self.bias_parameter = parameter, bias_parameter
        self.release_buffers()

    def release_buffers(self):
        """Give back what only training needs."""
        self._columns = None

    def _columns_of(self, batch):
        if self._columns is None:
            self._columns = Columns(batch.shape[1])
        return self._columns.of(batch.indptr, batch.indices, batch.data)

    def __getstate__(self):
        return vars(self) | {"_columns": None}


class FullLayer(HiddenLayer):
    """Units that every row computes; weights are (n_in, n_units).

    Parameters
    ----------
    n_in, n_units : int
        Width of the rows below, and units.

    scale : float
        Standard deviation of the first weights.

    random_state : numpy.random.RandomState
        Draws them.

    optimizer : Optimizer
        Updates the layer.

    dtype : {"float32", "bfloat16"}, default="float32"
        How weights are stored.
    """

    nbytes = 0

    def __init__(self, n_in, n_units, scale, random_state, optimizer, dtype="float32"):
        weights = Parameter.random(n_in, n_units, scale, random_state, optimizer, dtype)
        shape, seed = (1, padded(n_units)), weights.seed + 1
        bias = Parameter.zeros(shape, optimizer, seed=seed, width=n_units)
        super().__init__(n_in, n_units, weights, bias)

    @property
    def coef(self):
        """Weights without padding, (n_in, n_units)."""
        return self.parameter.as_float32()[:, : self.n_units]

    @property
    def intercept(self):
        """Biases without padding."""
        return self.bias_parameter.weights[0, : self.n_units]

    def forward(self, below, work, n_threads, *, training=False, dropout=0.0, seed=0):
        """Positive units of each row, as a `Batch`; in training without a share `dropout`."""
        weights, bias = self.parameter.weights, self.bias_parameter.weights[0]
        above = np.empty((below.shape[0], weights.shape[1]), dtype=np.float32)
        _rows.embed(
            below.indptr, below.indices, below.data, weights, bias, above, n_threads, relu=True
        )
        if dropout:
            _layers.drop_units(above, dropout, seed, n_threads)
        work.products += self.n_units * len(below.indices)
        return nonzero_values(above[:, : self.n_units])

    def step(self, below, above, delta, optimizer, work, n_threads, *, is_first, dropout=0.0):
        """Update the layer by the gradient of what is above; returns that of what is below."""
        weights = self.parameter.weights
        d_above = np.zeros((above.shape[0], weights.shape[1]), dtype=np.float32)
        d_above[row_of(above), above.indices] = delta * np.float32(_layers.drop_scale(dropout))
        d_below = None
        if not is_first:
            d_below = np.empty(len(below.indices), dtype=np.float32)
            _rows.score(d_above, weights, below.indptr, below.indices, d_below, n_threads)
        d_bias = np.empty((1, d_above.shape[1]), dtype=np.float32)
        _layers.column_sums(d_above, d_bias[0], n_threads)
        optimizer.step(self.bias_parameter, ONLY_ROW, d_bias)
        columns = self._columns_of(below)
        optimizer.step_embedding(self.parameter, columns, d_above, n_threads)
        work.products += (2 - is_first) * self.n_units * len(below.indices)
        return d_below

    def silent_units(self, above):
        """Number of units that no row has."""
        return self.n_units - len(np.unique(above.indices))

    def settle(self, work, n_threads):
        """Nothing: no part of the layer lags behind its weights."""

    def forget(self):
        """Nothing, likewise."""

    def make_writable(self):
        """Nothing, likewise."""


class SampledLayer(HiddenLayer):
    """Units of which each row computes a few; weights are (n_units, n_in), a row for each unit.

    Parameters
    ----------
    n_in, n_units, n_active : int
        Width of the rows below, units, and those that a row passes on at most.

    units : LSHUnits or RandomUnits
        Chooses the units that a row looks at.

    scale, random_state, optimizer
        As for :class:`FullLayer`.
    """

    def __init__(self, n_in, n_units, n_active, units, scale, random_state, optimizer):
        weights = Parameter.random(n_units, n_in, scale, random_state, optimizer)
        bias = Parameter.zeros((n_units, 1), optimizer)
        super().__init__(n_in, n_units, weights, bias)
        self.n_active = n_active
        self.units = units

    @property
    def coef(self):
        """Weights without padding, (n_in, n_units): a view."""
        return self.parameter.weights[:, : self.n_in].T

    @property
    def intercept(self):
        """Biases, a view."""
        return self.bias_parameter.weights[:, 0]

    @property
    def nbytes(self):
        """Bytes of hash tables."""
        return self.units.nbytes

    def forward(self, below, work, n_threads, *, training=False, dropout=0.0, seed=0):
        """Positive units of each row among those it looks at, as a `Batch`.

        Nothing is dropped: units that are not looked at are left out already.
        """
        candidates, n_candidates = self.units.of(
            below, self.parameter, work, n_threads, training=training
        )
        n = below.shape[0]
        units = np.empty((n, self.n_active), dtype=np.int32)
        activations = np.empty((n, self.n_active), dtype=np.float32)
        n_active = np.empty(n, dtype=np.int32)
        _ragged_layers.activate(
            below.indptr, below.indices, below.data, self.parameter.weights, self.intercept,
            candidates, n_candidates, units, activations, n_active, n_threads,
        )  # fmt: skip
        work.products += int(np.dot(n_candidates.astype(np.int64), np.diff(below.indptr)))
        filled = np.arange(self.n_active) < n_active[:, None]
        indptr = np.concatenate([[0], np.cumsum(n_active)]).astype(np.int32)
        return Batch(indptr, units[filled], activations[filled], (n, self.n_units))

    def step(self, below, above, delta, optimizer, work, n_threads, *, is_first, dropout=0.0):
        """Update the layer by the gradient of what is above; returns that of what is below."""
        d_below = None
        if not is_first:
            d_below = np.empty(len(below.indices), dtype=np.float32)
            _ragged_layers.gradient_below(
                above.indptr, above.indices, delta, self.parameter.weights,
                below.indptr, below.indices, d_below, n_threads,
            )  # fmt: skip
        columns = units, starts, _, d_active = self._columns_of(above._replace(data=delta))
        if len(units):
            optimizer.step_units(self.parameter, columns, below, n_threads)
            d_bias = np.add.reduceat(d_active, starts[:-1])[:, None]
            optimizer.step(self.bias_parameter, units, d_bias)
        self.units.note_step(units)
        n_products = np.dot(np.diff(above.indptr).astype(np.int64), np.diff(below.indptr))
        work.products += (2 - is_first) * int(n_products)
        return d_below

    def silent_units(self, above):
        """All units if no row has any; else none, as few suffice."""
        return 0 if len(above.indices) else self.n_units

    def settle(self, work, n_threads):
        """Hash what has changed."""
        self.units.settle(self.parameter, work, n_threads)

    def forget(self):
        """Drop what goes by weights that were set to others."""
        self.units.forget()

    def make_writable(self):
        """Copy what came from a read-only memory map."""
        self.units.make_writable()
