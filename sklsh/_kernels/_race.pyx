"""Rows of counters, addressed by locality-sensitive codes: adding to them, and asking them.

A vector has one cell in each row of counters: the one its code there is hashed to or, where
all codes have a cell of their own, the one it numbers. A cell is a vector of n_columns
doubles. A negative code has no cell.
"""

from cython.parallel import prange
from libc.string cimport memset

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport prefetch_bytes

cdef enum:
    CHUNK = 256        # vectors whose cells in a row are found together
    AHEAD = 16         # vectors whose cells are in flight

cdef double FARTHEST = 2.0 ** 53  # step from the origin; beyond it steps are not told apart
cdef unsigned long long SPREAD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: few steps never meet


def add(
    const int[:, ::1] codes,         # IN (n, n_rows)
    const double[:, ::1] values,     # IN (n, n_columns)
    double[:, ::1] cells,            # IN/OUT (n_rows * width, n_columns)
    bint hashed,
    unsigned long long seed,
    int n_threads,
):
    """Add each vector's values to its cell in every row.

    Each row has one writer, which takes the vectors in their order: rounding does not depend
    on threads. O(n_rows n_columns) a vector.
    """
    cdef:
        Py_ssize_t n = codes.shape[0], n_rows = codes.shape[1]
        Py_ssize_t width = cells.shape[0] // n_rows, n_columns = cells.shape[1]
        Py_ssize_t r
    if n == 0:
        return
    for r in prange(n_rows, num_threads=n_threads, schedule="static", nogil=True):
        add_to_row(&codes[0, r], n_rows, n, &values[0, 0], n_columns,
                   &cells[r * width, 0], width, hashed, mix(mix(seed) + r))


