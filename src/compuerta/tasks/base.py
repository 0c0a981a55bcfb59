"""What every task is: settings in the constructor, what was learnt in attributes that end in ``_``, one file."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import NDArray

from ..errors import FileFormatError, NotFittedError, Phrase, SettingError
from ..layers import LAYERS, Blank, Layer, Sequential

Array = NDArray[Any]


class Task(ABC):
    """Base of the tasks, with scikit-learn's conventions: the constructor stores its arguments and does nothing else.

    ``fit`` returns ``self``; ``get_params`` and ``set_params`` make ``sklearn.base.clone`` work.
    """

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Task:
        """Set constructor arguments by name.

        Raises:
            SettingError: there is no such argument.
        """
        for name, value in params.items():
            if name not in self._names():
                raise SettingError("error.unknown_param", name=type(self).__name__, got=name,
                                   known=", ".join(self._names()))  # fmt: skip
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        default = {k: p.default for k, p in inspect.signature(type(self).__init__).parameters.items()}
        changed = {k: v for k, v in self.get_params().items() if default[k] is not v and default[k] != v}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def _check_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError("error.not_fitted", name=type(self).__name__)

    # ---- one file; see compuerta.interop ----------------------------------------------------------------------------

    @abstractmethod
    def to_file(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return tensors and JSON values from which :meth:`from_file` makes an equal task."""

    @classmethod
    @abstractmethod
    def from_file(cls, tensors: dict[str, Array], content: dict[str, Any], path: str) -> Task:
        """Return the task that :meth:`to_file` described; ``path`` is for messages."""


def build(name: str, config: dict[str, Any], path: str) -> Layer:
    """Return a layer from its class name and config, by a fixed list of classes: a file cannot name anything else.

    Raises:
        FileFormatError: the class is not one of ours.
        Exception: the config does not fit it, in whatever way; ``load`` tells that of the file.
    """
    if name == "Sequential":
        return Sequential(*(build(kind, inner, path) for kind, inner in config["layers"]))
    if name not in LAYERS:
        raise FileFormatError("error.file.unknown_class", path=path, got=repr(name))
    takes_rng = "rng" in inspect.signature(LAYERS[name]).parameters
    return LAYERS[name](**config, **({"rng": Blank()} if takes_rng else {}))


def fill(layer: Layer, tensors: dict[str, Array], path: str, prefix: str = "") -> None:
    """Write the tensors named ``prefix...`` into a layer's parameters; a missing, extra or misshapen one is named.

    Raises:
        FileFormatError: the tensors are not those of this layer.
    """
    names = {prefix + name: name for name in layer.parameters}
    given = {name for name in tensors if name.startswith(prefix)}

    def refuse(name: str, expected: object, got: object) -> FileFormatError:
        return FileFormatError("error.file.tensor", path=path, name=name, expected=expected, got=got)

    for full in sorted(given ^ set(names)):
        if full in given:
            raise refuse(full, Phrase("word.absent"), tensors[full].shape)
        raise refuse(full, layer.parameters.shapes[names[full]], Phrase("word.nothing"))
    for full, name in names.items():
        mine, theirs = layer.parameters[name], tensors[full]
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise refuse(full, f"{mine.dtype} {mine.shape}", f"{theirs.dtype} {theirs.shape}")
        layer.parameters[name] = theirs
