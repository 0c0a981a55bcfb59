// How far the error reaches back: the size of its gradient at every step, and from which step to which.

import { shade } from "./colour.js";
import { card, el, fill, shareOf, standAt, through, upright } from "./elements.js";
import { grid, paint } from "./heat.js";
import { placeName, quoted } from "./names.js";
import { S, any, within, data, nth, run, set, view } from "./state.js";
import { num, say } from "./words.js";

/**
 * How the arrows move the pair of steps that the map tells: [row, column].
 * @type {Record<string, [number, number]>}
 */
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export function flow() {
  if (!data.runs.base.flow) return null;
  const W = 1000;
  const HIGH = 200;
  const PAD = 10;
  /** @type {Record<string, SVGPathElement>} */
  const lines = {};
  const now = upright("now", HIGH);
  const summary = el("p");
  const pair = el("p");
  const scale = el("p.quiet");
  const svg = el(
    "svg:svg.flow",
    {
      viewBox: `0 0 ${W} ${HIGH}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
      onpointerdown: (/** @type {PointerEvent} */ event) => set({ t: Math.floor(shareOf(event, svg)[0] * run().T) }),
    },
    now,
  );
  const ends = el("div.ends");
  const chart = el("div.chart", svg, ends);
  const keys = el("p.legend");
  const spot = el("div.spot");
  const map = grid(undefined, { tabindex: 0, role: "slider", "aria-label": say("page.flow.map") });
  const whose = data.layers > 1 ? say("page.flow.last", { layer: say("page.layer", { n: data.layers }) }) : "";
  const reach = el(
    "div",
    el("h3", say("page.flow.map")),
    el("p.quiet", `${say("page.flow.how")} ${whose}`),
    el("div.square", map.node),
    pair,
    scale,
  );
  let at = [0, 0];
  map.node.append(spot);
  map.node.addEventListener("pointermove", (event) => {
    const [k, s] = shareOf(event, map.canvas).map((share) => within(Math.floor(share * run().T), 0, run().T - 1));
    tell(s, k);
  });
  map.node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in MOVES)) return;
    event.preventDefault();
    const [down, right] = MOVES[event.key].map((by) => by * (event.shiftKey ? 10 : 1));
    tell(within(at[0] + down, 0, run().T - 1), within(at[1] + right, 0, run().T - 1));
  });
  /** @type {(s: number, k: number) => void} */
  const tell = (s, k) => {
    const T = run().T;
    const v = run().flow?.reach?.[s * T + k];
    at = [s, k];
    Object.assign(spot.style, {
      left: `${(100 * k) / T}%`,
      top: `${(100 * s) / T}%`,
      width: `${100 / T}%`,
      height: `${100 / T}%`,
    });
    pair.textContent =
      v === undefined
        ? ""
        : say("page.flow.pair", { s: nth(s), of: quoted(s), k: nth(k), at: quoted(k), value: v ? ten(v) : 0 });
    for (const [name, value] of [
      ["valuemin", nth(0)],
      ["valuemax", nth(T - 1)],
      ["valuenow", nth(k)],
      ["valuetext", pair.textContent],
    ]) {
      map.node.setAttribute(`aria-${name}`, String(value));
    }
  };
  /** @type {(v: number) => string} */
  const ten = (v) =>
    (10 ** (data.reach[0] + ((v - 1) / 254) * (data.reach[1] - data.reach[0]))).toExponential(0).replace("-", "−");
  view((changed) => {
    const r = run();
    const T = r.T;
    chart.hidden = keys.hidden = !r.flow;
    reach.hidden = !r.flow?.reach;
    if (!r.flow) return (summary.textContent = say("page.flow.none"));
    if (any(changed, "rev", "p")) {
      const logs = [];
      const parts = Object.keys(r.flow).filter((q) => q !== "reach");
      for (const q of parts)
        for (const v of r.flow[q].subarray(S.p * T, S.p * T + T))
          if (v > 0 && Number.isFinite(v)) logs.push(Math.log10(v));
      const top = Math.ceil(Math.max(...logs, -12));
      const low = Math.max(Math.floor(Math.min(...logs, top - 1)), top - 16);
      /** @type {(v: number) => number} */
      const y = (v) => HIGH - PAD - ((Math.max(low, Math.log10(v)) - low) / (top - low)) * (HIGH - 2 * PAD);
      for (const q of parts) {
        lines[q] ??= svg.insertBefore(/** @type {SVGPathElement} */ (el(`svg:path.d${q}`)), now);
        /** @type {[number, number][]} */
        const points = Array.from(r.flow[q].subarray(S.p * T, S.p * T + T), (v, t) => [
          ((t + 0.5) * W) / T,
          v > 0 ? y(v) : NaN,
        ]);
        lines[q].setAttribute("d", through(points));
      }
      fill(ends, el("span", `10^${top}`), el("span", `10^${low}`));
      fill(
        keys,
        parts.map((q) => el(`span.key.d${q}`, `∥dL/d${q}∥`)),
        placeName(S.p),
      );
      if (r.flow.reach) {
        /** @type {Uint8Array} */
        const sizes = r.flow.reach;
        const most = sizes.reduce((a, v) => Math.max(a, v), 1);
        // Seven decades
        const least = Math.max(1, most - 112);
        paint(map.canvas, T, T, (s, k) =>
          shade(sizes[s * T + k] ? Math.max(0, (sizes[s * T + k] - least) / (most - least || 1)) : NaN),
        );
        scale.textContent = say("page.flow.scale", { low: ten(least), high: ten(most) });
      }
    }
    standAt(now, ((S.t + 0.5) * W) / T);
    map.cross([S.t / T, 1 / T]);
    const norms = Object.keys(lines).map((q) => `∥dL/d${q}∥ = ${num(r.flow[q][S.p * T + S.t], 5)}`);
    summary.textContent = `${say("page.flow.now", { t: nth(S.t), token: quoted(S.t) })} ${norms.join(", ")}.`;
    if (any(changed, "t", "rev")) tell(S.t, Math.max(0, S.t - 10));
  });
  return card("flow", el("p.quiet", say(`page.flow.of.${data.flowOf}`)), keys, chart, summary, reach);
}
