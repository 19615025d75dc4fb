/* Row primitives, written once as plain loops.
 *
 * level.h includes this file once per instruction set, with SIMD(name), which appends the
 * instruction set to a function's name, and LANES, the floats in one vector register.
 *
 * Rows are contiguous runs of n floats; nothing is assumed about their alignment.
 */

typedef float SIMD(vector) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t SIMD(mask) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

typedef uint16_t SIMD(halves) __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef uint32_t SIMD(bits) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* ---- weights stored as float, or as bfloat16: the upper half of a float ---- */

static inline float SIMD(widened)(const uint16_t *x)
{
    const uint32_t bits = (uint32_t)*x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

#define STORED(name) SIMD(name)
#define stored float
#define LOAD(p) (*(const SIMD(vector) *)(p))
#define VALUE(p) (*(p))
#include "stored_rows.h"
#undef STORED
#undef stored
#undef LOAD
#undef VALUE

#define STORED(name) SIMD(name##_bf16)
#define stored uint16_t
#define LOAD(p)                                                                       \
    ((SIMD(vector))(__builtin_convertvector(*(const SIMD(halves) *)(p), SIMD(bits)) << 16))
#define VALUE(p) SIMD(widened)(p)
#include "stored_rows.h"

/* out <- row, in floats */
static void SIMD(widen)(const uint16_t *restrict row, float *restrict out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        *(SIMD(vector) *)(out + i) = LOAD(row + i);
    for (; i < n; i++)
        out[i] = VALUE(row + i);
}
#undef STORED
#undef stored
#undef LOAD
#undef VALUE

/* row <- x, rounded up or down at random: up with the probability that makes the stored
 * value right on average. Rounding to the nearest would lose every update smaller than
 * half of a bfloat16's last place. `seed` and the column are all that decides. */
static void SIMD(narrow)(const float *restrict x, uint16_t *restrict row, ptrdiff_t n,
                         uint32_t seed)
{
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t bits, r = seed + (uint32_t)i * 0x9e3779b9u;
        r = (r ^ (r >> 16)) * 0x85ebca6bu;
        r = (r ^ (r >> 13)) * 0xc2b2ae35u;
        memcpy(&bits, x + i, 4);
        row[i] = (uint16_t)((bits + (r >> 16)) >> 16);
    }
}

/* ---- update rules: w -= step(g), with up to two slots of state. A slot holds a number for
 * each weight or, as a row's second moment does, one for the row. ---- */

/* hyper = {rate} */
static void SIMD(sgd)(float *restrict w, float *restrict slot1, float *restrict slot2,
                      const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float rate = hyper[0];
    (void)slot1;
    (void)slot2;
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        w[i] -= rate * g[i];
}

/* Heavy ball. hyper = {rate, momentum}; slot1 = velocity */
static void SIMD(momentum)(float *restrict w, float *restrict velocity, float *restrict slot2,
                           const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float rate = hyper[0], momentum = hyper[1];
    (void)slot2;
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) {
        velocity[i] = momentum * velocity[i] - rate * g[i];
        w[i] += velocity[i];
    }
}

/* hyper = {rate with the bias corrections in it, 1 - beta_1, 1 - beta_2, epsilon, ...} */
static void SIMD(adam)(float *restrict w, float *restrict m, float *restrict v,
                       const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float rate = hyper[0], gain1 = hyper[1], gain2 = hyper[2], epsilon = hyper[3];
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) {
        m[i] += gain1 * (g[i] - m[i]);
        v[i] += gain2 * (g[i] * g[i] - v[i]);
        w[i] -= rate * m[i] / (sqrtf(v[i]) + epsilon);
    }
}

/* Adam whose first moment is the gradient itself: beta_1 = 0 */
static void SIMD(rmsprop)(float *restrict w, float *restrict slot1, float *restrict v,
                          const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float rate = hyper[0], gain2 = hyper[2], epsilon = hyper[3];
    (void)slot1;
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) {
        v[i] += gain2 * (g[i] * g[i] - v[i]);
        w[i] -= rate * g[i] / (sqrtf(v[i]) + epsilon);
    }
}

/* The row's second moment takes in the mean square of g; returns what to multiply steps by.
 * hyper[4] = 1 / the number of weights in a row, to which padding does not count. */
static inline float SIMD(row_scale)(float *restrict v, const float *restrict g,
                                    const float *restrict hyper, ptrdiff_t n)
{
    enum { VECTORS = 4, STRIDE = VECTORS * LANES }; /* several, not to wait for one */
    SIMD(vector) part[VECTORS] = {{0.0f}, {0.0f}, {0.0f}, {0.0f}};
    float sum = 0.0f, lanes[LANES];
    ptrdiff_t i = 0;
    for (; i + STRIDE <= n; i += STRIDE)
        for (int k = 0; k < VECTORS; k++) {
            const SIMD(vector) x = *(const SIMD(vector) *)(g + i + k * LANES);
            part[k] += x * x;
        }
    part[0] = (part[0] + part[1]) + (part[2] + part[3]);
    memcpy(lanes, part, sizeof lanes);
#pragma omp simd reduction(+ : sum)
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    for (; i < n; i++)
        sum += g[i] * g[i];
    *v += hyper[2] * (sum * hyper[4] - *v);
    return hyper[0] / (sqrtf(*v) + hyper[3]);
}

