"""Where a run lost its footing: the first place, in the order of computation, that is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Phrase
from ..layers import Layer, Sequential, Stack
from ..layers.stack import StackTape

Array = NDArray[Any]


def where_not_finite(
    model: Layer, x: Array, state: Any, lengths: NDArray[np.intp] | None, gradient: Array | None = None
) -> Phrase:
    """Return a short description of the first value that is not finite: parameter, input, gate and step, or gradient.

    The forward pass is run again, without dropout, and walked layer by layer, step by step, gate by gate.
    """
    for name, array in model.parameters.items():
        if not np.isfinite(array).all():
            return Phrase("diverged.parameter", name=name, at=_at(array))
    layers = list(model.layers) if isinstance(model, Sequential) else [model]
    batch, _ = model.check_inputs(x)
    if not np.isfinite(batch).all():
        return Phrase("diverged.inputs", at=_at(batch))
    states = model.check_state(state, batch.shape[0])
    states = states if isinstance(model, Sequential) else [states]
    for k, (layer, initial) in enumerate(zip(layers, states, strict=True)):
        batch, _, tape = layer.run(batch, initial, lengths, True, None)
        if isinstance(layer, Stack) and isinstance(tape, StackTape):
            place = _in_tape(tape, layer)
            if place:
                return Phrase("diverged.layer", layer=k, name=layer.name, what=place)
        if not np.isfinite(batch).all():
            return Phrase("diverged.layer", layer=k, name=layer.name, what=Phrase("diverged.output", at=_at(batch)))
    if gradient is not None:
        for name, array in model.parameters.named(gradient).items():
            if not np.isfinite(array).all():
                return Phrase("diverged.gradient", name=name, at=_at(array))
    return Phrase("diverged.loss")


def _in_tape(stack: StackTape, layer: Stack) -> Phrase | None:
    for k, tapes in enumerate(stack.tapes):
        for d, tape in enumerate(tapes):
            first: tuple[int, str, int] | None = None
            for key in tape.names:
                bad = np.argwhere(~np.isfinite(tape.read(key)))
                if len(bad):
                    time = -bad[:, 1] if d == 1 else bad[:, 1]
                    row, step, _ = bad[np.argmin(time)]
                    if first is None or (step > first[0] if d == 1 else step < first[0]):
                        first = (int(step), key, int(row))
            if first:
                step, key, row = first
                place = Phrase("diverged.stacked", layer=k, direction=d) if layer.num_layers + d > 1 else ""
                return Phrase(
                    "diverged.gate", key=key, name=Phrase(f"gate.{key}.name"), step=step, row=row, place=place
                )
    return None


def _at(array: Array) -> str:
    place = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
    return f"[{', '.join(map(str, place))}] = {array[place]}"
