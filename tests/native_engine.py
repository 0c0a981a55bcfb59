"""What the tests of the native engine share: its variants, comparisons, and one cell with all that goes through it."""

import dataclasses

import numpy as np
import pytest

from compuerta import GRU, LSTM, recurrence

#: Where there is no library each test says why, by the fixture of that name.
VARIANTS = [name for name in recurrence.engines() if name.startswith("native:")] or ["native"]
#: Largest difference allowed from another computation of the same, in parts of the largest number.
CLOSE = {"float32": 2e-5, "float64": 1e-12}
KINDS = {"lstm": LSTM, "gru": GRU}
BLOCKS = {"lstm": 4, "gru": 3}
SENTINEL = -777.25

kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", CLOSE)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
tokens_or_features = pytest.mark.parametrize("tokens", [False, True], ids=["features", "tokens"])


def same_bits(a, b):
    """Whether two series of arrays are the same to the very bits: −0 is not 0, and a NaN is itself."""
    return all(
        x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True)
    )


def close(got, expected, what, dtype, least=0.01):
    """Equal in parts of the largest number, or of ``least`` where all are tiny: what larger ones left over."""
    assert got.shape == expected.shape, what
    most = float(np.abs(expected).max(initial=least))
    np.testing.assert_allclose(got, expected, rtol=0, atol=CLOSE[dtype] * most, err_msg=what)


def parts_of(state):
    """A layer's state as a tuple, which that of a GRU is not."""
    return state if isinstance(state, tuple) else (state,)


# ---- one cell, as its contract has it -------------------------------------------------------------------------------


def cell_of(engine, kind):
    return getattr(recurrence.engines()[engine], kind)


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
    """All that goes into a cell, forward and backward, plain."""

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


def outputs_by_name(y, final, tape):
    named = {"y": y} | dict(zip(("h_n", "c_n"), final, strict=False))
    return named | {f"tape {key}": tape.read(key) for key in tape.names}


def gradients_by_name(of_parameters, dstate, dx):
    """Of the parameters, of the initial state, and of the inputs unless these are tokens."""
    named = dict(zip(("dw_x", "dw_h", "db", "db_hn"), of_parameters, strict=False))
    named |= dict(zip(("dh_0", "dc_0"), dstate, strict=False))
    return named | ({} if dx is None else {"dx": dx})


def forward(engine, batch, record=False):
    """Return ``(y, final, tape)``; what is left unwritten stays NaN."""
    cell = cell_of(engine, batch.kind)
    packed = cell.pack(*batch.weights)
    y = np.full((*batch.x.shape[:2], batch.hidden), np.nan, batch.state.dtype)
    final = np.full_like(batch.state, np.nan)
    tape = cell.forward(packed, batch.x, batch.state, batch.lengths, batch.reverse, record, y, final)
    return y, final, tape


def backward(engine, batch, tape):
    """Return the gradients by name; what is left unwritten stays NaN."""
    cell = cell_of(engine, batch.kind)
    packed = cell.pack(*batch.weights)
    out = [np.full_like(w, np.nan) for w in batch.weights]
    dstate = np.full_like(batch.dfinal, np.nan)
    dx = cell.backward(packed, tape, batch.dy, batch.dfinal, tuple(out), dstate)
    return gradients_by_name(out, dstate, dx)


def everything(engine, batch):
    """All results of a recorded run and its way back, by name."""
    y, final, tape = forward(engine, batch, record=True)
    return outputs_by_name(y, final, tape) | backward(engine, batch, tape)
