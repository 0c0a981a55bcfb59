"""The native engine: against the NumPy engine, the textbook and itself to the last bit; its activations; its threads;
what it does without memory; and what compuerta does without it.

Every test runs on each variant of the code that this machine can run. The library that is tested may be a build of its
own, named by COMPUERTA_NATIVE_LIBRARY.
"""

import ctypes
import dataclasses
import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compuerta import GRU, LSTM, recurrence, textbook
from compuerta.errors import SettingError
from compuerta.recurrence import binding

WHY_NOT = recurrence.why_not_native()
#: Where there is no library each test says why, by the fixtures below.
VARIANTS = [name for name in recurrence.engines() if name.startswith("native:")] or ["native"]
#: Largest difference allowed from another computation of the same, in parts of the largest number.
CLOSE = {"float32": 2e-5, "float64": 1e-12}
KINDS = {"lstm": LSTM, "gru": GRU}
BLOCKS = {"lstm": 4, "gru": 3}
SENTINEL = -777.25
#: Under a sanitizer memory is limited in its way, and the address space must not be.
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")

kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", CLOSE)


@pytest.fixture(autouse=True)
def as_before():
    """Leave engine and threads as they were."""
    before, threads = recurrence.engine(), recurrence.num_threads()
    yield
    recurrence.use_engine(before)
    recurrence.set_num_threads(threads)


@pytest.fixture
def library():
    """The library, without which the test fails where CI runs and is skipped elsewhere; the reason is said."""
    if WHY_NOT is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no native engine: {WHY_NOT}")
    return binding.load()


@pytest.fixture(params=VARIANTS)
def variant(request, library):
    """The name of one variant, which is the engine during the test."""
    recurrence.use_engine(request.param)
    return request.param


def cell_of(engine, kind):
    return getattr(recurrence.engines()[engine], kind)


def bits(array):
    """The very bits of numbers: −0 is not 0, and a NaN is itself."""
    return np.ascontiguousarray(array).view(np.uint8)


def same_bits(a, b):
    pairs = zip(a, b, strict=True)
    return all(x.shape == y.shape and x.dtype == y.dtype and np.array_equal(bits(x), bits(y)) for x, y in pairs)


def close(got, expected, what, dtype, least=0.01):
    """Equal in parts of the largest number, or of ``least`` where all are tiny: what larger ones left over."""
    assert got.shape == expected.shape, what
    most = float(np.abs(expected).max(initial=least))
    np.testing.assert_allclose(got, expected, rtol=0, atol=CLOSE[dtype] * most, err_msg=what)


# ---- one cell, as its contract has it -------------------------------------------------------------------------------


def random_weights(rng, kind, features, hidden, dtype="float64"):
    """Random parameters, small enough that a long sequence does not blow up a difference of the last bit."""
    blocks = BLOCKS[kind]
    weights = [
        rng.standard_normal((blocks * hidden, features)) / np.sqrt(features),
        0.7 * rng.standard_normal((blocks * hidden, hidden)) / np.sqrt(hidden),
        0.5 * rng.standard_normal(blocks * hidden),
    ]
    if kind == "gru":
        weights.append(0.5 * rng.standard_normal(hidden))
    return [w.astype(dtype) for w in weights]


@dataclasses.dataclass
class Batch:
    """All that goes into a cell, forward and backward, plain; and its packed weights' parameters."""

    kind: str
    weights: list
    x: np.ndarray
    state: np.ndarray
    lengths: np.ndarray | None
    reverse: bool
    dy: np.ndarray
    dfinal: np.ndarray

    @property
    def hidden(self):
        return self.weights[1].shape[1]

    @property
    def dtype(self):
        return self.weights[0].dtype

    def rows(self, chosen):
        """The same for some rows only."""
        state, dfinal = (np.ascontiguousarray(parts[:, chosen]) for parts in (self.state, self.dfinal))
        lengths = None if self.lengths is None else self.lengths[chosen]
        x, dy = self.x[chosen], self.dy[chosen]
        return dataclasses.replace(self, x=x, state=state, lengths=lengths, dy=dy, dfinal=dfinal)


def random_batch(rng, kind, n, t, features, hidden, *, dtype="float64", lengths="ragged", reverse=False, tokens=False):
    parts = 2 if kind == "lstm" else 1
    x = rng.integers(0, features, (n, t)) if tokens else rng.standard_normal((n, t, features)).astype(dtype)
    valid = None if lengths == "none" else np.full(n, t) if lengths == "full" else rng.integers(0, t + 1, n)
    states = rng.standard_normal((2, parts, n, hidden)).astype(dtype)
    dy = rng.standard_normal((n, t, hidden)).astype(dtype)
    weights = random_weights(rng, kind, features, hidden, dtype)
    valid = None if valid is None else valid.astype(np.intp)
    return Batch(kind, weights, x, states[0], valid, reverse, dy, states[1])


def forward(engine, batch, record=False, packed=None):
    """Return ``(y, final, tape)``; what is left unwritten stays NaN."""
    cell = cell_of(engine, batch.kind)
    packed = cell.pack(*batch.weights) if packed is None else packed
    y = np.full((*batch.x.shape[:2], batch.hidden), np.nan, batch.state.dtype)
    final = np.full_like(batch.state, np.nan)
    tape = cell.forward(packed, batch.x, batch.state, batch.lengths, batch.reverse, record, y, final)
    return y, final, tape


