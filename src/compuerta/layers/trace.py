"""Every gate at every step of a recurrent layer, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from ..recurrence import Tape

Array = NDArray[Any]


class Trace(Mapping[Any, Array]):
    """What a recurrent layer computed, ``trace[key, layer]`` or ``trace[key, layer, direction]``, each (N, T, H).

    Keys are those of :mod:`compuerta.gates`: f, i, g, c, o, h in an LSTM (a gate that a variant leaves out
    is 1); r, z, n, h in a GRU; f, i, g, h in a MinLSTM. ``trace["f", 0]`` is
    the forget gate of the first stacked layer, read forward in time; direction 1 is the one that reads backward.
    Values stand where their inputs stand and are zero past a row's length.

    >>> import numpy as np, compuerta
    >>> layer = compuerta.LSTM(2, 3, rng=0)
    >>> y, trace = layer.trace(np.ones((4, 5, 2)))
    >>> trace["f", 0].shape, bool((trace["h", 0] == y).all())
    ((4, 5, 3), True)
    """

    def __init__(self, tapes: list[list[Tape]]) -> None:
        self._tapes = tapes
        self.names = tapes[0][0].names

    def __getitem__(self, key: Any) -> Array:
        """Return one quantity of one layer.

        Raises:
            KeyError: there is no such quantity, layer or direction.
        """
        place = key if isinstance(key, tuple) else (key,)
        name, layer, direction = (*place, 0) if len(place) == 2 else place if len(place) == 3 else ("", 0, 0)
        if name not in self.names or not all(isinstance(k, int) for k in (layer, direction)):
            raise KeyError(f"{key!r}: expected (name, layer) or (name, layer, direction), name one of {self.names}")
        if not (0 <= layer < len(self._tapes) and 0 <= direction < len(self._tapes[layer])):
            raise KeyError(key)
        values: Array = self._tapes[layer][direction].read(name)
        return values

    def __iter__(self) -> Iterator[Any]:
        for k, tapes in enumerate(self._tapes):
            for d in range(len(tapes)):
                for name in self.names:
                    yield (name, k, d) if len(tapes) > 1 else (name, k)

    def __len__(self) -> int:
        return sum(1 for _ in self)
