"""``compuerta convert`` and ``info`` on files of any format: told, proven, and nothing written that is not."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta.interop import formats, runners, verify
from compuerta.interop.formats import Runner
from compuerta.layers import GRU, LSTM, Dense, Embedding, Sequential
from compuerta.texts import LANGUAGES

FOLDER = Path(__file__).parent / "golden" / "interop"


@pytest.fixture(autouse=True)
def alone(monkeypatch, here, unset):
    """No framework is found here, whether one is installed or not; the language is English."""
    monkeypatch.setattr(runners, "find_spec", lambda name: None)


@pytest.fixture
def peer(monkeypatch):
    """Let a format have its framework: our own layers with ``change`` done to what they give."""

    def install(name, change=lambda y: y):
        adapter = formats.FORMATS[name].adapter

        def runner(path, *, ours, **options):
            layer = adapter.read(path, **options)
            return Runner(f"{name} 9.9", lambda x, state: (change(layer.forward(x, state)[0]), None))

        monkeypatch.setattr(adapter, "runner", runner)

    return install


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_conversion_says_what_it_did(ok, lang):
    out, err = ok("convert", FOLDER / "pytorch_lstm.pt", "m.keras", "--lang", lang)
    assert {"en": "two biases were summed", "es": "dos sesgos se sumaron"}[lang] in err
    assert {"en": "PyTorch is not installed here", "es": "PyTorch no está instalado aquí"}[lang] in err
    assert {"en": "Keras is not installed here", "es": "Keras no está instalado aquí"}[lang] in err
    assert {"en": "No other framework is installed here to confirm it", "es": "Aquí no hay instalado otro programa"}[
        lang
    ] in out
    assert "0.0e+00" in out
    assert {"en": "m.keras: Keras, 1,000 parameters", "es": "m.keras: Keras, 1000 parámetros"}[lang] in out
    assert os.listdir() == ["m.keras"]


def test_a_conversion_with_the_other_sides_here(ok, peer):
    peer("pytorch")
    peer("keras")
    out, err = ok("convert", FOLDER / "pytorch_lstm.pt", "m.keras", "--seed", "7")
    assert "pytorch 9.9 and compuerta on the source, 8 runs: largest difference 0.0e+00" in out
    assert "keras 9.9 and compuerta on the target, 8 runs" in out
    assert "Proven equal: the difference 0.0e+00 is within 2e-06 (seed 7)." in out
    assert "cannot run" not in err


@pytest.mark.parametrize("side", ["pytorch", "keras"])
@pytest.mark.parametrize(
    "wrong", [lambda y: y + 1e-5, lambda y: y[:, ::-1], lambda y: y * np.nan, lambda y: y[:, :, :-1]]
)
def test_a_difference_is_found_and_nothing_written(run, peer, side, wrong):
    peer(side, wrong)
    Path("m.keras").write_text("older")
    code, _, err = run("convert", FOLDER / "pytorch_lstm.pt", "m.keras")
    assert code == 1
    assert "m.keras was not written: the two sides differ by" in err.splitlines()[-1]
    assert Path("m.keras").read_text() == "older"
    assert os.listdir() == ["m.keras"]
    out, _ = run("convert", FOLDER / "pytorch_lstm.pt", "m.keras", "--no-verify")[1:]
    assert "Not compared, as asked." in out
    assert compuerta.interop.read("m.keras").num_layers == 2


def test_the_tolerance_is_that_asked_for(run, peer):
    peer("keras", lambda y: y + 1e-5)
    assert run("convert", FOLDER / "pytorch_lstm.pt", "m.keras", "--tolerance", "2e-5")[0] == 0
    assert run("convert", FOLDER / "pytorch_lstm.pt", "n.keras", "--tolerance", "5e-6")[0] == 1
    assert os.listdir() == ["m.keras"]


def test_json(run, peer):
    peer("keras")
    for lang in LANGUAGES:
        code, out, err = run("convert", FOLDER / "pytorch_lstm.pt", "m.keras", "--json", "--seed", 3, "--lang", lang)
        assert (code, err) == (0, "")
        facts = json.loads(out)
        assert (facts["source_format"], facts["target_format"], facts["seed"]) == ("pytorch", "keras", 3)
        assert facts["verified"] is True
        assert [c["side"] for c in facts["checks"]] == ["source", "target", "again"]
        assert [c["against"] for c in facts["checks"]] == [None, "keras 9.9", "compuerta"]
        assert "summed into one" in facts["notes"][0]
    peer("keras", lambda y: y + 1)
    code, out, err = run("convert", FOLDER / "pytorch_lstm.pt", "n.keras", "--json")
    assert code == 1
    assert json.loads(out)["verified"] is False
    assert not Path("n.keras").exists()


def test_every_golden_file_goes_to_every_format_that_holds_it(ok, run):
    held = 0
    for source in ("pytorch_lstm.pt", "pytorch_gru.pt", "keras_gru_before.keras", "flax_lstm.npz", "equinox_gru.npz"):
        for end in (".safetensors", ".pytorch.safetensors", ".keras", ".flax.npz", ".equinox.npz", ".tf1.npz"):
            code, _, err = run("convert", FOLDER / source, "m" + end)
            if code:
                assert "cannot express" in err
                assert not Path("m" + end).exists()
                continue
            held += 1
            first, second = (compuerta.interop.read(path) for path in (FOLDER / source, "m" + end))
            if end != ".tf1.npz" and source != "keras_gru_before.keras":
                assert np.array_equal(first.parameters.flat, second.parameters.flat)
            os.unlink("m" + end)
    assert held == 24


def test_options_reach_the_formats(ok, run):
    compuerta.interop.write(LSTM(3, 4, rng=0), "m.tf1.npz")
    _, err = ok("convert", "m.tf1.npz", "a.safetensors", "--forget-bias", "0")
    assert "forget_bias=0 was added" in err
    ok("convert", "m.tf1.npz", "b.safetensors")
    difference = compuerta.load("b.safetensors").parameters["b_l0"] - compuerta.load("a.safetensors").parameters["b_l0"]
    np.testing.assert_allclose(difference, [0] * 4 + [1] * 4 + [0] * 8, atol=1e-6)
    model = Sequential(Embedding(4, 4, rng=0), Dense(4, 4, rng=1), Dense(4, 4, rng=2))
    compuerta.interop.write(model, "m.flax.npz")
    code, _, err = run("convert", "m.flax.npz", "c.keras")
    assert code == 0, err  # numbers in names give the order
    ok("convert", "m.flax.npz", "d.keras", "--map", "embed,dense_1,relu,dense,softmax")
    names = [layer.name for layer in compuerta.interop.read("d.keras").layers]
    assert names == ["Embedding", "Dense", "Activation", "Dense", "Activation"]
    ok("convert", "d.keras", "e", "--to", "pytorch")
    assert formats.find("e").name == "pytorch"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["{}/pytorch_lstm.pt", "m.foo"], 1, "its name does not say in which format to write"),
        (["{}/pytorch_lstm.pt", "m.pt"], 1, "compuerta does not write .pt"),
        (["{}/pytorch_lstm.pt", "no/m.keras"], 1, "no"),
        (["{}/pytorch_lstm.pt", "{}/pytorch_lstm.pt"], 1, "is the source itself"),
        (["{}/nothing.pt", "m.keras"], 1, "nothing.pt"),
        (["{}/make_keras.py", "m.keras"], 1, "is in no format that compuerta reads"),
        (["{}/keras_gru_before.keras", "m.pytorch.safetensors"], 1, "GRU with reset_after=False"),
        (["{}/keras_lambda.keras", "m.safetensors"], 1, "keras.layers.Lambda"),
        (["{}/pytorch_lstm.pt", "m.keras", "--to", "keros"], 2, "Did you mean keras?"),
        (["{}/pytorch_lstm.pt", "m.keras", "--forget-bias", "1"], 2, "--forget-bias does not apply"),
        (["{}/pytorch_lstm.pt", "m.keras", "--tolerance", "0"], 2, "--tolerance"),
        (["{}/pytorch_lstm.pt", "m.keras", "--map", "a,b"], 1, "'a' is not a layer of the file"),
        (["{}/pytorch_lstm.pt"], 2, "TARGET is missing"),
    ],
)
def test_what_is_refused(run, args, code, said):
    got, out, err = run("convert", *(arg.format(FOLDER) for arg in args))
    assert (got, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert os.listdir() == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_info_on_any_file(ok, lang):
    for name, said in {
        "pytorch_lstm.pt": ["PyTorch", "LSTM", "i f g o", "float32", "weight_hh_l1_reverse", "(20, 5)"],
        "keras_text.keras": [
            "Keras",
            "i f c o, z r h",
            "layers/bidirectional/forward_layer/cell/vars/0",
            "Embedding(7, 3)",
        ],
        "keras_functional.weights.h5": ["Keras", "i f c o"],
        "flax_gru.npz": ["Flax", "cell/hn/bias", "r z n"],
        "equinox_lstm.npz": ["Equinox", "weight_hh"],
        "keras_lambda.keras": ["Keras", "keras.layers.Lambda", "layers/lstm/cell/vars/1"],
    }.items():
        out, _ = ok("info", FOLDER / name, "--lang", lang)
        for word in said:
            assert word in out, (name, word)


def test_info_as_json_is_the_same_in_both_languages(ok):
    for name in ("pytorch_text.pt", "keras_lambda.keras"):
        first, second = (ok("info", FOLDER / name, "--json", "--lang", lang)[0] for lang in LANGUAGES)
        assert first == second
    facts = json.loads(ok("info", FOLDER / "pytorch_text.pt", "--json")[0])
    assert (facts["format"], facts["gate_order"], facts["dtype"], facts["parameters"]) == (
        "PyTorch",
        "i f g o",
        "float32",
        341,
    )


def test_info_on_our_own_file_tells_its_gates(ok):
    compuerta.save(GRU(3, 4, rng=0), "m.safetensors")
    facts = json.loads(ok("info", "m.safetensors", "--json")[0])
    assert (facts["format"], facts["gate_order"], facts["dtype"]) == ("compuerta", "r z n", "float32")


# ---- the comparison -------------------------------------------------------------------------------------------------


def test_differences():
    assert verify.difference(np.array([1.0, np.nan]), np.array([1.0, np.nan])) == 0
    assert verify.difference(np.array([1.0, np.inf]), np.array([1.0, 2.0])) == math.inf
    assert verify.difference(np.array([100.0]), np.array([101.0])) == 0.01
    assert verify.difference(np.zeros((0, 2)), np.zeros((0, 2))) == 0


@pytest.mark.parametrize("fault", ["y", "h", "c", "only with a state", "only long", "only in a batch"])
def test_a_comparison_finds_what_only_shows_here_and_there(fault):
    layer = LSTM(3, 4, 2, rng=0)

    def run(x, state):
        y, (h, c), _ = layer.forward(x, state)
        here = {"only with a state": state is not None, "only long": x.shape[1] > 10, "only in a batch": len(x) > 1}
        if fault == "y" or here.get(fault):
            y = y + 1e-4
        return y, (h + 1e-4 * (fault == "h"), c + 1e-4 * (fault == "c"))

    check = verify.compare(layer, Runner("peer", run), seed=1)
    assert check.difference == pytest.approx(1e-4, rel=1e-2)
    assert verify.compare(layer, Runner("peer", lambda x, s: layer.forward(x, s)[:2]), 1) == verify.Check(
        "peer", 8, 0.0
    )
