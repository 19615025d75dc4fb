"""Rows of a parameter, moved by an update rule.

A parameter's state is in two slots, which hold a number for each weight, for each row, or none.
"""

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport N_RULES, ops, update_rule
from sklsh._kernels._stored cimport prefetch_row, stored


cdef inline update_rule checked(int rule) except NULL:
    """The update rule of a number."""
    if not 0 <= rule < N_RULES:
        raise ValueError(f"rule must be in [0, {N_RULES}), a place in row_ops.rules; got {rule}.")
    return ops.rules[rule]


cdef inline int check_rows(const int[::1] rows, Py_ssize_t n_rows, str matrix) except -1:
    """Refuse rows that a matrix does not have."""
    cdef:
        Py_ssize_t i
        unsigned int largest = 0
    for i in range(rows.shape[0]):
        largest = max(largest, <unsigned int> rows[i])  # negative ones are large, too
    if rows.shape[0] and largest >= n_rows:
        raise ValueError(f"rows must lie in [0, {n_rows}), the rows of {matrix}.")


cdef inline float* slot_row(float[:, ::1] slot, Py_ssize_t row) noexcept nogil:
    """Row of a state slot; NULL for the slots of no columns of rules that keep less state."""
    return &slot[row, 0] if slot.shape[1] else NULL


cdef inline void prefetch_state(
    stored[:, ::1] weights, float[:, ::1] slot1, float[:, ::1] slot2, Py_ssize_t row
) noexcept nogil:
    """Ask for a row and its state ahead of its update."""
    prefetch_row(&weights[row, 0], weights.shape[1])
    if slot1.shape[1]:
        prefetch_row(&slot1[row, 0], slot1.shape[1])
    if slot2.shape[1]:
        prefetch_row(&slot2[row, 0], slot2.shape[1])


cdef inline void update_row(
    update_rule update, stored[:, ::1] weights, float[:, ::1] slot1, float[:, ::1] slot2,
    Py_ssize_t row, const float* gradient, const float* hyper, unsigned long long seed,
    float* buffer,
) noexcept nogil:
    """Apply the rule to one row of weights; `buffer` holds it as floats meanwhile."""
    cdef Py_ssize_t width = weights.shape[1]
    if stored is float:
        update(&weights[row, 0], slot_row(slot1, row), slot_row(slot2, row), gradient, hyper,
               width)
    else:
        ops.widen(&weights[row, 0], buffer, width)
        update(buffer, slot_row(slot1, row), slot_row(slot2, row), gradient, hyper, width)
        ops.narrow(buffer, &weights[row, 0], width, <unsigned int> mix(mix(seed) + row))
