r"""Activations that are silent over the whole range, for real arrays of any float type and complex ones.

>>> import numpy as np
>>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
array([0. , 0.5, 1. ])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SettingError

__all__ = ["ACTIVATIONS", "CELL_ACTIVATIONS", "IDENTITY", "SIGMOID", "TANH", "Activation", "sigmoid", "softmax"]


def __dir__() -> list[str]:
    return sorted(__all__)


Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    r"""Return the logistic function :math:`σ(x) = 1/(1 + e^{-x})`, elementwise, in the dtype of ``x``.

    With :math:`e = \exp(-|x|)`, which never overflows, it is ``1/(1 + e)`` for x ≥ 0 and ``e/(1 + e)`` below: within
    4 ULP over all float32 values and without a warning, where ``1/(1 + exp(-x))`` overflows and
    ``(1 + tanh(x/2))/2`` loses the left tail (1,900 ULP at -9). NaN stays NaN. Complex arrays work, for complex-step
    derivatives: the branch is chosen by the real part.

    Args:
        x: any shape; float16, float32, float64 or complex128.

    >>> float(sigmoid(np.float64(-40.0)))
    4.248354255291589e-18
    """
    x = np.asarray(x)
    positive = x.real >= 0
    # A float32 exp falls below the smallest normal number at -87.3; the flag that the processor raises there says
    # nothing about the result, which is the correctly rounded subnormal.
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        e = np.exp(np.where(positive, -x, x))
        result: Array = np.where(positive, 1, e) / (1 + e)
    return result


def softmax(x: Array) -> Array:
    """Return ``exp(x) / Σ exp(x)`` over the last axis, shifted by its maximum so that nothing overflows.

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


# ---- the activations that a cell may be given, each with its derivative ----------------------------------------------

_Function = Callable[[Array, float, float], Array]
_Slope = Callable[[Array, Array, float, float], Array]


class _Kind(NamedTuple):
    """A function of z with its alpha and beta, its derivative from z and its value a, and the defaults of both."""

    value: _Function
    slope: _Slope
    alpha: float | None = None
    beta: float | None = None


def _half_tanh(z: Array) -> Array:
    """σ with an absolute error below 1 ULP of 1, in one tanh: what the recurrences use."""
    a: Array = np.tanh(z * 0.5)
    a *= 0.5
    a += 0.5
    return a


def _softplus(z: Array) -> Array:
    value: Array = np.where(z.real > 0, z, 0) + np.log1p(np.exp(np.where(z.real > 0, -z, z)))
    return value


def _hard(z: Array, alpha: float, beta: float) -> Array:
    line = alpha * z + beta
    value: Array = np.where(line.real <= 0, 0, np.where(line.real >= 1, 1, line))
    return value


def _within(a: Array, alpha: float) -> Array:
    slope: Array = np.where((a > 0) & (a < 1), a.dtype.type(alpha), a.dtype.type(0))
    return slope


_SELU = (1.6732632423543772, 1.0507009873554805)  # Klambauer et al. 2017

#: By the names of the ONNX standard, whose LSTM, GRU and RNN know the first eleven. Branches are chosen by the real
#: part, so that complex numbers pass for complex-step derivatives, and so that NaN stays NaN.
_KINDS: dict[str, _Kind] = {
    "Affine": _Kind(lambda z, k, b: k * z + b, lambda z, a, k, b: np.full_like(z, k), 1.0, 0.0),
    "Elu": _Kind(
        lambda z, k, b: np.where(z.real > 0, z, k * np.expm1(np.where(z.real > 0, 0, z))),
        lambda z, a, k, b: np.where(z > 0, z.dtype.type(1), a + k), 1.0,
    ),
    "HardSigmoid": _Kind(_hard, lambda z, a, k, b: _within(a, k), 0.2, 0.5),
    "LeakyRelu": _Kind(
        lambda z, k, b: np.where(z.real < 0, k * z, z),
        lambda z, a, k, b: np.where(z < 0, z.dtype.type(k), z.dtype.type(1)), 0.01,
    ),
    "Relu": _Kind(lambda z, k, b: np.where(z.real <= 0, 0, z), lambda z, a, k, b: (z > 0).astype(z.dtype)),
    "ScaledTanh": _Kind(
        lambda z, k, b: k * np.tanh(b * z), lambda z, a, k, b: k * b - (b / k if k else 0) * a * a, 1.0, 1.0
    ),
    "Sigmoid": _Kind(lambda z, k, b: _half_tanh(z), lambda z, a, k, b: a * (1 - a)),
    "Softplus": _Kind(lambda z, k, b: _softplus(z), lambda z, a, k, b: sigmoid(z)),
    "Softsign": _Kind(
        lambda z, k, b: z / (1 + np.where(z.real < 0, -z, z)), lambda z, a, k, b: 1 / (1 + np.abs(z)) ** 2
    ),
    "Tanh": _Kind(lambda z, k, b: np.tanh(z), lambda z, a, k, b: 1 - a * a),
    "ThresholdedRelu": _Kind(
        lambda z, k, b: np.where(z.real < k, 0, z), lambda z, a, k, b: (z >= k).astype(z.dtype), 1.0
    ),
    "Identity": _Kind(lambda z, k, b: z, lambda z, a, k, b: np.ones_like(z)),
    "Selu": _Kind(
        lambda z, k, b: b * np.where(z.real > 0, z, k * np.expm1(np.where(z.real > 0, 0, z))),
        lambda z, a, k, b: np.where(z > 0, z.dtype.type(b), a + z.dtype.type(k * b)), _SELU[0], _SELU[1],
    ),
    "Swish": _Kind(
        lambda z, k, b: z * sigmoid(k * z),
        lambda z, a, k, b: sigmoid(k * z) + k * a * (1 - sigmoid(k * z)), 1.0,
    ),
}  # fmt: skip

