/* One step: the products of the state, and then the cell while its gates stand in registers. Part of kernel.c. */

/* Where a step reads and writes, for its first row and first panel. */
struct place {
  const struct layer *layer;
  const struct weights *weights;
  const real *h_before; /* all units, for the product; row after row at h_row */
  real *h;              /* this panel's units; rows at h_row, panels at VL */
  int64_t h_row;
  const real *c_before; /* rows at VL, panels at c_panel; all three NULL in a GRU, tanh_c unless recorded */
  real *c, *tanh_c;
  int64_t c_panel;
  real *z; /* rows at 4 VL, panels at z_panel: the part of x; then, if recorded, the gates */
  int64_t z_panel;
  int64_t unit; /* the panel's first unit */
  int record;
  real *before;    /* of a variant, if recorded: as z, what stood there before activation */
  real *out;       /* with a projection: what it takes, rows at out_row */
  int64_t out_row;
};

INLINE struct place at_row(struct place s, int64_t i) {
  s.h_before += i * s.h_row, s.h += i * s.h_row, s.z += i * 4 * VL;
  if (s.c) s.c_before += i * VL, s.c += i * VL, s.tanh_c += i * VL;
  return s;
}
INLINE struct place at_panel(struct place s, int64_t p) {
  s.h += p * VL, s.unit += p * VL, s.z += p * s.z_panel;
  if (s.c) s.c_before += p * s.c_panel, s.c += p * s.c_panel, s.tanh_c += p * s.c_panel;
  return s;
}

/* c = f c' + i g, h = o tanh c */
INLINE void lstm_cell(const vec a[4], struct place s, int i) {
  vec f = sigmoid(a[0]), in = sigmoid(a[1]), o = sigmoid(a[2]), g = hyperbolic_tangent(a[3]);
  vec fresh = in * g;
  vec c = f * load(s.c_before + i * VL) + fresh;
  vec t = hyperbolic_tangent(c);
  store(s.c + i * VL, c);
  store(s.h + i * s.h_row, o * t);
  if (s.record) {
    real *z = s.z + i * 4 * VL;
    store(z, f), store(z + VL, in), store(z + 2 * VL, o), store(z + 3 * VL, g);
    store(s.tanh_c + i * VL, t);
  }
}

/* n = tanh(z_n + r q), h = n + z (h' - n), q the recurrent part of n */
INLINE void gru_cell(const vec a[4], struct place s, int i) {
  real *z = s.z + i * 4 * VL;
  vec reset = sigmoid(a[0]), update = sigmoid(a[1]), q = a[2];
  vec n = hyperbolic_tangent(load(z + 2 * VL) + reset * q);
  vec away = load(s.h_before + s.unit + i * s.h_row) - n;
  store(s.h + i * s.h_row, update * away + n);
  if (s.record) store(z, reset), store(z + VL, update), store(z + 2 * VL, n), store(z + 3 * VL, q);
}

INLINE void cell(const int gates, const vec a[4], struct place s, int i) {
  if (gates == 4)
    lstm_cell(a, s, i);
  else
    gru_cell(a, s, i);
}

/* Rows from row `at` on; the place is handed on by its address, as a copy of it would cost more than it looks. */
INLINE void step(const int rows, const int gates, const struct place *place, int64_t at, int64_t H, const stored *w,
                 const real *bias_hn) {
  struct place s = at_row(*place, at);
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) a[i][g] = load(gates == 3 && g == 2 ? bias_hn : s.z + (i * 4 + g) * VL);
  multiply(rows, gates, a, s.h_before, s.h_row, 1, H, w, gates * VL);
  UNROLL for (int i = 0; i < rows; i++) cell(gates, a[i], s, i);
}

#define STEP(n, gates)                                                                                          \
  NOINLINE void step_##gates##_##n(const struct place *s, int64_t at, int64_t H, const stored *w,               \
                                   const real *bias_hn) {                                                       \
    step(n, gates, s, at, H, w, bias_hn);                                                                       \
  }
STEP(1, 4) STEP(2, 4) STEP(3, 4) STEP(1, 3) STEP(2, 3) STEP(3, 3) STEP(4, 3)
#if ROWS == 6
STEP(4, 4) STEP(5, 4) STEP(6, 4) STEP(5, 3) STEP(6, 3) STEP(7, 3) STEP(8, 3)
#endif

