"""Bad states, lengths, gradients, tapes and outputs: a typed error before any work, and what was there stays as it was.

Warnings are errors in this suite, so "no warning" is asserted by every call here.
"""

import re

import numpy as np
import pytest

from bad_cases import LAYERS, F, H, every, randomized, recurrent, refused
from compuerta import GRU, LSTM
from compuerta.errors import CompuertaError, DTypeError, SettingError, ShapeError

# ---- 15: states -----------------------------------------------------------------------------------------------------

BAD_STATES = {
    "batch": (2, 4, H),
    "layers": (1, 3, H),
    "units": (2, 3, H + 1),
    "batch first": (3, 2, H),
    "two dimensions": (2, H),
}


@pytest.mark.parametrize("shape", BAD_STATES.values(), ids=BAD_STATES)
@recurrent
def test_15_wrong_state(name, shape):
    layer = LAYERS[name](num_layers=2)
    x, good = np.ones((3, 5, F)), np.zeros((2, 3, H))
    expected = rf"must be \(2, 3, {H}\).*; got {re.escape(str(shape))}"
    bad = np.zeros(shape)
    for at, part in enumerate(layer.parts):
        state = [good.copy() for _ in layer.parts]
        state[at] = bad
        refused(ShapeError, f"state {part} {expected}", layer, lambda s=tuple(state): layer.forward(x, s))
        stream = layer.stream(3)
        stream(np.ones((3, F)))
        kept = np.array(stream.state)

        def assign(stream=stream, s=tuple(state)):
            stream.state = s

        refused(ShapeError, f"state {part} {expected}", layer, assign)
        assert np.array_equal(np.array(stream.state), kept)


def test_15_states_that_are_no_states():
    lstm, gru, model = LAYERS["LSTM"](), LAYERS["GRU"](), LAYERS["Sequential"]()
    x, part = np.ones((3, 5, F)), np.zeros((1, 3, H))
    for bad in (part, (part,), (part, part, part), {"h": part, "c": part}, np.stack((part, part))):
        refused(
            ShapeError,
            r"state must be \(h, c\), as a call returned it; got ",
            lstm,
            lambda bad=bad: lstm.forward(x, bad),
        )
    refused(ShapeError, r"state must be \(h\), as a call", gru, lambda: gru.forward(x, (part, part)))
    refused(ShapeError, r"state must be a tuple of 1", model, lambda: model.forward(x, (part, part)))
    refused(DTypeError, r"state c must hold real numbers; got dtype complex128", lstm,
            lambda: lstm.forward(x, (part, part + 0j)))  # fmt: skip
    refused(SettingError, r"Dense has no state", LAYERS["Dense"](), lambda: LAYERS["Dense"]().forward(x, part))


@recurrent
def test_15_gradients_of_the_wrong_shape(name):
    layer = LAYERS[name]()
    y, _, tape = layer.forward(np.ones((2, 5, F)), record=True)
    for shape in ((2, 5, H + 1), (5, H), (2, 4, H), ()):
        pattern = rf"dy must be \(2, 5, {H}\).*; got {re.escape(str(shape))}"
        refused(ShapeError, pattern, layer, lambda s=shape: layer.backward(tape, np.ones(s)))
    refused(DTypeError, "dy must hold real numbers", layer, lambda: layer.backward(tape, np.ones_like(y) * 1j))
    state = tuple(np.ones((1, 3, H)) for _ in layer.parts)
    refused(ShapeError, "state h", layer, lambda: layer.backward(tape, y, state))


# ---- 16, 17, 20: lengths --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [6, -1, 2**40])
@every
def test_16_lengths_out_of_range(name, bad):
    layer = LAYERS[name]()
    pattern = rf"lengths must lie between 0 and 5, the number of steps; got {bad}"
    refused(ShapeError, pattern, layer, lambda: layer.forward(np.ones((3, 5, F)), lengths=[1, bad, 5]))


BAD_LENGTHS = {
    "floats": [1.0, 2.0, 3.0],
    "NaN": [1, 2, np.nan],
    "booleans": [True, False, True],
    "too few": [1, 2],
    "too many": [1, 2, 3, 4],
    "a number": 3,
    "a column": [[1], [2], [3]],
    "a mask": np.ones((3, 5), bool),
    "a mask of ints": np.ones((3, 5), int),
    "ragged": [[1], [2, 3], [1]],
    "text": ["1", "2", "3"],
    "beyond int64": [1, 2, 2**70],
    "complex": [1j, 2, 3],
}


