"""What a person names as data, opened and read once: a file, several, a folder of texts, a pipe, standard input."""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from ..errors import DataError, Phrase, SettingError

#: Bytes that determine the kind of a file, and how many are decoded at a time.
_HEAD, _PIECE = 1 << 16, 1 << 18
#: Bytes that are taken from what has no size of its own, a pipe or a device, which might never end.
_ENDLESS = 1 << 29

_BOMS = (  # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, "utf-8"),
)  # fmt: skip
#: Bytes that no Windows text contains: a file with one is not a text in an old encoding.
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")


class Source:
    r"""What was named as data. It is opened when it is first read and read once, so that a pipe loses nothing.

    Args:
        paths: files; a folder stands for the files in it that end in .txt, in the order of their names; ``"-"`` is
            standard input.
        encoding: of the bytes, as Python names it. By default a byte order mark decides; without one the text is
            UTF-8, or else Windows-1252, with a note.

    Attributes:
        notes: what the user should know about how the bytes were read.

    Raises:
        SettingError: there is no such encoding.

    >>> import tempfile; file = Path(tempfile.mkdtemp(), "a.txt")
    >>> _ = file.write_bytes("a\u00f1o\r\n".encode("cp1252"))
    >>> source = Source(file)
    >>> source.head(), list(source.pieces()), len(source.notes)
    ('año\n', ['año\n'], 1)
    """

    def __init__(self, *paths: str | os.PathLike[str], encoding: str | None = None) -> None:
        self.paths = tuple(os.fspath(path) for path in paths)
        self.encoding = None if encoding is None else _codec_name(encoding)
        self.notes: list[Phrase] = []
        self._file: IO[bytes] | None = None
        self._first = b""
        self._files: list[str] | None = None

    def close(self) -> None:
        """Close what was opened and not read to its end."""
        if self._file is not None and self.paths[0] != "-":
            self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def of(cls, named: Named, encoding: str | None = None) -> Source:
        """Return a source as it is, or that of a path; with this encoding, if one is given."""
        if not isinstance(named, Source):
            return cls(named, encoding=encoding)
        if encoding is not None:
            named.encoding = _codec_name(encoding)
        return named

    @property
    def path(self) -> str | Phrase:
        """How the source is called in a sentence."""
        if len(self.paths) == 1:
            return called(self.paths[0])
        return Phrase("word.and_more", first=called(self.paths[0]), count=len(self.paths) - 1)

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        """Return the path of a single file, so that a reader of another library may open it itself.

        Raises:
            DataError: it is standard input, or there are several files.
        """
        if len(self.paths) != 1 or not isinstance(self.path, str):
            raise DataError("error.csv.files", path=self.path, count=self.count)
        return self.path

    def called(self, lang: str | None = None) -> str:
        """Return :attr:`path` in a language."""
        return self.path if isinstance(self.path, str) else self.path.text(lang)

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self._list())

    @property
    def name(self) -> str:
        """The name of the file without folder and suffix; empty for standard input and for what has no name."""
        path = Path(self.paths[0])
        return "" if self.paths[0] == "-" or path.parts[:2] in (("/", "dev"), ("/", "proc")) else path.stem

    @property
    def suffix(self) -> str:
        """The suffix of the first file, in small letters: ``".csv"``."""
        return Path(self.paths[0]).suffix.lower()

    def head(self) -> str:
        """Return the beginning of the text, in whole lines where it goes on; it is kept for :meth:`pieces`.

        Raises:
            OSError, DataError: as :meth:`pieces`.
        """
        raw, whole = self._begin(), len(self._first) < _HEAD
        decoder = Decoder(called(self._list()[0]), self.encoding)
        text = decoder.feed(raw, whole)
        return text if whole else text[: text.rfind("\n") + 1] or text

    def pieces(self) -> Iterator[str]:
        r"""Yield the text piece by piece; every line ends in ``\n``, and so does every file before another.

        Raises:
            OSError: a file cannot be read.
            DataError: there is nothing, a NUL byte, or what is no text in its encoding; or more than 512 MiB came
                from what has no size of its own.
        """
        files = self._list()
        self._begin()
        last, anything = "\n", False
        for k, path in enumerate(files):
            decoder = Decoder(called(path), self.encoding)
            if last != "\n":
                yield "\n"
            for raw, final in self._raw(k, path):
                text = decoder.feed(raw, final)
                if text:
                    anything, last = True, text[-1]
                    yield text
            self.notes += decoder.notes
        if not anything:
            raise DataError("error.text.empty", path=self.path)

    def _list(self) -> list[str]:
        if self._files is None:
            self._files = []
            for path in self.paths:
                if path != "-" and os.path.isdir(path):
                    every = sorted(file for file in Path(path).rglob("*") if file.is_file())
                    texts = [str(file) for file in every if file.suffix.lower() == ".txt"]
                    if not texts:
                        raise DataError("error.source.folder", path=path)
                    self.notes.append(
                        Phrase("input.folder", path=path, texts=len(texts), others=len(every) - len(texts))
                    )
                    self._files += texts
                else:
                    self._files.append(path)
        return self._files

    def _begin(self) -> bytes:
        """Open the first file, if it is not open yet, and return its first bytes, which are kept."""
        if self._file is None:
            self._file = _open(self._list()[0])
            self._first = self._file.read(_HEAD)
        return self._first

    def _raw(self, k: int, path: str) -> Iterator[tuple[bytes, bool]]:
        """Yield the bytes of one file, and whether they are its last."""
        if k:
            self._file, self._first = _open(path), b""
        assert self._file is not None
        with nullcontext(self._file) if path == "-" else self._file as file:
            sized = stat.S_ISREG(os.fstat(file.fileno()).st_mode) if _has_descriptor(file) else True
            raw, total = self._first, len(self._first)
            self._first = b""
            while True:
                following = file.read(_PIECE)
                yield raw, not following
                if not following:
                    return
                raw, total = following, total + len(following)
                if not sized and total > _ENDLESS:
                    raise DataError("error.source.endless", path=called(path), limit=_ENDLESS >> 20)


