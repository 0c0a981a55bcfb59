"""Keras 1, 2 and 3: ``.keras`` models, HDF5 files of models or of weights alone, and the weights of live layers.

A cell has ``kernel`` (F, 4H), ``recurrent_kernel`` (H, 4H) and ``bias`` (4H,), blocks i f c o; a GRU z r h, its bias
(2, 3H) with reset_after=True, one row for the inputs and one for the state, and (3H,) without. A ``.keras`` file is a
zip of ``config.json`` (:mod:`keras_config`) and ``model.weights.h5`` (:mod:`hdf5`), in which the variables of a layer
are called 0, 1, 2; older files are HDF5 as a whole (:mod:`keras_h5`). What is written is Keras 3's.
Keras has no stacks: L layers of ours are L layers there, and come back as one.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..activations import SIGMOID, TANH
from ..errors import FileFormatError, Phrase, SettingError
from ..layers import GRU, Activation, Dense, Dropout, Embedding, Last, Layer
from ..tasks import Task
from ..tasks.base import network_of
from . import archive, hdf5, keras_config, keras_h5
from .formats import Description, Note, Runner, tensor_table, unnoted
from .gate_orders import GRU as GRU_ORDERS
from .gate_orders import LSTM as LSTM_ORDERS
from .gate_orders import reorder
from .keras_config import Origin, Spec
from .keras_options import CELLS
from .layer_order import ORDER
from .named import Leaves, System, build
from .weights import CellWeights, Tensors, assemble, dense, embedding, has_known_cell, row_of, stack, unstack

Array = NDArray[Any]

_TITLE = "Keras"
_WEIGHTS = "model.weights.h5"
_ORDERS = {"LSTM": (LSTM_ORDERS["keras"], LSTM_ORDERS["compuerta"]),
           "GRU": (GRU_ORDERS["keras"], GRU_ORDERS["compuerta"])}  # fmt: skip


# ---- in memory ------------------------------------------------------------------------------------------------------


def from_weights(kind: str, weights: Sequence[Any], *, reset_after: bool = True) -> Layer:
    """Return the layer of what ``layer.get_weights()`` gives of a Keras layer.

    Args:
        kind: "LSTM", "GRU", "Dense", "Embedding", or "Bidirectional LSTM" and "Bidirectional GRU".
        weights: kernel, recurrent kernel and bias (or no bias), for both directions one after the other.
        reset_after: of a GRU without biases, which do not tell.

    Raises:
        FileFormatError: an array is missing or misshapen; it is named.
        SettingError: there is no such kind.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> layer = from_weights("GRU", [rng.normal(size=shape) for shape in ((3, 12), (4, 12), (2, 12))])
    >>> layer.input_size, layer.hidden_size, layer.reset_after
    (3, 4, True)
    """
    both = kind.startswith("Bidirectional ")
    inner = kind.removeprefix("Bidirectional ")
    if inner not in ("LSTM", "GRU", *(() if both else ("Dense", "Embedding"))):
        raise SettingError("error.choice", name="kind", known="LSTM, GRU, Dense, Embedding, Bidirectional LSTM, "
                           "Bidirectional GRU", got=repr(kind))  # fmt: skip
    values = [np.asarray(value) for value in weights]
    places = ("forward_layer/", "backward_layer/") if both else ("",)
    each = len(values) // len(places)
    arrays = {}
    for k, value in enumerate(values):
        arrays[f"{places[min(k // max(each, 1), len(places) - 1)]}{k % max(each, 1)}"] = value
    bias = each == (2 if inner == "Dense" else 3)
    options: dict[str, Any] = {"use_bias": bias} if bias else {"use_bias": bias, "reset_after": reset_after}
    wrapped = tuple(Spec(inner, options, place) for place in places)
    spec = Spec("Bidirectional", {}, "", wrapped) if both else wrapped[0]
    tensors = Tensors("weights", arrays)
    made = _read_layer(spec, tensors, name=lambda place, leaf: place.removesuffix("/cell") + leaf)
    tensors.refuse_unused()
    return made


def from_layer(layer: Any, *, note: Note = unnoted) -> Layer:
    """Return our layer of a live layer of Keras, or of a Sequential or Functional model of such in a row.

    Raises:
        FileFormatError: a class or an option has no counterpart here; it is named.
    """
    kind = type(layer).__name__
    parts = list(layer.layers) if kind in ("Sequential", "Functional") else [layer]
    config = {"layers": [
        {"module": "keras.layers", "class_name": type(part).__name__, "config": part.get_config()} for part in parts
    ]}  # fmt: skip
    text = json.dumps({"class_name": "Sequential", "config": config}, default=_plain_config)
    if kind == "Functional":
        text = json.dumps({"class_name": kind, "config": layer.get_config()}, default=_plain_config)
    library = sys.modules.get(type(layer).__module__.partition(".")[0])
    specs = keras_config.parse(text, Origin(kind, _first(str(getattr(library, "__version__", "3"))), note=note))
    arrays: dict[str, Array] = {}
    by_name = {str(part.name): part for part in parts}
    for spec in specs:
        values = [np.asarray(value) for value in by_name[spec.name].get_weights()]
        arrays |= dict(zip(_variables(spec), values, strict=True))
    return _assembled(specs, Tensors(kind, arrays))


def _plain_config(value: Any) -> Any:
    return {"class_name": type(value).__name__, "config": {"name": getattr(value, "name", None)}}


def to_weights(model: Layer | Task, *, note: Note = unnoted) -> list[list[Array]]:
    """Return, for each layer of Keras with weights that the model becomes, what its ``set_weights`` takes.

    Raises:
        SettingError: Keras cannot express a layer or one of its arguments; it is named.
    """
    return [list(arrays.values()) for _, _, arrays in _keras_layers(model, note) if arrays]


# ---- files ----------------------------------------------------------------------------------------------------------


def recognise(path: str, head: bytes) -> bool:
    """Return whether a file is a zip with a ``config.json`` and weights, or an HDF5 file."""
    if head.startswith(b"PK"):
        return {"config.json", _WEIGHTS} <= set(archive.names(path))
    return head.startswith(hdf5.MAGIC)


def read(path: str, *, note: Note = unnoted, map: str | None = None) -> Layer:
    """Return the model of a ``.keras``, ``.h5`` or ``.weights.h5`` file.

    Args:
        path: the file.
        note: told what should be known.
        map: for weights alone, which say nothing about order: see ``pytorch.from_state_dict``.

    Raises:
        FileFormatError: see :mod:`keras_config`, :mod:`keras_h5` and :mod:`hdf5`; or a tensor is missing, unused or
            misshapen.
        MissingExtraError: h5py is not installed.
    """
    content = _open(path, note)
    if content.specs is None:
        if content.legacy:
            note(Phrase("note.keras_weights"))
        return build(_SYSTEM, content.variables(), path, map or content.order, note, listed=False)[0]
    if map is not None:
        raise SettingError("error.interop.option", format=f"{_TITLE} (.keras, .h5)", name="map")
    return _assembled(content.specs, Tensors(path, content.variables()))


def write(model: Layer | Task, path: str, *, note: Note = unnoted) -> None:
    """Write a ``.keras`` file; if the name ends in ``.h5``, the weights alone."""
    layers = _keras_layers(model, note)
    arrays = {f"{place}/{leaf}": a for _, place, held in layers for leaf, a in held.items()}
    weights = hdf5.as_bytes(arrays, {ORDER: _order(layers)} if path.lower().endswith(".h5") else {})
    if path.lower().endswith(".h5"):
        for entry, _, held in layers[1:]:
            if not held:
                note(Phrase("note.weightless", name=f"{entry['class_name']} '{entry['config']['name']}'"))
        files.write_bytes(path, weights)
        return
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        for name, data in (
            ("metadata.json", '{"keras_version": "3.0.0", "date_saved": "1980-01-01@00:00:00"}'),
            ("config.json", keras_config.sequential([entry for entry, _, _ in layers], _dtype(model))),
            (_WEIGHTS, weights),
        ):
            zipped.writestr(zipfile.ZipInfo(name), data)  # a date of 1980: the same bytes again
    files.write_bytes(path, made.getvalue())


def describe(path: str) -> Description:
    """Return the tensors of the weights."""
    return Description(tensor_table(_open(path, unnoted, parsed=False).arrays))


def runner(path: str, *, ours: bool, map: str | None = None) -> Runner | None:
    """Return the model as Keras 3 runs it. One that we wrote is loaded by Keras; another is made of what was checked.

    None also where Keras 3 has no such model, as of an older ``hard_sigmoid``.
    """
    from . import runners

    content = _open(path, unnoted)
    if content.specs is not None and not content.legacy:
        arrays, specs = content.variables(), content.specs
        return runners.keras(specs, [[arrays[n] for n in _variables(spec)] for spec in specs], path if ours else None)
    layer = read(path, map=map)
    try:
        parts = _keras_layers(layer, unnoted)
    except SettingError:
        return None
    specs = keras_config.parse(keras_config.sequential([e for e, _, _ in parts], _dtype(layer)), Origin(path))
    return runners.keras(specs, [list(a.values()) for _, _, a in parts], path if ours else None)


@dataclass(frozen=True)
class _Content:
    """A file, read.

    Attributes:
        path: its name, for errors.
        arrays: the variables by their names in the file, without what an optimizer remembers.
        specs: the layers in a row; None where the file holds weights alone.
        legacy: whether it is in the HDF5 form that Keras 1 began with.
        nested: in that form, the groups of models that stand in the model; None where the file says nothing of them.
        order: the order of its layers, if we wrote it beside the weights.
    """

    path: str
    arrays: dict[str, Array]
    specs: list[Spec] | None
    legacy: bool = False
    nested: set[str] | None = None
    order: str | None = None

    def variables(self) -> dict[str, Array]:
        """Return the variables by the names that :func:`_variables` gives them."""
        return keras_h5.canonical(self.arrays, self.path, self.nested) if self.legacy else self.arrays


def _open(path: str, note: Note, *, parsed: bool = True) -> _Content:
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(hdf5.MAGIC):
        return _open_h5(Path(path).read_bytes(), path, note, parsed=parsed)
    content = archive.unpack(path, lambda name: name in ("config.json", "metadata.json", _WEIGHTS))
    if not {"config.json", _WEIGHTS} <= set(content):
        raise FileFormatError("error.interop.archive", path=path, why=Phrase("why.archive.keras"))
    written = re.search(rb'"keras_version": *"(\d+)', content.get("metadata.json", b"")[:_LONGEST])
    origin = Origin(path, int(written[1][:3]) if written else 3, note=note)
    specs = keras_config.parse(content["config.json"], origin) if parsed else None
    return _Content(path, _arrays(content[_WEIGHTS], path), specs)


_LONGEST = 10_000


def _open_h5(data: bytes, path: str, note: Note, *, parsed: bool) -> _Content:
    said = hdf5.attributes(data, path, ("model_config", "layer_names", "layer_names0", "keras_version", ORDER))
    arrays = _arrays(data, path)
    if "model_config" not in said:
        return _Content(path, arrays, None, bool({"layer_names", "layer_names0"} & set(said)), order=said.get(ORDER))
    inside = keras_h5.WEIGHTS + "/"
    arrays = {name.removeprefix(inside): array for name, array in arrays.items() if name.startswith(inside)}
    # Before Keras 1.2 no version was written.
    origin = Origin(path, _first(said.get("keras_version", "1")), named=True, note=note)
    specs = keras_config.parse(said["model_config"], origin) if parsed else None
    return _Content(path, arrays, specs, legacy=True, nested=origin.nested)


def _first(version: str) -> int:
    """Return the first number of a version."""
    found = re.match(r"\d{1,3}", version)
    return int(found[0]) if found else 3


def _arrays(data: bytes, path: str) -> dict[str, Array]:
    """Return the arrays of a weight file. Keras 2.15 on Windows writes names with backslashes."""
    # What the optimizer remembers is no part of what the model computes, nor what was measured in training.
    arrays = hdf5.read(data, path, lambda name: re.split(r"[/\\]", name)[0] not in _TRAINING)
    named = {
        name.replace("\\", "/").replace("_layer_checkpoint_dependencies/", "layers/"): arrays[name] for name in arrays
    }
    if len(named) != len(arrays):
        raise FileFormatError("error.interop.hdf5", path=path, name="/", why=Phrase("why.hdf5.names"))
    return named


_TRAINING = ("optimizer", "optimizer_weights", "metrics")


# ---- from Keras to layers -------------------------------------------------------------------------------------------


def _variables(spec: Spec) -> list[str]:
    """Return the names of a layer's variables in the weight file, in the order of ``get_weights``."""
    if spec.inner:
        return [name for part in spec.inner for name in _variables(part)]
    bias = bool(spec.options.get("use_bias", True))
    count = {"LSTM": 2 + bias, "GRU": 2 + bias, "Dense": 1 + bias, "Embedding": 1}.get(spec.kind, 0)
    cell = "/cell" if spec.kind in ("LSTM", "GRU") else ""
    return [f"{spec.place}{cell}/vars/{k}" for k in range(count)]


