"""Pictures with matplotlib (the extra ``plot``): one function for each view, which draws on axes and returns them.

They show what :mod:`compuerta.see.readings` says, on the scales of :mod:`compuerta.see.scale`: gates in cividis on
[0, 1], signed values from blue over white to orange around 0. NaN is grey in a heat map, infinity has the colour of the
end that it points to, and lines and bars leave a gap; a note counts them. Without ``ax`` a figure of its own is made.
Words are in ``lang``; units and layers are counted from 1 on paper and from 0 in arguments.

>>> import compuerta
>>> _, trace = compuerta.LSTM(2, 8, rng=0).trace(np.ones((30, 2)))
>>> ax = gates(trace, "f", lang="es")
>>> ax.get_title()
'Compuerta de olvido (f), capa 1'
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import files
from ..errors import MissingExtraError, Phrase, SettingError
from ..texts import say
from .readings import connectivity as connectivity_of
from .readings import gradient_flow, half_life, saturation
from .readings import ledger as ledger_of
from .ribbon import cell
from .scale import CIVIDIS, DIVERGING, Scale

if TYPE_CHECKING:
    from ..layers import Trace
    from ..tasks.answers import Drawing

Array = NDArray[Any]
Axes = Any  # matplotlib has types of its own only where it is installed

#: Colours that colour-blind readers can distinguish (Okabe and Ito 2008), and dashes for print.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
DASHES = ("-", "--", "-.", ":")
#: Characters that fit side by side on an inch of an axis.
_PER_INCH = 7.5
#: A quantity that goes beyond this hides what lies between 0 and 1, and gets an axis of its own.
_FLAT = 1.5


def figure(width: float = 9.0, height: float = 4.0) -> Any:
    """Return an empty figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("error.extra", what="compuerta.see.plots", package="matplotlib", extra="plot") from None
    return Figure(figsize=(width, height), layout="constrained")


