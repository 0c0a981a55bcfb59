"""Do the tests bite? Each fault is planted in a copy of the source, and the tests named beside it must turn red.

A fault is a few textual replacements, each of a text that occurs exactly once. When the source changes so that a text
is no longer found, the fault has to be written anew, not removed.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import compuerta

TESTS = Path(__file__).parent
SOURCE = Path(compuerta.__file__).parent
LSTM, GRU = "recurrence/numpy_lstm.py", "recurrence/numpy_gru.py"

GOLDEN = "test_golden.py"
STEP = "test_recurrence.py::test_gradients_by_complex_step"
UNROLLED = "test_recurrence.py::test_forward_is_the_equations_unrolled"
TAPE = "test_recurrence.py::test_tape_reads_every_quantity_in_the_place_of_its_input"
STREAM = "test_layers.py::test_stream_is_the_whole"
TEXTBOOK = "test_layers.py::test_lstm_is_the_textbook_one"
ALL = (GOLDEN, STEP, UNROLLED, TAPE, STREAM, TEXTBOOK)


@dataclass(frozen=True)
class Fault:
    file: str
    replacements: tuple[tuple[str, str], ...]
    red: str


def fault(file, old, new, red):
    return Fault(file, ((old, new),), red)


FAULTS = {
    "input and forget gate swapped on the way in": fault(
        LSTM, "_FROM_PUBLIC = (2, 1, 0, 3)", "_FROM_PUBLIC = (2, 0, 1, 3)", UNROLLED
    ),
    "candidate and output gate not reordered": fault(
        LSTM, "_FROM_PUBLIC = (2, 1, 0, 3)", "_FROM_PUBLIC = (3, 1, 0, 2)", TEXTBOOK
    ),
    # Another order of the blocks, forward and backward alike: a consistent LSTM, so that only an outsider can tell.
    "order i, f, o, g in place of PyTorch's, everywhere": Fault(
        LSTM,
        (
            ("_FROM_PUBLIC = (2, 1, 0, 3)", "_FROM_PUBLIC = (3, 1, 0, 2)"),
            ("i_, out=dz_blocks[rows, 2]", "i_, out=dz_blocks[rows, 3]"),
            ("tanh_, out=dz_blocks[rows, 3]", "tanh_, out=dz_blocks[rows, 2]"),
            ("dz_blocks[start:stop, :3] *= dc_t", "dz_blocks[start:stop, [0, 1, 3]] *= dc_t"),
            ("dz_blocks[start:stop, 3] *= dh_t", "dz_blocks[start:stop, 2] *= dh_t"),
        ),
        GOLDEN,
    ),
    "reset and update gate swapped": fault(
        GRU, "step[:2], step[0], step[1], step[2]", "step[:2], step[1], step[0], step[2]", GOLDEN
    ),
    "final dc dropped": fault(
        LSTM, "packing.sort(dh_n).copy(), packing.sort(dc_n).copy()",
        "packing.sort(dh_n).copy(), np.zeros_like(packing.sort(dc_n))", STEP,
    ),
    "sign of a derivative": fault(
        LSTM, "subtract(1, one_minus, out=one_minus)\n        dc_dh",
        "add(1, one_minus, out=one_minus)\n        dc_dh", STEP,
    ),
    "derivative of the forget gate": fault(LSTM, "one_minus *= f_\n", "one_minus *= i_\n", STEP),
    "sign in the update gate's derivative": fault(GRU, "subtract(h_, n_, out", "subtract(n_, h_, out", STEP),
    "dh not carried to the step before": fault(
        LSTM, "np.matmul(dz[start:stop].reshape(shape), w_h, out=product)", "dh_t[...] = 0", STEP
    ),
    "dc not carried to the step before": fault(LSTM, "            dc_t *= f[start:stop]\n", "", STEP),
    "dh past the update gate not carried": fault(GRU, "dh_t *= z[start:stop]\n", "dh_t *= 0\n", STEP),
    "c not carried where nothing is recorded": fault(
        LSTM, "multiply(c_g, f_i, out=c_g)\n            cell += g\n", "multiply(f_i[1], g, out=cell)\n", UNROLLED
    ),
    "lengths ignored": fault(
        "recurrence/packing.py", "if lengths is None or bool((lengths == t).all()):", "if True:", UNROLLED
    ),
    "not reversed": fault(
        "recurrence/packing.py", "self._step = lengths[self._at] - 1 - step if reverse else step", "self._step = step",
        UNROLLED,
    ),
    "reversed over the padding too": fault(
        "recurrence/packing.py", "lengths[self._at] - 1 - step if", "lengths.max() - 1 - step if", UNROLLED
    ),
    "outputs of the second direction left in the order read": fault(
        "recurrence/packing.py", "return out[:, ::-1] if self.reverse else out", "return out", UNROLLED
    ),
    "final state of a short row taken at the end of the longest": fault(
        "recurrence/packing.py", "            out[:count] = history[self.n + start : self.n + start + count]\n",
        "            out[:count] = history[self.n + start]\n", UNROLLED,
    ),
    "b_hn forgotten": fault(GRU, "np.add(n, weights.b_hn, out=q)", "np.copyto(q, n)", GOLDEN),
    "gradient of b_hn without the reset gate": fault(
        GRU, "np.sum(da[:, 3], axis=0, out=db_hn)", "np.sum(da[:, 0], axis=0, out=db_hn)", STEP
    ),
    "mask not scaled": fault(
        "layers/recurrent.py", "dtype.type(1 / (1 - p))", "dtype.type(1)", "test_layers.py::test_dropout"
    ),
    "mask left out on the way back": fault(
        "layers/recurrent.py", "total if mask is None or total is None else total * mask", "total",
        "test_layers.py::test_stack_gradients",
    ),
    "last token not summed": fault(
        "recurrence/tokens.py", "out[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)",
        "out[ordered[starts[:-1]]] = np.add.reduceat(rows[order], starts, axis=0)[:-1]", STEP,
    ),
    "dx of one direction only": fault(
        "layers/recurrent.py", "total = dx_d if total is None else total + dx_d", "total = dx_d",
        "test_layers.py::test_stack_gradients",
    ),
    "dx without the candidate": fault(
        GRU, "packing.unpack(from_n @ np.roll(weights.public_w_x, hidden, axis=0))",
        "packing.unpack(flat[:, hidden : 3 * hidden] @ weights.public_w_x[: 2 * hidden])", STEP,
    ),
    "state as (c, h)": fault(
        "layers/recurrent.py", "return tuple(state) if len(state) > 1", "return tuple(state[::-1]) if len(state) > 1",
        GOLDEN,
    ),
    "stream forgets c": fault(LSTM, "        self.c *= self._f\n", "        self.c[...] = 0\n", STREAM),
    "stream forgets h": fault(GRU, "        self.h[...] = self._next\n        return self.h",
                              "        return self._next", STREAM),
    "weights packed once and for all": fault(
        "layers/recurrent.py", "if self._packed is None or self._packed[0] != stamp:", "if self._packed is None:",
        "test_layers.py::test_packed_weights_follow_every_write",
    ),
    "y handed out as a view of the tape": fault(
        "layers/recurrent.py", 'np.array(x, order="C") if self.directions == 1 else x', "x",
        "test_layers.py::test_a_tape_may_be_walked_twice_and_belongs_to_nobody_else",
    ),
    "textbook: output gate's place in the gradient of C": fault(
        "textbook.py", 'dC + dh * s["o"] * (1', 'dC + dh * s["i"] * (1',
        "test_textbook.py::test_gradients_by_complex_step",
    ),
}  # fmt: skip


@pytest.fixture
def copy_of_source(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "compuerta", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "compuerta"


def environment(root):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COMPUERTA", "COV"))}
    return kept | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(root, *tests):
    """Run tests on the copy under ``root``; return the exit code and what pytest said."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=line"]
    done = subprocess.run(
        [*command, *(str(TESTS / test) for test in tests)],
        env=environment(root), cwd=TESTS.parent, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def plant(package, planted):
    path = package / planted.file
    text = path.read_text(encoding="utf-8")
    for old, new in planted.replacements:
        assert text.count(old) == 1, f"{planted.file}: {text.count(old)} times instead of once: {old!r}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def test_control_without_a_fault(copy_of_source):
    """The copy is what runs, and on it every test used here is green."""
    code = "import compuerta.layers, sys; print(compuerta.layers.__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment(copy_of_source.parent), capture_output=True, text=True, check=True
    )
    assert Path(shown.stdout.strip()).resolve() == (copy_of_source / "layers" / "__init__.py").resolve()
    returncode, said = run(copy_of_source.parent, *sorted({f.red for f in FAULTS.values()} | set(ALL)))
    assert returncode == 0, said


