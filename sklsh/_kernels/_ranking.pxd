"""A short list of the best ids so far, kept sorted: largest score first, ties to the
smaller id. Meant for the few dozen places of a top-k."""


cdef inline bint outranks(float score, int id, float other, int other_id) noexcept nogil:
    """Whether (score, id) stands before (other, other_id); NaN stands behind all numbers."""
    if score != score or other != other:
        return score == score or (other != other and id < other_id)
    return score > other or (score == other and id < other_id)


cdef inline Py_ssize_t offer(
    int id, float score, int* ids, float* scores, Py_ssize_t n, Py_ssize_t capacity
) noexcept nogil:
    """Insert (id, score) into the n entries held if it belongs there; returns the new n."""
    cdef Py_ssize_t place = n
    if n == capacity:
        if capacity == 0 or not outranks(score, id, scores[n - 1], ids[n - 1]):
            return n
        place = n - 1
    else:
        n += 1
    while place > 0 and outranks(score, id, scores[place - 1], ids[place - 1]):
        scores[place] = scores[place - 1]
        ids[place] = ids[place - 1]
        place -= 1
    scores[place] = score
    ids[place] = id
    return n
