/* Products in 8-bit integers: rounding floats to codes, and the register tile (see row_ops.h
 * for how this file is included). Before inclusion simd.h defines DOT4 where the CPU has an
 * instruction for it.
 *
 * The left operand is signed, the right one unsigned. Four terms of each sum stand side
 * by side, as the instruction wants them:
 *
 *   a : (m, groups, 4) int8, rows a_row bytes and groups a_group bytes apart
 *   b : (groups, n, 4) uint8, groups b_group bytes apart; n is a multiple of 16
 *   c : (m, n) float, rows c_row apart
 */

typedef int32_t SIMD(word) __attribute__((may_alias));
typedef int32_t SIMD(ints) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t SIMD(sums) __attribute__((vector_size(LANES * 4)));
typedef float SIMD(floats16) __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t SIMD(ints16) __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t SIMD(bits16) __attribute__((vector_size(64), aligned(4), may_alias));
typedef int8_t SIMD(bytes16) __attribute__((vector_size(16), aligned(1), may_alias));

/* max_i |x[i]|. Floats without their sign bit are in the order of their bits. */
static float SIMD(largest)(const float *x, ptrdiff_t n)
{
    const SIMD(word) *bits = (const SIMD(word) *)x;
    int32_t most = 0;
    float value;
#pragma omp simd reduction(max : most)
    for (ptrdiff_t i = 0; i < n; i++) {
        const int32_t size = bits[i] & 0x7fffffff;
        most = size > most ? size : most;
    }
    memcpy(&value, &most, 4);
    return value;
}

/* out[i] += x[i] */
static void SIMD(add)(float *restrict out, const float *restrict x, ptrdiff_t n)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] += x[i];
}

/* top[i] = max(top[i], |x[i]|) */
static void SIMD(largest_each)(const float *restrict x, float *restrict top, ptrdiff_t n)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        top[i] = fabsf(x[i]) > top[i] ? fabsf(x[i]) : top[i];
}

/* code[i] <- x[i] * scale[i] as an integer, plus `zero`; |x[i] * scale[i]| < 127 and n is a
 * multiple of 16. With seed 0 rounded to the nearest, otherwise up or down at random, up with the
 * probability that makes the code right on average: xorshift generators, one a lane
 * (Marsaglia, doi:10.18637/jss.v008.i14), seeded by `seed` and the lane; each number makes two
 * fractions of 16 bits. Put below the bits of 128 in a float, a fraction leaves a sum that is
 * positive, so that cutting it off is the floor.
 * scale_step is 0 for one scale that all x[i] share, else 1. Returns the sum of the codes,
 * without `zero`. */
static int32_t SIMD(round_int8)(const float *x, const float *scale, int scale_step,
                                uint32_t seed, int zero, int8_t *code, ptrdiff_t n)
{
    const SIMD(bits16) whole = (SIMD(bits16)){0} + 0x43000000u; /* 128.0f */
    SIMD(bits16) state = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    SIMD(bits16) dither[2] = {whole | 0x8000u, whole | 0x8000u};
    SIMD(ints16) sums = (SIMD(ints16)){0};
    SIMD(floats16) factor = (SIMD(floats16)){0.0f} + scale[0];
    int32_t sum = 0;
    if (seed) {
        state = state * 0x9e3779b9u + seed;
        state = (state ^ (state >> 16)) * 0x85ebca6bu;
        state = (state ^ (state >> 13)) * 0xc2b2ae35u;
        state = (state ^ (state >> 16)) | 1;
    }
    for (ptrdiff_t i = 0; i < n; i += 32) {
        if (seed) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            dither[0] = whole | (state >> 16);
            dither[1] = whole | (state & 0xffffu);
        }
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const ptrdiff_t j = i + 16 * half;
            SIMD(ints16) q;
            if (j == n)
                break;
            if (scale_step)
                factor = *(const SIMD(floats16) *)(scale + j);
            q = __builtin_convertvector(*(const SIMD(floats16) *)(x + j) * factor +
                                            (SIMD(floats16))dither[half],
                                        SIMD(ints16));
            sums += q;
            *(SIMD(bytes16) *)(code + j) = __builtin_convertvector(q + (zero - 128), SIMD(bytes16));
        }
    }
    for (int lane = 0; lane < 16; lane++)
        sum += sums[lane];
    return sum - 128 * (int32_t)n;
}

/* The codes of four rows `stride` apart, side by side: panel after panel of `width` columns,
 * `apart` columns of output from each other. */
static void SIMD(weave)(const uint8_t *row, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t width,
                        ptrdiff_t apart, uint32_t *out)
{
    for (; n > 0; n -= width, row += width, out += apart) {
#pragma omp simd
        for (ptrdiff_t i = 0; i < width; i++)
            out[i] = (uint32_t)row[i] | (uint32_t)row[i + stride] << 8 |
                     (uint32_t)row[i + 2 * stride] << 16 | (uint32_t)row[i + 3 * stride] << 24;
    }
}

