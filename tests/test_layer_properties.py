"""The properties of a recurrent layer: padding, splitting, permuting and streaming change nothing, and an array that is
handed in or out stays whose it is."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compuerta import LSTM, Dense, Dropout, Embedding, Last, Sequential
from layer_cases import RECURRENT, dtypes, kinds, leaves, like, make, random_state, same, shuffled

# ---- properties -----------------------------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("cut", [0, 1, 4, 7])
@kinds
def test_split_sequence_with_carried_state_is_the_whole(rng, kind, cut, dtype):
    layer = make(kind, rng, 3, 5, 2, dtype=dtype)
    x, state = rng.standard_normal((4, 7, 3)), random_state(layer, 4, rng)
    whole, final, tape = layer.forward(x, state, record=True)
    first, middle, tape_1 = layer.forward(x[:, :cut], state, record=True)
    second, last, tape_2 = layer.forward(x[:, cut:], middle, record=True)
    same((np.concatenate((first, second), 1), last), (whole, final), dtype)

    dy = rng.standard_normal(whole.shape)
    dstate = random_state(layer, 4, rng)
    expected = layer.backward(tape, dy, dstate)
    later = layer.backward(tape_2, dy[:, cut:], dstate)
    earlier = layer.backward(tape_1, dy[:, :cut], later.state)
    same(earlier.state, expected.state, dtype)
    same(np.concatenate((earlier.x, later.x), 1), expected.x, dtype)
    same(earlier.flat + later.flat, expected.flat, dtype)


@dtypes
@pytest.mark.parametrize("both", [False, True])
@kinds
def test_padded_with_lengths_is_unpadded(rng, kind, both, dtype):
    layer = make(kind, rng, 3, 4, 2, bidirectional=both, dtype=dtype)
    lengths = [3, 0, 6, 1, 3]
    x, state = rng.standard_normal((5, 6, 3)), random_state(layer, 5, rng)
    for n, length in enumerate(lengths):
        x[n, length:] = np.nan  # never read, so it has no say
    y, final, tape = layer.forward(x, state, lengths, record=True)
    dy, dstate = rng.standard_normal(y.shape), random_state(layer, 5, rng)
    for n, length in enumerate(lengths):
        dy[n, length:] = np.nan
    grads = layer.backward(tape, dy, dstate)
    total = 0
    for n, length in enumerate(lengths):
        mine = [like(s, iter([a[:, n : n + 1] for a in leaves(s)])) for s in (state, final, dstate, grads.state)]
        y_n, final_n, tape_n = layer.forward(x[n, :length], mine[0], record=True)
        same((y[n, :length], mine[1]), (y_n, final_n), dtype)
        assert not y[n, length:].any()
        one = layer.backward(tape_n, dy[n, :length], mine[2])
        same((grads.x[n, :length], mine[3]), (one.x, one.state), dtype)
        assert not grads.x[n, length:].any()
        total = total + one.flat
    same(grads.flat, total, dtype)


@dtypes
@kinds
def test_permuting_the_batch_permutes_the_output(rng, kind, dtype):
    layer = make(kind, rng, 3, 4, 2, bidirectional=True, dtype=dtype)
    lengths, order = np.array([3, 0, 6, 1, 3]), rng.permutation(5)
    x, state = rng.standard_normal((5, 6, 3)), random_state(layer, 5, rng)
    dy, dstate = rng.standard_normal((5, 6, 8)), random_state(layer, 5, rng)

    def permuted(nested):
        return like(nested, iter([a[:, order] for a in leaves(nested)]))

    y, final, tape = layer.forward(x, state, lengths, record=True)
    y_p, final_p, tape_p = layer.forward(x[order], permuted(state), lengths[order], record=True)
    same((y_p, final_p), (y[order], permuted(final)), dtype)
    grads, grads_p = layer.backward(tape, dy, dstate), layer.backward(tape_p, dy[order], permuted(dstate))
    same((grads_p.x, grads_p.state), (grads.x[order], permuted(grads.state)), dtype)
    same(grads_p.flat, grads.flat, dtype)


@st.composite
def problems(draw):
    n, t = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    lengths = draw(st.none() | st.lists(st.integers(0, t), min_size=n, max_size=n))
    sizes = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)))
    return n, t, lengths, sizes, draw(st.sampled_from(sorted(RECURRENT))), draw(st.booleans())


@given(problems(), st.integers(0, 2**32 - 1))
def test_shapes_of_any_problem(problem, seed):
    n, t, lengths, (features, hidden, layers), kind, both = problem
    rng = np.random.default_rng(seed)
    layer = make(kind, rng, features, hidden, layers, bidirectional=both)
    x, state = rng.standard_normal((n, t, features)), random_state(layer, n, rng)
    y, final, tape = layer.forward(x, state, lengths, record=True)
    assert y.shape == (n, t, hidden * (1 + both))
    assert [a.shape for a in leaves(final)] == [(layers * (1 + both), n, hidden)] * len(layer.parts)
    valid = np.full(n, t) if lengths is None else np.array(lengths, int)
    still = valid == 0
    for a, b in zip(leaves(final), leaves(state), strict=True):
        assert np.array_equal(a[:, still], b[:, still])
        if kind != "gru_functions":  # whose update gate may be just 1
            assert (a[:, ~still] != b[:, ~still]).all()
    assert ((y != 0).all(-1) == (np.arange(t) < valid[:, None])).all()
    again, final_again = layer(x, state, lengths)  # not recorded, by other buffers
    same((again, final_again), (y, final))
    grads = layer.backward(tape, np.ones_like(y), final)
    assert grads.x.shape == x.shape
    assert [a.shape for a in leaves(grads.state)] == [a.shape for a in leaves(state)]
    assert np.isfinite(grads.flat).all()


# ---- nothing to read, one sequence, one dtype beside the other ------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@kinds
def test_no_steps_and_no_rows(rng, kind, shape):
    layer = make(kind, rng, 2, 3, 2, bidirectional=True)
    state, dstate = random_state(layer, shape[0], rng), random_state(layer, shape[0], rng)
    y, final, tape = layer.forward(np.zeros((*shape, 2)), state, record=True)
    assert y.shape == (*shape, 6)
    same(final, state)
    grads = layer.backward(tape, y, dstate)
    assert grads.x.shape == (*shape, 2)
    same(grads.state, dstate)
    assert not grads.flat.any()


def test_empty_batches_go_through_a_whole_model(rng):
    for shape in ((0, 3), (2, 0), (0, 0)):
        model = Sequential(Embedding(5, 3, rng=0), LSTM(3, 4, rng=0), Dropout(), Last(), Dense(4, 2, rng=0))
        y, _, tape = model.forward(np.zeros(shape, int), record=True, rng=0)
        assert y.shape == (shape[0], 1, 2)
        assert np.isfinite(model.backward(tape, np.ones_like(y)).flat).all()


@kinds
def test_one_sequence_without_its_batch(rng, kind):
    layer = make(kind, rng, 3, 4)
    x, state = rng.standard_normal((5, 3)), random_state(layer, 1, rng)
    y, final, tape = layer.forward(x, state, record=True)
    y_1, final_1, tape_1 = layer.forward(x[None], state, record=True)
    assert y.shape == (5, 4)
    same((y, final), (y_1[0], final_1))
    dy = rng.standard_normal((5, 4))
    grads, grads_1 = layer.backward(tape, dy), layer.backward(tape_1, dy[None])
    same((grads.x, grads.flat), (grads_1.x[0], grads_1.flat))
    flat_state = like(state, iter([a[:, 0] for a in leaves(state)]))
    same(layer(x, flat_state), (y, final))


@kinds
def test_float32_against_float64(rng, kind):
    """With weights of 1/√H, which do not amplify from step to step what one step rounds."""
    exact = shuffled(RECURRENT[kind](3, 16, 2, bidirectional=True, dtype="float64", rng=0), rng, scale=0.25)
    rough = RECURRENT[kind](3, 16, 2, bidirectional=True, rng=0)
    rough.parameters.writable()[...] = exact.parameters.flat
    exact.parameters.writable()[...] = rough.parameters.flat
    x = rng.standard_normal((5, 40, 3)).astype(np.float32)
    found = []
    dy = rng.standard_normal((5, 40, 32)).astype(np.float32)
    for layer in (exact, rough):
        y, final, tape = layer.forward(x, record=True)
        grads = layer.backward(tape, dy)
        found.append((y, *leaves(final), grads.x, grads.flat))
    for a, b in zip(*found, strict=True):
        assert (a.dtype, b.dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-6 * np.abs(a).max())


# ---- whose an array is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("both", [False, True])
@kinds
def test_a_tape_may_be_walked_twice_and_belongs_to_nobody_else(rng, kind, both, n):
    """What the caller does to y, x or the state after the call reaches no tape, and the way back leaves it whole."""
    layer = make(kind, rng, 3, 4, 2, bidirectional=both)
    x, state = rng.standard_normal((n, 5, 3)), random_state(layer, n, rng)
    y, final, tape = layer.forward(x, state, record=True)
    dy = rng.standard_normal(y.shape)
    first = layer.backward(tape, dy, state)
    kept = [a.copy() for a in (first.flat, first.x, *leaves(first.state))]
    for array in (y, *leaves(final), first.x, first.flat, *leaves(first.state)):
        array[...] = 1e6
    second = layer.backward(tape, dy, state)
    for a, b in zip(kept, (second.flat, second.x, *leaves(second.state)), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (3, 5)])
@pytest.mark.parametrize("kind", [*RECURRENT, "dense"])
def test_inputs_may_be_reused_before_the_way_back(rng, kind, shape):
    """A caller who fills one buffer with batch after batch must get the gradients of the batch that ran."""
    layer = make(kind, rng, 3, 4) if kind in RECURRENT else shuffled(Dense(3, 4, dtype="float64", rng=0), rng)
    x = rng.standard_normal((*shape, 3))
    y, _, tape = layer.forward(x, record=True)
    dy = rng.standard_normal(y.shape)
    before = layer.backward(tape, dy).flat.copy()
    x[...] = 1e6
    assert np.array_equal(layer.backward(tape, dy).flat, before)


def test_dropout_hands_out_an_array_of_its_own(rng):
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    before = x.copy()
    y = Dropout(0.5)(x)
    y += 1
    assert np.array_equal(x, before)


# ---- streams --------------------------------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
@kinds
def test_stream_is_the_whole(rng, kind, tokens, dtype):
    layer = make(kind, rng, 3, 4, 2, tokens=tokens, dtype=dtype)
    x = rng.integers(0, 3, (5, 6)) if tokens else rng.standard_normal((5, 6, 3)).astype(dtype)
    state = random_state(layer, 5, rng)
    whole, final = layer(x, state)
    stream, other = layer.stream(5), layer.stream(5)
    stream.state = state
    out = np.empty((5, 4), dtype)
    for t in range(6):
        y_t = stream(x[:, t], out=out) if t % 2 else stream(x[:, t])
        assert (y_t is out) == bool(t % 2)
        same(y_t, whole[:, t], dtype)
        other(x[:, 0])  # another stream of the same layer is in nobody's way
    same(stream.state, final, dtype)
    stream.reset()
    assert not any(a.any() for a in leaves(stream.state))
    same(stream(x[:, 0]), layer(x[:, :1])[0][:, 0], dtype)


@kinds
def test_stream_of_one_row(rng, kind):
    layer = make(kind, rng, 3, 4)
    x = rng.standard_normal((6, 3))
    stream = layer.stream()
    outputs = [stream(x_t) for x_t in x]
    same(np.stack(outputs), layer(x)[0])
    ids = make(kind, rng, 3, 4, tokens=True)
    stream = ids.stream()
    same(np.stack([stream(k) for k in (2, 0, 1)]), ids([2, 0, 1])[0])


def test_stream_hands_out_copies_and_follows_the_weights(rng):
    layer = make("lstm", rng, 3, 4)
    x = rng.standard_normal((2, 3))
    stream = layer.stream()
    y_0 = stream(x[0])
    kept, state = y_0.copy(), stream.state
    y_0[...] = 9
    for part in stream.state:
        part[...] = 9
    same(stream.state, state)
    shuffled(layer, rng)
    expected, _ = layer(x[1:], state)
    same(stream(x[1]), expected[0])
    assert (y_0 == 9).all()
    assert not np.array_equal(kept, y_0)


def test_a_copied_stream_goes_on_alone(rng):
    stream = LSTM(3, 4, 2, rng=rng).stream(2)
    x = rng.standard_normal((3, 2, 3)).astype(np.float32)
    stream(x[0])
    twins = copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))
    expected = [stream(x[1]), stream(x[2])]
    for twin in twins:
        assert np.array_equal([twin(x[1]), twin(x[2])], expected)
        assert np.array_equal(twin.state[1], stream.state[1])
