/* The native engine: one layer and direction of an LSTM or a GRU over one batch.

   The caller fills structs and passes them: a layer, its weights, one pass forward over a batch, the way back from it,
   or a step of a stream. No function keeps a pointer after it returns, none frees or resizes a caller's buffer, none
   aborts. Functions return 0, or OUT_OF_MEMORY when scratch space could not be had: then outputs are undefined and
   nothing leaks. Inputs beyond 1e30 (1e300 in double), infinities included, are taken as that.

   Sizes: N rows of the batch, T steps, F features, H units, G gates (4 in an LSTM, 3 in a GRU), VL numbers in a vector
   (by instruction set and width of number; see compuerta_lanes), NP = ceil(H / VL) panels, HP = NP VL units with
   padding, P = sum of lengths, the packed rows; FQ, HQ and CQ: F, the padded width of h and HP rounded up to an odd
   number of lines of 64 bytes.

   The variants of the LSTM (struct layer): G counts the blocks that there are; slots are f i o g without the others.
   With a projection h has P features in place of H.

   "real" is float or double, by `bits`. Buffers are contiguous and row-major unless a stride is given. Strides are in
   elements and may be negative or zero for inputs; the last axis is contiguous. Inputs are never written to. Two
   buffers may overlap only if both are inputs. Alignment: that of the element; buffers of the engine's own layouts
   (marked *) want 64 bytes for speed, not for correctness.

   Engine's own layouts:
     * packed weights: panels of VL units. Of x: [NP][F][G][VL], of h: [NP][H][G][VL], bias [NP][G][VL], and for a GRU
       the recurrent bias of its candidate [NP][VL]; for a variant its peepholes [f i o][HP], and its projection in
       panels of at most 4 vectors of its outputs, [panel][H][vectors][VL]. Slots (gates within a panel) are f i o g, or
       r z n. Units that are only padding have zero weights.
     * weights for the way back: column tiles of at most 4 vectors, [tile][NP][G VL][vectors of the tile][VL].
     * records z and dz: chunks of whole steps, each [NP][rows of the chunk + 1][4][VL]; slots f i o g, or r z n q.
       The spare row keeps panels from falling on the same lines of the cache.
     * h history: [N + P][HQ]: the initial state, then the state after each packed row. c history and tanh c:
       [NP][N + P][VL] both; the first N rows of tanh c are not used.

   Packed rows: rows of the batch sorted by length, longest first (`order`), so that those running at a step are always
   the first ones; first step of all rows, then the second, and so on. Read backward in time, a row's first step is its
   last valid one. */
#ifndef COMPUERTA_H
#define COMPUERTA_H
#include <stddef.h>
#include <stdint.h>

/* Counts up with every change of what stands here, so that a caller knows a library made for another version. */
enum { INTERFACE = 4 };
enum { LSTM = 0, GRU = 1 };
enum { OUT_OF_MEMORY = 1 };

enum { AFFINE, ELU, HARD_SIGMOID, IDENTITY, LEAKY_RELU, RELU, SCALED_TANH, SIGMOID, SOFTPLUS, SOFTSIGN, TANH,
       THRESHOLDED_RELU };

/* alpha and beta as in src/compuerta/activations.py, 0 where it has none. */
struct activation {
  int64_t kind;
  double alpha, beta;
};

struct layer {
  int64_t cell, bits;
  int64_t isa;              /* which of compuerta_isas */
  int64_t features, hidden; /* F, H >= 1 */
  int64_t output;           /* P: features of h, H without a projection */
  /* An LSTM that is not the plain one; all of them 0 without `variant`. */
  int64_t variant;
  int64_t input_gate, forget_gate, output_gate; /* 0: that gate is 1 and has no block; so is f if `coupled`: 1 - i */
  int64_t coupled, peepholes, projection;
  struct activation gates, candidate, shown; /* of i, f and o; of g; of c on its way out */
  double clip, cell_clip;                    /* of what activations see, of c: infinite where there is none */
};

/* The parameters as the layer has them, in for packing: (G H, F), (G H, H), (G H,), (H,) or NULL; blocks i f g o, or
   r z n. With a projection w_h is (G H, P). Peepholes: (K H,) of the gates that there are, i f o. w_hr: (P, H). */
struct parameters {
  const void *w_x, *w_h, *b, *b_hn, *peepholes, *w_hr;
};

/* * Packed: out of compuerta_pack and compuerta_pack_back (the last three), in elsewhere. */
struct weights {
  void *x_panels, *h_panels, *bias_panels, *bias_hn_panels, *peephole_panels, *hr_panels;
  void *x_back, *h_back, *hr_back;
};

