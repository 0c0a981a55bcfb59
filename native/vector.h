/* One vector type, its loads and stores, and exp, sigmoid and tanh over it: for the instruction set and the width of
   number that this file is compiled for (COMPUERTA_BITS is 32 or 64). GCC and Clang vector extensions, with intrinsics for
   two operations only. */
#ifndef COMPUERTA_VECTOR_H
#define COMPUERTA_VECTOR_H
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Bytes of a vector, and the tile: ROWS rows of the batch times 4 vectors (3 in a GRU) are accumulated in registers. */
#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 6
#elif defined(__AVX2__)
#define BYTES 32
#define ROWS 3
#elif defined(__aarch64__)
#define BYTES 16
#define ROWS 6
#else
#define BYTES 16
#define ROWS 3
#endif

#if COMPUERTA_BITS == 32
typedef float real;
typedef int32_t integer;
typedef uint32_t unsigned_integer;
#define VL (BYTES / 4)
#define SQRT sqrtf
#else
typedef double real;
typedef int64_t integer;
typedef uint64_t unsigned_integer;
#define VL (BYTES / 8)
#define SQRT sqrt
#endif

/* The type in which packed weights are stored; all sums and states are `real`. A narrower one changes this line and
   load_weights. */
typedef real stored;

typedef real vec __attribute__((vector_size(BYTES)));
typedef real loose __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));
typedef integer ivec __attribute__((vector_size(BYTES)));
typedef unsigned_integer uvec __attribute__((vector_size(BYTES))); /* where a sum may pass the top */

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

INLINE vec load(const real *p) { return *(const loose *)p; }
INLINE void store(real *p, vec v) { *(loose *)p = v; }
INLINE vec load_weights(const stored *p) { return load(p); }
INLINE vec all(real x) { return x - (vec){0}; }

/* The first n lanes; the others are zero, or left alone. */
INLINE vec load_some(const real *p, int n) {
  if (n >= VL) return load(p);
  vec v = {0};
  memcpy(&v, p, (size_t)n * sizeof(real));
  return v;
}
INLINE void store_some(real *p, vec v, int n) {
  if (n >= VL)
    store(p, v);
  else
    memcpy(p, &v, (size_t)n * sizeof(real));
}

/* e^a = 2^n (1 + p), a <= 0, with n = round(a / ln 2), |r| <= ln 2 / 2 and p = e^r - 1, a polynomial in r.
   Adding MAGIC rounds to an integer, and leaves that integer in the low bits. */
#if COMPUERTA_BITS == 32
#define MAGIC 12582912.0f
#define LOG2E 1.44269504088896341f
#define LN2 0.693147180559945309f
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.42860682030941723212e-6f
#define MANTISSA 23
#define ONE_BITS 0x3f800000
#define MOST 1e30f
#define SCALE 4294967296.0f
#define SCALE_BITS 0x4f800000
#define LEAST_ARGUMENT (-106.0f)
/* e^(k r) - 1: (e^r - 1) / r is minimax on |r| <= ln 2 / 2 (see README.md). k is 1 or 2, which changes no digit. */
INLINE vec expm1_polynomial(vec r, const real k) {
  vec q = all(1.388887556e-3f * k * k * k * k * k * k);
  q = q * r + 8.369104305e-3f * k * k * k * k * k;
  q = q * r + 4.166713711e-2f * k * k * k * k;
  q = q * r + 1.66665059e-1f * k * k * k;
  q = q * r + 4.999999812e-1f * k * k;
  q = q * r + k;
  return q * r;
}
#else
#define MAGIC 6755399441055744.0
#define LOG2E 1.4426950408889634074
#define LN2 0.693147180559945309
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define MANTISSA 52
#define ONE_BITS 0x3ff0000000000000
#define MOST 1e300
#define SCALE 18446744073709551616.0
#define SCALE_BITS 0x43f0000000000000
#define LEAST_ARGUMENT (-750.0)
INLINE vec expm1_polynomial(vec r, const real k) {
  real power[14] = {1}; /* of k */
  for (int i = 1; i < 14; i++) power[i] = power[i - 1] * k;
  vec q = all(power[13] / 6227020800.0);
  q = q * r + power[12] / 479001600.0;
  q = q * r + power[11] / 39916800.0;
  q = q * r + power[10] / 3628800.0;
  q = q * r + power[9] / 362880.0;
  q = q * r + power[8] / 40320.0;
  q = q * r + power[7] / 5040.0;
  q = q * r + power[6] / 720.0;
  q = q * r + power[5] / 120.0;
  q = q * r + power[4] / 24.0;
  q = q * r + power[3] / 6.0;
  q = q * r + power[2] / 2.0;
  q = q * r + power[1];
  return q * r;
}
#endif

