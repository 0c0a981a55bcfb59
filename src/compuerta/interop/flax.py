"""Flax: one Dense layer for each gate, ``ii if ig io`` on the inputs and ``hi hf hg ho`` on the state.

Each is a ``kernel`` (F, H) or (H, H); the LSTM's biases stand beside the recurrent kernels. A GRU has ``ir iz in`` with
biases and ``hr hz hn``, of which ``hn`` alone has one: reset_after=True here. The carry of Flax is **(c, h)**, ours
(h, c). Trees of ``flax.linen`` and of ``flax.nnx`` (where ``if`` is called ``if_``) are read; linen's are written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from ..layers import Dense, Embedding, Layer
from ..tasks import Task
from . import archive
from .formats import Description, Note, Runner, tensor_table, unnoted
from .gate_orders import GRU as GRU_ORDERS
from .gate_orders import LSTM as LSTM_ORDERS
from .gate_orders import reorder
from .layer_order import ORDER, of_layers, recorded
from .named import Leaves, System, build, flattened, nested
from .weights import CellWeights, Tensors, has_known_cell, placed, row_of, unstack

Array = NDArray[Any]

_TITLE = "Flax"
_GATE = r"(?:ii|if_?|ig|io|hi|hf|hg|ho|ir|iz|in_?|hr|hz|hn)"
_NAME = re.compile(rf"(?:params[/.])?(?:(?P<prefix>.*?)[/.])??(?P<leaf>(?:{_GATE}[/.])?(?:kernel|bias|embedding))")
_ORDERS = {"LSTM": LSTM_ORDERS["flax"], "GRU": GRU_ORDERS["flax"]}
_OURS = {"LSTM": LSTM_ORDERS["compuerta"], "GRU": GRU_ORDERS["compuerta"]}


def from_params(params: Mapping[str, Any], *, map: str | None = None, note: Note = unnoted) -> Layer:
    """Return the layer of a tree of parameters, nested or with names joined by ``/``; arrays of NumPy or JAX.

    ``map`` says the order of the layers where their shapes leave several; see ``pytorch.from_state_dict``.

    Raises:
        FileFormatError: a tensor is missing, unused, transposed or misshapen; it is named.
    """
    arrays = {name: np.asarray(value) for name, value in flattened(params).items()}
    return build(_SYSTEM, arrays, "params", map, note, listed=False)[0]


def to_params(model: Layer | Task, *, note: Note = unnoted) -> dict[str, Any]:
    """Return the nested parameters of a model: those of ``nn.RNN(nn.LSTMCell(H))`` for one layer.

    Both directions of one layer are those of ``nn.Bidirectional``; several layers stand under ``lstm``, ``lstm_1``,
    ``embed``, ``dense`` and so on.

    Raises:
        SettingError: Flax has no such layer or argument; it is named.
    """
    return nested(_arrays(model, note)[0])


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is an npz whose names are those of Flax's gates."""
    return head.startswith(b"PK") and any(
        re.fullmatch(rf"(?:.*[/.])?{_GATE}[/.]kernel\.npy", n) for n in archive.names(path)
    )


def read(path: str, *, note: Note = unnoted, map: str | None = None) -> Layer:
    """Return the model of an npz of parameters. ``map``: see :func:`from_params`."""
    return build(_SYSTEM, archive.read_npz(path), path, map or recorded(path), note, listed=False)[0]


def write(model: Layer | Task, path: str, *, note: Note = unnoted) -> None:
    """Write a model's parameters to an npz, names joined with ``/``."""
    arrays, order = _arrays(model, note)
    archive.write_npz(path, arrays, f"{ORDER}={order}")


def describe(path: str) -> Description:
    """Return the arrays of the file."""
    return Description(tensor_table(archive.read_npz(path)))


def runner(path: str, *, ours: bool, map: str | None = None) -> Runner | None:
    """Return the cells of a file as Flax runs them."""
    from . import runners

    arrays = archive.read_npz(path)
    _, steps, places = build(_SYSTEM, arrays, path, map or recorded(path), unnoted, listed=False)
    return runners.flax(steps, places, arrays)


