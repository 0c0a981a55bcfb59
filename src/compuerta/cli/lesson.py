"""``compuerta lesson``: the lesson "An LSTM in eleven steps", as one page that opens from disk."""

from __future__ import annotations

from pathlib import Path

import click

from .base import FILE, Refused, Texts, command, option
from .output import clean, log


def make(t: Texts) -> click.Command:
    """Return the command ``lesson``."""

    @command(t, "lesson", option("-o", "--output", type=FILE, default=t("cli.lesson.file")))
    def lesson(output: Path) -> None:
        from ..see.lesson import lesson as make_page

        if output.suffix.lower() not in (".html", ".htm"):
            raise Refused("cli.look.output_kind", option="--output", known=".html, .htm", got=clean(output.name))
        make_page(output, lang=t.lang)
        log(t("cli.lesson.wrote", file=clean(str(output))))

    return lesson
