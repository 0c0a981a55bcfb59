/* The recurrences for one instruction set and one width of number: compuerta.h has every buffer, README.md the
   equations. Here stand products, one step, the way forward, the tape and streams; the headers included between them
   are parts of this file, which say nothing to others. */
#include "compuerta.h"
#include "threads.h"
#include "vector.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Rows of a tile by gates: ROWS x 4 vectors or ROWS_3 x 3 are accumulated at once, in all registers but a few. */
#define ROWS_3 (ROWS * 4 / 3)
#define TALL 8 /* rows of any tile at most */
/* Panels that one row is multiplied with at once: enough sums in flight to hide their latency. */
#define PANELS (ROWS == 3 ? 2 : 4)
/* Packed rows that are prepared together: they stay in the second-level cache. */
#define CHUNK 96
/* Rows per thread at least, and multiply-adds below which a second thread costs more than it brings. */
#define FEWEST_ROWS 4
#define FEWEST_WORK 1000000
#define GATES(r) ((r)->cell == GRU ? 3 : 4)
#define NOINLINE static __attribute__((noinline))

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t panels_of(const struct run *r) { return (r->hidden + VL - 1) / VL; }
static int64_t rounded(int64_t n) { return (n + VL - 1) / VL * VL; }

/* Numbers from row to row of what is read down its columns: an odd number of lines, so that the rows spread over the
   cache. */
static int64_t pitch_of(int64_t width) {
  int64_t lines = (width * (int64_t)sizeof(real) + 63) / 64 | 1;
  return lines * 64 / (int64_t)sizeof(real);
}
static int64_t h_pitch(const struct run *r) { return pitch_of(panels_of(r) * VL); }

static void *scratch_of(int64_t numbers) {
  size_t bytes = ((size_t)numbers * sizeof(real) + 127) / 64 * 64;
  return aligned_alloc(64, bytes);
}

/* ---- which packed row is what ------------------------------------------------------------------------------------ */

static int64_t length_of(const struct run *r, int64_t b) { return r->length ? r->length[b] : r->t; }
static int64_t steps_of(const struct run *r) { return r->n ? length_of(r, 0) : 0; }

/* start[s] is the first packed row of step s; start[steps] is P. */
static void starts(const struct run *r, int64_t steps, int64_t *start) {
  int64_t count = r->n;
  start[0] = 0;
  for (int64_t s = 0; s < steps; s++) {
    while (count && length_of(r, count - 1) <= s) count--;
    start[s + 1] = start[s] + count;
  }
}

/* Where chunk from step s ends: whole steps of at most CHUNK rows together, at least one. */
static int64_t chunk_end(const int64_t *start, int64_t steps, int64_t s) {
  int64_t e = s + 1;
  while (e < steps && start[e + 1] - start[s] <= CHUNK) e++;
  return e;
}

static int64_t batch_row(const struct run *r, int64_t b) { return r->order ? r->order[b] : b; }
static int64_t batch_step(const struct run *r, int64_t b, int64_t s) {
  return r->reverse ? length_of(r, b) - 1 - s : s;
}

/* One call: its steps, and the rows of each piece of work. */
struct job {
  const struct run *r;
  int64_t *start, steps;
  int64_t bounds[65]; /* piece i has the sorted rows bounds[i] to bounds[i + 1] */
  atomic_int failed;
};

static int begin(struct job *j, const struct run *r) {
  *j = (struct job){.r = r, .steps = steps_of(r)};
  j->start = malloc((size_t)(j->steps + 1) * sizeof *j->start);
  if (!j->start) return OUT_OF_MEMORY;
  starts(r, j->steps, j->start);
  return 0;
}

static int plan(struct run *r) {
  struct job j;
  if (begin(&j, r)) return OUT_OF_MEMORY;
  r->steps = j.steps, r->rows = j.start[j.steps], r->chunks = 0;
  for (int64_t s = 0; s < j.steps; s = chunk_end(j.start, j.steps, s)) r->chunks++;
  free(j.start);
  return 0;
}

