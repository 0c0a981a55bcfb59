"""What a page shows: one sequence as a model reads it, every quantity at every step, and the weights if it can run.

Shapes: T steps, H units shown, P places (layer and direction), F inputs, V characters or outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, gates
from ..errors import SettingError
from ..layers import GRU, LSTM, MinLSTM, Recurrent, Trace
from ..tasks import Forecaster, LanguageModel

Array = NDArray[Any]


@dataclass(eq=False)
class Scene:
    """One run, ready for a page. Make it with :func:`of_text`, :func:`of_series` or :func:`of_trace`.

    Attributes:
        title: a line to stand above all.
        cell: "lstm", "gru" or "minlstm". plain: whether it is the standard cell of its kind.
        places: (layer, direction) of each place, in order.
        units: which units are shown, counted from 0.
        values: each quantity as (P, T, H), in the order of the catalogue.
        reading: what was read: "ids" (T,), or "series" (T,) and "inputs" (T, F); "forecast" where there is one.
        vocabulary: the characters that ids stand for, or None for a series.
        weights: arrays of the model by the names that the page knows, empty if it cannot run it.
        model: sizes for the page's own run of it, or None.
        label: what this run is called beside another.
    """

    title: str
    cell: str
    plain: bool
    places: list[tuple[int, int]]
    units: list[int]
    hidden: int
    values: dict[str, Array]
    reading: dict[str, Array]
    vocabulary: list[str] | None = None
    weights: dict[str, Array] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    label: str = ""

    @property
    def steps(self) -> int:
        """T."""
        return int(next(iter(self.values.values())).shape[1])

    def same_reading(self, other: Scene) -> bool:
        """Whether another scene is of the same text or series, and of cells that can be laid side by side."""
        return (
            self.vocabulary == other.vocabulary
            and (self.cell, self.places, self.units) == (other.cell, other.places, other.units)
            and self.reading.keys() == other.reading.keys()
            and all(np.array_equal(a, other.reading[k]) for k, a in self.reading.items() if k in ("ids", "series"))
        )

    def state_before(self, t: int) -> Array:
        """Return the state before step t, (places, parts, H), parts h and c or h: zeros before the first."""
        parts = ("h", "c") if "c" in self.values else ("h",)
        if t == 0:
            return np.zeros((len(self.places), len(parts), len(self.units)), np.float32)
        return np.stack([np.stack([self.values[q][p, t - 1] for q in parts]) for p in range(len(self.places))])

    def about(self) -> dict[str, Any]:
        """Return what the page is told about it, for JSON."""
        known = {"lstm": gates.LSTM, "gru": gates.GRU, "minlstm": gates.MIN_LSTM}[self.cell]
        quantities = {
            key: {
                "symbol": known[key].symbol.replace("_t", "") if key in known else key,
                "equation": known[key].equation if key in known else "",
                "range": list(known[key].range) if key in known and math.isfinite(known[key].range[0]) else None,
            }
            for key in self.values
        }
        name = {"lstm": "LSTM", "gru": "GRU", "minlstm": "MinLSTM"}[self.cell]
        return {
            "title": self.title,
            "cell": name,
            "plain": self.plain and self.cell != "minlstm",
            "hidden": self.hidden,
            "H": len(self.units),
            "layers": max(k for k, _ in self.places) + 1,
            "directions": max(d for _, d in self.places) + 1,
            "places": [list(place) for place in self.places],
            "units": self.units,
            "quantities": quantities,
            "vocabulary": self.vocabulary,
            "start": {"unit": self._liveliest(), "place": 0},
        }

    def _liveliest(self) -> int:
        """Return the unit of the first place whose state moves most, to open with something to see."""
        state = self.values["c" if "c" in self.values else "h"][0].astype(np.float64)
        spread = np.where(np.isfinite(state), state, 0.0).std(axis=0)
        return int(np.argmax(spread))


def of_text(
    model: LanguageModel,
    text: str,
    *,
    units: Sequence[int] | None = None,
    title: str | None = None,
    label: str = "",
) -> Scene:
    """Return a language model's reading of ``text``.

    Args:
        model: a fitted model.
        text: what it reads.
        units: the units to show, from 0; all if None. With fewer than all the page cannot run the model.
        title, label: how the page and this run are called.

    Raises:
        NotFittedError: the model is not trained yet.
        DataError: a character of the text is not in the vocabulary, or there is none.
    """
    trace = model.trace(text)
    embedding, recurrent, dense = model._parts()
    scene = of_trace(trace, recurrent, title=title or text[:60].strip() or "compuerta", units=units, label=label)
    scene.vocabulary = list(model.vocabulary_.characters)
    scene.reading = {"ids": model.vocabulary_.encode(text)}
    if scene.weights and scene.model is not None:
        scene.weights |= {
            "embedding": embedding.parameters["w"],
            "w": dense.parameters["w"],
            "wb": dense.parameters["b"],
        }
        scene.model |= {"outputs": model.vocabulary_.size}
    return scene


def of_series(model: Forecaster, *, units: Sequence[int] | None = None, title: str | None = None) -> Scene:
    """Return how the first network of a forecaster reads the last window of its series, and the forecast.

    The series and the forecast are in the units of the series; the inputs are what the network sees of it.

    Raises:
        NotFittedError: the model is not trained yet.
    """
    model._check_fitted("members_")
    view, network = model.members_[0]
    past = model._forward(model.series_.values)
    inputs = view.inputs(past, np.array([len(past) - 1])).astype(np.float32)
    lstm = network.core.layers[0]
    assert isinstance(lstm, Recurrent)
    _, trace = lstm.trace(inputs)
    scene = of_trace(trace, lstm, title=title or model.series_.name or "compuerta", units=units)
    forecast = model.predict(level=())
    scene.reading = {
        "series": model.series_.values[-view.window :].astype(np.float64),
        "inputs": inputs[0],
        "forecast": forecast.mean.astype(np.float64),
    }
    return scene


def of_trace(
    trace: Trace,
    layer: Recurrent | None = None,
    *,
    row: int = 0,
    steps: int | None = None,
    inputs: ArrayLike | None = None,
    units: Sequence[int] | None = None,
    title: str = "compuerta",
    label: str = "",
) -> Scene:
    """Return one row of any trace, as a series of its inputs.

    Args:
        trace: what :meth:`trace` returned.
        layer: the layer that was traced; with its weights and the inputs the page can run it.
        row: which row of the batch. steps: how many of its steps, where it is padded; all if None.
        inputs: what the layer read, (T, F); the first of the features is drawn as the series.
        units: the units to show, from 0; all if None.
        title, label: how the page and this run are called.

    Raises:
        SettingError: there is no step or unit to show, or a unit that the layer does not have.
    """
    known = {"c": ("f", "i", "g", "c", "o", "h"), "r": ("r", "z", "n", "h")}
    names = trace.names
    cell = "lstm" if "c" in names else "gru" if "r" in names else "minlstm"
    keys = [q for q in known.get("c" if cell == "lstm" else "r", names) if q in names] if cell != "minlstm" else names
    places = sorted({(key[1], key[2] if len(key) > 2 else 0) for key in trace})
    first = trace[("h", *places[0])]
    hidden = first.shape[-1]
    shown = list(range(hidden)) if units is None else [checks.count(u, "units", low=0) for u in units]
    stop = first.shape[1] if steps is None else min(checks.count(steps, "steps"), first.shape[1])
    if not stop or not shown or max(shown) >= hidden:
        raise SettingError("error.page.units", steps=stop, hidden=hidden, got=shown)
    values = {q: np.stack([trace[(q, *place)][row, :stop][:, shown] for place in places]) for q in keys}
    read = np.zeros((stop, 1)) if inputs is None else np.asarray(inputs)[:stop]
    scene = Scene(title, cell, _plain(layer), places, shown, hidden, values, {
        "series": read[:, 0].astype(np.float64), "inputs": read.astype(np.float32),
    }, label=label)  # fmt: skip
    if layer is not None and _runs(layer) and shown == list(range(hidden)):
        scene.model = {"cell": cell, "layers": layer.num_layers, "hidden": hidden, "inputs": layer.input_size}
        for k in range(layer.num_layers):
            scene.weights |= {
                f"{short}{k}": layer.parameters[name]
                for short, name in zip(("wx", "wh", "b", "bhn"), layer.names(k), strict=False)
            }
    return scene


def _plain(layer: Recurrent | None) -> bool:
    """Whether the drawing of the standard cell is true of this one."""
    if isinstance(layer, LSTM):
        return layer.variant.plain
    return layer is None or not isinstance(layer, MinLSTM)


def _runs(layer: Recurrent) -> bool:
    """Whether the page's own run knows this cell."""
    plain = layer.variant.plain if isinstance(layer, LSTM) else isinstance(layer, GRU)
    return plain and layer.directions == 1 and not layer.learn_state
