/* What training does besides the recurrence: the cross-entropy of logits with its gradient, Adam's step, and looking
   through all numbers. Part of kernel.c, which says what a real is and how many stand in a vector. */

struct entropy {
  int64_t rows, classes;
  const real *logits;
  const int64_t *targets;
  const uint8_t *keep;
  double scale;
  real *gradient;
  double *totals;
};
enum { ENTROPY_ROWS = 64, ADAM_NUMBERS = 1 << 14, PIECES = 64, SMALLEST = 1 << 13 };

/* NaN only where the first of them is. */
static real largest_of(const real *z, int64_t n) {
  int64_t k = 1;
  real most = z[0];
  if (n >= VL) {
    vec m = load(z);
    for (k = VL; k + VL <= n; k += VL) {
      ivec above = load(z + k) > m;
      m = (vec)((above & (ivec)load(z + k)) | (~above & (ivec)m));
    }
    for (int v = 0; v < VL; v++) most = m[v] > most ? m[v] : most;
  }
  for (; k < n; k++) most = z[k] > most ? z[k] : most;
  return most;
}

/* Loss of one row of logits, the log of the sum of e^(z - largest) less that of the target, and its gradient times
   `scale`, which may take the logits' place. */
static double entropy_row(int64_t V, const real *z, int64_t target, real scale, real *to) {
  real largest = largest_of(z, V), sum = 0;
  double wanted = (double)z[target] - (double)largest;
  vec sums = {0};
  for (int64_t k = 0; k < V; k += VL) {
    int n = (int)least(VL, V - k);
    vec e = exponential(load_some(z + k, n) - largest);
    store_some(to + k, e, n);
    sums += n == VL ? e : load_some(to + k, n);
  }
  for (int v = 0; v < VL; v++) sum += sums[v];
  for (int64_t k = 0; k < V; k++) to[k] *= scale / sum;
  to[target] -= scale;
  return log((double)sum) - wanted;
}

static void entropy_piece(void *argument, int64_t piece) {
  const struct entropy *j = argument;
  int64_t V = j->classes, end = least(j->rows, (piece + 1) * ENTROPY_ROWS);
  double total = 0;
  for (int64_t i = piece * ENTROPY_ROWS; i < end; i++) {
    if (j->keep && !j->keep[i])
      memset(j->gradient + i * V, 0, (size_t)V * sizeof(real));
    else
      total += entropy_row(V, j->logits + i * V, j->targets[i], (real)j->scale, j->gradient + i * V);
  }
  j->totals[piece] = total;
}

static int cross_entropy(int64_t rows, int64_t classes, const void *logits, const int64_t *targets, const uint8_t *keep,
                         double scale, void *gradient, double *total, int64_t threads) {
  int64_t pieces = (rows + ENTROPY_ROWS - 1) / ENTROPY_ROWS;
  double *totals = malloc((size_t)(pieces + 1) * sizeof *totals);
  if (!totals) return OUT_OF_MEMORY;
  struct entropy j = {rows, classes, logits, targets, keep, scale, gradient, totals};
  compuerta_parallel(pieces, rows * classes < FEWEST_WORK / 20 ? 1 : threads, entropy_piece, &j);
  *total = 0;
  for (int64_t k = 0; k < pieces; k++) *total += totals[k];
  free(totals);
  return 0;
}

struct adam {
  const struct adam_step *s;
  int64_t n;
};

static void adam_piece(void *argument, int64_t piece) {
  const struct adam *j = argument;
  const struct adam_step *s = j->s;
  int64_t start = piece * ADAM_NUMBERS, end = least(j->n, start + ADAM_NUMBERS);
  real *restrict p = s->parameters, *restrict m = s->m, *restrict v = s->v;
  const real *restrict g = s->gradient;
  const real b1 = (real)s->beta1, b2 = (real)s->beta2, rest1 = (real)(1 - s->beta1), rest2 = (real)(1 - s->beta2);
  const real rate = (real)s->rate, root = (real)s->root, epsilon = (real)s->epsilon;
  const real kept = (real)(1 - s->decay_parameters), pulled = (real)s->decay_gradient;
  for (int64_t k = start; k < end; k += VL) {
    int n = (int)least(VL, end - k);
    vec p_ = load_some(p + k, n) * kept, g_ = load_some(g + k, n) + pulled * p_;
    vec m_ = load_some(m + k, n) * b1 + g_ * rest1;
    vec v_ = load_some(v + k, n) * b2 + g_ * g_ * rest2;
    vec down;
    for (int i = 0; i < VL; i++) down[i] = SQRT(v_[i]);
    p_ -= m_ / (down * root + epsilon) * rate;
    store_some(m + k, m_, n), store_some(v + k, v_, n), store_some(p + k, p_, n);
  }
}

static void adam(const struct adam_step *s, int64_t threads) {
  struct adam j = {s, s->n};
  int64_t pieces = (s->n + ADAM_NUMBERS - 1) / ADAM_NUMBERS;
  compuerta_parallel(pieces, threads, adam_piece, &j);
}

/* Numbers in at most PIECES pieces, cut by their count alone, so that a sum is the same on any number of threads. */
struct numbers {
  const real *p;
  int64_t n, piece; /* numbers in all and in a piece */
  double sums[PIECES];
  atomic_int not_finite;
};

static struct numbers numbers_of(const void *p, int64_t n) {
  int64_t piece = rounded((n + PIECES - 1) / PIECES);
  return (struct numbers){.p = p, .n = n, .piece = piece > SMALLEST ? piece : SMALLEST};
}
static void through(struct numbers *j, int64_t threads, void (*work)(void *, int64_t)) {
  compuerta_parallel((j->n + j->piece - 1) / j->piece, threads, work, j);
}

static void squares_piece(void *argument, int64_t piece) {
  struct numbers *j = argument;
  int64_t k = piece * j->piece, end = least(j->n, k + j->piece);
  double sums[VL] = {0}, total = 0;
  for (; k + VL <= end; k += VL)
    for (int v = 0; v < VL; v++) sums[v] += (double)j->p[k + v] * (double)j->p[k + v];
  for (; k < end; k++) total += (double)j->p[k] * (double)j->p[k];
  for (int v = 0; v < VL; v++) total += sums[v];
  j->sums[piece] = total;
}

static double sum_of_squares(const void *p, int64_t n, int64_t threads) {
  struct numbers j = numbers_of(p, n);
  through(&j, threads, squares_piece);
  double total = 0;
  for (int k = 0; k < PIECES; k++) total += j.sums[k];
  return total;
}

/* What is not finite becomes NaN when it is taken from itself. */
static void finite_piece(void *argument, int64_t piece) {
  struct numbers *j = argument;
  int64_t k = piece * j->piece, end = least(j->n, k + j->piece);
  vec zeros = {0};
  real zero = 0;
  for (; k + VL <= end; k += VL) zeros += load(j->p + k) - load(j->p + k);
  for (; k < end; k++) zero += j->p[k] - j->p[k];
  for (int v = 0; v < VL; v++) zero += zeros[v];
  if (zero != 0) j->not_finite = 1;
}

static int all_finite(const void *p, int64_t n, int64_t threads) {
  struct numbers j = numbers_of(p, n);
  through(&j, threads, finite_piece);
  return !j.not_finite;
}
