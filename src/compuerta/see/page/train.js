// One gate that learns to remember: f = σ(b), a 1 written at the start, and b pushed down the slope of the loss.

import { button, choice, el, fill } from "./elements.js";
import { times } from "./state.js";
import { num, say } from "./words.js";

const RATE = 2;
const WIDE = 320;
const TALL = 120;
const STARTS = [-2, 0, 2];

/**
 * What is left after n steps, the loss (1 − fⁿ)², and its slope in b: −2 (1 − fⁿ) n fⁿ (1 − f).
 * @param {number} b
 * @param {number} n
 */
export function gateOf(b, n) {
  const f = 1 / (1 + Math.exp(-b));
  const left = f ** n;
  return { f, left, loss: (1 - left) ** 2, slope: -2 * (1 - left) * n * left * (1 - f) };
}

/**
 * The card, and what its key does.
 * @param {number} n
 */
export function training(n) {
  const bars = el("svg:g.bars");
  const line = el("svg:path.line");
  const dot = el("svg:circle.me", { r: 4 });
  const summary = el("p", { role: "status" });
  /** @type {(name: string, ...marks: Child[]) => HTMLElement} */
  const plot = (name, ...marks) =>
    el(
      "figure",
      el("figcaption", say(`lesson.gate.${name}`)),
      el(
        "svg:svg",
        { viewBox: `-4 -6 ${WIDE + 8} ${TALL + 12}`, "aria-hidden": "true" },
        el("svg:path.axis", { d: `M0 0V${TALL}H${WIDE}` }),
        ...marks,
      ),
    );
  let b = 0;
  /** @type {number[]} */
  let losses = [];
  const show = () => {
    const { f, left, loss, slope } = gateOf(b, n);
    const wide = WIDE / (n + 1);
    fill(
      bars,
      times(n + 1, (k) =>
        el("svg:rect", { x: k * wide + 1, width: wide - 2, y: TALL * (1 - f ** k), height: TALL * f ** k }),
      ),
    );
    /** @type {(k: number) => number} */
    const x = (k) => (WIDE * k) / Math.max(20, losses.length - 1);
    /** @type {(v: number) => number} */
    const y = (v) => TALL * (1 - v);
    line.setAttribute("d", losses.map((v, k) => `${k ? "L" : "M"}${x(k)} ${y(v)}`).join(""));
    dot.setAttribute("cx", String(x(losses.length - 1)));
    dot.setAttribute("cy", String(y(loss)));
    summary.textContent = say("lesson.gate.now", {
      k: losses.length - 1,
      b: num(b),
      f: num(f),
      n,
      left: num(left),
      loss: num(loss),
      slope: num(slope),
    });
  };
  /** @type {(from: number) => void} */
  const start = (from) => {
    b = from;
    losses = [gateOf(b, n).loss];
    show();
  };
  const step = (count = 1) => {
    for (let k = 0; k < count; k++) {
      b -= RATE * gateOf(b, n).slope;
      losses.push(gateOf(b, n).loss);
    }
    show();
  };
  const node = el(
    "section.card",
    { id: "train", "aria-labelledby": "train-h" },
    el("h2", { id: "train-h", tabindex: -1 }, say("lesson.gate.title")),
    el("p.lede", say("lesson.gate.lede", { n })),
    el(
      "div.row-of",
      choice(
        "lesson.gate.start",
        STARTS.map((v) => [v, `b = ${num(v, 0)}`]),
        STARTS[2],
        (v) => start(+v),
      ),
      button("lesson.gate.step", () => step(), { class: "main" }),
      button("lesson.gate.ten", () => step(10)),
    ),
    summary,
    el("div.plots", plot("memory", bars), plot("loss", line, dot)),
  );
  start(STARTS[2]);
  return { node, step };
}
