/* A row's cells in a count-sketch: `depth` runs of n floats, each with a sign, 1 or -1. */

static inline float SIMD(smaller)(float a, float b)
{
    return a < b ? a : b;
}

static inline float SIMD(larger)(float a, float b)
{
    return a > b ? a : b;
}

/* Median of sign * cell at one column; of an even number the mean of the middle two. */
static float SIMD(median_at)(float *const *cell, const float *sign, int depth,
                             ptrdiff_t column)
{
    float value[MOST_CELLS];
    for (int r = 0; r < depth; r++) {
        const float x = sign[r] * cell[r][column];
        int place = r;
        for (; place > 0 && value[place - 1] > x; place--)
            value[place] = value[place - 1];
        value[place] = x;
    }
    return depth % 2 ? value[depth / 2] : (value[depth / 2 - 1] + value[depth / 2]) / 2;
}

/* out and copy <- median of sign * cell, column by column */
static void SIMD(median_cells)(float *const *cell, const float *sign, int depth,
                               float *restrict out, float *restrict copy, ptrdiff_t n)
{
    if (depth == 2) {
        const float *restrict a = cell[0], *restrict b = cell[1];
        const float half_a = sign[0] / 2, half_b = sign[1] / 2;
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = copy[i] = half_a * a[i] + half_b * b[i];
    } else if (depth == 3) {
        const float *restrict a = cell[0], *restrict b = cell[1], *restrict c = cell[2];
        const float sign_a = sign[0], sign_b = sign[1], sign_c = sign[2];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++) {
            const float x = sign_a * a[i], y = sign_b * b[i], z = sign_c * c[i];
            const float low = SIMD(smaller)(x, y), high = SIMD(larger)(x, y);
            out[i] = copy[i] = SIMD(larger)(low, SIMD(smaller)(high, z));
        }
    } else {
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = copy[i] = SIMD(median_at)(cell, sign, depth, i);
    }
}

/* out and copy <- minimum of the cells, column by column, but not less than 0 */
static void SIMD(least_cells)(float *const *cell, int depth, float *restrict out,
                              float *restrict copy, ptrdiff_t n)
{
    if (depth == 3) {
        const float *restrict a = cell[0], *restrict b = cell[1], *restrict c = cell[2];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = copy[i] =
                SIMD(larger)(SIMD(smaller)(SIMD(smaller)(a[i], b[i]), c[i]), 0.0f);
        return;
    }
    if (depth == 2) {
        const float *restrict a = cell[0], *restrict b = cell[1];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = copy[i] = SIMD(larger)(SIMD(smaller)(a[i], b[i]), 0.0f);
        return;
    }
    memcpy(out, cell[0], n * sizeof(float));
    for (int r = 1; r < depth; r++) {
        const float *restrict a = cell[r];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = SIMD(smaller)(a[i], out[i]);
    }
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = copy[i] = SIMD(larger)(out[i], 0.0f);
}

/* every cell += sign * (after - before) */
static void SIMD(add_change)(float *const *cell, const float *sign, int depth,
                             const float *restrict before, const float *restrict after,
                             ptrdiff_t n)
{
    if (depth == 3) {
        float *restrict a = cell[0], *restrict b = cell[1], *restrict c = cell[2];
        const float sign_a = sign[0], sign_b = sign[1], sign_c = sign[2];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++) {
            const float change = after[i] - before[i];
            a[i] += sign_a * change;
            b[i] += sign_b * change;
            c[i] += sign_c * change;
        }
        return;
    }
    if (depth == 2) {
        float *restrict a = cell[0], *restrict b = cell[1];
        const float sign_a = sign[0], sign_b = sign[1];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++) {
            const float change = after[i] - before[i];
            a[i] += sign_a * change;
            b[i] += sign_b * change;
        }
        return;
    }
    for (int r = 0; r < depth; r++) {
        float *restrict a = cell[r];
        const float sign_a = sign[r];
#pragma omp simd
        for (ptrdiff_t i = 0; i < n; i++)
            a[i] += sign_a * (after[i] - before[i]);
    }
}

/* x <- -x */
static void SIMD(negate)(float *restrict x, ptrdiff_t n)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = -x[i];
}
