/* Rows in 4 bits a weight, for estimates of their products with 8-bit codes (see row_ops.h
 * for how this file is included, and int8.h for DOT4).
 *
 * A code is a weight times a factor, rounded, with 8 on top: 1 to 15. Byte i holds that of
 * weight i in its low half, and that of weight n_bytes + i in its high half; n_bytes is a
 * multiple of 64.
 */

/* code <- the codes of x, (2 n_bytes,); |x[i] factor| is at most 7 */
static void SIMD(round_int4)(const float *restrict x, float factor, uint8_t *restrict code,
                             ptrdiff_t n_bytes)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n_bytes; i++) {
        const int32_t low = (int32_t)(x[i] * factor + 8.5f);
        const int32_t high = (int32_t)(x[n_bytes + i] * factor + 8.5f);
        code[i] = (uint8_t)(low | high << 4);
    }
}

/* sum_i x[i] code[i] over both halves, the 8 on top included; x : (2 n_bytes,) */
static int32_t SIMD(dot_int4)(const int8_t *x, const uint8_t *code, ptrdiff_t n_bytes)
{
    SIMD(sums) low = {0}, high = {0};
    int32_t sum = 0;
    for (ptrdiff_t i = 0; i < n_bytes; i += 4 * LANES) {
        const SIMD(sums) pair = *(const SIMD(ints) *)(code + i);
        const SIMD(sums) left = *(const SIMD(ints) *)(x + i);
        const SIMD(sums) right = *(const SIMD(ints) *)(x + n_bytes + i);
        DOT4(low, pair & 0x0f0f0f0f, left);
        DOT4(high, (pair >> 4) & 0x0f0f0f0f, right);
    }
    low += high;
    for (int lane = 0; lane < LANES; lane++)
        sum += low[lane];
    return sum;
}

/* place[i] = how many of x[0 .. n) come before x[i]: those that are larger, and equal ones
 * before i; n is a multiple of 16. For lists so short that n^2 compares of whole registers
 * are cheaper than branches that no CPU can foretell. */
static void SIMD(places)(const float *restrict x, int32_t *restrict place, ptrdiff_t n)
{
    SIMD(sums) lanes;
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = lane;
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const SIMD(vector) mine = *(const SIMD(vector) *)(x + i);
        SIMD(sums) before = {0};
        for (ptrdiff_t j = 0; j < i; j++)
            before -= (SIMD(sums))(((SIMD(vector)){0.0f} + x[j]) >= mine);
        for (int32_t j = 0; j < LANES; j++) {
            const SIMD(vector) other = (SIMD(vector)){0.0f} + x[i + j];
            before -= (SIMD(sums))(other > mine) | ((SIMD(sums))(other == mine) & (lanes > j));
        }
        for (ptrdiff_t j = i + LANES; j < n; j++)
            before -= (SIMD(sums))(((SIMD(vector)){0.0f} + x[j]) > mine);
        *(SIMD(ints) *)(place + i) = before;
    }
}
