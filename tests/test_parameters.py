"""Parameters in one flat buffer: read and written, joined into a model, copied, configured, seeded."""

import copy
import pickle

import numpy as np
import pytest

from compuerta import GRU, LSTM, Dense, Dropout, Embedding, Last, Sequential
from compuerta.errors import SettingError, ShapeError
from compuerta.layers import Activation
from layer_cases import kinds, make, rebuilt, shuffled

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


# ---- arrays that are kept for writing, copies, tapes ----------------------------------------------------------------


def test_weights_written_through_an_array_that_is_kept_are_the_ones_that_compute():
    """By hand, as one writes a loop: the array is fetched once, and every update is noticed."""
    rng = np.random.default_rng(0)
    model, x = Sequential(LSTM(2, 4, rng=1), Dense(4, 1, rng=2)), rng.normal(size=(3, 5, 2)).astype(np.float32)
    flat = model.parameters.writable()
    for _ in range(3):
        y, _, tape = model.forward(x, record=True)
        fresh = Sequential(LSTM(2, 4, rng=5), Dense(4, 1, rng=6))
        fresh.parameters.writable()[...] = model.parameters.flat
        np.testing.assert_array_equal(y, fresh(x)[0])
        flat -= 0.1 * model.backward(tape, y).flat
    before = model(x)[0]
    flat *= 0.5
    del flat  # written to after the last reading, then gone
    assert np.abs(model(x)[0] - before).max() > 0
    version = model.parameters.version
    assert model.parameters.version == version


def test_an_array_that_is_kept_and_not_written_to_changes_no_version():
    model = Sequential(LSTM(2, 4, rng=1), Dense(4, 1, rng=2))
    model.parameters["0.b_l0"] = np.full(16, np.nan)  # which equals itself here
    flat = model.parameters.writable()
    versions = {model.parameters.version for _ in range(4)}
    assert len(versions) == 1
    flat[3] = 7
    assert model.layers[0].parameters.version not in versions


def test_a_shallow_copy_leaves_the_original_as_it_is():
    model, x = Sequential(LSTM(2, 4, rng=1), Dense(4, 1, rng=2)), np.ones((1, 3, 2), np.float32)
    other = copy.copy(model.parameters)
    np.testing.assert_array_equal(other.flat, model.parameters.flat)
    before = model(x)[0]
    other.writable()[...] = 0
    np.testing.assert_array_equal(model(x)[0], before)
    model.parameters.writable()[...] *= 2
    assert np.abs(model(x)[0] - before).max() > 0
    assert not other.flat.any()


@pytest.mark.parametrize("change", [
    lambda model: model.parameters.writable().fill(0.1),
    lambda model: model.layers[0].parameters.__setitem__("b_l0", np.zeros(16)),
])  # fmt: skip
def test_a_tape_of_other_weights_is_refused(change):
    model, x = Sequential(LSTM(2, 4, rng=1), Dense(4, 1, rng=2)), np.ones((1, 3, 2), np.float32)
    y, _, tape = model.forward(x, record=True)
    model.backward(tape, y)
    model.backward(tape, y)  # as often as one likes
    change(model)
    with pytest.raises(SettingError, match="Sequential: the parameters have changed since this tape was recorded"):
        model.backward(tape, y)
