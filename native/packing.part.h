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

/* Public block of a slot: f i o g stand at 1 0 3 2 of i f g o; r z n stay, and q has the weights of n. */
static int64_t block_of(const struct layer *l, int64_t slot) {
  static const int64_t lstm[] = {1, 0, 3, 2}, gru[] = {0, 1, 2, 2};
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

static void pack(const struct layer *l, const struct parameters *from, const struct weights *to, int64_t threads) {
  int64_t G = gates_of(l), H = l->hidden;
  pack_panels(l, from->w_x, l->features, to->x_panels, threads);
  pack_panels(l, from->w_h, H, to->h_panels, threads);
  real *bias = to->bias_panels, *bias_hn = to->bias_hn_panels;
  for (int64_t p = 0; p < panels_of(l); p++)
    for (int64_t g = 0; g < G; g++)
      turn((const real *)from->b + block_of(l, g) * H + p * VL, 1, least(VL, H - p * VL), 1, bias + (p * G + g) * VL, VL,
           VL);
  if (l->cell == GRU) turn(from->b_hn, 1, H, 1, bias_hn, VL, panels_of(l) * VL);
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
  pack_columns(l, from->w_h, l->hidden, to->h_back, threads);
}
