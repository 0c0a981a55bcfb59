"""ONNX files that are damaged, made up or beyond what our layers say: a typed error that names what is wrong, and no
byte read outside the model's folder."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from compuerta import LSTM
from compuerta.errors import CompuertaError, FileFormatError
from compuerta.interop import onnx as adapter

F, H = 3, 4


def weights(rng, kind="LSTM", d=1):
    g = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    shapes = {"W": (d, g * H, F), "R": (d, g * H, H), "B": (d, 2 * g * H)}
    return {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}


def build(nodes, arrays, entries=None, outputs=("Y",), opset=17):
    entries = {"X": (1, ("T", "N", F))} if entries is None else entries
    graph = helper.make_graph(
        nodes, "made", [helper.make_tensor_value_info(k, *v) for k, v in entries.items()],
        [helper.make_tensor_value_info(k, 1, None) for k in outputs],
        [numpy_helper.from_array(v, k) for k, v in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def plain(rng, kind="LSTM", **attributes):
    """A bare operator; its Y (T, 1, N, H) is squeezed by what comes after it, or not."""
    arrays = weights(rng, kind) | {"one": np.array([1])}
    nodes = [helper.make_node(kind, ["X", "W", "R", "B"], ["raw"], hidden_size=H, **attributes),
             helper.make_node("Squeeze", ["raw", "one"], ["Y"])]  # fmt: skip
    return nodes, arrays


@pytest.fixture
def put(tmp_path):
    def put(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return str(path)

    return put


def refuses(path, words):
    with pytest.raises(FileFormatError, match=words) as caught:
        adapter.read(path)
    assert "{" not in str(caught.value)
    assert caught.value.text("es") != str(caught.value)


def test_the_plain_one_is_read(put, rng):
    assert isinstance(adapter.read(put(build(*plain(rng)))), LSTM)


# ---- bytes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [True, False])
def test_every_truncation_is_refused(ours, put, tmp_path, rng):
    if ours:
        adapter.write(LSTM(1, 1, rng=0), str(tmp_path / "whole.onnx"))
        data = (tmp_path / "whole.onnx").read_bytes()
    else:
        data = build(*plain(rng)).SerializeToString()
    for length in range(len(data)):
        with pytest.raises(FileFormatError):
            adapter.read(put(data[:length]))


def test_every_flipped_bit_of_ours_is_refused(put, tmp_path, rng):
    adapter.write(LSTM(1, 1, rng=0), str(tmp_path / "whole.onnx"))
    data = (tmp_path / "whole.onnx").read_bytes()
    for at in rng.choice(len(data) * 8, 150, replace=False):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(FileFormatError):
            adapter.read(put(bytes(bad)))


def size(n):
    """A number as protobuf writes it."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def graph_of(body):
    return b"\x08\x08\x3a" + size(len(body)) + body


BOMBS = {
    "length": b"\x08\x08\x3a\xff\xff\xff\xff\x07",
    "number without end": b"\x08" + b"\xff" * 40,
    "300,000 nodes": graph_of(b"\x0a\x00" * 300_000),
    "300,000 properties": b"\x08\x08" + b"\x72\x00" * 300_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_no_memory(name, put):
    path = put(BOMBS[name])
    tracemalloc.start()
    try:
        refuses(path, "readable ONNX file")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < os.path.getsize(path) + 2**26


def test_nesting_without_end(put):
    inner = b""
    for _ in range(3000):  # attribute g of a node of a graph ...
        for key in (0x32, 0x2A, 0x0A):
            inner = bytes([key]) + size(len(inner)) + inner
    refuses(put(graph_of(inner)), "readable ONNX file")


@pytest.mark.parametrize(("field", "words"), [
    ("functions", "functions"), ("training_info", "training_info"), ("graph.sparse_initializer", "sparse_initializer"),
])  # fmt: skip
def test_parts_that_are_not_read(field, words, put, rng):
    model = build(*plain(rng))
    place = model
    for name in field.split("."):
        place = getattr(place, name)
    place.add()
    refuses(put(model), f"holds {words}")


def test_old_operators(put, rng):
    refuses(put(build(*plain(rng), opset=6)), "version 6 of the operators; compuerta reads 7")


# ---- tensors --------------------------------------------------------------------------------------------------------


def with_tensor(rng, **changes):
    model = build(*plain(rng))
    tensor = next(t for t in model.graph.initializer if t.name == "W")
    for key, value in changes.items():
        if key == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, key, value)
    return model


@pytest.mark.parametrize("changes", [
    {"dims": (2**40, 2**40)}, {"dims": (-1, 16, 3)}, {"dims": (1, 16, 4)}, {"raw_data": b"123"},
    {"data_type": TensorProto.STRING}, {"data_type": TensorProto.FLOAT8E4M3FN}, {"data_type": 99},
])  # fmt: skip
def test_a_tensor_that_is_not_what_it_says(changes, put, rng):
    refuses(put(with_tensor(rng, **changes)), "tensor W of shape")