/* * What a forward pass records and the way back reads. P, chunks of the records and steps of the longest row come out of
   compuerta_plan, from which the caller makes the buffers:
   xs rows FQ (or rows ids); z and before (rows + chunks) NP 4 VL; h (N + rows) HQ; c and tanh_c (N + rows) HP;
   out rows CQ. */
struct tape {
  int64_t rows, chunks, steps;
  void *xs; /* (P, FQ) inputs, or (P,) int64 ids */
  void *z;  /* gates after activation */
  void *h, *c, *tanh_c;
  void *before; /* of a variant: as z, before activation and clip */
  void *out;    /* with a projection: (P, CQ) o times what is shown of c */
};

struct forward {
  const struct layer *layer;
  const struct weights *weights;
  int64_t n, t;          /* N, T >= 0 */
  int64_t tokens;        /* x holds int64 ids in [0, F), of which the rows of the packed x are gathered */
  int64_t reverse;
  int64_t threads;       /* at most; a few rows or little work take one */
  const int64_t *order;  /* (N,) batch row of each sorted row, or NULL where nothing is padded */
  const int64_t *length; /* (N,) lengths, longest first, in [0, T], or NULL: all T */
  struct tape *tape;     /* to record into, or NULL */
  /* in */
  const void *x; /* (N, T, F) by strides, or ids (N, T) */
  int64_t x_n, x_t;
  const void *h0, *c0; /* (N, H), or NULL for zeros; c0 is not read in a GRU */
  /* out */
  void *y; /* (N, T, H) by strides; zero past each row's length */
  int64_t y_n, y_t;
  void *h_n, *c_n; /* (N, H) */
};

/* The way back from a pass that was recorded: of `forward` all is read but x, h0, c0 and what came out. */
struct backward {
  const struct forward *forward;
  int64_t threads;
  /* in */
  const void *dy; /* (N, T, H) by strides; not read past a row's length */
  int64_t dy_n, dy_t;
  const void *dh_n, *dc_n; /* (N, H) */
  /* out */
  void *dz; /* * as z of the tape: gradients of the pre-activations */
  void *dx; /* (N, T, F) by strides, zero past each row's length; NULL: not wanted */
  int64_t dx_n, dx_t;
  void *dh; /* * with a projection: (P, HQ) gradients of h */
  void *dw_x, *dw_h, *db, *db_hn, *dpeepholes, *dw_hr; /* as the parameters; overwritten */
  void *dh_0, *dc_0;              /* (N, H) */
};

/* One step of a stream, of this layer and those above. */
struct step {
  const struct layer *layer;
  const struct weights *weights;
  int64_t n, tokens;
  const void *x; /* (N, F by x_n), or ids (N,) */
  int64_t x_n;
  void *h, *c;              /* (N, H), in and out */
  void *scratch;            /* * compuerta_step_size bytes */
  const struct step *above; /* the next layer of a stack, whose x is this one's h; or NULL */
};

#define EXPORT __attribute__((visibility("default")))

EXPORT int64_t compuerta_interface(void); /* INTERFACE */
/* "avx512 avx2 base": the instruction sets for which this library has code and that this machine can run, best first;
   layer.isa counts along it. */
EXPORT const char *compuerta_isas(void);
/* Numbers in a vector, VL. */
EXPORT int64_t compuerta_lanes(int64_t isa, int64_t bits);

EXPORT void compuerta_pack(const struct layer *, const struct parameters *, const struct weights *, int64_t threads);
EXPORT void compuerta_pack_back(const struct layer *, const struct parameters *, const struct weights *, int64_t tokens,
                                int64_t threads);
/* Fill rows, chunks and steps of a tape. */
EXPORT int compuerta_plan(const struct forward *, struct tape *);
EXPORT int compuerta_forward(const struct forward *);
/* The same of a batch that lies in one piece, without padding, that starts from zeros: of the block only layer, weights
   and reverse are read, so that a caller makes it once for all calls. */
EXPORT int compuerta_call(const struct forward *block, int64_t n, int64_t t, int64_t threads, const void *x, void *y,
                          void *h_n, void *c_n);
EXPORT int compuerta_backward(const struct backward *);
/* One quantity of the tape into out (N, T, H), contiguous, zero past each row's length. what: slots 0 to 3 of the
   record, 4 is h, 5 is c, 6 to 9 what the slots were before activation, in a variant. */
