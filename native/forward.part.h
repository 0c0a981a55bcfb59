/* The way forward over a batch, and looking at the tape. Part of kernel.c. */

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

/* Numbers beyond MOST are taken as MOST: the gates are long saturated there, and products of larger ones could meet as
   infinity minus infinity. NaN stays. */
INLINE int too_large(const real *x, int64_t n) {
  int beyond = 0;
  for (int64_t k = 0; k < n; k++) beyond |= (x[k] > MOST) | (x[k] < -MOST);
  return beyond;
}
INLINE void copy_bounded(real *to, const real *x, int64_t n) { /* padded to whole vectors */
  for (int64_t k = 0; k < n; k += VL)
    store(to + k, -at_least(-at_least(load_some(x + k, (int)least(VL, n - k)), -MOST), -MOST));
}

/* Inputs of the rows b0 to b0 + n of step s, to xs. */
static void gather(const struct forward *f, int64_t s, int64_t b0, int64_t n, void *xs) {
  int64_t F = f->layer->features, FQ = pitch_of(F);
  for (int64_t b = b0; b < b0 + n; b++) {
    int64_t from = batch_row(f, b) * f->x_n + batch_step(f, b, s) * f->x_t;
    if (f->tokens)
      ((int64_t *)xs)[b - b0] = ((const int64_t *)f->x)[from];
    else
      copy_bounded((real *)xs + (b - b0) * FQ, (const real *)f->x + from, F);
  }
}

/* z of n rows and one panel. */
static void project_rows(const struct layer *l, const struct weights *w, int64_t n, const real *x, int64_t x_row,
                         int64_t p, real *z) {
  int64_t F = l->features, G = gates_of(l), most = rows_of_tile(G);
  const stored *panel = (const stored *)w->x_panels + p * F * G * VL;
  const real *bias = (const real *)w->bias_panels + p * G * VL;
  FOR_TILES(n, most)
    project_tiles[G - 1][take - 1](x + at * x_row, x_row, F, panel, bias, 0, z + at * 4 * VL, 4 * VL);
}

static void project_tokens(const struct layer *l, const struct weights *w, int64_t n, const int64_t *ids, int64_t p,
                           real *z) {
  int64_t F = l->features, G = gates_of(l);
  const stored *panel = (const stored *)w->x_panels + p * F * G * VL;
  const real *bias = (const real *)w->bias_panels + p * G * VL;
  for (int64_t i = 0; i < n; i++)
    for (int64_t g = 0; g < G; g++)
      store(z + (i * 4 + g) * VL, load(bias + g * VL) + load_weights(panel + (ids[i] * G + g) * VL));
}

/* ---- one piece of a batch: some rows through all steps ----------------------------------------------------------- */

/* Where a piece keeps what it computes: in the tape, which has room for every step, or in memory of its own, where a
   step finds only the one before. */
struct piece {
  const struct job *j;
  int64_t b0, b1;    /* its rows */
  int64_t in_place;  /* inputs are read where they are */
  struct tape *tape; /* or NULL */
  void *own;         /* memory to free */
  real *z, *before, *h, *c, *tanh_c, *out;
  char *xs;
  int64_t x_size, z_size, out_size; /* bytes of xs, numbers of z and out from one packed row to the next; 0 without a
                                       tape */
  int64_t c_panel;
};

/* One row that is not recorded is read where it is, if all of it may be taken as it is. */
static int64_t may_stay(const struct forward *f, int64_t b0, int64_t b1) {
  if (f->tape || f->tokens || b1 - b0 != 1) return 0;
  const real *row = (const real *)f->x + batch_row(f, b0) * f->x_n;
  for (int64_t t = 0; t < length_of(f, b0); t++)
    if (too_large(row + t * f->x_t, f->layer->features)) return 0;
  return 1;
}

static int64_t x_bytes(const struct forward *f) {
  return f->tokens ? (int64_t)sizeof(int64_t) : pitch_of(f->layer->features) * (int64_t)sizeof(real);
}

static void use_tape(struct piece *m, const struct forward *f) {
  const struct tape *tape = f->tape;
  m->z = tape->z, m->before = tape->before, m->out = tape->out, m->xs = tape->xs;
  m->h = tape->h, m->c = tape->c, m->tanh_c = tape->tanh_c;
  m->x_size = x_bytes(f), m->z_size = panels_of(f->layer) * 4 * VL, m->out_size = out_pitch(f->layer);
  m->c_panel = (f->n + m->j->start[m->j->steps]) * VL;
}

