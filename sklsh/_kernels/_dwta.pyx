"""Codes of densified winner-take-all: which of the eight values of a bin is largest.

A permutation puts the coordinates in random order, and each run of eight of them is a bin;
the last may be shorter. The digit of a bin is the slot, 0 to 7, of its largest value, the
first of them if several are. Zeros are missing values, so a vector has the same codes
whether it is stored dense or sparse. A bin without values borrows the digit of the bin
with values whose hash with it is smallest: vectors that share a part of these bins borrow
from the same one as often as that part is of all their bins with values.

Bins are numbered through all permutations. Digit j of table t is that of bin
t * n_digits + j; bins past those of the last table only lend theirs.
"""

from cython.parallel import parallel, prange, threadid
from libc.math cimport INFINITY
from libc.string cimport memset

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport ops
from sklsh._kernels._stored cimport as_float, stored

cdef enum:
    LANES = 16         # dense vectors hashed side by side, one a lane
    SLOTS = 8
    DIGIT_BITS = 3


def dwta_dense(
    const stored[:, ::1] vectors,  # IN (n_vectors, >= width)
    const int[::1] rows,         # IN (n,): which vectors to hash
    const int[:, ::1] order,     # IN (n_permutations, width): coordinates, permuted
    int n_digits,
    float[:, :, ::1] values,     # SCRATCH (n_threads, width, 16)
    int[:, :, ::1] digits,       # SCRATCH (n_threads, n_bins, 16)
    int[:, ::1] donors,          # SCRATCH (n_threads, n_bins)
    int[:, ::1] codes,           # OUT (n, n_tables)
):
    """Code of each vector in each table; -1 for zero vectors.

    O(n n_permutations width), and O(empty non_empty) more for a vector with empty bins.
    """
    cdef:
        Py_ssize_t n = rows.shape[0], width = order.shape[1]
        Py_ssize_t n_bins = digits.shape[1], n_tables = codes.shape[1]
        Py_ssize_t n_chunks = (n + LANES - 1) // LANES
        Py_ssize_t chunk, lane, n_lanes, thread = 0
        int n_threads = <int> donors.shape[0]
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        for chunk in prange(n_chunks, schedule="dynamic"):
            n_lanes = min(n - chunk * LANES, LANES)
            for lane in range(n_lanes):
                spread(&vectors[rows[chunk * LANES + lane], 0], width,
                       &values[thread, 0, lane])
            encode_chunk(&values[thread, 0, 0], &order[0, 0], width, n_bins, n_digits,
                         &digits[thread, 0, 0], &donors[thread, 0],
                         &codes[chunk * LANES, 0], n_tables, n_lanes)


def dwta_sparse(
    const Py_ssize_t[::1] indptr,  # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,), no index twice in a row
    const float[::1] data,       # IN (nnz,)
    const int[:, ::1] place,     # IN (n_permutations, width): where a coordinate stands
    int n_digits,
    float[:, ::1] values,        # SCRATCH (n_threads, n_bins)
    int[:, ::1] digits,          # SCRATCH (n_threads, n_bins), -1 before and after
    int[:, ::1] donors,          # SCRATCH (n_threads, n_bins)
    int[:, ::1] codes,           # OUT (n, n_tables)
):
    """Codes as of :func:`dwta_dense`, of rows in CSR format.

    O(nnz n_permutations + n n_tables n_digits), and O(empty non_empty) for each row.
    """
    cdef:
        Py_ssize_t n = codes.shape[0], width = place.shape[1]
        Py_ssize_t n_tables = codes.shape[1], n_permutations = place.shape[0]
        Py_ssize_t i, j, n_donors, thread = 0
        int n_threads = <int> donors.shape[0]
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        for i in prange(n, schedule="dynamic", chunksize=16):
            n_donors = 0
            for j in range(indptr[i], indptr[i + 1]):
                if data[j] != 0.0:
                    n_donors = offer_value(
                        data[j], &place[0, indices[j]], width, n_permutations,
                        &values[thread, 0], &digits[thread, 0], &donors[thread, 0], n_donors)
            borrow(&digits[thread, 0], 1, n_tables * n_digits, &donors[thread, 0], n_donors)
            pack(&digits[thread, 0], 1, n_donors, n_digits, &codes[i, 0], n_tables)
            clear(&digits[thread, 0], n_tables * n_digits, &donors[thread, 0], n_donors)


cdef inline Py_ssize_t bins_of(Py_ssize_t width) noexcept nogil:
    return (width + SLOTS - 1) // SLOTS


# ---- dense: sixteen vectors side by side ----