#include "packing.h"

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* a[row][v] += sum over k of A[row a_row + k a_k] B[k b_k + v VL]. Each sum runs over k in order, whatever the tile:
   a row's numbers do not depend on the rows beside it. */
INLINE void multiply(const int rows, const int vectors, vec a[TALL][4], const real *restrict A, int64_t a_row,
                     int64_t a_k, int64_t K, const real *restrict B, int64_t b_k) {
  for (int64_t k = 0; k < K; k++) {
    vec w[4];
    UNROLL for (int v = 0; v < vectors; v++) w[v] = load(B + v * VL);
    UNROLL for (int i = 0; i < rows; i++) {
      vec s = all(A[i * a_row]);
      UNROLL for (int v = 0; v < vectors; v++) a[i][v] += s * w[v];
    }
    A += a_k;
    B += b_k;
  }
}

/* The same for one row and several panels, `apart` from one another. */
INLINE void multiply_row(const int panels, const int vectors, vec a[TALL][4], const real *restrict A, int64_t K,
                         const real *restrict B, int64_t apart) {
  for (int64_t k = 0; k < K; k++) {
    vec s = all(A[k]);
    UNROLL for (int p = 0; p < panels; p++)
      UNROLL for (int v = 0; v < vectors; v++) a[p][v] += s * load(B + p * apart + v * VL);
    B += vectors * VL;
  }
}

/* Cut n rows into tiles of nearly equal height: `take` rows from row `at` on, at most `most`. */
#define FOR_TILES(n, most)                                                                       \
  for (int64_t at = 0, left = (n), tiles = (left + (most) - 1) / (most), take = 0;               \
       tiles && (take = (left + tiles - 1) / tiles, 1); at += take, left -= take, tiles--)

/* ---- forward: the part of x -------------------------------------------------------------------------------------- */

/* z = bias + x w for some rows and a panel of `gates` vectors. */
INLINE void project(const int rows, const int gates, const real *x, int64_t x_row, int64_t F, const real *w,
                    const real *bias, real *z, int64_t z_row) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < gates; g++) a[i][g] = load(bias + g * VL);
  multiply(rows, gates, a, x, x_row, 1, F, w, gates * VL);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < gates; g++) store(z + i * z_row + g * VL, a[i][g]);
}

#define PROJECT(n, gates)                                                                                     \
  NOINLINE void project_##gates##_##n(const real *x, int64_t x_row, int64_t F, const real *w, const real *bias, \
                                      real *z, int64_t z_row) {                                                 \
    project(n, gates, x, x_row, F, w, bias, z, z_row);                                                          \
  }
#define PROJECT_ALL(n) PROJECT(n, 1) PROJECT(n, 2) PROJECT(n, 3) PROJECT(n, 4)
PROJECT_ALL(1) PROJECT_ALL(2) PROJECT_ALL(3) PROJECT(4, 3)
#if ROWS == 6
PROJECT(4, 1) PROJECT(4, 2) PROJECT(4, 4) PROJECT_ALL(5) PROJECT_ALL(6) PROJECT(7, 3) PROJECT(8, 3)
#define PROJECT_ROW(g) project_##g##_1, project_##g##_2, project_##g##_3, project_##g##_4, project_##g##_5, project_##g##_6
#define PROJECT_ROW_3 PROJECT_ROW(3), project_3_7, project_3_8
#else
#define PROJECT_ROW(g) project_##g##_1, project_##g##_2, project_##g##_3
#define PROJECT_ROW_3 PROJECT_ROW(3), project_3_4
#endif

/* By vectors in a panel (gates of a unit), then by rows. */
typedef void project_tile(const real *, int64_t, int64_t, const real *, const real *, real *, int64_t);
static project_tile *const project_tiles[4][ROWS_3] = {
    {PROJECT_ROW(1)}, {PROJECT_ROW(2)}, {PROJECT_ROW_3}, {PROJECT_ROW(4)}};