def backward(engine, batch, tape, packed=None):
    """Return the gradients of the parameters, of the inputs (unless tokens) and of the initial state, by name."""
    cell = cell_of(engine, batch.kind)
    packed = cell.pack(*batch.weights) if packed is None else packed
    out = [np.full_like(w, np.nan) for w in batch.weights]
    dstate = np.full_like(batch.dfinal, np.nan)
    dx = cell.backward(packed, tape, batch.dy, batch.dfinal, tuple(out), dstate)
    named = dict(zip(("dw_x", "dw_h", "db", "db_hn"), out, strict=False))
    named |= dict(zip(("dh_0", "dc_0"), dstate, strict=False))
    return named | ({} if dx is None else {"dx": dx})


def everything(engine, batch):
    """All results of a recorded run and its way back, by name."""
    y, final, tape = forward(engine, batch, record=True)
    named = {"y": y} | dict(zip(("h_n", "c_n"), final, strict=False))
    named |= {f"tape {key}": tape.read(key) for key in tape.names}
    return named | backward(engine, batch, tape)


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

        named = {"y": canvas.view} | dict(zip(("h_n", "c_n"), ends[0].view, strict=False))
        named |= {f"tape {key}": tape.read(key) for key in tape.names}
        named |= dict(zip(("dw_x", "dw_h", "db", "db_hn"), out, strict=False))
        named |= dict(zip(("dh_0", "dc_0"), ends[1].view, strict=False)) | ({} if dx is None else {"dx": dx})
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
        leaves = [y, *(final if isinstance(final, tuple) else [final]), *grads.parameters.values()]
        leaves += [] if tokens else [grads.x]
        leaves += grads.state if isinstance(grads.state, tuple) else [grads.state]
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


@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("hidden", [1, 2, 7, 8, 9, 16, 21, 33])
def test_a_gru_is_its_equations(rng, variant, hidden, reverse):
    batch = random_batch(rng, "gru", 7, 18, 5, hidden, reverse=reverse)
    y, (h_n,), _ = forward(variant, batch)
    for n, length in enumerate(batch.lengths):
        outputs, last = gru_by_the_equations(batch.weights, batch.x[n], batch.state[0][n], length, reverse)
        np.testing.assert_allclose(y[n], outputs, rtol=0, atol=1e-14)
        np.testing.assert_allclose(h_n[n], last, rtol=0, atol=1e-14)


@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("hidden", [1, 2, 7, 8, 9, 16, 21, 33])
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


@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
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


# ---- the same bits --------------------------------------------------------------------------------------------------

PER_ROW = ("y", "h_n", "c_n", "dx", "dh_0", "dc_0")


@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
@dtypes
@kinds
def test_a_row_does_not_depend_on_the_rows_beside_it(rng, variant, kind, dtype, tokens, reverse):
    """One row, and some rows in another order, give the bits that they give in a batch: recorded or not, and back."""
    batch = random_batch(rng, kind, 19, 23, 6, 37, dtype=dtype, tokens=tokens, reverse=reverse)
    whole = everything(variant, batch)
    names = [name for name in whole if name in PER_ROW or name.startswith("tape")]
    groups = [np.array([k]) for k in range(19)] + [rng.permutation(19)[:size] for size in (2, 3, 5, 6, 7, 11, 13, 19)]
    for chosen in groups:
        some = batch.rows(chosen)
        part = everything(variant, some)
        for name in names:
            assert same_bits([part[name]], [whole[name][chosen]]), f"{name} of rows {chosen}"
        y, final, _ = forward(variant, some)
        assert same_bits([y, *final], [whole[k][chosen] for k in ("y", "h_n", "c_n") if k in whole])


@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
@pytest.mark.parametrize("lengths", ["none", "ragged"])
@dtypes
@kinds
def test_any_number_of_threads_gives_the_same_bits(rng, variant, kind, dtype, lengths, tokens):
    """Work enough that it is cut into pieces: rows among threads, and panels of the weights' gradients."""
    batch = random_batch(rng, kind, 61, 17, 24, 45, dtype=dtype, lengths=lengths, tokens=tokens, reverse=True)
    found = []
    for threads in (1, 2, 3, 4, 7):
        recurrence.set_num_threads(threads)
        y, final, _ = forward(variant, batch)
        found.append([*everything(variant, batch).values(), y, *final])
    assert all(same_bits(found[0], other) for other in found[1:])


@pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])
@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("layers", [1, 3])
@dtypes
@kinds
def test_a_stream_gives_the_bits_of_the_sequence(rng, variant, kind, dtype, layers, n, tokens):
    layer = KINDS[kind](5, 41, layers, tokens=tokens, dtype=dtype, rng=rng)
    x = rng.integers(0, 5, (n, 30)) if tokens else rng.standard_normal((n, 30, 5)).astype(dtype)
    y, final = layer(x)
    stream = layer.stream(n)
    steps = np.stack([stream(x[:, t]) for t in range(30)], axis=1)
    state, final = ((s if isinstance(s, tuple) else (s,)) for s in (stream.state, final))
    assert same_bits([steps, *state], [y, *final])


@dtypes
@kinds
def test_a_traced_run_gives_the_bits_of_the_untraced(rng, variant, kind, dtype):
    layer = KINDS[kind](5, 21, 2, bidirectional=True, dtype=dtype, rng=rng)
    x, lengths = rng.standard_normal((9, 31, 5)), rng.integers(0, 32, 9)
    y, _ = layer(x, lengths=lengths)
    traced, trace = layer.trace(x, lengths=lengths)
    assert same_bits([y], [traced])
    assert same_bits([y], [np.concatenate([trace["h", 1, 0], trace["h", 1, 1]], axis=2)])


@dtypes
@kinds
def test_a_tape_may_be_walked_twice(rng, variant, kind, dtype):
    """The second walk gives the same bits, with other gradients in between, and finds the tape as it was."""
    batch = random_batch(rng, kind, 11, 25, 6, 19, dtype=dtype)
    _, _, tape = forward(variant, batch, record=True)
    before = [tape.read(key) for key in tape.names]
    first = backward(variant, batch, tape)
    backward(variant, dataclasses.replace(batch, dy=batch.dy * 2), tape)
    again = backward(variant, batch, tape)
    assert same_bits([*first.values()], [*again.values()])
    assert same_bits(before, [tape.read(key) for key in tape.names])


