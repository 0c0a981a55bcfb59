// Colours with a fixed meaning: cividis for gates in [0, 1], blue, white and orange for signed values.

import { data } from "./base.js";

// Stops of matplotlib's cividis (Nuñez, Anderton and Renslow 2018; public domain), which reads the same to all eyes.
const CIVIDIS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116],
  [195, 179, 105], [225, 204, 85], [254, 232, 56]];
const SIGNED = [[13, 71, 143], [66, 134, 198], [161, 202, 233], [255, 255, 255], [250, 196, 138], [230, 126, 34], [158, 72, 0]];
const NONE = [128, 128, 128];

function between(stops, share) {
  const at = share * (stops.length - 1);
  const k = Math.min(stops.length - 2, Math.floor(at));
  const rest = at - k;
  return stops[k].map((low, n) => Math.round(low + rest * (stops[k + 1][n] - low)));
}

const lut = (stops) => Array.from({ length: 256 }, (_, k) => between(stops, k / 255));
const GATES = lut(CIVIDIS);
const SIGNS = lut(SIGNED);

/** The least and greatest value of the scale of a quantity: fixed, or symmetric about 0 with the limit of the data. */
export const scaleOf = (q) => data.quantities[q].range ?? [-data.limits[q], data.limits[q]];

export function rgb(q, value) {
  if (Number.isNaN(value)) return NONE;
  const [low, high] = scaleOf(q);
  const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return (low < 0 ? SIGNS : GATES)[Math.round(255 * share)];
}

/** Blue, white or orange for a share in [−1, 1]; a shade of cividis for one in [0, 1]. */
export const tint = (share) => SIGNS[Math.round(127.5 + 127.5 * share)] ?? NONE;
export const shade = (share) => GATES[Math.round(255 * share)] ?? NONE;

export const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

/** Black or white, whichever can be read on the colour. */
export const ink = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff");

/** The colours of a scale from its least to its greatest, for a legend. */
export const ramp = (q) => {
  const stops = scaleOf(q)[0] < 0 ? SIGNS : GATES;
  return `linear-gradient(90deg,${[0, 32, 64, 96, 128, 160, 192, 224, 255].map((k) => css(stops[k])).join()})`;
};
