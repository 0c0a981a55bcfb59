"""Between files and layers: the weights of one cell in our order, stacks made of them and taken apart, models in a row.

An adapter turns the arrays of its system into :class:`CellWeights` and back, and knows nothing else of our layers.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .. import gates
from ..errors import FileFormatError, NotFiniteWarning, Phrase, SettingError
from ..gates import CellKind
from ..layers import GRU, LSTM, Blank, Dense, Embedding, Layer, Recurrent, Sequential
from ..tasks import Task
from ..tasks.base import network_of, task_of
from . import gate_orders

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class CellWeights:
    """One direction of one recurrent layer, blocks in our order (i f g o, or r z n), gates in rows.

    Attributes:
        kind: "LSTM" or "GRU", the title of the kind.
        w_x: (4H, F), or (3H, F) for a GRU.
        w_h: (4H, H), or (3H, H); (4H, P) with a projection.
        b: (4H,), or (3H,): all biases that are added to the same sum.
        b_hn: (H,), a GRU's bias inside the reset gate's product; None where that gate acts before the product.
        w_hr: (P, H), an LSTM's projection; None where h is what the output gate lets through.
    """

    kind: str
    w_x: Array
    w_h: Array
    b: Array
    b_hn: Array | None = None
    w_hr: Array | None = None

    @property
    def names(self) -> tuple[tuple[str, Array], ...]:
        """Our name of each parameter, without its place, and its value."""
        by_name = {"w_x": self.w_x, "w_h": self.w_h, "b": self.b, "b_hn": self.b_hn, "w_hr": self.w_hr}
        return tuple((name, value) for name, value in by_name.items() if value is not None)


def has_known_cell(layer: Any, kinds: Collection[CellKind] = (gates.LSTM, gates.GRU)) -> TypeGuard[LSTM | GRU]:
    """Whether this is a recurrent layer whose cell is of one of these kinds, whatever class it is of."""
    return isinstance(layer, Recurrent) and layer.kind.key in {kind.key for kind in kinds}


def stack(cells: Sequence[Sequence[CellWeights]], switches: Mapping[str, Any] = MappingProxyType({})) -> LSTM | GRU:
    """Return the layer of ``cells[layer][direction]``, with ``switches`` for what its cell does otherwise.

    Their shapes must fit together.

    Raises:
        SettingError: they do not.
    """
    first = cells[0][0]
    blocks = len(gate_orders.CELLS[first.kind]["compuerta"])
    hidden, out, width = len(first.b) // blocks, first.w_h.shape[1], first.w_x.shape[1]
    for k, row in enumerate(cells):
        for cell in row:
            expected: dict[str, tuple[int, ...]] = {
                "w_x": (blocks * hidden, width), "w_h": (blocks * hidden, hidden if first.w_hr is None else out),
                "b": (blocks * hidden,), "b_hn": (hidden,), "w_hr": (out, hidden),
            }  # fmt: skip
            fits = cell.kind == first.kind and len(row) == len(cells[0]) and len(cell.names) == len(first.names)
            for name, value in cell.names:
                if not fits or value.shape != expected[name]:
                    raise SettingError("error.interop.stack", place=k, name=name, expected=expected[name],
                                       got=value.shape)  # fmt: skip
        width = out * len(row)
    dtype = np.result_type(*(value.dtype for row in cells for cell in row for _, value in cell.names))
    more: dict[str, Any] = {**switches, "bidirectional": len(cells[0]) == 2, "dtype": dtype, "rng": Blank()}
    layer: LSTM | GRU
    if first.kind == "LSTM":
        layer = LSTM(
            first.w_x.shape[1], hidden, len(cells), projection_size=None if first.w_hr is None else out, **more
        )
    else:
        layer = GRU(first.w_x.shape[1], hidden, len(cells), reset_after=first.b_hn is not None, **more)
    for k, row in enumerate(cells):
        for d, cell in enumerate(row):
            for name, value in cell.names:
                layer.parameters[_place(name, k, d)] = value
    return layer


def unstack(layer: Recurrent) -> list[list[CellWeights]]:
    """Return a layer's weights as ``cells[layer][direction]``, as views."""
    kind = layer.kind.title
    p = layer.parameters

    def cell(k: int, d: int) -> CellWeights:
        w_x, w_h, b = (p[_place(name, k, d)] for name in ("w_x", "w_h", "b"))
        return CellWeights(kind, w_x, w_h, b, p.get(_place("b_hn", k, d)), p.get(_place("w_hr", k, d)))

    return [[cell(k, d) for d in range(layer.directions)] for k in range(layer.num_layers)]


