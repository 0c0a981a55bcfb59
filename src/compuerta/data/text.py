"""Text as the ids of its characters, one byte each, and the vocabulary of those ids."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import DataError, Phrase, SettingError, ShapeError
from .source import Named, Source

#: What may become of a character that is not in a vocabulary.
UNKNOWN = ("skip", "replace", "refuse")
#: Characters that are worked on at a time.
_PIECE = 1 << 18


def read_text(path: Named, encoding: str | None = None) -> str:
    r"""Return the text of a file; a byte order mark is dropped and every line ends in ``\n``.

    A long text is better read with :meth:`Text.read`, which takes one byte a character.

    Args:
        path: the file, ``"-"`` for standard input, or a :class:`~compuerta.data.source.Source`.
        encoding: of the file; by default as its byte order mark says, else UTF-8, else Windows-1252.

    Raises:
        OSError: the file cannot be read.
        DataError: the file is empty, contains a NUL byte, or is not text; the message gives the byte offset.

    >>> import tempfile; from pathlib import Path; file = Path(tempfile.mkdtemp(), "a.txt")
    >>> _ = file.write_bytes(b"\xef\xbb\xbfuno\r\ndos\r\n")
    >>> read_text(file)
    'uno\ndos\n'
    """
    return "".join(Source.of(path, encoding).pieces())


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

    def encode(self, text: str | Text, unknown: str = "refuse") -> NDArray[Any]:
        """Return the ids of the characters of ``text``, (T,): int32 for a ``str``, the smallest integers for a Text.

        Args:
            text: what to encode.
            unknown: a character that is not in the vocabulary is refused (``"refuse"``), left out (``"skip"``), or
                replaced (``"replace"``): by its letter without accent, in the other case, else by U+FFFD, ``?`` or a
                blank, the first of them that is there; else it is left out.

        Raises:
            DataError: an unknown character; the sentence gives it, its place and its code point.
            SettingError: ``unknown`` is none of the three.

        >>> vocabulary = Vocabulary("abc")
        >>> vocabulary.encode("a cab!", unknown="skip"), vocabulary.encode("\u00c1b!", unknown="replace")
        (array([0, 2, 0, 1], dtype=int32), array([0, 1], dtype=int32))
        """
        if unknown not in UNKNOWN:
            raise SettingError("error.choice", name="unknown", known=", ".join(UNKNOWN), got=repr(unknown))
        if isinstance(text, Text):
            if text.vocabulary == self:
                return text.ids
            codes, table, dtype = text.ids, self._of(text.vocabulary._codes), _smallest(self.size)
        else:
            codes, table, dtype = _code_points(text), self._ids, np.dtype(np.int32)
        if unknown == "replace":
            table = self._replaced(text, table)
        ids = np.empty(len(codes), dtype)
        end = 0
        for k in range(0, len(codes), _PIECE):
            piece = table[np.minimum(codes[k : k + _PIECE], len(table) - 1)]
            missing = piece < 0
            if missing.any():
                if unknown == "refuse":
                    where = k + int(missing.argmax())
                    character = str(text[where : where + 1])
                    raise DataError("error.text.unknown", character=repr(character), code=f"U+{ord(character):04X}",
                                    position=where)  # fmt: skip
                piece = piece[~missing]
            ids[end : end + len(piece)] = piece
            end += len(piece)
        return ids[:end]

    def unknown(self, text: str | Text) -> dict[str, int]:
        """Return the characters of ``text`` that are not in the vocabulary, each with how often it comes.

        >>> Vocabulary("abc").unknown("a cab!!")
        {'!': 2, ' ': 1}
        """
        if not text:
            return {}
        whole = text if isinstance(text, Text) else Text.of(text)
        counts = zip(whole.vocabulary.characters, whole.counts().tolist(), strict=True)
        missing = {character: count for character, count in counts if count and character not in self}
        return dict(sorted(missing.items(), key=lambda item: -item[1]))

    def _of(self, codes: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Return the ids of code points, -1 for those that are not there."""
        return self._ids[np.minimum(codes, len(self._ids) - 1)]

    def _replaced(self, text: str | Text, table: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the table with replacement ids for the characters of ``text`` that are not in the vocabulary."""
        places = {c: k for k, c in enumerate(text.vocabulary.characters)} if isinstance(text, Text) else None
        missing = [c for c in (places or set(text)) if c not in self]  # type: ignore[arg-type]
        at = [places[c] if places else ord(c) for c in missing]
        table = np.concatenate((table[:-1] if places is None else table, np.full(max(at, default=0) + 2, -1, np.int32)))
        for character, k in zip(missing, at, strict=True):
            plain = unicodedata.normalize("NFKD", character)[0]
            other = next((c for c in (plain, plain.swapcase(), "\ufffd", "?", " ") if c in self), None)
            if other is not None:
                table[k] = self._ids[ord(other)]
        return table

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of the ids (T,).

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


class Text:
    """A text of T characters as the ids of its vocabulary: one byte each, two where it has more than 256 of them.

    ``str(text)`` is the text; ``text[a:b]`` a part of it, with the same vocabulary.

    Attributes:
        ids: (T,) the place of each character in ``vocabulary``, the smallest unsigned integers that serve.
        vocabulary: the characters there are, as a :class:`Vocabulary`.
        notes: what the user should know about how it was read.

    >>> text = Text.of("hola, hola")
    >>> len(text), text.ids.dtype.name, text.vocabulary.characters, str(text[6:])
    (10, 'uint8', ' ,ahlo', 'hola')
    """

    __slots__ = ("_sha256", "ids", "notes", "vocabulary")

    def __init__(self, ids: NDArray[Any], vocabulary: Vocabulary, notes: Iterable[Phrase] = ()) -> None:
        self.ids, self.vocabulary, self.notes = ids, vocabulary, list(notes)
        self._sha256: str | None = None

    @classmethod
    def read(cls, path: Named, encoding: str | None = None) -> Text:
        """Read a text in pieces, with at most two bytes of memory a character.

        Args:
            path: a file, a folder, ``"-"`` for standard input, or a :class:`~compuerta.data.source.Source`, which may
                be of several files.
            encoding: as in :func:`read_text`.

        Raises:
            OSError, DataError: as in :func:`read_text`.
        """
        source = Source.of(path, encoding)
        text = cls._gathered(source.pieces())
        text.notes = source.notes
        return text

    @classmethod
    def of(cls, text: str | Text) -> Text:
        """Return a ``str`` as a Text; a Text as it is.

        Raises:
            DataError: it is neither, is empty, or holds half a character (a lone surrogate).
        """
        if isinstance(text, Text):
            return text
        if not isinstance(text, str):
            raise DataError("error.text.not_str", got=type(text).__name__)
        if not text:
            raise DataError("error.text.no_characters")
        return cls._gathered(text[k : k + _PIECE] for k in range(0, len(text), _PIECE))

    @classmethod
    def _gathered(cls, pieces: Iterator[str]) -> Text:
        """Number the characters as they come, in one buffer that grows, and at the end in the order of code points."""
        table = np.full(0x110000, -1, np.int32)
        codes: list[int] = []
        buffer, dtype = bytearray(), _smallest(0)
        digest = hashlib.sha256()
        length = 0
        for piece in pieces:
            try:
                digest.update(piece.encode())
            except UnicodeEncodeError as error:
                code = f"U+{ord(piece[error.start]):04X}"
                raise DataError("error.text.surrogate", code=code, position=length + error.start) from None
            points = _code_points(piece)
            ids = table[points]
            if ids.min() < 0:
                new = np.unique(points[ids < 0])
                table[new] = np.arange(len(codes), len(codes) + len(new))
                codes += new.tolist()
                ids = table[points]
                if _smallest(len(codes)) != dtype:
                    wider = _smallest(len(codes))
                    buffer, dtype = bytearray(np.frombuffer(buffer, dtype).astype(wider).tobytes()), wider
            buffer += ids.astype(dtype).tobytes()
            length += len(piece)
        vocabulary = Vocabulary("".join(map(chr, sorted(codes))))
        order = vocabulary._of(np.array(codes, np.uint32)).astype(dtype)
        whole = np.frombuffer(buffer, dtype)
        for k in range(0, length, _PIECE):
            whole[k : k + _PIECE] = order[whole[k : k + _PIECE]]
        text = cls(whole, vocabulary)
        text._sha256 = digest.hexdigest()
        return text

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text in UTF-8, in hexadecimal digits."""
        if self._sha256 is None:
            digest = hashlib.sha256()
            for k in range(0, len(self), _PIECE):
                digest.update(str(self[k : k + _PIECE]).encode())
            self._sha256 = digest.hexdigest()
        return self._sha256

    def counts(self) -> NDArray[np.int64]:
        """Return how often each character of the vocabulary comes, (V,).

        >>> Text.of("hola, hola").counts().tolist()
        [1, 1, 2, 2, 2, 2]
        """
        counts = np.zeros(self.vocabulary.size, np.int64)
        for k in range(0, len(self), _PIECE):
            counts += np.bincount(self.ids[k : k + _PIECE], minlength=len(counts))
        return counts

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Text:
        return Text(self.ids[part], self.vocabulary)

    def __str__(self) -> str:
        return self.vocabulary.decode(self.ids)

    def __repr__(self) -> str:
        return f"<Text of {len(self)} characters, {self.vocabulary.size} of them distinct>"


def _smallest(count: int) -> np.dtype[Any]:
    """Return the smallest unsigned integers for the numbers below ``count``."""
    return np.min_scalar_type(max(count - 1, 0))


# A text as the array of its code points and back. Lone surrogates pass: they come with file names and broken JSON.
def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)


def _characters(codes: NDArray[np.uint32]) -> str:
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")
