"""The choice of engine: which engines are available here, and which one layers use."""

from __future__ import annotations

import os
from functools import cache

from ..errors import Phrase, SettingError
from .binding import Library, load
from .contract import Cell, Engine
from .native import NativeEngine
from .numpy_engine import MIN_LSTM, NumpyEngine
from .variant import Variant


@cache
def engines() -> dict[str, Engine]:
    """Return the available engines, best first; each variant of the native engine has its own name."""
    numpy = NumpyEngine()
    library = load()
    result: dict[str, Engine] = {}
    if isinstance(library, Library):
        variants = library.isas().decode().split()
        result["native"] = NativeEngine("native", library, 0, numpy)
        for k, variant in enumerate(variants):
            name = f"native:{variant}"
            result[name] = NativeEngine(name, library, k, numpy)
    return {**result, "numpy": numpy}


def variants() -> list[str]:
    """Return the instruction sets that the native engine supports on this machine, the one in use first."""
    return [name.split(":")[1] for name in engines() if ":" in name]


def why_not_native() -> Phrase | None:
    """Return why the native engine is unavailable, or None if it is available."""
    library = load()
    return None if isinstance(library, Library) else library


_active: Engine | None = None


def active() -> Engine:
    """Return the engine that layers use: the one chosen, else ``COMPUERTA_ENGINE``, else the best available."""
    global _active
    if _active is None:
        _active = _find(os.environ.get("COMPUERTA_ENGINE") or next(iter(engines())))
    return _active


def min_lstm() -> Cell:
    """Return the minimal LSTM, the NumPy engine's."""
    return MIN_LSTM


def lstm(variant: Variant) -> Cell:
    """Return the active engine's LSTM with these switches."""
    return active().lstm_variant(variant)


def _find(name: str) -> Engine:
    available = engines()
    if not isinstance(name, str) or name not in available:
        reason = why_not_native()
        if reason is not None and isinstance(name, str) and name.split(":")[0] == "native":
            raise SettingError("error.engine_native", reason=reason)
        raise SettingError("error.engine", got=repr(name), known=", ".join(available))
    return available[name]


def engine() -> str:
    """Return the name of the active engine: "native", or "numpy" where there is no library.

    >>> from compuerta import engine
    >>> engine() in ("native", "numpy")
    True
    """
    return active().name


def use_engine(name: str) -> None:
    """Choose the engine by name, for the whole process: "native", "numpy".

    "native:avx2" and the like name one variant of the native engine's code, for tests and measurements.

    Raises:
        SettingError: there is no such engine on this machine.
    """
    global _active
    _active = _find(name)
