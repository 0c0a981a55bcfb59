/* The gradients of the weights: sums over dz of all packed rows, panel by panel; and the whole way back. Part of
   kernel.c. */


/* `rows` columns of the inputs times the slots of dz, summed over K packed rows: c, rows of [gates][VL], is added to
   what is there if `add`. The third slot may be the fourth of the record: q in place of n. */
INLINE void outer(const int rows, const int gates, const int third, const real *restrict inputs, int64_t pitch,
                  int64_t K, const real *restrict dz, int64_t dz_row, int add, real *restrict c) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) a[i][g] = add ? load(c + (i * gates + g) * VL) : (vec){0};
  for (int64_t k = 0; k < K; k++) {
    vec w[4];
    UNROLL for (int g = 0; g < gates; g++) w[g] = load(dz + (g == 2 ? third : g) * VL);
    UNROLL for (int i = 0; i < rows; i++) {
      vec s = all(inputs[i]);
      UNROLL for (int g = 0; g < gates; g++) a[i][g] += s * w[g];
    }
    inputs += pitch, dz += dz_row;
  }
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) store(c + (i * gates + g) * VL, a[i][g]);
}

#define OUTER(n, name, gates, third)                                                                               \
  NOINLINE void outer_##name##_##n(const real *inputs, int64_t pitch, int64_t K, const real *dz, int64_t dz_row,   \
                                   int add, real *c) {                                                             \
    outer(n, gates, third, inputs, pitch, K, dz, dz_row, add, c);                                                  \
  }
#define OUTER_ALL(n) OUTER(n, x1, 1, 2) OUTER(n, x2, 2, 2) OUTER(n, x3, 3, 2) OUTER(n, x4, 4, 2) OUTER(n, h3, 3, 3)
OUTER_ALL(1) OUTER_ALL(2) OUTER_ALL(3)
#if ROWS == 6
OUTER_ALL(4) OUTER_ALL(5) OUTER_ALL(6) OUTER(7, x3, 3, 2) OUTER(8, x3, 3, 2) OUTER(7, h3, 3, 3) OUTER(8, h3, 3, 3)
#define OUTER_ROW(name) outer_##name##_1, outer_##name##_2, outer_##name##_3, outer_##name##_4, outer_##name##_5, \
                        outer_##name##_6
#define OUTER_ROW_3(name) OUTER_ROW(name), outer_##name##_7, outer_##name##_8
#else
OUTER(4, x3, 3, 2) OUTER(4, h3, 3, 3)
#define OUTER_ROW(name) outer_##name##_1, outer_##name##_2, outer_##name##_3
#define OUTER_ROW_3(name) OUTER_ROW(name), outer_##name##_4
#endif

/* By vectors in a panel; the last are those of a GRU's recurrent weights, with q in place of n. */
typedef void outer_tile(const real *, int64_t, int64_t, const real *, int64_t, int, real *);
static outer_tile *const outer_tiles[5][ROWS_3] = {
    {OUTER_ROW(x1)}, {OUTER_ROW(x2)}, {OUTER_ROW_3(x3)}, {OUTER_ROW(x4)}, {OUTER_ROW_3(h3)}};

/* dw's rows of panel p, from sums [columns][G][VL]. */
static void unpack_panel(const struct layer *l, int64_t p, const real *sums, int64_t columns, real *dw) {
  int64_t H = l->hidden, G = gates_of(l), units = least(VL, H - p * VL);
  for (int64_t g = 0; g < G; g++)
    turn(sums + g * VL, G * VL, columns, units, dw + (block_of(l, g) * H + p * VL) * columns, columns, columns);
}

