"""Stochastic gradient descent on a linear model that is kept in a table and a count-sketch.

The features that matter most have exact weights in the table's rows; the rest share the cells
of the sketch. In "active" mode (Tai, Sharan, Bailis and Valiant, doi:10.1145/3183713.3196930,
"active-set weight-median sketch") a feature has its weight in one of them: the sketch holds
the tail, of which a feature moves into the table when its estimate passes the threshold, and
back when the table is full. In "mission" mode (Aghazadeh et al., arXiv:1806.04310) every gradient
goes to the sketch, the table holds its heavy hitters, and only those of them that are among
the `keep` largest make predictions.

A batch is scored against the model as it was before, and then changes it. Each thread scores
some of its rows; rows of the table and cells of the sketch belong to one thread each, which
reads all of the batch in order. So the model does not depend on the number of threads.
Features that come into the table do so one by one, in the order of the batch.
"""

from cython.parallel import parallel, threadid
from libc.math cimport fabsf, powf
from libc.string cimport memchr, memcpy

from sklsh._kernels._active_table cimport Table, find, link, norm, raise_threshold
from sklsh._kernels._cells cimport add_to_cells, estimate, hash_of
from sklsh._kernels._margin_losses cimport (
    HINGE, HUBER, LOG_LOSS, MULTINOMIAL, SQUARED_ERROR, Loss, loss_and_gradient,
)
from sklsh._kernels._simd cimport prefetch_bytes
from sklsh._kernels._sketched_model cimport (
    Index, Model, as_model, find_places, read_weight, score, sign_at,
)
from sklsh._kernels._sketched_upkeep cimport compact, fold_scale, shrink

cdef extern from "team.h" nogil:
    void wait_for_team() noexcept
    int team_size() noexcept

LOSSES = {
    "log_loss": LOG_LOSS, "hinge": HINGE, "squared_error": SQUARED_ERROR, "huber": HUBER,
    "multinomial": MULTINOMIAL,
}

cdef enum:
    UPKEEP = 4          # entries, per row of the table, from one upkeep to the next

ctypedef struct Rows:
    const Py_ssize_t* indptr
    const float* values
    const float* targets
    const float* row_weights

ctypedef struct Batch:
    const Py_ssize_t* rows      # (n,)
    Py_ssize_t n
    Py_ssize_t* starts          # (n + 1,): where each row's entries begin in the next two
    int* places                 # (n_entries, n_places)
    unsigned char* promising    # (n_entries,): whether the feature may deserve a row
    int n_places
    float* gradients            # (n, n_columns)
    float* losses               # (n,)
    float step                  # learning rate over scale


cdef inline bint is_mine(int row, Py_ssize_t n_columns, int thread, int n_threads) noexcept nogil:
    """Whether a row of weights belongs to this thread: cache lines are dealt at random."""
    cdef unsigned int line = <unsigned int> ((row * n_columns) >> 4) * 0x9E3779B1u
    return n_threads == 1 or <int> ((<unsigned long long> line * n_threads) >> 32) == thread


cdef Py_ssize_t step_in_one(
    Model* model, const Rows* rows, const Batch* batch, int thread, int n_threads
) noexcept nogil:
    """The step of `take_step` with one column, and one row of cells, in "active" mode."""
    cdef:
        Py_ssize_t i, j, n_promising = 0, n_cells = model.n_cells
        float threshold = model.table.threshold, factor
        float* weights = model.weights
        const float* values
        const int* places = batch.places
        int row
    for i in range(batch.n):
        factor = -batch.step * batch.gradients[i]
        values = rows.values + rows.indptr[batch.rows[i]] - batch.starts[i]
        for j in range(batch.starts[i], batch.starts[i + 1]):
            row = places[j] >> 1
            if is_mine(row, 1, thread, n_threads):
                weights[row] += sign_at(places[j]) * factor * values[j]
                if fabsf(weights[row]) > threshold and row < n_cells:
                    batch.promising[j] = True
                    n_promising += 1
    return n_promising


