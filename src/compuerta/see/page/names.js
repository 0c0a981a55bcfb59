// What units, places, quantities and steps are called.

import { S, data, nth, run } from "./state.js";
import { glyph, num, say } from "./words.js";

export const unitName = (u = S.u) => String(data.units[u] + 1);

/** @type {(p: number) => string} */
export const placeName = (p) =>
  say("page.layer", { n: data.places[p][0] + 1 }) + (data.directions > 1 ? (data.places[p][1] ? " ←" : " →") : "");

/** @type {(q: string) => string} */
export const symbol = (q) => data.kind.quantities[q].symbol.replace("_t", "");

/** @type {(q: string) => string} */
export const quantityName = (q) => say(`gate.${q}.name`);

/** @type {(q: string) => string} */
export const symbolAndName = (q) => `${symbol(q)} · ${quantityName(q)}`;

/**
 * What was read at a step: a visible character, or a number of a series with its label; "?" where not stored.
 * @param {number} t
 */
export function label(t, r = run()) {
  if (r.ids) return glyph(data.vocabulary[r.ids[t]]);
  return (data.labels ? `${data.labels[t]}: ` : "") + (r.series ? num(r.series[t], 2) : "?");
}

/**
 * The same inside a sentence, where a comma that was read is not to be taken for one of its own.
 * @param {number} t
 */
export const quoted = (t) => (run().ids ? say("page.quoted", { char: label(t) }) : label(t));

/**
 * A step as a sentence names it: its character, or its number and value in a series.
 * @param {number} t
 */
export const place = (t) => (run().ids ? quoted(t) : say("page.at", { t: nth(t), value: label(t) }));
