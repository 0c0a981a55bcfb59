// Gates that stand open or shut: every unit as a point, and what can be said of the extreme ones.

import { card, el, fill } from "./elements.js";
import { placeName, quantityName, symbol, symbolAndName, unitName } from "./names.js";
import { saturation } from "./readings.js";
import { S, data, run, set, view } from "./state.js";
import { say } from "./words.js";

const SIDE = 170;
const EDGE = 24;

export function saturationView() {
  const gates = Object.keys(data.kind.quantities).filter((q) => data.kind.quantities[q].range?.[0] === 0);
  const plots = el("div.plots");
  const verdicts = el("ul.verdicts");
  const mine = el("p");
  /** @type {Record<string, [number, number][]>} */
  let counts = {};
  /** @type {(share: number) => number} */
  const at = (share) => EDGE + share * SIDE;
  /** @type {(q: string) => [HTMLElement, SVGElement]} */
  const plot = (q) => {
    const me = el("svg:circle.me", { r: 6 });
    const node = el(
      "svg:svg",
      {
        viewBox: `0 0 ${SIDE + 2 * EDGE} ${SIDE + 2 * EDGE}`,
        role: "img",
        "aria-label": say("page.saturation.plot", { name: quantityName(q) }),
      },
      el("svg:path.axis", { d: `M${EDGE} ${EDGE}V${at(1)}H${at(1)}` }),
      el("svg:path.faint", { d: `M${EDGE} ${EDGE}L${at(1)} ${at(1)}` }),
      counts[q].map(([low, high], u) =>
        el("svg:circle", { cx: at(low / run().T), cy: at(1 - high / run().T), r: 3, onclick: () => set({ u, q }) }),
      ),
      me,
      el("svg:text", { x: at(1), y: at(1) + 17, "text-anchor": "end" }, say("page.saturation.low")),
      el("svg:text", { x: EDGE, y: EDGE - 8 }, say("page.saturation.high")),
    );
    return [el("figure", el("figcaption", symbolAndName(q)), node), me];
  };
  /** @type {[HTMLElement, SVGElement][]} */
  let marks = [];
  /** @type {(q: string, u: number, count: number, open: number) => string} */
  const verdict = (q, u, count, open) =>
    say("reading.counted", {
      what: say(`reading.${q}.${open ? "open" : "closed"}`, { unit: unitName(u) }),
      sign: `${q} ${open ? "> 0.9" : "< 0.1"}`,
      count,
      steps: run().T,
    });
  view(() => {
    const T = run().T;
    counts = Object.fromEntries(gates.map((q) => [q, data.units.map((_, u) => saturation(run(), q, S.p, u))]));
    marks = gates.map(plot);
    fill(
      plots,
      marks.map(([figure]) => figure),
    );
    const all = gates
      .flatMap((q) => counts[q].flatMap((pair, u) => pair.map((n, end) => ({ q, u, n, end }))))
      .filter(({ n }) => n >= 0.95 * T)
      .sort((a, b) => b.n - a.n || a.u - b.u || (a.q < b.q ? -1 : 1));
    fill(
      verdicts,
      all
        .slice(0, 6)
        .map(({ q, u, n, end }) =>
          el("li", el("button.link", { type: "button", onclick: () => set({ u, q }) }, verdict(q, u, n, end))),
        ),
      el(
        "li.quiet",
        say(all.length ? "page.verdict.more" : "page.verdict.none", { n: all.length, layer: placeName(S.p) }),
      ),
    );
  }, "rev p");
  view(() => {
    const T = run().T;
    marks.forEach(([, me], k) => {
      const [low, high] = counts[gates[k]][S.u];
      me.setAttribute("cx", String(at(low / T)));
      me.setAttribute("cy", String(at(1 - high / T)));
    });
    const each = gates.map((q) => `${symbol(q)}: ${counts[q][S.u].join(" / ")}`);
    mine.textContent = `${say("page.saturation.unit", { unit: unitName(), T })} ${each.join(" · ")}`;
  });
  return card("saturation", plots, mine, verdicts);
}
