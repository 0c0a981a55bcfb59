"""``compuerta evaluate``: how good a model is on a file, beside the figure to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .base import FILE, Texts, argument, command, flag
from .options import options_in, options_of
from .output import log, out, out_json


def make(t: Texts) -> click.Command:
    """Return the command ``evaluate``."""
    from ..tasks import TASKS

    @command(
        t,
        "evaluate",
        argument("model", FILE),
        argument("file", FILE, nargs=-1, required=True),
        *options_of([*cls.data_options, *cls.evaluation_options] for cls in TASKS.values()),
        flag("--json"),
    )
    def evaluate(model: Path, file: tuple[Path, ...], json: bool, **task_options: Any) -> None:
        from ..data import Source
        from ..tasks.answers import Context
        from .models import open_task
        from .report import lines_of

        task = open_task(model, "evaluate")
        groups = (task.data_options, task.evaluation_options)
        reading, options = options_in(task_options, *groups, key="cli.evaluate.foreign", kind=type(task).__name__)
        with Source(*file) as source:
            data = task.read(source, **reading)
        context = Context(source=source.called(t.lang), lang=t.lang, note=lambda phrase: log(t.tell(phrase)))
        report = task.evaluate(data, context, **options)
        if json:
            out_json(report.values)
            return
        for line in lines_of(t, report):
            out(line)

    return evaluate
