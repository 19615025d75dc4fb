"""Optimizers that keep the moments of tall matrices in count-sketches."""

from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sklsh._kernels import _sketched_moments
from sklsh._memory import aligned_zeros
from sklsh.optimizers._base import Optimizer, check_fraction, check_gradient, check_positive
from sklsh.optimizers._dense import Adagrad, Adam, Momentum, RMSprop

GAIN_2 = 2  # place of 1 - beta_2 among the numbers of rules with a moving second moment


class Sketched(Optimizer):
    """Mixin that takes the moments of its base class from count-sketches.

    The base class has no slots but those of a number for each weight.
    """

    clean_every = None
    averages = False  # whether a cell of second moments is the mean of its rows, not the sum

    def _sketch_with(self, *, compression, depth, min_rows, clean_every=None, clean_factor=None):
        check_positive(compression=compression)
        _check_integer("depth", depth, 1, _sketched_moments.DEEPEST)
        _check_integer("min_rows", min_rows, 1)
        if clean_every is not None:
            _check_integer("clean_every", clean_every, 1)
            check_fraction(clean_factor=clean_factor)
        self.compression = compression
        self.depth = depth
        self.min_rows = min_rows
        self.clean_every = clean_every
        self.clean_factor = clean_factor

    def sketches(self, shape):
        """True for weights of `min_rows` rows or more, but not for single columns."""
        n_rows, n_columns = shape
        return n_rows >= self.min_rows and n_columns > 1

    def state_shapes(self, shape):
        """Shapes of both slots: of sketches, or as without them."""
        if not self.sketches(shape):
            return super().state_shapes(shape)
        n_rows, n_columns = shape
        n_cells = self.depth * max(1, round(self.compression * n_rows / self.depth))
        return tuple((n_cells, n) for n in self.slot_widths(n_columns))

    def step(self, parameter, rows, gradient, n_threads=1):
        """Update the rows `rows`; see :meth:`Optimizer.step`."""
        if not parameter.sketched:
            return super().step(parameter, rows, gradient, n_threads)
        check_gradient(gradient, len(rows), parameter.weights.shape[1], "gradient")
        _sketched_moments.step_rows(
            *self._state_of(parameter), rows, gradient, _buffers(parameter, n_threads), n_threads
        )

    def step_embedding(self, parameter, columns, delta, n_threads=1):
        """Update the embedding of each feature of a batch; see `Optimizer.step_embedding`."""
        if not parameter.sketched:
            return super().step_embedding(parameter, columns, delta, n_threads)
        n_columns = parameter.weights.shape[1]
        check_gradient(delta, 0, n_columns, "delta")
        gradients = np.empty((_sketched_moments.GRADIENTS_AT_A_TIME, n_columns), dtype=np.float32)
        _sketched_moments.step_embedding(
            *self._state_of(parameter), *columns, delta, gradients,
            _buffers(parameter, n_threads), n_threads,
        )  # fmt: skip

    def step_units(self, parameter, columns, below, n_threads=1):
        """Update the units of a sampled layer; see :meth:`Optimizer.step_units`.

        Rows share cells, so that those of units with a gradient are updated as a whole.
        """
        if not parameter.sketched:
            return super().step_units(parameter, columns, below, n_threads)
        units, starts, rows, values = columns
        n_columns = parameter.weights.shape[1]
        inputs = sp.csr_array((below.data, below.indices, below.indptr), shape=below.shape)
        for block in gen_batches(len(units), _sketched_moments.GRADIENTS_AT_A_TIME):
            inside = slice(starts[block.start], starts[block.stop])
            active = sp.csr_array(
                (values[inside], rows[inside], starts[block.start : block.stop + 1] - inside.start),
                shape=(block.stop - block.start, below.shape[0]),
            )
            gradient = np.zeros((active.shape[0], n_columns), dtype=np.float32)
            gradient[:, : below.shape[1]] = (active @ inputs).toarray()
            self.step(parameter, units[block], gradient, n_threads)

    def step_of(self, parameter):
        """As of other optimizers for state that is not sketched; such state is refused."""
        if parameter.sketched:
            raise ValueError(
                f"{self!r} keeps this parameter's state in sketches, which only its own step "
                "and step_embedding can read."
            )
        return super().step_of(parameter)

    def _state_of(self, parameter):
        """What the kernels of sketched state take first; cleans the second moment if it is due."""
        rule, hyper, seed, weights, m, v = super().step_of(parameter)
        if self.averages:
            hyper[GAIN_2] *= min(1, len(v) / self.depth / len(weights))
        if self.clean_every is not None and self.t % self.clean_every == 0:
            v *= np.float32(self.clean_factor)
        return rule, hyper, seed, weights, m, v, self.depth, int(parameter.seed)


class CSMomentum(Sketched, Momentum):
    """Heavy-ball momentum with the velocity in a count-sketch.

    See :class:`CSAdam` for what a sketch is, and which matrices have one.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the velocity kept from step to step, in [0, 1).

    compression, depth, min_rows
        Of the sketch, see :class:`CSAdam`.

    References
    ----------
    R. Spring, A. Kyrillidis, V. Mohan and A. Shrivastava, "Compressing gradient optimizers
    via count-sketches", 2019. arXiv:1902.00179
    """

    def __init__(self, momentum=0.9, *, compression=0.2, depth=1, min_rows=1024):
        super().__init__(momentum)
        self._sketch_with(compression=compression, depth=depth, min_rows=min_rows)


