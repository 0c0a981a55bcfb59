// One step of one unit, drawn as the machine that it is, with the numbers of this step in it; and the sum in a gate.

import { css, ink, rgb } from "./colour.js";
import { card, el, fill, scroller } from "./elements.js";
import { stateBefore, terms } from "./model.js";
import { label, place, placeName, quantityName, quoted, symbol, symbolAndName, unitName } from "./names.js";
import { keptAndWritten, shares } from "./readings.js";
import { valueAt } from "./ribbon.js";
import { S, any, data, clamped, nth, run, set, view } from "./state.js";
import { num, say, signed } from "./words.js";

// Where things stand in the drawings: the memory runs along the top like a belt, what is read comes in from below.
/** @type {Plan} */
const LSTM = {
  texts: { kept: [228, 50], wrote: [322, 98, "start"], h1: [700, 306, "start"], tanh: [624, 90, "start"] },
  boxes: { f: [150, 196], i: [262, 196], g: [360, 196], o: [490, 196] },
  ops: [
    ["×", 150, 60, "f"],
    ["+", 312, 60, "c1"],
    ["×", 312, 126, "ig"],
    ["×", 590, 126, "h"],
    ["tanh", 590, 84, "h"],
  ],
  wires: [
    ["c0", "M20 60H134"],
    ["c1", "M166 60H296"],
    ["c", "M328 60H690"],
    ["f", "M150 172V76"],
    ["i", "M262 172V126H296"],
    ["g", "M360 172V126H328"],
    ["ig", "M312 110V76"],
    ["c", "M590 60V70"],
    ["c", "M590 98V110"],
    ["o", "M490 172V126H574"],
    ["h", "M590 142V286H690"],
    ["in", "M20 286H490"],
    ["in", "M110 330V286"],
    ["in", "M150 286V220"],
    ["in", "M262 286V220"],
    ["in", "M360 286V220"],
    ["in", "M490 286V220"],
  ],
  story: lstmStory,
};
/** @type {Plan} */
const GRU = {
  texts: { kept: [450, 50], wrote: [598, 98, "start"] },
  boxes: { r: [150, 196], z: [330, 196], n: [470, 196] },
  ops: [
    ["×", 330, 60],
    ["+", 590, 60],
    ["×", 590, 126],
    ["1−", 400, 126],
  ],
  wires: [
    ["c0", "M20 60H314"],
    ["c1", "M346 60H574"],
    ["h", "M606 60H690"],
    ["z", "M330 172V76"],
    ["z", "M330 126H384"],
    ["z", "M416 126H574"],
    ["n", "M494 196H590V142"],
    ["ig", "M590 110V76"],
    ["in", "M20 286H470"],
    ["in", "M110 330V286"],
    ["in", "M150 286V220"],
    ["in", "M330 286V220"],
    ["in", "M470 286V220"],
    ["r", "M174 196H240V252H446V220"],
  ],
  story: gruStory,
};
/** @type {Record<string, Plan>} */
const PLANS = { lstm: LSTM, gru: GRU };

/** @type {(kind: Kind) => Plan | null} the drawing of a cell, or null where there is none */
export const planOf = (kind) => (kind.plain && PLANS[kind.key]) || null;

