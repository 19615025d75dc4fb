"""Rows of an array that several models have changed, put together in one pass."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc


cdef struct Changes:
    const int* rows      # (n,), ascending
    const float* values  # (n, width)
    Py_ssize_t n, next   # how many, and the first that was not reached yet
    float share


def add_moves(
    float[:, ::1] weights,  # IN/OUT
    list rows,              # IN
    list values,            # IN
    const double[::1] shares,  # IN
    float[:, ::1] scratch,  # OUT
):
    """Add what models have moved weights by, where they agree once, where they do not all.

    O(size of weights and values).

    With moves d_i of a row and shares p_i of the models, n = 1 / sum p_i^2: the row moves by
    (1 - t) sum p_i d_i + t sum d_i, with t from 0 to 1 as n sum p_i^2 |d_i|^2 / |sum p_i d_i|^2
    goes from 1, where all are equal, to n, where they are at right angles.

    Parameters
    ----------
    weights : (n_rows, width) float32
    rows : list of (n,) int32, of each model, ascending
    values : list of (n, width) float32, of each model
    shares : (n_models,) float64, adding up to 1
    scratch : (2, width) float32
    """
    cdef:
        Py_ssize_t width = weights.shape[1], n_rows = weights.shape[0], n_models = len(rows)
        Changes* changes = <Changes*> PyMem_Malloc(n_models * sizeof(Changes))
        float* mean = &scratch[0, 0]
        float* total = &scratch[1, 0]
        double n_equal = 0, apart, together, squares, t
        Py_ssize_t row, j, i
        const float* move
        float* target
        float share, alike
        bint moved
    if changes == NULL:
        raise MemoryError()
    try:
        gather(changes, rows, values, shares)
        for i in range(n_models):
            n_equal += shares[i] * shares[i]
        n_equal = 1 / n_equal
        with nogil:
            for row in range(n_rows):
                moved = False
                apart = together = 0
                for j in range(width):
                    mean[j] = total[j] = 0
                for i in range(n_models):
                    move = reached(changes + i, row, width)
                    if move == NULL:
                        continue
                    moved, share, squares = True, changes[i].share, 0
                    for j in range(width):
                        total[j] += move[j]
                        mean[j] += share * move[j]
                        squares += move[j] * move[j]
                    apart += squares * share * share
                if not moved:
                    continue
                for j in range(width):
                    together += mean[j] * mean[j]
                t = 1
                if n_equal > 1 and n_equal * apart < n_equal * together:
                    t = (n_equal * apart / together - 1) / (n_equal - 1)
                    t = 0 if t < 0 else t
                alike = 1 - t
                target = &weights[row, 0]
                for j in range(width):
                    target[j] += total[j] + alike * (mean[j] - total[j])
    finally:
        PyMem_Free(changes)


def average_states(
    float[:, ::1] state,    # IN/OUT
    list rows,              # IN
    list values,            # IN
    const double[::1] shares,  # IN
):
    """Weighted means of rows of optimizer state; a model that left a row as it was counts with it.

    O(size of state and values). Of products and sums alone: second moments stay at zero or above.

    Parameters
    ----------
    state : (n_rows, width) float32
    rows, values, shares
        As of `add_moves`; values are what the rows have become.
    """
    cdef:
        Py_ssize_t width = state.shape[1], n_rows = state.shape[0], n_models = len(rows)
        Changes* changes = <Changes*> PyMem_Malloc(n_models * sizeof(Changes))
        Py_ssize_t row, j, i
        const float* value
        float* target
        float share, unchanged
        bint moved
    if changes == NULL:
        raise MemoryError()
    try:
        gather(changes, rows, values, shares)
        with nogil:
            for row in range(n_rows):
                unchanged, moved = 1, False
                for i in range(n_models):
                    if at(changes + i, row):
                        unchanged -= changes[i].share
                        moved = True
                if not moved:
                    continue
                unchanged = 0 if unchanged < 0 else unchanged
                target = &state[row, 0]
                for j in range(width):
                    target[j] *= unchanged
                for i in range(n_models):
                    value = reached(changes + i, row, width)
                    if value == NULL:
                        continue
                    share = changes[i].share
                    for j in range(width):
                        target[j] += share * value[j]
    finally:
        PyMem_Free(changes)


cdef int gather(Changes* changes, list rows, list values, const double[::1] shares) except -1:
    """Pointers to the models' arrays, which the lists keep alive."""
    cdef:
        const int[::1] of_rows
        const float[:, ::1] of_values
        Py_ssize_t i
    for i in range(len(rows)):
        of_rows, of_values = rows[i], values[i]
        changes[i].n, changes[i].next, changes[i].share = of_rows.shape[0], 0, shares[i]
        changes[i].rows = &of_rows[0] if changes[i].n > 0 else NULL
        changes[i].values = &of_values[0, 0] if of_values.size > 0 else NULL
    return 0


cdef inline bint at(const Changes* model, Py_ssize_t row) noexcept nogil:
    """Whether the next row that the model has changed is this."""
    return model.next < model.n and model.rows[model.next] == row


cdef inline const float* reached(Changes* model, Py_ssize_t row, Py_ssize_t width) noexcept nogil:
    """The model's values of the row, and on to its next; NULL if it has none."""
    if not at(model, row):
        return NULL
    model.next += 1
    return model.values + (model.next - 1) * width
