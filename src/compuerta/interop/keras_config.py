"""The configuration of a Keras model: read as data against a list of what we know, never instantiated.

A model is a row of layers: a Sequential, or a Functional model in which each layer reads the one before; a model that
stands in another is its layers. What a layer or an option may be says :mod:`keras_options`; whatever else it is, the
layer and the option are named in the error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import files
from ..activations import Activation
from ..errors import FileFormatError, Phrase
from .formats import Note, unnoted
from .keras_options import CELLS, DTYPES, HALVES, MODELS, OPTIONS, SAME, cell_activation, idle, modern

_MODULES = re.compile(r"(tensorflow\.(python\.)?|tf_)?keras(\.src)?(\.(layers|models|engine)(\.\w+)*)?")


@dataclass(frozen=True)
class Spec:
    """One layer of a configuration.

    Attributes:
        kind: its class.
        options: its configuration, checked.
        place: where its variables stand in the weight file.
        inner: the layer that a wrapper wraps; for Bidirectional the forward and the backward one.
        name: what its author called it.
        activations: of a cell, those of gates and candidate.
        gpu: whether the variables have cuDNN's layout.
    """

    kind: str
    options: Mapping[str, Any]
    place: str
    inner: tuple[Spec, ...] = ()
    name: str = ""
    activations: tuple[Activation, Activation] | None = None
    gpu: bool = False


@dataclass(frozen=True)
class Origin:
    """The file that a configuration is from.

    Attributes:
        path: its name, for errors.
        version: the first number of the Keras that wrote it.
        named: whether places in the weight file are layers' names, as in Keras's HDF5 form; else Keras 3 counts them.
        note: told what should be known.
        nested: the models found inside the model, by the names of their groups.
    """

    path: str
    version: int = 3
    named: bool = False
    note: Note = unnoted
    nested: set[str] = field(default_factory=set)


def parse(text: bytes | str, origin: Origin) -> list[Spec]:
    """Return the layers of a configuration in the order in which they run.

    Raises:
        FileFormatError: it is no JSON, no row of layers, or names a class or an option that has no counterpart here.
    """
    try:
        top = json.loads(text, object_pairs_hook=_once)
        left = [_MOST_LAYERS]
        return _model(top, _class(top, origin, MODELS), "", origin, left)
    except FileFormatError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise FileFormatError("error.interop.keras_config", path=origin.path, why=files.one_line(error)) from None


_MOST_LAYERS = 1000


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate names")
    return made


def _class(entry: Mapping[str, Any], origin: Origin, known: Sequence[str]) -> str:
    kind, module = entry["class_name"], entry.get("module") or "keras"
    registered = entry.get("registered_name")
    full = f"{module}.{kind}" if registered in (None, kind) else f"{module}.{kind} ({registered})"
    if kind not in known or not _MODULES.fullmatch(str(module)) or registered not in (None, kind):
        name = _name(entry)
        shown = f"{full} '{name}'" if name else full
        raise FileFormatError("error.interop.keras_class", path=origin.path, name=shown[:200], known=", ".join(known))
    return str(kind)


def _name(entry: Mapping[str, Any]) -> str:
    """Return what a layer's author called it; Keras 1 and 2 do not say it of a Sequential at the top."""
    config = entry["config"]
    return str(entry.get("name") or (config.get("name", "") if isinstance(config, dict) else ""))


def _model(entry: Mapping[str, Any], kind: str, place: str, origin: Origin, left: list[int]) -> list[Spec]:
    """Return the layers of a model; ``place`` says where it stands in the one around it, if there is one."""
    config = entry["config"]
    layers = config if isinstance(config, list) else config["layers"]  # a Sequential before Keras 2.2.3: its layers
    left[0] -= len(layers)
    if not isinstance(layers, list) or left[0] < 0:
        raise TypeError("layers")
    placed = _placed(layers, place, origin, left)
    if kind == "Sequential":
        return [spec for specs, _ in placed for spec in specs]
    return _row(placed, config, origin)


