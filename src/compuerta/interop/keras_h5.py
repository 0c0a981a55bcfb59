"""The HDF5 form of Keras 1, 2 and 3: whole models with their configuration, and weights alone.

A group for each layer, named by it, holds the layer's variables under names that changed with the years:

- Keras 1: ``lstm_1_W_i``, ``lstm_1_U_i``, ``lstm_1_b_i``, each gate apart, or ``lstm_1_W`` with all;
- Keras 2: ``lstm/lstm_cell/kernel:0``, ``recurrent_kernel:0``, ``bias:0``;
- Keras 3: the same with the model's name before, without ``:0``.

Here they come under one name each, that of Keras 3's own weight files: ``lstm/cell/vars/0``. The layers of a model that
stands in another, which share a group, keep their own names: ``sequential_1/lstm``. A whole model stands in the group
``model_weights``, beside an attribute ``model_config``; what the optimizer remembers stands apart and is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError

Array = NDArray[Any]

#: The group of a whole model's weights, and one in it that holds none of a layer's.
WEIGHTS = "model_weights"
_NO_LAYER = "top_level_model_weights"

_LEAF = re.compile(r"(?:(?P<old>.*)_(?=[WUb](?:_|:|$)))?(?P<leaf>W|U|b|recurrent_kernel|kernel|bias|embeddings)"
                   r"(?:_(?P<part>[ifcozrh]|\d+))?(?::\d+)?")  # fmt: skip
_CELL = re.compile(r"(lstm|gru|simple_rnn)_cell(_\d+)?")
_DIRECTION = re.compile(r"(forward|backward)_.*")
_ROLES = {"W": 0, "kernel": 0, "embeddings": 0, "U": 1, "recurrent_kernel": 1, "b": 2, "bias": 2}
#: In which order Keras 1 stacks the gates that it writes apart, for each number of them.
_GATES = {4: "ifco", 3: "zrh"}


def canonical(arrays: Mapping[str, Array], path: str, nested: Collection[str] | None = None) -> dict[str, Array]:
    """Return the variables of all layers as ``layer/cell/vars/0``; Bidirectional's as ``layer/forward_layer/cell/...``.

    Args:
        arrays: by their names in the file, without that of the group of all weights.
        path: the file, for errors.
        nested: the groups of models that stand in the model; None where the file says nothing of them.

    Raises:
        FileFormatError: two variables of a layer bear the same name, or a gate is missing.
    """
    found: dict[tuple[str, str, str], dict[tuple[int, str], str]] = {}
    left: dict[str, Array] = {}
    for name, array in arrays.items():
        group, *inside = name.split("/")
        match = _LEAF.fullmatch(inside[-1]) if inside else None
        if group == _NO_LAYER or match is None:
            left[name] = array
            continue
        owners = [part for part in (*inside[:-1], match["old"]) if part and not _CELL.fullmatch(part)]
        turns = [turn[1] for turn in map(_DIRECTION.fullmatch, owners) if turn]
        own = [part for part in owners if not _DIRECTION.fullmatch(part)]
        gate = match["part"] if match["old"] is not None and not (match["part"] or "").isdigit() else None
        roles = found.setdefault((group, own[-1] if own else group, turns[-1] if turns else ""), {})
        role = (_ROLES[match["leaf"]], gate or "")
        if role in roles:
            raise FileFormatError("error.interop.keras_twice", path=path, one=roles[role], other=name)
        roles[role] = name
    owners_of: dict[str, set[str]] = {}
    for group, owner, _ in found:
        owners_of.setdefault(group, set()).add(owner)
    made: dict[str, Array] = {}
    for (group, owner, turn), roles in found.items():
        several = len(owners_of[group]) > 1 if nested is None else group in nested
        place = f"{group}/{owner}" if several else group
        _add(made, f"{place}/{turn}_layer" if turn else place, roles, arrays, path)
    return made | left


def _add(
    made: dict[str, Array], place: str, roles: Mapping[tuple[int, str], str], arrays: Mapping[str, Array], path: str
) -> None:
    """Add the variables of one layer and direction under their names here."""
    recurrent = any(role == 1 for role, _ in roles)
    for role in sorted({role for role, _ in roles}):
        gates = {gate: name for (r, gate), name in roles.items() if r == role}
        name = f"{place}/cell/vars/{role}" if recurrent else f"{place}/vars/{min(role, 1)}"
        if name in made:
            raise FileFormatError("error.interop.keras_twice", path=path, one=name, other=next(iter(gates.values())))
        if set(gates) == {""}:
            made[name] = arrays[gates[""]]
            continue
        order = _GATES.get(len(gates), "")
        if set(gates) != set(order):
            raise FileFormatError("error.interop.keras_gates", path=path, name=next(iter(gates.values())))
        blocks = [arrays[gates[gate]] for gate in order]
        if len({block.shape for block in blocks}) > 1 or not blocks[0].ndim:
            shapes = ", ".join(str(block.shape) for block in blocks)
            raise FileFormatError(
                "error.file.tensor", path=path, name=gates[order[0]], expected=blocks[0].shape, got=shapes
            )
        made[name] = np.concatenate(blocks, axis=-1)


def without_gpu_layout(kind: str, w_x: Array, w_h: Array, b: Array) -> tuple[Array, Array, Array]:
    """Return kernel, recurrent kernel and bias of a CuDNNLSTM or CuDNNGRU as those of an LSTM or GRU.

    cuDNN's kernels stand gate by gate as rows (H, F) in memory that Keras calls (F, H); the recurrent ones are
    transposed; its two biases stand one after the other.
    """
    blocks = 4 if kind == "LSTM" else 3
    kernels = [np.ascontiguousarray(k).reshape(k.shape[::-1]).T for k in np.split(w_x, blocks, axis=1)]
    recurrent = [k.T for k in np.split(w_h, blocks, axis=1)]
    bias = b.reshape(2, -1)
    return np.concatenate(kernels, 1), np.concatenate(recurrent, 1), bias.sum(0) if kind == "LSTM" else bias
