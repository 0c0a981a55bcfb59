/* The way back: from the tape and the gradients of the outputs to dz, dx and those of the initial state, chunk by
   chunk from the last step to the first; then the gradients of the weights, from dz of all packed rows, panel by panel.
   Part of kernel.c. */

/* to (rows x `vectors`) = dz of n rows, `dz_row` apart, and all panels times one tile of the weights for the way back,
   added to what is there if `add`. Of a record's four slots those before `skip` count and, if fewer than `gates`, those
   after it. */
INLINE void back(const int rows, const int vectors, const real *dz, int64_t dz_row, int64_t z_panel, int64_t NP,
                 int64_t gates, int64_t skip, const real *w, int add, real *const *to, int64_t units) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int v = 0; v < vectors; v++) a[i][v] = add ? load(to[i] + v * VL) : (vec){0};
  int64_t width = vectors * VL;
  for (int64_t p = 0; p < NP; p++, dz += z_panel) {
    multiply(rows, vectors, a, dz, dz_row, 1, skip * VL, w, width);
    w += skip * VL * width;
    if (skip == gates) continue;
    multiply(rows, vectors, a, dz + (skip + 1) * VL, dz_row, 1, (gates - skip) * VL, w, width);
    w += (gates - skip) * VL * width;
  }
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int v = 0; v < vectors; v++)
      if (units > v * VL) store_some(to[i] + v * VL, a[i][v], (int)least(VL, units - v * VL));
}

#define BACK(n, vectors)                                                                                            \
  NOINLINE void back_##vectors##_##n(const real *dz, int64_t dz_row, int64_t z_panel, int64_t NP, int64_t gates,    \
                                     int64_t skip, const real *w, int add, real *const *to, int64_t units) {        \
    back(n, vectors, dz, dz_row, z_panel, NP, gates, skip, w, add, to, units);                                      \
  }
#define BACK_ALL(n) BACK(n, 1) BACK(n, 2) BACK(n, 3) BACK(n, 4)
BACK_ALL(1) BACK_ALL(2) BACK_ALL(3)
#if ROWS == 6
BACK_ALL(4) BACK_ALL(5) BACK_ALL(6)
#endif

typedef void back_tile(const real *, int64_t, int64_t, int64_t, int64_t, int64_t, const real *, int, real *const *,
                       int64_t);
static back_tile *const back_tiles[4][ROWS] = {
#if ROWS == 6
#define BACK_ROW(v) {back_##v##_1, back_##v##_2, back_##v##_3, back_##v##_4, back_##v##_5, back_##v##_6}
#else
#define BACK_ROW(v) {back_##v##_1, back_##v##_2, back_##v##_3}
#endif
    BACK_ROW(1), BACK_ROW(2), BACK_ROW(3), BACK_ROW(4)};

/* n rows: to[i], the i-th of them, gets `columns` numbers. */
static void back_rows(int64_t n, const real *dz, int64_t dz_row, int64_t z_panel, int64_t NP, int64_t G, int64_t skip,
                      const real *w, int64_t columns, int add, real *const *to) {
  for (int64_t c = 0; c < columns; c += 4 * VL) {
    int64_t vectors = least(4, (columns - c + VL - 1) / VL);
    FOR_TILES(n, ROWS) {
      real *rows[ROWS];
      for (int64_t i = 0; i < take; i++) rows[i] = to[at + i] + c;
      back_tiles[vectors - 1][take - 1](dz + at * dz_row, dz_row, z_panel, NP, G, skip, w + c * NP * G * VL, add,
                                        rows, columns - c);
    }
  }
}

/* One step of n rows and one panel: dz from the gates, the states and what arrives in dh and dc. Row i of z and dz
   stands at i 4 VL, of c, tanh_c and dc at i VL, of dh at i h_row, and of dy at dy[i] + unit. */
static void lstm_cell_back(int64_t n, const real *z, real *dz, const real *c_before, const real *tanh_c,
                           const real *const *dy, int64_t unit, int units, real *dh, int64_t h_row, real *dc) {
  for (int64_t k = 0; k < n; k++) {
    vec f = load(z), i = load(z + VL), o = load(z + 2 * VL), g = load(z + 3 * VL), t = load(tanh_c);
    vec dh_ = load(dh) + load_some(dy[k] + unit, units);
    vec dc_ = load(dc) + dh_ * o * (1 - t * t);
    store(dz, dc_ * load(c_before) * f * (1 - f));
    store(dz + VL, dc_ * g * i * (1 - i));
    store(dz + 2 * VL, dh_ * t * o * (1 - o));
    store(dz + 3 * VL, dc_ * i * (1 - g * g));
    store(dc, dc_ * f);
    z += 4 * VL, dz += 4 * VL, c_before += VL, tanh_c += VL, dh += h_row, dc += VL;
  }
}

