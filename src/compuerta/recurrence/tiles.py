"""How a product of one time step is cut so that BLAS takes its short way.

OpenBLAS has kernels for small matrices on machines with AVX-512 that multiply at once, without first copying both
factors and without waking other threads: a third faster at the sizes of one step, and not slowed to a crawl where
another process holds a core that its threads wait for. They serve products of up to a million multiplications, so a
larger one is cut into several. Other BLAS and other machines gain nothing from it, and there nothing is cut.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SMALL = 1_000_000
#: Columns of one piece: a few vectors of the kernel.
_WIDTH = 64


@cache
def _cutting_pays() -> bool:
    """Whether NumPy uses OpenBLAS and the machine has AVX-512. Not timed: bits must not depend on chance."""
    try:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]["name"]
        features = config["SIMD Extensions"]["found"]
    except (KeyError, TypeError):
        return False
    return "openblas" in blas and any(name in ("X86_V4", "AVX512_SKX") for name in features)


def from_inputs(xs: Array, w_x: Array, b: Array, out: Array) -> None:
    """Write the part of the inputs into ``out`` (G, P, H): ``xs @ w_x + b``, or rows of ``w_x`` gathered by token id.

    Args:
        xs: (P, F), or (P,) token ids. w_x: (G, F, H). b: (G, 1, H).
    """
    if xs.ndim == 1:
        np.take(w_x, xs, axis=1, out=out, mode="clip")
    else:
        w, product, shape = cut(w_x, out)
        np.matmul(xs.reshape(shape), w, out=product)
    out += b


def of_inputs(xs: Array, w_x: Array) -> Array:
    """Return ``xs`` (P, F) times ``w_x`` (G·H, F) transposed, or columns of ``w_x`` gathered by token id (P,)."""
    return np.take(w_x.T, xs, axis=0, mode="clip") if xs.ndim == 1 else xs @ w_x.T


def cut(w: Array, out: Array) -> tuple[Array, Array, tuple[int, ...]]:
    """Return views ``(w_, out_, shape)`` with which ``np.matmul(a.reshape(shape), w_, out=out_)`` is ``out = a @ w``.

    Args:
        w: (..., K, H). out: (..., N, H).

    >>> a, w = np.ones((32, 512), np.float32), np.ones((4, 512, 256), np.float32)
    >>> out = np.empty((4, 32, 256), np.float32)
    >>> w_, out_, shape = cut(w, out)
    >>> _ = np.matmul(a.reshape(shape), w_, out=out_)
    >>> bool((out == 512).all())
    True
    """
    inner, width = w.shape[-2:]
    rows = out.shape[-2]
    whole = w, out, (rows, inner)
    if rows * inner * width <= _SMALL or rows < 2 or width % _WIDTH or out.dtype != np.float32 or not _cutting_pays():
        return whole
    most = _SMALL // (inner * _WIDTH)
    part = max((m for m in range(1, min(rows, most) + 1) if rows % m == 0), default=0)
    if part < 4:
        return whole
    columns = width // _WIDTH
    w_ = w.reshape(*w.shape[:-1], columns, _WIDTH).swapaxes(-3, -2)[..., None, :, :]
    out_ = out.reshape(*out.shape[:-2], rows // part, part, columns, _WIDTH)
    return w_, np.moveaxis(out_, -2, -4), (rows // part, part, inner)
