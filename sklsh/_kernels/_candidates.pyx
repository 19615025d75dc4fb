"""The candidate classes that one batch shares: labels, retrieved ids, a uniform tail.

The set under construction is ids[:n] with `position`, the place of each class in it.
position[c] is believed only where position[c] < n and ids[position[c]] == c, so neither
array ever needs clearing and a batch costs nothing that grows with the number of classes
(Briggs and Torczon's sparse set, doi:10.1145/176454.176484).
"""

from sklsh._kernels._alias cimport draw
from sklsh._kernels._buckets cimport first_read, prefetch_buckets
from sklsh._kernels._random cimport below


cdef inline bint add(int c, int* position, int* ids, Py_ssize_t n) noexcept nogil:
    """Put class c at place n unless the set has it; True if it was put there."""
    if position[c] < n and ids[position[c]] == c:
        return False
    position[c] = <int> n
    ids[n] = c
    return True


def take_labels(
    const int[::1] labels,       # IN (n_labels,)
    int[::1] position,           # SCRATCH (n_classes,)
    int[::1] ids,                # OUT (n_classes,)
    int[::1] label_positions,    # OUT (n_labels,): each label's place in ids
):
    """Begin the set with the batch's distinct labels; returns how many.

    O(n_labels).
    """
    cdef Py_ssize_t j, n = 0
    with nogil:
        for j in range(labels.shape[0]):
            n += add(labels[j], &position[0], &ids[0], n)
            label_positions[j] = position[labels[j]]
    return n


def pool_hits(
    const int[:, ::1] codes,     # IN (n_asking, n_tables), -1 or a bucket
    const int[:, ::1] starts,    # IN (n_tables, n_buckets + 1)
    const int[:, ::1] bucket_ids,  # IN (n_tables, n_classes)
    Py_ssize_t bucket_cap,       # ids looked at in each bucket
    unsigned long long salt,     # says which, where a bucket holds more
    const int[::1] left_out,     # IN (n,): ids that are no hits
    unsigned char[::1] seen,     # SCRATCH (>= n_classes / 8,), zeros before and after
    int[::1] pool,               # OUT (one more than can be found,)
    Py_ssize_t[::1] pool_starts,  # OUT (n_asking + 1,)
):
    """Collect what the buckets of the rows hold, each id for the row that finds it first.

    The hits of row i are pool[pool_starts[i]:pool_starts[i + 1]].
    O(n_asking n_tables bucket_cap).
    """
    cdef Py_ssize_t i, t, at, first, load, n = 0, n_asking = codes.shape[0]
    with nogil:
        for i in range(left_out.shape[0]):
            mark(left_out[i], &seen[0])
        for i in range(n_asking):
            pool_starts[i] = n
            if i + 1 < n_asking:
                prefetch_buckets(&codes[i + 1, 0], starts, bucket_ids, bucket_cap, salt)
            for t in range(codes.shape[1]):
                if codes[i, t] < 0:
                    continue
                first = starts[t, codes[i, t]]
                load = starts[t, codes[i, t] + 1] - first
                at = first_read(codes[i, t], t, load, bucket_cap, salt)
                for _ in range(min(load, bucket_cap)):
                    pool[n] = bucket_ids[t, first + at]  # stays if it is new: no branch to miss
                    n += mark(pool[n], &seen[0])
                    at = at + 1 if at + 1 < load else 0
        pool_starts[n_asking] = n
        for i in range(n):
            seen[pool[i] >> 3] = 0
        for i in range(left_out.shape[0]):
            seen[left_out[i] >> 3] = 0


cdef inline int mark(int id, unsigned char* seen) noexcept nogil:
    """Set the bit of an id; 1 if it was not set before."""
    cdef:
        int bit = 1 << (id & 7)
        int before = seen[id >> 3]
    seen[id >> 3] = <unsigned char> (before | bit)
    return (before & bit) == 0


def take_ranked(
    const int[:, ::1] best,      # IN (n_batch, k): ids, best first
    const Py_ssize_t[::1] found,  # IN (n_batch,): how many of them each row has
    int[::1] position,           # SCRATCH (n_classes,)
    int[::1] ids,                # IN/OUT (n_classes,)
    Py_ssize_t n,
    Py_ssize_t limit,
):
    """Add ids round robin: every row's first, then every row's second, and so on.

    Stops at `limit` ids in the set; returns how many it holds. O(n_batch k).
    """
    cdef Py_ssize_t i, r
    with nogil:
        for r in range(best.shape[1]):
            for i in range(best.shape[0]):
                if n >= limit:
                    break
                if r < found[i]:
                    n += add(best[i, r], &position[0], &ids[0], n)
    return n


def take_uniform(
    unsigned long long seed,
    int[::1] position,           # SCRATCH (n_classes,)
    int[::1] ids,                # IN/OUT (n_classes,)
    Py_ssize_t n,
    Py_ssize_t limit,            # at most n_classes
):
    """Add classes drawn uniformly, without replacement, from those not in the set.

    Returns the number of ids in the set, which is max(n, limit).
    O(n_drawn n_classes / (n_classes - limit)) expected: callers keep limit well below
    n_classes, or take all.
    """
    cdef:
        Py_ssize_t n_classes = position.shape[0]
        unsigned long long counter = 0
    with nogil:
        while n < limit:
            n += add(<int> below(seed, counter, n_classes), &position[0], &ids[0], n)
            counter += 1
    return n


def take_drawn(
    unsigned long long seed,
    const unsigned int[::1] threshold,  # IN (n_classes,): alias table of the distribution
    const int[::1] alias,        # IN (n_classes,)
    Py_ssize_t n_draws,
    int[::1] position,           # SCRATCH (n_classes,)
    int[::1] ids,                # IN/OUT (n_classes,)
    Py_ssize_t n,
    float[::1] counts,           # OUT (min(n_draws, n_classes - n),): draws of each class added
):
    """Add classes drawn with replacement, but for those that were in the set before.

    Returns the number of ids in the set. O(n_draws).
    """
    cdef:
        Py_ssize_t first = n, n_classes = position.shape[0], i
        int c
    with nogil:
        for i in range(n_draws):
            c = draw(&threshold[0], &alias[0], n_classes, seed, i)
            if add(c, &position[0], &ids[0], n):
                counts[n - first] = 1
                n += 1
            elif position[c] >= first:
                counts[position[c] - first] += 1
    return n


def mark_ids(
    const int[::1] ids,          # IN (n,)
    unsigned char[::1] marks,    # OUT (n_classes,): 1 for each of them
):
    """Mark ids, whatever was marked before. O(n)."""
    cdef Py_ssize_t i
    for i in range(ids.shape[0]):
        marks[ids[i]] = 1
