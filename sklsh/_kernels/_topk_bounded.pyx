"""Exact top-k classes of each row, with most classes ruled out by bounds of their logits.

Classes are looked at in the order of falling norms, until those that are left are too short
to reach the row's k-th best logit. On the way, products of 8-bit codes, of which CPUs with
AVX-512 VNNI do four times as many in a second as of floats, give a closer bound (bounds.h).
Only classes whose bound reaches the k-th best are scored in floats, with sums in the same
order as everywhere: results are those of _topk, bit for bit.
"""

from cython.parallel import parallel, prange
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strcmp

from sklsh._kernels._products cimport PANEL, pack_panel
from sklsh._kernels._ranking cimport offer
from sklsh._kernels._simd cimport ops
from sklsh._kernels._stored cimport as_float, prefetch_row, read_row, stored

cdef extern from "bounds.h" nogil:
    enum:
        BOUND_CLASSES
        BOUND_ROWS

    ctypedef struct class_bounds:
        signed char* codes

    ctypedef struct row_bounds:
        float threshold

    float norm_above(float square)
    float bias_above(float bias)
    int is_done(const row_bounds* row, float norm, float bias)
    void bound_row(const float* hidden, Py_ssize_t width, unsigned char* codes, row_bounds* row)
    void bound_class(
        const float* weights, float bias, Py_ssize_t width, int j, class_bounds* panel
    )
    Py_ssize_t scan_panel(
        Py_ssize_t n_rows, Py_ssize_t width, const unsigned char* codes, const row_bounds* rows,
        const class_bounds* panel, unsigned long long* reach
    )

    int lowest_bit "__builtin_ctzll"(unsigned long long bits)

assert PANEL == BOUND_CLASSES  # a panel is coded, scanned and multiplied as one

cdef enum:
    MOST_ROWS = 1536   # rows a thread takes at a time: they share the coding of the classes
    MOST_WIDTH = 4096  # up to it, 32-bit sums hold and the error bound's own sums are right
    READ_AHEAD = 16    # rows of weights in flight
    WAITING = 16       # classes of a row that are scored together
    DENSE = 4          # mean classes of a row within reach, of 64, from which all are scored
    PATIENCE = 8       # panels between two looks at which rows are done


def available(Py_ssize_t width):
    """Whether the instruction set in use can, for rows of this width."""
    return strcmp(ops.name, b"avx512_vnni") == 0 and width <= MOST_WIDTH


cdef struct Chunk:             # what a thread works on; rows that are done leave it
    Py_ssize_t n_rows
    Py_ssize_t* place          # (n_rows,): where the results of each row go
    float* hidden              # (n_rows, width)
    unsigned char* codes       # (n_rows, width), n_rows rounded up to BOUND_ROWS
    row_bounds* rows           # (n_rows,)
    unsigned long long* reach  # (n_rows,)
    int* waiting               # (n_rows, WAITING): classes within reach, not scored yet
    int* n_waiting             # (n_rows,)
    class_bounds panel
    float* weights             # (PANEL, width)
    float* packed              # (width, PANEL)
    float* logits              # (n_rows, PANEL)


