"""The order of computation of a batch: time first, and at each step only the rows that are still running.

A batch (N, T, K) becomes P rows of K numbers, P = Σ lengths: first every row's first step, then every row's second,
and so on. Rows are sorted by length, longest first, so that those still running at a step are always the first ones.
Padding is never computed with, so that its contents, even NaN, have no effect. Reading backward in time only
changes which step of its row each packed row is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Packing:
    """Where each packed row comes from and goes to.

    Attributes:
        n, t: rows and steps of the batch.
        rows: P, the number of packed rows.
        steps: for each step, the first packed row and the number of rows running.

    >>> packing = Packing(2, 3, np.array([1, 3]))
    >>> packing.steps
    [(0, 2), (2, 1), (3, 1)]
    >>> x = np.arange(6.0).reshape(2, 3, 1)
    >>> packing.pack(x)[:, 0]
    array([3., 0., 4., 5.])
    >>> packing.unpack(packing.pack(x))[:, :, 0]
    array([[0., 0., 0.], [3., 4., 5.]])
    """

    __slots__ = ("_at", "_order", "_step", "_unorder", "n", "reverse", "rows", "steps", "t")

    def __init__(self, n: int, t: int, lengths: NDArray[np.intp] | None = None, reverse: bool = False) -> None:
        self.n, self.t, self.reverse = n, t, reverse
        self._order: NDArray[np.intp] | None = None
        if lengths is None or bool((lengths == t).all()):
            self.rows = n * t
            self.steps = [(k, n) for k in range(0, n * t, n)] if n else []
            return
        self._order = np.argsort(-lengths, kind="stable")
        self._unorder = np.argsort(self._order)
        ordered = lengths[self._order]
        counts = np.searchsorted(-ordered, -np.arange(int(ordered[0])), side="left") if n else np.zeros(0, np.intp)
        starts = np.cumsum(counts) - counts
        self.rows = int(counts.sum())
        self.steps = list(zip(starts.tolist(), counts.tolist(), strict=True))
        step = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(self.rows) - starts[step]  # 0 for the longest row
        self._at = self._order[place]
        self._step = lengths[self._at] - 1 - step if reverse else step

    def pack(self, x: Array) -> Array:
        """(N, T, ...) to (P, ...)."""
        if self._order is not None:
            rows: Array = x[self._at, self._step]
            return rows
        if self.reverse:
            x = x[:, ::-1]
        return x.swapaxes(0, 1).reshape(self.rows, *x.shape[2:])

    def unpack(self, rows: Array) -> Array:
        """(P, ...) to (N, T, ...), zeros past each row's length; a view where nothing is padded."""
        if self._order is not None:
            out = np.zeros((self.n, self.t, *rows.shape[1:]), rows.dtype)
            out[self._at, self._step] = rows
            return out
        out = rows.reshape(self.t, self.n, *rows.shape[1:]).swapaxes(0, 1)
        return out[:, ::-1] if self.reverse else out

    def sort(self, state: Array) -> Array:
        """Put the rows of a state (N, ...) in packed order."""
        return state if self._order is None else state[self._order]

    def unsort(self, state: Array) -> Array:
        """Put the rows of a state (N, ...) back in the order of the batch."""
        return state if self._order is None else state[self._unorder]

    def grid(self, rows: Array, fill: float) -> Array:
        """(P, ...) to (steps, N, ...), rows in packed order, ``fill`` where a row no longer runs."""
        if self._order is None:
            return rows.reshape(self.t, self.n, *rows.shape[1:])
        out = np.full((len(self.steps), self.n, *rows.shape[1:]), fill, rows.dtype)
        out[self._running()] = rows
        return out

    def flat(self, grid: Array) -> Array:
        """(steps, N, ...) to (P, ...): what :meth:`grid` spread out."""
        rows: Array = grid.reshape(self.rows, *grid.shape[2:]) if self._order is None else grid[self._running()]
        return rows

    def _running(self) -> NDArray[np.bool_]:
        """(steps, N): which rows run at each step."""
        counts = np.array([count for _, count in self.steps], np.intp)
        running: NDArray[np.bool_] = np.arange(self.n) < counts[:, None]
        return running

    # A history is (N + P, ...): the initial state's rows, then the state after each packed row.

    def before(self, history: Array) -> Array:
        """(N + P, ...) to (P, ...): the state before each packed row."""
        if self._order is None:
            return history[: self.rows]
        index = np.empty(self.rows, np.intp)
        previous = 0
        for start, count in self.steps:
            index[start : start + count] = np.arange(previous, previous + count)
            previous = self.n + start
        return history[index]

    def last(self, history: Array) -> Array:
        """(N + P, ...) to (N, ...): the state after each row's last step, in packed order."""
        if self._order is None:
            return history[self.rows :]
        out = history[: self.n].copy()
        for start, count in self.steps:
            out[:count] = history[self.n + start : self.n + start + count]
        return out
