"""What other kernels use of the losses: one row's gradient, given its logits."""


cdef double softmax_row(
    float* z, const float* offset, Py_ssize_t n, const int* positions,
    const float* label_weight, Py_ssize_t n_labels, float row_weight, double* log_partition,
) noexcept nogil

cdef double logistic_row(
    float* z, const float* offset, const float* weight, Py_ssize_t n, const int* positions,
    const float* label_weight, Py_ssize_t n_labels, float row_weight,
) noexcept nogil
