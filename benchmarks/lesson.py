"""The model that ``compuerta lesson`` looks into: made again, and written where the package keeps it.

python benchmarks/lesson.py [FOLDER] trains six units on brackets, a minute's work at most. What is between the brackets
is drawn at random, and so is its length: nothing but memory tells which of the two must be closed. Of 60 runs (30 seeds
with 6 and with 8 units) this is one in which a single unit does it all; in others the memory is spread over several.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import compuerta
from compuerta import LanguageModel
from compuerta.see import lesson

SEED, BRACKETS, LONGEST = 15, 3000, 12


def brackets(count: int, rng: np.random.Generator) -> str:
    """Return so many brackets, round or square, each with 1 to 12 letters in it and a space after it."""
    made = []
    for _ in range(count):
        kind = rng.integers(2)
        inside = rng.choice(list("abc"), size=rng.integers(1, LONGEST + 1))
        made.append("(["[kind] + "".join(inside) + ")]"[kind] + " ")
    return "".join(made)


def model(updates: int, learning_rate: float) -> LanguageModel:
    text = brackets(BRACKETS, np.random.default_rng(SEED))
    return LanguageModel(
        hidden_size=6, embedding_size=8, batch_size=16, steps=40, updates=updates, learning_rate=learning_rate,
        schedule="cosine", seed=SEED,
    ).fit(text)  # fmt: skip


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(lesson.__file__).parent
    fresh = brackets(300, np.random.default_rng(0))
    # The untrained one takes one step, as a model must, but one too short to change a weight.
    for name, updates, rate in (("trained", 1000, 0.01), ("untrained", 1, 1e-30)):
        made = model(updates, rate)
        compuerta.save(made, folder / f"{name}.safetensors")
        print(f"{name}: {made.score(fresh):.3f} bits per character on brackets it has not seen")
