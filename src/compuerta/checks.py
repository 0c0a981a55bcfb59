"""Checks at the public boundary. Each exists once, runs before any work is done and raises a typed error.

What comes in is converted, never changed: integers, booleans, float16 and foreign byte orders are cast to the dtype of
the layer; strided, Fortran-ordered and read-only arrays are read as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DTypeError, NonFiniteError, Phrase, SettingError, ShapeError

Array = NDArray[Any]

#: No array may need more bytes than an address can name.
_MOST_BYTES = 2**63 - 1


def size(value: object, name: str, argument: str) -> int:
    """Return ``value`` as a positive int; ``True``, 2.5 and 0 are refused."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ShapeError(f"error.{argument}", name=name, got=repr(value))
    return int(value)


def fits(name: str, shape: Sequence[int], itemsize: int) -> None:
    """Refuse a shape whose bytes overflow an address, before anything is allocated."""
    if math.prod(shape) * itemsize > _MOST_BYTES:
        raise ShapeError("error.too_large", name=name, shape=tuple(shape))


def float_dtype(dtype: Any, name: str) -> np.dtype[Any]:
    """Return float32 or float64 as a native dtype; anything else is refused."""
    for candidate in (np.dtype(np.float32), np.dtype(np.float64)):
        try:
            if dtype is not None and np.dtype(dtype).newbyteorder("=") == candidate:
                return candidate
        except TypeError:
            break
    raise DTypeError("error.dtype", name=name, got=repr(dtype))


def generator(rng: Any, name: str) -> np.random.Generator:
    """Return a Generator: the one given, or a new one from a seed (or from the system's entropy for ``None``)."""
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    if isinstance(rng, bool) or not isinstance(rng, Integral) or rng < 0:
        raise SettingError("error.rng", name=name, got=repr(rng))
    return np.random.default_rng(int(rng))


def number(
    value: object, name: str, *, low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> float:
    """Return ``value`` as a finite float in ``[low, high]`` (``(low, high]`` if ``open_low``)."""
    if not isinstance(value, bool) and isinstance(value, Real):
        x = float(value)
        if math.isfinite(x) and low <= x <= high and not (open_low and x == low):
            return x
    bounds = "" if low == -math.inf else f" {'>' if open_low else '>='} {low:g}"
    bounds += "" if high == math.inf else f" <= {high:g}"
    raise SettingError("error.number", name=name, bounds=bounds, got=repr(value))


def count(value: object, name: str, *, low: int = 1) -> int:
    """Return ``value`` as an int that is at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
        raise SettingError("error.count", name=name, low=low, got=repr(value))
    return int(value)


def as_array(value: ArrayLike, name: str, argument: str, dtype: np.dtype[Any]) -> Array:
    """Return ``value`` as an array of ``dtype``; a ragged list, objects, text and complex numbers are refused."""
    try:
        array = np.asarray(value)
    except ValueError:  # NumPy's word for lists of unequal lengths
        raise ShapeError("error.ragged", name=name, argument=argument) from None
    if array.dtype.kind == "O" and any(hasattr(row, "__len__") and not isinstance(row, str) for row in array.flat):
        raise ShapeError("error.ragged", name=name, argument=argument)
    if array.dtype.kind not in "fiub":
        raise DTypeError("error.kind", name=name, argument=argument, got=array.dtype.name)
    if array.dtype == dtype:
        return array
    with np.errstate(all="ignore"):  # a float64 beyond float32's range becomes infinity, which saturates
        return array.astype(dtype)


def sequences(x: ArrayLike, name: str, features: int | None, dtype: np.dtype[Any]) -> tuple[Array, bool]:
    """Return ``x`` as (N, T, F) and whether it came as one sequence (T, F); with ``features=None`` any F will do."""
    array = as_array(x, name, "inputs", dtype)
    if features is None:
        features = array.shape[-1] if array.ndim else 0
    if array.ndim not in (2, 3) or array.shape[-1] != features:
        raise ShapeError("error.inputs", name=name, features=features, got=array.shape)
    return (array[None], True) if array.ndim == 2 else (array, False)


def tokens(x: ArrayLike, name: str, vocabulary: int) -> tuple[Array, bool]:
    """Return token ids ``x`` as (N, T) and whether they came as one sequence (T,)."""
    try:
        array = np.asarray(x)
    except ValueError:
        raise ShapeError("error.ragged", name=name, argument="tokens") from None
    if array.size == 0 and array.dtype.kind == "f":  # np.asarray([]) is float
        array = array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise DTypeError("error.tokens_kind", name=name, got=array.dtype.name)
    if array.ndim not in (1, 2):
        raise ShapeError("error.tokens_shape", name=name, got=array.shape)
    if array.size and (array.min() < 0 or array.max() >= vocabulary):
        bad = array[(array < 0) | (array >= vocabulary)][0]
        raise ShapeError("error.tokens_range", name=name, vocabulary=vocabulary, got=int(bad))
    array = array.astype(np.intp, copy=False)
    return (array[None], True) if array.ndim == 1 else (array, False)


def lengths(value: ArrayLike | None, name: str, n: int, t: int, argument: str = "lengths") -> NDArray[np.intp] | None:
    """Return the lengths as (N,) ints in [0, T], or None for a batch without padding."""
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.size == 0 and n == 0:
        return np.zeros(0, dtype=np.intp)
    if array.dtype.kind not in "iu" or array.shape != (n,):
        got = f"{array.dtype.name} {array.shape}"
        raise ShapeError("error.lengths_shape", name=name, argument=argument, n=n, got=got)
    if array.min() < 0 or array.max() > t:
        bad = array[(array < 0) | (array > t)][0]
        raise ShapeError("error.lengths_range", name=name, argument=argument, t=t, got=int(bad))
    return array.astype(np.intp)


def state(value: ArrayLike, name: str, part: str, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Array:
    """Return one part of a state (``h`` or ``c``) as (L·D, N, H); for one sequence (L·D, H) will do."""
    array = as_array(value, name, f"state {part}", dtype)
    if shape[1] == 1 and array.shape == (shape[0], shape[2]):
        array = array[:, None]
    if array.shape != shape:
        raise ShapeError("error.state", name=name, part=part, expected=shape, got=array.shape)
    return array


def gradient(value: ArrayLike, name: str, argument: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a gradient, which must have the shape of its array."""
    array = as_array(value, name, argument, dtype)
    if array.shape != shape:
        raise ShapeError("error.gradient", name=name, argument=argument, expected=shape, got=array.shape)
    return array


def output(out: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: Array) -> None:
    """Refuse an ``out=`` that does not fit the result or overlaps an input."""
    if not isinstance(out, np.ndarray):
        raise ShapeError("error.out", name=name, dtype=dtype.name, expected=shape, got=type(out).__name__)
    if out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        kind = "word.writable" if out.flags.writeable else "word.read_only"
        got = Phrase(kind, array=f"{out.dtype.name} {out.shape}")
        raise ShapeError("error.out", name=name, dtype=dtype.name, expected=shape, got=got)
    if any(np.may_share_memory(out, array) for array in inputs):
        raise SettingError("error.aliased", name=name)


def finite(array: Array, name: str, argument: str) -> None:
    """Refuse NaN and infinity, and name the position of the first."""
    ok = np.isfinite(array)
    if not ok.all():
        where = tuple(int(k) for k in np.argwhere(~ok)[0])
        raise NonFiniteError("error.not_finite", name=name, argument=argument, where=where, got=array[where])
