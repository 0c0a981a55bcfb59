"""The commands do what they say: in both languages, for people and for programs, and when something goes wrong."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import compuerta
from compuerta import cli
from compuerta.cli import demo
from compuerta.data import from_words, read_series, seasonal_series
from compuerta.tasks import Forecaster, LanguageModel
from compuerta.texts import LANGUAGES

WORDS = "la luna, la luz, la lana.\nñandú y más, ¿no?\n"
TRAIN = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--steps", "8"]


@pytest.fixture(autouse=True)
def no_language(monkeypatch):
    for name in ("COMPUERTA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*args):
        code = cli.run([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ok(run):
    """Run a command that must succeed; return stdout and stderr."""

    def ok(*args):
        code, out, err = run(*args)
        assert code == 0, err
        return out, err

    return ok


@pytest.fixture
def refused(run):
    """Run a command that must fail with this code; return its one line."""

    def refused(code, *args):
        got, out, err = run(*args)
        assert (got, out) == (code, ""), (out, err)
        assert err.startswith("Error: ")
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        return err

    return refused


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A text and a table, and a model of each."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "text.txt").write_text(WORDS * 40, encoding="utf-8")
    values = seasonal_series(72, 12, 0)
    rows = [f"{2015 + k // 12}-{k % 12 + 1:02d},{v:.3f}" for k, v in enumerate(values)]
    (folder / "sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
    language = LanguageModel(8, embedding_size=4, batch_size=4, steps=8, updates=30, learning_rate=0.02)
    compuerta.save(language.fit(WORDS * 40), folder / "text.safetensors")
    forecaster = Forecaster(6, hidden_size=3, members=1, max_epochs=3, origins=2)
    compuerta.save(forecaster.fit(read_series(folder / "sales.csv")), folder / "sales.safetensors")
    compuerta.save(compuerta.Sequential(compuerta.LSTM(2, 3, rng=0), compuerta.Dense(3, 1, rng=1)), folder / "layers")
    return folder


def parsed(out):
    """stdout as JSON: one object on one line, and nothing else."""
    assert out.count("\n") == 1
    return json.loads(out)


def process(*args, **more):
    program = [sys.executable, "-m", "compuerta", *map(str, args)]
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **more
    )


# ---- train ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_train_a_text(here, ok, made, lang):
    out, err = ok("train", made / "text.txt", "-o", "m.safetensors", *TRAIN, "--updates", 12, "--lang", lang)
    lines = out.splitlines()
    assert re.match(r"\d\.\d{3} " + {"en": "bits per char", "es": "bits por car"}[lang], lines[0])
    assert "unigram" in lines[1] or "unigrama" in lines[1]
    assert re.search(r"\b12 \w+ (in|en) \d+ s", out)
    assert "12/12" in err
    assert {"en": "Saved: m.safetensors", "es": "Guardado: m.safetensors"}[lang] in err
    assert "compuerta generate m.safetensors" in err
    assert "Embedding" in err
    assert os.listdir(here) == ["m.safetensors"]  # and no checkpoint is left
    model = compuerta.load("m.safetensors")
    assert model.report_["updates"] == 12
    assert f"{model.report_['bits_per_char']:.3f}" in lines[0]
    assert f"{model.report_['unigram']:.3f}" in lines[1]


def test_train_a_text_with_every_option(here, ok, made):
    options = {"--layers": 2, "--cell": "gru", "--dropout": 0.1, "--learning-rate": 0.01, "--schedule": "cosine",
               "--clip": 0.5, "--validation": 0.2, "--seed": 7, "--updates": 6}  # fmt: skip
    given = [part for pair in options.items() for part in pair]
    out, _ = ok("train", made / "text.txt", "-o", "m", *TRAIN, *given, "--json")
    result = parsed(out)
    assert (result["task"], result["model"], result["updates"]) == ("text", "m", 6)
    assert len(result["losses"]) == 1
    params = compuerta.load("m").get_params()
    expected = {"hidden_size": 8, "num_layers": 2, "embedding_size": 4, "cell": "gru", "dropout": 0.1, "batch_size": 4,
                "steps": 8, "updates": 6, "learning_rate": 0.01, "schedule": "cosine", "clip": 0.5, "validation": 0.2,
                "seed": 7}  # fmt: skip
    assert {name: params[name] for name in expected} == expected
    whole = LanguageModel(**params).fit(WORDS * 40)
    assert whole.report_["bits_per_char"] == result["bits_per_char"]


def test_train_for_minutes(here, ok, made):
    out, _ = ok("train", made / "text.txt", "-o", "m", *TRAIN, "--minutes", 0.005, "--json")
    assert parsed(out)["updates"] > 2
    assert compuerta.load("m").updates is None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_train_a_series(here, ok, made, lang):
    given = ["--horizon", 6, "--origins", 1, "--hidden-size", 3, "--learning-rate", 0.01]
    out, err = ok("train", made / "sales.csv", *given, "--lang", lang)
    assert "MASE" in out
    assert re.search(r"^ +LSTM +\S+ +\d+\.\d\d$", out, re.M)
    assert {"en": "seasonal naive", "es": "ingenu"}[lang] in out
    assert "sales.safetensors" in os.listdir(here)
    assert "compuerta forecast sales.safetensors" in err
    assert "2015-01" in err
    assert {"en": "year, month", "es": "año, mes"}[lang] in err
    model = compuerta.load("sales.safetensors")
    assert (model.horizon_, model.period_, model.hidden_size) == (6, 12, 3)


def test_train_a_series_as_json(here, ok, made):
    out, _ = ok("train", made / "sales.csv", "--horizon", 4, "--origins", 0, "--hidden-size", 2, "--json")
    result = parsed(out)
    assert (result["task"], result["n"], result["backtest"]) == ("series", 72, None)


def test_the_task_is_told_by_the_file_or_the_option(here, ok, made):
    table = made / "sales.csv"
    out, _ = ok("train", table, "-o", "a", "--task", "text", *TRAIN, "--updates", 1, "--json")
    assert parsed(out)["task"] == "text"
    (here / "table.txt").write_bytes(table.read_bytes())
    out, _ = ok("train", "table.txt", "-o", "b", "--origins", 0, "--horizon", 3, "--hidden-size", 2, "--json")
    assert parsed(out)["task"] == "series"


@pytest.mark.parametrize(
    ("file", "option", "task"),
    [
        ("text.txt", ["--horizon", 3], "text"), ("text.txt", ["--column", "x"], "text"),
        ("text.txt", ["--origins", 0], "text"), ("sales.csv", ["--layers", 2], "series"),
        ("sales.csv", ["--updates", 10], "series"), ("sales.csv", ["--minutes", 1], "series"),
        ("sales.csv", ["--resume"], "series"), ("sales.csv", ["--clip", 1], "series"),
        ("sales.csv", ["--validation", 0], "series"),
    ],
)  # fmt: skip
def test_options_of_the_other_task_are_refused(here, refused, made, file, option, task):
    quick = [*TRAIN, "--updates", 1] if task == "text" else ["--hidden-size", 2]
    err = refused(2, "train", made / file, "-o", "m", *quick, *option)
    assert option[0] in err
    assert task in err
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    "option",
    [
        ["--updates", "1e10"], ["--updates", "-1"], ["--updates", "nan"], ["--updates", "0"], ["--hidden-size", "2.5"],
        ["--hidden-size", "1e9"], ["--learning-rate", "0"], ["--learning-rate", "nan"], ["--clip", "-1"],
        ["--validation", "0.95"], ["--dropout", "1"], ["--seed", "-1"], ["--minutes", "inf"], ["--batch-size", "x"],
        ["--horizon", "0"], ["--window", "1"], ["--cell", "rnn"], ["--task", "poem"],
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(here, refused, made, option):
    err = refused(2, "train", made / "text.txt", "-o", "m", *option)
    assert option[0] in err
    assert f"'{option[1]}'" in err
    assert "compuerta train --help" in err
    assert os.listdir(here) == []


# ---- files that cannot be read or written ---------------------------------------------------------------------------

UTF16 = "una línea\n".encode("utf-16")
FILES = {
    "nothing.txt": (None, "there is no file", "no existe"),
    "binary.txt": (b"abc\0def", "NUL byte at offset 3", "byte NUL en la posición 3"),
    "latin.txt": ("año".encode("latin-1"), "byte 0xf1 at offset 1", "byte 0xf1 en la posición 1"),
    "utf16.txt": (UTF16, "byte 0xff at offset 0", "byte 0xff en la posición 0"),
    "empty.txt": (b"", "is empty", "está vacío"),
    "bom.txt": (b"\xef\xbb\xbf", "is empty", "está vacío"),
    "one.txt": (b"a", "1 characters", "1 car"),
    "words.csv": (b"a,b\nx1,y\nz,w\nu,v\n", "no column holds numbers", "ninguna columna"),
    "two.csv": (b"a,b\n1,2\n3,5\n9,4\n", "several columns hold numbers", "varias columnas"),
    "gap.csv": (b"d,v\n2020-01,1\n2020-02,\n2020-03,4\n", "line 3", "línea 3"),
    "short.csv": (b"v\n1\n2\n3\n4\n", "4 values", "4 valores"),
}


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_serve_is_told_in_one_sentence(here, run, name, lang):
    content, *said = FILES[name]
    if content is not None:
        (here / name).write_bytes(content)
    code, out, err = run("train", name, "-o", "m", "--hidden-size", 2, "--lang", lang)
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert said[LANGUAGES.index(lang)] in last
    assert name in last or name in ("one.txt", "short.csv")
    assert os.listdir(here) == ([name] if content is not None else [])


def test_an_output_that_cannot_be_written_is_refused_before_the_work(here, refused, made):
    (here / "folder").mkdir()
    (here / "link").symlink_to(here / "elsewhere")
    for output, said in (("no/m", "no"), ("folder", "folder"), ("link", "link")):
        err = refused(1, "train", made / "text.txt", "-o", output, *TRAIN, "--updates", 100)
        assert said in err
        assert ".part" not in err  # the name of a temporary file says nothing to anyone
    (here / "m.checkpoint").mkdir()
    assert "m.checkpoint" in refused(1, "train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 100)


def test_the_file_that_is_learnt_from_is_not_overwritten(here, refused, made):
    series = ["--horizon", 3, "--origins", 0, "--hidden-size", 2]
    for source, quick in (("text.txt", [*TRAIN, "--updates", 1]), ("sales.csv", series)):
        (here / source).write_bytes((made / source).read_bytes())
        (here / "same").unlink(missing_ok=True)
        (here / "same").hardlink_to(here / source)
        for output in (source, f"./{source}", "same"):
            assert source in refused(2, "train", source, "-o", output, *quick)
            assert (here / source).read_bytes() == (made / source).read_bytes()


@pytest.mark.parametrize("command", [["generate"], ["forecast"], ["info"], ["evaluate"]])
def test_what_is_no_model_file_is_told(here, refused, made, command):
    rest = [made / "text.txt"] if command == ["evaluate"] else []
    for name, content in (("broken", (made / "text.safetensors").read_bytes()[:-3]), ("text", b"a text"), ("e", b"")):
        (here / name).write_bytes(content)
        assert name in refused(1, *command, name, *rest)
    flipped = bytearray((made / "text.safetensors").read_bytes())
    flipped[-1] ^= 1
    (here / "flipped").write_bytes(flipped)
    assert "checksum" in refused(1, *command, "flipped", *rest)
    assert "nowhere" in refused(1, *command, "nowhere", *rest)
    assert "is a folder" in refused(1, *command, ".", *rest)


def test_a_model_of_another_kind_is_told(refused, made):
    for args, got, expected in (
        (("generate", made / "sales.safetensors"), "forecasting model", "language model"),
        (("forecast", made / "text.safetensors"), "language model", "forecasting model"),
        (("generate", made / "layers"), "network of layers", "language model"),
        (("evaluate", made / "layers", made / "text.txt"), "network of layers", "compuerta train"),
    ):
        err = refused(1, *args)
        assert got in err
        assert expected in err
        assert "compuerta info" in err


# ---- generate -------------------------------------------------------------------------------------------------------


def test_generate(ok, made):
    model = compuerta.load(made / "text.safetensors")
    args = ("generate", made / "text.safetensors", "--prompt", "la l", "--length", 30)
    out, err = ok(*args, "--seed", 3)
    assert out == "la l" + model.generate("la l", 30, temperature=0.8, seed=3) + "\n"
    assert err == ""
    out, _ = ok(*args, "--seed", 3, "--json", "--temperature", 0.5, "--top-k", 3, "--top-p", 0.9)
    expected = model.generate("la l", 30, temperature=0.5, top_k=3, top_p=0.9, seed=3)
    assert parsed(out) == {"prompt": "la l", "text": expected}
    out, _ = ok(*args, "--temperature", 0, "--stop", "\n", "--json")
    assert parsed(out)["text"] == model.generate("la l", 30, temperature=0, stop="\n")
    assert ok(*args)[0] != ok(*args)[0]


def test_generate_names_an_unknown_character(refused, made):
    err = refused(1, "generate", made / "text.safetensors", "--prompt", "la ☃")
    assert "'☃' (U+2603) at position 3" in err
    assert "unknown=" not in err  # an argument of Python, of no use here


@pytest.mark.parametrize("option", [["--length", "0"], ["--temperature", "-1"], ["--top-k", "0"], ["--top-p", "1.5"],
                                    ["--top-p", "0"], ["--seed", "x"]])  # fmt: skip
def test_generate_refuses(refused, made, option):
    assert option[0] in refused(2, "generate", made / "text.safetensors", *option)


# ---- forecast -------------------------------------------------------------------------------------------------------


def test_forecast_as_json_and_csv_and_table(ok, made):
    expected = compuerta.load(made / "sales.safetensors").predict(8, [90])
    args = ("forecast", made / "sales.safetensors", "--horizon", 8, "--level", 90)
    result = parsed(ok(*args, "--json")[0])
    assert result["steps"] == [f"2021-{m:02d}" for m in range(1, 9)]
    assert result["mean"] == expected.mean.tolist()
    assert result["seasonal_naive"] == expected.seasonal_naive.tolist()
    (interval,) = result["intervals"].values()
    assert interval == {"lower": expected.lower[90].tolist(), "upper": expected.upper[90].tolist()}
    assert result["backtest"]["origins"] == 2

    out, err = ok(*args, "--csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert len(rows) == 9
    assert len(rows[0]) == 5
    assert [row[0] for row in rows[1:]] == result["steps"]
    np.testing.assert_allclose([float(row[1]) for row in rows[1:]], expected.mean, rtol=1e-9)
    np.testing.assert_allclose([float(row[2]) for row in rows[1:]], expected.lower[90], rtol=1e-9)

    out, err = ok(*args)
    assert len(out.splitlines()) == 9
    assert "MASE" in err  # what is known of it, beside the data and not in it
    assert "MASE" not in out


def test_forecast_from_another_file(here, ok, made):
    values = seasonal_series(50, 12, 5)
    (here / "other.csv").write_text("x,y\n" + "\n".join(f"a{k},{v:.3f}" for k, v in enumerate(values)))
    result = parsed(ok("forecast", made / "sales.safetensors", "other.csv", "--json")[0])
    assert result["steps"] == [str(k) for k in range(1, 7)]
    np.testing.assert_allclose(result["seasonal_naive"], values[-12:-6], atol=1e-3)
    out, _ = ok("forecast", made / "sales.safetensors", "other.csv", "--csv")
    for row in csv.reader(io.StringIO(out)):
        assert not row[0].startswith(("=", "+", "-", "@"))  # which a spreadsheet takes for a formula


def test_forecast_tells_levels_apart(ok, made):
    args = ("forecast", made / "sales.safetensors", "--level", 97, "--level", 97.5)
    assert set(parsed(ok(*args, "--json")[0])["intervals"]) == {"97", "97.5"}
    assert "upper_97.5" in ok(*args, "--csv")[0]
    assert ok("forecast", made / "sales.safetensors", "--level", 99.95)[0]  # the help says up to 100


@pytest.mark.parametrize("option", [["--horizon", "0"], ["--level", "0"], ["--level", "100"], ["--level", "nan"]])
def test_forecast_refuses(refused, made, option):
    assert option[0] in refused(2, "forecast", made / "sales.safetensors", *option)


# ---- evaluate, info -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_evaluate_a_text(here, ok, made, lang):
    model = compuerta.load(made / "text.safetensors")
    held_out = model.held_out(WORDS * 40)
    result = parsed(ok("evaluate", made / "text.safetensors", made / "text.txt", "--json")[0])
    assert result["bits_per_char"] == model.score(held_out)
    assert result["characters"] == len(held_out)
    result = parsed(ok("evaluate", made / "text.safetensors", made / "text.txt", "--all", "--json")[0])
    assert result["bits_per_char"] == model.score(WORDS * 40)
    (here / "other.txt").write_text("la luna\n", encoding="utf-8")
    out, _ = ok("evaluate", made / "text.safetensors", "other.txt", "--lang", lang)
    assert out.startswith(f"{model.score('la luna' + chr(10)):.3f} bits p")
    assert len(out.splitlines()) >= 2


def test_evaluate_a_series(ok, made):
    result = parsed(ok("evaluate", made / "sales.safetensors", made / "sales.csv", "--origins", 1, "--json")[0])
    assert (result["origins"], result["horizon"], result["period"]) == (1, 6, 12)
    out, err = ok("evaluate", made / "sales.safetensors", made / "sales.csv", "--origins", 1)
    assert "MASE" in out
    assert "check 1/1, network 2/2" in err


@pytest.mark.parametrize(
    ("model", "file", "option"),
    [
        ("text.safetensors", "text.txt", ["--column", "x"]), ("text.safetensors", "text.txt", ["--origins", "2"]),
        ("sales.safetensors", "sales.csv", ["--all"]),
    ],
)  # fmt: skip
def test_evaluate_refuses_what_has_no_meaning_for_the_model(refused, made, model, file, option):
    assert option[0] in refused(2, "evaluate", made / model, made / file, *option)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_info(ok, made, lang):
    out, err = ok("info", made / "text.safetensors", "--lang", lang)
    assert err == ""
    for said in ("LanguageModel", "hidden_size=8", "Embedding", "ñ"):
        assert said in out
    out, _ = ok("info", made / "sales.safetensors", "--lang", lang)
    for said in ("Forecaster", "sales", "72", "MASE"):
        assert said in out
    out, _ = ok("info", made / "layers", "--lang", lang)
    for said in ("Sequential", "LSTM(2, 3)", "0.w_x_l0", "(12, 2)"):
        assert said in out
    out, _ = ok("info", "--lang", lang)
    assert compuerta.__version__ in out
    assert np.__version__ in out


def test_info_as_json(ok, made):
    here = parsed(ok("info", "--json")[0])
    assert (here["version"], here["numpy"], here["engine"]) == (
        compuerta.__version__,
        np.__version__,
        compuerta.engine(),
    )
    facts = parsed(ok("info", made / "text.safetensors", "--json", "--lang", "es")[0])
    assert facts["kind"] == "LanguageModel"
    model = compuerta.load(made / "text.safetensors")
    assert facts["parameters"] == model.model_.parameters.size  # a number, not one written for people
    other = parsed(ok("info", made / "text.safetensors", "--json", "--lang", "en")[0])
    assert other == facts  # a program reads the same whatever the language


def test_names_in_a_model_file_cannot_move_the_cursor(here, ok, made):
    (here / "t.csv").write_text("day,\x1b[2J\x1b]0;title\x07red\n" + "\n".join(f"a{k},{k % 5}" for k in range(40)))
    out, err = ok("train", "t.csv", "-o", "m", "--horizon", 2, "--origins", 0, "--hidden-size", 2)
    assert "\x1b" not in (out + err).replace("\x1b[A", "")
    out, err = ok("info", "m")
    assert "\x1b" not in out
    assert "red" in out


# ---- demo -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_demo(monkeypatch):
    monkeypatch.setattr(demo, "SEEN", 300)
    monkeypatch.setattr(demo, "LIMIT", 1000)
    monkeypatch.setitem(demo.SETTINGS, "hidden_size", 12)
    monkeypatch.setitem(demo.SETTINGS, "embedding_size", 6)
    generate = LanguageModel.generate
    monkeypatch.setattr(LanguageModel, "generate", lambda self, p, n, **more: generate(self, p, min(n, 900), **more))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_demo(here, ok, small_demo, lang):
    out, err = ok("demo", "--updates", 5, "--lang", lang)
    assert sorted(os.listdir(here)) == ["numbers.safetensors", "numbers.txt"]
    lines = (here / "numbers.txt").read_text(encoding="utf-8").splitlines()
    assert len({from_words(line, lang) for line in lines}) == 300
    assert {"en": "What it writes", "es": "Lo que escribe"}[lang] in out
    assert re.search(r"\b0 \(0", out) or re.search(r"\b\d+ \(\d+\s?%\)", out)
    assert re.search(r"^\s*f\b|f_t", out, re.M)  # the gates
    assert "5/5" in err
    assert "compuerta generate numbers.safetensors" in err
    assert compuerta.load("numbers.safetensors").report_["updates"] == 5


def test_demo_judges_what_was_written_and_counts_it(here, ok, small_demo, monkeypatch):
    """With a writer put in its place, every count can be worked out."""
    result = parsed(ok("demo", "--updates", 1, "--json")[0])
    seen = [line for line in (here / "numbers.txt").read_text().splitlines() if line]
    every = {from_words(line, "en") for line in seen}
    from compuerta.data import in_words

    unseen = next(in_words(n, "en") for n in range(1000) if n not in every)
    written = "\n".join([seen[0], seen[1], unseen, "two hundred apple", seen[0], "cut of"])
    monkeypatch.setattr(LanguageModel, "generate", lambda self, p, n, **more: written)
    again = parsed(ok("demo", "--updates", 1, "--json", "-o", "other.safetensors")[0])
    assert (again["written"], again["valid"], again["unseen"]) == (5, 4, 1)  # the last line was cut off
    assert again["bits_per_char"] == result["bits_per_char"]
    assert set(again["gates"]) == {"f", "i", "g", "o", "c", "h"}
    assert {len(row) for row in again["gates"].values()} == {len(again["word"])}


def test_demo_overwrites_no_file_of_a_person(here, run, small_demo):
    (here / "notes.txt").write_text("precious")
    code, _, err = run("demo", "--updates", 1, "-o", "notes.safetensors")
    assert (here / "notes.txt").read_text() == "precious"
    assert code in (1, 2)
    assert "notes.txt" in err
    code, _, err = run("demo", "--updates", 1, "-o", "model.txt")  # where the text would go
    assert code in (1, 2)
    assert os.listdir(here) == ["notes.txt"]
    assert run("demo", "--updates", 1)[0] == 0
    assert run("demo", "--updates", 1, "--lang", "es")[0] == 0  # its own text may be written anew


# ---- Ctrl-C, resume, closed pipes -----------------------------------------------------------------------------------


def wait_for_updates(running):
    """Read stderr until the network is shown, which is right before the first update; then a little longer."""
    for line in running.stderr:
        if "total" in line:
            break
    time.sleep(0.5)


def test_ctrl_c_saves_and_resume_goes_on(here, ok, made, run):
    args = ["train", made / "text.txt", "-o", "m", *TRAIN, "--seed", 5]
    running = process(*args, "--updates", 1_000_000, cwd=here)
    wait_for_updates(running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "Stopped."
    assert "--resume" in err
    done = compuerta.load(here / "m").report_["updates"]
    assert done >= 1
    assert str(done) in err.replace(",", "")
    assert sorted(os.listdir(here)) == ["m", "m.checkpoint"]
    assert len(compuerta.load(here / "m").generate("la ", 5, seed=0)) == 5

    code, _, err = run(*args[:-1], 6, "--updates", done + 3, "--resume")  # another seed is another run
    assert code == 1
    assert "seed: 5" in err
    assert sorted(os.listdir(here)) == ["m", "m.checkpoint"]

    result = parsed(ok(*args, "--updates", done + 3, "--resume", "--json")[0])
    assert result["updates"] == done + 3
    assert os.listdir(here) == ["m"]
    whole = parsed(ok(*args[:3], "whole", *args[4:], "--updates", done + 3, "--json")[0])
    assert whole["bits_per_char"] == result["bits_per_char"]
    np.testing.assert_array_equal(
        compuerta.load("m").model_.parameters.flat, compuerta.load("whole").model_.parameters.flat
    )


def test_resume_without_a_checkpoint_is_told(here, run, made):
    code, out, err = run("train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 3, "--resume")
    assert (code, out) == (2, "")
    assert "m.checkpoint" in err.splitlines()[-1]


def test_a_checkpoint_that_is_left_is_not_overwritten(here, run, made):
    (here / "m.checkpoint").write_bytes(b"precious")
    code, out, err = run("train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 3)
    assert (code, out) == (2, "")
    assert "--resume" in err
    assert (here / "m.checkpoint").read_bytes() == b"precious"


def test_explain_shows_the_gates_of_a_model_of_ones_own(ok, refused, made):
    """The printed numbers are those of the trace, for the unit asked for; without one, for the unit that moves most."""
    model = compuerta.load(made / "text.safetensors")
    text = "la luna"
    told = parsed(ok("explain", made / "text.safetensors", "--text", text, "--unit", 3, "--json")[0])
    before = "\n" if "\n" in model.vocabulary_ else ""
    trace = model.trace(before + text)
    for key in "figoch":
        np.testing.assert_allclose(told["gates"][key], trace[key, 0][0, len(before) :, 2], rtol=1e-6)
    out, _ = ok("explain", made / "text.safetensors", "--text", text, "--lang", "es")
    assert text in out
    assert "compuerta de olvido" in " ".join(out.split())
    assert "--text" in refused(2, "explain", made / "text.safetensors")
    assert "MODEL" in refused(2, "explain", "--text", "x")
    assert "units" in refused(2, "explain", made / "text.safetensors", "--text", text, "--unit", 10_000)


def test_ctrl_c_in_a_series_stops_the_whole(here, made):
    running = process("train", made / "sales.csv", "-o", "m", "--horizon", 6, cwd=here)
    for line in running.stderr:
        if "72" in line:
            break
    time.sleep(0.7)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert os.listdir(here) == []


@pytest.mark.parametrize("command", ["generate", "info", "forecast"])
def test_closed_stdout_ends_quietly(made, command):
    model = made / ("sales.safetensors" if command == "forecast" else "text.safetensors")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "compuerta", command, model, *(["--csv"] if command == "forecast" else [])],
        stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_disk_that_fills_up_at_the_end_is_told_and_the_old_model_stays(here, run, made, monkeypatch):
    (here / "m").write_text("the old model")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = run("train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 2)
    assert (code, out) == (1, "")
    assert "no space is left on the disk" in err
    assert (here / "m").read_text() == "the old model"
    assert os.listdir(here) == ["m"]
