// One step of each kind of cell in plain JavaScript: sums in double precision, blocks in the order of the file.

/** @type {(z: number) => number} */
const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

/**
 * What gates, candidate and output may pass through, with the two numbers that some have (compuerta.activations).
 * @type {Record<string, (z: number, a: number, b: number) => number>}
 */
const ACTIVATIONS = {
  Affine: (z, a, b) => a * z + b,
  Elu: (z, a) => (z > 0 ? z : a * Math.expm1(z)),
  HardSigmoid: (z, a, b) => Math.min(1, Math.max(0, a * z + b)),
  Identity: (z) => z,
  LeakyRelu: (z, a) => (z < 0 ? a * z : z),
  Relu: (z) => (z <= 0 ? 0 : z),
  ScaledTanh: (z, a, b) => a * Math.tanh(b * z),
  Selu: (z, a, b) => b * (z > 0 ? z : a * Math.expm1(z)),
  Sigmoid: sigmoid,
  Softplus: (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
  Softsign: (z) => z / (1 + Math.abs(z)),
  Swish: (z, a) => z * sigmoid(a * z),
  Tanh: Math.tanh,
  ThresholdedRelu: (z, a) => (z < a ? 0 : z),
};

/** @type {(of: [string, number, number]) => (z: number) => number} */
const activation =
  ([name, a, b]) =>
  (z) =>
    ACTIVATIONS[name](z, a, b);

/**
 * `z` kept within ± `most`, if there is such a bound.
 * @type {(z: number, most: number | null) => number}
 */
const bound = (z, most) => (most ? Math.min(most, Math.max(-most, z)) : z);

/**
 * out[r] = Σ_j w[r, j] v[j] for rows of `w` (rows, n), four rows at a time so that v is read once for them.
 * @template {Numbers} Out
 * @param {Numbers} w
 * @param {Numbers} v
 * @param {number} rows
 * @param {Out} out
 */
export function product(w, v, rows, out) {
  const n = v.length;
  let r = 0;
  for (; r + 3 < rows; r += 4) {
    const i = r * n;
    const k = i + n;
    const l = k + n;
    const m = l + n;
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let j = 0; j < n; j++) {
      const x = v[j];
      a += w[i + j] * x;
      b += w[k + j] * x;
      c += w[l + j] * x;
      d += w[m + j] * x;
    }
    out[r] = a;
    out[r + 1] = b;
    out[r + 2] = c;
    out[r + 3] = d;
  }
  for (; r < rows; r++) {
    out[r] = 0;
    for (let j = 0; j < n; j++) out[r] += w[r * n + j] * v[j];
  }
  return out;
}

/**
 * The standard deviation of `z`, with the epsilon that keeps it from 0.
 * @param {Float64Array} z
 * @param {number} epsilon
 */
export function spread(z, epsilon) {
  const mean = z.reduce((sum, v) => sum + v, 0) / z.length;
  return Math.sqrt(z.reduce((sum, v) => sum + (v - mean) ** 2, 0) / z.length + epsilon);
}

/**
 * Bring `z` to mean 0 and variance 1, times a gain, where the cell does so.
 *
 * @param {Float64Array} z
 * @param {Numbers | undefined} gain
 * @param {number} epsilon
 */
export function normalize(z, gain, epsilon) {
  if (!gain) return z;
  const mean = z.reduce((sum, v) => sum + v, 0) / z.length;
  const scale = 1 / spread(z, epsilon);
  for (let k = 0; k < z.length; k++) z[k] = (z[k] - mean) * scale * gain[k];
  return z;
}

/**
 * Each makes a function that takes the state `s` of a place one step on by `x`, what the input adds to every block.
 * `w` are the weights of the place; `clamp(q, values)` puts the clamps of a quantity in place of what was computed.
 * By the keys of their kinds (compuerta.see.scene.RUNNABLE).
 * @type {Record<string, Cell>}
 */
