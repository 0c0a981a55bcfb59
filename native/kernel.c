/* The recurrences for one instruction set and one width of number: compuerta.h has every buffer, README.md the
   equations. In order: products, one step, the way forward, the way back, gradients of the weights, the tape, streams, what stands
   around the recurrence, measuring. */
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

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* Public block of a slot: f i o g stand at 1 0 3 2 of i f g o; r z n stay, and q has the weights of n. */
static int64_t block_of(const struct run *r, int64_t slot) {
  static const int64_t lstm[] = {1, 0, 3, 2}, gru[] = {0, 1, 2, 2};
  return (r->cell == GRU ? gru : lstm)[slot];
}

/* Weights (G H, k) and where they go. */
struct packing {
  const struct run *r;
  const real *w;
  int64_t k;
  real *to;
};

static void pack_panel(void *argument, int64_t p) {
  const struct packing *j = argument;
  const struct run *r = j->r;
  int64_t G = GATES(r), H = r->hidden, k = j->k, units = least(VL, H - p * VL);
  for (int64_t g = 0; g < G; g++) {
    const real *from = j->w + (block_of(r, g) * H + p * VL) * k;
    real *out = j->to + (p * k * G + g) * VL;
    for (int64_t j0 = 0; j0 < k; j0 += 16) /* in squares, so that lines read are lines used */
      for (int64_t v = 0; v < VL; v++)
        for (int64_t i = j0; i < least(j0 + 16, k); i++) out[i * G * VL + v] = v < units ? from[v * k + i] : 0;
  }
}

/* Threads for work on so many numbers, each handled once. */
static int64_t threads_for(const struct run *r, int64_t numbers) { return numbers < FEWEST_WORK / 20 ? 1 : r->threads; }

static void pack_panels(const struct run *r, const real *w, int64_t k, real *to) {
  struct packing j = {r, w, k, to};
  compuerta_parallel(panels_of(r), threads_for(r, GATES(r) * r->hidden * k), pack_panel, &j);
}

static void pack(const struct run *r) {
  int64_t H = r->hidden;
  pack_panels(r, r->w_x, r->features, r->x_panels);
  pack_panels(r, r->w_h, H, r->h_panels);
  pack_panels(r, r->b, 1, r->bias_panels);
  if (r->cell == GRU)
    for (int64_t u = 0; u < panels_of(r) * VL; u++)
      ((real *)r->bias_hn_panels)[u] = u < H ? ((const real *)r->b_hn)[u] : 0;
}

static void pack_tile(void *argument, int64_t tile) {
  const struct packing *j = argument;
  const struct run *r = j->r;
  int64_t G = GATES(r), H = r->hidden, NP = panels_of(r), columns = j->k, c = tile * 4 * VL;
  int64_t valid = least(4 * VL, columns - c), width = rounded(valid);
  real *to = j->to + c * NP * G * VL;
  for (int64_t p = 0; p < NP; p++)
    for (int64_t g = 0; g < G; g++)
      for (int64_t v = 0; v < VL; v++, to += width) {
        memset(to, 0, (size_t)width * sizeof(real));
        if (p * VL + v < H)
          memcpy(to, j->w + (block_of(r, g) * H + p * VL + v) * columns + c, (size_t)valid * sizeof(real));
      }
}

static void pack_columns(const struct run *r, const real *w, int64_t columns, real *to) {
  struct packing j = {r, w, columns, to};
  compuerta_parallel((columns + 4 * VL - 1) / (4 * VL), threads_for(r, GATES(r) * r->hidden * columns), pack_tile, &j);
}

static void pack_back(const struct run *r) {
  if (!r->tokens) pack_columns(r, r->w_x, r->features, r->x_back);
  pack_columns(r, r->w_h, r->hidden, r->h_back);
}

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

INLINE void project(const int rows, const int gates, const real *x, int64_t x_row, int64_t F, const real *w,
                    const real *bias, real *z) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < gates; g++) a[i][g] = load(bias + g * VL);
  multiply(rows, gates, a, x, x_row, 1, F, w, gates * VL);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < gates; g++) store(z + (i * 4 + g) * VL, a[i][g]);
}

#define PROJECT(n, gates)                                                                              \
  NOINLINE void project_##gates##_##n(const real *x, int64_t x_row, int64_t F, const real *w,          \
                                      const real *bias, real *z) {                                     \
    project(n, gates, x, x_row, F, w, bias, z);                                                        \
  }
PROJECT(1, 4) PROJECT(2, 4) PROJECT(3, 4) PROJECT(1, 3) PROJECT(2, 3) PROJECT(3, 3) PROJECT(4, 3)
#if ROWS == 6
PROJECT(4, 4) PROJECT(5, 4) PROJECT(6, 4) PROJECT(5, 3) PROJECT(6, 3) PROJECT(7, 3) PROJECT(8, 3)
#endif

