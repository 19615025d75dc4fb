"""The output layer's part of a training step, with its three products in 8-bit integers.

A float is a code in [-127, 127] times a scale. What the logits are made of is rounded to
the nearest code; what gradients are made of is rounded up or down at random, right on
average, so that they stay unbiased. Sums of codes are exact in any order. A scale belongs
to what a sum does not run over:

    logits   = hidden rows'         a scale for each row of the batch, and for each class
    d_hidden = d_logits rows        a scale for each row of the batch, and for each unit
    d_rows   = d_logits' hidden     the rows' scales go into hidden, which has one for each unit

The sum over the classes, for d_hidden, is one of sums over PART classes, each with scales of
its own: so a part of the rows is read, coded twice, and forgotten while it is in cache.

The CPU's instruction wants right operands unsigned: rows are stored with ZERO on top, and
the sums of the left operand's codes take that out again. Activations are not negative.

Integer products of quantized networks are those of arXiv:1712.05877, unbiased rounding in
training of arXiv:1502.02551.
"""

from cython.parallel import parallel, prange, threadid
from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from sklsh._kernels._losses cimport logistic_row, softmax_row
from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport ops, update_rule
from sklsh._kernels._stored cimport prefetch_row, read_row, stored
from sklsh._kernels._updates cimport check_rows, checked, prefetch_state, update_row

ctypedef signed char int8
ctypedef unsigned char uint8
ctypedef unsigned int uint32
ctypedef unsigned long long uint64

cdef enum:
    READ_AHEAD = 16    # rows of classes in flight
    BLOCK = 32         # rows of the batch whose logits a thread holds at a time, in L2
    PANEL = 48         # classes whose codes stand together, for a tile of the product
    PART = 6 * PANEL   # classes whose rows share a scale for each unit; their codes fit L1
    TILE = 8           # classes that are updated together while the next ones are on their way
    STRIPE = 32        # columns whose largest values a thread looks for at a time
    TERMS = 65536      # of a sum of products that 32 bits can hold: 127 * 255 each
    ZERO = 128         # the code of zero in right operands

MAX_WIDTH = TERMS  # of the rows, which are not cut

cdef float CODES = 126.99  # the largest code, with room for the dither of random rounding
cdef float SMALLEST = 1e-30  # what is smaller counts as zero: its factor would overflow


cdef struct Codes:
    int8* hidden         # (n_batch, width)
    float* hidden_scale  # (n_batch,)
    int* hidden_sum      # (n_batch,): ZERO times the sum of each row's codes
    uint8* by_class      # (n_wide / PANEL, width / 4, PANEL, 4): of the rows, for the logits
    float* class_scale   # (n_wide,)
    uint8* by_unit       # (n_wide / 4, width, 4): of the rows, for d_hidden
    float* unit_scale    # (n_parts, width)
    float* offset        # (n_wide,): of logits, -infinity for classes that are not there
    float* weight        # (n_wide,): of classes, 0 for those
    int8* delta          # (n_wide / PANEL, m_wide / 4, PANEL, 4): of d_logits, for d_rows
    float* delta_scale   # (m_wide,)
    uint8* scaled        # (m_wide / 4, width, 4): codes of delta_scale times hidden, no ZERO
    float* scaled_scale  # (width,)
    float* factor        # (width,): from floats to codes
    float* class_sum     # (m_wide / BLOCK, n_wide): sums of d_logits over a block's rows
    float* logits        # (n_threads, BLOCK, n_wide)
    int8* block          # (n_threads, BLOCK, n_wide): of d_logits, for d_hidden
    int* block_sum       # (n_threads, n_parts, BLOCK): ZERO times the sums of a part's codes
    float* rows          # (n_threads, PART, width): of a part, in floats
    float* largest       # (n_threads, width)
    float* scales        # (n_threads, 4 * width)
    float* d_rows        # (n_threads, TILE, width)
    int8* buffer         # (n_threads, 4 * width)


