"""What OpenMP offers."""

cdef extern from "threads.h" nogil:
    int openmp_threads() noexcept


def max_threads():
    """Threads OpenMP would use by itself; 0 if the kernels were built without it."""
    return openmp_threads()
