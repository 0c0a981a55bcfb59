r"""Cells one step at a time with every number kept: they can be clamped, and say what each number is worth to a loss.

The engines run cells for speed and keep what their way back needs. A trace that is asked for gradients of gates, and a
run in which a unit is clamped (:mod:`.clamps`), come here instead. The LSTM is :class:`.numpy_variant.VariantCell`,
which keeps everything already; this module has the GRU and the minimal LSTM, and turns any engine's tape into steps
of these cells.

Shapes: N rows, T steps, H units, G blocks, R packed rows (see :mod:`.packing`). A step is a dict of arrays
(rows that run, H) under the names of :mod:`compuerta.gates`, ``z_`` before a name for what its activation saw, and
``h_prev``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import SIGMOID, sigmoid
from .clamps import NO_CLAMPS, Clamps
from .masks import Masks
from .numpy_minlstm import shares
from .numpy_variant import Step, VariantTape, advance
from .packing import Packing
from .saturation import bounded
from .tiles import of_inputs
from .tokens import sum_by_token

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None
Numbers = dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class OpenTape:
    """One layer and direction over one batch, step by step."""

    packing: Packing
    x: Array  # (R, F), or (R,) token ids
    steps: list[Numbers]
    names: tuple[str, ...]
    clamps: Clamps
    width: int
    dtype: np.dtype[Any]

    def read(self, key: str) -> Array:
        """Return one quantity, or with ``z_`` before its name what its activation saw, as (N, T, H).

        Raises:
            KeyError: this cell has no such quantity.
        """
        if key not in self.names and key.removeprefix("z_") not in self.names[:-1]:
            raise KeyError(key)
        rows = np.concatenate([s[key] for s in self.steps]) if self.steps else np.zeros((0, self.width), self.dtype)
        return np.ascontiguousarray(self.packing.unpack(rows))


class OpenCell(ABC):
    """The contract of :class:`compuerta.recurrence.Cell` for one kind of cell, on the dicts of this module."""

    #: Blocks of the stacked parameters, then h: what there is to read.
    names: tuple[str, ...]

    def __init__(self, clamps: Clamps = NO_CLAMPS) -> None:
        self._clamps = clamps

    def clamped(self, clamps: Clamps) -> OpenCell:
        """Return this cell with some of its units clamped. Packed weights and tapes serve both."""
        return type(self)(clamps)

    @abstractmethod
    def _step(self, w: Sequence[Array], z_x: Array, h_prev: Array, clamps: Clamps) -> Numbers:
        """Take one step from ``z_x`` (n, G·H), the part of x with the bias."""

    @abstractmethod
    def _step_backward(self, w: Sequence[Array], s: Numbers, dh: Array, clamps: Clamps) -> Numbers:
        """From dL/dh to the gradients of all that the step computed, and of ``h_prev``."""

    @abstractmethod
    def _sum(self, steps: Numbers, backs: Numbers, out: Sequence[Array]) -> None:
        """Write the gradients of the recurrent parameters from the packed rows of all steps."""

    def pack(self, *parameters: Array) -> tuple[Array, ...]:
        """Return the parameters as they are."""
        return parameters

    def _bias(self, w: Sequence[Array]) -> Array:
        return w[2]

    def forward(
        self, weights: Sequence[Array], x: Array, state: Any, lengths: Lengths, reverse: bool, record: bool, y: Array,
        final: Any,
    ) -> OpenTape | None:  # fmt: skip
        """Run over a batch. See :class:`compuerta.recurrence.Cell`."""
        packing, clamps = Packing(x.shape[0], x.shape[1], lengths, reverse), self._clamps
        width, dtype = y.shape[2], y.dtype
        with np.errstate(all="ignore"):
            xs = packing.pack(bounded(x))
            z_x = of_inputs(xs, weights[0]) + self._bias(weights)
            h = packing.sort(state[0]).copy()
            outputs = np.empty((packing.rows, width), dtype)
            steps: list[Numbers] = []
            for start, count in packing.steps:
                s = self._step(weights, z_x[start : start + count], h[:count], clamps)
                outputs[start : start + count] = s["h"]
                (h,) = advance([h], [s["h"]], count)
                if record:
                    steps.append(s)
        y[...] = packing.unpack(outputs)
        final[0][...] = packing.unsort(h)
        return OpenTape(packing, xs, steps, self.names, clamps, width, dtype) if record else None

    def walk(
        self, weights: Sequence[Array], tape: OpenTape, dys: Iterable[Array], running: list[Array]
    ) -> Iterator[Numbers]:
        """Walk back over the steps, from the gradient of each step's output in packed order, the last step first.

        ``running`` is the gradient of the state after the last step and becomes that of the state before each. A tape
        of one row may be walked for many gradients at once: each of ``dys`` is then (S, H), and so is the rest.
        """
        for dy, s in zip(dys, reversed(tape.steps), strict=True):
            b = self._step_backward(weights, s, running[0][: len(dy)] + dy, tape.clamps)
            running[:] = advance(running, [b["h_prev"]], len(dy))
            yield b

    def flow(
        self, weights: Sequence[Array], tape: OpenTape, dys: Iterable[Array], running: list[Array], inputs: bool
    ) -> Iterator[Numbers]:
        """Yield for each step the gradients by name and, with ``inputs``, that of them as ``x``. See :meth:`walk`."""
        for b in self.walk(weights, tape, dys, running):
            if inputs:
                b["x"] = np.concatenate([b["z_" + k] for k in self.names[:-1]], axis=1) @ weights[0]
            yield b

    def backward(
        self, weights: Any, tape: Any, dy: Array, dfinal: Any, out: tuple[Array, ...], dstate: Any
    ) -> Array | None:
        """Walk a tape back. See :class:`compuerta.recurrence.Cell`."""
        packing = tape.packing
        with np.errstate(all="ignore"):
            rows, running = packing.pack(dy), [packing.sort(part) for part in dfinal]
            dys = (rows[start : start + count] for start, count in reversed(packing.steps))
            backs = list(self.walk(weights, tape, dys, running))[::-1]
            dstate[0][...] = packing.unsort(running[0])
            if not backs:
                for gradient in out:
                    gradient[...] = 0
                return None if tape.x.ndim == 1 else packing.unpack(np.zeros_like(tape.x))
            joined = {k: np.concatenate([b[k] for b in backs]) for k in backs[0]}
            self._sum({k: np.concatenate([s[k] for s in tape.steps]) for k in tape.steps[0]}, joined, out)
            dz = np.concatenate([joined["z_" + k] for k in self.names[:-1]], axis=1)
            np.sum(dz, axis=0, out=self._bias(out))
            if tape.x.ndim == 1:
                out[0][...] = sum_by_token(dz, tape.x, out[0].shape[1]).T
                return None
            np.matmul(dz.T, tape.x, out=out[0])
            dx: Array = packing.unpack(dz @ weights[0])
            return dx

    def stepper(
        self, weights: list[Any], states: list[tuple[Array, ...]], x: Array, clamps: Sequence[Clamps] = ()
    ) -> Callable[[], object]:
        """Return a function that takes a stack one step on. See :class:`compuerta.recurrence.Cell`."""
        each = clamps or [self._clamps] * len(weights)

        def step() -> None:
            with np.errstate(all="ignore"):
                h = bounded(x)
                for w, state, hold in zip(weights, states, each, strict=True):
                    h = self._step(w, of_inputs(h, w[0]) + self._bias(w), state[0], hold)["h"]
                    state[0][...] = h

        return step


def _thirds(rows: Array) -> list[Array]:
    width = rows.shape[-1] // 3
    return [rows[..., k * width : (k + 1) * width] for k in range(3)]


class OpenGRU(OpenCell):
    """The GRU of :mod:`.numpy_gru`, in both reset conventions: with ``b_hn`` it resets after the product."""

    names = ("r", "z", "n", "h")

    def _step(self, w: Sequence[Array], z_x: Array, h_prev: Array, clamps: Clamps) -> Numbers:
        x_r, x_z, x_n = _thirds(z_x)
        u_r, u_z, u_n = np.split(w[1], 3)
        z_r, z_z = x_r + h_prev @ u_r.T, x_z + h_prev @ u_z.T
        r, z = clamps.apply("r", SIGMOID(z_r)), clamps.apply("z", SIGMOID(z_z))
        if len(w) == 4:
            q = h_prev @ u_n.T + w[3]
            z_n = x_n + r * q
        else:
            q = r * h_prev
            z_n = x_n + q @ u_n.T
        n = clamps.apply("n", np.tanh(z_n))
        h = clamps.apply("h", n + z * (h_prev - n))
        return {"r": r, "z": z, "n": n, "h": h, "z_r": z_r, "z_z": z_z, "z_n": z_n, "q": q, "h_prev": h_prev}

    def _step_backward(self, w: Sequence[Array], s: Numbers, dh: Array, clamps: Clamps) -> Numbers:
        u_r, u_z, u_n = np.split(w[1], 3)
        r, z, n, q, h_prev = (s[k] for k in ("r", "z", "n", "q", "h_prev"))
        dnew = clamps.mask_gradient("h", dh)
        dz, dn = dnew * (h_prev - n), dnew * (1 - z)
        dz_n = clamps.mask_gradient("n", dn * (1 - n * n))
        if len(w) == 4:
            dr, dq = dz_n * q, dz_n * r
            dh_prev = dq @ u_n
        else:
            dq = dz_n @ u_n
            dr, dh_prev = dq * h_prev, dq * r
        dz_r, dz_z = clamps.mask_gradient("r", dr * r * (1 - r)), clamps.mask_gradient("z", dz * z * (1 - z))
        dh_prev = dh_prev + dnew * z + dz_r @ u_r + dz_z @ u_z
        return {"r": dr, "z": dz, "n": dn, "h": dh, "z_r": dz_r, "z_z": dz_z, "z_n": dz_n, "q": dq, "h_prev": dh_prev}

    def _sum(self, steps: Numbers, backs: Numbers, out: Sequence[Array]) -> None:
        r, z, n = np.split(out[1], 3)
        np.matmul(backs["z_r"].T, steps["h_prev"], out=r)
        np.matmul(backs["z_z"].T, steps["h_prev"], out=z)
        if len(out) == 4:
            np.matmul(backs["q"].T, steps["h_prev"], out=n)
            np.sum(backs["q"], axis=0, out=out[3])
        else:
            np.matmul(backs["z_n"].T, steps["q"], out=n)


class OpenMinLSTM(OpenCell):
    """The minimal LSTM of :mod:`.numpy_minlstm`, one step after another."""

    names = ("i", "f", "g", "h")

    def _bias(self, w: Sequence[Array]) -> Array:
        return w[1]

    def _step(self, w: Sequence[Array], z_x: Array, h_prev: Array, clamps: Clamps) -> Numbers:
        z_i, z_f, z_g = _thirds(z_x)
        i, f, g = clamps.apply("i", sigmoid(z_i)), clamps.apply("f", sigmoid(z_f)), clamps.apply("g", z_g)
        keep, write = shares(np.stack((z_i, z_f)))
        if clamps:  # a clamped gate has no z: the shares come from the gates, and where both are 0 the state stands
            both = np.where(i + f == 0, 1, i + f)
            write = i / both
            keep = 1 - write
        h = clamps.apply("h", keep * h_prev + write * g)
        return {"i": i, "f": f, "g": g, "h": h, "z_i": z_i, "z_f": z_f, "z_g": z_g, "keep": keep, "write": write,
                "h_prev": h_prev}  # fmt: skip

    def _step_backward(self, w: Sequence[Array], s: Numbers, dh: Array, clamps: Clamps) -> Numbers:
        i, f, g, keep, write, h_prev = (s[k] for k in ("i", "f", "g", "keep", "write", "h_prev"))
        dnew = clamps.mask_gradient("h", dh)
        dg = dnew * write
        delta = dg * keep * (g - h_prev)  # of log i − log f
        dz_i = clamps.mask_gradient("i", delta * sigmoid(-s["z_i"]))
        dz_f = clamps.mask_gradient("f", -delta * sigmoid(-s["z_f"]))
        with np.errstate(all="ignore"):  # a gate of 0 has no logarithm
            di, df = delta / i, -delta / f
        return {"i": di, "f": df, "g": dg, "h": dh, "z_i": dz_i, "z_f": dz_f, "z_g": clamps.mask_gradient("g", dg),
                "h_prev": dnew * keep}  # fmt: skip

    def _sum(self, steps: Numbers, backs: Numbers, out: Sequence[Array]) -> None:
        """There are none."""


# ---- from what a tape tells to the steps of these cells -------------------------------------------------------------


def before(packing: Packing, values: Array, initial: Array) -> Array:
    """Return what ``values`` (N, T, H) were one step earlier, in packed rows (R, H); at first ``initial`` (N, H)."""
    return packing.before(np.concatenate((packing.sort(initial), packing.pack(values))))


def reopen_lstm(
    weights: Any, packing: Packing, x: Array, values: Callable[[str], Array], state: Sequence[Array]
) -> VariantTape:
    """Return the tape of a plain LSTM from the numbers that ``values(key)`` gives, each (N, T, H)."""
    rows = {k: packing.pack(values(k)) for k in ("i", "f", "g", "o", "c", "h", "z_i", "z_f", "z_g", "z_o")}
    h_prev, c_prev = (before(packing, values(k), first) for k, first in zip("hc", state, strict=True))
    shown, steps = np.tanh(rows["c"]), []
    for start, count in packing.steps:
        at = slice(start, start + count)
        z, a = ({k: rows[kind + k][at] for k in "ifgo"} for kind in ("z_", ""))
        c, h = rows["c"][at], rows["h"][at]
        steps.append(Step(h_prev[at], c_prev[at], None, z, a, c, c, shown[at], h, h, c, dict.fromkeys("ifgoc"), None,
                          None, (0.0, 0.0), NO_CLAMPS))  # fmt: skip
    width = shown.shape[1]
    masks = Masks(None, None, None, None, (0.0, 0.0))
    return VariantTape(packing, packing.pack(x), None, steps, weights, masks, (width, width), NO_CLAMPS)


def reopen(
    cell: OpenCell,
    weights: Any,
    packing: Packing,
    x: Array,
    values: Callable[[str], Array],
    state: Sequence[Array],
) -> OpenTape:
    """Return the tape of another cell from the numbers that ``values(key)`` gives, each (N, T, H)."""
    rows = {k: packing.pack(values(k)) for k in (*cell.names, *("z_" + k for k in cell.names[:-1]))}
    rows["h_prev"] = before(packing, values("h"), state[0])
    if isinstance(cell, OpenGRU):
        u_n = np.split(weights[1], 3)[2]
        rows["q"] = rows["h_prev"] @ u_n.T + weights[3] if len(weights) == 4 else rows["r"] * rows["h_prev"]
    else:
        rows["keep"], rows["write"] = shares(np.stack((rows["z_i"], rows["z_f"])))
    steps = [{k: array[start : start + count] for k, array in rows.items()} for start, count in packing.steps]
    return OpenTape(packing, packing.pack(x), steps, cell.names, NO_CLAMPS, rows["h"].shape[1], rows["h"].dtype)


#: The same objects each time, so that weights packed for them are known again.
OPEN_GRU, OPEN_MIN_LSTM = OpenGRU(), OpenMinLSTM()