class CSAdam(Sketched, Adam):
    """Adam with its moments in count-sketches, as a rule without a first one.

    A moment's sketch has `depth` rows of cells, each cell a vector as long as a row of
    weights. A row of weights has one cell in each, drawn by a hash of its number, and shares
    it with others. The first moment of a row is the median of its cells, which bear random
    signs, and the second the minimum of its cells, which do not. An update asks for the
    moments, moves them as Adam does, and adds the change to all cells of the row; rows of a
    step are taken one after another. If no rows share cells this is Adam.

    An update moves a cell of second moments by ``1 - beta_2``, divided by the number of rows
    that share a cell on average: the cell is the mean of its rows, not their sum, whose steps
    would be too small. To the first moment the other rows bring noise as large as itself. It
    costs more accuracy than the moment is worth, see ``benchmarks/optimizers.py``, and there
    is none by default.

    Matrices of fewer than `min_rows` rows and biases take little memory as it is, and keep
    moments of their own.

    A row's update goes through `depth` vectors for each moment where Adam goes through one.
    With one row and no first moment a step takes no longer than Adam's.

    Parameters
    ----------
    beta_1 : float, default=0
        Decay of the first moment, in [0, 1). At 0 the gradient takes the place of the
        first moment, and there is no sketch of it.

    beta_2 : float, default=0.999
        Decay of the second moment, in [0, 1).

    epsilon : float, default=1e-8
        Added to the root of the second moment, before its bias is corrected.

    compression : float, default=0.2
        Cells of a sketch, all its rows together, as a share of the rows of weights.

    depth : int, default=1
        Rows of a sketch, 1 to 16. `compression` does not change with it: more rows are
        shorter.

    min_rows : int, default=1024
        Rows that a matrix has at least if its moments are sketched.

    clean_every : int or None, default=None
        Steps after which the sketch of the second moment is multiplied by `clean_factor`, as
        published, to be rid of what collisions have brought there; None for never.

    clean_factor : float, default=0.25
        In [0, 1).

    References
    ----------
    R. Spring, A. Kyrillidis, V. Mohan and A. Shrivastava, "Compressing gradient optimizers
    via count-sketches", 2019. arXiv:1902.00179

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.optimizers import Adam, CSAdam, Parameter
    >>> weights = np.zeros((3000, 64), dtype=np.float32)
    >>> for adam in [Adam(), CSAdam(), CSAdam(compression=0.1), CSAdam(beta_1=0.9)]:
    ...     print(Parameter(weights, adam).state_bytes)
    1536000
    153600
    76800
    307200
    """

    averages = True

    def __init__(
        self, beta_1=0, beta_2=0.999, epsilon=1e-8, *, compression=0.2, depth=1, min_rows=1024,
        clean_every=None, clean_factor=0.25,
    ):  # fmt: skip
        super().__init__(beta_1, beta_2, epsilon)
        self._sketch_with(
            compression=compression, depth=depth, min_rows=min_rows, clean_every=clean_every,
            clean_factor=clean_factor,
        )  # fmt: skip


class CSRMSprop(Sketched, RMSprop):
    """RMSprop with the second moment in a count-sketch.

    See :class:`CSAdam` for what a sketch is, and which matrices have one.

    Parameters
    ----------
    beta_2 : float, default=0.99
        Decay of the second moment, in [0, 1).

    epsilon : float, default=1e-8
        Added to the root of the second moment.

    compression, depth, min_rows, clean_every, clean_factor
        Of the sketch, see :class:`CSAdam`.

    References
    ----------
    R. Spring, A. Kyrillidis, V. Mohan and A. Shrivastava, "Compressing gradient optimizers
    via count-sketches", 2019. arXiv:1902.00179
    """

    averages = True

    def __init__(
        self, beta_2=0.99, epsilon=1e-8, *, compression=0.2, depth=1, min_rows=1024,
        clean_every=None, clean_factor=0.25,
    ):  # fmt: skip
        super().__init__(beta_2, epsilon)
        self._sketch_with(
            compression=compression, depth=depth, min_rows=min_rows, clean_every=clean_every,
            clean_factor=clean_factor,
        )  # fmt: skip


class CSAdagrad(Sketched, Adagrad):
    """Adagrad with the sums of squares in a count-sketch.

    See :class:`CSAdam` for what a sketch is, and which matrices have one. Sums that only
    grow are never underestimated, as long as the sketch is not cleaned.

    Parameters
    ----------
    epsilon : float, default=1e-10
        Added to the root of the sum of squares.

    compression, depth, min_rows, clean_every, clean_factor
        Of the sketch, see :class:`CSAdam`.

    References
    ----------
    R. Spring, A. Kyrillidis, V. Mohan and A. Shrivastava, "Compressing gradient optimizers
    via count-sketches", 2019. arXiv:1902.00179
    """

    def __init__(
        self, epsilon=1e-10, *, compression=0.2, depth=1, min_rows=1024, clean_every=None,
        clean_factor=0.5,
    ):  # fmt: skip
        super().__init__(epsilon)
        self._sketch_with(
            compression=compression, depth=depth, min_rows=min_rows, clean_every=clean_every,
            clean_factor=clean_factor,
        )  # fmt: skip


def _buffers(parameter, n_threads):
    """Room for what each thread works on while it updates a row."""
    n = _sketched_moments.VECTORS_A_THREAD * parameter.weights.shape[1]
    return aligned_zeros((n_threads, n))


def _check_integer(name, value, least, most=None):
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"in [{least}, {most}]"
        raise ValueError(f"{name} must be an integer {allowed}; got {value!r}.")
