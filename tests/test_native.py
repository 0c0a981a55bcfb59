"""The native engine against the NumPy engine and the textbook, whatever comes and however it lies in memory.

What else the native engine is held to stands in the other files test_native_*.py. Every test runs on each variant of
the code that this machine can run. The library that is tested may be a build of its own, named by
COMPUERTA_NATIVE_LIBRARY.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compuerta import recurrence, textbook
from native_engine import (
    CLOSE,
    KINDS,
    SENTINEL,
    VARIANTS,
    backward,
    cell_of,
    close,
    directions,
    everything,
    forward,
    gradients_by_name,
    kinds,
    outputs_by_name,
    parts_of,
    random_batch,
    same_bits,
    tokens_or_features,
)

# ---- against the NumPy engine, whatever comes and however it lies ---------------------------------------------------


def padded(array, front, behind, fill):
    """Return ``array`` within a larger one, as a view."""
    big = np.full([a + b + s for a, b, s in zip(front, behind, array.shape, strict=True)], fill, array.dtype)
    view = big[tuple(slice(a, a + s) for a, s in zip(front, array.shape, strict=True))]
    view[...] = array
    return view


def unwanted(dtype):
    """What must not be read."""
    return np.nan if dtype.kind == "f" else np.array(-1).astype(dtype)


def spread(axis):
    def arrange(array):
        big = np.repeat(array, 2, axis=axis)
        other = [slice(None)] * array.ndim
        other[axis] = slice(1, None, 2)
        big[tuple(other)] = unwanted(array.dtype)
        other[axis] = slice(0, None, 2)
        return big[tuple(other)]

    return arrange


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


ARRANGED = {
    "plain": lambda a: a,
    "Fortran": np.asfortranarray,
    "time first": lambda a: a.swapaxes(0, 1).copy().swapaxes(0, 1),
    "features first": lambda a: np.moveaxis(np.moveaxis(a, -1, 0).copy(), 0, -1),
    "rows reversed": lambda a: a[::-1].copy()[::-1],
    "time reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
    "last axis reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "every second row": spread(0),
    "every second step": spread(1),
    "every second feature": spread(-1),
    "within more": lambda a: padded(a, (1,) * a.ndim, (2,) * a.ndim, unwanted(a.dtype)),
    "read-only": read_only,
    "unaligned": unaligned,
}
#: Views of a canvas with a contiguous last axis and twice the shape and more: where outputs are asked for.
PLACED = {
    "plain": lambda c, n, t, h: c[2 : 2 + n, 3 : 3 + t, 5 : 5 + h],
    "time first": lambda c, n, t, h: c.reshape(c.shape[1], len(c), -1)[3 : 3 + t, 1 : 1 + n, 4 : 4 + h].swapaxes(0, 1),
    "rows reversed": lambda c, n, t, h: c[: n + 1][:0:-1, 1 : 1 + t, 7 : 7 + h],
    "time reversed": lambda c, n, t, h: c[1 : 1 + n, : t + 1][:, :0:-1, 7 : 7 + h],
    "every second": lambda c, n, t, h: c[1 : 1 + 2 * n : 2, 1 : 1 + 2 * t : 2, 3 : 3 + h],
}


#: Each part of a state is contiguous; the parts may stand apart, as those of one layer of a stack do.
STATES = {
    "plain": lambda a: a,
    "of a stack": lambda a: np.repeat(a[:, None], 3, axis=1)[:, 1],
    "parts reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": read_only,
}


class Canvas:
    """Numbers around an output that must stay as they are."""

    def __init__(self, n, t, h, dtype, place):
        shape = (2 * n + 4, 2 * t + 4, h + 8)
        self.whole = np.full(shape, SENTINEL, dtype)
        self.view = PLACED[place](self.whole, n, t, h)
        assert self.view.shape == (n, t, h)

    def untouched(self):
        """Whether all the rest is; the view is blanked."""
        self.view[...] = SENTINEL
        return bool((self.whole == SENTINEL).all())


class Ends:
    """A state among those of other layers, which must stay as they are."""

    def __init__(self, like):
        self.whole = np.full((len(like), 3, *like.shape[1:]), SENTINEL, like.dtype)
        self.view = self.whole[:, 1]

    untouched = Canvas.untouched


@st.composite
def cases(draw):
    """A batch's sizes and settings, the layouts of its arrays, and the seed of its numbers."""
    kind, dtype = draw(st.sampled_from(sorted(KINDS))), draw(st.sampled_from(sorted(CLOSE)))
    n, hidden = draw(st.integers(0, 40)), draw(st.integers(1, 70) | st.sampled_from([4, 8, 16, 32, 64]))
    t = draw(st.integers(0, 120 if n < 12 else 30))  # rows of a chunk are 96: several chunks, and parts of one
    features = draw(st.integers(1, 40) | st.sampled_from([1, 4, 16, 64]))
    names = sorted(ARRANGED)
    return {
        "kind": kind, "dtype": dtype, "n": n, "t": t, "features": features, "hidden": hidden,
        "lengths": draw(st.sampled_from(["none", "full", "ragged"])), "reverse": draw(st.booleans()),
        "tokens": draw(st.booleans()), "threads": draw(st.integers(1, 4)), "seed": draw(st.integers(0, 2**32 - 1)),
        "x": draw(st.sampled_from(names)), "dy": draw(st.sampled_from(names)),
        "state": draw(st.sampled_from(sorted(STATES))), "y": draw(st.sampled_from(sorted(PLACED))),
    }  # fmt: skip


