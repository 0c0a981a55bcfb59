"""The same character model trained by compuerta and by PyTorch, in one run, taking turns.

    python benchmarks/language_model.py [TEXT] [--updates 2000] [--threads 2] [--cell lstm] [--json FILE]

The recipe: embedding 64, one layer of 256, 32 streams x 64 steps, Adam 2e-3, gradient clipped to norm 1, state carried,
last tenth of the text held out. Each library starts from its own initial weights. They train in turns of 50 updates, so
that whatever else the machine does hits both; what is printed is the median time of an update, the highest memory of
a process of its own, and the surprise at the whole of the last tenth, read as one stream, in bits per character.
Without TEXT the characters are drawn at random: that shows the times and the memory, and no bits worth looking at.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import peers
import tables
from peers import torch

from compuerta import GRU, LSTM, Dense, Embedding, Sequential, Trainer
from compuerta.data import Vocabulary, read_text
from compuerta.training import Adam, TextStreams, cross_entropy

BATCH, STEPS, HIDDEN, EMBEDDING, RATE, CLIP = 32, 64, 256, 64, 2e-3, 1.0
TURN = 50
#: Characters where there is no text, of so many kinds.
CHARACTERS, KINDS = 400_000, 96
#: Updates of the processes whose memory is measured: it has reached its height after a few.
MEMORY_UPDATES = 20


class Compuerta:
    name = "compuerta"

    def __init__(self, cell: str, vocabulary: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.model = Sequential(
            Embedding(vocabulary, EMBEDDING, rng=rng),
            {"lstm": LSTM, "gru": GRU}[cell](EMBEDDING, HIDDEN, rng=rng),
            Dense(HIDDEN, vocabulary, rng=rng),
        )
        self.trainer = Trainer(self.model, cross_entropy, Adam(), learning_rate=RATE, clip=CLIP, rng=rng)

    def train(self, source: TextStreams, updates: int) -> None:
        self.trainer.fit(source, self.trainer.update + updates)

    def nats(self, x: np.ndarray, y: np.ndarray, state: Any) -> tuple[float, Any]:
        logits, state = self.model(x, state)
        return cross_entropy(logits, y)[0] * y.size, state


class PyTorch:
    name = "PyTorch"

    def __init__(self, cell: str, vocabulary: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.embedding = torch.nn.Embedding(vocabulary, EMBEDDING)
        self.recurrent = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](EMBEDDING, HIDDEN)
        self.dense = torch.nn.Linear(HIDDEN, vocabulary)
        layers = (self.embedding, self.recurrent, self.dense)
        self.parameters = [p for layer in layers for p in layer.parameters()]
        self.adam = torch.optim.Adam(self.parameters, lr=RATE)
        self.state: Any = None

    def _loss(self, x: np.ndarray, y: np.ndarray, state: Any) -> tuple[Any, Any]:
        x, y = (torch.from_numpy(np.ascontiguousarray(ids.T, np.int64)) for ids in (x, y))  # (T, N): its fast layout
        h, state = self.recurrent(self.embedding(x), state)
        return torch.nn.functional.cross_entropy(self.dense(h).flatten(0, 1), y.flatten()), state

    def train(self, source: TextStreams, updates: int) -> None:
        for _ in range(updates):
            batch = source.next(None)
            loss, state = self._loss(batch.x, batch.y, self.state if batch.carry else None)
            if not math.isfinite(loss.item()):
                raise SystemExit("PyTorch's loss is no longer finite")
            self.adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
            self.adam.step()
            self.state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()

    def nats(self, x: np.ndarray, y: np.ndarray, state: Any) -> tuple[float, Any]:
        with torch.inference_mode():
            loss, state = self._loss(x, y, state)
        return loss.item() * y.size, state


def bits(learner: Any, ids: np.ndarray) -> float:
    """Return the mean of -log2 p(character | all before it) over ``ids``, read from its beginning with no context."""
    nats, state = 0.0, None
    for at in range(0, len(ids) - 1, 1000):
        part = ids[at : at + 1001]
        more, state = learner.nats(part[None, :-1], part[None, 1:], state)
        nats += more
    return nats / (len(ids) - 1) / math.log(2)


def memory(command: list[str]) -> float | None:
    """Return the highest memory of a command in MiB, or None where the system does not tell."""
    # A small process in between starts it: a child's highest memory counts from that of the process that starts it.
    starter = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", starter, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"memory not measured: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return int(done.stdout) / (1 << (20 if sys.platform == "darwin" else 10))


def memories(options: argparse.Namespace, text: str) -> dict[str, float | None]:
    """Return the memory of ``compuerta train`` and of the PyTorch side of this file, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "text.txt")
        file.write_text(text, encoding="utf-8")
        train = [sys.executable, "-m", "compuerta", "train", str(file), "-o", str(Path(folder, "m.safetensors"))]
        train += ["--task", "text", "--cell", options.cell]
        recipe = {"hidden-size": HIDDEN, "embedding-size": EMBEDDING, "batch-size": BATCH, "steps": STEPS,
                  "learning-rate": RATE, "clip": CLIP, "updates": MEMORY_UPDATES}  # fmt: skip
        found = {Compuerta.name: memory(train + [word for k, v in recipe.items() for word in (f"--{k}", str(v))])}
        if torch is not None:
            alone = [sys.executable, __file__, str(file), "--cell", options.cell, "--threads", str(THREADS)]
            found[PyTorch.name] = memory([*alone, "--alone", PyTorch.name, "--updates", str(MEMORY_UPDATES)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", help="a UTF-8 text file of a few hundred thousand characters or more")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=THREADS, help="of both libraries (default: %(default)s)")
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-memory", action="store_true", help="do not start the processes that measure memory")
    parser.add_argument("--alone", choices=(Compuerta.name, PyTorch.name), help="train one only, print nothing")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()

    text = read_text(options.text) if options.text else drawn()
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    cut = len(ids) - len(ids) // 10
    kinds = [Compuerta, PyTorch] if torch is not None else [Compuerta]
    if options.alone:
        kinds = [kind for kind in kinds if kind.name == options.alone]
    learners = [kind(options.cell, vocabulary.size, options.seed) for kind in kinds]
    sources = [TextStreams(ids[:cut], BATCH, STEPS) for _ in learners]
    if options.alone:
        learners[0].train(sources[0], options.updates)
        return

    print(f"\n### The language model, {options.cell.upper()}, {peers.threads()}\n\n{peers.machine_line()}")
    if torch is None:
        print(peers.missing()[0])
    print(
        f"{options.text or 'Characters at random'}: {len(ids):,} characters, {vocabulary.size} different\n", flush=True
    )

    turns: dict[str, list[float]] = {learner.name: [] for learner in learners}
    turn = max(1, min(TURN, options.updates // 4))
    for done in range(0, options.updates, turn):
        count = min(turn, options.updates - done)
        for learner, source in zip(learners, sources, strict=True):
            start = time.perf_counter()
            learner.train(source, count)
            turns[learner.name].append((time.perf_counter() - start) / count)
        if sys.stderr.isatty():
            print(f"\r{done + count} of {options.updates} updates", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)

    held = {} if options.no_memory else memories(options, text)
    figures = {
        learner.name: {
            "ms": 1e3 * statistics.median(turns[learner.name]),
            "fastest_ms": 1e3 * min(turns[learner.name]),
            "seconds": sum(turns[learner.name]) * turn if options.updates % turn == 0 else None,
            "mib": held.get(learner.name),
            "bits": bits(learner, ids[cut:]) if options.text else None,
        }
        for learner in learners
    }
    head = ["", "ms / update", "fastest turn", "MiB at most", f"bits / character after {options.updates:,}"]
    rows = [
        [name, f"{f['ms']:.2f}", f"{f['fastest_ms']:.2f}", f"{f['mib']:.0f}" if f["mib"] else "",
         f"{f['bits']:.3f}" if f["bits"] else ""]
        for name, f in figures.items()
    ]  # fmt: skip
    print(tables.table(head, rows))
    goals: tables.Goals = {}
    if len(learners) == 2:
        ours, theirs = figures[Compuerta.name], figures[PyTorch.name]
        pairs = zip(turns[PyTorch.name], turns[Compuerta.name], strict=True)
        goals["ratio"] = 1.3 if options.cell == "lstm" else 1.0, statistics.median(a / b for a, b in pairs)
        if held:
            goals["highest"] = 1.0, theirs["mib"] / ours["mib"] if ours["mib"] and theirs["mib"] else None
        print(f"\nPyTorch / ours, median over the turns: {goals['ratio'][1]:.2f}; asked for: {tables.asked(goals)}; "
              f"holds: {tables.verdict(goals)}")  # fmt: skip
        if ours["bits"] and theirs["bits"]:
            print(f"bits per character: {ours['bits'] - theirs['bits']:+.3f} against PyTorch's (within 0.02 is asked)")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            found = {"machine": peers.machine(), "text": options.text, "kind": options.cell.upper(), "figures": figures}
            json.dump({**found, "goals": goals}, file, indent=1)


def drawn() -> str:
    """Return characters at random."""
    return "".join(map(chr, np.random.default_rng(0).integers(32, 32 + KINDS, CHARACTERS)))


if __name__ == "__main__":
    main()
