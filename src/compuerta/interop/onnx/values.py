"""What the values of a graph stand for while it is read: which layers made them, and which axis is which.

An axis of a value is a group of *atoms*: rows, steps, directions, features. A Reshape joins atoms into one axis or
takes them apart and never changes their order; a Transpose reorders axes; an axis of size 1 is an empty group. So
whatever an exporter puts around an operator is followed exactly, or refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...layers import Layer

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Atom:
    """One dimension of the data; two are the same only if they are the same object. ``size`` is None if it varies."""

    name: str
    size: int | None = None


Group = tuple[Atom, ...]
#: A number of a shape: known, or that of a group of atoms.
Entry = int | Group


@dataclass(frozen=True, eq=False)
class Dims:
    """A shape, or part of one, or one number of it, computed in the graph."""

    entries: tuple[Entry, ...]
    scalar: bool = False


@dataclass(frozen=True, eq=False)
class Data:
    """The data on its way through the layers.

    Attributes:
        layers: those it has passed.
        groups: its axes.
        features: the atoms that are the features of the last layer's output.
        source: the graph's input that it comes from.
        final: where it is Y_h of an operator: which, and "h".
        half: of which value it is which direction.
        open: whether a bias may still be added to the last layer.
    """

    layers: tuple[Layer, ...]
    groups: tuple[Group, ...]
    features: Group
    source: str
    final: tuple[tuple[int, str], ...] = ()
    half: tuple[Data, int] | None = None
    open: bool = False

    def but(self, **changes: Any) -> Data:
        """Return this with some attributes changed, as a value of its own."""
        return replace(self, **{"open": False, **changes})


@dataclass(frozen=True, eq=False)
class Zeros:
    """An initial state of zeros."""


@dataclass(frozen=True, eq=False)
class Given:
    """An initial state from an input of the graph, from a row on; ``count`` is None for all."""

    name: str
    start: int = 0
    count: int | None = None


@dataclass(frozen=True, eq=False)
class Final:
    """Final states, one above the other: which operators', and which part; ``data`` where they are Y_h."""

    cells: tuple[tuple[int, str], ...]
    data: tuple[Data, ...] = ()


Value = Array | Dims | Data | Zeros | Given | Final | None


class Unfit(Exception):
    """A value does not fit what is done with it; the reader names the node."""


def size_of(entry: Entry) -> int | None:
    """Return the number that an entry of a shape is, or None if it varies."""
    if isinstance(entry, int):
        return entry
    sizes = [atom.size for atom in entry]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def product(*entries: Entry) -> Entry:
    """Return the product of some entries: all their atoms where none is a mere number.

    Raises:
        Unfit: one is a number, and another varies.
    """
    if all(isinstance(entry, tuple) for entry in entries):
        return tuple(atom for entry in entries if isinstance(entry, tuple) for atom in entry)
    sizes = [size_of(entry) for entry in entries]
    if None in sizes:
        raise Unfit
    return math.prod(size for size in sizes if size is not None)


def regroup(groups: Sequence[Group], target: Sequence[Entry]) -> tuple[Group, ...]:
    """Return the axes after a Reshape to ``target``, of which 0 keeps an axis and −1 takes what is left.

    Raises:
        Unfit: the target joins or divides what cannot be.

    >>> t, n, d, h = Atom("T"), Atom("N"), Atom("D", 2), Atom("H", 5)
    >>> [[a.name for a in group] for group in regroup([(t,), (n,), (d,), (h,)], [0, 0, -1])]
    [['T'], ['N'], ['D', 'H']]
    >>> [[a.name for a in group] for group in regroup([(t,), (n,), (d, h)], [0, (n,), 2, 5])]
    [['T'], ['N'], ['D'], ['H']]
    """
    entries = [groups[k] if e == 0 and k < len(groups) else e for k, e in enumerate(target)]
    atoms = [atom for group in groups for atom in group]
    free = [k for k, e in enumerate(entries) if e == -1]
    if len(free) > 1 or 0 in entries:
        raise Unfit
    cut = free[0] if free else len(entries)
    front = [_take(atoms, entry, 0) for entry in entries[:cut]]
    back = [_take(atoms, entry, -1) for entry in reversed(entries[cut + 1 :])]
    if free:
        return (*front, tuple(atoms), *reversed(back))
    if atoms:
        raise Unfit
    return tuple(front)


def _take(atoms: list[Atom], entry: Entry, end: int) -> Group:
    """Take from one end of ``left`` the atoms that an entry stands for."""
    if isinstance(entry, tuple):
        place = slice(len(entry)) if end == 0 else slice(len(atoms) - len(entry), None)
        if tuple(atoms[place]) != entry:
            raise Unfit
        del atoms[place]
        return entry
    group: list[Atom] = []
    product = 1
    while product != entry:
        if not atoms or atoms[end].size in (None, 0) or product > entry:
            raise Unfit
        atom = atoms.pop(end)
        group.insert(len(group) if end == 0 else 0, atom)
        product *= atom.size or 1
    return tuple(group)


def dims(value: Value) -> Dims:
    """Return a constant list of ints, or a shape, as a shape.

    Raises:
        Unfit: it is neither.
    """
    if isinstance(value, Dims):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind == "i" and value.ndim < 2:
        return Dims(tuple(int(v) for v in value.ravel()), value.ndim == 0)
    raise Unfit


def ints(value: Value) -> list[int]:
    """Return a constant list of ints, or one int as a list.

    Raises:
        Unfit: it is none.
    """
    sizes = [size_of(entry) for entry in dims(value).entries]
    if None in sizes:
        raise Unfit
    return [v for v in sizes if v is not None]
