"""Nearest rows by an inverted index: for each feature, the rows that have it.

The cosine of a query of unit length with all rows is a sum over the query's features of
what stands in their postings. Nothing is left out.
"""

from cython.parallel import parallel, prange
from libc.stdlib cimport calloc, free

from sklsh._kernels._ranking cimport offer

cdef enum:
    BLOCK = 256        # rows whose sums are looked at, or passed over, together


def nearest(
    const Py_ssize_t[::1] indptr,  # IN (n_queries + 1,): queries as CSR, of unit length
    const int[::1] indices,        # IN (nnz,)
    const float[::1] data,         # IN (nnz,)
    const Py_ssize_t[::1] starts,  # IN (n_features + 1,): where each feature's postings begin
    const int[::1] rows,           # IN (n_postings,)
    const float[::1] values,       # IN (n_postings,): of rows of unit length
    Py_ssize_t n_rows,
    int[:, ::1] ids,               # OUT (n_queries, k): -1 where fewer share a feature
    float[:, ::1] cosines,         # OUT (n_queries, k): 0 there
    int n_threads,
):
    """The k rows of largest positive cosine with each query, best first; ties to the smaller id.

    O(postings of a query's features + n_rows / BLOCK) for a query, and 4 n_rows bytes a
    thread. Sums are taken in the order of the query's features.
    """
    cdef:
        Py_ssize_t n_queries = ids.shape[0], k = ids.shape[1]
        Py_ssize_t n_blocks = (n_rows + BLOCK - 1) // BLOCK
        Py_ssize_t i
        float* sums = NULL
        char* touched = NULL
    if n_queries == 0 or k == 0:
        return
    with nogil, parallel(num_threads=n_threads):
        sums = <float*> calloc(n_blocks * BLOCK, sizeof(float))
        touched = <char*> calloc(n_blocks, 1)
        for i in prange(n_queries, schedule="dynamic", chunksize=16):
            add_postings(&indices[0] + indptr[i], &data[0] + indptr[i], indptr[i + 1] - indptr[i],
                         &starts[0], &rows[0], &values[0], sums, touched)
            take_best(sums, touched, n_blocks, &ids[i, 0], &cosines[i, 0], k)
        free(sums)
        free(touched)


cdef void add_postings(
    const int* features, const float* weights, Py_ssize_t n,
    const Py_ssize_t* starts, const int* rows, const float* values,
    float* sums, char* touched,
) noexcept nogil:
    """sums[r] += weight times value of each posting (r, value); notes the blocks of r."""
    cdef:
        Py_ssize_t j, p
        float weight
    for j in range(n):
        weight = weights[j]
        for p in range(starts[features[j]], starts[features[j] + 1]):
            sums[rows[p]] += weight * values[p]
            touched[rows[p] // BLOCK] = 1


cdef void take_best(
    float* sums, char* touched, Py_ssize_t n_blocks, int* ids, float* cosines, Py_ssize_t k
) noexcept nogil:
    """Rank the positive sums, and clear all for the next query."""
    cdef:
        Py_ssize_t block, r, held = 0
        float least = 0
    for block in range(n_blocks):
        if not touched[block]:
            continue
        touched[block] = 0
        for r in range(block * BLOCK, (block + 1) * BLOCK):
            if sums[r] > least:
                held = offer(<int> r, sums[r], ids, cosines, held, k)
                least = cosines[k - 1] if held == k else 0
            sums[r] = 0
    for r in range(held, k):
        ids[r] = -1
        cosines[r] = 0
