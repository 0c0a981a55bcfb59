"""Parse the argument ``clamp`` into the clamps of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..errors import SettingError
from ..recurrence import Clamps
from .base import LayerClamps
from .stack import Stack


def parse_clamp(clamp: Mapping[Any, float], stacks: Sequence[Stack], name: str) -> LayerClamps:
    """Return the clamps of each of the ``stacks``, whose layers are numbered consecutively.

    Raises:
        SettingError: a key is not (name, layer, unit) or (name, layer, direction, unit), names what is not there, or
            its value is not finite.
    """
    places = [(s, at) for s in stacks for at in range(s.num_layers)]
    by_stack: dict[int, list[dict[str, dict[int, float]]]] = {}
    if not places:
        raise SettingError("error.clamp_nothing", name=name)
    if not isinstance(clamp, Mapping):
        raise SettingError("error.clamp", name=name, got=repr(clamp))
    for key, value in clamp.items():
        whole = isinstance(key, tuple) and len(key) in (3, 4) and isinstance(key[0], str)
        if not whole or any(isinstance(k, bool) or not isinstance(k, (int, np.integer)) for k in key[1:]):
            raise SettingError("error.clamp", name=name, got=repr(key))
        what, layer, *direction, unit = key
        d = direction[0] if direction else 0
        if not 0 <= layer < len(places):
            raise SettingError("error.clamp_layer", name=name, got=layer, count=len(places))
        stack, at = places[layer]
        if what not in stack.kind.names:
            raise SettingError("error.clamp_name", name=name, got=repr(what), known=", ".join(stack.kind.names))
        width = stack.output_size if what == "h" else stack.hidden_size
        if not 0 <= d < stack.directions or not 0 <= unit < width:
            raise SettingError("error.clamp_unit", name=name, got=repr(key), units=width, directions=stack.directions)
        mine = by_stack.setdefault(id(stack), [{} for _ in range(stack.num_layers * stack.directions)])
        with np.errstate(over="ignore"):  # what the layer's numbers cannot hold is not finite either
            number = checks.number(stack.dtype.type(checks.number(value, f"clamp[{key!r}]")), f"clamp[{key!r}]")
        mine[at * stack.directions + d].setdefault(what, {})[int(unit)] = number
    return {which: [Clamps(values) for values in each] for which, each in by_stack.items()}
