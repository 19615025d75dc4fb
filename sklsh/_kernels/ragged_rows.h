/* Rows of few values, given as values and the places where they stand, beside dense rows. */

/* sum_i x[i] row[place[i]] */
static float SIMD(sparse_dot)(const float *restrict x, const int32_t *restrict place,
                              const float *restrict row, ptrdiff_t n)
{
    float part[4] = {0.0f}; /* several, not to wait for one */
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            part[k] += x[i + k] * row[place[i + k]];
    for (; i < n; i++)
        part[0] += x[i] * row[place[i]];
    return (part[0] + part[1]) + (part[2] + part[3]);
}

/* out[i] += factor * row[place[i]] */
static void SIMD(add_picked)(float *restrict out, float factor, const float *restrict row,
                             const int32_t *restrict place, ptrdiff_t n)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] += factor * row[place[i]];
}

/* out[i] = row[place[i]] */
static void SIMD(pick)(const float *restrict row, const int32_t *restrict place,
                       float *restrict out, ptrdiff_t n)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = row[place[i]];
}