typedef void project_tile(const real *, int64_t, int64_t, const real *, const real *, real *);
#if ROWS == 6
static project_tile *const project_tiles[] = {project_4_1, project_4_2, project_4_3,
                                              project_4_4, project_4_5, project_4_6};
static project_tile *const project_tiles_3[] = {project_3_1, project_3_2, project_3_3, project_3_4,
                                                project_3_5, project_3_6, project_3_7, project_3_8};
#else
static project_tile *const project_tiles[] = {project_4_1, project_4_2, project_4_3};
static project_tile *const project_tiles_3[] = {project_3_1, project_3_2, project_3_3, project_3_4};
#endif

/* z of n rows and one panel. */
static void project_rows(const struct run *r, int64_t n, const real *x, int64_t x_row, int64_t p, real *z) {
  int64_t F = r->features, G = GATES(r), most = G == 4 ? ROWS : ROWS_3;
  const real *w = (const real *)r->x_panels + p * F * G * VL, *bias = (const real *)r->bias_panels + p * G * VL;
  project_tile *const *tile = G == 4 ? project_tiles : project_tiles_3;
  FOR_TILES(n, most)
    tile[take - 1](x + at * x_row, x_row, F, w, bias, z + at * 4 * VL);
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

INLINE void step(const int rows, const int gates, struct place s, int64_t H, const real *w, const real *bias_hn) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) a[i][g] = load(gates == 3 && g == 2 ? bias_hn : s.z + (i * 4 + g) * VL);
  multiply(rows, gates, a, s.h_before, s.h_row, 1, H, w, gates * VL);
  UNROLL for (int i = 0; i < rows; i++) cell(gates, a[i], s, i);
}

#define STEP(n, gates)                                                                              \
  NOINLINE void step_##gates##_##n(struct place s, int64_t H, const real *w, const real *bias_hn) { \
    step(n, gates, s, H, w, bias_hn);                                                               \
  }
STEP(1, 4) STEP(2, 4) STEP(3, 4) STEP(1, 3) STEP(2, 3) STEP(3, 3) STEP(4, 3)
#if ROWS == 6
STEP(4, 4) STEP(5, 4) STEP(6, 4) STEP(5, 3) STEP(6, 3) STEP(7, 3) STEP(8, 3)
#endif

typedef void step_tile(struct place, int64_t, const real *, const real *);
#if ROWS == 6
static step_tile *const step_tiles[] = {step_4_1, step_4_2, step_4_3, step_4_4, step_4_5, step_4_6};
static step_tile *const step_tiles_3[] = {step_3_1, step_3_2, step_3_3, step_3_4,
                                          step_3_5, step_3_6, step_3_7, step_3_8};
#else
static step_tile *const step_tiles[] = {step_4_1, step_4_2, step_4_3};
static step_tile *const step_tiles_3[] = {step_3_1, step_3_2, step_3_3, step_3_4};
#endif

/* One row, several panels at once. With x, its part is summed here too, in the same order; else it is in z. */
INLINE void step_row(const int panels, const int gates, const struct run *r, struct place s, const real *x) {
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

#define STEP_ROW(gates, name, panels)                                                              \
  NOINLINE void step_##name##_##gates(const struct run *r, struct place s, const real *x) { \
    step_row(panels, gates, r, s, x);                                                       \
  }
STEP_ROW(4, panel, 1) STEP_ROW(3, panel, 1) STEP_ROW(4, panels, PANELS) STEP_ROW(3, panels, PANELS)

/* One row, all panels; every second step from the last to the first, so that what was read last is read first. */
static void step_one(const struct run *r, struct place s, const real *x, int back) {
  int64_t NP = panels_of(r);
  for (int64_t left = NP; left;) {
    int64_t take = left >= PANELS ? PANELS : 1, p = back ? left - take : NP - left;
    struct place here = at_panel(s, p);
    if (GATES(r) == 4)
      (take == 1 ? step_panel_4 : step_panels_4)(r, here, x);
    else
      (take == 1 ? step_panel_3 : step_panels_3)(r, here, x);
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
      tile[take - 1](at_row(here, at), H, w, bias_hn);
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

/* ---- the way back ------------------------------------------------------------------------------------------------ */

/* to (rows x `vectors`) = dz of n rows and all panels times one tile of the weights for the way back, added to what
   is there if `add`. Of a record's four slots those before `skip` count and, if fewer than `gates`, those after it. */
INLINE void back(const int rows, const int vectors, const real *dz, int64_t z_panel, int64_t NP, int64_t gates,
                 int64_t skip, const real *w, int add, real *const *to, int64_t units) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int v = 0; v < vectors; v++) a[i][v] = add ? load(to[i] + v * VL) : (vec){0};
  int64_t width = vectors * VL;
  for (int64_t p = 0; p < NP; p++, dz += z_panel) {
    multiply(rows, vectors, a, dz, 4 * VL, 1, skip * VL, w, width);
    w += skip * VL * width;
    if (skip == gates) continue;
    multiply(rows, vectors, a, dz + (skip + 1) * VL, 4 * VL, 1, (gates - skip) * VL, w, width);
    w += (gates - skip) * VL * width;
  }
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int v = 0; v < vectors; v++)
      if (units > v * VL) store_some(to[i] + v * VL, a[i][v], (int)least(VL, units - v * VL));
}

