"""compuerta beside PyTorch and ONNX Runtime: every table, each with what is asked for and whether it holds.

    python benchmarks/run.py [--tables forward,train] [--threads 1,2] [--kind LSTM] [--quick] [--json FILE]

A table is measured in one process in which all libraries take turns. This one only starts those processes, one after
another, because numbers of threads and instruction sets have to stand in the environment before a library is loaded.

Tables:
  forward    a sequence forward, float32
  stream     one step of a stream (one thread only)
  train      forward and backward with all gradients, float32
  float64    the same in float64
  language   one whole update of the language model of language_model.py
  memory     the most that forward and backward hold, each library in a process of its own
  size       what the native engine adds to the installed package
  avx2       forward, stream and train with AVX2 as the widest instructions (one thread only)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tables

HERE = Path(__file__).parent
TABLES = ("forward", "stream", "train", "float64", "language", "memory", "size", "avx2")
LAYER_TABLES = TABLES[:4]
#: What keeps each library from anything wider. Nothing does for ONNX Runtime: its kernels ask the processor alone.
AVX2 = {
    "COMPUERTA_ENGINE": "native:avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
MEMORY = [(50, 32, 64, 128), (100, 32, 128, 256), (100, 32, 256, 512), (100, 128, 64, 128)]

Rows = list[dict[str, Any]]


def start(script: str, *words: object, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a script of this folder, which prints its tables; return what it wrote as JSON, nothing where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder, "figures.json")
        command = [sys.executable, str(HERE / script), *map(str, words), "--json", str(figures)]
        sys.stdout.flush()
        done = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)
        if done.returncode:
            print(f"{script} failed; its tables are left out.", file=sys.stderr)
            return {}
        found: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
        return found


def layers(wanted: list[str], threads: int, options: argparse.Namespace, limited: bool = False) -> dict[str, Any]:
    """Print the tables of one layer."""
    words = ["--tables", ",".join(wanted), "--threads", threads, "--rounds", options.rounds]
    words += ["--kind", options.kind] if options.kind else []
    words += ["--quick"] if options.quick else []
    words += ["--limited"] if limited else []
    return start("cells.py", *words, environment=AVX2 if limited else None)


def language(threads: int, options: argparse.Namespace) -> Rows:
    """Print the language model's table; its memory is measured once."""
    words: list[object] = [options.text] if options.text else []
    words += ["--threads", threads, "--updates", 24 if options.quick else options.updates]
    words += ["--cell", options.kind.lower()] if options.kind else []
    words += ["--no-memory"] if options.quick or threads != options.threads[0] else []
    found = start("language_model.py", *words)
    return [{"table": "language", "threads": threads, **found}] if found else []


