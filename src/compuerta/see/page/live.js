// The person's own model, live: new text, clamped gates, a text that goes on; and whether this copy computes the same.

import { button, card, el, field, fill } from "./elements.js";
import { forward, outputsAt, probabilitiesOf, sample, surprise } from "./model.js";
import { placeName, symbol, unitName } from "./names.js";
import { parity } from "./parity.js";
import { average } from "./readings.js";
import { S, within, data, home, run, set, view } from "./state.js";
import { glyph, num, say, signed } from "./words.js";

const MOST = 2000;

/**
 * Token ids of a text, and the characters that the model does not know.
 * @param {string} text
 * @returns {[Int32Array, string[]]}
 */
export function encode(text) {
  const tokens = new Map(data.vocabulary.map((c, v) => [c, v]));
  const unknown = new Set();
  const ids = [];
  for (const c of text) tokens.has(c) ? ids.push(tokens.get(c)) : unknown.add(c);
  return [Int32Array.from(ids), [...unknown]];
}

/**
 * Run a model over inputs under clamps, as a run like the stored ones.
 * @param {Model} model
 * @param {any} inputs
 * @param {Clamp[]} clamps
 * @param {Run | null} [before]
 * @returns {Run}
 */
export function freeRun(model, inputs, clamps, before = null) {
  const r = /** @type {Run} */ (forward(model, inputs, { clamps, before }));
  r.numbers = Object.values(data.runs).find((other) => other.inputs === inputs)?.numbers;
  if (data.vocabulary) Object.assign(r, { ids: inputs, probabilities: probabilitiesOf(model, r, before) });
  else r.series = data.runs.base.series;
  const [base, scale, skip] = model.around;
  if (base) {
    const z = outputsAt(model, r, r.T - 1).map((v, k) => base[k] + scale[0] * (v + skip[k]));
    r.forecast = model.log ? z.map(Math.exp) : z;
  }
  return r;
}

/** @type {(r: Run) => number} */
export const bits = (r) => average(surprise(r, data.vocabulary.length));

/**
 * Run what is not as in the `last` run, which may be of another text.
 * @param {Run | undefined} last
 * @param {Model} model
 * @param {any} inputs
 * @param {Clamp[]} clamps
 */
function runAgain(last, model, inputs, clamps) {
  const alike =
    last?.ids &&
    data.directions === 1 &&
    last.model === model &&
    (last.clamps === clamps || !(last.clamps.length + clamps.length));
  return freeRun(model, inputs, clamps, alike ? last : null);
}

/**
 * Show the live run of `inputs` under these clamps, by the model of the run `of`.
 * @param {any} inputs
 */
export function showLive(inputs, clamps = S.clamps, of = run()) {
  data.runs.live = runAgain(data.runs.live, of.model, inputs, clamps);
  data.runs.live.home = of.home;
  set({ clamps, shown: "live" });
}

/** @type {(c: Clamp) => string} */
const clampName = (c) =>
  say("page.clamp", { symbol: symbol(c.q), unit: unitName(c.u), layer: placeName(c.p), v: num(c.v, 2) });

