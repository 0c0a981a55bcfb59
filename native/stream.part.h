/* Streams: one step at a time, of a stack. Part of kernel.c. */

/* scratch: h [2][N][HP], c [NP][N][VL], z [NP][N][4][VL], x [N][F rounded up to whole vectors] */
static int64_t step_size(const struct step *s) {
  int64_t x = s->tokens ? 0 : rounded(s->layer->features);
  return s->n * (7 * panels_of(s->layer) * VL + x) * (int64_t)sizeof(real);
}

static void step_layer(const struct step *s) {
  const struct layer *l = s->layer;
  int64_t n = s->n, H = l->hidden, NP = panels_of(l), HP = NP * VL, lstm = l->cell == LSTM;
  real *h = s->scratch, *c = h + 2 * n * HP, *z = c + n * HP, *x = z + n * 4 * HP;
  int64_t z_panel = n * 4 * VL, x_row = rounded(l->features);
  for (int64_t b = 0; b < n; b++) {
    if (!s->tokens) copy_bounded(x + b * x_row, (const real *)s->x + b * s->x_n, l->features);
    fill_padded(h + b * HP, (const real *)s->h + b * H, H, HP);
    if (lstm) fill_panels(c + b * VL, n * VL, (const real *)s->c + b * H, H);
  }
  struct place at = {.layer = l, .weights = s->weights, .h_before = h, .h = h + n * HP, .h_row = HP,
                     .z = z, .z_panel = z_panel, .c_panel = n * VL};
  if (lstm) at.c_before = at.c = at.tanh_c = c;
  if (n == 1 && !s->tokens)
    step_one(&at, x, 0);
  else {
    for (int64_t p = 0; p < NP; p++) {
      if (s->tokens)
        project_tokens(l, s->weights, n, s->x, p, z + p * z_panel);
      else
        project_rows(l, s->weights, n, x, x_row, p, z + p * z_panel);
    }
    step_rows(&at, n, 0);
  }
  for (int64_t b = 0; b < n; b++) {
    memcpy((real *)s->h + b * H, h + (n + b) * HP, (size_t)H * sizeof(real));
    if (lstm) read_panels((real *)s->c + b * H, c + b * VL, n * VL, H);
  }
}

static void step_stack(const struct step *s) {
  for (; s; s = s->above) step_layer(s);
}