def memory(options: argparse.Namespace) -> Rows:
    """Print the table of memory."""
    rows: Rows = []
    for kind in ("LSTM", "GRU"):
        if options.kind not in (None, kind):
            continue
        for cell in MEMORY[1:2] if options.quick else MEMORY:
            row: dict[str, Any] = {"table": "memory", "kind": kind, "threads": 1, "cell": cell}
            for library in ("compuerta", "PyTorch"):
                command = [sys.executable, str(HERE / "memory.py"), library, kind, *map(str, cell)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    row[library] = json.loads(done.stdout)
                else:
                    print(f"memory of {library} not measured: {done.stderr.strip()[-200:]}", file=sys.stderr)
            ours, theirs = row.get("compuerta"), row.get("PyTorch")
            grown: list[float | None] = [None, None]
            if ours and theirs:
                grown = [(theirs["highest"] - theirs["before"]) / (ours["highest"] - ours["before"]),
                         theirs["highest"] / ours["highest"]]  # fmt: skip
            rows.append({**row, "goals": {"growth": (1.0, grown[0]), "highest": (1.0, grown[1])}})
    print("\n### Memory of forward and backward, float32, 1 thread; MiB, each library in a process of its own\n")
    head = ["T, N, F, H", "compuerta", "PyTorch", "compuerta, grown by", "PyTorch, grown by", "goals", "hold"]
    lines = []
    for row in rows:
        held = [row.get(library) for library in ("compuerta", "PyTorch")]
        lines.append([f"{row['kind']} {', '.join(map(str, row['cell']))}",
                      *(f"{m['highest']:.0f}" if m else "" for m in held),
                      *(f"{m['highest'] - m['before']:.0f}" if m else "" for m in held),
                      tables.asked(row["goals"]), tables.verdict(row["goals"])])  # fmt: skip
    print(tables.table(head, lines), flush=True)
    return rows


def size() -> Rows:
    """Print the size of the native library."""
    from compuerta.recurrence.binding import find

    at = find()
    print("\n### What the native engine adds to the installed package\n")
    if at is None:
        print("Nothing: it is not there.")
        return []
    taken = at.stat().st_size
    goals = {"size": (1.0, 1e6 / taken)}
    print(
        f"{at.name}: {taken / 1e6:.2f} MB; asked for: {tables.asked(goals)}; holds: {tables.verdict(goals)}", flush=True
    )
    return [{"table": "size", "file": at.name, "bytes": taken, "goals": goals}]


def summary(rows: Rows) -> list[str]:
    """Return one line for each table: in how many cells its goals hold, and which cells miss which."""
    groups: dict[str, Rows] = {}
    for row in rows:
        name = ["AVX2" if row.get("limited") else "", row["table"], row.get("kind", "")]
        threads = row.get("threads")
        name.append(f"{threads} thread{'s' * (threads > 1)}" if threads else "")
        groups.setdefault(" ".join(filter(None, name)), []).append(row)
    lines = []
    for name, group in groups.items():
        bound = [row for row in group if row["goals"]]
        good = [row for row in bound if tables.verdict(row["goals"]) == "yes"]
        lines.append(f"{name}: {len(good)} of {len(bound)}")
        for row in bound:
            missed = [f"{goal} {'not measured' if got is None else f'{got:.2f}'} of {least:g}"
                      for goal, (least, got) in row["goals"].items() if got is None or got < least]  # fmt: skip
            if missed:
                where = ", ".join(map(str, row["cell"])) + ": " if "cell" in row else ""
                lines.append(f"  - {where}{'; '.join(missed)}")
    return lines


def listed(known: tuple[str, ...]) -> Any:
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in names]

    return read


def counts(text: str) -> list[int]:
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("threads are 1 or more")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=listed(TABLES), default=list(TABLES), help="parted by commas (default: all)")
    parser.add_argument("--threads", type=counts, default=[1, 2], help="of every library, parted by commas (1,2)")
    parser.add_argument("--kind", choices=("LSTM", "GRU"), help="one kind only (default: both)")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each library in a cell (default: %(default)s)")
    parser.add_argument("--text", metavar="FILE", help="for the language model (default: characters at random)")
    parser.add_argument("--updates", type=int, default=400, help="of the language model (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="3 turns, shorter ones: a first look, noisier")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    options = parser.parse_args()

    machines, rows = [], []
    first = [table for table in options.tables if table in LAYER_TABLES]
    for threads in options.threads:
        wanted = [table for table in first if threads == 1 or table != "stream"]
        print(f"\n## {threads} thread{'s' * (threads > 1)}\n", flush=True)
        if wanted:
            found = layers(wanted, threads, options)
            machines += [found["machine"]] if found else []
            rows += found.get("rows", [])
        if "language" in options.tables:
            rows += language(threads, options)
    if "avx2" in options.tables:
        print("\n## AVX2 as the widest instructions\n")
        print("ONNX Runtime cannot be limited: no option or variable of it names an instruction set.\n", flush=True)
        found = layers(["forward", "stream", "train"], 1, options, limited=True)
        machines += [found["machine"]] if found else []
        rows += found.get("rows", [])
    if "memory" in options.tables:
        rows += memory(options)
    if "size" in options.tables:
        rows += size()
    print("\n## Goals: cells in which all hold\n")
    print("\n".join(summary(rows)))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machines": machines, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
