import assert from "node:assert/strict";
import { test } from "node:test";

import {
  above,
  correlation,
  halfLife,
  keptAndWritten,
  ledger,
  saturation,
  search,
  shares,
} from "../../src/compuerta/see/page/readings.js";
import { KINDS, about, numbers } from "./page.js";

const T = 60;
const H = 3;
const near = (a, b, most = 1e-9) => assert.ok(Math.abs(a - b) <= most, `${a} is not ${b}`);

/** A run of an LSTM's memory: c of every step follows from random gates, in the order of reading. */
function memory(back) {
  about(H, KINDS.lstm, { back });
  const f = numbers(1, T * H, 0, 1);
  const i = numbers(2, T * H, 0, 1);
  const g = numbers(3, T * H);
  const began = numbers(4, H);
  const c = new Float64Array(T * H);
  for (let n = 0; n < T; n++) {
    const t = back ? T - 1 - n : n;
    for (let u = 0; u < H; u++) {
      const before = n ? c[(back ? t + 1 : t - 1) * H + u] : began[u];
      c[t * H + u] = f[t * H + u] * before + i[t * H + u] * g[t * H + u];
    }
  }
  return { T, values: { f: [f], i: [i], g: [g], c: [c] }, initial: { c: [began] } };
}

for (const back of [false, true]) {
  test(`the ledger sums to the memory, ${back ? "backward" : "forward"}`, () => {
    const r = memory(back);
    for (const t of [0, 7, T - 1]) {
      const { steps, shares, start, total } = ledger(r, 0, 1, t);
      near(total, r.values.c[0][t * H + 1]);
      near(
        shares.reduce((a, v) => a + v, start),
        total,
      );
      assert.equal(steps.at(-1), t);
      assert.equal(steps.length, back ? T - t : t + 1);
    }
  });
}

/** Each kind's memory, its equation written out, and one with zoneout. */
const EQUATIONS = {
  lstm: [KINDS.lstm, ({ f, i, g }, m) => f * m + i * g],
  gru: [KINDS.gru, ({ z, n }, m) => (1 - z) * n + z * m],
  minlstm: [KINDS.minlstm, ({ f, i, g }, m) => (f * m + i * g) / (f + i)],
  zoneout: [
    { ...KINDS.lstm, memory: { ...KINDS.lstm.memory, zoneout: 0.3 } },
    ({ f, i, g }, m) => 0.3 * m + 0.7 * (f * m + i * g),
  ],
};

for (const [name, [kind, next]] of Object.entries(EQUATIONS)) {
  test(`what is kept and written of a memory follows from its equation: ${name}`, () => {
    about(H, kind);
    const keys = Object.keys(kind.quantities);
    const values = Object.fromEntries(keys.map((q, n) => [q, [numbers(30 + n, T * H, 0.1, 1)]]));
    for (let at = 0; at < T * H; at++) {
      const here = Object.fromEntries(keys.map((q) => [q, values[q][0][at]]));
      const [kept, wrote] = keptAndWritten({ values }, 0, at % H, Math.floor(at / H));
      near(kept * 0.7 + wrote, next(here, 0.7));
    }
  });
}

test("a memory that is neither kept nor written over stays, and NaN is no share", () => {
  const { memory } = KINDS.minlstm;
  assert.deepEqual(
    shares(memory, () => 0),
    [1, 0],
  );
  assert.ok(shares(memory, () => NaN).every(Number.isNaN));
});

test("half of a memory is left after its half-life", () => {
  const r = memory(false);
  r.values.f[0].fill(0.9);
  near(0.9 ** halfLife(r, 0, 0), 0.5);
  r.values.f[0].fill(1);
  assert.equal(halfLife(r, 0, 0), Infinity);
});

test("saturation counts what lies beyond 0.1 and 0.9 as 32 bits have them", () => {
  about(1, KINDS.lstm);
  const f = Float32Array.from([0.1, 0.9, 0.0999, 0.9001, 0.5, NaN]);
  assert.deepEqual(saturation({ T: 6, values: { f: [f] } }, "f", 0, 0), [1, 1]);
});

test("the area under the ROC curve is the chance of a pair, correlation that of Pearson", () => {
  assert.equal(above(Float64Array.of(1, 2, 3, 4), [false, false, true, true]), 0.5);
  assert.equal(above(Float64Array.of(1, 2, 3, 4), [true, false, false, true]), 0);
  assert.ok(Number.isNaN(above(Float64Array.of(1, 2), [true, true])));
  near(correlation(Float64Array.of(1, 2, 3), Float64Array.of(-2, -4, -6)), -1);
  assert.equal(correlation(Float64Array.of(1, 1), Float64Array.of(1, 2)), 0);
});

test("the search finds the unit that was planted, its sign, and leaves out what is not finite", () => {
  about(H, KINDS.lstm);
  const labels = Array.from({ length: T }, (_, t) => (t * 7) % 11 < 4);
  const c = numbers(5, T * H);
  const h = numbers(6, T * H);
  for (let t = 0; t < T; t++) h[t * H + 2] = (labels[t] ? -1 : 1) + 0.1 * c[t * H];
  c[1] = NaN;
  const r = { T, values: { c: [c], h: [h] } };
  const { binary, best } = search(r, labels);
  assert.equal(binary, true);
  assert.deepEqual([best[0].q, best[0].u, best[0].sign, best[0].score], ["h", 2, -1, 1]);
  assert.ok(best.every(({ q, u }) => q !== "c" || u !== 1));
});
