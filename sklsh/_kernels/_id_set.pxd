"""A small set of ids: open addressing in an array of a power-of-two size, -1 where empty."""

from sklsh._kernels._random cimport mix


cdef inline Py_ssize_t set_capacity(Py_ssize_t n) noexcept nogil:
    """Places of a set for n ids: a power of two, at most half full."""
    cdef Py_ssize_t capacity = 16
    while capacity < 2 * n:
        capacity *= 2
    return capacity


cdef inline bint add_to_set(int* seen, Py_ssize_t capacity, int id) noexcept nogil:
    """True if the id was not in the set yet."""
    cdef Py_ssize_t place = <Py_ssize_t> (mix(id) & <unsigned long long> (capacity - 1))
    while seen[place] >= 0:
        if seen[place] == id:
            return False
        place = (place + 1) & (capacity - 1)
    seen[place] = id
    return True
