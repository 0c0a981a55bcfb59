"""Make the notebooks, each in English and in Spanish, from one source, so that the two cannot drift apart.

    python examples/notebooks/make.py

A file of ``source/`` is a row of cells. Each begins with a line ``=== en``, ``=== es`` (prose in that language) or
``=== code`` (for both). In code, what differs by language stands as ``⟨english|español⟩``. Change the source, never a
notebook; the notebooks are kept without outputs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LANGUAGES = ("en", "es")
#: What a source is called, and the notebooks made of it.
NOTEBOOKS = {
    "one_cell": ("one_cell.en.ipynb", "una_celda.es.ipynb"),
    "quotes": ("quotes.en.ipynb", "comillas.es.ipynb"),
    "forecast": ("forecast.en.ipynb", "pronostico.es.ipynb"),
}
_CELL = re.compile(r"^=== (en|es|code)\n", re.M)
_EITHER = re.compile(r"⟨([^|⟩]*)\|([^⟩]*)⟩")


def cells(source: str, lang: str) -> list[tuple[str, str]]:
    """Return the cells of a source in one language, as pairs of a kind ("code" or "markdown") and a text.

    >>> cells("=== en\\nHi\\n=== es\\nHola\\n=== code\\nprint(⟨1|2⟩)\\n", "es")
    [('markdown', 'Hola'), ('code', 'print(2)')]
    """
    _, *parts = _CELL.split(source)
    choice = rf"\{1 + LANGUAGES.index(lang)}"
    made = []
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        if kind == "code":
            made.append(("code", _EITHER.sub(choice, text.strip())))
        elif kind == lang:
            made.append(("markdown", text.strip()))
    return made


def notebook(source: str, lang: str) -> str:
    """Return the notebook of a source in one language, as the JSON of a file."""
    made: list[dict[str, Any]] = []
    for k, (kind, text) in enumerate(cells(source, lang)):
        cell = {"cell_type": kind, "id": f"cell-{k:02}", "metadata": {}, "source": text.splitlines(keepends=True)}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(dict(sorted(cell.items())))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def made() -> dict[Path, str]:
    """Return every notebook's path and content."""
    found = {}
    for name, files in NOTEBOOKS.items():
        source = (HERE / "source" / f"{name}.txt").read_text(encoding="utf-8")
        for lang, file in zip(LANGUAGES, files, strict=True):
            found[HERE / file] = notebook(source, lang)
    return found


if __name__ == "__main__":
    for path, content in made().items():
        path.write_text(content, encoding="utf-8")
