r"""The minimal LSTM of :mod:`..numpy_minlstm`, one step after another.

.. math::

    \hat f = \frac{f}{f + i}, \quad \hat i = \frac{i}{f + i}, \qquad h = \hat f ⊙ h' + \hat i ⊙ g

Its way back goes through :math:`δ = \log i - \log f`, with :math:`\hat i = σ(δ)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...activations import sigmoid
from ...gates import MIN_LSTM
from ..clamps import Clamps
from ..masks import StepMasks
from ..numpy_minlstm import shares
from . import Array, Back, Equations, Parts, Step, Weights, columns


@dataclass(slots=True, eq=False)
class MinLSTMStep(Step):
    """With the shares f̂ and î."""

    keep: Array = field(init=False)
    write: Array = field(init=False)


@dataclass(frozen=True)
class MinLSTMEquations(Equations):
    """Gates and candidate see x alone: there is no U."""

    names, blocks, parts = MIN_LSTM.names, MIN_LSTM.blocks, MIN_LSTM.parts
    parameters = ("w_x", "b")
    step_type = MinLSTMStep

    def step(self, w: Weights, z_x: Array, before: Parts, clamps: Clamps, masks: StepMasks | None) -> MinLSTMStep:
        """Take one step. See :class:`Equations`."""
        z_i, z_f, z_g = columns(z_x, 3)
        i, f, g = clamps.apply("i", sigmoid(z_i)), clamps.apply("f", sigmoid(z_f)), clamps.apply("g", z_g)
        s = MinLSTMStep(before, {"i": z_i, "f": z_f, "g": z_g}, {"i": i, "f": f, "g": g})
        s.keep, s.write = shares(np.stack((z_i, z_f)))
        if clamps:  # a clamped gate has no z: the shares come from the gates, and where both are 0 the state stands
            both = np.where(i + f == 0, 1, i + f)
            s.write = i / both
            s.keep = 1 - s.write
        s.a["h"] = clamps.apply("h", s.keep * before[0] + s.write * g)
        return s

    def step_back(self, w: Weights, s: MinLSTMStep, d: Parts, clamps: Clamps, out: Array | None) -> Back:
        """Go back through one step. See :class:`Equations`."""
        dh = clamps.mask_gradient("h", d[0])
        dg = dh * s.write
        delta = dg * s.keep * (s.a["g"] - s.before[0])
        dz = {
            "i": clamps.mask_gradient("i", delta * sigmoid(-s.z["i"])),
            "f": clamps.mask_gradient("f", -delta * sigmoid(-s.z["f"])),
            "g": clamps.mask_gradient("g", dg),
        }
        da = {"i": delta / s.a["i"], "f": -delta / s.a["f"], "g": dg, "h": d[0]}  # a gate of 0 has no logarithm
        return Back((dh * s.keep,), da, dz, np.concatenate(list(dz.values()), axis=1, out=out))

    def complete(self, w: Weights, z: Weights, a: Weights, before: Parts) -> Weights:
        """Return the shares. See :class:`Equations`."""
        return dict(zip(("keep", "write"), shares(np.stack((z["i"], z["f"]))), strict=True))

    def add_up(self, steps: Sequence[Step], backs: Sequence[Back], dz: Array, d: Weights) -> None:
        """There are no recurrent parameters."""
