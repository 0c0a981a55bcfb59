"""Weights of other frameworks in memory: what is held, in which order it runs, and what does not fit."""

import numpy as np
import pytest

import compuerta
from compuerta.errors import FileFormatError, SettingError
from compuerta.interop import equinox, flax, karpathy, keras, pytorch, tensorflow1
from compuerta.interop.layer_order import described
from compuerta.layers import GRU, LSTM, Dense, Embedding
from interop_cases import FILES, randomized, same

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
        "words,lstm,out,out": "'out' is not a layer of the file, or appears twice",
        "words,lstm,nothing,out": "'nothing' is not a layer",
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
    with pytest.raises(FileFormatError, match=r"weight_ih_l0 should be float; got int64"):
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
