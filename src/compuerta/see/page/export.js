// Taking it along: numbers as CSV, heat maps as PNG, the drawing as SVG.

import { css, rgb, scaleOf } from "./colour.js";
import { el } from "./elements.js";
import { label, placeName, symbol, unitName } from "./names.js";
import { short } from "./ribbon.js";
import { S, data, nth, run } from "./state.js";

/**
 * @param {string} name
 * @param {Blob} blob
 */
function save(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/**
 * A cell of a table: numbers as they are; text that a spreadsheet could take for a formula gets an apostrophe.
 * @param {string | number} value
 */
export function csvCell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r']/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

/** Every quantity of the current unit at every step. */
export function csv() {
  const r = run();
  const keys = Object.keys(data.kind.quantities);
  const dates = data.labels && !r.ids;
  /** @type {(t: number) => string | number} */
  const read = (t) => (r.ids ? data.vocabulary[r.ids[t]] : (r.series?.[t] ?? ""));
  /** @type {(string | number)[][]} */
  const rows = [["step", ...(dates ? ["label"] : []), r.ids ? "token" : "value", ...keys]];
  for (let t = 0; t < r.T; t++) {
    rows.push([
      nth(t),
      ...(dates ? [data.labels[t]] : []),
      read(t),
      ...keys.map((q) => r.values[q][S.p][t * data.H + S.u]),
    ]);
  }
  return rows.map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

/** @type {(end: string) => string} */
const name = (end) => `compuerta-${S.q}-${placeName(S.p).replace(/\W+/g, "")}-${unitName()}.${end}`;

export const saveCsv = () => save(name("csv"), new Blob(["\ufeff", csv()], { type: "text/csv" }));

const HEAD = 62;
const RAMP = 200;

/**
 * The heat map of the current layer with its name and its scale, its pixels enlarged and never mixed.
 * @param {HTMLElement} root
 */
export function savePng(root) {
  const canvas = /** @type {HTMLCanvasElement} */ (root.querySelectorAll(".heat canvas")[1 + S.p]);
  const zoom = Math.max(1, Math.ceil(1200 / canvas.width));
  const tall = Math.max(1, Math.round(400 / canvas.height));
  const out = el("canvas", { width: canvas.width * zoom, height: canvas.height * tall + HEAD });
  const context = out.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, out.width, out.height);
  context.fillStyle = "#111";
  context.font = "18px system-ui, sans-serif";
  context.fillText(`${symbol(S.q)} · ${placeName(S.p)} · ${data.title}`, 8, 24);
  const [low, high] = scaleOf(S.q, true);
  const from = Math.round(16 + context.measureText(short(low)).width);
  context.fillText(short(low), 8, 50);
  for (let k = 0; k < RAMP; k++) {
    context.fillStyle = css(rgb(S.q, low + ((high - low) * k) / (RAMP - 1), true));
    context.fillRect(from + k, 38, 1, 14);
  }
  context.fillStyle = "#111";
  context.fillText(short(high), from + RAMP + 8, 50);
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, HEAD, out.width, out.height - HEAD);
  out.toBlob((blob) => save(name("png"), blob));
}

const KEPT = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "font-family",
  "font-size",
  "font-weight",
  "opacity",
];

/**
 * The drawing of the step, its style written into it so that it looks the same elsewhere.
 * @param {HTMLElement} root
 */
export function saveSvg(root) {
  const drawn = root.querySelector(".cell-drawing");
  const copy = /** @type {Element} */ (drawn.cloneNode(true));
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const from = [drawn, ...drawn.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, k) => {
    const style = getComputedStyle(from[k]);
    for (const key of KEPT) node.setAttribute(key, style.getPropertyValue(key));
    node.removeAttribute("style");
  });
  save(
    `compuerta-${label(S.t)}-${nth(S.t)}.svg`,
    new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }),
  );
}
