"""A graph of others as our layers: every node is followed, in order, or refused by name.

The operators that carry weights become layers (LSTM, GRU; Gather of a table; MatMul and Add, Gemm); those around them
(Transpose, Reshape, Squeeze, Slice, Concat ...) are followed exactly, see :mod:`.values`. What the layers of the output
do not use, and what they cannot express, is refused: nothing is dropped silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CompuertaError, FileFormatError, Phrase
from ...layers import GRU, LSTM, Activation, Blank, Embedding, Last, Layer
from .. import orders
from ..weights import dense, embedding
from .cells import cell_from_onnx, switches
from .document import Document, array
from .operators import DIRECTIONS, functions_of
from .values import Atom, Data, Dims, Final, Given, Group, Unfit, Value, Zeros, dims, ints, product, regroup, size_of

Array = NDArray[Any]

_ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softmax": "softmax",
                "LogSoftmax": "log_softmax"}  # fmt: skip
_FAR = 2**31 - 1
#: What a graph may make of its own while it is read: bytes of constants, numbers of a shape, axes of a value, layers.
_MOST_BYTES, _MOST_NUMBERS, _MOST_AXES, _MOST_LAYERS = 2**25, 64, 8, 1000


@dataclass(eq=False)
class Reading:
    """What a graph turned out to be.

    Attributes:
        layers: one above the other, each operator a layer.
        source: the input that the first reads, and ``axes``, what its axes are: "time", "batch", "features".
        output: the output that the last gives, and ``shape``, its axes.
        states: for each part of the state, the inputs that give it, each with how many operators it is for.
        finals: the same for the outputs.
        lengths: the input that gives the rows' lengths, or None.
        fixed: numbers of steps or rows that the file insists on.
    """

    layers: list[Layer] = field(default_factory=list)
    source: str = ""
    axes: tuple[str, ...] = ()
    output: str = ""
    shape: tuple[str, ...] = ()
    states: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    finals: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    lengths: str | None = None


def read_graph(document: Document) -> Reading:
    """Return the layers of a graph.

    Raises:
        FileFormatError: a node, an attribute or the way they are joined is none that our layers have; it is named.
    """
    return _Reader(document).read()


@dataclass(frozen=True, eq=False)
class _Cell:
    """An operator with a state: what it starts from, and the node's name."""

    layer: LSTM | GRU
    node: str
    initial: tuple[Value, ...]


class _Node:
    """A node with its inputs looked up; attributes are taken one by one, and one left over is refused."""

    def __init__(self, proto: Any, inputs: list[Value], document: Document) -> None:
        from onnx import helper

        self.op, self.inputs, self.outputs = proto.op_type, inputs, list(proto.output)
        self.name = f"{proto.op_type} {proto.name or ', '.join(proto.output)}"
        self._left = {}
        for attribute in proto.attribute:
            value = helper.get_attribute_value(attribute)
            if attribute.type == attribute.TENSOR:
                value = array(value, document.path)
            elif attribute.type == attribute.STRING:
                value = value.decode("utf-8", "replace")
            elif attribute.type == attribute.STRINGS:
                value = [one.decode("utf-8", "replace") for one in value]
            elif attribute.type not in (attribute.INT, attribute.FLOAT, attribute.INTS, attribute.FLOATS):
                raise Refusal(Phrase("why.onnx.attribute", name=attribute.name))
            self._left[attribute.name] = value

    def attribute(self, name: str, default: Any = None) -> Any:
        value = self._left.pop(name, default)
        return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, np.ndarray, list)) else value

    def done(self) -> None:
        for name in self._left:
            raise Refusal(Phrase("why.onnx.attribute", name=name))

    def __getitem__(self, k: int) -> Value:
        return self.inputs[k] if k < len(self.inputs) else None

    def data(self, k: int = 0) -> Data:
        value = self[k]
        if not isinstance(value, Data):
            raise Unfit
        return value

    def constant(self, k: int) -> Array:
        value = self[k]
        if not isinstance(value, np.ndarray):
            raise Unfit
        return value


