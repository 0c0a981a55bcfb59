"""Every sentence a person reads on screen, once per language: ``en.json`` and ``es.json`` beside this file.

The catalogues are plain JSON objects, ``{"key": "text with {fields}"}``, so that a web page can read them as well as
Python does. Nothing else in the project holds a sentence for the screen; a test compares the keys and the fields of
both languages.
"""

from __future__ import annotations

import os
from functools import cache

LANGUAGES = ("en", "es")


@cache
def catalogue(lang: str) -> dict[str, str]:
    """Return the whole catalogue of one language as ``{key: text}``.

    >>> catalogue("es")["gate.f.name"]
    'compuerta de olvido'
    """
    import json

    with open(os.path.join(os.path.dirname(__file__), f"{lang}.json"), encoding="utf-8") as file:
        texts: dict[str, str] = json.load(file)
    return texts


def language(lang: str | None = None) -> str:
    """Return the language to speak: ``lang`` if given, else the first that the environment names, else English.

    The environment is read in the usual order: ``COMPUERTA_LANG``, ``LC_ALL``, ``LC_MESSAGES``, ``LANG``.

    Raises:
        ValueError: ``lang`` is neither ``"en"`` nor ``"es"``.

    >>> language("es")
    'es'
    """
    if lang is not None:
        if lang not in LANGUAGES:
            raise ValueError(f"lang: expected one of {', '.join(LANGUAGES)}; got {lang!r}.")
        return lang
    for variable in ("COMPUERTA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable, "")
        if value:
            return "es" if value.lower().startswith("es") else "en"
    return "en"


def grouped(n: int, lang: str | None = None) -> str:
    """Write a whole number as the language does: ``12,345``; in Spanish with a thin space, from five digits on.

    >>> grouped(12345, "en"), grouped(1234, "es")
    ('12,345', '1234')
    """
    if language(lang) == "en":
        return f"{n:,}"
    return f"{n:,}".replace(",", "\u202f") if abs(n) >= 10_000 else str(n)


def percent(share: float, lang: str | None = None) -> str:
    """Write a share as a percentage: ``98%`` in English, ``98 %`` in Spanish.

    >>> percent(0.98, "en"), percent(0.98, "es")
    ('98%', '98\xa0%')
    """
    return f"{share:.0%}" if language(lang) == "en" else f"{100 * share:.0f}\u00a0%"


def say(key: str, lang: str | None = None, /, **values: object) -> str:
    """Return the text of ``key`` in ``lang`` with its fields filled in.

    Raises:
        KeyError: there is no such key.

    >>> say("gate.f.name", "en")
    'forget gate'
    """
    text = catalogue(language(lang))[key]
    return text.format(**values) if values else text
