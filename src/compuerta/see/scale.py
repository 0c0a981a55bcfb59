"""The scales on which quantities are shown, in every face alike: limits, colours, glyphs.

Gates lie on [0, 1] in the colours of cividis, which the colour-blind see as others do; signed quantities on a scale
that is the same to both sides of 0, from blue over white to orange. Nothing is transformed, and the limit is
printed; values that are not finite have a colour and a sign of their own and do not affect the limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..gates import Quantity

Array = NDArray[Any]
Colour = tuple[int, int, int]

#: Blue, white and orange, and between them by straight lines.
DIVERGING: tuple[Colour, ...] = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (253, 184, 99), (179, 88, 6))
#: Nine of the colours of cividis (Nuñez, Anderton and Renslow 2018).
CIVIDIS: tuple[Colour, ...] = (
    (0, 34, 78), (26, 56, 111), (67, 78, 108), (97, 101, 111), (125, 124, 120), (155, 148, 118), (188, 174, 108),
    (222, 201, 88), (254, 232, 56),
)  # fmt: skip
GREY: Colour = (128, 128, 128)

_HEIGHTS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Scale:
    """From ``low`` to ``high``; ``signed`` where 0 is the middle.

    >>> gate = Scale(0.0, 1.0, signed=False)
    >>> gate.colour(0.0), gate.colour(float("nan")), gate.height(0.5), gate.sign(0.5)
    ((0, 34, 78), (128, 128, 128), '▅', ' ')
    >>> memory = Scale(-2.0, 2.0, signed=True)
    >>> memory.colour(0.0), memory.height(-2.0), memory.sign(-2.0), memory.sign(0.01)
    ((247, 247, 247), '█', '−', '·')
    """

    low: float
    high: float
    signed: bool

    @classmethod
    def of(cls, quantity: Quantity | None, values: Array) -> Scale:
        """Return the scale of a quantity: its range, or what finite values need where that is open.

        Args:
            known: the quantity, of the kind of its cell; None for a pre-activation.
            values: what is to be shown.

        >>> from compuerta.gates import LSTM
        >>> Scale.of(LSTM["f"], np.array([0.4])), Scale.of(LSTM["c"], np.array([0.5, -3.0, np.inf, np.nan]))
        (Scale(low=0.0, high=1.0, signed=False), Scale(low=-3.0, high=3.0, signed=True))
        """
        if quantity is not None and quantity.is_gate:
            return cls(0.0, 1.0, signed=False)
        finite = values[np.isfinite(values)]
        limit = float(np.abs(finite).max()) if finite.size else 0.0
        if quantity is not None and quantity.range == (-1.0, 1.0) and limit <= 1:
            limit = 1.0
        limit = limit or 1.0
        return cls(-limit, limit, signed=True)

    def place(self, value: float) -> float:
        """Return where a value lies, from 0 to 1; what is infinite at the end that it points to, NaN in the middle."""
        if math.isnan(value):
            return 0.5
        if math.isinf(value):
            return float(value > 0)
        half = value / 2 - self.low / 2, self.high / 2 - self.low / 2  # halves, lest the difference overflow
        return min(max(half[0] / half[1], 0.0), 1.0) if half[1] > 0 else 0.5

    def colour(self, value: float) -> Colour:
        """Return the colour of a value; grey for NaN."""
        if math.isnan(value):
            return GREY
        stops = DIVERGING if self.signed else CIVIDIS
        at = self.place(value) * (len(stops) - 1)
        k = min(int(at), len(stops) - 2)
        return tuple(round(a + (b - a) * (at - k)) for a, b in zip(stops[k], stops[k + 1], strict=True))  # type: ignore[return-value]

    def height(self, value: float) -> str:
        """Return a value's size as a glyph, ▁ to █; ``?`` for NaN, ``∞`` for what is infinite."""
        if math.isnan(value):
            return "?"
        if math.isinf(value):
            return "∞"
        share = abs(2 * self.place(value) - 1) if self.signed else self.place(value)
        return _HEIGHTS[min(int(8 * share), 7)]

    def sign(self, value: float) -> str:
        """Return a signed value's sign as a glyph, ``·`` near 0; ``?`` for NaN; blank on a scale without signs."""
        if math.isnan(value):
            return "?"
        if not self.signed:
            return "∞" if math.isinf(value) else " "
        if abs(2 * self.place(value) - 1) < 0.05:
            return "·"
        return "−" if value < 0 else "+"


def ink(colour: Colour) -> Colour:
    """Return black or white, whichever is read better on ``colour`` (WCAG 2.2, relative luminance).

    >>> ink((0, 34, 78)), ink((247, 247, 247))
    ((255, 255, 255), (0, 0, 0))
    """

    def linear(v: int) -> float:
        s = v / 255
        return s / 12.92 if s <= 0.04045 else float(((s + 0.055) / 1.055) ** 2.4)

    r, g, b = (linear(v) for v in colour)
    light = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return (0, 0, 0) if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else (255, 255, 255)
