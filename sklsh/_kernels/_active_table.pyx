"""The index of a table of keys, and order among them (see _active_table.pxd)."""

from sklsh._kernels._random cimport mix


def link_all(
    long long[::1] ids,            # IN (capacity + 1,): keys of the rows in use
    Py_ssize_t n,                  # rows in use
    int[::1] slots,                # OUT (n_slots,)
    unsigned long long seed,
):
    """Let all keys be found anew. O(n_slots)."""
    cdef Table table
    table.ids, table.slots = &ids[0], &slots[0]
    table.n, table.capacity, table.n_slots = n, ids.shape[0] - 1, slots.shape[0]
    table.salt = mix(seed)
    with nogil:
        relink(&table)


cdef void relink(Table* table) noexcept nogil:
    """Let the keys of all rows be found, and no others. O(n_slots)."""
    cdef Py_ssize_t place
    for place in range(table.n_slots):
        table.slots[place] = <int> table.capacity
    for place in range(table.n):
        link(table, <int> place, mix(table.salt + <unsigned long long> table.ids[place]))

cdef void raise_threshold(Table* table) noexcept nogil:
    """Threshold <- the norm of the keep-th row, where there are as many; norms <- all. O(n)."""
    cdef Py_ssize_t row
    for row in range(table.n):
        table.norms[row] = norm(table.weights + row * table.n_columns, table.n_columns)
        table.norms[table.capacity + row] = table.norms[row]
    if table.n >= table.keep:
        table.threshold = kth_largest(table.norms + table.capacity, table.n, table.keep)


cdef float kth_largest(float* values, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """The k-th largest of n values, which are partly sorted in place. O(n) on average."""
    cdef:
        Py_ssize_t low = 0, high = n - 1, i, j
        float pivot
    while low < high:
        pivot = values[low + (high - low) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    return values[k - 1]
