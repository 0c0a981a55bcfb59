"""Bad sizes, settings, weights and models: a typed error that names the argument, what was expected and what came."""

import re
from fractions import Fraction

import numpy as np
import pytest

from bad_cases import LAYERS, F, H, refused
from compuerta import GRU, LSTM, Dense, Dropout, Embedding, Sequential
from compuerta.errors import CompuertaError, SettingError, ShapeError

# ---- 5: sizes -------------------------------------------------------------------------------------------------------

SIZES = {
    "hidden_size": lambda v: LSTM(F, v),
    "hidden_size ": lambda v: GRU(F, v),
    "input_size": lambda v: LSTM(v, H),
    "num_layers": lambda v: LSTM(F, H, v),
    "batch_size": lambda v: LAYERS["GRU"]().stream(v),
    "output_size": lambda v: Dense(F, v),
    "vocabulary_size": lambda v: Embedding(v, H),
    "embedding_size": lambda v: Embedding(F, v),
}


@pytest.mark.parametrize("value", [0, -3, 2.5, 4.0, True, "4", None, np.float64(3), Fraction(3), [4], np.bool_(True)])
@pytest.mark.parametrize("argument", SIZES)
def test_5_sizes(argument, value):
    pattern = f"{argument.strip()} must be a positive integer; got {re.escape(repr(value))}."
    with pytest.raises(ShapeError, match=pattern):
        SIZES[argument](value)


def test_5_integers_of_numpy_are_integers():
    assert LSTM(np.int64(F), np.uint8(H), np.int32(2), rng=np.int64(1)).parameters["w_h_l1"].shape == (4 * H, H)


# ---- 19: sizes beyond memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda: LSTM(2**40, 2**40),
        lambda: LSTM(1, 2**31),
        lambda: GRU(2**62, 1),
        lambda: LSTM(2**200, 1),
        lambda: Dense(2**40, 2**40),
        lambda: Embedding(2**62, 8),
    ],
)
def test_19_layers_too_large_for_any_memory(build):
    with pytest.raises(ShapeError, match=r"array of shape \(.*\) is larger than memory can address"):
        build()


def test_19_batches_too_large_for_any_memory():
    """The input is a view of one number; what would be computed from it is what cannot be addressed."""
    x = np.broadcast_to(np.float32(0), (2**29, 2**29, 1))
    for layer in (LSTM(1, 8, rng=0), GRU(1, 16, rng=0)):
        refused(ShapeError, "larger than memory can address", layer, lambda layer=layer: layer.forward(x))


def test_19_streams_too_wide_for_any_memory():
    layer = LAYERS["LSTM"]()
    refused(ShapeError, "larger than memory can address", layer, lambda: layer.stream(2**62))


# ---- parameters, settings, models -----------------------------------------------------------------------------------

BAD_VALUES = {
    "ragged": [[1.0], [1.0, 2.0]],
    "text": np.full(4 * H, "a"),
    "complex": np.ones(4 * H, complex),
    "object": np.full(4 * H, None, object),
    "shape": np.ones(4 * H + 1),
    "scalar": 1.0,
}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
def test_parameters_refuse_what_they_cannot_hold(value):
    layer = LAYERS["LSTM"]()

    def assign():
        layer.parameters["b_l0"] = value

    refused(CompuertaError, "b_l0", layer, assign)


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, np.nan, np.inf, True, "0.5", None])
def test_dropout_out_of_range(value):
    for build in (lambda: Dropout(value), lambda: LSTM(F, H, 2, dropout=value)):
        with pytest.raises(SettingError, match=rf"must be .*; got {re.escape(repr(value))}"):
            build()


@pytest.mark.parametrize("value", [-1, 1.5, True, "seed", [1]])
def test_seeds_that_are_none(value):
    with pytest.raises(SettingError, match=r"rng must be None, a seed .*; got " + re.escape(repr(value))):
        LSTM(F, H, rng=value)
    layer = LAYERS["LSTM"]()
    refused(SettingError, "rng must be", layer, lambda: layer.forward(np.ones((1, 2, F)), rng=value))


def test_models_of_nothing_or_of_layers_that_do_not_fit():
    for bad in ((), (LSTM,), (LSTM(F, H), "Dense")):
        with pytest.raises(SettingError, match="expected one or more layers"):
            Sequential(*bad)
    for layers in (
        (LSTM(F, H, rng=0), Dense(H + 1, 2, rng=0)),
        (LSTM(F, H, bidirectional=True, rng=0), Dropout(), Dense(H, 2, rng=0)),
        (LSTM(F, H, rng=0), Embedding(5, 2, rng=0)),
    ):
        with pytest.raises(CompuertaError):
            Sequential(*layers)


def test_a_bidirectional_layer_cannot_stream():
    layer = LAYERS["LSTM"](bidirectional=True)
    refused(SettingError, "bidirectional layer cannot stream", layer, layer.stream)
