r"""What a trace says: who wrote a memory, how long it lasts, which gates are stuck, where the gradient flows.

Pure functions of a :class:`~compuerta.layers.trace.Trace`, computed in float64. Terminal, plots and page show what
stands here and compute nothing themselves. One row of the batch is read at a time; T are its valid steps, H its units.

Every cell keeps a share of its memory and writes something new, m_t = k_t ⊙ m_{t-1} + w_t; what m, k and w are in which
cell, its :class:`~compuerta.gates.MemoryEquation` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SettingError, ShapeError
from ..gates import CellKind
from ..texts import say

if TYPE_CHECKING:
    from ..layers import Trace

Array = NDArray[Any]

#: Below and above these a gate counts as closed and as open (Karpathy, Johnson and Fei-Fei 2015).
CLOSED, OPEN = 0.1, 0.9
#: A verdict is given if it is true in at least this share of the steps.
ALMOST_ALWAYS = 0.95
#: Numbers of one quantity that :func:`connectivity` computes together.
_AT_ONCE = 1 << 24


# ---- the memory -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Memory:
    """What one layer kept and wrote along one row, each (T, H), in the order in which it read.

    Attributes:
        key: the quantity that is the memory, "c" or "h".
        value, keep, write: m, k and w of the module's equation.
        start: (H,), the memory before the first step.
        steps: (T,), the position in the row of each step read.
    """

    key: str
    value: Array
    keep: Array
    write: Array
    start: Array
    steps: NDArray[np.intp]


def memory_of(trace: Trace, layer: int = 0, *, direction: int = 0, row: int = 0) -> Memory:
    """Return what a layer kept and wrote along a row.

    Raises:
        SettingError: there is no such layer, direction or row, or steps between those of the trace are left out.
    """
    equation = _kind(trace, layer, direction, row).memory
    if (np.diff(trace.steps) != 1).any():
        raise SettingError("error.reading_gaps")
    length = trace.shape[1] if trace.lengths is None else int(trace.lengths[row])
    order = np.arange(length)[::-1] if direction else np.arange(length)

    def read(key: str) -> Array:
        values: Array = trace[key, layer, direction][row][order].astype(np.float64)
        return values

    key = equation.quantity
    keep, write = equation.keep_and_write(read)
    value = read(key)
    if keep.shape != value.shape:  # a projection makes h narrower, never c
        raise ShapeError("error.gradient", name="memory_of", argument=key, expected=keep.shape, got=value.shape)
    return Memory(key, value, keep, write, trace.initial(key, layer, direction)[row].astype(np.float64), order)


@dataclass(frozen=True, eq=False)
class Ledger:
    """Who wrote a memory: ``start + shares.sum(axis=0) + rest`` is ``value``.

    Attributes:
        shares: (T, H), what is left in the memory of what each position wrote; zero after the step asked for.
        start: (H,), what is left of the memory before the first step.
        value: (H,), the memory.
        rest: (H,), what the equation does not explain: the effect of clips and clamps on the memory, or rounding.
    """

    shares: Array
    start: Array
    value: Array
    rest: Array


def ledger(trace: Trace, step: int = -1, layer: int = 0, *, direction: int = 0, row: int = 0) -> Ledger:
    r"""Tell who wrote the memory at one step.

    .. math::  m_t = \Big(\prod_{j \le t} k_j\Big) m_0 + \sum_{s \le t} \Big(\prod_{s < j \le t} k_j\Big) w_s

    That is the direct path through the memory alone; what a step changed in later gates is not in it, and is in
    :func:`gradient_flow`. The sum is exact.

    Args:
        trace: the run. layer, direction, row: which memory.
        step: which step, as a position in the row; negative from its end.

    Raises:
        SettingError: there is no such layer, direction, row or step.

    Source: Gers, Schmidhuber and Cummins 2000; the decomposition is that of Murdoch and Szlam 2017, section 3.

    >>> import compuerta
    >>> x = np.random.default_rng(0).normal(size=(20, 2))
    >>> _, trace = compuerta.LSTM(2, 3, dtype="float64", rng=0).trace(x)
    >>> told = ledger(trace, step=12)
    >>> bool(np.allclose(told.start + told.shares.sum(axis=0), trace["c", 0][0, 12], rtol=0, atol=1e-12))
    True
    """
    m = memory_of(trace, layer, direction=direction, row=row)
    T = len(m.value)
    at = step + T if step < 0 else step
    if not 0 <= at < T:
        raise SettingError("error.reading_step", got=step, count=T)
    if direction:
        at = T - 1 - at
    shares = np.zeros_like(m.write)
    remaining = np.ones_like(m.start)
    for s in range(at, -1, -1):
        shares[s] = remaining * m.write[s]
        remaining = remaining * m.keep[s]
    start = remaining * m.start
    rest = m.value[at] - start - shares.sum(axis=0)
    return Ledger(shares[np.argsort(m.steps)], start, m.value[at], rest)


def half_life(trace: Trace, layer: int = 0, *, direction: int = 0, row: int = 0) -> Array:
    r"""Return for each unit the number of steps after which half of its memory remains, (H,).

    .. math::  \frac{\ln ½}{\frac{1}{T} \sum_t \ln k_t}

    from the product of all k of the row; infinite where nothing is lost, 0 where a k is 0.

    Raises:
        SettingError: there is no such layer, direction or row.

    Source: the time scale 1/(1 − f) of Tallec and Ollivier 2018, for a gate that moves.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 1, rng=0).trace(np.ones((9, 2)), clamp={("f", 0, 0): 0.5})
    >>> half_life(trace)
    array([1.])
    """
    keep = memory_of(trace, layer, direction=direction, row=row).keep
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.log(np.clip(keep, 0, None)).mean(axis=0) if len(keep) else np.full(keep.shape[1], np.nan)
        lives: Array = np.where(mean < 0, np.log(0.5) / mean, np.where(np.isnan(mean), np.nan, np.inf))
    return lives


def memory_span(trace: Trace, layer: int = 0, *, direction: int = 0, row: int = 0) -> Array:
    """Return for each position and unit after how many steps less than half of what it wrote remains, (T, H).

    Infinite where at least half remains at the end, NaN where that is undefined.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 1, rng=0).trace(np.ones((4, 2)), clamp={("f", 0, 0): 0.6})
    >>> memory_span(trace)[:, 0]
    array([ 2.,  2., inf, inf])
    """
    m = memory_of(trace, layer, direction=direction, row=row)
    spans = np.full(m.keep.shape, np.inf)
    remaining, open_ = np.ones_like(m.keep), np.ones(m.keep.shape, bool)
    for after in range(1, len(m.keep)):
        remaining[: len(remaining) - after] *= m.keep[after:]
        now = remaining[: len(remaining) - after]
        halved, lost = now < 0.5, np.isnan(now)
        open_now = open_[: len(remaining) - after]
        spans[: len(remaining) - after][open_now & halved] = after
        spans[: len(remaining) - after][open_now & lost] = np.nan
        open_now &= ~(halved | lost)
        if not open_[: len(remaining) - after].any():
            break
    return spans[np.argsort(m.steps)]


# ---- stuck gates ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Saturation:
    """How often each gate of each unit was closed and open.

    Attributes:
        steps: how many steps of all rows counted.
        below, above: by gate, (H,) ints: steps with the gate under 0.1 and over 0.9.
        units: (H,), the numbers of the units.
    """

    steps: int
    below: dict[str, NDArray[np.intp]]
    above: dict[str, NDArray[np.intp]]
    units: NDArray[np.intp]

    def shares(self, gate: str) -> tuple[Array, Array]:
        """Return the share of the steps in which each unit's gate was closed, and in which it was open."""
        steps = max(self.steps, 1)
        return self.below[gate] / steps, self.above[gate] / steps


