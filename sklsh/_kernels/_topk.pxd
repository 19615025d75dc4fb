"""What other kernels use of the exact top-k."""


cdef void rank_block(
    Py_ssize_t n_rows, Py_ssize_t n_classes, Py_ssize_t first,
    const float* bias, float* logits, int* ids, float* scores, Py_ssize_t k,
) noexcept nogil
