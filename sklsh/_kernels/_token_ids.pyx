"""Ids of tokens: their hashes, and where the texts of ids stand."""

from cython.parallel import prange
from libc.string cimport memcpy

from sklsh._kernels._random cimport mix
from sklsh._kernels._texts cimport BLOCK, copy

cdef extern from *:
    ctypedef unsigned long long uint128 "unsigned __int128"
    bint IS_BIG_ENDIAN "(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)"
    unsigned long long byte_swapped "__builtin_bswap64"(unsigned long long) noexcept nogil

cdef enum:
    WORD = 8           # bytes
    AT_ONCE = 4096     # tokens that a thread hashes

cdef long long LAST_COLUMN = (<unsigned long long> 1 << 63) - 2  # of 2^63 - 1

PADDING = BLOCK        # zeros behind the last text of an arena


def hash_tokens(
    const unsigned char[::1] chars,   # IN: arena
    const long long[::1] offsets,     # IN (n + 1,)
    unsigned long long seed,
    long long[::1] ids,               # OUT (n,): from 0 to below 2^63 - 1
    int n_threads,
):
    """Hash the texts of an arena. O(text)."""
    cdef:
        Py_ssize_t n = ids.shape[0], n_parts = (n + AT_ONCE - 1) // AT_ONCE, part, j
        unsigned long long first_key = mix(seed), second_key = mix(first_key)
    check_arena(chars.shape[0], offsets, n)
    for part in prange(n_parts, nogil=True, num_threads=n_threads, schedule="static"):
        for j in range(part * AT_ONCE, min(n, (part + 1) * AT_ONCE)):
            ids[j] = token_id(<const char*> &chars[offsets[j]], offsets[j + 1] - offsets[j],
                              first_key, second_key)


def first_entries(
    const long long[::1] ids,         # IN (n_entries,)
    const long long[::1] wanted,      # IN (n,), distinct
    Py_ssize_t[::1] places,           # SCRATCH (a power of two, >= 2 n): -1
    Py_ssize_t[::1] first,            # IN/OUT (n,): -1
):
    """Find the first entry that has each of the wanted ids; -1 stays where none has.

    A hash set of the wanted ids; ends when all are found. O(n + n_entries).
    """
    cdef:
        Py_ssize_t n = wanted.shape[0], last = places.shape[0] - 1, missing = n, i, place
    if places.shape[0] < 2 * n or places.shape[0] & last or first.shape[0] != n:
        raise ValueError("The set must have a power of two of places, twice as many as ids.")
    with nogil:
        for i in range(n):
            place = set_place(wanted[i], last)
            while places[place] >= 0:
                place = (place + 1) & last
            places[place] = i
        for i in range(ids.shape[0]):
            if missing == 0:
                break
            place = set_place(ids[i], last)
            while places[place] >= 0 and wanted[places[place]] != ids[i]:
                place = (place + 1) & last
            if places[place] >= 0 and first[places[place]] < 0:
                first[places[place]] = i
                missing -= 1


def match_sorted(
    const long long[::1] ids,         # IN (n,), ascending
    const long long[::1] among,       # IN (m,), ascending
    Py_ssize_t[::1] places,           # OUT (n,)
):
    """Where each id stands in the other array; -1 where it does not. O(n + m)."""
    cdef Py_ssize_t i, j = 0, m = among.shape[0]
    with nogil:
        for i in range(ids.shape[0]):
            while j < m and among[j] < ids[i]:
                j += 1
            places[i] = j if j < m and among[j] == ids[i] else -1


def copy_texts(
    const unsigned char[::1] chars,   # IN: arena
    const long long[::1] offsets,     # IN
    const Py_ssize_t[::1] entries,    # IN (n,): which texts to copy
    const Py_ssize_t[::1] slots,      # IN (n,): where they go
    const long long[::1] new_offsets,  # IN
    unsigned char[::1] new_chars,     # OUT: arena
):
    """Copy texts into slots of their lengths in another arena. O(text)."""
    cdef Py_ssize_t i, start
    with nogil:
        for i in range(entries.shape[0]):
            start = offsets[entries[i]]
            copy(<char*> &new_chars[new_offsets[slots[i]]], <const char*> &chars[start],
                 offsets[entries[i] + 1] - start)


cdef int check_arena(Py_ssize_t n_chars, const long long[::1] offsets, Py_ssize_t n) except -1:
    if offsets.shape[0] != n + 1 or offsets[0] != 0 or offsets[n] + BLOCK > n_chars:
        raise ValueError("The arena must have an offset more than texts, and its padding.")
    return 0


cdef inline long long token_id(
    const char* text, Py_ssize_t n, unsigned long long first_key, unsigned long long second_key
) noexcept nogil:
    """Hash n bytes, of which those up to the next multiple of 16 may be read.

    Each block of two words is folded into the state: the words, hidden by a key and by the
    state, are multiplied, and the halves of the 128-bit product combined by exclusive or.
    Such folded products are the mixing step of wyhash (Wang Yi,
    https://github.com/wangyi-fudan/wyhash). The state begins with the length, so zeros at
    the end count; a finaliser of full avalanche ends it.
    """
    cdef unsigned long long state = second_key + <unsigned long long> n
    while n > 0:
        state = fold(word(text, n) ^ first_key, word(text + WORD, n - WORD) ^ state)
        text += BLOCK
        n -= BLOCK
    return min(<long long> (mix(state) >> 1), LAST_COLUMN)


cdef inline unsigned long long word(const char* text, Py_ssize_t n) noexcept nogil:
    """The first 8 of n bytes as a little-endian number; zeros before them if n < 8."""
    cdef:
        unsigned long long bits
        Py_ssize_t half = 4 * (WORD - max(min(n, WORD), 0))
    memcpy(&bits, text, WORD)
    if IS_BIG_ENDIAN:
        bits = byte_swapped(bits)
    return bits << half << half  # in two steps, as 64 bits at once cannot be shifted out


cdef inline unsigned long long fold(unsigned long long a, unsigned long long b) noexcept nogil:
    cdef uint128 product = <uint128> a * b
    return <unsigned long long> (product >> 64) ^ <unsigned long long> product


cdef inline Py_ssize_t set_place(long long id, Py_ssize_t last) noexcept nogil:
    """Where to look for an id first: Knuth's multiplicative hashing."""
    cdef unsigned long long golden = <unsigned long long> 0x9E3779B97F4A7C15
    return <Py_ssize_t> ((golden * <unsigned long long> id) >> 32) & last
