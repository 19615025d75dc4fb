"""What a kernel is timed on, and what the modules of this package make of it.

Sizes are those of a training step of a network with one hidden layer. Every turn sees rows
of its own, so that what is large comes from memory.
"""

from dataclasses import dataclass

import numpy as np
from roofline import Work

from sklsh._memory import aligned_zeros
from sklsh.datasets import make_xmc_classification

FLOAT = 4  # bytes
KERNELS = {}  # name: function of (sizes, random) that makes a Case


@dataclass
class Sizes:
    """Rows of the tables, of a batch, of its candidates; and how many turns differ."""

    n_features: int = 135_909
    n_classes: int = 131_072
    batch: int = 256
    width: int = 128
    candidates: int = 3072
    hits: int = 64
    n_turns: int = 16

    def batches(self):
        """CSR batches of synthetic rows."""
        X, _ = make_xmc_classification(
            self.n_turns * self.batch, self.n_features, 100, noise=0.65, random_state=0
        )
        return [X[i : i + self.batch] for i in range(0, X.shape[0], self.batch)]

    def candidate_sets(self, random):
        """Distinct classes."""
        order = [random.permutation(self.n_classes) for _ in range(2 * self.n_turns)]
        return [ids[: self.candidates].astype(np.int32) for ids in order]


@dataclass
class Case:
    """A kernel on data.

    Attributes
    ----------
    shape : str
        What it works on.

    ours, rival : callable
        Both take a turn's number, which chooses the rows, and return the same.

    work : roofline.Work
        What has to be done.

    compared : callable
        What of the results is the same.

    tolerance : float
        By how much they may differ, as a share of the largest value.

    precision : {"float32", "int8"}
        In which the operations of `ours` are done.
    """

    shape: str
    ours: object
    rival: object
    work: Work
    compared: object = np.asarray
    tolerance: float = 1e-3
    precision: str = "float32"


def kernel(name):
    """Enter the decorated function under a name."""
    return lambda make: KERNELS.setdefault(name, make)


def normal(random, *shape):
    """Aligned float32 matrix."""
    matrix = aligned_zeros(shape)
    random.standard_normal(out=matrix, dtype=np.float32)
    return matrix


def in_turn(items):
    """Function that returns items[i], over and over."""
    return lambda i: items[i % len(items)]
