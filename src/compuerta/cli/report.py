"""What a task reports of how good a model is, as lines; always beside the figure to beat, which the task sees to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import Texts

if TYPE_CHECKING:
    from ..tasks.answers import Figures, Report


def lines_of(t: Texts, report: Report) -> list[str]:
    """Return the lines of a report: sentences, and tables of figures."""
    from ..tasks.answers import Figures

    lines: list[str] = []
    for part in report.lines:
        lines += _table(t, part) if isinstance(part, Figures) else [t.tell(part)]
    return lines


def _table(t: Texts, figures: Figures) -> Iterator[str]:
    """Yield the lines of a table, its points aligned."""
    columns = figures.columns
    yield f"  {'':24}" + "".join(f"{column.head:>{column.width}}" for column in columns)
    digits = [
        decimals([values[k] for _, values in figures.rows]) if column.decimals is None else column.decimals
        for k, column in enumerate(columns)
    ]
    for name, values in figures.rows:
        cells = (f"{v:>{c.width}.{d}f}" for v, c, d in zip(values, columns, digits, strict=True))
        yield f"  {t.tell(name):24}" + "".join(cells)


def decimals(values: list[float]) -> int:
    """Return how many decimals show four figures of the largest value: the same for all, so that points align."""
    largest = max((abs(value) for value in values), default=1.0)
    return min(6, max(0, 3 - math.floor(math.log10(largest)))) if largest > 0 else 0
