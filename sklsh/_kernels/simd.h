/* One table of row primitives per instruction set, and the choice among them.
 *
 * Each level compiles the same loops (row_ops.h, product.h) inside a target region,
 * so a wheel built for the baseline runs the widest vectors the CPU has.
 */
#ifndef SKLSH_SIMD_H
#define SKLSH_SIMD_H

#include <math.h>
#include <string.h>

#include "row_ops_table.h"

#define ROW_OPS_TABLE(label)                                                          \
    static const row_ops SIMD(ops) = {                                                \
        label, SIMD(dot), SIMD(sum_rows), SIMD(dot_bf16), SIMD(sum_rows_bf16),             \
        SIMD(widen), SIMD(narrow), {SIMD(sgd), SIMD(momentum), SIMD(adam)},        \
        SIMD(add_max), SIMD(softmax), SIMD(logistic), SIMD(rotate16),                 \
        SIMD(sign_bits16), SIMD(winners16), SIMD(product)};

#define SIMD(name) name##_baseline
#define LANES 4
#define TILE_VECTORS 2
#include "row_ops.h"
#include "product.h"
ROW_OPS_TABLE("baseline")
#undef SIMD
#undef LANES
#undef TILE_VECTORS

#if defined(__x86_64__)
#define SKLSH_X86 1

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define SIMD(name) name##_avx2
#define LANES 8
#define TILE_VECTORS 2
#include "row_ops.h"
#include "product.h"
ROW_OPS_TABLE("avx2")
#undef SIMD
#undef LANES
#undef TILE_VECTORS
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                          \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#define SIMD(name) name##_avx512
#define LANES 16
#define TILE_VECTORS 4
#include "row_ops.h"
#include "product.h"
ROW_OPS_TABLE("avx512")
#undef SIMD
#undef LANES
#undef TILE_VECTORS
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif /* __x86_64__ */

/* The levels this CPU can run, narrowest first; returns how many. */
static inline int supported_levels(const row_ops **levels)
{
    int n = 0;
    levels[n++] = &ops_baseline;
#ifdef SKLSH_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        levels[n++] = &ops_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            levels[n++] = &ops_avx512;
    }
#endif
    return n;
}

#endif
