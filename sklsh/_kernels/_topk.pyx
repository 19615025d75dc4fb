"""Exact top-k classes of each row, in blocks that never hold all scores at once."""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc

from sklsh._kernels._products cimport PANEL, pack_panel
from sklsh._kernels._ranking cimport offer
from sklsh._kernels._simd cimport ops
from sklsh._kernels._stored cimport stored

cdef enum:
    ROWS = 128         # rows a thread takes at a time: they share each packed block


def top_k(
    const float[:, ::1] hidden,  # IN (n, width), width a multiple of 16
    const stored[:, ::1] weights,  # IN (n_classes, width)
    const float[::1] bias,       # IN (n_classes,)
    int[:, ::1] ids,             # OUT (n, k), k <= n_classes
    float[:, ::1] scores,        # OUT (n, k)
    int n_threads,
):
    """The k classes of largest logit of each row, best first; ties to the smaller id.

    A thread scores a chunk of rows against 64 classes at a time and looks inside a block
    only where its largest logit beats the row's k-th best so far.
    O(n n_classes width) time, and O(k) for each class that enters a row's list; memory
    for one chunk.
    """
    cdef:
        Py_ssize_t n = hidden.shape[0], width = hidden.shape[1]
        Py_ssize_t n_classes = weights.shape[0], k = ids.shape[1]
        Py_ssize_t n_chunks = (n + ROWS - 1) // ROWS
        Py_ssize_t chunk, block, first, n_rows
        float* panel = NULL
        float* logits = NULL
    if n == 0 or k == 0:
        return
    with nogil, parallel(num_threads=n_threads):
        panel = <float*> malloc(PANEL * width * sizeof(float))
        logits = <float*> malloc(ROWS * PANEL * sizeof(float))
        for chunk in prange(n_chunks, schedule="dynamic"):
            n_rows = min(n - chunk * ROWS, ROWS)
            for block in range((n_classes + PANEL - 1) // PANEL):
                first = block * PANEL
                pack_panel(&weights[first, 0], width, min(n_classes - first, PANEL), width, panel)
                ops.product(n_rows, PANEL, width, &hidden[chunk * ROWS, 0], width, 1,
                            panel, PANEL, logits, PANEL, 0)
                rank_block(n_rows, min(n_classes - first, PANEL), first, &bias[first], logits,
                           &ids[chunk * ROWS, 0], &scores[chunk * ROWS, 0], k)
        free(panel)
        free(logits)


cdef void rank_block(
    Py_ssize_t n_rows, Py_ssize_t n_classes, Py_ssize_t first,
    const float* bias, float* logits, int* ids, float* scores, Py_ssize_t k,
) noexcept nogil:
    """Offer the block's logits to the rows' lists, which hold min(first, k) entries."""
    cdef:
        Py_ssize_t i, j, held
        float top
    for i in range(n_rows):
        held = min(first, k)
        top = ops.add_max(&logits[i * PANEL], bias, n_classes)
        if held == k and top <= scores[i * k + k - 1]:
            continue
        for j in range(n_classes):
            held = offer(<int> (first + j), logits[i * PANEL + j],
                         &ids[i * k], &scores[i * k], held, k)
