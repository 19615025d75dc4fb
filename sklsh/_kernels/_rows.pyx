"""Rows of wide matrices: gathered, summed, scored, and updated where touched.

Every matrix here is (n_rows, width), C-contiguous. Weights are float32 or bfloat16, the
latter in the bits of uint16; arithmetic is in float32. Loops over scattered rows prefetch
ahead of use.
"""

from cython.parallel import prange, threadid
from libc.string cimport memcpy, memset

from sklsh._kernels._columns cimport key, sort_columns
from sklsh._kernels._simd cimport ops, update_rule
from sklsh._kernels._stored cimport dot, prefetch_row, read_row, stored, sum_rows
from sklsh._kernels._updates cimport check_rows, checked, prefetch_state, update_row

cdef enum:
    READ_AHEAD = 16    # rows in flight when only read
    WRITE_AHEAD = 24   # rows in flight when weights and their state are rewritten
    CHUNK = 64         # rows a thread takes at a time
    SUMS = 8           # sums of many rows that a thread takes at a time


def gather_rows(
    const stored[:, ::1] table,  # IN (n_rows, width)
    const int[::1] rows,         # IN (n,)
    float[:, ::1] out,           # OUT (>= n, width)
    int n_threads,
):
    """Copy the rows `rows` of `table`, as floats, to the head of `out`.

    O(n width).
    """
    cdef:
        Py_ssize_t n = rows.shape[0], width = table.shape[1]
        Py_ssize_t i
    if n == 0:
        return
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        if i + READ_AHEAD < n:
            prefetch_row(&table[rows[i + READ_AHEAD], 0], width)
        read_row(&table[rows[i], 0], &out[i, 0], width)


cdef inline void embed_rows(
    const int[::1] indptr, const int[::1] indices, const float[::1] values,
    const stored[:, ::1] table, const float[::1] bias, float[:, ::1] out, bint relu,
    Py_ssize_t first,
) noexcept nogil:
    """SUMS rows of the product from `first` on."""
    cdef:
        Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0], width = table.shape[1]
        Py_ssize_t i, k, start
    for i in range(first, min(n, first + SUMS)):
        memcpy(&out[i, 0], &bias[0], width * sizeof(float))
        start = indptr[i]
        if start < indptr[i + 1]:
            sum_rows(&out[i, 0], width, &table[0, 0], &indices[start], &values[start],
                     indptr[i + 1] - start, nnz - start)
        if relu:
            for k in range(width):
                out[i, k] = max(out[i, k], 0)


def embed(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    const stored[:, ::1] table,  # IN (n_features, width)
    const float[::1] bias,       # IN (width,)
    float[:, ::1] out,           # OUT (n, width)
    int n_threads,
    bint relu=False,
):
    """Product of a CSR matrix with an embedding table, plus a bias, perhaps through a ReLU.

    O(nnz width).
    """
    cdef Py_ssize_t chunk, n_chunks = (indptr.shape[0] - 1 + SUMS - 1) // SUMS
    for chunk in prange(n_chunks, num_threads=n_threads, schedule="dynamic", nogil=True):
        embed_rows(indptr, indices, values, table, bias, out, relu, chunk * SUMS)


def transpose_batch(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,), below 2 ** n_bits
    const float[::1] values,     # IN (nnz,)
    int n_bits,
    key[:, ::1] keys,            # SCRATCH (2, >= nnz)
    int[::1] row_of,             # SCRATCH (>= nnz,)
    int[::1] features,           # OUT (>= nnz,)
    int[::1] starts,             # OUT (>= nnz + 1,)
    int[::1] rows,               # OUT (>= nnz,)
    float[::1] row_values,       # OUT (>= nnz,)
):
    """Columns of a CSR batch: its distinct features, ascending, and the rows where each stands.

    O(nnz). Returns the number of distinct features.
    """
    cdef Py_ssize_t n_distinct
    with nogil:
        n_distinct = sort_columns(
            &indptr[0], indptr.shape[0] - 1, &indices[0], &values[0], n_bits,
            &keys[0, 0], &keys[1, 0], &row_of[0], &features[0], &starts[0], &rows[0],
            &row_values[0],
        )
    return n_distinct


