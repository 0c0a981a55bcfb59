"""``compuerta demo``: it trains, writes, judges what it wrote, and overwrites nothing of a person's."""

import os
import re

import pytest

import compuerta
from command_line import parsed
from compuerta.cli import demo
from compuerta.data import from_words
from compuerta.tasks import LanguageModel
from compuerta.texts import LANGUAGES

pytestmark = pytest.mark.usefixtures("unset")


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
