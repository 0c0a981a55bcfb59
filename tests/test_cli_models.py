"""The commands that use a model: generate, forecast, evaluate, info and explain, for people and for programs."""

import csv
import io

import numpy as np
import pytest

import compuerta
from command_line import WORDS, parsed
from compuerta.data import seasonal_series
from compuerta.texts import LANGUAGES

pytestmark = pytest.mark.usefixtures("unset")

# ---- files that are no model, or one of another kind ----------------------------------------------------------------


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
    err = refused(1, "generate", made / "text.safetensors", "--prompt", "la ☃", "--unknown", "refuse")
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
    held_out = model.validation_split(WORDS * 40)
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
    (here / "t.csv").write_text("who,\x1b[2J\x1b]0;title\x07red\n" + "\n".join(f"a{k},{k % 5}" for k in range(40)))
    out, err = ok("train", "t.csv", "-o", "m", "--horizon", 2, "--origins", 0, "--hidden-size", 2)
    assert "\x1b" not in (out + err).replace("\x1b[A", "")
    out, err = ok("info", "m")
    assert "\x1b" not in out
    assert "red" in out


# ---- explain --------------------------------------------------------------------------------------------------------


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
