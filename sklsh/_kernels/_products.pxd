"""What other kernels use of the dense products."""

from sklsh._kernels._stored cimport stored

cdef enum:
    PANEL = 64         # columns of the right operand worked on at a time


cdef void pack_panel(
    const stored* right, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t k, float* panel
) noexcept nogil
