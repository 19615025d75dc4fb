/* All primitives for one instruction set, and the table of them.
 *
 * Before each inclusion simd.h defines SIMD(name), which appends the instruction set to a
 * name; LEVEL, the instruction set's own name; LANES, the floats in one vector register;
 * TILE_VECTORS, the registers across a tile of the dense product; and DOT4, if there is
 * an instruction for sums of four 8-bit products. All are undefined again here.
 */

#include "row_ops.h"
#include "product.h"
#include "int8.h"
#include "int4.h"
#include "sketched_rows.h"
#include "ragged_rows.h"

static const row_ops SIMD(ops) = {
    LEVEL,
    SIMD(dot), SIMD(sum_rows), SIMD(dot_bf16), SIMD(sum_rows_bf16), SIMD(widen), SIMD(narrow),
    {SIMD(sgd), SIMD(momentum), SIMD(adam), SIMD(rmsprop), SIMD(row_adam), SIMD(row_rmsprop),
     SIMD(adagrad)},
    SIMD(add_max), SIMD(softmax), SIMD(logistic),
    SIMD(interleave16), SIMD(rotate16), SIMD(sign_bits16), SIMD(winners16),
    SIMD(product),
    SIMD(add), SIMD(largest), SIMD(largest_each), SIMD(round_int8), SIMD(weave),
    SIMD(product_int8),
    SIMD(round_int4), SIMD(dot_int4), SIMD(places),
    SIMD(median_cells), SIMD(least_cells), SIMD(add_change), SIMD(negate),
    SIMD(sparse_dot), SIMD(add_picked), SIMD(pick)};

#undef SIMD
#undef LEVEL
#undef LANES
#undef TILE_VECTORS
#undef DOT4
