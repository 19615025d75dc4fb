"""The keys of largest value, in a table with a threshold that newcomers have to pass.

See _active_table.pxd for the table. Here the value of a key is what was pushed for it last.
"""

from libc.string cimport memcpy

from sklsh._kernels._active_table cimport (
    Table, find, hash_in, keep_heaviest, link, norm, raise_threshold,
)
from sklsh._kernels._random cimport mix


cdef Table as_table(
    long long[::1] ids, int[::1] slots, Py_ssize_t n_rows, unsigned long long seed
) noexcept:
    """A table in which keys can be found; nothing is known of their values."""
    cdef Table table
    table.ids, table.slots = &ids[0], &slots[0]
    table.n, table.capacity, table.n_slots = n_rows, ids.shape[0] - 1, slots.shape[0]
    table.salt = mix(seed)
    return table


def push(
    const long long[::1] keys,       # IN (n,)
    const float[:, ::1] pushed,      # IN (n, n_columns)
    long long[::1] ids,              # IN/OUT (capacity + 1,): the table, -1 at the end
    int[::1] slots,                  # IN/OUT (n_slots,)
    float[:, ::1] values,            # IN/OUT (capacity, n_columns)
    Py_ssize_t keep,
    Py_ssize_t[::1] counts,          # IN/OUT (2,): rows in use, pushes since the threshold
    float[::1] threshold,            # IN/OUT (1,)
    unsigned long long seed,
    float[:, ::1] norms,             # SCRATCH (2, capacity)
):
    """Put the value of each key in its row, or give the key one if its value is large enough.

    The threshold is found anew each `capacity` pushes, as values of keys held may fall.
    O(n_columns) a key, where that is spread over many.
    """
    cdef:
        Table table = as_table(ids, slots, counts[0], seed)
        Py_ssize_t n = keys.shape[0], i, n_pushes = counts[1]
    if n == 0:
        return
    table.weights, table.norms = &values[0, 0], &norms[0, 0]
    table.keep, table.n_columns, table.threshold = keep, values.shape[1], threshold[0]
    with nogil:
        for i in range(n):
            push_one(&table, keys[i], &pushed[i, 0])
            n_pushes += 1
            if n_pushes == table.capacity:
                raise_threshold(&table)
                n_pushes = 0
    counts[0], counts[1], threshold[0] = table.n, n_pushes, table.threshold


cdef void push_one(Table* table, long long key, const float* value) noexcept nogil:
    cdef:
        unsigned long long key_hash = hash_in(table, key)
        int row = find(table, key, key_hash)
    if row < 0:
        if norm(value, table.n_columns) <= table.threshold:
            return
        if table.n == table.capacity:
            keep_heaviest(table)
            if norm(value, table.n_columns) <= table.threshold:
                return
        row = <int> table.n
        table.ids[row] = key
        link(table, row, key_hash)
        table.n += 1
    memcpy(table.weights + row * table.n_columns, value, table.n_columns * sizeof(float))


def find_rows(
    const long long[::1] keys,       # IN (n,)
    long long[::1] ids,              # IN (capacity + 1,)
    int[::1] slots,                  # IN (n_slots,)
    Py_ssize_t n_rows,
    unsigned long long seed,
    int[::1] rows,                   # OUT (n,): -1 where a key has no row
):
    """Rows of keys. O(1) a key."""
    cdef:
        Table table = as_table(ids, slots, n_rows, seed)
        Py_ssize_t i
    for i in range(keys.shape[0]):
        rows[i] = find(&table, keys[i], hash_in(&table, keys[i]))
