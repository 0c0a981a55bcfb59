r"""The LSTM over time in NumPy: one product for all of x, then one small step after another, nothing allocated.

.. math::  c_t = f ⊙ c_{t-1} + i ⊙ g, \qquad h_t = o ⊙ \tanh(c_t)

Inside, a gate is half a tanh: σ(z) = (1 + tanh(z/2))/2, so that one tanh serves all four blocks. The weights of i, f
and o are halved when they are packed (exact: a power of two). Against the exact σ the absolute error stays below 1 ULP
of 1, which is that of the sums it enters; it is the tiny gates whose relative accuracy suffers, and they are added to
larger things. Blocks stand in the order i, f, o, g here and in the tape, each one a contiguous matrix, so that the
three gates are one slice.

Shapes: N rows, T steps, F inputs, H units, P packed rows (see :mod:`.packing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packing import Packing
from .tape import Tape
from .tokens import sum_by_token

Array = NDArray[Any]

#: Blocks inside the engine, and where each stands in the public order i, f, g, o.
SLOTS = ("i", "f", "o", "g")
_FROM_PUBLIC = (0, 1, 3, 2)
#: Elements of one block of steps whose factors are prepared together in the way back: they stay in the cache.
_CACHED = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class LSTMWeights:
    """Weights as the loop wants them: one (inputs, H) matrix per block, the gates' halved; and as they came."""

    w_x: Array  # (4, F, H)
    w_h: Array  # (4, H, H)
    b: Array  # (4, 1, H)
    public_w_x: Array  # (4H, F)
    public_w_h: Array  # (4H, H)


def pack(w_x: Array, w_h: Array, b: Array) -> LSTMWeights:
    """Repack ``w_x`` (4H, F), ``w_h`` (4H, H) and ``b`` (4H,), all in the order i, f, g, o."""
    hidden = w_h.shape[1]
    scale = np.array((0.5, 0.5, 0.5, 1.0), w_h.dtype)[:, None, None]

    def blocks(w: Array) -> Array:
        out = np.empty((4, w.shape[1], hidden), w.dtype)
        np.multiply(w.reshape(4, hidden, -1).transpose(0, 2, 1)[_FROM_PUBLIC, ...], scale, out=out)
        return out

    return LSTMWeights(blocks(w_x), blocks(w_h), blocks(b[:, None]), w_x, w_h)


def forward(
    weights: LSTMWeights,
    x: Array,
    h0: Array,
    c0: Array,
    lengths: NDArray[np.intp] | None = None,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Array, Array, Array, Tape | None]:
    """Run over a batch; shapes and meaning as in :class:`compuerta.recurrence.Engine`."""
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, hidden = packing.n, weights.w_h.shape[1]
    xs = packing.pack(x)
    gates = np.take(weights.w_x, xs, axis=1) if xs.ndim == 1 else np.matmul(xs, weights.w_x)
    gates += weights.b

    h = np.empty((n + packing.rows, hidden), gates.dtype)
    c = np.empty((n + packing.rows if record else n, hidden), gates.dtype)
    tanh_c = np.empty((packing.rows if record else 0, hidden), gates.dtype)
    h[:n] = packing.sort(h0)
    c[:n] = packing.sort(c0)

    step = np.empty((4, n, hidden), gates.dtype)
    h_prev, c_prev = h[:n], c[:n]
    recurrent, half, multiply, tanh, w_h = step, gates.dtype.type(0.5), np.multiply, np.tanh, weights.w_h
    for start, count in packing.steps:
        stop = start + count
        if count != len(h_prev):
            h_prev, c_prev, recurrent = h_prev[:count], c_prev[:count], step[:, :count]
        z = gates[:, start:stop]
        np.matmul(h_prev, w_h, out=recurrent)
        z += recurrent
        tanh(z, out=z)
        sigmoids = z[:3]
        sigmoids *= half
        sigmoids += half
        i, f, o, g = z
        h_prev = h[n + start : n + stop]
        if record:
            written = recurrent[0]
            multiply(i, g, out=written)
            c_next = c[n + start : n + stop]
            multiply(f, c_prev, out=c_next)
            c_next += written
            c_prev = c_next
            t = tanh(c_prev, out=tanh_c[start:stop])
            multiply(o, t, out=h_prev)
        else:
            c_prev *= f
            g *= i
            c_prev += g
            tanh(c_prev, out=h_prev)
            h_prev *= o
    h_n = packing.unsort(packing.last(h))
    c_n = packing.unsort(packing.last(c) if record else c)
    tape = Tape(packing, xs, SLOTS, gates, h, c, tanh_c) if record else None
    return packing.unpack(h[n:]), h_n, c_n, tape


