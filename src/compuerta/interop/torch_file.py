"""Reading ``torch.save``'s zip files without PyTorch and without running anything.

The pickle inside is walked opcode by opcode (``pickletools.genops`` only takes bytes apart). What a state_dict needs is
all that is understood: plain dictionaries, lists, tuples, numbers and texts, ``collections.OrderedDict``, and
``torch._utils._rebuild_tensor_v2`` over a storage of a known type. A tensor becomes a view of its storage after its
offset, sizes and strides were found to lie inside it and not to overlap. Anything else is refused by name.
"""

from __future__ import annotations

import math
import os
import pickletools
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, Phrase
from . import archive

Array = NDArray[Any]

_STORAGES = {"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bf16",
             "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
             "BoolStorage": "?"}  # fmt: skip
_DICT = ("collections", "OrderedDict")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_ALLOWED = {_DICT, _TENSOR, *(("torch", name) for name in _STORAGES)}
#: Memory that the objects of a pickle may take: so much, and so many times the size of the file. A word of a vocabulary
#: takes some 200 bytes for its 20 in the file. An empty list or dict takes one byte there and counts 400, so that a
#: program that does nothing but make them ends soon.
_SLACK, _TIMES = 2**25, 16
#: What an opcode's object and its place take, in bytes, a text's characters besides; 16 where nothing stands here.
_COSTS = {"EMPTY_DICT": 400, "EMPTY_LIST": 400, "MARK": 400, "TUPLE": 100, "TUPLE1": 100, "TUPLE2": 100, "TUPLE3": 100,
          "BINPUT": 100, "LONG_BINPUT": 100, "MEMOIZE": 100, "BINUNICODE": 100, "SHORT_BINUNICODE": 100,
          "BINUNICODE8": 100, "GLOBAL": 300, "STACK_GLOBAL": 300, "BINFLOAT": 40, "BININT": 40, "LONG1": 40,
          "REDUCE": 300, "BINPERSID": 300}  # fmt: skip
_MOST_AXES = 8


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is one of torch.save's, in the zip form or the old one, or a bare pickle."""
    if head.startswith(b"PK\x03\x04"):
        return any(re.fullmatch(r"[^/]+/(data|constants)\.pkl", name) for name in archive.names(path))
    # A pickle begins so; and so may a safetensors file, of which the first bytes are a length.
    return head[:1] == b"\x80" and head[1:2] <= b"\x05" and head[8:9] != b"{"


def load(path: str, head: bytes) -> Any:
    """Return what a ``.pt`` file holds: a tree of dictionaries, lists and arrays.

    Raises:
        FileFormatError: the file is damaged, or holds what is not on the list above.
    """
    if not head.startswith(b"PK\x03\x04"):
        raise FileFormatError("error.interop.torch_old", path=path, name="pickle")
    content = archive.unpack(path)
    tops = [name for name in content if re.fullmatch(r"[^/]+/data\.pkl", name)]
    root = tops[0].removesuffix("data.pkl") if len(tops) == 1 else None
    if root is None or any(name.endswith("/constants.pkl") for name in content):
        raise FileFormatError("error.interop.torchscript", path=path)
    order = content.get(root + "byteorder", b"little").strip()
    if order not in (b"little", b"big"):
        raise FileFormatError("error.interop.torch_tensor", path=path, why=f"byteorder {order[:20]!r}")
    storages = {name.removeprefix(root + "data/"): data for name, data in content.items()
                if name.startswith(root + "data/")}  # fmt: skip
    most = sum(len(data) for data in storages.values()) + archive.SLACK
    program = content[root + "data.pkl"]
    allowed = _SLACK + _TIMES * os.path.getsize(path)
    machine = _Machine(path, storages, "<" if order == b"little" else ">", most, allowed)
    try:
        return machine.run(program)
    except FileFormatError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError) as error:
        raise FileFormatError("error.interop.torch_damaged", path=path, why=type(error).__name__) from None


class _Global:
    """A name that a pickle may refer to; it stands for itself and is never imported."""

    def __init__(self, module: str, name: str) -> None:
        self.key = (module, name)


_MARK = object()


