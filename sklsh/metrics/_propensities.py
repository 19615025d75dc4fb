"""How likely it is that a true label was recorded."""

import math
import sys
from numbers import Real

import numpy as np

from sklsh.metrics._checks import checked_indicator

FEWEST_ROWS = 3  # the logarithm of fewer is below 1, and C would be negative
_LARGEST_EXPONENT = 600  # propensities that are exp(-700) or less are no longer above 0


def jain_propensities(y_train, *, a=0.55, b=1.5):
    """Propensities of labels by the model of Jain, Prabhu and Varma.

    Annotators overlook rare labels more often than frequent ones. Of N rows, n_l of which
    have label l,

        p_l = 1 / (1 + C exp(-a log(n_l + b))),   C = (log N - 1) (b + 1)^a

    estimates the probability that label l is recorded where it is true.

    Parameters
    ----------
    y_train : {array-like, sparse matrix} of shape (n_samples, n_classes)
        Indicator of the training labels: positive where a label is true. At least 3 rows.

    a, b : float, default=0.55, 1.5
        Positive constants of the data set. The authors' are 0.5 and 0.4 for Wikipedia,
        0.6 and 2.6 for Amazon, the defaults for everything else.

    Returns
    -------
    propensities : ndarray of shape (n_classes,)
        Between 0 and 1, larger for more frequent labels.

    Raises
    ------
    ValueError
        If `y_train` is no indicator matrix or has fewer than 3 rows, a constant is not
        positive, or a is so large that labels without rows would have propensity 0.

    See Also
    --------
    psp_at_k : Precision that makes up for them.

    References
    ----------
    H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
    tagging, ranking & other missing label applications", KDD 2016.
    doi:10.1145/2939672.2939756

    Examples
    --------
    >>> from sklsh.metrics import jain_propensities
    >>> y_train = [[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]]
    >>> jain_propensities(y_train).round(2)
    array([0.8 , 0.72, 0.66])
    """
    Y = checked_indicator(y_train, "y_train")
    n, n_classes = Y.shape
    if n < FEWEST_ROWS:
        raise ValueError(f"y_train must have at least {FEWEST_ROWS} rows; got {n}.")
    for name, value in {"a": a, "b": b}.items():
        if not isinstance(value, Real) or not 0 < value <= sys.float_info.max:
            raise ValueError(f"{name} must be a positive number; got {value!r}.")
    a, b = float(a), float(b)
    ratio = math.log(b + 1) - math.log(b)
    if a * ratio > _LARGEST_EXPONENT:
        raise ValueError(
            f"a must be above 0 and at most {_LARGEST_EXPONENT / ratio:.3g} where b is {b:g}; "
            f"got {a:g}."
        )
    n_rows = np.bincount(Y.indices, minlength=n_classes)
    # the power (b + 1)^a alone may be beyond float64
    return 1 / (1 + (np.log(n) - 1) * np.exp(a * (math.log(b + 1) - np.log(n_rows + b))))
