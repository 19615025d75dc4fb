"""Between the products of the hidden layers: the gradient through a ReLU and its bias."""

from cython.parallel import prange

cdef enum:
    CHUNK = 32  # columns a thread takes at a time, two cache lines


def relu_gradient(
    const float[:, ::1] activations,  # IN (n, width), what the ReLU let through
    float[:, ::1] delta,         # IN/OUT (n, width), gradient by them, then by what came in
    float[::1] d_bias,           # OUT (width,), sums of the latter's columns
    int n_threads,
):
    """Carry a gradient down through a ReLU to the bias before it.

    O(n width).
    """
    cdef:
        Py_ssize_t n = delta.shape[0], width = delta.shape[1]
        Py_ssize_t n_chunks = (width + CHUNK - 1) // CHUNK
        Py_ssize_t chunk, i, first, last
    for chunk in prange(n_chunks, num_threads=n_threads, schedule="static", nogil=True):
        first = chunk * CHUNK
        last = min(width, first + CHUNK)
        for i in range(first, last):
            d_bias[i] = 0
        for i in range(n):
            mask_and_add(&activations[i, first], &delta[i, first], &d_bias[first], last - first)


cdef inline void mask_and_add(
    const float* activation, float* delta, float* total, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        delta[i] = delta[i] if activation[i] > 0 else 0
        total[i] += delta[i]
