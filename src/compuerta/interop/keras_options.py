"""Which layers of Keras 1, 2 and 3 we know, and which values of their options.

An option makes no difference to what a model computes, or has the value that ours has, or is carried over. What an
older Keras calls otherwise comes under Keras 3's name. ``hard_sigmoid`` is clip(0.2 z + 0.5) in Keras 1 and 2 and
clip(z/6 + 0.5) in Keras 3, so a model means what it meant to the version that wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..activations import Activation
from ..layers import Activation as ActivationLayer

#: Options that say how a layer begins or is trained, or how fast it runs.
_IDLE = re.compile(
    r"name|trainable|seed|unroll|implementation|noise_shape|unit_forget_bias|input_length|batch_input_shape|"
    r"batch_shape|zero_output_for_mask|\w+_(initializer|regularizer|constraint)|init|inner_init|forget_bias_init|"
    r"consume_less|input_dim|input_dtype|input_shape|cache_enabled"
)
_LAYER: Mapping[str, tuple[Any, ...]] = {"activation": ("linear", None, *ActivationLayer.KINDS)}
_CELL: Mapping[str, tuple[Any, ...]] = {
    "units": (), "use_bias": (), "return_sequences": (), "stateful": (), "dropout": (), "recurrent_dropout": (),
    "activation": (), "recurrent_activation": (), "go_backwards": (False,), "return_state": (False,),
    "time_major": (False,),
}  # fmt: skip
#: For each class, its options: the values that are allowed, or () where any is and the reader carries it over.
OPTIONS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "InputLayer": {"batch_shape": (), "shape": (), "batch_size": (), "sparse": (False,), "ragged": (False,),
                   "optional": (False,)},
    "LSTM": _CELL,
    "GRU": {**_CELL, "reset_after": ()},
    "CuDNNLSTM": _CELL,
    "CuDNNGRU": _CELL,
    "Bidirectional": {"merge_mode": ("concat",), "layer": (), "backward_layer": ()},
    "Embedding": {"input_dim": (), "output_dim": (), "mask_zero": (False,), "weights": (None,), "lora_rank": (None,),
                  "dropout": ()},
    "Dense": {"units": (), "use_bias": (), **_LAYER, "lora_rank": (None,)},
    "TimeDistributed": {"layer": ()},
    "TimeDistributedDense": {"units": (), "use_bias": (), **_LAYER},
    "Dropout": {"rate": ()},
    "SpatialDropout1D": {"rate": ()},
    "Activation": {"activation": tuple(k for k in _LAYER["activation"] if k)},
    "Softmax": {"axis": (-1,)},
    "ReLU": {"max_value": (None,), "negative_slope": (0, 0.0), "threshold": (0, 0.0)},
}  # fmt: skip
#: Models, which may stand in a model as a layer.
MODELS = ("Sequential", "Functional", "Model")
CELLS = ("LSTM", "GRU")
#: Classes that are another under an older name, or on other hardware.
SAME = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU", "TimeDistributedDense": "Dense"}
#: Precisions, and those that we compute in float32, with a note.
DTYPES = ("float32", "float64", None)
HALVES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")

_KERAS_1 = {"output_dim": "units", "inner_activation": "recurrent_activation", "bias": "use_bias", "p": "rate",
            "dropout_W": "dropout", "dropout_U": "recurrent_dropout"}  # fmt: skip


def modern(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a layer with Keras 1's names of options as they are called now."""
    known = OPTIONS[kind]
    made = {}
    for name, value in config.items():
        new = _KERAS_1.get(name, name)
        made[new if name not in known and new in known and new not in config else name] = value
    return made


def idle(name: str) -> bool:
    """Return whether an option makes no difference to what a layer computes."""
    return _IDLE.fullmatch(name) is not None


def cell_activation(name: Any, version: int) -> Activation | None:
    """Return what a word for an activation meant to a version of Keras, in a cell; None where we have none such.

    >>> cell_activation("hard_sigmoid", 2), cell_activation("hard_sigmoid", 3).alpha
    (Activation(name='HardSigmoid', alpha=0.2, beta=0.5), 0.16666666666666666)
    """
    if name == "hard_sigmoid":
        return Activation("HardSigmoid", 0.2 if version < 3 else 1 / 6, 0.5)
    return _CELL_ACTIVATIONS.get(name) if isinstance(name, str) else Activation("Identity") if name is None else None


_CELL_ACTIVATIONS = {
    "linear": Activation("Identity"),
    "tanh": Activation("Tanh"),
    "sigmoid": Activation("Sigmoid"),
    "relu": Activation("Relu"),
    "elu": Activation("Elu"),
    "leaky_relu": Activation("LeakyRelu", 0.2),
    "softplus": Activation("Softplus"),
    "softsign": Activation("Softsign"),
    "selu": Activation("Selu"),
    "swish": Activation("Swish"),
    "silu": Activation("Swish"),
}