def _assembled(specs: Sequence[Spec], tensors: Tensors) -> Layer:
    layers: list[Layer] = []
    for spec in specs:
        body = spec.inner[0] if spec.kind == "TimeDistributed" else spec
        if body.kind in ("LSTM", "GRU", "Bidirectional", "Dense", "Embedding"):
            layers.append(_read_layer(body, tensors))
        if body.kind in ("LSTM", "GRU", "Bidirectional"):
            options = body.inner[0].options if body.inner else body.options
            if not options.get("return_sequences", False):
                layers.append(Last(both_ends=body.kind == "Bidirectional"))
        elif body.kind == "Dropout":
            layers.append(Dropout(body.options.get("rate", 0.5)))
        activation = {"Softmax": "softmax", "ReLU": "relu"}.get(body.kind, body.options.get("activation"))
        if body.kind in ("Dense", "Activation", "Softmax", "ReLU") and activation not in ("linear", None):
            layers.append(Activation(activation))
    tensors.refuse_unused()
    if not layers:
        raise tensors.refuse("error.interop.keras_config", why="0 layers")
    return assemble(layers, merge=True)


def _named(place: str, leaf: str) -> str:
    return f"{place}/vars/{leaf}"


def _read_layer(spec: Spec, tensors: Tensors, name: Any = _named) -> Layer:
    """Return one layer; ``name(place, leaf)`` says what its variables are called."""
    if spec.kind == "Bidirectional":
        return stack([[_read_cell(part, tensors, name) for part in spec.inner]], _switches(spec.inner[0]))
    if spec.kind in CELLS:
        return stack([[_read_cell(spec, tensors, name)]], _switches(spec))
    options = spec.options
    if spec.kind == "Embedding":
        shape = (options.get("input_dim"), options.get("output_dim"))
        return embedding(tensors.take(name(spec.place, "0"), shape))
    w = tensors.take(name(spec.place, "0"), (None, options.get("units")))
    return dense(w.T, tensors.take(name(spec.place, "1"), (w.shape[1],)) if options.get("use_bias", True) else None)


