"""Losses over the batch's shared candidates, and their gradient by the logits.

A batch scores the same n candidate classes for all its rows. `offset` is what is added
to every logit of a candidate (its bias and, under a correction, the log of its weight);
the labels of row i are candidates positions[indptr[i]:indptr[i + 1]].
"""

from cython.parallel import prange

from sklsh._kernels._simd cimport ops


def softmax_loss(
    float[:, ::1] logits,        # IN/OUT (n_batch, >= n): logits in, their gradient out
    const float[::1] offset,     # IN (n,)
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    double[::1] loss,            # OUT (n_batch,)
    double[::1] log_partition,   # OUT (n_batch,)
    int n_threads,
):
    """Cross-entropy of the softmax, summed over the labels of each row.

    loss_i = sum_{y in i} (log sum_c exp z_ic - z_iy), times the row's weight.
    O(n_batch n).
    """
    cdef:
        Py_ssize_t n_batch = logits.shape[0], n = offset.shape[0]
        Py_ssize_t i, j
        float n_labels
    for i in prange(n_batch, num_threads=n_threads, schedule="static", nogil=True):
        n_labels = indptr[i + 1] - indptr[i]
        loss[i] = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            loss[i] -= logits[i, positions[j]] + offset[positions[j]]
        log_partition[i] = ops.softmax(&logits[i, 0], &offset[0], n)
        loss[i] = row_weight[i] * (loss[i] + n_labels * log_partition[i])
        scale(&logits[i, 0], n, row_weight[i] * n_labels)
        for j in range(indptr[i], indptr[i + 1]):
            logits[i, positions[j]] -= row_weight[i]


def logistic_loss(
    float[:, ::1] logits,        # IN/OUT (n_batch, >= n): logits in, their gradient out
    const float[::1] offset,     # IN (n,)
    const float[::1] weight,     # IN (n,): how many classes each candidate stands for
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    double[::1] loss,            # OUT (n_batch,)
    int n_threads,
):
    """One-vs-rest logistic loss, summed over the candidates of each row.

    loss_i = sum_c weight_c log(1 + exp z_ic) - sum_{y in i} weight_y z_iy, times the
    row's weight. O(n_batch n).
    """
    cdef:
        Py_ssize_t n_batch = logits.shape[0], n = offset.shape[0]
        Py_ssize_t i, j, y
    for i in prange(n_batch, num_threads=n_threads, schedule="static", nogil=True):
        loss[i] = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            y = positions[j]
            loss[i] -= weight[y] * (logits[i, y] + offset[y])
        loss[i] += ops.logistic(&logits[i, 0], &offset[0], &weight[0], n)
        for j in range(indptr[i], indptr[i + 1]):
            y = positions[j]
            logits[i, y] -= weight[y]
        loss[i] *= row_weight[i]
        scale(&logits[i, 0], n, row_weight[i])


cdef inline void scale(float* z, Py_ssize_t n, float factor) noexcept nogil:
    cdef Py_ssize_t i
    if factor == 1.0:
        return
    for i in range(n):
        z[i] *= factor
