// How far the error reaches back: the size of its gradient at every step, and from which step to which.

import { S, any, card, clampTo, data, el, fill, nth, num, placeName, quoted, run, say, set, shareOf, standAt, through, upright, view } from "./base.js";
import { shade } from "./colour.js";
import { grid, paint } from "./heat.js";

export function flow() {
  if (!data.runs.base.flow) return null;
  const W = 1000, HIGH = 200, PAD = 10, lines = {}, now = upright("now", HIGH), told = el("p"), pair = el("p"), scale = el("p.quiet");
  const svg = el("svg:svg.flow", { viewBox: `0 0 ${W} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true",
    onpointerdown: (event) => set({ t: Math.floor(shareOf(event, svg)[0] * run().T) }) }, now);
  const ends = el("div.ends"), keys = el("p.legend"), map = grid();
  const reach = el("div", el("h3", say("page.flow.map")), el("div.square", map.node), pair, scale);
  map.node.addEventListener("pointermove", (event) => {
    const [k, s] = shareOf(event, map.canvas).map((share) => clampTo(Math.floor(share * run().T), 0, run().T - 1));
    tell(s, k);
  });
  const tell = (s, k) => {
    const v = run().flow?.reach?.[s * run().T + k];
    pair.textContent = v === undefined ? "" : say("page.flow.pair", { s: nth(s), of: quoted(s), k: nth(k), at: quoted(k), value: v ? ten(v) : 0 });
  };
  const ten = (v) => (10 ** (data.reach[0] + ((v - 1) / 254) * (data.reach[1] - data.reach[0]))).toExponential(0).replace("-", "−");
  view((changed) => {
    const r = run(), T = r.T;
    svg.parentNode.hidden = reach.hidden = keys.hidden = !r.flow;
    if (!r.flow) return (told.textContent = say("page.flow.none"));
    if (any(changed, "rev", "p")) {
      const logs = [], parts = Object.keys(r.flow).filter((q) => q !== "reach");
      for (const q of parts) for (const v of r.flow[q].subarray(S.p * T, S.p * T + T)) if (v > 0 && Number.isFinite(v)) logs.push(Math.log10(v));
      const top = Math.ceil(Math.max(...logs, -12)), low = Math.max(Math.floor(Math.min(...logs, top - 1)), top - 16);
      const y = (v) => HIGH - PAD - ((Math.max(low, Math.log10(v)) - low) / (top - low)) * (HIGH - 2 * PAD);
      for (const q of parts) {
        lines[q] ??= svg.insertBefore(el(`svg:path.d${q}`), now);
        const points = Array.from(r.flow[q].subarray(S.p * T, S.p * T + T), (v, t) => [((t + 0.5) * W) / T, v > 0 ? y(v) : NaN]);
        lines[q].setAttribute("d", through(points));
      }
      fill(ends, el("span", `10^${top}`), el("span", `10^${low}`));
      fill(keys, parts.map((q) => el(`span.key.d${q}`, `∥dL/d${q}∥`)), placeName(S.p));
      if (r.flow.reach) {
        const sizes = r.flow.reach, most = sizes.reduce((a, v) => Math.max(a, v), 1), least = Math.max(1, most - 112); // seven decades
        paint(map.canvas, T, T, (s, k) => shade(sizes[s * T + k] ? Math.max(0, (sizes[s * T + k] - least) / (most - least || 1)) : NaN));
        scale.textContent = say("page.flow.scale", { low: ten(least), high: ten(most) });
      }
      reach.hidden = !r.flow.reach;
    }
    standAt(now, ((S.t + 0.5) * W) / T);
    map.cross([S.t / T, 1 / T]);
    const norms = Object.keys(lines).map((q) => `∥dL/d${q}∥ = ${num(r.flow[q][S.p * T + S.t], 5)}`);
    told.textContent = `${say("page.flow.now", { t: nth(S.t), token: quoted(S.t) })} ${norms.join(", ")}.`;
    tell(S.t, Math.max(0, S.t - 10));
  });
  return card("flow", el("p.quiet", say(`page.flow.of.${data.flowOf}`)), keys, el("div.chart", svg, ends), told, reach);
}
