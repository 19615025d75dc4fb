"""Losses of a batch's rows by few scores each, their gradients, and how large those are."""

from cython.parallel import prange
from libc.math cimport sqrt

from sklsh._kernels._margin_losses cimport (
    HINGE, HUBER, LOG_LOSS, MODIFIED_HUBER, MULTINOMIAL, SQUARED_ERROR, Loss, loss_and_gradient,
)

LOSSES = {
    "log_loss": LOG_LOSS, "hinge": HINGE, "modified_huber": MODIFIED_HUBER,
    "squared_error": SQUARED_ERROR, "huber": HUBER, "multinomial": MULTINOMIAL,
}


def row_losses(
    int loss,                     # one of LOSSES
    float[:, ::1] scores,         # IN/OUT (n, >= n_outputs): scores in, their gradient out
    Py_ssize_t n_outputs,
    const float[::1] targets,     # IN (n,): the value wanted, or the number of the class
    float epsilon,                # where the Huber loss turns linear
    const float[::1] row_weight,  # IN (n,), of each row's gradient
    double[::1] losses,           # OUT (n,), not weighted
    double[::1] norms,            # OUT (n,), Euclidean norms of the gradients, not weighted
    int n_threads,
):
    """Loss of each row; its scores become the gradient times the row's weight.

    Columns beyond `n_outputs` stay as they are. O(n n_outputs).
    """
    cdef Py_ssize_t i, n = scores.shape[0]
    for i in prange(n, num_threads=n_threads, schedule="static", nogil=True):
        losses[i] = loss_and_gradient(<Loss> loss, &scores[i, 0], n_outputs, targets[i], epsilon)
        norms[i] = weigh(&scores[i, 0], n_outputs, row_weight[i])


cdef inline double weigh(float* gradient, Py_ssize_t n, float weight) noexcept nogil:
    """The gradient's norm; it is multiplied by the weight."""
    cdef:
        double total = 0
        Py_ssize_t c
    for c in range(n):
        total += <double> gradient[c] * gradient[c]
        gradient[c] *= weight
    return sqrt(total)
