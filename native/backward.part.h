/* The way back: from the tape and the gradients of the outputs to dz, dx and those of the initial state, chunk by
   chunk from the last step to the first. Part of kernel.c. */

/* to (rows x `vectors`) = dz of n rows, `dz_row` apart, and all panels times one tile of the weights for the way back,
   added to what is there if `add`. Of a record's four slots those before `skip` count and, if fewer than `gates`, those
   after it. */
INLINE void back(const int rows, const int vectors, const real *dz, int64_t dz_row, int64_t z_panel, int64_t NP,
                 int64_t gates, int64_t skip, const stored *w, int add, real *const *to, int64_t units) {
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
                                     int64_t skip, const stored *w, int add, real *const *to, int64_t units) {        \
    back(n, vectors, dz, dz_row, z_panel, NP, gates, skip, w, add, to, units);                                      \
  }
#define BACK_ALL(n) BACK(n, 1) BACK(n, 2) BACK(n, 3) BACK(n, 4)
BACK_ALL(1) BACK_ALL(2) BACK_ALL(3)
#if ROWS == 6
BACK_ALL(4) BACK_ALL(5) BACK_ALL(6)
#endif

typedef void back_tile(const real *, int64_t, int64_t, int64_t, int64_t, int64_t, const stored *, int, real *const *,
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
                      const stored *w, int64_t columns, int add, real *const *to) {
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

/* What arrives at a step of a variant: dy by row, dh and dc of the rows as they are in backward_piece; and with a
   projection room for the gradient of what it takes, and for that of h, which is kept. */
struct incoming {
  const real *const *dy;
  real *dh, *dc;
  int64_t dc_panel;
  real *dout, *dh_kept;
};

/* One step of n rows: dz, and dc of the step before. `to` has the rows of dh, and is written to. */
static void variant_step_back(const struct place *s, const struct incoming *in, int64_t n, real *dz, real **to) {
  const struct layer *l = s->layer;
  int64_t H = l->hidden, O = l->output, NP = panels_of(l), HQ = h_pitch(l), dout_row = HQ, G = gates_of(l);
  real *dout = in->dh;
  for (int64_t i = 0; i < n; i++)
    for (int64_t u = 0; u < O; u += VL) {
      real *at = in->dh + i * HQ + u;
      store(at, load(at) + load_some(in->dy[i] + u, (int)least(VL, O - u)));
    }
  if (l->projection) {
    memcpy(in->dh_kept, in->dh, (size_t)(n * HQ) * sizeof(real));
    dout = in->dout, dout_row = out_pitch(l);
    for (int64_t i = 0; i < n; i++) to[i] = dout + i * dout_row;
    int64_t vectors = rounded(O) / VL;
    back_rows(n, in->dh, HQ, 0, 1, vectors, vectors, s->weights->hr_back, H, 0, to);
    for (int64_t i = 0; i < n; i++) to[i] = in->dh + i * HQ;
  }
  for (int64_t p = 0; p < NP; p++) {
    const real *peephole = l->peepholes ? (const real *)s->weights->peephole_panels + p * VL : 0;
    real *dz_p = dz + p * s->z_panel;
    for (int64_t k = 0; k < n; k += STRIP) {
      int64_t z = p * s->z_panel + k * 4 * VL, c = p * s->c_panel + k * VL;
      variant_cell_back(l, peephole, least(STRIP, n - k), s->z + z, s->before + z, dz_p + k * 4 * VL, s->c_before + c,
                        s->c + c, s->tanh_c + c, dout + k * dout_row + p * VL, dout_row,
                        in->dc + p * in->dc_panel + k * VL);
    }
    /* Units that are only padding may have run away; nothing of them goes into a product. */
    for (int64_t k = 0; k < n && (p + 1) * VL > H; k++)
      for (int64_t g = 0; g < G; g++)
        for (int64_t v = H - p * VL; v < VL; v++) dz_p[(k * 4 + g) * VL + v] = 0;
  }
}

static void backward_piece(void *argument, int64_t piece) {
  struct job *j = argument;
  const struct forward *f = j->f;
  const struct backward *r = j->b;
  const struct layer *l = f->layer;
  const struct tape *tape = f->tape;
  int64_t b0 = j->bounds[piece], b1 = j->bounds[piece + 1], mine = b1 - b0;
  int64_t N = f->n, H = l->hidden, O = l->output, NP = panels_of(l), HP = NP * VL, HQ = h_pitch(l), F = l->features;
  int64_t G = gates_of(l), projection = l->projection, CQ = projection ? out_pitch(l) : 0;
  int64_t P = j->start[j->steps], lstm = l->cell == LSTM, c_panel = (N + P) * VL, dc_panel = mine * VL;
  const real *z = tape->z, *h = tape->h, *c = tape->c, *tanh_c = tape->tanh_c;

  real *dh = scratch_of(mine * (HQ + HP + CQ)), *dc = dh + mine * HQ, *dout = dc + mine * HP;
  real **to = malloc((size_t)(mine + 1) * sizeof *to);
  const real **dy = malloc((size_t)(mine + 1) * sizeof *dy);
  int64_t *begins = malloc((size_t)(j->steps + 1) * sizeof *begins), chunks = 0;
  if (!dh || !to || !dy || !begins) {
    j->failed = OUT_OF_MEMORY;
    goto end;
  }
  for (int64_t b = b0; b < b1; b++) {
    int64_t row = batch_row(f, b);
    fill_padded(dh + (b - b0) * HQ, (const real *)r->dh_n + row * O, O, rounded(O));
    if (lstm) fill_panels(dc + (b - b0) * VL, dc_panel, (const real *)r->dc_n + row * H, H);
    for (int64_t t = length_of(f, b); r->dx && t < f->t; t++)
      memset((real *)r->dx + row * r->dx_n + t * r->dx_t, 0, (size_t)F * sizeof(real));
  }

  /* Chunks from the last to the first: their beginnings are counted from the first on. */
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
        dy[i] = (const real *)r->dy + batch_row(f, b0 + i) * r->dy_n + batch_step(f, b0 + i, s) * r->dy_t;
        to[i] = dh + i * HQ;
      }
      if (l->variant) {
        struct incoming in = {dy, dh, dc, dc_panel, 0, 0};
        if (projection) in.dout = dout, in.dh_kept = (real *)r->dh + (j->start[s] + b0) * HQ;
        const struct place now_at = {
            .layer = l, .weights = f->weights, .z = (real *)z + at, .z_panel = z_panel, .c_panel = c_panel,
            .before = (real *)tape->before + at, .c_before = c + before * VL, .c = (real *)c + now * VL,
            .tanh_c = (real *)tanh_c + now * VL,
        };
        variant_step_back(&now_at, &in, n, dz, to);
      }
      for (int64_t p = 0; p < NP && !l->variant; p++) {
        const real *z_p = z + at + p * z_panel;
        int64_t unit = p * VL;
        int units = (int)least(VL, H - unit);
        if (lstm)
          lstm_cell_back(n, z_p, dz + p * z_panel, c + p * c_panel + before * VL, tanh_c + p * c_panel + now * VL, dy,
                         unit, units, dh + unit, HQ, dc + p * dc_panel);
        else
          gru_cell_back(n, z_p, dz + p * z_panel, h + before * HQ + unit, HQ, dy, unit, units, dh + unit, HQ);
      }
      if (n) back_rows(n, dz, 4 * VL, z_panel, NP, G, lstm ? G : 2, f->weights->h_back, O, !lstm, to);
      if (!r->dx || !n) continue;
      for (int64_t i = 0; i < n; i++)
        to[i] = (real *)r->dx + batch_row(f, b0 + i) * r->dx_n + batch_step(f, b0 + i, s) * r->dx_t;
      back_rows(n, dz, 4 * VL, z_panel, NP, G, G, f->weights->x_back, F, 0, to);
    }
  }
  for (int64_t b = b0; b < b1; b++) {
    int64_t row = batch_row(f, b);
    memcpy((real *)r->dh_0 + row * O, dh + (b - b0) * HQ, (size_t)O * sizeof(real));
    if (lstm) read_panels((real *)r->dc_0 + row * H, dc + (b - b0) * VL, dc_panel, H);
  }
end:
  free(begins), free(dy), free(dh), free(to);
}
