/* Numbers below the smallest normal one (1.2e-38 in float, 2.2e-308 in double) count as zero while the engine computes:
   most processors take a hundred times as long for them, and a state that decays through a silence meets little else.
   Each thread has a mode of its own. */
#ifndef COMPUERTA_SUBNORMALS_H
#define COMPUERTA_SUBNORMALS_H
#include <stdint.h>

#if defined(__x86_64__)
static inline uint64_t float_mode(void) { return __builtin_ia32_stmxcsr(); }
static inline void set_float_mode(uint64_t mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }
#define FLUSH 0x8040u /* results and operands */
#elif defined(__aarch64__)
static inline uint64_t float_mode(void) {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
static inline void set_float_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#define FLUSH (1u << 24)
#else
static inline uint64_t float_mode(void) { return 0; }
static inline void set_float_mode(uint64_t mode) { (void)mode; }
#define FLUSH 0u
#endif

/* Flush from now on, and return the mode before. */
static inline uint64_t flush_subnormals(void) {
  uint64_t before = float_mode();
  if ((before & FLUSH) != FLUSH) set_float_mode(before | FLUSH);
  return before;
}
static inline void restore_float_mode(const uint64_t *before) {
  if ((*before & FLUSH) != FLUSH) set_float_mode(*before);
}
/* Flush to the end of the block, whatever way it is left. */
#define FLUSHED __attribute__((cleanup(restore_float_mode), unused)) const uint64_t mode_before = flush_subnormals()
#endif
