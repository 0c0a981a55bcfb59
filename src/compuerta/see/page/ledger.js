// Who wrote this memory: the share of every past step in the state now, along the direct path.

import { tint } from "./colour.js";
import { card, el, fill, heads, scroller } from "./elements.js";
import { label, symbol, unitName } from "./names.js";
import { halfLife, ledger } from "./readings.js";
import { strip, valueAt } from "./ribbon.js";
import { S, data, clamped, nth, run, view } from "./state.js";
import { has, num, percent, say, signed } from "./words.js";

const SHOWN = 90;

/**
 * The account of a state in words: what is in it, as far as there is an account of it.
 * @param {Run} r
 * @param {string} state
 * @param {Ledger} ledger
 */
function account(r, state, { shares, start, total }) {
  const value = valueAt(state);
  const rest = value - total;
  const life = halfLife(r, S.p, S.u);
  const what = { unit: unitName(), symbol: symbol(state), value: num(value) };
  if (clamped(state)) return say("page.ledger.clamped", what);
  if (!Number.isFinite(value + total)) return say("page.ledger.not_finite");
  return [
    say(shares.length === 1 ? "page.ledger.sum.one" : "page.ledger.sum", {
      ...what,
      total: num(total),
      n: shares.length,
    }),
    Math.abs(start) >= 5e-4 && say("page.ledger.start", { value: num(start) }),
    Math.abs(rest) > 1e-3 && say("page.ledger.rest", { value: num(rest) }),
    !data.lesson && life === Infinity && say("page.ledger.half.none"),
    !data.lesson && Number.isFinite(life) && say("page.ledger.half", { n: num(life, 1) }),
  ]
    .filter(Boolean)
    .join(" ");
}

export function ledgerView() {
  const summary = el("p.story");
  const line = strip();
  const body = el("tbody");
  const note = el("p.quiet");
  const table = scroller(
    "page.ledger.title",
    el("table", heads("page.step", "page.token", "page.share", "page.part"), body),
  );
  view(() => {
    const r = run();
    const state = data.kind.memory.quantity;
    const whole = ledger(r, S.p, S.u, S.t);
    const { steps, shares } = clamped(state)
      ? { steps: /** @type {number[]} */ ([]), shares: new Float64Array() }
      : whole;
    const sizes = shares.map(Math.abs).filter(Number.isFinite);
    const most = Math.max(...sizes, 0);
    const all = sizes.reduce((a, v) => a + v, 0);
    summary.textContent = account(r, state, whole);
    line.show(steps.slice(-SHOWN), (k) => tint(shares[Math.max(0, steps.length - SHOWN) + k] / (most || 1)));
    const top = Array.from(shares.keys())
      .sort((a, b) => Math.abs(shares[b]) - Math.abs(shares[a]))
      .slice(0, 6);
    fill(
      body,
      top.map((k) =>
        el(
          "tr",
          el("td.n", nth(steps[k])),
          el("td", el("code", label(steps[k]))),
          el("td.n", signed(shares[k])),
          el("td.n", percent(all ? Math.abs(shares[k]) / all : 0)),
        ),
      ),
    );
    note.textContent = say("page.ledger.scale", { limit: num(most) });
    for (const node of [line.node, note, table]) node.hidden = !steps.length;
  }, "t u p rev");
  const path = `page.ledger.direct.${data.kind.key}`;
  return card("ledger", summary, line.node, note, table, el("p.quiet", say(has(path) ? path : "page.ledger.direct")));
}
