// Every unit at every step: a heat map of one quantity for each layer, and all quantities of one unit above them.

import { rgb, scaleOf } from "./colour.js";
import { card, choice, el, shareOf } from "./elements.js";
import { placeName, symbol, unitName } from "./names.js";
import { average, halfLife, saturation } from "./readings.js";
import { legend, overTime, short, valueAt } from "./ribbon.js";
import { S, data, run, set, times, view } from "./state.js";
import { say } from "./words.js";

const ORDERS = ["index", "saturation", "memory", "cluster"];

/**
 * The places of the units from top to bottom, by one of the orders: those of plots.gates, and "cluster".
 * @param {string} order
 * @param {number} p
 */
export function orderOf(order, p, r = run()) {
  const H = data.H;
  const units = times(H, (u) => u);
  const { memory } = data.kind;
  if (order === "index") return units;
  if (order === "cluster") return chain(r.values[memory.quantity][p], r.T, H);
  const score = units
    .map((u) =>
      order === "memory" ? halfLife(r, p, u) : saturation(r, memory.keep, p, u).reduce((low, high) => low + high),
    )
    .map((v) => (Number.isNaN(v) ? -1 : v));
  return units.sort((a, b) => score[b] - score[a] || a - b);
}

/**
 * Units in a chain where each is followed by the one that correlates with it most (in size) of those left.
 * @param {Numbers} values
 * @param {number} T
 * @param {number} H
 */
function chain(values, T, H) {
  const every = Math.max(1, Math.floor(T / 64));
  const n = Math.floor(T / every);
  const rows = times(H, (u) => {
    const row = times(n, (k) => values[k * every * H + u]);
    const centre = average(row);
    const size = Math.hypot(...row.map((v) => v - centre)) || 1;
    return row.map((v) => (v - centre) / size);
  });
  const left = new Set(rows.keys());
  const out = [0];
  left.delete(0);
  while (left.size) {
    const last = rows[out.at(-1)];
    let pick = -1;
    let most = -1;
    for (const u of left) {
      let dot = 0;
      for (let k = 0; k < n; k++) dot += last[k] * rows[u][k];
      if (!(Math.abs(dot) <= most)) [pick, most] = [u, Math.abs(dot)];
    }
    out.push(pick);
    left.delete(pick);
  }
  return out;
}

/**
 * Paint rows × steps of colours, one pixel each; the style sheet makes the pixels large.
 * @param {HTMLCanvasElement} canvas
 * @param {number} rows
 * @param {number} T
 * @param {(row: number, t: number) => Colour} colour
 */
export function paint(canvas, rows, T, colour) {
  canvas.width = T;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(T, rows);
  const px = image.data;
  for (let row = 0, at = 0; row < rows; row++)
    for (let t = 0; t < T; t++, at += 4) {
      const [r, g, b] = colour(row, t);
      px[at] = r;
      px[at + 1] = g;
      px[at + 2] = b;
      px[at + 3] = 255;
    }
  context.putImageData(image, 0, 0);
}

/**
 * A canvas with a cross on the current step and row; `pick(share of height)` hears a click.
 * @param {((share: number) => void) | undefined} pick
 */
export function grid(pick, more = {}) {
  const canvas = el("canvas");
  const column = el("div.column");
  const pin = el("div.column.pin");
  const row = el("div.row");
  const node = el("div.grid", { ...more }, canvas, pin, column, row);
  /** @type {(event: PointerEvent) => void} */
  const at = (event) => {
    const [across, down] = shareOf(event, canvas);
    set({ t: Math.floor(across * run().T) });
    pick?.(down);
  };
  node.addEventListener("pointerdown", at);
  node.addEventListener("pointermove", (event) => event.buttons && at(event));
  /** @type {(share?: [number, number]) => void} */
  const cross = (share) => {
    const T = run().T;
    /** @type {[HTMLElement, number | null][]} */
    const marks = [
      [column, S.t],
      [pin, S.pin],
    ];
    for (const [mark, t] of marks) {
      mark.hidden = t === null;
      mark.style.left = `${(100 * (t ?? 0)) / T}%`;
      mark.style.width = `${100 / T}%`;
    }
    row.hidden = share === undefined;
    if (share !== undefined) [row.style.top, row.style.height] = [`${100 * share[0]}%`, `${100 * share[1]}%`];
  };
  return { node, canvas, cross };
}