class Decoder:
    r"""Bytes to text piece by piece, with the offset of what is wrong; every line ends in ``\n``.

    >>> decoder = Decoder("a.txt")
    >>> decoder.feed(b"uno\r"), decoder.feed(b"\ndos", final=True)
    ('uno', '\ndos')
    """

    def __init__(self, path: object, encoding: str | None = None) -> None:
        self.path = path
        self.notes: list[Phrase] = []
        self._encoding = encoding
        self._sure = encoding is not None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._lines = io.IncrementalNewlineDecoder(None, translate=True)
        self._offset = 0

    def feed(self, raw: bytes, final: bool = False) -> str:
        """Return the text of the bytes that follow; what they leave unfinished comes with the next.

        Raises:
            DataError: a byte is wrong; the sentence gives its offset in the file.
        """
        if self._decoder is None:
            raw = self._start(raw)
        assert self._decoder is not None
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(raw, final)
        except UnicodeDecodeError as error:
            if self._sure or not error.object[: error.start].isascii():
                raise self._wrong(self._offset - pending + error.start, error.object[error.start]) from None
            text = self._old(error.object, self._offset - pending)
        if not self._sure and not text.isascii():
            self._sure = True  # what has characters of two and more bytes in order is UTF-8
        nul = text.find("\0")
        if nul >= 0:
            offset = self._offset - pending + len(text[:nul].encode(self._encoding or "utf-8"))
            raise DataError("error.text.nul", path=self.path, offset=offset)
        self._offset += len(raw)
        translated: str = self._lines.decode(text, final)  # without a decoder of its own it takes text
        return translated

    def _start(self, raw: bytes) -> bytes:
        """Choose the decoder by the first bytes, and return them without their mark."""
        for mark, encoding in _BOMS:
            if raw.startswith(mark) and self._encoding in (None, encoding, encoding.removesuffix("-le"), "utf-8-sig"):
                self._encoding, self._sure = encoding, True
                raw = raw[len(mark) :]
                self._offset = len(mark)
                break
        self._decoder = codecs.getincrementaldecoder(self._encoding or "utf-8")()
        return raw

    def _old(self, raw: bytes, offset: int) -> str:
        """Return as Windows-1252 what is no UTF-8 although all before was ASCII; ``offset`` is where it begins."""
        self._decoder = codecs.getincrementaldecoder("cp1252")()
        self._encoding, self._sure = "cp1252", True
        try:
            text = self._decoder.decode(raw)
        except UnicodeDecodeError as error:
            raise self._wrong(offset + error.start, raw[error.start]) from None
        control = _CONTROL.search(text)
        if control and "\0" not in text:
            raise self._wrong(offset + control.start(), ord(control[0]))
        self.notes.append(Phrase("input.encoding", path=self.path))
        return text

    def _wrong(self, offset: int, byte: int) -> DataError:
        key = "error.text.utf8" if self._encoding in (None, "utf-8", "cp1252") else "error.text.encoding"
        return DataError(key, path=self.path, offset=offset, byte=f"0x{byte:02x}", **(
            {"encoding": self._encoding} if key == "error.text.encoding" else {}
        ))  # fmt: skip


#: What a file, or several, may be given as.
Named = str | os.PathLike[str] | Source


def called(path: str) -> str | Phrase:
    """Return how a file is called in a sentence."""
    return Phrase("word.stdin") if path == "-" else path


def _codec_name(encoding: str) -> str:
    """Return the name of an encoding of texts."""
    try:
        name = codecs.lookup(encoding).name
        codecs.getincrementaldecoder(encoding)
        "".encode(encoding)  # refuses those that are no encodings of texts, such as base64
    except (LookupError, UnicodeError):
        raise SettingError("error.source.encoding", got=repr(encoding)) from None
    return name


def _open(path: str) -> IO[bytes]:
    return sys.stdin.buffer if path == "-" else open(path, "rb")


def _has_descriptor(file: IO[bytes]) -> bool:
    try:
        file.fileno()
    except (OSError, AttributeError):
        return False
    return True
