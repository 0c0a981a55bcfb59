"""The container of every file the project writes: tensors in safetensors, everything else as JSON in its metadata.

One file holds named arrays and one JSON object. A SHA-256 checksum over both is stored with them, so that a damaged
file is refused and never half read. A file appears whole or not at all: it is written under a temporary name, flushed
to the disk and renamed, and the folder is flushed too. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FileFormatError, SettingError

Array = NDArray[Any]

#: Incremented when the layout of the file changes; a reader refuses newer files.
FORMAT_VERSION = 1
#: The key of our own part in the metadata of a safetensors file.
KEY = "compuerta"


def write(path: str | os.PathLike[str], tensors: Mapping[str, Array], content: Mapping[str, Any]) -> None:
    """Write ``tensors`` and the JSON object ``content`` to ``path``, atomically.

    Raises:
        SettingError: ``path`` is a folder, a link or something else that is not a regular file.
        FileFormatError: the content is too large for the container.
        OSError: the disk is full, the folder is missing or read-only; an older file at ``path`` stays as it was.
    """
    text = as_json(content)
    write_plain(path, tensors, {KEY: sealed(text, _checksum(tensors, text))})


def write_plain(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and texts as safetensors for others to read, atomically. Raises as :func:`write` does."""
    from safetensors import SafetensorError
    from safetensors.numpy import save

    # safetensors stores strided arrays wrongly in some versions: hand it contiguous ones in native order only.
    plain = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("=")) for name, a in tensors.items()}
    try:
        data = save(plain, dict(metadata or {}))
    except SafetensorError as error:
        raise FileFormatError("error.file.cannot_hold", path=os.fspath(path), why=one_line(error)) from None
    write_bytes(path, data)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the tensors and the JSON object of a file written by :func:`write`.

    Raises:
        FileFormatError: the file is not one of ours, is damaged, or was written by a newer version.
        OSError: it cannot be opened.
    """
    name = os.fspath(path)
    tensors, metadata = read_tensors(path)
    if KEY not in metadata:
        raise FileFormatError("error.file.not_ours", path=name)
    content = unsealed(
        metadata[KEY], name, lambda text, version: _checksum(tensors, text, version),
        changed="error.file.checksum", malformed="error.file.not_ours",
    )  # fmt: skip
    return tensors, content


def sealed(text: str, checksum: str) -> str:
    """Return our own part of a file's metadata: ``text``, which is JSON, a checksum and the version of the format."""
    header = {"format_version": FORMAT_VERSION, "checksum": checksum, "content": text}
    return json.dumps(header, ensure_ascii=False)


def unsealed(
    header: str, path: str, checksum: Callable[[str, int], str], *, changed: str, malformed: str
) -> dict[str, Any]:
    """Return the JSON object that :func:`sealed` wrote, from an untrusted file.

    Args:
        header: our own part of the metadata.
        path: of the file, for the error.
        checksum: of the text and the version of the format, over all that the file's own stands for.
        changed, malformed: the keys of the sentences that say so.

    Raises:
        FileFormatError: the part is none of ours, is of a newer version, or its checksum is not that of the file.
    """
    try:
        fields = json.loads(header)
        version, stored, text = fields["format_version"], fields["checksum"], fields["content"]
        if type(version) is not int or version < 1 or not isinstance(text, str):
            raise TypeError
        if version > FORMAT_VERSION:
            raise FileFormatError("error.file.newer", path=path, got=version, known=FORMAT_VERSION)
        if stored != checksum(text, version):
            raise FileFormatError(changed, path=path)
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError
    except FileFormatError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FileFormatError(malformed, path=path) from None
    return content


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the tensors and the metadata of any safetensors file; bfloat16, which NumPy has not, as float32.

    Raises:
        FileFormatError: the file is no safetensors file, or is damaged.
        OSError: it cannot be opened.
    """
    from safetensors import SafetensorError, deserialize

    name = os.fspath(path)
    check_plain(path)
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    if data.count(b"{", 8, min(8 + length, len(data))) > _MOST_TENSORS:
        raise FileFormatError("error.file.too_many", path=name, most=_MOST_TENSORS)
    try:
        parts = deserialize(data)  # type: ignore[no-untyped-call, unused-ignore]
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_once)
        metadata = header.get("__metadata__", {})
        if not isinstance(metadata, dict):
            raise TypeError("metadata")
        tensors = {key: _tensor(part["dtype"], part["data"]).reshape(part["shape"]) for key, part in parts}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError("error.file.not_safetensors", path=name, why=one_line(error)) from None
    return tensors, metadata


#: Each takes some hundred bytes of memory before anything is known about it, and a model has a few dozen.
_MOST_TENSORS = 20_000

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
           "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"}  # fmt: skip


def _tensor(dtype: str, data: bytes | bytearray) -> Array:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, _DTYPES[dtype])


def metadata(path: str | os.PathLike[str]) -> dict[str, str] | None:
    """Return the metadata of a safetensors file from its header alone, or None where it has no such header."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(os.fstat(file.fileno()).st_size - 8, _LONGEST_HEADER):
            return None
        try:
            entries = json.loads(file.read(length)).get("__metadata__", {})
        except (ValueError, AttributeError, RecursionError):
            return None
    return entries if isinstance(entries, dict) else None


#: What safetensors itself allows.
_LONGEST_HEADER = 100_000_000


def check_plain(path: str | os.PathLike[str]) -> None:
    """Refuse to read a FIFO or a device, which would be waited for; a folder gives its own error when it is opened.

    Raises:
        FileFormatError: it is one.
        OSError: there is nothing.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileFormatError("error.file.not_plain", path=os.fspath(path))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader finds the old file or the new one, never a part."""
    target = Path(path)
    _check_plain(target)
    handle, temporary = _temporary(target)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):  # an older file's permissions stay
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check, before long work, that :func:`write_bytes` could write ``path``; no file is left behind.

    Raises:
        SettingError: ``path`` is a folder, a link or something else that is not a regular file.
        OSError: its folder is missing or read-only.
    """
    target = Path(path)
    _check_plain(target)
    handle, temporary = _temporary(target)
    os.close(handle)
    os.unlink(temporary)


def _temporary(target: Path) -> tuple[int, str]:
    """Open a temporary file beside ``target``; an error names the folder, which is what is missing or closed."""
    temporary = os.path.join(target.parent, f".compuerta-{secrets.token_hex(8)}.part")
    try:
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), temporary
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(target.parent)) from None


def _check_plain(target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(target).st_mode):
            raise SettingError("error.file.not_plain", path=os.fspath(target))


def _checksum(tensors: Mapping[str, Array], text: str, version: int = FORMAT_VERSION) -> str:
    digest = hashlib.sha256(f"{version}\0{text}".encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        array = tensors[name]
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.data)
    return digest.hexdigest()


def as_json(content: Mapping[str, Any]) -> str:
    """Return a JSON object as text for a file; NumPy numbers and arrays are allowed."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, default=_plain)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its pairs; a duplicate name could hide a tensor."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate names")
    return result


def _plain(value: Any) -> Any:
    """Return a NumPy number or dtype as JSON can write it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.dtype | type):
        return np.dtype(value).name
    raise TypeError(f"{type(value).__name__} is no JSON value")


def one_line(error: BaseException) -> str:
    """Return an error's class and message on one line, to end one of our sentences."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
