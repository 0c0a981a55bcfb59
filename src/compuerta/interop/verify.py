"""Proof of a conversion: the same random inputs through our layers and another side, and the largest difference.

A difference is that of two numbers divided by the largest of its array, or by 1 if that is larger: outputs of a cell
lie within ±1, where it is the plain difference, while those of a Dense layer may be of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import Embedding, Layer, Sequential
from .formats import Runner

Array = NDArray[Any]

#: (N, T) of the inputs that are compared; the first is one step of one row, where a state matters most.
SHAPES = ((1, 1), (1, 7), (3, 5), (2, 20))


@dataclass(frozen=True)
class Check:
    """What one comparison found: the other side's name, how many runs there were, and the largest difference."""

    against: str
    runs: int
    difference: float


def compare(layer: Layer, runner: Runner, seed: int) -> Check:
    """Run both sides on random inputs of every shape, from zero states and, where the other takes any, random ones.

    Args:
        layer: our side.
        runner: the other side.
        seed: of the inputs and states.
    """
    largest, runs = 0.0, 0
    for x, start in random_inputs(layer, seed, states=runner.takes_state):
        y, state, _ = layer.forward(x, start)
        largest = max(largest, apart((y, state if layer.recurrent else None), runner.run(x, start)))
        runs += 1
    return Check(runner.name, runs, largest)


def random_inputs(layer: Layer, seed: int, *, states: bool) -> Iterator[tuple[Array, Any]]:
    """Yield random inputs of every shape with None for a state and, if ``states``, once more with a random one."""
    rng = np.random.default_rng(seed)
    for shape in SHAPES:
        x = _inputs(layer, shape, rng)
        yield x, None
        if states and layer.recurrent:
            _, state, _ = layer.forward(x)
            if _leaves(state):
                yield x, _random_like(state, rng)


def apart(ours: tuple[Array, Any], others: tuple[Array, Any]) -> float:
    """Return the largest :func:`difference` of outputs and, where both sides give any, of final states."""
    pairs = [(ours[0], others[0])]
    if ours[1] is not None and others[1] is not None:
        pairs += zip(_leaves(ours[1]), _leaves(others[1]), strict=True)
    return max(difference(a, b) for a, b in pairs)


def ourselves(layer: Layer) -> Runner:
    """Return a layer of ours as the other side, such as one that was written and read again."""

    def run(x: Array, state: Any) -> tuple[Array, Any]:
        y = layer.forward(x, state)[0]
        return y, None  # an identity Embedding in place of one-hot ids adds a layer, and so a level to the state

    return Runner("compuerta", run, takes_state=False)


def difference(a: Array, b: Array) -> float:
    """Return the largest difference of two arrays; infinite where their shapes differ or one alone is not finite.

    >>> difference(np.array([1.0, 2.0]), np.array([1.0, 2.5])), difference(np.zeros(2), np.zeros(3))
    (0.25, inf)
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    finite = np.isfinite(a)
    if not finite.any():
        return 0.0
    a, b = a[finite], b[finite]
    return float(np.abs(a - b).max() / max(1.0, np.abs(a).max()))


def _inputs(layer: Layer, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    first = layer
    while isinstance(first, Sequential):
        first = first.layers[0]
    if first.reads_tokens:
        tokens = first.vocabulary_size if isinstance(first, Embedding) else first.input_size  # type: ignore[attr-defined]
        return rng.integers(0, tokens, shape)
    return rng.standard_normal((*shape, first.width_in or 3)).astype(layer.parameters.dtype)


def _random_like(state: Any, rng: np.random.Generator) -> Any:
    if isinstance(state, tuple):
        return tuple(_random_like(part, rng) for part in state)
    return rng.uniform(-1, 1, state.shape).astype(state.dtype)


def _leaves(state: Any) -> list[Array]:
    if isinstance(state, tuple | list):
        return [array for part in state for array in _leaves(part)]
    return [] if state is None else [np.asarray(state)]