def _placed(
    entries: Sequence[Any], around: str, origin: Origin, left: list[int]
) -> list[tuple[list[Spec], Mapping[str, Any]]]:
    """Return for each entry its layers, with their places: Keras 3 numbers them by class, in the order of the list."""
    used: dict[str, int] = {}
    made = []
    for entry in entries:
        kind = _class(entry, origin, (*OPTIONS, *MODELS))
        base, name = snake(kind), _name(entry)
        if origin.named:  # of a model in a model in a model, the layers stand in the group of the outermost
            place = f"{around}/{name}" if around and kind not in MODELS else around or name
        else:
            place = f"{around}/layers/".lstrip("/") + (f"{base}_{used[base]}" if base in used else base)
        used[base] = used.get(base, 0) + 1
        if kind in MODELS:
            origin.nested.add(place)
            made.append((_model(entry, kind, place, origin, left), entry))
        else:
            made.append(([_spec(entry, kind, place, origin)], entry))
    return made


def snake(name: str) -> str:
    """Return the name that Keras gives a class in its weight files.

    >>> snake("TimeDistributed"), snake("LSTM"), snake("SpatialDropout1D")
    ('time_distributed', 'lstm', 'spatial_dropout1d')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _spec(entry: Mapping[str, Any], kind: str, place: str, origin: Origin, *, backward: bool = False) -> Spec:
    given = modern(kind, entry["config"])
    known = OPTIONS[kind]
    options: dict[str, Any] = {}
    for name, value in given.items():
        allowed = known.get(name)
        if name == "dtype":
            allowed = () if kind == "InputLayer" else (*DTYPES, *HALVES)
            value = value["config"]["name"] if isinstance(value, dict) else value
        elif name == "go_backwards" and backward:
            allowed = (True,)
        elif allowed is None:
            if not (idle(name) or value is None):
                raise _refuse(origin, given, kind, name, value)
            continue
        if allowed and not any(value is a or (value == a and type(value) is type(a)) for a in allowed):
            raise _refuse(origin, given, kind, name, value)
        options[name] = value
    if options.get("dtype") in HALVES:
        origin.note(Phrase("note.half", name=f"{kind} '{given.get('name', '')}'", dtype=options["dtype"]))
        options["dtype"] = "float32"
    for name in ("dropout", "recurrent_dropout"):
        if options.get(name):
            origin.note(Phrase("note.training_only", name=f"{kind}({name}={options[name]})"))
    if kind == "SpatialDropout1D":
        origin.note(Phrase("note.training_only", name=kind))
    if options.get("stateful"):
        origin.note(Phrase("note.stateful", name=kind))
    inner: tuple[Spec, ...] = ()
    if kind == "TimeDistributed":
        held = given["layer"]
        at = place if origin.named else f"{place}/layer"
        inner = (_spec(held, _class(held, origin, ("Dense", "Dropout", "Activation")), at, origin),)
    elif kind == "Bidirectional":
        inner = _both(given, place, origin)
    same = SAME.get(kind, kind)
    activations = None
    if same in CELLS:
        if origin.version < 3:  # where only one of the two conventions was known, it went without saying
            options.setdefault("reset_after", kind == "CuDNNGRU")
        activations = _activations(given, kind, options, origin)
    return Spec(same, options, place, inner, str(given.get("name", "")), activations, same in CELLS and same != kind)


def _activations(
    given: Mapping[str, Any], kind: str, options: Mapping[str, Any], origin: Origin
) -> tuple[Activation, Activation]:
    """Return the activations of a cell's gates and of its candidate."""
    found = []
    for name, usual in (("recurrent_activation", "sigmoid"), ("activation", "tanh")):
        value = options.get(name, usual)
        meant = cell_activation(value, origin.version)
        if meant is None:
            raise _refuse(origin, given, kind, name, value)
        found.append(meant)
    return found[0], found[1]


