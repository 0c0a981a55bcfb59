"""``compuerta evaluate``: how good a model is on a file, beside the figure to beat."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..texts import percent
from .base import FILE, IntRange, Refused, Texts, argument, command, flag, option
from .output import clean, log, out, out_json


def make(t: Texts) -> click.Command:
    """Return the command ``evaluate``."""

    @command(
        t,
        "evaluate",
        argument("model", FILE),
        argument("file", FILE),
        option("--column"),
        option("--origins", type=IntRange(1, 10_000)),
        flag("--all"),
        flag("--json"),
    )
    def evaluate(model: Path, file: Path, column: str | None, origins: int | None, all: bool, json: bool) -> None:
        from ..tasks import LanguageModel, Task
        from .models import open_model

        task = open_model(model, Task)  # type: ignore[type-abstract]
        text = isinstance(task, LanguageModel)
        foreign = {"--column": column, "--origins": origins} if text else {"--all": all or None}
        for name, value in foreign.items():
            if value is not None:
                raise Refused("cli.evaluate.foreign", option=name, kind=type(task).__name__)
        if text:
            _language(t, task, file, all, json)
        else:
            _series(t, task, file, column, origins or 4, json)

    return evaluate


def _language(t: Texts, task: object, file: Path, everything: bool, json: bool) -> None:
    from ..data import read_text
    from ..tasks import LanguageModel
    from .report import bits_lines

    assert isinstance(task, LanguageModel)
    text = read_text(file)
    held_out = task.held_out(text)
    if held_out is not None and not everything:
        log(t("cli.evaluate.held_out", share=percent(len(held_out) / len(text), t.lang)))
        text = held_out
    elif held_out is not None:
        log(t("cli.evaluate.trained_on"))
    held = held_out is not None and not everything
    bits = task.score(text)
    unigram = task.report_["unigram"] if held else task.score_unigram(text)
    if json:
        out_json({"bits_per_char": bits, "unigram": unigram, "characters": len(text)})
        return
    for line in bits_lines(t, bits, unigram, held_out=held):
        out(line)


def _series(t: Texts, task: object, file: Path, column: str | None, origins: int, json: bool) -> None:
    from ..data import read_series
    from ..tasks import Forecaster
    from .models import bars
    from .report import backtest_lines

    assert isinstance(task, Forecaster)
    series = read_series(file, column)
    log(t("cli.evaluate.series", file=clean(str(file)), n=len(series.values), origins=origins))
    test = task.backtest(series, origins=origins, callbacks=bars(t))
    if json:
        out_json(asdict(test))
        return
    for line in backtest_lines(t, {"backtest": asdict(test)}):
        out(line)
