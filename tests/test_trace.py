"""Traces: the bits of the run they are of, pre-activations, gradients of every number, held units."""

import tracemalloc

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, Dense, Embedding, Last, Sequential, recurrence
from compuerta.activations import sigmoid
from compuerta.errors import SettingError, ShapeError
from compuerta.layers import Trace, recorded_run
from traced_cases import KINDS, drawn, make


@pytest.fixture(params=["native", "numpy"])
def engine(request):
    if request.param not in recurrence.engines():
        request.param = "numpy"  # where there is no compiler the NumPy engine serves
    before = recurrence.engine()
    recurrence.use_engine(request.param)
    yield request.param
    recurrence.use_engine(before)


# ---- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_traced_run_is_the_untraced_bit_for_bit(engine, rng, kind, dtype):
    layer, lengths = make(kind, rng, dtype), np.array([7, 0, 4])
    x = rng.normal(size=(3, 7, 3)).astype(dtype)
    y, _ = layer(x, lengths=lengths)
    traced, trace = layer.trace(x, lengths=lengths)
    assert traced.tobytes() == y.tobytes()
    assert np.concatenate([trace["h", 1, 0], trace["h", 1, 1]], axis=2).tobytes() == y.tobytes()
    assert trace.y.tobytes() == y.tobytes()


def test_a_traced_model_is_the_untraced_bit_for_bit(engine, rng):
    """An embedding that training folds into the layer above must not be folded here: the bits would differ."""
    model = Sequential(Embedding(5, 3, rng=0), GRU(3, 4, 2, rng=1), LSTM(4, 6, rng=2), Dense(6, 5, rng=3))
    ids = rng.integers(0, 5, (2, 40))
    y, _ = model(ids)
    traced, trace = model.trace(ids)
    assert traced.tobytes() == y.tobytes()
    assert trace.layers == 3
    assert trace.names_of(1) == ("r", "z", "n", "h")
    assert trace.names_of(2) == ("i", "f", "g", "o", "c", "h")
    assert trace["f", 2].shape == (2, 40, 6)
    _, inner = model.layers[2].trace(trace["h", 1])
    assert inner["c", 0].tobytes() == trace["c", 2].tobytes()


@pytest.mark.parametrize("together", [1 << 17, 60, 24], ids="together {}".format)
@pytest.mark.parametrize("kind", KINDS)
def test_pre_activations_give_the_gates(engine, rng, monkeypatch, kind, together):
    """However many steps are computed together: all, a few, or each alone."""
    monkeypatch.setattr(recorded_run, "_CACHED", together)
    layer, lengths = make(kind, rng), np.array([7, 0, 4])
    state = [rng.normal(size=part.shape) for part in layer.zero_state(3)]
    given = tuple(state) if len(state) > 1 else state[0]
    _, trace = layer.trace(rng.normal(size=(3, 7, 3)), given, lengths)
    valid = np.arange(7) < lengths[:, None]
    for k in range(2):
        for d in range(2):
            for block in layer.blocks:
                z = trace["z_" + block, k, d]
                straight = kind == "minimal" or "no forget" in kind
                squashed = sigmoid(z) if block not in "gn" else z if straight else np.tanh(z)
                np.testing.assert_allclose(squashed[valid], trace[block, k, d][valid], rtol=0, atol=1e-14)
                assert (z[~valid] == 0).all()
    with pytest.raises(KeyError):
        trace["z_h", 0]


def test_keys_that_are_not_there_are_refused(rng):
    _, trace = LSTM(2, 3, rng=0).trace(np.ones((4, 2)))
    for key in (
        "f",
        ("f",),
        ("f", 1),
        ("f", -1),
        ("q", 0),
        ("f", 0, 1),
        ("f", 0, 0, 0),
        ("z_c", 0),
        (0, 0),
        ("f", "0"),
    ):
        with pytest.raises(KeyError):
            trace[key]
    assert ("z_f", 0) in trace
    assert len(trace) == 6 == len(list(trace))
    assert "T=4" in repr(trace)


