"""Files of other frameworks, and models to carry between them: what tests of interop share."""

from pathlib import Path

import numpy as np

from layer_cases import shuffled

FOLDER = Path(__file__).parent / "golden" / "interop"
TOLERANCE = 2e-6


def golden(framework, case):
    with np.load(FOLDER / f"{framework}.npz", allow_pickle=False) as file:
        found = {key.split("/", 1)[1]: file[key] for key in file.files if key.startswith(case + "/")}
    assert found
    return found


def randomized(layer, rng):
    return shuffled(layer, rng, scale=0.7)


def same(a, b):
    assert repr(a) == repr(b)
    assert np.array_equal(a.parameters.flat.view(np.uint8), b.parameters.flat.view(np.uint8))


FILES = {"pytorch": "m.pytorch.safetensors", "keras": "m.keras", "flax": "m.flax.npz", "equinox": "m.equinox.npz",
         "tensorflow1": "m.tf1.npz", "karpathy": "m.karpathy.npz", "compuerta": "m.safetensors",
         "keras weights": "m.weights.h5"}  # fmt: skip