/* The rows of dw_h (`recurrent`) or dw_x that belong to panel p. */
static int weights_piece(const struct job *j, int64_t p, int recurrent) {
  const struct layer *l = j->f->layer;
  const struct backward *r = j->b;
  int64_t NP = panels_of(l), G = gates_of(l), N = j->f->n, tall = rows_of_tile(G);
  int64_t columns = recurrent ? l->output : l->features, pitch = recurrent ? h_pitch(l) : pitch_of(columns);
  const real *inputs = recurrent ? j->f->tape->h : j->f->tape->xs;
  outer_tile *const *tiles_of = outer_tiles[l->cell == GRU && recurrent ? 4 : G - 1];
  real *sums = scratch_of(columns * G * VL);
  if (!sums) return OUT_OF_MEMORY;
  if (!j->steps) memset(sums, 0, (size_t)(columns * G * VL) * sizeof(real));
  int add = 0;
  for (int64_t s0 = 0, s1, chunk = 0; s0 < j->steps; s0 = s1, chunk++) {
    s1 = chunk_end(j->start, j->steps, s0);
    int64_t base = j->start[s0], z_rows = j->start[s1] - base + 1;
    const real *dz = (const real *)r->dz + ((base + chunk) * NP + p * z_rows) * 4 * VL;
    for (int64_t s = s0, e; s < s1; s = e) { /* runs of steps whose inputs stand one after another */
      int64_t first = recurrent ? (s ? N + j->start[s - 1] : 0) : j->start[s], end = first;
      for (e = s; e < s1 && end == (recurrent ? (e ? N + j->start[e - 1] : 0) : j->start[e]); e++)
        end += j->start[e + 1] - j->start[e];
      const real *from = inputs + first * pitch, *dz_from = dz + (j->start[s] - base) * 4 * VL;
      FOR_TILES(columns, tall)
        tiles_of[take - 1](from + at, pitch, end - first, dz_from, 4 * VL, add, sums + at * G * VL);
      add = 1;
    }
  }
  unpack_panel(l, p, sums, columns, recurrent ? r->dw_h : r->dw_x);
  free(sums);
  return 0;
}

/* The columns of dw_x by token: rows of dz are added to the row of their id. */
static int tokens_piece(const struct job *j, int64_t p) {
  const struct layer *l = j->f->layer;
  const struct backward *r = j->b;
  int64_t NP = panels_of(l), G = gates_of(l), V = l->features;
  real *sums = scratch_of(V * G * VL);
  if (!sums) return OUT_OF_MEMORY;
  memset(sums, 0, (size_t)(V * G * VL) * sizeof(real));
  const int64_t *ids = j->f->tape->xs;
  for (int64_t s0 = 0, s1, chunk = 0; s0 < j->steps; s0 = s1, chunk++) {
    s1 = chunk_end(j->start, j->steps, s0);
    int64_t base = j->start[s0], n = j->start[s1] - base;
    const real *dz = (const real *)r->dz + ((base + chunk) * NP + p * (n + 1)) * 4 * VL;
    for (int64_t i = 0; i < n; i++)
      for (int64_t g = 0; g < G; g++) {
        real *to = sums + (ids[base + i] * G + g) * VL;
        store(to, load(to) + load(dz + (i * 4 + g) * VL));
      }
  }
  unpack_panel(l, p, sums, V, r->dw_x);
  free(sums);
  return 0;
}

static void bias_piece(const struct job *j, int64_t p) {
  const struct layer *l = j->f->layer;
  const struct backward *r = j->b;
  int64_t H = l->hidden, NP = panels_of(l), G = gates_of(l), units = least(VL, H - p * VL);
  vec total[4] = {{0}};
  for (int64_t s0 = 0, s1, chunk = 0; s0 < j->steps; s0 = s1, chunk++) {
    s1 = chunk_end(j->start, j->steps, s0);
    int64_t base = j->start[s0], n = j->start[s1] - base;
    const real *dz = (const real *)r->dz + ((base + chunk) * NP + p * (n + 1)) * 4 * VL;
    vec part[4] = {{0}};
    for (int64_t i = 0; i < n; i++)
      UNROLL for (int g = 0; g < 4; g++) part[g] += load(dz + (i * 4 + g) * VL);
    UNROLL for (int g = 0; g < 4; g++) total[g] += part[g];
  }
  for (int64_t g = 0; g < G; g++) store_some((real *)r->db + block_of(l, g) * H + p * VL, total[g], (int)units);
  if (l->cell == GRU) store_some((real *)r->db_hn + p * VL, total[3], (int)units);
}