def saturation(trace: Trace, layer: int = 0, *, direction: int = 0) -> Saturation:
    """Count the steps of all rows in which each gate was closed (under 0.1) and open (over 0.9). NaN is neither.

    Raises:
        SettingError: there is no such layer or direction.

    Source: Karpathy, Johnson and Fei-Fei 2015, section 4.2.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((9, 2)), clamp={("f", 0, 1): 1.0})
    >>> saturation(trace).above["f"][1]
    np.int64(9)
    """
    kind = _kind(trace, layer, direction)
    n, t = trace.shape
    valid = np.ones((n, t), bool) if trace.lengths is None else np.arange(t) < trace.lengths[:, None]
    below, above = {}, {}
    for gate in (name for name in kind.names if kind[name].is_gate):
        values = trace[gate, layer, direction][valid]
        below[gate], above[gate] = (values < CLOSED).sum(axis=0), (values > OPEN).sum(axis=0)
    return Saturation(int(valid.sum()), below, above, trace.units[layer])


@dataclass(frozen=True)
class Verdict:
    """One sentence about a stuck gate, with the count behind it."""

    gate: str
    unit: int
    side: str  # "open" or "closed"
    count: int
    steps: int

    def text(self, lang: str | None = None) -> str:
        """Return the sentence; units are counted from 1, as people do."""
        what = say(f"reading.{self.gate}.{self.side}", lang, unit=self.unit + 1)
        sign = f"{self.gate} < {CLOSED:g}" if self.side == "closed" else f"{self.gate} > {OPEN:g}"
        return say("reading.counted", lang, what=what, sign=sign, count=self.count, steps=self.steps)


