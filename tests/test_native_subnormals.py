"""Numbers too small to be normal: the native engine computes with zero in their place, on every thread that computes,
and leaves the caller's own arithmetic as it was."""

import numpy as np
import pytest

from compuerta import GRU, LSTM, recurrence
from native_engine import KINDS, dtypes, kinds, same_bits


def subnormal(array):
    """Whether any number is one, by its bits."""
    kind = np.uint32 if array.dtype == np.float32 else np.uint64
    bits = array.view(kind)
    mantissa = np.finfo(array.dtype).nmant
    return bool((((bits << kind(1)) >> kind(mantissa + 1) == 0) & (bits << kind(1) != 0)).any())


def decaying(kind, dtype):
    """A cell in which nothing but half of the state goes on to the next step."""
    layer = KINDS[kind](4, 16, dtype=dtype, rng=0, **({"forget_bias": 0.0} if kind == "lstm" else {}))
    for name in layer.parameters:
        layer.parameters[name] = np.zeros(layer.parameters.shapes[name])
    return layer


def started(kind, dtype, n):
    """States whose halves pass through all subnormal numbers within 130 steps."""
    first = np.full((1, n, 16), np.finfo(dtype).tiny * 2.0**40, dtype)
    return (np.zeros_like(first), first) if kind == "lstm" else first


@pytest.mark.parametrize("threads", [1, 3])
@dtypes
@kinds
def test_a_state_that_decays_goes_to_zero_past_the_normal_numbers(variant, kind, dtype, threads):
    recurrence.set_num_threads(threads)
    recurrence.active().all_finite(np.zeros(1 << 16, dtype))  # a new thread inherits its maker's mode: here, the usual
    layer, n = decaying(kind, dtype), 90
    x, lengths = np.zeros((n, 130, 4), dtype), np.arange(n) + 41  # work enough that it is cut into pieces
    y, _, record = layer.forward(x, started(kind, dtype, n), lengths=lengths, record=True)
    tape = record.tape.tapes[0][0]
    for array in (y, *(tape.read(key) for key in tape.names)):
        assert not subnormal(array)
    state = tape.read("c" if kind == "lstm" else "h")
    assert (state[:, 38] > 0).all()
    assert not state[:, 41:].any()
    dy = np.zeros_like(y)
    dy[-1, -1] = np.finfo(dtype).tiny * 2.0**40  # and so does a gradient on its way back
    assert not subnormal(layer.backward(record, dy).flat)


@dtypes
@kinds
def test_a_stream_goes_to_zero_as_the_sequence_does(variant, kind, dtype):
    layer = decaying(kind, dtype)
    stream, x = layer.stream(), np.zeros((60, 4), dtype)
    first = started(kind, dtype, 1)
    stream.state = first
    steps = np.stack([stream(row) for row in x])
    assert same_bits([steps], [layer(x, tuple(p[:, 0] for p in first) if kind == "lstm" else first[:, 0])[0]])
    assert not subnormal(steps)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_callers_arithmetic_stays_as_it_was(variant, threads):
    recurrence.set_num_threads(threads)
    small = np.full(3, 1e-40, np.float32)
    layer = LSTM(8, 32, rng=0)
    y, _, record = layer.forward(np.ones((64, 20, 8), np.float32), record=True)
    layer.backward(record, y)
    layer.stream()(np.ones(8, np.float32))
    recurrence.active().all_finite(small)
    recurrence.active().sum_of_squares(small)
    assert same_bits([small * np.float32(1)], [small])
    assert (small * np.float32(0.5) > 0).all()


def test_inputs_too_small_to_be_normal_count_as_zero(variant):
    """As they would, but for less than 1e-37, anywhere else."""
    layer = GRU(4, 12, rng=0)
    x = np.full((3, 9, 4), 1e-40, np.float32)
    assert same_bits([layer(x)[0]], [layer(np.zeros_like(x))[0]])
    np.testing.assert_allclose(layer(x)[0], GRU(4, 12, rng=0)(x)[0], rtol=0, atol=1e-37)
