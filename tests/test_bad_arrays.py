"""Bad and unusual arrays: a typed error before any work, with what was expected and what came; or the documented
conversion, with the input untouched.

Warnings are errors in this suite, so "no warning" is asserted by every call here.
"""

import re

import numpy as np
import pytest

from bad_cases import LAYERS, F, H, every, outputs, randomized, recurrent, refused
from compuerta import GRU, LSTM, Dropout, Embedding, Last, Sequential
from compuerta.errors import DTypeError, ShapeError

# ---- 1, 2: shapes of inputs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (F,), (2, 5, F, 1), (1, 2, 5, F)])
@every
def test_1_inputs_of_other_dimensions(name, shape):
    layer = LAYERS[name]()
    pattern = rf"inputs must be \(N, T, {F}\) or \(T, {F}\) .*; got {re.escape(str(shape))}\."
    error = refused(ShapeError, pattern, layer, lambda: layer.forward(np.ones(shape)))
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("features", [F - 1, F + 2, 0, 1])
@every
def test_2_wrong_feature_count(name, features):
    layer = LAYERS[name]()
    pattern = rf"input_size={F}; got \(2, 5, {features}\)"
    refused(ShapeError, pattern, layer, lambda: layer.forward(np.ones((2, 5, features))))


def test_2_the_sentence_as_designed():
    with pytest.raises(ShapeError) as caught:
        LSTM(8, 4, rng=0)(np.zeros((32, 100, 5)))
    expected = "LSTM: inputs must be (N, T, 8) or (T, 8) because input_size=8; got (32, 100, 5)."
    assert str(caught.value) == expected


# ---- 3, 4: nothing to read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 0), (0, 5), (0, 0)])
@recurrent
def test_3_4_no_steps_or_no_rows(name, shape):
    layer = LAYERS[name]()
    state = tuple(np.random.default_rng(1).standard_normal((1, shape[0], H)).astype("f") for _ in layer.parts)
    y, final = layer(np.zeros((*shape, F)), state)
    assert y.shape == (*shape, H)
    for a, b in zip(final if name == "LSTM" else (final,), state, strict=True):
        assert np.array_equal(a, b)
    assert layer(np.zeros((0, F)))[0].shape == (0, H)
    assert LAYERS["Dense"]()(np.zeros((*shape, F))).shape == (*shape, H)


# ---- 6, 7, 14: what cannot be converted -----------------------------------------------------------------------------

NOT_NUMBERS = {
    "object": np.full((2, 5, F), None, object),
    "object of numbers": np.ones((2, 5, F), object),
    "text": np.full((2, 5, F), "1.5"),
    "bytes": np.full((2, 5, F), b"1"),
    "complex": np.ones((2, 5, F), complex),
    "complex without imaginary part": np.zeros((2, 5, F), np.complex64),
    "dates": np.zeros((2, 5, F), "datetime64[s]"),
    "durations": np.zeros((2, 5, F), "timedelta64[s]"),
    "records": np.zeros((2, 5, F), [("a", "f4")]),
}


@pytest.mark.parametrize("x", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
@every
def test_6_7_no_numbers(name, x):
    layer = LAYERS[name]()
    pattern = rf"inputs must hold real numbers; got dtype {re.escape(x.dtype.name)}"
    error = refused(DTypeError, pattern, layer, lambda: layer.forward(x))
    assert isinstance(error, TypeError)


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex128", "object", "nonsense", None, 7, np.longdouble])
def test_6_7_dtypes_of_layers(dtype):
    with pytest.raises(DTypeError, match=r"dtype must be 'float32' or 'float64'; got " + re.escape(repr(dtype))):
        LSTM(F, H, dtype=dtype)


@pytest.mark.parametrize(
    "x",
    [
        [[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]],
        [np.ones((4, F)), np.ones((2, F))],
        [[1.0, 2.0, 3.0], [1.0]],
    ],
)
@every
def test_14_ragged(name, x):
    layer = LAYERS[name]()
    refused(ShapeError, r"inputs has rows of different lengths; pad .* lengths", layer, lambda: layer.forward(x))


def test_14_ragged_tokens():
    for layer in (Embedding(5, H, rng=0), LSTM(5, H, tokens=True, rng=0)):
        call = layer.forward
        refused(ShapeError, r"tokens has rows of different lengths; pad", layer, lambda call=call: call([[1, 2], [3]]))


# ---- 8, 9, 10: what is converted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i1", "u1", "i8", "u8", "?", "f2", "f8", "f4", ">f4", ">f8", "<f8", ">i2", "g"])
@every
def test_8_9_10_documented_casts(name, dtype):
    layer = LAYERS[name]()
    x = np.random.default_rng(2).integers(0, 2, (2, 5, F)).astype(dtype)
    before = x.copy()
    y = outputs(layer, x)
    assert y.dtype == np.float32
    assert y.dtype.isnative
    assert np.array_equal(y, outputs(layer, before.astype("f4")))
    assert np.array_equal(x, before)
    assert x.dtype == np.dtype(dtype)
    assert np.array_equal(outputs(layer, x.tolist()), y)


def arrangements(x):
    spread = np.zeros([2 * k for k in x.shape], x.dtype)
    spread[::2, ::-2, ::2] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    broadcast = np.broadcast_to(x[:1], x.shape)
    return {
        "Fortran": (np.asfortranarray(x), x),
        "strided": (spread[::2, ::-2, ::2], x),
        "transposed": (x.transpose(2, 0, 1).copy().transpose(1, 2, 0), x),
        "read-only": (frozen, x),
        "big-endian": (x.astype(x.dtype.newbyteorder(">")), x),
        "broadcast": (broadcast, np.ascontiguousarray(broadcast)),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every
def test_10_every_arrangement_gives_the_same_and_is_left_alone(name, dtype):
    layer = LAYERS[name](dtype=dtype)
    rng = np.random.default_rng(3)

    def close(got, expected):  # a product of strided matrices may be summed in another order
        np.testing.assert_allclose(got, expected, rtol=0, atol=10 * np.finfo(dtype).eps * np.abs(expected).max())

    for what, (x, plain) in arrangements(rng.standard_normal((2, 5, F)).astype(dtype)).items():
        before = x.copy()
        y, _, tape = layer.forward(x, record=True)
        y_plain, _, tape_plain = layer.forward(plain, record=True)
        close(y, y_plain)
        dy = arrangements(rng.standard_normal(y.shape).astype(dtype))[what if what != "broadcast" else "strided"][0]
        grads, expected = layer.backward(tape, dy), layer.backward(tape_plain, np.ascontiguousarray(dy, dtype))
        close(grads.flat, expected.flat)
        close(grads.x, expected.x)
        assert np.array_equal(x, before), what


@recurrent
def test_10_states_and_lengths_in_every_arrangement(name):
    layer = LAYERS[name](num_layers=2, bidirectional=True)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 5, F))
    parts = [rng.standard_normal((4, 3, H)) for _ in layer.parts]
    expected = outputs(layer, x, tuple(p.astype("f4") for p in parts), [1, 5, 3])
    for convert in (np.asfortranarray, lambda a: a.astype(">f8"), lambda a: a.tolist(), lambda a: a[:, ::-1][:, ::-1]):
        for lengths in (np.array([1, 5, 3], ">i2"), (1, 5, 3), np.array([1, 5, 3], "u1")):
            state = [convert(p) for p in parts]
            state = tuple(state) if name == "LSTM" else (state[0] if isinstance(state[0], np.ndarray) else (state[0],))
            assert np.array_equal(outputs(layer, x, state, lengths), expected)


