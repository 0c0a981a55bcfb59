"""The C library of the native engine: finding it, loading it, and the structs that its functions take.

``native/compuerta.h`` says what each field is. Where there is no library, or it cannot be loaded here, :func:`load`
says why and the NumPy engine serves.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import Phrase

_NUMBER, _POINTER = ctypes.c_int64, ctypes.c_void_p


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class ActivationOf(ctypes.Structure):
    """``struct activation``: ``kind`` counts along :data:`ACTIVATIONS`."""

    _fields_ = [*_fields(_NUMBER, "kind"), *_fields(ctypes.c_double, "alpha beta")]


class Layer(ctypes.Structure):
    """``struct layer`` of native/compuerta.h."""

    _fields_ = [
        *_fields(_NUMBER, "cell bits isa features hidden output variant"),
        *_fields(_NUMBER, "input_gate forget_gate output_gate coupled peepholes projection"),
        *_fields(ActivationOf, "gates candidate shown"),
        *_fields(ctypes.c_double, "clip cell_clip"),
    ]


class Parameters(ctypes.Structure):
    """``struct parameters``: as the layer has them."""

    _fields_ = _fields(_POINTER, "w_x w_h b b_hn peepholes w_hr")


class PackedWeights(ctypes.Structure):
    """``struct weights``: as the library has them."""

    _fields_ = [
        *_fields(_POINTER, "x_panels h_panels bias_panels bias_hn_panels peephole_panels hr_panels"),
        *_fields(_POINTER, "x_back h_back hr_back"),
    ]


class TapeBuffers(ctypes.Structure):
    """``struct tape``."""

    _fields_ = [*_fields(_NUMBER, "rows chunks steps"), *_fields(_POINTER, "xs z h c tanh_c before out")]


class Forward(ctypes.Structure):
    """``struct forward``: one pass over a batch."""

    _fields_ = [
        *_fields(_POINTER, "layer weights"),
        *_fields(_NUMBER, "n t tokens reverse threads"),
        *_fields(_POINTER, "order length tape"),
        *_fields(_POINTER, "x"), *_fields(_NUMBER, "x_n x_t"),
        *_fields(_POINTER, "h0 c0 y"), *_fields(_NUMBER, "y_n y_t"),
        *_fields(_POINTER, "h_n c_n"),
    ]  # fmt: skip


class Backward(ctypes.Structure):
    """``struct backward``: the way back from a pass that was recorded."""

    _fields_ = [
        *_fields(_POINTER, "forward"), *_fields(_NUMBER, "threads"),
        *_fields(_POINTER, "dy"), *_fields(_NUMBER, "dy_n dy_t"),
        *_fields(_POINTER, "dh_n dc_n dz dx"), *_fields(_NUMBER, "dx_n dx_t"),
        *_fields(_POINTER, "dh dw_x dw_h db db_hn dpeepholes dw_hr dh_0 dc_0"),
    ]  # fmt: skip


class Step(ctypes.Structure):
    """``struct step``: one step of a stream."""

    _fields_ = [
        *_fields(_POINTER, "layer weights"), *_fields(_NUMBER, "n tokens"),
        *_fields(_POINTER, "x"), *_fields(_NUMBER, "x_n"),
        *_fields(_POINTER, "h c scratch above"),
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
#: The version of native/compuerta.h that this file describes.
INTERFACE = 4
_LAYER, _FORWARD, _STEP = (ctypes.POINTER(kind) for kind in (Layer, Forward, Step))
_PACKING = [_LAYER, ctypes.POINTER(Parameters), ctypes.POINTER(PackedWeights)]
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "isas": (ctypes.c_char_p, []),
    "lanes": (_NUMBER, [_NUMBER, _NUMBER]),
    "pack": (None, [*_PACKING, _NUMBER]),
    "pack_back": (None, [*_PACKING, _NUMBER, _NUMBER]),
    "plan": (ctypes.c_int, [_FORWARD, ctypes.POINTER(TapeBuffers)]),
    "forward": (ctypes.c_int, [_FORWARD]),
    "call": (ctypes.c_int, [_POINTER, _NUMBER, _NUMBER, _NUMBER, _POINTER, _POINTER, _POINTER, _POINTER]),
    "backward": (ctypes.c_int, [ctypes.POINTER(Backward)]),
    "read": (ctypes.c_int, [_FORWARD, _NUMBER, _POINTER]),
    "step_size": (_NUMBER, [_STEP]),
    "step": (None, [_STEP]),
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
    """The functions of the library, each under its name without ``compuerta_``. They release the GIL.

    Raises:
        OSError: ``path`` is no library, or not one that this version of the package can call.
    """

    def __init__(self, path: str) -> None:
        if _cut_short(path):
            raise OSError(f"{path}: the file is cut short")
        loaded = ctypes.CDLL(path)
        version = getattr(loaded, "compuerta_interface", None)
        if version is None or version() != INTERFACE:
            raise OSError(f"{path}: not the library of this version of compuerta")
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, f"compuerta_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _cut_short(path: str) -> bool:
    """Return whether a library in ELF lacks its end, where its table of sections is: the system would map what is not
    there, and the process die of it."""
    file = Path(path)
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        head = opened.read(64)
    if head[:5] != b"\x7fELF\x02":
        return False
    if len(head) < 64:
        return True
    at, size, count = struct.unpack("<Q10xHH", head[40:62])  # of the table of sections
    return bool(at + size * count > file.stat().st_size)


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
    except OSError as error:
        return Phrase("native.unusable", reason=str(error))
