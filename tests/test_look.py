"""``compuerta look`` and ``explain`` on a model of one's own: the numbers are the trace's, the text stays text."""

import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

import compuerta
from compuerta import cli, gates
from compuerta.cli import output
from compuerta.layers import Trace
from compuerta.see import readings, search
from compuerta.see.explain import numbers, traced_step
from compuerta.see.ribbon import cell, ribbon
from compuerta.see.scale import Scale
from compuerta.see.scene import scene_of

TEXT = 'él dijo "no" y ella "sí", <script>x</script> $a$ & más\n' * 25


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Small models in files: of a text, of a text with a GRU of two layers, of a series."""
    folder = tmp_path_factory.mktemp("look")
    small = {"hidden_size": 12, "embedding_size": 6, "updates": 40, "batch_size": 4, "steps": 24}
    compuerta.save(compuerta.LanguageModel(**small, learning_rate=0.02).fit(TEXT), folder / "text")
    compuerta.save(compuerta.LanguageModel(**small, cell="gru", num_layers=2).fit(TEXT), folder / "gru")
    series = compuerta.data.seasonal_series(60, period=12, rng=0)
    settings = {"horizon": 6, "hidden_size": 4, "members": 1, "max_epochs": 2, "origins": 0}
    compuerta.save(compuerta.Forecaster(**settings).fit(series), folder / "series")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture
def run(capsys):
    def call(*words, code=0):
        assert cli.run([str(w) for w in words]) == code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.out if code == 0 else said.err

    return call


def test_look_prints_the_numbers_of_the_trace(run, made):
    model, text = compuerta.load(made / "text"), 'dijo "no"'
    told = json.loads(run("look", made / "text", "--text", text, "--unit", 3, "--gate", "f", "--json"))
    trace = model.trace("\n" + text).select(steps=slice(1, None))
    np.testing.assert_allclose(told["values"], trace["f", 0][0, :, 2], rtol=1e-6)
    assert (told["gate"], told["layer"], told["unit"], told["text"]) == ("f", 1, 3, text)
    ledger = readings.ledger(trace)
    np.testing.assert_allclose(told["ledger"]["shares"], ledger.shares[:, 2], rtol=1e-6)
    parts = told["ledger"]
    assert sum(parts["shares"]) + parts["start"] + parts["rest"] == pytest.approx(parts["value"])
    assert told["half_life"] == pytest.approx(readings.half_life(trace)[2])
    assert len(told["verdicts"]) == len(readings.verdicts(readings.saturation(trace)))


def test_look_in_words(run, made):
    for lang, name in (("en", "cell state"), ("es", "estado de celda")):
        out = run("look", made / "text", "--text", 'él "no" $a$', "--lang", lang)
        assert name in out
        lines = out.splitlines()
        at = lines.index('él "no" $a$')
        assert re.fullmatch("[+−·]{11}", lines[at + 1])
        assert re.fullmatch("[▁▂▃▄▅▆▇█]{11}", lines[at + 2])
        assert "\x1b" not in out
        assert all(len(line) <= 80 for line in lines)
    gate = run("look", made / "gru", "--text", "dijo", "--gate", "z", "--layer", 2, "--unit", 5, "--lang", "en")
    assert "Unit 5 of layer 2: update gate (z)" in gate
    assert "Dark blue is closed" in gate


def test_what_is_found_is_judged_and_held(run, made):
    told = json.loads(run("look", made / "text", "--file", made / "text.txt", "--find", "quotes", "--json"))
    model = compuerta.load(made / "text")
    trace = model.trace("\n" + TEXT).select(steps=slice(1, None))
    found = search.find_units(trace, search.labels_of(TEXT, "quotes"))
    assert told["search"]["chance"] == found.chance
    for one, best in zip(told["search"]["best"], found.best, strict=True):
        assert (one["gate"], one["unit"], one["score"]) == (best.key, best.unit + 1, best.score)
    cost = search.cost_of_clamping(model, TEXT, found.best[0].key, 0, found.best[0].unit)
    assert told["search"]["clamped"] == {"value": cost.value, "bits_free": cost.free, "bits_clamped": cost.clamped}
    assert (told["unit"], told["gate"]) == (found.best[0].unit + 1, found.best[0].key)
    out = run("look", made / "text", "--file", made / "text.txt", "--find", "lines", "--lang", "es")
    assert "Correlación" in out
    assert "bits por" in out


def test_a_series_is_looked_at_too(run, made):
    out = run("look", made / "series", "--lang", "en")
    model = compuerta.load(made / "series")
    trace = model.trace()
    assert f"{trace.labels[0]} to {trace.labels[-1]}" in out
    heights = [line for line in out.splitlines() if re.fullmatch("[▁▂▃▄▅▆▇█]+", line)]
    values = model.series_.values[-trace.shape[1] :]
    assert heights[0][int(values.argmax())] == "█"
    assert heights[0][int(values.argmin())] == "▁"
    np.testing.assert_array_equal(trace.values_in, values)
    told = json.loads(run("look", made / "series", "--json"))
    assert told["labels"] == trace.labels
    assert "for language models" in run("look", made / "series", "--text", "x", "--lang", "en", code=2)


def test_a_page_of_another_series_shows_that_series(run, made, tmp_path):
    model = compuerta.load(made / "series")
    values = np.round(model.series_.values[::-1] + 3, 2)
    (tmp_path / "other.csv").write_text("other\n" + "\n".join(map(str, values)) + "\n")
    other = compuerta.data.read_series(tmp_path / "other.csv")
    scene = scene_of(model, other)
    assert scene.title == "other"
    window = model.traced(other).shape[1]
    np.testing.assert_array_equal(scene.reading["series"], values[-window:])
    assert not np.allclose(scene.reading["forecast"], scene_of(model).reading["forecast"])
    run("look", made / "series", "--file", tmp_path / "other.csv", "-o", tmp_path / "other.html")
    assert "<title>other</title>" in (tmp_path / "other.html").read_text(encoding="utf-8")


def test_pictures_and_numbers_in_files(run, made, tmp_path):
    for name in ("a.png", "a.svg", "a.safetensors"):
        assert run("look", made / "text", "--text", "dijo", "-o", tmp_path / name) == ""
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert Trace.load(tmp_path / "a.safetensors").text == "dijo"
    run("forecast", made / "series", "--plot", tmp_path / "b.svg", "--json")
    assert "</svg>" in (tmp_path / "b.svg").read_text()
    small = ("--hidden-size", 4, "--embedding-size", 3, "--batch-size", 2, "--steps", 8, "--updates", 4)
    run("train", made / "text.txt", "-o", tmp_path / "m", *small, "--plot", tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5000
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.safetensors", "a.svg", "b.svg", "c.png", "m"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["text"], "--text"), (["text", "--text", ""], "--text"),
        (["text", "--text", "a", "--gate", "q"], "i, f, g, o, c, h"),
        (["text", "--text", "no", "--unit", "13"], "12 units"),
        (["text", "--text", "no", "--layer", "2"], "1 recurrent"),
        (["text", "--text", "no", "-o", "x.pdf"], ".png, .svg, .safetensors"),
        (["text", "--text", "no", "--file", "text.txt"], "cannot be used together"),
        (["text", "--text", "n" * 5001], "5000"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_one_line(run, made, words, said):
    err = run("look", made / words[0], *words[1:], "--lang", "en", code=2)
    assert said in err


def test_a_file_that_is_read_is_not_overwritten(run, made, tmp_path):
    words, model, page = ["--text", "no", "--lang", "en"], tmp_path / "m.safetensors", tmp_path / "text.html"
    model.write_bytes((made / "text").read_bytes())
    page.write_text(TEXT, encoding="utf-8")
    (tmp_path / "same.safetensors").hardlink_to(model)
    for target in (model, tmp_path / "same.safetensors"):
        assert "m.safetensors is being read" in run("look", model, *words, "-o", target, code=2)
    assert "text.html is being read" in run("look", model, "--file", page, "-o", page, "--lang", "en", code=2)
    assert model.read_bytes() == (made / "text").read_bytes()
    assert page.read_text(encoding="utf-8") == TEXT


def test_what_cannot_be_done_is_told_in_one_line(run, made, monkeypatch, tmp_path):
    unknown = ("look", made / "text", "--text", "no ж", "--lang", "en")
    assert "not in the vocabulary" in run(*unknown, "--unknown", "refuse", code=1)
    assert "regular expression" in run(
        "look", made / "text", "--text", TEXT[:200], "--find", "(", "--lang", "en", code=1
    )
    assert "at least 60" in run(
        "look", made / "text", "--text", 'a "o" a "o"', "--find", "quotes", "--lang", "en", code=1
    )
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for words in (["look", "text", "--text", "no", "-o"], ["forecast", "series", "--plot"]):
        command, model, *rest = words
        err = run(command, made / model, *rest, tmp_path / "x.png", "--lang", "es", code=1)
        assert 'pip install "compuerta[plot]"' in err
    assert os.listdir(tmp_path) == []


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("lang", "said"), [("en", "Warning: "), ("es", "Aviso: ")])
def test_a_model_that_is_not_finite_is_looked_at_and_told_as_such(made, tmp_path, capsys, lang, said):
    broken, file = compuerta.load(made / "text"), tmp_path / "broken"
    weights = broken.model_.layers[1].parameters
    b = weights["b_l0"].copy()
    b[3] = np.nan  # the input gate of one unit, and by way of h soon every unit
    weights["b_l0"] = b
    compuerta.save(broken, file)
    asked = ["look", str(file), "--text", TEXT[:150], "--unit", "4", "--lang", lang]
    assert cli.run(asked) == 0
    out, err = capsys.readouterr()
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert ".py" not in err
    words = cli.Texts(lang)
    assert words("cli.look.not_finite") in " ".join(out.split())
    assert words("cli.look.half_life_none") not in " ".join(out.split())  # of NaN nothing can be said
    assert cli.run([*asked, "--find", "words"]) == 1
    assert "find_units: " in capsys.readouterr().err
    assert cli.run([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["values"] == [None] * 150
    assert told["half_life"] is None


def test_steps_are_those_of_the_text_in_every_face(made, tmp_path, run):
    run("look", made / "text", "--text", "dijo y ella", "-o", tmp_path / "t.safetensors", "--lang", "en")
    assert Trace.load(tmp_path / "t.safetensors").steps.tolist() == list(range(11))
    assert "a (11)" in " ".join(run("look", made / "text", "--text", "dijo y ella", "--lang", "en").split())


def test_a_page_too_large_is_refused_with_what_would_fit(run, made, monkeypatch, tmp_path):
    from compuerta.see import html

    monkeypatch.setattr(html, "MOST_VALUES", 72 * 50)  # 6 quantities of 12 units, for 50 characters
    err = run("look", made / "text", "--text", TEXT[:80], "-o", tmp_path / "a.html", "--lang", "en", code=2)
    assert "5760 values" in err
    assert "at most 50 characters" in err
    assert os.listdir(tmp_path) == []
    run("look", made / "text", "--text", TEXT[:50], "-o", tmp_path / "a.html", "--lang", "en")
    assert os.listdir(tmp_path) == ["a.html"]


def test_a_person_s_step_in_full(run, made):
    model = compuerta.load(made / "text")
    told = json.loads(run("explain", made / "text", "--text", "él dijo", "--step", 4, "--json"))
    trace = model.trace("\n" + "él dijo").select(steps=slice(1, None))
    step = traced_step(trace, 3)
    for name, value in numbers(step).items():
        np.testing.assert_allclose(told[name], value, rtol=1e-6)
    np.testing.assert_allclose(step["C_prev"], trace["c", 0][0, 2])
    first = traced_step(trace, 0)
    np.testing.assert_allclose(first["h_prev"], model.trace("\n")["h", 0][0, 0])
    whole, recurrent = np.concatenate((step["h_prev"], step["x"])), model.model_.layers[1].parameters
    z = np.hstack((recurrent["w_h_l0"], recurrent["w_x_l0"])) @ whole + recurrent["b_l0"]
    np.testing.assert_allclose(1 / (1 + np.exp(-z[12:24])), step["f"], rtol=1e-4)
    out = run("explain", made / "text", "--text", "él dijo", "--step", 4, "--unit", 2, "--lang", "es")
    assert "d" in out
    assert "Compuerta de olvido" in out
    assert "7 characters" in run("explain", made / "text", "--text", "él dijo", "--step", 8, "--lang", "en", code=2)
    out = run("explain", made / "gru", "--text", "él dijo", "--step", 4, "--layer", 2, "--lang", "es")
    assert "Compuerta de reinicio" in out
    told = json.loads(run("explain", made / "gru", "--text", "él dijo", "--step", 4, "--layer", 2, "--json"))
    step = traced_step(compuerta.load(made / "gru").trace("\nél dijo"), 4, layer=1)
    for name, value in numbers(step, gates.GRU).items():
        np.testing.assert_allclose(told[name], value, rtol=1e-6)
    np.testing.assert_allclose(np.add(told["kept"], told["written"]), told["h"], rtol=1e-5)
    second = json.loads(run("explain", made / "gru", "--text", "él dijo", "--layer", 2, "--unit", 1, "--json"))
    gru = compuerta.load(made / "gru").trace("\nél dijo")
    np.testing.assert_allclose(second["gates"]["z"], gru["z", 1][0, 1:, 0], rtol=1e-6)
    assert "MODEL" in run("explain", "--step", 1, "--lang", "en", code=2)


# ---- on a terminal --------------------------------------------------------------------------------------------------


def on_a_terminal(*words, **environment):
    """Run the command with a terminal for stdout, and return what it wrote."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "40", **environment}
    for name in [k for k, v in env.items() if v == ""]:
        del env[name]
    program = [sys.executable, "-m", "compuerta", *map(str, words)]
    running = subprocess.Popen(program, stdout=theirs, stderr=subprocess.DEVNULL, env=env)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's word for the end
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert running.wait() == 0
    return said.decode()


