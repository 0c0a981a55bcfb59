/* One step of any other LSTM, by the switches of struct layer, and its way back. The products leave their sums in memory;
   then come activations and equations, over strips: the rows of one panel, or the panels of one row. Part of kernel.c. */

enum { STRIP = 32 }; /* vectors at a time */

/* Vectors of one strip, `*_step` apart; the gates of a unit are VL apart in z. */
struct strip {
  int64_t n;
  real *z, *before; /* before: NULL, or as z */
  int64_t z_step;
  const real *c_before;
  real *c, *shown; /* shown: NULL, or as c */
  int64_t c_step;
  const real *f_peephole, *i_peephole, *o_peephole; /* all NULL where there are none */
  int64_t peephole_step;                            /* 0 for rows of one panel */
  real *out;
  int64_t out_step;
};

/* One gate or the candidate, in place: look at c, keep what is there for the way back, clip, activate. */
static void finish_block(const struct strip *s, int64_t slot, const real *peephole, const real *c,
                         const struct activation *f, double clip) {
  if (slot < 0) return;
  real *z = s->z + slot * VL, *before = s->before ? s->before + slot * VL : 0;
  const real bound = (real)clip;
  if (peephole || before || clip < INFINITY)
    for (int64_t k = 0; k < s->n; k++) {
      vec v = load(z + k * s->z_step);
      if (peephole) v += load(peephole + k * s->peephole_step) * load(c + k * s->c_step);
      if (before) store(before + k * s->z_step, v);
      store(z + k * s->z_step, clip < INFINITY ? at_most(at_least(v, -bound), bound) : v);
    }
  activate_strip(f, s->n, z, s->z_step, z, s->z_step);
}

/* i and f of a unit: absent is 1, coupled is 1 - i. */
INLINE vec input_of(struct slots slot, const real *z) { return slot.i < 0 ? all(1) : load(z + slot.i * VL); }
INLINE vec forget_of(struct slots slot, const real *z, int64_t coupled, vec i) {
  return slot.f >= 0 ? load(z + slot.f * VL) : coupled ? 1 - i : all(1);
}
INLINE vec output_of(struct slots slot, const real *z) { return slot.o < 0 ? all(1) : load(z + slot.o * VL); }

static void step_strip(const struct layer *l, const struct strip *s) {
  const struct slots slot = slots_of(l);
  finish_block(s, slot.f, s->f_peephole, s->c_before, &l->gates, l->clip);
  finish_block(s, slot.i, s->i_peephole, s->c_before, &l->gates, l->clip);
  finish_block(s, slot.g, 0, 0, &l->candidate, l->clip);
  const real bound = (real)l->cell_clip;
  for (int64_t k = 0; k < s->n; k++) {
    const real *z = s->z + k * s->z_step;
    vec i = input_of(slot, z), f = forget_of(slot, z, l->coupled, i), fresh = i * load(z + slot.g * VL);
    vec c = f * load(s->c_before + k * s->c_step) + fresh;
    store(s->c + k * s->c_step, l->cell_clip < INFINITY ? at_most(at_least(c, -bound), bound) : c);
  }
  finish_block(s, slot.o, s->o_peephole, s->c, &l->gates, l->clip);
  real own[STRIP * VL] __attribute__((aligned(64)));
  real *shown = s->shown ? s->shown : own;
  int64_t shown_step = s->shown ? s->c_step : VL;
  activate_strip(&l->shown, s->n, s->c, s->c_step, shown, shown_step);
  for (int64_t k = 0; k < s->n; k++)
    store(s->out + k * s->out_step, output_of(slot, s->z + k * s->z_step) * load(shown + k * shown_step));
}

