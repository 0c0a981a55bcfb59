"""What exporters put around the layers: nodes that only move, join or cut axes, or compute shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Phrase
from ...layers import Last
from .node import Node, Refusal
from .values import Data, Dims, Final, Given, Group, Unfit, Value, Zeros, dims, ints, product, regroup, size_of

Array = NDArray[Any]

_FAR = 2**31 - 1
#: What a graph may make of its own while it is read: bytes of constants, numbers of a shape.
_MOST_BYTES, _MOST_NUMBERS = 2**25, 64


class Around:
    """The handlers of these nodes, and what they need to know of the graph.

    Attributes:
        time: the axis of the steps, once an operator has said which it is.
        batch: that of the rows.
        lengths: the input that gives the rows' lengths, or None.
        operators: how many have a state.
    """

    def __init__(self) -> None:
        self.time: Group | None = None
        self.batch: Group | None = None
        self.lengths: str | None = None
        self.operators = 0
        self._bytes = 0

    def room(self, count: int) -> None:
        """Refuse to make constants without end."""
        self._bytes += 8 * count
        if self._bytes > _MOST_BYTES:
            raise Refusal(Phrase("why.onnx.large"))

    def row(self, value: Value, at: int, axis: int) -> Data:
        """One place along an axis: the last step, or one direction of a final state."""
        if isinstance(value, Final):
            if axis != 0:
                raise Unfit
            rows = [(data, k) for data in value.data for k in range(2 if data.groups[0] else 1)]
            data, k = rows[at]
            return self.row(data, k, 0)
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

    def same(self, node: Node) -> Value:
        """Identity, Dropout, Cast: the value itself, or a constant in another type."""
        value = node[0]
        if node.op == "Cast":
            node.attribute("saturate")
            to = node.attribute("to")
            kinds = {1: "f", 11: "f", 10: "f", 6: "i", 7: "i"}
            if isinstance(value, np.ndarray) and to in kinds:
                self.room(value.size)
                return value.astype({1: np.float32, 11: np.float64, 10: np.float16, 6: np.int32, 7: np.int64}[to])
            kind = "i" if isinstance(value, Dims) or (isinstance(value, Data) and not value.layers) else "f"
            if kinds.get(to) != kind:
                raise Refusal(Phrase("why.onnx.value", name="to", got=to))
        if node.op == "Dropout":
            node.attribute("ratio"), node.attribute("seed")
            if node[2] is not None and np.any(node.constant(2)):
                raise Refusal(Phrase("why.onnx.value", name="training_mode", got=True))
        return value

    def constant(self, node: Node) -> Value:
        """Constant."""
        value = node.attribute("value")
        for name, kind in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32),
                           ("value_floats", np.float32)):  # fmt: skip
            other = node.attribute(name)
            value = np.array(other, kind) if other is not None else value
        if value is None:
            raise Unfit
        return np.asarray(value)

    def shape(self, node: Node) -> Value:
        """Shape: the axes of the data, each a number or a group of atoms."""
        start, end = node.attribute("start", 0), node.attribute("end")
        return Dims(tuple(node.data().groups)[slice(start, end)])

    def reshape(self, node: Node) -> Value:
        """Reshape of data, of a shape or of a constant."""
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

    def transpose(self, node: Node) -> Value:
        """Transpose."""
        value, perm = node[0], node.attribute("perm")
        if isinstance(value, np.ndarray):
            return value.transpose(perm)
        x = node.data()
        perm = list(reversed(range(len(x.groups)))) if perm is None else perm
        if sorted(perm) != list(range(len(x.groups))):
            raise Unfit
        return x.but(groups=tuple(x.groups[k] for k in perm), final=())

    def squeeze(self, node: Node) -> Value:
        """Squeeze: only axes of size 1 go."""
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

    def unsqueeze(self, node: Node) -> Value:
        """Unsqueeze."""
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

    def slice(self, node: Node) -> Value:
        """Slice: of a shape or a constant, rows of an initial state, the last step, one direction."""
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
        row = self.row(value, start, axis)
        return row.but(groups=(*row.groups[:axis], (), *row.groups[axis:]))

    def concat(self, node: Node) -> Value:
        """Concat: of shapes or constants, final states of several operators, the two directions."""
        axis, inputs = node.attribute("axis"), node.inputs
        if all(isinstance(v, (Dims, np.ndarray)) for v in inputs):
            if all(isinstance(v, np.ndarray) for v in inputs):
                self.room(sum(v.size for v in inputs if isinstance(v, np.ndarray)))
                return np.concatenate([v for v in inputs if isinstance(v, np.ndarray)], axis)
            if len(inputs) > _MOST_NUMBERS:
                raise Unfit
            return Dims(tuple(entry for v in inputs for entry in dims(v).entries))
        if all(isinstance(v, Zeros) for v in inputs):
            return Zeros()
        if axis == 0 and all(isinstance(v, Final) or (isinstance(v, Data) and v.final) for v in inputs):
            if len(inputs) > self.operators:
                raise Unfit
            ends = [v if isinstance(v, Final) else Final(v.final, (v,)) for v in inputs if isinstance(v, Final | Data)]
            return Final(tuple(c for v in ends for c in v.cells), tuple(d for v in ends for d in v.data))
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

    def zeros(self, node: Node) -> Value:
        """ConstantOfShape: an initial state of zeros."""
        value = node.attribute("value")
        entries = dims(node[0]).entries
        if value is None or not np.any(value):
            return Zeros()
        if value.dtype.kind == "i" and len(entries) == 1:
            self.room(ints(node[0])[0])
            return np.full(ints(node[0]), value.ravel()[0])
        raise Refusal(Phrase("why.onnx.state"))

    def expand(self, node: Node) -> Value:
        """Expand: an initial state of zeros for all rows."""
        value = node[0]
        dims(node[1])
        if isinstance(value, Zeros) or (isinstance(value, np.ndarray) and value.dtype.kind == "f" and not value.any()):
            return Zeros()
        raise Refusal(Phrase("why.onnx.state"))

    def multiply(self, node: Node) -> Value:
        """Mul of two numbers of a shape."""
        one, other = dims(node[0]), dims(node[1])
        if len(one.entries) != 1 or len(other.entries) != 1:
            raise Unfit
        return Dims((product(*one.entries, *other.entries),), one.scalar and other.scalar)

    def product(self, node: Node) -> Value:
        """ReduceProd of numbers of a shape."""
        axes = node.attribute("axes") if node[1] is None else ints(node[1])
        if axes not in (None, [0], [-1]):
            raise Unfit
        return Dims((product(*dims(node[0]).entries),), not node.attribute("keepdims", 1))


def too_large(value: Value) -> bool:
    """Return whether a value is longer than those of any graph of layers."""
    if isinstance(value, Dims):
        return len(value.entries) > _MOST_NUMBERS
    if isinstance(value, Final):
        return len(value.cells) > 1000
    return isinstance(value, Data) and len(value.groups) > 8
