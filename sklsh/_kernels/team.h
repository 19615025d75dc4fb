/* The team of threads of a parallel region; without OpenMP it is one thread, that waits for none. */
#ifdef _OPENMP
#include <omp.h>
#define wait_for_team() _Pragma("omp barrier")
static inline int team_size(void) { return omp_get_num_threads(); }
#else
#define wait_for_team() ((void)0)
static inline int team_size(void) { return 1; }
#endif
