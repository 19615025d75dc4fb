"""Rows of the output layer in 4 bits a weight, and ranking by what they say of logits.

A row is a factor times codes from -7 to 7: a cache line holds 128 of them, where it holds
16 floats. How they lie in bytes is told in int4.h.
"""

from cython.parallel import parallel, prange, threadid
from libc.math cimport INFINITY

from sklsh._kernels._simd cimport ops, prefetch_bytes
from sklsh._kernels._stored cimport prefetch_row, read_row, stored

cdef enum:
    READ_AHEAD = 16    # rows in flight
    LARGEST = 7        # code of a row's largest weight
    ZERO = 8           # the code of zero as it is stored
    DEPTH = 64         # places in a ranking, at most
    AT_ONCE = 192      # ids compared with those that hold the places
    MOST = DEPTH + AT_ONCE

MAX_DEPTH = DEPTH

cdef float QUERY_CODES = 126.99  # activations have 8 bits, with the sign
cdef float SMALLEST = 1e-30  # what is smaller counts as zero: its factor would overflow


def code_rows(
    const stored[:, ::1] weights,  # IN (n_classes, width)
    const float[::1] bias,       # IN (n_classes,)
    const int[::1] ids,          # IN (n,): which rows, distinct
    unsigned char[:, ::1] codes,  # IN/OUT (n_classes, n_bytes), 2 n_bytes >= width
    float[:, ::1] line,          # IN/OUT (n_classes, 2): scale of the codes, and bias
    float[:, ::1] buffer,        # SCRATCH (n_threads, 2 n_bytes), zeros from width on
):
    """Take over what the rows hold now.

    O(n width).
    """
    cdef:
        Py_ssize_t n = ids.shape[0], width = weights.shape[1], n_bytes = codes.shape[1], i
        float* row = NULL
        float largest
    with nogil, parallel(num_threads=<int> buffer.shape[0]):
        row = &buffer[threadid(), 0]
        for i in prange(n, schedule="static"):
            if i + READ_AHEAD < n:
                prefetch_row(&weights[ids[i + READ_AHEAD], 0], width)
            read_row(&weights[ids[i], 0], row, width)
            largest = ops.largest(row, width)
            line[ids[i], 0] = largest / LARGEST
            line[ids[i], 1] = bias[ids[i]]
            ops.round_int4(row, LARGEST / largest if largest > SMALLEST else 0.0,
                           &codes[ids[i], 0], n_bytes)


def rank_pools(
    const Py_ssize_t[::1] pool_starts,  # IN (n + 1,)
    const int[::1] pool,         # IN (>= pool_starts[n],): ids, distinct within a query
    const float[:, ::1] queries,  # IN (n, width)
    const unsigned char[:, ::1] codes,  # IN (n_classes, n_bytes)
    const float[:, ::1] line,    # IN (n_classes, 2): scale of the codes, and bias
    signed char[:, ::1] buffer,  # SCRATCH (n_threads, 2 n_bytes), zeros from width on
    int[:, ::1] best,            # OUT (n, k), k <= MAX_DEPTH
    Py_ssize_t[::1] found,       # OUT (n,): how many of the k places are filled
):
    """Of each query's pool the k ids of largest query . row + bias, as the codes have it.

    The best come first, equals in the order of the pool. Query i has
    pool[pool_starts[i]:pool_starts[i + 1]]. O(width + MAX_DEPTH) an id of a pool.
    """
    cdef:
        Py_ssize_t n = queries.shape[0], i
        signed char* query = NULL
    if pool_starts[n] > pool.shape[0]:
        raise ValueError("pools end behind their array.")
    if best.shape[1] > DEPTH:
        raise ValueError(f"at most {DEPTH} places can be ranked into; got {best.shape[1]}.")
    with nogil, parallel(num_threads=<int> buffer.shape[0]):
        query = &buffer[threadid(), 0]
        for i in prange(n, schedule="dynamic", chunksize=16):
            found[i] = rank(pool, pool_starts[i], pool_starts[i + 1], queries[i], codes, line,
                            query, best[i])


cdef Py_ssize_t rank(
    const int[::1] pool, Py_ssize_t first, Py_ssize_t last, const float[::1] activations,
    const unsigned char[:, ::1] codes, const float[:, ::1] line,
    signed char* query, int[::1] best,
) noexcept nogil:
    """Rank pool[first:last]; returns how many places are filled."""
    cdef:
        Py_ssize_t width = activations.shape[0], k = best.shape[0], n = 0, i
        float largest = ops.largest(&activations[0], width)
        float factor = QUERY_CODES / largest if largest > SMALLEST else 0.0
        int zeros = ZERO * ops.round_int8(&activations[0], &factor, 0, 0, 0, query, width)
        float[MOST] score
        int[MOST] id, place
    if k == 0:
        return 0
    for i in range(first, min(first + READ_AHEAD, last)):
        prefetch(pool[i], codes, line)
    for i in range(first, last):
        if i + READ_AHEAD < last:
            prefetch(pool[i + READ_AHEAD], codes, line)
        id[n] = pool[i]
        score[n] = line[pool[i], 1] + largest / QUERY_CODES * line[pool[i], 0] * (
            ops.dot_int4(query, &codes[pool[i], 0], codes.shape[1]) - zeros)
        n += 1
        if n == MOST or i + 1 == last:
            sort(score, id, place, n)
            n = min(n, k)
    for i in range(n):
        best[i] = id[i]
    return n


cdef inline void sort(float* score, int* id, int* place, Py_ssize_t n) noexcept nogil:
    """Bring n ids, at most MOST, into the order of falling scores; NaN stands last."""
    cdef:
        Py_ssize_t i
        float[MOST] by_place
        int[MOST] id_by_place
    for i in range(n):
        if score[i] != score[i]:
            score[i] = -INFINITY
    for i in range(n, (n + 15) // 16 * 16):
        score[i] = -INFINITY
    ops.places(score, place, (n + 15) // 16 * 16)
    for i in range(n):
        by_place[place[i]] = score[i]
        id_by_place[place[i]] = id[i]
    for i in range(n):
        score[i] = by_place[i]
        id[i] = id_by_place[i]


cdef inline void prefetch(
    int id, const unsigned char[:, ::1] codes, const float[:, ::1] line
) noexcept nogil:
    prefetch_bytes(&codes[id, 0], codes.shape[1])
    prefetch_bytes(&line[id, 0], 2 * sizeof(float))