/* z of n rows and one panel. */
static void project_rows(const struct run *r, int64_t n, const real *x, int64_t x_row, int64_t p, real *z) {
  int64_t F = r->features, G = GATES(r), most = G == 4 ? ROWS : ROWS_3;
  const real *w = (const real *)r->x_panels + p * F * G * VL, *bias = (const real *)r->bias_panels + p * G * VL;
  FOR_TILES(n, most)
    project_tiles[G - 1][take - 1](x + at * x_row, x_row, F, w, bias, z + at * 4 * VL, 4 * VL);
}

static void project_tokens(const struct run *r, int64_t n, const int64_t *ids, int64_t p, real *z) {
  int64_t F = r->features, G = GATES(r);
  const real *w = (const real *)r->x_panels + p * F * G * VL, *bias = (const real *)r->bias_panels + p * G * VL;
  for (int64_t i = 0; i < n; i++)
    for (int64_t g = 0; g < G; g++) store(z + (i * 4 + g) * VL, load(bias + g * VL) + load(w + (ids[i] * G + g) * VL));
}

/* ---- forward: one step, one panel -------------------------------------------------------------------------------- */

/* Where a step reads and writes, for its first row and first panel. */
struct place {
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
INLINE void step(const int rows, const int gates, const struct place *place, int64_t at, int64_t H, const real *w,
                 const real *bias_hn) {
  struct place s = at_row(*place, at);
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) a[i][g] = load(gates == 3 && g == 2 ? bias_hn : s.z + (i * 4 + g) * VL);
  multiply(rows, gates, a, s.h_before, s.h_row, 1, H, w, gates * VL);
  UNROLL for (int i = 0; i < rows; i++) cell(gates, a[i], s, i);
}

#define STEP(n, gates)                                                                                          \
  NOINLINE void step_##gates##_##n(const struct place *s, int64_t at, int64_t H, const real *w,                 \
                                   const real *bias_hn) {                                                       \
    step(n, gates, s, at, H, w, bias_hn);                                                                       \
  }
STEP(1, 4) STEP(2, 4) STEP(3, 4) STEP(1, 3) STEP(2, 3) STEP(3, 3) STEP(4, 3)
#if ROWS == 6
STEP(4, 4) STEP(5, 4) STEP(6, 4) STEP(5, 3) STEP(6, 3) STEP(7, 3) STEP(8, 3)
#endif

typedef void step_tile(const struct place *, int64_t, int64_t, const real *, const real *);
#if ROWS == 6
static step_tile *const step_tiles[] = {step_4_1, step_4_2, step_4_3, step_4_4, step_4_5, step_4_6};
static step_tile *const step_tiles_3[] = {step_3_1, step_3_2, step_3_3, step_3_4,
                                          step_3_5, step_3_6, step_3_7, step_3_8};
#else
static step_tile *const step_tiles[] = {step_4_1, step_4_2, step_4_3};
static step_tile *const step_tiles_3[] = {step_3_1, step_3_2, step_3_3, step_3_4};
#endif

/* One row, several panels at once. With x, its part is summed here too, in the same order; else it is in z. */
INLINE void step_row(const int panels, const int gates, const struct run *r, const struct place *place, int64_t first,
                     const real *x) {
  struct place s = at_panel(*place, first);
  int64_t F = r->features, H = r->hidden, p0 = s.unit / VL;
  vec a[TALL][4];
  if (x) {
    const real *bias = (const real *)r->bias_panels + p0 * gates * VL;
    UNROLL for (int p = 0; p < panels; p++)
      UNROLL for (int g = 0; g < gates; g++) a[p][g] = load(bias + (p * gates + g) * VL);
    multiply_row(panels, gates, a, x, F, (const real *)r->x_panels + p0 * F * gates * VL, F * gates * VL);
  } else {
    UNROLL for (int p = 0; p < panels; p++)
      UNROLL for (int g = 0; g < gates; g++) a[p][g] = load(s.z + p * s.z_panel + g * VL);
  }
  if (gates == 3)
    UNROLL for (int p = 0; p < panels; p++) {
      if (x) store(s.z + p * s.z_panel + 2 * VL, a[p][2]);
      a[p][2] = load((const real *)r->bias_hn_panels + (p0 + p) * VL);
    }
  multiply_row(panels, gates, a, s.h_before, H, (const real *)r->h_panels + p0 * H * gates * VL, H * gates * VL);
  UNROLL for (int p = 0; p < panels; p++) cell(gates, a[p], at_panel(s, p), 0);
}

