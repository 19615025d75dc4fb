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
reads all of the batch in order. So the model does not depend on the number of threads. Where a
feature's weight is one number in one place, threads score what they own too: `_sketched_deal`.
Features that come into the table do so one by one, in the order of the batch.
"""

from cython.parallel import parallel, threadid
from libc.math cimport powf
from libc.string cimport memchr, memcpy

from sklsh._kernels._active_table cimport Table, find, link, norm, raise_threshold
from sklsh._kernels._cells cimport add_to_cells, estimate, hash_of
from sklsh._kernels._margin_losses cimport Loss, loss_and_gradient
from sklsh._kernels._simd cimport prefetch_bytes
from sklsh._kernels._sketched_deal cimport (
    SHARDS, Deal, Entry, add_up, deal_row, score_of, step_of_owner,
)
from sklsh._kernels._sketched_model cimport (
    Index, Model, as_model, find_places, score,
)
from sklsh._kernels._sketched_step cimport (
    Batch, Rows, first_row_of, look_for_heavy, refresh, start_of, take_step,
)
from sklsh._kernels._sketched_upkeep cimport compact, fold_scale, shrink

cdef extern from "team.h" nogil:
    void wait_for_team() noexcept
    int team_size() noexcept

N_SHARDS = SHARDS           # threads that can own weights of a model with one output

cdef enum:
    UPKEEP = 4          # entries, per row of the table, from one upkeep to the next

cdef inline Py_ssize_t next_promising(const Batch* batch, Py_ssize_t first) noexcept nogil:
    """The first promising one of the entries from `first` on, -1 if there is none."""
    cdef const void* found = memchr(
        batch.promising + first, True, start_of(batch, batch.n) - first
    )
    return -1 if found == NULL else <const unsigned char*> found - batch.promising


cdef void promote(
    Model* model, const Index* features, const Rows* rows, const Batch* batch, float* buffer
) noexcept nogil:
    """Give a row of the table to each promising feature that still passes the threshold."""
    cdef:
        Py_ssize_t i = 0, j = next_promising(batch, 0), p
        Table* table = &model.table
        unsigned long long key_hash
    while j >= 0:
        batch.promising[j] = False
        while start_of(batch, i + 1) <= j:
            i += 1
        p = rows.indptr[batch.rows[i]] + j - start_of(batch, i)
        j = next_promising(batch, j + 1)
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
    const Py_ssize_t* starts
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
    const Py_ssize_t[::1] starts,      # IN (n_steps + 1,): where their entries begin, so ordered
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
    int[::1] places,                   # SCRATCH (most entries * depth, + 1 for "mission")
    unsigned char[::1] promising,      # SCRATCH (most entries,), zero
    float[:, ::1] gradients,           # SCRATCH (batch_size + n_threads, n_columns)
    float[::1] losses,                 # SCRATCH (batch_size,)
    float[:, :, ::1] entries,          # SCRATCH (n_owners, most entries, 2) or, where these are
                                       # not dealt, empty
    Py_ssize_t[:, ::1] ends,           # SCRATCH (n_owners, batch_size)
    float[:, ::1] sums,                # SCRATCH (SHARDS, batch_size)
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
        Deal deal
        int thread
        const Index* columns = &features[0] if features.shape[0] else NULL
    if order.shape[0] == 0:
        return n_active, 0.0
    model = as_model(weights, depth, ids, slots, n_active, bias, status, mission, seed)
    model.table.keep, model.table.norms = keep, &norms[0, 0]
    rows.indptr, rows.targets, rows.row_weights = &indptr[0], &targets[0], &row_weights[0]
    rows.values = &values[0] if values.shape[0] else NULL
    plan.order, plan.starts, plan.rates = &order[0], &starts[0], &rates[0]
    plan.n_rows, plan.batch_size = order.shape[0], batch_size
    plan.loss, plan.epsilon, plan.l2, plan.l1 = loss, epsilon, l2, l1
    plan.entries, plan.total_loss = <Py_ssize_t> status[2], 0
    batch.losses, batch.gradients = &losses[0], &gradients[0, 0]
    batch.places = &places[0] if places.shape[0] else NULL
    batch.promising = &promising[0] if places.shape[0] else NULL
    batch.n_places = depth + mission
    deal.entries = <Entry*> &entries[0, 0, 0] if entries.shape[0] and entries.shape[1] else NULL
    deal.ends, deal.sums = &ends[0, 0], &sums[0, 0]
    deal.most, deal.batch_size = entries.shape[1], batch_size
    with nogil, parallel(num_threads=n_threads):
        thread = threadid()
        train(&model, columns, &rows, batch, deal, &plan, &n_promising[0], thread, team_size())
    if model.shrinkage > 0:
        shrink(&model)
    status[0], status[1], status[2] = model.scale, model.table.threshold, plan.entries
    return model.table.n, plan.total_loss


cdef inline void set_batch(
    Batch* batch, const Plan* plan, const Model* model, Py_ssize_t number
) noexcept nogil:
    """Turn to the batch of this number."""
    cdef Py_ssize_t first = number * plan.batch_size
    batch.rows, batch.starts = plan.order + first, plan.starts + first
    batch.n = min(plan.batch_size, plan.n_rows - first)
    batch.step = <float> (plan.rates[number] / model.scale)


cdef void train(
    Model* model, const Index* features, const Rows* rows, Batch batch, Deal deal, Plan* plan,
    Py_ssize_t* n_promising, int thread, int n_threads,
) noexcept nogil:
    """What one thread of the team does, batch by batch."""
    cdef:
        Py_ssize_t n_batches = (plan.n_rows + plan.batch_size - 1) // plan.batch_size
        Py_ssize_t number, i, first, last, found
        float* buffer = batch.gradients + (plan.batch_size + thread) * model.n_columns
    deal.n_dealers, deal.n_owners = n_threads, min(n_threads, SHARDS)
    for number in range(n_batches):
        set_batch(&batch, plan, model, number)
        first = first_row_of(&batch, thread, n_threads)
        last = first_row_of(&batch, thread + 1, n_threads)
        if is_dealt(model):
            deal_rows(model, features, rows, &batch, &deal, first, last)
            wait_for_team()
            if thread < deal.n_owners:
                add_up(model, &batch, &deal, thread)
            wait_for_team()
            for i in range(first, last):
                batch.gradients[i] = (
                    <float> (score_of(&deal, i) * model.scale) + model.bias[0]
                )
                to_gradient(rows, &batch, plan, i, 1)
            wait_for_team()
            found = 0
            if thread < deal.n_owners:
                found = step_of_owner(model, &batch, &deal, thread)
        else:
            score_rows(model, features, rows, &batch, plan, first, last, buffer)
            wait_for_team()
            found = take_step(model, rows, &batch, thread, n_threads)
            if model.mission or model.tail.depth > 1:
                wait_for_team()
                if model.mission:
                    refresh(model, &batch, thread, n_threads)
                found = look_for_heavy(model, &batch, first, last, buffer)
        n_promising[thread] = found
        wait_for_team()
        if thread == 0:
            for i in range(1, n_threads):
                found += n_promising[i]
            end_batch(model, features, rows, &batch, plan, number, found, buffer)
        wait_for_team()


cdef inline bint is_dealt(const Model* model) noexcept nogil:
    """Whether a feature's weight is one number in one place."""
    return model.n_columns == 1 and model.tail.depth == 1 and not model.mission


