r"""The simple recurrence (Elman 1990), with any activation, as ONNX's operator RNN has it.

.. math::

    z = W x + U h' + b, \qquad h = f(\mathrm{clip}(z))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...activations import TANH, Activation
from ..clamps import Clamps
from ..masks import StepMasks
from . import Array, Back, Equations, Parts, Step, Weights, stacked


@dataclass(frozen=True)
class RNNEquations(Equations):
    """One block and one quantity, h. ``clip`` bounds z."""

    activation: Activation = TANH
    clip: float | None = None

    names = blocks = parts = ("h",)
    parameters = ("w_x", "w_h", "b")

    def step(self, w: Weights, z_x: Array, before: Parts, clamps: Clamps, masks: StepMasks | None) -> Step:
        """Take one step. See :class:`Equations`."""
        s = Step(before, {"h": z_x + before[0] @ w["w_h"].T})
        s.activate("h", self.activation, self.clip, clamps)
        return s

    def step_back(self, w: Weights, s: Step, d: Parts, clamps: Clamps, out: Array | None) -> Back:
        """Go back through one step. See :class:`Equations`."""
        dz = s.activate_back("h", d[0], self.activation, self.clip, clamps)
        flat = np.concatenate([dz], axis=1, out=out)
        return Back((dz @ w["w_h"],), {"h": d[0]}, {"h": dz}, flat)

    def complete(self, w: Weights, z: Weights, a: Weights, before: Parts) -> Weights:
        """Nothing more is kept."""
        return {}

    def add_up(self, steps: Sequence[Step], backs: Sequence[Back], dz: Array, d: Weights) -> None:
        """Write dL/dU. See :class:`Equations`."""
        np.matmul(dz.T, stacked([s.before[0] for s in steps]), out=d["w_h"])
