"""Functions of higher modules that lower ones offer as methods, called by name and imported on the first call.

A trace has a method that draws it, but the drawing module imports traces. To keep imports one-way, the lower module
calls a name, and :mod:`compuerta`, above all of them, registers the function for it. You may register another in its
place.

>>> from compuerta import hooks
>>> hooks.register("shout", "builtins:print")
>>> hooks.call("shout", "ahora")
ahora

Submodules resolve by attribute in the same way, as ``compuerta.see.readings`` does: imported at their first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_FUNCTIONS: dict[str, str] = {}


def register(name: str, function: str) -> None:
    """Let ``call(name, ...)`` call ``function``, written ``"module:function"``."""
    _FUNCTIONS[name] = function


def call(name: str, *args: Any, **options: Any) -> Any:
    """Call the function that is registered under a name.

    Raises:
        KeyError: there is none.
    """
    module, _, function = _FUNCTIONS[name].partition(":")
    return getattr(import_module(module), function)(*args, **options)


def submodule(package: str, name: str) -> ModuleType:
    """Return the module ``name`` of a package, for the package's ``__getattr__``.

    Raises:
        AttributeError: it has none.

    >>> from compuerta import hooks
    >>> hooks.submodule("compuerta", "textbook").__name__
    'compuerta.textbook'
    """
    if name.startswith("_") or find_spec(f"{package}.{name}") is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return import_module(f"{package}.{name}")
