/* What the kernels see of the row primitives: the table's type, and prefetching. */
#ifndef SKLSH_ROW_OPS_TABLE_H
#define SKLSH_ROW_OPS_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum { N_RULES = 7, MOST_CELLS = 16 };

typedef void (*update_rule)(float *w, float *slot1, float *slot2, const float *g,
                            const float *hyper, ptrdiff_t n);

typedef struct {
    const char *name;
    float (*dot)(const float *x, const float *y, ptrdiff_t n);
    void (*sum_rows)(float *out, ptrdiff_t width, const float *table, const int32_t *rows,
                     const float *values, ptrdiff_t n, ptrdiff_t n_known);
    float (*dot_bf16)(const float *x, const uint16_t *y, ptrdiff_t n);
    void (*sum_rows_bf16)(float *out, ptrdiff_t width, const uint16_t *table,
                          const int32_t *rows, const float *values, ptrdiff_t n,
                          ptrdiff_t n_known);
    void (*widen)(const uint16_t *row, float *out, ptrdiff_t n);
    void (*narrow)(const float *x, uint16_t *row, ptrdiff_t n, uint32_t seed);
    /* sgd, momentum, adam, rmsprop, row_adam, row_rmsprop, adagrad */
    update_rule rules[N_RULES];
    float (*add_max)(float *z, const float *offset, ptrdiff_t n);
    float (*softmax)(float *z, const float *offset, float factor, ptrdiff_t n);
    float (*logistic)(float *z, const float *offset, const float *weight, float factor,
                      ptrdiff_t n);
    void (*interleave16)(const float *const *row, ptrdiff_t width, float *out);
    void (*rotate16)(float *x, const float *sign, ptrdiff_t width);
    void (*sign_bits16)(const float *x, int32_t *code, int bit);
    void (*winners16)(const float *x, const int32_t *rows, ptrdiff_t n, int32_t *slot);
    void (*product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const float *a, ptrdiff_t a_row,
                    ptrdiff_t a_k, const float *b, ptrdiff_t b_k, float *c,
                    ptrdiff_t c_row, int accumulate);
    void (*add)(float *out, const float *x, ptrdiff_t n);
    float (*largest)(const float *x, ptrdiff_t n);
    void (*largest_each)(const float *x, float *top, ptrdiff_t n);
    int32_t (*round_int8)(const float *x, const float *scale, int scale_step, uint32_t seed,
                          int zero, int8_t *code, ptrdiff_t n);
    void (*weave)(const uint8_t *row, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t width,
                  ptrdiff_t apart, uint32_t *out);
    void (*product_int8)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t groups, const int8_t *a,
                         ptrdiff_t a_row, ptrdiff_t a_group, const uint8_t *b,
                         ptrdiff_t b_group, const float *row_scale, const int32_t *row_sum,
                         const float *column_scale, float *c, ptrdiff_t c_row,
                         int accumulate);
    void (*round_int4)(const float *x, float factor, uint8_t *code, ptrdiff_t n_bytes);
    int32_t (*dot_int4)(const int8_t *x, const uint8_t *code, ptrdiff_t n_bytes);
    void (*places)(const float *x, int32_t *place, ptrdiff_t n);
    void (*median_cells)(float *const *cell, const float *sign, int depth, float *out,
                         float *copy, ptrdiff_t n);
    void (*least_cells)(float *const *cell, int depth, float *out, float *copy,
                        ptrdiff_t n);
    void (*add_change)(float *const *cell, const float *sign, int depth, const float *before,
                       const float *after, ptrdiff_t n);
    void (*negate)(float *x, ptrdiff_t n);
    float (*sparse_dot)(const float *x, const int32_t *place, const float *row, ptrdiff_t n);
    void (*add_picked)(float *out, float factor, const float *row, const int32_t *place,
                       ptrdiff_t n);
    void (*pick)(const float *row, const int32_t *place, float *out, ptrdiff_t n);
} row_ops;

/* Ask for the bytes at `row` ahead of their use, to be held in L2: L1 can wait for too few
 * lines at once to keep several rows in flight. The empty statement keeps GCC from taking a
 * function that does nothing else to have no effect, and dropping calls of it. */
static inline void prefetch_bytes(const void *row, ptrdiff_t n_bytes)
{
    __asm__ volatile("");
    for (ptrdiff_t i = 0; i < n_bytes; i += 64)
        __builtin_prefetch((const char *)row + i, 0, 2);
}

#endif