/* The same for a GRU; dh is left with what goes past the gates, to which the product is added. */
static void gru_cell_back(int64_t n, const real *gates, real *dz, const real *h_before, int64_t before_row,
                          const real *const *dy, int64_t unit, int units, real *dh, int64_t h_row) {
  for (int64_t k = 0; k < n; k++) {
    vec reset = load(gates), z = load(gates + VL), m = load(gates + 2 * VL), q = load(gates + 3 * VL);
    vec dh_ = load(dh) + load_some(dy[k] + unit, units);
    vec dn = dh_ * (1 - z) * (1 - m * m);
    store(dz, dn * q * reset * (1 - reset));
    store(dz + VL, dh_ * (load(h_before) - m) * z * (1 - z));
    store(dz + 2 * VL, dn);
    store(dz + 3 * VL, dn * reset);
    store(dh, dh_ * z);
    gates += 4 * VL, dz += 4 * VL, h_before += before_row, dh += h_row;
  }
}

static void backward_piece(void *argument, int64_t piece) {
  struct job *j = argument;
  const struct run *r = j->r;
  int64_t b0 = j->bounds[piece], b1 = j->bounds[piece + 1], mine = b1 - b0;
  int64_t N = r->n, H = r->hidden, NP = panels_of(r), HP = NP * VL, HQ = h_pitch(r), F = r->features;
  int64_t P = j->start[j->steps], lstm = r->cell == LSTM, c_panel = (N + P) * VL, dc_panel = mine * VL;
  const real *z = r->z, *h = r->h, *c = r->c, *tanh_c = r->tanh_c;

  real *dh = scratch_of(mine * (HQ + HP)), *dc = dh + mine * HQ;
  real **to = malloc((size_t)(mine + 1) * sizeof *to);
  const real **dy = malloc((size_t)(mine + 1) * sizeof *dy);
  int64_t *begins = malloc((size_t)(j->steps + 1) * sizeof *begins), chunks = 0;
  if (!dh || !to || !dy || !begins) {
    j->failed = OUT_OF_MEMORY;
    goto end;
  }
  for (int64_t b = b0; b < b1; b++) {
    int64_t row = batch_row(r, b);
    fill_padded(dh + (b - b0) * HQ, (const real *)r->dh_n + row * H, H, HP);
    if (lstm) fill_panels(dc + (b - b0) * VL, dc_panel, (const real *)r->dc_n + row * H, H);
    for (int64_t t = length_of(r, b); r->dx && t < r->t; t++)
      memset((real *)r->dx + row * r->dx_n + t * r->dx_t, 0, (size_t)F * sizeof(real));
  }

  /* Chunks from the last to the first: their beginnings are found from the first on. */
  for (int64_t s = 0; s < j->steps; s = chunk_end(j->start, j->steps, s)) begins[chunks++] = s;
  begins[chunks] = j->steps;
  while (chunks--) {
    int64_t s0 = begins[chunks], s1 = begins[chunks + 1], base = j->start[s0];
    int64_t z_panel = (j->start[s1] - base + 1) * 4 * VL, at_chunk = (base + chunks) * NP * 4 * VL;
    for (int64_t s = s1 - 1; s >= s0; s--) {
      int64_t n = running(j, s, b0, b1), before = (s ? N + j->start[s - 1] : 0) + b0, now = N + j->start[s] + b0;
      int64_t at = at_chunk + (j->start[s] - base + b0) * 4 * VL;
      real *dz = (real *)r->dz + at;
      for (int64_t i = 0; i < n; i++) {
        dy[i] = (const real *)r->dy + batch_row(r, b0 + i) * r->dy_n + batch_step(r, b0 + i, s) * r->dy_t;
        to[i] = dh + i * HQ;
      }
      for (int64_t p = 0; p < NP; p++) {
        const real *z_p = z + at + p * z_panel;
        int64_t unit = p * VL;
        int units = (int)least(VL, H - unit);
        if (lstm)
          lstm_cell_back(n, z_p, dz + p * z_panel, c + p * c_panel + before * VL, tanh_c + p * c_panel + now * VL, dy,
                         unit, units, dh + unit, HQ, dc + p * dc_panel);
        else
          gru_cell_back(n, z_p, dz + p * z_panel, h + before * HQ + unit, HQ, dy, unit, units, dh + unit, HQ);
      }
      if (n) back_rows(n, dz, 4 * VL, z_panel, NP, GATES(r), lstm ? 4 : 2, r->h_back, H, !lstm, to);
      if (!r->dx || !n) continue;
      for (int64_t i = 0; i < n; i++)
        to[i] = (real *)r->dx + batch_row(r, b0 + i) * r->dx_n + batch_step(r, b0 + i, s) * r->dx_t;
      back_rows(n, dz, 4 * VL, z_panel, NP, GATES(r), lstm ? 4 : 3, r->x_back, F, 0, to);
    }
  }
  for (int64_t b = b0; b < b1; b++) {
    int64_t row = batch_row(r, b);
    memcpy((real *)r->dh_0 + row * H, dh + (b - b0) * HQ, (size_t)H * sizeof(real));
    if (lstm) read_panels((real *)r->dc_0 + row * H, dc + (b - b0) * VL, dc_panel, H);
  }
end:
  free(begins), free(dy), free(dh), free(to);
}

