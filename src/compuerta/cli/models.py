"""Opening a model file for a command that asks something of it, and what several commands show of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Phrase, SettingError
from .base import Refused
from .output import clean

if TYPE_CHECKING:
    from ..tasks import Task
    from ..tasks.answers import Drawing


def open_task(path: Path, question: str, needs: Callable[[type[Task]], bool] = lambda cls: True) -> Any:
    """Return the task of a model file that answers a question.

    Args:
        path: the file.
        question: the name of a method, see :meth:`compuerta.tasks.Task.answers`.
        needs: what else is asked of its class.

    Raises:
        SettingError: it is of another kind; the sentence says which fit the command.
        FileFormatError, OSError: it is no model file, or cannot be opened.
    """
    from ..interop import load
    from ..tasks import TASKS
    from ..tasks.base import task_of

    model: Any = load(path)
    task = task_of(model)
    fitting = [cls for cls in TASKS.values() if cls.answers(question) and needs(cls)]
    if task is not None and type(task) in fitting:
        return task
    kinds = ["kind.task"] if len(fitting) == len(TASKS) else [cls.kind for cls in fitting]
    first, *more = dict.fromkeys(kinds)
    expected = Phrase(first)
    for kind in more:
        expected = Phrase("word.or", first=expected, second=Phrase(kind))
    got = Phrase("kind.layer" if task is None else task.kind)
    raise SettingError("error.other_kind", path=os.fspath(path), got=got, expected=expected)


class Picture:
    """A picture that will be written, to a path already checked to be writable."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def draw(self, drawing: Drawing, lang: str) -> None:
        """Draw what a task answers with."""
        from ..see import plots

        plots.write(plots.draw(drawing, lang=lang), self.path)


def picture(path: Path | None) -> Picture | None:
    """Return what will draw to ``path``; None for None.

    Raises:
        Refused: the name ends in neither .png nor .svg.
        MissingExtraError, SettingError, OSError: there is no matplotlib, or the file could not be written.
    """
    if path is None:
        return None
    from .. import files
    from ..see import plots

    if path.suffix.lower() not in (".png", ".svg"):
        raise Refused("cli.look.output_kind", option="--plot", known=".png, .svg", got=clean(path.name))
    plots.figure()
    files.check_writable(path)
    return Picture(path)


def liveliest(trace: Any, layer: int) -> int:
    """Return the unit whose memory and whose keeping of it move most along a trace, as its place."""
    import numpy as np

    memory = trace.kind_of(layer).memory
    keeps, holds = trace[memory.keep, layer][0], trace[memory.quantity, layer][0]
    return int(np.argmax(np.nan_to_num(np.ptp(keeps, axis=0) * np.ptp(holds, axis=0))))


def unit_gates(trace: Any, unit: int | None = None, layer: int = 0) -> tuple[dict[str, Any], int]:
    """Return the gates of one unit along a trace, and which unit (from 0).

    Without ``unit`` it is the one whose memory and whose keeping of it move most.
    """
    unit = liveliest(trace, layer) if unit is None else unit
    return {key: trace[key, layer][0, :, unit] for key in trace.kind_of(layer)}, unit
