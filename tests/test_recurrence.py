"""The engines, held to one contract: the equations unrolled, tokens, tapes, steps one by one; and what the NumPy one is
made of: gradients by complex step, packing, sums by token. The native one's own tests are in test_native*.py."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compuerta import recurrence, textbook
from compuerta.errors import SettingError
from compuerta.recurrence.packing import Packing
from compuerta.recurrence.tokens import sum_by_token

N, T, F, H = 3, 4, 3, 2
KINDS = ("lstm", "gru_after", "gru_before")
ENGINES = list(recurrence.engines())
LENGTHS = {"whole": None, "ragged": (2, 4, 0), "full": (4, 4, 4), "empty": (0, 0, 0)}


def draw(rng, kind, features=F, hidden=H):
    """Random parameters in the public order, and the parts of a state."""
    blocks = 4 if kind == "lstm" else 3
    shapes = {"w_x": (blocks * hidden, features), "w_h": (blocks * hidden, hidden), "b": (blocks * hidden,)}
    if kind == "gru_after":
        shapes["b_hn"] = (hidden,)
    parts = ("h0", "c0") if kind == "lstm" else ("h0",)
    return {k: rng.standard_normal(shape) for k, shape in shapes.items()}, parts


def cell_of(engine, kind):
    return engine.lstm if kind == "lstm" else engine.gru


@pytest.fixture(params=ENGINES)
def engine(request):
    return recurrence.engines()[request.param]


def forward(cell, packed, x, state, lengths=None, reverse=False, record=False):
    """Return ``(y, final, tape)``; what the engine leaves unwritten stays NaN."""
    y, final = np.full((*x.shape[:2], state.shape[2]), np.nan, state.dtype), np.full_like(state, np.nan)
    return y, final, cell.forward(packed, x, state, lengths, reverse, record, y, final)


def backward(cell, packed, tape, dy, dfinal, weights):
    """Return the gradients of ``weights``, of the inputs and of the initial state."""
    out, dstate = tuple(np.full_like(w, np.nan) for w in weights.values()), np.full_like(dfinal, np.nan)
    dx = cell.backward(packed, tape, dy, dfinal, out, dstate)
    return out, dx, dstate


def as_lengths(key):
    return None if LENGTHS[key] is None else np.array(LENGTHS[key], np.intp)


@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("lengths", ["whole", "ragged"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_complex_step(
    rng, numpy_engine, complex_step, assert_same_gradient, kind, lengths, reverse, tokens
):
    """Every parameter, input and initial state; the loss weighs every output and every part of the final state."""
    cell, valid = cell_of(numpy_engine, kind), as_lengths(lengths)
    weights, parts = draw(rng, kind)
    state = {p: rng.standard_normal((N, H)) for p in parts}
    x = rng.integers(0, F, (N, T)) if tokens else rng.standard_normal((N, T, F))
    dy, dfinal = rng.standard_normal((N, T, H)), rng.standard_normal((len(parts), N, H))

    def run(values, record):
        packed = cell.pack(*(values[name] for name in weights))
        inputs = x if tokens else values["x"]
        return packed, forward(cell, packed, inputs, np.stack([values[p] for p in parts]), valid, reverse, record)

    def loss(**values):
        _, (y, final, _) = run(values, False)
        return np.sum(dy * y) + np.sum(dfinal * final)

    values = weights | state | ({} if tokens else {"x": x})
    expected = complex_step(loss, values)
    packed, (_, _, tape) = run(values, True)
    out, dx, dstate = backward(cell, packed, tape, dy, dfinal, weights)

    for name, got in zip(weights, out, strict=True):
        assert_same_gradient(got, expected[name], name)
    for name, got in zip(parts, dstate, strict=True):
        assert_same_gradient(got, expected[name], name)
    if tokens:
        assert dx is None
    else:
        assert_same_gradient(dx, expected["x"], "x")
        if valid is not None:
            past = np.arange(T) >= valid[:, None]
            assert not dx[past].any()
            assert np.array_equal(dstate[:, valid == 0], dfinal[:, valid == 0])


def unrolled(kind, weights, x, state, valid, reverse):
    """The recurrence one row and one step at a time, from the equations, sharing nothing with the engine."""
    hidden, sigmoid = weights["w_h"].shape[1], textbook.sigmoid
    y = np.zeros((*x.shape[:2], hidden))
    state = [part.copy() for part in state]
    for n, row in enumerate(x):
        steps = range(len(row) if valid is None else valid[n])
        for t in reversed(steps) if reverse else steps:
            h = state[0][n]
            a = np.split(weights["w_x"] @ row[t] + weights["b"], len(weights["b"]) // hidden)
            u = np.split(weights["w_h"], len(weights["b"]) // hidden)
            if kind == "lstm":
                i, f, g, o = (z + w @ h for z, w in zip(a, u, strict=True))
                state[1][n] = sigmoid(f) * state[1][n] + sigmoid(i) * np.tanh(g)
                state[0][n] = sigmoid(o) * np.tanh(state[1][n])
            else:
                r, z = sigmoid(a[0] + u[0] @ h), sigmoid(a[1] + u[1] @ h)
                after = kind == "gru_after"
                candidate = np.tanh(a[2] + (r * (u[2] @ h + weights["b_hn"]) if after else u[2] @ (r * h)))
                state[0][n] = (1 - z) * candidate + z * h
            y[n, t] = state[0][n]
    return y, state


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_the_equations_unrolled(rng, engine, kind, lengths, reverse, record):
    cell, valid = cell_of(engine, kind), as_lengths(lengths)
    weights, parts = draw(rng, kind)
    x = rng.standard_normal((N, T, F))
    state = rng.standard_normal((len(parts), N, H))
    y, final, tape = forward(cell, cell.pack(*weights.values()), x, state, valid, reverse, record)
    expected, expected_final = unrolled(kind, weights, x, state, valid, reverse)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)
    for got, value in zip(final, expected_final, strict=True):
        np.testing.assert_allclose(got, value, rtol=0, atol=1e-14)
    assert (tape is not None) == record


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_equal_one_hot_vectors(rng, engine, kind):
    """With the same packed weights: they are the parameters', whatever is read with them."""
    cell = cell_of(engine, kind)
    weights, parts = draw(rng, kind, features=5)
    packed = cell.pack(*weights.values())
    ids = rng.integers(0, 5, (N, T))
    state = rng.standard_normal((len(parts), N, H))
    dy, dfinal = rng.standard_normal((N, T, H)), rng.standard_normal((len(parts), N, H))
    found = []
    for x in (ids, np.eye(5)[ids]):
        y, final, tape = forward(cell, packed, x, state, np.array([3, 4, 1]), False, True)
        out, dx, dstate = backward(cell, packed, tape, dy, dfinal, weights)
        found.append((y, *final, *out, *dstate))
    _, afresh, _ = backward(cell, cell.pack(*weights.values()), tape, dy, dfinal, weights)
    assert np.array_equal(dx, afresh)
    for gathered, multiplied in zip(*found, strict=True):
        np.testing.assert_allclose(gathered, multiplied, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_dtype_is_kept_and_nothing_given_is_written(rng, engine, kind, dtype):
    cell = cell_of(engine, kind)
    weights, parts = draw(rng, kind)
    weights = {k: v.astype(dtype) for k, v in weights.items()}
    x = rng.standard_normal((N, T, F)).astype(dtype)
    state, dfinal = (rng.standard_normal((len(parts), N, H)).astype(dtype) for _ in range(2))
    dy = rng.standard_normal((N, T, H)).astype(dtype)
    for array in (*weights.values(), x, state, dy, dfinal):
        array.flags.writeable = False
    packed = cell.pack(*weights.values())
    for lengths in LENGTHS:
        _, _, tape = forward(cell, packed, x, state, as_lengths(lengths), True, True)
        _, dx, _ = backward(cell, packed, tape, dy, dfinal, weights)
        assert {a.dtype for a in (dx, *map(tape.read, tape.names))} == {np.dtype(dtype)}


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_or_no_steps(rng, engine, kind, shape):
    cell = cell_of(engine, kind)
    weights, parts = draw(rng, kind)
    packed = cell.pack(*weights.values())
    state, dfinal = (rng.standard_normal((len(parts), shape[0], H)) for _ in range(2))
    for lengths, reverse in itertools.product((None, np.zeros(shape[0], np.intp)), (False, True)):
        _, final, tape = forward(cell, packed, np.zeros((*shape, F)), state, lengths, reverse, True)
        assert np.array_equal(final, state)
        assert {tape.read(name).shape for name in tape.names} == {(*shape, H)}
        out, dx, dstate = backward(cell, packed, tape, np.zeros((*shape, H)), dfinal, weights)
        assert dx.shape == (*shape, F)
        assert np.array_equal(dstate, dfinal)
        assert all((d == 0).all() for d in out)


@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
@pytest.mark.parametrize("kind", KINDS)
def test_stepper_is_the_sequence_step_by_step(rng, engine, kind, tokens):
    """A stack of two, the second narrower than the first."""
    cell, widths = cell_of(engine, kind), (H + 2, H)
    x = rng.integers(0, F, (N, T)) if tokens else rng.standard_normal((N, T, F))
    packed, states, finals, y = [], [], [], x
    for features, hidden in zip((F, widths[0]), widths, strict=True):
        weights, parts = draw(rng, kind, features, hidden)
        packed.append(cell.pack(*weights.values()))
        states.append(rng.standard_normal((len(parts), N, hidden)))
        y, final, _ = forward(cell, packed[-1], y, states[-1])
        finals.append(final)
    buffer = np.empty_like(x[:, 0])
    step = cell.stepper(packed, [tuple(state) for state in states], buffer)
    for t in range(T):
        buffer[...] = x[:, t]
        step()
        np.testing.assert_allclose(states[-1][0], y[:, t], rtol=0, atol=1e-14)
    assert np.array_equal(buffer, x[:, -1])
    for state, final in zip(states, finals, strict=True):
        np.testing.assert_allclose(state, final, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_tape_reads_every_quantity_in_the_place_of_its_input(rng, engine, kind):
    """Gates read off the tape, put into the equations, give the states read off the tape."""
    cell = cell_of(engine, kind)
    weights, parts = draw(rng, kind)
    valid = np.array([2, 4, 0])
    x, state = rng.standard_normal((N, T, F)), rng.standard_normal((len(parts), N, H))
    for reverse in (False, True):
        y, _, tape = forward(cell, cell.pack(*weights.values()), x, state, valid, reverse, True)
        assert np.array_equal(tape.read("h"), y)
        assert tape.names == tuple("ifgoch" if kind == "lstm" else "rznh")
        quantities = {k: tape.read(k) for k in tape.names}
        for n, length in enumerate(valid):
            before = [part[n] for part in state]
            for t in range(length)[:: -1 if reverse else 1]:
                q = {k: v[n, t] for k, v in quantities.items()}
                if kind == "lstm":
                    np.testing.assert_allclose(q["c"], q["f"] * before[1] + q["i"] * q["g"], atol=1e-14)
                    np.testing.assert_allclose(q["h"], q["o"] * np.tanh(q["c"]), atol=1e-14)
                    i = textbook.sigmoid((weights["w_x"] @ x[n, t] + weights["w_h"] @ before[0] + weights["b"])[:H])
                    np.testing.assert_allclose(q["i"], i, atol=1e-14)
                    before = [q["h"], q["c"]]
                else:
                    np.testing.assert_allclose(q["h"], (1 - q["z"]) * q["n"] + q["z"] * before[0], atol=1e-14)
                    before = [q["h"]]
            assert all(not v[n, length:].any() for v in quantities.values())
        for other in ("nothing", "q", *(() if kind == "lstm" else ("c",))):
            with pytest.raises(KeyError, match=other):
                tape.read(other)


def test_lstm_long_enough_for_several_blocks_of_the_way_back(rng, numpy_engine, monkeypatch):
    """The way back works in blocks of steps that fit the cache; blocks of one step must give the same."""
    from compuerta.recurrence import numpy_lstm

    weights, _ = draw(rng, "lstm")
    packed = numpy_lstm.pack(*weights.values())
    x, lengths = rng.standard_normal((N, 9, F)), np.array([9, 5, 7])
    state = rng.standard_normal((2, N, H))
    dy, dstate = rng.standard_normal((N, 9, H)), rng.standard_normal((2, N, H))
    *_, tape = numpy_lstm.forward(packed, x, *state, lengths, False, True)
    found = []
    for size in (1 << 14, 1, 2 * N * H, 4 * N * H):
        monkeypatch.setattr(numpy_lstm, "_CACHED", size)
        out = [np.full(w.shape, np.nan) for w in weights.values()]
        found.append((*numpy_lstm.backward(packed, tape, dy, *dstate, *out), *out))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-14)


# ---- packing and tokens ---------------------------------------------------------------------------------------------


@st.composite
def batches(draw):
    n, t = draw(st.integers(0, 5)), draw(st.integers(0, 6))
    lengths = draw(st.none() | st.lists(st.integers(0, t), min_size=n, max_size=n))
    return n, t, None if lengths is None else np.array(lengths, np.intp), draw(st.booleans())


@given(batches())
def test_packing_visits_every_valid_step_once_in_order(batch):
    n, t, lengths, reverse = batch
    packing = Packing(n, t, lengths, reverse)
    valid = np.full(n, t) if lengths is None else lengths
    place = np.stack(np.meshgrid(np.arange(n), np.arange(t), indexing="ij"), -1)
    packed = packing.pack(place)
    assert packing.rows == valid.sum() == len(packed)
    assert sum(count for _, count in packing.steps) == packing.rows
    rows = packing.sort(np.arange(n))
    assert np.array_equal(packing.unsort(rows), np.arange(n))
    for k, (start, count) in enumerate(packing.steps):
        for where, row in enumerate(rows[:count]):
            expected = valid[row] - 1 - k if reverse else k
            assert packed[start + where].tolist() == [row, expected]
        assert count == (valid > k).sum()

    mask = np.arange(t) < valid[:, None]
    x = 1.0 + np.arange(n * t).reshape(n, t)
    assert np.array_equal(packing.unpack(packing.pack(x)), np.where(mask, x, 0))


@given(batches())
def test_histories(batch):
    """A history holds the state before the first step and after each; before() and last() pick from it."""
    n, t, lengths, reverse = batch
    packing = Packing(n, t, lengths, reverse)
    valid = np.full(n, t) if lengths is None else lengths
    step = np.concatenate([np.full(count, k) for k, (_, count) in enumerate(packing.steps)] or [np.zeros(0, int)])
    row = np.concatenate([packing.sort(np.arange(n))[:count] for _, count in packing.steps] or [np.zeros(0, int)])
    history = np.concatenate((100 * packing.sort(np.arange(n)), 100 * row + step + 1))[:, None]
    assert np.array_equal(packing.before(history)[:, 0], 100 * row + step)
    assert np.array_equal(packing.unsort(packing.last(history))[:, 0], 100 * np.arange(n) + valid)


@given(st.lists(st.integers(0, 6), max_size=20), st.integers(0, 2**32 - 1))
def test_sum_by_token(ids, seed):
    ids = np.array(ids, np.intp)
    rows = np.random.default_rng(seed).standard_normal((len(ids), 3))
    expected = np.zeros((7, 3))
    np.add.at(expected, ids, rows)
    np.testing.assert_allclose(sum_by_token(rows, ids, 7), expected, rtol=0, atol=1e-13)


def test_unknown_engine_is_refused_and_nothing_changes():
    before = recurrence.engine()
    with pytest.raises(SettingError, match=r"expected one of .*numpy.*; got 'abacus'"):
        recurrence.use_engine("abacus")
    assert recurrence.engine() == before
