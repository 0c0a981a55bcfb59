"""``compuerta explain``: one step of an LSTM by hand, or one's own model along a text, gate by gate."""

from __future__ import annotations

from pathlib import Path

import click

from .base import FILE, IntRange, Refused, Texts, argument, command, flag, option
from .output import clean, out, out_json, page_width, painter


def make(t: Texts) -> click.Command:
    """Return the command ``explain``."""

    @command(
        t,
        "explain",
        argument("model", FILE, required=False),
        option("--text", default=""),
        option("--unit", type=IntRange(1, 1_000_000)),
        option("--layer", type=IntRange(1, 1_000)),
        option("--step", type=IntRange(1, 1_000_000)),
        option("--seed", type=IntRange(0, 2**32 - 1), default=42),
        option("--input-size", type=IntRange(1, 1000), default=4),
        option("--hidden-size", type=IntRange(1, 1000), default=3),
        flag("--json"),
    )
    def explain(
        model: Path | None, text: str, unit: int | None, layer: int | None, step: int | None, seed: int,
        input_size: int, hidden_size: int, json: bool,
    ) -> None:  # fmt: skip
        if model is not None:
            _model(t, model, text, unit, layer or 1, step, json)
            return
        for name, value in (("--text", text or None), ("--unit", unit), ("--layer", layer), ("--step", step)):
            if value is not None:
                raise Refused("cli.explain.needs_model", option=name)
        from ..see.explain import drawn_step, explain_step, numbers

        example = drawn_step(seed, input_size, hidden_size)
        if json:
            out_json({"seed": seed, "input_size": input_size, "hidden_size": hidden_size, **numbers(example)})
        else:
            out(explain_step(example, t.lang, origin=t("cli.explain.origin", seed=seed), paint=painter(),
                             width=page_width()))  # fmt: skip
            out("\n" + t("cli.explain.next", seed=(seed + 1) % 2**32))

    return explain


def _model(t: Texts, model: Path, text: str, unit: int | None, layer: int, step: int | None, json: bool) -> None:
    """Show the gates of one unit of a person's own model along a text, or one step of it in full."""
    from ..see.explain import explain_trace, gate_table, numbers, traced_step
    from ..see.ribbon import cell
    from .models import open_task, unit_gates

    if not text:
        raise Refused("cli.explain.needs_text", option="--text")
    trace = open_task(model, "traced", lambda cls: cls.reads_text).traced(text)
    if layer > trace.layers:
        raise Refused("cli.look.no_layer", option="--layer", layers=trace.layers, got=layer)
    units = trace["h", layer - 1].shape[2]
    if unit is not None and unit > units:
        raise Refused("cli.explain.no_unit", option="--unit", units=units, got=unit)
    if step is not None:
        if step > len(text):
            raise Refused("cli.explain.no_step", option="--step", steps=len(text), got=step)
        place = trace, step - 1, None if unit is None else unit - 1, layer - 1
        if json:
            values = numbers(traced_step(*place), trace.kind_of(layer - 1))
            out_json({"text": text, "step": step, "layer": layer, "unit": unit, **values})
            return
        origin = t("cli.explain.own", char=cell(text[step - 1])[0], step=step, layer=layer, text=clean(text))
        out(explain_trace(*place, lang=t.lang, origin=origin, paint=painter(), width=page_width()))
        return
    gates, index = unit_gates(trace, None if unit is None else unit - 1, layer - 1)
    if json:
        out_json({"text": text, "layer": layer, "unit": index + 1, "gates": gates})
        return
    kind = trace.kind_of(layer - 1)
    table = gate_table(list(text), gates, t.lang, kind=kind, width=page_width())  # or an error, before any output
    out(painter()(t("cli.demo.gates", unit=index + 1, units=units, word=clean(text)), "title"))
    out(table)
