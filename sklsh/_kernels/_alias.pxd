"""One draw from a table of `_alias.build_alias`: two look-ups, however many outcomes."""

from sklsh._kernels._random cimport mix


cdef inline int draw(
    const unsigned int* threshold, const int* alias, Py_ssize_t n,
    unsigned long long seed, unsigned long long counter,
) noexcept nogil:
    """An outcome in [0, n): the place that the number of the draw falls on, or its alias."""
    cdef:
        unsigned long long bits = mix(mix(seed) + counter)
        int place = <int> (((bits >> 32) * <unsigned long long> n) >> 32)
    return place if (bits & <unsigned long long> 0xffffffff) <= threshold[place] else alias[place]
