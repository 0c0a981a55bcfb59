"""``compuerta info``: what is in a model file, or what is installed here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CompuertaError
from ..texts import grouped
from .base import FILE, Texts, argument, command, flag
from .output import clean, out, out_json

if TYPE_CHECKING:
    from ..errors import Phrase
    from ..interop.formats import Format


def make(t: Texts) -> click.Command:
    """Return the command ``info``."""

    @command(t, "info", argument("file", FILE, required=False), flag("--json"))
    def info(file: Path | None, json: bool) -> None:
        rows, tail = _file(t, file) if file is not None else (_here(t), "")
        if json:
            # Errors in English: a program reads the same whatever the language.
            out_json({key: str(value) if isinstance(value, Exception) else value for key, _, value in rows})
            return
        width = max(len(label) for _, label, _ in rows)
        for _, label, value in rows:
            text = _as_text(t, value)
            out(f"{label:<{width}}  {text}")
        if tail:
            out("\n" + tail)

    return info


def _as_text(t: Texts, value: Any) -> str:
    if isinstance(value, CompuertaError):
        return clean(value.text(t.lang))
    if value is True:
        return t("cli.info.checksum_ok")
    return grouped(value, t.lang) if isinstance(value, int) else clean(str(value))


def _here(t: Texts) -> list[tuple[str, str, Any]]:
    import platform

    import numpy as np

    from .. import __version__, recurrence

    engine, reason = recurrence.engine(), recurrence.why_not_native()
    facts = {
        "version": __version__,
        "engine": engine,
        **({"native": reason.text(t.lang)} if reason else {"variants": ", ".join(recurrence.variants())}),
        **({"threads": recurrence.num_threads()} if engine != "numpy" else {}),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU",
        "language": t.lang,
    }
    return [(key, t(f"cli.info.{key}"), value) for key, value in facts.items()]


def _file(t: Texts, file: Path) -> tuple[list[tuple[str, str, Any]], str]:
    from ..interop import formats

    format = formats.find(file)
    if format.name == "compuerta":
        return _own(t, file)
    facts, tail = _foreign(t, file, format)
    return [(key, t(f"cli.info.{key}"), value) for key, value in facts.items()], "\n".join(tail)


def _foreign(t: Texts, file: Path, format: Format) -> tuple[dict[str, Any], list[str]]:
    """Tell a file of another framework by its tensors, and by the model that they make where they make one."""
    from ..interop import formats

    described = format.adapter.describe(os.fspath(file))
    notes: list[Phrase] = []
    facts: dict[str, Any] = {"format": format.title, "size": _size(file)}
    tail: list[str] = []
    try:
        model = formats.read(file, format.name, note=notes.append)
    except CompuertaError as error:
        facts["problem"] = error
    else:
        facts |= _of_layer(t, format.name, model)
        tail = [*_layers(t, model), ""]
    facts["dtype"] = ", ".join(sorted({dtype for dtype, _ in described.tensors.values()}))
    facts |= described.facts
    facts["tensors"] = len(described.tensors)
    tail += [f"  {name:<32}  {dtype} {shape}" for name, (dtype, shape) in described.tensors.items()]
    tail += ["", *dict.fromkeys(note.text(t.lang) for note in notes)] if notes else []
    return facts, [clean(line) for line in tail]


def _of_layer(t: Texts, format: str, model: Any) -> dict[str, Any]:
    from ..interop import formats
    from ..tasks.base import network_of

    layer = network_of(model)
    facts: dict[str, Any] = {"kind": type(model).__name__}
    if layer is not None:
        facts["parameters"] = layer.parameters.size
        order = formats.gate_order(format, layer)
        facts |= {"gate_order": order} if order else {}
    return facts


def _layers(t: Texts, model: Any) -> list[str]:
    from ..layers import Sequential
    from ..tasks.base import network_of

    layer = network_of(model)
    if isinstance(layer, Sequential):
        return layer.summary(t.lang).split("\n")
    return [] if layer is None else [repr(layer)]


def _size(file: Path) -> str:
    return f"{os.path.getsize(file) / 1e6:.2f} MB"


def _own(t: Texts, file: Path) -> tuple[list[tuple[str, str, Any]], str]:
    from ..interop import load
    from ..tasks.base import networks_of, task_of
    from .report import lines_of

    model: Any = load(file)
    task = task_of(model)
    facts: dict[str, Any] = {"format": "compuerta", "kind": type(model).__name__, "size": _size(file)}
    if task is None:
        facts |= _of_layer(t, "compuerta", model) | {"dtype": model.parameters.dtype.name}
        tail = _layers(t, model) + [f"  {name:<20}{array.shape}" for name, array in model.parameters.items()]
    else:
        facts["parameters"] = sum(network.parameters.size for network in networks_of(task))
        facts |= task.facts()
        facts["settings"] = ", ".join(f"{k}={v}" for k, v in task.get_params().items())
        summary = task.summary(t.lang)
        tail = [*([summary, ""] if summary else []), *lines_of(t, task.report())]
    facts["checksum"] = True
    return [(key, t(f"cli.info.{key}"), value) for key, value in facts.items()], "\n".join(tail)
