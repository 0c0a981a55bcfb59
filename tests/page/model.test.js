import assert from "node:assert/strict";
import { test } from "node:test";

import { forward, outputs, sample, softmax, terms } from "../../src/compuerta/see/page/model.js";
import { product } from "../../src/compuerta/see/page/cells.js";
import { KINDS, about, numbers } from "./page.js";

const H = 3;
const K = 2;
const T = 120;
const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const near = (a, b, most = 1e-6) => assert.ok(Math.abs(a - b) <= most, `${a} is not ${b}`);

/** A plain LSTM of one layer with random weights over rows of numbers. */
function lstm() {
  about(H, KINDS.lstm);
  const w = { w_x: numbers(1, 4 * H * K), w_h: numbers(2, 4 * H * H), b: numbers(3, 4 * H) };
  return {
    kind: KINDS.lstm,
    H,
    handed: H,
    outputs: 2,
    epsilon: 0,
    places: [w],
    w: numbers(4, 2 * H),
    b: numbers(5, 2),
  };
}

const inputs = () => Array.from({ length: T }, (_, t) => numbers(100 + t, K));

/** The same cell written out unit by unit, from the equations. */
function byHand({ places: [w] }, xs, clamp = () => {}) {
  let h = new Float64Array(H);
  let c = new Float64Array(H);
  return xs.map((x) => {
    const z = Array.from(w.b, (b, row) => {
      let sum = b;
      for (let j = 0; j < K; j++) sum += w.w_x[row * K + j] * x[j];
      for (let j = 0; j < H; j++) sum += w.w_h[row * H + j] * h[j];
      return sum;
    });
    const [i, f, o] = [0, 1, 3].map((block) => z.slice(block * H, block * H + H).map(sigmoid));
    const g = z.slice(2 * H, 3 * H).map(Math.tanh);
    clamp(i);
    c = c.map((v, u) => f[u] * v + i[u] * g[u]);
    h = c.map((v, u) => o[u] * Math.tanh(v));
    return { c, h };
  });
}

test("a run is what the equations give, clamped or not", () => {
  const model = lstm();
  for (const clamps of [[], [{ p: 0, q: "i", u: 1, v: 0.25 }]]) {
    const steps = byHand(model, inputs(), (i) => clamps.forEach(({ u, v }) => (i[u] = v)));
    const r = forward(model, inputs(), { clamps });
    steps.forEach(({ c, h }, t) => {
      for (let u = 0; u < H; u++) near(r.values.c[0][t * H + u], c[u]);
      for (let u = 0; u < H; u++) near(r.values.h[0][t * H + u], h[u]);
    });
  }
});

test("a run that goes on from another equals one from the start", () => {
  const model = lstm();
  const xs = inputs();
  const before = forward(model, xs.slice(0, 80), {});
  const after = forward(model, xs, { before });
  assert.equal(after.start, 80);
  assert.deepEqual(after.values, forward(model, xs, {}).values);
});

test("the terms of a gate sum to what its sigmoid sees", () => {
  const model = lstm();
  const r = { ...forward(model, inputs(), {}), model };
  for (const t of [0, 50]) near(sigmoid(terms(model, r, "f", 0, 2, t).z), r.values.f[0][t * H + 2]);
  const sizes = terms(model, r, "f", 0, 2, 50).terms.map(({ value }) => Math.abs(value));
  assert.deepEqual(
    sizes,
    sizes.toSorted((a, b) => b - a),
  );
  assert.equal(terms(model, r, "c", 0, 2, 50), null);
});

test("a product is a sum over columns, whatever the number of rows", () => {
  for (const rows of [1, 4, 7]) {
    const w = numbers(rows, rows * 5);
    const v = numbers(9, 5);
    const out = product(w, v, rows, new Float64Array(rows));
    out.forEach((sum, r) =>
      near(
        sum,
        v.reduce((all, x, j) => all + w[r * 5 + j] * x, 0),
        1e-12,
      ),
    );
  }
});

test("probabilities sum to 1 however large the logits are", () => {
  const p = softmax(Float64Array.of(1000, 1001, -1000));
  near(p[0] + p[1] + p[2], 1, 1e-12);
  near(p[1] / p[0], Math.E, 1e-9);
});

test("a text goes on the same from the same seed, and by the likeliest token at temperature 0", () => {
  const model = lstm();
  const V = 2;
  model.places[0].table = Array.from({ length: V }, (_, v) => numbers(20 + v, 4 * H));
  const ids = Int32Array.of(0, 1, 1);
  assert.deepEqual(sample(model, ids, 30, 0.8, 7, []), sample(model, ids, 30, 0.8, 7, []));
  const first = sample(model, ids, 1, 0, 1, [])[0];
  const r = forward(model, ids, {});
  const logits = outputs(model, r.values.h[0].subarray(2 * H, 3 * H));
  assert.equal(first, logits[1] > logits[0] ? 1 : 0);
});
