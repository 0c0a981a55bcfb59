"""Our own model file: one safetensors file with everything that makes the model run again."""

from __future__ import annotations

import os
import shlex
import warnings
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import CompuertaError, FileFormatError, NotFiniteWarning, SettingError
from ..layers import LAYERS, Layer, Sequential
from ..tasks import TASKS, Task
from ..tasks.base import build, fill, task_of
from . import formats
from .formats import Description, Kind, Note, checked_kind, tensor_table, unnoted

Array = NDArray[Any]


def save(model: Task | Layer, path: str | os.PathLike[str]) -> None:
    """Write a fitted task or a layer to one safetensors file, atomically.

    Tensors are stored by name; configuration, vocabulary and scaling as JSON in the metadata, with a format version
    and a checksum. See :mod:`compuerta.files`.

    Raises:
        SettingError: ``model`` is neither, or ``path`` is a folder or a link.
        NotFittedError: the task has not been fitted.
        OSError: the file cannot be written; one that was there stays as it was.

    >>> import tempfile, compuerta
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     compuerta.save(compuerta.LSTM(2, 3, rng=0), f"{folder}/layer.safetensors")
    ...     compuerta.load(f"{folder}/layer.safetensors", compuerta.LSTM).hidden_size
    3
    """
    files.write(path, *contents(model))


def contents(model: Task | Layer) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the tensors of a model, and all else that :func:`model_of` needs to make it again.

    Raises:
        SettingError, NotFittedError: as in :func:`save`.
    """
    task = task_of(model)
    if task is not None and TASKS.get(type(task).__name__) is type(task):
        tensors, content = task.to_file()
        return tensors, {"kind": type(task).__name__, **content}
    if isinstance(model, Layer):
        _check_known(model)
        return dict(model.parameters), {"kind": "Layer", "model": [model.name, model.config()]}
    raise SettingError("error.not_saveable", got=type(model).__name__)


@overload
def load(path: str | os.PathLike[str]) -> Task | Layer: ...


@overload
def load(path: str | os.PathLike[str], kind: type[Kind]) -> Kind: ...


def load(path: str | os.PathLike[str], kind: type[Any] | None = None) -> Any:
    """Return the task or layer of a file written by :func:`save`.

    Weights that are not finite load with a warning.

    Args:
        path: the file.
        kind: the class that it must hold, such as :class:`compuerta.LanguageModel`; a type checker then knows what
            comes. Any if None.

    Raises:
        FileFormatError: the file is not one of ours, is damaged, does not fit together, or holds another class.
        OSError: it cannot be opened.
    """
    name = os.fspath(path)
    try:
        content = files.read(path)
    except FileFormatError as error:
        raise _of_another(name) or error from None
    return checked_kind(model_of(*content, name), kind, name)


def _of_another(name: str) -> FileFormatError | None:
    """Return an error that says what a file is and which command makes it usable, if it is another framework's."""
    try:
        found = formats.by_content(name)
    except (FileFormatError, OSError):
        return None
    target = os.path.splitext(name)[0] + ".safetensors"
    if found is None or found.name == "compuerta" or target == name:
        return None
    command = shlex.join(["compuerta", "convert", name, target])
    return FileFormatError("error.file.foreign", path=name, format=found.title, command=command)


def model_of(tensors: dict[str, Array], content: dict[str, Any], name: str) -> Any:
    """Return the model that :func:`contents` described; ``name`` is the file's, for messages.

    Raises:
        FileFormatError: tensors and content do not fit together.
    """
    for key, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            warnings.warn(NotFiniteWarning("warning.not_finite", path=name, name=key), stacklevel=3)
    kind = content.get("kind")
    try:
        if kind in TASKS:
            return TASKS[kind].from_file(tensors, content, name)
        if kind == "Layer":
            layer = build(*_pair(content["model"]), name)
            fill(layer, tensors, name)
            return layer
    except FileFormatError:
        raise
    except (CompuertaError, KeyError, TypeError, ValueError, AttributeError, AssertionError, OverflowError,
            RecursionError, MemoryError) as error:  # fmt: skip
        raise FileFormatError("error.file.config", path=name, name=kind, why=files.one_line(error)) from None
    raise FileFormatError("error.file.unknown_class", path=name, got=repr(kind))


# ---- as one of the formats; see compuerta.interop.formats ------------------------------------------------------------


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is a safetensors file with our metadata."""
    return head[8:9] == b"{" and files.KEY in (files.metadata(path) or {})


def read(path: str, *, note: Note = unnoted) -> Task | Layer:
    """Return the model of a file; see :func:`load`."""
    return load(path)


def write(model: Task | Layer, path: str, *, note: Note = unnoted) -> None:
    """Write a model; see :func:`save`."""
    save(model, path)


def describe(path: str) -> Description:
    """Return the tensors of a file."""
    tensors, _ = files.read(path)
    return Description(tensor_table(tensors))


def runner(path: str, *, ours: bool) -> None:
    """Return None: our own layers are what every other side is compared with."""


def _pair(model: Any) -> tuple[str, dict[str, Any]]:
    kind, config = model
    return kind, config


def _check_known(layer: Layer) -> None:
    """Refuse to write a layer that could not be read back."""
    if LAYERS.get(layer.name) is not type(layer):
        raise SettingError("error.not_saveable", got=type(layer).__name__)
    if isinstance(layer, Sequential):
        for part in layer.layers:
            _check_known(part)
