"""PyTorch: a state_dict in memory, in safetensors, or in a ``.pt`` file that is read without running anything.

``weight_ih_l{k}`` (4H, F), ``weight_hh_l{k}`` (4H, H), ``bias_ih_l{k}``, ``bias_hh_l{k}``, ``_reverse`` for the second
direction; blocks i f g o, and r z n in a GRU. PyTorch adds two biases where we have one: they are summed on the way in,
and on the way out ``bias_hh`` is zero, but for a GRU's candidate, whose two biases are not added to the same sum.
With ``proj_size`` h is a product with ``weight_hr_l{k}`` (P, H), and ``weight_hh_l{k}`` is (4H, P).

A state_dict does not hold how its layers are connected, nor what has no weights: see
:mod:`compuerta.interop.layer_order`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files, gates
from ..errors import FileFormatError, Phrase, SettingError
from ..layers import Activation, Dense, Dropout, Embedding, Last, Layer
from ..tasks import Task
from . import torch_file
from .formats import Description, Note, Runner, tensor_table, unnoted
from .gate_orders import GRU as GRU_ORDERS
from .gate_orders import LSTM as LSTM_ORDERS
from .gate_orders import reorder
from .layer_order import ORDER, WEIGHTLESS, Part, Step, described, in_order
from .weights import CellWeights, Tensors, assemble, dense, embedding, has_known_cell, row_of, stack, unstack

Array = NDArray[Any]

_TITLE = "PyTorch"
_RECURRENT = re.compile(r"(?:(.*)\.)?(?:weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d{1,6})(?:_reverse)?)?")
_PLAIN = re.compile(r"(?:(.*)\.)?(?:weight|bias)")
#: Blocks of a cell by the rows of weight_hh for each of its columns.
_KINDS = {4: "LSTM", 3: "GRU"}
_ORDERS = {"LSTM": (LSTM_ORDERS["pytorch"], LSTM_ORDERS["compuerta"]),
           "GRU": (GRU_ORDERS["pytorch"], GRU_ORDERS["compuerta"])}  # fmt: skip


# ---- in memory ------------------------------------------------------------------------------------------------------


def from_state_dict(state_dict: Mapping[str, Any], *, map: str | None = None, note: Note = unnoted) -> Layer:
    """Return the layer of a state_dict: LSTM, GRU, Linear, Embedding, or several of them one above the other.

    Args:
        state_dict: names and values, NumPy arrays or tensors of PyTorch.
        map: the order of the layers where their shapes leave several, as ``"embedding,lstm,last,fc"``: names of the
            state_dict, with ``:Embedding`` or ``:Linear`` where that is open, and between them ``last`` (keep the last
            step), ``relu``, ``sigmoid``, ``softmax``, ``log_softmax`` or ``tanh``, which have no weights.
        note: called with what should be known, such as biases that were summed.

    Raises:
        FileFormatError: a tensor is missing, unused, transposed or misshapen (it is named), or no order fits.
        SettingError: ``map`` does not fit.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> shapes = {"weight_ih_l0": (20, 3), "weight_hh_l0": (20, 5), "bias_ih_l0": (20,), "bias_hh_l0": (20,)}
    >>> layer = from_state_dict({name: rng.normal(size=shape) for name, shape in shapes.items()})
    >>> layer.name, layer.input_size, layer.hidden_size
    ('LSTM', 3, 5)
    """
    arrays = {str(name): _as_numpy(value) for name, value in state_dict.items()}
    return _build(arrays, "state_dict", map, note, listed=True)[0]


def to_state_dict(model: Layer | Task, *, note: Note = unnoted) -> dict[str, Array]:
    """Return the state_dict of a model: arrays by PyTorch's names, in the order in which the layers run.

    A single layer's names have no prefix; several are called ``embedding``, ``lstm``, ``gru``, ``linear``, and
    ``lstm_1`` and so on where there are more of a kind.

    Raises:
        SettingError: PyTorch cannot express a layer or one of its arguments; it is named.
    """
    return _write(model, note)[0]


def from_module(module: Any, *, note: Note = unnoted) -> Layer:
    """Return the layer of a live module of PyTorch: an LSTM, GRU, or modules in the order in which they were made.

    Raises:
        SettingError: a module inside has no counterpart here; it is named.
        FileFormatError: as in :func:`from_state_dict`.
    """
    words, dropouts = [], {}
    leaves = [(name, part) for name, part in module.named_modules() if not list(part.children())]
    for name, part in leaves:
        kind = type(part).__name__
        if kind in ("LSTM", "GRU", "Linear", "Embedding"):
            words.append(f"{name or '.'}:{kind}")
            dropouts[name] = getattr(part, "dropout", 0.0)
        elif kind.lower() in Activation.KINDS and getattr(part, "dim", -1) in (-1, 2):
            words.append(kind.lower())
        elif kind not in ("Dropout", "Identity"):
            raise SettingError("error.interop.module", name=name or ".", got=kind)
    arrays = {name: _as_numpy(value) for name, value in module.state_dict().items()}
    return _build(arrays, "state_dict", ",".join(words), note, listed=True, dropouts=dropouts)[0]


def _as_numpy(value: Any) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


# ---- files ----------------------------------------------------------------------------------------------------------


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is one of torch.save's, or a safetensors file that is not our own."""
    if head[8:9] == b"{":
        metadata = files.metadata(path)
        return metadata is not None and files.KEY not in metadata
    return torch_file.recognise(path, head)


