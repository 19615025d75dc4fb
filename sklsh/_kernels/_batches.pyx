"""Batches: rows taken from a CSR matrix, with or without dropout, and turned into columns.

Rows are spread over a matrix far larger than the caches, so they are asked for ahead of
use. What is dropped depends on a seed and the place of a value in the matrix alone.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport prefetch_bytes

cdef enum:
    ROWS_AHEAD = 12    # rows of the matrix in flight
    DIGIT_BITS = 11    # of the radix sort at most: its counters fit the first cache

ctypedef unsigned long long key  # a column, and below it where in the batch it stands

ctypedef fused index:
    int
    long long

ctypedef fused number:
    unsigned char
    float
    double


cdef inline bint kept(unsigned long long salt, Py_ssize_t j, key threshold) noexcept nogil:
    """Whether the matrix's j'th value outlives dropout."""
    return (mix(salt + <unsigned long long> j) >> 32) >= threshold


cdef inline key drop_threshold(double rate) noexcept nogil:
    """What 32 random bits must reach for a value to be kept."""
    return <key> (rate * 4294967296.0)


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
        key threshold = drop_threshold(rate)
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
        key threshold = drop_threshold(rate)
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


cdef inline void count_digits(
    const key* keys, Py_ssize_t n, int shift, key mask, int* counts
) noexcept nogil:
    cdef Py_ssize_t i
    memset(counts, 0, (mask + 1) * sizeof(int))
    for i in range(n):
        counts[(keys[i] >> shift) & mask] += 1


cdef inline void find_places(
    const int* counts, Py_ssize_t n_chunks, Py_ssize_t chunk, key mask, int* place
) noexcept nogil:
    """place[d]: how many keys go before this chunk's first one of digit d."""
    cdef:
        Py_ssize_t other
        key d, n_digits = mask + 1
        int total = 0
    for d in range(n_digits):
        for other in range(n_chunks):
            if other == chunk:
                place[d] = total
            total += counts[other * n_digits + d]


cdef inline void scatter(
    const key* keys, Py_ssize_t n, int shift, key mask, int* place, key* out
) noexcept nogil:
    cdef:
        Py_ssize_t i
        key d
    for i in range(n):
        d = (keys[i] >> shift) & mask
        out[place[d]] = keys[i]
        place[d] += 1


cdef inline bint begins(const key* keys, Py_ssize_t i) noexcept nogil:
    """Whether a column begins at the i'th of the sorted keys."""
    return i == 0 or (keys[i] >> 32) != (keys[i - 1] >> 32)


cdef inline Py_ssize_t next_column(const key* keys, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Where the first column begins that does so at i or later."""
    while i < n and not begins(keys, i):
        i += 1
    return i


cdef inline int count_columns(
    const key* keys, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef:
        Py_ssize_t i
        int n = 0
    for i in range(first, last):
        n += begins(keys, i)
    return n


cdef inline void write_columns(
    const key* keys, Py_ssize_t first, Py_ssize_t last, const int* row_of, const float* values,
    int* features, int* starts, int* rows, float* row_values,
) noexcept nogil:
    """Columns of the sorted keys from `first` up to `last`, into the head of `features`."""
    cdef Py_ssize_t i, j, column = -1
    for i in range(first, last):
        column += begins(keys, i)
        features[column] = <int> (keys[i] >> 32)
        starts[column + 1] = <int> (i + 1)  # until a later one of the column says otherwise
        j = <Py_ssize_t> (keys[i] & <key> 0xFFFFFFFF)
        rows[i] = row_of[j]
        row_values[i] = values[j]


def transpose_batch(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,), below 2 ** n_bits
    const float[::1] values,     # IN (nnz,)
    int n_bits,
    key[:, ::1] keys,            # SCRATCH (2, >= nnz)
    int[::1] row_of,             # SCRATCH (>= nnz,)
    int[::1] features,           # OUT (>= nnz,)
    int[::1] starts,             # OUT (>= nnz + 1,)
    int[::1] rows,               # OUT (>= nnz,)
    float[::1] row_values,       # OUT (>= nnz,)
    int n_threads,
):
    """Columns of a CSR batch: its distinct features, ascending, and the rows where each stands.

    A stable radix sort, so that it costs O(nnz) however many features there are. Each
    thread counts the digits of its share of the keys, and then knows where they go.
    Returns the number of distinct features.
    """
    cdef:
        Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0]
        int n_passes = max(1, (n_bits + DIGIT_BITS - 1) // DIGIT_BITS)
        int digit_bits = (n_bits + n_passes - 1) // n_passes
        key mask = (<key> 1 << digit_bits) - 1
        Py_ssize_t n_chunks = n_threads, n_distinct = 0
        Py_ssize_t i, j, c, first, last, at
        int p = 0, shift = 0
        key* source = NULL
        key* target = NULL
        int* counts = <int*> malloc((2 * n_chunks * (mask + 1) + n_chunks) * sizeof(int))
        int* places = counts + n_chunks * (mask + 1)
        int* distinct = places + n_chunks * (mask + 1)
    if counts == NULL:
        raise MemoryError
    if nnz == 0:
        starts[0] = 0
        free(counts)
        return 0
    with nogil, parallel(num_threads=n_threads):
        for i in prange(n, schedule="static"):
            for j in range(indptr[i], indptr[i + 1]):
                keys[0, j] = (<key> indices[j] << 32) + <key> j
                row_of[j] = <int> i
        for p in range(n_passes):
            shift = 32 + p * digit_bits
            source = &keys[p % 2, 0]
            target = &keys[(p + 1) % 2, 0]
            for c in prange(n_chunks, schedule="static"):
                first = c * nnz // n_chunks
                last = (c + 1) * nnz // n_chunks
                count_digits(source + first, last - first, shift, mask, counts + c * (mask + 1))
            for c in prange(n_chunks, schedule="static"):
                first = c * nnz // n_chunks
                last = (c + 1) * nnz // n_chunks
                find_places(counts, n_chunks, c, mask, places + c * (mask + 1))
                scatter(source + first, last - first, shift, mask, places + c * (mask + 1),
                        target)
        source = &keys[n_passes % 2, 0]
        for c in prange(n_chunks, schedule="static"):
            distinct[c] = count_columns(source, c * nnz // n_chunks, (c + 1) * nnz // n_chunks)
        for c in prange(n_chunks, schedule="static"):
            first = next_column(source, c * nnz // n_chunks, nnz)
            last = next_column(source, (c + 1) * nnz // n_chunks, nnz)
            at = 0
            for i in range(c):
                at = at + distinct[i]
            write_columns(source, first, last, &row_of[0], &values[0], &features[0] + at,
                          &starts[0] + at, &rows[0], &row_values[0])
    starts[0] = 0
    for c in range(n_chunks):
        n_distinct += distinct[c]
    free(counts)
    return n_distinct
