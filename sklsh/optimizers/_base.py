"""What all optimizers share: the step count, and the kernels of row-sparse steps."""

import inspect
from abc import ABC, abstractmethod

import numpy as np

from sklsh._kernels import _ragged_layers, _rows


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

    def state_shapes(self, shape):
        """Shapes of the two slots for weights of `shape`."""
        return tuple((shape[0], n) for n in self.slot_widths(shape[1]))

    def sketches(self, shape):
        """Whether the slots for weights of `shape` are count-sketches."""
        return False

    def begin_step(self, learning_rate):
        """Count a step; `learning_rate` is its rate."""
        self.t += 1
        self._rate = learning_rate

    def end_step(self, parameter, rows):
        """Rows of `parameter` that have moved in this step, in which `rows` had a gradient.

        They are the same; where processes train a model together, there are those of others too.
        """
        return rows

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
        check_gradient(gradient, len(rows), parameter.weights.shape[1], "gradient")
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
        check_gradient(delta, 0, parameter.weights.shape[1], "delta")
        _rows.step_embedding(
            *self.step_of(parameter), *columns, delta, _buffers(parameter, n_threads), n_threads
        )

    def step_units(self, parameter, columns, below, n_threads=1):
        """Update the units of a sampled layer, at the weights that have a gradient.

        Parameters
        ----------
        parameter : Parameter
            Weights, one row a unit, float32; updated in place.

        columns : tuple of ndarray (units, starts, rows, values)
            Unit units[i] is active in the batch's rows rows[starts[i]:starts[i + 1]], where
            its gradient has these values.

        below : Batch of shape (n_batch, width)
            What the rows bring to the layer. A weight has a gradient where one of its unit's
            rows brings a value.

        n_threads : int, default=1
            OpenMP threads; the result does not depend on it.
        """
        rule, hyper, _, *arrays = self.step_of(parameter)
        _ragged_layers.step_units(
            rule, hyper, *arrays, *columns, below.indptr, below.indices, below.data, n_threads
        )

    def step_of(self, parameter):
        """What kernels that update take first: rule, its numbers, seed, weights, both slots."""
        check_state(parameter, self)
        hyper = np.array(self._numbers(self._rate, parameter.width), dtype=np.float32)
        return self.rule, hyper, self.seed_of(parameter), parameter.weights, *parameter.slots

    def seed_of(self, parameter):
        """Of what is drawn for the parameter in this step."""
        return (int(parameter.seed) << 32) + self.t

    @abstractmethod
    def _numbers(self, learning_rate, width):
        """The rule's hyper numbers in this step, for rows of `width` weights."""

    def __repr__(self):
        names = inspect.signature(type(self)).parameters
        settings = {k: v for k, v in vars(self).items() if k in names}
        inside = ", ".join(f"{k}={v!r}" for k, v in settings.items())
        return f"{type(self).__name__}({inside})"


def _buffers(parameter, n_threads):
    """Room for a row's gradient and, as floats, for the row itself, for each thread."""
    return np.empty((n_threads, 2 * parameter.weights.shape[1]), dtype=np.float32)


def check_state(parameter, optimizer):
    if not parameter.has_state_of(optimizer):
        shape = parameter.weights.shape
        wanted = _described(optimizer.sketches(shape), optimizer.state_shapes(shape))
        held = _described(parameter.sketched, (slot.shape for slot in parameter.slots))
        raise ValueError(
            f"parameter must have state of {wanted} for {optimizer!r}; got {held}. Make it for "
            "this optimizer."
        )


def _described(sketched, shapes):
    (n_rows, first), (_, second) = shapes
    where = f"in each of {n_rows} cells" if sketched else "a row"
    return f"{first} and {second} numbers {where}"


def check_gradient(gradient, n_rows, width, name):
    if gradient.ndim != 2 or len(gradient) < n_rows or gradient.shape[1] != width:
        raise ValueError(
            f"{name} must have at least {n_rows} rows of {width}, the width of the weights; "
            f"got shape {gradient.shape}."
        )


def check_fraction(**settings):
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1); got {value!r}.")


def check_positive(**settings):
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive; got {value!r}.")
