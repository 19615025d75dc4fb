"""SimHash codes by randomised Walsh-Hadamard rotations.

A rotation flips signs at random and applies the Walsh-Hadamard transform, twice: its
`padded` outputs are projections on nearly Gaussian directions, and the sign of each is
one bit of code. A rotation costs O(padded log padded) where as many dense projections
cost O(padded^2).
"""

from cython.parallel import parallel, prange, threadid
from libc.string cimport memset

from sklsh._kernels._simd cimport ops
from sklsh._kernels._stored cimport as_floats, prefetch_row, stored

cdef enum:
    LANES = 16         # vectors rotated side by side, one a lane: no shuffles needed


def simhash(
    const stored[:, ::1] vectors,  # IN (n_vectors, >= width)
    Py_ssize_t width,
    const int[::1] rows,         # IN (n,): which vectors to hash
    const float[:, :, ::1] signs,  # IN (n_rotations, 2, padded), random
    int n_bits,
    float[:, ::1] buffer,        # SCRATCH (n_threads, 3 * 16 padded + 16)
    int[:, ::1] codes,           # OUT (n, n_tables)
):
    """Code of each vector in each table: n_bits signs of its random projections.

    Bit b of table t is projection t * n_bits + b. A zero vector has no direction: its
    codes are -1. O(n n_rotations padded log padded).
    """
    cdef:
        Py_ssize_t n = rows.shape[0]
        Py_ssize_t n_rotations = signs.shape[0], padded = signs.shape[2]
        Py_ssize_t n_chunks = (n + LANES - 1) // LANES
        Py_ssize_t chunk, lane, r, n_lanes
        float* original = NULL
        float* rotated = NULL
        float* wide = NULL
    if n == 0:
        return
    with nogil, parallel(num_threads=<int> buffer.shape[0]):
        original = on_cache_line(&buffer[threadid(), 0])
        rotated = original + LANES * padded
        wide = rotated + LANES * padded
        memset(original, 0, LANES * padded * sizeof(float))
        for chunk in prange(n_chunks, schedule="dynamic"):
            n_lanes = min(n - chunk * LANES, LANES)
            interleave(vectors, width, rows, chunk * LANES, padded, wide, original)
            for r in range(n_rotations):
                rotate(original, rotated, &signs[r, 0, 0], padded)
                collect(rotated, r * padded, padded, n_bits, &codes[chunk * LANES, 0],
                        codes.shape[1], n_lanes)
            for lane in range(n_lanes):
                if is_zero(original + lane, width):
                    memset(&codes[chunk * LANES + lane, 0], 255, codes.shape[1] * sizeof(int))


cdef inline float* on_cache_line(float* buffer) noexcept nogil:
    """The next cache line's begin: registers that straddle two take twice the time."""
    return <float*> ((<size_t> buffer + 63) // 64 * 64)


cdef inline void interleave(
    const stored[:, ::1] vectors, Py_ssize_t width, const int[::1] rows, Py_ssize_t first,
    Py_ssize_t padded, float* wide, float* out,
) noexcept nogil:
    """Put the next LANES vectors side by side; the last one stands in for those that lack."""
    cdef:
        Py_ssize_t n = rows.shape[0], lane
        (const float*)[LANES] row
    for lane in range(LANES):
        row[lane] = as_floats(&vectors[rows[min(first + lane, n - 1)], 0], wide + lane * padded,
                              width)
        if first + lane + LANES < n:
            prefetch_row(&vectors[rows[first + lane + LANES], 0], width)
    ops.interleave16(row, width, out)


cdef inline bint is_zero(const float* lane, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(width):
        if lane[i * LANES] != 0.0:
            return False
    return True


cdef inline void rotate(
    const float* original, float* rotated, const float* signs, Py_ssize_t padded
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(padded * LANES):
        rotated[i] = original[i]
    ops.rotate16(rotated, signs, padded)
    ops.rotate16(rotated, signs + padded, padded)


cdef void collect(
    const float* rotated, Py_ssize_t first, Py_ssize_t padded, int n_bits,
    int* codes, Py_ssize_t n_tables, Py_ssize_t n_lanes,
) noexcept nogil:
    """Put the signs of projections first .. first + padded into the codes they belong to."""
    cdef:
        Py_ssize_t last = min(first + padded, n_tables * n_bits)
        Py_ssize_t p, table, lane
        int bit
        int[LANES] partial
    p = first
    while p < last:
        table = p // n_bits
        bit = <int> (p % n_bits)
        if bit == 0:
            memset(partial, 0, LANES * sizeof(int))
        else:                    # a table's bits may begin in the rotation before
            for lane in range(n_lanes):
                partial[lane] = codes[lane * n_tables + table]
        while bit < n_bits and p < last:
            ops.sign_bits16(rotated + (p - first) * LANES, partial, bit)
            bit += 1
            p += 1
        for lane in range(n_lanes):
            codes[lane * n_tables + table] = partial[lane]