/* The strip of the vectors from row `row` and panel `panel` on: rows of that panel, or panels of that row. */
static struct strip strip_at(const struct place *s, int64_t row, int64_t panel, int along_rows) {
  const struct layer *l = s->layer;
  int64_t HP = panels_of(l) * VL, z = row * 4 * VL + panel * s->z_panel, c = row * VL + panel * s->c_panel;
  real *out = l->projection ? s->out + row * s->out_row : s->h + row * s->h_row;
  int64_t out_row = l->projection ? s->out_row : s->h_row;
  const real *peepholes = l->peepholes ? (const real *)s->weights->peephole_panels + panel * VL : 0;
  return (struct strip){
      .z = s->z + z, .before = s->before ? s->before + z : 0, .z_step = along_rows ? 4 * VL : s->z_panel,
      .c_before = s->c_before + c, .c = s->c + c, .shown = s->record ? s->tanh_c + c : 0,
      .c_step = along_rows ? VL : s->c_panel,
      .f_peephole = peepholes, .i_peephole = peepholes ? peepholes + HP : 0,
      .o_peephole = peepholes ? peepholes + 2 * HP : 0, .peephole_step = along_rows ? 0 : VL,
      .out = out + panel * VL, .out_step = along_rows ? out_row : VL,
  };
}

/* z of one row and several panels += h' W_h. */
INLINE void add_row(const int panels, const int gates, const struct place *s, int64_t p) {
  int64_t K = s->layer->output, width = gates * VL;
  real *z = s->z + p * s->z_panel;
  vec a[TALL][4];
  UNROLL for (int q = 0; q < panels; q++)
    UNROLL for (int g = 0; g < gates; g++) a[q][g] = load(z + q * s->z_panel + g * VL);
  multiply_row(panels, gates, a, s->h_before, K, (const stored *)s->weights->h_panels + p * K * width, K * width);
  UNROLL for (int q = 0; q < panels; q++)
    UNROLL for (int g = 0; g < gates; g++) store(z + q * s->z_panel + g * VL, a[q][g]);
}
#define ADD_ROW(gates)                                                                                     \
  NOINLINE void add_panel_##gates(const struct place *s, int64_t p) { add_row(1, gates, s, p); }           \
  NOINLINE void add_panels_##gates(const struct place *s, int64_t p) { add_row(PANELS, gates, s, p); }
ADD_ROW(1) ADD_ROW(2) ADD_ROW(3) ADD_ROW(4)
typedef void add_tile(const struct place *, int64_t);
static add_tile *const add_tiles[2][4] = {{add_panel_1, add_panel_2, add_panel_3, add_panel_4},
                                          {add_panels_1, add_panels_2, add_panels_3, add_panels_4}};

/* n rows, all panels. */
static void step_variant(const struct place *s, int64_t n, int back) {
  const struct layer *l = s->layer;
  int64_t G = gates_of(l), NP = panels_of(l), P = l->output;
  if (n == 1) {
    for (int64_t left = NP; left;) {
      int64_t take = left >= PANELS ? PANELS : 1, p = back ? left - take : NP - left;
      add_tiles[take > 1][G - 1](s, p);
      left -= take;
    }
    for (int64_t p = 0; p < NP; p += STRIP) {
      struct strip strip = strip_at(s, 0, p, 0);
      strip.n = least(STRIP, NP - p);
      step_strip(l, &strip);
    }
  }
  for (int64_t k = 0; k < NP && n > 1; k++) {
    int64_t p = back ? NP - 1 - k : k;
    const stored *w = (const stored *)s->weights->h_panels + p * P * G * VL;
    real *z = s->z + p * s->z_panel;
    FOR_TILES(n, rows_of_tile(G))
      project_tiles[G - 1][take - 1](s->h_before + at * s->h_row, s->h_row, P, w, z + at * 4 * VL, 4 * VL,
                                     z + at * 4 * VL, 4 * VL);
    for (int64_t row = 0; row < n; row += STRIP) {
      struct strip strip = strip_at(s, row, p, 1);
      strip.n = least(STRIP, n - row);
      step_strip(l, &strip);
    }
  }
  static const real zeros[4 * VL];
  for (int64_t p = 0; p < projected_panels(l) && l->projection; p++)
    FOR_TILES(n, ROWS)
      project_tiles[projected_width(l, p) / VL - 1][take - 1](
          s->out + at * s->out_row, s->out_row, l->hidden,
          (const stored *)s->weights->hr_panels + p * 4 * VL * l->hidden, zeros, 0,
          s->h + at * s->h_row + p * 4 * VL, s->h_row);
}

