"""Where a trainer's batches come from. A source knows its position, so that a run can be resumed where it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import DataError, ShapeError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """One update's worth of data.

    Attributes:
        x: inputs, as the model takes them.
        y: targets, as the loss takes them.
        lengths: (N,) valid steps of padded rows, or None.
        carry: the rows go on where those of the batch before ended, so the state is carried over; or (N,) bools, which
            rows do.
        mask: of the shape of the loss's elements, True where one counts; if None, all but padding.
        weights: how much each element counts in the mean; (N,) weights its row.
    """

    x: Array
    y: Array
    lengths: NDArray[np.intp] | None = None
    carry: bool | NDArray[np.bool_] = False
    mask: NDArray[np.bool_] | None = None
    weights: Array | None = None

    def counted(self, axes: int) -> NDArray[np.bool_] | None:
        """Return which elements of the loss count, of predictions with so many axes; None if all do.

        Where there are three, (N, T, ...), each step has its own target, and steps past a row's length do not count.
        """
        if self.mask is not None or self.lengths is None or axes < 3 or np.ndim(self.y) < 2:
            return self.mask
        steps = np.arange(self.y.shape[1]) < np.asarray(self.lengths)[:, None]
        if self.y.shape[1] != np.shape(self.x)[1] or steps.all():
            return None  # one target for the row
        return np.broadcast_to(steps.reshape(*steps.shape, *[1] * (self.y.ndim - 2)), self.y.shape)


class Source(Protocol):
    """An endless supply of batches."""

    def next(self, rng: np.random.Generator) -> Batch:
        """Return the next batch; all chance comes from ``rng``."""

    def position(self) -> dict[str, Any]:
        """Return where the source stands, as JSON values."""

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position that :meth:`position` returned."""


class TextStreams:
    """Truncated BPTT over one long sequence of token ids: N rows side by side, each cut into windows of T steps.

    The rows begin at places spread evenly over the text and reach each to the next, or a few steps into it, so that
    all are as long; they are read in parallel, and the state is carried from window to window. The targets are the next
    tokens: every token but the first is a target in every pass.

    The state starts anew with each pass over the text, and in a row now and then, as ``restarts`` says. A model must
    have learnt from the start state often to write well from there.

    Args:
        ids: (L,) token ids.
        batch_size: N.
        steps: T at most; the windows of a pass differ by one step where T does not divide the rows.
        restarts: share of the windows, chosen by chance, that begin from the start state.

    Raises:
        DataError: the text is shorter than one window of every row.
        SettingError: an argument is out of its range.

    >>> source = TextStreams(np.arange(10), batch_size=2, steps=2)
    >>> rng = np.random.default_rng(0)
    >>> batch = source.next(rng); batch.x.tolist(), batch.y.tolist(), batch.carry
    ([[0, 1], [4, 5]], [[1, 2], [5, 6]], False)
    >>> batch = source.next(rng); batch.y.tolist(), batch.carry
    ([[3], [7]], True)
    >>> source.next(rng).y.tolist()
    [[4, 5], [8, 9]]
    """

    def __init__(self, ids: NDArray[np.integer[Any]], batch_size: int, steps: int, *, restarts: float = 0.0) -> None:
        n, t = checks.count(batch_size, "batch_size"), checks.count(steps, "steps")
        self._restarts = checks.number(restarts, "restarts", low=0.0, high=1.0)
        total = len(ids) - 1
        if total < n * t:
            raise DataError("error.text_too_short", got=len(ids), expected=n * t + 1, batch_size=n, steps=t)
        each = -(-total // n)
        self.windows = -(-each // t)
        self._ids = np.asarray(ids)
        self._rows = np.linspace(0, total - each, n).round().astype(np.intp)[:, None]
        self._edges = np.linspace(0, each, self.windows + 1).round().astype(np.intp)
        self._at = 0

    def next(self, rng: np.random.Generator) -> Batch:
        """Return the next window of every row."""
        places = self._rows + np.arange(self._edges[self._at], self._edges[self._at + 1])
        carry: bool | NDArray[np.bool_] = self._at > 0
        if carry and self._restarts:
            carry = rng.random(len(places)) >= self._restarts
        self._at = (self._at + 1) % self.windows
        return Batch(self._ids[places], self._ids[places + 1], carry=carry)

    def position(self) -> dict[str, Any]:
        """Return the number of the next window."""
        return {"window": self._at}

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position."""
        self._at = int(position["window"]) % self.windows


class Shuffled:
    """Independent examples in a new random order on each pass.

    Args:
        x: (M, T, F) or token ids (M, T). y: (M, ...). lengths: (M,) or None.
        mask, weights: of the rows' targets, see :class:`Batch`; or None.
        batch_size: N, at most M; a last batch of a pass may be smaller.

    >>> source = Shuffled(np.zeros((5, 3, 1)), np.arange(5), batch_size=2)
    >>> rng = np.random.default_rng(0)
    >>> sorted(np.concatenate([source.next(rng).y for _ in range(3)]).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        batch_size: int = 32,
        lengths: NDArray[np.intp] | None = None,
        *,
        mask: NDArray[np.bool_] | None = None,
        weights: Array | None = None,
    ) -> None:
        for other in (y, lengths, mask, weights):
            if other is not None and (len(x) != len(other) or not len(x)):
                raise ShapeError("error.examples", x=len(x), y=len(other))
        self._x, self._y, self._lengths = x, y, lengths
        self._mask, self._weights = mask, weights
        self._n = min(checks.count(batch_size, "batch_size"), len(x))
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        self._at = 0

    @property
    def batches(self) -> int:
        """Batches in one pass."""
        return -(-len(self._x) // self._n)

    def next(self, rng: np.random.Generator) -> Batch:
        """Return the next batch, shuffling anew at the start of each pass."""
        if self._at >= len(self._order):
            self._order, self._at = rng.permutation(len(self._x)), 0
        rows = self._order[self._at : self._at + self._n]
        self._at += len(rows)

        def taken(array: Array | None) -> Array | None:
            return None if array is None else array[rows]

        return Batch(self._x[rows], self._y[rows], taken(self._lengths), mask=taken(self._mask),
                     weights=taken(self._weights))  # fmt: skip

    def position(self) -> dict[str, Any]:
        """Return the order of this pass and the place in it."""
        return {"order": self._order.tolist(), "at": self._at}

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position."""
        self._order, self._at = np.asarray(position["order"], np.intp), int(position["at"])
