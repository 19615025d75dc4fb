/* Upper bounds of logits from 8-bit codes, for CPUs that multiply such codes (AVX-512 VNNI).
 *
 * A row h of activations is coded as scale * p + e with 0 <= p <= 255, a class's weights w
 * as scale' * q + e' with |q| <= 127. With g = scale * p and v = scale' * q,
 *
 *   h . w = g . v + g . e' + e . w <= scale scale' (p . q) + |g| |e'| + |e| |w|
 *
 * by Cauchy and Schwarz. The bound is one of the logit as product.h computes it, too:
 * its rounding adds at most width * 2^-24 |h| |w|. That, and a few roundings of what is
 * computed here, each at most 2^-24 of its term, are why |e| and |e'| are taken larger by
 * SLACK (width) of |h| and |w|, and all norms larger by MARGIN. The absolute TINY covers
 * what underflows. Codes that would scale badly are not trusted: a row or class whose
 * largest value is below SMALLEST counts as all error, and one above LARGEST, or not a
 * number, has a bound that says nothing.
 *
 * Coarser and cheaper, h . w <= |h| |w|: where classes stand in the order of falling norms,
 * that of the next one, and the largest bias of those to come, tell whether any can matter.
 */
#ifndef SKLSH_BOUNDS_H
#define SKLSH_BOUNDS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BOUND_CLASSES 64 /* classes of a panel */
#define BOUND_ROWS 6     /* rows of activations scanned at a time */
#define SMALLEST 1e-30f
#define LARGEST 1e15f
#define MARGIN 1.0001f
#define SLACK(width) (((width) + 16) * 1.2e-7f)
#define TINY 1e-34f

/* 64 classes: codes stand in groups of 4 along the width, (width / 4, 64, 4). */
typedef struct {
    int8_t *codes;
    float scale[BOUND_CLASSES];
    float norm[BOUND_CLASSES];  /* at least |w| */
    float error[BOUND_CLASSES]; /* at least |e'| */
    float bias[BOUND_CLASSES];  /* at least the bias */
} class_bounds;

typedef struct {
    float scale;
    float norm;      /* at least |g| */
    float error;     /* at least |e| */
    float threshold; /* classes whose bound is below are of no interest */
} row_bounds;

/* At least |w|, given w . w in floats; UNDERFLOW makes up for squares that were too small. */
#define UNDERFLOW 1e-17f
static inline float norm_above(float square)
{
    return sqrtf(square) * MARGIN + UNDERFLOW;
}

/* At least the bias, and what adding it may round. */
static inline float bias_above(float bias)
{
    return bias + (fabsf(bias) * SLACK(0) + TINY);
}

/* Whether no class with at most this norm and bias can reach the row's threshold. */
static inline int is_done(const row_bounds *row, float norm, float bias)
{
    return row->scale == row->scale &&
           (row->norm + row->error) * norm + bias < row->threshold;
}

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                              \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma"))),     \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target(                                                                        \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,prefer-vector-width=512")
#endif

/* Codes of x, n a multiple of 16, from `least` to `most`; four at a time go to code,
 * code + stride and so on. `scale`, `norm` and `error` are those of the structs above;
 * the norm is of x, or of what the codes stand for. */
static inline void code_floats(const float *x, ptrdiff_t n, int least, int most, int8_t *code,
                               ptrdiff_t stride, float *scale, float *norm, float *error)
{
    __m512 top = _mm512_setzero_ps(), squares = top, missed = top;
    __m512 inverse;
    float largest, all;
    int sane = 1;
    for (ptrdiff_t i = 0; i < n; i += 16) {
        const __m512 size = _mm512_abs_ps(_mm512_loadu_ps(x + i));
        sane &= _mm512_cmp_ps_mask(size, _mm512_set1_ps(LARGEST), _CMP_LE_OQ) == 0xffff;
        top = _mm512_max_ps(top, size);
    }
    largest = _mm512_reduce_max_ps(top);
    if (!sane || largest < SMALLEST) {
        for (ptrdiff_t i = 0; i < n; i += 4)
            memset(code + i / 4 * stride, 0, 4);
        *scale = sane ? 0.0f : NAN;
        *norm = *error = (largest + TINY) * sqrtf(n) * MARGIN;
        return;
    }
    inverse = _mm512_set1_ps(most / largest);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        const __m512 y = _mm512_mul_ps(_mm512_loadu_ps(x + i), inverse);
        __m512i q = _mm512_cvtps_epi32(y);
        __m512 back;
        __m128i bytes;
        q = _mm512_max_epi32(q, _mm512_set1_epi32(least));
        q = _mm512_min_epi32(q, _mm512_set1_epi32(most));
        back = _mm512_cvtepi32_ps(q);
        squares = _mm512_fmadd_ps(back, back, squares);
        back = _mm512_sub_ps(y, back);
        missed = _mm512_fmadd_ps(back, back, missed);
        bytes = _mm512_cvtepi32_epi8(q);
        for (int four = 0; four < 4; four++) {
            const int32_t word = _mm_cvtsi128_si32(bytes);
            memcpy(code + (i / 4 + four) * stride, &word, 4);
            bytes = _mm_srli_si128(bytes, 4);
        }
    }
    *scale = largest / most;
    *norm = *scale * sqrtf(_mm512_reduce_add_ps(squares)) * MARGIN;
    *error = *scale * sqrtf(_mm512_reduce_add_ps(missed)) * MARGIN;
    all = *norm + *error; /* at least |x| */
    if (least < 0)
        *norm = all;
    *error += SLACK(n) * all;
}

