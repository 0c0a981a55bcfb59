"""The weights of a layer between our arrays and ONNX's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...layers import GRU, Dense, Layer, Recurrent
from .. import orders
from ..weights import CellWeights, unstack

Array = NDArray[Any]


def _order(kind: str) -> tuple[str, str]:
    table = orders.GRU if kind == "GRU" else orders.LSTM
    return table["compuerta"], table["onnx"]


def cell_to_onnx(cell: CellWeights) -> dict[str, Array]:
    """Return W (G·H, F), R (G·H, H) and B (2·G·H,) of one direction.

    The biases of R are −0, the only number whose sum with any other is that other to the bit; but a GRU's bias inside
    the reset gate's product has its place among them.
    """
    ours, theirs = _order(cell.kind)
    b_r = np.full_like(cell.b, -0.0)
    if cell.b_hn is not None:
        b_r[-len(cell.b_hn) :] = cell.b_hn
    w, r, b, b_r = (orders.reorder(array, ours, theirs) for array in (cell.w_x, cell.w_h, cell.b, b_r))
    return {"W": w, "R": r, "B": np.concatenate((b, b_r))}


def cell_from_onnx(kind: str, w: Array, r: Array, b: Array | None, *, after: bool) -> CellWeights:
    """Return one direction of an operator; ``after``: a GRU's reset gate acts after the product."""
    ours, theirs = _order(kind)
    w_x, w_h = (orders.reorder(array, theirs, ours) for array in (w, r))
    if b is None:
        b = np.full(2 * len(w), -0.0, w.dtype)
    b_w, b_r = (orders.reorder(part, theirs, ours) for part in np.split(b, 2))
    summed = b_w + b_r
    if kind == "LSTM" or not after:
        return CellWeights(kind, w_x, w_h, summed)
    hidden = r.shape[1]
    summed[-hidden:] = b_w[-hidden:]
    return CellWeights(kind, w_x, w_h, summed, b_r[-hidden:])


def to_onnx(layer: Layer, prefix: str) -> dict[str, Array]:
    """Return the arrays of a layer as a graph of ours holds them, by name."""
    if isinstance(layer, Recurrent):
        found = {}
        for k, row in enumerate(unstack(layer)):
            each = [cell_to_onnx(cell) for cell in row]
            for name in each[0]:
                found[f"{prefix}{name}_l{k}"] = np.stack([one[name] for one in each])
        return found
    if isinstance(layer, Dense):
        return {prefix + "w": layer.parameters["w"].T, prefix + "b": layer.parameters["b"]}
    return {prefix + name: array for name, array in layer.parameters.items()}


def parameters_from(layer: Layer, prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the parameters of ``layer``, without prefix, from the arrays that :func:`to_onnx` made of one like it.

    Raises:
        KeyError: one is not there.
        ValueError: one has another shape.
    """
    if isinstance(layer, Recurrent):
        kind, found = ("GRU" if isinstance(layer, GRU) else "LSTM"), {}
        after = isinstance(layer, GRU) and layer.reset_after
        for k in range(layer.num_layers):
            w, r, b = (arrays.pop(f"{prefix}{name}_l{k}") for name in "WRB")
            for d in range(layer.directions):
                cell = cell_from_onnx(kind, w[d], r[d], b[d], after=after)
                for name, array in cell.names:
                    found[f"{name}_l{k}" + "_reverse" * d] = array
        return found
    found = {name: arrays.pop(prefix + name) for name in layer.parameters}
    return {**found, "w": found["w"].T} if isinstance(layer, Dense) else found
