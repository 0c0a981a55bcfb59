"""Models of other frameworks: their own files give their own numbers, and what goes out comes back to the bit.

The files of golden/interop were written by PyTorch, Keras, Flax and Equinox, with what each computed beside them.
TensorFlow 1 and Karpathy's gist are compared with their cells written out here, step by step.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import files
from compuerta.errors import FileFormatError, NotFittedError, SettingError
from compuerta.interop import archive, equinox, flax, formats, karpathy, keras, pytorch, tensorflow1
from compuerta.interop.chain import described
from compuerta.layers import GRU, LSTM, Activation, Dense, Dropout, Embedding, Last, Sequential
from compuerta.tasks import Forecaster, LanguageModel

FOLDER = Path(__file__).parent / "golden" / "interop"
TOLERANCE = 2e-6


def golden(framework, case):
    with np.load(FOLDER / f"{framework}.npz", allow_pickle=False) as file:
        found = {key.split("/", 1)[1]: file[key] for key in file.files if key.startswith(case + "/")}
    assert found
    return found


def randomized(layer, rng):
    for name, value in layer.parameters.items():
        layer.parameters[name] = 0.7 * rng.standard_normal(value.shape)
    return layer


def same(a, b):
    assert repr(a) == repr(b)
    assert np.array_equal(a.parameters.flat.view(np.uint8), b.parameters.flat.view(np.uint8))


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
    said = " ".join(note.told("en") for note in notes)
    assert "lstm: its two biases were summed into one" in said
    assert "embedding:Embedding,lstm:LSTM,fc:Linear" in said
    notes.clear()
    compuerta.interop.read(FOLDER / "pytorch_checkpoint.pt", note=notes.append)
    assert notes[0].told("es").startswith("el state_dict estaba en 'model_state_dict'")
    layer = compuerta.interop.read(FOLDER / "pytorch_checkpoint.pt")
    same(layer, compuerta.interop.read(FOLDER / "pytorch_no_bias.pt"))


def test_what_cannot_be_held_is_refused_by_name():
    for name, said in {
        "pytorch_whole_module.pt": "holds a whole PyTorch module (torch.nn.modules.rnn.GRU)",
        "keras_lambda.keras": "holds a keras.layers.Lambda, which compuerta does not know and does not import",
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
FILES = {"pytorch": "m.pytorch.safetensors", "keras": "m.keras", "flax": "m.flax.npz", "equinox": "m.equinox.npz",
         "tensorflow1": "m.tf1.npz", "karpathy": "m.karpathy.npz", "compuerta": "m.safetensors",
         "keras weights": "m.weights.h5"}  # fmt: skip
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
        assert any("has no weights" in note.told("en") for note in notes)
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
    assert "only the network of the LanguageModel goes along" in " ".join(note.told("en") for note in notes)
    same(compuerta.interop.read(tmp_path / "m.keras"), task.model_)
    with pytest.raises(NotFittedError):
        compuerta.interop.write(LanguageModel(), tmp_path / "n.keras")
    with pytest.raises(SettingError, match="Keras 3 cannot express Forecaster"):
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


# ---- in memory ------------------------------------------------------------------------------------------------------


class Tensor:
    """What from_state_dict uses of a tensor of PyTorch."""

    def __init__(self, value, dtype="torch.float32"):
        self.value, self.dtype = value, dtype

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.value.astype(np.float32))

    def __array__(self, dtype=None, copy=None):
        assert self.dtype != "torch.bfloat16"
        return self.value


def test_state_dicts_in_memory(rng):
    for make in (lambda: LSTM(3, 4, 2, bidirectional=True), lambda: GRU(3, 4), lambda: Dense(3, 2),
                 lambda: Embedding(5, 3)):  # fmt: skip
        model = randomized(make(), rng)
        arrays = pytorch.to_state_dict(model)
        order = {"Dense": ".:Linear", "Embedding": ".:Embedding"}.get(model.name)
        same(pytorch.from_state_dict(arrays, map=order), model)
        tensors = {name: Tensor(value, "torch.bfloat16") for name, value in arrays.items()}
        same(pytorch.from_state_dict(tensors, map=order), model)


def test_a_cell_of_pytorch_is_a_layer(rng):
    model = randomized(LSTM(3, 4), rng)
    cell = {name.removesuffix("_l0"): value for name, value in pytorch.to_state_dict(model).items()}
    same(pytorch.from_state_dict(cell), model)


def test_two_biases_are_summed(rng):
    arrays = pytorch.to_state_dict(randomized(LSTM(3, 4), rng))
    arrays["bias_hh_l0"] = rng.standard_normal(16).astype(np.float32)
    layer = pytorch.from_state_dict(arrays)
    assert np.array_equal(layer.parameters["b_l0"], arrays["bias_ih_l0"] + arrays["bias_hh_l0"])
    assert not pytorch.to_state_dict(layer)["bias_hh_l0"].any()


def test_half_precision_is_widened(rng):
    arrays = {
        name: value.astype(np.float16) for name, value in pytorch.to_state_dict(randomized(GRU(3, 4), rng)).items()
    }
    layer = pytorch.from_state_dict(arrays)
    assert layer.dtype == np.float32
    assert np.array_equal(layer.parameters["w_x_l0"], arrays["weight_ih_l0"].astype(np.float32))


class Module:
    """What from_module uses of a module of PyTorch."""

    def __init__(self, parts=(), arrays=(), **attributes):
        self.parts, self.arrays = dict(parts), dict(arrays)
        self.__dict__.update(attributes)

    def children(self):
        return list(self.parts.values())

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, part in self.parts.items():
            yield from part.named_modules(f"{prefix}.{name}".lstrip("."))

    def state_dict(self):
        inner = {f"{name}.{key}": v for name, part in self.parts.items() for key, v in part.state_dict().items()}
        return {**self.arrays, **inner}


def module(kind, **more):
    return type(kind, (Module,), {})(**more)


def test_a_live_module(rng):
    lstm = randomized(LSTM(3, 4, 2), rng)
    made = pytorch.from_module(module("LSTM", arrays=pytorch.to_state_dict(lstm), dropout=0.25))
    assert np.array_equal(made.parameters.flat, lstm.parameters.flat)
    assert made.dropout == 0.25
    first, second = (randomized(Dense(4, 4), rng) for _ in range(2))
    row = module("Sequential", parts={
        "0": module("Linear", arrays=pytorch.to_state_dict(first)), "1": module("ReLU"),
        "2": module("Dropout"), "3": module("Linear", arrays=pytorch.to_state_dict(second)),
        "4": module("Softmax", dim=-1),
    })  # fmt: skip
    made = pytorch.from_module(row)
    assert [layer.name for layer in made.layers] == ["Dense", "Activation", "Dense", "Activation"]
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    expected = second(np.maximum(first(x), 0))
    np.testing.assert_allclose(made(x)[0], np.exp(expected) / np.exp(expected).sum(-1, keepdims=True), rtol=1e-5)
    with pytest.raises(SettingError, match="module 1 is a BatchNorm1d"):
        pytorch.from_module(module("Sequential", parts={"0": row.parts["0"], "1": module("BatchNorm1d")}))
    with pytest.raises(SettingError, match="is a Softmax"):
        pytorch.from_module(module("Sequential", parts={"0": row.parts["0"], "1": module("Softmax", dim=1)}))


def test_flax_and_equinox_trees_in_memory(rng):
    for make in (lambda: LSTM(3, 4, 2, bidirectional=True), lambda: GRU(3, 4)):
        model = randomized(make(), rng)
        tree = flax.to_params(model)
        same(flax.from_params(tree), model)
        same(flax.from_params({"params": tree}), model)
        same(equinox.from_arrays(equinox.to_arrays(model)), model)
    cell = randomized(LSTM(3, 4), rng)
    tree = flax.to_params(cell)["cell"]
    assert set(tree) == {"ii", "if", "ig", "io", "hi", "hf", "hg", "ho"}
    assert "bias" not in tree["ii"]
    same(flax.from_params({"if_" if gate == "if" else gate: value for gate, value in tree.items()}), cell)  # flax.nnx


def test_equinox_modules_in_memory(rng):
    class Cell:
        pass

    for model in (randomized(GRU(3, 4), rng), randomized(LSTM(3, 4), rng)):
        cell = Cell()
        cell.__dict__.update(equinox.to_arrays(model))
        same(equinox.from_module(cell), model)


def test_keras_weights_in_memory(rng):
    for kind, make in {
        "LSTM": lambda: LSTM(3, 4),
        "GRU": lambda: GRU(3, 4),
        "Bidirectional GRU": lambda: GRU(3, 4, bidirectional=True, reset_after=False),
        "Bidirectional LSTM": lambda: LSTM(3, 4, bidirectional=True),
        "Dense": lambda: Dense(3, 4),
        "Embedding": lambda: Embedding(3, 4),
    }.items():
        model = randomized(make(), rng)
        if kind == "Embedding" or kind == "Dense":
            (weights,) = keras.to_weights(model)
        else:
            (weights,) = keras.to_weights(model)
            without = keras.from_weights(kind, [w for k, w in enumerate(weights) if k % 3 != 2],
                                         reset_after=getattr(model, "reset_after", True))  # fmt: skip
            assert not without.parameters["b_l0"].any()
            assert np.array_equal(without.parameters["w_h_l0"], model.parameters["w_h_l0"])
        same(keras.from_weights(kind, weights), model)
    with pytest.raises(FileFormatError, match=r"tensor 1 should be"):
        keras.from_weights("LSTM", [np.zeros((3, 16)), np.zeros((4, 15)), np.zeros(16)])
    with pytest.raises(SettingError, match="kind must be one of"):
        keras.from_weights("SimpleRNN", [])


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


# ---- in which order -------------------------------------------------------------------------------------------------


def row(**layers):
    return {
        f"{name}.{key}": value for name, layer in layers.items() for key, value in pytorch.to_state_dict(layer).items()
    }


def test_an_order_is_found_asked_for_and_checked(rng):
    arrays = row(out=Dense(4, 4), lstm=LSTM(3, 4), words=Embedding(7, 3))
    model = pytorch.from_state_dict(arrays)
    assert [layer.name for layer in model.layers] == ["Embedding", "LSTM", "Dense"]
    model = pytorch.from_state_dict(arrays, map="words,lstm,last,relu,out,softmax")
    assert [layer.name for layer in model.layers] == ["Embedding", "LSTM", "Last", "Activation", "Dense", "Activation"]
    for order, said in {
        "words,lstm": "out is left out",
        "words,lstm,out,out": "'out' is no layer of the file, or stands there twice",
        "words,lstm,nothing,out": "'nothing' is no layer",
        "lstm,words,out": "'lstm,words,out' does not fit",
        "words:Linear,lstm,out": "each must take as many features as the one before gives",
    }.items():
        with pytest.raises(SettingError) as error:
            pytorch.from_state_dict(arrays, map=order)
        assert said in str(error.value)


def test_several_orders_are_asked_about(tmp_path, rng):
    from safetensors.numpy import save_file

    arrays = row(a=Dense(4, 4, rng=1), b=Dense(4, 4, rng=2))
    save_file(arrays, tmp_path / "m.safetensors")
    with pytest.raises(FileFormatError, match=r"more than one order .* choose one with --map"):
        compuerta.interop.read(tmp_path / "m.safetensors")
    model = compuerta.interop.read(tmp_path / "m.safetensors", map="b,a")
    assert np.array_equal(model.layers[0].parameters["w"], arrays["b.weight"])
    save_file(row(fc10=Dense(4, 4, rng=1), fc9=Dense(4, 4, rng=2)), tmp_path / "m.safetensors")
    model = compuerta.interop.read(tmp_path / "m.safetensors")  # numbers are in order, 9 before 10
    assert np.array_equal(model.layers[0].parameters["w"], Dense(4, 4, rng=2).parameters["w"])
    with pytest.raises(FileFormatError, match="no order of its layers fits"):
        pytorch.from_state_dict(row(a=Dense(4, 3), b=Dense(4, 3)))


def test_a_square_table_alone_may_be_two_things():
    arrays = {"weight": np.eye(4, dtype=np.float32)}
    with pytest.raises(FileFormatError, match="more than one order"):
        pytorch.from_state_dict(arrays, map=None)
    assert pytorch.from_state_dict(arrays, map=".:Embedding").name == "Embedding"
    assert pytorch.from_state_dict(arrays, map=".:Linear").name == "Dense"
    assert described(["last"]) == "last"


# ---- tensors that do not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "weight_hh_l1_reverse", "bias_hh_l0", "bias_ih_l1"])
def test_a_missing_tensor_is_named(name, rng):
    arrays = pytorch.to_state_dict(randomized(LSTM(3, 4, 2, bidirectional=True), rng))
    del arrays[name]
    with pytest.raises(FileFormatError, match=name):
        pytorch.from_state_dict(arrays)


@pytest.mark.parametrize("name", ["extra", "norm.weight", "lstm.running_mean", "weight_hh_l7"])
def test_an_unused_tensor_is_named(name, rng):
    arrays = pytorch.to_state_dict(randomized(LSTM(3, 4), rng)) | {name: np.ones(3, np.float32)}
    with pytest.raises(FileFormatError) as error:
        pytorch.from_state_dict(arrays)
    assert name in str(error.value)


def transposed(tree):
    return {name: transposed(v) if isinstance(v, dict) else np.asarray(v).T for name, v in tree.items()}


def test_a_transposed_tensor_is_recognised(rng):
    arrays = pytorch.to_state_dict(randomized(LSTM(3, 4), rng))
    for name in ("weight_ih_l0", "weight_hh_l0"):
        with pytest.raises(FileFormatError, match=f"{name} should be .* which looks transposed"):
            pytorch.from_state_dict(arrays | {name: arrays[name].T})
    with pytest.raises(FileFormatError, match="looks transposed"):
        equinox.from_arrays(transposed(equinox.to_arrays(randomized(GRU(3, 4), rng))))
    with pytest.raises(FileFormatError, match="looks transposed"):
        flax.from_params(flax.to_params(LSTM(3, 4)) | {"cell": {
            **flax.to_params(LSTM(3, 4))["cell"], "if": {"kernel": np.zeros((4, 3), np.float32)}}})  # fmt: skip
    with pytest.raises(FileFormatError, match="looks transposed"):
        keras.from_weights("LSTM", [np.zeros((16, 3)), np.zeros((4, 16)), np.zeros(16)])
    with pytest.raises(FileFormatError, match="looks transposed"):
        karpathy.from_matrix(np.zeros((20, 9)))
    with pytest.raises(FileFormatError, match="looks transposed"):
        tensorflow1.from_variables({"kernel": np.zeros((16, 7)), "bias": np.zeros(16)})


def test_misshapen_tensors_are_named(rng):
    arrays = pytorch.to_state_dict(randomized(LSTM(3, 4), rng))
    for name, shape in {
        "weight_ih_l0": (15, 3),
        "weight_hh_l0": (15, 4),
        "bias_ih_l0": (15,),
        "bias_hh_l0": (),
    }.items():
        with pytest.raises(FileFormatError, match=name):
            pytorch.from_state_dict(arrays | {name: np.zeros(shape, np.float32)})
    with pytest.raises(FileFormatError, match="weight_hh_l0 belongs to a RNN"):
        pytorch.from_state_dict({"weight_ih_l0": np.zeros((4, 3)), "weight_hh_l0": np.zeros((4, 4))})
    with pytest.raises(FileFormatError, match=r"weight_ih_l0 should be float; found int64"):
        pytorch.from_state_dict(arrays | {"weight_ih_l0": np.zeros((16, 3), np.int64)})
    for broken in ({"kernel": np.zeros((7, 16))}, {"bias": np.zeros(16)},
                   {"kernel": np.zeros((4, 16)), "bias": np.zeros(16)},
                   {"kernel": np.zeros((7, 16)), "bias": np.zeros(16), "w_f_diag": np.zeros(4)}):  # fmt: skip
        with pytest.raises(FileFormatError, match=r"kernel|bias|w_f_diag"):
            tensorflow1.from_variables(broken)


@pytest.mark.parametrize("format", FILES)
def test_weights_that_are_not_finite_load_with_a_warning(format, tmp_path, rng):
    model = randomized(LSTM(3, 4), rng)
    bias = model.parameters["w_h_l0"].copy()
    bias[2, 1] = np.nan
    model.parameters["w_h_l0"] = bias
    compuerta.interop.write(model, tmp_path / FILES[format])
    with pytest.warns(RuntimeWarning, match="holds values that are not finite"):
        back = compuerta.interop.read(tmp_path / FILES[format])
    assert np.isnan(back.parameters["w_h_l0"]).sum() == 1


# ---- the registry ---------------------------------------------------------------------------------------------------


def test_names_choose_the_format_to_write():
    for format, name in FILES.items():
        assert formats.target(name).name == format.split()[0]
        assert formats.target(name.upper()).name == format.split()[0]
    with pytest.raises(SettingError, match=r"end it in one of .*\.keras"):
        formats.target("model.zip")
    with pytest.raises(SettingError, match="format must be one of compuerta, pytorch"):
        formats.named("caffe")


def test_content_goes_before_the_name(tmp_path, rng):
    model = randomized(LSTM(3, 4), rng)
    compuerta.interop.write(model, tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "m.pt")
    assert formats.find(tmp_path / "m.pt").name == "keras"
    same(compuerta.interop.read(tmp_path / "m.pt"), model)
    with pytest.raises(FileFormatError, match=r"is no archive that can be read|is not a"):
        compuerta.interop.read(tmp_path / "m.pt", "flax")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(FileFormatError, match="is in no format that compuerta reads"):
        compuerta.interop.read(tmp_path / "a.txt")


def test_a_length_that_looks_like_a_pickle(tmp_path):
    from safetensors.numpy import save_file

    arrays = pytorch.to_state_dict(LSTM(3, 4, rng=0))
    for k in range(200):  # until the length of the header, which stands first, begins like a pickle's protocol
        save_file(arrays, tmp_path / "m.safetensors", {"x": "x" * k})
        if (tmp_path / "m.safetensors").read_bytes()[0] == 0x80:
            break
    else:
        pytest.fail("no header of such a length")
    assert formats.find(tmp_path / "m.safetensors").name == "pytorch"
    assert compuerta.interop.read(tmp_path / "m.safetensors").hidden_size == 4


def test_options_that_a_format_does_not_take_are_refused(tmp_path, rng):
    compuerta.interop.write(LSTM(3, 4, rng=0), tmp_path / "m.keras")
    with pytest.raises(SettingError, match="Keras 3 takes no option forget_bias"):
        compuerta.interop.read(tmp_path / "m.keras", forget_bias=1.0)
    with pytest.raises(SettingError, match="takes no option map"):
        compuerta.interop.read(tmp_path / "m.keras", map="a,b")
    with pytest.raises(SettingError, match="takes no option map"):
        compuerta.interop.write(LSTM(3, 4, rng=0), tmp_path / "m.keras", map="a,b")
    with pytest.raises(SettingError, match=r"writes no \.pt"):
        compuerta.interop.write(LSTM(3, 4, rng=0), tmp_path / "m.pt")


def test_every_format_describes_its_files(tmp_path, rng):
    model = randomized(LSTM(3, 4), rng)
    for name in FILES.values():
        compuerta.interop.write(model, tmp_path / name)
        description = formats.find(tmp_path / name).adapter.describe(str(tmp_path / name))
        assert description.tensors
        assert sum(int(np.prod(shape)) for _, shape in description.tensors.values()) >= model.parameters.size
        assert {dtype for dtype, _ in description.tensors.values()} == {"float32"}


def test_archives_of_numpy_are_read_as_numpy_reads_them(tmp_path, rng):
    fortran = np.asfortranarray(rng.standard_normal((4, 3)))
    arrays = {"a": rng.standard_normal((2, 3)), "b/c": fortran, "d": np.arange(3), "e": np.float32(2.5)}
    arrays["f"] = np.zeros((0, 2))
    np.savez_compressed(tmp_path / "m.npz", **arrays)
    for name, value in archive.read_npz(str(tmp_path / "m.npz")).items():
        assert np.array_equal(value, arrays[name])
        assert value.dtype == np.asarray(arrays[name]).dtype
    archive.write_npz(str(tmp_path / "n.npz"), arrays)
    with np.load(tmp_path / "n.npz") as file:
        assert {name: file[name].tolist() for name in file} == {k: np.asarray(v).tolist() for k, v in arrays.items()}
    with pytest.raises(SettingError, match="cannot be called"):
        archive.write_npz(str(tmp_path / "n.npz"), {"../a": arrays["a"]})


def test_a_header_as_long_as_a_pickle_begins(tmp_path):
    """The first byte of a safetensors file is the low one of a length, and may be that of a pickle."""
    for extra in range(256):
        files.write_plain(
            tmp_path / "m.safetensors", {"weight": np.ones((2, 3)), "bias": np.ones(2)}, {"x": "x" * extra}
        )
        head = (tmp_path / "m.safetensors").read_bytes()[:2]
        if head[0] == 0x80:
            break
    assert head[0] == 0x80
    assert head[1] <= 5
    assert pytorch.read(str(tmp_path / "m.safetensors")).name == "Dense"
