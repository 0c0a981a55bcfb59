// Colours with a fixed meaning: cividis for gates in [0, 1], blue, white and orange for signed values.

import { S, data } from "./state.js";

const NONE = [128, 128, 128];

/**
 * @param {Colour[]} stops
 * @param {number} share
 */
function between(stops, share) {
  const at = share * (stops.length - 1);
  const k = Math.min(stops.length - 2, Math.floor(at));
  const rest = at - k;
  return stops[k].map((low, n) => Math.round(low + rest * (stops[k + 1][n] - low)));
}

/**
 * 256 colours of each scale, made once of the stops that come with the page (compuerta.see.scale).
 * @type {Colour[]}
 */
let GATES;
/** @type {Colour[]} */
let SIGNS;
/** @param {About["stops"]} stops */
export function colours({ gates, signed }) {
  [GATES, SIGNS] = [gates, signed].map((stops) => Array.from({ length: 256 }, (_, k) => between(stops, k / 255)));
}

/** @type {Record<string, number>} */
let own = {};
let of = "";

/**
 * What the finite values of a signed quantity need, and no less than 1 for a tanh.
 * @param {string} q
 * @param {boolean} every
 */
function needed(q, every) {
  // What is run live keeps to the scales of these
  const runs = [data.runs.base, data.runs.other].filter(Boolean);
  let most = data.kind.quantities[q].range ? 1 : 0;
  for (const values of runs.flatMap((r) => (every ? r.values[q] : [r.values[q][S.p]]))) {
    for (let k = every ? 0 : S.u; k < values.length; k += every ? 1 : data.H) {
      const v = Math.abs(values[k]);
      if (v > most && v < Infinity) most = v;
    }
  }
  return most || 1;
}

/**
 * The least and greatest value of the scale of a quantity: 0 and 1 of a gate, else symmetric about 0, as far as the
 * chosen unit goes in what was read or, with `every`, any unit.
 * @param {string} q
 */
export function scaleOf(q, every = false) {
  if (data.kind.quantities[q].range?.[0] === 0) return [0, 1];
  const now = `${S.p} ${S.u}`;
  if (of !== now) [own, of] = [{}, now];
  const limit = ((every ? data.limits : own)[q] ??= needed(q, every));
  return [-limit, limit];
}

/**
 * @param {string} q
 * @param {number} value
 */
export function rgb(q, value, every = false) {
  if (Number.isNaN(value)) return NONE;
  const [low, high] = scaleOf(q, every);
  const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return (low < 0 ? SIGNS : GATES)[Math.round(255 * share)];
}

/**
 * Blue, white or orange for a share in [−1, 1]; a shade of cividis for one in [0, 1].
 * @type {(share: number) => Colour}
 */
export const tint = (share) => SIGNS[Math.round(127.5 + 127.5 * share)] ?? NONE;
/** @type {(share: number) => Colour} */
export const shade = (share) => GATES[Math.round(255 * share)] ?? NONE;

/** @type {(colour: Colour) => string} */
export const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

/**
 * Black or white, whichever is read better on the colour (by relative luminance).
 * @type {(colour: Colour) => string}
 */
export const ink = ([r, g, b]) =>
  0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2 > 0.179 * 255 ** 2.2 ? "#000" : "#fff";

/**
 * The colours of a scale from its least to its greatest, for a legend.
 * @param {string} q
 */
export const ramp = (q) => {
  const stops = scaleOf(q)[0] < 0 ? SIGNS : GATES;
  return `linear-gradient(90deg,${[0, 32, 64, 96, 128, 160, 192, 224, 255].map((k) => css(stops[k])).join()})`;
};
