"""What one step of a cell computed, by name: of a cell that is drawn, or of a model along a trace."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import gates, textbook
from ..errors import SettingError
from ..gates import CellKind

if TYPE_CHECKING:
    from ..layers import Trace

Array = NDArray[Any]

#: By the kinds of cell that can be explained: what a step calls each quantity; an LSTM's as the textbook does.
STEP_KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType({
    gates.LSTM.key: {"f": "f", "i": "i", "g": "C_tilde", "c": "C", "o": "o", "h": "h"},
    gates.GRU.key: {key: key for key in gates.GRU},
})  # fmt: skip
#: The switches of an LSTM whose step can still be explained; the last two do nothing outside training.
_EXPLAINABLE = {"peepholes", "coupled", "input_gate", "forget_gate", "output_gate", "recurrent_dropout", "weight_drop"}


def drawn_step(seed: int, input_size: int, hidden_size: int) -> dict[str, Array]:
    """Return one step of a cell whose every number is drawn: x, h, C, then W_f, b_f, W_i, b_i, W_C, b_C, W_o, b_o.

    All come from ``numpy.random.RandomState(seed).rand``, as after ``np.random.seed(seed)`` in a notebook.
    """
    rand = np.random.RandomState(seed).rand
    x, h, C = rand(input_size, 1), rand(hidden_size, 1), rand(hidden_size, 1)
    cell = textbook.LSTM(input_size, hidden_size, rng=0, init="normal")
    for k in textbook.BLOCKS:
        setattr(cell, "W" + k, rand(hidden_size, hidden_size + input_size))
        setattr(cell, "b" + k, rand(hidden_size, 1))
    return cell.step(x, h, C)


def cell_of(trace: Trace, layer: int = 0) -> CellKind:
    """Return the kind of a layer's cell, whose equations are those by which it computes, if a step can be explainable.

    Raises:
        SettingError: the layer is no LSTM and no GRU, or an LSTM whose step has more to it than is explainable.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 3, peepholes=True, rng=0).trace(np.ones((5, 2)))
    >>> cell_of(trace)["o"].equation
    'σ(W_o·[h_{t-1}; x_t] + p_o⊙C_t + b_o)'
    """
    kind = explainable(trace.kind_of(layer))
    more = [name for name, _ in kind.switches if name not in _EXPLAINABLE]
    if more:
        raise SettingError("error.explain_variant", got=", ".join(sorted(more)))
    return kind


def explainable(kind: CellKind) -> CellKind:
    """Return ``kind`` if a step of it has names here. SettingError: it has not."""
    if kind.key not in STEP_KEYS:
        raise SettingError("error.explain_kind", got=kind.title)
    return kind


def clamps_in(trace: Trace, layer: int = 0, direction: int = 0) -> dict[str, list[int]]:
    """Return the units that were clamped in a run, for each quantity.

    Raises:
        SettingError: it is not known what ran.
    """
    _, clamps = _ran(trace, layer, direction)
    return {key: clamps.units(key) for key in trace.names_of(layer)}


def _ran(trace: Trace, layer: int, direction: int = 0) -> tuple[Any, Any]:
    try:
        return trace.ran(layer, direction)
    except KeyError:
        raise SettingError("error.explain_inputs") from None


def traced_step(
    trace: Trace, t: int, unit: int | None = None, layer: int = 0, row: int = 0, direction: int = 0
) -> dict[str, Array]:
    """Return one step of a trace: of an LSTM under the names of the textbook's, of a GRU under those of the catalogue.

    With ``unit``, of that unit alone; what it reads stays whole: all of ``concat``, and in an LSTM of ``h_prev``.

    Raises:
        SettingError: the layer is no LSTM and no GRU or its inputs are not known, or there is no such step, unit,
            layer, row or direction.
    """
    places = (("layer", layer, trace.layers), ("row", row, trace.shape[0]))
    for what, got, count in places:
        _within(what, got, count)
    _within("direction", direction, trace.directions_of(layer))
    _within("step", t, trace.shape[1] if trace.lengths is None else int(trace.lengths[row]))
    cell_layer, _ = _ran(trace, layer, direction)
    kind = explainable(trace.kind_of(layer))
    names, memory, output = STEP_KEYS[kind.key], kind.memory.quantity, kind.parts[0]
    if unit is not None:
        _within("unit", unit, cell_layer.hidden_size)
    which = slice(None) if unit is None else slice(unit, unit + 1)
    here = trace.select(steps=[t], rows=[row])
    now = {key: here[key, layer, direction][0, 0] for key in kind}
    before = {part: here.initial(part, layer, direction)[0] for part in (output, memory)}
    x = here.inputs(layer)[0, 0]
    x = np.eye(cell_layer.input_size)[x] if x.ndim == 0 else x  # a token is a column of W, as from one 1 among zeros
    x = x.astype(now[output].dtype)
    step = {"x": x, "concat": np.concatenate((before[output], x)), f"{names[output]}_prev": before[output]}
    step[f"{names[memory]}_prev"] = before[memory][which]
    step |= {name: now[key][which] for key, name in names.items()}
    return step if memory == output else step | {"tanh_C": np.tanh(step["C"])}


def _within(what: str, got: int, count: int) -> None:
    if not 0 <= got < count:
        raise SettingError("error.reading_place", what=what, got=got, count=count)


def two_parts(step: Mapping[str, Array], kind: CellKind = gates.LSTM) -> tuple[Array, Array]:
    """Return what a step of a kind of cell kept of its memory and what it wrote: their sum is the memory after it."""
    names, memory = STEP_KEYS[kind.key], kind.memory
    keep, write = memory.keep_and_write(lambda key: step[names[key]])
    return keep * step[f"{names[memory.quantity]}_prev"], write


def numbers(step: Mapping[str, Array], kind: CellKind = gates.LSTM) -> dict[str, list[float]]:
    """Return every number of a step by name, for JSON; ``kept`` and ``written`` are the two parts of its memory."""
    flat = {name: np.asarray(value, dtype=np.float64).ravel().tolist() for name, value in step.items()}
    flat["kept"], flat["written"] = (part.ravel().tolist() for part in two_parts(step, kind))
    return flat
