"""The native engine against itself, to the last bit: rows, threads, streams, padding, and numbers not finite."""

import dataclasses

import numpy as np
import pytest

from compuerta import recurrence
from native_engine import (
    KINDS,
    backward,
    directions,
    dtypes,
    everything,
    forward,
    kinds,
    parts_of,
    random_batch,
    same_bits,
    tokens_or_features,
)

# ---- the same bits --------------------------------------------------------------------------------------------------

PER_ROW = ("y", "h_n", "c_n", "dx", "dh_0", "dc_0")


@directions
@tokens_or_features
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


@tokens_or_features
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


@tokens_or_features
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
    assert same_bits([steps, *parts_of(stream.state)], [y, *parts_of(final)])


@pytest.mark.parametrize(("n", "t"), [(1, 1), (1, 9), (23, 7), (2, 0), (0, 3)])
@dtypes
@kinds
def test_the_quickest_call_gives_the_bits_of_the_general_one(rng, variant, kind, dtype, n, t):
    """A call with an array and nothing else has a way of its own; weights and engine may change between calls."""
    layer = KINDS[kind](5, 21, dtype=dtype, rng=rng)
    x = rng.standard_normal((n, t, 5)).astype(dtype)
    for _ in range(2):
        assert layer.run_plainly(x) is not None
        y, final = layer(x)
        general = layer(x, layer.public_state(layer.zero_state(n)))
        assert same_bits([y, *parts_of(final)], [general[0], *parts_of(general[1])])
        assert final[0].base is None or not np.may_share_memory(final[0], y)
        layer.parameters["b_l0"] = layer.parameters["b_l0"] + 0.5
    for other in (x.astype("float16"), np.asfortranarray(x), x[:, ::-1]):
        assert same_bits([layer(other)[0]], [layer(other, lengths=np.full(n, t))[0]])
    recurrence.use_engine("numpy")
    np.testing.assert_allclose(layer(x)[0], layer(x, lengths=np.full(n, t))[0], rtol=0, atol=1e-6)
    assert layer.run_plainly(x) is None


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
