"""Seeing inside: what a model computed, in words (:mod:`.explain`), pictures (:mod:`.plots`), a page (:mod:`.html`).

:mod:`.readings` says what a trace means: who wrote a memory, how long it lasts. :mod:`.search` looks for the unit that
follows something in a text. :mod:`.lesson` makes the page with the lesson.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import hooks

__all__ = ["explain", "html", "lesson", "plots", "readings", "search"]

if TYPE_CHECKING:
    from . import explain as explain
    from . import html as html
    from . import lesson as lesson
    from . import plots as plots
    from . import readings as readings
    from . import search as search
else:

    def __getattr__(name):
        return hooks.submodule(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)
