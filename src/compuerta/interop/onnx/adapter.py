"""ONNX as one of the formats: recognise, read, write, describe, run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import files
from ...errors import FileFormatError, Phrase, SettingError
from ...layers import Layer
from ...tasks import TASKS, Task
from ...tasks.base import build, network_of
from ...texts import say
from ..formats import Description, Note, Runner, tensor_table, unnoted
from ..model_file import contents, model_of
from ..verify import Check, difference
from ..weights import assemble
from . import runtime
from .cells import parameters_from
from .document import Document, open_document, package, sign
from .reader import read_graph
from .writer import graph_of, parts

Array = NDArray[Any]

#: After the version of the format, an ONNX file goes on with one of these fields: producer, domain, graph ...
_SECOND = {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72}


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file begins as the ONNX files of all known writers do: with a small version of the format."""
    return len(head) > 2 and head[0] == 8 and 0 < head[1] < 64 and head[2] in _SECOND


def read(path: str, *, note: Note = unnoted) -> Layer | Task:
    """Return the model of a file: the very task or layer of one that we wrote, else layers as the graph says.

    Raises:
        FileFormatError: the file is damaged, or a node of it has no counterpart here; it is named.
        MissingExtraError: the package onnx is not installed.
        OSError: it cannot be opened.
    """
    document = open_document(path)
    if document.content is not None:
        return _own(document)
    for name, tensor in document.tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            warnings.warn(say("warning.not_finite", "en", path=path, name=name), RuntimeWarning, stacklevel=2)
    reading = read_graph(document)
    if reading.axes[:2] == ("time", "batch"):
        note(Phrase("note.onnx.time_first", name=reading.source))
    return assemble(reading.layers, merge=True)


def write(
    model: Layer | Task, path: str, *, note: Note = unnoted, lengths: bool = False, probabilities: bool = False
) -> None:
    """Write a model as one graph; see :mod:`compuerta.interop.onnx.writer` for its inputs and outputs.

    Args:
        model: a layer, a Sequential, or a task that is one network or can say what its graph is.
        path: where to write it.
        note: called with what should be known.
        lengths: add an input for the rows' lengths.
        probabilities: give the softmax of the outputs, too.

    Raises:
        SettingError: ONNX cannot hold a layer, or one of its switches; it is named.
        NotFittedError: the task has not been fitted.
        MissingExtraError: the package onnx is not installed.
        OSError: the file cannot be written; one that was there stays as it was.
    """
    onnx = package()
    tensors, content = contents(model)
    graph = graph_of(model, lengths=lengths, probabilities=probabilities)
    proto = graph.model(type(model).__name__)
    weights = {prefix + name for prefix, layer in _blank_parts(content, path) for name in layer.parameters}
    others = {name: [array.dtype.name, array.tolist()] for name, array in tensors.items() if name not in weights}
    if others:
        content["arrays"] = others
    if any(tensors[name].dtype == np.float64 for name in weights):
        note(Phrase("note.onnx.double"))
    sign(proto, content)
    try:
        data = proto.SerializeToString(deterministic=True)
    except (ValueError, RuntimeError) as error:
        raise SettingError("error.interop.cannot_hold", format="ONNX", what=files.one_line(error)) from None
    onnx.checker.check_model(data)
    files.write_bytes(path, data)


def describe(path: str) -> Description:
    """Return the tensors of a file, and who wrote it."""
    document = open_document(path)
    proto = document.proto
    facts = {"producer": f"{proto.producer_name} {proto.producer_version}".strip(), "opset": document.opset}
    return Description(tensor_table(document.tensors), facts)


def runner(path: str, *, ours: bool) -> Runner | None:
    """Return the graph as ONNX Runtime runs it, or None if that is not installed or cannot run it.

    What is handed over is the graph that :func:`read` followed node by node, with all its tensors inside.
    """
    if find_spec("onnxruntime") is None:
        return None
    document = open_document(path)
    if document.content is not None:
        network = network_of(_own(document))
        return None if network is None else runtime.own(document, network)
    reading = read_graph(document)
    return runtime.foreign(document, reading, assemble(reading.layers, merge=True))


def prove(path: str, model: Task) -> Check | None:
    """Run the graph of a task that is more than one network in ONNX Runtime, and compare what comes out.

    Returns:
        what was found, or None where ONNX Runtime is not installed or cannot run it.
    """
    run = runtime.whole(open_document(path)) if find_spec("onnxruntime") is not None else None
    if run is None:
        return None
    each = [difference(ours, run(inputs)) for inputs, ours in model.graph_runs()]
    return Check(runtime.name(), len(each), max(each)) if each else None


# ---- files that we wrote --------------------------------------------------------------------------------------------


def _own(document: Document) -> Layer | Task:
    """Return the model of a file of ours, from its metadata and the arrays that our graphs name."""
    content = dict(document.content or {})
    arrays, tensors = dict(document.tensors), {}
    try:
        for key, (dtype, values) in content.pop("arrays", {}).items():
            tensors[key] = np.asarray(values, {"float32": np.float32, "float64": np.float64}[dtype])
        tensors |= _named(_blank_parts(content, document.path), arrays)
    except FileFormatError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, MemoryError) as error:
        raise document.refuse("error.file.config", name=content.get("kind"), why=files.one_line(error)) from None
    model: Layer | Task = model_of(tensors, content, document.path)
    return model


def _blank_parts(content: dict[str, Any], path: str) -> Iterator[tuple[str, Layer]]:
    """Yield the layers of a model that :func:`~compuerta.interop.model_file.contents` described, without weights."""
    task = TASKS.get(str(content.get("kind")))
    if task is None:
        name, config = content["model"]
        whole = {"": build(name, config, path)}
    else:
        whole = task.blank_parts(content, path)
    for prefix, layer in whole.items():
        yield from parts(layer, prefix)


def _named(rows: Iterable[tuple[str, Layer]], arrays: dict[str, Array]) -> dict[str, Array]:
    return {
        prefix + name: array for prefix, layer in rows for name, array in parameters_from(layer, prefix, arrays).items()
    }
