"""A count-sketch, its cells as (depth * width, n_columns) floats: adding to it, and asking it.

See _cells.pxd for where a key has its cells.
"""

from cython.parallel import prange

from sklsh._kernels._cells cimport (
    MOST_DEPTH, Cells, as_cells, cell_of, estimate, hash_of, least, prefetch_cells, vector_of,
)

cdef enum:
    AHEAD = 16          # keys whose cells are in flight

DEEPEST = MOST_DEPTH


def update(
    const long long[::1] keys,       # IN (n,)
    const float[:, ::1] values,      # IN (n, n_columns)
    float[:, ::1] cells,             # IN/OUT (depth * width, n_columns)
    int depth,
    bint signed_cells,
    unsigned long long seed,
    int n_threads,
):
    """Add each key's values to its cells.

    Each thread adds to cells of its own, in the order of the keys, so that rounding does not
    depend on their number. O(depth n_columns) a key; hashing O(n_threads depth).
    """
    cdef:
        Py_ssize_t n = keys.shape[0]
        int part
        Cells sketch
    if n == 0:
        return
    sketch = as_cells(
        &cells[0, 0], depth, cells.shape[0] // depth, cells.shape[1], signed_cells, seed
    )
    for part in prange(n_threads, num_threads=n_threads, schedule="static", nogil=True):
        add_own(&sketch, &keys[0], &values[0, 0], n, part, n_threads)


cdef void add_own(
    const Cells* sketch, const long long* keys, const float* values, Py_ssize_t n,
    int part, int n_parts,
) noexcept nogil:
    """Add to the cells of one part: a range of places in every row."""
    cdef:
        Py_ssize_t first = sketch.width * part // n_parts
        Py_ssize_t last = sketch.width * (part + 1) // n_parts
        Py_ssize_t i, c, cell, place, n_columns = sketch.n_columns
        unsigned long long key_hash
        float sign
        float* out
        int r
    for i in range(n):
        if i + AHEAD < n:
            prefetch_cells(sketch, hash_of(sketch, keys[i + AHEAD]))
        key_hash = hash_of(sketch, keys[i])
        for r in range(sketch.depth):
            cell = cell_of(sketch, &key_hash, r, &sign)
            place = cell - r * sketch.width
            if first <= place < last:
                out = vector_of(sketch, cell)
                for c in range(n_columns):
                    out[c] += sign * values[i * n_columns + c]


def query(
    const long long[::1] keys,       # IN (n,)
    const float[:, ::1] cells,       # IN (depth * width, n_columns)
    int depth,
    bint signed_cells,
    unsigned long long seed,
    bint minimum,                    # of the rows, not the median
    float[:, ::1] out,               # OUT (n, n_columns)
    int n_threads,
):
    """Estimates of what has been added for each key. O(depth n_columns) a key."""
    cdef:
        Py_ssize_t n = keys.shape[0], i
        Cells sketch
    if n == 0:
        return
    sketch = as_cells(
        <float*> &cells[0, 0], depth, cells.shape[0] // depth, cells.shape[1], signed_cells, seed
    )
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        if i + AHEAD < n:
            prefetch_cells(&sketch, hash_of(&sketch, keys[i + AHEAD]))
        if minimum:
            least(&sketch, hash_of(&sketch, keys[i]), &out[i, 0])
        else:
            estimate(&sketch, hash_of(&sketch, keys[i]), &out[i, 0])