def _switches(spec: Spec) -> dict[str, Any]:
    """Return the arguments of a layer for what its cell does otherwise than the plain one."""
    if spec.activations in (None, (SIGMOID, TANH)):
        return {}
    assert spec.activations is not None
    gate, candidate = spec.activations
    made = {"gate_activation": gate, "input_activation": candidate}
    return made | ({"output_activation": candidate} if spec.kind == "LSTM" else {})


def _read_cell(spec: Spec, tensors: Tensors, name: Any = _named) -> CellWeights:
    place = f"{spec.place}/cell"
    blocks = {"LSTM": 4, "GRU": 3}[spec.kind]
    units = spec.options.get("units")
    if units is None:
        held = tensors.unused.get(name(place, "1"))
        units = min(held.shape, default=0) if held is not None else None
    w_h = tensors.take(name(place, "1"), (units, None if units is None else blocks * units))
    hidden = len(w_h)
    w_x = tensors.take(name(place, "0"), (None, blocks * hidden))
    b: Array | None
    if spec.gpu:
        b = tensors.take(name(place, "2"), (2 * blocks * hidden,))
        w_x, w_h, b = keras_h5.without_gpu_layout(spec.kind, w_x, w_h, b)
        return _cell_weights(spec.kind, w_x, w_h, b, after=spec.kind == "GRU")
    b = None
    after = spec.kind == "GRU" and bool(spec.options.get("reset_after", True))
    if spec.options.get("use_bias", True):
        held = tensors.unused.get(name(place, "2"))
        if "reset_after" not in spec.options and held is not None:
            after = spec.kind == "GRU" and held.ndim == 2
        b = tensors.take(name(place, "2"), (2, blocks * hidden) if after else (blocks * hidden,))
    return _cell_weights(spec.kind, w_x, w_h, b, after)