static void step_rows(const struct place *s, int64_t n, int back) {
  if (s->layer->variant)
    step_variant(s, n, back);
  else
    step_plain(s, n, back);
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

/* Slopes of one block, 0 where the clip acted. */
static void slopes_of_block(const struct layer *l, const struct activation *f, int64_t n, const real *before,
                            const real *a, real *to) {
  const real bound = (real)l->clip;
  if (l->clip == INFINITY) {
    slope_strip(f, n, before, a, 4 * VL, to);
    return;
  }
  real clipped[STRIP * VL] __attribute__((aligned(64))), values[STRIP * VL] __attribute__((aligned(64)));
  for (int64_t k = 0; k < n; k++) {
    store(clipped + k * VL, at_most(at_least(load(before + k * 4 * VL), -bound), bound));
    store(values + k * VL, load(a + k * 4 * VL));
  }
  slope_strip(f, n, clipped, values, VL, to);
  for (int64_t k = 0; k < n; k++) {
    vec z = load(before + k * 4 * VL);
    store(to + k * VL, choose((z > bound) | (z < -bound), (vec){0}, load(to + k * VL)));
  }
}

/* One step of n rows, at most STRIP, and one panel: dz from what arrives in dout, the gradient of o times what is shown,
   and dc. Row k of z, before and dz is at k 4 VL, of c, shown and dc at k VL, of dout at k dout_row. */
static void variant_cell_back(const struct layer *l, const real *peephole, int64_t n, const real *z, const real *before,
                              real *dz, const real *c_before, const real *c, const real *shown, const real *dout,
                              int64_t dout_row, real *dc) {
  const struct slots slot = slots_of(l);
  real slopes[4][STRIP * VL] __attribute__((aligned(64))), of_shown[STRIP * VL] __attribute__((aligned(64)));
  const int64_t HP = panels_of(l) * VL, each[] = {slot.f, slot.i, slot.o, slot.g};
  for (int64_t b = 0; b < 4; b++)
    if (each[b] >= 0)
      slopes_of_block(l, b < 3 ? &l->gates : &l->candidate, n, before + each[b] * VL, z + each[b] * VL, slopes[b]);
  slope_strip(&l->shown, n, c, shown, VL, of_shown);
  const real bound = (real)l->cell_clip;
  const vec none = {0}, p_f = peephole ? load(peephole) : none, p_i = peephole ? load(peephole + HP) : none;
  const vec p_o = peephole ? load(peephole + 2 * HP) : none;
  for (int64_t k = 0; k < n; k++, z += 4 * VL, dz += 4 * VL) {
    vec i = input_of(slot, z), f = forget_of(slot, z, l->coupled, i), o = output_of(slot, z), g = load(z + slot.g * VL);
    vec d = load(dout + k * dout_row), c_ = load(c_before + k * VL);
    vec dc_ = load(dc + k * VL) + d * o * load(of_shown + k * VL);
    if (slot.o >= 0) {
      vec dz_o = d * load(shown + k * VL) * load(slopes[2] + k * VL);
      store(dz + slot.o * VL, dz_o);
      dc_ += p_o * dz_o;
    }
    if (l->cell_clip < INFINITY) {
      vec fresh = i * g, all_of_it = f * c_ + fresh;
      dc_ = choose((all_of_it > bound) | (all_of_it < -bound), none, dc_);
    }
    vec di = dc_ * g, df = dc_ * c_, dc_next = dc_ * f;
    if (l->coupled) di -= df;
    if (slot.i >= 0) {
      vec dz_i = di * load(slopes[1] + k * VL);
      store(dz + slot.i * VL, dz_i);
      dc_next += p_i * dz_i;
    }
    if (slot.f >= 0) {
      vec dz_f = df * load(slopes[0] + k * VL);
      store(dz + slot.f * VL, dz_f);
      dc_next += p_f * dz_f;
    }
    store(dz + slot.g * VL, dc_ * i * load(slopes[3] + k * VL));
    store(dc + k * VL, dc_next);
  }
}
