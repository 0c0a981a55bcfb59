"""Functions of higher parts that objects of lower ones offer as methods, by name: imported when they are first called.

A trace draws itself, though drawing stands above traces. So that imports go one way, the lower part calls a name, and
the package above all, :mod:`compuerta`, says here which function stands behind it. Whoever has a better one may
register it in its place.

>>> from compuerta import hooks
>>> hooks.register("shout", "builtins:print")
>>> hooks.call("shout", "ahora")
ahora
"""

from __future__ import annotations

from importlib import import_module
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