@pytest.mark.parametrize("fill", [np.nan, np.inf, 1e38])
@kinds
def test_what_stands_in_the_padding_is_not_read(rng, variant, kind, fill):
    batch = random_batch(rng, kind, 12, 20, 4, 18, dtype="float32")
    past = np.arange(20) >= batch.lengths[:, None]
    spoilt = dataclasses.replace(batch, x=batch.x.copy(), dy=batch.dy.copy())
    spoilt.x[past], spoilt.dy[past] = fill, fill
    clean, got = everything(variant, batch), everything(variant, spoilt)
    assert same_bits([*clean.values()], [*got.values()])
    assert same_bits(forward(variant, batch)[:1], forward(variant, spoilt)[:1])
    assert not any(got[name][past].any() for name in got if name in ("y", "dx") or name.startswith("tape"))


# ---- numbers that are not finite, and large ones --------------------------------------------------------------------


@dtypes
@kinds
def test_nan_stays_in_its_row(rng, variant, kind, dtype):
    batch = random_batch(rng, kind, 9, 15, 4, 21, dtype=dtype, lengths="none")
    spoilt = dataclasses.replace(batch, x=batch.x.copy())
    spoilt.x[4, 6, 2] = np.nan
    clean, got = everything(variant, batch), everything(variant, spoilt)
    others = np.arange(9) != 4
    for name in clean:
        if name in PER_ROW or name.startswith("tape"):
            assert same_bits([clean[name][others]], [got[name][others]]), name
    assert same_bits([clean["y"][4, :6]], [got["y"][4, :6]])
    assert np.isnan(got["y"][4, 6:]).all()
    assert np.isnan(got["h_n"][4]).all()


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("large", [np.inf, -np.inf, 1e38])
@dtypes
@kinds
def test_large_inputs_saturate(rng, variant, kind, dtype, large, n):
    """Two of them in one sum, which would meet as ∞ − ∞; they are taken as the largest number whose sums are safe."""
    most = {"float32": 1e30, "float64": 1e300}[dtype]
    large = 1e305 if dtype == "float64" and np.isfinite(large) else large
    batch = random_batch(rng, kind, n, 15, 4, 21, dtype=dtype, lengths="none")
    batch.x[-1, 6, 1:3] = large
    batch.x[0, 9, 0] = -large if n > 1 else 0  # one sign alone must be seen too
    clipped = dataclasses.replace(batch, x=np.clip(batch.x, -most, most))
    kept = batch.x.copy()
    got, expected = everything(variant, batch), everything(variant, clipped)
    assert same_bits([batch.x], [kept])
    assert all(np.isfinite(value).all() for name, value in got.items() if name != "dw_x")
    assert same_bits([*got.values()], [*expected.values()])
    assert same_bits(forward(variant, batch)[:1], [expected["y"]])


@pytest.mark.parametrize("large", [np.inf, 3e38])
@kinds
def test_large_inputs_saturate_in_a_stream_too(rng, variant, kind, large):
    layer = KINDS[kind](4, 21, 2, rng=rng)
    x = rng.standard_normal((9, 4)).astype(np.float32)
    x[3], x[5, :2] = (large, -large, large, large), (-large, large)
    stream = layer.stream()
    assert same_bits([np.stack([stream(x_t) for x_t in x])], [layer(x)[0]])
    assert np.isfinite(layer(x)[0]).all()


def test_threads_may_all_meet_an_infinity(rng, variant):
    """Each piece of the work finds that its inputs are too large, at the same time."""
    recurrence.set_num_threads(4)
    batch = random_batch(rng, "lstm", 64, 20, 24, 45, dtype="float32", lengths="none")
    batch.x[:, ::3, ::5] = np.inf
    got = forward(variant, batch)[0]
    assert np.isfinite(got).all()
    recurrence.set_num_threads(1)
    assert same_bits([got], forward(variant, batch)[:1])


# ---- sigmoid and tanh -----------------------------------------------------------------------------------------------

SIGMOID, TANH = 0, 1


def activate(library, variant, what, x):
    out = np.array(x)
    library.activate(VARIANTS.index(variant), out.itemsize * 8, what, out.ctypes.data, out.size)
    return out


def exact(what, x, dtype):
    """The values in a wider format, from forms that lose nothing in the tails nor near zero."""
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):
        if what == TANH:
            m = np.expm1(-2 * np.abs(wide))
            return np.copysign(-m / (2 + m), wide)
        e = np.exp(-np.abs(wide))
        return np.where(wide < 0, e, 1) / (1 + e)


def numbers_around(dtype):
    """Special values and their neighbours: zeros, the smallest numbers, where results turn denormal or saturate."""
    special = [0, 1e-3, np.log(2) / 4, np.log(2) / 2, 0.5, np.log(2), 1, 2, 9, 10, 15, 16.6, 18.7, 19.1, 30, 36.7, 44]
    special += [87.3, 88, 88.7, 89, 103, 104, 105.9, 106, 107, 150, 707, 708, 709.8, 710, 744, 745, 746, 750, 751, 1e30]
    limits = np.finfo(dtype)
    special += [limits.tiny, limits.smallest_subnormal, limits.max, limits.eps]
    integers = np.array(special, dtype).view(f"i{np.dtype(dtype).itemsize}")
    integers = np.minimum(integers[:, None] + np.arange(-300, 301), limits.max.view(integers.dtype))
    around = np.maximum(integers, 0).view(dtype).ravel()
    return np.concatenate((around, -around))


