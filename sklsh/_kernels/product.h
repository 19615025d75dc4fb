/* The register tile of the dense products: c (+)= a b, written once for all
 * instruction sets (see row_ops.h for how it is included).
 *
 *   a : (m, k) with strides a_row and a_k, so that it may be a transposed view
 *   b : (k, n) with rows b_k apart; n is a multiple of 16
 *   c : (m, n) with rows c_row apart
 *
 * TILE_ROWS x TILE_VECTORS accumulators stay in registers while k runs. Each c[i, j]
 * is summed in the order of k whatever tile it falls in: a row's result depends
 * neither on its neighbours nor on the number of threads.
 */

#define TILE_ROWS 6

static inline __attribute__((always_inline)) void SIMD(tile)(
    const int rows, const int vectors, ptrdiff_t k, const float *a, ptrdiff_t a_row,
    ptrdiff_t a_k, const float *b, ptrdiff_t b_k, float *c, ptrdiff_t c_row, int accumulate)
{
    SIMD(vector) sum[TILE_ROWS][TILE_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? *(const SIMD(vector) *)(c + i * c_row + j * LANES)
                                   : (SIMD(vector)){0.0f};
    for (ptrdiff_t p = 0; p < k; p++) {
        SIMD(vector) right[TILE_VECTORS];
        for (int j = 0; j < vectors; j++)
            right[j] = *(const SIMD(vector) *)(b + p * b_k + j * LANES);
        for (int i = 0; i < rows; i++) {
            const float left = a[i * a_row + p * a_k];
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++)
            *(SIMD(vector) *)(c + i * c_row + j * LANES) = sum[i][j];
}

/* All rows of a, `vectors` registers wide. */
static inline __attribute__((always_inline)) void SIMD(column)(
    const int vectors, ptrdiff_t m, ptrdiff_t k, const float *a, ptrdiff_t a_row,
    ptrdiff_t a_k, const float *b, ptrdiff_t b_k, float *c, ptrdiff_t c_row, int accumulate)
{
    ptrdiff_t i = 0;
    for (; i + TILE_ROWS <= m; i += TILE_ROWS)
        SIMD(tile)(TILE_ROWS, vectors, k, a + i * a_row, a_row, a_k, b, b_k,
                   c + i * c_row, c_row, accumulate);
    for (; i < m; i++)
        SIMD(tile)(1, vectors, k, a + i * a_row, a_row, a_k, b, b_k,
                   c + i * c_row, c_row, accumulate);
}

static void SIMD(product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const float *a,
                          ptrdiff_t a_row, ptrdiff_t a_k, const float *b, ptrdiff_t b_k,
                          float *c, ptrdiff_t c_row, int accumulate)
{
    ptrdiff_t j = 0;
    for (; j + TILE_VECTORS * LANES <= n; j += TILE_VECTORS * LANES)
        SIMD(column)(TILE_VECTORS, m, k, a, a_row, a_k, b + j, b_k, c + j, c_row, accumulate);
    for (; j < n; j += LANES)
        SIMD(column)(1, m, k, a, a_row, a_k, b + j, b_k, c + j, c_row, accumulate);
}

#undef TILE_ROWS