def _cell_weights(kind: str, w_x: Array, w_h: Array, b: Array | None, after: bool) -> CellWeights:
    source, target = _ORDERS[kind]
    hidden = len(w_h)
    b_hn: Array | None = None
    if b is None:
        b = np.zeros((2, w_h.shape[1]) if after else w_h.shape[1], w_h.dtype)
    if after:  # the second row's candidate stands inside the reset gate's product; its gates join the first row
        recurrent = reorder(b[1], source, target)
        b_hn = recurrent[2 * hidden :].copy()
        recurrent[2 * hidden :] = 0
        b = reorder(b[0], source, target)
        b = b + recurrent if recurrent.any() else b
    else:
        b = reorder(b, source, target)
    return CellWeights(kind, reorder(w_x.T, source, target), reorder(w_h.T, source, target), b, b_hn)


def _kinds(leaves: Leaves, arrays: Mapping[str, Array]) -> list[tuple[str, int | None, int]]:
    name = next(iter(leaves.values()))
    shapes = {leaf[-1]: arrays[full].shape for leaf, full in leaves.items()}
    if re.search(r"(^|/)cell/vars/", name):
        x, h = shapes.get("0", ()), shapes.get("1", ())
        hidden = min(h, default=0)
        kind = "GRU" if len(h) == 2 and max(h) == 3 * hidden else "LSTM"
        return [(kind, x[0] if len(x) == 2 else 0, hidden)]
    if len(shapes.get("0", ())) != 2:
        return []
    rows, columns = shapes["0"]
    embeds, denses = ("Embedding", None, columns), ("Dense", rows, columns)
    if "1" in shapes or re.search(r"(^|/)dense(_\d+)?/", name):
        return [denses]
    return [embeds] if re.search(r"(^|/)embedding(_\d+)?/", name) else [embeds, denses]


