"""Memory for the C code: its address, aligned, and reused between batches rather than cleared each time."""

from __future__ import annotations

import contextlib
import ctypes
import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LINE = 64  # bytes: of a line of the cache, and of the widest vector
_from_buffer, _addressof = ctypes.c_char.from_buffer, ctypes.addressof


def address(array: Any) -> int:
    """Return the address of the data of ``array``, by the fastest way where it is writable and contiguous."""
    try:
        return _addressof(_from_buffer(array))
    except (TypeError, ValueError, BufferError):
        return int(array.ctypes.data)


class Memory:
    """A stretch of memory for the time that this object lives; the next one of about that size gets the same pages.

    The system clears every page that it hands out anew, which costs a training step up to a tenth of its time.
    """

    __slots__ = ("array", "at", "view")
    #: Those of objects that are gone, oldest first, for the next who asks.
    _spare: ClassVar[list[Array]] = []

    def __init__(self, size: int) -> None:
        size += LINE
        array = None
        for k, spare in enumerate(self._spare):
            if size <= spare.nbytes <= size + size // 4:
                with contextlib.suppress(IndexError):  # another thread was quicker
                    array = self._spare.pop(k)
                break
        if array is None or array.nbytes < size:
            array = np.empty(size, np.uint8)
        self.array = array
        self.view: tuple[tuple[int, ...], str] = (size,), "|u1"
        self.at = address(array)
        self.at += -self.at % LINE

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """What makes NumPy take this object as an array, of the shape and type in ``view``, and keep it alive."""
        shape, kind = self.view
        return {"version": 3, "shape": shape, "typestr": kind, "data": (self.at, False)}

    def __del__(self) -> None:
        # There is no array where the system had no memory.
        if hasattr(self, "array") and _LARGE <= self.array.nbytes <= _HUGE:
            self._spare.append(self.array)
            while sum(spare.nbytes for spare in self._spare) > _KEPT:
                del self._spare[:1]


#: Bytes: from which on the system hands out whole pages, each of them cleared; beyond which nothing is kept; and kept
#: at most, all together.
_LARGE, _HUGE, _KEPT = 1 << 17, 1 << 26, 3 << 26


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array, as ``np.empty`` does, of :class:`Memory` where it is large."""
    size = math.prod(shape) * dtype.itemsize
    if not _LARGE <= size <= _HUGE:
        return np.empty(shape, dtype)
    memory = Memory(size)
    memory.view = shape, dtype.str
    return np.asarray(memory)


def readable(array: Array) -> Array:
    """Return ``array`` if C can read it row by row, else a copy: numbers in place and the last axis contiguous."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    itemsize = array.itemsize
    rows = array.shape[-1] < 2 or array.strides[-1] == itemsize
    if flags.aligned and rows and all(stride % itemsize == 0 for stride in array.strides):
        return array
    return contiguous(array)


def contiguous(array: Array) -> Array:
    """Return ``array`` if its numbers stand in place and one after another, else a copy that is."""
    plain: Array = np.require(array, requirements=["C", "A"])
    return plain
