"""The registry of file formats: which there are, which one a file is in, reading and writing in any of them.

Each format is one module of this package, its *adapter*, imported when a file calls for it. An adapter offers the
functions of :class:`Adapter`. Models meet in the middle: every adapter reads into our layers and writes from them, so
that n formats need n adapters and not n².
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import CompuertaError, FileFormatError, Phrase, SettingError
from ..layers import Layer, Recurrent, Sequential
from ..tasks import Task
from ..tasks.base import network_of
from . import gate_orders

Array = NDArray[Any]
Model = Layer | Task
Kind = TypeVar("Kind", bound=Layer | Task)
Path = str | os.PathLike[str]
#: Takes what a person should know about a conversion, such as "two biases were summed".
Note = Callable[[Phrase], None]


def unnoted(phrase: Phrase) -> None:
    """Take a note and do nothing with it."""


@dataclass(frozen=True)
class Runner:
    """A model as its own framework runs it, for comparison.

    Attributes:
        name: the framework and its version.
        run: ``run(x, state) -> (y, state)`` in our conventions: ``x`` (N, T, F), or token ids (N, T); a state as our
            layer takes it, or None; the state that comes back is None where the file's model gives none.
        takes_state: whether ``run`` takes an initial state other than None.
    """

    name: str
    run: Callable[[Array, Any], tuple[Array, Any]]
    takes_state: bool = True


@dataclass(frozen=True)
class Description:
    """What a file says of itself before a model is made of it.

    Attributes:
        tensors: name, dtype and shape of each, as they stand in the file.
        facts: more, such as the version that wrote it: a key of ``cli.info.*`` and its value.
    """

    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Adapter(Protocol):
    """What a module of this package offers to be a format. ``read`` and ``write`` may take further options by name."""

    def recognise(self, path: str, head: bytes) -> bool:
        """Return whether the file is in this format, from its first bytes (and more of it where they do not tell)."""

    def read(self, path: str, *, note: Note = unnoted) -> Model:
        """Return the model of a file that may be hostile: nothing is run, nothing allocated beyond its size."""

    def write(self, model: Model, path: str, *, note: Note = unnoted) -> None:
        """Write a model, whole or not at all; what the format cannot hold is refused by name."""

    def describe(self, path: str) -> Description:
        """Return what is in a file, without its framework."""

    def runner(self, path: str, *, ours: bool) -> Runner | None:
        """Return the file's model as its framework runs it, or None if that is not installed.

        Only a file that we wrote (``ours``) may be handed to the framework's own loader; of one that came from others
        the weights that :meth:`read` accepted are set into a model made here.
        """


@dataclass(frozen=True)
class Format:
    """One format: its name for ``--from`` and ``--to``, its title, and the ends of file names that choose it."""

    name: str
    title: str
    module: str
    suffixes: tuple[str, ...]

    @property
    def adapter(self) -> Adapter:
        """The module that reads and writes it, imported now."""
        return cast(Adapter, import_module(f".{self.module}", __package__))


#: In the order in which they are asked whether a file is theirs.
FORMATS: Mapping[str, Format] = {
    f.name: f
    for f in (
        Format("compuerta", "compuerta", "model_file", (".safetensors",)),
        Format("pytorch", "PyTorch", "pytorch", (".pytorch.safetensors", ".pt", ".pth")),
        Format("keras", "Keras", "keras", (".keras", ".weights.h5")),
        Format("onnx", "ONNX", "onnx", (".onnx",)),
        Format("tensorflow1", "TensorFlow 1 BasicLSTMCell", "tensorflow1", (".tf1.npz",)),
        Format("flax", "Flax", "flax", (".flax.npz",)),
        Format("equinox", "Equinox", "equinox", (".equinox.npz",)),
        Format("karpathy", "Karpathy's NumPy LSTM", "karpathy", (".karpathy.npz",)),
    )
}


def named(name: str) -> Format:
    """Return the format of a name.

    Raises:
        SettingError: there is none of that name.
    """
    if name not in FORMATS:
        raise SettingError("error.interop.format", got=repr(name), known=", ".join(FORMATS))
    return FORMATS[name]


def find(path: Path) -> Format:
    """Return the format that a file is in: by its content, and where that does not tell, by its name.

    Raises:
        FileFormatError: neither tells, or it is no plain file.
        OSError: it cannot be opened.
    """
    name = os.fspath(path)
    found = by_content(path) or _by_suffix(name)
    if found is None:
        raise FileFormatError("error.interop.unknown", path=name, known=", ".join(f.title for f in FORMATS.values()))
    return found


def by_content(path: Path) -> Format | None:
    """Return the format that a file is in by its content, None where that does not tell.

    Raises:
        FileFormatError: it is no plain file.
        OSError: it cannot be opened.
    """
    files.check_plain(path)
    with open(path, "rb") as file:
        head = file.read(64)
    return next((known for known in FORMATS.values() if known.adapter.recognise(os.fspath(path), head)), None)


def target(path: Path) -> Format:
    """Return the format in which a file of this name is to be written.

    Raises:
        SettingError: its name says none.
    """
    name = os.fspath(path)
    found = _by_suffix(name)
    if found is None:
        known = ", ".join(suffix for f in FORMATS.values() for suffix in f.suffixes)
        raise SettingError("error.interop.target", path=name, known=known)
    return found


@overload
def read(
    path: Path, format: str | None = None, *, kind: None = None, note: Note = unnoted, **options: Any
) -> Model: ...


@overload
def read(path: Path, format: str | None = None, *, kind: type[Kind], note: Note = unnoted, **options: Any) -> Kind: ...


def read(
    path: Path, format: str | None = None, *, kind: type[Any] | None = None, note: Note = unnoted, **options: Any
) -> Any:
    """Return the model of a file in any format.

    Args:
        path: the file.
        format: a name of :data:`FORMATS`, where the file itself does not tell.
        kind: the class that must come, such as :class:`compuerta.layers.Sequential`; a type checker then knows it. Any
            if None.
        note: called with what should be known about the reading, such as biases that were summed.
        options: what the format's own ``read`` takes besides.

    Raises:
        FileFormatError: the file is damaged, does not fit together, holds what our layers cannot express, or another
            class than ``kind``.
        MissingExtraError: a package that reads this format is not installed.
        SettingError: there is no such format or option.
        OSError: it cannot be opened.
    """
    chosen = find(path) if format is None else named(format)
    files.check_plain(path)
    adapter = chosen.adapter
    _check_options(chosen, adapter.read, options)
    name = os.fspath(path)
    try:
        return checked_kind(adapter.read(name, note=note, **options), kind, name)
    except (FileFormatError, SettingError, ImportError, OSError):
        raise
    except (CompuertaError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
            MemoryError) as error:  # fmt: skip
        # What no check of the adapter foresaw: still an error about the file, in one line.
        raise FileFormatError("error.file.config", path=name, name=chosen.title, why=files.one_line(error)) from None


def write(model: Model, path: Path, format: str | None = None, *, note: Note = unnoted, **options: Any) -> None:
    """Write a model in the format named, or in the one that the file's name says. See :func:`read`."""
    chosen = target(path) if format is None else named(format)
    adapter = chosen.adapter
    _check_options(chosen, adapter.write, options)
    adapter.write(model, os.fspath(path), note=note, **options)


