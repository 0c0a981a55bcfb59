"""Models of other frameworks: their own files give their own numbers, and what goes out comes back to the bit.

The files of golden/interop were written by PyTorch, Keras, Flax and Equinox, with what each computed beside them.
TensorFlow 1 and Karpathy's gist are compared with their cells written out here, step by step.
"""

import json

import numpy as np
import pytest

import compuerta
from compuerta.errors import FileFormatError, NotFittedError, SettingError
from compuerta.interop import formats, karpathy, keras, pytorch, tensorflow1
from compuerta.layers import GRU, LSTM, Activation, Dense, Dropout, Embedding, Last, Sequential
from compuerta.tasks import Forecaster, LanguageModel
from interop_cases import FILES, FOLDER, TOLERANCE, golden, randomized, same

# ---- files that the frameworks wrote --------------------------------------------------------------------------------

GOLDEN = {
    "pytorch_lstm.pt": ("pytorch", "pytorch", "LSTM"),
    "pytorch_lstm.safetensors": ("pytorch", "pytorch", "LSTM"),
    "pytorch_gru.pt": ("pytorch", "pytorch", "GRU"),
    "pytorch_no_bias.pt": ("pytorch", "pytorch", "LSTM"),
    "pytorch_projection.pt": ("pytorch", "pytorch", "LSTM"),
    "pytorch_text.pt": ("pytorch", "pytorch", "Sequential"),
    "keras_text.keras": ("keras", "keras", "Sequential"),
    "keras_gru_before.keras": ("keras", "keras", "Sequential"),
    "keras_functional.keras": ("keras", "keras", "Sequential"),
    "keras_functional.weights.h5": ("keras", "keras", "Sequential"),
    "flax_lstm.npz": ("jax", "flax", "LSTM"),
    "flax_gru.npz": ("jax", "flax", "GRU"),
    "flax_both.npz": ("jax", "flax", "LSTM"),
    "equinox_lstm.npz": ("jax", "equinox", "LSTM"),
    "equinox_gru.npz": ("jax", "equinox", "GRU"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_file_of_a_framework_gives_its_numbers(name):
    framework, format, kind = GOLDEN[name]
    g = golden(framework, name.split(".")[0])
    assert formats.find(FOLDER / name).name == format
    layer = compuerta.interop.read(FOLDER / name)
    assert layer.name == kind
    parts = [g[p + "0"] for p in "hc" if p + "0" in g]
    state = None
    if parts:
        state = tuple(parts) if len(parts) > 1 else parts[0]
        state = (state,) if kind == "Sequential" else state
    y, final, _ = layer.forward(g["x"], state)
    expected = g["y"][:, None] if g["y"].ndim == 2 else g["y"]
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE)
    final = final[0] if kind == "Sequential" else final
    for p, value in zip("hc", final if isinstance(final, tuple) else (final,), strict=False):
        if p + "_n" in g:
            np.testing.assert_allclose(value, g[p + "_n"], rtol=0, atol=TOLERANCE)
    assert np.abs(g["y"]).max() > 0.1


def test_what_was_found_is_said():
    notes = []
    compuerta.interop.read(FOLDER / "pytorch_text.pt", note=notes.append)
    said = " ".join(note.text("en") for note in notes)
    assert "lstm: its two biases were summed into one" in said
    assert "embedding:Embedding,lstm:LSTM,fc:Linear" in said
    notes.clear()
    compuerta.interop.read(FOLDER / "pytorch_checkpoint.pt", note=notes.append)
    assert notes[0].text("es").startswith("el state_dict estaba en 'model_state_dict'")
    layer = compuerta.interop.read(FOLDER / "pytorch_checkpoint.pt")
    same(layer, compuerta.interop.read(FOLDER / "pytorch_no_bias.pt"))


def test_what_cannot_be_held_is_refused_by_name():
    for name, said in {
        "pytorch_whole_module.pt": "holds a whole PyTorch module (torch.nn.modules.rnn.GRU)",
        "keras_lambda.keras": "holds a keras.layers.Lambda 'lambda', which compuerta does not know and does not import",
    }.items():
        with pytest.raises(FileFormatError) as error:
            compuerta.interop.read(FOLDER / name)
        assert said in str(error.value)


def test_a_projection_goes_out_and_comes_back(tmp_path, rng):
    """By PyTorch's names and shapes; one that is not smaller than the layer PyTorch cannot make."""
    layer = randomized(LSTM(3, 5, 2, bidirectional=True, projection_size=2, rng=0), rng)
    arrays = pytorch.to_state_dict(layer)
    assert {name: value.shape for name, value in arrays.items() if "l1_reverse" in name} == {
        "weight_ih_l1_reverse": (20, 4), "weight_hh_l1_reverse": (20, 2), "weight_hr_l1_reverse": (2, 5),
        "bias_ih_l1_reverse": (20,), "bias_hh_l1_reverse": (20,),
    }  # fmt: skip
    path = tmp_path / "projection.pytorch.safetensors"
    formats.write(layer, path)
    same(compuerta.interop.read(path), layer)
    turned = {**arrays, "weight_hr_l0": arrays["weight_hr_l0"].T}
    with pytest.raises(FileFormatError, match=r"weight_hr_l0 should be .*looks transposed"):
        pytorch.from_state_dict(turned)
    missing = {name: value for name, value in arrays.items() if name != "weight_hr_l1"}
    with pytest.raises(FileFormatError, match="weight_hr_l1"):
        pytorch.from_state_dict(missing)
    for format in ("keras", "flax", "equinox", "tensorflow1", "karpathy", "onnx"):
        with pytest.raises(SettingError, match="projection_size"):
            formats.write(layer, tmp_path / "file", format)
    with pytest.raises(SettingError, match=r"PyTorch cannot express .*projection_size=5"):
        pytorch.to_state_dict(LSTM(3, 5, projection_size=5, rng=0))


def test_load_points_to_convert_for_a_foreign_file():
    for name in ("pytorch_lstm.pt", "pytorch_lstm.safetensors", "keras_text.keras", "flax_lstm.npz"):
        with pytest.raises(FileFormatError, match="compuerta convert"):
            compuerta.load(FOLDER / name)
    with pytest.raises(FileFormatError, match=r"pytorch_lstm\.pt is a file of PyTorch") as error:
        compuerta.load(FOLDER / "pytorch_lstm.pt")
    assert str(error.value).endswith("pytorch_lstm.safetensors")
    with pytest.raises(FileFormatError, match="is a file of Keras"):
        compuerta.load(FOLDER / "keras_functional.weights.h5")


# ---- out and back ---------------------------------------------------------------------------------------------------

MODELS = {
    "LSTM": lambda: LSTM(3, 4),
    "LSTM, stacked, both ways": lambda: LSTM(3, 4, 2, bidirectional=True),
    "LSTM, float64": lambda: LSTM(4, 4, 3, dtype="float64"),
    "GRU": lambda: GRU(3, 4, 2),
    "GRU, both ways": lambda: GRU(3, 4, 2, bidirectional=True, dtype="float64"),
    "GRU, reset before": lambda: GRU(3, 4, 2, bidirectional=True, reset_after=False),
    "text": lambda: Sequential(Embedding(5, 3), LSTM(3, 4, 2), Dense(4, 5)),
    "text, square": lambda: Sequential(Embedding(4, 4), LSTM(4, 4, 2), Dense(4, 4), Dense(4, 4)),
    "mixed": lambda: Sequential(LSTM(3, 4), GRU(4, 2, bidirectional=True), Dense(4, 5)),
    "classifier": lambda: Sequential(
        Embedding(5, 3), LSTM(3, 4, bidirectional=True), Last(both_ends=True), Dense(8, 3), Activation("softmax")
    ),
    "dropout": lambda: Sequential(LSTM(3, 4), Last(), Dropout(0.5), Dense(4, 2)),
}
#: What each format refuses, and in which words.
REFUSED = {
    ("pytorch", "GRU, reset before"): "PyTorch cannot express a GRU with reset_after=False",
    ("flax", "GRU, reset before"): "Flax cannot express a GRU with reset_after=False",
    ("equinox", "GRU, reset before"): "Equinox cannot express a GRU with reset_after=False",
    **{("karpathy", name): "Karpathy's NumPy LSTM cannot express" for name in MODELS if name != "LSTM"},
    **{("tensorflow1", name): "TensorFlow 1 BasicLSTMCell cannot express" for name in MODELS
       if not name.startswith("LSTM")},
}  # fmt: skip
#: Files of weights do not hold what has none; the order that we write beside them tells all but dropout.
DROPPED = {(f, "dropout") for f in ("pytorch", "flax", "equinox", "keras weights")}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("format", FILES)
def test_what_goes_out_comes_back_to_the_bit(format, name, tmp_path, rng):
    model = randomized(MODELS[name](), rng)
    path = tmp_path / FILES[format]
    if (format, name) in REFUSED:
        with pytest.raises(SettingError) as error:
            compuerta.interop.write(model, path)
        assert REFUSED[format, name] in str(error.value)
        assert not path.exists()
        return
    notes = []
    compuerta.interop.write(model, path, note=notes.append)
    assert formats.find(path).name == format.split()[0]
    back = compuerta.interop.read(path)
    if format == "tensorflow1":  # forget_bias was subtracted and added again, which may turn the last bit
        np.testing.assert_allclose(back.parameters.flat, model.parameters.flat, rtol=0, atol=3e-7)
    elif (format, name) in DROPPED:
        assert any("has no weights" in note.text("en") for note in notes)
        assert np.array_equal(back.parameters.flat, model.parameters.flat)
    else:
        same(back, model)
    again = path.with_name("again." + path.name.split(".", 1)[1])
    compuerta.interop.write(back, again)
    if format != "tensorflow1":
        assert again.read_bytes() == path.read_bytes()


def test_a_chain_through_every_format_that_holds_it_ends_where_it_began(tmp_path, rng):
    model = randomized(LSTM(3, 4, 2, bidirectional=True), rng)
    at = model
    for name in ("pytorch", "keras", "flax", "equinox", "keras weights", "compuerta"):
        compuerta.interop.write(at, tmp_path / FILES[name])
        at = compuerta.interop.read(tmp_path / FILES[name])
    same(at, model)


def test_minus_zero_and_subnormals_keep_their_bits(tmp_path, rng):
    model = randomized(GRU(2, 3), rng)
    for name, value in model.parameters.items():
        model.parameters[name] = np.where(rng.random(value.shape) < 0.5, -0.0, 1e-42)
    for name in ("pytorch", "keras", "flax", "equinox"):
        compuerta.interop.write(model, tmp_path / FILES[name])
        same(compuerta.interop.read(tmp_path / FILES[name]), model)


def test_a_layer_that_reads_tokens_becomes_an_identity_embedding(tmp_path, rng):
    model = randomized(LSTM(5, 4, 2, tokens=True), rng)
    ids = rng.integers(0, 5, (2, 6))
    for name in ("pytorch", "keras", "flax", "equinox"):
        compuerta.interop.write(model, tmp_path / FILES[name])
        back = compuerta.interop.read(tmp_path / FILES[name])
        np.testing.assert_array_equal(back(ids)[0], model(ids)[0])


def test_a_language_model_goes_out_as_its_network(tmp_path):
    task = LanguageModel(hidden_size=6, embedding_size=3, batch_size=2, steps=8, updates=2).fit("abc abd " * 30)
    notes = []
    compuerta.interop.write(task, tmp_path / "m.keras", note=notes.append)
    assert "only the network of the LanguageModel is exported" in " ".join(note.text("en") for note in notes)
    same(compuerta.interop.read(tmp_path / "m.keras"), task.model_)
    with pytest.raises(NotFittedError):
        compuerta.interop.write(LanguageModel(), tmp_path / "n.keras")
    with pytest.raises(SettingError, match="Keras cannot express Forecaster"):
        compuerta.interop.write(Forecaster(), tmp_path / "n.keras")
    assert not (tmp_path / "n.keras").exists()


# ---- the cells of TensorFlow 1 and of Karpathy, written out ---------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_tensorflow_1s_cell(rng):
    features, hidden, forget_bias = 3, 4, 0.75
    kernel, bias = rng.standard_normal((features + hidden, 4 * hidden)), rng.standard_normal(4 * hidden)
    x = rng.standard_normal((2, 5, features))
    c, h = rng.standard_normal((2, 2, hidden))
    layer = tensorflow1.from_variables(
        {"rnn/basic_lstm_cell/kernel:0": kernel, "rnn/basic_lstm_cell/bias:0": bias}, forget_bias=forget_bias
    )
    y, (h_n, c_n) = layer(x, (h[None], c[None]))
    for t in range(5):  # BasicLSTMCell.call
        i, j, f, o = np.split(np.concatenate((x[:, t], h), 1) @ kernel + bias, 4, axis=1)
        c = c * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
        h = np.tanh(c) * sigmoid(o)
        np.testing.assert_allclose(y[:, t], h, rtol=1e-12)
    np.testing.assert_allclose(h_n[0], h, rtol=1e-12)
    np.testing.assert_allclose(c_n[0], c, rtol=1e-12)
    out = tensorflow1.to_variables(layer, forget_bias=forget_bias)
    assert list(out) == ["rnn/basic_lstm_cell/kernel", "rnn/basic_lstm_cell/bias"]
    assert np.array_equal(out["rnn/basic_lstm_cell/kernel"], kernel)
    np.testing.assert_allclose(out["rnn/basic_lstm_cell/bias"], bias, rtol=0, atol=1e-15)


def test_karpathys_lstm(rng):
    features, d = 3, 4
    matrix = rng.standard_normal((1 + features + d, 4 * d))
    x = rng.standard_normal((2, 5, features))
    h, c = rng.standard_normal((2, 2, d))
    layer = karpathy.from_matrix(matrix)
    y, _ = layer(x, (h[None], c[None]))
    for t in range(5):
        pre = np.concatenate((np.ones((2, 1)), x[:, t], h), axis=1) @ matrix
        i, f, o = (sigmoid(pre[:, k * d : (k + 1) * d]) for k in range(3))
        c = f * c + i * np.tanh(pre[:, 3 * d :])
        h = o * np.tanh(c)
        np.testing.assert_allclose(y[:, t], h, rtol=1e-12)
    assert np.array_equal(karpathy.to_matrix(layer), matrix)


# ---- Keras's own tests ----------------------------------------------------------------------------------------------


def no_counterpart(config):
    inner = config.get("layer", {"class_name": ""})["class_name"]
    return config.get("go_backwards") or config.get("merge_mode", "concat") != "concat" or inner == "SimpleRNN"


OWN = json.loads((FOLDER / "keras_own.json").read_text())["cases"]


@pytest.mark.parametrize("k", range(len(OWN)), ids=lambda k: f"{OWN[k]['class_name']}-{OWN[k]['test']}-{k}")
def test_a_case_of_kerass_own_tests(k):
    g = golden("keras_own", str(k))
    weights = [g[f"w{n}"] for n in range(len(g)) if f"w{n}" in g]
    config = OWN[k]["config"]
    stub = type(OWN[k]["class_name"], (), {
        "name": config["name"], "get_config": lambda self: config, "get_weights": lambda self: weights,
    })()  # fmt: skip
    if no_counterpart(config):
        with pytest.raises(FileFormatError, match=r"go_backwards=True|merge_mode=|SimpleRNN"):
            keras.from_layer(stub)
        return
    layer = keras.from_layer(stub)
    last = isinstance(layer, Sequential)  # no return_sequences
    cell = layer.layers[0] if last else layer
    states = [g[f"s{n}"] for n in range(4) if f"s{n}" in g]  # each direction's own, one after the other
    parts = len(cell.parts)
    state = tuple(np.stack(states[p::parts]) for p in range(parts)) if states else None
    state = state[0] if state and parts == 1 else state
    x, lengths = g["x"], None
    if "mask" in g:  # steps that are masked are as if they were not there: the others move up
        lengths = g["mask"].sum(axis=1)
        for row, mask in zip(x, g["mask"], strict=True):
            row[: mask.sum()] = row[mask]
    y, _, _ = layer.forward(x, (state,) if last and state is not None else state, lengths)
    np.testing.assert_allclose(y[:, 0] if last else y, g["expected"], rtol=0, atol=TOLERANCE)


def test_kerass_own_tests_are_nearly_all_that_we_hold():
    refused = [case for case in OWN if no_counterpart(case["config"])]
    assert len(OWN) >= 25
    assert len(OWN) - len(refused) >= 17