#define BACK(n, vectors)                                                                                              \
  NOINLINE void back_##vectors##_##n(const real *dz, int64_t z_panel, int64_t NP, int64_t gates, int64_t skip,        \
                                     const real *w, int add, real *const *to, int64_t units) {                        \
    back(n, vectors, dz, z_panel, NP, gates, skip, w, add, to, units);                                                \
  }
#define BACK_ALL(n) BACK(n, 1) BACK(n, 2) BACK(n, 3) BACK(n, 4)
BACK_ALL(1) BACK_ALL(2) BACK_ALL(3)
#if ROWS == 6
BACK_ALL(4) BACK_ALL(5) BACK_ALL(6)
#endif

typedef void back_tile(const real *, int64_t, int64_t, int64_t, int64_t, const real *, int, real *const *, int64_t);
static back_tile *const back_tiles[4][ROWS] = {
#if ROWS == 6
#define BACK_ROW(v) {back_##v##_1, back_##v##_2, back_##v##_3, back_##v##_4, back_##v##_5, back_##v##_6}
#else
#define BACK_ROW(v) {back_##v##_1, back_##v##_2, back_##v##_3}
#endif
    BACK_ROW(1), BACK_ROW(2), BACK_ROW(3), BACK_ROW(4)};

/* n rows: to[i], the i-th of them, gets `columns` numbers. */
static void back_rows(int64_t n, const real *dz, int64_t z_panel, int64_t NP, int64_t G, int64_t skip, const real *w,
                      int64_t columns, int add, real *const *to) {
  for (int64_t c = 0; c < columns; c += 4 * VL) {
    int64_t vectors = least(4, (columns - c + VL - 1) / VL);
    FOR_TILES(n, ROWS) {
      real *rows[ROWS];
      for (int64_t i = 0; i < take; i++) rows[i] = to[at + i] + c;
      back_tiles[vectors - 1][take - 1](dz + at * 4 * VL, z_panel, NP, G, skip, w + c * NP * G * VL, add, rows,
                                        columns - c);
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
      if (n) back_rows(n, dz, z_panel, NP, GATES(r), lstm ? 4 : 2, r->h_back, H, !lstm, to);
      if (!r->dx || !n) continue;
      for (int64_t i = 0; i < n; i++)
        to[i] = (real *)r->dx + batch_row(r, b0 + i) * r->dx_n + batch_step(r, b0 + i, s) * r->dx_t;
      back_rows(n, dz, z_panel, NP, GATES(r), lstm ? 4 : 3, r->x_back, F, 0, to);
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
                  int64_t K, const real *restrict dz, int add, real *restrict c) {
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
    inputs += pitch, dz += 4 * VL;
  }
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) store(c + (i * gates + g) * VL, a[i][g]);
}

#define OUTER(n, name, gates, third)                                                                                  \
  NOINLINE void outer_##name##_##n(const real *inputs, int64_t pitch, int64_t K, const real *dz, int add, real *c) { \
    outer(n, gates, third, inputs, pitch, K, dz, add, c);                                                            \
  }
#define OUTER_ALL(n) OUTER(n, x4, 4, 2) OUTER(n, x3, 3, 2) OUTER(n, h3, 3, 3)
OUTER_ALL(1) OUTER_ALL(2) OUTER_ALL(3) OUTER(4, x3, 3, 2) OUTER(4, h3, 3, 3)
#if ROWS == 6
OUTER(4, x4, 4, 2) OUTER(5, x4, 4, 2) OUTER(6, x4, 4, 2)
OUTER(5, x3, 3, 2) OUTER(6, x3, 3, 2) OUTER(7, x3, 3, 2) OUTER(8, x3, 3, 2)
OUTER(5, h3, 3, 3) OUTER(6, h3, 3, 3) OUTER(7, h3, 3, 3) OUTER(8, h3, 3, 3)
#define OUTER_ROW(name) {outer_##name##_1, outer_##name##_2, outer_##name##_3, outer_##name##_4, \
                         outer_##name##_5, outer_##name##_6, outer_##name##_7, outer_##name##_8}