def test_pre_activations_are_refused_once_the_weights_have_changed(rng):
    layer = LSTM(2, 3, rng=0)
    _, trace = layer.trace(np.ones((4, 2)))
    layer.parameters["b_l0"] = np.zeros(12)
    assert trace["f", 0].shape == (1, 4, 3)  # what was kept is still there
    with pytest.raises(SettingError, match="parameters of LSTM have changed"):
        trace["z_f", 0]
    with pytest.raises(SettingError, match="parameters of LSTM have changed"):
        trace.gradients()


def test_a_trace_does_not_change_with_its_inputs(engine, rng):
    x = rng.normal(size=(1, 5, 2))
    _, trace = LSTM(2, 3, dtype="float64", rng=0).trace(x)
    before = trace["z_f", 0].copy()
    x[...] = 0
    assert np.array_equal(trace["z_f", 0], before)


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru, reset before"])
def test_pre_activations_of_token_ids(engine, rng, monkeypatch, kind):
    cls, switches = KINDS[kind]
    of_ids = drawn(cls(5, 4, bidirectional=True, dtype="float64", tokens=True, rng=0, **switches), rng)
    of_ones = cls(5, 4, bidirectional=True, dtype="float64", rng=0, **switches)
    of_ones.parameters.writable()[...] = of_ids.parameters.flat
    ids, lengths = rng.integers(0, 5, (3, 7)), np.array([7, 0, 4])
    _, expected = of_ones.trace(np.eye(5)[ids], lengths=lengths)
    monkeypatch.setattr(recorded_run, "_CACHED", 24)
    _, trace = of_ids.trace(ids, lengths=lengths)
    for block in of_ids.blocks:
        for d in range(2):
            found = trace["z_" + block, 0, d]
            np.testing.assert_allclose(found, expected["z_" + block, 0, d], rtol=0, atol=1e-13)


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("kind", ["lstm", "gru", "gru, reset before"])
def test_memory_of_a_trace_and_of_reading_all_of_it(engine, monkeypatch, kind, rows):
    """At most 12 arrays of (N, T, H): those that the way back needs, the inputs, the outputs, and what is read."""
    cls, switches = KINDS[kind]
    layer = cls(80, 80, rng=0, **switches)
    x = np.ones((rows, 4000 // rows, 80), np.float32)
    layer.trace(x[:, :2])  # the weights are packed
    monkeypatch.setattr(recorded_run, "_CACHED", 1 << 13)  # few beside these arrays, as it is beside large ones
    recurrence.memory.Memory._spare.clear()
    tracemalloc.start()
    try:
        _, trace = layer.trace(x)
        for key in (*trace, *(("z_" + block, 0) for block in layer.blocks)):
            trace[key]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 8 < peak / x.nbytes <= 12


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_may_be_written_to(engine, rng, tmp_path, kind, loaded):
    """What is read from a trace is the reader's: neither the trace nor its gradients change with it."""
    layer = make(kind, rng)
    y, trace = layer.trace(rng.normal(size=(6, 3)))
    if loaded:
        trace.save(tmp_path / "a")
        trace = Trace.load(tmp_path / "a")
    keys = [*trace, *(("z_" + block, k, d) for block in layer.blocks for k in range(2) for d in range(2))]
    before = {key: trace[key] for key in keys}
    gradients = {} if loaded else dict(trace.gradients(step=3, output=0))
    y[...] = trace.initial("h", 0)[...] = 7.0
    if not loaded:
        trace.inputs(0)[...] = 7.0
    for key in keys:
        trace[key][...] = 7.0
    for key in keys:
        assert np.array_equal(trace[key], before[key]), key
    for key, value in gradients.items():
        assert np.array_equal(trace.gradients(step=3, output=0)[key], value)
    assert (trace.initial("h", 0) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "steps", "lengths"), [(0, 4, None), (2, 0, None), (3, 4, [0, 0, 0]), (1, 1, None)])
def test_a_trace_of_nothing_or_of_one_step(engine, rng, tmp_path, kind, rows, steps, lengths):
    layer = make(kind, rng)
    x = rng.normal(size=(rows, steps, 3))
    y, trace = layer.trace(x, lengths=lengths)
    assert np.array_equal(y, layer(x, lengths=lengths)[0])
    gradients = trace.gradients(step=-1 if steps else None)
    for key in (*trace, *(("z_" + block, k, d) for block in layer.blocks for k in range(2) for d in range(2))):
        assert trace[key].shape[:2] == gradients[key].shape[:2] == (rows, steps)
        assert trace[key].shape == gradients[key].shape
        assert (gradients[key] == 0).all() or steps == 1
    trace.save(tmp_path / "a")
    assert all(np.array_equal(value, trace[key]) for key, value in Trace.load(tmp_path / "a").items())
    assert trace.select(steps=slice(0, 1), units=[1])[layer.kind.names[0], 1, 1].shape == (rows, min(steps, 1), 1)


# ---- what each number was worth -------------------------------------------------------------------------------------

LSTM_NAMES, GRU_NAMES = ("i", "f", "g", "o", "c", "h"), ("r", "z", "n", "h")


def unrolled(kind, p, x, bump):
    """The equations as they stand in the papers, one row; ``bump[name]`` (T, H) is added to what is computed."""
    T, H = len(x), bump["h"].shape[1]
    h, c = np.zeros(H, complex), np.zeros(H, complex)
    outputs = []

    def sigma(z):
        return 1 / (1 + np.exp(-z))

    for t in range(T):
        z = p["w_x"] @ x[t] + p["b"]
        if kind == "lstm":
            zi, zf, zg, zo = (
                part + bump["z_" + k][t] for k, part in zip("ifgo", np.split(z + p["w_h"] @ h, 4), strict=True)
            )
            i, f = sigma(zi) + bump["i"][t], sigma(zf) + bump["f"][t]
            g, o = np.tanh(zg) + bump["g"][t], sigma(zo) + bump["o"][t]
            c = f * c + i * g + bump["c"][t]
            h = o * np.tanh(c) + bump["h"][t]
        else:
            xr, xz, xn = np.split(z, 3)
            ur, uz, un = np.split(p["w_h"], 3)
            r = sigma(xr + ur @ h + bump["z_r"][t]) + bump["r"][t]
            u = sigma(xz + uz @ h + bump["z_z"][t]) + bump["z"][t]
            inner = r * (un @ h + p["b_hn"]) if kind == "gru" else un @ (r * h)
            n = np.tanh(xn + inner + bump["z_n"][t]) + bump["n"][t]
            h = (1 - u) * n + u * h + bump["h"][t]
        outputs.append(h)
    return np.array(outputs)


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru, reset before"])
def test_gradients_of_every_number_by_complex_step(engine, rng, complex_step, assert_same_gradient, kind):
    layer = make(kind, rng, layers=1, bidirectional=False)
    p = {name.removesuffix("_l0"): value for name, value in layer.parameters.items()}
    x, weight = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    blocks = layer.blocks
    names = (*(LSTM_NAMES if kind == "lstm" else GRU_NAMES), *("z_" + k for k in blocks))
    y, trace = layer.trace(x)
    np.testing.assert_allclose(y, unrolled(kind, p, x, {k: np.zeros((5, 4)) for k in names}).real, atol=1e-12)

    def loss(**bump):
        return (weight * unrolled(kind, p, x, bump)).sum()

    expected = complex_step(loss, {k: np.zeros((5, 4)) for k in names})
    found = trace.gradients(weight)
    for k in names:
        assert_same_gradient(found[k, 0][0], expected[k], k)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_below_a_model_are_those_of_training(engine, rng, kind):
    """Σ dL/dz over rows and steps is dL/db: tied to the gradients that the engines compute in their own way."""
    layer, lengths = make(kind, rng), np.array([6, 0, 4])
    x, dy = rng.normal(size=(3, 6, 3)), rng.normal(size=(3, 6, layer.width_out))
    _, _, record = layer.forward(x, lengths=lengths, record=True)
    expected = layer.backward(record, dy)
    found = layer.trace(x, lengths=lengths)[1].gradients(dy)
    for k in range(2):
        for d, end in enumerate(("", "_reverse")):
            db = np.concatenate([found["z_" + b, k, d].sum(axis=(0, 1)) for b in layer.blocks])
            np.testing.assert_allclose(db, expected[f"b_l{k}{end}"], rtol=1e-9, atol=1e-12)
            assert (found["h", k, d][1] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_holding_a_unit_and_the_gradient_of_what_is_held(engine, rng, kind):
    """dL/d(held value) by differences is Σ over steps of dL/d(that number): it ties the two, in every cell."""
    layer = make(kind, rng)
    x, dy = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, layer.width_out))
    for name in layer.kind.names:
        key = (name, 0, 1, 2)
        value, step = (-0.3 if name in "gnch" else 0.4), 1e-6
        traced, trace = layer.trace(x, clamp={key: value})
        y, _, _ = layer.forward(x, clamp={key: value})
        assert np.array_equal(traced, y)
        assert (trace[name, 0, 1][:, :, 2] == value).all()
        up, down = (float((dy * layer.forward(x, clamp={key: value + s})[0]).sum()) for s in (step, -step))
        expected = (up - down) / (2 * step)
        found = trace.gradients(dy)[name, 0, 1][:, :, 2].sum()
        assert abs(expected) > 1e-6
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru, reset before", "minimal", "normalised, zoneout"])
def test_gradients_of_the_parameters_of_a_held_run(rng, kind):
    layer = make(kind, rng, layers=1, bidirectional=False)
    x, dy = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 4))
    lengths = np.array([3, 5])
    clamp = {(name, 0, k): 0.3 for k, name in enumerate(layer.kind.names[:3])} | {("h", 0, 3): -0.2}

    def loss():
        return float((dy * layer.forward(x, lengths=lengths, clamp=clamp)[0]).sum())

    _, _, record = layer.forward(x, lengths=lengths, clamp=clamp, record=True)
    found = layer.backward(record, dy).flat.copy()
    flat = layer.parameters.flat.copy()
    for at in range(0, flat.size, 5):
        each = []
        for step in (1e-6, -1e-6):
            layer.parameters.writable()[at] = flat[at] + step
            each.append(loss())
        layer.parameters.writable()[at] = flat[at]
        assert found[at] == pytest.approx((each[0] - each[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_holding_is_the_recurrence_edited_by_hand(engine, rng):
    layer = make("lstm", rng, layers=1, bidirectional=False)
    x = rng.normal(size=(6, 3))
    w_x, w_h, b = (layer.parameters[k] for k in ("w_x_l0", "w_h_l0", "b_l0"))
    h = c = np.zeros(4)
    expected = []
    for x_t in x:
        i, f, g, o = np.split(w_x @ x_t + w_h @ h + b, 4)
        f = sigmoid(f)
        f[1] = 0.0  # this
        c = f * c + sigmoid(i) * np.tanh(g)
        c[2] = 1.5  # and this
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    clamp = {("f", 0, 1): 0.0, ("c", 0, 2): 1.5}
    y, _ = layer.trace(x, clamp=clamp)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)
    stream = layer.stream(clamp=clamp)
    np.testing.assert_allclose([stream(x_t) for x_t in x], expected, rtol=0, atol=1e-14)
    free, _ = layer(x)
    assert np.abs(free - y).max() > 1e-3
    assert np.array_equal(layer(x)[0], free)  # and the weights packed for the engine are still its own


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_may_be_held_too(rng, kind):
    layer = make(kind, rng, bidirectional=False)
    x = rng.normal(size=(6, 3))
    clamp = {(layer.kind.names[0], 1, 0): 0.25, ("h", 0, 1): 0.5}
    stream = layer.stream(clamp=clamp)
    np.testing.assert_allclose([stream(x_t) for x_t in x], layer.forward(x, clamp=clamp)[0], rtol=0, atol=1e-13)


def test_both_gates_of_a_minimal_lstm_held_shut_keep_the_state(rng):
    layer = make("minimal", rng, layers=1, bidirectional=False)
    state = rng.normal(size=(1, 1, 4))
    y, _, _ = layer.forward(rng.normal(size=(5, 3)), state, clamp={("i", 0, 2): 0.0, ("f", 0, 2): 0.0})
    assert (y[:, 2] == state[0, 0, 2]).all()


@pytest.mark.parametrize(
    ("clamp", "said"),
    [
        ({"f": 0.0}, "a key of clamp must be"), ({("f", 0): 0.0}, "a key of clamp must be"),
        ({("f", 0, 1.5): 0.0}, "a key of clamp must be"), ({("f", 2, 0): 0.0}, "layer 2, but there are 2"),
        ({("f", 0, 4): 0.0}, "4 units"), ({("f", 0, -1): 0.0}, "4 units"), ({("f", 0, 1, 0): 0.0}, "1 direction"),
        ({("q", 0, 0): 0.0}, "this layer has i, f, g, o, c, h"), ({("f", 0, 0): float("nan")}, "finite"),
        ({("f", 0, 0): 1e39}, "finite"), ({("f", 0, 0): np.ones(5)}, "finite"),
        ([("f", 0, 0)], "a key of clamp must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused(clamp, said):
    with pytest.raises(SettingError, match=said):
        LSTM(3, 4, 2, rng=0).forward(np.ones((5, 3)), clamp=clamp)


def test_a_layer_without_units_has_nothing_to_hold():
    with pytest.raises(SettingError, match="no recurrent layer"):
        Dense(2, 3, rng=0).forward(np.ones((1, 4, 2)), clamp={("f", 0, 0): 0.0})
    with pytest.raises(SettingError, match="no recurrent layer"):
        Sequential(Dense(2, 3, rng=0)).trace(np.ones((1, 4, 2)), clamp={("f", 0, 0): 0.0})


def test_layers_are_counted_through_a_model(rng):
    model = Sequential(GRU(3, 4, 2, rng=1), Sequential(LSTM(4, 5, rng=2), Dense(5, 2, rng=3)))
    x = rng.normal(size=(2, 6, 3))
    y, trace = model.trace(x, clamp={("z", 1, 3): 0.5, ("f", 2, 4): 0.25})
    assert (trace["z", 1][:, :, 3] == 0.5).all()
    assert (trace["f", 2][:, :, 4] == 0.25).all()
    assert np.array_equal(y, model.forward(x, clamp={("z", 1, 3): 0.5, ("f", 2, 4): 0.25})[0])
    assert np.abs(y - model(x)[0]).max() > 1e-4


def test_gradients_stand_at_the_layer_that_they_are_of(rng):
    model = Sequential(GRU(3, 4, 2, dtype="float64", rng=1), LSTM(4, 5, dtype="float64", rng=2))
    x, dy = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 6, 5))
    _, _, record = model.forward(x, record=True)
    expected = model.backward(record, dy)
    found = model.trace(x)[1].gradients(dy)
    for name, layer, blocks in (("0.b_l0", 0, "rzn"), ("0.b_l1", 1, "rzn"), ("1.b_l0", 2, "ifgo")):
        db = np.concatenate([found["z_" + b, layer].sum(axis=(0, 1)) for b in blocks])
        np.testing.assert_allclose(db, expected[name], rtol=1e-9, atol=1e-12)


def test_gradients_of_one_output_through_a_whole_model(rng, complex_step, assert_same_gradient):
    real = {"dtype": "float64", "rng": 0}
    model = Sequential(Embedding(5, 3, **real), LSTM(3, 4, **real), Last(dtype="float64"), Dense(4, 2, **real))
    drawn(model, rng)
    ids = np.array([3, 1, 4, 1, 0])
    p = {name.removesuffix("_l0"): model.layers[1].parameters[name] for name in model.layers[1].parameters}
    x, w = model.layers[0].parameters["w"][ids], model.layers[3].parameters["w"]
    names = (*LSTM_NAMES, "z_i", "z_f", "z_g", "z_o")
    expected = complex_step(
        lambda **bump: (w[1] * unrolled("lstm", p, x, bump)[-1]).sum(), {k: np.zeros((5, 4)) for k in names}
    )
    _, trace = model.trace(ids)
    found = trace.gradients(output=1)
    for k in names:
        assert_same_gradient(found[k, 0][0], expected[k], k)


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_apart_adds_up_to_the_whole(rng, kind):
    layer = make(kind, rng)
    _, trace = layer.trace(rng.normal(size=(6, 3)))
    dy = rng.normal(size=(6, layer.width_out))
    whole = trace.gradients(dy)
    for layer_of in (0, 1):
        apart = trace.gradients_by_step(dy, layer_of)
        sizes = trace.gradients_by_step(dy, layer_of, [4, 1], ("h", "z_i"), norms=True)
        assert {key for key, _, _ in sizes} <= {"h", "z_i"}
        for (name, at, d), size in sizes.items():
            if at == layer_of:
                expected = np.linalg.norm(apart[name, at, d][[4, 1]], axis=2)
                np.testing.assert_allclose(size, expected, rtol=1e-9, atol=1e-15)
        assert sizes["h", layer_of, 1].shape == (2, 6)
        for name in layer.kind.names:
            for d in range(2):
                np.testing.assert_allclose(
                    apart[name, layer_of, d].sum(axis=0), whole[name, layer_of, d][0], rtol=1e-9, atol=1e-12
                )
    alone = trace.gradients(np.where(np.arange(6)[:, None] == 3, dy, 0))
    np.testing.assert_allclose(apart["h", 1, 0][3], alone["h", 1, 0][0], rtol=1e-9, atol=1e-13)
    with pytest.raises(SettingError, match="a single row"):
        layer.trace(rng.normal(size=(2, 6, 3)))[1].gradients_by_step()


def test_the_last_step_is_the_last_of_each_row(rng):
    layer, lengths = make("lstm", rng), np.array([6, 0, 4])
    _, trace = layer.trace(rng.normal(size=(3, 6, 3)), lengths=lengths)
    for step in (-1, -5):
        dy = np.zeros(trace.y.shape)
        for row, length in enumerate(lengths):
            if length + step >= 0:
                dy[row, length + step, 2] = 1
        expected = trace.gradients(dy)
        for key, value in trace.gradients(step=step, output=2).items():
            assert np.array_equal(value, expected[key])
    assert (trace.gradients(step=-1)["c", 0, 0][2] != 0).any()


def test_gradients_refuse_what_does_not_fit(rng):
    _, trace = LSTM(3, 4, rng=0).trace(np.ones((2, 5, 3)))
    with pytest.raises(ShapeError):
        trace.gradients(np.ones((2, 5, 3)))
    with pytest.raises(SettingError, match="step must be"):
        trace.gradients(step=5)
    with pytest.raises(SettingError, match="output must be"):
        trace.gradients(output=4)


# ---- tasks ----------------------------------------------------------------------------------------------------------


def test_a_forecaster_s_network_is_traced_and_may_be_held():
    series = compuerta.data.seasonal_series(60, period=12, rng=0)
    model = compuerta.Forecaster(horizon=6, hidden_size=4, members=1, max_epochs=3, origins=0).fit(series)
    trace = model.trace(member=1)
    view, network = model.members_[1]
    x = view.inputs(model.transform(model.series_.values), np.array([59])).astype(np.float32)
    assert np.array_equal(trace.y, network.core(x)[0])
    assert trace["f", 0].shape == (1, view.window, 4)
    assert trace.labels == [str(k) for k in range(61 - view.window, 61)]
    assert np.array_equal(trace.values_in, model.series_.values[-view.window :])
    clamp = {("o", 0, 2): 0.0}
    held = model.trace(member=1, clamp=clamp)
    assert (held["h", 0][:, :, 2] == 0).all()
    skip = network(x) - network.core(x)[0]
    np.testing.assert_allclose(network.forward(x, clamp=clamp)[0], held.y + skip, rtol=1e-5, atol=1e-6)
    with pytest.raises(SettingError, match="member"):
        model.trace(member=2)


def test_a_language_model_is_traced_with_its_logits_and_may_be_held(rng):
    text = "la luna, la luz, la lana. " * 20
    model = compuerta.LanguageModel(hidden_size=8, embedding_size=4, updates=60, batch_size=2, steps=16).fit(text)
    trace = model.trace("la luz")
    assert trace.y.shape == (1, 6, model.vocabulary_.size)
    ids = model.vocabulary_.encode("la luz")
    assert np.array_equal(trace.y, model.model_(ids[None])[0])
    clamp = {("f", 0, unit): 0.0 for unit in range(8)}
    assert model.score(text, clamp=clamp) > model.score(text) + 0.05
    assert model.score(text, clamp={}) == model.score(text)
    free = model.generate("la ", 40, temperature=0, clamp={("h", 0, 0): float(trace["h", 0][0, 0, 0])})
    assert len(free) == 40
    still = model.generate("la ", 40, temperature=0, clamp={("h", 0, unit): 0.0 for unit in range(8)})
    assert len(set(still)) == 1  # nothing of what was read reaches the output