#define SIGN ((integer)((COMPUERTA_BITS == 32) ? 0x80000000ull : 0x8000000000000000ull))
INLINE vec below_zero(vec x) { return (vec)((ivec)x | SIGN); } /* -|x| */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
/* The larger of low and x, where NaN stays; and a where the sign of x is set, else b. On x86 one or two instructions,
   which compilers do not find by themselves. */
#if defined(__AVX512F__) && COMPUERTA_BITS == 32
INLINE vec at_least(vec x, real low) { return (vec)_mm512_max_ps((__m512)all(low), (__m512)x); }
INLINE vec where_negative(vec x, vec a, vec b) {
  return (vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)b, (__m512)a);
}
#elif defined(__AVX512F__)
INLINE vec at_least(vec x, real low) { return (vec)_mm512_max_pd((__m512d)all(low), (__m512d)x); }
INLINE vec where_negative(vec x, vec a, vec b) {
  return (vec)_mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)x), (__m512d)b, (__m512d)a);
}
#elif defined(__AVX2__) && COMPUERTA_BITS == 32
INLINE vec at_least(vec x, real low) { return (vec)_mm256_max_ps((__m256)all(low), (__m256)x); }
INLINE vec where_negative(vec x, vec a, vec b) { return (vec)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)x); }
#elif defined(__AVX2__)
INLINE vec at_least(vec x, real low) { return (vec)_mm256_max_pd((__m256d)all(low), (__m256d)x); }
INLINE vec where_negative(vec x, vec a, vec b) { return (vec)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)x); }
#else
INLINE vec at_least(vec x, real low) { return choose(x < low, all(low), x); }
INLINE vec where_negative(vec x, vec a, vec b) { return choose((ivec)x >> (COMPUERTA_BITS - 1), a, b); }
#endif

INLINE vec at_most(vec x, real high) { return -at_least(-x, -high); }

/* e^a for a <= 0, down to the last denormal; e^-inf = 0, and NaN stays. */
INLINE vec exponential(vec a) {
  a = at_least(a, LEAST_ARGUMENT);
  vec magic = a * LOG2E + MAGIC;
  vec n = magic - MAGIC;
  vec r = a - n * LN2_HIGH;
  r = r - n * LN2_LOW;
  vec power = (vec)(((uvec)magic << MANTISSA) + (unsigned_integer)SCALE_BITS);
  return (expm1_polynomial(r, 1) * power + power) * (1 / SCALE);
}

/* With s = e^-|x|: 1 / (1 + s), or s / (1 + s) where x < 0, both parts of the fraction scaled by SCALE, so that only
   the division can underflow: no overflow, and the tail is right down to the last denormal. */
INLINE vec sigmoid(vec x) {
  vec a = at_least(below_zero(x), LEAST_ARGUMENT);
  vec magic = a * LOG2E + MAGIC;
  vec n = magic - MAGIC;
  vec r = a - n * LN2_HIGH;
  r = r - n * LN2_LOW;
  vec power = (vec)(((uvec)magic << MANTISSA) + (unsigned_integer)SCALE_BITS);
  vec s = expm1_polynomial(r, 1) * power + power;
  return where_negative(x, s, all(SCALE)) / (s + SCALE);
}

/* m = e^-2|x| - 1 without cancellation, and tanh |x| = -m / (2 + m). */
INLINE vec hyperbolic_tangent(vec x) {
  vec a = at_least(below_zero(x), (real)-30);
  vec magic = a * (2 * LOG2E) + MAGIC;
  vec n = magic - MAGIC;
  vec r = a - n * (LN2 / 2); /* what is lost here is lost to e^-2|x|, which is as small as n is large */
  vec scale = (vec)(((uvec)magic << MANTISSA) + (unsigned_integer)ONE_BITS);
  vec m = expm1_polynomial(r, 2) * scale + (scale - 1);
  vec t = m / (2 + m);
  return (vec)(((ivec)t & ~SIGN) | ((ivec)x & SIGN));
}
#endif