/* Adam with one second moment a row. hyper as of adam, then that of row_scale */
static void SIMD(row_adam)(float *restrict w, float *restrict m, float *restrict v,
                           const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float scale = SIMD(row_scale)(v, g, hyper, n), gain1 = hyper[1];
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) {
        m[i] += gain1 * (g[i] - m[i]);
        w[i] -= scale * m[i];
    }
}

/* Both: beta_1 = 0, and one second moment a row */
static void SIMD(row_rmsprop)(float *restrict w, float *restrict slot1, float *restrict v,
                              const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float scale = SIMD(row_scale)(v, g, hyper, n);
    (void)slot1;
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        w[i] -= scale * g[i];
}

/* hyper = {rate, epsilon}; v = sum of the squares of all gradients */
static void SIMD(adagrad)(float *restrict w, float *restrict slot1, float *restrict v,
                          const float *restrict g, const float *restrict hyper, ptrdiff_t n)
{
    const float rate = hyper[0], epsilon = hyper[1];
    (void)slot1;
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++) {
        v[i] += g[i] * g[i];
        w[i] -= rate * g[i] / (sqrtf(v[i]) + epsilon);
    }
}

/* ---- losses over one row of logits ---- */

/* e^x to about 3 ulp for |x| < 87, clamped outside: 2^k times a polynomial in the rest */
static inline float SIMD(exp)(float x)
{
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float k, r, p;
    uint32_t bits;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    k = x * 1.44269504f + to_integer;
    memcpy(&bits, &k, 4);
    k -= to_integer;
    r = x - k * 0.693145752f;
    r = r - k * 1.42860677e-6f;
    p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&k, &bits, 4);
    return p * k;
}

/* log(1 + u) for 0 <= u <= 1: the series of 2 atanh(u / (2 + u)) */
static inline float SIMD(log1p)(float u)
{
    const float s = u / (2.0f + u), t = s * s;
    float p = 1.0f / 13.0f;
    p = p * t + 1.0f / 11.0f;
    p = p * t + 1.0f / 9.0f;
    p = p * t + 1.0f / 7.0f;
    p = p * t + 1.0f / 5.0f;
    p = p * t + 1.0f / 3.0f;
    p = p * t + 1.0f;
    return 2.0f * s * p;
}

/* z += offset; returns the largest. Compilers will not vectorise a maximum that NaN might
 * enter, but each lane may keep its own. */
static float SIMD(add_max)(float *restrict z, const float *restrict offset, ptrdiff_t n)
{
    enum { WIDE = 4 * LANES }; /* several registers, not to wait for one */
    float top[WIDE];
    ptrdiff_t i = 0;
    for (int lane = 0; lane < WIDE; lane++)
        top[lane] = -INFINITY;
    for (; i + WIDE <= n; i += WIDE) {
#pragma omp simd
        for (int lane = 0; lane < WIDE; lane++) {
            const float x = z[i + lane] + offset[i + lane];
            z[i + lane] = x;
            top[lane] = x > top[lane] ? x : top[lane];
        }
    }
    for (int lane = 0; i < n; i++, lane++) {
        z[i] += offset[i];
        top[lane] = z[i] > top[lane] ? z[i] : top[lane];
    }
    for (int half = WIDE / 2; half > 0; half /= 2) {
#pragma omp simd
        for (int lane = 0; lane < half; lane++)
            top[lane] = top[lane + half] > top[lane] ? top[lane + half] : top[lane];
    }
    return top[0];
}

/* z <- factor * softmax(z + offset); returns log sum exp(z + offset). What exp would clamp is
 * zero: -infinity in `offset` leaves a class out, and no product of it is slow to underflow. */
static float SIMD(softmax)(float *restrict z, const float *restrict offset, float factor,
                           ptrdiff_t n)
{
    const float top = SIMD(add_max)(z, offset, n);
    float sum = 0.0f, scale;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = 0; i < n; i++) {
        const float x = z[i] - top;
        z[i] = x < -87.0f ? 0.0f : SIMD(exp)(x); /* NaN stays NaN */
        sum += z[i];
    }
    scale = factor / sum;
#pragma omp simd
    for (ptrdiff_t i = 0; i < n; i++)
        z[i] *= scale;
    return top + logf(sum);
}

/* z <- factor * weight * sigmoid(z + offset);
 * returns sum weight * log(1 + exp(z + offset)) */
static float SIMD(logistic)(float *restrict z, const float *restrict offset,
                            const float *restrict weight, float factor, ptrdiff_t n)
{
    float loss = 0.0f;
#pragma omp simd reduction(+ : loss)
    for (ptrdiff_t i = 0; i < n; i++) {
        const float x = z[i] + offset[i];
        const float tail = SIMD(exp)(x > 0.0f ? -x : x);
        loss += weight[i] * ((x > 0.0f ? x : 0.0f) + SIMD(log1p)(tail));
        z[i] = factor * weight[i] * (x > 0.0f ? 1.0f : tail) / (1.0f + tail);
    }
    return loss;
}

