// What every view uses: elements, words, numbers, and the one state that all of them show.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: "tag.class", its attributes, if any (`on…` listens, `css` is its style), and its children. */
export function el(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  const svg = tag.startsWith("svg:");
  const node = svg ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  if (props?.constructor !== Object) [props, children] = [{}, [props, ...children]];
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "css") Object.assign(node.style, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  fill(node, ...children);
  return node;
}

/** Put `children` in place of what `node` holds. */
export const fill = (node, ...children) => node.replaceChildren(...children.flat().filter((c) => c ?? false));

export const clampTo = (value, low, high) => Math.min(high, Math.max(low, value));

// ---- words and numbers ---------------------------------------------------------------------------------------------

const words = { lang: "en", texts: {} };

export function speak(texts, lang) {
  words.texts = texts;
  words.lang = Object.hasOwn(texts, lang) ? lang : "en";
}

export const language = () => words.lang;

/** The text of a key in the language of the page, its {fields} filled in. */
export function say(key, values = {}) {
  const text = words.texts[words.lang][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (Object.hasOwn(values, name) ? String(values[name]) : all));
}

/** A number as it is shown: a true minus, three decimals, and no scale that NaN or infinity could break. */
export function num(value, digits = 3) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size && (size < 0.5 * 10 ** -digits || size >= 1e5) ? value.toExponential(1) : value.toFixed(digits);
  return text.replace(/-/g, "−");
}

/** A signed number with the sign as a glyph: ▲ up, ▼ down, = for nothing. */
export const signed = (value, digits = 3) =>
  (value > 0 ? "▲ +" : value < 0 ? "▼ " : Number.isNaN(value) ? "" : "= ") + num(value, digits);

export const percent = (share) =>
  Number.isFinite(share)
    ? `${(100 * share).toFixed(share && Math.abs(share) < 0.1 ? 1 : 0)}${words.lang === "es" ? " " : ""}%`
    : num(share);

/** A character as it can be seen: what is blank or controls gets a picture, what combines something to stand on. */
export function glyph(char) {
  if (char === "\n") return "⏎";
  if (char === " ") return "␣";
  const code = char.codePointAt(0);
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  if (code === 127) return "␡";
  if (/^\p{M}/u.test(char)) return `\u25cc${char}`;
  return /^[\p{C}\p{Z}]/u.test(char) ? `U+${code.toString(16).toUpperCase().padStart(4, "0")}` : char;
}

// ---- the state that all views show ---------------------------------------------------------------------------------

/**
 * t step, p place (layer and direction), u unit, q quantity; shown: which run; pin: a step kept for comparison. Of a
 * lesson: its step, from 1; which parts of the drawing are lit; which numbers are asked for and not to be seen yet.
 */
export const S = {
  t: 0,
  p: 0,
  u: 0,
  q: "c",
  order: "index",
  shown: "base",
  pin: null,
  mark: null,
  marks: null,
  stroke: 0,
  clamps: [],
  lesson: null,
  lit: "",
  asked: "",
};
export const data = { runs: {} };
export const run = () => data.runs[S.shown] ?? data.runs.base;
/** The stored run that is shown, or whose model a live run is of. */
export const home = () => run().home;

/** `make` of 0, 1, … for `count` of them. */
export const times = (count, make) => Array.from({ length: count }, (_, k) => make(k));

const views = [];
let waiting = null;

/**
 * A view is a function of what changed (a Set of keys of S), called once a frame at most; with `keys`, words of one
 * string, only when one of them did. "rev" counts the runs that are shown: it changes whenever what is read does. What
 * asks where things stand is a function that a view returns: called when all have written, it costs no layout of its
 * own.
 */
export const view = (update, keys = null) =>
  views.push(keys ? (changed) => any(changed, ...keys.split(" ")) && update(changed) : update);
export const forget = () => (views.length = 0);

export function set(change) {
  const r = data.runs[change.shown ?? S.shown] ?? data.runs.base;
  if ("shown" in change) {
    const rev = S.rev + (change.shown !== S.shown || change.shown === "live");
    change = { t: S.t, rev, ...change };
    if (change.shown !== "live" && S.clamps.length) change.clamps = []; // nothing is forced in what is stored
  }
  if ("t" in change) change.t = clampTo(Math.round(change.t) || 0, 0, r.T - 1);
  if ("p" in change) change.p = clampTo(change.p | 0, 0, data.places.length - 1);
  if ("u" in change) change.u = ((change.u % data.H) + data.H) % data.H || 0;
  if ("q" in change && !Object.hasOwn(data.quantities, change.q)) delete change.q;
  for (const [key, value] of Object.entries(change)) {
    if (S[key] === value) continue;
    S[key] = value;
    waiting ??= new Set((requestAnimationFrame(flush), []));
    waiting.add(key);
  }
}

