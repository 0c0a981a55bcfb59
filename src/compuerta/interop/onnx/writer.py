"""A model as one ONNX graph that any runtime runs: any number of rows and steps, states as inputs and outputs.

=============  ====================  ===============================================================================
name           shape                 what
=============  ====================  ===============================================================================
``x``          (N, T, F) float       the inputs; ``tokens`` (N, T) int64 where the model reads token ids
``lengths``    (N,) int32            steps of each row; only with ``lengths=True``
``h0_l{k}``    (D, N, H) float       the initial state of the k-th recurrent layer, counted from the bottom; zero where
                                     it is not given. ``c0_l{k}`` in an LSTM
``y``          (N, T, K) float       the outputs; (N, 1, K) after a Last layer
``probs``      as ``y``              the softmax of ``y``; only with ``probabilities=True``
``hn_l{k}``    (D, N, H) float       the final states, to be handed in again for the next piece of a stream
=============  ====================  ===============================================================================

A task that is more than one network adds all it does itself: see :meth:`compuerta.Forecaster.graph`. Weights are
initializers under our names (``1.W_l0`` for the ``W`` of layer 0 of the part at place 1); configuration, vocabulary and
what else makes the task again stand as JSON in the metadata, with a checksum over the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SettingError
from ...layers import Activation, Dense, Dropout, Embedding, Last, Layer, Recurrent, Sequential
from ...tasks import Task
from ...tasks.base import network_of, task_of
from .cells import attributes, to_onnx

Array = NDArray[Any]

#: Of 2021, which all runtimes in use read. Later ones change nothing in what is used here.
OPSET, IR = 14, 7


class Graph:
    """A graph in the making: nodes in order, each value named as it is made."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: dict[str, Array] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.cells = 0

    def add(self, op: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:
        """Append a node; return the name of its output, or the names if there are several."""
        from onnx import helper

        name = name or f"{op.lower()}_{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}:{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, name: str, array: Array) -> str:
        """Keep an array of the model under a name."""
        self.weights[name] = array
        return name

    def ints(self, *values: int) -> str:
        """Return the name of a constant list of ints."""
        return self.weight("ints:" + ",".join(map(str, values)), np.array(values, np.int64))

    def input(self, name: str, dtype: Any, shape: Sequence[int | str], default: Array | None = None) -> str:
        """Declare an input; with a default it need not be given."""
        self.inputs.append(self._info(name, dtype, shape))
        return name if default is None else self.weight(name, default)

    def output(self, source: str, name: str, dtype: Any, shape: Sequence[int | str]) -> None:
        """Give a value out under a name."""
        self.add("Identity", source, name=name)
        self.outputs.append(self._info(name, dtype, shape))

    def network(self, prefix: str, layer: Layer, x: str) -> str:
        """Append layers that read a window (N, W, F) or values (N, F); return what they give at its end, (N, K).

        Raises:
            SettingError: a layer, or an argument of one, has no place in ONNX.
        """
        for name, part in parts(layer, prefix):
            if isinstance(part, Recurrent):
                x = _window(self, name, part, x)
            elif not isinstance(part, Last):  # the window's last step is all that _window gives
                x = _plain(self, name, part, x)
        return x

    @staticmethod
    def _info(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
        from onnx import helper

        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))

    def model(self, name: str) -> Any:
        """Return the ModelProto."""
        from onnx import helper, numpy_helper

        weights = [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in self.weights.items()]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


# ---- layers ---------------------------------------------------------------------------------------------------------


def layers(model: Layer, *, lengths: bool, probabilities: bool) -> Graph:
    """Return the graph of a layer or of layers one above the other; see the module for its inputs and outputs.

    Raises:
        SettingError: a layer, or an argument of one, has no place in ONNX.
    """
    graph = Graph()
    row = list(parts(model))
    dtype = model.parameters.dtype
    if model.reads_tokens:
        x = graph.input("tokens", np.int64, ("N", "T"))
    else:
        width = model.width_in
        x = graph.input("x", dtype, ("N", "T", "F" if width is None else width))
    valid = graph.input("lengths", np.int32, ("N",)) if lengths else ""
    states: list[tuple[str, str, int, int]] = []
    steps: int | str = "T"
    features: int | str = "F"
    for prefix, layer in row:
        if isinstance(layer, Recurrent):
            x = _recurrent(graph, prefix, layer, x, valid, states)
        elif isinstance(layer, Last):
            x, steps = _last(graph, layer, x, valid), 1
            valid = ""
        else:
            x = _plain(graph, prefix, layer, x)
        features = layer.width_out or layer.width_in or features
    graph.output(x, "y", dtype, ("N", steps, features))
    if probabilities:
        graph.output(graph.add("Softmax", x, axis=-1), "probs", dtype, ("N", steps, features))
    for source, name, directions, hidden in states:
        graph.output(source, name, dtype, (directions, "N", hidden))
    return graph


def parts(model: Layer, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield the layers of a model one above the other, each with the prefix of its parameters' names."""
    if isinstance(model, Sequential):
        for k, layer in enumerate(model.layers):
            yield from parts(layer, f"{prefix}{k}.")
    else:
        yield prefix, model


def _plain(graph: Graph, prefix: str, layer: Layer, x: str) -> str:
    """A layer without memory."""
    for name, array in to_onnx(layer, prefix).items():
        graph.weight(name, array)
    if isinstance(layer, Dense):
        return str(graph.add("Add", graph.add("MatMul", x, prefix + "w"), prefix + "b"))
    if isinstance(layer, Embedding):
        return str(graph.add("Gather", prefix + "w", x))
    if isinstance(layer, Dropout):
        return x
    if isinstance(layer, Activation):
        kind = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax",
                "log_softmax": "LogSoftmax"}[layer.kind]  # fmt: skip
        return str(graph.add(kind, x, axis=-1) if "Softmax" in kind else graph.add(kind, x))
    raise SettingError("error.interop.cannot_hold", format="ONNX", what=layer.name)


