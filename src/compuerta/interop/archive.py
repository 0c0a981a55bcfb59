"""Zip archives from others (.pt, .keras, .npz): what is in them is data, never a path, and never much larger than they.

Nothing is extracted to the disk. An archive is refused for entries that stand twice, climb out of their folder or are
links, for encryption, and for inflating beyond its own size and :data:`SLACK`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import FileFormatError, Phrase, SettingError

Array = NDArray[Any]
_T = TypeVar("_T")

#: Bytes beyond its own size to which an archive may inflate.
SLACK = 24 * 2**20
#: Bytes of the list of entries, each of which takes about ten times as much in memory.
_LONGEST_LIST = 2**21


def names(path: str) -> list[str]:
    """Return the names of an archive's entries, or nothing where it is no archive that can be read."""
    try:
        return [info.filename for info in _open(path, _checked)]
    except (FileFormatError, OSError):
        return []


def unpack(path: str, accept: Callable[[str], bool] = lambda name: True) -> dict[str, bytes]:
    """Return the entries of an archive that are wanted.

    Raises:
        FileFormatError: it is damaged, or refused as the module says.
        OSError: it cannot be opened.
    """

    def read(archive: zipfile.ZipFile, size: int) -> dict[str, bytes]:
        entries = [info for info in _checked(archive, size) if accept(info.filename)]
        inflated = sum(info.file_size for info in entries)
        if inflated > size + SLACK:
            raise _Refused(Phrase("why.archive.bomb", inflated=f"{inflated:,}", size=f"{size:,}"))
        return {info.filename: archive.read(info) for info in entries}

    return _open(path, read)


class _Refused(Exception):
    """Why an archive is refused."""


def _open(path: str, use: Callable[[zipfile.ZipFile, int], _T]) -> _T:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_list(file, size)
            with zipfile.ZipFile(file) as archive:
                return use(archive, size)
    except _Refused as error:
        raise FileFormatError("error.interop.archive", path=path, why=error.args[0]) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error,
            OverflowError) as error:  # fmt: skip
        raise FileFormatError("error.interop.archive", path=path, why=files.one_line(error)) from None


def _check_list(file: BinaryIO, size: int) -> None:
    """Refuse a list of entries that would itself fill the memory, before it is read."""
    file.seek(max(0, size - 2**16 - 98))
    end = file.read()
    at = end.rfind(b"PK\x05\x06")
    if at >= 0 and len(end) >= at + 22:
        (length,) = struct.unpack_from("<I", end, at + 12)
        at = end.rfind(b"PK\x06\x06")
        if length == 0xFFFFFFFF and 0 <= at <= len(end) - 56:
            (length,) = struct.unpack_from("<Q", end, at + 40)
        if length > _LONGEST_LIST:
            raise _Refused(Phrase("why.archive.list"))
    file.seek(0)


def _checked(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    names: set[str] = set()
    for info in entries:
        name = info.orig_filename  # as it stands in the file, with what zipfile cuts off at a NUL
        if name in names:
            raise _Refused(Phrase("why.archive.twice", name=repr(name)))
        names.add(name)
        if name.startswith("/") or re.search(r"[\\\0:]|(^|/)\.\.(/|$)", name):
            raise _Refused(Phrase("why.archive.path", name=repr(name)))
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _Refused(Phrase("why.archive.link", name=repr(name)))
        if info.flag_bits & 1:
            raise _Refused(Phrase("why.archive.encrypted", name=repr(name)))
    return entries


# ---- NumPy's archives -----------------------------------------------------------------------------------------------


def read_npz(path: str) -> dict[str, Array]:
    """Return the arrays of a ``.npz`` file, without pickle.

    Raises:
        FileFormatError: it is no such file, is damaged, or holds Python objects.
        OSError: it cannot be opened.
    """
    arrays = {}
    for name, data in unpack(path).items():
        if not name.endswith(".npy"):
            raise FileFormatError("error.interop.archive", path=path, why=Phrase("why.archive.no_array", name=name))
        try:
            arrays[name.removesuffix(".npy")] = _array(data)
        except (ValueError, EOFError, TypeError, OverflowError, SyntaxError, RecursionError, MemoryError,
                tokenize.TokenError) as error:  # fmt: skip
            raise FileFormatError("error.interop.array", path=path, name=name, why=files.one_line(error)) from None
    return arrays


def _array(data: bytes) -> Array:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if reader is None:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = reader(file)
    if dtype.hasobject:
        raise ValueError("Python objects")
    values = np.frombuffer(data, dtype, offset=file.tell())
    if any(n < 0 for n in shape):  # which reshape would take for "as many as there are"
        raise ValueError(f"shape {shape}")
    return values.reshape(shape, order="F" if fortran else "C")


def comment(path: str) -> str:
    """Return the comment of an archive, empty where it has none that can be read."""
    try:
        return _open(path, lambda archive, size: archive.comment.decode("utf-8", "replace"))
    except (FileFormatError, OSError):
        return ""


def write_npz(path: str, arrays: Mapping[str, Array], comment: str = "") -> None:
    """Write arrays to a ``.npz`` file, whole or not at all, and a comment that NumPy passes over.

    Raises:
        SettingError, OSError: it cannot be written there.
    """
    for name in arrays:
        if re.search(r"[\\\0:]|^/|(^|/)\.\.(/|$)", name):
            raise SettingError("error.interop.name", got=repr(name))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment.encode()
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy"), part.getvalue())  # a date of 1980: the same bytes again
    files.write_bytes(path, buffer.getvalue())