/** All quantities of the current unit, one strip each. */
function strips() {
  const keys = Object.keys(data.kind.quantities);
  const names = el("div.names", ...keys.map((q) => el("span", symbol(q))));
  const { node, canvas, cross } = grid((share) =>
    set({ q: keys[Math.min(keys.length - 1, Math.floor(share * keys.length))] }),
  );
  node.style.height = `${keys.length * 1.4}rem`;
  view(() => paint(canvas, keys.length, run().T, (row, t) => rgb(keys[row], valueAt(keys[row], t))), "rev u p");
  view(() => cross([keys.indexOf(S.q) / keys.length, 1 / keys.length]));
  return el("div.strips", names, node);
}

/** @param {number} p */
function layer(p) {
  /** @type {number[]} */
  let order;
  /** @type {number[]} */
  const row = [];
  const { node, canvas, cross } = grid((share) =>
    set({ p, u: order[Math.min(data.H - 1, Math.floor(share * data.H))] }),
  );
  const name = el("h3");
  node.style.height = `${Math.max(40, Math.min(260, data.H * 12))}px`;
  view(() => {
    order = orderOf(S.order, p);
    order.forEach((u, k) => (row[u] = k));
  }, "rev order");
  view(() => paint(canvas, data.H, run().T, (k, t) => rgb(S.q, valueAt(S.q, t, order[k], p), true)), "rev order q");
  view(() => {
    name.textContent = say("page.heat.layer", { layer: placeName(p), name: symbol(S.q), n: data.H });
    cross(S.p === p ? [row[S.u] / data.H, 1 / data.H] : undefined);
  });
  return el("div", name, node);
}

export function heat() {
  const whole = overTime(el("div.heat"), say("page.heat.title"));
  const title = el("h3");
  const limit = el("p.quiet");
  const own = el("p.quiet");
  const wide = el("div.wide", title, strips(), ...data.places.map((_, p) => layer(p)));
  whole.append(wide);
  view(() => {
    title.textContent = say("page.heat.unit", { unit: unitName(), layer: placeName(S.p) });
    const [low, high] = scaleOf(S.q, true);
    limit.textContent =
      data.kind.quantities[S.q].range && high <= 1
        ? say("page.heat.fixed", { low: short(low), high: short(high) })
        : say("page.heat.limit", { symbol: symbol(S.q), limit: short(high) });
    const signed = Object.keys(data.kind.quantities).filter((q) => scaleOf(q)[0] < 0);
    own.textContent = say("page.heat.own", {
      unit: unitName(),
      limits: signed.map((q) => `${symbol(q)} ±${short(scaleOf(q)[1])}`).join(", "),
    });
  }, "u p q rev");
  view(() => (wide.style.minWidth = run().T > 900 ? `${run().T}px` : ""), "rev");
  view(() => {
    // It fits
    if (run().T <= 900) return;
    return () => {
      const wanted = (S.t / run().T) * wide.scrollWidth;
      if (
        wide.scrollWidth > whole.clientWidth &&
        (wanted < whole.scrollLeft || wanted > whole.scrollLeft + whole.clientWidth)
      ) {
        whole.scrollLeft = wanted - whole.clientWidth / 2;
      }
    };
  }, "t rev");
  const order = choice(
    "page.order",
    ORDERS.map((o) => [o, say(`page.order.${o}`)]),
    S.order,
    (value) => set({ order: value }),
  );
  return card("heat", el("div.row-of", order, legend(true)), whole, limit, own);
}
