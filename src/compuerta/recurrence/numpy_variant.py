r"""Every variant of the LSTM cell over time in NumPy: one step for all of them, and its way back beneath it.

The equations stand in :mod:`.variant`; here each line of :meth:`VariantCell._step` is one of them, and a switch that
is off leaves its line out. The plain cell has a loop of its own, which is faster: :mod:`.numpy_lstm`.

Shapes: N rows, T steps, F inputs, H units, P features of h (H without projection), G blocks, K gates with parameters,
R packed rows (see :mod:`.packing`). A step's arrays are (rows that run, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .clamps import NO_CLAMPS, Clamps
from .masks import Masks
from .normalize import Normalized, normalize, normalize_backward
from .packing import Packing
from .saturation import bounded
from .tiles import of_inputs
from .tokens import sum_by_token
from .variant import Variant

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The parameters as they came, by the names of :meth:`Variant.shapes`."""

    by_name: dict[str, Array]
    w_h: Array  # (G·H, P): the recurrent weights of this pass, some of them dropped
    peep: dict[str, Array]  # (H,) by gate

    def __getitem__(self, name: str) -> Array:
        return self.by_name[name]


@dataclass(slots=True, eq=False)
class Step:
    """What one step computed: all that the way back needs, and all that a trace shows."""

    h_prev: Array  # (n, P), as the gates saw it
    c_prev: Array
    r_prev: Array | None  # (n, K·H): the gates of the step before, where they are seen
    z: dict[str, Array]  # by block, what its activation saw
    a: dict[str, Array]  # i, f, g, o
    new: Array  # ĉ
    seen: Array  # what ψ saw
    shown: Array  # ψ of it
    out: Array  # o ⊙ ψ
    h: Array
    c: Array
    inside: dict[str, Array | None]  # by block and for "c": where a clip let the value through
    norm_h: Normalized | None
    norm_c: Normalized | None
    zone: tuple[Array | float, Array | float]  # d_c, d_h
    clamps: Clamps


class Back(NamedTuple):
    """What the way back through one step leaves for the sums over all steps, and what it hands to the step before."""

    dz: Array  # (n, G·H)
    dz_h: Array  # the same, behind the normalisation of W_h h′
    dh: Array  # (n, P): of what the projection gave
    dseen: Array  # (n, H): of what ψ saw
    by_block: dict[str, Array]
    dh_prev: Array
    dc_prev: Array
    dr_prev: list[Array]
    total: dict[str, Array]  # of h, ĉ (as "c") and every gate, whether it has parameters or not


@dataclass(frozen=True, slots=True, eq=False)
class VariantTape:
    """One layer and direction over one batch: its steps, and the masks they were under."""

    packing: Packing
    x: Array  # (R, F), or (R,) token ids
    norm_x: Normalized | None
    steps: list[Step]
    weights: Weights
    masks: Masks
    widths: tuple[int, int]  # of h and of c
    clamps: Clamps

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows."""
        return ("i", "f", "g", "o", "c", "h")

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H), zeros past each row's length; a gate that is not there is 1.

        With ``z_`` before its name, what the activation of a block of the parameters saw.

        Raises:
            KeyError: this cell has no such quantity.
        """
        block = key.removeprefix("z_")
        if key not in self.names and (block == key or (self.steps and block not in self.steps[0].z)):
            raise KeyError(key)
        width = self.widths[0] if key == "h" else self.widths[1]
        if block != key:
            rows = [s.z[block] for s in self.steps]
        else:
            rows = [s.h if key == "h" else s.c if key == "c" else s.a[key] for s in self.steps]
        dtype = self.weights["w_h"].dtype
        return np.ascontiguousarray(self.packing.unpack(_rows(rows, width, dtype)))


def _rows(parts: Sequence[Array], width: int, dtype: np.dtype[Any]) -> Array:
    """Return the packed rows of all steps, (R, width)."""
    return np.concatenate(parts) if parts else np.zeros((0, width), dtype)