cdef Py_ssize_t take_step(
    Model* model, const Rows* rows, const Batch* batch, int thread, int n_threads
) noexcept nogil:
    """Move what is this thread's of table and cells.

    With one row of cells, returns for how many entries they now pass the threshold.
    """
    cdef:
        Py_ssize_t i, j, p, c, n_columns = model.n_columns, n_promising = 0
        int r, row, depth = model.tail.depth
        const int* places
        const float* gradient
        float delta
    if n_columns == 1 and depth == 1 and not model.mission:
        if n_threads == 1:
            return step_in_one(model, rows, batch, 0, 1)
        return step_in_one(model, rows, batch, thread, n_threads)
    for i in range(batch.n):
        gradient = batch.gradients + i * n_columns
        p = rows.indptr[batch.rows[i]]
        for j in range(batch.starts[i], batch.starts[i + 1]):
            places = batch.places + j * batch.n_places
            for r in range(depth):
                row = places[r] >> 1
                if is_mine(row, n_columns, thread, n_threads):
                    delta = -sign_at(places[r]) * batch.step * rows.values[p]
                    for c in range(n_columns):
                        model.weights[row * n_columns + c] += delta * gradient[c]
                    if depth == 1 and row < model.n_cells and not model.mission and norm(
                        model.weights + row * n_columns, n_columns
                    ) > model.table.threshold:
                        batch.promising[j] = True
                        n_promising += 1
                if row >= model.n_cells:
                    break
            p += 1
    return n_promising


cdef Py_ssize_t look_for_heavy(
    const Model* model, const Batch* batch, Py_ssize_t first, Py_ssize_t last, float* buffer
) noexcept nogil:
    """Mark entries of some rows whose feature has passed the threshold outside of the table."""
    cdef:
        Py_ssize_t j, n_promising = 0
        int depth = model.tail.depth
        const int* places
    for j in range(batch.starts[first], batch.starts[last]):
        places = batch.places + j * batch.n_places
        if places[depth] < 0 if model.mission else places[0] < 2 * model.n_cells:
            read_weight(model, places, depth, buffer)
            if norm(buffer, model.n_columns) > model.table.threshold:
                batch.promising[j] = True
                n_promising += 1
    return n_promising


cdef void refresh(
    Model* model, const Batch* batch, int thread, int n_threads
) noexcept nogil:
    """Heavy hitters of the batch <- what the sketch says of them now."""
    cdef:
        Py_ssize_t j, n_columns = model.n_columns
        int row, depth = model.tail.depth
    for j in range(batch.starts[batch.n]):
        row = batch.places[j * batch.n_places + depth]
        if row >= 0 and is_mine(row, n_columns, thread, n_threads):
            read_weight(model, batch.places + j * batch.n_places, depth,
                        model.table.weights + row * n_columns)


