/* Work in pieces over threads. */
#ifndef COMPUERTA_THREADS_H
#define COMPUERTA_THREADS_H
#include <stdint.h>
/* Call work(argument, i) once for each i in [0, items), by the calling thread and at most threads - 1 others, and
   return when all are done. One call at a time gets the others; a call that finds them busy does all by itself. */
void compuerta_parallel(int64_t items, int64_t threads, void (*work)(void *, int64_t), void *argument);
#endif
