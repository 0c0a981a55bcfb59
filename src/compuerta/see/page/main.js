// From the file to the page: unpack, let the model run where it must, put the views together.

import { cell } from "./cell.js";
import { colours } from "./colour.js";
import { compare } from "./compare.js";
import { controls, header, help, keys, play, readHash, writeHash } from "./controls.js";
import { unpack } from "./data.js";
import { el, fill } from "./elements.js";
import { find } from "./find.js";
import { flow } from "./flow.js";
import { heat } from "./heat.js";
import { ledgerView } from "./ledger.js";
import { lesson, turnTo } from "./lesson.js";
import { live } from "./live.js";
import { beginning, forward, load, probabilitiesOf } from "./model.js";
import { ribbon } from "./ribbon.js";
import { saturationView } from "./saturation.js";
import { S, data, flush, forget, refresh, set } from "./state.js";
import { say, speak } from "./words.js";

/**
 * A run as the views want it, of what the file stores about it: the first steps whole, and states before some of the
 * others. `stored` returns a quantity of a place after a step where the file has it.
 * @param {RunMeta} meta
 * @param {Arrays} arrays
 * @param {Model | null} model
 * @returns {Run}
 */
function storedRun(meta, arrays, model) {
  const { T, whole, parts } = meta;
  const { H, places } = data;
  /** @type {(part: string) => any} */
  const name = (part) => arrays[`${meta.name}.${part}`];
  const frames = new Map(meta.frames.map((t, k) => [t, k]));
  /** @type {(array: any, at: number) => Numbers} */
  const cut = (array, at) => array.subarray(at * H, (at + 1) * H);
  /** @type {(array: string, p: number, n: number, k?: number) => Numbers} */
  const state = (array, p, n, k = 0) => cut(name(array), (k * places.length + p) * parts.length + n);
  const ids = name("ids");
  const inputs = ids ?? (name("inputs") && rows(name("inputs"), T));
  const initial =
    name("initial") && Object.fromEntries(parts.map((q, n) => [q, places.map((_, p) => state("initial", p, n))]));
  const r = /** @type {Run} */ ({
    T,
    ids,
    inputs,
    initial,
    series: name("series"),
    forecast: name("forecast"),
    numbers: name("numbers"),
    label: meta.label,
    model,
    clamps: meta.clamps,
    home: meta.name,
  });
  r.stored = (q, p, t) => {
    if (t < 0 || t >= T) return beginning(r, q, p);
    if (t < whole) return cut(name(q), p * whole + t);
    const k = frames.get(t + (places[p][1] ? -1 : 1));
    // States are those before a step
    const n = parts.indexOf(q);
    return k === undefined || n < 0 ? undefined : state("frames", p, n, k);
  };
  const values = Object.fromEntries(Object.keys(data.kind.quantities).map((q) => [q, rows(name(q), places.length)]));
  if (model) model.initial = initial;
  if (whole < T) {
    Object.assign(r, forward(model, inputs, { stored: r.stored }));
    for (const q in values) values[q].forEach((line, p) => r.values[q][p].set(line));
  } else r.values = values;
  r.probabilities = probabilitiesOf(model, r);
  const flow = [data.kind.memory.quantity, data.kind.parts[0], "reach"]
    .filter((q) => name(`d${q}`))
    .map((q) => [q, name(`d${q}`)]);
  if (flow.length) r.flow = Object.fromEntries(flow);
  return r;
}

/** @type {(flat: any, T: number) => any[]} */
const rows = (flat, T) =>
  Array.from({ length: T }, (_, t) => flat.subarray((t * flat.length) / T, ((t + 1) * flat.length) / T));

/**
 * Show a page (or one output of a notebook) in the element `id`; what it shows stands in the element `id`-data.
 * @param {string} id
 * @param {PageFile} file
 * @param {Uint8Array} bytes
 */
function mount(id, file, bytes) {
  const host = document.getElementById(id);
  const arrays = unpack(bytes, file.index);
  Object.assign(data, file.about, { id, limits: {}, runs: {} });
  data.model = load(file.model, arrays, "");
  /** @type {Record<string, Model | null>} */
  const models = { base: data.model, other: load(file.other, arrays, "other.") };
  for (const meta of file.runs) data.runs[meta.name] = storedRun(meta, arrays, models[meta.name]);
  colours(data.stops);
  const { unit, place, key } = file.about.start;
  Object.assign(S, {
    rev: 0,
    u: unit,
    p: place,
    q: Object.hasOwn(data.kind.quantities, key) ? key : data.kind.memory.quantity,
  });
  speak(file.texts, file.lang);
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(file.css);
  root.adoptedStyleSheets = [sheet];
  const whole = el("div.compuerta");
  fill(root, whole);
  host.previousElementSibling?.remove();
  // Alone in its document, whose address and language are then its own
  const own = Boolean(file.page);
  /** @type {(lang?: string) => void} */
  const build = (lang) => {
    if (lang) {
      play(false);
      speak(file.texts, lang);
    }
    forget();
    if (own) document.documentElement.lang = lang ?? file.lang;
    whole.lang = lang ?? file.lang;
    fill(
      whole,
      header(whole, (other) => {
        build(other);
        /** @type {HTMLElement} */ (whole.querySelector(".lang")).focus();
      }),
      ...(data.lesson
        ? [lesson(whole, controls(whole))]
        : [
            controls(whole),
            el("main", ribbon(), cell(), heat(), ledgerView(), find(), live(), saturationView(), flow(), compare()),
          ]),
      help(),
    );
    if (data.lesson) turnTo(S.lesson ?? 1);
    if (own && data.lesson) document.title = say("lesson.title");
    if (own) writeHash();
    refresh();
    flush();
  };
  if (own) {
    const lang = readHash();
    build(Object.hasOwn(file.texts, lang) ? lang : undefined);
    addEventListener("hashchange", readHash);
  } else build();
  keys(whole);
  if (own)
    document.addEventListener("keydown", (event) => {
      if (event.target !== document.body) return;
      const same = new KeyboardEvent("keydown", { key: event.key, shiftKey: event.shiftKey, cancelable: true });
      if (!whole.dispatchEvent(same)) event.preventDefault();
    });
  // For who drives the page from outside: a lesson, a test
  Object.assign(host, { compuerta: { S, data, set } });
  requestAnimationFrame(() => (host.dataset.ready = String(Math.round(performance.now()))));
}

globalThis.compuerta = { mount };