/* Of the peepholes of panel p: dz of each gate times the c that it saw, over all packed rows. */
static void peepholes_piece(const struct job *j, int64_t p) {
  const struct forward *f = j->f;
  const struct layer *l = f->layer;
  const struct slots slot = slots_of(l);
  int64_t N = f->n, H = l->hidden, NP = panels_of(l), units = least(VL, H - p * VL);
  const real *c = (const real *)f->tape->c + p * (N + j->start[j->steps]) * VL;
  vec of_f = {0}, of_i = {0}, of_o = {0};
  for (int64_t s0 = 0, s1, chunk = 0; s0 < j->steps; s0 = s1, chunk++) {
    s1 = chunk_end(j->start, j->steps, s0);
    int64_t base = j->start[s0], n = j->start[s1] - base;
    const real *dz = (const real *)j->b->dz + ((base + chunk) * NP + p * (n + 1)) * 4 * VL;
    for (int64_t s = s0; s < s1; s++)
      for (int64_t row = j->start[s]; row < j->start[s + 1]; row++, dz += 4 * VL) {
        int64_t b = row - j->start[s];
        vec c_before = load(c + ((s ? N + j->start[s - 1] : 0) + b) * VL);
        if (slot.f >= 0) of_f += load(dz + slot.f * VL) * c_before;
        if (slot.i >= 0) of_i += load(dz + slot.i * VL) * c_before;
        if (slot.o >= 0) of_o += load(dz + slot.o * VL) * load(c + (N + row) * VL);
      }
  }
  real *to = (real *)j->b->dpeepholes + p * VL;
  if (slot.i >= 0) store_some(to, of_i, (int)units), to += H;
  if (slot.f >= 0) store_some(to, of_f, (int)units), to += H;
  if (slot.o >= 0) store_some(to, of_o, (int)units);
}

/* The rows of dw_hr that belong to one panel of what the projection gives: over all packed rows, one after another. */
static int projection_piece(const struct job *j, int64_t p) {
  const struct layer *l = j->f->layer;
  int64_t H = l->hidden, HQ = h_pitch(l), CQ = out_pitch(l), width = projected_width(l, p), P = j->start[j->steps];
  const real *out = j->f->tape->out, *dh = (const real *)j->b->dh + p * 4 * VL;
  real *sums = scratch_of(H * width);
  if (!sums) return OUT_OF_MEMORY;
  FOR_TILES(H, rows_of_tile(width / VL))
    outer_tiles[width / VL - 1][take - 1](out + at, CQ, P, dh, HQ, 0, sums + at * width);
  turn(sums, width, H, least(width, l->output - p * 4 * VL), (real *)j->b->dw_hr + p * 4 * VL * H, H, H);
  free(sums);
  return 0;
}

static void gradient_piece(void *argument, int64_t piece) {
  struct job *j = argument;
  const struct layer *l = j->f->layer;
  int64_t p = piece / 2;
  if (p >= panels_of(l)) {
    if (projection_piece(j, piece - 2 * panels_of(l))) j->failed = OUT_OF_MEMORY;
    return;
  }
  int failed = piece % 2 ? weights_piece(j, p, 1) : j->f->tokens ? tokens_piece(j, p) : weights_piece(j, p, 0);
  if (piece % 2) bias_piece(j, p);
  if (piece % 2 && l->peepholes) peepholes_piece(j, p);
  if (failed) j->failed = failed;
}

static int backward(const struct backward *b) {
  struct job j;
  if (begin(&j, b->forward)) return OUT_OF_MEMORY;
  j.b = b;
  int64_t pieces = cut(&j, b->threads);
  compuerta_parallel(pieces, pieces, backward_piece, &j);
  const struct layer *l = j.f->layer;
  int64_t projected = l->projection ? projected_panels(l) : 0;
  if (!j.failed) compuerta_parallel(2 * panels_of(l) + projected, pieces, gradient_piece, &j);
  free(j.start);
  return j.failed;
}
