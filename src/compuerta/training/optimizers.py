"""Optimizers over one flat buffer of parameters and one of gradients: an update is a handful of array operations.

Each keeps its memory in ``arrays`` (name to flat array) and ``updates``, which is all that a checkpoint needs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, recurrence

Array = NDArray[Any]


def clip_by_global_norm(gradient: Array, limit: float | None) -> float:
    """Scale ``gradient`` in place so that its norm is at most ``limit``; return the norm it had.

    With None nothing is clipped. Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.

    >>> g = np.array([3.0, 4.0])
    >>> clip_by_global_norm(g, 1.0), g
    (5.0, array([0.6, 0.8]))
    """
    norm = math.sqrt(recurrence.active().sum_of_squares(gradient))
    if limit is not None and norm > limit and math.isfinite(norm):
        gradient *= gradient.dtype.type(limit / norm)
    return norm


#: A mean over the past that never forgets cannot be corrected for its start.
_BELOW_1 = math.nextafter(1.0, 0.0)


class Optimizer(ABC):
    """Base: ``step(parameters, gradient, learning_rate)`` changes the parameters in place."""

    def __init__(self) -> None:
        self.updates = 0
        self.arrays: dict[str, Array] = {}

    def _array(self, name: str, like: Array) -> Array:
        if name not in self.arrays:
            self.arrays[name] = np.zeros_like(like)
        return self.arrays[name]

    @abstractmethod
    def step(self, parameters: Array, gradient: Array, learning_rate: float) -> None:
        """Take one step. The gradient buffer may be used as scratch space."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same optimizer."""


class SGD(Optimizer):
    r"""Stochastic gradient descent: :math:`v ← μ v + g + λ θ,\; θ ← θ − η v`, as PyTorch writes momentum.

    >>> theta = np.array([1.0])
    >>> SGD().step(theta, np.array([2.0]), 0.1)
    >>> theta
    array([0.8])
    """

    def __init__(self, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.momentum = checks.number(momentum, "momentum", low=0.0, high=1.0)
        self.weight_decay = checks.number(weight_decay, "weight_decay", low=0.0)

    def step(self, parameters: Array, gradient: Array, learning_rate: float) -> None:
        """Take one step."""
        self.updates += 1
        if self.weight_decay:
            gradient += parameters.dtype.type(self.weight_decay) * parameters
        if self.momentum:
            v = self._array("v", parameters)
            v *= parameters.dtype.type(self.momentum)
            v += gradient
            gradient = v
        parameters -= parameters.dtype.type(learning_rate) * gradient

    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same optimizer."""
        return {"momentum": self.momentum, "weight_decay": self.weight_decay}


class Adam(Optimizer):
    r"""Adam: each parameter's step is scaled by a running mean square of its gradient.

    .. math::

        m ← β_1 m + (1-β_1) g, \quad v ← β_2 v + (1-β_2) g^2, \quad
        θ ← θ − η \frac{m/(1-β_1^k)}{\sqrt{v/(1-β_2^k)} + ε}

    Source: Kingma and Ba 2015, algorithm 1.
    """

    decoupled = False

    def __init__(
        self, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__()
        self.beta1 = checks.number(beta1, "beta1", low=0.0, high=_BELOW_1)
        self.beta2 = checks.number(beta2, "beta2", low=0.0, high=_BELOW_1)
        self.epsilon = checks.number(epsilon, "epsilon", low=0.0)
        self.weight_decay = checks.number(weight_decay, "weight_decay", low=0.0)

    def step(self, parameters: Array, gradient: Array, learning_rate: float) -> None:
        """Take one step. Every array is walked once, in place."""
        self.updates += 1
        recurrence.active().adam(
            parameters,
            gradient,
            self._array("m", parameters),
            self._array("v", parameters),
            beta1=self.beta1,
            beta2=self.beta2,
            rate=learning_rate / (1 - self.beta1**self.updates),
            root=1 / math.sqrt(1 - self.beta2**self.updates),
            epsilon=self.epsilon,
            decay_gradient=0.0 if self.decoupled else self.weight_decay,
            decay_parameters=learning_rate * self.weight_decay if self.decoupled else 0.0,
        )

    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same optimizer."""
        return {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon, "weight_decay": self.weight_decay}


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters and not through the gradient.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """

    decoupled = True

    def __init__(
        self, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        super().__init__(beta1, beta2, epsilon, weight_decay)
