/* OpenMP's thread count, or 0 where the kernels were built without OpenMP. */
#ifdef _OPENMP
#include <omp.h>
static inline int openmp_threads(void) { return omp_get_max_threads(); }
#else
static inline int openmp_threads(void) { return 0; }
#endif
