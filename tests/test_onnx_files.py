"""ONNX files: what we write runs in ONNX Runtime as it runs here and comes back to the bit; what PyTorch, Keras and
hand made graphs hold is read as their frameworks compute it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import compuerta
from compuerta import GRU, LSTM, Dense, Dropout, Embedding, Forecaster, LanguageModel, Last, Sequential, files
from compuerta.activations import softmax
from compuerta.data import seasonal_series
from compuerta.errors import FileFormatError, SettingError
from compuerta.interop import onnx as adapter
from compuerta.interop.model_file import contents
from compuerta.layers import Activation

GOLDEN = Path(__file__).parent / "golden" / "onnx_files"
SIZES = ((1, 1), (3, 7), (5, 2))
V = 7
HARD = {"peepholes": True, "coupled": True, "clip": 0.7, "gate_activation": ["HardSigmoid", 0.3, 0.4]}


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs with defaults, which the states are
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def noisy(layer, seed=5):
    """Every parameter drawn, those that begin at zero too."""
    layer.parameters.writable()[:] = 0.5 * np.random.default_rng(seed).standard_normal(layer.parameters.size)
    return layer


MODELS = {
    "lstm": lambda: LSTM(3, 4, rng=0),
    "lstm_stack_both": lambda: LSTM(3, 4, 3, bidirectional=True, rng=0),
    "lstm_tokens": lambda: LSTM(V, 4, tokens=True, rng=0),
    "lstm_switches": lambda: LSTM(3, 4, 2, **HARD, input_activation="Identity", output_activation="Softsign", rng=0),
    "lstm_both_switches": lambda: LSTM(3, 4, bidirectional=True, **HARD, rng=0),
    "lstm_learnt_state": lambda: LSTM(3, 4, 2, learn_state=True, recurrent_dropout=0.1, weight_drop=0.1, rng=0),
    "gru": lambda: GRU(3, 4, 2, rng=0),
    "gru_functions": lambda: GRU(3, 4, gate_activation=["HardSigmoid", 0.3, 0.4], input_activation="Elu",
                                 bidirectional=True, rng=0),
    "gru_before": lambda: GRU(3, 4, 2, reset_after=False, bidirectional=True, rng=0),
    "classifier": lambda: Sequential(Embedding(V, 3, rng=0), GRU(3, 4, rng=0), Last(), Dense(4, 5, rng=0),
                                     Activation("softmax")),
    "both_ends": lambda: Sequential(LSTM(3, 4, bidirectional=True, rng=0), Last(both_ends=True), Dense(8, 2, rng=0)),
    "mixed": lambda: Sequential(Sequential(Dense(3, 3, rng=0), Activation("relu"), Dropout(0.1)), GRU(3, 4, rng=0),
                                LSTM(4, 5, 2, rng=0), Dense(5, 2, rng=0), Activation("log_softmax")),
}  # fmt: skip


def inputs(model, rng, n, t):
    return rng.integers(0, V, (n, t)) if model.reads_tokens else rng.standard_normal((n, t, 3)).astype(np.float32)


def leaves(state):
    if isinstance(state, np.ndarray):
        return [state]
    return [array for part in state or () for array in leaves(part)]


def by_operator(model, state):
    """Our state as the graph has it: for each operator from the bottom, h and then c, (D, N, H)."""
    if isinstance(model, Sequential):
        inner = [layer for layer in model.layers if layer.recurrent]
        return [a for layer, part in zip(inner, state, strict=True) for a in by_operator(layer, part)]
    parts, d = state if isinstance(state, tuple) else (state,), model.directions
    return [part[k * d : (k + 1) * d] for k in range(model.num_layers) for part in parts]


def state_names(model):
    """``h0_l0``, ``c0_l0`` ...: those of the inputs, in the order of :func:`by_operator`."""
    if isinstance(model, Sequential):
        kinds = [kind for layer in model.layers for kind in state_names(layer)]
    else:
        kinds = [model.parts] * getattr(model, "num_layers", 0) if model.recurrent else []
    return kinds


def names_of(model, middle):
    return [f"{part}{middle}_l{k}" for k, parts in enumerate(state_names(model)) for part in parts]


# ---- what we write --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_written_model_runs_in_onnx_runtime_at_any_size(name, tmp_path, rng):
    model = noisy(MODELS[name]())
    path = tmp_path / "model.onnx"
    adapter.write(model, str(path))
    onnx.checker.check_model(str(path), full_check=True)
    runs = session(path)
    entry = "tokens" if model.reads_tokens else "x"
    assert [value.name for value in runs.get_inputs()] == [entry]  # all others have defaults
    assert [value.name for value in runs.get_outputs()] == ["y", *names_of(model, "n")]
    for n, t in SIZES:
        x = inputs(model, rng, n, t)
        _, state, _ = model.forward(x)
        after = dict(zip(names_of(model, "0"), by_operator(model, state), strict=True))
        for given in ({}, after):
            expected, last, _ = model.forward(x, state if given else None)
            got, *finals = runs.run(None, {entry: x} | given)
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
            for part, value in zip(finals, by_operator(model, last), strict=True):
                np.testing.assert_allclose(part, value, rtol=0, atol=2e-6)


def same_bits(one, other):
    (tensors, content), (others, content_back) = contents(one), contents(other)
    assert tensors.keys() == others.keys()
    for key, tensor in tensors.items():
        assert tensor.dtype == others[key].dtype
        assert tensor.tobytes() == others[key].tobytes(), key
    assert files.as_json(content) == files.as_json(content_back)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trips_to_the_bit(name, dtype, tmp_path):
    model = MODELS[name]()
    if dtype == "float64":
        kind, config = model.name, model.config()
        model = compuerta.tasks.base.build(kind, _with_dtype(config, dtype), "")
    noisy(model)
    model.parameters.writable()[::3] = -0.0
    path = str(tmp_path / "model.onnx")
    notes = []
    adapter.write(model, path, note=notes.append)
    assert len(notes) == (dtype == "float64")  # ONNX Runtime has no LSTM for it
    back = adapter.read(path)
    assert type(back) is type(model)
    same_bits(model, back)
    assert (adapter.runner(path, ours=True) is None) == (dtype == "float64")


def _with_dtype(config, dtype):
    if "layers" in config:
        return {"layers": [[kind, _with_dtype(inner, dtype)] for kind, inner in config["layers"]]}
    return {**config, "dtype": dtype}


@pytest.mark.parametrize("name", ["lstm_stack_both", "lstm_switches", "gru_before", "classifier", "mixed"])
def test_without_our_metadata_the_graph_is_read_as_any_other(name, tmp_path, rng):
    model = noisy(MODELS[name]())
    path = str(tmp_path / "model.onnx")
    adapter.write(model, path)
    stripped(path)
    back = adapter.read(path)
    x = inputs(model, rng, 3, 5)
    np.testing.assert_array_equal(back.forward(x)[0], model.forward(x)[0])
    compare(back, adapter.runner(path, ours=False), rng)


def stripped(path):
    proto = onnx.load(path)
    del proto.metadata_props[:]
    proto.producer_name = "another"
    onnx.save(proto, path)


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_stack_both", "gru_before", "mixed", "classifier"])
def test_lengths(name, tmp_path, rng):
    """Length 0 keeps its state, whatever ONNX Runtime thinks of that."""
    model = noisy(MODELS[name]())
    path = tmp_path / "model.onnx"
    adapter.write(model, str(path), lengths=True)
    runs = session(path)
    entry = "tokens" if model.reads_tokens else "x"
    x, lengths = inputs(model, rng, 4, 6), np.array([6, 0, 3, 1], np.int32)
    _, state, _ = model.forward(x)
    given = dict(zip(names_of(model, "0"), by_operator(model, state), strict=True))
    y, last, _ = model.forward(x, state, lengths)
    got, *finals = runs.run(None, {entry: x, "lengths": lengths} | given)
    np.testing.assert_allclose(got, y, rtol=0, atol=2e-6)
    for part, value in zip(finals, by_operator(model, last), strict=True):
        np.testing.assert_allclose(part, value, rtol=0, atol=2e-6)
    same_bits(model, adapter.read(str(path)))


def test_a_stream_through_onnx_runtime(tmp_path, rng):
    model = noisy(LSTM(3, 4, 2, rng=0))
    path = tmp_path / "model.onnx"
    adapter.write(model, str(path))
    runs, stream = session(path), model.stream(batch_size=2)
    state = {}
    for x in rng.standard_normal((9, 2, 3)).astype(np.float32):
        y, *final = runs.run(None, {"x": x[:, None]} | state)
        state = dict(zip(names_of(model, "0"), final, strict=True))
        np.testing.assert_allclose(y[:, 0], stream(x), rtol=0, atol=2e-6)
    np.testing.assert_allclose(state["c0_l1"][0], stream.state[1][1], rtol=0, atol=2e-6)


@pytest.fixture(scope="module")
def language_model():
    text = "la luna, la luz, la lana. " * 40
    return LanguageModel(hidden_size=12, embedding_size=6, num_layers=2, dropout=0.1, batch_size=4, steps=16,
                         updates=30, learning_rate=0.02).fit(text)  # fmt: skip


def test_a_language_model_comes_back_as_itself_and_gives_probabilities(language_model, tmp_path):
    path = str(tmp_path / "model.onnx")
    adapter.write(language_model, path, probabilities=True)
    back = adapter.read(path)
    same_bits(language_model, back)
    assert back.generate("la ", 30, seed=1) == language_model.generate("la ", 30, seed=1)
    ids = language_model.vocabulary_.encode("la luna")[None].astype(np.int64)
    runs = session(path)
    y, probabilities = runs.run(["y", "probs"], {"tokens": ids})
    expected, _ = language_model.model_(ids)
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(probabilities, softmax(expected), rtol=0, atol=2e-6)
    compare(language_model.model_, adapter.runner(path, ours=True), np.random.default_rng(0))


@pytest.mark.parametrize("settings", [{}, {"log": False}, {"period": 1}], ids=str)
def test_a_whole_forecaster(settings, tmp_path):
    """From the values of a series to its forecast in its own units; other series and other places in the season too."""
    task = Forecaster(horizon=5, hidden_size=6, members=2, max_epochs=2, origins=0, **settings)
    task.fit(seasonal_series(96, period=12, rng=0))
    path = tmp_path / "model.onnx"
    adapter.write(task, str(path))
    same_bits(task, adapter.read(str(path)))
    runs = session(path)
    values = task.series_.values
    expected = task.predict(5).mean
    for z in (values, values[-60:]):
        np.testing.assert_allclose(runs.run(None, {"series": z[None]})[0][0], expected, rtol=2e-6)
    other = values[:80] * 1.1
    expected = task.predict(5, series=other).mean
    feed = {"series": np.stack([other, other])} | ({"step": np.array([79, 91])} if task.period_ > 1 else {})
    got = runs.run(None, feed)[0]
    np.testing.assert_allclose(got[0], expected, rtol=2e-6)
    np.testing.assert_allclose(got[1], expected, rtol=2e-6)  # a season later all is as it was
    with pytest.raises(SettingError, match="lengths"):
        adapter.write(task, str(path), lengths=True)


REFUSED = [
    ({"projection_size": 2}, "projection_size"),
    ({"cell_clip": 1.0}, "cell_clip"),
    ({"layer_norm": "gates"}, "layer_norm"),
    ({"full_gate_recurrence": True}, "full_gate_recurrence"),
    ({"input_gate": False}, "input_gate"),
    ({"zoneout": 0.1}, "zoneout"),
]


@pytest.mark.parametrize(("switch", "words"), REFUSED)
def test_what_onnx_cannot_hold_is_named_and_nothing_is_written(switch, words, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises(SettingError, match=f"ONNX cannot express LSTM.{words}"):
        adapter.write(LSTM(3, 4, **switch, rng=0), str(path))
    assert path.read_bytes() == b"before"


# ---- what others write ----------------------------------------------------------------------------------------------


def compare(model, runner, rng):
    """The graph in ONNX Runtime and the layers read from it, at several sizes, from nothing and from a state."""
    assert runner is not None
    for n, t in SIZES:
        x = inputs(model, rng, n, t)
        if not model.reads_tokens:
            x = rng.standard_normal((n, t, model.width_in)).astype(np.float32)
        got, state = runner.run(x, None)
        expected, last, _ = model.forward(x)
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
        if runner.takes_state and leaves(last):
            for mine, theirs in zip(leaves(last), leaves(state), strict=True):
                np.testing.assert_allclose(theirs, mine, rtol=0, atol=2e-6)
            got, _ = runner.run(x, last)
            np.testing.assert_allclose(got, model.forward(x, last)[0], rtol=0, atol=2e-6)


FILES = sorted(path.stem for path in GOLDEN.glob("*.onnx") if path.stem != "keras_gru")


def test_the_golden_files_are_there():
    assert len(FILES) == 11
    assert any("dynamo" in name for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_files_of_pytorch_and_keras(name, rng):
    """As their framework computed, and as ONNX Runtime does at other sizes."""
    model = adapter.read(str(GOLDEN / f"{name}.onnx"))
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = dict(file)
    x = golden["x"].swapaxes(0, 1) if "time_first" in name else golden["x"]
    state = ((golden["h0"], golden["c0"]),) if "h0" in golden else None
    y, last, _ = model.forward(x, state)
    y = y.swapaxes(0, 1) if "time_first" in name else y[:, 0] if golden["y"].ndim == 2 else y
    np.testing.assert_allclose(y, golden["y"], rtol=0, atol=2e-6)
    if state:
        for part, key in zip(last[0], ("hn", "cn"), strict=True):
            np.testing.assert_allclose(part, golden[key], rtol=0, atol=2e-6)
    compare(model, adapter.runner(str(GOLDEN / f"{name}.onnx"), ours=False), rng)


def test_layers_one_above_the_other_are_one_stack():
    model = adapter.read(str(GOLDEN / "torch_lstm_stack_both.onnx"))
    assert [layer.name for layer in model.layers] == ["LSTM", "Dense"]
    assert (model.layers[0].num_layers, model.layers[0].bidirectional) == (2, True)
    model = adapter.read(str(GOLDEN / "torch_gru_hidden_both.onnx"))
    assert [layer.name for layer in model.layers] == ["Embedding", "GRU", "Last", "Dense", "Activation"]
    assert model.layers[2].both_ends


def test_a_time_first_file_is_noted():
    notes = []
    adapter.read(str(GOLDEN / "torch_lstm_time_first.onnx"), note=notes.append)
    assert ["time first" in str(note) for note in notes] == [True]


def test_a_loop_is_refused_by_its_name():
    with pytest.raises(FileFormatError, match=r"node Cast .*while"):
        adapter.read(str(GOLDEN / "keras_gru.onnx"))


def test_an_operator_with_peepholes_and_all_else(tmp_path, rng):
    """An LSTM made by hand, as other exporters make them: every optional input and attribute that our layer holds."""
    h, f = 4, 3
    weights = {"W": (2, 4 * h, f), "R": (2, 4 * h, h), "B": (2, 8 * h), "P": (2, 3 * h)}
    arrays = {k: (0.5 * rng.standard_normal(shape)).astype(np.float32) for k, shape in weights.items()}
    node = helper.make_node(
        "LSTM", ["X", "W", "R", "B", "lens", "h0", "c0", "P"], ["Y", "hn", "cn"], hidden_size=h,
        direction="bidirectional", clip=0.8, activations=["HardSigmoid", "Softsign", "Elu"] * 2,
        activation_alpha=[0.3, 0.5] * 2, activation_beta=[0.4] * 2,
    )  # fmt: skip
    entries = {"X": ("T", "N", f), "lens": ("N",), "h0": (2, "N", h), "c0": (2, "N", h)}
    path = save(tmp_path, [node, *flat("Y", "y", 2 * h)], arrays, entries, ("y", "hn", "cn"))
    model = adapter.read(path)
    assert model.switches() == {
        "peepholes": True, "clip": np.float32(0.8).item(), "input_activation": "Softsign",
        "gate_activation": ["HardSigmoid", np.float32(0.3).item(), np.float32(0.4).item()],
        "output_activation": ["Elu", 0.5],
    }  # fmt: skip
    compare(model, adapter.runner(path, ours=False), rng)
    compuerta.save(model, tmp_path / "again.safetensors")
    adapter.write(model, path)
    same_bits(model, adapter.read(path))


def flat(source, name, width):
    """Y (T, D, N, H) to (T, N, D·H), by a shape that is computed."""
    return [
        helper.make_node("Transpose", [source], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Constant", [], ["to"], value=numpy_helper.from_array(np.array([0, 0, width]))),
        helper.make_node("Reshape", ["turned", "to"], [name]),
    ]


def save(folder, nodes, arrays, entries, outputs, opset=17):
    """Write a graph; ``entries`` are the inputs' shapes, int32 where there is one dimension."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(k, 6 if len(s) == 1 else 1, s) for k, s in entries.items()],
        [helper.make_tensor_value_info(k, 1, None) for k in outputs],
        [numpy_helper.from_array(v, k) for k, v in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path = folder / "made.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


# ---- docs/onnx.md ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["onnx.md", "onnx.es.md"])
def test_the_page_runs_as_printed(name, tmp_path):
    text = (Path(__file__).parent.parent / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 2
    for code in blocks:
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# ---- as a format ----------------------------------------------------------------------------------------------------


def test_recognised_described_and_converted(tmp_path):
    path = tmp_path / "model.bin"
    adapter.write(LSTM(3, 4, rng=0), str(path))
    assert compuerta.interop.formats.find(path).name == "onnx"
    described = adapter.describe(str(path))
    assert described.tensors["W_l0"] == ("float32", (1, 16, 3))
    assert described.facts["opset"] == 14
    assert not adapter.recognise("x.safetensors", (2056).to_bytes(8, "little") + b'{"')
    assert isinstance(compuerta.interop.read(path), LSTM)


def test_the_command_proves_what_it_writes(tmp_path, run):
    def convert(*args):
        return run("convert", *args, "--lang", "en")[:2]

    source, target = GOLDEN / "torch_language_model.onnx", tmp_path / "model.safetensors"
    code, out = convert(source, target)
    assert code == 0
    assert re.search(r"ONNX Runtime \S+ and compuerta on the source, 8 runs", out)
    code, out = convert(target, tmp_path / "model.onnx", "--lengths", "--probabilities")
    assert code == 0
    assert re.search(r"ONNX Runtime \S+ and compuerta on the target, 8 runs", out)
    assert [value.name for value in session(tmp_path / "model.onnx").get_inputs()] == ["tokens", "lengths"]
    series = Forecaster(horizon=4, hidden_size=4, members=1, max_epochs=1, origins=0).fit(seasonal_series(60, period=6))
    compuerta.save(series, tmp_path / "series.safetensors")
    code, out = convert(tmp_path / "series.safetensors", tmp_path / "series.onnx")
    assert code == 0
    assert re.search(r"ONNX Runtime \S+ and compuerta on the target, 4 runs", out)
    assert convert(source, tmp_path / "model.keras", "--probabilities")[0] == 2
    assert convert(GOLDEN / "keras_gru.onnx", tmp_path / "loop.keras")[0] == 1
    assert not (tmp_path / "loop.keras").exists()
