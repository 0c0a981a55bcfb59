// The text (or the series) coloured by one quantity of one unit, and what the model expects next.

import { css, ink, ramp, rgb, scaleOf } from "./colour.js";
import { card, el, fill, shareOf, standAt, through, upright } from "./elements.js";
import { label, placeName, quantityName, quoted, symbolAndName, unitName } from "./names.js";
import { S, any, data, nth, run, set, times, view } from "./state.js";
import { glyph, num, percent, say } from "./words.js";

/**
 * The keys that every view of time shares, which screen readers take for a slider over the steps.
 * @template {HTMLElement} E
 * @param {E} node
 * @param {string} name
 */
export function overTime(node, name) {
  node.tabIndex = 0;
  node.setAttribute("role", "slider");
  node.setAttribute("aria-label", name);
  view(() => {
    node.setAttribute("aria-valuemin", String(nth(0)));
    node.setAttribute("aria-valuemax", String(nth(run().T - 1)));
    node.setAttribute("aria-valuenow", String(nth(S.t)));
    node.setAttribute("aria-valuetext", sentence());
  }, "t u p q rev");
  return node;
}

/** @param {string} q */
export const valueAt = (q, t = S.t, u = S.u, p = S.p, r = run()) => r.values[q][p][t * data.H + u];

/** The current step in one short sentence. */
export const sentence = () =>
  say("page.now", {
    t: nth(S.t),
    T: nth(run().T - 1),
    token: quoted(S.t),
    unit: unitName(),
    layer: placeName(S.p),
    name: quantityName(S.q),
    value: S.asked ? "?" : num(valueAt(S.q)),
  });

/**
 * A limit of a scale, without zeros that say nothing.
 * @type {(value: number) => string}
 */
export const short = (value) => num(value, 2).replace(/\.?0+$/, "");

/** A legend: the scale of the unit or, with `every`, of all of them, as a ramp with its two ends. */
export function legend(every = false) {
  const bar = el("span.ramp");
  const low = el("span");
  const high = el("span");
  const name = el("span.quiet");
  view(() => {
    const [a, b] = scaleOf(S.q, every);
    name.textContent = symbolAndName(S.q);
    low.textContent = short(a);
    high.textContent = short(b);
    bar.style.background = ramp(S.q);
  }, "q u p rev");
  return el("p.legend", name, el("span.ends-of", low, bar, high));
}

/** @type {(line: Float32Array, count: number) => number[]} */
const top = (line, count) =>
  Array.from(line.keys())
    .sort((a, b) => line[b] - line[a])
    .slice(0, count);

/**
 * @param {Run} r
 * @param {number} t
 */
function best(r, t) {
  const V = data.vocabulary.length;
  let k = t * V;
  for (let v = t * V; v < (t + 1) * V; v++) if (r.probabilities[v] > r.probabilities[k]) k = v;
  return Number.isNaN(r.probabilities[k]) ? null : k - t * V;
}

/** A line of characters whose cells are kept and only coloured anew: `show(steps, colour of k, run)`. */
export function strip() {
  /** @type {(event: any) => void} */
  const go = ({ target }) => target.dataset.t && set({ t: +target.dataset.t });
  const node = el(`p.ribbon.plain${data.vocabulary ? "" : ".numbers"}`, { "aria-hidden": "true", onclick: go });
  /** @type {(steps: number[], colour: (k: number) => Colour, r?: Run) => void} */
  const show = (steps, colour, r = run()) => {
    while (node.childElementCount > steps.length) node.lastChild.remove();
    while (node.childElementCount < steps.length) node.append(el("span.cell"));
    steps.forEach((t, k) => {
      const cell = /** @type {HTMLElement} */ (node.children[k]);
      const tone = colour(k);
      cell.textContent = r.ids ? label(t, r) : (data.labels?.[t] ?? (r.series ? label(t, r) : String(nth(t))));
      cell.dataset.t = String(t);
      cell.classList.toggle("now", t === S.t);
      Object.assign(cell.style, { background: css(tone), color: ink(tone) });
    });
  };
  return { node, show };
}

