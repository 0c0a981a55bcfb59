"""``compuerta train``: from a person's file, a text or a table with a series, to a model file."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .base import FILE, Choice, IntRange, Refused, Texts, argument, command, flag, option
from .models import picture
from .options import options_in, options_of
from .output import clean, log, out, out_json
from .report import lines_of

if TYPE_CHECKING:
    from ..data import Source
    from ..tasks import Task
    from ..training import Callback


def make(t: Texts) -> click.Command:
    """Return the command ``train``."""
    from ..data import Source
    from ..tasks import TASKS

    words = {cls.word: cls for cls in TASKS.values()}

    @command(
        t,
        "train",
        argument("file", FILE, nargs=-1, required=True),
        option("-o", "--output", type=FILE),
        option("--task", type=Choice(tuple(words))),
        *options_of([*cls.training_options, *cls.data_options] for cls in words.values()),
        option("--seed", type=IntRange(0, 2**32 - 1), default=0),
        option("--plot", type=FILE),
        flag("--resume"),
        flag("--json"),
    )
    def train(
        file: tuple[Path, ...], output: Path | None, task: str | None, seed: int, plot: Path | None, resume: bool,
        json: bool, **task_options: Any,
    ) -> None:  # fmt: skip
        drawing = picture(plot)
        with Source(*file, encoding=task_options["encoding"]) as source:  # read once, so that a pipe will do
            cls = words[task] if task is not None else max(words.values(), key=lambda each: each.likeness(source))
            groups = (cls.training_options, cls.data_options)
            settings, reading = options_in(task_options, *groups, key="cli.train.foreign", task=cls.word)
            if resume and not cls.resumes:
                raise Refused("cli.train.foreign", option="--resume", task=cls.word)
            if drawing is not None:
                cls.check_answers("drawing")
            output = output if output is not None else Path(f"{source.name or 'model'}.safetensors")
            checkpoint = Path(f"{output}.checkpoint") if cls.resumes else None
            _check_writable(file, output, checkpoint)
            data = cls.read(source, **reading)
        model = cls.from_options(**settings, seed=seed)
        _learn(t, model, data, source, output, checkpoint, resume)
        report = model.report()
        if json:
            out_json({"model": output, "task": cls.word, **report.values})
        else:
            for line in lines_of(t, report):
                out(line)
            _tell_end(t, output, model.next_command())
        if drawing is not None:
            drawing.draw(model.drawing(), t.lang)
            log(t("cli.look.wrote", file=clean(str(plot))))

    return train


def _check_writable(file: tuple[Path, ...], output: Path, checkpoint: Path | None) -> None:
    """Check before the work, not after it, whether all that will be written can be."""
    from .. import files

    for path in (output, *([] if checkpoint is None else [checkpoint])):
        for one in file:
            if path.exists() and one.exists() and path.samefile(one):
                raise Refused("cli.error.same_file", option="--output", file=clean(str(one)))
        files.check_writable(path)


def _learn(
    t: Texts, model: Task, data: Any, source: Source, output: Path, checkpoint: Path | None, resume: bool
) -> None:  # fmt: skip
    """Train and save; where it is interrupted, save what a task that resumes has learnt, and say how to go on."""
    from ..interop import save
    from ..tasks.answers import Context

    if checkpoint is not None and resume != checkpoint.exists():
        key = "cli.train.nothing_to_resume" if resume else "cli.train.old_checkpoint"
        raise Refused(key, file=clean(str(checkpoint)))
    context = Context(
        source=source.called(t.lang), lang=t.lang, note=lambda phrase: log(t.tell(phrase)), callbacks=[_summary(t)],
        checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    try:
        model.learn(data, context)
    except KeyboardInterrupt:
        if checkpoint is not None:
            if model.fitted:
                save(model, output)
                log(t("cli.train.interrupted", updates=model.report_["updates"], file=clean(str(output))))
            if checkpoint.exists():
                log(t("cli.train.go_on"))
                log("  " + clean(shlex.join(["compuerta", *(a for a in sys.argv[1:] if a != "--resume"), "--resume"])))
        raise
    save(model, output)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def _tell_end(t: Texts, output: Path, following: str) -> None:
    log(t("cli.train.saved", file=clean(str(output)), size=f"{os.path.getsize(output) / 1e6:.1f}"))
    if following:
        log(t("cli.train.next", command=clean(shlex.join(["compuerta", following, str(output)]))))


def _summary(t: Texts) -> Callback:
    """Return a callback that shows the network before the bar starts."""
    from ..layers import Sequential
    from ..training import Callback, Trainer

    class Summary(Callback):
        def start(self, trainer: Trainer, updates: int | None, seconds: float) -> None:
            if isinstance(trainer.model, Sequential):
                log(trainer.model.summary(t.lang))

    return Summary()
