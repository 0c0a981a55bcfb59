"""Thousands of drawn models against the frameworks that are installed: what goes in and out computes what they compute.

    python benchmarks/differential.py --runs 2000
    python benchmarks/differential.py --seed 123456 --only keras     # the same draws again

A run draws a model (LSTM or GRU, sizes, layers, directions, reset convention, dtype, what stands around it) with
random weights. For each framework that is here and can hold it: the model goes out, the framework loads and runs it on
random inputs and states, runs it once more made from its weights alone, and it comes in again and must be the same to
the bit. The seed is fresh and printed unless given; the exit code is 1 if any error is above the tolerance.

An error is the largest difference from our layers in float64 with the same weights, inputs and states, and each side
has its own: two float32 runs differ by what both round, each its own way, which says of neither how good it is.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from compuerta.errors import SettingError
from compuerta.interop import formats, verify
from compuerta.layers import GRU, LSTM, Activation, Dense, Embedding, Last, Sequential

TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
#: Keras steps some of its cells in float32 even in float64 (see tests/golden/make_golden_keras.py).
ROUNDED = {"keras"}
SUFFIX = {name: min(format.suffixes, key=lambda s: s in (".pt", ".pth")) for name, format in formats.FORMATS.items()}


def draw(rng):
    """Return a model with random weights."""
    dtype = "float64" if rng.random() < 0.25 else "float32"
    features, hidden, layers = int(rng.integers(1, 9)), int(rng.integers(1, 17)), int(rng.integers(1, 4))
    both = bool(rng.random() < 0.4)
    if rng.random() < 0.5:
        projected = int(rng.integers(1, hidden)) if hidden > 1 and rng.random() < 0.25 else None
        cell = LSTM(features, hidden, layers, bidirectional=both, projection_size=projected, dtype=dtype, rng=0)
    else:
        after = bool(rng.random() < 0.7)
        cell = GRU(features, hidden, layers, bidirectional=both, reset_after=after, dtype=dtype, rng=0)
    model = cell
    if rng.random() < 0.4:
        parts = [cell]
        if rng.random() < 0.5:
            parts.insert(0, Embedding(int(rng.integers(2, 12)), features, dtype=dtype, rng=0))
        if rng.random() < 0.5:
            parts.append(Last(both_ends=both))
        outputs = int(rng.integers(1, 6))
        parts.append(Dense(parts[1 if parts[0] is not cell else 0].width_out, outputs, dtype=dtype, rng=0))
        if rng.random() < 0.5:
            parts.append(Activation(str(rng.choice(Activation.KINDS))))
        model = Sequential(*parts)
    scale = 1 / np.sqrt(hidden)
    for name, value in model.parameters.items():
        model.parameters[name] = scale * rng.standard_normal(value.shape)
    return model


def in_float64(layer):
    """Return a layer with the same weights that computes in float64."""
    if isinstance(layer, Sequential):
        exact = Sequential(*map(in_float64, layer.layers))
    else:
        exact = type(layer)(**layer.config() | {"dtype": "float64"})
    exact.parameters.writable()[...] = layer.parameters.flat
    return exact


def widened(value):
    """Return inputs or a state in float64; token ids and None as they are."""
    if isinstance(value, tuple):
        return tuple(map(widened, value))
    return value if value is None or value.dtype.kind != "f" else value.astype(np.float64)


def errors(model, exact, runner, seed):
    """Return the largest error of a model and of the other side, each against the exact one."""
    ours = theirs = 0.0
    for x, start in verify.random_inputs(model, seed, states=runner.takes_state):
        truth = exact.forward(widened(x), widened(start))[:2]
        ours = max(ours, verify.gradients_by_step(truth, model.forward(x, start)[:2]))
        theirs = max(theirs, verify.gradients_by_step(truth, runner.run(x, start)))
    return ours, theirs


def check(model, name, folder, seed):
    """Return our error and that of a format's framework, and whether the model came back; None if it cannot be held."""
    path = str(Path(folder) / ("model" + SUFFIX[name]))
    try:
        formats.write(model, path, name)
    except SettingError:
        return None
    adapter = formats.FORMATS[name].adapter
    runners = [adapter.runner(path, ours=ours) for ours in (True, False)]  # loaded, and made of its weights
    if runners[0] is None:
        return None
    exact = in_float64(model)
    ours, theirs = map(max, zip(*(errors(model, exact, runner, seed) for runner in runners if runner), strict=True))
    back = formats.read(path, name)
    same = back.parameters.size == model.parameters.size and np.array_equal(back.parameters.flat, model.parameters.flat)
    return ours, theirs, same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=[name for name in formats.FORMATS if name != "compuerta"], action="append")
    options = parser.parse_args()
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    warnings.simplefilter("ignore")
    print(f"seed {seed}", flush=True)
    worst, counts, failures = {}, {}, 0
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for run in range(options.runs):
            rng = np.random.default_rng([seed, run])
            if "jax" in sys.modules:  # which keeps what it compiled for every shape
                sys.modules["jax"].clear_caches()
            model = draw(rng)
            dtype = model.parameters.dtype.name
            for name in options.only or [name for name in formats.FORMATS if name != "compuerta"]:
                found = check(model, name, folder, seed + run)
                if found is None:
                    continue
                *both, same = found
                counts[name] = counts.get(name, 0) + 1
                worst[name, dtype] = tuple(map(max, worst.get((name, dtype), (0.0, 0.0)), both))
                told = "our error {:.1e}, its error {:.1e}".format(*both)
                if not (max(both) <= TOLERANCE["float32" if name in ROUNDED else dtype] and same):
                    failures += 1
                    print(f"run {run}, {name}: {told}{'' if same else ', another model came back'}: {model!r}")
    for (name, dtype), both in sorted(worst.items()):
        told = "our largest error {:.1e}, its own {:.1e}".format(*both)
        print(f"{name:12}{dtype:9}{counts[name]:6} models (both dtypes)  {told}")
    print(f"{options.runs} models drawn, {failures} failures, {time.perf_counter() - started:.0f} s, seed {seed}")
    if not counts:
        print("no framework is installed that could be compared with", file=sys.stderr)
    return 1 if failures or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