#define STEP_ROW(gates, name, panels)                                                                             \
  NOINLINE void step_##name##_##gates(const struct run *r, const struct place *s, int64_t first, const real *x) { \
    step_row(panels, gates, r, s, first, x);                                                                      \
  }
STEP_ROW(4, panel, 1) STEP_ROW(3, panel, 1) STEP_ROW(4, panels, PANELS) STEP_ROW(3, panels, PANELS)

/* One row, all panels; every second step from the last to the first, so that what was read last is read first. */
static void step_one(const struct run *r, struct place s, const real *x, int back) {
  int64_t NP = panels_of(r);
  for (int64_t left = NP; left;) {
    int64_t take = left >= PANELS ? PANELS : 1, p = back ? left - take : NP - left;
    if (GATES(r) == 4)
      (take == 1 ? step_panel_4 : step_panels_4)(r, &s, p, x);
    else
      (take == 1 ? step_panel_3 : step_panels_3)(r, &s, p, x);
    left -= take;
  }
}

/* n rows, all panels. */
static void step_rows(const struct run *r, int64_t n, struct place s, int back) {
  int64_t H = r->hidden, G = GATES(r), NP = panels_of(r), most = G == 4 ? ROWS : ROWS_3;
  step_tile *const *tile = G == 4 ? step_tiles : step_tiles_3;
  if (n == 1) {
    step_one(r, s, 0, back);
    return;
  }
  for (int64_t k = 0; k < NP; k++) {
    int64_t p = back ? NP - 1 - k : k;
    const real *w = (const real *)r->h_panels + p * H * G * VL;
    const real *bias_hn = G == 3 ? (const real *)r->bias_hn_panels + p * VL : 0;
    struct place here = at_panel(s, p);
    FOR_TILES(n, most)
      tile[take - 1](&here, at, H, w, bias_hn);
  }
}

/* ---- the way forward --------------------------------------------------------------------------------------------- */

static int64_t running(const struct job *j, int64_t s, int64_t b0, int64_t b1) {
  int64_t count = s < j->steps ? j->start[s + 1] - j->start[s] : 0;
  return least(count, b1) > b0 ? least(count, b1) - b0 : 0;
}

static void fill_padded(real *to, const real *from, int64_t valid, int64_t width) {
  memcpy(to, from, (size_t)valid * sizeof(real));
  for (int64_t k = valid; k < width; k++) to[k] = 0;
}
static void fill_panels(real *to, int64_t panel, const real *from, int64_t H) {
  for (int64_t u = 0; u < H; u += VL) {
    memset(to, 0, VL * sizeof(real));
    memcpy(to, from + u, (size_t)least(VL, H - u) * sizeof(real));
    to += panel;
  }
}
static void read_panels(real *to, const real *from, int64_t panel, int64_t H) {
  for (int64_t u = 0; u < H; u += VL, from += panel) memcpy(to + u, from, (size_t)least(VL, H - u) * sizeof(real));
}

/* Numbers beyond MOST are taken as MOST: the gates are long saturated there, and products of larger ones could meet as
   infinity minus infinity. NaN stays. */
INLINE int too_large(const real *x, int64_t n) {
  int found = 0;
  for (int64_t k = 0; k < n; k++) found |= (x[k] > MOST) | (x[k] < -MOST);
  return found;
}
INLINE void copy_bounded(real *to, const real *x, int64_t n) { /* padded to whole vectors */
  for (int64_t k = 0; k < n; k += VL)
    store(to + k, -at_least(-at_least(load_some(x + k, (int)least(VL, n - k)), -MOST), -MOST));
}

/* Inputs of the rows b0 to b0 + n of step s, to xs. */
static void gather(const struct run *r, int64_t s, int64_t b0, int64_t n, void *xs) {
  int64_t F = r->features, FQ = pitch_of(F);
  for (int64_t b = b0; b < b0 + n; b++) {
    int64_t from = batch_row(r, b) * r->x_n + batch_step(r, b, s) * r->x_t;
    if (r->tokens)
      ((int64_t *)xs)[b - b0] = ((const int64_t *)r->x)[from];
    else
      copy_bounded((real *)xs + (b - b0) * FQ, (const real *)r->x + from, F);
  }
}

