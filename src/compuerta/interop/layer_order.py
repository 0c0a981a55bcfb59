"""In which order the layers of a file stand, where the file itself does not say.

A state_dict and a file of weights name their layers and give their shapes, but not how they are connected. Layers in a
row fit only if each takes what the one before gives, and names that differ in a number alone (``lstm``, ``lstm_1``)
stand in its order; where that leaves one order it is taken, where it leaves several the caller is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import FileFormatError, SettingError
from ..layers import Activation, Last, Layer
from . import archive

#: What may stand in an order besides the file's own layers, and holds no weights.
WEIGHTLESS: Mapping[str, Callable[[], Layer]] = {
    "last": Last,
    "last_both_ends": partial(Last, both_ends=True),
    **{kind: partial(Activation, kind) for kind in Activation.KINDS},
}


@dataclass(frozen=True)
class Part:
    """One layer of a file, as one kind that its tensors allow.

    Attributes:
        name: its name in the file.
        kind: "Embedding", "Linear", "LSTM" ...
        takes: features that it takes; None for token ids.
        gives: features that it gives.
    """

    name: str
    kind: str
    takes: int | None
    gives: int


Step = Part | str


def in_order(candidates: Mapping[str, Sequence[Part]], order: str | None, path: str, *, listed: bool) -> list[Step]:
    """Return the layers of a file in the order in which they run, each as the kind that fits.

    Args:
        candidates: for each name, the kinds that its tensors allow.
        order: what the caller says: names, each with ``:Kind`` where it has several, parted by commas; the words of
            :data:`WEIGHTLESS` may stand between them. None where nothing is said.
        path: the file, for errors.
        listed: whether the names stand in the order in which the file's author made the layers. It is then preferred.

    Raises:
        SettingError: ``order`` names what is not there, leaves a layer out, or does not fit.
        FileFormatError: no order fits, or several do and the caller has to say which.
    """
    if order is not None:
        return _said(candidates, order)
    if listed:
        found = _orders(list(candidates.values()), fixed=True)
        if len(found) == 1:
            return list(found[0])
    places = list(candidates.values()) if len(candidates) <= _MOST_LAYERS else []
    found = _orders(places, numbered=True) or _orders(places)
    names = "; ".join(described(steps) for steps in found[:2])
    if not found:
        layers = _every(candidates)
        raise FileFormatError("error.interop.no_order", path=path, layers=layers)
    if len(found) > 1:
        raise FileFormatError("error.interop.ambiguous", path=path, orders=names)
    return list(found[0])


def described(steps: Sequence[Step]) -> str:
    """Return an order as ``--map`` takes it: ``embedding:Embedding,lstm:LSTM,last,fc:Linear``."""
    return ",".join(step if isinstance(step, str) else f"{step.name or '.'}:{step.kind}" for step in steps)


def of_layers(named: Sequence[tuple[str, Layer]]) -> str:
    """Return the order of layers of ours, each with its name in a file, as ``map`` takes it.

    >>> from compuerta.layers import LSTM
    >>> of_layers([("lstm/", LSTM(2, 3, rng=0)), ("", Last()), ("", Activation("tanh"))])
    'lstm:LSTM,last,tanh'
    """
    words = []
    for name, layer in named:
        if isinstance(layer, Last):
            words.append("last" + "_both_ends" * layer.both_ends)
        elif isinstance(layer, Activation):
            words.append(layer.kind)
        elif layer.parameters.size:
            words.append(f"{name.rstrip('/') or '.'}:{layer.name}")
    return ",".join(words)


#: Where a file has a place for it, our writers say the order under this name; it does no harm to other readers.
ORDER = "compuerta.order"


def recorded(path: str) -> str | None:
    """Return the order that we wrote into an npz, or None where it is not one of ours."""
    name, _, order = archive.comment(path).partition("=")
    return order if name == ORDER and order else None


#: Steps of the search after which an order counts as not found: only made-up files need more.
_MOST_STEPS = 20_000
_MOST_LAYERS = 100


def _orders(places: Sequence[Sequence[Part]], *, fixed: bool = False, numbered: bool = False) -> list[tuple[Part, ...]]:
    """Return up to two orders in which every layer stands once and each takes what the one before gives.

    Args:
        places: for each layer, the kinds that it may be.
        fixed: only the order in which they stand here.
        numbered: only orders that keep that of numbers in names.
    """
    found: list[tuple[Part, ...]] = []
    steps = 0

    def search(row: tuple[Part, ...], left: list[Sequence[Part]]) -> None:
        nonlocal steps
        steps += 1
        if not left:
            found.append(row)
            return
        for k, parts in enumerate(left[:1] if fixed else left):
            if numbered and any(_numbered_before(other[0].name, parts[0].name) for other in left):
                continue
            for part in parts:
                fits = part.takes == row[-1].gives if row else True
                if len(found) < 2 and steps < _MOST_STEPS and fits:
                    search((*row, part), left[:k] + left[k + 1 :])

    if places:
        search((), list(places))
    return found


def _numbered_before(name: str, other: str) -> bool:
    """Return whether two names differ in their numbers alone, and this one's come first."""
    words, numbers = _NUMBER.sub("", name), [int(n) for n in re.findall(r"\d+", name)]
    return words == _NUMBER.sub("", other) and numbers < [int(n) for n in re.findall(r"\d+", other)]


_NUMBER = re.compile(r"[_.]?\d+")


def _said(candidates: Mapping[str, Sequence[Part]], order: str) -> list[Step]:
    steps: list[Sequence[Part] | str] = []
    left = dict(candidates)
    for word in (word.strip() for word in order.split(",")):
        name, _, kind = word.rpartition(":") if ":" in word else (word, "", "")
        name = "" if name == "." else name
        if name not in left and word in WEIGHTLESS:
            steps.append(word)
            continue
        parts = [part for part in left.pop(name, ()) if kind in ("", part.kind)]
        if not parts:
            raise SettingError(
                "error.interop.map_name", got=repr(word), known=", ".join(map(_kinds, candidates.values()))
            )
        steps.append(parts)
    if left:
        raise SettingError("error.interop.map_missing", missing=", ".join(name or "." for name in left))
    found = _orders([step for step in steps if not isinstance(step, str)], fixed=True)
    if len(found) != 1:
        raise SettingError("error.interop.map_fit", got=repr(order), known=_every(candidates))
    chosen = iter(found[0])
    return [step if isinstance(step, str) else next(chosen) for step in steps]


def _every(candidates: Mapping[str, Sequence[Part]]) -> str:
    """Return what the layers of a file may be, for a sentence."""
    words = ", ".join(map(_kinds, candidates.values()))
    return words if len(words) <= _LONGEST else words[:_LONGEST] + " …"


_LONGEST = 600


def _kinds(parts: Sequence[Part]) -> str:
    """Return what a layer may be: ``fc:Linear 16→4 / fc:Embedding 1→4``."""
    return " / ".join(f"{part.name or '.'}:{part.kind} {part.takes or 1}→{part.gives}" for part in parts)
