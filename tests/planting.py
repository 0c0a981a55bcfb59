"""Planting a fault in a copy of the source and running the tests that must turn red: what both kinds of faults share.

A fault is a few textual replacements, each of a text that occurs exactly once. When the source changes so that a text
is no longer found, the fault has to be written anew, not removed.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import forked_pytest
from compuerta.recurrence.binding import find

TESTS = Path(__file__).parent

NATIVE_ANY = "test_native.py::test_every_variant_is_the_numpy_engine"


@dataclass(frozen=True)
class Fault:
    file: str
    replacements: tuple[tuple[str, str], ...]
    red: str


def fault(file, old, new, red):
    return Fault(file, ((old, new),), red)


def environment(root=None, engine=None, library=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COMPUERTA", "COV"))}
    named = {"PYTHONPATH": root, "COMPUERTA_ENGINE": engine, "COMPUERTA_NATIVE_LIBRARY": library or find()}
    kept |= {k: str(v) for k, v in named.items() if v is not None}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(environment, *tests):
    """Run tests; return the exit code and what pytest said."""
    options = ["-q", "-x", "--no-header", "--tb=line"]
    return forked_pytest.run(environment, *options, *(str(TESTS / test) for test in tests), timeout=300)


def plant(folder, planted):
    path = folder / planted.file
    text = path.read_text(encoding="utf-8")
    for old, new in planted.replacements:
        assert text.count(old) == 1, f"{planted.file}: {text.count(old)} times instead of once: {old!r}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def assert_red(returncode, said):
    assert returncode == 1, f"exit code {returncode}, where 1 means that a test failed\n{said}"
    assert "failed" in said
    assert not any(word in said for word in ("SyntaxError", "NameError", "ImportError", "no native engine")), said
