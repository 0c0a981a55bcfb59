/* The weights in the engine's own order: panels of VL units for the way forward, tiles of columns for the way back.
   Part of kernel.c. */

/* to[k to_row + i] = from[i from_row + k], and zero for i from `rows` to `width`; in squares, so that lines read are
   lines used. */
NOINLINE void turn(const real *from, int64_t from_row, int64_t rows, int64_t columns, real *to, int64_t to_row,
                   int64_t width) {
  for (int64_t k0 = 0; k0 < columns; k0 += 16)
    for (int64_t i = 0; i < width; i++)
      for (int64_t k = k0; k < least(k0 + 16, columns); k++) to[k * to_row + i] = i < rows ? from[i * from_row + k] : 0;
}

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
  for (int64_t g = 0; g < G; g++)
    turn(j->w + (block_of(r, g) * H + p * VL) * k, k, units, k, j->to + (p * k * G + g) * VL, G * VL, VL);
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
