// Find the unit that follows something: mark it, search, doubt the find, then force the unit and see what it costs.

import { button, card, choice, el, field, fill, heads, scroller, selectOf } from "./elements.js";
import { bits, freeRun, showLive } from "./live.js";
import { placeName, symbol, unitName } from "./names.js";
import { average, search } from "./readings.js";
import { valueAt } from "./ribbon.js";
import { S, data, run, set, times, view } from "./state.js";
import { num, say, signed } from "./words.js";

const LETTER = /[\p{L}\p{N}]/u;
/** @type {(pattern: RegExp) => (characters: string[]) => Labels} */
const is = (pattern) => (c) => c.map((x) => pattern.test(x));

/**
 * What can be looked for in a text: yes or no for each character, or a number.
 * @type {Record<string, (c: string[]) => Labels>}
 */
const PRESETS = {
  words: (c) => c.map((x, t) => LETTER.test(x) && !LETTER.test(c[t + 1] ?? " ")),
  quotes: (c) => {
    let depth = 0;
    let straight = false;
    return c.map((x) => {
      if (x === '"') return ((straight = !straight), true);
      const opens = "«“‘„".includes(x) && !(x === "“" && depth && c.includes("„"));
      if (opens) depth++;
      else if ("»”’“".includes(x) && depth) return (depth--, true);
      return straight || depth > 0;
    });
  },
  dialogue: (c) => {
    // Paragraphs: lines may be broken within them
    const apart = c.some((x, t) => x === "\n" && c[t + 1] === "\n");
    let inside = false;
    return c.map((x, t) => (inside = x === "—" ? !inside : inside && !(x === "\n" && (!apart || c[t + 1] === "\n"))));
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
  const note = el("p", { role: "status" });
  const out = scroller("page.find.title");
  const kinds = [...Object.keys(PRESETS), "regex", "brush"].map(
    (kind) => /** @type {[string, string]} */ ([kind, say(`page.find.${kind}`)]),
  );
  const what = choice("page.find.what", kinds, "words", () => mark());
  const regex = field("page.find.pattern", pattern);
  const kind = () => selectOf(what).value;
  const labels = () => {
    const c = chars();
    if (kind() === "brush") return (S.marks ?? []).length === c.length ? S.marks : c.map(() => false);
    if (kind() !== "regex") return PRESETS[kind()](c);
    const matched = c.map(() => false);
    /** @type {number[]} */
    const starts = [];
    c.forEach((x, t) => {
      for (let k = 0; k < x.length; k++) starts.push(t);
    });
    for (const { index, 0: match } of c.join("").matchAll(new RegExp(pattern.value, "gu"))) {
      for (let k = index; k < index + match.length; k++) matched[starts[k]] = true;
    }
    return matched;
  };
  const mark = () => {
    regex.hidden = kind() !== "regex";
    note.textContent = kind() === "brush" ? say("page.find.how") : "";
    try {
      const l = labels();
      set({ brush: kind() === "brush", mark: null, marks: l.some((v) => v === true) ? l : null });
    } catch (error) {
      note.textContent = say("page.find.bad", { why: /** @type {Error} */ (error).message });
    }
  };
  const byHand = () => {
    selectOf(what).value = "brush";
    regex.hidden = true;
    note.textContent = say("page.find.how");
  };
  pattern.addEventListener("input", mark);
  const look = () => {
    let l;
    try {
      l = labels();
    } catch (error) {
      return (note.textContent = say("page.find.bad", { why: /** @type {Error} */ (error).message }));
    }
    const cut = (data.warm + l.length) >> 1;
    const still = [l.slice(data.warm, cut), l.slice(cut)].some((half) => new Set(half).size < 2);
    if (l.length < 3 * data.warm || still) return (note.textContent = say("page.find.few"));
    const r = run();
    const { binary, best, chance } = search(r, l);
    if (!best.length) return (note.textContent = say("page.find.broken"));
    /** @type {(hit: Hit) => Fields} */
    const name = (f) => ({ symbol: symbol(f.q), unit: unitName(f.u), layer: placeName(f.p) });
    /** @type {(hit: Hit) => Clamp[]} */
    const clampOf = ({ p, q, u }) => [{ p, q, u, v: average(times(r.T, (t) => valueAt(q, t, u, p, r))) }];
    const first = { ...name(best[0]), score: num(best[0].score, 2), chance: num(chance, 2) };
    const result = say(binary ? "page.find.result" : "page.find.result.number", first);
    note.textContent = best[0].score > chance ? result : `${say("page.find.nothing")} ${result}`;
    fill(
      out,
      el(
        "table",
        heads("page.unit", binary ? "page.find.auroc" : "page.find.corr", "page.find.chance", "page.find.cost"),
        el(
          "tbody",
          best.map((f) => {
            const cell = el("td.n");
            const cost = el("span", { role: "status" });
            if (data.model && r.model)
              cell.append(
                cost,
                " ",
                button("page.find.clamp", () => {
                  cost.textContent = say("page.find.change", {
                    change: signed(bits(freeRun(r.model, r.ids, clampOf(f))) - bits(freeRun(r.model, r.ids, []))),
                  });
                }),
                " ",
                button("page.find.see", () => showLive(r.ids, clampOf(f), r)),
              );
            return el(
              "tr",
              el(
                "th",
                { scope: "row" },
                button("page.find.go", () => set({ p: f.p, u: f.u, q: f.q }), {}, name(f)),
              ),
              el("td.n", `${num(f.score, 3)} ${f.sign < 0 ? "▼" : "▲"}`),
              el("td.n", num(chance, 3)),
              cell,
            );
          }),
        ),
      ),
      el("p.quiet", say("page.find.doubt")),
    );
  };
  let before = S.marks;
  // What was marked by hand before the stretch that is being marked
  let stroke = S.stroke;
  view(() => {
    if (!S.mark || !S.brush) return;
    if (kind() !== "brush") {
      byHand();
      [before, stroke] = [null, S.stroke];
    } else if (stroke !== S.stroke) [before, stroke] = [S.marks?.length === run().T ? S.marks : null, S.stroke];
    const [a, b] = S.mark;
    set({ marks: times(run().T, (t) => Boolean(before?.[t]) || (t >= a && t <= b)) });
  }, "mark stroke");
  view(() => S.marks && S.marks.length !== run().T && mark(), "rev");
  regex.hidden = true;
  // So it was before the page was built in the other language
  if (S.brush) byHand();
  const clear = button("page.find.clear", () => set({ marks: null, mark: null }));
  return card(
    "find",
    el("div.row-of", what, regex, clear, button("page.find.look", look, { class: "main" })),
    note,
    out,
  );
}
