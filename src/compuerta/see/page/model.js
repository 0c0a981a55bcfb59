// The model itself, live: embedding, a stack of layers in one direction or both, and a linear layer. A place is one
// layer in one direction; places stand in the order in which they can be computed.

import { CELLS, normalize, product } from "./cells.js";
import { data } from "./state.js";

/**
 * The weights by place and name, and what stands around them; or null where the file has none to run.
 * @param {ModelMeta | null} meta
 * @param {Arrays} all
 * @param {string} prefix
 * @returns {Model | null}
 */
export function load(meta, all, prefix) {
  if (!meta) return null;
  /** @type {(name: string) => any} */
  const own = (name) => all[prefix + name];
  const { hidden: H } = meta;
  /** @type {any[]} */
  const places = data.places.map((_, p) => Object.fromEntries(meta.names.map((name) => [name, own(`${name}.${p}`)])));
  const model = /** @type {Model} */ ({
    ...meta,
    H,
    places,
    w: own("w"),
    b: own("wb"),
    embedding: own("embedding"),
    around: ["base", "scale", "skip"].map(own),
  });
  const rows = meta.kind.blocks.length * H;
  const { embedding } = model;
  for (const [p, w] of places.entries()) {
    // Read at every step
    if (w.w_h) w.w_h = Float64Array.from(w.w_h);
    if (data.places[p][0] || !embedding) continue;
    const V = data.vocabulary.length;
    // W_x E once for each token, as its column is all that a token adds
    const K = meta.inputs;
    w.table = Array.from({ length: V }, (_, v) =>
      fromInput(model, w, embedding.subarray(v * K, v * K + K), new Float64Array(rows)),
    );
  }
  return model;
}

/**
 * What a step adds to each block from its input, whose numbers a token names.
 * @type {(model: Model, w: Weights, input: any, out: Float64Array) => Float64Array}
 */
const fromInput = (model, w, input, out) =>
  w.table?.[input] ?? normalize(product(w.w_x, input, out.length, out), w.gain_x, model.epsilon);

/**
 * One place with a state of its own, which `step` moves on; clamps are [{p, q, u, v}], `more` is added to the blocks.
 * @param {Model} model
 * @param {number} p
 * @param {Clamp[]} [clamps]
 */
export function stepper(model, p, clamps = []) {
  const w = model.places[p];
  const x = new Float64Array(model.kind.blocks.length * model.H);
  /** @type {State} */
  const s = Object.fromEntries(
    Object.keys(data.kind.quantities).map((q) => [q, new Float64Array(q === "h" ? model.handed : model.H)]),
  );
  const mine = clamps.filter((c) => c.p === p);
  const go = CELLS[model.kind.key](model, w, s, (q, values = s[q]) => {
    for (const c of mine) if (c.q === q) values[c.u] = c.v;
  });
  for (const q of model.kind.parts) s[q].set(beginning(model, q, p).subarray(0, s[q].length));
  return {
    s,
    /** @type {(input: any, more?: Float64Array | null) => void} */
    step: (input, more = null) => {
      const seen = fromInput(model, w, input, x);
      go(more ? seen.map((v, r) => v + more[r]) : seen);
    },
  };
}

/**
 * What layer `k` hands on at step t: h of each of its directions, one after the other.
 * @param {Model} model
 * @param {Run["values"]} values
 * @param {number} k
 * @param {number} t
 * @returns {Numbers}
 */
export function handed(model, values, k, t) {
  const each = data.places.flatMap(([layer], p) =>
    layer === k ? [values.h[p].subarray(t * model.H, t * model.H + model.handed)] : [],
  );
  return each.length === 1 ? each[0] : Float32Array.from(each.flatMap((part) => [...part]));
}

/**
 * The step that a place reads before step t.
 * @type {(p: number, t: number) => number}
 */
const previous = (p, t) => t + (data.places[p][1] ? 1 : -1);

/**
 * Put the stored state before step t into `s`; whether there is one.
 * @param {Model} model
 * @param {State} s
 * @param {Stored} stored
 * @param {number} p
 * @param {number} t
 */
export function restore(model, s, stored, p, t) {
  /** @type {Numbers[]} */
  const parts = model.kind.parts.map((q) => stored(q, p, previous(p, t)));
  if (parts.includes(undefined)) return false;
  model.kind.parts.forEach((q, n) => s[q].set(parts[n].subarray(0, s[q].length)));
  return true;
}

