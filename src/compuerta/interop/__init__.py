"""Models in and out of files: our own, and those of other frameworks.

:func:`save` and :func:`load` are for our own files. :func:`read` and :func:`write` know every format of
:data:`formats.FORMATS`; the adapters (``interop.pytorch``, ``interop.keras`` ...) also convert in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import hooks
from .formats import read, write
from .model_file import load, save

_ADAPTERS = ["equinox", "flax", "karpathy", "keras", "onnx", "pytorch", "tensorflow1"]

__all__ = ["load", "read", "save", "write", *_ADAPTERS]

if TYPE_CHECKING:
    from . import equinox as equinox
    from . import flax as flax
    from . import karpathy as karpathy
    from . import keras as keras
    from . import onnx as onnx
    from . import pytorch as pytorch
    from . import tensorflow1 as tensorflow1
else:

    def __getattr__(name):
        return hooks.submodule(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)