def write(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure, or the figure that axes are on, as PNG or SVG, atomically and the same at every time.

    Raises:
        SettingError: the name of the file ends in neither ``.png`` nor ``.svg``.
        OSError: it cannot be written.
    """
    from matplotlib import rc_context

    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise SettingError("error.plot_kind", got=os.fspath(path))
    page = getattr(figure, "figure", None) or figure
    data = io.BytesIO()
    # Glyphs as paths: a reader without the font sees them all the same. No date: the same picture is the same file.
    with rc_context({"svg.hashsalt": "compuerta", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a sign that no font here has is drawn as a box
        page.savefig(data, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else {"Software": None})
    files.write_bytes(path, data.getvalue())


# ---- views of a trace -----------------------------------------------------------------------------------------------


def gates(
    trace: Trace,
    key: str = "f",
    layer: int = 0,
    *,
    row: int = 0,
    order: str = "index",
    ax: Axes | None = None,
    lang: str | None = None,
) -> Axes:
    """Draw one quantity of all units over time as a heat map, a line for each unit.

    Args:
        trace: the run. key, layer, row: what of it.
        order: of the lines: "index"; "saturation", units whose gate of the memory (f, or a GRU's z) is closed or open
            in most steps first; "memory", those that hold longest first. The outputs of a projection are in theirs.
        ax: where to draw; a new figure if None. lang: "en" or "es".

    Raises:
        MissingExtraError: matplotlib is not installed.
        SettingError: there is no such order.
    """
    values = _row(trace, key, layer, row).T
    if order not in ("index", "saturation", "memory"):
        raise SettingError("error.choice", name="order", known="index, saturation, memory", got=repr(order))
    units, first = np.arange(len(values)), None
    if order == "saturation":
        stuck = saturation(trace.select(rows=[row]), layer)
        gate = trace.kind_of(layer).memory.keep
        first = stuck.below[gate] + stuck.above[gate]
    elif order == "memory":
        first = np.nan_to_num(half_life(trace, layer, row=row), nan=-1.0)
    if first is not None and len(first) == len(units):
        units = np.argsort(-first, kind="stable")
    ax = _on(ax)
    scale = Scale.of(trace.kind_of(layer).get(key), values)
    clipped = np.nan_to_num(values, nan=np.nan, posinf=scale.high, neginf=scale.low)  # at the ends, as in every face
    picture = ax.imshow(
        clipped[units], aspect="auto", interpolation="nearest",
        cmap=_colours(scale), vmin=scale.low, vmax=scale.high,
    )  # fmt: skip
    ax.figure.colorbar(picture, ax=ax, pad=0.01, fraction=0.03)
    ax.set_title(_title(trace, key, layer, lang))
    _note(ax, "plot.grey", lang, values)
    ax.set_ylabel(say("plot.unit", lang))
    numbers = trace.units[layer] if len(values) == len(trace.units[layer]) else np.arange(len(values))
    ticks = np.unique(np.linspace(0, len(units) - 1, min(len(units), 8)).round().astype(int))
    ax.set_yticks(ticks, [str(int(numbers[units[k]]) + 1) for k in ticks])
    _steps(ax, trace, lang)
    return ax


def unit(
    trace: Trace,
    unit: int,
    keys: Sequence[str] | None = None,
    layer: int = 0,
    *,
    row: int = 0,
    ax: Axes | None = None,
    lang: str | None = None,
) -> Axes:
    """Draw one unit over time, a line for each quantity, with the text beneath.

    What leaves [−1, 1] far behind, as a memory may, is measured on an axis at the right, so that gates can be read.

    Args:
        trace: the run. unit, layer, row: which, ``unit`` by its place in the trace.
        keys: which quantities; the gates and the memory if None.
        ax, lang: as in :func:`gates`.
    """
    kind = trace.kind_of(layer)
    if keys is None:
        keys = [*kind.gates, kind.memory.quantity]
    ax = _on(ax, 9.0, 3.0)
    curves = [(key, _column(_row(trace, key, layer, row), unit)) for key in keys]
    scales = {key: Scale.of(kind.get(key), values) for key, values in curves}
    beyond = [key for key, _ in curves if scales[key].high > _FLAT]
    right = ax.twinx() if 0 < len(beyond) < len(curves) else None
    lines: list[Any] = []
    for k, (key, values) in enumerate(curves):
        on, label = (ax, key) if right is None or key not in beyond else (right, say("plot.right", lang, keys=key))
        style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linewidth": 1.5, "linestyle": DASHES[k % 4]}
        lines += _curve(on, values, label=label, **style)
    if any(scale.signed for scale in scales.values()):
        (right or ax).axhline(0, color="0.6", linewidth=0.6)
    # Above the axes: beside them it would part a heat map in the same column from its scale.
    narrow = {"fontsize": "small", "handlelength": 1.6, "columnspacing": 1.0, "borderaxespad": 0.1, "frameon": False}
    ax.legend(handles=lines, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(lines), **narrow)
    _note(ax, "plot.gap", lang, *(values for _, values in curves))
    ax.set_title(say("plot.unit_title", lang, unit=int(trace.units[layer][unit]) + 1, layer=layer + 1))
    _steps(ax, trace, lang)
    ax.set_xlim(-0.5, max(trace.shape[1], 1) - 0.5)
    return ax


def saturation_scatter(trace: Trace, layer: int = 0, *, ax: Axes | None = None, lang: str | None = None) -> Axes:
    """Draw for each gate and unit the share of steps in which it was open against that in which it was closed."""
    reading = saturation(trace, layer)
    ax = _on(ax, 4.5, 4.5)
    for k, gate in enumerate(reading.below):
        closed_share, open_share = reading.shares(gate)
        ax.scatter(
            closed_share, open_share, s=22, marker="osD^v"[k % 5], facecolors="none", edgecolors=COLOURS[k], label=gate
        )
    ax.plot([0, 1], [1, 0], color="0.6", linewidth=0.6)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    ax.set(xlabel=say("plot.closed", lang), ylabel=say("plot.open", lang), title=say("plot.saturation", lang))
    ax.legend(frameon=False, loc="upper right")
    return ax


def ledger(
    trace: Trace,
    unit: int,
    step: int = -1,
    layer: int = 0,
    *,
    row: int = 0,
    ax: Axes | None = None,
    lang: str | None = None,
) -> Axes:
    """Draw the ledger of one unit's memory: what remains of each step's write, as bars, and their sum."""
    account = ledger_of(trace, step, layer, row=row)
    shares = _column(account.shares, unit)
    ax = _on(ax, 9.0, 3.0)
    finite = np.where(np.isfinite(shares), shares, 0.0)
    up, down = _hex(DIVERGING[-1]), _hex(DIVERGING[0])
    ax.bar(np.arange(len(shares)), finite, width=0.9, color=np.where(finite >= 0, up, down))
    ax.axhline(0, color="0.3", linewidth=0.6)
    fields = {"unit": int(trace.units[layer][unit]) + 1, "value": _number(account.value[unit], "+.3g")}
    ax.set_title(say("plot.ledger", lang, start=_number(account.start[unit], "+.2g"), **fields))
    _note(ax, "plot.gap", lang, shares)
    _steps(ax, trace, lang)
    ax.set_xlim(-0.5, max(trace.shape[1], 1) - 0.5)
    return ax


def flow(
    trace: Trace,
    dy: ArrayLike | None = None,
    layer: int = 0,
    *,
    row: int = 0,
    ax: Axes | None = None,
    lang: str | None = None,
) -> Axes:
    """Draw the norms of dL/dh and dL/dc by step, on a logarithmic scale; see :func:`.readings.gradient_flow`."""
    ax = _on(ax, 9.0, 3.0)
    positive = False
    unknown: list[Array] = []
    for k, (key, norms) in enumerate(gradient_flow(trace, dy, layer, row=row).items()):
        finite_norms = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
        positive |= bool(np.isfinite(finite_norms).any())
        _curve(ax, finite_norms, linestyle=DASHES[k], color=COLOURS[k], label=f"‖dL/d{key}‖")
        unknown.append(norms)
    _note(ax, "plot.gap", lang, *unknown)
    if positive:
        ax.set_yscale("log")
    ax.legend(frameon=False, loc="best")
    ax.set_title(say("plot.flow", lang))
    _steps(ax, trace, lang)
    ax.set_xlim(-0.5, max(trace.shape[1], 1) - 0.5)
    return ax


def connectivity(
    trace: Trace, dy: ArrayLike | None = None, layer: int = 0, *, ax: Axes | None = None, lang: str | None = None
) -> Axes:
    """Draw how much each step's output hangs on each step before it; see :func:`.readings.connectivity`."""
    norms = connectivity_of(trace, dy, layer)
    ax = _on(ax, 6.5, 5.0)
    finite = norms[np.isfinite(norms) & (norms > 0)]
    low, high = (float(np.log10(finite.min())), float(np.log10(finite.max()))) if finite.size else (-1.0, 0.0)
    with np.errstate(divide="ignore"):
        logarithms = np.where(np.isfinite(norms) & (norms > 0), np.log10(norms), np.nan)
    low = max(low, high - 6)  # what is a millionth of the largest is no connection
    shades = _colours(Scale(0, 1, signed=False), bad="1.0")
    picture = ax.imshow(logarithms, interpolation="nearest", cmap=shades, vmin=low, vmax=high)
    ax.figure.colorbar(picture, ax=ax, pad=0.01, fraction=0.046, label="log₁₀ ‖dLₛ/dhₜ‖")
    ax.set_title(say("plot.connectivity", lang))
    _steps(ax, trace, lang)
    ax.set_yticks(ax.get_xticks(), ax.get_xticklabels())
    ax.set_ylabel(say("plot.of_step", lang))
    return ax


def overview(
    trace: Trace, *, unit: int, key: str | None = None, layer: int = 0, row: int = 0, lang: str | None = None
) -> Any:
    """Return a figure with the heat map of one quantity, one unit over time, its ledger, and the layer's saturation.

    Where the trace has a network, the gradient flow of its last output is there too.

    Args:
        trace: the run. layer, row: what of it.
        unit: by its place in the trace. key: of the heat map; the memory if None.
        lang: "en" or "es".
    """
    key = key if key is not None else trace.kind_of(layer).memory.quantity
    page = figure(11, 10)
    grid = page.add_gridspec(4, 2, height_ratios=(3, 2, 2, 3))
    gates(trace, key, layer, row=row, ax=page.add_subplot(grid[0, :]), lang=lang)
    _unit_of(trace, unit, layer, row, page.add_subplot(grid[1, :]), lang)
    ledger(trace, unit, layer=layer, row=row, ax=page.add_subplot(grid[2, :]), lang=lang)
    saturation_scatter(trace, layer, ax=page.add_subplot(grid[3, 0]), lang=lang)
    try:
        flow(trace, layer=layer, row=row, ax=(last := page.add_subplot(grid[3, 1])), lang=lang)
    except SettingError:  # of a file: no network
        last.remove()
    return page


def _unit_of(trace: Trace, place: int, layer: int, row: int, ax: Axes, lang: str | None) -> None:
    unit(trace, place, layer=layer, row=row, ax=ax, lang=lang)


# ---- other pictures -------------------------------------------------------------------------------------------------


def forecast(
    past: ArrayLike,
    mean: ArrayLike,
    lower: Mapping[float, ArrayLike] | None = None,
    upper: Mapping[float, ArrayLike] | None = None,
    *,
    naive: ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    name: str = "",
    ax: Axes | None = None,
    lang: str | None = None,
) -> Axes:
    """Draw a series, its forecast with the intervals of each level, and the seasonal naive forecast.

    Args:
        past: (n,), the series; the last 4 horizons, or 100 values, are shown.
        mean: (h,). lower, upper: by level in percent, each (h,). naive: (h,).
        labels: (n + h,) for the axis, such as dates.
        name: of the series. ax, lang: as in :func:`gates`.
    """
    values, ahead = np.asarray(past, np.float64), np.asarray(mean, np.float64)
    first = max(0, len(values) - max(4 * len(ahead), 100))
    ax = _on(ax, 9.0, 4.0)
    before, after = np.arange(first, len(values)), np.arange(len(values), len(values) + len(ahead))
    ax.plot(before, _finite(values[first:]), color="0.2", linewidth=1.2, label=_safe(name) or say("plot.series", lang))
    levels = sorted(lower or {}, reverse=True)
    for k, level in enumerate(levels):
        assert lower is not None
        assert upper is not None
        style = {"color": COLOURS[0], "alpha": 0.15 + 0.15 * k, "linewidth": 0, "label": f"{level:g} %"}
        low, high = _finite(lower[level]), _finite(upper[level])
        if len(ahead) == 1:  # a band of one step has no width of its own
            ax.fill_between(after[0] + np.array([-0.3, 0.3]), [low[0]] * 2, [high[0]] * 2, **style)
        else:
            ax.fill_between(after, low, high, **style)
    _curve(ax, ahead, after, color=COLOURS[0], linewidth=1.8, label=say("plot.forecast", lang))
    if naive is not None:
        naive_style = {"color": COLOURS[1], "linewidth": 1.2, "linestyle": "--", "label": say("plot.naive", lang)}
        _curve(ax, naive, after, **naive_style)
    if labels is not None:
        ticks = np.unique(np.linspace(first, len(labels) - 1, 7).round().astype(int))
        ax.set_xticks(ticks, [_safe(labels[k]) for k in ticks])
    ax.legend(frameon=False, loc="upper left")
    ax.grid(axis="y", color="0.9")
    ax.set_title(say("plot.forecast_title", lang, steps=len(ahead)))
    return ax


def training(
    losses: ArrayLike,
    updates: int | None = None,
    validations: Sequence[Sequence[float]] = (),
    *,
    scale: float = 1.0,
    unit: str = "",
    ax: Axes | None = None,
    lang: str | None = None,
) -> Axes:
    """Draw a training curve: the loss over the updates, and the measure on the validation split.

    Args:
        losses: the loss of each update, or means over equal runs of updates, as in a report.
        updates: how many updates they cover; ``len(losses)`` if None.
        validations: pairs of an update and what was measured then, in the unit of the axis.
        scale: losses are multiplied by it: 1 / ln 2 turns nats into bits.
        unit: of the axis. ax, lang: as in :func:`gates`.
    """
    values = np.asarray(losses, np.float64) * scale
    total = len(values) if updates is None else updates
    at = (np.arange(len(values)) + 0.5) * total / max(len(values), 1)
    ax = _on(ax, 8.0, 4.0)
    _curve(ax, values, at, color=COLOURS[4], linewidth=1.0, label=say("plot.training", lang))
    _note(ax, "plot.gap", lang, values)
    if len(validations):
        when, measured = np.asarray(validations, np.float64)[:, :2].T
        style = {"color": COLOURS[5], "markersize": 4, "label": say("plot.held_out", lang)}
        ax.plot(when, _finite(measured), "o-", **style)
    ax.set(xlabel=say("plot.update", lang), ylabel=unit or say("plot.loss", lang))
    ax.set_title(say("plot.training_title", lang))
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False)
    return ax


#: The drawings that a task may answer with, see :class:`compuerta.tasks.answers.Drawing`.
DRAWINGS: dict[str, Callable[..., Axes]] = {"forecast": forecast, "training": training}


def draw(drawing: Drawing, *, lang: str | None = None) -> Axes:
    """Draw a task's drawing; phrases among its arguments are rendered in the language."""
    arguments = {k: v.text(lang) if isinstance(v, Phrase) else v for k, v in drawing.arguments.items()}
    return DRAWINGS[drawing.kind](**arguments, lang=lang)


#: The views of :meth:`compuerta.layers.Trace.plot`.
VIEWS: dict[str, Callable[..., Axes]] = {
    "gates": gates, "unit": unit, "saturation": saturation_scatter, "ledger": ledger, "flow": flow,
    "connectivity": connectivity, "overview": overview,
}  # fmt: skip


def view(trace: Trace, name: str, **options: Any) -> Axes:
    """Draw one view of a trace by its name.

    Raises:
        SettingError: there is no such view.
    """
    if name not in VIEWS:
        raise SettingError("error.choice", name="view", known=", ".join(VIEWS), got=repr(name))
    return VIEWS[name](trace, **options)


# ---- what they share ------------------------------------------------------------------------------------------------


def _on(ax: Axes | None, width: float = 9.0, height: float = 4.0) -> Axes:
    return figure(width, height).add_subplot() if ax is None else ax


def _finite(values: ArrayLike) -> Array:
    """Return values with gaps where they are not finite, so that they break no scale."""
    array = np.asarray(values, np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def _curve(ax: Axes, values: ArrayLike, at: Array | None = None, **style: Any) -> list[Any]:
    """Draw a line with gaps, and a dot where a value has no neighbour to draw a line to."""
    finite = _finite(values)
    there = np.pad(np.isfinite(finite), 1)
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    if alone.any():
        style |= {"marker": "o", "markersize": 3, "markevery": np.flatnonzero(alone).tolist()}
    lines: list[Any] = ax.plot(np.arange(len(finite)) if at is None else at, finite, **style)
    return lines


def _note(ax: Axes, key: str, lang: str | None, *arrays: Array) -> None:
    """Say how many of the values of a picture are not finite, if any."""
    count = sum(np.size(values) - np.count_nonzero(np.isfinite(values)) for values in arrays)
    if count:
        style = {"transform": ax.transAxes, "fontsize": "small", "bbox": {"facecolor": "1.0", "linewidth": 0, "pad": 2}}
        ax.text(0.01, 0.04, say(key, lang, count=count), **style)


def _number(value: float, form: str) -> str:
    """Return a number as words have it: NaN and ∞ by their signs."""
    if np.isnan(value):
        return "NaN"
    return format(value, form) if np.isfinite(value) else "∞" if value > 0 else "−∞"


def _row(trace: Trace, key: str, layer: int, row: int) -> Array:
    """Return one quantity of one row, (T, H), without its padding."""
    if not 0 <= row < trace.shape[0]:
        raise SettingError("error.reading_place", what="row", got=row, count=trace.shape[0])
    length = trace.shape[1] if trace.lengths is None else int(trace.lengths[row])
    values: Array = trace[key, layer][row, :length].astype(np.float64)
    return values


def _column(values: Array, unit: int) -> Array:
    """Return the values of one unit, by its place in the trace or back from its end."""
    count = values.shape[1]
    if not -count <= unit < count:
        raise SettingError("error.reading_place", what="unit", got=unit, count=count)
    return values[:, unit]


def _title(trace: Trace, key: str, layer: int, lang: str | None) -> str:
    quantity = trace.kind_of(layer).get(key)
    name = quantity.name(lang) if quantity is not None else key
    return say("plot.of_layer", lang, name=name[0].upper() + name[1:], key=key, layer=layer + 1)


def _steps(ax: Axes, trace: Trace, lang: str | None) -> None:
    """Write the text beneath the time axis where there is room for it, else the numbers of some steps."""
    t = trace.shape[1]
    if trace.text is not None and t <= _PER_INCH * ax.get_position().width * ax.figure.get_size_inches()[0]:
        ax.set_xticks(np.arange(t), [_safe(c) for c in trace.text])
        ax.tick_params(axis="x", length=0)
        return
    ticks = np.unique(np.linspace(0, max(t - 1, 0), min(t, 8)).round().astype(int))
    labels = trace.labels if trace.text is None else None
    ax.set_xticks(ticks, [_safe(labels[k]) if labels is not None else str(int(trace.steps[k]) + 1) for k in ticks])
    ax.set_xlabel(say("plot.step", lang))


def _safe(text: str) -> str:
    """Return a person's text as a label: controls as signs, and no dollar that would begin a formula."""
    return "".join("␣" if c == " " and len(text) == 1 else cell(c)[0] for c in text).replace("$", r"\$")


def _colours(scale: Scale, bad: str = "0.5") -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    stops = [_hex(c) for c in (DIVERGING if scale.signed else CIVIDIS)]
    return LinearSegmentedColormap.from_list("compuerta", stops).with_extremes(bad=bad)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