cdef void add_to_row(
    const int* codes, Py_ssize_t stride, Py_ssize_t n, const double* values,
    Py_ssize_t n_columns, double* row, Py_ssize_t width, bint hashed, unsigned long long salt,
) noexcept nogil:
    """Add the values of n vectors to one row; their codes there lie `stride` apart."""
    cdef:
        Py_ssize_t place[CHUNK]
        Py_ssize_t chunk, first, m, i
    for chunk in range((n + CHUNK - 1) // CHUNK):
        first = chunk * CHUNK
        m = min(n - first, CHUNK)
        find_places(codes + first * stride, stride, m, width, hashed, salt, place)
        for i in range(m):
            ask_ahead(row, place, i + AHEAD, m, n_columns)
            if place[i] < 0:
                continue
            add_vector(row + place[i] * n_columns, values + (first + i) * n_columns, n_columns)


def look_up(
    const int[:, ::1] codes,         # IN (n, n_rows)
    const double[:, ::1] cells,      # IN (n_rows * width, n_columns)
    bint hashed,
    unsigned long long seed,
    double[:, :, ::1] means,         # OUT (n, n_groups, n_columns)
    int n_threads,
):
    """Means of each vector's cells over groups of adjacent rows; zero for a negative code.

    Group g has the rows from g n_rows / n_groups on. O(n_rows n_columns) a vector.
    """
    cdef:
        Py_ssize_t n = codes.shape[0], n_rows = codes.shape[1]
        Py_ssize_t n_chunks = (n + CHUNK - 1) // CHUNK, chunk, first
        Py_ssize_t width = cells.shape[0] // n_rows
    if n == 0:
        return
    for chunk in prange(n_chunks, num_threads=n_threads, schedule="static", nogil=True):
        first = chunk * CHUNK
        look_up_chunk(&codes[first, 0], n_rows, min(n - first, CHUNK), &cells[0, 0], width,
                      cells.shape[1], hashed, seed, means.shape[1], &means[first, 0, 0])


cdef void look_up_chunk(
    const int* codes, Py_ssize_t n_rows, Py_ssize_t m, const double* cells, Py_ssize_t width,
    Py_ssize_t n_columns, bint hashed, unsigned long long seed, Py_ssize_t n_groups,
    double* means,
) noexcept nogil:
    """Means of m vectors, at most CHUNK; row by row, whose cells then stay in the cache."""
    cdef:
        Py_ssize_t place[CHUNK]
        Py_ssize_t g, r, i, c, first, last
        const double* row
        double* mean
    memset(means, 0, m * n_groups * n_columns * sizeof(double))
    for g in range(n_groups):
        first, last = g * n_rows // n_groups, (g + 1) * n_rows // n_groups
        for r in range(first, last):
            row = cells + r * width * n_columns
            find_places(codes + r, n_rows, m, width, hashed, mix(mix(seed) + r), place)
            for i in range(m):
                ask_ahead(row, place, i + AHEAD, m, n_columns)
                if place[i] < 0:
                    continue
                add_vector(means + (i * n_groups + g) * n_columns,
                           row + place[i] * n_columns, n_columns)
        for i in range(m):
            mean = means + (i * n_groups + g) * n_columns
            for c in range(n_columns):
                mean[c] /= last - first


cdef inline void find_places(
    const int* codes, Py_ssize_t stride, Py_ssize_t m, Py_ssize_t width, bint hashed,
    unsigned long long salt, Py_ssize_t* place,
) noexcept nogil:
    """Cells of m codes in a row, whose width is a power of two; -1 for none."""
    cdef:
        unsigned long long mask = <unsigned long long> (width - 1)
        Py_ssize_t i
        int code
    for i in range(m):
        code = codes[i * stride]
        if code < 0 or not hashed:
            place[i] = code
        else:
            place[i] = <Py_ssize_t> (mix(salt + <unsigned long long> code) & mask)


cdef inline void add_vector(double* out, const double* x, Py_ssize_t n) noexcept nogil:
    """out += x"""
    cdef Py_ssize_t c
    if n == 2:           # a sum of targets and one of weights: no loop
        out[0] += x[0]
        out[1] += x[1]
    else:
        for c in range(n):
            out[c] += x[c]


cdef inline void ask_ahead(
    const double* row, const Py_ssize_t* place, Py_ssize_t i, Py_ssize_t m,
    Py_ssize_t n_columns,
) noexcept nogil:
    """Ask for the cell of vector i ahead of its use, if there is such a vector."""
    if i < m and place[i] >= 0:
        prefetch_bytes(row + place[i] * n_columns, n_columns * sizeof(double))


def step_codes(
    const float[:, ::1] projections,   # IN (n, >= n_codes * n_steps)
    const double[::1] offsets,         # IN (n_codes * n_steps,), in [0, 1)
    double width,
    int[:, ::1] codes,                 # OUT (n, n_codes)
    int n_threads,
):
    """31 bits of hash of each code's steps floor(projection / width + offset).

    Step s of code r is projection r * n_steps + s. O(n_codes n_steps) a vector.
    """
    cdef:
        Py_ssize_t n = projections.shape[0], n_codes = codes.shape[1], i
        Py_ssize_t n_steps = offsets.shape[0] // n_codes
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        hash_steps(&projections[i, 0], &offsets[0], 1 / width, n_codes, n_steps, &codes[i, 0])


cdef void hash_steps(
    const float* projections, const double* offsets, double inverse_width,
    Py_ssize_t n_codes, Py_ssize_t n_steps, int* codes,
) noexcept nogil:
    """Codes of one vector."""
    cdef:
        Py_ssize_t r, p
        unsigned long long chained
        long long step
        double place
    for r in range(n_codes):
        chained = 0
        for p in range(r * n_steps, (r + 1) * n_steps):
            place = projections[p] * inverse_width + offsets[p]
            if not place > -FARTHEST:  # or not a number
                place = -FARTHEST
            elif place > FARTHEST:
                place = FARTHEST
            step = <long long> place
            step -= step > place       # down, not towards zero
            chained = chained * SPREAD + <unsigned long long> step
        codes[r] = <int> (mix(chained) >> 33)
