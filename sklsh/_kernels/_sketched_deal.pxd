"""The step of a batch with one output and one row of cells, in "active" mode.

The model's weights are cut into shards at random, by pairs of cache lines, as CPUs fetch both,
and each shard belongs to one thread, whose cache it need not leave. A thread looks for the places
of some rows' entries and deals these to the owners; each owner goes through its entries in the
order of the batch, first to score and then to step. The score of a row is added up shard by
shard, so it does not depend on the number of threads.
"""

from libc.math cimport INFINITY, fabsf
from libc.string cimport memset

from sklsh._kernels._sketched_model cimport Model, sign_at
from sklsh._kernels._sketched_step cimport Batch, first_row_of, start_of

cdef enum:
    SHARDS = 8
    SHARD_BITS = 3

ctypedef struct Entry:
    int place
    float value

ctypedef struct Deal:
    Entry* entries         # (n_owners, most entries of a batch): of each dealer one after another
    Py_ssize_t* ends       # (n_owners, batch_size): where the entries of a row end
    float* sums            # (SHARDS, batch_size): the parts of the scores
    Py_ssize_t most, batch_size
    int n_owners           # threads that own shards
    int n_dealers          # all threads


cdef inline int shard_of(int place) noexcept nogil:
    """Shard of a weight, by the pair of cache lines it is in."""
    return <int> ((<unsigned int> (place >> 6) * 0x9E3779B1u) >> (32 - SHARD_BITS))


cdef inline int first_shard_of(int owner, int n_owners) noexcept nogil:
    """Shards belong to the owner from here on to the first one of the next owner."""
    return (owner * SHARDS + n_owners - 1) // n_owners


cdef inline void deal_row(
    const Deal* deal, Py_ssize_t i, const int* places, const float* values, Py_ssize_t n,
    Py_ssize_t* n_dealt,
) noexcept nogil:
    """Hand the entries of row i to the owners of their weights.

    `n_dealt` says how far the list of each owner has come.
    """
    cdef:
        Py_ssize_t j
        int owner, n_owners = deal.n_owners
        Entry* entries = deal.entries
        Entry* entry
    if n_owners == 1:
        entry = entries + n_dealt[0]
        for j in range(n):
            entry[j].place, entry[j].value = places[j], values[j]
        n_dealt[0] += n
    else:
        for j in range(n):
            owner = (shard_of(places[j]) * n_owners) >> SHARD_BITS
            entry = entries + owner * deal.most + n_dealt[owner]
            entry.place, entry.value = places[j], values[j]
            n_dealt[owner] += 1
    for owner in range(n_owners):
        deal.ends[owner * deal.batch_size + i] = n_dealt[owner]


cdef inline void add_up(
    const Model* model, const Batch* batch, const Deal* deal, int owner
) noexcept nogil:
    """The part of each row's score that is the owner's."""
    cdef:
        Py_ssize_t i, e
        int dealer, shard, place
        int first = first_shard_of(owner, deal.n_owners)
        int last = first_shard_of(owner + 1, deal.n_owners)
        const float* weights = model.weights
        const Entry* entries = deal.entries + owner * deal.most
        const Py_ssize_t* ends = deal.ends + owner * deal.batch_size
        float[SHARDS] sums
    for dealer in range(deal.n_dealers):
        i = first_row_of(batch, dealer, deal.n_dealers)
        e = start_of(batch, i)
        for i in range(i, first_row_of(batch, dealer + 1, deal.n_dealers)):
            memset(sums, 0, sizeof(sums))
            for e in range(e, ends[i]):
                place = entries[e].place
                sums[shard_of(place)] += sign_at(place) * entries[e].value * weights[place >> 1]
            e = ends[i]
            for shard in range(first, last):
                deal.sums[shard * deal.batch_size + i] = sums[shard]


cdef inline float score_of(const Deal* deal, Py_ssize_t i) noexcept nogil:
    """Score of row i, to be multiplied by the scale."""
    cdef:
        int shard
        float total = 0
    for shard in range(SHARDS):
        total += deal.sums[shard * deal.batch_size + i]
    return total


cdef inline Py_ssize_t step_of_owner(
    Model* model, const Batch* batch, const Deal* deal, int owner
) noexcept nogil:
    """Move what is the owner's of table and cells.

    Marks entries whose cell passes the threshold, and returns for how many it did.
    """
    cdef:
        Py_ssize_t i, e, start, n_promising = 0, n_cells = model.n_cells
        int dealer, place
        float factor, weight
        float* weights = model.weights
        float[2] to_pass  # by a cell, by a row of the table: read, as no CPU could predict which
        const Entry* entries = deal.entries + owner * deal.most
        const Py_ssize_t* ends = deal.ends + owner * deal.batch_size
    to_pass[0], to_pass[1] = model.table.threshold, INFINITY
    for dealer in range(deal.n_dealers):
        i = first_row_of(batch, dealer, deal.n_dealers)
        e = start_of(batch, i)
        for i in range(i, first_row_of(batch, dealer + 1, deal.n_dealers)):
            factor = -batch.step * batch.gradients[i]
            start = e
            for e in range(start, ends[i]):
                place = entries[e].place
                weight = weights[place >> 1] + sign_at(place) * factor * entries[e].value
                weights[place >> 1] = weight
                if fabsf(weight) > to_pass[place >= 2 * n_cells]:
                    mark(batch, i, entries + start, e - start)
                    n_promising += 1
            e = ends[i]
    return n_promising


cdef inline void mark(
    const Batch* batch, Py_ssize_t i, const Entry* entries, Py_ssize_t n
) noexcept nogil:
    """Mark the entry of row i that was dealt as entries[n], after n others of its row."""
    cdef:
        int place = entries[n].place
        Py_ssize_t e, n_before = 0, j = start_of(batch, i)
    for e in range(n):
        n_before += entries[e].place == place
    while batch.places[j] != place or n_before:
        n_before -= batch.places[j] == place
        j += 1
    batch.promising[j] = True
