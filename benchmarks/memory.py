"""The memory of one training step, forward and backward with all gradients, in this process; run.py starts it.

    python benchmarks/memory.py compuerta|PyTorch LSTM|GRU T N F H

Prints one line of JSON: MiB resident after the import alone, and the highest from there to the end of some steps. Only
the library that is measured is imported, and whatever that imports.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import json
import resource
import sys
from typing import Any

#: The first may make things that stay; by the third nothing grows any more.
STEPS = 3


def status(key: str) -> float | None:
    """Return a line of the system's account of this process in MiB, or None where there is none."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))
    except (OSError, StopIteration):
        return None


def highest() -> float:
    """Return the most memory that this process has held so far in MiB."""
    unit = 1 << (20 if sys.platform == "darwin" else 10)
    return status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget() -> float:
    """Let the highest count from now, where the system can; return what is held now."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
            file.write("5")
    except OSError:
        return highest()
    return status("VmRSS") or highest()


def compuerta_steps(kind: str, steps: int, rows: int, inputs: int, hidden: int) -> float:
    import numpy as np

    import compuerta

    made: type[Any] = getattr(compuerta, kind)
    compuerta.engine()  # loads the library, as the other's import does
    before = forget()
    layer = made(inputs, hidden, rng=0)
    rng = np.random.default_rng(0)
    x = rng.random((rows, steps, inputs), np.float32)
    dy = rng.random((rows, steps, hidden), np.float32)
    gradient = np.empty(layer.parameters.size, np.float32)
    for _ in range(STEPS):
        layer.parameters.writable()
        _, _, tape = layer.forward(x, record=True)
        layer.backward(tape, dy, out=gradient)
    return before


def torch_steps(kind: str, steps: int, rows: int, inputs: int, hidden: int) -> float:
    import torch

    torch.set_num_threads(THREADS)
    before = forget()
    layer = getattr(torch.nn, kind)(inputs, hidden)
    x = torch.rand(steps, rows, inputs, requires_grad=True)
    dy = torch.rand(steps, rows, hidden)
    for _ in range(STEPS):
        layer.zero_grad()
        x.grad = None
        y, _ = layer(x)
        y.backward(dy)
    return before


if __name__ == "__main__":
    library, kind, *size = sys.argv[1:7]
    before = {"compuerta": compuerta_steps, "PyTorch": torch_steps}[library](kind, *map(int, size))
    print(json.dumps({"before": before, "highest": highest()}))
