/* Streams: one step at a time, of a stack. Part of kernel.c. */

/* scratch: h [2][N][width of h, HR], c [NP][N][VL], z [NP][N][4][VL], x [N][F], with a projection out [N][HP]; HR and F
   rounded up to whole vectors */
static int64_t step_size(const struct step *s) {
  const struct layer *l = s->layer;
  int64_t x = s->tokens ? 0 : rounded(l->features), out = l->projection ? 1 : 0;
  return s->n * ((5 + out) * panels_of(l) * VL + 2 * rounded(l->output) + x) * (int64_t)sizeof(real);
}

static void step_layer(const struct step *s) {
  const struct layer *l = s->layer;
  int64_t n = s->n, H = l->hidden, P = l->output, NP = panels_of(l), HP = NP * VL, HR = rounded(P);
  int64_t lstm = l->cell == LSTM, z_panel = n * 4 * VL, x_row = rounded(l->features);
  real *h = s->scratch, *c = h + 2 * n * HR, *z = c + n * HP, *x = z + n * 4 * HP;
  real *out = x + (s->tokens ? 0 : n * x_row);
  for (int64_t b = 0; b < n; b++) {
    if (!s->tokens) copy_bounded(x + b * x_row, (const real *)s->x + b * s->x_n, l->features);
    fill_padded(h + b * HR, (const real *)s->h + b * P, P, HR);
    if (lstm) fill_panels(c + b * VL, n * VL, (const real *)s->c + b * H, H);
  }
  struct place at = {.layer = l, .weights = s->weights, .h_before = h, .h = h + n * HR, .h_row = HR,
                     .z = z, .z_panel = z_panel, .c_panel = n * VL, .out = out, .out_row = HP};
  if (lstm) at.c_before = at.c = at.tanh_c = c;
  if (n == 1 && !s->tokens && !l->variant)
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
    memcpy((real *)s->h + b * P, h + (n + b) * HR, (size_t)P * sizeof(real));
    if (lstm) read_panels((real *)s->c + b * H, c + b * VL, n * VL, H);
  }
}

static void step_stack(const struct step *s) {
  for (; s; s = s->above) step_layer(s);
}