def _both(given: Mapping[str, Any], place: str, origin: Origin) -> tuple[Spec, ...]:
    def one(entry: Mapping[str, Any], way: str) -> Spec:
        kind = _class(entry, origin, tuple(k for k in OPTIONS if SAME.get(k, k) in CELLS))
        return _spec(entry, kind, f"{place}/{way}_layer", origin, backward=way == "backward")

    forward = one(given["layer"], "forward")
    entry = given.get("backward_layer")
    if entry is None:
        return forward, replace(
            forward, place=f"{place}/backward_layer", options={**forward.options, "go_backwards": True}
        )
    back = one(entry, "backward")
    if back.options.get("go_backwards") is not True:
        raise _refuse(origin, given, "Bidirectional", "backward_layer.go_backwards", False)
    for name in {*forward.options, *back.options} - {"go_backwards", "name", "dropout", "recurrent_dropout"}:
        if (back.kind, back.gpu) != (forward.kind, forward.gpu) or forward.options.get(name) != back.options.get(name):
            raise _refuse(origin, given, "Bidirectional", f"backward_layer.{name}", back.options.get(name))
    return forward, back


def _refuse(origin: Origin, given: Mapping[str, Any], kind: str, name: str, value: Any) -> FileFormatError:
    shown = value.get("class_name", "{}") if isinstance(value, dict) else value
    layer = f"{kind} '{given.get('name', '')}'"[:100]
    return FileFormatError(
        "error.interop.keras_option", path=origin.path, layer=layer, option=name, got=repr(shown)[:100]
    )


def _row(placed: list[tuple[list[Spec], Mapping[str, Any]]], config: Mapping[str, Any], origin: Origin) -> list[Spec]:
    """Return the layers of a Functional model if each reads the one before; a branch is refused."""
    by_name = {_name(entry): (specs, entry) for specs, entry in placed}
    (start,), (name,) = (_ends(config[key]) for key in ("input_layers", "output_layers"))
    row: list[list[Spec]] = []
    while len(row) <= len(placed):
        specs, entry = by_name[name]
        row.append(specs)
        if name == start:
            if len(row) != len(placed) or len(by_name) != len(placed):
                raise FileFormatError("error.interop.keras_branch", path=origin.path, name=name)
            return [spec for specs in row[::-1] for spec in specs]
        name = _source(entry, name, origin)
    raise FileFormatError("error.interop.keras_branch", path=origin.path, name=name)


def _ends(value: Any) -> list[str]:
    """Return the layers that a list of ends names: ``["name", 0, 0]``, or a list of such."""
    entries = [value] if value and isinstance(value[0], str) else value
    return [str(entry[0]) for entry in entries]


def _source(entry: Mapping[str, Any], name: str, origin: Origin) -> str:
    """Return the layer that a layer reads, of which there is one, read once.

    Keras 3 writes the call's arguments; Keras 1 and 2 a list of ``[layer, node, output, arguments]``. The node is 1
    where the source is a model, which had one before it was read.
    """
    branch = FileFormatError("error.interop.keras_branch", path=origin.path, name=name)
    nodes = entry["inbound_nodes"]
    if len(nodes) != 1:
        raise branch
    node = nodes[0]
    if isinstance(node, dict):
        (tensor, *others), called = node["args"], node.get("kwargs", {})
        if others or not isinstance(tensor, dict) or tensor.get("class_name") != "__keras_tensor__":
            raise branch
        source, at, output = tensor["config"]["keras_history"]
    else:
        if not isinstance(node, list) or len(node) != 1:
            raise branch
        source, at, output, called = (*node[0], {})[:4]
    for key, value in called.items():
        if value is not None and not (key == "training" and isinstance(value, bool)):
            raise FileFormatError("error.interop.keras_branch", path=origin.path, name=f"{name}({key}=)")
    if at not in (0, 1) or output != 0:
        raise branch
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
