"""``compuerta look``: a text coloured by what a unit does along it, and what the unit is like; or pictures of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .base import FILE, Choice, IntRange, Refused, Texts, argument, command, flag, option
from .options import options_in, options_of
from .output import clean, colours, columns, log, out, out_json, out_wrapped, painter

if TYPE_CHECKING:
    from ..layers import Trace
    from ..see.search import Cost, Search
    from ..tasks import Task

#: The most characters that are read, and the most verdicts and writers that are listed.
MOST, TOLD = 5_000, 5
#: What writes a file, by how its name ends: (t, task, data, trace, what, path).
Writer = Callable[[Texts, "Task", Any, "Trace", "What", Path], None]


class What:
    """The quantity, layer and unit that are shown, numbered as in the trace."""

    def __init__(self, trace: Trace, key: str, layer: int, unit: int) -> None:
        self.key, self.layer, self.unit = key, layer, unit
        self.quantity = trace.kind_of(layer)[key]
        self.values = trace[key, layer][0, :, unit]

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON, counted from 1 as people do."""
        return {"gate": self.key, "layer": self.layer + 1, "unit": self.unit + 1}


def make(t: Texts) -> click.Command:
    """Return the command ``look``."""
    from ..data.text import UNKNOWN
    from ..tasks import TASKS

    @command(
        t,
        "look",
        argument("model", FILE),
        option("--text"),
        option("--file", type=FILE),
        option("--unit", type=IntRange(1, 1_000_000)),
        option("--layer", type=IntRange(1, 1_000), default=1),
        option("--gate"),
        option("--find"),
        *options_of(cls.data_options for cls in TASKS.values()),
        option("--unknown", type=Choice(UNKNOWN)),
        option("-o", "--output", type=FILE),
        flag("--json"),
    )
    def look(
        model: Path, text: str | None, file: Path | None, unit: int | None, layer: int, gate: str | None,
        find: str | None, unknown: str | None, output: Path | None, json: bool, **task_options: Any,
    ) -> None:  # fmt: skip
        from .models import open_task

        writer = None if output is None else _writer(output, model, file)
        if text is not None and file is not None:
            raise Refused("cli.look.text_and_file", option="--file")
        task = open_task(model, "traced")
        (reading,) = options_in(task_options, task.data_options, key="cli.evaluate.foreign", kind=type(task).__name__)
        data = _data(t, task, text, file, find, reading, unknown)
        trace = task.traced(data)
        if layer > trace.layers:
            raise Refused("cli.look.no_layer", option="--layer", layers=trace.layers, got=layer)
        search, cost = (None, None) if find is None else _find(task, trace, find)
        what = _what(trace, search, gate, layer - 1, unit)
        if output is not None and writer is not None:
            writer(t, task, data, trace, what, output)
            log(t("cli.look.wrote", file=clean(str(output))))
            if not json:
                return
        if json:
            out_json(_as_json(t, trace, what, find, search, cost))
            return
        if search is not None and cost is not None:
            _tell_search(t, str(find), search, cost)
        _tell(t, trace, what)

    return look


def _data(
    t: Texts, task: Any, text: str | None, file: Path | None, find: str | None, reading: dict[str, Any],
    unknown: str | None,
) -> Any:  # fmt: skip
    """Return what the task is to read: a text, or the data of a file; None for what it learnt from."""
    if not task.reads_text:
        for name, value in (("--text", text), ("--find", find), ("--unknown", unknown)):
            if value is not None:
                raise Refused("cli.look.only_text", option=name, kind=t(task.kind))
        return None if file is None else task.read(file, **reading)
    if find is not None and not task.answers("generate"):
        raise Refused("cli.look.only_text", option="--find", kind=t(task.kind))
    if file is not None:
        text = str(task.read(file, **reading))
        if len(text) > MOST:
            log(t("cli.look.cut", most=MOST, characters=len(text)))
        text = text[:MOST]
    if not text:
        raise Refused("cli.look.needs_text", option="--text")
    if len(text) > MOST:
        raise Refused("cli.look.too_long", option="--text", most=MOST, got=len(text))
    readable, notes = task.in_vocabulary(text, unknown or "skip")
    for note in notes:
        log(t.tell(note))
    if not len(readable):
        raise Refused("cli.look.needs_text", option="--text")
    return str(readable)


def _find(task: Any, trace: Trace, find: str) -> tuple[Search, Cost]:
    from ..see.search import cost_of_clamping, find_units, labels_of

    text = str(trace.text)
    search = find_units(trace, labels_of(text, find))
    best = search.best[0]
    return search, cost_of_clamping(task, text, best.key, best.layer, best.unit)


