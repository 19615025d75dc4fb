/* Wait for the other threads of the team; nothing to wait for without OpenMP. */
#ifdef _OPENMP
#define wait_for_team() _Pragma("omp barrier")
#else
#define wait_for_team() ((void)0)
#endif
