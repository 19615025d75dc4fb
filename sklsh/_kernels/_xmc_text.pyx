"""Rows of extreme multi-label text files: "label,label feature:value feature:value"."""

from decimal import Decimal
from math import inf, nextafter
from struct import pack, unpack

from libc.float cimport FLT_MIN
from libc.math cimport INFINITY, isinf
from libc.string cimport memchr, memcpy

cpdef enum Problem:
    NOTHING
    LABEL      # expected a label in range
    FEATURE    # expected a feature in range and a colon
    VALUE      # expected a number that is finite in float32

cdef enum:
    MOST_POWER = 65    # 10^18 / 10^66 rounds to zero in float32

cdef long long FULL = 100000000000000000  # 18 digits: no more go into a mantissa

cdef double[MOST_POWER + 1] POWERS  # of ten, each correctly rounded
for _power in range(MOST_POWER + 1):
    POWERS[_power] = float(f"1e{_power}")

cdef struct Rows:
    Py_ssize_t n_classes, n_features
    int* labels
    int* features
    float* values
    Py_ssize_t n_labels, n_entries


def parse_rows(
    const unsigned char[::1] text,  # IN (n,): whole lines
    Py_ssize_t n_classes,        # below 2^31
    Py_ssize_t n_features,       # below 2^31
    int[::1] labels,             # OUT (>= (n + 1) / 2,)
    Py_ssize_t[::1] label_ends,  # OUT (most_rows,): where each row's labels end
    int[::1] features,           # OUT (>= (n + 1) / 4,)
    float[::1] values,           # OUT (>= (n + 1) / 4,)
    Py_ssize_t[::1] feature_ends,  # OUT (most_rows,)
):
    """Parse lines until the text ends, the row arrays are full, or a line is malformed.

    A label takes at least a digit and what parts it from the next one, a feature with its
    value three characters and a blank; hence the sizes of the outputs. Labels and features
    are written as they come. Empty lines are counted but are no rows. O(n).

    Returns (n_rows, n_lines, place, problem): complete rows, lines taken, the place in the
    text where parsing stopped, and what was wrong there, in the last of these lines.
    """
    cdef:
        Py_ssize_t n = text.shape[0], most_rows = label_ends.shape[0]
        Py_ssize_t n_rows = 0, n_lines = 0, place = 0, end, following
        int problem = NOTHING
        const unsigned char* newline
        const unsigned char* chars
        Rows rows
    if (
        labels.shape[0] < (n + 1) // 2 or features.shape[0] < (n + 1) // 4
        or values.shape[0] < (n + 1) // 4 or feature_ends.shape[0] < most_rows
        or not 0 <= n_classes < 2**31 or not 0 <= n_features < 2**31
    ):
        raise ValueError("The outputs are too small for the text, or the columns too many.")
    if n == 0 or most_rows == 0:
        return 0, 0, 0, NOTHING
    chars = &text[0]
    rows.n_classes, rows.n_features, rows.n_labels, rows.n_entries = n_classes, n_features, 0, 0
    rows.labels = &labels[0]
    rows.features = &features[0] if features.shape[0] else NULL
    rows.values = &values[0] if values.shape[0] else NULL
    with nogil:
        while place < n and n_rows < most_rows:
            newline = <const unsigned char*> memchr(chars + place, c"\n", n - place)
            end = n if newline == NULL else newline - chars
            following = n if newline == NULL else end + 1
            n_lines += 1
            if end > place and chars[end - 1] == c"\r":
                end -= 1
            if end > place:
                problem = parse_labels(chars, &place, end, &rows)
                if problem == NOTHING:
                    problem = parse_features(chars, &place, end, &rows)
                if problem != NOTHING:
                    break
                label_ends[n_rows] = rows.n_labels
                feature_ends[n_rows] = rows.n_entries
                n_rows += 1
            place = following
    return n_rows, n_lines, place, problem