@functools.cache
def samples(dtype):
    """Numbers to measure at, and there the exact values of both functions."""
    if dtype == "float32":
        every = np.arange(0, 2**32, 1009, dtype=np.uint64).astype(np.uint32).view(np.float32)
        x = np.concatenate((every[np.isfinite(every)], numbers_around(np.float32)))
    else:
        rng = np.random.default_rng(0)
        normal = rng.standard_normal((8, 20_000)) * np.array([1e-300, 1e-20, 1e-3, 0.3, 1, 10, 300, 1e10])[:, None]
        every = rng.integers(0, 2**64, 100_000, np.uint64).view(np.float64)
        x = np.concatenate((normal.ravel(), every[np.isfinite(every)], numbers_around(np.float64)))
    return x, {what: exact(what, x, np.dtype(dtype)) for what in (SIGMOID, TANH)}


@pytest.mark.parametrize("what", [SIGMOID, TANH], ids=["sigmoid", "tanh"])
@dtypes
def test_activations_are_right_to_four_units_in_the_last_place(library, variant, dtype, what):
    """Down to the last denormal number, which is one unit there."""
    x, values = samples(dtype)
    got = activate(library, variant, what, x)
    value = values[what]
    unit = np.spacing(np.abs(value).astype(dtype))
    error = np.abs(got.astype(value.dtype) - value) / unit
    worst = np.argmax(error)
    assert error[worst] <= 4, f"{x[worst]!r}: {got[worst]!r}, {float(error[worst])} units"
    assert (np.abs(got) <= 1).all()
    assert np.array_equal(np.signbit(got), np.signbit(x) if what == TANH else np.zeros(len(x), bool))
    denormal = (got != 0) & (np.abs(got) < np.finfo(dtype).tiny)
    assert denormal.sum() > 100  # they were among them


@pytest.mark.parametrize("count", [1, 2, 3, 5, 13, 16, 31])
@dtypes
def test_activations_of_what_is_no_number_or_beyond_all(library, variant, dtype, count):
    """In any lane; and nothing past the last number is written."""
    beyond = ((np.nan, np.nan, np.nan), (-np.nan, np.nan, np.nan), (np.inf, 1, 1), (-np.inf, 0, -1))
    for value, sigmoid, tanh in (*beyond, (0.0, 0.5, 0.0), (-0.0, 0.5, -0.0)):
        for what, expected in ((SIGMOID, sigmoid), (TANH, tanh)):
            whole = np.full(count + 40, SENTINEL, dtype)
            whole[8 : 8 + count] = value
            library.activate(VARIANTS.index(variant), whole.itemsize * 8, what, whole[8:].ctypes.data, count)
            np.testing.assert_array_equal(whole[8 : 8 + count], np.full(count, expected, dtype))
            assert np.isnan(expected) or same_bits([whole[8 : 8 + count]], [np.full(count, expected, dtype)])
            whole[8 : 8 + count] = SENTINEL
            assert (whole == SENTINEL).all()


# ---- weights are packed when they must be ---------------------------------------------------------------------------


def test_weights_are_packed_once_until_they_change(rng, library, variant, monkeypatch):
    calls = {"pack": 0, "pack_back": 0}

    def counting(name, function):
        def call(run):
            calls[name] += 1
            return function(run)

        return call

    for name in calls:
        monkeypatch.setattr(library, name, counting(name, getattr(library, name)))
    layer = LSTM(3, 5, 2, bidirectional=True, rng=rng)
    x = rng.standard_normal((4, 6, 3))
    for _ in range(3):
        layer(x)
        *_, tape = layer.forward(x, record=True)
    assert calls == {"pack": 4, "pack_back": 0}  # two layers in two directions; none for a way back that is not taken
    for _ in range(3):
        layer.backward(tape, np.ones((4, 6, 10)))
    assert calls == {"pack": 4, "pack_back": 4}
    before = layer(x)[0]
    layer.parameters["w_h_l1"] = layer.parameters["w_h_l1"] + 0.1
    assert not np.allclose(layer(x)[0], before)
    assert calls == {"pack": 8, "pack_back": 4}


@kinds
def test_the_engine_may_change_between_forward_and_backward(rng, variant, kind):
    layer = KINDS[kind](3, 5, 2, rng=rng)
    x, dy = rng.standard_normal((4, 6, 3)), rng.standard_normal((4, 6, 5))
    *_, tape = layer.forward(x, record=True)
    expected = layer.backward(tape, dy).flat
    recurrence.use_engine("numpy")
    *_, other = layer.forward(x, record=True)
    assert same_bits([layer.backward(tape, dy).flat], [expected])
    by_numpy = layer.backward(other, dy).flat
    recurrence.use_engine(variant)
    assert same_bits([layer.backward(other, dy).flat], [by_numpy])
    close(expected, by_numpy, "gradients", "float32")


def test_a_tape_outlives_what_made_it(rng, variant):
    """The arrays and the layer that a tape was made from may be gone."""
    layer = LSTM(3, 40, dtype="float64", rng=rng)
    x, dy = rng.standard_normal((8, 30, 3)), rng.standard_normal((8, 30, 40))
    *_, tape = layer.forward(x, lengths=np.arange(8) + 20, record=True)
    expected = layer.backward(tape, dy).flat
    *_, tape = layer.forward(x.copy(), lengths=np.arange(8) + 20, record=True)
    layer.parameters["b_l0"] = layer.parameters["b_l0"].copy()  # the packed weights are dropped
    rubbish = [np.full((8, 30, 3), np.nan) for _ in range(50)]
    assert same_bits([layer.backward(tape, dy).flat], [expected])
    del rubbish