def _split(rows: Array, parts: int) -> list[Array]:
    """Return the blocks (n, H) of ``rows`` (n, parts · H)."""
    whole = rows.reshape(len(rows), parts, rows.shape[1] // parts)
    return [whole[:, k] for k in range(parts)]


def _clip(value: Array, bound: float | None) -> tuple[Array, Array | None]:
    """Keep ``value`` within ± ``bound``; return with it where the gradient passes. NaN stays."""
    if bound is None:
        return value, None
    over, under = value.real > bound, value.real < -bound
    return np.where(over, bound, np.where(under, -bound, value)), ~(over | under)


def _through(d: Array, inside: Array | None) -> Array:
    return d if inside is None else d * inside


def advance(running: list[Array], values: Sequence[Array], count: int) -> list[Array]:
    """Return the parts of the state, or their gradients, with new ones for the first ``count`` rows.

    Nothing is written in place: what a step keeps, it keeps without a copy.
    """
    if not running or count == len(running[0]):
        return list(values)
    return [np.concatenate((new, old[count:])) for new, old in zip(values, running, strict=True)]


class VariantCell:
    """The contract of :class:`compuerta.recurrence.Cell` for one variant.

    The parameters are those of :meth:`Variant.shapes`, in that order. The parts of the state are those of
    :attr:`Variant.parts`, and may differ in width: h is (N, P). With a Generator (:meth:`noisy`) the masks of training
    are drawn from it at every pass, so the same Generator gives the same pass again.
    """

    def __init__(self, variant: Variant, rng: np.random.Generator | None = None, clamps: Clamps = NO_CLAMPS) -> None:
        self.variant = variant
        self._rng, self._clamps = rng, clamps

    def noisy(self, rng: np.random.Generator) -> VariantCell:
        """Return this cell in training, with masks from ``rng``. Packed weights and tapes serve both."""
        return VariantCell(self.variant, rng, self._clamps)

    def clamped(self, clamps: Clamps) -> VariantCell:
        """Return this cell with some of its units clamped. Packed weights and tapes serve both."""
        return VariantCell(self.variant, self._rng, clamps)

    def pack(self, *parameters: Array) -> Weights:
        """Name the parameters. See :class:`compuerta.recurrence.Cell`."""
        by_name = dict(zip(self.variant.shapes(1, 1), parameters, strict=True))
        gates = self.variant.gates
        peep = dict(zip(gates, by_name["p"].reshape(len(gates), -1), strict=True)) if self.variant.peepholes else {}
        return Weights(by_name, by_name["w_h"], peep)

    # ---- one step, in the order of the equations; _step_backward walks it in reverse --------------------------------

    def _step(
        self, w: Weights, z_x: Array, m: Array | None, zone: tuple[Any, Any], state: Sequence[Array], clamps: Clamps
    ) -> Step:
        """Take one step from ``z_x`` (n, G·H), the part of x with the bias, and the state's parts before it."""
        v, (h_prev, c_prev, *r) = self.variant, state
        seen_h = h_prev if m is None else h_prev * m
        z_h, norm_h = seen_h @ w.w_h.T, None
        if v.layer_norm is not None:
            norm_h = normalize(z_h)
            z_h = norm_h.value * w["gain_h"]
        z = dict(zip(v.blocks, _split(z_x + z_h, len(v.blocks)), strict=True))
        r_prev = None
        if v.full_gate_recurrence:
            r_prev = np.concatenate(r, axis=1)
            for k, part in zip(v.gates, _split(r_prev @ w["w_r"].T, len(v.gates)), strict=True):
                z[k] = z[k] + part
        a: dict[str, Array] = {}
        inside: dict[str, Array | None] = {}

        def gate(k: str, sees: Array) -> Array:
            if k not in z:
                return clamps.apply(k, np.ones_like(c_prev))
            if v.peepholes:
                z[k] = z[k] + w.peep[k] * sees
            z[k], inside[k] = _clip(z[k], v.clip)
            return clamps.apply(k, v.gate_activation(z[k]))

        i = a["i"] = gate("i", c_prev)
        f = a["f"] = clamps.apply("f", 1 - i) if v.coupled else gate("f", c_prev)
        z["g"], inside["g"] = _clip(z["g"], v.clip)
        g = a["g"] = clamps.apply("g", v.input_activation(z["g"]))
        new, inside["c"] = _clip(f * c_prev + i * g, v.cell_clip)
        new = clamps.apply("c", new)
        o = a["o"] = gate("o", new)
        seen, norm_c = new, None
        if v.layer_norm == "cell":
            norm_c = normalize(new)
            seen = norm_c.value * w["gain_c"] + w["b_c"]
        shown = v.output_activation(seen)
        out = o * shown
        h = out @ w["w_hr"].T if v.projection else out
        d_c, d_h = zone
        c = new if v.zoneout[0] == 0 else clamps.apply("c", d_c * c_prev + (1 - d_c) * new)
        h = clamps.apply("h", h if v.zoneout[1] == 0 else d_h * h_prev + (1 - d_h) * h)
        return Step(seen_h, c_prev, r_prev, z, a, new, seen, shown, out, h, c, inside, norm_h, norm_c, zone, clamps)

    def _after(self, s: Step) -> tuple[Array, ...]:
        """Return the parts of the state after a step."""
        return (s.h, s.c, *(s.a[k] for k in self.variant.parts[2:]))

    def _step_backward(self, w: Weights, s: Step, m: Array | None, dh: Array, dc: Array, dr: Sequence[Array]) -> Back:
        """From dL/dh, dL/dc and those of the gates as the next step saw them to all that came in."""
        v, a, dz, clamps = self.variant, s.a, {}, s.clamps
        d_c, d_h = s.zone
        total = {"h": dh}
        dh = clamps.mask_gradient("h", dh)
        dh_prev = d_h * dh if v.zoneout[1] else None
        dc_prev = clamps.mask_gradient("c", d_c * dc) if v.zoneout[0] else None
        dh = dh if dh_prev is None else dh - dh_prev
        dnew = dc if dc_prev is None else dc - dc_prev
        dout = dh @ w["w_hr"] if v.projection else dh
        da = dict(zip(v.gates, dr, strict=False))

        def gate(k: str, d: Array) -> None:
            total[k] = d + da[k] if k in da else d
            dz[k] = clamps.mask_gradient(k, _through(total[k] * v.gate_activation.slope(s.z[k], a[k]), s.inside[k]))

        dseen = dout * a["o"] * v.output_activation.slope(s.seen, s.shown)
        dnew = dnew + (dseen if s.norm_c is None else normalize_backward(s.norm_c, dseen * w["gain_c"]))
        total["o"] = dout * s.shown
        if "o" in s.z:
            gate("o", total["o"])
            dnew = dnew + w.peep["o"] * dz["o"] if v.peepholes else dnew
        total["c"] = dnew
        dnew = clamps.mask_gradient("c", _through(dnew, s.inside["c"]))
        total["g"], total["f"] = dnew * a["i"], dnew * s.c_prev
        total["i"] = dnew * a["g"]
        if v.coupled:
            total["i"] = total["i"] - clamps.mask_gradient("f", total["f"])
        for k in ("i", "f"):
            if k in s.z:
                gate(k, total[k])
        dz["g"] = _through(total["g"] * v.input_activation.slope(s.z["g"], a["g"]), s.inside["g"])
        dz["g"] = clamps.mask_gradient("g", dz["g"])
        dc_before = dnew * a["f"]
        for k in ("i", "f"):
            if k in dz and v.peepholes:
                dc_before += w.peep[k] * dz[k]
        if dc_prev is not None:
            dc_before += dc_prev

        flat = np.concatenate([dz[k] for k in v.blocks], axis=1)
        dr_prev: list[Array] = []
        if v.full_gate_recurrence:
            dgates = np.concatenate([dz[k] for k in v.gates], axis=1)
            dr_prev = _split(dgates @ w["w_r"], len(v.gates))
        dz_h = flat if s.norm_h is None else normalize_backward(s.norm_h, flat * w["gain_h"])
        dh_before = dz_h @ w.w_h
        dh_before = dh_before if m is None else dh_before * m
        dh_before = dh_before if dh_prev is None else dh_before + dh_prev
        return Back(flat, dz_h, dh, dseen, dz, dh_before, dc_before, dr_prev, total)

    # ---- a sequence -------------------------------------------------------------------------------------------------

    def forward(
        self, weights: Weights, x: Array, state: Any, lengths: Lengths, reverse: bool, record: bool, y: Array,
        final: Any,
    ) -> VariantTape | None:  # fmt: skip
        """Run over a batch. See :class:`compuerta.recurrence.Cell`."""
        v, rng, clamps = self.variant, self._rng, self._clamps
        packing, widths = Packing(x.shape[0], x.shape[1], lengths, reverse), (state[0].shape[1], state[1].shape[1])
        with np.errstate(all="ignore"):
            xs = packing.pack(bounded(x))
            masks = Masks.draw(v, rng, weights["w_h"], widths, packing)
            w = weights if masks.w_h is None else replace(weights, w_h=weights["w_h"] * masks.w_h)
            z_x, norm_x = self._from_inputs(w, xs)
            running = [packing.sort(part).copy() for part in state]
            outputs = np.empty((packing.rows, widths[0]), weights["w_h"].dtype)
            steps: list[Step] = []
            for start, count in packing.steps:
                rows = slice(start, start + count)
                m = None if masks.h is None else masks.h[:count]
                s = self._step(w, z_x[rows], m, masks.zone(rows), [part[:count] for part in running], clamps)
                running = advance(running, self._after(s), count)
                outputs[rows] = s.h
                if record:
                    steps.append(s)
        y[...] = packing.unpack(outputs)
        for part, value in zip(final, running, strict=True):
            part[...] = packing.unsort(value)
        return VariantTape(packing, xs, norm_x, steps, w, masks, widths, clamps) if record else None

    def _from_inputs(self, w: Weights, xs: Array) -> tuple[Array, Normalized | None]:
        """Return the part of the inputs with the bias, (R, G·H)."""
        z_x = of_inputs(xs, w["w_x"])
        norm_x = None
        if self.variant.layer_norm is not None:
            norm_x = normalize(z_x)
            z_x = norm_x.value * w["gain_x"]
        z_x += w["b"]
        return z_x, norm_x

    def backward(
        self, weights: Any, tape: Any, dy: Array, dfinal: Any, out: tuple[Array, ...], dstate: Any
    ) -> Array | None:
        """Walk a tape back. See :class:`compuerta.recurrence.Cell`."""
        packing = tape.packing
        gradients = dict(zip(self.variant.shapes(1, 1), out, strict=True))
        with np.errstate(all="ignore"):
            rows, running = packing.pack(dy), [packing.sort(part) for part in dfinal]
            dys = (rows[start : start + count] for start, count in reversed(packing.steps))
            backs = list(self._walk(tape, dys, running))[::-1]
            dx = self._sum(tape, backs, gradients)
        for part, value in zip(dstate, running, strict=True):
            part[...] = packing.unsort(value)
        return dx

    def _walk(self, tape: VariantTape, dys: Iterable[Array], running: list[Array]) -> Iterator[Back]:
        """Walk back over the steps, from the gradient of each step's output in packed order, the last step first.

        The same as :meth:`compuerta.recurrence.stepwise.OpenCell.walk`.
        """
        for dy, s in zip(dys, reversed(tape.steps), strict=True):
            count = len(dy)
            dh, dc, *dr = (part[:count] for part in running)
            m = None if tape.masks.h is None else tape.masks.h[:count]
            b = self._step_backward(tape.weights, s, m, dh + dy, dc, dr)
            running[:] = advance(running, (b.dh_prev, b.dc_prev, *b.dr_prev), count)
            yield b

    def flow(
        self, weights: Any, tape: VariantTape, dys: Iterable[Array], running: list[Array], inputs: bool
    ) -> Iterator[dict[str, Array]]:
        """Yield for each step the gradients by name and, with ``inputs``, that of them as ``x``.

        The same as :meth:`compuerta.recurrence.stepwise.OpenCell.flow`; ``c`` is ĉ, before zoneout.
        """
        w = tape.weights
        for b, (start, count) in zip(self._walk(tape, dys, running), reversed(tape.packing.steps), strict=True):
            made = {**b.total, **{"z_" + k: d for k, d in b.by_block.items()}}
            if inputs:
                dz_x = b.dz
                if tape.norm_x is not None:
                    norm = Normalized(*(part[start : start + count] for part in tape.norm_x))
                    dz_x = normalize_backward(norm, dz_x * w["gain_x"])
                made["x"] = dz_x @ w["w_x"]
            yield made

    def _sum(self, tape: VariantTape, backs: list[Back], d: dict[str, Array]) -> Array | None:
        """Write the parameters' gradients, sums over all rows and steps, into ``d``; return that of ``x``."""
        v, w, steps = self.variant, tape.weights, tape.steps
        if not steps:
            for gradient in d.values():
                gradient[...] = 0
            return None if tape.x.ndim == 1 else tape.packing.unpack(np.zeros_like(tape.x))

        def over(arrays: Sequence[Array]) -> Array:
            return np.concatenate(arrays)

        dz = over([b.dz for b in backs])
        dz_h = dz if v.layer_norm is None else over([b.dz_h for b in backs])
        np.sum(dz, axis=0, out=d["b"])
        np.matmul(dz_h.T, over([s.h_prev for s in steps]), out=d["w_h"])
        if tape.masks.w_h is not None:
            d["w_h"] *= tape.masks.w_h
        if v.peepholes:
            sees = {"i": [s.c_prev for s in steps], "f": [s.c_prev for s in steps], "o": [s.new for s in steps]}
            for k, dp in zip(v.gates, d["p"].reshape(len(v.gates), -1), strict=True):
                dp[...] = (over([b.by_block[k] for b in backs]) * over(sees[k])).sum(axis=0)
        if v.full_gate_recurrence:
            dgates = over([np.concatenate([b.by_block[k] for k in v.gates], axis=1) for b in backs])
            np.matmul(dgates.T, over([s.r_prev for s in steps if s.r_prev is not None]), out=d["w_r"])
        if v.projection:
            np.matmul(over([b.dh for b in backs]).T, over([s.out for s in steps]), out=d["w_hr"])
        if v.layer_norm == "cell":
            dseen = over([b.dseen for b in backs])
            np.sum(dseen, axis=0, out=d["b_c"])
            d["gain_c"][...] = (dseen * over([s.norm_c.value for s in steps if s.norm_c is not None])).sum(axis=0)
        dz_x = dz
        if tape.norm_x is not None:
            d["gain_h"][...] = (dz * over([s.norm_h.value for s in steps if s.norm_h is not None])).sum(axis=0)
            d["gain_x"][...] = (dz * tape.norm_x.value).sum(axis=0)
            dz_x = normalize_backward(tape.norm_x, dz * w["gain_x"])
        if tape.x.ndim == 1:
            d["w_x"][...] = sum_by_token(dz_x, tape.x, d["w_x"].shape[1]).T
            return None
        np.matmul(dz_x.T, tape.x, out=d["w_x"])
        return tape.packing.unpack(dz_x @ w["w_x"])

    def stepper(
        self, weights: list[Weights], states: list[tuple[Array, ...]], x: Array, clamps: Sequence[Clamps] = ()
    ) -> Callable[[], object]:
        """Return a function that takes a stack one step on. See :class:`compuerta.recurrence.Cell`.

        Unlike the plain cell's, it makes the small arrays of each step anew.
        """
        zone = self.variant.zoneout
        each = clamps or [self._clamps] * len(weights)

        def step() -> None:
            with np.errstate(all="ignore"):
                h = bounded(x)
                for w, state, hold in zip(weights, states, each, strict=True):
                    z_x, _ = self._from_inputs(w, h)
                    s = self._step(w, z_x, None, zone, state, hold)
                    for part, value in zip(state, self._after(s), strict=True):
                        part[...] = value
                    h = s.h

        return step
