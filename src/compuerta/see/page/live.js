// The person's own model, live: new text, forced gates, a text that goes on; and whether this copy computes the same.

import { S, button, card, clampTo, data, el, field, fill, num, placeName, run, say, set, signed, symbol, unitName, view } from "./base.js";
import { forward, outputsAt, parity, probabilitiesOf, sample, surprise } from "./model.js";
import { average } from "./readings.js";

const MOST = 2000;

/** Token ids of a text, and the characters that the model does not know. */
export function encode(text) {
  const known = new Map(data.vocabulary.map((c, v) => [c, v])), unknown = new Set(), ids = [];
  for (const c of text) known.has(c) ? ids.push(known.get(c)) : unknown.add(c);
  return [Int32Array.from(ids), [...unknown]];
}

/** Run the model over inputs with what is forced, as a run like the stored ones. */
export function freeRun(inputs, clamps, before = null) {
  const r = forward(data.model, inputs, { clamps, before });
  r.numbers = Object.values(data.runs).find((other) => other.inputs === inputs)?.numbers;
  if (data.vocabulary) Object.assign(r, { ids: inputs, probabilities: probabilitiesOf(data.model, r, before) });
  else r.series = data.runs.base.series;
  if (data.output) {
    const { base, scale, skip, log } = data.output, z = outputsAt(data.model, r, r.T - 1).map((v, k) => base[k] + scale * (v + skip[k]));
    r.forecast = log ? z.map(Math.exp) : z;
  }
  return r;
}

export const bits = (r) => average(surprise(r, data.vocabulary.length));

/** Show the live run of `inputs` under what is forced now. */
export function showLive(inputs, clamps = S.clamps) {
  const last = data.runs.live, goesOn = last?.ids && data.directions === 1 && last.clamps === clamps && last.T <= inputs.length;
  data.runs.live = freeRun(inputs, clamps, goesOn && last.ids.every((id, t) => id === inputs[t]) ? last : null);
  set({ clamps, shown: "live" });
}

const forced = (c) => say("page.forced", { symbol: symbol(c.q), unit: unitName(c.u), layer: placeName(c.p), v: num(c.v, 2) });

export function live() {
  if (!data.model) return card("live", el("p.quiet", say("page.live.none")));
  const how = say("page.live.text"), box = { rows: 3, maxlength: MOST, spellcheck: "false", "aria-label": how, placeholder: how };
  const text = data.vocabulary && el("textarea", box);
  const note = el("p.quiet", { role: "status" }), chips = el("div.row-of"), loss = el("p"), went = el("div"), check = el("p.quiet");
  const inputs = () => {
    if (!text?.value) return data.runs.base.ids ?? data.runs.base.inputs;
    const [ids, unknown] = encode(text.value);
    note.textContent = unknown.length ? say("page.live.unknown", { chars: unknown.join(" ") }) : "";
    return ids;
  };
  const rerun = (clamps = S.clamps) => {
    const read = inputs();
    if (!read.length) return;
    const started = performance.now();
    showLive(read, clamps);
    if (text?.value) set({ t: data.runs.live.T - 1 });
    if (data.vocabulary && clamps.length && read.length > 1) {
      const before = bits(freeRun(read, [])), after = bits(data.runs.live);
      loss.textContent = say("page.live.loss", { before: num(before), after: num(after), change: signed(after - before) });
    } else loss.textContent = "";
    live.took = performance.now() - started;
  };
  const value = el("input", { type: "number", step: 0.1, value: 0, "aria-label": say("page.live.value") });
  const force = button("page.live.force", () => {
    const { p, q, u } = S, others = S.clamps.filter((c) => c.p !== p || c.q !== q || c.u !== u);
    rerun([...others, { p, q, u, v: Number(value.value) || 0 }]);
  });
  const heat = el("input", { type: "number", min: 0, max: 3, step: 0.1, value: 0.7 });
  const seed = el("input", { type: "number", min: 0, step: 1, value: 1 });
  const goOn = () => {
    const read = inputs(), temperature = clampTo(Number(heat.value), 0, 3);
    const written = (key, clamps) => {
      const ids = sample(data.model, read, 160, temperature, seed.value | 0, clamps);
      return el("div", el("h3", say(key)), el("pre", ids.map((id) => data.vocabulary[id]).join("")));
    };
    fill(went, written("page.live.free", []), S.clamps.length ? written("page.live.forced", S.clamps) : null);
  };
  text?.addEventListener("input", () => text.value ? rerun() : set({ shown: "base" }));
  const release = (clamp) => {
    const left = S.clamps.filter((other) => other !== clamp);
    if (left.length || text?.value) rerun(left);
    else set({ clamps: [], shown: "base" });
    force.focus();
  };
  view(() => fill(chips, S.clamps.map((clamp) =>
    el("button", { type: "button", "aria-label": say("page.live.release", { what: forced(clamp) }), onclick: () => release(clamp) }, `${forced(clamp)} ✕`))), "clamps");
  view(() => {
    force.textContent = say("page.live.force", { symbol: symbol(S.q), unit: unitName() });
    if (S.shown !== "live") loss.textContent = "";
  });
  setTimeout(() => (check.textContent = said()), 400);
  return card("live", text, note, el("div.row-of", el("label.field", force, value)), chips, loss,
    text && data.directions === 1 && el("div.row-of", button("page.live.go", goOn), field("page.live.heat", heat), field("page.live.seed", seed)),
    went, check);
}

/** This copy of the model against the numbers in the file. */
function said() {
  const worst = (data.parity = parity(data.model, data.runs.base)); // one step at a time from stored states
  const told = say(worst < 1e-6 ? "page.live.same" : "page.live.differs", { worst: worst.toExponential(1).replace("-", "−") });
  return `${told} ${say("page.live.whatif")}`;
}