EXPORT int compuerta_read(const struct forward *, int64_t what, void *out);

EXPORT int64_t compuerta_step_size(const struct step *);
EXPORT void compuerta_step(const struct step *);

/* Cross-entropy: logits (rows, classes); targets (rows,) in [0, classes); keep (rows,) 0 where a row does not count, or
   NULL. gradient (rows, classes) = (softmax - 1 at the target) scale, zero where a row does not count; *total = sum of
   -log softmax at the target, in nats. */
EXPORT int compuerta_cross_entropy(int64_t isa, int64_t bits, int64_t rows, int64_t classes, const void *logits,
                                   const int64_t *targets, const uint8_t *keep, double scale, void *gradient,
                                   double *total, int64_t threads);

/* One step of Adam over n numbers, in place: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
   p -= rate m / (root sqrt(v) + epsilon), where g has decay_gradient p added and p is first shrunk by
   1 - decay_parameters. */
struct adam_step {
  void *parameters, *m, *v;
  const void *gradient;
  int64_t n;
  double beta1, beta2, rate, root, epsilon, decay_gradient, decay_parameters;
};
EXPORT void compuerta_adam(int64_t isa, int64_t bits, const struct adam_step *, int64_t threads);

/* Sum of the squares, in double; and 1 if each of them is finite, else 0. */
EXPORT double compuerta_sum_of_squares(int64_t isa, int64_t bits, const void *numbers, int64_t n, int64_t threads);
EXPORT int compuerta_all_finite(int64_t isa, int64_t bits, const void *numbers, int64_t n, int64_t threads);

/* A dense layer, y = x W' + b: x (rows, inputs), w (outputs, inputs), b (outputs,) or NULL, y (rows, outputs); and back
   from dy, as y: dx as x, dw as w, db or NULL. Or at once, where y are logits: from targets, keep and scale as in
   compuerta_cross_entropy to dx, dw, db and *total, while y and dy are neither read nor written, and never there as a
   whole. */
struct dense {
  int64_t rows, inputs, outputs;
  const void *x, *w, *b;
  void *y;
  const void *dy;
  void *dx, *dw, *db;
  const int64_t *targets;
  const uint8_t *keep;
  double scale;
  double *total;
};
EXPORT int compuerta_dense(int64_t isa, int64_t bits, const struct dense *, int64_t threads);
EXPORT int compuerta_dense_back(int64_t isa, int64_t bits, const struct dense *, int64_t threads);
EXPORT int compuerta_dense_cross_entropy(int64_t isa, int64_t bits, const struct dense *, int64_t threads);

/* The machine's own limits, one thread: multiply-adds in registers, in FLOP/s; and reading a
   buffer of so many bytes again and again, in bytes/s. Each runs for about `seconds`. */
EXPORT double compuerta_peak(int64_t isa, int64_t bits, double seconds);
EXPORT double compuerta_bandwidth(int64_t isa, void *buffer, int64_t bytes, double seconds);
/* sigmoid (what = 0) or tanh (1) of n numbers, in place: for measuring their accuracy. */
EXPORT void compuerta_activate(int64_t isa, int64_t bits, int64_t what, void *numbers, int64_t n);

/* What one instruction set offers to compuerta.c; all for one width of number. */
struct kernel {
  int64_t lanes;
  void (*pack)(const struct layer *, const struct parameters *, const struct weights *, int64_t);
  void (*pack_back)(const struct layer *, const struct parameters *, const struct weights *, int64_t, int64_t);
  int (*plan)(const struct forward *, struct tape *);
  int (*forward)(const struct forward *);
  int (*call)(const struct forward *, int64_t, int64_t, int64_t, const void *, void *, void *, void *);
  int (*backward)(const struct backward *);
  int (*read)(const struct forward *, int64_t, void *);
  int64_t (*step_size)(const struct step *);
  void (*step)(const struct step *);
  double (*peak)(double);
  double (*bandwidth)(void *, int64_t, double);
  void (*activate)(int64_t, void *, int64_t);
  int (*cross_entropy)(int64_t, int64_t, const void *, const int64_t *, const uint8_t *, double, void *, double *,
                       int64_t);
  void (*adam)(const struct adam_step *, int64_t);
  double (*sum_of_squares)(const void *, int64_t, int64_t);
  int (*all_finite)(const void *, int64_t, int64_t);
  int (*dense)(const struct dense *, int64_t);
  int (*dense_back)(const struct dense *, int64_t);
  int (*dense_cross_entropy)(const struct dense *, int64_t);
};
#endif
