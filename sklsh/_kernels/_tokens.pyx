"""Texts of tokens, gathered from Python's objects in an arena."""

from numpy import frombuffer

from cpython.buffer cimport PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from cython cimport critical_section, final
from libc.math cimport INFINITY, isfinite
from libc.string cimport memcpy

from sklsh._kernels._texts cimport BLOCK, copy

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        PyObject** ob_item
    bint is_str "PyUnicode_CheckExact"(PyObject*) noexcept
    bint is_compact_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject*) noexcept
    Py_ssize_t str_length "PyUnicode_GET_LENGTH"(PyObject*) noexcept
    unsigned char* ascii_chars "PyUnicode_1BYTE_DATA"(PyObject*) noexcept

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void*) noexcept nogil

cdef enum:
    AHEAD = 16         # tokens of a list that are on their way from memory
    CHARS = 48         # where the characters of a str begin, about


@final
cdef class Buffer:
    """An array that grows; a large one, where the system can, by moving its pages, not a copy."""

    cdef:
        bytearray memory
        unsigned char* start
        Py_ssize_t size, capacity  # bytes

    def __cinit__(self):
        self.memory = bytearray()
        self.grow(4096)

    cdef int grow(self, Py_ssize_t capacity) except -1:
        PyByteArray_Resize(self.memory, capacity)
        self.start = <unsigned char*> PyByteArray_AS_STRING(self.memory)
        self.capacity = capacity
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
        return frombuffer(memoryview(self.memory)[:self.size], dtype)


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

        A row is a list, a dict of tokens and values, or an array of fixed-width bytes or native
        fixed-width str; or prepare(row, number of the row) makes one of these of it.
        """
        cdef list following = None  # the next row, if that can be told
        for row in rows:
            self.n_items = 0
            if prepare is not None and not isinstance(row, list):
                row = prepare(row, self.n_rows)
            is_fetched = row is following
            following = row_after(rows, self.n_rows)
            if isinstance(row, list):
                self.add_list(row, is_fetched, following)
            elif isinstance(row, dict):
                self.add_dict(row)
            else:
                self.add_array(row)
            self.add_indptr(self.offsets.size // sizeof(long long) - 1)
            self.n_rows += 1

    def finish(self):
        """Arrays: chars and BLOCK zeros; int64 offsets; float32 values; int64 indptr."""
        cdef long long[2] zeros = [0, 0]
        self.chars.reserve(BLOCK, 1)
        self.chars.append(zeros, BLOCK)
        return (
            self.chars.array("u1"), self.offsets.array("i8"), self.values.array("f4"),
            self.indptr.array("i8"),
        )

    cdef double growth(self) noexcept:
        """By how much to grow: as rows done are to rows expected, within limits."""
        return min(max(1.1 * self.n_expected / (self.n_rows + 1), 2), 8)

    cdef inline int add_offset(self, long long offset) except -1:
        if self.offsets.size + <Py_ssize_t> sizeof(offset) > self.offsets.capacity:
            self.offsets.reserve(sizeof(offset), self.growth())
        self.offsets.append(&offset, sizeof(offset))
        return 0

    cdef int add_indptr(self, long long offset) except -1:
        self.indptr.reserve(sizeof(offset), self.growth())
        self.indptr.append(&offset, sizeof(offset))
        return 0

    cdef int add_list(self, list row, bint is_fetched, list following) except -1:
        """Add the items of a list, of which the first are on their way already if it says so."""
        cdef:
            Py_ssize_t j, n
            PyObject* item  # borrowed, from a list that no other thread may change meanwhile
        with critical_section(row, following):
            if not is_fetched:
                for j in range(min(PyList_GET_SIZE(row), AHEAD)):
                    fetch(PyList_GET_ITEM(row, j))
            j = 0
            while j < PyList_GET_SIZE(row):
                n = PyList_GET_SIZE(row)
                if j + AHEAD < n:
                    fetch(PyList_GET_ITEM(row, j + AHEAD))
                elif following is not None and j + AHEAD - n < PyList_GET_SIZE(following):
                    fetch(PyList_GET_ITEM(following, j + AHEAD - n))
                item = PyList_GET_ITEM(row, j)
                if self.has_values:
                    self.add_pair(<object> item)
                elif is_str(item) and is_compact_ascii(item):  # whose count of references is
                    self.add_text(<const char*> ascii_chars(item), str_length(item))  # left alone
                else:
                    self.add_token(<object> item)
                j += 1
                self.n_items = j
        return 0

    cdef int add_pair(self, pair) except -1:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{self.place()} must be a pair (token, value); got {pair!r}.")
        token, value = pair
        return self.add_entry(token, value)

    cdef int add_dict(self, dict row) except -1:
        for token, value in row.items():
            self.add_entry(token, value)
            self.n_items += 1
        return 0

    cdef int add_entry(self, token, value) except -1:
        """Add a token with its value, unless that is zero; a str as "token=value"."""
        cdef float number = 1
        if isinstance(value, str):
            token = self.encoded(token) + b"=" + self.encoded(value)
        else:
            number = self.number(value)
        if number != 0:
            self.add_token(token)
            self.values.reserve(sizeof(number), self.growth())
            self.values.append(&number, sizeof(number))
        return 0

    cdef inline int add_token(self, token) except -1:
        cdef:
            PyObject* item = <PyObject*> token
            bytes text
        if is_str(item) and is_compact_ascii(item):
            return self.add_text(<const char*> ascii_chars(item), str_length(item))
        text = self.encoded(token)
        return self.add_text(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef inline int add_text(self, const char* text, Py_ssize_t n) except -1:
        if self.chars.size + n > self.chars.capacity:
            self.chars.reserve(n, self.growth())
        copy(<char*> self.chars.start + self.chars.size, text, n)
        self.chars.size += n
        return self.add_offset(self.chars.size)

    cdef int add_array(self, row) except -1:
        """Add tokens of fixed width, without the zeros at their ends."""
        cdef:
            Py_buffer view
            const char* token
            Py_ssize_t i, n
            bint is_bytes = row.dtype.kind == "S"
        PyObject_GetBuffer(row, &view, PyBUF_STRIDED_RO)
        try:
            for i in range(view.shape[0]):
                self.n_items = i
                token = <const char*> view.buf + i * view.strides[0]
                n = view.itemsize
                while n > 0 and token[n - 1] == 0:
                    n -= 1
                if is_bytes:
                    self.add_text(token, n)
                else:
                    self.add_code_points(token, (n + 3) // 4)
        finally:
            PyBuffer_Release(&view)
        return 0

    cdef int add_code_points(self, const char* token, Py_ssize_t n) except -1:
        """Add a token in UTF-32."""
        cdef:
            Py_ssize_t j
            unsigned int c
            char[4] encoded
        for j in range(n):
            memcpy(&c, token + 4 * j, 4)
            if 0xD800 <= c < 0xE000 or c > 0x10FFFF:
                raise ValueError(
                    f"{self.place()} holds the code point {c:#x}, which UTF-8 cannot encode."
                )
            self.chars.reserve(sizeof(encoded), self.growth())
            self.chars.append(encoded, encode(c, encoded))
        return self.add_offset(self.chars.size)

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
        if type(value) is float:
            number = <float> <double> value
        else:
            number = self.converted(value)
        if not isfinite(number):
            raise ValueError(
                f"The value of {self.place('token')} must be finite in float32; got {value!r}."
            )
        return number

    cdef float converted(self, value) except? -1:
        """A number that is no float, or infinity if it is too large for one."""
        try:
            return <float> <double> value
        except OverflowError:
            return INFINITY
        except TypeError as error:
            raise TypeError(
                f"The value of {self.place('token')} must be a number or a str; got {value!r} "
                f"of type {type(value).__name__}."
            ) from error

    def place(self, what="Token"):
        """Which token an error is about."""
        return f"{what} {self.n_items} of sample {self.n_rows}"


cdef list row_after(rows, Py_ssize_t i):
    """Row i + 1 if that is a list in a list; have it and the one behind it on their way."""
    if not isinstance(rows, list) or i + 1 >= len(rows):
        return None
    if i + 2 < len(rows):
        prefetch(PyList_GET_ITEM(rows, i + 2))
    row = rows[i + 1]
    if not isinstance(row, list):
        return None
    prefetch((<PyListObject*> row).ob_item)
    return row


cdef inline void fetch(PyObject* item) noexcept nogil:
    """Have a token on its way: its head and, most often in the next cache line, its text."""
    prefetch(item)
    prefetch(<const char*> item + CHARS)


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
