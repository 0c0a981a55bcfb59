"""What a page shows: one sequence as a model reads it, every quantity at every step, and the weights if it can run.

Shapes: T steps, H units shown, P places (layer and direction), F inputs, V characters or outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import softmax
from ..errors import SettingError
from ..gates import CellKind
from ..layers import Dense, Dropout, Embedding, Last, Recurrent, Trace
from ..recurrence.normalize import EPSILON
from ..tasks import Task
from ..tasks.answers import Reading
from .readings import connectivity, gradient_flow
from .scale import CIVIDIS, DIVERGING
from .search import WARM_UP, shifts_of

Array = NDArray[Any]
#: Decades of the gradient map, in 254 steps; smaller values count as the lowest.
DECADES = (-12.0, 4.0)
#: Steps up to which that map is made: it has their square.
_MOST_MAPPED = 600
#: Kinds of cells whose step is in page/cells.js, so that the page can run the model itself.
RUNNABLE = ("lstm", "gru", "minlstm")


@dataclass(eq=False)
class Scene:
    """One run, ready for a page. Make it with :func:`scene_of`.

    Attributes:
        title: the page's heading.
        kind: what the cell of every place is.
        places: (layer, direction) of each place, in order.
        units: which units are shown, counted from 0.
        values: each quantity as (P, T, H), in the order of the kind.
        reading: what was read: "ids" (T,), or "series" (T,) and "inputs" (T, F), as far as they are known;
            "forecast" where there is one.
        vocabulary: the characters of the ids, or None for a series.
        weights: arrays of the model by the names that the page knows, empty if it cannot run it.
        model: sizes and switches for the page's own run of it, or None.
        initial: what each place began from, (P, parts of the state, H).
        label: what this run is called beside another.
        flow: norms of the gradient with respect to c and h, "dc" and "dh" (P, T), and "dreach" (T, T), see
            :func:`~compuerta.see.readings.connectivity`, of the memory of the last layer.
        flow_of: what that is the gradient of: "loss", "forecast" or "output".
        clamps: what was clamped at a value, as {"p": place, "q": quantity, "u": place of the unit among ``units``}.
        labels: a name for each step of a series, such as its date.
        numbers: what each step is called, (T,), where that is not 1, 2, ...: steps chosen from a longer reading.
        lesson: the steps of a lesson that leads through the page, or None.
        start: the "unit", "place" and "key" that the page opens with; if None, the unit that moves most.
    """

    title: str
    kind: CellKind
    places: list[tuple[int, int]]
    units: list[int]
    hidden: int
    values: dict[str, Array]
    reading: dict[str, Array]
    initial: Array
    vocabulary: list[str] | None = None
    weights: dict[str, Array] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    label: str = ""
    flow: dict[str, Array] = field(default_factory=dict)
    flow_of: str = ""
    start: dict[str, Any] | None = None
    clamps: list[dict[str, Any]] = field(default_factory=list)
    labels: list[str] | None = None
    numbers: Array | None = None
    lesson: list[dict[str, Any]] | None = None

    @property
    def steps(self) -> int:
        """T."""
        return int(next(iter(self.values.values())).shape[1])

    def same_reading(self, other: Scene) -> bool:
        """Whether another scene is of the same text or series, and of cells that can be laid side by side."""
        return (
            self.vocabulary == other.vocabulary
            and (self.kind.key, self.kind.memory) == (other.kind.key, other.kind.memory)
            and (self.places, self.units) == (other.places, other.units)
            and self.reading.keys() == other.reading.keys()
            and all(np.array_equal(a, other.reading[k]) for k, a in self.reading.items() if k in ("ids", "series"))
        )

    def state_before(self, t: int) -> Array:
        """Return the state in which each place came to step t, (P, parts, H): that after the step it read before."""
        state = self.initial.copy()
        for p, (_, direction) in enumerate(self.places):
            before = t + 1 if direction else t - 1
            if 0 <= before < self.steps:
                state[p] = [self.values[q][p, before] for q in self.kind.parts]
        return state

    def after(self, steps: int) -> Scene:
        """Return the scene without its first steps, begun from the state after them and counted anew.

        All places must read forward.
        """
        cut = slice(steps, None)
        reading = {key: each if key == "forecast" else each[cut] for key, each in self.reading.items()}
        flow = {key: each[cut, cut] if key == "dreach" else each[:, cut] for key, each in self.flow.items()}
        values = {key: each[:, cut] for key, each in self.values.items()}
        labels = None if self.labels is None else self.labels[cut]
        return replace(
            self,
            values=values,
            reading=reading,
            flow=flow,
            initial=self.state_before(steps),
            labels=labels,
            numbers=None,
        )

    def about(self) -> dict[str, Any]:
        """Return its description for the page, as JSON values."""
        searched = max(self.steps, 3 * WARM_UP)
        return {
            "title": self.title,
            "kind": self.kind.to_json(),
            "hidden": self.hidden,
            "H": len(self.units),
            "layers": max(k for k, _ in self.places) + 1,
            "directions": max(d for _, d in self.places) + 1,
            "places": [list(place) for place in self.places],
            "units": self.units,
            "vocabulary": self.vocabulary,
            "flowOf": self.flow_of,
            "reach": list(DECADES),
            "labels": self.labels,
            "lesson": self.lesson,
            "warm": WARM_UP,
            "shifts": ((shifts_of(searched) - WARM_UP) / (searched - 2 * WARM_UP)).tolist(),
            "stops": {"gates": CIVIDIS, "signed": DIVERGING},
            "start": self.start or {"unit": self._liveliest(), "place": 0},
        }

    def _liveliest(self) -> int:
        """Return the unit of the first place whose state moves most, to open with something to see."""
        state = self.values[self.kind.memory.quantity][0].astype(np.float64)
        spread = np.where(np.isfinite(state), state, 0.0).std(axis=0)
        return int(np.argmax(spread))


def scene_of(
    source: Trace | Task | Scene,
    text: Any = None,
    *,
    row: int = 0,
    title: str | None = None,
    label: str = "",
) -> Scene:
    """Return what a page shows of a trace, or of a task's reading of ``text``.

    Args:
        source: a trace; or a fitted task. A page of fewer units or steps is that of ``trace.select(...)``.
        text: what a task is to read: a language model a text, a forecaster a series (the one it learnt from if None).
        row: which row of a trace's batch.
        title: the page's heading. label: what this run is called beside another.

    Raises:
        SettingError: there is nothing to show, or the layers are of different kinds or widths.
        NotFittedError, DataError: the model cannot read.
    """
    if isinstance(source, Scene):
        return source
    if isinstance(source, Trace):
        return of_trace(source, row=row, title=title, label=label)
    return of_reading(source.page_reading(text), title=title, label=label)


def of_reading(reading: Reading, *, title: str | None = None, label: str = "") -> Scene:
    """Return what a task answers when it is asked what a page shows of it."""
    scene = of_trace(reading.trace, title=title or reading.title, label=label, dy=reading.dy)
    scene.flow_of = reading.gradient_of or scene.flow_of
    scene.reading |= reading.arrays
    if scene.model is not None:
        scene.weights |= reading.weights
        scene.model |= reading.model
    return scene


def of_trace(
    trace: Trace, *, row: int = 0, title: str | None = None, label: str = "", dy: Array | None = None
) -> Scene:
    """Return one row of a trace, with the weights of what was traced where the page can run it.

    ``dy`` is the gradient that flows back from the outputs; if None, that of the surprise at the next character of a
    text, else of the sum of the last outputs.
    """
    places = [(k, d) for k in range(trace.layers) for d in range(trace.directions_of(k))]
    if not places or not 0 <= row < trace.shape[0]:
        raise SettingError("error.page.nothing", shape=trace.shape, row=row)
    stop = trace.shape[1] if trace.lengths is None else int(trace.lengths[row])
    kind = trace.kind_of(0)
    alike = all(each == kind for each in trace.kinds)
    alike = alike and all(list(trace.units[k]) == list(trace.units[0]) for k in range(trace.layers))
    arrays = {q: [trace[(q, *place)][row, :stop] for place in places] for q in kind} if alike else {}
    widths = {values.shape[1] for each in arrays.values() for values in each}
    wide = max(widths, default=0)
    if not alike or {values.shape[1] for q, each in arrays.items() for values in each if q != "h"} != {wide}:
        raise SettingError("error.page.uneven")
    if not stop or not wide:
        raise SettingError("error.page.nothing", shape=(*trace.shape, wide), row=row)
    units = [int(u) for u in trace.units[0]] if len(widths) == 1 else list(range(wide))
    values = {q: np.stack([_widened(part, wide) for part in each]) for q, each in arrays.items()}
    initial = np.stack([[_widened(_began(trace, q, place, row), wide) for q in kind.parts] for place in places])
    text = trace.text is not None and row == 0
    scene = Scene(
        title=title or (_first_line(trace.text) if text else "") or "compuerta", kind=kind,
        places=places, units=units, hidden=wide, values=values, reading={}, label=label,
        initial=initial, clamps=_clamps(trace, places, list(kind), units),
    )  # fmt: skip
    if text and trace.vocabulary is not None and trace.text is not None:
        scene.vocabulary = list(trace.vocabulary)
        index = {character: k for k, character in enumerate(trace.vocabulary)}
        scene.reading["ids"] = np.array([index[character] for character in trace.text[:stop]], np.int32)
    else:
        if trace.values_in is not None:
            scene.reading["series"] = np.asarray(trace.values_in)[:stop]
        scene.labels = None if trace.labels is None or row else trace.labels[:stop]
    if not np.array_equal(trace.steps[:stop], np.arange(stop)):
        scene.numbers = trace.steps[:stop] + 1
    _add_model(scene, trace, row, stop)
    _add_flow(scene, trace, row, stop, dy)
    return scene


def _widened(values: Array, width: int) -> Array:
    """Return values (..., P) as (..., width): a projection's h is narrower than its cell, and has no further units."""
    short = width - values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)], constant_values=np.nan) if short else values


