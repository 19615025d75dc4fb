"""A small set of ids: open addressing in an array of a power-of-two size, -1 where empty."""


cdef inline Py_ssize_t set_capacity(Py_ssize_t n) noexcept nogil:
    """Places of a set for n ids: a power of two, at most half full."""
    cdef Py_ssize_t capacity = 16
    while capacity < 2 * n:
        capacity *= 2
    return capacity


cdef inline bint add_to_set(int* seen, Py_ssize_t capacity, int id) noexcept nogil:
    """True if the id was not in the set yet. Its place: Knuth's multiplicative hashing."""
    cdef:
        unsigned long long golden = <unsigned long long> 0x9E3779B97F4A7C15
        Py_ssize_t place = <Py_ssize_t> ((golden * id) >> 32) & (capacity - 1)
    while seen[place] >= 0:
        if seen[place] == id:
            return False
        place = (place + 1) & (capacity - 1)
    seen[place] = id
    return True
