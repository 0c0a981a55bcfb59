// Whether this copy of the model computes what made the file: one step at a time, from the stored states.

import { product, spread } from "./cells.js";
import { handed, restore, stepper } from "./model.js";
import { data, times } from "./state.js";

/** How near two numbers must be, relative to the stored one where that is above 1. */
const NEAR = 1e-6;
/** Half the distance from 1 to the next number of 32 bits. */
const ROUNDED = 2 ** -24;

/**
 * For each row of `w`, how far a sum of n products w v that was rounded to 32 bits at every term may be off:
 * √n u Σ|w v|, as signs of roundings differ (Higham and Mary 2019, "A new approach to probabilistic rounding error analysis").
 * `sizes` keeps |w|.
 * @param {Numbers} w
 * @param {Numbers} v
 * @param {Map<Numbers, Numbers>} sizes
 */
function blur(w, v, sizes) {
  // Once, not at every step
  if (!sizes.has(w)) sizes.set(w, w.map(Math.abs));
  const n = v.length;
  const rows = w.length / n;
  return product(sizes.get(w), Float64Array.from(v, Math.abs), rows, new Float64Array(rows)).map(
    (size) => Math.sqrt(n) * ROUNDED * size,
  );
}

/**
 * The same of sums that are brought to variance 1 after it, where they are.
 * @param {Numbers} w
 * @param {Numbers} v
 * @param {Map<Numbers, Numbers>} sizes
 * @param {Numbers | undefined} gain
 * @param {number} epsilon
 */
function blurred(w, v, sizes, gain, epsilon) {
  const off = blur(w, v, sizes);
  if (!gain) return off;
  const wide = spread(product(w, v, off.length, new Float64Array(off.length)), epsilon);
  return off.map((size, r) => (size * Math.abs(gain[r])) / wide);
}

/**
 * How far what the activations of a place see may be off by rounding, at the step from the state `s` by `input`.
 * @param {Model} model
 * @param {number} p
 * @param {State} s
 * @param {any} input
 * @param {Map<Numbers, Numbers>} sizes
 */
function roundingOf(model, p, s, input, sizes) {
  const w = model.places[p];
  const { H, inputs: K, epsilon } = model;
  const { blocks, own_gates: gates } = model.kind;
  const off = blurred(
    w.w_x,
    w.table ? model.embedding.subarray(input * K, input * K + K) : input,
    sizes,
    w.gain_x,
    epsilon,
  );
  if (w.w_h) blurred(w.w_h, s.h, sizes, w.gain_h, epsilon).forEach((size, r) => (off[r] += size));
  const seen = w.w_r && blur(w.w_r, Float64Array.from(gates.flatMap((q) => [...s[q]])), sizes);
  gates.forEach((q, n) => {
    for (let u = 0; u < H && blocks.includes(q); u++) {
      off[blocks.indexOf(q) * H + u] +=
        (w.p ? ROUNDED * Math.abs(w.p[n * H + u] * s.c[u]) : 0) + (seen?.[n * H + u] ?? 0);
    }
  });
  return off;
}

/**
 * One step of the model from each stored state, against the stored step. `worst` is the greatest difference (relative
 * where the number is above 1), `allowed` what is allowed there, and `same` whether every difference is: a millionth,
 * and what follows when the sums of the blocks, one block after the other, are off by what rounding to 32 bits leaves open.
 * @param {Model} model
 * @param {Run} r
 * @returns {Parity}
 */
export function parity(model, r) {
  const verdict = { worst: 0, allowed: NEAR, same: true };
  const { H } = model;
  const { blocks } = model.kind;
  // |w| of each of the weights
  const sizes = new Map();
  data.places.forEach(([k], p) => {
    const { s, step } = stepper(model, p);
    const moved = stepper(model, p);
    const { w_hr: projection } = model.places[p];
    for (let t = 0; t < r.T; t++) {
      if (!r.stored(model.kind.parts[0], p, t) || !restore(model, s, r.stored, p, t)) continue;
      const input = k ? handed(model, r.values, k - 1, t) : r.inputs[t];
      const off = roundingOf(model, p, s, input, sizes);
      step(input);
      const slack = Object.fromEntries(Object.entries(s).map(([q, values]) => [q, new Float64Array(values.length)]));
      if (projection) slack.h.set(blur(projection, s.o, sizes));
      for (const b of times(blocks.length, (n) => n)) {
        restore(model, moved.s, r.stored, p, t);
        moved.step(
          input,
          off.map((size, row) => (Math.floor(row / H) === b ? size : 0)),
        );
        for (const q in s) slack[q].forEach((size, u) => (slack[q][u] = size + Math.abs(moved.s[q][u] - s[q][u])));
      }
      for (const q in s)
        r.stored(q, p, t)
          ?.subarray(0, s[q].length)
          .forEach((there, u) => {
            // NaN where there is NaN, too
            if (Object.is(there, s[q][u]) || there === s[q][u]) return;
            const size = Math.max(1, Math.abs(there));
            const apart = Math.abs(there - s[q][u]) / size;
            const all = NEAR + slack[q][u] / size;
            if (!(apart < NEAR || apart < all)) verdict.same = false;
            if (!(apart <= verdict.worst))
              [verdict.worst, verdict.allowed] = [Number.isNaN(apart) ? Infinity : apart, all];
          });
    }
  });
  return verdict;
}
