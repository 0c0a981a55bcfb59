"""Memory as C wants it: where it stands, aligned, and not cleared anew for every batch."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LINE = 64  # bytes: of a line of the cache, and of the widest vector
_PLACE = ctypes.c_char


def address(array: Any) -> int:
    """Return where the numbers of ``array`` stand; the quickest way where it is writable and contiguous."""
    try:
        return ctypes.addressof(_PLACE.from_buffer(array))
    except (TypeError, ValueError, BufferError):
        return int(array.ctypes.data)


def aligned(numbers: int, dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised flat array that starts at a multiple of 64 bytes."""
    memory = np.empty(numbers * dtype.itemsize + LINE, np.uint8)
    start = -address(memory) % LINE
    inside: Array = memory[start : start + numbers * dtype.itemsize].view(dtype)
    return inside


class Memory:
    """A large flat array for the time that this object lives; the next one of that size gets the same pages.

    The system clears every page that it hands out anew, which costs a training step as much as a tenth of its time.
    """

    __slots__ = ("array", "at")
    #: Arrays of objects that are gone, for the next who asks: at most a tape and the gradients of its gates.
    _spare: ClassVar[list[Array]] = []
    _KEPT = 2

    def __init__(self, size: int) -> None:
        size += LINE
        array = None
        for k, spare in enumerate(self._spare):
            if size <= spare.nbytes <= 2 * size:
                with contextlib.suppress(IndexError):  # another thread was quicker
                    array = self._spare.pop(k)
                break
        if array is None or array.nbytes < size:
            array = np.empty(size, np.uint8)
        self.array = array
        self.at = address(array)
        self.at += -self.at % LINE

    def __del__(self) -> None:
        if hasattr(self, "array") and self.array.nbytes >= _LARGE:  # there is none where the system had no memory
            self._spare.append(self.array)
            del self._spare[: -self._KEPT]


#: Bytes from which on the system hands out whole pages, each of them cleared.
_LARGE = 1 << 17


def readable(array: Array) -> Array:
    """Return ``array`` if C can read it row by row, else a copy: numbers in place and the last axis contiguous."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    itemsize = array.itemsize
    rows = array.shape[-1] < 2 or array.strides[-1] == itemsize
    if flags.aligned and rows and all(stride % itemsize == 0 for stride in array.strides):
        return array
    copy: Array = np.require(array, requirements=["C", "A"])
    return copy
