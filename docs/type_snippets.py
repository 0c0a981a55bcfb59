"""Check the types of every Python snippet of a README or another page, as a reader's own checkers would.

    python docs/type_snippets.py README.md README.es.md

Each snippet becomes a file of its own, and `mypy --strict` and `pyright` read all of them against the package that is
installed. An error of either ends in exit code 1.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from run_snippets import BLOCK

CHECKERS = (
    # Packages of others that have no types, such as ONNX Runtime, are no fault of ours.
    ("mypy", "--strict", "--no-incremental", "--no-error-summary", "--disable-error-code=import-untyped"),
    ("pyright", "--warnings"),
)


def write(path: Path, folder: Path) -> list[str]:
    """Write the snippets of one page as files, each at the line where it stands on the page; return their names."""
    text = path.read_text(encoding="utf-8")
    names = []
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language == "python":
            line = text[: block.start()].count("\n") + 1
            name = f"{path.stem.replace('.', '_')}_{line}.py"
            (folder / name).write_text("\n" * line + code, encoding="utf-8")
            names.append(name)
    return names


def main(pages: list[str]) -> int:
    """Check the snippets of these pages; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        names = [name for page in pages for name in write(Path(page), Path(folder))]
        if not names:
            raise SystemExit("no snippets found")
        failed = [
            subprocess.run([sys.executable, "-m", *checker, *names], cwd=folder).returncode for checker in CHECKERS
        ]
    print(f"{len(names)} snippets")
    return int(any(failed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
