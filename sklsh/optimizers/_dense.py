"""Optimizers with state for each weight or row."""

import math

from sklsh.optimizers._base import Optimizer, check_fraction, check_positive


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
        check_fraction(momentum=momentum)
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
        check_fraction(beta_1=beta_1, beta_2=beta_2)
        check_positive(epsilon=epsilon)
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


class RMSprop(Optimizer):
    """RMSprop: v = beta_2 * v + (1 - beta_2) * g^2; w -= rate * g / (sqrt(v) + epsilon).

    One slot a weight. There is no correction of the bias of v, as in PyTorch's ``RMSprop``:
    while v is young, steps are larger than the rate, the first by 1 / sqrt(1 - beta_2).
    ``Adam(beta_1=0)`` is the same with the correction, which goes by the number of the step:
    it helps rows of the first steps, not those that have their first gradient late.

    Parameters
    ----------
    beta_2 : float, default=0.99
        Decay of the second moment, in [0, 1).

    epsilon : float, default=1e-8
        Added to the root of the second moment.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", Neural networks for machine learning,
    2012.
    """

    rule = 3

    def __init__(self, beta_2=0.99, epsilon=1e-8):
        super().__init__()
        check_fraction(beta_2=beta_2)
        check_positive(epsilon=epsilon)
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def slot_widths(self, n_columns):
        """A second moment for each weight."""
        return 0, n_columns

    def _numbers(self, learning_rate, width):
        return [learning_rate, 1, 1 - self.beta_2, self.epsilon]


class Adagrad(Optimizer):
    """Adagrad: v += g^2; w -= rate * g / (sqrt(v) + epsilon). One slot a weight.

    Rates only fall, for each weight by what it has seen: weights of rare features keep
    large ones. It wants a larger rate than Adam.

    Parameters
    ----------
    epsilon : float, default=1e-10
        Added to the root of the sum of squares.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklsh.optimizers import Adagrad, Parameter
    >>> adagrad = Adagrad()
    >>> table = Parameter(np.zeros((3, 2), dtype=np.float32), adagrad)
    >>> rows = np.array([1], dtype=np.int32)
    >>> for _ in range(2):
    ...     adagrad.begin_step(learning_rate=1.0)
    ...     adagrad.step(table, rows, np.full((1, 2), 5, dtype=np.float32))
    >>> table.weights[1].round(3).tolist()  # -1 - 1 / sqrt(2)
    [-1.7070000171661377, -1.7070000171661377]
    """

    rule = 6

    def __init__(self, epsilon=1e-10):
        super().__init__()
        check_positive(epsilon=epsilon)
        self.epsilon = epsilon

    def slot_widths(self, n_columns):
        """A sum of squares for each weight."""
        return 0, n_columns

    def _numbers(self, learning_rate, width):
        return [learning_rate, self.epsilon]
