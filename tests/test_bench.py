"""``compuerta bench`` in both languages and for programs, and that what it times is what the layers compute."""

import json
import re

import numpy as np
import pytest

from compuerta import GRU, LSTM, cli, recurrence
from compuerta.cli import bench
from compuerta.errors import Phrase
from compuerta.recurrence import choice
from compuerta.recurrence.numpy_engine import NumpyEngine
from compuerta.texts import LANGUAGES, catalogue

SMALL = {"forward": ((4, 3, 5, 7),), "stream": ((1, 1, 5, 7),), "train": ((4, 3, 5, 7),)}
NATIVE = recurrence.why_not_native() is None


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command on small cells; return its exit code, stdout and stderr."""
    monkeypatch.setattr(bench, "WORKS", SMALL)

    def run(*args):
        before = recurrence.engine(), recurrence.num_threads()
        code = cli.run(["bench", *map(str, args)])
        assert (recurrence.engine(), recurrence.num_threads()) == before
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize("lang", LANGUAGES)
def test_tables_for_a_person(run, lang):
    code, out, err = run("--seconds", 0.01, "--lang", lang, "--engine", "numpy")
    words = catalogue(lang)
    assert code == 0, err
    assert err.count("\n") == 1
    for what in SMALL:
        assert words[f"cli.bench.{what}"] in out
    assert len(re.findall(r"^ +4 +3 +5 +7 +[\d.,\u202f]+ +[\d.]+$", out, re.M)) == 2
    assert len(re.findall(r"^ +1 +1 +5 +7 +[\d.,\u202f]+ +[\d.,\u202f]+$", out, re.M)) == 1
    assert "numpy" in out
    assert words["cli.bench.of_peak"] not in out  # the machine's peak is measured by the library
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.skipif(not NATIVE, reason="no native engine here")
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_native_engine_is_seen_beside_the_peak(run, cell):
    code, out, err = run("--seconds", 0.01, "--cell", cell, "--dtype", "float64", "--threads", 1, "--engine", "native")
    assert code == 0, err
    assert f"{cell.upper()}, float64" in out
    assert "native (" in out
    assert catalogue("en")["cli.bench.of_peak"] in out
    assert len(re.findall(r"^ +4 +3 +5 +7 .* \d+%$", out, re.M)) == 2
    assert "nan" not in out


@pytest.mark.parametrize("engine", list(recurrence.engines()))
def test_json(run, engine):
    code, out, err = run("--seconds", 0.01, "--json", "--engine", engine, "--threads", 2)
    assert code == 0, err
    assert out.count("\n") == 1
    found = json.loads(out)
    native = engine != "numpy"
    assert (found["engine"], found["threads"]) == (engine, 2 if native else None)
    assert (found["cell"], found["dtype"]) == ("lstm", "float32")
    assert engine.partition(":")[2] in ("", found["variant"])
    assert (found["peak_gflops"] is not None) == native
    sizes = [(row["what"], tuple(row[key] for key in "TNFH")) for row in found["rows"]]
    assert sizes == [(what, size) for what, sizes in SMALL.items() for size in sizes]
    for row in found["rows"]:
        assert row["microseconds"] > 0
        assert row.keys() >= ({"per_second"} if row["what"] == "stream" else {"gflops"})
        assert ("share_of_peak" in row) == (native and row["what"] != "stream")


def test_the_environment_chooses_the_engine(run, monkeypatch):
    monkeypatch.setattr(choice, "_active", None)
    monkeypatch.setenv("COMPUERTA_ENGINE", "numpy")
    code, out, _ = run("--seconds", 0.01, "--json")
    assert code == 0
    assert json.loads(out)["engine"] == "numpy"


@pytest.mark.parametrize(
    "args",
    [("--threads", 0), ("--threads", "many"), ("--seconds", 0), ("--seconds", "nan"), ("--cell", "rnn"),
     ("--dtype", "float16"), ("--engine", "abacus"), ("--engine",), ("more",), ("--float64",)],
)  # fmt: skip
def test_wrong_use(run, args):
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_an_engine_that_is_near_is_named(run):
    assert "Did you mean numpy?" in run("--engine", "nunpy")[2]


def test_the_native_engine_where_there_is_none(run, monkeypatch):
    for module in (recurrence, choice):
        monkeypatch.setattr(module, "engines", lambda: {"numpy": NumpyEngine()})
        monkeypatch.setattr(module, "why_not_native", lambda: Phrase("native.missing"))
    monkeypatch.setattr(choice, "_active", None)
    monkeypatch.delenv("COMPUERTA_ENGINE", raising=False)
    code, out, err = run("--engine", "native")
    assert (code, out) == (1, "")
    assert catalogue("en")["native.missing"] in err


# ---- what is timed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_what_is_timed_is_what_the_layers_compute(kind, rng):
    layer = kind(5, 7, dtype="float64", rng=1)
    x, dy = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 7))
    y, _, tape = layer.forward(x, record=True)
    np.testing.assert_array_equal(bench.work("forward", layer, x, dy)()[0], y)

    expected = layer.backward(tape, dy)
    train = bench.work("train", layer, x, dy)
    version = layer.parameters.version
    found = train()
    assert layer.parameters.version > version  # so that weights are packed again, as after an update
    np.testing.assert_array_equal(found.x, expected.x)
    assert set(found.parameters) == set(layer.parameters)
    for name in layer.parameters:
        np.testing.assert_array_equal(found[name], expected[name])

    step = bench.work("stream", layer, x, dy)
    again = np.repeat(x[:1, :1], 6, axis=1)
    np.testing.assert_allclose([step() for _ in range(6)], layer(again)[0][0], rtol=0, atol=1e-12)


def test_operations():
    # Two steps of one row: of (3 + 5) numbers each of the 4 * 5 sums takes as many products and additions.
    assert bench.flops("forward", (2, 1, 3, 5), 4) == 2 * (4 * 5) * (3 + 5) * 2
    assert bench.flops("train", (2, 1, 3, 5), 4) == 3 * bench.flops("forward", (2, 1, 3, 5), 4)


def test_medians_take_turns():
    calls = []
    found = bench.medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, seconds=0)
    assert calls == [*"aabb", *"ababab"]  # one to warm up and one to see how long it takes; then the turns
    assert found.keys() == {"a", "b"}
    assert all(value >= 0 for value in found.values())


@pytest.mark.skipif(not NATIVE, reason="no native engine here")
def test_limits_keep_the_highest(monkeypatch):
    monkeypatch.setattr(choice, "_active", recurrence.engines()["native"])
    limits = bench.Limits(32, 2, [4096])
    limits.measure(0.001)
    assert set(limits.peaks) == {1, 2}
    assert {4096, *bench.cache_sizes()} == set(limits.reading)
    assert all(value > 0 for value in (*limits.peaks.values(), *limits.reading.values()))
    limits.peaks[1] = limits.reading[4096] = 1e30
    limits.measure(0.001)
    assert limits.peaks[1] == limits.reading[4096] == 1e30
    assert limits.peak((9, 1, 3, 5), 2) == 1e30  # one row takes one thread
    assert limits.peak((9, 2, 3, 5), 2) == limits.peaks[2]