/* Code the activations of a row. */
static void bound_row(const float *hidden, ptrdiff_t width, uint8_t *codes, row_bounds *row)
{
    code_floats(hidden, width, 0, 255, (int8_t *)codes, 4, &row->scale, &row->norm, &row->error);
}

/* Code class j of the panel. */
static void bound_class(const float *weights, float bias, ptrdiff_t width, int j,
                        class_bounds *panel)
{
    code_floats(weights, width, -127, 127, panel->codes + 4 * j, 4 * BOUND_CLASSES,
                &panel->scale[j], &panel->norm[j], &panel->error[j]);
    panel->bias[j] = bias_above(bias);
}

/* vpdpbusd by name: gcc 12 spills the sums around the intrinsic. */
#define DOT4(sum, unsigned4, signed4)                                                      \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned4), "v"(signed4))

/* Bit j of reach[i] is whether the bound of row i and class j is not below the row's
 * threshold; n_rows is a multiple of BOUND_ROWS, codes are (n_rows, width). Returns the
 * number of bits. */
static ptrdiff_t scan_panel(ptrdiff_t n_rows, ptrdiff_t width, const uint8_t *codes,
                            const row_bounds *rows, const class_bounds *panel,
                            unsigned long long *reach)
{
    enum { VECTORS = BOUND_CLASSES / 16 };
    ptrdiff_t n_bits = 0;
    for (ptrdiff_t first = 0; first < n_rows; first += BOUND_ROWS) {
        __m512i sum[BOUND_ROWS][VECTORS];
        const uint8_t *left = codes + first * width;
        for (int i = 0; i < BOUND_ROWS; i++)
            for (int j = 0; j < VECTORS; j++)
                sum[i][j] = _mm512_setzero_si512();
        for (ptrdiff_t p = 0; p < width; p += 4) {
            __m512i right[VECTORS];
            for (int j = 0; j < VECTORS; j++)
                right[j] = _mm512_loadu_si512(panel->codes + p * BOUND_CLASSES + j * 64);
            for (int i = 0; i < BOUND_ROWS; i++) {
                int32_t four;
                __m512i spread;
                memcpy(&four, left + i * width + p, 4);
                spread = _mm512_set1_epi32(four);
                for (int j = 0; j < VECTORS; j++)
                    DOT4(sum[i][j], spread, right[j]);
            }
        }
#pragma GCC unroll 6 /* or the sums would have to lie in memory */
        for (int i = 0; i < BOUND_ROWS; i++) {
            const row_bounds *row = rows + first + i;
            unsigned long long bits = 0;
#pragma GCC unroll 4
            for (int j = 0; j < VECTORS; j++) {
                __m512 bound = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i][j]),
                                             _mm512_loadu_ps(panel->scale + 16 * j));
                bound = _mm512_fmadd_ps(bound, _mm512_set1_ps(row->scale),
                                        _mm512_loadu_ps(panel->bias + 16 * j));
                bound = _mm512_fmadd_ps(_mm512_set1_ps(row->norm),
                                        _mm512_loadu_ps(panel->error + 16 * j), bound);
                bound = _mm512_fmadd_ps(_mm512_set1_ps(row->error),
                                        _mm512_loadu_ps(panel->norm + 16 * j), bound);
                bits |= (unsigned long long)_mm512_cmp_ps_mask(
                            bound, _mm512_set1_ps(row->threshold), _CMP_NLT_UQ)
                        << (16 * j);
            }
            reach[first + i] = bits;
            n_bits += __builtin_popcountll(bits);
        }
    }
    return n_bits;
}

#undef DOT4
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else /* never called: there is no such CPU */
static void bound_row(const float *hidden, ptrdiff_t width, uint8_t *codes, row_bounds *row)
{
    (void)hidden, (void)width, (void)codes, (void)row;
}
static void bound_class(const float *weights, float bias, ptrdiff_t width, int j,
                        class_bounds *panel)
{
    (void)weights, (void)bias, (void)width, (void)j, (void)panel;
}
static ptrdiff_t scan_panel(ptrdiff_t n_rows, ptrdiff_t width, const uint8_t *codes,
                            const row_bounds *rows, const class_bounds *panel,
                            unsigned long long *reach)
{
    (void)n_rows, (void)width, (void)codes, (void)rows, (void)panel, (void)reach;
    return 0;
}
#endif

#undef SMALLEST
#undef LARGEST
#undef MARGIN
#undef SLACK
#undef TINY
#undef UNDERFLOW
#endif