export function live() {
  if (!data.model) return card("live", el("p.quiet", say("page.live.none")));
  const how = say("page.live.text");
  const box = { rows: 3, maxlength: MOST, spellcheck: "false", "aria-label": how, placeholder: how };
  const text = data.vocabulary && el("textarea", box);
  const note = el("p.quiet", { role: "status" });
  const chips = el("div.row-of");
  const loss = el("p");
  const went = el("div");
  const check = el("p.quiet");
  /** @type {Run | null} */
  // The run of the same text without clamps
  let free = null;
  const inputs = () => {
    /** @type {[any, string[]]} */
    const [ids, unknown] = text?.value ? encode(text.value) : [data.runs.base.ids ?? data.runs.base.inputs, []];
    note.textContent = unknown.length ? say("page.live.unknown", { chars: unknown.map(glyph).join(" ") }) : "";
    return ids;
  };
  /** The number in a field, or null with a word on it where there is none. */
  /** @type {(input: HTMLInputElement, what: string) => number | null} */
  const numberIn = (input, what) => {
    const number = input.value.trim() === "" ? NaN : Number(input.value);
    const good = Number.isFinite(number);
    input.setAttribute("aria-invalid", String(!good));
    if (good) return number;
    note.textContent = say("page.live.number", { what });
    input.focus();
    return null;
  };
  const rerun = (clamps = S.clamps) => {
    const read = inputs();
    if (!read.length) return;
    showLive(read, clamps);
    if (text?.value) set({ t: data.runs.live.T - 1 });
    if (data.vocabulary && clamps.length && read.length > 1) {
      free = runAgain(free, run().model, read, []);
      const before = bits(free);
      const after = bits(data.runs.live);
      loss.textContent = say("page.live.loss", {
        before: num(before),
        after: num(after),
        change: signed(after - before),
      });
    } else loss.textContent = "";
  };
  const value = el("input", { type: "number", step: 0.1, value: 0, "aria-label": say("page.live.value") });
  const force = button("page.live.clamp", () => {
    const { p, q, u } = S;
    const others = S.clamps.filter((c) => c.p !== p || c.q !== q || c.u !== u);
    const v = numberIn(value, say("page.live.value"));
    if (v !== null) rerun([...others, { p, q, u, v }]);
  });
  const heat = el("input", { type: "number", min: 0, max: 3, step: 0.1, value: 0.7 });
  const seed = el("input", { type: "number", min: 0, step: 1, value: 1 });
  const goOn = () => {
    const read = inputs();
    const asked = numberIn(heat, say("page.live.heat"));
    const first = numberIn(seed, say("page.live.seed"));
    if (asked === null || first === null) return;
    const temperature = within(asked, 0, 3);
    heat.value = String(temperature);
    seed.value = String(within(Math.trunc(first), 0, 2 ** 31 - 1));
    /** @type {(key: string, clamps: Clamp[]) => HTMLElement} */
    const written = (key, clamps) => {
      const ids = sample(run().model, read, 160, temperature, +seed.value, clamps);
      return el("div", el("h3", say(key)), el("pre", ids.map((id) => data.vocabulary[id]).join("")));
    };
    fill(went, written("page.live.free", []), S.clamps.length ? written("page.live.clamped", S.clamps) : null);
  };
  text?.addEventListener("input", () => (text.value ? rerun() : set({ shown: home() })));
  /** @type {(clamp: Clamp) => void} */
  const release = (clamp) => {
    const left = S.clamps.filter((other) => other !== clamp);
    if (left.length || text?.value) rerun(left);
    else set({ shown: home() });
    force.focus();
  };
  view(
    () =>
      fill(
        chips,
        S.clamps.map((clamp) =>
          el(
            "button",
            {
              type: "button",
              "aria-label": say("page.live.release", { what: clampName(clamp) }),
              onclick: () => release(clamp),
            },
            `${clampName(clamp)} ✕`,
          ),
        ),
      ),
    "clamps",
  );
  view(() => {
    force.textContent = say("page.live.clamp", { symbol: symbol(S.q), unit: unitName() });
    if (S.shown !== "live") loss.textContent = "";
  });
  setTimeout(() => (check.textContent = agreement()), 400);
  const none = el("p.quiet", say("page.live.none"));
  const body = el(
    "div",
    text,
    note,
    el("div.row-of", el("label.field", force, value)),
    chips,
    loss,
    text &&
      data.directions === 1 &&
      el("div.row-of", button("page.live.go", goOn), field("page.live.heat", heat), field("page.live.seed", seed)),
    went,
    check,
  );
  view(() => (none.hidden = !(body.hidden = !run().model)), "rev");
  const whole = card("live", none, body);
  if (!text) whole.querySelector(".lede").textContent = say("page.live.lede.series");
  return whole;
}

/** This copy of the model against the numbers in the file. */
function agreement() {
  const { worst, allowed, same } = (data.parity = parity(data.model, data.runs.base));
  const key = !same ? "page.live.differs" : worst < 1e-6 ? "page.live.same" : "page.live.rounded";
  /** @type {(v: number) => string} */
  const ten = (v) => (v < Infinity ? v.toExponential(1).replace("-", "−") : num(v));
  const first = say(key, { worst: ten(worst), allowed: ten(allowed) });
  return `${first} ${say("page.live.whatif")}`;
}
