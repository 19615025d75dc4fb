"""vSGD-fd on the weights of a linear model: running means of each, and its rate from them.

A batch comes by columns: feature features[i] stands in the batch's rows
rows[starts[i]:starts[i + 1]], with these values. A row's gradient by weight (f, c) is its value
of feature f times delta[row, c]. Where that is zero the row says nothing of the weight.
"""

from cython.parallel import prange, threadid
from libc.math cimport fabs
from libc.string cimport memset

from sklsh._kernels._updates cimport check_rows, prefetch_state

cdef enum:
    N_SUMS = 5         # that are taken of a weight's gradients in a batch
    N_MOMENTS = 4      # numbers that a weight has beside its mean gradient
    WRITE_AHEAD = 8    # rows in flight

cdef double LEVEL = 2              # standard deviations beyond which a batch is an outlier
cdef double EPSILON = 1e-9         # of curvature, and of the step that it is measured over
cdef double STEEPEST = 1e15        # curvature, so that its square is a float
cdef double FIRST_SAMPLES = 10     # gradients seen before a weight moves
cdef float FIRST_MEMORY = 2        # batches: soon little is left of how squares began


cdef struct Sums:                  # over a batch's gradients of each weight of a row
    float* count                   # those not zero
    float* gradient
    float* squares
    float* change                  # absolute, by the step along the mean gradient
    float* change_squares


cdef struct Moments:               # running, of one weight
    float* gradient
    float* squares
    float* curvature
    float* curvature_squares
    float* memory                  # batches; before the first move, minus the samples so far


cdef struct Batch:                 # what a batch says of one weight
    double n                       # gradients that are not zero
    double gradient                # means of them
    double squares
    double curvature
    double curvature_squares


def first_means(
    float[:, ::1] gradient_means,  # IN/OUT (n_features, width)
    const float[:, ::1] moments,   # IN (n_features, 4 width)
    const float[:, ::1] weights,   # IN (n_features, width)
    const int[::1] features,       # IN (n,), distinct
    const int[::1] starts,         # IN (>= n + 1,)
    const int[::1] rows,           # IN (nnz,)
    const float[::1] values,       # IN (nnz,)
    const float[:, ::1] delta,     # IN (n_batch, width)
    Py_ssize_t n_outputs,
    double l2,                     # penalty on the weights
    float[:, ::1] buffers,         # SCRATCH (>= n_threads, >= 5 width)
    int n_threads,
):
    """Set the mean gradient of weights that come by for the first time to this batch's.

    O(n width), and O(nnz width) while there are such weights.
    """
    cdef:
        Py_ssize_t n = features.shape[0], width = weights.shape[1], i, c, f
        double penalty
        Sums sums
    check_rows(features, weights.shape[0], "the weights")
    check_rows(rows, delta.shape[0], "delta")
    for i in prange(n, num_threads=n_threads, schedule="dynamic", chunksize=16, nogil=True):
        f = features[i]
        if has_new(&moments[f, (N_MOMENTS - 1) * width], n_outputs):
            sums = empty_sums(&buffers[threadid(), 0], width)
            add_up(sums, delta, delta, rows, values, starts[i], starts[i + 1], n_outputs)
            for c in range(n_outputs):
                if moments[f, (N_MOMENTS - 1) * width + c] == 0 and sums.count[c] > 0:
                    penalty = l2 * delta.shape[0] / sums.count[c]
                    gradient_means[f, c] = <float> (
                        delta.shape[0] * sums.gradient[c] / sums.count[c]
                        + penalty * weights[f, c]
                    )


