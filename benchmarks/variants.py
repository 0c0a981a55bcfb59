"""How each variant of the LSTM learns one task, with the same budget: the table of docs/variants.md.

    python benchmarks/variants.py [--updates 800] [--seeds 3] [--steps 40] [--hidden 24]

The task is the adding problem: of 40 numbers in [0, 1) two are marked, and their sum is asked for at the end. To say 1
always has a mean squared error of 1/6. Every model has the same number of units, sees the same new 32 sequences in each
update, and takes a step of Adam (5e-3, gradient clipped to norm 1). Printed are the error on 1000 sequences that were
not trained on, the mean of the seeds and the worst of them, the parameters of the recurrent layer, and the time of an
update on the machine that it names. Chance (zoneout, dropout, weight drop) acts in training alone.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import os
import platform
import time

import numpy as np

import compuerta
from compuerta import GRU, LSTM, Dense, Last, MinLSTM, Sequential
from compuerta.data import adding_problem
from compuerta.training import Adam, clip_by_global_norm, squared_error

BATCH, RATE, CLIP, TESTED = 32, 5e-3, 1.0, 1000
MODELS = {
    "plain": {},
    "peepholes": {"peepholes": True},
    "coupled": {"coupled": True},
    "no input gate": {"input_gate": False},
    "no forget gate": {"forget_gate": False},
    "no output gate": {"output_gate": False},
    "no input activation": {"input_activation": "Identity"},
    "no output activation": {"output_activation": "Identity"},
    "full gate recurrence": {"full_gate_recurrence": True},
    "layer norm, gates": {"layer_norm": "gates"},
    "layer norm, c too": {"layer_norm": "cell"},
    "projection to a half": {"projection_size": "half"},
    "cell clip 3": {"cell_clip": 3.0},
    "zoneout 0.1 of c, 0.05 of h": {"zoneout": (0.1, 0.05)},
    "recurrent dropout 0.1": {"recurrent_dropout": 0.1},
    "weight drop 0.1": {"weight_drop": 0.1},
    "learnt initial state": {"learn_state": True},
    "MinLSTM, one layer": {"layer": MinLSTM},
    "MinLSTM, two layers": {"layer": MinLSTM, "num_layers": 2},
    "GRU": {"layer": GRU},
}


def learn(name: str, seed: int, arguments: argparse.Namespace) -> tuple[float, int, float]:
    """Train one model; return its error, the parameters of its recurrent layer and the seconds of an update."""
    options = dict(MODELS[name])
    if "projection_size" in options:
        options["projection_size"] = arguments.hidden // 2
    layer = options.pop("layer", LSTM)(2, arguments.hidden, rng=seed, **options)
    size = layer.parameters.size
    model = Sequential(layer, Last(), Dense(layer.width_out, 1, rng=seed))
    data, chance, optimizer = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1]), Adam()
    start = time.perf_counter()
    for _ in range(arguments.updates):
        x, target = adding_problem(BATCH, arguments.steps, data)
        y, _, tape = model.forward(x, record=True, rng=chance)
        _, dy = squared_error(y, target[:, None])
        gradient = model.backward(tape, dy).flat
        clip_by_global_norm(gradient, CLIP)
        optimizer.step(model.parameters.writable(), gradient, RATE)
    took = (time.perf_counter() - start) / arguments.updates
    x, target = adding_problem(TESTED, arguments.steps, np.random.default_rng([seed, 2]))
    y, _ = model(x)
    return float(np.mean((y[:, 0] - target) ** 2)), size, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("updates", 800), ("seeds", 3), ("steps", 40), ("hidden", 24), ("threads", THREADS)):
        parser.add_argument(f"--{option}", type=int, default=default)
    arguments = parser.parse_args()
    started = time.perf_counter()
    print(f"adding problem, T = {arguments.steps}, H = {arguments.hidden}, {arguments.updates} updates of {BATCH}")
    print("\n| cell | error | worst | parameters | ms per update |\n|---|--:|--:|--:|--:|")
    for name in MODELS:
        results = [learn(name, seed, arguments) for seed in range(arguments.seeds)]
        errors, sizes, times = zip(*results, strict=True)
        row = f"{np.mean(errors):.4f} | {max(errors):.4f} | {sizes[0]:,} | {1000 * min(times):.1f}"
        print(f"| {name} | {row} |", flush=True)
    print(f"\nseeds 0 to {arguments.seeds - 1}; to say 1 always: {1 / 6:.4f}; {time.perf_counter() - started:.0f} s")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {THREADS} of them used, NumPy {np.__version__}")
    print(f"engine of the plain LSTM (learnt state too) and the GRU: {compuerta.engine()}; of the others: numpy")


if __name__ == "__main__":
    main()
