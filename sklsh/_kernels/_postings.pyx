"""Nearest rows by an inverted index: for each feature, the rows that have it.

The cosine of a query with all rows is a sum over what stands in the postings of its
features. Short postings come first, those of rare features, which tell most. Once k rows
are sure to be nearer than the features left could bring any other, no row joins the
candidates, and those fall out that can't reach the k-th any more. As in MaxScore of Turtle
and Flood (doi:10.1016/0306-4573(95)00020-H), the result is exact; the bound is that of
Cauchy and Schwarz: rows have unit length, so what is left of a sum is at most the length
of what is left of the query.
"""

from cython.parallel import parallel, prange, threadid
from libc.math cimport INFINITY, sqrt

from sklsh._kernels._ranking cimport offer

cdef enum:
    BISECTION = 16     # postings that are read in the time in which one is searched for

cdef float ROUNDING = 1.2e-7   # of two sums below 1, for each of their terms
cdef float LOOK_BELOW = 0.7    # how far the bound falls between two looks at the candidates

ctypedef struct Index:
    const Py_ssize_t* starts
    const int* rows
    const float* values


def nearest(
    const Py_ssize_t[::1] indptr,  # IN (n_queries + 1,): queries as CSR, of unit length,
    const int[::1] features,       # IN (nnz,): in each the feature of fewest postings first
    const float[::1] weights,      # IN (nnz,)
    const Py_ssize_t[::1] starts,  # IN (n_features + 1,): where each feature's postings begin
    const int[::1] rows,           # IN (n_postings,): rising for each feature
    const float[::1] values,       # IN (n_postings,): of rows of unit length
    Py_ssize_t n_rows,
    int[:, ::1] ids,               # OUT (n_queries, k): -1 where fewer share a feature
    float[:, ::1] cosines,         # OUT (n_queries, k): 0 there
    float[:, ::1] sums,            # SCRATCH (n_threads, >= n_rows)
    int[:, ::1] touched,           # SCRATCH (n_threads, > n_rows)
    int n_threads,
):
    """The k rows of largest positive cosine with each query, best first; ties to the smaller id.

    O(postings of the query's features) for a query, and less where those of common features
    can be left unread. Sums are taken in the order of `features`.
    """
    cdef:
        Py_ssize_t n_queries = ids.shape[0], k = ids.shape[1], i, r
        int thread
        Index index
    if n_queries == 0 or k == 0:
        return
    index.starts, index.rows, index.values = &starts[0], &rows[0], &values[0]
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        for r in range(n_rows):
            sums[thread, r] = -INFINITY  # not touched
        for i in prange(n_queries, schedule="dynamic", chunksize=16):
            nearest_to(&features[0] + indptr[i], &weights[0] + indptr[i],
                       indptr[i + 1] - indptr[i], index, &sums[thread, 0], &touched[thread, 0],
                       &ids[i, 0], &cosines[i, 0], k)


cdef void nearest_to(
    const int* features, const float* weights, Py_ssize_t n, Index index,
    float* sums, int* touched, int* ids, float* cosines, Py_ssize_t k,
) noexcept nogil:
    """One query; all sums are -inf before and after."""
    cdef:
        Py_ssize_t j, t, n_postings, unpaid = 0, held = 0, n_touched = 0
        float kth, bound, looked_at = 1
        double left = 0  # square of the length of what is left of the query
        bint closed = False  # whether no row can join any more
    for j in range(n):
        left += <double> weights[j] * weights[j]
    for j in range(n):
        n_postings = index.starts[features[j] + 1] - index.starts[features[j]]
        unpaid += n_postings
        bound = sqrt(max(left, 0)) + (n + 16) * ROUNDING
        if (bound < LOOK_BELOW * looked_at and n_touched >= k
                and unpaid >= n_touched + k * (n - j) * BISECTION):
            unpaid, looked_at = 0, bound
            kth = kth_at_least(features + j, weights + j, n - j, index, sums, touched, n_touched,
                               ids, cosines, k)
            closed = closed or bound < kth
            if closed:
                n_touched = drop_below(kth - bound, sums, touched, n_touched)
        if not closed:
            n_touched = add_to_all(features[j], weights[j], index, sums, touched, n_touched)
        elif n_touched * BISECTION < n_postings:
            for t in range(n_touched):
                sums[touched[t]] += weights[j] * value_at(features[j], touched[t], index)
        else:
            add_to_touched(features[j], weights[j], index, sums)
        left -= <double> weights[j] * weights[j]
    for t in range(n_touched):
        if sums[touched[t]] > 0:
            held = offer(touched[t], sums[touched[t]], ids, cosines, held, k)
        sums[touched[t]] = -INFINITY
    for t in range(held, k):
        ids[t] = -1
        cosines[t] = 0


cdef Py_ssize_t add_to_all(
    int feature, float weight, Index index, float* sums, int* touched, Py_ssize_t n_touched
) noexcept nogil:
    """sums[r] += weight times value of each posting (r, value); returns how many are touched."""
    cdef:
        Py_ssize_t p
        int r
    for p in range(index.starts[feature], index.starts[feature + 1]):
        r = index.rows[p]
        if sums[r] == -INFINITY:
            touched[n_touched] = r
            n_touched += 1
            sums[r] = 0
        sums[r] += weight * index.values[p]
    return n_touched


cdef void add_to_touched(int feature, float weight, Index index, float* sums) noexcept nogil:
    """The same for rows that are touched already: others stay at -inf by themselves."""
    cdef Py_ssize_t p
    for p in range(index.starts[feature], index.starts[feature + 1]):
        sums[index.rows[p]] += weight * index.values[p]


cdef float value_at(int feature, int row, Index index) noexcept nogil:
    """Value of a feature in a row, by bisection without branches that depend on the data."""
    cdef:
        const int* first = index.rows + index.starts[feature]
        Py_ssize_t n = index.starts[feature + 1] - index.starts[feature], half
    if n == 0:
        return 0
    while n > 1:
        half = n // 2
        first = first + half if first[half] <= row else first
        n -= half
    return index.values[first - index.rows] if first[0] == row else 0


cdef float kth_at_least(
    const int* features, const float* weights, Py_ssize_t n, Index index,
    const float* sums, const int* touched, Py_ssize_t n_touched,
    int* ids, float* cosines, Py_ssize_t k,
) noexcept nogil:
    """What the k-th largest cosine is at least: the least of the k rows that lead so far.

    Their cosines are completed by the features left. `ids` and `cosines` are scratch.
    """
    cdef:
        Py_ssize_t t, j, held = 0
        float least = INFINITY, cosine
    for t in range(n_touched):
        if held < k or sums[touched[t]] >= cosines[k - 1]:
            held = offer(touched[t], sums[touched[t]], ids, cosines, held, k)
    for t in range(k):
        cosine = cosines[t]
        for j in range(n):
            cosine += weights[j] * value_at(features[j], ids[t], index)
        least = min(least, cosine)
    return least


cdef Py_ssize_t drop_below(
    float least, float* sums, int* touched, Py_ssize_t n_touched
) noexcept nogil:
    """Let go of rows whose sums are below `least`; returns how many stay touched."""
    cdef Py_ssize_t t, n_kept = 0
    for t in range(n_touched):
        if sums[touched[t]] < least:
            sums[touched[t]] = -INFINITY
        else:
            touched[n_kept] = touched[t]
            n_kept += 1
    return n_kept
