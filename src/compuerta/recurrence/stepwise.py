r"""A cell run step by step with every number kept: it can be clamped, and gives each number's gradient.

The engines run cells for speed and keep what their way back needs. Here is the loop over time for all that they leave:
the variants of the LSTM, runs in which a unit is clamped (:mod:`.clamps`), gradients of gates, and the forms of ONNX's
operators. What one step computes is the cell's own: see :mod:`.equations`, and there for the shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .clamps import NO_CLAMPS, Clamps
from .equations import Array, Back, Equations, Step, Weights
from .masks import Masks
from .normalize import Normalized
from .packing import Packing
from .saturation import clip_extremes
from .tokens import sum_by_token

Lengths = NDArray[np.intp] | None


@dataclass(frozen=True, slots=True, eq=False)
class StepwiseTape:
    """One layer and direction over one batch, step by step: see :class:`compuerta.recurrence.Tape`."""

    equations: Equations
    weights: Weights  # those of this pass, some of them dropped
    packing: Packing
    x: Array  # (R, F), or (R,) token ids
    norm_x: Normalized | None
    steps: Sequence[Step]
    masks: Masks | None
    widths: tuple[int, ...]  # of the parts of the state
    clamps: Clamps

    stepwise: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows."""
        return self.equations.names

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H), zeros past each row's length; a gate that is not there is 1.

        With ``z_`` before its name, what the activation of a block of the parameters saw.

        Raises:
            KeyError: this cell has no such quantity.
        """
        if key in self.names:
            rows = [s.a[key] for s in self.steps]
        elif key.startswith("z_") and key[2:] in self.equations.blocks:
            rows = [s.z[key[2:]] for s in self.steps]
        else:
            raise KeyError(key)
        empty = np.zeros((0, self.widths[0 if key == "h" else -1]), self.weights["b"].dtype)
        return np.ascontiguousarray(self.packing.unpack(np.concatenate(rows) if rows else empty))


def advance(running: list[Array], values: Sequence[Array], count: int) -> list[Array]:
    """Return the parts of the state, or their gradients, with new ones for the first ``count`` rows.

    Nothing is written in place: what a step keeps, it keeps without a copy.
    """
    if not running or count == len(running[0]):
        return list(values)
    return [np.concatenate((new, old[count:])) for new, old in zip(values, running, strict=True)]


class Stepwise:
    """The contract of :class:`compuerta.recurrence.Cell` for the equations of any cell.

    With a Generator (:meth:`noisy`) the masks of training are drawn from it at every pass, so the same Generator gives
    the same pass again.
    """

    def __init__(
        self, equations: Equations, rng: np.random.Generator | None = None, clamps: Clamps = NO_CLAMPS
    ) -> None:
        self.equations, self._rng, self._clamps = equations, rng, clamps

    def noisy(self, rng: np.random.Generator) -> Stepwise:
        """Return this cell in training, with masks from ``rng``. Packed weights and tapes serve both."""
        return Stepwise(self.equations, rng, self._clamps)

    def clamped(self, clamps: Clamps) -> Stepwise:
        """Return this cell with some of its units clamped. Packed weights and tapes serve both."""
        return Stepwise(self.equations, self._rng, clamps)

    def pack(self, *parameters: Array) -> Weights:
        """Return the parameters by name, as they are. See :class:`compuerta.recurrence.Cell`."""
        return self.equations.pack(*parameters)

    def forward(
        self, weights: Weights, x: Array, state: Any, lengths: Lengths, reverse: bool, record: bool, y: Array,
        final: Any,
    ) -> StepwiseTape | None:  # fmt: skip
        """Run over a batch. See :class:`compuerta.recurrence.Cell`."""
        equations, w, clamps, masks = self.equations, weights, self._clamps, None
        packing, widths = Packing(x.shape[0], x.shape[1], lengths, reverse), tuple(part.shape[1] for part in state)
        with np.errstate(all="ignore"):
            xs = packing.pack(clip_extremes(x))
            if self._rng is not None:
                masks = equations.draw(self._rng, w, widths, packing)
                if masks is not None and masks.w_h is not None:
                    w = {**w, "w_h": w["w_h"] * masks.w_h}
            z_x, norm_x = equations.from_inputs(w, xs)
            running, parts = [packing.sort(part).copy() for part in state], equations.parts
            outputs = np.empty((packing.rows, widths[0]), y.dtype)
            steps: list[Step] = []
            for start, count in packing.steps:
                rows = slice(start, start + count)
                now = None if masks is None else masks.at(rows)
                s = equations.step(w, z_x[rows], [part[:count] for part in running], clamps, now)
                running = advance(running, [s.a[part] for part in parts], count)
                outputs[rows] = s.a["h"]
                if record:
                    steps.append(s)
        y[...] = packing.unpack(outputs)
        for part, value in zip(final, running, strict=True):
            part[...] = packing.unsort(value)
        return StepwiseTape(equations, w, packing, xs, norm_x, steps, masks, widths, clamps) if record else None

    def plain_call(self, weights: Any) -> None:
        """There is no quicker way. See :class:`compuerta.recurrence.Cell`."""

    def reopen(
        self, weights: Weights, packing: Packing, x: Array, read: Callable[[str], Array], state: Sequence[Array]
    ) -> StepwiseTape:
        """Return the tape that this cell, without a clip, would have written, from what another engine's tape gives.

        Args:
            x: the inputs, (N, T, F) or (N, T).
            read: returns a quantity, or with ``z_`` before its name what its activation saw, as (N, T, H).
            state: the parts of the initial state, each (N, width).
        """
        equations = self.equations
        a = {k: packing.pack(read(k)) for k in equations.names}
        z = {k: packing.pack(read("z_" + k)) for k in equations.blocks}
        before = [
            packing.before(np.concatenate((packing.sort(first), a[part])))
            for part, first in zip(equations.parts, state, strict=True)
        ]
        more, raw, steps = equations.complete(weights, z, a, before), equations.before_clips(z, a, before), []
        for start, count in packing.steps:
            at = slice(start, start + count)
            z_now, a_now = ({k: rows[at] for k, rows in d.items()} for d in (z, a))
            s = equations.step_type([part[at] for part in before], z_now, a_now)
            s.raw.update({k: rows[at] for k, rows in raw.items()})
            for name, rows in more.items():
                setattr(s, name, rows[at])
            steps.append(s)
        widths = tuple(part.shape[1] for part in state)
        return StepwiseTape(equations, weights, packing, packing.pack(x), None, steps, None, widths, NO_CLAMPS)

    # ---- the way back -----------------------------------------------------------------------------------------------

    def walk(
        self, tape: StepwiseTape, dys: Iterable[Array], running: list[Array], dz: Array | None = None
    ) -> Iterator[Back]:
        """Walk back over the steps, from the gradient of each step's output in packed order, the last step first.

        ``running`` has the gradients of the parts of the state after the last step, and then those before each. Into
        ``dz`` (R, G·H), if there is one, go those of all blocks. A tape of one row may be walked for many gradients at
        once: each of ``dys`` is then (S, H), and so is the rest.
        """
        back, w, clamps = self.equations.step_back, tape.weights, tape.clamps
        for dy, s, (start, count) in zip(dys, reversed(tape.steps), reversed(tape.packing.steps), strict=True):
            dh, *others = (part[: len(dy)] for part in running)
            b = back(w, s, (dh + dy, *others), clamps, None if dz is None else dz[start : start + count])
            running[:] = advance(running, b.before, len(dy))
            yield b

    def flow(
        self, tape: StepwiseTape, dys: Iterable[Array], running: list[Array], inputs: bool
    ) -> Iterator[dict[str, Array]]:
        """Yield for each step the gradients by name and, with ``inputs``, that of them as ``x``. See :meth:`walk`."""
        w, norm_x = tape.weights, tape.norm_x
        for b, (start, count) in zip(self.walk(tape, dys, running), reversed(tape.packing.steps), strict=True):
            gradients = {**b.a, **{"z_" + k: d for k, d in b.z.items()}}
            if inputs:
                norm = None if norm_x is None else Normalized(*(part[start : start + count] for part in norm_x))
                gradients["x"] = self.equations.from_inputs_back(w, norm, b.flat) @ w["w_x"]
            yield gradients

    def backward(
        self, weights: Any, tape: Any, dy: Array, dfinal: Any, out: tuple[Array, ...], dstate: Any
    ) -> Array | None:
        """Walk a tape back. See :class:`compuerta.recurrence.Cell`."""
        equations, packing, w = self.equations, tape.packing, tape.weights
        d = dict(zip(equations.parameters, out, strict=True))
        with np.errstate(all="ignore"):
            rows, running = packing.pack(dy), [packing.sort(part) for part in dfinal]
            dys = (rows[start : start + count] for start, count in reversed(packing.steps))
            dz = np.empty((packing.rows, len(w["b"])), w["b"].dtype)
            backs = list(self.walk(tape, dys, running, dz))[::-1]
            dx = self._add_up(tape, backs, dz, d) if backs else None
        for part, value in zip(dstate, running, strict=True):
            part[...] = packing.unsort(value)
        if not backs:
            for gradient in out:
                gradient[...] = 0
            return None if tape.x.ndim == 1 else packing.unpack(np.zeros_like(tape.x))
        return dx

    def _add_up(self, tape: StepwiseTape, backs: list[Back], dz: Array, d: Weights) -> Array | None:
        """Write the parameters' gradients, sums over all rows and steps, into ``d``; return that of ``x``."""
        equations, w = self.equations, tape.weights
        np.sum(dz, axis=0, out=d["b"])
        equations.add_up(tape.steps, backs, dz, d)
        if tape.masks is not None and tape.masks.w_h is not None:
            d["w_h"] *= tape.masks.w_h
        dz_x = equations.from_inputs_back(w, tape.norm_x, dz, d)
        if tape.x.ndim == 1:
            d["w_x"][...] = sum_by_token(dz_x, tape.x, d["w_x"].shape[1]).T
            return None
        np.matmul(dz_x.T, tape.x, out=d["w_x"])
        return tape.packing.unpack(dz_x @ w["w_x"])

    # ---- a stream ---------------------------------------------------------------------------------------------------

    def stepper(
        self, weights: list[Any], states: list[tuple[Array, ...]], x: Array, clamps: Sequence[Clamps] = ()
    ) -> Callable[[], object]:
        """Return a function that takes a stack one step on, with the ``clamps`` of each layer.

        See :class:`compuerta.recurrence.Cell`. Unlike the engines', it makes the small arrays of each step anew.
        """
        equations, each = self.equations, clamps or [self._clamps] * len(weights)

        def step() -> None:
            with np.errstate(all="ignore"):
                h = clip_extremes(x)
                for w, state, clamp in zip(weights, states, each, strict=True):
                    s = equations.step(w, equations.from_inputs(w, h)[0], state, clamp, None)
                    for part, name in zip(state, equations.parts, strict=True):
                        part[...] = s.a[name]
                    h = s.a["h"]

        return step


@cache
def stepwise_cell(equations: Equations) -> Stepwise:
    """Return the cell of these equations: the same for the same ones, so that weights packed for it are known again."""
    return Stepwise(equations)
