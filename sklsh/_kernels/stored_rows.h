/* Reading rows of a weight matrix, which may be stored in half the width.
 *
 * row_ops.h includes this file once for each storage. Before each inclusion it defines
 * STORED(name), which appends the storage and the instruction set to a function's name;
 * stored, the type of an element; and LOAD(p), which reads LANES elements from p as a
 * vector of floats, and VALUE(p), which reads one.
 */

/* sum_i x[i] y[i] */
static float STORED(dot)(const float *x, const stored *y, ptrdiff_t n)
{
    enum { VECTORS = 2, BLOCK = VECTORS * LANES };
    SIMD(vector) sum[VECTORS] = {{0.0f}, {0.0f}};
    float lanes[BLOCK], total = 0.0f;
    ptrdiff_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int v = 0; v < VECTORS; v++)
            sum[v] += *(const SIMD(vector) *)(x + i + v * LANES) * LOAD(y + i + v * LANES);
    for (; i < n; i++)
        total += x[i] * VALUE(y + i);
    memcpy(lanes, sum, sizeof lanes);
    for (int lane = 0; lane < BLOCK; lane++)
        total += lanes[lane];
    return total;
}

/* out += sum_j values[j] table[rows[j]], j < n. The sum stays in registers, a block of
 * columns at a time. Rows up to n_known are asked for ahead of their use: those past n
 * are what the next call will sum. */
static void STORED(sum_rows)(float *restrict out, ptrdiff_t width,
                             const stored *restrict table, const int32_t *restrict rows,
                             const float *restrict values, ptrdiff_t n, ptrdiff_t n_known)
{
    enum { VECTORS = 8, AHEAD = 16, BLOCK = VECTORS * LANES };
    ptrdiff_t column = 0;
    for (; column + BLOCK <= width; column += BLOCK) {
        SIMD(vector) sum[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            sum[v] = *(const SIMD(vector) *)(out + column + v * LANES);
        for (ptrdiff_t j = 0; j < n; j++) {
            const stored *row = table + rows[j] * width + column;
            const float value = values[j];
            if (j + AHEAD < n_known)
                prefetch_bytes(table + rows[j + AHEAD] * width + column,
                               BLOCK * sizeof(stored));
            for (int v = 0; v < VECTORS; v++)
                sum[v] += value * LOAD(row + v * LANES);
        }
        for (int v = 0; v < VECTORS; v++)
            *(SIMD(vector) *)(out + column + v * LANES) = sum[v];
    }
    for (ptrdiff_t j = 0; column < width && j < n; j++) {
        const stored *row = table + rows[j] * width;
        ptrdiff_t i = column;
        for (; i + LANES <= width; i += LANES)
            *(SIMD(vector) *)(out + i) += values[j] * LOAD(row + i);
        for (; i < width; i++)
            out[i] += values[j] * VALUE(row + i);
    }
}
