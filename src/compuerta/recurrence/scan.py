r"""A linear recurrence over all steps at once.

.. math::  h_t = a_t ⊙ h_{t-1} + b_t

Two steps in a row are again one such step, (a₂a₁, a₂b₁ + b₂), so the sequence is cut into short blocks that are worked
through side by side, each from zero; their ends are a recurrence of the same kind, an eighth as long, and what they
come to is added to the block after. So a number of array operations that grows with log T replaces T of
them. That wins where a step has so few numbers that the call costs more than the sum: twice as fast at 128 steps of 64
numbers, nine times at 8192; from about 1000 numbers in a step on the plain loop is as fast, then faster, as it does
less work (benchmarks/scan.py). Nothing is divided, so where a ∈ [0, 1] nothing can overflow that would not anyway.

Source: Blelloch 1990.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Numbers in one step from which on plain steps win, and steps up to which they do.
WIDE, FEW = 512, 64
#: Steps of one block.
STEPS = 8


def scan(a: Array, b: Array, h0: Array) -> Array:
    """Return every h of h_t = a_t ⊙ h_{t−1} + b_t, (T, ...), from ``a`` and ``b`` (T, ...) and ``h0`` (...).

    >>> scan(np.full((3, 1), 0.5), np.ones((3, 1)), np.array([4.0]))[:, 0]
    array([3.  , 2.5 , 2.25])
    """
    return in_steps(a, b, h0) if len(a) < FEW or h0.size >= WIDE else in_blocks(a, b, h0)


def in_steps(a: Array, b: Array, h0: Array) -> Array:
    """Compute :func:`scan` one step after another."""
    h = np.empty_like(b)
    before = h0
    for t in range(len(b)):
        np.multiply(a[t], before, out=h[t])
        h[t] += b[t]
        before = h[t]
    return h


def in_blocks(a: Array, b: Array, h0: Array) -> Array:
    """Compute :func:`scan` in blocks side by side, and their ends by another scan; of one block at least."""
    blocks = len(b) // STEPS
    cut = blocks * STEPS
    h, reach = b.copy(), a[:cut].copy()  # from zero at each block's start; and how much is left of what was before it
    h_, reach_ = (part[:cut].reshape(blocks, STEPS, *b.shape[1:]) for part in (h, reach))
    term = np.empty_like(h_[:, 0])
    for k in range(1, STEPS):
        np.multiply(reach_[:, k], h_[:, k - 1], out=term)
        h_[:, k] += term
        reach_[:, k] *= reach_[:, k - 1]
    ends = scan(reach_[:, -1], h_[:, -1], h0)
    reach_[0] *= h0
    reach_[1:] *= ends[:-1, None]
    h_ += reach_
    h[cut:] = in_steps(a[cut:], b[cut:], ends[-1])
    return h
