"""Rows of weights whose moments are in count-sketches, updated where touched.

A moment's sketch is (depth * width, n_columns) floats: `depth` rows of `width` cells, each cell
a vector as long as a row of weights. A row of weights has one cell in each row of the sketch,
the same in the sketches of both moments, and signs for the first moment. The first moment is
the median of its cells times their signs, the second one the minimum of its cells.

A row's update asks for its moments, applies the rule to them as to state of its own, and adds
what has changed to all of its cells, whatever the others have brought there. The sketch stays
a sum over rows, and the median and the minimum of the cells change by just as much. In a sketch
of one row the cells are the moments, but for a sign, and the rule moves them in place.

Columns do not meet: each thread works through all rows, in order, on columns of its own. The
result is the same for any number of threads, and a row's cells are in the cache when it adds.
"""

from cython.parallel import prange, threadid
from libc.string cimport memset

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport MOST_CELLS, ops, prefetch_bytes, update_rule
from sklsh._kernels._stored cimport prefetch_row, stored
from sklsh._kernels._updates cimport check_rows, checked

cdef enum:
    CELLS_AHEAD = 24     # cells in flight of each moment, those of a row together
    BLOCK = 256          # features whose gradients are summed before their update
    LINE = 16            # floats in a cache line, which two threads do not share
    BUFFERS = 5          # vectors that an update needs: both moments, before and after, weights
    COLUMN_STEP = 0x9E3779B9  # by which `narrow` counts columns

DEEPEST = MOST_CELLS
GRADIENTS_AT_A_TIME = BLOCK
VECTORS_A_THREAD = BUFFERS

ctypedef struct Sketches:
    float* first             # NULL where a rule keeps no such moment
    float* second
    Py_ssize_t width, n_columns
    int depth
    unsigned long long salt


cdef Sketches as_sketches(
    float[:, ::1] first, float[:, ::1] second, int depth, unsigned long long seed
):
    cdef Sketches sketches
    if not 1 <= depth <= MOST_CELLS:
        raise ValueError(f"depth must be in [1, {MOST_CELLS}]; got {depth}.")
    sketches.first = &first[0, 0] if first.shape[1] else NULL
    sketches.second = &second[0, 0] if second.shape[1] else NULL
    sketches.width = max(first.shape[0], second.shape[0]) // depth
    sketches.n_columns = max(first.shape[1], second.shape[1])
    sketches.depth = depth
    sketches.salt = mix(seed)
    return sketches


cdef inline Py_ssize_t cell_of(
    const Sketches* sketches, Py_ssize_t row, int r, float* sign
) noexcept nogil:
    """Where the r-th cell of a row of weights begins; its sign there, from a bit of its own."""
    cdef:
        unsigned long long bits = mix(
            sketches.salt + <unsigned long long> row * sketches.depth + <unsigned long long> r
        )
        Py_ssize_t place = ((bits >> 32) * <unsigned long long> sketches.width) >> 32
    sign[0] = 1 - 2 * <int> (bits & 1)
    return (r * sketches.width + place) * sketches.n_columns


cdef inline void prefetch_columns(
    const Sketches* sketches, Py_ssize_t row, Py_ssize_t first, Py_ssize_t n
) noexcept nogil:
    """Ask for n columns of a row's cells ahead of their use."""
    cdef:
        int r
        float sign
        Py_ssize_t cell
    for r in range(sketches.depth):
        cell = cell_of(sketches, row, r, &sign) + first
        if sketches.first != NULL:
            prefetch_bytes(sketches.first + cell, n * sizeof(float))
        if sketches.second != NULL:
            prefetch_bytes(sketches.second + cell, n * sizeof(float))


cdef inline void move_row(
    update_rule update, const float* hyper, unsigned int seed, stored* row, float* m, float* v,
    const float* gradient, float* wide, Py_ssize_t n,
) noexcept nogil:
    """Apply the rule to n weights of a row; `wide` holds them as floats meanwhile."""
    if stored is float:
        update(row, m, v, gradient, hyper, n)
    else:
        ops.widen(row, wide, n)
        update(wide, m, v, gradient, hyper, n)
        ops.narrow(wide, row, n, seed)


cdef void move_columns(
    update_rule update, const float* hyper, unsigned long long seed,
    stored* weights, const Sketches* sketches,
    const int* rows,             # (n_known,)
    Py_ssize_t n,                # rows to update
    Py_ssize_t n_known,          # rows to ask for ahead
    const float* gradient,       # (n, n_columns)
    Py_ssize_t first, Py_ssize_t last,
    float* buffer,               # (BUFFERS, n_columns)
) noexcept nogil:
    """Update columns first to last of n rows, in order."""
    cdef:
        Py_ssize_t n_columns = sketches.n_columns, width = last - first, i
        int r, depth = sketches.depth
        Py_ssize_t ahead = 1 + CELLS_AHEAD // depth
        bint has_first = sketches.first != NULL, has_second = sketches.second != NULL, flipped
        float* m_before = buffer
        float* m = buffer + n_columns if has_first else NULL
        float* v_before = buffer + 2 * n_columns
        float* v = buffer + 3 * n_columns if has_second else NULL
        float* wide = buffer + 4 * n_columns
        const float* g
        float sign[MOST_CELLS]
        float unsigned_cells[MOST_CELLS]
        float* m_cell[MOST_CELLS]
        float* v_cell[MOST_CELLS]
        Py_ssize_t cell
        unsigned int row_seed
        stored* row
    for r in range(depth):
        unsigned_cells[r] = 1
    for i in range(n):
        if i + ahead < n_known:
            prefetch_row(weights + rows[i + ahead] * n_columns + first, width)
            prefetch_columns(sketches, rows[i + ahead], first, width)
        for r in range(depth):
            cell = cell_of(sketches, rows[i], r, &sign[r]) + first
            m_cell[r] = sketches.first + cell if has_first else NULL
            v_cell[r] = sketches.second + cell if has_second else NULL
        row, g = weights + rows[i] * n_columns + first, gradient + i * n_columns + first
        row_seed = <unsigned int> (
            mix(mix(seed) + rows[i]) + <unsigned long long> first * COLUMN_STEP
        )
        if depth == 1:
            flipped = has_first and sign[0] < 0
            if flipped:
                ops.negate(m_cell[0], width)
            move_row(update, hyper, row_seed, row, m_cell[0], v_cell[0], g, wide, width)
            if flipped:
                ops.negate(m_cell[0], width)
            continue
        if has_first:
            ops.median_cells(m_cell, sign, depth, m_before, m, width)
        if has_second:
            ops.least_cells(v_cell, depth, v_before, v, width)
        move_row(update, hyper, row_seed, row, m, v, g, wide, width)
        if has_first:
            ops.add_change(m_cell, sign, depth, m_before, m, width)
        if has_second:
            ops.add_change(v_cell, unsigned_cells, depth, v_before, v, width)


