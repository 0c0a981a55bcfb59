"""The command as a person meets it: help, errors in one line, exit codes, streams, in both languages."""

import io
import json
import os
import re
import subprocess
import sys
import types
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compuerta import __version__, cli
from compuerta.cli import COMMANDS, base, output
from compuerta.cli.base import FILE, Choice, FloatRange, IntRange, Texts, argument, command, flag, option
from compuerta.cli.output import clean
from compuerta.errors import DataError, SettingError
from compuerta.texts import LANGUAGES, catalogue

CLICK_WORDS = [
    "Show this message", "Show the version", "default:", "[required]", "INTEGER", "FLOAT", "PATH", "ARGS",
    "Positional arguments", "Missing", "Invalid value", "No such", "Try '", "x>=", "<=x",
]  # fmt: skip
ENGLISH = ["Usage", "Options", "Commands", "Arguments", "Examples", "OPTIONS", "COMMAND", "FILE", "MODEL", "TEXT",
           "the", "default"]  # fmt: skip
SPANISH = ["Uso", "Opciones", "Órdenes", "Argumentos", "Ejemplos", "OPCIONES", "ORDEN", "ARCHIVO", "MODELO", "TEXTO",
           "esta", "por omisión"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("unset")


def compuerta(*args, env=None, **more):
    """Run the command as a process of its own."""
    defaults = {"capture_output": True, "text": True, "encoding": "utf-8", "timeout": 60}
    program = [sys.executable, "-m", "compuerta", *args]
    return subprocess.run(program, env={**os.environ, **(env or {})}, **{**defaults, **more})


@pytest.fixture
def toy(monkeypatch):
    """A command ``toy`` whose function is ``toy.does``; it knows every kind of option."""
    module = types.ModuleType("compuerta.cli.toy")
    module.does = lambda **values: None

    def make(t):
        @command(
            t,
            "toy",
            argument("file", FILE),
            option("-n", "--updates", type=IntRange(1, 1000), default=10),
            option("--rate", type=FloatRange(0, 1, open_low=True), default=0.5),
            option("--any", type=FloatRange()),
            option("--task", type=Choice(["text", "series"])),
            flag("--json"),
        )
        def function(**values):
            module.does(**values)

        return function

    module.make = make
    monkeypatch.setitem(sys.modules, "compuerta.cli.toy", module)
    monkeypatch.setattr(cli, "COMMANDS", {**COMMANDS, "toy": "toy"})
    for lang in LANGUAGES:
        for key in ("short", "help", "file", "updates", "rate", "any", "task"):
            monkeypatch.setitem(catalogue(lang), f"cli.toy.{key}", f"{key} {lang}")
    return module


# ---- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_speaks_one_language(name, lang, capsys):
    assert cli.run([*filter(None, [name]), "--lang", lang, "--help"]) == 0
    shown, err = capsys.readouterr()
    assert err == ""
    assert [word for word in CLICK_WORDS if word in shown] == []
    assert [word for word in (SPANISH if lang == "en" else ENGLISH) if re.search(rf"\b{word}\b", shown)] == []
    assert ("Usage: compuerta" if lang == "en" else "Uso: compuerta") in shown
    assert "{" not in shown
    assert max(len(line) for line in shown.splitlines() if not line.startswith("  compuerta ")) <= 80  # but to copy


@pytest.mark.parametrize("lang", LANGUAGES)
def test_help_lists_every_command_and_says_where_to_start(lang, capsys):
    assert cli.run(["--lang", lang]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^  {name}  +\S", shown, re.M), name
    for name in ("demo", "explain", "train"):
        assert f"compuerta {name}" in shown
    assert "_COMPUERTA_COMPLETE=bash_source" in shown


@pytest.mark.parametrize("lang", LANGUAGES)
def test_help_tells_defaults_and_ranges(toy, lang, capsys):
    assert cli.run(["toy", "--help", "--lang", lang]) == 0
    shown = capsys.readouterr().out
    notes = {"en": ["default 10; 1 to 1000", "default 0.5; above 0, up to 1"],
             "es": ["por omisión 10; de 1 a 1000", "por omisión 0.5; mayor que 0, hasta 1"]}[lang]  # fmt: skip
    for note in [*notes, f"file {lang}", "--task text|series", "-n, --updates N"]:
        assert note in " ".join(shown.split())


@pytest.mark.parametrize(("lang", "note"), [("en", "[default lesson.html]"), ("es", "[por omisión leccion.html]")])
def test_help_tells_the_file_that_is_written_without_one(lang, note, capsys):
    assert cli.run(["lesson", "--help", "--lang", lang]) == 0
    assert note in " ".join(capsys.readouterr().out.split())


def test_version():
    done = compuerta("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"compuerta {__version__}\n", "")


@pytest.mark.parametrize("args", [["--version"], ["--help"], [], ["explain", "--help"], ["nothing"]])
def test_help_does_not_wait_for_numpy(args):
    program = f"import sys; from compuerta.cli import run; run({args}); print('numpy' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8")
    assert done.stderr.splitlines()[-1] == "False"


# ---- language -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "environment", "lang"),
    [
        ([], {}, "en"),
        ([], {"LANG": "es_MX.UTF-8"}, "es"),
        ([], {"COMPUERTA_LANG": "en", "LANG": "es_MX.UTF-8"}, "en"),
        (["--lang", "es", "explain"], {}, "es"),
        (["explain", "--lang=es"], {"LANG": "en_GB"}, "es"),
        (["--lang", "es", "explain", "--lang", "en"], {}, "en"),
        (["--lang", "fr"], {"LANG": "es_ES"}, "es"),
        (["x", "--", "--lang", "es"], {}, "en"),
        (["--lang"], {}, "en"),
    ],
)
def test_language_of(args, environment, lang, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert base.language_of(args) == lang


# ---- errors of use --------------------------------------------------------------------------------------------------

WRONG = [
    (["toy"], "FILE is missing.", "falta ARCHIVO."),
    (["toy", "a", "b"], "'b' is one argument too many.", "'b' sobra"),
    (["toy", "a", "--updats", "3"], "there is no option --updats. Did you mean --updates?", "¿Quiso decir --updates?"),
    (["toy", "a", "--zzzzzz"], "there is no option --zzzzzz. See:", "no existe la opción --zzzzzz. Consulte:"),
    (["toy", "a", "--updates"], "--updates needs a value.", "--updates necesita un valor."),
    (["toy", "a", "--json=1"], "--json takes no value.", "--json no lleva ningún valor."),
    (["toy", "a", "--updates", "1e9"], "whole number (1 to 1000); got '1e9'", "número entero (de 1 a 1000)"),
    (["toy", "a", "-n", "-1"], "--updates must be a whole number (1 to 1000); got '-1'", "se recibió '-1'"),
    (["toy", "a", "--updates", "nan"], "got 'nan'", "se recibió 'nan'"),
    (["toy", "a", "--updates", "inf"], "got 'inf'", "se recibió 'inf'"),
    (["toy", "a", "--updates", "2.5"], "got '2.5'", "se recibió '2.5'"),
    (["toy", "a", "--updates", "9" * 5000], "got '999", "se recibió '999"),
    (["toy", "a", "--rate", "0"], "a number (above 0, up to 1); got '0'", "un número (mayor que 0, hasta 1)"),
    (["toy", "a", "--rate", "nan"], "got 'nan'", "se recibió 'nan'"),
    (["toy", "a", "--rate", "0,5"], "got '0,5'", "se recibió '0,5'"),
    (["toy", "a", "--any", "inf"], "--any must be a number; got 'inf'", "--any debe ser un número; se recibió"),
    (["toy", "a", "--task", "serie"], "one of text, series; got 'serie'. Did you mean series?", "text, series;"),
    (["toi"], "there is no command 'toi'", "no existe la orden 'toi'"),
    (["expain"], "Did you mean explain? See: compuerta --help", "¿Quiso decir explain? Consulte: compuerta --help"),
    (["--lang", "fr"], "--lang must be one of en, es; got 'fr'", "--lang debe ser uno de estos valores: en, es"),
    (["toy", "a", "--task", "\x1b[31mx\ny"], "got 'x y'", "se recibió 'x y'"),
]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: " ".join(wrong[0])[:30].replace("\x1b", ""))
def test_errors_of_use_are_one_line(toy, wrong, lang, capsys, monkeypatch):
    args, *sentences = wrong
    monkeypatch.setenv("COMPUERTA_LANG", lang)
    toy.does = lambda **values: pytest.fail("it ran")
    assert cli.run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert sentences[LANGUAGES.index(lang)] in err
    assert err.endswith(" --help\n")
    assert "\x1b" not in err


def test_numbers_are_read_as_people_write_them(toy):
    seen = []
    toy.does = lambda **values: seen.append(values)
    assert cli.run(["toy", "a", "--updates", "1e3", "--rate", "1e-2", "--any", "-3"]) == 0
    assert seen[0]["updates"] == 1000
    assert type(seen[0]["updates"]) is int
    assert (seen[0]["rate"], seen[0]["any"], seen[0]["task"], seen[0]["json"]) == (0.01, -3.0, None, False)
    assert os.fspath(seen[0]["file"]) == "a"


def test_a_command_may_refuse(toy, capsys, monkeypatch):
    monkeypatch.setitem(catalogue("en"), "cli.toy.clash", "{a} and {b} exclude each other.")

    def does(**values):
        raise base.Refused("cli.toy.clash", a="--x", b="--y")

    toy.does = does
    assert cli.run(["toy", "a"]) == 2
    assert capsys.readouterr().err == "Error: --x and --y exclude each other. See: compuerta toy --help\n"


# ---- failed runs ----------------------------------------------------------------------------------------------------

FAILED = [
    (SettingError("error.count", name="x", low=1, got=0), "x must be an integer >= 1; got 0.", "x debe ser un entero"),
    (DataError("error.engine", known="a", got="\x1b[2J\r\nb"), "got  b.", "se recibió  b."),
    (
        FileNotFoundError(2, "No such file", "a.txt"),
        "there is no file or folder a.txt.",
        "no existe el archivo ni la carpeta a.txt.",
    ),
    (PermissionError(13, "Permission denied", "a.txt"), "no permission for a.txt.", "no hay permiso para a.txt."),
    (IsADirectoryError(21, "Is a directory", "/tmp"), "/tmp is a folder", "/tmp es una carpeta"),
    (OSError(28, "No space left"), "no space is left on the disk for the output", "no queda espacio en el disco"),
    (OSError(5, "Input/output error", b"a\xff"), "a\ufffd: Input/output error", "a\ufffd: Input/output error"),
    (MemoryError(), "not enough memory", "no hay memoria suficiente"),
]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("failed", FAILED, ids=lambda failed: type(failed[0]).__name__)
def test_failed_runs_are_told_in_one_line(toy, failed, lang, capsys):
    error, *sentences = failed

    def does(**values):
        raise error

    toy.does = does
    assert cli.run(["toy", "a", "--lang", lang]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert sentences[LANGUAGES.index(lang)] in err


def test_ctrl_c(toy, capsys):
    def does(**values):
        raise KeyboardInterrupt

    toy.does = does
    assert cli.run(["toy", "a", "--lang", "es"]) == 130
    assert capsys.readouterr().err == "Detenido.\n"


def test_a_bug_keeps_its_traceback(toy):
    def does(**values):
        raise ZeroDivisionError

    toy.does = does
    with pytest.raises(ZeroDivisionError):
        cli.run(["toy", "a"])


# ---- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [["explain"], ["explain", "--json", "--hidden-size", "300"], ["--help"], ["--version"]]
)
def test_closed_stdout_ends_quietly(args):
    reader, writer = os.pipe()
    os.close(reader)
    done = compuerta(*args, stdout=writer, stderr=subprocess.PIPE, capture_output=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk is at hand on Linux only")
def test_full_disk_is_told():
    with open("/dev/full", "w") as full:
        done = compuerta("explain", "--lang", "es", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, "Error: no queda espacio en el disco para la salida.\n")


def test_exit_codes_of_the_process():
    assert compuerta("explain", "--hidden-size", "0").returncode == 2
    done = compuerta(env={"LANG": "es_ES.UTF-8"})
    assert done.returncode == 0
    assert done.stdout.startswith("Uso: compuerta ORDEN")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", ""])
def test_no_character_stops_it(encoding):
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    if not encoding:
        del environment["PYTHONIOENCODING"]
    done = compuerta("explain", env=environment, text=False, encoding=None)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"0.71953755" in done.stdout
    if encoding != "ascii":  # which click takes for an accident and writes UTF-8
        assert ("σ".encode() in done.stdout) == (not encoding)  # a pipe gets UTF-8 unless something else was asked for


def test_completion():
    done = compuerta(env={"_COMPUERTA_COMPLETE": "bash_complete", "COMP_WORDS": "compuerta exp", "COMP_CWORD": "1"})
    assert done.stdout == "plain,explain\n"
    words = {"COMP_WORDS": "compuerta explain --se", "COMP_CWORD": "2", "COMPUERTA_LANG": "es"}
    done = compuerta(env={"_COMPUERTA_COMPLETE": "zsh_complete", **words})
    assert done.stdout.splitlines()[1:] == ["--seed", catalogue("es")["cli.explain.seed"]]
    done = compuerta(env={"_COMPUERTA_COMPLETE": "zsh_source"})
    assert "#compdef compuerta" in done.stdout


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert output.painter(Terminal())("a", "title") == "\x1b[1ma\x1b[0m"
    assert output.painter(io.StringIO())("a", "title") == "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.painter(Terminal())("a", "title") == "a"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert output.painter(Terminal())("a", "title") == "a"


# ---- text and JSON --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain ñ ☃", "plain ñ ☃"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x1b(Bset", "set"),
        ("a\x1b", "a"),
        ("a\r\nb\tc\x00\x7f\x85d", "a b c d"),
        ("file\udcff.txt", "file\ufffd.txt"),
        ("abc\u202etxt.exe", "abctxt.exe"),
    ],
)
def test_clean(text, cleaned):
    assert clean(text) == cleaned