def _what(trace: Trace, search: Search | None, gate: str | None, layer: int, unit: int | None) -> What:
    """Return the quantity and unit asked for, else the best of the search, else the memory of the liveliest unit."""
    from .models import liveliest

    if search is not None and unit is None:
        best = search.best[0]
        return What(trace, gate if gate in trace.names_of(best.layer) else best.key, best.layer, best.unit)
    kind = trace.kind_of(layer)
    key = gate if gate is not None else kind.memory.quantity
    if key not in kind:
        raise Refused("cli.look.no_gate", option="--gate", known=", ".join(kind.names), got=key)
    units = trace[key, layer].shape[2]
    place = liveliest(trace, layer) if unit is None else unit - 1
    if place >= units:
        raise Refused("cli.explain.no_unit", option="--unit", units=units, got=place + 1)
    return What(trace, key, layer, place)


# ---- what is printed ------------------------------------------------------------------------------------------------


def _tell(t: Texts, trace: Trace, what: What) -> None:
    from ..see.readings import saturation, verdicts
    from ..see.ribbon import ribbon
    from ..see.scale import Scale

    quantity = what.quantity
    scale = Scale.of(quantity, what.values)
    title = t("cli.look.title", unit=what.unit + 1, layer=what.layer + 1, gate=what.key, name=quantity.name(t.lang))
    out(painter()(title, "title"))
    legend = "cli.look.scale_signed" if scale.signed else "cli.look.scale_gate"
    out_wrapped(t(legend, low=f"{scale.low:.3g}", high=f"{scale.high:.3g}"))
    out("")
    width = columns(most=200)
    if trace.text is not None:
        out(ribbon(list(trace.text), what.values, scale, width=width, colours=colours()))
    else:
        _tell_series(t, trace, what, width)
    out("")
    for line in _memory(t, trace, what):
        out_wrapped(line)
    all_verdicts = verdicts(saturation(trace, what.layer))
    own = [v for v in all_verdicts if v.unit == what.unit]
    others = [v for v in all_verdicts if v.unit != what.unit]
    if all_verdicts:
        out("")
        out(painter()(t("cli.look.verdicts", count=len(all_verdicts)), "title"))
    for verdict in (own + others)[:TOLD]:
        out_wrapped(verdict.text(t.lang))


def _tell_series(t: Texts, trace: Trace, what: What, width: int) -> None:
    """Show a series and what the unit did along it, line under line."""
    from ..see.ribbon import paint
    from ..see.scale import Scale

    values = trace.values_in
    labels = trace.labels or [str(k + 1) for k in range(len(what.values))]
    own = Scale.of(what.quantity, what.values)
    for start in range(0, len(what.values), width):
        part = slice(start, start + width)
        out(painter()(t("cli.look.from_to", first=labels[part][0], last=labels[part][-1]), "dim"))
        if values is not None:
            other = Scale(float(values.min()), float(values.max()), signed=False)
            out("".join(other.height(v) for v in values[part].tolist()))
        out("".join(paint(own.height(v), own, v, colours()) for v in what.values[part].tolist()))
        if own.signed:
            out("".join(own.sign(v) for v in what.values[part].tolist()))


def _memory(t: Texts, trace: Trace, what: What) -> list[str]:
    """Return lines on how long the unit's memory lasts and which steps wrote what it contains at the end."""
    import numpy as np

    from ..see.readings import half_life, ledger
    from ..see.ribbon import cell

    life = float(half_life(trace, what.layer)[what.unit])
    lines = [] if np.isnan(life) else [t("cli.look.half_life", steps=f"{life:.1f}")]
    if np.isinf(life):
        lines = [t("cli.look.half_life_none")]
    account = ledger(trace, layer=what.layer)
    shares, total = account.shares[:, what.unit], float(account.value[what.unit])
    if not np.isfinite([*shares, total]).all():
        return [*lines, t("cli.look.not_finite")]
    most = [k for k in np.argsort(-np.abs(shares), kind="stable")[:TOLD] if shares[k]]
    labels = trace.labels or [str(k + 1) for k in range(len(shares))]
    names = [label if trace.text is None else "␣" if label == " " else cell(label)[0] for label in labels]
    writers = ", ".join(f"{names[k]} ({k + 1}) {shares[k]:+.3f}" for k in most)
    rest = f"{total - shares[most].sum():+.3f}"
    return [*lines, t("cli.look.ledger", value=f"{total:+.3f}", written=writers, rest=rest)]