def read(path: str, *, note: Note = unnoted, map: str | None = None) -> Layer:
    """Return the model of a state_dict in a safetensors or ``.pt`` file. ``map``: see :func:`from_state_dict`."""
    return _read(path, map, note)[0]


def write(model: Layer | Task, path: str, *, note: Note = unnoted) -> None:
    """Write a model's state_dict as safetensors; ``safetensors.torch.load_file`` reads it in PyTorch.

    Raises:
        SettingError: see :func:`to_state_dict`; or the name says ``.pt``, which holds a pickle.
    """
    if path.lower().endswith((".pt", ".pth")):
        raise SettingError("error.interop.no_pickle", path=path)
    arrays, order = _write(model, note)
    files.write_plain(path, arrays, {ORDER: order})  # one entry: safetensors writes several in any order


def describe(path: str) -> Description:
    """Return the tensors of the state_dict."""
    arrays, metadata, _ = _open(path, unnoted)
    return Description(tensor_table(arrays), {"order": metadata[ORDER]} if ORDER in metadata else {})


def runner(path: str, *, ours: bool, map: str | None = None) -> Runner | None:
    """Return the state_dict in modules of PyTorch. One that we wrote is loaded by PyTorch's own function."""
    from . import runners

    _, steps, arrays = _read(path, map, unnoted)
    return runners.pytorch(steps, path if ours else arrays)