/** @param {Plan} plan */
function drawing(plan) {
  const memory = data.kind.memory.quantity;
  const output = data.kind.parts[0];
  const apart = memory !== output;
  /** @type {Record<string, SVGTextElement>} */
  const texts = {};
  /** @type {Record<string, [SVGRectElement, SVGTextElement, SVGTextElement]>} */
  const boxes = {};
  /** @type {(id: string, x: number, y: number, anchor?: string) => SVGTextElement} */
  const say2 = (id, x, y, anchor = "middle") => (texts[id] = el("svg:text.n", { x, y, "text-anchor": anchor }));
  const node = el(
    "svg:svg.cell-drawing",
    { viewBox: "0 0 760 344", role: "img", "aria-labelledby": `${data.id}-cell-now` },
    el("svg:title", { id: `${data.id}-cell-now` }),
    el("svg:rect.hull", { x: 84, y: 24, width: 560, height: 286, rx: 18 }),
    ...plan.wires.map(([kind, d]) => el("svg:path", { d, class: `wire ${kind}`, "data-part": kind })),
    el("svg:path.tip", { d: `M690 60l-8 -5v10z${apart ? "M690 286l-8 -5v10z" : ""}` }),
    ...plan.ops.map(([text, x, y, part]) =>
      el(
        "svg:g.op",
        { "data-part": part },
        text.length > 2
          ? el("svg:ellipse", { cx: x, cy: y, rx: 26, ry: 14 })
          : el("svg:circle", { cx: x, cy: y, r: 16 }),
        el("svg:text", { x, y: y + 5, "text-anchor": "middle" }, text),
      ),
    ),
    ...Object.entries(plan.boxes).map(([q, [x, y]]) => {
      const box = el("svg:rect", { x: x - 38, y: y - 24, width: 76, height: 48, rx: 8 });
      const name = el("svg:text", { x, y: y - 5, "text-anchor": "middle" }, q);
      const n = el("svg:text.n", { x, y: y + 14, "text-anchor": "middle" });
      boxes[q] = [box, name, n];
      return el("svg:g.gate", { "data-part": q, onclick: () => set({ q }) }, box, name, n);
    }),
    el("svg:text.sym", { x: 14, y: 40 }, `${memory}′`),
    say2("before", 14, 80, "start"),
    el("svg:text.sym", { x: 700, y: 50 }, memory),
    say2("after", 700, 80, "start"),
    say2("clamped", 756, 100, "end"),
    el("svg:text.sym", { x: 14, y: 276 }, `${output}′`),
    say2("h0", 14, 306, "start"),
    apart && el("svg:text.sym", { x: 700, y: 276 }, output),
    ...Object.entries(plan.texts).map(([id, [x, y, anchor]]) => say2(id, x, y, anchor)),
    el("svg:text.sym", { x: 110, y: 342, "text-anchor": "middle" }, "x"),
    say2("x", 128, 340, "start"),
  );
  const parts = Array.from(/** @type {NodeListOf<SVGElement>} */ (node.querySelectorAll("[data-part]")));
  view((changed) => {
    const r = run();
    /** @type {(q: string) => number} */
    const value = (q) => valueAt(q);
    const asked = new Set(S.asked.split(" "));
    // Elsewhere in the text the answer may stand
    const away = S.asked && data.lesson[S.lesson - 1].t !== S.t;
    /** @type {(id: string, text: string) => unknown} */
    const put = (id, text) => (texts[id].textContent = away || asked.has(id) ? "?" : text);
    if (any(changed, "lit")) {
      const lit = S.lit.split(" ");
      node.classList.toggle("some", Boolean(S.lit));
      for (const part of parts) part.classList.toggle("lit", lit.includes(part.dataset.part));
    }
    const before = stateBefore(r, memory, S.p, S.t)[S.u];
    for (const [q, [box, name, n]] of Object.entries(boxes)) {
      const colour = rgb(q, value(q));
      const hidden = away || asked.has(q);
      box.style.fill = hidden ? "" : css(colour);
      name.style.fill = n.style.fill = hidden ? "" : ink(colour);
      n.textContent = hidden ? "?" : num(value(q));
      box.parentElement.classList.toggle("chosen", q === S.q);
      box.parentElement.classList.toggle("clamped", clamped(q));
    }
    put("before", num(before));
    put("after", num(value(memory)));
    texts.clamped.textContent = clamped(memory) ? say("page.clamped") : "";
    put("h0", num(stateBefore(r, output, S.p, S.t)[S.u]));
    put("x", data.places[S.p][0] ? say("page.cell.below") : label(S.t));
    const [kept, wrote] = keptAndWritten(r, S.p, S.u, S.t);
    put("kept", num(kept * before));
    put("wrote", num(wrote));
    if (apart) {
      put("h1", num(value(output)));
      put("tanh", num(Math.tanh(value(memory))));
    }
    node.firstChild.textContent = S.asked ? say("lesson.asked") : story(plan);
  });
  return node;
}

/**
 * What happens at this step, in a sentence that these numbers make.
 * @param {Plan} plan
 */
function story(plan) {
  const at = { unit: unitName(), token: place(S.t) };
  const finite = Object.keys(data.kind.quantities).every((q) => Number.isFinite(valueAt(q)));
  return finite ? plan.story(at) : say("page.story.not_finite", at);
}

/** @type {(q: string) => string} */
const shown = (q) => num(valueAt(q));

/** @type {(q: string) => string} */
const shownClamped = (q) => shown(q) + (clamped(q) ? ` (${say("page.clamped")})` : "");

