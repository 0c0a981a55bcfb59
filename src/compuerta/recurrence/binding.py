"""The C library of the native engine: finding it, loading it, and the one struct that its functions take.

``native/compuerta.h`` says what each field is. Where there is no library, or it cannot be loaded here, :func:`load`
says why and the NumPy engine serves.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import Phrase

_NUMBER, _POINTER = ctypes.c_int64, ctypes.c_void_p


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class Run(ctypes.Structure):
    """``struct run`` of native/compuerta.h."""

    _fields_ = [
        *_fields(_NUMBER, "cell bits tokens features hidden n t reverse record"),
        *_fields(_POINTER, "order length"),
        *_fields(_NUMBER, "threads variant"),
        *_fields(_POINTER, "w_x w_h b b_hn x_panels h_panels bias_panels bias_hn_panels x_back h_back"),
        *_fields(_POINTER, "x"), *_fields(_NUMBER, "x_n x_t"),
        *_fields(_POINTER, "h0 c0 y"), *_fields(_NUMBER, "y_n y_t"),
        *_fields(_POINTER, "h_n c_n xs z h c tanh_c"),
        *_fields(_POINTER, "dy"), *_fields(_NUMBER, "dy_n dy_t"),
        *_fields(_POINTER, "dh_n dc_n dz dx"), *_fields(_NUMBER, "dx_n dx_t"),
        *_fields(_POINTER, "dw_x dw_h db db_hn dh_0 dc_0 scratch above"),
        *_fields(_NUMBER, "rows chunks steps"),
    ]  # fmt: skip


class AdamStep(ctypes.Structure):
    """``struct adam_step`` of native/compuerta.h."""

    _fields_ = [
        *_fields(_POINTER, "parameters m v gradient"),
        *_fields(_NUMBER, "n"),
        *_fields(ctypes.c_double, "beta1 beta2 rate root epsilon decay_gradient decay_parameters"),
    ]


class Dense(ctypes.Structure):
    """``struct dense`` of native/compuerta.h."""

    _fields_ = [
        *_fields(_NUMBER, "rows inputs outputs"),
        *_fields(_POINTER, "x w b y dy dx dw db targets keep"),
        ("scale", ctypes.c_double),
        ("total", ctypes.POINTER(ctypes.c_double)),
    ]


_NAMES = ("compuerta_native.so", "compuerta_native.dylib")
_RUN = ctypes.POINTER(Run)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "variants": (ctypes.c_char_p, []),
    "lanes": (_NUMBER, [_NUMBER, _NUMBER]),
    "run_size": (_NUMBER, []),
    "plan": (ctypes.c_int, [_RUN]),
    "pack": (None, [_RUN]),
    "pack_back": (None, [_RUN]),
    "forward": (ctypes.c_int, [_RUN]),
    "backward": (ctypes.c_int, [_RUN]),
    "read": (ctypes.c_int, [_RUN, _NUMBER, _POINTER]),
    "step_size": (_NUMBER, [_RUN]),
    "step": (None, [_RUN]),
    "peak": (ctypes.c_double, [_NUMBER, _NUMBER, ctypes.c_double]),
    "bandwidth": (ctypes.c_double, [_NUMBER, _POINTER, _NUMBER, ctypes.c_double]),
    "cross_entropy": (
        ctypes.c_int,
        [*[_NUMBER] * 4, *[_POINTER] * 3, ctypes.c_double, _POINTER, ctypes.POINTER(ctypes.c_double), _NUMBER],
    ),
    "adam": (None, [_NUMBER, _NUMBER, ctypes.POINTER(AdamStep), _NUMBER]),
    "sum_of_squares": (ctypes.c_double, [_NUMBER, _NUMBER, _POINTER, _NUMBER, _NUMBER]),
    "all_finite": (ctypes.c_int, [_NUMBER, _NUMBER, _POINTER, _NUMBER, _NUMBER]),
    **{
        name: (ctypes.c_int, [_NUMBER, _NUMBER, ctypes.POINTER(Dense), _NUMBER])
        for name in ("dense", "dense_back", "dense_cross_entropy")
    },
    "activate": (None, [_NUMBER, _NUMBER, _NUMBER, _POINTER, _NUMBER]),
}


class Library:
    """The functions of the library, each under its name without ``compuerta_``. They release the GIL."""

    def __init__(self, path: str) -> None:
        loaded = ctypes.CDLL(path)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, f"compuerta_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        if self.run_size() != ctypes.sizeof(Run):
            raise OSError(f"{path}: made for another version of compuerta")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def find() -> Path | None:
    """Return where the library is: ``COMPUERTA_NATIVE_LIBRARY``, or in this package."""
    named = os.environ.get("COMPUERTA_NATIVE_LIBRARY")
    if named:
        return Path(named)
    # An editable install has two folders: the sources', and that of what was built.
    folders = sys.modules[__package__].__path__
    return next((path for folder in folders for name in _NAMES if (path := Path(folder, name)).is_file()), None)


@cache
def load() -> Library | Phrase:
    """Return the library, or the reason why there is none."""
    at = find()
    if at is None:
        return Phrase("native.missing")
    try:
        return Library(str(at))
    except (OSError, AttributeError) as error:
        return Phrase("native.unusable", reason=str(error))
