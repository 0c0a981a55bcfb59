"""The weights and switches of our layers as ONNX has them, and back.

The biases of R are −0 where we have one bias: the only number whose sum with any other is that other, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...activations import CELL_ACTIVATIONS, SIGMOID, TANH, Activation
from ...errors import SettingError
from ...layers import GRU, Dense, Layer, Recurrent
from ...recurrence import Variant
from .. import gate_orders
from ..weights import has_known_cell

Array = NDArray[Any]

#: What an LSTM may do otherwise than the plain one and ONNX can say; of the last three, two act in training only.
_SWITCHES = {"peepholes", "coupled", "clip", "gate_activation", "input_activation", "output_activation",
             "recurrent_dropout", "weight_drop", "learn_state"}  # fmt: skip
_FUNCTIONS = ("gate_activation", "input_activation", "output_activation")
_PLAIN = Variant()


def pick(stacked: Array, source: Sequence[str], target: Iterable[str]) -> Array:
    """Return the blocks of ``stacked``, which ``source`` names, that ``target`` names; zeros for one it has not."""
    blocks = dict(zip(source, np.split(stacked, len(source)), strict=True))
    return np.concatenate([blocks[k] if k in blocks else np.zeros_like(blocks[source[0]]) for k in target])


def order(layer: Recurrent) -> str:
    """Return ONNX's order of the blocks of a layer's cell."""
    return gate_orders.CELLS[layer.kind.title]["onnx"]


# ---- switches -------------------------------------------------------------------------------------------------------


def attributes(layer: Recurrent) -> dict[str, Any]:
    """Return the attributes of ONNX that say how a cell differs from the plain one.

    Raises:
        SettingError: ONNX cannot say it; the switch is named.
    """
    if not has_known_cell(layer):
        raise SettingError("error.interop.cannot_hold", format="ONNX", what=layer.name)
    if isinstance(layer, GRU):
        functions = [layer.gate_activation, layer.input_activation]
        return {"linear_before_reset": int(layer.reset_after), **_activations(layer, functions, [SIGMOID, TANH])}
    for name, value in layer.switches().items():
        if name not in _SWITCHES:
            raise SettingError("error.interop.cannot_hold", format="ONNX", what=f"LSTM({name}={value!r})")
    v = layer.variant
    result: dict[str, Any] = {}
    if v.coupled:
        result["input_forget"] = 1
    if v.clip is not None:
        result["clip"] = v.clip
    functions = [getattr(v, name) for name in _FUNCTIONS]
    return result | _activations(layer, functions, [getattr(_PLAIN, name) for name in _FUNCTIONS])


def _activations(layer: Recurrent, functions: list[Activation], usual: list[Activation]) -> dict[str, Any]:
    """Return the attributes that name the activations of a cell, none for the usual ones."""
    found: dict[str, Any] = {}
    if functions != usual:
        spelled = [Activation("Affine", 1.0, 0.0) if f.name == "Identity" else f for f in functions]
        for f in spelled:
            if f.name not in CELL_ACTIVATIONS:
                raise SettingError("error.interop.cannot_hold", format="ONNX", what=f"{layer.name}({f.name})")
        each = spelled * layer.directions
        found["activations"] = [f.name for f in each]
        for number in ("alpha", "beta"):
            values = [getattr(f, number) for f in each if getattr(f, number) is not None]
            found |= {f"activation_{number}": values} if values else {}
    return found


def switches(functions: Sequence[Activation], *, peepholes: bool, coupled: bool, clip: float | None) -> dict[str, Any]:
    """Return the arguments of :class:`LSTM` for what an operator of ONNX does."""
    result: dict[str, Any] = {
        name: f for name, f in zip(_FUNCTIONS, functions, strict=True) if f != getattr(_PLAIN, name)
    }
    return result | {k: v for k, v in (("peepholes", peepholes), ("coupled", coupled), ("clip", clip)) if v}


# ---- weights --------------------------------------------------------------------------------------------------------


def to_onnx(layer: Layer, prefix: str) -> dict[str, Array]:
    """Return the arrays of a layer as our graphs hold them: those of ONNX, by the names of :func:`parameters_from`."""
    p = layer.parameters
    if isinstance(layer, Dense):
        return {prefix + "w": p["w"].T, prefix + "b": p["b"]}
    if not isinstance(layer, Recurrent):
        return {prefix + name: array for name, array in p.items()}
    tensors: dict[str, Array] = {}
    for k in range(layer.num_layers):
        each = [_cell_to_onnx(layer, k, d) for d in range(layer.directions)]
        for name in each[0]:
            tensors[f"{prefix}{name}_l{k}"] = np.stack([one[name] for one in each])
    return tensors


def _cell_to_onnx(layer: Recurrent, k: int, d: int) -> dict[str, Array]:
    """Return W, R, B, and P with peepholes, of one direction of one layer, and the state it starts from if learnt."""
    end = f"_l{k}" + "_reverse" * d
    p = {name.removesuffix(end): layer.parameters[name] for name in layer.names(k, reverse=d == 1)}
    b_r = np.full_like(p["b"], -0.0)
    if "b_hn" in p:
        b_r[-layer.hidden_size :] = p["b_hn"]
    w, r, b, b_r = (pick(array, layer.blocks, order(layer)) for array in (p["w_x"], p["w_h"], p["b"], b_r))
    tensors = {"W": w, "R": r, "B": np.concatenate((b, b_r))}
    if "p" in p:
        tensors["P"] = pick(p["p"], layer.kind.own_gates, gate_orders.PEEPHOLES["onnx"])
    for part, name in zip(layer.parts, layer.state_names(k, reverse=d == 1), strict=False):
        tensors[f"{part}0"] = layer.parameters[name][None]
    return tensors


def cell_from_onnx(layer: Recurrent, w: Array, r: Array, b: Array | None, p: Array | None) -> dict[str, Array]:
    """Return the parameters of one direction of one layer of the shape of ``layer``, by name without place."""
    w_x, w_h = (pick(array, order(layer), layer.blocks) for array in (w, r))
    halves = (np.zeros(len(w), w.dtype), np.full(len(w), -0.0, w.dtype)) if b is None else np.split(b, 2)
    b_w, b_r = (pick(half, order(layer), layer.blocks) for half in halves)
    parameters = {"w_x": w_x, "w_h": w_h, "b": b_w + b_r}
    if isinstance(layer, GRU) and layer.reset_after:
        parameters["b"][-layer.hidden_size :] = b_w[-layer.hidden_size :]
        parameters["b_hn"] = b_r[-layer.hidden_size :]
    if p is not None:
        parameters["p"] = pick(p, gate_orders.PEEPHOLES["onnx"], layer.kind.own_gates)
    return parameters


def parameters_from(layer: Layer, prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """Take from ``arrays`` what :func:`to_onnx` made of a layer like this one; return its parameters by name.

    Raises:
        KeyError: an array is not there.
        ValueError: one does not divide into its blocks.
    """
    if not isinstance(layer, Recurrent):
        parameters = {name: arrays.pop(prefix + name) for name in layer.parameters}
        return {**parameters, "w": parameters["w"].T} if isinstance(layer, Dense) else parameters
    parameters = {}
    for k in range(layer.num_layers):
        w, r, b = (arrays.pop(f"{prefix}{name}_l{k}") for name in "WRB")
        p = arrays.pop(f"{prefix}P_l{k}") if any(name.startswith("p_l") for name in layer.names(k)) else None
        for d in range(layer.directions):
            end = f"_l{k}" + "_reverse" * d
            cell = cell_from_onnx(layer, w[d], r[d], b[d], None if p is None else p[d])
            parameters |= {name + end: array for name, array in cell.items()}
            for part, name in zip(layer.parts, layer.state_names(k, reverse=d == 1), strict=False):
                parameters[name] = arrays[f"{prefix}{part}0_l{k}"][d, 0]
    return parameters