# ---- threads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2", None, np.float64(2)])
def test_a_number_of_threads_must_be_a_positive_integer(count):
    before = recurrence.num_threads()
    with pytest.raises(SettingError, match="must be an integer >= 1") as caught:
        recurrence.set_num_threads(count)
    assert repr(count) in str(caught.value)
    assert "debe ser" in caught.value.told("es")
    assert recurrence.num_threads() == before


def test_threads_set_are_the_threads_there_are():
    for count in (3, np.int64(5), 1000):
        recurrence.set_num_threads(count)
        assert recurrence.num_threads() == count
        assert type(recurrence.num_threads()) is int


def clean_environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COMPUERTA", "COV"))}
    named = os.environ.get("COMPUERTA_NATIVE_LIBRARY")
    kept |= {"COMPUERTA_NATIVE_LIBRARY": named} if named else {}
    return {k: v for k, v in (kept | more).items() if v is not None}


def python(code, *arguments, **environment):
    """Run a program, warnings being errors, and return what came of it."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env=clean_environment(**environment), capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def printed(code, *arguments, **environment):
    done = python(code, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_environment_names_the_number_of_threads():
    code = "from compuerta import recurrence; print(recurrence.num_threads())"
    usual = printed(code)
    assert usual >= 1
    assert printed(code, COMPUERTA_NUM_THREADS="37") == 37
    for other in ("0", "-3", "many", "", "1.5"):
        assert printed(code, COMPUERTA_NUM_THREADS=other) == usual


def at_once(count, work):
    """Call ``work(k)`` in ``count`` threads of Python that start together; return the results in order."""
    start = threading.Barrier(count)

    def begin(k):
        start.wait(timeout=60)
        return work(k)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


@pytest.mark.parametrize("own", [1, 3])
@kinds
def test_python_threads_may_share_a_layer(rng, variant, kind, own):
    """Each with its own inputs, all at once, whether or not the engine has threads of its own."""
    recurrence.set_num_threads(own)
    layer = KINDS[kind](24, 45, rng=rng)
    x, dy = rng.standard_normal((6, 32, 12, 24)).astype(np.float32), rng.standard_normal((32, 12, 45))

    def train(k):
        y, _, tape = layer.forward(x[k], record=True)
        return [y, layer(x[k])[0], layer.backward(tape, dy).flat]

    expected = [train(k) for k in range(6)]
    layer.parameters["b_l0"] = layer.parameters["b_l0"].copy()  # so that the weights are packed again, by all of them
    for got in at_once(6, lambda k: [train(k) for _ in range(4)]):
        assert all(any(same_bits(once, one) for one in expected) for once in got)
    assert all(same_bits(got, one) for got, one in zip(at_once(6, train), expected, strict=True))


def test_threads_of_python_may_each_have_a_stream(rng, variant):
    layer = LSTM(5, 37, 2, rng=rng)
    x = rng.standard_normal((6, 200, 5)).astype(np.float32)

    def follow(k):
        stream = layer.stream()
        return np.stack([stream(x_t) for x_t in x[k]])

    for got, row in zip(at_once(6, follow), x, strict=True):
        assert same_bits([got], [layer(row)[0]])


PACKED_AT_ONCE = """
import gc, sys, threading
import numpy as np, compuerta
from compuerta import recurrence
compuerta.use_engine(sys.argv[1])
library, layer = recurrence.binding.load(), compuerta.LSTM(600, 600, rng=0)
x, dy = np.ones((2, 2, 600), np.float32), np.ones((2, 2, 600), np.float32)
*_, tape = layer.forward(x, record=True)
pack, walk = library.pack_back, library.backward
both, first, second = threading.Barrier(2), threading.Event(), threading.Event()

def pack_back(run):
    pack(run)
    both.wait(20)  # so that both have packed before either keeps what it packed
    if threading.current_thread().name == "second":
        first.wait(20)

def backward(run):
    if threading.current_thread().name == "second":
        second.set()
    else:
        first.set()
        second.wait(20)
        gc.collect()
    return walk(run)

found = {}
def work():
    found[threading.current_thread().name] = layer.backward(tape, dy).flat

library.pack_back, library.backward = pack_back, backward
threads = [threading.Thread(target=work, name=name) for name in ("first", "second")]
[t.start() for t in threads]
[t.join() for t in threads]
library.pack_back, library.backward = pack, walk
expected = layer.backward(tape, dy).flat
print(int(len(found) == 2 and all(np.array_equal(g, expected) for g in found.values())))
"""


def test_threads_that_pack_at_once_keep_what_they_packed(variant):
    """Two pack the weights of the way back; only one packing is kept for later, and the other must last its walk."""
    assert printed(PACKED_AT_ONCE, variant) == 1


FORKS = """
import os, sys, threading
import numpy as np, compuerta
compuerta.use_engine(sys.argv[1])
compuerta.set_num_threads(3)
layer = compuerta.LSTM(24, 45, rng=0)
x = np.random.default_rng(0).standard_normal((48, 20, 24)).astype(np.float32)
dy = np.ones((48, 20, 45), np.float32)

def train():
    y, _, tape = layer.forward(x, record=True)
    return y.tobytes() + layer.backward(tape, dy).flat.tobytes()

def forked(work):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

expected, stop = train(), threading.Event()
codes = [forked(lambda: train() == expected)]                              # with sleeping threads
codes += [forked(lambda: train() == expected and not forked(lambda: train() == expected))]  # and a child's child
def busy():
    while not stop.is_set():
        train()
worker = threading.Thread(target=busy)
worker.start()
for _ in range(int(sys.argv[2])):                                          # while another thread is computing
    codes.append(forked(lambda: train() == expected))