def verdicts(reading: Saturation, share: float = ALMOST_ALWAYS) -> list[Verdict]:
    """Return a verdict on each gate that was open, or closed, in at least ``share`` of the steps; surest first.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((9, 2)), clamp={("f", 0, 1): 1.0})
    >>> print(verdicts(saturation(trace))[0].text("en"))
    Unit 2 never forgets: f > 0.9 in 9 of 9 steps.
    """
    result = [
        Verdict(gate, int(reading.units[u]), side, int(counts[u]), reading.steps)
        for gate in reading.below
        for side, counts in (("closed", reading.below[gate]), ("open", reading.above[gate]))
        for u in np.flatnonzero(counts >= max(share * reading.steps, 1))
    ]
    return sorted(result, key=lambda v: (-v.count, v.unit, v.gate))


# ---- the gradient ---------------------------------------------------------------------------------------------------


def gradient_flow(
    trace: Trace, dy: ArrayLike | None = None, layer: int = 0, *, direction: int = 0, row: int = 0
) -> dict[str, Array]:
    """Return the norms over the units of dL/dh and, where the memory is another, of dL/dc at each position, each (T,).

    Args:
        trace: the run. layer, direction, row: whose gradients.
        dy: dL/dy, of the shape of ``trace.y``; None for the sum of the outputs of the last step of each row.

    Raises:
        SettingError: the trace has no network, or there is no such layer, direction or row.
        ShapeError: ``dy`` has not the shape of ``trace.y``.

    Source: Pascanu, Mikolov and Bengio 2013.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((9, 2)))
    >>> flow = gradient_flow(trace)
    >>> flow["c"].shape, bool(flow["h"][0] < flow["h"][8])
    ((9,), True)
    """
    kind = _kind(trace, layer, direction, row)
    gradients = trace.gradients(dy) if dy is not None else trace.gradients(step=-1)
    return {
        key: np.linalg.norm(gradients[key, layer, direction][row].astype(np.float64), axis=1)
        for key in dict.fromkeys((kind.parts[0], kind.memory.quantity))
    }  # fmt: skip


