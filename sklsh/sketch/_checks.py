"""What sketches ask of keys and values."""

from numbers import Real

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

from sklsh._sklearn import checked_csr

LARGEST = float(np.finfo(np.float32).max)
SAME = ("width", "depth", "n_columns", "estimate", "seed")  # in sketches that combine


def checked_keys(keys):
    """Keys as a contiguous int64 array, or ValueError."""
    keys = np.asarray(keys)
    if keys.ndim != 1:
        raise ValueError(f"keys must be one-dimensional; got shape {keys.shape}.")
    if len(keys) and keys.dtype.kind not in "iu":
        raise ValueError(f"keys must be integers in [0, 2**63); got dtype {keys.dtype}.")
    if len(keys) and not 0 <= keys.min() <= keys.max() < 2**63:
        raise ValueError(f"keys must be integers in [0, 2**63); got {keys.min()} to {keys.max()}.")
    return np.ascontiguousarray(keys, dtype=np.int64)


def checked_values(values, n, n_columns):
    """Values as a contiguous float32 array of shape (n, n_columns), or ValueError."""
    values = np.asarray(values)
    shapes = [(n, n_columns)] + [(n,)] * (n_columns == 1)
    if values.shape not in shapes:
        wanted = " or ".join(map(str, reversed(shapes)))
        raise ValueError(
            f"values must have shape {wanted}, as there are {n} keys and n_columns is "
            f"{n_columns}; got {values.shape}."
        )
    if values.size and values.dtype.kind not in "iufb":
        raise ValueError(f"values must be real numbers; got dtype {values.dtype}.")
    with np.errstate(over="ignore"):  # it shows below
        values = np.ascontiguousarray(values, dtype=np.float32).reshape(n, n_columns)
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, and within the range of float32.")
    return values


def checked_vectors(X, n_features):
    """X as float32, an array or a csr_array, or ValueError."""
    with np.errstate(over="ignore"):  # it is refused as infinite
        X = check_array(
            X, accept_sparse="csr", dtype=np.float32, ensure_min_samples=0, input_name="X"
        )
    if X.shape[1] != n_features:
        raise ValueError(f"X must have {n_features} features; got {X.shape[1]}.")
    return checked_csr(X) if sp.issparse(X) else X


def checked_weights(weights, n, n_columns):
    """Weights as a contiguous float64 array of shape (n, n_columns), or ValueError."""
    if weights is None:
        return np.ones((n, n_columns))
    weights = np.asarray(weights)
    shapes = [(n,)] * (n_columns == 1) + [(n, n_columns)]
    if weights.shape not in shapes:
        raise ValueError(
            f"weights must have shape {' or '.join(map(str, shapes))}, as X has {n} rows and "
            f"n_columns is {n_columns}; got {weights.shape}."
        )
    if weights.size and weights.dtype.kind not in "iufb":
        raise ValueError(f"weights must be real numbers; got dtype {weights.dtype}.")
    weights = np.ascontiguousarray(weights, dtype=np.float64).reshape(n, n_columns)
    if not (abs(weights) <= LARGEST).all():
        raise ValueError("weights must be finite, and within the range of float32.")
    return weights


def checked_factor(factor):
    """A factor as a float, or ValueError."""
    if not isinstance(factor, Real) or not abs(factor) <= LARGEST:
        raise ValueError(f"factor must be a finite number that float32 can hold; got {factor!r}.")
    return float(factor)


def like_values(values):
    """Values as users get them: one-dimensional where there is one column."""
    return values[:, 0] if values.shape[1] == 1 else values


def check_width(width):
    """Raise ValueError unless the width is a power of two."""
    if width & (width - 1):
        raise ValueError(
            f"width must be a power of two, as the cell of a key is read from bits of its "
            f"hash; got {width}, of which the next is {1 << int(width).bit_length()}."
        )


def check_alike(one, other, same=SAME):
    """Raise ValueError, naming what differs, unless two sketches were drawn alike."""
    values = {name: (getattr(one, name), getattr(other, name)) for name in same}
    differing = [f"{name} ({a} and {b})" for name, (a, b) in values.items() if a != b]
    if differing:
        raise ValueError(
            "Sketches combine only if they are drawn alike, from the same integer "
            f"random_state; these differ in {', '.join(differing)}."
        )
