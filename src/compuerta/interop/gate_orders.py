"""The one table of gate orders: in which order each system stacks the blocks of its weights.

Every block has one letter here, whatever the system calls it: i input gate, f forget gate, g candidate (Keras and ONNX
say c, TensorFlow 1 says j, CoreML z), o output gate; r reset gate, z update gate, n candidate of a GRU (Keras and ONNX
say h). Flax keeps each block under a name of its own; what stands here is the order in which we list those names.

>>> import numpy as np
>>> reorder(np.array([[1.0], [2.0], [3.0], [4.0]]), LSTM["pytorch"], LSTM["onnx"]).ravel()
array([1., 4., 2., 3.])
>>> permutation(LSTM["pytorch"], LSTM["onnx"]), permutation(LSTM["onnx"], LSTM["pytorch"])
((0, 3, 1, 2), (0, 2, 3, 1))
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import gates

Array = NDArray[Any]

LSTM = MappingProxyType(
    {
        "compuerta": "".join(gates.LSTM_ORDER),
        "pytorch": "ifgo",
        "keras": "ifgo",
        "onnx": "iofg",
        "tensorflow1": "igfo",
        "flax": "ifgo",
        "equinox": "ifgo",
        "karpathy": "ifog",
    }
)

GRU = MappingProxyType(
    {
        "compuerta": "".join(gates.GRU_ORDER),
        "pytorch": "rzn",
        "keras": "zrn",
        "onnx": "zrn",
        "flax": "rzn",
        "equinox": "rzn",
    }
)

#: The kinds of cells that other systems have, by the title of the kind, and the orders of their blocks.
CELLS = MappingProxyType({gates.LSTM.title: LSTM, gates.GRU.title: GRU})

#: Peepholes have no candidate; ours, where a layer has them, stand in the order of its gates.
PEEPHOLES = MappingProxyType({"compuerta": "ifo", "onnx": "iof"})

#: How a system itself writes its letters, where they differ from those above.
SPELLING = MappingProxyType(
    {
        "keras": str.maketrans({"g": "c", "n": "h"}),
        "onnx": str.maketrans({"g": "c", "n": "h"}),
        "tensorflow1": str.maketrans({"g": "j"}),
    }
)


def permutation(source: str, target: str) -> tuple[int, ...]:
    """Return, for each block of ``target``, the place where it stands in ``source``.

    Raises:
        ValueError: the two do not name the same blocks.
    """
    if sorted(source) != sorted(target) or len(set(source)) != len(source):
        raise ValueError(f"{source!r} and {target!r} do not name the same blocks")
    return tuple(source.index(block) for block in target)


def reorder(stacked: Array, source: str, target: str, axis: int = 0) -> Array:
    """Return a copy of ``stacked`` with its equal blocks along ``axis`` taken from one order into another.

    Raises:
        ValueError: the orders do not name the same blocks, or the axis does not divide into them.
    """
    blocks = np.split(stacked, len(source), axis)
    return np.concatenate([blocks[k] for k in permutation(source, target)], axis)


def spelled(order: str, system: str) -> str:
    """Return an order as the system's own documents write it: ``"i o f c"`` for ONNX."""
    return " ".join(order.translate(SPELLING.get(system, {})))