@pytest.mark.parametrize("lengths", BAD_LENGTHS.values(), ids=BAD_LENGTHS)
@every
def test_16_20_lengths_of_the_wrong_kind_and_masks(name, lengths):
    layer = LAYERS[name]()
    pattern = r"lengths must be integers of shape \(3,\), one for each row of the batch; got "
    refused(ShapeError, pattern, layer, lambda: layer.forward(np.ones((3, 5, F)), lengths=lengths))


@recurrent
def test_17_length_zero_leaves_the_state(name):
    layer = LAYERS[name](num_layers=2, bidirectional=True)
    rng = np.random.default_rng(9)
    state = tuple(rng.standard_normal((4, 3, H)).astype("f4") for _ in layer.parts)
    y, final = layer(rng.standard_normal((3, 5, F)), state, [0, 5, 0])
    for a, b in zip(final if name == "LSTM" else (final,), state, strict=True):
        assert np.array_equal(a[:, [0, 2]], b[:, [0, 2]])
        assert (a[:, 1] != b[:, 1]).all()
    assert not y[[0, 2]].any()


# ---- 18: aliased and unfit outputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_18_aliased_out_of_a_stream(name):
    layer = randomized(LSTM(H, H, rng=0) if name == "LSTM" else GRU(H, H, rng=0))
    stream = layer.stream(2)
    buffer = np.random.default_rng(1).standard_normal((3, H)).astype("f4")
    stream(buffer[:2])
    kept, values = np.array(stream.state), buffer.copy()
    for x, out in ((buffer[:2], buffer[:2]), (buffer[:2], buffer[1:])):
        refused(SettingError, r"out overlaps the inputs", layer, lambda x=x, out=out: stream(x, out=out))
    assert np.array_equal(np.array(stream.state), kept)
    assert np.array_equal(buffer, values)
    assert stream(buffer[:1].repeat(2, 0), out=buffer[1:]) is not None  # a copy does not overlap


def frozen(array):
    array.flags.writeable = False
    return array


BAD_OUTS = {
    "shape": np.zeros((2, H + 1), "f4"),
    "dtype": np.zeros((2, H), "f8"),
    "read-only": frozen(np.zeros((2, H), "f4")),
    "list": [[0.0] * H] * 2,
}


@pytest.mark.parametrize("out", BAD_OUTS.values(), ids=BAD_OUTS)
def test_18_unfit_out_of_a_stream_leaves_the_state(out):
    layer = LAYERS["LSTM"]()
    stream = layer.stream(2)
    stream(np.ones((2, F)))
    kept = np.array(stream.state)
    refused(CompuertaError, "out", layer, lambda: stream(np.ones((2, F)), out=out))
    assert np.array_equal(np.array(stream.state), kept)


@pytest.mark.parametrize(
    "what", ["aliases dy", "is the parameters", "shows the parameters", "shape", "dtype", "read-only", "list"]
)
def test_18_unfit_out_of_the_way_back(what):
    layer = LAYERS["LSTM"](dtype="float64")
    size, flat = layer.parameters.size, layer.parameters.writable()
    y, _, tape = layer.forward(np.random.default_rng(1).standard_normal((2, 5, F)), record=True)
    dy = np.ones_like(y)
    buffer = np.random.default_rng(2).standard_normal(size)
    if what == "aliases dy":
        dy = buffer[: y.size].reshape(y.shape)
    out = {
        "aliases dy": buffer,
        "is the parameters": flat,
        "shows the parameters": layer.parameters.flat,
        "shape": np.zeros(size + 1),
        "dtype": np.zeros(size, "f4"),
        "read-only": frozen(np.zeros(size)),
        "list": [0.0] * size,
    }[what]
    before = np.array(out)
    refused(CompuertaError, "out", layer, lambda: layer.backward(tape, dy, out=out))
    assert np.array_equal(out, before)


# ---- tapes ----------------------------------------------------------------------------------------------------------


def test_a_tape_of_another_layer_is_refused():
    layer, other = LSTM(F, H, rng=0), LSTM(F, H, rng=1)
    y, _, tape = other.forward(np.ones((2, 3, F)), record=True)
    for bad in (None, tape, tape.tape):
        with pytest.raises(SettingError, match="LSTM: tape must be"):
            layer.backward(bad, y)