/** @param {Fields} at */
function gruStory(at) {
  const key = clamped("h") ? "page.story.gru.clamped" : "page.story.gru";
  const wrote = num(1 - valueAt("z"));
  return say(key, { ...at, kept: shownClamped("z"), wrote, n: shownClamped("n"), h: shown("h") });
}

/** @param {Fields} at */
function lstmStory(at) {
  /** @type {(q: string) => string} */
  const size = (q) => (valueAt(q) > 0.9 ? "high" : valueAt(q) < 0.1 ? "low" : "mid");
  /** @type {(q: string) => string} */
  const degree = (q) => say(`page.story.${q}.${clamped(q) ? "clamped" : size(q)}`, { v: shown(q) });
  /** @type {(q: string) => string} */
  const outcome = (q) =>
    say(`page.story.${q}.${clamped(q) ? "clamped" : "free"}`, { g: shownClamped("g"), v: shown(q) });
  return say("page.story", { ...at, f: degree("f"), i: degree("i"), o: degree("o"), c: outcome("c"), h: outcome("h") });
}

/**
 * How the shares of the equation of a memory are written: of what is kept, and of the candidate.
 * @param {MemoryEquation} memory
 */
function sharesAsWritten({ keep, write, normalized, zoneout }) {
  let [kept, share] = [keep, write ?? `(1 − ${keep})`];
  if (normalized) [kept, share] = [kept, share].map((gate) => `${gate}/(${keep} + ${share})`);
  const [stays, moves] = [num(zoneout, 2), num(1 - zoneout, 2)];
  return zoneout ? [`(${stays} + ${moves} · ${kept})`, `${moves} · ${share}`] : [kept, share];
}

/** @type {(term: Term) => string} */
const termName = ({ kind, index, place }) =>
  kind === "token"
    ? say("page.term.token", { token: quoted(S.t) })
    : kind === "unit"
      ? say("page.term.unit", { unit: unitName(index) })
      : kind === "below"
        ? say("page.term.below", { unit: unitName(index), layer: placeName(place) })
        : kind === "input"
          ? say("page.term.input", { n: index + 1 })
          : kind === "peep"
            ? say("page.term.peep")
            : say("page.term.bias");

/**
 * @param {[string, number, boolean?][]} rows
 * @param {number} most
 */
const bars = (rows, most) =>
  el(
    "table.terms",
    el(
      "tbody",
      ...rows.map(([name, value, last]) =>
        el(
          "tr",
          { class: last ? "sum" : null },
          el("th", { scope: "row" }, name),
          el("td.n", signed(value)),
          el(
            "td.swing",
            { "aria-hidden": "true" },
            el("span", {
              class: value < 0 ? "minus" : "plus",
              css: {
                width: `${Math.min(50, (50 * Math.abs(value)) / most) || 0}%`,
                [value < 0 ? "right" : "left"]: "50%",
              },
            }),
          ),
        ),
      ),
    ),
  );

/** @type {Record<string, string>} */
const FUNCTIONS = { Sigmoid: "σ", Tanh: "tanh", Identity: "" };

