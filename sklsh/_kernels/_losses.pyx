"""Losses over candidate classes, and their gradient by the logits.

Two layouts of the candidates. Shared: a batch scores the same n classes for all its rows,
logits (n_batch, >= n). Ragged: row i has its own, at starts[i]:starts[i + 1] of flat
arrays. `offset` is what is added to a candidate's logit (its bias and, under a correction,
more). The labels of row i are its candidates positions[indptr[i]:indptr[i + 1]], with
the weights label_weight[indptr[i]:indptr[i + 1]].
"""

from cython.parallel import prange
from libc.math cimport exp, fabs, log1p

from sklsh._kernels._simd cimport ops


def softmax_loss(
    float[:, ::1] logits,        # IN/OUT (n_batch, >= n): logits in, their gradient out
    const float[::1] offset,     # IN (n,)
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,)
    const float[::1] label_weight,  # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    double[::1] loss,            # OUT (n_batch,)
    double[::1] log_partition,   # OUT (n_batch,)
    int n_threads,
):
    """Cross-entropy of the softmax over shared candidates, summed over a row's labels.

    loss_i = sum_{y in i} weight_y (log sum_c exp z_ic - z_iy), times the row's weight.
    O(n_batch n).
    """
    cdef Py_ssize_t i, n_batch = logits.shape[0], n = offset.shape[0]
    for i in prange(n_batch, num_threads=n_threads, schedule="static", nogil=True):
        loss[i] = softmax_row(&logits[i, 0], &offset[0], n, &positions[indptr[i]],
                              &label_weight[indptr[i]], indptr[i + 1] - indptr[i],
                              row_weight[i], &log_partition[i])


def softmax_loss_ragged(
    float[::1] logits,           # IN/OUT (nnz,): logits in, their gradient out
    const float[::1] offset,     # IN (nnz,)
    const int[::1] starts,       # IN (n_batch + 1,)
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,), within the row's candidates
    const float[::1] label_weight,  # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    double[::1] loss,            # OUT (n_batch,)
    double[::1] log_partition,   # OUT (n_batch,)
    int n_threads,
):
    """Cross-entropy of the softmax over each row's own candidates; 0 for a row without any.

    O(nnz).
    """
    cdef Py_ssize_t i, n_batch = starts.shape[0] - 1
    for i in prange(n_batch, num_threads=n_threads, schedule="static", nogil=True):
        loss[i] = softmax_row(&logits[starts[i]], &offset[starts[i]], starts[i + 1] - starts[i],
                              &positions[indptr[i]], &label_weight[indptr[i]],
                              indptr[i + 1] - indptr[i], row_weight[i], &log_partition[i])


def logistic_loss(
    float[:, ::1] logits,        # IN/OUT (n_batch, >= n): logits in, their gradient out
    const float[::1] offset,     # IN (n,)
    const float[::1] weight,     # IN (n,): how many classes each candidate stands for
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,)
    const float[::1] label_weight,  # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    double[::1] loss,            # OUT (n_batch,)
    int n_threads,
):
    """One-vs-rest logistic loss over shared candidates.

    loss_i = sum_{c not in i} weight_c log(1 + exp z_ic)
           + sum_{y in i} weight_y label_weight_y log(1 + exp -z_iy), times the row's weight.
    O(n_batch n).
    """
    cdef Py_ssize_t i, n_batch = logits.shape[0], n = offset.shape[0]
    for i in prange(n_batch, num_threads=n_threads, schedule="static", nogil=True):
        loss[i] = logistic_row(&logits[i, 0], &offset[0], &weight[0], n,
                               &positions[indptr[i]], &label_weight[indptr[i]],
                               indptr[i + 1] - indptr[i], row_weight[i])


def logistic_loss_ragged(
    float[::1] logits,           # IN/OUT (nnz,): logits in, their gradient out
    const float[::1] offset,     # IN (nnz,)
    const float[::1] weight,     # IN (nnz,): how many classes each candidate stands for
    const int[::1] starts,       # IN (n_batch + 1,), no row empty
    const int[::1] indptr,       # IN (n_batch + 1,)
    const int[::1] positions,    # IN (n_labels,), within the row's candidates
    const float[::1] label_weight,  # IN (n_labels,)
    const float[::1] row_weight,  # IN (n_batch,)
    double[::1] loss,            # OUT (n_batch,)
    int n_threads,
):
    """One-vs-rest logistic loss over each row's own candidates.

    O(nnz).
    """
    cdef Py_ssize_t i, n_batch = starts.shape[0] - 1
    for i in prange(n_batch, num_threads=n_threads, schedule="static", nogil=True):
        loss[i] = logistic_row(&logits[starts[i]], &offset[starts[i]], &weight[starts[i]],
                               starts[i + 1] - starts[i], &positions[indptr[i]],
                               &label_weight[indptr[i]], indptr[i + 1] - indptr[i],
                               row_weight[i])


cdef double softmax_row(
    float* z, const float* offset, Py_ssize_t n, const int* positions,
    const float* label_weight, Py_ssize_t n_labels, float row_weight, double* log_partition,
) noexcept nogil:
    """Gradient in z, the row's loss returned."""
    cdef:
        Py_ssize_t j, y
        float target = 0.0
        double loss = 0.0
    if n == 0:
        log_partition[0] = 0.0
        return 0.0
    for j in range(n_labels):
        y = positions[j]
        target += label_weight[j]
        loss -= label_weight[j] * (z[y] + offset[y])
    log_partition[0] = ops.softmax(z, offset, row_weight * target, n)
    for j in range(n_labels):
        z[positions[j]] -= row_weight * label_weight[j]
    return row_weight * (loss + target * log_partition[0])


cdef double logistic_row(
    float* z, const float* offset, const float* weight, Py_ssize_t n, const int* positions,
    const float* label_weight, Py_ssize_t n_labels, float row_weight,
) noexcept nogil:
    """Gradient in z, the row's loss returned."""
    cdef:
        Py_ssize_t j, y
        double loss = 0.0
    for j in range(n_labels):
        y = positions[j]
        loss -= weight[y] * (z[y] + offset[y])
        if label_weight[j] != 1.0:
            loss += weight[y] * (label_weight[j] - 1.0) * softplus(-z[y] - offset[y])
    loss += ops.logistic(z, offset, weight, row_weight, n)
    for j in range(n_labels):
        y = positions[j]
        z[y] = label_weight[j] * (z[y] - row_weight * weight[y])
    return row_weight * loss


cdef inline double softplus(double x) noexcept nogil:
    return max(x, 0.0) + log1p(exp(-fabs(x)))