cdef void move_in_parts(
    update_rule update, const float* hyper, unsigned long long seed,
    stored* weights, const Sketches* sketches, const int* rows, Py_ssize_t n,
    Py_ssize_t n_known, const float* gradient, float[:, ::1] buffers, int n_threads,
) noexcept nogil:
    """Update n rows, each thread some of their columns."""
    cdef:
        Py_ssize_t n_columns = sketches.n_columns
        Py_ssize_t n_lines = (n_columns + LINE - 1) // LINE
        Py_ssize_t n_parts = min(n_lines, <Py_ssize_t> n_threads), part
    for part in prange(n_parts, num_threads=n_threads, schedule="static"):
        move_columns(
            update, hyper, seed, weights, sketches, rows, n, n_known, gradient,
            LINE * (n_lines * part // n_parts),
            min(n_columns, LINE * (n_lines * (part + 1) // n_parts)),
            &buffers[threadid(), 0],
        )


def step_rows(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    unsigned long long seed,     # of the rounding to bfloat16, new in each step
    stored[:, ::1] weights,      # IN/OUT (n_rows, n_columns)
    float[:, ::1] first,         # IN/OUT (depth * width, n_columns or 0)
    float[:, ::1] second,        # IN/OUT (depth * width, n_columns or 0)
    int depth,
    unsigned long long hash_seed,  # of the rows' cells, the same in each step
    const int[::1] rows,         # IN (n,), distinct
    const float[:, ::1] gradient,  # IN (>= n, n_columns)
    float[:, ::1] buffers,       # SCRATCH (>= n_threads, >= VECTORS_A_THREAD * n_columns)
    int n_threads,
):
    """Apply an update rule with a moment for each weight to the rows `rows`.

    O(n depth n_columns).
    """
    cdef:
        Py_ssize_t n = rows.shape[0]
        update_rule update = checked(rule)
        Sketches sketches = as_sketches(first, second, depth, hash_seed)
    check_rows(rows, weights.shape[0], "the weights")
    if n == 0:
        return
    with nogil:
        move_in_parts(update, &hyper[0], seed, &weights[0, 0], &sketches, &rows[0], n, n,
                      &gradient[0, 0], buffers, n_threads)


def step_embedding(
    int rule,
    const float[::1] hyper,      # IN, as the rule wants it
    unsigned long long seed,     # of the rounding to bfloat16, new in each step
    stored[:, ::1] weights,      # IN/OUT (n_features, n_columns)
    float[:, ::1] first,         # IN/OUT (depth * width, n_columns or 0)
    float[:, ::1] second,        # IN/OUT (depth * width, n_columns or 0)
    int depth,
    unsigned long long hash_seed,  # of the features' cells, the same in each step
    const int[::1] features,     # IN (n,), distinct
    const int[::1] starts,       # IN (>= n + 1,)
    const int[::1] rows,         # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    const float[:, ::1] delta,   # IN (n_batch, n_columns), gradient of the embedded rows
    float[:, ::1] gradients,     # SCRATCH (GRADIENTS_AT_A_TIME, n_columns)
    float[:, ::1] buffers,       # SCRATCH (>= n_threads, >= VECTORS_A_THREAD * n_columns)
    int n_threads,
):
    """Apply an update rule to the embedding of each feature the batch contains.

    The gradient of feature f is the sum of its values times `delta`, over the rows where it
    stands. Gradients are summed for a block of features at a time.

    O(nnz n_columns + n depth n_columns).
    """
    cdef:
        Py_ssize_t n = features.shape[0], n_columns = weights.shape[1]
        Py_ssize_t n_blocks = (n + BLOCK - 1) // BLOCK
        Py_ssize_t block, begin, n_block, i, start
        update_rule update = checked(rule)
        Sketches sketches = as_sketches(first, second, depth, hash_seed)
    check_rows(features, weights.shape[0], "the weights")
    check_rows(rows, delta.shape[0], "delta")
    with nogil:
        for block in range(n_blocks):
            begin = block * BLOCK
            n_block = min(n - begin, <Py_ssize_t> BLOCK)
            for i in prange(n_block, num_threads=n_threads, schedule="static"):
                start = starts[begin + i]
                memset(&gradients[i, 0], 0, n_columns * sizeof(float))
                ops.sum_rows(
                    &gradients[i, 0], n_columns, &delta[0, 0], &rows[start], &values[start],
                    starts[begin + i + 1] - start, starts[begin + i + 1] - start,
                )
            move_in_parts(update, &hyper[0], seed, &weights[0, 0], &sketches, &features[begin],
                          n_block, n - begin, &gradients[0, 0], buffers, n_threads)
