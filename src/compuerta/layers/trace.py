"""Every gate at every step of a model, by name: read, cut down, saved, and asked what each number was worth."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, files, hooks
from ..errors import FileFormatError, SettingError, ShapeError
from ..gates import KINDS, CellKind, UnknownKind
from ..recurrence import Clamps
from .axes import Axes
from .trace_sources import RecordedRun, Selected, Source, Stored, pick

Array = NDArray[Any]


class Trace(Mapping[Any, Array]):
    """What a model computed, ``trace[key, layer]`` or ``trace[key, layer, direction]``, each (N, T, H).

    Keys are those of :mod:`compuerta.gates`: f, i, g, c, o, h in an LSTM (a gate that a variant leaves out is 1);
    r, z, n, h in a GRU; i, f, g, h in a MinLSTM.
    With ``z_`` before a key it is the pre-activation, what σ or tanh saw: ``trace["z_f", 0]``, and ``trace["z_z", 0]``
    for the update gate of a GRU. Layers are counted through all recurrent layers of the model, from the inputs up;
    direction 1 is the one that reads backward. Axes are N rows of the batch, T steps and H units (P for the h of a
    projection). Values are aligned with their inputs and are zero past a row's length.

    They are the numbers of the engine that ran, to the bit. Pre-activations are computed when they are asked for, where
    the engine does not keep them: the same sum in another order, so that σ(z) is the gate to rounding. Nothing is
    copied until it is read, and what is read is the reader's own: to write to it changes no trace.

    Attributes:
        kinds: what the cell of each layer is.
        names: the keys of layer 0; ``names_of(layer)`` those of another.
        shape: (N, T).
        y: what the model put out, (N, T, ...).
        lengths: (N,) ints, or None where no row is padded.
        text, labels, values_in: what the inputs were, where that is known and it was one row: a text, one label for
            each step, the numbers of a series.
        vocabulary: the characters that a language model knows, in the order of ``y``.
        units: the numbers of the units that are here, for each layer (all of them unless it was cut down). The h of a
            projection has features of its own in their place.
        steps: the numbers of the steps that are here.

    >>> import numpy as np, compuerta
    >>> layer = compuerta.LSTM(2, 3, rng=0)
    >>> y, trace = layer.trace(np.ones((4, 5, 2)))
    >>> trace["f", 0].shape, bool((trace["h", 0] == y).all())
    ((4, 5, 3), True)
    >>> from compuerta.activations import sigmoid
    >>> bool(np.allclose(sigmoid(trace["z_f", 0]), trace["f", 0], atol=1e-6))
    True
    """

    def __init__(
        self,
        source: Source,
        shape: tuple[int, int],
        kinds: Sequence[CellKind],
        y: Array | None = None,
        *,
        axes: Axes | None = None,
        whole: Trace | None = None,
    ) -> None:
        self._source = source
        self.kinds = tuple(kinds)
        self.shape = shape
        self.y = y
        self.axes = axes or Axes()
        self.axes.check(*shape)
        self._whole = whole

    # ---- reading ----------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The keys of layer 0."""
        return self.kinds[0].names if self.kinds else ()

    @property
    def layers(self) -> int:
        """How many recurrent layers there are, each of a stack counted."""
        return len(self.kinds)

    @property
    def units(self) -> list[NDArray[np.intp]]:
        """The numbers of the units that are here, for each layer."""
        return self.axes.units or [np.arange(self._source.width(k)) for k in range(self.layers)]

    @property
    def steps(self) -> NDArray[np.intp]:
        """The numbers of the steps that are here, (T,)."""
        return np.arange(self.shape[1]) if self.axes.steps is None else self.axes.steps

    @property
    def lengths(self) -> NDArray[np.intp] | None:
        """How many steps of each row are valid, (N,); None where all are."""
        return self.axes.lengths

    @property
    def text(self) -> str | None:
        """The text that was read, a character for each step."""
        return self.axes.text

    @property
    def labels(self) -> list[str] | None:
        """The label of each step."""
        return self.axes.labels

    @property
    def values_in(self) -> Array | None:
        """The numbers of the series that was read, one for each step."""
        return self.axes.values_in

    @property
    def vocabulary(self) -> str | None:
        """The characters that a language model knows, in the order of ``y``."""
        return self.axes.vocabulary

    @property
    def whole(self) -> Trace:
        """The trace that this one was selected from; itself, if it is whole."""
        return self._whole or self

    @property
    def run(self) -> RecordedRun | None:
        """The run behind the numbers; None in a part, in a trace that was loaded and in one of gradients."""
        return self._source.run

    def kind_of(self, layer: int) -> CellKind:
        """Return the kind of cell of one layer."""
        return self.kinds[layer]

    def names_of(self, layer: int) -> tuple[str, ...]:
        """Return the keys of one layer."""
        return self.kinds[layer].names

    def directions_of(self, layer: int) -> int:
        """Return how many directions one layer reads in."""
        return self._source.directions(layer)

    def __getitem__(self, key: Any) -> Array:
        """Return one quantity of one layer.

        Raises:
            KeyError: there is no such quantity, layer or direction.
        """
        place = key if isinstance(key, tuple) else (key,)
        name, layer, direction = (*place, 0) if len(place) == 2 else place if len(place) == 3 else ("", 0, 0)
        if not all(isinstance(k, (int, np.integer)) for k in (layer, direction)) or not 0 <= layer < self.layers:
            raise KeyError(f"{key!r}: expected (name, layer) or (name, layer, direction), {self.layers} layers")
        names = self.names_of(layer)
        if name not in names and not (isinstance(name, str) and name[:2] == "z_" and name[2:] in names):
            raise KeyError(f"{key!r}: layer {layer} has {', '.join(names)}, and z_ before a gate for what it saw")
        if not 0 <= direction < self.directions_of(layer):
            raise KeyError(f"{key!r}: layer {layer} reads in {self.directions_of(layer)} direction(s)")
        return self._source.read(name, int(layer), int(direction))

    def inputs(self, layer: int) -> Array:
        """Return what a layer read, (N, T, F), or (N, T) token ids.

        Raises:
            KeyError: not available: the trace was loaded, reduced to some units, or holds gradients.
        """
        return self._source.inputs(layer).copy()

    def ran(self, layer: int, direction: int = 0) -> tuple[Any, Clamps]:
        """Return the layer of the model that ran, a whole stack, and what was clamped in it.

        Raises:
            KeyError: as for :meth:`inputs`.
        """
        return self._source.ran(layer, direction)

    def initial(self, part: str, layer: int, direction: int = 0) -> Array:
        """Return a part of the state, such as ``h``, as it stood before the first step that it read, (N, H).

        Raises:
            KeyError: there is none such, or this is a trace of gradients.
        """
        return self._source.initial(part, layer, direction).copy()

    def __iter__(self) -> Iterator[Any]:
        for k, kind in enumerate(self.kinds):
            directions = self.directions_of(k)
            for d in range(directions):
                for name in kind.names:
                    yield (name, k, d) if directions > 1 else (name, k)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        kinds = "; ".join(f"{k}: {' '.join(kind.names)}" for k, kind in enumerate(self.kinds))
        return f"Trace(N={self.shape[0]}, T={self.shape[1]}, {kinds})"

    def select(
        self,
        *,
        units: Sequence[int] | int | None = None,
        steps: slice | Sequence[int] | None = None,
        rows: slice | Sequence[int] | None = None,
    ) -> Trace:
        """Return a smaller trace of some units, steps and rows; nothing is copied until it is read.

        Args:
            units: numbers of units, the same in every layer; the h of a projection stays whole if it has
                fewer features.
            steps: a slice or numbers of steps.
            rows: a slice or numbers of rows.

        Raises:
            SettingError: a unit, step or row is not there.

        >>> import numpy as np, compuerta
        >>> _, trace = compuerta.LSTM(2, 8, rng=0).trace(np.ones((50, 2)))
        >>> part = trace.select(units=[3, 5], steps=slice(10, 20))
        >>> part["c", 0].shape, part.units[0], part.steps[0]
        ((1, 10, 2), array([3, 5]), np.int64(10))
        """
        n, t = self.shape
        which_rows, which_steps = pick(rows, n, "rows"), pick(steps, t, "steps")
        each = [pick(units, len(numbers), "units") for numbers in self.units]
        source = Selected(self._source, self.lengths, which_rows, which_steps, each if units is not None else None)
        if isinstance(self._source, Selected):  # of the whole, which has what came before each step
            source = self._source.within(source)
        return Trace(
            source, (len(which_rows), len(which_steps)), self.kinds,
            None if self.y is None else self.y[which_rows][:, which_steps] if self.y.shape[1] == t else self.y,
            axes=self.axes.select(
                which_rows, which_steps, t, [numbers[here] for numbers, here in zip(self.units, each, strict=True)]
            ),
            whole=self.whole,
        )  # fmt: skip

    def with_labels(self, **labels: Any) -> Trace:
        """Return the same trace with other ``steps``, ``text``, ``labels``, ``values_in`` or ``vocabulary``.

        Raises:
            ShapeError: there is not one for each step.

        >>> import numpy as np, compuerta
        >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((3, 2)))
        >>> trace.with_labels(labels=["lunes", "martes", "jueves"]).select(steps=[2]).labels
        ['jueves']
        """
        axes = replace(self.axes, **labels)
        return Trace(self._source, self.shape, self.kinds, self.y, axes=axes, whole=self._whole)

    # ---- what each number was worth ---------------------------------------------------------------------------------

    def gradients(self, dy: ArrayLike | None = None, *, step: int | None = None, output: int | None = None) -> Trace:
        """Return the gradient of a chosen output with respect to every quantity, as a trace with the same keys.

        ``gradients["c", 0]`` is dL/dc at every step, through all that c reaches: its h, and every later step.

        Args:
            dy: dL/dy, of the shape of ``y``; or instead of it
            step, output: L is one number of ``y``: that step, that output, summed over rows. All steps if ``step`` is
                None, and −1 is the last of each row; all outputs if ``output`` is None.

        Raises:
            SettingError: the trace was loaded from a file, or the parameters have changed since the run.
            ShapeError: ``dy`` has not the shape of ``y``.

        >>> import numpy as np, compuerta
        >>> layer = compuerta.LSTM(2, 3, rng=0)
        >>> _, trace = layer.trace(np.ones((5, 2)))
        >>> gradients = trace.gradients(step=4, output=0)
        >>> float(gradients["h", 0][0, 4, 0])
        1.0
        """
        if self._whole is not None and isinstance(self._source, Selected):
            whole = self._whole.gradients(dy, step=step, output=output)
            return Trace(self._source.of_another(whole._source), self.shape, self.kinds, axes=self.axes)
        run = self._run()
        array = self._dy(dy, step, output)
        arrays = run.gradients(array)
        source = Stored(arrays, [self.directions_of(k) for k in range(self.layers)])
        return Trace(source, self.shape, self.kinds, axes=self.axes)

    def gradients_by_step(
        self,
        dy: ArrayLike | None = None,
        layer: int = 0,
        outputs: slice | Sequence[int] | None = None,
        keys: Sequence[str] | None = None,
        *,
        norms: bool = False,
    ) -> dict[Any, Array]:
        """Return gradients for each step's output by itself: row s holds dL_s/d(quantity), (S, T, H).

        L_s is what the outputs of step s alone add to L, as far as they come through the layers above ``layer`` step by
        step. Of one row only. Keys as in the trace, with the direction always given. See :meth:`gradients`. All of it
        takes some 11 · S · T · H numbers; ``outputs`` are the S steps that are asked about, all of them if None, and
        ``keys`` the quantities. With ``norms`` it is ‖dL_s/d(quantity)‖ alone that is kept, (S, T).

        Raises:
            SettingError, ShapeError: as in :meth:`gradients`, or there is more than one row.
        """
        run = self._run()
        if self.shape[0] != 1:
            raise SettingError("error.trace_one_row", got=self.shape[0])
        array = self._dy(dy, None, None)
        at = pick(outputs, self.shape[1], "outputs")
        return run.gradients_by_step(run.down_to(layer, array), layer, at, keys, norms)

    def _run(self) -> RecordedRun:
        if self.run is None:
            raise SettingError("error.trace_loaded")
        return self.run

    def _dy(self, dy: ArrayLike | None, step: int | None, output: int | None) -> Array:
        assert self.y is not None
        if dy is not None:
            array = checks.as_array(dy, "Trace.gradients", "dy", self.y.dtype)
            array = array[None] if array.shape == self.y.shape[1:] and self.shape[0] == 1 else array
            return checks.gradient(array, "Trace.gradients", "dy", self.y.shape, self.y.dtype)
        array = np.zeros_like(self.y)
        outputs = slice(None) if output is None else pick([output], self.y.shape[2], "output")
        if step is None or not self.y.shape[1]:
            array[:, :, outputs] = 1
            return array
        (at,) = pick([step], self.y.shape[1], "step")
        steps = np.full(len(array), at)
        if step < 0 and self.lengths is not None and self.y.shape[1] == self.shape[1]:
            steps = self.lengths + step  # from the end of each row
        for row in np.flatnonzero(steps >= 0):
            array[row, steps[row], outputs] = 1
        return array

    # ---- one page ---------------------------------------------------------------------------------------------------

    def to_html(self, path: str | os.PathLike[str], *, other: Trace | None = None, lang: str | None = None,
                title: str | None = None) -> None:  # fmt: skip
        """Write one HTML file that looks into the run, offline; see :func:`compuerta.see.html.page`.

        Args:
            path: the file, written whole or not at all.
            other: a trace of another model on the same inputs, for comparison.
            lang: the language that it opens in. title: the page's heading.

        Raises:
            SettingError: the trace is too large, or its layers are of different kinds or widths.
            OSError: the file cannot be written.
        """
        hooks.call("Trace.to_html", self, other=other, path=path, lang=lang, title=title)

    def _repr_html_(self) -> str:
        """Return the same for a notebook; where it cannot be shown, why."""
        try:
            html: str = hooks.call("Trace._repr_html_", self)
        except SettingError as error:
            return f"<p>{escape(str(error))}</p><pre>{escape(repr(self))}</pre>"
        return html

    # ---- in words and in pictures -----------------------------------------------------------------------------------

    def explain(
        self,
        t: int,
        unit: int | None = None,
        layer: int = 0,
        *,
        row: int = 0,
        direction: int = 0,
        lang: str | None = None,
    ) -> str:
        """Explain one step of an LSTM or a GRU with these very numbers, in ``lang``.

        An LSTM may have peepholes, coupled gates, or lack some of them; one that has more to it is refused. Units that
        were clamped are named as such.

        Args:
            t: the step, by its place in the trace. unit: one unit alone, by its place; all of the layer if None.
            layer, row, direction: the layer, row and direction to explain.

        Raises:
            SettingError: the layer is of another kind, the step is not there, what the layer read is not known, or the
                memory or the hidden state of a unit that is explained was clamped.
            NonFiniteError: a value is NaN or infinite.

        >>> import numpy as np, compuerta
        >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((5, 2)))
        >>> print(trace.explain(4, unit=1, lang="en"))  # doctest: +ELLIPSIS
        One step of an LSTM with 2 inputs and 3 units: unit 2
        ...
        """
        text: str = hooks.call("Trace.explain", self, t, unit, layer, row=row, direction=direction, lang=lang)
        return text

    def plot(self, view: str = "gates", **options: Any) -> Any:
        """Draw one view with matplotlib and return its axes: a function of :mod:`compuerta.see.plots`.

        Args:
            view: "gates", "unit", "saturation", "ledger", "flow", "connectivity", or "overview" for a whole figure.
            options: of that function, ``ax`` and ``lang`` among them.

        Raises:
            SettingError: there is no such view.
            MissingExtraError: matplotlib is not installed.
        """
        return hooks.call("Trace.plot", self, view, **options)

    # ---- one file ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every quantity, the pre-activations and what the inputs were to one safetensors file, atomically.

        Raises:
            SettingError, OSError: as in :func:`compuerta.save`.
        """
        tensors: dict[str, Array] = {} if self.y is None else {"y": self.y}
        for k, kind in enumerate(self.kinds):
            for d in range(self.directions_of(k)):
                for name in (*kind.names, *("z_" + name for name in kind.names)):
                    try:
                        tensors[f"{name}.{k}.{d}"] = self[name, k, d]
                    except KeyError:  # states have no activation, and not every variant has every gate
                        continue
                for part in kind.parts:
                    with contextlib.suppress(KeyError):  # a trace of gradients has none
                        tensors[f"initial_{part}.{k}.{d}"] = self.initial(part, k, d)
        if self.values_in is not None:
            tensors["values"] = self.values_in
        files.write(path, tensors, {
            "kind": "Trace", "shape": list(self.shape), "kinds": [kind.to_json() for kind in self.kinds],
            "directions": [self.directions_of(k) for k in range(self.layers)],
            "lengths": self.lengths, "text": self.text, "labels": self.labels, "vocabulary": self.vocabulary,
            "steps": self.steps, "units": self.units,
        })  # fmt: skip

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Return the trace of a file written by :meth:`save`. It has everything but :meth:`gradients`.

        Raises:
            FileFormatError: the file is no trace, is damaged, or does not fit together.
            OSError: it cannot be opened.

        >>> import tempfile, numpy as np, compuerta
        >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((5, 2)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trace.save(f"{folder}/run.safetensors")
        ...     again = Trace.load(f"{folder}/run.safetensors")
        >>> all((again[key] == trace[key]).all() for key in trace)
        True
        """
        tensors, content = files.read(path)
        name = os.fspath(path)
        try:
            if content["kind"] != "Trace":
                raise FileFormatError("error.file.no_trace", path=name, got=str(content["kind"]))
            n, t = (int(size) for size in content["shape"])
            kinds = _kinds(content)
            y, values = tensors.pop("y", None), tensors.pop("values", None)
            arrays: dict[tuple[str, int, int], Array] = {}
            for key, array in tensors.items():
                what, layer, direction = key.split(".")
                if what.startswith("initial_"):
                    array = array[:, None]  # one step, before the others
                if array.ndim != 3 or array.shape[:2] != (n, 1 if what.startswith("initial_") else t):
                    raise ShapeError("error.gradient", name=name, argument=key, expected=(n, t, "H"), got=array.shape)
                arrays[what, int(layer), int(direction)] = array
            directions = content["directions"]
            if len(directions) != len(kinds) or any(type(d) is not int or d not in (1, 2) for d in directions):
                raise ValueError("directions")
            axes = Axes.from_json(content, (n, t), len(kinds), values)
            trace = cls(Stored(arrays, directions), (n, t), kinds, y, axes=axes)
            for k, kind in enumerate(kinds):
                for d in range(directions[k]):
                    for each in kind:
                        if each != "h" and arrays[each, k, d].shape[2] != len(trace.units[k]):
                            raise ValueError("units")
                    arrays["h", k, d]
        except UnknownKind as error:
            raise FileFormatError("error.file.unknown_class", path=name, got=f"CellKind {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError("error.file.config", path=name, name="Trace", why=files.one_line(error)) from None
        return trace


def _kinds(content: Mapping[str, Any]) -> list[CellKind]:
    """Return the kind of cell of each layer in a file. KeyError and the like: the file does not say.

    Older files name the quantities alone; here, and nowhere else, a kind is recognised by its set of keys. Such files
    do not say which variant ran.
    """
    if "kinds" in content:
        return [CellKind.from_json(each) for each in content["kinds"]]
    plain = {frozenset(kind): kind for kind in KINDS.values()}
    if any(len(set(row)) != len(row) for row in content["names"]):
        raise ValueError("names")
    return [plain[frozenset(row)] for row in content["names"]]
