"""How many threads the native engine may use."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any

from ..errors import SettingError


def _cpus() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


_threads: int | None = None


def num_threads() -> int:
    """Return how many threads the native engine uses at most.

    That is the number set, else ``COMPUERTA_NUM_THREADS``, else as many as the process has processors.

    Raises:
        SettingError: ``COMPUERTA_NUM_THREADS`` is not a positive integer.
    """
    global _threads
    if _threads is None:
        named = os.environ.get("COMPUERTA_NUM_THREADS", "")
        if named and not (named.isdecimal() and int(named)):
            raise SettingError("error.count", name="COMPUERTA_NUM_THREADS", low=1, got=repr(named))
        _threads = int(named) if named else _cpus()
    return _threads


def set_num_threads(count: Any) -> None:
    """Set how many threads the native engine uses at most, in the whole process.

    The rows of a batch are split over them; one row, or little work, takes one. The results are the same bits with any
    number.

    Raises:
        SettingError: ``count`` is not a positive integer.

    >>> from compuerta import num_threads, set_num_threads
    >>> before = num_threads()
    >>> set_num_threads(1)
    >>> num_threads()
    1
    >>> set_num_threads(before)
    """
    global _threads
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise SettingError("error.count", name="count", low=1, got=repr(count))
    _threads = int(count)
