// Find the unit that follows something: mark it, search, doubt the find, then force the unit and see what it costs.

import { S, any, button, card, choice, data, el, field, fill, num, placeName, quantityName, run, say, set, signed, unitName, view } from "./base.js";
import { bits, freeRun, showLive } from "./live.js";
import { search } from "./readings.js";

const LETTER = /[\p{L}\p{M}]/u;

/** What can be looked for in a text: 0 or 1 for each character, or a number. */
const PRESETS = {
  word_end: (c) => c.map((x, t) => Number(LETTER.test(x) && !LETTER.test(c[t + 1] ?? " "))),
  space: (c) => c.map((x) => Number(/\s/.test(x))),
  quotes: (c) => {
    let inside = 0;
    return c.map((x) => {
      if ("«“".includes(x)) inside = 1;
      else if ("»”".includes(x)) inside = 0;
      else if (x === '"') inside = 1 - inside;
      return inside;
    });
  },
  dialogue: (c) => {
    let inside = 0;
    return c.map((x) => (x === "—" ? (inside = 1 - inside) : x === "\n" ? (inside = 0) : inside));
  },
  vowel: (c) => c.map((x) => Number(/[aeiouáéíóúü]/i.test(x))),
  upper: (c) => c.map((x) => Number(/\p{Lu}/u.test(x))),
  punctuation: (c) => c.map((x) => Number(/\p{P}/u.test(x))),
  column: (c) => {
    let at = 0;
    return c.map((x) => (x === "\n" ? (at = 0) : at++));
  },
};

export function find() {
  if (!data.vocabulary) return null;
  const chars = () => Array.from(run().ids, (id) => data.vocabulary[id]);
  const pattern = el("input", { type: "text", placeholder: "\\b[A-Z]\\w+", spellcheck: "false" }), note = el("p", { role: "status" }), out = el("div.scroll");
  const what = choice("page.find.what", [...Object.keys(PRESETS).map((k) => [k, say(`page.find.${k}`)]), ["regex", say("page.find.regex")], ["brush", say("page.find.brush")]], "word_end", () => mark());
  const regex = field("page.find.pattern", pattern);
  const kind = () => what.lastChild.value;
  const labels = () => {
    const c = chars();
    if (kind() === "brush") return (S.marks ?? []).length === c.length ? S.marks : c.map(() => 0);
    if (kind() !== "regex") return PRESETS[kind()](c);
    const found = c.map(() => 0), starts = [];
    c.forEach((x, t) => { for (let k = 0; k < x.length; k++) starts.push(t); });
    for (const m of c.join("").matchAll(new RegExp(pattern.value, "gu"))) for (let k = m.index; k < m.index + m[0].length; k++) found[starts[k]] = 1;
    return found;
  };
  const mark = () => {
    regex.hidden = kind() !== "regex";
    note.textContent = kind() === "brush" ? say("page.find.how") : "";
    try {
      const l = kind() === "brush" ? S.marks : labels();
      set({ brush: kind() === "brush", marks: l?.map(Boolean) ?? null });
    } catch (error) {
      note.textContent = say("page.find.bad", { why: error.message });
    }
  };
  pattern.addEventListener("input", mark);
  const look = () => {
    let l;
    try {
      l = labels().map(Number);
    } catch (error) {
      return (note.textContent = say("page.find.bad", { why: error.message }));
    }
    if (new Set(l.slice(0, l.length >> 1)).size < 2 || new Set(l.slice(l.length >> 1)).size < 2) return (note.textContent = say("page.find.few"));
    const state = data.quantities.c ? (S.q === "h" ? "h" : "c") : "h", { binary, found, chance } = search(run(), state, l);
    const cost = ({ p, u }) => {
      const r = run(), after = freeRun(r.ids, [{ p, q: state, u, v: 0 }]);
      return bits(after) - bits(r);
    };
    note.textContent = say(binary ? "page.find.result" : "page.find.result.number", { symbol: data.quantities[state].symbol, unit: unitName(found[0].u), layer: placeName(found[0].p), held: num(found[0].held, 2), chance: num(chance, 2) });
    fill(out, el("table", el("thead", el("tr", ["page.unit", binary ? "page.find.auroc" : "page.find.corr", "page.find.chance", "page.find.cost"].map((k) => el("th", { scope: "col" }, say(k))))),
      el("tbody", found.map((f) => {
        const cell = el("td.n");
        if (data.model) cell.append(button("page.find.clamp", () => {
          cell.textContent = say("page.find.change", { change: signed(cost(f)) });
        }), " ", button("page.find.see", () => showLive(run().ids, [{ p: f.p, q: state, u: f.u, v: 0 }])));
        return el("tr", el("th", { scope: "row" }, button("page.find.go", () => set({ p: f.p, u: f.u, q: state }), {}, { unit: unitName(f.u), layer: placeName(f.p) })),
          el("td.n", `${num(f.held, 3)} ${f.sign < 0 ? "▼" : "▲"}`), el("td.n", num(chance, 3)), cell);
      }))), el("p.quiet", say("page.find.doubt")));
  };
  view((changed) => {
    if (!any(changed, "mark") || !S.mark || !S.brush) return;
    const [a, b] = S.mark, now = S.marks?.length === run().T ? [...S.marks] : Array(run().T).fill(false);
    for (let t = a; t <= b; t++) now[t] = true;
    set({ marks: now });
  });
  view((changed) => any(changed, "shown", "rev") && S.marks && (S.marks.length !== run().T) && mark());
  regex.hidden = true;
  return card("find", el("div.row-of", what, regex, button("page.find.clear", () => set({ marks: null, mark: null })), button("page.find.look", look, { class: "main" })), note, out);
}
