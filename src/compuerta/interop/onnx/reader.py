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
from .. import gate_orders
from ..weights import dense, embedding
from .axes import Around, too_large
from .cells import cell_from_onnx, switches
from .document import Document
from .node import Node, Refusal
from .operators import DIRECTIONS, functions_of
from .values import Atom, Data, Dims, Final, Given, Group, Unfit, Value, Zeros, dims, ints, size_of

Array = NDArray[Any]

_ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softmax": "softmax",
                "LogSoftmax": "log_softmax"}  # fmt: skip
#: Layers of a graph: more would only be there to fill memory.
_MOST_LAYERS = 1000


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


class _Reader(Around):
    def __init__(self, document: Document) -> None:
        super().__init__()
        self.document = document
        self.graph = document.proto.graph
        self.values: dict[str, Value] = {"": None, **document.tensors}
        self.cells: list[_Cell] = []
        self.node_names: dict[Layer, str] = {}
        self.sized: dict[str, tuple[Group, ...]] = {}

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
                node = Node(proto, [self.values[k] for k in proto.input], self.document)
                found = handler(self, node)
                node.refuse_unused()
            except Refusal as error:
                raise refuse("error.onnx.node", node=name, why=error.why) from None
            except FileFormatError:
                raise
            except (Unfit, CompuertaError, ValueError, IndexError, TypeError, KeyError) as error:
                why = Phrase("why.onnx.around") if isinstance(error, Unfit) else str(error)
                raise refuse("error.onnx.node", node=name, why=why) from None
            outputs = found if isinstance(found, tuple) else (found,)
            if any(too_large(value) for value in outputs) or len(self.node_names) > _MOST_LAYERS:
                raise refuse("error.onnx.node", node=name, why=Phrase("why.onnx.large"))
            for k, made in enumerate(proto.output):
                if made:
                    if k >= len(outputs):
                        raise refuse("error.onnx.node", node=name, why=Phrase("why.onnx.output", name=made))
                    self.values[made] = outputs[k]
        return self._result()

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
        for layer, node in self.node_names.items():
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

    def cell(self, node: Node) -> tuple[Value, ...]:
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
        rows = len({"LSTM": gate_orders.LSTM, "GRU": gate_orders.GRU}[kind]["onnx"]) * hidden
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
        self.node_names[layer] = node.name
        self.operators += 1
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

    def _layer(self, node: Node, kind: str, d: int, w: Array, r: Array) -> LSTM | GRU:
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
            gate, candidate = functions[0]
            after = bool(node.attribute("linear_before_reset", 0))
            return GRU(**sizes, reset_after=after, gate_activation=gate, input_activation=candidate)
        coupled = node.attribute("input_forget", 0)
        if coupled not in (0, 1):
            raise Refusal(Phrase("why.onnx.value", name="input_forget", got=coupled))
        changes = switches(functions[0], peepholes=node[7] is not None, coupled=bool(coupled), clip=clip)
        return LSTM(**sizes, **changes)

    def _lengths(self, node: Node) -> None:
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

    def _grown(self, x: Data, layer: Layer, width: int, node: Node, *, open: bool = False) -> Data:
        """The value after a layer that turns features into ``width`` others."""
        atoms: Group = (Atom(layer.name, width),)
        self.node_names[layer] = node.name
        return x.but(layers=(*x.layers, layer), groups=(*x.groups[:-1], atoms), features=atoms, final=(), half=None,
                     open=open)  # fmt: skip

    def _features_last(self, x: Data, width: int) -> None:
        if not x.groups or x.groups[-1] != x.features or size_of(x.features) not in (None, width) or x.half:
            raise Unfit

    def matmul(self, node: Node) -> Value:
        x, w = node.data(), node.constant(1)
        if w.ndim != 2:
            raise Unfit
        self._features_last(x, w.shape[0])
        return self._grown(x, dense(_float(w.T), None), w.shape[1], node, open=True)

    def gemm(self, node: Node) -> Value:
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

    def add(self, node: Node) -> Value:
        x, b = (node[0], node[1]) if isinstance(node[0], Data) else (node[1], node[0])
        if not isinstance(x, Data) or not x.open or not isinstance(b, np.ndarray):
            raise Unfit
        below = x.layers[-1]
        layer = dense(below.parameters["w"], _bias(b, len(below.parameters["w"])))
        self.node_names[layer] = self.node_names.pop(below)
        return x.but(layers=(*x.layers[:-1], layer))

    def activation(self, node: Node) -> Value:
        x = node.data()
        if node.op in ("Softmax", "LogSoftmax"):
            axis = node.attribute("axis", -1 if self.document.opset >= 13 else 1)
            if axis not in (-1, len(x.groups) - 1):
                raise Refusal(Phrase("why.onnx.value", name="axis", got=axis))
        if not x.layers or x.groups[-1] != x.features or x.half:
            raise Unfit
        dtype = next(layer.parameters.dtype for layer in reversed(x.layers) if layer.parameters.size)
        layer = Activation(_ACTIVATIONS[node.op], dtype=dtype)
        self.node_names[layer] = node.name
        return x.but(layers=(*x.layers, layer), final=())

    def gather(self, node: Node) -> Value:
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
            self.room(len(at) * table.size)
            return np.take(table, at[0] if scalar else at, axis)
        if len(at) != 1:
            raise Unfit
        found = self.row(table, at[0], axis)
        if not scalar:
            axis %= len(found.groups) + 1
            found = found.but(groups=(*found.groups[:axis], (), *found.groups[axis:]))
        return found


def _float(w: Array) -> Array:
    if w.dtype.kind != "f":
        raise Unfit
    return np.ascontiguousarray(w)


def _bias(b: Array, width: int) -> Array:
    if b.size != width or b.shape[-1:] != (width,) or b.dtype.kind != "f":
        raise Unfit
    return b.reshape(width)


_HANDLERS: dict[str, Callable[[_Reader, Node], Value | tuple[Value, ...]]] = {
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
