"""Which variants of the LSTM the native library computes, and how it is told of one."""

from __future__ import annotations

import math

from ..activations import Activation
from ..gates import LSTM
from .binding import ActivationOf, Layer
from .variant import Variant

#: Switches that only NumPy has: they are normalised over all units, draw at random, or make the gates a state.
ELSEWHERE = ("full_gate_recurrence", "layer_norm", "zoneout", "recurrent_dropout", "weight_drop")
#: The activations of the library in the order of its ``enum``.
ACTIVATIONS = ("Affine", "Elu", "HardSigmoid", "Identity", "LeakyRelu", "Relu", "ScaledTanh", "Sigmoid", "Softplus",
               "Softsign", "Tanh", "ThresholdedRelu")  # fmt: skip


def serves(variant: Variant) -> bool:
    """Return whether the library computes this variant."""
    functions = (variant.gate_activation, variant.input_activation, variant.output_activation)
    known = all(function.name in ACTIVATIONS for function in functions)
    return known and not set(variant.changed()) & set(ELSEWHERE)


def _activation(of: Activation) -> ActivationOf:
    return ActivationOf(ACTIVATIONS.index(of.name), of.alpha or 0.0, of.beta or 0.0)


def describe(variant: Variant, isa: int) -> tuple[Layer, tuple[str, ...], dict[str, int]]:
    """Return its ``struct layer`` without sizes, the names of its parameters there, and where a tape has what.

    −1 stands for a gate without a block, and ``z_`` before a block's name for what its activation saw.
    """
    kind = Layer(
        isa=isa,
        variant=1,
        input_gate=variant.input_gate,
        forget_gate=variant.forget_gate,
        output_gate=variant.output_gate,
        coupled=variant.coupled,
        peepholes=variant.peepholes,
        projection=variant.projection,
        gates=_activation(variant.gate_activation),
        candidate=_activation(variant.input_activation),
        shown=_activation(variant.output_activation),
        clip=math.inf if variant.clip is None else variant.clip,
        cell_clip=math.inf if variant.cell_clip is None else variant.cell_clip,
    )
    parameters = tuple("peepholes" if name == "p" else name for name in variant.shapes(1, 1))
    slots = [block for block in "fiog" if block in variant.blocks]
    places = {k: slots.index(k) if k in slots else -1 for k in "ifgo"} | {"c": 5, "h": 4}
    places = {k: places[k] for k in LSTM.names}
    return kind, parameters, places | {f"z_{block}": 6 + slots.index(block) for block in variant.blocks}