def top_k(
    const float[:, ::1] hidden,  # IN (n, width), best not negative, width a multiple of 16
    const stored[:, ::1] weights,  # IN (n_classes, width)
    const float[::1] bias,       # IN (n_classes,)
    const int[::1] order,        # IN (n_classes,): classes, best by falling norm
    const float[::1] norm_left,  # IN (n_classes,): the largest norm from here on in `order`
    const float[::1] bias_left,  # IN (n_classes,): the largest bias from here on
    int[:, ::1] ids,             # OUT (n, k), k <= n_classes
    float[:, ::1] scores,        # OUT (n, k)
    int n_threads,
):
    """The k classes of largest logit of each row, best first; ties to the smaller id.

    Pays where many rows share the coding of the classes. Negative activations are right,
    but slow. O(n n_classes width) time at worst; memory for a chunk of rows.
    """
    cdef:
        Py_ssize_t n = hidden.shape[0], width = hidden.shape[1], k = ids.shape[1]
        Py_ssize_t n_chunks, n_rows, i
        Chunk chunk
    if not available(width):
        raise ValueError(
            f"bounds want AVX-512 VNNI and rows of at most {MOST_WIDTH} floats; got {width}."
        )
    if n == 0 or k == 0:
        return
    n_chunks = n_threads * ((n + n_threads * MOST_ROWS - 1) // (n_threads * MOST_ROWS))
    n_rows = (n + n_chunks - 1) // n_chunks
    n_chunks = (n + n_rows - 1) // n_rows
    with nogil, parallel(num_threads=n_threads):
        chunk = allocated(rounded(n_rows), width)
        for i in prange(n_chunks, schedule="dynamic"):
            enter(&chunk, &hidden[i * n_rows, 0], min(n - i * n_rows, n_rows), width)
            rank_rows(&chunk, weights, bias, order, norm_left, bias_left,
                      &ids[i * n_rows, 0], &scores[i * n_rows, 0], k)
        release(&chunk)


def bound_classes(
    const stored[:, ::1] weights,  # IN (n_classes, width)
    const float[::1] bias,       # IN (n_classes,)
    float[::1] norms,            # OUT (n_classes,): at least the norms of the weights
    float[::1] biases,           # OUT (n_classes,): at least the biases
    int n_threads,
):
    """What `top_k` orders the classes by, and stops by.

    O(n_classes width).
    """
    cdef:
        Py_ssize_t n_classes = weights.shape[0], width = weights.shape[1], c
        float* row = NULL
    with nogil, parallel(num_threads=n_threads):
        row = <float*> malloc(width * sizeof(float))
        for c in prange(n_classes, schedule="static"):
            read_row(&weights[c, 0], row, width)
            norms[c] = norm_above(ops.dot(row, row, width))
            biases[c] = bias_above(bias[c])
        free(row)


cdef inline Py_ssize_t rounded(Py_ssize_t n_rows) noexcept nogil:
    return (n_rows + BOUND_ROWS - 1) // BOUND_ROWS * BOUND_ROWS


cdef Chunk allocated(Py_ssize_t n_rows, Py_ssize_t width) noexcept nogil:
    cdef Chunk chunk
    chunk.place = <Py_ssize_t*> malloc(n_rows * sizeof(Py_ssize_t))
    chunk.hidden = <float*> malloc(n_rows * width * sizeof(float))
    chunk.codes = <unsigned char*> malloc(n_rows * width)
    chunk.rows = <row_bounds*> malloc(n_rows * sizeof(row_bounds))
    chunk.reach = <unsigned long long*> malloc(n_rows * sizeof(unsigned long long))
    chunk.waiting = <int*> malloc(n_rows * WAITING * sizeof(int))
    chunk.n_waiting = <int*> malloc(n_rows * sizeof(int))
    chunk.panel.codes = <signed char*> malloc(PANEL * width)
    chunk.weights = <float*> malloc(PANEL * width * sizeof(float))
    chunk.packed = <float*> malloc(PANEL * width * sizeof(float))
    chunk.logits = <float*> malloc(n_rows * PANEL * sizeof(float))
    return chunk


cdef void release(Chunk* chunk) noexcept nogil:
    free(chunk.place)
    free(chunk.hidden)
    free(chunk.codes)
    free(chunk.rows)
    free(chunk.reach)
    free(chunk.waiting)
    free(chunk.n_waiting)
    free(chunk.panel.codes)
    free(chunk.weights)
    free(chunk.packed)
    free(chunk.logits)


cdef void enter(
    Chunk* chunk, const float* hidden, Py_ssize_t n_rows, Py_ssize_t width
) noexcept nogil:
    """Begin with a chunk of rows."""
    cdef Py_ssize_t i
    chunk.n_rows = n_rows
    memcpy(chunk.hidden, hidden, n_rows * width * sizeof(float))
    memset(chunk.codes, 0, rounded(n_rows) * width)
    memset(chunk.rows, 0, n_rows * sizeof(row_bounds))
    memset(chunk.n_waiting, 0, n_rows * sizeof(int))
    for i in range(n_rows):
        chunk.place[i] = i
        bound_row(hidden + i * width, width, chunk.codes + i * width, &chunk.rows[i])
    fill_up(chunk)


cdef void fill_up(Chunk* chunk) noexcept nogil:
    """Rows that no class can reach, up to a whole number of tiles."""
    cdef Py_ssize_t i
    for i in range(chunk.n_rows, rounded(chunk.n_rows)):
        memset(&chunk.rows[i], 0, sizeof(row_bounds))
        chunk.rows[i].threshold = INFINITY


cdef void rank_rows(
    Chunk* chunk, const stored[:, ::1] weights, const float[::1] bias, const int[::1] order,
    const float[::1] norm_left, const float[::1] bias_left, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Top-k of a chunk of rows, panel by panel of classes."""
    cdef:
        Py_ssize_t width = weights.shape[1], n_classes = weights.shape[0]
        Py_ssize_t n_panels = (n_classes + PANEL - 1) // PANEL
        Py_ssize_t i, block, first, n_panel
    for block in range(n_panels):
        first = block * PANEL
        n_panel = min(n_classes - first, PANEL)
        if first >= k and block % PATIENCE == 0:
            dismiss(chunk, norm_left[first], bias_left[first], weights, bias, ids, scores, k)
        if chunk.n_rows == 0:
            return
        read_panel(chunk, weights, &order[first], n_panel, n_classes - first)
        # until its list is full, a row is interested in every class
        if first < k or n_panel < PANEL or in_reach(chunk, width, &order[first],
                                                    bias) > DENSE * chunk.n_rows:
            rank_panel(chunk, width, &order[first], n_panel, min(first, k), bias, ids, scores, k)
            continue
        for i in range(chunk.n_rows):
            if chunk.reach[i]:
                take(chunk, i, &order[first], weights, bias, ids, scores, k)
    for i in range(chunk.n_rows):
        score_waiting(chunk, i, weights, bias, ids, scores, k)


cdef void dismiss(
    Chunk* chunk, float norm, float bias_left, const stored[:, ::1] weights,
    const float[::1] bias, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Let go of the rows that no class to come can matter to; the others close ranks."""
    cdef Py_ssize_t width = weights.shape[1], i, n = 0
    for i in range(chunk.n_rows):
        if is_done(&chunk.rows[i], norm, bias_left):
            score_waiting(chunk, i, weights, bias, ids, scores, k)
            continue
        if n < i:
            chunk.place[n] = chunk.place[i]
            chunk.rows[n] = chunk.rows[i]
            chunk.n_waiting[n] = chunk.n_waiting[i]
            memcpy(chunk.hidden + n * width, chunk.hidden + i * width, width * sizeof(float))
            memcpy(chunk.codes + n * width, chunk.codes + i * width, width)
            memcpy(chunk.waiting + n * WAITING, chunk.waiting + i * WAITING,
                   WAITING * sizeof(int))
        n += 1
    chunk.n_rows = n
    fill_up(chunk)


cdef void read_panel(
    Chunk* chunk, const stored[:, ::1] weights, const int* order, Py_ssize_t n,
    Py_ssize_t n_known
) noexcept nogil:
    """Weights of the next n classes, of n_known that are to come."""
    cdef Py_ssize_t width = weights.shape[1], j
    for j in range(n):
        if j + READ_AHEAD < n_known:
            prefetch_row(&weights[order[j + READ_AHEAD], 0], width)
        read_row(&weights[order[j], 0], chunk.weights + j * width, width)


cdef Py_ssize_t in_reach(
    Chunk* chunk, Py_ssize_t width, const int* order, const float[::1] bias
) noexcept nogil:
    """Code a panel of classes, and mark those in reach of each row; returns how many marks."""
    cdef int j
    for j in range(PANEL):
        bound_class(chunk.weights + j * width, bias[order[j]], width, j, &chunk.panel)
    return scan_panel(rounded(chunk.n_rows), width, chunk.codes, chunk.rows, &chunk.panel,
                      chunk.reach)


cdef void rank_panel(
    Chunk* chunk, Py_ssize_t width, const int* order, Py_ssize_t n, Py_ssize_t held,
    const float[::1] bias, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Offer all classes of a panel to all rows, whose lists hold `held` entries."""
    cdef:
        Py_ssize_t i, j, n_held
        float* logits
        int* best
        float* best_scores
    pack_panel(<const float*> chunk.weights, width, n, width, chunk.packed)
    ops.product(chunk.n_rows, PANEL, width, chunk.hidden, width, 1, chunk.packed, PANEL,
                chunk.logits, PANEL, 0)
    for i in range(chunk.n_rows):
        logits = chunk.logits + i * PANEL
        best = ids + chunk.place[i] * k
        best_scores = scores + chunk.place[i] * k
        n_held = held
        for j in range(n):
            n_held = offer(order[j], logits[j] + bias[order[j]], best, best_scores, n_held, k)
        chunk.rows[i].threshold = best_scores[k - 1]


cdef void take(
    Chunk* chunk, Py_ssize_t i, const int* order, const stored[:, ::1] weights,
    const float[::1] bias, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Let the classes in reach of row i wait, and score them when enough have come."""
    cdef unsigned long long bits = chunk.reach[i]
    while bits:
        chunk.waiting[i * WAITING + chunk.n_waiting[i]] = order[lowest_bit(bits)]
        chunk.n_waiting[i] += 1
        prefetch_row(&weights[order[lowest_bit(bits)], 0], weights.shape[1])
        bits &= bits - 1
        if chunk.n_waiting[i] == WAITING:
            score_waiting(chunk, i, weights, bias, ids, scores, k)


cdef void score_waiting(
    Chunk* chunk, Py_ssize_t i, const stored[:, ::1] weights, const float[::1] bias,
    int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Offer the logits of the waiting classes to the full list of row i."""
    cdef:
        Py_ssize_t width = weights.shape[1], j, p, n = chunk.n_waiting[i]
        const int* waiting = chunk.waiting + i * WAITING
        const stored* row
        float[WAITING] logits
    ids += chunk.place[i] * k
    scores += chunk.place[i] * k
    if n == 0:
        return
    for j in range(WAITING):     # the first class stands in the empty places, too
        row = &weights[waiting[j if j < n else 0], 0]
        for p in range(width):
            chunk.packed[p * WAITING + j] = as_float(row + p)
    ops.product(1, WAITING, width, chunk.hidden + i * width, width, 1, chunk.packed, WAITING,
                logits, WAITING, 0)
    for j in range(n):
        offer(waiting[j], logits[j] + bias[waiting[j]], ids, scores, k, k)
    chunk.n_waiting[i] = 0
    chunk.rows[i].threshold = scores[k - 1]
