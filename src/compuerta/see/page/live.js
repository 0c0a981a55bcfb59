// The person's own model, live: new text, forced gates, a text that goes on; and whether this copy computes the same.

import { S, any, button, card, choice, clampTo, data, el, field, fill, num, placeName, refresh, run, say, set, signed, unitName, view } from "./base.js";
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
  if (data.vocabulary) Object.assign(r, { ids: inputs, probabilities: probabilitiesOf(data.model, r, before) });
  else r.series = data.runs.base.series;
  if (data.output) r.forecast = outputsAt(data.model, r, r.T - 1).map((v, k) => { const z = data.output.base[k] + data.output.scale * (v + data.output.skip[k]); return data.output.log ? Math.exp(z) : z; });
  return r;
}

export const bits = (r) => average(surprise(r, data.vocabulary.length));

/** Show the live run of `inputs` under what is forced now. */
export function showLive(inputs, clamps = S.clamps) {
  const last = data.runs.live, more = last?.ids && data.directions === 1 && last.clamps === clamps && last.T <= inputs.length && last.ids.every((id, t) => id === inputs[t]);
  data.runs.live = freeRun(inputs, clamps, more ? last : null);
  set({ clamps, shown: "live" });
}

const forced = (c) => say("page.forced", { symbol: data.quantities[c.q].symbol, unit: unitName(c.u), layer: placeName(c.p), v: num(c.v, 2) });

export function live() {
  if (!data.model) return card("live", el("p.quiet", say("page.live.none")));
  const text = data.vocabulary && el("textarea", { rows: 3, maxlength: MOST, spellcheck: "false", "aria-label": say("page.live.text"), placeholder: say("page.live.text") });
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
  const force = button("page.live.force", () => rerun([...S.clamps.filter((c) => c.p !== S.p || c.q !== S.q || c.u !== S.u), { p: S.p, q: S.q, u: S.u, v: Number(value.value) || 0 }]));
  const heat = el("input", { type: "number", min: 0, max: 3, step: 0.1, value: 0.7 }), seed = el("input", { type: "number", min: 0, step: 1, value: 1 });
  const goOn = () => {
    const read = inputs(), write = (clamps) => sample(data.model, read, 160, clampTo(Number(heat.value), 0, 3), seed.value | 0, clamps).map((id) => data.vocabulary[id]).join("");
    fill(went, [[], ...(S.clamps.length ? [S.clamps] : [])].map((clamps) => el("div", el("h3", say(clamps.length ? "page.live.forced" : "page.live.free")), el("pre", write(clamps)))));
  };
  text?.addEventListener("input", () => text.value ? rerun() : set({ shown: "base" }));
  view((changed) => {
    force.textContent = say("page.live.force", { symbol: data.quantities[S.q].symbol, unit: unitName() });
    if (any(changed, "clamps")) fill(chips, S.clamps.map((c) => el("button", { type: "button", "aria-label": say("page.live.release", { what: forced(c) }), onclick: () => {
      const left = S.clamps.filter((other) => other !== c);
      if (left.length || text?.value) rerun(left);
      else set({ clamps: [], shown: "base" });
      force.focus();
    } }, `${forced(c)} ✕`)));
    if (S.shown !== "live") loss.textContent = "";
  });
  setTimeout(() => (check.textContent = said()), 400);
  return card("live", text, note, el("div.row-of", el("label.field", force, value)), chips, loss,
    text && data.directions === 1 && el("div.row-of", button("page.live.go", goOn), field("page.live.heat", heat), field("page.live.seed", seed)), went, check);
}

/** This copy of the model against the numbers in the file. */
function said() {
  const worst = (data.parity = parity(data.model, data.runs.base)); // one step at a time from stored states
  return say(worst < 1e-6 ? "page.live.same" : "page.live.differs", { worst: worst.toExponential(1).replace("-", "−") }) + " " + say("page.live.whatif");
}
