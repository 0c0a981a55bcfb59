// Find the unit that follows something: mark it, search, doubt the find, then force the unit and see what it costs.

import { S, button, card, choice, data, el, field, fill, heads, num, placeName, run, say, scroller, set, signed, symbol, times, unitName, view } from "./base.js";
import { bits, freeRun, showLive } from "./live.js";
import { average, search } from "./readings.js";
import { valueAt } from "./ribbon.js";

const LETTER = /[\p{L}\p{N}]/u, is = (pattern) => (c) => c.map((x) => pattern.test(x));

/** What can be looked for in a text: yes or no for each character, or a number. */
const PRESETS = {
  words: (c) => c.map((x, t) => LETTER.test(x) && !LETTER.test(c[t + 1] ?? " ")),
  quotes: (c) => {
    let depth = 0, straight = false;
    return c.map((x) => {
      if (x === '"') return (straight = !straight), true;
      const opens = "«“‘„".includes(x) && !(x === "“" && depth && c.includes("„"));
      if (opens) depth++;
      else if ("»”’“".includes(x) && depth) return depth--, true;
      return straight || depth > 0;
    });
  },
  dialogue: (c) => {
    let inside = false;
    return c.map((x) => (inside = x === "—" ? !inside : x !== "\n" && inside));
  },
  space: is(/\s/),
  vowel: is(/[aeiouáéíóúü]/i),
  upper: is(/\p{Lu}/u),
  punctuation: is(/\p{P}/u),
  lines: (c) => {
    let next = 0;
    return c.map((x) => [next, (next = x === "\n" ? 0 : next + 1)][0]);
  },
};

export function find() {
  if (!data.vocabulary) return null;
  const chars = () => Array.from(run().ids, (id) => data.vocabulary[id]);
  const pattern = el("input", { type: "text", placeholder: "\\b[A-Z]\\w+", spellcheck: "false" });
  const note = el("p", { role: "status" }), out = scroller("page.find.title");
  const kinds = [...Object.keys(PRESETS), "regex", "brush"].map((kind) => [kind, say(`page.find.${kind}`)]);
  const what = choice("page.find.what", kinds, "words", () => mark());
  const regex = field("page.find.pattern", pattern);
  const kind = () => what.lastChild.value;
  const labels = () => {
    const c = chars();
    if (kind() === "brush") return (S.marks ?? []).length === c.length ? S.marks : c.map(() => false);
    if (kind() !== "regex") return PRESETS[kind()](c);
    const found = c.map(() => false), starts = [];
    c.forEach((x, t) => { for (let k = 0; k < x.length; k++) starts.push(t); });
    for (const { index, 0: match } of c.join("").matchAll(new RegExp(pattern.value, "gu"))) {
      for (let k = index; k < index + match.length; k++) found[starts[k]] = true;
    }
    return found;
  };
  const mark = () => {
    regex.hidden = kind() !== "regex";
    note.textContent = kind() === "brush" ? say("page.find.how") : "";
    try {
      const l = kind() === "brush" ? S.marks : labels();
      set({ brush: kind() === "brush", marks: l && l.some((v) => v === true) ? l : null });
    } catch (error) {
      note.textContent = say("page.find.bad", { why: error.message });
    }
  };
  pattern.addEventListener("input", mark);
  const look = () => {
    let l;
    try {
      l = labels();
    } catch (error) {
      return (note.textContent = say("page.find.bad", { why: error.message }));
    }
    const cut = (data.warm + l.length) >> 1;
    const still = [l.slice(data.warm, cut), l.slice(cut)].some((half) => new Set(half).size < 2);
    if (l.length < 3 * data.warm || still) return (note.textContent = say("page.find.few"));
    const r = run(), { binary, found, chance } = search(r, l);
    const name = (f) => ({ symbol: symbol(f.q), unit: unitName(f.u), layer: placeName(f.p) });
    const hold = ({ p, q, u }) => [{ p, q, u, v: average(times(r.T, (t) => valueAt(q, t, u, p, r))) }];
    const told = { ...name(found[0]), held: num(found[0].held, 2), chance: num(chance, 2) };
    note.textContent = say(binary ? "page.find.result" : "page.find.result.number", told);
    fill(out, el("table", heads("page.unit", binary ? "page.find.auroc" : "page.find.corr", "page.find.chance", "page.find.cost"),
      el("tbody", found.map((f) => {
        const cell = el("td.n");
        if (data.model) cell.append(button("page.find.clamp", () => {
          cell.textContent = say("page.find.change", { change: signed(bits(freeRun(r.ids, hold(f))) - bits(freeRun(r.ids, []))) });
        }), " ", button("page.find.see", () => showLive(r.ids, hold(f))));
        return el("tr", el("th", { scope: "row" }, button("page.find.go", () => set({ p: f.p, u: f.u, q: f.q }), {}, name(f))),
          el("td.n", `${num(f.held, 3)} ${f.sign < 0 ? "▼" : "▲"}`), el("td.n", num(chance, 3)), cell);
      }))), el("p.quiet", say("page.find.doubt")));
  };
  view(() => {
    if (!S.mark || !S.brush) return;
    const [a, b] = S.mark, now = S.marks?.length === run().T ? [...S.marks] : Array(run().T).fill(false);
    for (let t = a; t <= b; t++) now[t] = true;
    set({ marks: now });
  }, "mark");
  view(() => S.marks && S.marks.length !== run().T && mark(), "rev");
  regex.hidden = true;
  const clear = button("page.find.clear", () => set({ marks: null, mark: null }));
  return card("find", el("div.row-of", what, regex, clear, button("page.find.look", look, { class: "main" })), note, out);
}
