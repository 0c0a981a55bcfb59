// The model itself, in plain JavaScript: embedding, a stack of plain LSTM or GRU layers, and a linear layer.
// Weights are those of the file, sums are taken in double precision, blocks stand in the order i f g o or r z n.

import { data } from "./base.js";

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

/** out[r] = Σ_j w[r, j] v[j] for rows of `w` (rows, n), four rows at a time so that v is read once for them. */
function product(w, v, rows, out) {
  const n = v.length;
  let r = 0;
  for (; r + 3 < rows; r += 4) {
    const i = r * n, k = i + n, l = k + n, m = l + n;
    let a = 0, b = 0, c = 0, d = 0;
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

/** Layers as {wx, wh, b, bhn, inputs} and what stands around them; or null where the file has no weights to run. */
export function load(meta, all, prefix) {
  if (!meta) return null;
  const arrays = (name) => all[prefix + name];
  const layers = [];
  for (let k = 0; k < meta.layers; k++) {
    layers.push({ wx: arrays(`wx${k}`), wh: Float64Array.from(arrays(`wh${k}`)), b: arrays(`b${k}`), bhn: arrays(`bhn${k}`),
      inputs: k ? meta.hidden : meta.inputs });
  }
  const model = { ...meta, layers, H: meta.hidden, G: meta.cell === "lstm" ? 4 : 3, embedding: arrays("embedding"), w: arrays("w"), b: arrays("wb") };
  if (model.embedding) { // W_x E once for each token, as its column is all that a token adds
    const V = data.vocabulary.length, K = meta.inputs, rows = model.G * model.H;
    model.table = new Float64Array(V * rows);
    for (let v = 0; v < V; v++) product(layers[0].wx, model.embedding.subarray(v * K, v * K + K), rows, model.table.subarray(v * rows, v * rows + rows));
  }
  return model;
}

/** What a step adds to each block from its input: a view of the table for a token, else a product. */
function fromInput(model, k, input, out) {
  const rows = model.G * model.H;
  if (k === 0 && model.table) return model.table.subarray(input * rows, input * rows + rows);
  return product(model.layers[k].wx, input, rows, out);
}

/** A stepper with a state of its own; `force(k, q, values)` may change a quantity as it is computed. */
export function stepper(model, force = null) {
  const { H, G } = model;
  const lstm = model.cell === "lstm";
  const names = lstm ? ["i", "f", "g", "o", "c", "h"] : ["r", "z", "n", "h"];
  const state = model.layers.map(() => Object.fromEntries([...names, "q"].map((q) => [q, new Float64Array(H)])));
  const zx = new Float64Array(G * H), zh = new Float64Array(G * H), mixed = new Float64Array(H);
  const forced = (k, q) => force && force(k, q, state[k][q]);
  function step(input) {
    model.layers.forEach((layer, k) => {
      const s = state[k];
      const x = fromInput(model, k, input, zx);
      product(layer.wh, s.h, G * H, zh);
      if (lstm) {
        for (let u = 0; u < H; u++) {
          s.i[u] = sigmoid(x[u] + zh[u] + layer.b[u]);
          s.f[u] = sigmoid(x[H + u] + zh[H + u] + layer.b[H + u]);
          s.g[u] = Math.tanh(x[2 * H + u] + zh[2 * H + u] + layer.b[2 * H + u]);
          s.o[u] = sigmoid(x[3 * H + u] + zh[3 * H + u] + layer.b[3 * H + u]);
        }
        for (const q of "ifgo") forced(k, q);
        for (let u = 0; u < H; u++) s.c[u] = s.f[u] * s.c[u] + s.i[u] * s.g[u];
        forced(k, "c");
        for (let u = 0; u < H; u++) s.h[u] = s.o[u] * Math.tanh(s.c[u]);
      } else {
        for (let u = 0; u < H; u++) {
          s.r[u] = sigmoid(x[u] + zh[u] + layer.b[u]);
          s.z[u] = sigmoid(x[H + u] + zh[H + u] + layer.b[H + u]);
        }
        forced(k, "r");
        forced(k, "z");
        if (layer.bhn) for (let u = 0; u < H; u++) s.q[u] = s.r[u] * (zh[2 * H + u] + layer.bhn[u]);
        else {
          for (let u = 0; u < H; u++) mixed[u] = s.r[u] * s.h[u];
          product(layer.wh.subarray(2 * H * H), mixed, H, s.q);
        }
        for (let u = 0; u < H; u++) s.n[u] = Math.tanh(x[2 * H + u] + layer.b[2 * H + u] + s.q[u]);
        forced(k, "n");
        for (let u = 0; u < H; u++) s.h[u] = (1 - s.z[u]) * s.n[u] + s.z[u] * s.h[u];
      }
      forced(k, "h");
      input = s.h;
    });
    return state;
  }
  return { state, names, step };
}

/** Logits (or outputs) after a step. */
export function outputs(model, h, out = new Float64Array(model.outputs)) {
  product(model.w, h, model.outputs, out);
  for (let v = 0; v < out.length; v++) out[v] += model.b[v];
  return out;
}

/** Probabilities in place of logits. */
export function softmax(z, temperature = 1) {
  let most = -Infinity, sum = 0;
  for (const value of z) if (value > most) most = value;
  for (let v = 0; v < z.length; v++) sum += z[v] = Math.exp((z[v] - most) / temperature);
  for (let v = 0; v < z.length; v++) z[v] /= sum;
  return z;
}

/** What is forced, as the stepper wants it: [{p, q, u, v}], u null for every unit. */
export const forcing = (clamps) => clamps.length
  ? (k, q, values) => {
    for (const c of clamps) if (c.p === k && c.q === q) c.u === null ? values.fill(c.v) : (values[c.u] = c.v);
  }
  : null;

/**
 * Run over inputs (token ids, or rows of numbers) and keep everything: {T, values: {q: [array per layer]}, …}.
 * Where `frames` gives states that the trace stored, the run starts again from each of them; where `before` is the run
 * of a part of the same inputs, it goes on from its end.
 */
export function forward(model, inputs, clamps = [], frames = null, before = null) {
  const T = inputs.length, { H } = model, longer = (size, from) => {
    const made = new Float32Array(size);
    if (from) made.set(from);
    return made;
  };
  const runner = before?.runner ?? stepper(model, forcing(clamps));
  const values = Object.fromEntries(runner.names.map((q) => [q, model.layers.map((_, k) => longer(T * H, before?.values[q][k]))]));
  const probabilities = model.w && model.table ? longer(T * model.outputs, before?.probabilities) : null;
  const line = new Float64Array(model.w ? model.outputs : 0);
  for (let t = before?.T ?? 0; t < T; t++) {
    const frame = frames?.at[t];
    if (frame !== undefined) restore(model, runner.state, frames.values, frame);
    runner.step(inputs[t]);
    runner.state.forEach((s, k) => {
      for (const q of runner.names) values[q][k].set(s[q], t * H);
    });
    if (probabilities) probabilities.set(softmax(outputs(model, runner.state.at(-1).h, line)), t * model.outputs);
  }
  return { T, values, probabilities, runner };
}

/** Put a stored state (parts h, c of each layer, one after another) into a stepper's. */
function restore(model, state, stored, frame) {
  const { H } = model, parts = model.cell === "lstm" ? ["h", "c"] : ["h"];
  let at = frame * state.length * parts.length * H;
  for (const s of state) for (const q of parts) for (let u = 0; u < H; u++) s[q][u] = stored[at++];
}

/** Probabilities at every step of a run whose hidden states are known. */
export function probabilitiesOf(model, h, T) {
  const out = new Float32Array(T * model.outputs), line = new Float64Array(model.outputs);
  for (let t = 0; t < T; t++) out.set(softmax(outputs(model, h.subarray(t * model.H, (t + 1) * model.H), line)), t * model.outputs);
  return out;
}

/** The greatest difference between one step of this model and the stored one (relative where it is above 1). */
export function parity(model, inputs, stored, pairs) {
  const { H } = model, runner = stepper(model);
  let worst = 0;
  for (const t of pairs) {
    runner.state.forEach((s, k) => {
      for (const q of ["h", "c"]) if (s[q]) for (let u = 0; u < H; u++) s[q][u] = t ? stored(q, k, t - 1, u) : 0;
    });
    runner.step(inputs[t]);
    runner.state.forEach((s, k) => {
      for (const q of runner.names) for (let u = 0; u < H; u++) {
        const there = stored(q, k, t, u);
        if (there !== undefined) worst = Math.max(worst, Math.abs(there - s[q][u]) / Math.max(1, Math.abs(there)));
      }
    });
  }
  return worst;
}

/** Bits per character of a run over its own text: −log2 p of each next character, one fewer than there are. */
export function surprise(r, V) {
  const bits = new Float64Array(Math.max(0, r.T - 1));
  for (let t = 0; t + 1 < r.T; t++) bits[t] = -Math.log2(r.probabilities[t * V + r.ids[t + 1]]);
  return bits;
}

/** Numbers in [0, 1) from a seed (mulberry32, public domain), so that a sample can be had again. */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Go on from `ids` for `count` tokens, drawn at a temperature (0 takes the likeliest). */
export function sample(model, ids, count, temperature, seed, clamps) {
  const runner = stepper(model, forcing(clamps)), next = random(seed), out = [];
  for (const id of ids) runner.step(id);
  for (let k = 0; k < count; k++) {
    const p = softmax(outputs(model, runner.state.at(-1).h), temperature || 1);
    let id = p.indexOf(Math.max(...p));
    if (temperature) {
      let left = next();
      id = p.findIndex((share) => (left -= share) < 0);
      if (id < 0) id = p.length - 1;
    }
    out.push(id);
    runner.step(id);
  }
  return out;
}

/** The terms of one block of one unit at one step, largest first: [{kind, index, value}], and their sum z. */
export function terms(model, r, q, p, u, t) {
  const { H, cell } = model, layer = model.layers[p];
  const block = (cell === "lstm" ? "ifgo" : "rzn").indexOf(q);
  const row = block * H + u, found = [{ kind: "bias", index: 0, value: layer.b[row] }];
  if (p === 0 && model.table) found.push({ kind: "token", index: r.ids[t], value: model.table[r.ids[t] * model.G * H + row] });
  else for (let j = 0; j < layer.inputs; j++) {
    const x = p ? r.values.h[p - 1][t * H + j] : r.inputs[t][j];
    found.push({ kind: p ? "below" : "input", index: j, value: layer.wx[row * layer.inputs + j] * x });
  }
  const inside = q === "n" && !layer.bhn;
  const outside = q === "n" && layer.bhn ? r.values.r[p][t * H + u] : 1;
  if (outside !== 1 || (q === "n" && layer.bhn)) found.push({ kind: "bias_h", index: 0, value: outside * layer.bhn[u] });
  const before = stateBefore(r, "h", p, t);
  for (let j = 0; j < H; j++) {
    const h = before[j] * (inside ? r.values.r[p][t * H + j] : 1);
    found.push({ kind: "unit", index: j, value: outside * layer.wh[row * H + j] * h });
  }
  let z = 0;
  for (const term of found) z += term.value;
  found.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  return { found, z };
}

/** A part of the state before step t: that of the step before in reading order, or the one the run began from. */
export function stateBefore(r, q, p, t) {
  const H = data.H, before = data.places[p][1] ? t + 1 : t - 1;
  if (before >= 0 && before < r.T) return r.values[q][p].subarray(before * H, before * H + H);
  return r.first?.[q]?.[p] ?? new Float32Array(H);
}
