/* What one core of this machine can do: multiply-adds that never leave the registers, and
 * scattered rows read or rewritten in a table far larger than its caches.
 *
 * Compiled by roofline.py for the CPU it runs on.
 */

#include <stddef.h>
#include <stdint.h>
#if defined(__AVX512VNNI__) || defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12 /* independent sums, enough to hide the latency of two units */
#define LINE 16   /* floats in a cache line */

typedef float vector __attribute__((vector_size(BYTES), aligned(4), may_alias));

static volatile float sink;

/* Each of these runs `n` rounds and returns the arithmetic operations of that, a multiply-add
 * being two; 0 if the CPU has no such instruction. */

double multiply_add_float32(ptrdiff_t n)
{
    vector sums[CHAINS] = {{0}}, total = {0}, factor = {0}, term = {0};
    for (int c = 0; c < CHAINS; c++) /* all different, or the compiler keeps one of them */
        sums[c] += (float)c + sink;
    factor += 0.5f;
    term += 1.0f;
    for (ptrdiff_t i = 0; i < n; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            sums[c] = sums[c] * factor + term;
    }
    for (int c = 0; c < CHAINS; c++)
        total += sums[c];
    sink = total[0];
    return 2.0 * n * CHAINS * (BYTES / 4);
}

double multiply_add_bfloat16(ptrdiff_t n)
{
#ifdef __AVX512BF16__
    __m512 sums[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        sums[c] = _mm512_set1_ps((float)c + sink);
    const __m512bh pair = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    for (ptrdiff_t i = 0; i < n; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            sums[c] = _mm512_dpbf16_ps(sums[c], pair, pair);
    }
    for (int c = 1; c < CHAINS; c++)
        sums[0] += sums[c];
    sink = sums[0][0];
    return 2.0 * n * CHAINS * 32;
#else
    (void)n;
    return 0;
#endif
}

double multiply_add_int8(ptrdiff_t n)
{
#ifdef __AVX512VNNI__
    __m512i sums[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        sums[c] = _mm512_set1_epi32(c + (int)sink);
    const __m512i four = _mm512_set1_epi32(0x01010101);
    for (ptrdiff_t i = 0; i < n; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            sums[c] = _mm512_dpbusd_epi32(sums[c], four, four);
    }
    for (int c = 1; c < CHAINS; c++)
        sums[0] += sums[c];
    sink = (float)sums[0][0];
    return 2.0 * n * CHAINS * 64;
#else
    (void)n;
    return 0;
#endif
}

/* ---- table (n_rows, width), width a multiple of LINE; rows (n,) ---- */

static inline void fetch(const float *row, ptrdiff_t width)
{
    for (ptrdiff_t j = 0; j < width; j += LINE)
        __builtin_prefetch(row + j);
}

void read_rows(const float *table, ptrdiff_t width, const int32_t *rows, ptrdiff_t n,
               ptrdiff_t ahead)
{
    vector total = {0};
    for (ptrdiff_t i = 0; i < n; i++) {
        const float *row = table + rows[i] * width;
        if (i + ahead < n)
            fetch(table + rows[i + ahead] * width, width);
        for (ptrdiff_t j = 0; j < width; j += BYTES / 4)
            total += *(const vector *)(row + j);
    }
    sink = total[0];
}

void rewrite_rows(float *table, ptrdiff_t width, const int32_t *rows, ptrdiff_t n,
                  ptrdiff_t ahead)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float *row = table + rows[i] * width;
        if (i + ahead < n)
            fetch(table + rows[i + ahead] * width, width);
        for (ptrdiff_t j = 0; j < width; j += BYTES / 4)
            *(vector *)(row + j) += 1.0f;
    }
}