cdef inline Py_ssize_t rounded(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


cdef inline char* take(char** free, Py_ssize_t n_bytes) noexcept nogil:
    """The next n_bytes, in whole cache lines."""
    cdef char* taken = free[0]
    free[0] += rounded(n_bytes, 64)
    return taken


cdef Py_ssize_t lay_out(
    Codes* codes, char* buffer, Py_ssize_t m, Py_ssize_t n, Py_ssize_t width, int n_threads
) noexcept nogil:
    """Point into the buffer; returns how many bytes it needs."""
    cdef:
        char* free = buffer
        Py_ssize_t n_wide = rounded(n, PANEL), m_wide = rounded(m, BLOCK)
        Py_ssize_t n_parts = (n + PART - 1) // PART
    codes.hidden = <int8*> take(&free, m * width)
    codes.hidden_scale = <float*> take(&free, 4 * m)
    codes.hidden_sum = <int*> take(&free, 4 * m)
    codes.by_class = <uint8*> take(&free, width * n_wide)
    codes.class_scale = <float*> take(&free, 4 * n_wide)
    codes.by_unit = <uint8*> take(&free, n_wide * width)
    codes.unit_scale = <float*> take(&free, 4 * n_parts * width)
    codes.offset = <float*> take(&free, 4 * n_wide)
    codes.weight = <float*> take(&free, 4 * n_wide)
    codes.delta = <int8*> take(&free, m_wide * n_wide)
    codes.delta_scale = <float*> take(&free, 4 * m_wide)
    codes.scaled = <uint8*> take(&free, m_wide * width)
    codes.scaled_scale = <float*> take(&free, 4 * width)
    codes.factor = <float*> take(&free, 4 * width)
    codes.class_sum = <float*> take(&free, m_wide // BLOCK * 4 * n_wide)
    codes.logits = <float*> take(&free, 4 * n_threads * BLOCK * n_wide)
    codes.block = <int8*> take(&free, n_threads * BLOCK * n_wide)
    codes.block_sum = <int*> take(&free, 4 * n_threads * n_parts * BLOCK)
    codes.rows = <float*> take(&free, 4 * n_threads * PART * width)
    codes.largest = <float*> take(&free, 4 * n_threads * width)
    codes.scales = <float*> take(&free, 4 * n_threads * 4 * width)
    codes.d_rows = <float*> take(&free, 4 * n_threads * TILE * width)
    codes.buffer = <int8*> take(&free, n_threads * 4 * width)
    return free - buffer


def scratch_bytes(Py_ssize_t n_batch, Py_ssize_t n, Py_ssize_t width, int n_threads):
    """Bytes of scratch that `step` needs."""
    cdef Codes codes
    return lay_out(&codes, NULL, n_batch, n, width, n_threads)


cdef inline float to_codes(float largest, float* scale) noexcept nogil:
    """Factor from floats of at most this size to codes; `scale` leads back."""
    scale[0] = largest / CODES
    return CODES / largest if largest > SMALLEST else 0


cdef inline uint32 nonzero(uint64 x) noexcept nogil:
    """A seed of random rounding."""
    return <uint32> mix(x) | 1


cdef void code_hidden(
    const float* row, Py_ssize_t width, Py_ssize_t i, Codes* codes
) noexcept nogil:
    """A row of activations, to the nearest."""
    cdef float factor = to_codes(ops.largest(row, width), &codes.hidden_scale[i])
    codes.hidden_sum[i] = ZERO * ops.round_int8(row, &factor, 0, 0, 0, codes.hidden + i * width,
                                                width)


cdef void code_class(
    Py_ssize_t c, const float* row, Py_ssize_t width, int8* buffer, Codes* codes
) noexcept nogil:
    """A class's row for the logits, to the nearest, four columns together; NULL is all zeros."""
    cdef:
        Py_ssize_t g
        float factor
        uint32* out = <uint32*> (codes.by_class + c // PANEL * PANEL * width) + c % PANEL
    if row == NULL:
        codes.class_scale[c] = 0.0
        memset(buffer, ZERO, width)
    else:
        factor = to_codes(ops.largest(row, width), &codes.class_scale[c])
        ops.round_int8(row, &factor, 0, 0, ZERO, buffer, width)
    for g in range(width // 4):
        out[g * PANEL] = (<uint32*> buffer)[g]


cdef void code_four(
    const float* x, const float* scales, Py_ssize_t width, Py_ssize_t n_rows, int zero,
    uint64 seed, int8* buffer, uint8* out
) noexcept nogil:
    """Up to four rows of scales times x, at random, woven."""
    memset(buffer + n_rows * width, zero, (4 - n_rows) * width)
    ops.round_int8(x, scales, 1, nonzero(seed), zero, buffer, n_rows * width)
    ops.weave(<uint8*> buffer, width, width, width, width, <uint32*> out)


cdef void code_part(
    Py_ssize_t first, stored[:, ::1] weights, float[:, ::1] bias,
    const int[::1] ids, const float[::1] shift, uint64 seed, int thread, Codes* codes
) noexcept nogil:
    """A part of the classes, from `first` on: rows for the logits and for d_hidden, offsets."""
    cdef:
        Py_ssize_t width = weights.shape[1], n = ids.shape[0], c, r, k
        Py_ssize_t last = min(first + PART, rounded(n, PANEL))
        float* rows = codes.rows + thread * PART * width
        float* largest = codes.largest + thread * width
        float* scales = codes.scales + thread * 4 * width
        float* unit_scale = codes.unit_scale + first // PART * width
        int8* buffer = codes.buffer + thread * 4 * width
    memset(largest, 0, width * sizeof(float))
    for c in range(first, last):
        if c + READ_AHEAD < n:
            prefetch_row(&weights[ids[c + READ_AHEAD], 0], width)
            prefetch_row(&bias[ids[c + READ_AHEAD], 0], 1)
        codes.offset[c] = bias[ids[c], 0] + shift[c] if c < n else -INFINITY
        if c < n:
            read_row(&weights[ids[c], 0], rows + (c - first) * width, width)
            ops.largest_each(rows + (c - first) * width, largest, width)
        code_class(c, rows + (c - first) * width if c < n else NULL, width, buffer, codes)
    for k in range(width):
        scales[k] = to_codes(largest[k], &unit_scale[k])
    for r in range(1, 4):
        memcpy(scales + r * width, scales, width * sizeof(float))
    for c in range(first, last, 4):
        code_four(rows + (c - first) * width, scales, width, min(max(n - c, 0), 4), ZERO,
                  seed + c, buffer, codes.by_unit + c * width)


cdef void hidden_scales(
    const float* hidden, Py_ssize_t m, Py_ssize_t width, Py_ssize_t first, Py_ssize_t n_columns,
    Codes* codes
) noexcept nogil:
    """Scales of columns from `first` of the activations times delta_scale."""
    cdef:
        Py_ssize_t i, k
        float scaled[STRIPE]
    memset(codes.factor + first, 0, n_columns * sizeof(float))
    for i in range(m):
        for k in range(n_columns):
            scaled[k] = codes.delta_scale[i] * hidden[i * width + first + k]
        ops.largest_each(scaled, codes.factor + first, n_columns)
    for k in range(first, first + n_columns):
        codes.factor[k] = to_codes(codes.factor[k], &codes.scaled_scale[k])


cdef void code_scaled(
    const float* hidden, Py_ssize_t i, Py_ssize_t m, Py_ssize_t width, uint64 seed, int thread,
    Codes* codes
) noexcept nogil:
    """Four rows from row `i` of the activations times delta_scale, for d_rows."""
    cdef:
        Py_ssize_t n_rows = min(max(m - i, 0), 4), r, k
        float* scales = codes.scales + thread * 4 * width
    for r in range(n_rows):
        for k in range(width):
            scales[r * width + k] = codes.factor[k] * codes.delta_scale[i + r]
    code_four(hidden + i * width, scales, width, n_rows, 0, seed + i,
              codes.buffer + thread * 4 * width, codes.scaled + i * width)


cdef void gradients(
    Codes* codes, Py_ssize_t first, Py_ssize_t m, Py_ssize_t n, Py_ssize_t width, bint softmax,
    const int* indptr, const int* positions, const float* label_weight, const float* row_weight,
    uint64 seed, int thread, float* d_hidden, double* loss, double* log_partition,
) noexcept nogil:
    """A block of rows: logits, loss, d_logits and their codes, d_hidden."""
    cdef:
        Py_ssize_t n_wide = rounded(n, PANEL), m_wide = rounded(m, BLOCK)
        Py_ssize_t n_parts = (n + PART - 1) // PART
        Py_ssize_t i, r, c, panel, part
        Py_ssize_t n_rows = min(m - first, BLOCK)
        float factor
        float* z
        float* logits = codes.logits + thread * BLOCK * n_wide
        int8* block = codes.block + thread * BLOCK * n_wide
        int* block_sum = codes.block_sum + thread * n_parts * BLOCK
        float* class_sum = codes.class_sum + first // BLOCK * n_wide
    for panel in range(n_wide // PANEL):
        c = panel * PANEL
        ops.product_int8(n_rows, PANEL, width // 4, codes.hidden + first * width, width, 4,
                         codes.by_class + c * width, 4 * PANEL, codes.hidden_scale + first,
                         codes.hidden_sum + first, codes.class_scale + c, logits + c, n_wide, 0)
    memset(class_sum, 0, n_wide * sizeof(float))
    for r in range(n_rows):
        i = first + r
        z = logits + r * n_wide
        if softmax:
            loss[i] = softmax_row(z, codes.offset, n_wide, positions + indptr[i],
                                  label_weight + indptr[i], indptr[i + 1] - indptr[i],
                                  row_weight[i], &log_partition[i])
        else:
            loss[i] = logistic_row(z, codes.offset, codes.weight, n_wide, positions + indptr[i],
                                   label_weight + indptr[i], indptr[i + 1] - indptr[i],
                                   row_weight[i])
        ops.add(class_sum, z, n_wide)
        factor = to_codes(ops.largest(z, n_wide), &codes.delta_scale[i])
        for part in range(n_parts):
            c = part * PART
            block_sum[part * BLOCK + r] = ZERO * ops.round_int8(
                z + c, &factor, 0, nonzero(mix(seed + i) + c), 0, block + r * n_wide + c,
                min(n_wide - c, PART))
    for part in range(n_parts):
        c = part * PART
        ops.product_int8(n_rows, width, min(n_wide - c, PART) // 4, block + c, n_wide, 4,
                         codes.by_unit + c * width, 4 * width, codes.delta_scale + first,
                         block_sum + part * BLOCK, codes.unit_scale + part * width,
                         d_hidden + first * width, width, part > 0)
    memset(block + n_rows * n_wide, 0, (BLOCK - n_rows) * n_wide)
    for r in range(0, BLOCK, 4):
        ops.weave(<uint8*> block + r * n_wide, n_wide, n_wide, PANEL, PANEL * m_wide // 4,
                  <uint32*> (codes.delta + (first + r) * PANEL))


cdef void update_classes(
    Codes* codes, Py_ssize_t first, Py_ssize_t m, uint64 seed, int thread, const int[::1] ids,
    update_rule rule, const float* hyper,
    stored[:, ::1] weights, float[:, ::1] slot1, float[:, ::1] slot2,
    update_rule bias_rule, const float* bias_hyper,
    float[:, ::1] bias, float[:, ::1] bias_slot1, float[:, ::1] bias_slot2,
) noexcept nogil:
    """A panel of classes: sums over the batch of d_logits times hidden, and of d_logits."""
    cdef:
        Py_ssize_t n = ids.shape[0], width = weights.shape[1]
        Py_ssize_t n_wide = rounded(n, PANEL), m_wide = rounded(m, BLOCK)
        Py_ssize_t c, j, t, tile, part, block, n_classes
        float d_bias[TILE]
        float* d_rows = codes.d_rows + thread * TILE * width
        float* buffer = codes.scales + thread * 4 * width
    for tile in range(PANEL // TILE):
        c = first + tile * TILE
        n_classes = max(0, min(n - c, TILE))
        for j in range(c + TILE, min(c + 2 * TILE, n)):
            prefetch_state(weights, slot1, slot2, ids[j])
            prefetch_state(bias, bias_slot1, bias_slot2, ids[j])
        for part in range((m_wide + TERMS - 1) // TERMS):
            t = part * TERMS
            ops.product_int8(n_classes, width, min(m_wide - t, TERMS) // 4,
                             codes.delta + first * m_wide + t * PANEL + 4 * (c - first), 4,
                             4 * PANEL, codes.scaled + t * width, 4 * width, NULL, NULL,
                             codes.scaled_scale, d_rows, width, t > 0)
        memset(d_bias, 0, TILE * sizeof(float))
        for block in range(m_wide // BLOCK):
            ops.add(d_bias, codes.class_sum + block * n_wide + c, n_classes)
        for j in range(n_classes):
            update_row(rule, weights, slot1, slot2, ids[c + j], d_rows + j * width, hyper, seed,
                       buffer)
            update_row(bias_rule, bias, bias_slot1, bias_slot2, ids[c + j], d_bias + j,
                       bias_hyper, seed, buffer)


def step(
    int rule,                    # of the rows, and what it takes: as of `_rows.step_rows`
    const float[::1] hyper,
    uint64 seed,                 # new in each step, also that of the rounding to codes
    stored[:, ::1] weights,      # IN/OUT (n_classes, width)
    float[:, ::1] slot1,
    float[:, ::1] slot2,
    int bias_rule,               # of the biases, likewise
    const float[::1] bias_hyper,
    uint64 bias_seed,
    float[:, ::1] bias,          # IN/OUT (n_classes, 1)
    float[:, ::1] bias_slot1,
    float[:, ::1] bias_slot2,
    const float[:, ::1] hidden,  # IN (n_batch, width), not negative
    const int[::1] ids,          # IN (n,), the candidates, distinct
    const float[::1] shift,      # IN (n,), added to their logits
    const float[::1] class_weight,  # IN (n,) for the logistic loss, (0,) for the softmax
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,)
    const float[::1] label_weight,  # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    char[::1] scratch,           # SCRATCH (scratch_bytes(...),), on a cache line
    float[:, ::1] d_hidden,      # OUT (n_batch, width)
    double[::1] loss,            # OUT (n_batch,)
    double[::1] log_partition,   # OUT (n_batch,), of the softmax
    int n_threads,
):
    """Losses over candidates that a batch shares, their gradients, and the classes' updates.

    What stands for what is told in `_losses`. The logits of a block of rows live in cache
    from the first product to the second, and are not kept; nor are gradients of classes.

    O(n_batch n width).
    """
    cdef:
        Py_ssize_t m = hidden.shape[0], width = hidden.shape[1], n = ids.shape[0]
        Py_ssize_t n_wide = rounded(n, PANEL), m_wide = rounded(m, BLOCK)
        Py_ssize_t i, c, stripe
        uint64 salt = mix(seed + 1)  # or the next step's seeds would be some of these
        Codes codes
        update_rule update = checked(rule), bias_update = checked(bias_rule)
        bint softmax = class_weight.shape[0] == 0
    check_rows(ids, weights.shape[0], "the weights")
    if width > TERMS:
        raise ValueError(f"width must be at most {TERMS} for products in int8; got {width}.")
    if lay_out(&codes, &scratch[0], m, n, width, n_threads) > scratch.shape[0]:
        raise ValueError("scratch is smaller than scratch_bytes says.")
    for c in range(n_wide):
        codes.weight[c] = class_weight[c] if c < n and not softmax else 0
    with nogil, parallel(num_threads=n_threads):
        for i in prange(m, schedule="static"):
            code_hidden(&hidden[i, 0], width, i, &codes)
        for c in prange(0, n_wide, PART, schedule="dynamic"):
            code_part(c, weights, bias, ids, shift, mix(salt), threadid(), &codes)
        for i in prange(0, m_wide, BLOCK, schedule="dynamic"):
            gradients(&codes, i, m, n, width, softmax, &indptr[0], &positions[0],
                      &label_weight[0], &row_weight[0], mix(salt + 1), threadid(),
                      &d_hidden[0, 0], &loss[0], &log_partition[0])
        for stripe in prange((width + STRIPE - 1) // STRIPE, schedule="static"):
            hidden_scales(&hidden[0, 0], m, width, stripe * STRIPE,
                          min(width - stripe * STRIPE, STRIPE), &codes)
        for i in prange(0, m_wide, 4, schedule="static"):
            code_scaled(&hidden[0, 0], i, m, width, mix(salt + 2), threadid(), &codes)
        for c in prange(0, n_wide, PANEL, schedule="dynamic"):
            update_classes(&codes, c, m, seed, threadid(), ids,
                           update, &hyper[0], weights, slot1, slot2,
                           bias_update, &bias_hyper[0], bias, bias_slot1, bias_slot2)
