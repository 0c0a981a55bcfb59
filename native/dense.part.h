/* The dense layer, y = x W' + b, and the loss of what it says, with the tiles of the recurrence: its outputs stand in
   panels of 4 vectors, as the gates of a panel of units do; the last panel has as many as it needs. Part of kernel.c. */

struct dense_job {
  const struct dense *d;
  int64_t panels, vectors; /* of all outputs */
  int64_t pitch;           /* from row to row of dz */
  int64_t first, rows;     /* rows at hand */
  stored *w;      /* [panel][inputs][its vectors][VL] */
  real *bias;     /* [vectors][VL] */
  stored *w_back; /* [tile of columns][outputs, rounded up][its vectors][VL] */
  real *dz;       /* [rows at hand][pitch], zero beyond the outputs */
  real *sums;     /* [panel][inputs + 1][its vectors][VL]: gradients of the weights so far, the bias last */
  double *totals; /* loss of each piece of all rows */
};
/* Rows, and columns of W, that make a piece of work; and numbers of dz that are at hand together. */
enum { DENSE_ROWS = CHUNK, DENSE_INPUTS = 48, DENSE_AT_HAND = 1 << 17 };

static int64_t dense_threads(const struct dense *d, int64_t threads) {
  return d->rows * d->inputs * d->outputs < FEWEST_WORK ? 1 : threads;
}
static int64_t dense_pieces(int64_t rows) { return (rows + DENSE_ROWS - 1) / DENSE_ROWS; }
static int64_t width_of(const struct dense_job *j, int64_t p) { return least(4, j->vectors - 4 * p) * VL; }
static stored *panel_of(const struct dense_job *j, int64_t p) { return j->w + p * j->d->inputs * 4 * VL; }

static struct dense_job dense_job_of(const struct dense *d) {
  int64_t vectors = (d->outputs + VL - 1) / VL;
  return (struct dense_job){.d = d, .vectors = vectors, .panels = (vectors + 3) / 4, .pitch = pitch_of(vectors * VL),
                            .rows = d->rows};
}

static void dense_pack(void *argument, int64_t p) {
  const struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, width = width_of(j, p), first = p * 4 * VL, valid = least(width, d->outputs - first);
  turn_weights((const real *)d->w + first * K, K, valid, K, panel_of(j, p), width, width);
  for (int64_t v = 0; v < width; v++) j->bias[first + v] = d->b && v < valid ? ((const real *)d->b)[first + v] : 0;
}