def _cell(tensors: Tensors, leaves: Leaves, kind: str, features: int, hidden: int) -> CellWeights:
    name = next(iter(leaves.values()))
    options = {"units": hidden, "use_bias": "vars/2" in leaves}
    if kind == "GRU" and not options["use_bias"]:
        raise tensors.refuse("error.interop.keras_no_bias", name=name)
    return _read_cell(Spec(kind, options, re.sub(r"/cell/vars/\d+$", "", name)), tensors)


_SYSTEM = System(
    re.compile(r"(?P<prefix>.*?)/(?P<leaf>vars/\d)"), _kinds, _cell,
    {"Dense": ("vars/0", "vars/1"), "Embedding": ("vars/0", None)},
)  # fmt: skip


# ---- from layers to Keras -------------------------------------------------------------------------------------------


def _order(layers: Sequence[tuple[dict[str, Any], str, Mapping[str, Array]]]) -> str:
    """Return the order of layers of Keras as ``map`` takes it, so that it need not be guessed when they come back."""
    words = []
    for entry, place, _ in layers[1:]:
        kind, config = entry["class_name"], entry["config"]
        inner = config.get("layer", entry)
        if kind == "Activation":
            words.append(config["activation"])
        elif kind != "Dropout":
            words.append(f"{place}:{inner['class_name']}")
            if not inner["config"].get("return_sequences", True):
                words.append("last_both_ends" if kind == "Bidirectional" else "last")
    return ",".join(words)


def _dtype(model: Layer | Task) -> str:
    network = network_of(model)
    return "float32" if network is None else network.parameters.dtype.name


