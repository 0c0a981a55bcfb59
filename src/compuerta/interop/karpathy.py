"""Karpathy's batched LSTM in NumPy (gist 587454dc0146a6ae21fc): one matrix ``WLSTM`` (1 + F + H, 4H).

Its first row is the bias, then come the rows of the inputs, then those of the state; blocks i f o g. Nothing in the
matrix says where F ends: H is a quarter of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from ..gates import LSTM
from ..layers import Layer
from ..tasks import Task
from . import archive
from .formats import Description, Note, Runner, tensor_table, unnoted
from .gate_orders import LSTM as ORDERS
from .gate_orders import reorder
from .weights import CellWeights, Tensors, has_known_cell, row_of, stack, unstack

Array = NDArray[Any]

_TITLE = "Karpathy's NumPy LSTM"
_SOURCE, _TARGET = ORDERS["karpathy"], ORDERS["compuerta"]
_NAME = "WLSTM"


def from_matrix(matrix: Any) -> Layer:
    """Return the LSTM of ``WLSTM`` (1 + F + H, 4H).

    Raises:
        FileFormatError: it has not that shape.
    """
    return _read({_NAME: np.asarray(matrix)}, "arrays")


def to_matrix(model: Layer | Task, *, note: Note = unnoted) -> Array:
    """Return ``WLSTM`` (1 + F + H, 4H) of an LSTM with one layer and one direction.

    Raises:
        SettingError: it is another layer, or has more than one.
    """
    layers = row_of(model, _TITLE, note)
    lstm = layers[0]
    if len(layers) != 1 or not has_known_cell(lstm, [LSTM]) or lstm.num_layers > 1 or lstm.bidirectional:
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=", ".join(repr(x) for x in layers))
    cell = unstack(lstm)[0][0]
    rows = np.concatenate((cell.b[:, None], cell.w_x, cell.w_h), axis=1)
    return reorder(rows, _TARGET, _SOURCE).T.copy()


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is an npz with ``WLSTM`` in it."""
    return head.startswith(b"PK") and f"{_NAME}.npy" in archive.names(path)


def read(path: str, *, note: Note = unnoted) -> Layer:
    """Return the LSTM of an npz that holds ``WLSTM``."""
    return _read(archive.read_npz(path), path)


def write(model: Layer | Task, path: str, *, note: Note = unnoted) -> None:
    """Write ``WLSTM`` to an npz."""
    archive.write_npz(path, {_NAME: to_matrix(model, note=note)})


def describe(path: str) -> Description:
    """Return the matrix of the file."""
    return Description(tensor_table(archive.read_npz(path)))


def runner(path: str, *, ours: bool) -> Runner | None:
    """Return None: the gist is no package."""
    return None


def _read(arrays: Mapping[str, Array], path: str) -> Layer:
    tensors = Tensors(path, arrays)
    matrix = tensors.take(_NAME, (None, None))
    hidden = matrix.shape[1] // 4
    if hidden == 0 or matrix.shape[1] % 4 or len(matrix) < hidden + 2:
        turned = len(matrix) % 4 == 0 and matrix.shape[1] >= len(matrix) // 4 + 2
        key = "error.interop.transposed" if turned else "error.file.tensor"
        raise tensors.refuse(key, name=_NAME, expected="(1 + F + H, 4H)", got=matrix.shape)
    tensors.refuse_unused()
    rows = reorder(matrix.T, _SOURCE, _TARGET)
    features = len(matrix) - 1 - hidden
    return stack([[CellWeights("LSTM", rows[:, 1 : 1 + features], rows[:, 1 + features :], rows[:, 0])]])