SEVERAL_PIECES = {
    "kind": "lstm", "dtype": "float32", "n": 37, "t": 29, "features": 19, "hidden": 45, "lengths": "ragged",
    "reverse": True, "tokens": False, "threads": 4, "seed": 0, "x": "time first", "dy": "every second step",
    "state": "of a stack", "y": "every second",
}  # fmt: skip


@given(case=cases())
@example(case=SEVERAL_PIECES)
@example(case=SEVERAL_PIECES | {"kind": "gru", "dtype": "float64", "hidden": 64})
@example(case=SEVERAL_PIECES | {"kind": "gru", "n": 1, "t": 200, "x": "time reversed", "y": "time reversed"})
@example(case=SEVERAL_PIECES | {"tokens": True, "features": 5, "x": "rows reversed", "lengths": "none"})
@settings(max_examples=200)
def test_every_variant_is_the_numpy_engine(library, case):
    """Outputs, states, everything on the tape and every gradient; nothing given is written, nor anything beside y."""
    case = dict(case)
    arrangement = {name: (STATES if name == "state" else ARRANGED)[case.pop(name)] for name in ("x", "dy", "state")}
    place = case.pop("y")
    recurrence.set_num_threads(case.pop("threads"))
    rng, dtype = np.random.default_rng(case.pop("seed")), case["dtype"]
    batch = random_batch(rng, **case)
    expected = everything("numpy", batch)
    n, t, hidden = batch.dy.shape

    x, dy = arrangement["x"](batch.x), arrangement["dy"](batch.dy)
    state, dfinal = (arrangement["state"](parts) for parts in (batch.state, batch.dfinal))
    given = dataclasses.replace(batch, x=x, dy=dy, state=state, dfinal=dfinal)
    kept = [array.copy() for array in (x, dy, state, dfinal, *batch.weights)]
    for engine in VARIANTS:
        cell = cell_of(engine, batch.kind)
        packed = cell.pack(*given.weights)
        canvas, ends = Canvas(n, t, hidden, dtype, place), [Ends(batch.state) for _ in range(2)]
        tape = cell.forward(packed, x, state, given.lengths, given.reverse, True, canvas.view, ends[0].view)
        sizes = [w.size for w in batch.weights]
        flat = np.full(sum(sizes) + 8 * len(sizes) + 8, SENTINEL, dtype)  # gradients are parts of one buffer
        starts = np.cumsum([8, *(size + 8 for size in sizes[:-1])])
        out = [flat[a : a + w.size].reshape(w.shape) for a, w in zip(starts, batch.weights, strict=True)]
        dx = cell.backward(packed, tape, dy, dfinal, tuple(out), ends[1].view)

        named = outputs_by_name(canvas.view, ends[0].view, tape) | gradients_by_name(out, ends[1].view, dx)
        assert named.keys() == expected.keys()
        for name, value in expected.items():
            assert named[name].dtype == np.dtype(dtype)
            # The parameters' gradients are sums over all rows and steps of terms of order one, which may cancel.
            least = max(1.0, np.sqrt(n * t) / 3) if name.startswith(("dw", "db")) else 0.01
            close(named[name], value, f"{engine}: {name}", dtype, least)
        assert canvas.untouched()
        assert all(end.untouched() for end in ends)
        for g in out:
            g[...] = SENTINEL
        assert (flat == SENTINEL).all()
    for array, before in zip((x, dy, state, dfinal, *batch.weights), kept, strict=True):
        assert np.array_equal(array, before)