#define OUTER_ROW_4 {outer_x4_1, outer_x4_2, outer_x4_3, outer_x4_4, outer_x4_5, outer_x4_6, 0, 0}
#else
#define OUTER_ROW(name) {outer_##name##_1, outer_##name##_2, outer_##name##_3, outer_##name##_4}
#define OUTER_ROW_4 {outer_x4_1, outer_x4_2, outer_x4_3, 0}
#endif
typedef void outer_tile(const real *, int64_t, int64_t, const real *, int, real *);
static outer_tile *const outer_tiles[3][ROWS_3] = {OUTER_ROW_4, OUTER_ROW(x3), OUTER_ROW(h3)};

/* dw's rows of panel p, from sums [columns][G][VL]. */
static void unpack_panel(const struct run *r, int64_t p, const real *sums, int64_t columns, real *dw) {
  int64_t H = r->hidden, G = GATES(r), units = least(VL, H - p * VL);
  for (int64_t g = 0; g < G; g++) {
    real *to = dw + (block_of(r, g) * H + p * VL) * columns;
    for (int64_t m0 = 0; m0 < columns; m0 += 16)
      for (int64_t v = 0; v < units; v++)
        for (int64_t m = m0; m < least(m0 + 16, columns); m++) to[v * columns + m] = sums[(m * G + g) * VL + v];
  }
}

/* The rows of dw_h (`recurrent`) or dw_x that belong to panel p. */
static int weights_piece(const struct job *j, int64_t p, int recurrent) {
  const struct run *r = j->r;
  int64_t NP = panels_of(r), G = GATES(r), N = r->n, tall = G == 4 ? ROWS : ROWS_3;
  int64_t columns = recurrent ? r->hidden : r->features, pitch = recurrent ? h_pitch(r) : pitch_of(columns);
  const real *inputs = recurrent ? r->h : r->xs;
  outer_tile *const *tiles_of = outer_tiles[G == 4 ? 0 : recurrent ? 2 : 1];
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
        tiles_of[take - 1](from + at, pitch, end - first, dz_from, add, sums + at * G * VL);
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

#include "dense.h"
#include "training.h"

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak(double seconds) {
  enum { SUMS = ROWS * 4 };
  vec a[SUMS], x = all((real)0.999), y = all((real)1e-3);
  for (int i = 0; i < SUMS; i++) a[i] = all((real)i);
  double start = now(), spent;
  int64_t loops = 0;
  do {
    for (int k = 0; k < 10000; k++) UNROLL for (int i = 0; i < SUMS; i++) a[i] = a[i] * x + y;
    loops += 10000;
  } while ((spent = now() - start) < seconds);
  vec total = a[0];
  for (int i = 1; i < SUMS; i++) total += a[i];
  volatile real kept = total[0];
  (void)kept;
  return 2.0 * SUMS * VL * (double)loops / spent;
}

static double bandwidth(void *buffer, int64_t bytes, double seconds) {
  const real *p = buffer;
  int64_t numbers = bytes / (int64_t)sizeof(real) / (8 * VL) * (8 * VL), passes = 0;
  if (!numbers) return 0;
  vec a[8] = {{0}};
  double start = now(), spent;
  do {
    for (int64_t k = 0; k < numbers; k += 8 * VL) UNROLL for (int i = 0; i < 8; i++) a[i] += load(p + k + i * VL);
    passes++;
  } while ((spent = now() - start) < seconds);
  vec total = a[0];
  for (int i = 1; i < 8; i++) total += a[i];
  volatile real kept = total[0];
  (void)kept;
  return (double)passes * (double)numbers * sizeof(real) / spent;
}

static void activate(int64_t what, void *numbers, int64_t n) {
  real *p = numbers;
  for (int64_t k = 0; k < n; k += VL) {
    vec x = load_some(p + k, (int)least(VL, n - k));
    store_some(p + k, what ? hyperbolic_tangent(x) : sigmoid(x), (int)least(VL, n - k));
  }
}

#define NAME_(isa, bits) kernel_##isa##_##bits
#define NAME(isa, bits) NAME_(isa, bits)
const struct kernel NAME(COMPUERTA_ISA, COMPUERTA_BITS) = {
    .lanes = VL, .plan = plan, .pack = pack, .pack_back = pack_back, .forward = forward, .backward = backward,
    .read = read_tape, .step_size = step_size, .step = step_stack,
    .peak = peak, .bandwidth = bandwidth, .activate = activate,
    .cross_entropy = cross_entropy, .adam = adam, .sum_of_squares = sum_of_squares,
    .dense = dense, .dense_back = dense_back,
};
