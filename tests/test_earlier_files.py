"""Files that an earlier version wrote still load, and give what they gave (golden/earlier, with the script)."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta.data import read_series
from compuerta.layers import Trace
from compuerta.training import load_checkpoint

FOLDER = Path(__file__).parent / "golden" / "earlier"
LAYERS = ["lstm_variant", "lstm_coupled", "gru_both_ways", "gru", "min_lstm", "sequential"]
TRACES = sorted(path.stem for path in FOLDER.glob("trace_*.safetensors"))
TEXT = "la luna, la luz,\nla lana. " * 12


@pytest.fixture(scope="module")
def values():
    with np.load(FOLDER / "values.npz", allow_pickle=False) as file:
        return dict(file)


def close(got, expected):
    tolerance = 1e-5 if expected.dtype == np.float32 else 1e-12
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(values, name):
    layer = compuerta.load(FOLDER / f"{name}.safetensors")
    close(layer(values[f"{name}/x"])[0], values[f"{name}/y"])


def test_a_layer_keeps_its_settings():
    layer = compuerta.load(FOLDER / "lstm_variant.safetensors")
    assert layer.switches() == {
        "peepholes": True, "input_activation": "Softsign", "layer_norm": "cell", "projection_size": 3, "cell_clip": 2.0,
        "zoneout": [0.1, 0.1], "learn_state": True,
    }  # fmt: skip


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_language_model(values, cell):
    model = compuerta.load(FOLDER / f"language_{cell}.safetensors")
    assert model.score(TEXT) == pytest.approx(float(values[f"language_{cell}/score"]), rel=1e-5)
    assert model.cell == cell
    assert model.report_["updates"] == 4


def test_a_forecaster(values):
    forecast = compuerta.load(FOLDER / "forecaster.safetensors").predict()
    np.testing.assert_allclose(forecast.mean, values["forecaster/mean"], rtol=1e-5)
    np.testing.assert_allclose(forecast.lower[80], values["forecaster/lower"], rtol=1e-5)
    expected = read_series(FOLDER / "series.csv").future_dates(3)
    assert forecast.dates == expected


@pytest.mark.parametrize("name", TRACES)
def test_a_trace(values, name):
    trace = Trace.load(FOLDER / f"{name}.safetensors")
    stored = {key.split("/")[1]: value for key, value in values.items() if key.startswith(f"{name}/")}
    found = {f"{key[0]}.{key[1]}.{key[2] if len(key) > 2 else 0}": trace[key] for key in trace}
    assert found.keys() == {key for key in stored if "." in key}
    for key, value in found.items():
        assert value.tobytes() == stored[key].tobytes()
    if "language" in name:
        assert trace.text == "la luz\n"
        assert trace.vocabulary == "".join(sorted(set(TEXT)))
    elif "forecaster" in name:
        assert trace.values_in.tolist() == stored["values_in"].tolist()
        assert trace.labels == stored["labels"].tolist()
    else:
        assert trace.lengths.tolist() == [6, 4]
    assert trace.steps.tolist() == list(range(trace.shape[1]))
    assert "compuerta.mount" in trace._repr_html_()


def test_a_checkpoint_goes_on(values, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    shutil.copy(FOLDER / "checkpoint.safetensors", path)
    before, content = load_checkpoint(path)
    settings = {"hidden_size": 4, "embedding_size": 3, "batch_size": 2, "steps": 8, "learning_rate": 0.02, "seed": 3}
    model = compuerta.LanguageModel(**settings, updates=6, schedule="constant").fit(TEXT, checkpoint=path, resume=True)
    assert len(model.report_["losses"]) == 6
    assert model.report_["losses"][: len(before["losses"])] == np.round(before["losses"], 6).tolist()
    assert content["training"]["update"] < 6
    # The text is cut into windows otherwise now, and its start state is trained: near the bits of then, not the same.
    assert np.abs(model.model_.parameters.flat - values["checkpoint/parameters"]).max() < 0.1