stop.set()
worker.join()
codes.append(int(train() != expected))                                     # and the parent goes on
print(codes)
"""


def test_a_forked_child_computes_too(variant):
    """It has none of its parent's threads, and starts its own. (Python warns of forks where threads run: not here.)"""
    busy = 0 if SANITIZED else 8  # a sanitizer's own locks do not survive a fork amid its allocations
    codes = printed("import warnings; warnings.simplefilter('ignore')\n" + FORKS, variant, str(busy))
    assert codes == [0] * len(codes)


# ---- out of memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_what_the_library_cannot_get_is_a_memory_error(rng, library, variant, monkeypatch, what):
    layer = LSTM(3, 5, rng=rng)
    x = rng.standard_normal((4, 6, 3))
    *_, tape = layer.forward(x, record=True)
    expected = layer.backward(tape, np.ones((4, 6, 5))).flat
    with monkeypatch.context() as patch:
        patch.setattr(library, what, lambda run: 1)  # OUT_OF_MEMORY
        with pytest.raises(MemoryError):
            layer(x) if what == "forward" else layer.backward(tape, np.ones((4, 6, 5)))
    assert same_bits([layer.backward(tape, np.ones((4, 6, 5))).flat], [expected])


MEMORY = """
import json, os, resource, sys
import numpy as np, compuerta
from compuerta import recurrence
compuerta.use_engine(sys.argv[1])
compuerta.set_num_threads(int(sys.argv[2]))
library = recurrence.binding.load()
codes = {"forward": [], "backward": []}
def noting(name, function):
    def call(run):
        codes[name].append(function(run))
        return codes[name][-1]
    return call
for name in codes:
    setattr(library, name, noting(name, getattr(library, name)))

n = 40_000
layer = compuerta.GRU(1, 16, rng=0)
x, dy, state = np.ones((n, 1, 1), np.float32), np.ones((n, 1, 16), np.float32), np.ones((1, n, 16), np.float32)
expected = layer(x, state)[0]
*_, tape = layer.forward(x, state, record=True)
grads = layer.backward(tape, dy, state).flat
wide = np.ones((3 * n, 1, 1), np.float32)  # a tape larger than any before
soft, hard = resource.getrlimit(resource.RLIMIT_AS)

def attempt(run, more):
    if os.path.exists("/proc/self/statm"):  # elsewhere there is no such limit
        with open("/proc/self/statm") as f:
            now = int(f.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        return run()
    except MemoryError:
        return None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

wrong = done = 0
for run, right in (
    (lambda: layer.forward(wide, record=True)[0], layer(wide)[0]),
    (lambda: layer(x, state)[0], expected),
    (lambda: layer.backward(tape, dy, state).flat, grads),
):
    enough = 0
    for more in range(0, 160 << 20, 1 << 18):
        got = attempt(run, more)
        enough += got is not None
        wrong += got is not None and not np.array_equal(got, right)
        if enough == 3:
            done += 1
            break
failed = {name: came.count(1) for name, came in codes.items()}
after = bool(np.array_equal(layer(x, state)[0], expected))
print(json.dumps({"failed": failed, "done": done, "wrong": wrong, "after": after}))
"""


REFUSED = """
import json, sys
import numpy as np, compuerta
from compuerta import recurrence
compuerta.use_engine(sys.argv[1])
compuerta.set_num_threads(1)
library, codes = recurrence.binding.load(), []
run = library.forward
library.forward = lambda r: codes.append(run(r)) or codes[-1]
layer = compuerta.GRU(1, 16, rng=0)
try:
    layer(np.ones((120_000, 1, 1), np.float32))
except MemoryError:
    layer(np.ones((2, 1, 1), np.float32))
    print(json.dumps(codes))
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_that_runs_out_anywhere_is_an_error_and_no_crash(variant, threads):
    """Each attempt may have a little more than the one before, so that in turn every request fails."""
    if SANITIZED:
        # The address space is the sanitizer's own: it fails large requests itself, larger than NumPy's are here.
        refuse = ":allocator_may_return_null=1:max_allocation_size_mb=40"
        options = {k: os.environ.get(k, "") + refuse for k in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
        done = python(REFUSED, variant, **options)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [1, 0]
        return
    # Large pieces come from the system each time, and not from what was freed before.
    came = printed(MEMORY, variant, threads, MALLOC_MMAP_THRESHOLD_="65536")
    if sys.platform.startswith("linux"):
        assert came["failed"]["forward"] > 0
        assert came["failed"]["backward"] > 0
    assert came["done"] == 3
    assert came["wrong"] == 0
    assert came["after"]


# ---- without the library --------------------------------------------------------------------------------------------

WITHOUT = """
import json
import numpy as np, compuerta
from compuerta import recurrence
why = recurrence.why_not_native()
said = {"engine": compuerta.engine(), "engines": list(recurrence.engines()), "why": [why.told("en"), why.told("es")]}
for name in ("native", "native:base"):
    try:
        compuerta.use_engine(name)
    except compuerta.errors.SettingError as error:
        said[name] = [str(error), error.told("es")]
said["still"] = compuerta.engine()
said["y"] = compuerta.LSTM(2, 3, rng=0)(np.ones((4, 2)))[0].tolist()
print(json.dumps(said))
"""
COMPUTES = "import numpy, compuerta; print(compuerta.LSTM(2, 3, rng=0)(numpy.ones((4, 2)))[0].size)"


def elf_for(machine):
    """The header of a shared object for another machine, and then nothing that matters."""
    header = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return header + bytes(8192)


def something_else():
    """A shared library that is none of ours: one of those that this Python has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line and "r-x" in line}
    return next(path for path in sorted(paths) if "libc.so" in path or "libc-" in path or "ld-musl" in path)


