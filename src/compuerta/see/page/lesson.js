// The lesson: in each step a text, a question that one answers before anything is revealed, and the views it needs.

import { cell } from "./cell.js";
import { compare } from "./compare.js";
import { button, el, fill } from "./elements.js";
import { flow } from "./flow.js";
import { ledgerView } from "./ledger.js";
import { ribbon } from "./ribbon.js";
import { S, any, data, set, view } from "./state.js";
import { training } from "./train.js";
import { glyph, num, say } from "./words.js";

const LETTERS = ["a", "b", "c"];
/**
 * What was answered in each step, as long as the page is open.
 * @type {Record<number, string>}
 */
const answers = {};
/** @type {{ node: HTMLElement, step: (count?: number) => void } | null} */
let gate = null;

/** @type {(value: any) => string} */
const written = (value) =>
  typeof value === "string" ? Array.from(value, glyph).join("") : Number.isInteger(value) ? String(value) : num(value);
const stepNow = () => data.lesson[S.lesson - 1];

/**
 * A part of what the step says, its numbers filled in.
 * @param {string} part
 */
function phrase(part) {
  const { name, values } = stepNow();
  return say(
    `lesson.${name}.${part}`,
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, written(value)])),
  );
}

/**
 * Go to a step of the lesson: to its place in the text, with what it asks for out of sight until it is answered.
 * @param {number} n
 */
export function turnTo(n) {
  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} controls
   */
  const lesson = Math.min(data.lesson.length, Math.max(1, n));
  const { t, u, q, lit, asked } = data.lesson[lesson - 1];
  set({ lesson, t, u, q, lit, p: 0, shown: "base", asked: answers[lesson] ? "" : `the ${asked}`.trim() });
}

/** @param {string} letter */
function answer(letter) {
  if (answers[S.lesson]) return;
  answers[S.lesson] = letter;
  set({ asked: "", rev: S.rev + 1 });
}

/**
 * @param {HTMLElement} root
 * @param {number} by
 */
function turn(root, by) {
  turnTo(S.lesson + by);
  const head = /** @type {HTMLElement} */ (root.querySelector("#lesson-h"));
  head.focus({ preventScroll: true });
  head.scrollIntoView({ block: "center" });
}

/**
 * The keys of a lesson, as the list of keys wants them.
 * @type {Key[]}
 */
export const LESSON_KEYS = [
  ["n", "n", "lesson_next", (root) => turn(root, 1)],
  ["b", "b", "lesson_back", (root) => turn(root, -1)],
  ...LETTERS.map(
    (letter, k) => /** @type {Key} */ ([`${k + 1}`, `${k + 1}`, `lesson_${letter}`, () => answer(letter)]),
  ),
  ["t", "t", "lesson_train", () => S.lesson === data.lesson.length && gate.step()],
];

/**
 * @param {HTMLElement} root
 * @param {HTMLElement} controls
 */
export function lesson(root, controls) {
  gate = training(data.lesson.at(-1).values.n);
  const cards = {
    ribbon: ribbon(),
    cell: cell(),
    ledger: ledgerView(),
    flow: flow(),
    train: gate.node,
    compare: compare(),
  };
  const head = el("h2", { id: "lesson-h", tabindex: -1 });
  const text = el("p.story");
  const ask = el("h3", { id: "lesson-ask" });
  const reveal = el("div.told", { role: "status" });
  const options = LETTERS.map((letter, k) =>
    el(
      "button.option",
      { type: "button", onclick: () => answer(letter) },
      el("kbd", { "aria-hidden": "true" }, k + 1),
      el("span"),
    ),
  );
  const back = button("lesson.back", () => turn(root, -1));
  const next = button("lesson.next", () => turn(root, 1), { class: "main" });
  const dots = el(
    "ol.dots",
    data.lesson.map((_, k) =>
      el("li", el("button", { type: "button", onclick: () => turn(root, k + 1 - S.lesson) }, k + 1)),
    ),
  );
  view((changed) => {
    if (!any(changed, "lesson", "asked")) return;
    const step = stepNow();
    const given = answers[S.lesson];
    const { answer: right } = step;
    head.textContent = `${S.lesson}. ${phrase("title")}`;
    text.textContent = phrase("text");
    ask.textContent = phrase("ask");
    options.forEach((option, k) => {
      const letter = LETTERS[k];
      option.lastChild.textContent = phrase(letter) + (given && letter === right ? " ✓" : given === letter ? " ✗" : "");
      option.classList.toggle("right", Boolean(given) && letter === right);
      option.setAttribute("aria-pressed", String(given === letter));
      if (given) option.setAttribute("aria-disabled", "true");
      else option.removeAttribute("aria-disabled");
    });
    const lead = given === right ? ["lesson.right", ""] : ["lesson.wrong", `${phrase("wrong")} `];
    fill(reveal, given && el("p", el("strong", say(lead[0])), " ", lead[1], phrase("told")));
    back.disabled = S.lesson === 1;
    next.disabled = S.lesson === data.lesson.length;
    Array.from(dots.children, ({ firstElementChild: dot }, k) => {
      dot.setAttribute("aria-label", say("lesson.step", { k: k + 1, n: data.lesson.length }));
      k + 1 === S.lesson ? dot.setAttribute("aria-current", "step") : dot.removeAttribute("aria-current");
      dot.classList.toggle("done", Boolean(answers[k + 1]));
    });
    root.classList.toggle("asking", Boolean(S.asked));
    // What comes next is the matter of the first step alone
    root.classList.toggle("inside", S.lesson > 1);
    for (const [id, node] of Object.entries(cards))
      if (node) node.hidden = !step.views.includes(id) && !(given && step.after.includes(id));
  });
  return el(
    "main.lesson",
    el(
      "section.card",
      { id: "lesson", "aria-labelledby": "lesson-h" },
      el("nav", { "aria-label": say("lesson.steps") }, dots),
      head,
      text,
      ask,
      el("div.answers", { role: "group", "aria-labelledby": "lesson-ask" }, options),
      reveal,
      el("div.row-of", back, next),
    ),
    el("div.stage", controls, ...Object.values(cards).filter(Boolean)),
  );
}
