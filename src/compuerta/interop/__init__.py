"""Models in and out of files: our own, and those of other frameworks.

:func:`save` and :func:`load` are for our own files. :func:`read` and :func:`write` know every format of
:data:`formats.FORMATS`; the adapters (``interop.pytorch``, ``interop.keras`` ...) also convert in memory.
"""

from .formats import read, write
from .model_file import load, save

__all__ = ["load", "read", "save", "write"]
