"""Runs of pytest, each in a process of its own that is forked from one in which the heavy modules are imported already.

Starting an interpreter and importing NumPy, pytest and what the tests use takes longer than most tests that must turn
red. This module imports nothing of the package: a run chooses whose it is.
"""

import functools
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).parent

#: What is imported once, before the processes are forked. None of it imports the package or starts a thread.
PRELOADED = (
    "pytest", "_pytest.doctest", "numpy", "numpy.testing", "hypothesis.extra.numpy", "safetensors.numpy",
    "click.testing", "tqdm", "h5py", "onnx", "onnxruntime", "matplotlib.figure", "matplotlib.backends.backend_agg",
)  # fmt: skip


def _pytest(out, environment, arguments):
    """In the forked process: set the environment up, run pytest and exit with its code."""
    os.dup2(os.open(out, os.O_WRONLY), 1)
    os.dup2(1, 2)
    assert not [name for name in sys.modules if name.split(".")[0] == "compuerta"]
    os.environ.clear()
    os.environ.update(environment)
    if "PYTHONPATH" in environment:
        sys.path.insert(0, environment["PYTHONPATH"])
    os.chdir(TESTS.parent)
    import pytest

    # Nothing of the command line of the run outside, and no plugin that conftest.py does not name.
    ours = ["-o", "addopts=", "--import-mode=importlib", "--assert=plain", "-p", "no:cacheprovider"]
    code = pytest.main([*ours, *arguments])
    sys.stdout.flush()
    os._exit(code)


@functools.cache
def _context():
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def run(environment, *arguments, timeout=120):
    """Run pytest with these environment variables; return its exit code and what it said."""
    with tempfile.NamedTemporaryFile("r+", encoding="utf-8", errors="replace") as out:
        process = _context().Process(target=_pytest, args=(out.name, environment, arguments))
        with mock.patch.dict(os.environ, OPENBLAS_NUM_THREADS="1"):  # threads that BLAS starts do not survive a fork
            process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode, out.read()
