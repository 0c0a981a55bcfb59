"""An activation function without parameters, over each value or each step, as used after a Dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..activations import sigmoid, softmax
from ..errors import SettingError
from .base import Array, Layer, LayerClamps, Lengths
from .parameters import Parameters


class Activation(Layer[None]):
    r"""Apply ``relu``, ``sigmoid``, ``tanh``, ``softmax`` or ``log_softmax`` (both over the features of each step).

    .. math::

        \max(x, 0), \quad σ(x), \quad \tanh x, \quad e^{x_k} / Σ_j e^{x_j}, \quad x_k - \log Σ_j e^{x_j}

    Losses here take logits; use an activation to read outputs directly, or for models from other frameworks.

    Args:
        kind: one of the five names.
        dtype: "float32" or "float64".

    Raises:
        SettingError: ``kind`` is none of them.

    >>> import numpy as np
    >>> from compuerta.layers import Activation
    >>> Activation("softmax")(np.zeros((1, 1, 4)))
    array([[[0.25, 0.25, 0.25, 0.25]]], dtype=float32)
    """

    KINDS = ("log_softmax", "relu", "sigmoid", "softmax", "tanh")

    def __init__(self, kind: str, *, dtype: Any = "float32") -> None:
        if kind not in self.KINDS:
            raise SettingError("error.choice", name="kind", known=", ".join(self.KINDS), got=repr(kind))
        self.kind = kind
        self.dtype = checks.float_dtype(dtype, self.name)
        self.parameters = Parameters({}, self.dtype)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer."""
        return {"kind": self.kind, "dtype": self.dtype.name}

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        return checks.sequences(x, self.name, None, self.dtype)

    def run(
        self,
        x: Array,
        state: Any,
        lengths: Lengths,
        record: bool,
        rng: np.random.Generator | None,
        clamps: LayerClamps | None = None,
    ) -> tuple[Array, Any, Any]:
        if self.kind == "relu":
            y = np.maximum(x, 0)
        elif self.kind == "tanh":
            y = np.tanh(x)
        elif self.kind == "sigmoid":
            y = sigmoid(x)
        elif not x.size:
            y = x.copy()
        elif self.kind == "softmax":
            y = softmax(x)
        else:
            with np.errstate(all="ignore"):
                y = x - x.max(axis=-1, keepdims=True)
                y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
        return y, None, y if record else None

    @np.errstate(all="ignore")  # what overflows is infinite, and says so itself
    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array, Any]:
        y = tape
        if self.kind == "relu":
            return dy * (y > 0), None
        if self.kind == "tanh":
            return dy * (1 - y * y), None
        if self.kind == "sigmoid":
            return dy * y * (1 - y), None
        if self.kind == "log_softmax":
            return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True), None
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True)), None
