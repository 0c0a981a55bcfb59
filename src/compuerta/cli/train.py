"""``compuerta train``: from a person's file, a text or a table with a series, to a model file."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..texts import grouped, percent
from .base import FILE, Choice, FloatRange, IntRange, Refused, Texts, argument, command, flag, option
from .models import bars, picture
from .output import clean, log, out, out_json
from .report import backtest_lines, language_lines, lstm_wins

if TYPE_CHECKING:
    from ..training import Callback

#: Options that belong to one task only; for the other they are refused, not ignored.
_TEXT_ONLY = ("layers", "embedding_size", "cell", "batch_size", "steps", "updates", "minutes", "clip", "schedule",
              "validation", "resume")  # fmt: skip
_SERIES_ONLY = ("column", "horizon", "period", "window", "origins")


def make(t: Texts) -> click.Command:
    """Return the command ``train``."""

    @command(
        t,
        "train",
        argument("file", FILE),
        option("-o", "--output", type=FILE),
        option("--task", type=Choice(("text", "series"))),
        option("--hidden-size", type=IntRange(1, 65536)),
        option("--layers", type=IntRange(1, 64)),
        option("--embedding-size", type=IntRange(1, 65536)),
        option("--cell", type=Choice(("lstm", "gru"))),
        option("--dropout", type=FloatRange(0, 0.99)),
        option("--batch-size", type=IntRange(1, 1_000_000)),
        option("--steps", type=IntRange(1, 1_000_000)),
        option("--updates", type=IntRange(1, 1_000_000_000)),
        option("--minutes", type=FloatRange(0, 1_000_000, open_low=True)),
        option("--learning-rate", type=FloatRange(0, 100, open_low=True)),
        option("--schedule", type=Choice(("constant", "cosine"))),
        option("--clip", type=FloatRange(0, 1e9, open_low=True)),
        option("--validation", type=FloatRange(0, 0.9)),
        option("--column"),
        option("--horizon", type=IntRange(1, 100_000)),
        option("--period", type=IntRange(1, 1_000_000)),
        option("--window", type=IntRange(2, 100_000)),
        option("--origins", type=IntRange(0, 10_000)),
        option("--seed", type=IntRange(0, 2**32 - 1), default=0),
        option("--plot", type=FILE),
        flag("--resume"),
        flag("--json"),
    )
    def train(
        file: Path, output: Path | None, task: str | None, plot: Path | None, json: bool, **given: Any
    ) -> None:  # fmt: skip
        from ..data import looks_like_series

        drawing = picture(plot)

        if task is None:
            table = looks_like_series(file) or file.suffix.lower() in (".csv", ".tsv")
            task = "series" if table else "text"
        foreign = _SERIES_ONLY if task == "text" else _TEXT_ONLY
        for name in foreign:
            if given[name] is not None and given[name] is not False:
                raise Refused("cli.train.foreign", option="--" + name.replace("_", "-"), task=task)
        output = output if output is not None else Path(Path(file).stem + ".safetensors")
        _writable(file, output, task)
        settings = {name: value for name, value in given.items() if value is not None and name not in foreign}
        model = (_train_text if task == "text" else _train_series)(t, file, output, settings, json)
        if drawing is not None:
            if task == "text":
                drawing.training(model.report_, t.lang)
            else:
                drawing.forecast(model.series_, model.predict(), t.lang)
            log(t("cli.look.wrote", file=clean(str(plot))))

    return train


def _checkpoint(output: Path) -> Path:
    return Path(f"{output}.checkpoint")


def _writable(file: Path, output: Path, task: str) -> None:
    """Find out before the work, not after it, whether all that will be written can be."""
    from .. import files

    for path in (output, *([_checkpoint(output)] if task == "text" else [])):
        if path.exists() and path.samefile(file):
            raise Refused("cli.error.same_file", option="--output", file=clean(str(file)))
        files.check_writable(path)


def _train_text(t: Texts, file: Path, output: Path, settings: dict[str, Any], json: bool) -> Any:
    from ..data import read_text
    from ..interop import save
    from ..tasks import LanguageModel
    from ..tasks.language_model import LN2
    from ..training import Progress

    resume = settings.pop("resume")
    settings["num_layers"] = settings.pop("layers", 1)
    if "minutes" in settings:
        settings.setdefault("updates", None)
    text = read_text(file)
    model = LanguageModel(**settings)
    checkpoint = _checkpoint(output)
    if resume != checkpoint.exists():
        key = "cli.train.nothing_to_resume" if resume else "cli.train.old_checkpoint"
        raise Refused(key, file=clean(str(checkpoint)))
    log(t("cli.train.text", file=clean(str(file)), characters=grouped(len(text), t.lang), distinct=len(set(text)),
          held=percent(model.validation, t.lang)))  # fmt: skip
    try:
        model.fit(
            text,
            callbacks=[_summary(t), Progress(t.lang, scale=1 / LN2, name="bits")],
            checkpoint=checkpoint,
            resume=resume,
        )
    except KeyboardInterrupt:
        if hasattr(model, "model_") and model.report_["updates"]:
            save(model, output)
            log(t("cli.train.interrupted", updates=model.report_["updates"], file=clean(str(output))))
        if checkpoint.exists():
            log(t("cli.train.go_on"))
            log("  " + clean(shlex.join(["compuerta", *(a for a in sys.argv[1:] if a != "--resume"), "--resume"])))
        raise
    save(model, output)
    checkpoint.unlink(missing_ok=True)
    if json:
        out_json({"model": output, "task": "text", **model.report_, "losses": model.report_["losses"][-1:]})
        return model
    for line in language_lines(t, model.report_):
        out(line)
    _done(t, output, _command("generate", output))
    return model


def _train_series(t: Texts, file: Path, output: Path, settings: dict[str, Any], json: bool) -> Any:
    from ..data import read_series
    from ..interop import save
    from ..tasks import Forecaster

    series = read_series(file, settings.pop("column", None))
    model = Forecaster(**settings)
    if series.dates is not None:
        first, last = series.label(series.dates[0]), series.label(series.dates[-1])
        log(t("cli.train.dates", first=first, last=last, order=t(f"cli.train.order.{series.date_order}")))
    if series.gaps:
        log(t("cli.train.gaps", gaps=series.gaps))
    log(t("cli.train.series", file=clean(str(file)), name=clean(series.name), n=len(series.values)))

    model.fit(series, callbacks=bars(t))
    save(model, output)
    if json:
        out_json({"model": output, "task": "series", **model.report_})
        return model
    for line in backtest_lines(t, model.report_):
        out(line)
    _done(t, output, _command("forecast", output) if lstm_wins(model.report_) else "")
    return model


def _command(name: str, output: Path) -> str:
    return clean(shlex.join(["compuerta", name, str(output)]))


def _done(t: Texts, output: Path, following: str) -> None:
    log(t("cli.train.saved", file=clean(str(output)), size=f"{os.path.getsize(output) / 1e6:.1f}"))
    if following:
        log(t("cli.train.next", command=following))


def _summary(t: Texts) -> Callback:
    """Return a callback that shows the network before the bar starts."""
    from ..layers import Sequential
    from ..training import Callback, Trainer

    class Summary(Callback):
        def start(self, trainer: Trainer, updates: int | None, seconds: float) -> None:
            if isinstance(trainer.model, Sequential):
                log(trainer.model.summary(t.lang))

    return Summary()
