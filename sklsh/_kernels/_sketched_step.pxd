"""The step of a batch, each thread's share of it, and which features it made heavy."""

from sklsh._kernels._active_table cimport norm
from sklsh._kernels._sketched_model cimport Model, read_weight, sign_at

ctypedef struct Rows:
    const Py_ssize_t* indptr
    const float* values
    const float* targets
    const float* row_weights

ctypedef struct Batch:
    const Py_ssize_t* rows      # (n,)
    Py_ssize_t n
    const Py_ssize_t* starts    # (n + 1,): where rows' entries begin, among those of the pass
    int* places                 # (n_entries, n_places), of the batch
    unsigned char* promising    # (n_entries,): whether the feature may deserve a row
    int n_places
    float* gradients            # (n, n_columns)
    float* losses               # (n,)
    float step                  # learning rate over scale

cdef inline bint is_mine(int row, Py_ssize_t n_columns, int thread, int n_threads) noexcept nogil:
    """Whether a row of weights belongs to this thread: cache lines are dealt at random."""
    cdef unsigned int line = <unsigned int> ((row * n_columns) >> 4) * 0x9E3779B1u
    return n_threads == 1 or <int> ((<unsigned long long> line * n_threads) >> 32) == thread


cdef inline Py_ssize_t start_of(const Batch* batch, Py_ssize_t i) noexcept nogil:
    """Where the entries of row i begin, among those of the batch."""
    return batch.starts[i] - batch.starts[0]


cdef inline Py_ssize_t first_row_of(const Batch* batch, int thread, int n_threads) noexcept nogil:
    """Rows of the batch are scored by the thread from here on to the first one of the next."""
    return batch.n * thread // n_threads


cdef inline Py_ssize_t take_step(
    Model* model, const Rows* rows, const Batch* batch, int thread, int n_threads
) noexcept nogil:
    """Move what is this thread's of table and cells.

    With one row of cells, returns for how many entries they now pass the threshold.
    """
    cdef:
        Py_ssize_t i, j, p, c, n_columns = model.n_columns, n_promising = 0
        int r, row, depth = model.tail.depth
        const int* places
        const float* gradient
        float delta
    for i in range(batch.n):
        gradient = batch.gradients + i * n_columns
        p = rows.indptr[batch.rows[i]]
        for j in range(start_of(batch, i), start_of(batch, i + 1)):
            places = batch.places + j * batch.n_places
            for r in range(depth):
                row = places[r] >> 1
                if is_mine(row, n_columns, thread, n_threads):
                    delta = -sign_at(places[r]) * batch.step * rows.values[p]
                    for c in range(n_columns):
                        model.weights[row * n_columns + c] += delta * gradient[c]
                    if depth == 1 and row < model.n_cells and not model.mission and norm(
                        model.weights + row * n_columns, n_columns
                    ) > model.table.threshold:
                        batch.promising[j] = True
                        n_promising += 1
                if row >= model.n_cells:
                    break
            p += 1
    return n_promising


cdef inline Py_ssize_t look_for_heavy(
    const Model* model, const Batch* batch, Py_ssize_t first, Py_ssize_t last, float* buffer
) noexcept nogil:
    """Mark entries of some rows whose feature has passed the threshold outside of the table."""
    cdef:
        Py_ssize_t j, n_promising = 0
        int depth = model.tail.depth
        const int* places
    for j in range(start_of(batch, first), start_of(batch, last)):
        places = batch.places + j * batch.n_places
        if places[depth] < 0 if model.mission else places[0] < 2 * model.n_cells:
            read_weight(model, places, depth, buffer)
            if norm(buffer, model.n_columns) > model.table.threshold:
                batch.promising[j] = True
                n_promising += 1
    return n_promising


cdef inline void refresh(
    Model* model, const Batch* batch, int thread, int n_threads
) noexcept nogil:
    """Heavy hitters of the batch <- what the sketch says of them now."""
    cdef:
        Py_ssize_t j, n_columns = model.n_columns
        int row, depth = model.tail.depth
    for j in range(start_of(batch, batch.n)):
        row = batch.places[j * batch.n_places + depth]
        if row >= 0 and is_mine(row, n_columns, thread, n_threads):
            read_weight(model, batch.places + j * batch.n_places, depth,
                        model.table.weights + row * n_columns)
