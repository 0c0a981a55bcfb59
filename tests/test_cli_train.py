"""``compuerta train``: what it says and saves, and what it refuses before any work."""

import os
import re

import pytest

import compuerta
from command_line import TRAIN, WORDS, parsed
from compuerta.tasks import LanguageModel
from compuerta.texts import LANGUAGES

pytestmark = pytest.mark.usefixtures("unset")

# ---- train ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_train_a_text(here, ok, made, lang):
    out, err = ok("train", made / "text.txt", "-o", "m.safetensors", *TRAIN, "--updates", 12, "--lang", lang)
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines] == {
        "en": ["Read", "Kept", "Bits per character on the validation split"],
        "es": ["Leídos", "Guardados", "Bits por carácter en la parte de validación"],
    }[lang]
    assert re.search(r"\b(update|actualización) \d+ (of|de) 12, .*\(\d+ s\)", lines[1])
    assert "12/12" in err
    assert {"en": "Saved: m.safetensors", "es": "Guardado: m.safetensors"}[lang] in err
    assert "compuerta generate m.safetensors" in err
    assert "Embedding" in err
    assert os.listdir(here) == ["m.safetensors"]  # and no checkpoint is left
    model = compuerta.load("m.safetensors")
    assert model.report_["updates"] == 12
    assert f"{model.report_['bits_per_char']:.3f}" in lines[2]
    assert f"{model.report_['unigram']:.3f}" in lines[2]
    assert {"en": "would help most", "es": "lo que más ayudaría"}[lang] in lines[2].lower()


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
    "damaged.txt": ("añ".encode() + b"\xf1o", "byte 0xf1 at offset 3", "byte 0xf1 en la posición 3"),
    "utf16.txt": (UTF16 + b"a", "byte 0x61 at offset", "byte 0x61 en la posición"),
    "empty.txt": (b"", "is empty", "está vacío"),
    "bom.txt": (b"\xef\xbb\xbf", "is empty", "está vacío"),
    "one.txt": (b"a", "1 characters", "1 car"),
    "words.csv": (b"a,b\nx1,y\nz,w\nu,v\n", "no column holds numbers", "ninguna columna"),
    "two.csv": (b"a,b\n1,2\n3,5\n9,4\n", "several columns hold numbers", "varias columnas"),
    "open.csv": (b"v\n1.880\n1.917\n", "line 2", "línea 2"),
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