def test_clean_keeps_lines_when_asked():
    assert clean("a\n\tb\x1b[1m\x07", lines=True) == "a\n\tb"


@given(st.text(), st.booleans())
def test_clean_leaves_nothing_that_moves_the_cursor(text, lines):
    left = clean(text, lines=lines)
    allowed = "\n\t" if lines else ""
    assert [c for c in left if unicodedata.category(c) in ("Cc", "Cs") and c not in allowed] == []
    left.encode()


def test_json_is_strict(capsys):
    import numpy as np

    output.out_json({"a": np.array([1.0, np.nan]), "b": (np.int64(3), None, float("inf")), "ñ": "é"})
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert "ñ" in shown
    assert json.loads(shown) == {"a": [1.0, None], "b": [3, None, None], "ñ": "é"}


def test_json_moves_no_cursor_and_keeps_every_character(capsys):
    held = "a\x1b[31m\x07\x7f\x9b2J\u202eb\u2028c\u200f\U0001f600\udc80ñ"
    output.out_json({"text": held})
    shown = capsys.readouterr().out
    left = [c for c in shown.rstrip("\n") if unicodedata.category(c) in ("Cc", "Cs", "Cf", "Zl", "Zp")]
    assert left == []
    assert "ñ" in shown
    assert json.loads(shown) == {"text": held}


def test_texts():
    t = Texts("es")
    assert t("cli.error.needs_value", name="--x") == "--x necesita un valor."
    assert t.has("cli.help")
    assert not t.has("cli.nothing")