cdef inline void spread(const stored* vector, Py_ssize_t width, float* lane) noexcept nogil:
    """A vector as one lane, with minus infinity for missing values."""
    cdef Py_ssize_t i
    for i in range(width):
        lane[i * LANES] = as_float(vector + i)
        if lane[i * LANES] == 0.0:
            lane[i * LANES] = -INFINITY


cdef void encode_chunk(
    const float* values, const int* order, Py_ssize_t width, Py_ssize_t n_bins, int n_digits,
    int* digits, int* donors, int* codes, Py_ssize_t n_tables, Py_ssize_t n_lanes,
) noexcept nogil:
    cdef:
        Py_ssize_t n_coded = n_tables * n_digits, n_known = n_coded
        Py_ssize_t lane, n_donors
    find_winners(values, order, width, 0, n_coded, digits)
    for lane in range(n_lanes):
        n_donors = n_coded
        if has_empty(digits + lane, n_coded):
            if n_known < n_bins:
                find_winners(values, order, width, n_known, n_bins, digits)
                n_known = n_bins
            n_donors = list_donors(digits + lane, n_bins, donors)
            borrow(digits + lane, LANES, n_coded, donors, n_donors)
        pack(digits + lane, LANES, n_donors, n_digits, codes + lane * n_tables, n_tables)


cdef void find_winners(
    const float* values, const int* order, Py_ssize_t width,
    Py_ssize_t first, Py_ssize_t last, int* digits,
) noexcept nogil:
    """Digits of the bins first .. last, -1 for empty ones."""
    cdef Py_ssize_t bin, permutation, start
    for bin in range(first, last):
        permutation = bin // bins_of(width)
        start = SLOTS * (bin % bins_of(width))
        ops.winners16(values, order + permutation * width + start,
                      min(width - start, SLOTS), digits + bin * LANES)


cdef inline bint has_empty(const int* digits, Py_ssize_t n_bins) noexcept nogil:
    cdef Py_ssize_t bin
    for bin in range(n_bins):
        if digits[bin * LANES] < 0:
            return True
    return False


cdef inline Py_ssize_t list_donors(
    const int* digits, Py_ssize_t n_bins, int* donors
) noexcept nogil:
    cdef Py_ssize_t bin, n = 0
    for bin in range(n_bins):
        if digits[bin * LANES] >= 0:
            donors[n] = <int> bin
            n += 1
    return n


# ---- sparse: one row after the other ----


cdef inline Py_ssize_t offer_value(
    float value, const int* place, Py_ssize_t width, Py_ssize_t n_permutations,
    float* values, int* digits, int* donors, Py_ssize_t n_donors,
) noexcept nogil:
    """Let a value compete in its bin of each permutation; returns how many have values."""
    cdef:
        Py_ssize_t permutation, bin
        int slot
    for permutation in range(n_permutations):
        bin = permutation * bins_of(width) + place[permutation * width] // SLOTS
        slot = place[permutation * width] % SLOTS
        if digits[bin] < 0:
            donors[n_donors] = <int> bin
            n_donors += 1
        elif value < values[bin] or (value == values[bin] and slot > digits[bin]):
            continue
        values[bin] = value
        digits[bin] = slot
    return n_donors


cdef inline void clear(
    int* digits, Py_ssize_t n_coded, const int* donors, Py_ssize_t n_donors
) noexcept nogil:
    cdef Py_ssize_t i
    memset(digits, 255, n_coded * sizeof(int))
    for i in range(n_donors):
        digits[donors[i]] = -1


# ---- both ----


cdef void borrow(
    int* digits, Py_ssize_t stride, Py_ssize_t n_coded, const int* donors, Py_ssize_t n_donors
) noexcept nogil:
    """Give each empty bin among the first n_coded the digit of a donor, chosen by hash."""
    cdef:
        Py_ssize_t bin, i
        unsigned long long score, least
        int donor
    if n_donors == 0:
        return
    for bin in range(n_coded):
        if digits[bin * stride] >= 0:
            continue
        donor = donors[0]
        least = mix(mix(bin) + donor)
        for i in range(1, n_donors):
            score = mix(mix(bin) + donors[i])
            if score < least:
                least = score
                donor = donors[i]
        digits[bin * stride] = digits[donor * stride]


cdef inline void pack(
    const int* digits, Py_ssize_t stride, Py_ssize_t n_donors, int n_digits,
    int* codes, Py_ssize_t n_tables,
) noexcept nogil:
    """Write the codes, n_digits each; -1 where no bin has a value."""
    cdef:
        Py_ssize_t table
        int j, code
    if n_donors == 0:
        memset(codes, 255, n_tables * sizeof(int))
        return
    for table in range(n_tables):
        code = 0
        for j in range(n_digits):
            code |= digits[(table * n_digits + j) * stride] << (DIGIT_BITS * j)
        codes[table] = code
