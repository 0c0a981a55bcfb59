// Where one is: step, layer, unit, quantity; play, pin, keys, language, the address's hash, what is taken along.

import { planOf } from "./cell.js";
import { button, choice, el, field, fill, selectOf } from "./elements.js";
import { saveCsv, savePng, saveSvg } from "./export.js";
import { LESSON_KEYS, turnTo } from "./lesson.js";
import { placeName, symbolAndName, unitName } from "./names.js";
import { sentence } from "./ribbon.js";
import { S, within, data, home, nth, run, set, view } from "./state.js";
import { language, say } from "./words.js";

const SPEEDS = [2, 5, 10, 30, 60];
/** @type {number | null} */
let playing = null;
let speed = 10;
let since = 0;

export function play(on = playing === null) {
  cancelAnimationFrame(playing);
  playing = null;
  if (!on) return set({ playing: false });
  if (S.t >= run().T - 1) set({ t: 0 });
  since = performance.now();
  /** @type {(now: number) => void} */
  const tick = (now) => {
    playing = requestAnimationFrame(tick);
    const steps = Math.floor(((now - since) * speed) / 1000);
    if (steps < 1) return;
    since += (steps * 1000) / speed;
    set({ t: S.t + steps });
    if (S.t >= run().T - 1) play(false);
  };
  playing = requestAnimationFrame(tick);
  set({ playing: true });
}

export const pin = () => set({ pin: S.pin === S.t ? null : S.t });

/**
 * What each key does; the same list is the help.
 * @type {Key[]}
 */
const KEYS = [
  ["ArrowRight", "→", "next", () => set({ t: S.t + 1 })],
  ["ArrowLeft", "←", "previous", () => set({ t: S.t - 1 })],
  ["ArrowDown", "↓", "unit_next", () => set({ u: S.u + 1 })],
  ["ArrowUp", "↑", "unit_previous", () => set({ u: S.u - 1 })],
  ["PageDown", "PgDn", "ten_on", () => set({ t: S.t + 10 })],
  ["PageUp", "PgUp", "ten_back", () => set({ t: S.t - 10 })],
  ["Home", "Home", "first", () => set({ t: 0 })],
  ["End", "End", "last", () => set({ t: run().T - 1 })],
  ["Enter", "Enter", "dissect", (root) => go(root, "cell")],
  [" ", "Space", "play", () => play()],
  ["p", "p", "pin", pin],
  ["l", "l", "layer", () => set({ p: (S.p + 1) % data.places.length })],
  ["?", "?", "help", (root) => root.querySelector("dialog").showModal()],
];

const allKeys = () => (data.lesson ? [...LESSON_KEYS, ...KEYS] : KEYS);

/**
 * @param {HTMLElement} root
 * @param {string} id
 */
function go(root, id) {
  const head = /** @type {HTMLElement} */ (root.querySelector(`#${id}-h`));
  head.focus();
  head.scrollIntoView({
    block: "start",
    behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
  });
}

/**
 * Keys act in every view, but never where one writes, chooses or presses.
 * @param {HTMLElement} root
 */
export function keys(root) {
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || root.querySelector("dialog").open)
      return;
    const tag = /** @type {Element} */ (event.composedPath()[0]).localName;
    if (
      ["input", "select", "textarea", "summary"].includes(tag) ||
      (["button", "a"].includes(tag) && [" ", "Enter"].includes(event.key))
    )
      return;
    if (event.shiftKey && event.key.startsWith("Arrow") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const to = within(S.t + (event.key === "ArrowRight" ? 1 : -1), 0, run().T - 1);
      const goesOn = S.mark?.includes(S.t);
      const fixed = !goesOn ? S.t : S.mark[0] === S.t ? S.mark[1] : S.mark[0];
      set({
        brush: true,
        mark: [Math.min(fixed, to), Math.max(fixed, to)],
        stroke: goesOn ? S.stroke : S.stroke + 1,
        t: to,
      });
      return event.preventDefault();
    }
    const named = allKeys().find(([key]) => key === event.key);
    if (named) named[3](root);
    else if (Object.hasOwn(data.kind.quantities, event.key)) set({ q: event.key });
    else return;
    event.preventDefault();
  });
}

/**
 * What stands on a key: a sign, or a word that is the keyboard's own in each language.
 * @type {(key: string) => string}
 */
const cap = (key) => (/^\w\w/.test(key) ? say(`page.keycap.${key}`) : key);

export function help() {
  const node = el(
    "dialog",
    { "aria-labelledby": `${data.id}-help` },
    el("h2", { id: `${data.id}-help` }, say("page.help")),
    el(
      "dl",
      ...allKeys().flatMap(([, key, what]) => [el("dt", el("kbd", cap(key))), el("dd", say(`page.key.${what}`))]),
      el("dt", el("kbd", Object.keys(data.kind.quantities).join(" "))),
      el("dd", say("page.key.quantity")),
      el("dt", el("kbd", "⇧ ←→")),
      el("dd", say("page.key.mark")),
    ),
    el("form", { method: "dialog" }, el("button", { autofocus: true }, say("page.close"))),
  );
  return node;
}

/**
 * @param {HTMLElement} root
 * @param {(lang: string) => void} mount
 */