def embed_and_transpose(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,), below 2 ** n_bits
    const float[::1] values,     # IN (nnz,)
    const stored[:, ::1] table,  # IN (n_features, width)
    const float[::1] bias,       # IN (width,)
    float[:, ::1] out,           # OUT (n, width)
    int n_threads,
    int n_bits,
    key[:, ::1] keys,            # SCRATCH (2, >= nnz)
    int[::1] row_of,             # SCRATCH (>= nnz,)
    int[::1] features,           # OUT (>= nnz,)
    int[::1] starts,             # OUT (>= nnz + 1,)
    int[::1] rows,               # OUT (>= nnz,)
    float[::1] row_values,       # OUT (>= nnz,)
    bint relu=True,
):
    """`embed`, as a rule through a ReLU, and `transpose_batch`, by one thread while others embed.

    A sort of so little does not gain from being shared; the sums of the embedding do, and
    take several times as long. Returns the number of distinct features.
    """
    cdef:
        Py_ssize_t n = indptr.shape[0] - 1, n_distinct = 0
        Py_ssize_t n_chunks = (n + SUMS - 1) // SUMS
        Py_ssize_t task
    for task in prange(1 + n_chunks, num_threads=n_threads, schedule="dynamic", nogil=True):
        if task == 0:
            n_distinct += sort_columns(
                &indptr[0], n, &indices[0], &values[0], n_bits, &keys[0, 0], &keys[1, 0],
                &row_of[0], &features[0], &starts[0], &rows[0], &row_values[0],
            )
        else:
            embed_rows(indptr, indices, values, table, bias, out, relu, (task - 1) * SUMS)
    return n_distinct


def score(
    const float[:, ::1] hidden,  # IN (n, width)
    const stored[:, ::1] table,  # IN (n_rows, width)
    const int[::1] starts,       # IN (n + 1,)
    const int[::1] ids,          # IN (nnz,): row i meets table rows ids[starts[i]:starts[i + 1]]
    float[::1] out,              # OUT (nnz,)
    int n_threads,
):
    """Dot product of each row with the table rows of its own that it names.

    O(nnz width).
    """
    cdef:
        Py_ssize_t n = hidden.shape[0], nnz = ids.shape[0], width = table.shape[1]
        Py_ssize_t i, j
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        for j in range(starts[i], starts[i + 1]):
            if j + READ_AHEAD < nnz:
                prefetch_row(&table[ids[j + READ_AHEAD], 0], width)
            out[j] = dot(&hidden[i, 0], &table[ids[j], 0], width)


def step_rows(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    unsigned long long seed,     # of the rounding to bfloat16, new in each step
    stored[:, ::1] weights,      # IN/OUT (n_rows, width)
    float[:, ::1] slot1,         # IN/OUT (n_rows, width, 1 or 0)
    float[:, ::1] slot2,         # IN/OUT (n_rows, width, 1 or 0)
    const int[::1] rows,         # IN (n,), distinct
    const float[:, ::1] gradient,  # IN (>= n, width)
    float[:, ::1] buffers,       # SCRATCH (>= n_threads, >= width)
    int n_threads,
):
    """Apply an update rule to the rows `rows`, given their gradients.

    O(n width).
    """
    cdef:
        Py_ssize_t n = rows.shape[0]
        Py_ssize_t i
        update_rule update = checked(rule)
    check_rows(rows, weights.shape[0], "the weights")
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        if i + WRITE_AHEAD < n:
            prefetch_state(weights, slot1, slot2, rows[i + WRITE_AHEAD])
        update_row(update, weights, slot1, slot2, rows[i], &gradient[i, 0], &hyper[0], seed,
                   &buffers[threadid(), 0])


def step_embedding(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    unsigned long long seed,     # of the rounding to bfloat16, new in each step
    stored[:, ::1] weights,      # IN/OUT (n_features, width)
    float[:, ::1] slot1,         # IN/OUT (n_features, width, 1 or 0)
    float[:, ::1] slot2,         # IN/OUT (n_features, width, 1 or 0)
    const int[::1] features,     # IN (n,), distinct
    const int[::1] starts,       # IN (>= n + 1,)
    const int[::1] rows,         # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    const float[:, ::1] delta,   # IN (n_batch, width), gradient of the embedded rows
    float[:, ::1] buffers,       # SCRATCH (>= n_threads, >= 2 width)
    int n_threads,
):
    """Apply an update rule to the embedding of each feature the batch contains.

    The gradient of feature f is the sum of its values times `delta`, over the rows where
    it stands; it lives in one buffer a thread and is used up at once.

    O(nnz width).
    """
    cdef:
        Py_ssize_t n = features.shape[0], width = weights.shape[1]
        Py_ssize_t n_chunks = (n + CHUNK - 1) // CHUNK
        Py_ssize_t chunk, i, first
        float* gradient
        update_rule update = checked(rule)
    check_rows(features, weights.shape[0], "the weights")
    check_rows(rows, delta.shape[0], "delta")
    for chunk in prange(n_chunks, num_threads=n_threads, schedule="dynamic", nogil=True):
        gradient = &buffers[threadid(), 0]
        for i in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK)):
            if i + WRITE_AHEAD < n:
                prefetch_state(weights, slot1, slot2, features[i + WRITE_AHEAD])
            memset(gradient, 0, width * sizeof(float))
            first = starts[i]
            ops.sum_rows(gradient, width, &delta[0, 0], &rows[first], &values[first],
                         starts[i + 1] - first, starts[i + 1] - first)
            update_row(update, weights, slot1, slot2, features[i], gradient, &hyper[0], seed,
                       gradient + width)
