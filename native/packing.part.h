/* The weights in the engine's own order: panels of VL units for the way forward, tiles of columns for the way back.
   Part of kernel.c. */

/* to[k to_row + i] = from[i from_row + k], and zero for i from `rows` to `width`; in squares, so that lines read are
   lines used. */
#define TURN(name, type)                                                                                              \
  NOINLINE void name(const real *from, int64_t from_row, int64_t rows, int64_t columns, type *to, int64_t to_row,     \
                     int64_t width) {                                                                                 \
    for (int64_t k0 = 0; k0 < columns; k0 += 16)                                                                      \
      for (int64_t i = 0; i < width; i++)                                                                             \
        for (int64_t k = k0; k < least(k0 + 16, columns); k++)                                                        \
          to[k * to_row + i] = i < rows ? (type)from[i * from_row + k] : 0;                                           \
  }
TURN(turn, real) TURN(turn_weights, stored)

static void fill_weights(stored *to, const real *from, int64_t valid, int64_t width) {
  for (int64_t k = 0; k < valid; k++) to[k] = (stored)from[k];
  for (int64_t k = valid; k < width; k++) to[k] = 0;
}

/* Which slot each of f i o g has, or -1, and the public block of each slot: i f g o without those that are absent. */
struct slots {
  int64_t f, i, o, g;
  int64_t block[4];
};
static struct slots slots_of(const struct layer *l) {
  int64_t i = !l->variant || l->input_gate, o = !l->variant || l->output_gate;
  int64_t f = !l->variant || (l->forget_gate && !l->coupled);
  struct slots s = {f ? 0 : -1, i ? f : -1, o ? f + i : -1, f + i + o, {0}};
  if (i) s.block[s.i] = 0;
  if (f) s.block[s.f] = i;
  s.block[s.g] = i + f;
  if (o) s.block[s.o] = i + f + 1;
  return s;
}

/* Public block of a slot: f i o g stand at 1 0 3 2 of i f g o; r z n stay, and q has the weights of n. */
static int64_t block_of(const struct layer *l, int64_t slot) {
  static const int64_t lstm[] = {1, 0, 3, 2}, gru[] = {0, 1, 2, 2};
  if (l->variant) return slots_of(l).block[slot];
  return (l->cell == GRU ? gru : lstm)[slot];
}

/* Weights (G H, columns) and where they go. */
struct packing {
  const struct layer *l;
  const real *w;
  int64_t columns;
  stored *to;
};

static void pack_panel(void *argument, int64_t p) {
  const struct packing *j = argument;
  int64_t G = gates_of(j->l), H = j->l->hidden, K = j->columns, units = least(VL, H - p * VL);
  for (int64_t g = 0; g < G; g++)
    turn_weights(j->w + (block_of(j->l, g) * H + p * VL) * K, K, units, K, j->to + (p * K * G + g) * VL, G * VL, VL);
}

/* Threads for work on so many numbers, each handled once. */
static int64_t threads_for(int64_t threads, int64_t numbers) { return numbers < FEWEST_WORK / 20 ? 1 : threads; }

static void pack_panels(const struct layer *l, const void *w, int64_t columns, void *to, int64_t threads) {
  struct packing j = {l, w, columns, to};
  compuerta_parallel(panels_of(l), threads_for(threads, gates_of(l) * l->hidden * columns), pack_panel, &j);
}

/* From i f o, of which some may not be there, to f i o. */
static void pack_peepholes(const struct layer *l, const real *p, real *to) {
  struct slots k = slots_of(l);
  int64_t H = l->hidden, HP = panels_of(l) * VL;
  fill_padded(to + HP, p, k.i < 0 ? 0 : H, HP);
  p += k.i < 0 ? 0 : H;
  fill_padded(to, p, k.f < 0 ? 0 : H, HP);
  p += k.f < 0 ? 0 : H;
  fill_padded(to + 2 * HP, p, k.o < 0 ? 0 : H, HP);
}

static void pack_projection(const struct layer *l, const real *w, stored *to) {
  int64_t H = l->hidden;
  for (int64_t p = 0; p < projected_panels(l); p++) {
    int64_t width = projected_width(l, p), first = p * 4 * VL;
    turn_weights(w + first * H, H, least(width, l->output - first), H, to + first * H, width, width);
  }
}
static void pack_projection_back(const struct layer *l, const real *w, stored *to) {
  int64_t H = l->hidden, P = l->output;
  for (int64_t c = 0; c < H; c += 4 * VL) {
    int64_t valid = least(4 * VL, H - c), width = rounded(valid);
    for (int64_t k = 0; k < rounded(P); k++, to += width) fill_weights(to, w + k * H + c, k < P ? valid : 0, width);
  }
}

static void pack(const struct layer *l, const struct parameters *from, const struct weights *to, int64_t threads) {
  int64_t G = gates_of(l), H = l->hidden;
  pack_panels(l, from->w_x, l->features, to->x_panels, threads);
  pack_panels(l, from->w_h, l->output, to->h_panels, threads);
  real *bias = to->bias_panels, *bias_hn = to->bias_hn_panels;
  for (int64_t p = 0; p < panels_of(l); p++)
    for (int64_t g = 0; g < G; g++)
      turn((const real *)from->b + block_of(l, g) * H + p * VL, 1, least(VL, H - p * VL), 1, bias + (p * G + g) * VL,
           VL, VL);
  if (l->cell == GRU) turn(from->b_hn, 1, H, 1, bias_hn, VL, panels_of(l) * VL);
  if (l->peepholes) pack_peepholes(l, from->peepholes, to->peephole_panels);
  if (l->projection) pack_projection(l, from->w_hr, to->hr_panels);
}

static void pack_tile(void *argument, int64_t tile) {
  const struct packing *j = argument;
  int64_t G = gates_of(j->l), H = j->l->hidden, NP = panels_of(j->l), columns = j->columns, c = tile * 4 * VL;
  int64_t valid = least(4 * VL, columns - c), width = rounded(valid);
  stored *to = j->to + c * NP * G * VL;
  for (int64_t p = 0; p < NP; p++)
    for (int64_t g = 0; g < G; g++)
      for (int64_t v = 0; v < VL; v++, to += width) {
        const real *row = j->w + (block_of(j->l, g) * H + p * VL + v) * columns + c;
        fill_weights(to, row, p * VL + v < H ? valid : 0, width);
      }
}

static void pack_columns(const struct layer *l, const void *w, int64_t columns, void *to, int64_t threads) {
  struct packing j = {l, w, columns, to};
  threads = threads_for(threads, gates_of(l) * l->hidden * columns);
  compuerta_parallel((columns + 4 * VL - 1) / (4 * VL), threads, pack_tile, &j);
}

static void pack_back(const struct layer *l, const struct parameters *from, const struct weights *to, int64_t tokens,
                      int64_t threads) {
  if (!tokens) pack_columns(l, from->w_x, l->features, to->x_back, threads);
  pack_columns(l, from->w_h, l->output, to->h_back, threads);
  if (l->projection) pack_projection_back(l, from->w_hr, to->hr_back);
}
