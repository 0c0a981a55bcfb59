/* What this machine can do at most, and the activations alone for who measures them. Part of kernel.c. */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak(double seconds) {
  enum { SUMS = ROWS * 4 };
  vec a[SUMS], x = all((real)0.999), y = all((real)1e-3);
  for (int i = 0; i < SUMS; i++) a[i] = all((real)i);
  double start = now(), spent;
  int64_t loops = 0;
  do {
    for (int k = 0; k < 10000; k++) UNROLL for (int i = 0; i < SUMS; i++) a[i] = a[i] * x + y;
    loops += 10000;
  } while ((spent = now() - start) < seconds);
  vec total = a[0];
  for (int i = 1; i < SUMS; i++) total += a[i];
  volatile real result = total[0];
  (void)result;
  return 2.0 * SUMS * VL * (double)loops / spent;
}

static double bandwidth(void *buffer, int64_t bytes, double seconds) {
  const real *p = buffer;
  int64_t numbers = bytes / (int64_t)sizeof(real) / (8 * VL) * (8 * VL), passes = 0;
  if (!numbers) return 0;
  vec a[8] = {{0}};
  double start = now(), spent;
  do {
    for (int64_t k = 0; k < numbers; k += 8 * VL) UNROLL for (int i = 0; i < 8; i++) a[i] += load(p + k + i * VL);
    passes++;
  } while ((spent = now() - start) < seconds);
  vec total = a[0];
  for (int i = 1; i < 8; i++) total += a[i];
  volatile real result = total[0];
  (void)result;
  return (double)passes * (double)numbers * sizeof(real) / spent;
}

static void activate(int64_t what, void *numbers, int64_t n) {
  real *p = numbers;
  for (int64_t k = 0; k < n; k += VL) {
    vec x = load_some(p + k, (int)least(VL, n - k));
    store_some(p + k, what ? hyperbolic_tangent(x) : sigmoid(x), (int)least(VL, n - k));
  }
}
