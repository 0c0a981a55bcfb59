"""Text: a file read with care, and the characters of a text as numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import DataError, SettingError, ShapeError

_BOM = b"\xef\xbb\xbf"


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Return the text of a UTF-8 file; a byte order mark is dropped and every line ends in ``\n``.

    Raises:
        OSError: the file cannot be read.
        DataError: the file is empty, holds a NUL byte, or is not UTF-8; the sentence gives the byte offset.

    >>> import tempfile; file = Path(tempfile.mkdtemp(), "a.txt")
    >>> _ = file.write_bytes(b"\xef\xbb\xbfuno\r\ndos\r\n")
    >>> read_text(file)
    'uno\ndos\n'
    """
    return decode(Path(path).read_bytes(), path)


def decode(raw: bytes, path: str | os.PathLike[str]) -> str:
    """Return the bytes of a file as text, as :func:`read_text` does; ``path`` is named in errors.

    >>> decode(b"uno", "a.txt")
    'uno'
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("error.text.utf8", path=path, offset=error.start, byte=f"0x{raw[error.start]:02x}") from None
    nul = raw.find(b"\0")
    if nul >= 0:
        raise DataError("error.text.nul", path=path, offset=nul)
    if not raw.removeprefix(_BOM):
        raise DataError("error.text.empty", path=path)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


class Vocabulary:
    """The distinct characters of a text in the order of their code points; a character's id is its place there.

    ``Vocabulary(v.characters)`` equals ``v``, so that one string is all a model file has to keep.

    Raises:
        DataError: the text is empty.

    >>> vocabulary = Vocabulary("hola, hola")
    >>> vocabulary.characters, vocabulary.size
    (' ,ahlo', 6)
    >>> vocabulary.encode("hola")
    array([3, 5, 4, 2], dtype=int32)
    >>> vocabulary.decode([3, 5, 4, 2])
    'hola'
    """

    __slots__ = ("_codes", "_ids", "characters")

    characters: str

    def __init__(self, text: str) -> None:
        if not text:
            raise DataError("error.text.no_characters")
        self._codes = np.unique(_code_points(text))
        self.characters = _characters(self._codes)
        # One id per code point up to the last one known, and a place beyond it for all the others.
        self._ids = np.full(int(self._codes[-1]) + 2, -1, dtype=np.int32)
        self._ids[self._codes] = np.arange(self.size, dtype=np.int32)

    @property
    def size(self) -> int:
        """How many characters there are."""
        return len(self._codes)

    def encode(self, text: str, unknown: str = "error") -> NDArray[np.int32]:
        """Return the ids of the characters of ``text``, (T,) int32.

        Args:
            text: what to encode.
            unknown: ``"error"`` refuses a character that is not in the vocabulary; ``"skip"`` leaves it out.

        Raises:
            DataError: an unknown character; the sentence gives it, its place and its code point.
            SettingError: ``unknown`` is neither of the two.

        >>> Vocabulary("abc").encode("a cab!", unknown="skip")
        array([0, 2, 0, 1], dtype=int32)
        """
        if unknown not in ("error", "skip"):
            raise SettingError("error.text.unknown_option", got=repr(unknown))
        codes = _code_points(text)
        ids: NDArray[np.int32] = self._ids[np.minimum(codes, len(self._ids) - 1)]
        missing = ids < 0
        if not missing.any():
            return ids
        if unknown == "skip":
            return ids[~missing]
        where = int(missing.argmax())
        raise DataError(
            "error.text.unknown", character=repr(text[where]), code=f"U+{ord(text[where]):04X}", position=where
        )

    def decode(self, ids: ArrayLike) -> str:
        """Return the text that the ids (T,) stand for.

        Raises:
            DTypeError: the ids are not integers.
            ShapeError: they are not one row, or one is outside ``[0, size)``.

        >>> Vocabulary("abc").decode([2, 0, 1])
        'cab'
        """
        rows, one_row = checks.tokens(ids, "Vocabulary.decode", self.size)
        if not one_row:
            raise ShapeError("error.text.ids", got=rows.shape)
        return _characters(self._codes[rows[0]])

    def __contains__(self, character: object) -> bool:
        return isinstance(character, str) and len(character) == 1 and character in self.characters

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"


# A text as the array of its code points and back. Lone surrogates pass: they come with file names and broken JSON.
def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)


def _characters(codes: NDArray[np.uint32]) -> str:
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")
