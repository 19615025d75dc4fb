"""Reading buckets of flat hash tables (see _tables.pyx), of full ones only a part."""

from sklsh._kernels._random cimport below, mix
from sklsh._kernels._simd cimport prefetch_bytes


cdef inline Py_ssize_t first_read(
    int code, Py_ssize_t t, Py_ssize_t load, Py_ssize_t bucket_cap, unsigned long long salt
) noexcept nogil:
    """Place in its bucket of the first id read, from where reading goes round.

    Of a bucket with more than bucket_cap ids, the salt and the bucket choose it: not always
    the first, or small ids would crowd out large.
    """
    return below(mix(salt) + code, t, load) if load > bucket_cap else 0


cdef inline void prefetch_buckets(
    const int* codes, const int[:, ::1] starts, const int[:, ::1] ids,
    Py_ssize_t bucket_cap, unsigned long long salt,
) noexcept nogil:
    """Ask for the ids that a query will read, ahead of their use."""
    cdef Py_ssize_t t, first, load, shift
    for t in range(starts.shape[0]):
        if codes[t] >= 0:
            first = starts[t, codes[t]]
            load = starts[t, codes[t] + 1] - first
            shift = first_read(codes[t], t, load, bucket_cap, salt)
            prefetch_bytes(&ids[t, 0] + first + shift,
                           min(load - shift, bucket_cap) * sizeof(int))