def _place(name: str, layer: int, direction: int) -> str:
    return f"{name}_l{layer}" + "_reverse" * direction


def dense(w: Array, b: Array | None) -> Dense:
    """Return the Dense layer of ``w`` (outputs, inputs) and ``b`` (outputs,), zero if None."""
    layer = Dense(w.shape[1], w.shape[0], dtype=w.dtype, rng=Blank())
    layer.parameters["w"] = w
    if b is not None:
        layer.parameters["b"] = b
    return layer


def embedding(w: Array) -> Embedding:
    """Return the Embedding whose table is ``w`` (tokens, K)."""
    layer = Embedding(*w.shape, dtype=w.dtype, rng=Blank())
    layer.parameters["w"] = w
    return layer


# ---- models in a row ------------------------------------------------------------------------------------------------


def assemble(layers: Sequence[Layer], *, merge: bool) -> Layer:
    """Return layers that stand one above the other as one model; a single one stays what it is.

    With ``merge``, recurrent layers that could be one stack become one: systems without stacks write them apart.
    """
    row: list[Layer] = []
    for layer in layers:
        below = row[-1] if row else None
        if merge and has_known_cell(layer) and has_known_cell(below) and _stackable(below, layer):
            row[-1] = _stacked(below, layer)
        else:
            row.append(layer)
    return row[0] if len(row) == 1 else Sequential(*row)


#: Arguments in which two layers may differ that are to be one stack.
_OPEN = {"input_size", "num_layers", "tokens", "forget_bias", "chrono"}


def _stackable(below: LSTM | GRU, above: LSTM | GRU) -> bool:
    one, other = ({k: v for k, v in layer.config().items() if k not in _OPEN} for layer in (below, above))
    return type(below) is type(above) and one == other


def _stacked(below: LSTM | GRU, above: LSTM | GRU) -> LSTM | GRU:
    """Return one stack of two layers, with all their parameters, whatever their switches add to these."""
    config = {**below.config(), "num_layers": below.num_layers + above.num_layers, "rng": Blank()}
    result: LSTM | GRU = type(below)(**config)

    def names(layer: Recurrent, k: int, d: int) -> tuple[str, ...]:
        return layer.names(k, reverse=d == 1) + layer.state_names(k, reverse=d == 1)

    for first, layer in ((0, below), (below.num_layers, above)):
        for k in range(layer.num_layers):
            for d in range(layer.directions):
                for name, place in zip(names(layer, k, d), names(result, first + k, d), strict=True):
                    result.parameters[place] = layer.parameters[name]
    return result


#: Arguments of LSTM and GRU that every format holds, or that say only how a new layer begins.
_COMMON = {"input_size", "hidden_size", "num_layers", "bidirectional", "dropout", "dtype", "tokens", "forget_bias",
           "chrono", "rng"}  # fmt: skip


def row_of(
    model: Layer | Task,
    format: str,
    note: Callable[[Phrase], None],
    *,
    holds: Collection[str] = ("reset_after",),
) -> list[Layer]:
    """Return the layers of a model one above the other, for a format that holds layers only.

    A recurrent layer that reads token ids as one-hot vectors becomes an identity Embedding and a layer of features.

    Args:
        model: a layer, a Sequential however nested, or a task that is one network.
        format: the format's title, for errors.
        note: told what of the model does not go along.
        holds: arguments of LSTM and GRU, beyond the common ones, that the format can express.

    Raises:
        SettingError: the model, or an argument of one of its layers, has no place in the format.
        NotFittedError: the task has not been fitted.
    """
    network = network_of(model)
    if network is None:
        raise SettingError("error.interop.cannot_hold", format=format, what=type(model).__name__)
    if task_of(model) is not None:
        note(Phrase("note.task", name=type(model).__name__))
    return _row(network, format, note, holds)