class _Machine:
    """The stack, the memo, and what the few opcodes do to them.

    A tuple may hold one object twice, and that one another twice: some hundred bytes of program, and no end of words or
    of hashing. So what is on the stack is told, hashed or compared only after its type is known to be a plain one.
    """

    def __init__(
        self, path: str, storages: Mapping[str, bytes], order: Literal["<", ">"], most: int, allowed: int
    ) -> None:
        self.path, self.storages, self.order, self.left, self.allowed = path, storages, order, most, allowed
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, program: bytes) -> Any:
        argument: Any
        for opcode, argument, _ in pickletools.genops(program):
            name = opcode.name
            self.allowed -= _COSTS.get(name, 16) + (len(argument) if isinstance(argument, str | bytes) else 0)
            if self.allowed < 0:
                raise FileFormatError("error.interop.torch_large", path=self.path)
            if name in ("PROTO", "FRAME"):
                continue
            if name == "STOP":
                (result,) = self.stack
                return result
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif name == "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name == "GLOBAL":
                module, _, attribute = argument.partition(" ")
                self.stack.append(self.named(module, attribute))
            elif name == "STACK_GLOBAL":
                attribute, module = self.stack.pop(), self.stack.pop()
                if not isinstance(module, str) or not isinstance(attribute, str):
                    raise TypeError(name)
                self.stack.append(self.named(module, attribute))
            elif hasattr(self, "do_" + name):
                getattr(self, "do_" + name)()
            else:
                self.refuse(name)
        raise ValueError("no end")

    def named(self, module: str, name: str) -> _Global:
        if (module, name) not in _ALLOWED:
            self.refuse(f"{module}.{name}")
        return _Global(module, name)

    def refuse(self, what: str) -> NoReturn:
        key = "error.interop.whole_module" if what.startswith("torch.nn.") else "error.interop.pickle"
        raise FileFormatError(key, path=self.path, name=what[:100])

    def marked(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    # ---- opcodes, each by its name in pickletools -------------------------------------------------------------------

    def do_MARK(self) -> None:
        self.stack.append(_MARK)

    def do_POP(self) -> None:
        self.stack.pop()

    def do_EMPTY_DICT(self) -> None:
        self.stack.append({})

    def do_EMPTY_LIST(self) -> None:
        self.stack.append([])

    def do_EMPTY_TUPLE(self) -> None:
        self.stack.append(())

    def do_TUPLE(self) -> None:
        self.stack.append(tuple(self.marked()))

    def do_TUPLE1(self) -> None:
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def do_TUPLE2(self) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def do_TUPLE3(self) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def do_APPEND(self) -> None:
        value = self.stack.pop()
        self._of(list).append(value)

    def do_APPENDS(self) -> None:
        values = self.marked()
        self._of(list).extend(values)

    def do_SETITEM(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self._of(dict), key, value)

    def do_SETITEMS(self) -> None:
        items = self.marked()
        target = self._of(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(target, key, value)

    def _of(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(kind.__name__)
        return self.stack[-1]

    def _set(self, target: dict[Any, Any], key: Any, value: Any) -> None:
        if not isinstance(key, str | int):
            raise TypeError("key")
        if key in target:
            raise FileFormatError("error.interop.archive", path=self.path,
                                  why=Phrase("why.archive.twice", name=repr(key)[:100]))  # fmt: skip
        target[key] = value

    def do_BUILD(self) -> None:
        """An OrderedDict's attributes; a state_dict's hold version numbers of its modules, which nothing here needs."""
        state = self.stack.pop()
        if not (isinstance(self._of(dict), dict) and isinstance(state, dict) and set(state) == {"_metadata"}):
            self.refuse("BUILD")

    def do_BINPERSID(self) -> None:
        word, kind, key, _, count = self.stack.pop()
        if word != "storage" or type(key) is not str or not isinstance(kind, _Global) or kind.key[1] not in _STORAGES:
            self.refuse("persistent id")
        data = self.storages[key]
        dtype = _STORAGES[kind.key[1]]
        size = 2 if dtype == "bf16" else np.dtype(dtype).itemsize
        if type(count) is not int or not 0 <= count * size <= len(data):
            self._misfit(f"storage {key}")
        if dtype == "bf16":
            self.stack.append(_Storage(np.frombuffer(data, self.order + "u2", count), halved=True))
        else:
            self.stack.append(_Storage(np.frombuffer(data, np.dtype(dtype).newbyteorder(self.order), count)))

    def do_REDUCE(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise TypeError("REDUCE")
        if function.key == _DICT and arguments == ():
            self.stack.append({})
        elif function.key == _TENSOR and len(arguments) in (6, 7):
            self.stack.append(self._tensor(*arguments[:4]))
        else:
            self.refuse(".".join(function.key))

    def _tensor(self, storage: Any, offset: Any, sizes: Any, strides: Any) -> Array:
        if not isinstance(storage, _Storage) or not type(sizes) is type(strides) is tuple:
            raise TypeError("tensor")
        if len(sizes) > _MOST_AXES:
            self._misfit(f"{len(sizes)} > {_MOST_AXES}")
        numbers = (offset, *sizes, *strides)
        if any(type(n) is not int for n in numbers):
            raise TypeError("tensor")
        if min(numbers) < 0:
            self._misfit(f"offset {offset}, sizes {sizes}, strides {strides}")
        values = storage.values
        span = math.prod(sizes) and 1 + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        apart = 1  # strides from the smallest up: each steps over all that lies within those before it
        for step, n in sorted((step, n) for n, step in zip(sizes, strides, strict=True) if n > 1):
            if step < apart:
                span = len(values) + 1
            apart = step * n
        if offset + span > len(values):
            self._misfit(f"offset {offset}, sizes {sizes}, strides {strides}")
        self.left -= math.prod(sizes) * max(4, values.itemsize)
        if self.left < 0:
            self._misfit(str(sizes))
        part = values[offset : offset + span]
        steps = tuple(step * values.itemsize for step in strides)
        view = np.lib.stride_tricks.as_strided(part, sizes, steps, writeable=False)
        return (view.astype("<u4") << 16).view("<f4") if storage.halved else view

    def _misfit(self, why: str) -> NoReturn:
        raise FileFormatError("error.interop.torch_tensor", path=self.path, why=why[:200])


class _Storage:
    """The numbers of one storage; ``halved`` where they are bfloat16, of which NumPy knows nothing."""

    def __init__(self, values: Array, *, halved: bool = False) -> None:
        self.values, self.halved = values, halved


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