/**
 * Run over inputs (token ids, or rows of numbers) and keep everything: {T, values: {q: [array per place]}, …}.
 * Where there is a stored state, the run starts again from it; where `before` is a run of inputs that begin with
 * the same, it goes on from the last state kept of what they share.
 * @param {Model} model
 * @param {Inputs} inputs
 * @param {{ clamps?: Clamp[], stored?: Stored | null, before?: Run | null }} options
 */
export function forward(model, inputs, { clamps = [], stored = null, before = null }) {
  const T = inputs.length;
  const { H } = model;
  const start = before ? sharedStart(before, inputs) : 0;
  const runners = data.places.map((_, p) => stepper(model, p, clamps));
  const kept = [...(before?.kept ?? [])];
  // By the number of steps read.
  const states = new Map(kept.filter(([n]) => n === start || (n < start && n % EVERY === 0)));
  const values = Object.fromEntries(
    Object.keys(data.kind.quantities).map((q) => [q, data.places.map(() => new Float32Array(T * H).fill(NaN))]),
  );
  runners.forEach(({ s, step }, p) => {
    const [k, back] = data.places[p];
    if (start) for (const q in values) values[q][p].set(before.values[q][p].subarray(0, start * H));
    if (start) model.kind.parts.forEach((q, n) => s[q].set(states.get(start)[p][n]));
    for (let n = start; n < T; n++) {
      const t = back ? T - 1 - n : n;
      if (stored) restore(model, s, stored, p, t);
      step(k ? handed(model, values, k - 1, t) : inputs[t]);
      for (const q in values) values[q][p].set(s[q], t * H);
      if ((n + 1) % EVERY && n + 1 < T) continue;
      if (!states.has(n + 1)) states.set(n + 1, []);
      states.get(n + 1)[p] = model.kind.parts.map((q) => s[q].slice());
    }
  });
  return { T, start, values, kept: states, inputs, model, clamps, initial: model.initial };
}

/** Steps between two states that a run keeps. */
const EVERY = 50;

/**
 * How many steps of a run need not be computed again for `inputs`: those read when the last kept state was reached.
 * @param {Run} run
 * @param {Inputs} inputs
 */
function sharedStart({ inputs: old, kept }, inputs) {
  let same = 0;
  while (same < Math.min(old.length, inputs.length) && old[same] === inputs[same]) same++;
  return Math.max(0, ...[...kept.keys()].filter((n) => n <= same));
}

/**
 * What the model puts out at step t of a run.
 * @type {(model: Model, r: Computed, t: number, out?: any) => Float64Array}
 */
export const outputsAt = (model, r, t, out) => outputs(model, handed(model, r.values, data.layers - 1, t), out);

/**
 * Logits (or outputs) after a step.
 * @param {Model} model
 * @param {Numbers} h
 */
export function outputs(model, h, out = new Float64Array(model.outputs)) {
  product(model.w, h, model.outputs, out);
  for (let v = 0; v < out.length; v++) out[v] += model.b[v];
  return out;
}

/**
 * Probabilities in place of logits.
 * @param {Float64Array} z
 */
export function softmax(z, temperature = 1) {
  let most = -Infinity;
  let sum = 0;
  for (const value of z) if (value > most) most = value;
  for (let v = 0; v < z.length; v++) sum += z[v] = Math.exp((z[v] - most) / temperature);
  for (let v = 0; v < z.length; v++) z[v] /= sum;
  return z;
}

/**
 * Probabilities of the next character at every step of a run, those of its beginning taken from `before`.
 * @param {Model | null} model
 * @param {Computed} r
 * @param {Run | null} [before]
 * @returns {Float32Array | null}
 */
export function probabilitiesOf(model, r, before = null) {
  if (!model?.w || !model.places[0].table) return null;
  const V = model.outputs;
  const out = new Float32Array(r.T * V);
  const line = new Float64Array(V);
  if (r.start) out.set(before.probabilities.subarray(0, r.start * V));
  for (let t = r.start ?? 0; t < r.T; t++) out.set(softmax(outputsAt(model, r, t, line)), t * V);
  return out;
}

/**
 * Bits per character of a run over its own text: −log2 p of each next character, one fewer than there are.
 * @param {Run} r
 * @param {number} V
 */
export function surprise(r, V) {
  const bits = new Float64Array(Math.max(0, r.T - 1));
  for (let t = 0; t + 1 < r.T; t++) bits[t] = -Math.log2(r.probabilities[t * V + r.ids[t + 1]]);
  return bits;
}

