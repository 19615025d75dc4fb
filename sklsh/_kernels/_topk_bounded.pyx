"""Exact top-k classes of each row, with most classes ruled out by a bound of their logit.

The bound comes from products of 8-bit codes (bounds.h), of which CPUs with AVX-512 VNNI do
four times as many in a second as of floats. Only classes whose bound reaches the row's k-th
best logit so far are scored in floats, in the same order of sums as everywhere: results are
those of _topk, bit for bit.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset, strcmp

from sklsh._kernels._products cimport PANEL, pack_panel
from sklsh._kernels._ranking cimport offer
from sklsh._kernels._simd cimport ops
from sklsh._kernels._stored cimport as_float, prefetch_row, read_row, stored
from sklsh._kernels._topk cimport rank_block

cdef extern from "bounds.h" nogil:
    enum:
        BOUND_CLASSES
        BOUND_ROWS

    ctypedef struct class_bounds:
        signed char* codes

    ctypedef struct row_bounds:
        float threshold

    void bound_row(const float* hidden, Py_ssize_t width, unsigned char* codes, row_bounds* row)
    void bound_class(
        const float* weights, float bias, Py_ssize_t width, int j, class_bounds* panel
    )
    Py_ssize_t scan_panel(
        Py_ssize_t n_rows, Py_ssize_t width, const unsigned char* codes, const row_bounds* rows,
        const class_bounds* panel, unsigned long long* reach
    )

    int lowest_bit "__builtin_ctzll"(unsigned long long bits)

cdef enum:
    MOST_ROWS = 1536   # rows a thread takes at a time: they share the coding of the classes
    MOST_WIDTH = 4096  # up to it, 32-bit sums hold and the error bound's own sums are right
    WAITING = 16       # classes of a row that are scored together
    DENSE = 4          # mean classes of a row within reach, of 64, from which all are scored


def available(Py_ssize_t width):
    """Whether the instruction set in use can, for rows of this width."""
    return strcmp(ops.name, b"avx512_vnni") == 0 and width <= MOST_WIDTH


cdef struct Chunk:             # what a thread works on
    unsigned char* codes       # (n_rows, width), n_rows rounded up to BOUND_ROWS
    row_bounds* rows           # (n_rows,)
    unsigned long long* reach  # (n_rows,)
    int* waiting               # (n_rows, WAITING): classes within reach, not scored yet
    int* n_waiting             # (n_rows,)
    class_bounds panel
    float* floats              # (width, PANEL)
    float* logits              # (n_rows, PANEL)


def top_k(
    const float[:, ::1] hidden,  # IN (n, width), best not negative, width a multiple of 16
    const stored[:, ::1] weights,  # IN (n_classes, width)
    const float[::1] bias,       # IN (n_classes,)
    int[:, ::1] ids,             # OUT (n, k), k <= n_classes
    float[:, ::1] scores,        # OUT (n, k)
    int n_threads,
):
    """The k classes of largest logit of each row, best first; ties to the smaller id.

    Pays where many rows share the coding of the classes. Negative activations are right,
    but slow. O(n n_classes width) time; memory for a chunk of rows.
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
        chunk = allocated((n_rows + BOUND_ROWS - 1) // BOUND_ROWS * BOUND_ROWS, width)
        for i in prange(n_chunks, schedule="dynamic"):
            rank_rows(&chunk, &hidden[i * n_rows, 0], min(n - i * n_rows, n_rows), weights, bias,
                      &ids[i * n_rows, 0], &scores[i * n_rows, 0], k)
        release(&chunk)


cdef Chunk allocated(Py_ssize_t n_rows, Py_ssize_t width) noexcept nogil:
    cdef Chunk chunk
    chunk.codes = <unsigned char*> malloc(n_rows * width)
    chunk.rows = <row_bounds*> malloc(n_rows * sizeof(row_bounds))
    chunk.reach = <unsigned long long*> malloc(n_rows * sizeof(unsigned long long))
    chunk.waiting = <int*> malloc(n_rows * WAITING * sizeof(int))
    chunk.n_waiting = <int*> malloc(n_rows * sizeof(int))
    chunk.panel.codes = <signed char*> malloc(PANEL * width)
    chunk.floats = <float*> malloc(PANEL * width * sizeof(float))
    chunk.logits = <float*> malloc(n_rows * PANEL * sizeof(float))
    return chunk


cdef void release(Chunk* chunk) noexcept nogil:
    free(chunk.codes)
    free(chunk.rows)
    free(chunk.reach)
    free(chunk.waiting)
    free(chunk.n_waiting)
    free(chunk.panel.codes)
    free(chunk.floats)
    free(chunk.logits)


cdef void rank_rows(
    Chunk* chunk, const float* hidden, Py_ssize_t n_rows, const stored[:, ::1] weights,
    const float[::1] bias, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Top-k of a chunk of rows, panel by panel of classes."""
    cdef:
        Py_ssize_t width = weights.shape[1], n_classes = weights.shape[0]
        Py_ssize_t n_wide = (n_rows + BOUND_ROWS - 1) // BOUND_ROWS * BOUND_ROWS
        Py_ssize_t i, block, first, n_panel
    memset(chunk.codes, 0, n_wide * width)
    memset(chunk.rows, 0, n_wide * sizeof(row_bounds))
    memset(chunk.n_waiting, 0, n_rows * sizeof(int))
    for i in range(n_rows):
        bound_row(hidden + i * width, width, chunk.codes + i * width, &chunk.rows[i])
    for block in range((n_classes + PANEL - 1) // PANEL):
        first = block * PANEL
        n_panel = min(n_classes - first, PANEL)
        # until its list is full, a row is interested in every class
        if first < k or n_panel < PANEL or in_reach(chunk, n_wide, width, &weights[first, 0],
                                                    &bias[first]) > DENSE * n_rows:
            pack_panel(&weights[first, 0], width, n_panel, width, chunk.floats)
            ops.product(n_rows, PANEL, width, hidden, width, 1, chunk.floats, PANEL,
                        chunk.logits, PANEL, 0)
            rank_block(n_rows, n_panel, first, &bias[first], chunk.logits, ids, scores, k)
            for i in range(n_rows):
                chunk.rows[i].threshold = scores[i * k + k - 1]
            continue
        for i in range(n_rows):
            if chunk.reach[i]:
                take(chunk, i, first, hidden + i * width, weights, bias, ids + i * k,
                     scores + i * k, k)
    for i in range(n_rows):
        score_waiting(chunk, i, hidden + i * width, weights, bias, ids + i * k, scores + i * k, k)


cdef Py_ssize_t in_reach(
    Chunk* chunk, Py_ssize_t n_rows, Py_ssize_t width, const stored* weights, const float* bias
) noexcept nogil:
    """Code a panel of classes, and mark those in reach of each row; returns how many marks."""
    cdef int j
    for j in range(PANEL):
        read_row(weights + j * width, chunk.floats, width)
        bound_class(chunk.floats, bias[j], width, j, &chunk.panel)
    return scan_panel(n_rows, width, chunk.codes, chunk.rows, &chunk.panel, chunk.reach)


cdef void take(
    Chunk* chunk, Py_ssize_t i, Py_ssize_t first, const float* hidden,
    const stored[:, ::1] weights, const float[::1] bias, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Let the classes in reach of row i wait, and score them when enough have come."""
    cdef:
        unsigned long long bits = chunk.reach[i]
        Py_ssize_t c
    while bits:
        c = first + lowest_bit(bits)
        bits &= bits - 1
        prefetch_row(&weights[c, 0], weights.shape[1])
        chunk.waiting[i * WAITING + chunk.n_waiting[i]] = <int> c
        chunk.n_waiting[i] += 1
        if chunk.n_waiting[i] == WAITING:
            score_waiting(chunk, i, hidden, weights, bias, ids, scores, k)


cdef void score_waiting(
    Chunk* chunk, Py_ssize_t i, const float* hidden, const stored[:, ::1] weights,
    const float[::1] bias, int* ids, float* scores, Py_ssize_t k
) noexcept nogil:
    """Offer the logits of the waiting classes to the list of row i."""
    cdef:
        Py_ssize_t width = weights.shape[1], j, p, n = chunk.n_waiting[i]
        const int* waiting = chunk.waiting + i * WAITING
        const stored* row
        float[WAITING] logits
    if n == 0:
        return
    for j in range(WAITING):     # the first class stands in the empty places, too
        row = &weights[waiting[j if j < n else 0], 0]
        for p in range(width):
            chunk.floats[p * WAITING + j] = as_float(row + p)
    ops.product(1, WAITING, width, hidden, width, 1, chunk.floats, WAITING, logits, WAITING, 0)
    for j in range(n):
        offer(waiting[j], logits[j] + bias[waiting[j]], ids, scores, k, k)
    chunk.n_waiting[i] = 0
    chunk.rows[i].threshold = scores[k - 1]
