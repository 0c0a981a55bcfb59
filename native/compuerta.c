/* Which instruction set runs, and the functions that the outside calls. */
#include "compuerta.h"
#include "subnormals.h"

#include <stdio.h>
#include <string.h>

/* What was built: COMPUERTA_X86 says all three of x86-64; else COMPUERTA_ISA names the only one. */
#if defined(COMPUERTA_X86)
#define EACH(do) do(avx512) do(avx2) do(base)
#else
#define EACH(do) do(COMPUERTA_ISA)
#endif

struct isa {
  const char *name;
  const struct kernel *narrow, *wide; /* float and double */
};

#define DECLARE_(isa) extern const struct kernel kernel_##isa##_32, kernel_##isa##_64;
#define DECLARE(isa) DECLARE_(isa)
EACH(DECLARE)
#define LIST_(isa) {#isa, &kernel_##isa##_32, &kernel_##isa##_64},
#define LIST(isa) LIST_(isa)
static const struct isa isas[] = {EACH(LIST)};
enum { ISAS = sizeof isas / sizeof *isas };

static int runs_here(const char *name) {
#if defined(COMPUERTA_X86)
  __builtin_cpu_init();
  int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
  if (!strcmp(name, "avx2")) return v3;
  if (!strcmp(name, "avx512"))
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#endif
  (void)name;
  return 1;
}

/* Those that run here, best first. Filled by whoever comes first; coming twice does no harm. */
static const struct isa *here[ISAS];
static int64_t count_here;

static int64_t look(void) {
  if (!count_here) {
    int64_t n = 0;
    for (int i = 0; i < ISAS; i++)
      if (runs_here(isas[i].name)) here[n++] = &isas[i];
    count_here = n;
  }
  return count_here;
}

static const struct kernel *kernel_of(int64_t isa, int64_t bits) {
  const struct isa *one = here[isa < look() && isa > 0 ? isa : 0];
  return bits == 64 ? one->wide : one->narrow;
}
#define KERNEL(l) kernel_of((l)->isa, (l)->bits)

const char *compuerta_isas(void) {
  static char names[64];
  char text[64] = "";
  for (int64_t i = 0; i < look(); i++) {
    size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, "%s%s", at ? " " : "", here[i]->name);
  }
  memcpy(names, text, sizeof names);
  return names;
}

int64_t compuerta_interface(void) { return INTERFACE; }
int64_t compuerta_lanes(int64_t isa, int64_t bits) { return kernel_of(isa, bits)->lanes; }

void compuerta_pack(const struct layer *l, const struct parameters *from, const struct weights *to, int64_t threads) {
  KERNEL(l)->pack(l, from, to, threads);
}
void compuerta_pack_back(const struct layer *l, const struct parameters *from, const struct weights *to, int64_t tokens,
                         int64_t threads) {
  KERNEL(l)->pack_back(l, from, to, tokens, threads);
}
int compuerta_plan(const struct forward *f, struct tape *tape) { return KERNEL(f->layer)->plan(f, tape); }
int compuerta_forward(const struct forward *f) {
  FLUSHED;
  return KERNEL(f->layer)->forward(f);
}
int compuerta_call(const struct forward *block, int64_t n, int64_t t, int64_t threads, const void *x, void *y, void *h_n,
                   void *c_n) {
  FLUSHED;
  return KERNEL(block->layer)->call(block, n, t, threads, x, y, h_n, c_n);
}
int compuerta_backward(const struct backward *b) {
  FLUSHED;
  return KERNEL(b->forward->layer)->backward(b);
}
int compuerta_read(const struct forward *f, int64_t what, void *out) { return KERNEL(f->layer)->read(f, what, out); }
int64_t compuerta_step_size(const struct step *s) { return KERNEL(s->layer)->step_size(s); }
void compuerta_step(const struct step *s) {
  FLUSHED;
  KERNEL(s->layer)->step(s);
}
int compuerta_cross_entropy(int64_t isa, int64_t bits, int64_t rows, int64_t classes, const void *logits,
                            const int64_t *targets, const uint8_t *keep, double scale, void *gradient, double *total,
                            int64_t threads) {
  FLUSHED;
  return kernel_of(isa, bits)->cross_entropy(rows, classes, logits, targets, keep, scale, gradient, total, threads);
}
void compuerta_adam(int64_t isa, int64_t bits, const struct adam_step *s, int64_t threads) {
  FLUSHED;
  kernel_of(isa, bits)->adam(s, threads);
}
double compuerta_sum_of_squares(int64_t isa, int64_t bits, const void *numbers, int64_t n, int64_t threads) {
  FLUSHED;
  return kernel_of(isa, bits)->sum_of_squares(numbers, n, threads);
}
int compuerta_all_finite(int64_t isa, int64_t bits, const void *numbers, int64_t n, int64_t threads) {
  return kernel_of(isa, bits)->all_finite(numbers, n, threads);
}
int compuerta_dense(int64_t isa, int64_t bits, const struct dense *d, int64_t threads) {
  FLUSHED;
  return kernel_of(isa, bits)->dense(d, threads);
}
int compuerta_dense_back(int64_t isa, int64_t bits, const struct dense *d, int64_t threads) {
  FLUSHED;
  return kernel_of(isa, bits)->dense_back(d, threads);
}
int compuerta_dense_cross_entropy(int64_t isa, int64_t bits, const struct dense *d, int64_t threads) {
  FLUSHED;
  return kernel_of(isa, bits)->dense_cross_entropy(d, threads);
}

double compuerta_peak(int64_t isa, int64_t bits, double seconds) { return kernel_of(isa, bits)->peak(seconds); }
double compuerta_bandwidth(int64_t isa, void *buffer, int64_t bytes, double seconds) {
  return kernel_of(isa, 32)->bandwidth(buffer, bytes, seconds);
}
void compuerta_activate(int64_t isa, int64_t bits, int64_t what, void *numbers, int64_t n) {
  kernel_of(isa, bits)->activate(what, numbers, n);
}
