// What is read off a run: who wrote a memory, which gates are stuck, which unit follows what.

import { data } from "./base.js";
import { random } from "./model.js";

/** The order in which a place read the steps up to and with t, the earliest first. */
export function past(r, p, t) {
  const back = data.places[p][1];
  return Array.from({ length: back ? r.T - t : t + 1 }, (_, k) => (back ? r.T - 1 - k : k));
}

/** What is kept of a state, what is written, for a unit at a step: f and i·g, or z and (1 − z)·n. */
function parts(r, p, u, t) {
  const v = (q) => r.values[q][p][t * data.H + u];
  return r.values.f ? [v("f"), v("i") * v("g")] : [v("z"), (1 - v("z")) * v("n")];
}

/** The exact ledger c_t = (∏ f) c_0 + Σ_k (∏_{j>k} f_j) i_k g_k along the direct path, from c_0 = 0. */
export function ledger(r, p, u, t) {
  const steps = past(r, p, t), shares = new Float64Array(steps.length);
  let kept = 1, total = 0;
  for (let k = steps.length - 1; k >= 0; k--) {
    const [f, wrote] = parts(r, p, u, steps[k]);
    total += shares[k] = kept * wrote;
    kept *= f;
  }
  return { steps, shares, total };
}

/** Steps after which half of what a unit held is left: ln ½ over the mean of ln f of the whole run. */
export function halfLife(r, p, u) {
  let sum = 0;
  for (let t = 0; t < r.T; t++) sum += Math.log(parts(r, p, u, t)[0]);
  return sum < 0 ? (Math.log(0.5) * r.T) / sum : Number.isNaN(sum) ? NaN : Infinity;
}

const LOW = Math.fround(0.1), HIGH = Math.fround(0.9);

/** How many steps a gate of a unit stood below 0.1 and above 0.9: [low, high]. */
export function saturation(r, q, p, u) {
  let low = 0, high = 0;
  for (let t = 0; t < r.T; t++) {
    const v = r.values[q][p][t * data.H + u];
    if (v < LOW) low++;
    else if (v > HIGH) high++;
  }
  return [low, high];
}

/** The area under the ROC curve of `values` for `labels` (0 or 1): ties count half; 0.5 where one kind is missing. */
export function auroc(values, labels) {
  const order = Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  let ones = 0, sum = 0;
  for (let k = 0; k < order.length; ) {
    let end = k + 1;
    while (end < order.length && values[order[end]] === values[order[k]]) end++;
    for (let j = k; j < end; j++) if (labels[order[j]]) {
      ones++;
      sum += (k + end + 1) / 2;
    }
    k = end;
  }
  const zeros = values.length - ones;
  return ones && zeros ? (sum - (ones * (ones + 1)) / 2) / (ones * zeros) : 0.5;
}

/** Pearson's correlation; 0 where one of the two stands still. */
export function correlation(a, b) {
  const n = a.length, ma = a.reduce((x, y) => x + y, 0) / n, mb = b.reduce((x, y) => x + y, 0) / n;
  let ab = 0, aa = 0, bb = 0;
  for (let k = 0; k < n; k++) {
    ab += (a[k] - ma) * (b[k] - mb);
    aa += (a[k] - ma) ** 2;
    bb += (b[k] - mb) ** 2;
  }
  return aa && bb ? ab / Math.sqrt(aa * bb) : 0;
}

/**
 * Units ranked by how well they follow `labels` (T,) on the first half; their score on the second half, unseen by the
 * ranking, beside the same search with labels turned by a random amount: what chance alone finds among so many units.
 */
export function search(r, q, labels, count = 8) {
  const H = data.H, cut = r.T >> 1, binary = labels.every((v) => v === 0 || v === 1);
  const column = (p, u, from, to) => Float64Array.from({ length: to - from }, (_, k) => r.values[q][p][(from + k) * H + u]);
  const every = data.places.flatMap((_, p) => Array.from({ length: H }, (_, u) => [p, u, column(p, u, 0, cut), column(p, u, cut, r.T)]));
  const score = binary ? (v, l) => 2 * auroc(v, l) - 1 : correlation;
  const best = (marks, most) => {
    const a = marks.slice(0, cut), b = marks.slice(cut);
    return every.map(([p, u, first, second]) => ({ p, u, first: score(first, a), second }))
      .sort((x, y) => Math.abs(y.first) - Math.abs(x.first)).slice(0, most)
      .map(({ p, u, first, second }) => ({ p, u, sign: Math.sign(first) || 1, held: (Math.sign(first) || 1) * score(second, b) }));
  };
  const shown = (v) => (binary ? (v + 1) / 2 : v), next = random(0), chance = [];
  for (let k = 0; k < 5; k++) {
    const turn = 1 + Math.floor(next() * (r.T - 1));
    chance.push(shown(best(labels.map((_, t) => labels[(t + turn) % r.T]), 1)[0].held));
  }
  return { binary, found: best(labels, count).map((f) => ({ ...f, held: shown(f.held) })), chance: chance.reduce((a, b) => a + b, 0) / chance.length };
}