def _tell_search(t: Texts, find: str, search: Search, cost: Cost) -> None:
    yes = search.kind == "auroc"
    out(painter()(t("cli.look.found", what=clean(find)), "title"))
    out_wrapped(t("cli.look.judged_yes" if yes else "cli.look.judged", steps=search.steps, positive=search.positive))
    for one in search.best:
        place: dict[str, Any] = {"gate": one.key, "unit": one.unit + 1, "layer": one.layer + 1}
        out("  " + t("cli.look.one", score=f"{one.score:.3f}", sign="+" if one.sign > 0 else "−", **place))
    best = search.best[0]
    key = "cli.look.above_chance" if best.score > search.chance else "cli.look.no_more_than_chance"
    out_wrapped(t(key, chance=f"{search.chance:.3f}", searches=len(search.baseline)))
    more = round(cost.clamped - cost.free, 4) + 0.0  # never −0
    bits = {"free": f"{cost.free:.4f}", "held": f"{cost.clamped:.4f}", "more": f"{more:+.4f}"}
    out_wrapped(t("cli.look.held", gate=best.key, unit=best.unit + 1, value=f"{cost.value:+.3f}", **bits))
    out("")


def _as_json(t: Texts, trace: Trace, what: What, find: str | None, search: Search | None, cost: Cost | None) -> Any:
    from ..see.readings import half_life, ledger, saturation, verdicts
    from ..see.scale import Scale

    scale = Scale.of(what.quantity, what.values)
    account = ledger(trace, layer=what.layer)
    result: dict[str, Any] = {
        "text": trace.text, "labels": None if trace.text is not None else trace.labels, **what.as_json(),
        "values": what.values, "low": scale.low, "high": scale.high,
        "half_life": float(half_life(trace, what.layer)[what.unit]),
        "ledger": {name: getattr(account, name)[..., what.unit] for name in ("value", "start", "shares", "rest")},
        "verdicts": [
            {**asdict(v), "unit": v.unit + 1, "text": v.text(t.lang)} for v in verdicts(saturation(trace, what.layer))
        ],
    }  # fmt: skip
    if search is not None and cost is not None:
        best = [
            {"gate": b.key, "layer": b.layer + 1, "unit": b.unit + 1, "score": b.score,
             "selection_score": b.selection_score, "sign": b.sign} for b in search.best
        ]  # fmt: skip
        result["search"] = {
            "what": find, "kind": search.kind, "steps": search.steps, "positive": search.positive,
            "chance": search.chance, "best": best,
            "clamped": {"value": cost.value, "bits_free": cost.free, "bits_clamped": cost.clamped},
        }  # fmt: skip
    return result


# ---- files ----------------------------------------------------------------------------------------------------------


def _writer(output: Path, *sources: Path | None) -> Writer:
    """Return what writes such a file, once it is known that it could be written.

    Raises:
        Refused: no face of a trace has a name that ends so, or a file that is read would be overwritten.
    """
    from .. import files

    writer = WRITERS.get(output.suffix.lower())
    if writer is None:
        raise Refused("cli.look.output_kind", option="--output", known=", ".join(WRITERS), got=clean(output.name))
    for source in sources:
        if source is not None and source.exists() and output.exists() and output.samefile(source):
            raise Refused("cli.error.same_file", option="--output", file=clean(str(source)))
    if writer is _picture:
        from ..see.plots import figure

        figure()
    files.check_writable(output)
    return writer


def _picture(t: Texts, task: Task, data: Any, trace: Trace, what: What, path: Path) -> None:
    from ..see.plots import overview, write

    write(overview(trace, unit=what.unit, key=what.key, layer=what.layer, lang=t.lang), path)


def _tensors(t: Texts, task: Task, data: Any, trace: Trace, what: What, path: Path) -> None:
    trace.save(path)


def _page(t: Texts, task: Task, data: Any, trace: Trace, what: What, path: Path) -> None:
    from ..errors import SettingError
    from ..see.html import MOST_VALUES, page
    from ..see.scene import scene_of

    # Read anew, so that the page can run the model; it too begins after what is read before a text.
    before = task.opening
    scene = scene_of(task, before + data).after(len(before)) if before else scene_of(task, data)
    scene.start = {"unit": what.unit, "place": scene.places.index((what.layer, 0)), "key": what.key}
    try:
        page(scene, path=path, lang=t.lang)
    except SettingError as error:
        if error.key != "error.page.too_large":
            raise
        # The library's remedy is a call in Python; here one gives a shorter text.
        values = sum(array.size for array in scene.values.values())
        fit = MOST_VALUES * scene.steps // values
        raise Refused("cli.look.page_too_large", option="--output", values=values, most=MOST_VALUES, fit=fit) from None


WRITERS: dict[str, Writer] = {".html": _page, ".png": _picture, ".svg": _picture, ".safetensors": _tensors}