export function header(root, mount) {
  const [other, name] = language() === "en" ? ["es", "Español"] : ["en", "English"];
  const tongue = el("button.lang", { type: "button", lang: other, onclick: () => mount(other) }, name);
  return el(
    "header",
    el("div", el("h1", data.lesson ? say("lesson.title") : data.title), el("p.quiet", about())),
    el(
      "div.row-of",
      button("page.help.open", () => root.querySelector("dialog").showModal(), { "aria-haspopup": "dialog" }),
      tongue,
    ),
  );
}

function about() {
  const { kind, hidden, layers, vocabulary, lesson } = data;
  const key = lesson ? "lesson.about" : vocabulary ? "page.about.text" : "page.about.series";
  return say(key, { cell: kind.title, hidden, layers, V: vocabulary?.length, T: data.runs.base.T });
}

/** @param {HTMLElement} root */
export function controls(root) {
  const range = el("input", {
    type: "range",
    step: 1,
    "aria-label": say("page.step"),
    oninput: () => set({ t: Number(range.value) - nth(0) }),
  });
  const start = button("page.play", () => play(), { class: "play" });
  const hold = button("page.pin", pin);
  const unit = el("input", {
    type: "number",
    min: 1,
    onchange: () => {
      const at = data.units.indexOf(Number(unit.value) - 1);
      if (at >= 0) set({ u: at });
      unit.value = unitName();
    },
  });
  const layer = choice(
    "page.layer.choose",
    data.places.map((_, p) => [p, placeName(p)]),
    S.p,
    (v) => set({ p: +v }),
  );
  const quantity = choice(
    "page.quantity",
    Object.keys(data.kind.quantities).map((q) => [q, symbolAndName(q)]),
    S.q,
    (v) => set({ q: v }),
  );
  const rate = choice(
    "page.speed",
    SPEEDS.map((s) => [s, say("page.speed.n", { n: s })]),
    speed,
    (v) => (speed = +v),
  );
  const now = el("p.now-line", { "aria-live": "polite" });
  const shown = el("div.shown");
  const wide = el("div.row-of", start, range, hold);
  let heard = 0;
  view(() => {
    range.min = String(nth(0));
    range.max = String(nth(0) + run().T - 1);
    range.value = String(nth(0) + S.t);
    range.setAttribute("aria-valuetext", sentence());
    unit.value = unitName();
    unit.max = String(Math.max(...data.units) + 1);
    selectOf(layer).value = String(S.p);
    selectOf(quantity).value = S.q;
    start.textContent = say(S.playing ? "page.pause" : "page.play");
    hold.textContent = say(S.pin === S.t ? "page.unpin" : "page.pin");
    hold.setAttribute("aria-pressed", String(S.pin !== null));
    // Said when one comes to rest: a reader of the screen is not to hear every step of a run.
    clearTimeout(heard);
    heard = setTimeout(() => (now.textContent = sentence()), S.playing ? 1500 : 120);
  });
  view(() => {
    shown.hidden = S.shown === "base";
    if (shown.hidden) return;
    const name = home() === "other" ? data.runs.other.label || say("page.compare.other") : "";
    fill(
      shown,
      el("strong", name && S.shown === "live" ? say("page.shown.live.of", { name }) : say(`page.shown.${S.shown}`)),
      " ",
      button(name && S.shown === "live" ? "page.shown.back.other" : "page.shown.back", () => {
        set({ shown: S.shown === "live" ? home() : "base" });
        // The button goes
        range.focus();
      }),
    );
  }, "rev clamps");
  const more = el(
    "details.more",
    el("summary", say("page.take")),
    el(
      "div.row-of",
      button("page.csv", saveCsv),
      button("page.png", () => savePng(root)),
      planOf(data.kind) ? button("page.svg", () => saveSvg(root)) : null,
    ),
  );
  return el(
    "nav.controls",
    { "aria-label": say("page.controls") },
    wide,
    el("div.row-of", quantity, field("page.unit", unit), data.places.length > 1 ? layer : null, rate, more),
    now,
    shown,
  );
}

// ---- the place in the address --------------------------------------------------------------------------------------

/** @type {(keyof Shown)[]} */
const NAMES = ["t", "p", "u", "q", "order", "pin", "lesson"];

export function readHash() {
  /** @type {Words} */
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  /** @type {any} */
  const change = {};
  for (const key of NAMES)
    if (key in asked)
      change[key] = ["q", "order"].includes(key) ? asked[key] : Math.max(0, parseInt(asked[key], 10) || 0);
  if (change.pin >= data.runs.base.T) delete change.pin;
  if (!["index", "saturation", "memory", "cluster"].includes(change.order)) delete change.order;
  const { lesson, ...rest } = change;
  if (data.lesson && (lesson ?? S.lesson ?? 1) !== S.lesson) turnTo(lesson ?? 1);
  else set(rest);
  return asked.lang;
}

export function writeHash() {
  let waiting = 0;
  view(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const now = new URLSearchParams(NAMES.filter((key) => S[key] !== null).map((key) => [key, String(S[key])]));
      now.set("lang", language());
      history.replaceState(null, "", `#${now}`);
    }, 250);
  });
}