BROKEN = {
    "text": lambda path: path.write_text("This is no library.\n" * 100),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "another machine": lambda path: path.write_bytes(elf_for(243 if os.uname().machine != "riscv64" else 62)),
    "another library": lambda path: path.symlink_to(something_else()),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_library_that_cannot_be_used_is_done_without(tmp_path, broken):
    """NumPy computes; who asks for the native engine is told in one sentence why it is not there, in both languages."""
    path = tmp_path / "some_library.so"
    BROKEN[broken](path)
    said = printed(WITHOUT, COMPUERTA_NATIVE_LIBRARY=str(path))
    assert said["engine"] == said["still"] == "numpy"
    assert said["engines"] == ["numpy"]
    for name in ("native", "native:base"):
        for sentence, why, start in zip(said[name], said["why"], ("engine: ", "motor: "), strict=True):
            assert sentence.startswith(start)
            assert why in sentence
            assert ("some_library.so" if broken != "another library" else "compuerta_variants") in sentence
            assert "\n" not in sentence
            assert "{" not in sentence
            assert sentence.endswith(".")
    expected = LSTM(2, 3, rng=0)(np.ones((4, 2)))[0]
    np.testing.assert_allclose(said["y"], expected, rtol=0, atol=1e-6)

    asked = python(COMPUTES, COMPUERTA_NATIVE_LIBRARY=str(path), COMPUERTA_ENGINE="native")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.splitlines()[-1] == f"compuerta.errors.SettingError: {said['native'][0]}"
    assert printed(COMPUTES, COMPUERTA_NATIVE_LIBRARY=str(path), COMPUERTA_ENGINE="numpy") == 12


def test_a_library_of_another_version_is_not_used(library, monkeypatch):
    """The one struct that both sides know would mean something else on each."""

    class Longer(ctypes.Structure):
        _fields_ = [*binding.Run._fields_, ("more", ctypes.c_int64)]

    monkeypatch.setattr(binding, "Run", Longer)
    with pytest.raises(OSError, match="another version"):
        binding.Library(str(binding.find()))


def test_a_package_without_the_library_says_that_it_was_not_built(tmp_path):
    package = os.path.dirname(os.path.dirname(os.path.abspath(recurrence.__file__)))
    shutil.copytree(package, tmp_path / "compuerta", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.dylib"))
    # An editable install would point the copy's name back to the sources.
    code = f"""import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in type(finder).__name__]
"""
    said = printed(code + WITHOUT, COMPUERTA_NATIVE_LIBRARY=None)
    assert said["engine"] == "numpy"
    assert "C compiler" in said["native"][0]
    assert "compilador de C" in said["native"][1]
    assert said["why"][0] in said["native"][0]


def test_an_unknown_variant_is_refused_by_name(variant):
    for name in ("native:abacus", "Native", "", None, 3):
        with pytest.raises(SettingError, match=r"expected one of native, .*numpy; got ") as caught:
            recurrence.use_engine(name)
        assert repr(name) in str(caught.value)
        assert recurrence.engine() == variant


def test_the_native_engine_is_what_runs_where_it_is_there(library):
    code = "import compuerta; print(f'\"{compuerta.engine()}\"')"
    assert printed(code) == "native"
    assert printed(code, COMPUERTA_ENGINE="numpy") == "numpy"
    assert printed(code, COMPUERTA_ENGINE=VARIANTS[-1]) == VARIANTS[-1]


# ---- what stands around the recurrence -------------------------------------------------------------------------------

#: Rows, inputs, outputs: none, one, tails of every vector, and more rows than are prepared together.
DENSE = [(0, 3, 2), (1, 1, 1), (5, 3, 4), (97, 64, 64), (200, 70, 85), (300, 33, 130)]


@pytest.mark.parametrize("shape", DENSE, ids=str)
@dtypes
def test_dense_and_its_gradients(rng, variant, dtype, shape):
    rows, inputs, outputs = shape
    x, w = rng.normal(size=(rows, inputs)).astype(dtype), rng.normal(size=(outputs, inputs)).astype(dtype)
    b, dy = rng.normal(size=outputs).astype(dtype), rng.normal(size=(rows, outputs)).astype(dtype)
    engine = recurrence.active()
    wide = [a.astype(np.longdouble) for a in (x, w, b, dy)]
    expected = (wide[0] @ wide[1].T + wide[2], wide[3] @ wide[1], wide[3].T @ wide[0], wide[3].sum(axis=0))
    for threads in (1, 3):
        recurrence.set_num_threads(threads)
        dw, db = np.full((outputs + 2, inputs), SENTINEL, dtype), np.full(outputs + 2, SENTINEL, dtype)
        found = (engine.dense(x, w, b), engine.dense_back(x, w, dy, dw[1:-1], db[1:-1]), dw[1:-1], db[1:-1])
        for got, value in zip(found, expected, strict=True):
            assert got.dtype == dtype
            np.testing.assert_allclose(got, value, rtol=0, atol=CLOSE[dtype] * max(1, np.abs(value).max(initial=0)))
        assert (dw[[0, -1]] == SENTINEL).all()
        assert (db[[0, -1]] == SENTINEL).all()
        if threads == 1:
            first = found
    assert all((bits(a) == bits(b)).all() for a, b in zip(first, found, strict=True))
    np.testing.assert_allclose(engine.dense(x, w, None), expected[0] - wide[2], rtol=0, atol=CLOSE[dtype] * 100)


def test_dense_reads_strides_and_keeps_nan_in_its_row(rng, variant):
    engine = recurrence.active()
    x, w, b = rng.normal(size=(20, 40))[::2, ::-2], rng.normal(size=(20, 33)).T, rng.normal(size=33)
    x[3] = np.nan
    y = engine.dense(x, w, b)
    assert np.isnan(y[3]).all()
    keep = np.arange(10) != 3
    np.testing.assert_allclose(y[keep], x[keep] @ w.T + b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 15, 16, 85, 300])
@dtypes
def test_cross_entropy_over_threads_and_its_gradient(rng, variant, dtype, classes):
    """The loss against its definition in long double, with logits so far apart that a plain exponential overflows."""
    rows = 150
    logits = (rng.normal(size=(rows, classes)) * rng.choice([1, 30, 400], (rows, 1))).astype(dtype)
    targets, keep = rng.integers(0, classes, rows), rng.random(rows) < 0.7
    z = logits.astype(np.longdouble)
    z -= z.max(axis=1, keepdims=True)
    each = np.log(np.exp(z).sum(axis=1)) - z[np.arange(rows), targets]
    softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    softmax[np.arange(rows), targets] -= 1
    for mask in (None, keep):
        counted = np.ones(rows, bool) if mask is None else mask
        found = []
        for threads in (1, 3):
            recurrence.set_num_threads(threads)
            total, gradient = recurrence.active().cross_entropy(logits, targets, mask, 0.25)
            np.testing.assert_allclose(total, float(each[counted].sum()), rtol=CLOSE[dtype])
            expected = np.where(counted[:, None], softmax / 4, 0)
            np.testing.assert_allclose(gradient, expected, rtol=0, atol=CLOSE[dtype])
            assert not gradient[~counted].any()
            found.append((total, gradient))
        assert found[0][0] == found[1][0]
        assert (bits(found[0][1]) == bits(found[1][1])).all()


def test_cross_entropy_of_what_is_no_number(variant):
    """An impossible class costs nothing unless it is the target; NaN and ∞ make the loss NaN, not something else."""
    engine = recurrence.active()
    logits = np.array([[0.0, -np.inf, 1.0]], np.float32)
    total, gradient = engine.cross_entropy(logits, np.array([2]), None, 1.0)
    np.testing.assert_allclose(total, np.log1p(np.exp(-1.0)), rtol=1e-6)
    assert gradient[0, 1] == 0
    assert engine.cross_entropy(logits, np.array([1]), None, 1.0)[0] == np.inf
    for bad in (np.nan, np.inf):
        assert np.isnan(engine.cross_entropy(np.array([[0.0, bad, 1.0]], np.float32), np.array([0]), None, 1.0)[0])


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 40_000])
@dtypes
def test_sum_of_squares(rng, variant, dtype, size):
    array = rng.normal(size=size).astype(dtype)
    expected = float(np.square(array.astype(np.longdouble)).sum())
    np.testing.assert_allclose(recurrence.active().sum_of_squares(array), expected, rtol=1e-12)
    if dtype == "float32" and size:
        np.testing.assert_allclose(recurrence.active().sum_of_squares(array * 1e30), expected * 1e60, rtol=1e-5)


