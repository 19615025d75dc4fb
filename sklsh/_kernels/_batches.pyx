"""Batches: rows taken from a CSR matrix, with or without dropout.

Rows are spread over a matrix far larger than the caches, so they are asked for ahead of
use. What is dropped depends on a seed and the place of a value in the matrix alone.
"""

from cython.parallel import prange

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport prefetch_bytes

cdef enum:
    ROWS_AHEAD = 12    # rows of the matrix in flight

ctypedef fused index:
    int
    long long

ctypedef fused number:
    unsigned char
    float
    double


cdef inline bint kept(
    unsigned long long salt, Py_ssize_t j, unsigned long long threshold
) noexcept nogil:
    """Whether the matrix's j'th value outlives dropout."""
    return (mix(salt + <unsigned long long> j) >> 32) >= threshold


cdef inline unsigned long long drop_threshold(double rate) noexcept nogil:
    """What 32 random bits must reach for a value to be kept."""
    return <unsigned long long> (rate * 4294967296.0)


def count_values(
    const index[::1] indptr,     # IN (n_rows + 1,)
    const Py_ssize_t[::1] rows,  # IN (n,)
    double rate,
    unsigned long long seed,
    int[::1] starts,             # OUT (n + 1,)
    int n_threads,
):
    """Where each of the rows `rows` begins once `take_rows` has put them side by side.

    Returns the number of their values; `starts` is right only if an int can hold it.
    O(n) without dropout, otherwise O(nnz).
    """
    cdef:
        Py_ssize_t n = rows.shape[0], total = 0
        Py_ssize_t i, j, first, last
        int count
        unsigned long long salt = mix(seed)
        unsigned long long threshold = drop_threshold(rate)
    starts[0] = 0
    for i in prange(n, num_threads=n_threads if threshold else 1, schedule="static", nogil=True):
        first = indptr[rows[i]]
        last = indptr[rows[i] + 1]
        count = <int> (last - first)
        if threshold:
            count = 0
            for j in range(first, last):
                count = count + kept(salt, j, threshold)
        starts[i + 1] = count
    for i in range(n):
        total += starts[i + 1]
        starts[i + 1] = <int> total
    return total


def take_rows(
    const index[::1] indptr,     # IN (n_rows + 1,)
    const index[::1] indices,    # IN (nnz,)
    const number[::1] values,    # IN (nnz,)
    const Py_ssize_t[::1] rows,  # IN (n,)
    double rate,
    unsigned long long seed,
    const int[::1] starts,       # IN (n + 1,), of count_values
    int[::1] out_indices,        # OUT (starts[n],)
    float[::1] out_values,       # OUT (starts[n],)
    int n_threads,
):
    """Copy rows of a CSR matrix, each value dropped with probability `rate`.

    What is left is scaled up by 1 / (1 - rate). O(nnz).
    """
    cdef:
        Py_ssize_t n = rows.shape[0]
        Py_ssize_t i, j, at, last, ahead
        float scale = <float> (1 / (1 - rate))
        unsigned long long salt = mix(seed)
        unsigned long long threshold = drop_threshold(rate)
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        if i + ROWS_AHEAD < n:
            ahead = indptr[rows[i + ROWS_AHEAD]]
            last = indptr[rows[i + ROWS_AHEAD] + 1]
            if ahead < last:
                prefetch_bytes(&indices[ahead], (last - ahead) * sizeof(index))
                prefetch_bytes(&values[ahead], (last - ahead) * sizeof(number))
        j = indptr[rows[i]]
        at = starts[i]
        last = starts[i + 1]
        if threshold:
            while at < last:  # written, and written over where it is not kept
                out_indices[at] = <int> indices[j]
                out_values[at] = scale * <float> values[j]
                at = at + kept(salt, j, threshold)
                j = j + 1
        else:
            copy_row(&indices[0] + j, &values[0] + j, &out_indices[0] + at,
                     &out_values[0] + at, last - at)


cdef inline void copy_row(
    const index* indices, const number* values, int* out_indices, float* out_values,
    Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out_indices[i] = <int> indices[i]
    for i in range(n):
        out_values[i] = <float> values[i]
