/* The recurrences for one instruction set and one width of number: compuerta.h has every buffer, README.md the
   equations. The files *.part.h are parts of this one, in this order; each may use what stands in those before it. */
#include "compuerta.h"
#include "threads.h"
#include "vector.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Rows of a tile by gates: ROWS x 4 vectors or ROWS_3 x 3 are accumulated at once, in all registers but a few. */
#define ROWS_3 (ROWS * 4 / 3)
#define TALL 8 /* rows of any tile at most */
/* Panels that one row is multiplied with at once: enough sums in flight to hide their latency. */
#define PANELS (ROWS == 3 ? 2 : 4)
/* Packed rows that are prepared together: they stay in the second-level cache. */
#define CHUNK 96
/* Rows per thread at least, and multiply-adds below which a second thread costs more than it brings. */
#define FEWEST_ROWS 4
#define FEWEST_WORK 1000000
#define NOINLINE static __attribute__((noinline))

#include "batch.part.h"
#include "packing.part.h"
#include "tiles.part.h"
#include "activations.part.h"
#include "step.part.h"
#include "variant.part.h"
#include "forward.part.h"
#include "backward.part.h"
#include "gradients.part.h"
#include "stream.part.h"
#include "training.part.h"
#include "dense.part.h"
#include "measure.part.h"

#define NAME_(isa, bits) kernel_##isa##_##bits
#define NAME(isa, bits) NAME_(isa, bits)
const struct kernel NAME(COMPUERTA_ISA, COMPUERTA_BITS) = {
    .lanes = VL, .pack = pack, .pack_back = pack_back, .plan = plan, .forward = forward, .call = call,
    .backward = backward, .read = read_tape, .step_size = step_size, .step = step_stack,
    .peak = peak, .bandwidth = bandwidth, .activate = activate,
    .cross_entropy = cross_entropy, .adam = adam, .sum_of_squares = sum_of_squares, .all_finite = all_finite,
    .dense = dense, .dense_back = dense_back, .dense_cross_entropy = dense_cross_entropy,
};
