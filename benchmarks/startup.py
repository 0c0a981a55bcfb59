"""How long it takes to start: imports and the command, each in a fresh process, taking turns.

    python benchmarks/startup.py [--rounds 15] [--json FILE]

The interpreter's own start is measured too and taken off where imports are compared. Medians, in milliseconds.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path


def commands() -> dict[str, list[str]]:
    """Return what is timed: a name, and the command."""
    script = shutil.which("compuerta", path=str(Path(sys.executable).parent))
    command = [script] if script else [sys.executable, "-m", "compuerta"]
    python = [sys.executable, "-c"]
    return {
        "python": [*python, "pass"],
        "import numpy": [*python, "import numpy"],
        "import compuerta": [*python, "import compuerta"],
        "import compuerta; compuerta.LSTM": [*python, "import compuerta; compuerta.LSTM"],
        "compuerta --version" if script else "python -m compuerta --version": [*command, "--version"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()

    times: dict[str, list[float]] = {name: [] for name in commands()}
    for turn in range(options.rounds + 1):
        for name, command in commands().items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first one reads files from the disk and writes .pyc
                times[name].append(1e3 * (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in times.items()}
    bare = medians["python"]
    base = medians["import numpy"]

    width = max(map(len, medians))
    print(f"| {'':{width}} | ms | / import numpy | without the interpreter's start |")
    print(f"|{'-' * (width + 2)}|---:|---:|---:|")
    for name, ms in medians.items():
        alone = "" if name == "python" else f"{(ms - bare) / (base - bare):.2f}"
        print(f"| {name:{width}} | {ms:.0f} | {ms / base:.2f} | {alone} |")
    ratio = medians["import compuerta"] / base
    seconds = next(ms for name, ms in medians.items() if "--version" in name) / 1e3
    print(f"\nimport compuerta / import numpy: {ratio:.2f} (at most 1.3 is asked for)")
    print(f"--version: {seconds:.3f} s (under 0.2 is asked for)")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"python": sys.version.split()[0], "milliseconds": medians}, file, indent=1)


if __name__ == "__main__":
    main()
