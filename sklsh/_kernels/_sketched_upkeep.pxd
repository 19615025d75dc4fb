"""What is done to a sketched linear model from time to time."""

from sklsh._kernels._active_table cimport Table, keep_heaviest
from sklsh._kernels._cells cimport add_to_cells, hash_of
from sklsh._kernels._sketched_model cimport Model


cdef inline void compact(Model* model) noexcept nogil:
    """Keep the `keep` rows of largest norm; others go back to the sketch. O(capacity)."""
    cdef:
        Table* table = &model.table
        Py_ssize_t row, n_before = table.n
    keep_heaviest(table)
    if not model.mission:
        for row in range(table.n, n_before):
            add_to_cells(&model.tail, hash_of(&model.tail, table.ids[row]), 1,
                         table.weights + row * table.n_columns)


cdef inline void shrink(Model* model) noexcept nogil:
    """Move the weights of the table towards zero by what the l1 penalty has come to."""
    cdef:
        Py_ssize_t i
        float by = model.shrinkage / model.scale, weight
    for i in range(model.table.n * model.table.n_columns):
        weight = model.table.weights[i]
        model.table.weights[i] = max(weight - by, 0) if weight > 0 else min(weight + by, 0)
    model.shrinkage = 0


cdef inline void fold_scale(Model* model) noexcept nogil:
    """Multiply the scale into all weights."""
    cdef Py_ssize_t i
    for i in range((model.n_cells + model.table.n) * model.n_columns):
        model.weights[i] *= model.scale
    model.table.threshold *= model.scale
    model.scale = 1
