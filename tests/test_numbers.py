"""Numbers in words: against hand-written lists and against rules stated another way."""

import random
import re

import numpy as np
import pytest

from compuerta.data import corpus, from_words, in_words
from compuerta.errors import SettingError

# Written by hand after the Real Academia's and Merriam-Webster's spelling; every irregular form stands here once.
SPANISH = {
    0: "cero", 1: "uno", 10: "diez", 11: "once", 15: "quince", 16: "dieciséis", 17: "diecisiete", 19: "diecinueve",
    20: "veinte", 21: "veintiuno", 22: "veintidós", 23: "veintitrés", 24: "veinticuatro", 26: "veintiséis",
    29: "veintinueve", 30: "treinta", 31: "treinta y uno", 44: "cuarenta y cuatro", 99: "noventa y nueve",
    100: "cien", 101: "ciento uno", 116: "ciento dieciséis", 122: "ciento veintidós", 200: "doscientos",
    247: "doscientos cuarenta y siete", 500: "quinientos", 700: "setecientos", 900: "novecientos",
    999: "novecientos noventa y nueve", 1000: "mil", 1001: "mil uno", 1100: "mil cien", 1605: "mil seiscientos cinco",
    2000: "dos mil", 16_016: "dieciséis mil dieciséis", 21_000: "veintiún mil", 21_021: "veintiún mil veintiuno",
    22_000: "veintidós mil", 31_001: "treinta y un mil uno", 100_000: "cien mil", 101_000: "ciento un mil",
    121_000: "ciento veintiún mil", 500_100: "quinientos mil cien",
    701_531: "setecientos un mil quinientos treinta y uno",
    999_999: "novecientos noventa y nueve mil novecientos noventa y nueve",
}  # fmt: skip
ENGLISH = {
    0: "zero", 5: "five", 12: "twelve", 13: "thirteen", 15: "fifteen", 18: "eighteen", 20: "twenty", 21: "twenty-one",
    40: "forty", 50: "fifty", 80: "eighty", 90: "ninety", 100: "one hundred", 101: "one hundred one",
    247: "two hundred forty-seven", 1000: "one thousand", 1001: "one thousand one", 12_345:
    "twelve thousand three hundred forty-five", 100_000: "one hundred thousand",
    999_999: "nine hundred ninety-nine thousand nine hundred ninety-nine",
}  # fmt: skip
WRONG_SPANISH = (
    "", " ", "uno ", " uno", "uno  mil", "un", "un mil", "uno mil", "veintiuno mil", "veintiún", "treinta y uno mil",
    "dieciseis", "veintidos", "diez y seis", "treinta uno", "treinta y", "y uno", "treinta y diez", "veinte y uno",
    "ciento", "cien uno", "ciento mil", "cien cien", "dos cientos", "cinco cientos", "cero mil", "mil cero", "mil mil",
    "cero uno", "uno cero", "Uno", "mil\n", "un millón", "cuarenta-y-siete", "siete y cuarenta", "_", "two",
    "mil novecientos mil", "diecise\u0301is",
)  # fmt: skip
WRONG_ENGLISH = (
    "", "forty seven", "forty-", "-seven", "fourty", "hundred", "a hundred", "one hundred and one", "thousand",
    "zero thousand", "one thousand zero", "one hundred hundred", "twenty-ten", "one-hundred", "seven-forty",
    "one thousand thousand", "One", "one million", "uno", "ten hundred", "one" + " hundred" * 100_000,
)  # fmt: skip
SAMPLE = [*range(2500), *range(0, 1_000_000, 1000), *random.Random(1).sample(range(1_000_000), 3000)]


@pytest.mark.parametrize(("lang", "table"), [("es", SPANISH), ("en", ENGLISH)])
def test_known_numbers(lang, table):
    for n, words in table.items():
        assert in_words(n, lang) == words
        assert from_words(words, lang) == n


@pytest.mark.parametrize(("lang", "wrong"), [("es", WRONG_SPANISH), ("en", WRONG_ENGLISH)])
def test_wrong_writings_are_no_numbers(lang, wrong):
    assert [text for text in wrong if from_words(text, lang) is not None] == []


@pytest.mark.parametrize("lang", ["es", "en"])
def test_words_and_back_and_no_two_alike(lang):
    texts = {n: in_words(n, lang) for n in SAMPLE}
    assert len(set(texts.values())) == len(texts)
    assert all(from_words(text, lang) == n for n, text in texts.items())


@pytest.mark.parametrize("lang", ["es", "en"])
def test_whatever_is_read_is_written_the_same(lang):
    words = sorted({word for n in range(1100) for word in re.split("[ -]", in_words(n, lang))} | {"un", "veintiún"})
    draw, found = random.Random(2), 0
    for _ in range(30_000):
        text = draw.choice(" -").join(draw.choices(words, k=draw.randint(1, 4)))
        n = from_words(text, lang)
        assert n is None or in_words(n, lang) == text
        found += n is not None
    assert found > 100


def test_thousands_repeat_the_hundreds():
    for n in range(2, 1000):
        short = re.sub("uno$", "un", re.sub("veintiuno$", "veintiún", in_words(n, "es")))
        assert in_words(1000 * n, "es") == f"{short} mil"
        assert in_words(1000 * n + 7, "en") == f"{in_words(n, 'en')} thousand seven"


@pytest.mark.parametrize("n", [-1, 1_000_000, 2.0, True, "3", None])
def test_what_cannot_be_written(n):
    with pytest.raises(SettingError):
        in_words(n, "es")


def test_unknown_language():
    with pytest.raises(ValueError, match="lang"):
        in_words(1, "fr")


def test_corpus_is_distinct_and_says_what_it_holds():
    text, numbers = corpus("es", 500, np.random.default_rng(0), limit=600)
    assert text.endswith("\n")
    assert [from_words(line, "es") for line in text.splitlines()] == numbers.tolist()
    assert len(set(numbers.tolist())) == 500
    assert 0 <= numbers.min() < 100
    assert 500 < numbers.max() < 600
    assert corpus("es", 500, 0, limit=600)[0] == text
    assert corpus("es", 500, 1, limit=600)[0] != text
    assert corpus("en", 0, 0)[0] == ""


@pytest.mark.parametrize(("size", "limit"), [(11, 10), (1, 1_000_001), (-1, 10), (1.5, 10), (1, 0)])
def test_corpus_refuses(size, limit):
    with pytest.raises(SettingError):
        corpus("en", size, 0, limit=limit)
