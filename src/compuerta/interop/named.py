"""Files that name their tensors ``layer/.../leaf`` and leave it to the reader to make layers of them.

Flax, Equinox and Keras's weight files differ in the names of the leaves and in the layout of a cell, which their
modules tell as a :class:`System`; gathering names into layers, directions, order and errors are the same here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import FileFormatError, Phrase
from ..layers import Layer
from .formats import Note
from .layer_order import WEIGHTLESS, Part, Step, described, in_order
from .weights import CellWeights, Tensors, assemble, dense, embedding, stack

Array = NDArray[Any]
#: The leaves of one layer in one direction: leaf -> full name.
Leaves = Mapping[str, str]


@dataclass(frozen=True)
class System:
    """How one system lays out its layers.

    Attributes:
        leaf: a pattern of a full name, with groups ``prefix`` and ``leaf``.
        kinds: which (kind, takes, gives) the leaves of one direction may be, from the shapes of their arrays;
            ``gives`` is that of one direction.
        cell: the weights of an LSTM or GRU, taken from the tensors; given its kind, F and H.
        plain: the leaves of weights and bias (or None) of "Dense", and of the table of "Embedding".
        transposed: whether a Dense layer's weights are (inputs, outputs).
    """

    leaf: re.Pattern[str]
    kinds: Callable[[Leaves, Mapping[str, Array]], list[tuple[str, int | None, int]]]
    cell: Callable[[Tensors, Leaves, str, int, int], CellWeights]
    plain: Mapping[str, tuple[str, str | None]]
    transposed: bool = True


_DIRECTION = re.compile(r"(^|[/.])(forward|backward)(_\w+)?(?=[/.]|$)")


def build(
    system: System, arrays: Mapping[str, Array], path: str, order: str | None, note: Note, *, listed: bool
) -> tuple[Layer, list[Step], dict[str, list[Leaves]]]:
    """Return the model of a file's tensors, the order of its layers, and the leaves of each by direction.

    Raises:
        FileFormatError: a tensor is missing, unused, transposed or misshapen, or no order fits.
        SettingError: ``order`` does not fit.
    """
    tensors = Tensors(path, arrays)
    found: dict[str, dict[int, dict[str, str]]] = {}
    for name, array in arrays.items():
        match = system.leaf.fullmatch(name)
        if match is None:
            raise tensors.refuse("error.interop.unused", name=name, got=f"{array.dtype.name} {array.shape}")
        prefix = match["prefix"] or ""
        turn = _DIRECTION.search(prefix)
        reverse = turn is not None and turn[2] == "backward"
        place = re.sub(r"(^|[/.])cell$", "", _DIRECTION.sub("", prefix))
        found.setdefault(place, {}).setdefault(int(reverse), {})[match["leaf"]] = name
    if not found:
        raise FileFormatError("error.interop.unused", path=path, name="–", got=Phrase("word.nothing"))
    candidates = {}
    places: dict[str, list[Leaves]] = {}
    for place, directions in found.items():
        kinds = system.kinds(directions[min(directions)], arrays)
        if not kinds or 0 not in directions:
            name = next(iter(directions[min(directions)].values()))
            raise tensors.refuse("error.interop.unused", name=name, got=arrays[name].shape)
        candidates[place] = [Part(place, kind, takes, gives * len(directions)) for kind, takes, gives in kinds]
        places[place] = [directions[d] for d in sorted(directions)]
    steps = in_order(candidates, order, path, listed=listed)
    layers = [_layer(system, tensors, step, places) for step in steps]
    tensors.refuse_unused()
    if len(layers) > 1:
        note(Phrase("note.order", order=described(steps)))
    return assemble(layers, merge=True), steps, places


def _layer(system: System, tensors: Tensors, step: Step, places: Mapping[str, Sequence[Leaves]]) -> Layer:
    if isinstance(step, str):
        return WEIGHTLESS[step]()
    leaves = places[step.name]
    if step.kind in ("LSTM", "GRU"):
        assert step.takes is not None
        hidden = step.gives // len(leaves)
        return stack([[system.cell(tensors, part, step.kind, step.takes, hidden) for part in leaves]])
    weight, bias = system.plain[step.kind]
    if step.kind == "Embedding":
        return embedding(tensors.take(leaves[0][weight], (None, step.gives)))
    shape = (step.takes, step.gives) if system.transposed else (step.gives, step.takes)
    w = tensors.take(leaves[0][weight], shape)
    b = tensors.take(leaves[0][bias], (step.gives,)) if bias is not None and bias in leaves[0] else None
    return dense(w.T if system.transposed else w, b)


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dictionary as one, its names joined with ``/``."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        full = f"{prefix}/{name}" if prefix else str(name)
        flat.update(flattened(value, full) if isinstance(value, Mapping) else {full: value})
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dictionary with names joined by ``/`` as a nested one."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = value
    return tree
