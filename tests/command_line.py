"""A small text, small models and settings and what reads the answers: what the tests of the commands share."""

import json
import subprocess
import sys

import compuerta
from compuerta.data import read_series, seasonal_series
from compuerta.tasks import Forecaster, LanguageModel

WORDS = "la luna, la luz, la lana.\nñandú y más, ¿no?\n"
TRAIN = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--steps", "8"]


def write_models(folder):
    """Write a text and a table, and a model of each, and one of layers alone; return the folder."""
    (folder / "text.txt").write_text(WORDS * 40, encoding="utf-8")
    values = seasonal_series(72, 12, 0)
    rows = [f"{2015 + k // 12}-{k % 12 + 1:02d},{v:.3f}" for k, v in enumerate(values)]
    (folder / "sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
    language = LanguageModel(8, embedding_size=4, batch_size=4, steps=8, updates=30, learning_rate=0.02)
    compuerta.save(language.fit(WORDS * 40), folder / "text.safetensors")
    forecaster = Forecaster(6, hidden_size=3, members=1, max_epochs=3, origins=2)
    compuerta.save(forecaster.fit(read_series(folder / "sales.csv")), folder / "sales.safetensors")
    compuerta.save(compuerta.Sequential(compuerta.LSTM(2, 3, rng=0), compuerta.Dense(3, 1, rng=1)), folder / "layers")
    return folder


def parsed(out):
    """stdout as JSON: one object on one line, and nothing else."""
    assert out.count("\n") == 1
    return json.loads(out)


def process(*args, **more):
    program = [sys.executable, "-m", "compuerta", *map(str, args)]
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **more
    )
