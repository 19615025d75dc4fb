"""A linear model that is kept in a table and a count-sketch, and its scores.

The features that matter most have weights of their own, in the rows of a table; the rest share
the cells of the sketch. In "active" mode a feature has its weight in one of them. In "mission"
mode it has it in its cells, and those in the table are copies of the largest; only of them are
scores made.
"""

from libc.string cimport memset

from sklsh._kernels._active_table cimport Table, find, norm
from sklsh._kernels._cells cimport (
    MOST_DEPTH, Cells, as_cells, hash_of, median, median_of_three, place_of,
)

cdef enum:
    BLOCK = 16          # features that are hashed together

ctypedef fused Index:
    int
    long long

ctypedef struct Model:
    float* weights          # (depth * width + capacity, n_columns): cells, then the table's
    float* bias             # (n_columns,)
    Table table
    Cells tail
    Py_ssize_t n_cells, n_columns
    double scale            # of all weights
    double shrinkage        # that the weights of the table still have to undergo
    bint mission


cdef inline Model as_model(
    const float[:, ::1] weights, int depth, const long long[::1] ids, const int[::1] slots,
    Py_ssize_t n_active, const float[::1] bias, const double[::1] status, bint mission,
    unsigned long long seed,
) noexcept nogil:
    """The model in these arrays, see `sketched_sgd`; they are written to only there."""
    cdef Model model
    model.n_columns = weights.shape[1]
    model.n_cells = weights.shape[0] - ids.shape[0] + 1
    model.weights, model.bias = <float*> &weights[0, 0], <float*> &bias[0]
    model.tail = as_cells(
        model.weights, depth, model.n_cells // depth, model.n_columns, True, seed
    )
    model.table.ids, model.table.slots = <long long*> &ids[0], <int*> &slots[0]
    model.table.weights = model.weights + model.n_cells * model.n_columns
    model.table.n, model.table.capacity = n_active, ids.shape[0] - 1
    model.table.n_slots, model.table.n_columns = slots.shape[0], model.n_columns
    model.table.threshold, model.table.salt = <float> status[1], model.tail.salt
    model.scale, model.shrinkage, model.mission = status[0], 0, mission
    return model


cdef inline float sign_at(int place) noexcept nogil:
    """A place is twice a row of the model's weights, and one more where the sign is -1."""
    return 1 - 2 * (place & 1)


cdef inline void find_places(
    const Model* model, const Index* features, Py_ssize_t n, int* places
) noexcept nogil:
    """Where the weight of each feature of a row is.

    In "active" mode that is the feature's row of the table, or its cells; in "mission" mode its
    cells, and then its row of the table or -1.
    """
    cdef:
        Py_ssize_t block, first, n_here, j
        unsigned long long[BLOCK] hashes
        Table table = model.table    # copies, which no store to places can change
        Cells tail = model.tail
        int row, cell, n_cells = <int> model.n_cells
    for block in range((n + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        n_here = min(n - first, BLOCK)
        for j in range(n_here):
            hashes[j] = hash_of(&tail, features[first + j])
        if tail.depth == 1 and not model.mission:
            for j in range(n_here):
                row = find(&table, features[first + j], hashes[j])
                cell = <int> place_of(&tail, &hashes[j], 0)
                places[j] = cell + (row >= 0) * (2 * (n_cells + row) - cell)  # no branch
            places += n_here
        else:
            for j in range(n_here):
                row = find(&table, features[first + j], hashes[j])
                places += write_places(&tail, &hashes[j], row, n_cells, model.mission, places)


cdef inline int write_places(
    const Cells* cells, unsigned long long* key_hash, int row, int n_cells, bint mission,
    int* places,
) noexcept nogil:
    """The places of one feature; returns how many there are."""
    cdef int r
    for r in range(cells.depth):
        places[r] = <int> place_of(cells, key_hash, r)
    if mission:
        places[cells.depth] = row
    elif row >= 0:
        places[0] = 2 * (n_cells + row)
    return cells.depth + mission


cdef inline float weight_at(
    const float* weights, const int* places, int depth, Py_ssize_t n_cells,
    Py_ssize_t n_columns, Py_ssize_t c,
) noexcept nogil:
    """One column of the weight at a feature's places: the table's, or the median of the cells."""
    cdef:
        int r
        float value[MOST_DEPTH]
    value[0] = sign_at(places[0]) * weights[(places[0] >> 1) * n_columns + c]
    if depth == 1 or places[0] >= 2 * n_cells:
        return value[0]
    for r in range(1, depth):
        value[r] = sign_at(places[r]) * weights[(places[r] >> 1) * n_columns + c]
    if depth == 3:
        return median_of_three(value[0], value[1], value[2])
    return median(value, depth)


cdef inline void read_weight(
    const Model* model, const int* places, int depth, float* out
) noexcept nogil:
    """out <- all columns of the weight at a feature's places"""
    cdef Py_ssize_t c
    for c in range(model.n_columns):
        out[c] = weight_at(model.weights, places, depth, model.n_cells, model.n_columns, c)


cdef inline float score_in_one(
    const Model* model, const float* values, const int* places, Py_ssize_t n, int depth
) noexcept nogil:
    """Score of a row of n features, in "active" mode with one column."""
    cdef:
        Py_ssize_t j, n_cells = model.n_cells
        const float* weights = model.weights
        float total = 0
    for j in range(n):
        total += values[j] * weight_at(weights, places + j * depth, depth, n_cells, 1, 0)
    return total


cdef inline void score(
    const Model* model, const float* values, const int* places, Py_ssize_t n, float* scores,
    float* buffer,
) noexcept nogil:
    """Scores of a row of n features; `buffer` takes n_columns floats."""
    cdef:
        Py_ssize_t j, c, n_columns = model.n_columns
        int depth = model.tail.depth, row
        const float* weights
    memset(scores, 0, n_columns * sizeof(float))
    if model.mission:
        for j in range(n):
            row = places[j * (depth + 1) + depth]
            weights = model.table.weights + row * n_columns
            if row >= 0 and norm(weights, n_columns) >= model.table.threshold:
                for c in range(n_columns):
                    scores[c] += values[j] * weights[c]
    elif n_columns == 1:
        if depth == 1:
            scores[0] = score_in_one(model, values, places, n, 1)
        else:
            scores[0] = score_in_one(model, values, places, n, depth)
    else:
        for j in range(n):
            read_weight(model, places + j * depth, depth, buffer)
            for c in range(n_columns):
                scores[c] += values[j] * buffer[c]
    for c in range(n_columns):
        scores[c] = <float> (scores[c] * model.scale) + model.bias[c]
