"""Votes of neighbours for labels, added to the scores of a list of labels."""

from cython.parallel import parallel, prange, threadid
from libc.math cimport INFINITY

from sklsh._kernels._ranking cimport offer


def blend(
    const int[:, ::1] ids,         # IN (n, m): labels of the list, distinct, -1 for none
    const float[:, ::1] scores,    # IN (n, m)
    const int[:, ::1] neighbors,   # IN (n, n_neighbors): rows of labels, -1 for none
    const float[:, ::1] shares,    # IN (n, n_neighbors): what each neighbour's vote weighs
    const Py_ssize_t[::1] indptr,  # IN (n_rows + 1,): labels of the rows that vote, as CSR
    const int[::1] labels,         # IN (nnz,)
    float weight,
    float[:, ::1] votes,           # SCRATCH (n_threads, n_labels), zero before and after
    int[:, ::1] best,              # OUT (n, k): -1 where there are fewer
    float[:, ::1] blended,         # OUT (n, k): -inf there
    int n_threads,
):
    """The k labels of largest score + weight * vote, best first; ties to the smaller label.

    Candidates are the list and the neighbours' labels; where the list lacks one of those,
    its score is the least of the list. O(m + labels of the neighbours) for a row.
    """
    cdef:
        Py_ssize_t n = ids.shape[0], i
        int thread
    if n == 0 or best.shape[1] == 0:
        return
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        for i in prange(n, schedule="dynamic", chunksize=64):
            blend_row(&ids[i, 0], &scores[i, 0], ids.shape[1],
                      &neighbors[i, 0], &shares[i, 0], neighbors.shape[1],
                      &indptr[0], &labels[0], weight, &votes[thread, 0],
                      &best[i, 0], &blended[i, 0], best.shape[1])


cdef void blend_row(
    const int* ids, const float* scores, Py_ssize_t m,
    const int* neighbors, const float* shares, Py_ssize_t n_neighbors,
    const Py_ssize_t* indptr, const int* labels, float weight, float* votes,
    int* best, float* blended, Py_ssize_t k,
) noexcept nogil:
    """One row; `votes` is zero before and after."""
    cdef:
        Py_ssize_t j, p, held = 0
        float least = 0
        bint any_listed = False
    for j in range(n_neighbors):
        if neighbors[j] < 0:
            continue
        for p in range(indptr[neighbors[j]], indptr[neighbors[j] + 1]):
            votes[labels[p]] += shares[j]
    for j in range(m):
        if ids[j] < 0:
            continue
        held = offer(ids[j], scores[j] + weight * votes[ids[j]], best, blended, held, k)
        votes[ids[j]] = 0
        if not any_listed or scores[j] < least:
            least = scores[j]
        any_listed = True
    for j in range(n_neighbors):
        if neighbors[j] < 0:
            continue
        for p in range(indptr[neighbors[j]], indptr[neighbors[j] + 1]):
            if votes[labels[p]] != 0:
                held = offer(labels[p], least + weight * votes[labels[p]], best, blended, held, k)
                votes[labels[p]] = 0
    for j in range(held, k):
        best[j] = -1
        blended[j] = -INFINITY