static int use_scratch(struct piece *m, const struct forward *f) {
  const struct job *j = m->j;
  int64_t rows = m->b1 - m->b0, HP = panels_of(f->layer) * VL, HQ = h_pitch(f->layer), most = 0;
  for (int64_t s = 0, e; s < j->steps && running(j, s, m->b0, m->b1); s = e) {
    e = chunk_end(j->start, j->steps, s);
    if (j->start[e] - j->start[s] > most) most = j->start[e] - j->start[s];
  }
  int64_t z_numbers = (most + 1) * 4 * HP;
  int64_t x_numbers = m->in_place ? 0 : most * x_bytes(f) / (int64_t)sizeof(real);
  int64_t out_numbers = f->layer->projection ? rows * out_pitch(f->layer) : 0;
  m->own = scratch_of(z_numbers + x_numbers + out_numbers + rows * (2 * HQ + HP));
  if (!m->own) return OUT_OF_MEMORY;
  m->z = m->own, m->h = m->z + z_numbers, m->c = m->tanh_c = m->h + 2 * rows * HQ, m->out = m->c + rows * HP;
  m->xs = (char *)(m->out + out_numbers);
  m->c_panel = rows * VL;
  return 0;
}

/* Row of h, for the first row of the piece, that has the state before step s: with a tape its own for every step, else
   one of two that take turns. That of c stays where it is without a tape. */
static int64_t h_row_at(const struct piece *m, int64_t s) {
  if (!m->tape) return s % 2 * (m->b1 - m->b0);
  return (s ? m->j->f->n + m->j->start[s - 1] : 0) + m->b0;
}
static int64_t c_row_at(const struct piece *m, int64_t s) { return m->tape ? h_row_at(m, s) : 0; }

/* The initial state, and what is known without a step: zeros past each length, and the final state of empty rows. */
static void start_rows(const struct piece *m) {
  const struct forward *f = m->j->f;
  int64_t H = f->layer->hidden, P = f->layer->output, lstm = f->layer->cell == LSTM;
  real *h = m->h + h_row_at(m, 0) * h_pitch(f->layer), *c = lstm ? m->c + c_row_at(m, 0) * VL : 0;
  for (int64_t b = m->b0; b < m->b1; b++) {
    int64_t row = batch_row(f, b), length = length_of(f, b);
    real *h_row = h + (b - m->b0) * h_pitch(f->layer);
    if (f->h0)
      fill_padded(h_row, (const real *)f->h0 + row * P, P, rounded(P));
    else
      memset(h_row, 0, (size_t)rounded(P) * sizeof(real));
    if (lstm && f->c0)
      fill_panels(c + (b - m->b0) * VL, m->c_panel, (const real *)f->c0 + row * H, H);
    else if (lstm)
      for (int64_t u = 0; u < H; u += VL) memset(c + (b - m->b0) * VL + u / VL * m->c_panel, 0, VL * sizeof(real));
    for (int64_t t = length; t < f->t; t++)
      memset((real *)f->y + row * f->y_n + t * f->y_t, 0, (size_t)P * sizeof(real));
    if (length) continue;
    memcpy((real *)f->h_n + row * P, h_row, (size_t)P * sizeof(real));
    if (lstm) read_panels((real *)f->c_n + row * H, c + (b - m->b0) * VL, m->c_panel, H);
  }
}

/* The part of x in z, for the steps s0 to s1 together: over runs of packed rows that are all of this piece. `xs` and z
   begin with the first packed row of step s0. */
static void project_chunk(const struct piece *m, int64_t s0, int64_t s1, char *xs, real *z, int64_t z_panel) {
  const struct job *j = m->j;
  const struct forward *f = j->f;
  int64_t x_size = x_bytes(f), base = j->start[s0];
  for (int64_t s = s0; s < s1 && !m->in_place; s++)
    gather(f, s, m->b0, running(j, s, m->b0, m->b1), xs + (j->start[s] - base + m->b0) * x_size);
  for (int64_t p = 0; p < panels_of(f->layer); p++)
    for (int64_t s = s0, e; s < s1; s = e) {
      int64_t from = j->start[s] - base + m->b0, to = from + running(j, s, m->b0, m->b1);
      for (e = s + 1; e < s1 && j->start[e] - base + m->b0 == to; e++) to += running(j, e, m->b0, m->b1);
      if (to == from) continue;
      real *to_z = z + p * z_panel + from * 4 * VL;
      const void *x = xs + from * x_size;
      if (f->tokens) {
        project_tokens(f->layer, f->weights, to - from, x, p, to_z);
      } else if (m->in_place) {
        x = (const real *)f->x + batch_row(f, m->b0) * f->x_n + batch_step(f, m->b0, s) * f->x_t;
        project_rows(f->layer, f->weights, to - from, x, f->reverse ? -f->x_t : f->x_t, p, to_z);
      } else {
        project_rows(f->layer, f->weights, to - from, x, pitch_of(f->layer->features), p, to_z);
      }
    }
}

/* Outputs of step s, and the final state of rows that end with it, from where the state is now. */
static void write_rows(const struct piece *m, int64_t s, const real *h, const real *c) {
  const struct forward *f = m->j->f;
  int64_t n = running(m->j, s, m->b0, m->b1), after = running(m->j, s + 1, m->b0, m->b1);
  int64_t H = f->layer->hidden, P = f->layer->output, HQ = h_pitch(f->layer);
  for (int64_t i = 0; i < n; i++) {
    int64_t row = batch_row(f, m->b0 + i);
    real *y = (real *)f->y + row * f->y_n + batch_step(f, m->b0 + i, s) * f->y_t;
    memcpy(y, h + i * HQ, (size_t)P * sizeof(real));
    if (i < after) continue;
    memcpy((real *)f->h_n + row * P, h + i * HQ, (size_t)P * sizeof(real));
    if (c) read_panels((real *)f->c_n + row * H, c + i * VL, m->c_panel, H);
  }
}