# ---- tokens ---------------------------------------------------------------------------------------------------------

TOKENS = {
    "Embedding": lambda: Embedding(5, H, rng=0),
    "LSTM": lambda: LSTM(5, H, tokens=True, rng=0),
    "Sequential": lambda: Sequential(Embedding(5, H, rng=0), GRU(H, H, rng=0)),
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens(name):
    layer = TOKENS[name]()
    for bad, got in (([[0, 5]], 5), ([[-1, 0]], -1), ([[0, 2**40]], 2**40), (np.array([2**64 - 1], "u8"), 2**64 - 1)):
        pattern = rf"token ids must lie in \[0, 5\), the size of the vocabulary; got {got}"
        refused(ShapeError, pattern, layer, lambda bad=bad: layer.forward(bad))
    for bad, got in (([[0.0, 1.0]], "float64"), (["ab"], "str"), ([[True]], "bool"), ([[1j]], "complex128")):
        pattern = rf"token ids must be integers; got dtype {got}"
        refused(DTypeError, pattern, layer, lambda bad=bad: layer.forward(bad))
    for shape in ((), (1, 2, 3)):
        pattern = rf"token ids must be \(N, T\) or \(T,\); got {re.escape(str(shape))}"
        refused(ShapeError, pattern, layer, lambda s=shape: layer.forward(np.zeros(s, int)))
    expected = outputs(layer, [[4, 0, 1]])
    for dtype in ("u1", ">i4", "u8"):
        assert np.array_equal(outputs(layer, np.array([[4, 0, 1]], dtype)), expected)
    assert outputs(layer, [[], []]).shape == (2, 0, H)


# ---- streams, and layers without weights ----------------------------------------------------------------------------


def test_stream_inputs_of_the_wrong_shape():
    layer, ids = LAYERS["LSTM"](), randomized(LSTM(5, H, tokens=True, rng=0))
    for n, bad in ((1, (F + 1,)), (1, (2, F)), (2, (F,)), (2, (2, 1, F)), (1, ())):
        stream = layer.stream(n)
        pattern = rf"one step of this stream must be \({n}, {F}\); got {re.escape(str(bad))}"
        refused(ShapeError, pattern, layer, lambda stream=stream, bad=bad: stream(np.ones(bad)))
        assert not np.array(stream.state).any()
    refused(DTypeError, "real numbers", layer, lambda: layer.stream()(np.ones(F) * 1j))
    refused(ShapeError, "different lengths", layer, lambda: layer.stream(2)([[1.0, 2.0, 3.0], [1.0]]))
    for n, bad in ((1, [1, 2]), (2, [1]), (1, [[1], [2]]), (2, [[1, 2], [3, 4]])):
        stream = ids.stream(n)
        refused(ShapeError, "stream|token ids", ids, lambda stream=stream, bad=bad: stream(bad))
        assert not np.array(stream.state).any()
    refused(ShapeError, "different lengths", ids, lambda: ids.stream(2)([[1, 2], [3]]))
    refused(DTypeError, "integers", ids, lambda: ids.stream()(1.5))
    refused(ShapeError, r"\[0, 5\)", ids, lambda: ids.stream()(7))


def test_dropout_and_last_check_too():
    for layer in (Dropout(0.5), Last()):
        for bad in (np.ones(3), np.ones((1, 2, 3, 4)), np.float64(1)):
            refused(ShapeError, "inputs must be", layer, lambda layer=layer, bad=bad: layer.forward(bad))
        refused(DTypeError, "real numbers", layer, lambda layer=layer: layer.forward([["a"]]))
