// Elements of the document: made, filled and measured, and those with a label that many views have.

import { say } from "./words.js";

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
