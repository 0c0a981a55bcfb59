"""The ``config.json`` of a Keras model: read as data against a list of what we know, never instantiated.

A model is a row of layers: a Sequential, or a Functional model in which each layer reads the one before. Every option
of every layer is one that makes no difference to what the model computes, or has the value that ours has, or is
carried over; whatever else it is, the layer and the option are named in the error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import files
from ..errors import FileFormatError, Phrase
from ..layers import Activation
from .formats import Note

_MODULES = re.compile(r"keras(\.src)?(\.(layers|models|engine)(\.\w+)*)?")
#: Options that say how a layer begins or is trained, or how fast it runs.
_IDLE = re.compile(
    r"name|trainable|seed|unroll|implementation|noise_shape|unit_forget_bias|input_length|batch_input_shape|"
    r"zero_output_for_mask|\w+_(initializer|regularizer|constraint)"
)
_CELL: dict[str, tuple[Any, ...]] = {
    "activation": ("tanh",),
    "recurrent_activation": ("sigmoid",),
    "go_backwards": (False,),
    "return_state": (False,),
    "time_major": (False,),
}
#: For each class, its options: the values that are allowed, or () where any is and the reader carries it over.
_OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "InputLayer": {"batch_shape": (), "shape": (), "batch_size": (), "sparse": (False,), "ragged": (False,),
                   "optional": (False,)},
    "LSTM": {**_CELL, "units": (), "use_bias": (), "return_sequences": (), "stateful": (), "dropout": (),
             "recurrent_dropout": ()},
    "GRU": {**_CELL, "units": (), "use_bias": (), "return_sequences": (), "stateful": (), "dropout": (),
            "recurrent_dropout": (), "reset_after": ()},
    "Bidirectional": {"merge_mode": ("concat",), "layer": (), "backward_layer": ()},
    "Embedding": {"input_dim": (), "output_dim": (), "mask_zero": (False,), "weights": (None,), "lora_rank": (None,)},
    "Dense": {"units": (), "use_bias": (), "activation": ("linear", None, *Activation.KINDS), "lora_rank": (None,)},
    "TimeDistributed": {"layer": ()},
    "Dropout": {"rate": ()},
    "SpatialDropout1D": {"rate": ()},
    "Activation": {"activation": ("linear", *Activation.KINDS)},
    "Softmax": {"axis": (-1,)},
    "ReLU": {"max_value": (None,), "negative_slope": (0, 0.0), "threshold": (0, 0.0)},
}  # fmt: skip
_DTYPES = ("float32", "float64", None)


@dataclass(frozen=True)
class Spec:
    """One layer of a configuration.

    Attributes:
        kind: its class.
        options: its configuration, checked.
        place: where its variables stand in the weight file.
        inner: the layer that a wrapper wraps; for Bidirectional the forward and the backward one.
        name: what its author called it.
    """

    kind: str
    options: Mapping[str, Any]
    place: str
    inner: tuple[Spec, ...] = ()
    name: str = ""


def parse(text: bytes, path: str, note: Note) -> list[Spec]:
    """Return the layers of a ``config.json`` in the order in which they run.

    Raises:
        FileFormatError: it is no JSON, no row of layers, or names a class or an option that has no counterpart here.
    """
    try:
        top = json.loads(text, object_pairs_hook=_once)
        kind = _class(top, path, ("Sequential", "Functional", "Model"))
        layers = top["config"]["layers"]
        if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
            raise TypeError("layers")
        specs = _placed(layers, path, note)
        if kind == "Sequential":
            return [spec for spec, _ in specs]
        return _row(specs, top["config"], path)
    except FileFormatError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise FileFormatError("error.interop.keras_config", path=path, why=files.one_line(error)) from None


_MOST_LAYERS = 1000


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate names")
    return made


def _class(entry: Mapping[str, Any], path: str, known: Sequence[str]) -> str:
    kind, module = entry["class_name"], entry.get("module") or "keras"
    registered = entry.get("registered_name")
    full = f"{module}.{kind}" if registered in (None, kind) else f"{module}.{kind} ({registered})"
    if kind not in known or not _MODULES.fullmatch(str(module)) or registered not in (None, kind):
        raise FileFormatError("error.interop.keras_class", path=path, name=full[:200], known=", ".join(known))
    return str(kind)


def _placed(entries: Sequence[Any], path: str, note: Note) -> list[tuple[Spec, Mapping[str, Any]]]:
    """Return the layers with their places: Keras numbers them by class, in the order of the list."""
    used: dict[str, int] = {}
    made = []
    for entry in entries:
        base = snake(_class(entry, path, tuple(_OPTIONS)))
        place = f"layers/{base}_{used[base]}" if base in used else f"layers/{base}"
        used[base] = used.get(base, 0) + 1
        made.append((_spec(entry, place, path, note), entry))
    return made


def snake(name: str) -> str:
    """Return the name that Keras gives a class in its weight files.

    >>> snake("TimeDistributed"), snake("LSTM"), snake("SpatialDropout1D")
    ('time_distributed', 'lstm', 'spatial_dropout1d')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _spec(entry: Mapping[str, Any], place: str, path: str, note: Note, *, backward: bool = False) -> Spec:
    kind = _class(entry, path, tuple(_OPTIONS))
    given = entry["config"]
    known = _OPTIONS[kind]
    options: dict[str, Any] = {}
    for name, value in given.items():
        allowed = known.get(name)
        if name == "dtype":
            allowed = () if kind == "InputLayer" else _DTYPES
            value = value["config"]["name"] if isinstance(value, dict) else value
        elif name == "go_backwards" and backward:
            allowed = (True,)
        elif allowed is None:
            if not (_IDLE.fullmatch(name) or value is None):
                raise _refuse(path, given, kind, name, value)
            continue
        if allowed and not any(value is a or (value == a and type(value) is type(a)) for a in allowed):
            raise _refuse(path, given, kind, name, value)
        options[name] = value
    for name in ("dropout", "recurrent_dropout"):
        if options.get(name):
            note(Phrase("note.training_only", name=f"{kind}({name}={options[name]})"))
    if kind == "SpatialDropout1D":
        note(Phrase("note.training_only", name=kind))
    if options.get("stateful"):
        note(Phrase("note.stateful", name=kind))
    inner: tuple[Spec, ...] = ()
    if kind == "TimeDistributed":
        inner = (_inner(given["layer"], f"{place}/layer", ("Dense", "Dropout"), path, note),)
    elif kind == "Bidirectional":
        inner = _both(given, place, path, note)
    return Spec(kind, options, place, inner, str(given.get("name", "")))


