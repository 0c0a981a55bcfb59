"""Errors in one line, in the user's language: wrong usage, failed runs, errors of the system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import click

from ..errors import CompuertaError, NotFiniteWarning
from .base import IntRange, Refused, Texts
from .output import clean, log


def refusal(error: click.ClickException, t: Texts) -> str:
    """Return a usage error in one line: what is wrong, the nearest name, where the help is."""
    ctx = getattr(error, "ctx", None)
    sentence = _refusal(error, ctx, t)
    return " ".join([sentence, t("cli.error.see", command=ctx.command_path)]) if ctx else sentence


def _refusal(error: click.ClickException, ctx: click.Context | None, t: Texts) -> str:
    param = getattr(error, "param", None)
    name = _name(param)
    if isinstance(error, Refused):
        values = {"name": name} | {k: clean(str(v)) for k, v in error.values.items()}
        type_, choices = error.values.get("type"), error.values.get("known")
        if isinstance(type_, IntRange):
            values["kind"] = t(f"cli.kind.{type_.kind}")
            range_ = type_.described(t)
            values["range"] = f" ({range_})" if range_ else ""
        if isinstance(choices, list):
            values["known"] = ", ".join(choices)
            return t(error.key, **values) + _nearest(str(error.values["got"]), choices, t)
        return t(error.key, **values)
    if isinstance(error, click.MissingParameter):
        return t("cli.error.missing", name=name)
    if isinstance(error, click.NoSuchOption):
        choices = [o for p in (ctx.command.params if ctx else ()) for o in p.opts if o.startswith("--")]
        return t("cli.error.option", got=clean(error.option_name)) + _nearest(error.option_name, choices, t)
    if isinstance(error, click.BadOptionUsage):
        options = [p for p in (ctx.command.params if ctx else ()) if error.option_name in p.opts]
        takes = not (options and getattr(options[0], "is_flag", False))
        return t("cli.error.needs_value" if takes else "cli.error.no_value", name=clean(error.option_name))
    return clean(error.format_message())


def _name(param: click.Parameter | None) -> str:
    if param is None:
        return ""
    if isinstance(param, click.Argument):
        return param.metavar or param.name or ""
    return max(param.opts, key=len)


def _nearest(got: str, choices: Iterable[str], t: Texts) -> str:
    """Return " Did you mean --hidden-size?", or nothing where no name is near."""
    from difflib import get_close_matches

    near = get_close_matches(got, list(choices), n=1, cutoff=0.6)
    return " " + t("cli.error.nearest", name=near[0]) if near else ""


_SYSTEM = {
    errno.ENOENT: "missing",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "forbidden",
    errno.EISDIR: "is_folder",
    errno.ENOTDIR: "not_folder",
    errno.EEXIST: "exists",
    errno.ENOSPC: "no_space",
}


def failure(error: Exception, t: Texts) -> str:
    """Return in one line why a run failed."""
    if isinstance(error, CompuertaError):
        return clean(error.text(t.lang))
    if isinstance(error, MemoryError):
        return t("cli.system.memory")
    assert isinstance(error, OSError)
    name = error.filename
    file = clean(os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else t("cli.system.output"))
    what = _SYSTEM.get(error.errno or 0)
    return t(f"cli.system.{what}", file=file) if what else f"{file}: {clean(error.strerror or str(error))}"


def warner(t: Texts, other: Callable[..., None]) -> Callable[..., None]:
    """Return what shows warnings: ours in one line of the language, without a place in the source; the rest as ever."""

    def show(message: Warning | str, *args: Any, **named: Any) -> None:
        if isinstance(message, NotFiniteWarning):
            log(t("cli.warning", sentence=clean(message.text(t.lang))))
        else:
            other(message, *args, **named)

    return show


def tell(sentence: str, t: Texts, code: int) -> int:
    """Write one line about what went wrong to stderr and return ``code``."""
    with suppress(OSError):
        log(t("cli.error", sentence=sentence) if code != 130 else sentence)
    return code
