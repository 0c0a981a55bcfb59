"""Parts of traces, and traces in files."""

import json

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, MinLSTM, files
from compuerta.errors import FileFormatError, SettingError, ShapeError
from compuerta.layers import Trace
from compuerta.see import readings
from traced_cases import KINDS, make


def test_a_part_of_a_trace(rng):
    layer = make("lstm", rng)
    lengths = np.array([7, 3])
    _, trace = layer.trace(rng.normal(size=(2, 7, 3)), lengths=lengths)
    part = trace.select(units=[3, 1], steps=slice(2, 6), rows=[1])
    assert part.shape == (1, 4)
    assert np.array_equal(part["f", 1, 1], trace["f", 1, 1][[1]][:, 2:6][:, :, [3, 1]])
    assert np.array_equal(part["z_f", 0], trace["z_f", 0][[1]][:, 2:6][:, :, [3, 1]])
    assert part.units[0].tolist() == [3, 1]
    assert part.steps.tolist() == [2, 3, 4, 5]
    assert part.lengths.tolist() == [1]
    smaller = part.select(units=1, steps=[0, -1])
    assert smaller.units[1].tolist() == [1]
    assert smaller.steps.tolist() == [2, 5]
    assert np.array_equal(smaller["c", 0, 0], trace["c", 0, 0][[1]][:, [2, 5]][:, :, [1]])
    dy = rng.normal(size=trace.y.shape)
    assert np.array_equal(smaller.gradients(dy)["c", 0, 0], trace.gradients(dy)["c", 0, 0][[1]][:, [2, 5]][:, :, [1]])
    for bad in ({"units": 4}, {"steps": [7]}, {"rows": [-3]}, {"units": [0.5]}):
        with pytest.raises(SettingError):
            trace.select(**bad)