export const CELLS = {
  /** Every variant of the LSTM, line by line as in compuerta.recurrence.variant. */
  lstm({ H, kind: { blocks, own_gates: gates, switches, activations }, epsilon }, w, s, clamp) {
    const { coupled, clip, cell_clip, zoneout: [keepC, keepH] = [0, 0] } = switches;
    const rows = blocks.length * H;
    const [σ, φ, ψ] = ["i", "g", "h"].map((k) => activation(activations[k]));
    const z = new Float64Array(rows);
    const zh = new Float64Array(rows);
    const c = new Float64Array(H);
    const out = new Float64Array(H);
    /** @type {(all: Float64Array, keys: string[]) => State} */
    const block = (all, keys) => Object.fromEntries(keys.map((k, n) => [k, all.subarray(n * H, n * H + H)]));
    const own = block(z, blocks);
    const peep = w.p ? block(w.p, gates) : {};
    const seen = new Float64Array(gates.length * H);
    const last = block(seen, gates);
    const more = new Float64Array(seen.length);
    const extra = block(more, gates);
    const h = w.w_hr ? new Float64Array(s.h.length) : out;
    /** @type {(k: string, c: Float64Array) => void} */
    const gate = (k, c) => {
      for (let u = 0; u < H; u++) s[k][u] = own[k] ? σ(bound(own[k][u] + (peep[k] ? peep[k][u] * c[u] : 0), clip)) : 1;
      clamp(k);
    };
    /** @type {(share: number, old: Float64Array, now: Float64Array) => void} */
    const mix = (share, old, now) => now.forEach((v, u) => (old[u] = share ? share * old[u] + (1 - share) * v : v));
    return (x) => {
      normalize(product(w.w_h, s.h, rows, zh), w.gain_h, epsilon);
      for (let k = 0; k < rows; k++) z[k] = x[k] + zh[k] + w.b[k];
      if (w.w_r) {
        for (const k of gates) last[k].set(s[k]);
        product(w.w_r, seen, seen.length, more);
        for (const k of gates) for (let u = 0; u < H; u++) own[k][u] += extra[k][u];
      }
      gate("i", s.c);
      if (coupled) {
        for (let u = 0; u < H; u++) s.f[u] = 1 - s.i[u];
        clamp("f");
      } else gate("f", s.c);
      for (let u = 0; u < H; u++) s.g[u] = φ(bound(own.g[u], clip));
      clamp("g");
      for (let u = 0; u < H; u++) c[u] = bound(s.f[u] * s.c[u] + s.i[u] * s.g[u], cell_clip);
      clamp("c", c);
      gate("o", c);
      out.set(c);
      if (w.gain_c) normalize(out, w.gain_c, epsilon).forEach((v, u) => (out[u] = v + w.b_c[u]));
      for (let u = 0; u < H; u++) out[u] = s.o[u] * ψ(out[u]);
      if (w.w_hr) product(w.w_hr, out, h.length, h);
      mix(keepC, s.c, c);
      clamp("c");
      mix(keepH, s.h, h);
      clamp("h");
    };
  },

  /** The GRU in both reset conventions: with `b_hn` it resets after the product. */
  gru({ H, kind: { activations } }, w, s, clamp) {
    const [σ, φ] = ["z", "n"].map((k) => activation(activations[k]));
    const zh = new Float64Array(3 * H);
    const q = new Float64Array(H);
    const reset = new Float64Array(H);
    const u_n = w.w_h.subarray(2 * H * H);
    return (x) => {
      product(w.w_h, s.h, 3 * H, zh);
      for (let u = 0; u < H; u++) {
        s.r[u] = σ(x[u] + zh[u] + w.b[u]);
        s.z[u] = σ(x[H + u] + zh[H + u] + w.b[H + u]);
      }
      clamp("r");
      clamp("z");
      if (w.b_hn) for (let u = 0; u < H; u++) q[u] = s.r[u] * (zh[2 * H + u] + w.b_hn[u]);
      else {
        for (let u = 0; u < H; u++) reset[u] = s.r[u] * s.h[u];
        product(u_n, reset, H, q);
      }
      for (let u = 0; u < H; u++) s.n[u] = φ(x[2 * H + u] + w.b[2 * H + u] + q[u]);
      clamp("n");
      for (let u = 0; u < H; u++) s.h[u] = (1 - s.z[u]) * s.n[u] + s.z[u] * s.h[u];
      clamp("h");
    };
  },

  /** The minimal LSTM; where both of its gates are clamped at 0 the state stands. */
  minlstm({ H }, w, s, clamp) {
    return (x) => {
      for (let u = 0; u < H; u++) {
        s.i[u] = sigmoid(x[u] + w.b[u]);
        s.f[u] = sigmoid(x[H + u] + w.b[H + u]);
        s.g[u] = x[2 * H + u] + w.b[2 * H + u];
      }
      for (const q of "ifg") clamp(q);
      for (let u = 0; u < H; u++) s.h[u] += (s.i[u] / (s.i[u] + s.f[u] || 1)) * (s.g[u] - s.h[u]);
      clamp("h");
    };
  },
};