export function flush() {
  const changed = waiting ?? new Set();
  waiting = null;
  for (const measure of views.map((update) => update(changed))) if (typeof measure === "function") measure();
}

/** Draw everything anew at the next frame. */
export function refresh() {
  waiting ??= new Set((requestAnimationFrame(flush), []));
  for (const key of Object.keys(S)) waiting.add(key);
}

export const any = (changed, ...keys) => keys.some((key) => changed.has(key));

/** The number by which people call a step: from 1, or those of the longer reading that the steps were chosen from. */
export const nth = (t, r = run()) => r.numbers?.[t] ?? t + 1;

/** Whether a quantity of the unit was held at a value, whatever its equation says. */
export const held = (q) => Boolean(run().clamps?.some((c) => c.p === S.p && c.q === q && c.u === S.u));

// ---- names ---------------------------------------------------------------------------------------------------------

export const unitName = (u = S.u) => String(data.units[u] + 1);
export const placeName = (p) =>
  say("page.layer", { n: data.places[p][0] + 1 }) + (data.directions > 1 ? (data.places[p][1] ? " ←" : " →") : "");
export const symbol = (q) => data.quantities[q].symbol;
export const quantityName = (q) => say(`gate.${q}.name`);
export const symbolAndName = (q) => `${symbol(q)} · ${quantityName(q)}`;

/** What was read at a step: a visible character, or a number of a series with its label; "?" where not stored. */
export function label(t, r = run()) {
  if (r.ids) return glyph(data.vocabulary[r.ids[t]]);
  return (data.labels ? `${data.labels[t]}: ` : "") + (r.series ? num(r.series[t], 2) : "?");
}

/** The same inside a sentence, where a comma that was read is not to be taken for one of its own. */
export const quoted = (t) => (run().ids ? say("page.quoted", { char: label(t) }) : label(t));

/** A step as a sentence names it: its character, or its number and value in a series. */
export const place = (t) => (run().ids ? quoted(t) : say("page.at", { t: nth(t), value: label(t) }));

/** A section of the page with its heading, one sentence, and what it shows. */
export function card(id, ...children) {
  const head = el("h2", { id: `${id}-h`, tabindex: "-1" }, say(`page.${id}.title`));
  return el(
    "section.card",
    { id, "aria-labelledby": `${id}-h` },
    head,
    el("p.lede", say(`page.${id}.lede`)),
    ...children,
  );
}

/** The heads of the columns of a table. */
export const heads = (...keys) =>
  el(
    "thead",
    el(
      "tr",
      keys.map((key) => el("th", { scope: "col" }, say(key))),
    ),
  );

/** Where in a box a pointer is, as shares of its width and height. */
export function shareOf(event, node) {
  const box = node.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/** The path of a line through points [x, y], broken where there is no number. */
export const through = (points) =>
  points
    .map(([x, y], k) => (Number.isFinite(y) ? `${k && Number.isFinite(points[k - 1][1]) ? "L" : "M"}${x} ${y}` : ""))
    .join("");

/** An upright line over a chart of this height, with a halo that shows it on any colour. */
export const upright = (name, high) =>
  el(
    "svg:g",
    ["halo", name].map((kind) => el(`svg:line.${kind}`, { y1: 0, y2: high })),
  );
export function standAt(line, x) {
  line.style.display = x === null ? "none" : "";
  line.setAttribute("transform", `translate(${x ?? 0})`);
}

/** A box that scrolls sideways where it is narrow, by keyboard too. */
export const scroller = (key, ...children) =>
  el("div.scroll", { tabindex: 0, role: "group", "aria-label": say(key) }, ...children);

export const button = (key, onclick, more = {}, values = {}) =>
  el("button", { type: "button", onclick, ...more }, say(key, values));

/** A labelled choice. `options` is [[value, text], …]. */
export function choice(key, options, value, onchange, more = {}) {
  const select = el(
    "select",
    { onchange: (event) => onchange(event.target.value), ...more },
    ...options.map(([v, text]) => el("option", { value: v }, text)),
  );
  select.value = value;
  return el("label.field", el("span", say(key)), select);
}

export const field = (key, input) => el("label.field", el("span", say(key)), input);