cdef inline bint has_new(const float* memory, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        if memory[c] == 0:
            return True
    return False


def step(
    float[:, ::1] weights,         # IN/OUT (n_features, width)
    float[:, ::1] gradient_means,  # IN/OUT (n_features, width)
    float[:, ::1] moments,         # IN/OUT (n_features, 4 width)
    const int[::1] features,       # IN (n,), distinct
    const int[::1] starts,         # IN (>= n + 1,)
    const int[::1] rows,           # IN (nnz,)
    const float[::1] values,       # IN (nnz,)
    const float[:, ::1] delta,     # IN (n_batch, width), by the scores, over n_batch
    const float[:, ::1] shifted,   # IN (n_batch, width), the same, weights being further by
                                   # their mean gradients
    Py_ssize_t n_outputs,
    double l2,                     # penalty on the weights
    double caution,                # by how much first squares are over-estimated
    float[:, ::1] buffers,         # SCRATCH (>= n_threads, >= 5 width)
    int n_threads,
):
    """Take a batch into the running means of the features it contains, and move their weights.

    O(nnz width).
    """
    cdef:
        Py_ssize_t n = features.shape[0], width = weights.shape[1], i, c, f
        Sums sums
    check_rows(features, weights.shape[0], "the weights")
    check_rows(rows, delta.shape[0], "delta")
    for i in prange(n, num_threads=n_threads, schedule="dynamic", chunksize=16, nogil=True):
        if i + WRITE_AHEAD < n:
            prefetch_state(weights, gradient_means, moments, features[i + WRITE_AHEAD])
        f = features[i]
        sums = empty_sums(&buffers[threadid(), 0], width)
        add_up(sums, delta, shifted, rows, values, starts[i], starts[i + 1], n_outputs)
        for c in range(n_outputs):
            if sums.count[c] > 0:
                weights[f, c] = moved(
                    weights[f, c],
                    moments_of(&gradient_means[f, 0], &moments[f, 0], width, c),
                    delta.shape[0], sums, c, l2, caution,
                )


cdef inline Sums empty_sums(float* buffer, Py_ssize_t width) noexcept nogil:
    cdef Sums sums
    memset(buffer, 0, N_SUMS * width * sizeof(float))
    sums.count = buffer
    sums.gradient = buffer + width
    sums.squares = buffer + 2 * width
    sums.change = buffer + 3 * width
    sums.change_squares = buffer + 4 * width
    return sums


cdef inline void add_up(
    Sums sums, const float[:, ::1] delta, const float[:, ::1] shifted, const int[::1] rows,
    const float[::1] values, Py_ssize_t first, Py_ssize_t last, Py_ssize_t n_outputs,
) noexcept nogil:
    """Sums over the rows of a feature, for each output."""
    cdef:
        Py_ssize_t j, c
        const float* here
        const float* there
        float gradient, change
    for j in range(first, last):
        here = &delta[rows[j], 0]
        there = &shifted[rows[j], 0]
        for c in range(n_outputs):
            gradient = values[j] * here[c]
            change = values[j] * (there[c] - here[c]) if gradient != 0 else 0
            sums.count[c] += 1 if gradient != 0 else 0
            sums.gradient[c] += gradient
            sums.squares[c] += gradient * gradient
            sums.change[c] += fabs(change)
            sums.change_squares[c] += change * change


cdef inline Moments moments_of(
    float* gradient_means, float* moments, Py_ssize_t width, Py_ssize_t c
) noexcept nogil:
    cdef Moments m
    m.gradient = gradient_means + c
    m.squares = moments + c
    m.curvature = moments + width + c
    m.curvature_squares = moments + 2 * width + c
    m.memory = moments + 3 * width + c
    return m


cdef inline float moved(
    float weight, Moments mean, double n_batch, Sums sums, Py_ssize_t c, double l2, double caution,
) noexcept nogil:
    """The weight after a step, at a rate of its own."""
    cdef:
        Batch batch = means(weight, mean.gradient[0], n_batch, sums, c, l2)
        double signal, share, newton
    if mean.memory[0] <= 0:
        begin(mean, batch, caution)
        if mean.memory[0] <= 0:
            return weight
    else:
        if is_outlier(mean, batch):
            mean.memory[0] += 1
        average(mean, batch, 1 / <double> mean.memory[0])
    signal = <double> mean.gradient[0] * mean.gradient[0]
    if signal == 0:
        mean.memory[0] += 1
        return weight
    share = batch.n * signal / (mean.squares[0] + (batch.n - 1) * signal)
    newton = (mean.curvature[0] + EPSILON) / (mean.curvature_squares[0] + EPSILON)
    mean.memory[0] = <float> (max(1 - share, 0) * mean.memory[0] + 1)
    return <float> (weight - newton * share * batch.gradient)


cdef inline Batch means(
    float weight, double step, double n_batch, Sums sums, Py_ssize_t c, double l2
) noexcept nogil:
    """Means over the gradients that are not zero, with the penalty's share in each of them.

    A row adds to the penalised loss's gradient only where its own is not zero, so that it adds
    n_batch / n times as much of the penalty.
    """
    cdef:
        Batch b
        double n = sums.count[c], each = n_batch / n
        double penalty = l2 * each, pull = penalty * weight
        double per_step = each / max(fabs(step), EPSILON)
    b.n = n
    b.gradient = each * sums.gradient[c] + pull
    b.squares = (
        n * each * each * sums.squares[c] + 2 * pull * each * sums.gradient[c] + pull * pull
    )
    b.curvature = min(per_step * sums.change[c] + penalty, STEEPEST)
    b.curvature_squares = min(
        n * per_step * per_step * sums.change_squares[c]
        + 2 * penalty * per_step * sums.change[c] + penalty * penalty,
        STEEPEST * STEEPEST,
    )
    return b


cdef inline void begin(Moments mean, Batch batch, double caution) noexcept nogil:
    """Means over the first samples; once they are enough, squares are over-estimated."""
    average(mean, batch, batch.n / (batch.n - mean.memory[0]))
    mean.memory[0] -= <float> batch.n
    if mean.memory[0] <= -FIRST_SAMPLES:
        mean.memory[0] = FIRST_MEMORY
        mean.squares[0] *= <float> caution
        mean.curvature_squares[0] *= <float> caution


cdef inline bint is_outlier(Moments mean, Batch batch) noexcept nogil:
    """Whether the batch's mean gradient or curvature is far from the running mean."""
    return (
        is_far(batch.gradient, mean.gradient[0], mean.squares[0], batch.n)
        or is_far(batch.curvature, mean.curvature[0], mean.curvature_squares[0], batch.n)
    )


cdef inline bint is_far(double value, double mean, double squares, double n) noexcept nogil:
    return n * (value - mean) * (value - mean) > LEVEL * LEVEL * (squares - mean * mean)


cdef inline void average(Moments mean, Batch batch, double share) noexcept nogil:
    """Take the batch into the running means, as a share of them."""
    mean.gradient[0] += <float> (share * (batch.gradient - mean.gradient[0]))
    mean.squares[0] += <float> (share * (batch.squares - mean.squares[0]))
    mean.curvature[0] += <float> (share * (batch.curvature - mean.curvature[0]))
    mean.curvature_squares[0] += <float> (
        share * (batch.curvature_squares - mean.curvature_squares[0])
    )