@pytest.mark.parametrize("decay", [(0.0, 0.0), (0.1, 0.0), (0.0, 0.01)], ids=["plain", "through_gradient", "decoupled"])
@dtypes
def test_adam_over_threads(rng, variant, dtype, decay):
    """Against its equations in long double, over more numbers than one thread takes at a time."""
    size = 2 * (1 << 14) + 13
    p, g, m = (rng.normal(size=size).astype(dtype) for _ in range(3))
    v = rng.random(size).astype(dtype) + np.dtype(dtype).type(0.1)
    numbers = {"beta1": 0.9, "beta2": 0.99, "rate": 0.1, "root": 1.2, "epsilon": 1e-3,
               "decay_gradient": decay[0], "decay_parameters": decay[1]}  # fmt: skip
    wide = [a.astype(np.longdouble) for a in (p, g, m, v)]
    wide[0] *= 1 - np.longdouble(decay[1])
    wide[1] = wide[1] + decay[0] * wide[0]
    wide[2], wide[3] = 0.9 * wide[2] + 0.1 * wide[1], 0.99 * wide[3] + 0.01 * wide[1] ** 2
    wide[0] -= 0.1 * wide[2] / (1.2 * np.sqrt(wide[3]) + 1e-3)
    found = []
    for threads in (1, 3):
        recurrence.set_num_threads(threads)
        own = [a.copy() for a in (p, g, m, v)]
        recurrence.active().adam(*own, **numbers)
        for k in (0, 2, 3):
            np.testing.assert_allclose(own[k], wide[k], rtol=0, atol=CLOSE[dtype])
        found.append(own)
    assert all((bits(a) == bits(b)).all() for a, b in zip(*found, strict=True))


@kinds
def test_an_embedding_folded_into_the_layer_above_gives_the_same_gradients(rng, variant, kind):
    """Folded where many tokens are read, not where few are: both must be the layers one after another."""
    from compuerta import Dense, Dropout, Embedding, Sequential

    def model(between):
        layers = [Embedding(7, 5, dtype="float64", rng=1), *between, KINDS[kind](5, 6, 2, dtype="float64", rng=2,
                  bidirectional=True), Dense(12, 3, dtype="float64", rng=3)]  # fmt: skip
        return Sequential(*layers)

    folded, plain = model([]), model([Dropout(0.5, dtype="float64")])  # dropout rests without a Generator
    ids, lengths = rng.integers(0, 7, (4, 9)), np.array([9, 3, 0, 7])
    dy = rng.normal(size=(4, 9, 3))
    found = []
    for net in (folded, plain):
        y, state, tape = net.forward(ids, lengths=lengths, record=True)
        gradients = net.backward(tape, dy)
        found.append((y, *(part for layer in state for part in (layer if isinstance(layer, tuple) else (layer,))),
                      gradients.flat))  # fmt: skip
    assert folded._folds(0, ids)
    assert not plain._folds(0, ids)
    assert not folded._folds(0, ids[:1])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