/* ---- gradients of the weights ------------------------------------------------------------------------------------ */

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
static void unpack_panel(const struct run *r, int64_t p, const real *sums, int64_t columns, real *dw) {
  int64_t H = r->hidden, G = GATES(r), units = least(VL, H - p * VL);
  for (int64_t g = 0; g < G; g++)
    turn(sums + g * VL, G * VL, columns, units, dw + (block_of(r, g) * H + p * VL) * columns, columns, columns);
}

/* The rows of dw_h (`recurrent`) or dw_x that belong to panel p. */
static int weights_piece(const struct job *j, int64_t p, int recurrent) {
  const struct run *r = j->r;
  int64_t NP = panels_of(r), G = GATES(r), N = r->n, tall = G == 4 ? ROWS : ROWS_3;
  int64_t columns = recurrent ? r->hidden : r->features, pitch = recurrent ? h_pitch(r) : pitch_of(columns);
  const real *inputs = recurrent ? r->h : r->xs;
  outer_tile *const *tiles_of = outer_tiles[G == 3 && recurrent ? 4 : G - 1];
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
  unpack_panel(r, p, sums, columns, recurrent ? r->dw_h : r->dw_x);
  free(sums);
  return 0;
}

/* The columns of dw_x by token: rows of dz are added to the row of their id. */
static int tokens_piece(const struct job *j, int64_t p) {
  const struct run *r = j->r;
  int64_t NP = panels_of(r), G = GATES(r), V = r->features;
  real *sums = scratch_of(V * G * VL);
  if (!sums) return OUT_OF_MEMORY;
  memset(sums, 0, (size_t)(V * G * VL) * sizeof(real));
  const int64_t *ids = r->xs;
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
  unpack_panel(r, p, sums, V, r->dw_x);
  free(sums);
  return 0;
}

static void bias_piece(const struct job *j, int64_t p) {
  const struct run *r = j->r;
  int64_t H = r->hidden, NP = panels_of(r), G = GATES(r), units = least(VL, H - p * VL);
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
  for (int64_t g = 0; g < G; g++) store_some((real *)r->db + block_of(r, g) * H + p * VL, total[g], (int)units);
  if (r->cell == GRU) store_some((real *)r->db_hn + p * VL, total[3], (int)units);
}

static void gradient_piece(void *argument, int64_t piece) {
  struct job *j = argument;
  int64_t p = piece / 2;
  int failed = piece % 2 ? weights_piece(j, p, 1) : j->r->tokens ? tokens_piece(j, p) : weights_piece(j, p, 0);
  if (piece % 2) bias_piece(j, p);
  if (failed) j->failed = failed;
}

static int backward(const struct run *r) {
  struct job j;
  if (begin(&j, r)) return OUT_OF_MEMORY;
  int64_t pieces = cut(&j, r->threads);
  compuerta_parallel(pieces, pieces, backward_piece, &j);
  if (!j.failed) compuerta_parallel(2 * panels_of(r), pieces, gradient_piece, &j);
  free(j.start);
  return j.failed;
}
