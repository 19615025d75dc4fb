"""Rows of weights stored as float, or as bfloat16 in the bits of an unsigned short.

Kernels are written once over the fused type `stored`; Cython compiles them for both.
"""

from libc.string cimport memcpy

from sklsh._kernels._simd cimport ops, prefetch_bytes

ctypedef fused stored:
    float
    unsigned short


cdef inline void prefetch_row(const stored* row, Py_ssize_t n) noexcept nogil:
    """Ask for the n elements at `row` ahead of their use."""
    prefetch_bytes(row, n * sizeof(stored))


cdef inline float as_float(const stored* x) noexcept nogil:
    """One element as a float."""
    cdef:
        unsigned int bits
        float wide
    if stored is float:
        return x[0]
    else:
        bits = (<unsigned int> x[0]) << 16
        memcpy(&wide, &bits, sizeof(float))
        return wide


cdef inline float dot(const float* x, const stored* row, Py_ssize_t n) noexcept nogil:
    """sum_i x[i] row[i]"""
    if stored is float:
        return ops.dot(x, row, n)
    else:
        return ops.dot_bf16(x, row, n)


cdef inline void sum_rows(
    float* out, Py_ssize_t width, const stored* table, const int* rows, const float* values,
    Py_ssize_t n, Py_ssize_t n_known,
) noexcept nogil:
    """out += sum_j values[j] table[rows[j]], j < n; asks ahead for rows up to n_known."""
    if stored is float:
        ops.sum_rows(out, width, table, rows, values, n, n_known)
    else:
        ops.sum_rows_bf16(out, width, table, rows, values, n, n_known)


cdef inline void read_row(const stored* row, float* out, Py_ssize_t n) noexcept nogil:
    """out <- row, in floats"""
    if stored is float:
        memcpy(out, row, n * sizeof(float))
    else:
        ops.widen(row, out, n)


cdef inline const float* as_floats(const stored* row, float* buffer, Py_ssize_t n) noexcept nogil:
    """The row in floats: itself, or a copy in the buffer."""
    if stored is float:
        return row
    else:
        ops.widen(row, buffer, n)
        return buffer


cdef inline void spread(
    const stored* row, Py_ssize_t n, Py_ssize_t stride, float* lane
) noexcept nogil:
    """lane[i * stride] <- row[i]: one of the vectors that stand side by side."""
    cdef Py_ssize_t i
    for i in range(n):
        lane[i * stride] = as_float(row + i)