typedef void step_tile(const struct place *, int64_t, int64_t, const stored *, const real *);
#if ROWS == 6
static step_tile *const step_tiles[] = {step_4_1, step_4_2, step_4_3, step_4_4, step_4_5, step_4_6};
static step_tile *const step_tiles_3[] = {step_3_1, step_3_2, step_3_3, step_3_4,
                                          step_3_5, step_3_6, step_3_7, step_3_8};
#else
static step_tile *const step_tiles[] = {step_4_1, step_4_2, step_4_3};
static step_tile *const step_tiles_3[] = {step_3_1, step_3_2, step_3_3, step_3_4};
#endif

/* One row, several panels at once. With x, its part is summed here too, in the same order; else it is in z. */
INLINE void step_row(const int panels, const int gates, const struct place *place, int64_t first, const real *x) {
  struct place s = at_panel(*place, first);
  const struct weights *w = s.weights;
  int64_t F = s.layer->features, H = s.layer->hidden, p0 = s.unit / VL, width = gates * VL;
  vec a[TALL][4];
  if (x) {
    const real *bias = (const real *)w->bias_panels + p0 * width;
    UNROLL for (int p = 0; p < panels; p++)
      UNROLL for (int g = 0; g < gates; g++) a[p][g] = load(bias + (p * gates + g) * VL);
    multiply_row(panels, gates, a, x, F, (const stored *)w->x_panels + p0 * F * width, F * width);
  } else {
    UNROLL for (int p = 0; p < panels; p++)
      UNROLL for (int g = 0; g < gates; g++) a[p][g] = load(s.z + p * s.z_panel + g * VL);
  }
  if (gates == 3)
    UNROLL for (int p = 0; p < panels; p++) {
      if (x) store(s.z + p * s.z_panel + 2 * VL, a[p][2]);
      a[p][2] = load((const real *)w->bias_hn_panels + (p0 + p) * VL);
    }
  multiply_row(panels, gates, a, s.h_before, H, (const stored *)w->h_panels + p0 * H * width, H * width);
  UNROLL for (int p = 0; p < panels; p++) cell(gates, a[p], at_panel(s, p), 0);
}

#define STEP_ROW(gates, name, panels)                                                           \
  NOINLINE void step_##name##_##gates(const struct place *s, int64_t first, const real *x) {    \
    step_row(panels, gates, s, first, x);                                                       \
  }
STEP_ROW(4, panel, 1) STEP_ROW(3, panel, 1) STEP_ROW(4, panels, PANELS) STEP_ROW(3, panels, PANELS)

/* One row, all panels; every second step from the last to the first, so that what was read last is read first. */
static void step_one(const struct place *s, const real *x, int back) {
  int64_t NP = panels_of(s->layer), lstm = s->layer->cell == LSTM;
  for (int64_t left = NP; left;) {
    int64_t take = left >= PANELS ? PANELS : 1, p = back ? left - take : NP - left;
    if (lstm)
      (take == 1 ? step_panel_4 : step_panels_4)(s, p, x);
    else
      (take == 1 ? step_panel_3 : step_panels_3)(s, p, x);
    left -= take;
  }
}

/* n rows of the plain cells, all panels. */
static void step_plain(const struct place *s, int64_t n, int back) {
  int64_t H = s->layer->hidden, G = gates_of(s->layer), NP = panels_of(s->layer), most = rows_of_tile(G);
  step_tile *const *tile = G == 4 ? step_tiles : step_tiles_3;
  if (n == 1) {
    step_one(s, 0, back);
    return;
  }
  for (int64_t k = 0; k < NP; k++) {
    int64_t p = back ? NP - 1 - k : k;
    const stored *w = (const stored *)s->weights->h_panels + p * H * G * VL;
    const real *bias_hn = G == 3 ? (const real *)s->weights->bias_hn_panels + p * VL : 0;
    struct place here = at_panel(*s, p);
    FOR_TILES(n, most)
      tile[take - 1](&here, at, H, w, bias_hn);
  }
}
