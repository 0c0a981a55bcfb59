"""An ONNX file opened with care: bounded, parsed by protobuf, its external data taken in, its tensors as arrays.

Files come from others. A tensor outside the file is read only where its path, with links resolved, stays inside the
folder of the model; nothing is allocated for what a header merely claims; operators of other domains, functions,
training graphs and sparse tensors are refused by name.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import files
from ...errors import FileFormatError, MissingExtraError

Array = NDArray[Any]

#: What protobuf itself can hold.
_MOST = 2**31 - 1
#: Nodes and tensors of a graph, of which a large model has some hundreds.
_MOST_ENTRIES = 100_000
#: Operators have meant what they mean here since this version.
_OLDEST_OPSET = 7
#: Types of tensors that we read, and the bytes of a number: float, double, float16, bfloat16, int64, int32, bool.
_NUMBERS = {1: 4, 11: 8, 10: 2, 16: 2, 7: 8, 6: 4, 9: 1}
PRODUCER = "compuerta"


@dataclass(frozen=True, eq=False)
class Document:
    """A file's content.

    Attributes:
        path: where it stands, for messages.
        proto: the ModelProto, with all tensors inside.
        tensors: the initializers as arrays, float16 and bfloat16 as float32.
        opset: the version of the operators.
        content: what stands in the metadata of a file that we wrote; None in others.
    """

    path: str
    proto: Any
    tensors: dict[str, Array]
    opset: int
    content: dict[str, Any] | None

    def refuse(self, key: str, **values: object) -> FileFormatError:
        """Return an error about this file."""
        return FileFormatError(key, path=self.path, **values)


def package() -> Any:
    """Return the package onnx.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("onnx") is None:
        raise MissingExtraError("error.extra", what="ONNX", package="onnx", extra="onnx")
    import onnx

    return onnx


def open_document(path: str) -> Document:
    """Read a file.

    Raises:
        FileFormatError: it is damaged, or holds what is refused here.
        MissingExtraError: the package onnx is not installed.
        OSError: it cannot be opened.
    """
    onnx = package()
    from google.protobuf.message import DecodeError

    def refuse(key: str, **values: object) -> FileFormatError:
        return FileFormatError(key, path=path, **values)

    files.check_plain(path)
    if os.path.getsize(path) > _MOST:
        raise refuse("error.onnx.damaged", why=f"> {_MOST:,} bytes")
    proto = onnx.ModelProto()
    data = Path(path).read_bytes()
    _check_entries(data, path)
    try:
        proto.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise refuse("error.onnx.damaged", why=files.one_line(error)) from None
    del data
    opsets = [opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")]
    if not proto.HasField("graph") or len(opsets) != 1:
        raise refuse("error.onnx.damaged", why="graph, opset_import")
    if opsets[0] < _OLDEST_OPSET:
        raise refuse("error.onnx.opset", got=opsets[0], oldest=_OLDEST_OPSET)
    for name in ("functions", "training_info"):
        if getattr(proto, name):
            raise refuse("error.onnx.holds", what=name)
    if proto.graph.sparse_initializer:
        raise refuse("error.onnx.holds", what="sparse_initializer")
    graph = proto.graph
    names = [*graph.initializer, *graph.input, *graph.output, *graph.node]
    texts = [entry.name for entry in names] + [
        text for node in graph.node for text in (node.op_type, node.domain, *node.input, *node.output)
    ]
    if not all(isinstance(text, str) for text in texts):  # bytes that are no UTF-8 come as they are
        raise refuse("error.onnx.damaged", why="UTF-8")
    content = _content(proto, path)
    tensors: dict[str, Array] = {}
    for tensor in proto.graph.initializer:
        if tensor.name in tensors:
            raise refuse("error.onnx.twice", name=tensor.name)
        _take_in(tensor, path)
        tensors[tensor.name] = array(tensor, path)
    return Document(path, proto, tensors, opsets[0], content)


# ---- the bytes ------------------------------------------------------------------------------------------------------


def _check_entries(data: bytes, path: str) -> None:
    """Refuse a file of very many tiny messages, which would take far more memory parsed than their bytes do.

    Counts the fields of the model and of its graph without parsing them: a key, a length, and on to the next.
    """
    remaining = _MOST_ENTRIES
    for field, start, stop in _fields(data, 0, len(data)):
        remaining -= 1
        if field == 7:
            remaining -= sum(1 for _, _ in zip(_fields(data, start, stop), range(_MOST_ENTRIES + 1), strict=False))
        if remaining < 0:
            raise FileFormatError("error.onnx.damaged", path=path, why=f"> {_MOST_ENTRIES:,} entries")


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field between two places; stops where the bytes make no sense."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
        return 0, end + 1

    while at < end:
        key, at = varint(at)
        kind, start = key & 7, at
        if kind == 0:
            _, at = varint(at)
        elif kind == 2:
            length, start = varint(at)
            at = start + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return
        if at > end:
            return
        yield key >> 3, start, at


# ---- tensors --------------------------------------------------------------------------------------------------------


def array(tensor: Any, path: str) -> Array:
    """Return a TensorProto as an array.

    Raises:
        FileFormatError: its type is not one of numbers that we use, or its bytes are not as many as its shape says.
    """
    onnx = package()
    T = onnx.TensorProto
    name, shape = tensor.name, tuple(tensor.dims)
    if tensor.data_type not in _NUMBERS:
        type_name = T.DataType.Name(tensor.data_type) if tensor.data_type in T.DataType.values() else tensor.data_type
        raise FileFormatError("error.onnx.tensor", path=path, name=name, shape=shape, got=type_name)
    count = math.prod(shape)
    if min(shape, default=0) < 0:
        raise FileFormatError("error.onnx.tensor", path=path, name=name, shape=shape, got="negative")
    if tensor.HasField("raw_data"):
        there, needed = len(tensor.raw_data), count * _NUMBERS[tensor.data_type]
    else:
        there, needed = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))), count
    if there != needed or tensor.HasField("segment"):
        raise FileFormatError("error.onnx.tensor", path=path, name=name, shape=shape, got=there)
    try:
        values: Array = np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise FileFormatError("error.onnx.tensor", path=path, name=name, shape=shape,
                              got=files.one_line(error)) from None  # fmt: skip
    return values.astype(np.float32) if tensor.data_type in (T.FLOAT16, T.BFLOAT16) else values


