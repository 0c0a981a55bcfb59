"""Where a run lost its footing: the first place, in the order of computation, that is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import Layer, Recurrent, Sequential
from ..layers.recurrent import StackTape

Array = NDArray[Any]


def where_not_finite(
    model: Layer, x: Array, state: Any, lengths: NDArray[np.intp] | None, gradient: Array | None = None
) -> str:
    """Return a short description of the first value that is not finite: parameter, input, gate and step, or gradient.

    The forward pass is run again, without dropout, and walked layer by layer, step by step, gate by gate.
    """
    for name, array in model.parameters.items():
        if not np.isfinite(array).all():
            return f"parameter {name}{_at(array)}"
    layers = list(model.layers) if isinstance(model, Sequential) else [model]
    batch, _ = model._check(x)
    if not np.isfinite(batch).all():
        return f"inputs{_at(batch)}"
    states = model._check_state(state, batch.shape[0])
    states = states if isinstance(model, Sequential) else [states]
    for k, (layer, initial) in enumerate(zip(layers, states, strict=True)):
        batch, _, tape = layer._run(batch, initial, lengths, True, None)
        if isinstance(layer, Recurrent) and isinstance(tape, StackTape):
            found = _in_tape(tape, layer)
            if found:
                return f"layer {k} ({layer.name}), {found}"
        if not np.isfinite(batch).all():
            return f"layer {k} ({layer.name}), output{_at(batch)}"
    if gradient is not None:
        for name, array in model.parameters.named(gradient).items():
            if not np.isfinite(array).all():
                return f"gradient of {name}{_at(array)}"
    return "the loss itself"


def _in_tape(stack: StackTape, layer: Recurrent) -> str:
    for k, tapes in enumerate(stack.tapes):
        for d, tape in enumerate(tapes):
            first: tuple[int, str, int] | None = None
            for key in (*tape.slots, *(("c",) if tape.c is not None else ()), "h"):
                bad = np.argwhere(~np.isfinite(tape.read(key)))
                if len(bad):
                    row, step, _ = bad[np.argmin(bad[:, 1])]
                    if first is None or step < first[0]:
                        first = (int(step), key, int(row))
            if first:
                stacked = f"stacked layer {k}, " if layer.num_layers > 1 else ""
                backward = "backward direction, " if d else ""
                return f"{stacked}{backward}{first[1]} at step {first[0]}, row {first[2]}"
    return ""


def _at(array: Array) -> str:
    place = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
    return f"[{', '.join(map(str, place))}] = {array[place]}"
