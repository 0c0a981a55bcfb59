"""All parameters of a model in one flat buffer, each a named view into it.

An optimizer, a clip, a checkpoint or a sum over machines is then one operation on one array. A layer is born with a
buffer of its own; a model that takes it in (:meth:`Parameters.join`) makes one buffer for all, and the layer's views
point into that one from then on.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import SettingError, ShapeError

Array = NDArray[Any]
Shape = tuple[int, ...]


class _Clock:
    """Counts the changes of a buffer, with those made through an array that was lent for writing and is still there."""

    def __init__(self, now: int = 0) -> None:
        self.now = now
        # The array that was lent, while it lives; the buffer; its bytes at the last reading, None before the first.
        self._lent: list[tuple[weakref.ref[Array], Array, Array | None]] = []

    def tick(self) -> None:
        self.now += 1

    def lend(self, flat: Array) -> Array:
        """Return a view for writing, whose use is watched for as long as it lives."""
        self.now += 1
        view = flat.view()
        self._lent = [loan for loan in self._lent if loan[0]() is not None or loan[2] is not None]
        self._lent.append((weakref.ref(view), flat, None))
        return view

    def read(self) -> int:
        """Return the count; it grows where a lent array was written to since the last reading."""
        if self._lent:
            self._lent = [loan for loan in map(self._looked_at, self._lent) if loan is not None]
        return self.now

    def _looked_at(
        self, loan: tuple[weakref.ref[Array], Array, Array | None]
    ) -> tuple[weakref.ref[Array], Array, Array | None] | None:
        """Notice what was written since the last reading; return the loan as it stands, None once it is over."""
        view, flat, before = loan
        now = flat.view(np.uint8)  # NaN is equal to itself there
        if before is not None and not np.array_equal(now, before):
            self.now += 1
            before = None
        if view() is None:
            return None
        return view, flat, now.copy() if before is None else before


class Parameters(Mapping[str, Array]):
    """Named arrays in one flat buffer; reading gives read-only views, writing goes through this object.

    That every change passes here (``parameters[name] = value``, :meth:`writable`) lets engines keep weights packed for
    speed and notice when they must pack again: see :attr:`version`.

    >>> p = Parameters({"w": (2, 3), "b": (2,)}, np.dtype("float32"))
    >>> p["b"] = [1, 2]
    >>> p
    Parameters of 8 numbers, float32
        w  (2, 3)
        b  (2,)
    >>> p.flat
    array([0., 0., 0., 0., 0., 0., 1., 2.], dtype=float32)
    >>> p["w"].shape, p.size
    ((2, 3), 8)
    """

    def __init__(self, shapes: Mapping[str, Shape], dtype: np.dtype[Any], name: str = "Parameters") -> None:
        self.shapes = dict(shapes)
        self.size = sum(math.prod(shape) for shape in self.shapes.values())
        checks.fits(name, (self.size,), dtype.itemsize)
        self._clock = _Clock()
        self._joined = False
        self._parts: tuple[Parameters, ...] = ()
        self._bind(np.zeros(self.size, dtype))

    def _bind(self, flat: Array) -> None:
        self._flat = flat
        self.flat = flat.view()
        self.flat.flags.writeable = False
        self._views, self._writable = self.named(self.flat), self.named(flat)

    def named(self, flat: Array) -> dict[str, Array]:
        """Return named views into any flat array of this layout, such as a gradient."""
        views, at = {}, 0
        for name, shape in self.shapes.items():
            views[name] = flat[at : at + math.prod(shape)].reshape(shape)
            at += math.prod(shape)
        return views

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of every parameter."""
        return self._flat.dtype

    @property
    def version(self) -> int:
        """A number that changes whenever a parameter may have changed."""
        return self._clock.read()

    def writable(self) -> Array:
        """Return the flat buffer for writing. It may be kept over many updates, as long as it is this very array that
        is kept, not a slice of it alone: what is written is noticed while the array is there.

        >>> p = Parameters({"w": (3,)}, np.dtype("float32"))
        >>> flat, before = p.writable(), p.version
        >>> flat += 1
        >>> p.version > before
        True
        """
        return self._clock.lend(self._flat)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        if name not in self.shapes:
            raise KeyError(f"{name!r}: the parameters are {', '.join(self.shapes)}")
        shape = self.shapes[name]
        array = checks.as_array(value, "parameters", name, self.dtype)
        if array.shape != shape:
            raise ShapeError("error.parameter", name=name, expected=shape, got=array.shape)
        self._clock.tick()
        self._writable[name][...] = array

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        width = max(map(len, self.shapes), default=0)
        rows = [f"\n    {name:<{width}}  {shape}" for name, shape in self.shapes.items()]
        return f"Parameters of {self.size:,} numbers, {self.dtype}{''.join(rows)}"

    @classmethod
    def join(cls, parts: Mapping[str, Parameters]) -> Parameters:
        """Return one buffer that holds all parts, named ``part.name``, and point the parts into it.

        Raises:
            SettingError: the parts differ in dtype, or one belongs to another model already.
        """
        # Layers without parameters take the dtype of those with some.
        dtypes = {part.dtype for part in parts.values() if part.size} or {part.dtype for part in parts.values()}
        if len(dtypes) > 1:
            raise SettingError("error.mixed_dtypes", got=", ".join(sorted(d.name for d in dtypes)))
        if any(part._joined for part in parts.values()) or len({id(part) for part in parts.values()}) < len(parts):
            raise SettingError("error.layer_taken")
        shapes = {f"{prefix}.{name}": s for prefix, part in parts.items() for name, s in part.shapes.items()}
        whole = cls(shapes, dtypes.pop() if dtypes else np.dtype(np.float32))
        whole._flat[...] = np.concatenate([part.flat for part in parts.values()]) if parts else 0
        # Later than every part's clock, lest it come round to a number at which a layer packed its weights.
        whole._clock.now = 1 + max((part.version for part in parts.values()), default=0)
        whole._parts = tuple(parts.values())
        whole._adopt(whole._flat, whole._clock)
        return whole

    def without_last(self) -> Parameters:
        """Return the parameters of all parts but the last: the same numbers under the same names."""
        fewer: Parameters = object.__new__(Parameters)
        fewer._parts, fewer._joined, fewer._clock = self._parts[:-1], True, self._clock
        fewer.size = sum(part.size for part in fewer._parts)
        fewer.shapes = dict(list(self.shapes.items())[: sum(len(part) for part in fewer._parts)])
        fewer._bind(self._flat[: fewer.size])
        return fewer

    def _adopt(self, flat: Array, clock: _Clock) -> None:
        """Point this object and its parts into ``flat``."""
        self._clock = clock
        self._bind(flat)
        at = 0
        for part in self._parts:
            part._joined = True
            part._adopt(flat[at : at + part.size], clock)
            at += part.size

    # A view that is copied or pickled is a view no longer, so copies are bound anew.

    def __copy__(self) -> Parameters:
        """Return a copy with a buffer and parts of its own; sharing them, it would take them from the original."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"shapes": self.shapes, "flat": self._flat.copy(), "version": self.version, "joined": self._joined,
                "parts": self._parts}  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.shapes, self._joined, self._parts = state["shapes"], state["joined"], state["parts"]
        self.size = state["flat"].size
        flat = state["flat"]
        self._adopt(flat if flat.flags.writeable else flat.copy(), _Clock(state["version"]))