static void dense_pack_back(void *argument, int64_t tile) {
  const struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, c = tile * 4 * VL, valid = least(4 * VL, K - c), width = rounded(valid);
  stored *to = j->w_back + c * j->vectors * VL;
  for (int64_t k = 0; k < j->vectors * VL; k++, to += width)
    fill_weights(to, (const real *)d->w + k * K + c, k < d->outputs ? valid : 0, width);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void dense_piece(void *argument, int64_t piece) {
  const struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, V = d->outputs, from = piece * DENSE_ROWS, n = least(DENSE_ROWS, d->rows - from);
  const real *x = (const real *)d->x + from * K;
  real z[ROWS * 4 * VL] __attribute__((aligned(64)));
  for (int64_t p = 0; p < j->panels; p++) {
    int64_t width = width_of(j, p), valid = least(width, V - p * 4 * VL);
    const stored *w = panel_of(j, p);
    const real *bias = j->bias + p * 4 * VL;
    FOR_TILES(n, ROWS) {
      project_tiles[width / VL - 1][take - 1](x + at * K, K, K, w, bias, 0, z, width);
      for (int64_t i = 0; i < take; i++)
        memcpy((real *)d->y + (from + at + i) * V + p * 4 * VL, z + i * width, (size_t)valid * sizeof(real));
    }
  }
}

static int dense(const struct dense *d, int64_t threads) {
  struct dense_job j = dense_job_of(d);
  j.bias = scratch_of(j.vectors * VL * (d->inputs + 1));
  if (!j.bias) return OUT_OF_MEMORY;
  j.w = (stored *)(j.bias + j.vectors * VL);
  threads = dense_threads(d, threads);
  compuerta_parallel(j.panels, threads, dense_pack, &j);
  compuerta_parallel(dense_pieces(d->rows), threads, dense_piece, &j);
  free(j.bias);
  return 0;
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

/* dx of n rows from row `from` of those at hand. */
static void dense_inputs_back(const struct dense_job *j, int64_t from, int64_t n) {
  int64_t K = j->d->inputs;
  real *to[DENSE_ROWS];
  for (int64_t i = 0; i < n; i++) to[i] = (real *)j->d->dx + (j->first + from + i) * K;
  back_rows(n, j->dz + from * j->pitch, j->pitch, 0, 1, j->vectors, j->vectors, j->w_back, K, 0, to);
}

static void dense_back_piece(void *argument, int64_t piece) {
  const struct dense_job *j = argument;
  int64_t V = j->d->outputs, from = piece * DENSE_ROWS, n = least(DENSE_ROWS, j->rows - from);
  for (int64_t i = from; i < from + n; i++)
    fill_padded(j->dz + i * j->pitch, (const real *)j->d->dy + (j->first + i) * V, V, j->vectors * VL);
  dense_inputs_back(j, from, n);
}

/* What the rows at hand add to the rows of dw of one panel, DENSE_INPUTS columns of them; and, with the first, to those
   of db. The last rows leave dw and db as they are wanted. */
static void dense_gradient_piece(void *argument, int64_t piece) {
  const struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, p = piece % j->panels, m0 = piece / j->panels * DENSE_INPUTS, width = width_of(j, p);
  int64_t columns = least(DENSE_INPUTS, K - m0), valid = least(width, d->outputs - p * 4 * VL);
  const real *dz = j->dz + p * 4 * VL, *x = (const real *)d->x + j->first * K + m0;
  real *sums = j->sums + p * (K + 1) * 4 * VL, *bias = sums + K * width;
  int last = j->first + j->rows == d->rows;
  sums += m0 * width;
  for (int64_t from = 0; from < j->rows; from += DENSE_ROWS)
    FOR_TILES(columns, ROWS) {
      outer_tiles[width / VL - 1][take - 1](x + from * K + at, K, least(DENSE_ROWS, j->rows - from),
                                            dz + from * j->pitch, j->pitch, j->first || from, sums + at * width);
    }
  if (last) turn(sums, width, columns, valid, (real *)d->dw + p * 4 * VL * K + m0, K, columns);
  if (m0) return;
  for (int64_t v = 0; v < width; v += VL) {
    vec total = j->first ? load(bias + v) : (vec){0};
    for (int64_t i = 0; i < j->rows; i++) total += load(dz + i * j->pitch + v);
    store(bias + v, total);
  }
  if (last && d->db) memcpy((real *)d->db + p * 4 * VL, bias, (size_t)valid * sizeof(real));
}

/* Rows by rows: `piece` makes dz and dx of those at hand, from which the gradients of the weights are summed. */
static int dense_gradients(const struct dense *d, int64_t threads, int forward, void (*piece)(void *, int64_t)) {
  struct dense_job j = dense_job_of(d);
  int64_t K = d->inputs, outputs = j.vectors * VL, at_hand = DENSE_AT_HAND / j.pitch;
  if (at_hand < K) at_hand = K; /* dz is then as large as W */
  at_hand = least(dense_pieces(at_hand), dense_pieces(d->rows)) * DENSE_ROWS;
  threads = dense_threads(d, threads);
  int64_t w = forward ? outputs * K : 0, back = outputs * rounded(K), sums = outputs * (K + 1);
  real *scratch = scratch_of(w + outputs + back + sums + at_hand * j.pitch);
  j.totals = calloc((size_t)dense_pieces(d->rows) + 1, sizeof *j.totals);
  if (!scratch || !j.totals) {
    free(scratch), free(j.totals);
    return OUT_OF_MEMORY;
  }
  j.sums = scratch, j.dz = j.sums + sums, j.bias = j.dz + at_hand * j.pitch;
  j.w = (stored *)(j.bias + outputs), j.w_back = j.w + w;
  if (forward) compuerta_parallel(j.panels, threads, dense_pack, &j);
  compuerta_parallel((K + 4 * VL - 1) / (4 * VL), threads, dense_pack_back, &j);
  do { /* once at least, so that no rows give zeros */
    j.rows = least(at_hand, d->rows - j.first);
    compuerta_parallel(dense_pieces(j.rows), threads, piece, &j);
    if (!j.first && !j.rows) memset(j.sums, 0, (size_t)sums * sizeof(real));
    compuerta_parallel(j.panels * ((K + DENSE_INPUTS - 1) / DENSE_INPUTS), threads, dense_gradient_piece, &j);
  } while ((j.first += j.rows) < d->rows);
  if (forward) {
    *d->total = 0;
    for (int64_t k = 0; k < dense_pieces(d->rows); k++) *d->total += j.totals[k];
  }
  free(scratch), free(j.totals);
  return 0;
}

static int dense_back(const struct dense *d, int64_t threads) {
  return dense_gradients(d, threads, 0, dense_back_piece);
}

/* ---- the layer and its loss at once ------------------------------------------------------------------------------ */

/* Logits, loss and dz of some rows, and dx. The logits are never all there. */
static void dense_entropy_piece(void *argument, int64_t piece) {
  struct dense_job *j = argument;
  const struct dense *d = j->d;
  int64_t K = d->inputs, V = d->outputs, from = piece * DENSE_ROWS, n = least(DENSE_ROWS, j->rows - from);
  const real *x = (const real *)d->x + (j->first + from) * K;
  real *dz = j->dz + from * j->pitch;
  for (int64_t p = 0; p < j->panels; p++) {
    int64_t width = width_of(j, p);
    const stored *w = panel_of(j, p);
    const real *bias = j->bias + p * 4 * VL;
    FOR_TILES(n, ROWS)
      project_tiles[width / VL - 1][take - 1](x + at * K, K, K, w, bias, 0, dz + at * j->pitch + p * 4 * VL,
                                              j->pitch);
  }
  double total = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t row = j->first + from + i, kept = !d->keep || d->keep[row] ? V : 0;
    real *z = dz + i * j->pitch;
    if (kept) total += entropy_row(V, z, d->targets[row], (real)d->scale, z);
    memset(z + kept, 0, (size_t)(j->vectors * VL - kept) * sizeof(real));
  }
  j->totals[j->first / DENSE_ROWS + piece] = total;
  dense_inputs_back(j, from, n);
}

static int dense_cross_entropy(const struct dense *d, int64_t threads) {
  return dense_gradients(d, threads, 1, dense_entropy_piece);
}
