"""Losses of linear models as functions of a row's scores."""

from libc.math cimport expf, fabsf, log1pf, logf

ctypedef enum Loss:
    LOG_LOSS            # of +1 or -1
    HINGE               # of +1 or -1, in each column
    SQUARED_ERROR
    HUBER
    MULTINOMIAL
    MODIFIED_HUBER      # of +1 or -1, in each column


cdef inline float loss_and_gradient(
    Loss loss, float* scores, Py_ssize_t n, float target, float epsilon
) noexcept nogil:
    """Loss of a row; its n scores become the gradient.

    `target` is the value wanted or, with several columns, the number of the row's class.
    """
    cdef:
        Py_ssize_t c
        float total = 0, wanted
    if loss == MULTINOMIAL:
        return softmax_loss(scores, n, <Py_ssize_t> target)
    for c in range(n):
        wanted = target if n == 1 else (1 if c == <Py_ssize_t> target else -1)
        total += column_loss(loss, scores + c, wanted, epsilon)
    return total


cdef inline float column_loss(Loss loss, float* score, float wanted, float epsilon) noexcept nogil:
    """Loss of one score, which becomes its gradient."""
    cdef float margin = wanted * score[0], error = score[0] - wanted
    if loss == LOG_LOSS:
        score[0] = -wanted / (1 + expf(margin))
        return log1pf(expf(-margin)) if margin > 0 else log1pf(expf(margin)) - margin
    if loss == HINGE:
        score[0] = -wanted if margin < 1 else 0
        return max(1 - margin, 0)
    if loss == MODIFIED_HUBER:
        return modified_huber(score, wanted, margin)
    if loss == HUBER and fabsf(error) > epsilon:
        score[0] = epsilon if error > 0 else -epsilon
        return epsilon * (fabsf(error) - epsilon / 2)
    score[0] = error
    return error * error / 2


cdef inline float modified_huber(float* score, float wanted, float margin) noexcept nogil:
    """The squared hinge, which goes on in a straight line where the margin is below -1."""
    if margin < -1:
        score[0] = -4 * wanted
        return -4 * margin
    score[0] = -2 * wanted * max(1 - margin, 0)
    return max(1 - margin, 0) * max(1 - margin, 0)


cdef inline float softmax_loss(float* scores, Py_ssize_t n, Py_ssize_t target) noexcept nogil:
    """-log of the target's share; the scores become the shares, less one for the target."""
    cdef:
        Py_ssize_t c
        float top = scores[0], total = 0, wanted = scores[target]
    for c in range(1, n):
        top = max(top, scores[c])
    for c in range(n):
        scores[c] = expf(scores[c] - top)
        total += scores[c]
    for c in range(n):
        scores[c] /= total
    scores[target] -= 1
    return logf(total) + top - wanted
