// What the tests of the page's script share: its modules as node reads them, a run of numbers, and a generator.

import { data } from "../../src/compuerta/see/page/state.js";
import { random } from "../../src/compuerta/see/page/model.js";

/** Random numbers in [low, high), the same for the same seed. */
export function numbers(seed, count, low = -1, high = 1) {
  const next = random(seed);
  return Float64Array.from({ length: count }, () => low + (high - low) * next());
}

/** Give the page one layer of H units that reads forward (or backward) and knows these quantities. */
export function about(H, quantities, { back = false, vocabulary = null } = {}) {
  Object.assign(data, {
    H,
    layers: 1,
    directions: 1,
    places: [[0, Number(back)]],
    quantities: Object.fromEntries(quantities.map((q) => [q, {}])),
    vocabulary,
    units: Array.from({ length: H }, (_, u) => u),
    warm: 10,
    shifts: [0.2, 0.5, 0.8],
  });
}
