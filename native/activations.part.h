/* Every activation that a cell may have, over a few vectors at a time: the choice is made once for all of them. Part of
   kernel.c. */

/* e^z - 1 for z <= 0, without cancellation. */
INLINE vec expm1_negative(vec z) {
  vec a = at_least(z, (real)-40); /* below it the sum is -1 */
  vec magic = a * LOG2E + MAGIC;
  vec n = magic - MAGIC;
  vec r = a - n * LN2_HIGH;
  r = r - n * LN2_LOW;
  vec scale = (vec)(((uvec)magic << MANTISSA) + (unsigned_integer)ONE_BITS);
  return expm1_polynomial(r, 1) * scale + (scale - 1);
}

/* log(1 + u), 0 <= u <= 1: 2 artanh(u / (2 + u)), by its series, in s^2 <= 1 / 9. */
INLINE vec log1p_of_share(vec u) {
  enum { TERMS = COMPUERTA_BITS == 32 ? 8 : 17 };
  vec s = u / (2 + u), square = s * s, sum = all((real)1 / (2 * TERMS - 1));
  UNROLL for (int k = TERMS - 2; k >= 0; k--) sum = sum * square + (real)1 / (real)(2 * k + 1);
  return 2 * s * sum;
}

INLINE vec value_of(const int kind, vec z, real alpha, real beta) {
  switch (kind) {
    case AFFINE: return alpha * z + beta;
    case ELU: return choose(z > 0, z, alpha * expm1_negative(at_most(z, 0)));
    case HARD_SIGMOID: return at_most(at_least(alpha * z + beta, 0), 1);
    case LEAKY_RELU: return choose(z < 0, alpha * z, z);
    case RELU: return at_least(z, 0);
    case SCALED_TANH: return alpha * hyperbolic_tangent(beta * z);
    case SIGMOID: return sigmoid(z);
    case SOFTPLUS: return at_least(z, 0) + log1p_of_share(exponential(below_zero(z)));
    case SOFTSIGN: return z / (1 - below_zero(z));
    case TANH: return hyperbolic_tangent(z);
    case THRESHOLDED_RELU: return choose(z < alpha, (vec){0}, z);
    default: return z;
  }
}

/* The derivative where the argument is z and the value a; at a corner, that of one side. */
INLINE vec slope_of(const int kind, vec z, vec a, real alpha, real beta) {
  const vec none = {0};
  vec near;
  switch (kind) {
    case AFFINE: return all(alpha);
    case ELU: return choose(z > 0, all(1), a + alpha);
    case HARD_SIGMOID: return choose((a > 0) & (a < 1), all(alpha), none);
    case LEAKY_RELU: return choose(z < 0, all(alpha), all(1));
    case RELU: return choose(z > 0, all(1), none);
    case SCALED_TANH: return alpha * beta - (alpha != 0 ? beta / alpha : 0) * (a * a);
    case SIGMOID: return a * (1 - a);
    case SOFTPLUS: return sigmoid(z);
    case SOFTSIGN: near = 1 - below_zero(z); return 1 / (near * near);
    case TANH: return 1 - a * a;
    case THRESHOLDED_RELU: return choose(z < alpha, none, all(1));
    default: return all(1);
  }
}

#define EACH_ACTIVATION(do)                                                                                          \
  do(AFFINE) do(ELU) do(HARD_SIGMOID) do(IDENTITY) do(LEAKY_RELU) do(RELU) do(SCALED_TANH) do(SIGMOID) do(SOFTPLUS)  \
  do(SOFTSIGN) do(TANH) do(THRESHOLDED_RELU)

INLINE void values(const int kind, real alpha, real beta, int64_t n, const real *z, int64_t z_step, real *a,
                   int64_t a_step) {
  for (int64_t k = 0; k < n; k++) store(a + k * a_step, value_of(kind, load(z + k * z_step), alpha, beta));
}
INLINE void slopes(const int kind, real alpha, real beta, int64_t n, const real *z, const real *a, int64_t step,
                   real *to) {
  for (int64_t k = 0; k < n; k++)
    store(to + k * VL, slope_of(kind, load(z + k * step), load(a + k * step), alpha, beta));
}

/* n vectors, z_step and a_step apart. */
NOINLINE void activate_strip(const struct activation *f, int64_t n, const real *z, int64_t z_step, real *a,
                             int64_t a_step) {
  const real alpha = (real)f->alpha, beta = (real)f->beta;
#define VALUES(kind) case kind: values(kind, alpha, beta, n, z, z_step, a, a_step); break;
  switch (f->kind) { EACH_ACTIVATION(VALUES) }
}

/* Derivatives of n vectors, z and a `step` apart, to `to`, one after another. */
NOINLINE void slope_strip(const struct activation *f, int64_t n, const real *z, const real *a, int64_t step, real *to) {
  const real alpha = (real)f->alpha, beta = (real)f->beta;
#define SLOPES(kind) case kind: slopes(kind, alpha, beta, n, z, a, step, to); break;
  switch (f->kind) { EACH_ACTIVATION(SLOPES) }
}
