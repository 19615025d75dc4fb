"""A table of the keys that matter most, each with a vector of weights.

Keys, which are not negative, stand in rows 0 to n - 1 in the order they came; `slots` finds
a key's row by open addressing, probed linearly. A slot that is empty holds the row `capacity`,
whose key is -1. Nothing is taken out one by one:
when all rows are in use, `keep_heaviest` leaves the `keep` rows of largest norm. The norm of the
last one kept is the threshold that a newcomer has to pass, so that a table of 2 keep rows
is compacted at most once in keep insertions.
"""

from libc.math cimport fabsf

from sklsh._kernels._random cimport mix

ctypedef struct Table:
    long long* ids         # (capacity + 1,)
    float* weights         # (capacity, n_columns)
    int* slots             # (n_slots,), a power of two, more than capacity
    float* norms           # SCRATCH (2, capacity)
    Py_ssize_t n, capacity, keep, n_slots, n_columns
    float threshold
    unsigned long long salt    # of the keys' hashes


cdef inline unsigned long long hash_in(const Table* table, long long key) noexcept nogil:
    """Hash of a key: the one that cells of the same salt go by."""
    return mix(table.salt + <unsigned long long> key)


cdef inline Py_ssize_t slot_of(const Table* table, unsigned long long key_hash) noexcept nogil:
    """Where the search for a key begins: high bits, as cells are found by the low ones."""
    return <Py_ssize_t> (key_hash >> 32) & (table.n_slots - 1)


cdef inline int find(
    const Table* table, long long key, unsigned long long key_hash
) noexcept nogil:
    """Row of a key, -1 if it has none.

    Two slots are read at once, without a branch between them: nearly every search ends there,
    and whether it finds a row is nothing that a CPU could predict.
    """
    cdef:
        Py_ssize_t slot = slot_of(table, key_hash), mask = table.n_slots - 1
        int first = table.slots[slot], second = table.slots[(slot + 1) & mask]
        bint is_first = table.ids[first] == key, is_second = table.ids[second] == key
        int row = (first + 1) * is_first + (second + 1) * is_second - 1
        int empty = <int> table.capacity
    if (row >= 0) + (first == empty) + (second == empty) == 0:
        slot = (slot + 2) & mask
        while table.slots[slot] != empty and table.ids[table.slots[slot]] != key:
            slot = (slot + 1) & mask
        row = -1 if table.slots[slot] == empty else table.slots[slot]
    return row


cdef inline void link(Table* table, int row, unsigned long long key_hash) noexcept nogil:
    """Let the key of a row be found."""
    cdef Py_ssize_t slot = slot_of(table, key_hash)
    while table.slots[slot] != table.capacity:
        slot = (slot + 1) & (table.n_slots - 1)
    table.slots[slot] = row


cdef inline float norm(const float* weights, Py_ssize_t n_columns) noexcept nogil:
    """Largest magnitude among a vector of weights."""
    cdef:
        Py_ssize_t c
        float total = 0
    if n_columns == 1:
        return fabsf(weights[0])
    for c in range(n_columns):
        total = max(total, fabsf(weights[c]))
    return total


cdef void keep_heaviest(Table* table) noexcept nogil
cdef void relink(Table* table) noexcept nogil
cdef void raise_threshold(Table* table) noexcept nogil
cdef float kth_largest(float* values, Py_ssize_t n, Py_ssize_t k) noexcept nogil
