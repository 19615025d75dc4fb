"""Tokens as 64-bit ids: texts gathered in an arena, then hashed without the GIL.

An arena is texts one behind the other, in UTF-8, and offsets: text j is
chars[offsets[j]:offsets[j + 1]].
"""

from numpy import empty, frombuffer

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from cython cimport critical_section, final
from cython.parallel import prange
from libc.math cimport isfinite
from libc.string cimport memcpy

from sklsh._kernels._random cimport mix

cdef extern from "Python.h":
    bint is_str "PyUnicode_CheckExact"(PyObject*) noexcept
    bint is_compact_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject*) noexcept
    Py_ssize_t str_length "PyUnicode_GET_LENGTH"(PyObject*) noexcept
    unsigned char* ascii_chars "PyUnicode_1BYTE_DATA"(PyObject*) noexcept

cdef extern from *:
    ctypedef unsigned long long uint128 "unsigned __int128"
    bint IS_BIG_ENDIAN "(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)"
    unsigned long long byte_swapped "__builtin_bswap64"(unsigned long long) noexcept nogil
    void prefetch "__builtin_prefetch"(const void*) noexcept nogil

cdef enum:
    WORD = 8           # bytes
    BLOCK = 16
    AHEAD = 16         # tokens of a list that are on their way from memory
    CHARS = 48         # where the characters of a str begin, about
    AT_ONCE = 4096     # tokens that a thread hashes

cdef long long LAST_COLUMN = (<unsigned long long> 1 << 63) - 2  # of 2^63 - 1

PADDING = BLOCK        # bytes of an arena behind the last text, which are read but not used


@final
cdef class Buffer:
    """An array that grows."""

    cdef:
        unsigned char[::1] memory
        unsigned char* start
        Py_ssize_t size, capacity  # bytes

    def __cinit__(self):
        self.grow(4096)

    cdef int grow(self, Py_ssize_t capacity) except -1:
        cdef unsigned char[::1] memory = empty(capacity, "u1")
        if self.size > 0:
            memcpy(&memory[0], self.start, self.size)
        self.memory, self.start, self.capacity = memory, &memory[0], capacity
        return 0

    cdef inline int reserve(self, Py_ssize_t n, double growth) except -1:
        """Have room for n bytes more; if that takes growing, then to `growth` times the size."""
        if self.size + n > self.capacity:
            self.grow(<Py_ssize_t> (growth * self.size) + n)
        return 0

    cdef inline void append(self, const void* source, Py_ssize_t n) noexcept:
        """Add bytes for which there is room."""
        memcpy(self.start + self.size, source, n)
        self.size += n

    cdef array(self, dtype):
        """What was added, as an array."""
        return frombuffer(self.memory[:self.size], dtype)


