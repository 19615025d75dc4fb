"""Order among the keys of a table (see _active_table.pxd)."""

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