#ifndef DOT4
/* sum += b[., 0] a[0] + ... + b[., 3] a[3] */
#define DOT4(sum, b, a) (sum) = SIMD(dot4)(sum, b, a)
static inline SIMD(sums) SIMD(dot4)(SIMD(sums) sum, SIMD(sums) b, SIMD(sums) a)
{
    for (int byte = 0; byte < 4; byte++) {
        sum += (b & 255) * ((a << 24) >> 24);
        b >>= 8;
        a >>= 8;
    }
    return sum;
}
#endif

/* Unrolled by order, or gcc 12 keeps the sums in memory. */
#define TILE8_ROWS 8
#define TILE8_VECTORS 3

/* c (+)= row_scale (a (b - zero)) column_scale, where row_sum[i] = zero * sum_k a[i, k];
 * NULL stands for row scales of one, or for sums of zero. */
static inline __attribute__((always_inline)) void SIMD(tile_int8)(
    const int rows, const int vectors, ptrdiff_t groups, const int8_t *a, ptrdiff_t a_row,
    ptrdiff_t a_group, const uint8_t *b, ptrdiff_t b_group, const float *row_scale,
    const int32_t *row_sum, const float *column_scale, float *c, ptrdiff_t c_row,
    int accumulate)
{
    SIMD(sums) sum[TILE8_ROWS][TILE8_VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            sum[i][j] = (SIMD(sums)){0};
    for (ptrdiff_t g = 0; g < groups; g++) {
        SIMD(sums) right[TILE8_VECTORS];
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            right[j] = *(const SIMD(ints) *)(b + g * b_group + j * LANES * 4);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            int32_t four;
            SIMD(sums) left;
            memcpy(&four, a + i * a_row + g * a_group, 4);
            left = (SIMD(sums)){0} + four;
#pragma GCC unroll 3
            for (int j = 0; j < vectors; j++)
                DOT4(sum[i][j], right[j], left);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        const float scale = row_scale ? row_scale[i] : 1.0f;
        const int32_t offset = row_sum ? row_sum[i] : 0;
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            SIMD(vector) *out = (SIMD(vector) *)(c + i * c_row + j * LANES);
            SIMD(vector) y = scale * __builtin_convertvector(sum[i][j] - offset, SIMD(vector)) *
                             *(const SIMD(vector) *)(column_scale + j * LANES);
            if (accumulate)
                y += *out;
            *out = y;
        }
    }
}

static inline __attribute__((always_inline)) void SIMD(column_int8)(
    const int vectors, ptrdiff_t m, ptrdiff_t groups, const int8_t *a, ptrdiff_t a_row,
    ptrdiff_t a_group, const uint8_t *b, ptrdiff_t b_group, const float *row_scale,
    const int32_t *row_sum, const float *column_scale, float *c, ptrdiff_t c_row,
    int accumulate)
{
    ptrdiff_t i = 0;
    for (; i + TILE8_ROWS <= m; i += TILE8_ROWS)
        SIMD(tile_int8)(TILE8_ROWS, vectors, groups, a + i * a_row, a_row, a_group, b, b_group,
                        row_scale ? row_scale + i : row_scale, row_sum ? row_sum + i : row_sum,
                        column_scale, c + i * c_row, c_row, accumulate);
    for (; i < m; i++)
        SIMD(tile_int8)(1, vectors, groups, a + i * a_row, a_row, a_group, b, b_group,
                        row_scale ? row_scale + i : row_scale, row_sum ? row_sum + i : row_sum,
                        column_scale, c + i * c_row, c_row, accumulate);
}

static void SIMD(product_int8)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t groups, const int8_t *a,
                               ptrdiff_t a_row, ptrdiff_t a_group, const uint8_t *b,
                               ptrdiff_t b_group, const float *row_scale,
                               const int32_t *row_sum, const float *column_scale, float *c,
                               ptrdiff_t c_row, int accumulate)
{
    ptrdiff_t j = 0;
    for (; j + TILE8_VECTORS * LANES <= n; j += TILE8_VECTORS * LANES)
        SIMD(column_int8)(TILE8_VECTORS, m, groups, a, a_row, a_group, b + 4 * j, b_group,
                          row_scale, row_sum, column_scale + j, c + j, c_row, accumulate);
    if (j + 2 * LANES <= n) {
        SIMD(column_int8)(2, m, groups, a, a_row, a_group, b + 4 * j, b_group, row_scale,
                          row_sum, column_scale + j, c + j, c_row, accumulate);
        j += 2 * LANES;
    }
    for (; j < n; j += LANES)
        SIMD(column_int8)(1, m, groups, a, a_row, a_group, b + 4 * j, b_group, row_scale,
                          row_sum, column_scale + j, c + j, c_row, accumulate);
}

#undef TILE8_ROWS
#undef TILE8_VECTORS
