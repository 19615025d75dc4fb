"""Hash functions and hash tables: what `LSHIndex` and the LSH sampler are made of."""

import numpy as np

from sklsh._kernels import _simhash, _tables
from sklsh._memory import require_bytes, writable

MAX_BITS = 24
# Below this width a rotation has too few coordinates to mix into Gaussian directions.
MIN_ROTATION = 64
NO_CAP = np.iinfo(np.int32).max


def auto_n_bits(n_items, bucket_size):
    """Bits of code that leave about `bucket_size` of `n_items` in a bucket."""
    return int(np.clip(np.round(np.log2(max(n_items, 1) / bucket_size)), 1, MAX_BITS))


class SimHasher:
    """Hash functions of SimHash for vectors of one width, drawn once.

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
        rotation = max(MIN_ROTATION, 1 << int(np.ceil(np.log2(max(width, 1)))))
        n_rotations = -(-n_bits * n_tables // rotation)
        flips = random_state.randint(0, 2, size=(n_rotations, 2, rotation))
        self.signs = (2 * flips - 1).astype(np.float32)
        # Uneven magnitudes: the projections of a sparse vector would else often be zero.
        self.signs[:, 1] *= random_state.uniform(0.75, 1.25, size=(n_rotations, rotation))
        self.width = width
        self.n_bits = n_bits
        self.n_tables = n_tables

    def codes(self, vectors, rows=None, n_threads=1):
        """Codes of (some rows of) `vectors`: (n, n_tables) int32, -1 for zero vectors."""
        if rows is None:
            rows = np.arange(len(vectors), dtype=np.int32)
        codes = np.empty((len(rows), self.n_tables), dtype=np.int32)
        _simhash.simhash(vectors, self.width, rows, self.signs, self.n_bits, codes, n_threads)
        return codes


class HashTables:
    """Flat hash tables over items 0 .. n_items - 1, rebuilt in bulk by counting sort.

    Parameters
    ----------
    n_items, n_bits, n_tables : int
        Each of the tables has 2**n_bits buckets and holds each item once.
    """

    def __init__(self, n_items, n_bits, n_tables):
        self.n_bits = n_bits
        self.codes = np.full((n_items, n_tables), -1, dtype=np.int32)
        self._allocate()

    def _allocate(self):
        n_items, n_tables = self.codes.shape
        self.starts = np.zeros((n_tables, (1 << self.n_bits) + 1), dtype=np.int32)
        self.ids = np.zeros((n_tables, n_items), dtype=np.int32)

    def __getstate__(self):
        return {"n_bits": self.n_bits, "codes": self.codes}  # the tables follow from them

    def __setstate__(self, state):
        self.n_bits = state["n_bits"]
        self.codes = writable(state["codes"])
        self._allocate()
        _tables.build_tables(self.codes, self.starts, self.ids, 1)

    @staticmethod
    def bytes_needed(n_items, n_bits, n_tables):
        """Bytes that tables of this size take."""
        return 4 * n_tables * (2 * n_items + (1 << n_bits) + 1)

    def rebuild(self, codes, rows=None, n_threads=1):
        """Take over new codes, of all items or of some, and fill the tables again."""
        if rows is None:
            self.codes[...] = codes
        else:
            self.codes[rows] = codes
        _tables.build_tables(self.codes, self.starts, self.ids, n_threads)

    def union(self, codes, n_threads=1):
        """Distinct items that share a bucket with each query, as (indptr, ids)."""
        hits = self._count(codes, NO_CAP)
        require_bytes(32 * int(hits.sum()), f"The {hits.sum():,} entries of the queries' buckets")
        place = np.concatenate([[0], np.cumsum(hits)])
        out = np.empty(place[-1], dtype=np.int32)
        found = np.empty(len(codes), dtype=np.intp)
        _tables.union_of_buckets(
            codes, self.starts, self.ids, hits, place[:-1], out, found, n_threads
        )
        keep = np.arange(len(out)) - np.repeat(place[:-1], hits) < np.repeat(found, hits)
        return np.concatenate([[0], np.cumsum(found)]), out[keep]

    def best(self, codes, queries, vectors, offset, k, bucket_cap=NO_CAP, salt=0, n_threads=1):
        """Items in each query's buckets, best `query . vector + offset` first.

        Returns (ids, scores, found): of the k places of row i, found[i] are filled.
        """
        hits = self._count(codes, bucket_cap)
        ids = np.empty((len(codes), k), dtype=np.int32)
        scores = np.empty((len(codes), k), dtype=np.float32)
        found = np.empty(len(codes), dtype=np.intp)
        _tables.rank_hits(
            codes, self.starts, self.ids, bucket_cap, salt, hits, queries, vectors, offset,
            ids, scores, found, n_threads,
        )  # fmt: skip
        return ids, scores, found

    def _count(self, codes, bucket_cap):
        hits = np.empty(len(codes), dtype=np.intp)
        _tables.count_hits(codes, self.starts, bucket_cap, hits)
        return hits

    @property
    def mean_load(self):
        """Items in a bucket, averaged over the buckets that hold any; 0 without items."""
        loads = np.diff(self.starts, axis=1)
        occupied = np.count_nonzero(loads)
        return float(loads.sum() / occupied) if occupied else 0.0

    @property
    def nbytes(self):
        """Bytes of the tables and of the stored codes."""
        return self.codes.nbytes + self.starts.nbytes + self.ids.nbytes
