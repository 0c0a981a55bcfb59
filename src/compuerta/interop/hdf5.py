"""HDF5 files from others: named arrays, read only after their links, storage and sizes were looked at.

Only hard links are followed, so that no name leads out of the file; external and virtual storage, filters that are not
HDF5's own, and shapes beyond what the file can hold are refused before anything is allocated.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import FileFormatError, MissingExtraError, Phrase
from .archive import SLACK

Array = NDArray[Any]

MAGIC = b"\x89HDF\r\n\x1a\n"
#: Names and depth after which a file is no model's: links may go round in a circle.
_MOST_NAMES = 10_000
_DEEPEST = 16


def read(data: bytes, path: str, accept: Callable[[str], bool] = lambda name: True) -> dict[str, Array]:
    """Return the arrays of an HDF5 file by their full names, without the leading slash.

    Args:
        data: the file.
        path: its name, for errors.
        wanted: says for a full name, of a group or an array, whether to look into it.

    Raises:
        FileFormatError: it is damaged, or refused as the module says.
        MissingExtraError: h5py is not installed.
    """
    h5py = _h5py()
    arrays: dict[str, Array] = {}
    left = [len(data) + SLACK, _MOST_NAMES]

    def refuse(name: str, why: str) -> FileFormatError:
        return FileFormatError("error.interop.hdf5", path=path, name=repr(name)[:200], why=Phrase(why))

    def walk(group: Any, prefix: str, depth: int) -> None:
        for name in group:
            full = f"{prefix}{name}"
            left[1] -= 1
            if left[1] < 0 or depth > _DEEPEST:
                raise refuse(full, "why.hdf5.names")
            if not accept(full):
                continue
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise refuse(full, "why.hdf5.link")
            item = group[name]
            if isinstance(item, h5py.Group):
                walk(item, full + "/", depth + 1)
            elif isinstance(item, h5py.Dataset):
                arrays[full] = _values(item, full)
            else:
                raise refuse(full, "why.hdf5.kind")

    def _values(item: Any, full: str) -> Array:
        if item.external or item.is_virtual:
            raise refuse(full, "why.hdf5.outside")
        if item.shape is None or item.dtype.kind not in "fiub" or item.dtype.hasobject:
            raise refuse(full, "why.hdf5.kind")
        filters = item.id.get_create_plist()
        if any(filters.get_filter(k)[0] > h5py.h5z.FILTER_FLETCHER32 for k in range(filters.get_nfilters())):
            raise refuse(full, "why.hdf5.filter")
        # A chunk is unpacked whole, however little of it the array takes.
        chunk = math.prod(item.chunks) if item.chunks else 0
        left[0] -= max(math.prod(item.shape), chunk) * item.dtype.itemsize
        if left[0] < 0:
            raise refuse(full, "why.hdf5.size")
        values = item[()]
        if item.attrs.get("dtype") == "bfloat16":  # as Keras writes them
            values = (np.asarray(values).view("<u2").astype("<u4") << 16).view("<f4")
        return np.asarray(values)

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            walk(file, "", 0)
    except FileFormatError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FileFormatError("error.interop.hdf5", path=path, name="/", why=files.one_line(error)) from None
    return arrays


def attributes(data: bytes, path: str, names: Sequence[str]) -> dict[str, str]:
    """Return those of some attributes of a file as a whole that are there; what is no single text as an empty one."""
    h5py = _h5py()
    found: dict[str, str] = {}
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            for name in names:
                if name in file.attrs:
                    held = file.attrs.get_id(name)
                    plain = held.shape == () and held.get_storage_size() < 2**16  # a text of any length counts as 16
                    value = file.attrs[name] if plain else ""
                    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                    found[name] = str(value) if isinstance(value, str) else ""
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError("error.interop.hdf5", path=path, name="/", why=files.one_line(error)) from None
    return found


def as_bytes(arrays: Mapping[str, Array], attributes: Mapping[str, str]) -> bytes:
    """Return an HDF5 file of arrays, with attributes of the file as a whole.

    Raises:
        MissingExtraError: h5py is not installed.
    """
    h5py = _h5py()
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.attrs.update(attributes)
        for name, array in arrays.items():
            file.create_dataset(name, data=np.asarray(array, order="C"))
    return made.getvalue()


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("error.extra", what="HDF5", package="h5py", extra="keras") from None
    return h5py