@final
cdef class TokenArena:
    """Gathers the texts and values of tokens, row by row.

    Parameters
    ----------
    has_values : bool
        Whether the items of rows are pairs (token, value); or else tokens, of value 1.

    n_expected : int
        Rows that will come, by which memory is reserved; 0 if that is not known.
    """

    cdef:
        Buffer chars, offsets, values, indptr
        bint has_values
        Py_ssize_t n_expected
        Py_ssize_t n_rows, n_items  # before the row and the item in hand

    def __cinit__(self, bint has_values, Py_ssize_t n_expected):
        self.chars, self.offsets, self.values, self.indptr = [Buffer() for _ in range(4)]
        self.has_values, self.n_expected = has_values, n_expected
        self.add_offset(0)
        self.add_indptr(0)

    def add_rows(self, rows, prepare):
        """Add all rows of an iterable. O(text).

        A row is a list, or what prepare(row, number of the row) makes of it: a list, or a
        matrix with a token in each row, padded by zeros: uint8 bytes or uint32 code points.
        """
        for row in rows:
            self.n_items = 0
            if not isinstance(row, list):
                row = prepare(row, self.n_rows)
            if isinstance(row, list):
                self.add_list(row)
            elif row.itemsize == 1:
                self.add_bytes(row)
            else:
                self.add_code_points(row)
            self.add_indptr(self.offsets.size // sizeof(long long) - 1)
            self.n_rows += 1

    def finish(self):
        """Arrays: chars with PADDING; int64 offsets; float32 values; int64 indptr."""
        cdef long long[2] zeros = [0, 0]
        self.chars.reserve(BLOCK, 1)
        self.chars.append(zeros, BLOCK)
        return (
            self.chars.array("u1"), self.offsets.array("i8"), self.values.array("f4"),
            self.indptr.array("i8"),
        )

    cdef double growth(self) noexcept:
        """By how much to grow: as rows done are to rows expected, within limits."""
        return min(max(1.1 * self.n_expected / (self.n_rows + 1), 2), 64)

    cdef inline int add_offset(self, long long offset) except -1:
        if self.offsets.size + <Py_ssize_t> sizeof(offset) > self.offsets.capacity:
            self.offsets.reserve(sizeof(offset), self.growth())
        self.offsets.append(&offset, sizeof(offset))
        return 0

    cdef int add_indptr(self, long long offset) except -1:
        self.indptr.reserve(sizeof(offset), self.growth())
        self.indptr.append(&offset, sizeof(offset))
        return 0

    cdef int add_list(self, list row) except -1:
        cdef:
            Py_ssize_t j
            PyObject* item  # borrowed, from a list that other threads may not change meanwhile
        with critical_section(row):
            for j in range(min(PyList_GET_SIZE(row), AHEAD)):
                fetch(PyList_GET_ITEM(row, j))
            j = 0
            while j < PyList_GET_SIZE(row):
                if j + AHEAD < PyList_GET_SIZE(row):
                    fetch(PyList_GET_ITEM(row, j + AHEAD))
                item = PyList_GET_ITEM(row, j)
                if self.has_values:
                    self.add_pair(<object> item)
                elif is_str(item) and is_compact_ascii(item):
                    self.add_text(<const char*> ascii_chars(item), str_length(item))
                else:
                    self.add_token(<object> item)
                j += 1
                self.n_items = j
        return 0

    cdef int add_pair(self, pair) except -1:
        """Add a token with its value, unless that is zero; a str as "token=value"."""
        cdef float number = 1
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{self.place()} must be a pair (token, value); got {pair!r}.")
        token, value = pair
        if isinstance(value, str):
            token = self.encoded(token) + b"=" + self.encoded(value)
        else:
            number = self.number(value)
        if number != 0:
            self.add_token(token)
            self.values.reserve(sizeof(number), self.growth())
            self.values.append(&number, sizeof(number))
        return 0

    cdef int add_token(self, token) except -1:
        cdef bytes text = self.encoded(token)
        return self.add_text(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef inline int add_text(self, const char* text, Py_ssize_t n) except -1:
        if self.chars.size + n > self.chars.capacity:
            self.chars.reserve(n, self.growth())
        copy(<char*> self.chars.start + self.chars.size, text, n)
        self.chars.size += n
        return self.add_offset(self.chars.size)

    cdef int add_bytes(self, const unsigned char[:, ::1] tokens) except -1:
        """Add tokens of fixed width, without the zeros at their ends."""
        cdef Py_ssize_t i, n
        for i in range(tokens.shape[0]):
            n = tokens.shape[1]
            while n > 0 and tokens[i, n - 1] == 0:
                n -= 1
            self.add_text(<const char*> &tokens[i, 0], n)
        return 0

    cdef int add_code_points(self, const unsigned int[:, ::1] tokens) except -1:
        """Add tokens of fixed width in UTF-32, without the zeros at their ends."""
        cdef:
            Py_ssize_t i, j, n
            char[4] encoded
        for i in range(tokens.shape[0]):
            n = tokens.shape[1]
            while n > 0 and tokens[i, n - 1] == 0:
                n -= 1
            for j in range(n):
                if 0xD800 <= tokens[i, j] < 0xE000 or tokens[i, j] > 0x10FFFF:
                    self.n_items = i
                    raise ValueError(
                        f"{self.place()} holds the code point {tokens[i, j]:#x}, "
                        "which UTF-8 cannot encode."
                    )
                self.chars.reserve(sizeof(encoded), self.growth())
                self.chars.append(encoded, encode(tokens[i, j], encoded))
            self.add_offset(self.chars.size)
        return 0

    cdef bytes encoded(self, token):
        if isinstance(token, bytes):
            return token
        if not isinstance(token, str):
            raise TypeError(
                f"{self.place()} must be a str or bytes; got {token!r} of type "
                f"{type(token).__name__}."
            )
        try:
            return token.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{self.place()}, {ascii(token)}, holds a lone surrogate, which UTF-8 cannot "
                "encode."
            ) from error

    cdef float number(self, value) except? -1:
        cdef float number
        try:
            number = <float> <double> value
        except TypeError as error:
            raise TypeError(
                f"The value of {self.place('token')} must be a number or a str; got {value!r} "
                f"of type {type(value).__name__}."
            ) from error
        except OverflowError:
            number = 2 * <float> 3e38
        if not isfinite(number):
            raise ValueError(
                f"The value of {self.place('token')} must be finite in float32; got {value!r}."
            )
        return number

    def place(self, what="Token"):
        """Which token an error is about."""
        return f"{what} {self.n_items} of sample {self.n_rows}"


def hash_tokens(
    const unsigned char[::1] chars,   # IN: arena, with PADDING
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


cdef inline void fetch(PyObject* item) noexcept nogil:
    """Have a token on its way: its head and, most often in the next cache line, its text."""
    prefetch(item)
    prefetch(<const char*> item + CHARS)


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


cdef inline Py_ssize_t encode(unsigned int c, char* text) noexcept nogil:
    """Write a code point in UTF-8; returns the number of bytes."""
    cdef Py_ssize_t n = 1 + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000), i
    if n == 1:
        text[0] = <char> c
        return 1
    for i in range(n - 1, 0, -1):
        text[i] = <char> (0x80 | (c & 0x3F))
        c >>= 6
    text[0] = <char> ((0xF00 >> n) & 0xFF | c)
    return n


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
