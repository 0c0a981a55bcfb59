"""Numbers in words, from 0 to 999,999, in Spanish and English: a language small enough to judge every sentence.

A model that learns to write them can be marked without doubt: :func:`from_words` says whether a line is the correct
writing of a number, and of which one.

Spanish follows the Real Academia: *dieciséis* to *veintinueve* in one word and with their accents, *y* only between
tens and units, *cien* alone and before *mil* but *ciento uno*, *mil* and never *un mil*, and *uno* shortened before
*mil* (*veintiún mil*, *treinta y un mil*). English is written with hyphens and without *and*.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import SettingError
from ..texts import language

#: Every number below this one can be written.
LIMIT = 1_000_000


def _words(text: str) -> list[str]:
    return text.split()


_ES_SMALL = _words(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve"
)
_ES_TENS = _words("_ diez veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_ES_HUNDREDS = _words(
    "_ ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
)

_EN_SMALL = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_EN_TENS = _words("_ ten twenty thirty forty fifty sixty seventy eighty ninety")

_VALUES = {
    "es": (
        {word: 100 * k for k, word in enumerate(_ES_HUNDREDS)}
        | {word: 10 * k for k, word in enumerate(_ES_TENS)}
        | {word: k for k, word in enumerate(_ES_SMALL)}
        | {"cien": 100, "un": 1, "veintiún": 21, "y": 0}
    ),
    "en": {word: 10 * k for k, word in enumerate(_EN_TENS)} | {word: k for k, word in enumerate(_EN_SMALL)},
}


def in_words(n: int, lang: str) -> str:
    """Return the number ``n`` in words, ``lang`` being ``"es"`` or ``"en"``.

    Raises:
        SettingError: ``n`` is not an integer from 0 to 999,999.
        ValueError: ``lang`` is neither of the two.

    >>> in_words(247, "es"), in_words(21_000, "es"), in_words(101_016, "es")
    ('doscientos cuarenta y siete', 'veintiún mil', 'ciento un mil dieciséis')
    >>> in_words(247, "en"), in_words(21_000, "en")
    ('two hundred forty-seven', 'twenty-one thousand')
    """
    n = checks.count(n, "n", low=0)
    if n >= LIMIT:
        raise SettingError("error.numbers.range", high=LIMIT - 1, got=n)
    return _spanish(n) if language(lang) == "es" else _english(n)


def from_words(text: str, lang: str) -> int | None:
    """Return the number that ``text`` writes, or None unless it is written exactly as :func:`in_words` does.

    Raises:
        ValueError: ``lang`` is neither ``"es"`` nor ``"en"``.

    >>> from_words("doscientos cuarenta y siete", "es"), from_words("two hundred forty-seven", "en")
    (247, 247)
    >>> from_words("veintiuno mil", "es"), from_words("dieciseis", "es"), from_words("forty seven", "en")
    (None, None, None)
    """
    lang = language(lang)
    # The words are added up without much care for grammar; writing the sum again shows whether it was correct.
    total = group = 0
    for word in text.replace("-", " ").split(" "):
        if word in ("mil", "thousand"):
            total, group = 1000 * max(group, 1), 0
        elif word == "hundred":
            group *= 100
        elif word in _VALUES[lang]:
            group += _VALUES[lang][word]
        else:
            return None
        if max(total, group) >= LIMIT:
            return None
    n = total + group
    return n if n < LIMIT and in_words(n, lang) == text else None


def corpus(
    lang: str, size: int, rng: np.random.Generator | int | None, limit: int = LIMIT
) -> tuple[str, NDArray[np.int64]]:
    """Draw ``size`` distinct numbers below ``limit`` and write them, one per line.

    Returns:
        The text, each line ended by a newline, and the numbers in the order of its lines, of shape (size,).

    Raises:
        SettingError: ``limit`` is above 1,000,000, or ``size`` is above ``limit``.

    >>> text, numbers = corpus("es", 3, rng=0, limit=100)
    >>> [from_words(line, "es") for line in text.splitlines()] == numbers.tolist()
    True
    """
    limit, size = checks.count(limit, "limit"), checks.count(size, "size", low=0)
    if limit > LIMIT or size > limit:
        raise SettingError("error.numbers.size", limit=limit, high=LIMIT, got=size)
    numbers = checks.generator(rng, "corpus").choice(limit, size, replace=False)
    return "".join(f"{in_words(n, lang)}\n" for n in numbers.tolist()), numbers.astype(np.int64, copy=False)


def _spanish(n: int) -> str:
    thousands, rest = divmod(n, 1000)
    if thousands == 0:
        return _spanish_hundreds(rest)
    head = f"{_shortened(_spanish_hundreds(thousands))} mil" if thousands > 1 else "mil"
    return f"{head} {_spanish_hundreds(rest)}" if rest else head


def _spanish_hundreds(n: int) -> str:
    if n == 100:
        return "cien"
    hundreds, rest = divmod(n, 100)
    if hundreds:
        return f"{_ES_HUNDREDS[hundreds]} {_spanish_hundreds(rest)}" if rest else _ES_HUNDREDS[hundreds]
    if n < len(_ES_SMALL):
        return _ES_SMALL[n]
    tens, units = divmod(n, 10)
    return f"{_ES_TENS[tens]} y {_ES_SMALL[units]}" if units else _ES_TENS[tens]


def _shortened(words: str) -> str:
    """Return the words as used before *mil*: uno becomes un, and veintiuno takes an accent."""
    if words.endswith("veintiuno"):
        return words.removesuffix("uno") + "ún"
    return words.removesuffix("o") if words.endswith("uno") else words


def _english(n: int) -> str:
    thousands, rest = divmod(n, 1000)
    if thousands == 0:
        return _english_hundreds(rest)
    head = f"{_english_hundreds(thousands)} thousand"
    return f"{head} {_english_hundreds(rest)}" if rest else head


def _english_hundreds(n: int) -> str:
    hundreds, rest = divmod(n, 100)
    if hundreds:
        head = f"{_EN_SMALL[hundreds]} hundred"
        return f"{head} {_english_hundreds(rest)}" if rest else head
    if n < len(_EN_SMALL):
        return _EN_SMALL[n]
    tens, units = divmod(n, 10)
    return f"{_EN_TENS[tens]}-{_EN_SMALL[units]}" if units else _EN_TENS[tens]