static void forward_piece(void *argument, int64_t number) {
  struct job *j = argument;
  const struct forward *f = j->f;
  struct piece m = {.j = j, .b0 = j->bounds[number], .b1 = j->bounds[number + 1], .tape = f->tape};
  m.in_place = may_stay(f, m.b0, m.b1);
  if (f->tape)
    use_tape(&m, f);
  else if (use_scratch(&m, f)) {
    j->failed = OUT_OF_MEMORY;
    return;
  }
  start_rows(&m);

  int64_t HQ = h_pitch(f->layer), lstm = f->layer->cell == LSTM, chunk = 0;
  for (int64_t s0 = 0, s1; s0 < j->steps && running(j, s0, m.b0, m.b1); s0 = s1, chunk++) {
    s1 = chunk_end(j->start, j->steps, s0);
    int64_t base = j->start[s0], z_panel = (j->start[s1] - base + 1) * 4 * VL;
    real *z = m.z + (base + chunk) * m.z_size;
    project_chunk(&m, s0, s1, m.xs + base * m.x_size, z, z_panel);
    for (int64_t s = s0, n; s < s1 && (n = running(j, s, m.b0, m.b1)); s++) {
      int64_t z_row = (j->start[s] - base + m.b0) * 4 * VL;
      struct place at = {
          .layer = f->layer, .weights = f->weights, .record = f->tape != 0,
          .h_before = m.h + h_row_at(&m, s) * HQ, .h = m.h + h_row_at(&m, s + 1) * HQ, .h_row = HQ,
          .z = z + z_row, .z_panel = z_panel, .c_panel = m.c_panel,
      };
      if (lstm) {
        int64_t now = c_row_at(&m, s + 1) * VL;
        at.c_before = m.c + c_row_at(&m, s) * VL, at.c = m.c + now, at.tanh_c = m.tanh_c + now;
      }
      if (f->tape && f->layer->variant) at.before = m.before + (base + chunk) * m.z_size + z_row;
      if (f->layer->projection) at.out = m.out + (j->start[s] + m.b0) * m.out_size, at.out_row = out_pitch(f->layer);
      step_rows(&at, n, s & 1);
      write_rows(&m, s, at.h, at.c);
    }
  }
  free(m.own);
}

static int forward(const struct forward *f) {
  struct job j;
  if (begin(&j, f)) return OUT_OF_MEMORY;
  int64_t pieces = cut(&j, f->threads);
  compuerta_parallel(pieces, f->threads, forward_piece, &j);
  free(j.start);
  return j.failed;
}

/* A whole batch in one piece that starts from zeros: here is what differs from call to call, the rest in `block`. */
static int call(const struct forward *block, int64_t n, int64_t t, int64_t threads, const void *x, void *y, void *h_n,
                void *c_n) {
  struct forward f = *block;
  int64_t F = f.layer->features, P = f.layer->output;
  f.n = n, f.t = t, f.threads = threads, f.x = x, f.x_n = t * F, f.x_t = F;
  f.y = y, f.y_n = t * P, f.y_t = P, f.h_n = h_n, f.c_n = c_n;
  return forward(&f);
}

/* ---- looking at the tape ----------------------------------------------------------------------------------------- */

static int read_tape(const struct forward *f, int64_t what, void *out) {
  const struct tape *tape = f->tape;
  int64_t N = f->n, T = f->t, H = f->layer->hidden, NP = panels_of(f->layer), P = tape->rows;
  struct job j;
  if (begin(&j, f)) return OUT_OF_MEMORY;
  int64_t width = what == 4 ? f->layer->output : H;
  memset(out, 0, (size_t)(N * T * width) * sizeof(real));
  for (int64_t s0 = 0, s1, chunk = 0; s0 < j.steps; s0 = s1, chunk++) {
    s1 = chunk_end(j.start, j.steps, s0);
    int64_t base = j.start[s0], z_rows = j.start[s1] - base + 1;
    const real *z = (const real *)(what > 5 ? tape->before : tape->z) + ((base + chunk) * NP * 4 + what % 6) * VL;
    for (int64_t s = s0; s < s1; s++)
      for (int64_t row = j.start[s]; row < j.start[s + 1]; row++) {
        int64_t b = row - j.start[s];
        real *to = (real *)out + (batch_row(f, b) * T + batch_step(f, b, s)) * width;
        if (what == 4)
          memcpy(to, (const real *)tape->h + (N + row) * h_pitch(f->layer), (size_t)width * sizeof(real));
        else if (what == 5)
          read_panels(to, (const real *)tape->c + (N + row) * VL, (N + P) * VL, H);
        else
          read_panels(to, z + (row - base) * 4 * VL, z_rows * 4 * VL, H);
      }
  }
  free(j.start);
  return 0;
}
