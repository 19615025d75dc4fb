"""Hash functions of RACE, and the kernels they estimate: how likely two vectors share a code."""

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtr
from sklearn.utils import gen_batches

from sklsh._hashing import make_hasher
from sklsh._kernels import _products, _race
from sklsh._memory import aligned_zeros, padded, require_bytes

AT_A_TIME = 1024  # vectors that are projected together
DENSE_FLOATS = 2**22  # of vectors that are hashed together: 16 MiB


class StepHasher:
    """Steps of fixed width along Gaussian projections, each from an offset of its own.

    A code is a hash of `n_bits` steps to 31 bits.

    Parameters
    ----------
    width : int
        Length of the vectors.

    n_bits, n_tables : int
        Steps of a code, and codes of a vector.

    bandwidth : float
        Width of a step.

    random_state : numpy.random.RandomState
        Source of projections and offsets.
    """

    def __init__(self, width, n_bits, n_tables, bandwidth, random_state):
        self.planes = aligned_zeros((n_bits * n_tables, padded(width)))
        for plane in self.planes:  # one at a time: they are drawn in float64
            plane[:width] = random_state.normal(size=width)
        self.offsets = random_state.uniform(size=n_bits * n_tables)
        self.bandwidth = bandwidth
        self.n_tables = n_tables

    @staticmethod
    def bytes_needed(width, n_bits, n_tables):
        """Bytes that the functions take."""
        return n_bits * n_tables * (4 * padded(width) + 8)

    def codes(self, vectors, n_threads=1):
        """Codes of padded float32 rows: (n, n_tables) int32, none of them negative."""
        codes = np.empty((len(vectors), self.n_tables), dtype=np.int32)
        n_planes = len(self.planes)
        for block in gen_batches(len(vectors), AT_A_TIME) if len(vectors) else ():
            part = vectors[block]
            projections = np.empty((len(part), padded(n_planes)), dtype=np.float32)
            _products.product_nt(part, self.planes, n_planes, projections, n_threads)
            _race.step_codes(projections, self.offsets, self.bandwidth, codes[block], n_threads)
        return codes


def make_race_hasher(family, n_features, n_bits, n_rows, bandwidth, random_state):
    """Draw the functions of a sketch, or raise MemoryError if they would not fit."""
    if family != "l2":
        return make_hasher(family, n_features, n_bits, n_rows, random_state)
    require_bytes(
        StepHasher.bytes_needed(n_features, n_bits, n_rows),
        f"The hash functions of {n_rows:,} rows for vectors of {n_features:,} features",
    )
    return StepHasher(n_features, n_bits, n_rows, bandwidth, random_state)


def codes_in_blocks(hasher, X, n_threads):
    """Slices of the rows of X, each with the codes of its rows; sparse ones are made dense."""
    n, width = X.shape
    n_together = max(1, min(DENSE_FLOATS // padded(width), n))
    require_bytes(4 * n_together * padded(width), f"{n_together:,} dense rows")
    vectors = aligned_zeros((n_together, padded(width)))
    for block in gen_batches(n, n_together) if n else ():
        part = X[block]
        dense = vectors[: part.shape[0]]
        dense[:, :width] = part.toarray() if sp.issparse(part) else part
        yield block, hasher.codes(dense, n_threads=n_threads)


def sign_probability(cosines):
    """Probability that vectors at these cosines have the same sign along a projection."""
    return 1 - np.arccos(cosines) / np.pi


def step_probability(distances, bandwidth):
    """Probability that vectors at these distances are in the same step along a projection."""
    with np.errstate(divide="ignore"):  # at no distance
        steps = bandwidth / distances
    # 1 - 2 ndtr(-s) - sqrt(2 / pi) (1 - exp(-s^2 / 2)) / s, without loss where s is small
    inverse = np.where(steps > 0, distances / bandwidth, 0)
    tail = np.sqrt(2 / np.pi) * inverse * -np.expm1(-(steps**2) / 2)
    return ndtr(steps) - ndtr(-steps) - tail
