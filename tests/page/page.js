// What the tests of the page's script share: its modules as node reads them, a run of numbers, and a generator.

import { data } from "../../src/compuerta/see/page/state.js";
import { random } from "../../src/compuerta/see/page/model.js";

/** Random numbers in [low, high), the same for the same seed. */
export function numbers(seed, count, low = -1, high = 1) {
  const next = random(seed);
  return Float64Array.from({ length: count }, () => low + (high - low) * next());
}

/** The kinds of cells as the page receives them, as far as the tests ask. */
const MEMORY = { normalized: false, clip: null, zoneout: 0 };
export const KINDS = {
  lstm: {
    key: "lstm",
    quantities: { f: {}, i: {}, g: {}, c: {}, o: {}, h: {} },
    blocks: ["i", "f", "g", "o"],
    own_gates: ["i", "f", "o"],
    parts: ["h", "c"],
    memory: { ...MEMORY, quantity: "c", keep: "f", write: "i", candidate: "g" },
    activations: { i: ["Sigmoid"], f: ["Sigmoid"], g: ["Tanh"], o: ["Sigmoid"], h: ["Tanh"] },
    switches: {},
  },
  gru: {
    key: "gru",
    quantities: { r: {}, z: {}, n: {}, h: {} },
    parts: ["h"],
    memory: { ...MEMORY, quantity: "h", keep: "z", write: null, candidate: "n" },
  },
  minlstm: {
    key: "minlstm",
    quantities: { f: {}, i: {}, g: {}, h: {} },
    parts: ["h"],
    memory: { ...MEMORY, quantity: "h", keep: "f", write: "i", candidate: "g", normalized: true },
  },
};

/** Give the page one layer of H units of a kind of cell that reads forward (or backward). */
export function about(H, kind, { back = false, vocabulary = null } = {}) {
  Object.assign(data, {
    H,
    layers: 1,
    directions: 1,
    places: [[0, Number(back)]],
    kind,
    vocabulary,
    units: Array.from({ length: H }, (_, u) => u),
    warm: 10,
    shifts: [0.2, 0.5, 0.8],
  });
}
