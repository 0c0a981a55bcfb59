r"""The GRU of :mod:`..numpy_gru` in both reset conventions, with any activations and a clip, as ONNX's operator has it.

.. math::

    r = f(W_r x + U_r h' + b_r), \qquad z = f(W_z x + U_z h' + b_z), \qquad h = (1 − z) ⊙ n + z ⊙ h'

    n = g(W_n x + b_n + r ⊙ q), \quad q = U_n h' + b_{hn} \qquad \text{reset after the product (cuDNN, PyTorch)}

    n = g(W_n x + b_n + U_n q), \quad q = r ⊙ h' \qquad \text{reset before it (Cho et al. 2014)}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...activations import SIGMOID, TANH, Activation
from ...gates import GRU
from ..clamps import Clamps
from ..masks import StepMasks
from . import Array, Back, Equations, Parts, Step, Weights, clip, columns, stacked


@dataclass(slots=True, eq=False)
class GRUStep(Step):
    """With q."""

    q: Array = field(init=False)


@dataclass(slots=True, eq=False)
class GRUBack(Back):
    """With the gradient of q."""

    q: Array


@dataclass(frozen=True)
class GRUEquations(Equations):
    """f is ``gate_activation``, g ``input_activation``; ``clip`` bounds what they see."""

    reset_after: bool = True
    gate_activation: Activation = SIGMOID
    input_activation: Activation = TANH
    clip: float | None = None

    names, blocks, parts = GRU.names, GRU.blocks, GRU.parts
    step_type = GRUStep

    @property
    def parameters(self) -> tuple[str, ...]:
        """With ``b_hn`` (H,) where the reset gate acts after the product."""
        return ("w_x", "w_h", "b", "b_hn") if self.reset_after else ("w_x", "w_h", "b")

    def pack(self, *parameters: Array) -> Weights:
        """Return the parameters and the parts of U by name."""
        w = super().pack(*parameters)
        hidden = w["w_h"].shape[1]
        u_r, u_z, u_n = np.split(w["w_h"], 3)
        return w | {"u_rz": w["w_h"][: 2 * hidden], "u_r": u_r, "u_z": u_z, "u_n": u_n}

    def _q(self, w: Weights, h_prev: Array, r: Array) -> Array:
        return h_prev @ w["u_n"].T + w["b_hn"] if self.reset_after else r * h_prev

    def step(self, w: Weights, z_x: Array, before: Parts, clamps: Clamps, masks: StepMasks | None) -> GRUStep:
        """Take one step. See :class:`Equations`."""
        h_prev = before[0]
        s, wide = GRUStep(before, {}), 2 * h_prev.shape[1]
        raw = z_x[:, :wide] + h_prev @ w["u_rz"].T
        clipped = clip(raw, self.clip)
        gates = (columns(rows, 2) for rows in (raw, clipped, self.gate_activation(clipped)))
        for k, s.raw[k], s.z[k], gate in zip("rz", *gates, strict=True):
            s.a[k] = clamps.apply(k, gate)
        r, z, x_n = s.a["r"], s.a["z"], z_x[:, wide:]
        s.q = self._q(w, h_prev, r)
        s.z["n"] = x_n + (r * s.q if self.reset_after else s.q @ w["u_n"].T)
        n = s.activate("n", self.input_activation, self.clip, clamps)
        s.a["h"] = clamps.apply("h", (1 - z) * n + z * h_prev)
        return s

    def step_back(self, w: Weights, s: GRUStep, d: Parts, clamps: Clamps, out: Array | None) -> GRUBack:
        """Go back through one step. See :class:`Equations`."""
        r, z, n, h_prev = s.a["r"], s.a["z"], s.a["n"], s.before[0]
        dh = clamps.mask_gradient("h", d[0])
        da = {"z": dh * (h_prev - n), "n": dh * (1 - z), "h": d[0]}
        dz_n = s.activate_back("n", da["n"], self.input_activation, self.clip, clamps)
        if self.reset_after:
            da["r"], dq = dz_n * s.q, dz_n * r
            dh_prev = dq @ w["u_n"]
        else:
            dq = dz_n @ w["u_n"]
            da["r"], dh_prev = dq * h_prev, dq * r
        dz_r, dz_z = (s.activate_back(k, da[k], self.gate_activation, self.clip, clamps) for k in ("r", "z"))
        dh_prev = dh_prev + dh * z + dz_r @ w["u_r"] + dz_z @ w["u_z"]
        flat = np.concatenate((dz_r, dz_z, dz_n), axis=1, out=out)
        return GRUBack((dh_prev,), da, {"r": dz_r, "z": dz_z, "n": dz_n}, flat, dq)

    def complete(self, w: Weights, z: Weights, a: Weights, before: Parts) -> Weights:
        """Return q. See :class:`Equations`."""
        return {"q": self._q(w, before[0], a["r"])}

    def add_up(self, steps: Sequence[GRUStep], backs: Sequence[GRUBack], dz: Array, d: Weights) -> None:
        """Write the gradients of U and b_hn. See :class:`Equations`."""
        u_r, u_z, u_n = np.split(d["w_h"], 3)
        dz_r, dz_z, dz_n = columns(dz, 3)
        h_prev, q = stacked([s.before[0] for s in steps]), stacked([s.q for s in steps])
        np.matmul(dz_r.T, h_prev, out=u_r)
        np.matmul(dz_z.T, h_prev, out=u_z)
        if self.reset_after:
            dq = stacked([b.q for b in backs])
            np.matmul(dq.T, h_prev, out=u_n)
            np.sum(dq, axis=0, out=d["b_hn"])
        else:
            np.matmul(dz_n.T, q, out=u_n)