def parse_float32(const unsigned char[::1] text):
    """Nearest float32 of a number that fills the text, or None if that is not finite."""
    cdef:
        Py_ssize_t end
        float value = 0
    if text.shape[0] == 0:
        return None
    end = read_value(&text[0], 0, text.shape[0], &value)
    return value if end == text.shape[0] else None


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef inline bint is_blank(unsigned char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef int parse_labels(
    const unsigned char* text, Py_ssize_t* place, Py_ssize_t end, Rows* rows
) noexcept nogil:
    """Read labels parted by commas, none where the line begins with a blank."""
    cdef:
        Py_ssize_t i
        int label
    if is_blank(text[place[0]]):
        return NOTHING
    while True:
        i = read_index(text, place[0], end, rows.n_classes, &label)
        if i < 0 or (i < end and text[i] != c"," and not is_blank(text[i])):
            return LABEL
        rows.labels[rows.n_labels] = label
        rows.n_labels += 1
        place[0] = i
        if i == end or text[i] != c",":
            return NOTHING
        place[0] += 1


cdef int parse_features(
    const unsigned char* text, Py_ssize_t* place, Py_ssize_t end, Rows* rows
) except -1 nogil:
    """Read pairs feature:value parted by blanks."""
    cdef:
        Py_ssize_t i
        int feature
        float value
    while True:
        while place[0] < end and is_blank(text[place[0]]):
            place[0] += 1
        if place[0] == end:
            return NOTHING
        i = read_index(text, place[0], end, rows.n_features, &feature)
        if i < 0 or i == end or text[i] != c":":
            return FEATURE
        i = read_value(text, i + 1, end, &value)
        if i < 0 or (i < end and not is_blank(text[i])):
            return VALUE
        rows.features[rows.n_entries] = feature
        rows.values[rows.n_entries] = value
        rows.n_entries += 1
        place[0] = i


cdef inline Py_ssize_t read_index(
    const unsigned char* text, Py_ssize_t start, Py_ssize_t end, Py_ssize_t limit, int* index
) noexcept nogil:
    """Read an integer below `limit`; returns the place behind it, or -1."""
    cdef:
        Py_ssize_t i = start
        long long number = 0
    while i < end and is_digit(text[i]):
        number = 10 * number + (text[i] - c"0")
        if number >= limit:
            return -1
        i += 1
    index[0] = <int> number
    return i if i > start else -1


cdef Py_ssize_t read_value(
    const unsigned char* text, Py_ssize_t start, Py_ssize_t end, float* value
) except -2 nogil:
    """Read a decimal number; returns the place behind it, or -1 if it is none or infinite."""
    cdef:
        Py_ssize_t i = start, digits
        long long mantissa = 0, exponent = 0, written = 0
        bint negative = False, after_point = False, inverse
    if i < end and (text[i] == c"-" or text[i] == c"+"):
        negative = text[i] == c"-"
        i += 1
    digits = i
    while i < end and (is_digit(text[i]) or (text[i] == c"." and not after_point)):
        if text[i] == c".":
            after_point = True
        elif mantissa < FULL:
            mantissa = 10 * mantissa + (text[i] - c"0")
            exponent -= after_point
        else:
            exponent += not after_point
        i += 1
    if i - digits == after_point:  # no digit, or nothing but the point
        return -1
    if i < end and (text[i] == c"e" or text[i] == c"E"):
        i += 1
        inverse = i < end and text[i] == c"-"
        if i < end and (text[i] == c"-" or text[i] == c"+"):
            i += 1
        if i == end or not is_digit(text[i]):
            return -1
        while i < end and is_digit(text[i]):
            if written < FULL // 100:  # longer than any text, far from overflow
                written = 10 * written + (text[i] - c"0")
            i += 1
        exponent += -written if inverse else written
    value[0] = nearest_float32(mantissa, exponent, text + digits, i - digits)
    if negative:
        value[0] = -value[0]
    return -1 if isinf(value[0]) else i


cdef float nearest_float32(
    long long mantissa, long long exponent, const unsigned char* digits, Py_ssize_t n_digits
) except? -1 nogil:
    """Round mantissa 10^exponent, the first 18 digits of a number, to float32, ties to even.

    A double holds the whole number to within 4 of its units: as the power is rounded, so is
    the product, and further digits are left out. What float32 drops of it, the low 29 bits,
    tells where to round, except next to the middle and among subnormal numbers: there exact
    arithmetic decides.
    """
    cdef:
        double number
        unsigned long long bits
        long long middle = 1 << 28
    if mantissa == 0 or exponent < -MOST_POWER:
        return 0
    if exponent > 38:
        return INFINITY
    if exponent < 0:
        number = <double> mantissa / POWERS[-exponent]
    else:
        number = <double> mantissa * POWERS[exponent]
    memcpy(&bits, &number, sizeof(double))
    if number < FLT_MIN or -8 <= <long long> (bits % (1 << 29)) - middle <= 8:
        return exact_float32(digits, n_digits)
    return <float> number


cdef float exact_float32(const unsigned char* text, Py_ssize_t n) except? -1 with gil:
    """Nearest float32 of a positive number, by way of the double rounded to odd.

    Rounding to nearest twice can miss a tie; rounding to odd first keeps track of it
    (Boldo and Melquiond, doi:10.1109/TC.2007.70819).
    """
    digits = (<const char*> text)[:n].decode("ascii")
    exact, number = Decimal(digits), float(digits)
    rounded = Decimal.from_float(number)
    if exact != rounded and unpack("<q", pack("<d", number))[0] % 2 == 0:
        number = nextafter(number, inf if exact > rounded else -inf)
    return <float> <double> number