def test_what_stands_along_a_trace_is_given_when_it_is_made(rng):
    _, trace = make("gru", rng).trace(rng.normal(size=(1, 7, 3)), lengths=[6])
    labels = list("abcdefg")
    other = trace.with_labels(labels=labels, values_in=np.arange(7.0), steps=np.arange(7) + 10)
    assert (other.labels, trace.labels) == (labels, None)
    assert np.array_equal(other["n", 1, 1], trace["n", 1, 1])
    assert other.lengths.tolist() == [6]
    dy = rng.normal(size=trace.y.shape)
    part = other.select(steps=[1, 3])
    assert (part.labels, part.steps.tolist(), part.values_in.tolist()) == (["b", "d"], [11, 13], [1.0, 3.0])
    again = part.with_labels(labels=["y", "z"])
    assert again.whole is other
    assert np.array_equal(again.gradients(dy)["h", 0], trace.gradients(dy)["h", 0][:, [1, 3]])
    assert again.gradients(dy).labels == ["y", "z"]
    for name, value in (("labels", labels[1:]), ("text", "abc"), ("values_in", np.zeros(8)), ("steps", np.arange(3))):
        with pytest.raises(ShapeError, match=name):
            trace.with_labels(**{name: value})
        with pytest.raises(AttributeError):
            setattr(trace, name, value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_trace_back(rng, tmp_path, kind):
    layer, path = make(kind, rng, "float32"), tmp_path / "run.safetensors"
    _, trace = layer.trace(rng.normal(size=(2, 7, 3)), lengths=np.array([7, 3]))
    trace.save(path)
    again = Trace.load(path)
    assert list(again) == list(trace)
    for key in (*trace, *(("z_" + b, 1, 1) for b in layer.blocks)):
        assert again[key].tobytes() == trace[key].tobytes()
    assert again.y.tobytes() == trace.y.tobytes()
    assert again.lengths.tolist() == [7, 3]
    assert again.select(units=[1])["h", 0].shape == (2, 7, 1)
    with pytest.raises(SettingError, match="trace the model again"):
        again.gradients()


def test_a_file_holds_what_the_inputs_were(tmp_path):
    text = '<script>\x1b[31m "ñ"\n'
    model = compuerta.LanguageModel(hidden_size=4, embedding_size=3, updates=1, batch_size=1, steps=4).fit(text * 9)
    trace = model.trace(text)
    trace.save(tmp_path / "a")
    again = Trace.load(tmp_path / "a")
    assert again.text == text
    assert again.labels == list(text)
    assert again.vocabulary == model.vocabulary_.characters
    part = again.select(steps=slice(3, 5))
    assert part.text == text[3:5]
    assert part.labels == list(text[3:5])


def test_a_part_of_a_part_knows_what_stood_before_it(rng):
    layer = make("lstm", rng)
    _, trace = layer.trace(rng.normal(size=(2, 7, 3)), lengths=np.array([7, 6]))
    part = trace.select(steps=[1, 4, 5, 6], units=[3, 0, 1]).select(steps=[1, 3], rows=[1, 0], units=[2, 0])
    assert part.steps.tolist() == [4, 6]
    assert part.units[1].tolist() == [1, 3]
    assert np.array_equal(part["f", 1, 0], trace["f", 1, 0][[1, 0]][:, [4, 6]][:, :, [1, 3]])
    assert np.array_equal(part.initial("c", 1, 0), trace["c", 1, 0][[1, 0], 3][:, [1, 3]])
    assert np.array_equal(part.initial("h", 0, 1), trace.initial("h", 0, 1)[[1, 0]][:, [1, 3]])
    first = trace.select(steps=[2, 3]).select(steps=[0])
    assert np.array_equal(first.initial("h", 0, 1), trace["h", 0, 1][:, 3])
    dy = rng.normal(size=trace.y.shape)
    assert np.array_equal(part.gradients(dy)["o", 0], trace.gradients(dy)["o", 0][[1, 0]][:, [4, 6]][:, :, [1, 3]])


def test_units_of_a_projection_are_those_of_its_gates(rng):
    layer = LSTM(3, 6, projection_size=2, rng=0)
    _, trace = layer.trace(rng.normal(size=(2, 5, 3)), clamp={("f", 0, 5): 1.0})
    assert trace.units[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert [(v.unit, v.count) for v in readings.verdicts(readings.saturation(trace))] == [(5, 10)]
    part = trace.select(units=[5, 1])
    assert np.array_equal(part["f", 0], trace["f", 0][:, :, [5, 1]])
    assert np.array_equal(part["h", 0], trace["h", 0])  # there is no feature 5
    assert np.array_equal(trace.select(units=[1])["h", 0], trace["h", 0][:, :, [1]])


#: In place of an entry that a file lacks.
GONE = object()


def test_a_file_carries_what_the_cell_is(tmp_path, rng):
    switches = {"peepholes": True, "gate_activation": ["HardSigmoid", 0.25, 0.5], "cell_clip": 1.5, "zoneout": (0.1, 0)}
    for layer in (LSTM(2, 3, rng=0, **switches), LSTM(2, 3, full_gate_recurrence=True, output_gate=False, rng=0),
                  GRU(2, 3, reset_after=False, rng=0), MinLSTM(2, 3, rng=0)):  # fmt: skip
        _, trace = layer.trace(rng.normal(size=(4, 2)))
        trace.select(steps=[2, 3]).save(tmp_path / "a")
        again = Trace.load(tmp_path / "a")
        assert again.kinds == trace.kinds == (layer.kind,)
        assert again.kind_of(0)["h"].equation == layer.kind["h"].equation
        for part in layer.kind.parts:
            assert np.array_equal(again.initial(part, 0), trace[part, 0][:, 1])


def test_a_file_of_a_kind_that_is_not_known_is_refused_by_name(tmp_path):
    _, trace = LSTM(2, 3, rng=0).trace(np.ones((4, 2)))
    trace.save(tmp_path / "a")
    tensors, content = files.read(tmp_path / "a")
    content["kinds"][0]["key"] = "slstm"
    files.write(tmp_path / "a", tensors, content)
    with pytest.raises(FileFormatError, match="slstm, which this compuerta does not know"):
        Trace.load(tmp_path / "a")


def test_a_damaged_file_is_refused(tmp_path):
    _, trace = LSTM(2, 3, rng=0).trace(np.ones((4, 2)))
    path = tmp_path / "a"
    trace.save(path)
    tensors, content = files.read(path)
    (kind,) = content["kinds"]
    memory, before = kind["memory"], {"kinds": GONE}
    for change in (
        {"kind": "LanguageModel"}, {"shape": [1, 5]}, {"shape": None}, {"kinds": [["f", "q"]]}, {"kinds": 3},
        {"directions": [2]}, {"directions": []}, {"steps": [0]}, {"labels": ["a"]}, {"text": "abc"}, {"units": 4},
        {"lengths": [5]}, {"lengths": [-1]}, {"lengths": 3}, {"lengths": [1, 1]}, {"lengths": [[1]]},
        {"units": [[0]]}, {"units": []}, {"units": [3]}, {"units": [[0, 1, -2]]}, {"units": [[0, 1, 0.5]]},
        {"kinds": [{}]}, {"kinds": []}, {"kinds": [kind, kind]}, {"kinds": [{**kind, "key": "gru"}]},
        {"directions": [0]}, {"directions": [-1]}, {"directions": [1.5]}, {"labels": []}, {"labels": {}},
        {"labels": [1, 2, 3, 4]},
        {"text": []}, {"text": ["a"] * 4}, {"vocabulary": 7}, {"lengths": [True]}, {"steps": [0, 1, 2, "3"]},
        *({"kinds": [{**kind, **wrong}]} for wrong in (
            {"key": []}, {"key": "q" * 999}, {"quantities": {}}, {"quantities": [1]}, {"blocks": 3}, {"parts": [["h"]]},
            {"parts": None}, {"parts": ["q"]}, {"activations": {}},
            {"activations": dict.fromkeys("ifgoh", ("Nonsense",))},
            {"switches": 1}, {"switches": {"x": "two\nlines"}},
            {"quantities": kind["quantities"] | {"f": {"equation": "two\nlines"}}}, {"memory": None},
            {"memory": memory | {"zoneout": 2}}, {"memory": memory | {"clip": -1}}, {"memory": memory | {"clip": "1"}},
        )),
        *({**before, "names": names} for names in (
            3, [["f", "q"]], [["f", "h"]], [[]], [], [list("iffgoch")], [[1, 2]])),
    ):  # fmt: skip
        changed = content | change
        files.write(path, tensors, {key: value for key, value in changed.items() if value is not GONE})
        with pytest.raises(FileFormatError):
            Trace.load(path)
    for wrong in ({"nonsense": np.ones(3)}, {"values": np.ones(3)}, {"f.0.0": np.ones((1, 4, 2), np.float32)}):
        files.write(path, {**tensors, **wrong}, content)
        with pytest.raises(FileFormatError):
            Trace.load(path)
    files.write(path, {k: v for k, v in tensors.items() if k != "h.0.0"}, content)
    with pytest.raises(FileFormatError):
        Trace.load(path)
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError):
        Trace.load(path)
