"""What training leaves to chance inside a recurrence: which weights, units and steps are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .packing import Packing
from .variant import Variant

Array = NDArray[Any]


def hits(rng: np.random.Generator, shape: tuple[int, ...], p: float) -> NDArray[np.bool_]:
    """Return True with probability ``p``, each by itself."""
    return rng.random(shape, np.float32) < p


def dropout_mask(rng: np.random.Generator, shape: tuple[int, ...], p: float, dtype: np.dtype[Any]) -> Array:
    """Return a mask of 0 (with probability p) and 1/(1 − p), so that the expected value stays."""
    mask: Array = np.where(hits(rng, shape, p), dtype.type(0), dtype.type(1 / (1 - p)))
    return mask


class StepMasks(NamedTuple):
    """The masks of one step."""

    h: Array | None  # (n, P)
    zone: tuple[Array | float, Array | float]  # of c and of h: 1 where it keeps its value; 0 if it never does


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """The masks of one pass. Each is None where nothing is left to chance.

    They are drawn in the batch's own order, (N, ...) and (N, T, ...), so that what a row meets does not depend on how
    long the others are.
    """

    w_h: Array | None  # as w_h
    h: Array | None  # (N, P), rows in packed order: the same at every step
    zone_c: Array | None  # (R, H): 1 where c keeps its value
    zone_h: Array | None  # (R, P)

    @classmethod
    def draw(cls, v: Variant, rng: np.random.Generator, w_h: Array, widths: tuple[int, int], packing: Packing) -> Masks:
        """Draw what ``v`` asks for from ``rng``, always in the same order.

        Args:
            w_h: the recurrent weights, for their shape and dtype. widths: P and H.
        """
        n, t, dtype = packing.n, packing.t, w_h.real.dtype
        dropped = dropout_mask(rng, w_h.shape, v.weight_drop, dtype) if v.weight_drop else None
        hidden = dropout_mask(rng, (n, widths[0]), v.recurrent_dropout, dtype) if v.recurrent_dropout else None
        zone_h, zone_c = (
            packing.pack(hits(rng, (n, t, width), p)).astype(dtype) if p else None
            for width, p in zip(widths, reversed(v.zoneout), strict=True)
        )
        return cls(dropped, None if hidden is None else packing.sort(hidden), zone_c, zone_h)

    def at(self, rows: slice) -> StepMasks:
        """Return the masks of one step, from its packed rows."""
        zone = tuple(0.0 if mask is None else mask[rows] for mask in (self.zone_c, self.zone_h))
        return StepMasks(None if self.h is None else self.h[: rows.stop - rows.start], (zone[0], zone[1]))
