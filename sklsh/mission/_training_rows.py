"""Rows to train a sketched linear model on, and what it remembers of its training."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklsh._training import Progress


@dataclass
class SketchedProgress(Progress):
    """What a model remembers of its training, over all calls: its rate and batches as well."""

    rate: float = 0.0
    batch_size: int = 0


class TrainingRows(NamedTuple):
    """Rows as the kernels take them.

    Attributes
    ----------
    X : csr_array of shape (n, n_features), float32
        Features.

    targets : ndarray of shape (n,), float32
        Numbers, +1 and -1, or of several classes their numbers.

    weights : ndarray of shape (n,), float32
        Weights in the loss.
    """

    X: sp.csr_array
    targets: np.ndarray
    weights: np.ndarray


def numbers(y):
    """Targets of a regression as float32."""
    try:
        y = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must be numbers for losses of regression; {error}.") from error
    largest = np.abs(y).max()
    if largest > np.finfo(np.float32).max:
        raise ValueError(f"y must be within the range of float32; got {largest}.")
    return y.astype(np.float32)
