"""Between the products of the layers: dropout, the gradient through a ReLU, biases', lengths."""

from cython.parallel import prange
from libc.math cimport sqrtf
from libc.string cimport memset

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport ops

cdef enum:
    LANES = 16     # floats in a cache line
    STRIPE = 1024  # columns that a thread sums at a time: their sums stay in L1
    DRAWS = 4      # units that one random number decides on, each by 16 of its bits


def drop_units(
    float[:, ::1] activations,   # IN/OUT (n, width), width a multiple of DRAWS
    double rate,
    unsigned long long seed,
    int n_threads,
):
    """Set each activation to zero with probability `rate`, and scale the others up to match.

    The probability is rounded down to a multiple of 2 ** -16. O(n width).
    """
    cdef:
        Py_ssize_t n = activations.shape[0], width = activations.shape[1], i
        unsigned int threshold = drop_threshold(rate)
        float scale = drop_scale(rate)
        unsigned long long salt = mix(seed)
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        drop(&activations[i, 0], width, threshold, scale, salt + <unsigned long long> (i * width))


cdef inline unsigned int drop_threshold(double rate) noexcept nogil:
    """What 16 random bits must reach for a unit to be kept."""
    return <unsigned int> (rate * 65536)


cpdef float drop_scale(double rate):
    """What `drop_units` multiplies the units by that it keeps."""
    return 65536.0 / (65536 - drop_threshold(rate))


cdef inline void drop(
    float* activation, Py_ssize_t n, unsigned int threshold, float scale, unsigned long long salt
) noexcept nogil:
    cdef:
        Py_ssize_t draw, k
        unsigned long long bits
    for draw in range(n // DRAWS):
        bits = mix(salt + <unsigned long long> draw)
        for k in range(DRAWS):
            activation[DRAWS * draw + k] *= (
                scale if ((bits >> (16 * k)) & 0xffff) >= threshold else 0
            )


def relu_gradient(
    const float[:, ::1] activations,  # IN (n, width), what the ReLU let through
    float[:, ::1] delta,         # IN/OUT (n, width), gradient by them, then by what came in
    float[::1] d_bias,           # OUT (width,), sums of the latter's columns
    int n_threads,
    float scale=1,
):
    """Carry a gradient down through a ReLU to the bias before it, times `scale`.

    A unit that was dropped let nothing through, so that with the scale of `drop_units` this
    is the gradient through dropout as well. O(n width).
    """
    cdef:
        Py_ssize_t n = delta.shape[0], width = delta.shape[1]
        Py_ssize_t n_lines = (width + LANES - 1) // LANES
        Py_ssize_t share = LANES * ((n_lines + n_threads - 1) // n_threads)
        Py_ssize_t t, i, first, last
    for t in prange(n_threads, num_threads=n_threads, schedule="static", nogil=True):
        first = min(width, t * share)
        last = min(width, first + share)
        for i in range(first, last):
            d_bias[i] = 0
        for i in range(n):
            mask_and_add(&activations[i, 0] + first, &delta[i, 0] + first, &d_bias[0] + first,
                         last - first, scale)


cdef inline void mask_and_add(
    const float* activation, float* delta, float* total, Py_ssize_t n, float scale
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        delta[i] = scale * delta[i] if activation[i] > 0 else 0
        total[i] += delta[i]


def column_sums(
    const float[:, ::1] delta,   # IN (n_batch, >= n)
    float[::1] out,              # OUT (n,)
    int n_threads,
):
    """Sums of the first n columns, in the order of the rows.

    O(n_batch n).
    """
    cdef:
        Py_ssize_t n = out.shape[0], stripe, first, n_columns, i
    for stripe in prange((n + STRIPE - 1) // STRIPE, num_threads=n_threads, schedule="static",
                         nogil=True):
        first = stripe * STRIPE
        n_columns = min(n - first, STRIPE)
        memset(&out[first], 0, n_columns * sizeof(float))
        for i in range(delta.shape[0]):
            ops.add(&out[first], &delta[i, first], n_columns)


def scale_to_unit(
    float[:, ::1] weights,       # IN/OUT (n_rows, width)
    const int[::1] ids,          # IN (n,), distinct
    int n_threads,
):
    """Scale the rows `ids` to unit length; those of zeros stay. O(n width)."""
    cdef Py_ssize_t i
    for i in prange(ids.shape[0], num_threads=n_threads, schedule="static", nogil=True):
        scale_row(&weights[ids[i], 0], weights.shape[1])


cdef inline void scale_row(float* row, Py_ssize_t n) noexcept nogil:
    cdef:
        float square = ops.dot(row, row, n), factor
        Py_ssize_t k
    if square > 0:
        factor = 1 / sqrtf(square)
        for k in range(n):
            row[k] *= factor
