"""Characters one after another: how surprised a network is at them, and the next one drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import softmax
from ..errors import NonFiniteError
from ..layers import Sequential
from ..training import cross_entropy
from .base import Array

LN2 = math.log(2.0)
#: Characters of context that a stretch of text is warmed up with before it counts.
_CONTEXT = 128
#: Stretches that are scored side by side, and the least length that is worth one.
_STRETCHES, _STRETCH = 64, 2000


def bits_per_char(
    model: Sequential,
    ids: NDArray[np.integer[Any]],
    clamp: Mapping[Any, float] | None = None,
    *,
    stretch: int | None = None,
) -> float:
    """Return the bits per character of ``ids``, all but the first; see :meth:`compuerta.LanguageModel.score`.

    Shorter stretches than the usual ones (``stretch``) are quicker to read and a little less exact.
    """
    total = len(ids) - 1
    count = max(1, min(_STRETCHES, total // (stretch or _STRETCH)))
    each = total // count
    starts = np.arange(count) * each
    state = None
    if count > 1:  # all but the first stretch have something before them
        warm = np.stack([ids[s - _CONTEXT : s] for s in starts[1:]])
        _, (rows,), _ = model.forward(warm, clamp=clamp)
        state = (_with_first_zero(rows),)
    nats = 0.0
    for t in range(0, each, 64):
        x = np.stack([ids[s + t : s + min(t + 64, each)] for s in starts])
        y = np.stack([ids[s + t + 1 : s + min(t + 64, each) + 1] for s in starts])
        logits, state, _ = model.forward(x, state, clamp=clamp)
        nats += cross_entropy(logits, y)[0] * y.size
    if count * each < total:  # the few characters left over go on from the last stretch
        tail = ids[count * each :]
        last = tuple(_last_row(part) for part in state) if state is not None else None
        logits, _, _ = model.forward(tail[None, :-1], last, clamp=clamp)
        nats += cross_entropy(logits[0], tail[1:])[0] * (len(tail) - 1)
    return nats / total / LN2


def _with_first_zero(state: Any) -> Any:
    """Return a recurrent state (L·D, N, H) with a row of zeros before the others."""
    if isinstance(state, tuple):
        return tuple(_with_first_zero(part) for part in state)
    return np.concatenate([np.zeros_like(state[:, :1]), state], axis=1)


def _last_row(state: Any) -> Any:
    """Return the last row of a recurrent state, as a batch of one."""
    return tuple(part[:, -1:] for part in state) if isinstance(state, tuple) else state[:, -1:]


def draw(logits: Array, temperature: float, top_k: int | None, top_p: float | None, rng: np.random.Generator) -> int:
    """Return the id of a character drawn from its logits (V,); see :meth:`compuerta.LanguageModel.generate`."""
    if not np.isfinite(logits).all():
        raise NonFiniteError("error.generate_not_finite")
    if temperature == 0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):
        scaled = logits.astype(np.float64) / temperature
    if not np.isfinite(scaled).all():  # so cold that nothing but the likeliest is left
        return int(logits.argmax())
    p = softmax(scaled)
    order = np.argsort(-p, kind="stable")
    keep = len(p) if top_k is None else min(top_k, len(p))
    if top_p is not None:
        keep = min(keep, int(np.searchsorted(np.cumsum(p[order]), top_p - 1e-12)) + 1)
    candidates = order[:keep]
    return int(rng.choice(candidates, p=p[candidates] / p[candidates].sum()))
