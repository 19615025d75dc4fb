"""Hash tables as flat arrays, and the ids that share a bucket with a query.

Table t keeps its ids sorted by code in ids[t]; those of code c are
ids[t, starts[t, c]:starts[t, c + 1]], in increasing order. Ids whose code is -1 (zero
vectors) are in no bucket.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from sklsh._kernels._buckets cimport prefetch_buckets
from sklsh._kernels._id_set cimport add_to_set, set_capacity
from sklsh._kernels._ranking cimport offer
from sklsh._kernels._simd cimport prefetch_bytes
from sklsh._kernels._stored cimport dot, prefetch_row, stored

cdef enum:
    READ_AHEAD = 16    # vectors in flight

ctypedef fused code_type:
    short
    int


def build_tables(
    const code_type[:, ::1] codes,  # IN (n, n_tables), -1 or in [0, n_buckets)
    int[:, ::1] starts,          # OUT (n_tables, n_buckets + 1)
    int[:, ::1] ids,             # OUT (n_tables, n)
    int n_threads,
):
    """Fill all tables by counting sort.

    O(n_tables (n + n_buckets)).
    """
    cdef:
        Py_ssize_t n = codes.shape[0], n_tables = codes.shape[1]
        Py_ssize_t n_buckets = starts.shape[1] - 1
        Py_ssize_t t
    for t in prange(n_tables, num_threads=n_threads, schedule="dynamic", nogil=True):
        build_table(&codes[0, t] if n else NULL, n, n_tables, n_buckets, &starts[t, 0],
                    &ids[t, 0] if n else NULL)


cdef void build_table(
    const code_type* codes, Py_ssize_t n, Py_ssize_t stride, Py_ssize_t n_buckets,
    int* starts, int* ids,
) noexcept nogil:
    cdef:
        Py_ssize_t i
        int code
    memset(starts, 0, (n_buckets + 1) * sizeof(int))
    for i in range(n):
        code = codes[i * stride]
        if code >= 0:
            starts[code + 1] += 1
    for i in range(n_buckets):
        starts[i + 1] += starts[i]
    # starts[c] walks through bucket c while it fills, and ends where c + 1 begins
    for i in range(n):
        code = codes[i * stride]
        if code >= 0:
            ids[starts[code]] = <int> i
            starts[code] += 1
    for i in range(n_buckets, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0


def count_hits(
    const int[:, ::1] codes,     # IN (n, n_tables), codes of the queries
    const int[:, ::1] starts,    # IN (n_tables, n_buckets + 1)
    Py_ssize_t[::1] hits,        # OUT (n,)
):
    """Entries in the buckets of each query, an id counted once a table.

    O(n n_tables).
    """
    cdef Py_ssize_t i, t, n = codes.shape[0], n_tables = codes.shape[1]
    with nogil:
        for i in range(n):
            hits[i] = 0
            for t in range(n_tables):
                if codes[i, t] >= 0:
                    hits[i] += starts[t, codes[i, t] + 1] - starts[t, codes[i, t]]


def union_of_buckets(
    const int[:, ::1] codes,     # IN (n, n_tables)
    const int[:, ::1] starts,    # IN (n_tables, n_buckets + 1)
    const int[:, ::1] ids,       # IN (n_tables, n_ids)
    const Py_ssize_t[::1] hits,  # IN (n,), from count_hits
    const Py_ssize_t[::1] place,  # IN (n,): where in `out` a query's ids go
    int[::1] out,                # OUT (sum of hits,)
    Py_ssize_t[::1] found,       # OUT (n,): distinct ids of each query
    int n_threads,
):
    """Distinct ids in the buckets of each query, in order of table and id.

    O(hits).
    """
    cdef:
        Py_ssize_t n = codes.shape[0], i
        Py_ssize_t capacity = set_capacity(largest(hits))
        int* seen = NULL
    with nogil, parallel(num_threads=n_threads):
        seen = <int*> malloc(capacity * sizeof(int))
        for i in prange(n, schedule="dynamic", chunksize=16):
            if hits[i]:
                found[i] = distinct(&codes[i, 0], starts, ids, hits[i], seen, &out[place[i]])
            else:
                found[i] = 0
        free(seen)


def rank_hits(
    const int[:, ::1] codes,     # IN (n, n_tables)
    const int[:, ::1] starts,    # IN (n_tables, n_buckets + 1)
    const int[:, ::1] ids,       # IN (n_tables, n_ids)
    const Py_ssize_t[::1] hits,  # IN (n,), from count_hits
    const float[:, ::1] queries,  # IN (n, width)
    const stored[:, ::1] vectors,  # IN (n_ids, width)
    const float[::1] offset,     # IN (n_ids,)
    int[:, ::1] best,            # OUT (n, k)
    float[:, ::1] scores,        # OUT (n, k)
    Py_ssize_t[::1] found,       # OUT (n,): how many of the k places are filled
    int n_threads,
):
    """Ids in the buckets of each query, the k of largest query . vector + offset first.

    Everything depends on the query alone, not on its neighbours.
    O(hits width + hits k) for each query.
    """
    cdef:
        Py_ssize_t n = codes.shape[0], width = queries.shape[1], k = best.shape[1]
        Py_ssize_t most = largest(hits)
        Py_ssize_t capacity = set_capacity(most)
        Py_ssize_t i, n_distinct
        int* seen = NULL
        int* candidates = NULL
    with nogil, parallel(num_threads=n_threads):
        seen = <int*> malloc(capacity * sizeof(int))
        candidates = <int*> malloc(max(most, 1) * sizeof(int))
        for i in prange(n, schedule="dynamic", chunksize=16):
            if i + 1 < n:
                prefetch_buckets(&codes[i + 1, 0], starts, ids, ids.shape[1], 0)
            n_distinct = distinct(&codes[i, 0], starts, ids, hits[i], seen, candidates)
            found[i] = rank(candidates, n_distinct, &queries[i, 0], width, vectors, offset,
                            &best[i, 0], &scores[i, 0], k)
        free(seen)
        free(candidates)


cdef Py_ssize_t largest(const Py_ssize_t[::1] counts) noexcept nogil:
    cdef Py_ssize_t i, most = 0
    for i in range(counts.shape[0]):
        most = max(most, counts[i])
    return most


cdef Py_ssize_t distinct(
    const int* codes, const int[:, ::1] starts, const int[:, ::1] ids,
    Py_ssize_t hits, int* seen, int* out,
) noexcept nogil:
    """Distinct ids of the query's buckets; returns how many."""
    cdef:
        Py_ssize_t capacity = set_capacity(hits)
        Py_ssize_t t, j, n = 0
    memset(seen, 255, capacity * sizeof(int))
    for t in range(starts.shape[0]):
        if codes[t] < 0:
            continue
        for j in range(starts[t, codes[t]], starts[t, codes[t] + 1]):
            out[n] = ids[t, j]
            n += add_to_set(seen, capacity, ids[t, j])
    return n


cdef Py_ssize_t rank(
    const int* candidates, Py_ssize_t n, const float* query, Py_ssize_t width,
    const stored[:, ::1] vectors, const float[::1] offset,
    int* best, float* scores, Py_ssize_t k,
) noexcept nogil:
    """The k candidates of largest query . vector + offset; returns how many there are."""
    cdef:
        Py_ssize_t i, held = 0
        float score
    if k == 0:
        return 0
    for i in range(min(n, READ_AHEAD)):
        prefetch_row(&vectors[candidates[i], 0], width)
        prefetch_bytes(&offset[candidates[i]], sizeof(float))
    for i in range(n):
        if i + READ_AHEAD < n:
            prefetch_row(&vectors[candidates[i + READ_AHEAD], 0], width)
            prefetch_bytes(&offset[candidates[i + READ_AHEAD]], sizeof(float))
        score = dot(query, &vectors[candidates[i], 0], width) + offset[candidates[i]]
        if held < k or not score < scores[k - 1]:  # most do not belong there
            held = offer(candidates[i], score, best, scores, held, k)
    return held
