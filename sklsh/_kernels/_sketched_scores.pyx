"""Scores of rows by a linear model that is kept in a table and a count-sketch."""

from cython.parallel import parallel, prange, threadid

from sklsh._kernels._sketched_model cimport Index, Model, as_model, find_places, score


def sketched_scores(
    const Py_ssize_t[::1] indptr,      # IN (n + 1,): rows as CSR
    const Index[::1] features,         # IN (nnz,)
    const float[::1] values,           # IN (nnz,)
    bint mission,
    const long long[::1] ids,                # IN: the model, as for `sketched_sgd`
    const int[::1] slots,
    Py_ssize_t n_active,
    const float[:, ::1] weights,
    int depth,
    unsigned long long seed,
    const float[::1] bias,
    const double[::1] status,
    float[:, ::1] scores,              # OUT (n, n_columns)
    int[:, ::1] places,                # SCRATCH (n_threads, most entries * depth, + 1 a row)
    float[:, ::1] buffer,              # SCRATCH (n_threads, n_columns)
    int n_threads,
):
    """Scores of all rows. O(depth n_columns) an entry."""
    cdef:
        Py_ssize_t n = scores.shape[0], i, first, n_entries
        Model model
        int thread
        const Index* columns = &features[0] if features.shape[0] else NULL
        const float* data = &values[0] if features.shape[0] else NULL
    if n == 0:
        return
    model = as_model(weights, depth, ids, slots, n_active, bias, status, mission, seed)
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        for i in prange(n, schedule="static"):
            first = indptr[i]
            n_entries = indptr[i + 1] - first
            find_places(&model, columns + first, n_entries, &places[thread, 0])
            score(&model, data + first, &places[thread, 0], n_entries, &scores[i, 0],
                  &buffer[thread, 0])