/**
 * Numbers in [0, 1) from a seed (mulberry32, public domain), so that a sample can be had again.
 * @param {number} seed
 */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Go on from `ids` for `count` tokens, drawn at a temperature (0 takes the likeliest).
 * @param {Model} model
 * @param {Int32Array} ids
 * @param {number} count
 * @param {number} temperature
 * @param {number} seed
 * @param {Clamp[]} clamps
 */
export function sample(model, ids, count, temperature, seed, clamps) {
  const runners = data.places.map((_, p) => stepper(model, p, clamps));
  const next = random(seed);
  /** @type {number[]} */
  const out = [];
  /** @type {(id: number) => any} */
  const read = (id) => runners.reduce((input, { s, step }) => (step(input), s.h), /** @type {any} */ (id));
  let h;
  for (const id of ids) h = read(id);
  for (let k = 0; k < count; k++) {
    const p = softmax(outputs(model, h), temperature || 1);
    let id = p.indexOf(Math.max(...p));
    if (temperature) {
      let left = next();
      id = p.findIndex((share) => (left -= share) < 0);
      if (id < 0) id = p.length - 1;
    }
    out.push(id);
    h = read(id);
  }
  return out;
}

/**
 * The terms of one block of one unit at one step, largest first: [{kind, index, place, value}], and their sum z; or
 * null where what the activation sees is no such sum.
 * @param {Model} model
 * @param {Run} r
 * @param {string} q
 * @param {number} p
 * @param {number} u
 * @param {number} t
 * @returns {{ terms: Term[], z: number } | null}
 */
export function terms(model, r, q, p, u, t) {
  const { H, kind, handed: P } = model;
  const w = model.places[p];
  const [k] = data.places[p];
  const block = kind.blocks.indexOf(q);
  if (block < 0 || w.gain_x || w.w_r || kind.switches.clip || (w.p && kind.memory.zoneout)) return null;
  const row = block * H + u;
  /** @type {Term[]} */
  const all = [{ kind: "bias", value: w.b[row] }];
  // The first place of the layer below
  const below = k && data.places.findIndex(([layer]) => layer === k - 1);
  const input = k ? handed(model, r.values, k - 1, t) : w.table ? [] : r.inputs[t];
  if (!k && w.table) all.push({ kind: "token", value: w.table[r.ids[t]][row] });
  input.forEach((/** @type {number} */ x, /** @type {number} */ j) => {
    const from = k ? { kind: "below", index: j % P, place: below + Math.floor(j / P) } : { kind: "input", index: j };
    all.push({ ...from, value: w.w_x[row * input.length + j] * x });
  });
  // What the candidate of a GRU sees of the state goes through the reset gate
  const gated = kind.key === "gru" && q === kind.memory.candidate;
  const after = gated && w.b_hn;
  const reset = gated ? r.values.r[p].subarray(t * H, t * H + H) : null;
  if (after) all.push({ kind: "bias_h", value: reset[u] * w.b_hn[u] });
  if (w.w_h)
    stateBefore(r, "h", p, t)
      .subarray(0, P)
      .forEach((h, j) =>
        all.push({ kind: "unit", index: j, value: w.w_h[row * P + j] * h * (after ? reset[u] : reset ? reset[j] : 1) }),
      );
  if (w.p && kind.own_gates.includes(q)) {
    const c = q === "o" ? r.values.c[p].subarray(t * H) : stateBefore(r, "c", p, t);
    all.push({ kind: "peep", index: u, value: w.p[kind.own_gates.indexOf(q) * H + u] * c[u] });
  }
  const z = all.reduce((sum, term) => sum + term.value, 0);
  return { terms: all.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)), z };
}

/**
 * A part of the state from which a place begins in a run, or in every run of a model.
 * @type {(of: { initial?: Initial }, q: string, p: number) => Numbers}
 */
export const beginning = (of, q, p) => of.initial?.[q]?.[p] ?? new Float32Array(data.H);

/**
 * A part of the state before step t: that of the step before in reading order, or the one the run began from.
 * @param {Run} r
 * @param {string} q
 * @param {number} p
 * @param {number} t
 */
export function stateBefore(r, q, p, t) {
  const H = data.H;
  const at = previous(p, t);
  return at >= 0 && at < r.T ? r.values[q][p].subarray(at * H, at * H + H) : beginning(r, q, p);
}
