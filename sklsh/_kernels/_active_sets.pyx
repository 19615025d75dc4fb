"""The active set of each row by itself: its labels, retrieved classes, a uniform tail."""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from sklsh._kernels._buckets cimport first_read
from sklsh._kernels._id_set cimport add_to_set, set_capacity
from sklsh._kernels._random cimport below, mix


def draw_sets(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] labels,       # IN (n_labels,), distinct within a row
    const int[:, ::1] codes,     # IN (n, n_tables): codes of the rows; no tables, no retrieval
    const int[:, ::1] starts,    # IN (n_tables, n_buckets + 1)
    const int[:, ::1] ids,       # IN (n_tables, n_classes)
    Py_ssize_t n_classes,
    Py_ssize_t bucket_cap,       # ids looked at in each bucket
    Py_ssize_t n_retrieved,      # at most so many of them enter a set
    unsigned long long seed,
    const int[::1] out_starts,   # IN (n + 1,): row i's set is out[out_starts[i]:out_starts[i + 1]]
    int[::1] out,                # OUT (nnz,)
    int[::1] n_exact,            # OUT (n,): labels and retrieved classes, which come first
    int n_threads,
):
    """Fill each row's set, in this order: labels, ids of its buckets, uniform draws.

    Of a bucket with more than bucket_cap ids, a run of that length is taken from a place
    that the seed and the bucket choose. A set holds at most n_classes ids; the uniform
    draws reject what is in it already, so callers keep sets well below that.
    O(nnz) expected.
    """
    cdef:
        Py_ssize_t n = indptr.shape[0] - 1
        Py_ssize_t i, largest = 0
        Py_ssize_t capacity
        int* seen = NULL
    for i in range(n):
        largest = max(largest, out_starts[i + 1] - out_starts[i])
    capacity = set_capacity(largest)
    with nogil, parallel(num_threads=n_threads):
        seen = <int*> malloc(capacity * sizeof(int))
        for i in prange(n, schedule="dynamic", chunksize=16):
            memset(seen, 255, capacity * sizeof(int))
            n_exact[i] = <int> take_exact(
                labels, indptr[i], indptr[i + 1], codes, i, starts, ids, bucket_cap,
                n_retrieved, seed, seen, capacity, &out[out_starts[i]],
                out_starts[i + 1] - out_starts[i])
            take_tail(n_exact[i], out_starts[i + 1] - out_starts[i], n_classes,
                      mix(~seed) + i, seen, capacity, &out[out_starts[i]])
        free(seen)


cdef Py_ssize_t take_exact(
    const int[::1] labels, Py_ssize_t first_label, Py_ssize_t last_label,
    const int[:, ::1] codes, Py_ssize_t row, const int[:, ::1] starts, const int[:, ::1] ids,
    Py_ssize_t bucket_cap, Py_ssize_t n_retrieved, unsigned long long seed,
    int* seen, Py_ssize_t capacity, int* out, Py_ssize_t size,
) noexcept nogil:
    """Labels, then ids of the row's buckets; returns how many there are."""
    cdef:
        Py_ssize_t n = 0, j, t, first, load, shift, limit
        int id
    for j in range(first_label, last_label):
        add_to_set(seen, capacity, labels[j])
        out[n] = labels[j]
        n += 1
    limit = min(n + n_retrieved, size)
    for t in range(codes.shape[1]):
        if codes[row, t] < 0:
            continue
        first = starts[t, codes[row, t]]
        load = starts[t, codes[row, t] + 1] - first
        shift = first_read(codes[row, t], t, load, bucket_cap, seed)
        for j in range(min(load, bucket_cap)):
            if n >= limit:
                return n
            id = ids[t, first + (shift + j) % load]
            if add_to_set(seen, capacity, id):
                out[n] = id
                n += 1
    return n


cdef void take_tail(
    Py_ssize_t n, Py_ssize_t size, Py_ssize_t n_classes, unsigned long long seed,
    int* seen, Py_ssize_t capacity, int* out,
) noexcept nogil:
    """Uniform draws from the classes that are not in the set, until it holds `size`."""
    cdef:
        unsigned long long counter = 0
        int id
    while n < size:
        id = <int> below(seed, counter, n_classes)
        counter += 1
        if add_to_set(seen, capacity, id):
            out[n] = id
            n += 1