#: The names that :class:`Activation` takes.
ACTIVATIONS = tuple(_KINDS)
#: Those that ONNX's LSTM, GRU and RNN know.
CELL_ACTIVATIONS = ACTIVATIONS[:11]


@dataclass(frozen=True)
class Activation:
    """A function of one variable that a gate, the candidate or the output passes through, with its derivative.

    ======================= ============================== =============
    name                    value                          alpha, beta
    ======================= ============================== =============
    ``Affine``              αz + β                         1, 0
    ``Elu``                 z if z > 0 else α(eᶻ − 1)      1
    ``HardSigmoid``         min(max(αz + β, 0), 1)         0.2, 0.5
    ``Identity``            z
    ``LeakyRelu``           z if z ≥ 0 else αz             0.01
    ``Relu``                max(z, 0)
    ``ScaledTanh``          α tanh(βz)                     1, 1
    ``Selu``                βz if z > 0 else βα(eᶻ − 1)    1.673…, 1.051…
    ``Sigmoid``             1/(1 + e⁻ᶻ)
    ``Softplus``            log(1 + eᶻ)
    ``Softsign``            z/(1 + abs(z))
    ``Swish``               z σ(αz)                        1
    ``Tanh``                tanh(z)
    ``ThresholdedRelu``     z if z ≥ α else 0              1
    ======================= ============================== =============

    Args:
        name: one of those above, the names of the ONNX standard.
        alpha, beta: the numbers of those that have them; the default of the table for None.

    Raises:
        SettingError: there is no such activation, or it has no such number, or that is not finite.

    >>> hard = Activation("HardSigmoid", alpha=0.25)
    >>> z = np.array([-9.0, 0.0, 1.0])
    >>> hard(z), hard.slope(z, hard(z))
    (array([0.  , 0.5 , 0.75]), array([0.  , 0.25, 0.25]))
    """

    name: str
    alpha: float | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        kind = _KINDS.get(self.name) if isinstance(self.name, str) else None
        if kind is None:
            raise SettingError("error.activation", got=repr(self.name), known=", ".join(sorted(_KINDS)))
        for argument, default in (("alpha", kind.alpha), ("beta", kind.beta)):
            value = getattr(self, argument)
            if value is None:
                object.__setattr__(self, argument, default)
            elif default is None:
                raise SettingError("error.activation_number", name=self.name, argument=argument, got=value)
            elif isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise SettingError("error.number", name=f"{self.name}: {argument}", bounds="", got=repr(value))
            else:
                object.__setattr__(self, argument, float(value))

    @classmethod
    def of(cls, value: Any) -> Activation:
        """Return an activation from itself, a name, or ``[name, alpha, beta]`` as :meth:`plain` writes it."""
        if isinstance(value, Activation):
            return value
        if isinstance(value, (list, tuple)) and 1 <= len(value) <= 3:
            return cls(*value)
        return cls(value)

    @property
    def sign(self) -> str:
        """How it is written before its argument in an equation: σ, tanh, nothing, or its name."""
        return {"Sigmoid": "σ", "Tanh": "tanh", "Identity": ""}.get(self.name, self.name)

    def plain(self) -> str | list[Any]:
        """Return this as plain JSON values, from which :meth:`of` makes it again."""
        kind = _KINDS[self.name]
        if (self.alpha, self.beta) == (kind.alpha, kind.beta):
            return self.name
        return [self.name, *(v for v in (self.alpha, self.beta) if v is not None)]

    def __call__(self, z: Array) -> Array:
        """Return the value at ``z``, in its dtype; complex numbers pass."""
        return _KINDS[self.name].value(z, self.alpha or 0.0, self.beta or 0.0)

    def slope(self, z: Array, a: Array) -> Array:
        """Return the derivative at ``z``, where the value is ``a``; at a corner, that of one side."""
        return _KINDS[self.name].slope(z, a, self.alpha or 0.0, self.beta or 0.0)


SIGMOID, TANH, IDENTITY = Activation("Sigmoid"), Activation("Tanh"), Activation("Identity")
