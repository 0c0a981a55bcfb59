"""Run every snippet of a README or another page, in its order and in one empty folder, as a reader would.

    python docs/run_snippets.py README.md README.es.md

Blocks marked ``sh`` go to the shell, line by line; blocks marked ``python`` to a fresh interpreter each. Lines that
start with ``pip install`` are left out: what they install is what runs here. The first failure ends the run.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)


def run(path: Path) -> int:
    """Run the snippets of one file and return how many there were."""
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for k, (language, code) in enumerate(blocks, 1):
            started = time.perf_counter()
            if language == "sh":
                code = "\n".join(
                    re.sub(r"^pip install .*?(&& |$)", "", line).replace("python -m pytest", "true")
                    for line in code.splitlines()
                )
                command = ["bash", "-euo", "pipefail", "-c", code]
            else:
                command = [sys.executable, "-W", "error", "-c", code]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            print(f"{path.name} {k}/{len(blocks)} {language}: {time.perf_counter() - started:.1f} s", flush=True)
            if done.returncode:
                print(code, done.stdout, done.stderr, sep="\n")
                raise SystemExit(1)
    return len(blocks)


if __name__ == "__main__":
    if sum(run(Path(name)) for name in sys.argv[1:]) == 0:
        raise SystemExit("no snippets found")
