/* One table of row primitives per instruction set, and the choice among them.
 *
 * Each level compiles the same loops (level.h) inside a target region, so a wheel built
 * for the baseline runs the widest vectors the CPU has.
 */
#ifndef SKLSH_SIMD_H
#define SKLSH_SIMD_H

#include <math.h>
#include <string.h>

#include "row_ops_table.h"

#define SIMD(name) name##_baseline
#define LEVEL "baseline"
#define LANES 4
#define TILE_VECTORS 2
#include "level.h"

#if defined(__x86_64__)
#define SKLSH_X86 1

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define SIMD(name) name##_avx2
#define LEVEL "avx2"
#define LANES 8
#define TILE_VECTORS 2
#include "level.h"
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
#define LEVEL "avx512"
#define LANES 16
#define TILE_VECTORS 4
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                                  \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma"))),         \
    apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target(                                                                            \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,prefer-vector-width=512")
#endif
#define SIMD(name) name##_vnni
#define LEVEL "avx512_vnni"
#define LANES 16
#define TILE_VECTORS 4
/* The compiler's intrinsic makes gcc 12 spill the accumulators: a fourth of the speed. */
#define DOT4(sum, b, a) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a))
#include "level.h"
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
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            levels[n++] = &ops_avx512;
            if (__builtin_cpu_supports("avx512vnni"))
                levels[n++] = &ops_vnni;
        }
    }
#endif
    return n;
}

#endif
