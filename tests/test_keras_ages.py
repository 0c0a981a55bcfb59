"""Files of Keras 1, 2 and 3 in its HDF5 form, written here by h5py as each version wrote them.

What a model should give is computed here in float64 from Keras's own equations, apart from the program.
"""

import json

import numpy as np
import pytest

import compuerta
from compuerta.errors import FileFormatError
from compuerta.interop import keras_h5

h5py = pytest.importorskip("h5py")

# ---- Keras's equations ----------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_old(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def hard_new(x):
    return np.clip(x / 6 + 0.5, 0, 1)


def lstm(x, kernel, recurrent, bias, gate=sigmoid, activation=np.tanh):
    h = c = np.zeros((len(x), len(recurrent)))
    steps = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gate(f) * c + gate(i) * activation(g)
        h = gate(o) * activation(c)
        steps.append(h)
    return np.stack(steps, 1)


def gru(x, kernel, recurrent, bias, gate=sigmoid):
    """With two rows of biases the reset gate acts after the product."""
    h = np.zeros((len(x), len(recurrent)))
    b_x, b_h = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    steps = []
    for t in range(x.shape[1]):
        x_z, x_r, x_h = np.split(x[:, t] @ kernel + b_x, 3, axis=1)
        u_z, u_r, u_h = np.split(recurrent, 3, axis=1)
        b_z, b_r, b_c = np.split(b_h, 3)
        z, r = gate(x_z + h @ u_z + b_z), gate(x_r + h @ u_r + b_r)
        n = np.tanh(x_h + (r * (h @ u_h + b_c) if bias.ndim == 2 else (r * h) @ u_h))
        h = z * h + (1 - z) * n
        steps.append(h)
    return np.stack(steps, 1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ---- files ----------------------------------------------------------------------------------------------------------


def cell(kind, units, **more):
    return {"class_name": kind, "config": {
        "units": units, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
        "return_sequences": False, "return_state": False, "go_backwards": False, "stateful": False, "unroll": False,
        "trainable": True, "dtype": "float32", "implementation": 2, "dropout": 0.0, **more,
    }}  # fmt: skip


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def write(path, config, weights, version, *, within="model_weights"):
    """``weights``: group -> name in it -> array."""
    with h5py.File(path, "w") as file:
        if config is not None:
            text = json.dumps(config)
            file.attrs["model_config"] = text.encode() if version and version < "2.3" else text
        if version:
            file.attrs["keras_version"] = version.encode() if version < "2.3" else version
        top = file.create_group(within) if within else file
        top.attrs["layer_names"] = np.array([name.encode() for name in weights])
        for group, arrays in weights.items():
            made = top.create_group(group)
            made.attrs["weight_names"] = np.array([name.encode() for name in arrays])
            for name, array in arrays.items():
                made.create_dataset(name, data=np.asarray(array, np.float32))
    return path


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


@pytest.fixture
def draw(rng):
    return lambda *shape: np.float32(rng.normal(size=shape)).astype(float)


def close(path, x, expected):
    y = compuerta.interop.read(path)(x)
    y = y[0] if isinstance(y, tuple) else y
    np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("end", ["", ":0"])
def test_keras_1_writes_each_gate_apart(tmp_path, draw, end):
    """And calls options otherwise; its model is a bare list of layers, and no version stands in it."""
    w = {k: (draw(3, 4), draw(4, 4), draw(4)) for k in "ifco"}
    v = {k: (draw(4, 2), draw(2, 2), draw(2)) for k in "zrh"}
    dense = draw(2, 3), draw(3)
    config = {"class_name": "Sequential", "config": [
        layer("LSTM", "lstm_1", output_dim=4, input_dim=3, batch_input_shape=[None, None, 3], init="glorot_uniform",
              inner_init="orthogonal", forget_bias_init="one", activation="tanh", inner_activation="hard_sigmoid",
              return_sequences=True, go_backwards=False, stateful=False, unroll=False, consume_less="cpu",
              W_regularizer=None, dropout_W=0.0, dropout_U=0.0, input_dtype="float32", trainable=True),
        layer("Dropout", "dropout_1", p=0.2, trainable=True),
        layer("GRU", "gru_1", output_dim=2, activation="tanh", inner_activation="hard_sigmoid", return_sequences=False),
        layer("Dense", "dense_1", output_dim=3, init="uniform", activation="softmax", bias=True, input_dim=2),
    ]}  # fmt: skip
    weights = {
        "lstm_1": {f"lstm_1_{n}_{k}{end}": a for k, each in w.items() for n, a in zip("WUb", each, strict=True)},
        "dropout_1": {},
        "gru_1": {f"gru_1_{n}_{k}{end}": a for k, each in v.items() for n, a in zip("WUb", each, strict=True)},
        "dense_1": {f"dense_1_W{end}": dense[0], f"dense_1_b{end}": dense[1]},
    }
    x = draw(2, 5, 3)
    h = lstm(x, *(np.concatenate([w[k][n] for k in "ifco"], -1) for n in range(3)), gate=hard_old)
    h = gru(h, *(np.concatenate([v[k][n] for k in "zrh"], -1) for n in range(3)), gate=hard_old)
    path = write(tmp_path / "m.h5", config, weights, "")
    close(path, x, softmax(h[:, -1] @ dense[0] + dense[1]))
    del weights["gru_1"][f"gru_1_U_r{end}"]
    with pytest.raises(FileFormatError, match=r"beside gru_1/gru_1_U_h\S* are not all there"):
        compuerta.interop.read(write(tmp_path / "n.h5", config, weights, ""))


@pytest.mark.parametrize(("version", "gate"), [("1.2.2", hard_old), ("2.15.0", hard_old), ("3.4.1", hard_new)])
def test_hard_sigmoid_means_what_it_meant_to_the_version(tmp_path, draw, version, gate):
    w, x = (draw(3, 16), draw(4, 16), draw(16)), draw(2, 6, 3)
    names = ("lstm/lstm_cell/kernel:0", "lstm/lstm_cell/recurrent_kernel:0", "lstm/lstm_cell/bias:0")
    one = cell("LSTM", 4, name="lstm", recurrent_activation="hard_sigmoid", activation="relu", return_sequences=True)
    path = write(tmp_path / "m.h5", sequential(one), {"lstm": dict(zip(names, w, strict=True))}, version)
    relu = lstm(x, *w, gate=gate, activation=lambda z: np.maximum(z, 0))
    y = compuerta.interop.read(path)(x)[0]
    np.testing.assert_allclose(y / np.abs(relu).max(), relu / np.abs(relu).max(), rtol=0, atol=2e-6)


WORDS = {
    "swish": lambda z: z * sigmoid(z), "silu": lambda z: z * sigmoid(z), "linear": lambda z: z,
    "selu": lambda z: 1.05070098 * np.where(z > 0, z, 1.67326324 * np.expm1(z)), "softsign": lambda z: z / (1 + abs(z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)), "softplus": lambda z: np.log1p(np.exp(z)),
}  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_kerass_words_for_activations_of_a_cell(tmp_path, draw, word):
    w, x = (0.4 * draw(3, 16), 0.4 * draw(4, 16), 0.4 * draw(16)), 0.5 * draw(2, 6, 3)
    w = tuple(np.float32(each).astype(float) for each in w)
    names = ("lstm/lstm_cell/kernel:0", "lstm/lstm_cell/recurrent_kernel:0", "lstm/lstm_cell/bias:0")
    one = cell("LSTM", 4, name="lstm", activation=word, return_sequences=True)
    path = write(tmp_path / "m.h5", sequential(one), {"lstm": dict(zip(names, w, strict=True))}, "2.15.0")
    expected = lstm(x, *w, activation=WORDS[word])
    y = compuerta.interop.read(path)(x)[0]
    np.testing.assert_allclose(y / np.abs(expected).max(), expected / np.abs(expected).max(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("after", [False, True])
def test_keras_2_functional_with_a_model_inside(tmp_path, draw, after):
    """A model that stands in another keeps its layers' names; both directions share a group."""
    table, dense = draw(7, 3), (draw(5, 2), draw(2))
    shape = (2, 12) if after else (12,)
    ways = [(draw(3, 12), draw(4, 12), draw(*shape)) for _ in range(2)]
    inner = draw(8, 20), draw(5, 20), draw(20)
    options = {"reset_after": True} if after else {}  # older files do not name the option

    def node(name, at=0):
        return [[[name, 0, at, {}]]] if not at else [[[name, 1, 0, {}]]]

    layers = [
        {**layer("InputLayer", "input_1", batch_input_shape=[None, 6], dtype="int32", sparse=False),
         "inbound_nodes": []},
        {**layer("Embedding", "embedding_1", input_dim=7, output_dim=3, mask_zero=False, input_length=6),
         "inbound_nodes": node("input_1")},
        {**layer("Bidirectional", "bidirectional_1", merge_mode="concat",
                 layer=cell("GRU", 4, name="gru_1", return_sequences=True, **options)),
         "inbound_nodes": node("embedding_1")},
        {**sequential(layer("InputLayer", "input_2", batch_input_shape=[None, 6, 8]), cell("LSTM", 5, name="lstm_9")),
         "name": "sequential_3", "inbound_nodes": node("bidirectional_1")},
        {**layer("Dense", "dense_1", units=2, activation="sigmoid", use_bias=True),
         "inbound_nodes": node("sequential_3", 1)},
    ]  # fmt: skip
    for each in layers:
        each.setdefault("name", each["config"].get("name"))
    layers[3]["config"]["name"] = "sequential_3"
    config = {"class_name": "Model", "config": {"name": "model_1", "layers": layers,
              "input_layers": [["input_1", 0, 0]], "output_layers": [["dense_1", 0, 0]]}}  # fmt: skip
    leaves = ("kernel:0", "recurrent_kernel:0", "bias:0")
    weights = {
        "input_1": {},
        "embedding_1": {"embedding_1/embeddings:0": table},
        "bidirectional_1": {f"bidirectional_1/{way}_gru_1/{leaf}": a
                            for way, each in zip(("forward", "backward"), ways, strict=True)
                            for leaf, a in zip(leaves, each, strict=True)},
        "sequential_3": {f"lstm_9/lstm_cell_4/{leaf}": a for leaf, a in zip(leaves, inner, strict=True)},
        "dense_1": {"dense_1_2/kernel:0": dense[0], "dense_1_2/bias:0": dense[1]},
    }  # fmt: skip
    ids = np.array([[0, 3, 1, 6, 2, 5], [4, 4, 2, 0, 1, 6]])
    x = table[ids]
    h = np.concatenate((gru(x, *ways[0]), gru(x[:, ::-1], *ways[1])[:, ::-1]), -1)
    h = lstm(h, *inner)[:, -1]
    path = write(tmp_path / "m.h5", config, weights, "2.2.4")
    close(path, ids, sigmoid(h @ dense[0] + dense[1]))
    model = compuerta.interop.read(path)
    assert [part.name for part in model.layers] == ["Embedding", "GRU", "LSTM", "Last", "Dense", "Activation"]
    assert model.layers[1].reset_after is after


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("both", [False, True])
def test_weights_in_cudnns_layout(tmp_path, draw, kind, both):
    blocks, n = (4, 3) if kind == "LSTM" else (3, 3)
    ways = [(draw(2, blocks * n), draw(n, blocks * n), draw(2, blocks * n)) for _ in range(1 + both)]
    one = {"class_name": f"CuDNN{kind}", "config": {
        "name": "rnn", "units": n, "return_sequences": True, "return_state": False, "stateful": False,
        "go_backwards": False, "time_major": False, "kernel_initializer": {"class_name": "GlorotUniform", "config": {}},
    }}  # fmt: skip
    if both:
        one = layer("Bidirectional", "rnn", layer=one, merge_mode="concat")
    arrays = {}
    for way, (kernel, recurrent, bias) in zip(("forward_", "backward_"), ways, strict=False):
        place = f"rnn/{way}rnn" if both else "rnn"
        arrays |= {  # as Keras's own converter writes them
            f"{place}/kernel:0": np.hstack([k.T.reshape(k.shape) for k in np.hsplit(kernel, blocks)]),
            f"{place}/recurrent_kernel:0": np.hstack([k.T for k in np.hsplit(recurrent, blocks)]),
            f"{place}/bias:0": bias.ravel(),
        }
    path = write(tmp_path / "m.h5", sequential(one), {"rnn": arrays}, "2.2.4-tf")
    x = draw(2, 5, 2)

    def run(x, kernel, recurrent, bias):
        return lstm(x, kernel, recurrent, bias.sum(0)) if kind == "LSTM" else gru(x, kernel, recurrent, bias)

    expected = run(x, *ways[0])
    if both:
        expected = np.concatenate((expected, run(x[:, ::-1], *ways[1])[:, ::-1]), -1)
    close(path, x, expected)


def test_weights_alone_are_put_in_the_order_that_fits(tmp_path, draw):
    w, dense = (draw(3, 16), draw(4, 16), draw(16)), (draw(4, 2), draw(2))
    leaves = ("kernel", "recurrent_kernel", "bias")
    weights = {"lstm": {f"sequential/lstm/lstm_cell/{n}": a for n, a in zip(leaves, w, strict=True)}, "dropout": {},
               "dense": {"sequential/dense/kernel": dense[0], "sequential/dense/bias": dense[1]},
               "top_level_model_weights": {}}  # fmt: skip
    path = write(tmp_path / "m.weights.h5", None, weights, "3.4.1", within="")
    x, notes = draw(2, 5, 3), []
    model = compuerta.interop.read(path, note=notes.append)
    assert [part.name for part in model.layers] == ["LSTM", "Dense"]
    assert "hard_sigmoid" in notes[0].text("en")
    assert "lstm:LSTM,dense:Dense" in notes[1].text("en")
    np.testing.assert_allclose(model(x)[0], lstm(x, *w) @ dense[0] + dense[1], rtol=0, atol=5e-6)
    last = compuerta.interop.read(path, map="lstm,last,dense,softmax")
    np.testing.assert_allclose(last(x)[0][:, 0], softmax(lstm(x, *w)[:, -1] @ dense[0] + dense[1]), rtol=0, atol=2e-6)


def test_half_precision_is_read_and_said(tmp_path, draw):
    w = draw(3, 16), draw(4, 16), draw(16)
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    leaves = ("kernel", "recurrent_kernel", "bias")
    weights = {"lstm": {f"lstm/lstm_cell/{n}": a for n, a in zip(leaves, w, strict=True)}}
    path = write(tmp_path / "m.h5", sequential(cell("LSTM", 4, name="lstm", dtype=policy)), weights, "3.4.1")
    notes = []
    compuerta.interop.read(path, note=notes.append)
    assert "LSTM 'lstm' computed in mixed_float16 there" in notes[0].text("en")


REFUSED = {
    "Lambda": (layer("Lambda", "my_code", function=["4wE=", None, None]), "keras.Lambda 'my_code'"),
    "custom": ({"class_name": "Custom>Swirl", "config": {"name": "s"}}, "keras.Custom>Swirl 's'"),
    "custom activation": (cell("LSTM", 4, name="lstm", activation="my_own"), "LSTM 'lstm' has activation='my_own'"),
    "activation of a class": (
        cell("LSTM", 4, name="lstm", activation={"class_name": "function", "config": "f"}), "activation='function'"),
    "time_major": (cell("LSTM", 4, name="lstm", time_major=True), "LSTM 'lstm' has time_major=True"),
    "backwards": (cell("LSTM", 4, name="lstm", go_backwards=True), "LSTM 'lstm' has go_backwards=True"),
    "mask": (layer("Embedding", "e", input_dim=5, output_dim=3, mask_zero=True), "Embedding 'e' has mask_zero=True"),
    "masking": (layer("Masking", "m", mask_value=0.0), "keras.Masking 'm'"),
    "merged": (layer("Bidirectional", "b", layer=cell("LSTM", 4), merge_mode="sum"), "merge_mode='sum'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(tmp_path, name):
    entry, said = REFUSED[name]
    inner = sequential(entry)
    for config in (sequential(entry), sequential({**inner, "name": "inside"})):
        with pytest.raises(FileFormatError) as error:
            compuerta.interop.read(write(tmp_path / "m.h5", config, {}, "2.4.0"))
        assert said in str(error.value)


def test_a_layer_read_twice_or_read_with_a_state_is_refused(tmp_path):
    def model(*nodes):
        layers = [{**layer("InputLayer", "x", batch_input_shape=[None, None, 3]), "name": "x", "inbound_nodes": []},
                  {**cell("LSTM", 3, name="lstm"), "name": "lstm", "inbound_nodes": list(nodes)}]  # fmt: skip
        return {"class_name": "Functional", "config": {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]],
                "output_layers": [["lstm", 0, 0]]}}  # fmt: skip

    for nodes in ([[["x", 0, 0, {}]], [["lstm", 0, 0, {}]]], [[["x", 0, 0, {}], ["h", 0, 0, {}]]],
                  [[["x", 0, 1, {}]]], [[["x", 0, 0, {"mask": 1}]]]):  # fmt: skip
        with pytest.raises(FileFormatError, match="lstm"):
            compuerta.interop.read(write(tmp_path / "m.h5", model(*nodes), {}, "2.4.0"))


def test_hostile_files(tmp_path, draw):
    """No link leaves the file, no shape is believed, no attribute is read that is more than one text."""
    w = draw(3, 16), draw(4, 16), draw(16)
    leaves = ("kernel:0", "recurrent_kernel:0", "bias:0")
    weights = {"lstm": {f"lstm/lstm_cell/{n}": a for n, a in zip(leaves, w, strict=True)}}
    config = sequential(cell("LSTM", 4, name="lstm"))
    (tmp_path / "secret").write_bytes(b"x" * 1000)

    def spoilt(change):
        path = write(tmp_path / "m.h5", config, weights, "2.4.0")
        with h5py.File(path, "a") as file:
            change(file, file["model_weights/lstm/lstm/lstm_cell"])
        with pytest.raises(FileFormatError) as error:
            compuerta.interop.read(path)
        return str(error.value)

    def replaced(value):
        def change(file, group):
            del group["kernel:0"]
            group["kernel:0"] = value

        return change

    def huge(file, group):
        del group["kernel:0"]
        group.create_dataset("kernel:0", (2**30, 2**30), "f4", chunks=(1024, 1024))

    def outside(file, group):
        del group["kernel:0"]
        group.create_dataset("kernel:0", (3, 16), "f4", external=[(str(tmp_path / "secret"), 0, 192)])

    assert "link" in spoilt(replaced(h5py.SoftLink("/model_weights/lstm/lstm/lstm_cell/bias:0")))
    assert "link" in spoilt(replaced(h5py.ExternalLink("secret", "/")))
    assert "kernel" in spoilt(huge)
    assert "in another file" in spoilt(outside)
    assert "lstm/cell/vars/0" in spoilt(replaced(np.zeros((2, 9), np.float32)))
    assert "same place" in spoilt(lambda file, group: group.create_dataset("kernel_1:0", data=np.zeros(3, np.float32)))
    assert "lstm/lstm/extra" in spoilt(
        lambda file, group: file["model_weights/lstm"].create_dataset("lstm/extra", data=[1.0])
    )
    assert "configuration" in spoilt(lambda file, group: file.attrs.create("model_config", [b"{}"] * 3))
    assert "configuration" in spoilt(lambda file, group: file.attrs.create("model_config", "[" * 100_000))


def test_the_names_of_every_age_come_to_one():
    def names(*given):
        return list(keras_h5.canonical({name: np.zeros(1) for name in given}, "m.h5"))

    assert names("a/a_3/lstm_cell_2/kernel:0", "a/a_3/lstm_cell_2/recurrent_kernel:0", "a/a_3/lstm_cell_2/bias:0") == [
        "a/cell/vars/0", "a/cell/vars/1", "a/cell/vars/2"]  # fmt: skip
    assert names("dense_1/dense_1_b", "dense_1/dense_1_W") == ["dense_1/vars/0", "dense_1/vars/1"]
    assert names("s/s/d/kernel", "s/s/e/kernel") == ["s/d/vars/0", "s/e/vars/0"]
    assert names("b/forward_r_W:0", "b/forward_r_U:0", "b/backward_r_W:0", "b/backward_r_U:0") == [
        "b/forward_layer/cell/vars/0", "b/forward_layer/cell/vars/1",
        "b/backward_layer/cell/vars/0", "b/backward_layer/cell/vars/1"]  # fmt: skip
    assert names("d/moving_mean:0") == ["d/moving_mean:0"]
