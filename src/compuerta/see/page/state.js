// The one state that all views show, and what is called when it changes.

/** @type {(value: number, low: number, high: number) => number} */
export const within = (value, low, high) => Math.min(high, Math.max(low, value));

/**
 * `make` of 0, 1, … for `count` of them.
 * @template A
 * @param {number} count
 * @param {(k: number) => A} make
 */
export const times = (count, make) => Array.from({ length: count }, (_, k) => make(k));

/**
 * t step, p place (layer and direction), u unit, q quantity; shown: which run; pin: a step kept for comparison. Of a
 * lesson: its step, from 1; which parts of the drawing are lit; which numbers are asked for and not to be seen yet.
 * @type {Shown}
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
  rev: 0,
};

/** @type {Data} */
export const data = /** @type {any} */ ({ runs: {} });

/** @type {() => Run} */
export const run = () => data.runs[S.shown] ?? data.runs.base;

/** The stored run that is shown, or whose model a live run is of. */
export const home = () => run().home;

/** @type {((changed: Changed) => unknown)[]} */
const views = [];

/** @type {Changed | null} */
let waiting = null;

/**
 * A view is a function of what changed (a Set of keys of S), called once a frame at most; with `keys`, words of one
 * string, only when one of them did. "rev" counts the runs that are shown: it changes whenever what is read does. What
 * asks where things stand is a function that a view returns: called when all have written, it costs no layout of its
 * own.
 * @param {(changed: Changed) => unknown} update
 * @param {string | null} [keys]
 */
export const view = (update, keys = null) =>
  views.push(keys ? (changed) => any(changed, ...keys.split(" ")) && update(changed) : update);

export const forget = () => (views.length = 0);

/** @param {Partial<Shown>} change */
export function set(change) {
  const r = data.runs[change.shown ?? S.shown] ?? data.runs.base;
  if ("shown" in change) {
    const rev = S.rev + Number(change.shown !== S.shown || change.shown === "live");
    change = { t: S.t, rev, ...change };
    // What is stored has none
    if (change.shown !== "live" && S.clamps.length) change.clamps = [];
  }
  if (change.t !== undefined) change.t = within(Math.round(change.t) || 0, 0, r.T - 1);
  if (change.p !== undefined) change.p = within(change.p | 0, 0, data.places.length - 1);
  if (change.u !== undefined) change.u = ((change.u % data.H) + data.H) % data.H || 0;
  if (change.q !== undefined && !Object.hasOwn(data.kind.quantities, change.q)) delete change.q;
  const changed = Object.entries(change).filter(([key, value]) => S[/** @type {keyof Shown} */ (key)] !== value);
  Object.assign(S, Object.fromEntries(changed));
  if (changed.length) soon(changed.map(([key]) => key));
}

/**
 * Draw what depends on these keys at the next frame.
 * @param {string[]} keys
 */
function soon(keys) {
  if (!waiting) requestAnimationFrame(flush);
  waiting = new Set([...(waiting ?? []), ...keys]);
}

export function flush() {
  const changed = waiting ?? new Set();
  waiting = null;
  for (const measure of views.map((update) => update(changed))) if (typeof measure === "function") measure();
}

/** Draw everything anew at the next frame. */
export const refresh = () => soon(Object.keys(S));

/** @type {(changed: Changed, ...keys: string[]) => boolean} */
export const any = (changed, ...keys) => keys.some((key) => changed.has(key));

/**
 * The number by which people call a step: from 1, or those of the longer reading that the steps were chosen from.
 * @param {number} t
 */
export const nth = (t, r = run()) => r.numbers?.[t] ?? t + 1;

/**
 * Whether a quantity of the unit is clamped at a value in the run, whatever its equation says.
 * @param {string} q
 */
export const clamped = (q) => Boolean(run().clamps?.some((c) => c.p === S.p && c.q === q && c.u === S.u));
