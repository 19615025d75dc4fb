"""Ground floor: what estimators need of scikit-learn, its private helpers among them.

No other module imports a private name of scikit-learn, so a change there is mended here.
Checks of our own in the same spirit stand beside them.
"""

import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import _fit_context as fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import (
    InconsistentVersionWarning as SklearnInconsistentVersionWarning,
)
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sklsh._kernels._threads import max_threads
from sklsh._version import __version__

__all__ = [
    "BaseScorer",
    "CallbackSupportMixin",
    "HasMethods",
    "InconsistentVersionWarning",
    "Interval",
    "StrOptions",
    "VersionStamp",
    "at_least",
    "check_is_fitted",
    "check_k",
    "check_method_params",
    "check_sample_weight",
    "checked_csr",
    "effective_n_threads",
    "fit_context",
    "fraction",
    "routing_enabled",
    "unchanged_on_error",
    "validate_data",
    "validate_parameter_constraints",
]


def at_least(low, kind=Integral):
    """Constraint of a parameter: a number of `kind`, `low` or more."""
    return Interval(kind, low, None, closed="left")


def fraction():
    """Constraint of a parameter: a real number in [0, 1)."""
    return Interval(Real, 0, 1, closed="left")


def check_k(k, most=np.inf, what="", name="k"):
    """Raise ValueError unless k is an integer from 1 to `most`, the number of `what`."""
    if not isinstance(k, Integral) or isinstance(k, bool) or not 1 <= k <= most:
        wanted = "of at least 1"
        if most < np.inf:
            wanted = f"between 1 and the number of {what}, {most}"
        raise ValueError(f"{name} must be an integer {wanted}; got {k!r}.")


def check_sample_weight(sample_weight, X, dtype=None):
    """Weights of the rows of X: non-negative, not all zero, ones if None."""
    return _check_sample_weight(
        sample_weight, X, dtype=dtype, ensure_non_negative=True, allow_all_zero_weights=False
    )


def effective_n_threads(n_jobs):
    """OpenMP threads that `n_jobs` asks for.

    None means 1: no thread pool is started, so the process can still be forked. -1 means
    all that OMP_NUM_THREADS, threadpoolctl and the container's CPU limit allow, -2 all
    but one, and so on; a positive number is held to the same limit.
    """
    if n_jobs == 0:
        raise ValueError("n_jobs must be None, positive or negative; got 0. None means 1.")
    if n_jobs is None:
        return 1
    if max_threads() == 0:
        if n_jobs != 1:
            warnings.warn("sklsh was built without OpenMP and runs on one thread.", stacklevel=3)
        return 1
    limit = min(max_threads(), joblib.cpu_count())
    if n_jobs > 0:
        return min(int(n_jobs), limit)
    return max(1, limit + 1 + int(n_jobs))


def checked_csr(X, name="X"):
    """Return sparse X as a csr_array, or raise ValueError if its indices are damaged."""
    X = sp.csr_array(X)
    try:
        X.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} is no valid CSR matrix: {error}") from error
    return X


class InconsistentVersionWarning(SklearnInconsistentVersionWarning):
    """A pickle was written by another version of sklsh.

    Parameters
    ----------
    estimator_name : str
        Class of the estimator.

    current_version, original_version : str
        Versions of sklsh that read and wrote it.
    """

    def __init__(self, *, estimator_name, current_version, original_version):
        self.estimator_name = estimator_name
        self.current_version = current_version
        self.original_version = original_version

    def __str__(self):
        return (
            f"Trying to unpickle estimator {self.estimator_name} from sklsh "
            f"{self.original_version} with sklsh {self.current_version}. This might lead to "
            "breaking code or invalid results. Use at your own risk."
        )


class VersionStamp:
    """Mixin that puts sklsh's version in pickles and warns where another reads them."""

    def __getstate__(self):
        return super().__getstate__() | {"_sklsh_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        written_by = state.pop("_sklsh_version", "an unknown version")
        if written_by != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_version=__version__,
                    original_version=written_by,
                ),
                stacklevel=2,
            )
        restore = getattr(super(), "__setstate__", vars(self).update)  # object has none
        restore(state)


@contextmanager
def unchanged_on_error(estimator):
    """Put the estimator's attributes back as they were if the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        after = vars(estimator)
        # scikit-learn's own, which it needs to take callbacks down after the error
        callbacks = {k: v for k, v in after.items() if "callback" in k}
        after.clear()
        after.update(before | callbacks)
        raise
