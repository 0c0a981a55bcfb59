// Elements of the document: made, filled and measured, and those with a label that many views have.

import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: "tag.class", its attributes, if any (`on…` listens, `css` is its style), and its children.
 * @template {string} W
 * @param {W} what
 * @param {any} [props]
 * @param {...Child} children
 * @returns {ElementOf<W>}
 */
export function el(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  const svg = tag.startsWith("svg:");
  const node = /** @type {any} */ (svg ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag));
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

/**
 * Put `children` in place of what `node` holds.
 * @param {Element | ShadowRoot} node
 * @param {...Child} children
 */
export const fill = (node, ...children) =>
  node.replaceChildren(.../** @type {(string | Node)[]} */ (children.flat().filter((c) => c ?? false)));

/**
 * A section of the page with its heading, one sentence, and what it shows.
 * @param {string} id
 * @param {...Child} children
 */
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

/**
 * The heads of the columns of a table.
 * @param {...string} keys
 */
export const heads = (...keys) =>
  el(
    "thead",
    el(
      "tr",
      keys.map((key) => el("th", { scope: "col" }, say(key))),
    ),
  );

/**
 * A box that scrolls sideways where it is narrow, by keyboard too.
 * @param {string} key
 * @param {...Child} children
 */
export const scroller = (key, ...children) =>
  el("div.scroll", { tabindex: 0, role: "group", "aria-label": say(key) }, ...children);

/**
 * @param {string} key
 * @param {() => unknown} onclick
 */
export const button = (key, onclick, more = {}, values = {}) =>
  el("button", { type: "button", onclick, ...more }, say(key, values));

/**
 * A labelled choice. `options` is [[value, text], …].
 * @param {string} key
 * @param {[string | number, string][]} options
 * @param {string | number} value
 * @param {(value: string) => unknown} onchange
 */
export function choice(key, options, value, onchange, more = {}) {
  const select = el(
    "select",
    { onchange: () => onchange(select.value), ...more },
    ...options.map(([v, text]) => el("option", { value: v }, text)),
  );
  select.value = String(value);
  return el("label.field", el("span", say(key)), select);
}

/**
 * The select of a labelled choice.
 * @type {(label: HTMLElement) => HTMLSelectElement}
 */
export const selectOf = (label) => /** @type {HTMLSelectElement} */ (label.lastChild);

/**
 * @param {string} key
 * @param {Child} input
 */
export const field = (key, input) => el("label.field", el("span", say(key)), input);

/**
 * Where in a box a pointer is, as shares of its width and height.
 * @param {PointerEvent} event
 * @param {Element} node
 * @returns {[number, number]}
 */
export function shareOf(event, node) {
  const box = node.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/**
 * The path of a line through points [x, y], broken where there is no number.
 * @param {[number, number][]} points
 */
export const through = (points) =>
  points
    .map(([x, y], k) => (Number.isFinite(y) ? `${k && Number.isFinite(points[k - 1][1]) ? "L" : "M"}${x} ${y}` : ""))
    .join("");

/**
 * An upright line over a chart of this height, with a halo that shows it on any colour.
 * @param {string} name
 * @param {number} high
 */
export const upright = (name, high) =>
  el(
    "svg:g",
    ["halo", name].map((kind) => el(`svg:line.${kind}`, { y1: 0, y2: high })),
  );

/**
 * @param {SVGElement} line
 * @param {number | null} x
 */
export function standAt(line, x) {
  line.style.display = x === null ? "none" : "";
  line.setAttribute("transform", `translate(${x ?? 0})`);
}
