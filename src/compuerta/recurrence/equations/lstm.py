r"""Every variant of the LSTM: one step for all of them, and its way back beneath it.

The equations are in :mod:`..variant`; here each line of :meth:`LSTMEquations.step` is one of them, and a switch that
is off leaves its line out. The plain cell has a loop of its own, which is faster: :mod:`..numpy_lstm`.

Shapes as in :mod:`.`, with P features of h (H without projection) and K gates with parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...gates import LSTM
from ..clamps import Clamps
from ..masks import Masks, StepMasks
from ..normalize import Normalized, normalize, normalize_backward
from ..packing import Packing
from ..tiles import of_inputs
from ..variant import Variant
from . import Array, Back, Equations, Parts, Step, Weights, clip, clip_back, columns, stacked


@dataclass(slots=True, eq=False)
class LSTMStep(Step):
    """What a step keeps besides its quantities; ``before`` is (h′, c′) and, where they are seen, the gates."""

    seen_h: Array = field(init=False)  # (n, P): h′ as the gates saw it
    seen_r: Array = field(init=False)  # (n, K·H): the gates of the step before
    new: Array = field(init=False)  # ĉ
    psi_in: Array = field(init=False)  # what ψ saw
    psi_out: Array = field(init=False)  # ψ of it
    out: Array = field(init=False)  # o ⊙ ψ
    norm_h: Normalized | None = None
    norm_c: Normalized | None = None
    masks: StepMasks | None = None


@dataclass(slots=True, eq=False)
class LSTMBack(Back):
    """What the sums over all steps need besides."""

    dz_h: Array  # (n, G·H): of W_h h′ before it was normalised
    dh: Array  # (n, P): of what the projection gave
    dseen: Array  # (n, H): of what ψ saw


@dataclass(frozen=True)
class LSTMEquations(Equations):
    """The LSTM with the switches of one variant."""

    variant: Variant

    names = LSTM.names
    step_type = LSTMStep

    @property
    def blocks(self) -> tuple[str, ...]:
        """As :attr:`Variant.blocks`."""
        return self.variant.blocks

    @property
    def parts(self) -> tuple[str, ...]:
        """As :attr:`Variant.parts`: they may differ in width."""
        return self.variant.parts

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """As :meth:`Variant.shapes`."""
        return tuple(self.variant.shapes(1, 1))

    def pack(self, *parameters: Array) -> Weights:
        """Return the parameters by name, and the peepholes by gate."""
        w, gates = super().pack(*parameters), self.variant.gates
        peepholes = w["p"].reshape(len(gates), -1) if self.variant.peepholes else ()
        return w | {f"p_{k}": p for k, p in zip(gates, peepholes, strict=False)}

    def draw(self, rng: np.random.Generator, w: Weights, widths: Sequence[int], packing: Packing) -> Masks:
        """Draw masks of weights, units and steps. See :class:`Masks`."""
        return Masks.draw(self.variant, rng, w["w_h"], (widths[0], widths[1]), packing)

    def from_inputs(self, w: Weights, xs: Array) -> tuple[Array, Normalized | None]:
        """With layer normalisation the product alone is normalised. See :class:`Equations`."""
        if self.variant.layer_norm is None:
            return super().from_inputs(w, xs)
        norm_x = normalize(of_inputs(xs, w["w_x"]))
        z_x = norm_x.value * w["gain_x"]
        z_x += w["b"]
        return z_x, norm_x

    def from_inputs_back(self, w: Weights, norm_x: Normalized | None, dz: Array, d: Weights | None = None) -> Array:
        """Return the gradient of W_x x. See :class:`Equations`."""
        if norm_x is None:
            return dz
        if d is not None:
            d["gain_x"][...] = (dz * norm_x.value).sum(axis=0)
        return normalize_backward(norm_x, dz * w["gain_x"])

    # ---- one step, in the order of the equations; step_back walks it in reverse --------------------------------------

    def step(self, w: Weights, z_x: Array, before: Parts, clamps: Clamps, masks: StepMasks | None) -> LSTMStep:
        """Take one step. See :class:`Equations`."""
        v, (h_prev, c_prev, *r) = self.variant, before
        m, (d_c, d_h) = (None, v.zoneout) if masks is None else masks
        seen_h = h_prev if m is None else h_prev * m
        z_h, norm_h = seen_h @ w["w_h"].T, None
        if v.layer_norm is not None:
            norm_h = normalize(z_h)
            z_h = norm_h.value * w["gain_h"]
        z = dict(zip(v.blocks, columns(z_x + z_h, len(v.blocks)), strict=True))
        s = LSTMStep(before, z)
        s.seen_h, s.norm_h, s.masks = seen_h, norm_h, masks
        if v.full_gate_recurrence:
            s.seen_r = np.concatenate(r, axis=1)
            for k, part in zip(v.gates, columns(s.seen_r @ w["w_r"].T, len(v.gates)), strict=True):
                z[k] = z[k] + part

        def gate(k: str, sees: Array) -> Array:
            if k not in z:
                return clamps.apply(k, np.ones_like(c_prev))
            if v.peepholes:
                z[k] = z[k] + w["p_" + k] * sees
            return s.activate(k, v.gate_activation, v.clip, clamps)

        i = s.a["i"] = gate("i", c_prev)
        f = s.a["f"] = clamps.apply("f", 1 - i) if v.coupled else gate("f", c_prev)
        g = s.activate("g", v.input_activation, v.clip, clamps)
        s.raw["c"] = f * c_prev + i * g
        new = s.new = clamps.apply("c", clip(s.raw["c"], v.cell_clip))
        o = s.a["o"] = gate("o", new)
        s.psi_in = new
        if v.layer_norm == "cell":
            s.norm_c = normalize(new)
            s.psi_in = s.norm_c.value * w["gain_c"] + w["b_c"]
        s.psi_out = v.output_activation(s.psi_in)
        s.out = o * s.psi_out
        h = s.out @ w["w_hr"].T if v.projection else s.out
        s.a["c"] = new if v.zoneout[0] == 0 else clamps.apply("c", d_c * c_prev + (1 - d_c) * new)
        s.a["h"] = clamps.apply("h", h if v.zoneout[1] == 0 else d_h * h_prev + (1 - d_h) * h)
        return s

    def step_back(self, w: Weights, s: LSTMStep, d: Parts, clamps: Clamps, out: Array | None) -> LSTMBack:
        """Go back through one step; the gradient by the name of c is that of ĉ. See :class:`Equations`."""
        v, a, (_, c_prev, *_) = self.variant, s.a, s.before
        dh, dc, *later = d  # those of the gates as the next step saw them
        m, (d_c, d_h) = (None, v.zoneout) if s.masks is None else s.masks
        da, dz = {"h": dh}, {}
        dh = clamps.mask_gradient("h", dh)
        dh_prev = d_h * dh if v.zoneout[1] else None
        dc_prev = clamps.mask_gradient("c", d_c * dc) if v.zoneout[0] else None
        dh = dh if dh_prev is None else dh - dh_prev
        dnew = dc if dc_prev is None else dc - dc_prev
        dout = dh @ w["w_hr"] if v.projection else dh
        seen_later = dict(zip(v.gates, later, strict=False))

        def gate(k: str) -> None:
            if k in seen_later:
                da[k] = da[k] + seen_later[k]
            dz[k] = s.activate_back(k, da[k], v.gate_activation, v.clip, clamps)

        dseen = dout * a["o"] * v.output_activation.slope(s.psi_in, s.psi_out)
        dnew = dnew + (dseen if s.norm_c is None else normalize_backward(s.norm_c, dseen * w["gain_c"]))
        da["o"] = dout * s.psi_out
        if "o" in s.z:
            gate("o")
            dnew = dnew + w["p_o"] * dz["o"] if v.peepholes else dnew
        da["c"] = dnew
        dnew = clamps.mask_gradient("c", dnew if v.cell_clip is None else clip_back(dnew, s.raw["c"], v.cell_clip))
        da["g"], da["f"] = dnew * a["i"], dnew * c_prev
        da["i"] = dnew * a["g"]
        if v.coupled:
            da["i"] = da["i"] - clamps.mask_gradient("f", da["f"])
        dc_before = dnew * a["f"]
        for k in ("i", "f"):
            if k in s.z:
                gate(k)
                if v.peepholes:
                    dc_before += w["p_" + k] * dz[k]
        dz["g"] = s.activate_back("g", da["g"], v.input_activation, v.clip, clamps)
        if dc_prev is not None:
            dc_before += dc_prev

        flat = np.concatenate([dz[k] for k in v.blocks], axis=1, out=out)
        before_r: list[Array] = []
        if v.full_gate_recurrence:
            dgates = np.concatenate([dz[k] for k in v.gates], axis=1)
            before_r = columns(dgates @ w["w_r"], len(v.gates))
        dz_h = flat if s.norm_h is None else normalize_backward(s.norm_h, flat * w["gain_h"])
        dh_before = dz_h @ w["w_h"]
        dh_before = dh_before if m is None else dh_before * m
        dh_before = dh_before if dh_prev is None else dh_before + dh_prev
        return LSTMBack((dh_before, dc_before, *before_r), da, dz, flat, dz_h, dh, dseen)

    def complete(self, w: Weights, z: Weights, a: Weights, before: Parts) -> Weights:
        """Return what the steps of a variant keep that another engine has. See :class:`Equations`."""
        psi_out = self.variant.output_activation(a["c"])
        return {"seen_h": before[0], "new": a["c"], "psi_in": a["c"], "psi_out": psi_out, "out": a["o"] * psi_out}

    def before_clips(self, z: Weights, a: Weights, before: Parts) -> Weights:
        """Return c before its clip, and z, where one at the bound counts as beyond it. See :class:`Equations`."""
        v, raw = self.variant, {"c": a["f"] * before[1] + a["i"] * a["g"]}
        if v.clip is not None:
            raw |= {k: np.nextafter(values, np.copysign(np.inf, values)) for k, values in z.items()}
        return raw

    def add_up(self, steps: Sequence[LSTMStep], backs: Sequence[LSTMBack], dz: Array, d: Weights) -> None:
        """Write the gradients of all but W_x and b. See :class:`Equations`."""
        v = self.variant
        dz_h = dz if v.layer_norm is None else stacked([b.dz_h for b in backs])
        np.matmul(dz_h.T, stacked([s.seen_h for s in steps]), out=d["w_h"])
        by_block = dict(zip(v.blocks, columns(dz, len(v.blocks)), strict=True))
        if v.peepholes:
            c_prev = stacked([s.before[1] for s in steps])
            for k, dp in zip(v.gates, d["p"].reshape(len(v.gates), -1), strict=True):
                dp[...] = (by_block[k] * (stacked([s.new for s in steps]) if k == "o" else c_prev)).sum(axis=0)
        if v.full_gate_recurrence:
            dgates = np.concatenate([by_block[k] for k in v.gates], axis=1)
            np.matmul(dgates.T, stacked([s.seen_r for s in steps]), out=d["w_r"])
        if v.projection:
            np.matmul(stacked([b.dh for b in backs]).T, stacked([s.out for s in steps]), out=d["w_hr"])
        if v.layer_norm == "cell":
            dseen = stacked([b.dseen for b in backs])
            np.sum(dseen, axis=0, out=d["b_c"])
            d["gain_c"][...] = (dseen * stacked([s.norm_c.value for s in steps if s.norm_c is not None])).sum(axis=0)
        if v.layer_norm is not None:
            d["gain_h"][...] = (dz * stacked([s.norm_h.value for s in steps if s.norm_h is not None])).sum(axis=0)
