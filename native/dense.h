/* The dense layer, y = x W' + b, with the tiles of the recurrence: its outputs stand in panels of 4 vectors, as the
   gates of a panel of units do. Part of kernel.c. */

struct dense_job {
  const struct dense *d;
  int64_t panels;
  real *w; /* forward: W in [panel][inputs][4][VL], b in [panel][4][VL]; back: [tile][panels 4 VL][its vectors][VL] */
  real *dz; /* back: dy in [panel][rows + 1][4][VL] */
};
/* Rows, and columns of W, that make a piece of work. */
enum { DENSE_ROWS = CHUNK, DENSE_INPUTS = 48 };

static int64_t dense_threads(const struct dense *d, int64_t threads) {
  return d->rows * d->inputs * d->outputs < FEWEST_WORK ? 1 : threads;
}

static void dense_piece(void *argument, int64_t piece) {
  const struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, V = d->outputs, from = piece * DENSE_ROWS, n = least(DENSE_ROWS, d->rows - from);
  const real *x = (const real *)d->x + from * K;
  real z[8 * 4 * VL] __attribute__((aligned(64)));
  for (int64_t p = 0; p < j->panels; p++) {
    const real *w = j->w + p * K * 4 * VL, *b = j->w + (j->panels * K + p) * 4 * VL;
    size_t valid = (size_t)least(4 * VL, V - p * 4 * VL) * sizeof(real);
    FOR_TILES(n, ROWS) {
      project_tiles[take - 1](x + at * K, K, K, w, b, z);
      for (int64_t i = 0; i < take; i++)
        memcpy((real *)d->y + (from + at + i) * V + p * 4 * VL, z + i * 4 * VL, valid);
    }
  }
}

static int dense(const struct dense *d, int64_t threads) {
  int64_t K = d->inputs, V = d->outputs;
  struct dense_job j = {.d = d, .panels = (V + 4 * VL - 1) / (4 * VL)};
  j.w = scratch_of(j.panels * (K + 1) * 4 * VL);
  if (!j.w) return OUT_OF_MEMORY;
  for (int64_t k = 0; k < j.panels * 4 * VL; k++) {
    real *to = j.w + k / (4 * VL) * K * 4 * VL + k % (4 * VL);
    for (int64_t m = 0; m < K; m++) to[m * 4 * VL] = k < V ? ((const real *)d->w)[k * K + m] : 0;
    j.w[j.panels * K * 4 * VL + k] = k < V && d->b ? ((const real *)d->b)[k] : 0;
  }
  compuerta_parallel((d->rows + DENSE_ROWS - 1) / DENSE_ROWS, dense_threads(d, threads), dense_piece, &j);
  free(j.w);
  return 0;
}

/* dx of some rows, after putting their dy into panels. */
static void dense_back_piece(void *argument, int64_t piece) {
  const struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, V = d->outputs, from = piece * DENSE_ROWS, n = least(DENSE_ROWS, d->rows - from);
  int64_t z_panel = (d->rows + 1) * 4 * VL;
  real *dz = j->dz + from * 4 * VL, *to[DENSE_ROWS];
  for (int64_t i = 0; i < n; i++) {
    to[i] = (real *)d->dx + (from + i) * K;
    for (int64_t p = 0; p < j->panels; p++)
      fill_padded(dz + p * z_panel + i * 4 * VL, (const real *)d->dy + (from + i) * V + p * 4 * VL,
                  least(4 * VL, V - p * 4 * VL), 4 * VL);
  }
  back_rows(n, dz, z_panel, j->panels, 4, 4, j->w, K, 0, to);
}

/* The rows of dw of one panel, DENSE_INPUTS columns of them; and, with the first, those of db. */
static void dense_gradient_piece(void *argument, int64_t piece) {
  struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, V = d->outputs, p = piece % j->panels, m0 = piece / j->panels * DENSE_INPUTS;
  int64_t columns = least(DENSE_INPUTS, K - m0), valid = least(4 * VL, V - p * 4 * VL);
  const real *dz = j->dz + p * (d->rows + 1) * 4 * VL, *x = (const real *)d->x + m0;
  real sums[DENSE_INPUTS * 4 * VL] __attribute__((aligned(64)));
  memset(sums, 0, sizeof sums);
  for (int64_t from = 0; from < d->rows; from += DENSE_ROWS)
    FOR_TILES(columns, ROWS) {
      outer_tiles[0][take - 1](x + from * K + at, K, least(DENSE_ROWS, d->rows - from), dz + from * 4 * VL, 1,
                               sums + at * 4 * VL);
    }
  for (int64_t v = 0; v < valid; v++)
    for (int64_t m = 0; m < columns; m++) ((real *)d->dw)[(p * 4 * VL + v) * K + m0 + m] = sums[m * 4 * VL + v];
  if (m0 || !d->db) return;
  for (int64_t v = 0; v < valid; v += VL) {
    vec total = {0};
    for (int64_t i = 0; i < d->rows; i++) total += load(dz + i * 4 * VL + v);
    store_some((real *)d->db + p * 4 * VL + v, total, (int)least(VL, valid - v));
  }
}

static int dense_back(const struct dense *d, int64_t threads) {
  int64_t K = d->inputs, V = d->outputs;
  struct dense_job j = {.d = d, .panels = (V + 4 * VL - 1) / (4 * VL)};
  int64_t rows = j.panels * 4 * VL;
  j.w = scratch_of(rounded(K) * rows), j.dz = scratch_of((d->rows + 1) * rows);
  if (!j.w || !j.dz) {
    free(j.w), free(j.dz);
    return OUT_OF_MEMORY;
  }
  real *to = j.w;
  for (int64_t c = 0; c < K; c += 4 * VL) {
    int64_t valid = least(4 * VL, K - c), width = rounded(valid);
    for (int64_t k = 0; k < rows; k++, to += width)
      fill_padded(to, (const real *)d->w + k * K + c, k < V ? valid : 0, width);
  }
  threads = dense_threads(d, threads);
  compuerta_parallel((d->rows + DENSE_ROWS - 1) / DENSE_ROWS, threads, dense_back_piece, &j);
  compuerta_parallel(j.panels * ((K + DENSE_INPUTS - 1) / DENSE_INPUTS), threads, dense_gradient_piece, &j);
  free(j.w), free(j.dz);
  return 0;
}
