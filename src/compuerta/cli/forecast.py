"""``compuerta forecast``: the steps after the end of a series."""

from __future__ import annotations

import csv as csv_module
import io
import shlex
from pathlib import Path
from typing import Any

import click

from .base import FILE, FloatRange, IntRange, Texts, argument, command, flag, option
from .options import options_in, options_of
from .output import clean, is_terminal, log, out, out_json


def make(t: Texts) -> click.Command:
    """Return the command ``forecast``."""
    from ..tasks import TASKS

    @command(
        t,
        "forecast",
        argument("model", FILE),
        argument("file", FILE, required=False),
        option("--horizon", type=IntRange(1, 100_000)),
        option("--level", type=FloatRange(0, 100, open_low=True, open_high=True), multiple=True),
        *options_of(cls.data_options for cls in TASKS.values() if cls.answers("forecast")),
        option("--plot", type=FILE),
        flag("--csv"),
        flag("--json"),
    )
    def forecast(
        model: Path,
        file: Path | None,
        horizon: int | None,
        level: tuple[float, ...],
        plot: Path | None,
        csv: bool,
        json: bool,
        **task_options: Any,
    ) -> None:
        import sys

        from ..see.chart import series_chart
        from ..tasks.forecast import draw_forecast
        from .models import open_task, picture
        from .report import decimals, lines_of

        drawing = picture(plot)
        task = open_task(model, "forecast")
        (reading,) = options_in(task_options, task.data_options, key="cli.evaluate.foreign", kind=type(task).__name__)
        data = task.read(file, **reading) if file is not None else None
        series, future = task.forecast(data, horizon, level or (80, 95))
        h, report = len(future.mean), task.report()
        if drawing is not None:
            drawing.draw(draw_forecast(series, future), t.lang)
            log(t("cli.look.wrote", file=clean(str(plot))))
        steps = [series.label(d) for d in future.dates]
        steps += [str(k + 1) for k in range(len(steps), h)]  # there are no dates after the year 9999
        if json:
            out_json({
                "steps": steps, "mean": future.mean, "seasonal_naive": future.seasonal_naive,
                "intervals": {str(v): {"lower": future.lower[v], "upper": future.upper[v]} for v in future.lower},
                "backtest": report.values["backtest"],
            })  # fmt: skip
            return
        names = [
            t("cli.forecast.date" if future.dates else "cli.forecast.step"),
            t("cli.forecast.forecast"),
        ]
        plain = ["step", "forecast"]  # the header of the CSV is the same in every language
        columns = [future.mean]
        for v in sorted(future.lower):
            names += [t("cli.forecast.low", level=f"{v:g}"), t("cli.forecast.high", level=f"{v:g}")]
            plain += [f"lower_{v:g}", f"upper_{v:g}"]
            columns += [future.lower[v], future.upper[v]]
        names.append(t("cli.forecast.naive"))
        columns.append(future.seasonal_naive)
        if csv:
            table = io.StringIO()
            # As the file of the series is written, so that what opens the one opens the other.
            comma = series.decimal == ","
            writer = csv_module.writer(table, delimiter=";" if comma else ",", lineterminator="\n")
            writer.writerow([*plain, "naive"])
            cells = [[f"{v:.10g}".replace(".", series.decimal) for v in c] for c in columns]
            writer.writerows([step, *(c[k] for c in cells)] for k, step in enumerate(steps))
            out(table.getvalue().rstrip("\n"))
            return
        if is_terminal(sys.stdout):
            out(series_chart(series.values, future.mean, clean(series.name)))
            out(f"· {clean(series.name)}   ● {t('cli.forecast.legend', first=steps[0], last=steps[-1])}\n")
        digits = decimals([float(v) for column in columns for v in column])
        rows = [names] + [[step, *(f"{c[k]:.{digits}f}" for c in columns)] for k, step in enumerate(steps)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(names))]
        for row in rows:
            out("  ".join([row[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))]))
        sys.stdout.flush()
        if file is not None:
            log(t("cli.forecast.other", name=clean(report.values["name"])))
            log(f"  {shlex.join(['compuerta', 'evaluate', str(model), str(file)])}")
            return
        log("")
        for line in lines_of(t, report):
            log(line)

    return forecast