/** The text, one cell a character: above the character, below it what the model thought likeliest to come next. */
function textRibbon() {
  const node = overTime(el("div.ribbon"), say("page.ribbon.title"));
  /** @type {HTMLElement[]} */
  let cells = [];
  /** @type {[string, string | null][]} */
  let shown = [];
  /** @type {HTMLElement | null} */
  let now = null;
  /** @type {HTMLElement | null} */
  let pinned = null;
  /** @type {(id: number | null) => string} */
  const char = (id) => data.vocabulary[id] ?? "";
  /** Build the words from the first that is another than before: while one types, that is the last. */
  const build = () => {
    const r = run();
    /** @type {[string, string | null][]} */
    const next = Array.from(r.ids, (id, t) => [char(id), r.probabilities ? char(best(r, t)) : null]);
    let t = next.findIndex((pair, k) => pair.some((one, n) => one !== shown[k]?.[n]));
    if (t < 0) t = next.length;
    const word = cells[t]?.parentElement;
    if (word) {
      t = Number(/** @type {HTMLElement} */ (word.firstChild).dataset.t);
      while (node.lastChild !== word) node.lastChild.remove();
      word.remove();
    }
    cells.length = t;
    shown = next;
    for (; t < next.length; t++) {
      const [read, likely] = next[t];
      if (!t || /\s/.test(next[t - 1][0])) node.append(el("span.word"));
      cells.push(
        el(
          "span.cell",
          { "data-t": t },
          el("b", glyph(read)),
          likely === null ? null : el("i", likely && glyph(likely)),
        ),
      );
      node.lastElementChild.append(cells[t]);
      if (read === "\n") node.append(el("br"), el("span.word"));
    }
  };
  view(build, "rev");
  view(
    () =>
      cells.forEach((cell, t) => {
        const colour = rgb(S.q, valueAt(S.q, t));
        Object.assign(/** @type {HTMLElement} */ (cell.firstChild).style, {
          background: css(colour),
          color: ink(colour),
        });
      }),
    "rev q u p",
  );
  /** @type {number | null} */
  let from = null;
  /** @type {(event: any) => string | undefined} */
  const at = (event) => event.target.closest?.(".cell")?.dataset.t;
  node.addEventListener("pointerdown", (event) => {
    if (at(event) === undefined) return;
    from = +at(event);
    set({ t: from });
    if (S.brush) set({ mark: [from, from], stroke: S.stroke + 1 });
  });
  node.addEventListener("pointermove", (event) => {
    if (from === null || !event.buttons || at(event) === undefined) return;
    if (S.brush) set({ mark: [Math.min(from, +at(event)), Math.max(from, +at(event))] });
    set({ t: +at(event) });
  });
  view((changed) => {
    now?.classList.remove("now");
    pinned?.classList.remove("pin");
    now = cells[S.t];
    now.classList.add("now");
    pinned = S.pin === null ? null : cells[S.pin];
    pinned?.classList.add("pin");
    if (any(changed, "marks", "mark", "rev"))
      cells.forEach((cell, t) => cell.classList.toggle("mark", Boolean(S.marks?.[t])));
    return (
      any(changed, "t", "rev") &&
      (() => {
        const box = node.getBoundingClientRect();
        const place = now.getBoundingClientRect();
        if (place.top < box.top || place.bottom > box.bottom) node.scrollTop += place.top - box.top - box.height / 2;
      })
    );
  });
  return node;
}

/** The characters that the model thinks likeliest to come next. */
function predictions() {
  const node = el("div.next");
  view(() => {
    const r = run();
    const V = data.vocabulary.length;
    if (!r.probabilities) return fill(node);
    const line = r.probabilities.subarray(S.t * V, (S.t + 1) * V);
    const truth = S.t + 1 < r.T ? r.ids[S.t + 1] : -1;
    const shown = top(line, 5);
    if (truth >= 0 && !shown.includes(truth)) shown.push(truth);
    fill(
      node,
      el("h3", say("page.next", { token: quoted(S.t) })),
      el(
        "ol",
        ...shown.map((v) =>
          el(
            "li",
            { class: v === truth ? "true" : null },
            el("code", glyph(data.vocabulary[v])),
            el("span.bar", el("span", { css: { width: `${100 * line[v] || 0}%` } })),
            el("span.n", percent(line[v])),
            el("span.quiet", v === truth ? say("page.next.true") : ""),
          ),
        ),
      ),
      truth < 0 ? null : el("p.quiet", say("page.next.bits", { bits: num(-Math.log2(line[truth]), 2) })),
    );
  }, "t rev");
  return node;
}

/** The series as a line over columns that are coloured by the unit; its forecast follows as a dashed line. */
function seriesRibbon() {
  const W = 1000;
  const HIGH = 220;
  const PAD = 14;
  const columns = el("svg:g");
  const halo = el("svg:path.halo");
  const line = el("svg:path.line");
  const ahead = el("svg:path.ahead");
  const now = upright("now", HIGH);
  const pin = upright("pin", HIGH);
  const high = el("span");
  const low = el("span");
  const svg = el(
    "svg:svg.series",
    { viewBox: `0 0 ${W} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    columns,
    halo,
    line,
    ahead,
    pin,
    now,
  );
  const node = overTime(el("div.chart", svg, el("div.ends", high, low)), say("page.series.title"));
  let wide = 1;
  node.addEventListener("pointerdown", (event) => set({ t: Math.floor((shareOf(event, svg)[0] * W) / wide) }));
  view(() => {
    const r = run();
    /** @type {ArrayLike<number> & Iterable<number>} */
    const series = r.series ?? [];
    /** @type {ArrayLike<number> & Iterable<number>} */
    const after = r.forecast ?? [];
    const all = [...series, ...after].filter(Number.isFinite);
    const least = Math.min(...all);
    const most = Math.max(...all);
    const span = most - least || 1;
    wide = W / (r.T + after.length);
    /** @type {(v: number, t: number) => [number, number]} */
    const point = (v, t) => [(t + 0.5) * wide, HIGH - PAD - ((v - least) / span) * (HIGH - 2 * PAD)];
    for (const drawn of [halo, line]) drawn.setAttribute("d", through(Array.from(series, point)));
    ahead.setAttribute("d", through([series[r.T - 1], ...after].map((v, k) => point(v, r.T - 1 + k))));
    high.textContent = all.length ? num(most, 2) : "";
    low.textContent = all.length ? num(least, 2) : "";
    fill(
      columns,
      times(r.T, (t) => el("svg:rect", { x: t * wide, y: 0, width: wide + 0.5, height: HIGH })),
    );
  }, "rev");
  view(
    () => Array.from(columns.children).forEach((box, t) => box.setAttribute("fill", css(rgb(S.q, valueAt(S.q, t))))),
    "rev q u p",
  );
  view(() => {
    standAt(now, (S.t + 0.5) * wide);
    standAt(pin, S.pin === null ? null : (S.pin + 0.5) * wide);
  });
  return node;
}

export function ribbon() {
  const text = Boolean(data.vocabulary);
  return card(
    text ? "ribbon" : "series",
    legend(),
    text ? textRibbon() : seriesRibbon(),
    text && predictions(),
    !text && !data.runs.base.series && el("p.quiet", say("page.series.unknown")),
  );
}
