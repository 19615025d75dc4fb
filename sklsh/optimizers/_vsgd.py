"""The rule that finds the rates of a linear model's weights by itself."""

import numpy as np

from sklsh._kernels import _rows, _vsgd
from sklsh.optimizers._base import check_gradient, check_state

N_MOMENTS = 4  # numbers that a weight has beside its mean gradient
N_SUMS = 5  # that the kernels take of each weight's gradients in a batch
LEAST_CAUTION, FEW_WEIGHTS = 2, 10


class VSGD:
    """Variance-based stochastic gradient descent (vSGD-fd) for linear models: no rate to tune.

    Each weight has running means g, v, h and u of its gradient, of that squared, of its
    curvature and of that squared, over the last `tau` batches or so. It moves by

        w -= h / u * s * G,    s = g^2 / (v / n + (1 - 1/n) * g^2)

    G being the mean gradient of the batch's n rows in which the weight's gradient is not zero:
    a Newton step, less where the curvature varies, and less by s, the share of the signal in
    the batch's squared gradient, so that rates fall as training comes to its end. `tau` becomes
    (1 - s) tau + 1: the memory is short while gradients agree and long where they do not. A
    batch that is two standard deviations off in gradient or curvature lengthens it by one.

    The curvature is that between two gradients on the same rows, at the weights and at the
    weights plus all their mean gradients. A weight moves once it has seen 10 gradients, from
    which its means begin, v and u max(2, d/10) times too large, with tau = 2; d is how many
    weights have a gradient in a row on average. Features that a batch does not contain are
    neither read nor written.

    Features should be scaled: the curvature is measured over a step as long as the mean
    gradient, and where features are large that leads to where losses for classes are flat.

    Parameters
    ----------
    l2 : float, default=0.0
        Penalty on weights: l2 / 2 times their squares are added to the loss.

    Notes
    -----
    It is no :class:`Optimizer`: those take the sum of a batch's gradients, this rule those of
    its rows, and two of each.

    References
    ----------
    T. Schaul and Y. LeCun, "Adaptive learning rates and parallelization for stochastic, sparse,
    non-smooth gradients", ICLR 2013. arXiv:1301.3764

    T. Schaul, S. Zhang and Y. LeCun, "No more pesky learning rates", ICML 2013.
    arXiv:1206.1106

    Examples
    --------
    One weight, whose loss is (w - y)^2 / 2 with noise in y. Its column is all ones:

    >>> import numpy as np
    >>> from sklsh.optimizers import VSGD, Parameter
    >>> y = np.random.default_rng(0).normal(3, size=(100, 10, 1)).astype(np.float32)
    >>> rule = VSGD()
    >>> weight = Parameter(np.zeros((1, 1), dtype=np.float32), rule)
    >>> ends, rows = np.array([0, 10], dtype=np.int32), np.arange(10, dtype=np.int32)
    >>> column = rows[:1], ends, rows, np.ones(10, dtype=np.float32)
    >>> for batch in y:
    ...     delta = (weight.weights - batch) / 10
    ...     rule.prepare(weight, column, delta)
    ...     rule.step(weight, column, delta, delta + weight.slots[0] / 10)
    >>> bool(abs(weight.weights[0, 0] - 3) < 0.1)
    True
    """

    def __init__(self, l2=0.0):
        self.l2 = l2
        self.t = 0

    def state_shapes(self, shape):
        """Shapes of the two slots for weights of `shape`: mean gradients, and the rest."""
        return shape, (shape[0], N_MOMENTS * shape[1])

    def sketches(self, shape):
        """Whether the slots for weights of `shape` are count-sketches: never."""
        return False

    def linear_step(self, weights, bias, X, columns, scores, to_gradient, n_threads=1):
        """Take one step on a batch.

        Parameters
        ----------
        weights, bias : Parameter
            Of the model; updated in place. The bias has no penalty.

        X : Batch or csr_array of shape (n_batch, n_features)
            Rows.

        columns : tuple of ndarray (features, starts, rows, values)
            The same by columns, as :meth:`Optimizer.step_embedding` takes them.

        scores : ndarray of shape (n_batch, width), float32
            X times the weights, plus the bias; overwritten.

        to_gradient : callable
            Turns scores, in place, into the gradient by them of the batch's mean loss.

        n_threads : int, default=1
            OpenMP threads; the result does not depend on it.

        Returns
        -------
        told : object
            What `to_gradient` returned at the weights as they were.
        """
        self.t += 1
        further = scores.copy()
        told = to_gradient(scores)
        caution = caution_for((len(columns[3]) / len(scores) + 1) * weights.width)
        parts = (weights, columns, self.l2), (bias, column_of_ones(len(scores)), 0.0)
        for parameter, of, l2 in parts:
            self.prepare(parameter, of, scores, l2=l2, n_threads=n_threads)
        by_means = np.empty_like(scores)
        _rows.embed(
            X.indptr, X.indices, X.data, weights.slots[0], bias.slots[0][0], by_means, n_threads
        )
        further += by_means
        to_gradient(further)
        for parameter, of, l2 in parts:
            self.step(parameter, of, scores, further, l2=l2, caution=caution, n_threads=n_threads)
        return told

    def prepare(self, parameter, columns, delta, *, l2=0.0, n_threads=1):
        """Begin the mean gradients of weights that a batch is the first to have.

        Parameters
        ----------
        parameter : Parameter
            Weights; its first slot holds their mean gradients.

        columns : tuple of ndarray (features, starts, rows, values)
            The batch by columns: feature features[i] stands in the batch's rows
            rows[starts[i]:starts[i + 1]], with these values.

        delta : ndarray of shape (n_batch, width), float32
            Gradient by the scores of the batch's mean loss.

        l2 : float, default=0.0
            Penalty on these weights.

        n_threads : int, default=1
            OpenMP threads; the result does not depend on it.
        """
        self._check(parameter, delta, "delta")
        means, moments = parameter.slots
        _vsgd.first_means(
            means, moments, parameter.weights, *columns, delta, parameter.width, l2,
            _buffers(parameter, n_threads), n_threads,
        )  # fmt: skip

    def step(self, parameter, columns, delta, further, *, l2=0.0, caution=2.0, n_threads=1):
        """Move the weights of the features that a batch contains.

        Parameters
        ----------
        parameter, columns, delta, l2, n_threads
            As for `prepare`, which comes first.

        further : ndarray of shape (n_batch, width), float32
            As `delta`, the weights being further by their mean gradients.

        caution : float, default=2.0
            How many times too large mean squares begin, at least 1.
        """
        self._check(parameter, delta, "delta")
        self._check(parameter, further, "further", len(delta))
        _vsgd.step(
            parameter.weights, *parameter.slots, *columns, delta, further, parameter.width, l2,
            caution, _buffers(parameter, n_threads), n_threads,
        )  # fmt: skip

    def _check(self, parameter, gradient, name, n_rows=0):
        check_state(parameter, self)
        check_gradient(gradient, n_rows, parameter.weights.shape[1], name)

    def __repr__(self):
        return f"VSGD(l2={self.l2!r})"


def caution_for(n_weights):
    """How many times too large mean squares begin where a row's gradient has so many weights."""
    return max(LEAST_CAUTION, n_weights / FEW_WEIGHTS)


def column_of_ones(n_batch):
    """The only column of a bias in a batch of so many rows."""
    rows = np.arange(n_batch, dtype=np.int32)
    ends = np.array([0, n_batch], dtype=np.int32)
    return np.zeros(1, dtype=np.int32), ends, rows, np.ones(n_batch, dtype=np.float32)


def _buffers(parameter, n_threads):
    """Room for the sums of a row of weights, for each thread."""
    return np.empty((n_threads, N_SUMS * parameter.weights.shape[1]), dtype=np.float32)