def _keras_layers(model: Layer | Task, note: Note) -> list[tuple[dict[str, Any], str, dict[str, Array]]]:
    """Return, for each layer of Keras: its configuration, its place in the weight file, its variables by name there."""
    dtype = _dtype(model)
    row = row_of(model, _TITLE, note)
    tokens = row[0].reads_tokens
    shape = [None, None] if tokens else [None, None, row[0].width_in]
    if not tokens and row[0].width_in is None:
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=row[0].name)
    first = keras_config.entry("InputLayer", "input", "int32" if tokens else dtype, batch_shape=shape)
    made: list[tuple[str, dict[str, Any], dict[str, Array]]] = []
    for layer in row:
        if isinstance(layer, Last):
            _end(made, layer)
        else:
            made += _one(layer, dtype)
    used: dict[str, int] = {}
    layers: list[tuple[dict[str, Any], str, dict[str, Array]]] = [(first, "layers/input_layer", {})]
    for kind, options, arrays in made:
        base = keras_config.snake(kind)
        name = f"{base}_{used[base]}" if base in used else base
        used[base] = used.get(base, 0) + 1
        layers.append((keras_config.entry(kind, name, dtype, **options), f"layers/{name}", arrays))
    return layers


def _end(made: list[tuple[str, dict[str, Any], dict[str, Array]]], layer: Last) -> None:
    """Let the recurrent layer before return its last step alone; dropout between them acts alike on either side."""
    kinds = [kind for kind, _, _ in made]
    while kinds and kinds[-1] == "Dropout":
        kinds.pop()
    before = made[len(kinds) - 1] if kinds else ("", {}, {})
    both = before[0] == "Bidirectional"
    if both != layer.both_ends or before[0] not in ("LSTM", "GRU", "Bidirectional"):
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=repr(layer))
    cells = [before[1]["layer"], before[1]["backward_layer"]] if both else [{"config": before[1]}]
    for cell in cells:
        if not cell["config"]["return_sequences"]:
            raise SettingError("error.interop.cannot_hold", format=_TITLE, what=repr(layer))
        cell["config"]["return_sequences"] = False


def _one(layer: Layer, dtype: str) -> list[tuple[str, dict[str, Any], dict[str, Array]]]:
    p = layer.parameters
    if isinstance(layer, Embedding):
        sizes = {"input_dim": layer.vocabulary_size, "output_dim": layer.embedding_size, "mask_zero": False}
        return [("Embedding", sizes, {"vars/0": p["w"]})]
    if isinstance(layer, Dense):
        linear = {"units": layer.output_size, "activation": "linear", "use_bias": True}
        return [("Dense", linear, {"vars/0": p["w"].T, "vars/1": p["b"]})]
    if isinstance(layer, Dropout):
        return [("Dropout", {"rate": layer.p}, {})]
    if isinstance(layer, Activation):
        return [("Activation", {"activation": layer.kind}, {})]
    if not has_known_cell(layer):
        raise SettingError("error.interop.cannot_hold", format=_TITLE, what=layer.name)
    made: list[tuple[str, dict[str, Any], dict[str, Array]]] = []
    for k, cells in enumerate(unstack(layer)):
        if k and layer.dropout:
            made.append(("Dropout", {"rate": layer.dropout}, {}))
        options: dict[str, Any] = {"units": layer.hidden_size, "activation": "tanh", "recurrent_activation": "sigmoid",
                   "use_bias": True, "return_sequences": True}  # fmt: skip
        if isinstance(layer, GRU):
            options["reset_after"] = layer.reset_after
        if len(cells) == 1:
            made.append((layer.name, options, {f"cell/{n}": a for n, a in _cell_arrays(cells[0]).items()}))
            continue
        arrays: dict[str, Array] = {}
        wrapped = {}
        for way, cell in zip(("forward", "backward"), cells, strict=True):
            arrays |= {f"{way}_layer/cell/{n}": a for n, a in _cell_arrays(cell).items()}
            name = f"{way}_{layer.name.lower()}"
            wrapped[way] = keras_config.entry(layer.name, name, dtype, **options, go_backwards=way == "backward")
        made.append(("Bidirectional", {"merge_mode": "concat", "layer": wrapped["forward"],
                                       "backward_layer": wrapped["backward"]}, arrays))  # fmt: skip
    return made


def _cell_arrays(cell: CellWeights) -> dict[str, Array]:
    target, source = _ORDERS[cell.kind]
    b = reorder(cell.b, source, target)
    if cell.b_hn is not None:
        second = np.zeros_like(b)
        second[target.index("n") * cell.b_hn.size :][: cell.b_hn.size] = cell.b_hn
        b = np.stack((b, second))
    return {"vars/0": reorder(cell.w_x, source, target).T, "vars/1": reorder(cell.w_h, source, target).T, "vars/2": b}
