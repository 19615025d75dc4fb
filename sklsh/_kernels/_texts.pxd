"""Arenas: texts one behind the other, in UTF-8, and where they begin.

Text j is chars[offsets[j]:offsets[j + 1]]. Behind the last one stand zeros, which the hash may
read.
"""

from libc.string cimport memcpy

cdef enum:
    BLOCK = 16         # bytes that are hashed at a time, and zeros at the end of an arena


cdef inline void copy(char* target, const char* source, Py_ssize_t n) noexcept nogil:
    """Copy n bytes; 4 to 16, the usual length, as four words that overlap, without branches."""
    cdef:
        unsigned int[4] words
        Py_ssize_t second = (n >> 3) << 2
    if 4 <= n <= 16:
        memcpy(&words[0], source, 4)
        memcpy(&words[1], source + second, 4)
        memcpy(&words[2], source + n - 4 - second, 4)
        memcpy(&words[3], source + n - 4, 4)
        memcpy(target, &words[0], 4)
        memcpy(target + second, &words[1], 4)
        memcpy(target + n - 4 - second, &words[2], 4)
        memcpy(target + n - 4, &words[3], 4)
    else:
        memcpy(target, source, n)
