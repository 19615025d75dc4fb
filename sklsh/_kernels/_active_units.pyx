"""The few units of a layer that each row looks at: those its buckets name most, or any."""

from cython.parallel import parallel, prange
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from sklsh._kernels._random cimport below, mix


def most_frequent(
    const int[:, ::1] codes,     # IN (n, n_tables): codes of the rows; -1 finds nothing
    const int[:, ::1] starts,    # IN (n_tables, n_buckets + 1)
    const int[:, ::1] ids,       # IN (n_tables, n_units)
    int[:, ::1] units,           # OUT (n, m)
    int[::1] n_found,            # OUT (n,): how many of the m places are filled
    Py_ssize_t[::1] n_read,      # OUT (n,): ids read from buckets
    int n_threads,
):
    """The m units that share a bucket with a row in most tables, ascending.

    Of those that share equally many and are too many, a run is taken from a unit on that the
    row's codes choose: not always small ones. O(ids read + n_units / 8) for a row.
    """
    cdef:
        Py_ssize_t n = codes.shape[0], n_units = ids.shape[1], n_tables = codes.shape[1], i
        unsigned short* counts = NULL
        Py_ssize_t* at_least = NULL
    with nogil, parallel(num_threads=n_threads):
        counts = <unsigned short*> malloc(n_units * sizeof(unsigned short))
        at_least = <Py_ssize_t*> malloc((n_tables + 2) * sizeof(Py_ssize_t))
        for i in prange(n, schedule="dynamic", chunksize=4):
            n_read[i] = count_units(&codes[i, 0], starts, ids, counts, at_least)
            n_found[i] = <int> take_most_frequent(
                counts, at_least, n_units, units.shape[1], codes_hash(&codes[i, 0], n_tables),
                &units[i, 0],
            )
        free(counts)
        free(at_least)


cdef Py_ssize_t count_units(
    const int* codes, const int[:, ::1] starts, const int[:, ::1] ids,
    unsigned short* counts, Py_ssize_t* at_least,
) noexcept nogil:
    """How often each unit stands in the row's buckets, and how many do so c times or more."""
    cdef:
        Py_ssize_t n_tables = starts.shape[0], n_read = 0, t, j
        const int* table
        unsigned short count
    memset(counts, 0, ids.shape[1] * sizeof(unsigned short))
    memset(at_least, 0, (n_tables + 2) * sizeof(Py_ssize_t))
    for t in range(n_tables):
        if codes[t] < 0:
            continue
        table = &ids[t, 0]
        for j in range(starts[t, codes[t]], starts[t, codes[t] + 1]):
            count = counts[table[j]] + 1
            counts[table[j]] = count
            at_least[count] += 1
        n_read += starts[t, codes[t] + 1] - starts[t, codes[t]]
    return n_read


cdef Py_ssize_t take_most_frequent(
    const unsigned short* counts, const Py_ssize_t* at_least, Py_ssize_t n_units, Py_ssize_t m,
    unsigned long long salt, int* units,
) noexcept nogil:
    """Units of largest count, at most m of those that were found; returns how many."""
    cdef:
        Py_ssize_t i, n = 0, n_equal, first = below(salt, 0, n_units)
        Py_ssize_t before, after    # equal ones to take: ahead of `first`, and from there on
        unsigned short least = 1
    while at_least[least] > m:
        least += 1
    # All of count `least` or more fit, and of those just below as many as are left.
    n_equal = m - at_least[least] if least > 1 else 0
    after = 0
    for i in range(first, n_units):
        after += counts[i] == least - 1
    after = min(after, n_equal)
    before = n_equal - after
    for i in range(n_units):
        if counts[i] + 1 < least or counts[i] == 0:
            continue
        if counts[i] < least:
            if i < first:
                if before == 0:
                    continue
                before -= 1
            else:
                if after == 0:
                    continue
                after -= 1
        units[n] = <int> i
        n += 1
    return n


cdef unsigned long long codes_hash(const int* codes, Py_ssize_t n) noexcept nogil:
    cdef:
        Py_ssize_t t
        unsigned long long h = 0
    for t in range(n):
        h = mix(h + <unsigned int> codes[t])
    return h


def draw_units(
    const int[::1] indptr,       # IN (n + 1,)
    const int[::1] indices,      # IN (nnz,)
    const float[::1] values,     # IN (nnz,)
    Py_ssize_t n_units,
    unsigned long long seed,
    int[:, ::1] units,           # OUT (n, m), m <= n_units
    int n_threads,
):
    """For each row m units at random, ascending: the seed and the row's values choose them.

    Neither the order of values nor zeros among them matter.

    O(n_units + nnz) for a row.
    """
    cdef Py_ssize_t i, n = units.shape[0]
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        draw_row(row_hash(indices, values, indptr[i], indptr[i + 1], seed), n_units,
                 units.shape[1], &units[i, 0])


cdef void draw_row(
    unsigned long long seed, Py_ssize_t n_units, Py_ssize_t m, int* units
) noexcept nogil:
    """Each unit with the share of those that are left of which as many are still wanted."""
    cdef Py_ssize_t unit, n = 0
    for unit in range(n_units):
        if below(seed, unit, n_units - unit) < m - n:
            units[n] = <int> unit
            n += 1


cdef unsigned long long row_hash(
    const int[::1] indices, const float[::1] values, Py_ssize_t first, Py_ssize_t last,
    unsigned long long seed,
) noexcept nogil:
    cdef:
        Py_ssize_t j
        unsigned int bits
        unsigned long long salt = mix(seed), h = salt
    for j in range(first, last):
        if values[j] != 0:
            memcpy(&bits, &values[j], sizeof(float))
            h += mix(salt + (<unsigned long long> <unsigned int> indices[j] << 32) + bits)
    return mix(h)
