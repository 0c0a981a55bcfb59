"""A graph as ONNX Runtime runs it, in our conventions: batch first, states as our layers take them.

What is handed over is the graph in memory, which the reader followed node by node, with all its tensors inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...layers import Layer, Recurrent, Sequential
from ..formats import Runner
from .document import Document
from .reader import Reading

Array = NDArray[Any]
_OUR_AXES = ("batch", "time", "features")


def own(document: Document, model: Layer) -> Runner | None:
    """Return a graph that we wrote of ``model``; None where ONNX Runtime cannot run it."""
    session = _session(document)
    if session is None:
        return None
    outputs = [output.name for output in session.get_outputs() if output.name != "probs"]
    names = [(part, f"{part}0_l{k}") for k, layer in enumerate(_cells(model)) for part in layer.parts]
    lengths = any(value.name == "lengths" for value in session.get_inputs())

    def run(x: Array, state: Any) -> tuple[Array, Any]:
        feed = {"tokens": x.astype(np.int64)} if model.reads_tokens else {"x": x.astype(model.parameters.dtype)}
        if lengths:
            feed["lengths"] = np.full(len(x), x.shape[1], np.int32)
        if state is not None:
            feed |= {name: value for (_, name), value in zip(names, _split(model, state), strict=True)}
        y, *finals = session.run(outputs, feed)
        return y, _join(model, iter(finals))

    return _try_run(run, model, takes_state=True)


def foreign(document: Document, reading: Reading, model: Layer) -> Runner | None:
    """Return a graph of others, read as ``model``; None where ONNX Runtime cannot run it at any size."""
    types = {entry.name: entry.type.tensor_type for entry in document.proto.graph.input}
    for dim, axis in zip(types[reading.source].shape.dim, reading.axes, strict=True):
        if axis != "features":  # a file may insist on the size it was written with, for no reason
            dim.dim_param = axis
    for inputs in reading.states.values():
        for name, _ in inputs:
            types[name].shape.dim[1].dim_param = "batch"
    for entry in document.proto.graph.output:
        entry.type.tensor_type.ClearField("shape")
    del document.proto.graph.value_info[:]
    session = _session(document)
    if session is None:
        return None
    from onnx import helper

    kinds = {name: helper.tensor_dtype_to_np_dtype(kind.elem_type) for name, kind in types.items() if kind.elem_type}
    cells = list(_cells(model))
    finals = [(part, name) for part, outputs in reading.finals.items() for name, _ in outputs]
    whole = {part: sum(count for _, count in outputs) for part, outputs in reading.finals.items()}
    gives = all(whole.get(part) == sum(part in c.parts for c in cells) for cell in cells for part in cell.parts)

    def run(x: Array, state: Any) -> tuple[Array, Any]:
        if "batch" not in reading.axes and len(x) != 1:
            rows = [run(row[None], None)[0] for row in x]
            return np.concatenate(rows), None
        order = [_OUR_AXES.index(axis) for axis in reading.axes]
        arranged = x if "batch" in reading.axes else x[0]
        order = order if "batch" in reading.axes else [k - 1 for k in order]
        feed = {reading.source: np.ascontiguousarray(arranged.transpose(order), kinds[reading.source])}
        if reading.lengths:
            feed[reading.lengths] = np.full(len(x), x.shape[1], kinds[reading.lengths])
        feed |= {name: value.astype(kinds[name]) for name, value in initial(x, state)}
        y, *last = session.run([reading.output, *(name for _, name in finals)], feed)
        return _batch_first(y, reading.shape), final(last) if gives else None

    def initial(x: Array, state: Any) -> Iterator[tuple[str, Array]]:
        parts = None if state is None else _split(model, state)
        for part, inputs in reading.states.items():
            if parts is None:
                each = [np.zeros((cell.directions, len(x), cell.hidden_size)) for cell in cells if part in cell.parts]
            else:
                named = [name for cell in cells for name in cell.parts]
                each = [value for name, value in zip(named, parts, strict=True) if name == part]
            for name, count in inputs:
                yield name, np.concatenate(each[:count])
                each = each[count:]

    def final(last: list[Array]) -> Any:
        each: dict[str, list[Array]] = {part: [] for part, _ in finals}
        for (part, _), value in zip(finals, last, strict=True):
            each[part].append(value)
        rows = {part: chain.from_iterable(values) for part, values in each.items()}
        return _join(model, (np.stack([next(rows[p]) for _ in range(c.directions)]) for c in cells for p in c.parts))

    return _try_run(run, model, takes_state=all(part in reading.states for cell in cells for part in cell.parts))


def whole(document: Document) -> Callable[[Mapping[str, Array]], Array] | None:
    """Return the graph that we wrote of a task, from inputs by name to its first output; None where it cannot run."""
    session = _session(document)
    if session is None:
        return None

    def run(inputs: Mapping[str, Array]) -> Array:
        first: Array = session.run(None, dict(inputs))[0]
        return first

    return run


def _session(document: Document) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        data = document.proto.SerializeToString()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception:  # its errors have no base of their own
        return None


def _try_run(run: Callable[[Array, Any], tuple[Array, Any]], model: Layer, *, takes_state: bool) -> Runner | None:
    """Return what runs, tried once: ONNX Runtime has no float64 LSTM, and a graph may insist on sizes of its own."""
    try:
        run(np.zeros((2, 3), np.int64) if model.reads_tokens else np.zeros((2, 3, model.width_in or 1)), None)
    except Exception:
        return None
    return Runner(name(), run, takes_state)


def name() -> str:
    """Return the name of ONNX Runtime with its version."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


def _batch_first(y: Array, shape: tuple[str, ...]) -> Array:
    """Return an output as (N, T, K), with T = 1 where it has no steps."""
    y = y.reshape([n for n, axis in zip(y.shape, shape, strict=True) if axis != "one"])
    named = [axis for axis in shape if axis != "one"]
    for axis in _OUR_AXES:
        if axis not in named:
            y, named = y[None], [axis, *named]
    return y.transpose([named.index(axis) for axis in _OUR_AXES])


# ---- states: ours, nested as the layers are, and one array for each operator and part, bottom up ---------------------


def _recurrent(model: Layer) -> Iterator[Recurrent]:
    if isinstance(model, Sequential):
        for layer in model.layers:
            yield from _recurrent(layer)
    elif isinstance(model, Recurrent):
        yield model


def _cells(model: Layer) -> Iterator[Recurrent]:
    """Yield the layer of each operator, a stack once for each of its layers."""
    for layer in _recurrent(model):
        yield from [layer] * layer.num_layers


def _split(model: Layer, state: Any) -> list[Array]:
    if isinstance(model, Sequential):
        inner = [layer for layer in model.layers if layer.recurrent]
        return [value for layer, part in zip(inner, state, strict=True) for value in _split(layer, part)]
    assert isinstance(model, Recurrent)
    parts = state if isinstance(state, tuple) else (state,)
    d = model.directions
    return [part[k * d : (k + 1) * d] for k in range(model.num_layers) for part in parts]


def _join(model: Layer, values: Iterator[Array]) -> Any:
    if isinstance(model, Sequential):
        return tuple(_join(layer, values) for layer in model.layers if layer.recurrent)
    if not isinstance(model, Recurrent):
        return None
    rows = [[next(values) for _ in model.parts] for _ in range(model.num_layers)]
    parts = tuple(np.concatenate(part) for part in zip(*rows, strict=True))
    return parts if len(parts) > 1 else parts[0]
