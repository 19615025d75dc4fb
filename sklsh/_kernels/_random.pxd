"""Counter-based randomness: a hash of (seed, counter), the same on any thread."""


cdef inline unsigned long long mix(unsigned long long x) noexcept nogil:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, doi:10.1145/2660193.2660195)."""
    x = x + <unsigned long long> 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <unsigned long long> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <unsigned long long> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline Py_ssize_t below(
    unsigned long long seed, unsigned long long counter, Py_ssize_t n
) noexcept nogil:
    """A number in [0, n), n < 2^32."""
    return <Py_ssize_t> (((mix(mix(seed) + counter) >> 32) * <unsigned long long> n) >> 32)
