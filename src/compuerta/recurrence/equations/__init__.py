r"""One step of a cell and its way back, everything by name: what every cell that runs step by step is stated in.

:class:`~compuerta.recurrence.stepwise.Stepwise` has the loop over time, the same for all cells. What is left to a cell
is here: its quantities, and the equations of one step forward and back. Each cell is one file beside this one.

Shapes: n rows that run, T steps, F inputs, H units, G blocks, R packed rows (see :mod:`..packing`). The parts of the
state and their gradients are (n, width); ``z_x`` and ``flat`` are (n, G·H), blocks side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...activations import Activation
from ..clamps import Clamps
from ..masks import Masks, StepMasks
from ..normalize import Normalized
from ..packing import Packing
from ..tiles import of_inputs

Array: TypeAlias = NDArray[Any]
#: Parameters by name, and views of them.
Weights: TypeAlias = dict[str, Array]
#: The parts of the state, or their gradients.
Parts: TypeAlias = Sequence[Array]


def clip(value: Array, bound: float | None) -> Array:
    """Keep ``value`` within ± ``bound``. NaN stays."""
    return value if bound is None else np.minimum(np.maximum(value, -bound), bound)


def clip_back(d: Array, value: Array, bound: float) -> Array:
    """Return the gradient of ``value`` from that of what was clipped: nothing passes where the clip acted."""
    passes: Array = ~(np.abs(value) > bound)
    return d * passes


def columns(rows: Array, parts: int) -> list[Array]:
    """Return the blocks (n, H) of ``rows`` (n, parts · H)."""
    whole = rows.reshape(len(rows), parts, rows.shape[1] // parts)
    return [whole[:, k] for k in range(parts)]


def stacked(parts: Sequence[Array]) -> Array:
    """Return the packed rows of all steps."""
    return np.concatenate(parts)


@dataclass(slots=True, eq=False)
class Step:
    """What one step computed: all that the way back needs, and all that a trace shows."""

    before: Parts  # the parts of the state before it
    z: dict[str, Array]  # by block, what its activation saw
    a: dict[str, Array] = field(default_factory=dict)  # every quantity
    raw: dict[str, Array] = field(default_factory=dict)  # z before it was clipped

    def activate(self, key: str, function: Activation, bound: float | None, clamps: Clamps) -> Array:
        """Make the quantity ``key`` of its ``z``, clipped, and return it."""
        raw = self.raw[key] = self.z[key]
        z = self.z[key] = clip(raw, bound)
        a = self.a[key] = clamps.apply(key, function(z))
        return a

    def activate_back(self, key: str, da: Array, function: Activation, bound: float | None, clamps: Clamps) -> Array:
        """Return the gradient of ``z``, before it was clipped, from that of the quantity."""
        dz = da * function.slope(self.z[key], self.a[key])
        return clamps.mask_gradient(key, dz if bound is None else clip_back(dz, self.raw[key], bound))


@dataclass(slots=True, eq=False)
class Back:
    """What the way back through one step found: every gradient by name."""

    before: Parts  # of the parts of the state before the step
    a: dict[str, Array]  # of every quantity
    z: dict[str, Array]  # of what each activation saw
    flat: Array  # (n, G·H): the same side by side


class Equations(ABC):
    """The equations of a cell. Two that are equal compute the same; they can be hashed."""

    #: What is made of a step's numbers beyond those that every cell has.
    step_type: type[Step] = Step

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Every quantity, by the names of :mod:`compuerta.gates`."""

    @property
    @abstractmethod
    def blocks(self) -> tuple[str, ...]:
        """The blocks of the stacked parameters, in the public order."""

    @property
    @abstractmethod
    def parts(self) -> tuple[str, ...]:
        """The parts of the state, h first: each is one of the quantities."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters in the order in which they are packed, ``w_x`` and ``b`` among them."""

    @abstractmethod
    def step(self, w: Weights, z_x: Array, before: Parts, clamps: Clamps, masks: StepMasks | None) -> Step:
        """Take one step from ``z_x``, the part of x with the bias, and the parts of the state before it."""

    @abstractmethod
    def step_back(self, w: Weights, s: Any, d: Parts, clamps: Clamps, out: Array | None) -> Back:
        """Go from the gradients ``d`` of the parts of the state after a step to all that the step computed.

        Args:
            out: where ``flat`` goes, if not into an array of its own.
        """

    @abstractmethod
    def complete(self, w: Weights, z: dict[str, Array], a: dict[str, Array], before: Parts) -> Weights:
        """Return what a step keeps beyond ``before``, ``z`` and ``a``, from these, by name: for all R rows at once."""

    def before_clips(self, z: Weights, a: Weights, before: Parts) -> Weights:
        """Return what stood before the clips, by name, so that what passed can be told: for all R rows at once."""
        return {}

    def pack(self, *parameters: Array) -> Weights:
        """Return the parameters by name."""
        return dict(zip(self.parameters, parameters, strict=True))

    def draw(self, rng: np.random.Generator, w: Weights, widths: Sequence[int], packing: Packing) -> Masks | None:
        """Draw what training leaves to chance over one pass."""
        return None

    def from_inputs(self, w: Weights, xs: Array) -> tuple[Array, Normalized | None]:
        """Return the part of the inputs (R, F), or token ids (R,), with the bias; and how it was normalised, if so."""
        z_x = of_inputs(xs, w["w_x"])
        z_x += w["b"]
        return z_x, None

    def from_inputs_back(self, w: Weights, norm_x: Normalized | None, dz: Array, d: Weights | None = None) -> Array:
        """Return the gradient of W_x x from that of all blocks, and write those of its own parameters into ``d``."""
        return dz

    @abstractmethod
    def add_up(self, steps: Sequence[Any], backs: Sequence[Any], dz: Array, d: Weights) -> None:
        """Write the gradients of the recurrent parameters, sums over all R rows, into ``d``."""