@pytest.mark.parametrize("name", FAULTS)
def test_fault_turns_a_test_red(copy_of_source, name):
    plant(copy_of_source, FAULTS[name])
    returncode, said = run(copy_of_source.parent, FAULTS[name].red)
    assert returncode == 1, f"exit code {returncode}, where 1 means that a test failed\n{said}"
    assert "failed" in said
    assert not any(word in said for word in ("SyntaxError", "NameError", "ImportError")), said


def test_gradients_alone_cannot_see_a_consistent_order(copy_of_source):
    """Why golden numbers are needed: complex step checks that backward fits forward, not that forward is right."""
    plant(copy_of_source, FAULTS["order i, f, o, g in place of PyTorch's, everywhere"])
    returncode, said = run(copy_of_source.parent, STEP)
    assert returncode == 0, said


@pytest.mark.parametrize("ci", [False, True])
def test_in_ci_a_skipped_test_fails_the_run(tmp_path, ci):
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest\ndef test_green(): pass\n@pytest.mark.skip\ndef test_lost(): pass\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith("PYTEST")} | (
        {"CI": "1"} if ci else {}
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == (1 if ci else 0), done.stdout
    assert ("which fails the run" in done.stdout) == ci
    assert ("test_one.py::test_lost" in done.stdout) == ci
