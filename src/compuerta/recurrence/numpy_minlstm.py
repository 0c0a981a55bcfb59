r"""The minimal LSTM in NumPy: gates and candidate see x alone, so that one scan gives every step.

.. math::

    \hat f = \frac{f}{f + i}, \quad \hat i = \frac{i}{f + i}, \qquad h_t = \hat f ⊙ h_{t-1} + \hat i ⊙ g

Both shares are a sigmoid of :math:`δ = \log i - \log f`, :math:`\hat i = σ(δ)` and :math:`\hat f = σ(-δ)`, which stays
right where both gates are closed so far that f + i would be 0.

The way back is the same recurrence read from the end, :math:`λ_t = dy_t + \hat f_{t+1} ⊙ λ_{t+1}`; with it,
:math:`dg = λ ⊙ \hat i`, :math:`dδ = λ ⊙ \hat i ⊙ \hat f ⊙ (g - h')`, :math:`dz_i = dδ ⊙ (1 - i)` and
:math:`dz_f = -dδ ⊙ (1 - f)`.

Shapes: N rows, T steps, F inputs, H units, P packed rows (see :mod:`.packing`); blocks in the public order i, f, g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..activations import Activation, sigmoid
from .clamps import NO_CLAMPS, Clamps
from .packing import Packing
from .scan import scan
from .tiles import of_inputs
from .tokens import sum_by_token

Array = NDArray[Any]

_softplus = Activation("Softplus")


@dataclass(frozen=True, slots=True, eq=False)
class MinLSTMWeights:
    """The parameters as they came: ``w_x`` (3H, F), ``b`` (3H,)."""

    w_x: Array
    b: Array


@dataclass(frozen=True, slots=True, eq=False)
class MinLSTMTape:
    """One layer and direction over one batch, by packed rows."""

    packing: Packing
    x: Array  # (P, F), or (P,) token ids
    z: Array  # (3, P, H): before their activations, i, f, g
    keep: Array  # (steps, N, H): f̂, 1 where a row no longer runs
    h: Array  # (1 + steps, N, H): the initial state, then that after each step

    clamps: ClassVar[Clamps] = NO_CLAMPS
    stepwise: ClassVar[bool] = False

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows."""
        return ("i", "f", "g", "h")

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H), zeros past each row's length; with ``z_`` before it, what σ saw.

        Raises:
            KeyError: this cell has no such quantity.
        """
        block = key.removeprefix("z_")
        if key not in self.names and block not in self.names[:3]:
            raise KeyError(key)
        if key == "h":
            rows = self.packing.flat(self.h[1:])
        else:
            rows = self.z[self.names.index(block)]
            rows = rows if key == "g" or key != block else sigmoid(rows)
        return np.require(self.packing.unpack(rows), requirements=["C", "O"])


def pack(w_x: Array, b: Array) -> MinLSTMWeights:
    """Keep ``w_x`` (3H, F) and ``b`` (3H,), blocks in the order i, f, g."""
    return MinLSTMWeights(w_x, b)


def _from_inputs(weights: MinLSTMWeights, xs: Array) -> Array:
    """Return what i, f and g are before their activations, (3, rows, H)."""
    z = of_inputs(xs, weights.w_x)
    z += weights.b
    return z.reshape(len(xs), 3, len(weights.b) // 3).swapaxes(0, 1)


def shares(z: Array) -> tuple[Array, Array]:
    """Return f̂ and î; their sum is 1 but for rounding, each by itself right to the last digits."""
    delta = _softplus(-z[1]) - _softplus(-z[0])
    return sigmoid(-delta), sigmoid(delta)


def forward(
    weights: MinLSTMWeights,
    x: Array,
    h0: Array,
    lengths: NDArray[np.intp] | None = None,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Array, Array, MinLSTMTape | None]:
    """Run over a batch; shapes and meaning as in :class:`compuerta.recurrence.Cell`."""
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    xs = packing.pack(x)
    z = _from_inputs(weights, xs)
    keep, write = shares(z)
    write *= z[2]
    first, keep = packing.sort(h0), packing.grid(keep, 1)
    h = np.concatenate((first[None], scan(keep, packing.grid(write, 0), first)))
    tape = MinLSTMTape(packing, xs, z, keep, h) if record else None
    return packing.unpack(packing.flat(h[1:])), packing.unsort(h[-1]), tape


def backward(
    weights: MinLSTMWeights, tape: MinLSTMTape, dy: Array, dh_n: Array, dw_x: Array, db: Array
) -> tuple[Array | None, Array]:
    """Walk a tape back; shapes and meaning as in :class:`compuerta.recurrence.Cell`."""
    packing, keep = tape.packing, tape.keep
    dys = packing.grid(packing.pack(dy), 0)
    last = packing.sort(dh_n)
    handed = np.concatenate((np.ones_like(last)[None], keep[:0:-1]))[: len(keep)]  # f̂ of the step after; 1 at the end
    reach = scan(handed, dys[::-1], last)[::-1]
    d = packing.flat(reach)
    f_hat, i_hat = shares(tape.z)
    dz = np.empty((packing.rows, 3, d.shape[1]), d.dtype)
    delta = d * i_hat * f_hat * (tape.z[2] - packing.flat(tape.h[:-1]))
    np.multiply(delta, sigmoid(-tape.z[0]), out=dz[:, 0])
    np.multiply(-delta, sigmoid(-tape.z[1]), out=dz[:, 1])
    np.multiply(d, i_hat, out=dz[:, 2])
    flat = dz.reshape(packing.rows, len(weights.b))
    np.sum(flat, axis=0, out=db)
    dx: Array | None = None
    if tape.x.ndim == 1:
        dw_x[...] = sum_by_token(flat, tape.x, dw_x.shape[1]).T
    else:
        np.matmul(flat.T, tape.x, out=dw_x)
        dx = packing.unpack(flat @ weights.w_x)
    return dx, packing.unsort(keep[0] * reach[0] if len(keep) else last)


class Stepper:
    """One step after another; the state is in ``h`` (N, H)."""

    def __init__(self, weights: MinLSTMWeights, h: Array) -> None:
        self.h, self._weights = h, weights

    def __call__(self, x: Array) -> Array:
        """Take ``x`` (N, F), or (N,) token ids, one step on; return ``h`` (N, H), overwritten by the next step."""
        z = _from_inputs(self._weights, x)
        keep, write = shares(z)
        self.h *= keep
        write *= z[2]
        self.h += write
        return self.h