def _open(path: str, note: Note) -> tuple[dict[str, Array], dict[str, str], bool]:
    """Return a file's state_dict, its metadata, and whether its order means something."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[8:9] == b"{" or not torch_file.recognise(path, head):  # the length before it may begin as a pickle does
        return *files.read_tensors(path), False
    tree = torch_file.load(path, head)

    def is_state_dict(value: Any) -> bool:
        return isinstance(value, dict) and bool(value) and all(
            isinstance(k, str) and isinstance(v, np.ndarray) for k, v in value.items()
        )  # fmt: skip

    if not is_state_dict(tree):
        inner = [k for k, v in tree.items() if is_state_dict(v)] if isinstance(tree, dict) else []
        if len(inner) != 1:
            raise FileFormatError("error.interop.not_state_dict", path=path, found=", ".join(str(k) for k in inner)
                                  or Phrase("word.nothing"))  # fmt: skip
        note(Phrase("note.inner", name=inner[0]))
        tree = tree[inner[0]]
    return tree, {}, True


def _read(path: str, order: str | None, note: Note) -> tuple[Layer, list[Step], dict[str, Array]]:
    arrays, metadata, listed = _open(path, note)
    layer, steps = _build(arrays, path, order or metadata.get(ORDER), note, listed=listed)
    return layer, steps, arrays


# ---- from names to layers -------------------------------------------------------------------------------------------


@dataclass
class _Recurrent:
    """What the names of one LSTM or GRU say of its size."""

    kind: str
    layers: int
    directions: int
    hidden: int
    biased: bool
    cell: bool  # nn.LSTMCell, whose names have no _l0
    projected: int | None = None

    @property
    def out(self) -> int:
        """The width of h in one direction."""
        return self.hidden if self.projected is None else self.projected

    @property
    def rows(self) -> int:
        """Rows of its weights: H for each block."""
        return {"LSTM": 4, "GRU": 3}[self.kind] * self.hidden


def _build(
    arrays: dict[str, Array], path: str, order: str | None, note: Note, *, listed: bool,
    dropouts: Mapping[str, float] | None = None,
) -> tuple[Layer, list[Step]]:  # fmt: skip
    tensors = Tensors(path, arrays)
    recurrent: dict[str, _Recurrent] = {}
    candidates: dict[str, list[Part]] = {}
    for name, array in arrays.items():
        match = _RECURRENT.fullmatch(name)
        prefix = (match[1] or "") if match else None
        if prefix is not None and prefix not in recurrent:
            sizes = recurrent[prefix] = _sizes(tensors, prefix, arrays)
            end = "" if sizes.cell else "_l0"
            first = arrays.get(_join(prefix, "weight_ih" + end))
            takes = 0 if first is None or first.ndim != 2 else first.shape[first.shape[0] == sizes.rows]
            candidates[prefix] = [Part(prefix, sizes.kind, takes, sizes.directions * sizes.out)]
        plain = _PLAIN.fullmatch(name)
        if plain and name.endswith("weight") and array.ndim == 2:
            prefix, (rows, columns) = plain[1] or "", array.shape
            linear, table = Part(prefix, "Linear", columns, rows), Part(prefix, "Embedding", None, columns)
            if _join(prefix, "bias") in arrays:
                candidates[prefix] = [linear]
            else:  # the two are told apart by their names if at all
                candidates[prefix] = [table] if "emb" in prefix.lower() and order is None else [linear, table]
    if not candidates:
        tensors.refuse_unused()
        raise FileFormatError("error.interop.not_state_dict", path=path, found=Phrase("word.nothing"))
    _check_used(tensors, candidates, recurrent)
    steps = in_order(candidates, order, path, listed=listed)
    layers = [_layer(tensors, step, recurrent, (dropouts or {}), note) for step in steps]
    tensors.refuse_unused()
    if len(layers) > 1:
        note(Phrase("note.order", order=described(steps)))
    return assemble(layers, merge=False), steps


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _check_used(tensors: Tensors, candidates: Mapping[str, Any], recurrent: Mapping[str, Any]) -> None:
    """Name a tensor of no layer that we know before an order is looked for in which it has no place."""
    for name, array in tensors.unused.items():
        cell, plain = _RECURRENT.fullmatch(name), _PLAIN.fullmatch(name)
        known_name = cell is not None or (plain is not None and (plain[1] or "") in set(candidates) - set(recurrent))
        if not known_name:
            raise tensors.refuse("error.interop.unused", name=name, got=f"{array.dtype.name} {array.shape}")


def _sizes(tensors: Tensors, prefix: str, arrays: Mapping[str, Array]) -> _Recurrent:
    cell = _join(prefix, "weight_hh") in arrays
    end = "" if cell else "_l0"
    name = _join(prefix, "weight_hh" + end)
    if name not in arrays:
        raise tensors.refuse("error.file.tensor", name=name, expected="(4H, H), (3H, H)", got=Phrase("word.nothing"))
    shape = arrays[name].shape
    rows, hidden = shape if len(shape) == 2 else (0, 0)
    projection, projected = arrays.get(_join(prefix, "weight_hr" + end)), None
    if projection is None:
        kind = _KINDS.get(rows // hidden) if hidden and rows % hidden == 0 else None
    else:  # H stands in its columns alone
        kind, projected = "LSTM", hidden
        hidden = projection.shape[1] if projection.ndim == 2 else 0
        if not hidden or rows != len(_ORDERS[kind][0]) * hidden:
            turned = projection.ndim == 2 and rows == len(_ORDERS[kind][0]) * len(projection)
            key = "error.interop.transposed" if turned else "error.file.tensor"
            raise tensors.refuse(key, name=_join(prefix, "weight_hr" + end), expected=f"({projected}, {rows // 4})",
                                 got=projection.shape)  # fmt: skip
    if kind is None:
        if hidden and rows == hidden:
            raise tensors.refuse("error.interop.cannot", what="RNN", name=name)
        turned = rows and hidden % rows == 0 and hidden // rows in _KINDS
        key = "error.interop.transposed" if turned else "error.file.tensor"
        raise tensors.refuse(key, name=name, expected="(4H, H), (3H, H)", got=shape)
    layers = 1
    while not cell and f"{name[:-1]}{layers}" in arrays:
        layers += 1
    both = name + "_reverse" in arrays
    return _Recurrent(kind, layers, 1 + both, hidden, _join(prefix, "bias_ih" + end) in arrays, cell, projected)


def _layer(
    tensors: Tensors, step: Step, recurrent: Mapping[str, _Recurrent], dropouts: Mapping[str, float], note: Note
) -> Layer:
    if isinstance(step, str):
        return WEIGHTLESS[step]()
    if step.kind == "Embedding":
        return embedding(tensors.take(_join(step.name, "weight"), (None, step.gives)))
    if step.kind == "Linear":
        w = tensors.take(_join(step.name, "weight"), (step.gives, step.takes))
        bias = _join(step.name, "bias")
        return dense(w, tensors.take(bias, (step.gives,)) if bias in tensors.unused else None)
    sizes = recurrent[step.name]
    summed = False
    cells: list[list[CellWeights]] = []
    for k in range(sizes.layers):
        row = []
        for d in range(sizes.directions):
            end = "" if sizes.cell else f"_l{k}" + "_reverse" * d
            width = sizes.directions * sizes.out if k else None
            one, both = _cell(tensors, step.name, end, sizes, width)
            row.append(one)
            summed = summed or both
        cells.append(row)
    if summed:
        note(Phrase("note.summed", name=step.name or step.kind))
    layer = stack(cells)
    layer.dropout = float(dropouts.get(step.name, 0.0))
    return layer


def _cell(
    tensors: Tensors, prefix: str, end: str, sizes: _Recurrent, width: int | None
) -> tuple[CellWeights, bool]:  # fmt: skip
    """Return the weights of one direction of one layer, and whether two biases other than zero became one."""
    hidden = sizes.hidden
    rows = sizes.rows
    source, target = _ORDERS[sizes.kind]
    w_hh = tensors.take(_join(prefix, "weight_hh" + end), (rows, sizes.out))
    w_ih = tensors.take(_join(prefix, "weight_ih" + end), (rows, width))
    if sizes.biased:
        b_ih = tensors.take(_join(prefix, "bias_ih" + end), (rows,))
        b_hh = tensors.take(_join(prefix, "bias_hh" + end), (rows,))
    else:
        b_ih = b_hh = np.zeros(rows, w_hh.dtype)
    b_hn = None
    if sizes.kind == "GRU":  # its candidate's recurrent bias stands inside the reset gate's product
        b_hn = b_hh[2 * hidden :]
        b_hh = np.concatenate((b_hh[: 2 * hidden], np.zeros_like(b_hn)))
    both = bool(b_ih.any() and b_hh.any())
    b = b_ih + b_hh if b_hh.any() else b_ih  # adding zeros would lose the sign of −0
    w_ih, w_hh, b = (reorder(a, source, target) for a in (w_ih, w_hh, b))
    w_hr = None
    if sizes.projected is not None:
        w_hr = tensors.take(_join(prefix, "weight_hr" + end), (sizes.projected, hidden))
    return CellWeights(sizes.kind, w_ih, w_hh, b, b_hn, w_hr), both


# ---- from layers to names -------------------------------------------------------------------------------------------


def _write(model: Layer | Task, note: Note) -> tuple[dict[str, Array], str]:
    layers = row_of(model, _TITLE, note, holds=("reset_after", "projection_size"))
    arrays: dict[str, Array] = {}
    words: list[str] = []
    used: dict[str, int] = {}
    alone = sum(layer.parameters.size > 0 for layer in layers) == 1
    for layer in layers:
        if isinstance(layer, Last | Activation | Dropout):
            note(Phrase("note.weightless", name=repr(layer)))
            if isinstance(layer, Last):
                words.append("last" + "_both_ends" * layer.both_ends)
            elif isinstance(layer, Activation):
                words.append(layer.kind)
            continue
        if has_known_cell(layer) and layer.dropout:
            note(Phrase("note.weightless", name=f"{layer.name}: dropout={layer.dropout}"))
        kind = "Linear" if isinstance(layer, Dense) else layer.name
        base = kind.lower()
        prefix = "" if alone else base if base not in used else f"{base}_{used[base]}"
        used[base] = used.get(base, 0) + 1
        words.append(f"{prefix or '.'}:{kind}")
        for name, value in _arrays(layer).items():
            arrays[_join(prefix, name)] = value
    return arrays, ",".join(words)


def _arrays(layer: Layer) -> dict[str, Array]:
    p = layer.parameters
    if isinstance(layer, Embedding):
        return {"weight": p["w"].copy()}
    if isinstance(layer, Dense):
        return {"weight": p["w"].copy(), "bias": p["b"].copy()}
    if not has_known_cell(layer):
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=layer.name)
    if layer.kind == gates.GRU_RESET_BEFORE:
        raise SettingError("error.interop.reset_before", format=_TITLE)
    if layer.projection_size is not None and layer.projection_size >= layer.hidden_size:
        what = f"LSTM(hidden_size={layer.hidden_size}, projection_size={layer.projection_size})"
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=what)  # its proj_size is smaller
    target, source = _ORDERS[layer.kind.title]
    arrays = {}
    for k, row in enumerate(unstack(layer)):
        for d, cell in enumerate(row):
            end = f"_l{k}" + "_reverse" * d
            b_hh = np.zeros_like(cell.b)
            if cell.b_hn is not None:
                b_hh[2 * layer.hidden_size :] = cell.b_hn
            arrays["weight_ih" + end] = reorder(cell.w_x, source, target)
            arrays["weight_hh" + end] = reorder(cell.w_h, source, target)
            arrays["bias_ih" + end] = reorder(cell.b, source, target)
            arrays["bias_hh" + end] = b_hh
            if cell.w_hr is not None:
                arrays["weight_hr" + end] = cell.w_hr.copy()
    return arrays
