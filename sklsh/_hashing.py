"""Families of hash functions: codes that similar vectors share.

A hasher draws its functions once, for vectors of one width, and gives each vector
`n_tables` codes of `n_bits` bits. Zero vectors have no code, which is written -1.
"""

import numpy as np

from sklsh._kernels import _dwta, _products, _simhash
from sklsh._memory import aligned_zeros, padded, require_bytes
from sklsh._storage import as_float32

MAX_BITS = 24
# Below this width a rotation has too few coordinates to mix into Gaussian directions.
MIN_ROTATION = 64
# Winner-take-all: values that compete in a bin, and the bits that name the winner.
BIN_SLOTS = 8
DIGIT_BITS = 3


class SimHasher:
    """Signs of projections from randomised Walsh-Hadamard rotations.

    Parameters
    ----------
    width : int
        Length of the vectors.

    n_bits, n_tables : int
        Bits of a code, and codes of a vector.

    random_state : numpy.random.RandomState
        Source of the rotations' signs.
    """

    def __init__(self, width, n_bits, n_tables, random_state):
        n_rotations, rotation = self._rotations(width, n_bits, n_tables)
        flips = random_state.randint(0, 2, size=(n_rotations, 2, rotation))
        self.signs = (2 * flips - 1).astype(np.float32)
        # Uneven magnitudes: the projections of a sparse vector would else often be zero.
        self.signs[:, 1] *= random_state.uniform(0.75, 1.25, size=(n_rotations, rotation))
        self.width = width
        self.n_bits = n_bits
        self.n_tables = n_tables

    @staticmethod
    def _rotations(width, n_bits, n_tables):
        """How many rotations, and the width of each."""
        rotation = max(MIN_ROTATION, 1 << int(np.ceil(np.log2(max(width, 1)))))
        return -(-n_bits * n_tables // rotation), rotation

    @classmethod
    def bytes_needed(cls, width, n_bits, n_tables):
        """Bytes that drawing the functions takes."""
        n_rotations, rotation = cls._rotations(width, n_bits, n_tables)
        return 2 * 3 * 8 * n_rotations * rotation  # signs are drawn as int64

    @property
    def operations(self):
        """Additions that hashing a vector takes, and products with signs."""
        n_rotations, twice, rotation = self.signs.shape
        return n_rotations * twice * rotation * rotation.bit_length()

    def codes(self, vectors, rows=None, n_threads=1):
        """Codes of (some rows of) `vectors`: (n, n_tables) int32, -1 for zero vectors."""
        rows = all_rows(vectors) if rows is None else rows
        codes = np.empty((len(rows), self.n_tables), dtype=np.int32)
        lanes = 16  # vectors that the kernel rotates side by side
        buffer = np.empty((n_threads, 3 * lanes * self.signs.shape[2] + lanes), dtype=np.float32)
        _simhash.simhash(vectors, self.width, rows, self.signs, self.n_bits, buffer, codes)
        return codes


class DenseSimHasher:
    """Signs of independent Gaussian projections, each a dot product.

    Parameters
    ----------
    width, n_bits, n_tables, random_state
        As for :class:`SimHasher`.
    """

    def __init__(self, width, n_bits, n_tables, random_state):
        self.planes = aligned_zeros((n_bits * n_tables, padded(width)))
        some = max(1, 4096 // width)  # at a time: they are drawn in float64
        for first in range(0, len(self.planes), some):
            block = self.planes[first : first + some, :width]
            block[...] = random_state.normal(size=block.shape)
        self.bit_values = 2 ** np.arange(n_bits, dtype=np.float32)  # all sums of them are exact
        self.width = width
        self.n_bits = n_bits
        self.n_tables = n_tables

    @staticmethod
    def bytes_needed(width, n_bits, n_tables):
        """Bytes that the functions take."""
        return 4 * n_bits * n_tables * padded(width)

    @property
    def operations(self):
        """Multiply-adds that hashing a vector takes."""
        return len(self.planes) * self.width

    def codes(self, vectors, rows=None, n_threads=1):
        """Codes of (some rows of) `vectors`: (n, n_tables) int32, -1 for zero vectors."""
        rows = all_rows(vectors) if rows is None else rows
        codes = np.zeros((len(rows), self.n_tables), dtype=np.int32)
        for first in range(0, len(rows), 1024):
            block = slice(first, first + 1024)
            self._hash(vectors[rows[block], : self.width], codes[block], n_threads)
        return codes

    def _hash(self, vectors, codes, n_threads):
        n_planes = len(self.planes)
        left = aligned_zeros((len(vectors), padded(self.width)))
        left[:, : self.width] = as_float32(vectors)
        projections = np.empty((len(vectors), padded(n_planes)), dtype=np.float32)
        _products.product_nt(left, self.planes, n_planes, projections, n_threads)
        negative = projections[:, :n_planes] < 0
        values = negative.reshape(-1, self.n_bits) @ self.bit_values
        codes[...] = values.reshape(codes.shape)
        codes[~left.any(axis=1)] = -1

    def meeting_probability(self, cosines):
        """Probability over the functions that vectors at these cosines share a code anywhere."""
        # float32 does not tell nearly opposite vectors from opposite ones, which never meet
        cosines = np.clip(cosines.astype(np.float64), np.finfo(np.float32).eps - 1, 1)
        in_one_table = (1 - np.arccos(cosines) / np.pi) ** self.n_bits
        with np.errstate(divide="ignore"):  # certain to meet
            return -np.expm1(self.n_tables * np.log1p(-in_one_table))


class DWTAHasher:
    """Densified winner-take-all: the largest value in random bins of eight coordinates.

    Parameters
    ----------
    width, n_bits, n_tables, random_state
        As for :class:`SimHasher`, but `n_bits` is a multiple of 3.
    """

    def __init__(self, width, n_bits, n_tables, random_state):
        check_n_bits(n_bits, "dwta")
        n_permutations, self._n_bins = self._bins(width, n_bits, n_tables)
        permutations = [random_state.permutation(width) for _ in range(n_permutations)]
        self.order = np.array(permutations, dtype=np.int32)
        self.place = np.argsort(self.order, axis=1).astype(np.int32)
        self.width = width
        self.n_bits = n_bits
        self.n_tables = n_tables

    @staticmethod
    def _bins(width, n_bits, n_tables):
        """How many permutations, and bins in all of them."""
        in_one = -(-width // BIN_SLOTS)
        n_permutations = -(-n_bits // DIGIT_BITS * n_tables // in_one)
        return n_permutations, n_permutations * in_one

    @classmethod
    def bytes_needed(cls, width, n_bits, n_tables):
        """Bytes that drawing the functions takes."""
        return 3 * 8 * width * cls._bins(width, n_bits, n_tables)[0]  # drawn as int64

    @property
    def operations(self):
        """Comparisons that hashing a dense vector takes; a sparse one takes fewer."""
        return self.order.size

    def codes(self, vectors, rows=None, n_threads=1):
        """Codes of (some rows of) `vectors`: (n, n_tables) int32, -1 for zero vectors."""
        rows = all_rows(vectors) if rows is None else rows
        codes = np.empty((len(rows), self.n_tables), dtype=np.int32)
        lanes = 16  # vectors that the kernel hashes side by side
        values = np.empty((n_threads, self.width, lanes), dtype=np.float32)
        digits = np.empty((n_threads, self._n_bins, lanes), dtype=np.int32)
        donors = np.empty((n_threads, self._n_bins), dtype=np.int32)
        _dwta.dwta_dense(
            vectors, rows, self.order, self.n_bits // DIGIT_BITS, values, digits, donors, codes
        )
        return codes

    def sparse_codes(self, X, n_threads=1):
        """Codes of the rows of X, a CSR matrix of float32 that has no entry twice."""
        codes = np.empty((X.shape[0], self.n_tables), dtype=np.int32)
        values = np.empty((n_threads, self._n_bins), dtype=np.float32)
        digits = np.full((n_threads, self._n_bins), -1, dtype=np.int32)
        donors = np.empty((n_threads, self._n_bins), dtype=np.int32)
        _dwta.dwta_sparse(
            X.indptr.astype(np.intp, copy=False), X.indices.astype(np.int32, copy=False), X.data,
            self.place, self.n_bits // DIGIT_BITS, values, digits, donors, codes,
        )  # fmt: skip
        return codes


HASH_FAMILIES = {"simhash": SimHasher, "dense_simhash": DenseSimHasher, "dwta": DWTAHasher}


def make_hasher(family, width, n_bits, n_tables, random_state):
    """Draw hash functions of a family.

    Parameters
    ----------
    family : {"simhash", "dense_simhash", "dwta"}
        Which functions.

    width : int
        Length of the vectors.

    n_bits, n_tables : int
        Bits of a code, and codes of a vector.

    random_state : numpy.random.RandomState
        Source of the functions.

    Returns
    -------
    hasher : SimHasher, DenseSimHasher or DWTAHasher
        Its `codes(vectors, rows=None, n_threads=1)` are (n, n_tables) int32.

    Raises
    ------
    ValueError
        If the family has no codes of `n_bits`.

    MemoryError
        If the functions would not fit; says how many bytes they take.
    """
    check_n_bits(n_bits, family)
    hasher = HASH_FAMILIES[family]
    require_bytes(
        hasher.bytes_needed(width, n_bits, n_tables),
        f"The hash functions of {n_tables:,} tables for vectors of {width:,} features",
    )
    return hasher(width, n_bits, n_tables, random_state)


def auto_n_bits(n_items, bucket_size, family="simhash"):
    """Bits of code that leave about `bucket_size` of `n_items` in a bucket."""
    unit = DIGIT_BITS if family == "dwta" else 1
    digits = np.round(np.log2(max(n_items, 1) / bucket_size) / unit)
    return unit * int(np.clip(digits, 1, MAX_BITS // unit))


def resolved_n_bits(n_bits, n_items, bucket_size, family):
    """Bits of a code: `n_bits`, or what "auto" stands for."""
    return auto_n_bits(n_items, bucket_size, family) if n_bits == "auto" else n_bits


def check_n_bits(n_bits, family):
    """Raise ValueError if `n_bits`, a number or "auto", is none that `family` can have."""
    if family == "dwta" and n_bits != "auto" and n_bits % DIGIT_BITS:
        raise ValueError(
            f"n_bits must be a multiple of {DIGIT_BITS} for winner-take-all codes, whose digits "
            f"have {DIGIT_BITS} bits; got {n_bits}."
        )


def all_rows(vectors):
    """Rows of all vectors, as the kernels take them."""
    return np.arange(len(vectors), dtype=np.int32)