cdef inline Py_ssize_t next_promising(
    const Batch* batch, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """The first promising one of some entries, -1 if there is none."""
    cdef const void* found = memchr(batch.promising + first, True, last - first)
    return -1 if found == NULL else <const unsigned char*> found - batch.promising


cdef void promote(
    Model* model, const Index* features, const Rows* rows, const Batch* batch, float* buffer
) noexcept nogil:
    """Give a row of the table to each promising feature that still passes the threshold."""
    cdef:
        Py_ssize_t i, j, p
        Table* table = &model.table
        unsigned long long key_hash
    for i in range(batch.n):
        j = batch.starts[i] - 1
        while True:
            j = next_promising(batch, j + 1, batch.starts[i + 1])
            if j < 0:
                break
            batch.promising[j] = False
            p = rows.indptr[batch.rows[i]] + j - batch.starts[i]
            key_hash = hash_of(&model.tail, features[p])
            if find(table, features[p], key_hash) >= 0:
                continue
            estimate(&model.tail, key_hash, buffer)
            if norm(buffer, table.n_columns) <= table.threshold:
                continue
            if table.n == table.capacity:
                compact(model)
                if norm(buffer, table.n_columns) <= table.threshold:
                    continue
                if not model.mission:  # what was put back may share its cells
                    estimate(&model.tail, key_hash, buffer)
            table.ids[table.n] = features[p]
            memcpy(table.weights + table.n * table.n_columns, buffer,
                   table.n_columns * sizeof(float))
            link(table, <int> table.n, key_hash)
            table.n += 1
            if not model.mission:
                add_to_cells(&model.tail, key_hash, -1, buffer)


ctypedef struct Plan:
    const Py_ssize_t* order
    const float* rates
    Py_ssize_t n_rows, batch_size
    Loss loss
    float epsilon, l2, l1
    Py_ssize_t entries       # since the last upkeep
    double total_loss


def sketched_sgd(
    const Py_ssize_t[::1] indptr,      # IN (n + 1,): rows as CSR
    const Index[::1] features,         # IN (nnz,)
    const float[::1] values,           # IN (nnz,)
    const float[::1] targets,          # IN (n,)
    const float[::1] row_weights,      # IN (n,)
    const Py_ssize_t[::1] order,       # IN (n_steps,): rows in the order of training
    const float[::1] rates,            # IN (n_batches,): learning rates
    Py_ssize_t batch_size,
    Loss loss,
    float epsilon,                     # where huber turns straight
    float l2, float l1,
    bint mission,
    long long[::1] ids,                # IN/OUT (capacity + 1,): the table, -1 at the end
    int[::1] slots,                    # IN/OUT (n_slots,)
    Py_ssize_t n_active,               # rows of the table in use
    Py_ssize_t keep,
    float[:, ::1] weights,             # IN/OUT (depth * width + capacity, n_columns): cells,
    int depth,                         # row by row, then the weights of the table
    unsigned long long seed,
    float[::1] bias,                   # IN/OUT (n_columns,)
    double[::1] status,                # IN/OUT (3,): scale of all weights, threshold, and
                                       # entries since the last upkeep
    Py_ssize_t[::1] starts,            # SCRATCH (batch_size + 1,)
    int[::1] places,                   # SCRATCH (most entries * depth, + 1 for "mission")
    unsigned char[::1] promising,      # SCRATCH (most entries,), zero
    float[:, ::1] gradients,           # SCRATCH (batch_size + n_threads, n_columns)
    float[::1] losses,                 # SCRATCH (batch_size,)
    float[:, ::1] norms,               # SCRATCH (2, capacity)
    Py_ssize_t[::1] n_promising,       # SCRATCH (n_threads,)
    int n_threads,
):
    """Train on rows in the order given; returns (rows of the table in use, sum of losses).

    O(depth n_columns) an entry, and O(n_columns) more for each row of the table and each
    UPKEEP entries of it.
    """
    cdef:
        Model model
        Rows rows
        Plan plan
        Batch batch
        int thread
        const Index* columns = &features[0] if features.shape[0] else NULL
    if order.shape[0] == 0:
        return n_active, 0.0
    model = as_model(weights, depth, ids, slots, n_active, bias, status, mission, seed)
    model.table.keep, model.table.norms = keep, &norms[0, 0]
    rows.indptr, rows.targets, rows.row_weights = &indptr[0], &targets[0], &row_weights[0]
    rows.values = &values[0] if values.shape[0] else NULL
    plan.order, plan.rates = &order[0], &rates[0]
    plan.n_rows, plan.batch_size = order.shape[0], batch_size
    plan.loss, plan.epsilon, plan.l2, plan.l1 = loss, epsilon, l2, l1
    plan.entries, plan.total_loss = <Py_ssize_t> status[2], 0
    batch.starts, batch.losses, batch.gradients = &starts[0], &losses[0], &gradients[0, 0]
    batch.places = &places[0] if places.shape[0] else NULL
    batch.promising = &promising[0] if places.shape[0] else NULL
    batch.n_places = depth + mission
    set_batch(&batch, &rows, &plan, &model, 0)
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        train(&model, columns, &rows, &batch, &plan, &n_promising[0], thread, team_size())
    if model.shrinkage > 0:
        shrink(&model)
    status[0], status[1], status[2] = model.scale, model.table.threshold, plan.entries
    return model.table.n, plan.total_loss


cdef void set_batch(
    Batch* batch, const Rows* rows, const Plan* plan, const Model* model, Py_ssize_t number
) noexcept nogil:
    """Turn to the batch of this number."""
    cdef Py_ssize_t i, first = number * plan.batch_size
    batch.rows = plan.order + first
    batch.n = min(plan.batch_size, plan.n_rows - first)
    batch.step = <float> (plan.rates[number] / model.scale)
    batch.starts[0] = 0
    for i in range(batch.n):
        batch.starts[i + 1] = (
            batch.starts[i] + rows.indptr[batch.rows[i] + 1] - rows.indptr[batch.rows[i]]
        )


cdef void train(
    Model* model, const Index* features, const Rows* rows, Batch* batch, Plan* plan,
    Py_ssize_t* n_promising, int thread, int n_threads,
) noexcept nogil:
    """What one thread of the team does, batch by batch."""
    cdef:
        Py_ssize_t n_batches = (plan.n_rows + plan.batch_size - 1) // plan.batch_size
        Py_ssize_t number, i, p, row, first, last, n_columns = model.table.n_columns, found
        float* buffer = batch.gradients + (plan.batch_size + thread) * n_columns
        float* scores
        int* places
    for number in range(n_batches):
        first = batch.n * thread // n_threads
        last = batch.n * (thread + 1) // n_threads
        for i in range(first, last):
            row = batch.rows[i]
            p = rows.indptr[row]
            if i + 1 < batch.n:
                prefetch_bytes(features + rows.indptr[batch.rows[i + 1]], 256)
                prefetch_bytes(rows.values + rows.indptr[batch.rows[i + 1]], 256)
            scores = batch.gradients + i * n_columns
            places = batch.places + batch.starts[i] * batch.n_places
            find_places(model, features + p, rows.indptr[row + 1] - p, places)
            score(model, rows.values + p, places, rows.indptr[row + 1] - p, scores, buffer)
            batch.losses[i] = rows.row_weights[row] * loss_and_gradient(
                plan.loss, scores, n_columns, rows.targets[row], plan.epsilon)
            for p in range(n_columns):
                scores[p] *= rows.row_weights[row]
        wait_for_team()
        found = take_step(model, rows, batch, thread, n_threads)
        if model.mission or model.tail.depth > 1:
            wait_for_team()
            if model.mission:
                refresh(model, batch, thread, n_threads)
            found = look_for_heavy(model, batch, first, last, buffer)
        n_promising[thread] = found
        wait_for_team()
        if thread == 0:
            for i in range(1, n_threads):
                found += n_promising[i]
            end_batch(model, features, rows, batch, plan, number, found, buffer)
            if number + 1 < n_batches:
                set_batch(batch, rows, plan, model, number + 1)
        wait_for_team()


cdef void end_batch(
    Model* model, const Index* features, const Rows* rows, const Batch* batch, Plan* plan,
    Py_ssize_t number, Py_ssize_t n_promising, float* buffer,
) noexcept nogil:
    """What is done by one thread after a step: bias, newcomers, penalties, upkeep."""
    cdef:
        Py_ssize_t i, c, n_columns = model.table.n_columns
        float rate = plan.rates[number], total = 0
    for i in range(batch.n):
        plan.total_loss += batch.losses[i]
        total += rows.row_weights[batch.rows[i]]
    rate = min(rate, <float> 0.5 / total)  # every row has it: the sum must stay stable
    for c in range(n_columns):
        total = 0
        for i in range(batch.n):
            total += batch.gradients[i * n_columns + c]
        model.bias[c] -= rate * total
    if n_promising:
        promote(model, features, rows, batch, buffer)
    if plan.l2 > 0:
        model.scale *= powf(max(1 - plan.rates[number] * plan.l2, 0), batch.n)
        if model.scale < 1e-6:
            fold_scale(model)
    model.shrinkage += plan.rates[number] * plan.l1 * batch.n
    plan.entries += batch.starts[batch.n]
    if plan.entries >= UPKEEP * model.table.capacity:
        if model.shrinkage > 0:
            shrink(model)
        raise_threshold(&model.table)
        plan.entries = 0