def test_a_terminal_gets_colours_and_its_own_width(made):
    words = ("look", made / "text", "--text", 'él dijo "no" y ella "sí", más él dijo "no" y ella', "--unit", 2)
    few = on_a_terminal(*words, COLORTERM="", NO_COLOR="")
    assert re.search(r"\x1b\[38;5;(16|231);48;5;\d+m", few)
    many = on_a_terminal(*words, COLORTERM="truecolor", NO_COLOR="")
    assert re.search(r"\x1b\[38;2;\d+;\d+;\d+;48;2;\d+;\d+;\d+mé\x1b\[0m", many)
    for said in (few, many):
        bare = re.sub(r"\x1b\[[\d;]*m", "", said).replace("\r", "").splitlines()
        at = next(k for k, line in enumerate(bare) if line.startswith("él"))
        assert len(bare[at]) == 40
        assert re.fullmatch("[+−·]{40}", bare[at + 1])
        assert max(map(len, bare)) <= 40
    for plain in ({"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(*words, **plain)


def test_nothing_of_a_text_reaches_the_terminal_but_as_text():
    text = "a\x1b[31m\x07\u202eb\x9bc\r\n\u0301\ud800\u2028\U0001f600"
    values = np.linspace(-1, 1, len(text))
    for colours in (0, 256, 2**24):
        drawn = re.sub(
            r"\x1b\[38;[\d;]+m|\x1b\[0m", "", ribbon(list(text), values, Scale(-1, 1, signed=True), colours=colours)
        )
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800\u2028]", drawn)
        assert "␛[31m␇" in drawn


def test_the_ribbon_keeps_signs_under_their_characters():
    values = np.array([0.5, -0.5, 0.9, np.nan, -np.inf])
    assert ribbon(list("漢ab?c"), values, Scale(-1, 1, signed=True)).splitlines() == ["漢ab?c", "+ −+?−", "▅ ▅█?∞"]
    narrow = ribbon(list("a漢b\nc"), values, Scale(-1, 1, signed=True), width=3).splitlines()
    assert narrow[::3] == ["a漢", "b⏎", "c"]
    assert ribbon([], values[:0], Scale(0, 1, signed=False)) == ""
    assert ribbon(list("ab"), np.array([0.0, 1.0]), Scale(0, 1, signed=False)).splitlines() == ["ab", "▁█"]
    assert cell("ab") == ("\ufffd", 1)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_for_terminals_that_want_them(monkeypatch, name, value):
    class Terminal:
        closed = False

        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLORTERM", "24bit")
    assert output.colours(Terminal()) == 2**24
    monkeypatch.setenv("COLORTERM", "")
    assert output.colours(Terminal()) == 256
    monkeypatch.setenv(name, value)
    assert output.colours(Terminal()) == 0
    assert output.colours(sys.stdout) == 0
