"""Layers: against the textbook, by complex step through whole stacks, and the properties that padding, splitting,
streaming and permuting must have."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compuerta import GRU, LSTM, Dense, Dropout, Embedding, Last, MinLSTM, Sequential, recurrence, textbook
from compuerta.errors import SettingError, ShapeError
from compuerta.layers import LAYERS, Activation, Parameters

RECURRENT = {
    "lstm": lambda *a, **k: LSTM(*a, **k),
    "gru_after": lambda *a, **k: GRU(*a, **k),
    "gru_before": lambda *a, **k: GRU(*a, reset_after=False, **k),
    "min_lstm": lambda *a, **k: MinLSTM(*a, **k),
}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
kinds = pytest.mark.parametrize("kind", RECURRENT)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE)


def shuffled(layer, rng, scale=0.6):
    """Make every parameter random, biases too: what starts at 0 or 1 would hide faults."""
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = scale * rng.standard_normal(shape)
    return layer


def make(kind, rng, *sizes, dtype="float64", **options):
    return shuffled(RECURRENT[kind](*sizes, dtype=dtype, rng=0, **options), rng)


def leaves(state):
    """The arrays of a state, however it is nested."""
    return [state] if isinstance(state, np.ndarray) else [a for part in state for a in leaves(part)]


def like(state, arrays):
    """Put arrays in the nesting of a state."""
    if isinstance(state, np.ndarray):
        return next(arrays)
    return tuple(like(part, arrays) for part in state)


def random_state(layer, n, rng):
    parts = [rng.standard_normal((layer.num_layers * layer.directions, n, layer.hidden_size)) for _ in layer.parts]
    return tuple(parts) if len(parts) > 1 else parts[0]


def same(got, expected, dtype="float64", what=""):
    got, expected = leaves(got), leaves(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape, what
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(b).max(initial=0)), err_msg=what)


# ---- against the textbook -------------------------------------------------------------------------------------------


def textbook_stack(layer, x, state, lengths):
    """The whole layer by textbook cells, one row at a time."""
    h0, c0 = state
    h_n, c_n = h0.astype(float), c0.astype(float)
    for k in range(layer.num_layers):
        outputs = []
        for d in range(layer.directions):
            at, cell = k * layer.directions + d, textbook.LSTM.from_layer(layer, k, reverse=d == 1)
            y = np.zeros((*x.shape[:2], layer.hidden_size))
            for n, length in enumerate(lengths):
                order = np.arange(length)[:: -1 if d else 1]
                steps = cell.trace(x[n, order], h0[at, n, :, None], c0[at, n, :, None])
                for t, step in zip(order, steps, strict=True):
                    y[n, t] = step["h"][:, 0]
                if steps:
                    h_n[at, n], c_n[at, n] = steps[-1]["h"][:, 0], steps[-1]["C"][:, 0]
            outputs.append(y)
        x = np.concatenate(outputs, axis=2)
    return x, (h_n, c_n)


@dtypes
@pytest.mark.parametrize("lengths", [None, [5, 0, 2, 3]])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_lstm_is_the_textbook_one(rng, layers, both, lengths, dtype):
    layer = make("lstm", rng, 3, 4, layers, bidirectional=both, dtype=dtype)
    x = rng.standard_normal((4, 5, 3)).astype(dtype)
    state = tuple(part.astype(dtype) for part in random_state(layer, 4, rng))
    y, final = layer(x, state, lengths)
    expected = textbook_stack(layer, x.astype(float), state, lengths or [5] * 4)
    assert {a.dtype for a in (y, *final)} == {np.dtype(dtype)}
    same((y, final), expected, dtype)


def test_backward_is_the_textbook_one(rng):
    layer = make("lstm", rng, 3, 4)
    x, state = rng.standard_normal((2, 5, 3)), random_state(layer, 2, rng)
    dy, (dh, dc) = rng.standard_normal((2, 5, 4)), random_state(layer, 2, rng)
    *_, tape = layer.forward(x, state, record=True)
    grads = layer.backward(tape, dy, (dh, dc))
    cell = textbook.LSTM.from_layer(layer)
    total = {}
    for n in range(2):
        cell.forward_sequence(x[n], state[0][0, n, :, None], state[1][0, n, :, None])
        dH = dy[n].copy()
        dH[-1] += dh[0, n]
        one = cell.backward_sequence(dH, dc[0, n, :, None])
        same(grads.x[n], one["dX"])
        same(grads.state[0][0, n], one["dh0"][:, 0])
        same(grads.state[1][0, n], one["dC0"][:, 0])
        total = {name: total.get(name, 0) + value for name, value in one.items()}
    same(grads["w_h_l0"], np.vstack([total["dW" + k][:, :4] for k in "ifCo"]))
    same(grads["w_x_l0"], np.vstack([total["dW" + k][:, 4:] for k in "ifCo"]))
    same(grads["b_l0"], np.vstack([total["db" + k] for k in "ifCo"])[:, 0])


def test_stacking_is_one_layer_on_another(rng):
    stack = make("gru_after", rng, 3, 4, 2, bidirectional=True)
    x, state = rng.standard_normal((3, 5, 3)), random_state(stack, 3, rng)
    y, final = stack(x, state, [5, 2, 4])
    for k in range(2):
        one = GRU((3, 8)[k], 4, bidirectional=True, dtype="float64", rng=0)
        for name in one.parameters:
            one.parameters[name] = stack.parameters[name.replace("l0", f"l{k}")]
        x, last = one(x, state[2 * k : 2 * k + 2], [5, 2, 4])
        same(last, final[2 * k : 2 * k + 2])
    same(x, y)


# ---- gradients through whole stacks, by complex step ----------------------------------------------------------------


def complex_twin(model):
    """The same model with complex128 parameters, for the inner methods, which check no dtype.

    Returns the twin and a function that writes named parameters into it.
    """
    twin = rebuilt(model)
    places = {f"{k}.": layer for k, layer in enumerate(twin.layers)} if isinstance(twin, Sequential) else {"": twin}
    for layer in places.values():
        layer.parameters = Parameters(layer.parameters.shapes, np.dtype(np.complex128))

    def write(values):
        for start, layer in places.items():
            for name in layer.parameters:
                layer.parameters.named(layer.parameters.writable())[name][...] = values[start + name]

    return twin, write


def rebuilt(model):
    """A new model from the configuration of another."""
    if isinstance(model, Sequential):
        return Sequential(*(LAYERS[name](**config) for name, config in model.config()["layers"]))
    return type(model)(**model.config())


def check_gradients(model, x, state, lengths, seed, rng, complex_step, assert_same_gradient):
    tokens = x.dtype.kind == "i"
    y, final, tape = model.forward(x, state, lengths, record=True, rng=seed)
    dy, dstate = rng.standard_normal(y.shape), [rng.standard_normal(a.shape) for a in leaves(final)]
    grads = model.backward(tape, dy, like(final, iter(dstate)))

    twin, write = complex_twin(model)
    valid = None if lengths is None else np.array(lengths)
    initial = leaves(state)
    arrays = dict(model.parameters) | {f"state {k}": a for k, a in enumerate(initial)} | ({} if tokens else {"x": x})
    inner = like(state, iter(initial))
    inner = list(inner) if isinstance(inner, tuple) else [inner]

    def loss(**values):
        write(values)
        given = like(tuple(inner), iter([values[f"state {k}"] for k in range(len(initial))]))
        if isinstance(twin, Sequential):  # its _run takes an entry for each layer, each one array of all parts
            entries = iter(given)
            given = [np.stack(leaves(next(entries))) if layer.recurrent else None for layer in twin.layers]
        else:
            given = np.stack(given)
        generator = None if seed is None else np.random.default_rng(seed)
        out, last, _ = twin._run(values.get("x", x), given, valid, False, generator)
        return np.sum(dy * out) + sum(np.sum(d * a) for d, a in zip(dstate, leaves(last), strict=True))

    expected = complex_step(loss, arrays)
    for name in model.parameters:
        assert_same_gradient(grads[name], expected[name], name)
    for k, got in enumerate(leaves(grads.state)):
        assert_same_gradient(got, expected[f"state {k}"], f"state {k}")
    if tokens:
        assert grads.x is None
    else:
        assert_same_gradient(grads.x, expected["x"], "x")
    return grads


@pytest.mark.parametrize("seed", [None, 5], ids=["", "dropout"])
@pytest.mark.parametrize("lengths", [None, [4, 0, 2]], ids=["whole", "ragged"])
@pytest.mark.parametrize("both", [False, True], ids=["one_way", "both_ways"])
@kinds
def test_stack_gradients(rng, numpy_engine, complex_step, assert_same_gradient, kind, both, lengths, seed):
    layer = make(kind, rng, 2, 2, 2, bidirectional=both, dropout=0.4)
    x, state = rng.standard_normal((3, 4, 2)), random_state(layer, 3, rng)
    check_gradients(layer, x, state, lengths, seed, rng, complex_step, assert_same_gradient)


@pytest.mark.parametrize("lengths", [None, [4, 1, 2]], ids=["whole", "ragged"])
def test_model_gradients(rng, numpy_engine, complex_step, assert_same_gradient, lengths):
    model = shuffled(
        Sequential(
            Embedding(5, 3, dtype="float64", rng=0),
            LSTM(3, 2, bidirectional=True, dtype="float64", rng=0),
            Dropout(0.3, dtype="float64"),
            GRU(4, 3, dtype="float64", rng=0),
            Last(dtype="float64"),
            Dense(3, 2, dtype="float64", rng=0),
        ),
        rng,
    )
    x = np.array([[0, 1, 2, 1], [4, 4, 1, 0], [2, 3, 0, 3]])
    state = (random_state(model.layers[1], 3, rng), random_state(model.layers[3], 3, rng))
    grads = check_gradients(model, x, state, lengths, 7, rng, complex_step, assert_same_gradient)
    assert grads.flat.size == model.parameters.size
    *_, tape = model.forward(x, state, lengths, record=True, rng=8)
    assert not np.allclose(model.backward(tape, np.ones((3, 1, 2))).flat, grads.flat)


def test_dense_first_gradients(rng, numpy_engine, complex_step, assert_same_gradient):
    model = shuffled(
        Sequential(Dense(3, 2, dtype="float64", rng=0), GRU(2, 2, dtype="float64", rng=0, reset_after=False)), rng
    )
    state = (random_state(model.layers[1], 2, rng),)
    x = rng.standard_normal((2, 3, 3))
    check_gradients(model, x, state, None, None, rng, complex_step, assert_same_gradient)


def test_token_gradients(rng, numpy_engine, complex_step, assert_same_gradient):
    layer = make("lstm", rng, 4, 2, 2, bidirectional=True, tokens=True)
    x = rng.integers(0, 4, (3, 4))
    check_gradients(layer, x, random_state(layer, 3, rng), [2, 4, 3], None, rng, complex_step, assert_same_gradient)


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
        assert (a[:, ~still] != b[:, ~still]).all()
    assert ((y != 0).all(-1) == (np.arange(t) < valid[:, None])).all()
    again, final_again = layer(x, state, lengths)  # not recorded, by other buffers
    same((again, final_again), (y, final))
    grads = layer.backward(tape, np.ones_like(y), final)
    assert grads.x.shape == x.shape
    assert [a.shape for a in leaves(grads.state)] == [a.shape for a in leaves(state)]
    assert np.isfinite(grads.flat).all()


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


@kinds
def test_float32_against_float64(rng, kind):
    exact = make(kind, rng, 3, 16, 2, bidirectional=True)
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
        np.testing.assert_allclose(b, a, rtol=0, atol=3e-6 * np.abs(a).max())


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


# ---- states and small layers ----------------------------------------------------------------------------------------


def test_state_order_is_h_then_c(rng):
    """h lies within (-1, 1) and is the last output; c is the memory, which a strong forget gate keeps."""
    layer = make("lstm", rng, 3, 4)
    b = layer.parameters["b_l0"].copy()
    b[4:8] = 30  # f open
    b[0:4] = -30  # i closed
    layer.parameters["b_l0"] = b
    memory = np.array([[[5.0, -4.0, 3.0, 7.0]]])
    y, (h, c) = layer(rng.standard_normal((1, 6, 3)), (rng.standard_normal((1, 1, 4)), memory))
    np.testing.assert_allclose(c, memory, atol=1e-6)
    assert np.array_equal(h[0], y[:, -1])
    assert np.abs(h).max() < 1


def test_layers_of_a_state_are_ordered_by_layer_then_direction(rng):
    layer = make("gru_after", rng, 3, 4, 2, bidirectional=True)
    y, h = layer(rng.standard_normal((2, 5, 3)))
    assert np.array_equal(h[2], y[:, -1, :4])
    assert np.array_equal(h[3], y[:, 0, 4:])


def test_last_and_embedding_and_dense(rng):
    x = rng.standard_normal((3, 4, 2))
    layer = Last(dtype="float64")
    y, _, tape = layer.forward(x, lengths=[2, 0, 4], record=True)
    assert np.array_equal(y[:, 0], np.stack((x[0, 1], [0, 0], x[2, 3])))
    dy = rng.standard_normal((3, 1, 2))
    dx = layer.backward(tape, dy).x
    assert np.array_equal(dx[0, 1], dy[0, 0])
    assert np.array_equal(dx[2, 3], dy[2, 0])
    assert np.count_nonzero(dx) == 4
    assert np.array_equal(layer(x)[:, 0], x[:, -1])

    table = Embedding(5, 3, dtype="float64", rng=0)
    assert np.array_equal(table([[4, 0]])[0], table.parameters["w"][[4, 0]])
    assert len(np.unique(table.parameters["w"])) == 15

    dense = shuffled(Dense(2, 3, dtype="float64", rng=0), rng)
    expected = [[dense.parameters["w"] @ x_t + dense.parameters["b"] for x_t in row] for row in x]
    np.testing.assert_allclose(dense(x), expected, rtol=1e-14)
    assert not Dense(2, 3, zero=True).parameters.flat.any()


def test_the_last_of_both_directions_is_their_final_state(rng):
    layer = make("lstm", rng, 3, 4, bidirectional=True)
    y, (h, _) = layer(rng.standard_normal((3, 6, 3)), lengths=[6, 2, 0])
    last = Last(dtype="float64", both_ends=True)
    z, _, tape = last.forward(y, lengths=[6, 2, 0], record=True)
    assert np.array_equal(z[:, 0], np.concatenate((h[0], h[1]), axis=1))
    dz = rng.standard_normal(z.shape)
    other = rng.standard_normal(y.shape)  # <dx, x> = <dz, Last(x)>: what is linear has its transpose for a gradient
    np.testing.assert_allclose((last.backward(tape, dz).x * other).sum(), (dz * last(other, lengths=[6, 2, 0])).sum())
    with pytest.raises(ShapeError, match="even number of features"):
        last(np.zeros((1, 2, 3)))


@pytest.mark.parametrize("kind", Activation.KINDS)
def test_activation(rng, kind):
    layer = Activation(kind, dtype="float64")
    x = rng.standard_normal((2, 3, 5))
    y, _, tape = layer.forward(x, record=True)
    exponent = np.exp(x)
    expected = {"relu": np.where(x > 0, x, 0), "tanh": (exponent - 1 / exponent) / (exponent + 1 / exponent),
                "sigmoid": exponent / (exponent + 1), "softmax": exponent / exponent.sum(2, keepdims=True),
                "log_softmax": np.log(exponent / exponent.sum(2, keepdims=True))}  # fmt: skip
    np.testing.assert_allclose(y, expected[kind], rtol=1e-13)
    dy, small = rng.standard_normal(y.shape), 1e-6 * rng.standard_normal(y.shape)
    difference = (dy * (layer(x + small) - layer(x - small))).sum() / 2
    np.testing.assert_allclose((layer.backward(tape, dy).x * small).sum(), difference, rtol=1e-6)
    assert layer(np.zeros((0, 3, 5))).shape == (0, 3, 5)
    assert layer(np.zeros((2, 0, 5))).shape == (2, 0, 5)
    with pytest.raises(SettingError, match="kind must be one of log_softmax"):
        Activation("swish")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("engine", recurrence.engines())
@pytest.mark.parametrize(
    "options", [{"num_layers": 2, "dropout": 0.5}, {"bidirectional": True}, {"learn_state": True}], ids=str
)
def test_gradients_of_a_stack_that_overflow_warn_of_nothing(as_before, engine, options):
    recurrence.use_engine(engine)
    layer = LSTM(4, 8, rng=0, **options)
    for name in layer.parameters:
        if name.startswith("w_x"):
            layer.parameters[name] = np.copysign(3e38, layer.parameters[name])
    y, state, tape = layer.forward(np.zeros((3, 5, 4)), record=True, rng=1)
    for value in (1, 3e38, np.inf):
        found = layer.backward(tape, np.full_like(y, value), tuple(np.full_like(part, value) for part in state))
        assert not np.isfinite(found.flat).all() or not np.isfinite(found.x).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [3e38, np.inf, np.nan])
@pytest.mark.parametrize("kind", Activation.KINDS)
def test_gradients_of_an_activation_that_overflow_warn_of_nothing(kind, value):
    layer = Activation(kind)
    for x in (1.0, 200.0, -200.0):
        y, _, tape = layer.forward(np.full((2, 3, 4), x, np.float32), record=True)
        assert layer.backward(tape, np.full_like(y, value)).x.shape == y.shape


@pytest.mark.parametrize("p", [0.2, 0.75])
def test_dropout(rng, p):
    layer = Dropout(p, dtype="float64")
    x = 1 + rng.random((20, 50, 40))
    y, _, tape = layer.forward(x, record=True, rng=3)
    zeros = y == 0
    assert abs(zeros.mean() - p) < 0.01
    np.testing.assert_allclose(y[~zeros], x[~zeros] / (1 - p), rtol=1e-15)
    assert np.array_equal(layer.backward(tape, x).x, y)
    assert np.array_equal(layer.forward(x, rng=3)[0], y)
    assert not np.array_equal(layer.forward(x, rng=4)[0], y)
    assert np.array_equal(layer(x), x)
    *_, tape = layer.forward(x, record=True)
    assert np.array_equal(layer.backward(tape, x).x, x)


def test_dropout_between_layers_only_where_a_generator_is_passed(rng):
    layer = make("lstm", rng, 3, 8, 2, dropout=0.5)
    x = rng.standard_normal((4, 5, 3))
    plain = layer(x)[0]
    assert np.array_equal(layer(x)[0], plain)
    generator = np.random.default_rng(1)
    first, second = (layer.forward(x, rng=generator)[0] for _ in range(2))
    assert not np.allclose(first, plain)
    assert not np.allclose(first, second)
    assert np.array_equal(layer.forward(x, rng=1)[0], first)
    single = make("lstm", rng, 3, 8, 1, dropout=0.5)
    assert np.array_equal(single.forward(x, rng=1)[0], single(x)[0])


def test_a_model_shares_one_dtype_however_its_layers_without_weights_were_made(rng):
    """Dropout and Last hold no parameters, so nothing stops them from being float32 in a float64 model."""
    x = rng.standard_normal((2, 3, 4))
    lstm = make("lstm", rng, 4, 3)
    expected = Last(dtype="float64")(lstm(x)[0])
    try:
        model = Sequential(Dropout(0.5), lstm, Last())
    except SettingError:
        return  # refusing the mixture is as good
    y, _ = model(x)
    assert y.dtype == np.float64
    assert np.array_equal(y, expected), "the inputs were rounded to float32 on the way in"


# ---- parameters -----------------------------------------------------------------------------------------------------


def test_parameters_are_views_into_one_flat_buffer(rng):
    layer = make("gru_after", rng, 3, 4, 2, bidirectional=True)
    p = layer.parameters
    assert sum(a.size for a in p.values()) == p.size == p.flat.size
    assert list(p) == list(p.shapes)
    assert np.array_equal(np.concatenate([a.ravel() for a in p.values()]), p.flat)
    assert all(np.shares_memory(a, p.flat) for a in p.values())
    flat = p.writable()
    flat[...] = rng.standard_normal(p.size)
    assert np.array_equal(np.concatenate([p[name].ravel() for name in p]), flat)


def test_parameters_are_read_only_but_through_the_front_door(rng):
    p = make("lstm", rng, 3, 4).parameters
    with pytest.raises(ValueError, match="read-only"):
        p["b_l0"][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        p.flat[0] = 1
    before = p.version
    p["b_l0"] = np.arange(16)
    assert p["b_l0"].tolist() == list(range(16))
    assert p.version != before
    with pytest.raises(ShapeError, match=r"parameter b_l0 must be \(16,\); got \(4,\)"):
        p["b_l0"] = np.arange(4)
    with pytest.raises(KeyError):
        p["b_l9"] = 0


@kinds
def test_packed_weights_follow_every_write(rng, kind):
    layer = make(kind, rng, 3, 4)
    x = rng.standard_normal((2, 5, 3))
    y = layer(x)[0]
    for write in ("item", "flat"):
        old = layer.parameters.flat.copy()
        if write == "item":
            layer.parameters["w_x_l0"] = rng.standard_normal(layer.parameters.shapes["w_x_l0"])
        else:
            layer.parameters.writable()[...] += 0.1
        changed = layer(x)[0]
        assert not np.allclose(changed, y)
        twin = rebuilt(layer)
        twin.parameters.writable()[...] = layer.parameters.flat
        assert np.array_equal(twin(x)[0], changed)
        layer.parameters.writable()[...] = old
        assert np.array_equal(layer(x)[0], y)


def test_join(rng):
    lstm, dense = make("lstm", rng, 3, 4), shuffled(Dense(4, 2, dtype="float64", rng=0), rng)
    kept = np.concatenate((lstm.parameters.flat, dense.parameters.flat))
    model = Sequential(lstm, dense)
    assert np.array_equal(model.parameters.flat, kept)
    assert list(model.parameters) == ["0.w_x_l0", "0.w_h_l0", "0.b_l0", "1.w", "1.b"]
    for layer in (lstm, dense):
        assert np.shares_memory(layer.parameters.flat, model.parameters.flat)
    model.parameters["1.b"] = [7, 8]
    assert dense.parameters["b"].tolist() == [7, 8]
    lstm.parameters["b_l0"] = np.arange(16)
    assert model.parameters["0.b_l0"].tolist() == list(range(16))
    x = rng.standard_normal((2, 3, 3))
    np.testing.assert_array_equal(model(x)[0], dense(lstm(x)[0]))
    with pytest.raises(SettingError, match="one model only"):
        Sequential(lstm)
    with pytest.raises(SettingError, match="dtype; got float32, float64"):
        Sequential(LSTM(3, 4, rng=0), Dense(4, 2, dtype="float64", rng=0))


@pytest.mark.parametrize("writes", range(1, 8))
def test_a_model_never_runs_on_what_its_layer_packed_before_it_joined(rng, writes):
    """The clock of the joined buffer must not come round to a number at which the layer packed its own weights."""
    lstm = LSTM(3, 4, dtype="float64", rng=0)
    x = rng.standard_normal((2, 5, 3))
    lstm(x)
    model = Sequential(lstm)
    for _ in range(writes):
        model.parameters.writable()[...] = rng.standard_normal(model.parameters.size)
    fresh = LSTM(3, 4, dtype="float64", rng=0)
    fresh.parameters.writable()[...] = model.parameters.flat
    assert np.array_equal(model(x)[0], fresh(x)[0])


def test_a_layer_stands_in_a_model_once(rng):
    dense = shuffled(Dense(3, 3, rng=0), rng)
    with pytest.raises(SettingError, match="one model only"):
        Sequential(dense, dense)


def test_a_model_within_a_model_follows_the_outer_buffer(rng):
    inner = Sequential(Dense(3, 4, dtype="float64", rng=0), LSTM(4, 2, dtype="float64", rng=0))
    x = rng.standard_normal((2, 5, 3))
    try:
        model = Sequential(inner, Dense(2, 1, dtype="float64", rng=0))
    except SettingError:
        return  # refusing a model within a model is as good
    before = model(x)[0]
    model.parameters.writable()[...] = rng.standard_normal(model.parameters.size)
    assert not np.allclose(model(x)[0], before)
    assert np.shares_memory(inner.layers[0].parameters.flat, model.parameters.flat)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("joined", [False, True])
def test_a_copy_is_whole_and_its_own(rng, clone, joined):
    """Copies are made by every library that clones estimators or sends them to another process."""
    layer = make("lstm", rng, 3, 4)
    model = Sequential(layer, Dense(4, 2, dtype="float64", rng=0)) if joined else layer
    x = rng.standard_normal((2, 5, 3))
    expected = model(x)[0]
    twin = clone(model)
    assert np.array_equal(twin(x)[0], expected)
    twin.parameters.writable()[...] = rng.standard_normal(twin.parameters.size)
    assert not np.allclose(twin(x)[0], expected), "what is written to the copy's parameters does not reach its layers"
    assert np.array_equal(np.concatenate([a.ravel() for a in twin.parameters.values()]), twin.parameters.flat)
    assert np.array_equal(model(x)[0], expected)


def test_gradients_into_a_buffer_of_the_caller(rng):
    layer = make("lstm", rng, 3, 4, 2)
    y, _, tape = layer.forward(rng.standard_normal((2, 5, 3)), record=True)
    dy = rng.standard_normal(y.shape)
    out = np.full(layer.parameters.size, np.nan)
    grads = layer.backward(tape, dy, out=out)
    assert grads.flat is out
    assert np.array_equal(out, layer.backward(tape, dy).flat)
    assert np.array_equal(np.concatenate([grads[name].ravel() for name in layer.parameters]), out)
    assert all(grads[name].shape == shape for name, shape in layer.parameters.shapes.items())


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(3, 4, 2, bidirectional=True, dropout=0.25, dtype="float64", rng=0, tokens=True, forget_bias=0.5),
        LSTM(3, 4, rng=0, chrono=9),
        GRU(3, 4, reset_after=False, rng=0),
        Dense(3, 4, rng=0, dtype="float64"),
        Dense(3, 4, zero=True),
        Embedding(3, 4, rng=0),
        Dropout(0.25),
        Last(dtype="float64"),
        Last(both_ends=True),
        Activation("softmax", dtype="float64"),
    ],
    ids=repr,
)
def test_config_makes_the_same_layer_again(layer):
    twin = rebuilt(layer)
    assert twin.config() == layer.config()
    assert twin.parameters.shapes == layer.parameters.shapes
    assert twin.parameters.dtype == layer.parameters.dtype
    assert repr(twin) == repr(layer)


def test_seeds(rng):
    first, again, other = (LSTM(3, 4, 2, bidirectional=True, rng=seed) for seed in (1, np.random.default_rng(1), 2))
    assert np.array_equal(first.parameters.flat, again.parameters.flat)
    assert not np.array_equal(first.parameters.flat, other.parameters.flat)
    assert not np.array_equal(first.parameters["w_h_l0"], first.parameters["w_h_l0_reverse"])


def test_a_copied_stream_goes_on_alone(rng):
    stream = LSTM(3, 4, 2, rng=rng).stream(2)
    x = rng.standard_normal((3, 2, 3)).astype(np.float32)
    stream(x[0])
    twins = copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))
    expected = [stream(x[1]), stream(x[2])]
    for twin in twins:
        assert np.array_equal([twin(x[1]), twin(x[2])], expected)
        assert np.array_equal(twin.state[1], stream.state[1])


def test_a_trace_is_a_mapping_of_its_names(rng):
    layer = LSTM(3, 4, 2, rng=rng)
    _, trace = layer.trace(rng.standard_normal((2, 5, 3)))
    assert list(trace) == [(name, k) for k in range(2) for name in trace.names]
    assert set(trace.names) == set("figoch")
    assert ("f", 1) in trace
    for wrong in ("f", 0, ("f", 2), ("f", -1), ("f", "x"), ("zz", 0), ("f", 0, 1), ()):
        assert wrong not in trace
        with pytest.raises(KeyError):
            trace[wrong]
