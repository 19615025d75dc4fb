"""A layer of which each row has a few units, above rows of few values.

Rows are CSR, below as above: of the layer's units those that a row has, ascending, with their
activations. Weights are (n_units, width), a row for each unit.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from sklsh._kernels._active_table cimport kth_largest
from sklsh._kernels._simd cimport ops, prefetch_bytes, update_rule
from sklsh._kernels._updates cimport check_rows, checked

cdef enum:
    READ_AHEAD = 8     # rows of weights in flight
    SPARSE = 16        # places for each value, from which zeros are not multiplied by
    CHUNK = 8          # units a thread takes at a time
    VECTORS = 4        # of a unit's width that its update works on: gradient, weights, state


def activate(
    const int[::1] indptr,       # IN (n + 1,): the rows below
    const int[::1] indices,      # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    const float[:, ::1] weights,  # IN (n_units, width)
    const float[::1] bias,       # IN (n_units,)
    const int[:, ::1] candidates,  # IN (n, m): units that each row looks at, ascending
    const int[::1] n_candidates,  # IN (n,): how many of the m places are filled
    int[:, ::1] units,           # OUT (n, k)
    float[:, ::1] activations,   # OUT (n, k)
    int[::1] n_active,           # OUT (n,): how many of the k places are filled
    int n_threads,
):
    """The k candidates of largest activation, as far as it is positive, ascending.

    O(m nnz of the row) for a row.
    """
    cdef:
        Py_ssize_t n = candidates.shape[0], m = candidates.shape[1], width = weights.shape[1], i
        float* scores = NULL
        float* dense = NULL
    check_rows(indices, width, "the weights, transposed")
    with nogil, parallel(num_threads=n_threads):
        scores = <float*> malloc((2 * m + 1) * sizeof(float))
        dense = <float*> calloc(width, sizeof(float))
        for i in prange(n, schedule="dynamic", chunksize=4):
            score_row(&indices[0] + indptr[i], &values[0] + indptr[i], indptr[i + 1] - indptr[i],
                      weights, bias, &candidates[i, 0], n_candidates[i], dense, scores)
            n_active[i] = <int> keep_largest(
                &candidates[i, 0], scores, n_candidates[i], units.shape[1], scores + m,
                &units[i, 0], &activations[i, 0])
        free(scores)
        free(dense)


cdef void score_row(
    const int* indices, const float* values, Py_ssize_t nnz,
    const float[:, ::1] weights, const float[::1] bias,
    const int* candidates, Py_ssize_t n, float* dense, float* scores,
) noexcept nogil:
    """Weighted sums of a row at its candidates; `dense` is zero before and after."""
    cdef:
        Py_ssize_t width = weights.shape[1], i, j
        bint is_dense = SPARSE * nnz > width
    if is_dense:
        for j in range(nnz):
            dense[indices[j]] += values[j]
    for i in range(min(n, READ_AHEAD)):
        prefetch_bytes(&weights[candidates[i], 0], width * sizeof(float))
    for i in range(n):
        if i + READ_AHEAD < n:
            prefetch_bytes(&weights[candidates[i + READ_AHEAD], 0], width * sizeof(float))
        if is_dense:
            scores[i] = ops.dot(dense, &weights[candidates[i], 0], width)
        else:
            scores[i] = ops.sparse_dot(values, indices, &weights[candidates[i], 0], nnz)
        scores[i] += bias[candidates[i]]
    if is_dense:
        for j in range(nnz):
            dense[indices[j]] = 0


cdef Py_ssize_t keep_largest(
    const int* candidates, const float* scores, Py_ssize_t n, Py_ssize_t k, float* scratch,
    int* units, float* activations,
) noexcept nogil:
    """The k of largest score, of equal ones the first, if it is positive; returns how many.

    A score that is not a number is passed on alone, for the loss to show it.
    """
    cdef:
        Py_ssize_t i, n_positive = 0, n_equal = 0, n_kept = 0
        float least = 0
    for i in range(n):
        if scores[i] != scores[i]:
            units[0] = candidates[i]
            activations[0] = scores[i]
            return 1
        scratch[n_positive] = scores[i]
        n_positive += scores[i] > 0
    if n_positive > k:
        least = kth_largest(scratch, n_positive, k)
        n_equal = k              # of those of just this score, as many as are left
        for i in range(n):
            n_equal -= scores[i] > least
    for i in range(n):
        if scores[i] == least and n_equal > 0:
            n_equal -= 1
        elif not scores[i] > least:
            continue
        units[n_kept] = candidates[i]
        activations[n_kept] = scores[i]
        n_kept += 1
    return n_kept


def gradient_below(
    const int[::1] starts,       # IN (n + 1,): row i has the units units[starts[i]:starts[i + 1]]
    const int[::1] units,        # IN (n_active,)
    const float[::1] delta,      # IN (n_active,): gradient by their activations
    const float[:, ::1] weights,  # IN (n_units, width)
    const int[::1] indptr,       # IN (n + 1,): the rows below
    const int[::1] indices,      # IN (nnz,)
    float[::1] out,              # OUT (nnz,): gradient by the values below
    int n_threads,
):
    """Gradient by the values that the rows below have.

    O(n_active nnz of a row) in all.
    """
    cdef Py_ssize_t n = starts.shape[0] - 1, i, j, first, nnz
    check_rows(indices, weights.shape[1], "the weights, transposed")
    check_rows(units, weights.shape[0], "the weights")
    for i in prange(n, num_threads=n_threads, schedule="dynamic", chunksize=4, nogil=True):
        first = indptr[i]
        nnz = indptr[i + 1] - first
        if nnz == 0:
            continue
        memset(&out[first], 0, nnz * sizeof(float))
        for j in range(starts[i], starts[i + 1]):
            if j + READ_AHEAD < starts[i + 1]:
                prefetch_bytes(&weights[units[j + READ_AHEAD], 0],
                               weights.shape[1] * sizeof(float))
            ops.add_picked(&out[first], delta[j], &weights[units[j], 0], &indices[first], nnz)


def step_units(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    float[:, ::1] weights,       # IN/OUT (n_units, width)
    float[:, ::1] slot1,         # IN/OUT (n_units, width, 1 or 0)
    float[:, ::1] slot2,         # IN/OUT (n_units, width, 1 or 0)
    const int[::1] units,        # IN (n,), distinct
    const int[::1] starts,       # IN (n + 1,): unit i is active in rows[starts[i]:starts[i + 1]]
    const int[::1] rows,         # IN (n_active,)
    const float[::1] delta,      # IN (n_active,): gradient by its activation there
    const int[::1] indptr,       # IN (n_rows + 1,): the rows below
    const int[::1] indices,      # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    int n_threads,
):
    """Apply an update rule to the weights that have a gradient, of the units that have one.

    A weight has one where its unit is active in a row that has the weight's value below.
    O(n_active nnz of a row) in all.
    """
    cdef:
        Py_ssize_t n = units.shape[0], width = weights.shape[1]
        Py_ssize_t n_chunks = (n + CHUNK - 1) // CHUNK, chunk, i, n_places
        float* work = NULL
        int* places = NULL
        char* marks = NULL
        update_rule update = checked(rule)
    check_rows(units, weights.shape[0], "the weights")
    check_rows(rows, indptr.shape[0] - 1, "the rows below")
    check_rows(indices, width, "the weights, transposed")
    with nogil, parallel(num_threads=n_threads):
        work = <float*> malloc((1 + VECTORS) * width * sizeof(float))
        memset(work, 0, width * sizeof(float))
        places = <int*> malloc((width + 1) * sizeof(int))  # one is written ahead
        marks = <char*> calloc(width, 1)
        for chunk in prange(n_chunks, schedule="dynamic"):
            for i in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK)):
                n_places = sum_gradient(
                    &rows[starts[i]], &delta[starts[i]], starts[i + 1] - starts[i],
                    indptr, indices, values, work, places, marks)
                step_places(update, &hyper[0], weights, slot1, slot2, units[i],
                            places, n_places, work, work + width)
        free(work)
        free(places)
        free(marks)


cdef Py_ssize_t sum_gradient(
    const int* rows, const float* delta, Py_ssize_t n,
    const int[::1] indptr, const int[::1] indices, const float[::1] values,
    float* gradient, int* places, char* marks,
) noexcept nogil:
    """Add up rows times delta, and note where they have values; returns at how many places.

    `gradient` and `marks` are zero before; marks are after.
    """
    cdef:
        Py_ssize_t i, j, n_places = 0
        int place
    for i in range(n):
        for j in range(indptr[rows[i]], indptr[rows[i] + 1]):
            place = indices[j]
            places[n_places] = place
            n_places += marks[place] == 0
            marks[place] = 1
            gradient[place] += delta[i] * values[j]
    for j in range(n_places):
        marks[places[j]] = 0
    return n_places


cdef void step_places(
    update_rule update, const float* hyper, float[:, ::1] weights, float[:, ::1] slot1,
    float[:, ::1] slot2, Py_ssize_t unit, const int* places, Py_ssize_t n, float* gradient,
    float* work,
) noexcept nogil:
    """Apply the rule to a unit's weights at some places; `gradient` is zero after."""
    cdef:
        Py_ssize_t width = weights.shape[1], j
        float* picked = work
        float* w = work + width
        float* first = state_at(slot1, unit, width, places, n, work + 2 * width)
        float* second = state_at(slot2, unit, width, places, n, work + 3 * width)
    ops.pick(gradient, places, picked, n)
    ops.pick(&weights[unit, 0], places, w, n)
    update(w, first, second, picked, hyper, n)
    for j in range(n):
        weights[unit, places[j]] = w[j]
        gradient[places[j]] = 0
    put_state(slot1, unit, width, places, n, first)
    put_state(slot2, unit, width, places, n, second)


cdef inline float* state_at(
    float[:, ::1] slot, Py_ssize_t unit, Py_ssize_t width, const int* places, Py_ssize_t n,
    float* picked,
) noexcept nogil:
    """A unit's state at the places; the row's own number, or none, if no weight has one."""
    if slot.shape[1] == 0:
        return NULL
    if slot.shape[1] != width:
        return &slot[unit, 0]
    ops.pick(&slot[unit, 0], places, picked, n)
    return picked


cdef inline void put_state(
    float[:, ::1] slot, Py_ssize_t unit, Py_ssize_t width, const int* places, Py_ssize_t n,
    const float* picked,
) noexcept nogil:
    cdef Py_ssize_t j
    if slot.shape[1] == width:
        for j in range(n):
            slot[unit, places[j]] = picked[j]
