"""Functions of higher modules that lower ones offer as methods, called by name and imported on the first call.

A trace has a method that draws it, but the drawing module imports traces. To keep imports one-way, the lower module
calls a name, and :mod:`compuerta`, above all of them, registers the function for it. You may register another in its
place.

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