def test_a_tensor_twice(put, rng):
    model = build(*plain(rng))
    model.graph.initializer.append(model.graph.initializer[0])
    refuses(put(model), "W is produced twice")


def test_weights_that_are_not_finite_warn(put, rng):
    nodes, arrays = plain(rng)
    arrays["R"][0, 0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="tensor R"):
        adapter.read(put(build(nodes, arrays)))


@pytest.mark.parametrize("name", ["W", "R", "B"])
def test_a_transposed_tensor_is_named(name, put, rng):
    nodes, arrays = plain(rng)
    arrays[name] = arrays[name].swapaxes(-1, -2).copy() if name != "B" else arrays[name][:, 1:].copy()
    refuses(put(build(nodes, arrays)), f"node LSTM .*{name}")


# ---- data in other files --------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path, rng):
    """A model in ``model/`` whose W lies at ``location``; beside the folder, a file that has the right bytes."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "model2").mkdir()
    nodes, arrays = plain(rng)
    for place in (tmp_path / "secret", tmp_path / "model2" / "w", folder / "w"):
        place.write_bytes(arrays["W"].tobytes())
    os.symlink(tmp_path / "secret", folder / "link")
    os.symlink(tmp_path / "model2", folder / "folder")
    os.symlink(folder / "w", folder / "within")
    os.mkfifo(folder / "pipe")
    (folder / "short").write_bytes(b"1234")

    def outside(location, **more):
        model = build(nodes, arrays)
        tensor = next(t for t in model.graph.initializer if t.name == "W")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return str(path), arrays["W"]

    return outside


@pytest.mark.parametrize("location", ["w", "./w", "within"])
def test_data_inside_the_folder_is_read(location, outside):
    path, w = outside(location)
    layer = adapter.read(path)
    assert sorted(layer.parameters["w_x_l0"].ravel()) == sorted(w.ravel())
    assert adapter.runner(path, ours=False) is not None


@pytest.mark.parametrize("location", [
    "../secret", "../model2/w", "link", "folder/w", "folder/../w", "/etc/passwd", "{tmp}/secret", "", "missing", "pipe",
    "short", ".", "w\0", "x/../../secret",
])  # fmt: skip
def test_data_outside_the_folder_is_not(location, outside, tmp_path):
    path, _ = outside(location.replace("{tmp}", str(tmp_path)))
    refuses(path, "tensor W is stored in another file")


@pytest.mark.parametrize("more", [{"offset": -4}, {"offset": 8}, {"length": 5}, {"offset": "x"}, {"length": 2**62}])
def test_a_place_beyond_the_data(more, outside):
    refuses(outside("w", **more)[0], "tensor W is stored in another file")


# ---- graphs ---------------------------------------------------------------------------------------------------------


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def graphs(rng):
    """Name, model, and the words of its refusal."""
    nodes, arrays = plain(rng)
    lstm, squeeze = nodes
    both = weights(rng, d=2) | {"one": np.array([1]), "half": np.array([1]), "end": np.array([2])}
    dense = {"w": rng.standard_normal((H, 5)).astype(np.float32), "b": np.ones(5, np.float32)}
    yield "cycle", build([node("Add", ["a", "X"], ["b"]), node("Add", ["b", "X"], ["a"]), *nodes], arrays), "reads a,"
    yield "backward", build([squeeze, lstm], arrays), "node Squeeze .*reads raw"
    yield "itself", build([node("Identity", ["Y"], ["Y"])], {}), "reads Y"
    yield "made twice", build([*nodes, node("Identity", ["X"], ["Y"])], arrays), "Y is produced twice"
    yield "operator", build([*nodes[:1], node("Erf", ["raw"], ["Y"])], arrays), "node Erf Y is an operator"
    yield "loop", build([node("Loop", ["X"], ["Y"], body=build(nodes, arrays).graph)], {}), "node Loop"
    yield "rnn", build(*plain(rng, "RNN")), "node RNN raw is an operator"
    domain = build(nodes, arrays)
    domain.graph.node[0].domain = "com.evil"
    yield "domain", domain, "com.evil"
    for attributes, words in (
        ({"direction": "reverse"}, "direction=reverse"),
        ({"direction": "sideways"}, "direction is 'sideways'"),
        ({"output_sequence": 1}, "attribute output_sequence"),
        ({"activations": ["Gelu", "Tanh", "Tanh"]}, "no activation 'Gelu'"),
        ({"activation_alpha": [0.5]}, "activation_alpha"),
        ({"activations": ["Tanh"]}, "must name 3"),
        ({"input_forget": 3}, "input_forget is 3"),
        ({"clip": -1.0}, "clip"),
    ):
        yield str(attributes), build(*plain(rng, **attributes)), f"node LSTM raw .*{words}"
    yield "gru clip", build(*plain(rng, "GRU", clip=1.0)), "attribute clip"
    yield "gru activations", build(*plain(rng, "GRU", activations=["Gelu", "Tanh"])), "no activation 'Gelu'"
    other = ["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Relu"]
    mixed = node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=H, direction="bidirectional", activations=other)
    yield "directions", build([mixed], both), "different activations"
    yield "hidden", build([node("LSTM", ["X", "W", "R", "B"], ["raw"], hidden_size=5), squeeze], arrays), "W should be"
    two = [node("LSTM", ["X", "W", "R", "B"], ["Y2", "", "c"], hidden_size=H), *nodes]
    yield "left over", build(two, arrays), "node LSTM Y2.* does not lead to the output"
    yield (
        "unused layer",
        build([*nodes, node("MatMul", ["Y", "w"], ["z"])], arrays | {"w": dense["w"]}),
        "node MatMul z",
    )
    yield "no layers", build([node("Identity", ["X"], ["Y"])], {}), "outputs are not"
    yield "axes", build([lstm, node("Identity", ["raw"], ["Y"])], both), "W should be"
    state = node("LSTM", ["X", "W", "R", "B", "", "h", "h"], ["raw"], hidden_size=H)
    yield "state", build([state, squeeze], arrays | {"h": np.ones((1, 1, H), np.float32)}), "initial state"
    shared = build([state, squeeze], arrays, {"X": (1, ("T", "N", F)), "h": (1, (3, "N", H))})
    shared.graph.node.insert(0, node("Slice", ["h0", "one", "two", "zero"], ["h"]))
    shared.graph.input[1].name = "h0"
    for name, value in (("two", 2), ("zero", 0)):
        shared.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    yield "rows of a state", shared, "takes its initial state h"
    yield "unused tensor", build(nodes, arrays | {"extra": np.ones(3)}), "tensor extra"
    more = {"X": (1, ("T", "N", F)), "other": (1, ("T",))}
    yield "unused input", build(nodes, arrays, more), "tensor other"
    doubled = [node("Concat", [f"s{k}", f"s{k}"], [f"s{k + 1}"], axis=0) for k in range(60)]
    yield "shape bomb", build([*nodes, node("Shape", ["X"], ["s0"]), *doubled], arrays), "more than a chain of layers"
    constants = [node("Concat", [f"k{k}", f"k{k}"], [f"k{k + 1}"], axis=0) for k in range(60)]
    yield "constant bomb", build(constants, {"k0": np.ones(64)}), "more than a chain of layers"
    many = node("ConstantOfShape", ["n"], ["Y"], value=numpy_helper.from_array(np.array([1])))
    yield "shape of a constant", build([many], {"n": np.array([2**40])}), "more than a chain of layers"
    one_way = [node("LSTM", ["X", "W", "R", "B"], ["raw"], hidden_size=H, direction="bidirectional"),
               node("Gather", ["raw", "first"], ["Y"], axis=1)]  # fmt: skip
    yield "half", build(one_way, weights(rng, d=2) | {"first": np.array(0)}), "outputs are not"
    for name, row in {
        "bias": [node("MatMul", ["Y", "w"], ["z"]), node("Add", ["z", "one"], ["out"])],
        "residual": [node("MatMul", ["Y", "w"], ["z"]), node("Add", ["z", "z"], ["out"])],
        "alpha": [node("Gemm", ["Y", "w", "b"], ["out"], alpha=2.0)],
        "softmax of time": [node("Softmax", ["Y"], ["out"], axis=0)],
        "reshape": [node("Reshape", ["Y", "one"], ["out"])],
        "not a row": [node("Transpose", ["Y"], ["t"], perm=[0, 2, 1]), node("MatMul", ["t", "w"], ["out"])],
        "first step": [node("Gather", ["Y", "first"], ["out"], axis=0)],
    }.items():
        more = dense | {"first": np.array(0)}
        yield name, build([*nodes, *row], arrays | more, outputs=("out",)), f"node {row[-1].op_type} out"


@pytest.mark.parametrize("k", range(len(list(graphs(np.random.default_rng(0))))))
def test_graphs_that_are_not_ours_to_read(k, put, rng):
    _, model, words = list(graphs(rng))[k]
    refuses(put(model), words)


def test_random_damage_gives_typed_errors_only(put, rng):
    """Whatever bytes change in a file of others: it is read, or refused with a sentence."""
    data = build(*plain(rng)).SerializeToString()
    head = len(data) - sum(a.nbytes for a in plain(rng)[1].values())
    said = set()
    for _ in range(250):
        bad = bytearray(data)
        for at in rng.choice(len(data) if rng.random() < 0.3 else head, rng.integers(1, 4)):
            bad[at] = rng.integers(256)
        try:
            with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *_, **__: None)
                adapter.read(put(bytes(bad)))
        except CompuertaError as error:
            said.add(str(error).split(": ", 1)[-1])
    assert len(said) > 20


def test_without_the_package_the_extra_is_named():
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "from compuerta.interop import onnx\nfrom compuerta.errors import MissingExtraError\n"
        "try: onnx.read('x.onnx')\nexcept MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "compuerta[onnx]"' in done.stdout
