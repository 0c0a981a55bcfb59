"""Typed errors: each is a subclass of the natural builtin and says in one sentence what was expected and what it got.

An error is raised with a key of the catalogue (:mod:`compuerta.texts`) and the values for its sentence. ``str(error)``
is that sentence in English; :meth:`CompuertaError.text` returns it in either language, as the command prints it.

>>> error = ShapeError("error.hidden_size", name="LSTM", got=0)
>>> print(error)
LSTM: hidden_size must be a positive integer; got 0.
>>> print(error.text("es"))
LSTM: hidden_size debe ser un entero positivo; se recibió 0.
"""

from __future__ import annotations

from typing import Any

from .texts import grouped, percent, say

__all__ = [
    "CompuertaError",
    "Count",
    "DTypeError",
    "DataError",
    "DivergedError",
    "FileFormatError",
    "MissingExtraError",
    "NonFiniteError",
    "NotFiniteWarning",
    "NotFittedError",
    "Phrase",
    "SettingError",
    "ShapeError",
    "Share",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class Count(int):
    """A whole number in a phrase, written with its digits grouped as in the language."""

    def text(self, lang: str | None = None) -> str:
        """Return it in ``lang``."""
        return grouped(int(self), lang)


class Share(float):
    """A share in a phrase, written as a percentage."""

    def text(self, lang: str | None = None) -> str:
        """Return it in ``lang``."""
        return percent(float(self), lang)


class Phrase:
    """A text of the catalogue with its values, to be rendered in a language chosen later."""

    def __init__(self, key: str, /, **values: object) -> None:
        self.key = key
        self.values = values

    def text(self, lang: str | None = None) -> str:
        """Return the text in ``lang``; a phrase, a count or a share among its values is rendered in it too."""
        values = {n: v.text(lang) if isinstance(v, Phrase | Count | Share) else v for n, v in self.values.items()}
        return say(self.key, lang, **values)

    def __str__(self) -> str:
        return self.text("en")


class CompuertaError(Exception):
    """Base of every error that compuerta raises on purpose."""

    def __init__(self, key: str, /, **values: object) -> None:
        super().__init__(key, values)
        self.key = key
        self.values = values

    def text(self, lang: str | None = None) -> str:
        """Return the sentence in ``lang``."""
        return Phrase(self.key, **self.values).text(lang)

    def __str__(self) -> str:
        return self.text("en")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.key, self.values)


def _rebuild(kind: type[CompuertaError], key: str, values: dict[str, object]) -> CompuertaError:
    return kind(key, **values)


class ShapeError(CompuertaError, ValueError):
    """An array or a size has the wrong shape."""


class DTypeError(CompuertaError, TypeError):
    """An array has a type that a network cannot read: objects, text, complex numbers."""


class SettingError(CompuertaError, ValueError):
    """An option is outside its range."""


class NonFiniteError(CompuertaError, ValueError):
    """An input contains NaN or infinity and ``check_finite`` was set."""


class DivergedError(CompuertaError, ArithmeticError):
    """Training produced a loss or a gradient that is not finite. The parameters are those before that update."""


class DataError(CompuertaError, ValueError):
    """A text, a series or a table cannot be used: too short, not numbers, not UTF-8."""


class FileFormatError(CompuertaError, ValueError):
    """A file is not what its name promises, or is damaged."""


class NotFittedError(CompuertaError, ValueError, AttributeError):
    """A task was asked to predict before it was fitted."""


class MissingExtraError(CompuertaError, ImportError):
    """A package that an extra of compuerta installs is needed and not there."""


class NotFiniteWarning(RuntimeWarning):
    """The weights in a file contain NaN or infinity; the message is built as an error's is."""

    def __init__(self, key: str, /, **values: object) -> None:
        self.phrase = Phrase(key, **values)
        super().__init__(str(self.phrase))

    def text(self, lang: str | None = None) -> str:
        """Return the sentence in ``lang``."""
        return self.phrase.text(lang)