def _inner(entry: Any, place: str, kinds: tuple[str, ...], path: str, note: Note, *, backward: bool = False) -> Spec:
    _class(entry, path, kinds)
    return _spec(entry, place, path, note, backward=backward)


def _both(given: Mapping[str, Any], place: str, path: str, note: Note) -> tuple[Spec, ...]:
    forward = _inner(given["layer"], f"{place}/forward_layer", ("LSTM", "GRU"), path, note)
    entry = given.get("backward_layer")
    if entry is None:
        return forward, Spec(forward.kind, forward.options, f"{place}/backward_layer")
    back = _inner(entry, f"{place}/backward_layer", ("LSTM", "GRU"), path, note, backward=True)
    if back.options.get("go_backwards") is not True:
        raise _refuse(path, given, "Bidirectional", "backward_layer.go_backwards", False)
    for name in {*forward.options, *back.options} - {"go_backwards", "name", "dropout", "recurrent_dropout"}:
        if back.kind != forward.kind or forward.options.get(name) != back.options.get(name):
            raise _refuse(path, given, "Bidirectional", f"backward_layer.{name}", back.options.get(name))
    return forward, back


def _refuse(path: str, given: Mapping[str, Any], kind: str, name: str, value: Any) -> FileFormatError:
    shown = value.get("class_name", "{}") if isinstance(value, dict) else value
    layer = f"{kind} '{given.get('name', '')}'"[:100]
    return FileFormatError("error.interop.keras_option", path=path, layer=layer, option=name, got=repr(shown)[:100])


def _row(specs: list[tuple[Spec, Mapping[str, Any]]], config: Mapping[str, Any], path: str) -> list[Spec]:
    """Return the layers of a Functional model if each reads the one before; a branch is refused."""
    by_name = {entry.get("name") or entry["config"]["name"]: (spec, entry) for spec, entry in specs}
    (start,), (name,) = (_ends(config[key]) for key in ("input_layers", "output_layers"))
    row: list[Spec] = []
    while len(row) <= len(specs):
        spec, entry = by_name[name]
        row.append(spec)
        if name == start:
            if len(row) != len(specs) or len(by_name) != len(specs):
                raise FileFormatError("error.interop.keras_branch", path=path, name=name)
            return row[::-1]
        name = _source(entry, name, path)
    raise FileFormatError("error.interop.keras_branch", path=path, name=name)


def _ends(value: Any) -> list[str]:
    """Return the layers that a list of ends names: ``["name", 0, 0]``, or a list of such."""
    entries = [value] if value and isinstance(value[0], str) else value
    return [str(entry[0]) for entry in entries]


def _source(entry: Mapping[str, Any], name: str, path: str) -> str:
    nodes = entry["inbound_nodes"]
    node = nodes[0] if len(nodes) == 1 else None
    if not isinstance(node, dict) or len(node["args"]) != 1:
        raise FileFormatError("error.interop.keras_branch", path=path, name=name)
    for key, value in node.get("kwargs", {}).items():
        if value is not None and not (key == "training" and isinstance(value, bool)):
            raise FileFormatError("error.interop.keras_branch", path=path, name=f"{name}({key}=)")
    tensor = node["args"][0]
    if not isinstance(tensor, dict) or tensor.get("class_name") != "__keras_tensor__":
        raise FileFormatError("error.interop.keras_branch", path=path, name=name)
    source, at, output = tensor["config"]["keras_history"]
    if (at, output) != (0, 0):
        raise FileFormatError("error.interop.keras_branch", path=path, name=name)
    return str(source)


# ---- writing --------------------------------------------------------------------------------------------------------


def entry(kind: str, name: str, dtype: str, module: str = "keras.layers", **options: Any) -> dict[str, Any]:
    """Return one layer of a configuration as Keras writes it."""
    config = {"name": name, "trainable": True, "dtype": dtype, **options}
    if kind == "InputLayer":
        del config["trainable"]
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def sequential(layers: list[dict[str, Any]], dtype: str) -> str:
    """Return the ``config.json`` of a Sequential of these layers."""
    shape = layers[0]["config"]["batch_shape"]
    model = entry("Sequential", "compuerta", dtype, "keras", layers=layers, build_input_shape=shape)
    model |= {"build_config": {"input_shape": shape}, "compile_config": {}}
    return json.dumps(model)
