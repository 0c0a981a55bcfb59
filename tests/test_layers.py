"""Recurrent layers: against the textbook, and their gradients by complex step through whole stacks."""

import inspect

import numpy as np
import pytest

from compuerta import GRU, LSTM, Dense, Dropout, Embedding, Last, Sequential, recurrence, textbook
from compuerta.layers import LAYERS, Parameters
from compuerta.tasks.forecast_network import ForecastNetwork
from layer_cases import dtypes, kinds, leaves, like, make, random_state, rebuilt, same, shuffled

# ---- against the textbook -------------------------------------------------------------------------------------------


def textbook_stack(layer, x, state, lengths):
    """The whole layer by textbook cells, a single row."""
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


# ---- states ---------------------------------------------------------------------------------------------------------


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


# ---- dropout between layers -----------------------------------------------------------------------------------------


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
        if isinstance(twin, Sequential):  # its run takes an entry for each layer, each one array of all parts
            entries = iter(given)
            given = [np.stack(leaves(next(entries))) if layer.recurrent else None for layer in twin.layers]
        else:
            given = np.stack(given)
        generator = None if seed is None else np.random.default_rng(seed)
        out, last, _ = twin.run(values.get("x", x), given, valid, False, generator)
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


# ---- what overflows -------------------------------------------------------------------------------------------------


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


# ---- a trace --------------------------------------------------------------------------------------------------------


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


def test_every_method_of_a_layer_says_what_it_does():
    for cls in (*LAYERS.values(), ForecastNetwork):
        for name, member in inspect.getmembers(cls, callable):
            assert name.startswith("_") or inspect.getdoc(member), f"{cls.__name__}.{name}"
