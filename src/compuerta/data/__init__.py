"""Data: texts, series, unequal sequences and synthetic tasks, read or made as arrays."""

from .numbers import corpus, from_words, in_words
from .objects import as_series
from .padding import pad
from .reading import looks_like_series, read_series
from .series import Series
from .source import Source
from .synthetic import adding_problem, seasonal_series
from .text import Text, Vocabulary, read_text

__all__ = [
    "Series",
    "Source",
    "Text",
    "Vocabulary",
    "adding_problem",
    "as_series",
    "corpus",
    "from_words",
    "in_words",
    "looks_like_series",
    "pad",
    "read_series",
    "read_text",
    "seasonal_series",
]


def __dir__() -> list[str]:
    return sorted(__all__)