class Refusal(Exception):
    """Why a node is refused."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why)
        self.why = why


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.graph = document.proto.graph
        self.values: dict[str, Value] = {"": None, **document.tensors}
        self.cells: list[_Cell] = []
        self.made: dict[Layer, str] = {}
        self.time: Group | None = None
        self.batch: Group | None = None
        self.lengths: str | None = None
        self.sized: dict[str, tuple[Group, ...]] = {}
        self.bytes = 0

    # ---- the whole ----------------------------------------------------------------------------------------------

    def read(self) -> Reading:
        refuse = self.document.refuse
        for entry in self.graph.input:
            if entry.name not in self.values:
                self._input(entry)
        for proto in self.graph.node:
            name = f"{proto.op_type} {proto.name or ', '.join(proto.output)}"
            for needed in proto.input:
                if needed not in self.values:
                    raise refuse("error.onnx.order", node=name, name=needed)
            for made in proto.output:
                if made and made in self.values:
                    raise refuse("error.onnx.twice", name=made)
            handler = _HANDLERS.get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
            if handler is None:
                raise refuse("error.onnx.operator", node=name, domain=proto.domain or "ai.onnx")
            try:
                node = _Node(proto, [self.values[k] for k in proto.input], self.document)
                found = handler(self, node)
                node.done()
            except Refusal as error:
                raise refuse("error.onnx.node", node=name, why=error.why) from None
            except FileFormatError:
                raise
            except (Unfit, CompuertaError, ValueError, IndexError, TypeError, KeyError) as error:
                why = Phrase("why.onnx.around") if isinstance(error, Unfit) else str(error)
                raise refuse("error.onnx.node", node=name, why=why) from None
            outputs = found if isinstance(found, tuple) else (found,)
            if any(_too_large(value) for value in outputs) or len(self.made) > _MOST_LAYERS:
                raise refuse("error.onnx.node", node=name, why=Phrase("why.onnx.large"))
            for k, made in enumerate(proto.output):
                if made:
                    if k >= len(outputs):
                        raise refuse("error.onnx.node", node=name, why=Phrase("why.onnx.output", name=made))
                    self.values[made] = outputs[k]
        return self._result()

    def _room(self, count: int) -> None:
        """Refuse to make constants without end."""
        self.bytes += 8 * count
        if self.bytes > _MOST_BYTES:
            raise Refusal(Phrase("why.onnx.large"))

    def _input(self, entry: Any) -> None:
        shape = entry.type.tensor_type.shape.dim
        atoms = tuple(Atom(d.dim_param or f"{entry.name}.{k}", d.dim_value or None) for k, d in enumerate(shape))
        groups = tuple((atom,) for atom in atoms)
        self.sized[entry.name] = groups
        self.values[entry.name] = Data((), groups, groups[-1] if groups else (), entry.name)

    def _result(self) -> Reading:
        refuse = self.document.refuse
        outputs = [entry.name for entry in self.graph.output]
        found = {name: self.values.get(name) for name in outputs}
        mains = [name for name, v in found.items() if isinstance(v, Data) and not v.final]
        mains = mains or [name for name, v in found.items() if isinstance(v, Data)][:1]
        if len(mains) != 1 or len(found) != len(outputs):
            raise refuse("error.onnx.outputs", got=", ".join(outputs))
        main = found.pop(mains[0])
        assert isinstance(main, Data)
        read = {name for node in self.graph.node for name in node.input} | set(outputs)
        for name in (*self.document.tensors, *self.sized):
            if name not in read:
                tensor = self.document.tensors.get(name)
                got = "-" if tensor is None else f"{tensor.dtype.name} {tensor.shape}"
                raise refuse("error.interop.unused", name=name, got=got)
        if main.half:
            raise refuse("error.onnx.outputs", got=", ".join(outputs))
        for layer, node in self.made.items():
            if layer not in main.layers:
                raise refuse("error.onnx.unused", node=node)
        if not main.layers:
            raise refuse("error.onnx.outputs", got=", ".join(outputs))
        kept = [cell.layer for cell in self.cells]
        if kept != [layer for layer in main.layers if layer in kept]:
            raise refuse("error.onnx.outputs", got=", ".join(outputs))
        reading = Reading(list(main.layers), main.source, self._axes(self.sized[main.source]), mains[0],
                          lengths=self.lengths)  # fmt: skip
        if any(layer for layer in main.layers if isinstance(layer, Last)):
            groups = [group for group in main.groups if group != self.time]
        else:
            groups = list(main.groups)
        reading.shape = self._axes(tuple(groups), main.features)
        self._states(reading)
        self._finals(reading, found)
        return reading

    def _axes(self, groups: tuple[Group, ...], features: Group | None = None) -> tuple[str, ...]:
        """Name axes. One that is neither steps nor rows holds the features."""
        named = []
        for group in groups:
            if group == self.time and self.time:
                named.append("time")
            elif group == self.batch and self.batch:
                named.append("batch")
            elif features is None or group == features:
                named.append("features")
            else:
                named.append("one")
        if len(set(named) - {"one"}) != len([n for n in named if n != "one"]):
            raise self.document.refuse("error.onnx.outputs", got=", ".join(named))
        return tuple(named)

    def _states(self, reading: Reading) -> None:
        """Find out which inputs give the initial states, and that each operator gets its own."""
        for k, part in enumerate("hc"):
            cells = [cell for cell in self.cells if part in cell.layer.parts]
            if all(isinstance(cell.initial[k], Zeros) for cell in cells):
                continue
            inputs: list[tuple[str, int]] = []
            at = 0
            for cell in cells:
                value, d = cell.initial[k], cell.layer.directions
                if not isinstance(value, Given) or value.count not in (None, d):
                    raise self.document.refuse("error.onnx.state", node=cell.node, part=part)
                if inputs and inputs[-1][0] == value.name:
                    at += d
                    inputs[-1] = (value.name, inputs[-1][1] + 1)
                else:
                    at = 0
                    inputs.append((value.name, 1))
                if value.start != at:
                    raise self.document.refuse("error.onnx.state", node=cell.node, part=part)
            if len({name for name, _ in inputs}) != len(inputs):
                raise self.document.refuse("error.onnx.state", node=cells[0].node, part=part)
            reading.states[part] = inputs

    def _finals(self, reading: Reading, outputs: dict[str, Value]) -> None:
        """Find out which outputs give the final states."""
        for name, value in outputs.items():
            cells = value.cells if isinstance(value, Final) else value.final if isinstance(value, Data) else ()
            parts = {part for _, part in cells}
            if len(parts) != 1:
                raise self.document.refuse("error.onnx.outputs", got=name)
            part = parts.pop()
            known = reading.finals.setdefault(part, [])
            first = sum(count for _, count in known)
            having = [k for k, cell in enumerate(self.cells) if part in cell.layer.parts]
            if [cell for cell, _ in cells] != having[first : first + len(cells)]:
                raise self.document.refuse("error.onnx.outputs", got=name)
            known.append((name, len(cells)))

    # ---- operators with a state ---------------------------------------------------------------------------------

    def cell(self, node: _Node) -> tuple[Value, ...]:
        x, kind = node.data(), node.op
        w, r = node.constant(1), node.constant(2)
        b = None if node[3] is None else node.constant(3)
        direction = node.attribute("direction", "forward")
        if direction not in DIRECTIONS:
            raise Refusal(Phrase("why.onnx.value", name="direction", got=repr(direction)))
        if direction == "reverse":
            raise Refusal(Phrase("why.onnx.reverse"))
        d = len(DIRECTIONS[direction])
        layout = node.attribute("layout", 0)
        first, second = x.groups[:2]
        time, batch = (first, second) if layout == 0 else (second, first)
        if self.time is None:
            self.time, self.batch = time, batch
        if len(x.groups) != 3 or x.groups[2] != x.features or (time, batch) != (self.time, self.batch) or not time:
            raise Unfit
        if x.half:
            raise Unfit
        self._lengths(node)
        p = None if kind == "GRU" or node[7] is None else node.constant(7)
        hidden, features = node.attribute("hidden_size", r.shape[-1]), w.shape[-1]
        rows = len({"LSTM": orders.LSTM, "GRU": orders.GRU}[kind]["onnx"]) * hidden
        wanted = {"W": (w, (d, rows, features)), "R": (r, (d, rows, hidden)), "B": (b, (d, 2 * rows)),
                  "P": (p, (d, 3 * hidden))}  # fmt: skip
        for name, (given, shape) in wanted.items():
            if given is not None and (given.shape != shape or given.dtype.kind != "f"):
                raise Refusal(Phrase("why.onnx.shape", name=name, expected=shape, got=given.shape))
        layer = self._layer(node, kind, d, w, r)
        if size_of(x.features) not in (None, layer.input_size):
            raise Refusal(Phrase("why.onnx.shape", name="X", expected=layer.input_size, got=size_of(x.features)))
        for k in range(d):
            found = cell_from_onnx(layer, w[k], r[k], None if b is None else b[k], None if p is None else p[k])
            for name, value in found.items():
                layer.parameters[f"{name}_l0" + "_reverse" * k] = value
        parts = "hc"[: 2 if kind == "LSTM" else 1]
        at = len(self.cells)
        self.cells.append(_Cell(layer, node.name, tuple(self._initial(node[5 + k], d) for k in range(len(parts)))))
        self.made[layer] = node.name
        directions: Group = (Atom("D", 2),) if d == 2 else ()
        units: Group = (Atom("H", hidden),)
        features = directions + units
        y = (time, directions, batch, units) if layout == 0 else (batch, time, directions, units)
        state = (directions, batch, units) if layout == 0 else (batch, directions, units)
        passed = (*x.layers, layer)
        sequence = Data(passed, y, features, x.source)
        last = Last(dtype=layer.dtype, both_ends=d == 2)
        final = Data((*passed, last), state, features, x.source, final=((at, "h"),))
        return sequence, final, Final(((at, "c"),))

    def _layer(self, node: _Node, kind: str, d: int, w: Array, r: Array) -> LSTM | GRU:
        """Return the layer of an operator, its weights still blank."""
        plain = ("Sigmoid", "Tanh", "Tanh")[: 3 if kind == "LSTM" else 2]
        names = (node.attribute(f"activation{end}") for end in ("s", "_alpha", "_beta"))
        functions = functions_of(kind, plain, d, *names)
        clip = node.attribute("clip")
        sizes: dict[str, Any] = {"input_size": w.shape[2], "hidden_size": r.shape[2], "bidirectional": d == 2,
                                 "dtype": w.dtype, "rng": Blank()}  # fmt: skip
        if any(each != functions[0] for each in functions):
            raise Refusal(Phrase("why.onnx.directions"))
        if kind == "GRU":
            if clip is not None:
                raise Refusal(Phrase("why.onnx.attribute", name="clip"))
            if functions[0] != functions_of(kind, plain, 1)[0]:
                raise Refusal(Phrase("why.onnx.attribute", name="activations"))
            return GRU(**sizes, reset_after=bool(node.attribute("linear_before_reset", 0)))
        coupled = node.attribute("input_forget", 0)
        if coupled not in (0, 1):
            raise Refusal(Phrase("why.onnx.value", name="input_forget", got=coupled))
        changes = switches(functions[0], peepholes=node[7] is not None, coupled=bool(coupled), clip=clip)
        return LSTM(**sizes, **changes)

    def _lengths(self, node: _Node) -> None:
        value = node[4]
        name = None
        if value is not None:
            if not isinstance(value, Data) or value.layers:
                raise Unfit
            name = value.source
        if self.cells and name != self.lengths:
            raise Refusal(Phrase("why.onnx.lengths"))
        self.lengths = name

    def _initial(self, value: Value, d: int) -> Value:
        if value is None or isinstance(value, Zeros) or (isinstance(value, np.ndarray) and not value.any()):
            return Zeros()
        if isinstance(value, Data) and not value.layers and not value.final:
            return Given(value.source)
        if isinstance(value, Given):
            return value
        raise Refusal(Phrase("why.onnx.state"))

    # ---- layers without a state ---------------------------------------------------------------------------------

    def _grown(self, x: Data, layer: Layer, width: int, node: _Node, *, open: bool = False) -> Data:
        """The value after a layer that turns features into ``width`` others."""
        atoms: Group = (Atom(layer.name, width),)
        self.made[layer] = node.name
        return x.but(layers=(*x.layers, layer), groups=(*x.groups[:-1], atoms), features=atoms, final=(), half=None,
                     open=open)  # fmt: skip

    def _features_last(self, x: Data, width: int) -> None:
        if not x.groups or x.groups[-1] != x.features or size_of(x.features) not in (None, width) or x.half:
            raise Unfit

    def matmul(self, node: _Node) -> Value:
        x, w = node.data(), node.constant(1)
        if w.ndim != 2:
            raise Unfit
        self._features_last(x, w.shape[0])
        return self._grown(x, dense(_float(w.T), None), w.shape[1], node, open=True)

    def gemm(self, node: _Node) -> Value:
        x, w = node.data(), node.constant(1)
        for name in ("alpha", "beta"):
            if (value := node.attribute(name, 1.0)) != 1.0:
                raise Refusal(Phrase("why.onnx.value", name=name, got=value))
        if node.attribute("transA", 0) or w.ndim != 2 or len(x.groups) != 2:
            raise Unfit
        w = w if node.attribute("transB", 0) else w.T
        self._features_last(x, w.shape[1])
        b = None if node[2] is None else _bias(node.constant(2), len(w))
        return self._grown(x, dense(_float(w), b), len(w), node)

    def add(self, node: _Node) -> Value:
        x, b = (node[0], node[1]) if isinstance(node[0], Data) else (node[1], node[0])
        if not isinstance(x, Data) or not x.open or not isinstance(b, np.ndarray):
            raise Unfit
        below = x.layers[-1]
        layer = dense(below.parameters["w"], _bias(b, len(below.parameters["w"])))
        self.made[layer] = self.made.pop(below)
        return x.but(layers=(*x.layers[:-1], layer))

    def activation(self, node: _Node) -> Value:
        x = node.data()
        if node.op in ("Softmax", "LogSoftmax"):
            axis = node.attribute("axis", -1 if self.document.opset >= 13 else 1)
            if axis not in (-1, len(x.groups) - 1):
                raise Refusal(Phrase("why.onnx.value", name="axis", got=axis))
        if not x.layers or x.groups[-1] != x.features or x.half:
            raise Unfit
        dtype = next(layer.parameters.dtype for layer in reversed(x.layers) if layer.parameters.size)
        layer = Activation(_ACTIVATIONS[node.op], dtype=dtype)
        self.made[layer] = node.name
        return x.but(layers=(*x.layers, layer), final=())

    def gather(self, node: _Node) -> Value:
        axis, index = node.attribute("axis", 0), node[1]
        table = node[0]
        if isinstance(table, np.ndarray) and isinstance(index, Data):
            if table.ndim != 2 or axis not in (0, -2) or index.layers or table.dtype.kind != "f":
                raise Unfit
            layer: Embedding = embedding(_float(table))
            x = index.but(groups=(*index.groups, ()))
            return self._grown(x, layer, table.shape[1], node)
        at = ints(index)
        scalar = dims(index).scalar
        if isinstance(table, Dims):
            chosen = tuple(table.entries[k] for k in at)
            return Dims(chosen, scalar)
        if isinstance(table, np.ndarray):
            self._room(len(at) * table.size)
            return np.take(table, at[0] if scalar else at, axis)
        if len(at) != 1:
            raise Unfit
        found = self._row(table, at[0], axis)
        if not scalar:
            axis %= len(found.groups) + 1
            found = found.but(groups=(*found.groups[:axis], (), *found.groups[axis:]))
        return found

    def _row(self, value: Value, at: int, axis: int) -> Data:
        """One place along an axis: the last step, or one direction of a final state."""
        if isinstance(value, Final):
            if axis != 0:
                raise Unfit
            rows = [(data, k) for data in value.data for k in range(2 if data.groups[0] else 1)]
            data, k = rows[at]
            return self._row(data, k, 0)
        if not isinstance(value, Data):
            raise Unfit
        axis %= len(value.groups)
        group, rest = value.groups[axis], (*value.groups[:axis], *value.groups[axis + 1 :])
        if value.final and not group and at in (0, -1):
            return value.but(groups=rest, final=())
        if group and (*group, *value.features[1:]) == value.features and len(value.features) == 2:
            whole = value.but(groups=rest, final=())
            return whole.but(features=value.features[1:], half=(whole, range(2)[at]))
        if group and group == self.time and at in (-1, (size_of(group) or 0) - 1) and value.layers:
            if self.lengths is not None:
                raise Refusal(Phrase("why.onnx.last"))
            dtype = next(layer.parameters.dtype for layer in reversed(value.layers) if layer.parameters.size)
            return value.but(layers=(*value.layers, Last(dtype=dtype)), groups=rest)
        raise Unfit

    # ---- what stands around ---------------------------------------------------------------------------------------

    def same(self, node: _Node) -> Value:
        value = node[0]
        if node.op == "Cast":
            node.attribute("saturate")
            to = node.attribute("to")
            kinds = {1: "f", 11: "f", 10: "f", 6: "i", 7: "i"}
            if isinstance(value, np.ndarray) and to in kinds:
                self._room(value.size)
                return value.astype({1: np.float32, 11: np.float64, 10: np.float16, 6: np.int32, 7: np.int64}[to])
            known = "i" if isinstance(value, Dims) or (isinstance(value, Data) and not value.layers) else "f"
            if kinds.get(to) != known:
                raise Refusal(Phrase("why.onnx.value", name="to", got=to))
        if node.op == "Dropout":
            node.attribute("ratio"), node.attribute("seed")
            if node[2] is not None and np.any(node.constant(2)):
                raise Refusal(Phrase("why.onnx.value", name="training_mode", got=True))
        return value

    def constant(self, node: _Node) -> Value:
        value = node.attribute("value")
        for name, kind in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32),
                           ("value_floats", np.float32)):  # fmt: skip
            other = node.attribute(name)
            value = np.array(other, kind) if other is not None else value
        if value is None:
            raise Unfit
        return np.asarray(value)

    def shape(self, node: _Node) -> Value:
        start, end = node.attribute("start", 0), node.attribute("end")
        return Dims(tuple(node.data().groups)[slice(start, end)])

    def reshape(self, node: _Node) -> Value:
        value, target = node[0], dims(node[1]).entries
        if node.attribute("allowzero", 0) and 0 in target:
            raise Refusal(Phrase("why.onnx.value", name="allowzero", got=1))
        if isinstance(value, np.ndarray):
            return value.reshape(ints(node[1]))
        if isinstance(value, Zeros):
            return value
        if isinstance(value, Dims):
            if len(target) > 1 or (target and target[0] not in (-1, len(value.entries))):
                raise Unfit
            return Dims(value.entries, not target)
        x = node.data()
        groups = regroup(x.groups, target)
        return x.but(groups=groups, final=(), open=x.open and groups[-1:] == (x.features,))

    def transpose(self, node: _Node) -> Value:
        value, perm = node[0], node.attribute("perm")
        if isinstance(value, np.ndarray):
            return value.transpose(perm)
        x = node.data()
        perm = list(reversed(range(len(x.groups)))) if perm is None else perm
        if sorted(perm) != list(range(len(x.groups))):
            raise Unfit
        return x.but(groups=tuple(x.groups[k] for k in perm), final=())

    def squeeze(self, node: _Node) -> Value:
        value, axes = node[0], node.attribute("axes")
        axes = ints(node[1]) if node[1] is not None else axes
        if isinstance(value, Dims):
            if len(value.entries) != 1:
                raise Unfit
            return Dims(value.entries, True)
        if isinstance(value, np.ndarray):
            return value.squeeze(None if axes is None else tuple(axes))
        if isinstance(value, Zeros):
            return value
        if axes is None:
            raise Unfit
        x = node.data()
        dropped = {axis % len(x.groups) for axis in axes}
        if any(size_of(x.groups[k]) != 1 for k in dropped):
            raise Unfit
        groups = tuple(group for k, group in enumerate(x.groups) if k not in dropped)
        return x.but(groups=groups, final=() if 0 in dropped else x.final)

    def unsqueeze(self, node: _Node) -> Value:
        value, axes = node[0], node.attribute("axes")
        axes = ints(node[1]) if node[1] is not None else axes
        if isinstance(value, Dims):
            if not value.scalar or axes != [0]:
                raise Unfit
            return Dims(value.entries)
        if isinstance(value, np.ndarray):
            return np.expand_dims(value, tuple(axes))
        if isinstance(value, Zeros):
            return value
        x = node.data()
        groups = list(x.groups)
        rank = len(groups) + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            groups.insert(axis, ())
        return x.but(groups=tuple(groups), final=())

    def slice(self, node: _Node) -> Value:
        value = node[0]
        starts, ends, axes = (node.attribute(name) for name in ("starts", "ends", "axes"))
        if node[1] is not None:
            starts, ends = ints(node[1]), ints(node[2])
            axes = None if node[3] is None else ints(node[3])
        axes = list(range(len(starts))) if axes is None else axes
        steps = [1] * len(starts) if node[4] is None else ints(node[4])
        if isinstance(value, Zeros):
            return value
        if len(starts) != 1 or len(ends) != 1 or len(axes) != 1 or steps != [1]:
            raise Unfit
        start, end, axis = starts[0], ends[0], axes[0]
        if isinstance(value, Dims) and axis == 0:
            return Dims(value.entries[start:end])
        if isinstance(value, np.ndarray):
            part: Array = value[(slice(None),) * (axis % value.ndim) + (slice(start, end),)]
            return part
        if isinstance(value, Data) and not value.layers and axis == 0 and start >= 0:
            total = size_of(value.groups[0])
            stop = end if end < _FAR else total
            if stop is None or stop < 0:
                raise Unfit
            return Given(value.source, start, stop - start)
        count = None
        if isinstance(value, Final) and axis == 0:
            count = sum(2 if data.groups[0] else 1 for data in value.data)
        elif isinstance(value, Data):
            axis %= len(value.groups)
            count = size_of(value.groups[axis])
            if start == 0 and (end >= _FAR or end == count):
                return value
        if start == -1 and (end >= _FAR or end == count):
            pass
        elif count is None or (end - start != 1 and not (end >= _FAR and start == count - 1)):
            raise Unfit
        row = self._row(value, start, axis)
        return row.but(groups=(*row.groups[:axis], (), *row.groups[axis:]))

    def concat(self, node: _Node) -> Value:
        axis, inputs = node.attribute("axis"), node.inputs
        if all(isinstance(v, (Dims, np.ndarray)) for v in inputs):
            if all(isinstance(v, np.ndarray) for v in inputs):
                self._room(sum(v.size for v in inputs if isinstance(v, np.ndarray)))
                return np.concatenate([v for v in inputs if isinstance(v, np.ndarray)], axis)
            if len(inputs) > _MOST_NUMBERS:
                raise Unfit
            return Dims(tuple(entry for v in inputs for entry in dims(v).entries))
        if all(isinstance(v, Zeros) for v in inputs):
            return Zeros()
        if axis == 0 and all(isinstance(v, Final) or (isinstance(v, Data) and v.final) for v in inputs):
            if len(inputs) > len(self.cells):
                raise Unfit
            found = [v if isinstance(v, Final) else Final(v.final, (v,)) for v in inputs if isinstance(v, Final | Data)]
            return Final(tuple(c for v in found for c in v.cells), tuple(d for v in found for d in v.data))
        halves = [v.half for v in inputs if isinstance(v, Data) and v.half]
        if len(inputs) == len(halves) == 2:
            (one, first), (other, second) = halves
            x, same = node.data(0), one.layers == other.layers and one.groups == other.groups
            if (
                same
                and x.groups == node.data(1).groups
                and (first, second) == (0, 1)
                and axis in (-1, len(x.groups) - 1)
                and x.groups[-1] == x.features
            ):
                return one.but(groups=(*x.groups[:-1], one.features))
        raise Unfit

    def zeros(self, node: _Node) -> Value:
        value = node.attribute("value")
        entries = dims(node[0]).entries
        if value is None or not np.any(value):
            return Zeros()
        if value.dtype.kind == "i" and len(entries) == 1:
            self._room(ints(node[0])[0])
            return np.full(ints(node[0]), value.ravel()[0])
        raise Refusal(Phrase("why.onnx.state"))

    def expand(self, node: _Node) -> Value:
        value = node[0]
        dims(node[1])
        if isinstance(value, Zeros) or (isinstance(value, np.ndarray) and value.dtype.kind == "f" and not value.any()):
            return Zeros()
        raise Refusal(Phrase("why.onnx.state"))

    def multiply(self, node: _Node) -> Value:
        one, other = dims(node[0]), dims(node[1])
        if len(one.entries) != 1 or len(other.entries) != 1:
            raise Unfit
        return Dims((product(*one.entries, *other.entries),), one.scalar and other.scalar)

    def product(self, node: _Node) -> Value:
        axes = node.attribute("axes") if node[1] is None else ints(node[1])
        if axes not in (None, [0], [-1]):
            raise Unfit
        return Dims((product(*dims(node[0]).entries),), not node.attribute("keepdims", 1))


def _too_large(value: Value) -> bool:
    if isinstance(value, Dims):
        return len(value.entries) > _MOST_NUMBERS
    if isinstance(value, Final):
        return len(value.cells) > _MOST_LAYERS
    return isinstance(value, Data) and len(value.groups) > _MOST_AXES


def _float(w: Array) -> Array:
    if w.dtype.kind != "f":
        raise Unfit
    return np.ascontiguousarray(w)


def _bias(b: Array, width: int) -> Array:
    if b.size != width or b.shape[-1:] != (width,) or b.dtype.kind != "f":
        raise Unfit
    return b.reshape(width)


_HANDLERS: dict[str, Callable[[_Reader, _Node], Value | tuple[Value, ...]]] = {
    "Add": _Reader.add,
    "Cast": _Reader.same,
    "Concat": _Reader.concat,
    "Constant": _Reader.constant,
    "ConstantOfShape": _Reader.zeros,
    "Dropout": _Reader.same,
    "Expand": _Reader.expand,
    "GRU": _Reader.cell,
    "Gather": _Reader.gather,
    "Gemm": _Reader.gemm,
    "Identity": _Reader.same,
    "LSTM": _Reader.cell,
    "MatMul": _Reader.matmul,
    "Mul": _Reader.multiply,
    "ReduceProd": _Reader.product,
    "Reshape": _Reader.reshape,
    "Shape": _Reader.shape,
    "Slice": _Reader.slice,
    "Squeeze": _Reader.squeeze,
    "Transpose": _Reader.transpose,
    "Unsqueeze": _Reader.unsqueeze,
    **dict.fromkeys(_ACTIVATIONS, _Reader.activation),
}