/* ---- fast Walsh-Hadamard rotation of sixteen vectors side by side ---- */

typedef float SIMD(four) __attribute__((vector_size(16), aligned(4), may_alias));
#if defined(__clang__) || __GNUC__ >= 12
#define PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t SIMD(choice) __attribute__((vector_size(16)));
#define PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, (SIMD(choice)){i, j, k, l})
#endif

/* out[i, lane] = row[lane][i]; out : (width, 16) */
static void SIMD(interleave16)(const float *const *row, ptrdiff_t width, float *restrict out)
{
    for (ptrdiff_t lane = 0; lane < 16; lane += 4) {
        ptrdiff_t i = 0;
        for (; i + 4 <= width; i += 4) {
            const SIMD(four) a = *(const SIMD(four) *)(row[lane] + i);
            const SIMD(four) b = *(const SIMD(four) *)(row[lane + 1] + i);
            const SIMD(four) c = *(const SIMD(four) *)(row[lane + 2] + i);
            const SIMD(four) d = *(const SIMD(four) *)(row[lane + 3] + i);
            const SIMD(four) ab = PICK(a, b, 0, 4, 1, 5), ab2 = PICK(a, b, 2, 6, 3, 7);
            const SIMD(four) cd = PICK(c, d, 0, 4, 1, 5), cd2 = PICK(c, d, 2, 6, 3, 7);
            float *to = out + 16 * i + lane;
            *(SIMD(four) *)to = PICK(ab, cd, 0, 1, 4, 5);
            *(SIMD(four) *)(to + 16) = PICK(ab, cd, 2, 3, 6, 7);
            *(SIMD(four) *)(to + 32) = PICK(ab2, cd2, 0, 1, 4, 5);
            *(SIMD(four) *)(to + 48) = PICK(ab2, cd2, 2, 3, 6, 7);
        }
        for (; i < width; i++)
            for (ptrdiff_t j = lane; j < lane + 4; j++)
                out[16 * i + j] = row[j][i];
    }
}
#undef PICK

/* x : (width, 16), width a power of two; x <- H (sign * x), H unnormalised */
static void SIMD(rotate16)(float *restrict x, const float *restrict sign, ptrdiff_t width)
{
    ptrdiff_t half = 1;
    for (ptrdiff_t i = 0; i < width; i++) {
#pragma omp simd
        for (ptrdiff_t lane = 0; lane < 16; lane++)
            x[16 * i + lane] *= sign[i];
    }
    /* Two stages at a time, which halves the loads and stores: */
    for (; 4 * half <= width; half *= 4) {
        for (ptrdiff_t block = 0; block < width; block += 4 * half) {
            float *restrict x0 = x + 16 * block;
            float *restrict x1 = x0 + 16 * half;
            float *restrict x2 = x1 + 16 * half;
            float *restrict x3 = x2 + 16 * half;
#pragma omp simd
            for (ptrdiff_t i = 0; i < 16 * half; i++) {
                const float a = x0[i] + x1[i], b = x0[i] - x1[i];
                const float c = x2[i] + x3[i], d = x2[i] - x3[i];
                x0[i] = a + c;
                x1[i] = b + d;
                x2[i] = a - c;
                x3[i] = b - d;
            }
        }
    }
    if (half < width) { /* an odd number of them */
        float *restrict high = x + 16 * half;
#pragma omp simd
        for (ptrdiff_t i = 0; i < 16 * half; i++) {
            const float a = x[i], b = high[i];
            x[i] = a + b;
            high[i] = a - b;
        }
    }
}

/* code[lane] gains bit `bit` where x[lane] is negative; x, code : (16,) */
static void SIMD(sign_bits16)(const float *restrict x, int32_t *restrict code, int bit)
{
#pragma omp simd
    for (ptrdiff_t lane = 0; lane < 16; lane++)
        code[lane] |= (int32_t)(x[lane] < 0.0f) << bit;
}

/* ---- winner-take-all in sixteen vectors side by side ---- */

/* slot[lane] = which of the n rows of x is largest in the lane, the first of them if
 * several are; -1 if all are -infinity. x : (., 16); rows : (n,); slot : (16,) */
static void SIMD(winners16)(const float *restrict x, const int32_t *restrict rows, ptrdiff_t n,
                            int32_t *restrict slot)
{
    for (ptrdiff_t lane = 0; lane < 16; lane += LANES) {
        SIMD(vector) largest = (SIMD(vector)){0.0f} - INFINITY;
        SIMD(mask) winner = (SIMD(mask)){0} - 1;
        for (ptrdiff_t s = 0; s < n; s++) {
            const SIMD(vector) y = *(const SIMD(vector) *)(x + 16 * rows[s] + lane);
            const SIMD(mask) above = y > largest;
            largest = (SIMD(vector))((above & (SIMD(mask))y) | (~above & (SIMD(mask))largest));
            winner = (above & (int32_t)s) | (~above & winner);
        }
        *(SIMD(mask) *)(slot + lane) = winner;
    }
}
