"""The index of a table of keys, and order among them (see _active_table.pxd)."""

from sklsh._kernels._cells cimport median_of_three
from sklsh._kernels._random cimport mix


cdef void keep_heaviest(Table* table) noexcept nogil:
    """Leave the `keep` rows of largest norm, ties to those that came first. O(capacity).

    Rows stay in order. Those put out stand behind them, for the caller to see to.
    """
    cdef:
        Py_ssize_t row, n_kept = 0, n_ties = table.keep
        bint tie
    raise_threshold(table)
    for row in range(table.n):
        n_ties -= table.norms[row] > table.threshold
    for row in range(table.n):
        tie = table.norms[row] == table.threshold and n_ties > 0
        if tie or table.norms[row] > table.threshold:
            n_ties -= tie
            swap_rows(table, row, n_kept)
            n_kept += 1
    table.n = n_kept
    relink(table)


cdef void swap_rows(Table* table, Py_ssize_t one, Py_ssize_t other) noexcept nogil:
    cdef:
        Py_ssize_t c
        float* weights = table.weights + one * table.n_columns
        float* others = table.weights + other * table.n_columns
    table.ids[one], table.ids[other] = table.ids[other], table.ids[one]
    table.norms[one], table.norms[other] = table.norms[other], table.norms[one]
    for c in range(table.n_columns):
        weights[c], others[c] = others[c], weights[c]


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
        link(table, <int> place, hash_in(table, table.ids[place]))


cdef void raise_threshold(Table* table) noexcept nogil:
    """Threshold <- the norm of the keep-th row, where there are as many; norms <- all. O(n)."""
    cdef Py_ssize_t row
    for row in range(table.n):
        table.norms[row] = norm(table.weights + row * table.n_columns, table.n_columns)
        table.norms[table.capacity + row] = table.norms[row]
    if table.n >= table.keep:
        table.threshold = kth_largest(table.norms + table.capacity, table.n, table.keep)


cdef float kth_largest(float* values, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """The k-th largest of n values, some of which are overwritten. O(n) on average.

    Without branches on values: of those around the pivot a CPU could predict none.
    """
    cdef:
        Py_ssize_t i, n_kept
        int n_larger, n_equal
        float pivot, value
    while True:
        pivot = median_of_three(values[0], values[n // 2], values[n - 1])
        n_larger = n_equal = 0
        for i in range(n):
            n_larger += values[i] > pivot
            n_equal += values[i] == pivot
        if n_equal == 0 or n_larger < k <= n_larger + n_equal:  # none equals a NaN
            return pivot
        n_kept = 0
        if k <= n_larger:
            for i in range(n):
                value = values[i]
                values[n_kept] = value
                n_kept += value > pivot
        else:
            for i in range(n):
                value = values[i]
                values[n_kept] = value
                n_kept += not value >= pivot
            k -= n_larger + n_equal
        n = n_kept
