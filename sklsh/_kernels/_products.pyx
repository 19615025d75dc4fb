"""The dense products of a training step, on register tiles of our own.

BLAS is not used: its result for one row depends on how many rows stand beside it and,
in threaded builds, on the number of threads. Here c[i, j] is always summed in the order
of k, so a row alone, in a batch and at any thread count gives the same bits.

Widths (second axes) are multiples of 16 floats.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from sklsh._kernels._simd cimport ops
from sklsh._kernels._stored cimport as_float, stored

cdef enum:
    DEPTH = 256        # terms of the sum worked on at a time: a panel of 64 KiB, in L2
    ROWS = 48          # rows of the result a thread takes at a time


cdef void pack_panel(
    const stored* right, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t k, float* panel
) noexcept nogil:
    """panel[p, j] = right[j, p] for p < k, j < n; zero for n <= j < PANEL."""
    cdef Py_ssize_t j, p
    if n < PANEL:
        memset(panel, 0, PANEL * k * sizeof(float))
    # sixteen rows at a time: their lines stay in L1 while the panel is written along
    for j in range(0, n - n % 16, 16):
        for p in range(k):
            pack_16(right + j * stride + p, stride, panel + p * PANEL + j)
    for j in range(n - n % 16, n):
        for p in range(k):
            panel[p * PANEL + j] = as_float(right + j * stride + p)


cdef inline void pack_16(
    const stored* column, Py_ssize_t stride, float* out
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(16):
        out[j] = as_float(column + j * stride)


cdef inline Py_ssize_t n_blocks(Py_ssize_t k) noexcept nogil:
    return (k + DEPTH - 1) // DEPTH


cdef inline Py_ssize_t n_panels(Py_ssize_t n) noexcept nogil:
    return (n + PANEL - 1) // PANEL


cdef inline Py_ssize_t rounded(Py_ssize_t n) noexcept nogil:
    return (n + 15) // 16 * 16


def product_nt(
    const float[:, ::1] left,    # IN (m, k)
    const stored[:, ::1] right,  # IN (>= n, k)
    Py_ssize_t n,
    float[:, ::1] out,           # OUT (m, >= n rounded up to 16)
    int n_threads,
):
    """out[:, :n] = left @ right[:n].T; the columns up to the rounded n become zero.

    O(m n k).
    """
    cdef:
        Py_ssize_t m = left.shape[0], k = left.shape[1], out_row = out.shape[1]
        Py_ssize_t j, block, first, depth, wide
        float* panel = NULL
    if m == 0 or n == 0:
        return
    with nogil, parallel(num_threads=n_threads):
        panel = <float*> malloc(PANEL * DEPTH * sizeof(float))
        for j in prange(n_panels(n), schedule="dynamic"):
            wide = min(n - j * PANEL, PANEL)
            for block in range(n_blocks(k)):
                first = block * DEPTH
                depth = min(k - first, DEPTH)
                pack_panel(&right[j * PANEL, first], k, wide, depth, panel)
                ops.product(m, rounded(wide), depth, &left[0, first], k, 1, panel, PANEL,
                            &out[0, j * PANEL], out_row, first > 0)
        free(panel)


cdef void blocked(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const float* a, Py_ssize_t a_row, Py_ssize_t a_k,
    const float* b, Py_ssize_t b_k, float* c, Py_ssize_t c_row,
) noexcept nogil:
    """c = a b, in blocks of (DEPTH, PANEL) of b that stay in cache for all rows of a."""
    cdef Py_ssize_t block, panel, first, column
    for block in range(n_blocks(k)):
        for panel in range(n_panels(n)):
            first = block * DEPTH
            column = panel * PANEL
            ops.product(m, min(n - column, PANEL), min(k - first, DEPTH),
                        a + first * a_k, a_row, a_k, b + first * b_k + column, b_k,
                        c + column, c_row, first > 0)


def product_nn(
    const float[:, ::1] left,    # IN (m, >= k)
    const float[:, ::1] right,   # IN (>= k, n)
    Py_ssize_t k,
    float[:, ::1] out,           # OUT (m, n)
    int n_threads,
):
    """out = left[:, :k] @ right[:k].

    O(m n k).
    """
    cdef:
        Py_ssize_t m = left.shape[0], n = right.shape[1]
        Py_ssize_t n_chunks = (m + ROWS - 1) // ROWS
        Py_ssize_t i
    if k == 0:
        out[:] = 0.0
        return
    for i in prange(n_chunks, num_threads=n_threads, schedule="dynamic", nogil=True):
        blocked(min(m - i * ROWS, ROWS), n, k, &left[i * ROWS, 0], left.shape[1], 1,
                &right[0, 0], n, &out[i * ROWS, 0], n)


def product_tn(
    const float[:, ::1] left,    # IN (k, >= m)
    const float[:, ::1] right,   # IN (k, n)
    Py_ssize_t m,
    float[:, ::1] out,           # OUT (>= m, n)
    int n_threads,
):
    """out[:m] = left[:, :m].T @ right.

    O(m n k).
    """
    cdef:
        Py_ssize_t k = left.shape[0], n = right.shape[1]
        Py_ssize_t n_chunks = (m + ROWS - 1) // ROWS
        Py_ssize_t i
    if k == 0:
        out[:m] = 0.0
        return
    for i in prange(n_chunks, num_threads=n_threads, schedule="dynamic", nogil=True):
        blocked(min(m - i * ROWS, ROWS), n, k, &left[0, i * ROWS], 1, left.shape[1],
                &right[0, 0], n, &out[i * ROWS, 0], n)
