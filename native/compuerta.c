/* Which variant runs, and the functions that the outside calls. */
#include "compuerta.h"

#include <stdio.h>
#include <string.h>

/* What was built: COMPUERTA_X86 says all three of x86-64; else COMPUERTA_ISA names the only one. */
#if defined(COMPUERTA_X86)
#define EACH(do) do(avx512) do(avx2) do(base)
#else
#define EACH(do) do(COMPUERTA_ISA)
#endif

struct variant {
  const char *name;
  const struct kernel *narrow, *wide; /* float and double */
};

#define DECLARE_(isa) extern const struct kernel kernel_##isa##_32, kernel_##isa##_64;
#define DECLARE(isa) DECLARE_(isa)
EACH(DECLARE)
#define LIST_(isa) {#isa, &kernel_##isa##_32, &kernel_##isa##_64},
#define LIST(isa) LIST_(isa)
static const struct variant variants[] = {EACH(LIST)};
enum { VARIANTS = sizeof variants / sizeof *variants };

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
static const struct variant *here[VARIANTS];
static int64_t found;

static int64_t look(void) {
  if (!found) {
    int64_t n = 0;
    for (int i = 0; i < VARIANTS; i++)
      if (runs_here(variants[i].name)) here[n++] = &variants[i];
    found = n;
  }
  return found;
}

static const struct kernel *kernel_of(int64_t variant, int64_t bits) {
  const struct variant *v = here[variant < look() && variant > 0 ? variant : 0];
  return bits == 64 ? v->wide : v->narrow;
}
#define KERNEL(r) kernel_of((r)->variant, (r)->bits)

const char *compuerta_variants(void) {
  static char names[64];
  char text[64] = "";
  for (int64_t i = 0; i < look(); i++) {
    size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, "%s%s", at ? " " : "", here[i]->name);
  }
  memcpy(names, text, sizeof names);
  return names;
}

int64_t compuerta_lanes(int64_t variant, int64_t bits) { return kernel_of(variant, bits)->lanes; }
int64_t compuerta_run_size(void) { return sizeof(struct run); }
int compuerta_plan(struct run *r) { return KERNEL(r)->plan(r); }
void compuerta_pack(const struct run *r) { KERNEL(r)->pack(r); }
void compuerta_pack_back(const struct run *r) { KERNEL(r)->pack_back(r); }
int compuerta_forward(const struct run *r) { return KERNEL(r)->forward(r); }
int compuerta_backward(const struct run *r) { return KERNEL(r)->backward(r); }
int compuerta_read(const struct run *r, int64_t what, void *out) { return KERNEL(r)->read(r, what, out); }
int64_t compuerta_step_size(const struct run *r) { return KERNEL(r)->step_size(r); }
void compuerta_step(const struct run *r) { KERNEL(r)->step(r); }
double compuerta_peak(int64_t variant, int64_t bits, double seconds) { return kernel_of(variant, bits)->peak(seconds); }
double compuerta_bandwidth(int64_t variant, void *buffer, int64_t bytes, double seconds) {
  return kernel_of(variant, 32)->bandwidth(buffer, bytes, seconds);
}
void compuerta_activate(int64_t variant, int64_t bits, int64_t what, void *numbers, int64_t n) {
  kernel_of(variant, bits)->activate(what, numbers, n);
}
int compuerta_cross_entropy(int64_t variant, int64_t bits, int64_t rows, int64_t classes, const void *logits,
                            const int64_t *targets, const uint8_t *keep, double scale, void *gradient, double *total,
                            int64_t threads) {
  return kernel_of(variant, bits)->cross_entropy(rows, classes, logits, targets, keep, scale, gradient, total, threads);
}
void compuerta_adam(int64_t variant, int64_t bits, const struct adam_step *s, int64_t threads) {
  kernel_of(variant, bits)->adam(s, threads);
}
double compuerta_sum_of_squares(int64_t variant, int64_t bits, const void *numbers, int64_t n, int64_t threads) {
  return kernel_of(variant, bits)->sum_of_squares(numbers, n, threads);
}
int compuerta_all_finite(int64_t variant, int64_t bits, const void *numbers, int64_t n, int64_t threads) {
  return kernel_of(variant, bits)->all_finite(numbers, n, threads);
}
int compuerta_dense(int64_t variant, int64_t bits, const struct dense *d, int64_t threads) {
  return kernel_of(variant, bits)->dense(d, threads);
}
int compuerta_dense_back(int64_t variant, int64_t bits, const struct dense *d, int64_t threads) {
  return kernel_of(variant, bits)->dense_back(d, threads);
}
int compuerta_dense_cross_entropy(int64_t variant, int64_t bits, const struct dense *d, int64_t threads) {
  return kernel_of(variant, bits)->dense_cross_entropy(d, threads);
}