cdef inline void to_gradient(
    const Rows* rows, const Batch* batch, const Plan* plan, Py_ssize_t i, Py_ssize_t n_columns
) noexcept nogil:
    """The scores of row i of the batch become its gradient."""
    cdef:
        Py_ssize_t c, row = batch.rows[i]
        float* scores = batch.gradients + i * n_columns
    batch.losses[i] = rows.row_weights[row] * loss_and_gradient(
        plan.loss, scores, n_columns, rows.targets[row], plan.epsilon)
    for c in range(n_columns):
        scores[c] *= rows.row_weights[row]


cdef inline void ask_for_row(
    const Index* features, const Rows* rows, const Batch* batch, Py_ssize_t i
) noexcept nogil:
    """Ask for the first entries of row i of the batch ahead of their use."""
    if i < batch.n:
        prefetch_bytes(features + rows.indptr[batch.rows[i]], 256)
        prefetch_bytes(rows.values + rows.indptr[batch.rows[i]], 256)


cdef inline void deal_rows(
    const Model* model, const Index* features, const Rows* rows, const Batch* batch,
    const Deal* deal, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """Find the places of the features of some rows of the batch, and deal them out."""
    cdef:
        Py_ssize_t i, p, n, owner
        Py_ssize_t[SHARDS] n_dealt
        int* places
    for owner in range(deal.n_owners):
        n_dealt[owner] = start_of(batch, first)
    for i in range(first, last):
        p, n = rows.indptr[batch.rows[i]], batch.starts[i + 1] - batch.starts[i]
        ask_for_row(features, rows, batch, i + 1)
        places = batch.places + start_of(batch, i)
        find_places(model, features + p, n, places)
        deal_row(deal, i, places, rows.values + p, n, n_dealt)


cdef inline void score_rows(
    const Model* model, const Index* features, const Rows* rows, const Batch* batch,
    const Plan* plan, Py_ssize_t first, Py_ssize_t last, float* buffer,
) noexcept nogil:
    """Losses and gradients of some rows of the batch, and the places of their features."""
    cdef:
        Py_ssize_t i, p, n, n_columns = model.n_columns
        int* places
    for i in range(first, last):
        p, n = rows.indptr[batch.rows[i]], batch.starts[i + 1] - batch.starts[i]
        ask_for_row(features, rows, batch, i + 1)
        places = batch.places + start_of(batch, i) * batch.n_places
        find_places(model, features + p, n, places)
        score(model, rows.values + p, places, n, batch.gradients + i * n_columns, buffer)
        to_gradient(rows, batch, plan, i, n_columns)


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
    plan.entries += start_of(batch, batch.n)
    if plan.entries >= UPKEEP * model.table.capacity:
        if model.shrinkage > 0:
            shrink(model)
        raise_threshold(&model.table)
        plan.entries = 0