def checked_kind(model: Model, kind: type[Any] | None, path: str) -> Any:
    """Return a model that was read, if it is of the class that was asked for.

    Raises:
        FileFormatError: it is of another class.
    """
    if kind is not None and not isinstance(model, kind):
        raise FileFormatError("error.file.other_class", path=path, got=type(model).__name__, expected=kind.__name__)
    return model


def takes(function: Callable[..., Any]) -> set[str]:
    """Return the names of the options of an adapter's ``read`` or ``write``."""
    return {p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY} - {"note"}


def _check_options(chosen: Format, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in takes(function):
            raise SettingError("error.interop.option", format=chosen.title, name=name)


def _by_suffix(name: str) -> Format | None:
    lower = name.lower()
    ends: Iterator[tuple[str, Format]] = ((s, f) for f in FORMATS.values() for s in f.suffixes if lower.endswith(s))
    return max(ends, key=lambda pair: len(pair[0]), default=("", None))[1]


def gate_order(format: str, model: Model) -> str:
    """Return the order in which a format stacks the blocks of a model's cells, as its system writes it."""
    layers = _layers(network_of(model))
    titles = {layer.kind.title for layer in layers if isinstance(layer, Recurrent)}
    tables = [table for title, table in gate_orders.CELLS.items() if title in titles]
    return ", ".join(gate_orders.spelled(table[format], format) for table in tables if format in table)


def _layers(model: Layer | None) -> list[Layer]:
    if isinstance(model, Sequential):
        return [part for layer in model.layers for part in _layers(layer)]
    return [] if model is None else [model]


def tensor_table(tensors: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return what :class:`Description` tells of some arrays."""
    return {name: (np.dtype(a.dtype).name, a.shape) for name, a in tensors.items()}
