/* Sizes, which packed row is what, and how a batch is cut into pieces of work. Part of kernel.c. */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t rounded(int64_t n) { return (n + VL - 1) / VL * VL; }
/* Blocks of the weights: gates and candidate. */
static int64_t gates_of(const struct layer *l) {
  if (l->variant) return 1 + l->input_gate + (l->forget_gate && !l->coupled) + l->output_gate;
  return l->cell == GRU ? 3 : 4;
}
static int64_t rows_of_tile(int64_t gates) { return gates == 3 ? ROWS_3 : ROWS; }
static int64_t panels_of(const struct layer *l) { return (l->hidden + VL - 1) / VL; }

/* Numbers from row to row of what is read down its columns: an odd number of lines, so that the rows spread over the
   cache. */
static int64_t pitch_of(int64_t width) {
  int64_t lines = (width * (int64_t)sizeof(real) + 63) / 64 | 1;
  return lines * 64 / (int64_t)sizeof(real);
}
static int64_t h_pitch(const struct layer *l) { return pitch_of(rounded(l->output)); }
static int64_t out_pitch(const struct layer *l) { return pitch_of(panels_of(l) * VL); }
/* Panels of 4 vectors of what a projection gives. */
static int64_t projected_panels(const struct layer *l) { return (l->output + 4 * VL - 1) / (4 * VL); }
static int64_t projected_width(const struct layer *l, int64_t p) {
  return least(4, (rounded(l->output) / VL) - 4 * p) * VL;
}

static void *scratch_of(int64_t numbers) {
  size_t bytes = ((size_t)numbers * sizeof(real) + 127) / 64 * 64;
  return aligned_alloc(64, bytes);
}

/* ---- which packed row is what ------------------------------------------------------------------------------------ */

static int64_t length_of(const struct forward *f, int64_t b) { return f->length ? f->length[b] : f->t; }
static int64_t batch_row(const struct forward *f, int64_t b) { return f->order ? f->order[b] : b; }
static int64_t batch_step(const struct forward *f, int64_t b, int64_t s) {
  return f->reverse ? length_of(f, b) - 1 - s : s;
}

/* Where chunk from step s ends: whole steps of at most CHUNK rows together, at least one. */
static int64_t chunk_end(const int64_t *start, int64_t steps, int64_t s) {
  int64_t e = s + 1;
  while (e < steps && start[e + 1] - start[s] <= CHUNK) e++;
  return e;
}

/* One call: its steps, and the rows of each piece of work. */
struct job {
  const struct forward *f;
  const struct backward *b; /* on the way back */
  int64_t *start, steps;    /* start[s] is the first packed row of step s; start[steps] is P */
  int64_t bounds[65];       /* piece i has the sorted rows bounds[i] to bounds[i + 1] */
  atomic_int failed;
};

static int begin(struct job *j, const struct forward *f) {
  *j = (struct job){.f = f, .steps = f->n ? length_of(f, 0) : 0};
  j->start = malloc((size_t)(j->steps + 1) * sizeof *j->start);
  if (!j->start) return OUT_OF_MEMORY;
  int64_t count = f->n;
  j->start[0] = 0;
  for (int64_t s = 0; s < j->steps; s++) {
    while (count && length_of(f, count - 1) <= s) count--;
    j->start[s + 1] = j->start[s] + count;
  }
  return 0;
}

static int plan(const struct forward *f, struct tape *tape) {
  struct job j;
  if (begin(&j, f)) return OUT_OF_MEMORY;
  tape->steps = j.steps, tape->rows = j.start[j.steps], tape->chunks = 0;
  for (int64_t s = 0; s < j.steps; s = chunk_end(j.start, j.steps, s)) tape->chunks++;
  free(j.start);
  return 0;
}

/* How many of the rows b0 to b1 run at step s. */
static int64_t running(const struct job *j, int64_t s, int64_t b0, int64_t b1) {
  int64_t count = s < j->steps ? j->start[s + 1] - j->start[s] : 0;
  return least(count, b1) > b0 ? least(count, b1) - b0 : 0;
}

/* Cut the rows into at most `threads` pieces of about equal work, and return how many. */
static int64_t cut(struct job *j, int64_t threads) {
  const struct forward *f = j->f;
  const struct layer *l = f->layer;
  int64_t P = j->start[j->steps], work = P * gates_of(l) * l->hidden * (l->features + l->output);
  int64_t pieces = least(least(threads, 64), f->n / FEWEST_ROWS);
  if (work < FEWEST_WORK || pieces < 1) pieces = 1;
  int64_t b = 0, done = 0;
  for (int64_t i = 0; i < pieces; i++) {
    j->bounds[i] = b;
    while (b < f->n && (i == pieces - 1 || done + length_of(f, b) / 2 < P * (i + 1) / pieces))
      done += length_of(f, b++);
  }
  j->bounds[pieces] = f->n;
  return pieces;
}

/* ---- rows and panels --------------------------------------------------------------------------------------------- */

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
