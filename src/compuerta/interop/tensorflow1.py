"""TensorFlow 1's BasicLSTMCell (and LSTMCell without peepholes): ``kernel`` (F + H, 4H), ``bias`` (4H,).

Rows of the inputs stand before those of the state; blocks i j f o, j the candidate. ``forget_bias`` (1 if not said
otherwise) is added to f at run time and stored nowhere: it is added on the way in and subtracted on the way out, which
may turn the last bit of that bias. The state is (c, h), ours (h, c).

Variables of one layer end in ``kernel`` and ``bias``; ``cell_0``, ``cell_1`` ... in a name number the layers, and
``fw`` and ``bw`` the directions, as ``MultiRNNCell`` and ``bidirectional_dynamic_rnn`` name them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Phrase, SettingError
from ..gates import LSTM
from ..layers import Layer
from ..tasks import Task
from . import archive
from .formats import Description, Note, Runner, tensor_table, unnoted
from .gate_orders import LSTM as ORDERS
from .gate_orders import reorder
from .weights import CellWeights, Tensors, has_known_cell, row_of, stack, unstack

Array = NDArray[Any]

_TITLE = "TensorFlow 1 BasicLSTMCell"
_NAME = re.compile(r"(?P<prefix>(?:.*/)?)(?:kernel|bias)(?P<end>(?::0)?)")
_SOURCE, _TARGET = ORDERS["tensorflow1"], ORDERS["compuerta"]


def from_variables(
    variables: Mapping[str, Any], *, forget_bias: float = 1.0, note: Note = unnoted, path: str = "variables"
) -> Layer:
    """Return the LSTM of a cell's variables.

    Args:
        variables: names and arrays.
        forget_bias: what the cell was made with; TensorFlow stores it nowhere.
        note: told that it was added.
        path: the file, for messages.

    Raises:
        FileFormatError: a variable is missing, unused or misshapen; it is named.
    """
    tensors = Tensors(path, {str(name): np.asarray(value) for name, value in variables.items()})
    places: dict[tuple[int, int], tuple[str, str]] = {}
    for name, array in tensors.unused.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise tensors.refuse("error.interop.unused", name=name, got=f"{array.dtype.name} {array.shape}")
        layer = re.findall(r"cell_(\d{1,6})(?=/|$)", match["prefix"])
        place = int(layer[0]) if layer else 0, int(bool(re.search(r"(^|/|_)bw(/|_)", match["prefix"])))
        if places.setdefault(place, (match["prefix"], match["end"])) != (match["prefix"], match["end"]):
            raise tensors.refuse("error.interop.unused", name=name, got=f"{array.dtype.name} {array.shape}")
    directions = 1 + max((d for _, d in places), default=0)
    cells: list[list[CellWeights]] = []
    for k in range(max(1, len(places) // directions)):
        row = []
        for d in range(directions):
            prefix, end = places.get((k, d), (f"cell_{k}/{('fw', 'bw')[d]}/", ""))
            row.append(_cell(tensors, prefix, end, forget_bias))
        cells.append(row)
    tensors.refuse_unused()
    note(Phrase("note.forget_added", bias=f"{forget_bias:g}"))
    return stack(cells)


def to_variables(model: Layer | Task, *, forget_bias: float = 1.0, note: Note = unnoted) -> dict[str, Array]:
    """Return the variables of an LSTM, for cells made with ``forget_bias``.

    Raises:
        SettingError: it is no LSTM, or has an argument that TensorFlow 1's cell has not; it is named.
    """
    layers = row_of(model, _TITLE, note)
    if len(layers) != 1 or not has_known_cell(layers[0], [LSTM]):
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=", ".join(x.name for x in layers))
    layer, variables = layers[0], {}
    for k, row in enumerate(unstack(layer)):
        for d, cell in enumerate(row):
            prefix = f"multi_rnn_cell/cell_{k}/" if layer.num_layers > 1 else ""
            way = f"bidirectional_rnn/{('fw', 'bw')[d]}/" if layer.bidirectional else "rnn/"
            b = cell.b.copy()
            f = _TARGET.index("f") * layer.hidden_size
            b[f : f + layer.hidden_size] -= forget_bias
            kernel = np.concatenate((cell.w_x, cell.w_h), axis=1)
            base = f"{way}{prefix}basic_lstm_cell/"
            variables[base + "kernel"] = reorder(kernel, _TARGET, _SOURCE).T.copy()
            variables[base + "bias"] = reorder(b, _TARGET, _SOURCE)
    note(Phrase("note.forget_subtracted", bias=f"{forget_bias:g}"))
    return variables


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is an npz of kernels and biases of LSTM cells."""
    return head.startswith(b"PK") and any(
        re.fullmatch(r"(.*/)?(basic_)?lstm_cell/kernel(:0)?\.npy|kernel\.npy", name) for name in archive.names(path)
    )


def read(path: str, *, note: Note = unnoted, forget_bias: float = 1.0) -> Layer:
    """Return the LSTM of an npz of variables. ``forget_bias``: see :func:`from_variables`."""
    return from_variables(archive.read_npz(path), forget_bias=forget_bias, note=note, path=path)


def write(model: Layer | Task, path: str, *, note: Note = unnoted, forget_bias: float = 1.0) -> None:
    """Write an LSTM's variables to an npz. ``forget_bias``: see :func:`to_variables`."""
    archive.write_npz(path, to_variables(model, forget_bias=forget_bias, note=note))


def describe(path: str) -> Description:
    """Return the variables of the file."""
    return Description(tensor_table(archive.read_npz(path)))


def runner(path: str, *, ours: bool) -> Runner | None:
    """Return None: TensorFlow 1 runs on no Python that compuerta does."""
    return None


def _cell(tensors: Tensors, prefix: str, end: str, forget_bias: float) -> CellWeights:
    b = tensors.take(f"{prefix}bias{end}", (None,))
    if b.size % 4:
        raise tensors.refuse("error.file.tensor", name=f"{prefix}bias{end}", expected="(4H,)", got=b.shape)
    hidden = b.size // 4
    kernel = tensors.take(f"{prefix}kernel{end}", (None, b.size))
    if len(kernel) <= hidden:
        raise tensors.refuse("error.file.tensor", name=f"{prefix}kernel{end}", expected="(F + H, 4H)", got=kernel.shape)
    w = reorder(kernel.T, _SOURCE, _TARGET)
    b = reorder(b, _SOURCE, _TARGET)
    f = _TARGET.index("f") * hidden
    b[f : f + hidden] += forget_bias
    features = len(kernel) - hidden
    return CellWeights("LSTM", w[:, :features], w[:, features:], b)
