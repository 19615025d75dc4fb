"""Cells of a count-sketch, (depth, width, n_columns), and where a key has its own.

In each of `depth` rows a key has one cell and one sign, both read from bits of its hash that
no other row reads. A cell is a vector of n_columns floats. Without signs it is the count-min
sketch, whose cells can only be too large for what is not negative.
"""

from sklsh._kernels._random cimport mix
from sklsh._kernels._simd cimport prefetch_bytes

cdef enum:
    MOST_DEPTH = 16

ctypedef struct Cells:
    float* values
    Py_ssize_t width, n_columns
    int depth, bits            # bits: of a place in a row, width = 2^bits
    int shift[MOST_DEPTH]      # where in a hash each row reads; 0: in a fresh one
    bint signed_cells
    unsigned long long salt


cdef inline Cells as_cells(
    float* values, int depth, Py_ssize_t width, Py_ssize_t n_columns, bint signed_cells,
    unsigned long long seed,
) noexcept nogil:
    """The cells in `values`; the width is a power of two."""
    cdef:
        Cells cells
        int r, taken = 0
    cells.values, cells.depth, cells.width, cells.n_columns = values, depth, width, n_columns
    cells.signed_cells = signed_cells
    cells.salt = mix(seed)
    cells.bits = 0
    while (<Py_ssize_t> 1 << cells.bits) < cells.width:
        cells.bits += 1
    for r in range(cells.depth):
        if taken + cells.bits + 1 > 64:
            taken = 0
        cells.shift[r] = taken
        taken += cells.bits + 1
    return cells


cdef inline unsigned long long hash_of(const Cells* cells, long long key) noexcept nogil:
    """Hash of a key, of which every row of cells reads its own bits."""
    return mix(cells.salt + <unsigned long long> key)


cdef inline Py_ssize_t place_of(
    const Cells* cells, unsigned long long* key_hash, int r
) noexcept nogil:
    """Twice the number of a key's cell in row r, and one more where its sign there is -1.

    Rows are asked for in order.
    """
    cdef unsigned long long bits
    if r and cells.shift[r] == 0:
        key_hash[0] = mix(key_hash[0])
    bits = key_hash[0] >> cells.shift[r]
    return (
        2 * (r * cells.width + <Py_ssize_t> (bits & <unsigned long long> (cells.width - 1)))
        + <Py_ssize_t> ((bits >> cells.bits) & <unsigned long long> cells.signed_cells)
    )


cdef inline Py_ssize_t cell_of(
    const Cells* cells, unsigned long long* key_hash, int r, float* sign
) noexcept nogil:
    """Number of a key's cell in row r, and its sign there. Rows are asked for in order."""
    cdef Py_ssize_t place = place_of(cells, key_hash, r)
    sign[0] = 1 - 2 * (place & 1)
    return place >> 1


cdef inline float* vector_of(const Cells* cells, Py_ssize_t cell) noexcept nogil:
    return cells.values + cell * cells.n_columns


cdef inline void add_to_cells(
    const Cells* cells, unsigned long long key_hash, float factor, const float* values
) noexcept nogil:
    """Every cell of a key += sign * factor * values."""
    cdef:
        int r
        Py_ssize_t c
        float sign
        float* cell
    for r in range(cells.depth):
        cell = vector_of(cells, cell_of(cells, &key_hash, r, &sign))
        sign *= factor
        for c in range(cells.n_columns):
            cell[c] += sign * values[c]


cdef inline void prefetch_cells(const Cells* cells, unsigned long long key_hash) noexcept nogil:
    """Ask for the cells of a key ahead of their use."""
    cdef:
        int r
        float sign
    for r in range(cells.depth):
        prefetch_bytes(vector_of(cells, cell_of(cells, &key_hash, r, &sign)),
                       cells.n_columns * sizeof(float))


cdef inline void estimate(
    const Cells* cells, unsigned long long key_hash, float* out
) noexcept nogil:
    """out <- median over rows of sign * cell; of an even number the mean of the middle two."""
    cdef:
        int r, depth = cells.depth
        Py_ssize_t c
        float sign[MOST_DEPTH]
        float value[MOST_DEPTH]
        float* cell[MOST_DEPTH]
    for r in range(depth):
        cell[r] = vector_of(cells, cell_of(cells, &key_hash, r, &sign[r]))
    for c in range(cells.n_columns):
        if depth == 1:
            out[c] = sign[0] * cell[0][c]
        elif depth == 3:
            out[c] = median_of_three(
                sign[0] * cell[0][c], sign[1] * cell[1][c], sign[2] * cell[2][c]
            )
        else:
            for r in range(depth):
                value[r] = sign[r] * cell[r][c]
            out[c] = median(value, depth)


cdef inline float median_of_three(float a, float b, float c) noexcept nogil:
    return max(min(a, b), min(max(a, b), c))


cdef inline float median(float* value, int n) noexcept nogil:
    """Median of a few values, which are sorted in place."""
    cdef:
        int i, j
        float x
    for i in range(1, n):
        x = value[i]
        j = i
        while j > 0 and value[j - 1] > x:
            value[j] = value[j - 1]
            j -= 1
        value[j] = x
    return value[n // 2] if n % 2 else (value[n // 2 - 1] + value[n // 2]) / 2


cdef inline void least(
    const Cells* cells, unsigned long long key_hash, float* out
) noexcept nogil:
    """out <- minimum over rows of sign * cell"""
    cdef:
        int r
        Py_ssize_t c
        float sign
        const float* cell
    for r in range(cells.depth):
        cell = vector_of(cells, cell_of(cells, &key_hash, r, &sign))
        for c in range(cells.n_columns):
            out[c] = min(out[c], sign * cell[c]) if r else sign * cell[c]