def _clamps(trace: Trace, places: list[tuple[int, int]], keys: list[str], units: list[int]) -> list[dict[str, Any]]:
    result, whole = [], trace.whole
    for p, place in enumerate(places):
        try:
            _, clamps = whole.ran(*place)
        except KeyError:  # it is not known what ran
            return []
        result += [{"p": p, "q": q, "u": units.index(u)} for q in keys for u in clamps.units(q) if u in units]
    return result


def _began(trace: Trace, part: str, place: tuple[int, int], row: int) -> Array:
    try:
        began: Array = trace.initial(part, *place)[row]
    except KeyError:  # a trace of gradients began from nothing
        began = np.zeros_like(trace[(part, *place)][row, 0])
    return began


def _first_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[0][:60] if lines else ""


def _add_model(scene: Scene, trace: Trace, row: int, stop: int) -> None:
    """Add the weights and the inputs, where what was traced is an embedding or none, a stack and a linear layer."""
    nodes = [node for node in (trace.run.nodes if trace.run else []) if not isinstance(node.layer, Dropout | Last)]
    first = nodes.pop(0) if nodes and isinstance(nodes[0].layer, Embedding) else None
    if not nodes or not isinstance(nodes[0].layer, Recurrent):
        return
    stack, layer, after = nodes[0], nodes[0].layer, [node.layer for node in nodes[1:]]
    scene.hidden = layer.hidden_size
    if "ids" not in scene.reading and not layer.tokens and first is None:
        inputs = stack.x[row, :stop].astype(np.float32)
        scene.reading["inputs"] = inputs
        if trace.values_in is None:
            scene.reading["series"] = inputs[:, 0].astype(np.float64)
    whole = len(after) < 2 and all(isinstance(each, Dense) for each in after)
    tapes = [tape for tapes in stack.tape.tapes for tape in tapes]
    clamped = any(tape.clamps for tape in tapes)
    text = "ids" in scene.reading
    has_inputs = (first is None) == layer.tokens if text else "inputs" in scene.reading
    if not whole or clamped or not has_inputs or scene.kind.key not in RUNNABLE:
        return
    places = [layer.names(k, reverse=d == 1) for k, d in scene.places]
    plain = [[name[: name.rindex("_l")] for name in names] for names in places]
    for p, names in enumerate(places):
        scene.weights |= {f"{short}.{p}": layer.parameters[name] for short, name in zip(plain[p], names, strict=True)}
    scene.model = {
        "kind": scene.kind.to_json(), "names": plain[0], "inputs": layer.input_size, "hidden": layer.hidden_size,
        "handed": layer.output_size, "epsilon": EPSILON,
    }  # fmt: skip
    if text:
        scene.weights["embedding"] = (
            np.eye(layer.input_size, dtype=np.float32) if first is None else first.layer.parameters["w"]
        )
    if after:
        scene.weights |= {"w": after[0].parameters["w"], "wb": after[0].parameters["b"]}
        scene.model["outputs"] = after[0].output_size


