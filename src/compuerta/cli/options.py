"""Options of a command that tasks declare: made for click, and those of another task refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .base import Choice, FloatRange, IntRange, Refused, flag, option

if TYPE_CHECKING:
    from ..tasks import Option


def options_of(declared: Iterable[Sequence[Option]]) -> list[click.Option]:
    """Return the options that any of some tasks declare, each once, flags last."""
    each = {one.name: one for options in declared for one in options}
    return [_click_option(one) for one in sorted(each.values(), key=lambda one: one.type == "flag")]


def _click_option(declared: Option) -> click.Option:
    name = "--" + declared.name.replace("_", "-")
    if declared.type == "flag":
        return flag(name)
    types: Mapping[str, Any] = {
        "integer": lambda: IntRange(declared.low, declared.high),
        "number": lambda: FloatRange(declared.low, declared.high, open_low=declared.open_low),
        "choice": lambda: Choice(declared.choices),
        "text": lambda: None,
    }
    return option(name, type=types[declared.type]())


def options_in(
    task_options: Mapping[str, Any], *declared: Sequence[Option], key: str, **values: object
) -> list[dict[str, Any]]:
    """Return, for each group of options that a task declares, those that were given.

    Args:
        task_options: the values of all options that tasks declare; None and False where they were not given.
        declared: the groups of this task.
        key, values: the sentence that refuses an option of another task, with the field ``option``.

    Raises:
        Refused: an option was given that is in no group.
    """
    here = {name: value for name, value in task_options.items() if value is not None and value is not False}
    names = [{one.name for one in options} for options in declared]
    for name in here:
        if not any(name in group for group in names):
            raise Refused(key, option="--" + name.replace("_", "-"), **values)
    return [{name: value for name, value in here.items() if name in group} for group in names]