/* One row that is not recorded is read where it lies, if all of it may be taken as it is. */
static int64_t may_lie(const struct job *j, int64_t b0, int64_t b1) {
  const struct run *r = j->r;
  if (r->record || r->tokens || b1 - b0 != 1) return 0;
  const real *row = (const real *)r->x + batch_row(r, b0) * r->x_n;
  for (int64_t t = 0; t < length_of(r, b0); t++)
    if (too_large(row + t * r->x_t, r->features)) return 0;
  return 1;
}

static void forward_piece(void *argument, int64_t piece) {
  struct job *j = argument;
  const struct run *r = j->r;
  int64_t b0 = j->bounds[piece], b1 = j->bounds[piece + 1], mine = b1 - b0;
  int64_t N = r->n, H = r->hidden, NP = panels_of(r), HP = NP * VL, F = r->features, FQ = pitch_of(F);
  int64_t HQ = h_pitch(r), P = j->start[j->steps], lstm = r->cell == LSTM;
  int64_t in_place = may_lie(j, b0, b1);

  real *z, *h, *c, *tanh_c, *xs, *own = 0;
  int64_t history, c_panel; /* rows of h and c that come before the state after the first step; pitch of panels of c */
  if (r->record) {
    z = r->z, h = r->h, c = r->c, tanh_c = r->tanh_c, xs = r->xs;
    history = N, c_panel = (N + P) * VL;
  } else {
    int64_t most = 0;
    for (int64_t s = 0, e; s < j->steps && running(j, s, b0, b1); s = e) {
      e = chunk_end(j->start, j->steps, s);
      if (j->start[e] - j->start[s] > most) most = j->start[e] - j->start[s];
    }
    int64_t z_size = (most + 1) * NP * 4 * VL, x_row = r->tokens ? 8 / (int64_t)sizeof(real) : FQ;
    int64_t x_size = in_place ? 0 : most * x_row;
    own = scratch_of(z_size + x_size + mine * (2 * HQ + HP));
    if (!own) {
      j->failed = OUT_OF_MEMORY;
      return;
    }
    z = own, h = z + z_size, c = h + 2 * mine * HQ, xs = c + mine * HP, tanh_c = c;
    history = 0, c_panel = mine * VL;
  }

  int64_t first = r->record ? b0 : 0; /* of my rows, in h and c */
  for (int64_t b = b0; b < b1; b++) {
    int64_t row = batch_row(r, b), length = length_of(r, b);
    fill_padded(h + (first + b - b0) * HQ, (const real *)r->h0 + row * H, H, HP);
    if (lstm) fill_panels(c + (first + b - b0) * VL, c_panel, (const real *)r->c0 + row * H, H);
    for (int64_t t = length; t < r->t; t++)
      memset((real *)r->y + row * r->y_n + t * r->y_t, 0, (size_t)H * sizeof(real));
    if (!length) {
      memcpy((real *)r->h_n + row * H, (const real *)r->h0 + row * H, (size_t)H * sizeof(real));
      if (lstm) memcpy((real *)r->c_n + row * H, (const real *)r->c0 + row * H, (size_t)H * sizeof(real));
    }
  }

  int64_t chunk = 0;
  for (int64_t s0 = 0, s1; s0 < j->steps && running(j, s0, b0, b1); s0 = s1, chunk++) {
    s1 = chunk_end(j->start, j->steps, s0);
    int64_t base = j->start[s0], z_panel = (j->start[s1] - base + 1) * 4 * VL;
    real *z_chunk = r->record ? z + (base + chunk) * NP * 4 * VL : z;
    real *x_chunk = r->record ? (real *)((char *)xs + base * (r->tokens ? 8 : FQ * (int64_t)sizeof(real))) : xs;
#define X_AT(row) (r->tokens ? (real *)((int64_t *)x_chunk + (row)) : x_chunk + (row) * FQ)
    for (int64_t s = s0; s < s1 && !in_place; s++)
      gather(r, s, b0, running(j, s, b0, b1), X_AT(j->start[s] - base + b0));
    for (int64_t p = 0; p < NP; p++) { /* the part of x, over runs of packed rows that are all mine */
      for (int64_t s = s0, e; s < s1; s = e) {
        int64_t from = j->start[s] - base + b0, to = from + running(j, s, b0, b1);
        for (e = s + 1; e < s1 && j->start[e] - base + b0 == to; e++) to += running(j, e, b0, b1);
        if (to == from) continue;
        real *to_z = z_chunk + p * z_panel + from * 4 * VL;
        if (r->tokens)
          project_tokens(r, to - from, (const int64_t *)x_chunk + from, p, to_z);
        else if (in_place)
          project_rows(r, to - from,
                       (const real *)r->x + batch_row(r, b0) * r->x_n + batch_step(r, b0, s) * r->x_t,
                       r->reverse ? -r->x_t : r->x_t, p, to_z);
        else
          project_rows(r, to - from, X_AT(from), FQ, p, to_z);
      }
    }
    for (int64_t s = s0; s < s1; s++) {
      int64_t n = running(j, s, b0, b1), after = running(j, s + 1, b0, b1);
      if (!n) break;
      int64_t before = r->record ? (s ? history + j->start[s - 1] : 0) + b0 : s % 2 * mine;
      int64_t now = r->record ? history + j->start[s] + b0 : (s + 1) % 2 * mine;
      int64_t c_before = r->record ? before : 0, c_now = r->record ? now : 0;
      struct place at = {
          .h_before = h + before * HQ, .h = h + now * HQ, .h_row = HQ,
          .z = z_chunk + (j->start[s] - base + b0) * 4 * VL, .z_panel = z_panel,
          .c_panel = c_panel, .record = r->record != 0,
      };
      if (lstm) at.c_before = c + c_before * VL, at.c = c + c_now * VL, at.tanh_c = tanh_c + c_now * VL;
      step_rows(r, n, at, s & 1);
      for (int64_t b = b0; b < b0 + n; b++) {
        int64_t row = batch_row(r, b);
        const real *h_row = h + (now + b - b0) * HQ;
        memcpy((real *)r->y + row * r->y_n + batch_step(r, b, s) * r->y_t, h_row, (size_t)H * sizeof(real));
        if (b - b0 < after) continue;
        memcpy((real *)r->h_n + row * H, h_row, (size_t)H * sizeof(real));
        if (lstm) read_panels((real *)r->c_n + row * H, c + (c_now + b - b0) * VL, c_panel, H);
      }
    }
  }
  free(own);
}