def _recurrent(
    graph: Graph, prefix: str, layer: Recurrent, x: str, valid: str, states: list[tuple[str, str, int, int]]
) -> str:
    """A stack: time first inside, batch first around it."""
    changes, weights = attributes(layer), to_onnx(layer, prefix)
    for name, array in weights.items():
        graph.weight(name, array)
    d, hidden = layer.directions, layer.hidden_size
    if layer.tokens:  # the columns of W are gathered by a row of the identity
        x = graph.add("Gather", graph.weight(prefix + "one_hot", np.eye(layer.input_size, dtype=layer.dtype)), x)
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    shape = graph.add("Concat", graph.ints(d), graph.add("Slice", graph.add("Shape", x), graph.ints(1), graph.ints(2)),
                      graph.ints(hidden), axis=0)  # fmt: skip
    for k in range(layer.num_layers):
        at, graph.cells = graph.cells, graph.cells + 1
        initial = []
        for part in layer.parts:
            first = weights.get(f"{prefix}{part}0_l{k}", np.zeros((d, 1, hidden), layer.dtype))  # for all rows
            start = graph.input(f"{part}0_l{at}", layer.dtype, (d, "N", hidden), first)
            initial.append(graph.add("Expand", start, shape))
        named = [f"{prefix}{name}_l{k}" if f"{prefix}{name}_l{k}" in weights else "" for name in "WRBP"]
        *wrb, p = named
        extra = [p] if p else []
        y, *final = graph.add(
            layer.kind.title, x, *wrb, valid, *initial, *extra, outputs=1 + len(initial),
            hidden_size=hidden, direction="bidirectional" if d == 2 else "forward", **changes,
        )  # fmt: skip
        for part, source, before in zip(layer.parts, final, initial, strict=True):
            if valid:  # a row of length 0 keeps its state, whatever the runtime says
                some = graph.add("Greater", valid, graph.weight("zero", np.zeros(1, np.int32)))
                some = graph.add("Unsqueeze", graph.add("Unsqueeze", some, graph.ints(0)), graph.ints(2))
                source = graph.add("Where", some, source, before)
            states.append((source, f"{part}n_l{at}", d, hidden))
        y = graph.add("Transpose", y, perm=[0, 2, 1, 3])
        x = graph.add("Reshape", y, graph.ints(0, 0, d * hidden))
    return str(graph.add("Transpose", x, perm=[1, 0, 2]))


def _last(graph: Graph, layer: Last, x: str, valid: str) -> str:
    """The last valid step of each row."""
    if not valid:
        last = str(graph.add("Slice", x, graph.ints(-1), graph.ints(2**31 - 1), graph.ints(1)))
        if layer.both_ends:
            first = graph.add("Slice", x, graph.ints(0), graph.ints(1), graph.ints(1))
            halves = [graph.add("Split", end, axis=2, outputs=2) for end in (last, first)]
            last = str(graph.add("Concat", halves[0][0], halves[1][1], axis=2))
        return last
    if layer.both_ends:
        raise SettingError("error.interop.cannot_hold", format="ONNX", what="Last(both_ends=True) with lengths")
    # Past a row's length x is zero only if nothing stands between: take step length − 1, and zeros for length 0.
    longs = graph.add("Cast", valid, to=7)
    at = graph.add("Max", graph.add("Sub", longs, graph.ints(1)), graph.ints(0))
    at = graph.add("Unsqueeze", at, graph.ints(1))
    picked = graph.add("GatherND", x, at, batch_dims=1)
    picked = graph.add("Unsqueeze", picked, graph.ints(1))
    some = graph.add("Unsqueeze", graph.add("Greater", longs, graph.ints(0)), graph.ints(1, 2))
    kind = layer.parameters.dtype
    return str(graph.add("Where", some, picked, graph.weight(f"zero:{kind}", np.zeros(1, kind))))


def _window(graph: Graph, prefix: str, layer: Recurrent, x: str) -> str:
    """The last output of a single recurrent layer over a window, (N, H)."""
    for name, array in to_onnx(layer, prefix).items():
        graph.weight(name, array)
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    names = [f"{prefix}{name}_l0" for name in "WRB"]
    hidden = layer.hidden_size
    outputs = graph.add(layer.name, x, *names, outputs=2, hidden_size=hidden, **attributes(layer))
    return str(graph.add("Squeeze", outputs[1], graph.ints(0)))


def graph_of(model: Layer | Task, *, lengths: bool = False, probabilities: bool = False) -> Graph:
    """Return the graph of a model.

    Raises:
        SettingError: ONNX cannot hold it, or an option has no meaning for it.
    """
    network = network_of(model)
    if network is not None:
        return layers(network, lengths=lengths, probabilities=probabilities)
    task = task_of(model)
    if task is None or not task.answers("graph"):
        raise SettingError("error.interop.cannot_hold", format="ONNX", what=type(model).__name__)
    for name, value in (("lengths", lengths), ("probabilities", probabilities)):
        if value:
            raise SettingError("error.interop.option", format=f"ONNX: {type(model).__name__}", name=name)
    graph = Graph()
    task.graph(graph)
    return graph