OTHER_DTYPES = (">f8", ">f4", "float16", "int8", "int64", "uint16", "bool")


@settings(max_examples=60)
@given(
    kind=st.sampled_from(sorted(KINDS)), dtype=st.sampled_from(sorted(CLOSE)), layers=st.integers(1, 3),
    both=st.booleans(), tokens=st.booleans(), n=st.integers(0, 9), t=st.integers(0, 20), features=st.integers(1, 20),
    hidden=st.integers(1, 20), lengths=st.booleans(), given_as=st.sampled_from(OTHER_DTYPES),
    arranged=st.sampled_from(sorted(ARRANGED)), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_layers_give_the_same_on_every_engine(
    library, kind, dtype, layers, both, tokens, n, t, features, hidden, lengths, given_as, arranged, seed
):
    """Stacks in both directions, from inputs of any type and layout, states and their gradients too."""
    rng = np.random.default_rng(seed)
    layer = KINDS[kind](features, hidden, layers, bidirectional=both, tokens=tokens, dtype=dtype, rng=0)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = 0.7 * rng.standard_normal(shape) / np.sqrt(shape[-1])
    if tokens:
        x = rng.integers(0, features, (n, t)).astype(">i2" if given_as.startswith(">") else "int8")
    else:
        x = 2 * rng.standard_normal((n, t, features))
        x = (np.abs(x) if given_as.startswith(("u", "b")) else x).astype(given_as)
    x = ARRANGED[arranged](x)
    states, dstates = ([rng.standard_normal((layers * (1 + both), n, hidden)) for _ in layer.parts] for _ in range(2))
    state, dstate = ((s[0] if len(s) == 1 else tuple(s)) for s in (states, dstates))
    valid = rng.integers(0, t + 1, n) if lengths else None
    dy, before = rng.standard_normal((n, t, layer.width_out)), x.copy()
    found = {}
    for engine in ("numpy", *VARIANTS):
        recurrence.use_engine(engine)
        y, final, tape = layer.forward(x, state, valid, record=True)
        grads = layer.backward(tape, dy, dstate)
        leaves = [y, *parts_of(final), *grads.parameters.values(), *parts_of(grads.state)]
        leaves += [] if tokens else [grads.x]
        found[engine] = leaves
        for k, (got, expected) in enumerate(zip(leaves, found["numpy"], strict=True)):
            close(got, expected, f"{engine}: {k}", dtype, max(1.0, np.sqrt(n * t) / 3))
    assert np.array_equal(x, before)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_repeated_row_or_step_need_not_be_copied_out(rng, variant, axis):
    """Strides of zero, as broadcast_to makes them, in inputs and in gradients."""
    batch = random_batch(rng, "lstm", 5, 7, 3, 9, lengths="none")
    x, dy = (np.broadcast_to(a[:1] if axis == 0 else a[:, :1], a.shape) for a in (batch.x, batch.dy))
    repeated = dataclasses.replace(batch, x=x, dy=dy)
    whole = dataclasses.replace(batch, x=x.copy(), dy=dy.copy())
    assert same_bits([*everything(variant, repeated).values()], [*everything(variant, whole).values()])


# ---- against what shares nothing with the engines -------------------------------------------------------------------


widths = pytest.mark.parametrize("hidden", [1, 2, 7, 8, 9, 16, 21, 33])


def gru_by_the_equations(weights, x, h, length, reverse):
    """One row, one step at a time; return the outputs and the last state."""
    w_x, w_h, b, b_hn = weights
    hidden, y = len(h), np.zeros((len(x), len(h)))
    for t in range(length)[:: -1 if reverse else 1]:
        a, u = (w_x @ x[t] + b).reshape(3, hidden), (w_h @ h).reshape(3, hidden)
        r, z = textbook.sigmoid(a[0] + u[0]), textbook.sigmoid(a[1] + u[1])
        h = (1 - z) * np.tanh(a[2] + r * (u[2] + b_hn)) + z * h
        y[t] = h
    return y, h


@directions
@widths
def test_a_gru_is_its_equations(rng, variant, hidden, reverse):
    batch = random_batch(rng, "gru", 7, 18, 5, hidden, reverse=reverse)
    y, (h_n,), _ = forward(variant, batch)
    for n, length in enumerate(batch.lengths):
        outputs, last = gru_by_the_equations(batch.weights, batch.x[n], batch.state[0][n], length, reverse)
        np.testing.assert_allclose(y[n], outputs, rtol=0, atol=1e-14)
        np.testing.assert_allclose(h_n[n], last, rtol=0, atol=1e-14)


@directions
@widths
def test_an_lstm_is_the_textbook_one_forward_and_backward(rng, variant, hidden, reverse):
    """Rows of every height of a tile, tails of every vector; gates too, and in the places of their inputs."""
    batch = random_batch(rng, "lstm", 9, 30, 5, hidden, reverse=reverse)
    cell = textbook.LSTM(5, hidden, rng=0)
    w_x, w_h, b = (w.reshape(4, hidden, -1) for w in batch.weights)
    for k, block in enumerate("ifCo"):
        setattr(cell, f"W{block}", np.hstack((w_h[k], w_x[k])))
        setattr(cell, f"b{block}", b[k])
    got = everything(variant, batch)
    total = dict.fromkeys((f"d{what}{block}" for what in "Wb" for block in "ifCo"), 0)
    for n, length in enumerate(batch.lengths):
        order = np.arange(length)[:: -1 if reverse else 1]
        h0, c0 = (part[n, :, None] for part in batch.state)
        steps = cell.trace(batch.x[n, order], h0, c0)
        for t, step in zip(order, steps, strict=True):
            for mine, theirs in zip("ifgoch", ("i", "f", "C_tilde", "o", "C", "h"), strict=True):
                np.testing.assert_allclose(got[f"tape {mine}"][n, t], step[theirs][:, 0], rtol=0, atol=1e-14)
            np.testing.assert_allclose(got["y"][n, t], step["h"][:, 0], rtol=0, atol=1e-14)
        dh_n, dc_n = (part[n, :, None] for part in batch.dfinal)
        if not length:
            assert np.array_equal(got["dh_0"][n], dh_n[:, 0])
            continue
        for name, what in (("h_n", "h"), ("c_n", "C")):
            np.testing.assert_allclose(got[name][n], steps[-1][what][:, 0], rtol=0, atol=1e-14)
        cell.forward_sequence(batch.x[n, order], h0, c0)
        dH = batch.dy[n, order].copy()
        dH[-1] += dh_n[:, 0]
        grads = cell.backward_sequence(dH, dc_n)
        np.testing.assert_allclose(got["dx"][n, order], grads["dX"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(got["dh_0"][n], grads["dh0"][:, 0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(got["dc_0"][n], grads["dC0"][:, 0], rtol=0, atol=1e-12)
        assert not got["dx"][n, length:].any()
        assert not got["y"][n, length:].any()
        for name in total:
            total[name] = total[name] + grads[name]
    dw = np.concatenate([total[f"dW{block}"] for block in "ifCo"])
    close(got["dw_h"], dw[:, :hidden], "dw_h", "float64")
    close(got["dw_x"], dw[:, hidden:], "dw_x", "float64")
    close(got["db"], np.concatenate([total[f"db{block}"][:, 0] for block in "ifCo"]), "db", "float64")


@directions
@tokens_or_features
@kinds
def test_gradients_by_complex_step(rng, library, complex_step, assert_same_gradient, kind, tokens, reverse):
    """Complex numbers run through the NumPy engine; what they give is the native engine's gradient too."""
    batch = random_batch(rng, kind, 3, 4, 2, 5, tokens=tokens, reverse=reverse)
    batch.lengths[:] = 2, 4, 0
    weights = {f"d{name}": w for name, w in zip(("w_x", "w_h", "b", "b_hn"), batch.weights, strict=False)}
    state = dict(zip(("dh_0", "dc_0"), batch.state, strict=False))

    def loss(dx=batch.x, **values):
        parameters, initial = [values[k] for k in weights], np.stack([values[k] for k in state])
        y, final, _ = forward("numpy", dataclasses.replace(batch, weights=parameters, x=dx, state=initial))
        return np.sum(batch.dy * y) + np.sum(batch.dfinal * final)

    expected = complex_step(loss, weights | state | ({} if tokens else {"dx": batch.x}))
    for engine in VARIANTS:
        got = backward(engine, batch, forward(engine, batch, record=True)[2])
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert_same_gradient(got[name], value, f"{engine}: {name}")
