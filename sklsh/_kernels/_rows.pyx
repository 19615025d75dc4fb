"""Rows of wide matrices: gathered, summed into embeddings, and updated where touched.

Every matrix here is (n_rows, width) float32, C-contiguous. Loops over scattered rows
prefetch ahead of use.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from sklsh._kernels._simd cimport ops, prefetch_row, update_rule

cdef enum:
    READ_AHEAD = 16    # rows in flight when only read
    WRITE_AHEAD = 4    # rows in flight when weights and two slots are rewritten
    CHUNK = 64         # rows a thread takes at a time


def gather_rows(
    const float[:, ::1] table,   # IN (n_rows, width)
    const int[::1] rows,         # IN (n,)
    float[:, ::1] out,           # OUT (>= n, width)
    int n_threads,
):
    """Copy the rows `rows` of `table` to the head of `out`.

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
        memcpy(&out[i, 0], &table[rows[i], 0], width * sizeof(float))


def embed(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    const float[:, ::1] table,   # IN (n_features, width)
    const float[::1] bias,       # IN (width,)
    float[:, ::1] out,           # OUT (n, width)
    int n_threads,
):
    """Product of a CSR matrix with an embedding table, plus a bias.

    O(nnz width).
    """
    cdef:
        Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0], width = table.shape[1]
        Py_ssize_t n_chunks = (n + CHUNK - 1) // CHUNK
        Py_ssize_t chunk, i, first
    for chunk in prange(n_chunks, num_threads=n_threads, schedule="dynamic", nogil=True):
        for i in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK)):
            memcpy(&out[i, 0], &bias[0], width * sizeof(float))
            first = indptr[i]
            if first < indptr[i + 1]:
                ops.sum_rows(&out[i, 0], width, &table[0, 0], &indices[first], &values[first],
                             indptr[i + 1] - first, nnz - first)


def transpose_batch(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    int[::1] slot,               # SCRATCH (n_features,), kept between calls
    int[::1] features,           # OUT (nnz,)
    int[::1] starts,             # OUT (nnz + 1,)
    int[::1] rows,               # OUT (nnz,)
    float[::1] row_values,       # OUT (nnz,)
):
    """Columns of a CSR batch: its distinct features, and the rows where each stands.

    O(nnz), however many features there are: `slot` maps a feature to its place among
    the distinct ones and is believed only where that place agrees, so it never needs
    clearing. Returns the number of distinct features.
    """
    cdef:
        Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0]
        Py_ssize_t i, j
        int n_distinct = 0, f, s, at
    with nogil:
        for j in range(nnz):
            f = indices[j]
            s = slot[f]
            if s >= n_distinct or features[s] != f:
                s = n_distinct
                slot[f] = s
                features[s] = f
                starts[s + 1] = 0
                n_distinct = n_distinct + 1
            starts[s + 1] += 1
        starts[0] = 0
        for s in range(n_distinct):
            starts[s + 1] += starts[s]
        # starts[s] walks through column s while it fills, and ends where s + 1 begins
        for i in range(n):
            for j in range(indptr[i], indptr[i + 1]):
                s = slot[indices[j]]
                at = starts[s]
                rows[at] = <int> i
                row_values[at] = values[j]
                starts[s] = at + 1
        for s in range(n_distinct, 0, -1):
            starts[s] = starts[s - 1]
        starts[0] = 0
    return n_distinct


cdef update_rule checked(int rule) except NULL:
    if not 0 <= rule < 3:
        raise ValueError(f"rule must be 0 (sgd), 1 (momentum) or 2 (adam); got {rule}.")
    return ops.rules[rule]


cdef inline float* slot_row(float[:, ::1] slot, Py_ssize_t row) noexcept nogil:
    """Row of a state slot; NULL for the empty slots of rules that keep less state."""
    if slot.shape[0] == 0:
        return NULL
    return &slot[row, 0]


cdef inline void prefetch_state(
    float[:, ::1] weights, float[:, ::1] slot1, float[:, ::1] slot2, Py_ssize_t row
) noexcept nogil:
    prefetch_row(&weights[row, 0], weights.shape[1])
    if slot1.shape[0]:
        prefetch_row(&slot1[row, 0], weights.shape[1])
    if slot2.shape[0]:
        prefetch_row(&slot2[row, 0], weights.shape[1])


def step_rows(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    float[:, ::1] weights,       # IN/OUT (n_rows, width)
    float[:, ::1] slot1,         # IN/OUT (n_rows, width) or (0, width)
    float[:, ::1] slot2,         # IN/OUT (n_rows, width) or (0, width)
    const int[::1] rows,         # IN (n,), distinct
    const float[:, ::1] gradient,  # IN (>= n, width)
    int n_threads,
):
    """Apply an update rule to the rows `rows`, given their gradients.

    O(n width).
    """
    cdef:
        Py_ssize_t n = rows.shape[0], width = weights.shape[1]
        Py_ssize_t i, row
        update_rule update = checked(rule)
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        if i + WRITE_AHEAD < n:
            prefetch_state(weights, slot1, slot2, rows[i + WRITE_AHEAD])
        row = rows[i]
        update(&weights[row, 0], slot_row(slot1, row), slot_row(slot2, row),
               &gradient[i, 0], &hyper[0], width)


def step_embedding(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    float[:, ::1] weights,       # IN/OUT (n_features, width)
    float[:, ::1] slot1,         # IN/OUT (n_features, width) or (0, width)
    float[:, ::1] slot2,         # IN/OUT (n_features, width) or (0, width)
    const int[::1] features,     # IN (n,), distinct
    const int[::1] starts,       # IN (>= n + 1,)
    const int[::1] rows,         # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    const float[:, ::1] delta,   # IN (n_batch, width), gradient of the embedded rows
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
        Py_ssize_t chunk, i, f, first
        float* gradient = NULL
        update_rule update = checked(rule)
    with nogil, parallel(num_threads=n_threads):
        gradient = <float*> malloc(width * sizeof(float))
        for chunk in prange(n_chunks, schedule="dynamic"):
            for i in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK)):
                if i + WRITE_AHEAD < n:
                    prefetch_state(weights, slot1, slot2, features[i + WRITE_AHEAD])
                memset(gradient, 0, width * sizeof(float))
                first = starts[i]
                ops.sum_rows(gradient, width, &delta[0, 0], &rows[first], &values[first],
                             starts[i + 1] - first, starts[i + 1] - first)
                f = features[i]
                update(&weights[f, 0], slot_row(slot1, f), slot_row(slot2, f),
                       gradient, &hyper[0], width)
        free(gradient)