def _kinds(leaves: Leaves, arrays: Mapping[str, Array]) -> list[tuple[str, int | None, int]]:
    for kind, first, recurrent in (("LSTM", "ii", "hi"), ("GRU", "ir", "hr")):
        names = {re.split("[/.]", leaf)[0]: arrays[name].shape for leaf, name in leaves.items() if "kernel" in leaf}
        if first in names or recurrent in names:
            x, h = names.get(first, (0, 0)), names.get(recurrent, (0, 0))
            return [(kind, x[0] if len(x) == 2 else 0, h[1] if len(h) == 2 else 0)]
    if "embedding" in leaves and arrays[leaves["embedding"]].ndim == 2:
        return [("Embedding", None, arrays[leaves["embedding"]].shape[1])]
    if "kernel" in leaves and arrays[leaves["kernel"]].ndim == 2:
        shape = arrays[leaves["kernel"]].shape
        return [("Dense", shape[0], shape[1])]
    return []


def _cell(tensors: Tensors, leaves: Leaves, kind: str, features: int, hidden: int) -> CellWeights:
    by_path = {re.sub(r"[_/.]+", "/", leaf): name for leaf, name in leaves.items()}  # nnx says if_, some join with dots
    any_name = next(iter(leaves.values()))

    def take(gate: str, what: str, shape: tuple[int, ...]) -> Array:
        missing = re.sub(r"[^/.]+([/.])(kernel|bias)$", rf"{gate}\1{what}", any_name)
        return tensors.take(by_path.get(f"{gate}/{what}", missing), shape)

    order = _ORDERS[kind]
    w_x = np.concatenate([take(f"i{gate}", "kernel", (features, hidden)).T for gate in order])
    w_h = np.concatenate([take(f"h{gate}", "kernel", (hidden, hidden)).T for gate in order])
    side = "h" if kind == "LSTM" else "i"
    b = np.concatenate([take(side + gate, "bias", (hidden,)) for gate in order])
    b_hn = take("hn", "bias", (hidden,)) if kind == "GRU" else None
    w_x, w_h, b = (reorder(a, order, _OURS[kind]) for a in (w_x, w_h, b))
    return CellWeights(kind, w_x, w_h, b, b_hn)


_SYSTEM = System(_NAME, _kinds, _cell, {"Dense": ("kernel", "bias"), "Embedding": ("embedding", None)})


def _arrays(model: Layer | Task, note: Note) -> tuple[dict[str, Array], str]:
    """Return the arrays by name, and the order of the layers."""
    arrays: dict[str, Array] = {}
    named = placed(row_of(model, _TITLE, note), _TITLE, {"Embedding": "embed"}, note)
    for prefix, layer in named:
        if isinstance(layer, Embedding):
            arrays[prefix + "embedding"] = layer.parameters["w"]
        elif isinstance(layer, Dense):
            arrays[prefix + "kernel"] = layer.parameters["w"].T
            arrays[prefix + "bias"] = layer.parameters["b"]
        elif has_known_cell(layer):
            both = ("forward_rnn/", "backward_rnn/") if layer.bidirectional else ("",)
            cells = [(f"{prefix}{way}cell/", cell) for way, cell in zip(both, unstack(layer)[0], strict=True)]
            for start, cell in cells:
                arrays |= {start + name: value for name, value in _gates(cell).items()}
    return arrays, of_layers(named)


def _gates(cell: CellWeights) -> dict[str, Array]:
    if cell.kind == "GRU" and cell.b_hn is None:
        raise SettingError("error.interop.reset_before", format=_TITLE)
    order = _ORDERS[cell.kind]
    w_x, w_h, b = (np.split(reorder(a, _OURS[cell.kind], order), len(order)) for a in (cell.w_x, cell.w_h, cell.b))
    side = "h" if cell.kind == "LSTM" else "i"
    gates: dict[str, Array] = {}
    for gate, x, h, bias in zip(order, w_x, w_h, b, strict=True):
        gates |= {f"i{gate}/kernel": x.T, f"h{gate}/kernel": h.T, f"{side}{gate}/bias": bias}
    if cell.b_hn is not None:
        gates["hn/bias"] = cell.b_hn
    return gates
