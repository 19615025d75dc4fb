"""Hash tables over items, rebuilt in bulk, and what shares a bucket with a query."""

import numpy as np

from sklsh._kernels import _tables
from sklsh._memory import require_bytes, writable


class HashTables:
    """Flat hash tables over items 0 .. n_items - 1, rebuilt in bulk by counting sort.

    Parameters
    ----------
    n_items, n_bits, n_tables : int
        Each of the tables has 2**n_bits buckets and holds each item once.
    """

    def __init__(self, n_items, n_bits, n_tables):
        self.n_bits = n_bits
        self.codes = np.full((n_items, n_tables), -1, dtype=code_type(n_bits))
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
        code = code_type(n_bits).itemsize
        return n_tables * ((4 + code) * n_items + 4 * ((1 << n_bits) + 1))

    def rebuild(self, codes, rows=None, n_threads=1):
        """Take over new codes, of all items or of some, and fill the tables again."""
        if rows is None:
            self.codes[...] = codes
        else:
            self.codes[rows] = codes
        self.build(n_threads)

    def build(self, n_threads=1):
        """Fill the tables again, after a change of the codes."""
        _tables.build_tables(self.codes, self.starts, self.ids, n_threads)

    def union(self, codes, n_threads=1):
        """Distinct items that share a bucket with each query, as (indptr, ids)."""
        hits = self._count(codes)
        require_bytes(32 * int(hits.sum()), f"The {hits.sum():,} entries of the queries' buckets")
        place = np.concatenate([[0], np.cumsum(hits)])
        out = np.empty(place[-1], dtype=np.int32)
        found = np.empty(len(codes), dtype=np.intp)
        _tables.union_of_buckets(
            codes, self.starts, self.ids, hits, place[:-1], out, found, n_threads
        )
        keep = np.arange(len(out)) - np.repeat(place[:-1], hits) < np.repeat(found, hits)
        return np.concatenate([[0], np.cumsum(found)]), out[keep]

    def best(self, codes, queries, vectors, offset, k, n_threads=1):
        """Items in each query's buckets, best `query . vector + offset` first.

        Returns (ids, scores, found): of the k places of row i, found[i] are filled.
        """
        hits = self._count(codes)
        ids = np.empty((len(codes), k), dtype=np.int32)
        scores = np.empty((len(codes), k), dtype=np.float32)
        found = np.empty(len(codes), dtype=np.intp)
        _tables.rank_hits(
            codes, self.starts, self.ids, hits, queries, vectors, offset,
            ids, scores, found, n_threads,
        )  # fmt: skip
        return ids, scores, found

    def _count(self, codes):
        hits = np.empty(len(codes), dtype=np.intp)
        _tables.count_hits(codes, self.starts, hits)
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


def code_type(n_bits):
    """The smallest integers that hold codes of n_bits bits, and -1."""
    return np.dtype(np.int16 if n_bits < 16 else np.int32)
