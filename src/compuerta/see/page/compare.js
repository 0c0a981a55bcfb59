// Two checkpoints on the same text: the same unit before and after, step under step.

import { rgb } from "./colour.js";
import { button, card, el } from "./elements.js";
import { grid, paint } from "./heat.js";
import { bits } from "./live.js";
import { symbol } from "./names.js";
import { strip, valueAt } from "./ribbon.js";
import { S, data, run, set, times, view } from "./state.js";
import { num, say } from "./words.js";

const AROUND = 60;

export function compare() {
  /** @type {[string, Run][]} */
  const both = [
    ["other", data.runs.other],
    ["base", data.runs.base],
  ];
  if (!both[0][1]) return null;
  /** @type {(run: [string, Run]) => string} */
  const called = ([name, r]) => r.label || say(data.lesson ? `lesson.compare.${name}` : `page.compare.${name}`);
  const summary = el("p");
  const rows = both.map(([name, r]) => {
    const line = strip();
    const score = el("span.quiet");
    const { node, canvas, cross } = grid((share) => set({ u: Math.min(data.H - 1, Math.floor(share * data.H)) }));
    node.style.height = `${Math.max(40, Math.min(180, data.H * 8))}px`;
    /** @type {(t: number, u: number, every?: boolean) => Colour} */
    const at = (t, u, every) => rgb(S.q, valueAt(S.q, t, u, S.p, r), every);
    view(() => {
      const from = Math.max(0, Math.min(S.t - AROUND / 2, r.T - AROUND));
      line.show(
        times(Math.min(AROUND, r.T - from), (k) => from + k),
        (k) => at(from + k, S.u),
        r,
      );
    }, "t q u p rev");
    view(() => paint(canvas, data.H, r.T, (u, t) => at(t, u, true)), "q p rev");
    view(() => (score.textContent = r.probabilities ? say("page.compare.bits", { bits: num(bits(r)) }) : ""), "rev");
    view(() => cross([S.u / data.H, 1 / data.H]));
    return el("div", el("h3", called([name, r])), score, line.node, node);
  });
  view(() => {
    const [a, b] = both.map(([, r]) => r.values[S.q][S.p]);
    let sum = 0;
    for (let k = 0; k < a.length; k++) sum += Math.abs(a[k] - b[k]);
    const [one, two] = both.map(called);
    const now = S.t * data.H + S.u;
    summary.textContent = say("page.compare.now", {
      symbol: symbol(S.q),
      one,
      two,
      a: num(a[now]),
      b: num(b[now]),
      mean: num(sum / a.length),
    });
  }, "q p rev t u");
  const swap = button("page.compare.swap", () => set({ shown: run() === data.runs.other ? "base" : "other" }));
  return card("compare", summary, el("div.two.even", rows), el("div.row-of", swap));
}