def _add_flow(scene: Scene, trace: Trace, row: int, stop: int, dy: Array | None) -> None:
    """Add the norms of the gradient, where the trace still knows what was run."""
    if trace.run is None or trace.y is None:
        return
    y = trace.y
    scene.flow_of = "output"
    if dy is None and scene.vocabulary is not None and y.shape[-1] == len(scene.vocabulary) and stop > 1:
        scene.flow_of, dy = "loss", np.zeros_like(y)
        ids = scene.reading["ids"]
        dy[row, : stop - 1] = softmax(y[row, : stop - 1])
        dy[row, np.arange(stop - 1), ids[1:stop]] -= 1
        dy /= stop - 1
    elif dy is None:
        dy = np.zeros_like(y)
        dy[row, min(stop, y.shape[1]) - 1] = 1
    flows = [gradient_flow(trace, dy, k, direction=d, row=row) for k, d in scene.places]
    for q in flows[0]:
        with np.errstate(over="ignore"):  # a gradient beyond the range of 32 bits is shown as infinite
            scene.flow["d" + q] = np.stack([each[q][:stop] for each in flows]).astype(np.float32)
    if scene.flow_of == "loss" and trace.shape[0] == 1 and stop <= _MOST_MAPPED:
        memory = scene.kind.memory.quantity
        scene.flow["dreach"] = in_decades(connectivity(trace, dy, trace.layers - 1, key=memory))


def in_decades(size: Array) -> Array:
    """Return sizes as bytes: 0 for none, else 1 to 255 over :data:`DECADES` of the logarithm."""
    low, high = DECADES
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (np.log10(size) - low) / (high - low)
    result: Array = np.where(size > 0, 1 + np.rint(254 * np.clip(np.nan_to_num(share), 0, 1)), 0).astype(np.uint8)
    return result
