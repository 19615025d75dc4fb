"""The columns of a CSR batch, by a radix sort of its column numbers.

Compared with a table of where each column went, as long as there are columns, it reads
memory in order, needs no scratch that grows with their number, and leaves them ascending.
"""

from libc.string cimport memset

ctypedef unsigned long long key  # a column, and below it which of the batch's values it is

cdef enum:
    DIGIT_BITS = 11  # at most: the counters fit the first cache


cdef inline void sort_by_digit(
    const key* keys, Py_ssize_t n, int shift, int n_bits, key* out
) noexcept nogil:
    """Stable counting sort by the `n_bits` bits from `shift` on."""
    cdef:
        int place[1 << DIGIT_BITS]
        key mask = (<key> 1 << n_bits) - 1
        key d
        Py_ssize_t i
        int count, total = 0
    memset(place, 0, (mask + 1) * sizeof(int))
    for i in range(n):
        place[(keys[i] >> shift) & mask] += 1
    for d in range(mask + 1):
        count = place[d]
        place[d] = total
        total += count
    for i in range(n):
        d = (keys[i] >> shift) & mask
        out[place[d]] = keys[i]
        place[d] += 1


cdef inline Py_ssize_t sort_columns(
    const int* indptr,           # IN (n + 1,)
    Py_ssize_t n,
    const int* indices,          # IN (nnz,), below 2 ** n_bits
    const float* values,         # IN (nnz,)
    int n_bits,
    key* keys,                   # SCRATCH (nnz,)
    key* others,                 # SCRATCH (nnz,)
    int* row_of,                 # SCRATCH (nnz,)
    int* columns,                # OUT (nnz,)
    int* starts,                 # OUT (nnz + 1,)
    int* rows,                   # OUT (nnz,)
    float* row_values,           # OUT (nnz,)
) noexcept nogil:
    """Distinct columns, ascending, and the rows where each stands; returns how many.

    O(nnz).
    """
    cdef:
        int n_passes = max(1, (n_bits + DIGIT_BITS - 1) // DIGIT_BITS)
        int digit_bits = (n_bits + n_passes - 1) // n_passes
        Py_ssize_t nnz = indptr[n], column = -1
        Py_ssize_t i, j
        int p
    for i in range(n):
        for j in range(indptr[i], indptr[i + 1]):
            keys[j] = (<key> indices[j] << 32) + <key> j
            row_of[j] = <int> i
    for p in range(n_passes):
        sort_by_digit(keys, nnz, 32 + p * digit_bits, digit_bits, others)
        keys, others = others, keys
    starts[0] = 0
    for i in range(nnz):
        column += i == 0 or (keys[i] >> 32) != (keys[i - 1] >> 32)
        columns[column] = <int> (keys[i] >> 32)
        starts[column + 1] = <int> (i + 1)  # until the next of the column says otherwise
        j = <Py_ssize_t> (keys[i] & <key> 0xFFFFFFFF)
        rows[i] = row_of[j]
        row_values[i] = values[j]
    return column + 1
