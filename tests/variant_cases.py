"""The variants that the tests go through, and how a layer of each is made."""

import numpy as np
import pytest

from compuerta import LSTM
from layer_cases import shuffled

#: Bounds and probabilities are such that in these small networks both sides of each are visited.
CASES = {
    "plain": {},
    "peepholes": {"peepholes": True},
    "coupled": {"coupled": True},
    "no input gate": {"input_gate": False},
    "no forget gate": {"forget_gate": False},
    "no output gate": {"output_gate": False},
    "no input activation": {"input_activation": "Identity"},
    "no output activation": {"output_activation": "Identity"},
    "full gate recurrence": {"full_gate_recurrence": True},
    "layer norm": {"layer_norm": "gates"},
    "layer norm, c too": {"layer_norm": "cell"},
    "projection": {"projection_size": 2},
    "wider projection": {"projection_size": 4},
    "cell clip": {"cell_clip": 0.6},
    "clip": {"clip": 0.7},
    "zoneout": {"zoneout": [0.3, 0.2]},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "weight drop": {"weight_drop": 0.4},
    "learnt state": {"learn_state": True},
    "other activations": {
        "gate_activation": ["HardSigmoid", 0.25, 0.5], "input_activation": "Softsign",
        "output_activation": ["ScaledTanh", 1.7, 0.6],
    },
    "ONNX": {"peepholes": True, "coupled": True, "clip": 1.5, "input_activation": "LeakyRelu"},
    "gates that see two gates": {"full_gate_recurrence": True, "coupled": True, "peepholes": True},
    "neither input nor output gate": {"input_gate": False, "output_gate": False, "full_gate_recurrence": True,
                                      "peepholes": True},
    "no gate at all": {"input_gate": False, "forget_gate": False, "output_gate": False},
    "all at once": {
        "peepholes": True, "full_gate_recurrence": True, "layer_norm": "cell", "projection_size": 2, "cell_clip": 0.9,
        "clip": 1.8, "zoneout": [0.3, 0.2], "recurrent_dropout": 0.4, "weight_drop": 0.3, "learn_state": True,
        "output_activation": "Softsign",
    },
}  # fmt: skip
NOISY = ("zoneout", "recurrent dropout", "weight drop", "all at once")
cases = pytest.mark.parametrize("case", CASES)


def make(rng, case, *sizes, dtype="float64", **options):
    """A layer of a case with every parameter random."""
    return shuffled(LSTM(*sizes, dtype=dtype, rng=0, **CASES[case], **options), rng, scale=0.8)


def random_state(layer, n, rng):
    at = layer.num_layers * layer.directions
    return tuple(rng.standard_normal((at, n, width)).astype(layer.dtype) for width in layer.widths)


def close(got, expected, tolerance=1e-13):
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max(initial=0)))