def backward(
    weights: LSTMWeights,
    tape: Tape,
    dy: Array,
    dh_n: Array,
    dc_n: Array,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array | None, Array, Array]:
    r"""Backpropagation through time; shapes and meaning as in :class:`compuerta.recurrence.Engine`.

    With dh_t and dc_t the gradients that arrive at a step (from the output and from the step after it),

    .. math::

        dc_t &\mathrel{+}= dh_t ⊙ o ⊙ (1 - \tanh^2 c_t)

        dz_i &= dc_t ⊙ g ⊙ i(1-i), \quad dz_f = dc_t ⊙ c_{t-1} ⊙ f(1-f), \quad dz_g = dc_t ⊙ i ⊙ (1-g^2),
              \quad dz_o = dh_t ⊙ \tanh(c_t) ⊙ o(1-o)

        dh_{t-1} &= dz\,W_h, \quad dc_{t-1} = dc_t ⊙ f

    All but dc_t and dh_t is known beforehand, so a block of steps prepares its factors at once, in the cache.
    """
    packing, hidden = tape.packing, weights.public_w_h.shape[1]
    i, f, o, g = tape.gates
    tanh_c = tape.extra
    assert tape.c is not None
    c_before = packing.before(tape.c)
    dys = packing.pack(dy)
    dz = np.empty((packing.rows, 4 * hidden), tape.gates.dtype)  # blocks i, f, g, o
    dz_blocks = dz.reshape(packing.rows, 4, hidden)
    dh, dc = packing.sort(dh_n).copy(), packing.sort(dc_n).copy()
    scratch = np.empty((packing.n, hidden), dz.dtype)

    per_block = max(1, _CACHED // max(1, packing.n * hidden))
    for last in range(len(packing.steps), 0, -per_block):
        block = packing.steps[max(0, last - per_block) : last]
        first, end = block[0][0], sum(block[-1])
        rows = slice(first, end)
        i_, f_, o_, g_, tanh_ = i[rows], f[rows], o[rows], g[rows], tanh_c[rows]
        one_minus = 1 - i_
        one_minus *= i_
        np.multiply(one_minus, g_, out=dz_blocks[rows, 0])
        np.subtract(1, f_, out=one_minus)
        one_minus *= f_
        np.multiply(one_minus, c_before[rows], out=dz_blocks[rows, 1])
        np.multiply(g_, g_, out=one_minus)
        np.subtract(1, one_minus, out=one_minus)
        np.multiply(one_minus, i_, out=dz_blocks[rows, 2])
        np.subtract(1, o_, out=one_minus)
        one_minus *= o_
        np.multiply(one_minus, tanh_, out=dz_blocks[rows, 3])
        np.multiply(tanh_, tanh_, out=one_minus)
        np.subtract(1, one_minus, out=one_minus)
        dc_dh = one_minus
        dc_dh *= o_
        for start, count in reversed(block):
            stop = start + count
            dh_t, dc_t, tmp = dh[:count], dc[:count], scratch[:count]
            dh_t += dys[start:stop]
            np.multiply(dh_t, dc_dh[start - first : stop - first], out=tmp)
            dc_t += tmp
            dz_blocks[start:stop, :3] *= dc_t[:, None]
            dz_blocks[start:stop, 3] *= dh_t
            dc_t *= f[start:stop]
            np.matmul(dz[start:stop], weights.public_w_h, out=dh_t)

    np.matmul(dz.T, packing.before(tape.h), out=dw_h)
    np.sum(dz, axis=0, out=db)
    dx: Array | None = None
    if tape.x.ndim == 1:
        dw_x[...] = sum_by_token(dz, tape.x, dw_x.shape[1]).T
    else:
        np.matmul(dz.T, tape.x, out=dw_x)
        dx = packing.unpack(dz @ weights.public_w_x)
    return dx, packing.unsort(dh), packing.unsort(dc)


class Stepper:
    """One step after another with every buffer made beforehand; the state is in ``h`` and ``c`` (N, H)."""

    def __init__(self, weights: LSTMWeights, h: Array, c: Array) -> None:
        self.h, self.c = h, c
        self._weights = weights
        self._z = np.empty((4, *h.shape), h.dtype)
        self._recurrent = np.empty_like(self._z)
        self._half = h.dtype.type(0.5)
        self._i, self._f, self._o, self._g = self._z

    def __call__(self, x: Array) -> Array:
        """Take ``x`` (N, F), or (N,) token ids, one step on; return ``h`` (N, H), overwritten by the next step."""
        z, w, half = self._z, self._weights, self._half
        if x.ndim == 1:
            np.take(w.w_x, x, axis=1, out=z, mode="clip")
        else:
            np.matmul(x, w.w_x, out=z)
        z += w.b
        np.matmul(self.h, w.w_h, out=self._recurrent)
        z += self._recurrent
        np.tanh(z, out=z)
        gates = z[:3]
        gates *= half
        gates += half
        self.c *= self._f
        self._g *= self._i
        self.c += self._g
        np.tanh(self.c, out=self.h)
        self.h *= self._o
        return self.h
