// What is read off a run: who wrote a memory, which gates are stuck, which unit follows what.

import { beginning } from "./model.js";
import { data, times } from "./state.js";

/**
 * The order in which a place read the steps up to and with t, the earliest first.
 * @param {Run} r
 * @param {number} p
 * @param {number} t
 */
export function past(r, p, t) {
  const back = data.places[p][1];
  return Array.from({ length: back ? r.T - t : t + 1 }, (_, k) => (back ? r.T - 1 - k : k));
}

/**
 * The share of the memory that is kept and the share of the candidate that is written: MemoryEquation.shares in Python.
 * @param {MemoryEquation} memory
 * @param {(q: string) => number} v the value of a quantity
 */
export function shares({ keep, write, normalized, zoneout }, v) {
  let kept = v(keep);
  let share = write ? v(write) : 1 - kept;
  if (normalized) {
    const both = kept + share;
    [kept, share] = both === 0 ? [1, 0] : [kept / both, share / both];
  }
  return zoneout ? [zoneout + (1 - zoneout) * kept, (1 - zoneout) * share] : [kept, share];
}

/**
 * What share of its memory a unit keeps at a step, and what it writes to it.
 * @param {Run} r
 * @param {number} p
 * @param {number} u
 * @param {number} t
 */
export function keptAndWritten(r, p, u, t) {
  const { memory } = data.kind;
  /** @type {(q: string) => number} */
  const v = (q) => r.values[q][p][t * data.H + u];
  const [kept, share] = shares(memory, v);
  return [kept, share * v(memory.candidate)];
}

/**
 * The exact ledger m_t = (∏ k) m_0 + Σ_s (∏_{j>s} k_j) w_s along the direct path; `start` is what m_0 left.
 * @param {Run} r
 * @param {number} p
 * @param {number} u
 * @param {number} t
 * @returns {Ledger}
 */
export function ledger(r, p, u, t) {
  const steps = past(r, p, t);
  const shares = new Float64Array(steps.length);
  let kept = 1;
  let total = 0;
  for (let k = steps.length - 1; k >= 0; k--) {
    const [share, wrote] = keptAndWritten(r, p, u, steps[k]);
    total += shares[k] = kept * wrote;
    kept *= share;
  }
  const start = kept * beginning(r, data.kind.memory.quantity, p)[u];
  return { steps, shares, start, total: total + start };
}

/**
 * Steps after which half of a unit's memory is left: ln ½ over the mean of ln k of the whole run.
 * @param {Run} r
 * @param {number} p
 * @param {number} u
 */
export function halfLife(r, p, u) {
  let sum = 0;
  for (let t = 0; t < r.T; t++) sum += Math.log(keptAndWritten(r, p, u, t)[0]);
  return sum < 0 ? (Math.log(0.5) * r.T) / sum : Number.isNaN(sum) ? NaN : Infinity;
}

const LOW = Math.fround(0.1);
const HIGH = Math.fround(0.9);

/**
 * How many steps a gate of a unit stood below 0.1 and above 0.9: [low, high].
 * @param {Run} r
 * @param {string} q
 * @param {number} p
 * @param {number} u
 * @returns {[number, number]}
 */
export function saturation(r, q, p, u) {
  let low = 0;
  let high = 0;
  for (let t = 0; t < r.T; t++) {
    const v = r.values[q][p][t * data.H + u];
    if (v < LOW) low++;
    else if (v > HIGH) high++;
  }
  return [low, high];
}

/**
 * The rank of each value among all, from 1; equal values share the mean of theirs.
 * @param {Float64Array} values
 */
function ranks(values) {
  const order = Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  const out = new Float64Array(values.length);
  for (let k = 0, end; k < order.length; k = end) {
    for (end = k + 1; end < order.length && values[order[end]] === values[order[k]];) end++;
    for (let j = k; j < end; j++) out[order[j]] = (k + end + 1) / 2;
  }
  return out;
}

/**
 * How far the area under the ROC curve lies above a half, from the ranks of the values (Mann and Whitney).
 * @param {Float64Array} rank
 * @param {Labels} labels
 */
export function above(rank, labels) {
  let ones = 0;
  let sum = 0;
  labels.forEach((label, k) => label && (ones++, (sum += rank[k])));
  const zeros = rank.length - ones;
  return ones && zeros ? (sum - (ones * (ones + 1)) / 2) / (ones * zeros) - 0.5 : NaN;
}

/**
 * Pearson's correlation; 0 where one of the two stands still.
 * @param {Float64Array} a
 * @param {any} b
 */
export function correlation(a, b) {
  const ma = average(a);
  const mb = average(b);
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let k = 0; k < a.length; k++) {
    ab += (a[k] - ma) * (b[k] - mb);
    aa += (a[k] - ma) ** 2;
    bb += (b[k] - mb) ** 2;
  }
  return aa && bb ? ab / Math.sqrt(aa * bb) : 0;
}

/** @type {(values: any) => number} */
export const average = (values) =>
  values.reduce((/** @type {number} */ x, /** @type {number} */ y) => x + y, 0) / values.length;

/**
 * Units ranked by how well their memory or output follows `labels` (T,) on the first half; their score on the second half, unseen
 * by the ranking; and the best that the same search finds in labels shifted round the text, which is what chance finds:
 * by the same steps as in Python, as shares of a text so that they serve texts of any length. Units that are not
 * finite at all steps are left out.
 * @param {Run} r
 * @param {Labels} labels
 * @param {number} [count]
 * @returns {Search}
 */
export function search(r, labels, count = 6) {
  const H = data.H;
  const T = r.T;
  const cut = (data.warm + T) >> 1;
  const binary = typeof labels[0] === "boolean";
  /** @type {{ q: string, p: number, u: number, early: Float64Array, late: Float64Array }[]} */
  const all = [];
  /** @type {(q: string, p: number, u: number, from: number, to: number) => Float64Array} */
  const column = (q, p, u, from, to) => {
    const values = Float64Array.from({ length: to - from }, (_, k) => r.values[q][p][(from + k) * H + u]);
    return binary ? ranks(values) : values;
  };
  for (let p = 0; p < data.places.length; p++)
    for (const q of new Set([data.kind.memory.quantity, data.kind.parts[0]]))
      for (let u = 0; u < H; u++) {
        const finite = () => times(T, (t) => t).every((t) => Number.isFinite(r.values[q][p][t * H + u]));
        if (finite()) all.push({ q, p, u, early: column(q, p, u, data.warm, cut), late: column(q, p, u, cut, T) });
      }
  const score = binary ? above : correlation;
  /** @type {(v: number) => number} */
  const shown = (v) => (binary ? v + 0.5 : v);
  /** @type {(marks: Labels, most: number) => Hit[]} */
  const best = (marks, most) => {
    const a = marks.slice(data.warm, cut);
    const b = marks.slice(cut);
    const scored = all.map((one) => ({ ...one, v: score(one.early, a) })).filter(({ v }) => Number.isFinite(v));
    return scored
      .sort((x, y) => Math.abs(y.v) - Math.abs(x.v))
      .slice(0, most)
      .map(({ q, p, u, late, v }) => {
        const sign = v < 0 ? -1 : 1;
        return { q, p, u, sign, score: shown(sign * score(late, b)) };
      });
  };
  const chance = data.shifts
    .map((share) => {
      const turn = data.warm + Math.round(share * (T - 2 * data.warm));
      return best(
        labels.map((_, t) => labels[(t - turn + T) % T]),
        1,
      )[0]?.score;
    })
    .filter(Number.isFinite);
  return { binary, best: best(labels, count), chance: chance.length ? Math.max(...chance) : shown(0) };
}