def _take_in(tensor: Any, path: str) -> None:
    """Read a tensor's external data, if that is where it is, and put it into the tensor.

    Raises:
        FileFormatError: it lies outside the model's folder, is no plain file, or is not as long as it should be.
    """
    onnx = package()
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        if tensor.external_data:
            raise FileFormatError("error.onnx.external", path=path, name=tensor.name, got="external_data")
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}

    def refuse(got: object) -> FileFormatError:
        return FileFormatError("error.onnx.external", path=path, name=tensor.name, got=got)

    location = entries.get("location", "")
    if len(entries) != len(tensor.external_data) or not location or "\0" in location or os.path.isabs(location):
        raise refuse(repr(location))
    folder = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    target = os.path.realpath(os.path.join(folder, location))
    if os.path.commonpath((folder, target)) != folder:
        raise refuse(repr(location))
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
        files.check_plain(target)
        size = os.path.getsize(target)
    except (ValueError, OSError) as error:
        raise refuse(files.one_line(error)) from None
    needed = math.prod(tensor.dims) * _NUMBERS.get(tensor.data_type, -1)
    if (
        offset < 0
        or length not in (-1, needed)
        or needed < 0
        or min(tensor.dims, default=0) < 0
        or offset + needed > size
    ):
        raise refuse(f"{offset}, {length}, {size}")
    try:
        with open(target, "rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(needed)
    except OSError as error:
        raise refuse(files.one_line(error)) from None
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT


# ---- what we add to a file ------------------------------------------------------------------------------------------


def sign(proto: Any, content: dict[str, Any]) -> None:
    """Put our own part into the metadata, with a checksum over all of the file."""
    text = files.as_json(content)
    proto.producer_name = PRODUCER
    package().helper.set_model_props(proto, {files.KEY: files.sealed(text, _checksum(proto, text))})


def _checksum(proto: Any, text: str) -> str:
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True))
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _content(proto: Any, path: str) -> dict[str, Any] | None:
    """Return our own part of the metadata; None in a file that others wrote.

    Raises:
        FileFormatError: the file is ours, and damaged, changed or newer.
    """
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    if proto.producer_name != PRODUCER and files.KEY not in metadata:
        return None
    properties = list(proto.metadata_props)
    del proto.metadata_props[:]  # the checksum was taken before there were any
    content = files.unsealed(
        metadata.get(files.KEY, ""), path, lambda text, _: _checksum(proto, text),
        changed="error.onnx.changed", malformed="error.onnx.changed",
    )  # fmt: skip
    proto.metadata_props.extend(properties)
    return content