def connectivity(
    trace: Trace, dy: ArrayLike | None = None, layer: int = 0, *, key: str = "h", direction: int = 0
) -> Array:
    """Return how much the output of each step hangs on each step before it, (T, T): row s, column t is ‖dL_s/dh_t‖.

    L_s is what the outputs of step s add to L. Above the diagonal of a layer that reads forward all is zero. The trace
    is of one row. T walks back over at most T steps are made, as many at once as come to 2²⁴ numbers of T · H each.

    Args:
        trace: the run. layer, direction: whose h.
        dy: dL/dy, of the shape of ``trace.y``; None for ones: the sum of all outputs.
        key: "h", "c" or a gate.

    Raises:
        SettingError: as in :func:`gradient_flow`, or the trace has more than one row.

    Source: Madsen 2019, "Visualizing memorization in RNNs".

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((5, 2)))
    >>> (connectivity(trace) > 0).astype(int)
    array([[1, 0, 0, 0, 0],
           [1, 1, 0, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 1, 0],
           [1, 1, 1, 1, 1]])
    """
    names = _kind(trace, layer, direction).names
    if key not in names:
        raise SettingError("error.choice", name="key", known=", ".join(names), got=repr(key))
    t = trace.shape[1]
    norms = np.zeros((t, t))
    at_once = max(1, _AT_ONCE // max(1, t * len(trace.units[layer])))
    for start in range(0, t, at_once):
        part = slice(start, start + at_once)
        norms[part] = trace.gradients_by_step(dy, layer, part, (key,), norms=True)[key, layer, direction]
    return norms


# ---- two runs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """How far one quantity of two traces lies apart: the largest difference, and the first step where it shows."""

    key: str
    layer: int
    direction: int
    largest: float
    first: int | None


def agreement(one: Trace, other: Trace, tolerance: float = 0.0) -> list[Difference]:
    """Compare two traces of the same shape, quantity by quantity.

    Args:
        one, other: the traces, of two engines, two checkpoints, a clamped and a free run.
        tolerance: differences up to this do not count for ``first``; NaN in one alone always does.

    Raises:
        ShapeError: their shapes or their quantities differ.

    >>> import compuerta
    >>> layer = compuerta.LSTM(2, 3, rng=0)
    >>> _, free = layer.trace(np.ones((9, 2)))
    >>> _, held = layer.trace(np.ones((9, 2)), clamp={("i", 0, 0): 0.0})
    >>> {d.key: d.first for d in agreement(free, held, 1e-6)}
    {'i': 0, 'f': 1, 'g': 1, 'o': 1, 'c': 0, 'h': 0}
    """
    if one.shape != other.shape or list(one) != list(other):
        raise ShapeError("error.reading_traces", one=repr(one), other=repr(other))
    pairs = []
    for key in one:
        name, layer, direction = (*key, 0)[:3]
        a, b = one[key].astype(np.float64), other[key].astype(np.float64)
        if a.shape != b.shape:
            raise ShapeError("error.reading_traces", one=f"{key} {a.shape}", other=f"{key} {b.shape}")
        with np.errstate(invalid="ignore"):
            apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        steps = np.flatnonzero(~(apart <= tolerance).all(axis=(0, 2)))
        largest = float(apart.max(initial=0.0)) if not np.isnan(apart).any() else float("nan")
        pairs.append(Difference(name, layer, direction, largest, int(steps[0]) if len(steps) else None))
    return pairs


def _kind(trace: Trace, layer: int, direction: int, row: int | None = None) -> CellKind:
    """Return the kind of a layer's cell, after checking that the layer, the direction and any row exist."""
    if not 0 <= layer < trace.layers:
        raise SettingError("error.reading_place", what="layer", got=layer, count=trace.layers)
    if not 0 <= direction < trace.directions_of(layer):
        raise SettingError("error.reading_place", what="direction", got=direction, count=trace.directions_of(layer))
    if row is not None and not 0 <= row < trace.shape[0]:
        raise SettingError("error.reading_place", what="row", got=row, count=trace.shape[0])
    return trace.kind_of(layer)
