"""Skipped is not passed: with CI set, a skipped test fails the run (see conftest.py)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("ci", [False, True])
def test_in_ci_a_skipped_test_fails_the_run(tmp_path, ci):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
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