/** The sum behind the chosen quantity: its largest terms, the rest together, the function, the value. */
function sum() {
  const node = el("div.sum-of");
  view(() => {
    const r = run();
    const q = S.q;
    const value = valueAt(q);
    const quantity = data.kind.quantities[q];
    const { memory } = data.kind;
    const head = [el("h3", symbolAndName(q)), quantity.equation && el("p", el("code", quantity.equation))];
    const behind = r.model && terms(r.model, r, q, S.p, S.u, S.t);
    /** @type {(key: string) => number} */
    const before = (key) => stateBefore(r, key, S.p, S.t)[S.u];
    /** @type {(a: string, b: string, x: number, y: number) => [string, number]} */
    const product = (a, b, x, y) => [`${a} · ${b} = ${num(x)} · ${num(y)}`, x * y];
    /** @type {(q: string) => number} */
    const v = (q) => valueAt(q);
    /** @type {[string, number, boolean?][] | null} */
    let rows = null;
    let after;
    let expected = value;
    if (behind) {
      const few = behind.terms.slice(0, behind.terms.length > 9 ? 8 : 9);
      const rest = behind.terms.slice(few.length);
      rows = few.map((term) => [termName(term), term.value]);
      if (rest.length)
        rows.push([say("page.sum.rest", { n: rest.length }), rest.reduce((a, term) => a + term.value, 0)]);
      rows.push([say("page.sum.z"), behind.z, true]);
      const [name] = r.model.kind.activations[q];
      const f = FUNCTIONS[name] ?? name;
      const most = few[0];
      after = say("page.sum.gate", {
        f,
        z: num(behind.z),
        value: num(value),
        term: termName(most),
        push: signed(most.value, 2),
      });
    } else if (q === memory.quantity) {
      const [keep, write] = sharesAsWritten(memory);
      const [kept, share] = shares(memory, v);
      rows = [
        product(keep, `${q}′`, kept, before(q)),
        product(write, symbol(memory.candidate), share, v(memory.candidate)),
      ];
      expected = rows[0][1] + rows[1][1];
      after = say("page.sum.total", { symbol: symbol(q), value: num(value) });
    } else if (q === data.kind.parts[0] && planOf(data.kind)) {
      const shown = Math.tanh(v(memory.quantity));
      expected = v("o") * shown;
      after = `${q} = o · tanh(${memory.quantity}) = ${num(v("o"))} · ${num(shown)} = ${num(value)}`;
    }
    if (quantity.range?.[0] === 0 && r.model && !r.model.kind.blocks.includes(q)) {
      // a gate without weights of its own
      const coupled = q === memory.keep && r.model.kind.switches.coupled;
      after = coupled ? `${q} = 1 − i = 1 − ${num(v("i"))} = ${num(value)}` : `${symbol(q)} = ${num(value)}`;
      expected = coupled ? 1 - v("i") : 1;
    }
    if (after && (clamped(q) || Math.abs(expected - value) > 1e-3))
      after = say("page.sum.apart", { symbol: symbol(q), value: num(value) });
    const most = rows ? Math.max(...rows.map(([, v]) => Math.abs(v)).filter(Number.isFinite), 1e-9) : 1;
    fill(
      node,
      ...head,
      rows && bars(rows, most),
      after ? el("p", after) : el("p.quiet", say(r.model ? "page.sum.variant" : "page.sum.none")),
      el("p.quiet", `${symbol(q)}: ${say(`gate.${quantity.noted}.note`)}`),
    );
  }, "t u p q rev");
  return node;
}

/** All quantities of the unit at this step, at the step before and at the pinned one: the table of the page. */
function table() {
  const body = el("tbody");
  const pinned = el("th", { scope: "col" });
  const node = el(
    "table.step",
    el("caption"),
    el(
      "thead",
      el(
        "tr",
        ...["symbol", "name", "value", "before"].map((k) => el("th", { scope: "col" }, say(`page.table.${k}`))),
        pinned,
      ),
    ),
    body,
  );
  view(() => {
    node.caption.textContent = say("page.table.caption", {
      t: nth(S.t),
      token: quoted(S.t),
      unit: unitName(),
      layer: placeName(S.p),
    });
    const pin = S.pin !== null && S.pin < run().T;
    pinned.textContent = pin ? say("page.table.pin", { t: nth(S.pin), token: quoted(S.pin) }) : "";
    pinned.hidden = !pin;
    fill(
      body,
      ...Object.keys(data.kind.quantities).map((q) => {
        const colour = rgb(q, valueAt(q));
        return el(
          "tr",
          { class: q === S.q ? "chosen" : null, onclick: () => set({ q }) },
          el("th", { scope: "row" }, el("span.swatch", { css: { background: css(colour) } }), symbol(q)),
          el("td", quantityName(q), clamped(q) && el("span.quiet", ` (${say("page.clamped")})`)),
          el("td.n", { "data-q": q }, num(valueAt(q))),
          el("td.n", S.t ? num(valueAt(q, S.t - 1)) : "—"),
          pin ? el("td.n", `${num(valueAt(q, S.pin))}  (${signed(valueAt(q) - valueAt(q, S.pin), 2)})`) : null,
        );
      }),
    );
  });
  return node;
}

export function cell() {
  const summary = el("p.story");
  const plan = planOf(data.kind);
  if (plan) view(() => (summary.textContent = story(plan)));
  const drawn = plan ? drawing(plan) : el("p.quiet", say("page.cell.variant"));
  return card("cell", plan && summary, el("div.two", scroller("page.cell.title", drawn, table()), sum()));
}
