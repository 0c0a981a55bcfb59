"""Equinox: cells with ``weight_ih`` (4H, F), ``weight_hh`` (4H, H) and one ``bias`` (4H,), blocks i f g o.

A GRUCell has blocks r z n and ``bias_n`` (H,) inside the reset gate's product: reset_after=True here. Linear layers
are ``weight`` (outputs, inputs) and ``bias``, an Embedding ``weight`` (tokens, K). The state is (h, c), as ours.
Equinox has no stacks and no directions: what stands before these names tells layers apart, ``forward`` and
``backward`` directions.
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

_TITLE = "Equinox"
_NAME = re.compile(r"(?:(?P<prefix>.*?)[/.])?(?P<leaf>weight_ih|weight_hh|bias_n|bias|weight)")
_ORDERS = {"LSTM": (LSTM_ORDERS["equinox"], LSTM_ORDERS["compuerta"]),
           "GRU": (GRU_ORDERS["equinox"], GRU_ORDERS["compuerta"])}  # fmt: skip


def from_arrays(arrays: Mapping[str, Any], *, map: str | None = None, note: Note = unnoted) -> Layer:
    """Return the layer of a cell's arrays, or of several cells' whose names begin differently; NumPy or JAX.

    ``map`` says the order of the layers where their shapes leave several; see ``pytorch.from_state_dict``.

    Raises:
        FileFormatError: a tensor is missing, unused, transposed or misshapen; it is named.
    """
    tensors = {name: np.asarray(value) for name, value in flattened(arrays).items()}
    return build(_SYSTEM, tensors, "arrays", map, note, listed=False)[0]


def from_module(module: Any, *, note: Note = unnoted) -> Layer:
    """Return the layer of a live LSTMCell, GRUCell, Linear or Embedding of Equinox."""
    leaves = ("weight_ih", "weight_hh", "bias_n", "bias", "weight")
    values = {leaf: getattr(module, leaf, None) for leaf in leaves}
    return from_arrays({leaf: value for leaf, value in values.items() if value is not None}, note=note)


def to_arrays(model: Layer | Task, *, note: Note = unnoted) -> dict[str, Any]:
    """Return a model's arrays, nested where there are several layers or directions.

    Raises:
        SettingError: Equinox has no such layer or argument; it is named.
    """
    return nested(_arrays(model, note)[0])


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is an npz with the names of Equinox's cells."""
    return head.startswith(b"PK") and any(
        re.fullmatch(r"(?:.*[/.])?weight_hh\.npy", name) for name in archive.names(path)
    )


def read(path: str, *, note: Note = unnoted, map: str | None = None) -> Layer:
    """Return the model of an npz of arrays. ``map``: see :func:`from_arrays`."""
    return build(_SYSTEM, archive.read_npz(path), path, map or recorded(path), note, listed=False)[0]


def write(model: Layer | Task, path: str, *, note: Note = unnoted) -> None:
    """Write a model's arrays to an npz, names joined with ``/``."""
    arrays, order = _arrays(model, note)
    archive.write_npz(path, arrays, f"{ORDER}={order}")


def describe(path: str) -> Description:
    """Return the arrays of the file."""
    return Description(tensor_table(archive.read_npz(path)))


def runner(path: str, *, ours: bool, map: str | None = None) -> Runner | None:
    """Return the cells of a file as Equinox runs them."""
    from . import runners

    arrays = archive.read_npz(path)
    _, steps, places = build(_SYSTEM, arrays, path, map or recorded(path), unnoted, listed=False)
    return runners.equinox(steps, places, arrays)


def _kinds(leaves: Leaves, arrays: Mapping[str, Array]) -> list[tuple[str, int | None, int]]:
    if "weight_hh" in leaves or "weight_ih" in leaves:
        shape = arrays[leaves["weight_hh"]].shape if "weight_hh" in leaves else ()
        x = arrays[leaves["weight_ih"]].shape if "weight_ih" in leaves else ()
        hidden = min(shape, default=0)  # the larger side stacks the blocks, however it is turned
        kind = "GRU" if max(shape, default=0) == 3 * hidden else "LSTM"
        takes = 0 if len(x) != 2 else x[1] if x[0] == max(shape, default=0) else x[0]
        return [(kind, takes, hidden)]
    if "weight" in leaves and arrays[leaves["weight"]].ndim == 2:
        rows, columns = arrays[leaves["weight"]].shape
        linear, table = ("Dense", columns, rows), ("Embedding", None, columns)
        if "bias" in leaves:
            return [linear]
        return [table] if "emb" in leaves["weight"].lower() else [linear, table]
    return []


def _cell(tensors: Tensors, leaves: Leaves, kind: str, features: int, hidden: int) -> CellWeights:
    any_name = next(iter(leaves.values()))
    start = any_name[: re.search(r"[^/.]*$", any_name).start()]  # type: ignore[union-attr]
    source, target = _ORDERS[kind]
    rows = len(source) * hidden
    w_x = tensors.take(start + "weight_ih", (rows, features))
    w_h = tensors.take(start + "weight_hh", (rows, hidden))
    b, b_n = np.zeros(rows, w_h.dtype), np.zeros(hidden, w_h.dtype)
    if "bias" in leaves:
        b = tensors.take(leaves["bias"], (rows,))
    if kind == "GRU" and ("bias" in leaves or "bias_n" in leaves):
        b_n = tensors.take(start + "bias_n", (hidden,))
    w_x, w_h, b = (reorder(a, source, target) for a in (w_x, w_h, b))
    return CellWeights(kind, w_x, w_h, b, b_n if kind == "GRU" else None)


_SYSTEM = System(
    _NAME, _kinds, _cell, {"Dense": ("weight", "bias"), "Embedding": ("weight", None)}, transposed=False
)  # fmt: skip


def _arrays(model: Layer | Task, note: Note) -> tuple[dict[str, Array], str]:
    """Return the arrays by name, and the order of the layers."""
    arrays: dict[str, Array] = {}
    named = placed(row_of(model, _TITLE, note), _TITLE, {"Dense": "linear"}, note)
    for prefix, layer in named:
        if isinstance(layer, Dense | Embedding):
            arrays |= {prefix + {"w": "weight", "b": "bias"}[name]: value for name, value in layer.parameters.items()}
            continue
        if not has_known_cell(layer):
            continue
        both = ("forward/", "backward/") if layer.bidirectional else ("",)
        for way, cell in zip(both, unstack(layer)[0], strict=True):
            if cell.kind == "GRU" and cell.b_hn is None:
                raise SettingError("error.interop.reset_before", format=_TITLE)
            target, source = _ORDERS[cell.kind]
            leaves = (("weight_ih", cell.w_x), ("weight_hh", cell.w_h), ("bias", cell.b))
            arrays |= {prefix + way + name: reorder(value, source, target) for name, value in leaves}
            if cell.b_hn is not None:
                arrays[prefix + way + "bias_n"] = cell.b_hn
    return arrays, of_layers(named)
