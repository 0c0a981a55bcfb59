"""What stands around the native engine's recurrence: its activations, the output layer, losses, Adam, embeddings."""

import functools

import numpy as np
import pytest

from compuerta import Dense, Dropout, Embedding, Sequential, Trainer, recurrence
from compuerta.training import Shuffled, cross_entropy
from native_engine import CLOSE, KINDS, SENTINEL, VARIANTS, close, dtypes, kinds, parts_of, same_bits

# ---- sigmoid and tanh -----------------------------------------------------------------------------------------------

SIGMOID, TANH = 0, 1


def activate(library, variant, what, x):
    """Compute in place."""
    library.activate(VARIANTS.index(variant), x.itemsize * 8, what, x.ctypes.data, x.size)


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
    got, value = x.copy(), values[what]
    activate(library, variant, what, got)
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
            part, right = whole[8 : 8 + count], np.full(count, expected, dtype)
            part[:] = value
            activate(library, variant, what, part)
            np.testing.assert_array_equal(part, right)
            assert np.isnan(expected) or same_bits([part], [right])
            part[:] = SENTINEL
            assert (whole == SENTINEL).all()


# ---- what stands around the recurrence -------------------------------------------------------------------------------

#: Rows, inputs, outputs: none, one, tails of every vector, and more rows than are prepared together.
DENSE = [(0, 3, 2), (1, 1, 1), (5, 3, 4), (97, 64, 64), (200, 70, 85), (300, 33, 130), (2100, 7, 100)]


@pytest.mark.parametrize("shape", DENSE, ids=str)
@dtypes
def test_dense_and_its_gradients_over_threads(rng, variant, dtype, shape):
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
        for name, got, value in zip(("y", "dx", "dw", "db"), found, expected, strict=True):
            assert got.dtype == dtype
            close(got, value, name, dtype, least=1.0)
        assert (dw[[0, -1]] == SENTINEL).all()
        assert (db[[0, -1]] == SENTINEL).all()
        if threads == 1:
            first = found
    assert same_bits(first, found)
    np.testing.assert_allclose(engine.dense(x, w, None), expected[0] - wide[2], rtol=0, atol=CLOSE[dtype] * 100)


@pytest.mark.parametrize("shape", DENSE, ids=str)
@pytest.mark.parametrize("masked", [False, True])
@dtypes
def test_dense_and_cross_entropy_at_once_over_threads(rng, variant, dtype, shape, masked):
    """The layer, the loss and the way back, against their definitions in long double."""
    rows, inputs, outputs = shape
    x, w = rng.normal(size=(rows, inputs)).astype(dtype), rng.normal(size=(outputs, inputs)).astype(dtype)
    b, targets = rng.normal(size=outputs).astype(dtype), rng.integers(0, outputs, rows)
    keep = rng.random(rows) < 0.6 if masked else None
    wide = [a.astype(np.longdouble) for a in (x, w, b)]
    z = wide[0] @ wide[1].T + wide[2]
    softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    counted = np.ones(rows, bool) if keep is None else keep
    loss = -np.log(softmax[np.arange(rows), targets])[counted].sum()
    softmax[np.arange(rows), targets] -= 1
    dz = np.where(counted[:, None], softmax, 0) / 4
    expected = (dz @ wide[1], dz.T @ wide[0], dz.sum(axis=0))
    found = []
    for threads in (1, 3):
        recurrence.set_num_threads(threads)
        dw, db = np.full((outputs + 2, inputs), SENTINEL, dtype), np.full(outputs + 2, SENTINEL, dtype)
        total, dx = recurrence.active().dense_cross_entropy(x, w, b, targets, keep, 0.25, dw[1:-1], db[1:-1])
        np.testing.assert_allclose(total, float(loss), rtol=CLOSE[dtype])
        for name, got, value in zip(("dx", "dw", "db"), (dx, dw[1:-1], db[1:-1]), expected, strict=True):
            close(got, value, name, dtype, least=1.0)
        assert (dw[[0, -1]] == SENTINEL).all()
        assert (db[[0, -1]] == SENTINEL).all()
        found.append((np.float64(total), dx, dw, db))
    assert same_bits(*found)


def test_a_row_that_does_not_count_may_hold_anything(rng, variant):
    """Its own gradient is zero and the loss is that of the others, even where its logits are no numbers."""
    x, w, b = rng.normal(size=(9, 6)), rng.normal(size=(21, 6)), rng.normal(size=21)
    targets, keep, out = rng.integers(0, 21, 9), np.arange(9) != 4, (np.empty((21, 6)), np.empty(21))
    expected, dx = recurrence.active().dense_cross_entropy(x, w, b, targets, keep, 1.0, *out)
    x[4] = np.nan
    total, got = recurrence.active().dense_cross_entropy(x, w, b, targets, keep, 1.0, *out)
    assert total == expected
    assert not got[4].any()
    assert same_bits([got[keep]], [dx[keep]])


@kinds
def test_the_trainer_takes_the_same_step_at_once_and_one_after_another(rng, variant, kind):
    """A loss that the trainer does not know is computed after the last layer, cross_entropy together with it."""

    def model():
        layers = (KINDS[kind](4, 6, dtype="float64", rng=2), Dense(6, 5, dtype="float64", rng=3))
        return Sequential(*layers)

    x, y = rng.normal(size=(7, 9, 4)), rng.integers(0, 5, (7, 9))
    found = []
    for loss in (cross_entropy, lambda *given: cross_entropy(*given)):
        trainer = Trainer(model(), loss, learning_rate=0.01, clip=0.1, rng=0)
        trainer.fit(Shuffled(x, y), updates=3)
        found.append((np.array(trainer.losses), trainer.model.parameters.flat))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


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
        assert same_bits([found[0][1]], [found[1][1]])


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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [1, 15, 17, 40_000])
@dtypes
def test_one_number_that_is_not_finite_is_found_over_threads(rng, variant, dtype, size, bad):
    """Wherever it stands; and the largest number there is passes."""
    array = rng.normal(size=size).astype(dtype)
    array[rng.integers(0, size)] = np.finfo(dtype).max
    for threads in (1, 3):
        recurrence.set_num_threads(threads)
        assert recurrence.active().all_finite(array)
        for at in {0, size // 2, size - 1}:
            spoilt = array.copy()
            spoilt[at] = bad
            assert not recurrence.active().all_finite(spoilt)


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
    assert same_bits(*found)


@kinds
def test_an_embedding_folded_into_the_layer_above_gives_the_same_gradients(rng, variant, kind):
    """Folded where many tokens are read, not where few are: both must be the layers one after another."""

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
        found.append((y, *(part for layer in state for part in parts_of(layer)), gradients.flat))
    assert folded._folds(0, ids)
    assert not plain._folds(0, ids)
    assert not folded._folds(0, ids[:1])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