def _row(model: Layer, format: str, note: Callable[[Phrase], None], holds: Collection[str]) -> list[Layer]:
    if isinstance(model, Sequential):
        return [part for layer in model.layers for part in _row(layer, format, note, holds)]
    if not has_known_cell(model):
        return [model]
    defaults = {k: p.default for k, p in inspect.signature(type(model)).parameters.items()}
    for name, value in model.config().items():
        if name not in _COMMON and name not in holds and value != defaults.get(name):
            raise SettingError("error.interop.cannot_hold", format=format, what=f"{model.name}({name}={value!r})")
    if not model.tokens:
        return [model]
    return [embedding(np.eye(model.input_size, dtype=model.dtype)), stack(unstack(model))]


def placed(
    layers: list[Layer], format: str, called: Mapping[str, str], note: Callable[[Phrase], None]
) -> list[tuple[str, Any]]:
    """Return the layers with the prefix of their names; stacks come apart into single layers.

    One layer alone has no prefix; several are called by their kind, with a number from the second on. Those without
    weights, of which the file holds nothing, stand among them.

    Raises:
        SettingError: a layer has no counterpart.
    """
    row: list[Layer] = []
    for layer in layers:
        if has_known_cell(layer):
            row += [stack([cells]) for cells in unstack(layer)]
            if layer.dropout:
                note(Phrase("note.weightless", name=f"{layer.name}: dropout={layer.dropout}"))
        elif layer.parameters.size == 0:
            note(Phrase("note.weightless", name=repr(layer)))
            row.append(layer)
        elif isinstance(layer, Dense | Embedding):
            row.append(layer)
        else:
            raise SettingError("error.interop.cannot_hold", format=format, what=layer.name)
    alone = sum(layer.parameters.size > 0 for layer in row) == 1
    used: dict[str, int] = {}
    result = []
    for layer in row:
        base = called.get(layer.name, layer.name.lower())
        result.append(("" if alone else f"{base}_{used[base]}/" if base in used else f"{base}/", layer))
        used[base] = used.get(base, 0) + 1
    return result


# ---- tensors of a file ----------------------------------------------------------------------------------------------


class Tensors:
    """The named tensors of a file, taken one by one: what is missing, misshapen, transposed or left over is named."""

    def __init__(self, path: str, tensors: Mapping[str, Array]) -> None:
        self.path = path
        self.unused = dict(tensors)

    def take(self, name: str, shape: tuple[int | None, ...]) -> Array:
        """Return one tensor, of a float dtype of ours; None in ``shape`` stands for any size.

        Raises:
            FileFormatError: it is not there, or not of this shape.
        """
        expected = "(" + ", ".join("·" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        if name not in self.unused:
            raise self.refuse("error.file.tensor", name=name, expected=expected, got=Phrase("word.nothing"))
        array = self.unused[name]
        if not _fits(array.shape, shape):
            key = "error.interop.transposed" if _fits(array.shape[::-1], shape) else "error.file.tensor"
            raise self.refuse(key, name=name, expected=expected, got=array.shape)
        if array.dtype.kind != "f":
            raise self.refuse("error.file.tensor", name=name, expected="float", got=array.dtype.name)
        del self.unused[name]
        if not np.isfinite(array).all():
            warnings.warn(NotFiniteWarning("warning.not_finite", path=self.path, name=name), stacklevel=2)
        return array.astype(np.float32 if array.dtype.itemsize < 4 else array.dtype.newbyteorder("="), copy=False)

    def refuse_unused(self) -> None:
        """Refuse a file of which not every tensor was taken.

        Raises:
            FileFormatError: one is left; it is named.
        """
        for name, array in self.unused.items():
            raise self.refuse("error.interop.unused", name=name, got=f"{array.dtype.name} {array.shape}")

    def refuse(self, key: str, **values: object) -> FileFormatError:
        """Return an error about this file."""
        return FileFormatError(key, path=self.path, **values)


def _fits(got: tuple[int, ...], shape: Iterable[int | None]) -> bool:
    sizes = tuple(shape)
    return len(got) == len(sizes) and all(n is None or n == m for n, m in zip(sizes, got, strict=True))