/* Cut the rows into at most `threads` pieces of about equal work, and return how many. */
static int64_t cut(struct job *j, int64_t threads) {
  const struct run *r = j->r;
  int64_t P = j->start[j->steps], work = P * GATES(r) * r->hidden * (r->features + r->hidden);
  int64_t pieces = least(least(threads, 64), r->n / FEWEST_ROWS);
  if (work < FEWEST_WORK || pieces < 1) pieces = 1;
  int64_t b = 0, done = 0;
  for (int64_t i = 0; i < pieces; i++) {
    j->bounds[i] = b;
    while (b < r->n && (i == pieces - 1 || done + length_of(r, b) / 2 < P * (i + 1) / pieces))
      done += length_of(r, b++);
  }
  j->bounds[pieces] = r->n;
  return pieces;
}

static int forward(const struct run *r) {
  struct job j;
  if (begin(&j, r)) return OUT_OF_MEMORY;
  int64_t pieces = cut(&j, r->threads);
  compuerta_parallel(pieces, r->threads, forward_piece, &j);
  free(j.start);
  return j.failed;
}

#include "backward.h"

/* ---- looking at the tape ----------------------------------------------------------------------------------------- */

static int read_tape(const struct run *r, int64_t what, void *out) {
  int64_t N = r->n, T = r->t, H = r->hidden, NP = panels_of(r), P = r->rows;
  struct job j;
  if (begin(&j, r)) return OUT_OF_MEMORY;
  memset(out, 0, (size_t)(N * T * H) * sizeof(real));
  for (int64_t s0 = 0, s1, chunk = 0; s0 < j.steps; s0 = s1, chunk++) {
    s1 = chunk_end(j.start, j.steps, s0);
    int64_t base = j.start[s0], z_rows = j.start[s1] - base + 1;
    const real *z = (const real *)r->z + ((base + chunk) * NP * 4 + what) * VL;
    for (int64_t s = s0; s < s1; s++)
      for (int64_t row = j.start[s]; row < j.start[s + 1]; row++) {
        int64_t b = row - j.start[s];
        real *to = (real *)out + (batch_row(r, b) * T + batch_step(r, b, s)) * H;
        if (what == 4)
          memcpy(to, (const real *)r->h + (N + row) * h_pitch(r), (size_t)H * sizeof(real));
        else if (what == 5)
          read_panels(to, (const real *)r->c + (N + row) * VL, (N + P) * VL, H);
        else
          read_panels(to, z + (row - base) * 4 * VL, z_rows * 4 * VL, H);
      }
  }
  free(j.start);
  return 0;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* scratch: h [2][N][HP], c [NP][N][VL], z [NP][N][4][VL], x [N][F rounded up to whole vectors] */
static int64_t step_size(const struct run *r) {
  return r->n * (7 * panels_of(r) * VL + (r->tokens ? 0 : rounded(r->features))) * (int64_t)sizeof(real);
}

static void step_layer(const struct run *r) {
  int64_t n = r->n, H = r->hidden, NP = panels_of(r), HP = NP * VL, lstm = r->cell == LSTM;
  real *h = r->scratch, *c = h + 2 * n * HP, *z = c + n * HP;
  real *x = z + n * 4 * HP;
  int64_t z_panel = n * 4 * VL, x_row = rounded(r->features);
  for (int64_t b = 0; b < n; b++) {
    if (!r->tokens) copy_bounded(x + b * x_row, (const real *)r->x + b * r->x_n, r->features);
    fill_padded(h + b * HP, (const real *)r->h_n + b * H, H, HP);
    if (lstm) fill_panels(c + b * VL, n * VL, (const real *)r->c_n + b * H, H);
  }
  struct place at = {.h_before = h, .h = h + n * HP, .h_row = HP, .z = z, .z_panel = z_panel, .c_panel = n * VL};
  if (lstm) at.c_before = at.c = at.tanh_c = c;
  if (n == 1 && !r->tokens)
    step_one(r, at, x, 0);
  else {
    for (int64_t p = 0; p < NP; p++) {
      if (r->tokens)
        project_tokens(r, n, r->x, p, z + p * z_panel);
      else
        project_rows(r, n, x, x_row, p, z + p * z_panel);
    }
    step_rows(r, n, at, 0);
  }
  for (int64_t b = 0; b < n; b++) {
    memcpy((real *)r->h_n + b * H, h + (n + b) * HP, (size_t)H * sizeof(real));
    if (lstm) read_panels((real *)r->c_n + b * H, c + b * VL, n * VL, H);
  }
}

static void step_stack(const struct run *r) {
  for (; r; r = r->above) step_layer(r);
}

/* ---- around the recurrence --------------------------------------------------------------------------------------- */

#include "training.h"
#include "dense.h"
#include "measure.h"

#define NAME_(isa, bits) kernel_##isa##_##bits
#define NAME(isa, bits) NAME_(isa, bits)
const struct kernel NAME(COMPUERTA_ISA, COMPUERTA_BITS) = {
    .lanes = VL, .plan = plan, .pack = pack, .pack_back = pack_back, .forward = forward, .backward = backward,
    .read = read_tape, .step_size = step_size, .step = step_stack,
    .peak = peak, .bandwidth = bandwidth, .activate = activate,
    .cross_entropy = cross_entropy, .adam = adam, .sum_of_squares = sum_of_squares, .all_finite = all_finite,
    .dense = dense, .dense_back = dense_back, .dense_cross_entropy = dense_cross_entropy,
};
