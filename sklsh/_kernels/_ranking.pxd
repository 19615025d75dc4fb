"""A short list of the best ids so far, kept sorted: largest score first, ties to the
smaller id. Meant for the few hundred places of a top-k."""

from libc.string cimport memmove


cdef inline bint outranks(float score, int id, float other, int other_id) noexcept nogil:
    """Whether (score, id) stands before (other, other_id); NaN stands behind all numbers."""
    if score != score or other != other:
        return score == score or (other != other and id < other_id)
    return score > other or (score == other and id < other_id)


cdef inline Py_ssize_t offer(
    int id, float score, int* ids, float* scores, Py_ssize_t n, Py_ssize_t capacity
) noexcept nogil:
    """Insert (id, score) into the n entries held if it belongs there; returns the new n."""
    cdef Py_ssize_t low = 0, high = n, middle
    if n == capacity:
        if capacity == 0 or not outranks(score, id, scores[n - 1], ids[n - 1]):
            return n
        n -= 1
        high = n
    while low < high:
        middle = (low + high) // 2
        if outranks(score, id, scores[middle], ids[middle]):
            high = middle
        else:
            low = middle + 1
    memmove(scores + low + 1, scores + low, (n - low) * sizeof(float))
    memmove(ids + low + 1, ids + low, (n - low) * sizeof(int))
    scores[low] = score
    ids[low] = id
    return n + 1
